/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "disk/grub_bios.h"

#define GRUB "/usr/lib/grub/i386-pc/"

/* GRUB's own first stage, and a core as it is made for a disk. */
static void read_stages(struct buf *boot, struct buf *core)
{
	auto_err struct err err = ERR_INIT;
	char path[] = "/tmp/kiln-core-XXXXXX";
	const char *const argv[] = {"/usr/bin/grub-mkimage",
				    "-O",
				    "i386-pc",
				    "-p",
				    "/boot/grub",
				    "-o",
				    path,
				    "biosdisk",
				    "part_gpt",
				    "ext2",
				    NULL};
	const struct proc_spec spec = {.argv = argv};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	(void) close(fd);
	assert_int_equal(file_read_all(GRUB "boot.img", boot, &err), 0);
	assert_int_equal(proc_check(&spec, &err), 0);
	assert_int_equal(file_read_all(path, core, &err), 0);
	assert_true(core->len > 2048);
	(void) unlink(path);
}

static void patches(void **state)
{
	auto_buf struct buf boot = BUF_INIT(1u << 20), core = BUF_INIT(1u << 20);
	uint8_t mbr[512], *c;
	struct cursor at;
	uint64_t start = 0;
	uint16_t n = 0, segment = 0;

	read_stages(&boot, &core);
	memset(mbr, 0xa5, sizeof(mbr));
	c = (uint8_t *) core.data;
	assert_int_equal(grub_bios_embed((uint8_t *) boot.data, boot.len, c, core.len,
					 0x123456789aull, 1u << 20, mbr, NULL),
			 0);
	at = (struct cursor){mbr + 0x5c, 8};
	assert_true(cursor_le64(&at, &start));
	assert_true(start == 0x123456789aull);
	assert_int_equal(mbr[0x66], 0x90);
	assert_int_equal(mbr[0x67], 0x90);
	for (size_t k = 440; k < 512; k++)
		assert_int_equal(mbr[k], 0xa5);
	at = (struct cursor){c + 0x1f4, 12};
	assert_true(cursor_le64(&at, &start) && cursor_le16(&at, &n) && cursor_le16(&at, &segment));
	assert_true(start == 0x123456789bull);
	assert_int_equal(n, (core.len - 1) / 512); /* all but the first sector */
	assert_int_equal(segment, 0x820);
}

static void refuses(void **state)
{
	auto_buf struct buf boot = BUF_INIT(1u << 20), core = BUF_INIT(1u << 20);
	uint8_t mbr[512] = {0}, *b, *c;

	read_stages(&boot, &core);
	b = (uint8_t *) boot.data;
	c = (uint8_t *) core.data;
	assert_int_equal(grub_bios_embed(b, 511, c, core.len, 1, 1u << 20, mbr, NULL), -EINVAL);
	assert_int_equal(grub_bios_embed(c, 512, c, core.len, 1, 1u << 20, mbr, NULL), -EINVAL);
	assert_int_equal(grub_bios_embed(b, 512, c, 512, 1, 1u << 20, mbr, NULL), -EINVAL);
	assert_int_equal(grub_bios_embed(b, 512, c, core.len, 1, core.len - 1, mbr, NULL), -ENOSPC);
	assert_int_equal(grub_bios_embed(b, 512, c, core.len, 1, core.len, mbr, NULL), 0);
	memset(c + 0x1f4, 0, 12);
	assert_int_equal(grub_bios_embed(b, 512, c, core.len, 1, 1u << 20, mbr, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patches),
		cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
