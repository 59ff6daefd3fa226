/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "providers/common.h"
#include "providers/versions.h"

#define PART_MAX 2147483647

int version_parse(const char *name, int64_t ret[VERSION_PARTS])
{
	for (int i = 0; i < VERSION_PARTS; i++) {
		size_t n = strspn(name, "0123456789");
		int64_t v = 0;

		if (n == 0 || n > 10 || (n > 1 && name[0] == '0'))
			return -EINVAL;
		for (size_t k = 0; k < n; k++)
			v = v * 10 + (name[k] - '0');
		if (v > PART_MAX || name[n] != (i + 1 < VERSION_PARTS ? '.' : '\0'))
			return -EINVAL;
		ret[i] = v;
		name += n + 1;
	}
	return 0;
}

int version_compare(const int64_t a[VERSION_PARTS], const int64_t b[VERSION_PARTS])
{
	for (int i = 0; i < VERSION_PARTS; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

/* ---- Latest --------------------------------------------------------------------------------- */

static bool same_region(const char *a, const char *normalized)
{
	auto_free char *n = a ? location_normalize(a) : NULL;

	return n && strcmp(n, normalized) == 0;
}

static const json_t *target_region(const json_t *doc, const char *region)
{
	const json_t *list = json_at(doc, "properties.publishingProfile.targetRegions"), *t;
	size_t i;

	json_array_foreach((json_t *) list, i, t)
	{
		if (same_region(json_str_at(t, "name"), region))
			return t;
	}
	return NULL;
}

const char *version_replica(const json_t *doc, const char *region)
{
	const json_t *r;
	const char *state;

	if (!target_region(doc, region))
		return NULL;
	r = json_object_get(json_object_get(doc, "replication"), region);
	state = json_str_at(r, "state");
	return state ? state : "Unknown";
}

struct latest {
	const char *region;
	char *id; /* owned */
	unsigned seen, excluded, elsewhere, unready;
};

static bool latest_counts(struct latest *l, const json_t *doc)
{
	const char *state = json_str_at(doc, "properties.provisioningState");
	const char *replica;

	l->seen++;
	if (json_bool_at(doc, "properties.publishingProfile.excludeFromLatest", false)) {
		l->excluded++;
		return false;
	}
	if (!state || strcmp(state, "Succeeded") != 0) {
		l->unready++;
		return false;
	}
	if (!l->region)
		return true;
	replica = version_replica(doc, l->region);
	if (!replica || strcmp(replica, "Completed") != 0) {
		l->elsewhere++;
		return false;
	}
	if (json_bool_at(target_region(doc, l->region), "excludeFromLatest", false)) {
		l->excluded++;
		return false;
	}
	return true;
}

static int latest_one(void *arg, const char *id, const json_t *doc)
{
	struct latest *l = arg;
	int64_t v[VERSION_PARTS];

	if (version_parse(strrchr(id, '/') + 1, v) < 0 || !latest_counts(l, doc))
		return 0;
	l->id = strdup(id); /* lists are in numeric order: the first from the end */
	return l->id ? 1 : -ENOMEM;
}

int version_latest(struct app *a, const char *definition_id, const char *region, char **ret,
		   struct err *err)
{
	struct latest l = {.region = region};
	int r = arm_each_back(a->arm, TYPE_VERSION, definition_id, latest_one, &l, err);

	if (r < 0) {
		free(l.id);
		return r;
	}
	*ret = l.id;
	if (l.id)
		return 0;
	return refuse(err, -ENOENT, "GalleryImageNotFound", NULL,
		      "no latest image version exists for %s%s%s: %u versions, %u excluded from "
		      "latest, %u not ready, %u without a replica there",
		      definition_id, region ? " in region " : "", region ? region : "", l.seen,
		      l.excluded, l.unready, l.elsewhere);
}

int version_exact(struct app *a, const char *id, const char *region, char **ret, struct err *err)
{
	auto_arm_id struct arm_id p = {0};
	int r = arm_id_parse(id, &p, err);

	if (r < 0)
		return r;
	if (str_eq_nocase(p.type, TYPE_DEFINITION) && p.name)
		return version_latest(a, p.text, region, ret, err);
	if (!str_eq_nocase(p.type, TYPE_VERSION) || !p.name)
		return refuse(err, -EINVAL, "InvalidParameter", NULL,
			      "%s is not the id of an image version", id);
	if (str_eq_nocase(p.name, "latest"))
		return version_latest(a, p.parent, region, ret, err);
	*ret = strdup(p.text);
	return *ret ? 0 : no_memory(err);
}
