/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "support/fault.h"
#include "support/tmp.h"

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void make_dir(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
}

static void read_whole(void **state)
{
	const char *path = tmp_file(*state, "f", "12345"), *link = tmp_path(*state, "l");
	auto_buf struct buf exact = BUF_INIT(6), small = BUF_INIT(5), none = BUF_INIT(0);
	auto_buf struct buf again = BUF_INIT(100);
	auto_err struct err e = ERR_INIT;

	assert_int_equal(file_read_all(path, &exact, NULL), 0);
	assert_string_equal(buf_str(&exact), "12345");
	assert_int_equal(file_read_all(path, &small, &e), -EFBIG);
	assert_non_null(strstr(e.msg, path));
	assert_string_equal(e.target, path);
	assert_int_equal(file_read_all(path, &none, NULL), -EFBIG);
	assert_int_equal(file_read_all(tmp_file(*state, "e", ""), &again, NULL), 0);
	assert_int_equal(buf_addstr(&again, "x="), 0); /* reading appends */
	assert_int_equal(symlink("f", link), 0);
	assert_int_equal(file_read_all(link, &again, NULL), 0);
	assert_string_equal(buf_str(&again), "x=12345");
	assert_int_equal(file_read_all(tmp_path(*state, "none"), &again, &e), -ENOENT);
	assert_int_equal(file_read_all(*state, &again, &e), -EINVAL);
	assert_int_equal(buf_err(&again), 0);
	/* Nobody writes to this FIFO: opening it must not wait. */
	assert_int_equal(mkfifo(tmp_path(*state, "fifo"), 0600), 0);
	assert_int_equal(file_read_all(tmp_path(*state, "fifo"), &again, &e), -EINVAL);
}

static void read_from_descriptors(void **state)
{
	auto_buf struct buf b = BUF_INIT(1u << 20), small = BUF_INIT(4);
	auto_fd int proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	int p[2];

	assert_int_equal(file_read_fd(proc, &b), 0);
	assert_non_null(strstr(buf_str(&b), "VmSize"));
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "abcde", 5), 5);
	assert_int_equal(close(p[1]), 0);
	assert_int_equal(file_read_fd(p[0], &small), -EFBIG);
	assert_string_equal(buf_str(&small), "abc");
	assert_int_equal(close(p[0]), 0);
	assert_int_equal(file_read_fd(-1, &b), -EBADF);
}

static void open_only_regular(void **state)
{
	const char *path = tmp_file(*state, "f", "x");
	int fd = -1;

	assert_int_equal(symlink(path, tmp_path(*state, "l")), 0);
	assert_int_equal(file_open_regular(AT_FDCWD, tmp_path(*state, "l"), &fd), -ELOOP);
	assert_int_equal(file_open_regular(AT_FDCWD, *state, &fd), -EINVAL);
	assert_int_equal(file_open_regular(AT_FDCWD, "/dev/null", &fd), -EINVAL);
	assert_int_equal(fd, -1);
	assert_int_equal(file_open_regular(AT_FDCWD, path, &fd), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(close(fd), 0);
}

static void exact_io(void **state)
{
	auto_fd int fd = open(tmp_path(*state, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char in[1000], out[1001];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (char) i;
	sys_use(fault_short(7));
	assert_int_equal(file_pwrite_full(fd, in, sizeof(in), 5), 0);
	assert_int_equal(file_pread_full(fd, out, sizeof(in), 5), 0);
	sys_use(NULL);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(file_pread_full(fd, out, sizeof(out), 5), -ENODATA);
	assert_int_equal(file_pread_full(fd, out, 0, 1u << 30), 0);
	assert_int_equal(file_pread_full(fd, out, 1, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(file_pread_full(fd, out, 2, INT64_MAX - 1), -EOVERFLOW);
	assert_int_equal(file_pwrite_full(fd, out, 1, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(file_pwrite_full(-1, out, 1, 0), -EBADF);
	assert_int_equal(file_pread_full(-1, out, 1, 0), -EBADF);
}

static void write_atomic(void **state)
{
	const char *path = tmp_path(*state, "f");
	auto_err struct err e = ERR_INIT;
	mode_t old = umask(0077);

	assert_int_equal(file_write_atomic(path, "one", 3, 0644, NULL), 0);
	(void) umask(old);
	assert_true(tmp_holds(path, "one"));
	assert_int_equal(mode_of(path), 0644); /* whatever the umask */
	assert_int_equal(file_write_atomic(path, NULL, 0, 0600, NULL), 0);
	assert_true(tmp_holds(path, ""));
	assert_int_equal(mode_of(path), 0600);
	/* A link is replaced, not followed. */
	assert_int_equal(symlink(path, tmp_path(*state, "l")), 0);
	assert_int_equal(file_write_atomic(tmp_path(*state, "l"), "two", 3, 0600, NULL), 0);
	assert_true(tmp_holds(path, ""));
	assert_true(tmp_holds(tmp_path(*state, "l"), "two"));
	assert_int_equal(tmp_names(*state), 2);

	assert_int_equal(file_write_atomic(tmp_path(*state, "no/f"), "x", 1, 0600, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "no/f"));
	assert_non_null(e.target);
	assert_int_equal(file_write_atomic(tmp_path(*state, ""), "x", 1, 0600, &e), -EINVAL);
	assert_int_equal(file_write_atomic(tmp_path(*state, ".."), "x", 1, 0600, &e), -EINVAL);
	make_dir(tmp_path(*state, "d"));
	assert_int_equal(file_write_atomic(tmp_path(*state, "d"), "x", 1, 0600, &e), -EISDIR);
	assert_int_equal(tmp_names(*state), 3);
}

static void write_atomic_relative(void **state)
{
	auto_fd int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(chdir(*state), 0);
	assert_int_equal(file_write_atomic("plain", "x", 1, 0600, NULL), 0);
	assert_int_equal(fchdir(here), 0);
	assert_true(tmp_holds(tmp_path(*state, "plain"), "x"));
}

static void write_atomic_with_short_writes(void **state)
{
	const char *path = tmp_path(*state, "f");

	sys_use(fault_short(2));
	assert_int_equal(file_write_atomic(path, "1234567", 7, 0600, NULL), 0);
	sys_use(NULL);
	assert_true(tmp_holds(path, "1234567"));
}

/* Whatever fails, the old or the new content is there, whole, and nothing else. */
static void write_atomic_with_faults(void **state)
{
	const char *path = tmp_path(*state, "f");
	unsigned fds = tmp_fds();

	for (unsigned n = 1;; n++) {
		auto_err struct err e = ERR_INIT;
		bool armed = true;
		int r;

		assert_int_equal(file_write_atomic(path, "old", 3, 0600, NULL), 0);
		sys_use(fault_nth(n, EIO, &armed));
		r = file_write_atomic(path, "newer", 5, 0600, &e);
		sys_use(NULL);
		assert_int_equal(r, armed ? 0 : -EIO);
		assert_true(armed || strstr(err_str(&e), path));
		/* After the rename only the directory's fsync can fail. */
		assert_true(tmp_holds(path, armed || n == 8 ? "newer" : "old"));
		assert_int_equal(tmp_names(*state), 1);
		assert_int_equal(tmp_fds(), fds);
		if (armed) {
			assert_int_equal(n, 9);
			return;
		}
	}
}

static void write_atomic_without_memory(void **state)
{
	const char *path = tmp_path(*state, "f");

	for (unsigned n = 1;; n++) {
		bool armed = true;
		int r;

		fault_alloc_nth(n, &armed);
		r = file_write_atomic(path, "x", 1, 0600, NULL);
		fault_alloc_off();
		assert_int_equal(r, armed ? 0 : -ENOMEM);
		assert_int_equal(file_exists(path), armed);
		if (armed)
			return;
	}
}

static void make_directories(void **state)
{
	const char *path = tmp_path(*state, "a/b//c/");
	auto_err struct err e = ERR_INIT;

	assert_int_equal(file_mkdir_p(path, 0700, NULL), 0);
	assert_int_equal(mode_of(tmp_path(*state, "a/b/c")), 0700);
	assert_int_equal(file_mkdir_p(path, 0755, NULL), 0);
	assert_int_equal(mode_of(tmp_path(*state, "a/b/c")), 0700); /* existing ones stay */
	assert_int_equal(file_mkdir_p("/", 0700, NULL), 0);
	assert_int_equal(file_mkdir_p("", 0700, NULL), -ENOENT);
	assert_int_equal(symlink("a", tmp_path(*state, "l")), 0);
	assert_int_equal(file_mkdir_p(tmp_path(*state, "l/x"), 0700, NULL), 0);
	assert_true(file_exists(tmp_path(*state, "a/x")));
	(void) tmp_file(*state, "f", "");
	assert_int_equal(file_mkdir_p(tmp_path(*state, "f"), 0700, NULL), -ENOTDIR);
	path = tmp_path(*state, "f/g");
	assert_int_equal(file_mkdir_p(path, 0700, &e), -ENOTDIR);
	assert_string_equal(e.target, path);
	assert_non_null(e.msg);
}

static void make_directories_with_faults(void **state)
{
	const char *path = tmp_path(*state, "a/b/c");
	unsigned failed = 0;

	for (unsigned n = 1;; n++) {
		auto_err struct err e = ERR_INIT;
		bool armed = true;
		int r;

		sys_use(fault_nth(n, ENOSPC, &armed));
		r = file_mkdir_p(path, 0700, &e);
		sys_use(NULL);
		assert_int_equal(r, armed ? 0 : -ENOSPC);
		if (armed)
			break;
		assert_false(file_exists(path));
		failed++;
	}
	assert_true(failed >= 3);
	for (unsigned n = 1;; n++) {
		bool armed = true;
		int r;

		fault_alloc_nth(n, &armed);
		r = file_mkdir_p(path, 0700, NULL);
		fault_alloc_off();
		assert_int_equal(r, armed ? 0 : -ENOMEM);
		if (armed)
			return;
	}
}

/* A tree with files, links out of it, a FIFO and three levels of directories. */
static void make_tree(const char *dir)
{
	assert_int_equal(file_mkdir_p(tmp_path(dir, "t/a/b"), 0700, NULL), 0);
	make_dir(tmp_path(dir, "t/c"));
	(void) tmp_file(dir, "t/1", "x");
	(void) tmp_file(dir, "t/a/2", "x");
	(void) tmp_file(dir, "t/a/b/3", "x");
	assert_int_equal(symlink("../keep", tmp_path(dir, "t/out")), 0);
	assert_int_equal(symlink("/", tmp_path(dir, "t/a/root")), 0);
	assert_int_equal(mkfifo(tmp_path(dir, "t/a/fifo"), 0600), 0);
}

static void remove_trees(void **state)
{
	const char *tree = tmp_path(*state, "t");
	auto_err struct err e = ERR_INIT;
	unsigned fds = tmp_fds();

	make_dir(tmp_path(*state, "keep"));
	(void) tmp_file(*state, "keep/f", "x");
	make_tree(*state);
	assert_int_equal(file_rm_rf(tree, NULL), 0);
	assert_false(file_exists(tree));
	assert_true(file_exists(tmp_path(*state, "keep/f")));
	assert_int_equal(file_rm_rf(tree, NULL), 0); /* absent is success */
	assert_int_equal(file_rm_rf(tmp_path(*state, "keep/f/x"), NULL), 0);
	/* A link goes, what it names stays, also with a slash behind. */
	assert_int_equal(symlink("keep", tree), 0);
	assert_int_equal(file_rm_rf(tmp_path(*state, "t/"), NULL), 0);
	assert_false(file_exists(tree));
	assert_true(file_exists(tmp_path(*state, "keep/f")));
	assert_int_equal(file_rm_rf(tmp_path(*state, "keep/f"), NULL), 0);
	assert_int_equal(tmp_names(*state), 1);
	assert_int_equal(file_rm_rf("/", &e), -EINVAL);
	assert_int_equal(file_rm_rf("", &e), -EINVAL);
	assert_int_equal(file_rm_rf(tmp_path(*state, ".."), &e), -EINVAL);
	assert_int_equal(file_rm_rf(tmp_path(*state, "."), &e), -EINVAL);
	assert_int_equal(file_rm_rf(".", &e), -EINVAL);
	assert_int_equal(tmp_fds(), fds);
}

/* Deeper than PATH_MAX and than any limit on descriptors. */
static void remove_deep_tree(void **state)
{
	auto_fd int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(chdir(*state), 0);
	for (unsigned i = 0; i < 3000; i++) {
		make_dir("dir");
		assert_int_equal(chdir("dir"), 0);
	}
	assert_int_equal(fchdir(here), 0);
	assert_int_equal(file_rm_rf(tmp_path(*state, "dir"), NULL), 0);
	assert_int_equal(tmp_names(*state), 0);
}

static void remove_wide_tree(void **state)
{
	make_dir(tmp_path(*state, "w"));
	for (unsigned i = 0; i < 1500; i++) {
		char name[16];

		(void) snprintf(name, sizeof(name), "w/%u", i);
		if (i % 2)
			make_dir(tmp_path(*state, name));
		else
			(void) tmp_file(*state, name, "");
	}
	assert_int_equal(file_rm_rf(tmp_path(*state, "w"), NULL), 0);
	assert_int_equal(tmp_names(*state), 0);
}

static void remove_with_faults(void **state)
{
	const char *tree = tmp_path(*state, "t");
	unsigned fds = tmp_fds();

	for (unsigned n = 1;; n++) {
		auto_err struct err e = ERR_INIT;
		bool armed = true;
		int r;

		if (!file_exists(tree))
			make_tree(*state);
		sys_use(fault_nth(n, EIO, &armed));
		r = file_rm_rf(tree, &e);
		sys_use(NULL);
		assert_int_equal(r, armed ? 0 : -EIO);
		assert_true(armed || str_eq(e.target, tree));
		assert_int_equal(tmp_fds(), fds);
		/* Half removed is fine; the next attempt goes on. */
		assert_int_equal(file_rm_rf(tree, NULL), 0);
		assert_false(file_exists(tree));
		if (armed) {
			assert_true(n > 10);
			break;
		}
	}
	for (unsigned n = 1;; n++) {
		bool armed = true;
		int r;

		make_tree(*state);
		fault_alloc_nth(n, &armed);
		r = file_rm_rf(tree, NULL);
		fault_alloc_off();
		assert_int_equal(r, armed ? 0 : -ENOMEM);
		assert_int_equal(tmp_fds(), fds);
		assert_int_equal(file_rm_rf(tree, NULL), 0);
		if (armed)
			return;
	}
}

static void remove_stays_in_its_mount(void **state)
{
	const char *tree = tmp_path(*state, "t"), *below = tmp_path(*state, "t/a");
	const char *file = tmp_path(*state, "t/f");
	auto_err struct err e = ERR_INIT;

	if (geteuid() != 0)
		tmp_skip("mounting needs root");
	assert_int_equal(file_mkdir_p(below, 0700, NULL), 0);
	if (mount("none", below, "tmpfs", 0, "size=64k") < 0)
		tmp_skip("mounting is not permitted here");
	(void) tmp_file(*state, "t/a/kept", "x");
	assert_int_equal(file_rm_rf(tree, &e), -EXDEV);
	assert_non_null(strstr(e.msg, "mounted"));
	assert_int_equal(file_rm_rf(below, NULL), -EXDEV);
	assert_true(file_exists(tmp_path(*state, "t/a/kept")));
	assert_int_equal(umount(below), 0);
	/* The same file system mounted once more (bind) is another mount too. */
	make_dir(tmp_path(*state, "keep"));
	(void) tmp_file(*state, "keep/f", "x");
	assert_int_equal(mount(tmp_path(*state, "keep"), below, NULL, MS_BIND, NULL), 0);
	assert_int_equal(file_rm_rf(tree, NULL), -EXDEV);
	assert_int_equal(umount(below), 0);
	assert_true(file_exists(tmp_path(*state, "keep/f")));
	(void) tmp_file(*state, "t/f", "");
	assert_int_equal(mount(tmp_path(*state, "keep/f"), file, NULL, MS_BIND, NULL), 0);
	assert_int_equal(file_rm_rf(file, NULL), -EXDEV);
	assert_int_equal(umount(file), 0);
	assert_true(file_exists(tmp_path(*state, "keep/f")));
	assert_int_equal(file_rm_rf(tree, NULL), 0);
}

static void copy_descriptors(void **state)
{
	const char *from = tmp_file(*state, "from", "0123456789");
	auto_fd int in = open(from, O_RDONLY | O_CLOEXEC);
	auto_fd int out = open(tmp_path(*state, "to"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_fd int proc = open("/proc/version", O_RDONLY | O_CLOEXEC);
	uint64_t n = 0;
	int p[2];

	assert_int_equal(lseek(in, 4, SEEK_SET), 4);
	assert_int_equal(write(out, "ab", 2), 2);
	assert_int_equal(file_copy_fd(in, out, &n), 0); /* from and to the positions */
	assert_int_equal(n, 6);
	assert_true(tmp_holds(tmp_path(*state, "to"), "ab456789"));
	assert_int_equal(file_copy_fd(in, out, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "pipe", 4), 4);
	assert_int_equal(close(p[1]), 0);
	assert_int_equal(file_copy_fd(p[0], out, &n), 0);
	assert_int_equal(n, 4);
	assert_int_equal(close(p[0]), 0);
	assert_int_equal(file_copy_fd(proc, out, &n), 0); /* says that its size is 0 */
	assert_true(n > 10);
	assert_int_equal(file_copy_fd(in, -1, NULL), 0); /* nothing to move */
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	assert_int_equal(file_copy_fd(in, -1, NULL), -EBADF);
}

static int open_read(int root, const char *path)
{
	int fd = file_open_in_root(root, path, O_RDONLY, 0);
	char c = 0;

	if (fd < 0)
		return fd;
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(close(fd), 0);
	return c;
}

/* A root whose links try to lead out of it. */
static void open_in_root(void **state)
{
	auto_fd int root = -1;
	int fd;

	make_dir(tmp_path(*state, "r"));
	make_dir(tmp_path(*state, "r/etc"));
	(void) tmp_file(*state, "secret", "S");
	(void) tmp_file(*state, "r/etc/f", "F");
	(void) tmp_file(*state, "r/secret", "I");
	assert_int_equal(symlink("../../secret", tmp_path(*state, "r/etc/up")), 0);
	assert_int_equal(symlink(tmp_path(*state, "secret"), tmp_path(*state, "r/abs")), 0);
	assert_int_equal(symlink("/etc", tmp_path(*state, "r/in")), 0);
	assert_int_equal(symlink("/proc/self/root", tmp_path(*state, "r/magic")), 0);
	assert_int_equal(symlink("loop", tmp_path(*state, "r/loop")), 0);
	root = open(tmp_path(*state, "r"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(open_read(root, "/etc/f"), 'F');
	assert_int_equal(open_read(root, "etc/f"), 'F');
	assert_int_equal(open_read(root, "in/f"), 'F'); /* an absolute link, from the root */
	assert_int_equal(open_read(root, "../../../etc/f"), 'F');
	assert_int_equal(open_read(root, "etc/up"), 'I'); /* .. ends at the root */
	assert_int_equal(open_read(root, "../secret"), 'I');
	assert_int_equal(open_read(root, "abs"), -ENOENT);
	assert_int_equal(open_read(root, "magic/etc/f"), -ENOENT);
	assert_int_equal(open_read(root, "loop"), -ELOOP);
	assert_int_equal(open_read(root, ""), -ENOENT);
	fd = file_open_in_root(root, "/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_true(file_exists(tmp_path(*state, "r/new")));
	assert_int_equal(file_open_in_root(root, "abs", O_WRONLY | O_CREAT, 0600), -ENOENT);
	assert_true(tmp_holds(tmp_path(*state, "secret"), "S"));
	assert_int_equal(file_open_in_root(-1, "x", O_RDONLY, 0), -EBADF);
}

static void open_in_root_refuses_magic_links(void **state)
{
	auto_fd int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(file_open_in_root(proc, "self/root/etc/passwd", O_RDONLY, 0), -ELOOP);
	assert_int_equal(file_open_in_root(proc, "self/fd/0", O_RDONLY, 0), -ELOOP);
}

static void sync_directory(void **state)
{
	unsigned fds = tmp_fds();
	bool armed = true;

	assert_int_equal(file_fsync_dir(*state), 0);
	assert_int_equal(file_fsync_dir(tmp_path(*state, "none")), -ENOENT);
	assert_int_equal(file_fsync_dir(tmp_file(*state, "f", "")), -ENOTDIR);
	sys_use(fault_nth(2, EIO, &armed));
	assert_int_equal(file_fsync_dir(*state), -EIO);
	sys_use(NULL);
	assert_int_equal(tmp_fds(), fds);
}

static void assert_joined(const char *a, const char *b, const char *want)
{
	auto_free char *got = path_join(a, b);

	assert_string_equal(got, want);
}

static void assert_dirname(const char *path, const char *want)
{
	auto_free char *got = path_dirname(path);

	assert_string_equal(got, want);
}

static void paths(void **state)
{
	char name[33], other[33];

	assert_joined("a", "b", "a/b");
	assert_joined("a//", "//b", "a/b");
	assert_joined("/", "b", "/b");
	assert_joined("", "b", "b");
	assert_joined("", "/b", "/b");
	assert_dirname("/a/b", "/a");
	assert_dirname("/a//b//", "/a");
	assert_dirname("/a", "/");
	assert_dirname("/", "/");
	assert_dirname("//", "/");
	assert_dirname("a", ".");
	assert_dirname("a/b", "a");
	assert_dirname("", ".");
	assert_int_equal(tmp_name(name), 0);
	assert_int_equal(tmp_name(other), 0);
	assert_int_equal(strspn(name, "0123456789abcdef"), 32);
	assert_string_not_equal(name, other);
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(read_whole),
		WITH_DIR(read_from_descriptors),
		WITH_DIR(open_only_regular),
		WITH_DIR(exact_io),
		WITH_DIR(write_atomic),
		WITH_DIR(write_atomic_relative),
		WITH_DIR(write_atomic_with_short_writes),
		WITH_DIR(write_atomic_with_faults),
		WITH_DIR(write_atomic_without_memory),
		WITH_DIR(make_directories),
		WITH_DIR(make_directories_with_faults),
		WITH_DIR(remove_trees),
		WITH_DIR(remove_deep_tree),
		WITH_DIR(remove_wide_tree),
		WITH_DIR(remove_with_faults),
		WITH_DIR(remove_stays_in_its_mount),
		WITH_DIR(copy_descriptors),
		WITH_DIR(open_in_root),
		cmocka_unit_test(open_in_root_refuses_magic_links),
		WITH_DIR(sync_directory),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
