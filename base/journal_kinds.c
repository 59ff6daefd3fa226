/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How to undo each kind of journalled thing.
 *
 * To add a kind: write an undo function, add its row to kinds[], name its facts in base/journal.h,
 * add a test row in tests/unit/base/test_journal_kinds.c. The function gets facts that were read
 * from disk, so it checks them; it must identify the thing beyond doubt before touching it, treat
 * what is absent as success, and return only when the thing is gone (or fail).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/journal_internal.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/timeutil.h"

#define KILL_WAIT_MS  10000
#define LOOP_WAIT_NS  2000000000
#define LOOP_RETRY_NS 2000000
#define UMOUNT_ROUNDS 256 /* mounts stacked on or below one path */
#define MOUNTINFO_MAX (16u << 20)

int journal_check_path(const char *path, const char *key, unsigned components, struct err *err)
{
	const char *p = path;
	unsigned n = 0;

	if (!path || *path != '/')
		return err_set(err, -EINVAL, "fact \"%s\": an absolute path is expected", key);
	while (*p) {
		size_t len;

		p += strspn(p, "/");
		len = strcspn(p, "/");
		if ((len == 1 && *p == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return err_set(err, -EINVAL, "fact \"%s\": %s goes through \".\" or \"..\"",
				       key, path);
		n += len > 0;
		p += len;
	}
	if (n < components)
		return err_set(err, -EINVAL, "fact \"%s\": %s is too near the root to be ours", key,
			       path);
	return 0;
}

/* The fact @key if it is a path fit to be undone, else NULL. */
static const char *path_fact(const json_t *facts, const char *key, unsigned components,
			     struct err *err)
{
	const char *path = json_string_value(json_object_get(facts, key));

	return journal_check_path(path, key, components, err) == 0 ? path : NULL;
}

static int undo_file(const json_t *facts, bool same_boot, struct err *err)
{
	const char *path = path_fact(facts, "path", 1, err);

	if (!path)
		return -EINVAL;
	if (sys_get()->unlinkat(AT_FDCWD, path, 0) < 0 && errno != ENOENT && errno != ENOTDIR)
		return err_set(err, -errno, "remove %s: %s", path, strerrordesc_np(errno));
	return 0;
}

static int undo_tree(const json_t *facts, bool same_boot, struct err *err)
{
	const char *path = path_fact(facts, "path", 2, err);

	return path ? file_rm_rf(path, err) : -EINVAL;
}

static int undo_process(const json_t *facts, bool same_boot, struct err *err)
{
	pid_t pid = (pid_t) json_int_at(facts, "pid", 0);
	pid_t group = (pid_t) json_int_at(facts, "pgid", 0);
	uint64_t start = (uint64_t) json_int_at(facts, "start", 0);
	struct pollfd p = {.events = POLLIN};
	auto_fd int fd = -1;
	int r;

	if (!same_boot || pid == 0) /* pid 0: registered, but never started */
		return 0;
	if (pid == 1 || pid == getpid() || pid < 0)
		return err_set(err, -EINVAL, "fact \"pid\": %d cannot be a process of ours", pid);
	fd = pidfd_open(pid, 0);
	if (fd < 0)
		return errno == ESRCH ? 0
				      : err_set(err, -errno, "open process %d: %s", pid,
						strerrordesc_np(errno));
	/* The pidfd names one process for good; it is the right one if it started then. A zombie
	 * counts: its group may live on. */
	if (proc_start_ticks(pid) != start)
		return 0;
	if (group == pid && kill(-group, SIGKILL) < 0 && errno != ESRCH)
		return err_set(err, -errno, "kill the group of process %d: %s", pid,
			       strerrordesc_np(errno));
	if (pidfd_send_signal(fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return err_set(err, -errno, "kill process %d: %s", pid, strerrordesc_np(errno));
	p.fd = fd;
	do
		r = poll(&p, 1, KILL_WAIT_MS);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return err_set(err, r < 0 ? -errno : -ETIME,
			       "process %d does not end after SIGKILL", pid);
	return 0;
}

/* "/a/link/x" -> "/real/x": directories resolved, the last name kept. Return: 0, -ENOENT when the
 * directory is gone, or another -errno. */
static int resolve_parent(const char *path, char **ret)
{
	auto_free char *dir = path_dirname(path), *real = NULL, *copy = strdup(path);
	const char *slash;

	if (!dir || !copy)
		return -ENOMEM;
	real = realpath(dir, NULL);
	if (!real)
		return errno == ENOTDIR ? -ENOENT : err_errno();
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	slash = strrchr(copy, '/');
	*ret = path_join(real, slash ? slash + 1 : copy);
	return *ret ? 0 : -ENOMEM;
}

/* Octal escapes of mountinfo, in place. */
static void unescape_mount(char *s)
{
	char *d = s;

	for (; *s; d++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*d = (char) ((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*d = *s++;
		}
	}
	*d = '\0';
}

/* The newest mount at @path or below it, or NULL in *@ret. */
static int last_mount(const char *path, char **ret)
{
	auto_buf struct buf text = BUF_INIT(MOUNTINFO_MAX);
	auto_fd int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	auto_free char *found = NULL;
	size_t n = strlen(path);
	int r = fd < 0 ? -errno : file_read_fd(fd, &text);

	if (r < 0)
		return r;
	for (char *line = text.data, *next; line && *line; line = next) {
		char *point = line;

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		for (int i = 0; i < 4 && point; i++) { /* field 5 */
			point = strchr(point, ' ');
			point = point ? point + 1 : NULL;
		}
		if (!point)
			continue;
		point[strcspn(point, " ")] = '\0';
		unescape_mount(point);
		if (strncmp(point, path, n) != 0 || (point[n] && point[n] != '/'))
			continue;
		free(found);
		found = strdup(point);
		if (!found)
			return -ENOMEM;
	}
	*ret = take_ptr(found);
	return 0;
}

static int unmount_all(const char *path, struct err *err)
{
	for (unsigned i = 0; i < UMOUNT_ROUNDS; i++) {
		auto_free char *point = NULL;
		int r = last_mount(path, &point);

		if (r < 0)
			return err_set(err, r, "read the mount table: %s", strerrordesc_np(-r));
		if (!point)
			return 0;
		if (umount2(point, UMOUNT_NOFOLLOW) == 0)
			continue;
		if (umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
		    errno != ENOENT)
			return err_set(err, -errno, "unmount %s: %s", point,
				       strerrordesc_np(errno));
	}
	return err_set(err, -EBUSY, "unmount %s: still mounted after %u rounds", path,
		       UMOUNT_ROUNDS);
}

static int undo_mount(const json_t *facts, bool same_boot, struct err *err)
{
	const char *path = path_fact(facts, "path", 1, err);
	auto_free char *real = NULL;
	int r;

	if (!path)
		return -EINVAL;
	if (!same_boot)
		return 0;
	r = resolve_parent(path, &real); /* the mount table knows no links */
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(err, r, "unmount %s: %s", path, strerrordesc_np(-r));
	return unmount_all(real, err);
}

/* Does loop device @name (as in /sys/block) have this backing file? */
static bool loop_has(const char *name, const char *backing, const char *real)
{
	static const char deleted[] = " (deleted)";
	auto_buf struct buf b = BUF_INIT(8192);
	char path[128];
	auto_fd int fd = -1;

	(void) snprintf(path, sizeof(path), "/sys/block/%.32s/loop/backing_file", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || file_read_fd(fd, &b) < 0 || b.len == 0)
		return false;
	if (b.data[b.len - 1] == '\n')
		b.data[--b.len] = '\0';
	if (str_ends(b.data, deleted))
		b.data[b.len - strlen(deleted)] = '\0';
	return strcmp(b.data, backing) == 0 || (real && strcmp(b.data, real) == 0);
}

static int clear_loop(const char *name, struct err *err)
{
	char path[64];
	auto_fd int fd = -1;

	(void) snprintf(path, sizeof(path), "/dev/%.32s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO
			       ? 0
			       : err_set(err, -errno, "open %s: %s", path, strerrordesc_np(errno));
	if (ioctl(fd, LOOP_CLR_FD) < 0 && errno != ENXIO)
		return err_set(err, -errno, "detach %s: %s", path, strerrordesc_np(errno));
	return 0;
}

/* Detaches the device if it has this backing file. The kernel puts that off while somebody, often
 * a daemon that looks at new devices, has it open. */
static int detach_loop(const char *name, const char *backing, const char *real, struct err *err)
{
	const struct timespec pause = {.tv_nsec = LOOP_RETRY_NS};
	int64_t end = time_mono_ns() + LOOP_WAIT_NS;
	int r = 0;

	while (r == 0 && loop_has(name, backing, real)) {
		if (time_mono_ns() >= end)
			return err_set(err, -EBUSY, "detach /dev/%s from %s: it is in use", name,
				       backing);
		r = clear_loop(name, err);
		if (r == 0 && loop_has(name, backing, real))
			(void) nanosleep(&pause, NULL);
	}
	return r;
}

static int undo_loop(const json_t *facts, bool same_boot, struct err *err)
{
	const char *backing = path_fact(facts, "backing", 2, err);
	const char *device = json_str_at(facts, "device");
	auto_free char *real = NULL;
	auto_dir DIR *d = NULL;
	struct dirent *de;
	int r, first = 0;

	if (!backing)
		return -EINVAL;
	if (!same_boot)
		return 0;
	r = resolve_parent(backing, &real);
	if (r < 0 && r != -ENOENT) /* a device may outlive the name of its file */
		return err_set(err, r, "find the loop of %s: %s", backing, strerrordesc_np(-r));
	if (device) {
		if (!str_starts(device, "/dev/loop") || strchr(device + 5, '/'))
			return err_set(err, -EINVAL, "fact \"device\": %s is no loop device",
				       device);
		return detach_loop(device + 5, backing, real, err);
	}
	d = opendir("/sys/block");
	if (!d)
		return err_set(err, -errno, "read /sys/block: %s", strerrordesc_np(errno));
	while ((void) (errno = 0), (de = readdir(d))) {
		r = 0;
		if (str_starts(de->d_name, "loop"))
			r = detach_loop(de->d_name, backing, real, first == 0 ? err : NULL);
		if (first == 0)
			first = r;
	}
	if (first == 0 && errno != 0)
		first = err_set(err, -errno, "read /sys/block: %s", strerrordesc_np(errno));
	return first;
}

static int undo_netns(const json_t *facts, bool same_boot, struct err *err)
{
	const char *path = path_fact(facts, "path", 2, err);
	int r = 0;

	if (!path)
		return -EINVAL;
	if (same_boot)
		r = undo_mount(facts, same_boot, err);
	return r < 0 ? r : undo_file(facts, same_boot, err);
}

static const struct kind {
	const char *name;
	journal_undo_fn *undo;
} kinds[] = {
	{"file", undo_file},             /* path; also sockets, FIFOs, links */
	{"tree", undo_tree},             /* path, at least two names deep */
	{"process", undo_process},       /* pid, start; pgid (when it leads its group); name */
	{"mount", undo_mount},           /* path; with everything mounted below it */
	{"loop", undo_loop},             /* backing; device when known */
	{"cgroup", journal_undo_cgroup}, /* path, or paths: [...]; with all below */
	{"netns", undo_netns},           /* path, bound there as `ip netns` does */
};

journal_undo_fn *journal_kind_find(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].name, kind) == 0)
			return kinds[i].undo;
	return NULL;
}
