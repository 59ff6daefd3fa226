/* SPDX-License-Identifier: Apache-2.0 */
#include "store/node.h"

#include "base/buf.h"
#include "base/mem.h"

#define NODE_MAGIC "kiln-node" /* its NUL is part of the hashed bytes */
#define DISK_MAGIC "kiln-disk"

void node_name(const struct node *n, unsigned level, struct digest *ret)
{
	uint8_t rec[sizeof(NODE_MAGIC) + 2 + NODE_BYTES];

	if (bytes_zero(n, sizeof(*n))) {
		memset(ret, 0, sizeof(*ret));
		return;
	}
	memcpy(rec, NODE_MAGIC, sizeof(NODE_MAGIC));
	rec[sizeof(NODE_MAGIC)] = NODE_VERSION;
	rec[sizeof(NODE_MAGIC) + 1] = (uint8_t) level;
	memcpy(rec + sizeof(NODE_MAGIC) + 2, n, NODE_BYTES);
	sha256(rec, sizeof(rec), ret);
}

void disk_ref_make(const struct digest *root, uint64_t size_bytes, struct disk_ref *ret)
{
	uint8_t rec[sizeof(DISK_MAGIC) + 1 + 8 + 4 + DIGEST_BYTES];
	uint8_t *p = rec + sizeof(DISK_MAGIC);

	memcpy(rec, DISK_MAGIC, sizeof(DISK_MAGIC));
	*p++ = NODE_VERSION;
	put_le64(p, size_bytes);
	put_le32(p + 8, CHUNK_BYTES);
	memcpy(p + 12, root->b, DIGEST_BYTES);
	ret->root = *root;
	ret->size_bytes = size_bytes;
	sha256(rec, sizeof(rec), &ret->digest);
}

json_t *disk_ref_to_json(const struct disk_ref *d)
{
	char digest[DIGEST_HEX], root[DIGEST_HEX];

	digest_hex(&d->digest, digest);
	digest_hex(&d->root, root);
	return json_pack("{s:o*, s:o*, s:I}", "digest", json_strf("sha256:%s", digest), "root",
			 json_strf("sha256:%s", root), "sizeBytes", (json_int_t) d->size_bytes);
}

int disk_ref_from_json(const json_t *j, struct disk_ref *ret, struct err *err)
{
	const char *digest = json_str_at(j, "digest"), *root = json_str_at(j, "root");
	int64_t size = json_int_at(j, "sizeBytes", -1);
	struct digest want, top;

	if (!digest || !root || digest_parse(digest, &want) < 0 || digest_parse(root, &top) < 0)
		return err_set(
			err, -EINVAL,
			"disk: \"digest\" and \"root\" must be \"sha256:\" and 64 hex digits");
	if (size < 0 || (uint64_t) size > DISK_MAX_BYTES || size % 512 != 0)
		return err_set(err, -EINVAL,
			       "disk: \"sizeBytes\" must be a multiple of 512 up to 2^60, not %lld",
			       (long long) size);
	disk_ref_make(&top, (uint64_t) size, ret);
	if (!digest_eq(&ret->digest, &want))
		return err_set(err, -EBADMSG,
			       "disk: digest %s does not belong to root %s and size "
			       "%lld",
			       digest, root, (long long) size);
	return 0;
}

uint64_t tree_span(unsigned level)
{
	uint64_t n = TREE_FANOUT;

	while (level-- > 0)
		n *= TREE_FANOUT;
	return n;
}

unsigned tree_level(uint64_t size_bytes)
{
	uint64_t n = disk_chunks(size_bytes);
	unsigned level = 0;

	while (tree_span(level) < n)
		level++;
	return level;
}

size_t delta_encode(const struct node *n, const struct node *base, const struct digest *base_name,
		    unsigned base_depth, uint8_t *dst)
{
	size_t len = DELTA_HEAD_BYTES;
	unsigned count = 0;

	if (base_depth >= DELTA_DEPTH_MAX || digest_is_zero(base_name))
		return 0;
	for (unsigned i = 0; i < TREE_FANOUT; i++) {
		if (digest_eq(&n->names[i], &base->names[i]))
			continue;
		if (len + DELTA_ITEM_BYTES > DELTA_MAX_BYTES)
			return 0;
		dst[len] = (uint8_t) i;
		dst[len + 1] = (uint8_t) (i >> 8);
		memcpy(dst + len + 2, n->names[i].b, DIGEST_BYTES);
		len += DELTA_ITEM_BYTES;
		count++;
	}
	if (count == 0)
		return 0;
	memcpy(dst, base_name->b, DIGEST_BYTES);
	dst[32] = (uint8_t) (base_depth + 1);
	dst[33] = 0;
	dst[34] = (uint8_t) count;
	dst[35] = (uint8_t) (count >> 8);
	return len;
}

/* Reads the head and checks that the items fill the frame exactly. */
static int delta_open(struct cursor *c, struct digest *ret_base, unsigned *ret_depth,
		      unsigned *ret_count)
{
	uint8_t b[2];
	uint16_t count;

	if (!cursor_bytes(c, ret_base->b, DIGEST_BYTES) || !cursor_bytes(c, b, 2) ||
	    !cursor_le16(c, &count))
		return -EBADMSG;
	if (b[0] < 1 || b[0] > DELTA_DEPTH_MAX || b[1] != 0 || count < 1 || count > TREE_FANOUT ||
	    c->left != (size_t) count * DELTA_ITEM_BYTES || digest_is_zero(ret_base))
		return -EBADMSG;
	*ret_depth = b[0];
	*ret_count = count;
	return 0;
}

int delta_head(const void *src, size_t n, struct digest *ret_base, unsigned *ret_depth)
{
	struct cursor c = {src, n};
	unsigned count;

	return delta_open(&c, ret_base, ret_depth, &count);
}

int delta_apply(const void *src, size_t n, struct node *io)
{
	struct cursor c = {src, n};
	struct digest base;
	unsigned depth, count;
	int last = -1, r;

	r = delta_open(&c, &base, &depth, &count);
	for (; r == 0 && count > 0; count--) {
		uint16_t i;

		if (!cursor_le16(&c, &i) || i <= last || i >= TREE_FANOUT ||
		    !cursor_bytes(&c, io->names[i].b, DIGEST_BYTES))
			return -EBADMSG;
		last = i;
	}
	return r;
}
