/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/proc_internal.h"
#include "base/timeutil.h"

#define READ_STEP      (64u << 10)
#define TAIL_BYTES     2048 /* of each stream, for messages */
#define TAIL_LINES     5
#define DEFAULT_OUTPUT (64u << 20)
#define DEFAULT_GRACE  2000
#define NS_PER_MS      1000000
#define NEVER          INT64_MAX
#define KILL_WAIT_NS   (30000ll * NS_PER_MS) /* how long a killed process may stay, in the kernel */

struct stream {
	int fd; /* our end of the pipe; -1 once at its end */
	enum proc_stream id;
	uint64_t seen;       /* bytes read */
	size_t n;            /* bytes of an unfinished line */
	size_t tail;         /* bytes in last[] */
	struct buf *collect; /* NULL = not collected */
	bool collect_failed; /* something did not fit there */
	char line[PROC_LINE_MAX];
	char last[TAIL_BYTES];
};

struct run {
	const struct proc_spec *spec;
	struct proc_result *res;
	struct stream out, err;
	pid_t pid;
	int pidfd;
	bool exited;
	int stop_reason;   /* 0, or the -errno to return once it is gone */
	int64_t end_ns;    /* monotonic; time limit */
	int64_t kill_ns;   /* when TERM becomes KILL */
	int64_t giveup_ns; /* when a killed process is left to the kernel */
	char *block;       /* READ_STEP bytes */
};

static void run_done(struct run **p)
{
	struct run *r = *p;

	if (!r)
		return;
	closep(&r->out.fd);
	closep(&r->err.fd);
	closep(&r->pidfd);
	free(r->block);
	free(r);
}

static void keep_tail(struct stream *s, const char *p, size_t n)
{
	size_t drop;

	if (n > TAIL_BYTES) {
		p += n - TAIL_BYTES;
		n = TAIL_BYTES;
	}
	drop = s->tail + n > TAIL_BYTES ? s->tail + n - TAIL_BYTES : 0;
	memmove(s->last, s->last + drop, s->tail - drop);
	memcpy(s->last + s->tail - drop, p, n);
	s->tail += n - drop;
}

static void flush_line(struct run *r, struct stream *s)
{
	r->spec->line(r->spec->line_arg, s->id, s->line, s->n);
	s->n = 0;
}

static void split_lines(struct run *r, struct stream *s, const char *p, size_t n)
{
	while (n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t room = PROC_LINE_MAX - s->n;
		size_t part = nl ? (size_t) (nl - p) : n;
		bool whole = nl && part <= room;

		if (part > room)
			part = room;
		memcpy(s->line + s->n, p, part);
		s->n += part;
		p += part;
		n -= part;
		if (whole) {
			p++;
			n--;
		}
		/* A full piece waits for its next byte, which may be the newline. */
		if (whole || (s->n == PROC_LINE_MAX && n > 0))
			flush_line(r, s);
	}
}

/* Hands on @n bytes that came. */
static void take_output(struct run *r, struct stream *s, const char *p, size_t n)
{
	uint64_t max = r->spec->max_output ? r->spec->max_output : DEFAULT_OUTPUT;
	uint64_t room = s->seen < max ? max - s->seen : 0;
	size_t fit;

	keep_tail(s, p, n);
	s->seen += n;
	if (n > room) {
		r->res->dropped += n - room;
		n = (size_t) room;
		if (s->collect)
			s->collect_failed = true;
	}
	if (n > 0 && r->spec->line)
		split_lines(r, s, p, n);
	if (n == 0 || !s->collect)
		return;
	fit = s->collect->max > s->collect->len ? s->collect->max - s->collect->len - 1 : 0;
	if (n > fit || buf_add(s->collect, p, n) < 0) {
		s->collect_failed = true;
		if (n > fit && fit > 0)
			(void) buf_add(s->collect, p, fit);
	}
}

static void close_stream(struct run *r, struct stream *s)
{
	if (s->fd < 0)
		return;
	closep(&s->fd);
	s->fd = -1;
	if (s->n > 0 && r->spec->line)
		flush_line(r, s);
}

/* One read. Return: bytes, 0 when nothing is there now or ever. */
static size_t pump(struct run *r, struct stream *s)
{
	ssize_t k;

	if (s->fd < 0)
		return 0;
	do
		k = read(s->fd, r->block, READ_STEP);
	while (k < 0 && errno == EINTR);
	if (k > 0) {
		take_output(r, s, r->block, (size_t) k);
		return (size_t) k;
	}
	if (k == 0 || errno != EAGAIN)
		close_stream(r, s);
	return 0;
}

/* What the pipe held when the process ended. A descendant that escaped may still write: at most
 * one pipe's capacity can be older than the end. */
static void drain(struct run *r, struct stream *s)
{
	int left = s->fd < 0 ? 0 : fcntl(s->fd, F_GETPIPE_SZ);

	while (left > 0) {
		size_t k = pump(r, s);

		if (k == 0)
			break;
		left -= (int) k;
	}
	close_stream(r, s);
}

static void signal_all(struct run *r, int sig)
{
	/* The process is not reaped yet, so neither id can belong to somebody else. ESRCH means
	 * that nobody is left. */
	(void) kill(-r->pid, sig);
	(void) pidfd_send_signal(r->pidfd, sig, NULL, 0);
}

static void kill_cgroup(const char *path)
{
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* The group is killed in any case; the owner of the cgroup sees whether it is empty. */
	if (fd < 0 || write(fd, "1", 1) != 1)
		log_debug("proc.cgroup_kill", "path=%s error=\"%s\"", path, strerrordesc_np(errno));
}

static void start_stopping(struct run *r, int reason)
{
	uint64_t grace = r->spec->grace_ms ? r->spec->grace_ms : DEFAULT_GRACE;

	r->stop_reason = reason;
	signal_all(r, SIGTERM);
	if (r->spec->cgroup_kill)
		kill_cgroup(r->spec->cgroup_kill);
	r->kill_ns = time_mono_ns() + (int64_t) (grace < INT32_MAX ? grace : INT32_MAX) * NS_PER_MS;
}

/* Acts on what is due. Return: milliseconds to the next deadline (-1 none), or -ETIME. */
static int check_deadlines(struct run *r, int *ret_ms)
{
	int64_t now = time_mono_ns(), next;
	int c = cancel_check(r->spec->cancel);

	if (!r->stop_reason && c < 0) {
		r->res->cancelled = true;
		start_stopping(r, c);
	} else if (!r->stop_reason && now >= r->end_ns) {
		r->res->timed_out = true;
		start_stopping(r, -ETIME);
	}
	if (r->stop_reason && now >= r->kill_ns) {
		signal_all(r, SIGKILL);
		r->kill_ns = NEVER;
		r->giveup_ns = now + KILL_WAIT_NS;
	}
	if (now >= r->giveup_ns)
		return -ETIME;
	next = !r->stop_reason ? r->end_ns : r->kill_ns != NEVER ? r->kill_ns : r->giveup_ns;
	if (next == NEVER)
		*ret_ms = -1;
	else if (next <= now)
		*ret_ms = 0;
	else
		*ret_ms = (int) ((next - now) / NS_PER_MS < 3600000 ? (next - now) / NS_PER_MS + 1
								    : 3600000);
	return 0;
}

/* Until the process has ended. Return: 0, -ETIME when it cannot be killed, or -errno. */
static int pump_to_end(struct run *r)
{
	struct cancel *c = r->spec->cancel;

	while (!r->exited) {
		struct pollfd p[] = {
			{.fd = r->pidfd, .events = POLLIN},
			{.fd = r->out.fd, .events = POLLIN},
			{.fd = r->err.fd, .events = POLLIN},
			{.fd = c && !r->stop_reason ? c->event_fd : -1, .events = POLLIN},
		};
		int ms, e = check_deadlines(r, &ms);

		if (e < 0)
			return e;
		if (r->stop_reason)
			p[3].fd = -1; /* stays readable */
		if (poll(p, ARRAY_SIZE(p), ms) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[1].revents)
			(void) pump(r, &r->out);
		if (p[2].revents)
			(void) pump(r, &r->err);
		r->exited = p[0].revents != 0;
	}
	return 0;
}

static int reap(struct run *r)
{
	siginfo_t si;
	int k;

	(void) kill(-r->pid, SIGKILL); /* leftovers, while the zombie still holds the group's id */
	do
		k = waitid(P_PIDFD, (id_t) r->pidfd, &si, WEXITED);
	while (k < 0 && errno == EINTR);
	if (k < 0)
		return -errno;
	if (si.si_code == CLD_EXITED) {
		r->res->exit_code = si.si_status;
	} else {
		r->res->signal = si.si_status;
		r->res->exit_code = 128 + si.si_status;
	}
	return 0;
}

static int make_pipe(int *ret_ours, int *ret_childs)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = p[0];
	*ret_childs = p[1];
	/* Only our end: the flag belongs to the open file, and each end has its own. */
	return fcntl(p[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int run_new(const struct proc_spec *spec, struct proc_result *res, struct run **ret,
		   struct err *err)
{
	__attribute__((cleanup(run_done))) struct run *r = calloc(1, sizeof(*r));
	auto_fd int out = -1, errout = -1;
	int k;

	if (!r)
		return err_set(err, -ENOMEM, "start %s: out of memory", spec->argv[0]);
	*r = (struct run){.spec = spec,
			  .res = res,
			  .pidfd = -1,
			  .end_ns = NEVER,
			  .kill_ns = NEVER,
			  .giveup_ns = NEVER};
	r->out = (struct stream){.fd = -1, .id = PROC_STDOUT, .collect = spec->out};
	r->err = (struct stream){.fd = -1, .id = PROC_STDERR, .collect = spec->errout};
	r->block = malloc(READ_STEP);
	if (!r->block)
		/* cppcheck-suppress memleak ; r has a cleanup */
		return err_set(err, -ENOMEM, "start %s: out of memory", spec->argv[0]);
	k = make_pipe(&r->out.fd, &out);
	if (k == 0)
		k = make_pipe(&r->err.fd, &errout);
	if (k < 0)
		return err_set(err, k, "start %s: make a pipe: %s", spec->argv[0],
			       strerrordesc_np(-k));
	k = proc_start(spec, out, errout, &r->pid, &r->pidfd, err);
	if (k < 0)
		return k;
	if (spec->timeout_ms > 0 && spec->timeout_ms < INT64_MAX / NS_PER_MS / 2)
		r->end_ns = time_mono_ns() + (int64_t) spec->timeout_ms * NS_PER_MS;
	*ret = take_ptr(r);
	return 0;
}

static int finish(struct run *r, struct err *err)
{
	const char *prog = r->spec->argv[0];

	if (r->res->timed_out)
		return err_set(err, -ETIME, "%s: stopped after its time limit of %llu ms", prog,
			       (unsigned long long) r->spec->timeout_ms);
	if (r->stop_reason == -ETIME)
		return err_set(err, -ETIME, "%s: stopped, the time limit is over", prog);
	if (r->stop_reason)
		return err_set(err, r->stop_reason, "%s: cancelled", prog);
	if (r->out.collect && r->out.collect_failed) {
		int e = buf_err(r->spec->out);

		if (e == 0)
			e = r->spec->out->err = -EFBIG;
		return err_set(err, e, "%s: its output of %llu bytes is more than allowed", prog,
			       (unsigned long long) r->out.seen);
	}
	return 0;
}

static int run_inner(const struct proc_spec *spec, struct proc_result *res, struct run **ret,
		     struct err *err)
{
	int64_t start = time_mono_ns();
	struct run *r = NULL;
	int k;

	*res = (struct proc_result){0};
	k = cancel_check(spec->cancel);
	if (k < 0) {
		res->cancelled = true;
		return err_set(err, k, "%s: cancelled before its start",
			       spec->argv && spec->argv[0] ? spec->argv[0] : "");
	}
	k = run_new(spec, res, &r, err);
	if (k < 0)
		return k;
	*ret = r;
	k = pump_to_end(r);
	if (k < 0) {
		signal_all(r, SIGKILL);
		if (k != -ETIME) /* then it was killed just now, and will end */
			(void) reap(r);
		return err_set(err, k, "%s: %s process %d: %s", spec->argv[0],
			       k == -ETIME ? "cannot end" : "wait for", r->pid,
			       strerrordesc_np(-k));
	}
	k = reap(r);
	drain(r, &r->out);
	drain(r, &r->err);
	res->wall_ns = time_mono_ns() - start;
	if (k < 0)
		return err_set(err, k, "%s: wait for its end: %s", spec->argv[0],
			       strerrordesc_np(-k));
	return finish(r, err);
}

int proc_run(const struct proc_spec *spec, struct proc_result *ret, struct err *err)
{
	__attribute__((cleanup(run_done))) struct run *r = NULL;
	struct proc_result unused;

	return run_inner(spec, ret ? ret : &unused, &r, err);
}

/* The last lines of a stream, control bytes replaced. */
static size_t last_lines(const struct stream *s, char *dst)
{
	size_t n = s->tail, from, lines = 0;

	while (n > 0 && (s->last[n - 1] == '\n' || s->last[n - 1] == ' '))
		n--;
	for (from = n; from > 0; from--)
		if (s->last[from - 1] == '\n' && ++lines == TAIL_LINES)
			break;
	for (size_t i = from; i < n; i++) {
		unsigned char c = (unsigned char) s->last[i];

		dst[i - from] = c == '\n' || (c >= 0x20 && c != 0x7f) ? (char) c : '?';
	}
	dst[n - from] = '\0';
	return n - from;
}

int proc_check(const struct proc_spec *spec, struct err *err)
{
	__attribute__((cleanup(run_done))) struct run *r = NULL;
	struct proc_result res;
	char text[TAIL_BYTES + 1];
	int k = run_inner(spec, &res, &r, err);

	if (k < 0 || res.exit_code == 0)
		return k;
	if (last_lines(&r->err, text) == 0)
		(void) last_lines(&r->out, text);
	if (res.signal)
		return err_set(err, -EIO, "%s: ended by signal %d (SIG%s)%s%s", spec->argv[0],
			       res.signal, sigabbrev_np(res.signal), *text ? ": " : "", text);
	return err_set(err, -EIO, "%s: exit status %d%s%s", spec->argv[0], res.exit_code,
		       *text ? ": " : "", text);
}
