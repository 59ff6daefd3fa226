/* SPDX-License-Identifier: Apache-2.0 */
#include "store/region.h"

#include "base/mem.h"

static const struct backend {
	const char *scheme;
	int (*open)(const char *path, const struct region_options *o, struct region **ret,
		    struct err *err);
} backends[] = {
	{"azure-blob://", region_azure_open},
	{"file://", region_dir_open},
	{"", region_dir_open}, /* a plain absolute path; must stay last */
};

#define FORMAT_WORD "kiln-region"
#define TEXT_(x)    #x
#define TEXT(x)     TEXT_(x)

int region_key_check(const char *key, struct err *err)
{
	if (strlen(key) >= REGION_KEY_MAX || key[0] == '/' || strstr(key, "..") || !*key)
		return err_set(err, -EINVAL, "bad key");
	return 0;
}

const char *region_format_text(void)
{
	return FORMAT_WORD " " TEXT(REGION_FORMAT) "\n";
}

int region_format_check(const char *where, const char *text, struct err *err)
{
	char *end = NULL;
	unsigned long v;

	if (!str_starts(text, FORMAT_WORD " "))
		return err_set(err, -EBADMSG, "%s: not a region's format file", where);
	v = strtoul(text + sizeof(FORMAT_WORD), &end, 10);
	if (*end != '\n' || v < 1)
		return err_set(err, -EBADMSG, "%s: malformed", where);
	if (v > REGION_FORMAT)
		return err_set(err, -EPROTO, "%s: format %lu is newer than this program's %d",
			       where, v, REGION_FORMAT);
	return 0;
}

int region_open(const char *name, const char *url, const struct region_options *o,
		struct region **ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		const char *path = url + strlen(backends[i].scheme);
		int r;

		if (!str_starts(url, backends[i].scheme))
			continue;
		if (*path != '/')
			return err_set(err, -EINVAL,
				       "region %s: \"%s\" must be file:///DIR, an absolute path or "
				       "azure-blob:///FILE",
				       name, url);
		r = backends[i].open(path, o, ret, err);
		if (r < 0)
			return err_ctx(err, r, "region %s", name);
		(*ret)->name = strdup(name);
		if (!(*ret)->name) {
			region_free(*ret);
			*ret = NULL;
			return err_set(err, -ENOMEM, "region %s: out of memory", name);
		}
		return 0;
	}
	return err_set(err, -EINVAL, "region %s: \"%s\" is no known kind of store", name, url);
}

void region_free(struct region *g)
{
	if (!g)
		return;
	free(g->name);
	g->ops->free(g);
}

static int with_name(struct region *g, const char *key, int r, struct err *err)
{
	return r < 0 ? err_ctx(err, r, "region %s: %s", g->name, key) : r;
}

int region_get(struct region *g, const char *key, uint64_t offset, void *dst, size_t n,
	       struct err *err)
{
	return with_name(g, key, g->ops->get(g, key, offset, dst, n, err), err);
}

int region_stat(struct region *g, const char *key, uint64_t *ret_bytes, struct err *err)
{
	return with_name(g, key, g->ops->stat(g, key, ret_bytes, err), err);
}

int region_list(struct region *g, const char *prefix, region_list_fn *fn, void *arg,
		struct err *err)
{
	return with_name(g, prefix, g->ops->list(g, prefix, fn, arg, err), err);
}

int region_remove(struct region *g, const char *key, struct err *err)
{
	return with_name(g, key, g->ops->remove(g, key, err), err);
}

int region_quarantine(struct region *g, const char *key, struct err *err)
{
	return with_name(g, key, g->ops->quarantine(g, key, err), err);
}

int region_put_begin(struct region *g, struct region_put **ret, struct err *err)
{
	return with_name(g, "new object", g->ops->put_begin(g, ret, err), err);
}

int region_put_add(struct region_put *p, const void *src, size_t n, struct err *err)
{
	return with_name(p->region, "new object", p->region->ops->put_add(p, src, n, err), err);
}

int region_put_read(struct region_put *p, uint64_t offset, void *dst, size_t n, struct err *err)
{
	return with_name(p->region, "new object", p->region->ops->put_read(p, offset, dst, n, err),
			 err);
}

int region_put_commit(struct region_put *p, const char *key, struct err *err)
{
	struct region *g = p->region;

	return with_name(g, key, g->ops->put_commit(p, key, false, err), err);
}

int region_put_replace(struct region_put *p, const char *key, struct err *err)
{
	struct region *g = p->region;

	return with_name(g, key, g->ops->put_commit(p, key, true, err), err);
}

void region_put_abort(struct region_put *p)
{
	if (p)
		p->region->ops->put_abort(p);
}

int region_put_small(struct region *g, const char *key, const void *src, size_t n, struct err *err)
{
	struct region_put *p = NULL;
	int r = region_put_begin(g, &p, err);

	if (r < 0)
		return r;
	r = region_put_add(p, src, n, err);
	if (r < 0) {
		region_put_abort(p);
		return r;
	}
	return region_put_commit(p, key, err);
}
