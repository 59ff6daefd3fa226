/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "bake/fetch_internal.h"
#include "base/file.h"
#include "base/https.h"
#include "base/mem.h"

struct download {
	struct fetcher *f;
	struct fetch_tmp tmp;
	struct progress *progress;
	const char *uri;
	uint64_t limit;
	int failed; /* why a callback ended the transfer */
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

static int set_options(CURL *c, struct download *d)
{
	bool bad = false;

#define SET(option, value) (bad |= curl_easy_setopt(c, option, value) != CURLE_OK)
	SET(CURLOPT_FOLLOWLOCATION, 1L);
	SET(CURLOPT_MAXREDIRS, (long) FETCH_REDIRECTS);
	SET(CURLOPT_CONNECTTIMEOUT, 30L);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, 60L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, d);
	SET(CURLOPT_NOPROGRESS, 0L);
#undef SET
	return bad ? -EINVAL : 0;
}

static int transfer(struct download *d, struct err *err)
{
	struct https h;
	int r = https_begin(&h, d->f->config, d->uri, on_data, d, err);

	if (r == 0 && set_options(h.curl, d) < 0)
		r = err_set(err, -EINVAL, "%s: libcurl could not be set up", d->uri);
	if (r == 0)
		r = https_perform(&h, err);
	https_end(&h);
	if (d->failed == -EFBIG)
		return err_set(err, -EFBIG, "%s: more than %" PRIu64 " bytes (fetch.maxBytes)",
			       d->uri, d->limit);
	if (d->failed < 0)
		return err_set(err, d->failed, "%s: %s", d->uri,
			       d->failed == -ECANCELED ? "cancelled" : strerror(-d->failed));
	if (r == -EIO || r == -ENOENT)
		err_arm(err, "SourceUnavailable"); /* nothing is wrong on this side */
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
	};
	int r;

	d.progress = progress_to_events(f->events);
	r = fetch_tmp_open(f, &d.tmp, err);
	if (r == 0)
		r = transfer(&d, err);
	progress_free(d.progress);
	if (r == 0)
		r = fetch_tmp_keep(f, &d.tmp, uri, sha256, ret, err);
	fetch_tmp_done(&d.tmp);
	return r;
}
