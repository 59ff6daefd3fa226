/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

#define READ_STEP  (64u << 10)
#define RACE_TRIES 32 /* openat2() asks to be repeated when a rename raced with it */

static int real_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	return openat(dirfd, name, flags, mode);
}

const struct sys sys_real = {
	.openat = real_openat,
	.pread = pread,
	.pwrite = pwrite,
	.fsync = fsync,
	.close = close,
	.renameat2 = renameat2,
	.unlinkat = unlinkat,
	.mkdirat = mkdirat,
	.ftruncate = ftruncate,
	.fchmod = fchmod,
	.fchmodat = fchmodat,
	.fstatat = fstatat,
	.readdir = readdir,
};

static _Atomic(const struct sys *) sys_in_force = &sys_real;

const struct sys *sys_get(void)
{
	return atomic_load(&sys_in_force);
}

void sys_use(const struct sys *s)
{
	atomic_store(&sys_in_force, s ? s : &sys_real);
}

static int open_regular(int dirfd, const char *name, int extra_flags, int *ret_fd)
{
	/* O_NONBLOCK: a FIFO put in place of the file must not stop us. */
	auto_fd int fd = sys_get()->openat(
		dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | extra_flags, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_fd = take_fd(fd);
	return 0;
}

int file_open_regular(int dirfd, const char *name, int *ret_fd)
{
	return open_regular(dirfd, name, O_NOFOLLOW, ret_fd);
}

int file_pread_full(int fd, void *dst, size_t n, uint64_t at)
{
	char *p = dst;

	if (!range_ok(at, n, INT64_MAX))
		return -EOVERFLOW;
	while (n > 0) {
		ssize_t k = sys_get()->pread(fd, p, n, (off_t) at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return -ENODATA;
		p += k;
		at += (uint64_t) k;
		n -= (size_t) k;
	}
	return 0;
}

int file_pwrite_full(int fd, const void *src, size_t n, uint64_t at)
{
	const char *p = src;

	if (!range_ok(at, n, INT64_MAX))
		return -EOVERFLOW;
	while (n > 0) {
		ssize_t k = sys_get()->pwrite(fd, p, n, (off_t) at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return -EIO; /* a regular file never takes nothing; do not spin on it */
		p += k;
		at += (uint64_t) k;
		n -= (size_t) k;
	}
	return 0;
}

/* Reads to the end. @by_offset: pread() from 0, through the table of system calls. */
static int read_to_end(int fd, bool by_offset, struct buf *out)
{
	uint64_t at = 0;

	for (;;) {
		size_t room = out->max > out->len ? out->max - out->len - 1 : 0;
		size_t want = room < READ_STEP ? room : READ_STEP;
		char over, *p = &over; /* one byte more than allowed tells "full" from "too big" */
		ssize_t k;
		int r = want > 0 ? buf_reserve(out, want) : buf_err(out);

		if (r < 0)
			return r;
		if (want > 0)
			p = out->data + out->len;
		else
			want = 1;
		k = by_offset ? sys_get()->pread(fd, p, want, (off_t) at) : read(fd, p, want);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		if (p == &over)
			return out->err = -EFBIG;
		at += (uint64_t) k;
		out->len += (size_t) k;
		out->data[out->len] = '\0';
	}
	return 0;
}

int file_read_all(const char *path, struct buf *out, struct err *err)
{
	auto_fd int fd = -1;
	int r = open_regular(AT_FDCWD, path, 0, &fd);

	if (r == -EINVAL)
		r = err_set(err, r, "%s: not a regular file", path);
	else if (r < 0)
		r = err_set(err, r, "open %s: %s", path, strerrordesc_np(-r));
	if (r == 0) {
		r = read_to_end(fd, true, out);
		if (r == -EFBIG)
			(void) err_set(err, r, "%s: larger than the %zu bytes allowed", path,
				       out->max > 0 ? out->max - 1 : 0);
		else if (r < 0)
			(void) err_set(err, r, "read %s: %s", path, strerrordesc_np(-r));
	}
	if (r < 0)
		err_target(err, "%s", path);
	return r;
}

int file_read_fd(int fd, struct buf *out)
{
	return read_to_end(fd, false, out);
}

static int close_checked(int *fd)
{
	int r = sys_get()->close(take_fd(*fd));

	/* Linux has released the descriptor when close() says EINTR. */
	return r < 0 && errno != EINTR ? -errno : 0;
}

static int write_temporary(int dirfd, const char *name, const void *data, size_t n, mode_t mode)
{
	auto_fd int fd = sys_get()->openat(
		dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode & 0777);
	int r;

	if (fd < 0)
		return -errno;
	if (sys_get()->fchmod(fd, mode & 07777) < 0) /* the umask may have taken bits */
		return -errno;
	r = file_pwrite_full(fd, data, n, 0);
	if (r == 0 && sys_get()->fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = close_checked(&fd);
	return r;
}

static int write_atomic_at(int dirfd, const char *name, const void *data, size_t n, mode_t mode)
{
	const struct sys *sys = sys_get();
	char temporary[sizeof(FILE_TMP_PREFIX) + 32], *random = temporary + strlen(FILE_TMP_PREFIX);
	int r;

	memcpy(temporary, FILE_TMP_PREFIX, strlen(FILE_TMP_PREFIX));
	r = tmp_name(random);
	if (r < 0)
		return r;
	r = write_temporary(dirfd, temporary, data, n, mode);
	if (r == 0 && sys->renameat2(dirfd, temporary, dirfd, name, 0) < 0)
		r = -errno;
	if (r < 0) {
		if (r != -EEXIST) /* then it is not ours */
			(void) unlinkat(dirfd, temporary, 0);
		return r;
	}
	return sys->fsync(dirfd) < 0 ? -errno : 0;
}

int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode, struct err *err)
{
	auto_free char *dir = path_dirname(path);
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	auto_fd int dirfd = -1;
	int r;

	if (!dir)
		return err_set(err, -ENOMEM, "write %s: out of memory", path);
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(err, -EINVAL, "write %s: a file name is expected", path);
	dirfd = sys_get()->openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	r = dirfd < 0 ? -errno : write_atomic_at(dirfd, name, data, n, mode);
	if (r < 0) {
		(void) err_set(err, r, "write %s: %s", path, strerrordesc_np(-r));
		err_target(err, "%s", path);
	}
	return r;
}

int file_fsync_dir(const char *path)
{
	auto_fd int fd = sys_get()->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0 || sys_get()->fsync(fd) < 0)
		return -errno;
	return 0;
}

bool file_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static int copy_by_buffer(int in, int out, uint64_t *done)
{
	auto_free char *p = malloc(READ_STEP * 4);

	if (!p)
		return -ENOMEM;
	for (;;) {
		ssize_t k = read(in, p, READ_STEP * 4);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : 0;
		for (ssize_t at = 0; at < k;) {
			ssize_t w = write(out, p + at, (size_t) (k - at));

			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				return w < 0 ? -errno : -EIO;
			at += w;
			*done += (uint64_t) w;
		}
	}
}

int file_copy_fd(int in, int out, uint64_t *ret_bytes)
{
	uint64_t done = 0;
	int r = 0;

	for (;;) {
		ssize_t k = copy_file_range(in, NULL, out, NULL, 1u << 30, 0);

		if (k < 0 && errno == EINTR)
			continue;
		if (k > 0) {
			done += (uint64_t) k;
			continue;
		}
		/* Files of /proc report a size of 0 and would look empty, pipes and pairs of file
		 * systems that cannot give an error: plain reads then say what is true. */
		if (k == 0 ? done == 0 : errno != ENOSPC && errno != EIO)
			r = copy_by_buffer(in, out, &done);
		else if (k < 0)
			r = -errno;
		break;
	}
	if (r == 0 && ret_bytes)
		*ret_bytes = done;
	return r;
}

int file_open_in_root(int rootfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t) (unsigned) flags | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
		how.mode = mode & 07777;
	for (unsigned i = 0;; i++) {
		long fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));

		if (fd >= 0)
			return (int) fd;
		if (errno != EINTR && (errno != EAGAIN || i >= RACE_TRIES))
			return -errno;
	}
}

char *path_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	while (n > 0 && a[n - 1] == '/')
		n--;
	if (n == 0 && !*a) /* nothing before: stay relative */
		return strdup(b);
	while (*b == '/')
		b++;
	return strf("%.*s/%s", (int) n, a, b);
}

char *path_dirname(const char *path)
{
	size_t n = strlen(path);

	while (n > 0 && path[n - 1] == '/')
		n--;
	if (n == 0)
		return strdup(*path ? "/" : ".");
	while (n > 0 && path[n - 1] != '/')
		n--;
	if (n == 0)
		return strdup(".");
	while (n > 1 && path[n - 1] == '/')
		n--;
	return strndup(path, n);
}

int tmp_name(char *dst)
{
	uint8_t b[16];
	int r = random_bytes(b, sizeof(b));

	if (r == 0)
		hex_encode(b, sizeof(b), dst);
	return r;
}
