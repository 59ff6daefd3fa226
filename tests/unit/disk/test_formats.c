/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "disk/formats/format.h"

/* A disk with a few stretches of data, each byte a function of its place. */
#define BLOCK 65536u
static const uint64_t stretches[][2] = {{0, 3}, {31, 34}, {500, 501}, {999, 1000}}; /* blocks */

static bool has_data(uint64_t block)
{
	for (size_t i = 0; i < ARRAY_SIZE(stretches); i++)
		if (block >= stretches[i][0] && block < stretches[i][1])
			return true;
	return false;
}

static int fake_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	uint8_t *p = dst;

	for (size_t i = 0; i < n; i++)
		p[i] = has_data((offset + i) / BLOCK) ? (uint8_t) ((offset + i) * 31 >> 3) : 0;
	return 0;
}

static int fake_run(void *arg, uint64_t offset, uint64_t max, bool *ret_zero, uint64_t *ret_len,
		    struct err *err)
{
	uint64_t end = offset / BLOCK + 1;

	*ret_zero = !has_data(offset / BLOCK);
	while (end * BLOCK < offset + max && has_data(end) != *ret_zero)
		end++;
	*ret_len = end * BLOCK - offset < max ? end * BLOCK - offset : max;
	return 0;
}

static const struct format_facts facts = {.id = {1, 2, 3}, .name = "test", .uefi = true};

static void write_one(const struct format *f, const struct disk_source *disk, unsigned threads,
		      int fd)
{
	struct format_job job = {
		.disk = disk, .facts = &facts, .fd = fd, .random = true, .threads = threads};
	struct err e = ERR_INIT;

	if (format_write(f, &job, &e) < 0)
		fail_msg("%s: %s", f->name, err_str(&e));
}

static void files_do_not_depend_on_threads(void **state)
{
	struct disk_source disk = {
		.size_bytes = 1000ull * BLOCK - 512, .read = fake_read, .run = fake_run};

	for (size_t i = 0; formats[i]; i++) {
		auto_fd int one = memfd_create("one", MFD_CLOEXEC);
		auto_fd int many = memfd_create("many", MFD_CLOEXEC);
		off_t n, m;
		const uint8_t *p, *q;

		write_one(formats[i], &disk, 1, one);
		write_one(formats[i], &disk, 4, many);
		n = lseek(one, 0, SEEK_END);
		m = lseek(many, 0, SEEK_END);
		assert_int_equal(n, m);
		p = mmap(NULL, (size_t) n, PROT_READ, MAP_SHARED, one, 0);
		q = mmap(NULL, (size_t) n, PROT_READ, MAP_SHARED, many, 0);
		assert_true(p != MAP_FAILED && q != MAP_FAILED);
		assert_memory_equal(p, q, (size_t) n);
		(void) munmap((void *) (uintptr_t) p, (size_t) n);
		(void) munmap((void *) (uintptr_t) q, (size_t) n);
	}
}

static void any_range_of_a_layout_is_that_of_the_file(void **state)
{
	struct disk_source disk = {
		.size_bytes = 1000ull * BLOCK, .read = fake_read, .run = fake_run};

	for (size_t i = 0; formats[i]; i++) {
		auto_fd int fd = memfd_create("file", MFD_CLOEXEC);
		struct layout *l = NULL;
		uint8_t got[9000], want[9000];

		if (!formats[i]->layout) {
			assert_int_equal(format_layout(formats[i], &disk, &facts, &l, NULL),
					 -EOPNOTSUPP);
			continue;
		}
		write_one(formats[i], &disk, 2, fd);
		assert_int_equal(format_layout(formats[i], &disk, &facts, &l, NULL), 0);
		assert_int_equal(layout_bytes(l), lseek(fd, 0, SEEK_END));
		for (uint64_t at = 0; at + sizeof(got) < layout_bytes(l); at += 77777) {
			assert_int_equal(layout_read(l, got, sizeof(got), at, NULL), 0);
			assert_int_equal(pread(fd, want, sizeof(want), (off_t) at), sizeof(want));
			assert_memory_equal(got, want, sizeof(got));
		}
		assert_int_equal(layout_read(l, got, 2, layout_bytes(l) - 1, NULL), -EINVAL);
		layout_free(l);
	}
}

static void limits_are_kept(void **state)
{
	for (size_t i = 0; formats[i]; i++) {
		const struct format *f = formats[i];
		struct err e = ERR_INIT;
		uint64_t padded = 0;

		assert_int_equal(format_padded(f, f->max_bytes / 512 * 512, &padded, &e), 0);
		assert_int_equal(format_padded(f, f->max_bytes + 1, &padded, &e), -EINVAL);
		assert_string_equal(e.arm, "DiskTooLargeForFormat");
		err_done(&e);
		assert_int_equal(format_padded(f, 512, &padded, NULL), 0);
		assert_int_equal(padded, f->unit_bytes);
	}
}

static void a_pipe_is_refused_where_it_cannot_be(void **state)
{
	struct disk_source disk = {.size_bytes = BLOCK, .read = fake_read, .run = fake_run};
	struct format_job job = {.disk = &disk, .facts = &facts, .fd = -1};

	for (size_t i = 0; formats[i]; i++)
		if (formats[i]->random)
			assert_int_equal(format_write(formats[i], &job, NULL), -ESPIPE);
}

static void names(void **state)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; formats[i]; i++)
		assert_ptr_equal(format_find(formats[i]->name, NULL), formats[i]);
	assert_null(format_find("vdi", &e));
	assert_non_null(strstr(err_str(&e), "vhdx"));
	err_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_do_not_depend_on_threads),
		cmocka_unit_test(any_range_of_a_layout_is_that_of_the_file),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(a_pipe_is_refused_where_it_cannot_be),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
