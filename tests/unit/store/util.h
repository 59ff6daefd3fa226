/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's tests share: a scratch directory, disks with known content. */
#ifndef TESTS_UNIT_STORE_UTIL_H
#define TESTS_UNIT_STORE_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/store.h"

static inline char *scratch_new(void)
{
	char *dir = strdup("/tmp/kiln-test-store-XXXXXX");

	assert_non_null(dir);
	assert_non_null(mkdtemp(dir));
	return dir;
}

static inline void scratch_free(char *dir)
{
	assert_int_equal(file_rm_rf(dir, NULL), 0);
	free(dir);
}

#define assert_ok(r, e)                                                                            \
	do {                                                                                       \
		int r_ = (r);                                                                      \
		if (r_ < 0)                                                                        \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, err_str(&(e)));             \
		assert_true(r_ >= 0);                                                              \
	} while (0)

/* A cheap generator; the same seed gives the same bytes. */
static inline uint64_t rnd_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* One chunk: kind 0 random, 1 text-like, 2 zeros, by its seed. */
static inline void fill_chunk(uint8_t *p, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	memset(p, 0, CHUNK_BYTES);
	if (seed % 3 == 2)
		return;
	for (size_t i = 0; i + 8 <= CHUNK_BYTES; i += 8) {
		uint64_t v = rnd_next(&x);

		if (seed % 3 == 1)
			v = 0x2020202020202020u | (v & 0x0f0f);
		memcpy(p + i, &v, 8);
	}
}

/* A sparse file of @size bytes; chunk k is there when k % @step == 0, with content @seed + k. */
static inline int disk_file(const char *dir, const char *name, uint64_t size, uint64_t step,
			    uint64_t seed)
{
	auto_free char *path = path_join(dir, name);
	uint8_t *p = malloc(CHUNK_BYTES);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_non_null(p);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t) size), 0);
	for (uint64_t at = 0; at < size; at += step * CHUNK_BYTES) {
		uint64_t n = size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES;

		fill_chunk(p, seed + at / CHUNK_BYTES);
		assert_int_equal(file_pwrite_full(fd, p, n, at), 0);
	}
	free(p);
	return fd;
}

static inline int new_file(const char *dir, const char *name)
{
	auto_free char *path = path_join(dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static inline void assert_same_files(int a, int b)
{
	static uint8_t x[CHUNK_BYTES], y[CHUNK_BYTES];
	struct stat sa, sb;

	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_int_equal(sa.st_size, sb.st_size);
	for (off_t at = 0; at < sa.st_size; at += CHUNK_BYTES) {
		size_t n = sa.st_size - at < (off_t) CHUNK_BYTES ? (size_t) (sa.st_size - at)
								 : CHUNK_BYTES;

		assert_int_equal(file_pread_full(a, x, n, (uint64_t) at), 0);
		assert_int_equal(file_pread_full(b, y, n, (uint64_t) at), 0);
		if (memcmp(x, y, n) != 0)
			fail_msg("files differ in the chunk at byte %lld", (long long) at);
	}
}

#endif
