/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "providers/chores.h"
#include "providers/app.h"
#include "server/listen.h"
#include "server/settings.h"
#include "server/user.h"
#include "server/worker.h"

#define STOP_MS  60000                        /* for a worker to hand back its jobs */
#define RENEW_NS (3600 * INT64_C(1000000000)) /* between two looks at the certificates */
#define AGAIN_MS 1000                         /* before a worker that died is started anew */

static int parse_fd(const char *text, int *ret)
{
	char *end = NULL;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || end == text || n < 3 || n > INT32_MAX || fcntl((int) n, F_GETFD) < 0)
		return -EINVAL;
	*ret = (int) n;
	return fcntl(*ret, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/* ---- The worker --------------------------------------------------------------------------- */

struct working {
	struct cli *cli;
	int lifeline_fd; /* readable when whoever started us is gone, or -1 */
	int done_fd;
	struct cancel stop;
};

/* Signals and the end of our keeper both mean: hand back what runs. */
static void *relay(void *arg)
{
	struct working *w = arg;
	struct pollfd fds[] = {
		{.fd = w->cli->cancel.event_fd, .events = POLLIN},
		{.fd = w->lifeline_fd, .events = POLLIN},
		{.fd = w->done_fd, .events = POLLIN},
	};

	while (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno == EINTR)
		;
	if (!fds[2].revents)
		cancel_set(&w->stop, -ESHUTDOWN);
	return NULL;
}

static int open_wake(struct app *a, int *ret_fd)
{
	auto_free char *path = path_join(a->run_dir, "worker.sock");
	auto_err struct err e = ERR_INIT;
	struct server_user u;
	int r = path ? listen_unix(path, true, 0660, ret_fd, &e) : -ENOMEM;

	if (r < 0) /* another worker of this directory has it: then that one wakes at once */
		log_debug("worker.wake", "error=%s", err_str(&e));
	else if (user_find(&u, NULL) == 0 && u.drop && chown(path, 0, u.gid) < 0)
		log_warn("worker.wake", "error=%s", strerrordesc_np(errno));
	return r;
}

struct ticking {
	struct app *app;
	const struct server_settings *settings;
	int64_t next_ns; /* look at the certificates */
};

/* Whoever serves this directory has no rights to make certificates, and finds new ones. */
static void renew(struct ticking *t)
{
	auto_free char *dir = path_join(t->app->data_dir, "tls");
	auto_err struct err e = ERR_INIT;
	struct server_user u;
	int r = user_find(&u, &e);

	if (r >= 0)
		r = dir ? user_certificates(&u, dir, t->settings->names, &e) : -ENOMEM;
	if (r < 0)
		log_warn("worker.certificates", "error=%s", err_str(&e));
}

static void tick(void *arg)
{
	struct ticking *t = arg;
	int64_t now = time_mono_ns();

	app_tick(t->app);
	if (now < t->next_ns)
		return;
	t->next_ns = now + RENEW_NS;
	renew(t);
}

static int work_on(struct working *w, struct app *a, struct err *err)
{
	struct server_settings set = {0};
	struct ticking ticking = {.app = a, .settings = &set};
	struct worker_config c = {
		.arm = a->arm,
		.wake_fd = -1,
		.cancel = &w->stop,
		.chores = tick,
		.chores_arg = &ticking,
		.chores_ms = TICK_MS,
		.idle = app_idle,
		.idle_arg = a,
		.idle_ms = IDLE_MS,
	};
	auto_fd int wake = -1;
	int r = settings_read(a->config, &set, err);

	if (r < 0)
		return r;
	c.jobs = set.workers;
	(void) open_wake(a, &wake);
	c.wake_fd = wake;
	if (!w->cli->json && w->lifeline_fd < 0)
		(void) printf("ready\n");
	(void) fflush(stdout);
	notify_systemd("READY=1");
	r = worker_run(&c, err);
	settings_done(&set);
	return r;
}

static int worker_main(struct cli *cli, int lifeline_fd)
{
	struct working w = {.cli = cli, .lifeline_fd = lifeline_fd, .stop = {.event_fd = -1}};
	auto_fd int done = eventfd(0, EFD_CLOEXEC);
	auto_err struct err e = ERR_INIT;
	const uint64_t one = 1;
	pthread_t thread;
	struct app *a;
	int r;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	w.done_fd = done;
	r = done < 0 ? err_errno() : cancel_init(&w.stop);
	if (r >= 0)
		r = -pthread_create(&thread, NULL, relay, &w);
	if (r < 0) {
		(void) err_set(&e, r, "cannot start: %s", strerrordesc_np(-r));
		return cli_fail(cli, &e);
	}
	r = work_on(&w, a, &e);
	(void) !write(done, &one, sizeof(one)); /* an eventfd takes 1 */
	(void) pthread_join(thread, NULL);
	cancel_done(&w.stop);
	return r < 0 ? cli_fail(cli, &e) : EXIT_DONE;
}

/* ---- The keeper --------------------------------------------------------------------------- */

struct keeper {
	struct cli *cli;
	int lifeline_fd; /* of whoever started us */
	pid_t pid;
	int pidfd;
	int child_fd; /* the worker stops when this is closed */
};

static int keeper_start(struct keeper *k, struct err *err)
{
	char number[16];
	const char *const argv[] = {proc_self_exe(),
				    "worker",
				    "--lifeline",
				    number,
				    "--data",
				    k->cli->data_dir ? k->cli->data_dir : "",
				    NULL};
	auto_free char *xdg = NULL;
	const char *envp[4] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};
	int ends[2], r;
	const struct proc_spec spec = {
		.argv = argv, .envp = envp, .stdin_fd = -1, .keep_fds = ends, .n_keep_fds = 1};

	if (getenv("XDG_RUNTIME_DIR")) {
		xdg = strf("XDG_RUNTIME_DIR=%s", getenv("XDG_RUNTIME_DIR"));
		envp[2] = xdg;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, err_errno(), "pipe: %s", strerrordesc_np(errno));
	(void) snprintf(number, sizeof(number), "%d", ends[0]);
	r = proc_spawn(&spec, STDERR_FILENO, &k->pid, &k->pidfd, err);
	closep(&ends[0]);
	if (r < 0)
		closep(&ends[1]);
	else
		k->child_fd = ends[1];
	return r;
}

/* Until the worker ends (false), or somebody wants it to end (true). */
static bool keeper_wait(struct keeper *k, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = k->cli->cancel.event_fd, .events = POLLIN},
		{.fd = k->lifeline_fd, .events = POLLIN},
		{.fd = k->pidfd, .events = POLLIN},
	};

	while (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0 && errno == EINTR)
		;
	return fds[0].revents || fds[1].revents;
}

static void keeper_reap(struct keeper *k)
{
	struct pollfd fd = {.fd = k->pidfd, .events = POLLIN};

	closep(&k->child_fd);
	k->child_fd = -1;
	if (k->pidfd < 0)
		return;
	(void) poll(&fd, 1, STOP_MS);
	(void) proc_stop(k->pid, k->pidfd, 1000);
	closep(&k->pidfd);
	k->pidfd = -1;
}

static int keeper_main(struct cli *cli, int lifeline_fd)
{
	struct keeper k = {.cli = cli, .lifeline_fd = lifeline_fd, .pidfd = -1, .child_fd = -1};
	bool stop = false;

	while (!stop) {
		auto_err struct err e = ERR_INIT;

		if (keeper_start(&k, &e) < 0)
			(void) cli_fail(cli, &e);
		else
			stop = keeper_wait(&k, -1);
		keeper_reap(&k);
		if (!stop) {
			log_event(LOG_LVL_ERROR, "worker.ended", "next_ms=%d", AGAIN_MS);
			stop = keeper_wait(&k, AGAIN_MS);
		}
	}
	return EXIT_DONE;
}

static int run_worker(struct cli *cli, const struct cli_args *args)
{
	const char *keep = cli_opt(args, "--keep"), *lifeline = cli_opt(args, "--lifeline");
	int fd = -1;

	if (keep && lifeline)
		return cli_usage(cli, "worker: --keep and --lifeline exclude each other");
	if ((keep || lifeline) && parse_fd(keep ? keep : lifeline, &fd) < 0)
		return cli_usage(cli, "worker: '%s' is no open descriptor", keep ? keep : lifeline);
	return keep ? keeper_main(cli, fd) : worker_main(cli, fd);
}

static const struct cli_option worker_options[] = {
	{"--lifeline", 0, "FD", "stop when this descriptor's other end is closed"},
	{"--keep", 0, "FD", "be the keeper: a worker of its own, started anew whenever it dies"},
	{NULL},
};

const struct cli_command cmd_worker = {
	.name = "worker",
	.args = "",
	.summary = "run the jobs that requests started",
	.help = "Leases jobs from the database and runs them, as many at once as \"workers\" in\n"
		"kiln.yaml says. `kiln serve` starts one; further ones, on other hosts too, share\n"
		"the work. SIGTERM or SIGINT ends it: what runs is handed back and due for any\n"
		"worker; a second one ends it now.\n\n"
		"Example:\n"
		"  kiln worker --data /srv/images",
	.options = worker_options,
	.run = run_worker,
};
