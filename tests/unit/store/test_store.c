/* SPDX-License-Identifier: Apache-2.0 */
/* The store as its users see it: what goes in comes out, costs what it changes, and moves. */
#include "meta/meta.h"
#include "support/dbs.h"
#include "util.h"

#define MIB (1024u * 1024u)

struct fixture {
	struct dbs *db;
	char *dir; /* of the database's fixture */
	struct meta *meta;
	struct store *s;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_region_config region = {.name = "local"};
	struct store_config c = {.regions = &region, .n_regions = 1};
	auto_err struct err e = ERR_INIT;
	auto_free char *sdir = NULL, *url = NULL;

	assert_non_null(f);
	if (dbs_setup(state) < 0)
		return -1;
	f->db = *state;
	f->dir = f->db->dir;
	assert_ok(meta_open(f->db->url, &f->meta, &e), e);
	c.meta = f->meta;
	c.dir = sdir = path_join(f->dir, "store");
	region.url = url = path_join(f->dir, "region");
	assert_ok(store_open(&c, &f->s, &e), e);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *db = f->db;

	store_close(f->s);
	meta_close(f->meta);
	free(f);
	return dbs_teardown(&db);
}

static struct disk_ref ingest(struct fixture *f, int fd, const char *name, struct store_stats *st)
{
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct disk_ref d;

	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	assert_ok(store_ingest(ss, 0, fd, 0, NULL, NULL, &d, st, &e), e);
	assert_ok(store_root_add(ss, 0, "name", name, &d, &e), e);
	store_session_end(ss);
	return d;
}

static void check_restore(struct fixture *f, const struct disk_ref *d, int want)
{
	auto_err struct err e = ERR_INIT;
	auto_fd int out = new_file(f->dir, "restored");
	auto_free char *path = path_join(f->dir, "restored");

	assert_ok(store_restore(f->s, 0, d, out, NULL, NULL, NULL, &e), e);
	assert_same_files(want, out);
	assert_int_equal(unlink(path), 0);
}

static void ingested_disks_come_back(void **state)
{
	struct fixture *f = *state;
	static const uint64_t sizes[] = {512,           CHUNK_BYTES, CHUNK_BYTES + 512,
					 3 * MIB + 512, 32 * MIB,    32 * MIB + CHUNK_BYTES};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		auto_free char *name = strf("disk%zu", i);
		auto_fd int fd = disk_file(f->dir, name, sizes[i], 1 + i % 3, i * 1000);
		struct store_stats st;
		struct disk_ref d = ingest(f, fd, name, &st);

		assert_int_equal(d.size_bytes, sizes[i]);
		check_restore(f, &d, fd);
	}
}

static void same_content_costs_nothing(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", 40 * MIB, 2, 7);
	struct store_stats first, second;
	struct disk_ref a = ingest(f, fd, "a", &first), b = ingest(f, fd, "b", &second);

	assert_true(digest_eq(&a.digest, &b.digest));
	assert_true(first.new_chunks > 0);
	assert_true(first.stored_bytes > 0);
	assert_int_equal(second.new_chunks, 0);
	assert_int_equal(second.stored_bytes, 0);
	assert_int_equal(second.transfers, 0);
}

static void holes_and_zeros_cost_nothing(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = new_file(f->dir, "zeros");
	static const uint8_t zeros[CHUNK_BYTES];
	struct store_stats st;
	struct disk_ref d;

	assert_int_equal(ftruncate(fd, (off_t) 1 << 40), 0);
	assert_int_equal(file_pwrite_full(fd, zeros, sizeof(zeros), 5 * MIB), 0);
	d = ingest(f, fd, "zeros", &st);
	assert_true(digest_is_zero(&d.root));
	assert_int_equal(st.stored_bytes, 0);
	assert_int_equal(st.zero_bytes, UINT64_C(1) << 40);
}

static void a_pipe_gives_the_same_disk(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", 5 * MIB + 1024, 1, 40);
	struct disk_ref a = ingest(f, fd, "a", NULL), b;
	int p[2];
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint8_t buf[7777];
		ssize_t n;

		(void) lseek(fd, 0, SEEK_SET);
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			if (write(p[1], buf, (size_t) n) != n)
				_exit(1);
		_exit(0);
	}
	(void) close(p[1]);
	b = ingest(f, p[0], "b", NULL);
	(void) close(p[0]);
	assert_true(digest_eq(&a.digest, &b.digest));
}

/* Commits extents, and checks the result against the same change made to a copy. */
static struct disk_ref commit(struct fixture *f, const struct disk_ref *parent, int fd,
			      const struct store_extent *x, size_t n, uint64_t size, int model,
			      struct store_stats *st)
{
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct disk_ref d;
	static uint8_t buf[MIB];

	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	assert_ok(store_commit(ss, 0, parent, fd, x, n, size, NULL, NULL, &d, st, &e), e);
	assert_ok(store_root_add(ss, 0, "step", "x", &d, &e), e);
	store_session_end(ss);
	if (size > 0)
		assert_int_equal(ftruncate(model, (off_t) size), 0);
	for (size_t i = 0; i < n; i++) {
		for (uint64_t at = 0; at < x[i].length; at += sizeof(buf)) {
			uint64_t k =
				x[i].length - at < sizeof(buf) ? x[i].length - at : sizeof(buf);

			memset(buf, 0, sizeof(buf));
			if (!x[i].zero)
				assert_int_equal(file_pread_full(fd, buf, k, x[i].file_offset + at),
						 0);
			assert_int_equal(file_pwrite_full(model, buf, k, x[i].offset + at), 0);
		}
	}
	/* Reading back a huge sparse file takes long; its digest is compared anyway. */
	if (d.size_bytes < 512 * MIB)
		check_restore(f, &d, model);
	return d;
}

static void commits_equal_a_full_ingest(void **state)
{
	struct fixture *f = *state;
	auto_fd int base = disk_file(f->dir, "base", 70 * MIB, 1, 0);
	auto_fd int over = disk_file(f->dir, "over", 8 * MIB, 1, 9001);
	struct disk_ref d0 = ingest(f, base, "base", NULL), d1, d2;
	struct store_stats st;
	const struct store_extent x[] = {
		{.offset = 512, .length = 1024, .file_offset = 4096},
		{.offset = 2048, .length = 512, .zero = true},
		{.offset = CHUNK_BYTES, .length = 3 * CHUNK_BYTES, .file_offset = 64 * 1024},
		{.offset = 10 * MIB + 100, .length = 2 * MIB, .file_offset = 3 * MIB},
		{.offset = 30 * MIB, .length = 20 * MIB, .zero = true},
		{.offset = 70 * MIB - 512, .length = 512, .file_offset = 512},
	};

	d1 = commit(f, &d0, over, x, ARRAY_SIZE(x), 0, base, &st);
	d2 = ingest(f, base, "again", NULL);
	assert_true(digest_eq(&d1.digest, &d2.digest));
	assert_true(st.new_chunks > 0 && st.new_chunks < 60);
}

static void small_changes_cost_little(void **state)
{
	struct fixture *f = *state;
	auto_fd int base = disk_file(f->dir, "base", 320 * MIB, 4, 3);
	auto_fd int over = disk_file(f->dir, "over", MIB, 1, 77000);
	struct disk_ref d = ingest(f, base, "base", NULL);
	struct store_extent x[10];
	struct store_stats st;

	/* One chunk in each of ten leaves: full nodes would cost 160 KiB. */
	for (unsigned i = 0; i < 10; i++)
		x[i] = (struct store_extent){.offset = (uint64_t) i * 32 * MIB + MIB,
					     .length = CHUNK_BYTES,
					     .file_offset = 2 * CHUNK_BYTES};
	(void) commit(f, &d, over, x, 10, 0, base, &st);
	assert_int_equal(st.new_chunks, 1);
	assert_true(st.stored_bytes < CHUNK_BYTES + 8192);
}

static void a_disk_can_grow(void **state)
{
	struct fixture *f = *state;
	auto_fd int base = disk_file(f->dir, "base", 3 * MIB + 512, 1, 0);
	auto_fd int over = disk_file(f->dir, "over", MIB, 1, 500);
	struct disk_ref d = ingest(f, base, "base", NULL), again;
	const struct store_extent far = {
		.offset = 100 * MIB + 512, .length = MIB - 512, .file_offset = 512};

	d = commit(f, &d, over, NULL, 0, 40 * MIB, base, NULL);
	d = commit(f, &d, over, &far, 1, 120 * MIB, base, NULL);
	again = ingest(f, base, "again", NULL);
	assert_true(digest_eq(&d.digest, &again.digest));
	d = commit(f, &d, over, NULL, 0, UINT64_C(17) << 30, base, NULL);
	again = ingest(f, base, "again", NULL);
	assert_true(digest_eq(&d.digest, &again.digest));
}

static void a_chain_of_commits_stays_readable(void **state)
{
	struct fixture *f = *state;
	auto_fd int base = disk_file(f->dir, "base", 33 * MIB, 1, 0);
	auto_fd int over = disk_file(f->dir, "over", 2 * MIB, 1, 12345);
	struct disk_ref d = ingest(f, base, "base", NULL);

	/* Longer than a chain of deltas may get. */
	for (unsigned i = 0; i < 15; i++) {
		const struct store_extent x = {.offset = i * MIB,
					       .length = CHUNK_BYTES,
					       .file_offset = (uint64_t) i * CHUNK_BYTES};

		d = commit(f, &d, over, &x, 1, 0, base, NULL);
	}
}

static void commit_needs_a_live_parent(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 0);
	struct disk_ref d = ingest(f, fd, "a", NULL), got;
	struct store_session *ss = NULL;

	assert_ok(store_root_remove(f->s, -1, "name", "a", &e), e);
	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	assert_int_equal(store_commit(ss, 0, &d, fd, NULL, 0, 0, NULL, NULL, &got, NULL, &e),
			 -ENOENT);
	store_session_end(ss);
}

static void bad_extents_are_refused(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 0);
	struct disk_ref d = ingest(f, fd, "a", NULL), got;
	struct store_session *ss = NULL;
	auto_err struct err e = ERR_INIT;
	const struct store_extent bad[][2] = {
		{{.offset = MIB, .length = 1}, {0}},
		{{.offset = 0, .length = 0}, {0}},
		{{.offset = 512, .length = 512}, {.offset = 512, .length = 1}},
		{{.offset = UINT64_MAX, .length = 2}, {0}},
		{{.offset = 0, .length = 512, .file_offset = UINT64_MAX}, {0}},
	};

	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(store_commit(ss, 0, &d, fd, bad[i], bad[i][1].length ? 2 : 1, 0,
					      NULL, NULL, &got, NULL, NULL),
				 -EINVAL);
	store_session_end(ss);
}

static void restore_in_place_writes_what_differs(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 34 * MIB, 2, 0);
	auto_fd int b = disk_file(f->dir, "b", 34 * MIB, 3, 0);
	struct disk_ref da = ingest(f, a, "a", NULL), db = ingest(f, b, "b", NULL);
	auto_err struct err e = ERR_INIT;

	assert_ok(store_restore(f->s, 0, &db, a, &da, NULL, NULL, &e), e);
	assert_same_files(a, b);
}

struct ranges {
	uint64_t bytes, n, last_end;
};

static int add_range(void *arg, uint64_t offset, uint64_t length)
{
	struct ranges *r = arg;

	assert_true(r->n == 0 || offset > r->last_end);
	r->n++;
	r->bytes += length;
	r->last_end = offset + length;
	return 0;
}

static void diff_names_the_changed_ranges(void **state)
{
	struct fixture *f = *state;
	auto_fd int base = disk_file(f->dir, "base", 70 * MIB, 1, 0);
	auto_fd int over = disk_file(f->dir, "over", MIB, 1, 9001);
	struct disk_ref a = ingest(f, base, "base", NULL), b;
	const struct store_extent x[] = {
		{.offset = CHUNK_BYTES, .length = 2 * CHUNK_BYTES, .file_offset = 2 * CHUNK_BYTES},
		{.offset = 50 * MIB, .length = CHUNK_BYTES, .file_offset = 3 * CHUNK_BYTES},
	};
	struct ranges r = {0}, none = {0};
	auto_err struct err e = ERR_INIT;

	b = commit(f, &a, over, x, 2, 0, base, NULL);
	assert_ok(store_diff(f->s, 0, &a, &b, add_range, &r, &e), e);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.bytes, 3 * CHUNK_BYTES);
	assert_ok(store_diff(f->s, 0, &a, &a, add_range, &none, &e), e);
	assert_int_equal(none.n, 0);
}

static void readers_see_every_byte_and_hole(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", 66 * MIB + 512, 5, 10);
	struct disk_ref d = ingest(f, fd, "a", NULL);
	struct store_reader *r = NULL;
	auto_err struct err e = ERR_INIT;
	static uint8_t got[200000], want[200000];
	uint64_t x = 5, at = 0;

	assert_ok(store_reader_open(f->s, 0, &d, &r, &e), e);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t off = rnd_next(&x) % d.size_bytes, n = rnd_next(&x) % sizeof(got) + 1;

		if (n > d.size_bytes - off)
			n = d.size_bytes - off;
		assert_ok(store_reader_read(r, got, n, off, &e), e);
		assert_int_equal(file_pread_full(fd, want, n, off), 0);
		assert_memory_equal(got, want, n);
	}
	while (at < d.size_bytes) {
		uint64_t len;
		bool zero, want_zero;

		assert_ok(store_reader_hole(r, at, UINT64_MAX, &zero, &len, &e), e);
		assert_true(len >= 1 && len <= d.size_bytes - at);
		want_zero = at / CHUNK_BYTES % 5 != 0 || (10 + at / CHUNK_BYTES) % 3 == 2;
		assert_int_equal(zero, want_zero);
		at += len;
	}
	assert_int_equal(store_reader_read(r, got, 1, d.size_bytes, NULL), -EINVAL);
	assert_int_equal(store_reader_hole(r, d.size_bytes, 1, &(bool){0}, &at, NULL), -EINVAL);
	store_reader_close(r);
}

static void an_unknown_disk_cannot_be_opened(void **state)
{
	struct fixture *f = *state;
	struct disk_ref d;
	struct digest root;
	struct store_reader *r = NULL;

	memset(&root, 7, sizeof(root));
	disk_ref_make(&root, MIB, &d);
	assert_int_equal(store_reader_open(f->s, 0, &d, &r, NULL), -ENOENT);
}

static int count_root(void *arg, unsigned region, const char *kind, const char *id,
		      const struct disk_ref *disk)
{
	(*(int *) arg)++;
	return 0;
}

static void roots_are_kept_and_removed(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 0);
	struct disk_ref d = ingest(f, fd, "a", NULL), got;
	auto_err struct err e = ERR_INIT;
	int n = 0;

	assert_ok(store_root_get(f->s, 0, "name", "a", &got, &e), e);
	assert_true(digest_eq(&d.digest, &got.digest));
	assert_int_equal(store_root_get(f->s, 0, "name", "b", &got, NULL), -ENOENT);
	assert_ok(store_root_list(f->s, NULL, count_root, &n, &e), e);
	assert_int_equal(n, 1);
	assert_ok(store_root_remove(f->s, 0, "name", "a", &e), e);
	assert_int_equal(store_root_get(f->s, 0, "name", "a", &got, NULL), -ENOENT);
}

static void manifests_are_found_by_digest(void **state)
{
	struct fixture *f = *state;
	auto_json json_t *m = json_pack("{s:i, s:s}", "z", 1, "a", "x"), *got = NULL;
	auto_err struct err e = ERR_INIT;
	struct digest d, again;

	assert_ok(store_manifest_put(f->s, 0, m, &d, &e), e);
	assert_ok(store_manifest_put(f->s, 0, m, &again, &e), e);
	assert_true(digest_eq(&d, &again));
	assert_ok(store_manifest_get(f->s, 0, &d, &got, &e), e);
	assert_true(json_equal(m, got));
	d.b[0] ^= 1;
	assert_int_equal(store_manifest_get(f->s, 0, &d, &got, NULL), -ENOENT);
}

static int note_record(void *arg, const char *id, uint64_t revision, const json_t *record)
{
	auto_free char *line =
		strf("%s %llu %s;", id, (unsigned long long) revision, json_str_at(record, "v"));

	return buf_addstr(arg, line);
}

static void the_highest_revision_wins(void **state)
{
	struct fixture *f = *state;
	auto_buf struct buf b = BUF_INIT(4096);
	auto_err struct err e = ERR_INIT;
	static const struct {
		const char *id, *v;
		uint64_t revision;
	} puts[] = {{"/a/B", "one", 1}, {"/a/b", "three", 3}, {"/A/b", "two", 2}, {"/c", "x", 9}};

	for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
		auto_json json_t *rec = json_pack("{s:s}", "v", puts[i].v);

		assert_ok(store_catalog_put(f->s, 0, puts[i].id, puts[i].revision, rec, &e), e);
	}
	assert_ok(store_catalog_list(f->s, 0, note_record, &b, &e), e);
	assert_non_null(strstr(buf_str(&b), "/a/b 3 three;"));
	assert_non_null(strstr(buf_str(&b), "/c 9 x;"));
	assert_null(strstr(buf_str(&b), "one"));
	assert_null(strstr(buf_str(&b), "two"));
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(ingested_disks_come_back),
		DBS_TEST(same_content_costs_nothing),
		DBS_TEST(holes_and_zeros_cost_nothing),
		DBS_TEST(a_pipe_gives_the_same_disk),
		DBS_TEST(commits_equal_a_full_ingest),
		DBS_TEST(small_changes_cost_little),
		DBS_TEST(a_disk_can_grow),
		DBS_TEST(a_chain_of_commits_stays_readable),
		DBS_TEST(commit_needs_a_live_parent),
		DBS_TEST(bad_extents_are_refused),
		DBS_TEST(restore_in_place_writes_what_differs),
		DBS_TEST(diff_names_the_changed_ranges),
		DBS_TEST(readers_see_every_byte_and_hole),
		DBS_TEST(an_unknown_disk_cannot_be_opened),
		DBS_TEST(roots_are_kept_and_removed),
		DBS_TEST(manifests_are_found_by_digest),
		DBS_TEST(the_highest_revision_wins),
	};

	return dbs_run_with("store", tests, ARRAY_SIZE(tests), setup, teardown);
}
