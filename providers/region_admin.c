/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/region_admin.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "providers/common.h"

#define FILE_NAME "regions.json"

static json_t *default_regions(void)
{
	return json_pack("[{s:s}, {s:s}]", "name", "eastus", "name", "westeurope");
}

static int changes_load(const char *data_dir, json_t **ret, struct err *err)
{
	static const char *const lists[] = {"added", "draining", "removed"};
	auto_free char *path = path_join(data_dir, FILE_NAME);
	auto_json json_t *j = NULL;
	int r = path ? 0 : no_memory(err);

	if (r == 0 && file_exists(path))
		r = json_read_file(path, &j, err);
	if (r < 0)
		return r;
	if (!j)
		j = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(lists) && j; i++) {
		const json_t *l = json_object_get(j, lists[i]);

		if (l && !json_is_array(l))
			return err_set(err, -EINVAL, "%s: \"%s\" must be a list", path, lists[i]);
		if (!l && json_object_set_new(j, lists[i], json_array()) < 0)
			return no_memory(err);
	}
	*ret = take_ptr(j);
	return *ret ? 0 : no_memory(err);
}

static int changes_save(const struct app *a, const json_t *changes, struct err *err)
{
	auto_free char *path = path_join(a->data_dir, FILE_NAME), *text = json_pretty(changes);

	if (!path || !text)
		return no_memory(err);
	return file_write_atomic(path, text, strlen(text), 0644, err);
}

/* Position of a name in a list of names or of objects with one; -1. */
static int find_name(const json_t *list, const char *name)
{
	auto_free char *want = location_normalize(name);
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *) list, i, v)
	{
		const char *text =
			json_is_object(v) ? json_str_at(v, "name") : json_string_value(v);
		auto_free char *norm = text ? location_normalize(text) : NULL;

		if (want && norm && strcmp(want, norm) == 0)
			return (int) i;
	}
	return -1;
}

int regions_effective(const char *data_dir, const json_t *config, json_t **ret, struct err *err)
{
	const json_t *own = json_object_get(config, "regions"), *v;
	auto_json json_t *changes = NULL, *all = NULL, *out = json_array();
	json_t *added;
	size_t i, own_n;
	int r = changes_load(data_dir, &changes, err);

	if (r < 0)
		return r;
	added = json_object_get(changes, "added");
	all = own ? json_deep_copy(own) : default_regions();
	own_n = json_array_size(all);
	if (!all || !out || json_array_extend(all, added) < 0)
		return no_memory(err);
	json_array_foreach(all, i, v)
	{
		const char *name = json_str_at(v, "name");
		auto_json json_t *one = json_deep_copy(v);

		if (!name ||
		    (i < own_n && (find_name(added, name) >= 0 ||
				   find_name(json_object_get(changes, "removed"), name) >= 0)))
			continue;
		if (!one ||
		    (find_name(json_object_get(changes, "draining"), name) >= 0 &&
		     json_object_set_new(one, "draining", json_true()) < 0) ||
		    json_array_append(out, one) < 0)
			return no_memory(err);
	}
	*ret = take_ptr(out);
	return 0;
}

/* Changes are read and written under the lock that opening takes. */
static int changes_begin(const struct app *a, int *ret_lock, json_t **ret, struct err *err)
{
	auto_free char *lock = path_join(a->data_dir, "init.lock");
	int r = lock ? lock_file(lock, LOCK_EXCLUSIVE, ret_lock, err) : no_memory(err);

	return r < 0 ? r : changes_load(a->data_dir, ret, err);
}

/* Makes the region's layout, and shows at once what is wrong with its place or key. */
static int try_region(const struct app *a, const json_t *region, const char *name, struct err *err)
{
	auto_free char *dir = path_join(a->data_dir, "store");
	auto_free char *dflt = strf("%s/regions/%s", a->data_dir, name);
	struct store_region_config rc = {.name = name};
	struct store_config c = {
		.dir = dir, .meta = a->meta, .journal = a->journal, .regions = &rc, .n_regions = 1};
	struct store *s = NULL;
	int r;

	if (!dir || !dflt)
		return no_memory(err);
	rc.url = json_str_at(region, "url") ? json_str_at(region, "url") : dflt;
	rc.key = json_str_at(region, "encryption.key");
	r = store_open(&c, &s, err);
	store_close(s);
	return r;
}

int app_region_add(struct app *a, const json_t *region, struct err *err)
{
	const char *given = json_str_at(region, "name");
	auto_free char *name = given ? location_normalize(given) : NULL;
	auto_json json_t *changes = NULL;
	auto_fd int lock = -1;
	json_t *added;
	int r = name ? changes_begin(a, &lock, &changes, err) : no_memory(err);

	if (r < 0 || !name)
		return r;
	if (*name == '\0' || strlen(name) > 40 ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(name))
		return err_set(err, -EINVAL,
			       "region name '%s': letters and digits, 1 to 40, expected", given);
	added = json_object_get(changes, "added");
	if (app_region_index(a, name) >= 0 || find_name(added, name) >= 0)
		return err_set(err, -EEXIST, "region '%s' is there already", name);
	r = try_region(a, region, name, err);
	if (r < 0)
		return r;
	if (json_array_append(added, (json_t *) region) < 0)
		return no_memory(err);
	return changes_save(a, changes, err);
}

int app_region_drain_mark(struct app *a, unsigned region, bool on, struct err *err)
{
	const char *name = a->regions[region].name;
	auto_json json_t *changes = NULL;
	auto_fd int lock = -1;
	json_t *list;
	int r = changes_begin(a, &lock, &changes, err), at;

	if (r < 0)
		return r;
	list = json_object_get(changes, "draining");
	at = find_name(list, name);
	if (on && at < 0)
		r = json_array_append_new(list, json_string(name)) < 0 ? no_memory(err) : 0;
	else if (!on && at >= 0)
		(void) json_array_remove(list, (size_t) at);
	if (r == 0)
		r = changes_save(a, changes, err);
	if (r < 0)
		return r;
	a->regions[region].draining = on;
	for (size_t i = region; i < a->n_regions * (1 + a->n_keys); i += a->n_regions)
		store_region_draining(a->store, (unsigned) i, on);
	return 0;
}

struct users {
	const char *region;
	unsigned n;
	char *first; /* owned */
};

static int is_user(void *arg, const char *id, const json_t *doc)
{
	struct users *u = arg;
	const json_t *targets = json_at(doc, "properties.publishingProfile.targetRegions"), *t;
	const char *location = json_str_at(doc, "location");
	auto_free char *norm = location ? location_normalize(location) : NULL;
	bool uses = norm && strcmp(norm, u->region) == 0;
	size_t i;

	/* Groups are nowhere: their location is a label. */
	if (strstr(id, "/providers/") == NULL)
		return 0;
	json_array_foreach((json_t *) targets, i, t)
	{
		const char *name = json_str_at(t, "name");

		uses = uses || (name && strcmp(name, u->region) == 0);
	}
	if (!uses)
		return 0;
	if (u->n++ == 0)
		u->first = strdup(id);
	return 0;
}

/* The places of gallery keys first: the region itself is what makes a second try possible. */
static int forget(struct app *a, unsigned region, bool delete_data, struct err *err)
{
	int r = 0;

	for (size_t k = a->n_keys + 1; k-- > 0 && r >= 0;)
		r = store_region_forget(a->store, (unsigned) (region + k * a->n_regions),
					delete_data, err);
	return r;
}

int app_region_remove(struct app *a, unsigned region, bool delete_data, struct err *err)
{
	const char *name = a->regions[region].name;
	struct users u = {.region = name};
	auto_json json_t *changes = NULL;
	auto_fd int lock = -1;
	json_t *list;
	int r = arm_each(a->arm, NULL, "", is_user, &u, err), at;

	if (r >= 0 && u.n > 0) {
		r = err_set(err, -EBUSY,
			    "region %s: %u resources are located or replicated there, "
			    "the first is %s",
			    name, u.n, u.first ? u.first : "");
		err_hint(err, "Take it from the versions' targetRegions; delete what is located "
			      "there, or make it elsewhere first.");
	}
	free(u.first);
	if (r >= 0 && a->n_regions == 1)
		r = err_set(err, -EINVAL, "region %s is the only one", name);
	if (r >= 0)
		r = changes_begin(a, &lock, &changes, err);
	if (r >= 0)
		r = forget(a, region, delete_data, err);
	if (r == -ENOTEMPTY)
		err_hint(err, "`kiln region drain %s` moves it elsewhere.", name);
	if (r < 0)
		return r;
	list = json_object_get(changes, "added");
	at = find_name(list, name);
	if (at >= 0)
		(void) json_array_remove(list, (size_t) at);
	/* Should kiln.yaml or the defaults have it, it does not come back by itself. */
	list = json_object_get(changes, "removed");
	if (find_name(list, name) < 0 && json_array_append_new(list, json_string(name)) < 0)
		return no_memory(err);
	list = json_object_get(changes, "draining");
	at = find_name(list, name);
	if (at >= 0)
		(void) json_array_remove(list, (size_t) at);
	return changes_save(a, changes, err);
}
