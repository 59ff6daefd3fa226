/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region is encrypted wholly or not at all. The sealed object "domain" says that it is: without
 * the right key it does not open, so a missing or another key is known before anything is read or
 * written. Data keys of packs that were read lately are kept unwrapped.
 */
#include "base/mem.h"
#include "store/internal.h"

#define REGION_DOMAIN_KEY "domain"
#define DOMAIN_MAX        4096
#define DATA_KEYS         128
#define OBJECT_MAX        (JSON_MAX_BYTES + 1)

struct data_key {
	struct pack_id id; /* zero = free */
	uint8_t key[AEAD_KEY_BYTES];
};

struct region_crypt {
	struct keyring *keys;
	pthread_mutex_t lock;             /* guards what follows */
	struct data_key known[DATA_KEYS]; /* by the id's first bytes; a later one takes the place */
};

void region_crypt_close(struct store_region *g)
{
	struct region_crypt *c = g->crypt;

	if (!c)
		return;
	keyring_free(c->keys);
	(void) pthread_mutex_destroy(&c->lock);
	mem_wipe(c, sizeof(*c));
	free(c);
	g->crypt = NULL;
}

const struct keyring *region_keys(const struct store_region *g)
{
	return g->crypt ? g->crypt->keys : NULL;
}

int region_key_of(struct store_region *g, const struct pack_header *h, uint8_t ret[AEAD_KEY_BYTES],
		  struct err *err)
{
	char id[KEY_ID_HEX];
	int r;

	if (!(h->flags & PACK_FLAG_ENCRYPTED))
		return g->crypt ? err_set(err, -EBADMSG, "a plain pack in an encrypted region") : 0;
	if (g->crypt) {
		r = keyring_unwrap(g->crypt->keys, h, ret, err);
		return r < 0 ? r : 1;
	}
	hex_encode(h->key_id, KEY_ID_BYTES, id);
	(void) err_set(err, -ENOKEY, "encrypted with the key %s, and no key was given", id);
	return -ENOKEY;
}

static struct data_key *slot_of(struct region_crypt *c, const struct pack_id *id)
{
	return &c->known[id->b[0] % DATA_KEYS];
}

static bool key_known(struct region_crypt *c, const struct pack_id *id, uint8_t ret[AEAD_KEY_BYTES])
{
	const struct data_key *k = slot_of(c, id);
	bool found;

	pthread_mutex_lock(&c->lock);
	found = memcmp(&k->id, id, sizeof(*id)) == 0;
	if (found)
		memcpy(ret, k->key, AEAD_KEY_BYTES);
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void key_keep(struct region_crypt *c, const struct pack_id *id,
		     const uint8_t key[AEAD_KEY_BYTES])
{
	struct data_key *k = slot_of(c, id);

	pthread_mutex_lock(&c->lock);
	k->id = *id;
	memcpy(k->key, key, AEAD_KEY_BYTES);
	pthread_mutex_unlock(&c->lock);
}

/* The header alone, which nothing proves: a doubt is settled by the whole trailer. */
static int data_key(struct store_region *g, const struct pack_id *id, uint8_t ret[AEAD_KEY_BYTES],
		    struct err *err)
{
	uint8_t raw[PACK_HEADER_BYTES];
	auto_pack_index struct pack_index x = {0};
	struct pack_header h;
	char key[REGION_KEY_MAX];
	int r;

	if (key_known(g->crypt, id, ret))
		return 0;
	pack_key_of(id, key);
	r = region_get(g->region, key, 0, raw, sizeof(raw), err);
	if (r < 0)
		return r;
	r = pack_header_parse(raw, &h, NULL);
	if (r >= 0 && memcmp(&h.id, id, sizeof(*id)) != 0)
		r = -EBADMSG;
	if (r >= 0)
		r = region_key_of(g, &h, ret, NULL);
	if (r <= 0) {
		r = pack_index_load(g, id, &x, err);
		return r < 0 ? r : err_set(err, -EBADMSG, "%s: its data key does not open", key);
	}
	key_keep(g->crypt, id, ret);
	return 0;
}

int region_open_frame(struct store_region *g, const struct digest *name,
		      const struct frame_loc *loc, void *io, uint32_t *io_n, struct err *err)
{
	const struct pack_entry e = {
		.name = *name, .kind = loc->kind, .encoding = loc->encoding, .level = loc->level};
	uint8_t key[AEAD_KEY_BYTES];
	int r;

	if (*io_n <= PACK_TAG_BYTES)
		return err_set(err, -EBADMSG, "an encrypted frame of %u bytes is too short", *io_n);
	r = data_key(g, &loc->pack, key, err);
	if (r < 0)
		return r;
	r = pack_open(key, &loc->pack, loc->index, &e, io, *io_n, io);
	mem_wipe(key, sizeof(key));
	if (r < 0)
		return err_set(err, r, "a frame does not decrypt: %s", strerror(-r));
	*io_n -= PACK_TAG_BYTES;
	return 0;
}

int region_object_add(struct store_region *g, struct region_put *put, const char *key,
		      const void *p, size_t n, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(OBJECT_MAX + SEAL_EXTRA);
	int r;

	if (!g->crypt)
		return region_put_add(put, p, n, err);
	r = keyring_seal(g->crypt->keys, key, p, n, &b, err);
	return r < 0 ? r : region_put_add(put, b.data, b.len, err);
}

int region_object_put(struct store_region *g, const char *key, const void *p, size_t n,
		      struct err *err)
{
	struct region_put *put = NULL;
	int r = region_put_begin(g->region, &put, err);

	if (r < 0)
		return r;
	r = region_object_add(g, put, key, p, n, err);
	if (r < 0) {
		region_put_abort(put);
		return r;
	}
	return region_put_commit(put, key, err);
}

/* The bytes as the region has them. */
static int get_raw(struct region *g, const char *key, struct buf *out, struct err *err)
{
	uint64_t n;
	int r = region_stat(g, key, &n, err);

	if (r < 0)
		return r;
	if (n >= out->max)
		return err_set(err, -EFBIG, "%s: %llu bytes are too many", key,
			       (unsigned long long) n);
	r = buf_reserve(out, (size_t) n);
	if (r < 0)
		return err_set(err, r, "out of memory");
	r = region_get(g, key, 0, out->data + out->len, (size_t) n, err);
	if (r < 0)
		return r;
	out->len += (size_t) n;
	out->data[out->len] = '\0';
	return 0;
}

int region_object_get(struct store_region *g, const char *key, struct buf *out, bool *ret_current,
		      struct err *err)
{
	auto_buf struct buf raw = BUF_INIT(out->max + SEAL_EXTRA);
	int r;

	if (ret_current)
		*ret_current = true;
	if (!g->crypt)
		return get_raw(g->region, key, out, err);
	r = get_raw(g->region, key, &raw, err);
	if (r < 0)
		return r;
	if (ret_current)
		(void) keyring_sealed(g->crypt->keys, buf_str(&raw), raw.len, ret_current);
	return keyring_open(g->crypt->keys, key, buf_str(&raw), raw.len, out, err);
}

/* ---- The object "domain" -------------------------------------------------------------------- */

static int any_plain(void *arg, const char *key, uint64_t bytes)
{
	struct store_region *g = arg;
	uint8_t raw[PACK_HEADER_BYTES];
	struct pack_header h;
	struct pack_id id;

	if (pack_id_of_key(key, &id) < 0 ||
	    region_get(g->region, key, 0, raw, sizeof(raw), NULL) < 0 ||
	    pack_header_parse(raw, &h, NULL) < 0)
		return 0; /* damaged: says nothing */
	return h.flags & PACK_FLAG_ENCRYPTED ? -EALREADY : -EEXIST;
}

static int any_object(void *arg, const char *key, uint64_t bytes)
{
	return -EEXIST;
}

/* The object is not there or damaged. It is made anew, unless the region has plain content. */
static int domain_make(struct store_region *g, struct err *err)
{
	static const char text[] = "{\"encrypted\":true}";
	int r = region_list(g->region, "packs/", any_plain, g, NULL);

	if (r == 0)
		r = region_list(g->region, "catalog/", any_object, g, NULL);
	if (r == 0)
		r = region_list(g->region, "manifests/", any_object, g, NULL);
	if (r == -EEXIST) {
		(void) err_set(err, -EINVAL, "region %s was begun without encryption",
			       g->region->name);
		err_hint(err, "Replicate its content to a new region that has the key.");
		return -EINVAL;
	}
	if (r < 0 && r != -EALREADY)
		return err_set(err, r, "region %s: %s", g->region->name, strerror(-r));
	r = region_object_put(g, REGION_DOMAIN_KEY, text, strlen(text), err);
	return r == -EEXIST ? 0 : r; /* another process was first */
}

static int domain_check(struct store_region *g, bool read_only, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(DOMAIN_MAX);
	auto_err struct err own = ERR_INIT;
	int r = region_object_get(g, REGION_DOMAIN_KEY, &b, NULL, &own);

	if (r >= 0)
		return 0;
	if (r == -EBADMSG && !read_only)
		r = region_quarantine(g->region, REGION_DOMAIN_KEY, &own) < 0 ? r : -ENOENT;
	if (r == -ENOENT && !read_only)
		return domain_make(g, err);
	/* A reader goes by the packs themselves. */
	if (r == -ENOENT || r == -EBADMSG)
		return 0;
	if (err)
		err_move(err, &own);
	return r;
}

static int must_be_plain(struct store_region *g, struct err *err)
{
	uint64_t n;
	int r = region_stat(g->region, REGION_DOMAIN_KEY, &n, NULL);

	if (r < 0)
		return r == -ENOENT
			       ? 0
			       : err_set(err, r, "region %s: %s", g->region->name, strerror(-r));
	(void) err_set(err, -ENOKEY, "region %s is encrypted, and no key was given",
		       g->region->name);
	err_hint(err, "Give its key with --key-file, --key-command or, in kiln.yaml, "
		      "regions[].encryption.key.");
	return -ENOKEY;
}

int region_crypt_open(struct store_region *g, const char *source, bool read_only, struct err *err)
{
	struct region_crypt *c;
	int r;

	if (!source)
		return must_be_plain(g, err);
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	(void) pthread_mutex_init(&c->lock, NULL);
	g->crypt = c;
	r = keyring_load(source, &c->keys, err);
	if (r >= 0)
		r = domain_check(g, read_only, err);
	if (r < 0)
		region_crypt_close(g);
	return r < 0 ? err_ctx(err, r, "region %s: encryption", g->region->name) : 0;
}

bool store_region_encrypted(const struct store *s, unsigned region, char *ret_key_id)
{
	uint8_t id[KEY_ID_BYTES];

	if (region >= s->n_regions || !s->regions[region].crypt)
		return false;
	if (ret_key_id) {
		keyring_id(s->regions[region].crypt->keys, id);
		hex_encode(id, sizeof(id), ret_key_id);
	}
	return true;
}
