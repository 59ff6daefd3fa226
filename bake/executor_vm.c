/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `vm` row of the executor table: the disk is booted with an overlay, and the guest agent does
 * what a step asks. The guest lives from the first step to executor_stop(); at a step's end its
 * file systems are frozen while a new overlay takes over, and the sealed one is committed.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "bake/container.h"
#include "bake/powershell.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define AGENT_MS    900000u /* an emulated guest on a busy host is slow to boot */
#define SETTLE_MS   300000u /* for its services to come up */
#define HELPER_MS   120000u /* small commands of ours */
#define GROW_MS     600000u
#define NO_LIMIT_MS 259200000u /* a step without one: the run's own limit ends it */
#define STEP_DIR    "/run/kiln"

struct vm_executor {
	struct executor base; /* first */
	const struct executor_env *env;
	struct nbd_export *export, *below; /* of the first disk; of @parent, to look at it */
	struct vm *vm;
	char *dir;
	struct journal_entry *dir_entry;
	char *overlay; /* that takes the writes */
	unsigned n_overlays;
	uint64_t size_bytes;
	char *proxy_dir, *proxy_path; /* NULL = no network card */
	struct journal_entry *proxy_entry;
	bool card_up;
	struct disk_ref parent; /* what the open overlay lies on */
	bool lost;              /* a snapshot failed: the disk's state is not known */
};

static struct vm_executor *self(struct executor *x)
{
	return (struct vm_executor *) x;
}

static void vm_executor_stop(struct executor *base)
{
	struct vm_executor *x = self(base);
	auto_err struct err err = ERR_INIT;

	if (!x)
		return;
	/* What counts was committed by snapshots: no need to shut down in good order. */
	if (vm_stop(x->vm, 0, &err) < 0)
		log_warn("executor.stop", "error=\"%s\"", err_str(&err));
	err_done(&err);
	nbd_export_free(x->below);
	nbd_export_free(x->export);
	if (x->proxy_entry && journal_undo(x->proxy_entry, &err) < 0)
		log_warn("executor.stop", "error=\"%s\"", err_str(&err));
	err_done(&err);
	if (x->dir && journal_undo(x->dir_entry, &err) < 0)
		log_warn("executor.stop", "error=\"%s\"", err_str(&err));
	free(x->proxy_path);
	free(x->proxy_dir);
	free(x->overlay);
	free(x->dir);
	free(x);
}

static int make_dir(struct vm_executor *x, const char *id, struct err *err)
{
	int r;

	x->dir = strf("%s/v-%.16s", x->env->scratch, id);
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

static char *overlay_path(struct vm_executor *x)
{
	return strf("%s/overlay-%u.qcow2", x->dir, x->n_overlays++);
}

static int boot(struct vm_executor *x, const char *id, struct err *err)
{
	const struct executor_env *env = x->env;
	auto_free char *name = strf("x%.11s", id);
	struct vm_host *host = NULL;
	int r = name ? env->vmhost(env->arg, &host, err) : -ENOMEM;

	if (r == 0)
		r = vm_start(host,
			     &(struct vm_spec){
				     .name = name,
				     .firmware = env->uefi ? VM_UEFI : VM_BIOS,
				     .secure_boot = env->uefi,
				     .overlay = x->overlay,
				     .nbd_socket = nbd_host_socket(env->nbd),
				     .nbd_export = nbd_export_name(x->export),
				     .console_log = env->console_log,
				     .network = x->proxy_path,
				     .http_proxy_sock = x->proxy_path,
				     .windows = env->windows,
			     },
			     &x->vm, err);
	if (r == 0)
		r = vm_wait_agent(x->vm, AGENT_MS, env->cancel, env->events, err);
	return r;
}

/* A command of ours in a Linux guest. */
static int helper(struct vm_executor *x, const char *const *argv, uint64_t timeout_ms,
		  struct err *err)
{
	auto_buf struct buf out = BUF_INIT(4096);
	struct proc_result res = {0};
	int r = vm_exec(x->vm,
			&(struct vm_exec){.argv = argv,
					  .timeout_ms = timeout_ms,
					  .cancel = x->env->cancel,
					  .out = &out},
			&res, err);

	if (r == 0 && res.exit_code != 0)
		r = err_set(err, -EIO, "%s ended with status %d in the guest: %.200s", argv[0],
			    res.exit_code, buf_str(&out));
	return r;
}

/* Until start-up is over, so that steps find what a running system has. That a service failed is
 * for the steps to find out. */
static int settle(struct vm_executor *x, struct err *err)
{
	static const char *const argv[] = {
		"/bin/sh", "-c",
		"command -v systemctl >/dev/null || exit 0; systemctl is-system-running --wait; "
		"exit 0",
		NULL};

	return x->env->windows ? 0 : helper(x, argv, SETTLE_MS, err);
}

/* A directory that QEMU's uid passes and nobody lists: the socket's random name lets it in. */
static int make_proxy_dir(struct vm_executor *x, const char *id, struct err *err)
{
	int r;

	x->proxy_dir = strf("%s/p-%.8s", x->env->run_dir, id);
	x->proxy_path = x->proxy_dir ? strf("%s/%.16s", x->proxy_dir, id + 8) : NULL;
	if (!x->proxy_path)
		return err_set(err, -ENOMEM, "out of memory");
	r = journal_add(x->env->journal, "tree", json_pack("{s:s}", "path", x->proxy_dir),
			&x->proxy_entry, err);
	if (r == 0 && mkdir(x->proxy_dir, 0711) < 0)
		r = err_set(err, -errno, "%s: %s", x->proxy_dir, strerror(errno));
	return r;
}

static const char grow_linux[] =
	"set -e; dev=$(findmnt -nvo SOURCE /); name=${dev##*/}; "
	"part=$(cat /sys/class/block/$name/partition); "
	"disk=/dev/$(basename \"$(readlink -f /sys/class/block/$name/..)\"); "
	"if command -v growpart >/dev/null; then growpart $disk $part || [ $? = 1 ]; "
	"elif command -v sfdisk >/dev/null; then echo ', +' | "
	"sfdisk -q --no-reread -N $part $disk; partx -u $disk; "
	"else echo 'the image has neither growpart nor sfdisk'; exit 1; fi; "
	"case $(findmnt -nvo FSTYPE /) in ext*) resize2fs $dev;; xfs) xfs_growfs /;; "
	"btrfs) btrfs filesystem resize max /;; *) echo 'unknown file system'; exit 1;; esac";
static const char grow_windows[] = "$ErrorActionPreference = 'Stop'; Update-HostStorageCache; "
				   "$max = (Get-PartitionSupportedSize -DriveLetter C).SizeMax; "
				   "if ($max -gt (Get-Partition -DriveLetter C).Size) "
				   "{ Resize-Partition -DriveLetter C -Size $max }";

/* The disk is larger than what the image was made for: its own tools know how to use that. */
static int grow_root(struct vm_executor *x, struct err *err)
{
	static const char *const linux_argv[] = {"/bin/sh", "-c", grow_linux, NULL};
	static const char *const windows_argv[] = {POWERSHELL_EXE, "-NoProfile", "-NonInteractive",
						   "-Command",     grow_windows, NULL};
	int r = helper(x, x->env->windows ? windows_argv : linux_argv, GROW_MS, err);

	return r < 0 ? err_ctx(err, r, "grow the root file system") : 0;
}

static int start(struct vm_executor *x, const struct disk_ref *base, uint64_t grow, struct err *err)
{
	char id[33];
	int r = tmp_name(id);

	if (r < 0)
		return err_set(err, r, "random name: %s", strerror(-r));
	r = make_dir(x, id, err);
	if (r == 0)
		r = nbd_export_new(x->env->nbd, x->env->region, base, &x->export, err);
	if (r < 0)
		return r;
	x->size_bytes = grow > base->size_bytes ? grow : base->size_bytes;
	x->overlay = overlay_path(x);
	if (!x->overlay)
		return err_set(err, -ENOMEM, "out of memory");
	r = x->env->network ? make_proxy_dir(x, id, err) : 0;
	if (r < 0)
		return r;
	r = vm_overlay_create(x->overlay, nbd_host_socket(x->env->nbd), nbd_export_name(x->export),
			      x->size_bytes, err);
	if (r == 0)
		r = boot(x, id, err);
	if (r == 0)
		r = settle(x, err);
	return r == 0 && grow > base->size_bytes ? grow_root(x, err) : r;
}

static int vm_executor_start(const struct executor_env *env, const struct disk_ref *base,
			     uint64_t grow_to_bytes, struct executor **ret, struct err *err)
{
	struct vm_executor *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return err_set(err, -ENOMEM, "executor");
	x->base.ops = &executor_vm;
	x->env = env;
	x->parent = *base;
	r = start(x, base, grow_to_bytes, err);
	if (r < 0) {
		vm_executor_stop(&x->base);
		return err_ctx(err, r, "vm executor");
	}
	*ret = &x->base;
	return 0;
}

/* The card has one place to go to, on its own link: no route, no names. */
static int card_up(struct vm_executor *x, struct err *err)
{
	static const char *const argv[] = {
		"/bin/sh", "-c",
		"set -e; for d in /sys/class/net/*; do n=${d##*/}; [ -e $d/device ] || continue; "
		"ip link set dev $n up; "
		"ip -4 addr show dev $n | grep -q 'inet 10\\.0\\.2\\.' || "
		"ip addr add 10.0.2.15/24 dev $n; done",
		NULL};
	int r;

	if (x->card_up || x->env->windows)
		return 0; /* Windows asks for an address by itself */
	r = helper(x, argv, HELPER_MS, err);
	if (r < 0)
		return err_ctx(err, r, "set up the guest's network card (iproute2)");
	x->card_up = true;
	return 0;
}

/* Listens only while a step may use it. */
static int proxy_up(struct vm_executor *x, const struct executor_net *net, struct step_proxy **ret,
		    struct err *err)
{
	struct container c = {
		.journal = x->env->journal, .cancel = x->env->cancel, .events = x->env->events};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!x->proxy_path)
		return err_set(err, -EINVAL, "the guest was started without a network card");
	if (strlen(x->proxy_path) >= sizeof(a.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s is too long", x->proxy_path);
	memcpy(a.sun_path, x->proxy_path, strlen(x->proxy_path));
	(void) unlink(x->proxy_path);
	if (fd < 0 || bind(fd, (const struct sockaddr *) &a, sizeof(a)) < 0 ||
	    chmod(x->proxy_path, 0666) < 0 || listen(fd, 64) < 0)
		return err_set(err, -errno, "%s: %s", x->proxy_path, strerror(errno));
	return step_proxy_listen(&c, net, fd, ret, err);
}

static int put_files(struct vm_executor *x, const struct executor_cmd *cmd, struct err *err)
{
	static const char *const mkdir_argv[] = {"/bin/mkdir", "-p", "-m", "0755", STEP_DIR, NULL};
	int r = cmd->n_files && !x->env->windows ? helper(x, mkdir_argv, HELPER_MS, err) : 0;

	for (size_t i = 0; r == 0 && i < cmd->n_files; i++) {
		auto_free char *path =
			x->env->windows ? strf("C:\\Windows\\Temp\\kiln-%s", cmd->files[i].name)
					: strf(STEP_DIR "/%s", cmd->files[i].name);

		if (!path || lseek(cmd->files[i].fd, 0, SEEK_SET) < 0)
			return err_set(err, -ENOMEM, "file of the step");
		r = vm_put_fd(x->vm, cmd->files[i].fd, path, cmd->files[i].mode, err);
	}
	return r;
}

/* The step may have ended the guest; what it leaves behind in /run ends with the boot. */
static void remove_files(struct vm_executor *x, const struct executor_cmd *cmd)
{
	static const char *const linux_argv[] = {"/bin/rm", "-rf", STEP_DIR, NULL};
	static const char *const windows_argv[] = {"C:\\Windows\\System32\\cmd.exe", "/c",
						   "del /q C:\\Windows\\Temp\\kiln-*", NULL};

	if (cmd->n_files && !vm_ended(x->vm))
		(void) helper(x, x->env->windows ? windows_argv : linux_argv, HELPER_MS, NULL);
}

/* In /tmp, as in the other executor; a program that does not exist is the shell's 127. */
static int wrap(const struct executor_cmd *cmd, bool windows, const char ***ret)
{
	static const char *const head[] = {"/bin/sh", "-c", "cd /tmp && exec \"$@\"", "sh"};
	size_t n = strv_len((char *const *) cmd->argv), at = 0;
	const char **argv = calloc(n + ARRAY_SIZE(head) + 1, sizeof(*argv));

	if (!argv)
		return -ENOMEM;
	for (size_t i = 0; !windows && i < ARRAY_SIZE(head); i++)
		argv[at++] = head[i];
	memcpy(argv + at, cmd->argv, n * sizeof(*argv));
	*ret = argv;
	return 0;
}

static int run_command(struct vm_executor *x, const struct executor_cmd *cmd, bool net,
		       struct proc_result *ret, struct err *err)
{
	auto_strv char **env =
		x->env->windows ? NULL : container_env(cmd->envp, net ? VM_PROXY : NULL);
	auto_free const char **argv = NULL;

	if ((!env && !x->env->windows) || wrap(cmd, x->env->windows, &argv) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return vm_exec(x->vm,
		       &(struct vm_exec){
			       .argv = argv,
			       .envp = (const char *const *) env,
			       .timeout_ms = cmd->timeout_ms ? cmd->timeout_ms : NO_LIMIT_MS,
			       .cancel = x->env->cancel,
			       .line = cmd->line,
			       .line_arg = cmd->line_arg,
		       },
		       ret, err);
}

static int run(struct executor *base, const struct executor_cmd *cmd, struct proc_result *ret,
	       struct err *err)
{
	struct vm_executor *x = self(base);
	bool net = cmd->net && cmd->net->enabled;
	struct step_proxy *proxy = NULL;
	int r;

	*ret = (struct proc_result){0};
	if (cmd->terminal)
		return err_set(err, -EOPNOTSUPP, "a guest has no terminal here");
	r = put_files(x, cmd, err);
	if (r == 0 && net)
		r = card_up(x, err);
	if (r == 0 && net)
		r = proxy_up(x, cmd->net, &proxy, err);
	if (r == 0)
		r = run_command(x, cmd, net, ret, err);
	step_proxy_stop(proxy);
	remove_files(x, cmd);
	return r;
}

static int put(struct executor *base, int fd, const char *dest, unsigned mode, unsigned uid,
	       unsigned gid, struct err *err)
{
	struct vm_executor *x = self(base);
	auto_free char *owner = strf("%u:%u", uid, gid);
	auto_free char *octal = strf("%04o", mode & 07777);
	const char *const chown_argv[] = {"/bin/chown", "-h", owner, dest, NULL};
	const char *const chmod_argv[] = {"/bin/chmod", octal, dest, NULL};
	int r;

	if (!owner || !octal)
		return err_set(err, -ENOMEM, "out of memory");
	if (!x->env->windows && dest[0] != '/')
		return err_set(err, -EINVAL, "%s: expected an absolute path", dest);
	r = vm_put_fd(x->vm, fd, dest, mode, err);
	if (r < 0 || x->env->windows || (uid == 0 && gid == 0))
		return r;
	r = helper(x, chown_argv, HELPER_MS, err);
	/* A new owner takes the set-user-id bit away. */
	return r < 0 || !(mode & 06000) ? r : helper(x, chmod_argv, HELPER_MS, err);
}

static int get(struct executor *x, const char *src, int fd, struct err *err)
{
	return vm_get_fd(self(x)->vm, src, fd, err);
}

/* The disk below the sealed overlay @path, for looking at both. */
static int scrub(struct vm_executor *x, const char *path, const struct store_extent *extents,
		 size_t n, struct err *err)
{
	struct chain_spec spec = {.socket = nbd_host_socket(x->env->nbd),
				  .base_bytes = x->parent.size_bytes,
				  .grow_to_bytes = x->size_bytes,
				  .scratch = x->dir,
				  .journal = x->env->journal,
				  .cancel = x->env->cancel,
				  .sealed = path};
	bool done = false;
	int r;

	if (x->env->windows)
		return 0;
	nbd_export_free(x->below);
	x->below = NULL;
	r = nbd_export_new(x->env->nbd, x->env->region, &x->parent, &x->below, err);
	if (r < 0)
		return r;
	spec.export_name = nbd_export_name(x->below);
	return chain_scrub(&spec, extents, n, &done, err);
}

static int commit(struct vm_executor *x, const char *path, struct disk_ref *ret,
		  struct store_stats *stats, struct err *err)
{
	auto_free struct store_extent *extents = NULL;
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct store_stats unused;
	uint64_t size = 0;
	size_t n = 0;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	r = store_overlay_extents(path, x->env->cancel, &extents, &n, &size, err);
	if (r == 0)
		r = scrub(x, path, extents, n, err);
	if (r == 0)
		r = store_commit(x->env->session, x->env->region, &x->parent, fd, extents, n,
				 x->size_bytes, x->env->cancel, NULL, ret, stats ? stats : &unused,
				 err);
	return r < 0 ? err_ctx(err, r, "commit the step's changes") : 0;
}

static int snapshot(struct executor *base, struct disk_ref *ret, struct store_stats *stats,
		    struct err *err)
{
	struct vm_executor *x = self(base);
	auto_free char *next = NULL, *sealed = NULL;
	struct disk_ref disk;
	int r = 0;

	if (x->lost)
		return err_set(err, -EIO, "an earlier snapshot of this disk failed");
	if (!vm_ended(x->vm)) {
		next = overlay_path(x);
		r = next ? vm_overlay_create(next, NULL, NULL, x->size_bytes, err) : -ENOMEM;
		if (r == 0)
			r = vm_snapshot(x->vm, next, x->env->cancel, err);
	}
	if (r == 0) {
		sealed = take_ptr(x->overlay);
		x->overlay = take_ptr(next);
		r = commit(x, sealed, &disk, stats, err);
	}
	x->lost = r < 0 || !x->overlay;
	if (r < 0)
		return r;
	x->parent = disk;
	*ret = disk;
	return 0;
}

static int rootfd(struct executor *x, int *ret_fd, struct err *err)
{
	return err_set(err, -EOPNOTSUPP, "a running guest's disk is mounted by the guest");
}

static int restart(struct executor *base, const char *const *argv, uint64_t timeout_ms,
		   struct err *err)
{
	struct vm_executor *x = self(base);
	int r = vm_restart(x->vm, argv, timeout_ms, x->env->cancel, err);

	x->card_up = false;
	return r == 0 ? settle(x, err) : r;
}

static int wait_off(struct executor *base, uint64_t timeout_ms, struct err *err)
{
	struct vm_executor *x = self(base);

	return vm_wait_end(x->vm, timeout_ms, x->env->cancel, err);
}

static int refresh_boot(struct executor *x, unsigned *ret_changed, struct err *err)
{
	return err_set(err, -EOPNOTSUPP, "a running guest's disk is mounted by the guest");
}

const struct executor_ops executor_vm = {
	.name = "vm",
	/* Raise when the guest's surroundings change in a way that a step can notice. */
	.version = "vm/1",
	.start = vm_executor_start,
	.run = run,
	.put = put,
	.get = get,
	.snapshot = snapshot,
	.restart = restart,
	.wait_off = wait_off,
	.rootfd = rootfd,
	.refresh_boot = refresh_boot,
	.stop = vm_executor_stop,
};
