/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nbdkit plugin: any disk of any region as a read-only block device. An export's name is a
 * capability: 32 hex digits that name a file RUN/exports/NAME; the empty name is
 * RUN/exports/default, which only `kiln store serve` makes. There is no listing. Reads are verified
 * and cached by store/. When a client goes, RUN/nbd.stats says what was read so far.
 *
 * Parameters: run=DIR dir=STORE-DIR region=NAME=URL (one or more) [key=NAME=SOURCE] [cache=BYTES]
 * [uid=N[-M]].
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/eventfd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "store/export.h"
#include "store/store.h"

#define THREAD_MODEL   NBDKIT_THREAD_MODEL_PARALLEL
#define NAME_CHARS     32
#define REGIONS_MAX    64
#define UIDS_MAX       16
#define PREFERRED      65536u
#define REQUEST_MAX    (32u << 20)
#define RECORD_BYTES   (UINT64_C(1) << 30) /* a profile is of what is read first */
#define RECORD_SECONDS 600u

/* The plugin's one configuration struct. */
static struct plugin {
	char *run, *dir;
	struct store_region_config regions[REGIONS_MAX];
	size_t n_regions;
	uint64_t cache_bytes;
	struct {
		uint64_t first, last;
	} uids[UIDS_MAX]; /* besides root and our own */
	size_t n_uids;
	struct store *store;

	/* The watch on nbd.alive: without users and clients the daemon ends. */
	pthread_t watch;
	bool watching;
	int alive_fd, wake_fd;
	int lock_fd;          /* held from the decision to end until the process is gone */
	pthread_mutex_t lock; /* guards what follows */
	unsigned clients;
	bool quit;
	struct shared *shared;

	pthread_mutex_t stats_lock; /* one writer of nbd.stats at a time */
	atomic_uint_fast64_t connections, reads, read_bytes, failed_reads;
} self = {.alive_fd = -1,
	  .wake_fd = -1,
	  .lock_fd = -1,
	  .lock = PTHREAD_MUTEX_INITIALIZER,
	  .stats_lock = PTHREAD_MUTEX_INITIALIZER};

/* What the connections of one export share. */
struct shared {
	struct shared *next;
	char name[NAME_CHARS + 1];
	unsigned refs;
	struct store_recorder *recorder;
	struct store_player *player;
	atomic_uint_fast64_t read_bytes;
};

struct handle {
	struct store_reader *reader;
	struct shared *shared; /* NULL for "default", and when memory ran out */
	uint64_t size;
};

static int parse_number(const char *key, const char *value, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(value, &end, 10);
	if (errno || *end || end == value || *value == '-') {
		nbdkit_error("%s=%s: a number expected", key, value);
		return -1;
	}
	return 0;
}

static int config_region(const char *value)
{
	const char *eq = strchr(value, '=');
	struct store_region_config *g = &self.regions[self.n_regions];

	if (!eq || eq == value || !eq[1] || self.n_regions == REGIONS_MAX) {
		nbdkit_error("region=%s: NAME=URL expected, at most %u times", value, REGIONS_MAX);
		return -1;
	}
	g->name = strndup(value, (size_t) (eq - value));
	g->url = strdup(eq + 1);
	if (!g->name || !g->url) {
		nbdkit_error("out of memory");
		return -1;
	}
	self.n_regions++;
	return 0;
}

/* NAME=SOURCE, of a region that was given before */
static int config_key(const char *value)
{
	const char *eq = strchr(value, '=');

	for (size_t i = 0; eq && i < self.n_regions; i++) {
		struct store_region_config *g = &self.regions[i];

		if (strlen(g->name) != (size_t) (eq - value) ||
		    memcmp(g->name, value, (size_t) (eq - value)) != 0)
			continue;
		free((void *) (uintptr_t) g->key);
		g->key = strdup(eq + 1);
		if (!g->key)
			nbdkit_error("out of memory");
		return g->key ? 0 : -1;
	}
	nbdkit_error("key: NAME=SOURCE of a region given before expected");
	return -1;
}

static int config_path(const char *key, const char *value, char **dst)
{
	free(*dst);
	*dst = nbdkit_absolute_path(value);
	return *dst ? 0 : -1;
}

/* "N" or "N-M" */
static int config_uids(const char *value)
{
	const char *dash = strchr(value, '-');
	auto_free char *low = dash ? strndup(value, (size_t) (dash - value)) : strdup(value);
	uint64_t first, last;

	if (!low) {
		nbdkit_error("out of memory");
		return -1;
	}
	if (parse_number("uid", low, &first) < 0 ||
	    parse_number("uid", dash ? dash + 1 : low, &last) < 0)
		return -1;
	if (self.n_uids == UIDS_MAX || last > UINT32_MAX || first > last) {
		nbdkit_error("uid=%s: too many, too big, or no range", value);
		return -1;
	}
	self.uids[self.n_uids].first = first;
	self.uids[self.n_uids++].last = last;
	return 0;
}

static int kiln_config(const char *key, const char *value)
{
	if (strcmp(key, "run") == 0)
		return config_path(key, value, &self.run);
	if (strcmp(key, "dir") == 0)
		return config_path(key, value, &self.dir);
	if (strcmp(key, "region") == 0)
		return config_region(value);
	if (strcmp(key, "cache") == 0)
		return parse_number(key, value, &self.cache_bytes);
	if (strcmp(key, "uid") == 0)
		return config_uids(value);
	if (strcmp(key, "key") == 0)
		return config_key(value);
	nbdkit_error("unknown parameter \"%s\"", key);
	return -1;
}

static int kiln_config_complete(void)
{
	if (self.run && self.dir && self.n_regions > 0)
		return 0;
	nbdkit_error("run=DIR, dir=DIR and region=NAME=URL are required");
	return -1;
}

static bool watch_step(struct pollfd p[2]);

/* Waits for the last user to go. Ends the daemon, unless clients are still connected. */
static void *watch_main(void *arg)
{
	struct pollfd p[2] = {{.fd = self.alive_fd}, {.fd = self.wake_fd, .events = POLLIN}};

	(void) arg;
	while (watch_step(p))
		;
	return NULL;
}

static unsigned clients_or_quit(bool *ret_quit)
{
	unsigned n;

	pthread_mutex_lock(&self.lock);
	n = self.clients;
	*ret_quit = self.quit;
	pthread_mutex_unlock(&self.lock);
	return n;
}

static bool no_users(void)
{
	struct pollfd p = {.fd = self.alive_fd};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

/* One round; false when the watch is over. */
static bool watch_step(struct pollfd p[2])
{
	auto_free char *lock = path_join(self.run, "nbd.lock");
	auto_free char *pid = path_join(self.run, "nbd.pid");
	auto_free char *sock = path_join(self.run, "nbd.sock");
	auto_fd int fd = -1;
	uint64_t drain;
	bool quit;

	if (!lock || !pid || !sock || (poll(p, 2, -1) < 0 && errno != EINTR))
		return false;
	if (p[1].revents & POLLIN)
		(void) !read(self.wake_fd, &drain, sizeof(drain));
	if (clients_or_quit(&quit) > 0 && no_users()) {
		p[0].fd = -1; /* a lasting hang-up would spin: wait for a client to go */
		return !quit;
	}
	p[0].fd = self.alive_fd;
	if (quit)
		return false;
	if (!no_users())
		return true;
	/* Nobody can join while the lock is held; look again under it. */
	if (lock_file(lock, LOCK_EXCLUSIVE, &fd, NULL) < 0)
		return false;
	if (!no_users() || clients_or_quit(&quit) > 0)
		return true;
	(void) unlink(sock);
	(void) unlink(pid);
	self.lock_fd = take_fd(fd);
	nbdkit_shutdown();
	return false;
}

/* Before nbdkit says that it is ready: from then on the FIFO's writers take its having no reader
 * for the daemon's end. */
static int kiln_get_ready(void)
{
	auto_free char *fifo = path_join(self.run, "nbd.alive");
	auto_fd int w = -1;

	if (!fifo) {
		nbdkit_error("out of memory");
		return -1;
	}
	self.alive_fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (self.alive_fd < 0 && errno == ENOENT)
		return 0; /* run by hand: lives until it is told to end */
	/* A writer that was and went makes the hang-up visible even if the starter died. */
	if (self.alive_fd >= 0)
		w = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (self.alive_fd < 0 || w < 0 || self.wake_fd < 0) {
		nbdkit_error("%s: %s", fifo, strerror(errno));
		return -1;
	}
	return 0;
}

static int watch_start(void)
{
	if (self.alive_fd < 0)
		return 0;
	if (pthread_create(&self.watch, NULL, watch_main, NULL) != 0) {
		nbdkit_error("cannot start a thread");
		return -1;
	}
	self.watching = true;
	return 0;
}

/* After the fork, because LMDB environments and threads do not survive one. */
static int kiln_after_fork(void)
{
	auto_err struct err e = ERR_INIT;
	struct store_config c = {
		.dir = self.dir,
		.regions = self.regions,
		.n_regions = self.n_regions,
		.cache_bytes = self.cache_bytes,
		.read_only = true,
	};

	/* nbdkit 1.32 of Debian ends with its parent whether asked to or not; this one serves
	 * whoever comes, for as long as the watch says. This is the thread that asked for it. */
	(void) prctl(PR_SET_PDEATHSIG, 0);
	if (store_open(&c, &self.store, &e) < 0) {
		nbdkit_error("%s", err_str(&e));
		return -1;
	}
	return watch_start();
}

static void wake(bool quit)
{
	uint64_t one = 1;

	pthread_mutex_lock(&self.lock);
	self.quit = self.quit || quit;
	pthread_mutex_unlock(&self.lock);
	if (self.wake_fd >= 0)
		(void) !write(self.wake_fd, &one, sizeof(one));
}

static void kiln_cleanup(void)
{
	wake(true);
	if (self.watching)
		(void) pthread_join(self.watch, NULL);
	self.watching = false;
}

static void kiln_unload(void)
{
	store_close(self.store);
	for (size_t i = 0; i < self.n_regions; i++) {
		free((void *) (uintptr_t) self.regions[i].name);
		free((void *) (uintptr_t) self.regions[i].url);
		free((void *) (uintptr_t) self.regions[i].key);
	}
	free(self.run);
	free(self.dir);
}

static int kiln_preconnect(int readonly)
{
	int64_t uid = nbdkit_peer_uid();
	bool ok = uid == 0 || uid == (int64_t) getuid();

	for (size_t i = 0; i < self.n_uids && !ok; i++)
		ok = uid >= (int64_t) self.uids[i].first && uid <= (int64_t) self.uids[i].last;
	if (!ok)
		nbdkit_error("client with uid %lld refused", (long long) uid);
	return ok ? 0 : -1;
}

/* Exports are never listed: a name is a secret. */
static int kiln_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
	return 0;
}

static const char *kiln_default_export(int readonly, int is_tls)
{
	return "";
}

/* The preferred region that this daemon knows. */
static int choose_region(const json_t *regions)
{
	const json_t *v;
	size_t i;

	json_array_foreach(regions, i, v)
	{
		const char *name = json_string_value(v);
		int r = name ? store_region_index(self.store, name, NULL) : -1;

		if (r >= 0)
			return r;
	}
	return -1;
}

/* RUN/exports/NAME.profile, for who made the export. */
static void write_profile(const struct shared *s, bool open)
{
	auto_free char *path = strf("%s/exports/%s.profile", self.run, s->name);
	auto_json json_t *j = NULL;
	auto_free char *text = NULL;
	auto_err struct err e = ERR_INIT;

	if (!s->recorder)
		return;
	j = json_pack("{s:b, s:o*}", "open", open, "runs", store_recorder_runs(s->recorder));
	text = j ? json_compact(j) : NULL;
	if (path && text && file_write_atomic(path, text, strlen(text), 0640, &e) < 0)
		nbdkit_debug("%s", err_str(&e));
}

/* With the lock held. Profiles are nobody's reason to fail: NULL is no error. */
static struct shared *shared_take(const char *name, const json_t *j, unsigned region,
				  const struct disk_ref *disk)
{
	auto_json json_t *runs = NULL;
	struct shared *s;

	for (s = self.shared; s; s = s->next) {
		if (strcmp(s->name, name) == 0) {
			s->refs++;
			return s;
		}
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->refs = 1;
	(void) snprintf(s->name, sizeof(s->name), "%s", name);
	if (json_bool_at(j, "record", false))
		(void) store_recorder_new(RECORD_BYTES, RECORD_SECONDS, &s->recorder);
	if (json_bool_at(j, "play", false) &&
	    store_profile_get(self.store, region, disk, &runs, NULL) >= 0)
		(void) store_player_new(self.store, region, disk, runs, &s->player, NULL);
	s->next = self.shared;
	self.shared = s;
	write_profile(s, true);
	return s;
}

/* With the lock held; the reader is closed. */
static void shared_give(struct shared *s)
{
	if (!s || --s->refs > 0)
		return;
	for (struct shared **p = &self.shared; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
	write_profile(s, false);
	store_recorder_free(s->recorder);
	store_player_free(s->player);
	free(s);
}

static int open_export(const char *name, struct handle *h, struct err *err)
{
	auto_free char *path = strf("%s/exports/%s", self.run, name);
	auto_json json_t *j = NULL;
	struct disk_ref disk;
	int region, r;

	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	r = json_read_file(path, &j, err);
	if (r < 0)
		return r;
	r = disk_ref_from_json(json_object_get(j, "disk"), &disk, err);
	if (r < 0)
		return r;
	region = choose_region(json_object_get(j, "regions"));
	if (region < 0)
		return err_set(err, -ENOENT, "none of its regions is known here");
	h->size = disk.size_bytes;
	r = store_reader_open(self.store, (unsigned) region, &disk, &h->reader, err);
	name = json_str_at(j, "name"); /* that of "default" too */
	if (r < 0 || !name || strlen(name) != NAME_CHARS ||
	    strspn(name, "0123456789abcdef") != NAME_CHARS)
		return r;
	pthread_mutex_lock(&self.lock);
	h->shared = shared_take(name, j, (unsigned) region, &disk);
	pthread_mutex_unlock(&self.lock);
	if (h->shared && (h->shared->recorder || h->shared->player))
		store_reader_attach(h->reader, h->shared->recorder, h->shared->player);
	return 0;
}

static void *kiln_open(int readonly)
{
	const char *name = nbdkit_export_name();
	auto_err struct err e = ERR_INIT;
	struct handle *h;

	/* Only a run directory made for one disk has exports/default. */
	if (name && !*name)
		name = "default";
	else if (!name || strlen(name) != NAME_CHARS ||
		 strspn(name, "0123456789abcdef") != NAME_CHARS) {
		nbdkit_error("no such export");
		return NULL;
	}
	h = calloc(1, sizeof(*h));
	if (!h) {
		nbdkit_error("out of memory");
		return NULL;
	}
	if (open_export(name, h, &e) < 0) {
		/* Names are capabilities: only their beginning is logged. */
		nbdkit_error("export %.6s...: %s", name, err_str(&e));
		free(h);
		return NULL;
	}
	atomic_fetch_add(&self.connections, 1);
	pthread_mutex_lock(&self.lock);
	self.clients++;
	pthread_mutex_unlock(&self.lock);
	return h;
}

/* {"0123456789ab": bytes} of the exports that have clients. */
static json_t *export_stats(void)
{
	json_t *j = json_object();

	pthread_mutex_lock(&self.lock);
	for (const struct shared *s = self.shared; j && s; s = s->next) {
		char key[NBD_STATS_NAME + 1];

		(void) snprintf(key, sizeof(key), "%.*s", NBD_STATS_NAME, s->name);
		(void) json_object_set_new(j, key,
					   json_integer((json_int_t) atomic_load(&s->read_bytes)));
	}
	pthread_mutex_unlock(&self.lock);
	return j;
}

static json_t *stats_json(void)
{
	struct store_read_stats st;

	store_read_stats_get(self.store, &st);
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "exports",
			 export_stats(), "connections", (json_int_t) atomic_load(&self.connections),
			 "reads", (json_int_t) atomic_load(&self.reads), "readBytes",
			 (json_int_t) atomic_load(&self.read_bytes), "failedReads",
			 (json_int_t) atomic_load(&self.failed_reads), "cacheHits",
			 (json_int_t) st.cache_hits, "cacheMisses", (json_int_t) st.cache_misses,
			 "cacheBytes", (json_int_t) st.cache_bytes, "cacheMaxBytes",
			 (json_int_t) st.cache_max_bytes, "readAheadChunks",
			 (json_int_t) st.ahead_chunks, "playedChunks",
			 (json_int_t) st.played_chunks);
}

/* Statistics are nobody's reason to fail. */
static void write_stats(void)
{
	auto_free char *path = path_join(self.run, "nbd.stats");
	auto_json json_t *j = NULL;
	auto_free char *text = NULL;
	auto_err struct err e = ERR_INIT;

	pthread_mutex_lock(&self.stats_lock);
	j = stats_json();
	text = j ? json_pretty(j) : NULL;
	if (path && text && file_write_atomic(path, text, strlen(text), 0640, &e) < 0)
		nbdkit_debug("%s", err_str(&e));
	pthread_mutex_unlock(&self.stats_lock);
}

/* The statistics follow in steps of a MiB. */
static void count_read(struct handle *h, uint32_t count)
{
	uint64_t before;

	if (!h->shared)
		return;
	before = atomic_fetch_add(&h->shared->read_bytes, count);
	if (before >> 20 != (before + count) >> 20)
		write_stats();
}

static void kiln_close(void *handle)
{
	struct handle *h = handle;

	store_reader_close(h->reader);
	write_stats();
	pthread_mutex_lock(&self.lock);
	shared_give(h->shared);
	self.clients--;
	pthread_mutex_unlock(&self.lock);
	free(h);
	wake(false);
}

static int64_t kiln_get_size(void *handle)
{
	return (int64_t) ((struct handle *) handle)->size;
}

static int kiln_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	*minimum = 1;
	*preferred = PREFERRED;
	*maximum = REQUEST_MAX;
	return 0;
}

static int kiln_yes(void *handle)
{
	return 1;
}

static int kiln_can_cache(void *handle)
{
	return NBDKIT_CACHE_EMULATE; /* reading is what fills the cache */
}

static int fail(const struct err *e)
{
	nbdkit_error("%s", err_str(e));
	nbdkit_set_error(EIO);
	return -1;
}

static int kiln_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	auto_err struct err e = ERR_INIT;
	struct handle *h = handle;

	atomic_fetch_add(&self.reads, 1);
	if (store_reader_read(h->reader, buf, count, offset, &e) < 0) {
		atomic_fetch_add(&self.failed_reads, 1);
		return fail(&e);
	}
	atomic_fetch_add(&self.read_bytes, count);
	count_read(h, count);
	return 0;
}

static int kiln_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
			struct nbdkit_extents *extents)
{
	auto_err struct err e = ERR_INIT;
	struct handle *h = handle;
	uint64_t end = offset + count;

	while (offset < end) {
		uint64_t len;
		bool zero;

		if (store_reader_hole(h->reader, offset, end - offset, &zero, &len, &e) < 0)
			return fail(&e);
		if (nbdkit_add_extent(extents, offset, len,
				      zero ? NBDKIT_EXTENT_ZERO | NBDKIT_EXTENT_HOLE : 0) < 0)
			return -1;
		offset += len;
		if (flags & NBDKIT_FLAG_REQ_ONE)
			break;
	}
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "kiln",
	.longname = "kiln image store",
	.version = KILN_VERSION,
	.description = "Read-only, verified disks of kiln's image store",
	.config = kiln_config,
	.config_complete = kiln_config_complete,
	.config_help = "run=<DIR>            (required) run directory with exports/\n"
		       "dir=<DIR>            (required) directory of the store's lookup\n"
		       "region=<NAME>=<URL>  (required) a region; may be repeated\n"
		       "key=<NAME>=<SOURCE>  where a region's keys are: file:/PATH or command:...\n"
		       "cache=<BYTES>        size of the cache of decoded chunks\n"
		       "uid=<N>[-<M>]        other user ids that may connect",
	.get_ready = kiln_get_ready,
	.after_fork = kiln_after_fork,
	.cleanup = kiln_cleanup,
	.unload = kiln_unload,
	.preconnect = kiln_preconnect,
	.list_exports = kiln_list_exports,
	.default_export = kiln_default_export,
	.open = kiln_open,
	.close = kiln_close,
	.get_size = kiln_get_size,
	.block_size = kiln_block_size,
	.can_multi_conn = kiln_yes,
	.can_extents = kiln_yes,
	.can_cache = kiln_can_cache,
	.pread = kiln_pread,
	.extents = kiln_extents,
};

/* The macro defines it without a prototype. */
struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
