/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/fstree.h"

#include <sys/stat.h>

#include "base/mem.h"
#include "disk/internal.h"

struct fstree {
	struct fstree_node root;
	size_t n_entries;
	struct fstree_map *maps; /* mapped tar files, released last */
};

static void inode_unref(struct fstree_inode *i)
{
	if (!i || --i->nlink > 0)
		return;
	for (size_t k = 0; k < i->n_xattrs; k++) {
		free(i->xattrs[k].name);
		free(i->xattrs[k].value);
	}
	free(i->xattrs);
	free(i->runs);
	free(i->own);
	free(i->target);
	free(i);
}

static struct fstree_inode *inode_new(uint32_t mode)
{
	struct fstree_inode *i = calloc(1, sizeof(*i));

	if (i) {
		i->mode = mode;
		i->nlink = 1;
	}
	return i;
}

/* Recursion is bounded: no path is deeper than FSTREE_MAX_DEPTH. */
static size_t node_clear(struct fstree_node *d)
{
	size_t gone = d->n;

	for (size_t k = 0; k < d->n; k++) {
		gone += node_clear(d->child[k]);
		inode_unref(d->child[k]->inode);
		free(d->child[k]->name);
		free(d->child[k]);
	}
	free(d->child);
	d->child = NULL;
	d->n = d->cap = 0;
	return gone;
}

int fstree_new(struct fstree **ret)
{
	struct fstree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->root.inode = inode_new(S_IFDIR | 0755);
	if (!t->root.inode) {
		free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void fstree_free(struct fstree *t)
{
	if (!t)
		return;
	node_clear(&t->root);
	inode_unref(t->root.inode);
	fstree_maps_free(t->maps);
	free(t);
}

struct fstree_node *fstree_root(struct fstree *t)
{
	return &t->root;
}

struct fstree_map **fstree_maps(struct fstree *t)
{
	return &t->maps;
}

/* Position of @name among the children, or where it would be put. */
static size_t child_slot(const struct fstree_node *d, const char *name, size_t n, bool *ret_found)
{
	size_t lo = 0, hi = d->n;

	*ret_found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const char *have = d->child[mid]->name;
		int c = strncmp(have, name, n);

		if (c == 0 && have[n])
			c = 1;
		if (c == 0) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int child_add(struct fstree *t, struct fstree_node *d, const char *name, size_t n,
		     struct fstree_node **ret, struct err *err)
{
	struct fstree_node *c;
	bool found;
	size_t at = child_slot(d, name, n, &found);

	if (found && d->child) {
		*ret = d->child[at];
		return 0;
	}
	if (t->n_entries >= FSTREE_MAX_ENTRIES)
		return err_set(err, -EFBIG, "more than %u files", FSTREE_MAX_ENTRIES);
	if (!d->child || d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 8;
		/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
		struct fstree_node **v = reallocarray(d->child, cap, sizeof(*v));

		if (!v)
			return err_set(err, -ENOMEM, "file tree: out of memory");
		d->child = v;
		d->cap = cap;
	}
	c = calloc(1, sizeof(*c));
	if (!c || !(c->name = strndup(name, n))) {
		free(c);
		return err_set(err, -ENOMEM, "file tree: out of memory");
	}
	memmove(&d->child[at + 1], &d->child[at], (d->n - at) * sizeof(struct fstree_node *));
	d->child[at] = c;
	d->n++;
	t->n_entries++;
	*ret = c;
	return 0;
}

/* Takes the next component off *@p; 0 length at the end. */
static size_t next_name(const char **p, const char **ret)
{
	for (;;) {
		size_t n;

		while (**p == '/')
			(*p)++;
		n = strcspn(*p, "/");
		*ret = *p;
		*p += n;
		if (n != 1 || **ret != '.')
			return n;
	}
}

static int check_name(const char *path, const char *name, size_t n, unsigned depth, struct err *err)
{
	if (n > FSTREE_MAX_NAME)
		return err_set(err, -EFBIG, "%s: a name longer than %u bytes", path,
			       FSTREE_MAX_NAME);
	if (n == 2 && name[0] == '.' && name[1] == '.')
		return err_set(err, -EINVAL, "%s: '..' is not allowed", path);
	if (depth > FSTREE_MAX_DEPTH)
		return err_set(err, -EFBIG, "%s: deeper than %u directories", path,
			       FSTREE_MAX_DEPTH);
	return 0;
}

/* Finds or makes the node of @path; one that was just made has no inode yet. */
static int node_make(struct fstree *t, const char *path, struct fstree_node **ret, struct err *err)
{
	struct fstree_node *d = &t->root;
	const char *p = path, *name;
	unsigned depth = 0;
	size_t n;

	if (strlen(path) >= FSTREE_MAX_PATH)
		return err_set(err, -EFBIG, "path longer than %u bytes: %.60s...",
			       FSTREE_MAX_PATH - 1, path);
	while ((n = next_name(&p, &name)) > 0) {
		int r = check_name(path, name, n, ++depth, err);

		if (r < 0)
			return r;
		if (!d->inode && !(d->inode = inode_new(S_IFDIR | 0755)))
			return err_set(err, -ENOMEM, "file tree: out of memory");
		if (!S_ISDIR(d->inode->mode))
			return err_set(err, -EINVAL, "%s: '%s' is not a directory", path, d->name);
		r = child_add(t, d, name, n, &d, err);
		if (r < 0)
			return r;
	}
	*ret = d;
	return 0;
}

int fstree_set(struct fstree *t, const char *path, struct fstree_inode *inode, struct err *err)
{
	struct fstree_node *node = NULL;
	int r = node_make(t, path, &node, err);

	if (r == 0 && node == &t->root && !S_ISDIR(inode->mode))
		r = err_set(err, -EINVAL, "the root may only be a directory");
	if (r < 0) {
		inode_unref(inode);
		return r;
	}
	if (!S_ISDIR(inode->mode))
		t->n_entries -= node_clear(node);
	inode_unref(node->inode);
	node->inode = inode;
	return 0;
}

int fstree_add_dir(struct fstree *t, const char *path, uint32_t mode, struct err *err)
{
	struct fstree_inode *i = inode_new(S_IFDIR | (mode & 07777));

	return i ? fstree_set(t, path, i, err) : err_set(err, -ENOMEM, "%s: out of memory", path);
}

int fstree_add_file(struct fstree *t, const char *path, uint32_t mode, const void *data, size_t n,
		    struct err *err)
{
	struct fstree_inode *i = inode_new(S_IFREG | (mode & 07777));

	if (!i)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	if (n > 0) {
		i->own = malloc(n);
		i->runs = calloc(1, sizeof(*i->runs));
		if (!i->own || !i->runs) {
			inode_unref(i);
			return err_set(err, -ENOMEM, "%s: out of memory", path);
		}
		memcpy(i->own, data, n);
		i->runs[0] = (struct fstree_run){.length = n, .data = i->own};
		i->n_runs = 1;
		i->size = n;
	}
	return fstree_set(t, path, i, err);
}

int fstree_add_symlink(struct fstree *t, const char *path, const char *target, struct err *err)
{
	struct fstree_inode *i = inode_new(S_IFLNK | 0777);

	if (!i || !(i->target = strdup(target))) {
		inode_unref(i);
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	}
	return fstree_set(t, path, i, err);
}

static struct fstree_node *find_in(struct fstree *t, const char *path, struct fstree_node **ret_dir,
				   size_t *ret_at)
{
	struct fstree_node *d = &t->root;
	const char *p = path, *name;
	size_t n;

	*ret_dir = NULL;
	while ((n = next_name(&p, &name)) > 0) {
		bool found;
		size_t at = child_slot(d, name, n, &found);

		if (!found)
			return NULL;
		*ret_dir = d;
		*ret_at = at;
		d = d->child[at];
	}
	return d;
}

struct fstree_node *fstree_find(struct fstree *t, const char *path)
{
	struct fstree_node *dir;
	size_t at;

	return find_in(t, path, &dir, &at);
}

void fstree_empty(struct fstree *t, const char *path)
{
	struct fstree_node *n = fstree_find(t, path);

	if (n)
		t->n_entries -= node_clear(n);
}

void fstree_remove(struct fstree *t, const char *path)
{
	struct fstree_node *dir;
	size_t at;
	struct fstree_node *n = find_in(t, path, &dir, &at);

	if (!n || !dir)
		return;
	t->n_entries -= node_clear(n) + 1;
	inode_unref(n->inode);
	free(n->name);
	free(n);
	dir->n--;
	memmove(&dir->child[at], &dir->child[at + 1], (dir->n - at) * sizeof(struct fstree_node *));
}

void fstree_copy(const struct fstree_inode *ino, uint64_t offset, uint8_t *dst, size_t n)
{
	memset(dst, 0, n);
	for (size_t k = 0; k < ino->n_runs; k++) {
		const struct fstree_run *r = &ino->runs[k];
		uint64_t from = r->offset > offset ? r->offset : offset;
		uint64_t to =
			r->offset + r->length < offset + n ? r->offset + r->length : offset + n;

		if (from < to)
			memcpy(dst + (from - offset), r->data + (from - r->offset),
			       (size_t) (to - from));
	}
}

int fstree_read(struct fstree *t, const char *path, struct buf *out, struct err *err)
{
	struct fstree_node *n = fstree_find(t, path);
	int r;

	if (!n || !S_ISREG(n->inode->mode))
		return err_set(err, -ENOENT, "%s: no such regular file in the tree", path);
	if (n->inode->size > out->max)
		return err_set(err, -EFBIG, "%s: %llu bytes, at most %zu", path,
			       (unsigned long long) n->inode->size, out->max);
	r = buf_reserve(out, (size_t) n->inode->size + 1);
	if (r < 0)
		return err_set(err, r, "%s: out of memory", path);
	fstree_copy(n->inode, 0, (uint8_t *) out->data + out->len, (size_t) n->inode->size);
	out->len += (size_t) n->inode->size;
	out->data[out->len] = '\0';
	return 0;
}
