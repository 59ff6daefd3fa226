/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy of one step: its process, and the thread that turns its reports into events. */
#include "bake/container.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "bake/proxy.h"
#include "base/log.h"
#include "base/mem.h"

#define STOP_MS 2000

struct step_proxy {
	pid_t pid;
	int pidfd;
	FILE *reports;
	const struct event_sink *events;
	pthread_t reader;
	bool reading;
	struct journal_entry *entry;
};

static void emit_denial(const struct event_sink *events, const json_t *j)
{
	const char *host = json_str_at(j, "host"), *reason = json_str_at(j, "reason");
	int port = (int) json_int_at(j, "port", 0);

	if (!host || !reason)
		return;
	event_emit(events, json_pack("{s:s, s:s, s:i, s:s, s:o}", "type", "networkDenied", "host",
				     host, "port", port, "reason", reason, "hint",
				     json_strf("add \"%s:%d\" to properties.kiln.network.allow",
					       host, port)));
}

static void *read_reports(void *arg)
{
	struct step_proxy *p = arg;
	char line[1024];

	while (fgets(line, sizeof(line), p->reports)) {
		auto_json json_t *j = NULL;

		if (json_parse(line, strcspn(line, "\n"), &j, NULL) == 0)
			emit_denial(p->events, j);
	}
	return NULL;
}

static int build_argv(const struct executor_net *net, const char *how, int sock_fd, int report_fd,
		      char ***argv)
{
	auto_free char *sock_arg = strf("%d", sock_fd), *report_arg = strf("%d", report_fd);
	const char *head[] = {proc_self_exe(), "proxy", how, sock_arg, "--report-fd", report_arg};
	int r = sock_arg && report_arg ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(head); i++)
		r = strv_push(argv, head[i]);
	for (const char *const *s = net->allow; r == 0 && s && *s; s++) {
		r = strv_push(argv, "--allow");
		if (r == 0)
			r = strv_push(argv, *s);
	}
	for (const char *const *s = net->trusted; r == 0 && s && *s; s++) {
		r = strv_push(argv, "--trusted");
		if (r == 0)
			r = strv_push(argv, *s);
	}
	return r;
}

static int check_lists(const struct executor_net *net, struct err *err)
{
	for (const char *const *s = net->allow; s && *s; s++)
		if (proxy_entry_check(*s, err) < 0)
			return err_ctx(err, -EINVAL, "network.allow");
	for (const char *const *s = net->trusted; s && *s; s++)
		if (proxy_entry_check(*s, err) < 0)
			return err_ctx(err, -EINVAL, "network.trusted");
	return 0;
}

static int spawn(const struct container *c, struct step_proxy *p, char **argv, int recv_fd,
		 int report_fd, struct err *err)
{
	const int fds[] = {recv_fd, report_fd};
	struct proc_spec spec = {
		.argv = (const char *const *) argv, .keep_fds = fds, .n_keep_fds = 2};
	int r = journal_add(c->journal, "process", json_pack("{s:s}", "name", "kiln proxy"),
			    &p->entry, err);

	if (r == 0)
		r = proc_spawn(&spec, -1, &p->pid, &p->pidfd, err);
	if (r == 0)
		r = journal_update(p->entry,
				   json_pack("{s:i, s:I, s:i}", "pid", (int) p->pid, "start",
					     (json_int_t) proc_start_ticks(p->pid), "pgid",
					     (int) p->pid),
				   err);
	return r;
}

/* @how: what the proxy does with @sock: "--recv-fd" or "--listen-fd". */
static int start(const struct container *c, const struct executor_net *net, const char *how,
		 int sock, struct step_proxy **ret, struct err *err)
{
	struct step_proxy *p;
	auto_strv char **argv = NULL;
	auto_fd int report = -1;
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "proxy: %s", strerror(errno));
	report = pipe_fds[1];
	p = calloc(1, sizeof(*p));
	if (!p || build_argv(net, how, sock, report, &argv) < 0) {
		(void) close(pipe_fds[0]);
		free(p);
		return err_set(err, -ENOMEM, "proxy");
	}
	p->pidfd = -1;
	p->events = c->events;
	p->reports = fdopen(pipe_fds[0], "r");
	r = p->reports ? 0 : err_set(err, -errno, "proxy: %s", strerror(errno));
	if (r < 0)
		(void) close(pipe_fds[0]);
	if (r == 0)
		r = spawn(c, p, argv, sock, report, err);
	closep(&report); /* the proxy has the only writing end now */
	report = -1;
	if (r == 0) {
		int e = pthread_create(&p->reader, NULL, read_reports, p);

		p->reading = e == 0;
		r = e ? err_set(err, -e, "proxy: %s", strerror(e)) : 0;
	}
	if (r < 0) {
		step_proxy_stop(p);
		return err_ctx(err, r, "start the network proxy");
	}
	*ret = p;
	return 0;
}

int step_proxy_start(const struct container *c, const struct executor_net *net,
		     struct step_proxy **ret, int *ret_net_fd, struct err *err)
{
	auto_fd int ours = -1, theirs = -1;
	int pair[2], r = check_lists(net, err);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "proxy: %s", strerror(errno));
	ours = pair[0];
	theirs = pair[1];
	r = start(c, net, "--recv-fd", theirs, ret, err);
	if (r == 0)
		*ret_net_fd = take_fd(ours);
	return r;
}

int step_proxy_listen(const struct container *c, const struct executor_net *net, int listen_fd,
		      struct step_proxy **ret, struct err *err)
{
	int r = check_lists(net, err);

	return r < 0 ? r : start(c, net, "--listen-fd", listen_fd, ret, err);
}

void step_proxy_stop(struct step_proxy *p)
{
	if (!p)
		return;
	if (p->pid > 0) {
		int r = proc_stop(p->pid, p->pidfd, STOP_MS);

		if (r < 0)
			log_warn("proxy.stop", "pid=%d errno=%d", (int) p->pid, -r);
		closep(&p->pidfd);
	}
	if (p->reading)
		(void) pthread_join(p->reader, NULL);
	if (p->reports)
		(void) fclose(p->reports);
	journal_drop(p->entry);
	free(p);
}
