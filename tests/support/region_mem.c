/* SPDX-License-Identifier: Apache-2.0 */
#include "support/region_mem.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct object {
	char key[REGION_KEY_MAX];
	uint8_t *data; /* owned */
	size_t n;
};

struct region_mem {
	pthread_mutex_t lock;   /* guards what follows */
	struct object *objects; /* by key */
	size_t n, cap;
	unsigned fail_at;
	int fail_error;
	bool *armed;
};

struct mem_region {
	struct region base;
	struct region_mem *m;
	bool read_only;
};

struct mem_put {
	struct region_put base;
	uint8_t *data;
	size_t n;
};

static struct mem_region *mem_of(struct region *g)
{
	return (struct mem_region *) g;
}

struct region_mem *region_mem_new(void)
{
	struct region_mem *m = calloc(1, sizeof(*m));

	if (m)
		(void) pthread_mutex_init(&m->lock, NULL);
	return m;
}

void region_mem_free(struct region_mem *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->objects[i].data);
	free(m->objects);
	(void) pthread_mutex_destroy(&m->lock);
	free(m);
}

void region_mem_fail(struct region_mem *m, unsigned n, int error, bool *armed)
{
	pthread_mutex_lock(&m->lock);
	m->fail_at = n;
	m->fail_error = error;
	m->armed = armed;
	pthread_mutex_unlock(&m->lock);
}

/* With the lock held. */
static int step(struct region_mem *m, struct err *err)
{
	if (m->fail_at == 0 || --m->fail_at > 0)
		return 0;
	*m->armed = false;
	return err_set(err, -m->fail_error, "on purpose: %s", strerror(m->fail_error));
}

static int key_check(const char *key, struct err *err)
{
	if (!*key || key[0] == '/' || strstr(key, "..") || strlen(key) >= REGION_KEY_MAX)
		return err_set(err, -EINVAL, "bad key");
	return 0;
}

static int begin(struct mem_region *g, const char *key, bool write, struct err *err)
{
	int r = key_check(key, err);

	if (r >= 0 && write && g->read_only)
		r = err_set(err, -EROFS, "opened read-only");
	if (r < 0)
		return r;
	pthread_mutex_lock(&g->m->lock);
	r = step(g->m, err);
	if (r < 0)
		pthread_mutex_unlock(&g->m->lock);
	return r;
}

/* The first object whose key is not before @key. */
static size_t place_of(const struct region_mem *m, const char *key)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(m->objects[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct object *find(const struct region_mem *m, const char *key)
{
	size_t i = place_of(m, key);

	return i < m->n && strcmp(m->objects[i].key, key) == 0 ? &m->objects[i] : NULL;
}

/* Takes @data on success. */
static int insert(struct region_mem *m, const char *key, uint8_t *data, size_t n)
{
	size_t at = place_of(m, key);

	if (find(m, key))
		return -EEXIST;
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct object *o = reallocarray(m->objects, cap, sizeof(*o));

		if (!o)
			return -ENOMEM;
		m->objects = o;
		m->cap = cap;
	}
	memmove(&m->objects[at + 1], &m->objects[at], (m->n - at) * sizeof(*m->objects));
	m->n++;
	(void) snprintf(m->objects[at].key, REGION_KEY_MAX, "%s", key);
	m->objects[at].data = data;
	m->objects[at].n = n;
	return 0;
}

static void take_out(struct region_mem *m, struct object *o)
{
	size_t at = (size_t) (o - m->objects);

	memmove(o, o + 1, (m->n - at - 1) * sizeof(*o));
	m->n--;
}

static int mem_get(struct region *rg, const char *key, uint64_t offset, void *dst, size_t n,
		   struct err *err)
{
	struct mem_region *g = mem_of(rg);
	struct object *o;
	int r = begin(g, key, false, err);

	if (r < 0)
		return r;
	o = find(g->m, key);
	if (!o)
		r = err_set(err, -ENOENT, "no such object");
	else if (offset > o->n || n > o->n - offset)
		r = err_set(err, -ENODATA, "past the object's end");
	else if (n > 0)
		memcpy(dst, o->data + offset, n);
	pthread_mutex_unlock(&g->m->lock);
	return r;
}

static int mem_stat(struct region *rg, const char *key, uint64_t *ret_bytes, struct err *err)
{
	struct mem_region *g = mem_of(rg);
	struct object *o;
	int r = begin(g, key, false, err);

	if (r < 0)
		return r;
	o = find(g->m, key);
	if (o)
		*ret_bytes = o->n;
	else
		r = err_set(err, -ENOENT, "no such object");
	pthread_mutex_unlock(&g->m->lock);
	return r;
}

struct page {
	char keys[REGION_MEM_PAGE][REGION_KEY_MAX];
	uint64_t bytes[REGION_MEM_PAGE];
	size_t n;
};

/* The next keys after @after. */
static int next_page(struct mem_region *g, const char *prefix, const char *after, struct page *p,
		     struct err *err)
{
	struct region_mem *m = g->m;
	int r = begin(g, prefix, false, err);

	p->n = 0;
	if (r < 0)
		return r;
	for (size_t i = place_of(m, *after ? after : prefix);
	     i < m->n && p->n < REGION_MEM_PAGE && str_starts(m->objects[i].key, prefix); i++) {
		if (strcmp(m->objects[i].key, after) == 0)
			continue;
		(void) snprintf(p->keys[p->n], REGION_KEY_MAX, "%s", m->objects[i].key);
		p->bytes[p->n++] = m->objects[i].n;
	}
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int mem_list(struct region *rg, const char *prefix, region_list_fn *fn, void *arg,
		    struct err *err)
{
	auto_free struct page *p = malloc(sizeof(*p));
	char after[REGION_KEY_MAX] = "";
	int r = p ? 0 : err_set(err, -ENOMEM, "out of memory");

	while (r >= 0) {
		r = next_page(mem_of(rg), prefix, after, p, err);
		if (r < 0 || p->n == 0)
			break;
		(void) snprintf(after, sizeof(after), "%s", p->keys[p->n - 1]);
		for (size_t i = 0; i < p->n && r >= 0; i++)
			r = fn(arg, p->keys[i], p->bytes[i]);
	}
	return r;
}

static int mem_remove(struct region *rg, const char *key, struct err *err)
{
	struct mem_region *g = mem_of(rg);
	struct object *o;
	int r = begin(g, key, true, err);

	if (r < 0)
		return r;
	o = find(g->m, key);
	if (o) {
		free(o->data);
		take_out(g->m, o);
	}
	r = step(g->m, err);
	pthread_mutex_unlock(&g->m->lock);
	return r;
}

static int mem_quarantine(struct region *rg, const char *key, struct err *err)
{
	struct mem_region *g = mem_of(rg);
	const char *base = strrchr(key, '/');
	char to[REGION_KEY_MAX];
	struct object *o;
	int r = begin(g, key, true, err);

	if (r < 0)
		return r;
	o = find(g->m, key);
	for (unsigned i = 0; o && r >= 0; i++) {
		uint8_t *data = o->data;

		(void) snprintf(to, sizeof(to), "quarantine/%.100s.%u", base ? base + 1 : key, i);
		r = insert(g->m, to, data, o->n);
		if (r == -EEXIST) {
			r = 0;
			continue;
		}
		if (r >= 0)
			take_out(g->m, find(g->m, key)); /* it moved, when there was an insertion */
		break;
	}
	if (r >= 0)
		r = step(g->m, err);
	pthread_mutex_unlock(&g->m->lock);
	return r;
}

static int mem_put_begin(struct region *rg, struct region_put **ret, struct err *err)
{
	struct mem_region *g = mem_of(rg);
	struct mem_put *p;
	int r = begin(g, "new", true, err);

	if (r < 0)
		return r;
	pthread_mutex_unlock(&g->m->lock);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->base.region = rg;
	*ret = &p->base;
	return 0;
}

static int mem_put_add(struct region_put *rp, const void *src, size_t n, struct err *err)
{
	struct mem_put *p = (struct mem_put *) rp;
	struct mem_region *g = mem_of(rp->region);
	uint8_t *d;
	int r = begin(g, "new", true, err);

	if (r < 0)
		return r;
	pthread_mutex_unlock(&g->m->lock);
	d = realloc(p->data, p->n + n + 1);
	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	if (n > 0)
		memcpy(d + p->n, src, n);
	p->data = d;
	p->n += n;
	return 0;
}

static int mem_put_read(struct region_put *rp, uint64_t offset, void *dst, size_t n,
			struct err *err)
{
	struct mem_put *p = (struct mem_put *) rp;
	struct mem_region *g = mem_of(rp->region);
	int r = begin(g, "new", false, err);

	if (r < 0)
		return r;
	pthread_mutex_unlock(&g->m->lock);
	if (offset > p->n || n > p->n - offset)
		return err_set(err, -ENODATA, "past the object's end");
	if (n > 0)
		memcpy(dst, p->data + offset, n);
	return 0;
}

static void mem_put_abort(struct region_put *rp)
{
	struct mem_put *p = (struct mem_put *) rp;

	free(p->data);
	free(p);
}

static int mem_put_commit(struct region_put *rp, const char *key, bool replace, struct err *err)
{
	struct mem_put *p = (struct mem_put *) rp;
	struct mem_region *g = mem_of(rp->region);
	int r = begin(g, key, true, err);

	if (r >= 0) {
		struct object *old = replace ? find(g->m, key) : NULL;

		if (old) {
			free(old->data);
			take_out(g->m, old);
		}
		r = insert(g->m, key, p->data, p->n);
		if (r < 0) {
			(void) err_set(err, r, "%s", strerror(-r));
		} else {
			p->data = NULL;
			r = step(g->m, err);
		}
		pthread_mutex_unlock(&g->m->lock);
	}
	mem_put_abort(rp);
	return r;
}

static void mem_free(struct region *rg)
{
	free(rg);
}

static const struct region_ops mem_ops = {
	.name = "memory",
	.get = mem_get,
	.stat = mem_stat,
	.list = mem_list,
	.remove = mem_remove,
	.quarantine = mem_quarantine,
	.put_begin = mem_put_begin,
	.put_add = mem_put_add,
	.put_read = mem_put_read,
	.put_commit = mem_put_commit,
	.put_abort = mem_put_abort,
	.free = mem_free,
};

int region_mem_open(struct region_mem *m, const char *name, bool read_only, struct region **ret,
		    struct err *err)
{
	struct mem_region *g = calloc(1, sizeof(*g));

	if (!g || !(g->base.name = strdup(name))) {
		free(g);
		return err_set(err, -ENOMEM, "out of memory");
	}
	g->base.ops = &mem_ops;
	g->m = m;
	g->read_only = read_only;
	*ret = &g->base;
	return 0;
}
