/* SPDX-License-Identifier: Apache-2.0 */
#include <ext2fs/ext2fs.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "disk/ext4.h"
#include "disk/internal.h"

#define BLOCK         4096u
#define BIG_FILE      65536u /* from this size on files start at a multiple of it, see place_files() */
#define IO_BYTES      (1u << 20)
#define FAST_LINK_MAX 60u
#define CSUM_TAIL     12u
#define LOST_BLOCKS   4u

struct writer {
	ext2_filsys fs;
	struct fstree *tree;
	const struct ext4_spec *spec;
	struct cancel *cancel;
	const struct progress *progress;
	struct err *err;
	uint64_t done, total; /* file bytes */
	blk64_t goal;
	uint8_t *io; /* IO_BYTES */
};

static int fail(struct writer *w, errcode_t e, const char *what)
{
	/* com_err codes are not errnos; the library's small codes are. */
	int code = e > 0 && e < 4096 ? -(int) e : e == EXT2_ET_BLOCK_ALLOC_FAIL ? -ENOSPC : -EIO;

	return err_set(w->err, code, "ext4: %s: %s", what, error_message(e));
}

static void set_params(const struct ext4_spec *s, struct ext2_super_block *p)
{
	uint64_t blocks = s->size_bytes / BLOCK;

	ext2fs_blocks_count_set(p, blocks);
	ext2fs_r_blocks_count_set(p, blocks / 20);
	p->s_rev_level = EXT2_DYNAMIC_REV;
	p->s_log_block_size = 2;
	p->s_log_cluster_size = 2;
	p->s_inode_size = 256;
	p->s_min_extra_isize = p->s_want_extra_isize = 32;
	p->s_inodes_count = (uint32_t) (blocks / 4 < UINT32_MAX ? blocks / 4 : UINT32_MAX);
	p->s_log_groups_per_flex = 4;
	p->s_desc_size = 64;
	ext2fs_set_feature_journal(p);
	ext2fs_set_feature_xattr(p);
	ext2fs_set_feature_resize_inode(p);
	ext2fs_set_feature_dir_index(p);
	ext2fs_set_feature_filetype(p);
	ext2fs_set_feature_extents(p);
	ext2fs_set_feature_64bit(p);
	ext2fs_set_feature_flex_bg(p);
	ext2fs_set_feature_sparse_super(p);
	ext2fs_set_feature_large_file(p);
	ext2fs_set_feature_huge_file(p);
	ext2fs_set_feature_dir_nlink(p);
	ext2fs_set_feature_extra_isize(p);
	ext2fs_set_feature_metadata_csum(p);
}

static void set_identity(const struct ext4_spec *s, ext2_filsys fs)
{
	struct ext2_super_block *p = fs->super;

	fs->now = s->time_s;
	fs->umask = 022;
	memcpy(p->s_uuid, s->uuid, 16);
	memcpy(p->s_hash_seed, s->hash_seed, 16);
	memset(p->s_volume_name, 0, sizeof(p->s_volume_name));
	if (s->label)
		memcpy(p->s_volume_name, s->label, strnlen(s->label, sizeof(p->s_volume_name)));
	p->s_mkfs_time = p->s_lastcheck = p->s_wtime = (uint32_t) s->time_s;
	p->s_mkfs_time_hi = p->s_lastcheck_hi = p->s_wtime_hi = (uint8_t) (s->time_s >> 32);
	p->s_mtime = 0;
	p->s_checkinterval = 0;
	p->s_max_mnt_count = -1;
	p->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	p->s_def_hash_version = EXT2_HASH_HALF_MD4;
	p->s_flags = EXT2_FLAGS_SIGNED_HASH;
	p->s_checksum_type = EXT2_CRC32C_CHKSUM;
	ext2fs_init_csum_seed(fs);
}

/* The file is new, so every inode table is zero already; say so, or the first mount zeroes it. */
static void mark_tables_zeroed(ext2_filsys fs)
{
	for (dgrp_t i = 0; i < fs->group_desc_count; i++) {
		ext2fs_bg_flags_set(fs, i, EXT2_BG_INODE_ZEROED);
		ext2fs_group_desc_csum_set(fs, i);
	}
}

static int open_fs(struct writer *w, int fd, uint64_t offset)
{
	struct ext2_super_block param = {0};
	char name[64], opts[64];
	errcode_t e;

	set_params(w->spec, &param);
	(void) snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	(void) snprintf(opts, sizeof(opts), "offset=%llu", (unsigned long long) offset);
	e = ext2fs_initialize(name, EXT2_FLAG_64BITS, &param, unix_io_manager, &w->fs);
	if (e)
		return fail(w, e, "layout");
	e = io_channel_set_options(w->fs->io, opts);
	if (e)
		return fail(w, e, "offset");
	set_identity(w->spec, w->fs);
	e = ext2fs_allocate_tables(w->fs);
	if (e)
		return fail(w, e, "group tables");
	mark_tables_zeroed(w->fs);
	for (ext2_ino_t i = EXT2_BAD_INO; i < EXT2_FIRST_INODE(w->fs->super); i++)
		ext2fs_inode_alloc_stats2(w->fs, i, +1, i == EXT2_ROOT_INO);
	e = ext2fs_update_bb_inode(w->fs, NULL);
	if (!e)
		e = ext2fs_create_resize_inode(w->fs);
	if (!e)
		e = ext2fs_add_journal_inode(
			w->fs, ext2fs_default_journal_size(ext2fs_blocks_count(w->fs->super)),
			EXT2_MKJOURNAL_LAZYINIT);
	return e ? fail(w, e, "journal and reserved inodes") : 0;
}

/* --- first pass: inode numbers in path order, link counts, totals --- */

static int number_inodes(struct writer *w, struct fstree_node *d)
{
	for (size_t k = 0; k < d->n; k++) {
		struct fstree_node *c = d->child[k];
		int r = 0;

		if (c->inode->ino == 0) {
			ext2_ino_t ino = 0;
			errcode_t e = ext2fs_new_inode(w->fs, EXT2_ROOT_INO, 0, NULL, &ino);

			if (e)
				return fail(w, e, "inode numbers");
			ext2fs_inode_alloc_stats2(w->fs, ino, +1, S_ISDIR(c->inode->mode));
			c->inode->ino = ino;
			if (S_ISREG(c->inode->mode))
				w->total += c->inode->size;
		}
		if (S_ISDIR(c->inode->mode))
			r = number_inodes(w, c);
		if (r < 0)
			return r;
	}
	return 0;
}

static void forget_inodes(struct fstree_node *d)
{
	d->inode->ino = 0;
	for (size_t k = 0; k < d->n; k++)
		forget_inodes(d->child[k]);
}

/* --- inodes and blocks --- */

static int place_blocks(struct writer *w, struct ext2_inode *inode, ext2_ino_t ino, blk64_t first,
			blk64_t n, blk64_t align)
{
	errcode_t e;

	if (n == 0)
		return 0;
	if (align > 1)
		w->goal = (w->goal + align - 1) / align * align;
	e = ext2fs_fallocate(w->fs, EXT2_FALLOCATE_FORCE_INIT, ino, inode, w->goal, first, n);
	if (e)
		return fail(w, e,
			    e == EXT2_ET_BLOCK_ALLOC_FAIL
				    ? "the files do not fit: choose a larger size"
				    : "blocks");
	return 0;
}

/* Calls @fn for each run of physical blocks of a file. */
typedef int extent_fn(struct writer *w, void *arg, blk64_t logical, blk64_t physical, blk64_t n);

static int each_extent(struct writer *w, ext2_ino_t ino, extent_fn *fn, void *arg)
{
	ext2_extent_handle_t h;
	struct ext2fs_extent x;
	errcode_t e = ext2fs_extent_open(w->fs, ino, &h);
	int op = EXT2_EXTENT_ROOT, r = 0;

	if (e)
		return fail(w, e, "extents");
	while (r == 0 && (e = ext2fs_extent_get(h, op, &x)) == 0) {
		op = EXT2_EXTENT_NEXT;
		if (x.e_flags & EXT2_EXTENT_FLAGS_LEAF)
			r = fn(w, arg, x.e_lblk, x.e_pblk, x.e_len);
	}
	ext2fs_extent_free(h);
	if (r == 0 && e && e != EXT2_ET_EXTENT_NO_NEXT && e != EXT2_ET_NO_CURRENT_NODE)
		return fail(w, e, "extents");
	return r;
}

static int write_blocks(struct writer *w, blk64_t at, const uint8_t *p, size_t n_blocks)
{
	errcode_t e = io_channel_write_blk64(w->fs->io, at, (int) n_blocks, p);

	return e ? fail(w, e, "write") : 0;
}

static int write_content(struct writer *w, void *arg, blk64_t logical, blk64_t physical, blk64_t n)
{
	const struct fstree_inode *i = arg;

	if (physical + n > w->goal)
		w->goal = physical + n;
	while (n > 0) {
		blk64_t step = n < IO_BYTES / BLOCK ? n : IO_BYTES / BLOCK;
		int r = cancel_check(w->cancel);

		if (r < 0)
			return err_set(w->err, r, "ext4: cancelled");
		fstree_copy(i, logical * BLOCK, w->io, (size_t) step * BLOCK);
		r = write_blocks(w, physical, w->io, (size_t) step);
		if (r < 0)
			return r;
		w->done += step * BLOCK;
		progress_update(w->progress, "filesystem", w->done < w->total ? w->done : w->total,
				w->total);
		logical += step;
		physical += step;
		n -= step;
	}
	return 0;
}

static void fill_common(const struct writer *w, const struct fstree_inode *i,
			struct ext2_inode_large *x)
{
	int64_t t = i->mtime > 0 && i->mtime < w->spec->time_s ? i->mtime : w->spec->time_s;
	uint32_t extra = (uint32_t) (t >> 32) & 3;

	memset(x, 0, sizeof(*x));
	x->i_mode = (uint16_t) i->mode;
	x->i_uid = (uint16_t) i->uid;
	x->osd2.linux2.l_i_uid_high = (uint16_t) (i->uid >> 16);
	x->i_gid = (uint16_t) i->gid;
	x->osd2.linux2.l_i_gid_high = (uint16_t) (i->gid >> 16);
	x->i_links_count = (uint16_t) (i->nlink < 65000 ? i->nlink : 1);
	x->i_atime = x->i_ctime = x->i_mtime = x->i_crtime = (uint32_t) t;
	x->i_atime_extra = x->i_ctime_extra = x->i_mtime_extra = x->i_crtime_extra = extra;
	x->i_extra_isize = 32;
}

static void fill_device(const struct fstree_inode *i, struct ext2_inode_large *x)
{
	if (i->rdev_major < 256 && i->rdev_minor < 256)
		x->i_block[0] = i->rdev_major << 8 | i->rdev_minor;
	else
		x->i_block[1] = (i->rdev_minor & 0xff) | i->rdev_major << 8 |
				(i->rdev_minor & ~0xffu) << 12;
}

/* An empty extent tree, or i_block's other uses. */
static int begin_inode(struct writer *w, const struct fstree_inode *i, struct ext2_inode_large *x,
		       uint64_t size)
{
	struct ext2_inode *small = (struct ext2_inode *) x;
	ext2_extent_handle_t h;
	errcode_t e;

	fill_common(w, i, x);
	if (S_ISLNK(i->mode) && size < FAST_LINK_MAX) {
		memcpy(x->i_block, i->target, (size_t) size);
	} else if (S_ISREG(i->mode) || S_ISDIR(i->mode) || S_ISLNK(i->mode)) {
		x->i_flags |= EXT4_EXTENTS_FL;
		e = ext2fs_extent_open2(w->fs, i->ino, small, &h);
		if (e)
			return fail(w, e, "extent tree");
		ext2fs_extent_free(h);
	} else if (S_ISCHR(i->mode) || S_ISBLK(i->mode)) {
		fill_device(i, x);
	}
	e = ext2fs_inode_size_set(w->fs, small, size);
	if (!e)
		e = ext2fs_write_inode_full(w->fs, i->ino, small, sizeof(*x));
	return e ? fail(w, e, "inode") : 0;
}

static int end_inode(struct writer *w, const struct fstree_inode *i, struct ext2_inode_large *x)
{
	struct ext2_xattr_handle *h;
	errcode_t e = ext2fs_write_inode_full(w->fs, i->ino, (struct ext2_inode *) x, sizeof(*x));

	if (e)
		return fail(w, e, "inode");
	if (i->n_xattrs == 0)
		return 0;
	e = ext2fs_xattrs_open(w->fs, i->ino, &h);
	if (e)
		return fail(w, e, "extended attributes");
	e = ext2fs_xattrs_read(h);
	for (size_t k = 0; !e && k < i->n_xattrs; k++)
		e = ext2fs_xattr_set(h, i->xattrs[k].name, i->xattrs[k].value, i->xattrs[k].n);
	(void) ext2fs_xattrs_close(&h);
	return e ? fail(w, e, "extended attributes") : 0;
}

/* Blocks for the parts of a file that hold data; the rest stay holes. */
static int place_runs(struct writer *w, const struct fstree_inode *i, struct ext2_inode_large *x)
{
	blk64_t align = i->size >= BIG_FILE ? BIG_FILE / BLOCK : 1, next = 0;

	for (size_t k = 0; k < i->n_runs;) {
		blk64_t first = i->runs[k].offset / BLOCK, end = first;

		for (; k < i->n_runs && i->runs[k].offset / BLOCK <= end; k++)
			end = (i->runs[k].offset + i->runs[k].length + BLOCK - 1) / BLOCK;
		if (first < next)
			first = next;
		if (first < end) {
			int r = place_blocks(w, (struct ext2_inode *) x, i->ino, first, end - first,
					     align);
			if (r < 0)
				return r;
		}
		next = end;
	}
	return 0;
}

static int write_file(struct writer *w, struct fstree_inode *i)
{
	struct ext2_inode_large x;
	int r = begin_inode(w, i, &x, i->size);

	if (r == 0)
		r = place_runs(w, i, &x);
	if (r == 0)
		r = end_inode(w, i, &x);
	if (r == 0 && i->n_runs > 0)
		r = each_extent(w, i->ino, write_content, i);
	return r;
}

static int write_special(struct writer *w, struct fstree_inode *i)
{
	struct fstree_run run = {.data = (const uint8_t *) i->target};
	struct fstree_inode body = {.runs = &run, .n_runs = 1};
	struct ext2_inode_large x;
	uint64_t size = S_ISLNK(i->mode) ? strlen(i->target) : 0;
	int r;

	if (size >= BLOCK)
		return err_set(w->err, -EINVAL, "ext4: a link target of %llu bytes, at most %u",
			       (unsigned long long) size, BLOCK - 1);
	run.length = body.size = size;
	r = begin_inode(w, i, &x, size);
	if (r == 0 && size >= FAST_LINK_MAX)
		r = place_blocks(w, (struct ext2_inode *) &x, i->ino, 0, 1, 1);
	if (r == 0)
		r = end_inode(w, i, &x);
	if (r == 0 && size >= FAST_LINK_MAX)
		r = each_extent(w, i->ino, write_content, &body);
	return r;
}

/* --- directories: linear blocks built here, one entry after the other in name order --- */

struct dir_blocks {
	uint8_t *p;
	size_t n, cap; /* blocks */
	size_t at;     /* in the last block */
	size_t last;   /* offset of the last entry in the last block */
};

static uint8_t file_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return EXT2_FT_REG_FILE;
	case S_IFDIR:
		return EXT2_FT_DIR;
	case S_IFCHR:
		return EXT2_FT_CHRDEV;
	case S_IFBLK:
		return EXT2_FT_BLKDEV;
	case S_IFIFO:
		return EXT2_FT_FIFO;
	case S_IFSOCK:
		return EXT2_FT_SOCK;
	default:
		return EXT2_FT_SYMLINK;
	}
}

/* Stretches the last entry to the block's end, which the checksum tail follows. */
static void dir_finish_block(struct dir_blocks *d)
{
	uint8_t *b;

	if (d->n == 0)
		return;
	b = d->p + (d->n - 1) * BLOCK;
	put_le16(b + d->last + 4, (uint16_t) (BLOCK - CSUM_TAIL - d->last));
	put_le16(b + BLOCK - CSUM_TAIL + 4, CSUM_TAIL);
	b[BLOCK - CSUM_TAIL + 7] = 0xde; /* file type of a checksum tail */
}

static int dir_new_block(struct dir_blocks *d)
{
	dir_finish_block(d);
	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 1;
		uint8_t *p = reallocarray(d->p, cap, BLOCK);

		if (!p)
			return -ENOMEM;
		d->p = p;
		d->cap = cap;
	}
	memset(d->p + d->n * BLOCK, 0, BLOCK);
	d->n++;
	d->at = 0;
	return 0;
}

static int dir_add(struct dir_blocks *d, uint32_t ino, const char *name, uint8_t type)
{
	size_t len = strlen(name), need = (8 + len + 3) & ~(size_t) 3;
	uint8_t *e;

	if (d->n == 0 || d->at + need > BLOCK - CSUM_TAIL) {
		int r = dir_new_block(d);

		if (r < 0)
			return r;
	}
	e = d->p + (d->n - 1) * BLOCK + d->at;
	put_le32(e, ino);
	put_le16(e + 4, (uint16_t) need);
	e[6] = (uint8_t) len;
	e[7] = type;
	memcpy(e + 8, name, len);
	d->last = d->at;
	d->at += need;
	return 0;
}

/* An empty block holds one unused entry over all of it. */
static int dir_pad(struct dir_blocks *d, size_t blocks)
{
	int r = 0;

	while (r == 0 && d->n < blocks) {
		r = dir_new_block(d);
		d->last = 0;
	}
	return r;
}

struct dir_out {
	const uint8_t *p;
	ext2_ino_t ino;
};

static int write_dir_blocks(struct writer *w, void *arg, blk64_t logical, blk64_t physical,
			    blk64_t n)
{
	struct dir_out *o = arg;

	if (physical + n > w->goal)
		w->goal = physical + n;
	for (blk64_t k = 0; k < n; k++) {
		errcode_t e;

		memcpy(w->io, o->p + (logical + k) * BLOCK, BLOCK);
		e = ext2fs_write_dir_block4(w->fs, physical + k, w->io, 0, o->ino);
		if (e)
			return fail(w, e, "directory");
	}
	return 0;
}

static int build_dir(const struct fstree_node *d, uint32_t parent, bool lost, struct dir_blocks *b,
		     struct fstree_inode *ret)
{
	uint32_t subdirs = 0;
	int r = dir_add(b, d->inode->ino, ".", EXT2_FT_DIR);

	if (r == 0)
		r = dir_add(b, parent, "..", EXT2_FT_DIR);
	for (size_t k = 0; r == 0 && k < d->n; k++) {
		const struct fstree_inode *i = d->child[k]->inode;

		subdirs += S_ISDIR(i->mode) ? 1 : 0;
		r = dir_add(b, i->ino, d->child[k]->name, file_type(i->mode));
	}
	if (r == 0 && lost)
		r = dir_pad(b, LOST_BLOCKS);
	dir_finish_block(b);
	*ret = *d->inode;
	ret->nlink = 2 + subdirs;
	return r;
}

static int write_dir(struct writer *w, struct fstree_node *d, uint32_t parent)
{
	struct dir_blocks b = {0};
	struct dir_out out = {.ino = d->inode->ino};
	struct ext2_inode_large x;
	struct fstree_inode i;
	int r = build_dir(d, parent, d->inode->ino == EXT2_GOOD_OLD_FIRST_INO, &b, &i);

	if (r < 0)
		(void) err_set(w->err, r, "ext4: out of memory");
	if (r == 0)
		r = begin_inode(w, &i, &x, (uint64_t) b.n * BLOCK);
	if (r == 0)
		r = place_blocks(w, (struct ext2_inode *) &x, i.ino, 0, b.n, 1);
	if (r == 0)
		r = end_inode(w, &i, &x);
	out.p = b.p;
	if (r == 0)
		r = each_extent(w, i.ino, write_dir_blocks, &out);
	free(b.p);
	return r;
}

/* --- passes over the tree, in path order --- */

enum pass { PASS_DIRS, PASS_SMALL, PASS_BIG };

static int place_node(struct writer *w, struct fstree_node *c, uint32_t parent, enum pass pass)
{
	struct fstree_inode *i = c->inode;
	bool big = S_ISREG(i->mode) && i->size >= BIG_FILE;

	if (S_ISDIR(i->mode))
		return pass == PASS_DIRS ? write_dir(w, c, parent) : 0;
	if (pass == PASS_DIRS || big != (pass == PASS_BIG))
		return 0;
	return S_ISREG(i->mode) ? write_file(w, i) : write_special(w, i);
}

/* Each inode once: the first name of a hard link has the lowest number seen so far. */
static int run_pass(struct writer *w, struct fstree_node *d, enum pass pass, uint32_t *last_ino)
{
	for (size_t k = 0; k < d->n; k++) {
		struct fstree_node *c = d->child[k];
		int r = cancel_check(w->cancel);

		if (r < 0)
			return err_set(w->err, r, "ext4: cancelled");
		if (c->inode->ino > *last_ino) {
			*last_ino = c->inode->ino;
			r = place_node(w, c, d->inode->ino, pass);
			if (r < 0)
				return err_ctx(w->err, r, "%s", c->name);
		}
		if (S_ISDIR(c->inode->mode))
			r = run_pass(w, c, pass, last_ino);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Directories first, then files under BIG_FILE closely packed, then the others, each at a multiple
 * of BIG_FILE: so a large file keeps its place in its chunks, and two file systems that share
 * files share chunks, wherever the files come to lie.
 */
static int place_files(struct writer *w)
{
	struct fstree_node *root = fstree_root(w->tree);
	int r = write_dir(w, root, EXT2_ROOT_INO);

	if (r == 0)
		r = write_dir(w, fstree_find(w->tree, "lost+found"), EXT2_ROOT_INO);
	for (enum pass p = PASS_DIRS; r == 0 && p <= PASS_BIG; p++) {
		uint32_t last = 0;

		r = run_pass(w, root, p, &last);
	}
	return r;
}

static int write_all(struct writer *w, int fd, uint64_t offset)
{
	struct fstree_node *root = fstree_root(w->tree), *lost;
	errcode_t e;
	int r = fstree_add_dir(w->tree, "lost+found", 0700, w->err);

	if (r >= 0)
		r = open_fs(w, fd, offset);
	if (r < 0)
		return r;
	root->inode->ino = EXT2_ROOT_INO;
	lost = fstree_find(w->tree, "lost+found");
	lost->inode->ino = EXT2_GOOD_OLD_FIRST_INO;
	ext2fs_inode_alloc_stats2(w->fs, EXT2_GOOD_OLD_FIRST_INO, +1, 1);
	r = number_inodes(w, root);
	if (r == 0)
		r = place_files(w);
	if (r < 0)
		return r;
	ext2fs_mark_super_dirty(w->fs);
	e = ext2fs_close_free(&w->fs);
	if (e)
		return fail(w, e, "close");
	progress_update(w->progress, "filesystem", w->total, w->total);
	return 0;
}

int ext4_write_tree(int fd, uint64_t offset, const struct ext4_spec *spec, struct fstree *tree,
		    struct cancel *cancel, const struct progress *p, struct err *err)
{
	auto_free uint8_t *io = malloc(IO_BYTES);
	struct writer w = {
		.tree = tree, .spec = spec, .cancel = cancel, .progress = p, .err = err, .io = io};
	int r;

	if (spec->size_bytes % BLOCK || spec->size_bytes < EXT4_MIN_BYTES)
		return err_set(err, -EINVAL,
			       "ext4: size %llu, expected a multiple of %u of at least %u",
			       (unsigned long long) spec->size_bytes, BLOCK, EXT4_MIN_BYTES);
	if (spec->time_s <= 0 || spec->time_s >= EXT4_MAX_TIME)
		return err_set(err, -EINVAL, "ext4: time %lld, expected 1 to %lld",
			       (long long) spec->time_s, (long long) EXT4_MAX_TIME - 1);
	if (!io)
		return err_set(err, -ENOMEM, "ext4: out of memory");
	forget_inodes(fstree_root(tree));
	r = write_all(&w, fd, offset);
	if (w.fs) {
		w.fs->flags &= ~EXT2_FLAG_DIRTY; /* a failed file system is not worth flushing */
		ext2fs_free(w.fs);
	}
	return r;
}

int ext4_write_tar(int fd, uint64_t offset, const struct ext4_spec *spec, const char *tar_path,
		   struct cancel *cancel, const struct progress *p, struct err *err)
{
	struct fstree *t;
	int r = fstree_new(&t);

	if (r < 0)
		return err_set(err, r, "ext4: out of memory");
	r = fstree_add_tar(t, tar_path, cancel, err);
	if (r == 0)
		r = ext4_write_tree(fd, offset, spec, t, cancel, p, err);
	fstree_free(t);
	return r;
}
