/* SPDX-License-Identifier: Apache-2.0 */
/* On-disk names and offsets are those of the kernel's Documentation/filesystems/ext4. */
#include "bake/fsmap.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include "base/file.h"
#include "base/mem.h"

#define SUPER_OFFSET       1024u
#define SUPER_MAGIC        0xef53u
#define INCOMPAT_META_BG   0x0010u
#define INCOMPAT_64BIT     0x0080u
#define RO_BIGALLOC        0x0200u
#define COMPAT_SPARSE2     0x0200u
#define RO_SPARSE          0x0001u
#define GROUP_BLOCK_UNINIT 0x0002u
#define EXTENT_MAGIC       0xf30au
#define INODE_EXTENTS      0x80000u
#define RUN_BYTES          (1u << 20)
#define MAX_MAP_BYTES      (256u << 20)

struct geometry {
	int fd;
	uint64_t base; /* disk offset of the file system */
	uint64_t block_bytes, blocks, first_block, per_group, units_per_group, unit_bytes;
	uint32_t ratio_shift; /* log2(blocks per unit) */
	uint32_t inodes_per_group, inode_bytes, desc_bytes, journal_inode, first_meta_bg;
	uint32_t compat, incompat, ro_compat;
	uint64_t groups;
};

static uint32_t le16(const uint8_t *p)
{
	return (uint32_t) p[0] | (uint32_t) p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

static int geometry_check(const struct geometry *g, uint64_t size_bytes, struct err *err)
{
	uint64_t bytes;

	if (g->block_bytes < 1024 || g->block_bytes > 65536 || g->per_group == 0 ||
	    g->units_per_group == 0 || g->units_per_group > g->block_bytes * 8 ||
	    g->inodes_per_group == 0 || g->inode_bytes < 128 || g->desc_bytes < 32 ||
	    g->desc_bytes > g->block_bytes || g->blocks <= g->first_block)
		return err_set(err, -EINVAL, "ext4 superblock: impossible geometry");
	if (__builtin_mul_overflow(g->blocks, g->block_bytes, &bytes) || bytes > size_bytes)
		return err_set(err, -EINVAL,
			       "ext4 superblock: %llu blocks do not fit a partition of %llu bytes",
			       (unsigned long long) g->blocks, (unsigned long long) size_bytes);
	if ((g->blocks >> g->ratio_shift) / 8 > MAX_MAP_BYTES)
		return err_set(err, -EFBIG, "ext4 superblock: %llu blocks are too many",
			       (unsigned long long) g->blocks);
	return 0;
}

static int geometry_read(int fd, uint64_t offset, uint64_t size_bytes, struct geometry *g,
			 struct err *err)
{
	uint8_t s[1024];
	uint32_t log_block, log_cluster;
	int r = file_pread_full(fd, s, sizeof(s), offset + SUPER_OFFSET);

	if (r < 0)
		return err_set(err, r, "ext4 superblock at byte %llu: %s",
			       (unsigned long long) (offset + SUPER_OFFSET), strerror(-r));
	if (le16(s + 0x38) != SUPER_MAGIC)
		return err_set(err, -EINVAL, "no ext4 file system at byte %llu",
			       (unsigned long long) offset);
	*g = (struct geometry){.fd = fd, .base = offset};
	log_block = le32(s + 0x18);
	g->compat = le32(s + 0x5c);
	g->incompat = le32(s + 0x60);
	g->ro_compat = le32(s + 0x64);
	log_cluster = g->ro_compat & RO_BIGALLOC ? le32(s + 0x1c) : log_block;
	if (log_block > 6 || log_cluster < log_block || log_cluster > 18)
		return err_set(err, -EINVAL, "ext4 superblock: impossible block size");
	g->block_bytes = 1024ull << log_block;
	g->unit_bytes = 1024ull << log_cluster;
	g->ratio_shift = log_cluster - log_block;
	g->blocks = le32(s + 4);
	if (g->incompat & INCOMPAT_64BIT)
		g->blocks |= (uint64_t) le32(s + 0x150) << 32;
	g->first_block = le32(s + 0x14);
	g->per_group = le32(s + 0x20);
	g->units_per_group = g->ro_compat & RO_BIGALLOC ? le32(s + 0x24) : g->per_group;
	g->inodes_per_group = le32(s + 0x28);
	g->inode_bytes = le16(s + 0x58);
	g->desc_bytes = g->incompat & INCOMPAT_64BIT ? le16(s + 0xfe) : 32;
	g->journal_inode = le32(s + 0xe0);
	g->first_meta_bg = le32(s + 0x104);
	r = geometry_check(g, size_bytes, err);
	if (r < 0)
		return r;
	g->groups = (g->blocks - g->first_block + g->per_group - 1) / g->per_group;
	return 0;
}

static bool power_of(uint64_t n, uint64_t base)
{
	while (n > 1 && n % base == 0)
		n /= base;
	return n == 1;
}

static bool group_has_super(const struct geometry *g, uint64_t group)
{
	if (group <= 1 || !(g->ro_compat & RO_SPARSE))
		return true;
	return power_of(group, 3) || power_of(group, 5) || power_of(group, 7);
}

static int group_desc(const struct geometry *g, uint64_t group, uint8_t desc[64], struct err *err)
{
	uint64_t per_block = g->block_bytes / g->desc_bytes, nth = group / per_block;
	uint64_t block = g->first_block + 1 + nth;
	size_t n = g->desc_bytes < 64 ? g->desc_bytes : 64;
	int r;

	if ((g->incompat & INCOMPAT_META_BG) && nth >= g->first_meta_bg) {
		uint64_t first = nth * per_block;

		if (g->compat & COMPAT_SPARSE2)
			return err_set(err, -EOPNOTSUPP, "ext4 with meta_bg and sparse_super2");
		block = g->first_block + first * g->per_group + group_has_super(g, first);
	}
	memset(desc, 0, 64);
	r = file_pread_full(g->fd, desc, n,
			    g->base + block * g->block_bytes + group % per_block * g->desc_bytes);
	if (r < 0)
		return err_set(err, r, "ext4 descriptor of group %llu: %s",
			       (unsigned long long) group, strerror(-r));
	return 0;
}

static uint64_t desc_block(const struct geometry *g, const uint8_t *desc, unsigned lo, unsigned hi)
{
	uint64_t b = le32(desc + lo);

	return g->desc_bytes >= 64 ? b | (uint64_t) le32(desc + hi) << 32 : b;
}

static void set_unit(struct fsmap *m, uint64_t unit)
{
	if (unit < m->units)
		m->empty[unit / 8] |= (uint8_t) (1u << (unit % 8));
}

static int read_group(const struct geometry *g, uint64_t group, uint8_t *bits, struct fsmap *m,
		      struct err *err)
{
	uint8_t desc[64];
	uint64_t bitmap, first = group * g->units_per_group;
	int r = group_desc(g, group, desc, err);

	if (r < 0)
		return r;
	if (le16(desc + 0x12) & GROUP_BLOCK_UNINIT)
		return 0;
	bitmap = desc_block(g, desc, 0, 0x20);
	if (bitmap >= g->blocks)
		return err_set(err, -EINVAL, "ext4 group %llu: bitmap beyond the end",
			       (unsigned long long) group);
	r = file_pread_full(g->fd, bits, (size_t) g->block_bytes,
			    g->base + bitmap * g->block_bytes);
	if (r < 0)
		return err_set(err, r, "ext4 bitmap of group %llu: %s", (unsigned long long) group,
			       strerror(-r));
	for (uint64_t i = 0; i < g->units_per_group; i++)
		if (!(bits[i / 8] & (1u << (i % 8))))
			set_unit(m, first + i);
	return 0;
}

/* Leaf entries of an extent node; the journal's first block is its superblock and stays. */
static void mark_leaf(const struct geometry *g, const uint8_t *node, size_t n, struct fsmap *m)
{
	size_t entries = le16(node + 2);

	for (size_t i = 0; i < entries && 12 * (i + 2) <= n; i++) {
		const uint8_t *e = node + 12 * (i + 1);
		uint64_t len = le16(e + 4), start = le32(e + 8) | (uint64_t) le16(e + 6) << 32;

		if (len > 32768) /* unwritten */
			len -= 32768;
		for (uint64_t b = le32(e) == 0 ? 1 : 0; b < len; b++)
			if (start + b >= g->first_block && start + b < g->blocks)
				set_unit(m, start + b - g->first_block);
	}
}

static int mark_journal(const struct geometry *g, struct fsmap *m, struct err *err)
{
	auto_free uint8_t *leaf = NULL;
	uint8_t desc[64], inode[128];
	const uint8_t *node = inode + 0x28;
	uint64_t table;
	int r;

	/* With bigalloc a cluster may be shared; the journal is then left as it is. */
	if (g->journal_inode == 0 || g->ratio_shift != 0)
		return 0;
	r = group_desc(g, (g->journal_inode - 1) / g->inodes_per_group, desc, err);
	if (r < 0)
		return r;
	table = desc_block(g, desc, 8, 0x28);
	r = file_pread_full(g->fd, inode, sizeof(inode),
			    g->base + table * g->block_bytes +
				    (uint64_t) ((g->journal_inode - 1) % g->inodes_per_group) *
					    g->inode_bytes);
	if (r < 0)
		return err_set(err, r, "ext4 journal inode: %s", strerror(-r));
	if (!(le32(inode + 0x20) & INODE_EXTENTS) || le16(node) != EXTENT_MAGIC ||
	    le16(node + 6) > 1)
		return err_set(
			err, -EOPNOTSUPP,
			"ext4 journal: only extent-mapped journals of depth 0 or 1 are known");
	if (le16(node + 6) == 0) {
		mark_leaf(g, node, 60, m);
		return 0;
	}
	leaf = malloc((size_t) g->block_bytes);
	if (!leaf)
		return err_set(err, -ENOMEM, "ext4 journal");
	for (size_t i = 0; i < le16(node + 2) && i < 4; i++) {
		const uint8_t *e = node + 12 * (i + 1);
		uint64_t block = le32(e + 4) | (uint64_t) le16(e + 8) << 32;

		if (block >= g->blocks)
			return err_set(err, -EINVAL, "ext4 journal: extent beyond the end");
		r = file_pread_full(g->fd, leaf, (size_t) g->block_bytes,
				    g->base + block * g->block_bytes);
		if (r < 0)
			return err_set(err, r, "ext4 journal: %s", strerror(-r));
		if (le16(leaf) == EXTENT_MAGIC && le16(leaf + 6) == 0)
			mark_leaf(g, leaf, (size_t) g->block_bytes, m);
	}
	return 0;
}

int fsmap_read(int fd, uint64_t offset, uint64_t size_bytes, struct fsmap *ret, struct err *err)
{
	struct geometry g;
	struct fsmap m = {0};
	auto_free uint8_t *bits = NULL;
	int r = geometry_read(fd, offset, size_bytes, &g, err);

	if (r < 0)
		return r;
	m.unit_bytes = g.unit_bytes;
	m.offset = offset + g.first_block * g.block_bytes;
	m.units = (g.blocks - g.first_block) >> g.ratio_shift;
	m.empty = calloc(1, (size_t) (m.units / 8 + 1));
	bits = malloc((size_t) g.block_bytes);
	if (!m.empty || !bits)
		r = err_set(err, -ENOMEM, "map of %llu blocks", (unsigned long long) g.blocks);
	for (uint64_t i = 0; r == 0 && i < g.groups; i++)
		r = read_group(&g, i, bits, &m, err);
	if (r == 0)
		r = mark_journal(&g, &m, err);
	if (r < 0) {
		fsmap_done(&m);
		return r;
	}
	*ret = m;
	return 0;
}

void fsmap_done(struct fsmap *m)
{
	free(m->empty);
	*m = (struct fsmap){0};
}

bool fsmap_empty(const struct fsmap *m, uint64_t pos)
{
	uint64_t unit;

	if (pos < m->offset)
		return false;
	unit = (pos - m->offset) / m->unit_bytes;
	return unit < m->units && (m->empty[unit / 8] & (1u << (unit % 8)));
}

int fsmap_copy(const struct fsmap *m, struct fsmap *ret)
{
	size_t n = (size_t) (m->units / 8 + 1);
	uint8_t *empty = malloc(n);

	if (!empty)
		return -ENOMEM;
	memcpy(empty, m->empty, n);
	*ret = *m;
	ret->empty = empty;
	return 0;
}

static bool has_bit(const struct fsmap *m, uint64_t unit)
{
	return m->empty[unit / 8] & (1u << (unit % 8));
}

/* Zeroes a run that does not read as zeros already; most was discarded as a whole. */
static int zero_run(int fd, uint64_t at, size_t n, uint8_t *block)
{
	int r = file_pread_full(fd, block, n, at);

	if (r < 0)
		return r;
	if (block[0] == 0 && memcmp(block, block + 1, n - 1) == 0)
		return 0;
	memset(block, 0, n);
	return file_pwrite_full(fd, block, n, at);
}

int fsmap_zero_freed(const struct fsmap *before, const struct fsmap *now, int fd, struct err *err)
{
	uint64_t most = RUN_BYTES > now->unit_bytes ? RUN_BYTES / now->unit_bytes : 1;
	auto_free uint8_t *block = malloc((size_t) (most * now->unit_bytes));
	int r = 0;

	if (!block)
		return err_set(err, -ENOMEM, "free space");
	if (before->units != now->units || before->unit_bytes != now->unit_bytes ||
	    before->offset != now->offset)
		return err_set(err, -EINVAL, "the root file system changed its shape");
	for (uint64_t u = 0; r == 0 && u < now->units; u++) {
		uint64_t n = 0;

		if (u % 8 == 0 && !(now->empty[u / 8] & ~before->empty[u / 8])) {
			u += 7;
			continue;
		}
		while (n < most && u + n < now->units && has_bit(now, u + n) &&
		       !has_bit(before, u + n))
			n++;
		if (n == 0)
			continue;
		r = zero_run(fd, now->offset + u * now->unit_bytes, (size_t) (n * now->unit_bytes),
			     block);
		u += n - 1;
	}
	return r < 0 ? err_set(err, r, "zero freed space: %s", strerror(-r)) : 0;
}

static int scrub_extent(const struct fsmap *m, int fd, const struct store_extent *e,
			uint64_t *bytes, struct err *err)
{
	uint64_t pos = e->offset, end = e->offset + e->length;

	while (pos < end) {
		uint64_t start = pos, to = pos;

		if (pos < m->offset) {
			pos = m->offset;
			continue;
		}
		while (to < end && fsmap_empty(m, to))
			to += m->unit_bytes - (to - m->offset) % m->unit_bytes;
		if (to > end)
			to = end;
		if (to == start) { /* in use: to the next unit */
			pos += m->unit_bytes - (pos - m->offset) % m->unit_bytes;
			continue;
		}
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t) (e->file_offset + (start - e->offset)),
			      (off_t) (to - start)) < 0)
			return err_set(err, -errno, "zeroing free space of an overlay: %s",
				       strerror(errno));
		*bytes += to - start;
		pos = to;
	}
	return 0;
}

int fsmap_scrub(const struct fsmap *m, int fd, const struct store_extent *extents, size_t n,
		uint64_t *ret_bytes, struct err *err)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		int r = extents[i].zero ? 0 : scrub_extent(m, fd, &extents[i], &bytes, err);

		if (r < 0)
			return r;
	}
	if (ret_bytes)
		*ret_bytes = bytes;
	return 0;
}
