/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region in a local directory. Temporaries of one open region live in a directory of their own
 * under tmp/, journalled once, so that a crash leaves one tree to remove. A failed fsync or close
 * is final: what the disk holds is then unknown, so the region refuses writes until reopened.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/region.h"

#define FD_CACHE  64
#define DIR_MODE  02750
#define FILE_MODE 0640

struct cached_fd {
	char key[REGION_KEY_MAX]; /* "" = free */
	int fd;
	unsigned refs;
	uint64_t used; /* clock of the last use */
};

static const char *const top_dirs[] = {"packs", "manifests", "catalog",    "quarantine",
				       "tmp",   "epochs",    "statements", "marks"};
#define SHARDS 256 /* by two hex digits, below a top directory */

struct region_dir {
	struct region base;
	char *path;
	int dirfd;
	bool read_only;
	atomic_bool failed;
	/* Directories known to be durable; the last of a row is the top directory itself. */
	atomic_bool durable[ARRAY_SIZE(top_dirs)][SHARDS + 1];
	struct journal *journal;

	pthread_mutex_t lock; /* guards what follows */
	struct cached_fd fds[FD_CACHE];
	uint64_t clock;
	int tmpfd; /* this opening's own directory under tmp/; -1 until needed */
	char tmp_path[48];
	struct journal_entry *tmp_entry;
};

struct dir_put {
	struct region_put base;
	int fd;
	uint64_t bytes;
	char name[33];
};

static struct region_dir *dir_of(struct region *g)
{
	return (struct region_dir *) g;
}

static int fd_take(struct region_dir *d, const char *key, struct cached_fd **ret_slot, int *ret_fd)
{
	struct cached_fd *victim = NULL;
	int fd, r;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < FD_CACHE; i++) {
		struct cached_fd *s = &d->fds[i];

		if (strcmp(s->key, key) != 0)
			continue;
		s->refs++;
		s->used = ++d->clock;
		*ret_slot = s;
		*ret_fd = s->fd;
		pthread_mutex_unlock(&d->lock);
		return 0;
	}
	pthread_mutex_unlock(&d->lock);

	r = file_open_regular(d->dirfd, key, &fd);
	if (r < 0)
		return r;
	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < FD_CACHE; i++) {
		struct cached_fd *s = &d->fds[i];

		if (s->refs == 0 && (!victim || s->used < victim->used))
			victim = s;
	}
	*ret_slot = victim;
	*ret_fd = fd;
	if (victim) {
		if (victim->key[0])
			(void) close(victim->fd);
		(void) snprintf(victim->key, sizeof(victim->key), "%s", key);
		victim->fd = fd;
		victim->refs = 1;
		victim->used = ++d->clock;
	}
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static void fd_give(struct region_dir *d, struct cached_fd *slot, int fd)
{
	if (!slot) {
		(void) close(fd);
		return;
	}
	pthread_mutex_lock(&d->lock);
	slot->refs--;
	pthread_mutex_unlock(&d->lock);
}

/* A key that is gone or moved must not be served from its open descriptor. */
static void fd_forget(struct region_dir *d, const char *key)
{
	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < FD_CACHE; i++) {
		struct cached_fd *s = &d->fds[i];

		if (s->refs == 0 && s->key[0] && strcmp(s->key, key) == 0) {
			(void) close(s->fd);
			s->key[0] = '\0';
			s->used = 0;
		}
	}
	pthread_mutex_unlock(&d->lock);
}

static int dir_get(struct region *g, const char *key, uint64_t offset, void *dst, size_t n,
		   struct err *err)
{
	struct region_dir *d = dir_of(g);
	struct cached_fd *slot;
	int fd, r;

	r = region_key_check(key, err);
	if (r < 0)
		return r;
	r = fd_take(d, key, &slot, &fd);
	if (r < 0)
		return err_set(err, r, "cannot open: %s", strerror(-r));
	r = file_pread_full(fd, dst, n, offset);
	fd_give(d, slot, fd);
	if (r < 0)
		return err_set(err, r, "cannot read %zu bytes at %llu: %s", n,
			       (unsigned long long) offset,
			       r == -ENODATA ? "file is too short" : strerror(-r));
	return 0;
}

static int dir_stat(struct region *g, const char *key, uint64_t *ret_bytes, struct err *err)
{
	struct region_dir *d = dir_of(g);
	struct stat st;
	int r = region_key_check(key, err);

	if (r < 0)
		return r;
	if (sys_get()->fstatat(d->dirfd, key, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "not a regular file");
	*ret_bytes = (uint64_t) st.st_size;
	return 0;
}

static int list_dir(struct region_dir *d, const char *rel, unsigned depth, region_list_fn *fn,
		    void *arg, struct err *err)
{
	const struct sys *sys = sys_get();
	auto_dir DIR *dp = NULL;
	struct dirent *de;
	int fd, r = 0;

	fd = sys->openat(d->dirfd, rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "cannot list: %s", strerror(errno));
	dp = fdopendir(fd);
	if (!dp) {
		r = -errno;
		(void) close(fd);
		return err_set(err, r, "cannot list: %s", strerror(-r));
	}
	while (r >= 0 && (errno = 0, de = sys->readdir(dp))) {
		char key[REGION_KEY_MAX];
		struct stat st;
		int n;

		if (de->d_name[0] == '.')
			continue;
		n = snprintf(key, sizeof(key), "%s/%s", rel, de->d_name);
		if (n < 0 || (size_t) n >= sizeof(key))
			continue; /* no name of ours */
		if (sys->fstatat(d->dirfd, key, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue; /* removed meanwhile */
			return err_set(err, -errno, "%s: %s", key, strerror(errno));
		}
		if (S_ISDIR(st.st_mode) && depth > 0)
			r = list_dir(d, key, depth - 1, fn, arg, err);
		else if (S_ISREG(st.st_mode))
			r = fn(arg, key, (uint64_t) st.st_size);
	}
	if (r >= 0 && errno != 0)
		return err_set(err, -errno, "cannot list: %s", strerror(errno));
	return r;
}

static int dir_list(struct region *g, const char *prefix, region_list_fn *fn, void *arg,
		    struct err *err)
{
	char rel[REGION_KEY_MAX];
	size_t n = strlen(prefix);
	int r = region_key_check(prefix, err);

	if (r < 0)
		return r;
	while (n > 0 && prefix[n - 1] == '/')
		n--;
	memcpy(rel, prefix, n);
	rel[n] = '\0';
	return list_dir(dir_of(g), rel, 2, fn, arg, err);
}

static int writable(struct region_dir *d, struct err *err)
{
	if (d->read_only)
		return err_set(err, -EROFS, "opened read-only");
	if (atomic_load(&d->failed))
		return err_set(err, -EROFS,
			       "an earlier write was not made durable; restart and "
			       "run `kiln store check`");
	return 0;
}

/* fsync the directory that holds @key. */
static int sync_parent(struct region_dir *d, const char *key, struct err *err)
{
	const struct sys *sys = sys_get();
	char parent[REGION_KEY_MAX];
	const char *slash = strrchr(key, '/');
	auto_fd int fd = -1;

	(void) snprintf(parent, sizeof(parent), "%.*s", slash ? (int) (slash - key) : 1,
			slash ? key : ".");
	fd = sys->openat(d->dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", parent, strerror(errno));
	if (sys->fsync(fd) < 0) {
		atomic_store(&d->failed, true);
		return err_set(err, -errno, "cannot sync %s: %s", parent, strerror(errno));
	}
	return 0;
}

/* The note whether a directory is durable; NULL for one of another shape. */
static atomic_bool *durable_note(struct region_dir *d, const char *dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(top_dirs); i++) {
		size_t n = strlen(top_dirs[i]);
		char *end;
		unsigned long v;

		if (!str_starts(dir, top_dirs[i]))
			continue;
		if (dir[n] == '\0')
			return &d->durable[i][SHARDS];
		if (dir[n] != '/' || strlen(dir + n + 1) != 2)
			continue;
		v = strtoul(dir + n + 1, &end, 16);
		if (*end == '\0' && v < SHARDS)
			return &d->durable[i][v];
	}
	return NULL;
}

/* Makes the directories above @key durable, one level at a time. One that exists may have been
 * made by a process that did not get to sync it, so each is synced once by each opening. */
static int make_parents(struct region_dir *d, const char *key, struct err *err)
{
	const struct sys *sys = sys_get();
	char part[REGION_KEY_MAX];

	for (const char *s = strchr(key, '/'); s; s = strchr(s + 1, '/')) {
		atomic_bool *note;
		int r;

		(void) snprintf(part, sizeof(part), "%.*s", (int) (s - key), key);
		note = durable_note(d, part);
		if (note && atomic_load(note))
			continue;
		if (sys->mkdirat(d->dirfd, part, DIR_MODE & 0777) < 0) {
			if (errno != EEXIST)
				return err_set(err, -errno, "cannot make %s: %s", part,
					       strerror(errno));
		} else if (sys->fchmodat(d->dirfd, part, DIR_MODE, 0) < 0) {
			/* mkdir ignores the set-group-id bit in its mode. */
			return err_set(err, -errno, "cannot set the mode of %s: %s", part,
				       strerror(errno));
		}
		r = sync_parent(d, part, err);
		if (r < 0)
			return r;
		if (note)
			atomic_store(note, true);
	}
	return 0;
}

static int dir_remove(struct region *g, const char *key, struct err *err)
{
	struct region_dir *d = dir_of(g);
	int r = region_key_check(key, err);

	if (r >= 0)
		r = writable(d, err);
	if (r < 0)
		return r;
	fd_forget(d, key);
	if (sys_get()->unlinkat(d->dirfd, key, 0) < 0)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "cannot remove: %s", strerror(errno));
	return sync_parent(d, key, err);
}

static int dir_quarantine(struct region *g, const char *key, struct err *err)
{
	struct region_dir *d = dir_of(g);
	const char *base = strrchr(key, '/');
	char to[REGION_KEY_MAX];
	int r = region_key_check(key, err);

	if (r >= 0)
		r = writable(d, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < 1000; i++) {
		(void) snprintf(to, sizeof(to), "quarantine/%s.%u", base ? base + 1 : key, i);
		r = make_parents(d, to, err);
		if (r < 0)
			return r;
		fd_forget(d, key);
		if (sys_get()->renameat2(d->dirfd, key, d->dirfd, to, RENAME_NOREPLACE) == 0) {
			r = sync_parent(d, to, err);
			return r < 0 ? r : sync_parent(d, key, err);
		}
		if (errno == ENOENT)
			return 0;
		if (errno != EEXIST)
			return err_set(err, -errno, "cannot quarantine: %s", strerror(errno));
	}
	return err_set(err, -EEXIST, "cannot quarantine: too many of that name");
}

/* Removes this opening's temporaries. What cannot be removed now keeps its journal entry, so that
 * a later start removes it. */
static void tmp_close(struct region_dir *d)
{
	auto_free char *path = NULL;

	if (d->tmpfd >= 0)
		(void) close(d->tmpfd);
	d->tmpfd = -1;
	if (d->tmp_entry) {
		(void) journal_undo(take_ptr(d->tmp_entry), NULL);
		return;
	}
	path = d->tmp_path[0] ? strf("%s/%s", d->path, d->tmp_path) : NULL;
	if (path)
		(void) file_rm_rf(path, NULL);
}

/* Called with the lock held. */
static int tmp_open(struct region_dir *d, struct err *err)
{
	const struct sys *sys = sys_get();
	char name[33];
	int r;

	if (d->tmpfd >= 0)
		return 0;
	tmp_close(d); /* of an attempt that failed half-way */
	r = tmp_name(name);
	if (r < 0)
		return err_set(err, r, "no random name");
	(void) snprintf(d->tmp_path, sizeof(d->tmp_path), "tmp/%s", name);
	if (d->journal) {
		/* Without a path nobody could undo the entry: no memory, no entry. */
		json_t *facts =
			json_pack("{s:o}", "path", json_strf("%s/%s", d->path, d->tmp_path));

		if (!facts)
			return err_set(err, -ENOMEM, "out of memory");
		r = journal_add(d->journal, "tree", facts, &d->tmp_entry, err);
		if (r < 0)
			return r;
	}
	if (sys->mkdirat(d->dirfd, d->tmp_path, 0700) < 0)
		return err_set(err, -errno, "cannot make %s: %s", d->tmp_path, strerror(errno));
	d->tmpfd = sys->openat(d->dirfd, d->tmp_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (d->tmpfd < 0)
		return err_set(err, -errno, "cannot open %s: %s", d->tmp_path, strerror(errno));
	return 0;
}

static int dir_put_begin(struct region *g, struct region_put **ret, struct err *err)
{
	struct region_dir *d = dir_of(g);
	struct dir_put *p;
	int r = writable(d, err);

	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->base.region = g;
	pthread_mutex_lock(&d->lock);
	r = tmp_open(d, err);
	pthread_mutex_unlock(&d->lock);
	if (r >= 0 && tmp_name(p->name) < 0)
		r = err_set(err, -EIO, "no random name");
	if (r >= 0) {
		p->fd = sys_get()->openat(d->tmpfd, p->name,
					  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
					  FILE_MODE);
		if (p->fd < 0)
			r = err_set(err, -errno, "cannot make a temporary: %s", strerror(errno));
	}
	if (r < 0) {
		free(p);
		return r;
	}
	*ret = &p->base;
	return 0;
}

static int dir_put_add(struct region_put *rp, const void *src, size_t n, struct err *err)
{
	struct dir_put *p = (struct dir_put *) rp;
	int r = file_pwrite_full(p->fd, src, n, p->bytes);

	if (r < 0)
		return err_set(err, r, "cannot write: %s", strerror(-r));
	p->bytes += n;
	return 0;
}

static int dir_put_read(struct region_put *rp, uint64_t offset, void *dst, size_t n,
			struct err *err)
{
	struct dir_put *p = (struct dir_put *) rp;
	int r = file_pread_full(p->fd, dst, n, offset);

	return r < 0 ? err_set(err, r, "cannot read back: %s", strerror(-r)) : 0;
}

static void dir_put_abort(struct region_put *rp)
{
	struct dir_put *p = (struct dir_put *) rp;

	if (p->fd >= 0)
		(void) close(p->fd);
	(void) sys_get()->unlinkat(dir_of(rp->region)->tmpfd, p->name, 0);
	free(p);
}

static int dir_put_commit(struct region_put *rp, const char *key, bool replace, struct err *err)
{
	struct dir_put *p = (struct dir_put *) rp;
	struct region_dir *d = dir_of(rp->region);
	const struct sys *sys = sys_get();
	int r = region_key_check(key, err);

	if (r >= 0)
		r = writable(d, err);
	if (r >= 0 && sys->fchmod(p->fd, FILE_MODE) < 0)
		r = err_set(err, -errno, "cannot set the mode: %s", strerror(errno));
	if (r >= 0 && sys->fsync(p->fd) < 0) {
		r = err_set(err, -errno, "cannot sync: %s", strerror(errno));
		atomic_store(&d->failed, true);
	}
	if (r >= 0 && sys->close(p->fd) < 0) {
		r = err_set(err, -errno, "cannot close: %s", strerror(errno));
		atomic_store(&d->failed, true);
		p->fd = -1;
	} else if (r >= 0) {
		p->fd = -1;
	}
	if (r >= 0)
		r = make_parents(d, key, err);
	if (r >= 0 &&
	    sys->renameat2(d->tmpfd, p->name, d->dirfd, key, replace ? 0 : RENAME_NOREPLACE) < 0)
		r = err_set(err, -errno, "cannot rename into place: %s", strerror(errno));
	if (r < 0) {
		dir_put_abort(rp);
		return r;
	}
	if (replace)
		fd_forget(d, key);
	r = sync_parent(d, key, err);
	free(p);
	return r;
}

static void dir_free(struct region *g)
{
	struct region_dir *d = dir_of(g);

	for (unsigned i = 0; i < FD_CACHE; i++)
		if (d->fds[i].key[0])
			(void) close(d->fds[i].fd);
	tmp_close(d);
	if (d->dirfd >= 0)
		(void) close(d->dirfd);
	(void) pthread_mutex_destroy(&d->lock);
	free(d->path);
	free(d);
}

static const struct region_ops dir_ops = {
	.name = "directory",
	.get = dir_get,
	.stat = dir_stat,
	.list = dir_list,
	.remove = dir_remove,
	.quarantine = dir_quarantine,
	.put_begin = dir_put_begin,
	.put_add = dir_put_add,
	.put_read = dir_put_read,
	.put_commit = dir_put_commit,
	.put_abort = dir_put_abort,
	.free = dir_free,
};

static int format_check(struct region_dir *d, struct err *err)
{
	auto_free char *path = path_join(d->path, "format");
	auto_buf struct buf b = BUF_INIT(REGION_FORMAT_MAX);
	const char *text = region_format_text();
	int r;

	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	if (!file_exists(path)) {
		if (d->read_only)
			return err_set(err, -ENOENT, "%s is not a region (no format file)",
				       d->path);
		return file_write_atomic(path, text, strlen(text), FILE_MODE, err);
	}
	r = file_read_all(path, &b, err);
	return r < 0 ? r : region_format_check(path, buf_str(&b), err);
}

/* The names that lead to a new region are as durable as what is in it: its own, and those of the
 * two directories above, which are made with it. Names further up are somebody else's. */
static int sync_above(const char *path, struct err *err)
{
	auto_free char *at = strdup(path);

	for (unsigned i = 0; at && i < 3 && strcmp(at, "/") != 0 && strcmp(at, ".") != 0; i++) {
		char *up = path_dirname(at);
		int r = up ? file_fsync_dir(up) : -ENOMEM;

		free(at);
		at = up;
		if (r == -EACCES || r == -EINVAL || r == -EROFS)
			return 0; /* not ours, or a file system that has no such thing */
		if (r < 0)
			return err_set(err, r, "cannot sync %s: %s", up ? up : path, strerror(-r));
	}
	return at ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int region_dir_open(const char *path, const struct region_options *o, struct region **ret,
		    struct err *err)
{
	static const char *const subdirs[] = {"packs/", "manifests/", "catalog/", "tmp/",
					      "quarantine/"};
	struct region_dir *d = calloc(1, sizeof(*d));
	int r = 0;

	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	d->base.ops = &dir_ops;
	d->read_only = o->read_only;
	d->journal = o->journal;
	d->dirfd = d->tmpfd = -1;
	(void) pthread_mutex_init(&d->lock, NULL);
	d->path = strdup(path);
	if (!d->path)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r >= 0 && !o->read_only)
		r = file_mkdir_p(path, 0750, err);
	if (r >= 0) {
		d->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d->dirfd < 0)
			r = err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	}
	if (r >= 0 && !o->read_only)
		r = sync_above(path, err);
	for (size_t i = 0; r >= 0 && !o->read_only && i < ARRAY_SIZE(subdirs); i++)
		r = make_parents(d, subdirs[i], err);
	if (r >= 0)
		r = format_check(d, err);
	if (r < 0) {
		dir_free(&d->base);
		return r;
	}
	*ret = &d->base;
	return 0;
}
