/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each root holds, from its tree. The first pass counts in how many roots a frame is; the
 * second adds up. Memory: about 60 bytes for each distinct chunk and node.
 */
#include "base/mem.h"
#include "base/timeutil.h"
#include "store/maintain.h"
#include "store/walk.h"

struct stats {
	struct store *s;
	unsigned region;
	struct dmap frames; /* a = roots that hold it, b = 1 + last root seen, c = stored bytes */
	uint32_t root;      /* 1 + index of the root being walked */
	bool adding;        /* second pass */
	uint64_t chunks, total, unique;
};

/* 1 = first time in this root. */
static int see(struct stats *t, const struct digest *name, struct dmap_slot **ret, struct err *err)
{
	struct frame_loc loc;
	bool fresh;
	int r;

	*ret = dmap_get(&t->frames, name, &fresh);
	if (!*ret)
		return err_set(err, -ENOMEM, "out of memory");
	if (fresh) {
		r = fetch_locate(t->s, t->region, name, &loc, err);
		if (r < 0)
			return r;
		(*ret)->c = loc.length;
	}
	if ((*ret)->b == t->root)
		return 0;
	(*ret)->b = t->root;
	if (!t->adding) {
		(*ret)->a++;
		return 1;
	}
	t->total += (*ret)->c;
	if ((*ret)->a == 1)
		t->unique += (*ret)->c;
	return 1;
}

static int see_node(void *arg, const struct digest *name, unsigned level, struct err *err)
{
	struct dmap_slot *s;

	return see(arg, name, &s, err);
}

static int see_chunk(void *arg, const struct digest *name, struct err *err)
{
	struct stats *t = arg;
	struct dmap_slot *s;
	int r = see(t, name, &s, err);

	t->chunks += r > 0;
	return r < 0 ? r : 0;
}

static json_t *root_json(const struct stats *t, const struct root_copy *c)
{
	auto_json json_t *profile = NULL;
	uint64_t plain = t->chunks * (uint64_t) CHUNK_BYTES;
	char when[ISO_MAX];

	(void) store_profile_get(t->s, t->region, &c->disk, &profile, NULL);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s?, s:b}", "kind", c->kind,
			 "id", c->id, "sizeBytes", (json_int_t) c->disk.size_bytes, "chunks",
			 (json_int_t) t->chunks, "plainBytes", (json_int_t) plain, "storedBytes",
			 (json_int_t) t->total, "uniqueBytes", (json_int_t) t->unique,
			 "sharedBytes", (json_int_t) (t->total - t->unique), "createdTime",
			 c->created_us ? time_iso(c->created_us, when) : NULL, "bootProfile",
			 profile != NULL);
}

static int walk_roots(struct stats *t, const struct root_list *roots, struct cancel *cancel,
		      json_t *out, struct err *err)
{
	const struct walk_ops ops = {see_node, see_chunk, t};

	for (size_t i = 0; i < roots->n; i++) {
		const struct root_copy *c = &roots->v[i];
		json_t *j;
		int r;

		t->root++;
		t->chunks = t->total = t->unique = 0;
		r = tree_walk(t->s, t->region, &c->disk, &ops, cancel, err);
		if (r < 0)
			return err_ctx(err, r, "%s \"%s\"", c->kind, c->id);
		if (!t->adding)
			continue;
		j = root_json(t, c);
		if (json_array_append_new(out, j) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

int store_root_stats(struct store *s, unsigned region, struct cancel *cancel, json_t **ret,
		     struct err *err)
{
	struct stats t = {.s = s, .region = region};
	auto_roots struct root_list roots = {0};
	json_t *out = json_array();
	int r = out ? store_region_check(s, region, err) : err_set(err, -ENOMEM, "out of memory");

	if (r >= 0)
		r = roots_load(s, region, &roots, err);
	if (r >= 0)
		r = walk_roots(&t, &roots, cancel, out, err);
	t.adding = true;
	if (r >= 0)
		r = walk_roots(&t, &roots, cancel, out, err);
	dmap_done(&t.frames);
	if (r < 0) {
		json_decref(out);
		return err_ctx(err, r, "stats");
	}
	*ret = out;
	return 0;
}
