/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that resources are found by besides their key, kept beside the rows in the transactions
 * that write them, whoever writes: a public name, what must be unique in a gallery. Not unique by
 * themselves.
 */
#ifndef KILN_META_NAMES_H
#define KILN_META_NAMES_H

#include "meta/resources.h"

struct resource_naming {
	const char *type; /* lower-cased; NULL ends a list */
	/* The names of a resource, a vector for strv_free(), or NULL: none. 0 or -errno. Depends on
	 * nothing else. */
	int (*names)(const char *id, const json_t *doc, char ***ret);
};

/** meta_name() - from now on keep the names of these types (borrowed, as long as @m). What was
 *  written before there were names gets them now, once. Before other threads use @m. */
int meta_name(struct meta *m, const struct resource_naming *list, struct err *err);

#endif
