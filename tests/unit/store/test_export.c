/* SPDX-License-Identifier: Apache-2.0 */
/* Exports through a real nbdkit, read by real clients. */
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "util.h"

#include "base/proc.h"
#include "store/export.h"

#define MIB (1024u * 1024u)

struct fixture {
	char *dir, *run;
	struct store *s;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	auto_err struct err e = ERR_INIT;
	auto_free char *sdir = NULL;

	assert_non_null(f);
	f->dir = scratch_new();
	f->run = path_join(f->dir, "run");
	sdir = path_join(f->dir, "store");
	assert_ok(store_open_dir(sdir, false, &f->s, &e), e);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->s);
	scratch_free(f->dir);
	free(f->run);
	free(f);
	return 0;
}

static struct disk_ref ingest(struct fixture *f, int fd, const char *name)
{
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct disk_ref d;

	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	assert_ok(store_ingest(ss, 0, fd, 0, NULL, NULL, &d, NULL, &e), e);
	assert_ok(store_root_add(ss, 0, "name", name, &d, &e), e);
	store_session_end(ss);
	return d;
}

static int run_tool(const char *const *argv)
{
	auto_err struct err e = ERR_INIT;
	auto_free char *path = NULL;
	const char *real[12] = {0};
	struct proc_spec ps = {.argv = real, .timeout_ms = 60000};
	struct proc_result res;

	assert_ok(proc_find(argv[0], argv[0], &path, &e), e);
	for (size_t i = 0; argv[i]; i++)
		real[i] = i ? argv[i] : path;
	assert_ok(proc_run(&ps, &res, &e), e);
	return res.exit_code;
}

static char *uri(const struct nbd_host *h, const struct nbd_export *x)
{
	char *u = strf("nbd+unix:///%s?socket=%s", nbd_export_name(x), nbd_host_socket(h));

	assert_non_null(u);
	return u;
}

static void an_export_reads_like_the_disk(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", 40 * MIB + 512, 3, 0);
	auto_free char *raw = path_join(f->dir, "a"), *copy = path_join(f->dir, "copy");
	struct disk_ref d = ingest(f, fd, "a");
	struct nbd_host *h = NULL;
	struct nbd_export *x = NULL;
	auto_err struct err e = ERR_INIT;
	auto_free char *u = NULL, *stats = path_join(f->run, "nbd.stats");
	auto_json json_t *j = NULL;
	auto_fd int got = -1;

	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &h, &e), e);
	assert_ok(nbd_export_new(h, 0, &d, &x, &e), e);
	u = uri(h, x);
	assert_int_equal(run_tool((const char *[]){"qemu-img", "compare", "-f", "raw", "-F", "raw",
						   raw, u, NULL}),
			 0);
	assert_int_equal(run_tool((const char *[]){"nbdcopy", u, copy, NULL}), 0);
	got = open(copy, O_RDONLY | O_CLOEXEC);
	assert_true(got >= 0);
	assert_same_files(fd, got);
	nbd_export_free(x);
	/* Revoked. */
	assert_int_not_equal(run_tool((const char *[]){"nbdinfo", "--size", u, NULL}), 0);
	nbd_host_release(h);
	assert_int_equal(json_read_file(stats, &j, NULL), 0);
	assert_true(json_int_at(j, "connections", 0) >= 2);
	assert_true(json_int_at(j, "readBytes", 0) >= 8 * MIB);
	assert_true(json_int_at(j, "reads", 0) > 0);
	assert_int_equal(json_int_at(j, "failedReads", -1), 0);
	assert_true(json_int_at(j, "cacheMisses", 0) > 0);
	assert_true(json_int_at(j, "cacheHits", 0) > 0);
}

static void content_added_later_is_visible(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 2 * MIB, 1, 0);
	auto_fd int b = disk_file(f->dir, "b", 34 * MIB, 1, 100);
	auto_free char *raw = path_join(f->dir, "b");
	struct disk_ref da = ingest(f, a, "a"), db;
	struct nbd_host *h = NULL;
	struct nbd_export *xa = NULL, *xb = NULL;
	auto_err struct err e = ERR_INIT;
	auto_free char *ua = NULL, *ub = NULL;

	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &h, &e), e);
	assert_ok(nbd_export_new(h, 0, &da, &xa, &e), e);
	ua = uri(h, xa);
	assert_int_equal(run_tool((const char *[]){"nbdinfo", "--size", ua, NULL}), 0);
	db = ingest(f, b, "b");
	assert_ok(nbd_export_new(h, 0, &db, &xb, &e), e);
	ub = uri(h, xb);
	assert_int_equal(run_tool((const char *[]){"qemu-img", "compare", "-f", "raw", "-F", "raw",
						   raw, ub, NULL}),
			 0);
	nbd_export_free(xa);
	nbd_export_free(xb);
	nbd_host_release(h);
}

static void names_are_needed_and_not_listed(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 0);
	struct disk_ref d = ingest(f, fd, "a");
	struct nbd_host *h = NULL;
	struct nbd_export *x = NULL;
	auto_err struct err e = ERR_INIT;
	static const char *const bad[] = {"", "..", "00000000000000000000000000000000",
					  "../exports/00000000000000000"};

	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &h, &e), e);
	assert_ok(nbd_export_new(h, 0, &d, &x, &e), e);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_free char *u = strf("nbd+unix:///%s?socket=%s", bad[i], nbd_host_socket(h));

		assert_int_not_equal(run_tool((const char *[]){"nbdinfo", "--size", u, NULL}), 0);
	}
	nbd_export_free(x);
	nbd_host_release(h);
}

static void a_dead_disk_is_not_exported(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 0);
	struct disk_ref d = ingest(f, fd, "a");
	struct nbd_host *h = NULL;
	struct nbd_export *x = NULL;
	auto_err struct err e = ERR_INIT;

	assert_ok(store_root_remove(f->s, -1, "name", "a", &e), e);
	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &h, &e), e);
	assert_int_equal(nbd_export_new(h, 0, &d, &x, NULL), -ENOENT);
	nbd_host_release(h);
}

static pid_t daemon_pid(const struct fixture *f)
{
	auto_free char *path = path_join(f->run, "nbd.pid");
	auto_buf struct buf b = BUF_INIT(64);

	if (file_read_all(path, &b, NULL) < 0)
		return 0;
	return (pid_t) strtol(buf_str(&b), NULL, 10);
}

static void one_daemon_serves_all_and_ends_with_the_last(void **state)
{
	struct fixture *f = *state;
	struct nbd_host *a = NULL, *b = NULL;
	auto_err struct err e = ERR_INIT;
	pid_t pid;

	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &a, &e), e);
	pid = daemon_pid(f);
	assert_true(pid > 0);
	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &b, &e), e);
	assert_int_equal(daemon_pid(f), pid);
	nbd_host_release(b);
	assert_int_equal(kill(pid, 0), 0);
	nbd_host_release(a);
	assert_int_equal(kill(pid, 0), -1);
}

static void a_killed_daemon_is_replaced(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 0);
	struct disk_ref d = ingest(f, fd, "a");
	struct nbd_host *a = NULL, *b = NULL;
	struct nbd_export *x = NULL;
	auto_err struct err e = ERR_INIT;
	auto_free char *u = NULL;
	struct pollfd p = {.events = POLLIN};
	pid_t pid;

	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &a, &e), e);
	pid = daemon_pid(f);
	p.fd = (int) syscall(SYS_pidfd_open, pid, 0);
	assert_true(p.fd >= 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(poll(&p, 1, 60000), 1);
	(void) close(p.fd);
	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &b, &e), e);
	assert_int_not_equal(daemon_pid(f), pid);
	assert_ok(nbd_export_new(b, 0, &d, &x, &e), e);
	u = uri(b, x);
	assert_int_equal(run_tool((const char *[]){"nbdinfo", "--size", u, NULL}), 0);
	nbd_export_free(x);
	nbd_host_release(a);
	nbd_host_release(b);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_export_reads_like_the_disk),
		T(content_added_later_is_visible),
		T(names_are_needed_and_not_listed),
		T(a_dead_disk_is_not_exported),
		T(one_daemon_serves_all_and_ends_with_the_last),
		T(a_killed_daemon_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
