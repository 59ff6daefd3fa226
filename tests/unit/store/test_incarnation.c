/* SPDX-License-Identifier: Apache-2.0 */
/* A region that is not the one that the database knows: nothing is written or collected there
 * until it was brought in line; what another region has is served meanwhile. */
#include "util.h"

#include "base/proc.h"
#include "meta/meta.h"
#include "store/maintain.h"

#define DISK_BYTES (4u << 20)

struct fixture {
	char *dir, *east, *west, *copy;
	struct meta *meta;
	struct store *s;
	struct disk_ref first, second;
};

static void open_it(struct fixture *f)
{
	const struct store_region_config regions[] = {{.name = "east", .url = f->east},
						      {.name = "west", .url = f->west}};
	auto_free char *url = strf("sqlite:%s/store.db", f->dir);
	const struct store_config c = {.dir = f->dir, .regions = regions, .n_regions = 2};
	struct store_config with = c;
	auto_err struct err e = ERR_INIT;

	assert_ok(meta_open(url, &f->meta, &e), e);
	with.meta = f->meta;
	assert_ok(store_open(&with, &f->s, &e), e);
}

static void close_it(struct fixture *f)
{
	store_close(f->s);
	meta_close(f->meta);
}

static void reopen(struct fixture *f)
{
	close_it(f);
	open_it(f);
}

static void copy_tree(const char *from, const char *to)
{
	const char *const argv[] = {"/bin/cp", "-a", from, to, NULL};
	const struct proc_spec ps = {.argv = argv};
	struct proc_result res = {0};
	auto_err struct err e = ERR_INIT;

	assert_ok(proc_run(&ps, &res, &e), e);
	assert_int_equal(res.exit_code, 0);
}

/* Into east, replicated to west. */
static int publish(struct fixture *f, const char *name, uint64_t seed, struct disk_ref *ret)
{
	auto_fd int fd = disk_file(f->dir, name, DISK_BYTES, 3, seed);
	auto_free char *path = path_join(f->dir, name);
	struct store_session *ss = NULL;
	int r = store_session_begin(f->s, "test", &ss, NULL);

	assert_int_equal(unlink(path), 0);
	if (r >= 0)
		r = store_ingest(ss, 0, fd, 0, NULL, NULL, ret, NULL, NULL);
	if (r >= 0)
		r = store_root_add(ss, 0, "name", name, ret, NULL);
	if (r >= 0)
		r = store_replicate(ss, 0, 1, ret, 0, NULL, NULL, NULL, NULL);
	if (r >= 0)
		r = store_root_add(ss, 1, "name", name, ret, NULL);
	store_session_end(ss);
	return r;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->dir = scratch_new();
	f->east = path_join(f->dir, "east");
	f->west = path_join(f->dir, "west");
	f->copy = path_join(f->dir, "copy");
	open_it(f);
	assert_int_equal(publish(f, "first", 10, &f->first), 0);
	copy_tree(f->east, f->copy);
	assert_int_equal(publish(f, "second", 5001, &f->second), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_it(f);
	scratch_free(f->dir);
	free(f->east);
	free(f->west);
	free(f->copy);
	free(f);
	return 0;
}

/* The region is another directory now; the real one is kept as "aside". */
static void put_in_place(struct fixture *f, const char *other)
{
	auto_free char *aside = path_join(f->dir, "aside");

	assert_int_equal(rename(f->east, aside), 0);
	if (other)
		assert_int_equal(rename(other, f->east), 0);
	reopen(f);
}

static void refuses(struct fixture *f)
{
	struct store_recompress_result rc;
	struct store_gc_result g;
	struct disk_ref d;

	assert_int_equal(publish(f, "third", 9000, &d), -ESTALE);
	assert_int_equal(store_gc(f->s, 0, false, NULL, &g, NULL), -ESTALE);
	assert_int_equal(store_recompress(f->s, 0, 9, NULL, NULL, NULL, &rc, NULL), -ESTALE);
	assert_int_equal(store_gc(f->s, 1, false, NULL, &g, NULL), 0); /* the other one is fine */
}

static void readable(struct fixture *f, const struct disk_ref *d, uint64_t seed)
{
	struct store_reader *rd = NULL;
	auto_free uint8_t *got = malloc(CHUNK_BYTES), *want = malloc(CHUNK_BYTES);

	assert_int_equal(store_reader_open(f->s, 0, d, &rd, NULL), 0);
	for (uint64_t k = 0; k < DISK_BYTES / CHUNK_BYTES; k += 3) {
		fill_chunk(want, seed + k);
		assert_int_equal(store_reader_read(rd, got, CHUNK_BYTES, k * CHUNK_BYTES, NULL), 0);
		assert_memory_equal(got, want, CHUNK_BYTES);
	}
	store_reader_close(rd);
}

static void heal(struct fixture *f)
{
	struct store_check_result k;
	auto_err struct err e = ERR_INIT;
	struct disk_ref d;

	assert_ok(store_check(f->s, 0, STORE_CHECK_HEAL | STORE_CHECK_READ_DATA, NULL, 0, NULL,
			      NULL, NULL, &k, &e),
		  e);
	assert_int_equal(k.lost, 0);
	assert_ok(store_check(f->s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, NULL, NULL, &k, &e),
		  e);
	assert_int_equal(k.damaged_packs + k.missing, 0);
	assert_int_equal(publish(f, "fourth", 12000, &d), 0);
}

static void an_older_copy(void **state)
{
	struct fixture *f = *state;

	put_in_place(f, f->copy);
	refuses(f);
	readable(f, &f->first, 10);
	readable(f, &f->second, 5001); /* from the other region */
	heal(f);
	readable(f, &f->second, 5001);
}

static void another_directory(void **state)
{
	struct fixture *f = *state;

	put_in_place(f, NULL); /* opening makes an empty region */
	refuses(f);
	readable(f, &f->first, 10);
	heal(f);
}

/* What was not there comes back: nothing was lost meanwhile. */
static void not_mounted(void **state)
{
	struct fixture *f = *state;
	auto_free char *aside = path_join(f->dir, "aside");
	struct store_check_result k;
	struct disk_ref d;

	put_in_place(f, NULL);
	refuses(f);
	assert_int_equal(file_rm_rf(f->east, NULL), 0);
	assert_int_equal(rename(aside, f->east), 0);
	reopen(f);
	assert_int_equal(publish(f, "third", 9000, &d), 0);
	assert_int_equal(
		store_check(f->s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, NULL, NULL, &k, NULL),
		0);
	assert_int_equal(k.damaged_packs + k.missing + k.strays, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_older_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(another_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(not_mounted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
