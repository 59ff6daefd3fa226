/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define KEY_OLD    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_NEW    "a00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define DISK_BYTES (24 * CHUNK_BYTES)

static void must(int r, const struct err *e, const char *what)
{
	if (r >= 0)
		return;
	(void) fprintf(stderr, "%s: %s\n", what, e ? err_str(e) : strerror(errno));
	abort();
}

/* Mostly well compressible, so that the copies are small; every fifth chunk is not. */
static int disk(const char *dir, const char *name, unsigned seed)
{
	auto_free char *path = path_join(dir, name);
	auto_free uint8_t *p = malloc(CHUNK_BYTES);
	int fd = path && p ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	must(fd, NULL, "disk");
	for (unsigned k = 0; k < DISK_BYTES / CHUNK_BYTES; k++) {
		for (size_t i = 0; i + 8 <= CHUNK_BYTES; i += 8) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			memcpy(p + i, k % 12 == 0 || i < 64 ? &x : &(uint64_t){k}, 8);
		}
		if (k % 7 != 3)
			must(file_pwrite_full(fd, p, CHUNK_BYTES, (uint64_t) k * CHUNK_BYTES), NULL,
			     "disk");
	}
	return fd;
}

static int publish(struct store *s, int fd, const char *name, struct disk_ref *ret, struct err *err)
{
	struct store_session *ss = NULL;
	int r = store_session_begin(s, "trial", &ss, err);

	if (r >= 0)
		r = store_ingest(ss, 0, fd, 0, NULL, NULL, ret, NULL, err);
	if (r >= 0)
		r = store_root_add(ss, 0, "name", name, ret, err);
	store_session_end(ss);
	return r;
}

static int do_ingest(const struct trial *t, struct store *s, struct err *err)
{
	struct disk_ref d;

	return publish(s, t->fd_more, "more", &d, err);
}

static int do_dedup(const struct trial *t, struct store *s, struct err *err)
{
	struct disk_ref d;

	return publish(s, t->fd_base, "again", &d, err);
}

static int commit_v1(const struct trial *t, struct store *s, struct disk_ref *ret, struct err *err)
{
	const struct store_extent x[] = {
		{.offset = 0, .length = 3 * CHUNK_BYTES},
		{.offset = 10 * CHUNK_BYTES + 512, .length = 1024, .file_offset = 65536},
	};
	struct store_session *ss = NULL;
	struct disk_ref base;
	int r = store_root_get(s, 0, "name", "base", &base, err);

	if (r >= 0)
		r = store_session_begin(s, "trial", &ss, err);
	if (r >= 0)
		r = store_commit(ss, 0, &base, t->fd_over, x, ARRAY_SIZE(x), 0, NULL, NULL, ret,
				 NULL, err);
	if (r >= 0)
		r = store_root_add(ss, 0, "name", "v1", ret, err);
	store_session_end(ss);
	return r;
}

static int do_commit(const struct trial *t, struct store *s, struct err *err)
{
	struct disk_ref d;

	return commit_v1(t, s, &d, err);
}

static int replicate(const struct trial *t, struct store *s, const char *name, struct err *err)
{
	struct store_session *ss = NULL;
	struct store *src = NULL;
	struct disk_ref d;
	int r = store_open_dir(t->other, true, &src, err);

	if (r >= 0)
		r = store_root_get(src, 0, "name", name, &d, err);
	if (r >= 0)
		r = store_session_begin(s, "trial", &ss, err);
	if (r >= 0)
		r = store_replicate_from(src, 0, ss, 0, &d, 0, NULL, NULL, NULL, err);
	if (r >= 0)
		r = store_root_add(ss, 0, "name", name, &d, err);
	store_session_end(ss);
	store_close(src);
	return r;
}

static int do_replicate(const struct trial *t, struct store *s, struct err *err)
{
	return replicate(t, s, "v1", err);
}

static int do_publish(const struct trial *t, struct store *s, struct err *err)
{
	auto_json json_t *j = json_pack("{s:s, s:i}", "name", "version", "size", 1);
	struct digest d;
	int r = j ? store_manifest_put(s, 0, j, &d, err) : err_set(err, -ENOMEM, "out of memory");

	return r < 0 ? r : store_catalog_put(s, 0, "/galleries/g/images/i", 1, j, err);
}

static int do_delete(const struct trial *t, struct store *s, struct err *err)
{
	return store_root_remove(s, -1, "name", "more", err);
}

static int do_gc(const struct trial *t, struct store *s, struct err *err)
{
	struct store_gc_result g;

	return store_gc(s, 0, false, NULL, &g, err);
}

static int do_check(const struct trial *t, struct store *s, struct err *err)
{
	struct store_check_result k;

	return store_check(s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, NULL, NULL, &k, err);
}

static int do_heal(const struct trial *t, struct store *s, struct err *err)
{
	struct store_check_result k;
	struct store *o = NULL;
	int r = store_open_dir(t->other, true, &o, err);

	if (r >= 0)
		r = store_check(s, 0, STORE_CHECK_READ_DATA | STORE_CHECK_HEAL, &o, 1, NULL, NULL,
				NULL, &k, err);
	if (r >= 0 && k.lost > 0)
		r = err_set(err, -EBADMSG, "%llu lost", (unsigned long long) k.lost);
	store_close(o);
	return r;
}

/* Healing where nothing is damaged and nobody could help: a passing error must cost nothing. */
static int do_scrub(const struct trial *t, struct store *s, struct err *err)
{
	struct store_check_result k;

	return store_check(s, 0, STORE_CHECK_READ_DATA | STORE_CHECK_HEAL, NULL, 0, NULL, NULL,
			   NULL, &k, err);
}

static int do_recompress(const struct trial *t, struct store *s, struct err *err)
{
	struct store_recompress_result k;

	return store_recompress(s, 0, 9, NULL, NULL, NULL, &k, err);
}

static int do_rebuild(const struct trial *t, struct store *s, struct err *err)
{
	return store_rebuild_index(s, 0, NULL, err);
}

void (*trial_acked)(const char *name, bool there);

static int do_replicate_more(const struct trial *t, struct store *s, struct err *err)
{
	return replicate(t, s, "more", err);
}

static int do_drop_v1(const struct trial *t, struct store *s, struct err *err)
{
	return store_root_remove(s, -1, "name", "v1", err);
}

/* Much of what a store goes through, in one go. */
static int do_life(const struct trial *t, struct store *s, struct err *err)
{
	static const struct {
		int (*run)(const struct trial *t, struct store *s, struct err *err);
		const char *name;
		bool there;
	} steps[] = {
		{do_ingest, "more", true},
		{do_commit, "v1", true},
		{do_publish},
		{do_delete, "more", false},
		{do_gc},
		{do_dedup, "again", true},
		{do_gc},
		{do_replicate_more, "more", true},
		{do_recompress},
		{do_gc},
		{do_drop_v1, "v1", false},
		{do_delete, "more", false},
		{do_gc},
		{do_commit, "v1", true},
		{do_gc},
		{do_ingest, "more", true},
		{do_gc},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && r >= 0; i++) {
		r = steps[i].run(t, s, err);
		if (r >= 0 && steps[i].name && trial_acked)
			trial_acked(steps[i].name, steps[i].there);
	}
	return r;
}

static int do_rekey(const struct trial *t, struct store *s, struct err *err)
{
	struct store_rekey_result k;

	return store_rekey(s, 0, NULL, &k, err);
}

const struct trial_op trial_ops[] = {
	{"ingest", do_ingest, "more"},
	{"dedup", do_dedup, "again"},
	{"commit", do_commit, "v1"},
	{"replicate", do_replicate, "v1"},
	{"publish", do_publish},
	{"delete", do_delete, NULL, "more"},
	{"gc-mark", do_gc},
	{"gc-sweep", do_gc},
	{"check", do_check},
	{"heal", do_heal, .heals = true},
	{"scrub", do_scrub},
	{"rebuild-index", do_rebuild},
	{"recompress", do_recompress},
	{"rekey", do_rekey, .encrypted = true},
	{"life", do_life},
};
const unsigned n_trial_ops = ARRAY_SIZE(trial_ops);

int trial_run(const struct trial *t, const struct trial_op *op, const char *store, struct err *err)
{
	struct store *s = NULL;
	int r = store_open_dir(store, false, &s, err);

	if (r >= 0)
		r = op->run(t, s, err);
	store_close(s);
	return r;
}

/* nftw() has no argument. */
static const char *copy_from, *copy_to;

static int copy_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	auto_free char *to = strf("%s%s", copy_to, path + strlen(copy_from));
	auto_fd int in = -1, out = -1;

	if (!to || kind == FTW_DNR || kind == FTW_NS)
		return -1;
	if (kind == FTW_D)
		return mkdir(to, st->st_mode & 07777) < 0 && errno != EEXIST ? -1 : 0;
	if (strcmp(path + f->base, "lock.mdb") == 0)
		return 0;
	in = open(path, O_RDONLY | O_CLOEXEC);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	return in < 0 || out < 0 || file_copy_fd(in, out, NULL) < 0 ? -1 : 0;
}

int trial_copy(const char *from, const char *to)
{
	int r = file_rm_rf(to, NULL);

	copy_from = from;
	copy_to = to;
	return r < 0 ? r : nftw(from, copy_one, 16, FTW_PHYS) < 0 ? -EIO : 0;
}

static int count_name(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	return f->level > 0 ? 1 : 0;
}

/* Something below @dir/@sub? Owners of another life must have left nothing. */
static bool something_in(const char *dir, const char *sub)
{
	auto_free char *path = strf("%s/%s", dir, sub);

	return !path || nftw(path, count_name, 16, FTW_PHYS) > 0;
}

static bool journal_holds(const char *dir)
{
	auto_free char *path = strf("%s/journal", dir);
	auto_dir DIR *d = path ? opendir(path) : NULL;
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (strstr(de->d_name, ".json") || str_starts(de->d_name, FILE_TMP_PREFIX))
			return true;
	return false;
}

/* Flips a bit of the biggest pack. */
static uint64_t biggest;
static char *biggest_path;

static int find_biggest(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	if (kind == FTW_F && strstr(path, ".pack") && (uint64_t) st->st_size > biggest) {
		biggest = (uint64_t) st->st_size;
		free(biggest_path);
		biggest_path = strdup(path);
	}
	return 0;
}

static void damage(const char *store)
{
	uint8_t b[3] = {0xa5, 0x5a, 0xa5};
	int fd;

	biggest = 0;
	must(nftw(store, find_biggest, 16, FTW_PHYS), NULL, "damage");
	fd = open(biggest_path, O_WRONLY | O_CLOEXEC);
	must(fd, NULL, "damage");
	must(file_pwrite_full(fd, b, sizeof(b), biggest / 2), NULL, "damage");
	(void) close(fd);
	free(take_ptr(biggest_path));
}

/* The keys of all encrypted stores here. */
static void write_keys(const struct trial *t, const char *text)
{
	auto_free char *path = path_join(t->dir, "keys");

	must(path ? file_write_atomic(path, text, strlen(text), 0600, NULL) : -1, NULL, "keys");
}

static int open_new(const struct trial *t, const char *dir, bool encrypted, struct store **ret,
		    struct err *err)
{
	auto_free char *key = encrypted ? strf("file:%s/keys", t->dir) : NULL;
	const struct store_dir_options o = {.key = key};

	return store_open_dir_with(dir, &o, ret, err);
}

static void make_templates(struct trial *t, bool encrypted, struct err *e)
{
	struct store *s = NULL;
	struct disk_ref d;

	write_keys(t, KEY_OLD);
	must(open_new(t, t->other, encrypted, &s, e), e, "open");
	must(publish(s, t->fd_base, "base", &d, e), e, "base");
	must(commit_v1(t, s, &d, e), e, "commit");
	must(publish(s, t->fd_more, "more", &d, e), e, "more");
	store_close(s);
	for (unsigned i = 0; i < n_trial_ops; i++) {
		const struct trial_op *op = &trial_ops[i];
		auto_free char *dir = path_join(t->templates, op->name);

		s = NULL;
		must(dir ? 0 : -1, NULL, "memory");
		must(open_new(t, dir, op->encrypted, &s, e), e, "open");
		must(publish(s, t->fd_base, "base", &d, e), e, "base");
		if (op->drops || str_starts(op->name, "gc"))
			must(publish(s, t->fd_more, "more", &d, e), e, "more");
		if (str_starts(op->name, "gc"))
			must(do_delete(t, s, e), e, "delete");
		if (strcmp(op->name, "gc-sweep") == 0)
			must(do_gc(t, s, e), e, "gc");
		store_close(s);
		if (op->heals)
			damage(dir);
	}
	write_keys(t, KEY_NEW KEY_OLD);
}

void trial_new(struct trial *t, bool encrypted)
{
	const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	auto_err struct err e = ERR_INIT;
	struct store *s = NULL;
	struct disk_ref d[3];

	t->dir = strf("%s/kiln-test-store-XXXXXX", where);
	if (!t->dir || !mkdtemp(t->dir))
		must(-1, NULL, "scratch directory");
	t->other = path_join(t->dir, "other");
	t->templates = path_join(t->dir, "templates");
	if (!t->other || !t->templates)
		must(-1, NULL, "memory");
	t->fd_base = disk(t->dir, "base", 1);
	t->fd_more = disk(t->dir, "more", 2);
	t->fd_over = disk(t->dir, "over", 3);
	make_templates(t, encrypted, &e);
	must(store_open_dir(t->other, true, &s, &e), &e, "open");
	must(store_root_get(s, 0, "name", "base", &d[0], &e), &e, "base");
	must(store_root_get(s, 0, "name", "v1", &d[1], &e), &e, "v1");
	must(store_root_get(s, 0, "name", "more", &d[2], &e), &e, "more");
	store_close(s);
	t->base = d[0].digest;
	t->v1 = d[1].digest;
	t->more = d[2].digest;
}

void trial_free(struct trial *t)
{
	(void) close(t->fd_base);
	(void) close(t->fd_more);
	(void) close(t->fd_over);
	(void) file_rm_rf(t->dir, NULL);
	free(t->dir);
	free(t->other);
	free(t->templates);
}

static const struct digest *digest_for(const struct trial *t, const char *name)
{
	return strcmp(name, "v1") == 0 ? &t->v1 : strcmp(name, "more") == 0 ? &t->more : &t->base;
}

static void want(const struct trial *t, struct trial_model *m, const char *name)
{
	m->names[m->n] = name;
	m->digests[m->n++] = *digest_for(t, name);
}

void trial_want(const struct trial *t, const struct trial_op *op, bool done,
		struct trial_model *ret)
{
	*ret = (struct trial_model){.nothing_aside = !op->heals};
	want(t, ret, "base");
	if (done && op->publishes)
		want(t, ret, op->publishes);
	if (!done && op->drops)
		want(t, ret, op->drops);
}

struct strange {
	char text[512]; /* the first finding that a crash or a fault does not excuse */
};

static void on_finding(void *arg, const char *text)
{
	struct strange *x = arg;

	/* A complete pack whose row did not come to be is adopted; half of one must not be. */
	if (!x->text[0] && !strstr(text, "; a valid pack"))
		(void) snprintf(x->text, sizeof(x->text), "%s", text);
}

/* Every name, whoever wrote it, is one of ours with its own content. */
struct roots_seen {
	const struct trial *t;
	const char *wrong;
};

static int see_root(void *arg, unsigned region, const char *kind, const char *id,
		    const struct disk_ref *disk)
{
	struct roots_seen *x = arg;

	if (strcmp(kind, "name") == 0 && !digest_eq(&disk->digest, digest_for(x->t, id)))
		x->wrong = "a name has another disk's content";
	return 0;
}

static int prove_model(const struct trial *t, struct store *s, const struct trial_model *m,
		       struct err *err)
{
	struct roots_seen seen = {.t = t};
	int r = store_root_list(s, NULL, see_root, &seen, err);

	if (r >= 0 && seen.wrong)
		r = err_set(err, -EBADMSG, "%s", seen.wrong);
	for (unsigned i = 0; i < m->n && r >= 0; i++) {
		struct disk_ref d;

		r = store_root_get(s, 0, "name", m->names[i], &d, err);
		if (m->absent[i] && (r == 0 || r == -ENOENT))
			r = r == 0 ? err_set(err, -EBADMSG, "\"%s\" was removed and is back",
					     m->names[i])
				   : 0;
		else if (r == -ENOENT)
			r = err_set(err, -EBADMSG, "\"%s\" was acknowledged and is lost",
				    m->names[i]);
	}
	return r;
}

static int prove_whole(struct store *s, const char *when, struct err *err)
{
	struct strange x = {""};
	struct store_check_result k;
	int r = store_check(s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, on_finding, &x, &k, err);

	if (r < 0)
		return r;
	if (k.damaged_packs || k.missing || k.lost || x.text[0])
		return err_set(err, -EBADMSG, "%s: %llu packs damaged, %llu names missing: %s",
			       when, (unsigned long long) k.damaged_packs,
			       (unsigned long long) k.missing, x.text);
	return 0;
}

/* Every name is read whole or refused: a byte that comes out is the right one. */
static int read_all(void *arg, unsigned region, const char *kind, const char *id,
		    const struct disk_ref *d)
{
	struct store *s = arg;
	int fd = memfd_create("out", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	(void) store_restore(s, region, d, fd, NULL, NULL, NULL, NULL);
	(void) close(fd);
	return 0;
}

int trial_survive(const struct trial *t, const char *store, bool *ret_damaged, struct err *err)
{
	struct store_check_result k;
	struct store *s = NULL;
	int r = store_open_dir(store, false, &s, err);

	if (r < 0)
		return err_ctx(err, r, "open after the power cut");
	r = store_root_list(s, NULL, read_all, s, err);
	if (r >= 0)
		r = store_check(s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, NULL, NULL, &k, err);
	*ret_damaged = r >= 0 && (k.damaged_packs > 0 || k.missing > 0);
	if (r >= 0)
		r = do_heal(t, s, err);
	if (r >= 0)
		r = prove_whole(s, "after healing", err);
	store_close(s);
	return r;
}

int trial_prove(const struct trial *t, const char *store, const struct trial_model *m, bool heal,
		struct err *err)
{
	struct store *s = NULL;
	int r = store_open_dir(store, false, &s, err);

	if (r < 0)
		return err_ctx(err, r, "open after the fault");
	if (something_in(store, "regions/local/tmp"))
		r = err_set(err, -EBADMSG, "a temporary is left");
	else if (m->nothing_aside && something_in(store, "regions/local/quarantine"))
		r = err_set(err, -EBADMSG, "a good pack was put aside");
	else if (journal_holds(store))
		r = err_set(err, -EBADMSG, "the journal is not empty");
	if (r >= 0)
		r = prove_model(t, s, m, err);
	if (r >= 0 && heal)
		r = do_heal(t, s, err);
	if (r >= 0)
		r = prove_whole(s, heal ? "after healing" : "after the fault", err);
	store_close(s);
	return r;
}
