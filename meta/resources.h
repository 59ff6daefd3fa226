/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources: JSON documents under a key (the lower-cased id). Every function is one statement and
 * joins the caller's transaction. Common errors: -EBUSY, -EIO, -ENOSPC, -ENOMEM, -EBADMSG (a row
 * that is no JSON).
 */
#ifndef KILN_META_RESOURCES_H
#define KILN_META_RESOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "meta/meta.h"

struct resource {
	char *key;  /* owned, like all */
	char *id;   /* with the case first given */
	char *type; /* lower-cased */
	char *sort; /* orders lists: the parent's key, '/', the type's sort key of the name */
	char *api_version; /* that created it: its defaults apply */
	int64_t revision;  /* of the last client-visible write; never used twice */
	int64_t changes;   /* writes of any kind: compare-and-swap */
	json_t *doc;
};
void resource_done(struct resource *r);
void resources_free(struct resource *r, size_t n);
#define auto_resource __attribute__((cleanup(resource_done)))

/* A row while a statement stands on it: everything is borrowed until the callback returns. */
struct db_row;
struct resource_row {
	const char *key, *id, *type, *sort, *api_version;
	int64_t revision, changes;
	const struct db_row *columns;
};
/* May query, but not begin a transaction. A non-zero return ends it and is returned. */
typedef int resource_row_fn(void *arg, const struct resource_row *row);

/** resource_row_doc() - parse the row's document; new reference. 0, -EBADMSG, -ENOMEM. */
int resource_row_doc(const struct resource_row *row, json_t **ret);
/** resource_look() - @fn sees the row. 0, -ENOENT, what @fn returned, or a common error. */
int resource_look(struct meta *m, const char *key, resource_row_fn *fn, void *arg, struct err *err);
/** resource_get() - 0, -ENOENT, or a common error. */
int resource_get(struct meta *m, const char *key, struct resource *ret, struct err *err);
/** resource_create() - sets @r->revision and @r->changes. -EEXIST when the key is taken. */
int resource_create(struct meta *m, struct resource *r, struct err *err);
/** resource_update() - document of the row as it was read (@r->changes); @revise raises the
 *  revision. -ESTALE when another write came between or the row is gone. */
int resource_update(struct meta *m, struct resource *r, bool revise, struct err *err);
/** resource_delete() - absent is success. */
int resource_delete(struct meta *m, const char *key, struct err *err);

struct resource_query {
	const char *type;  /* lower-cased; NULL = all types */
	const char *under; /* key of an ancestor; NULL or "" = everywhere */
	const char *named; /* those of @type (not NULL) with this name, @by_key; see names.h */
	const char *after; /* sort (by_key: key) of the last row of the page before; NULL = start */
	bool by_key;       /* ordered by key, not by sort */
	bool descending;   /* from the end; by key children come before what they are under */
	unsigned limit;    /* rows at most, 1..RESOURCE_PAGE_MAX */
};
#define RESOURCE_PAGE_MAX 1000

/** resource_scan() - @fn sees the rows of one page. 0, what @fn returned, or a common error. */
int resource_scan(struct meta *m, const struct resource_query *q, resource_row_fn *fn, void *arg,
		  struct err *err);
/** resource_list() - one page; *@ret is released with resources_free(). */
int resource_list(struct meta *m, const struct resource_query *q, struct resource **ret,
		  size_t *ret_n, struct err *err);
/** resource_any_under() - *@ret: is there a resource below @key? */
int resource_any_under(struct meta *m, const char *key, bool *ret, struct err *err);

#endif
