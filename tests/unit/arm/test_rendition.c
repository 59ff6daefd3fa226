/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as text: the same as the documents, whatever was asked for before; and what is kept. */
#include "support.h"

#include "arm/rendition.h"

#define BOX(n) BOXES "/" n "?" V

/* ---- Answers ------------------------------------------------------------------------------ */

/* The same request, once as a document and twice as text. */
static void same(struct world *w, const char *target)
{
	struct arm_request req = {.method = "GET", .target = target, .who = &w->owner};
	struct arm_response as_json = ask_req(w, &req);
	char *want = as_json.body ? json_compact(as_json.body) : strdup("");

	assert_non_null(want);
	req.takes_text = true;
	for (unsigned i = 0; i < 2; i++) {
		struct arm_response as_text = ask_req(w, &req);

		assert_int_equal(as_text.status, as_json.status);
		assert_true(str_eq(as_text.etag, as_json.etag));
		if (as_json.status == 200) {
			assert_null(as_text.body);
			assert_int_equal(as_text.text->n, strlen(want));
			assert_memory_equal(as_text.text->bytes, want, strlen(want));
		}
		arm_response_done(&as_text);
	}
	free(want);
	arm_response_done(&as_json);
}

static void all_same(struct world *w)
{
	static const char *const options[] = {
		"?api-version=2023-01-01",
		"?api-version=2024-07-01", /* knows more fields */
		"?api-version=2023-01-01&$expand=lid",
		"?api-version=2024-07-01&%24expand=lid%22%0d",
		"?api-version=2023-01-01&$top=1",
		"?api-version=2023-01-01&$top=2&$expand=x",
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		static const char *const paths[] = {BOXES, BOXES "/b1", BOXES "/b2", BOXES "/b3",
						    BOXES "/none"};

		for (size_t k = 0; k < ARRAY_SIZE(paths); k++) {
			auto_free char *target = strf("%s%s", paths[k], options[i]);

			same(w, target);
		}
	}
}

static void answers(void **state)
{
	struct world *w = *state;

	all_same(w);
	expect_drop(w, "PUT", BOX("b1"),
		    "{\"location\":\"eastus\",\"properties\":{\"description\":\"a \\\"\\u00e9\","
		    "\"weight\":1.0}}",
		    201, NULL);
	all_same(w);
	expect_drop(w, "PUT", BOXES "/b2?api-version=2024-07-01",
		    "{\"location\":\"eastus\",\"properties\":{\"modern\":\"yes\"}}", 201, NULL);
	expect_drop(w, "PUT", BOX("B3"), "{\"location\":\"westeurope\"}", 201, NULL);
	all_same(w);
	expect_drop(w, "PUT", BOX("b1"),
		    "{\"location\":\"eastus\",\"properties\":{\"description\":\"b\"}}", 200, NULL);
	all_same(w);
	expect_drop(w, "DELETE", BOX("b1"), NULL, 200, NULL);
	all_same(w);
	expect_drop(w, "PUT", BOX("b1"), "{\"location\":\"eastus\"}", 201, NULL);
	all_same(w);
}

/* What another server wrote to the shared database is seen at once. */
static void written_elsewhere(void **state)
{
	struct world *w = *state, *far = world_open(w->url);

	expect_drop(w, "PUT", BOX("b1"), "{\"location\":\"eastus\"}", 201, NULL);
	all_same(w);
	expect_drop(far, "PUT", BOX("b1"),
		    "{\"location\":\"eastus\",\"properties\":{\"description\":\"far\"}}", 200,
		    NULL);
	all_same(w);
	all_same(far);
	world_close(far);
}

static void head_and_unchanged(void **state)
{
	struct world *w = *state;
	struct arm_request req = {
		.method = "HEAD", .target = BOX("b1"), .who = &w->owner, .takes_text = true};
	struct arm_response res;
	char *etag;

	expect_drop(w, "PUT", BOX("b1"), "{\"location\":\"eastus\"}", 201, NULL);
	same(w, BOX("b1"));
	res = ask_req(w, &req);
	assert_int_equal(res.status, 204);
	assert_null(res.text);
	assert_null(res.body);
	etag = take_ptr(res.etag);
	assert_non_null(etag);
	arm_response_done(&res);
	req.method = "GET";
	req.if_none_match = etag;
	res = ask_req(w, &req);
	assert_int_equal(res.status, 304);
	assert_null(res.text);
	assert_string_equal(res.etag, etag);
	arm_response_done(&res);
	free(etag);
}

/* ---- What is kept ------------------------------------------------------------------------- */

static struct rendition_key key_of(const char *key, int64_t revision)
{
	return (struct rendition_key){key, "v", strlen(key), 1, revision, 1};
}

static bool has(struct renditions *r, const struct rendition_key *k, const char *text)
{
	struct arm_text *t = renditions_get(r, k);
	bool same_text = t && t->n == strlen(text) && memcmp(t->bytes, text, t->n) == 0;

	assert_true(!t || same_text);
	arm_text_unref(t);
	return same_text;
}

static void put(struct renditions *r, const struct rendition_key *k, const char *text)
{
	struct arm_text *t = renditions_put(r, k, text, strlen(text));

	assert_non_null(t);
	assert_int_equal(t->n, strlen(text));
	arm_text_unref(t);
}

static void by_row_and_variant(void **state)
{
	struct rendition_key k = key_of("/a", 7);
	struct renditions *r;

	(void) state;
	assert_int_equal(renditions_new(1 << 20, &r, NULL), 0);
	put(r, &k, "one");
	assert_true(has(r, &k, "one"));
	k.changes = 2;
	assert_null(renditions_get(r, &k));
	k.changes = 1;
	k.revision = 8;
	assert_null(renditions_get(r, &k));
	k.revision = 7;
	k.variant = "w";
	assert_null(renditions_get(r, &k));
	put(r, &k, "other");
	assert_true(has(r, &k, "other"));
	k.variant = "v";
	assert_true(has(r, &k, "one"));
	k.revision = 8;
	put(r, &k, "two");
	assert_true(has(r, &k, "two"));
	renditions_free(r);
}

/* However many are put, they take no more than the bytes allowed; what is in use stays whole. */
static void bounds(void **state)
{
	const size_t max = 1 << 20, text_bytes = 1000;
	char text[1001] = "";
	struct renditions *r;
	struct rendition_key k = key_of("/held", 1);
	struct arm_text *held;
	size_t n = 0;

	(void) state;
	memset(text, 'x', text_bytes);
	assert_int_equal(renditions_new(max, &r, NULL), 0);
	held = renditions_put(r, &k, "held", 4);
	for (unsigned i = 0; i < 5000; i++) {
		char name[32];

		(void) snprintf(name, sizeof(name), "/r%u", i);
		k = key_of(name, 1);
		put(r, &k, text);
	}
	for (unsigned i = 0; i < 5000; i++) {
		char name[32];

		(void) snprintf(name, sizeof(name), "/r%u", i);
		k = key_of(name, 1);
		n += has(r, &k, text);
	}
	assert_true(n > max / text_bytes / 2);
	assert_true(n * text_bytes <= max);
	assert_memory_equal(held->bytes, "held", 4);
	arm_text_unref(held);
	renditions_free(r);
}

static void too_long(void **state)
{
	char *text = calloc(1, RENDITION_BYTES_MAX + 2);
	struct rendition_key k = key_of("/a", 1);
	struct renditions *r;

	(void) state;
	assert_non_null(text);
	memset(text, 'x', RENDITION_BYTES_MAX);
	assert_int_equal(renditions_new(RENDITIONS_BYTES, &r, NULL), 0);
	put(r, &k, text);
	assert_true(has(r, &k, text));
	text[RENDITION_BYTES_MAX] = 'x';
	k.key = "/b";
	put(r, &k, text);
	assert_null(renditions_get(r, &k));
	renditions_free(r);
	free(text);
}

int main(void)
{
	const struct dbs_test worlds[] = {
		DBS_TEST(answers),
		DBS_TEST(written_elsewhere),
		DBS_TEST(head_and_unchanged),
	};
	const struct CMUnitTest tables[] = {
		cmocka_unit_test(by_row_and_variant),
		cmocka_unit_test(bounds),
		cmocka_unit_test(too_long),
	};
	int r = dbs_run_with("arm/rendition", worlds, ARRAY_SIZE(worlds), world_setup,
			     world_teardown);

	return r + cmocka_run_group_tests_name("arm/renditions", tables, NULL, NULL);
}
