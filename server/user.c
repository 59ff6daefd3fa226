/* SPDX-License-Identifier: Apache-2.0 */
#include "server/user.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "server/tls.h"

int user_find(struct server_user *ret, struct err *err)
{
	struct passwd pw, *found = NULL;
	char text[4096];
	int r;

	*ret = (struct server_user){.uid = geteuid(), .gid = getegid()};
	if (geteuid() != 0)
		return 0;
	r = getpwnam_r(SERVER_USER, &pw, text, sizeof(text), &found);
	if (r != 0)
		return err_set(err, -r, "user " SERVER_USER ": %s", strerrordesc_np(r));
	if (found && found->pw_uid != 0)
		*ret = (struct server_user){true, found->pw_uid, found->pw_gid};
	return 0;
}

static int own(const struct server_user *u, int dirfd, const char *name, mode_t mode)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fchown(fd, u->uid, u->gid) < 0 || fchmod(fd, mode) < 0)
		return -errno;
	return 0;
}

/* SQLite gives its further files the owner and mode of the first. */
static int own_database(const struct server_user *u, const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		auto_free char *name = strf("%s%s", path, suffixes[i]);
		int r = name ? own(u, AT_FDCWD, name, 0660) : -ENOMEM;

		if (r < 0)
			return r;
	}
	return 0;
}

/* The directory and the plain files in it. */
static int own_dir(const struct server_user *u, const char *path)
{
	auto_dir DIR *d = NULL;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct dirent *e;

	if (fd < 0)
		return -errno;
	if (fchown(fd, u->uid, u->gid) < 0 || fchmod(fd, 0750) < 0 || !(d = fdopendir(fd))) {
		int saved = -errno;

		closep(&fd);
		return saved;
	}
	while ((e = readdir(d))) {
		struct stat st;
		int r = 0;

		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (S_ISREG(st.st_mode))
			r = own(u, fd, e->d_name, 0600);
		if (r < 0)
			return r;
	}
	return 0;
}

int user_prepare(const struct server_user *u, const char *data_dir, const char *database,
		 const char *const *dirs, struct err *err)
{
	int r = 0;

	for (; r >= 0 && *dirs; dirs++) {
		auto_free char *path = path_join(data_dir, *dirs);

		r = path ? file_mkdir_p(path, 0750, err) : -ENOMEM;
		if (r >= 0 && u->drop)
			r = own_dir(u, path);
	}
	if (r >= 0 && u->drop && (chown(data_dir, 0, u->gid) < 0 || chmod(data_dir, 01775) < 0))
		r = err_errno();
	if (r >= 0 && u->drop && database)
		r = own_database(u, database);
	return r < 0 ? err_set(err, r, "%s cannot be given to user " SERVER_USER ": %s", data_dir,
			       strerrordesc_np(-r))
		     : 0;
}

int user_drop(const struct server_user *u, struct err *err)
{
	if (!u->drop)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
	    setresuid(u->uid, u->uid, u->uid) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, err_errno(), "cannot become user " SERVER_USER ": %s",
			       strerrordesc_np(errno));
	if (setuid(0) == 0) /* never */
		return err_set(err, -EPERM, "root did not go away");
	return 0;
}

int user_certificates(const struct server_user *u, const char *dir, const char *const *names,
		      struct err *err)
{
	auto_free char *key = path_join(dir, "server.key");
	int r = key ? tls_ensure(dir, names, err) : err_set(err, -ENOMEM, "out of memory");

	if (r < 0 || !u->drop)
		return r;
	if (chown(key, 0, u->gid) < 0 || chmod(key, 0640) < 0)
		return err_set(err, err_errno(), "%s cannot be shown to user " SERVER_USER ": %s",
			       key, strerrordesc_np(errno));
	return 0;
}
