/* SPDX-License-Identifier: Apache-2.0 */
/* Real things of each kind, undone. With an argument this program is a child that waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>

#include "base/file.h"
#include "base/journal.h"
#include "base/mem.h"
#include "base/proc.h"
#include "support/tmp.h"

#define WAIT_MS 30000 /* only passes when something is broken */

static char self[512];

struct fixture {
	void *dir;
	struct journal *j;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || tmp_dir_setup(&f->dir) < 0)
		return -1;
	*state = f;
	return journal_open(tmp_path(f->dir, "journal"), &f->j, NULL);
}

static int teardown(void **state)
{
	static const char *const mounts[] = {"m/in", "m", "m", "other", "ns"};
	struct fixture *f = *state;
	void *dir = f->dir;

	/* Left only by a test that failed. */
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
		(void) umount2(tmp_path(dir, mounts[i]), MNT_DETACH | UMOUNT_NOFOLLOW);
	journal_close(f->j);
	free(f);
	return tmp_dir_teardown(&dir);
}

/* Registers a thing and undoes it. */
static int undone(const struct fixture *f, const char *kind, json_t *facts)
{
	struct journal_entry *e = NULL;
	auto_err struct err err = ERR_INIT;
	int r;

	assert_int_equal(journal_add(f->j, kind, facts, &e, NULL), 0);
	r = journal_undo(e, &err);
	assert_int_equal(err.code, r);
	return r;
}

static int path_undone(const struct fixture *f, const char *kind, const char *path)
{
	return undone(f, kind, json_pack("{s:s}", "path", path));
}

static void paths_that_are_refused(void **state)
{
	static const char *const kinds[] = {"file", "tree", "mount", "netns", "cgroup"};
	static const char *const bad[] = {"",          "relative", "/", "//", "/tmp/../etc/x",
					  "/tmp/x/..", "/tmp/./x"};
	const struct fixture *f = *state;

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			if (path_undone(f, kinds[k], bad[i]) != -EINVAL)
				fail_msg("%s accepts \"%s\"", kinds[k], bad[i]);
		assert_int_equal(undone(f, kinds[k], json_object()), -EINVAL);
		assert_int_equal(undone(f, kinds[k], json_pack("{s:i}", "path", 1)), -EINVAL);
	}
	assert_int_equal(path_undone(f, "tree", "/kiln-no-such-thing"), -EINVAL);
	assert_int_equal(path_undone(f, "cgroup", "/sys/fs"), -EINVAL);
	assert_int_equal(undone(f, "loop", json_object()), -EINVAL);
	assert_int_equal(undone(f, "loop", json_pack("{s:s}", "backing", "/x")), -EINVAL);
}

static void absent_is_success(void **state)
{
	static const char *const kinds[] = {"file", "tree", "mount", "netns", "cgroup"};
	const struct fixture *f = *state;
	const char *file = tmp_file(f->dir, "file", "x");

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		assert_int_equal(path_undone(f, kinds[k], tmp_path(f->dir, "none")), 0);
		assert_int_equal(path_undone(f, kinds[k], tmp_path(f->dir, "no/none")), 0);
	}
	assert_int_equal(path_undone(f, "file", tmp_path(file, "below")), 0);
	assert_int_equal(path_undone(f, "mount", f->dir), 0); /* no mount point */
	assert_int_equal(undone(f, "loop", json_pack("{s:s}", "backing", tmp_path(f->dir, "none"))),
			 0);
	assert_true(file_exists(file));
}

static void files_and_trees(void **state)
{
	const struct fixture *f = *state;
	const char *kept = tmp_file(f->dir, "kept", "x"), *link = tmp_path(f->dir, "link");
	const char *tree = tmp_path(f->dir, "t");

	assert_int_equal(symlink(kept, link), 0);
	assert_int_equal(path_undone(f, "file", link), 0);
	assert_false(file_exists(link));
	assert_int_equal(mkfifo(link, 0600), 0);
	assert_int_equal(path_undone(f, "file", link), 0);
	assert_false(file_exists(link));
	assert_int_equal(file_mkdir_p(tmp_path(f->dir, "t/a/b"), 0700, NULL), 0);
	assert_int_equal(path_undone(f, "file", tree), -EISDIR);
	assert_int_equal(symlink(f->dir, tmp_path(f->dir, "t/up")), 0);
	assert_int_equal(path_undone(f, "tree", tree), 0);
	assert_false(file_exists(tree));
	assert_true(file_exists(kept));
}

static void assert_ends(pid_t pid)
{
	auto_fd int fd = pidfd_open(pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		assert_int_equal(errno, ESRCH);
	else
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

/* Starts a shell that tells the pid of what it started, and reads that. */
static pid_t start(const char *script, pid_t *ret_pid, int *ret_pidfd)
{
	const struct proc_spec spec = {
		.argv = (const char *const[]){"/bin/sh", "-c", script, NULL}};
	char text[32];
	size_t n = 0;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(proc_spawn(&spec, p[1], ret_pid, ret_pidfd, NULL), 0);
	assert_int_equal(close(p[1]), 0);
	do
		assert_int_equal(read(p[0], text + n, 1), 1);
	while (text[n++] != '\n' && n < sizeof(text));
	assert_int_equal(close(p[0]), 0);
	return (pid_t) strtol(text, NULL, 10);
}

static json_t *process_facts(pid_t pid, uint64_t started, pid_t group)
{
	return json_pack("{s:i, s:I, s:i}", "pid", (int) pid, "start", (json_int_t) started, "pgid",
			 (int) group);
}

static void processes(void **state)
{
	const struct fixture *f = *state;
	pid_t pid, member;
	uint64_t started;
	int fd;

	member = start("sleep 1000 & echo $!; wait", &pid, &fd);
	started = proc_start_ticks(pid);
	/* Another process of that number: not ours to kill. */
	assert_int_equal(undone(f, "process", process_facts(pid, started + 1, pid)), 0);
	assert_true(proc_alive(pid, started));
	assert_int_equal(undone(f, "process", process_facts(pid, started, pid)), 0);
	assert_false(proc_alive(pid, started));
	assert_ends(member);
	assert_int_equal(proc_stop(pid, fd, 0) + close(fd), 0);
	assert_int_equal(undone(f, "process", process_facts(pid, started, pid)), 0); /* gone */

	assert_int_equal(undone(f, "process", json_pack("{s:s}", "name", "not started")), 0);
	assert_int_equal(undone(f, "process", process_facts(1, proc_start_ticks(1), 1)), -EINVAL);
	assert_int_equal(
		undone(f, "process", process_facts(getpid(), proc_start_ticks(getpid()), 0)),
		-EINVAL);
	assert_int_equal(undone(f, "process", process_facts(-1, 5, 0)), -EINVAL);
}

/* The leader has ended and nobody reaped it yet; its group lives on. */
static void process_that_left_its_group(void **state)
{
	const struct fixture *f = *state;
	struct pollfd p = {.events = POLLIN};
	pid_t pid, member;
	int fd;

	member = start("sleep 1000 & echo $!", &pid, &fd);
	p.fd = fd;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(undone(f, "process", process_facts(pid, proc_start_ticks(pid), pid)), 0);
	assert_ends(member);
	assert_int_equal(proc_stop(pid, fd, 0) + close(fd), 0);
}

static bool mounted(const char *path)
{
	struct stat a, b;
	auto_free char *up = path_join(path, "..");

	assert_int_equal(lstat(path, &a), 0);
	assert_int_equal(lstat(up, &b), 0);
	return a.st_dev != b.st_dev;
}

static void mount_tmpfs(const char *path)
{
	assert_int_equal(file_mkdir_p(path, 0700, NULL), 0);
	assert_int_equal(mount("none", path, "tmpfs", 0, "size=64k"), 0);
}

static void mounts(void **state)
{
	const struct fixture *f = *state;
	const char *m = tmp_path(f->dir, "m"), *other = tmp_path(f->dir, "other");
	auto_free char *slash = path_join(m, "");
	int busy;

	if (geteuid() != 0)
		tmp_skip("mounting needs root");
	if (mount("none", f->dir, "tmpfs", 0, "size=64k") < 0)
		tmp_skip("mounting is not permitted here");
	assert_int_equal(umount(f->dir), 0);
	mount_tmpfs(other);
	/* Two on top of each other, one below, a file in use. */
	mount_tmpfs(m);
	mount_tmpfs(m);
	mount_tmpfs(tmp_path(f->dir, "m/in"));
	busy = open(tmp_file(f->dir, "m/in/open", "x"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(path_undone(f, "mount", m), 0);
	assert_false(mounted(m));
	assert_int_equal(tmp_names(m), 0);
	assert_int_equal(close(busy), 0);
	assert_true(mounted(other));
	mount_tmpfs(m);
	assert_int_equal(path_undone(f, "mount", slash), 0);
	assert_false(mounted(m));
	/* Through a link on the way; a name that needs escapes in the mount table. */
	assert_int_equal(symlink(f->dir, tmp_path(f->dir, "way")), 0);
	mount_tmpfs(tmp_path(f->dir, "a b\\\n"));
	assert_int_equal(path_undone(f, "mount", tmp_path(f->dir, "way/a b\\\n")), 0);
	assert_false(mounted(tmp_path(f->dir, "a b\\\n")));
	assert_true(mounted(other));
	/* A name that begins like another one. */
	assert_int_equal(path_undone(f, "mount", tmp_path(f->dir, "oth")), 0);
	assert_true(mounted(other));
	assert_int_equal(path_undone(f, "mount", other), 0);
	assert_false(mounted(other));
}

/* Attaches a file; false when this machine gives no loop devices. */
static bool attach(const char *file, char *ret_device, size_t n)
{
	auto_fd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	auto_fd int backing = open(file, O_RDWR | O_CLOEXEC);
	struct loop_config c = {0};

	for (unsigned i = 0; control >= 0 && i < 20; i++) { /* somebody else may be faster */
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		auto_fd int fd = -1;

		(void) snprintf(ret_device, n, "/dev/loop%d", number);
		fd = number < 0 ? -1 : open(ret_device, O_RDWR | O_CLOEXEC);
		c.fd = (uint32_t) backing;
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &c) == 0)
			return true;
	}
	return false;
}

static bool attached(const char *device)
{
	char path[100];

	(void) snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", device + 5);
	return file_exists(path);
}

static void loops(void **state)
{
	const struct fixture *f = *state;
	const char *file = tmp_file(f->dir, "disk", ""), *other = tmp_file(f->dir, "other", "");
	char a[32], b[32], c[32];

	if (geteuid() != 0)
		tmp_skip("loop devices need root");
	assert_int_equal(truncate(file, 1 << 20) + truncate(other, 1 << 20), 0);
	if (!attach(file, a, sizeof(a)))
		tmp_skip("no loop devices here");
	assert_true(attach(file, b, sizeof(b)));
	assert_true(attach(other, c, sizeof(c)));
	/* A device that has another file by now is not ours. */
	assert_int_equal(undone(f, "loop", json_pack("{s:s, s:s}", "backing", file, "device", c)),
			 0);
	assert_true(attached(c));
	assert_int_equal(undone(f, "loop", json_pack("{s:s, s:s}", "backing", file, "device", a)),
			 0);
	assert_false(attached(a));
	assert_true(attached(b));
	assert_true(attach(file, a, sizeof(a)));
	assert_int_equal(unlink(file), 0); /* the name may be gone before the device */
	assert_int_equal(undone(f, "loop", json_pack("{s:s}", "backing", file)), 0);
	assert_false(attached(a) || attached(b));
	assert_true(attached(c));
	assert_int_equal(
		undone(f, "loop", json_pack("{s:s, s:s}", "backing", other, "device", "/dev/sda")),
		-EINVAL);
	assert_int_equal(
		undone(f, "loop",
		       json_pack("{s:s, s:s}", "backing", other, "device", "/dev/loop/../loop0")),
		-EINVAL);
	assert_int_equal(undone(f, "loop", json_pack("{s:s, s:s}", "backing", other, "device", c)),
			 0);
	assert_false(attached(c));
}

/* In the cgroup: one process, and one that left the group in a cgroup below. */
static pid_t fill_cgroup(const char *top, const char *below, pid_t *ret_pid, int *ret_pidfd)
{
	auto_free char *script =
		strf("echo 0 >%s/cgroup.procs && trap '' TERM && "
		     "{ setsid sh -c 'echo 0 >%s/cgroup.procs; echo $$; exec sleep 1000' & } && "
		     "wait",
		     top, below);

	return start(script, ret_pid, ret_pidfd);
}

static void one_hierarchy(const struct fixture *f, const char *root, bool *ret_any)
{
	auto_free char *top = strf("%s/kiln-test-%d", root, getpid());
	auto_free char *below = strf("%s/a", top);
	pid_t pid, member;
	int fd;

	if (mkdir(top, 0755) < 0)
		return;
	*ret_any = true;
	assert_int_equal(mkdir(below, 0755), 0);
	member = fill_cgroup(top, below, &pid, &fd);
	assert_true(member > 1);
	assert_int_equal(undone(f, "cgroup", json_pack("{s:[s,s]}", "paths", top, top)), 0);
	assert_false(file_exists(top));
	assert_ends(member);
	assert_int_equal(proc_stop(pid, fd, WAIT_MS) + close(fd), 0);
	assert_int_equal(path_undone(f, "cgroup", root), -EINVAL); /* or this would end us all */
}

static void cgroups(void **state)
{
	static const char *const roots[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup",
					    "/sys/fs/cgroup/pids"};
	const struct fixture *f = *state;
	bool any = false;

	assert_int_equal(path_undone(f, "cgroup", f->dir), -EINVAL); /* no cgroup */
	assert_true(file_exists(f->dir));
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
		if (file_exists(tmp_path(roots[i], "cgroup.procs")))
			one_hierarchy(f, roots[i], &any);
	if (!any)
		tmp_skip("no cgroups that we may make");
}

static void *make_netns(void *arg)
{
	if (unshare(CLONE_NEWNET) < 0 ||
	    mount("/proc/thread-self/ns/net", arg, NULL, MS_BIND, NULL) < 0)
		return NULL;
	return arg;
}

static void network_namespaces(void **state)
{
	const struct fixture *f = *state;
	const char *path = tmp_file(f->dir, "ns", "");
	void *ret = NULL;
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, make_netns, (void *) (uintptr_t) path), 0);
	assert_int_equal(pthread_join(t, &ret), 0);
	if (!ret)
		tmp_skip("no network namespaces that we may make");
	assert_int_equal(unlink(path), -1); /* it is mounted */
	assert_int_equal(path_undone(f, "netns", path), 0);
	assert_false(file_exists(path));
}

/* All that a killed process left, in the order that works: mount, loop, tree. */
static int own_things(const char *dir)
{
	const char *m = tmp_path(dir, "things/m"), *file = tmp_path(dir, "things/disk");
	struct journal_entry *e = NULL;
	struct journal *j = NULL;
	char device[32];

	if (journal_open(tmp_path(dir, "journal"), &j, NULL) < 0 ||
	    journal_add(j, "tree", json_pack("{s:s}", "path", tmp_path(dir, "things")), &e, NULL) <
		    0 ||
	    file_mkdir_p(m, 0700, NULL) < 0 ||
	    journal_add(j, "loop", json_pack("{s:s}", "backing", file), &e, NULL) < 0)
		return 1;
	(void) tmp_file(dir, "things/disk", "");
	if (truncate(file, 1 << 20) < 0 || !attach(file, device, sizeof(device)) ||
	    journal_update(e, json_pack("{s:s}", "device", device), NULL) < 0 ||
	    journal_add(j, "mount", json_pack("{s:s}", "path", m), &e, NULL) < 0 ||
	    mount("none", m, "tmpfs", 0, "size=64k") < 0)
		return 1;
	(void) printf("%s\n", device);
	(void) fflush(stdout);
	for (;;)
		(void) pause();
}

static void things_of_a_killed_owner(void **state)
{
	const struct fixture *f = *state;
	const struct proc_spec spec = {.argv = (const char *const[]){self, f->dir, NULL}};
	auto_err struct err e = ERR_INIT;
	char device[32] = "";
	unsigned n = 0;
	pid_t pid;
	int p[2], fd;

	if (geteuid() != 0)
		tmp_skip("mounts and loop devices need root");
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(proc_spawn(&spec, p[1], &pid, &fd, NULL), 0);
	assert_int_equal(close(p[1]), 0);
	for (size_t i = 0; i + 1 < sizeof(device) && read(p[0], device + i, 1) == 1; i++)
		if (device[i] == '\n')
			break;
	assert_int_equal(close(p[0]), 0);
	assert_int_equal(pidfd_send_signal(fd, SIGKILL, NULL, 0), 0);
	assert_int_equal(proc_stop(pid, fd, WAIT_MS) + close(fd), 0);
	if (!str_ends(device, "\n"))
		tmp_skip("no mounts or loop devices here");
	device[strcspn(device, "\n")] = '\0';
	assert_true(attached(device));
	if (journal_recover(f->j, &n, &e) < 0)
		fail_msg("%s", err_str(&e));
	assert_int_equal(n, 3);
	assert_false(attached(device));
	assert_false(file_exists(tmp_path(f->dir, "things")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(paths_that_are_refused),
		TEST(absent_is_success),
		TEST(files_and_trees),
		TEST(processes),
		TEST(process_that_left_its_group),
		TEST(mounts),
		TEST(loops),
		TEST(cgroups),
		TEST(network_namespaces),
		TEST(things_of_a_killed_owner),
	};
	ssize_t n;

	if (argc == 2)
		return own_things(argv[1]);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return 1;
	self[n] = '\0';
	return cmocka_run_group_tests(tests, NULL, NULL);
}
