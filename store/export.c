/* SPDX-License-Identifier: Apache-2.0 */
#include "store/export.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/timeutil.h"
#include "base/uids.h"
#include "store/internal.h"

#define START_MS   30000
#define STOP_MS    10000
#define PROFILE_MS 3000
#define REVIVE_MS  500 /* between attempts to start another daemon */
#define PLUGIN_SO  "kiln-nbdkit-plugin.so"
#define LOG_MAX    (1u << 20) /* a longer log is begun anew */

struct nbd_host {
	struct store *store;
	struct store_session *session; /* holds exported disks */
	char *run;                     /* owned */
	char *socket;                  /* owned */
	char *plugin;                  /* owned; NULL = the usual places */
	int users_fd;                  /* shared lock on nbd.users */

	/* Sees to it that a daemon runs; owns what follows while it does. */
	pthread_t keeper;
	bool kept;
	int stop_fd;    /* ends the keeper */
	int revived_fd; /* counts */
	int alive_fd;   /* write end of nbd.alive; -1 = no daemon */
	pid_t pid;      /* set when this process started it */
	int pidfd;
};

struct nbd_export {
	struct nbd_host *host;
	char name[33];
	char *path;    /* owned; RUN/exports/NAME */
	char *root_id; /* owned; of the session root */
	char *profile; /* owned; RUN/exports/NAME.profile; NULL = nothing is recorded */
	struct disk_ref disk;
	unsigned region, flags;
	struct journal_entry *entry, *profile_entry;
};

static void host_free(struct nbd_host *h)
{
	if (!h)
		return;
	store_session_end(h->session);
	closep(&h->alive_fd);
	closep(&h->users_fd);
	closep(&h->pidfd);
	closep(&h->stop_fd);
	closep(&h->revived_fd);
	free(h->run);
	free(h->socket);
	free(h->plugin);
	free(h);
}

static char *run_path(const struct nbd_host *h, const char *name)
{
	return path_join(h->run, name);
}

/* The daemon's read end keeps the FIFO writable; without a reader the open fails. */
static int join(struct nbd_host *h)
{
	auto_free char *fifo = run_path(h, "nbd.alive");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	auto_fd int s = -1;

	if (!fifo)
		return -ENOMEM;
	h->alive_fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (h->alive_fd < 0)
		return -errno;
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return -errno;
	(void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", h->socket);
	if (connect(s, (struct sockaddr *) &sa, sizeof(sa)) < 0) {
		int r = -errno;

		close(h->alive_fd);
		h->alive_fd = -1;
		return r;
	}
	return 0;
}

static int find_plugin(const char *plugin, char **ret, struct err *err)
{
	const char *env = getenv("KILN_NBD_PLUGIN"), *exe = proc_self_exe();
	auto_free char *dir = exe ? path_dirname(exe) : NULL;
	auto_free char *beside = dir ? strf("%s/nbd/" PLUGIN_SO, dir) : NULL;
	auto_free char *same = dir ? strf("%s/" PLUGIN_SO, dir) : NULL;
	const char *installed = KILN_PLUGIN_DIR "/" PLUGIN_SO;
	const char *tries[] = {plugin, plugin ? NULL : env, beside, same, installed};

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		if (!tries[i] || (i < 2 && !*tries[i]))
			continue;
		if (i >= 2 && !file_exists(tries[i]))
			continue;
		*ret = realpath(tries[i], NULL); /* nbdkit takes a name with a slash as a path */
		if (!*ret)
			return err_set(err, -errno, "nbdkit plugin %s: %s", tries[i],
				       strerror(errno));
		return 0;
	}
	(void) err_set(err, -ENOENT, "nbdkit plugin " PLUGIN_SO " not found");
	err_hint(err, "Set KILN_NBD_PLUGIN to its path, or run `make install`.");
	return -ENOENT;
}

/* Last lines of the daemon's log, for the message of a failed start. */
static void log_tail(const char *path, struct err *err, int code)
{
	auto_buf struct buf b = BUF_INIT(LOG_MAX * 2);
	const char *text;

	if (file_read_all(path, &b, NULL) < 0)
		return;
	text = buf_str(&b);
	if (b.len > 1000)
		text += b.len - 1000;
	(void) err_set(err, code, "nbdkit did not start: %s", text);
}

/* Waits for @pidfile to appear, or for the process to end. */
static int wait_ready(const struct nbd_host *h, const char *pidfile, int watch_fd, struct err *err)
{
	int64_t end = time_mono_ns() + (int64_t) START_MS * 1000000;

	while (!file_exists(pidfile)) {
		struct pollfd p[2] = {{.fd = watch_fd, .events = POLLIN},
				      {.fd = h->pidfd, .events = POLLIN}};
		int64_t left = (end - time_mono_ns()) / 1000000;
		char drain[4096];

		if (left <= 0)
			return err_set(err, -ETIMEDOUT, "nbdkit was not ready after %d s",
				       START_MS / 1000);
		if (poll(p, 2, (int) left) < 0 && errno != EINTR)
			return err_set(err, -errno, "poll: %s", strerror(errno));
		if (p[1].revents)
			return err_set(err, -EIO, "nbdkit ended at its start");
		if (p[0].revents && read(watch_fd, drain, sizeof(drain)) < 0 && errno != EAGAIN)
			return err_set(err, -errno, "inotify: %s", strerror(errno));
	}
	return 0;
}

/* nbdkit's arguments: fixed ones, then region= and key= for each region. One thread for each
 * connection: with more, nbdkit 1.32 aborts when a client goes away while two of them have an
 * answer for it, and one guest's end would take the disks of all others with it. Chunks are still
 * decoded in parallel, by the threads that read ahead and by other connections. */
static char **make_argv(const struct nbd_host *h, const char *nbdkit, const char *plugin,
			const char *pidfile)
{
	const struct store *s = h->store;
	const char *fixed[] = {nbdkit,    "-f", "-r",    "--threads=1", "-U",
			       h->socket, "-P", pidfile, plugin};
	struct cache_stats cs;
	char **argv = NULL;
	int r = 0;

	cache_stats_get(s->cache, &cs);
	for (size_t i = 0; i < ARRAY_SIZE(fixed) && r == 0; i++)
		r = strv_push(&argv, fixed[i]);
	for (size_t i = 0; i < s->n_regions + 4 && r == 0; i++) {
		auto_free char *a = NULL;

		if (i == 0)
			a = strf("run=%s", h->run);
		else if (i == 1)
			a = strf("dir=%s", s->dir);
		else if (i == 2)
			a = strf("cache=%llu", (unsigned long long) cs.max_bytes);
		else if (i == 3)
			a = strf("uid=%u-%u", GUEST_UID_FIRST, GUEST_UID_LAST);
		else
			a = strf("region=%s=%s", region_name_of(s, (unsigned) i - 4),
				 s->regions[i - 4].url);
		r = a ? strv_push(&argv, a) : -ENOMEM;
	}
	for (size_t i = 0; i < s->n_regions && r == 0; i++) {
		const struct store_region *g = &s->regions[i];
		auto_free char *a = NULL;

		if (!g->key_source)
			continue;
		a = strf("key=%s=%s", g->region->name, g->key_source);
		r = a ? strv_push(&argv, a) : -ENOMEM;
	}
	if (r < 0) {
		strv_free(argv);
		return NULL;
	}
	return argv;
}

static int open_log(const char *path, struct err *err)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) == 0 && st.st_size > (off_t) LOG_MAX && ftruncate(fd, 0) < 0)
		log_debug("nbd.log", "truncate errno=%d", errno);
	return fd;
}

/* The FIFO, made anew, open at both ends; the read end is a stand-in until the daemon has it. */
static int open_fifo(struct nbd_host *h, int *ret_read, struct err *err)
{
	auto_free char *fifo = run_path(h, "nbd.alive");
	auto_fd int rd = -1;

	if (!fifo)
		return err_set(err, -ENOMEM, "out of memory");
	(void) unlink(fifo);
	if (mkfifo(fifo, 0600) < 0)
		return err_set(err, -errno, "%s: %s", fifo, strerror(errno));
	rd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (rd >= 0)
		h->alive_fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (rd < 0 || h->alive_fd < 0)
		return err_set(err, -errno, "%s: %s", fifo, strerror(errno));
	*ret_read = take_fd(rd);
	return 0;
}

/* With nbd.lock held and no daemon there. */
static int start(struct nbd_host *h, struct err *err)
{
	auto_free char *pidfile = run_path(h, "nbd.pid"), *log = run_path(h, "nbd.log");
	auto_free char *so = NULL, *nbdkit = NULL;
	auto_strv char **argv = NULL;
	auto_fd int rd = -1, watch = -1, log_fd = -1;
	struct proc_spec ps = {0};
	int r;

	if (!pidfile || !log)
		return err_set(err, -ENOMEM, "out of memory");
	r = find_plugin(h->plugin, &so, err);
	if (r >= 0)
		r = proc_find("nbdkit", "nbdkit", &nbdkit, err);
	if (r < 0)
		return r;
	argv = make_argv(h, nbdkit, so, pidfile);
	if (!argv)
		return err_set(err, -ENOMEM, "out of memory");
	(void) unlink(pidfile);
	(void) unlink(h->socket);
	r = open_fifo(h, &rd, err);
	if (r < 0)
		return r;
	log_fd = open_log(log, err);
	if (log_fd < 0)
		return log_fd;
	watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch < 0 || inotify_add_watch(watch, h->run, IN_CREATE | IN_MOVED_TO) < 0)
		return err_set(err, -errno, "inotify: %s", strerror(errno));
	ps.argv = (const char *const *) argv;
	r = proc_spawn(&ps, log_fd, &h->pid, &h->pidfd, err);
	if (r < 0)
		return r;
	r = wait_ready(h, pidfile, watch, err);
	/* Guests have uids of their own: the plugin looks at who connects, and names are secrets.
	 */
	if (r == 0 && chmod(h->socket, 0666) < 0)
		r = err_set(err, -errno, "chmod %s: %s", h->socket, strerror(errno));
	if (r < 0) {
		log_tail(log, err, r);
		(void) proc_stop(h->pid, h->pidfd, 1000);
		h->pid = 0;
	}
	return r;
}

static int host_new(struct store *s, const char *run_dir, const char *plugin, struct nbd_host **ret,
		    struct err *err)
{
	auto_free char *exports = NULL;
	struct nbd_host *h;
	int r;

	r = file_mkdir_p(run_dir, 0750, err);
	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	h->store = s;
	h->users_fd = h->alive_fd = h->pidfd = h->stop_fd = h->revived_fd = -1;
	h->plugin = plugin ? strdup(plugin) : NULL;
	h->run = realpath(run_dir, NULL);
	h->socket = h->run ? run_path(h, "nbd.sock") : NULL;
	exports = h->run ? run_path(h, "exports") : NULL;
	if (!h->socket || !exports || (plugin && !h->plugin))
		r = err_set(err, -ENOMEM, "out of memory");
	else if (strlen(h->socket) >= sizeof(((struct sockaddr_un *) 0)->sun_path))
		r = err_set(err, -ENAMETOOLONG,
			    "socket path %s is over 107 bytes: choose a "
			    "shorter run directory",
			    h->socket);
	if (r >= 0)
		r = file_mkdir_p(exports, 0750, err);
	if (r < 0) {
		host_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

/* The daemon is gone. Its exports and its socket's path stay: join the daemon that another user
 * started meanwhile, or start one, so that clients that wait connect anew. */
static void revive(struct nbd_host *h)
{
	auto_free char *lock = run_path(h, "nbd.lock");
	auto_err struct err err = ERR_INIT;
	auto_fd int lock_fd = -1;
	uint64_t one = 1;
	siginfo_t si;
	int r = lock ? lock_file(lock, LOCK_EXCLUSIVE, &lock_fd, &err) : -ENOMEM;

	if (r < 0)
		return;
	closep(&h->alive_fd);
	h->alive_fd = -1;
	if (h->pidfd >= 0) {
		(void) waitid(P_PIDFD, (id_t) h->pidfd, &si, WEXITED | WNOHANG);
		closep(&h->pidfd);
		h->pidfd = -1;
		h->pid = 0;
	}
	r = join(h) < 0 ? start(h, &err) : 0;
	if (r >= 0) {
		(void) !write(h->revived_fd, &one, sizeof(one));
		return;
	}
	closep(&h->alive_fd); /* of a start that failed half-way */
	h->alive_fd = -1;
	log_debug("nbd.revive", "error=%s", err_str(&err));
}

/* The FIFO tells its writers when the last reader, the daemon, is gone, whoever started it. */
static void *keeper_main(void *arg)
{
	struct nbd_host *h = arg;
	int64_t next_ns = 0;

	for (;;) {
		struct pollfd p[2] = {{.fd = h->stop_fd, .events = POLLIN}, {.fd = h->alive_fd}};
		int64_t wait = (next_ns - time_mono_ns()) / 1000000;
		bool gone;

		/* A daemon that cannot live is not started over and over. */
		if (wait > 0)
			p[1].fd = -1;
		if (poll(p, 2,
			 wait > 0          ? (int) wait
			 : h->alive_fd < 0 ? 0
					   : -1) < 0 &&
		    errno != EINTR)
			return NULL;
		if (p[0].revents)
			return NULL;
		gone = h->alive_fd < 0 || (p[1].revents & (POLLERR | POLLHUP));
		if (wait > 0 || !gone)
			continue;
		revive(h);
		next_ns = time_mono_ns() + (int64_t) REVIVE_MS * 1000000;
	}
}

static int keep(struct nbd_host *h, struct err *err)
{
	int r;

	h->stop_fd = eventfd(0, EFD_CLOEXEC);
	h->revived_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->stop_fd < 0 || h->revived_fd < 0)
		return err_set(err, -errno, "eventfd: %s", strerror(errno));
	r = pthread_create(&h->keeper, NULL, keeper_main, h);
	if (r != 0)
		return err_set(err, -r, "cannot start a thread: %s", strerror(r));
	h->kept = true;
	return 0;
}

static void keep_end(struct nbd_host *h)
{
	uint64_t one = 1;

	if (!h->kept)
		return;
	(void) !write(h->stop_fd, &one, sizeof(one));
	(void) pthread_join(h->keeper, NULL);
	h->kept = false;
}

int nbd_host_acquire(struct store *s, const char *run_dir, const char *plugin,
		     struct nbd_host **ret, struct err *err)
{
	auto_free char *lock = NULL, *users = NULL;
	auto_fd int lock_fd = -1;
	struct nbd_host *h = NULL;
	int r = host_new(s, run_dir, plugin, &h, err);

	if (r < 0)
		return err_ctx(err, r, "nbd server");
	lock = run_path(h, "nbd.lock");
	users = run_path(h, "nbd.users");
	if (!lock || !users)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r >= 0)
		r = store_session_begin(s, "exports", &h->session, err);
	/* In this order: a last user that waits for the daemon's end keeps the second from us, and
	 * the daemon needs the first to end. */
	if (r >= 0)
		r = lock_file(users, LOCK_SHARED, &h->users_fd, err);
	if (r >= 0)
		r = lock_file(lock, LOCK_EXCLUSIVE, &lock_fd, err);
	if (r >= 0 && join(h) < 0)
		r = start(h, err);
	if (r >= 0)
		r = keep(h, err);
	if (r < 0) {
		host_free(h);
		return err_ctx(err, r, "nbd server");
	}
	*ret = h;
	return 0;
}

/* Is nobody else holding nbd.users? */
static bool last_user(const struct nbd_host *h)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(h->users_fd, F_OFD_SETLK, &fl) == 0;
}

/* The daemon ends by itself when the FIFO has no writer; a client that stays connected keeps it
 * alive, then it is left to that client. */
static void await_end(struct nbd_host *h)
{
	int64_t end = time_mono_ns() + (int64_t) STOP_MS * 1000000;
	auto_free char *pidfile = run_path(h, "nbd.pid");
	auto_fd int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	siginfo_t si;

	if (h->pidfd >= 0) {
		struct pollfd p = {.fd = h->pidfd, .events = POLLIN};

		while (poll(&p, 1, STOP_MS) < 0 && errno == EINTR)
			;
		if (p.revents)
			(void) waitid(P_PIDFD, (id_t) h->pidfd, &si, WEXITED | WNOHANG);
		return;
	}
	/* Another process started it: it removes its pid file at its end. */
	if (!pidfile || watch < 0 || inotify_add_watch(watch, h->run, IN_DELETE) < 0)
		return;
	while (file_exists(pidfile)) {
		struct pollfd p = {.fd = watch, .events = POLLIN};
		int64_t left = (end - time_mono_ns()) / 1000000;
		char drain[4096];

		if (left <= 0 || (poll(&p, 1, (int) left) > 0 &&
				  read(watch, drain, sizeof(drain)) < 0 && errno != EAGAIN))
			return;
	}
}

void nbd_host_release(struct nbd_host *h)
{
	bool last;

	if (!h)
		return;
	keep_end(h);
	last = last_user(h);
	closep(&h->alive_fd);
	h->alive_fd = -1;
	if (last)
		await_end(h);
	host_free(h);
}

int nbd_host_fd(const struct nbd_host *h)
{
	return h->revived_fd;
}

uint64_t nbd_host_revived(struct nbd_host *h)
{
	uint64_t n;

	return read(h->revived_fd, &n, sizeof(n)) == (ssize_t) sizeof(n) ? n : 0;
}

const char *nbd_host_socket(const struct nbd_host *h)
{
	return h->socket;
}

/* {"disk":{..},"name":"..","play":bool,"record":bool,"regions":["preferred","other",..]} */
static char *export_text(const struct nbd_export *e, const struct disk_ref *disk)
{
	const struct store *s = e->host->store;
	auto_json json_t *j =
		json_pack("{s:o*, s:[], s:s, s:b, s:b}", "disk", disk_ref_to_json(disk), "regions",
			  "name", e->name, "record", !!(e->flags & NBD_EXPORT_RECORD), "play",
			  !!(e->flags & NBD_EXPORT_PLAY));
	json_t *regions = json_object_get(j, "regions");

	if (!regions || !json_object_get(j, "disk"))
		return NULL;
	for (size_t i = 0; i < s->n_regions; i++) {
		unsigned g = (unsigned) ((e->region + i) % s->n_regions);

		if (json_array_append_new(regions, json_string(region_name_of(s, g))) < 0)
			return NULL;
	}
	return json_compact(j);
}

static int hold_disk(struct nbd_export *e, const struct disk_ref *disk, struct err *err)
{
	struct root_row row = {
		.region = region_name_of(e->host->store, e->region),
		.kind = "session",
		.id = e->root_id,
		.root = disk->root,
		.digest = disk->digest,
		.size_bytes = disk->size_bytes,
	};

	if (digest_is_zero(&disk->root))
		return 0;
	return packs_root_hold(e->host->store->meta, &e->host->session->key, &row, err);
}

static int export_make(struct nbd_export *e, const struct disk_ref *disk, struct err *err)
{
	struct journal *j = e->host->store->journal;
	auto_free char *text = NULL;
	int r = tmp_name(e->name);

	if (r < 0)
		return err_set(err, r, "no random name");
	e->path = strf("%s/exports/%s", e->host->run, e->name);
	e->root_id = strf("%s/%s", e->host->session->key.id, e->name);
	text = export_text(e, disk);
	if (e->flags & NBD_EXPORT_RECORD)
		e->profile = strf("%s.profile", e->path ? e->path : "");
	if (!e->path || !e->root_id || !text || (e->flags & NBD_EXPORT_RECORD && !e->profile))
		return err_set(err, -ENOMEM, "out of memory");
	r = session_renew(e->host->session, err);
	if (r >= 0)
		r = hold_disk(e, disk, err);
	if (r >= 0 && j)
		r = journal_add(j, "file", json_pack("{s:s}", "path", e->path), &e->entry, err);
	if (r >= 0 && j && e->profile)
		r = journal_add(j, "file", json_pack("{s:s}", "path", e->profile),
				&e->profile_entry, err);
	if (r >= 0)
		r = file_write_atomic(e->path, text, strlen(text), 0640, err);
	return r;
}

int nbd_export_new(struct nbd_host *h, unsigned region, const struct disk_ref *disk,
		   struct nbd_export **ret, struct err *err)
{
	return nbd_export_new_with(h, region, disk, 0, ret, err);
}

int nbd_export_new_with(struct nbd_host *h, unsigned region, const struct disk_ref *disk,
			unsigned flags, struct nbd_export **ret, struct err *err)
{
	struct nbd_export *e;
	int r = store_region_check(h->store, region, err);

	if (r < 0)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e)
		return err_set(err, -ENOMEM, "out of memory");
	e->host = h;
	e->region = region;
	e->disk = *disk;
	e->flags = flags;
	r = export_make(e, disk, err);
	if (r < 0) {
		nbd_export_free(e);
		return err_ctx(err, r, "export");
	}
	*ret = e;
	return 0;
}

uint64_t nbd_export_bytes(const struct nbd_export *e)
{
	auto_free char *path = run_path(e->host, "nbd.stats");
	auto_json json_t *j = NULL;
	char key[NBD_STATS_NAME + 1];

	(void) snprintf(key, sizeof(key), "%.*s", NBD_STATS_NAME, e->name);
	if (!path || json_read_file(path, &j, NULL) < 0)
		return 0;
	return (uint64_t) json_int_at(json_object_get(j, "exports"), key, 0);
}

const char *nbd_export_name(const struct nbd_export *e)
{
	return e->name;
}

/* What the daemon recorded so far. "open" is false once the last client is gone. 0 or -errno. */
static int read_profile(const struct nbd_export *e, json_t **ret, bool *ret_open)
{
	auto_json json_t *j = NULL;
	int r = file_exists(e->profile) ? json_read_file(e->profile, &j, NULL) : -ENOENT;

	if (r < 0)
		return r;
	*ret_open = json_bool_at(j, "open", false);
	json_decref(*ret);
	*ret = json_incref(json_object_get(j, "runs"));
	return *ret ? 0 : -EBADMSG;
}

/* The daemon writes the file when clients go, which it may be about to do. */
static void keep_profile(struct nbd_export *e)
{
	int64_t end = time_mono_ns() + (int64_t) PROFILE_MS * 1000000;
	auto_free char *dir = path_join(e->host->run, "exports");
	auto_fd int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	auto_err struct err err = ERR_INIT;
	auto_json json_t *runs = NULL;
	bool open = false;
	int r;

	if (!dir || watch < 0 || inotify_add_watch(watch, dir, IN_MOVED_TO) < 0)
		return;
	while ((r = read_profile(e, &runs, &open)) >= 0 && open) {
		struct pollfd p = {.fd = watch, .events = POLLIN};
		int64_t left = (end - time_mono_ns()) / 1000000;
		char drain[4096];

		if (left <= 0 || (poll(&p, 1, (int) left) > 0 &&
				  read(watch, drain, sizeof(drain)) < 0 && errno != EAGAIN))
			break; /* a client stays: what it read so far */
	}
	if (r >= 0 && json_array_size(runs) > 0 &&
	    store_profile_put(e->host->store, e->region, &e->disk, runs, &err) < 0)
		log_debug("nbd.profile", "error=%s", err_str(&err));
}

void nbd_export_free(struct nbd_export *e)
{
	struct store *s;

	if (!e)
		return;
	s = e->host->store;
	if (e->profile) {
		keep_profile(e);
		(void) unlink(e->profile);
	}
	if (e->path)
		(void) unlink(e->path);
	if (e->root_id)
		(void) packs_root_remove(s->meta, region_name_of(s, e->region), "session",
					 e->root_id, NULL);
	journal_drop(e->entry);
	journal_drop(e->profile_entry);
	free(e->profile);
	free(e->path);
	free(e->root_id);
	free(e);
}
