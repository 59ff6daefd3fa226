/* SPDX-License-Identifier: Apache-2.0 */
/* Undo of the kind "cgroup": kill what is in it and below, then remove it. v1 and v2. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/journal_internal.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define GONE_WAIT_NS 10000000000 /* killed processes may take a moment to leave */
#define RETRY_NS     2000000
#define PROCS_MAX    (8u << 20)
#define DEPTH_MAX    32
#define V1_MAGIC     0x27e0eb /* CGROUP_SUPER_MAGIC */
#define V2_MAGIC     0x63677270

/* Opens a cgroup of ours. Return: fd, -ENOENT, -EINVAL for what is no cgroup or a hierarchy's
 * root, or another -errno. */
static int open_cgroup(int dirfd, const char *name)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;
	struct statx sx;

	if (fd < 0)
		return errno == ENODEV ? -ENOENT : -errno;
	if (fstatfs(fd, &fs) < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) < 0)
		return -errno;
	if ((fs.f_type != V1_MAGIC && fs.f_type != V2_MAGIC) ||
	    (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return -EINVAL;
	return take_fd(fd);
}

/* Calls @fn for each child cgroup; those that vanish meanwhile are skipped. */
static int each_child(int fd, unsigned depth, int (*fn)(int fd, unsigned depth, void *arg),
		      void *arg)
{
	auto_dir DIR *d = NULL;
	struct dirent *de;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (copy < 0)
		return -errno;
	d = fdopendir(copy);
	if (!d) {
		int r = -errno;

		(void) close(copy);
		return r;
	}
	if (depth >= DEPTH_MAX)
		return -ELOOP;
	while ((de = readdir(d))) {
		auto_fd int child = -1;
		int r;

		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		child = open_cgroup(fd, de->d_name);
		r = child < 0 ? child : fn(child, depth + 1, arg);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

struct tally {
	int signal;     /* sent to each process; 0 = only count */
	unsigned count; /* processes found */
	bool self;      /* we are one of them */
};

/* Counts (and signals) the processes of a cgroup and of all below. */
static int tally_procs(int fd, unsigned depth, void *arg)
{
	auto_buf struct buf text = BUF_INIT(PROCS_MAX);
	auto_fd int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	struct tally *t = arg;
	int r = procs < 0 ? -errno : file_read_fd(procs, &text);

	if (r == -ENODEV) /* removed while open */
		r = -ENOENT;
	if (r < 0)
		return r;
	for (const char *p = buf_str(&text); *p;) {
		char *end;
		long pid = strtol(p, &end, 10);

		if (end == p)
			return -EBADMSG;
		if (pid == getpid())
			t->self = true;
		else if (t->signal && pid > 1)
			(void) kill((pid_t) pid, t->signal); /* gone already: fine */
		t->count++;
		p = end + strspn(end, "\n");
	}
	return each_child(fd, depth, tally_procs, arg);
}

/* Removes the cgroups below, deepest first. */
static int remove_children(int fd, unsigned depth, void *arg)
{
	auto_dir DIR *d = NULL;
	struct dirent *de;
	int copy, r = each_child(fd, depth, remove_children, arg);

	if (r < 0)
		return r;
	copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		r = -errno;
		closep(&copy);
		return r;
	}
	while ((de = readdir(d)))
		if (de->d_type == DT_DIR && de->d_name[0] != '.' &&
		    unlinkat(fd, de->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return -errno;
	return 0;
}

static int kill_all(int fd)
{
	auto_fd int killer = openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	struct tally t = {.signal = SIGKILL};

	if (killer >= 0 && write(killer, "1", 1) == 1)
		return 0;
	/* v1 has no such file; what forks meanwhile is met in the next round. */
	return tally_procs(fd, 0, &t);
}

/* One round. Return: 0 when gone, -EBUSY to come again, or another -errno. */
static int try_remove(int fd, const char *path)
{
	struct tally t = {0};
	int r = tally_procs(fd, 0, &t);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (t.count > 0) {
		r = kill_all(fd);
		return r < 0 && r != -ENOENT ? r : -EBUSY;
	}
	r = remove_children(fd, 0, NULL);
	if (r < 0 && r != -ENOENT)
		return r;
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int undo_one(const char *path, struct err *err)
{
	int64_t end = time_mono_ns() + GONE_WAIT_NS;
	const struct timespec pause = {.tv_nsec = RETRY_NS};
	struct tally t = {0};
	auto_fd int fd = -1;
	int r;

	r = journal_check_path(path, "path", 3, err);
	if (r < 0)
		return r;
	fd = open_cgroup(AT_FDCWD, path);
	if (fd == -ENOENT)
		return 0;
	if (fd == -EINVAL)
		return err_set(err, -EINVAL, "%s is no cgroup, or the root of a hierarchy", path);
	r = fd < 0 ? fd : tally_procs(fd, 0, &t);
	if (r == -ENOENT)
		return 0;
	if (r == 0 && t.self)
		return err_set(err, -EBUSY, "cgroup %s: we are in it ourselves", path);
	while (r == 0 || r == -EBUSY) {
		r = try_remove(fd, path);
		if (r == 0)
			return 0;
		if (r == -EBUSY && time_mono_ns() >= end)
			return err_set(err, -EBUSY, "cgroup %s: not empty %d s after the kill",
				       path, (int) (GONE_WAIT_NS / 1000000000));
		(void) nanosleep(&pause, NULL); /* v1 tells nobody when a cgroup gets empty */
	}
	return err_set(err, r, "cgroup %s: %s", path, strerrordesc_np(-r));
}

int journal_undo_cgroup(const json_t *facts, bool same_boot, struct err *err)
{
	const json_t *paths = json_object_get(facts, "paths");
	const char *path = json_str_at(facts, "path");
	int r, first = 0;

	if (!same_boot)
		return 0;
	if (!path && !json_is_array(paths))
		return err_set(err, -EINVAL, "fact \"path\": missing");
	if (path)
		first = undo_one(path, err);
	for (size_t i = 0; i < json_array_size(paths); i++) {
		r = undo_one(json_string_value(json_array_get(paths, i)), first == 0 ? err : NULL);
		if (first == 0)
			first = r;
	}
	return first;
}
