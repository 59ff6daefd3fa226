/* SPDX-License-Identifier: Apache-2.0 */
#include "login/fetch.h"

#include <curl/curl.h>

#include "base/mem.h"
#include "base/netaddr.h"

struct download {
	struct buf body;
	const char *url;
	const json_t *config;
	bool private_refused, allow_private;
};

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct download *d = arg;

	return buf_add(&d->body, p, size * n) < 0 ? CURL_WRITEFUNC_ERROR : size * n;
}

/* The address that libcurl connects to, after its own look-up: there is no second look-up that
 * could answer differently. */
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
	const char *ca = json_str_at(d->config, "fetch.caFile");
	const char *proxy = json_str_at(d->config, "fetch.proxy");
	bool bad = false;

#define SET(option, value) (bad |= curl_easy_setopt(c, option, value) != CURLE_OK)
	SET(CURLOPT_URL, d->url);
	SET(CURLOPT_ERRORBUFFER, message);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FAILONERROR, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_TIMEOUT, (long) FETCH_TIME_S);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_USERAGENT, "kiln");
	SET(CURLOPT_PROXY, proxy ? proxy : ""); /* never the environment's */
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, d);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, d);
	if (ca)
		SET(CURLOPT_CAINFO, ca);
#undef SET
	return bad ? -EINVAL : 0;
}

static int explain(CURL *c, CURLcode code, const struct download *d, const char *message,
		   struct err *err)
{
	long status = 0;

	(void) curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (d->private_refused) {
		(void) err_set(err, -EACCES, "%s: its host has no public address", d->url);
		err_hint(err, "An internal issuer can be allowed by fetch.allowPrivate: true in"
			      " kiln.yaml, or its keys given inline (jwks).");
		return -EACCES;
	}
	if (buf_err(&d->body) == -EFBIG)
		return err_set(err, -EFBIG, "%s: more than %u bytes", d->url, FETCH_BYTES_MAX);
	if (code == CURLE_HTTP_RETURNED_ERROR)
		return err_set(err, -EIO, "%s: the server answered %ld", d->url, status);
	return err_set(err, -EIO, "%s: %s", d->url, *message ? message : curl_easy_strerror(code));
}

static int transfer(struct download *d, struct err *err)
{
	char message[CURL_ERROR_SIZE] = "";
	CURL *c = curl_easy_init();
	CURLcode code;
	int r = c ? set_options(c, d, message) : -ENOMEM;

	if (r < 0) {
		(void) err_set(err, r, "%s: libcurl could not be set up", d->url);
	} else {
		code = curl_easy_perform(c);
		r = code == CURLE_OK ? 0 : explain(c, code, d, message, err);
	}
	curl_easy_cleanup(c);
	return r;
}

int fetch_json(const json_t *config, const char *url, json_t **ret, struct err *err)
{
	struct download d = {
		.body = BUF_INIT(FETCH_BYTES_MAX),
		.url = url,
		.config = config,
		.allow_private = json_bool_at(config, "fetch.allowPrivate", false) ||
				 json_str_at(config, "fetch.proxy"),
	};
	int r;

	if (strncasecmp(url, "https://", 8) != 0)
		return err_set(err, -EACCES, "%.200s: only https is fetched", url);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, -EIO, "libcurl could not be set up");
	r = transfer(&d, err);
	if (r >= 0) {
		r = json_parse(d.body.data ? d.body.data : "", d.body.len, ret, err);
		if (r < 0)
			r = err_ctx(err, r, "%s", url);
	}
	buf_done(&d.body);
	curl_global_cleanup();
	return r;
}
