/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the image store on every database: what is pinned stays, lists are whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>

#include "base/mem.h"
#include "meta/packs.h"
#include "support/dbs.h"

#define R       "eastus"
#define MANY    2500 /* rows: more than two pages of a list */
#define WRITERS 4
#define ROUNDS  40
#define PACKS   6

static struct pack_id pack(unsigned n)
{
	struct pack_id id = {{0}};

	for (size_t i = 0; i < sizeof(n); i++)
		id.b[i] = (uint8_t) (n >> (8 * i));
	return id;
}

static struct meta *open_meta(void **state)
{
	const struct dbs *d = *state;
	struct meta *m;

	assert_int_equal(meta_open(d->url, &m, NULL), 0);
	return m;
}

static void begin(struct meta *m, struct session_key *ret)
{
	assert_int_equal(packs_session_begin(m, "test", "me", 3600, ret, NULL), 0);
}

static void assert_state(struct meta *m, unsigned n, int want)
{
	struct pack_id id = pack(n);
	struct pack_row row;
	int r = packs_get(m, R, &id, &row, NULL);

	if (want < 0) {
		assert_int_equal(r, want);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(row.state, want);
}

static bool condemn(struct meta *m, const struct session_key *k, unsigned n, int64_t snapshot)
{
	struct pack_id id = pack(n);
	bool done = false;

	assert_int_equal(packs_condemn(m, k, R, &id, snapshot, &done, NULL), 0);
	return done;
}

static bool sweep(struct meta *m, const struct session_key *k, unsigned n, int64_t before)
{
	struct pack_id id = pack(n);
	bool done = false;

	assert_int_equal(packs_sweep_begin(m, k, R, &id, before, &done, NULL), 0);
	return done;
}

static bool pin(struct meta *m, const struct session_key *k, unsigned n)
{
	struct pack_id id = pack(n);
	bool ok = false;

	assert_int_equal(packs_pin(m, k, R, &id, 1, &ok, NULL), 0);
	return ok;
}

static void from_present_to_gone(void **state)
{
	struct root_row root = {.region = R, .kind = "version", .id = "/v", .size_bytes = 512};
	struct meta *m = open_meta(state);
	struct session_key k, gc, other;
	struct pack_id id = pack(1);
	int64_t epoch;

	begin(m, &k);
	assert_int_equal(packs_add(m, &k, R, &id, 100, 10, NULL), 0);
	assert_int_equal(packs_add(m, &k, R, &id, 100, 10, NULL), 0);
	assert_state(m, 1, PACK_PRESENT);
	assert_false(pin(m, &k, 2)); /* no such pack */
	begin(m, &gc);
	begin(m, &other);
	assert_int_equal(packs_gc_claim(m, &gc, R, NULL), 0);
	assert_int_equal(packs_gc_claim(m, &other, R, NULL), -EBUSY);
	assert_int_equal(packs_session_end(m, other.id, NULL), 0);
	assert_int_equal(packs_epoch_next(m, &epoch, NULL), 0);
	assert_false(condemn(m, &gc, 1, epoch)); /* pinned */
	assert_int_equal(packs_root_add(m, &k, &root, NULL), 0);
	assert_int_equal(packs_session_end(m, k.id, NULL), 0);
	assert_int_equal(packs_session_renew(m, &k, 10, NULL), -ESTALE);
	assert_int_equal(packs_add(m, &k, R, &id, 100, 10, NULL), -ESTALE);
	assert_false(condemn(m, &gc, 1, epoch)); /* stamped by the root */
	assert_int_equal(packs_epoch_next(m, &epoch, NULL), 0);
	assert_true(condemn(m, &gc, 1, epoch));
	assert_int_equal(packs_rescue(m, R, &id, NULL), 0);
	assert_state(m, 1, PACK_PRESENT);
	assert_true(condemn(m, &gc, 1, epoch));
	begin(m, &k);
	assert_true(pin(m, &k, 1)); /* which makes it present again */
	assert_state(m, 1, PACK_PRESENT);
	assert_false(condemn(m, &gc, 1, epoch));
	assert_int_equal(packs_session_end(m, k.id, NULL), 0);
	assert_true(condemn(m, &gc, 1, epoch));
	assert_false(sweep(m, &gc, 1, epoch)); /* a session is older */
	assert_int_equal(packs_session_end(m, gc.id, NULL), 0);
	assert_false(sweep(m, &gc, 1, epoch)); /* its session is gone */
	assert_int_equal(packs_epoch_next(m, &epoch, NULL), 0);
	begin(m, &gc);
	assert_true(sweep(m, &gc, 1, epoch));
	assert_state(m, 1, PACK_DELETING);
	assert_false(pin(m, &gc, 1));
	assert_int_equal(packs_rescue(m, R, &id, NULL), -ESTALE);
	assert_int_equal(packs_remove(m, R, &id, NULL), 0);
	assert_state(m, 1, -ENOENT);
	meta_close(m);
}

static bool only_young(void *arg, const char *owner, bool lease_over)
{
	return !lease_over;
}

static void sessions_expire_with_what_they_hold(void **state)
{
	struct root_row root = {.region = R, .kind = "session", .id = "s", .size_bytes = 512};
	struct meta *m = open_meta(state);
	int64_t live, removed, now;
	struct session_key old, young;
	struct pack_id id = pack(1);
	unsigned ended = 0;

	begin(m, &young);
	assert_int_equal(packs_session_begin(m, "test", "gone", -1, &old, NULL), 0);
	assert_int_equal(packs_add(m, &old, R, &id, 1, 1, NULL), 0);
	assert_int_equal(packs_root_add(m, &old, &root, NULL), 0);
	assert_int_equal(packs_root_get(m, &root, NULL), 0);
	assert_int_equal(packs_session_expire(m, only_young, NULL, &ended, NULL), 0);
	assert_int_equal(ended, 1);
	assert_int_equal(packs_root_get(m, &root, NULL), -ENOENT);
	assert_int_equal(packs_root_add(m, &old, &root, NULL), -ESTALE);
	assert_int_equal(packs_session_renew(m, &young, 10, NULL), 0);
	/* that a root went is counted */
	assert_int_equal(packs_gc_note(m, R, &live, &removed, &now, NULL), 0);
	assert_int_equal(live, 0);
	assert_int_equal(removed, 0);
	assert_int_equal(now, 1);
	assert_int_equal(packs_gc_set(m, R, 5, now, NULL), 0);
	assert_int_equal(packs_gc_note(m, R, &live, &removed, &now, NULL), 0);
	assert_int_equal(live, 5);
	assert_int_equal(removed, 1);
	meta_close(m);
}

/* ---- Lists -------------------------------------------------------------------------------- */

struct seen {
	unsigned n, stop;
	int64_t seq;
	char id[32];
};

static int see_root(void *arg, const struct root_row *row)
{
	struct seen *s = arg;

	assert_true(strcmp(row->id, s->id) > 0); /* ascending, none twice */
	(void) snprintf(s->id, sizeof(s->id), "%s", row->id);
	return ++s->n == s->stop ? 7 : 0;
}

static int see_pack(void *arg, const struct pack_row *row)
{
	struct seen *s = arg;

	assert_true(row->seq > s->seq);
	s->seq = row->seq;
	return ++s->n == s->stop ? 7 : 0;
}

static void lists_in_pages(void **state)
{
	struct meta *m = open_meta(state);
	uint64_t packs, bytes, frames;
	struct seen s = {0};
	struct session_key k;

	assert_int_equal(meta_begin(m, NULL), 0);
	begin(m, &k);
	for (unsigned i = 0; i < MANY; i++) {
		struct pack_id id = pack(i);
		char name[32];
		struct root_row root = {.region = i % 2 ? R : "westeurope",
					.kind = "version",
					.id = name,
					.size_bytes = i};

		(void) snprintf(name, sizeof(name), "/Version-%05u_%s", i, i % 3 ? "a" : "B");
		assert_int_equal(packs_adopt(m, R, &id, 10, 2, NULL), 0);
		assert_int_equal(packs_root_add(m, &k, &root, NULL), 0);
	}
	assert_int_equal(meta_commit(m, NULL), 0);
	assert_int_equal(packs_root_list(m, NULL, NULL, see_root, &s, NULL), 0);
	assert_int_equal(s.n, MANY);
	s = (struct seen){0};
	assert_int_equal(packs_root_list(m, R, "version", see_root, &s, NULL), 0);
	assert_int_equal(s.n, MANY / 2);
	s = (struct seen){.stop = 1700};
	assert_int_equal(packs_root_list(m, NULL, "version", see_root, &s, NULL), 7);
	s = (struct seen){0};
	assert_int_equal(packs_root_list(m, NULL, "none", see_root, &s, NULL), 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(packs_list(m, R, 0, see_pack, &s, NULL), 0);
	assert_int_equal(s.n, MANY);
	s = (struct seen){.seq = s.seq - 10};
	assert_int_equal(packs_list(m, R, s.seq, see_pack, &s, NULL), 0);
	assert_int_equal(s.n, 10);
	assert_int_equal(packs_usage(m, R, &packs, &bytes, &frames, NULL), 0);
	assert_int_equal(packs, MANY);
	assert_int_equal(bytes, MANY * 10);
	assert_int_equal(frames, MANY * 2);
	/* what is in no other region keeps a region */
	assert_int_equal(packs_session_end(m, k.id, NULL), 0);
	assert_int_equal(packs_region_forget(m, R, NULL), -ENOTEMPTY);
	assert_int_equal(packs_root_remove(m, R, "version", "/Version-00001_a", NULL), 0);
	meta_close(m);
}

/* ---- Writers beside collectors -------------------------------------------------------------- */

struct shared {
	struct meta *pool[2];
	atomic_uint relied, removed, wrong;
	atomic_bool stop;
};

struct thread {
	struct shared *s;
	struct meta *m;
	unsigned n;
	pthread_t id;
};

static void *writer(void *arg)
{
	struct thread *t = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct pack_id id = pack((i + t->n) % PACKS);
		char name[32];
		struct root_row root = {.region = R, .kind = "version", .id = name};
		struct session_key k;
		bool ok = false;
		int r = packs_session_begin(t->m, "write", "me", 3600, &k, NULL);

		(void) snprintf(name, sizeof(name), "/%u-%u", t->n, i);
		if (r >= 0)
			r = packs_pin(t->m, &k, R, &id, 1, &ok, NULL);
		/* once pinned it may be relied on: publishing finds it */
		if (r >= 0 && ok)
			r = packs_root_add(t->m, &k, &root, NULL);
		if (r >= 0 && ok)
			atomic_fetch_add(&t->s->relied, 1);
		if (r >= 0)
			r = packs_session_end(t->m, k.id, NULL);
		if (r < 0)
			atomic_fetch_add(&t->s->wrong, 1);
	}
	return NULL;
}

static void *collector(void *arg)
{
	struct thread *t = arg;
	struct session_key k;
	int64_t epoch;
	int r;

	while (!atomic_load(&t->s->stop)) {
		r = packs_epoch_next(t->m, &epoch, NULL);
		if (r >= 0)
			r = packs_session_begin(t->m, "collect", "me", 3600, &k, NULL);
		for (unsigned i = 0; i < PACKS && r >= 0; i++) {
			struct pack_id id = pack(i);
			bool done = false;

			r = packs_sweep_begin(t->m, &k, R, &id, epoch, &done, NULL);
			if (r >= 0 && done) {
				r = packs_remove(t->m, R, &id, NULL);
				atomic_fetch_add(&t->s->removed, 1);
				if (r >= 0) /* another with these chunks comes */
					r = packs_adopt(t->m, R, &id, 1, 1, NULL);
			} else if (r >= 0) {
				r = packs_condemn(t->m, &k, R, &id, epoch + 1, &done, NULL);
			}
		}
		if (r >= 0)
			r = packs_session_end(t->m, k.id, NULL);
		if (r < 0)
			atomic_fetch_add(&t->s->wrong, 1);
	}
	return NULL;
}

static void what_is_pinned_is_never_swept(void **state)
{
	struct thread w[WRITERS], c;
	struct shared s = {0};

	s.pool[0] = open_meta(state);
	s.pool[1] = open_meta(state);
	for (unsigned i = 0; i < PACKS; i++) {
		struct pack_id id = pack(i);

		assert_int_equal(packs_adopt(s.pool[0], R, &id, 1, 1, NULL), 0);
	}
	c = (struct thread){.s = &s, .m = s.pool[1]};
	assert_int_equal(pthread_create(&c.id, NULL, collector, &c), 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct thread){.s = &s, .m = s.pool[i % 2], .n = i};
		assert_int_equal(pthread_create(&w[i].id, NULL, writer, &w[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_join(w[i].id, NULL), 0);
	atomic_store(&s.stop, true);
	assert_int_equal(pthread_join(c.id, NULL), 0);
	assert_int_equal(s.wrong, 0);
	assert_true(s.relied > 0);
	meta_close(s.pool[0]);
	meta_close(s.pool[1]);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(from_present_to_gone),
		DBS_TEST(sessions_expire_with_what_they_hold),
		DBS_TEST(lists_in_pages),
		DBS_TEST(what_is_pinned_is_never_swept),
	};

	return dbs_run("meta/packs", tests, ARRAY_SIZE(tests));
}
