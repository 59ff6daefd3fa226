/* SPDX-License-Identifier: Apache-2.0 */
/* Content of disks and snapshots: making it, growing it, letting go of it. */
#include "base/mem.h"
#include "providers/disk.h"
#include "providers/import.h"
#include "providers/upload.h"

struct content {
	struct arm_job *job;
	struct app *app;
	struct store_session *session;
	const char *kind; /* of the root */
	unsigned region;
};

static int content_open(struct content *c, struct arm_job *job, struct err *err)
{
	const char *location = json_str_at(job->doc, "location");
	int region;

	*c = (struct content){.job = job, .app = job->app, .kind = disk_root_kind(job->id->type)};
	region = app_region_index(c->app, location ? location : "");
	if (region < 0)
		return err_set(err, -EIO, "region '%s' is not configured", location);
	c->region = (unsigned) region;
	return store_session_begin(c->app->store, c->kind, &c->session, err);
}

/* The root first, then the document that names it. */
static int content_keep(struct content *c, const struct disk_ref *disk, struct err *err)
{
	int r = store_root_add(c->session, c->region, c->kind, c->job->id->key, disk, err);
	json_t *patch, *ref;

	if (r < 0)
		return r;
	ref = disk_ref_to_json(disk);
	patch = json_pack("{s:{s:I, s:I, s:{s:o}}}", "properties", "diskSizeBytes",
			  (json_int_t) disk->size_bytes, "diskSizeGB",
			  (json_int_t) GB_OF(disk->size_bytes), "kiln", "disk", ref);
	return patch ? arm_job_patch(c->job, patch, true, err) : no_memory(err);
}

static int grow(struct content *c, struct disk_ref *disk, struct err *err)
{
	int64_t gb = json_int_at(c->job->doc, D_SIZE_GB, 0);
	struct disk_ref grown;
	struct store_stats stats;
	int r;

	if (gb <= GB_OF(disk->size_bytes))
		return 0;
	r = store_commit(c->session, c->region, disk, -1, NULL, 0, (uint64_t) gb << 30,
			 c->job->cancel, NULL, &grown, &stats, err);
	if (r == 0)
		*disk = grown;
	return r < 0 ? err_ctx(err, r, "grow to %lld GB", (long long) gb) : 0;
}

static int copy(struct content *c, struct disk_ref *ret, struct err *err)
{
	const char *name = json_str_at(c->job->doc, "origin.region");
	int from = app_region_index(c->app, name ? name : "");
	struct store_stats stats;
	struct progress *p;
	int r = disk_ref_from_json(json_at(c->job->doc, D_DISK), ret, err);

	if (r < 0)
		return r;
	if (from < 0)
		return err_set(err, -EIO, "region '%s' is not configured", name ? name : "");
	if ((unsigned) from == c->region)
		return 0;
	p = progress_to_events(c->job->events);
	r = store_replicate(c->session, (unsigned) from, c->region, ret, 0, c->job->cancel, p,
			    &stats, err);
	progress_free(p);
	return r;
}

static int make(struct content *c, struct disk_ref *ret, struct err *err)
{
	const json_t *doc = c->job->doc;
	const char *option = json_str_at(doc, D_OPTION);
	static const struct digest zero;
	int64_t gb = json_int_at(doc, D_SIZE_GB, 0);
	int r;

	if (option && strcmp(option, "Empty") == 0) {
		disk_ref_make(&zero, (uint64_t) gb << 30, ret);
		return 0;
	}
	if (!option || strcmp(option, "Import") != 0)
		return copy(c, ret, err);
	r = import_uri(c->job, c->session, c->region, json_str_at(doc, D_CREATION ".sourceUri"),
		       ret, err);
	if (r == 0 && gb > 0 && gb < GB_OF(ret->size_bytes))
		return refuse(err, -EINVAL, "InvalidParameter", D_SIZE_GB,
			      D_SIZE_GB ": %lld GB are less than the source's %lld", (long long) gb,
			      (long long) GB_OF(ret->size_bytes));
	return r;
}

/* A signature is needed until the bytes are here or have failed to come; a job that is handed back
 * needs it again. */
static int drop_signature(struct arm_job *job, int r, struct err *err)
{
	const char *uri = json_str_at(job->doc, D_CREATION ".sourceUri");
	size_t n = uri ? strcspn(uri, "?") : 0;
	int stopped = cancel_check(job->cancel);
	auto_err struct err own = ERR_INIT;
	json_t *patch;
	int end;

	if (!uri || !uri[n] || r == -ESTALE || stopped == -ESHUTDOWN || stopped == -ESTALE)
		return r;
	patch = json_pack("{s:{s:{s:s%}}}", "properties", "creationData", "sourceUri", uri, n);
	end = patch ? arm_job_patch(job, patch, false, &own) : no_memory(&own);
	if (end >= 0 || r < 0) /* why it failed comes first */
		return r;
	return err_set(err, end, "%s", err_str(&own));
}

/* Create and update, and both again after a crash: what the root holds already is kept. */
int disk_content_job(struct arm_job *job, struct err *err)
{
	const char *option = json_str_at(job->doc, D_OPTION);
	struct content c;
	struct disk_ref disk;
	int r = content_open(&c, job, err);

	if (r < 0)
		return r;
	r = store_root_get(c.app->store, c.region, c.kind, job->id->key, &disk, NULL);
	if (r == -ENOENT && option && strcmp(option, "Upload") == 0) {
		store_session_end(c.session);
		return 0; /* it has no content before its upload */
	}
	if (r == -ENOENT)
		r = make(&c, &disk, err);
	if (r == 0)
		r = grow(&c, &disk, err);
	if (r == 0)
		r = content_keep(&c, &disk, err);
	store_session_end(c.session);
	return drop_signature(job, r, err);
}

int disk_delete_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;
	int r = upload_remove(a, job->doc, err);

	return r < 0 ? r
		     : store_root_remove(a->store, -1, disk_root_kind(job->id->type), job->id->key,
					 err);
}

/* ---- Uploads -------------------------------------------------------------------------------- */

static int set_state(struct arm_job *job, const char *state, struct err *err)
{
	json_t *patch = json_pack("{s:{s:s}}", "properties", "diskState", state);

	return patch ? arm_job_patch(job, patch, true, err) : no_memory(err);
}

int disk_upload_job(struct arm_job *job, struct err *err)
{
	auto_free char *path = upload_path(job->app, job->doc);
	auto_fd int lock = -1;
	auto_err struct err again = ERR_INIT;
	struct content c;
	struct disk_ref disk;
	int r;

	if (!path)
		return no_memory(err);
	r = content_open(&c, job, err);
	if (r < 0)
		return r;
	/* Run again after a crash: the file may be gone because all was done. */
	r = store_root_get(c.app->store, c.region, c.kind, job->id->key, &disk, NULL);
	if (r == -ENOENT) {
		/* Waits for page writes that were let in before the access ended. */
		r = upload_lock(path, &lock, err);
		if (r == 0)
			r = import_file(job, c.session, c.region, path, &disk, err);
	}
	if (r == 0)
		r = content_keep(&c, &disk, err);
	store_session_end(c.session);
	if (r == 0)
		r = upload_remove(job->app, job->doc, err);
	if (r == 0)
		return set_state(job, "Unattached", err);
	/* What was uploaded stays: a new Write access goes on where this one ended. */
	if (set_state(job, "ReadyToUpload", &again) < 0)
		(void) err_ctx(err, r, "the disk's state was not set back");
	return r;
}

/* ---- Downloads ------------------------------------------------------------------------------ */

int disk_export_job(struct arm_job *job, struct err *err)
{
	const char *url = json_str_at(job->params, "url");
	struct content c;
	struct disk_ref disk;
	json_t *result;
	int r = content_open(&c, job, err);

	if (r < 0)
		return r;
	r = disk_ref_from_json(json_at(job->doc, D_DISK), &disk, err);
	if (r == 0)
		r = upload_export(job, c.region, &disk, err);
	store_session_end(c.session);
	if (r < 0)
		return r;
	result = json_pack("{s:s}", "accessSAS", url ? url : "");
	if (!result)
		return no_memory(err);
	arm_job_result(job, result);
	return 0;
}

int disk_close_job(struct arm_job *job, struct err *err)
{
	return upload_remove(job->app, job->doc, err);
}
