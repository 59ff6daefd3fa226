/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/chain.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "bake/chain_internal.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"

#define SNAPSHOT_MS 120000
#define STOP_MS     5000

int chain_new(const struct chain_spec *spec, struct chain **ret, struct err *err)
{
	struct chain *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, -ENOMEM, "overlay chain");
	c->pidfd = c->life_fd = c->disk_fd = c->loop_fd = c->mount_fd = c->root_fd = -1;
	c->fuse_pidfd = c->fuse_life = -1;
	c->userspace = spec->userspace;
	c->journal = spec->journal;
	c->cancel = spec->cancel;
	c->size_bytes = spec->grow_to_bytes > spec->base_bytes ? spec->grow_to_bytes / 512 * 512
							       : spec->base_bytes;
	c->scratch = strdup(spec->scratch);
	if (!c->scratch) {
		free(c);
		return err_set(err, -ENOMEM, "overlay chain");
	}
	*ret = c;
	return 0;
}

int chain_open(const struct chain_spec *spec, struct chain **ret, struct err *err)
{
	struct chain *c = NULL;
	int r = chain_new(spec, &c, err);

	if (r < 0)
		return r;
	r = chain_daemon_start(c, spec, err);
	if (r == 0)
		r = chain_find_root(c, spec->base_bytes, err);
	if (r == 0)
		r = cancel_check(c->cancel);
	if (r == 0)
		r = chain_mount(c, c->size_bytes > spec->base_bytes, err);
	if (r < 0) {
		chain_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void chain_close(struct chain *c)
{
	if (!c)
		return;
	chain_umount(c);
	chain_daemon_stop(c);
	for (size_t i = 0; i < c->n_overlays; i++) {
		if (unlink(c->overlays[i]) < 0 && errno != ENOENT)
			log_warn("chain.unlink", "path=%s errno=%d", c->overlays[i], errno);
		journal_drop(c->overlay_entries[i]);
		free(c->overlays[i]);
	}
	if (c->export_path)
		(void) unlink(c->export_path);
	journal_drop(c->export_entry);
	fsmap_done(&c->before);
	free(c->overlays);
	free(c->overlay_entries);
	free(c->export_path);
	if (c->mount_point)
		(void) rmdir(c->mount_point);
	free(c->mount_point);
	free(c->scratch);
	free(c);
}

int chain_rootfd(const struct chain *c)
{
	return c->root_fd;
}

const char *chain_device(const struct chain *c)
{
	return c->device;
}

const char *chain_fstype(const struct chain *c)
{
	return "ext4";
}

bool chain_broken(const struct chain *c)
{
	return c->broken;
}

void chain_sealed_done(struct chain_sealed *s)
{
	free(s->path);
	s->path = NULL;
	fsmap_done(&s->map);
}

/* A new overlay on top; the one that took the writes so far becomes read-only. */
static int snapshot(struct chain *c, struct err *err)
{
	size_t top = c->n_overlays - 1;
	auto_free char *file = strf("f%zu", top), *node = strf("q%zu", top);
	auto_free char *below = top > 0 ? strf("q%zu", top - 1) : NULL;
	json_t *args;
	int r;

	if (!file || !node || !below)
		return err_set(err, -ENOMEM, "snapshot");
	args = json_pack("{s:s, s:s, s:n, s:s, s:{s:b}, s:{s:s, s:s, s:s, s:s, s:{s:b}}}", "driver",
			 "qcow2", "node-name", node, "backing", "discard", "unmap", "cache",
			 "no-flush", true, "file", "driver", "file", "node-name", file, "filename",
			 c->overlays[top], "discard", "unmap", "cache", "no-flush", true);
	if (!args)
		return err_set(err, -ENOMEM, "snapshot");
	r = qmp_call(c->qmp, "blockdev-add", args, SNAPSHOT_MS, NULL, NULL, err);
	if (r == 0)
		r = qmp_call(c->qmp, "blockdev-snapshot",
			     json_pack("{s:s, s:s}", "node", below, "overlay", node), SNAPSHOT_MS,
			     NULL, NULL, err);
	return r;
}

/* The frozen part: nothing in it may wait for a file system user. */
static int seal_frozen(struct chain *c, struct chain_sealed *s, struct err *err)
{
	struct fsmap now = {0};
	int r = fsmap_read(c->disk_fd, c->part_offset, c->part_bytes, &s->map, err);

	if (r == 0)
		r = fsmap_zero_freed(&c->before, &s->map, c->disk_fd, err);
	if (r == 0)
		r = fsmap_copy(&s->map, &now) < 0 ? err_set(err, -ENOMEM, "map of free space") : 0;
	if (r == 0)
		r = snapshot(c, err);
	if (r < 0) {
		fsmap_done(&now);
		return r;
	}
	fsmap_done(&c->before);
	c->before = now;
	return 0;
}

/* A frozen file system would outlive this process and keep its loop device: a helper that notices
 * our end thaws it. It needs no journal entry, it lives no longer than the pipe. */
struct thawer {
	pid_t pid;
	int pidfd, life_fd;
};

static int thawer_start(struct chain *c, struct thawer *t, struct err *err)
{
	auto_fd int life_read = -1;
	int life[2], r;

	if (pipe2(life, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	life_read = life[0];
	t->life_fd = life[1];
	auto_free char *root = strf("%d", c->root_fd), *pipe_arg = strf("%d", life_read);
	const char *argv[] = {proc_self_exe(), "sandbox", "thaw", "--keep-fd", root,
			      "--life-fd",     pipe_arg,  NULL};
	const int fds[] = {c->root_fd, life_read};
	struct proc_spec p = {.argv = argv, .keep_fds = fds, .n_keep_fds = 2};

	r = root && pipe_arg ? proc_spawn(&p, -1, &t->pid, &t->pidfd, err)
			     : err_set(err, -ENOMEM, "snapshot");
	if (r < 0)
		closep(&t->life_fd);
	return r;
}

/* @thawed: nothing is left for it to do. */
static void thawer_stop(struct thawer *t, bool thawed)
{
	if (thawed && write(t->life_fd, "k", 1) != 1)
		log_debug("chain.thawer", "errno=%d", errno);
	closep(&t->life_fd);
	(void) proc_stop(t->pid, t->pidfd, STOP_MS);
	closep(&t->pidfd);
}

static int freeze_and_snapshot(struct chain *c, struct chain_sealed *s, struct err *err)
{
	struct thawer t = {.pid = -1, .pidfd = -1, .life_fd = -1};
	bool thawed;
	int r = thawer_start(c, &t, err);

	if (r < 0)
		return r;
	if (ioctl(c->root_fd, FIFREEZE, 0) < 0) {
		r = err_set(err, -errno, "freeze the root: %s", strerror(errno));
		thawer_stop(&t, true);
		return r;
	}
	r = seal_frozen(c, s, err);
	thawed = ioctl(c->root_fd, FITHAW, 0) == 0;
	if (!thawed && r == 0)
		r = err_set(err, -errno, "thaw the root: %s", strerror(errno));
	thawer_stop(&t, thawed);
	return r;
}

/* Not mounted is better than frozen: nothing else knows when fuse2fs has written all. */
static int seal_userspace(struct chain *c, struct chain_sealed *s, struct err *err)
{
	int r = chain_user_umount(c, err);

	if (r == 0)
		r = seal_frozen(c, s, err);
	return r == 0 ? chain_user_mount(c, err) : r;
}

static int seal_mounted(struct chain *c, struct chain_sealed *s, struct err *err)
{
	struct fstrim_range all = {.len = UINT64_MAX};
	int r = 0;

	if (syncfs(c->root_fd) < 0)
		r = err_set(err, -errno, "sync the root: %s", strerror(errno));
	if (r == 0 && ioctl(c->root_fd, FITRIM, &all) < 0)
		r = err_set(err, -errno, "trim the root: %s", strerror(errno));
	if (r == 0)
		r = cancel_check(c->cancel);
	return r == 0 ? freeze_and_snapshot(c, s, err) : r;
}

int chain_seal(struct chain *c, struct chain_sealed *ret, struct err *err)
{
	struct chain_sealed s = {.path = strdup(c->overlays[c->n_overlays - 1])};
	int r;

	if (!s.path)
		return err_set(err, -ENOMEM, "snapshot");
	r = chain_overlay_new(c, err);
	if (r == 0)
		r = c->userspace ? seal_userspace(c, &s, err) : seal_mounted(c, &s, err);
	if (r < 0) {
		c->broken = true; /* an overlay may be half in the chain */
		chain_sealed_done(&s);
		return err_ctx(err, r, "snapshot");
	}
	*ret = s;
	return 0;
}

int chain_commit(const struct chain *c, const struct chain_sealed *s, struct store_session *ss,
		 unsigned region, const struct disk_ref *parent, struct disk_ref *ret,
		 struct store_stats *stats, struct err *err)
{
	auto_free struct store_extent *extents = NULL;
	auto_fd int fd = open(s->path, O_RDWR | O_CLOEXEC);
	uint64_t size = 0;
	size_t n = 0;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", s->path, strerror(errno));
	r = store_overlay_extents(s->path, c->cancel, &extents, &n, &size, err);
	if (r == 0)
		r = fsmap_scrub(&s->map, fd, extents, n, NULL, err);
	if (r == 0)
		r = store_commit(ss, region, parent, fd, extents, n, c->size_bytes, c->cancel, NULL,
				 ret, stats, err);
	return r;
}
