/* SPDX-License-Identifier: Apache-2.0 */
/* The storage daemon of an overlay chain and its qcow2 files. */
#include "bake/chain_internal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "store/export.h"

#define STOP_GRACE_MS 3000

static int journal_file(struct chain *c, const char *path, struct journal_entry **ret,
			struct err *err)
{
	json_t *facts = json_pack("{s:s}", "path", path);

	if (!facts)
		return err_set(err, -ENOMEM, "journal");
	return journal_add(c->journal, "file", facts, ret, err);
}

static int overlay_slot(struct chain *c, const char *path, struct err *err)
{
	char **paths = reallocarray(c->overlays, c->n_overlays + 1, sizeof(*paths));
	struct journal_entry **entries;

	if (!paths)
		return err_set(err, -ENOMEM, "overlay list");
	c->overlays = paths;
	entries =
		reallocarray(c->overlay_entries, c->n_overlays + 1, sizeof(struct journal_entry *));
	if (!entries)
		return err_set(err, -ENOMEM, "overlay list");
	c->overlay_entries = entries;
	c->overlays[c->n_overlays] = strdup(path);
	c->overlay_entries[c->n_overlays] = NULL;
	if (!c->overlays[c->n_overlays])
		return err_set(err, -ENOMEM, "overlay list");
	c->n_overlays++;
	return 0;
}

int chain_overlay_new(struct chain *c, struct err *err)
{
	auto_free char *path = strf("%s/overlay-%zu.qcow2", c->scratch, c->n_overlays);
	auto_free char *size = strf("%llu", (unsigned long long) c->size_bytes);
	auto_free char *qemu_img = NULL;
	int r;

	if (!path || !size)
		return err_set(err, -ENOMEM, "overlay");
	r = proc_find("qemu-img", "qemu-utils", &qemu_img, err);
	if (r == 0)
		r = overlay_slot(c, path, err);
	if (r == 0)
		r = journal_file(c, path, &c->overlay_entries[c->n_overlays - 1], err);
	if (r < 0)
		return r;
	/* No backing file in its header: who backs it is said explicitly, each time. */
	const char *argv[] = {
		qemu_img, "create", "-q", "-f", "qcow2", "-o", "cluster_size=64k,lazy_refcounts=on",
		path,     size,     NULL};
	struct proc_spec p = {.argv = argv, .cancel = c->cancel, .timeout_ms = 60000};

	r = proc_check(&p, err);
	return r < 0 ? err_ctx(err, r, "make the overlay %s", path) : 0;
}

static json_t *nbd_node(const struct chain_spec *spec)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:i, s:b}", "driver", "nbd", "node-name",
			 "base", "server", "type", "unix", "path", spec->socket, "export",
			 spec->export_name ? spec->export_name : "", "reconnect-delay",
			 NBD_RECONNECT_S, "read-only", true);
}

/* A sealed overlay is another program's to lock. */
static json_t *file_node(const char *path, const char *name, bool ro)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:b}, s:b, s:s}", "driver", "file", "node-name",
			 name, "filename", path, "discard", "unmap", "cache", "no-flush", true,
			 "read-only", ro, "locking", ro ? "off" : "auto");
}

static json_t *qcow2_node(const char *file, const char *backing, const char *name, bool ro)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:b}, s:b}", "driver", "qcow2", "node-name",
			 name, "file", file, "backing", backing, "discard", "unmap", "cache",
			 "no-flush", true, "read-only", ro);
}

static json_t *fuse_export(const char *path, bool ro)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b}", "type", "fuse", "id", "disk", "node-name",
			 "q0", "mountpoint", path, "writable", !ro);
}

/* Text of a node description; steals @j. */
static char *take_text(json_t *j)
{
	char *s = j ? json_compact(j) : NULL;

	json_decref(j);
	return s;
}

static int make_export_file(struct chain *c, struct err *err)
{
	auto_fd int fd = -1;
	int r;

	c->export_path = path_join(c->scratch, "disk");
	if (!c->export_path)
		return err_set(err, -ENOMEM, "export path");
	r = journal_file(c, c->export_path, &c->export_entry, err);
	if (r < 0)
		return r;
	fd = open(c->export_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? err_set(err, -errno, "%s: %s", c->export_path, strerror(errno)) : 0;
}

static int spawn_daemon(struct chain *c, const struct chain_spec *spec, int qmp_fd, int life_fd,
			int log_fd, struct err *err)
{
	bool ro = spec->sealed != NULL;
	const char *disk = ro ? spec->sealed : c->overlays[0];
	auto_free char *daemon = NULL, *life = strf("%d", life_fd), *keep = strf("%d", qmp_fd);
	auto_free char *chardev = strf("socket,id=qmp,fd=%d", qmp_fd);
	auto_free char *nbd = take_text(nbd_node(spec));
	auto_free char *file = take_text(file_node(disk, "f0", ro));
	auto_free char *qcow2 = take_text(qcow2_node("f0", "base", "q0", ro));
	auto_free char *fuse = take_text(fuse_export(c->export_path, ro));
	int r = proc_find("qemu-storage-daemon", "qemu-system-common", &daemon, err);

	if (r < 0)
		return r;
	if (!life || !keep || !chardev || !nbd || !file || !qcow2 || !fuse)
		return err_set(err, -ENOMEM, "storage daemon");
	/* The monitor comes last: its greeting says that all before it is ready. */
	const char *argv[] = {proc_self_exe(),
			      "sandbox",
			      "guard",
			      "--life-fd",
			      life,
			      "--keep-fd",
			      keep,
			      "--",
			      daemon,
			      "--blockdev",
			      nbd,
			      "--blockdev",
			      file,
			      "--blockdev",
			      qcow2,
			      "--export",
			      fuse,
			      "--chardev",
			      chardev,
			      "--monitor",
			      "chardev=qmp",
			      NULL};
	const int fds[] = {qmp_fd, life_fd};
	struct proc_spec p = {.argv = argv, .keep_fds = fds, .n_keep_fds = 2};

	r = journal_add(c->journal, "process", json_pack("{s:s}", "name", "qemu-storage-daemon"),
			&c->process_entry, err);
	if (r == 0)
		r = proc_spawn(&p, log_fd, &c->pid, &c->pidfd, err);
	if (r == 0)
		r = journal_update(c->process_entry,
				   json_pack("{s:i, s:I, s:i}", "pid", (int) c->pid, "start",
					     (json_int_t) proc_start_ticks(c->pid), "pgid",
					     (int) c->pid),
				   err);
	return r;
}

/* The last words of the daemon explain better than "it ended". */
static int explain(int r, int log_fd, struct err *err)
{
	char text[1024];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return err_ctx(err, r, "qemu-storage-daemon");
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return err_ctx(err, r, "qemu-storage-daemon: %s", text);
}

static int open_disk(struct chain *c, bool ro, struct err *err)
{
	auto_free char *path = strf("/proc/%d/root%s", (int) c->pid, c->export_path);
	struct stat st;

	if (!path)
		return err_set(err, -ENOMEM, "disk path");
	c->disk_fd = open(path, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (c->disk_fd < 0 || fstat(c->disk_fd, &st) < 0)
		return err_set(err, -errno, "open the exported disk: %s", strerror(errno));
	if ((uint64_t) st.st_size != c->size_bytes)
		return err_set(err, -EIO, "the exported disk has %lld bytes instead of %llu",
			       (long long) st.st_size, (unsigned long long) c->size_bytes);
	return 0;
}

int chain_daemon_start(struct chain *c, const struct chain_spec *spec, struct err *err)
{
	auto_fd int log_fd = -1, life_read = -1, theirs = -1;
	int pair[2], life[2], r;

	r = spec->sealed ? 0 : chain_overlay_new(c, err);
	if (r == 0)
		r = make_export_file(c, err);
	if (r < 0)
		return r;
	log_fd = memfd_create("qsd-log", MFD_CLOEXEC);
	if (log_fd < 0 || pipe2(life, O_CLOEXEC) < 0)
		return err_set(err, -errno, "storage daemon: %s", strerror(errno));
	life_read = life[0];
	c->life_fd = life[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "storage daemon: %s", strerror(errno));
	theirs = pair[1];
	r = spawn_daemon(c, spec, theirs, life_read, log_fd, err);
	if (r < 0) {
		(void) close(pair[0]);
		return r;
	}
	closep(&theirs);
	theirs = -1;
	r = qmp_open(pair[0], CHAIN_QMP_MS, c->cancel, &c->qmp, err);
	if (r < 0)
		return explain(r, log_fd, err);
	return open_disk(c, spec->sealed, err);
}

void chain_daemon_stop(struct chain *c)
{
	closep(&c->disk_fd);
	c->disk_fd = -1;
	qmp_close(c->qmp);
	c->qmp = NULL;
	closep(&c->life_fd);
	c->life_fd = -1;
	if (c->pid > 0) {
		(void) proc_stop(c->pid, c->pidfd, STOP_GRACE_MS);
		closep(&c->pidfd);
	}
	c->pid = 0;
	journal_drop(c->process_entry);
	c->process_entry = NULL;
}
