/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trigger of kind SourceImage runs its template when `latest` of the template's source means
 * another version than when it last looked. Beside what clients see a trigger's document holds
 *	seen		the version that it knows
 *	who		{"objectId","name","kind","tenantId","local"}: who made it; runs are theirs
 *	pending		a run was started and has not been judged yet
 *	failures	runs in a row that failed; TRIGGER_FAILURES_MAX of them switch it off until
 *a run succeeds
 */
#include "providers/triggers.h"

#include "bake/platform.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/resources.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/versions.h"

#define TYPE_TRIGGER         TYPE_TEMPLATE "/triggers"
#define API_TRIGGER          "2025-10-01"
#define TRIGGER_FAILURES_MAX 3

/* ---- Sources -------------------------------------------------------------------------------- */

static bool is_latest(const json_t *source)
{
	const char *type = json_str_at(source, "type");
	const char *version = json_str_at(source, "version");
	const char *id = json_str_at(source, "imageVersionId");

	if (type && strcmp(type, "PlatformImage") == 0)
		return version && str_eq_nocase(version, "latest");
	if (!type || strcmp(type, "SharedImageVersion") != 0 || !id)
		return false;
	return is_type(id, TYPE_DEFINITION) ||
	       (is_type(id, TYPE_VERSION) && str_eq_nocase(strrchr(id, '/') + 1, "latest"));
}

static int latest_platform(struct app *a, const json_t *source, const char *region, char **ret,
			   struct err *err)
{
	const struct platform_sku *sku =
		platform_find(json_str_at(source, "publisher"), json_str_at(source, "offer"),
			      json_str_at(source, "sku"));
	auto_json json_t *versions = NULL;
	size_t n;
	int r = sku ? platform_versions(a->meta, region, sku, &versions, err) : -ENOENT;

	n = json_array_size(versions);
	if (r < 0 || n == 0)
		return r < 0 ? r : -ENOENT;
	*ret = strdup(json_string_value(json_array_get(versions, n - 1)));
	return *ret ? 0 : no_memory(err);
}

/* What `latest` means now; -ENOENT: nothing. */
static int latest_of(struct app *a, const json_t *template, char **ret, struct err *err)
{
	const json_t *source = json_at(template, "properties.source");
	const char *type = json_str_at(source, "type"),
		   *location = json_str_at(template, "location");
	auto_free char *region = location_normalize(location ? location : "");

	if (!region)
		return no_memory(err);
	if (type && strcmp(type, "PlatformImage") == 0)
		return latest_platform(a, source, region, ret, err);
	return version_exact(a, json_str_at(source, "imageVersionId"), region, ret, err);
}

/* ---- Hooks ---------------------------------------------------------------------------------- */

static int other_trigger(void *arg, const char *id, const json_t *doc)
{
	const struct arm_call *c = ((void **) arg)[0];

	(void) doc;
	if (arm_id_eq(id, c->id->text))
		return 0;
	((void **) arg)[1] = strdup(id);
	return 1;
}

static int check_only(const struct arm_call *c, struct err *err)
{
	void *arg[2] = {(void *) (uintptr_t) c, NULL};
	auto_free char *other = NULL;
	int r = arm_each(c->arm, TYPE_TRIGGER, c->id->parent, other_trigger, arg, err);

	other = arg[1];
	if (other)
		return refuse(err, -EEXIST, "Conflict", NULL,
			      "an image template can have one trigger; it has %s", other);
	return r < 0 ? r : 0;
}

static int check_template(const struct arm_call *c, const json_t *template, struct err *err)
{
	const json_t *t;
	size_t i;

	if (!is_latest(json_at(template, "properties.source")))
		return refuse(err, -EINVAL, "InvalidParameter", "properties.kind",
			      "a SourceImage trigger needs a template whose source is a latest "
			      "version: a PlatformImage with version 'latest', or a "
			      "SharedImageVersion that ends in /versions/latest");
	json_array_foreach(json_at(template, "properties.distribute"), i, t)
	{
		const char *id = json_str_at(t, "galleryImageId");

		if (id && is_type(id, TYPE_VERSION))
			return refuse(err, -EINVAL, "InvalidParameter", "properties.kind",
				      "a SourceImage trigger needs automatic version numbers, but "
				      "the template distributes to the fixed version %s",
				      id);
	}
	return 0;
}

static int note_who(struct arm_call *c, struct err *err)
{
	const struct arm_principal *w = c->who;
	json_t *who = json_pack("{s:s*, s:s*, s:s*, s:s*, s:b}", "objectId", w->object_id, "name",
				w->name, "kind", w->kind, "tenantId", w->tenant_id, "local",
				w->local_owner);

	return !who || json_object_set_new(c->doc, "who", who) < 0 ? no_memory(err) : 0;
}

static int set_status(json_t *doc, const char *code, const char *message, struct err *err)
{
	char now[ISO_MAX];
	json_t *status = json_pack("{s:s, s:s, s:s}", "code", code, "message", message, "time",
				   time_iso(time_now_us(), now));

	return json_set_at(doc, "properties.status", status) < 0 ? no_memory(err) : 0;
}

static int trigger_write(struct arm_call *c, struct err *err)
{
	static const char *const kept[] = {"seen", "who", "pending", "failures",
					   "properties.status"};
	auto_json json_t *template = NULL;
	auto_free char *seen = NULL;
	int r = 0;

	for (size_t i = 0; c->old && i < ARRAY_SIZE(kept) && r == 0; i++)
		r = keep_old(c, kept[i], err);
	if (c->old || r < 0)
		return r;
	r = arm_load(c->arm, c->id->parent, &template, err);
	if (r == 0)
		r = check_template(c, template, err);
	if (r == 0)
		r = check_only(c, err);
	if (r == 0)
		r = note_who(c, err);
	if (r < 0)
		return r;
	/* What there is now is no news; a source that does not exist yet will be. */
	r = latest_of(c->app, template, &seen, NULL);
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "latest version of the source");
	r = set_str(c->doc, "seen", seen ? seen : "", err);
	return r < 0 ? r : set_status(c->doc, "Waiting", "No newer source image yet.", err);
}

static int trigger_view(struct arm_call *c, struct err *err)
{
	static const char *const hidden[] = {"seen", "who", "pending", "failures"};

	(void) err;
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		(void) json_object_del(c->doc, hidden[i]);
	return 0;
}

/* ---- The chore ------------------------------------------------------------------------------ */

/* Change the row as it is now; what another worker wrote meanwhile is looked at next time. */
static int store(struct app *a, const char *id, json_t *change, struct err *err)
{
	auto_resource struct resource row = {0};
	auto_json json_t *patch = change;
	auto_free char *key = str_lower(id);
	int r = key && patch ? meta_begin(a->meta, err) : no_memory(err);

	if (r < 0)
		return r;
	r = resource_get(a->meta, key, &row, err);
	if (r == 0)
		r = json_merge_patch(row.doc, patch);
	if (r == 0)
		r = resource_update(a->meta, &row, true, err);
	if (r == 0)
		return meta_commit(a->meta, err);
	meta_rollback(a->meta);
	return r;
}

static json_t *status_json(const char *code, const char *message)
{
	char now[ISO_MAX];

	return json_pack("{s:s, s:s, s:s}", "code", code, "message", message, "time",
			 time_iso(time_now_us(), now));
}

/* How did the last run end, when there was one that has not been counted? */
static int judge(struct app *a, const char *id, const json_t *doc, const json_t *template,
		 int64_t *ret_failures, struct err *err)
{
	const char *state = json_str_at(template, "properties.lastRunStatus.runState");
	bool good = state && strcmp(state, "Succeeded") == 0;
	int64_t failures = json_int_at(doc, "failures", 0), was = failures;
	json_t *status = NULL, *patch;

	if (good)
		failures = 0;
	else if (json_bool_at(doc, "pending", false))
		failures++;
	*ret_failures = failures;
	if (failures == was && !json_bool_at(doc, "pending", false))
		return 0;
	if (failures >= TRIGGER_FAILURES_MAX)
		status = status_json(
			"Disabled", "Automatic runs are off after three failures in a row: fix the "
				    "template and run it; they go on when a run succeeds.");
	patch = status ? json_pack("{s:I, s:b, s:{s:o}}", "failures", (json_int_t) failures,
				   "pending", 0, "properties", "status", status)
		       : json_pack("{s:I, s:b}", "failures", (json_int_t) failures, "pending", 0);
	return store(a, id, patch, err);
}

/* Runs the template as who made the trigger. The key makes two workers start one run. */
static int fire(struct app *a, const char *id, const json_t *doc, const json_t *template,
		const char *latest, struct err *err)
{
	const json_t *w = json_object_get(doc, "who");
	const struct arm_principal who = {
		.object_id = json_str_at(w, "objectId"),
		.name = json_str_at(w, "name"),
		.kind = json_str_at(w, "kind"),
		.tenant_id = json_str_at(w, "tenantId"),
		.local_owner = json_bool_at(w, "local", false),
	};
	auto_free char *target =
		strf("%s/run?api-version=%s", json_str_at(template, "id"), API_TRIGGER);
	auto_free char *text = strf("%s %s", id, latest);
	struct arm_request req = {.method = "POST", .target = target, .who = &who};
	struct arm_response res = {0};
	char key[DIGEST_HEX];
	struct digest d;
	const char *message;
	int r = 0;

	if (!target || !text)
		return no_memory(err);
	sha256(text, strlen(text), &d);
	req.idempotency_key = digest_hex(&d, key);
	arm_handle(a->arm, &req, &res);
	message = json_str_at(res.body, "error.message");
	if (res.status < 300)
		r = store(a, id,
			  json_pack("{s:s, s:b, s:{s:o}}", "seen", latest, "pending", 1,
				    "properties", "status",
				    status_json("Triggered", "A run was started because the source "
							     "image has a newer version.")),
			  err);
	else if (res.status != 409 && /* 409: it runs; next time */
		 !str_eq(json_str_at(doc, "properties.status.message"), message))
		r = store(a, id,
			  json_pack("{s:{s:o}}", "properties", "status",
				    status_json("Failed", message ? message : "")),
			  err);
	arm_response_done(&res);
	return r;
}

static int look_at(struct app *a, const char *id, const json_t *doc, struct err *err)
{
	auto_arm_id struct arm_id parsed = {0};
	auto_json json_t *template = NULL;
	auto_free char *latest = NULL;
	char running[UUID_STR_LEN] = "";
	const char *seen = json_str_at(doc, "seen");
	int64_t failures = 0;
	int r = arm_id_parse(id, &parsed, err);

	if (r == 0)
		r = arm_load(a->arm, parsed.parent, &template, err);
	if (r == 0)
		r = arm_running(a->arm, parsed.parent, running, err);
	if (r < 0 || running[0])
		return r;
	r = judge(a, id, doc, template, &failures, err);
	if (r < 0 || failures >= TRIGGER_FAILURES_MAX)
		return r;
	r = latest_of(a, template, &latest, NULL);
	if (r < 0 || str_eq(seen, latest))
		return r == -ENOENT ? 0 : r;
	return fire(a, id, doc, template, latest, err);
}

struct looking {
	char **ids; /* owned */
	json_t *docs;
};

static int collect(void *arg, const char *id, const json_t *doc)
{
	struct looking *l = arg;

	return strv_push(&l->ids, id) < 0 || json_array_append(l->docs, (json_t *) doc) < 0
		       ? -ENOMEM
		       : 0;
}

int triggers_look(struct app *a, struct err *err)
{
	struct looking l = {.docs = json_array()};
	int r = l.docs ? arm_each(a->arm, TYPE_TRIGGER, "", collect, &l, err) : no_memory(err);

	for (size_t i = 0; r == 0 && l.ids && l.ids[i]; i++) {
		auto_err struct err e = ERR_INIT;

		if (look_at(a, l.ids[i], json_array_get(l.docs, i), &e) < 0)
			log_warn("trigger.failed", "id=%s error=%s", l.ids[i], err_str(&e));
	}
	strv_free(l.ids);
	json_decref(l.docs);
	return r;
}

/* ---- The type ------------------------------------------------------------------------------- */

static const char *const kinds[] = {"SourceImage", NULL};

static const struct arm_field trigger_properties[] = {
	{"kind", ARM_STRING, ARM_REQUIRED | ARM_IMMUTABLE, .values = kinds},
	{"status", ARM_ANY, ARM_READONLY},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{NULL},
};

/* Removed at once, and answered as what a client of image builders may get: 204 or 202. */
static int trigger_delete(struct arm_call *c, struct err *err)
{
	(void) err;
	c->status = 204;
	return 0;
}

const struct arm_type type_triggers = {
	.name = TYPE_TRIGGER,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2022-07-01",
	.strict_from = "2024-02-01",
	.flat_errors_until = BUILDER_FLAT_ERRORS,
	.versions = builder_api_versions,
	.name_pattern = "^[A-Za-z0-9._-]{1,64}$",
	.name_max = 64,
	.operation_path = "providers/Microsoft.VirtualMachineImages/locations/%s/operations",
	.properties = trigger_properties,
	.write = trigger_write,
	.del = trigger_delete,
	.view = trigger_view,
	.view_pure = true,
};
