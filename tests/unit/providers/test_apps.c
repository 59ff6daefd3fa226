/* SPDX-License-Identifier: Apache-2.0 */
/* Gallery applications and their versions. */
#include "harness.h"

#include "base/file.h"
#include "base/hash.h"

#define A "@galleries/gal/applications/app"
#define V A "/versions/1.0.0"

static char *make_file(struct harness *h, const char *name, const char *text)
{
	char *path = strf("%s/%s", h->dir, name), *url;

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
	url = strf("file://%s", path);
	free(path);
	return url;
}

static void make_app(struct harness *h)
{
	make_gallery(h);
	expect_ok(
		h, "PUT", A, V23,
		"{'location':'eastus','properties':{'supportedOSType':'linux','description':"
		"'an agent','customActions':[{'name':'restart','script':'systemctl restart x'}]}}");
}

static char *body_of(const char *package, const char *config, const char *more)
{
	return strf("{'location':'eastus','properties':{'publishingProfile':{'source':{'mediaLink':"
		    "'%s'%s%s%s},'manageActions':{'install':'sh install.sh','remove':'sh "
		    "remove.sh'}%s}}}",
		    package, config ? ",'defaultConfigurationLink':'" : "", config ? config : "",
		    config ? "'" : "", more);
}

static void package_is_kept_and_replicated(void **state)
{
	struct harness *h = *state;
	char *package = make_file(h, "p.tar", "the package"), *config = make_file(h, "c", "x=1\n");
	char *body = body_of(package, config,
			     ",'targetRegions':[{'name':'eastus'},{'name':'West Europe'}]");
	char hex[DIGEST_HEX], *key;
	struct digest d;
	struct disk_ref ref;

	make_app(h);
	assert_string_equal(text_at(h, "properties.supportedOSType"), "Linux");
	expect_ok(h, "PUT", V, V23, body);
	assert_int_equal(h->status, 201);
	expect_ok(h, "GET", V "?$expand=ReplicationStatus", V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.replicationStatus.aggregatedState"),
			    "Completed");
	sha256("the package", 11, &d);
	assert_string_equal(text_at(h, "properties.kiln.package.sha256"), digest_hex(&d, hex));
	assert_int_equal(json_int_at(h->body, "properties.kiln.package.sizeBytes", 0), 11);
	assert_int_equal(json_int_at(h->body, "properties.kiln.configuration.sizeBytes", 0), 4);
	key = str_lower(text_at(h, "id"));
	assert_int_equal(store_root_get(h->app->store, 1, "application", key, &ref, NULL), 0);
	/* The same again, other regions, other content. */
	expect_ok(h, "PUT", V, V23, body);
	free(body);
	body = body_of(package, config,
		       ",'targetRegions':[{'name':'eastus'}]},'safetyProfile':"
		       "{'allowDeletionOfReplicatedLocations':true");
	expect_ok(h, "PUT", V, V23, body);
	assert_int_equal(store_root_get(h->app->store, 1, "application", key, &ref, NULL), -ENOENT);
	free(body);
	body = body_of(config, NULL, "");
	expect_error(h, "PUT", V, V23, body, 409, "PropertyChangeNotAllowed", NULL);
	expect_error(h, "DELETE", A, V23, NULL, 409, "CannotDeleteResource", NULL);
	expect_ok(h, "DELETE", V, V23, NULL);
	assert_int_equal(store_root_get(h->app->store, 0, "application", key, &ref, NULL), -ENOENT);
	expect_ok(h, "DELETE", A, V23, NULL);
	free(body);
	free(key);
	free(package);
	free(config);
}

static void what_is_not_there_fails(void **state)
{
	struct harness *h = *state;
	char *body = body_of("https://127.0.0.1:1/p.tar?sig=x", NULL, "");

	make_app(h);
	call(h, "PUT", V, V23, body);
	assert_true(h->work < 0);
	expect_ok(h, "GET", V, V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Failed");
	assert_string_equal(text_at(h, "properties.publishingProfile.source.mediaLink"),
			    "https://127.0.0.1:1/p.tar");
	expect_ok(h, "DELETE", V, V23, NULL);
	free(body);
	body = body_of("http://x/p.tar", NULL, "");
	expect_error(h, "PUT", V, V23, body, 400, "InvalidParameter",
		     "properties.publishingProfile.source.mediaLink");
	free(body);
	expect_error(h, "PUT", V, V23, "{'location':'eastus','properties':{}}", 400,
		     "InvalidParameter", "properties.publishingProfile");
	expect_error(h, "PUT", A, V23,
		     "{'location':'eastus','properties':{'supportedOSType':'Windows'}}", 409,
		     "PropertyChangeNotAllowed", NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(package_is_kept_and_replicated),
		T(what_is_not_there_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
