/* SPDX-License-Identifier: Apache-2.0 */
/* Files of an image, reached through its root directory without ever leaving it. */
#include "bake/container.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

static const char policy_text[] = "#!/bin/sh\nexit 101\n";

/* Splits an absolute path and opens the directory part inside the root. */
static int open_parent(int rootfd, const char *path, const char **ret_name, struct err *err)
{
	auto_free char *dir = path_dirname(path);
	const char *slash = strrchr(path, '/');
	int fd;

	if (path[0] != '/' || !slash[1] || str_eq(slash, "/.") || str_eq(slash, "/.."))
		return err_set(err, -EINVAL, "%s: an absolute path of a file is expected", path);
	if (!dir)
		return err_set(err, -ENOMEM, "%s", path);
	fd = file_open_in_root(rootfd, dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(err, fd, "directory %s of the image: %s", dir, strerror(-fd));
	*ret_name = slash + 1;
	return fd;
}

static int fill(int in, int out, unsigned mode, unsigned uid, unsigned gid)
{
	int r = lseek(in, 0, SEEK_SET) < 0 ? -errno : file_copy_fd(in, out, NULL);

	if (r < 0)
		return r;
	/* Owner first: a change of owner clears set-id bits. */
	if (fchown(out, uid, gid) < 0 || fchmod(out, mode & 07777) < 0)
		return -errno;
	return 0;
}

int container_put(int rootfd, int fd, const char *dest, unsigned mode, unsigned uid, unsigned gid,
		  struct err *err)
{
	char tmp[33 + 6] = ".kiln-";
	const char *name = NULL;
	auto_fd int dir = open_parent(rootfd, dest, &name, err), out = -1;
	struct stat st;
	int r;

	if (dir < 0)
		return dir;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR, "%s: is a directory in the image", dest);
	r = tmp_name(tmp + 6);
	if (r < 0)
		return err_set(err, r, "%s", dest);
	out = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return err_set(err, -errno, "%s: %s", dest, strerror(errno));
	r = fill(fd, out, mode, uid, gid);
	if (r == 0 && renameat(dir, tmp, dir, name) < 0)
		r = -errno;
	if (r < 0) {
		(void) unlinkat(dir, tmp, 0);
		return err_set(err, r, "%s: %s", dest, strerror(-r));
	}
	return 0;
}

int container_get(int rootfd, const char *src, int fd, struct err *err)
{
	auto_fd int in = file_open_in_root(rootfd, src, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	int r;

	if (in < 0)
		return err_set(err, in, "%s: %s", src, strerror(-in));
	if (fstat(in, &st) < 0)
		return err_set(err, -errno, "%s: %s", src, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: not a regular file", src);
	r = file_copy_fd(in, fd, NULL);
	return r < 0 ? err_set(err, r, "%s: %s", src, strerror(-r)) : 0;
}

int policy_place(int rootfd, struct policy *p, struct err *err)
{
	auto_fd int dir = file_open_in_root(rootfd, "/usr/sbin", O_RDONLY | O_DIRECTORY, 0),
		    fd = -1;
	struct stat st;
	int r;

	*p = (struct policy){0};
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0; /* no such convention in this image */
	if (dir < 0)
		return err_set(err, dir, "/usr/sbin of the image: %s", strerror(-dir));
	if (fstatat(dir, "policy-rc.d", &st, AT_SYMLINK_NOFOLLOW) == 0) {
		p->shown = true;
		return 0;
	}
	fd = openat(dir, "policy-rc.d", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0700);
	if (fd < 0)
		return err_set(err, -errno, "/usr/sbin/policy-rc.d: %s", strerror(errno));
	p->placed = true;
	r = file_pwrite_full(fd, policy_text, sizeof(policy_text) - 1, 0);
	if (r == 0 && (fchmod(fd, 0755) < 0 || fstat(fd, &st) < 0))
		r = -errno;
	if (r < 0) {
		(void) policy_remove(rootfd, p, NULL);
		return err_set(err, r, "/usr/sbin/policy-rc.d: %s", strerror(-r));
	}
	p->ino = st.st_ino;
	return 0;
}

/* Still the very file that was placed, untouched? A step may have made its own. */
static bool is_ours(int fd, const struct policy *p)
{
	char text[sizeof(policy_text)];
	struct stat st;

	return fstat(fd, &st) == 0 && (p->ino == 0 || st.st_ino == p->ino) &&
	       (p->ino == 0 ||
		(st.st_size == (off_t) sizeof(policy_text) - 1 &&
		 pread(fd, text, sizeof(text), 0) == (ssize_t) sizeof(policy_text) - 1 &&
		 memcmp(text, policy_text, sizeof(policy_text) - 1) == 0));
}

int policy_remove(int rootfd, struct policy *p, struct err *err)
{
	auto_fd int dir = -1, fd = -1;

	if (!p->placed)
		return 0;
	p->placed = false;
	dir = file_open_in_root(rootfd, "/usr/sbin", O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return dir == -ENOENT ? 0 : err_set(err, dir, "/usr/sbin: %s", strerror(-dir));
	fd = openat(dir, "policy-rc.d", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || !is_ours(fd, p))
		return 0;
	if (unlinkat(dir, "policy-rc.d", 0) < 0)
		return err_set(err, -errno, "remove /usr/sbin/policy-rc.d: %s", strerror(errno));
	return 0;
}
