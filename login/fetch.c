/* SPDX-License-Identifier: Apache-2.0 */
#include "login/fetch.h"

#include "base/https.h"
#include "base/mem.h"

static size_t on_data(char *p, size_t size, size_t n, void *body)
{
	return buf_add(body, p, size * n) < 0 ? CURL_WRITEFUNC_ERROR : size * n;
}

static int transfer(const json_t *config, const char *url, struct buf *body, struct err *err)
{
	struct https h;
	int r = https_begin(&h, config, url, on_data, body, err);

	if (r == 0 && curl_easy_setopt(h.curl, CURLOPT_TIMEOUT, (long) FETCH_TIME_S) != CURLE_OK)
		r = err_set(err, -EINVAL, "%s: libcurl could not be set up", url);
	if (r == 0)
		r = https_perform(&h, err);
	if (buf_err(body) == -EFBIG)
		r = err_set(err, -EFBIG, "%s: more than %u bytes", url, FETCH_BYTES_MAX);
	else if (r == -ENOENT)
		r = -EIO; /* an issuer without its keys is out of order, not absent */
	https_end(&h);
	return r;
}

int fetch_json(const json_t *config, const char *url, json_t **ret, struct err *err)
{
	struct buf body = BUF_INIT(FETCH_BYTES_MAX);
	int r = transfer(config, url, &body, err);

	if (r >= 0) {
		r = json_parse(body.data ? body.data : "", body.len, ret, err);
		if (r < 0)
			r = err_ctx(err, r, "%s", url);
	}
	buf_done(&body);
	return r;
}
