/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk of a platform image. One layout serves UEFI and BIOS: an EFI system partition, a
 * partition for GRUB's core image, and the root file system to the end, so that it can grow.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "bake/platform_boot.h"
#include "bake/platform_internal.h"
#include "base/file.h"
#include "base/mem.h"
#include "disk/ext4.h"
#include "disk/fat.h"
#include "disk/gpt.h"
#include "disk/grub_bios.h"

#define SECTOR     512u
#define MIB        (1ull << 20)
#define ESP_START  (1 * MIB)
#define ESP_BYTES  (128 * MIB)
#define BIOS_START (ESP_START + ESP_BYTES)
#define BIOS_BYTES (1 * MIB)
#define ROOT_START (BIOS_START + BIOS_BYTES)
#define END_GAP    (1 * MIB) /* backup table, and alignment of the end */
#define HEAD_BYTES (34 * SECTOR)
#define TAIL_BYTES (33 * SECTOR)

/* From the image's own packages; the removable-media path boots without any NVRAM entry. The
 * fallback program is left out there: with it shim would add a boot entry and reset. */
const struct platform_boot_file platform_boot_files[] = {
	{"usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"},
	{"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"},
	{"usr/lib/shim/mmx64.efi.signed", "EFI/BOOT/mmx64.efi"},
	{"usr/lib/shim/shimx64.efi.signed", "EFI/debian/shimx64.efi"},
	{"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/debian/grubx64.efi"},
	{"usr/lib/shim/mmx64.efi.signed", "EFI/debian/mmx64.efi"},
	{NULL, NULL},
};

static void set_part(struct gpt_part *p, const uint8_t type[16], const char *uuid, const char *name,
		     uint64_t start, uint64_t bytes)
{
	memcpy(p->type, type, 16);
	(void) gpt_uuid_parse(uuid, p->uuid);
	(void) snprintf(p->name, sizeof(p->name), "%s", name);
	p->first_lba = start / SECTOR;
	p->last_lba = (start + bytes) / SECTOR - 1;
}

static uint64_t root_bytes(void)
{
	return PLATFORM_DISK_BYTES - ROOT_START - END_GAP;
}

static int write_table(int fd, const struct platform_work *w, const struct platform_ids *ids,
		       struct err *err)
{
	auto_free uint8_t *head = calloc(1, HEAD_BYTES), *tail = calloc(1, TAIL_BYTES);
	struct gpt g = {.disk_bytes = PLATFORM_DISK_BYTES, .n = 3};
	int r;

	if (!head || !tail)
		return err_set(err, -ENOMEM, "partition table: out of memory");
	(void) gpt_uuid_parse(ids->disk_uuid, g.disk_uuid);
	set_part(&g.part[0], gpt_type_esp, ids->part_uuid[0], "esp", ESP_START, ESP_BYTES);
	set_part(&g.part[1], gpt_type_bios_boot, ids->part_uuid[1], "bios", BIOS_START, BIOS_BYTES);
	set_part(&g.part[2], gpt_type_root_x64, ids->part_uuid[2], "root", ROOT_START,
		 root_bytes());
	r = gpt_build(&g, head, tail, err);
	if (r == 0)
		r = grub_bios_embed(w->boot_img, w->boot_n, w->core_img, w->core_n,
				    BIOS_START / SECTOR, BIOS_BYTES, head, err);
	if (r < 0)
		return r;
	r = file_pwrite_full(fd, head, HEAD_BYTES, 0);
	if (r == 0)
		r = file_pwrite_full(fd, w->core_img, w->core_n, BIOS_START);
	if (r == 0)
		r = file_pwrite_full(fd, tail, TAIL_BYTES, PLATFORM_DISK_BYTES - TAIL_BYTES);
	return r < 0 ? err_set(err, r, "partition table: write") : 0;
}

static int write_esp(int fd, const struct platform_work *w, const struct platform_ids *ids,
		     struct err *err)
{
	struct fat_file files[PLATFORM_BOOT_FILES + 1] = {0};
	struct buf data[PLATFORM_BOOT_FILES];
	const struct fat_spec spec = {
		.size_bytes = ESP_BYTES,
		.volume_id = ids->esp_id,
		.label = "ESP",
		.time_s = w->date_s,
		.hidden_sectors = ESP_START / SECTOR,
	};
	auto_free char *cfg = platform_esp_grub_cfg(ids);
	int r = cfg ? 0 : err_set(err, -ENOMEM, "boot files: out of memory");

	for (size_t k = 0; k < PLATFORM_BOOT_FILES; k++) {
		data[k] = BUF_INIT(16u << 20);
		if (r == 0)
			r = fstree_read(w->tree, platform_boot_files[k].from, &data[k], err);
		files[k] = (struct fat_file){platform_boot_files[k].to, data[k].data, data[k].len};
	}
	if (r == 0) {
		files[PLATFORM_BOOT_FILES] =
			(struct fat_file){"EFI/debian/grub.cfg", cfg, strlen(cfg)};
		r = fat32_write(fd, ESP_START, &spec, files, ARRAY_SIZE(files), err);
	}
	for (size_t k = 0; k < PLATFORM_BOOT_FILES; k++)
		buf_done(&data[k]);
	return r < 0 ? err_ctx(err, r, "EFI system partition") : 0;
}

int platform_disk_boot(int fd, const struct platform_work *w, const struct platform_ids *ids,
		       struct err *err)
{
	int r;

	if (ftruncate(fd, (off_t) PLATFORM_DISK_BYTES) < 0)
		return err_set(err, -errno, "disk file: cannot set its size");
	r = write_table(fd, w, ids, err);
	return r == 0 ? write_esp(fd, w, ids, err) : r;
}

/* ext4 keeps UUIDs in text order, GPT mixed: undo the swap of the first three groups. */
static void uuid_plain(const char *text, uint8_t ret[16])
{
	uint8_t u[16] = {0};
	const uint8_t *p = u;

	(void) gpt_uuid_parse(text, u);
	memcpy(ret, (uint8_t[]){p[3], p[2], p[1], p[0], p[5], p[4], p[7], p[6]}, 8);
	memcpy(ret + 8, u + 8, 8);
}

int platform_disk_root(int fd, const struct platform_work *w, const struct platform_ids *ids,
		       const struct progress *p, struct err *err)
{
	struct ext4_spec spec = {.size_bytes = root_bytes(), .label = "root", .time_s = w->date_s};

	uuid_plain(ids->root_uuid, spec.uuid);
	uuid_plain(ids->hash_seed, spec.hash_seed);
	return ext4_write_tree(fd, ROOT_START, &spec, w->tree, w->env->cancel, p, err);
}
