/* SPDX-License-Identifier: Apache-2.0 */
/* The `container` row of the executor table: a store's disk, exported, with an overlay chain. */
#include <fcntl.h>
#include <sys/stat.h>

#include "bake/container.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

struct container_executor {
	struct executor base; /* first */
	const struct executor_env *env;
	struct nbd_export *export;
	struct chain *chain;
	struct container c;
	char *dir;
	struct journal_entry *dir_entry;
	struct disk_ref parent; /* what the open overlay lies on */
	bool lost;              /* a sealed overlay was not committed: later ones lack it */
};

static struct container_executor *self(struct executor *x)
{
	return (struct container_executor *) x;
}

static void container_stop(struct executor *base)
{
	struct container_executor *x = self(base);
	auto_err struct err err = ERR_INIT;

	if (!x)
		return;
	chain_close(x->chain);
	nbd_export_free(x->export);
	if (x->dir && journal_undo(x->dir_entry, &err) < 0)
		log_warn("executor.stop", "error=\"%s\"", err_str(&err));
	free(x->dir);
	free(x);
}

static int make_dirs(struct container_executor *x, struct err *err)
{
	char id[33];
	int r = tmp_name(id);

	if (r < 0)
		return err_set(err, r, "scratch directory");
	x->dir = strf("%s/x-%.16s", x->env->scratch, id);
	if (!x->dir)
		return err_set(err, -ENOMEM, "scratch directory");
	r = journal_add(x->env->journal, "tree", json_pack("{s:s}", "path", x->dir), &x->dir_entry,
			err);
	if (r < 0)
		return r;
	if (mkdir(x->dir, 0700) < 0)
		return err_set(err, -errno, "%s: %s", x->dir, strerror(errno));
	return 0;
}

static int attach(struct container_executor *x, const struct disk_ref *base, uint64_t grow,
		  struct err *err)
{
	struct chain_spec spec = {.base_bytes = base->size_bytes,
				  .grow_to_bytes = grow,
				  .userspace = x->env->untrusted,
				  .scratch = x->dir,
				  .journal = x->env->journal,
				  .cancel = x->env->cancel};
	int r = nbd_export_new(x->env->nbd, x->env->region, base, &x->export, err);

	if (r < 0)
		return err_ctx(err, r, "export the image");
	spec.socket = nbd_host_socket(x->env->nbd);
	spec.export_name = nbd_export_name(x->export);
	return chain_open(&spec, &x->chain, err);
}

static int container_start(const struct executor_env *env, const struct disk_ref *base,
			   uint64_t grow_to_bytes, struct executor **ret, struct err *err)
{
	struct container_executor *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return err_set(err, -ENOMEM, "executor");
	x->base.ops = &executor_container;
	x->env = env;
	x->parent = *base;
	r = make_dirs(x, err);
	if (r == 0)
		r = attach(x, base, grow_to_bytes, err);
	if (r < 0) {
		container_stop(&x->base);
		return err_ctx(err, r, "container executor");
	}
	x->c = (struct container){.chain = x->chain,
				  .journal = env->journal,
				  .cancel = env->cancel,
				  .events = env->events,
				  .memory_bytes = env->memory_bytes};
	*ret = &x->base;
	return 0;
}

static int run(struct executor *x, const struct executor_cmd *cmd, struct proc_result *ret,
	       struct err *err)
{
	if (self(x)->env->untrusted) {
		err_set(err, -EACCES,
			"the disk descends from a foreign image: the container "
			"executor is no boundary against a hostile file system");
		err_hint(err, "set properties.kiln.executor to \"vm\"");
		return -EACCES;
	}
	return container_run(&self(x)->c, cmd, ret, err);
}

static int put(struct executor *x, int fd, const char *dest, unsigned mode, unsigned uid,
	       unsigned gid, struct err *err)
{
	return container_put(chain_rootfd(self(x)->chain), fd, dest, mode, uid, gid, err);
}

static int get(struct executor *x, const char *src, int fd, struct err *err)
{
	return container_get(chain_rootfd(self(x)->chain), src, fd, err);
}

static int snapshot(struct executor *base, struct disk_ref *ret, struct store_stats *stats,
		    struct err *err)
{
	struct container_executor *x = self(base);
	struct chain_sealed s = {0};
	struct store_stats unused;
	struct disk_ref disk;
	int r;

	if (x->lost || chain_broken(x->chain))
		return err_set(err, -EIO, "an earlier snapshot of this disk failed");
	r = chain_seal(x->chain, &s, err);
	if (r < 0)
		return r;
	r = chain_commit(x->chain, &s, x->env->session, x->env->region, &x->parent, &disk,
			 stats ? stats : &unused, err);
	chain_sealed_done(&s);
	x->lost = r < 0;
	if (r < 0)
		return err_ctx(err, r, "commit the step's changes");
	x->parent = disk;
	*ret = disk;
	return 0;
}

static int restart(struct executor *x, const char *const *argv, uint64_t timeout_ms,
		   struct err *err)
{
	err_set(err, -EOPNOTSUPP, "a container has no system that could restart");
	err_hint(err, "set properties.kiln.executor to \"vm\"");
	return -EOPNOTSUPP;
}

static int wait_off(struct executor *x, uint64_t timeout_ms, struct err *err)
{
	return restart(x, NULL, timeout_ms, err);
}

static int rootfd(struct executor *x, int *ret_fd, struct err *err)
{
	*ret_fd = chain_rootfd(self(x)->chain);
	return 0;
}

/* What a foreign image has there is its own affair. */
static int refresh_boot(struct executor *x, unsigned *ret_changed, struct err *err)
{
	*ret_changed = 0;
	return self(x)->env->untrusted ? 0 : chain_refresh_boot(self(x)->chain, ret_changed, err);
}

const struct executor_ops executor_container = {
	.name = "container",
	/* Raise when the sandbox changes in a way that a step can notice. */
	.version = "container/3",
	.start = container_start,
	.run = run,
	.put = put,
	.get = get,
	.snapshot = snapshot,
	.restart = restart,
	.wait_off = wait_off,
	.rootfd = rootfd,
	.refresh_boot = refresh_boot,
	.stop = container_stop,
};
