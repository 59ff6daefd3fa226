/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/disk_set.h"
#include "providers/shallow.h"
#include "providers/soft_delete.h"
#include "providers/version_job.h"
#include "providers/version_regions.h"
#include "providers/version_rules.h"
#include "providers/versions.h"

#define REPORT_NS 1000000000 /* progress is written once a second */

struct sync {
	struct arm_job *job;
	const struct sync_kind *kind;
	struct app *app;
	struct store_session *session;
	json_t *doc; /* owned: the version, with what its imports brought */
	struct disk_set disks;
	struct digest manifest;
	json_t *manifest_doc; /* owned */
	json_t *state;        /* owned: what "replication" says now */
	const json_t *targets;
	size_t done;
	struct err failed; /* of the first region that failed */
};

/* ---- Progress ------------------------------------------------------------------------------- */

struct report {
	struct sync *s;
	const char *region;
	struct progress *events; /* owned: also to the job's listener; may be NULL */
	pthread_mutex_t lock;    /* guards @last_ns */
	int64_t last_ns;
};

static int set_state(struct sync *s, const char *region, const char *state, int progress,
		     const char *details, struct err *err)
{
	json_t *one = json_pack("{s:s, s:i, s:s}", "state", state, "progress", progress, "details",
				details);
	json_t *patch;

	if (!one || json_object_set_new(s->state, region, one) < 0)
		return no_memory(err);
	patch = json_pack("{s:{s:O}}", V_REPLICATION, region, one);
	return patch ? arm_job_patch(s->job, patch, false, err) : no_memory(err);
}

static void report_update(void *arg, const char *stage, uint64_t done, uint64_t total)
{
	struct report *p = arg;
	auto_free char *name = strf("%s to %s", stage, p->region);
	double part = total ? (double) done / (double) total : 0;
	int64_t now = time_mono_ns();

	progress_update(p->events, name ? name : stage, done, total);
	if (pthread_mutex_trylock(&p->lock) != 0)
		return; /* another thread reports */
	if (now - p->last_ns >= REPORT_NS) {
		size_t n = json_array_size(p->s->targets);

		p->last_ns = now;
		/* a lost lease shows at the next write that matters */
		(void) set_state(p->s, p->region, "Replicating", (int) (part * 100), "", NULL);
		arm_job_percent(p->s->job, ((double) p->s->done + part) * 100 / (double) n);
	}
	(void) pthread_mutex_unlock(&p->lock);
}

/* ---- Manifest ------------------------------------------------------------------------------- */

/* Facts that a reader of one region needs to use the image; the same facts always give the same
 * bytes, and their digest is the version's identity. */
static int manifest_disk(json_t *list, const struct disk_item *d)
{
	json_t *one = disk_ref_to_json(&d->disk);
	bool os = d->lun < 0;

	if (one && json_object_set_new(one, "role", json_string(os ? "os" : "data")) == 0 &&
	    json_object_set_new(one, "sectorBytes", json_integer(512)) == 0 &&
	    (os || json_object_set_new(one, "lun", json_integer(d->lun)) == 0))
		return json_array_append_new(list, one);
	json_decref(one);
	return -ENOMEM;
}

static json_t *manifest_new(const json_t *doc, const struct disk_set *disks)
{
	const json_t *facts = json_object_get(doc, V_FACTS);
	const char *generation = json_str_at(facts, "hyperVGeneration");
	const json_t *firmware = json_object_get(facts, "firmware");
	const json_t *boot = json_object_get(facts, "boot");
	json_t *list = json_array();
	bool uefi = !generation || strcmp(generation, "V2") == 0;
	json_t *m;

	for (size_t i = 0; i < disks->n; i++)
		if (!list || manifest_disk(list, &disks->items[i]) < 0) {
			json_decref(list);
			return NULL;
		}
	m = json_pack("{s:s, s:s*, s:s*, s:s*, s:s*, s:o, s:O*, s:o}", "schema", "kiln-manifest/1",
		      "architecture", json_str_at(facts, "architecture"), "osType",
		      json_str_at(facts, "osType"), "osState", json_str_at(facts, "osState"),
		      "hyperVGeneration", generation, "firmware",
		      firmware ? json_incref((json_t *) firmware)
			       : json_pack("{s:b, s:b}", "uefi", uefi, "bios", !uefi),
		      "boot", boot, "disks", list);
	return m;
}

/* ---- One region ----------------------------------------------------------------------------- */

static bool is_done(const struct sync *s, const char *region, unsigned at)
{
	const char *state = json_str_at(json_object_get(s->state, region), "state");

	return state && strcmp(state, "Completed") == 0 && disk_set_whole(s->app, &s->disks, at);
}

/* The nearest source: a region that is complete already, else where the disks came from. */
static int pick_from(const struct sync *s, unsigned to)
{
	for (size_t i = 0; i < s->app->n_regions; i++) {
		const char *name = s->app->regions[i].name;
		int at = doc_place(s->app, s->doc, name, NULL);

		if (at >= 0 && (unsigned) at != to && is_done(s, name, (unsigned) at))
			return at;
	}
	return -1;
}

static int copy_to(struct sync *s, const char *region, unsigned to, struct err *err)
{
	struct report report = {.s = s, .region = region, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct progress p = {report_update, &report};
	bool shallow = shallow_is(s->doc);
	int from = shallow ? (int) to : pick_from(s, to), r = 0;

	report.events = progress_to_events(s->job->events);
	if (shallow)
		r = shallow_note(s->app, s->session, s->doc, s->job->id->key, &s->disks, to, err);
	if (r == 0)
		r = disk_set_place(s->app, s->session, &s->disks, from, to, s->job->cancel, &p,
				   err);
	progress_free(report.events);
	(void) pthread_mutex_destroy(&report.lock);
	if (r == 0 && s->manifest_doc)
		r = store_manifest_put(s->app->store, to, s->manifest_doc, &s->manifest, err);
	return r;
}

/* One region's failure does not stop the others; the version is then Failed, and that region's
 * entry says why. */
static int sync_region(struct sync *s, const char *region, struct err *err)
{
	auto_err struct err e = ERR_INIT;
	int at = doc_place(s->app, s->doc, region, &e);
	int r;

	if (at < 0)
		r = at;
	else if (is_done(s, region, (unsigned) at))
		return 0;
	else if (set_state(s, region, "Replicating", 0, "", err) < 0)
		return -ESTALE;
	else
		r = copy_to(s, region, (unsigned) at, &e);
	if (r == 0)
		return set_state(s, region, "Completed", 100, "", err);
	if (r == -ECANCELED || r == -ESTALE) {
		err_move(err, &e);
		return r;
	}
	/* Paths and the like stay in the operation's error, which arm/ shows to whom it may. */
	(void) err_ctx(&e, r, "region %s", region);
	if (set_state(s, region, "Failed", 0, e.arm ? err_str(&e) : strerror(-r), err) < 0)
		return -ESTALE;
	if (!s->failed.code)
		err_move(&s->failed, &e);
	return 0;
}

static int drop_region(struct sync *s, const char *region, struct err *err)
{
	int at = doc_place(s->app, s->doc, region, err);
	json_t *patch = json_pack("{s:{s:n}}", V_REPLICATION, region);
	int r = at == -ENOKEY ? at : 0;

	if (at == -ENOENT)
		err_done(err);
	if (at >= 0)
		r = disk_set_drop(s->app, &s->disks, at, err);
	if (at >= 0 && r == 0)
		r = shallow_drop(s->app, s->doc, s->job->id->key, at, err);
	if (r < 0) {
		json_decref(patch);
		return err_ctx(err, r, "region %s", region);
	}
	return patch ? arm_job_patch(s->job, patch, false, err) : no_memory(err);
}

/* ---- All ------------------------------------------------------------------------------------ */

/* VHDs that the version is made of; then their sizes are known. */
static int import_image(struct arm_job *job, struct store_session *session, json_t *doc,
			struct err *err)
{
	bool any = json_array_size(json_object_get(doc, S_IMPORTS)) > 0;
	int r = disk_set_import(job, session, "version", doc, err);
	json_t *patch;

	if (r == 0 && any)
		r = version_source_sizes(doc, err);
	if (r < 0 || !any)
		return r;
	patch = json_pack("{s:{s:O}}", "properties", "storageProfile",
			  json_at(doc, "properties.storageProfile"));
	return patch ? arm_job_patch(job, patch, false, err) : no_memory(err);
}

static int sync_open(struct sync *s, struct err *err)
{
	const json_t *state = json_object_get(s->job->doc, V_REPLICATION);
	int r = store_session_begin(s->app->store, s->kind->root, &s->session, err);

	s->doc = json_deep_copy(s->job->doc);
	s->state = state ? json_deep_copy(state) : json_object();
	if (r == 0 && (!s->doc || !s->state))
		r = no_memory(err);
	if (r == 0)
		r = s->kind->import(s->job, s->session, s->doc, err);
	if (r == 0)
		r = disk_set_load(s->app, s->doc, s->kind->root, s->job->id->key, &s->disks, err);
	if (r < 0)
		return r;
	s->targets = json_at(s->doc, V_TARGETS);
	if (!s->kind->image)
		return 0;
	s->manifest_doc = manifest_new(s->doc, &s->disks);
	return s->manifest_doc ? 0 : no_memory(err);
}

static int sync_targets(struct sync *s, struct err *err)
{
	const char *own = json_str_at(s->job->doc, "location");
	size_t n = json_array_size(s->targets), i;
	const json_t *t;
	int r = own ? sync_region(s, own, err) : 0;

	s->done = 1;
	json_array_foreach((json_t *) s->targets, i, t)
	{
		const char *name = json_str_at(t, "name");

		if (r < 0 || !name || (own && strcmp(name, own) == 0))
			continue;
		arm_job_percent(s->job, (double) s->done * 100 / (double) n);
		r = cancel_check(s->job->cancel);
		if (r < 0)
			return err_set(err, r, "cancelled");
		r = sync_region(s, name, err);
		s->done++;
	}
	return r;
}

static int sync_dropped(struct sync *s, struct err *err)
{
	const char *region;
	json_t *v;
	int r = 0;

	json_object_foreach(s->state, region, v)
	{
		if (r == 0 && !version_region_find(s->targets, region))
			r = drop_region(s, region, err);
	}
	return r;
}

/* The catalog's record is the document as it will be when the operation has succeeded. */
static int sync_record(struct sync *s, const char *manifest, struct err *err)
{
	auto_json json_t *doc = json_deep_copy(s->doc);
	auto_free char *home = NULL;
	int r = doc ? 0 : no_memory(err);

	if (r == 0 && manifest)
		r = set_str(doc, "properties.kiln.manifest", manifest, err);
	if (r == 0)
		r = set_str(doc, "properties.provisioningState",
			    s->failed.code ? "Failed" : "Succeeded", err);
	if (r == 0 && json_object_set(doc, V_REPLICATION, s->state) < 0)
		r = no_memory(err);
	if (r == 0)
		r = catalog_home(s->app, s->job->id->text, &home, err);
	return r < 0 ? r : catalog_put(s->app, home, s->job->id->text, doc, false, err);
}

static int sync_finish(struct sync *s, struct err *err)
{
	int own = doc_place(s->app, s->doc, json_str_at(s->job->doc, "location"), err);
	auto_free char *name = NULL;
	char hex[DIGEST_HEX];
	json_t *patch;
	int r;

	if (own < 0)
		return own;
	r = store_manifest_put(s->app->store, (unsigned) own, s->manifest_doc, &s->manifest, err);
	if (r < 0)
		return err_ctx(err, r, "manifest");
	name = strf("sha256:%s", digest_hex(&s->manifest, hex));
	patch = name ? json_pack("{s:{s:{s:s}}}", "properties", "kiln", "manifest", name) : NULL;
	r = patch ? arm_job_patch(s->job, patch, false, err) : no_memory(err);
	return r < 0 ? r : sync_record(s, name, err);
}

int version_sync(struct arm_job *job, const struct sync_kind *kind, struct err *err)
{
	struct sync s = {.job = job, .kind = kind, .app = job->app};
	int r = sync_open(&s, err);

	if (r == 0)
		r = sync_targets(&s, err);
	if (r == 0)
		r = sync_dropped(&s, err);
	if (r == 0)
		r = kind->image ? sync_finish(&s, err) : sync_record(&s, NULL, err);
	if (r == 0 && s.failed.code) {
		r = s.failed.code;
		err_move(err, &s.failed);
	}
	store_session_end(s.session);
	json_decref(s.state);
	json_decref(s.manifest_doc);
	json_decref(s.doc);
	disk_set_done(&s.disks);
	err_done(&s.failed);
	return r;
}

int version_sync_job(struct arm_job *job, struct err *err)
{
	static const struct sync_kind image = {"version", import_image, true};
	int r = 0;

	/* Until its own record is there again, that of the deleted one keeps it. */
	if (json_bool_at(job->params, "restore", false)) {
		r = catalog_record(job, false, err);
		if (r == 0)
			r = soft_delete_forget(job, err);
	}
	return r < 0 ? r : version_sync(job, &image, err);
}

int version_delete_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;
	bool soft = json_bool_at(job->params, "soft", false);
	int r = soft ? soft_delete_keep(job, err) : 0;

	if (r == 0)
		r = catalog_record(job, true, err);
	if (r == 0 && soft)
		return 0;
	if (r == 0)
		r = shallow_drop(a, job->doc, job->id->key, -1, err);
	return r < 0 ? r : disk_set_drop_doc(a, job->doc, "version", job->id->key, err);
}
