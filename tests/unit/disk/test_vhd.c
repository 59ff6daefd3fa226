/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "disk/vhd.h"

#define DISK (8u << 20)

static const uint8_t id[16] = {1, 2, 3};
static const uint8_t head[VHD_HEAD];

static void sum_again(uint8_t f[VHD_FOOTER])
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < VHD_FOOTER; i++)
		sum += i < 64 || i >= 68 ? f[i] : 0;
	for (unsigned i = 0; i < 4; i++)
		f[64 + i] = (uint8_t) (~sum >> (24 - 8 * i));
}

static void expect_bad(const uint8_t *front, const uint8_t *f, uint64_t bytes, const char *text)
{
	struct err e = ERR_INIT;
	uint64_t size = 1;

	assert_int_equal(vhd_check(front, VHD_HEAD, f, bytes, &size, &e), -EINVAL);
	if (!strstr(err_str(&e), text))
		fail_msg("'%s' is not in: %s", text, err_str(&e));
	assert_int_equal(size, 1);
	err_done(&e);
}

static void footer_is_read_back(void **state)
{
	static const uint64_t sizes[] = {512, 1u << 20, DISK, 30ull << 30, 8ull << 40};
	uint8_t f[VHD_FOOTER];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct err e = ERR_INIT;
		uint64_t size = 0;

		vhd_footer(sizes[i], id, f);
		if (vhd_check(head, sizeof(head), f, sizes[i] + VHD_FOOTER, &size, &e) < 0)
			fail_msg("%s", err_str(&e));
		assert_int_equal(size, sizes[i]);
	}
	/* 8 MiB is 240 x 4 x 17 by the specification's rule. */
	vhd_footer(DISK, id, f);
	assert_memory_equal(f + 56, "\x00\xf0\x04\x11", 4);
}

static void damage_is_named(void **state)
{
	uint8_t f[VHD_FOOTER];

	vhd_footer(DISK, id, f);
	expect_bad(head, f, DISK + 1024, "are before the footer");
	expect_bad(head, f, DISK + 511, "whole sectors");
	expect_bad(head, f, 512, "whole sectors");
	f[100] ^= 1;
	expect_bad(head, f, DISK + VHD_FOOTER, "checksum");
	f[100] ^= 1;
	f[60 + 3] = 3;
	sum_again(f);
	expect_bad(head, f, DISK + VHD_FOOTER, "a dynamic VHD");
	f[60 + 3] = 4;
	sum_again(f);
	expect_bad(head, f, DISK + VHD_FOOTER, "a differencing VHD");
	f[60 + 3] = 2;
	f[12 + 1] = 2;
	sum_again(f);
	expect_bad(head, f, DISK + VHD_FOOTER, "version");
}

static void other_formats_are_named(void **state)
{
	static const struct {
		const char *magic, *name;
	} all[] = {{"vhdxfile", "VHDX"}, {"QFI\xfb", "qcow2"}, {"KDMV", "VMDK"}, {"", "else"}};
	uint8_t f[VHD_FOOTER] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uint8_t front[VHD_HEAD] = {0};

		memcpy(front, all[i].magic, strlen(all[i].magic));
		expect_bad(front, f, DISK + VHD_FOOTER, all[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(footer_is_read_back),
		cmocka_unit_test(damage_is_named),
		cmocka_unit_test(other_formats_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
