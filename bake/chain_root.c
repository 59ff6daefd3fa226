/* SPDX-License-Identifier: Apache-2.0 */
/* From a disk to its mounted root: partition table, loop device, detached mount. */
#include "bake/chain_internal.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

#define SECTOR         512u
#define HEAD_BYTES     17408u
#define TAIL_BYTES     16896u
#define LOOP_TRIES     32
#define SUPER_MAGIC_AT (1024 + 0x38)

static bool has_ext4(const struct chain *c, const struct gpt_part *p)
{
	uint8_t magic[2];

	return file_pread_full(c->disk_fd, magic, 2, p->first_lba * SECTOR + SUPER_MAGIC_AT) == 0 &&
	       magic[0] == 0x53 && magic[1] == 0xef;
}

/* The discoverable root, else the only Linux partition that holds ext4. */
static int pick_root(const struct chain *c, const struct gpt *g, unsigned *ret, struct err *err)
{
	unsigned found = 0;

	for (unsigned pass = 0; pass < 2 && found == 0; pass++) {
		const uint8_t *type = pass == 0 ? gpt_type_root_x64 : gpt_type_linux;

		for (unsigned i = 0; i < g->n; i++)
			if (memcmp(g->part[i].type, type, 16) == 0 && has_ext4(c, &g->part[i])) {
				*ret = i;
				found++;
			}
	}
	if (found == 1)
		return 0;
	(void) err_set(err, -EOPNOTSUPP,
		       found ? "the disk has %u Linux partitions with ext4: which is the root?"
			     : "the disk has no ext4 root partition (%u found)",
		       found);
	err_hint(err, "use the vm executor (properties.kiln.executor: \"vm\")");
	return -EOPNOTSUPP;
}

/* The backup table moves to the new end and the last partition takes the new room. */
static int grow_table(const struct chain *c, struct gpt *g, unsigned root, uint64_t base_bytes,
		      uint8_t *head, struct err *err)
{
	uint8_t tail[TAIL_BYTES], zero[TAIL_BYTES] = {0};
	uint64_t last = c->size_bytes / SECTOR - TAIL_BYTES / SECTOR - 1;
	int r;

	for (unsigned i = 0; i < g->n; i++)
		if (g->part[i].first_lba > g->part[root].first_lba)
			return err_set(
				err, -EOPNOTSUPP,
				"cannot grow the disk: partition \"%s\" lies behind the root",
				g->part[i].name);
	/* Whole MiB, as partitioning tools do. */
	g->part[root].last_lba = (last + 1) / 2048 * 2048 - 1;
	g->disk_bytes = c->size_bytes;
	r = gpt_build(g, head, tail, err);
	if (r < 0)
		return err_ctx(err, r, "grow the partition table");
	r = file_pwrite_full(c->disk_fd, tail, sizeof(tail), c->size_bytes - TAIL_BYTES);
	if (r == 0)
		r = file_pwrite_full(c->disk_fd, head, HEAD_BYTES, 0);
	if (r == 0)
		r = file_pwrite_full(c->disk_fd, zero, sizeof(zero), base_bytes - TAIL_BYTES);
	return r < 0 ? err_set(err, r, "write the grown partition table: %s", strerror(-r)) : 0;
}

int chain_find_root(struct chain *c, uint64_t base_bytes, struct err *err)
{
	auto_free struct gpt *g = calloc(1, sizeof(*g));
	auto_free uint8_t *head = malloc(HEAD_BYTES);
	unsigned root = 0;
	int r;

	if (!g || !head)
		return err_set(err, -ENOMEM, "partition table");
	r = file_pread_full(c->disk_fd, head, HEAD_BYTES, 0);
	if (r < 0)
		return err_set(err, r, "read the partition table: %s", strerror(-r));
	r = gpt_parse(head, HEAD_BYTES, base_bytes, g, err);
	if (r < 0) {
		err_hint(err, "use the vm executor (properties.kiln.executor: \"vm\")");
		return err_ctx(err, r, "partition table of the image");
	}
	r = pick_root(c, g, &root, err);
	if (r == 0 && c->size_bytes > base_bytes)
		r = grow_table(c, g, root, base_bytes, head, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < g->n; i++)
		if (memcmp(g->part[i].type, gpt_type_esp, 16) == 0 && c->esp_offset == 0)
			c->esp_offset = g->part[i].first_lba * SECTOR;
	c->part_offset = g->part[root].first_lba * SECTOR;
	c->part_bytes = (g->part[root].last_lba - g->part[root].first_lba + 1) * SECTOR;
	return 0;
}

static int configure_loop(struct chain *c, int ctl, struct err *err)
{
	struct loop_config lc = {
		.fd = (uint32_t) c->disk_fd,
		.block_size = SECTOR,
		.info = {.lo_offset = c->part_offset,
			 .lo_sizelimit = c->part_bytes,
			 .lo_flags = LO_FLAGS_AUTOCLEAR},
	};

	for (int i = 0; i < LOOP_TRIES; i++) {
		int nr = ioctl(ctl, LOOP_CTL_GET_FREE);
		auto_fd int fd = -1;

		if (nr < 0)
			return err_set(err, -errno, "no free loop device: %s", strerror(errno));
		(void) snprintf(c->device, sizeof(c->device), "/dev/loop%d", nr);
		fd = open(c->device, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return err_set(err, -errno, "%s: %s", c->device, strerror(errno));
		if (ioctl(fd, LOOP_CONFIGURE, &lc) == 0) {
			c->loop_fd = take_fd(fd);
			return 0;
		}
		if (errno != EBUSY) /* EBUSY: somebody else was faster */
			return err_set(err, -errno, "configure %s: %s", c->device, strerror(errno));
	}
	return err_set(err, -EBUSY, "no loop device after %d attempts", LOOP_TRIES);
}

static int attach_loop(struct chain *c, struct err *err)
{
	auto_fd int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	json_t *facts = json_pack("{s:s}", "backing", c->export_path);
	int r;

	if (ctl < 0) {
		json_decref(facts);
		(void) err_set(err, -errno, "/dev/loop-control: %s", strerror(errno));
		err_hint(err, "load the loop module (modprobe loop), or use the vm executor");
		return err ? err->code : -ENODEV;
	}
	if (!facts)
		return err_set(err, -ENOMEM, "journal");
	r = journal_add(c->journal, "loop", facts, &c->loop_entry, err);
	if (r == 0)
		r = configure_loop(c, ctl, err);
	if (r == 0)
		r = journal_update(c->loop_entry, json_pack("{s:s}", "device", c->device), err);
	return r;
}

/* A mount that is attached nowhere: it ends with its descriptors. */
static int mount_detached(struct chain *c, struct err *err)
{
	auto_fd int fs = fsopen("ext4", FSOPEN_CLOEXEC);

	/* An image may ask for a panic on errors: that is its own business, not the host's. */
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", c->device, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "errors", "remount-ro", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_FLAG, "discard", NULL, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, -errno, "mount the root file system: %s", strerror(errno));
	c->mount_fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	if (c->mount_fd < 0)
		return err_set(err, -errno, "mount the root file system: %s", strerror(errno));
	c->root_fd = openat(c->mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->root_fd < 0)
		return err_set(err, -errno, "open the root directory: %s", strerror(errno));
	return 0;
}

/* Before it is mounted: growing a mounted one needs a capability that containers often lack. The
 * file system is clean, so the check that the tool asks for is skipped. */
static int grow_fs(struct chain *c, struct err *err)
{
	auto_free char *resize = NULL;
	int r = proc_find("resize2fs", "e2fsprogs", &resize, err);

	if (r < 0)
		return r;
	const char *argv[] = {resize, "-f", c->device, NULL};
	struct proc_spec p = {.argv = argv, .cancel = c->cancel};

	r = proc_check(&p, err);
	return r < 0 ? err_ctx(err, r, "grow the root file system to %llu bytes",
			       (unsigned long long) c->part_bytes)
		     : 0;
}

static void detach_loop(struct chain *c)
{
	closep(&c->loop_fd); /* the last user: detaches */
	c->loop_fd = -1;
	journal_drop(c->loop_entry);
	c->loop_entry = NULL;
}

int chain_mount(struct chain *c, bool grow, struct err *err)
{
	int r = c->userspace && !grow ? 0 : attach_loop(c, err);

	if (r == 0 && grow)
		r = grow_fs(c, err);
	if (r == 0 && c->userspace)
		detach_loop(c); /* whole blocks of its own cache must not meet fuse2fs's */
	if (r == 0)
		r = fsmap_read(c->disk_fd, c->part_offset, c->part_bytes, &c->before, err);
	if (r < 0)
		return r;
	return c->userspace ? chain_user_mount(c, err) : mount_detached(c, err);
}

void chain_umount(struct chain *c)
{
	auto_err struct err ignored = ERR_INIT; /* what was not sealed is thrown away */

	if (c->userspace)
		(void) chain_user_umount(c, &ignored);
	closep(&c->root_fd);
	closep(&c->mount_fd);
	c->root_fd = c->mount_fd = -1;
	detach_loop(c);
}
