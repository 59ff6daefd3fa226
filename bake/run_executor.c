/* SPDX-License-Identifier: Apache-2.0 */
/* Which executor a run's steps have, and starting and ending it. */
#include "bake/run.h"
#include "base/file.h"
#include "base/mem.h"

bool run_windows(const struct run *run)
{
	return str_eq_nocase(json_str_at(run->source.facts, "osType") ?: "", "Windows");
}

bool run_uefi(const struct run *run)
{
	return str_eq(json_str_at(run->source.facts, "hyperVGeneration"), "V2");
}

static bool trusted(const struct run *run)
{
	return json_bool_at(run->source.facts, "trusted", false);
}

static const struct template_step *step_with(const struct run *run, unsigned flag)
{
	for (size_t i = 0; i < run->t.n_steps; i++)
		if (run->t.steps[i].kind->flags & flag)
			return &run->t.steps[i];
	return NULL;
}

static int choose_container(struct run *run, struct err *err)
{
	const struct template_step *step = step_with(run, STEP_GUEST);

	if (!trusted(run)) {
		err_set(err, -EACCES,
			"the source descends from a foreign image, and the container executor is "
			"no boundary against a hostile file system");
		err_hint(err, "set properties.kiln.executor to \"vm\", or leave it out");
		return -EACCES;
	}
	if (run_windows(run) || step)
		return template_field_error(
			err, NULL, "properties.kiln.executor",
			"%s needs a running system; expected \"vm\" or \"auto\"",
			step ? step->kind->name : "Windows");
	run->executor_ops = &executor_container;
	run->executor_why = "the template says so";
	return 0;
}

int run_choose_executor(struct run *run, struct err *err)
{
	const struct template_step *step = step_with(run, STEP_WINDOWS);

	if (step && !run_windows(run))
		return template_field_error(
			err, NULL, step->field, "a %s step needs Windows, and the source is %s",
			step->kind->name, json_str_at(run->source.facts, "osType") ?: "not");
	if (str_eq(run->t.executor, "container"))
		return choose_container(run, err);
	run->executor_ops = &executor_vm;
	if (str_eq(run->t.executor, "vm"))
		run->executor_why = "the template says so";
	else if (run_windows(run))
		run->executor_why = "the source is Windows";
	else if (!trusted(run))
		run->executor_why = "the source descends from a foreign image";
	else if (step_with(run, STEP_GUEST))
		run->executor_why = "a step needs a running system";
	else
		run->executor_ops = &executor_container;
	if (run->executor_ops == &executor_container)
		run->executor_why = "every ancestor of the source was made here";
	return 0;
}

static bool any_network(const struct run *run)
{
	for (size_t i = 0; i < run->t.n_steps; i++)
		if (run->t.steps[i].network)
			return true;
	return false;
}

static int start(struct run *run, const struct executor_ops *ops, struct err *err)
{
	struct executor_env *env = &run->executor_env;
	uint64_t grow = run->t.disk_bytes > run->disk.size_bytes ? run->t.disk_bytes : 0;
	auto_free char *console = path_join(run->dir, "customize-console.log");
	int r;

	if (run->executor && run->executor->ops == ops)
		return 0;
	run_stop_executor(run);
	free((char *) env->console_log);
	*env = (struct executor_env){
		.store = run->env->store,
		.region = run->env->region,
		.session = run->session,
		.journal = run->env->journal,
		.run_dir = run->env->run_dir,
		.cancel = run->env->cancel,
		.events = run->env->events,
		.memory_bytes = run->t.memory_bytes,
		.vmhost = run->env->vmhost,
		.arg = run->env->arg,
		.untrusted = !trusted(run),
		.uefi = run_uefi(run),
		.windows = run_windows(run),
		.network = any_network(run),
		.console_log = take_ptr(console),
	};
	r = env->console_log ? run_need_scratch(run, err) : -ENOMEM;
	if (r == 0)
		r = run->env->nbd(run->env->arg, &env->nbd, err);
	if (r < 0)
		return r;
	env->scratch = run->scratch;
	r = ops->start(env, &run->disk, grow, &run->executor, err);
	return r < 0 ? err_ctx(err, r, "executor %s", ops->name) : 0;
}

int run_need_executor(struct run *run, struct err *err)
{
	return start(run, run->executor_ops, err);
}

int run_need_offline(struct run *run, struct err *err)
{
	return start(run, &executor_container, err);
}

void run_stop_executor(struct run *run)
{
	if (run->executor)
		run->executor->ops->stop(run->executor);
	run->executor = NULL;
}
