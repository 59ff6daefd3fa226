/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/common.h"
#include "providers/template_explain.h"
#include "providers/template_run.h"
#include "providers/versions.h"

/* ---- Events to a file ----------------------------------------------------------------------- */

/* Every event goes to DATA/runs/ID/events.jsonl, one per line with its time, and on to the job's
 * listener. Losing the file's tail loses no truth: the record is kept by the engine. */
struct tee {
	struct event_sink sink;
	const struct event_sink *next;
	struct arm_job *job;
	int64_t start_ns;
	pthread_mutex_t lock; /* guards @file */
	FILE *file;
};

/* The operation's percentage is that of the time that the run is thought to take. */
static void tell_percent(const struct tee *t, const json_t *event)
{
	double left = json_number_value(json_object_get(event, "secondsLeft"));
	double gone = (double) (time_mono_ns() - t->start_ns) / 1e9;

	if (left > 0)
		arm_job_percent(t->job, 100 * gone / (gone + left));
}

static void tee_emit(void *arg, const json_t *event)
{
	struct tee *t = arg;
	auto_json json_t *copy = json_copy((json_t *) event);
	auto_free char *line = NULL;
	char now[ISO_MAX];

	if (copy &&
	    json_object_set_new(copy, "time", json_string(time_iso(time_now_us(), now))) == 0)
		line = json_compact(copy);
	if (line && t->file) {
		(void) pthread_mutex_lock(&t->lock);
		(void) fprintf(t->file, "%s\n", line);
		(void) fflush(t->file);
		(void) pthread_mutex_unlock(&t->lock);
	}
	if (str_eq(json_str_at(event, "type"), "estimate"))
		tell_percent(t, event);
	if (t->next)
		t->next->emit(t->next->arg, event);
}

static int tee_open(struct tee *t, const struct template_run *run, struct err *err)
{
	auto_free char *dir = strf("%s/runs/%s", run->app->data_dir, run->run_id);
	auto_free char *path = dir ? path_join(dir, "events.jsonl") : NULL;
	int fd, r;

	*t = (struct tee){.sink = {tee_emit, t},
			  .next = run->job->events,
			  .job = run->job,
			  .start_ns = time_mono_ns(),
			  .lock = PTHREAD_MUTEX_INITIALIZER};
	if (!path)
		return no_memory(err);
	r = file_mkdir_p(dir, 0755, err);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	t->file = fd < 0 ? NULL : fdopen(fd, "a");
	if (!t->file) {
		r = -errno;
		closep(&fd);
		return err_set(err, r, "%s", path);
	}
	return 0;
}

static void tee_close(struct tee *t)
{
	if (t->file)
		(void) fclose(t->file);
	(void) pthread_mutex_destroy(&t->lock);
}

/* ---- Status and record ---------------------------------------------------------------------- */

static int patch_status(struct template_run *t, json_t *status, bool revision, struct err *err)
{
	json_t *patch =
		status ? json_pack("{s:{s:o}}", "properties", "lastRunStatus", status) : NULL;

	return patch ? arm_job_patch(t->job, patch, revision, err) : no_memory(err);
}

static int status_start(struct template_run *t, struct err *err)
{
	char now[ISO_MAX];

	(void) snprintf(t->sub_state, sizeof(t->sub_state), "Building");
	return patch_status(t,
			    json_pack("{s:s, s:n, s:s, s:s, s:s}", "startTime",
				      time_iso(time_now_us(), now), "endTime", "runState",
				      "Running", "runSubState", "Building", "message", ""),
			    true, err);
}

/* The engine's record is {"runId","templateId","state",...}: what a run's properties show. */
int template_put_run(struct template_run *t, const json_t *record, struct err *err)
{
	json_t *properties = json_copy((json_t *) record);
	json_t *doc;

	if (!properties)
		return no_memory(err);
	(void) json_object_del(properties, "runId");
	if (json_object_set_new(properties, "templateId", json_string(t->job->id->text)) < 0) {
		json_decref(properties);
		return no_memory(err);
	}
	doc = json_pack("{s:s, s:o}", "location", t->location, "properties", properties);
	if (doc && t->domain && set_str(doc, P_DOMAIN, t->domain, err) < 0) {
		json_decref(doc);
		return -ENOMEM;
	}
	return doc ? arm_job_put(t->job, t->run_key, doc, err) : no_memory(err);
}

/* bake_host.record: the run's resource follows each step; the template shows the phase. */
static int on_record(void *arg, const json_t *record, struct err *err)
{
	struct template_run *t = arg;
	const char *sub = json_str_at(record, "subState");
	json_t *copy = json_deep_copy(record);
	int r;

	if (!copy)
		return no_memory(err);
	json_decref(t->record);
	t->record = copy;
	r = template_put_run(t, record, err);
	if (r < 0 || !sub || strcmp(sub, t->sub_state) == 0)
		return r;
	(void) snprintf(t->sub_state, sizeof(t->sub_state), "%s", sub);
	return patch_status(t, json_pack("{s:s}", "runSubState", sub), false, err);
}

static const char *run_state(int r)
{
	switch (r) {
	case 0:
		return "Succeeded";
	case -EREMOTEIO:
		return "PartiallySucceeded";
	case -ECANCELED:
		return "Canceled";
	default:
		return "Failed";
	}
}

static int status_end(struct template_run *t, int result, const struct err *why, struct err *err)
{
	auto_free char *message = NULL;
	char now[ISO_MAX];

	message = result == 0 ? strdup("")
			      : strf("%s%s%s (run %s)", err_str(why), why->hint ? ": " : "",
				     why->hint ? why->hint : "", t->run_id);
	if (!message)
		return no_memory(err);
	return patch_status(t,
			    json_pack("{s:s, s:s, s:s, s:s}", "endTime",
				      time_iso(time_now_us(), now), "runState", run_state(result),
				      "runSubState", t->sub_state, "message", message),
			    true, err);
}

/* ---- The job -------------------------------------------------------------------------------- */

static int env_nbd(void *arg, struct nbd_host **ret, struct err *err)
{
	return app_nbd(arg, ret, err);
}

static int env_vmhost(void *arg, struct vm_host **ret, struct err *err)
{
	return app_vmhost(arg, ret, err);
}

int template_env(struct app *a, const char *location, struct bake_env *ret, struct err *err)
{
	int region = app_region_index(a, location);

	if (region < 0)
		return err_set(err, region, "region '%s' is not configured", location);
	*ret = (struct bake_env){
		.store = a->store,
		.region = (unsigned) region,
		.home = app_region_of(a, (unsigned) region),
		.journal = a->journal,
		.data_dir = a->data_dir,
		.run_dir = a->run_dir,
		.nbd = env_nbd,
		.vmhost = env_vmhost,
		.arg = a,
		.config = a->config,
	};
	return 0;
}

/* The first of its targets that is under a key says so, else its source. */
static int find_key(struct app *a, const json_t *doc, char **ret, struct err *err)
{
	const json_t *targets = json_at(doc, "properties.distribute"), *t;
	const char *source = json_str_at(doc, "properties.source.imageVersionId");
	int r = 0;
	size_t i;

	json_array_foreach((json_t *) targets, i, t)
	{
		const char *id = json_str_at(t, "galleryImageId");

		if (r == 0 && !*ret && id)
			r = gallery_key(a, id, ret, err);
	}
	return r < 0 || *ret || !source ? r : gallery_key(a, source, ret, err);
}

int template_place(struct app *a, const json_t *doc, struct bake_env *env, struct err *err)
{
	auto_free char *key = NULL;
	int r = find_key(a, doc, &key, err), at;

	if (r < 0 || !key)
		return r;
	at = app_place(a, a->regions[env->home].name, key);
	if (at < 0)
		return err_set(err, at, "gallery key '%s' is not in kiln.yaml", key);
	env->region = (unsigned) at;
	return 0;
}

int template_resolve(void *arg, const json_t *source, struct bake_source *ret, struct err *err)
{
	struct template_run *t = arg;
	const char *type = json_str_at(source, "type");
	bool shared = type && strcmp(type, "SharedImageVersion") == 0;
	const char *field =
		shared ? "properties.source.imageVersionId" : "properties.source.imageId";
	const char *id = json_str_at(source, shared ? "imageVersionId" : "imageId");
	struct image_source s = {.region = -1};
	int r = image_source_load(t->app, t->who, t->subscription, id ? id : "", t->location, field,
				  &s, err);

	if (r < 0) {
		err_arm(err, shared ? "BadSharedImageVersionSource" : "BadManagedImageSource");
		return r;
	}
	if (json_object_set_new(s.facts, "exactVersion", json_string(strrchr(s.id, '/') + 1)) < 0) {
		image_source_done(&s);
		return no_memory(err);
	}
	*ret = (struct bake_source){
		.disk = s.disk,
		.region = (unsigned) s.region,
		.facts = take_ptr(s.facts),
	};
	image_source_done(&s);
	return 0;
}

/* The version that `latest` was at this run, as the API shows it; a managed image has none. */
static int patch_exact(struct template_run *t, struct err *err)
{
	const char *exact = json_str_at(t->record, "source.exactVersion");
	const char *type = json_str_at(t->doc, "properties.source.type");
	json_t *patch;

	if (!exact || str_eq(type, "ManagedImage"))
		return 0;
	patch = json_pack("{s:{s:{s:s}}}", "properties", "source", "exactVersion", exact);
	return patch ? arm_job_patch(t->job, patch, false, err) : no_memory(err);
}

/* The code of the operation: the failing step's own, else one that says what kind of end it was. */
static void name_failure(struct err *err, int r)
{
	err->code = r; /* how the run ended, not what its first failure was */
	if (err->arm && r != -EREMOTEIO)
		return;
	err_arm(err, r == -ETIME       ? "BuildTimeout"
		     : r == -EPROTO    ? "ValidationFailed"
		     : r == -EREMOTEIO ? "DistributionPartiallyFailed"
		     : r == -ECANCELED ? "Canceled"
				       : "ImageTemplateRunFailed");
}

static struct bake_options run_options(const json_t *params, const char *run_id, const char *id,
				       const struct arm_principal *who)
{
	return (struct bake_options){
		.run_id = run_id,
		.template_id = id,
		.template_name = strrchr(id, '/') + 1,
		.no_cache = json_bool_at(params, "noCache", false),
		.until = json_str_at(params, "until"),
		.from = json_str_at(params, "from"),
		.refresh = json_object_get(params, "refresh"),
		.keep_going = json_bool_at(params, "keepGoing", false),
		.force = json_bool_at(params, "force", false),
		.local_files = who && who->local_owner,
	};
}

int template_explain(struct app *a, const char *id, const json_t *doc, const json_t *params,
		     struct cancel *cancel, const struct event_sink *events, json_t **ret,
		     struct err *err)
{
	const char *given = json_str_at(doc, "location");
	auto_free char *location = location_normalize(given ? given : "");
	struct template_run t = {.who = &a->owner, .app = a, .location = location};
	auto_arm_id struct arm_id parsed = {0};
	const struct bake_host host = {&t, template_resolve, NULL, NULL};
	struct bake_options o;
	struct bake_env env = {0};
	char run_id[UUID_STR_LEN];
	int r;

	r = uuid_random(run_id);
	if (r < 0)
		return err_set(err, r, "random number");
	r = arm_id_parse(id, &parsed, err);
	if (r < 0)
		return r;
	t.subscription = parsed.subscription;
	o = run_options(params, run_id, id, &a->owner);
	r = location ? template_env(a, location, &env, err) : no_memory(err);
	if (r == 0)
		r = template_place(a, doc, &env, err);
	if (r < 0)
		return r;
	env.cancel = cancel;
	env.events = events;
	return bake_explain(&env, &host, &o, doc, ret, err);
}

static int run_engine(struct template_run *t, struct err *err)
{
	const struct bake_host host = {t, template_resolve, template_distribute, on_record};
	const struct bake_options o =
		run_options(t->job->params, t->run_id, t->job->id->text, t->job->who);
	auto_json json_t *record = NULL;
	struct bake_env env = {0};
	struct tee tee;
	int r = template_env(t->app, t->location, &env, err);

	if (r == 0)
		r = template_place(t->app, t->doc, &env, err);
	if (r < 0)
		return r;
	r = tee_open(&tee, t, err);
	if (r < 0)
		return r;
	env.cancel = t->job->cancel;
	env.events = &tee.sink;
	t->domain = app_key_of(t->app, env.region);
	r = bake_run(&env, &host, &o, t->doc, &record, err);
	tee_close(&tee);
	if (record) {
		json_decref(t->record);
		t->record = json_incref(record);
	}
	return r;
}

/* What the engine found is told even when telling fails: the run's own error comes first. */
static int run_finish(struct template_run *t, int result, struct err *err)
{
	auto_err struct err e = ERR_INIT;
	int r = 0;

	if (t->record)
		r = template_put_run(t, t->record, &e);
	if (r == 0)
		r = patch_exact(t, &e);
	if (r == 0)
		r = status_end(t, result, err, &e);
	if (result < 0)
		return result;
	if (r < 0)
		err_move(err, &e);
	else if (t->record)
		arm_job_result(t->job, json_incref(t->record));
	return r;
}

int template_run_job(struct arm_job *job, struct err *err)
{
	struct template_run t = {

		.job = job,
		.who = job->who,
		.app = job->app,
		.doc = job->doc,
		.run_id = job->operation_id};
	const char *location = json_str_at(job->doc, "location");
	int r;

	t.location = location_normalize(location ? location : "");
	t.run_key = strf("/subscriptions/%s/resourceGroups/%s/providers/" TYPE_RUN "/%s",
			 job->id->subscription, job->id->group, job->operation_id);
	r = t.location && t.run_key ? status_start(&t, err) : no_memory(err);
	if (r == 0) {
		r = run_engine(&t, err);
		if (r < 0)
			name_failure(err, r);
		r = run_finish(&t, r, err);
	}
	json_decref(t.record);
	free(t.run_key);
	free(t.location);
	return r;
}
