/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/shallow.h"

#include "base/mem.h"
#include "meta/packs.h"
#include "providers/version_rules.h"
#include "providers/versions.h"

#define KIND     "shallow"
#define P_IMAGES "properties.storageProfile"

bool shallow_is(const json_t *doc)
{
	const char *mode = json_str_at(doc, V_PROFILE ".replicationMode");

	return mode && strcmp(mode, "Shallow") == 0;
}

/* The n-th source: the whole image, else the OS disk's, then those of the data disks. NULL = none
 * there; runs do not count, which are a bake's own and go with it. */
static const char *source_at(const json_t *doc, size_t n, bool *ret_end)
{
	const json_t *data = json_at(doc, P_IMAGES ".dataDiskImages");
	const char *id = json_str_at(doc, V_ORIGIN ".id");

	*ret_end = false;
	if (n > 0) {
		*ret_end = n > json_array_size(data);
		id = json_str_at(json_array_get(data, n - 1), "source.id");
	}
	return id && !is_type(id, TYPE_RUN) ? id : NULL;
}

static int in_region(const struct arm_call *c, const char *source, const char *region,
		     const char *target, struct err *err)
{
	const char *location = json_str_at(c->doc, "location");
	auto_json json_t *doc = NULL;
	const char *replica;
	int r;

	if (location && strcmp(location, region) == 0)
		return 0; /* that it is there was looked at when it was taken */
	if (is_type(source, TYPE_VERSION)) {
		r = arm_load(c->arm, source, &doc, err);
		if (r < 0)
			return r;
		replica = version_replica(doc, region);
		if (replica && strcmp(replica, "Completed") == 0)
			return 0;
	}
	return refuse(err, -EINVAL, "InvalidParameter", target,
		      "%s: replicationMode Shallow copies nothing, and %s is not in region '%s'",
		      target, source, region);
}

/* Content under another key is elsewhere, also within a region. */
static int same_domain(const struct arm_call *c, const char *source, struct err *err)
{
	const char *own = json_str_at(c->doc, P_DOMAIN), *its;
	auto_json json_t *doc = NULL;
	int r = arm_load(c->arm, source, &doc, err);

	if (r < 0)
		return r;
	its = json_str_at(doc, P_DOMAIN);
	if (str_eq(own ? own : "", its ? its : ""))
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", V_PROFILE ".replicationMode",
		      V_PROFILE ".replicationMode: Shallow copies nothing, and %s is not under "
				"the key of this gallery",
		      source);
}

int shallow_check(const struct arm_call *c, struct err *err)
{
	const json_t *targets = json_at(c->doc, V_TARGETS), *t;
	bool end = false;
	size_t i;

	if (!shallow_is(c->doc))
		return 0;
	if (json_array_size(json_object_get(c->doc, S_IMPORTS)) > 0)
		return refuse(err, -EINVAL, "InvalidParameter", V_PROFILE ".replicationMode",
			      V_PROFILE
			      ".replicationMode: Shallow needs disks, snapshots or images "
			      "as its source, not VHDs");
	for (size_t n = 0; !end; n++) {
		const char *source = source_at(c->doc, n, &end);
		int r = source ? same_domain(c, source, err) : 0;

		if (r < 0)
			return r;
		json_array_foreach((json_t *) targets, i, t)
		{
			const char *name = json_str_at(t, "name");
			char target[96];

			(void) snprintf(target, sizeof(target), V_TARGETS "[%zu].name", i);
			r = source && name ? in_region(c, source, name, target, err) : 0;
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static char *reference(const char *source, const char *key)
{
	auto_free char *lower = str_lower(source);

	return lower ? strf("%s>%s", lower, key) : NULL;
}

int shallow_note(struct app *a, struct store_session *session, const json_t *doc, const char *key,
		 const struct disk_set *disks, unsigned region, struct err *err)
{
	bool end = false;

	for (size_t n = 0; !end; n++) {
		const char *source = source_at(doc, n, &end);
		auto_free char *id = source ? reference(source, key) : NULL;
		int r;

		if (!source || n >= disks->n)
			continue;
		r = id ? store_root_add(session, region, KIND, id, &disks->items[n].disk, err)
		       : no_memory(err);
		if (r == -ENOENT)
			return err_ctx(err, r,
				       "replicationMode Shallow copies nothing, and the "
				       "source is not there");
		if (r < 0)
			return r;
	}
	return 0;
}

int shallow_drop(struct app *a, const json_t *doc, const char *key, int region, struct err *err)
{
	bool end = !shallow_is(doc);

	for (size_t n = 0; !end; n++) {
		const char *source = source_at(doc, n, &end);
		auto_free char *id = source ? reference(source, key) : NULL;
		int r;

		if (!source)
			continue;
		r = id ? store_root_remove(a->store, region, KIND, id, err) : no_memory(err);
		if (r < 0)
			return r;
	}
	return 0;
}

struct search {
	const char *key;
	char *user; /* owned */
};

static int is_user(void *arg, const struct root_row *row)
{
	struct search *s = arg;
	size_t n = strlen(s->key);

	if (strncmp(row->id, s->key, n) != 0 || row->id[n] != '>')
		return 0;
	s->user = strdup(row->id + n + 1);
	return s->user ? 1 : -ENOMEM;
}

int shallow_source_free(const struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;
	struct search s = {.key = c->id->key};
	/* Rows alone: requests are answered by a process without a store. */
	int r = packs_root_list(a->meta, NULL, KIND, is_user, &s, err);

	if (r >= 0 && s.user)
		r = refuse(
			err, -EBUSY, "OperationNotAllowed", NULL,
			"%s cannot be deleted: %s has replicationMode Shallow and uses its content",
			c->id->text, s.user);
	free(s.user);
	return r < 0 ? r : 0;
}
