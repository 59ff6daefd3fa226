/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/meta.h"
#include "meta/resources.h"
#include "providers/common.h"

const char *const gallery_api_versions[] = {
	"2025-12-03", "2025-03-03", "2024-03-03", "2023-07-03", "2022-08-03",
	"2022-03-03", "2022-01-03", "2021-10-01", "2021-07-01", "2020-09-30",
	"2019-12-01", "2019-07-01", "2019-03-01", "2018-06-01", NULL,
};
const char *const compute_api_versions[] = {
	"2026-04-01", "2025-04-01", "2024-07-01", "2024-03-01", "2023-09-01", "2023-07-01",
	"2023-03-01", "2022-11-01", "2022-08-01", "2022-03-01", "2021-11-01", "2021-07-01",
	"2021-04-01", "2021-03-01", "2020-12-01", "2020-06-01", "2019-12-01", "2019-07-01",
	"2019-03-01", "2018-10-01", "2018-06-01", "2018-04-01", "2017-12-01", "2017-03-30",
	"2016-03-30", "2015-06-15", NULL,
};
const char *const disk_api_versions[] = {
	"2026-03-02", "2024-03-02", "2023-10-02", "2023-04-02", "2023-01-02", "2022-07-02",
	"2022-03-02", "2021-12-01", "2021-08-01", "2021-04-01", "2020-12-01", "2020-09-30",
	"2020-06-30", "2020-05-01", "2019-11-01", "2019-07-01", "2019-03-01", "2018-09-30",
	"2018-06-01", "2018-04-01", "2017-03-30", NULL,
};
const char *const builder_api_versions[] = {
	"2025-10-01",         "2024-02-01",         "2023-07-01", "2022-07-01",
	"2022-02-14",         "2021-10-01",         "2020-02-14", "2019-05-01-preview",
	"2019-02-01-preview", "2018-02-01-preview", NULL,
};

int refuse(struct err *err, int code, const char *arm, const char *target, const char *fmt, ...)
{
	auto_free char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = vstrf(fmt, ap);
	va_end(ap);
	if (!text)
		return no_memory(err);
	err_set(err, code, "%s", text);
	if (arm)
		err_arm(err, arm);
	if (target)
		err_target(err, "%s", target);
	return code;
}

int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

void del_at(json_t *doc, const char *path)
{
	const char *dot = strrchr(path, '.');
	auto_free char *parent = dot ? strndup(path, (size_t) (dot - path)) : NULL;
	json_t *obj = dot ? (parent ? json_at(doc, parent) : NULL) : doc;

	if (json_is_object(obj))
		(void) json_object_del(obj, dot ? dot + 1 : path);
}

int keep_old(struct arm_call *c, const char *path, struct err *err)
{
	json_t *old = c->old ? json_at(c->old, path) : NULL;
	json_t *copy;

	if (!old) {
		del_at(c->doc, path);
		return 0;
	}
	copy = json_deep_copy(old);
	return !copy || json_set_at(c->doc, path, copy) < 0 ? no_memory(err) : 0;
}

int set_str(json_t *doc, const char *path, const char *value, struct err *err)
{
	json_t *s = json_string(value);

	return !s || json_set_at(doc, path, s) < 0 ? no_memory(err) : 0;
}

int set_default(json_t *doc, const char *path, const char *value, struct err *err)
{
	const json_t *v = json_at(doc, path);

	return v && !json_is_null(v) ? 0 : set_str(doc, path, value, err);
}

bool date_us(const json_t *doc, const char *path, int64_t *ret)
{
	const char *s = doc ? json_str_at(doc, path) : NULL;

	return s && time_parse_iso(s, ret) == 0;
}

int check_future(const struct arm_call *c, const char *path, struct err *err)
{
	int64_t at, before;

	if (!date_us(c->doc, path, &at))
		return 0;
	if (c->old && date_us(c->old, path, &before) && before == at)
		return 0;
	if (at > time_now_us())
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", path, "%s: %s is not in the future", path,
		      json_str_at(c->doc, path));
}

int group_deleting(const struct arm_call *c, struct err *err)
{
	auto_free char *id =
		strf("/subscriptions/%s/resourceGroups/%s", c->id->subscription, c->id->group);
	auto_json json_t *group = NULL;
	const char *state;
	int r = id ? arm_load(c->arm, id, &group, err) : no_memory(err);

	if (r < 0)
		return r;
	state = json_str_at(group, "properties.provisioningState");
	return state && strcmp(state, "Deleting") == 0;
}

bool expands(const struct arm_call *c, const char *what)
{
	const char *q = arm_query(c, "$expand");
	auto_free char *given = q ? str_lower(q) : NULL, *want = str_lower(what);

	return given && want && strstr(given, want);
}

bool is_type(const char *id, const char *type)
{
	auto_arm_id struct arm_id a = {0};

	return id && arm_id_parse(id, &a, NULL) == 0 && a.name && str_eq_nocase(a.type, type);
}

/* ---- Catalog -------------------------------------------------------------------------------- */

int catalog_put(struct app *a, const char *region, const char *id, const json_t *doc, bool deleted,
		struct err *err)
{
	auto_json json_t *record = NULL;
	auto_resource struct resource row = {0};
	auto_free char *key = str_lower(id);
	int at = app_region_index(a, region);
	int64_t revision;
	int r;

	if (at < 0)
		return err_set(err, at, "region %s is not configured", region);
	r = key ? counter_next(a->meta, "catalog", &revision, err) : no_memory(err);
	/* The api-version that made it: its defaults go with it. */
	if (r >= 0 && !deleted)
		r = resource_get(a->meta, key, &row, err);
	if (r < 0)
		return err_ctx(err, r, "catalog");
	record = deleted ? json_pack("{s:s, s:b}", "id", id, "deleted", 1)
			 : json_pack("{s:s, s:s, s:O}", "id", id, "apiVersion", row.api_version,
				     "resource", (json_t *) doc);
	if (!record)
		return no_memory(err);
	r = store_catalog_put(a->store, (unsigned) at, id, (uint64_t) revision, record, err);
	return r < 0 ? err_ctx(err, r, "catalog of %s", region) : 0;
}

/* The gallery's id is the part of @id up to its first type's name. */
static char *gallery_of(const char *id)
{
	static const char mark[] = "/galleries/";
	auto_free char *lower = str_lower(id);
	const char *at = lower ? strstr(lower, mark) : NULL;

	if (!at)
		return NULL;
	at += strlen(mark);
	at += strcspn(at, "/");
	return strndup(id, (size_t) (at - lower));
}

static int load_gallery(struct arm *arm, const char *id, json_t **ret, struct err *err)
{
	auto_free char *gallery = gallery_of(id);

	if (!gallery)
		return err_set(err, -EINVAL, "%s is not inside a gallery", id);
	return arm_load(arm, gallery, ret, err);
}

int domain_note(struct arm_call *c, struct err *err)
{
	auto_json json_t *gallery = NULL;
	const char *key;
	int r = load_gallery(c->arm, c->id->text, &gallery, err);

	if (r < 0)
		return r;
	key = json_str_at(gallery, G_KEY);
	if (!key)
		return 0;
	if (!app_key_known(c->app, key))
		return refuse(err, -EINVAL, "OperationNotAllowed", NULL,
			      "the gallery's key '%s' is not in kiln.yaml any more", key);
	return set_str(c->doc, P_DOMAIN, key, err);
}

int gallery_key(struct app *a, const char *id, char **ret, struct err *err)
{
	auto_free char *gallery = gallery_of(id);
	auto_json json_t *doc = NULL;
	const char *key;
	int r;

	if (!gallery || !str_starts(gallery, "/subscriptions/"))
		return 0; /* who uses the id says what is wrong with it */
	r = arm_load(a->arm, gallery, &doc, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : err_set(err, r, "%s: %s", gallery, strerror(-r));
	key = json_str_at(doc, G_KEY);
	*ret = key ? strdup(key) : NULL;
	return key && !*ret ? no_memory(err) : 0;
}

int doc_place(const struct app *a, const json_t *doc, const char *region, struct err *err)
{
	const char *key = json_str_at(doc, P_DOMAIN);
	int at = app_place(a, region ? region : "", key);

	if (at == -ENOKEY)
		return err_set(err, at, "gallery key '%s' is not in kiln.yaml any more", key);
	return at >= 0 ? at
		       : err_set(err, at, "region '%s' is not configured", region ? region : "");
}

int catalog_home(struct app *a, const char *id, char **ret, struct err *err)
{
	auto_json json_t *doc = NULL;
	const char *location;
	int r = load_gallery(a->arm, id, &doc, err);

	if (r < 0)
		return r;
	location = json_str_at(doc, "location");
	*ret = location_normalize(location ? location : "");
	return *ret ? 0 : no_memory(err);
}

int catalog_record(struct arm_job *job, bool deleted, struct err *err)
{
	auto_free char *home = NULL;
	int r = catalog_home(job->app, job->id->text, &home, err);

	return r < 0 ? r : catalog_put(job->app, home, job->id->text, job->doc, deleted, err);
}
