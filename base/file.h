/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files. Every descriptor is close-on-exec from birth, every write handles EINTR and short
 * writes, durable writes follow: temporary (O_EXCL) -> write -> fsync -> rename -> fsync dir.
 * System calls whose failure matters go through `sys` so that tests can fail the nth one.
 */
#ifndef KILN_BASE_FILE_H
#define KILN_BASE_FILE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* The system calls with failure modes worth testing; `sys_real` is the default. */
struct sys {
	int (*openat)(int dirfd, const char *name, int flags, mode_t mode);
	ssize_t (*pread)(int fd, void *p, size_t n, off_t at);
	ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t at);
	int (*fsync)(int fd);
	int (*close)(int fd);
	int (*renameat2)(int ofd, const char *o, int nfd, const char *n, unsigned flags);
	int (*unlinkat)(int dirfd, const char *name, int flags);
	int (*mkdirat)(int dirfd, const char *name, mode_t mode);
	int (*ftruncate)(int fd, off_t len);
	int (*fchmod)(int fd, mode_t mode);
	int (*fchmodat)(int dirfd, const char *name, mode_t mode, int flags);
	int (*fstatat)(int dirfd, const char *name, struct stat *st, int flags);
	struct dirent *(*readdir)(DIR *dir); /* NULL with errno 0 at the end */
};
extern const struct sys sys_real;
/** sys_get() - the table in force. sys_use() - set it (tests; NULL = real). Process-wide. */
const struct sys *sys_get(void);
void sys_use(const struct sys *s);

/** file_open_regular() - O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC read; -EINVAL unless a regular file. */
int file_open_regular(int dirfd, const char *name, int *ret_fd);
/** file_pread_full() - exactly @n bytes. Return 0, -ENODATA at an early end, or -errno. */
int file_pread_full(int fd, void *dst, size_t n, uint64_t at);
/** file_pwrite_full() - all @n bytes. Return 0 or -errno. */
int file_pwrite_full(int fd, const void *src, size_t n, uint64_t at);
/** file_read_all() - append a regular file; @out may reach @out->max-1 bytes. Follows links.
 *  Errors name @path. Return: 0, -ENOENT, -EFBIG, -EINVAL (no regular file) or another -errno. */
int file_read_all(const char *path, struct buf *out, struct err *err);
/** file_read_fd() - append all that @fd (pipe, proc file) gives, up to @out->max-1 bytes in @out.
 */
int file_read_fd(int fd, struct buf *out);

/**
 * file_write_atomic() - replace @path durably with @n bytes
 *
 * Writes a unique temporary in the same directory with @mode (whatever the umask), fsyncs it,
 * renames it over @path, fsyncs the directory. On failure no temporary is left and @path is as it
 * was, except when only the last fsync failed: then the new content is there but may not survive
 * a power cut. Return: 0 or -errno.
 */
#define FILE_TMP_PREFIX ".kiln-tmp-" /* a crash leaves a name that begins so */
int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode, struct err *err);

/** file_fsync_dir() - Return 0 or -errno. */
int file_fsync_dir(const char *path);
/** file_mkdir_p() - make @path and its parents with @mode; existing directories stay. */
int file_mkdir_p(const char *path, mode_t mode, struct err *err);
/** file_rm_rf() - remove a tree; never follows links, never crosses into another mount
 *  (-EXDEV); absent is success. */
int file_rm_rf(const char *path, struct err *err);
/** file_exists() - lstat succeeds. */
bool file_exists(const char *path);
/** file_copy_fd() - copy from @in's position to its end to @out's position, by copy_file_range,
 *  else by buffer. @ret_bytes may be NULL. Return: 0 or -errno. */
int file_copy_fd(int in, int out, uint64_t *ret_bytes);
/** file_open_in_root() - openat2 RESOLVE_IN_ROOT|NO_MAGICLINKS: @path is resolved as if @rootfd
 *  were "/". @flags as open(2); O_CLOEXEC is added. Return: fd or -errno. */
int file_open_in_root(int rootfd, const char *path, int flags, mode_t mode);
/** path_join() - "a/b", one slash between ("b" when @a is empty); caller frees; NULL on ENOMEM. */
char *path_join(const char *a, const char *b);
/** path_dirname() - copy without the last component ("." if none). */
char *path_dirname(const char *path);
/** tmp_name() - fills @dst (at least 33 bytes) with 32 random hex digits. Return 0 or -errno. */
int tmp_name(char *dst);

#endif
