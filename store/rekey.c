/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another key for a region: the new key stands first in its source, the old one below. Every data
 * key is wrapped anew and every small object sealed anew; frames stay as they are. A pack takes the
 * place of the old one whole, so that a crash leaves either; run again, it goes on.
 */
#include "base/mem.h"
#include "store/internal.h"
#include "store/maintain.h"

#define STEP_BYTES (1u << 20)
#define OBJECT_MAX (JSON_MAX_BYTES + 1)

struct rekey {
	struct store_region *g;
	struct cancel *cancel;
	struct store_rekey_result *ret;
	uint8_t *buf; /* STEP_BYTES */
	struct err *err;
};

/* Adds [@at, @end) of @key to @p and to @sum. */
static int copy_range(struct rekey *k, struct region_put *p, struct sha256_ctx *sum,
		      const char *key, uint64_t at, uint64_t end)
{
	int r = 0;

	while (at < end && r >= 0) {
		size_t n = end - at < STEP_BYTES ? (size_t) (end - at) : STEP_BYTES;

		r = cancel_check(k->cancel);
		if (r < 0)
			return err_set(k->err, r, "cancelled");
		r = region_get(k->g->region, key, at, k->buf, n, k->err);
		if (r >= 0)
			r = region_put_add(p, k->buf, n, k->err);
		if (r >= 0)
			sha256_add(sum, k->buf, n);
		at += n;
	}
	return r;
}

/* Are the bytes that the region now holds those that were written? */
static int prove(struct rekey *k, struct region_put *p, uint64_t bytes, const struct digest *want)
{
	struct sha256_ctx *sum = sha256_new();
	struct digest got;
	int r = sum ? 0 : err_set(k->err, -ENOMEM, "out of memory");

	for (uint64_t at = 0; at < bytes && r >= 0;) {
		size_t n = bytes - at < STEP_BYTES ? (size_t) (bytes - at) : STEP_BYTES;

		r = region_put_read(p, at, k->buf, n, k->err);
		if (r >= 0)
			sha256_add(sum, k->buf, n);
		at += n;
	}
	if (!sum)
		return r;
	sha256_end(sum, &got);
	return r < 0 || digest_eq(&got, want)
		       ? r
		       : err_set(k->err, -EBADMSG, "a pack reads back differently");
}

/* The pack's bytes with another header, and the footer that belongs to it. */
static int write_pack(struct rekey *k, struct region_put *p, const char *key,
		      const struct pack_index *x, uint64_t trailer)
{
	size_t raw_n = pack_entries_bytes(x->header.flags, x->n);
	uint8_t head[PACK_HEADER_BYTES], foot[PACK_FOOTER_BYTES];
	auto_free uint8_t *raw = malloc(raw_n);
	struct sha256_ctx *sum = sha256_new();
	struct digest want;
	int r = raw && sum ? 0 : err_set(k->err, -ENOMEM, "out of memory");

	pack_header_encode(&x->header, head);
	if (r >= 0)
		r = region_get(k->g->region, key, trailer, raw, raw_n, k->err);
	if (r >= 0)
		r = region_put_add(p, head, sizeof(head), k->err);
	if (r >= 0) {
		sha256_add(sum, head, sizeof(head));
		r = copy_range(k, p, sum, key, PACK_HEADER_BYTES, trailer);
	}
	if (r >= 0)
		r = region_put_add(p, raw, raw_n, k->err);
	if (r >= 0) {
		pack_footer_encode(head, raw, x->n, trailer, foot);
		r = region_put_add(p, foot, sizeof(foot), k->err);
	}
	if (r < 0) {
		sha256_free(sum);
		return r;
	}
	sha256_add(sum, raw, raw_n);
	sha256_add(sum, foot, sizeof(foot));
	sha256_end(sum, &want);
	return prove(k, p, x->bytes, &want);
}

static int rekey_pack(void *arg, const char *key, uint64_t bytes)
{
	struct rekey *k = arg;
	auto_pack_index struct pack_index x = {0};
	struct region_put *p = NULL;
	struct pack_id id;
	int r;

	if (pack_id_of_key(key, &id) < 0)
		return 0;
	r = pack_index_load(k->g, &id, &x, k->err);
	if (r == -EBADMSG || r == -ENOENT || r == -ENODATA) {
		err_done(k->err);
		k->ret->damaged += r != -ENOENT; /* left to check; -ENOENT: removed meanwhile */
		return 0;
	}
	if (r >= 0)
		r = keyring_rewrap(region_keys(k->g), &x.header, k->err);
	if (r <= 0) {
		k->ret->packs_kept += r == 0;
		return r;
	}
	r = region_put_begin(k->g->region, &p, k->err);
	if (r < 0)
		return r;
	r = write_pack(k, p, key, &x,
		       x.bytes - PACK_FOOTER_BYTES - pack_entries_bytes(x.header.flags, x.n));
	if (r < 0) {
		region_put_abort(p);
		return r;
	}
	r = region_put_replace(p, key, k->err);
	k->ret->packs += r >= 0;
	return r;
}

static int rekey_object(void *arg, const char *key, uint64_t bytes)
{
	struct rekey *k = arg;
	auto_buf struct buf b = BUF_INIT(OBJECT_MAX);
	struct region_put *p = NULL;
	bool current;
	int r = cancel_check(k->cancel);

	if (r < 0)
		return err_set(k->err, r, "cancelled");
	r = region_object_get(k->g, key, &b, &current, k->err);
	if (r == -EBADMSG || r == -ENOENT) {
		err_done(k->err);
		k->ret->damaged += r == -EBADMSG;
		return 0;
	}
	if (r < 0 || current)
		return r;
	r = region_put_begin(k->g->region, &p, k->err);
	if (r < 0)
		return r;
	r = region_object_add(k->g, p, key, b.data, b.len, k->err);
	if (r < 0) {
		region_put_abort(p);
		return r;
	}
	r = region_put_replace(p, key, k->err);
	k->ret->objects += r >= 0;
	return r;
}

/* The sign that the region is encrypted comes last: until then both keys are needed. */
static int rekey_all(struct rekey *k)
{
	static const char *const small[] = {"manifests/", "catalog/", "statements/"};
	int r = region_list(k->g->region, "packs/", rekey_pack, k, k->err);

	for (size_t i = 0; i < ARRAY_SIZE(small) && r >= 0; i++)
		r = region_list(k->g->region, small[i], rekey_object, k, k->err);
	return r < 0 ? r : rekey_object(k, REGION_DOMAIN_KEY, 0);
}

int store_rekey(struct store *s, unsigned region, struct cancel *cancel,
		struct store_rekey_result *ret, struct err *err)
{
	auto_err struct err own = ERR_INIT;
	auto_free uint8_t *buf = malloc(STEP_BYTES);
	struct rekey k = {.cancel = cancel, .ret = ret, .buf = buf, .err = &own};
	struct store_session *ss = NULL;
	int r = store_region_check(s, region, err);

	*ret = (struct store_rekey_result){0};
	if (r < 0)
		return r;
	k.g = &s->regions[region];
	if (!k.g->crypt)
		return err_set(err, -EINVAL, "region %s is not encrypted",
			       region_name_of(s, region));
	if (s->read_only || !buf)
		return err_set(err, s->read_only ? -EROFS : -ENOMEM, "rekey");
	/* A collection would remove packs that this is about to put in place again. */
	r = session_alone(s, region, "rekey", &ss, NULL, &own);
	if (r >= 0)
		r = rekey_all(&k);
	store_session_end(ss);
	if (r < 0 && err)
		err_move(err, &own);
	return r < 0 ? err_ctx(err, r, "rekey") : 0;
}
