/* SPDX-License-Identifier: Apache-2.0 */
/* Image templates: what is accepted, what may change, run and cancel without a bake. */
#include "harness.h"

#define T0   "%imageTemplates/t"
#define A22  "2022-02-14"
#define A24  "2024-02-01"
#define A25  "2025-10-01"
#define NONE "'identity':{'type':'None'}"
#define SRC                                                                                        \
	"'source':{'type':'PlatformImage','publisher':'Debian','offer':'debian-12','sku':"         \
	"'12-gen2','version':'latest'}"
#define GAL  "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/gal/images/def"
#define DIST "'distribute':[{'type':'SharedImage','runOutputName':'o','galleryImageId':'" GAL "'}]"
#define STEP "'customize':[{'type':'Shell','name':'one','inline':['true']}]"

static char *tmpl(const char *properties)
{
	char *s = strf("{'location':'eastus'," NONE ",'properties':{%s}}", properties);

	assert_non_null(s);
	return s;
}

static void refused(struct harness *h, const char *version, const char *properties,
		    const char *code, const char *target)
{
	char *body = tmpl(properties);

	expect_error(h, "PUT", T0, version, body, 400, code, target);
	free(body);
	assert_int_equal(call(h, "GET", T0, version, NULL), 404);
}

static void life(void **state)
{
	struct harness *h = *state;
	char *body = tmpl(SRC "," STEP "," DIST);

	expect_ok(h, "PUT", T0, A24, body);
	assert_int_equal(h->status, 201);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Creating");
	expect_ok(h, "GET", T0, A24, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.source.type"), "PlatformImage");
	assert_string_equal(text_at(h, "identity.type"), "None");
	assert_null(json_object_get(h->body, "madeWith"));
	expect_ok(h, "PUT", T0, A24, body); /* the same again is fine */
	assert_int_equal(h->status, 200);
	expect_ok(h, "GET", "%imageTemplates", A24, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	expect_ok(h, "GET", T0 "/runOutputs", A24, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 0);
	expect_ok(h, "DELETE", T0, A24, NULL);
	assert_int_equal(call(h, "DELETE", T0, A24, NULL), 204);
	free(body);
}

static void bad_templates_name_the_field(void **state)
{
	struct harness *h = *state;

	refused(h, A24, STEP "," DIST, "InvalidParameter", "properties.source");
	refused(h, A24, SRC "," STEP, "InvalidParameter", "properties.distribute");
	refused(h, A24, SRC "," STEP ",'distribute':[]", "InvalidParameter",
		"properties.distribute");
	refused(h, A24, "'source':{'type':'Floppy'}," STEP "," DIST, "BadSourceType",
		"properties.source.type");
	refused(h, A24, SRC ",'customize':[{'type':'Sell','inline':['x']}]," DIST,
		"BadCustomizerType", "properties.customize[0].type");
	refused(h, A24, SRC "," STEP ",'distribute':[{'type':'Tape','runOutputName':'o'}]",
		"BadDistributeType", "properties.distribute[0].type");
	refused(h, A24, SRC "," STEP "," DIST ",'validate':{'inVMValidations':[{'type':'Look'}]}",
		"BadValidatorType", "properties.validate.inVMValidations[0].type");
	refused(h, A24, SRC ",'customize':[{'type':'Shell','inline':'true'}]," DIST,
		"InvalidParameter", "properties.customize[0].inline");
	refused(h, A24, SRC "," STEP "," DIST ",'buildTimeoutInMinutes':961", "InvalidParameter",
		"properties.buildTimeoutInMinutes");
	refused(h, A24, SRC "," STEP "," DIST ",'buildTimeoutInMinutes':-1", "InvalidParameter",
		"properties.buildTimeoutInMinutes");
	refused(h, A24,
		SRC "," STEP ",'distribute':[{'type':'SharedImage','runOutputName':'o',"
		    "'galleryImageId':'" GAL "','targetRegions':[{'name':'mars'}]}]",
		"LocationNotAvailableForResourceType",
		"properties.distribute[0].targetRegions[0].name");
}

static void wishes_that_cannot_be_met(void **state)
{
	struct harness *h = *state;

	refused(h, A25, SRC "," STEP "," DIST ",'vmProfile':{'additionalDataDisks':[{'sizeGB':4}]}",
		"InvalidParameter", "properties.vmProfile.additionalDataDisks");
	refused(h, A25,
		SRC "," STEP "," DIST ",'vmProfile':{'vnetConfig':{'subnetId':'/subscriptions/a/"
		    "resourceGroups/b/providers/Microsoft.Network/virtualNetworks/c/subnets/d'}}",
		"InvalidParameter", "properties.vmProfile.vnetConfig");
	refused(h, A25, SRC "," STEP "," DIST ",'optimize':{'workload':{'state':'Enabled'}}",
		"InvalidParameter", "properties.optimize.workload.state");
	refused(h, A25,
		"'source':{'type':'PlatformImage','publisher':'Debian','offer':'debian-12','sku':"
		"'12-gen2','version':'latest','planInfo':{'planName':'a','planProduct':'b',"
		"'planPublisher':'c'}}," STEP "," DIST,
		"InvalidParameter", "properties.source.planInfo");
}

/* From 2024-02-01 on unknown fields and other case are errors; before, neither matters. */
static void strictness_follows_the_version(void **state)
{
	struct harness *h = *state;
	char *body;

	assert_int_equal(call(h, "PUT", T0, A24,
			      "{'location':'eastus'," NONE ",'properties':{" SRC "," STEP "," DIST
			      ",'sauce':1}}"),
			 400);
	assert_int_equal(
		call(h, "PUT", T0, A24,
		     "{'location':'eastus'," NONE
		     ",'properties':{'source':{'type':'platformimage','publisher':'Debian',"
		     "'offer':'debian-12','sku':'12-gen2','version':'latest'}," STEP "," DIST "}}"),
		400);
	body = tmpl("'Source':{'type':'platformimage','PUBLISHER':'Debian','offer':'debian-12',"
		    "'sku':'12-gen2','version':'latest'},'customize':[{'type':'shell','inline':"
		    "['true'],'sauce':1}]," DIST);
	expect_ok(h, "PUT", T0, A22, body);
	expect_ok(h, "GET", T0, A22, NULL);
	assert_string_equal(text_at(h, "properties.source.type"), "PlatformImage");
	assert_string_equal(text_at(h, "properties.source.publisher"), "Debian");
	assert_string_equal(text_at(h, "properties.customize.0.type"), "Shell");
	free(body);
}

/* What az sends from flags. */
static void az_shapes(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", T0, A22,
		  "{'location':'eastus','tags':{},'identity':{'type':'UserAssigned',"
		  "'userAssignedIdentities':{'/subscriptions/s/resourceGroups/g/providers/"
		  "Microsoft.ManagedIdentity/userAssignedIdentities/i':{}}},'properties':{" SRC
		  ",'customize':[{'type':'Shell','name':'s','inline':['true'],'sha256Checksum':''}]"
		  "," DIST ",'vmProfile':{},'buildTimeoutInMinutes':0}}");
}

static void identity(void **state)
{
	static const char *const bad[] = {
		"",
		",'identity':{'type':'UserAssigned'}",
		",'identity':{'type':'UserAssigned','userAssignedIdentities':{'/a':{},'/b':{}}}",
		",'identity':{'type':'SystemAssigned'}",
		",'identity':{'type':'None','userAssignedIdentities':{'/a':{}}}",
	};
	struct harness *h = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *body = strf(
			"{'location':'eastus'%s,'properties':{" SRC "," STEP "," DIST "}}", bad[i]);

		if (call(h, "PUT", T0, A24, body) != 400)
			fail_msg("%s: %d", bad[i], h->status);
		free(body);
	}
}

#define OTHER "'customize':[{'type':'Shell','name':'two','inline':['false']}]"

static void templates_are_not_edited_in_place(void **state)
{
	struct harness *h = *state;
	char *body = tmpl(SRC "," STEP "," DIST), *changed = tmpl(SRC "," OTHER "," DIST);

	expect_ok(h, "PUT", T0, A24, body);
	expect_error(h, "PUT", T0, A24, changed, 409, "OperationNotAllowed",
		     "properties.customize");
	free(changed);
	changed = tmpl(SRC "," STEP "," DIST ",'buildTimeoutInMinutes':7");
	expect_error(h, "PUT", T0, A24, changed, 409, "OperationNotAllowed",
		     "properties.buildTimeoutInMinutes");
	free(changed);
	changed = tmpl("'source':{'type':'PlatformImage','publisher':'Debian','offer':'debian-12',"
		       "'sku':'12','version':'latest'}," STEP "," DIST);
	expect_error(h, "PUT", T0, A24, changed, 409, "OperationNotAllowed", "properties.source");
	free(changed);
	free(body);
}

/* kiln's own order "replace" does it: an edited file can be baked again. */
static void replace_edits(void **state)
{
	struct harness *h = *state;
	char *body = tmpl(SRC "," STEP "," DIST);
	char *changed = tmpl(SRC "," OTHER "," DIST ",'kiln':{'replace':true}");

	expect_ok(h, "PUT", T0, A24, body);
	expect_ok(h, "PUT", T0, A24, changed);
	expect_ok(h, "GET", T0, A24, NULL);
	assert_string_equal(text_at(h, "properties.customize.0.name"), "two");
	assert_null(json_at(h->body, "properties.kiln")); /* an order, not a property */
	free(changed);
	free(body);
}

static void tags_and_identity_by_patch(void **state)
{
	struct harness *h = *state;
	char *body = tmpl(SRC "," STEP "," DIST);

	expect_ok(h, "PUT", T0, A24, body);
	expect_ok(h, "PATCH", T0, A22, "{'tags':{'a':'b'}}");
	expect_ok(h, "PATCH", T0, A24,
		  "{'identity':{'type':'UserAssigned','userAssignedIdentities':{'/a':{}}}}");
	expect_ok(h, "PATCH", T0, A24, "{'identity':{'type':'None'}}");
	expect_ok(h, "GET", T0, A24, NULL);
	assert_null(json_at(h->body, "identity.userAssignedIdentities"));
	expect_ok(h, "PATCH", T0, A24,
		  "{'properties':{'distribute':[{'type':'SharedImage','runOutputName':'other',"
		  "'galleryImageId':'" GAL "'}]}}");
	expect_ok(h, "GET", T0, A24, NULL);
	assert_string_equal(text_at(h, "tags.a"), "b");
	assert_string_equal(text_at(h, "properties.distribute.0.runOutputName"), "other");
	expect_error(h, "PATCH", T0, A22,
		     "{'properties':{'distribute':[{'type':'SharedImage','runOutputName':'third',"
		     "'galleryImageId':'" GAL "'}]}}",
		     409, "OperationNotAllowed", "properties.distribute");
	free(body);
}

static void cancel_needs_a_run(void **state)
{
	struct harness *h = *state;
	char *body = tmpl(SRC "," STEP "," DIST);

	expect_ok(h, "PUT", T0, A24, body);
	expect_error(h, "POST", T0 "/cancel", A24, NULL, 409, "OperationNotAllowed", NULL);
	assert_int_equal(call(h, "POST", "%imageTemplates/none/run", A24, NULL), 404);
	free(body);
}

/* A queued run is joined by its like and blocks changes and deletion; cancelling ends it. */
static void one_run_at_a_time(void **state)
{
	struct harness *h = *state;
	char *body = tmpl(SRC "," STEP "," DIST);

	expect_ok(h, "PUT", T0, A24, body);
	assert_int_equal(start(h, "POST", T0 "/run", A24, NULL), 202);
	assert_int_equal(start(h, "POST", T0 "/run", A24, NULL), 202);
	assert_int_equal(start(h, "POST", T0 "/run", A24, "{'noCache':false}"), 202);
	assert_int_equal(start(h, "DELETE", T0, A24, NULL), 409);
	assert_string_equal(h->code, "AnotherOperationInProgress");
	assert_int_equal(start(h, "PUT", T0, A24, body), 409);
	assert_int_equal(start(h, "POST", T0 "/cancel", A24, NULL), 202);
	(void) arm_work(h->app->arm, NULL, NULL, NULL, NULL);
	expect_ok(h, "GET", T0, A24, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.lastRunStatus.runState"), "Canceled");
	expect_ok(h, "GET", "~/providers/Kiln.Images/runs", "2026-11-01", NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	expect_ok(h, "DELETE", T0, A24, NULL);
	free(body);
}

/* A run that cannot even begin still ends: failed operation, lastRunStatus, a run to look at. */
static void failed_run_is_reported(void **state)
{
	struct harness *h = *state;
	char *body =
		tmpl("'source':{'type':'ManagedImage','imageId':'/subscriptions/s/"
		     "resourceGroups/g/providers/Microsoft.Compute/images/none'}," STEP "," DIST);

	expect_ok(h, "PUT", T0, A24, body);
	assert_int_equal(call(h, "POST", T0 "/run", A24, NULL), 202);
	assert_true(h->work < 0);
	assert_string_equal(h->code, "BadManagedImageSource");
	expect_ok(h, "GET", T0, A24, NULL);
	assert_string_equal(text_at(h, "properties.lastRunStatus.runState"), "Failed");
	assert_non_null(strstr(text_at(h, "properties.lastRunStatus.message"), "none"));
	assert_non_null(text_at(h, "properties.lastRunStatus.endTime"));
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	expect_ok(h, "GET", "~/providers/Kiln.Images/runs", "2026-11-01", NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	assert_string_equal(text_at(h, "value.0.properties.state"), "Failed");
	free(body);
}

/* autoRun: making the template succeeds, however its run ends. */
static void auto_run(void **state)
{
	struct harness *h = *state;
	char *body = tmpl("'source':{'type':'ManagedImage','imageId':'/subscriptions/s/"
			  "resourceGroups/g/providers/Microsoft.Compute/images/none'}," STEP
			  "," DIST ",'autoRun':{'state':'Enabled'}");

	expect_ok(h, "PUT", T0, A24, body);
	expect_ok(h, "GET", T0, A24, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.lastRunStatus.runState"), "Failed");
	assert_string_equal(text_at(h, "properties.autoRun.state"), "Enabled");
	free(body);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(life),
		T(bad_templates_name_the_field),
		T(wishes_that_cannot_be_met),
		T(strictness_follows_the_version),
		T(az_shapes),
		T(identity),
		T(templates_are_not_edited_in_place),
		T(replace_edits),
		T(tags_and_identity_by_patch),
		T(cancel_needs_a_run),
		T(one_run_at_a_time),
		T(failed_run_is_reported),
		T(auto_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
