/* SPDX-License-Identifier: Apache-2.0 */
#include <curl/curl.h>
#include <inttypes.h>

#include "bake/fetch_internal.h"
#include "base/netaddr.h"
#include "base/file.h"
#include "base/mem.h"

struct download {
	struct fetcher *f;
	struct fetch_tmp tmp;
	struct progress *progress;
	const char *uri;
	uint64_t limit;
	int failed;           /* why a callback ended the transfer */
	bool private_refused; /* an address was refused */
	bool allow_private;
};

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct download *d = arg;

	size *= n;
	if (size > d->limit - d->tmp.bytes)
		d->failed = -EFBIG;
	else
		d->failed = fetch_tmp_write(&d->tmp, p, size);
	return d->failed < 0 ? CURL_WRITEFUNC_ERROR : size;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total,
		       curl_off_t up_now)
{
	struct download *d = arg;

	if (now > 0)
		progress_update(d->progress, "download", (uint64_t) now,
				total > 0 ? (uint64_t) total : 0);
	d->failed = d->failed ? d->failed : cancel_check(d->f->cancel);
	return d->failed < 0;
}

/* The address that libcurl is about to connect to, after its own look-up, for every redirect:
 * there is no second look-up that could answer differently. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct download *d = arg;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (!d->allow_private && !netaddr_public(&a->addr)) {
		d->private_refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int set_options(CURL *c, struct download *d, char *message)
{
	const json_t *config = d->f->config;
	const char *ca = json_str_at(config, "fetch.caFile");
	const char *proxy = json_str_at(config, "fetch.proxy");
	bool bad = false;

#define SET(option, value) (bad |= curl_easy_setopt(c, option, value) != CURLE_OK)
	SET(CURLOPT_URL, d->uri);
	SET(CURLOPT_ERRORBUFFER, message);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FAILONERROR, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 1L);
	SET(CURLOPT_MAXREDIRS, (long) FETCH_REDIRECTS);
	SET(CURLOPT_CONNECTTIMEOUT, 30L);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, 60L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_USERAGENT, "kiln");
	/* The environment's proxies are not ours to trust; an operator's proxy is in kiln.yaml,
	 * and then the proxy judges addresses. */
	SET(CURLOPT_PROXY, proxy ? proxy : "");
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, d);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, d);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, d);
	SET(CURLOPT_NOPROGRESS, 0L);
	if (ca)
		SET(CURLOPT_CAINFO, ca);
#undef SET
	return bad ? -EINVAL : 0;
}

static int explain(CURL *c, CURLcode code, struct download *d, const char *message, struct err *err)
{
	long status = 0;
	int r;

	(void) curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (d->private_refused) {
		err_set(err, -EACCES, "%s: its host has no public address", d->uri);
		err_hint(err, "an internal server can be allowed by fetch.allowPrivate: true in "
			      "kiln.yaml");
		return -EACCES;
	}
	if (d->failed == -EFBIG)
		return err_set(err, -EFBIG, "%s: more than %" PRIu64 " bytes (fetch.maxBytes)",
			       d->uri, d->limit);
	if (d->failed < 0)
		return err_set(err, d->failed, "%s: %s", d->uri,
			       d->failed == -ECANCELED ? "cancelled" : strerror(-d->failed));
	if (code == CURLE_UNSUPPORTED_PROTOCOL)
		return err_set(err, -EACCES, "%s: it redirects to something else than https",
			       d->uri);
	if (code == CURLE_HTTP_RETURNED_ERROR)
		r = err_set(err, status == 404 || status == 410 ? -ENOENT : -EIO,
			    "%s: the server answered %ld", d->uri, status);
	else
		r = err_set(err, -EIO, "%s: %s", d->uri,
			    *message ? message : curl_easy_strerror(code));
	err_arm(err, "SourceUnavailable"); /* nothing is wrong on this side */
	return r;
}

static int transfer(struct download *d, struct err *err)
{
	char message[CURL_ERROR_SIZE] = "";
	CURL *c = curl_easy_init();
	CURLcode code;
	int r = -ENOMEM;

	if (c)
		r = set_options(c, d, message);
	if (r < 0) {
		err_set(err, r, "%s: libcurl could not be set up", d->uri);
	} else {
		code = curl_easy_perform(c);
		r = code == CURLE_OK ? 0 : explain(c, code, d, message, err);
	}
	curl_easy_cleanup(c);
	return r;
}

int fetch_https(struct fetcher *f, const char *uri, const char *sha256, struct fetched *ret,
		struct err *err)
{
	struct download d = {
		.f = f,
		.uri = uri,
		.tmp = {.fd = -1},
		.limit = fetch_limit(f),
		.allow_private = json_bool_at(f->config, "fetch.allowPrivate", false) ||
				 json_str_at(f->config, "fetch.proxy"),
	};
	int r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, -EIO, "libcurl could not be set up");
	d.progress = progress_to_events(f->events);
	r = fetch_tmp_open(f, &d.tmp, err);
	if (r == 0)
		r = transfer(&d, err);
	progress_free(d.progress);
	if (r == 0)
		r = fetch_tmp_keep(f, &d.tmp, uri, sha256, ret, err);
	fetch_tmp_done(&d.tmp);
	curl_global_cleanup();
	return r;
}
