/* SPDX-License-Identifier: Apache-2.0 */
/* Sharing galleries with subscriptions, tenants and the community, and reading shared ones. */
#include "harness.h"

#include "meta/resources.h"

#define G      "@galleries/gal"
#define OTHER  "22222222-2222-2222-2222-222222222222"
#define TENANT "33333333-3333-3333-3333-333333333333"

/* A second subscription, of another tenant, with a group "g". */
static void make_subscription(struct harness *h)
{
	static const char id[] = "/subscriptions/" OTHER;
	struct resource row = {0};

	row.id = strdup(id);
	row.key = strdup(id);
	row.sort = strdup(id);
	row.type = strdup("microsoft.resources/subscriptions");
	row.api_version = strdup("2021-01-01");
	row.doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", id, "subscriptionId", OTHER,
			    "name", OTHER, "type", "Microsoft.Resources/subscriptions", "tenantId",
			    TENANT, "state", "Enabled");
	assert_int_equal(resource_create(h->app->meta, &row, NULL), 0);
	resource_done(&row);
	expect_ok(h, "PUT", "/subscriptions/" OTHER "/resourceGroups/g", "2021-04-01",
		  "{'location':'eastus'}");
}

static void make_shared(struct harness *h, const char *permissions)
{
	char *body =
		strf("{'location':'eastus','properties':{'sharingProfile':{%s}}}", permissions);

	expect_ok(h, "PUT", G, V23, body);
	make_gallery(h);
	make_version(h, "1.0.0", "'targetRegions':[{'name':'eastus'},{'name':'westeurope'}]");
	make_version(h, "1.1.0", NULL);
	free(body);
}

static int get(struct harness *h, const char *subscription, const char *location, const char *rest)
{
	char *path = strf("/subscriptions/%s/providers/Microsoft.Compute/locations/%s/%s",
			  subscription, location, rest);
	int status = call(h, "GET", path, V23, NULL);

	free(path);
	return status;
}

static int count(struct harness *h, const char *subscription, const char *location,
		 const char *rest)
{
	int status = get(h, subscription, location, rest);

	return status == 200 ? (int) json_array_size(json_object_get(h->body, "value")) : -status;
}

/* Two items on two pages, and after them none. */
static void paged(struct harness *h, const char *subscription, const char *location,
		  const char *rest, const char *first, const char *second)
{
	char *one = strf("%s?$top=1", rest), *link;

	assert_int_equal(count(h, subscription, location, one), 1);
	assert_string_equal(text_at(h, "value.0.name"), first);
	link = strdup(text_at(h, "nextLink"));
	expect_ok(h, "GET", link, V23, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	assert_string_equal(text_at(h, "value.0.name"), second);
	assert_null(json_object_get(h->body, "nextLink"));
	free(link);
	free(one);
}

static const char *own(struct harness *h)
{
	return json_str_at(h->app->admin, "subscriptionId");
}

/* A VM of such an id; its job is not run. */
static void put_vm(struct harness *h, const char *group, const char *field, const char *id,
		   const char *name, int status)
{
	auto_free char *path = strf("%s/providers/Microsoft.Compute/virtualMachines/v", group);
	auto_free char *image =
		strf("%.*s%s%s", (int) (strchr(id, '%') - id), id, name, strchr(id, '%') + 2);
	auto_free char *body =
		strf("{'location':'eastus','properties':{'hardwareProfile':{'vmSize':"
		     "'Standard_B1s'},'storageProfile':{'imageReference':{'%s':'%s'}}}}",
		     field, image);

	assert_int_equal(start(h, "PUT", path, "2024-07-01", body), status);
}

static void share(struct harness *h, const char *body)
{
	expect_ok(h, "POST", G "/share", V23, body);
	if (h->location[0]) {
		expect_ok(h, "GET", h->location, V23, NULL);
		assert_int_equal(h->status, 200);
	}
}

static void groups_are_kept_and_shown_on_request(void **state)
{
	struct harness *h = *state;

	make_shared(h, "'permissions':'Groups'");
	share(h, "{'operationType':'Add','groups':[{'type':'Subscriptions','ids':['" OTHER "']},"
		 "{'type':'AADTenants','ids':['" TENANT "']}]}");
	assert_string_equal(text_at(h, "operationType"), "Add");
	expect_ok(h, "GET", G, V23, NULL);
	assert_null(json_at(h->body, "properties.sharingProfile.groups"));
	assert_string_equal(text_at(h, "properties.sharingStatus.aggregatedState"), "Succeeded");
	expect_ok(h, "GET", G "?$select=Permissions&$expand=sharingProfile/Groups", V23, NULL);
	assert_string_equal(text_at(h, "properties.sharingProfile.groups.0.ids.0"), OTHER);
	/* A PUT does not touch it. */
	expect_ok(h, "PUT", G, V23, "{'location':'eastus','properties':{'description':'x'}}");
	expect_ok(h, "GET", G "?$expand=SharingProfile/Groups", V23, NULL);
	assert_string_equal(text_at(h, "properties.sharingProfile.groups.1.ids.0"), TENANT);
	expect_error(h, "PUT", G, V23,
		     "{'location':'eastus','properties':{'sharingProfile':{'permissions':"
		     "'Private'}}}",
		     409, "OperationNotAllowed", "properties.sharingProfile.permissions");
	share(h,
	      "{'operationType':'Remove','groups':[{'type':'Subscriptions','ids':['" OTHER "']}]}");
	expect_ok(h, "GET", G "?$expand=sharingProfile/Groups", V23, NULL);
	assert_int_equal(json_array_size(json_at(h->body, "properties.sharingProfile.groups")), 1);
	share(h, "{'operationType':'Reset'}");
	expect_ok(h, "GET", G "?$expand=sharingProfile/Groups", V23, NULL);
	assert_string_equal(text_at(h, "properties.sharingProfile.permissions"), "Private");
	assert_null(json_at(h->body, "properties.sharingProfile.groups"));
}

static void what_cannot_be_shared(void **state)
{
	struct harness *h = *state;
	struct {
		const char *body;
		int status;
		const char *code;
	} bad[] = {
		{"{'operationType':'Add','groups':[{'type':'Subscriptions','ids':['x']}]}", 400,
		 "InvalidParameter"},
		{"{'operationType':'Add'}", 400, "InvalidParameter"},
		{"{'operationType':'Give'}", 400, "InvalidParameter"},
		{"{'operationType':'EnableCommunity'}", 409, "OperationNotAllowed"},
		{"{'operationType':'Add','groups':[{'type':'AADTenants','ids':["
		 "'11111111-0000-0000-0000-000000000000','21111111-0000-0000-0000-000000000000',"
		 "'31111111-0000-0000-0000-000000000000','41111111-0000-0000-0000-000000000000',"
		 "'51111111-0000-0000-0000-000000000000','61111111-0000-0000-0000-000000000000'"
		 "]}]}",
		 400, "InvalidParameter"},
	};

	make_gallery(h);
	expect_error(h, "POST", G "/share", V23,
		     "{'operationType':'Add','groups':[{'type':'Subscriptions','ids':['" OTHER
		     "']}]}",
		     409, "OperationNotAllowed", NULL);
	expect_ok(h, "PATCH", G, V23, "{'properties':{'sharingProfile':{'permissions':'Groups'}}}");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(h, "POST", G "/share", V23, bad[i].body, bad[i].status, bad[i].code,
			     NULL);
	expect_error(h, "PUT", "@galleries/pub", V23,
		     "{'location':'eastus','properties':{'sharingProfile':{'permissions':"
		     "'Community','communityGalleryInfo':{'publicNamePrefix':'prefix'}}}}",
		     400, "InvalidParameter", NULL);
}

/* Shared by subscription, by tenant, or not at all. */
static void only_what_is_shared_is_seen(void **state)
{
	struct harness *h = *state;
	char *name, *rest, *body;

	make_subscription(h);
	make_shared(h, "'permissions':'Groups'");
	expect_ok(h, "GET", G, V23, NULL);
	name = strdup(text_at(h, "properties.identifier.uniqueName"));
	rest = strf("sharedGalleries/%s/images/def/versions", name);
	assert_int_equal(count(h, OTHER, "eastus", "sharedGalleries"), 0);
	assert_int_equal(count(h, OTHER, "eastus", rest), -404);
	share(h, "{'operationType':'Add','groups':[{'type':'Subscriptions','ids':['" OTHER "']}]}");
	assert_int_equal(count(h, OTHER, "eastus", "sharedGalleries"), 1);
	assert_string_equal(text_at(h, "value.0.name"), name);
	assert_null(json_at(h->body, "value.0.id"));
	assert_int_equal(count(h, OTHER, "eastus", "sharedGalleries?sharedTo=tenant"), 0);
	assert_int_equal(count(h, own(h), "eastus", "sharedGalleries"), 0);
	assert_int_equal(count(h, OTHER, "eastus", rest), 2);
	paged(h, OTHER, "eastus", rest, "1.0.0", "1.1.0");
	assert_int_equal(count(h, OTHER, "westeurope", rest), 1);
	assert_int_equal(
		json_int_at(h->body, "value.0.properties.storageProfile.osDiskImage.diskSizeGB", 0),
		1);
	free(rest);
	rest = strf("sharedGalleries/%s/images/def", name);
	assert_int_equal(get(h, OTHER, "eastus", rest), 200);
	assert_string_equal(text_at(h, "properties.osType"), "Linux");
	body = strf("/SharedGalleries/%s/Images/def", name);
	assert_string_equal(text_at(h, "identifier.uniqueId"), body);
	free(body);
	/* As a source, by the one with whom it is shared. */
	body = strf("{'location':'eastus','properties':{'creationData':{'createOption':'FromImage',"
		    "'galleryImageReference':{'sharedGalleryImageId':'/SharedGalleries/%s/Images/"
		    "def/Versions/1.0.0'}}}}",
		    name);
	expect_ok(h, "PUT",
		  "/subscriptions/" OTHER "/resourceGroups/g/providers/Microsoft.Compute/disks/d",
		  "2022-07-02", body);
	expect_error(h, "PUT", "@disks/d", "2022-07-02", body, 404, "GalleryImageNotFound",
		     "properties.creationData.galleryImageReference.sharedGalleryImageId");
	free(body);
	put_vm(h, "/subscriptions/" OTHER "/resourceGroups/g", "sharedGalleryImageId",
	       "/SharedGalleries/%s/Images/def/Versions/1.0.0", name, 201);
	put_vm(h, "~", "sharedGalleryImageId", "/SharedGalleries/%s/Images/def", name, 404);
	share(h, "{'operationType':'Reset'}");
	assert_int_equal(get(h, OTHER, "eastus", rest), 404);
	expect_ok(h, "PATCH", G, V23, "{'properties':{'sharingProfile':{'permissions':'Groups'}}}");
	share(h, "{'operationType':'Add','groups':[{'type':'AADTenants','ids':['" TENANT "']}]}");
	assert_int_equal(get(h, OTHER, "eastus", rest), 200);
	assert_int_equal(count(h, OTHER, "eastus", "sharedGalleries?sharedTo=tenant"), 1);
	free(rest);
	free(name);
}

static void community(void **state)
{
	struct harness *h = *state;
	char *name, *rest, *body;

	make_subscription(h);
	make_shared(h, "'permissions':'Community','communityGalleryInfo':{'publicNamePrefix':"
		       "'golden','publisherUri':'https://example.org','publisherContact':"
		       "'a@example.org','eula':'https://example.org/eula'}");
	expect_ok(h, "GET", G, V23, NULL);
	name = strdup(text_at(h, "properties.sharingProfile.communityGalleryInfo.publicNames.0"));
	assert_int_equal(strncmp(name, "golden-", 7), 0);
	rest = strf("communityGalleries/%s", name);
	assert_int_equal(get(h, OTHER, "eastus", rest), 404);
	share(h, "{'operationType':'EnableCommunity'}");
	assert_int_equal(get(h, OTHER, "eastus", rest), 200);
	assert_string_equal(text_at(h, "properties.communityMetadata.publisherContact"),
			    "a@example.org");
	free(rest);
	rest = strf("communityGalleries/%s/images/def/versions/1.0.0", name);
	assert_int_equal(get(h, OTHER, "westeurope", rest), 200);
	free(rest);
	rest = strf("communityGalleries/%s/images", name);
	assert_int_equal(count(h, OTHER, "eastus", rest), 1);
	free(rest);
	expect_ok(h, "POST", "/providers/Microsoft.ResourceGraph/resources", "2021-03-01",
		  "{'query':'communitygalleryresources| where type == "
		  "\\u0027microsoft.compute/locations/communitygalleries\\u0027 | where location "
		  "== \\u0027eastus\\u0027 ','options':{'$top':30}}");
	assert_int_equal(json_int_at(h->body, "totalRecords", 0), 1);
	assert_string_equal(text_at(h, "data.0.name"), name);
	expect_error(h, "POST", "/providers/Microsoft.ResourceGraph/resources", "2021-03-01",
		     "{'query':'resources | project id'}", 400, "InvalidQuery", "query");
	body = strf("{'location':'eastus','properties':{'storageProfile':{'source':{"
		    "'communityGalleryImageId':'/CommunityGalleries/%s/Images/def'}}}}",
		    name);
	expect_ok(h, "PUT", "@galleries/gal/images/def/versions/3.0.0", V23, body);
	free(body);
	put_vm(h, "~", "communityGalleryImageId", "/CommunityGalleries/%s/Images/def", name, 201);
	assert_string_equal(text_at(h, "properties.storageProfile.imageReference.exactVersion"),
			    "3.0.0");
	expect_error(h, "DELETE", G, V23, NULL, 409, "CannotDeleteResource", NULL);
	free(name);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(groups_are_kept_and_shown_on_request),
		T(what_cannot_be_shared),
		T(only_what_is_shared_is_seen),
		T(community),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
