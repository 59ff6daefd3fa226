/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region is a place that keeps objects under keys ("packs/ab/ID.pack"). Backends stand behind
 * struct region_ops; the table of URL schemes is in region.c. Objects are immutable: a key is
 * written once, whole, and is durable before the call returns. All calls are safe from many
 * threads, except those on one region_put. What exactly a backend must do, also when its calls
 * fail, is what tests/unit/store/test_region.c asks of each.
 */
#ifndef KILN_STORE_REGION_H
#define KILN_STORE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/journal.h"

#define REGION_FORMAT     1
#define REGION_FORMAT_MAX 64  /* bytes of the object "format" with a NUL */
#define REGION_KEY_MAX    128 /* bytes with the NUL */

struct region;
struct region_put;

/* A negative return of the callback ends the listing and is returned. */
typedef int region_list_fn(void *arg, const char *key, uint64_t bytes);

struct region_ops {
	const char *name;
	/* Exactly @n bytes. -ENOENT, -ENODATA past the end, -EIO... Keeps no pointer to @dst. */
	int (*get)(struct region *g, const char *key, uint64_t offset, void *dst, size_t n,
		   struct err *err);
	int (*stat)(struct region *g, const char *key, uint64_t *ret_bytes, struct err *err);
	/* Every object whose key begins with @prefix (a directory, "packs/"), in any order. */
	int (*list)(struct region *g, const char *prefix, region_list_fn *fn, void *arg,
		    struct err *err);
	/* Absent is success; durable. */
	int (*remove)(struct region *g, const char *key, struct err *err);
	/* Move aside under "quarantine/"; never deletes. */
	int (*quarantine)(struct region *g, const char *key, struct err *err);
	/* An object that is built piece by piece, invisible until committed. */
	int (*put_begin)(struct region *g, struct region_put **ret, struct err *err);
	int (*put_add)(struct region_put *p, const void *src, size_t n, struct err *err);
	/* What was added, for the proof before the commit. */
	int (*put_read)(struct region_put *p, uint64_t offset, void *dst, size_t n,
			struct err *err);
	/* Durable under @key; -EEXIST leaves the old object, unless @replace: then a reader sees
	 * the old one or the new one, each whole. Ends @p in any case. */
	int (*put_commit)(struct region_put *p, const char *key, bool replace, struct err *err);
	void (*put_abort)(struct region_put *p);
	void (*free)(struct region *g);
};

struct region {
	const struct region_ops *ops;
	char *name; /* owned */
};

struct region_put {
	struct region *region;
};

struct region_options {
	bool read_only;
	struct journal *journal; /* scratch files; may be NULL */
};

/** region_open() - @url: "file:///path", an absolute path, or "azure-blob:///path" of a file that
 *  azure_open() reads; made when absent and writable. */
int region_open(const char *name, const char *url, const struct region_options *o,
		struct region **ret, struct err *err);
void region_free(struct region *g); /* NULL is fine */

int region_get(struct region *g, const char *key, uint64_t offset, void *dst, size_t n,
	       struct err *err);
int region_stat(struct region *g, const char *key, uint64_t *ret_bytes, struct err *err);
int region_list(struct region *g, const char *prefix, region_list_fn *fn, void *arg,
		struct err *err);
int region_remove(struct region *g, const char *key, struct err *err);
int region_quarantine(struct region *g, const char *key, struct err *err);
/** region_put_small() - a whole object; -EEXIST when the key is taken (nothing is changed). */
int region_put_small(struct region *g, const char *key, const void *p, size_t n, struct err *err);
int region_put_begin(struct region *g, struct region_put **ret, struct err *err);
int region_put_add(struct region_put *p, const void *src, size_t n, struct err *err);
int region_put_read(struct region_put *p, uint64_t offset, void *dst, size_t n, struct err *err);
int region_put_commit(struct region_put *p, const char *key, struct err *err);
/** region_put_replace() - the same, in the place of what is there. Only for what says the same in
 *  other bytes: objects are immutable. */
int region_put_replace(struct region_put *p, const char *key, struct err *err);
void region_put_abort(struct region_put *p); /* NULL is fine */

/* For backends. */

/** region_key_check() - keys come from our own code, but also from listings and rows: none may
 *  leave the region. 0 or -EINVAL. */
int region_key_check(const char *key, struct err *err);
/** region_format_text() - what a new region's object "format" says. region_format_check() - is
 *  @text of @where one that this program knows? -EBADMSG, -EPROTO (newer). */
const char *region_format_text(void);
int region_format_check(const char *where, const char *text, struct err *err);

/* region_azure.c */
int region_azure_open(const char *path, const struct region_options *o, struct region **ret,
		      struct err *err);
/* region_dir.c */
int region_dir_open(const char *path, const struct region_options *o, struct region **ret,
		    struct err *err);

#endif
