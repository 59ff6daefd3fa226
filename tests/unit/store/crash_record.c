/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "crash_record.h"

struct recording rec = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t rec_wal(void)
{
	char path[PATH_ROOM * 2];
	struct stat st;

	(void) snprintf(path, sizeof(path), "%sstore.db-wal", rec.store);
	return stat(path, &st) < 0 ? 0 : (uint64_t) st.st_size;
}

/* Path in the store, or false: not there, or of the database or the lookup, which are modelled
 * otherwise. */
static bool within(int dirfd, const char *name, char dst[PATH_ROOM])
{
	char full[PATH_ROOM * 2], link[64];
	size_t n = strlen(rec.store);
	ssize_t k = 0;

	if (!name || name[0] != '/') {
		(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
		k = readlink(link, full, PATH_ROOM);
		if (k < 0)
			return false;
		full[k] = '\0';
		if (name)
			(void) snprintf(full + k, sizeof(full) - (size_t) k, "/%s", name);
	} else {
		(void) snprintf(full, sizeof(full), "%s", name);
	}
	if (!str_starts(full, rec.store) || strlen(full + n) >= PATH_ROOM)
		return false;
	(void) snprintf(dst, PATH_ROOM, "%s", full + n);
	return !str_starts(dst, "store.db") && !str_starts(dst, "lookup") &&
	       !strstr(dst, ".lock") && !strstr(dst, "(deleted)") && !strstr(dst, "/lock");
}

static struct op *note(enum op_kind kind, const char *path)
{
	struct op *o = &rec.ops[rec.n];

	if (rec.n == OPS_MAX) {
		rec.overflow = true;
		return &rec.ops[0];
	}
	rec.n++;
	*o = (struct op){.kind = kind, .wal = rec_wal()};
	(void) snprintf(o->path, sizeof(o->path), "%s", path);
	return o;
}

static int rec_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	char path[PATH_ROOM];
	int fd, e;
	bool fresh;

	(void) pthread_mutex_lock(&rec.lock);
	fresh = (flags & O_CREAT) && faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
	fd = sys_real.openat(dirfd, name, flags, mode);
	e = errno;
	if (fd >= 0 && fresh && within(dirfd, name, path))
		(void) note(OP_CREATE, path);
	(void) pthread_mutex_unlock(&rec.lock);
	errno = e;
	return fd;
}

static ssize_t rec_pwrite(int fd, const void *p, size_t n, off_t at)
{
	char path[PATH_ROOM];
	ssize_t k;
	int e;

	(void) pthread_mutex_lock(&rec.lock);
	k = sys_real.pwrite(fd, p, n, at);
	e = errno;
	if (k > 0 && within(fd, NULL, path)) {
		struct op *o = note(OP_WRITE, path);

		o->data = malloc((size_t) k);
		o->n = (size_t) k;
		o->at = (uint64_t) at;
		if (o->data)
			memcpy(o->data, p, (size_t) k);
	}
	(void) pthread_mutex_unlock(&rec.lock);
	errno = e;
	return k;
}

static int rec_fsync(int fd)
{
	char path[PATH_ROOM];
	struct stat st;
	int r;

	(void) pthread_mutex_lock(&rec.lock);
	r = sys_real.fsync(fd);
	if (r == 0 && fstat(fd, &st) == 0 && within(fd, NULL, path))
		(void) note(S_ISDIR(st.st_mode) ? OP_SYNC_DIR : OP_SYNC, path);
	(void) pthread_mutex_unlock(&rec.lock);
	return r;
}

static int rec_renameat2(int ofd, const char *o, int nfd, const char *n, unsigned flags)
{
	char from[PATH_ROOM], to[PATH_ROOM];
	int r, e;

	(void) pthread_mutex_lock(&rec.lock);
	r = sys_real.renameat2(ofd, o, nfd, n, flags);
	e = errno;
	if (r == 0 && within(ofd, o, from) && within(nfd, n, to)) {
		struct op *x = note(OP_RENAME, from);

		(void) snprintf(x->to, sizeof(x->to), "%s", to);
	}
	(void) pthread_mutex_unlock(&rec.lock);
	errno = e;
	return r;
}

static int rec_unlinkat(int dirfd, const char *name, int flags)
{
	char path[PATH_ROOM];
	int r, e;

	(void) pthread_mutex_lock(&rec.lock);
	r = sys_real.unlinkat(dirfd, name, flags);
	e = errno;
	if (r == 0 && within(dirfd, name, path))
		(void) note(OP_UNLINK, path);
	(void) pthread_mutex_unlock(&rec.lock);
	errno = e;
	return r;
}

static int rec_mkdirat(int dirfd, const char *name, mode_t mode)
{
	char path[PATH_ROOM];
	int r, e;

	(void) pthread_mutex_lock(&rec.lock);
	r = sys_real.mkdirat(dirfd, name, mode);
	e = errno;
	if (r == 0 && within(dirfd, name, path))
		(void) note(OP_MKDIR, path);
	(void) pthread_mutex_unlock(&rec.lock);
	errno = e;
	return r;
}

static int rec_ftruncate(int fd, off_t len)
{
	char path[PATH_ROOM];
	int r;

	(void) pthread_mutex_lock(&rec.lock);
	r = sys_real.ftruncate(fd, len);
	if (r == 0 && within(fd, NULL, path))
		note(OP_TRUNCATE, path)->at = (uint64_t) len;
	(void) pthread_mutex_unlock(&rec.lock);
	return r;
}

void rec_table(struct sys *t)
{
	t->openat = rec_openat;
	t->pwrite = rec_pwrite;
	t->fsync = rec_fsync;
	t->renameat2 = rec_renameat2;
	t->unlinkat = rec_unlinkat;
	t->mkdirat = rec_mkdirat;
	t->ftruncate = rec_ftruncate;
}
