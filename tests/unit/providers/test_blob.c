/* SPDX-License-Identifier: Apache-2.0 */
/* Upload and download of VHDs by signed URLs, as storage clients do it. */
#include "harness.h"

#include "base/file.h"
#include "disk/vhd.h"
#include "providers/blob.h"

#define API   "2022-07-02"
#define D     "@disks/up"
#define BYTES (1u << 20)
#define BLOB  (BYTES + 512)

struct headers {
	const char *name, *value;
};

static const char *find_header(void *arg, const char *name)
{
	for (const struct headers *h = arg; h->name; h++)
		if (strcasecmp(h->name, name) == 0)
			return h->value;
	return NULL;
}

/* One request to a signed URL. */
static int blob(struct harness *h, const char *method, const char *url, const char *query,
		const struct headers *headers, const void *body, size_t n, struct arm_response *ret)
{
	char *target = strf("%s%s", strstr(url, "/blob/"), query);
	struct arm_request q = {.method = method,
				.target = target,
				.body = body,
				.body_bytes = n,
				.header = find_header,
				.header_arg = (void *) (uintptr_t) headers};

	q.if_match = find_header(q.header_arg, "If-Match");
	q.if_none_match = find_header(q.header_arg, "If-None-Match");
	arm_handle(h->app->arm, &q, ret);
	free(target);
	return ret->status;
}

static const char *sent(const struct arm_response *r, const char *name)
{
	for (size_t i = 0; i < r->n_headers; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return "";
}

static void read_all(const struct arm_response *r, uint8_t *dst, size_t n)
{
	size_t at = 0;

	assert_int_equal(r->stream.bytes, n);
	while (at < n) {
		int64_t got = r->stream.read(r->stream.arg, dst + at, n - at, at, NULL);

		assert_true(got > 0);
		at += (size_t) got;
	}
}

static void expect_fail(struct harness *h, const char *method, const char *url, const char *query,
			const struct headers *headers, const void *body, size_t n, int status,
			const char *code)
{
	struct arm_response r = {0};

	if (blob(h, method, url, query, headers, body, n, &r) != status ||
	    strcmp(sent(&r, "x-ms-error-code"), code) != 0)
		fail_msg("%s%s: %d %s, expected %d %s", method, query, r.status,
			 sent(&r, "x-ms-error-code"), status, code);
	arm_response_done(&r);
}

static const struct headers none[] = {{NULL}};

static char *begin_upload(struct harness *h)
{
	expect_ok(h, "PUT", D, API,
		  "{'location':'eastus','properties':{'osType':'Linux','hyperVGeneration':'V2',"
		  "'creationData':{'createOption':'Upload','uploadSizeBytes':1049088}}}");
	expect_ok(h, "GET", D, API, NULL);
	assert_string_equal(text_at(h, "properties.diskState"), "ReadyToUpload");
	expect_ok(h, "POST", D "/beginGetAccess", API,
		  "{'access':'Write','durationInSeconds':3600}");
	return strdup(text_at(h, "accessSAS"));
}

static void fill(uint8_t *vhd)
{
	static const uint8_t id[16] = {9};

	memset(vhd, 0, BLOB);
	memset(vhd + 65536, 'k', 70000);
	vhd_footer(BYTES, id, vhd + BYTES);
}

static void put_pages(struct harness *h, const char *url, const uint8_t *vhd)
{
	const size_t step = 262144;

	for (size_t at = 0; at < BLOB; at += step) {
		size_t n = BLOB - at < step ? BLOB - at : step;
		char range[64];
		const struct headers hs[] = {
			{"x-ms-page-write", "update"}, {"x-ms-range", range}, {NULL}};
		struct arm_response r = {0};

		(void) snprintf(range, sizeof(range), "bytes=%zu-%zu", at, at + n - 1);
		assert_int_equal(blob(h, "PUT", url, "&comp=page", hs, vhd + at, n, &r), 201);
		assert_non_null(r.etag);
		arm_response_done(&r);
	}
}

static void upload_becomes_the_content(void **state)
{
	struct harness *h = *state;
	uint8_t *vhd = malloc(BLOB), *back = malloc(BLOB);
	char *url = begin_upload(h), *path;
	struct arm_response r = {0};

	assert_non_null(vhd);
	assert_non_null(back);
	fill(vhd);
	put_pages(h, url, vhd);
	expect_ok(h, "GET", D, API, NULL);
	assert_string_equal(text_at(h, "properties.diskState"), "ActiveUpload");
	path = strf("%s/uploads/%s.vhd", h->dir, text_at(h, "properties.uniqueId"));
	assert_true(file_exists(path));
	expect_error(h, "DELETE", D, API, NULL, 409, "OperationNotAllowed", NULL);
	expect_ok(h, "POST", D "/endGetAccess", API, NULL);
	assert_false(file_exists(path));
	/* The URL ended with the access. */
	expect_fail(h, "GET", url, "", none, NULL, 0, 403, "AuthenticationFailed");
	expect_ok(h, "GET", D, API, NULL);
	assert_string_equal(text_at(h, "properties.diskState"), "Unattached");
	assert_int_equal(json_int_at(h->body, "properties.diskSizeBytes", 0), BYTES);
	/* And back again. */
	expect_ok(h, "POST", D "/beginGetAccess", API,
		  "{'access':'Read','durationInSeconds':3600}");
	assert_int_equal(h->status, 202);
	expect_ok(h, "GET", h->location, API, NULL);
	free(url);
	url = strdup(text_at(h, "accessSAS"));
	assert_int_equal(blob(h, "GET", url, "", none, NULL, 0, &r), 200);
	assert_string_equal(sent(&r, "x-ms-blob-type"), "PageBlob");
	read_all(&r, back, BLOB);
	assert_memory_equal(back, vhd, BYTES);
	arm_response_done(&r);
	expect_fail(h, "PUT", url, "&comp=page", none, NULL, 0, 403,
		    "AuthorizationPermissionMismatch");
	expect_ok(h, "POST", D "/endGetAccess", API, NULL);
	expect_ok(h, "POST", D "/endGetAccess", API, NULL);
	assert_false(file_exists(path));
	expect_ok(h, "DELETE", D, API, NULL);
	free(path);
	free(url);
	free(vhd);
	free(back);
}

static void ranges_and_conditions(void **state)
{
	struct harness *h = *state;
	uint8_t *vhd = malloc(BLOB), part[1024];
	char *url = begin_upload(h), *etag, *list;
	const struct headers range[] = {{"Range", "bytes=65500-66523"}, {NULL}};
	const struct headers clear[] = {
		{"x-ms-page-write", "clear"}, {"x-ms-range", "bytes=65536-131071"}, {NULL}};
	struct headers match[] = {{"If-Match", NULL}, {NULL}};
	struct arm_response r = {0};

	assert_non_null(vhd);
	fill(vhd);
	put_pages(h, url, vhd);
	assert_int_equal(blob(h, "GET", url, "", range, NULL, 0, &r), 206);
	assert_string_equal(sent(&r, "Content-Range"), "bytes 65500-66523/1049088");
	read_all(&r, part, sizeof(part));
	assert_memory_equal(part, vhd + 65500, sizeof(part));
	arm_response_done(&r);
	assert_int_equal(blob(h, "HEAD", url, "", none, NULL, 0, &r), 200);
	assert_int_equal(r.stream.bytes, BLOB);
	etag = strdup(r.etag);
	arm_response_done(&r);
	match[0].value = etag;
	assert_int_equal(blob(h, "GET", url, "", match, NULL, 0, &r), 200);
	arm_response_done(&r);
	assert_int_equal(blob(h, "PUT", url, "&comp=page", clear, NULL, 0, &r), 201);
	arm_response_done(&r);
	expect_fail(h, "GET", url, "", match, NULL, 0, 412, "ConditionNotMet");
	assert_int_equal(blob(h, "GET", url, "&comp=pagelist", none, NULL, 0, &r), 200);
	assert_string_equal(sent(&r, "x-ms-blob-content-length"), "1049088");
	list = calloc(1, r.stream.bytes + 1);
	read_all(&r, (uint8_t *) list, r.stream.bytes);
	assert_non_null(strstr(list, "<End>1049087</End>"));
	assert_non_null(strstr(list, "<NextMarker/>"));
	arm_response_done(&r);
	assert_int_equal(blob(h, "GET", url, "&comp=metadata", none, NULL, 0, &r), 200);
	assert_null(r.stream.read);
	arm_response_done(&r);
	assert_int_equal(blob(h, "GET", url, "&restype=account&comp=properties", none, NULL, 0, &r),
			 200);
	assert_string_equal(sent(&r, "x-ms-account-kind"), "StorageV2");
	assert_null(r.stream.read);
	arm_response_done(&r);
	expect_fail(h, "GET", url, "&restype=container&comp=list", none, NULL, 0, 403,
		    "AuthorizationPermissionMismatch");
	free(list);
	free(etag);
	free(url);
	free(vhd);
}

static void bad_pages_are_refused(void **state)
{
	static const struct {
		const char *write, *range, *md5;
		size_t n;
		int status;
		const char *code;
	} bad[] = {
		{"update", "bytes=0-511", NULL, 1024, 400, "InvalidHeaderValue"},
		{"update", "bytes=1-512", NULL, 512, 416, "InvalidPageRange"},
		{"update", "bytes=1049088-1049599", NULL, 512, 416, "InvalidPageRange"},
		{"update", NULL, NULL, 512, 400, "MissingRequiredHeader"},
		{"update", "bytes=99999999999999999999-1", NULL, 512, 416, "InvalidPageRange"},
		{"append", "bytes=0-511", NULL, 512, 400, "InvalidHeaderValue"},
		{"update", "bytes=0-511", "AAAAAAAAAAAAAAAAAAAAAA==", 512, 400, "Md5Mismatch"},
	};
	struct harness *h = *state;
	char *url = begin_upload(h);
	uint8_t page[1024] = {1};
	const struct headers small[] = {
		{"x-ms-blob-type", "PageBlob"}, {"x-ms-blob-content-length", "512"}, {NULL}};
	const struct headers block[] = {{"x-ms-blob-type", "BlockBlob"}, {NULL}};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct headers hs[] = {{"x-ms-page-write", bad[i].write},
					     {bad[i].range ? "x-ms-range" : "x-none", bad[i].range},
					     {bad[i].md5 ? "Content-MD5" : "x-none", bad[i].md5},
					     {NULL}};

		expect_fail(h, "PUT", url, "&comp=page", hs, page, bad[i].n, bad[i].status,
			    bad[i].code);
	}
	expect_fail(h, "PUT", url, "", small, NULL, 0, 400, "InvalidHeaderValue");
	expect_fail(h, "PUT", url, "", block, NULL, 0, 400, "InvalidBlobType");
	expect_fail(h, "DELETE", url, "", none, NULL, 0, 403, "AuthorizationPermissionMismatch");
	expect_fail(h, "PUT", url, "&comp=lease", none, NULL, 0, 400, "InvalidQueryParameterValue");
	free(url);
}

/* Every character of the signed part counts. */
static void forged_urls_are_refused(void **state)
{
	struct harness *h = *state;
	char *url = begin_upload(h);

	for (char *p = strstr(url, "/blob/") + 6; *p; p++) {
		char was = *p;
		struct arm_response r = {0};

		if (strchr("/?&=", was))
			continue;
		*p = was == 'x' ? 'y' : 'x';
		assert_int_equal(blob(h, "GET", url, "", none, NULL, 0, &r), 403);
		arm_response_done(&r);
		*p = was;
	}
	free(url);
}

static void what_is_no_vhd_says_so(void **state)
{
	struct harness *h = *state;
	char *url = begin_upload(h);
	uint8_t *vhd = calloc(1, BLOB);

	assert_non_null(vhd);
	expect_ok(h, "GET", D, API, NULL);
	call(h, "POST", D "/endGetAccess", API, NULL);
	assert_true(h->work < 0);
	assert_string_equal(h->code, "InvalidVhd");
	expect_ok(h, "POST", D "/beginGetAccess", API,
		  "{'access':'Write','durationInSeconds':3600}");
	free(url);
	url = strdup(text_at(h, "accessSAS"));
	memcpy(vhd, "QFI\xfb", 4);
	put_pages(h, url, vhd);
	call(h, "POST", D "/endGetAccess", API, NULL);
	assert_true(h->work < 0);
	assert_string_equal(h->code, "InvalidVhd");
	assert_non_null(strstr(h->message, "qcow2"));
	expect_ok(h, "GET", D, API, NULL);
	assert_string_equal(text_at(h, "properties.diskState"), "ReadyToUpload");
	expect_error(h, "POST", D "/beginGetAccess", API,
		     "{'access':'Read','durationInSeconds':60}", 409, "OperationNotAllowed", NULL);
	expect_ok(h, "DELETE", D, API, NULL);
	free(vhd);
	free(url);
}

static void checksums(void **state)
{
	char md5[25], crc[13];

	assert_int_equal(sum_md5("", 0, md5), 0);
	assert_string_equal(md5, "1B2M2Y8AsgTpgAmY7PhCfg==");
	/* 0xae8b14860a799888 for "123456789", little-endian. */
	assert_int_equal(sum_crc64("123456789", 9, crc), 0);
	assert_string_equal(crc, "iJh5CoYUi64=");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(upload_becomes_the_content), T(ranges_and_conditions),
		T(bad_pages_are_refused),      T(forged_urls_are_refused),
		T(what_is_no_vhd_says_so),     cmocka_unit_test(checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
