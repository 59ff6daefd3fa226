/* SPDX-License-Identifier: Apache-2.0 */
/* With an argument this program is its own child process, see child(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/timeutil.h"
#include "support/fault.h"
#include "support/tmp.h"

#define SH(...)   ((const char *const[]){"/bin/sh", "-c", __VA_ARGS__, NULL})
#define ME(...)   ((const char *const[]){self, __VA_ARGS__, NULL})
#define WAIT_MS   30000 /* only passes when something is broken */
#define OUT(max)  BUF_INIT(max)
#define MAX_LINES 64

static char self[512];

/* What a child process can tell about itself. */
static int tell_facts(void)
{
	auto_free char *cwd = getcwd(NULL, 0);
	sigset_t mask;

	(void) printf("fds");
	for (int i = 0; i < 1024; i++)
		if (fcntl(i, F_GETFD) >= 0)
			(void) printf(" %d", i);
	(void) printf("\nleader %d\ncwd %s\n", getpgrp() == getpid(), cwd);
	if (sigprocmask(SIG_BLOCK, NULL, &mask) < 0)
		return 1;
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		struct sigaction act;

		if (sigismember(&mask, sig) == 1)
			(void) printf("blocks %d\n", sig);
		/* Two signals belong to the C library, which shows them to nobody. */
		if (sigaction(sig, NULL, &act) == 0 && act.sa_handler == SIG_IGN)
			(void) printf("ignores %d\n", sig);
	}
	return fflush(stdout) == 0 ? 0 : 1;
}

/* Leaves a process behind that escaped the group and keeps the output open; tells its pid. */
static int leave_daemon(bool stay)
{
	int p[2] = {-1, -1};
	char c;
	pid_t pid;

	if (pipe(p) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		(void) setsid();
		if (write(p[1], "x", 1) == 1)
			for (;;)
				(void) pause();
		_exit(1);
	}
	if (pid < 0 || read(p[0], &c, 1) != 1)
		return 1;
	(void) printf("%d\n", pid);
	(void) fflush(stdout);
	if (!stay)
		return 3;
	for (;;)
		(void) pause();
}

static int child(int argc, char **argv)
{
	if (strcmp(argv[1], "facts") == 0)
		return tell_facts();
	if (strcmp(argv[1], "daemon") == 0)
		return leave_daemon(false);
	if (strcmp(argv[1], "exe") == 0)
		return puts(proc_self_exe()) < 0;
	if (strcmp(argv[1], "cgroup") == 0 && argc > 2) {
		auto_fd int fd = open(argv[2], O_WRONLY | O_CLOEXEC);

		(void) signal(SIGTERM, SIG_IGN);
		return write(fd, "0", 1) == 1 ? leave_daemon(true) : 1;
	}
	return 2;
}

/* Output and a few words about how it came. */
struct lines {
	unsigned n;
	size_t len[MAX_LINES];
	enum proc_stream stream[MAX_LINES];
	char first[100];
	pid_t pid;             /* the number that a line holds */
	struct cancel *cancel; /* set when that line came */
	int tell_fd;           /* written to when that line came; 0 = none */
};

static void take_line(void *arg, enum proc_stream stream, const char *line, size_t n)
{
	struct lines *l = arg;

	assert_true(l->n < MAX_LINES);
	if (l->n == 0)
		(void) snprintf(l->first, sizeof(l->first), "%.*s", (int) n, line);
	l->stream[l->n] = stream;
	l->len[l->n++] = n;
	if (n > 0 && *line >= '1' && *line <= '9') {
		char digits[16];

		(void) snprintf(digits, sizeof(digits), "%.*s", (int) n, line);
		l->pid = (pid_t) strtol(digits, NULL, 10);
		if (l->cancel)
			cancel_set(l->cancel, -ETIME);
		if (l->tell_fd > 0)
			assert_int_equal(write(l->tell_fd, "x", 1), 1);
	}
}

/* Waits until a process that is no child of ours has ended. */
static void assert_ends(pid_t pid)
{
	auto_fd int fd = -1;
	struct pollfd p = {.events = POLLIN};

	assert_true(pid > 1);
	fd = pidfd_open(pid, 0);
	if (fd < 0) {
		assert_int_equal(errno, ESRCH);
		return;
	}
	p.fd = fd;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

static void exit_statuses(void **state)
{
	static const struct {
		const char *script;
		int code, sig;
	} rows[] = {{"exit 0", 0, 0},
		    {"exit 1", 1, 0},
		    {"exit 255", 255, 0},
		    {"kill -KILL $$", 137, SIGKILL},
		    {"kill -TERM $$", 143, SIGTERM},
		    {"exit 137", 137, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct proc_spec spec = {.argv = SH(rows[i].script)};
		struct proc_result res;

		assert_int_equal(proc_run(&spec, &res, NULL), 0);
		assert_int_equal(res.exit_code, rows[i].code);
		assert_int_equal(res.signal, rows[i].sig);
		assert_false(res.timed_out || res.cancelled);
		assert_true(res.wall_ns > 0);
		assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	}
}

static void output_is_split(void **state)
{
	static const size_t want[] = {3, 0, 5};
	auto_buf struct buf out = OUT(1000), errout = OUT(1000);
	struct lines l = {0};
	const struct proc_spec spec = {
		.argv = SH("printf 'one\\n\\nthree'; printf 'e\\n' >&2"),
		.line = take_line,
		.line_arg = &l,
		.out = &out,
		.errout = &errout,
	};

	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "one\n\nthree");
	assert_string_equal(buf_str(&errout), "e\n");
	assert_int_equal(l.n, 4);
	for (unsigned i = 0, k = 0; i < l.n; i++)
		if (l.stream[i] == PROC_STDOUT)
			assert_int_equal(l.len[i], want[k++ % 3]);
		else
			assert_int_equal(l.len[i], 1);
}

static void long_lines_come_in_pieces(void **state)
{
	const char *script = "a() { head -c $1 /dev/zero; }; a 8191; echo; a 8192; echo; "
			     "a 8193; echo; a 16384; echo; a 20000";
	static const size_t want[] = {8191, 8192, 8192, 1, 8192, 8192, 8192, 8192, 3616};
	struct lines l = {0};
	const struct proc_spec spec = {.argv = SH(script), .line = take_line, .line_arg = &l};

	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_int_equal(l.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(l.len[i], want[i]);
}

static void output_is_capped(void **state)
{
	auto_buf struct buf errout = OUT(4);
	struct lines l = {0};
	struct proc_spec spec = {
		.argv = SH("printf 0123456789abcdef; printf 0123456789AB >&2; exit 7"),
		.max_output = 10,
		.line = take_line,
		.line_arg = &l,
		.errout = &errout,
	};
	struct proc_result res;

	assert_int_equal(proc_run(&spec, &res, NULL), 0);
	assert_int_equal(res.exit_code, 7); /* it was not stopped by the cap */
	assert_int_equal(res.dropped, 6 + 2);
	assert_string_equal(l.first, "0123456789");
	assert_string_equal(buf_str(&errout), "012"); /* cut silently */
	spec.max_output = 16;
	l.n = 0;
	assert_int_equal(proc_run(&spec, &res, NULL), 0);
	assert_int_equal(res.dropped, 0);
	assert_int_equal(l.len[0] + l.len[1], 28);
}

/* A cut answer is never taken for a whole one. */
static void output_that_does_not_fit(void **state)
{
	auto_buf struct buf exact = OUT(6), small = OUT(5), roomy = OUT(100), done = OUT(100);
	const char *file = tmp_path(*state, "ended");
	struct proc_spec spec = {.argv = SH("printf 12345; : >$0", file), .out = &exact};
	auto_err struct err e = ERR_INIT;
	struct proc_result res;

	assert_int_equal(proc_run(&spec, &res, NULL), 0);
	assert_string_equal(buf_str(&exact), "12345");
	assert_int_equal(unlink(file), 0);
	spec.out = &small;
	assert_int_equal(proc_run(&spec, &res, &e), -EFBIG);
	assert_int_equal(res.exit_code, 0);
	assert_true(file_exists(file)); /* it ran to its end */
	assert_non_null(strstr(e.msg, "/bin/sh"));
	spec.out = &roomy;
	spec.max_output = 4;
	assert_int_equal(proc_run(&spec, &res, NULL), -EFBIG);
	assert_int_equal(res.dropped, 1);
	done.err = -ENOMEM;
	spec.out = &done;
	assert_int_equal(proc_run(&spec, &res, NULL), -ENOMEM);
}

static void much_output(void **state)
{
	auto_buf struct buf out = OUT(4u << 20);
	const struct proc_spec spec = {
		.argv = SH("head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2"),
		.out = &out,
	};

	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_int_equal(out.len, 3000000);
}

static void standard_input(void **state)
{
	auto_buf struct buf out = OUT(2u << 20);
	size_t n = 1000000;
	auto_free char *input = malloc(n);
	auto_fd int fd = open(tmp_file(*state, "in", "from a file"), O_RDONLY | O_CLOEXEC);
	struct proc_spec spec = {.argv = SH("cat"), .out = &out, .input = input, .input_bytes = n};

	assert_non_null(input);
	for (size_t i = 0; i < n; i++)
		input[i] = (char) (i * 7 / 3);
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_int_equal(out.len, n);
	assert_memory_equal(out.data, input, n);
	buf_clear(&out);
	spec.input_bytes = 0;
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_int_equal(out.len, 0);
	spec.input = NULL;
	spec.stdin_fd = fd;
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "from a file");
	buf_clear(&out);
	for (int none = -1; none <= 0; none++) {
		spec.stdin_fd = none;
		assert_int_equal(proc_run(&spec, NULL, NULL), 0);
		assert_int_equal(out.len, 0);
	}
}

static void environment_is_exactly_as_given(void **state)
{
	static const char *const env[] = {"B=x y", "A=1", NULL}, *const empty[] = {NULL};
	auto_buf struct buf out = OUT(1000);
	struct proc_spec spec = {.argv = (const char *const[]){"/usr/bin/env", NULL}, .out = &out};

	assert_int_equal(setenv("SECRET", "x", 1), 0);
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLANG=C.UTF-8\n");
	buf_clear(&out);
	spec.envp = env;
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "B=x y\nA=1\n");
	buf_clear(&out);
	spec.envp = empty;
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "");
}

/* Other descriptors, blocked and ignored signals and the directory stay with the parent. */
static void child_inherits_nothing(void **state)
{
	auto_buf struct buf out = OUT(1000);
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
	const char *kept = tmp_file(*state, "kept", "text");
	int fds[] = {fcntl(open(kept, O_RDONLY | O_CLOEXEC), F_DUPFD_CLOEXEC, 70), 0};
	int leaked = open("/dev/null", O_RDONLY); /* NOLINT: not close-on-exec, on purpose */
	sigset_t all, before;
	struct proc_spec spec = {.argv = ME("facts"), .out = &out};

	fds[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, 60);
	(void) sigfillset(&all);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, &before), 0);
	assert_int_equal(sigaction(SIGUSR1, &ignore, &old), 0);
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "fds 0 1 2\nleader 1\ncwd /\n");
	buf_clear(&out);
	spec.keep_fds = fds;
	spec.n_keep_fds = 2;
	spec.cwd = "/tmp";
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "fds 0 1 2 60 70\nleader 1\ncwd /tmp\n");
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC); /* still so in the parent */
	buf_clear(&out);
	spec.argv = SH("cat /proc/self/fd/70");
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "text");
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
	assert_int_equal(close(fds[0]) + close(fds[1]) + close(leaked), 0);
}

static void descriptors_that_cannot_be_kept(void **state)
{
	const int low = 2, closed = 900;
	struct proc_spec spec = {.argv = SH("exit 0"), .keep_fds = &low, .n_keep_fds = 1};

	assert_int_equal(proc_run(&spec, NULL, NULL), -EINVAL);
	spec.keep_fds = &closed;
	assert_int_equal(proc_run(&spec, NULL, NULL), -EBADF);
}

static void *run_facts(void *arg)
{
	auto_buf struct buf out = OUT(1000);
	const struct proc_spec spec = {.argv = ME("facts"), .out = &out};

	return proc_run(&spec, NULL, NULL) == 0 && str_starts(buf_str(&out), "fds 0 1 2\n") ? arg
											    : NULL;
}

/* Many at a time: no child gets another one's pipes. */
static void from_many_threads(void **state)
{
	pthread_t t[8];
	unsigned fds = tmp_fds();

	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, run_facts, t), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		void *ret = NULL;

		assert_int_equal(pthread_join(t[i], &ret), 0);
		assert_ptr_equal(ret, t);
	}
	assert_int_equal(tmp_fds(), fds);
}

static void what_cannot_start(void **state)
{
	const char *plain = tmp_file(*state, "plain", "x");
	auto_err struct err e = ERR_INIT;
	struct proc_spec spec = {.argv = (const char *const[]){"/nonexistent/tool", NULL}};
	unsigned fds = tmp_fds();

	assert_int_equal(proc_run(&spec, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/nonexistent/tool"));
	assert_non_null(e.hint);
	spec.argv = (const char *const[]){plain, NULL};
	assert_int_equal(proc_run(&spec, NULL, &e), -EACCES);
	spec.argv = (const char *const[]){"sh", NULL};
	assert_int_equal(proc_run(&spec, NULL, &e), -EINVAL);
	spec.argv = (const char *const[]){NULL};
	assert_int_equal(proc_run(&spec, NULL, &e), -EINVAL);
	spec.argv = NULL;
	assert_int_equal(proc_run(&spec, NULL, &e), -EINVAL);
	spec.argv = SH("exit 0");
	spec.cwd = "/nonexistent/dir";
	assert_int_equal(proc_run(&spec, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/nonexistent/dir"));
	assert_int_equal(tmp_fds(), fds);
}

static void time_limit(void **state)
{
	const struct proc_spec spec = {.argv = SH("sleep 1000"), .timeout_ms = 20};
	auto_err struct err e = ERR_INIT;
	struct proc_result res;

	assert_int_equal(proc_run(&spec, &res, &e), -ETIME);
	assert_true(res.timed_out);
	assert_false(res.cancelled);
	assert_int_equal(res.signal, SIGTERM);
	assert_non_null(strstr(e.msg, "20 ms"));
}

/* TERM is ignored by the shell and what it started; KILL is not. */
static void term_proof_tree_is_killed(void **state)
{
	struct cancel c;
	struct lines l = {.cancel = &c};
	const struct proc_spec spec = {
		.argv = SH("trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000"),
		.grace_ms = 20,
		.cancel = &c,
		.line = take_line,
		.line_arg = &l,
	};
	struct proc_result res;

	assert_int_equal(cancel_init(&c), 0);
	assert_int_equal(proc_run(&spec, &res, NULL), -ETIME); /* the reason given */
	assert_true(res.cancelled);
	assert_int_equal(res.signal, SIGKILL);
	assert_ends(l.pid);
	/* A cancel that is set already starts nothing. */
	l.n = 0;
	assert_int_equal(proc_run(&spec, &res, NULL), -ETIME);
	assert_true(res.cancelled);
	assert_int_equal(l.n, 0);
	cancel_done(&c);
}

struct canceller {
	struct cancel c;
	int wait_fd;
};

static void *cancel_when_told(void *arg)
{
	struct canceller *k = arg;
	char c;

	if (read(k->wait_fd, &c, 1) == 1)
		cancel_set(&k->c, -ECANCELED);
	return NULL;
}

static void cancelled_by_another_thread(void **state)
{
	struct canceller k;
	struct lines l = {0};
	struct proc_spec spec = {.argv = SH("echo 1; sleep 1000"),
				 .line = take_line,
				 .line_arg = &l,
				 .cancel = &k.c};
	auto_err struct err e = ERR_INIT;
	struct proc_result res;
	pthread_t t;
	int p[2];

	assert_int_equal(cancel_init(&k.c), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	k.wait_fd = p[0];
	l.tell_fd = p[1];
	assert_int_equal(pthread_create(&t, NULL, cancel_when_told, &k), 0);
	assert_int_equal(proc_run(&spec, &res, &e), -ECANCELED);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_true(res.cancelled);
	assert_false(res.timed_out);
	assert_non_null(strstr(e.msg, "cancelled"));
	assert_int_equal(close(p[0]) + close(p[1]), 0);
	cancel_done(&k.c);
}

/* What is left in the group when the process ends by itself. */
static void leftovers_are_killed(void **state)
{
	struct lines l = {0};
	const struct proc_spec spec = {
		.argv = SH("sleep 1000 & echo $!"), .line = take_line, .line_arg = &l};
	struct proc_result res;

	assert_int_equal(proc_run(&spec, &res, NULL), 0);
	assert_int_equal(res.exit_code, 0);
	assert_ends(l.pid);
}

static void escaped_descendant_does_not_delay(void **state)
{
	struct lines l = {0};
	const struct proc_spec spec = {.argv = ME("daemon"), .line = take_line, .line_arg = &l};
	struct proc_result res;

	assert_int_equal(proc_run(&spec, &res, NULL), 0); /* else it waits for ever */
	assert_int_equal(res.exit_code, 3);
	assert_true(l.pid > 1);
	assert_int_equal(kill(l.pid, 0), 0); /* and still holds the pipe */
	assert_int_equal(kill(l.pid, SIGKILL), 0);
	assert_ends(l.pid);
}

static bool make_cgroup(char *dst, size_t n)
{
	static const char *const roots[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		if (!file_exists(tmp_path(roots[i], "cgroup.controllers")))
			continue;
		(void) snprintf(dst, n, "%s/kiln-test-%d", roots[i], getpid());
		if (mkdir(dst, 0755) < 0)
			continue;
		if (file_exists(tmp_path(dst, "cgroup.kill")))
			return true;
		(void) rmdir(dst);
	}
	return false;
}

static void remove_cgroup(const char *path)
{
	int64_t end = time_mono_ns() + WAIT_MS * INT64_C(1000000);

	/* Empty, but the kernel may need a moment to see it. */
	while (rmdir(path) < 0) {
		assert_int_equal(errno, EBUSY);
		assert_true(time_mono_ns() < end);
		(void) sched_yield();
	}
}

static void cgroup_kills_what_escaped(void **state)
{
	char group[200], procs[240], killer[240];
	struct cancel c;
	struct lines l = {.cancel = &c};
	struct proc_spec spec = {.argv = ME("cgroup", procs),
				 .grace_ms = 60000, /* so it is not this that ends it */
				 .cancel = &c,
				 .line = take_line,
				 .line_arg = &l,
				 .cgroup_kill = killer};
	struct proc_result res;

	if (!make_cgroup(group, sizeof(group)))
		tmp_skip("no cgroup v2 that we may write to");
	(void) snprintf(procs, sizeof(procs), "%s/cgroup.procs", group);
	(void) snprintf(killer, sizeof(killer), "%s/cgroup.kill", group);
	assert_int_equal(cancel_init(&c), 0);
	assert_int_equal(proc_run(&spec, &res, NULL), -ETIME);
	assert_int_equal(res.signal, SIGKILL);
	assert_ends(l.pid);
	remove_cgroup(group);
	cancel_done(&c);
}

static void checked(void **state)
{
	auto_err struct err e = ERR_INIT;
	struct proc_spec spec = {.argv = SH("exit 0")};

	assert_int_equal(proc_check(&spec, &e), 0);
	spec.argv = SH("for i in 1 2 3 4 5 6 7; do echo l$i >&2; done; echo out; exit 9");
	assert_int_equal(proc_check(&spec, &e), -EIO);
	assert_string_equal(e.msg, "/bin/sh: exit status 9: l3\nl4\nl5\nl6\nl7");
	spec.argv = SH("echo only out; exit 1");
	assert_int_equal(proc_check(&spec, &e), -EIO);
	assert_string_equal(e.msg, "/bin/sh: exit status 1: only out");
	spec.argv = SH("exit 1");
	assert_int_equal(proc_check(&spec, &e), -EIO);
	assert_string_equal(e.msg, "/bin/sh: exit status 1");
	spec.argv = SH("printf 'a\\033[1m\\177\\n' >&2; kill -KILL $$");
	assert_int_equal(proc_check(&spec, &e), -EIO);
	assert_string_equal(e.msg, "/bin/sh: ended by signal 9 (SIGKILL): a?[1m?");
	/* Of endless output the end is kept. */
	spec.argv = SH("head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1");
	assert_int_equal(proc_check(&spec, &e), -EIO);
	assert_true(str_ends(e.msg, "xxend"));
	assert_true(strlen(e.msg) < 2200);
	spec.argv = (const char *const[]){"/nonexistent", NULL};
	assert_int_equal(proc_check(&spec, &e), -ENOENT);
}

static void without_memory(void **state)
{
	unsigned fds = tmp_fds();

	for (unsigned n = 1;; n++) {
		auto_buf struct buf out = OUT(1000);
		auto_err struct err e = ERR_INIT;
		const struct proc_spec spec = {.argv = SH("echo hello"), .out = &out};
		bool armed = true;
		int r;

		fault_alloc_nth(n, &armed);
		r = proc_run(&spec, NULL, &e);
		fault_alloc_off();
		assert_int_equal(r, armed ? 0 : -ENOMEM);
		assert_true(!armed || strcmp(buf_str(&out), "hello\n") == 0);
		assert_int_equal(tmp_fds(), fds);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing unreaped */
		assert_int_equal(errno, ECHILD);
		if (armed) {
			assert_true(n > 3);
			return;
		}
	}
}

/* Reads what a started process says, up to @word. */
static void wait_for(int fd, struct buf *said, const char *word)
{
	char c;

	while (!strstr(buf_str(said), word)) {
		assert_int_equal(read(fd, &c, 1), 1);
		assert_int_equal(buf_addch(said, c), 0);
	}
}

static void started_and_stopped(void **state)
{
	auto_buf struct buf said = OUT(1000);
	const struct proc_spec polite = {.argv = SH("echo to-err >&2; echo ready; sleep 1000")};
	const struct proc_spec stubborn = {
		.argv = SH("trap '' TERM; sleep 1000 & echo $! ready; wait; sleep 1000")};
	unsigned fds = tmp_fds();
	int p[2], fd = -1;
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(proc_spawn(&polite, p[1], &pid, &fd, NULL), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	wait_for(p[0], &said, "ready\n");
	assert_string_equal(buf_str(&said), "to-err\nready\n");
	assert_true(proc_alive(pid, proc_start_ticks(pid)));
	assert_int_equal(proc_stop(pid, fd, WAIT_MS), 0);
	assert_int_equal(proc_start_ticks(pid), 0);
	assert_int_equal(proc_stop(pid, fd, 0), 0); /* already gone */
	assert_int_equal(close(fd), 0);

	buf_clear(&said);
	assert_int_equal(proc_spawn(&stubborn, p[1], &pid, &fd, NULL), 0);
	wait_for(p[0], &said, "ready\n");
	assert_int_equal(proc_stop(pid, fd, 10), 0);
	assert_int_equal(proc_start_ticks(pid), 0);
	assert_ends((pid_t) strtol(buf_str(&said), NULL, 10));
	assert_int_equal(close(fd) + close(p[0]) + close(p[1]), 0);
	assert_int_equal(tmp_fds(), fds);
}

static void zombies_are_not_alive(void **state)
{
	const struct proc_spec spec = {.argv = SH("exit 5")};
	struct pollfd p = {.events = POLLIN};
	uint64_t start;
	int fd = -1;
	pid_t pid;

	assert_int_equal(proc_spawn(&spec, -1, &pid, &fd, NULL), 0);
	p.fd = fd;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	start = proc_start_ticks(pid);
	assert_true(start > 0);
	assert_false(proc_alive(pid, start));
	assert_int_equal(proc_stop(pid, fd, 0), 0);
	assert_int_equal(close(fd), 0);
}

static void stop_of_a_stranger(void **state)
{
	struct lines l = {0};
	const struct proc_spec spec = {.argv = ME("daemon"), .line = take_line, .line_arg = &l};
	int fd;

	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	fd = pidfd_open(l.pid, 0);
	assert_true(fd >= 0);
	assert_int_equal(proc_stop(l.pid, fd, WAIT_MS), 0);
	assert_int_equal(close(fd), 0);
	assert_ends(l.pid);
}

static void who_is_alive(void **state)
{
	uint64_t start = proc_start_ticks(getpid());
	char name[16];

	assert_true(start > 0);
	assert_true(proc_alive(getpid(), start));
	assert_false(proc_alive(getpid(), start + 1));
	assert_false(proc_alive(0, 0));
	assert_false(proc_alive(-1, 0));
	assert_int_equal(proc_start_ticks(0), 0);
	/* A name made to confuse readers of /proc/PID/stat. */
	assert_int_equal(prctl(PR_GET_NAME, name), 0);
	assert_int_equal(prctl(PR_SET_NAME, "x) Z 1 (2 3"), 0);
	assert_true(proc_alive(getpid(), start));
	assert_int_equal(prctl(PR_SET_NAME, name), 0);
}

static void programs_are_found(void **state)
{
	auto_free char *path = NULL;
	auto_err struct err e = ERR_INIT;

	assert_int_equal(proc_find("sh", "dash", &path, NULL), 0);
	assert_true(*path == '/' && str_ends(path, "/sh"));
	assert_int_equal(proc_find("no-such-tool", "some-package", &path, &e), -ENOENT);
	assert_string_equal(e.target, "no-such-tool");
	assert_non_null(strstr(e.hint, "some-package"));
	assert_int_equal(proc_find("../bin/sh", "x", &path, &e), -EINVAL);
	assert_int_equal(proc_find("", "x", &path, &e), -EINVAL);
}

static void own_program(void **state)
{
	static const char *const env[] = {"KILN_EXE=/some/kiln", NULL};
	static const char *const relative[] = {"KILN_EXE=kiln", NULL};
	auto_buf struct buf out = OUT(1000);
	struct proc_spec spec = {.argv = ME("exe"), .out = &out, .envp = env};

	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_string_equal(buf_str(&out), "/some/kiln\n");
	buf_clear(&out);
	spec.envp = relative;
	assert_int_equal(proc_run(&spec, NULL, NULL), 0);
	assert_memory_equal(buf_str(&out), self, strlen(self));
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_statuses),
		cmocka_unit_test(output_is_split),
		cmocka_unit_test(long_lines_come_in_pieces),
		cmocka_unit_test(output_is_capped),
		WITH_DIR(output_that_does_not_fit),
		cmocka_unit_test(much_output),
		WITH_DIR(standard_input),
		cmocka_unit_test(environment_is_exactly_as_given),
		WITH_DIR(child_inherits_nothing),
		cmocka_unit_test(descriptors_that_cannot_be_kept),
		cmocka_unit_test(from_many_threads),
		WITH_DIR(what_cannot_start),
		cmocka_unit_test(time_limit),
		cmocka_unit_test(term_proof_tree_is_killed),
		cmocka_unit_test(cancelled_by_another_thread),
		cmocka_unit_test(leftovers_are_killed),
		cmocka_unit_test(escaped_descendant_does_not_delay),
		cmocka_unit_test(cgroup_kills_what_escaped),
		cmocka_unit_test(checked),
		cmocka_unit_test(without_memory),
		cmocka_unit_test(started_and_stopped),
		cmocka_unit_test(zombies_are_not_alive),
		cmocka_unit_test(stop_of_a_stranger),
		cmocka_unit_test(who_is_alive),
		cmocka_unit_test(programs_are_found),
		cmocka_unit_test(own_program),
	};
	ssize_t n;

	if (argc > 1)
		return child(argc, argv);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return 1;
	self[n] = '\0';
	return cmocka_run_group_tests(tests, NULL, NULL);
}
