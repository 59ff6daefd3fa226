/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and removing files beneath a root directory, by descriptors, never through a link. */
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "bake/seal_internal.h"
#include "base/file.h"
#include "base/mem.h"

#define DEPTH_MAX 200

/* Directories that hold the system itself: no link may lead an operation there. */
static const char *const protected_dirs[] = {
	"/",        "/usr", "/etc",       "/boot",    "/usr/bin", "/usr/sbin",
	"/usr/lib", "/var", "/usr/share", "/var/lib", "/lib",     "/var/lib/dpkg"};

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* True when @path is a way around: it names a protected directory by another name. */
static bool leads_astray(const struct seal *s, int fd, const char *path)
{
	struct stat st, p;

	if (fstat(fd, &st) < 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(protected_dirs); i++) {
		auto_fd int dir =
			file_open_in_root(s->rootfd, protected_dirs[i], O_PATH | O_DIRECTORY, 0);

		if (dir < 0 || fstat(dir, &p) < 0 || !same_file(&st, &p))
			continue;
		if (!str_eq(path, protected_dirs[i]))
			return true;
	}
	return false;
}

int seal_dir(const struct seal *s, const char *path, struct err *err)
{
	auto_fd int fd = file_open_in_root(s->rootfd, path, O_RDONLY | O_DIRECTORY, 0);
	struct stat root, st;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return -ENOENT;
	if (fd < 0)
		return err_set(err, fd, "%s: %s", path, strerror(-fd));
	if (fstat(s->rootfd, &root) < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (st.st_dev != root.st_dev)
		return -ENOENT; /* another file system is mounted there: not the image's */
	if (leads_astray(s, fd, path))
		return err_set(err, -ELOOP,
			       "%s: a link that leads to a system directory; cleaning it would "
			       "destroy the image",
			       path);
	return take_fd(fd);
}

/* Entries of a directory, read before any is removed. */
int seal_names(int dirfd, char ***ret)
{
	auto_strv char **v = NULL;
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *de;

	if (!d) {
		int r = -errno;

		closep(&copy);
		return r;
	}
	errno = 0;
	while ((de = readdir(d))) {
		if (str_eq(de->d_name, ".") || str_eq(de->d_name, ".."))
			continue;
		if (strv_push(&v, de->d_name) < 0)
			return -ENOMEM;
	}
	if (errno)
		return -errno;
	*ret = take_ptr(v);
	return 0;
}

static int open_sub(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int act(const struct seal *s, enum seal_action action, int dirfd, const char *name,
	       unsigned depth, unsigned *changed);

static int act_on_all(const struct seal *s, enum seal_action action, int dirfd, unsigned depth,
		      unsigned *changed)
{
	auto_strv char **names = NULL;
	int r = depth > DEPTH_MAX ? -ELOOP : seal_names(dirfd, &names);

	for (char **n = names; r == 0 && n && *n; n++)
		r = act(s, action, dirfd, *n, depth + 1, changed);
	return r;
}

static int remove_one(const struct seal *s, int dirfd, const char *name, const struct stat *st,
		      unsigned depth, unsigned *changed)
{
	if (S_ISDIR(st->st_mode)) {
		auto_fd int sub = open_sub(dirfd, name);
		struct stat in;
		int r = sub < 0 ? sub : 0;

		/* A mount point would be somebody else's files. */
		if (r == 0 && (fstat(sub, &in) < 0 || in.st_dev != st->st_dev))
			r = -EXDEV;
		if (r == 0)
			r = act_on_all(s, SEAL_REMOVE, sub, depth, changed);
		if (r < 0)
			return r;
	}
	++*changed;
	if (s->dry)
		return 0;
	return unlinkat(dirfd, name, S_ISDIR(st->st_mode) ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

static int truncate_one(const struct seal *s, int dirfd, const char *name, const struct stat *st,
			unsigned depth, unsigned *changed)
{
	auto_fd int fd = -1;

	if (S_ISDIR(st->st_mode)) {
		fd = open_sub(dirfd, name);
		return fd < 0 ? fd : act_on_all(s, SEAL_TRUNCATE, fd, depth, changed);
	}
	if (!S_ISREG(st->st_mode) || st->st_size == 0)
		return 0;
	++*changed;
	if (s->dry)
		return 0;
	fd = openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 || ftruncate(fd, 0) < 0 ? -errno : 0;
}

static int act(const struct seal *s, enum seal_action action, int dirfd, const char *name,
	       unsigned depth, unsigned *changed)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (action == SEAL_TRUNCATE)
		return truncate_one(s, dirfd, name, &st, depth, changed);
	if (action == SEAL_REMOVE)
		return remove_one(s, dirfd, name, &st, depth, changed);
	if (!S_ISDIR(st.st_mode))
		return 0;
	auto_fd int sub = open_sub(dirfd, name);

	return sub < 0 ? sub : act_on_all(s, SEAL_REMOVE, sub, depth, changed);
}

static bool is_glob(const char *s)
{
	return strpbrk(s, "*?[") != NULL;
}

/* All names in @dir that match the last component of a pattern. */
static int match_last(const struct seal *s, enum seal_action action, const char *dir,
		      const char *last, unsigned *changed, struct err *err)
{
	auto_strv char **names = NULL;
	auto_fd int fd = seal_dir(s, dir, err);
	int r = fd < 0 ? fd : 0;

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (!is_glob(last))
		r = act(s, action, fd, last, 0, changed);
	else
		r = seal_names(fd, &names);
	for (char **n = names; r == 0 && n && *n; n++)
		if (fnmatch(last, *n, FNM_PERIOD) == 0)
			r = act(s, action, fd, *n, 0, changed);
	return r < 0 ? err_set(err, r, "%s/%s: %s", dir, last, strerror(-r)) : 0;
}

/* Expands the first glob among the directory components and goes on with each match. */
static int match_dirs(const struct seal *s, enum seal_action action, const char *pattern,
		      unsigned *changed, struct err *err)
{
	size_t start = 1, end;
	auto_strv char **names = NULL;
	auto_free char *comp = NULL, *before = NULL;
	auto_fd int fd = -1;
	int r;

	for (;; start = end + 1) {
		end = start + strcspn(pattern + start, "/");
		free(comp);
		comp = strndup(pattern + start, end - start);
		if (!comp)
			return err_set(err, -ENOMEM, "%s", pattern);
		if (!pattern[end]) {
			before = start > 1 ? strndup(pattern, start - 1) : strdup("/");
			return before ? match_last(s, action, before, comp, changed, err)
				      : err_set(err, -ENOMEM, "%s", pattern);
		}
		if (is_glob(comp))
			break;
	}
	before = start > 1 ? strndup(pattern, start - 1) : strdup("/");
	fd = before ? seal_dir(s, before, err) : err_set(err, -ENOMEM, "%s", pattern);
	if (fd == -ENOENT)
		return 0;
	r = fd < 0 ? fd : seal_names(fd, &names);
	for (char **n = names; r == 0 && n && *n; n++) {
		auto_free char *next = NULL;

		if (fnmatch(comp, *n, FNM_PERIOD) != 0)
			continue;
		next = strf("%s/%s%s", str_eq(before, "/") ? "" : before, *n, pattern + end);
		r = next ? match_dirs(s, action, next, changed, err)
			 : err_set(err, -ENOMEM, "%s", pattern);
	}
	return r;
}

int seal_match(const struct seal *s, enum seal_action action, const char *pattern,
	       unsigned *changed, struct err *err)
{
	if (strncmp(pattern, "~/", 2) != 0)
		return match_dirs(s, action, pattern, changed, err);
	for (char **h = s->homes; h && *h; h++) {
		auto_free char *path = strf("%s%s", *h, pattern + 1);
		int r = path ? match_dirs(s, action, path, changed, err)
			     : err_set(err, -ENOMEM, "%s", pattern);

		if (r < 0)
			return r;
	}
	return 0;
}
