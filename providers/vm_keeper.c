/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that a running VM belongs to: `kiln vmkeeper DATA VMID`. It holds the exports of the
 * VM's disks, the guest's connection to vmhost, and through both everything that must end with the
 * guest. It belongs to nobody, so commands, workers and servers come and go beside it. When it is
 * killed, vmhost ends the guest at once, and the next command undoes the rest by the journal.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/timeutil.h"
#include "providers/vms.h"
#include "vm/keeper.h"
#include "vm/tpm.h"
#include "vm/vm.h"

#define ENV_READY   "KILN_VMKEEPER_READY" /* pipe: one line of JSON */
#define START_MS    600000                /* QEMU of a busy machine */
#define STOP_MARGIN 120000
#define RECONNECT_S 60        /* reads wait so long for another nbdkit */
#define LOOK_NS     100000000 /* between looks whether a starting keeper listens */
#define DATA_MAX    64

struct keeper {
	struct app *app;
	const char *vm_id;
	char *dir;
	json_t *spec; /* vm.json */
	struct nbd_host *nbd;
	struct nbd_export *exports[DATA_MAX + 1]; /* the OS disk's first */
	struct vm_disk data[DATA_MAX];
	size_t n_data;
	char *overlays[DATA_MAX + 1];
	char *nvram, *tpm, *seed, *console;
	char tpm_key[VM_TPM_KEY_HEX];
	char **forwards;
	unsigned ssh_port;
	struct vm *vm;
	struct vm_state state;
	struct cancel cancel;
};

/* ---- What a VM has on disk: made when it is not there --------------------------------------- */

/* By another name until it is whole. */
static int make_overlay(struct keeper *k, size_t i, const char *name, const struct disk_ref *disk,
			uint64_t bytes, struct err *err)
{
	auto_free char *new = strf("%s/%s.new", k->dir, name);
	int r;

	k->overlays[i] = path_join(k->dir, name);
	if (!new || !k->overlays[i])
		return no_memory(err);
	if (file_exists(k->overlays[i]))
		return 0;
	r = file_rm_rf(new, err);
	if (r == 0)
		r = vm_overlay_create(new, nbd_host_socket(k->nbd), nbd_export_name(k->exports[i]),
				      bytes > disk->size_bytes ? bytes : disk->size_bytes, err);
	if (r == 0 && rename(new, k->overlays[i]) < 0)
		r = err_set(err, -errno, "%s: %s", k->overlays[i], strerrordesc_np(errno));
	return r;
}

static int make_disk(struct keeper *k, size_t i, const json_t *ref, const char *name,
		     uint64_t bytes, struct err *err)
{
	const char *region_name = json_str_at(k->spec, "region");
	int region = app_region_index(k->app, region_name ? region_name : "");
	auto_json json_t *runs = NULL;
	struct disk_ref disk;
	unsigned flags;
	int r = disk_ref_from_json(ref, &disk, err);

	if (r < 0)
		return r;
	if (region < 0)
		return err_set(err, -EIO, "region '%s' is not configured", region_name);
	/* The first boot of a disk records what it reads; later ones fetch that ahead. */
	flags = store_profile_get(k->app->store, (unsigned) region, &disk, &runs, NULL) == 0
			? NBD_EXPORT_PLAY
			: NBD_EXPORT_RECORD;
	r = nbd_export_new_with(k->nbd, (unsigned) region, &disk, flags, &k->exports[i], err);
	return r < 0 ? r : make_overlay(k, i, name, &disk, bytes, err);
}

static int make_disks(struct keeper *k, struct err *err)
{
	const json_t *list = json_object_get(k->spec, "dataDisks"), *d;
	uint64_t bytes = (uint64_t) json_int_at(k->spec, "diskSizeGB", 0) << 30;
	int r = make_disk(k, 0, json_object_get(k->spec, "disk"), "disk.qcow2", bytes, err);
	size_t i;

	json_array_foreach(list, i, d)
	{
		int lun = (int) json_int_at(d, "lun", 0);
		char name[32];

		if (r < 0 || i == DATA_MAX)
			break;
		(void) snprintf(name, sizeof(name), "data-%d.qcow2", lun);
		r = make_disk(k, i + 1, json_object_get(d, "disk"), name, 0, err);
		if (r < 0)
			break;
		k->data[i] = (struct vm_disk){.overlay = k->overlays[i + 1],
					      .nbd_export = nbd_export_name(k->exports[i + 1]),
					      .lun = (unsigned) lun};
		k->n_data = i + 1;
	}
	return r;
}

static int make_tpm(struct keeper *k, struct err *err)
{
	auto_free char *new = path_join(k->dir, "tpm.new"), *key = path_join(k->dir, "tpm.key");
	auto_free char *ca = path_join(k->app->data_dir, "tpm-ca");
	auto_free char *host = path_join(k->app->data_dir, "vms/host.key");
	int r;

	k->tpm = path_join(k->dir, "tpm");
	if (!new || !key || !ca || !host || !k->tpm)
		return no_memory(err);
	r = vm_tpm_key(key, host, k->tpm_key, err);
	if (r < 0 || file_exists(k->tpm))
		return r;
	r = file_rm_rf(new, err);
	if (r == 0)
		r = vm_tpm_make(new, ca, k->vm_id, k->tpm_key, err);
	if (r == 0 && rename(new, k->tpm) < 0)
		r = err_set(err, -errno, "%s: %s", k->tpm, strerrordesc_np(errno));
	return r;
}

static int make_seed(struct keeper *k, struct err *err)
{
	auto_free char *path = path_join(k->dir, "user-data");
	auto_free char *id =
		strf("%s-%lld", k->vm_id, (long long) json_int_at(k->spec, "generation", 0));
	auto_buf struct buf user = BUF_INIT(2u << 20);
	int r;

	k->seed = path_join(k->dir, "seed.img");
	if (!path || !id || !k->seed)
		return no_memory(err);
	r = file_rm_rf(k->seed, err);
	if (r == 0)
		r = file_read_all(path, &user, err);
	if (r == 0)
		r = vm_seed_create(k->seed, id, json_str_at(k->spec, "hostName"), buf_str(&user),
				   NULL, err);
	if (user.data)
		mem_wipe(user.data, user.len);
	return r;
}

/* Each start begins it anew. The server's user, who has the uploads, may read it. */
static int make_console(struct keeper *k, struct err *err)
{
	auto_free char *uploads = path_join(k->app->data_dir, "uploads");
	auto_fd int fd = -1;
	struct stat st;

	k->console = path_join(k->dir, "console.log");
	if (!k->console || !uploads)
		return no_memory(err);
	fd = open(k->console, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0 || (geteuid() == 0 && stat(uploads, &st) == 0 && fchown(fd, 0, st.st_gid) < 0))
		return err_set(err, -errno, "%s: %s", k->console, strerrordesc_np(errno));
	return 0;
}

static int make_files(struct keeper *k, struct err *err)
{
	int r = make_disks(k, err);

	if (r == 0 && json_bool_at(k->spec, "uefi", false)) {
		k->nvram = path_join(k->dir, "vars.fd");
		if (!k->nvram)
			return no_memory(err);
		if (!file_exists(k->nvram))
			r = vm_nvram_create(k->nvram, json_bool_at(k->spec, "secureBoot", false),
					    err);
	}
	if (r == 0 && json_bool_at(k->spec, "vTpm", false))
		r = make_tpm(k, err);
	if (r == 0 && json_bool_at(k->spec, "seed", false))
		r = make_seed(k, err);
	return r < 0 ? r : make_console(k, err);
}

/* ---- The network ---------------------------------------------------------------------------- */

/* A free port of this moment; that of the last start when it is free, so that it stays. */
static int free_port(unsigned last, unsigned *ret)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);
	auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = htons((uint16_t) last);
	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *) &a, sizeof(a)) < 0) {
		if (last == 0)
			return -errno;
		return free_port(0, ret);
	}
	if (getsockname(fd, (struct sockaddr *) &a, &n) < 0)
		return -errno;
	*ret = ntohs(a.sin_port);
	return 0;
}

static int make_forwards(struct keeper *k, unsigned last, struct err *err)
{
	const json_t *list = json_object_get(k->spec, "forwards"), *f;
	auto_free char *ssh = NULL;
	size_t i;
	int r = free_port(last, &k->ssh_port);

	if (r < 0)
		return err_set(err, r, "no free port: %s", strerrordesc_np(-r));
	ssh = strf("tcp:127.0.0.1:%u-:22", k->ssh_port);
	r = ssh ? strv_push(&k->forwards, ssh) : -ENOMEM;
	json_array_foreach(list, i, f)
	{
		if (r == 0)
			r = strv_push(&k->forwards, json_string_value(f));
	}
	return r < 0 ? no_memory(err) : 0;
}

/* ---- Running -------------------------------------------------------------------------------- */

static int start_guest(struct keeper *k, struct err *err)
{
	auto_free char *name = strf("m%.8s", k->vm_id);
	struct vm_host *host = NULL;
	struct vm_spec s = {
		.name = name,
		.uuid = k->vm_id,
		.firmware = json_bool_at(k->spec, "uefi", false) ? VM_UEFI : VM_BIOS,
		.secure_boot = json_bool_at(k->spec, "secureBoot", false),
		.nvram = k->nvram,
		.tpm_dir = k->tpm,
		.tpm_key = k->tpm_key,
		.cpus = (unsigned) json_int_at(k->spec, "cpus", 0),
		.memory_mib = (unsigned) json_int_at(k->spec, "memoryMiB", 0),
		.overlay = k->overlays[0],
		.durable = true,
		.nbd_socket = nbd_host_socket(k->nbd),
		.nbd_export = nbd_export_name(k->exports[0]),
		.reconnect_s = RECONNECT_S,
		.data = k->data,
		.n_data = k->n_data,
		.seed = k->seed,
		.console_log = k->console,
		.network = true,
		.isolated = !json_bool_at(k->spec, "outbound", false),
		.forwards = (const char *const *) k->forwards,
	};
	int r = name ? app_vmhost(k->app, &host, err) : no_memory(err);

	return r < 0 ? r : vm_start(host, &s, &k->vm, err);
}

static int load(struct keeper *k, const char *data_dir, unsigned *ret_port, struct err *err)
{
	auto_free char *path = NULL, *run = NULL, *state = NULL;
	auto_json json_t *last = NULL;
	int r = app_open(data_dir, &k->app, err);

	if (r < 0)
		return r;
	k->dir = vm_dir(k->app, k->vm_id);
	path = k->dir ? path_join(k->dir, "vm.json") : NULL;
	run = path_join(k->app->run_dir, "vm");
	state = vm_run_path(k->app, k->vm_id, ".json");
	if (!path || !run || !state)
		return no_memory(err);
	r = file_mkdir_p(run, 0711, err);
	if (r == 0)
		r = json_read_file(path, &k->spec, err);
	last = r == 0 ? vm_state_read(state) : NULL;
	*ret_port = (unsigned) json_int_at(last, "sshPort", 0);
	return r < 0 ? r : vm_state_open(state, &k->state, err);
}

static int begin(struct keeper *k, const char *data_dir, struct err *err)
{
	unsigned port = 0;
	int r = load(k, data_dir, &port, err);

	if (r == 0)
		r = vm_state_set(
			&k->state,
			json_pack("{s:s, s:b, s:s}", "state", "starting", "agent", 0, "reason", ""),
			err);
	if (r == 0)
		r = app_nbd(k->app, &k->nbd, err);
	if (r == 0)
		r = make_files(k, err);
	if (r == 0)
		r = make_forwards(k, port, err);
	if (r == 0)
		r = vm_state_set(&k->state,
				 json_pack("{s:i, s:i}", "sshPort", (int) k->ssh_port, "keeper",
					   (int) getpid()),
				 err);
	return r < 0 ? r : start_guest(k, err);
}

/* The server of the guest's disk died and was started again. */
static int revived(struct vm_watch *w, struct err *err)
{
	struct keeper *k = w->arg;
	int64_t n =
		json_int_at(k->state.doc, "exportRestarts", 0) + (int64_t) nbd_host_revived(k->nbd);

	log_warn("vmkeeper.revived", "vm=%s", k->vm_id);
	return vm_state_set(&k->state, json_pack("{s:I}", "exportRestarts", (json_int_t) n), err);
}

static int keep(struct keeper *k, int *ret_last, struct err *err)
{
	auto_free char *socket = vm_run_path(k->app, k->vm_id, ".sock");
	struct vm_watch w = {
		.fd = nbd_host_fd(k->nbd), .events = POLLIN, .ready = revived, .arg = k};
	struct vm_keep kp = {.vm = take_ptr(k->vm),
			     .socket = socket,
			     .state = &k->state,
			     .watch = &w,
			     .cancel = &k->cancel};
	int r = socket ? vm_keep(&kp, err) : no_memory(err);

	*ret_last = kp.last_fd;
	return r;
}

static void done(struct keeper *k)
{
	(void) vm_stop(k->vm, 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(k->exports); i++) {
		nbd_export_free(k->exports[i]);
		free(k->overlays[i]);
	}
	if (k->seed) /* it may hold a password's hash */
		(void) unlink(k->seed);
	app_close(k->app);
	mem_wipe(k->tpm_key, sizeof(k->tpm_key));
	json_decref(k->spec);
	strv_free(k->forwards);
	free(k->nvram);
	free(k->tpm);
	free(k->seed);
	free(k->console);
	free(k->dir);
}

/* ---- The process ---------------------------------------------------------------------------- */

struct signals {
	struct cancel *cancel;
	int fd, done_fd;
};

static void *signals_main(void *arg)
{
	struct signals *s = arg;
	struct pollfd p[] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->done_fd, .events = POLLIN}};

	while (poll(p, ARRAY_SIZE(p), -1) < 0 && errno == EINTR)
		;
	if (p[0].revents)
		cancel_set(s->cancel, -ECANCELED);
	return NULL;
}

static void say(int fd, const struct err *err)
{
	auto_json json_t *j = err ? json_pack("{s:i, s:s, s:s*}", "code", err->code, "message",
					      err_str(err), "hint", err->hint)
				  : json_pack("{s:i}", "pid", (int) getpid());
	auto_free char *line = j ? json_compact(j) : NULL;

	if (fd >= 0 && line && write(fd, line, strlen(line)) < 0)
		log_warn("vmkeeper.ready", "errno=%d", errno);
	closep(&fd);
}

static int run(struct keeper *k, const char *data_dir, int ready, int *ret_last)
{
	auto_err struct err err = ERR_INIT;
	int r = begin(k, data_dir, &err);

	say(ready, r < 0 ? &err : NULL);
	if (r == 0)
		r = keep(k, ret_last, &err);
	if (r < 0) {
		log_warn("vmkeeper.failed", "vm=%s error=%s", k->vm_id, err_str(&err));
		if (k->state.path)
			(void) vm_state_set(&k->state,
					    json_pack("{s:s, s:b, s:s}", "state", "stopped",
						      "agent", 0, "reason", err_str(&err)),
					    NULL);
	}
	return r;
}

int vm_keeper_main(const char *data_dir, const char *vm_id)
{
	struct keeper k = {.vm_id = vm_id, .state = {.fd = -1}, .cancel = {.event_fd = -1}};
	const char *env = getenv(ENV_READY);
	int ready = env ? (int) strtol(env, NULL, 10) : -1, last = -1, r;
	int ends[2] = {-1, -1};
	struct signals s = {.cancel = &k.cancel};
	pthread_t thread;
	sigset_t set;

	(void) signal(SIGPIPE, SIG_IGN);
	(void) sigemptyset(&set);
	(void) sigaddset(&set, SIGTERM);
	(void) sigaddset(&set, SIGINT);
	(void) sigaddset(&set, SIGHUP);
	(void) pthread_sigmask(SIG_BLOCK, &set, NULL);
	log_set_level(log_level_from_env());
	if (ready >= 3 && fcntl(ready, F_SETFD, FD_CLOEXEC) < 0)
		return 1;
	r = ready >= 3 ? proc_detach() : 0;
	if (r == 0)
		r = cancel_init(&k.cancel);
	s.fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (r < 0 || s.fd < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return 1;
	s.done_fd = ends[0];
	if (pthread_create(&thread, NULL, signals_main, &s) != 0)
		return 1;
	r = run(&k, data_dir, ready, &last);
	done(&k);
	(void) close(ends[1]);
	(void) pthread_join(thread, NULL);
	/* Whoever asked for the end sees it now, when nothing is held any more. */
	vm_state_done(&k.state);
	closep(&last);
	cancel_done(&k.cancel);
	return r < 0 ? 1 : 0;
}

/* ---- From outside --------------------------------------------------------------------------- */

static int spawn(struct app *a, const char *vm_id, int ready, pid_t *ret_pid, int *ret_pidfd,
		 struct err *err)
{
	auto_free char *dir = vm_dir(a, vm_id),
		       *log_path = dir ? path_join(dir, "keeper.log") : NULL;
	auto_free char *ready_env = strf(ENV_READY "=%d", ready), *xdg = NULL, *plugin = NULL;
	const char *const argv[] = {proc_self_exe(), "vmkeeper", a->data_dir, vm_id, NULL};
	const char *envp[6] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", ready_env};
	struct proc_spec spec = {
		.argv = argv, .envp = envp, .stdin_fd = -1, .keep_fds = &ready, .n_keep_fds = 1};
	auto_fd int log_fd = -1;
	size_t n = 3;

	if (!log_path || !ready_env)
		return no_memory(err);
	if (getenv("XDG_RUNTIME_DIR")) { /* the run directory must be the same */
		xdg = strf("XDG_RUNTIME_DIR=%s", getenv("XDG_RUNTIME_DIR"));
		envp[n++] = xdg;
	}
	if (getenv("KILN_NBD_PLUGIN")) {
		plugin = strf("KILN_NBD_PLUGIN=%s", getenv("KILN_NBD_PLUGIN"));
		envp[n++] = plugin;
	}
	log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (log_fd < 0)
		return err_set(err, -errno, "%s: %s", log_path, strerrordesc_np(errno));
	return proc_spawn(&spec, log_fd, ret_pid, ret_pidfd, err);
}

static int await_ready(int fd, struct cancel *cancel, struct err *err)
{
	auto_buf struct buf line = BUF_INIT(65536);
	int64_t end = time_mono_ns() + (int64_t) START_MS * 1000000;
	auto_json json_t *j = NULL;
	const char *message;
	int r;

	for (;;) {
		struct pollfd p[] = {{.fd = fd, .events = POLLIN},
				     {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
		int64_t left = (end - time_mono_ns()) / 1000000;
		ssize_t n;

		if (left <= 0)
			return err_set(err, -ETIME, "the VM's keeper is not ready after %d s",
				       START_MS / 1000);
		if (poll(p, ARRAY_SIZE(p), (int) left) < 0 && errno != EINTR)
			return err_set(err, -errno, "poll: %s", strerrordesc_np(errno));
		r = cancel_check(cancel);
		if (r < 0)
			return err_set(err, r, "cancelled");
		if (!p[0].revents)
			continue;
		r = buf_reserve(&line, 4096);
		if (r < 0)
			return err_set(err, r, "the keeper's answer is too long");
		n = read(fd, line.data + line.len, 4096);
		if (n <= 0)
			break;
		line.len += (size_t) n;
	}
	if (line.len == 0)
		return err_set(err, -EIO, "the VM's keeper ended before it was ready");
	r = json_parse(line.data, line.len, &j, err);
	message = json_str_at(j, "message");
	if (r == 0 && message) {
		r = err_set(err, (int) json_int_at(j, "code", -EIO), "%s", message);
		if (json_str_at(j, "hint"))
			err_hint(err, "%s", json_str_at(j, "hint"));
	}
	return r;
}

static bool runs(struct app *a, const char *vm_id)
{
	auto_free char *path = vm_run_path(a, vm_id, ".json");
	auto_json json_t *state = path ? vm_state_read(path) : NULL;

	return state && !str_eq(json_str_at(state, "state"), "stopped");
}

/* A keeper that has said "stopped" is about to end: until then its lock is taken. */
static int await_end(struct app *a, const char *vm_id, struct cancel *cancel, struct err *err)
{
	auto_free char *path = vm_run_path(a, vm_id, ".json.lock");
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	int64_t end = time_mono_ns() + (int64_t) START_MS * 1000000;
	int r = path ? 0 : no_memory(err);

	while (r == 0 && file_exists(path)) {
		auto_fd int fd = -1;

		r = lock_file(path, LOCK_EXCLUSIVE | LOCK_NONBLOCK, &fd, NULL);
		if (r != -EAGAIN)
			return r < 0 ? err_set(err, r, "%s: %s", path, strerrordesc_np(-r)) : 0;
		r = time_mono_ns() < end ? cancel_check(cancel) : -ETIME;
		if (r < 0)
			return err_set(err, r, "the VM's last keeper has not ended");
		(void) nanosleep(&pause, NULL);
	}
	return r;
}

int vm_keeper_start(struct app *a, const char *vm_id, struct cancel *cancel, struct err *err)
{
	int ends[2], r, pidfd = -1;
	pid_t pid = -1;

	if (runs(a, vm_id))
		return 0;
	r = await_end(a, vm_id, cancel, err);
	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerrordesc_np(errno));
	r = spawn(a, vm_id, ends[1], &pid, &pidfd, err);
	(void) close(ends[1]);
	if (r == 0)
		r = await_ready(ends[0], cancel, err);
	(void) close(ends[0]);
	/* What was started here has ended when it detached; it only has to be reaped. */
	if (pid > 0)
		(void) proc_stop(pid, pidfd, 1000);
	closep(&pidfd);
	if (r == -ECANCELED || r == -ETIME)
		(void) vm_keeper_stop(a, vm_id, 0, NULL);
	return r;
}

int vm_keeper_stop(struct app *a, const char *vm_id, uint64_t grace_ms, struct err *err)
{
	auto_free char *socket = vm_run_path(a, vm_id, ".sock");
	auto_free char *state = vm_run_path(a, vm_id, ".json");
	auto_free char *lock_path = state ? strf("%s.lock", state) : NULL;
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	int64_t end = time_mono_ns() + (int64_t) START_MS * 1000000;
	auto_fd int lock = -1;
	int r;

	if (!socket || !lock_path)
		return no_memory(err);
	/* Without a socket it is gone (then its lock is free), about to end, or about to listen. */
	do {
		auto_err struct err e = ERR_INIT;

		r = vm_keeper_call(socket, "stop",
				   json_pack("{s:I}", "graceMs", (json_int_t) grace_ms),
				   grace_ms + STOP_MARGIN, NULL, NULL, &e);
		if (r < 0 && r != -ENOTCONN && err)
			err_move(err, &e);
		if (r != -ENOTCONN)
			return r;
		if (!file_exists(lock_path))
			return 0;
		r = lock_file(lock_path, LOCK_EXCLUSIVE | LOCK_NONBLOCK, &lock, NULL);
		if (r != -EAGAIN)
			return r < 0 ? err_set(err, r, "%s: %s", lock_path, strerrordesc_np(-r))
				     : 0;
		(void) nanosleep(&pause, NULL);
	} while (time_mono_ns() < end);
	return err_set(err, -ETIME, "the keeper of VM %s neither listens nor ends", vm_id);
}
