/* SPDX-License-Identifier: Apache-2.0 */
/* Reading through libext2fs over callbacks. The image may be hostile: bounds are checked here,
 * metadata checksums by the library, and nothing is ever written. */
#include <ext2fs/ext2fs.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "disk/ext4.h"

#define MAX_LINKS 40
#define MAX_PATH  4096u
#define MAX_FILE  (1ull << 40)

struct ext4_fs {
	ext2_filsys fs;
	struct ext4_io io;
	struct err *err; /* of the running call: where a failed read leaves its message */
};

static int fail(struct err *err, errcode_t e, const char *what)
{
	int code = e == EXT2_ET_FILE_NOT_FOUND ? -ENOENT
		   : e > 0 && e < 4096         ? -(int) e
		   : e == EXT2_ET_NO_MEMORY    ? -ENOMEM
					       : -EBADMSG;

	if (err && err->code)
		return err_ctx(err, err->code, "ext4: %s", what);
	return err_set(err, code, "ext4: %s: %s", what, error_message(e));
}

/* --- an I/O manager whose channel is a struct ext4_fs, given by address in the name --- */

static errcode_t io_open(const char *name, int flags, io_channel *ret);

static errcode_t io_close(io_channel c)
{
	if (--c->refcount > 0)
		return 0;
	free(c->name);
	free(c);
	return 0;
}

static errcode_t io_set_blksize(io_channel c, int size)
{
	c->block_size = size;
	return 0;
}

static errcode_t io_read64(io_channel c, unsigned long long block, int count, void *dst)
{
	struct ext4_fs *f = c->private_data;
	uint64_t n, at;
	struct err local = ERR_INIT;
	int r;

	n = count < 0 ? (uint64_t) - (int64_t) count : (uint64_t) count * (unsigned) c->block_size;
	if (__builtin_mul_overflow(block, (uint64_t) (unsigned) c->block_size, &at) ||
	    !range_ok(at, n, f->io.size_bytes))
		return EXT2_ET_SHORT_READ;
	r = f->io.read(f->io.arg, dst, (size_t) n, f->io.offset + at, f->err ? f->err : &local);
	err_done(&local);
	return r < 0 ? EXT2_ET_SHORT_READ : 0;
}

static errcode_t io_read(io_channel c, unsigned long block, int count, void *dst)
{
	return io_read64(c, block, count, dst);
}

static errcode_t io_write(io_channel c, unsigned long block, int count, const void *src)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t io_write64(io_channel c, unsigned long long block, int count, const void *src)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t io_flush(io_channel c)
{
	return 0;
}

static const struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "kiln",
	.open = io_open,
	.close = io_close,
	.set_blksize = io_set_blksize,
	.read_blk = io_read,
	.write_blk = io_write,
	.flush = io_flush,
	.read_blk64 = io_read64,
	.write_blk64 = io_write64,
};

static errcode_t io_open(const char *name, int flags, io_channel *ret)
{
	io_channel c = calloc(1, sizeof(*c));
	void *p = NULL;

	if (!c || sscanf(name, "%p", &p) != 1 || !p || !(c->name = strdup(name))) {
		free(c);
		return EXT2_ET_NO_MEMORY;
	}
	c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	c->manager = (io_manager) (uintptr_t) &manager;
	c->private_data = p;
	c->block_size = 1024;
	c->refcount = 1;
	*ret = c;
	return 0;
}

/* --- public --- */

int ext4_open(const struct ext4_io *io, struct ext4_fs **ret, struct err *err)
{
	struct ext4_fs *f = calloc(1, sizeof(*f));
	char name[32];
	errcode_t e;
	int r;

	if (!f)
		return err_set(err, -ENOMEM, "ext4: out of memory");
	f->io = *io;
	f->err = err;
	(void) snprintf(name, sizeof(name), "%p", (void *) f);
	e = ext2fs_open(name, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0,
			(io_manager) (uintptr_t) &manager, &f->fs);
	if (!e && ext2fs_blocks_count(f->fs->super) > io->size_bytes / f->fs->blocksize)
		e = EXT2_ET_CORRUPT_SUPERBLOCK;
	if (e) {
		r = fail(err, e, "open");
		ext4_close(f);
		return r;
	}
	f->err = NULL;
	*ret = f;
	return 0;
}

void ext4_close(struct ext4_fs *f)
{
	if (!f)
		return;
	f->err = NULL;
	if (f->fs)
		ext2fs_free(f->fs);
	free(f);
}

/* --- paths --- */

static int read_inode(struct ext4_fs *f, ext2_ino_t ino, struct ext2_inode *ret, struct err *err)
{
	errcode_t e;

	if (ino < EXT2_ROOT_INO || ino > f->fs->super->s_inodes_count)
		return err_set(err, -EBADMSG, "ext4: inode %u, the file system has %u", ino,
			       f->fs->super->s_inodes_count);
	e = ext2fs_read_inode(f->fs, ino, ret);
	return e ? fail(err, e, "inode") : 0;
}

static int read_content(struct ext4_fs *f, ext2_ino_t ino, uint64_t size, char *dst,
			struct err *err)
{
	ext2_file_t file;
	errcode_t e = ext2fs_file_open(f->fs, ino, 0, &file);
	uint64_t at = 0;

	while (!e && at < size) {
		unsigned want = size - at < (1u << 20) ? (unsigned) (size - at) : 1u << 20, got = 0;

		e = ext2fs_file_read(file, dst + at, want, &got);
		if (!e && got == 0)
			e = EXT2_ET_SHORT_READ;
		at += got;
	}
	if (file)
		(void) ext2fs_file_close(file);
	return e ? fail(err, e, "read") : 0;
}

static int read_link(struct ext4_fs *f, ext2_ino_t ino, const struct ext2_inode *inode,
		     char dst[MAX_PATH], struct err *err)
{
	uint64_t size = EXT2_I_SIZE(inode);
	int r = 0;

	if (size == 0 || size >= MAX_PATH)
		return err_set(err, -EBADMSG, "ext4: link of %llu bytes",
			       (unsigned long long) size);
	if (ext2fs_is_fast_symlink((struct ext2_inode *) (uintptr_t) inode)) {
		if (size > sizeof(inode->i_block))
			return err_set(err, -EBADMSG, "ext4: link of %llu bytes in its inode",
				       (unsigned long long) size);
		memcpy(dst, inode->i_block, (size_t) size);
	} else {
		r = read_content(f, ino, size, dst, err);
	}
	dst[size] = '\0';
	return r == 0 && memchr(dst, '\0', (size_t) size)
		       ? err_set(err, -EBADMSG, "ext4: link with a NUL")
		       : r;
}

struct walk {
	char rest[2 * MAX_PATH]; /* what is still to be resolved */
	unsigned links;
};

/* Puts a link's target before what is left of the path. */
static int follow(struct ext4_fs *f, struct walk *w, const char *rest, ext2_ino_t ino,
		  const struct ext2_inode *inode, struct err *err)
{
	char target[MAX_PATH], joined[2 * MAX_PATH];
	int n, r;

	if (++w->links > MAX_LINKS)
		return err_set(err, -ELOOP, "ext4: more than %d links", MAX_LINKS);
	r = read_link(f, ino, inode, target, err);
	if (r < 0)
		return r;
	n = snprintf(joined, sizeof(joined), "%s/%s", target, rest);
	if (n < 0 || (size_t) n >= sizeof(joined))
		return err_set(err, -ENAMETOOLONG, "ext4: path too long");
	memcpy(w->rest, joined, (size_t) n + 1);
	return 0;
}

static int step(struct ext4_fs *f, ext2_ino_t dir, const char *name, size_t n, ext2_ino_t *ret,
		struct ext2_inode *ret_inode, struct err *err)
{
	ext2_ino_t ino;
	errcode_t e;

	if (n > EXT2_NAME_LEN)
		return err_set(err, -ENAMETOOLONG, "ext4: a name of %zu bytes", n);
	e = ext2fs_lookup(f->fs, dir, name, (int) n, NULL, &ino);
	if (e)
		return fail(err, e, "lookup");
	*ret = ino;
	return read_inode(f, ino, ret_inode, err);
}

/* Resolves as if the file system were mounted on "/": ".." of the root is the root. */
static int resolve(struct ext4_fs *f, const char *path, bool follow_last, ext2_ino_t *ret,
		   struct ext2_inode *ret_inode, struct err *err)
{
	struct walk w = {.links = 0};
	ext2_ino_t dir = EXT2_ROOT_INO;
	const char *p = w.rest;
	int r;

	if (strlen(path) >= MAX_PATH)
		return err_set(err, -ENAMETOOLONG, "ext4: path too long");
	memcpy(w.rest, path, strlen(path) + 1);
	r = read_inode(f, dir, ret_inode, err);
	while (r == 0) {
		ext2_ino_t ino = 0;
		size_t n, skip;

		if (p == w.rest && *p == '/') {
			dir = EXT2_ROOT_INO;
			r = read_inode(f, dir, ret_inode, err);
		}
		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 0 || r < 0)
			break;
		if (!LINUX_S_ISDIR(ret_inode->i_mode))
			return err_set(err, -ENOENT, "ext4: %s: a parent is not a directory", path);
		r = step(f, dir, p, n, &ino, ret_inode, err);
		if (r < 0)
			break;
		skip = n + strspn(p + n, "/");
		if (LINUX_S_ISLNK(ret_inode->i_mode) && (p[skip] || follow_last)) {
			r = follow(f, &w, p + skip, ino, ret_inode, err);
			p = w.rest;
			/* A relative target goes on from @dir. */
			if (r == 0)
				r = read_inode(f, dir, ret_inode, err);
			continue;
		}
		dir = ino;
		p += skip;
	}
	*ret = dir;
	return r < 0 ? err_ctx(err, r, "%s", path) : 0;
}

static void fill_stat(ext2_ino_t ino, const struct ext2_inode *i, struct ext4_stat *ret)
{
	*ret = (struct ext4_stat){
		.ino = ino,
		.mode = i->i_mode,
		.uid = inode_uid(*i),
		.gid = inode_gid(*i),
		.nlink = i->i_links_count,
		.size = EXT2_I_SIZE(i),
		.mtime = i->i_mtime,
		.ctime = i->i_ctime,
	};
}

int ext4_lookup(struct ext4_fs *f, const char *path, struct ext4_stat *ret, struct err *err)
{
	struct ext2_inode inode;
	ext2_ino_t ino;
	int r;

	f->err = err;
	r = resolve(f, path, false, &ino, &inode, err);
	if (r == 0)
		fill_stat(ino, &inode, ret);
	f->err = NULL;
	return r;
}

static int read_whole(struct ext4_fs *f, const char *path, uint64_t max, char **ret, size_t *ret_n,
		      struct err *err)
{
	auto_free char *p = NULL;
	struct ext2_inode inode;
	ext2_ino_t ino;
	uint64_t size;
	int r = resolve(f, path, true, &ino, &inode, err);

	if (r < 0)
		return r;
	size = EXT2_I_SIZE(&inode);
	if (!LINUX_S_ISREG(inode.i_mode))
		return err_set(err, -EINVAL, "%s: not a regular file", path);
	if (size > max || size > MAX_FILE)
		return err_set(err, -EFBIG, "%s: %llu bytes, at most %llu", path,
			       (unsigned long long) size, (unsigned long long) max);
	p = malloc((size_t) size + 1);
	if (!p)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	r = read_content(f, ino, size, p, err);
	if (r < 0)
		return err_ctx(err, r, "%s", path);
	p[size] = '\0';
	*ret = take_ptr(p);
	*ret_n = (size_t) size;
	return 0;
}

int ext4_read_file(struct ext4_fs *f, const char *path, uint64_t max, char **ret, size_t *ret_n,
		   struct err *err)
{
	int r;

	f->err = err;
	r = read_whole(f, path, max, ret, ret_n, err);
	f->err = NULL;
	return r;
}

struct lister {
	struct ext4_fs *f;
	ext4_list_fn *fn;
	void *arg;
	struct err *err;
	int r;
};

static int list_entry(ext2_ino_t dir, int entry, struct ext2_dir_entry *e, int offset,
		      int blocksize, char *buf, void *arg)
{
	struct lister *l = arg;
	struct ext2_inode inode;
	struct ext4_stat st;
	char name[EXT2_NAME_LEN + 1];
	size_t n = (size_t) ext2fs_dirent_name_len(e);

	if (entry != DIRENT_OTHER_FILE || e->inode == 0)
		return 0;
	memcpy(name, e->name, n);
	name[n] = '\0';
	if (n == 0 || strlen(name) != n || strchr(name, '/'))
		l->r = err_set(l->err, -EBADMSG, "ext4: a name with NUL or '/'");
	else
		l->r = read_inode(l->f, e->inode, &inode, l->err);
	if (l->r == 0) {
		fill_stat(e->inode, &inode, &st);
		l->r = l->fn(l->arg, name, &st);
	}
	return l->r < 0 ? DIRENT_ABORT : 0;
}

int ext4_list(struct ext4_fs *f, const char *path, ext4_list_fn *fn, void *arg, struct err *err)
{
	struct lister l = {f, fn, arg, err, 0};
	struct ext2_inode inode;
	ext2_ino_t ino;
	errcode_t e;
	int r;

	f->err = err;
	r = resolve(f, path, true, &ino, &inode, err);
	if (r == 0 && !LINUX_S_ISDIR(inode.i_mode))
		r = err_set(err, -ENOTDIR, "%s: not a directory", path);
	if (r == 0) {
		e = ext2fs_dir_iterate2(f->fs, ino, 0, NULL, list_entry, &l);
		r = l.r < 0 ? l.r : e ? fail(err, e, "directory") : 0;
	}
	f->err = NULL;
	return r;
}
