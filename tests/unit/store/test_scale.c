/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes at the limits, with memory and work that follow what changes and not what there is: a disk
 * of 16 TiB, and a lookup of KILN_SCALE_FRAMES frames (1,000,000; 100,000,000 in make check-long).
 * Memory is asserted, time is only told.
 */
#include <sys/mman.h>

#include "store/lookup.h"
#include "util.h"

#define DISK_BYTES  (UINT64_C(16) << 40)
#define DISK_CHUNKS (DISK_BYTES / CHUNK_BYTES)
#define USED        64   /* chunks with data */
#define PACK_NAMES  1300 /* frames of an ordinary pack */
/* What a sanitizer keeps beside each allocation is not ours to bound. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
#ifndef INSTRUMENTED
#define INSTRUMENTED 0
#endif
#define GROWTH_KIB 65536 /* what an operation may add to anonymous memory */
#define LOOKUPS    200000

struct fixture {
	char *dir;
	struct store *s;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	auto_err struct err e = ERR_INIT;
	auto_free char *sdir = NULL;

	assert_non_null(f);
	f->dir = scratch_new();
	sdir = path_join(f->dir, "store");
	assert_non_null(sdir);
	assert_ok(store_open_dir(sdir, false, &f->s, &e), e);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->s);
	scratch_free(f->dir);
	free(f);
	return 0;
}

/* Of this process: what others do on the machine does not count. */
static int64_t cpu_ns(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t status_kib(const char *what)
{
	auto_file FILE *in = fopen("/proc/self/status", "re");
	char line[256];

	assert_non_null(in);
	while (fgets(line, sizeof(line), in))
		if (str_starts(line, what))
			return strtoull(line + strlen(what), NULL, 10);
	fail_msg("no %s", what);
	return 0;
}

/* File systems end below 16 TiB; memory does not. */
static int big_disk(unsigned shift)
{
	uint8_t p[CHUNK_BYTES];
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t) DISK_BYTES), 0);
	for (uint64_t i = 0; i < USED; i++) {
		memset(p, (int) i + 1, sizeof(p));
		assert_int_equal(file_pwrite_full(fd, p, CHUNK_BYTES,
						  (i * (DISK_CHUNKS / USED) + shift) * CHUNK_BYTES),
				 0);
	}
	return fd;
}

static void assert_same_at(int a, int b, uint64_t chunk)
{
	static uint8_t x[CHUNK_BYTES], y[CHUNK_BYTES];

	assert_int_equal(file_pread_full(a, x, CHUNK_BYTES, chunk * CHUNK_BYTES), 0);
	assert_int_equal(file_pread_full(b, y, CHUNK_BYTES, chunk * CHUNK_BYTES), 0);
	assert_memory_equal(x, y, CHUNK_BYTES);
}

static int count_range(void *arg, uint64_t offset, uint64_t length)
{
	uint64_t *n = arg;

	n[0]++;
	n[1] += length;
	return 0;
}

static void sixteen_tebibytes_cost_what_they_hold(void **state)
{
	struct fixture *f = *state;
	const struct store_extent x[] = {
		{.offset = 5 * CHUNK_BYTES, .length = CHUNK_BYTES, .file_offset = 0},
		{.offset = DISK_BYTES - CHUNK_BYTES, .length = CHUNK_BYTES, .file_offset = 0},
	};
	auto_fd int in = big_disk(0), out = memfd_create("out", MFD_CLOEXEC);
	uint64_t before = status_kib("RssAnon:"), ranges[2] = {0};
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct disk_ref base, next;
	struct store_stats st;
	struct stat sb;

	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	assert_ok(store_ingest(ss, 0, in, 0, NULL, NULL, &base, &st, &e), e);
	assert_int_equal(base.size_bytes, DISK_BYTES);
	assert_int_equal(st.chunks, USED);
	/* A leaf and the path above it for each chunk, each far below its 16 KiB. */
	assert_true(st.stored_bytes < USED * (CHUNK_BYTES + 4096));
	assert_ok(store_root_add(ss, 0, "name", "base", &base, &e), e);
	assert_ok(store_commit(ss, 0, &base, in, x, ARRAY_SIZE(x), 0, NULL, NULL, &next, &st, &e),
		  e);
	assert_int_equal(st.bytes_read, 2 * CHUNK_BYTES);
	assert_true(st.stored_bytes < 32768);
	assert_ok(store_root_add(ss, 0, "name", "next", &next, &e), e);
	store_session_end(ss);
	assert_ok(store_diff(f->s, 0, &base, &next, count_range, ranges, &e), e);
	assert_int_equal(ranges[0], 2);
	assert_int_equal(ranges[1], 2 * CHUNK_BYTES);
	assert_true(out >= 0);
	assert_ok(store_restore(f->s, 0, &next, out, NULL, NULL, NULL, &e), e);
	assert_int_equal(fstat(out, &sb), 0);
	assert_int_equal(sb.st_size, DISK_BYTES);
	assert_int_equal(sb.st_blocks * 512, (USED + 2) * CHUNK_BYTES);
	for (uint64_t i = 0; i < USED; i++)
		assert_same_at(in, out, i * (DISK_CHUNKS / USED));
	assert_true(INSTRUMENTED || status_kib("RssAnon:") < before + GROWTH_KIB);
}

/* Names without content: the lookup does not mind. */
static void name_of(uint64_t n, struct digest *ret)
{
	uint64_t x = n + 1;

	for (unsigned i = 0; i < DIGEST_BYTES; i += 8) {
		uint64_t v = rnd_next(&x);

		memcpy(ret->b + i, &v, 8);
	}
}

static void pack_of(uint64_t k, struct pack_id *ret)
{
	memset(ret, 0x5a, sizeof(*ret));
	memcpy(ret->b, &k, sizeof(k));
}

static void fill_lookup(struct lookup *l, uint64_t frames)
{
	static struct pack_entry entries[PACK_NAMES];
	auto_err struct err e = ERR_INIT;

	for (uint64_t at = 0; at < frames; at += PACK_NAMES) {
		uint32_t n = frames - at < PACK_NAMES ? (uint32_t) (frames - at) : PACK_NAMES;
		struct pack_id id;

		pack_of(at / PACK_NAMES, &id);
		for (uint32_t i = 0; i < n; i++) {
			entries[i] = (struct pack_entry){
				.offset = 128 + i * 100, .length = 100, .encoding = FRAME_ZSTD};
			name_of(at + i, &entries[i].name);
		}
		assert_ok(lookup_add_pack(l, &id, entries, n, false, &e), e);
	}
}

static void a_lookup_of_many_frames(void **state)
{
	const char *wanted = getenv("KILN_SCALE_FRAMES"), *where = getenv("KILN_SCALE_DIR");
	uint64_t frames = wanted ? strtoull(wanted, NULL, 10) : 1000000, x = 1, before;
	auto_free char *dir = strf("%s/kiln-scale-XXXXXX", where ? where : "/dev/shm");
	auto_err struct err e = ERR_INIT;
	struct lookup *l = NULL;
	int64_t start, opened;

	assert_non_null(dir);
	assert_non_null(mkdtemp(dir));
	before = status_kib("RssAnon:");
	assert_ok(lookup_open(dir, false, &l, &e), e);
	fill_lookup(l, frames);
	assert_true(INSTRUMENTED || status_kib("RssAnon:") < before + GROWTH_KIB);
	lookup_close(l);
	start = cpu_ns();
	assert_ok(lookup_open(dir, false, &l, &e), e);
	opened = cpu_ns();
	for (unsigned i = 0; i < LOOKUPS; i++) {
		uint64_t n = rnd_next(&x) % (2 * frames); /* every other one is not there */
		struct frame_loc loc;
		struct pack_id id;
		struct digest name;

		name_of(n, &name);
		assert_int_equal(lookup_find(l, &name, &loc), n < frames);
		if (n >= frames)
			continue;
		pack_of(n / PACK_NAMES, &id);
		assert_memory_equal(&loc.pack, &id, sizeof(id));
		assert_int_equal(loc.index, n % PACK_NAMES);
	}
	print_message("%llu frames: opened in %lld us, %.2f us a lookup, %llu KiB anonymous\n",
		      (unsigned long long) frames, (long long) (opened - start) / 1000,
		      (double) (cpu_ns() - opened) / LOOKUPS / 1000,
		      (unsigned long long) status_kib("RssAnon:"));
	assert_true(INSTRUMENTED || status_kib("RssAnon:") < before + GROWTH_KIB);
	lookup_close(l);
	scratch_free(take_ptr(dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sixteen_tebibytes_cost_what_they_hold, setup,
						teardown),
		cmocka_unit_test(a_lookup_of_many_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
