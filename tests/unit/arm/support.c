/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <unistd.h>

#include "base/file.h"

static const char *const locations[] = {"eastus", "westeurope", NULL};
static const char *const location_names[] = {"East US", "West Europe", NULL};

/* ---- Resource groups ---------------------------------------------------------------------- */

static int group_write(struct arm_call *c, struct err *err)
{
	return 0;
}

static int group_delete(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "delete", NULL, err);
}

static int delete_child(void *arg, const char *id, const char *type)
{
	auto_free char *target = strf("%s?" V, id);

	return target ? arm_job_request(arg, "DELETE", target, NULL, NULL, NULL) : -ENOMEM;
}

static int group_delete_job(struct arm_job *job, struct err *err)
{
	return arm_each_below(job->arm, job->id->text, delete_child, job, err);
}

static const struct arm_job_kind group_jobs[] = {{"delete", group_delete_job, "Deleting"}, {NULL}};
static const struct arm_type groups = {
	.name = "Microsoft.Resources/resourceGroups",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.first_version = "2018-05-01",
	.name_pattern = "[A-Za-z0-9._()-]*[A-Za-z0-9_()-]",
	.name_max = 90,
	.tracked = true,
	.operation_path = "operationresults",
	.write = group_write,
	.del = group_delete,
	.jobs = group_jobs,
	.children = ARM_CHILDREN_HOOK,
};

/* ---- Boxes: every kind of field ----------------------------------------------------------- */

static const char *const colours[] = {"Red", "Green", NULL};
static const struct arm_field size_fields[] = {
	{.name = "width", .type = ARM_INT, .min = 1, .max = 10},
	{.name = "serial", .type = ARM_STRING, .flags = ARM_READONLY},
	{.name = "maker", .type = ARM_STRING, .flags = ARM_IMMUTABLE},
	{.name = NULL},
};
static const struct arm_field wood_fields[] = {
	{.name = "tree", .type = ARM_STRING, .flags = ARM_REQUIRED, .min = 1, .max = 8},
	{.name = "rings", .type = ARM_ARRAY, .item = ARM_INT, .max = 3},
	{.name = NULL},
};
static const struct arm_field steel_fields[] = {
	{.name = "grade", .type = ARM_STRING, .pattern = "[0-9]{3}"},
	{.name = NULL},
};
static const struct arm_case part_cases[] = {
	{"Wood", wood_fields}, {"Steel", steel_fields}, {NULL}};
static const struct arm_field part_common[] = {
	{.name = "label", .type = ARM_STRING},
	{.name = NULL},
};
static const struct arm_field region_fields[] = {
	{.name = "name", .type = ARM_STRING, .flags = ARM_REQUIRED | ARM_LOCATION},
	{.name = "count", .type = ARM_INT, .min = 1, .max = 100},
	{.name = "newer", .type = ARM_STRING, .since = "2024-06-01"},
	{.name = NULL},
};
static const struct arm_field origin_fields[] = {
	{.name = "place", .type = ARM_STRING},
	{.name = "year", .type = ARM_INT},
	{.name = NULL},
};
static const struct arm_field box_properties[] = {
	{.name = "origin", .type = ARM_OBJECT, .flags = ARM_IMMUTABLE, .fields = origin_fields},
	{.name = "description", .type = ARM_STRING, .max = 20},
	{.name = "colour", .type = ARM_STRING, .values = colours},
	{.name = "kind", .type = ARM_STRING, .flags = ARM_IMMUTABLE},
	{.name = "size", .type = ARM_OBJECT, .fields = size_fields},
	{.name = "parts",
	 .type = ARM_ARRAY,
	 .max = 4,
	 .fields = part_common,
	 .tag = "type",
	 .cases = part_cases,
	 .bad_case_code = "BadPartType"},
	{.name = "regions", .type = ARM_ARRAY, .fields = region_fields},
	{.name = "labels", .type = ARM_MAP, .max = 2},
	{.name = "until", .type = ARM_DATE},
	{.name = "weight", .type = ARM_NUMBER, .min = 0, .max = 5},
	{.name = "open", .type = ARM_BOOL, .flags = ARM_NULLABLE},
	{.name = "twin", .type = ARM_STRING, .flags = ARM_ID},
	{.name = "password", .type = ARM_STRING, .flags = ARM_SECRET},
	{.name = "slow", .type = ARM_BOOL, .flags = ARM_WRITEONLY},
	{.name = "free", .type = ARM_ANY},
	{.name = "modern", .type = ARM_STRING, .since = "2024-06-01"},
	{.name = "provisioningState", .type = ARM_STRING, .flags = ARM_READONLY},
	{.name = NULL},
};
static const struct arm_field box_envelope[] = {
	{.name = "plan", .type = ARM_STRING},
	{.name = NULL},
};

static struct world *world_of(struct arm_call *c)
{
	return c->app;
}

static int box_write(struct arm_call *c, struct err *err)
{
	const char *d = json_str_at(c->doc, "properties.description");

	world_of(c)->hook_calls++;
	if (str_eq(d, "refuse me"))
		return err_set(err, -EINVAL, "this box does not want to be");
	if (str_eq(d, "break"))
		return err_set(err, -EIO, "read /var/lib/kiln/secret/place: Input/output error");
	if (!c->old && json_set_at(c->doc, "properties.size.serial", json_string("S-1")) < 0)
		return -ENOMEM;
	if (json_bool_at(c->body, "properties.slow", false))
		return arm_call_job(c, c->old ? "update" : "create", NULL, err);
	return 0;
}

static int box_delete(struct arm_call *c, struct err *err)
{
	if (str_eq(json_str_at(c->old, "properties.description"), "keep"))
		return err_set(err, -EBUSY, "this box is in use");
	return str_eq(json_str_at(c->old, "properties.description"), "slow")
		       ? arm_call_job(c, "delete", NULL, err)
		       : 0;
}

static int box_view(struct arm_call *c, struct err *err)
{
	const char *dflt = strcmp(c->created_version, "2022-01-01") < 0 ? "Red" : "Green";

	if (!json_at(c->doc, "properties.colour") &&
	    json_set_at(c->doc, "properties.colour", json_string(dflt)) < 0)
		return -ENOMEM;
	if (arm_query(c, "$expand") &&
	    json_object_set_new(c->doc, "expanded", json_string(arm_query(c, "$expand"))) < 0)
		return -ENOMEM;
	return 0;
}

static int box_job(struct arm_job *job, struct err *err)
{
	struct world *w = job->app;

	w->job_calls++;
	return w->job ? w->job(job, err) : 0;
}

static int box_run(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "run", json_pack("{s:s}", "why", "asked"), err);
}

static int box_paint(struct arm_call *c, struct err *err)
{
	const char *to = json_str_at(c->body, "to");

	if (json_set_at(c->doc, "properties.colour", json_string(to)) < 0)
		return -ENOMEM;
	c->result = json_pack("{s:s}", "painted", to);
	return 0;
}

static const struct arm_field paint_shape[] = {
	{.name = "to", .type = ARM_STRING, .flags = ARM_REQUIRED, .values = colours},
	{.name = NULL},
};
/* Bytes made on the fly: "0123456789" again and again. */
static int64_t digits_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		((char *) dst)[i] = (char) ('0' + (offset + i) % 10);
	return (int64_t) n;
}

static void digits_done(void *arg)
{
	((struct world *) arg)->streams_open--;
}

static int box_digits(struct arm_call *c, struct err *err)
{
	const char *name = arm_header(c, "x-test-name");

	world_of(c)->streams_open++;
	c->stream = (struct arm_stream){digits_read, digits_done, c->app, 25, "text/plain"};
	return arm_call_header(c, "x-test-answer", name ? name : "nobody", err);
}

static const struct arm_action box_actions[] = {
	{"digits", "GET", "digits/read", box_digits, NULL},
	{"digest", "POST", "digest/action", box_digits, NULL},
	{"run", "POST", "run/action", box_run, NULL},
	{"paint", "POST", "paint/action", box_paint, paint_shape},
	{NULL},
};
static const struct arm_job_kind box_jobs[] = {
	{"create", box_job, "Creating"},
	{"update", box_job, "Updating"},
	{"delete", box_job, "Deleting"},
	{"run", box_job, NULL},
	{NULL},
};
static const struct arm_type boxes = {
	.name = "Test.Kiln/boxes",
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2020-01-01",
	.strict_from = "2024-01-01",
	.name_pattern = "[A-Za-z0-9_.-]{1,20}",
	.name_max = 20,
	.operation_path = "providers/Test.Kiln/locations/%s/boxOperations",
	.tracked = true,
	.properties = box_properties,
	.envelope = box_envelope,
	.write = box_write,
	.del = box_delete,
	.view = box_view,
	.view_pure = true,
	.actions = box_actions,
	.jobs = box_jobs,
};

/* ---- Items: children with version names --------------------------------------------------- */

static int item_write(struct arm_call *c, struct err *err)
{
	return 0;
}

static const struct arm_field item_properties[] = {
	{.name = "text", .type = ARM_STRING},
	{.name = NULL},
};
static const struct arm_type items = {
	.name = "Test.Kiln/boxes/items",
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2020-01-01",
	.name_pattern = "[0-9]+\\.[0-9]+\\.[0-9]+",
	.name_max = 32,
	.properties = item_properties,
	.write = item_write,
	.sort_key = arm_sort_key_version,
	.stateless = true,
};

/* ---- Computed types ----------------------------------------------------------------------- */

static int places_list(struct arm_call *c, struct err *err)
{
	c->result = json_pack("{s:[{s:s}]}", "value", "name", "eastus");
	return c->result ? 0 : -ENOMEM;
}

static int places_get(struct arm_call *c, struct err *err)
{
	if (str_eq_nocase(c->id->name, "eastus"))
		c->result = json_pack("{s:s}", "name", "eastus");
	return 0;
}

static const struct arm_type places = {
	.name = "Microsoft.Resources/subscriptions/locations",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.first_version = "2016-06-01",
	.list = places_list,
	.get = places_get,
};

static int subs_list(struct arm_call *c, struct err *err)
{
	c->result = json_pack("{s:[]}", "value");
	return c->result ? 0 : -ENOMEM;
}

static int subs_get(struct arm_call *c, struct err *err)
{
	c->result = json_pack("{s:s}", "subscriptionId", c->id->name);
	return c->result ? 0 : -ENOMEM;
}

static const struct arm_type subs = {
	.name = "Microsoft.Resources/subscriptions",
	.scope = ARM_SCOPE_TENANT,
	.first_version = "2016-06-01",
	.list = subs_list,
	.get = subs_get,
};

static int providers_get(struct arm_call *c, struct err *err)
{
	c->result = json_pack("{s:s, s:b}", "namespace", c->id->name, "tenant",
			      c->id->subscription == NULL);
	return c->result ? 0 : -ENOMEM;
}

static int providers_register(struct arm_call *c, struct err *err)
{
	return providers_get(c, err);
}

static const struct arm_action providers_actions[] = {
	{"register", "POST", "register/action", providers_register, NULL},
	{NULL},
};
static const struct arm_type providers_at_subscription = {
	.name = "Microsoft.Resources/providers",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.first_version = "2016-06-01",
	.get = providers_get,
	.list = subs_list,
	.actions = providers_actions,
};
static const struct arm_type providers_at_tenant = {
	.name = "Microsoft.Resources/providers",
	.scope = ARM_SCOPE_TENANT,
	.first_version = "2016-06-01",
	.get = providers_get,
	.list = subs_list,
};

const struct arm_type *const world_types[] = {
	&groups, &boxes, &items, &places, &subs, &providers_at_subscription, &providers_at_tenant,
	NULL,
};

/* ---- A port ------------------------------------------------------------------------------- */

static int port_handle(struct arm *arm, const struct arm_request *req, struct arm_response *ret,
		       struct err *err)
{
	static const char text[] = "<Blob/>";

	(void) arm;
	if (str_eq(req->target, "/port/broken"))
		return err_set(err, -ENOENT, "no such blob");
	ret->status = 206;
	return arm_response_text(ret, "application/xml", text, strlen(text));
}

static const struct arm_port ports[] = {{"/port/", port_handle}, {NULL}};

/* ---- The world ---------------------------------------------------------------------------- */

struct world *world_open(const char *url)
{
	struct world *w = calloc(1, sizeof(*w));
	struct arm_config c = {
		.app = w,
		.types = world_types,
		.tenant_id = "99999999-2222-3333-4444-555555555555",
		.subscription_id = "11111111-2222-3333-4444-555555555555",
		.endpoint = "https://kiln.test:8443",
		.locations = locations,
		.location_names = location_names,
		.ports = ports,
	};

	assert_non_null(w);
	(void) snprintf(w->url, sizeof(w->url), "%s", url);
	assert_int_equal(meta_open(w->url, &w->meta, NULL), 0);
	c.meta = w->meta;
	assert_int_equal(arm_new(&c, &w->arm, NULL), 0);
	w->owner = (struct arm_principal){.object_id = "00000000-0000-0000-0000-00000000000a",
					  .name = "root",
					  .kind = "User",
					  .local_owner = true};
	w->guest = (struct arm_principal){.object_id = "00000000-0000-0000-0000-00000000000b",
					  .name = "guest",
					  .kind = "User"};
	return w;
}

void world_close(struct world *w)
{
	arm_free(w->arm);
	meta_close(w->meta);
	free(w);
}

int world_setup(void **state)
{
	struct dbs *d;
	struct world *w;

	if (dbs_setup(state) < 0)
		return -1;
	d = *state;
	w = world_open(d->url);
	w->dbs = d;
	*state = w;
	expect_drop(w, "PUT", GROUP "?" V, "{\"location\":\"East US\"}", 201, NULL);
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;
	void *d = w->dbs;

	world_close(w);
	return dbs_teardown(&d);
}

struct arm_response ask_req(struct world *w, struct arm_request *req)
{
	struct arm_response res;

	if (!req->who)
		req->who = &w->owner;
	arm_handle(w->arm, req, &res);
	return res;
}

struct arm_response ask(struct world *w, const char *method, const char *target, const char *body)
{
	struct arm_request req = {
		.method = method,
		.target = target,
		.body = body,
		.body_bytes = body ? strlen(body) : 0,
	};

	return ask_req(w, &req);
}

json_t *expect(struct world *w, const char *method, const char *target, const char *body,
	       int status, const char *code)
{
	struct arm_response res = ask(w, method, target, body);
	json_t *out;

	if (res.status != status) {
		auto_free char *text = res.body ? json_pretty(res.body) : NULL;

		print_error("%s %s: %d, expected %d: %s\n", method, target, res.status, status,
			    text ? text : "-");
	}
	assert_int_equal(res.status, status);
	if (code)
		assert_string_equal(json_str_at(res.body, "error.code"), code);
	out = take_ptr(res.body);
	arm_response_done(&res);
	return out;
}

void expect_drop(struct world *w, const char *method, const char *target, const char *body,
		 int status, const char *code)
{
	json_decref(expect(w, method, target, body, status, code));
}

void finish(struct world *w, const struct arm_response *res)
{
	auto_err struct err err = ERR_INIT;
	int r = arm_work(w->arm, res->operation_id, NULL, NULL, &err);

	if (r < 0)
		print_error("operation: %s\n", err_str(&err));
	assert_int_equal(r, 0);
}
