/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#define OLD "2021-10-01"
#define D   "@galleries/gal/images/d1"
#define BODY(more)                                                                                 \
	"{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"             \
	"'identifier':{'publisher':'pub','offer':'off','sku':'sku'}" more "}}"

static int with_gallery(void **state)
{
	harness_setup(state);
	expect_ok(*state, "PUT", "@galleries/gal", V23, "{'location':'eastus'}");
	return 0;
}

/* What the defaults are depends on the api-version that creates; later reads do not change them. */
static void defaults_follow_the_version(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", D, OLD, BODY(""));
	expect_ok(h, "GET", D, V25, NULL);
	assert_string_equal(text_at(h, "properties.hyperVGeneration"), "V1");
	assert_string_equal(text_at(h, "properties.architecture"), "x64");
	assert_null(json_at(h->body, "properties.features"));
	expect_ok(h, "DELETE", D, OLD, NULL);
	expect_ok(h, "PUT", D, "2024-03-03", BODY(""));
	assert_string_equal(text_at(h, "properties.hyperVGeneration"), "V1");
	expect_ok(h, "DELETE", D, OLD, NULL);
	expect_ok(h, "PUT", D, "2025-03-03", BODY(""));
	assert_string_equal(text_at(h, "properties.hyperVGeneration"), "V2");
	assert_string_equal(text_at(h, "properties.features.0.name"), "SecurityType");
	assert_string_equal(text_at(h, "properties.features.0.value"), "TrustedLaunchSupported");
	expect_ok(h, "DELETE", D, OLD, NULL);
	expect_ok(h, "PUT", D, V25,
		  BODY(",'features':[{'name':'SecurityType','value':'Standard'}]"));
	assert_string_equal(text_at(h, "properties.features.0.value"), "Standard");
	expect_ok(h, "DELETE", D, OLD, NULL);
	expect_ok(h, "PUT", D, V25, BODY(",'hyperVGeneration':'V1'"));
	assert_null(json_at(h->body, "properties.features"));
}

static void required_fields(void **state)
{
	struct harness *h = *state;

	expect_error(h, "PUT", D, V23,
		     "{'location':'eastus','properties':{'osState':'Generalized','identifier':"
		     "{'publisher':'p','offer':'o','sku':'s'}}}",
		     400, "InvalidParameter", "properties.osType");
	expect_error(h, "PUT", D, V23,
		     "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		     "'identifier':{'publisher':'p','offer':'o'}}}",
		     400, "InvalidParameter", "properties.identifier.sku");
	expect_error(h, "PUT", D, V23,
		     "{'location':'eastus','properties':{'osType':'BeOS','osState':'Generalized',"
		     "'identifier':{'publisher':'p','offer':'o','sku':'s'}}}",
		     400, "InvalidParameter", "properties.osType");
	expect_error(h, "PUT", D, V23,
		     "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		     "'identifier':{'publisher':'p.','offer':'o','sku':'s'}}}",
		     400, "InvalidParameter", "properties.identifier.publisher");
}

static void case_of_values_is_the_tables(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", D, V23,
		  "{'location':'eastus','properties':{'osType':'linux','osState':'GENERALIZED',"
		  "'hyperVGeneration':'v2','identifier':{'publisher':'P','offer':'o','sku':'s'}}}");
	assert_string_equal(text_at(h, "properties.osType"), "Linux");
	assert_string_equal(text_at(h, "properties.osState"), "Generalized");
	assert_string_equal(text_at(h, "properties.hyperVGeneration"), "V2");
	assert_string_equal(text_at(h, "properties.identifier.publisher"), "P");
}

static void what_may_change(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", D, V23, BODY(",'description':'a','hyperVGeneration':'V2'"));
	expect_ok(h, "PUT", D, V23,
		  BODY(",'description':'b','releaseNoteUri':'https://x/','endOfLifeDate':"
		       "'2999-01-01T12:59:59.000Z','recommended':{'vCPUs':{'min':1,'max':4},"
		       "'memory':{'min':2,'max':2}},'disallowed':{'diskTypes':['Standard_LRS']}"));
	assert_int_equal(h->status, 200);
	expect_ok(h, "GET", D, V23, NULL);
	assert_string_equal(text_at(h, "properties.description"), "b");
	assert_int_equal(json_int_at(h->body, "properties.recommended.vCPUs.max", 0), 4);
	/* the generation was not named, so it stays */
	assert_string_equal(text_at(h, "properties.hyperVGeneration"), "V2");
	expect_ok(h, "PATCH", D, V23, "{'tags':{'a':'b'},'properties':{'description':'c'}}");
	expect_ok(h, "GET", D, V23, NULL);
	assert_string_equal(text_at(h, "properties.description"), "c");
	assert_string_equal(text_at(h, "properties.releaseNoteUri"), "https://x/");
}

static void what_may_not_change(void **state)
{
	static const char *const changes[] = {
		",'hyperVGeneration':'V1'",
		",'architecture':'Arm64'",
		",'eula':'other'",
		",'privacyStatementUri':'https://y/'",
		",'purchasePlan':{'name':'n','publisher':'p','product':'x'}",
		",'features':[{'name':'IsHibernateSupported','value':'True'}]",
	};
	struct harness *h = *state;

	expect_ok(h, "PUT", D, V23, BODY(",'hyperVGeneration':'V2','eula':'e'"));
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		char *body = strf("{'location':'eastus','properties':{'osType':'Linux','osState':"
				  "'Generalized','identifier':{'publisher':'pub','offer':'off',"
				  "'sku':'sku'}%s}}",
				  changes[i]);

		if (call(h, "PUT", D, V23, body) != 409 ||
		    strcmp(h->code, "PropertyChangeNotAllowed") != 0)
			fail_msg("%s: %d %s %s", changes[i], h->status, h->code, h->message);
		free(body);
	}
	expect_error(h, "PUT", D, V23,
		     "{'location':'eastus','properties':{'osType':'Windows','osState':"
		     "'Generalized','identifier':{'publisher':'pub','offer':'off','sku':'sku'}}}",
		     409, "PropertyChangeNotAllowed", NULL);
	expect_error(h, "PUT", D, V23,
		     "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		     "'identifier':{'publisher':'pub','offer':'off','sku':'other'}}}",
		     409, "PropertyChangeNotAllowed", NULL);
	/* the same again is no change */
	expect_ok(h, "PUT", D, V23, BODY(",'hyperVGeneration':'V2','eula':'e'"));
}

static void features(void **state)
{
	struct harness *h = *state;

	expect_error(h, "PUT", D, V23,
		     BODY(",'features':[{'name':'SecurityType','value':'TrustedLaunch'}]"), 400,
		     "InvalidParameter", "properties.features"); /* V1 by default */
	expect_error(h, "PUT", D, V23,
		     BODY(",'hyperVGeneration':'V2','features':[{'name':'Speed','value':'1'}]"),
		     400, "InvalidParameter", "properties.features[0]");
	expect_error(h, "PUT", D, V23,
		     BODY(",'hyperVGeneration':'V2','features':[{'name':'SecurityType',"
			  "'value':'Open'}]"),
		     400, "InvalidParameter", "properties.features[0]");
	expect_error(h, "PUT", D, V23,
		     BODY(",'hyperVGeneration':'V2','features':[{'name':'IsHibernateSupported',"
			  "'value':'True'},{'name':'ishibernatesupported','value':'False'}]"),
		     400, "InvalidParameter", "properties.features");
	expect_ok(h, "PUT", D, V23,
		  BODY(",'hyperVGeneration':'V2','features':[{'name':'securitytype','value':"
		       "'confidentialvm'},{'name':'DiskControllerTypes','value':'scsi, nvme'}]"));
	assert_string_equal(text_at(h, "properties.features.0.value"), "ConfidentialVM");
	assert_string_equal(text_at(h, "properties.features.1.value"), "SCSI, NVMe");
}

static void some_security_types_need_a_private_gallery(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", "@galleries/shared", V23,
		  "{'location':'eastus','properties':{'sharingProfile':{'permissions':'Groups'}}}");
	expect_error(h, "PUT", "@galleries/shared/images/d", V23,
		     BODY(",'hyperVGeneration':'V2','features':[{'name':'SecurityType',"
			  "'value':'TrustedLaunch'}]"),
		     400, "InvalidParameter", "properties.features");
	expect_ok(h, "PUT", "@galleries/shared/images/d", V23,
		  BODY(",'hyperVGeneration':'V2','features':[{'name':'SecurityType',"
		       "'value':'TrustedLaunchSupported'}]"));
}

static void features_change_when_allowed(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", D, V25, BODY(",'allowUpdateImage':true"));
	expect_ok(h, "PUT", D, V25,
		  BODY(",'allowUpdateImage':true,'features':[{'name':'SecurityType','value':"
		       "'TrustedLaunch','startsAtVersion':'2.0.0'}]"));
	expect_ok(h, "GET", D, V25, NULL);
	assert_string_equal(text_at(h, "properties.features.0.value"), "TrustedLaunch");
	assert_string_equal(text_at(h, "properties.features.0.startsAtVersion"), "2.0.0");
}

static void triplet_is_unique_in_its_gallery(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", D, V23, BODY(""));
	expect_error(h, "PUT", "@galleries/gal/images/d2", V23,
		     "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		     "'identifier':{'publisher':'PUB','offer':'off','sku':'sku'}}}",
		     409, "Conflict", "properties.identifier");
	expect_ok(h, "PUT", "@galleries/gal/images/d2", V23,
		  "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		  "'identifier':{'publisher':'pub','offer':'off','sku':'sku2'}}}");
	expect_ok(h, "PUT", "@galleries/gal2", V23, "{'location':'eastus'}");
	expect_ok(h, "PUT", "@galleries/gal2/images/d1", V23, BODY(""));
}

static void ranges_and_dates(void **state)
{
	struct harness *h = *state;

	expect_error(h, "PUT", D, V23, BODY(",'recommended':{'vCPUs':{'min':8,'max':4}}"), 400,
		     "InvalidParameter", "properties.recommended.vCPUs.min");
	expect_error(h, "PUT", D, V23, BODY(",'recommended':{'memory':{'min':8,'max':4}}"), 400,
		     "InvalidParameter", "properties.recommended.memory.min");
	expect_error(h, "PUT", D, V23, BODY(",'endOfLifeDate':'2001-01-01T00:00:00Z'"), 400,
		     "InvalidParameter", "properties.endOfLifeDate");
	expect_error(h, "PUT", D, V23, BODY(",'endOfLifeDate':'soon'"), 400, "InvalidParameter",
		     "properties.endOfLifeDate");
}

static void not_deleted_while_it_has_versions(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", "@galleries/gal/images/def", V23, BODY(",'hyperVGeneration':'V2'"));
	make_version(h, "1.0.0", NULL);
	expect_error(h, "DELETE", "@galleries/gal/images/def", V23, NULL, 409,
		     "CannotDeleteResource", NULL);
	expect_ok(h, "DELETE", "@galleries/gal/images/def/versions/1.0.0", V23, NULL);
	expect_ok(h, "DELETE", "@galleries/gal/images/def", V23, NULL);
}

static void names(void **state)
{
	static const char *const wrong[] = {"-a", "_a", "a-", "a.", "a%20b"};
	struct harness *h = *state;
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		(void) snprintf(path, sizeof(path), "@galleries/gal/images/%s", wrong[i]);
		assert_int_equal(call(h, "PUT", path, V23, BODY("")), 400);
	}
	expect_ok(h, "PUT", "@galleries/gal/images/debian-12_x.y", V23, BODY(""));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, with_gallery, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(defaults_follow_the_version),
		T(required_fields),
		T(case_of_values_is_the_tables),
		T(what_may_change),
		T(what_may_not_change),
		T(features),
		T(some_security_types_need_a_private_gallery),
		T(features_change_when_allowed),
		T(triplet_is_unique_in_its_gallery),
		T(ranges_and_dates),
		T(not_deleted_while_it_has_versions),
		T(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
