/* SPDX-License-Identifier: Apache-2.0 */
/* Operations as records for people: what runs, for whom, how far. */
#include "arm/internal.h"

#include "base/mem.h"
#include "base/timeutil.h"

struct lister {
	struct arm *arm;
	const struct arm_principal *who;
	json_t *list;
};

static int put_time(json_t *j, const char *path, int64_t us)
{
	char iso[ISO_MAX];

	return us == 0 ? 0 : json_set_at(j, path, json_string(time_iso(us, iso)));
}

static json_t *record(const struct lister *l, const struct operation *o)
{
	json_t *j =
		json_pack("{s:s, s:{s:s, s:I, s:s, s:s, s:b, s:s*}}", "name", o->id, "properties",
			  "status", operation_status(o), "percentComplete", (json_int_t) o->percent,
			  "kind", o->kind, "resourceId", o->resource, "cancelRequested",
			  (int) o->cancel, "createdBy", json_str_at(o->principal, "name"));
	json_t *error = operation_error(o, l->who);
	int r = j ? 0 : -ENOMEM;

	if (r == 0)
		r = put_time(j, "properties.startTime",
			     o->started_us ? o->started_us : o->created_us);
	if (r == 0)
		r = put_time(j, "properties.endTime", o->ended_us);
	if (r == 0 && error)
		r = json_set_at(j, "properties.error", json_incref(error));
	json_decref(error);
	if (r == 0)
		return j;
	json_decref(j);
	return NULL;
}

/* Operations of what the caller may not read are not there for him. */
static int take(void *arg, const struct operation *o)
{
	struct lister *l = arg;
	const struct arm_type *type = route_type(l->arm, o->type);
	auto_free char *action = strf("%s/read", type ? type->name : o->type);

	if (!action)
		return -ENOMEM;
	if (arm_may(l->arm, l->who, action, o->resource, NULL) < 0)
		return 0;
	return json_array_append_new(l->list, record(l, o));
}

int arm_operations(struct arm *arm, const struct arm_principal *who, const char *id,
		   const char *operation_id, unsigned limit, json_t **ret, struct err *err)
{
	auto_json json_t *list = json_array();
	struct lister l = {arm, who, list};
	auto_free char *prefix = str_lower(id);
	auto_operation struct operation o = {0};
	int r = list && prefix ? 0 : err_set(err, -ENOMEM, "out of memory");

	if (r == 0 && operation_id)
		r = operation_get(arm->config.meta, operation_id, &o, err);
	if (r == 0 && operation_id && str_starts(o.key, prefix))
		r = take(&l, &o);
	else if (r == 0 && !operation_id)
		r = operation_list(arm->config.meta, prefix, limit, take, &l, err);
	if (r == 0)
		*ret = take_ptr(list);
	return r;
}
