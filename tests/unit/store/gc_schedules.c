/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeded schedules of everything that a store does at a time: ingest, commit, copy, delete, reads,
 * replication, rebuilds of the lookup and collections, on one host or on two that share the rows
 *and the region, with crashes and ended leases anywhere: store-gc-schedules COUNT FIRST_SEED
 *[broken=RULE] No acknowledged name loses a byte, no reader is disturbed, and what is dead is gone
 *after two cycles. A failing seed is printed; `store-gc-schedules 1 SEED` runs it again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "meta/meta.h"
#include "scheduler.h"
#include "store/maintain.h"
#include "trial.h"

#define DISKS       10
#define DISK_CHUNKS 600 /* over 32 MiB: a tree of two levels */
#define CONTENTS    14  /* different chunks in all disks together */
#define NAMES_MAX   128
#define OVERLAYS    4
#define TEMPLATES   3
#define HANG_S      60
#define FAILED      9

enum fate { FATE_NONE, FATE_MAYBE, FATE_THERE, FATE_GONE };

/* What the store must hold. */
struct known {
	char name[24];
	struct digest digest;
	enum fate fate;
};

struct world {
	char *dir, *other, *templates;
	int fd_disk[DISKS], fd_over[OVERLAYS];
	/* Of one schedule, in its child. */
	struct known names[NAMES_MAX];
	unsigned n_names, n_actors, made;
	struct meta *meta[ACTORS_MAX + 1];
	struct store *store[ACTORS_MAX + 1];
	uint64_t seed;
	int say; /* where a failure is told */
};
static struct world w;

static void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *fmt, ...)
{
	auto_buf struct buf b = BUF_INIT(4096);
	va_list ap;

	va_start(ap, fmt);
	(void) buf_vaddf(&b, fmt, ap);
	va_end(ap);
	(void) printf("seed %llu: %s\n", (unsigned long long) w.seed, buf_str(&b));
	(void) fflush(stdout);
	_exit(FAILED);
}

static void must(int r, const struct err *e, const char *what)
{
	if (r < 0)
		fail("%s: %s", what, err_str(e));
}

/* A chunk that compresses well and says which it is. */
static void content(unsigned id, uint8_t *p)
{
	for (unsigned i = 0; i < CHUNK_BYTES; i += 8)
		memcpy(p + i, &(uint64_t){id + 1}, 8);
}

static int sparse(unsigned chunks, unsigned step, unsigned seed)
{
	uint8_t p[CHUNK_BYTES];
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t) DISK_CHUNKS * CHUNK_BYTES) < 0)
		abort();
	for (unsigned i = 0; i < chunks; i++) {
		unsigned at = (i * step + seed * 3) % DISK_CHUNKS;

		content((seed * 5 + i * (1 + seed % 3)) % CONTENTS, p);
		if (file_pwrite_full(fd, p, CHUNK_BYTES, (uint64_t) at * CHUNK_BYTES) < 0)
			abort();
	}
	return fd;
}

/* The store as process @who on @host sees it: rows and region are shared, the lookup is the host's.
 */
static void open_as(unsigned who, const char *dir, unsigned host, struct err *e)
{
	auto_free char *url = strf("sqlite:%s/store.db", dir);
	auto_free char *region = strf("%s/regions/local", dir);
	auto_free char *at = host ? strf("%s/host%u", dir, host) : strdup(dir);
	struct store_region_config rc = {.name = "local", .url = region};
	struct store_config c = {
		.dir = at, .regions = &rc, .n_regions = 1, .threads = 1, .cache_bytes = 1u << 20};

	if (!url || !region || !at)
		abort();
	must(file_mkdir_p(at, 0750, e), e, "mkdir");
	must(meta_open(url, &w.meta[who], e), e, "rows");
	c.meta = w.meta[who];
	must(store_open(&c, &w.store[who], e), e, "store");
}

static void close_as(unsigned who)
{
	store_close(take_ptr(w.store[who]));
	meta_close(take_ptr(w.meta[who]));
}

/* Was the lease taken from this actor? Then it may fail, but still do no harm. */
static void expect(unsigned me, const char *what, int r, int allowed, const struct err *e)
{
	if (r >= 0 || r == allowed || sched_expired(me))
		return;
	fail("actor %u, %s: %s", me, what, err_str(e));
}

static struct known *note(const char *prefix)
{
	struct known *k = &w.names[w.n_names];

	if (w.n_names == NAMES_MAX)
		fail("too many names");
	w.n_names++;
	(void) snprintf(k->name, sizeof(k->name), "%s%u", prefix, w.made++);
	return k;
}

/* Publishes and tells the model; @r is how what came before it went. */
static int publish(unsigned me, struct store_session *ss, const char *prefix,
		   const struct disk_ref *d, int allowed, struct err *e)
{
	struct known *k = note(prefix);
	int r;

	k->digest = d->digest;
	k->fate = FATE_MAYBE;
	r = store_root_add(ss, 0, "name", k->name, d, e);
	expect(me, "publish", r, allowed, e);
	if (r >= 0 && k->fate == FATE_MAYBE)
		k->fate = FATE_THERE;
	else if (r < 0)
		k->fate = FATE_NONE;
	return r;
}

static bool pick(char dst[24])
{
	unsigned k = 0, seen[NAMES_MAX];

	for (unsigned i = 0; i < w.n_names; i++)
		if (w.names[i].fate == FATE_THERE)
			seen[k++] = i;
	if (k == 0)
		return false;
	(void) snprintf(dst, 24, "%s", w.names[seen[sched_below(k)]].name);
	return true;
}

static void do_ingest(unsigned me)
{
	unsigned rounds = 1 + sched_below(2);
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	int r = store_session_begin(w.store[me], "ingest", &ss, &e);

	expect(me, "session", r, 0, &e);
	for (unsigned i = 0; i < rounds && r >= 0; i++) {
		struct disk_ref d;

		r = store_ingest(ss, 0, w.fd_disk[sched_below(DISKS)], 0, NULL, NULL, &d, NULL, &e);
		expect(me, "ingest", r, 0, &e);
		if (r >= 0)
			r = publish(me, ss, "i", &d, 0, &e);
	}
	store_session_end(ss);
}

static void do_commit(unsigned me)
{
	const struct store_extent x[] = {
		{.offset = sched_below(300) * (uint64_t) CHUNK_BYTES, .length = 2 * CHUNK_BYTES},
		{.offset = (302 + sched_below(200)) * (uint64_t) CHUNK_BYTES + 512,
		 .length = 1024,
		 .file_offset = CHUNK_BYTES},
	};
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct disk_ref parent, d;
	char from[24];
	int r;

	if (!pick(from) || store_root_get(w.store[me], 0, "name", from, &parent, NULL) < 0)
		return;
	r = store_session_begin(w.store[me], "commit", &ss, &e);
	expect(me, "session", r, 0, &e);
	if (r >= 0) {
		r = store_commit(ss, 0, &parent, w.fd_over[sched_below(OVERLAYS)], x, ARRAY_SIZE(x),
				 0, NULL, NULL, &d, NULL, &e);
		expect(me, "commit", r, -ENOENT, &e);
	}
	if (r >= 0)
		(void) publish(me, ss, "c", &d, 0, &e);
	store_session_end(ss);
}

/* Copy, undelete, tag: another name for a disk that is there. */
static void do_copy(unsigned me)
{
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct disk_ref d;
	char from[24];
	int r;

	if (!pick(from) || store_root_get(w.store[me], 0, "name", from, &d, NULL) < 0)
		return;
	r = store_session_begin(w.store[me], "copy", &ss, &e);
	expect(me, "session", r, 0, &e);
	if (r >= 0)
		(void) publish(me, ss, "y", &d, -ENOENT, &e);
	store_session_end(ss);
}

static void do_delete(unsigned me)
{
	unsigned rounds = 1 + sched_below(3);

	for (unsigned i = 0; i < rounds; i++) {
		auto_err struct err e = ERR_INIT;
		char name[24];
		struct known *k = NULL;

		if (!pick(name))
			return;
		for (unsigned j = 0; j < w.n_names; j++)
			if (strcmp(w.names[j].name, name) == 0)
				k = &w.names[j];
		k->fate = FATE_MAYBE;
		must(store_root_remove(w.store[me], 0, "name", name, &e), &e, "remove");
		k->fate = FATE_GONE;
	}
}

static void do_replicate(unsigned me)
{
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct store *src = NULL;
	struct disk_ref d;
	char from[8];
	int r;

	(void) snprintf(from, sizeof(from), "r%u", sched_below(DISKS));
	sched_quiet(true);
	must(store_open_dir(w.other, true, &src, &e), &e, "other");
	must(store_root_get(src, 0, "name", from, &d, &e), &e, "other");
	sched_quiet(false);
	r = store_session_begin(w.store[me], "replicate", &ss, &e);
	expect(me, "session", r, 0, &e);
	/* A source's threads are no actors, so one thread copies: the session's store decides. */
	if (r >= 0) {
		r = store_replicate_from(src, 0, ss, 0, &d, 0, NULL, NULL, NULL, &e);
		expect(me, "replicate", r, 0, &e);
	}
	if (r >= 0)
		(void) publish(me, ss, "p", &d, 0, &e);
	store_session_end(ss);
	sched_quiet(true);
	store_close(src);
	sched_quiet(false);
}

/* Pins the disk by a root of its own once, then reads however long it takes. */
static void do_read(unsigned me)
{
	unsigned reads = 10 + sched_below(30);
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct store_reader *rd = NULL;
	struct disk_ref d;
	char from[24], id[16];
	uint8_t p[CHUNK_BYTES];
	int r;

	if (!pick(from) || store_root_get(w.store[me], 0, "name", from, &d, NULL) < 0)
		return;
	(void) snprintf(id, sizeof(id), "x%u", w.made++);
	r = store_session_begin(w.store[me], "export", &ss, &e);
	expect(me, "session", r, 0, &e);
	if (r >= 0)
		r = store_root_add(ss, 0, "export", id, &d, &e);
	expect(me, "export", r, -ENOENT, &e);
	store_session_end(ss);
	if (r < 0)
		return;
	must(store_reader_open(w.store[me], 0, &d, &rd, &e), &e, "reader");
	for (unsigned i = 0; i < reads; i++) {
		uint64_t at = sched_below(DISK_CHUNKS);

		r = store_reader_read(rd, p, CHUNK_BYTES, at * CHUNK_BYTES, &e);
		if (r < 0)
			fail("actor %u reads chunk %llu of %s: %s", me, (unsigned long long) at,
			     from, err_str(&e));
	}
	store_reader_close(rd);
	must(store_root_remove(w.store[me], 0, "export", id, &e), &e, "remove");
}

static void do_gc(unsigned me)
{
	unsigned rounds = 2 + sched_below(3);

	for (unsigned i = 0; i < rounds; i++) {
		auto_err struct err e = ERR_INIT;
		struct store_gc_result g;
		int r = store_gc(w.store[me], 0, false, NULL, &g, &e);

		expect(me, "gc", r, -EBUSY, &e);
	}
}

static void do_recompress(unsigned me)
{
	auto_err struct err e = ERR_INIT;
	struct store_recompress_result k;
	int r = store_recompress(w.store[me], 0, (int) (3 + sched_below(3)), NULL, NULL, NULL, &k,
				 &e);

	expect(me, "recompress", r, -EBUSY, &e);
	if (r >= 0 && k.damaged > 0)
		fail("actor %u: recompression cannot read %llu packs", me,
		     (unsigned long long) k.damaged);
}

static void do_rebuild(unsigned me)
{
	auto_err struct err e = ERR_INIT;

	must(store_rebuild_index(w.store[me], 0, NULL, &e), &e, "rebuild");
}

static void actor(unsigned me)
{
	static void (*const what[])(unsigned me) = {
		do_ingest, do_ingest, do_commit,    do_commit,  do_copy,       do_delete,
		do_read,   do_read,   do_replicate, do_rebuild, do_recompress,
	};
	unsigned things = 1 + sched_below(3);

	if (me < 2) {
		do_gc(me);
		return;
	}
	if (me == 2) {
		do_delete(me);
		do_delete(me);
	}
	for (unsigned i = 0; i < things; i++)
		what[sched_below(ARRAY_SIZE(what))](me);
}

static void finding(void *arg, const char *text)
{
	(void) printf("seed %llu: %s\n", (unsigned long long) w.seed, text);
}

/* Two cycles without anybody else; all that was dead and known before is gone then. */
static void prove_space(struct err *e)
{
	struct store_gc_result a, b, dry;

	must(store_gc(w.store[ACTORS_MAX], 0, false, NULL, &a, e), e, "first cycle");
	must(store_gc(w.store[ACTORS_MAX], 0, false, NULL, &b, e), e, "second cycle");
	must(store_gc(w.store[ACTORS_MAX], 0, true, NULL, &dry, e), e, "look");
	/* A stray that the first cycle adopted is judged by the second. */
	if (dry.condemned > 0 || dry.removed > b.condemned || b.condemned > b.rewritten + a.adopted)
		fail("after two cycles %llu packs are dead and unknown, %llu condemned; the second "
		     "condemned %llu, rewrote %llu; the first adopted %llu",
		     (unsigned long long) dry.condemned, (unsigned long long) dry.removed,
		     (unsigned long long) b.condemned, (unsigned long long) b.rewritten,
		     (unsigned long long) a.adopted);
}

static void prove_names(const char *when, struct err *e)
{
	struct store *s = w.store[ACTORS_MAX];
	struct store_check_result k;

	must(store_check(s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, NULL, NULL, &k, e), e,
	     "check");
	if (k.missing > 0 || k.damaged_packs > 0) {
		(void) store_check(s, 0, 0, NULL, 0, NULL, finding, NULL, &k, NULL);
		fail("%s: %llu names missing, %llu packs damaged", when,
		     (unsigned long long) k.missing, (unsigned long long) k.damaged_packs);
	}
	for (unsigned i = 0; i < w.n_names; i++) {
		const struct known *n = &w.names[i];
		struct disk_ref d;
		int r = store_root_get(s, 0, "name", n->name, &d, NULL);

		if (r >= 0 ? n->fate == FATE_GONE || n->fate == FATE_NONE ||
				     !digest_eq(&d.digest, &n->digest)
			   : n->fate == FATE_THERE)
			fail("%s: name %s is %s", when, n->name, r >= 0 ? "there" : "not there");
	}
}

static int know_root(void *arg, unsigned region, const char *kind, const char *id,
		     const struct disk_ref *d)
{
	struct known *k = note("");

	(void) snprintf(k->name, sizeof(k->name), "%s", id);
	k->digest = d->digest;
	k->fate = FATE_THERE;
	return 0;
}

/* In a child of its own. */
static void one_schedule(uint64_t seed, enum sched_break broken)
{
	static const unsigned one_in[] = {2, 6, 20, 60};
	struct sched_plan p = {.seed = seed, .broken = broken};
	auto_free char *dir = path_join(w.dir, "now");
	auto_free char *from = NULL;
	auto_err struct err e = ERR_INIT;
	unsigned hosts;

	w.seed = seed;
	(void) alarm(HANG_S);
	sched_seed(seed);
	p.switch_one_in = one_in[sched_below(ARRAY_SIZE(one_in))];
	p.crashes = sched_below(4);
	p.expiries = sched_below(3);
	p.horizon = 3000;
	w.n_actors = 4 + sched_below(5);
	hosts = 1 + sched_below(2);
	from = strf("%s/%u", w.templates, sched_below(TEMPLATES));
	if (!from || !dir || trial_copy(from, dir) < 0)
		fail("cannot copy the template");
	for (unsigned i = 0; i <= ACTORS_MAX; i++)
		if (i < w.n_actors || i == ACTORS_MAX)
			open_as(i, dir, i % hosts, &e);
	must(store_root_list(w.store[ACTORS_MAX], "name", know_root, NULL, &e), &e, "roots");
	sched_run(&p, w.n_actors, actor);
	/* The readers that died left their roots. */
	prove_names("at the end", &e);
	prove_space(&e);
	prove_names("after two cycles", &e);
	for (unsigned i = 0; i < w.n_actors; i++)
		if (!sched_dead(i))
			close_as(i);
	close_as(ACTORS_MAX);
	_exit(0);
}

static void name_disk(struct store *s, int fd, const char *name, struct err *e)
{
	struct store_session *ss = NULL;
	struct disk_ref d;

	must(store_session_begin(s, "template", &ss, e), e, "session");
	must(store_ingest(ss, 0, fd, 0, NULL, NULL, &d, NULL, e), e, "ingest");
	must(store_root_add(ss, 0, "name", name, &d, e), e, "name");
	store_session_end(ss);
}

/* 0: names; 1: the same and one condemned pack; 2: many small packs. */
static void make_template(unsigned i, struct err *e)
{
	auto_free char *dir = strf("%s/%u", w.templates, i);
	struct store *s = NULL;
	char name[8];
	struct store_gc_result g;

	must(dir ? store_open_dir(dir, false, &s, e) : -ENOMEM, e, "template");
	for (unsigned k = 0; k < (i == 2 ? 9 : 4); k++) {
		(void) snprintf(name, sizeof(name), "t%u", k);
		name_disk(s, w.fd_disk[(k * 3 + i) % DISKS], name, e);
	}
	if (i > 0)
		must(store_root_remove(s, 0, "name", "t1", e), e, "remove");
	if (i == 1)
		must(store_gc(s, 0, false, NULL, &g, e), e, "gc");
	store_close(s);
}

static void world_make(void)
{
	w.dir = strf("%s/kiln-gc-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!w.dir || !mkdtemp(w.dir))
		abort();
	w.other = path_join(w.dir, "other");
	w.templates = path_join(w.dir, "templates");
	if (!w.other || !w.templates)
		abort();
	for (unsigned i = 0; i < DISKS; i++)
		w.fd_disk[i] = sparse(3 + i % 5, 37 + 100 * (i % 2), i);
	for (unsigned i = 0; i < OVERLAYS; i++)
		w.fd_over[i] = sparse(40, 13, 20 + i);
}

static void make_stores(void)
{
	auto_err struct err e = ERR_INIT;
	struct store *s = NULL;
	char name[8];

	must(store_open_dir(w.other, false, &s, &e), &e, "other");
	for (unsigned i = 0; i < DISKS; i++) {
		(void) snprintf(name, sizeof(name), "r%u", i);
		name_disk(s, w.fd_disk[i], name, &e);
	}
	store_close(s);
	for (unsigned i = 0; i < TEMPLATES; i++)
		make_template(i, &e);
}

/* LMDB must not be inherited open, so everything that opens a store is a child. */
static int in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static enum sched_break parse_break(const char *s)
{
	for (unsigned i = 0; i < BREAK_MAX; i++)
		if (str_starts(s, "broken=") &&
		    strcmp(s + strlen("broken="), sched_break_names[i]) == 0)
			return (enum sched_break) i;
	(void) fprintf(stderr, "%s: broken=RULE expected\n", s);
	exit(2);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 100;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	enum sched_break broken = argc > 3 ? parse_break(argv[3]) : BREAK_NOTHING;
	unsigned bad = 0;
	uint64_t i;

	world_make();
	if (in_child(make_stores) < 0)
		return 1;
	for (i = 0; i < count && bad < (broken ? 1 : 10); i++) {
		int status;
		pid_t pid;

		(void) fflush(stdout);
		pid = fork();
		if (pid == 0)
			one_schedule(first + i, broken);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			abort();
		if (status == 0)
			continue;
		bad++;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != FAILED)
			(void) printf("seed %llu: ended by signal %d\n",
				      (unsigned long long) (first + i), WTERMSIG(status));
	}
	(void) printf("seeds %llu to %llu%s%s: %u failures\n", (unsigned long long) first,
		      (unsigned long long) (first + i - 1), broken ? ", broken rule " : "",
		      broken ? sched_break_names[broken] : "", bad);
	(void) file_rm_rf(w.dir, NULL);
	return bad > 0;
}
