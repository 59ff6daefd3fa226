/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/run.h"
#include "base/mem.h"

static int plan_event(struct run *run)
{
	json_t *names = json_array();

	for (size_t i = 0; names && i < run->t.n_steps; i++) {
		if (json_array_append_new(names, json_string(run->t.steps[i].name)) < 0)
			break;
	}
	event_emit(run->env->events,
		   json_pack("{s:s, s:s, s:s, s:s, s:I, s:o?}", "type", "run.start", "runId",
			     run->o->run_id, "templateId", run->o->template_id, "template",
			     run->o->template_name, "total", (json_int_t) run->n_total,
			     "customizers", names));
	return 0;
}

static int run_stages(struct run *run, struct err *err)
{
	int r = store_session_begin(run->env->store, run->o->template_name, &run->session, err);

	if (r == 0)
		r = record_open(run, err);
	if (r == 0)
		r = plan_event(run);
	for (const struct stage *s = bake_stages; r == 0 && s->name && !run->stopped; s++) {
		r = cancel_check(run->env->cancel);
		if (r < 0)
			err_set(err, r, "stopped before %s", s->name);
		else if (s->count(run) > 0)
			r = s->run(run, err);
	}
	if (r == 0 && run->check_err.code) {
		r = run->check_err.code;
		err_move(err, &run->check_err);
		run->check_err.code = r;
	}
	return r;
}

/* What a person or a time limit stopped says so, whatever the interrupted call reported. */
static int stop_reason(struct run *run, int code, struct err *err)
{
	int reason = cancel_check(run->env->cancel);

	if (code == 0 || reason == 0)
		return code;
	if (reason == -ETIME) {
		err_set(err, -ETIME, "the bake took longer than buildTimeoutInMinutes (%d minutes)",
			(int) (run->t.timeout_s / 60));
		err_target(err, "properties.buildTimeoutInMinutes");
		err_hint(err, "finished steps are kept: run it again to go on, or raise the limit");
		return -ETIME;
	}
	err_set(err, reason, "cancelled");
	err_hint(err, "finished steps are kept: run it again to go on");
	return reason;
}

int bake_run(const struct bake_env *env, const struct bake_host *host, const struct bake_options *o,
	     const json_t *tmpl, json_t **ret_run, struct err *err)
{
	struct run run;
	struct err own = ERR_INIT, *e = err ? err : &own;
	struct watchdog *dog = NULL;
	int r = run_open(&run, env, host, o, tmpl, e);

	if (r == 0)
		r = watchdog_start(run.t.timeout_s, env->cancel, &dog, e);
	if (r == 0)
		r = stop_reason(&run, run_stages(&run, e), e);
	watchdog_stop(dog);
	if (r < 0 && e->code == 0)
		err_set(e, r, "%s", strerror(-r));
	record_end(&run, r, e);
	*ret_run = json_incref(run.record);
	run_close(&run);
	err_done(&own);
	return r;
}
