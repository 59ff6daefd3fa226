/* SPDX-License-Identifier: Apache-2.0 */
/* Packs as objects of a region: their keys and their checked trailers. */
#include "base/mem.h"
#include "store/internal.h"

#define PACK_DIR "packs/"
#define PACK_EXT ".pack"

void pack_key_of(const struct pack_id *id, char dst[REGION_KEY_MAX])
{
	char hex[PACK_ID_HEX];

	hex_encode(id->b, sizeof(id->b), hex);
	(void) snprintf(dst, REGION_KEY_MAX, PACK_DIR "%.2s/%s" PACK_EXT, hex, hex);
}

int pack_id_of_key(const char *key, struct pack_id *ret)
{
	const char *base = strrchr(key, '/');
	char hex[PACK_ID_HEX];

	if (!base || !str_starts(key, PACK_DIR) ||
	    strlen(base + 1) != PACK_ID_HEX - 1 + sizeof(PACK_EXT) - 1 || !str_ends(key, PACK_EXT))
		return -EINVAL;
	memcpy(hex, base + 1, PACK_ID_HEX - 1);
	hex[PACK_ID_HEX - 1] = '\0';
	return hex_decode(hex, ret->b, sizeof(ret->b));
}

void pack_index_done(struct pack_index *x)
{
	free(x->entries);
	x->entries = NULL;
	x->n = 0;
}

static int parse_entries(const uint8_t *raw, uint32_t n, uint64_t trailer, struct pack_entry *dst,
			 struct err *err)
{
	uint64_t at = PACK_HEADER_BYTES;

	for (uint32_t i = 0; i < n; i++) {
		int r = pack_entry_parse(raw, i, trailer, &at, &dst[i], err);
		if (r < 0)
			return r;
	}
	if (at != trailer)
		return err_set(err, -EBADMSG, "pack trailer: %llu bytes belong to no frame",
			       (unsigned long long) (trailer - at));
	return 0;
}

static uint32_t version_at(const uint8_t *p)
{
	struct cursor c = {p + 8, 4};
	uint32_t v = 0;

	(void) cursor_le32(&c, &v);
	return v;
}

/* A version or flag that this program does not know is a newer program's, unless head and foot
 * contradict each other: then it is damage. -EPROTO with @ret->n set: the checksum will tell. */
static int head_and_foot(const uint8_t *head, const uint8_t *foot, struct pack_index *ret,
			 uint64_t *ret_trailer, struct err *err)
{
	int h = pack_header_parse(head, &ret->header, err);
	uint32_t version = version_at(head);
	int f;

	if (h < 0 && h != -EPROTO)
		return h;
	if (h < 0 && version != version_at(foot))
		return err_set(err, -EBADMSG, "pack trailer: unlike its header");
	if (h < 0 && version <= PACK_VERSION_SEALED) /* then it is the flags that are strange */
		ret->header.flags = version == PACK_VERSION_SEALED ? PACK_FLAG_ENCRYPTED : 0;
	f = pack_footer_parse(foot, ret->bytes, ret->header.flags, &ret->n, ret_trailer,
			      h < 0 ? NULL : err);
	if (h >= 0)
		return f == -EPROTO ? err_ctx(err, -EBADMSG, "unlike its header") : f;
	if (f < 0)
		ret->n = 0;
	return f == -EBADMSG ? err_set(err, f, "pack trailer: damaged") : h;
}

/* What stands between frames and footer, to entries: in the clear, and each as it must be. */
static int open_entries(struct store_region *g, struct pack_index *x, uint8_t *raw,
			uint64_t trailer, struct err *err)
{
	uint8_t key[AEAD_KEY_BYTES];
	int r = region_key_of(g, &x->header, key, err);

	if (r <= 0) /* plain */
		return r < 0 ? r : parse_entries(raw, x->n, trailer, x->entries, err);
	r = pack_open(key, &x->header.id, PACK_INDEX_FRAME, NULL, raw,
		      pack_entries_bytes(x->header.flags, x->n), raw);
	mem_wipe(key, sizeof(key));
	if (r < 0)
		return err_set(err, r, "its entries cannot be decrypted: %s", strerror(-r));
	return parse_entries(raw, x->n, trailer, x->entries, err);
}

int pack_index_load(struct store_region *sr, const struct pack_id *id, struct pack_index *ret,
		    struct err *err)
{
	struct region *g = sr->region;
	uint8_t head[PACK_HEADER_BYTES], foot[PACK_FOOTER_BYTES];
	auto_free uint8_t *raw = NULL;
	char key[REGION_KEY_MAX];
	uint64_t trailer = 0;
	size_t raw_n;
	bool strange;
	int r;

	*ret = (struct pack_index){0};
	pack_key_of(id, key);
	r = region_stat(g, key, &ret->bytes, err);
	if (r < 0)
		return r;
	if (ret->bytes < PACK_HEADER_BYTES + PACK_FOOTER_BYTES)
		return err_set(err, -EBADMSG, "%s: %llu bytes are too few for a pack", key,
			       (unsigned long long) ret->bytes);
	r = region_get(g, key, 0, head, sizeof(head), err);
	if (r >= 0)
		r = region_get(g, key, ret->bytes - sizeof(foot), foot, sizeof(foot), err);
	if (r >= 0)
		r = head_and_foot(head, foot, ret, &trailer, err);
	if (r >= 0 && memcmp(&ret->header.id, id, sizeof(*id)) != 0)
		r = err_set(err, -EBADMSG, "its header has another id");
	strange = r == -EPROTO;
	if (r < 0 && !strange) {
		ret->n = 0; /* the footer's count was not to be believed */
		return err_ctx(err, r, "%s", key);
	}
	if (ret->n == 0)
		return err_ctx(err, r, "%s", key);
	raw_n = pack_entries_bytes(ret->header.flags, ret->n);
	raw = malloc(raw_n);
	ret->entries = reallocarray(NULL, ret->n, sizeof(*ret->entries));
	r = raw && ret->entries ? 0 : err_set(err, -ENOMEM, "out of memory");
	if (r >= 0)
		r = region_get(g, key, trailer, raw, raw_n, err);
	if (r >= 0)
		r = pack_entries_check(head, raw, raw_n, foot, err);
	if (r >= 0 && strange)
		r = pack_header_parse(head, &ret->header, err); /* it is as it was written */
	if (r >= 0)
		r = open_entries(sr, ret, raw, trailer, err);
	if (r < 0) {
		pack_index_done(ret);
		return err_ctx(err, r, "%s", key);
	}
	return 0;
}

int pack_effort(struct store_region *sr, const struct pack_id *id, unsigned *ret)
{
	uint8_t raw[PACK_HEADER_BYTES];
	struct pack_header h = {0};
	char key[REGION_KEY_MAX];
	int r;

	pack_key_of(id, key);
	r = region_get(sr->region, key, 0, raw, sizeof(raw), NULL);
	if (r >= 0)
		r = pack_header_parse(raw, &h, NULL);
	if (r >= 0)
		*ret = h.effort;
	return r;
}
