/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States that a power cut may leave: `store-crash COUNT SEED [OPERATION | lying]`. Each operation
 * is recorded once: its writes, syncs, renames, removals, directories, and how far the database had
 * committed at each. Then states are built from it: a prefix of the calls; names that were not
 * synced there, or not, in any order; data that was not synced there, absent, zero or torn; the
 * database at any commit of that moment; the lookup gone. In each the store must recover by itself
 * and hold what was acknowledged.
 *
 * A rename is one step that is durable once either directory is synced; a new name is durable only
 * once its own directory is. On a lying disk, which syncs nothing, the store must open, find all
 * damage, serve none of it and heal it from another; that there is some shows that the states are
 * hard enough.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "crash_record.h"
#include "trial.h"

#define NAMES_MAX 512
#define SEEN_MAX  65536
#define DIRECTORY (-1)
#define GONE      (-2)
#define TEMPLATE  (-3) /* a file that was there before */

/* What is known of one file: as programs see it, and as the disk has it for certain. */
struct file {
	uint8_t *now, *synced;
	size_t n_now, n_synced;
};

struct name {
	char path[PATH_ROOM];
	int what; /* index of a file, or one of the words above */
};

struct space {
	struct name v[NAMES_MAX];
	unsigned n;
};

struct pending {
	const struct op *op;
	int what;
};

struct model {
	struct space seen, durable; /* what programs see; what is certain */
	struct pending pending[OPS_MAX];
	unsigned n_pending;
	struct file files[NAMES_MAX];
	int n_files;
};

static struct model sim;
static struct space start; /* the template's names */
static bool lying;         /* a disk that only says that it synced */
static unsigned damaged;   /* states of one that were not whole */

static struct name *find(struct space *s, const char *path)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->v[i].path, path) == 0)
			return &s->v[i];
	return NULL;
}

static void set(struct space *s, const char *path, int what)
{
	struct name *n = find(s, path);

	if (!n) {
		if (s->n == NAMES_MAX)
			abort();
		n = &s->v[s->n++];
		(void) snprintf(n->path, sizeof(n->path), "%s", path);
	}
	n->what = what;
}

static void apply(struct space *s, const struct pending *p)
{
	const struct op *o = p->op;
	struct name *from;

	switch (o->kind) {
	case OP_MKDIR:
		set(s, o->path, DIRECTORY);
		break;
	case OP_CREATE:
		set(s, o->path, p->what);
		break;
	case OP_UNLINK:
		set(s, o->path, GONE);
		break;
	default:
		from = find(s, o->path);
		if (from)
			from->what = GONE;
		if (p->what == TEMPLATE) /* its bytes are found by the name it had */
			set(&sim.seen, "", TEMPLATE);
		set(s, o->to, p->what);
	}
}

static bool parent_is(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t) (slash - path) : 0;

	return strlen(dir) == n && strncmp(path, dir, n) == 0;
}

static void sync_dir(const char *dir)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < sim.n_pending; i++) {
		struct pending p = sim.pending[i];

		if (parent_is(p.op->path, dir) ||
		    (p.op->kind == OP_RENAME && parent_is(p.op->to, dir)))
			apply(&sim.durable, &p);
		else
			sim.pending[kept++] = p;
	}
	sim.n_pending = kept;
}

static struct file *file_of(const char *path)
{
	struct name *n = find(&sim.seen, path);

	return n && n->what >= 0 ? &sim.files[n->what] : NULL;
}

static void step_data(const struct op *o)
{
	struct file *f = file_of(o->path);
	size_t end = o->kind == OP_WRITE ? (size_t) o->at + o->n : (size_t) o->at;

	if (!f)
		return;
	if (end > f->n_now || o->kind == OP_TRUNCATE) {
		uint8_t *p = realloc(f->now, end + 1);

		if (!p)
			abort();
		if (end > f->n_now)
			memset(p + f->n_now, 0, end - f->n_now);
		f->now = p;
		f->n_now = end;
	}
	if (o->kind == OP_WRITE)
		memcpy(f->now + o->at, o->data, o->n);
}

static void step(const struct op *o)
{
	struct pending p = {o, TEMPLATE};
	struct name *n;
	struct file *f;

	if (lying && (o->kind == OP_SYNC || o->kind == OP_SYNC_DIR))
		return;
	switch (o->kind) {
	case OP_WRITE:
	case OP_TRUNCATE:
		step_data(o);
		return;
	case OP_SYNC:
		f = file_of(o->path);
		if (!f)
			return;
		free(f->synced);
		f->synced = malloc(f->n_now + 1);
		if (!f->synced)
			abort();
		memcpy(f->synced, f->now, f->n_now);
		f->n_synced = f->n_now;
		return;
	case OP_SYNC_DIR:
		sync_dir(o->path);
		return;
	case OP_CREATE:
		if (sim.n_files == NAMES_MAX)
			abort();
		p.what = sim.n_files++;
		break;
	case OP_RENAME:
		n = find(&sim.seen, o->path);
		p.what = n ? n->what : GONE;
		break;
	default:
		break;
	}
	apply(&sim.seen, &p);
	sim.pending[sim.n_pending++] = p;
}

static void sim_reset(void)
{
	for (int i = 0; i < sim.n_files; i++) {
		free(sim.files[i].now);
		free(sim.files[i].synced);
	}
	memset(&sim, 0, sizeof(sim));
	sim.seen = sim.durable = start;
}

/* How what is not certain comes out. */
enum rule { ALL, NOTHING, DATA_LOST, DATA_ZERO, DATA_TORN, ANY };

static uint64_t rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

/* The bytes a file has afterwards; freed by the caller. */
static uint8_t *bytes_after(const struct file *f, enum rule rule, uint64_t *x, size_t *ret_n)
{
	bool clean =
		f->n_now == f->n_synced && f->n_now > 0 && memcmp(f->now, f->synced, f->n_now) == 0;
	size_t n = f->n_now, cut, unit = rnd(x) % 2 ? 512 : 4096;
	uint8_t *p = calloc(1, n + f->n_synced + 1);

	if (!p)
		abort();
	if (rule == ANY)
		rule = (enum rule)(rnd(x) % 5);
	if (clean || rule == ALL) {
		if (n)
			memcpy(p, f->now, n);
	} else if (rule == NOTHING || rule == DATA_LOST) {
		n = f->n_synced;
		if (n)
			memcpy(p, f->synced, n);
	} else {
		if (f->n_synced)
			memcpy(p, f->synced, f->n_synced < n ? f->n_synced : n);
		cut = rule == DATA_TORN ? rnd(x) % (n / unit + 1) * unit : 0;
		if (cut)
			memcpy(p, f->now, cut < n ? cut : n);
	}
	*ret_n = n;
	return p;
}

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return h;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name *) a)->path, ((const struct name *) b)->path);
}

struct state {
	unsigned k; /* calls that were made */
	enum rule rule;
	uint64_t seed;
	uint64_t wal; /* bytes of the database's log that count */
};

struct scene {
	const struct trial *t;
	const struct trial_op *op;
	const char *from, *to; /* template, where states are built */
	uint8_t *wal;
	size_t n_wal;
};

/* What was acknowledged, and after how many calls and bytes of the log. */
static struct {
	struct {
		unsigned k;
		uint64_t wal;
		const char *name;
		bool there;
	} v[32];
	unsigned n;
} acks;

static void on_ack(const char *name, bool there)
{
	if (acks.n == ARRAY_SIZE(acks.v))
		abort();
	acks.v[acks.n].k = rec.n;
	acks.v[acks.n].wal = rec_wal();
	acks.v[acks.n].name = name;
	acks.v[acks.n++].there = there;
}

/* Names whose last acknowledgement is past, but for the one whose next change may be under way. */
static void model_at(unsigned k, uint64_t wal, struct trial_model *m)
{
	unsigned past = 0;

	while (past < acks.n &&
	       (k > acks.v[past].k || (k == acks.v[past].k && wal >= acks.v[past].wal)))
		past++;
	for (unsigned i = 0; i < past; i++) {
		const char *name = acks.v[i].name;
		unsigned at = 0;

		while (at < m->n && strcmp(m->names[at], name) != 0)
			at++;
		if (at == TRIAL_NAMES)
			abort();
		m->n = at == m->n ? at + 1 : m->n;
		m->names[at] = name;
		m->absent[at] = !acks.v[i].there;
	}
	for (unsigned i = 0; past < acks.n && i < m->n; i++)
		if (strcmp(m->names[i], acks.v[past].name) == 0) {
			m->n--;
			m->names[i] = m->names[m->n];
			m->absent[i] = m->absent[m->n];
			break;
		}
}

/* Where the bytes of a file of the template are: the name it had before anything. */
static const char *template_name(const char *path)
{
	if (find(&start, path))
		return path; /* also when something else takes its place later */
	for (unsigned i = rec.n; i > 0; i--)
		if (rec.ops[i - 1].kind == OP_RENAME && strcmp(rec.ops[i - 1].to, path) == 0)
			return rec.ops[i - 1].path;
	return path;
}

static int build_file(const struct scene *sc, const struct name *n, enum rule rule, uint64_t *x,
		      uint64_t *io_hash, bool dry)
{
	auto_free char *to = strf("%s/%s", sc->to, n->path), *from = NULL;
	auto_free uint8_t *p = NULL;
	auto_fd int fd = -1;
	size_t len = 0;

	if (!to)
		return -ENOMEM;
	if (n->what == DIRECTORY)
		return dry || mkdir(to, 0750) == 0 || errno == EEXIST || errno == ENOENT ? 0
											 : -errno;
	if (n->what == TEMPLATE) {
		from = strf("%s/%s", sc->from, template_name(n->path));
		return dry || !from || link(from, to) == 0 || errno == ENOENT ? 0 : -errno;
	}
	p = bytes_after(&sim.files[n->what], rule, x, &len);
	*io_hash = mix(*io_hash, &len, sizeof(len));
	*io_hash = mix(*io_hash, p, len);
	if (dry)
		return 0;
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* its directory was lost */
	return file_pwrite_full(fd, p, len, 0);
}

/* Builds the state, or with @dry only tells its hash. */
static int build(const struct scene *sc, const struct state *s, bool dry, uint64_t *ret_hash)
{
	static struct space out;
	uint64_t x = s->seed * 0x9e3779b97f4a7c15u + 1, h = 0xcbf29ce484222325u;
	int r = 0;

	sim_reset();
	for (unsigned i = 0; i < s->k; i++)
		step(&rec.ops[i]);
	out = sim.durable;
	for (unsigned i = 0; i < sim.n_pending; i++)
		if (s->rule != NOTHING && (s->rule != ANY || rnd(&x) % 2))
			apply(&out, &sim.pending[i]);
	qsort(out.v, out.n, sizeof(out.v[0]), by_name);
	h = mix(h, &s->wal, sizeof(s->wal));
	for (unsigned i = 0; i < out.n && r >= 0; i++) {
		if (out.v[i].what == GONE || !out.v[i].path[0])
			continue;
		h = mix(h, out.v[i].path, strlen(out.v[i].path) + 1);
		r = build_file(sc, &out.v[i], s->rule, &x, &h, dry);
	}
	*ret_hash = h;
	return r;
}

static int copy_bytes(const char *dir, const char *name, const void *p, size_t n)
{
	auto_free char *path = path_join(dir, name);
	auto_fd int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640) : -1;

	return fd < 0 ? -errno : file_pwrite_full(fd, p, n, 0);
}

static int build_db(const struct scene *sc, const struct state *s)
{
	auto_free char *from = path_join(sc->from, "store.db"), *to = path_join(sc->to, "store.db");
	auto_fd int in = -1, out = -1;

	if (!from || !to)
		return -ENOMEM;
	in = open(from, O_RDONLY | O_CLOEXEC);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		return -errno;
	if (file_copy_fd(in, out, NULL) < 0)
		return -EIO;
	return s->wal ? copy_bytes(sc->to, "store.db-wal", sc->wal, (size_t) s->wal) : 0;
}

static int prove(const struct scene *sc, const struct state *s, bool again, struct err *err)
{
	struct trial_model m;
	uint64_t h;
	int r = file_rm_rf(sc->to, NULL);

	if (r >= 0 && mkdir(sc->to, 0750) < 0)
		r = -errno;
	if (r >= 0)
		r = build(sc, s, false, &h);
	if (r >= 0)
		r = build_db(sc, s);
	if (r < 0)
		return err_set(err, r, "cannot build the state: %s", strerror(-r));
	if (lying) {
		bool found = false;

		r = trial_survive(sc->t, sc->to, &found, err);
		damaged += found;
		return r;
	}
	trial_want(sc->t, sc->op, true, &m);
	m.n = 0;
	model_at(s->k, s->wal, &m);
	r = trial_prove(sc->t, sc->to, &m, sc->op->heals, err);
	if (r < 0 || !again)
		return r;
	r = trial_run(sc->t, sc->op, sc->to, err);
	if (r < 0)
		return err_ctx(err, r, "again");
	trial_want(sc->t, sc->op, true, &m);
	r = trial_prove(sc->t, sc->to, &m, false, err);
	return r < 0 ? err_ctx(err, r, "after doing it again") : 0;
}

static const char *walk_root;
static int note_start(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	const char *rel = path + strlen(walk_root) + 1;

	if (f->level > 0 && !str_starts(rel, "store.db") && !str_starts(rel, "lookup") &&
	    !strstr(rel, ".lock"))
		set(&start, rel, kind == FTW_D ? DIRECTORY : TEMPLATE);
	return 0;
}

/* Ends of transactions in the log, as its frames tell. */
static unsigned commits(const struct scene *sc, uint64_t *dst, unsigned max)
{
	unsigned n = 0;
	size_t page;

	dst[n++] = 0;
	if (sc->n_wal < 32)
		return n;
	page = (size_t) sc->wal[8] << 24 | (size_t) sc->wal[9] << 16 | (size_t) sc->wal[10] << 8 |
	       sc->wal[11];
	for (size_t at = 32; at + 24 + page <= sc->n_wal && n < max; at += 24 + page)
		if (sc->wal[at + 4] | sc->wal[at + 5] | sc->wal[at + 6] | sc->wal[at + 7])
			dst[n++] = at + 24 + page;
	return n;
}

static int record(struct scene *sc)
{
	static const struct sys *const real = &sys_real;
	static struct sys table;
	auto_free char *slash = strf("%s/", sc->to), *wal = strf("%s/store.db-wal", sc->to);
	auto_err struct err e = ERR_INIT;
	struct store *s = NULL;
	struct stat st;
	int r = trial_copy(sc->from, sc->to), fd;

	walk_root = sc->from;
	if (r < 0 || !slash || !wal || nftw(sc->from, note_start, 16, FTW_PHYS) < 0)
		return -EIO;
	rec.store = slash;
	table = *real;
	rec_table(&table);
	sys_use(&table);
	on_ack("base", true);
	acks.v[0].wal = 0;
	if (sc->op->drops)
		on_ack(sc->op->drops, true);
	trial_acked = on_ack;
	r = store_open_dir(sc->to, false, &s, &e);
	if (r >= 0)
		r = sc->op->run(sc->t, s, &e);
	trial_acked = NULL;
	if (sc->op->publishes)
		on_ack(sc->op->publishes, true);
	if (sc->op->drops)
		on_ack(sc->op->drops, false);
	fd = open(wal, O_RDONLY | O_CLOEXEC);
	if (r >= 0 && fd >= 0 && fstat(fd, &st) == 0) {
		sc->n_wal = (size_t) st.st_size;
		sc->wal = malloc(sc->n_wal + 1);
		if (!sc->wal || file_pread_full(fd, sc->wal, sc->n_wal, 0) < 0)
			r = -EIO;
	}
	if (fd >= 0)
		(void) close(fd);
	sys_use(NULL);
	if (r < 0)
		(void) fprintf(stderr, "%s: %s\n", sc->op->name, err_str(&e));
	/* What closing does is no part of it; the lookup must not stay open over the states. */
	store_close(s);
	for (unsigned i = 1; i < rec.n; i++)
		if (rec.ops[i].wal < rec.ops[i - 1].wal)
			r = -EIO; /* the log began anew: it no longer holds every commit */
	return r < 0 || rec.overflow ? -EIO : 0;
}

struct result {
	unsigned states, calls, bad, damaged;
};

static bool fresh_state(uint64_t h)
{
	static uint64_t seen[SEEN_MAX];
	size_t i = h % SEEN_MAX;

	for (unsigned n = 0; n < SEEN_MAX; n++, i = (i + 1) % SEEN_MAX) {
		if (seen[i] == h)
			return false;
		if (seen[i] == 0) {
			seen[i] = h;
			return true;
		}
	}
	return false;
}

/* One state after another until @count distinct ones, or none new is found. */
static void explore(struct scene *sc, unsigned count, uint64_t seed, struct result *res)
{
	static uint64_t ends[4096];
	unsigned n_ends = commits(sc, ends, ARRAY_SIZE(ends)), dull = 0;
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 77;

	res->calls = rec.n;
	for (unsigned i = 0; res->states < count && dull < 2000 && res->bad < 10; i++) {
		struct state s = {.seed = seed + i};
		auto_err struct err e = ERR_INIT;
		uint64_t low, high, h;
		unsigned at[64], n_at = 0;

		/* Every call with every rule first, then at random. */
		s.k = i < (rec.n + 1) * ANY ? i / ANY : (unsigned) (rnd(&x) % (rec.n + 1));
		s.rule = i < (rec.n + 1) * ANY ? (enum rule)(i % ANY) : ANY;
		if (count < (rec.n + 1) * ANY)
			s.k = (unsigned) (rnd(&x) % (rec.n + 1));
		low = s.k ? rec.ops[s.k - 1].wal : 0;
		high = s.k < rec.n ? rec.ops[s.k].wal : sc->n_wal;
		for (unsigned c = 0; c < n_ends && n_at < ARRAY_SIZE(at); c++)
			if (ends[c] <= high && (c + 1 == n_ends || ends[c + 1] > low))
				at[n_at++] = c;
		s.wal = n_at ? ends[at[rnd(&x) % n_at]] : 0;
		if (build(sc, &s, true, &h) < 0 || !fresh_state(h | 1)) {
			dull++;
			continue;
		}
		dull = 0;
		res->states++;
		if (prove(sc, &s, i % 8 == 0, &e) < 0) {
			const char *keep = getenv("KILN_CRASH_KEEP"); /* a copy to look at */

			if (keep && res->bad == 0)
				(void) trial_copy(sc->to, keep);
			res->bad++;
			(void) printf(
				"%s: after call %u of %u, rule %d, seed %llu, log at %llu: %s\n",
				sc->op->name, s.k, rec.n, (int) s.rule, (unsigned long long) s.seed,
				(unsigned long long) s.wal, err_str(&e));
			(void) fflush(stdout);
		}
	}
}

/* States are built where the recorded store was, for the journal has absolute paths. The recorder
 * must be dead and reaped before recovery, which spares the living: it forks the one
 * that explores, and goes. */
static void one_operation(const struct trial *t, const struct trial_op *op, unsigned count,
			  uint64_t seed, struct result *res)
{
	auto_free char *from = path_join(t->templates, op->name), *live = path_join(t->dir, "live");
	int go[2], back[2];
	struct scene sc = {.t = t, .op = op, .from = from, .to = live};
	pid_t pid;

	if (!from || !live || pipe(go) < 0 || pipe(back) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		if (record(&sc) < 0)
			_exit(1);
		if (fork() != 0)
			_exit(0);
		(void) close(go[1]);
		(void) close(back[0]);
		(void) !read(go[0], &(char){0}, 1);
		explore(&sc, count, seed, res);
		res->damaged = damaged;
		(void) !write(back[1], res, sizeof(*res));
		_exit(0);
	}
	(void) close(back[1]);
	(void) close(go[0]);
	(void) waitpid(pid, NULL, 0);
	(void) !write(go[1], "", 1);
	if (read(back[0], res, sizeof(*res)) != sizeof(*res))
		res->bad++;
	(void) close(back[0]);
	(void) close(go[1]);
	(void) printf("%-13s %4u calls, %5u states, %u failures\n", op->name, res->calls,
		      res->states, res->bad);
	(void) fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : 110;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	unsigned states = 0, bad = 0, lied = 0;
	struct trial t;

	(void) signal(SIGPIPE, SIG_IGN);
	lying = argc > 3 && strcmp(argv[3], "lying") == 0;
	trial_new(&t, false);
	for (unsigned i = 0; i < n_trial_ops; i++) {
		struct result res = {0};

		if (argc > 3 && !lying && strcmp(argv[3], trial_ops[i].name) != 0)
			continue;
		/* The last one has the most states: it gets what the others had no use for. */
		one_operation(&t, &trial_ops[i],
			      i + 1 < n_trial_ops ? count / n_trial_ops : count - states, seed,
			      &res);
		states += res.states;
		bad += res.bad;
		lied += res.damaged;
	}
	(void) printf("seed %llu: %u states, %u failures\n", (unsigned long long) seed, states,
		      bad);
	if (lying)
		(void) printf("%u states were damaged\n", lied);
	trial_free(&t);
	/* A lying disk without damage would mean that the states are not hard enough. */
	return bad > 0 || states == 0 || (lying && lied == 0);
}
