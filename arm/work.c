/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers. A job runs in the thread that leased it; a second thread beside it renews the lease,
 * stores the percentage, and looks once a second whether the operation was cancelled.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "arm/grants.h"
#include "arm/worker.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define TICK_MS 1000
#define WAIT_MS 250 /* between looks at a job that another worker has */

/* ---- The second thread -------------------------------------------------------------------- */

static int renew(struct worker *w)
{
	int64_t percent = atomic_load(&w->percent);
	bool cancel = false;
	int r = job_renew(w->arm->config.meta, w->op.id, w->row.token, ARM_LEASE_US, percent,
			  &cancel, NULL);

	if (r == -ESTALE)
		cancel_set(&w->cancel, -ESTALE);
	else if (r >= 0 && cancel)
		cancel_set(&w->cancel, -ECANCELED);
	/* Any other failure passes or ends the lease, which the next look reports as stale. */
	return r;
}

static int look(struct worker *w)
{
	auto_operation struct operation o = {0};
	int r = operation_get(w->arm->config.meta, w->op.id, &o, NULL);

	if (r >= 0 && o.cancel)
		cancel_set(&w->cancel, -ECANCELED);
	return r;
}

static void *beat(void *arg)
{
	struct worker *w = arg;
	struct pollfd fds[] = {
		{.fd = w->stop_fd, .events = POLLIN},
		{.fd = w->outer ? w->outer->event_fd : -1, .events = POLLIN},
	};
	int64_t shown = 0, renewed = time_mono_ns();

	for (;;) {
		int64_t percent;
		int n = poll(fds, ARRAY_SIZE(fds), TICK_MS);

		if (fds[0].revents)
			return NULL;
		if (n > 0 && fds[1].revents) {
			cancel_set(&w->cancel, cancel_check(w->outer) ?: -ECANCELED);
			fds[1].fd = -1; /* heard; keep the lease until the job has stopped */
			fds[1].revents = 0;
		}
		percent = atomic_load(&w->percent);
		if (percent != shown || time_mono_ns() - renewed > ARM_LEASE_US * 1000 / 3) {
			if (renew(w) >= 0) {
				shown = percent;
				renewed = time_mono_ns();
			}
		} else {
			(void) look(w);
		}
	}
}

static int beat_start(struct worker *w, struct err *err)
{
	int r;

	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (w->stop_fd < 0)
		return err_set(err, -errno, "eventfd: %s", strerrordesc_np(errno));
	r = pthread_create(&w->thread, NULL, beat, w);
	if (r != 0) {
		closep(&w->stop_fd);
		w->stop_fd = -1;
		return err_set(err, -r, "cannot start a thread: %s", strerrordesc_np(r));
	}
	return 0;
}

static void beat_stop(struct worker *w)
{
	const uint64_t one = 1;

	if (w->stop_fd < 0)
		return;
	(void) !write(w->stop_fd, &one, sizeof(one)); /* an eventfd takes 1 */
	(void) pthread_join(w->thread, NULL);
	closep(&w->stop_fd);
	w->stop_fd = -1;
}

/* ---- The end of a job --------------------------------------------------------------------- */

static int end_resource(struct worker *w, enum operation_state state, struct err *err)
{
	static const char *const states[] = {
		[OPERATION_SUCCEEDED] = "Succeeded",
		[OPERATION_FAILED] = "Failed",
		[OPERATION_CANCELED] = "Canceled",
	};
	auto_resource struct resource res = {0};
	struct meta *m = w->arm->config.meta;
	int r;

	if (str_eq(w->op.method, "DELETE") && state == OPERATION_SUCCEEDED)
		return worker_remove(w, err);
	if (!w->kind || !w->kind->state || w->type->stateless)
		return 0;
	r = resource_get(m, w->op.key, &res, err);
	if (r == -ENOENT) {
		err_done(err);
		return 0; /* its job removed it */
	}
	if (r >= 0)
		r = state_set(res.doc, states[state]);
	return r < 0 ? r : resource_update(m, &res, true, err);
}

static int audit_end(struct worker *w, enum operation_state state, const char *code,
		     struct err *err)
{
	auto_free char *action = strf("%s/%s", w->type ? w->type->name : w->op.type, w->op.kind);
	const struct audit_event e = {
		.who = &w->who,
		.action = action,
		.id = w->op.resource,
		.method = w->op.method,
		.result = state == OPERATION_SUCCEEDED  ? "Success"
			  : state == OPERATION_CANCELED ? "Canceled"
							: "Failed",
		.code = code,
		.operation_id = w->op.id,
	};

	return action ? audit_event(w->arm, &e, err) : err_set(err, -ENOMEM, "out of memory");
}

/* What is stored of a failure: for clients, and the host's own words beside it. */
static json_t *failure_json(const struct worker *w, const struct err *failure)
{
	json_t *j = error_json(failure, false, w->op.id);

	if (!j || json_object_set_new(j, "errno", json_integer(failure->code)) < 0)
		goto fail;
	if (error_of(failure).internal &&
	    json_object_set_new(j, "detail",
				json_text(err_str(failure), strlen(err_str(failure)))) < 0)
		goto fail;
	return j;
fail:
	json_decref(j);
	return NULL;
}

static int end_all(struct worker *w, enum operation_state state, const struct err *failure,
		   struct err *err)
{
	struct meta *m = w->arm->config.meta;
	auto_json json_t *error = NULL;
	int r = job_fence(m, w->op.id, w->row.token, err);

	if (r >= 0 && failure) {
		error = failure_json(w, failure);
		r = error ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	if (r >= 0)
		r = end_resource(w, state, err);
	if (r >= 0)
		r = operation_end(m, w->op.id, state, error,
				  state == OPERATION_SUCCEEDED ? w->result : NULL, err);
	if (r >= 0)
		r = audit_end(w, state, failure ? error_of(failure).code : NULL, err);
	if (r >= 0)
		r = job_remove(m, w->op.id, w->row.token, err);
	return r;
}

static int end_job(struct worker *w, int result, const struct err *failure, struct err *err)
{
	struct meta *m = w->arm->config.meta;
	enum operation_state state = result >= 0 ? OPERATION_SUCCEEDED
				     : result == -ECANCELED && cancel_check(&w->cancel)
					     ? OPERATION_CANCELED
					     : OPERATION_FAILED;
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	r = end_all(w, state, result < 0 ? failure : NULL, err);
	if (r < 0) {
		meta_rollback(m);
		return r;
	}
	r = meta_commit(m, err);
	grants_stale(w->arm);
	return r;
}

/* ---- One job ------------------------------------------------------------------------------ */

static int call_job(struct worker *w, struct err *err)
{
	struct arm_job job = {
		.arm = w->arm,
		.app = w->arm->config.app,
		.operation_id = w->op.id,
		.id = &w->id,
		.params = w->row.params,
		.doc = w->res.doc,
		.checkpoint = w->row.checkpoint,
		.who = &w->who,
		.cancel = &w->cancel,
		.events = w->events,
		.priv = &(struct arm_job_private){.worker = w},
	};
	int r;

	if (w->op.cancel)
		cancel_set(&w->cancel, -ECANCELED);
	if (w->row.token > ARM_CLAIMS_MAX)
		return err_set(err, -EIO, "given up after %d attempts whose worker died",
			       ARM_CLAIMS_MAX);
	r = cancel_check(&w->cancel);
	/* One that is still in the queue leaves no trace beside the one that runs. */
	if (r < 0 && (w->op.queue > 0 || !(w->kind && w->kind->sees_cancel)))
		return err_set(err, r, "The operation was canceled before it began.");
	if (!w->kind)
		return err_set(err, -ENOSYS, "%s has no job \"%s\" in this program", w->op.type,
			       w->op.kind);
	r = w->kind->run(&job, err);
	if (r < 0 && err->code == 0)
		(void) err_set(err, r, "%s", strerrordesc_np(-r));
	return r > 0 ? 0 : r;
}

/* *@ret_ended: the operation's end was recorded, and what is returned is the job's own result. */
static int run_leased(struct worker *w, bool *ret_ended, struct err *err)
{
	struct err end = ERR_INIT;
	int r = beat_start(w, err), reason, e;

	if (r < 0)
		return r;
	r = call_job(w, err);
	beat_stop(w);
	reason = cancel_check(&w->cancel);
	if (r < 0 && (reason == -ESTALE || reason == -ESHUTDOWN))
		return err_set(err, reason,
			       reason == -ESTALE ? "another worker has taken over operation %s"
						 : "operation %s was handed back",
			       w->op.id);
	/* The database went away or was locked too long: no fault of the job, which runs again. */
	if (r == -EBUSY && str_eq(err->arm, "ServerBusy") && w->row.token <= ARM_CLAIMS_MAX)
		return -EAGAIN;
	e = end_job(w, r, err, &end);
	*ret_ended = e >= 0;
	if (e < 0) {
		err_move(err, &end);
		return e;
	}
	err_done(&end);
	return r;
}

/* A job whose end was not recorded is handed back, due at once for any worker. */
static int lease_and_run(struct arm *arm, const char *operation_id, const struct event_sink *events,
			 struct cancel *cancel, bool *ret_ended, int64_t *ret_ahead,
			 struct err *err)
{
	const struct job_claim claim = {
		.id = operation_id,
		.owner = arm->owner,
		.lease_us = ARM_LEASE_US,
		.alive = owner_alive,
		.same_host = owner_here,
		.alive_arg = arm->owner,
		.budget = arm->config.budget,
		.ret_ahead = ret_ahead,
	};
	struct worker w = {.arm = arm,
			   .events = events,
			   .outer = cancel,
			   .stop_fd = -1,
			   .cancel = {.event_fd = -1}};
	int r = cancel_init(&w.cancel);

	*ret_ended = false;
	if (r < 0)
		return err_set(err, r, "cannot make a cancel descriptor");
	r = job_lease(arm->config.meta, &claim, &w.row, err);
	if (r >= 0) {
		r = worker_load(&w, err);
		if (r >= 0)
			r = run_leased(&w, ret_ended, err);
		/* Fails when the lease was lost, or in the same way as what kept the end from
		 * being recorded; then the lease runs out. */
		if (!*ret_ended)
			(void) job_release(arm->config.meta, w.row.id, w.row.token, NULL);
	}
	worker_done(&w);
	return r;
}

/* ---- arm_work() --------------------------------------------------------------------------- */

static int finished(struct arm *arm, const char *operation_id, bool *ret, struct err *err)
{
	auto_operation struct operation o = {0};
	int r = operation_get(arm->config.meta, operation_id, &o, err);

	*ret = r < 0 || o.state != OPERATION_RUNNING;
	return r < 0 ? r : operation_failure(&o, err);
}

static void wait_or_forward(struct arm *arm, const char *operation_id, struct cancel *cancel,
			    bool *forwarded)
{
	struct pollfd fd = {.fd = cancel && !*forwarded ? cancel->event_fd : -1, .events = POLLIN};

	if (poll(&fd, 1, WAIT_MS) > 0) {
		(void) operation_cancel(arm->config.meta, operation_id, NULL); /* may have ended */
		*forwarded = true;
	}
}

/* A heavy job that waits for its turn. */
static void tell_place(const struct event_sink *events, int64_t ahead, int64_t *told)
{
	if (ahead >= 0 && ahead != *told)
		event_emit(events,
			   json_pack("{s:s, s:I}", "type", "queue", "ahead", (json_int_t) ahead));
	*told = ahead;
}

/* What is in front of an operation in its resource's queue may be nobody's: then it is done here.
 */
static int work_ahead(struct arm *arm, const char *operation_id, const struct event_sink *events,
		      struct cancel *cancel)
{
	auto_operation struct operation o = {0}, first = {0};
	auto_err struct err ignored = ERR_INIT; /* its failure is its operation's */
	bool ended = false;

	if (operation_get(arm->config.meta, operation_id, &o, NULL) < 0 || o.queue == 0 ||
	    operation_active(arm->config.meta, o.key, &first, NULL) < 0)
		return 0;
	(void) lease_and_run(arm, first.id, events, cancel, &ended, NULL, &ignored);
	return ended;
}

int work_one(struct arm *arm, const char *operation_id, const struct event_sink *events,
	     struct cancel *cancel, struct err *err)
{
	bool forwarded = false;
	int64_t ahead = -1, told = -1;

	for (;;) {
		bool ended, done;
		int r = lease_and_run(arm, operation_id, events, cancel, &ended, &ahead, err);

		if (r != -EAGAIN && r != -ESTALE)
			return r;
		err_done(err);
		r = finished(arm, operation_id, &done, err);
		if (r < 0 || done)
			return r;
		if (cancel_check(cancel) == -ESHUTDOWN)
			return err_set(err, -ESHUTDOWN, "stopped waiting for operation %s",
				       operation_id);
		tell_place(events, ahead, &told);
		if (work_ahead(arm, operation_id, events, cancel) > 0)
			continue;
		wait_or_forward(arm, operation_id, cancel, &forwarded);
	}
}

int arm_work(struct arm *arm, const char *operation_id, const struct event_sink *events,
	     struct cancel *cancel, struct err *err)
{
	struct err own = ERR_INIT;
	int r;

	if (operation_id) {
		r = work_one(arm, operation_id, events, cancel, &own);
		err_move(err, &own);
		return r;
	}
	for (;;) {
		bool ended;

		if (cancel_check(cancel) < 0)
			return err_set(err, cancel_check(cancel), "stopped");
		r = lease_and_run(arm, NULL, events, cancel, &ended, NULL, &own);
		if (r == -EAGAIN && !ended)
			r = 0; /* nothing is due */
		else if (ended || r == -ESTALE)
			r = 1; /* a job's failure is its operation's; on to the next */
		if (r <= 0)
			break;
		err_done(&own);
	}
	if (r < 0)
		err_move(err, &own);
	err_done(&own);
	return r;
}

int arm_job_counts(struct arm *arm, uint64_t *ret_queued, uint64_t *ret_running, struct err *err)
{
	return job_counts(arm->config.meta, ret_queued, ret_running, err);
}

int arm_cancel(struct arm *arm, const char *operation_id, struct err *err)
{
	return operation_cancel(arm->config.meta, operation_id, err);
}

int arm_running(struct arm *arm, const char *resource_id, char ret[UUID_STR_LEN], struct err *err)
{
	auto_operation struct operation o = {0};
	auto_arm_id struct arm_id id = {0};
	int r = arm_id_parse(resource_id, &id, err);

	if (r >= 0)
		r = operation_active(arm->config.meta, id.key, &o, err);
	if (r == -ENOENT) {
		err_done(err);
		ret[0] = '\0';
		return 0;
	}
	if (r >= 0)
		(void) snprintf(ret, UUID_STR_LEN, "%s", o.id);
	return r;
}
