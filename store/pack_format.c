/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pack_format.h"

#include "base/buf.h"
#include "base/mem.h"
#include "store/node.h"

static const uint8_t head_magic[8] = {'K', 'I', 'L', 'N', 'P', 'A', 'C', 'K'};
static const uint8_t foot_magic[8] = {'K', 'I', 'L', 'N', 'T', 'R', 'L', 'R'};

static uint32_t version_of(uint32_t flags)
{
	return flags & PACK_FLAG_ENCRYPTED ? PACK_VERSION_SEALED : PACK_VERSION;
}

void pack_header_encode(const struct pack_header *h, uint8_t dst[PACK_HEADER_BYTES])
{
	memset(dst, 0, PACK_HEADER_BYTES);
	memcpy(dst, head_magic, sizeof(head_magic));
	put_le32(dst + 8, version_of(h->flags));
	put_le32(dst + 12, h->flags);
	memcpy(dst + 16, h->id.b, PACK_ID_BYTES);
	memcpy(dst + 32, h->key_id, sizeof(h->key_id));
	memcpy(dst + 48, h->wrapped_key, sizeof(h->wrapped_key));
	dst[108] = h->effort;
}

int pack_header_parse(const uint8_t src[PACK_HEADER_BYTES], struct pack_header *ret,
		      struct err *err)
{
	struct cursor c = {src, PACK_HEADER_BYTES};
	uint8_t magic[8];
	uint32_t version;

	(void) cursor_bytes(&c, magic, sizeof(magic));
	(void) cursor_le32(&c, &version);
	(void) cursor_le32(&c, &ret->flags);
	(void) cursor_bytes(&c, ret->id.b, PACK_ID_BYTES);
	(void) cursor_bytes(&c, ret->key_id, sizeof(ret->key_id));
	(void) cursor_bytes(&c, ret->wrapped_key, sizeof(ret->wrapped_key));
	(void) cursor_bytes(&c, &ret->effort, 1);
	if (memcmp(magic, head_magic, sizeof(magic)) != 0)
		return err_set(err, -EBADMSG, "pack header: not a pack");
	if (version != PACK_VERSION && version != PACK_VERSION_SEALED)
		return err_set(err, -EPROTO, "pack header: version %u, this program knows 1 and %u",
			       version, PACK_VERSION_SEALED);
	if (ret->flags != (version == PACK_VERSION_SEALED ? PACK_FLAG_ENCRYPTED : 0))
		return err_set(err, -EPROTO, "pack header: unknown flags 0x%x", ret->flags);
	if (!bytes_zero(c.p, c.left))
		return err_set(err, -EBADMSG, "pack header: reserved bytes are not zero");
	return 0;
}

void pack_entry_encode(const struct pack_entry *e, uint8_t dst[PACK_ENTRY_BYTES])
{
	memcpy(dst, e->name.b, DIGEST_BYTES);
	put_le64(dst + 32, e->offset);
	put_le32(dst + 40, e->length);
	dst[44] = e->kind;
	dst[45] = e->encoding;
	dst[46] = e->level;
	dst[47] = 0;
}

static uint32_t raw_flags(const uint8_t *header)
{
	struct cursor c = {header + 12, 4};
	uint32_t flags = 0;

	(void) cursor_le32(&c, &flags);
	return flags;
}

static void footer_sum(const uint8_t *header, const uint8_t *entries, size_t n,
		       const uint8_t *footer, struct digest *ret)
{
	struct digest part[2];
	uint8_t rec[PACK_HEADER_BYTES + DIGEST_BYTES + 32];

	/* The entries may be large: hash them by themselves, then all parts together. */
	sha256(entries, n, &part[0]);
	memcpy(rec, header, PACK_HEADER_BYTES);
	memcpy(rec + PACK_HEADER_BYTES, part[0].b, DIGEST_BYTES);
	memcpy(rec + PACK_HEADER_BYTES + DIGEST_BYTES, footer, 32);
	sha256(rec, sizeof(rec), ret);
}

void pack_footer_encode(const uint8_t header[PACK_HEADER_BYTES], const uint8_t *entries,
			uint32_t count, uint64_t trailer_offset, uint8_t dst[PACK_FOOTER_BYTES])
{
	struct digest sum;

	memset(dst, 0, PACK_FOOTER_BYTES);
	memcpy(dst, foot_magic, sizeof(foot_magic));
	put_le32(dst + 8, version_of(raw_flags(header)));
	put_le32(dst + 12, count);
	put_le64(dst + 16, trailer_offset);
	footer_sum(header, entries, pack_entries_bytes(raw_flags(header), count), dst, &sum);
	memcpy(dst + 32, sum.b, DIGEST_BYTES);
}

int pack_footer_parse(const uint8_t src[PACK_FOOTER_BYTES], uint64_t pack_bytes, uint32_t flags,
		      uint32_t *ret_count, uint64_t *ret_offset, struct err *err)
{
	struct cursor c = {src, PACK_FOOTER_BYTES};
	uint8_t magic[8];
	uint32_t version;
	uint64_t zero;

	(void) cursor_bytes(&c, magic, sizeof(magic));
	(void) cursor_le32(&c, &version);
	(void) cursor_le32(&c, ret_count);
	(void) cursor_le64(&c, ret_offset);
	(void) cursor_le64(&c, &zero);
	if (memcmp(magic, foot_magic, sizeof(magic)) != 0)
		return err_set(err, -EBADMSG,
			       "pack trailer: absent, the pack is cut short or "
			       "damaged");
	if (version != version_of(flags))
		return err_set(err, -EPROTO, "pack trailer: version %u, its header asks for %u",
			       version, version_of(flags));
	if (zero != 0 || *ret_count < 1 || *ret_count > PACK_MAX_FRAMES ||
	    pack_bytes > PACK_MAX_BYTES || *ret_offset < PACK_HEADER_BYTES ||
	    *ret_offset > pack_bytes ||
	    pack_bytes - *ret_offset != pack_entries_bytes(flags, *ret_count) + PACK_FOOTER_BYTES)
		return err_set(err, -EBADMSG,
			       "pack trailer: %u entries at byte %llu do not fit a "
			       "pack of %llu bytes",
			       *ret_count, (unsigned long long) *ret_offset,
			       (unsigned long long) pack_bytes);
	return 0;
}

int pack_entries_check(const uint8_t header[PACK_HEADER_BYTES], const uint8_t *entries, size_t n,
		       const uint8_t footer[PACK_FOOTER_BYTES], struct err *err)
{
	struct digest sum;

	footer_sum(header, entries, n, footer, &sum);
	if (memcmp(sum.b, footer + 32, DIGEST_BYTES) != 0)
		return err_set(err, -EBADMSG, "pack trailer: checksum is wrong");
	return 0;
}

int pack_entry_parse(const uint8_t *entries, uint32_t index, uint64_t trailer_offset,
		     uint64_t *io_offset, struct pack_entry *ret, struct err *err)
{
	struct cursor c = {entries + (size_t) index * PACK_ENTRY_BYTES, PACK_ENTRY_BYTES};
	uint8_t b[4];
	bool ok;

	(void) cursor_bytes(&c, ret->name.b, DIGEST_BYTES);
	(void) cursor_le64(&c, &ret->offset);
	(void) cursor_le32(&c, &ret->length);
	(void) cursor_bytes(&c, b, sizeof(b));
	ret->kind = b[0];
	ret->encoding = b[1];
	ret->level = b[2];
	ok = b[3] == 0 && ret->offset == *io_offset && ret->length > 0 &&
	     ret->length <= FRAME_MAX + PACK_TAG_BYTES && !digest_is_zero(&ret->name) &&
	     range_ok(ret->offset, ret->length, trailer_offset);
	if (ret->kind == FRAME_CHUNK)
		ok = ok && ret->encoding <= FRAME_ZSTD && ret->level == 0;
	else
		ok = ok && ret->kind == FRAME_NODE && ret->encoding <= FRAME_DELTA &&
		     ret->level <= NODE_LEVEL_MAX;
	if (!ok)
		return err_set(err, -EBADMSG, "pack trailer: entry %u is malformed", index);
	*io_offset += ret->length;
	return 0;
}

int pack_parse(const uint8_t *p, size_t n, struct pack_header *ret, pack_entry_fn *fn, void *arg,
	       struct err *err)
{
	uint64_t trailer, at = PACK_HEADER_BYTES;
	uint32_t count;
	int r;

	if (n < PACK_HEADER_BYTES + PACK_FOOTER_BYTES)
		return err_set(err, -EBADMSG, "pack of %zu bytes is too short", n);
	r = pack_header_parse(p, ret, err);
	if (r < 0)
		return r;
	r = pack_footer_parse(p + n - PACK_FOOTER_BYTES, n, ret->flags, &count, &trailer, err);
	if (r < 0)
		return r;
	r = pack_entries_check(p, p + trailer, pack_entries_bytes(ret->flags, count),
			       p + n - PACK_FOOTER_BYTES, err);
	if (r == 0 && (ret->flags & PACK_FLAG_ENCRYPTED))
		return 0;
	for (uint32_t i = 0; i < count && r == 0; i++) {
		struct pack_entry e;

		r = pack_entry_parse(p + trailer, i, trailer, &at, &e, err);
		if (r == 0 && fn)
			r = fn(arg, i, &e);
	}
	if (r == 0 && at != trailer)
		r = err_set(err, -EBADMSG, "pack trailer: %llu bytes belong to no frame",
			    (unsigned long long) (trailer - at));
	return r;
}
