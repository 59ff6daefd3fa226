/* SPDX-License-Identifier: Apache-2.0 */
/* Collection, proof, repair, the lookup's rebuild: after each, what is alive comes out whole. */
#include <dirent.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "util.h"

#include "meta/meta.h"
#include "store/maintain.h"
#include "support/dbs.h"

#define MIB (1024u * 1024u)

struct fixture {
	struct dbs *db;
	char *dir; /* of the database's fixture */
	char *sdir, *region;
	struct meta *meta;
	struct store *s;
};

static int open_store(struct fixture *f, struct err *err)
{
	const struct store_region_config region = {.name = "local", .url = f->region};
	int r = meta_open(f->db->url, &f->meta, err);
	const struct store_config c = {
		.dir = f->sdir, .meta = f->meta, .regions = &region, .n_regions = 1};

	return r < 0 ? r : store_open(&c, &f->s, err);
}

static void close_store(struct fixture *f)
{
	store_close(f->s);
	f->s = NULL;
	meta_close(f->meta);
	f->meta = NULL;
}

static void reopen(struct fixture *f)
{
	auto_err struct err e = ERR_INIT;

	close_store(f);
	assert_ok(open_store(f, &e), e);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	if (dbs_setup(state) < 0)
		return -1;
	f->db = *state;
	f->dir = f->db->dir;
	f->sdir = path_join(f->dir, "store");
	f->region = path_join(f->dir, "region");
	reopen(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *db = f->db;

	close_store(f);
	free(f->sdir);
	free(f->region);
	free(f);
	return dbs_teardown(&db);
}

static struct disk_ref add(struct store *s, int fd, const char *name)
{
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct disk_ref d;

	assert_ok(store_session_begin(s, "test", &ss, &e), e);
	assert_ok(store_ingest(ss, 0, fd, 0, NULL, NULL, &d, NULL, &e), e);
	assert_ok(store_root_add(ss, 0, "name", name, &d, &e), e);
	store_session_end(ss);
	return d;
}

static struct disk_ref change(struct store *s, const struct disk_ref *parent, int over,
			      uint64_t offset, uint64_t file_offset, const char *name)
{
	const struct store_extent x = {
		.offset = offset, .length = CHUNK_BYTES, .file_offset = file_offset};
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct disk_ref d;

	assert_ok(store_session_begin(s, "test", &ss, &e), e);
	assert_ok(store_commit(ss, 0, parent, over, &x, 1, 0, NULL, NULL, &d, NULL, &e), e);
	assert_ok(store_root_add(ss, 0, "name", name, &d, &e), e);
	store_session_end(ss);
	return d;
}

static void assert_restores(struct fixture *f, const struct disk_ref *d, int want)
{
	auto_err struct err e = ERR_INIT;
	auto_fd int out = new_file(f->dir, "out");
	auto_free char *path = path_join(f->dir, "out");

	assert_ok(store_restore(f->s, 0, d, out, NULL, NULL, NULL, &e), e);
	if (want >= 0)
		assert_same_files(want, out);
	assert_int_equal(unlink(path), 0);
}

static struct store_gc_result gc(struct fixture *f)
{
	auto_err struct err e = ERR_INIT;
	struct store_gc_result g;

	assert_ok(store_gc(f->s, 0, false, NULL, &g, &e), e);
	return g;
}

static uint64_t stored(struct fixture *f)
{
	auto_json json_t *j = NULL;
	auto_err struct err e = ERR_INIT;

	assert_ok(store_usage(f->s, 0, &j, &e), e);
	return (uint64_t) json_int_at(j, "storedBytes", -1);
}

static void what_is_alive_stays_and_the_rest_goes(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 40 * MIB, 2, 0);
	auto_fd int b = disk_file(f->dir, "b", 40 * MIB, 2, 100000);
	struct disk_ref da = add(f->s, a, "a");
	uint64_t only_a = stored(f), dry;
	struct store_gc_result g;
	auto_err struct err e = ERR_INIT;

	(void) add(f->s, b, "b");
	assert_true(stored(f) > only_a);
	g = gc(f);
	assert_int_equal(g.condemned, 0);
	assert_ok(store_root_remove(f->s, -1, "name", "b", &e), e);
	assert_ok(store_gc(f->s, 0, true, NULL, &g, &e), e);
	dry = g.condemned;
	assert_true(dry > 0);
	g = gc(f);
	assert_int_equal(g.condemned, dry);
	g = gc(f);
	assert_int_equal(g.removed, dry);
	assert_int_equal(stored(f), only_a);
	assert_restores(f, &da, a);
}

static void a_condemned_pack_comes_back_with_its_content(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 8 * MIB, 1, 0);
	struct disk_ref d = add(f->s, a, "a");
	auto_err struct err e = ERR_INIT;

	assert_ok(store_root_remove(f->s, -1, "name", "a", &e), e);
	assert_true(gc(f).condemned > 0);
	d = add(f->s, a, "again");
	(void) gc(f);
	(void) gc(f);
	assert_restores(f, &d, a);
}

static void a_sessions_packs_are_not_taken(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 8 * MIB, 1, 0);
	struct store_session *ss = NULL;
	auto_err struct err e = ERR_INIT;
	struct disk_ref d;

	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	assert_ok(store_ingest(ss, 0, a, 0, NULL, NULL, &d, NULL, &e), e);
	for (int i = 0; i < 3; i++)
		assert_int_equal(gc(f).condemned, 0);
	assert_ok(store_root_add(ss, 0, "name", "a", &d, &e), e);
	store_session_end(ss);
	(void) gc(f);
	(void) gc(f);
	assert_restores(f, &d, a);
}

static void a_dead_writers_packs_go(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 8 * MIB, 1, 0);
	struct store_gc_result g;
	siginfo_t si;
	pid_t pid;

	close_store(f);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store_session *ss = NULL;
		struct disk_ref d;

		/* Ends as by a crash: nothing is closed, no root. */
		if (open_store(f, NULL) < 0 || store_session_begin(f->s, "test", &ss, NULL) < 0 ||
		    store_ingest(ss, 0, a, 0, NULL, NULL, &d, NULL, NULL) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitid(P_PID, (id_t) pid, &si, WEXITED), 0);
	assert_int_equal(si.si_status, 0);
	reopen(f);
	assert_true(stored(f) > 0);
	g = gc(f);
	assert_int_equal(g.sessions_ended, 1);
	(void) gc(f);
	assert_int_equal(stored(f), 0);
}

static void chains_survive_the_death_of_their_past(void **state)
{
	struct fixture *f = *state;
	auto_fd int base = disk_file(f->dir, "base", 34 * MIB, 1, 0);
	auto_fd int over = disk_file(f->dir, "over", 4 * MIB, 1, 50000);
	struct disk_ref d = add(f->s, base, "d0");
	auto_err struct err e = ERR_INIT;
	uint8_t buf[CHUNK_BYTES];

	/* Many small packs and deltas; each step's parent is removed. */
	for (unsigned i = 0; i < 30; i++) {
		auto_free char *name = strf("d%u", i + 1), *old = strf("d%u", i);

		d = change(f->s, &d, over, (uint64_t) i * MIB, (uint64_t) i * CHUNK_BYTES, name);
		assert_int_equal(
			file_pread_full(over, buf, sizeof(buf), (uint64_t) i * CHUNK_BYTES), 0);
		assert_int_equal(file_pwrite_full(base, buf, sizeof(buf), (uint64_t) i * MIB), 0);
		assert_ok(store_root_remove(f->s, -1, "name", old, &e), e);
		if (i % 7 == 3)
			(void) gc(f);
	}
	for (int i = 0; i < 4; i++)
		(void) gc(f);
	reopen(f);
	assert_restores(f, &d, base);
}

static char pack_path[512];

static int find_pack(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_F && str_ends(path, ".pack") && !strstr(path, "quarantine"))
		(void) snprintf(pack_path, sizeof(pack_path), "%s", path);
	return 0;
}

/* Damages the last pack found: 0 flips a byte, 1 truncates, 2 deletes, 3 breaks the trailer. */
static void damage_pack(const char *sdir, int how)
{
	auto_fd int fd = -1;
	struct stat st;
	uint8_t b;

	pack_path[0] = '\0';
	assert_int_equal(nftw(sdir, find_pack, 16, FTW_PHYS), 0);
	assert_true(pack_path[0]);
	fd = open(pack_path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (how == 1) {
		assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
	} else if (how == 2) {
		assert_int_equal(unlink(pack_path), 0);
	} else {
		uint64_t at = how == 0 ? 1000 : (uint64_t) st.st_size - 20;

		assert_int_equal(file_pread_full(fd, &b, 1, at), 0);
		b ^= 0x40;
		assert_int_equal(file_pwrite_full(fd, &b, 1, at), 0);
	}
}

static struct store_check_result check(struct fixture *f, unsigned flags, struct store *other)
{
	struct store_check_result c;
	auto_err struct err e = ERR_INIT;

	assert_ok(store_check(f->s, 0, flags, other ? &other : NULL, other ? 1 : 0, NULL, NULL,
			      NULL, &c, &e),
		  e);
	return c;
}

static void damage_is_found_never_served_and_healed(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 8 * MIB, 1, 3);
	auto_free char *odir = path_join(f->dir, "other");
	struct store *other = NULL;
	struct disk_ref d = add(f->s, a, "a");
	auto_err struct err e = ERR_INIT;

	assert_ok(store_open_dir(odir, false, &other, &e), e);
	(void) add(other, a, "a");
	assert_int_equal(check(f, STORE_CHECK_READ_DATA, NULL).damaged_packs, 0);
	for (int how = 0; how < 4; how++) {
		auto_fd int out = -1;
		struct store_check_result c;
		auto_free char *path = path_join(f->dir, "bad");

		damage_pack(f->region, how);
		reopen(f);
		out = new_file(f->dir, "bad");
		if (how < 3) /* a broken trailer hides nothing from the lookup */
			assert_true(store_restore(f->s, 0, &d, out, NULL, NULL, NULL, NULL) < 0);
		assert_int_equal(unlink(path), 0);
		c = check(f, STORE_CHECK_READ_DATA, NULL);
		assert_true(c.damaged_packs > 0);
		c = check(f, STORE_CHECK_READ_DATA | STORE_CHECK_HEAL, other);
		assert_int_equal(c.lost, 0);
		reopen(f);
		c = check(f, STORE_CHECK_READ_DATA, NULL);
		assert_int_equal(c.damaged_packs + c.missing + c.strays, 0);
		assert_restores(f, &d, a);
	}
	store_close(other);
}

/* Of all that a trailer stands on no bit may change unseen, or be taken for a newer program's. */
static void each_bit_of_head_and_foot_counts(void **state)
{
	struct fixture *f = *state;
	auto_fd int in = disk_file(f->dir, "in", 2 * CHUNK_BYTES, 1, 3), fd = -1;
	struct disk_ref d = add(f->s, in, "base");
	uint8_t was, is;
	struct stat st;

	assert_int_equal(nftw(f->region, find_pack, 16, FTW_PHYS), 0);
	fd = open(pack_path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	for (unsigned bit = 0; bit < (128 + 64) * 8; bit++) {
		uint64_t at = bit < 128 * 8 ? bit / 8 : (uint64_t) st.st_size - 192 + bit / 8;

		assert_int_equal(file_pread_full(fd, &was, 1, at), 0);
		is = (uint8_t) (was ^ 1u << bit % 8);
		assert_int_equal(file_pwrite_full(fd, &is, 1, at), 0);
		if (check(f, 0, NULL).damaged_packs != 1)
			fail_msg("bit %u of byte %llu", bit % 8, (unsigned long long) at);
		assert_int_equal(file_pwrite_full(fd, &was, 1, at), 0);
	}
	assert_int_equal(check(f, STORE_CHECK_READ_DATA, NULL).damaged_packs, 0);
	assert_restores(f, &d, in);
}

static void the_index_can_be_lost(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 40 * MIB, 1, 3);
	auto_free char *lookup = path_join(f->sdir, "lookup");
	struct disk_ref d = add(f->s, a, "a");
	auto_err struct err e = ERR_INIT;
	uint64_t n;

	store_close(f->s);
	f->s = NULL;
	assert_ok(file_rm_rf(lookup, &e), e);
	reopen(f);
	assert_restores(f, &d, a);
	assert_ok(store_rebuild_index(f->s, 0, &n, &e), e);
	assert_true(n > 0);
	assert_restores(f, &d, a);
}

static void killed_writers_leave_a_working_store(void **state)
{
	struct fixture *f = *state;
	auto_fd int a = disk_file(f->dir, "a", 128 * MIB, 1, 0);
	struct disk_ref d;
	siginfo_t si;

	for (unsigned i = 0; i < 6; i++) {
		int p[2];
		char go;
		pid_t pid;

		close_store(f);
		assert_int_equal(pipe2(p, O_CLOEXEC), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct store_session *ss = NULL;
			struct disk_ref x;
			int r = open_store(f, NULL);

			if (r >= 0)
				r = store_session_begin(f->s, "test", &ss, NULL);
			(void) !write(p[1], r >= 0 ? "y" : "n", 1);
			if (r >= 0)
				r = store_ingest(ss, 0, a, 0, NULL, NULL, &x, NULL, NULL);
			_exit(r < 0);
		}
		/* Killed at another point of its work each time. */
		assert_int_equal(read(p[0], &go, 1), 1);
		assert_int_equal(go, 'y');
		(void) poll(NULL, 0, (int) i * 30);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitid(P_PID, (id_t) pid, &si, WEXITED), 0);
		(void) close(p[0]);
		(void) close(p[1]);
		reopen(f);
	}
	assert_int_equal(check(f, STORE_CHECK_READ_DATA, NULL).damaged_packs, 0);
	d = add(f->s, a, "a");
	assert_restores(f, &d, a);
	(void) gc(f);
	(void) gc(f);
	assert_restores(f, &d, a);
}

static void stats_add_up(void **state)
{
	struct fixture *f = *state;
	auto_fd int base = disk_file(f->dir, "base", 34 * MIB, 1, 0);
	auto_fd int over = disk_file(f->dir, "over", MIB, 1, 50000);
	struct disk_ref d = add(f->s, base, "base");
	auto_json json_t *j = NULL;
	auto_err struct err e = ERR_INIT;
	int64_t unique = 0, shared;

	(void) change(f->s, &d, over, MIB, CHUNK_BYTES, "v2");
	assert_ok(store_root_stats(f->s, 0, NULL, &j, &e), e);
	assert_int_equal(json_array_size(j), 2);
	shared = json_int_at(j, "0.sharedBytes", -1);
	assert_true(shared > 0);
	for (size_t i = 0; i < 2; i++) {
		const json_t *x = json_array_get(j, i);

		unique += json_int_at(x, "uniqueBytes", -1);
		assert_int_equal(json_int_at(x, "sharedBytes", -1), shared);
		assert_int_equal(json_int_at(x, "storedBytes", -1),
				 shared + json_int_at(x, "uniqueBytes", -1));
	}
	/* All of it but headers and trailers. */
	assert_true((uint64_t) (unique + shared) < stored(f));
	assert_true((uint64_t) (unique + shared) > stored(f) * 9 / 10);
}

static void lose_database(const struct fixture *f)
{
	static const char *const files[] = {"kiln.db", "kiln.db-wal", "kiln.db-shm"};
	const char *schema = strstr(f->db->url, "%3D");
	auto_free char *sql = schema ? strf("DROP SCHEMA %s CASCADE", schema + 3) : NULL;
	auto_free char *again = schema ? strf("CREATE SCHEMA %s", schema + 3) : NULL;

	if (f->db->pg) {
		assert_non_null(sql);
		assert_non_null(again);
		pg_sql_run(f->db->pg, sql, NULL, 0);
		pg_sql_run(f->db->pg, again, NULL, 0);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		auto_free char *path = path_join(f->dir, files[i]);

		(void) unlink(path);
	}
}

/* A lost database: every pack stays and can be adopted. */
static void lost_database_stops_collection(void **state)
{
	struct fixture *f = *state;
	auto_fd int in = disk_file(f->dir, "in", 4 * MIB, 1, 11);
	auto_err struct err e = ERR_INIT;
	struct store_check_result c;
	struct store_gc_result g;
	uint64_t before;

	(void) add(f->s, in, "a");
	before = stored(f);
	close_store(f);
	lose_database(f);
	reopen(f);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(store_gc(f->s, 0, false, NULL, &g, &e), -ESTALE);
		err_done(&e);
	}
	assert_ok(store_check(f->s, 0, STORE_CHECK_HEAL, NULL, 0, NULL, NULL, NULL, &c, &e), e);
	assert_int_equal(stored(f), before);
}

static void cold_packs_are_compressed_harder(void **state)
{
	struct fixture *f = *state;
	auto_fd int in = disk_file(f->dir, "base", 4 * MIB, 1, 1), out = new_file(f->dir, "out");
	auto_err struct err e = ERR_INIT;
	struct store_recompress_result a, b;
	struct disk_ref d = add(f->s, in, "base");
	struct store_gc_result g;

	assert_int_equal(store_recompress(f->s, 0, 0, NULL, NULL, NULL, &a, NULL), -EINVAL);
	assert_int_equal(store_recompress(f->s, 0, 20, NULL, NULL, NULL, &a, NULL), -EINVAL);
	assert_ok(store_recompress(f->s, 0, 9, NULL, NULL, NULL, &a, &e), e);
	assert_int_equal(a.packs, 1);
	assert_true(a.bytes_after < a.bytes_before);
	/* Nothing is done twice, and the new packs stay. */
	assert_ok(store_recompress(f->s, 0, 9, NULL, NULL, NULL, &b, &e), e);
	assert_int_equal(b.packs, 0);
	assert_int_equal(b.kept, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_ok(store_gc(f->s, 0, false, NULL, &g, &e), e);
	assert_int_equal(g.packs, 1);
	reopen(f);
	assert_ok(store_restore(f->s, 0, &d, out, NULL, NULL, NULL, &e), e);
	assert_same_files(in, out);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(cold_packs_are_compressed_harder),
		DBS_TEST(what_is_alive_stays_and_the_rest_goes),
		DBS_TEST(a_condemned_pack_comes_back_with_its_content),
		DBS_TEST(a_sessions_packs_are_not_taken),
		DBS_TEST(a_dead_writers_packs_go),
		DBS_TEST(chains_survive_the_death_of_their_past),
		DBS_TEST(damage_is_found_never_served_and_healed),
		DBS_TEST(each_bit_of_head_and_foot_counts),
		DBS_TEST(the_index_can_be_lost),
		DBS_TEST(killed_writers_leave_a_working_store),
		DBS_TEST(stats_add_up),
		DBS_TEST(lost_database_stops_collection),
	};

	return dbs_run_with("store upkeep", tests, ARRAY_SIZE(tests), setup, teardown);
}
