/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of rule at its limit and one past it; merging by PUT and PATCH. */
#include "support.h"

#define OLD    "2023-01-01" /* unknown fields are dropped */
#define STRICT "2024-01-01"
#define NEW    "2024-06-01"

static json_t *put(struct world *w, const char *version, const char *properties, int status)
{
	auto_free char *body = strf("{\"location\":\"eastus\",\"properties\":%s}", properties);
	auto_free char *target = strf(BOXES "/b?api-version=%s", version);

	return expect(w, "PUT", target, body, status, NULL);
}

/* Refused with this target, and the message has @says. */
static void bad(struct world *w, const char *version, const char *properties, const char *target,
		const char *says)
{
	auto_json json_t *j = put(w, version, properties, 400);

	assert_string_equal(json_str_at(j, "error.target"), target);
	if (!strstr(json_str_at(j, "error.message"), says))
		print_error("%s: %s\n", properties, json_str_at(j, "error.message"));
	assert_non_null(strstr(json_str_at(j, "error.message"), says));
}

static void good(struct world *w, const char *version, const char *properties)
{
	auto_json json_t *j = expect(w, "DELETE", BOXES "/b?" V, NULL, 200, NULL);

	json_decref(j);
	j = put(w, version, properties, 201);
}

static int setup(void **state)
{
	int r = world_setup(state);

	json_decref(put(*state, OLD, "{}", 201));
	return r;
}

static void types(void **state)
{
	struct world *w = *state;

	bad(w, OLD, "{\"description\":1}", "properties.description",
	    "an integer is given, a string is expected");
	bad(w, OLD, "{\"description\":null}", "properties.description", "null is given");
	bad(w, OLD, "{\"size\":[]}", "properties.size", "an array is given, an object");
	bad(w, OLD, "{\"size\":{\"width\":\"1\"}}", "properties.size.width",
	    "a string is given, an integer");
	bad(w, OLD, "{\"size\":{\"width\":1.0}}", "properties.size.width", "a real number");
	bad(w, OLD, "{\"parts\":{}}", "properties.parts", "an object is given, an array");
	bad(w, OLD, "{\"parts\":[3]}", "properties.parts[0]", "an integer is given, an object");
	bad(w, OLD, "{\"open\":\"true\"}", "properties.open", "true or false");
	bad(w, OLD, "{\"labels\":{\"a\":1}}", "properties.labels.a", "a string is expected");
	bad(w, OLD, "{\"until\":\"tomorrow\"}", "properties.until", "ISO 8601");
	bad(w, OLD, "{\"weight\":\"1\"}", "properties.weight", "a number is expected");
	bad(w, OLD, "[]", "properties", "an array is given, an object");
	good(w, OLD,
	     "{\"open\":null,\"weight\":2,\"until\":\"2030-01-01T12:59:59.000Z\","
	     "\"free\":{\"any\":[1,null]},\"labels\":{}}");
	good(w, OLD, "{\"weight\":2.5,\"open\":false}");
}

static void bounds(void **state)
{
	struct world *w = *state;

	good(w, OLD,
	     "{\"description\":\"\xc3\xa9"
	     "2345678901234567890\"}"); /* characters, not bytes */
	bad(w, OLD, "{\"description\":\"123456789012345678901\"}", "properties.description",
	    "21 characters are given, at most 20");
	good(w, OLD, "{\"size\":{\"width\":1}}");
	good(w, OLD, "{\"size\":{\"width\":10}}");
	bad(w, OLD, "{\"size\":{\"width\":0}}", "properties.size.width", "at least 1");
	bad(w, OLD, "{\"size\":{\"width\":11}}", "properties.size.width", "at most 10");
	bad(w, OLD, "{\"weight\":5.5}", "properties.weight", "0 to 5");
	good(w, OLD, "{\"weight\":5}");
	good(w, OLD, "{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}");
	bad(w, OLD, "{\"labels\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}}", "properties.labels",
	    "at most 2");
	good(w, OLD, "{\"parts\":[{\"type\":\"Wood\",\"tree\":\"12345678\",\"rings\":[1,2,3]}]}");
	bad(w, OLD, "{\"parts\":[{\"type\":\"Wood\",\"tree\":\"123456789\"}]}",
	    "properties.parts[0].tree", "at most 8");
	bad(w, OLD, "{\"parts\":[{\"type\":\"Wood\",\"tree\":\"\"}]}", "properties.parts[0].tree",
	    "at least 1");
	bad(w, OLD, "{\"parts\":[{\"type\":\"Wood\",\"tree\":\"t\",\"rings\":[1,2,3,4]}]}",
	    "properties.parts[0].rings", "4 items are given, at most 3");
	bad(w, OLD, "{\"parts\":[{\"type\":\"Wood\",\"tree\":\"t\",\"rings\":[1,\"2\"]}]}",
	    "properties.parts[0].rings[1]", "an integer is expected");
}

static void values_and_patterns(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = put(w, OLD, "{\"colour\":\"rED\"}", 200);

	assert_string_equal(json_str_at(j, "properties.colour"), "Red");
	bad(w, OLD, "{\"colour\":\"Blue\"}", "properties.colour",
	    "\"Blue\" is given, expected one of \"Red\", \"Green\"");
	bad(w, STRICT, "{\"colour\":\"red\"}", "properties.colour", "expected one of");
	good(w, OLD, "{\"parts\":[{\"type\":\"Steel\",\"grade\":\"304\"}]}");
	bad(w, OLD, "{\"parts\":[{\"type\":\"Steel\",\"grade\":\"3040\"}]}",
	    "properties.parts[0].grade", "matches [0-9]{3}");
	bad(w, OLD, "{\"parts\":[{\"type\":\"Steel\",\"grade\":\"304\\n\"}]}",
	    "properties.parts[0].grade", "matches");
	bad(w, OLD, "{\"parts\":[{\"type\":\"Steel\",\"grade\":\"x304\"}]}",
	    "properties.parts[0].grade", "matches");
}

static void discriminators(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL, *k = NULL;

	j = put(w, OLD,
		"{\"parts\":[{\"type\":\"wood\",\"TREE\":\"oak\",\"label\":\"l\","
		"\"grade\":\"999999\"}]}",
		200);
	assert_string_equal(json_str_at(j, "properties.parts.0.type"), "Wood");
	assert_string_equal(json_str_at(j, "properties.parts.0.tree"), "oak");
	assert_string_equal(json_str_at(j, "properties.parts.0.label"), "l");
	assert_null(json_at(j, "properties.parts.0.grade")); /* another case's field */
	bad(w, OLD, "{\"parts\":[{\"type\":\"Glass\"}]}", "properties.parts[0].type",
	    "expected one of \"Wood\", \"Steel\"");
	bad(w, OLD, "{\"parts\":[{}]}", "properties.parts[0].type", "it is missing");
	bad(w, OLD, "{\"parts\":[{\"type\":7}]}", "properties.parts[0].type", "it is no string");
	bad(w, OLD, "{\"parts\":[{\"type\":\"Steel\"},{\"type\":\"Wood\"}]}",
	    "properties.parts[1].tree", "it is missing");
	k = put(w, OLD, "{\"parts\":[{\"type\":\"Glass\"}]}", 400);
	assert_string_equal(json_str_at(k, "error.code"), "BadPartType");
	bad(w, STRICT, "{\"parts\":[{\"type\":\"wood\",\"tree\":\"t\"}]}",
	    "properties.parts[0].type", "expected one of");
	bad(w, STRICT, "{\"parts\":[{\"type\":\"Wood\",\"tree\":\"t\",\"grade\":\"304\"}]}",
	    "properties.parts[0].grade", "knows no such field");
}

static void unknown_fields(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = put(w, OLD, "{\"Description\":\"d\",\"nonsense\":1}", 200);

	assert_string_equal(json_str_at(j, "properties.description"), "d");
	assert_null(json_at(j, "properties.nonsense"));
	bad(w, STRICT, "{\"nonsense\":1}", "properties.nonsense", "knows no such field");
	bad(w, STRICT, "{\"Description\":\"d\"}", "properties.Description",
	    "it is written \"description\"");
	bad(w, STRICT, "{\"modern\":\"m\"}", "properties.modern", "knows no such field");
	bad(w, OLD, "{\"description\":\"a\",\"Description\":\"b\"}", "properties.description",
	    "given twice");
	expect_drop(w, "PUT", BOXES "/b?api-version=" STRICT,
		    "{\"location\":\"eastus\",\"junk\":1}", 400, "InvalidParameter");
	expect_drop(w, "PUT", BOXES "/b?api-version=" STRICT,
		    "{\"location\":\"eastus\",\"id\":\"x\",\"name\":\"y\",\"type\":\"z\","
		    "\"systemData\":{},\"etag\":\"e\",\"properties\":{}}",
		    200, NULL);
}

static void places_and_ids(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL;

	j = put(w, OLD, "{\"regions\":[{\"name\":\"West Europe\"}],\"twin\":\"" BOXES "/x/\"}",
		200);
	assert_string_equal(json_str_at(j, "properties.regions.0.name"), "westeurope");
	assert_string_equal(json_str_at(j, "properties.twin"), BOXES "/x");
	bad(w, OLD, "{\"regions\":[{\"name\":\"eastus\"},{\"name\":\"Mars\"}]}",
	    "properties.regions[1].name", "no region here; expected one of \"eastus\"");
	bad(w, OLD, "{\"twin\":\"x\"}", "properties.twin", "a resource id is expected");
	bad(w, OLD, "{\"twin\":\"" BOXES "\"}", "properties.twin", "a resource id is expected");
	expect_drop(w, "PUT", BOXES "/new?" V, "{\"location\":\"Mars\"}", 400,
		    "LocationNotAvailableForResourceType");
	expect_drop(w, "PUT", BOXES "/new?" V, "{}", 400, "LocationRequired");
	expect_drop(w, "PUT", BOXES "/b?" V, "{\"location\":\"westeurope\"}", 409,
		    "InvalidResourceLocation");
	expect_drop(w, "PUT", BOXES "/b?" V, "{\"location\":\"EAST us\"}", 200, NULL);
	expect_drop(w, "PUT", BOXES "/b?" V, "{}", 200, NULL); /* absent: where it was */
}

static void tags(void **state)
{
	struct world *w = *state;
	auto_free char *longest = malloc(600);
	auto_free char *body = NULL;
	auto_json json_t *many = json_object(), *whole = NULL, *j = NULL;
	char name[16];

	assert_non_null(longest);
	(void) memset(longest, 'n', 600);
	longest[512] = '\0';
	body = strf("{\"location\":\"eastus\",\"tags\":{\"%s\":\"v\"}}", longest);
	expect_drop(w, "PUT", BOXES "/b?" V, body, 200, NULL);
	free(body);
	body = strf("{\"location\":\"eastus\",\"tags\":{\"%sx\":\"v\"}}", longest);
	expect_drop(w, "PUT", BOXES "/b?" V, body, 400, "InvalidTagName");
	longest[256] = '\0';
	free(body);
	body = strf("{\"location\":\"eastus\",\"tags\":{\"n\":\"%s\"}}", longest);
	expect_drop(w, "PUT", BOXES "/b?" V, body, 200, NULL);
	free(body);
	body = strf("{\"location\":\"eastus\",\"tags\":{\"n\":\"%sx\"}}", longest);
	expect_drop(w, "PUT", BOXES "/b?" V, body, 400, "InvalidTagValue");
	expect_drop(w, "PUT", BOXES "/b?" V, "{\"tags\":{\"a/b\":\"\"}}", 400, "InvalidTagName");
	expect_drop(w, "PUT", BOXES "/b?" V, "{\"tags\":{\"a\":1}}", 400, "InvalidTag");
	expect_drop(w, "PUT", BOXES "/b?" V, "{\"tags\":{\"a\":\"1\",\"A\":\"2\"}}", 400,
		    "DuplicateTag");
	for (int i = 0; i < 51; i++) {
		if (i == 50) {
			whole = json_pack("{s:O}", "tags", many);
			free(body);
			body = json_compact(whole);
			expect_drop(w, "PUT", BOXES "/b?" V, body, 200, NULL);
		}
		(void) snprintf(name, sizeof(name), "t%d", i);
		(void) json_object_set_new(many, name, json_string("v"));
	}
	free(body);
	body = json_compact(whole);
	expect_drop(w, "PUT", BOXES "/b?" V, body, 400, "TooManyTags");

	/* PATCH: present = the whole map, absent = untouched; PUT: absent = removed */
	expect_drop(w, "PATCH", BOXES "/b?" V, "{\"tags\":{\"x\":\"1\",\"y\":\"2\"}}", 200, NULL);
	expect_drop(w, "PATCH", BOXES "/b?" V, "{\"tags\":{\"z\":\"3\"}}", 200, NULL);
	j = expect(w, "PATCH", BOXES "/b?" V, "{}", 200, NULL);
	assert_int_equal(json_object_size(json_at(j, "tags")), 1);
	assert_string_equal(json_str_at(j, "tags.z"), "3");
	json_decref(j);
	j = expect(w, "PUT", BOXES "/b?" V, "{}", 200, NULL);
	assert_null(json_at(j, "tags"));
}

static void put_removes_what_it_knows(void **state)
{
	struct world *w = *state;
	auto_json json_t *a = NULL, *b = NULL, *c = NULL, *d = NULL;

	json_decref(
		put(w, NEW,
		    "{\"description\":\"d\",\"modern\":\"m\",\"password\":\"p\","
		    "\"size\":{\"width\":3},"
		    "\"regions\":[{\"name\":\"eastus\",\"newer\":\"n\"},{\"name\":\"westeurope\","
		    "\"newer\":\"o\"}]}",
		    200));
	/* an older client leaves alone what it cannot know, also inside named elements */
	json_decref(put(w, OLD, "{\"regions\":[{\"name\":\"West Europe\",\"count\":2}]}", 200));
	a = expect(w, "GET", BOXES "/b?api-version=" NEW, NULL, 200, NULL);
	assert_null(json_at(a, "properties.description"));
	assert_null(json_at(a, "properties.size.width"));
	assert_string_equal(json_str_at(a, "properties.size.serial"), "S-1"); /* read-only */
	assert_string_equal(json_str_at(a, "properties.modern"), "m");
	assert_int_equal(json_array_size(json_at(a, "properties.regions")), 1);
	assert_string_equal(json_str_at(a, "properties.regions.0.newer"), "o");
	assert_int_equal(json_int_at(a, "properties.regions.0.count", 0), 2);
	/* a newer one removes it by leaving it out */
	b = put(w, NEW, "{}", 200);
	assert_null(json_at(b, "properties.modern"));
	/* what the server set cannot be set by a client */
	c = put(w, NEW, "{\"size\":{\"serial\":\"mine\"},\"provisioningState\":\"Failed\"}", 200);
	assert_string_equal(json_str_at(c, "properties.size.serial"), "S-1");
	assert_string_equal(json_str_at(c, "properties.provisioningState"), "Succeeded");
	/* the secret is still stored, though nobody can see it */
	assert_int_equal(arm_load(w->arm, BOXES "/b", &d, NULL), 0);
	assert_string_equal(json_str_at(d, "properties.password"), "p");
}

static void immutable(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL;

	good(w, OLD, "{\"kind\":\"k\",\"size\":{\"maker\":\"m\",\"width\":1}}");
	json_decref(put(w, OLD, "{\"kind\":\"k\",\"size\":{\"maker\":\"m\"}}", 200));
	json_decref(put(w, OLD, "{}", 200)); /* absent: unchanged */
	j = put(w, OLD, "{\"kind\":\"other\"}", 409);
	assert_string_equal(json_str_at(j, "error.code"), "PropertyChangeNotAllowed");
	assert_string_equal(json_str_at(j, "error.target"), "properties.kind");
	json_decref(j);
	j = put(w, OLD, "{\"size\":{\"maker\":\"n\"}}", 409);
	assert_string_equal(json_str_at(j, "error.target"), "properties.size.maker");
	expect_drop(w, "PATCH", BOXES "/b?" V, "{\"properties\":{\"kind\":\"x\"}}", 409,
		    "PropertyChangeNotAllowed");
	expect_drop(w, "PATCH", BOXES "/b?" V, "{\"properties\":{\"kind\":null}}", 409,
		    "PropertyChangeNotAllowed");
	json_decref(j);
	j = expect(w, "GET", BOXES "/b?" V, NULL, 200, NULL);
	assert_string_equal(json_str_at(j, "properties.kind"), "k");
	assert_string_equal(json_str_at(j, "properties.size.maker"), "m");
	/* an object that is immutable as a whole may be sent back in parts, or empty */
	good(w, OLD, "{\"origin\":{\"place\":\"p\",\"year\":1900}}");
	json_decref(put(w, OLD, "{\"origin\":{}}", 200));
	json_decref(put(w, OLD, "{\"origin\":{\"year\":1900}}", 200));
	json_decref(put(w, OLD, "{\"origin\":{\"year\":1901}}", 409));
	json_decref(j);
	j = expect(w, "GET", BOXES "/b?" V, NULL, 200, NULL);
	assert_string_equal(json_str_at(j, "properties.origin.place"), "p");
	assert_int_equal(json_int_at(j, "properties.origin.year", 0), 1900);
	/* setting it later is a change too */
	good(w, OLD, "{}");
	json_decref(put(w, OLD, "{\"kind\":\"late\"}", 409));
}

static void patch(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL;

	expect_drop(w, "PATCH", BOXES "/none?" V, "{}", 404, "ResourceNotFound");
	good(w, OLD,
	     "{\"description\":\"d\",\"size\":{\"width\":3,\"maker\":\"m\"},"
	     "\"parts\":[{\"type\":\"Wood\",\"tree\":\"t\"}],\"labels\":{\"a\":\"1\"}}");
	j = expect(w, "PATCH", BOXES "/b?" V,
		   "{\"properties\":{\"description\":null,\"size\":{\"width\":4},"
		   "\"parts\":[{\"type\":\"Steel\"}],\"labels\":{\"b\":\"2\"}}}",
		   200, NULL);
	assert_null(json_at(j, "properties.description"));
	assert_int_equal(json_int_at(j, "properties.size.width", 0), 4);
	assert_string_equal(json_str_at(j, "properties.size.maker"), "m");
	assert_int_equal(json_array_size(json_at(j, "properties.parts")), 1);
	assert_string_equal(json_str_at(j, "properties.parts.0.type"), "Steel");
	assert_int_equal(json_object_size(json_at(j, "properties.labels")), 2);
	expect_drop(w, "PATCH", BOXES "/b?" V, "{\"properties\":{\"size\":{\"width\":11}}}", 400,
		    "InvalidParameter");
	/* the merged whole is what must be complete */
	expect_drop(w, "PATCH", BOXES "/b?" V, "{\"properties\":{\"parts\":[{\"type\":\"Wood\"}]}}",
		    400, "InvalidParameter");
	expect_drop(w, "PATCH", BOXES "/b?" V, "{\"properties\":{\"regions\":[{\"count\":1}]}}",
		    400, "InvalidParameter");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(types),
		T(bounds),
		T(values_and_patterns),
		T(discriminators),
		T(unknown_fields),
		T(places_and_ids),
		T(tags),
		T(put_removes_what_it_knows),
		T(immutable),
		T(patch),
	};

	return cmocka_run_group_tests_name("arm/shape", tests, NULL, NULL);
}
