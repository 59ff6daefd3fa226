/* SPDX-License-Identifier: Apache-2.0 */
#include "base/https.h"

#include <sys/socket.h>

#include "base/mem.h"
#include "base/netaddr.h"

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct https *h = arg;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (!h->allow_private && !netaddr_public(&a->addr)) {
		h->private_refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int set_options(struct https *h, const json_t *config, curl_write_callback on_data,
		       void *arg)
{
	const char *ca = json_str_at(config, "fetch.caFile");
	const char *proxy = json_str_at(config, "fetch.proxy");
	bool bad = false;

	h->allow_private = proxy || json_bool_at(config, "fetch.allowPrivate", false);
#define SET(option, value) (bad |= curl_easy_setopt(h->curl, option, value) != CURLE_OK)
	SET(CURLOPT_URL, h->url);
	SET(CURLOPT_ERRORBUFFER, h->message);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FAILONERROR, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_USERAGENT, "kiln");
	/* The environment's proxies are not ours to trust; an operator's is in kiln.yaml. */
	SET(CURLOPT_PROXY, proxy ? proxy : "");
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, h);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, arg);
	if (ca)
		SET(CURLOPT_CAINFO, ca);
#undef SET
	return bad ? -EINVAL : 0;
}

int https_begin(struct https *h, const json_t *config, const char *url, curl_write_callback on_data,
		void *arg, struct err *err)
{
	*h = (struct https){.url = url};
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, -EIO, "libcurl could not be set up");
	h->curl = curl_easy_init();
	if (!h->curl || set_options(h, config, on_data, arg) < 0) {
		https_end(h);
		return err_set(err, -ENOMEM, "%s: libcurl could not be set up", url);
	}
	return 0;
}

static int explain(const struct https *h, CURLcode code, struct err *err)
{
	long status = 0;

	(void) curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	if (h->private_refused) {
		(void) err_set(err, -EACCES, "%s: its host has no public address", h->url);
		err_hint(err, "An internal server can be allowed by fetch.allowPrivate: true in "
			      "kiln.yaml.");
		return -EACCES;
	}
	if (code == CURLE_UNSUPPORTED_PROTOCOL)
		return err_set(err, -EACCES, "%.200s: only https is fetched, also by a redirect",
			       h->url);
	if (code == CURLE_HTTP_RETURNED_ERROR)
		return err_set(err, status == 404 || status == 410 ? -ENOENT : -EIO,
			       "%s: the server answered %ld", h->url, status);
	return err_set(err, -EIO, "%s: %s", h->url,
		       *h->message ? h->message : curl_easy_strerror(code));
}

int https_perform(struct https *h, struct err *err)
{
	CURLcode code = curl_easy_perform(h->curl);

	return code == CURLE_OK ? 0 : explain(h, code, err);
}

void https_end(struct https *h)
{
	if (!h->curl)
		return;
	curl_easy_cleanup(h->curl);
	h->curl = NULL;
	curl_global_cleanup();
}

int https_header(struct curl_slist **list, const char *name, const char *value)
{
	auto_free char *line = value ? strf("%s: %s", name, value) : NULL;
	struct curl_slist *more;

	if (!value)
		return 0;
	more = line ? curl_slist_append(*list, line) : NULL;
	if (!more)
		return -ENOMEM;
	*list = more;
	return 0;
}
