/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/destination.h"

#include <string.h>

#include "base/mem.h"
#include "disk/ext4.h"
#include "disk/gpt.h"

#define SECTOR     512u
#define HEAD_BYTES ((size_t) 34 * SECTOR)
#define TEXT_MAX   (1u << 20)
#define GIB        ((uint64_t) 1 << 30)
#define EXT4_MAGIC 1080u

static const char *const azure_agents[] = {"/usr/sbin/waagent", "/usr/bin/cloud-init", NULL};
static const char *const stack_agents[] = {"/usr/sbin/waagent", NULL};
static const char *const cloud_agents[] = {"/usr/bin/cloud-init", NULL};
static const char *const vmware_agents[] = {"/usr/bin/cloud-init", "/usr/bin/vmtoolsd", NULL};

/* Sizes: Azure "Generic steps for preparing Linux VHDs", Azure Stack Hub "Add a Linux image";
 * formats' own limits elsewhere. */
static const struct destination places[] = {
	{"azure", "vhd", 4095 * GIB, NULL, azure_agents,
	 "install waagent or cloud-init, which tell Azure that the machine is up",
	 "CONFIG_HYPERV_STORAGE", true},
	{"azurestack", "vhd", 1023 * GIB, "V1", stack_agents,
	 "install waagent, which tells Azure Stack Hub that the machine is up",
	 "CONFIG_HYPERV_STORAGE", true},
	{"hyperv", "vhdx", 64 * 1024 * GIB, NULL, NULL, NULL, "CONFIG_HYPERV_STORAGE", false},
	{"vmware", "vmdk", 62 * 1024 * GIB, NULL, vmware_agents,
	 "install cloud-init or open-vm-tools for its customization", "CONFIG_FUSION_SPI", false},
	{"kvm", "qcow2", 2048 * 1024 * GIB, NULL, cloud_agents, "install cloud-init for user data",
	 "CONFIG_VIRTIO_BLK", true},
};

const struct destination *destination_find(const char *name, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (strcmp(places[i].name, name) == 0)
			return &places[i];
	err_set(err, -EINVAL,
		"place '%.40s': one of azure, azurestack, hyperv, vmware, kvm expected", name);
	return NULL;
}

struct look {
	const struct destination *place;
	const char *generation;
	struct store_reader *reader;
	struct ext4_fs *fs; /* NULL = not ext4 */
	struct gpt *gpt;    /* owned; NULL = no table that is read */
	json_t *found;
};

static int find(struct look *l, const char *check, bool fatal, const char *text)
{
	return json_array_append_new(l->found, json_pack("{s:s, s:b, s:s}", "check", check, "fatal",
							 fatal, "text", text)) < 0
		       ? -ENOMEM
		       : 0;
}

static int io_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	return store_reader_read(arg, dst, n, offset, err);
}

/* The root: the partition that says so, else the first with ext4. */
static void open_root(struct look *l)
{
	struct ext4_io io = {.read = io_read, .arg = l->reader};

	for (unsigned i = 0; i < l->gpt->n; i++) {
		const struct gpt_part *p = &l->gpt->part[i];
		bool root = memcmp(p->type, gpt_type_root_x64, 16) == 0;
		uint8_t magic[2];

		if ((!root && (io.size_bytes || memcmp(p->type, gpt_type_linux, 16) != 0)) ||
		    store_reader_read(l->reader, magic, 2, p->first_lba * SECTOR + EXT4_MAGIC,
				      NULL) < 0 ||
		    magic[0] != 0x53 || magic[1] != 0xef)
			continue;
		io.offset = p->first_lba * SECTOR;
		io.size_bytes = (p->last_lba - p->first_lba + 1) * SECTOR;
	}
	if (io.size_bytes && ext4_open(&io, &l->fs, NULL) < 0)
		l->fs = NULL;
}

static bool has_part(const struct look *l, const uint8_t type[16])
{
	for (unsigned i = 0; l->gpt && i < l->gpt->n; i++)
		if (memcmp(l->gpt->part[i].type, type, 16) == 0)
			return true;
	return false;
}

static int check_boot(struct look *l, uint64_t disk_bytes)
{
	const struct destination *p = l->place;
	bool v2 = strcmp(l->generation, "V2") == 0;
	int r = 0;

	if (disk_bytes > p->max_bytes)
		r = find(l, "size", true, "the disk is bigger than the place takes");
	if (r == 0 && p->generation && strcmp(p->generation, l->generation) != 0)
		r = find(l, "generation", true,
			 "the place boots generation 1 (BIOS) only, and this is generation 2");
	if (r == 0 && l->gpt && v2 && !has_part(l, gpt_type_esp))
		r = find(l, "boot", true, "generation 2, but no EFI system partition");
	if (r == 0 && l->gpt && !v2 && !has_part(l, gpt_type_bios_boot))
		r = find(l, "boot", true, "generation 1, but no BIOS boot partition");
	return r;
}

static bool has_file(const struct look *l, const char *path)
{
	struct ext4_stat st;

	return ext4_lookup(l->fs, path, &st, NULL) == 0;
}

/* Does @text stand in a file of the image? */
static bool says(const struct look *l, const char *path, const char *text)
{
	auto_free char *all = NULL;
	size_t n;

	return ext4_read_file(l->fs, path, TEXT_MAX, &all, &n, NULL) == 0 &&
	       memmem(all, n, text, strlen(text));
}

struct config {
	const struct look *l;
	bool built_in, module, seen;
};

static int on_boot(void *arg, const char *name, const struct ext4_stat *st)
{
	struct config *c = arg;
	auto_free char *path = strf("/boot/%s", name), *y = strf("%s=y", c->l->place->driver);
	auto_free char *m = strf("%s=m", c->l->place->driver);

	(void) st;
	if (!path || !y || !m)
		return -ENOMEM;
	if (!str_starts(name, "config-"))
		return 0;
	c->seen = true;
	c->built_in |= says(c->l, path, y);
	c->module |= says(c->l, path, m);
	return 0;
}

static int check_driver(struct look *l)
{
	struct config c = {.l = l};

	if (ext4_list(l->fs, "/boot", on_boot, &c, NULL) < 0 || !c.seen || c.built_in)
		return 0;
	if (!c.module)
		return find(l, "driver", false, "the kernel has no driver for the place's disks");
	return says(l, "/etc/initramfs-tools/initramfs.conf", "\nMODULES=dep")
		       ? find(l, "driver", false,
			      "the driver of the place's disks is a module, and the initramfs "
			      "holds only those of the machine that made it (MODULES=dep)")
		       : 0;
}

static int check_inside(struct look *l)
{
	const struct destination *p = l->place;
	bool agent = !p->agents;
	int r = 0;

	if (!l->fs)
		return find(l, "content", false,
			    "no ext4 root file system: agents, drivers and console were not "
			    "looked for");
	for (size_t i = 0; p->agents && p->agents[i]; i++)
		agent |= has_file(l, p->agents[i]);
	if (!agent)
		r = find(l, "agent", false, p->agent_hint);
	if (r == 0 && p->console && !says(l, "/boot/grub/grub.cfg", "console=ttyS"))
		r = find(l, "console", false,
			 "the kernel is not told of a serial console (console=ttyS0), which the "
			 "place shows");
	return r < 0 ? r : check_driver(l);
}

int destination_check(struct store *s, unsigned region, const struct disk_ref *disk,
		      const struct destination *place, const char *generation, json_t **ret,
		      struct err *err)
{
	struct look l = {.place = place, .generation = generation, .found = json_array()};
	auto_free uint8_t *head = malloc(HEAD_BYTES);
	auto_free struct gpt *gpt = calloc(1, sizeof(*gpt));
	int r = head && gpt && l.found ? store_reader_open(s, region, disk, &l.reader, err)
				       : err_set(err, -ENOMEM, "out of memory");

	if (r == 0 && disk->size_bytes >= HEAD_BYTES)
		r = store_reader_read(l.reader, head, HEAD_BYTES, 0, err);
	if (r == 0 && disk->size_bytes >= HEAD_BYTES &&
	    gpt_parse(head, HEAD_BYTES, disk->size_bytes, gpt, NULL) == 0) {
		l.gpt = gpt;
		open_root(&l);
	}
	if (r == 0 && (check_boot(&l, disk->size_bytes) < 0 || check_inside(&l) < 0))
		r = err_set(err, -ENOMEM, "out of memory");
	if (l.fs)
		ext4_close(l.fs);
	if (l.reader)
		store_reader_close(l.reader);
	if (r == 0)
		*ret = json_incref(l.found);
	json_decref(l.found);
	return r;
}
