/* SPDX-License-Identifier: Apache-2.0 */
/* What a run stands on: the template, its files, the source, scratch space. */
#include <inttypes.h>
#include <sys/stat.h>

#include "bake/archive.h"
#include "bake/run.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define SUITE "bookworm" /* of the package archives */

int run_need_scratch(struct run *run, struct err *err)
{
	auto_free char *parent = path_join(run->env->data_dir, "scratch");
	char name[40];
	int r;

	if (run->scratch)
		return 0;
	r = parent ? file_mkdir_p(parent, 0711, err) : -ENOMEM;
	if (r == 0)
		r = tmp_name(name);
	if (r < 0)
		return err_ctx(err, r, "scratch space");
	name[12] = '\0';
	run->scratch = strf("%s/run-%s", parent, name);
	if (!run->scratch)
		return -ENOMEM;
	r = journal_add(run->env->journal, "tree", json_pack("{s:s}", "path", run->scratch),
			&run->scratch_entry, err);
	/* 0711: a guest's own uid opens its overlay in here by name, and lists nothing. */
	if (r == 0 && mkdir(run->scratch, 0711) < 0)
		r = err_set(err, -errno, "%s: %s", run->scratch, strerror(errno));
	return r;
}

/* The template's "host:port" entries, and for "apt" the hosts of the image's own archives: those
 * are the operator's choice, so their addresses may be private ones. */
static int expand_network(struct run *run, struct err *err)
{
	const json_t *allow = run->t.allow;
	json_t *v;
	size_t i, k;
	int r = 0;

	json_array_foreach(allow, i, v)
	{
		auto_json json_t *texts = NULL, *hosts = NULL;
		json_t *h;

		if (!str_eq(json_string_value(v), "apt")) {
			r = strv_push(&run->allow, json_string_value(v));
		} else {
			r = platform_sources(json_at(run->env->config, "platform.sources"), SUITE,
					     &texts, &hosts, err);
			json_array_foreach(hosts, k, h)
			{
				if (r == 0)
					r = strv_push(&run->allow, json_string_value(h));
				if (r == 0)
					r = strv_push(&run->trusted, json_string_value(h));
			}
		}
		if (r < 0)
			return err_ctx(err, r, "properties.kiln.network.allow[%zu]", i);
	}
	run->net = (struct executor_net){
		.enabled = json_array_size(allow) > 0,
		.allow = (const char *const *) run->allow,
		.trusted = (const char *const *) run->trusted,
	};
	return 0;
}

static int prepare_list(struct run *run, const struct template_step *steps, size_t n,
			struct step_input **ret, struct err *err)
{
	*ret = calloc(n + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r;

		(*ret)[i].step = &steps[i];
		r = steps[i].kind->prepare(&run->fetcher, &(*ret)[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Before the first key is made, like everything else from outside. */
static int ask_archives(struct run *run, struct err *err)
{
	auto_free char *dir = path_join(run->env->data_dir, "cache/archive");
	const struct archive_env env = {
		.dir = dir,
		.sources = json_at(run->env->config, "platform.sources"),
		.suite = SUITE,
		.cancel = run->env->cancel,
		.events = run->env->events,
	};

	if (!run->t.follow_archive)
		return 0;
	return dir ? archive_state(&env, &run->archive, err) : -ENOMEM;
}

int run_prepare(struct run *run, struct err *err)
{
	int r = prepare_list(run, run->t.steps, run->t.n_steps, &run->inputs, err);

	if (r == 0)
		r = prepare_list(run, run->t.checks, run->t.n_checks, &run->checks, err);
	if (r == 0)
		r = ask_archives(run, err);
	return r == 0 ? expand_network(run, err) : r;
}

static int resolve_platform(struct run *run, struct err *err)
{
	const json_t *s = run->t.source;
	const char *publisher = json_str_at(s, "publisher"), *offer = json_str_at(s, "offer");
	const char *sku_name = json_str_at(s, "sku"), *version = json_str_at(s, "version");
	const struct platform_sku *sku = platform_find(publisher, offer, sku_name);
	struct platform_image img = {0};
	struct platform_env env = {
		.store = run->env->store,
		.region = run->env->home,
		.journal = run->env->journal,
		.lock_dir = run->env->data_dir,
		.sources = json_at(run->env->config, "platform.sources"),
		.cancel = run->env->cancel,
		.events = run->env->events,
	};
	bool made;
	int r;

	if (!sku) {
		r = template_field_error(err, "BadPIRSource", "properties.source",
					 "there is no platform image %s:%s:%s", publisher, offer,
					 sku_name);
		err_hint(err, "kiln makes Debian:debian-12:12-gen2 and Debian:debian-12:12");
		return r;
	}
	r = run_need_scratch(run, err);
	if (r < 0)
		return r;
	env.scratch = run->scratch;
	r = platform_ensure(&env, sku, version, &img, &made, err);
	if (r < 0) {
		err_arm(err, "BadPIRSource");
		return r;
	}
	run->source.disk = img.disk;
	run->source.region = run->env->home;
	run->source.facts = json_pack(
		"{s:s, s:o, s:s, s:s, s:s, s:s, s:s, s:b, s:O?}", "kind", "PlatformImage", "id",
		json_strf("%s:%s:%s:%s", sku->publisher, sku->offer, sku->sku, img.version),
		"exactVersion", img.version, "osType", sku->os_type, "osState", "Generalized",
		"hyperVGeneration", sku->hyperv_generation, "architecture", sku->architecture,
		"trusted", 1, "platform", img.facts);
	platform_image_done(&img);
	return run->source.facts ? 0 : -ENOMEM;
}

/* A source that is kept elsewhere (another deduplication domain) is brought to where the run works,
 * and stays there as long as the run. */
static int bring_source(struct run *run, struct err *err)
{
	const struct bake_env *env = run->env;
	struct progress *p;
	struct store_stats stats;
	int r;

	if (run->source.region == env->region || !run->session)
		return 0;
	p = progress_to_events(env->events);
	r = store_replicate(run->session, run->source.region, env->region, &run->source.disk, 0,
			    env->cancel, p, &stats, err);
	progress_free(p);
	return r < 0 ? r
		     : store_root_add(run->session, env->region, "session", run->o->run_id,
				      &run->source.disk, err);
}

int run_resolve(struct run *run, struct err *err)
{
	int r;

	if (str_eq(json_str_at(run->t.source, "type"), "PlatformImage"))
		r = resolve_platform(run, err);
	else
		r = run->host->resolve(run->host->arg, run->t.source, &run->source, err);
	if (r == 0)
		r = bring_source(run, err);
	if (r < 0)
		return err_ctx(err, r, "source");
	run->disk = run->source.disk;
	if (run->t.disk_bytes && run->t.disk_bytes < run->disk.size_bytes)
		return template_field_error(err, NULL, "properties.vmProfile.osDiskSizeGB",
					    "a disk can only grow; the source has %" PRIu64
					    " bytes",
					    run->disk.size_bytes);
	return run_choose_executor(run, err);
}

int run_open(struct run *run, const struct bake_env *env, const struct bake_host *host,
	     const struct bake_options *o, const json_t *tmpl, struct err *err)
{
	size_t at;
	int r;

	*run = (struct run){.env = env, .host = host, .o = o, .start_ns = time_mono_ns()};
	if (geteuid() != 0) {
		err_set(err, -EPERM,
			"baking needs root: only root may attach a disk, keep files of any owner "
			"on it and map them for a step");
		err_hint(err, "run it as root, or log in to a server that does (kiln login)");
		return -EPERM;
	}
	r = template_parse(tmpl, &run->t, err);
	if (r == 0 && o->until)
		r = template_find_step(&run->t, o->until, &at, err);
	if (r == 0 && o->from)
		r = template_find_step(&run->t, o->from, &at, err);
	for (size_t i = 0; r == 0 && i < json_array_size(o->refresh); i++)
		r = template_find_step(&run->t, json_string_value(json_array_get(o->refresh, i)),
				       &at, err);
	if (r < 0)
		return r;
	run->failures = BUF_INIT(1 << 20);
	run->envp = key_env(run->t.environment);
	run->fetcher = (struct fetcher){
		.dir = path_join(env->data_dir, "cache/files"),
		.journal = env->journal,
		.config = env->config,
		.local_files = o->local_files,
		.cancel = env->cancel,
		.events = env->events,
	};
	if (!run->envp || !run->fetcher.dir)
		return -ENOMEM;
	for (const struct stage *s = bake_stages; s->name; s++)
		run->n_total += s->count(run);
	return 0;
}

static void inputs_free(struct step_input *in, size_t n)
{
	for (size_t i = 0; in && i < n; i++)
		step_input_done(&in[i]);
	free(in);
}

void run_close(struct run *run)
{
	struct err ignored = ERR_INIT;

	run_stop_executor(run);
	free((char *) run->executor_env.console_log);
	inputs_free(run->inputs, run->t.n_steps);
	inputs_free(run->checks, run->t.n_checks);
	if (run->scratch_entry)
		(void) journal_undo(run->scratch_entry, &ignored);
	store_session_end(run->session);
	for (size_t i = 0; i < RUN_TAIL_LINES; i++)
		free(run->tail.line[i]);
	if (run->log)
		(void) fclose(run->log);
	json_decref(run->source.facts);
	json_decref(run->times);
	json_decref(run->left);
	json_decref(run->record);
	json_decref(run->archive);
	strv_free(run->envp);
	strv_free(run->allow);
	strv_free(run->trusted);
	free((char *) run->fetcher.dir);
	free(run->scratch);
	free(run->dir);
	buf_done(&run->failures);
	err_done(&run->check_err);
	err_done(&ignored);
	template_done(&run->t);
	*run = (struct run){0};
}
