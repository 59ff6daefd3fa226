/* SPDX-License-Identifier: Apache-2.0 */
/* Marks: small objects of others that a region only keeps, "marks/NAME". Not encrypted: whoever
 * writes them signs them and puts no secrets in. */
#include "base/mem.h"
#include "store/internal.h"

#define PREFIX "marks/"

static int mark_key(const char *name, char dst[REGION_KEY_MAX], struct err *err)
{
	int n = snprintf(dst, REGION_KEY_MAX, PREFIX "%s", name);

	if (n < 0 || n >= REGION_KEY_MAX || strchr(name, '/') || !*name)
		return err_set(err, -EINVAL, "mark '%.200s': bad name", name);
	return 0;
}

int store_mark_put(struct store *s, unsigned region, const char *name, const char *text,
		   struct err *err)
{
	char key[REGION_KEY_MAX];
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = mark_key(name, key, err);
	return r < 0 ? r
		     : region_put_small(s->regions[region].region, key, text, strlen(text), err);
}

int store_mark_get(struct store *s, unsigned region, const char *name, struct buf *out,
		   struct err *err)
{
	auto_free char *text = NULL;
	char key[REGION_KEY_MAX];
	uint64_t n = 0;
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = mark_key(name, key, err);
	if (r >= 0)
		r = region_stat(s->regions[region].region, key, &n, err);
	if (r < 0)
		return r;
	if (n >= out->max - out->len)
		return err_set(err, -EFBIG, "mark '%s' is too big", name);
	text = malloc(n + 1);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	r = region_get(s->regions[region].region, key, 0, text, n, err);
	if (r >= 0)
		r = buf_add(out, text, n);
	return r;
}

int store_mark_remove(struct store *s, unsigned region, const char *name, struct err *err)
{
	char key[REGION_KEY_MAX];
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = mark_key(name, key, err);
	return r < 0 ? r : region_remove(s->regions[region].region, key, err);
}

struct listing {
	store_mark_fn *fn;
	void *arg;
};

static int list_one(void *arg, const char *key, uint64_t bytes)
{
	const struct listing *l = arg;

	(void) bytes;
	return l->fn(l->arg, key + strlen(PREFIX));
}

int store_mark_list(struct store *s, unsigned region, store_mark_fn *fn, void *arg, struct err *err)
{
	struct listing l = {fn, arg};
	int r = store_region_check(s, region, err);

	return r < 0 ? r : region_list(s->regions[region].region, PREFIX, list_one, &l, err);
}
