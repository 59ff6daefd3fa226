/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"

static _Thread_local struct {
	unsigned left; /* calls until the fault; 0 = none will come */
	int error;
	bool *armed;
} sys_fault, alloc_fault;

static bool due(unsigned *left, bool *armed)
{
	if (*left == 0 || --*left > 0)
		return false;
	*armed = false;
	return true;
}

static bool sys_due(void)
{
	if (!due(&sys_fault.left, sys_fault.armed))
		return false;
	errno = sys_fault.error;
	return true;
}

static int fault_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	return sys_due() ? -1 : sys_real.openat(dirfd, name, flags, mode);
}

static ssize_t fault_pread(int fd, void *p, size_t n, off_t at)
{
	return sys_due() ? -1 : sys_real.pread(fd, p, n, at);
}

static ssize_t fault_pwrite(int fd, const void *p, size_t n, off_t at)
{
	return sys_due() ? -1 : sys_real.pwrite(fd, p, n, at);
}

static int fault_fsync(int fd)
{
	return sys_due() ? -1 : sys_real.fsync(fd);
}

static int fault_close(int fd)
{
	int r = sys_real.close(fd);

	return sys_due() ? -1 : r;
}

static int fault_renameat2(int ofd, const char *o, int nfd, const char *n, unsigned flags)
{
	return sys_due() ? -1 : sys_real.renameat2(ofd, o, nfd, n, flags);
}

static int fault_unlinkat(int dirfd, const char *name, int flags)
{
	return sys_due() ? -1 : sys_real.unlinkat(dirfd, name, flags);
}

static int fault_mkdirat(int dirfd, const char *name, mode_t mode)
{
	return sys_due() ? -1 : sys_real.mkdirat(dirfd, name, mode);
}

static int fault_ftruncate(int fd, off_t len)
{
	return sys_due() ? -1 : sys_real.ftruncate(fd, len);
}

static int fault_fchmod(int fd, mode_t mode)
{
	return sys_due() ? -1 : sys_real.fchmod(fd, mode);
}

static int fault_fchmodat(int dirfd, const char *name, mode_t mode, int flags)
{
	return sys_due() ? -1 : sys_real.fchmodat(dirfd, name, mode, flags);
}

static int fault_fstatat(int dirfd, const char *name, struct stat *st, int flags)
{
	return sys_due() ? -1 : sys_real.fstatat(dirfd, name, st, flags);
}

static struct dirent *fault_readdir(DIR *dir)
{
	return sys_due() ? NULL : sys_real.readdir(dir);
}

static const struct sys sys_faulty = {
	.openat = fault_openat,
	.pread = fault_pread,
	.pwrite = fault_pwrite,
	.fsync = fault_fsync,
	.close = fault_close,
	.renameat2 = fault_renameat2,
	.unlinkat = fault_unlinkat,
	.mkdirat = fault_mkdirat,
	.ftruncate = fault_ftruncate,
	.fchmod = fault_fchmod,
	.fchmodat = fault_fchmodat,
	.fstatat = fault_fstatat,
	.readdir = fault_readdir,
};

const struct sys *fault_nth(unsigned n, int error, bool *armed)
{
	sys_fault.left = n;
	sys_fault.error = error;
	sys_fault.armed = armed;
	return &sys_faulty;
}

static _Thread_local size_t short_bytes;
static _Thread_local bool short_interrupt;

static size_t shorten(size_t n)
{
	short_interrupt = !short_interrupt;
	return n < short_bytes ? n : short_bytes;
}

static ssize_t short_pread(int fd, void *p, size_t n, off_t at)
{
	n = shorten(n);
	if (short_interrupt) {
		errno = EINTR;
		return -1;
	}
	return sys_real.pread(fd, p, n, at);
}

static ssize_t short_pwrite(int fd, const void *p, size_t n, off_t at)
{
	n = shorten(n);
	if (short_interrupt) {
		errno = EINTR;
		return -1;
	}
	return sys_real.pwrite(fd, p, n, at);
}

const struct sys *fault_short(size_t bytes)
{
	static struct sys table;

	table = sys_real;
	table.pread = short_pread;
	table.pwrite = short_pwrite;
	short_bytes = bytes;
	return &table;
}

/* One countdown for all threads. */
struct countdown {
	atomic_uint calls;
	unsigned n; /* 0 = never */
	bool for_ever;
};

static struct countdown any_sys, any_alloc;
static int any_error;

static bool any_due(struct countdown *c)
{
	unsigned i = atomic_fetch_add(&c->calls, 1) + 1;

	return c->n != 0 && (i == c->n || (c->for_ever && i > c->n));
}

static bool any_sys_due(void)
{
	if (!any_due(&any_sys) || any_error == 0)
		return false;
	errno = any_error;
	return true;
}

static int any_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	return any_sys_due() ? -1 : sys_real.openat(dirfd, name, flags, mode);
}

/* How much of @n is moved; -1 with errno for a failure. */
static ssize_t any_amount(size_t n)
{
	if (!any_due(&any_sys))
		return (ssize_t) n;
	errno = any_error;
	return any_error ? -1 : n < 1 ? 0 : 1;
}

static ssize_t any_pread(int fd, void *p, size_t n, off_t at)
{
	ssize_t k = any_amount(n);

	return k < 0 ? -1 : sys_real.pread(fd, p, (size_t) k, at);
}

static ssize_t any_pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t k = any_amount(n);

	return k < 0 ? -1 : sys_real.pwrite(fd, p, (size_t) k, at);
}

static int any_fsync(int fd)
{
	return any_sys_due() ? -1 : sys_real.fsync(fd);
}

static int any_close(int fd)
{
	int r = sys_real.close(fd);

	return any_sys_due() ? -1 : r;
}

static int any_renameat2(int ofd, const char *o, int nfd, const char *n, unsigned flags)
{
	return any_sys_due() ? -1 : sys_real.renameat2(ofd, o, nfd, n, flags);
}

static int any_unlinkat(int dirfd, const char *name, int flags)
{
	return any_sys_due() ? -1 : sys_real.unlinkat(dirfd, name, flags);
}

static int any_mkdirat(int dirfd, const char *name, mode_t mode)
{
	return any_sys_due() ? -1 : sys_real.mkdirat(dirfd, name, mode);
}

static int any_ftruncate(int fd, off_t len)
{
	return any_sys_due() ? -1 : sys_real.ftruncate(fd, len);
}

static int any_fchmod(int fd, mode_t mode)
{
	return any_sys_due() ? -1 : sys_real.fchmod(fd, mode);
}

static int any_fchmodat(int dirfd, const char *name, mode_t mode, int flags)
{
	return any_sys_due() ? -1 : sys_real.fchmodat(dirfd, name, mode, flags);
}

static int any_fstatat(int dirfd, const char *name, struct stat *st, int flags)
{
	return any_sys_due() ? -1 : sys_real.fstatat(dirfd, name, st, flags);
}

static struct dirent *any_readdir(DIR *dir)
{
	return any_sys_due() ? NULL : sys_real.readdir(dir);
}

const struct sys *fault_any(unsigned n, int error, bool for_ever)
{
	static const struct sys table = {
		.openat = any_openat,
		.pread = any_pread,
		.pwrite = any_pwrite,
		.fsync = any_fsync,
		.close = any_close,
		.renameat2 = any_renameat2,
		.unlinkat = any_unlinkat,
		.mkdirat = any_mkdirat,
		.ftruncate = any_ftruncate,
		.fchmod = any_fchmod,
		.fchmodat = any_fchmodat,
		.fstatat = any_fstatat,
		.readdir = any_readdir,
	};

	any_error = error;
	any_sys.n = n;
	any_sys.for_ever = for_ever;
	atomic_store(&any_sys.calls, 0);
	return &table;
}

unsigned fault_any_calls(void)
{
	return atomic_load(&any_sys.calls);
}

/* The linker sends calls of malloc() and its kin here (--wrap). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static bool alloc_due(void)
{
	if (!any_due(&any_alloc) && !due(&alloc_fault.left, alloc_fault.armed))
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return alloc_due() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return alloc_due() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return alloc_due() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return alloc_due() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return alloc_due() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return alloc_due() ? NULL : __real_strndup(s, n);
}

static void *json_malloc(size_t n)
{
	return __wrap_malloc(n);
}

static void json_free(void *p)
{
	free(p);
}

void fault_alloc_nth(unsigned n, bool *armed)
{
	json_set_alloc_funcs(json_malloc, json_free);
	alloc_fault.armed = armed;
	alloc_fault.left = n;
}

void fault_alloc_off(void)
{
	alloc_fault.left = 0;
}

void fault_alloc_any(unsigned n, bool for_ever)
{
	json_set_alloc_funcs(json_malloc, json_free);
	any_alloc.n = n;
	any_alloc.for_ever = for_ever;
	atomic_store(&any_alloc.calls, 0);
}

unsigned fault_alloc_any_calls(void)
{
	return atomic_load(&any_alloc.calls);
}
