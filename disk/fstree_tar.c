/* SPDX-License-Identifier: Apache-2.0 */
/* Tar files into a tree. libarchive decodes; nothing is made on the host. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "disk/internal.h"

#define XATTR_MAX_BYTES 65536u

void fstree_maps_free(struct fstree_map *m)
{
	while (m) {
		struct fstree_map *next = m->next;

		(void) munmap(m->p, m->n);
		free(m);
		m = next;
	}
}

static int map_file(struct fstree *t, const char *path, struct fstree_map **ret, struct err *err)
{
	auto_fd int fd = -1;
	struct fstree_map *m;
	struct stat st;
	int r = file_open_regular(AT_FDCWD, path, &fd);

	if (r < 0 || fstat(fd, &st) < 0) {
		r = r < 0 ? r : -errno;
		err_set(err, r, "%s: cannot open", path);
		return r;
	}
	if (st.st_size < 1024) {
		err_set(err, -EBADMSG, "%s: %lld bytes are no tar file", path,
			(long long) st.st_size);
		return -EBADMSG;
	}
	m = calloc(1, sizeof(*m));
	if (!m) {
		err_set(err, -ENOMEM, "%s: out of memory", path);
		return -ENOMEM;
	}
	m->n = (size_t) st.st_size;
	m->p = mmap(NULL, m->n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (m->p == MAP_FAILED) {
		r = -errno;
		free(m);
		err_set(err, r, "%s: cannot map", path);
		return r;
	}
	m->next = *fstree_maps(t);
	*fstree_maps(t) = m;
	*ret = m;
	return 0;
}

static void inode_drop(struct fstree_inode **i)
{
	struct fstree_inode *v = *i;

	if (!v)
		return;
	for (size_t k = 0; k < v->n_xattrs; k++) {
		free(v->xattrs[k].name);
		free(v->xattrs[k].value);
	}
	free(v->xattrs);
	free(v->runs);
	free(v->target);
	free(v);
}

static int add_xattrs(struct archive_entry *e, struct fstree_inode *i)
{
	int n = archive_entry_xattr_reset(e);
	const char *name;
	const void *value;
	size_t size;

	if (n <= 0)
		return 0;
	if ((unsigned) n > FSTREE_MAX_XATTRS)
		return -EFBIG;
	i->xattrs = calloc((size_t) n, sizeof(*i->xattrs));
	if (!i->xattrs)
		return -ENOMEM;
	while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
		struct fstree_xattr *x = &i->xattrs[i->n_xattrs];

		if (size > XATTR_MAX_BYTES)
			return -EFBIG;
		x->name = strdup(name);
		x->value = malloc(size + 1);
		i->n_xattrs++;
		if (!x->name || !x->value)
			return -ENOMEM;
		memcpy(x->value, value, size);
		x->n = size;
	}
	return 0;
}

/*
 * The runs of a file's content. An unfiltered archive in memory is handed over without a copy, so
 * the blocks are addresses in the mapping; checked, since that is libarchive's habit, not its word.
 */
static int add_runs(struct archive *a, const struct fstree_map *m, struct fstree_inode *i)
{
	const uint8_t *base = m->p;

	for (;;) {
		struct fstree_run *v;
		const void *p;
		la_int64_t offset;
		size_t n;
		int r = archive_read_data_block(a, &p, &n, &offset);

		if (r == ARCHIVE_EOF)
			return 0;
		if (r != ARCHIVE_OK)
			return -EBADMSG;
		if (n == 0)
			continue;
		if ((uintptr_t) p < (uintptr_t) base ||
		    !range_ok((uintptr_t) p - (uintptr_t) base, n, m->n))
			return -EIO;
		if (offset < 0 || !range_ok((uint64_t) offset, n, i->size))
			return -EBADMSG;
		v = i->n_runs ? &i->runs[i->n_runs - 1] : NULL;
		if (v && v->offset + v->length > (uint64_t) offset)
			return -EBADMSG;
		if (v && v->offset + v->length == (uint64_t) offset && v->data + v->length == p) {
			v->length += n;
			continue;
		}
		v = reallocarray(i->runs, i->n_runs + 1, sizeof(*v));
		if (!v)
			return -ENOMEM;
		i->runs = v;
		v[i->n_runs++] = (struct fstree_run){(uint64_t) offset, n, p};
	}
}

static int fill_inode(struct archive *a, struct archive_entry *e, const struct fstree_map *m,
		      struct fstree_inode *i)
{
	const char *target = archive_entry_symlink(e);
	la_int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
	int r;

	if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
		return -EINVAL;
	i->nlink = 1;
	i->mode = archive_entry_mode(e);
	i->uid = (uint32_t) uid;
	i->gid = (uint32_t) gid;
	i->mtime = archive_entry_mtime(e);
	if (i->mtime < 0)
		i->mtime = 0;
	if (S_ISCHR(i->mode) || S_ISBLK(i->mode)) {
		i->rdev_major = (uint32_t) archive_entry_rdevmajor(e);
		i->rdev_minor = (uint32_t) archive_entry_rdevminor(e);
	}
	r = add_xattrs(e, i);
	if (r < 0)
		return r;
	switch (i->mode & S_IFMT) {
	case S_IFREG:
		if (archive_entry_size(e) < 0)
			return -EBADMSG;
		i->size = (uint64_t) archive_entry_size(e);
		return add_runs(a, m, i);
	case S_IFLNK:
		if (!target || !*target || strlen(target) >= FSTREE_MAX_PATH)
			return -EINVAL;
		i->target = strdup(target);
		return i->target ? 0 : -ENOMEM;
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return -EINVAL;
	}
}

static int add_hardlink(struct fstree *t, const char *path, const char *target, struct err *err)
{
	struct fstree_node *n = fstree_find(t, target);

	if (!n || !n->inode || S_ISDIR(n->inode->mode))
		return err_set(err, -EINVAL, "hard link to '%s', which is no earlier file", target);
	if (fstree_find(t, path) == n)
		return 0;
	n->inode->nlink++;
	return fstree_set(t, path, n->inode, err);
}

static int add_entry(struct fstree *t, struct archive *a, struct archive_entry *e,
		     const struct fstree_map *m, struct err *err)
{
	__attribute__((cleanup(inode_drop))) struct fstree_inode *i = NULL;
	const char *path = archive_entry_pathname(e), *hard = archive_entry_hardlink(e);
	int r;

	if (!path || !*path)
		return err_set(err, -EINVAL, "an entry without a name");
	if (hard) {
		r = add_hardlink(t, path, hard, err);
	} else {
		i = calloc(1, sizeof(*i));
		r = i ? fill_inode(a, e, m, i) : -ENOMEM;
		if (r < 0)
			(void) err_set(err, r, "bad or too large an entry");
		else
			r = fstree_set(t, path, take_ptr(i), err);
	}
	return r < 0 ? err_ctx(err, r, "%s", path) : 0;
}

static void reader_free(struct archive **a)
{
	if (*a)
		(void) archive_read_free(*a);
}

static int read_tar(struct fstree *t, const char *path, struct cancel *cancel, struct err *err)
{
	__attribute__((cleanup(reader_free))) struct archive *a = archive_read_new();
	struct archive_entry *e;
	struct fstree_map *m = NULL;
	int r;

	if (!a)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	r = map_file(t, path, &m, err);
	if (r < 0 || !m)
		return r;
	if (archive_read_support_filter_none(a) != ARCHIVE_OK ||
	    archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_open_memory(a, m->p, m->n) != ARCHIVE_OK)
		return err_set(err, -EBADMSG, "%s: %s", path, archive_error_string(a));
	while ((r = archive_read_next_header(a, &e)) != ARCHIVE_EOF) {
		if (r != ARCHIVE_OK)
			return err_set(err, -EBADMSG, "%s: byte %lld: %s", path,
				       (long long) archive_read_header_position(a),
				       archive_error_string(a));
		r = cancel_check(cancel);
		if (r == 0)
			r = add_entry(t, a, e, m, err);
		if (r < 0)
			return err_ctx(err, r, "%s", path);
	}
	return 0;
}

/* libarchive converts names to the thread's locale: with UTF-8 they stay as they are, and a name
 * that is not UTF-8 is an error instead of a loss. */
int fstree_add_tar(struct fstree *t, const char *path, struct cancel *cancel, struct err *err)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0), old;
	int r;

	if (utf8 == (locale_t) 0)
		return err_set(err, -errno, "%s: locale C.UTF-8", path);
	old = uselocale(utf8);
	r = read_tar(t, path, cancel, err);
	(void) uselocale(old);
	freelocale(utf8);
	return r;
}
