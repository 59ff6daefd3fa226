/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arm/worker.h"
#include "base/file.h"
#include "meta/audit.h"
#include "meta/jobs.h"

#define BOX      BOXES "/b1?" V
#define SLOW_BOX "{\"location\":\"eastus\",\"properties\":{\"slow\":true}}"

extern char **environ;

static struct arm_response start(struct world *w)
{
	struct arm_response res = ask(w, "PUT", BOX, SLOW_BOX);

	assert_int_equal(res.status, 201);
	assert_int_equal(strlen(res.operation_id), UUID_STR_LEN - 1);
	return res;
}

static void assert_state(struct world *w, const char *state)
{
	auto_json json_t *j = expect(w, "GET", BOX, NULL, 200, NULL);

	assert_string_equal(json_str_at(j, "properties.provisioningState"), state);
}

static void assert_status(struct world *w, const char *url, const char *status)
{
	auto_json json_t *j = expect(w, "GET", url, NULL, 200, NULL);

	assert_string_equal(json_str_at(j, "status"), status);
}

static void operations_as_clients_poll(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w), poll;

	assert_string_equal(json_str_at(res.body, "properties.provisioningState"), "Creating");
	assert_null(json_at(res.body, "properties.slow")); /* write-only */
	assert_true(str_starts(res.async_operation,
			       "https://kiln.test:8443" SUB
			       "/providers/Test.Kiln/locations/eastus/boxOperations/"));
	assert_true(str_ends(res.async_operation, "?" V));
	assert_null(res.location);
	assert_int_equal(res.retry_after_s, 1);
	poll = ask(w, "GET", res.async_operation, NULL);
	assert_int_equal(poll.status, 200);
	assert_int_equal(poll.retry_after_s, 1);
	assert_string_equal(json_str_at(poll.body, "status"), "InProgress");
	assert_non_null(json_str_at(poll.body, "startTime"));
	assert_null(json_at(poll.body, "endTime"));
	arm_response_done(&poll);

	/* one operation at a time */
	expect_drop(w, "PUT", BOX, SLOW_BOX, 409, "AnotherOperationInProgress");
	expect_drop(w, "DELETE", BOX, NULL, 409, "AnotherOperationInProgress");
	expect_drop(w, "POST", BOXES "/b1/run?" V, NULL, 409, "AnotherOperationInProgress");

	finish(w, &res);
	assert_int_equal(w->job_calls, 1);
	poll = ask(w, "GET", res.async_operation, NULL);
	assert_string_equal(json_str_at(poll.body, "status"), "Succeeded");
	assert_non_null(json_str_at(poll.body, "endTime"));
	assert_true(json_real_value(json_at(poll.body, "percentComplete")) == 100.0);
	assert_int_equal(poll.retry_after_s, 0);
	arm_response_done(&poll);
	assert_state(w, "Succeeded");
	arm_response_done(&res);

	/* an operation of another subscription, or none */
	expect_drop(w, "GET",
		    SUB "/providers/Test.Kiln/locations/eastus/boxOperations/"
			"00000000-0000-0000-0000-000000000000?" V,
		    NULL, 404, "NotFound");
}

static int give_result(struct arm_job *job, struct err *err)
{
	assert_string_equal(json_str_at(job->params, "why"), "asked");
	arm_job_result(job, json_pack("{s:i}", "answer", 42));
	return 0;
}

static void location_of_a_post(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL, *k = NULL;
	struct arm_response res, poll;

	expect_drop(w, "PUT", BOX, "{\"location\":\"eastus\"}", 201, NULL);
	w->job = give_result;
	res = ask(w, "POST", BOXES "/b1/run?" V, NULL);
	assert_int_equal(res.status, 202);
	assert_null(res.body);
	assert_non_null(res.async_operation);
	poll = ask(w, "GET", res.location, NULL);
	assert_int_equal(poll.status, 202);
	assert_string_equal(poll.location, res.location);
	assert_int_equal(poll.retry_after_s, 1);
	arm_response_done(&poll);
	finish(w, &res);
	j = expect(w, "GET", res.location, NULL, 200, NULL);
	assert_int_equal(json_int_at(j, "answer", 0), 42);
	k = expect(w, "GET", res.async_operation, NULL, 200, NULL);
	assert_int_equal(json_int_at(k, "properties.output.answer", 0), 42);
	assert_state(w, "Succeeded"); /* "run" does not touch it */
	arm_response_done(&res);
}

static int fail_job(struct arm_job *job, struct err *err)
{
	(void) err_set(err, -EINVAL, "step 3 failed");
	err_arm(err, "CustomizerFailed");
	err_target(err, "properties.customize[2]");
	return -EINVAL;
}

static int fail_inside(struct arm_job *job, struct err *err)
{
	return err_set(err, -EIO, "read /var/lib/kiln/x: Input/output error");
}

static void failures(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL, *k = NULL;
	auto_err struct err err = ERR_INIT;
	struct arm_response res = start(w);

	w->job = fail_job;
	assert_int_equal(arm_work(w->arm, res.operation_id, NULL, NULL, &err), -EINVAL);
	assert_string_equal(err_str(&err), "step 3 failed");
	j = expect(w, "GET", res.async_operation, NULL, 200, NULL);
	assert_string_equal(json_str_at(j, "status"), "Failed");
	assert_string_equal(json_str_at(j, "error.code"), "CustomizerFailed");
	assert_string_equal(json_str_at(j, "error.target"), "properties.customize[2]");
	assert_null(json_at(j, "error.errno"));
	assert_state(w, "Failed");
	/* whoever waits for it later hears the same */
	assert_int_equal(arm_work(w->arm, res.operation_id, NULL, NULL, &err), -EINVAL);
	assert_string_equal(err.arm, "CustomizerFailed");
	arm_response_done(&res);

	/* internal words are stored apart */
	res = ask(w, "PUT", BOX, SLOW_BOX);
	assert_int_equal(res.status, 200);
	w->job = fail_inside;
	assert_int_equal(arm_work(w->arm, NULL, NULL, NULL, &err), 0);
	k = expect(w, "GET", res.async_operation, NULL, 200, NULL);
	assert_string_equal(json_str_at(k, "error.code"), "InternalServerError");
	assert_non_null(strstr(json_str_at(k, "error.message"), "/var/lib")); /* to the owner */
	assert_null(json_at(k, "error.detail"));
	arm_response_done(&res);
}

static void deletes(void **state)
{
	struct world *w = *state;
	struct arm_response res;

	expect_drop(w, "PUT", BOX,
		    "{\"location\":\"eastus\",\"properties\":{\"description\":\"keep\"}}", 201,
		    NULL);
	expect_drop(w, "DELETE", BOX, NULL, 409, "OperationNotAllowed");
	expect_drop(w, "PATCH", BOX, "{\"properties\":{\"description\":\"slow\"}}", 200, NULL);
	res = ask(w, "DELETE", BOX, NULL);
	assert_int_equal(res.status, 202);
	assert_non_null(res.location);
	assert_non_null(res.async_operation);
	assert_state(w, "Deleting");
	expect_drop(w, "PUT", BOXES "/b1/items/1.0.0?" V, "{}", 409, "Conflict");
	finish(w, &res);
	expect_drop(w, "GET", BOX, NULL, 404, NULL);
	expect_drop(w, "GET", res.location, NULL, 200, NULL);
	assert_status(w, res.async_operation, "Succeeded");
	arm_response_done(&res);
}

static void group_delete_takes_all(void **state)
{
	struct world *w = *state;
	struct arm_response res;

	expect_drop(w, "PUT", BOX,
		    "{\"location\":\"eastus\",\"properties\":{\"description\":\"slow\"}}", 201,
		    NULL);
	expect_drop(w, "PUT", BOXES "/b1/items/1.0.0?" V, "{}", 201, NULL);
	expect_drop(w, "PUT", BOXES "/b-2?" V, "{\"location\":\"eastus\"}", 201, NULL);
	expect_drop(w, "PUT", SUB "/resourceGroups/rg2?" V, "{\"location\":\"eastus\"}", 201, NULL);
	res = ask(w, "DELETE", GROUP "?" V, NULL);
	assert_int_equal(res.status, 202);
	assert_true(str_starts(res.location, "https://kiln.test:8443" SUB "/operationresults/"));
	expect_drop(w, "PUT", BOXES "/b3?" V, "{\"location\":\"eastus\"}", 409,
		    "ResourceGroupBeingDeleted");
	finish(w, &res);
	assert_int_equal(w->job_calls, 1); /* the slow box had an operation of its own */
	expect_drop(w, "GET", GROUP "?" V, NULL, 404, "ResourceGroupNotFound");
	expect_drop(w, "HEAD", SUB "/resourceGroups/rg2?" V, NULL, 204, NULL);
	arm_response_done(&res);
}

/* ---- Cancelling --------------------------------------------------------------------------- */

struct gate {
	int started[2]; /* pipe: the job says that it runs */
};
static struct gate gate; /* one job at a time uses it */

static int wait_for_cancel(struct arm_job *job, struct err *err)
{
	struct pollfd fd = {.fd = job->cancel->event_fd, .events = POLLIN};

	assert_int_equal(write(gate.started[1], "x", 1), 1);
	assert_int_equal(poll(&fd, 1, -1), 1);
	return err_set(err, cancel_check(job->cancel), "stopped");
}

struct running {
	struct world *w;
	const char *operation;
	struct cancel *cancel;
	int r;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct running *run = arg;

	run->r = arm_work(run->w->arm, run->operation, NULL, run->cancel, NULL);
	return NULL;
}

static void run_in_thread(struct running *run)
{
	char c;

	assert_int_equal(pipe(gate.started), 0);
	run->w->job = wait_for_cancel;
	assert_int_equal(pthread_create(&run->thread, NULL, work, run), 0);
	assert_int_equal(read(gate.started[0], &c, 1), 1);
}

static void join(struct running *run)
{
	assert_int_equal(pthread_join(run->thread, NULL), 0);
	(void) close(gate.started[0]);
	(void) close(gate.started[1]);
}

static void cancel_by_operation(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);
	struct running run = {.w = w, .operation = res.operation_id};
	char id[UUID_STR_LEN];

	run_in_thread(&run);
	assert_int_equal(arm_running(w->arm, BOXES "/B1", id, NULL), 0);
	assert_string_equal(id, res.operation_id);
	assert_int_equal(arm_cancel(w->arm, res.operation_id, NULL), 0);
	join(&run);
	assert_int_equal(run.r, -ECANCELED);
	assert_status(w, res.async_operation, "Canceled");
	assert_state(w, "Canceled");
	assert_int_equal(arm_cancel(w->arm, res.operation_id, NULL), -ENOENT);
	assert_int_equal(arm_running(w->arm, BOXES "/b1", id, NULL), 0);
	assert_string_equal(id, "");
	arm_response_done(&res);
}

static void cancel_before_it_runs(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);

	assert_int_equal(arm_cancel(w->arm, res.operation_id, NULL), 0);
	assert_int_equal(arm_work(w->arm, res.operation_id, NULL, NULL, NULL), -ECANCELED);
	assert_int_equal(w->job_calls, 0);
	assert_status(w, res.async_operation, "Canceled");
	arm_response_done(&res);
}

static void cancel_by_caller(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);
	struct cancel cancel;
	struct running run = {.w = w, .operation = res.operation_id, .cancel = &cancel};

	assert_int_equal(cancel_init(&cancel), 0);
	run_in_thread(&run);
	cancel_set(&cancel, -ECANCELED);
	join(&run);
	assert_int_equal(run.r, -ECANCELED);
	assert_status(w, res.async_operation, "Canceled");
	cancel_done(&cancel);
	arm_response_done(&res);
}

static void shutdown_hands_back(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);
	struct cancel cancel;
	struct running run = {.w = w, .operation = res.operation_id, .cancel = &cancel};

	assert_int_equal(cancel_init(&cancel), 0);
	run_in_thread(&run);
	cancel_set(&cancel, -ESHUTDOWN);
	join(&run);
	assert_int_equal(run.r, -ESHUTDOWN);
	assert_status(w, res.async_operation, "InProgress");
	w->job = NULL;
	finish(w, &res);
	assert_state(w, "Succeeded");
	cancel_done(&cancel);
	arm_response_done(&res);
}

/* ---- Leases and fencing ------------------------------------------------------------------- */

static bool never_alive(void *arg, const char *owner)
{
	return false;
}

static bool always_alive(void *arg, const char *owner)
{
	return true;
}

/* Another worker claims the job while this one runs it. */
static int lose_lease(struct arm_job *job, struct err *err)
{
	struct world *w = job->app;
	const struct job_claim thief = {.id = job->operation_id,
					.owner = "{}",
					.lease_us = 3600 * INT64_C(1000000),
					.alive = never_alive};
	auto_job_row struct job_row row = {0};
	auto_err struct err e = ERR_INIT;

	assert_int_equal(arm_job_checkpoint(job, json_pack("{s:i}", "step", 1), &e), 0);
	assert_int_equal(job_lease(w->meta, &thief, &row, &e), 0);
	assert_int_equal(row.token, job->priv->worker->row.token + 1);
	assert_int_equal(json_int_at(row.checkpoint, "step", 0), 1);

	assert_int_equal(arm_job_checkpoint(job, json_object(), &e), -ESTALE);
	assert_int_equal(arm_job_patch(job,
				       json_pack("{s:{s:s}}", "properties", "description", "stale"),
				       true, &e),
			 -ESTALE);
	assert_int_equal(arm_job_put(job, BOXES "/b1/items/9.9.9", json_object(), &e), -ESTALE);
	assert_int_equal(arm_job_drop(job, BOXES "/b1", &e), -ESTALE);
	assert_int_equal(arm_job_request(job, "PUT", BOXES "/b9?" V, json_object(), NULL, &e),
			 -ESTALE);
	/* give it back, so that the test's own worker can go on */
	assert_int_equal(job_release(w->meta, row.id, row.token, &e), 0);
	w->job = NULL;
	return 0; /* it believes that it succeeded */
}

static void stale_workers_write_nothing(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);
	auto_json json_t *j = NULL;

	w->job = lose_lease;
	finish(w, &res); /* the first run's success is refused; the second ends it */
	assert_int_equal(w->job_calls, 2);
	j = expect(w, "GET", BOX, NULL, 200, NULL);
	assert_null(json_at(j, "properties.description"));
	expect_drop(w, "GET", BOXES "/b1/items/9.9.9?" V, NULL, 404, NULL);
	expect_drop(w, "GET", BOXES "/b9?" V, NULL, 404, NULL);
	arm_response_done(&res);
}

static void leases(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);
	struct job_claim live = {
		.owner = "a", .lease_us = 3600 * INT64_C(1000000), .alive = always_alive};
	struct job_claim over = {.owner = "a", .lease_us = -1, .alive = always_alive};
	struct job_row a = {0}, b = {0};
	bool cancel = true;

	assert_int_equal(job_lease(w->meta, &live, &a, NULL), 0);
	assert_string_equal(a.id, res.operation_id);
	assert_int_equal(job_lease(w->meta, &live, &b, NULL), -EAGAIN);
	assert_int_equal(job_renew(w->meta, a.id, a.token, -1, 7, &cancel, NULL), 0);
	assert_false(cancel);
	/* the lease is over: anybody may have it, and the former holder notices */
	assert_int_equal(job_lease(w->meta, &over, &b, NULL), 0);
	assert_int_equal(job_renew(w->meta, a.id, a.token, 1, 8, &cancel, NULL), -ESTALE);
	assert_int_equal(job_release(w->meta, a.id, a.token, NULL), -ESTALE);
	assert_int_equal(job_remove(w->meta, a.id, a.token, NULL), -ESTALE);
	assert_int_equal(job_fence(w->meta, a.id, a.token, NULL), -ESTALE);
	assert_int_equal(job_fence(w->meta, b.id, b.token, NULL), 0);
	assert_int_equal(arm_cancel(w->arm, a.id, NULL), 0);
	assert_int_equal(job_renew(w->meta, b.id, b.token, -1, 9, &cancel, NULL), 0);
	assert_true(cancel);
	job_row_done(&a);
	job_row_done(&b);
	arm_response_done(&res);
}

/* ---- What jobs write ---------------------------------------------------------------------- */

static int write_all(struct arm_job *job, struct err *err)
{
	auto_json json_t *body = NULL;
	int r;

	arm_job_percent(job, 50);
	r = arm_job_patch(job, json_pack("{s:{s:s}}", "properties", "description", "patched"),
			  false, err);
	if (r >= 0)
		r = arm_job_put(job, BOXES "/B1/items/1.0.0",
				json_pack("{s:{s:s}}", "properties", "text", "one"), err);
	if (r >= 0)
		r = arm_job_put(job, BOXES "/b1/items/1.0.0",
				json_pack("{s:{s:s}}", "properties", "text", "two"), err);
	if (r >= 0)
		r = arm_job_request(
			job, "PUT", BOXES "/nested?" V,
			json_pack("{s:s, s:{s:b}}", "location", "eastus", "properties", "slow", 1),
			&body, err);
	if (r >= 0)
		assert_string_equal(json_str_at(body, "properties.provisioningState"), "Succeeded");
	if (r >= 0)
		assert_int_equal(
			arm_job_request(job, "PUT", BOXES "/bad name?" V, json_object(), NULL, err),
			-EINVAL);
	err_done(err);
	return r;
}

static int write_once(struct arm_job *job, struct err *err)
{
	/* the nested box's own job does nothing */
	return str_ends(job->id->text, "/b1") ? write_all(job, err) : 0;
}

static void jobs_write(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);
	auto_json json_t *j = NULL, *k = NULL;

	w->job = write_once;
	finish(w, &res);
	j = expect(w, "GET", BOX, NULL, 200, NULL);
	assert_string_equal(json_str_at(j, "properties.description"), "patched");
	k = expect(w, "GET", BOXES "/b1/items/1.0.0?" V, NULL, 200, NULL);
	assert_string_equal(json_str_at(k, "id"), BOXES "/b1/items/1.0.0");
	assert_string_equal(json_str_at(k, "properties.text"), "two");
	assert_int_equal(w->job_calls, 2);
	arm_response_done(&res);
}

static int patch_only(struct arm_job *job, struct err *err)
{
	return arm_job_patch(job, json_pack("{s:{s:s}}", "properties", "description", "p"), false,
			     err);
}

static void progress_does_not_raise_the_etag(void **state)
{
	struct world *w = *state;
	struct arm_response a, res, b;

	expect_drop(w, "PUT", BOX, "{\"location\":\"eastus\"}", 201, NULL);
	a = ask(w, "GET", BOX, NULL);
	res = ask(w, "POST", BOXES "/b1/run?" V, NULL);
	w->job = patch_only;
	finish(w, &res);
	b = ask(w, "GET", BOX, NULL);
	assert_string_equal(json_str_at(b.body, "properties.description"), "p");
	assert_string_equal(a.etag, b.etag);
	arm_response_done(&a);
	arm_response_done(&b);
	arm_response_done(&res);
}

/* ---- kill -9 ------------------------------------------------------------------------------ */

static int report_and_hang(struct arm_job *job, struct err *err)
{
	int r = arm_job_checkpoint(job, json_pack("{s:i}", "done", 3), err);

	if (r >= 0)
		assert_int_equal(write(STDOUT_FILENO, "x", 1), 1);
	while (r >= 0)
		(void) pause(); /* until it is killed */
	return r;
}

static int nested_and_hang(struct arm_job *job, struct err *err)
{
	if (!str_ends(job->id->text, "/b1"))
		return report_and_hang(job, err);
	return arm_job_request(
		job, "PUT", BOXES "/nested?" V,
		json_pack("{s:s, s:{s:b}}", "location", "eastus", "properties", "slow", 1), NULL,
		err);
}

/* Makes boxes and tells of each once it was acknowledged, until it is killed. */
static int put_forever(struct world *w)
{
	for (unsigned char i = 0; i < 200; i++) {
		char target[256];

		(void) snprintf(target, sizeof(target), BOXES "/k%u?" V, i);
		expect_drop(w, "PUT", target, SLOW_BOX, 201, NULL);
		if (write(STDOUT_FILENO, &i, 1) != 1)
			return 1;
	}
	return pause();
}

/* The program again, as the worker that will be killed. */
static int child_main(const char *url, const char *what)
{
	struct world *w = world_open(url);

	if (str_eq(what, "put"))
		return put_forever(w);

	w->job = str_eq(what, "nested") ? nested_and_hang : report_and_hang;
	return arm_work(w->arm, NULL, NULL, NULL, NULL);
}

/* Starts this program as @what and returns when it has written @n bytes. */
static pid_t start_child(struct world *w, const char *what, unsigned n, int *ret_fd)
{
	char exe[] = "/proc/self/exe", flag[] = "--work";
	char *argv[] = {exe, flag, w->url, (char *) (uintptr_t) what, NULL};
	posix_spawn_file_actions_t fa;
	int fds[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(posix_spawn_file_actions_init(&fa), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&fa, fds[1], STDOUT_FILENO), 0);
	assert_int_equal(posix_spawn_file_actions_addclosefrom_np(&fa, 3), 0);
	assert_int_equal(posix_spawn(&pid, argv[0], &fa, NULL, argv, environ), 0);
	(void) close(fds[1]);
	(void) posix_spawn_file_actions_destroy(&fa);
	for (; n > 0; n--)
		assert_int_equal(read(fds[0], &c, 1), 1);
	*ret_fd = fds[0];
	return pid;
}

static void kill_child(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void kill_worker(struct world *w, const char *what)
{
	int fd;
	pid_t pid = start_child(w, what, 1, &fd); /* the job runs and has its checkpoint */

	/* while it lives, nobody else gets the job */
	assert_int_equal(arm_work(w->arm, NULL, NULL, NULL, NULL), 0);
	kill_child(pid);
	(void) close(fd);
}

static void acknowledged_changes_survive(void **state)
{
	struct world *w = *state;

	for (unsigned round = 1; round <= 4; round++) {
		unsigned last = round * 5 - 1;
		char target[256], op[UUID_STR_LEN];
		unsigned char more;
		int fd;

		kill_child(start_child(w, "put", last + 1, &fd));
		while (read(fd, &more, 1) == 1)
			last = more; /* acknowledged before the signal arrived */
		(void) close(fd);
		assert_int_equal(audit_verify(w->meta, NULL, 0, NULL, NULL), 0);
		for (unsigned i = 0; i <= last + 1; i++) {
			auto_json json_t *j = NULL;

			(void) snprintf(target, sizeof(target), BOXES "/k%u", i);
			assert_int_equal(arm_running(w->arm, target, op, NULL), 0);
			/* a resource and its operation are there together, or neither is */
			assert_int_equal(arm_load(w->arm, target, &j, NULL), op[0] ? 0 : -ENOENT);
			assert_true(op[0] || i == last + 1);
		}
		assert_int_equal(arm_work(w->arm, NULL, NULL, NULL, NULL), 0);
		for (unsigned i = 0; i <= last + 1; i++) {
			struct arm_response res;

			(void) snprintf(target, sizeof(target), BOXES "/k%u?" V, i);
			res = ask(w, "DELETE", target, NULL);
			assert_true(res.status == 200 || (res.status == 204 && i == last + 1));
			arm_response_done(&res);
		}
	}
}

/* As a job ends whose database went away for a while. */
static int busy_twice(struct arm_job *job, struct err *err)
{
	struct world *w = job->app;

	if (w->job_calls > 2)
		return 0;
	(void) err_set(err, -EBUSY, "The database cannot be reached.");
	err_arm(err, "ServerBusy");
	return -EBUSY;
}

static void a_busy_database_fails_no_job(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);

	w->job = busy_twice;
	finish(w, &res);
	assert_int_equal(w->job_calls, 3);
	assert_status(w, res.async_operation, "Succeeded");
	arm_response_done(&res);
}

static int continue_at_checkpoint(struct arm_job *job, struct err *err)
{
	assert_int_equal(json_int_at(job->checkpoint, "done", 0), 3);
	return 0;
}

static void takeover_after_kill(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);

	kill_worker(w, "plain");
	assert_status(w, res.async_operation, "InProgress");
	assert_int_equal(w->job_calls, 0);
	w->job = continue_at_checkpoint;
	finish(w, &res); /* at once, not after the lease */
	assert_int_equal(w->job_calls, 1);
	assert_state(w, "Succeeded");
	arm_response_done(&res);
}

static int request_again(struct arm_job *job, struct err *err)
{
	struct world *w = job->app;

	if (!str_ends(job->id->text, "/b1"))
		return w->job_calls == 2 ? continue_at_checkpoint(job, err) : 0;
	return arm_job_request(
		job, "PUT", BOXES "/nested?" V,
		json_pack("{s:s, s:{s:b}}", "location", "eastus", "properties", "slow", 1), NULL,
		err);
}

static void nested_operation_is_adopted(void **state)
{
	struct world *w = *state;
	struct arm_response res = start(w);
	char id[UUID_STR_LEN];

	kill_worker(w, "nested");
	assert_int_equal(arm_running(w->arm, BOXES "/nested", id, NULL), 0);
	assert_string_not_equal(id, "");
	w->job = request_again;
	finish(w, &res);
	/* the outer job, the adopted nested one, and the same request anew */
	assert_int_equal(w->job_calls, 3);
	assert_int_equal(arm_running(w->arm, BOXES "/nested", id, NULL), 0);
	assert_string_equal(id, "");
	arm_response_done(&res);
}

int main(int argc, char **argv)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(operations_as_clients_poll),
		DBS_TEST(location_of_a_post),
		DBS_TEST(failures),
		DBS_TEST(deletes),
		DBS_TEST(group_delete_takes_all),
		DBS_TEST(cancel_by_operation),
		DBS_TEST(cancel_before_it_runs),
		DBS_TEST(cancel_by_caller),
		DBS_TEST(shutdown_hands_back),
		DBS_TEST(stale_workers_write_nothing),
		DBS_TEST(leases),
		DBS_TEST(jobs_write),
		DBS_TEST(progress_does_not_raise_the_etag),
		DBS_TEST(a_busy_database_fails_no_job),
		DBS_TEST(takeover_after_kill),
		DBS_TEST(nested_operation_is_adopted),
		DBS_TEST(acknowledged_changes_survive),
	};

	if (argc == 4 && str_eq(argv[1], "--work"))
		return child_main(argv[2], argv[3]);
	return dbs_run_with("arm/jobs", tests, ARRAY_SIZE(tests), world_setup, world_teardown);
}
