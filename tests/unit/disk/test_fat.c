/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/proc.h"
#include "disk/fat.h"

static int scratch(uint64_t bytes, char path[32])
{
	int fd;

	(void) snprintf(path, 32, "/tmp/kiln-fat-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t) bytes), 0);
	return fd;
}

static void run_ok(const char *const *argv, struct buf *out)
{
	auto_err struct err err = ERR_INIT;
	auto_buf struct buf errs = BUF_INIT(1u << 16);
	const struct proc_spec spec = {.argv = argv, .out = out, .errout = &errs};
	struct proc_result res;

	assert_int_equal(proc_run(&spec, &res, &err), 0);
	if (res.exit_code)
		print_message("%s%s\n", buf_str(out), buf_str(&errs));
	assert_int_equal(res.exit_code, 0);
}

static void fsck_clean(const char *path)
{
	const char *const argv[] = {"/usr/sbin/fsck.fat", "-n", path, NULL};
	auto_buf struct buf out = BUF_INIT(1u << 16);

	run_ok(argv, &out);
	assert_null(strstr(buf_str(&out), "differ"));
}

static void other_tools_read_it(void **state)
{
	static uint8_t big[3 * 1024 * 1024 + 77];
	const struct fat_spec spec = {.size_bytes = 64ull << 20,
				      .volume_id = 0x12345678,
				      .label = "ESP",
				      .time_s = 1760000000};
	struct fat_file files[] = {
		{"EFI/debian/grub.cfg", "set a=1\n", 8},
		{"EFI/BOOT/BOOTX64.EFI", big, sizeof(big)},
		{"EFI/BOOT/empty", "", 0},
		{"readme.TXT", "x", 1},
	};
	char path[32];
	auto_fd int fd = scratch(spec.size_bytes, path);
	const char *const list[] = {"/usr/bin/mdir", "-/", "-b", "-i", path, "::", NULL};
	const char *const type[] = {"/usr/bin/mtype", "-i", path, "::/EFI/BOOT/BOOTX64.EFI", NULL};
	auto_buf struct buf out = BUF_INIT(8u << 20), content = BUF_INIT(8u << 20);

	for (size_t k = 0; k < sizeof(big); k++)
		big[k] = (uint8_t) (k * 31 >> 3 | 1);
	assert_int_equal(fat32_write(fd, 0, &spec, files, ARRAY_SIZE(files), NULL), 0);
	fsck_clean(path);
	run_ok(list, &out);
	assert_non_null(strstr(buf_str(&out), "::/EFI/debian/grub.cfg\n"));
	assert_non_null(strstr(buf_str(&out), "::/EFI/BOOT/BOOTX64.EFI\n"));
	assert_non_null(strstr(buf_str(&out), "::/readme.TXT\n"));
	run_ok(type, &content);
	assert_int_equal(content.len, sizeof(big));
	assert_memory_equal(content.data, big, sizeof(big));
	(void) unlink(path);
}

static void same_arguments_same_bits(void **state)
{
	const struct fat_spec spec = {.size_bytes = 64ull << 20, .volume_id = 1, .time_s = 1};
	struct fat_file a[] = {{"b/c", "1", 1}, {"a", "2", 1}, {"b/a", "3", 1}};
	struct fat_file b[] = {{"b/a", "3", 1}, {"b/c", "1", 1}, {"a", "2", 1}};
	struct digest x, y;
	char pa[32], pb[32];
	auto_fd int fa = scratch(spec.size_bytes, pa), fb = scratch(spec.size_bytes, pb);

	assert_int_equal(fat32_write(fa, 0, &spec, a, 3, NULL), 0);
	assert_int_equal(fat32_write(fb, 0, &spec, b, 3, NULL), 0);
	assert_int_equal(sha256_file(pa, &x, NULL), 0);
	assert_int_equal(sha256_file(pb, &y, NULL), 0);
	assert_true(digest_eq(&x, &y));
	(void) unlink(pa);
	(void) unlink(pb);
}

static void limits(void **state)
{
	struct fat_spec spec = {.size_bytes = FAT32_MIN_BYTES, .volume_id = 1};
	static const char *const bad[] = {"",   "Mixed", "ninechars", "a.long", "a.",
					  ".a", "a//b",  "../a",      "a b",    "a/b.c.d"};
	struct fat_file twice[] = {{"a", "1", 1}, {"A", "2", 1}};
	struct fat_file under[] = {{"a", "1", 1}, {"a/b", "2", 1}};
	static uint8_t large[FAT32_MIN_BYTES - (1u << 20)];
	struct fat_file full = {"a", large, sizeof(large)};
	char path[32];
	auto_fd int fd = scratch(spec.size_bytes, path);

	for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
		struct fat_file f = {bad[k], "1", 1};

		assert_int_equal(fat32_write(fd, 0, &spec, &f, 1, NULL), -EINVAL);
	}
	assert_int_equal(fat32_write(fd, 0, &spec, twice, 2, NULL), -EINVAL);
	assert_int_equal(fat32_write(fd, 0, &spec, under, 2, NULL), -EINVAL);
	/* The largest that fits, by the free clusters that a full volume leaves: 0. */
	full.n = FAT32_MIN_BYTES - 32 * 512 - 2 * 1024 * 512 - 512;
	assert_int_equal(fat32_write(fd, 0, &spec, &full, 1, NULL), 0);
	fsck_clean(path);
	full.n++;
	assert_int_equal(fat32_write(fd, 0, &spec, &full, 1, NULL), -ENOSPC);
	spec.label = "lower";
	assert_int_equal(fat32_write(fd, 0, &spec, NULL, 0, NULL), -EINVAL);
	spec.label = "TWELVECHARS1";
	assert_int_equal(fat32_write(fd, 0, &spec, NULL, 0, NULL), -EINVAL);
	spec.label = NULL;
	spec.size_bytes -= 1u << 20;
	assert_int_equal(fat32_write(fd, 0, &spec, NULL, 0, NULL), -EINVAL);
	(void) unlink(path);
}

/* Every size has a number of clusters that makes it FAT32 and nothing else. */
static void sizes(void **state)
{
	static const uint64_t mib[] = {64, 65, 128, 256, 257, 8192, 8193, 32768};

	for (size_t k = 0; k < ARRAY_SIZE(mib); k++) {
		const struct fat_spec spec = {.size_bytes = mib[k] << 20, .volume_id = 1};
		struct fat_file f = {"a/b", "1", 1};
		char path[32];
		auto_fd int fd = scratch(spec.size_bytes, path);

		assert_int_equal(fat32_write(fd, 0, &spec, &f, 1, NULL), 0);
		fsck_clean(path);
		(void) unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_tools_read_it),
		cmocka_unit_test(same_arguments_same_bits),
		cmocka_unit_test(limits),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
