/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of a disk that no kernel of this host shall mount, because strangers wrote its file
 * system: fuse2fs reads it, in a process that a guard ends with this one.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bake/chain_internal.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

#define MOUNT_MS 60000
#define END_MS   600000 /* it writes back what it holds; being killed there would be damage */
#define LOOK_MS  10

static int make_mount_point(struct chain *c, struct err *err)
{
	if (!c->mount_point)
		c->mount_point = path_join(c->scratch, "root");
	if (!c->mount_point)
		return err_set(err, -ENOMEM, "mount point");
	if (mkdir(c->mount_point, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", c->mount_point, strerror(errno));
	return 0;
}

static int spawn(struct chain *c, int life_read, struct err *err)
{
	auto_free char *life = strf("%d", life_read), *keep = strf("%d", c->disk_fd);
	auto_free char *grace = strf("%d", END_MS);
	auto_free char *disk = strf("/proc/self/fd/%d", c->disk_fd), *program = NULL;
	auto_free char *options = strf("rw,offset=%llu", (unsigned long long) c->part_offset);
	int r = proc_find("fuse2fs", "fuse2fs", &program, err);

	if (r < 0)
		return r;
	if (!life || !keep || !grace || !disk || !options)
		return err_set(err, -ENOMEM, "fuse2fs");
	const char *argv[] = {proc_self_exe(), "sandbox", "guard",      "--life-fd", life,
			      "--keep-fd",     keep,      "--grace-ms", grace,       "--",
			      program,         "-f",      "-o",         options,     disk,
			      c->mount_point,  NULL};
	const int fds[] = {c->disk_fd, life_read};
	struct proc_spec p = {.argv = argv, .keep_fds = fds, .n_keep_fds = 2};

	r = journal_add(c->journal, "process", json_pack("{s:s}", "name", "fuse2fs"),
			&c->fuse_entry, err);
	if (r == 0)
		r = proc_spawn(&p, -1, &c->fuse_pid, &c->fuse_pidfd, err);
	if (r == 0)
		r = journal_update(c->fuse_entry,
				   json_pack("{s:i, s:I, s:i}", "pid", (int) c->fuse_pid, "start",
					     (json_int_t) proc_start_ticks(c->fuse_pid), "pgid",
					     (int) c->fuse_pid),
				   err);
	return r;
}

/* It has no sign of readiness but the mount itself, which only its own namespace shows. */
static int await_mount(struct chain *c, struct err *err)
{
	auto_free char *path = strf("/proc/%d/root%s", (int) c->fuse_pid, c->mount_point);
	struct stat plain, st;

	if (!path)
		return err_set(err, -ENOMEM, "fuse2fs");
	if (stat(c->mount_point, &plain) < 0)
		return err_set(err, -errno, "%s: %s", c->mount_point, strerror(errno));
	for (int left = MOUNT_MS; left > 0; left -= LOOK_MS) {
		struct pollfd p[2] = {
			{.fd = c->fuse_pidfd, .events = POLLIN},
			{.fd = c->cancel ? c->cancel->event_fd : -1, .events = POLLIN}};

		if (stat(path, &st) == 0 && st.st_dev != plain.st_dev) {
			c->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			return c->root_fd >= 0 ? 0
					       : err_set(err, -errno, "open the root directory: %s",
							 strerror(errno));
		}
		if (poll(p, 2, LOOK_MS) > 0 && p[0].revents)
			return err_set(err, -EIO, "fuse2fs cannot read the root file system");
		if (cancel_check(c->cancel) < 0)
			return err_set(err, cancel_check(c->cancel), "stopped");
	}
	return err_set(err, -ETIMEDOUT, "fuse2fs shows nothing after %d s", MOUNT_MS / 1000);
}

int chain_user_mount(struct chain *c, struct err *err)
{
	auto_fd int life_read = -1;
	int life[2], r = make_mount_point(c, err);

	if (r < 0)
		return r;
	if (pipe2(life, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	life_read = life[0];
	c->fuse_life = life[1];
	r = spawn(c, life_read, err);
	return r == 0 ? await_mount(c, err) : r;
}

int chain_user_umount(struct chain *c, struct err *err)
{
	int r = 0;

	closep(&c->root_fd);
	c->root_fd = -1;
	if (c->fuse_pid > 0) {
		siginfo_t si = {0};

		closep(&c->fuse_life); /* the guard asks it to end, and waits */
		c->fuse_life = -1;
		r = waitid(P_PIDFD, (id_t) c->fuse_pidfd, &si, WEXITED | WNOWAIT) < 0 ? -errno : 0;
		if (r == 0 && (si.si_code != CLD_EXITED || si.si_status != 0))
			r = -EIO;
		(void) proc_stop(c->fuse_pid, c->fuse_pidfd, 0);
		closep(&c->fuse_pidfd);
		c->fuse_pidfd = -1;
		c->fuse_pid = 0;
	}
	closep(&c->fuse_life);
	c->fuse_life = -1;
	journal_drop(c->fuse_entry);
	c->fuse_entry = NULL;
	return r < 0 ? err_set(err, r, "fuse2fs did not write the root file system back: %s",
			       strerror(-r))
		     : 0;
}
