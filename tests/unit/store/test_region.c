/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every kind of region must do. A new backend is one more struct kind here; the store itself
 * is then tried on it too.
 */
#include "util.h"

#include <pthread.h>
#include <stdatomic.h>

#include "store/internal.h"
#include "store/maintain.h"
#include "support/fault.h"
#include "support/http_cut.h"
#include "support/region_mem.h"

#define OBJECTS 257 /* more than two pages, and not a multiple */
#define RACERS  4

/* A kind of region: a place to keep objects, opened any number of times. */
struct kind {
	const char *name;
	void *(*make)(void);
	int (*open)(void *place, bool read_only, struct region **ret, struct err *err);
	/* The @n-th step from now on fails; 0 = none. */
	void (*arm)(void *place, unsigned n, int error, bool *armed);
	void (*destroy)(void *place);
};

struct fixture {
	const struct kind *kind;
	void *place;
	struct region *g;
};

/* ---- The kinds ------------------------------------------------------------------------------ */

static void *dir_make(void)
{
	return scratch_new();
}

static int dir_open(void *place, bool read_only, struct region **ret, struct err *err)
{
	const struct region_options o = {.read_only = read_only};

	return region_open("here", place, &o, ret, err);
}

static void dir_arm(void *place, unsigned n, int error, bool *armed)
{
	sys_use(n ? fault_nth(n, error, armed) : NULL);
}

static void dir_destroy(void *place)
{
	scratch_free(place);
}

static void *mem_make(void)
{
	return region_mem_new();
}

static int mem_open(void *place, bool read_only, struct region **ret, struct err *err)
{
	return region_mem_open(place, "here", read_only, ret, err);
}

static void mem_arm(void *place, unsigned n, int error, bool *armed)
{
	region_mem_fail(place, n, error, armed);
}

static void mem_destroy(void *place)
{
	region_mem_free(place);
}

/* KILN_TEST_AZURE=PORT of a Blob service on loopback with the emulators' well-known account. */
#define AZURE_ACCOUNT "devstoreaccount1"
#define AZURE_KEY                                                                                  \
	"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

struct azure_place {
	char *dir;
	struct http_cut *cut;
	enum http_cut_how how;
	bool *armed; /* to be cleared when it happened */
};

static void *azure_make_cut(enum http_cut_how how)
{
	struct azure_place *a = calloc(1, sizeof(*a));
	const char *port = getenv("KILN_TEST_AZURE");
	auto_free char *path = NULL, *text = NULL;
	char name[UUID_STR];
	unsigned at;

	assert_non_null(a);
	assert_non_null(port);
	a->dir = scratch_new();
	a->how = how;
	a->cut = http_cut_start((unsigned) strtoul(port, NULL, 10), &at);
	path = path_join(a->dir, "cloud.json");
	assert_int_equal(uuid_random(name), 0);
	text = strf("{\"container\": \"http://127.0.0.1:%u/" AZURE_ACCOUNT
		    "/%s\", \"account\": \"" AZURE_ACCOUNT "\", \"accountKey\": \"" AZURE_KEY
		    "\", \"pageSize\": 100,"
		    "\"attempts\": 2}",
		    at, name);
	assert_non_null(text);
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
	return a;
}

static void *azure_make_lost_requests(void)
{
	return azure_make_cut(HTTP_CUT_REQUEST);
}

static void *azure_make_lost_answers(void)
{
	return azure_make_cut(HTTP_CUT_ANSWER);
}

static int azure_open_place(void *place, bool read_only, struct region **ret, struct err *err)
{
	const struct region_options o = {.read_only = read_only};
	struct azure_place *a = place;
	auto_free char *url = strf("azure-blob://%s/cloud.json", a->dir);

	assert_non_null(url);
	return region_open("here", url, &o, ret, err);
}

static void azure_arm(void *place, unsigned n, int error, bool *armed)
{
	struct azure_place *a = place;

	if (n == 0 && a->armed)
		*a->armed = !http_cut_did(a->cut);
	a->armed = n ? armed : NULL;
	http_cut_at(a->cut, a->how, n);
}

static void azure_destroy(void *place)
{
	struct azure_place *a = place;

	http_cut_stop(a->cut);
	scratch_free(a->dir);
	free(a);
}

static struct kind kinds[] = {
	{"directory", dir_make, dir_open, dir_arm, dir_destroy},
	{"memory", mem_make, mem_open, mem_arm, mem_destroy},
	{"Azure Blob, requests lost", azure_make_lost_requests, azure_open_place, azure_arm,
	 azure_destroy},
	{"Azure Blob, answers lost", azure_make_lost_answers, azure_open_place, azure_arm,
	 azure_destroy},
};

static void reopen(struct fixture *f, bool read_only)
{
	struct err e = ERR_INIT;

	region_free(f->g);
	f->g = NULL;
	assert_ok(f->kind->open(f->place, read_only, &f->g, &e), e);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->kind = *state;
	f->place = f->kind->make();
	assert_non_null(f->place);
	reopen(f, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	region_free(f->g);
	f->kind->destroy(f->place);
	free(f);
	return 0;
}

/* ---- Helpers -------------------------------------------------------------------------------- */

static void put(struct fixture *f, const char *key, const char *text)
{
	struct err e = ERR_INIT;

	assert_ok(region_put_small(f->g, key, text, strlen(text), &e), e);
}

/* Is @key whole and this text? Else it must be absent. */
static bool holds(struct fixture *f, const char *key, const char *text)
{
	char b[64];
	uint64_t n;
	int r = region_stat(f->g, key, &n, NULL);

	if (r == -ENOENT) {
		assert_int_equal(region_get(f->g, key, 0, b, 1, NULL), -ENOENT);
		return false;
	}
	assert_int_equal(r, 0);
	assert_int_equal(n, strlen(text));
	assert_int_equal(region_get(f->g, key, 0, b, strlen(text), NULL), 0);
	assert_memory_equal(b, text, strlen(text));
	return true;
}

struct seen {
	unsigned n, stop_at;
	uint64_t bytes;
	bool which[OBJECTS];
	char last[REGION_KEY_MAX];
};

static int see(void *arg, const char *key, uint64_t bytes)
{
	struct seen *s = arg;
	const char *dash = strchr(key, '-');

	if (dash) {
		unsigned long i = strtoul(dash + 1, NULL, 10);

		assert_true(i < OBJECTS);
		assert_false(s->which[i]); /* each once */
		s->which[i] = true;
	}
	(void) snprintf(s->last, sizeof(s->last), "%s", key);
	s->bytes += bytes;
	return ++s->n == s->stop_at ? -ECANCELED : 0;
}

static struct seen list(struct fixture *f, const char *prefix)
{
	struct seen s = {0};
	struct err e = ERR_INIT;

	assert_ok(region_list(f->g, prefix, see, &s, &e), e);
	return s;
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void ranges(void **state)
{
	struct fixture *f = *state;
	char b[16];

	put(f, "packs/ab/one", "0123456789");
	assert_int_equal(region_get(f->g, "packs/ab/one", 3, b, 4, NULL), 0);
	assert_memory_equal(b, "3456", 4);
	assert_int_equal(region_get(f->g, "packs/ab/one", 0, b, 10, NULL), 0);
	assert_memory_equal(b, "0123456789", 10);
	assert_int_equal(region_get(f->g, "packs/ab/one", 9, b, 1, NULL), 0);
	assert_int_equal(region_get(f->g, "packs/ab/one", 10, b, 0, NULL), 0);
	assert_int_equal(region_get(f->g, "packs/ab/one", 9, b, 2, NULL), -ENODATA);
	assert_int_equal(region_get(f->g, "packs/ab/one", 10, b, 1, NULL), -ENODATA);
	assert_int_equal(region_get(f->g, "packs/ab/one", 1u << 30, b, 1, NULL), -ENODATA);
	assert_int_equal(region_get(f->g, "packs/ab/two", 0, b, 1, NULL), -ENOENT);
	assert_int_equal(region_get(f->g, "packs/cd/one", 0, b, 1, NULL), -ENOENT);
	put(f, "packs/ab/empty", "");
	assert_true(holds(f, "packs/ab/empty", ""));
	assert_int_equal(region_get(f->g, "packs/ab/empty", 0, b, 1, NULL), -ENODATA);
	reopen(f, false);
	assert_true(holds(f, "packs/ab/one", "0123456789"));
}

static void pieces(void **state)
{
	struct fixture *f = *state;
	struct region_put *p = NULL;
	uint8_t b[1000], got[1000];
	uint64_t n;

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t) (i * 7);
	assert_int_equal(region_put_begin(f->g, &p, NULL), 0);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(region_put_add(p, b, sizeof(b), NULL), 0);
	assert_int_equal(region_put_read(p, 123456, got, 544, NULL), 0);
	assert_memory_equal(got, b + 456, 544);
	assert_true(region_put_read(p, 299999, got, 2, NULL) < 0);
	/* Not there before its commit. */
	assert_int_equal(list(f, "packs/").n, 0);
	assert_int_equal(region_stat(f->g, "packs/ab/big", &n, NULL), -ENOENT);
	assert_int_equal(region_put_commit(p, "packs/ab/big", NULL), 0);
	assert_int_equal(region_stat(f->g, "packs/ab/big", &n, NULL), 0);
	assert_int_equal(n, 300000);
	assert_int_equal(region_get(f->g, "packs/ab/big", 299000, got, 1000, NULL), 0);
	assert_memory_equal(got, b, 1000);
	/* An aborted one leaves nothing. */
	assert_int_equal(region_put_begin(f->g, &p, NULL), 0);
	assert_int_equal(region_put_add(p, b, sizeof(b), NULL), 0);
	region_put_abort(p);
	assert_int_equal(list(f, "packs/").n, 1);
}

static void keys_are_written_once(void **state)
{
	struct fixture *f = *state;
	struct region_put *p = NULL;

	put(f, "manifests/ab/x", "first");
	assert_int_equal(region_put_small(f->g, "manifests/ab/x", "second", 6, NULL), -EEXIST);
	assert_int_equal(region_put_begin(f->g, &p, NULL), 0);
	assert_int_equal(region_put_commit(p, "manifests/ab/x", NULL), -EEXIST);
	assert_true(holds(f, "manifests/ab/x", "first"));
	assert_int_equal(region_remove(f->g, "manifests/ab/x", NULL), 0);
	assert_false(holds(f, "manifests/ab/x", "first"));
	put(f, "manifests/ab/x", "second");
	assert_true(holds(f, "manifests/ab/x", "second"));
}

static int replace(struct fixture *f, const char *key, const char *text)
{
	struct region_put *p = NULL;
	int r = region_put_begin(f->g, &p, NULL);

	if (r < 0)
		return r;
	r = region_put_add(p, text, strlen(text), NULL);
	if (r < 0) {
		region_put_abort(p);
		return r;
	}
	return region_put_replace(p, key, NULL);
}

/* In the place of what is there, also for one who read the old one before; or of nothing. */
static void a_key_is_replaced_whole(void **state)
{
	struct fixture *f = *state;

	put(f, "packs/ab/x", "the old one, longer");
	assert_true(holds(f, "packs/ab/x", "the old one, longer"));
	assert_int_equal(replace(f, "packs/ab/x", "the new one"), 0);
	assert_true(holds(f, "packs/ab/x", "the new one"));
	assert_int_equal(list(f, "packs/").n, 1);
	assert_int_equal(replace(f, "packs/cd/y", "first"), 0);
	assert_true(holds(f, "packs/cd/y", "first"));
	assert_int_equal(list(f, "quarantine/").n, 0);
}

/* Pieces that were added and given up, by a caller or by its end, are nowhere. */
static void an_interrupted_put_is_nowhere(void **state)
{
	struct fixture *f = *state;
	struct region *other = NULL;
	struct region_put *p = NULL;
	auto_err struct err e = ERR_INIT;
	uint8_t b[1000] = {7};

	put(f, "packs/ab/x", "first");
	assert_ok(f->kind->open(f->place, false, &other, &e), e);
	assert_ok(region_put_begin(other, &p, &e), e);
	for (unsigned i = 0; i < 100; i++)
		assert_ok(region_put_add(p, b, sizeof(b), &e), e);
	assert_int_equal(list(f, "packs/").n, 1);
	assert_true(holds(f, "packs/ab/x", "first"));
	region_put_abort(p);
	region_free(other);
	assert_int_equal(list(f, "packs/").n, 1);
	assert_int_equal(list(f, "quarantine/").n, 0);
	put(f, "packs/ab/y", "second");
	assert_int_equal(list(f, "packs/").n, 2);
}

struct race {
	struct fixture *f;
	unsigned me;
	atomic_uint *won;
};

static void *racer(void *arg)
{
	const struct race *r = arg;
	char text[2] = {(char) ('a' + r->me), '\0'};

	for (unsigned i = 0; i < 50; i++) {
		char key[64];
		int x;

		(void) snprintf(key, sizeof(key), "packs/ab/race-%u", i);
		x = region_put_small(r->f->g, key, text, 1, NULL);
		if (x == 0)
			atomic_fetch_add(&r->won[i], 1);
		else if (x != -EEXIST)
			atomic_fetch_add(&r->won[i], 100);
	}
	return NULL;
}

static void one_writer_wins(void **state)
{
	atomic_uint won[50];
	struct race races[RACERS];
	pthread_t t[RACERS];

	for (unsigned i = 0; i < ARRAY_SIZE(won); i++)
		atomic_init(&won[i], 0);
	for (unsigned i = 0; i < RACERS; i++) {
		races[i] = (struct race){*state, i, won};
		assert_int_equal(pthread_create(&t[i], NULL, racer, &races[i]), 0);
	}
	for (unsigned i = 0; i < RACERS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(won); i++)
		assert_int_equal(atomic_load(&won[i]), 1);
	assert_int_equal(list(*state, "packs/").n, 50);
}

static void listing(void **state)
{
	struct fixture *f = *state;
	struct seen s = {.stop_at = 150};

	for (unsigned i = 0; i < OBJECTS; i++) {
		char key[64], text[8];

		(void) snprintf(key, sizeof(key), "packs/%02x/o-%u", i % 7, i);
		(void) snprintf(text, sizeof(text), "%.*s", (int) (i % 5), "xxxxx");
		put(f, key, text);
	}
	put(f, "catalog/ab/other", "1");
	s = list(f, "packs/");
	assert_int_equal(s.n, OBJECTS);
	assert_int_equal(s.bytes, OBJECTS / 5 * (0 + 1 + 2 + 3 + 4) + 0 + 1);
	assert_int_equal(list(f, "packs/03/").n, (OBJECTS + 3) / 7); /* 3, 10, 17, ... */
	assert_int_equal(list(f, "packs/99/").n, 0);
	assert_int_equal(list(f, "epochs/").n, 0);
	s = (struct seen){.stop_at = 150};
	assert_int_equal(region_list(f->g, "packs/", see, &s, NULL), -ECANCELED);
	assert_int_equal(s.n, 150);
}

static int see_and_remove(void *arg, const char *key, uint64_t bytes)
{
	struct fixture *f = arg;

	return region_remove(f->g, key, NULL);
}

static void removal(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < OBJECTS; i++) {
		char key[64];

		(void) snprintf(key, sizeof(key), "packs/ab/o-%u", i);
		put(f, key, "x");
	}
	assert_int_equal(region_remove(f->g, "packs/ab/o-1", NULL), 0);
	assert_int_equal(region_remove(f->g, "packs/ab/o-1", NULL), 0);
	assert_int_equal(region_remove(f->g, "packs/ff/never", NULL), 0);
	assert_int_equal(list(f, "packs/").n, OBJECTS - 1);
	/* While a listing runs. */
	assert_int_equal(region_list(f->g, "packs/", see_and_remove, f, NULL), 0);
	reopen(f, false);
	assert_int_equal(list(f, "packs/").n, 0);
}

static void quarantine(void **state)
{
	struct fixture *f = *state;
	char b[3];

	for (unsigned i = 0; i < 3; i++) {
		struct seen s;

		put(f, "packs/ab/bad", "bad");
		assert_int_equal(region_quarantine(f->g, "packs/ab/bad", NULL), 0);
		assert_false(holds(f, "packs/ab/bad", "bad"));
		s = list(f, "quarantine/");
		assert_int_equal(s.n, i + 1);
		assert_int_equal(region_get(f->g, s.last, 0, b, 3, NULL), 0);
		assert_memory_equal(b, "bad", 3);
	}
	assert_int_equal(region_quarantine(f->g, "packs/ab/none", NULL), 0);
	assert_int_equal(list(f, "quarantine/").n, 3);
}

static void bad_keys(void **state)
{
	static const char *const bad[] = {"", "/packs/x", "../x", "packs/../../x", "packs/.."};
	struct fixture *f = *state;
	char longest[REGION_KEY_MAX + 1], b[1];
	uint64_t n;

	memset(longest, 'k', sizeof(longest));
	longest[REGION_KEY_MAX] = '\0';
	assert_int_equal(region_put_small(f->g, longest, "x", 1, NULL), -EINVAL);
	longest[REGION_KEY_MAX - 1] = '\0';
	memcpy(longest, "packs/ab/", 9);
	put(f, longest, "x");
	assert_true(holds(f, longest, "x"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(region_put_small(f->g, bad[i], "x", 1, NULL), -EINVAL);
		assert_int_equal(region_get(f->g, bad[i], 0, b, 1, NULL), -EINVAL);
		assert_int_equal(region_stat(f->g, bad[i], &n, NULL), -EINVAL);
		assert_int_equal(region_remove(f->g, bad[i], NULL), -EINVAL);
		assert_int_equal(region_quarantine(f->g, bad[i], NULL), -EINVAL);
	}
	assert_int_equal(list(f, "packs/").n, 1);
}

static void read_only(void **state)
{
	struct fixture *f = *state;
	struct region_put *p = NULL;

	put(f, "packs/ab/x", "text");
	reopen(f, true);
	assert_true(holds(f, "packs/ab/x", "text"));
	assert_int_equal(region_put_begin(f->g, &p, NULL), -EROFS);
	assert_int_equal(region_remove(f->g, "packs/ab/x", NULL), -EROFS);
	assert_int_equal(region_quarantine(f->g, "packs/ab/x", NULL), -EROFS);
	assert_true(holds(f, "packs/ab/x", "text"));
}

/* ---- Every step fails once ------------------------------------------------------------------ */

typedef int change_fn(struct fixture *f);

static int do_put(struct fixture *f)
{
	return region_put_small(f->g, "packs/ab/new", "new object", 10, NULL);
}

static int do_replace(struct fixture *f)
{
	return replace(f, "packs/ab/old", "NEW object");
}

static int do_remove(struct fixture *f)
{
	return region_remove(f->g, "packs/ab/old", NULL);
}

static int do_quarantine(struct fixture *f)
{
	return region_quarantine(f->g, "packs/ab/old", NULL);
}

static int do_list(struct fixture *f)
{
	struct seen s = {0};

	return region_list(f->g, "packs/", see, &s, NULL);
}

/* The one or the other, whole. */
static void after_replace(struct fixture *f, int failed)
{
	char first = 0;

	assert_int_equal(region_get(f->g, "packs/ab/old", 0, &first, 1, NULL), 0);
	assert_true(holds(f, "packs/ab/old", first == 'N' ? "NEW object" : "old object"));
	assert_true(failed < 0 || first == 'N');
	assert_int_equal(do_replace(f), 0);
	assert_true(holds(f, "packs/ab/old", "NEW object"));
	assert_int_equal(list(f, "quarantine/").n, 0);
}

/* Whole or absent; nothing lost that was not to go; a second attempt ends what was begun. */
static void after(struct fixture *f, change_fn *change, int failed)
{
	bool is_new = holds(f, "packs/ab/new", "new object");
	bool is_old = holds(f, "packs/ab/old", "old object");
	int r;

	assert_true(holds(f, "packs/ab/third", "never touched"));
	assert_true(is_old || change == do_remove || list(f, "quarantine/").n == 1);
	if (failed == 0)
		assert_true(change == do_put ? is_new : change == do_list || !is_old);
	r = change(f);
	assert_true(r == 0 || (change == do_put && r == -EEXIST && is_new));
	assert_int_equal(holds(f, "packs/ab/new", "new object"), change == do_put);
	assert_int_equal(holds(f, "packs/ab/old", "old object"),
			 change == do_put || change == do_list);
	assert_int_equal(list(f, "quarantine/").n, change == do_quarantine);
}

static void partial_failure(void **state)
{
	static change_fn *const changes[] = {do_put, do_replace, do_remove, do_quarantine, do_list};
	static const int errors[] = {EIO, ENOSPC};
	const struct kind *kind = ((struct fixture *) *state)->kind;

	for (size_t c = 0; c < ARRAY_SIZE(changes) * ARRAY_SIZE(errors); c++) {
		change_fn *change = changes[c / ARRAY_SIZE(errors)];
		bool armed = false, fired = false;

		for (unsigned n = 1; !armed; n++) {
			void *s = (void *) (uintptr_t) kind;
			struct fixture *f;
			int r;

			assert_int_equal(setup(&s), 0);
			f = s;
			put(f, "packs/ab/old", "old object");
			put(f, "packs/ab/third", "never touched");
			armed = true;
			kind->arm(f->place, n, errors[c % ARRAY_SIZE(errors)], &armed);
			r = change(f);
			kind->arm(f->place, 0, 0, NULL);
			if (armed)
				assert_int_equal(r, 0);
			else if (n == 1)
				fired = true;
			/* What a failed sync leaves is known only to who looks again. */
			reopen(f, false);
			if (change == do_replace)
				after_replace(f, r);
			else
				after(f, change, r);
			assert_int_equal(teardown(&s), 0);
		}
		/* A directory's listing makes no call that can be made to fail. */
		assert_true(fired || change == do_list);
	}
}

/* ---- The store on it ------------------------------------------------------------------------ */

static void swap_region(struct fixture *f, struct store *s)
{
	struct err e = ERR_INIT;
	struct region *g = NULL;

	assert_ok(f->kind->open(f->place, false, &g, &e), e);
	region_free(s->regions[0].region);
	free(g->name);
	g->name = strdup("local");
	assert_non_null(g->name);
	s->regions[0].region = g;
}

static void add(struct store *s, int fd, const char *name)
{
	struct store_session *ss = NULL;
	struct err e = ERR_INIT;
	struct disk_ref d;

	assert_ok(store_session_begin(s, "test", &ss, &e), e);
	assert_ok(store_ingest(ss, 0, fd, 0, NULL, NULL, &d, NULL, &e), e);
	assert_ok(store_root_add(ss, 0, "name", name, &d, &e), e);
	store_session_end(ss);
}

static void expect(struct store *s, const char *dir, const char *name, int want)
{
	struct err e = ERR_INIT;
	struct disk_ref d;
	int fd = new_file(dir, "out");
	char *out;

	assert_ok(store_root_get(s, 0, "name", name, &d, &e), e);
	assert_ok(store_restore(s, 0, &d, fd, NULL, NULL, NULL, &e), e);
	assert_same_files(fd, want);
	assert_int_equal(close(fd), 0);
	out = path_join(dir, "out");
	assert_int_equal(unlink(out), 0);
	free(out);
}

static void whole_store(void **state)
{
	struct fixture *f = *state;
	char *dir = scratch_new(), *at = path_join(dir, "store");
	struct err e = ERR_INIT;
	struct store *s = NULL;
	struct store_check_result k;
	struct store_gc_result g;
	int one = disk_file(dir, "one", 48u << 20, 3, 1),
	    two = disk_file(dir, "two", 8u << 20, 1, 9);

	assert_ok(store_open_dir(at, false, &s, &e), e);
	swap_region(f, s);
	add(s, one, "one");
	add(s, two, "two");
	expect(s, dir, "one", one);
	assert_ok(store_root_remove(s, 0, "name", "one", &e), e);
	for (int i = 0; i < 3; i++)
		assert_ok(store_gc(s, 0, false, NULL, &g, &e), e);
	assert_true(g.packs > 0);
	assert_ok(store_check(s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, NULL, NULL, &k, &e), e);
	assert_int_equal(k.damaged_packs + k.missing + k.strays, 0);
	assert_ok(store_rebuild_index(s, 0, NULL, &e), e);
	expect(s, dir, "two", two);
	store_close(s);
	assert_int_equal(close(one), 0);
	assert_int_equal(close(two), 0);
	free(at);
	scratch_free(dir);
}

#define T(fn, k)                                                                                   \
	{                                                                                          \
#fn, fn, setup, teardown, &kinds[k]                                                \
	}
#define ALL(k)                                                                                     \
	T(ranges, k), T(pieces, k), T(keys_are_written_once, k), T(a_key_is_replaced_whole, k),    \
		T(an_interrupted_put_is_nowhere, k), T(one_writer_wins, k), T(listing, k),         \
		T(removal, k), T(quarantine, k), T(bad_keys, k), T(read_only, k),                  \
		T(partial_failure, k), T(whole_store, k)

int main(void)
{
	const struct CMUnitTest directory[] = {ALL(0)}, memory[] = {ALL(1)};
	const struct CMUnitTest azure[] = {ALL(2)}, azure_answers[] = {T(partial_failure, 3)};

	if (getenv("KILN_TEST_AZURE"))
		return cmocka_run_group_tests_name(kinds[2].name, azure, NULL, NULL) +
		       cmocka_run_group_tests_name(kinds[3].name, azure_answers, NULL, NULL);
	return cmocka_run_group_tests_name(kinds[0].name, directory, NULL, NULL) +
	       cmocka_run_group_tests_name(kinds[1].name, memory, NULL, NULL);
}
