/* SPDX-License-Identifier: Apache-2.0 */
/* Read-ahead: right bytes whatever it does, asked for only when reads follow each other. */
#include "util.h"

#include <pthread.h>

#define DISK (24u << 20)
#define STEP 8192u

struct fixture {
	char *dir;
	struct store *s;
	struct disk_ref disk;
	int fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_session *ss = NULL;
	struct err e = ERR_INIT;
	char *at;

	assert_non_null(f);
	f->dir = scratch_new();
	at = path_join(f->dir, "store");
	assert_ok(store_open_dir(at, false, &f->s, &e), e);
	f->fd = disk_file(f->dir, "disk", DISK, 1, 40);
	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	assert_ok(store_ingest(ss, 0, f->fd, 0, NULL, NULL, &f->disk, NULL, &e), e);
	assert_ok(store_root_add(ss, 0, "name", "disk", &f->disk, &e), e);
	store_session_end(ss);
	free(at);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->s);
	assert_int_equal(close(f->fd), 0);
	scratch_free(f->dir);
	free(f);
	return 0;
}

static struct store_reader *reader(struct fixture *f)
{
	struct store_reader *r = NULL;
	struct err e = ERR_INIT;

	assert_ok(store_reader_open(f->s, 0, &f->disk, &r, &e), e);
	return r;
}

static void same_at(struct fixture *f, struct store_reader *r, uint64_t at, size_t n)
{
	uint8_t want[STEP], got[STEP];
	struct err e = ERR_INIT;

	assert_true(n <= STEP);
	assert_int_equal(file_pread_full(f->fd, want, n, at), 0);
	assert_ok(store_reader_read(r, got, n, at, &e), e);
	assert_memory_equal(want, got, n);
}

static uint64_t asked(struct fixture *f)
{
	struct store_read_stats st;

	store_read_stats_get(f->s, &st);
	return st.ahead_chunks;
}

static void in_order(void **state)
{
	struct fixture *f = *state;
	struct store_reader *r = reader(f);
	struct store_read_stats st;

	for (uint64_t at = 0; at < DISK; at += STEP)
		same_at(f, r, at, STEP);
	store_reader_close(r);
	/* Some each time there was room; never one twice, never past the end. */
	assert_true(asked(f) >= 8);
	assert_true(asked(f) <= DISK / CHUNK_BYTES);
	store_read_stats_get(f->s, &st);
	assert_true(st.cache_hits >= (DISK / STEP) * 7 / 8);
	assert_true(st.cache_misses > 0);
	assert_true(st.cache_bytes <= st.cache_max_bytes + (1u << 20));
}

static void at_random(void **state)
{
	struct fixture *f = *state;
	struct store_reader *r = reader(f);

	/* Never two within reach of each other. */
	for (uint64_t i = 0; i < 200; i++)
		same_at(f, r, (i * 7 + 3) % 24 * (1u << 20) + i * 512, 512);
	assert_int_equal(asked(f), 0);
	store_reader_close(r);
}

/* Small files here and there: what is asked for is in proportion to what was read. */
static void short_runs(void **state)
{
	struct fixture *f = *state;
	struct store_reader *r = reader(f);
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < 40; i++) {
		for (uint64_t k = 0; k < 10; k++, bytes += STEP)
			same_at(f, r, (i * 7 + 3) % 20 * (1u << 20) + k * STEP, STEP);
		assert_true(asked(f) * CHUNK_BYTES <= 2 * bytes);
	}
	assert_true(asked(f) > 0);
	store_reader_close(r);
}

/* Requests in flight overtake each other. */
static void overtaking(void **state)
{
	struct fixture *f = *state;
	struct store_reader *r = reader(f);

	for (uint64_t at = 0; at + 4 * STEP <= DISK; at += 4 * STEP) {
		static const unsigned order[] = {2, 0, 3, 1};

		for (size_t i = 0; i < ARRAY_SIZE(order); i++)
			same_at(f, r, at + order[i] * STEP, STEP);
	}
	assert_true(asked(f) >= 8);
	store_reader_close(r);
}

/* What is asked for may outlive the reader, and be under way when the store is closed. */
static void closed_meanwhile(void **state)
{
	struct fixture *f = *state;
	char *at = path_join(f->dir, "store");

	for (unsigned i = 0; i < 30; i++) {
		struct err e = ERR_INIT;
		struct store_reader *r = reader(f);

		for (uint64_t k = 0; k < 16; k++)
			same_at(f, r, i * (512u << 10) + k * STEP, STEP);
		store_reader_close(r);
		assert_true(asked(f) > 0);
		store_close(f->s);
		assert_ok(store_open_dir(at, false, &f->s, &e), e);
	}
	free(at);
}

static void *read_all(void *arg)
{
	struct fixture *f = arg;
	struct store_reader *r = reader(f);

	for (uint64_t at = 0; at < DISK; at += STEP)
		same_at(f, r, at, STEP);
	store_reader_close(r);
	return NULL;
}

static void many_readers(void **state)
{
	pthread_t t[4];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, read_all, *state), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(at_random, setup, teardown),
		cmocka_unit_test_setup_teardown(short_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(overtaking, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(many_readers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
