/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of VMs. Each may run again after a crash: what is there already is kept. */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "providers/platform_make.h"
#include "providers/vms.h"
#include "vm/keeper.h"

#define SHUTDOWN_MS 90000
#define COMMAND_MS  5400000 /* as Azure: 90 minutes */

static const char *vm_id_of(const struct arm_job *job)
{
	const char *id = json_str_at(job->doc, P_VM_ID);

	return id ? id : "";
}

static int set_power(struct arm_job *job, const char *power, struct err *err)
{
	json_t *patch = json_pack("{s:{s:s}}", "vm", "power", power);

	return patch ? arm_job_patch(job, patch, false, err) : no_memory(err);
}

/* ---- Making --------------------------------------------------------------------------------- */

/* A platform image is made, or found, when its VM is. */
static int resolve(struct arm_job *job, json_t *doc, struct err *err)
{
	struct app *a = job->app;
	const char *urn = json_str_at(doc, VM_IMAGE ".urn"),
		   *location = json_str_at(doc, "location");
	int region = app_region_index(a, location ? location : "");
	auto_json json_t *made = NULL;
	json_t *patch;
	int r;

	if (!urn || json_at(doc, VM_IMAGE ".disk"))
		return 0;
	if (region < 0)
		return err_set(err, -EIO, "region '%s' is not configured", location);
	r = platform_make(a, (unsigned) region, urn, job->cancel, job->events, &made, err);
	if (r < 0)
		return r;
	patch = json_pack("{s:{s:{s:s, s:O}}, s:{s:{s:{s:O}}}}", "vm", "image", "region",
			  a->regions[region].name, "disk", json_at(made, "disk"), "properties",
			  "storageProfile", "imageReference", "exactVersion",
			  json_at(made, "version"));
	if (!patch || json_object_update_recursive(doc, patch) < 0) {
		json_decref(patch);
		return no_memory(err);
	}
	return arm_job_patch(job, patch, true, err);
}

/* While the VM exists its content does, whatever becomes of the image. */
static int root_disks(struct arm_job *job, const json_t *doc, struct err *err)
{
	struct app *a = job->app;
	const char *name = json_str_at(doc, VM_IMAGE ".region");
	const json_t *data = json_at(doc, VM_IMAGE ".dataDisks"), *d;
	struct store_session *session = NULL;
	struct disk_ref disk;
	size_t i;
	int region = app_region_index(a, name ? name : "");
	int r = region < 0 ? err_set(err, -EIO, "region '%s' is not configured", name)
			   : store_session_begin(a->store, "vm", &session, err);

	if (r == 0)
		r = disk_ref_from_json(json_at(doc, VM_IMAGE ".disk"), &disk, err);
	if (r == 0)
		r = store_root_add(session, (unsigned) region, VM_ROOT, job->id->key, &disk, err);
	json_array_foreach(data, i, d)
	{
		auto_free char *key =
			strf("%s#%lld", job->id->key, (long long) json_int_at(d, "lun", 0));

		if (r == 0)
			r = key ? disk_ref_from_json(json_object_get(d, "disk"), &disk, err)
				: no_memory(err);
		if (r == 0)
			r = store_root_add(session, (unsigned) region, VM_ROOT, key, &disk, err);
	}
	store_session_end(session);
	return r;
}

static int start(struct arm_job *job, const json_t *doc, struct err *err)
{
	struct app *a = job->app;
	int r = vm_files_write(a, doc, err);

	if (r == 0)
		r = vm_keeper_start(a, json_str_at(doc, P_VM_ID), job->cancel, err);
	return r < 0 ? r : set_power(job, "running", err);
}

int vm_create_job(struct arm_job *job, struct err *err)
{
	auto_json json_t *doc = json_deep_copy(job->doc);
	json_t *patch;
	int r = doc ? resolve(job, doc, err) : no_memory(err);

	if (r == 0)
		r = root_disks(job, doc, err);
	if (r == 0)
		r = vm_files_write(job->app, doc, err);
	if (r < 0)
		return r;
	/* They are in a file of the VM's now. */
	patch = json_pack("{s:{s:n}}", "vm", "secrets");
	r = patch ? arm_job_patch(job, patch, false, err) : no_memory(err);
	if (r == 0)
		(void) json_object_del(json_object_get(doc, "vm"), "secrets");
	return r < 0 ? r : start(job, doc, err);
}

/* ---- Power ---------------------------------------------------------------------------------- */

int vm_start_job(struct arm_job *job, struct err *err)
{
	return start(job, job->doc, err);
}

int vm_stop_job(struct arm_job *job, struct err *err)
{
	const char *power = json_str_at(job->params, "power");
	bool skip = json_bool_at(job->params, "skipShutdown", false);
	int r = vm_keeper_stop(job->app, vm_id_of(job), skip ? 0 : SHUTDOWN_MS, err);

	return r < 0 ? r : set_power(job, power ? power : "stopped", err);
}

int vm_restart_job(struct arm_job *job, struct err *err)
{
	int r = vm_keeper_stop(job->app, vm_id_of(job), SHUTDOWN_MS, err);

	return r < 0 ? r : start(job, job->doc, err);
}

int vm_reimage_job(struct arm_job *job, struct err *err)
{
	auto_json json_t *doc = json_deep_copy(job->doc);
	int64_t n = json_int_at(job->doc, "vm.generation", 0) + 1;
	json_t *patch = json_pack("{s:{s:I}}", "vm", "generation", (json_int_t) n);
	int r;

	if (!doc || !patch || json_set_at(doc, "vm.generation", json_integer(n)) < 0) {
		json_decref(patch);
		return no_memory(err);
	}
	r = vm_keeper_stop(job->app, vm_id_of(job), 0, err);
	if (r == 0)
		r = vm_files_reimage(job->app, vm_id_of(job), err);
	if (r < 0) {
		json_decref(patch);
		return r;
	}
	r = arm_job_patch(job, patch, false, err);
	if (r < 0 || !str_eq(json_str_at(doc, VM_POWER), "running"))
		return r;
	return start(job, doc, err);
}

int vm_delete_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;
	const json_t *d;
	size_t i;
	int r = vm_keeper_stop(a, vm_id_of(job), 0, err);

	if (r == 0 && *vm_id_of(job))
		r = vm_files_remove(a, vm_id_of(job), err);
	if (r == 0)
		r = store_root_remove(a->store, -1, VM_ROOT, job->id->key, err);
	json_array_foreach(json_at(job->doc, VM_IMAGE ".dataDisks"), i, d)
	{
		auto_free char *key =
			strf("%s#%lld", job->id->key, (long long) json_int_at(d, "lun", 0));

		if (r == 0)
			r = key ? store_root_remove(a->store, -1, VM_ROOT, key, err)
				: no_memory(err);
	}
	return r;
}

/* ---- runCommand ----------------------------------------------------------------------------- */

/* Standard error is kept apart: it comes after the mark. */
static char *wrap(const json_t *script, const char *mark)
{
	auto_buf struct buf b = BUF_INIT(1u << 20);
	const json_t *line;
	size_t i;

	(void) buf_addf(&b,
			"d=$(mktemp -d /run/kiln-command.XXXXXX) || exit 1\n"
			"cat >\"$d/script\" <<'%s'\n",
			mark);
	json_array_foreach(script, i, line)(void) buf_addf(&b, "%s\n", json_string_value(line));
	(void) buf_addf(&b,
			"%s\n/bin/sh \"$d/script\" \"$@\" 2>\"$d/err\"\ns=$?\n"
			"printf '\\n%s\\n'\ncat \"$d/err\"\nrm -rf \"$d\"\nexit $s\n",
			mark, mark);
	return buf_err(&b) < 0 ? NULL : strdup(buf_str(&b));
}

static json_t *values(const json_t *parameters)
{
	auto_json json_t *list = json_array();
	const json_t *p;
	size_t i;

	json_array_foreach(parameters, i, p)
	{
		if (json_array_append(list, json_object_get(p, "value")) < 0)
			return NULL;
	}
	return json_incref(list);
}

static json_t *command_result(const json_t *reply, const char *mark)
{
	const char *text = json_str_at(reply, "output"), *b64 = json_str_at(reply, "outputBase64");
	int64_t status = json_int_at(reply, "exitCode", 0);
	auto_free char *around = strf("\n%s\n", mark);
	const char *at = text && around ? strstr(text, around) : NULL;

	if (!text)
		text = b64 ? b64 : "";
	return json_pack("{s:[{s:s, s:s, s:s, s:o}], s:I}", "value", "code",
			 status == 0 ? "ProvisioningState/succeeded" : "ProvisioningState/failed/1",
			 "level", status == 0 ? "Info" : "Error", "displayStatus",
			 status == 0 ? "Provisioning succeeded" : "Provisioning failed", "message",
			 json_strf("Enable %s: \n[stdout]\n%.*s\n\n[stderr]\n%s",
				   status == 0 ? "succeeded" : "failed",
				   (int) (at ? at - text : (ptrdiff_t) strlen(text)), text,
				   at ? at + strlen(around) : ""),
			 "exitCode", (json_int_t) status);
}

int vm_command_job(struct arm_job *job, struct err *err)
{
	const json_t *parameters = json_object_get(job->params, "parameters");
	auto_free char *socket = vm_run_path(job->app, vm_id_of(job), ".sock"), *script = NULL;
	auto_json json_t *reply = NULL;
	json_t *params, *result;
	char mark[UUID_STR];
	int r = uuid_random(mark);

	if (r < 0 || !socket)
		return no_memory(err);
	script = wrap(json_object_get(job->params, "script"), mark);
	if (!script)
		return err_set(err, -EFBIG, "the script is too long");
	params = json_pack("{s:s, s:o, s:I}", "script", script, "args", values(parameters),
			   "timeoutMs", (json_int_t) COMMAND_MS);
	if (!params)
		return no_memory(err);
	r = vm_keeper_call(socket, "exec", params, COMMAND_MS + 60000, job->cancel, &reply, err);
	if (r == -ENOTCONN)
		return refuse(err, -EBUSY, "OperationNotAllowed", NULL,
			      "Cannot run a command in VM '%s': it does not run", job->id->name);
	if (r < 0)
		return r;
	result = command_result(reply, mark);
	if (!result)
		return no_memory(err);
	arm_job_result(job, result);
	return 0;
}
