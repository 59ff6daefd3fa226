/* SPDX-License-Identifier: Apache-2.0 */
/* What the confined step sees: mounts and the network, made inside fresh namespaces. */
#include "bake/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"

#define LISTEN_BACKLOG 64

static int write_text(const char *path, const char *text, mode_t mode, struct err *err)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : file_pwrite_full(fd, text, strlen(text), 0);

	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	return r < 0 ? err_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

static int write_map(pid_t pid, const char *name, struct err *err)
{
	char path[64], line[64];
	auto_fd int fd = -1;
	int n;

	(void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
	n = snprintf(line, sizeof(line), "0 %u %u\n", SANDBOX_FIRST_ID, SANDBOX_IDS);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, line, (size_t) n) != n)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

/* A user namespace that exists only as a descriptor: the mount's id map. */
static int userns_fd(int *ret, struct err *err)
{
	char path[64], byte;
	int up[2], r = 0;
	pid_t pid;

	if (pipe2(up, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		(void) close(up[0]);
		if (unshare(CLONE_NEWUSER) == 0 && write(up[1], "u", 1) == 1)
			for (;;)
				(void) pause();
		_exit(1);
	}
	(void) close(up[1]);
	if (pid < 0)
		r = err_set(err, -errno, "fork: %s", strerror(errno));
	else if (read(up[0], &byte, 1) != 1)
		r = err_set(err, -EPERM,
			    "make a user namespace: the host does not allow it "
			    "(sysctl user.max_user_namespaces)");
	(void) close(up[0]);
	if (r == 0)
		r = write_map(pid, "uid_map", err);
	if (r == 0)
		r = write_map(pid, "gid_map", err);
	if (r == 0) {
		(void) snprintf(path, sizeof(path), "/proc/%d/ns/user", (int) pid);
		*ret = open(path, O_RDONLY | O_CLOEXEC);
		if (*ret < 0)
			r = err_set(err, -errno, "%s: %s", path, strerror(errno));
	}
	if (pid > 0) {
		(void) kill(pid, SIGKILL);
		(void) waitpid(pid, NULL, 0);
	}
	return r;
}

/* Mounts the device once more: the same superblock, another set of ids. */
static int mount_root(const json_t *spec, const char *dest, struct err *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NODEV,
				  .propagation = MS_PRIVATE};
	const char *device = json_str_at(spec, "device"), *type = json_str_at(spec, "fstype");
	auto_fd int fs = -1, mnt = -1, user = -1;
	int r = userns_fd(&user, err);

	if (r < 0)
		return r;
	fs = fsopen(type ? type : "ext4", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, -errno, "mount %s: %s", device, strerror(errno));
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	if (mnt < 0)
		return err_set(err, -errno, "mount %s: %s", device, strerror(errno));
	attr.userns_fd = (uint64_t) user;
	if (mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return err_set(err, -errno,
			       "map the ids of %s: %s (needs Linux 5.12 and a file system that "
			       "supports it)",
			       device, strerror(errno));
	if (mkdir(dest, 0755) < 0 ||
	    move_mount(mnt, "", AT_FDCWD, dest, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, -errno, "%s: %s", dest, strerror(errno));
	return 0;
}

static bool name_ok(const char *name)
{
	return name && *name && *name != '.' && !strchr(name, '/') && strlen(name) < 256;
}

static int copy_files(const json_t *spec, const char *dir, struct err *err)
{
	const json_t *list = json_object_get(spec, "files"), *item;
	size_t i;

	if (mkdir(dir, 0755) < 0)
		return err_set(err, -errno, "%s: %s", dir, strerror(errno));
	if (chown(dir, SANDBOX_FIRST_ID, SANDBOX_FIRST_ID) < 0)
		return err_set(err, -errno, "%s: %s", dir, strerror(errno));
	json_array_foreach(list, i, item)
	{
		const char *name = json_str_at(item, "name");
		auto_free char *path = name_ok(name) ? path_join(dir, name) : NULL;
		int in = (int) json_int_at(item, "fd", -1);
		auto_fd int out = -1;
		int r;

		if (!path)
			return err_set(err, -EINVAL, "step file: bad name \"%s\"",
				       name ? name : "");
		out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (out < 0)
			return err_set(err, -errno, "step file %s: %s", name, strerror(errno));
		r = lseek(in, 0, SEEK_SET) < 0 ? -errno : file_copy_fd(in, out, NULL);
		if (r == 0 && (fchown(out, SANDBOX_FIRST_ID, SANDBOX_FIRST_ID) < 0 ||
			       fchmod(out, (mode_t) json_int_at(item, "mode", 0444) & 0777) < 0))
			r = -errno;
		if (r < 0)
			return err_set(err, r, "step file %s: %s", name, strerror(-r));
	}
	return 0;
}

static int write_bundle(const json_t *spec, const char *dir, struct err *err)
{
	auto_free char *text = json_compact(json_object_get(spec, "config"));
	auto_free char *config = path_join(dir, "config.json");
	auto_free char *policy = path_join(dir, "policy-rc.d");
	int r;

	if (!text || !config || !policy)
		return err_set(err, -ENOMEM, "OCI configuration");
	if (mkdir(dir, 0755) < 0)
		return err_set(err, -errno, "%s: %s", dir, strerror(errno));
	r = write_text(config, text, 0600, err);
	if (r == 0 && json_bool_at(spec, "policy", false))
		r = write_text(policy, "#!/bin/sh\nexit 101\n", 0755, err);
	return r;
}

int sandbox_mounts(const json_t *spec, struct err *err)
{
	int r;

	if (mount("tmpfs", SANDBOX_WORK, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711") < 0)
		return err_set(err, -errno, "mount a tmpfs on " SANDBOX_WORK ": %s",
			       strerror(errno));
	if (mkdir(SANDBOX_WORK "/crun", 0700) < 0)
		return err_set(err, -errno, SANDBOX_WORK "/crun: %s", strerror(errno));
	r = mount_root(spec, SANDBOX_WORK "/root", err);
	if (r == 0)
		r = copy_files(spec, SANDBOX_WORK "/files", err);
	return r == 0 ? write_bundle(spec, SANDBOX_WORK "/bundle", err) : r;
}

static int send_fd(int sock, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	char byte = 'L';
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int sandbox_netns(int fd, struct err *err)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(SANDBOX_PROXY_PORT),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct ifreq ifr = {.ifr_name = "lo"};
	auto_fd int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (s < 0 || ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		return err_set(err, -errno, "loopback: %s", strerror(errno));
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
		return err_set(err, -errno, "bring up loopback: %s", strerror(errno));
	if (fd < 0)
		return 0;
	if (bind(s, (struct sockaddr *) &a, sizeof(a)) < 0 || listen(s, LISTEN_BACKLOG) < 0)
		return err_set(err, -errno, "listen on 127.0.0.1:%d: %s", SANDBOX_PROXY_PORT,
			       strerror(errno));
	r = send_fd(fd, s);
	(void) close(fd);
	return r < 0 ? err_set(err, r, "hand the listening socket to the proxy: %s", strerror(-r))
		     : 0;
}
