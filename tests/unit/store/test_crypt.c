/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption at rest: what others can see, who can read, and what happens when the key changes. */
#include "util.h"

#include <ftw.h>

#include "store/internal.h"
#include "store/maintain.h"

#define MIB   (1024u * 1024u)
#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_B "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\n"

struct fixture {
	char *dir, *sdir, *keys, *source;
};

static void write_keys(const struct fixture *f, const char *text)
{
	auto_err struct err e = ERR_INIT;

	assert_ok(file_write_atomic(f->keys, text, strlen(text), 0600, &e), e);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->dir = scratch_new();
	f->sdir = path_join(f->dir, "store");
	f->keys = path_join(f->dir, "keys");
	f->source = strf("file:%s", f->keys);
	assert_non_null(f->source);
	write_keys(f, KEY_A);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	scratch_free(f->dir);
	free(f->sdir);
	free(f->keys);
	free(f->source);
	free(f);
	return 0;
}

static int open_store(const struct fixture *f, const char *key, struct store **ret, struct err *err)
{
	const struct store_dir_options o = {.key = key};

	return store_open_dir_with(f->sdir, &o, ret, err);
}

static void add_disk(struct store *s, int fd, const char *name, struct disk_ref *ret)
{
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct store_stats st;

	assert_ok(store_session_begin(s, "test", &ss, &e), e);
	assert_ok(store_ingest(ss, 0, fd, 0, NULL, NULL, ret, &st, &e), e);
	assert_ok(store_root_add(ss, 0, "name", name, ret, &e), e);
	store_session_end(ss);
}

static void assert_restores(const struct fixture *f, struct store *s, const struct disk_ref *d,
			    int want)
{
	auto_err struct err e = ERR_INIT;
	auto_free char *path = path_join(f->dir, "restored");
	auto_fd int out = new_file(f->dir, "restored");

	assert_ok(store_restore(s, 0, d, out, NULL, NULL, NULL, &e), e);
	assert_same_files(want, out);
	assert_int_equal(unlink(path), 0);
}

static void assert_whole(struct store *s, unsigned flags)
{
	auto_err struct err e = ERR_INIT;
	struct store_check_result k;

	assert_ok(
		store_check(s, 0, STORE_CHECK_READ_DATA | flags, NULL, 0, NULL, NULL, NULL, &k, &e),
		e);
	assert_int_equal(k.damaged_packs + k.missing + k.lost, 0);
}

static void collect(struct store *s)
{
	auto_err struct err e = ERR_INIT;
	struct store_gc_result g;

	assert_ok(store_gc(s, 0, false, NULL, &g, &e), e);
}

/* Every file below the region, in one string: what somebody who holds the disks sees. */
static struct buf seen;

static int see_file(const char *path, const struct stat *st, int kind, struct FTW *w)
{
	return kind == FTW_F && file_read_all(path, &seen, NULL) < 0;
}

static bool visible(const struct fixture *f, const void *what, size_t n)
{
	auto_free char *region = path_join(f->sdir, "regions/local");
	bool found;

	seen = BUF_INIT(256 * MIB);
	assert_int_equal(nftw(region, see_file, 16, FTW_PHYS), 0);
	found = memmem(seen.data, seen.len, what, n) != NULL;
	buf_done(&seen);
	return found;
}

static void nothing_shows(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_json json_t *m = json_pack("{s:s}", "word", "verysecretword"), *back = NULL;
	auto_fd int fd = disk_file(f->dir, "a", 9 * MIB, 1, 3);
	uint8_t chunk[CHUNK_BYTES];
	struct store *s = NULL;
	struct digest name, id;
	struct disk_ref d;

	assert_ok(open_store(f, f->source, &s, &e), e);
	add_disk(s, fd, "a", &d);
	assert_ok(store_manifest_put(s, 0, m, &id, &e), e);
	assert_ok(store_catalog_put(s, 0, "/a/b", 3, m, &e), e);
	/* the same again is no conflict, though its sealed bytes are others */
	assert_ok(store_manifest_put(s, 0, m, &id, &e), e);
	for (uint64_t at = 0; at < 9 * MIB; at += CHUNK_BYTES) {
		assert_int_equal(file_pread_full(fd, chunk, sizeof(chunk), at), 0);
		sha256(chunk, sizeof(chunk), &name);
		if (bytes_zero(chunk, sizeof(chunk)))
			continue;
		assert_false(visible(f, chunk + 1000, 32));
		assert_false(visible(f, name.b, DIGEST_BYTES));
		at += 7 * CHUNK_BYTES;
	}
	assert_false(visible(f, d.root.b, DIGEST_BYTES));
	assert_false(visible(f, "verysecretword", 14));
	assert_ok(store_manifest_get(s, 0, &id, &back, &e), e);
	assert_true(json_equal(m, back));
	assert_restores(f, s, &d, fd);
	collect(s);
	collect(s);
	assert_whole(s, 0);
	assert_restores(f, s, &d, fd);
	store_close(s);
}

static void without_the_key_nothing_opens(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_free char *options = path_join(f->sdir, "options.json");
	auto_free char *other = strf("%s2", f->source), *path = strf("%s2", f->keys);
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 3);
	struct store *s = NULL;
	struct disk_ref d;
	char id[33];

	assert_ok(open_store(f, f->source, &s, &e), e);
	add_disk(s, fd, "a", &d);
	assert_true(store_region_encrypted(s, 0, id));
	store_close(s);

	/* The store remembers where its key is. */
	assert_ok(open_store(f, NULL, &s, &e), e);
	assert_restores(f, s, &d, fd);
	store_close(s);

	assert_int_equal(unlink(f->keys), 0);
	assert_int_equal(open_store(f, NULL, &s, &e), -ENOKEY);
	assert_non_null(strstr(err_str(&e), f->keys));
	assert_int_equal(unlink(options), 0);
	assert_int_equal(open_store(f, NULL, &s, &e), -ENOKEY);

	assert_ok(file_write_atomic(path, KEY_B, strlen(KEY_B), 0600, &e), e);
	assert_int_equal(open_store(f, other, &s, &e), -ENOKEY);
	assert_non_null(strstr(err_str(&e), id)); /* it says which key is wanted */
	assert_null(strstr(err_str(&e), "ff010203"));
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(open_store(f, other, &s, &e), -ENOKEY);
	assert_non_null(strstr(err_str(&e), "everybody"));
	write_keys(f, "not a key\n");
	assert_int_equal(open_store(f, f->source, &s, &e), -EINVAL);
	assert_null(strstr(err_str(&e), "not a key"));
	write_keys(f, "");
	assert_int_equal(open_store(f, f->source, &s, &e), -EINVAL);
}

static void a_program_may_give_the_key(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_free char *source = strf("command:/bin/cat %s", f->keys);
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 3);
	struct store *s = NULL;
	struct disk_ref d;

	assert_ok(open_store(f, source, &s, &e), e);
	add_disk(s, fd, "a", &d);
	store_close(s);
	assert_ok(open_store(f, f->source, &s, &e), e);
	assert_restores(f, s, &d, fd);
	store_close(s);
	assert_int_equal(open_store(f, "command:/bin/false", &s, &e), -ENOKEY);
	assert_int_equal(open_store(f, "command:cat x", &s, &e), -EINVAL);
	assert_int_equal(open_store(f, "whatever", &s, &e), -EINVAL);
}

static void a_plain_store_stays_plain(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_fd int fd = disk_file(f->dir, "a", MIB, 1, 3);
	struct store *s = NULL;
	struct disk_ref d;

	assert_ok(open_store(f, NULL, &s, &e), e);
	add_disk(s, fd, "a", &d);
	assert_false(store_region_encrypted(s, 0, NULL));
	store_close(s);
	assert_int_equal(open_store(f, f->source, &s, &e), -EINVAL);
	assert_ok(open_store(f, NULL, &s, &e), e);
	assert_restores(f, s, &d, fd);
	store_close(s);
}

static void the_key_changes(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_json json_t *m = json_pack("{s:s}", "word", "x"), *back = NULL;
	auto_fd int fa = disk_file(f->dir, "a", 5 * MIB, 1, 3);
	auto_fd int fb = disk_file(f->dir, "b", 6 * MIB, 1, 3);
	struct store_rekey_result k;
	struct store *s = NULL;
	struct disk_ref a, b;
	struct digest id;

	assert_ok(open_store(f, f->source, &s, &e), e);
	add_disk(s, fa, "a", &a);
	assert_ok(store_manifest_put(s, 0, m, &id, &e), e);
	assert_ok(store_catalog_put(s, 0, "/a/b", 3, m, &e), e);
	store_close(s);

	write_keys(f, KEY_B KEY_A); /* the new one first */
	assert_ok(open_store(f, NULL, &s, &e), e);
	add_disk(s, fb, "b", &b);
	assert_restores(f, s, &a, fa);
	assert_ok(store_rekey(s, 0, NULL, &k, &e), e);
	assert_int_equal(k.packs, 1);
	assert_int_equal(k.packs_kept, 1);
	assert_int_equal(k.objects, 3); /* manifest, record, the sign of encryption */
	assert_restores(f, s, &a, fa);
	assert_ok(store_rekey(s, 0, NULL, &k, &e), e);
	assert_int_equal(k.packs + k.objects, 0);
	store_close(s);

	write_keys(f, KEY_A);
	assert_int_equal(open_store(f, NULL, &s, &e), -ENOKEY);
	write_keys(f, KEY_B);
	assert_ok(open_store(f, NULL, &s, &e), e);
	assert_restores(f, s, &a, fa);
	assert_restores(f, s, &b, fb);
	assert_ok(store_manifest_get(s, 0, &id, &back, &e), e);
	collect(s);
	assert_whole(s, 0);
	store_close(s);
}

/* The key went before the change was over: an error that names it, nothing is taken for damage. */
static void a_key_dropped_too_early_is_no_damage(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_free char *sign = path_join(f->sdir, "regions/local/domain");
	auto_free char *aside = path_join(f->sdir, "regions/local/quarantine");
	auto_fd int fd = disk_file(f->dir, "a", 2 * MIB, 1, 3);
	struct store_check_result k;
	struct store_gc_result g;
	struct store *s = NULL;
	struct disk_ref d;
	char out[512];
	auto_dir DIR *dp = NULL;
	unsigned n = 0;

	assert_ok(open_store(f, f->source, &s, &e), e);
	add_disk(s, fd, "a", &d);
	store_close(s);
	assert_int_equal(unlink(sign), 0); /* made anew by the first key that comes */
	write_keys(f, KEY_B);
	assert_ok(open_store(f, NULL, &s, &e), e);
	assert_int_equal(store_check(s, 0, STORE_CHECK_READ_DATA | STORE_CHECK_HEAL, NULL, 0, NULL,
				     NULL, NULL, &k, &e),
			 -ENOKEY);
	assert_int_equal(store_gc(s, 0, false, NULL, &g, &e), -ENOKEY);
	(void) snprintf(out, sizeof(out), "%s", err_str(&e));
	store_close(s);
	dp = opendir(aside);
	assert_non_null(dp);
	while (readdir(dp))
		n++;
	assert_int_equal(n, 2); /* only . and .. */
	write_keys(f, KEY_A KEY_B);
	assert_ok(open_store(f, NULL, &s, &e), e);
	assert_whole(s, STORE_CHECK_HEAL);
	assert_restores(f, s, &d, fd);
	store_close(s);
}

static void the_sign_of_encryption_heals(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_free char *sign = path_join(f->sdir, "regions/local/domain");
	auto_fd int fd = disk_file(f->dir, "a", 2 * MIB, 1, 3);
	struct store *s = NULL;
	struct disk_ref d;

	assert_ok(open_store(f, f->source, &s, &e), e);
	add_disk(s, fd, "a", &d);
	store_close(s);
	assert_int_equal(truncate(sign, 20), 0);
	assert_ok(open_store(f, NULL, &s, &e), e);
	assert_restores(f, s, &d, fd);
	store_close(s);
	assert_int_equal(unlink(sign), 0);
	assert_ok(open_store(f, NULL, &s, &e), e);
	assert_whole(s, 0);
	store_close(s);
	assert_int_equal(access(sign, F_OK), 0);
}

static void move_between(const struct fixture *f, const char *from, const char *from_key,
			 const char *to, const char *to_key, const struct disk_ref *d, int want)
{
	const struct store_dir_options a = {.key = from_key}, b = {.key = to_key};
	auto_err struct err e = ERR_INIT;
	struct store *src = NULL, *dst = NULL;
	struct store_session *ss = NULL;
	struct store_stats st;

	assert_ok(store_open_dir_with(from, &a, &src, &e), e);
	assert_ok(store_open_dir_with(to, &b, &dst, &e), e);
	assert_ok(store_session_begin(dst, "test", &ss, &e), e);
	assert_ok(store_replicate_from(src, 0, ss, 0, d, 0, NULL, NULL, &st, &e), e);
	assert_ok(store_root_add(ss, 0, "name", "a", d, &e), e);
	store_session_end(ss);
	assert_restores(f, dst, d, want);
	assert_whole(dst, 0);
	store_close(src);
	store_close(dst);
}

static void disks_move_between_domains(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_free char *path = strf("%s2", f->keys), *other = strf("%s2", f->source);
	auto_free char *plain = path_join(f->dir, "plain"), *second = path_join(f->dir, "second");
	auto_fd int fd = disk_file(f->dir, "a", 6 * MIB, 1, 3);
	struct store *s = NULL;
	struct disk_ref d;

	assert_ok(file_write_atomic(path, KEY_B, strlen(KEY_B), 0600, &e), e);
	assert_ok(open_store(f, f->source, &s, &e), e);
	add_disk(s, fd, "a", &d);
	store_close(s);
	move_between(f, f->sdir, NULL, plain, NULL, &d, fd);
	move_between(f, plain, NULL, second, other, &d, fd);
}

/* A pack whose trailer is lost: what the lookup knows of it still decrypts. */
static void a_lost_trailer_is_salvaged(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_fd int fd = disk_file(f->dir, "a", 6 * MIB, 1, 3);
	struct store_check_result k;
	char key[REGION_KEY_MAX];
	struct store *s = NULL;
	struct frame_loc loc;
	struct disk_ref d;
	struct stat st;

	assert_ok(open_store(f, f->source, &s, &e), e);
	add_disk(s, fd, "a", &d);
	assert_true(lookup_find(s->regions[0].lookup, &d.root, &loc));
	pack_key_of(&loc.pack, key);
	{
		auto_free char *path = strf("%s/regions/local/%s", f->sdir, key);

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(truncate(path, st.st_size - 10), 0);
	}
	assert_ok(store_check(s, 0, STORE_CHECK_READ_DATA | STORE_CHECK_HEAL, NULL, 0, NULL, NULL,
			      NULL, &k, &e),
		  e);
	assert_int_equal(k.damaged_packs, 1);
	assert_int_equal(k.lost, 0);
	assert_whole(s, 0);
	assert_restores(f, s, &d, fd);
	store_close(s);
}

/* A sealed object of the specification: it opens under its own name, whole, and no other way. */
static void sealed_opens(const json_t *v, const struct buf *keys)
{
	auto_buf struct buf out = BUF_INIT(1024);
	auto_err struct err e = ERR_INIT;
	const char *text = json_str_at(v, "hex"), *key = json_str_at(v, "key");
	size_t n = strlen(text) / 2;
	struct keyring *ring = NULL;
	uint8_t raw[1024];

	assert_in_range(n, 1, sizeof(raw));
	assert_int_equal(hex_decode(text, raw, n), 0);
	assert_ok(keyring_parse("keys", keys->data, keys->len, &ring, &e), e);
	assert_ok(keyring_open(ring, key, raw, n, &out, &e), e);
	assert_string_equal(buf_str(&out), json_str_at(v, "text"));
	assert_int_equal(keyring_open(ring, "other", raw, n, &out, &e), -EBADMSG);
	for (size_t i = 0; i < n; i++) {
		raw[i] ^= 4;
		assert_true(keyring_open(ring, key, raw, n, &out, &e) < 0);
		raw[i] ^= 4;
	}
	keyring_free(ring);
}

/* Disk @i of the specification: what its trees and packs give is what it says. */
static void a_vector_disk(struct fixture *f, struct store *s, size_t i, const json_t *x)
{
	auto_free char *name = strf("want%zu", i);
	auto_fd int want = new_file(f->dir, name);
	uint8_t chunk[CHUNK_BYTES];
	struct digest root, digest;
	struct disk_ref d;
	json_t *fill;
	size_t k;

	json_array_foreach(json_object_get(x, "fill"), k, fill)
	{
		memset(chunk, (int) json_integer_value(fill), sizeof(chunk));
		assert_int_equal(file_pwrite_full(want, chunk, sizeof(chunk), k * CHUNK_BYTES), 0);
	}
	assert_int_equal(digest_parse(json_str_at(x, "root"), &root), 0);
	assert_int_equal(digest_parse(json_str_at(x, "digest"), &digest), 0);
	disk_ref_make(&root, (uint64_t) json_int_at(x, "size", 0), &d);
	assert_true(digest_eq(&d.digest, &digest));
	assert_restores(f, s, &d, want);
}

/* The packs of the specification, which other code made, as a region. */
static void the_vectors_are_read(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	auto_json json_t *v = NULL;
	auto_buf struct buf keys = BUF_INIT(1024);
	const char *path = getenv("STORE_VECTORS");
	struct store *s = NULL;
	uint8_t raw[4096];
	json_t *x;
	size_t i;

	if (!path)
		skip();
	assert_ok(json_read_file(path, &v, &e), e);
	json_array_foreach(json_object_get(v, "keys"), i, x)
	{
		assert_int_equal(buf_addf(&keys, "%s\n", json_string_value(x)), 0);
	}
	write_keys(f, buf_str(&keys));
	assert_ok(open_store(f, f->source, &s, &e), e);
	json_array_foreach(json_object_get(v, "packs"), i, x)
	{
		size_t n = strlen(json_str_at(x, "hex")) / 2;
		char key[REGION_KEY_MAX];
		struct pack_id id;

		assert_in_range(n, 1, sizeof(raw));
		assert_int_equal(hex_decode(json_str_at(x, "hex"), raw, n), 0);
		assert_int_equal(hex_decode(json_str_at(x, "id"), id.b, sizeof(id.b)), 0);
		pack_key_of(&id, key);
		assert_ok(region_put_small(s->regions[0].region, key, raw, n, &e), e);
	}
	json_array_foreach(json_object_get(v, "disks"), i, x) a_vector_disk(f, s, i, x);
	store_close(s);
	sealed_opens(json_object_get(v, "sealed"), &keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_shows, setup, teardown),
		cmocka_unit_test_setup_teardown(without_the_key_nothing_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(a_program_may_give_the_key, setup, teardown),
		cmocka_unit_test_setup_teardown(a_plain_store_stays_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(the_key_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_dropped_too_early_is_no_damage, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_sign_of_encryption_heals, setup, teardown),
		cmocka_unit_test_setup_teardown(disks_move_between_domains, setup, teardown),
		cmocka_unit_test_setup_teardown(the_vectors_are_read, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lost_trailer_is_salvaged, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
