/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New packs. One pack is open at a time and filled under the writer's lock; the thread that
 * fills it up closes it outside the lock: trailer, read-back, fsync, rename, row and pin, lookup.
 * Until a closing pack is in the lookup its names are still found here, so that nothing is
 * written twice.
 */
#include "base/mem.h"
#include "store/internal.h"

#define BUFFER_BYTES (512u << 10)
#define PACK_FRAMES  (1u << 16) /* a pack of tiny frames is closed at this count */

struct open_pack {
	struct open_pack *next; /* in the list of closing packs */
	struct region_put *put;
	struct pack_header header;
	uint8_t key[AEAD_KEY_BYTES]; /* the data key of an encrypted pack */
	uint8_t *sealed;             /* room for one encrypted frame; NULL = plain */
	uint8_t head[PACK_HEADER_BYTES];
	uint8_t *buf;
	uint8_t *check; /* as big; NULL without read-back */
	size_t buf_n;
	uint64_t flushed; /* bytes that the region has */
	uint64_t bytes;   /* offset of the next frame */
	struct pack_entry *entries;
	uint32_t n, cap;
	uint32_t *slots; /* open addressing: entry index + 1; 0 = free */
	uint32_t n_slots;
};

struct writer {
	struct store_session *ss;
	unsigned region;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t closed;
	struct open_pack *open;
	struct open_pack *closing;
	unsigned n_closing;
	bool read_back;
	bool replace;
	uint8_t effort;
	int failed; /* first failure; then nothing more is written */
	char *failed_msg;
	uint64_t packs, stored_bytes;
};

static void pack_free(struct open_pack *p)
{
	if (!p)
		return;
	region_put_abort(p->put);
	free(p->buf);
	free(p->check);
	free(p->entries);
	free(p->slots);
	free(p->sealed);
	mem_wipe(p->key, sizeof(p->key));
	free(p);
}

int writer_new(struct store_session *ss, unsigned region, struct writer **ret, struct err *err)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	w->ss = ss;
	w->region = region;
	(void) pthread_mutex_init(&w->lock, NULL);
	(void) pthread_cond_init(&w->closed, NULL);
	*ret = w;
	return 0;
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	pack_free(w->open);
	(void) pthread_cond_destroy(&w->closed);
	(void) pthread_mutex_destroy(&w->lock);
	free(w->failed_msg);
	free(w);
}

static int pack_new(struct writer *w, struct open_pack **ret, struct err *err)
{
	struct store_region *g = &w->ss->store->regions[w->region];
	struct open_pack *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->n_slots = 4096;
	p->cap = 1024;
	p->slots = calloc(p->n_slots, sizeof(*p->slots));
	p->entries = reallocarray(NULL, p->cap, sizeof(*p->entries));
	p->buf = malloc(BUFFER_BYTES);
	p->check = w->read_back ? malloc(BUFFER_BYTES) : NULL;
	p->sealed = g->crypt ? malloc(FRAME_MAX + PACK_TAG_BYTES) : NULL;
	if ((g->crypt && !p->sealed) || !p->slots || !p->entries || !p->buf ||
	    (w->read_back && !p->check))
		r = err_set(err, -ENOMEM, "out of memory");
	else
		r = random_bytes(p->header.id.b, PACK_ID_BYTES);
	p->header.effort = w->effort;
	if (r >= 0)
		r = g->crypt ? keyring_new_pack(region_keys(g), &p->header, p->key, err) : 0;
	if (r >= 0)
		r = region_put_begin(g->region, &p->put, err);
	if (r < 0) {
		p->put = NULL;
		pack_free(p);
		return r;
	}
	pack_header_encode(&p->header, p->head);
	memcpy(p->buf, p->head, PACK_HEADER_BYTES);
	p->buf_n = p->bytes = PACK_HEADER_BYTES;
	*ret = p;
	return 0;
}

/* The bytes that the region holds are the bytes that were written. */
static int read_back(struct open_pack *p, struct err *err)
{
	int r = region_put_read(p->put, p->flushed, p->check, p->buf_n, err);

	if (r >= 0 && memcmp(p->buf, p->check, p->buf_n) != 0)
		r = err_set(err, -EBADMSG,
			    "a new pack reads back differently from what was "
			    "written: the disk or memory is faulty");
	return r;
}

static int pack_flush(struct open_pack *p, struct err *err)
{
	int r;

	if (p->buf_n == 0)
		return 0;
	r = region_put_add(p->put, p->buf, p->buf_n, err);
	if (r >= 0 && p->check)
		r = read_back(p, err);
	p->flushed += p->buf_n;
	p->buf_n = 0;
	return r;
}

static int pack_write(struct open_pack *p, const void *src, size_t n, struct err *err)
{
	const uint8_t *b = src;

	while (n > 0) {
		size_t k = BUFFER_BYTES - p->buf_n;
		int r;

		if (k > n)
			k = n;
		memcpy(p->buf + p->buf_n, b, k);
		p->buf_n += k;
		b += k;
		n -= k;
		if (p->buf_n < BUFFER_BYTES)
			continue;
		r = pack_flush(p, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static uint32_t slot_of(const struct open_pack *p, const struct digest *name)
{
	uint32_t h;

	memcpy(&h, name->b, sizeof(h));
	h &= p->n_slots - 1;
	while (p->slots[h] && !digest_eq(&p->entries[p->slots[h] - 1].name, name))
		h = (h + 1) & (p->n_slots - 1);
	return h;
}

/* Room for one more entry in the table and its index. */
static int pack_grow(struct open_pack *p)
{
	uint32_t *old = p->slots, *fresh;
	uint32_t cap = p->cap * 2;
	struct pack_entry *e;

	if (p->n < p->cap)
		return 0;
	e = reallocarray(p->entries, cap, sizeof(*e));
	if (!e)
		return -ENOMEM;
	p->entries = e;
	fresh = calloc((size_t) p->n_slots * 2, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	p->slots = fresh;
	p->n_slots *= 2;
	p->cap = cap;
	for (uint32_t i = 0; i < p->n; i++)
		p->slots[slot_of(p, &p->entries[i].name)] = i + 1;
	free(old);
	return 0;
}

static bool known_locked(const struct writer *w, const struct digest *name)
{
	if (w->open && w->open->slots[slot_of(w->open, name)])
		return true;
	for (const struct open_pack *p = w->closing; p; p = p->next)
		if (p->slots[slot_of(p, name)])
			return true;
	return false;
}

bool writer_has(struct writer *w, const struct digest *name)
{
	bool has;

	pthread_mutex_lock(&w->lock);
	has = known_locked(w, name);
	pthread_mutex_unlock(&w->lock);
	return has;
}

/* Trailer, proof, durable, row and pin, lookup. */
static int pack_finish(struct writer *w, struct open_pack *p, struct err *err)
{
	struct store_session *ss = w->ss;
	struct store_region *g = &ss->store->regions[w->region];
	size_t raw_n = pack_entries_bytes(p->header.flags, p->n);
	auto_free uint8_t *raw = malloc(raw_n);
	uint8_t foot[PACK_FOOTER_BYTES];
	uint64_t total = p->bytes + raw_n + sizeof(foot);
	struct region_put *put;
	char key[REGION_KEY_MAX];
	int r;

	if (!raw)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < p->n; i++)
		pack_entry_encode(&p->entries[i], raw + (size_t) i * PACK_ENTRY_BYTES);
	r = p->sealed ? pack_seal(p->key, &p->header.id, PACK_INDEX_FRAME, NULL, raw,
				  (size_t) p->n * PACK_ENTRY_BYTES, raw)
		      : 0;
	if (r < 0)
		return err_set(err, r, "cannot encrypt: %s", strerror(-r));
	pack_footer_encode(p->head, raw, p->n, p->bytes, foot);
	r = pack_write(p, raw, raw_n, err);
	if (r >= 0)
		r = pack_write(p, foot, sizeof(foot), err);
	if (r >= 0)
		r = pack_flush(p, err);
	if (r < 0)
		return r;
	pack_key_of(&p->header.id, key);
	put = take_ptr(p->put);
	r = region_put_commit(put, key, err);
	if (r >= 0)
		r = packs_add(ss->store->meta, &ss->key, g->region->name, &p->header.id, total,
			      p->n, err);
	if (r >= 0)
		r = session_pinned(ss, w->region, &p->header.id);
	if (r >= 0)
		r = lookup_add_pack(g->lookup, &p->header.id, p->entries, p->n, w->replace, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&w->lock);
	w->packs++;
	w->stored_bytes += total;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static int fail_locked(struct writer *w, int r, const struct err *err)
{
	if (w->failed == 0) {
		w->failed = r;
		w->failed_msg = strdup(err_str(err));
	}
	return r;
}

static int already_failed(const struct writer *w, struct err *err)
{
	return err_set(err, w->failed, "%s", w->failed_msg ? w->failed_msg : "writing failed");
}

/* Closes @p, which is in the closing list. */
static int close_pack(struct writer *w, struct open_pack *p, struct err *err)
{
	auto_err struct err own = ERR_INIT;
	int r = pack_finish(w, p, &own);

	pthread_mutex_lock(&w->lock);
	for (struct open_pack **q = &w->closing; *q; q = &(*q)->next) {
		if (*q == p) {
			*q = p->next;
			break;
		}
	}
	w->n_closing--;
	if (r < 0)
		(void) fail_locked(w, r, &own);
	pthread_cond_broadcast(&w->closed);
	pthread_mutex_unlock(&w->lock);
	pack_free(p);
	if (r < 0 && err)
		err_move(err, &own);
	return r;
}

/* With the lock held: moves the open pack to the closing list. */
static struct open_pack *detach(struct writer *w)
{
	struct open_pack *p = take_ptr(w->open);

	p->next = w->closing;
	w->closing = p;
	w->n_closing++;
	return p;
}

static int append_locked(struct writer *w, const struct new_frame *f, struct err *err)
{
	struct open_pack *p;
	struct pack_entry e;
	int r = 0;

	if (!w->open)
		r = pack_new(w, &w->open, err);
	if (r < 0)
		return r;
	p = w->open;
	if (pack_grow(p) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	e = (struct pack_entry){
		.name = f->name,
		.offset = p->bytes,
		.length = f->n,
		.kind = (uint8_t) f->kind,
		.encoding = (uint8_t) f->encoding,
		.level = (uint8_t) f->level,
	};
	if (p->sealed) {
		r = pack_seal(p->key, &p->header.id, p->n, &e, f->bytes, f->n, p->sealed);
		if (r < 0)
			return err_set(err, r, "cannot encrypt: %s", strerror(-r));
		e.length += PACK_TAG_BYTES;
	}
	r = pack_write(p, p->sealed ? p->sealed : f->bytes, e.length, err);
	if (r < 0)
		return r;
	p->entries[p->n] = e;
	p->slots[slot_of(p, &f->name)] = p->n + 1;
	p->n++;
	p->bytes += e.length;
	return 0;
}

int writer_add(struct writer *w, const struct new_frame *f, bool *ret_added, struct err *err)
{
	struct open_pack *full = NULL;
	int r = 0;

	*ret_added = false;
	pthread_mutex_lock(&w->lock);
	if (w->failed < 0) {
		r = already_failed(w, err);
	} else if (!known_locked(w, &f->name)) {
		r = append_locked(w, f, err);
		if (r < 0)
			(void) fail_locked(w, r, err);
		else
			*ret_added = true;
	}
	if (r >= 0 && w->open && (w->open->bytes >= PACK_TARGET_BYTES || w->open->n >= PACK_FRAMES))
		full = detach(w);
	pthread_mutex_unlock(&w->lock);
	return full ? close_pack(w, full, err) : r;
}

int writer_flush(struct writer *w, struct err *err)
{
	struct open_pack *last = NULL;
	int r = 0;

	pthread_mutex_lock(&w->lock);
	if (w->open && w->failed == 0)
		last = detach(w);
	pthread_mutex_unlock(&w->lock);
	if (last)
		r = close_pack(w, last, err);
	pthread_mutex_lock(&w->lock);
	while (w->n_closing > 0)
		pthread_cond_wait(&w->closed, &w->lock);
	if (r >= 0 && w->failed < 0)
		r = already_failed(w, err);
	pthread_mutex_unlock(&w->lock);
	return r;
}

void writer_read_back(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->read_back = true;
	pthread_mutex_unlock(&w->lock);
}

void writer_replace(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->replace = true;
	pthread_mutex_unlock(&w->lock);
}

void writer_effort(struct writer *w, int level)
{
	pthread_mutex_lock(&w->lock);
	w->effort = (uint8_t) level;
	pthread_mutex_unlock(&w->lock);
}

void writer_totals(struct writer *w, uint64_t *ret_packs, uint64_t *ret_bytes)
{
	pthread_mutex_lock(&w->lock);
	*ret_packs = w->packs;
	*ret_bytes = w->stored_bytes;
	pthread_mutex_unlock(&w->lock);
}
