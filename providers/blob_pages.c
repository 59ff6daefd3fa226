/* SPDX-License-Identifier: Apache-2.0 */
/* Put Page and Get Page Ranges. */
#include <fcntl.h>
#include <inttypes.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "providers/blob.h"

/* ---- Writing -------------------------------------------------------------------------------- */

static int clear(int fd, uint64_t first, uint64_t n)
{
	static const uint8_t zeros[65536];

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) first, (off_t) n) ==
	    0)
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	for (uint64_t done = 0; done < n;) {
		size_t part = n - done < sizeof(zeros) ? (size_t) (n - done) : sizeof(zeros);
		int r = file_pwrite_full(fd, zeros, part, first + done);

		if (r < 0)
			return r;
		done += part;
	}
	return 0;
}

/* Checksums that came with the bytes. 0 = they hold; else answered. */
static int check_sums(struct blob *b, bool *ret_bad)
{
	static const struct {
		const char *header, *code, *text;
		int (*sum)(const void *p, size_t n, char *ret);
	} sums[] = {
		{"Content-MD5", "Md5Mismatch",
		 "The MD5 value specified in the request did not match the MD5 value calculated by "
		 "the server.",
		 sum_md5},
		{"x-ms-content-crc64", "Crc64Mismatch",
		 "The CRC64 value specified in the request did not match the CRC64 value "
		 "calculated by the server.",
		 sum_crc64},
	};

	*ret_bad = false;
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		const char *given = blob_header(b, sums[i].header);
		char is[32];
		int r;

		if (!given)
			continue;
		r = sums[i].sum(b->req->body, b->req->body_bytes, is);
		if (r == 0 && strcmp(given, is) == 0)
			r = blob_set(b, sums[i].header, is);
		else if (r == 0)
			*ret_bad = true;
		if (r < 0 || *ret_bad)
			return r < 0 ? r : blob_fail(b, 400, sums[i].code, sums[i].text);
	}
	return 0;
}

static int update(struct blob *b, uint64_t first, uint64_t n)
{
	bool wrong;
	int r;

	if (b->req->body_bytes != n)
		return blob_fail(b, 400, "InvalidHeaderValue",
				 "The range must have as many bytes as the body.");
	if (n > BLOB_BODY_MAX)
		return blob_fail(b, 413, "RequestBodyTooLarge",
				 "At most 4 MiB can be written at once.");
	r = check_sums(b, &wrong);
	if (r < 0 || wrong)
		return r;
	r = file_pwrite_full(b->fd, b->req->body, n, first);
	b->res->status = 201;
	return r;
}

static int write_range(struct blob *b, uint64_t first, uint64_t n)
{
	const char *what = blob_header(b, "x-ms-page-write");
	int r;

	if (what && str_eq_nocase(what, "update")) {
		r = update(b, first, n);
	} else if (what && str_eq_nocase(what, "clear")) {
		if (b->req->body_bytes > 0)
			return blob_fail(b, 400, "InvalidHeaderValue", "Clear takes no body.");
		r = clear(b->fd, first, n);
		b->res->status = 201;
	} else {
		return blob_fail(b, 400, "InvalidHeaderValue",
				 "x-ms-page-write must be update or clear.");
	}
	/* What is acknowledged is on the disk. */
	if (r == 0 && b->res->status == 201 && fdatasync(b->fd) < 0)
		r = -errno;
	return r;
}

int blob_put_page(struct blob *b)
{
	uint64_t first, last;
	int r = blob_range(b, &first, &last);

	if (blob_header(b, "x-ms-structured-body"))
		return blob_fail(b, 400, "UnsupportedHeader",
				 "x-ms-structured-body is not supported here.");
	if (blob_header(b, "x-ms-copy-source"))
		return blob_fail(b, 400, "UnsupportedHeader",
				 "Pages cannot be copied from a URL here.");
	if (r <= 0)
		return blob_fail(b, r < 0 ? 416 : 400,
				 r < 0 ? "InvalidPageRange" : "MissingRequiredHeader",
				 "x-ms-range: bytes=FIRST-LAST within the blob expected.");
	if (first % BLOB_PAGE != 0 || (last + 1) % BLOB_PAGE != 0)
		return blob_fail(b, 416, "InvalidPageRange",
				 "The page range must begin and end at multiples of 512.");
	r = write_range(b, first, last - first + 1);
	if (r < 0 || b->res->status != 201)
		return r;
	r = blob_stamp(b);
	if (r == 0)
		r = blob_set(b, "x-ms-request-server-encrypted", "false");
	return r < 0 ? r : blob_set(b, "x-ms-blob-sequence-number", "0");
}

/* ---- Page ranges ---------------------------------------------------------------------------- */

/* The next run of data at or after @at; pages that only partly hold data count whole.
 * 0, -ENXIO (no more), or -errno. */
static int next_data(int fd, uint64_t at, uint64_t *ret_first, uint64_t *ret_end)
{
	off_t first = lseek(fd, (off_t) at, SEEK_DATA), end;

	if (first < 0)
		return -errno;
	end = lseek(fd, first, SEEK_HOLE);
	if (end < 0)
		return -errno;
	*ret_first = (uint64_t) first / BLOB_PAGE * BLOB_PAGE;
	if (*ret_first < at)
		*ret_first = at;
	*ret_end = ((uint64_t) end + BLOB_PAGE - 1) / BLOB_PAGE * BLOB_PAGE;
	return 0;
}

static int list_ranges(struct blob *b, uint64_t first, uint64_t last, unsigned max, struct buf *out)
{
	uint64_t at = first, from = 0, end = 0;
	unsigned n = 0;

	for (;; n++) {
		int r = at <= last ? next_data(b->fd, at, &from, &end) : -ENXIO;

		if (r == -ENXIO || (r == 0 && from > last))
			return buf_addf(out, "<NextMarker/>");
		if (r < 0)
			return r;
		if (n == max)
			return buf_addf(out, "<NextMarker>%" PRIu64 "</NextMarker>", from);
		at = end <= last ? end : last + 1;
		r = buf_addf(out,
			     "<PageRange><Start>%" PRIu64 "</Start><End>%" PRIu64 "</End>"
			     "</PageRange>",
			     from, at - 1);
		if (r < 0)
			return r;
	}
}

static uint64_t query_number(const struct blob *b, const char *key, uint64_t dflt)
{
	const char *s = target_query(b->target, key);
	char *end = NULL;
	unsigned long long v = s && *s ? strtoull(s, &end, 10) : 0;

	return end && !*end ? v : dflt;
}

int blob_page_list(struct blob *b)
{
	uint64_t first = 0, last = b->bytes - 1, max, marker;
	auto_buf struct buf out = BUF_INIT(4u << 20);
	char size[24];
	int r = blob_range(b, &first, &last);

	if (r < 0)
		return blob_fail(b, 416, "InvalidRange", "The range is not within the blob.");
	if (target_query(b->target, "prevsnapshot") || target_query(b->target, "snapshot"))
		return blob_fail(b, 400, "InvalidQueryParameterValue",
				 "This blob has no snapshots.");
	marker = query_number(b, "marker", first);
	max = query_number(b, "maxresults", BLOB_LIST_MAX);
	if (max == 0 || max > BLOB_LIST_MAX)
		max = BLOB_LIST_MAX;
	r = buf_addf(&out, "<?xml version=\"1.0\" encoding=\"utf-8\"?><PageList>");
	if (r == 0)
		r = list_ranges(b, marker > first ? marker : first, last, (unsigned) max, &out);
	if (r == 0)
		r = buf_addf(&out, "</PageList>");
	if (r == 0)
		r = blob_stamp(b);
	(void) snprintf(size, sizeof(size), "%" PRIu64, b->bytes);
	if (r == 0)
		r = blob_set(b, "x-ms-blob-content-length", size);
	b->res->status = 200;
	return r < 0 ? r : arm_response_text(b->res, "application/xml", out.data, out.len);
}
