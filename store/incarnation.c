/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a region the one that the rows are about? Each has a random number of its own, which the
 * database learns when something is first written there; and of what was written last, the bytes
 * must be there. A file system that is not mounted, another directory, or a region put back from an
 * older copy fails one of the two, before anything relies on what is not there.
 */
#include <inttypes.h>

#include "base/mem.h"
#include "store/internal.h"

#define KEY        REGION_INCARNATION_KEY
#define TEXT_BYTES 17 /* 16 hex digits and a newline */

int incarnation_make(struct store_region *g, struct err *err)
{
	char text[TEXT_BYTES + 1];
	uint64_t id = 0;
	int r = region_stat(g->region, KEY, &id, NULL);

	if (r != -ENOENT)
		return r < 0 ? err_set(err, r, "region %s: %s", g->region->name, strerror(-r)) : 0;
	r = random_bytes(&id, sizeof(id));
	if (r < 0)
		return err_set(err, r, "no random numbers from the kernel");
	id &= INT64_MAX;
	(void) snprintf(text, sizeof(text), "%016" PRIx64 "\n", id ? id : 1);
	r = region_put_small(g->region, KEY, text, TEXT_BYTES, err);
	if (r == -EEXIST) { /* another process was first */
		err_done(err);
		return 0;
	}
	return r;
}

/* 0 = absent or damaged. */
static int read_it(struct store_region *g, int64_t *ret, struct err *err)
{
	char text[TEXT_BYTES] = "", *end;
	uint64_t bytes;
	int r = region_stat(g->region, KEY, &bytes, err);

	*ret = 0;
	if (r >= 0 && bytes == TEXT_BYTES)
		r = region_get(g->region, KEY, 0, text, TEXT_BYTES, err);
	if (r == -ENOENT || r == -ENODATA)
		err_done(err);
	else if (r < 0)
		return r;
	text[TEXT_BYTES - 1] = '\0';
	*ret = strtoll(text, &end, 16);
	if (end != text + TEXT_BYTES - 1)
		*ret = 0;
	return 0;
}

static int stale(const struct store_region *g, struct err *err, const char *what)
{
	(void) err_set(err, -ESTALE, "region %s %s", g->region->name, what);
	err_hint(err, "Is its file system mounted? When it was replaced or put back from a copy, "
		      "`kiln store check --heal` brings it up to date.");
	return -ESTALE;
}

/* Twice, because a collection may remove what was the newest one. */
static int newest_there(struct store *s, unsigned region, struct err *err)
{
	struct store_region *g = &s->regions[region];
	int r = -ENOENT;

	for (unsigned i = 0; i < 2 && r == -ENOENT; i++) {
		char key[REGION_KEY_MAX];
		struct pack_id id;
		uint64_t bytes;

		err_done(err);
		r = packs_newest(s->meta, g->region->name, &id, err);
		if (r == -ENOENT) {
			err_done(err);
			return 0; /* it has none */
		}
		if (r < 0)
			return r;
		pack_key_of(&id, key);
		r = region_stat(g->region, key, &bytes, err);
	}
	if (r != -ENOENT)
		return r < 0 ? r : 0;
	err_done(err);
	return stale(g, err, "lacks the pack that was written last: it is an older copy");
}

int incarnation_vouch(struct store *s, unsigned region, struct err *err)
{
	struct store_region *g = &s->regions[region];
	int64_t is, known;
	int r = read_it(g, &is, err);

	if (r >= 0)
		r = packs_incarnation(s->meta, g->region->name, &known, err);
	if (r < 0)
		return err_ctx(err, r, "region %s", g->region->name);
	if (known == 0)
		r = packs_incarnation_set(s->meta, g->region->name, is, err);
	else if (is != known)
		return stale(g, err, "is not the one that the database knows");
	return r < 0 ? r : newest_there(s, region, err);
}

int incarnation_accept(struct store *s, unsigned region, struct err *err)
{
	struct store_region *g = &s->regions[region];
	int64_t is;
	int r = read_it(g, &is, err);

	if (r >= 0 && is == 0) { /* damaged: one more */
		r = region_remove(g->region, KEY, err);
		if (r >= 0)
			r = incarnation_make(g, err);
		if (r >= 0)
			r = read_it(g, &is, err);
	}
	return r < 0 ? r : packs_incarnation_set(s->meta, g->region->name, is, err);
}
