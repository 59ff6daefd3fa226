/* SPDX-License-Identifier: Apache-2.0 */
/* Disks, snapshots and VHDs that a request names as the disks of an image. */
#include "base/mem.h"
#include "providers/disk.h"
#include "providers/disk_set.h"
#include "providers/import.h"
#include "providers/versions.h"

bool disk_sources_same(const char *a, const char *b)
{
	size_t n = strcspn(a, "?"), m = strcspn(b, "?");

	return arm_id_eq(a, b) || (n == m && strncmp(a, b, n) == 0);
}

int disk_sources_hide(json_t *obj, const char *path, struct err *err)
{
	const char *uri = json_str_at(obj, path);
	size_t n = uri ? strcspn(uri, "?") : 0;
	auto_free char *plain = NULL;

	if (!uri || uri[n] == '\0')
		return 0;
	plain = strndup(uri, n);
	return plain ? set_str(obj, path, plain, err) : no_memory(err);
}

static int check_unique(const struct disk_want *w, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *a = w[i].id ? w[i].id : w[i].uri;

		for (size_t k = 0; k < i; k++) {
			const char *b = w[k].id ? w[k].id : w[k].uri;

			if (w[i].lun == w[k].lun)
				return refuse(err, -EINVAL, "InvalidParameter", w[i].field,
					      "%s: LUN %lld is given twice", w[i].field,
					      (long long) w[i].lun);
			if (a && b && disk_sources_same(a, b))
				return refuse(err, -EINVAL, "InvalidParameter", w[i].field,
					      "%s: two disks of an image cannot have the same "
					      "source",
					      w[i].field);
		}
	}
	return 0;
}

static int append(json_t *doc, const char *path, json_t *one, struct err *err)
{
	json_t *list = json_at(doc, path);

	if (!list) {
		list = json_array();
		if (json_set_at(doc, path, list) < 0) {
			json_decref(one);
			return no_memory(err);
		}
	}
	return json_array_append_new(list, one) < 0 ? no_memory(err) : 0;
}

static int take_uri(struct arm_call *c, const struct disk_want *w, struct err *err)
{
	int r = import_check_uri(c->who, w->uri, w->field, err);

	if (r < 0)
		return r;
	if (w->lun < 0 &&
	    json_object_set_new(c->doc, "facts", json_pack("{s:b}", "trusted", 0)) < 0)
		return no_memory(err);
	return append(c->doc, S_IMPORTS,
		      json_pack("{s:I, s:s, s:s*}", "lun", (json_int_t) w->lun, "uri", w->uri,
				"hostCaching", w->caching),
		      err);
}

static int take_id(struct arm_call *c, const struct disk_want *w, struct err *err)
{
	const char *location = json_str_at(c->doc, "location");
	auto_image_source struct image_source s = {.region = -1};
	const struct app *a = c->app;
	json_t *origin;
	int r;

	if (!is_type(w->id, TYPE_DISK) && !is_type(w->id, TYPE_SNAPSHOT))
		return refuse(err, -EINVAL, "InvalidParameter", w->field,
			      "%s: the id of a disk or snapshot expected", w->field);
	r = image_source_load(c->app, c->who, c->id->subscription, w->id, location ? location : "",
			      w->field, &s, err);
	if (r < 0)
		return r;
	if (w->lun >= 0)
		return append(c->doc, S_DATA,
			      json_pack("{s:I, s:o, s:b, s:s*, s:s}", "lun", (json_int_t) w->lun,
					"disk", disk_ref_to_json(&s.disk), "trusted",
					json_bool_at(s.facts, "trusted", false), "hostCaching",
					w->caching, "from", a->regions[s.region].name),
			      err);
	origin = json_pack("{s:s, s:s}", "id", s.id, "region", a->regions[s.region].name);
	if (json_set_at(c->doc, "origin", origin) < 0 ||
	    json_set_at(c->doc, S_DISK, disk_ref_to_json(&s.disk)) < 0 ||
	    json_set_at(c->doc, "facts", json_incref(s.facts)) < 0)
		return no_memory(err);
	return 0;
}

int disk_sources_take(struct arm_call *c, const struct disk_want *wants, size_t n, struct err *err)
{
	int r = check_unique(wants, n, err);

	for (size_t i = 0; i < n && r == 0; i++) {
		if (!wants[i].id == !wants[i].uri)
			r = refuse(err, -EINVAL, "InvalidParameter", wants[i].field,
				   "%s: exactly one source expected", wants[i].field);
		else
			r = wants[i].id ? take_id(c, &wants[i], err) : take_uri(c, &wants[i], err);
	}
	return r;
}
