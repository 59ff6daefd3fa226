/* SPDX-License-Identifier: Apache-2.0 */
/* Images that are made disk by disk: of disks, snapshots and VHDs, with data disks. */
#include "harness.h"

#include "base/file.h"
#include "disk/vhd.h"

#define V     "@galleries/gal/images/def/versions/"
#define API   "2022-07-02"
#define BYTES (1u << 20)

/* A fixed VHD of @fill bytes beside the data directory; its file: URL, valid until the next call.
 */
static const char *make_vhd(struct harness *h, const char *name, char fill)
{
	static char url[160];
	static const uint8_t id[16] = {7};
	uint8_t *data = calloc(1, BYTES + VHD_FOOTER);
	char path[128];

	assert_non_null(data);
	memset(data + 8192, fill, 100000);
	vhd_footer(BYTES, id, data + BYTES);
	(void) snprintf(path, sizeof(path), "%s/%s.vhd", h->dir, name);
	assert_int_equal(file_write_atomic(path, data, BYTES + VHD_FOOTER, 0600, NULL), 0);
	(void) snprintf(url, sizeof(url), "file://%s", path);
	free(data);
	return url;
}

static char *make_disk(struct harness *h, const char *type, const char *name, char fill)
{
	char *path = strf("@%s/%s", type, name), *id;
	char *body = strf("{'location':'eastus','properties':{'osType':'Linux','hyperVGeneration':"
			  "'V2','creationData':{'createOption':'Import','sourceUri':'%s'}}}",
			  make_vhd(h, name, fill));

	expect_ok(h, "PUT", path, API, body);
	expect_ok(h, "GET", path, API, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_int_equal(json_int_at(h->body, "properties.diskSizeBytes", 0), BYTES);
	id = strdup(text_at(h, "id"));
	free(path);
	free(body);
	return id;
}

static char *digest_of(struct harness *h, const char *path, const char *api, const char *at)
{
	expect_ok(h, "GET", path, api, NULL);
	return strdup(text_at(h, at));
}

static void version_with_data_disks(void **state)
{
	struct harness *h = *state;
	char *os = make_disk(h, "disks", "os", 'o'), *data = make_disk(h, "snapshots", "data", 'd');
	char *body, *d0, *d5, *copy, *id;
	struct disk_ref ref;

	make_gallery(h);
	body = strf("{'location':'eastus','properties':{'publishingProfile':{'targetRegions':"
		    "[{'name':'eastus'},{'name':'westeurope'}]},'storageProfile':{'osDiskImage':"
		    "{'source':{'id':'%s'}},'dataDiskImages':[{'lun':5,'source':{'id':'%s'}},"
		    "{'lun':0,'hostCaching':'ReadOnly','source':{'uri':'%s'}}]}}}",
		    os, data, make_vhd(h, "third", 't'));
	expect_ok(h, "PUT", V "1.0.0", V23, body);
	expect_ok(h, "GET", V "1.0.0", V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_int_equal(json_array_size(json_at(h->body, "properties.kiln.dataDisks")), 2);
	assert_int_equal(json_int_at(h->body, "properties.kiln.dataDisks.0.lun", -1), 0);
	assert_int_equal(
		json_int_at(h->body, "properties.storageProfile.dataDiskImages.1.sizeInGB", 0), 1);
	assert_null(json_object_get(h->body, "imports"));
	d0 = strdup(text_at(h, "properties.kiln.dataDisks.0.disk.digest"));
	d5 = strdup(text_at(h, "properties.kiln.dataDisks.1.disk.digest"));
	assert_string_not_equal(d0, d5);
	id = str_lower(text_at(h, "id"));
	copy = strf("%s#5", id);
	assert_int_equal(store_root_get(h->app->store, 1, "dataDisk", copy, &ref, NULL), 0);
	/* Updates leave the content alone. */
	expect_ok(h, "PUT", V "1.0.0", V23,
		  "{'location':'eastus','properties':{'storageProfile':{}}}");
	expect_ok(h, "PUT", V "1.0.0", V23, body);
	free(body);
	/* Another version takes all of it. */
	body = strf("{'location':'westeurope','properties':{'storageProfile':{'source':{'id':"
		    "'%s'}}}}",
		    id);
	expect_ok(h, "PUT", V "2.0.0", V23, body);
	free(body);
	body = digest_of(h, V "2.0.0", V23, "properties.kiln.dataDisks.1.disk.digest");
	assert_string_equal(body, d5);
	assert_int_equal(json_int_at(h->body, "properties.storageProfile.dataDiskImages.1.lun", 0),
			 5);
	free(body);
	/* So does a disk of one LUN. */
	body = strf("{'location':'eastus','properties':{'creationData':{'createOption':'FromImage',"
		    "'galleryImageReference':{'id':'%s','lun':0}}}}",
		    id);
	expect_ok(h, "PUT", "@disks/lun0", API, body);
	free(body);
	body = digest_of(h, "@disks/lun0", API, "properties.kiln.disk.digest");
	assert_string_equal(body, d0);
	free(body);
	expect_ok(h, "DELETE", V "1.0.0", V23, NULL);
	assert_int_equal(store_root_get(h->app->store, 1, "dataDisk", copy, &ref, NULL), -ENOENT);
	free(copy);
	free(id);
	free(d0);
	free(d5);
	free(os);
	free(data);
}

static void image_from_disks(void **state)
{
	struct harness *h = *state;
	char *os = make_disk(h, "snapshots", "os", 'o'), *body, *id;

	body = strf("{'location':'eastus','properties':{'hyperVGeneration':'V2','storageProfile':"
		    "{'osDisk':{'osType':'Linux','osState':'Generalized','snapshot':{'id':'%s'}},"
		    "'dataDisks':[{'lun':3,'blobUri':'%s'}]}}}",
		    os, make_vhd(h, "data", 'd'));
	expect_ok(h, "PUT", "@images/img", "2022-11-01", body);
	expect_ok(h, "GET", "@images/img", "2022-11-01", NULL);
	assert_int_equal(
		json_int_at(h->body, "properties.storageProfile.dataDisks.0.diskSizeGB", 0), 1);
	id = strdup(text_at(h, "id"));
	free(body);
	make_gallery(h);
	body = strf("{'location':'eastus','properties':{'storageProfile':{'source':{'id':'%s'}}}}",
		    id);
	expect_ok(h, "PUT", V "1.0.0", V23, body);
	expect_ok(h, "GET", V "1.0.0", V23, NULL);
	assert_int_equal(json_int_at(h->body, "properties.storageProfile.dataDiskImages.0.lun", 0),
			 3);
	expect_ok(h, "DELETE", "@images/img", "2022-11-01", NULL);
	free(body);
	free(id);
	free(os);
}

static void luns_and_sources_differ(void **state)
{
	struct harness *h = *state;
	char *os = make_disk(h, "disks", "os", 'o'), *body;

	make_gallery(h);
	body = strf("{'location':'eastus','properties':{'storageProfile':{'osDiskImage':{'source':"
		    "{'id':'%s'}},'dataDiskImages':[{'lun':1,'source':{'id':'%s'}}]}}}",
		    os, os);
	expect_error(h, "PUT", V "1.0.0", V23, body, 400, "InvalidParameter",
		     "properties.storageProfile.dataDiskImages[0].source.id");
	free(body);
	body = strf("{'location':'eastus','properties':{'storageProfile':{'osDiskImage':{'source':"
		    "{'id':'%s'}},'dataDiskImages':[{'lun':1,'source':{'uri':'file:///a'}},"
		    "{'lun':1,'source':{'uri':'file:///b'}}]}}}",
		    os);
	expect_error(h, "PUT", V "1.0.0", V23, body, 400, "InvalidParameter",
		     "properties.storageProfile.dataDiskImages[1].source.uri");
	free(body);
	free(os);
}

static void signatures_are_not_shown(void **state)
{
	struct harness *h = *state;
	char *body;

	make_gallery(h);
	body = strf("{'location':'eastus','properties':{'storageProfile':{'osDiskImage':{'source':"
		    "{'uri':'https://127.0.0.1:1/x.vhd?sig=secret'}}}}}");
	call(h, "PUT", V "1.0.0", V23, body);
	assert_true(h->work < 0); /* nobody listens there */
	expect_ok(h, "GET", V "1.0.0", V23, NULL);
	assert_string_equal(text_at(h, "properties.storageProfile.osDiskImage.source.uri"),
			    "https://127.0.0.1:1/x.vhd");
	assert_string_equal(text_at(h, "properties.provisioningState"), "Failed");
	expect_ok(h, "DELETE", V "1.0.0", V23, NULL);
	free(body);
}

/* The last resource asked for, as it is stored. */
static void assert_no_signature_kept(struct harness *h)
{
	auto_json json_t *doc = NULL;
	auto_free char *text = NULL;

	assert_int_equal(arm_load(h->app->arm, text_at(h, "id"), &doc, NULL), 0);
	text = json_compact(doc);
	assert_non_null(strstr(text, "/blob/"));
	assert_null(strstr(text, "sig="));
}

/* A disk's own URL is a source without a detour over the network. */
static void own_urls_are_sources(void **state)
{
	struct harness *h = *state;
	char *os = make_disk(h, "disks", "os", 'o'), *url, *body, *digest;

	digest = digest_of(h, "@disks/os", API, "properties.kiln.disk.digest");
	expect_ok(h, "POST", "@disks/os/beginGetAccess", API,
		  "{'access':'Read','durationInSeconds':3600}");
	expect_ok(h, "GET", h->location, API, NULL);
	/* By another name of the same server. */
	url = strf("https://another.name%s", strstr(text_at(h, "accessSAS"), "/blob/"));
	body = strf("{'location':'westeurope','properties':{'creationData':{'createOption':"
		    "'Import','sourceUri':'%s'}}}",
		    url);
	expect_ok(h, "PUT", "@disks/copy", API, body);
	free(url);
	url = digest_of(h, "@disks/copy", API, "properties.kiln.disk.digest");
	assert_string_equal(url, digest);
	assert_null(strchr(text_at(h, "properties.creationData.sourceUri"), '?'));
	assert_no_signature_kept(h);
	expect_ok(h, "POST", "@disks/os/endGetAccess", API, NULL);
	call(h, "PUT", "@disks/late", API, body);
	assert_true(h->work < 0); /* the access has ended */
	expect_ok(h, "GET", "@disks/late", API, NULL);
	assert_no_signature_kept(h);
	free(url);
	free(body);
	/* one whose signature is wrong goes on with another */
	expect_ok(h, "POST", "@disks/os/beginGetAccess", API,
		  "{'access':'Read','durationInSeconds':3600}");
	expect_ok(h, "GET", h->location, API, NULL);
	url = strdup(strstr(text_at(h, "accessSAS"), "/blob/"));
	for (int good = 0; good <= 1; good++) {
		body = strf("{'location':'westeurope','properties':{'creationData':{'createOption':"
			    "'Import','sourceUri':'https://another.name%s%s'}}}",
			    url, good ? "" : "0");
		call(h, "PUT", "@disks/again", API, body);
		assert_int_equal(h->work < 0, !good);
		expect_ok(h, "GET", "@disks/again", API, NULL);
		assert_no_signature_kept(h);
		free(body);
	}
	assert_string_equal(text_at(h, "properties.kiln.disk.digest"), digest);
	free(url);
	free(digest);
	free(os);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(version_with_data_disks),  T(image_from_disks),     T(luns_and_sources_differ),
		T(signatures_are_not_shown), T(own_urls_are_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
