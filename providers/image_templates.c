/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.VirtualMachineImages/imageTemplates: hooks. The shape is in template_shape.c, the run
 * in template_run.c. */
#include "bake/bake.h"
#include "base/mem.h"
#include "providers/bake_budget.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/template_run.h"
#include "providers/template_shape.h"

#define T_EXACT "properties.source.exactVersion"
#define T_STATE "properties.lastRunStatus.runState"

/* ---- Changes -------------------------------------------------------------------------------- */

/* What a template is may not be changed in place; PATCH may replace these two. */
static bool may_patch(const struct arm_call *c, const char *key)
{
	return strcmp(c->method, "PATCH") == 0 && strcmp(c->api_version, "2024-02-01") >= 0 &&
	       (strcmp(key, "vmProfile") == 0 || strcmp(key, "distribute") == 0);
}

static json_t *comparable(const json_t *doc, const char *key)
{
	const json_t *v = json_object_get(json_object_get(doc, "properties"), key);
	json_t *copy = v && !json_is_null(v) ? json_deep_copy(v) : json_object();

	if (copy && strcmp(key, "source") == 0)
		(void) json_object_del(copy, "exactVersion");
	return copy;
}

static int check_unchanged(const struct arm_call *c, struct err *err)
{
	for (const struct arm_field *f = template_properties; f->name; f++) {
		auto_json json_t *a = NULL, *b = NULL;

		if ((f->flags & ARM_READONLY) || may_patch(c, f->name))
			continue;
		a = comparable(c->old, f->name);
		b = comparable(c->doc, f->name);
		if (!a || !b)
			return no_memory(err);
		if (json_equal(a, b))
			continue;
		(void) refuse(err, -EPERM, "OperationNotAllowed", NULL,
			      "properties.%s: update/upgrade of image templates is currently not "
			      "supported",
			      f->name);
		err_target(err, "properties.%s", f->name);
		err_hint(err, "delete the template and make it anew, or send "
			      "properties.kiln.replace: true, as 'kiln bake' does");
		return -EPERM;
	}
	return 0;
}

/* "replace" is an order, not a property. */
static bool take_replace(struct arm_call *c)
{
	json_t *kiln = json_at(c->doc, "properties.kiln");
	bool replace = json_bool_at(kiln, "replace", false);

	if (!kiln)
		return false;
	(void) json_object_del(kiln, "replace");
	if (json_object_size(kiln) == 0)
		del_at(c->doc, "properties.kiln");
	return replace;
}

static int check_identity(const struct arm_call *c, struct err *err)
{
	const char *type = json_str_at(c->doc, "identity.type");
	size_t n = json_object_size(json_at(c->doc, "identity.userAssignedIdentities"));

	if (!json_is_object(json_object_get(c->doc, "identity")))
		return refuse(err, -EINVAL, "InvalidParameter", "identity",
			      "identity is missing: {\"type\": \"None\"}, or \"UserAssigned\" with "
			      "one identity");
	if (type && strcmp(type, "UserAssigned") == 0 && n != 1)
		return refuse(err, -EINVAL, "InvalidParameter", "identity.userAssignedIdentities",
			      "identity.userAssignedIdentities: exactly one identity expected, %zu "
			      "given",
			      n);
	if (type && strcmp(type, "None") == 0 && n > 0)
		return refuse(err, -EINVAL, "InvalidParameter", "identity.userAssignedIdentities",
			      "identity.userAssignedIdentities: none expected with type None");
	return 0;
}

/* A PATCH to type None that says nothing of identities lets go of them. */
static void drop_identities(const struct arm_call *c)
{
	const char *type = json_str_at(c->body, "identity.type");

	if (type && str_eq_nocase(type, "None") && strcmp(c->method, "PATCH") == 0 &&
	    !json_at(c->body, "identity.userAssignedIdentities"))
		del_at(c->doc, "identity.userAssignedIdentities");
}

static bool asks_for(const json_t *doc, const char *path)
{
	const json_t *v = json_at(doc, path);

	return json_is_array(v)    ? json_array_size(v) > 0
	       : json_is_object(v) ? json_object_size(v) > 0
	       : json_is_string(v) ? strcmp(json_string_value(v), "Enabled") == 0
				   : false;
}

/* What would change the image or who can reach the build, and does not exist here, is refused; a
 * build's VM size, staging group and tags have no meaning here and are kept for who reads them. */
static int check_available(const struct arm_call *c, struct err *err)
{
	static const char *const wishes[][2] = {
		{"properties.source.planInfo", "platform images here are sold under no plan"},
		{"properties.optimize.workload.state", "this version optimizes nothing"},
		{"properties.vmProfile.additionalDataDisks", "an image has one disk here"},
		{"properties.vmProfile.vnetConfig",
		 "there are no virtual networks here; what a build may reach is said in "
		 "properties.kiln.network"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
		if (asks_for(c->doc, wishes[i][0]))
			return refuse(err, -EINVAL, "InvalidParameter", wishes[i][0], "%s: %s",
				      wishes[i][0], wishes[i][1]);
	return 0;
}

/* A group of the template's own subscription, as Azure has it. Nothing is staged in it here. */
static int check_staging(const struct arm_call *c, struct err *err)
{
	static const char field[] = "properties.stagingResourceGroup";
	const char *text = json_str_at(c->doc, field);
	auto_arm_id struct arm_id id = {0};

	if (!text || !*text)
		return 0;
	if (arm_id_parse(text, &id, NULL) == 0 && id.group && !id.ns && id.subscription &&
	    str_eq_nocase(id.subscription, c->id->subscription))
		return 0;
	return refuse(err, -EINVAL, "BadStagingResourceGroup", field,
		      "%s: the id of a resource group of the template's subscription expected, "
		      "/subscriptions/%s/resourceGroups/NAME",
		      field, c->id->subscription);
}

static bool auto_run(const json_t *doc)
{
	const char *state = json_str_at(doc, "properties.autoRun.state");

	return state && strcmp(state, "Enabled") == 0;
}

static int template_write(struct arm_call *c, struct err *err)
{
	bool replace = take_replace(c);
	int r;

	drop_identities(c);
	r = check_identity(c, err);
	if (r == 0)
		r = check_available(c, err);
	if (r == 0)
		r = check_staging(c, err);
	if (r == 0)
		r = bake_check(c->doc, c->api_version, err);
	if (r == 0 && c->old && !replace)
		r = check_unchanged(c, err);
	if (r == 0 && (!c->old || replace))
		r = set_str(c->doc, "madeWith", c->api_version, err);
	if (r == 0 && auto_run(c->doc)) {
		struct job_need need;

		bake_need(c->doc, c->id->subscription, &need);
		r = arm_call_heavy(c, &need, err);
	}
	if (r < 0)
		return r;
	return arm_call_job(c, c->old ? "update" : "create",
			    json_pack("{s:b}", "autoRun", auto_run(c->doc)), err);
}

static int template_view(struct arm_call *c, struct err *err)
{
	const char *staging = json_str_at(c->doc, "properties.stagingResourceGroup");

	if (staging && *staging &&
	    set_str(c->doc, "properties.exactStagingResourceGroup", staging, err) < 0)
		return -ENOMEM;
	(void) json_object_del(c->doc, "madeWith");
	return 0;
}

/* ---- Deleting, running, cancelling ---------------------------------------------------------- */

static int refuse_running(const struct arm_call *c, const char *what, struct err *err)
{
	char active[UUID_STR_LEN] = "";
	const char *provisioning = json_str_at(c->old, "properties.provisioningState");
	const char *run = json_str_at(c->old, T_STATE);
	int r = arm_running(c->arm, c->id->text, active, err);

	if (r < 0 || !active[0])
		return r;
	return refuse(err, -EBUSY, "OperationNotAllowed", NULL,
		      "cannot %s image template '%s' now: provisioning state '%s', run state '%s'. "
		      "Wait for operation %s, or cancel it",
		      what, c->id->name, provisioning ? provisioning : "", run ? run : "None",
		      active);
}

static int template_delete(struct arm_call *c, struct err *err)
{
	int r = refuse_running(c, "delete", err);

	return r < 0 ? r : arm_call_job(c, "delete", NULL, err);
}

/* A file that a step names and that may have changed since a run read it. */
static bool names_files(const json_t *steps)
{
	const json_t *step;
	size_t i;

	json_array_foreach(steps, i, step)
	{
		const char *sum = json_str_at(step, "sha256Checksum");

		if ((json_str_at(step, "scriptUri") || json_str_at(step, "sourceUri")) &&
		    !(sum && *sum))
			return true;
	}
	return false;
}

/* Might a run that began earlier have seen something else than one that begins now? */
static bool looks_outside(const json_t *doc)
{
	const char *source = json_str_at(doc, "properties.source.imageVersionId");
	const json_t *allow = json_at(doc, "properties.kiln.network.allow");

	return names_files(json_at(doc, "properties.customize")) ||
	       names_files(json_at(doc, "properties.validate.inVMValidations")) ||
	       json_array_size(allow) > 0 ||
	       (source && (is_type(source, TYPE_DEFINITION) ||
			   str_eq_nocase(strrchr(source, '/') + 1, "latest")));
}

/* Options that are not set are left out, so that equal requests are equal. */
static json_t *run_params(const json_t *body)
{
	json_t *params = json_object(), *v;
	const char *key;

	json_object_foreach((json_t *) (uintptr_t) body, key, v)
	{
		bool none = json_is_null(v) || json_is_false(v) ||
			    (json_is_array(v) && json_array_size(v) == 0);

		if (!none && json_object_set(params, key, v) < 0) {
			json_decref(params);
			return NULL;
		}
	}
	return params;
}

/* Asked for while it runs: the same again joins, anything else queues. */
static int template_run(struct arm_call *c, struct err *err)
{
	const char *state = json_str_at(c->old, "properties.provisioningState");
	struct job_need need;
	json_t *params;
	int r;

	if (state && strcmp(state, "Succeeded") != 0)
		return refuse(err, -EBUSY, "OperationNotAllowed", NULL,
			      "image template '%s' is in provisioning state '%s' and cannot be run",
			      c->id->name, state);
	bake_need(c->old, c->id->subscription, &need);
	r = arm_call_heavy(c, &need, err);
	if (r < 0)
		return r;
	params = run_params(c->body);
	return params ? arm_call_queue(c, "run", params, !looks_outside(c->old), err)
		      : no_memory(err);
}

static int template_cancel(struct arm_call *c, struct err *err)
{
	char active[UUID_STR_LEN] = "";
	const char *state = json_str_at(c->old, T_STATE);
	int r = arm_running(c->arm, c->id->text, active, err);

	if (r < 0)
		return r;
	if (!active[0])
		return refuse(
			err, -EPERM, "OperationNotAllowed", NULL,
			"image template '%s' is not running (run state '%s'): there is nothing "
			"to cancel",
			c->id->name, state ? state : "None");
	r = arm_cancel(c->arm, active, err);
	if (r == 0 && state && strcmp(state, "Running") == 0)
		r = set_str(c->doc, T_STATE, "Canceling", err);
	c->status = 202;
	return r;
}

/* ---- Jobs ----------------------------------------------------------------------------------- */

/* autoRun: the run belongs to the same operation, but how it ends says nothing of the template. */
static int template_write_job(struct arm_job *job, struct err *err)
{
	auto_err struct err why = ERR_INIT;
	json_t *patch;
	int r;

	if (!json_bool_at(job->params, "autoRun", false))
		return 0;
	patch = json_pack("{s:{s:s}}", "properties", "provisioningState", "Succeeded");
	r = patch ? arm_job_patch(job, patch, true, err) : no_memory(err);
	if (r < 0)
		return r;
	r = template_run_job(job, &why);
	if (r == -ECANCELED || r == -ESTALE) {
		err_move(err, &why);
		return r;
	}
	return 0;
}

static int template_delete_job(struct arm_job *job, struct err *err)
{
	(void) job;
	(void) err;
	return 0; /* nothing beside the row: runs are resources of their own */
}

static const struct arm_field run_shape[] = {
	{"noCache", ARM_BOOL, ARM_NULLABLE},
	{"until", ARM_STRING, ARM_NULLABLE, .max = 64},
	{"from", ARM_STRING, ARM_NULLABLE, .max = 64},
	{"refresh", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING, .max = 100},
	{"keepGoing", ARM_BOOL, ARM_NULLABLE},
	{"force", ARM_BOOL, ARM_NULLABLE},
	{NULL},
};
static const struct arm_action template_actions[] = {
	{"run", "POST", "run/action", template_run, run_shape},
	{"cancel", "POST", "cancel/action", template_cancel},
	{NULL},
};
static const struct arm_job_kind template_jobs[] = {
	{"create", template_write_job, "Creating"},
	{"update", template_write_job, "Updating"},
	{"delete", template_delete_job, "Deleting"},
	{"run", template_run_job, NULL, true},
	{NULL},
};

const struct arm_type type_image_templates = {
	.name = TYPE_TEMPLATE,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2018-02-01-preview",
	.strict_from = "2024-02-01",
	.versions = builder_api_versions,
	.flat_errors_until = BUILDER_FLAT_ERRORS,
	.name_pattern = "^[A-Za-z0-9._-]{1,64}$",
	.name_max = 64,
	.operation_path = "providers/Microsoft.VirtualMachineImages/locations/%s/operations",
	.tracked = true,
	.children = ARM_CHILDREN_CASCADE,
	.properties = template_properties,
	.envelope = template_envelope,
	.write = template_write,
	.del = template_delete,
	.view = template_view,
	.view_pure = true,
	.actions = template_actions,
	.jobs = template_jobs,
};

/* ---- runOutputs ----------------------------------------------------------------------------- */

static int output_write(struct arm_call *c, struct err *err)
{
	(void) c;
	return refuse(err, -EPERM, "MethodNotAllowed", NULL,
		      "run outputs are made by running the image template");
}

static const struct arm_field output_properties[] = {
	{"artifactId", ARM_STRING, ARM_READONLY},
	{"artifactUri", ARM_STRING, ARM_READONLY},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{NULL},
};

const struct arm_type type_run_outputs = {
	.name = TYPE_OUTPUT,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2018-02-01-preview",
	.versions = builder_api_versions,
	.flat_errors_until = BUILDER_FLAT_ERRORS,
	.name_pattern = "^[A-Za-z0-9._-]{1,64}$",
	.name_max = 64,
	.stateless = true,
	.properties = output_properties,
	.write = output_write,
	.del = output_write,
};
