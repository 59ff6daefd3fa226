/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/common.h"
#include "providers/version_job.h"
#include "providers/version_regions.h"
#include "providers/version_rules.h"
#include "providers/versions.h"

#define REPORT_NS 1000000000 /* progress is written once a second */

struct sync {
	struct arm_job *job;
	struct app *app;
	struct store_session *session;
	struct disk_ref disk;
	struct digest manifest;
	json_t *manifest_doc; /* owned */
	json_t *state;        /* owned: what "replication" says now */
	const json_t *targets;
	int origin; /* region that the disk comes from */
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
static json_t *manifest_new(const json_t *doc, const struct disk_ref *disk)
{
	const json_t *facts = json_object_get(doc, V_FACTS);
	const char *generation = json_str_at(facts, "hyperVGeneration");
	const json_t *firmware = json_object_get(facts, "firmware");
	const json_t *boot = json_object_get(facts, "boot");
	json_t *os = disk_ref_to_json(disk);
	bool uefi = !generation || strcmp(generation, "V2") == 0;
	json_t *m;

	if (!os)
		return NULL;
	m = json_pack("{s:s, s:s*, s:s*, s:s*, s:s*, s:o, s:O*, s:[o]}", "schema",
		      "kiln-manifest/1", "architecture", json_str_at(facts, "architecture"),
		      "osType", json_str_at(facts, "osType"), "osState",
		      json_str_at(facts, "osState"), "hyperVGeneration", generation, "firmware",
		      firmware ? json_incref((json_t *) firmware)
			       : json_pack("{s:b, s:b}", "uefi", uefi, "bios", !uefi),
		      "boot", boot, "disks", os);
	if (m && (json_object_set_new(os, "role", json_string("os")) < 0 ||
		  json_object_set_new(os, "sectorBytes", json_integer(512)) < 0)) {
		json_decref(m);
		return NULL;
	}
	return m;
}

/* ---- One region ----------------------------------------------------------------------------- */

static bool is_done(const struct sync *s, const char *region, unsigned at)
{
	const char *state = json_str_at(json_object_get(s->state, region), "state");
	struct disk_ref has;

	return state && strcmp(state, "Completed") == 0 &&
	       store_root_get(s->app->store, at, "version", s->job->id->key, &has, NULL) == 0 &&
	       digest_eq(&has.digest, &s->disk.digest);
}

/* The nearest source: a region that is complete already, else where the disk came from. */
static unsigned pick_from(const struct sync *s, unsigned to)
{
	for (size_t i = 0; i < s->app->n_regions; i++)
		if (i != to && is_done(s, s->app->regions[i].name, (unsigned) i))
			return (unsigned) i;
	return (unsigned) s->origin;
}

static int copy_to(struct sync *s, const char *region, unsigned to, struct err *err)
{
	uint64_t rate =
		(uint64_t) json_int_at(s->app->config, "limits.replicationMegabytesPerSecond", 0) *
		1000000;
	struct report report = {.s = s, .region = region, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct progress p = {report_update, &report};
	unsigned from = pick_from(s, to);
	struct store_stats stats;
	int r = 0;

	report.events = progress_to_events(s->job->events);
	if (from != to)
		r = store_replicate(s->session, from, to, &s->disk, rate, s->job->cancel, &p,
				    &stats, err);
	progress_free(report.events);
	(void) pthread_mutex_destroy(&report.lock);
	if (r == 0)
		r = store_manifest_put(s->app->store, to, s->manifest_doc, &s->manifest, err);
	if (r == 0)
		r = store_root_add(s->session, to, "version", s->job->id->key, &s->disk, err);
	return r;
}

/* One region's failure does not stop the others; the version is then Failed, and that region's
 * entry says why. */
static int sync_region(struct sync *s, const char *region, struct err *err)
{
	int at = app_region_index(s->app, region);
	auto_err struct err e = ERR_INIT;
	int r;

	if (at < 0)
		r = err_set(&e, at, "region %s is not configured any more", region);
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
	int at = app_region_index(s->app, region);
	json_t *patch = json_pack("{s:{s:n}}", V_REPLICATION, region);
	int r = 0;

	if (at >= 0)
		r = store_root_remove(s->app->store, at, "version", s->job->id->key, err);
	if (r < 0) {
		json_decref(patch);
		return err_ctx(err, r, "region %s", region);
	}
	return patch ? arm_job_patch(s->job, patch, false, err) : no_memory(err);
}

/* ---- All ------------------------------------------------------------------------------------ */

static int sync_open(struct sync *s, struct err *err)
{
	const json_t *doc = s->job->doc;
	const char *origin = json_str_at(doc, V_ORIGIN ".region");
	const json_t *state = json_object_get(doc, V_REPLICATION);
	int r = disk_ref_from_json(json_at(doc, V_DISK), &s->disk, err);

	if (r < 0)
		return err_ctx(err, r, "disk of %s", s->job->id->text);
	s->targets = json_at(doc, V_TARGETS);
	s->origin = app_region_index(s->app, origin ? origin : "");
	if (s->origin < 0)
		return err_set(err, -EIO, "region '%s', where the source is, is not configured",
			       origin ? origin : "");
	s->state = state ? json_deep_copy(state) : json_object();
	s->manifest_doc = manifest_new(doc, &s->disk);
	if (!s->state || !s->manifest_doc)
		return no_memory(err);
	return store_session_begin(s->app->store, "version", &s->session, err);
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
	auto_json json_t *doc = json_deep_copy(s->job->doc);
	auto_free char *home = NULL;
	int r = doc ? 0 : no_memory(err);

	if (r == 0)
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
	int own = app_region_index(s->app, json_str_at(s->job->doc, "location"));
	auto_free char *name = NULL;
	char hex[DIGEST_HEX];
	json_t *patch;
	int r;

	if (own < 0)
		return err_set(err, own, "the version's location is not configured any more");
	r = store_manifest_put(s->app->store, (unsigned) own, s->manifest_doc, &s->manifest, err);
	if (r < 0)
		return err_ctx(err, r, "manifest");
	name = strf("sha256:%s", digest_hex(&s->manifest, hex));
	patch = name ? json_pack("{s:{s:{s:s}}}", "properties", "kiln", "manifest", name) : NULL;
	r = patch ? arm_job_patch(s->job, patch, false, err) : no_memory(err);
	return r < 0 ? r : sync_record(s, name, err);
}

int version_sync_job(struct arm_job *job, struct err *err)
{
	struct sync s = {.job = job, .app = job->app, .origin = -1};
	int r = sync_open(&s, err);

	if (r == 0)
		r = sync_targets(&s, err);
	if (r == 0)
		r = sync_dropped(&s, err);
	if (r == 0)
		r = sync_finish(&s, err);
	if (r == 0 && s.failed.code) {
		r = s.failed.code;
		err_move(err, &s.failed);
	}
	store_session_end(s.session);
	json_decref(s.state);
	json_decref(s.manifest_doc);
	err_done(&s.failed);
	return r;
}

int version_delete_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;
	auto_free char *home = NULL;
	int r = catalog_home(a, job->id->text, &home, err);

	if (r == 0)
		r = catalog_put(a, home, job->id->text, job->doc, true, err);
	return r < 0 ? r : store_root_remove(a->store, -1, "version", job->id->key, err);
}
