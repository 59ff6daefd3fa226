/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bake/bake.h"
#include "bake/steps.h"
#include "base/mem.h"

#define GALLERY                                                                                    \
	"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/golden/images/d"

static const char base_text[] =
	"{\"location\":\"eastus\",\"properties\":{"
	"\"source\":{\"type\":\"PlatformImage\",\"publisher\":\"Debian\",\"offer\":\"debian-12\","
	"\"sku\":\"12-gen2\",\"version\":\"latest\"},"
	"\"customize\":[{\"type\":\"Shell\",\"name\":\"First (of 2)\",\"inline\":[\"true\"]},"
	"{\"type\":\"Shell\",\"inline\":[\"echo a\",\"echo b\"]}],"
	"\"distribute\":[{\"type\":\"SharedImage\",\"runOutputName\":\"out\","
	"\"galleryImageId\":\"" GALLERY "\",\"targetRegions\":[{\"name\":\"eastus\"}]}]}}";

static json_t *base(void)
{
	json_t *j = NULL;

	assert_int_equal(json_parse(base_text, strlen(base_text), &j, NULL), 0);
	return j;
}

/* The base template with @patch (RFC 7396) merged into its properties. */
static json_t *with(const char *patch)
{
	json_t *j = base(), *p = NULL;

	assert_int_equal(json_parse(patch, strlen(patch), &p, NULL), 0);
	assert_int_equal(json_merge_patch(json_object_get(j, "properties"), p), 0);
	json_decref(p);
	return j;
}

static void accepts(const char *patch)
{
	struct err err = ERR_INIT;
	json_t *j = with(patch);
	int r = bake_check(j, "2024-02-01", &err);

	if (r < 0)
		fail_msg("%s refused: %s", patch, err_str(&err));
	json_decref(j);
}

static void refuses(const char *patch, const char *field, const char *code)
{
	struct err err = ERR_INIT;
	json_t *j = with(patch);

	assert_int_equal(bake_check(j, "2024-02-01", &err), -EINVAL);
	assert_non_null(err.target);
	assert_string_equal(err.target, field);
	assert_string_equal(err.arm, code ? code : "InvalidParameter");
	assert_non_null(strstr(err_str(&err), field));
	err_done(&err);
	json_decref(j);
}

static void steps_are_taken_in_order(void **state)
{
	struct template t = {0};
	json_t *j = base();
	size_t at;

	assert_int_equal(template_parse(j, &t, NULL), 0);
	assert_int_equal(t.n_steps, 2);
	assert_string_equal(t.steps[0].name, "First (of 2)");
	assert_string_equal(t.steps[1].name, "shell-2");
	assert_string_equal(t.steps[1].field, "properties.customize[1]");
	assert_false(t.steps[0].network);
	assert_int_equal(t.timeout_s, 240 * 60);
	assert_string_equal(t.executor, "auto");
	assert_int_equal(template_find_step(&t, "SHELL-2", &at, NULL), 0);
	assert_int_equal(at, 1);
	assert_int_equal(template_find_step(&t, "1", &at, NULL), 0);
	assert_int_equal(at, 0);
	assert_int_equal(template_find_step(&t, "0", &at, NULL), -ENOENT);
	assert_int_equal(template_find_step(&t, "3", &at, NULL), -ENOENT);
	template_done(&t);
	json_decref(j);
}

static void sources(void **state)
{
	accepts("{\"source\":{\"type\":\"SharedImageVersion\",\"publisher\":null,"
		"\"imageVersionId\":"
		"\"" GALLERY "/versions/latest\"}}");
	accepts("{\"source\":{\"type\":\"ManagedImage\",\"imageId\":\"/subscriptions/s/"
		"resourceGroups/g/providers/Microsoft.Compute/images/i\"}}");
	refuses("{\"source\":null}", "properties.source", "BadSourceType");
	refuses("{\"source\":{\"type\":\"Floppy\"}}", "properties.source.type", "BadSourceType");
	refuses("{\"source\":{\"sku\":null}}", "properties.source.sku", "BadPIRSource");
	refuses("{\"source\":{\"offer\":7}}", "properties.source.offer", "BadPIRSource");
	refuses("{\"source\":{\"type\":\"ManagedImage\",\"imageId\":\"/x\"}}",
		"properties.source.imageId", "BadManagedImageSource");
	refuses("{\"source\":{\"type\":\"SharedImageVersion\",\"imageVersionId\":\"" GALLERY "\"}}",
		"properties.source.imageVersionId", "BadSharedImageVersionSource");
}

#define STEP            "properties.customize[0]"
#define CUSTOM(members) "{\"customize\":[{\"type\":" members "}]}"

static void windows_steps(void **state)
{
	accepts(CUSTOM("\"WindowsUpdate\""));
	accepts(CUSTOM(
		"\"WindowsUpdate\",\"searchCriteria\":\"IsInstalled=0\",\"filters\":"
		"[\"exclude:$_.Title -like '*Preview*'\",\"include:$true\"],\"updateLimit\":20"));
	refuses(CUSTOM("\"WindowsUpdate\",\"searchCriteria\":7"), STEP ".searchCriteria", NULL);
	refuses(CUSTOM("\"WindowsUpdate\",\"updateLimit\":-1"), STEP ".updateLimit", NULL);
	refuses(CUSTOM("\"WindowsUpdate\",\"updateLimit\":1001"), STEP ".updateLimit", NULL);
	accepts(CUSTOM("\"WindowsUpdate\",\"updateLimit\":1000"));
	refuses(CUSTOM("\"WindowsUpdate\",\"filters\":[\"only:x\"]"), STEP ".filters", NULL);
	refuses(CUSTOM("\"WindowsUpdate\",\"filters\":[\"include:\"]"), STEP ".filters", NULL);
	refuses(CUSTOM("\"WindowsUpdate\",\"filters\":\"include:1\""), STEP ".filters", NULL);
	accepts(CUSTOM("\"WindowsRestart\""));
	accepts(CUSTOM("\"WindowsRestart\",\"restartCommand\":\"\",\"restartTimeout\":\"\""));
	accepts(CUSTOM(
		"\"WindowsRestart\",\"restartTimeout\":\"1h30m\",\"restartCheckCommand\":\"x\""));
	accepts(CUSTOM("\"WindowsRestart\",\"restartTimeout\":\"24h\""));
	refuses(CUSTOM("\"WindowsRestart\",\"restartTimeout\":\"24h1s\""), STEP ".restartTimeout",
		NULL);
	refuses(CUSTOM("\"WindowsRestart\",\"restartTimeout\":\"5\""), STEP ".restartTimeout",
		NULL);
	refuses(CUSTOM("\"WindowsRestart\",\"restartTimeout\":\"m\""), STEP ".restartTimeout",
		NULL);
	refuses(CUSTOM("\"WindowsRestart\",\"restartTimeout\":\"0m\""), STEP ".restartTimeout",
		NULL);
	refuses(CUSTOM("\"WindowsRestart\",\"restartTimeout\":5"), STEP ".restartTimeout", NULL);
	refuses(CUSTOM("\"WindowsRestart\",\"restartCommand\":5"), STEP ".restartCommand", NULL);
	refuses(CUSTOM("\"PowerShell\""), STEP, "NoCustomizerScript");
	accepts(CUSTOM("\"PowerShell\",\"inline\":[\"x\"],\"validExitCodes\":[0,-1,4294967295],"
		       "\"runElevated\":true,\"runAsSystem\":true"));
	refuses(CUSTOM("\"PowerShell\",\"inline\":[\"x\"],\"validExitCodes\":[4294967296]"),
		STEP ".validExitCodes", NULL);
	refuses(CUSTOM("\"PowerShell\",\"inline\":[\"x\"],\"validExitCodes\":3"),
		STEP ".validExitCodes", NULL);
	refuses(CUSTOM("\"PowerShell\",\"inline\":[\"x\"],\"runAsSystem\":true"),
		STEP ".runAsSystem", NULL);
	refuses(CUSTOM("\"PowerShell\",\"inline\":[\"x\"],\"runElevated\":1"), STEP ".runElevated",
		NULL);
	accepts("{\"validate\":{\"inVMValidations\":[{\"type\":\"PowerShell\",\"inline\":[\"x\"]}]}"
		"}");
	refuses("{\"validate\":{\"inVMValidations\":[{\"type\":\"PowerShell\"}]}}",
		"properties.validate.inVMValidations[0]", "NoValidatorScript");
	accepts("{\"kiln\":{\"executor\":\"vm\"}}");
	accepts("{\"kiln\":{\"executor\":\"auto\"}}");
	refuses("{\"kiln\":{\"executor\":\"hypervisor\"}}", "properties.kiln.executor", NULL);
}

static void customizers(void **state)
{
	accepts("{\"customize\":[]}");
	accepts("{\"customize\":null}");
	accepts("{\"customize\":[{\"type\":\"File\",\"sourceUri\":\"file:///a\",\"destination\":\"/"
		"a/"
		"b\"}]}");
	refuses("{\"customize\":{}}", "properties.customize", NULL);
	refuses("{\"customize\":[7]}", "properties.customize[0]", NULL);
	refuses("{\"customize\":[{\"type\":\"Perl\"}]}", "properties.customize[0].type",
		"BadCustomizerType");
	refuses("{\"customize\":[{\"type\":\"Shell\"}]}", "properties.customize[0]",
		"NoCustomizerScript");
	refuses("{\"customize\":[{\"type\":\"Shell\",\"inline\":[\"a\"],\"scriptUri\":\"https://e/"
		"x\"}]}",
		"properties.customize[0]", "NoCustomizerScript");
	refuses("{\"customize\":[{\"type\":\"Shell\",\"inline\":[]}]}",
		"properties.customize[0].inline", "NoCustomizerScript");
	refuses("{\"customize\":[{\"type\":\"Shell\",\"inline\":[\"a\",1]}]}",
		"properties.customize[0].inline[1]", NULL);
	refuses("{\"customize\":[{\"type\":\"Shell\",\"inline\":[\"a\"],\"name\":\"a\\nb\"}]}",
		"properties.customize[0].name", NULL);
	refuses("{\"customize\":[{\"type\":\"Shell\",\"inline\":[\"a\"],\"name\":\"a\"},"
		"{\"type\":\"Shell\",\"inline\":[\"a\"],\"name\":\"A\"}]}",
		"properties.customize[1].name", NULL);
}

static void uris_and_checksums(void **state)
{
	static const char *const bad[] = {
		"http://e/x",    "ftp://e/x",     "x",
		"file:x",        "file://host/x", "https://",
		"https:///x",    "https://u@e/x", "https://e/x#f",
		"https://e/x y", "https://e/\\n", "file:///",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_free char *patch =
			strf("{\"customize\":[{\"type\":\"Shell\",\"scriptUri\":\"%s\"}]}", bad[i]);

		refuses(patch, "properties.customize[0].scriptUri", NULL);
	}
	accepts("{\"customize\":[{\"type\":\"Shell\",\"scriptUri\":\"https://e:444/x?a=b\","
		"\"sha256Checksum\":\"\"}]}");
	refuses("{\"customize\":[{\"type\":\"Shell\",\"scriptUri\":\"https://e/x\","
		"\"sha256Checksum\":"
		"\"ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789\"}]}",
		"properties.customize[0].sha256Checksum", NULL);
	refuses("{\"customize\":[{\"type\":\"File\",\"sourceUri\":\"https://e/x\",\"destination\":"
		"\"etc/motd\"}]}",
		"properties.customize[0].destination", NULL);
	refuses("{\"customize\":[{\"type\":\"File\",\"sourceUri\":\"https://e/x\",\"destination\":"
		"\"/etc/../motd\"}]}",
		"properties.customize[0].destination", NULL);
	refuses("{\"customize\":[{\"type\":\"File\",\"sourceUri\":\"https://e/x\",\"destination\":"
		"\"/etc/\"}]}",
		"properties.customize[0].destination", NULL);
}

static void targets(void **state)
{
	refuses("{\"distribute\":null}", "properties.distribute", NULL);
	refuses("{\"distribute\":[]}", "properties.distribute", NULL);
	accepts("{\"distribute\":[{\"type\":\"VHD\",\"runOutputName\":\"a\",\"uri\":"
		"\"file:///a/b.vhd\"}]}");
	refuses("{\"distribute\":[{\"type\":\"VHD\",\"runOutputName\":\"a\",\"uri\":"
		"\"https://e/b.vhd\"}]}",
		"properties.distribute[0].uri", "BadDistributeType");
	refuses("{\"distribute\":[{\"type\":\"VHD\",\"runOutputName\":\"a\"}]}",
		"properties.distribute[0].uri", "BadDistributeType");
	refuses("{\"distribute\":[{\"type\":\"SharedImage\",\"runOutputName\":\"a\","
		"\"galleryImageId\":\"" GALLERY "/versions/1.0\"}]}",
		"properties.distribute[0].galleryImageId", "BadSharedImageDistribute");
	refuses("{\"distribute\":[{\"type\":\"SharedImage\",\"runOutputName\":\"a\","
		"\"galleryImageId\":\"" GALLERY "/versions/1.0.2147483648\"}]}",
		"properties.distribute[0].galleryImageId", "BadSharedImageDistribute");
	accepts("{\"distribute\":[{\"type\":\"SharedImage\",\"runOutputName\":\"a\","
		"\"galleryImageId\":\"" GALLERY "/versions/1.0.2147483647\"}]}");
	refuses("{\"distribute\":[{\"type\":\"SharedImage\",\"runOutputName\":\"a\","
		"\"galleryImageId\":\"" GALLERY "\",\"targetRegions\":[{\"name\":\"eastus\","
		"\"replicaCount\":0}]}]}",
		"properties.distribute[0].targetRegions[0].replicaCount",
		"BadSharedImageDistribute");
	refuses("{\"distribute\":[{\"type\":\"SharedImage\",\"runOutputName\":\"a\","
		"\"galleryImageId\":\"" GALLERY "\"},{\"type\":\"SharedImage\",\"runOutputName\":"
		"\"A\",\"galleryImageId\":\"" GALLERY "\"}]}",
		"properties.distribute[1].runOutputName", NULL);
}

static void limits_and_additions(void **state)
{
	accepts("{\"buildTimeoutInMinutes\":960}");
	refuses("{\"buildTimeoutInMinutes\":961}", "properties.buildTimeoutInMinutes", NULL);
	refuses("{\"buildTimeoutInMinutes\":-1}", "properties.buildTimeoutInMinutes", NULL);
	refuses("{\"buildTimeoutInMinutes\":\"1\"}", "properties.buildTimeoutInMinutes", NULL);
	refuses("{\"vmProfile\":{\"osDiskSizeGB\":4096}}", "properties.vmProfile.osDiskSizeGB",
		NULL);
	refuses("{\"optimize\":{\"vmBoot\":{\"state\":\"Perhaps\"}}}",
		"properties.optimize.vmBoot.state", NULL);
	refuses("{\"errorHandling\":{\"onCustomizerError\":\"ask\"}}",
		"properties.errorHandling.onCustomizerError", NULL);
	refuses("{\"validate\":{\"sourceValidationOnly\":true}}",
		"properties.validate.sourceValidationOnly", NULL);
	refuses("{\"validate\":{\"inVMValidations\":[{\"type\":\"WindowsRestart\"}]}}",
		"properties.validate.inVMValidations[0].type", "UnsupportedValidatorType");
	refuses("{\"kiln\":{\"magic\":1}}", "properties.kiln.magic", "InvalidRequestContent");
	refuses("{\"kiln\":{\"validateIn\":\"moon\"}}", "properties.kiln.validateIn", NULL);
	refuses("{\"kiln\":{\"network\":{\"allow\":[\"example.org\"]}}}",
		"properties.kiln.network.allow[0]", NULL);
	refuses("{\"kiln\":{\"network\":{\"allow\":[\"apt\"],\"steps\":[\"nope\"]}}}",
		"properties.kiln.network.steps[0]", NULL);
	refuses("{\"kiln\":{\"environment\":{\"A=B\":\"x\"}}}", "properties.kiln.environment.A=B",
		NULL);
}

static void network_goes_to_the_named_steps(void **state)
{
	struct template t = {0};
	json_t *j = with("{\"kiln\":{\"network\":{\"allow\":[\"apt\",\"*.e.org:443\"]}}}");

	assert_int_equal(template_parse(j, &t, NULL), 0);
	assert_true(t.steps[0].network && t.steps[1].network);
	template_done(&t);
	json_decref(j);
	j = with("{\"kiln\":{\"network\":{\"allow\":[\"apt\"],\"steps\":[\"First (of 2)\"]}}}");
	assert_int_equal(template_parse(j, &t, NULL), 0);
	assert_true(t.steps[0].network && !t.steps[1].network);
	template_done(&t);
	json_decref(j);
}

static void old_api_versions(void **state)
{
	json_t *j = with("{\"validate\":{\"inVMValidations\":[{\"type\":\"File\",\"sourceUri\":"
			 "\"https://e/x\",\"destination\":\"/a/b\"}]}}");
	struct err err = ERR_INIT;

	assert_int_equal(bake_check(j, "2022-07-01", NULL), 0);
	assert_int_equal(bake_check(j, "2022-02-14", &err), -EINVAL);
	assert_string_equal(err.target, "properties.validate.inVMValidations[0].type");
	err_done(&err);
	json_decref(j);
}

/* Replacing any one value of a full template by one of another type never crashes, and a refusal
 * names the member or something inside it. */
static void every_member_of_another_type(void **state)
{
	static const char *const values[] = {"null", "true", "-7",   "\"\"", "\"x\"",
					     "[]",   "{}",   "[[]]", "1.5"};
	static const char *const members[] = {
		"source",
		"source.type",
		"customize",
		"customize.0",
		"customize.0.type",
		"customize.0.inline",
		"distribute",
		"distribute.0",
		"distribute.0.galleryImageId",
		"distribute.0.targetRegions",
		"distribute.0.targetRegions.0",
		"validate",
		"vmProfile",
		"optimize",
		"errorHandling",
		"kiln",
		"buildTimeoutInMinutes",
	};

	for (size_t m = 0; m < ARRAY_SIZE(members); m++) {
		for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
			auto_free char *text = strf("[%s]", values[v]);
			auto_json json_t *wrap = NULL, *j = base();
			auto_free char *parent = strf("properties.%s", members[m]);
			char *dot = strrchr(parent, '.');
			struct err err = ERR_INIT;
			json_t *at;
			int r;

			assert_int_equal(json_parse(text, strlen(text), &wrap, NULL), 0);
			*dot = '\0';
			at = json_at(j, parent);
			assert_non_null(at);
			if (json_is_array(at))
				json_array_set(at, strtoul(dot + 1, NULL, 10),
					       json_array_get(wrap, 0));
			else
				json_object_set(at, dot + 1, json_array_get(wrap, 0));
			r = bake_check(j, "2024-02-01", &err);
			assert_true(r == 0 || (r == -EINVAL && err.target));
			err_done(&err);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_are_taken_in_order),
		cmocka_unit_test(sources),
		cmocka_unit_test(customizers),
		cmocka_unit_test(windows_steps),
		cmocka_unit_test(uris_and_checksums),
		cmocka_unit_test(targets),
		cmocka_unit_test(limits_and_additions),
		cmocka_unit_test(network_goes_to_the_named_steps),
		cmocka_unit_test(old_api_versions),
		cmocka_unit_test(every_member_of_another_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
