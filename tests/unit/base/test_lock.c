/* SPDX-License-Identifier: Apache-2.0 */
/* With an argument this program takes a lock, see hold(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/proc.h"
#include "support/fault.h"
#include "support/tmp.h"

#define WAIT_MS 30000 /* only passes when something is broken */

static char self[512];

static int try_lock(const char *path, unsigned flags)
{
	auto_fd int fd = -1;

	return lock_file(path, flags | LOCK_NONBLOCK, &fd, NULL);
}

static void shared_and_exclusive(void **state)
{
	const char *path = tmp_path(*state, "lock");
	auto_err struct err e = ERR_INIT;
	int fd = -1, second = -1;
	struct stat st;

	assert_int_equal(lock_file(path, LOCK_EXCLUSIVE, &fd, NULL), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Descriptors of one process exclude each other too. */
	assert_int_equal(try_lock(path, LOCK_EXCLUSIVE), -EAGAIN);
	assert_int_equal(try_lock(path, LOCK_SHARED), -EAGAIN);
	assert_int_equal(lock_file(path, LOCK_NONBLOCK, &second, &e), -EAGAIN);
	assert_int_equal(second, -1);
	assert_non_null(strstr(e.msg, path));
	assert_int_equal(close(fd), 0);
	assert_int_equal(lock_file(path, LOCK_SHARED, &fd, NULL), 0);
	assert_int_equal(try_lock(path, LOCK_SHARED), 0);
	assert_int_equal(try_lock(path, LOCK_EXCLUSIVE), -EAGAIN);
	/* Another descriptor of the file, closed, takes nothing away (as POSIX locks would). */
	assert_int_equal(close(open(path, O_RDONLY | O_CLOEXEC)), 0);
	assert_int_equal(try_lock(path, LOCK_EXCLUSIVE), -EAGAIN);
	assert_int_equal(close(fd), 0);
	assert_int_equal(try_lock(path, LOCK_EXCLUSIVE), 0);
}

static void no_lock(void **state)
{
	const char *link = tmp_path(*state, "link");
	auto_err struct err e = ERR_INIT;
	unsigned fds = tmp_fds();
	int fd = -1;

	assert_int_equal(lock_file(tmp_path(*state, "no/lock"), 0, &fd, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "no/lock"));
	assert_int_equal(symlink("target", link), 0);
	assert_int_equal(lock_file(link, 0, &fd, NULL), -ELOOP);
	assert_false(file_exists(tmp_path(*state, "target")));
	assert_int_equal(lock_file(*state, 0, &fd, NULL), -EISDIR);
	sys_use(fault_nth(1, EMFILE, &(bool){true}));
	assert_int_equal(lock_file(tmp_path(*state, "lock"), 0, &fd, NULL), -EMFILE);
	sys_use(NULL);
	assert_int_equal(fd, -1);
	assert_int_equal(tmp_fds(), fds);
}

#define ROUNDS 2000

struct counter {
	const char *path;
	volatile unsigned long value; /* volatile: each step is a read and a write of its own */
};

static void *count(void *arg)
{
	struct counter *c = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		auto_fd int fd = -1;

		if (lock_file(c->path, LOCK_EXCLUSIVE, &fd, NULL) < 0)
			return NULL;
		c->value = c->value + 1;
	}
	return arg;
}

static void waits_for_its_turn(void **state)
{
	struct counter c = {tmp_path(*state, "lock"), 0};
	pthread_t t[3];

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, &c), 0);
	for (unsigned i = 0; i < 3; i++) {
		void *ret = NULL;

		assert_int_equal(pthread_join(t[i], &ret), 0);
		assert_ptr_equal(ret, &c);
	}
	assert_int_equal(c.value, 3 * ROUNDS);
}

static int hold(const char *path)
{
	int fd = -1;

	if (lock_file(path, LOCK_EXCLUSIVE, &fd, NULL) < 0 || puts("held") < 0 ||
	    fflush(stdout) != 0)
		return 1;
	for (;;)
		(void) pause();
}

static void ends_with_its_process(void **state)
{
	const char *path = tmp_path(*state, "lock");
	const struct proc_spec spec = {.argv = (const char *const[]){self, path, NULL}};
	int p[2], pidfd = -1;
	pid_t pid;
	char c;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(proc_spawn(&spec, p[1], &pid, &pidfd, NULL), 0);
	assert_int_equal(close(p[1]), 0);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(try_lock(path, LOCK_SHARED), -EAGAIN);
	assert_int_equal(proc_stop(pid, pidfd, WAIT_MS), 0);
	assert_int_equal(try_lock(path, LOCK_EXCLUSIVE), 0);
	assert_int_equal(close(p[0]) + close(pidfd), 0);
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(shared_and_exclusive),
		WITH_DIR(no_lock),
		WITH_DIR(waits_for_its_turn),
		WITH_DIR(ends_with_its_process),
	};
	ssize_t n;

	if (argc == 2)
		return hold(argv[1]);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return 1;
	self[n] = '\0';
	return cmocka_run_group_tests(tests, NULL, NULL);
}
