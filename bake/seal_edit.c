/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that change files instead of removing them. */
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "bake/seal_internal.h"
#include "base/file.h"
#include "base/mem.h"

#define TEXT_MAX     (1u << 20)
#define BUILDER_PORT "127.0.0.1:3128"
#define WALK_DEPTH   64

/* A regular file of the image; the last component is not followed. -ENOENT for anything else. */
static int open_file(const struct seal *s, const char *path, int flags, struct err *err)
{
	auto_free char *dir = path_dirname(path);
	const char *name = strrchr(path, '/') + 1;
	auto_fd int dirfd = dir ? seal_dir(s, dir, err) : -ENOMEM, fd = -1;
	struct stat st;

	if (dirfd < 0)
		return dirfd;
	fd = openat(dirfd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno == ELOOP || errno == ENOENT || errno == ENXIO
			       ? -ENOENT
			       : err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	return S_ISREG(st.st_mode) ? take_fd(fd) : -ENOENT;
}

/* Reads a text; -ENOENT when there is none (or it is too large to be a configuration). */
static int read_text(const struct seal *s, const char *path, struct buf *out, struct err *err)
{
	auto_fd int fd = open_file(s, path, O_RDONLY, err);
	int r;

	if (fd < 0)
		return fd;
	r = file_read_fd(fd, out);
	if (r == -EFBIG)
		return -ENOENT;
	return r < 0 ? err_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

/* Same file, other bytes: owner, mode and links stay. */
static int write_text(const struct seal *s, const char *path, const char *text, size_t n,
		      struct err *err)
{
	auto_fd int fd = open_file(s, path, O_WRONLY, err);
	int r = fd;

	if (fd >= 0)
		r = ftruncate(fd, 0) < 0 ? -errno : file_pwrite_full(fd, text, n, 0);
	return r < 0 ? err_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

/* Makes the whole content @want; absent files stay absent. */
static int set_text(const struct seal *s, const char *path, const char *want, unsigned *changed,
		    struct err *err)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	int r = read_text(s, path, &text, err);

	if (r == -ENOENT || (r == 0 && str_eq(buf_str(&text), want)))
		return 0;
	if (r < 0)
		return r;
	++*changed;
	return s->dry ? 0 : write_text(s, path, want, strlen(want), err);
}

typedef bool line_fn(const char *line, const void *arg);

/* Drops the lines that @drop chooses. */
static int filter_lines(const struct seal *s, const char *path, line_fn *drop, const void *arg,
			unsigned *changed, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX), out = BUF_INIT(TEXT_MAX);
	bool any = false;
	int r = read_text(s, path, &text, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char *line = text.data; line && *line;) {
		size_t n = strcspn(line, "\n");
		bool newline = line[n] == '\n';

		line[n] = '\0';
		if (drop(line, arg)) {
			any = true;
		} else {
			(void) buf_addstr(&out, line);
			if (newline)
				(void) buf_addch(&out, '\n');
		}
		line += n + newline;
	}
	if (!any)
		return 0;
	++*changed;
	if (buf_err(&out) < 0)
		return err_set(err, buf_err(&out), "%s", path);
	return s->dry ? 0 : write_text(s, path, buf_str(&out), out.len, err);
}

int seal_machine_id(const struct seal *s, unsigned *changed, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	auto_fd int etc = seal_dir(s, "/etc", err), fd = -1;
	int r;

	if (etc < 0)
		return etc == -ENOENT ? err_set(err, -ENOENT, "/etc: the image has none") : etc;
	r = read_text(s, "/etc/machine-id", &text, err);
	if (r == 0 && text.len == 0)
		return 0;
	if (r < 0 && r != -ENOENT)
		return r;
	++*changed;
	if (s->dry)
		return 0;
	/* A new empty file, also where a link was: the first boot fills it. */
	if (unlinkat(etc, "machine-id", 0) < 0 && errno != ENOENT)
		return err_set(err, -errno, "/etc/machine-id: %s", strerror(errno));
	fd = openat(etc, "machine-id", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	return fd < 0 || fchmod(fd, 0444) < 0
		       ? err_set(err, -errno, "/etc/machine-id: %s", strerror(errno))
		       : 0;
}

int seal_hostname(const struct seal *s, unsigned *changed, struct err *err)
{
	return set_text(s, "/etc/hostname", "localhost\n", changed, err);
}

/* The entry by which a host knows its own name, as installers write it. */
static bool own_name_line(const char *line, const void *arg)
{
	return strncmp(line, "127.0.1.1", 9) == 0 && (line[9] == ' ' || line[9] == '\t');
}

int seal_hosts(const struct seal *s, unsigned *changed, struct err *err)
{
	return filter_lines(s, "/etc/hosts", own_name_line, NULL, changed, err);
}

int seal_resolv_conf(const struct seal *s, unsigned *changed, struct err *err)
{
	return set_text(s, "/etc/resolv.conf", "", changed, err);
}

int seal_iscsi_name(const struct seal *s, unsigned *changed, struct err *err)
{
	return set_text(s, "/etc/iscsi/initiatorname.iscsi", "GenerateName=yes\n", changed, err);
}

static bool has_text(const char *line, const void *arg)
{
	return strstr(line, arg) != NULL;
}

/* Applies filter_lines() to the regular files of one directory. */
static int filter_dir(const struct seal *s, const char *dir, const char *glob, line_fn *drop,
		      const void *arg, unsigned *changed, struct err *err)
{
	auto_strv char **names = NULL;
	auto_fd int fd = seal_dir(s, dir, err);
	int r = fd < 0 ? fd : seal_names(fd, &names);

	if (fd == -ENOENT)
		return 0;
	for (char **n = names; r == 0 && n && *n; n++) {
		auto_free char *path = NULL;

		if (fnmatch(glob, *n, 0) != 0)
			continue;
		path = path_join(dir, *n);
		r = path ? filter_lines(s, path, drop, arg, changed, err) : -ENOMEM;
	}
	return r;
}

int seal_builder_proxy(const struct seal *s, unsigned *changed, struct err *err)
{
	static const char *const files[] = {"/etc/apt/apt.conf", "/etc/environment", "/etc/wgetrc",
					    "/etc/profile",      "/etc/pip.conf",    "/etc/curlrc",
					    "/etc/yum.conf",     "/etc/dnf/dnf.conf"};
	static const char *const dirs[] = {"/etc/apt/apt.conf.d", "/etc/profile.d",
					   "/etc/environment.d"};
	static const char *const home_files[] = {".bashrc", ".profile", ".npmrc",
						 ".curlrc", ".wgetrc",  ".gitconfig"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		r = filter_lines(s, files[i], has_text, BUILDER_PORT, changed, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++)
		r = filter_dir(s, dirs[i], "*", has_text, BUILDER_PORT, changed, err);
	for (char **h = s->homes; r == 0 && h && *h; h++)
		for (size_t i = 0; r == 0 && i < ARRAY_SIZE(home_files); i++) {
			auto_free char *path = path_join(*h, home_files[i]);

			r = path ? filter_lines(s, path, has_text, BUILDER_PORT, changed, err)
				 : err_set(err, -ENOMEM, "%s", *h);
		}
	return r;
}

static bool token_line(const char *line, const void *arg)
{
	static const char *const words[] = {
		"_authToken", "_password", "_auth=", "_auth ", "npmAuthToken", "npmAuthIdent"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(line, words[i]))
			return true;
	return false;
}

int seal_package_tokens(const struct seal *s, unsigned *changed, struct err *err)
{
	static const char *const files[] = {".npmrc", ".yarnrc.yml"};
	int r = 0;

	for (char **h = s->homes; r == 0 && h && *h; h++)
		for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++) {
			auto_free char *path = path_join(*h, files[i]);

			r = path ? filter_lines(s, path, token_line, NULL, changed, err)
				 : err_set(err, -ENOMEM, "%s", *h);
		}
	return r == 0 ? filter_lines(s, "/etc/npmrc", token_line, NULL, changed, err) : r;
}

int seal_policy_rc_d(const struct seal *s, unsigned *changed, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	int r = read_text(s, "/usr/sbin/policy-rc.d", &text, err);

	/* Only the builder's own: an author may want one. */
	if (r < 0 || !str_eq(buf_str(&text), "#!/bin/sh\nexit 101\n"))
		return r == -ENOENT ? 0 : r;
	return seal_match(s, SEAL_REMOVE, "/usr/sbin/policy-rc.d", changed, err);
}

static bool hwaddr_line(const char *line, const void *arg)
{
	static const char *const keys[] = {"HWADDR=", "UUID=", "DHCP_HOSTNAME=", "mac-address="};

	while (*line == ' ' || *line == '\t')
		line++;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strncmp(line, keys[i], strlen(keys[i])) == 0)
			return true;
	return false;
}

int seal_hwaddr(const struct seal *s, unsigned *changed, struct err *err)
{
	return filter_dir(s, "/etc/sysconfig/network-scripts", "ifcfg-*", hwaddr_line, NULL,
			  changed, err);
}

/* Editors' leftovers below /etc and in homes, at any depth. */
static int backup_walk(const struct seal *s, int dirfd, unsigned depth, unsigned *changed)
{
	static const char *const globs[] = {"*~", "*.swp", "*.swo", "#*#"};
	auto_strv char **names = NULL;
	int r = depth > WALK_DEPTH ? 0 : seal_names(dirfd, &names);

	for (char **n = names; r == 0 && n && *n; n++) {
		struct stat st;

		if (fstatat(dirfd, *n, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (S_ISDIR(st.st_mode)) {
			auto_fd int sub =
				openat(dirfd, *n, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			r = sub < 0 ? -errno : backup_walk(s, sub, depth + 1, changed);
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(globs); i++) {
			if (!S_ISREG(st.st_mode) || fnmatch(globs[i], *n, 0) != 0)
				continue;
			++*changed;
			if (!s->dry && unlinkat(dirfd, *n, 0) < 0)
				r = -errno;
			break;
		}
	}
	return r;
}

int seal_backup_files(const struct seal *s, unsigned *changed, struct err *err)
{
	auto_fd int etc = seal_dir(s, "/etc", err);
	int r = etc < 0 ? etc : backup_walk(s, etc, 0, changed);

	for (char **h = s->homes; r == 0 && h && *h; h++) {
		auto_fd int fd = -1;

		/* A service's home is its data. */
		if (!str_eq(*h, "/root") && !str_starts(*h, "/home/"))
			continue;
		fd = seal_dir(s, *h, err);
		r = fd == -ENOENT ? 0 : fd < 0 ? fd : backup_walk(s, fd, 0, changed);
	}
	return r < 0 ? err_ctx(err, r, "editor backups") : 0;
}

static bool exists(const struct seal *s, const char *path)
{
	auto_fd int fd = file_open_in_root(s->rootfd, path, O_PATH, 0);

	return fd >= 0;
}

static const char unit_path[] = "/etc/systemd/system/ssh-host-keys.service";
static const char unit_text[] = "[Unit]\n"
				"Description=Make SSH host keys where there are none\n"
				"Before=ssh.service sshd.service\n"
				"ConditionPathIsReadWrite=/etc/ssh\n"
				"\n"
				"[Service]\n"
				"Type=oneshot\n"
				"ExecStart=/usr/bin/ssh-keygen -A\n"
				"\n"
				"[Install]\n"
				"WantedBy=multi-user.target\n";

/* Without host keys sshd does not start; cloud-init makes them, plain sshd packages do not. */
int seal_ssh_keygen_unit(const struct seal *s, unsigned *changed, struct err *err)
{
	auto_fd int dir = -1, wants = -1, fd = -1;
	int r;

	if (!exists(s, "/usr/sbin/sshd") || !exists(s, "/usr/bin/ssh-keygen") ||
	    exists(s, "/usr/bin/cloud-init") || exists(s, unit_path))
		return 0;
	dir = seal_dir(s, "/etc/systemd/system", err);
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir; /* another init system */
	++*changed;
	if (s->dry)
		return 0;
	fd = openat(dir, "ssh-host-keys.service",
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	r = fd < 0 ? -errno : file_pwrite_full(fd, unit_text, sizeof(unit_text) - 1, 0);
	if (r == 0 && (fchmod(fd, 0644) < 0 ||
		       (mkdirat(dir, "multi-user.target.wants", 0755) < 0 && errno != EEXIST)))
		r = -errno;
	if (r == 0) {
		wants = openat(dir, "multi-user.target.wants",
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (wants < 0 ||
		    (symlinkat(unit_path, wants, "ssh-host-keys.service") < 0 && errno != EEXIST))
			r = -errno;
	}
	return r < 0 ? err_set(err, r, "%s: %s", unit_path, strerror(-r)) : 0;
}
