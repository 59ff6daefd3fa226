/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "login/login.h"
#include "providers/app.h"
#include "server/listen.h"
#include "server/server.h"
#include "server/user.h"

#define LISTEN_DEFAULT "127.0.0.1:8443"
#define GRACE_MS       25000 /* for requests to end; systemd gives 90 s */
#define RENEW_MS       60000 /* between two looks at the certificate's files */
#define WORKER_MS      60000 /* for the worker to hand back its jobs */

struct serve {
	struct cli *cli;
	struct app *app;
	struct server_settings settings;
	struct server_user user;
	struct tls *tls;        /* until the server has it */
	char *cert, *key;       /* paths of what it presents */
	struct timespec tls_at; /* when they were written, as of the last look that was good */
	int hangup_fd;          /* SIGHUP: look at them now */
	struct login *login;
	struct server *server;
	char *where;         /* "127.0.0.1:8443", as bound */
	char *endpoint;      /* "https://127.0.0.1:8443" */
	char *access_log;    /* default path */
	char *wake;          /* RUN/worker.sock */
	int tcp_fd, unix_fd; /* until the server has them */
	uid_t owner_uid;     /* of the data directory */
	pid_t keeper;        /* of the worker; 0 = none */
	int keeper_fd;       /* its pidfd */
	int lifeline_fd;     /* the keeper stops when this is closed */
};

/* ---- Opening ------------------------------------------------------------------------------ */

static int open_sockets(struct serve *s, const char *listen, struct err *err)
{
	const char *where = listen ? listen : json_str_at(s->app->config, "listen");
	auto_free char *api = path_join(s->app->run_dir, "api.sock");
	int r = listen_inherited(&s->tcp_fd, &s->unix_fd, err);

	if (r < 0 || !api)
		return r < 0 ? r : err_set(err, -ENOMEM, "out of memory");
	if (s->tcp_fd < 0) {
		r = listen_tcp(where ? where : LISTEN_DEFAULT, &s->tcp_fd, &s->where, err);
	} else {
		s->where = listen_name(s->tcp_fd);
		r = s->where ? 0 : err_set(err, -EINVAL, "the socket given is no TCP one");
	}
	if (r >= 0 && s->unix_fd < 0) /* whoever connects shows who it is */
		r = listen_unix(api, false, geteuid() == 0 ? 0666 : 0600, &s->unix_fd, err);
	return r;
}

/* A server on every address is reached by its name. */
static int find_endpoint(struct serve *s, struct err *err)
{
	const char *colon = strrchr(s->where, ':');
	bool any = str_starts(s->where, "0.0.0.0:") || str_starts(s->where, "[::]:");
	const char *name = s->settings.names[0] ? s->settings.names[0] : "localhost";

	s->endpoint = any ? strf("https://%s%s", name, colon) : strf("https://%s", s->where);
	return s->endpoint ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static struct timespec written(const struct serve *s)
{
	struct stat cert = {0}, key = {0};

	(void) stat(s->cert, &cert);
	(void) stat(s->key, &key);
	return cert.st_mtim.tv_sec > key.st_mtim.tv_sec ||
			       (cert.st_mtim.tv_sec == key.st_mtim.tv_sec &&
				cert.st_mtim.tv_nsec > key.st_mtim.tv_nsec)
		       ? cert.st_mtim
		       : key.st_mtim;
}

static int open_tls(struct serve *s, struct err *err)
{
	const struct server_settings *set = &s->settings;
	auto_free char *dir = path_join(s->app->data_dir, "tls");
	int r;

	s->cert = set->certificate ? strdup(set->certificate) : path_join(dir, "server.pem");
	s->key = set->key ? strdup(set->key) : path_join(dir, "server.key");
	if (!dir || !s->cert || !s->key)
		return err_set(err, -ENOMEM, "out of memory");
	r = user_certificates(&s->user, dir, set->names, err);
	s->tls_at = written(s);
	return r < 0 ? r : tls_load(s->cert, s->key, &s->tls, err);
}

/* A certificate that somebody renewed: the worker, or who administers it. One that cannot be used
 * (also because its two files are being written just now) is tried again at the next look. */
static void renew_tls(struct serve *s, bool asked)
{
	struct timespec at = written(s);
	auto_err struct err e = ERR_INIT;
	struct tls *tls = NULL;
	int r;

	if (at.tv_sec == s->tls_at.tv_sec && at.tv_nsec == s->tls_at.tv_nsec) {
		if (asked)
			log_event(LOG_LVL_INFO, "server.certificate", "unchanged=%s", s->cert);
		return;
	}
	r = tls_load(s->cert, s->key, &tls, &e);
	if (r >= 0)
		r = server_certificate(s->server, tls, &e);
	if (r < 0) {
		log_warn("server.certificate", "error=%s", err_str(&e));
		return;
	}
	s->tls_at = at;
	log_event(LOG_LVL_INFO, "server.certificate", "renewed=%s", s->cert);
}

static int prepare_user(struct serve *s, struct err *err)
{
	static const char *const dirs[] = {"log", "login", "uploads", NULL};
	const char *url = json_str_at(s->app->config, "database");
	auto_free char *own = NULL;

	if (!url) {
		own = path_join(s->app->data_dir, "meta.db");
		if (!own)
			return err_set(err, -ENOMEM, "out of memory");
	} else if (str_starts(url, "sqlite:")) {
		own = strdup(url + strlen("sqlite:"));
	}
	s->access_log = strf("%s/log/access.log", s->app->data_dir);
	s->wake = path_join(s->app->run_dir, "worker.sock");
	if (!s->access_log || !s->wake)
		return err_set(err, -ENOMEM, "out of memory");
	if (!s->settings.access_log)
		s->settings.access_log = s->access_log;
	return user_prepare(&s->user, s->app->data_dir, own, dirs, err);
}

/* The worker keeps what privileges there are. Its keeper starts it anew when it dies. */
static int start_worker(struct serve *s, struct err *err)
{
	char number[16];
	const char *const argv[] = {proc_self_exe(), "worker",         "--keep", number,
				    "--data",        s->app->data_dir, NULL};
	const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", NULL,
				    NULL};
	const char *passed[4] = {envp[0], envp[1]};
	auto_free char *xdg = NULL;
	int ends[2];
	const struct proc_spec spec = {
		.argv = argv, .envp = passed, .stdin_fd = -1, .keep_fds = ends, .n_keep_fds = 1};
	int r;

	if (getenv("XDG_RUNTIME_DIR")) { /* the run directory must be the same */
		xdg = strf("XDG_RUNTIME_DIR=%s", getenv("XDG_RUNTIME_DIR"));
		passed[2] = xdg;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, err_errno(), "pipe: %s", strerrordesc_np(errno));
	(void) snprintf(number, sizeof(number), "%d", ends[0]);
	r = proc_spawn(&spec, STDERR_FILENO, &s->keeper, &s->keeper_fd, err);
	closep(&ends[0]);
	s->lifeline_fd = ends[1];
	return r;
}

/* For ever, and before anything that comes from outside is looked at. */
static int drop_user(struct serve *s, struct err *err)
{
	struct stat st;
	int r;

	if (stat(s->app->data_dir, &st) < 0)
		return err_set(err, err_errno(), "%s", s->app->data_dir);
	s->owner_uid = st.st_uid;
	r = user_drop(&s->user, err);
	if (r >= 0 && access(s->app->data_dir, R_OK | X_OK) < 0) {
		r = err_set(err, err_errno(), "user " SERVER_USER " cannot reach %s",
			    s->app->data_dir);
		err_hint(err, "let others pass through the directories above it (chmod o+x)");
	}
	return r;
}

static int open_login(struct serve *s, struct err *err)
{
	auto_free char *dir = path_join(s->app->data_dir, "login");
	const struct login_config c = {
		.arm = s->app->arm, .dir = dir, .endpoint = s->endpoint, .config = s->app->config};

	return dir ? login_open(&c, &s->login, err) : err_set(err, -ENOMEM, "out of memory");
}

static int start_server(struct serve *s, struct err *err)
{
	struct server_config c = {
		.arm = s->app->arm,
		.login = s->login,
		.owner = &s->app->owner,
		.settings = &s->settings,
		.tls = take_ptr(s->tls),
		.wake_path = s->wake,
		.tcp_fd = s->tcp_fd,
		.unix_fd = s->unix_fd,
	};
	const char *url = json_str_at(s->app->config, "database");

	c.owner_uid = s->owner_uid;
	c.reads_may_wait = url && !str_starts(url, "sqlite:");
	s->tcp_fd = s->unix_fd = -1; /* the server closes them, also when it cannot start */
	return server_start(&c, &s->server, err);
}

/* Before there are threads: they inherit that it waits. */
static int catch_hangup(struct serve *s, struct err *err)
{
	sigset_t set;

	(void) sigemptyset(&set);
	(void) sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
		s->hangup_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->hangup_fd < 0 ? err_set(err, err_errno(), "SIGHUP: %s", strerrordesc_np(errno))
				: 0;
}

static int serve_open(struct serve *s, const struct cli_args *args, struct err *err)
{
	int r = catch_hangup(s, err);

	if (r >= 0)
		r = app_open_serving(s->cli->data_dir, &s->app, err);
	if (r >= 0)
		r = settings_read(s->app->config, &s->settings, err);
	if (r >= 0)
		r = user_find(&s->user, err);
	if (r >= 0)
		r = open_tls(s, err);
	if (r >= 0)
		r = open_sockets(s, cli_opt(args, "--listen"), err);
	if (r >= 0)
		r = find_endpoint(s, err);
	if (r >= 0)
		r = app_serve(s->app, s->endpoint, err);
	if (r >= 0)
		r = prepare_user(s, err);
	if (r >= 0 && !cli_flag(args, "--no-worker"))
		r = start_worker(s, err);
	if (r >= 0)
		r = drop_user(s, err);
	if (r >= 0)
		r = open_login(s, err);
	return r < 0 ? r : start_server(s, err);
}

/* ---- Running ------------------------------------------------------------------------------ */

static int say_ready(const struct serve *s)
{
	if (s->cli->json) {
		auto_json json_t *j =
			json_pack("{s:s, s:s, s:i}", "endpoint", s->endpoint, "dataDirectory",
				  s->app->data_dir, "pid", (int) getpid());
		auto_free char *line = j ? json_compact(j) : NULL;

		if (line)
			(void) printf("%s\n", line);
	} else {
		(void) printf("ready %s\n", s->endpoint);
	}
	notify_systemd("READY=1");
	return fflush(stdout) == 0 ? 0 : -EIO;
}

/* Until a signal, or the end of the worker's keeper, which never ends by itself. */
static int serve_wait(struct serve *s)
{
	struct pollfd fds[] = {
		{.fd = s->cli->cancel.event_fd, .events = POLLIN},
		{.fd = s->keeper_fd, .events = POLLIN},
		{.fd = s->hangup_fd, .events = POLLIN},
	};

	while (!cancel_check(&s->cli->cancel)) {
		struct signalfd_siginfo hangup;
		bool asked;

		(void) poll(fds, ARRAY_SIZE(fds), RENEW_MS);
		asked = fds[2].revents && read(s->hangup_fd, &hangup, sizeof(hangup)) > 0;
		renew_tls(s, asked);
		if (fds[1].revents) {
			cli_note(s->cli, "the worker's keeper has ended");
			return EXIT_FAILED;
		}
	}
	return EXIT_DONE;
}

static void serve_close(struct serve *s)
{
	notify_systemd("STOPPING=1");
	closep(&s->lifeline_fd); /* jobs are handed back while requests end */
	s->lifeline_fd = -1;
	server_stop(s->server, GRACE_MS);
	if (s->keeper > 0) {
		struct pollfd fd = {.fd = s->keeper_fd, .events = POLLIN};

		(void) poll(&fd, 1, WORKER_MS);
		(void) proc_stop(s->keeper, s->keeper_fd, 1000);
	}
	closep(&s->keeper_fd);
	closep(&s->tcp_fd);
	closep(&s->unix_fd);
	login_close(s->login);
	closep(&s->hangup_fd);
	tls_free(s->tls);
	free(s->cert);
	free(s->key);
	settings_done(&s->settings);
	app_close(s->app);
	free(s->where);
	free(s->endpoint);
	free(s->access_log);
	free(s->wake);
}

static int run_serve(struct cli *cli, const struct cli_args *args)
{
	struct serve s = {.cli = cli,
			  .hangup_fd = -1,
			  .tcp_fd = -1,
			  .unix_fd = -1,
			  .keeper_fd = -1,
			  .lifeline_fd = -1};
	auto_err struct err e = ERR_INIT;
	int status;

	if (serve_open(&s, args, &e) < 0)
		status = cli_fail(cli, &e);
	else
		status = say_ready(&s) < 0 ? EXIT_FAILED : serve_wait(&s);
	serve_close(&s);
	return status;
}

static const struct cli_option serve_options[] = {
	{"--listen", 'l', "ADDR:PORT", "where to listen (default 127.0.0.1:8443; port 0: any)"},
	{"--no-worker", 0, NULL, "answer requests only; jobs run in a `kiln worker` elsewhere"},
	{NULL},
};

const struct cli_command cmd_serve = {
	.name = "serve",
	.args = "",
	.summary = "answer ARM requests over HTTPS",
	.help = "Serves everything that kiln has as an Azure Resource Manager endpoint, and runs "
		"a\n"
		"worker beside it. Prints one line, \"ready URL\", once it answers. The URL is "
		"kept\n"
		"as \"endpoint\" in DIR/admin.json; clients trust DIR/tls/ca.pem. SIGTERM or "
		"SIGINT\n"
		"ends it: requests are finished, jobs are handed back; a second one ends it "
		"now.\n"
		"A certificate that was renewed is taken within a minute, with SIGHUP at once.\n\n"
		"Examples:\n"
		"  kiln serve\n"
		"  kiln serve --listen 127.0.0.1:0 --data /srv/images",
	.options = serve_options,
	.run = run_serve,
};
