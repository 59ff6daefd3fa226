/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "disk/gpt.h"

#define HEAD 17408u
#define TAIL 16896u
#define DISK (64ull << 20)

static struct gpt sample(void)
{
	struct gpt g = {.disk_bytes = DISK, .n = 2};

	assert_int_equal(gpt_uuid_parse("00112233-4455-6677-8899-aabbccddeeff", g.disk_uuid), 0);
	g.part[0] = (struct gpt_part){.first_lba = 2048, .last_lba = 4095, .name = "esp"};
	memcpy(g.part[0].type, gpt_type_esp, 16);
	g.part[1] = (struct gpt_part){.first_lba = 4096,
				      .last_lba = 100000,
				      .attrs = 1ull << 59,
				      .name = "root \xc3\xa9"};
	memcpy(g.part[1].type, gpt_type_root_x64, 16);
	g.part[1].uuid[3] = 7;
	return g;
}

static uint32_t crc(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
	}
	return ~c;
}

/* Makes the checksums of a changed table right again. */
static void reseal(uint8_t *head)
{
	put_le32(head + 512 + 88, crc(head + 1024, 128 * 128));
	put_le32(head + 512 + 16, 0);
	put_le32(head + 512 + 16, crc(head + 512, 92));
}

static void uuid_order(void **state)
{
	uint8_t u[16];

	assert_int_equal(gpt_uuid_parse("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", u), 0);
	assert_memory_equal(u, gpt_type_esp, 16);
	assert_int_equal(gpt_uuid_parse("21686148-6449-6E6F-744E-656564454649", u), 0);
	assert_memory_equal(u, "Hah!IdontNeedEFI", 16);
	assert_int_equal(gpt_uuid_parse("0fc63daf-8483-4772-8e79-3d69d8477de4", u), 0);
	assert_memory_equal(u, gpt_type_linux, 16);
	assert_int_equal(gpt_uuid_parse("c12a7328f-81f-11d2-ba4b-00a0c93ec93b", u), -EINVAL);
	assert_int_equal(gpt_uuid_parse("c12a7328-f81f-11d2-ba4b-00a0c93ec93", u), -EINVAL);
	assert_int_equal(gpt_uuid_parse("g12a7328-f81f-11d2-ba4b-00a0c93ec93b", u), -EINVAL);
	assert_int_equal(gpt_uuid_parse(NULL, u), -EINVAL);
}

static void round_trip(void **state)
{
	static uint8_t head[HEAD], tail[TAIL];
	struct gpt g = sample(), back;

	memset(head, 0x5a, 440);
	assert_int_equal(gpt_build(&g, head, tail, NULL), 0);
	for (size_t k = 0; k < 440; k++)
		assert_int_equal(head[k], 0x5a);
	assert_int_equal(head[510], 0x55);
	assert_int_equal(head[450], 0xee);
	assert_int_equal(gpt_parse(head, sizeof(head), DISK, &back, NULL), 0);
	assert_int_equal(back.n, 2);
	assert_memory_equal(back.disk_uuid, g.disk_uuid, 16);
	for (unsigned k = 0; k < 2; k++) {
		assert_memory_equal(back.part[k].type, g.part[k].type, 16);
		assert_memory_equal(back.part[k].uuid, g.part[k].uuid, 16);
		assert_int_equal(back.part[k].first_lba, g.part[k].first_lba);
		assert_int_equal(back.part[k].last_lba, g.part[k].last_lba);
		assert_true(back.part[k].attrs == g.part[k].attrs);
		assert_string_equal(back.part[k].name, g.part[k].name);
	}
	/* The backup is the same table behind its own header. */
	assert_memory_equal(tail, head + 1024, 128 * 128);
	assert_memory_equal(tail + 128 * 128, "EFI PART", 8);
}

static void every_flipped_bit_is_seen(void **state)
{
	static uint8_t head[HEAD], tail[TAIL];
	struct gpt g = sample(), back;

	assert_int_equal(gpt_build(&g, head, tail, NULL), 0);
	/* Header fields, and the used entries; not the reserved rest of the header's sector. */
	for (size_t at = 512; at < 1024 + 2 * 128; at++) {
		if (at >= 512 + 92 && at < 1024)
			continue;
		head[at] ^= 1u << (at % 8);
		assert_true(gpt_parse(head, sizeof(head), DISK, &back, NULL) < 0);
		head[at] ^= 1u << (at % 8);
	}
	assert_int_equal(gpt_parse(head, sizeof(head), DISK, &back, NULL), 0);
}

static void parse_bounds(void **state)
{
	static uint8_t head[HEAD], tail[TAIL], bad[HEAD];
	struct gpt g = sample(), back = {.n = 77};
	static const struct {
		size_t at;
		uint64_t value;
	} cases[] = {
		{512 + 72, 3},                 /* table elsewhere */
		{512 + 24, 2},                 /* header elsewhere */
		{512 + 48, DISK / 512},        /* usable past the end */
		{512 + 40, 2},                 /* usable over the table */
		{512 + 32, DISK / 512},        /* backup past the end */
		{1024 + 32, 33},               /* partition before the usable range */
		{1024 + 40, 2047},             /* last before first */
		{1024 + 40, 4096},             /* overlap by one sector */
		{1024 + 128 + 40, UINT64_MAX}, /* past everything */
	};

	assert_int_equal(gpt_build(&g, head, tail, NULL), 0);
	assert_int_equal(gpt_parse(head, HEAD - 1, DISK, &back, NULL), -EINVAL);
	assert_int_equal(gpt_parse(head, HEAD, 0, &back, NULL), -EINVAL);
	assert_int_equal(gpt_parse(head, HEAD, 100000ull * 512, &back, NULL), -EINVAL);
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		memcpy(bad, head, HEAD);
		put_le64(bad + cases[k].at, cases[k].value);
		reseal(bad);
		assert_int_equal(gpt_parse(bad, HEAD, DISK, &back, NULL), -EINVAL);
	}
	assert_int_equal(back.n, 77); /* written only on success */
	/* A disk that grew: the table still holds, though its backup is not at the end. */
	assert_int_equal(gpt_parse(head, HEAD, 2 * DISK, &back, NULL), 0);
}

static void entry_counts(void **state)
{
	static uint8_t head[HEAD], tail[TAIL];
	static struct gpt g, back;

	g = (struct gpt){.disk_bytes = DISK, .n = GPT_MAX_ENTRIES};
	for (unsigned k = 0; k < GPT_MAX_ENTRIES; k++) {
		memcpy(g.part[k].type, gpt_type_linux, 16);
		g.part[k].first_lba = g.part[k].last_lba = 34 + k;
	}
	assert_int_equal(gpt_build(&g, head, tail, NULL), 0);
	assert_int_equal(gpt_parse(head, HEAD, DISK, &back, NULL), 0);
	assert_int_equal(back.n, GPT_MAX_ENTRIES);
	g.n = GPT_MAX_ENTRIES + 1;
	assert_int_equal(gpt_build(&g, head, tail, NULL), -EINVAL);
	put_le32(head + 512 + 80, GPT_MAX_ENTRIES + 1);
	reseal(head);
	assert_int_equal(gpt_parse(head, HEAD, DISK, &back, NULL), -EINVAL);
}

static void build_refuses(void **state)
{
	static uint8_t head[HEAD], tail[TAIL];
	struct gpt g = sample();

	g.part[1].first_lba = 4095;
	assert_int_equal(gpt_build(&g, head, tail, NULL), -EINVAL);
	g = sample();
	g.part[1].last_lba = DISK / 512 - 34;
	assert_int_equal(gpt_build(&g, head, tail, NULL), 0);
	g.part[1].last_lba++;
	assert_int_equal(gpt_build(&g, head, tail, NULL), -EINVAL);
	g = sample();
	memset(g.part[0].type, 0, 16);
	assert_int_equal(gpt_build(&g, head, tail, NULL), -EINVAL);
	g = sample();
	g.disk_bytes++;
	assert_int_equal(gpt_build(&g, head, tail, NULL), -EINVAL);
	g = sample();
	memset(g.part[0].name, 'x', 37);
	assert_int_equal(gpt_build(&g, head, tail, NULL), -EINVAL);
	g.part[0].name[36] = '\0';
	assert_int_equal(gpt_build(&g, head, tail, NULL), 0);
	(void) snprintf(g.part[0].name, sizeof(g.part[0].name), "\xff");
	assert_int_equal(gpt_build(&g, head, tail, NULL), -EINVAL);
	(void) snprintf(g.part[0].name, sizeof(g.part[0].name), "\xf0\x9f\x94\xa5");
	assert_int_equal(gpt_build(&g, head, tail, NULL), 0);
	assert_int_equal(gpt_parse(head, HEAD, DISK, &g, NULL), 0);
	assert_string_equal(g.part[0].name, "\xf0\x9f\x94\xa5");
}

static void names_that_are_not_utf16(void **state)
{
	static uint8_t head[HEAD], tail[TAIL];
	struct gpt g = sample(), back;

	assert_int_equal(gpt_build(&g, head, tail, NULL), 0);
	put_le16(head + 1024 + 56, 0xdc00);
	reseal(head);
	assert_int_equal(gpt_parse(head, HEAD, DISK, &back, NULL), -EINVAL);
	for (unsigned k = 0; k < 36; k++)
		put_le16(head + 1024 + 56 + 2 * k, k < 35 ? 'a' : 0xd800);
	reseal(head);
	assert_int_equal(gpt_parse(head, HEAD, DISK, &back, NULL), -EINVAL);
	/* The longest text that 36 units can hold. */
	for (unsigned k = 0; k < 36; k++)
		put_le16(head + 1024 + 56 + 2 * k, 0xffff);
	reseal(head);
	assert_int_equal(gpt_parse(head, HEAD, DISK, &back, NULL), 0);
	assert_int_equal(strlen(back.part[0].name), 108);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uuid_order),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(every_flipped_bit_is_seen),
		cmocka_unit_test(parse_bounds),
		cmocka_unit_test(entry_counts),
		cmocka_unit_test(build_refuses),
		cmocka_unit_test(names_that_are_not_utf16),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
