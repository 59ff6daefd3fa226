/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/blob.h"

#include <fcntl.h>
#include <inttypes.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "providers/disk.h"
#include "providers/upload.h"

/* ---- Headers -------------------------------------------------------------------------------- */

const char *blob_header(const struct blob *b, const char *name)
{
	return b->req->header ? b->req->header(b->req->header_arg, name) : NULL;
}

int blob_set(struct blob *b, const char *name, const char *value)
{
	return arm_response_header(b->res, name, value);
}

static int set_number(struct blob *b, const char *name, uint64_t v)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%" PRIu64, v);
	return blob_set(b, name, text);
}

static int set_common(struct blob *b)
{
	const char *version = blob_header(b, "x-ms-version");
	const char *id = b->req->client_request_id ? b->req->client_request_id
						   : blob_header(b, "x-ms-client-request-id");
	int r = 0;

	if (!version || blob_set(b, "x-ms-version", version) < 0)
		r = blob_set(b, "x-ms-version", SAS_VERSION);
	if (r == 0 && id && blob_set(b, "x-ms-client-request-id", id) == -ENOMEM)
		r = -ENOMEM;
	return r;
}

int blob_fail(struct blob *b, int status, const char *code, const char *message)
{
	auto_free char *text = strf("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Error><Code>%s"
				    "</Code><Message>%s</Message></Error>",
				    code, message);
	int r = text ? blob_set(b, "x-ms-error-code", code) : -ENOMEM;

	b->res->status = status;
	if (r < 0 || status == 304 || str_eq(b->req->method, "HEAD"))
		return r;
	return arm_response_text(b->res, "application/xml", text, strlen(text));
}

/* ---- Etags and dates ------------------------------------------------------------------------ */

static int etag_of(int fd, char ret[48], time_t *ret_mtime)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	(void) snprintf(ret, 48, "\"0x%llX%09lX\"", (unsigned long long) st.st_mtim.tv_sec,
			(unsigned long) st.st_mtim.tv_nsec);
	*ret_mtime = st.st_mtim.tv_sec;
	return 0;
}

int blob_stamp(struct blob *b)
{
	char etag[48], date[64];
	struct tm tm;
	time_t at;
	int r = etag_of(b->fd, etag, &at);

	if (r < 0)
		return r;
	free(b->res->etag);
	b->res->etag = strdup(etag);
	if (!b->res->etag || !gmtime_r(&at, &tm))
		return -ENOMEM;
	(void) strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	return blob_set(b, "Last-Modified", date);
}

static bool in_list(const char *list, const char *etag)
{
	return list[strspn(list, " ")] == '*' || strstr(list, etag);
}

static bool http_date(const char *text, time_t *ret)
{
	struct tm tm = {0};

	if (!text || !strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return false;
	*ret = timegm(&tm);
	return true;
}

/* 0 = go on; else answered with the status. */
static int check_conditions(struct blob *b, int *ret_status)
{
	const char *match = b->req->if_match, *none = b->req->if_none_match;
	bool read = str_eq(b->req->method, "GET") || str_eq(b->req->method, "HEAD");
	char etag[48];
	time_t at = 0, given = 0;
	int r = etag_of(b->fd, etag, &at);

	*ret_status = 0;
	if (r < 0)
		return r;
	if (match && !in_list(match, etag))
		*ret_status = 412;
	else if (none && in_list(none, etag))
		*ret_status = read ? 304 : 412;
	else if (http_date(blob_header(b, "If-Unmodified-Since"), &given) && at > given)
		*ret_status = 412;
	else if (http_date(blob_header(b, "If-Modified-Since"), &given) && at <= given)
		*ret_status = read ? 304 : 412;
	if (*ret_status)
		return blob_fail(b, *ret_status, "ConditionNotMet",
				 "The condition specified using HTTP conditional header(s) is not "
				 "met.");
	return 0;
}

/* ---- Ranges --------------------------------------------------------------------------------- */

static bool number(const char **p, uint64_t *ret)
{
	uint64_t v = 0;
	const char *s = *p;

	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t) (*s - '0'), &v))
			return false;
	if (s == *p)
		return false;
	*p = s;
	*ret = v;
	return true;
}

int blob_range(const struct blob *b, uint64_t *ret_first, uint64_t *ret_last)
{
	const char *p = blob_header(b, "x-ms-range");
	uint64_t first, last = UINT64_MAX;

	if (!p)
		p = blob_header(b, "Range");
	if (!p)
		return 0;
	if (strncmp(p, "bytes=", 6) != 0)
		return -EINVAL;
	p += 6;
	if (!number(&p, &first) || *p++ != '-' || (*p && !number(&p, &last)) || *p)
		return -EINVAL;
	if (last < first || first >= b->bytes)
		return -EINVAL;
	*ret_first = first;
	*ret_last = last < b->bytes ? last : b->bytes - 1;
	return 1;
}

static int bad_range(struct blob *b)
{
	char text[64];

	(void) snprintf(text, sizeof(text), "bytes */%" PRIu64, b->bytes);
	if (blob_set(b, "Content-Range", text) < 0)
		return -ENOMEM;
	return blob_fail(b, 416, "InvalidRange",
			 "The range specified is invalid for the current size of the resource.");
}

/* ---- Reading -------------------------------------------------------------------------------- */

struct reading {
	int fd;
	uint64_t start;
};

static int64_t read_file(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	const struct reading *s = arg;
	ssize_t got;

	do
		got = sys_get()->pread(s->fd, dst, n, (off_t) (s->start + offset));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_set(err, -errno, "blob: %s", strerror(errno));
	return got == 0 ? err_set(err, -ENODATA, "blob: its file ends early") : got;
}

static void read_done(void *arg)
{
	struct reading *s = arg;

	closep(&s->fd);
	free(s);
}

static int set_stream(struct blob *b, uint64_t first, uint64_t n)
{
	struct reading *s = malloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = (struct reading){.fd = take_fd(b->fd), .start = first};
	b->res->stream = (struct arm_stream){
		.read = read_file,
		.done = read_done,
		.arg = s,
		.bytes = n,
		.content_type = "application/octet-stream",
	};
	return 0;
}

/* A checksum of the range, when asked for: at most 4 MiB. */
static int range_sum(struct blob *b, uint64_t first, uint64_t n)
{
	const char *md5 = blob_header(b, "x-ms-range-get-content-md5");
	const char *crc = blob_header(b, "x-ms-range-get-content-crc64");
	auto_free void *data = NULL;
	char text[32];
	bool want_md5 = md5 && str_eq_nocase(md5, "true");
	bool want_crc = crc && str_eq_nocase(crc, "true");
	int r;

	if (!want_md5 && !want_crc)
		return 0;
	if (n > BLOB_BODY_MAX)
		return -E2BIG;
	data = malloc(n);
	r = data ? file_pread_full(b->fd, data, n, first) : -ENOMEM;
	if (r == 0)
		r = want_md5 ? sum_md5(data, n, text) : sum_crc64(data, n, text);
	return r < 0 ? r : blob_set(b, want_md5 ? "Content-MD5" : "x-ms-content-crc64", text);
}

static int get_blob(struct blob *b)
{
	bool head = str_eq(b->req->method, "HEAD");
	uint64_t first = 0, last = b->bytes - 1;
	int part = head ? 0 : blob_range(b, &first, &last), r;
	char text[80];

	if (part < 0)
		return bad_range(b);
	r = part ? range_sum(b, first, last - first + 1) : 0;
	if (r == -E2BIG)
		return blob_fail(b, 400, "OutOfRangeInput",
				 "A checksum can be asked for at most 4 MiB.");
	if (r == 0)
		r = blob_stamp(b);
	if (r == 0)
		r = blob_set(b, "Accept-Ranges", "bytes");
	if (r == 0)
		r = blob_set(b, "x-ms-blob-type", "PageBlob");
	if (r == 0)
		r = blob_set(b, "x-ms-blob-sequence-number", "0");
	if (r == 0)
		r = blob_set(b, "x-ms-lease-status", "unlocked");
	if (r == 0)
		r = blob_set(b, "x-ms-lease-state", "available");
	if (r == 0 && part) {
		(void) snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first,
				last, b->bytes);
		r = blob_set(b, "Content-Range", text);
	}
	b->res->status = part ? 206 : 200;
	return r < 0 ? r : set_stream(b, first, last - first + 1);
}

/* ---- Writing -------------------------------------------------------------------------------- */

static int answer(struct blob *b, int status)
{
	int r = blob_stamp(b);

	if (r == 0)
		r = blob_set(b, "x-ms-request-server-encrypted", "false");
	if (r == 0)
		r = set_number(b, "x-ms-blob-sequence-number", 0);
	b->res->status = status;
	return r;
}

/* The blob is there from the beginning, with the size that the disk was announced with: making it
 * empties it. */
static int put_blob(struct blob *b)
{
	const char *type = blob_header(b, "x-ms-blob-type");
	const char *size = blob_header(b, "x-ms-blob-content-length");
	uint64_t bytes;

	if (!type || !str_eq_nocase(type, "PageBlob"))
		return blob_fail(b, 400, "InvalidBlobType",
				 "A disk is written as a page blob: x-ms-blob-type must be "
				 "PageBlob.");
	if (!size || !number(&size, &bytes) || *size || bytes != b->bytes) {
		char text[160];

		(void) snprintf(text, sizeof(text),
				"x-ms-blob-content-length must be %" PRIu64
				", the uploadSizeBytes of the disk.",
				b->bytes);
		return blob_fail(b, 400, "InvalidHeaderValue", text);
	}
	if (sys_get()->ftruncate(b->fd, 0) < 0 || sys_get()->ftruncate(b->fd, (off_t) b->bytes) < 0)
		return -errno;
	return answer(b, 201);
}

/* Headers and metadata of a blob that becomes a disk mean nothing; its size cannot change. */
static int set_properties(struct blob *b)
{
	const char *size = blob_header(b, "x-ms-blob-content-length");
	uint64_t bytes;

	if (size && (!number(&size, &bytes) || bytes != b->bytes))
		return blob_fail(b, 400, "InvalidHeaderValue",
				 "The size of a disk's blob cannot change.");
	return answer(b, 200);
}

static int put(struct blob *b, const char *comp)
{
	if (!comp)
		return put_blob(b);
	if (str_eq_nocase(comp, "page"))
		return blob_put_page(b);
	if (str_eq_nocase(comp, "properties") || str_eq_nocase(comp, "metadata"))
		return set_properties(b);
	return blob_fail(b, 400, "InvalidQueryParameterValue",
			 "comp: page, properties and metadata can be written here.");
}

/* Headers alone: what Get Blob answers, without its bytes. */
static int get_headers(struct blob *b)
{
	const struct arm_stream none = {0};
	int r = get_blob(b);

	if (r < 0 || !b->res->stream.done)
		return r;
	b->res->stream.done(b->res->stream.arg);
	b->res->stream = none;
	b->res->status = 200;
	return 0;
}

/* azcopy asks what kind of account it talks to. */
static int get_account(struct blob *b)
{
	int r = blob_set(b, "x-ms-sku-name", "Standard_LRS");

	if (r == 0)
		r = blob_set(b, "x-ms-account-kind", "StorageV2");
	if (r == 0)
		r = blob_set(b, "x-ms-is-hns-enabled", "false");
	b->res->status = 200;
	return r;
}

static int get(struct blob *b, const char *comp)
{
	const char *restype = target_query(b->target, "restype");

	if (restype && str_eq_nocase(restype, "account"))
		return get_account(b);
	if (restype)
		return -EPERM; /* a signature for one blob lists no container */
	if (comp && !str_eq_nocase(comp, "pagelist") && !str_eq(b->req->method, "HEAD") &&
	    (str_eq_nocase(comp, "metadata") || str_eq_nocase(comp, "properties")))
		return get_headers(b);
	if (!comp || str_eq_nocase(comp, "metadata") || str_eq_nocase(comp, "properties"))
		return get_blob(b);
	if (str_eq_nocase(comp, "pagelist"))
		return blob_page_list(b);
	return blob_fail(b, 400, "InvalidQueryParameterValue",
			 "comp: pagelist, properties and metadata can be read here.");
}

/* ---- One request ---------------------------------------------------------------------------- */

static int dispatch(struct blob *b)
{
	const char *comp = target_query(b->target, "comp");
	int status = 0;
	int r = check_conditions(b, &status);

	if (r < 0 || status)
		return r;
	return str_eq(b->req->method, "PUT") ? put(b, comp) : get(b, comp);
}

static int open_blob(struct blob *b, struct err *err)
{
	bool write = str_eq(b->req->method, "PUT");
	const json_t *doc = b->sas.doc;
	struct sas_target again = {0};
	struct stat st;
	int r;

	b->bytes = b->sas.write ? (uint64_t) json_int_at(doc, D_UPLOAD, 0)
				: (uint64_t) json_int_at(doc, D_BYTES, 0) + BLOB_PAGE;
	if (write && !b->sas.write)
		return -EPERM;
	r = upload_open(b->app, doc, b->sas.write, b->bytes, &b->fd, err);
	if (r < 0)
		return r;
	/* The access may have ended while we waited for the lock. */
	r = sas_check(b->app->arm, b->req->target, &again, err);
	sas_done(&again);
	if (r == 0 && (fstat(b->fd, &st) < 0 || (uint64_t) st.st_size != b->bytes))
		r = -ENOENT;
	return r;
}

static int refuse_blob(struct blob *b, int r, struct err *err)
{
	err_done(err);
	if (r == -EACCES || r == -EINVAL)
		return blob_fail(b, 403, "AuthenticationFailed",
				 "Server failed to authenticate the request. Make sure the "
				 "signature is there, formed correctly and has not ended.");
	if (r == -EPERM)
		return blob_fail(b, 403, "AuthorizationPermissionMismatch",
				 "This request is not authorized to perform this operation using "
				 "this permission.");
	if (r == -ENOENT)
		return blob_fail(b, 404, "BlobNotFound", "The specified blob does not exist.");
	if (r == -ENOSPC || r == -EDQUOT)
		return blob_fail(b, 507, "InsufficientStorage", "There is no space left.");
	return blob_fail(b, 500, "InternalError", "The server encountered an internal error.");
}

static bool known(const char *method)
{
	return str_eq(method, "GET") || str_eq(method, "HEAD") || str_eq(method, "PUT");
}

int blob_handle(struct arm *arm, const struct arm_request *req, struct arm_response *ret,
		struct err *err)
{
	auto_target struct target t = {0};
	struct blob b = {
		.app = arm_config(arm)->app, .req = req, .res = ret, .target = &t, .fd = -1};
	int r = set_common(&b);

	if (r == 0)
		r = target_parse(req->target, &t, err);
	if (r == 0)
		r = sas_check(arm, req->target, &b.sas, err);
	if (r == 0 && !known(req->method))
		r = -EPERM;
	if (r == 0)
		r = open_blob(&b, err);
	if (r == 0)
		r = dispatch(&b);
	if (r < 0)
		r = refuse_blob(&b, r, err);
	closep(&b.fd);
	sas_done(&b.sas);
	return r < 0 ? err_set(err, r, "blob: %s", strerror(-r)) : 0;
}
