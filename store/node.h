/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree nodes: names, geometry, and the delta form in packs. Pure; see docs/store-format.md,
 * "Tree" and "Node deltas".
 */
#ifndef KILN_STORE_NODE_H
#define KILN_STORE_NODE_H

#include "store/chunk.h"

#define NODE_VERSION     1
#define NODE_LEVEL_MAX   4 /* 512^5 chunks of 64 KiB: far past any disk */
#define DELTA_DEPTH_MAX  6 /* nodes to read before a delta can be applied */
#define DELTA_HEAD_BYTES 36
#define DELTA_ITEM_BYTES 34
#define DELTA_MAX_BYTES  (NODE_BYTES / 2)

struct node {
	struct digest names[TREE_FANOUT];
};
_Static_assert(sizeof(struct node) == NODE_BYTES, "a node is its names and nothing else");

/** node_name() - the zero digest for a node of only zero names. */
void node_name(const struct node *n, unsigned level, struct digest *ret);

/** tree_level() - level of the root node of a disk of @size_bytes. */
unsigned tree_level(uint64_t size_bytes);
/** tree_span() - chunks under one node of @level. */
uint64_t tree_span(unsigned level);
/** disk_chunks() - number of chunks, the last one padded. */
static inline uint64_t disk_chunks(uint64_t size_bytes)
{
	return size_bytes / CHUNK_BYTES + (size_bytes % CHUNK_BYTES != 0);
}
/* Biggest disk: 2^60 bytes keeps all arithmetic on offsets far from overflow. */
#define DISK_MAX_BYTES (UINT64_C(1) << 60)

/** delta_encode() - @n as changes to @base into @dst[DELTA_MAX_BYTES]; 0 when it would not fit. */
size_t delta_encode(const struct node *n, const struct node *base, const struct digest *base_name,
		    unsigned base_depth, uint8_t *dst);
/** delta_head() - base and depth of a delta frame; -EBADMSG when malformed. */
int delta_head(const void *src, size_t n, struct digest *ret_base, unsigned *ret_depth);
/** delta_apply() - change @io (the base) into the node; -EBADMSG when malformed. */
int delta_apply(const void *src, size_t n, struct node *io);

#endif
