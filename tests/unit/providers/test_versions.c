/* SPDX-License-Identifier: Apache-2.0 */
/* Image versions: rules of creating, changing, deleting; replication; names. */
#include "harness.h"

#include "base/file.h"
#include "providers/versions.h"

#define V      "@galleries/gal/images/def/versions/1.0.0"
#define EXPAND V "?$expand=ReplicationStatus"
#define BOTH   "'targetRegions':[{'name':'eastus'},{'name':'westeurope'}]"

static int with_gallery(void **state)
{
	harness_setup(state);
	make_gallery(*state);
	return 0;
}

static char *body_of(const char *profile, const char *source, const char *more)
{
	char *s = strf("{'location':'eastus','properties':{'publishingProfile':{%s},"
		       "'storageProfile':{'source':{'id':'%s'}}%s}}",
		       profile, source, more);

	assert_non_null(s);
	return s;
}

/* PUT with a fresh run as the source that must be refused. */
static void refused(struct harness *h, const char *name, const char *profile, const char *more,
		    int status, const char *code, const char *target)
{
	char *path = strf("@galleries/gal/images/def/versions/%s", name);
	char *body = body_of(profile, make_run(h, 'r'), more);

	expect_error(h, "PUT", path, V25, body, status, code, target);
	free(path);
	free(body);
}

static void grammar(void **state)
{
	static const char *const good[] = {"0.0.0", "1.0.0", "2147483647.2147483647.2147483647",
					   "12.20261122.0"};
	static const char *const wrong[] = {
		"",       "1",      "1.0",    "1.0.0.0", "1.0.a",
		"01.0.0", "1.0.00", "-1.0.0", "latest",  "1.0.2147483648",
		"1..0",   "1.0.0 ", ".1.0.0", "1.0.",    "99999999999.0.0"};
	int64_t v[VERSION_PARTS];

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(version_parse(good[i], v), 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(version_parse(wrong[i], v), -EINVAL);
}

static void order_is_numeric(void **state)
{
	static const char *const up[] = {"0.0.0",  "0.0.9", "0.0.10", "0.9.0",
					 "0.10.0", "9.0.0", "10.0.0", "10.0.1"};
	int64_t a[VERSION_PARTS], b[VERSION_PARTS];

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(up); i++)
		for (size_t k = 0; k < ARRAY_SIZE(up); k++) {
			assert_int_equal(version_parse(up[i], a), 0);
			assert_int_equal(version_parse(up[k], b), 0);
			assert_int_equal(version_compare(a, b), i < k ? -1 : i > k);
		}
}

static void names_are_checked(void **state)
{
	static const char *const wrong[] = {"1.0", "latest", "1.0.2147483648", "01.0.0", "a.b.c"};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char *path = strf("@galleries/gal/images/def/versions/%s", wrong[i]);

		assert_int_equal(call(*state, "PUT", path, V23, "{'location':'eastus'}"), 400);
		free(path);
	}
}

static void create_in_two_regions(void **state)
{
	struct harness *h = *state;
	char *body = body_of(BOTH, make_run(h, 'a'), "");
	struct disk_ref d[2];
	char key[256];

	expect_ok(h, "PUT", V, V23, body);
	assert_int_equal(h->status, 201);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Creating");
	expect_ok(h, "GET", V, V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.publishingProfile.targetRegions.0.name"),
			    "East US");
	assert_int_equal(json_int_at(h->body,
				     "properties.publishingProfile.targetRegions.1."
				     "regionalReplicaCount",
				     0),
			 1);
	assert_string_equal(text_at(h, "properties.publishingProfile.targetRegions.1."
				       "storageAccountType"),
			    "Standard_LRS");
	assert_non_null(text_at(h, "properties.publishingProfile.publishedDate"));
	assert_int_equal(json_int_at(h->body, "properties.storageProfile.osDiskImage.sizeInGB", 0),
			 1);
	assert_true(json_is_false(
		json_at(h->body, "properties.safetyProfile.allowDeletionOfReplicatedLocations")));
	assert_int_equal(strncmp(text_at(h, "properties.kiln.manifest"), "sha256:", 7), 0);
	/* what only this program needs is not shown */
	assert_null(json_object_get(h->body, "replication"));
	assert_null(json_object_get(h->body, "facts"));
	assert_null(json_object_get(h->body, "origin"));
	assert_null(json_at(h->body, "properties.replicationStatus"));
	/* the disk lives in both regions under the version's own root */
	(void) snprintf(key, sizeof(key), "%s", text_at(h, "id"));
	for (char *p = key; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char) (*p + 32) : *p;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(store_root_get(h->app->store, i, "version", key, &d[i], NULL), 0);
	assert_true(digest_eq(&d[0].digest, &d[1].digest));
	free(body);
}

static void replication_status_when_asked(void **state)
{
	struct harness *h = *state;
	char *body = body_of(BOTH, make_run(h, 'a'), "");

	start(h, "PUT", V, V23, body); /* queued */
	assert_int_equal(h->status, 201);
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_string_equal(text_at(h, "properties.replicationStatus.aggregatedState"),
			    "InProgress");
	assert_string_equal(text_at(h, "properties.replicationStatus.summary.0.state"), "Unknown");
	assert_int_equal(arm_work(h->app->arm, NULL, NULL, NULL, NULL), 0);
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_string_equal(text_at(h, "properties.replicationStatus.aggregatedState"),
			    "Completed");
	assert_string_equal(text_at(h, "properties.replicationStatus.summary.1.region"),
			    "West Europe");
	assert_string_equal(text_at(h, "properties.replicationStatus.summary.1.state"),
			    "Completed");
	assert_int_equal(json_int_at(h->body, "properties.replicationStatus.summary.1.progress", 0),
			 100);
	expect_ok(h, "GET", V "?$expand=replicationstatus", V23, NULL);
	assert_non_null(json_at(h->body, "properties.replicationStatus"));
	free(body);
}

static void region_rules(void **state)
{
	struct harness *h = *state;
	const char *regions = "properties.publishingProfile.targetRegions";

	refused(h, "1.0.0", "'targetRegions':[{'name':'westeurope'}]", "", 400, "InvalidParameter",
		regions);
	refused(h, "1.0.0", "'targetRegions':[{'name':'East US'},{'name':'eastus'}]", "", 400,
		"InvalidParameter", "properties.publishingProfile.targetRegions[1].name");
	assert_int_equal(call(h, "PUT", V, V23,
			      "{'location':'eastus','properties':{'publishingProfile':"
			      "{'targetRegions':[{'name':'mars'}]}}}"),
			 400);
	assert_string_equal(h->target, "properties.publishingProfile.targetRegions[0].name");
	refused(h, "1.0.0", "'targetRegions':[{'name':'eastus','regionalReplicaCount':101}]", "",
		400, "InvalidParameter",
		"properties.publishingProfile.targetRegions[0].regionalReplicaCount");
	refused(h, "1.0.0", "'targetRegions':[{'name':'eastus','regionalReplicaCount':0}]", "", 400,
		"InvalidParameter",
		"properties.publishingProfile.targetRegions[0].regionalReplicaCount");
	refused(h, "1.0.0",
		"'replicationMode':'Shallow','targetRegions':[{'name':'eastus',"
		"'regionalReplicaCount':2}]",
		"", 400, "InvalidParameter",
		"properties.publishingProfile.targetRegions[0].regionalReplicaCount");
	refused(h, "1.0.0", "'targetRegions':[{'name':'eastus','encryption':{'osDiskImage':{}}}]",
		"", 400, "InvalidParameter",
		"properties.publishingProfile.targetRegions[0].encryption");
	refused(h, "1.0.0", "'targetExtendedLocations':[{'name':'edge'}]", "", 400,
		"InvalidParameter", "properties.publishingProfile.targetExtendedLocations");
	refused(h, "1.0.0", "'endOfLifeDate':'2001-01-01T00:00:00Z'", "", 400, "InvalidParameter",
		"properties.publishingProfile.endOfLifeDate");
	refused(h, "1.0.0", "", ",'restore':true", 400, "InvalidParameter", "properties.restore");
	assert_int_equal(call(h, "GET", V, V23, NULL), 404); /* nothing was left behind */
}

static void defaults_of_regions(void **state)
{
	struct harness *h = *state;

	make_version(h, "1.0.0", "'replicaCount':3,'storageAccountType':'Premium_LRS'");
	expect_ok(h, "GET", V, V23, NULL);
	assert_string_equal(text_at(h, "properties.publishingProfile.targetRegions.0.name"),
			    "East US");
	assert_int_equal(json_int_at(h->body,
				     "properties.publishingProfile.targetRegions.0."
				     "regionalReplicaCount",
				     0),
			 3);
	assert_string_equal(text_at(h, "properties.publishingProfile.targetRegions.0."
				       "storageAccountType"),
			    "Premium_LRS");
}

static void source_exactly_one_way(void **state)
{
	static const char *const profiles[] = {
		"{}",
		"{'source':{'id':'/subscriptions/a/x/y','virtualMachineId':'/subscriptions/b'}}",
	};
	static const char *const others[] = {
		"{'source':{'virtualMachineId':'/subscriptions/b'}}",
		"{'osDiskImage':{'source':{'uri':'ftp://x/y.vhd'}}}",
	};
	struct harness *h = *state;

	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		char *body = strf("{'location':'eastus','properties':{'storageProfile':%s}}",
				  profiles[i]);

		expect_error(h, "PUT", V, V23, body, 400, "InvalidParameter",
			     "properties.storageProfile");
		free(body);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		char *body =
			strf("{'location':'eastus','properties':{'storageProfile':%s}}", others[i]);

		expect_error(h, "PUT", V, V23, body, 400, "InvalidParameter", NULL);
		free(body);
	}
}

static void sources_that_cannot_be(void **state)
{
	static const struct {
		const char *id;
		int status;
		const char *code;
	} ids[] = {
		{"relative", 400, "LinkedInvalidPropertyId"},
		{"/sharedGalleries/x/Images/y", 404, "GalleryImageNotFound"},
		{"/sharedGalleries/x", 400, "LinkedInvalidPropertyId"},
		{"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v",
		 400, "InvalidParameter"},
		{"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d", 404,
		 "ResourceNotFound"},
		{"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/none", 404,
		 "ResourceNotFound"},
		{"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/gal/"
		 "images/def/versions/9.9.9",
		 404, "ResourceNotFound"},
	};
	struct harness *h = *state;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		char *body = body_of("", ids[i].id, "");

		expect_error(h, "PUT", V, V23, body, ids[i].status, ids[i].code,
			     "properties.storageProfile.source.id");
		free(body);
	}
}

static void source_must_match_the_definition(void **state)
{
	struct harness *h = *state;
	char *body = body_of("", make_run(h, 'a'), "");

	expect_ok(
		h, "PUT", "@galleries/gal/images/v1", V23,
		"{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		"'hyperVGeneration':'V1','identifier':{'publisher':'p','offer':'o','sku':'v1'}}}");
	expect_error(h, "PUT", "@galleries/gal/images/v1/versions/1.0.0", V23, body, 400,
		     "InvalidParameter", "properties.storageProfile.source.id");
	expect_ok(
		h, "PUT", "@galleries/gal/images/sp", V23,
		"{'location':'eastus','properties':{'osType':'Linux','osState':'Specialized',"
		"'hyperVGeneration':'V2','identifier':{'publisher':'p','offer':'o','sku':'sp'}}}");
	expect_error(h, "PUT", "@galleries/gal/images/sp/versions/1.0.0", V23, body, 400,
		     "InvalidParameter", "properties.storageProfile.source.id");
	free(body);
}

static void from_another_version(void **state)
{
	struct harness *h = *state;
	char *source, *body;

	make_version(h, "1.0.0", NULL); /* eastus alone */
	expect_ok(h, "GET", V, V23, NULL);
	source = strdup(text_at(h, "id"));
	body = body_of("", source, "");
	expect_ok(h, "PUT", "@galleries/gal/images/def/versions/2.0.0", V23, body);
	free(body);
	/* it must have a replica where the new one lives */
	body = strf(
		"{'location':'westeurope','properties':{'storageProfile':{'source':{'id':'%s'}}}}",
		source);
	expect_error(h, "PUT", "@galleries/gal/images/def/versions/3.0.0", V23, body, 404,
		     "GalleryImageNotFound", "properties.storageProfile.source.id");
	free(body);
	/* "latest" of a definition is its highest version */
	body = strf("{'location':'eastus','properties':{'storageProfile':{'source':{'id':"
		    "'%.*slatest'}}}}",
		    (int) (strlen(source) - strlen("1.0.0")), source);
	expect_ok(h, "PUT", "@galleries/gal/images/def/versions/4.0.0", V23, body);
	free(body);
	free(source);
}

/* az reads a version, drops what it knows to be read-only, and sends the rest back. */
static void update_with_empty_storage_profile(void **state)
{
	struct harness *h = *state;
	const char *digest;
	char *before;

	make_version(h, "1.0.0", NULL);
	expect_ok(h, "GET", V, "2022-03-03", NULL);
	digest = text_at(h, "properties.kiln.disk.digest");
	before = strdup(digest);
	expect_ok(h, "PUT", V, "2022-03-03",
		  "{'location':'East US','tags':{'n':'w'},'properties':{'publishingProfile':"
		  "{'targetRegions':[{'name':'East US','regionalReplicaCount':2,"
		  "'storageAccountType':'Standard_LRS'}],'excludeFromLatest':true},"
		  "'storageProfile':{}}}");
	assert_int_equal(h->status, 200);
	expect_ok(h, "GET", V, "2022-03-03", NULL);
	assert_string_equal(text_at(h, "properties.kiln.disk.digest"), before);
	assert_non_null(text_at(h, "properties.storageProfile.source.id"));
	assert_true(json_bool_at(h->body, "properties.publishingProfile.excludeFromLatest", false));
	assert_int_equal(json_int_at(h->body,
				     "properties.publishingProfile.targetRegions.0."
				     "regionalReplicaCount",
				     0),
			 2);
	free(before);
}

static void content_never_changes(void **state)
{
	struct harness *h = *state;
	char *body;

	make_version(h, "1.0.0", NULL);
	body = body_of("", make_run(h, 'z'), "");
	expect_error(h, "PUT", V, V23, body, 409, "PropertyChangeNotAllowed", NULL);
	free(body);
	expect_error(h, "PUT", V, V23,
		     "{'location':'eastus','properties':{'publishingProfile':{'replicationMode':"
		     "'Shallow'},'storageProfile':{}}}",
		     409, "PropertyChangeNotAllowed", NULL);
	expect_error(
		h, "PUT", V, V23,
		"{'location':'eastus','properties':{'publishingProfile':{'targetRegions':"
		"[{'name':'eastus','storageAccountType':'Premium_LRS'}]},'storageProfile':{}}}",
		409, "PropertyChangeNotAllowed",
		"properties.publishingProfile.targetRegions[0].storageAccountType");
}

/* Nothing is copied: the source stays as long as somebody uses its content. */
static void shallow_uses_its_source(void **state)
{
	static const char *const two = "@galleries/gal/images/def/versions/2.0.0";
	struct harness *h = *state;
	auto_free char *id = NULL, *body = NULL, *wide = NULL;

	make_version(h, "1.0.0", NULL);
	expect_ok(h, "GET", V, V23, NULL);
	id = strdup(text_at(h, "id"));
	assert_non_null(id);
	wide = body_of("'replicationMode':'Shallow'," BOTH, id, "");
	expect_error(h, "PUT", two, V25, wide, 400, "InvalidParameter",
		     "properties.publishingProfile.targetRegions[1].name");
	assert_int_equal(
		call(h, "PUT", two, V25,
		     "{'location':'eastus','properties':{'publishingProfile':{'replicationMode':"
		     "'Shallow'},'storageProfile':{'osDiskImage':{'source':{'uri':"
		     "'https://127.0.0.1:1/x.vhd','storageAccountId':'/subscriptions/s/x'}}}}}"),
		400);
	body = body_of("'replicationMode':'Shallow'", id, "");
	expect_ok(h, "PUT", two, V25, body);
	expect_ok(h, "GET", two, V25, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.publishingProfile.replicationMode"), "Shallow");
	expect_error(h, "DELETE", V, V25, NULL, 409, "OperationNotAllowed", NULL);
	expect_ok(h, "GET", V, V25, NULL);
	expect_ok(h, "DELETE", two, V25, NULL);
	expect_ok(h, "DELETE", V, V25, NULL);
	assert_int_equal(call(h, "GET", V, V25, NULL), 404);
}

/* A group goes whatever its versions use of each other, in whichever order they come. */
static void a_group_goes_with_its_shallow_versions(void **state)
{
	struct harness *h = *state;
	auto_free char *id = NULL, *body = NULL;

	make_version(h, "1.0.0", NULL);
	expect_ok(h, "GET", V, V23, NULL);
	id = strdup(text_at(h, "id"));
	body = body_of("'replicationMode':'Shallow'", id, "");
	expect_ok(h, "PUT", "@galleries/gal/images/def/versions/2.0.0", V25, body);
	expect_ok(h, "PUT", "@galleries/gal/images/def/versions/0.5.0", V25, body);
	expect_ok(h, "DELETE", "~", "2021-04-01", NULL);
	assert_int_equal(call(h, "GET", V, V25, NULL), 404);
}

static void add_and_drop_regions(void **state)
{
	static const char add[] = "{'location':'eastus','properties':{'publishingProfile':{" BOTH
				  "},'storageProfile':{}}}";
	static const char one[] = "{'location':'eastus','properties':{'publishingProfile':"
				  "{'targetRegions':[{'name':'eastus'}]},'storageProfile':{}}}";
	struct harness *h = *state;

	make_version(h, "1.0.0", NULL);
	expect_ok(h, "PUT", V, V23, add);
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_int_equal(json_array_size(json_at(h->body, "properties.replicationStatus.summary")),
			 2);
	assert_string_equal(text_at(h, "properties.replicationStatus.aggregatedState"),
			    "Completed");
	/* a list that leaves one out is refused, and says how to mean it */
	expect_error(h, "PUT", V, V23, one, 409, "OperationNotAllowed",
		     "properties.publishingProfile.targetRegions");
	assert_non_null(strstr(h->message, "West Europe"));
	/* null and empty mean unchanged */
	expect_ok(h, "PUT", V, V23,
		  "{'location':'eastus','properties':{'publishingProfile':{'targetRegions':[]},"
		  "'storageProfile':{}}}");
	expect_ok(h, "PUT", V, V23,
		  "{'location':'eastus','properties':{'publishingProfile':{'targetRegions':null},"
		  "'storageProfile':{}}}");
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_int_equal(json_array_size(json_at(h->body, "properties.replicationStatus.summary")),
			 2);
	/* the flag allows it */
	expect_ok(h, "PUT", V, V23,
		  "{'location':'eastus','properties':{'publishingProfile':{'targetRegions':"
		  "[{'name':'eastus'}]},'storageProfile':{},'safetyProfile':"
		  "{'allowDeletionOfReplicatedLocations':true}}}");
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_int_equal(json_array_size(json_at(h->body, "properties.replicationStatus.summary")),
			 1);
}

static void old_api_versions_drop_silently(void **state)
{
	struct harness *h = *state;

	make_version(h, "1.0.0", BOTH);
	expect_ok(h, "PUT", V, "2021-10-01",
		  "{'location':'eastus','properties':{'publishingProfile':{'targetRegions':"
		  "[{'name':'eastus'}]},'storageProfile':{}}}");
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_int_equal(json_array_size(json_at(h->body, "properties.replicationStatus.summary")),
			 1);
}

static int count_root(void *arg, unsigned region, const char *kind, const char *id,
		      const struct disk_ref *disk)
{
	(void) region;
	(void) kind;
	(void) id;
	(void) disk;
	++*(unsigned *) arg;
	return 0;
}

static unsigned roots(struct harness *h)
{
	unsigned n = 0;

	assert_int_equal(store_root_list(h->app->store, "version", count_root, &n, NULL), 0);
	return n;
}

static void delete_lets_go(void **state)
{
	struct harness *h = *state;

	make_version(h, "1.0.0", BOTH);
	assert_int_equal(roots(h), 2);
	expect_ok(h, "DELETE", V, V23, NULL);
	assert_int_equal(h->status, 202);
	assert_int_equal(roots(h), 0);
	assert_int_equal(call(h, "GET", V, V23, NULL), 404);
	assert_int_equal(call(h, "DELETE", V, V23, NULL), 204);
}

static void protected_until_end_of_life(void **state)
{
	struct harness *h = *state;
	char *body = body_of("'endOfLifeDate':'2999-01-01T00:00:00Z'", make_run(h, 'a'),
			     ",'safetyProfile':{'blockDeletionBeforeEndOfLife':true}");

	expect_ok(h, "PUT", V, V25, body);
	assert_int_equal(call(h, "DELETE", V, V25, NULL), 409);
	assert_string_equal(h->code, "DeleteGalleryImageVersionBlockedBeforeEndOfLife");
	expect_ok(h, "PUT", V, V25,
		  "{'location':'eastus','properties':{'publishingProfile':{'endOfLifeDate':"
		  "'2999-01-01T00:00:00Z'},'storageProfile':{},'safetyProfile':"
		  "{'blockDeletionBeforeEndOfLife':false}}}");
	expect_ok(h, "DELETE", V, V25, NULL);
	free(body);
}

static void lists_are_in_numeric_order(void **state)
{
	static const char *const names[] = {"1.10.0", "1.9.0", "10.0.0", "2.0.0"};
	static const char *const sorted[] = {"1.9.0", "1.10.0", "2.0.0", "10.0.0"};
	struct harness *h = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		make_version(h, names[i], NULL);
	expect_ok(h, "GET", "@galleries/gal/images/def/versions", V23, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
		const json_t *item = json_array_get(json_object_get(h->body, "value"), i);

		assert_string_equal(json_str_at(item, "name"), sorted[i]);
		assert_non_null(json_str_at(item, "properties.publishingProfile.publishedDate"));
		assert_non_null(json_at(item, "properties.storageProfile"));
	}
}

static void expect_latest(struct harness *h, const char *region, const char *name)
{
	struct err e = ERR_INIT;
	char *id = NULL, *def;
	int r;

	expect_ok(h, "GET", "@galleries/gal/images/def", V23, NULL);
	def = strdup(text_at(h, "id"));
	r = version_latest(h->app, def, region, &id, &e);
	if (name) {
		assert_int_equal(r, 0);
		assert_string_equal(strrchr(id, '/') + 1, name);
	} else {
		assert_int_equal(r, -ENOENT);
		assert_string_equal(e.arm, "GalleryImageNotFound");
	}
	err_done(&e);
	free(id);
	free(def);
}

static void latest_is_the_highest_that_counts(void **state)
{
	struct harness *h = *state;

	expect_latest(h, "eastus", NULL);
	make_version(h, "1.9.0", BOTH);
	make_version(h, "1.10.0", NULL);
	expect_latest(h, "eastus", "1.10.0");
	expect_latest(h, "westeurope", "1.9.0"); /* where 1.10.0 has no replica */
	expect_latest(h, NULL, "1.10.0");
	make_version(h, "2.0.0", "'excludeFromLatest':true");
	expect_latest(h, "eastus", "1.10.0");
	make_version(h, "3.0.0",
		     "'targetRegions':[{'name':'eastus','excludeFromLatest':true},"
		     "{'name':'westeurope'}]");
	expect_latest(h, "eastus", "1.10.0");
	expect_latest(h, "westeurope", "3.0.0");
	/* released again by an update */
	expect_ok(h, "PUT", "@galleries/gal/images/def/versions/2.0.0", V23,
		  "{'location':'eastus','properties':{'publishingProfile':{'excludeFromLatest':"
		  "false},'storageProfile':{}}}");
	expect_latest(h, "eastus", "2.0.0");
}

static void not_latest_before_it_is_ready(void **state)
{
	struct harness *h = *state;
	char *body = body_of("", make_run(h, 'b'), "");

	make_version(h, "1.0.0", NULL);
	start(h, "PUT", "@galleries/gal/images/def/versions/2.0.0", V23, body);
	expect_latest(h, "eastus", "1.0.0");
	assert_int_equal(arm_work(h->app->arm, NULL, NULL, NULL, NULL), 0);
	expect_latest(h, "eastus", "2.0.0");
	free(body);
}

/* The job may run again after a crash at any moment: once more from the start must do no harm. */
static void second_write_while_one_runs(void **state)
{
	struct harness *h = *state;
	char *body = body_of("", make_run(h, 'b'), "");

	start(h, "PUT", V, V23, body);
	assert_int_equal(start(h, "PUT", V, V23, body), 409);
	assert_int_equal(start(h, "DELETE", V, V23, NULL), 409);
	assert_int_equal(arm_work(h->app->arm, NULL, NULL, NULL, NULL), 0);
	expect_ok(h, "PUT", V, V23, body);
	free(body);
}

static void survives_a_restart(void **state)
{
	struct harness *h = *state;
	char *body = body_of(BOTH, make_run(h, 'b'), "");

	start(h, "PUT", V, V23, body);
	harness_reopen(h);
	assert_int_equal(arm_work(h->app->arm, NULL, NULL, NULL, NULL), 0);
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.replicationStatus.aggregatedState"),
			    "Completed");
	free(body);
}

/* One region that cannot be written leaves the version Failed and says why; a second PUT after the
 * cure finishes what is missing. */
static void failed_region_and_its_cure(void **state)
{
	struct harness *h = *state;
	char *body = body_of(BOTH, make_run(h, 'f'), "");
	char *packs = strf("%s/regions/westeurope/packs", h->dir);
	char *away = strf("%s.away", packs);

	assert_int_equal(rename(packs, away), 0);
	assert_int_equal(file_write_atomic(packs, "x", 1, 0600, NULL), 0);
	assert_int_equal(call(h, "PUT", V, V23, body), 201);
	assert_true(h->work < 0);
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Failed");
	assert_string_equal(text_at(h, "properties.replicationStatus.aggregatedState"), "Failed");
	assert_string_equal(text_at(h, "properties.replicationStatus.summary.0.state"),
			    "Completed");
	assert_string_equal(text_at(h, "properties.replicationStatus.summary.1.state"), "Failed");
	assert_true(strlen(text_at(h, "properties.replicationStatus.summary.1.details")) > 0);
	expect_latest(h, "eastus", NULL);
	assert_int_equal(unlink(packs), 0);
	assert_int_equal(rename(away, packs), 0);
	expect_ok(h, "PUT", V, V23, body);
	expect_ok(h, "GET", EXPAND, V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.replicationStatus.aggregatedState"),
			    "Completed");
	expect_latest(h, "westeurope", "1.0.0");
	free(packs);
	free(away);
	free(body);
}

static void uefi_settings(void **state)
{
	struct harness *h = *state;

	refused(h, "1.0.0", "",
		",'securityProfile':{'uefiSettings':{'signatureTemplateNames':"
		"['NoSignatureTemplate']}}",
		400, "InvalidParameter",
		"properties.securityProfile.uefiSettings.signatureTemplateNames");
	refused(h, "1.0.0", "",
		",'securityProfile':{'uefiSettings':{'additionalSignatures':{'db':[]}}}", 400,
		"InvalidParameter", "properties.securityProfile.uefiSettings.additionalSignatures");
}

static void uefi_settings_on_request(void **state)
{
	struct harness *h = *state;
	char *body =
		strf("{'location':'eastus','properties':{'storageProfile':{'source':{'id':'%s'}},"
		     "'securityProfile':{'uefiSettings':{'signatureTemplateNames':"
		     "['MicrosoftUefiCertificateAuthorityTemplate']}}}}",
		     make_run(h, 'u'));

	expect_ok(h, "PUT", V, V23, body);
	expect_ok(h, "GET", V, V23, NULL);
	assert_null(json_at(h->body, "properties.securityProfile"));
	expect_ok(h, "GET", V "?$expand=UefiSettings", V23, NULL);
	assert_string_equal(
		text_at(h, "properties.securityProfile.uefiSettings.signatureTemplateNames.0"),
		"MicrosoftUefiCertificateAuthorityTemplate");
	expect_ok(h, "PUT", V, V23, "{'location':'eastus','properties':{}}");
	expect_ok(h, "GET", V "?$expand=UefiSettings", V23, NULL);
	(void) text_at(h, "properties.securityProfile.uefiSettings.signatureTemplateNames.0");
	expect_error(h, "PUT", V, V23,
		     "{'location':'eastus','properties':{'securityProfile':{'uefiSettings':"
		     "{'signatureTemplateNames':['MicrosoftWindowsTemplate']}}}}",
		     409, "PropertyChangeNotAllowed", "properties.securityProfile.uefiSettings");
	free(body);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, with_gallery, harness_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grammar),
		cmocka_unit_test(order_is_numeric),
		T(names_are_checked),
		T(create_in_two_regions),
		T(replication_status_when_asked),
		T(region_rules),
		T(defaults_of_regions),
		T(source_exactly_one_way),
		T(sources_that_cannot_be),
		T(source_must_match_the_definition),
		T(from_another_version),
		T(update_with_empty_storage_profile),
		T(content_never_changes),
		T(add_and_drop_regions),
		T(shallow_uses_its_source),
		T(a_group_goes_with_its_shallow_versions),
		T(old_api_versions_drop_silently),
		T(delete_lets_go),
		T(protected_until_end_of_life),
		T(lists_are_in_numeric_order),
		T(latest_is_the_highest_that_counts),
		T(not_latest_before_it_is_ready),
		T(second_write_while_one_runs),
		T(survives_a_restart),
		T(failed_region_and_its_cure),
		T(uefi_settings),
		T(uefi_settings_on_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
