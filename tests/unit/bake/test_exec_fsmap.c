/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>

#include "bake/fsmap.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

#define OFFSET (1u << 20)
#define SIZE   (16u << 20)

/* A small ext4 with a journal, one file in it, everything else free; free bytes are 0xaa. */
static int make_image(const char *options)
{
	char path[] = "/tmp/kiln-fsmap.XXXXXX", dir[] = "/tmp/kiln-fsmap-d.XXXXXX";
	auto_free char *tool = NULL, *offset = strf("offset=%u", OFFSET), *file = NULL,
		       *size = NULL;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_non_null(mkdtemp(dir));
	file = path_join(dir, "kept");
	size = strf("%uk", SIZE / 1024);
	assert_int_equal(file_write_atomic(file, "KEPT-CONTENT", 12, 0644, NULL), 0);
	assert_int_equal(ftruncate(fd, OFFSET + SIZE), 0);
	assert_int_equal(proc_find("mke2fs", "e2fsprogs", &tool, NULL), 0);
	const char *argv[] = {tool,    "-q", "-F", "-t", "ext4", "-b", "4096", "-O",
			      options, "-d", dir,  "-E", offset, path, size,   NULL};
	struct proc_spec p = {.argv = argv};

	assert_int_equal(proc_check(&p, NULL), 0);
	(void) unlink(path);
	assert_int_equal(file_rm_rf(dir, NULL), 0);
	return fd;
}

static size_t count_kept(int fd)
{
	auto_free char *all = malloc(OFFSET + SIZE);
	size_t n = 0;

	assert_non_null(all);
	assert_int_equal(file_pread_full(fd, all, OFFSET + SIZE, 0), 0);
	for (char *p = all; (p = memmem(p, (size_t) (all + OFFSET + SIZE - p), "KEPT-CONTENT", 12));
	     p += 12)
		n++;
	return n;
}

static void finds_free_blocks(void **state)
{
	auto_fd int fd = make_image("^uninit_bg");
	struct fsmap m = {0};
	struct store_extent all = {.offset = 0, .length = OFFSET + SIZE, .file_offset = 0};
	uint64_t bytes = 0, empty = 0;
	char junk[4096], block[4096];

	memset(junk, 0xaa, sizeof(junk));
	assert_int_equal(fsmap_read(fd, OFFSET, SIZE, &m, NULL), 0);
	assert_int_equal(m.unit_bytes, 4096);
	assert_false(fsmap_empty(&m, 0));             /* outside */
	assert_false(fsmap_empty(&m, OFFSET));        /* superblock */
	assert_false(fsmap_empty(&m, OFFSET + SIZE)); /* behind the end */
	for (uint64_t at = OFFSET; at < OFFSET + SIZE; at += 4096)
		if (fsmap_empty(&m, at)) {
			assert_int_equal(file_pwrite_full(fd, junk, 4096, at), 0);
			empty += 4096;
		}
	assert_true(empty > SIZE / 2);
	assert_int_equal(count_kept(fd), 1);
	assert_int_equal(fsmap_scrub(&m, fd, &all, 1, &bytes, NULL), 0);
	assert_int_equal(bytes, empty);
	assert_int_equal(count_kept(fd), 1);
	for (uint64_t at = OFFSET; at < OFFSET + SIZE; at += 4096) {
		if (!fsmap_empty(&m, at))
			continue;
		assert_int_equal(file_pread_full(fd, block, 4096, at), 0);
		for (size_t i = 0; i < 4096; i++)
			assert_int_equal(block[i], 0);
	}
	fsmap_done(&m);
	fsmap_done(&m);
}

/* Extents that begin and end inside a block: nothing outside of them is touched. */
static void scrubs_only_extents(void **state)
{
	auto_fd int fd = make_image("^uninit_bg"), copy = -1;
	struct fsmap m = {0};
	struct store_extent e[2] = {{.length = 5000, .file_offset = 100}, {.zero = true}};
	char path[] = "/tmp/kiln-fsmap-o.XXXXXX", junk[8192], got[8192];
	uint64_t at = OFFSET + SIZE - 4096 * 8, bytes = 0;

	assert_int_equal(fsmap_read(fd, OFFSET, SIZE, &m, NULL), 0);
	assert_true(fsmap_empty(&m, at) && fsmap_empty(&m, at + 4096));
	e[0].offset = at + 1000;
	e[1].offset = at + 8192;
	e[1].length = 4096;
	copy = mkstemp(path);
	(void) unlink(path);
	memset(junk, 0xaa, sizeof(junk));
	assert_int_equal(file_pwrite_full(copy, junk, sizeof(junk), 0), 0);
	assert_int_equal(fsmap_scrub(&m, copy, e, 2, &bytes, NULL), 0);
	assert_int_equal(bytes, 5000);
	assert_int_equal(file_pread_full(copy, got, sizeof(got), 0), 0);
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal((unsigned char) got[i], i >= 100 && i < 5100 ? 0 : 0xaa);
	fsmap_done(&m);
}

/* What was in use before and is free now reads as zeros; what was free already is not touched. */
static void zeroes_freed(void **state)
{
	auto_fd int fd = make_image("^uninit_bg");
	struct fsmap before = {0}, now = {0};
	char junk[4096], block[4096];
	uint64_t unit, at;

	memset(junk, 0xaa, sizeof(junk));
	assert_int_equal(fsmap_read(fd, OFFSET, SIZE, &now, NULL), 0);
	unit = now.units - 16;
	assert_int_equal(fsmap_copy(&now, &before), 0);
	before.empty[unit / 8] &= (uint8_t) ~(1u << (unit % 8));
	for (uint64_t u = unit - 1; u <= unit + 1; u++) {
		at = now.offset + u * 4096;
		assert_true(fsmap_empty(&now, at));
		assert_int_equal(file_pwrite_full(fd, junk, 4096, at), 0);
	}
	assert_int_equal(fsmap_zero_freed(&before, &now, fd, NULL), 0);
	for (uint64_t u = unit - 1; u <= unit + 1; u++) {
		assert_int_equal(file_pread_full(fd, block, 4096, now.offset + u * 4096), 0);
		assert_int_equal((unsigned char) block[77], u == unit ? 0 : 0xaa);
	}
	assert_int_equal(count_kept(fd), 1);
	before.units--;
	assert_int_equal(fsmap_zero_freed(&before, &now, fd, NULL), -EINVAL);
	fsmap_done(&before);
	fsmap_done(&now);
}

static void refuses_nonsense(void **state)
{
	auto_fd int fd = make_image("^uninit_bg");
	struct fsmap m = {0};
	uint8_t super[1024];

	assert_int_equal(fsmap_read(fd, 0, SIZE, &m, NULL), -EINVAL);
	assert_int_equal(fsmap_read(fd, OFFSET, SIZE / 2, &m, NULL), -EINVAL);
	assert_int_equal(fsmap_read(fd, OFFSET + SIZE, SIZE, &m, NULL), -ENODATA);
	assert_int_equal(file_pread_full(fd, super, sizeof(super), OFFSET + 1024), 0);
	/* Each field that drives a loop or an offset, at its extreme. */
	static const size_t fields[] = {0x04, 0x18, 0x20, 0x28, 0x58, 0xfe, 0x150, 0x14};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		for (int fill = 0; fill < 2; fill++) {
			uint8_t bad[1024];

			memcpy(bad, super, sizeof(bad));
			memset(bad + fields[i], fill ? 0xff : 0,
			       fields[i] == 0x58 || fields[i] == 0xfe ? 2 : 4);
			assert_int_equal(file_pwrite_full(fd, bad, sizeof(bad), OFFSET + 1024), 0);
			m = (struct fsmap){0};
			int r = fsmap_read(fd, OFFSET, SIZE, &m, NULL);

			if (r == 0)
				fsmap_done(&m);
			assert_true(r <= 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_free_blocks),
		cmocka_unit_test(scrubs_only_extents),
		cmocka_unit_test(zeroes_freed),
		cmocka_unit_test(refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
