/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual machines: what requests may say, what is kept of them and what is shown. */
#include "harness.h"

#include "base/hash.h"
#include "providers/vms.h"

#define VM  "@virtualMachines/web"
#define API "2024-07-01"

/* @more: further properties, beginning with a comma. */
static char *vm_body(const char *image, const char *more)
{
	char *s = strf("{'location':'eastus','properties':{'hardwareProfile':{'vmSize':"
		       "'standard_b2s'},'storageProfile':{'imageReference':{%s}}%s}}",
		       image, more);

	assert_non_null(s);
	return s;
}

static char *of_version(const char *more)
{
	return vm_body("'id':'/subscriptions/{subscription}/resourceGroups/g/providers/"
		       "Microsoft.Compute/galleries/gal/images/def/versions/1.0.0'",
		       more);
}

static char *with_subscription(struct harness *h, char *body)
{
	const char *sub = json_str_at(h->app->admin, "subscriptionId");
	char *at = strstr(body, "{subscription}"), *s;

	if (!at)
		return body;
	s = strf("%.*s%s%s", (int) (at - body), body, sub, at + strlen("{subscription}"));
	assert_non_null(s);
	free(body);
	return s;
}

static void put_vm(struct harness *h, char *body, int status, const char *code, const char *target)
{
	body = with_subscription(h, body);
	(void) start(h, "PUT", VM, API, body);
	if (h->status != status || strcmp(h->code, code) != 0 ||
	    (target && strcmp(h->target, target) != 0))
		fail_msg("%s\n%d %s %s: %s", body, h->status, h->code, h->target, h->message);
	free(body);
}

static void set_feature(struct harness *h, const char *value)
{
	auto_free char *body = strf(
		"{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		"'hyperVGeneration':'V2','architecture':'x64','identifier':{'publisher':'p','offer'"
		":'o','sku':'t'},'features':[{'name':'SecurityType','value':'%s'}]}}",
		value);

	expect_ok(h, "PUT", "@galleries/gal/images/tl", V23, body);
}

static json_t *stored(struct harness *h)
{
	auto_free char *id = strf("/subscriptions/%s/resourceGroups/g/providers/" TYPE_VM "/web",
				  json_str_at(h->app->admin, "subscriptionId"));
	json_t *doc = NULL;

	assert_int_equal(arm_load(h->app->arm, id, &doc, NULL), 0);
	return doc;
}

#define KEYS "'linuxConfiguration':{'ssh':{'publicKeys':[{'keyData':'ssh-ed25519 AAAA a'}]}}"

static void bad_requests_are_refused_by_field(void **state)
{
	static const struct {
		const char *more, *target;
	} bad[] = {
		{",'osProfile':{" KEYS "}", "properties.osProfile.adminUsername"},
		{",'osProfile':{'adminUsername':'root'," KEYS "}",
		 "properties.osProfile.adminUsername"},
		{",'osProfile':{'adminUsername':'a b'," KEYS "}",
		 "properties.osProfile.adminUsername"},
		{",'osProfile':{'adminUsername':'ada'}", "properties.osProfile"},
		{",'osProfile':{'adminUsername':'ada','adminPassword':'short'}",
		 "properties.osProfile.adminPassword"},
		{",'osProfile':{'adminUsername':'ada','customData':'no base64'," KEYS "}",
		 "properties.osProfile.customData"},
		{",'osProfile':{'adminUsername':'ada','computerName':'-x'," KEYS "}",
		 "properties.osProfile.computerName"},
		{",'osProfile':{'adminUsername':'ada','linuxConfiguration':{'ssh':{'publicKeys':"
		 "[{'keyData':'a b\\nusers:'}]}}}",
		 "properties.osProfile.linuxConfiguration.ssh.publicKeys"},
		{",'securityProfile':{'securityType':'ConfidentialVM'}",
		 "properties.securityProfile.securityType"},
		{",'userData':'%%%'", "properties.userData"},
	};
	struct harness *h = *state;

	make_gallery(h);
	make_version(h, "1.0.0", "");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		put_vm(h, of_version(bad[i].more), 400, "InvalidParameter", bad[i].target);
	put_vm(h, vm_body("", ""), 400, "InvalidParameter",
	       "properties.storageProfile.imageReference");
	put_vm(h, vm_body("'publisher':'Nobody','offer':'o','sku':'s'", ""), 404,
	       "PlatformImageNotFound", NULL);
	put_vm(h, vm_body("'sharedGalleryImageId':'/SharedGalleries/x/Images/y'", ""), 404,
	       "GalleryImageNotFound", NULL);
	expect_error(h, "PUT", VM, API,
		     "{'location':'eastus','properties':{'hardwareProfile':{'vmSize':'Huge'},"
		     "'storageProfile':{'imageReference':{}}}}",
		     400, "InvalidParameter", "properties.hardwareProfile.vmSize");
}

static void trusted_launch_is_what_the_definition_says(void **state)
{
	static const char trusted[] = ",'securityProfile':{'securityType':'TrustedLaunch'}";
	struct harness *h = *state;
	char *source;

	make_gallery(h);
	make_version(h, "1.0.0", "");
	put_vm(h, of_version(trusted), 400, "BadRequest",
	       "properties.securityProfile.securityType");
	set_feature(h, "TrustedLaunch");
	expect_ok(h, "GET", "@galleries/gal/images/def/versions/1.0.0", V23, NULL);
	source =
		strf("{'location':'eastus','properties':{'storageProfile':{'source':{'id':'%s'}}}}",
		     text_at(h, "id"));
	expect_ok(h, "PUT", "@galleries/gal/images/tl/versions/1.0.0", V23, source);
	free(source);
	source = strf("'id':'%s'", text_at(h, "id"));
	put_vm(h, vm_body(source, ""), 400, "BadRequest",
	       "properties.securityProfile.securityType");
	put_vm(h, vm_body(source, trusted), 201, "", NULL);
	free(source);
}

static void secrets_are_neither_kept_nor_shown(void **state)
{
	struct harness *h = *state;
	auto_json json_t *doc = NULL;
	auto_free char *shown = NULL, *kept = NULL;
	const char *hash;

	make_gallery(h);
	make_version(h, "1.0.0", "");
	put_vm(h,
	       of_version(",'osProfile':{'adminUsername':'ada','adminPassword':'open sesame 1',"
			  "'customData':'IyEvYmluL3NoCg=='}"),
	       201, "", NULL);
	doc = stored(h);
	kept = json_compact(doc);
	assert_null(strstr(kept, "sesame"));
	hash = json_str_at(doc, VM_SECRETS ".passwordHash");
	assert_true(str_starts(hash, "$6$"));
	assert_string_equal(json_str_at(doc, P_OS ".computerName"), "web");
	(void) start(h, "GET", VM, API, NULL);
	shown = json_compact(h->body);
	assert_null(strstr(shown, "$6$"));
	assert_null(strstr(shown, "IyEvYmluL3NoCg"));
	assert_null(json_object_get(h->body, "vm"));
	assert_string_equal(text_at(h, "properties.storageProfile.imageReference.exactVersion"),
			    "1.0.0");
}

static void states_without_a_keeper(void **state)
{
	struct harness *h = *state;
	auto_free char *path = NULL;

	make_gallery(h);
	make_version(h, "1.0.0", "");
	put_vm(h, of_version(""), 201, "", NULL);
	(void) start(h, "GET", VM "/instanceView", API, NULL);
	assert_int_equal(h->status, 200);
	assert_string_equal(text_at(h, "statuses.1.code"), "PowerState/stopped");
	assert_string_equal(text_at(h, "vmAgent.statuses.0.displayStatus"), "Not Ready");
	(void) start(h, "POST", VM "/retrieveBootDiagnosticsData", API, NULL);
	assert_int_equal(h->status, 200);
	path = strdup(strstr(text_at(h, "serialConsoleLogBlobUri"), "/serial/"));
	(void) start(h, "GET", path, API, NULL);
	assert_int_equal(h->status, 200); /* nothing was said yet */
	path[strlen(path) - 1] ^= 1;
	(void) start(h, "GET", path, API, NULL);
	assert_int_equal(h->status, 401);
	assert_string_equal(h->code, "AuthenticationFailed");
}

/* What is specialized brings its own accounts. */
static void a_specialized_image_takes_no_profile(void **state)
{
	struct harness *h = *state;
	char *body;

	expect_ok(h, "PUT", "@disks/blank", "2022-07-02",
		  "{'location':'eastus','properties':{'creationData':{'createOption':'Empty'},"
		  "'diskSizeGB':1,'osType':'Linux'}}");
	body = strf("{'location':'eastus','properties':{'hyperVGeneration':'V2','storageProfile':"
		    "{'osDisk':{'osType':'Linux','osState':'Specialized','managedDisk':{'id':'%s'}"
		    "}}}}",
		    text_at(h, "id"));
	expect_ok(h, "PUT", "@images/blank", API, body);
	free(body);
	expect_ok(h, "GET", "@images/blank", API, NULL);
	body = strf("'id':'%s'", text_at(h, "id"));
	put_vm(h, vm_body(body, ",'osProfile':{'adminUsername':'ada'," KEYS "}"), 400,
	       "InvalidParameter", "properties.osProfile");
	put_vm(h, vm_body(body, ",'securityProfile':{'securityType':'TrustedLaunch'}"), 201, "",
	       NULL);
	free(body);
}

static void sizes(void **state)
{
	struct harness *h = *state;
	struct vm_size s;

	assert_int_equal(vm_size_find("Standard_B2s", &s), 0);
	assert_int_equal(s.cpus, 2);
	assert_int_equal(s.memory_mib, 4096);
	assert_int_equal(vm_size_find("Standard", &s), -ENOENT);
	expect_ok(h, "GET", "$/providers/Microsoft.Compute/locations/eastus/vmSizes", API, NULL);
	assert_string_equal(text_at(h, "value.0.name"), "Standard_A1_v2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bad_requests_are_refused_by_field, harness_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(trusted_launch_is_what_the_definition_says,
						harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(secrets_are_neither_kept_nor_shown, harness_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(states_without_a_keeper, harness_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(a_specialized_image_takes_no_profile, harness_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(sizes, harness_setup, harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
