/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a pack: header, frames, trailer. Pure encoders and parsers of untrusted bytes;
 * docs/store-format.md, "Packs", is the specification.
 */
#ifndef KILN_STORE_PACK_FORMAT_H
#define KILN_STORE_PACK_FORMAT_H

#include "meta/packs.h"
#include "store/chunk.h"

#define PACK_VERSION        1 /* plain */
#define PACK_VERSION_SEALED 2 /* frames and entries encrypted */
#define PACK_HEADER_BYTES   128u
#define PACK_ENTRY_BYTES    48u
#define PACK_FOOTER_BYTES   64u
#define PACK_WRAPPED_BYTES  60u         /* nonce 12, key 32, tag 16 */
#define PACK_TARGET_BYTES   (32u << 20) /* a writer closes a pack past this */
#define PACK_MAX_FRAMES     (1u << 20)
#define PACK_MAX_BYTES      (UINT64_C(1) << 31) /* offsets fit 32 bits in the lookup */
#define PACK_FLAG_ENCRYPTED 1u
#define PACK_TAG_BYTES      16u /* after every encrypted frame, and after encrypted entries */

struct pack_header {
	struct pack_id id;
	uint32_t flags;
	uint8_t key_id[16];                      /* of the region key; zeros when not encrypted */
	uint8_t wrapped_key[PACK_WRAPPED_BYTES]; /* the pack's data key under it */
	uint8_t effort; /* zstd level that all its frames were tried with; 0 = not told */
};

struct pack_entry {
	struct digest name;
	uint64_t offset; /* of the stored frame in the pack */
	uint32_t length; /* stored bytes, tag included */
	uint8_t kind;    /* enum frame_kind */
	uint8_t encoding;
	uint8_t level; /* of a node; 0 for chunks */
};

void pack_header_encode(const struct pack_header *h, uint8_t dst[PACK_HEADER_BYTES]);
/** pack_header_parse() - 0, -EBADMSG, or -EPROTO for a newer version. */
int pack_header_parse(const uint8_t src[PACK_HEADER_BYTES], struct pack_header *ret,
		      struct err *err);

void pack_entry_encode(const struct pack_entry *e, uint8_t dst[PACK_ENTRY_BYTES]);
/** pack_entries_bytes() - what @count entries take where @flags are the header's. */
static inline size_t pack_entries_bytes(uint32_t flags, uint32_t count)
{
	return (size_t) count * PACK_ENTRY_BYTES +
	       (flags & PACK_FLAG_ENCRYPTED ? PACK_TAG_BYTES : 0);
}
/** pack_footer_encode() - @entries: the entries as they stand at @trailer_offset. */
void pack_footer_encode(const uint8_t header[PACK_HEADER_BYTES], const uint8_t *entries,
			uint32_t count, uint64_t trailer_offset, uint8_t dst[PACK_FOOTER_BYTES]);

/** pack_footer_parse() - where the entries are, from a pack's last bytes, its whole size and the
 *  flags of its header. */
int pack_footer_parse(const uint8_t src[PACK_FOOTER_BYTES], uint64_t pack_bytes, uint32_t flags,
		      uint32_t *ret_count, uint64_t *ret_offset, struct err *err);
/** pack_entries_check() - do header, @n bytes of entries and footer belong together (checksum)? */
int pack_entries_check(const uint8_t header[PACK_HEADER_BYTES], const uint8_t *entries, size_t n,
		       const uint8_t footer[PACK_FOOTER_BYTES], struct err *err);
/** pack_entry_parse() - @index-th entry; it must start at *@io_offset, which is moved past it. */
int pack_entry_parse(const uint8_t *entries, uint32_t index, uint64_t trailer_offset,
		     uint64_t *io_offset, struct pack_entry *ret, struct err *err);

/** pack_parse() - a whole pack in memory: every entry checked; calls @fn for each (may be NULL). Of
 *  an encrypted one only what stands outside of the encryption. For tools and fuzzing. */
typedef int pack_entry_fn(void *arg, uint32_t index, const struct pack_entry *e);
int pack_parse(const uint8_t *p, size_t n, struct pack_header *ret, pack_entry_fn *fn, void *arg,
	       struct err *err);

#endif
