/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Injected damages: `store-rot COUNT SEED [encrypted]`. Each: one damage in one of two equal
 * stores; check must find it, export must give the right bytes or an error, healing from the other
 * store must make it whole. Prints what was done; ends with 1 at the first failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "trial.h"

#define PACKS_MAX 32

static const char *const kinds[] = {"bit flip", "4 KiB of zeros",     "truncation", "swap",
				    "deletion", "another valid pack", "grown",      "empty"};

struct packs {
	char *v[PACKS_MAX];
	unsigned n;
};
static struct packs found; /* nftw() has no argument */

static int note_pack(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	const char *dot = strrchr(path, '.');

	if (kind == FTW_F && dot && strcmp(dot, ".pack") == 0 && found.n < PACKS_MAX)
		found.v[found.n++] = strdup(path);
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static void list_packs(const char *store)
{
	auto_free char *dir = strf("%s/regions/local/packs", store);

	for (unsigned i = 0; i < found.n; i++)
		free(found.v[i]);
	found.n = 0;
	if (dir)
		(void) nftw(dir, note_pack, 16, FTW_PHYS);
	qsort(found.v, found.n, sizeof(found.v[0]), by_path);
}

static uint64_t rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

static int damage_range(const char *path, unsigned kind, uint64_t *x, uint64_t size, uint64_t *at)
{
	static const uint8_t zeros[4096];
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t b, was[4096];
	size_t n = size < 4096 ? (size_t) size : 4096;

	if (fd < 0)
		return -errno;
	if (kind == 0) {
		/* Each second time in the header or the footer: they are small. */
		*at = rnd(x) % (rnd(x) % 2 ? size : 192);
		if (*at >= 128 && *at < 192)
			*at = size - 64 + (*at - 128);
		if (file_pread_full(fd, &b, 1, *at) < 0)
			return -EIO;
		b ^= (uint8_t) (1u << rnd(x) % 8);
		return file_pwrite_full(fd, &b, 1, *at);
	}
	*at = rnd(x) % (size - n + 1);
	if (file_pread_full(fd, was, n, *at) < 0)
		return -EIO;
	if (memcmp(was, zeros, n) == 0)
		*at = 0; /* nothing would change there */
	return file_pwrite_full(fd, zeros, n, *at);
}

/* One damage; says what in @what. */
static int injure(const char *store, uint64_t *x, char *what, size_t n_what)
{
	unsigned kind = (unsigned) (rnd(x) % ARRAY_SIZE(kinds));
	const char *a, *b, *name;
	uint64_t at = 0;
	struct stat st;
	int r = 0;

	list_packs(store);
	if (found.n < 2)
		return -ENOENT;
	a = found.v[rnd(x) % found.n];
	do
		b = found.v[rnd(x) % found.n];
	while (b == a);
	if (stat(a, &st) < 0)
		return -errno;
	switch (kind) {
	case 0:
	case 1:
		r = damage_range(a, kind, x, (uint64_t) st.st_size, &at);
		break;
	case 2:
		at = rnd(x) % (uint64_t) st.st_size;
		r = truncate(a, (off_t) at);
		break;
	case 3:
		r = renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
		break;
	case 4:
		r = unlink(a);
		break;
	case 5:
		r = unlink(a) < 0 || link(b, a) < 0 ? -1 : 0;
		break;
	case 6:
		r = truncate(a, st.st_size + 1 + (off_t) (rnd(x) % 5000));
		break;
	default:
		r = truncate(a, 0);
	}
	name = strrchr(a, '/');
	(void) snprintf(what, n_what, "%s, %s of %lld bytes, at %llu", kinds[kind], name + 1,
			(long long) st.st_size, (unsigned long long) at);
	return r < 0 ? -EIO : 0;
}

static const char *const names[] = {"base", "v1", "more"};
static struct digest plain[ARRAY_SIZE(names)]; /* of the disks' bytes */

/* @learn: take the bytes for right; @must_work: a refusal is wrong too. */
static int export_all(const struct trial *t, const char *store, bool learn, bool must_work,
		      struct err *err)
{
	auto_free char *path = path_join(t->dir, "export");
	struct store *s = NULL;
	int r = path ? store_open_dir(store, true, &s, err) : -ENOMEM;

	for (unsigned i = 0; i < ARRAY_SIZE(names) && r >= 0; i++) {
		auto_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		auto_err struct err e = ERR_INIT;
		struct digest have;
		struct disk_ref d;

		r = store_root_get(s, 0, "name", names[i], &d, err);
		if (r < 0)
			break;
		if (store_restore(s, 0, &d, fd, NULL, NULL, NULL, &e) < 0) {
			if (must_work)
				r = err_set(err, -EBADMSG, "%s: %s", names[i], err_str(&e));
			continue;
		}
		r = sha256_file(path, &have, NULL);
		if (r < 0)
			r = err_set(err, r, "cannot read the export");
		else if (learn)
			plain[i] = have;
		else if (!digest_eq(&have, &plain[i]))
			r = err_set(err, -EBADMSG, "%s: wrong bytes were served", names[i]);
	}
	store_close(s);
	return r;
}

static int check(const struct trial *t, const char *store, bool heal,
		 struct store_check_result *ret, struct err *err)
{
	unsigned flags = STORE_CHECK_READ_DATA | (heal ? STORE_CHECK_HEAL : 0);
	struct store *s = NULL, *o = NULL;
	int r = store_open_dir(store, false, &s, err);

	if (r >= 0)
		r = store_open_dir(t->other, true, &o, err);
	if (r >= 0)
		r = store_check(s, 0, flags, &o, 1, NULL, NULL, NULL, ret, err);
	store_close(o);
	store_close(s);
	return r;
}

static unsigned harmless; /* flips after which everything still is what its name says */

static int suffer(const struct trial *t, const char *store, uint64_t *x, char *what, size_t n_what,
		  struct err *err)
{
	auto_free char *lookup = path_join(store, "lookup");
	struct store_check_result k;
	int r = trial_copy(t->other, store);

	if (r < 0 || !lookup)
		return err_set(err, -EIO, "cannot copy the store");
	if (rnd(x) % 2)
		(void) file_rm_rf(lookup, NULL); /* nothing but a hint */
	r = injure(store, x, what, n_what);
	if (r < 0)
		return err_set(err, r, "cannot injure");
	r = export_all(t, store, false, false, err);
	if (r >= 0)
		r = check(t, store, false, &k, err);
	if (r >= 0 && k.damaged_packs + k.missing == 0) {
		/* A bit of a compressed frame may mean nothing; all else must be seen. */
		if (strncmp(what, kinds[0], strlen(kinds[0])) != 0)
			r = err_set(err, -EBADMSG, "not detected");
		else
			harmless++;
	}
	if (r >= 0)
		r = check(t, store, true, &k, err);
	if (r >= 0 && k.lost > 0)
		r = err_set(err, -EBADMSG, "%llu names lost", (unsigned long long) k.lost);
	if (r >= 0)
		r = check(t, store, false, &k, err);
	if (r >= 0 && k.damaged_packs + k.missing > 0)
		r = err_set(err, -EBADMSG, "not healed");
	return r < 0 ? r : export_all(t, store, false, true, err);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : 50, bad = 0;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	auto_err struct err e = ERR_INIT;
	auto_free char *store = NULL;
	struct trial t;

	trial_new(&t, argc > 3 && strcmp(argv[3], "encrypted") == 0);
	store = path_join(t.dir, "now");
	if (!store || export_all(&t, t.other, true, true, &e) < 0)
		bad++;
	for (unsigned i = 0; i < count && bad < 10; i++) {
		uint64_t x = (seed * 1000003 + i) * 0x9e3779b97f4a7c15u + 1;
		auto_err struct err own = ERR_INIT;
		char what[256] = "";

		if (suffer(&t, store, &x, what, sizeof(what), &own) < 0) {
			bad++;
			(void) printf("damage %u: %s: %s\n", i, what, err_str(&own));
		}
	}
	(void) printf("seed %llu: %u damages, %u of them without a meaning, %u failures\n",
		      (unsigned long long) seed, count, harmless, bad);
	trial_free(&t);
	return bad > 0;
}
