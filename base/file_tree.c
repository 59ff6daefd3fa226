/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

int file_mkdir_p(const char *path, mode_t mode, struct err *err)
{
	auto_free char *copy = strdup(path);
	struct stat st;
	int r = 0;

	if (!copy)
		return err_set(err, -ENOMEM, "make directory %s: out of memory", path);
	for (char *p = copy + (*copy == '/');; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		r = *copy ? sys_get()->mkdirat(AT_FDCWD, copy, mode) : 0;
		if (r < 0 && errno != EEXIST) {
			r = err_set(err, -errno, "make directory %s: %s", copy,
				    strerrordesc_np(errno));
			break;
		}
		r = 0;
		*p = c;
		if (!c)
			break;
	}
	if (r == 0 && stat(path, &st) < 0)
		r = err_set(err, -errno, "make directory %s: %s", path, strerrordesc_np(errno));
	else if (r == 0 && !S_ISDIR(st.st_mode))
		r = err_set(err, -ENOTDIR, "make directory %s: a file of that name exists", path);
	if (r < 0)
		err_target(err, "%s", path);
	return r;
}

/*
 * Removal walks with one descriptor: down by name, up by "..", each step up checked against the
 * identity noted on the way down. So neither depth nor descriptor limits matter, no link is
 * followed, and a directory moved away meanwhile ends the walk instead of leading it astray.
 */
struct level {
	char *name; /* of the child we went into */
	dev_t dev;  /* of the directory that holds it */
	ino_t ino;
};

struct walk {
	struct level *levels;
	size_t n, cap;
	uint64_t mnt_id;
	DIR *dir; /* where we are */
};

static void walk_done(struct walk *w)
{
	closedirp(&w->dir);
	while (w->n > 0)
		free(w->levels[--w->n].name);
	free(w->levels);
}

/* Opens @name below @dirfd as a directory. @top: the start, which tells the mount to stay in.
 * NULL: errno tells. */
static DIR *enter(struct walk *w, int dirfd, const char *name, bool top)
{
	auto_fd int fd = sys_get()->openat(
		dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
	struct statx sx;
	DIR *d;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return NULL;
	if ((sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) || (!top && sx.stx_mnt_id != w->mnt_id)) {
		errno = EXDEV;
		return NULL;
	}
	if (top)
		w->mnt_id = sx.stx_mnt_id;
	d = fdopendir(fd);
	if (d)
		(void) take_fd(fd);
	return d;
}

static int go_down(struct walk *w, const char *name)
{
	struct stat st;
	DIR *child;

	if (w->n == w->cap) {
		size_t cap = w->cap * 2 + 16;
		struct level *grown = reallocarray(w->levels, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		w->levels = grown;
		w->cap = cap;
	}
	if (fstat(dirfd(w->dir), &st) < 0)
		return err_errno();
	w->levels[w->n] = (struct level){strdup(name), st.st_dev, st.st_ino};
	if (!w->levels[w->n].name)
		return -ENOMEM;
	w->n++;
	child = enter(w, dirfd(w->dir), name, false);
	if (!child && errno == ENOENT) { /* somebody else removed it */
		free(w->levels[--w->n].name);
		return 0;
	}
	if (!child)
		return err_errno();
	closedirp(&w->dir);
	w->dir = child;
	return 0;
}

/* Leaves an emptied directory and removes it. */
static int go_up(struct walk *w)
{
	struct level *l = &w->levels[w->n - 1];
	auto_fd int fd = sys_get()->openat(dirfd(w->dir), "..",
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	struct stat st;
	DIR *up;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno();
	if (st.st_dev != l->dev || st.st_ino != l->ino)
		return -ESTALE;
	if (sys_get()->unlinkat(fd, l->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_errno();
	up = fdopendir(fd);
	if (!up)
		return err_errno();
	(void) take_fd(fd);
	closedirp(&w->dir);
	w->dir = up;
	free(l->name);
	w->n--;
	return 0;
}

/* Removes files until a directory or the end comes. Return: 1 and *@ret_name (owned) for a
 * directory to go into, 0 when nothing is left, or -errno. */
static int remove_files(struct walk *w, char **ret_name)
{
	struct dirent *de;

	while ((void) (errno = 0), (de = readdir(w->dir))) {
		bool is_dir = de->d_type == DT_DIR;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (!is_dir && sys_get()->unlinkat(dirfd(w->dir), de->d_name, 0) < 0) {
			if (errno == EISDIR)
				is_dir = true; /* the file system does not tell types */
			else if (errno == EBUSY)
				return -EXDEV; /* something is mounted on it */
			else if (errno != ENOENT)
				return err_errno();
		}
		if (is_dir) {
			*ret_name = strdup(de->d_name);
			return *ret_name ? 1 : -ENOMEM;
		}
	}
	return errno != 0 ? err_errno() : 0;
}

static int remove_below(struct walk *w)
{
	for (;;) {
		auto_free char *name = NULL;
		int r = remove_files(w, &name);

		if (r == 1)
			r = go_down(w, name);
		else if (r == 0 && w->n == 0)
			return 0;
		else if (r == 0)
			r = go_up(w);
		if (r < 0)
			return r;
	}
}

static int remove_tree(const char *path, const char *base)
{
	__attribute__((cleanup(walk_done))) struct walk w = {0};
	int r;

	if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return -EINVAL;
	if (sys_get()->unlinkat(AT_FDCWD, path, 0) == 0)
		return 0;
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	if (errno == EBUSY)
		return -EXDEV;
	if (errno != EISDIR)
		return err_errno();
	w.dir = enter(&w, AT_FDCWD, path, true);
	if (!w.dir)
		return errno == ENOENT ? 0 : err_errno();
	r = remove_below(&w);
	if (r == 0 && sys_get()->unlinkat(AT_FDCWD, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = err_errno();
	return r;
}

int file_rm_rf(const char *path, struct err *err)
{
	auto_free char *clean = strdup(path);
	const char *slash;
	size_t n;
	int r;

	if (!clean)
		return err_set(err, -ENOMEM, "remove %s: out of memory", path);
	/* A slash at the end would follow a link. */
	for (n = strlen(clean); n > 0 && clean[n - 1] == '/'; n--)
		clean[n - 1] = '\0';
	slash = strrchr(clean, '/');
	r = remove_tree(clean, slash ? slash + 1 : clean);
	if (r == -EXDEV)
		(void) err_set(err, r, "remove %s: something is mounted on or below it", path);
	else if (r == -EINVAL)
		(void) err_set(err, r, "remove \"%s\": not a name that may be removed", path);
	else if (r < 0)
		(void) err_set(err, r, "remove %s: %s", path, strerrordesc_np(-r));
	if (r < 0)
		err_target(err, "%s", path);
	return r;
}
