/* SPDX-License-Identifier: Apache-2.0 */
/* The decision: may this principal do this action at this scope? Absence of a grant is a no. */
#include "arm/grants.h"
#include "arm/internal.h"
#include "base/mem.h"

/* The one table from method to the last part of an action; POST actions name theirs. */
static const char *right_of(const struct route *r, const char *method)
{
	static const struct {
		const char *method, *right;
	} rights[] = {
		{"GET", "read"},    {"HEAD", "read"},     {"PUT", "write"},
		{"PATCH", "write"}, {"DELETE", "delete"},
	};

	if (r->kind == ROUTE_ACTION)
		return r->action->right ? r->action->right : "action";
	for (size_t i = 0; i < ARRAY_SIZE(rights); i++)
		if (str_eq(rights[i].method, method))
			return rights[i].right;
	return "action";
}

const char *type_policy(const struct arm_type *type)
{
	return type->policy ? type->policy : type->name;
}

char *authorize_action(const struct route *r, const char *method)
{
	static const char own[] = "{name}/";
	const char *type = r->type ? type_policy(r->type) : r->id.type;
	const char *right = right_of(r, method);

	if (r->kind == ROUTE_ACTION && !r->action->right)
		return strf("%s/%s/%s", type, r->action->name, right);
	if (str_starts(right, own)) /* "POST .../providers/NS/register" is NS/register/action */
		return strf("%s/%s", r->id.name, right + sizeof(own) - 1);
	if (memchr(right, '.', strcspn(right, "/"))) /* of another namespace */
		return strdup(right);
	return strf("%s/%s", type, right);
}

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

static const char *name_of(const struct arm_principal *who)
{
	return who && who->name ? who->name : "anonymous";
}

static const char *object_of(const struct arm_principal *who)
{
	return who && who->object_id ? who->object_id : "none";
}

/* The same words whether the scope exists or not. */
static int denied(const struct arm_principal *who, const char *action, const char *id,
		  struct err *err)
{
	(void) err_set(
		err, -EACCES,
		"The client '%.100s' with object id '%.64s' does not have authorization to"
		" perform action '%s' over scope '%.1000s' or the scope is invalid. If access"
		" was recently granted, please refresh your credentials.",
		name_of(who), object_of(who), action, *id ? id : "/");
	err_arm(err, "AuthorizationFailed");
	return -EACCES;
}

static int one_action(const struct arm_type *type, const char *method, const struct arm_action *a,
		      arm_action_fn *fn, void *arg)
{
	const struct route route = {
		.kind = a ? ROUTE_ACTION : ROUTE_ITEM,
		.type = type,
		.action = a,
		.id = {.name = (char *) (uintptr_t) "{name}"},
	}; /* borrows */
	auto_free char *name = authorize_action(&route, method);

	return name ? fn(arg, name, method, a) : -ENOMEM;
}

int arm_type_actions(const struct arm_type *type, arm_action_fn *fn, void *arg)
{
	const struct {
		const char *method;
		bool has;
	} methods[] = {
		{"GET", type->get || type->list || route_stored(type)},
		{"PUT", type->write || type->change},
		{"DELETE", type->write || type->del || type->change},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(methods) && r == 0; i++)
		if (methods[i].has)
			r = one_action(type, methods[i].method, NULL, fn, arg);
	for (const struct arm_action *a = type->actions; a && a->name && r == 0; a++)
		r = one_action(type, a->method, a, fn, arg);
	return r;
}

enum reach { AT_SCOPE = 1 << 0, BELOW = 1 << 1 };

/* Which of @want hold: a set, or -errno. @action NULL: any role. */
static int reach(struct arm *arm, const struct arm_principal *who, const char *action, bool data,
		 const char *id, unsigned want, struct err *err)
{
	auto_free char *lower = action ? str_lower(action) : NULL, *key = str_lower(id);
	auto_grants struct grants *g = NULL;
	struct grants_query q = {.who = who, .action = lower, .data = data, .key = key};
	unsigned have = 0;
	int r;

	if (who && who->local_owner)
		return AT_SCOPE | BELOW;
	if (!who || !who->object_id)
		return 0;
	if ((action && !lower) || !key)
		return no_memory(err);
	if (str_ends(key, "/"))
		key[strlen(key) - 1] = '\0';
	r = grants_ref(arm, &g, err);
	if (r < 0)
		return r;
	if ((want & AT_SCOPE) && grants_allow(g, &q))
		have |= AT_SCOPE;
	if ((want & BELOW) && grants_below(g, &q))
		have |= BELOW;
	return (int) have;
}

int arm_may(struct arm *arm, const struct arm_principal *who, const char *action, const char *id,
	    struct err *err)
{
	int r = reach(arm, who, action, false, id, AT_SCOPE, err);

	return r < 0 ? r : r ? 0 : denied(who, action, id, err);
}

int arm_may_data(struct arm *arm, const struct arm_principal *who, const char *action,
		 const char *id, struct err *err)
{
	int r = reach(arm, who, action, true, id, AT_SCOPE, err);

	return r < 0 ? r : r ? 0 : denied(who, action, id, err);
}

int arm_may_link(struct arm *arm, const struct arm_principal *who, const char *action,
		 const char *id, const char *target, struct err *err)
{
	int r = reach(arm, who, action, false, id, AT_SCOPE, err);

	if (r != 0)
		return r < 0 ? r : 0;
	(void) err_set(err, -EACCES,
		       "The client '%.100s' with object id '%.64s' does not have permission to"
		       " perform action '%s' on the linked scope '%.1000s' or the linked scope is"
		       " invalid.",
		       name_of(who), object_of(who), action, id);
	err_arm(err, "LinkedAuthorizationFailed");
	if (target)
		err_target(err, "%s", target);
	return -EACCES;
}

int arm_sees(struct arm *arm, const struct arm_principal *who, const char *id, bool *ret,
	     struct err *err)
{
	int r = reach(arm, who, NULL, false, id, AT_SCOPE | BELOW, err);

	*ret = r > 0;
	return r < 0 ? r : 0;
}

int arm_permissions(struct arm *arm, const struct arm_principal *who, const char *id, json_t **ret,
		    struct err *err)
{
	auto_free char *key = str_lower(id);
	auto_grants struct grants *g = NULL;
	struct grants_query q = {.who = who, .key = key};
	int r;

	if (!key)
		return no_memory(err);
	if (who && who->local_owner) {
		*ret = json_pack("[{s:[s], s:[], s:[], s:[]}]", "actions", "*", "notActions",
				 "dataActions", "notDataActions");
		return *ret ? 0 : no_memory(err);
	}
	if (!who || !who->object_id) {
		*ret = json_array();
		return *ret ? 0 : no_memory(err);
	}
	r = grants_ref(arm, &g, err);
	if (r < 0)
		return r;
	*ret = grants_permissions(g, &q);
	return *ret ? 0 : no_memory(err);
}

int arm_tenant_of(struct arm *arm, const char *id, char **ret, struct err *err)
{
	auto_free char *key = str_lower(id);
	auto_grants struct grants *g = NULL;
	int r = key ? grants_ref(arm, &g, err) : no_memory(err);

	if (r < 0)
		return r;
	*ret = strdup(grants_tenant(g, key));
	return *ret ? 0 : no_memory(err);
}

/* ---- A request ---------------------------------------------------------------------------- */

/* What everybody who is somebody may read, and what whoever has a role in the subscription may. */
static int open_read(struct request *rq, bool *ret)
{
	const struct arm_principal *who = rq->req->who;
	const struct arm_id *id = &rq->route.id;
	auto_free char *sub = NULL;

	*ret = false;
	if (!who || (!who->object_id && !who->local_owner))
		return 0;
	switch (rq->route.type->readers) {
	case ARM_READERS_BY_ROLE:
		return 0;
	case ARM_READERS_ALL:
		*ret = rq->route.type->scope != ARM_SCOPE_ANY || !*id->parent;
		return 0;
	case ARM_READERS_MEMBERS:
		*ret = !id->subscription; /* the list of subscriptions */
		if (*ret)
			return 0;
		sub = strf("/subscriptions/%s", id->subscription);
		return sub ? arm_sees(rq->arm, who, sub, ret, &rq->err) : no_memory(&rq->err);
	}
	return 0;
}

/* A list is for whoever may read everything in it or something below it; read.c leaves out what
 * the caller may not read. */
static int decide_list(struct request *rq)
{
	const char *id = rq->route.id.text, *parent = rq->route.id.parent;
	int r = reach(rq->arm, rq->req->who, rq->action, false, id, AT_SCOPE, &rq->err);

	if (r == 0 && (!rq->route.type->list || rq->route.type->filters_rows))
		r = reach(rq->arm, rq->req->who, rq->action, false, parent, BELOW, &rq->err);
	if (r < 0)
		return r;
	rq->partial = r == BELOW;
	return r ? 0 : denied(rq->req->who, rq->action, id, &rq->err);
}

/* Who began an operation may follow it; others need to read what it works on, or operations. */
static int decide_operation(struct request *rq)
{
	const struct arm_principal *who = rq->req->who;
	auto_operation struct operation o = {0};
	auto_free char *id = str_lower(rq->route.id.name), *right = NULL;
	const struct arm_type *type;
	const char *by;
	int r;

	if (!id)
		return no_memory(&rq->err);
	r = operation_get(rq->arm->config.meta, id, &o, NULL);
	if (r == -ENOENT)
		return arm_may(rq->arm, who, rq->action, rq->route.id.text, &rq->err);
	if (r < 0)
		return err_set(&rq->err, r, "operation %.64s: %s", id, strerrordesc_np(-r));
	by = json_str_at(o.principal, "objectId");
	if (who && who->object_id && by && str_eq_nocase(by, who->object_id))
		return 0;
	type = route_type(rq->arm, o.type);
	right = strf("%s/read", type ? type_policy(type) : o.type);
	if (!right)
		return no_memory(&rq->err);
	r = reach(rq->arm, who, right, false, o.resource, AT_SCOPE, &rq->err);
	if (r != 0)
		return r < 0 ? r : 0;
	return denied(who, rq->action, rq->route.id.text, &rq->err);
}

int authorize_request(struct request *rq)
{
	bool reads = str_ends(rq->action, "/read");
	bool open = false;
	int r;

	if (rq->route.kind == ROUTE_OPERATION)
		return decide_operation(rq);
	if (rq->route.kind == ROUTE_ACTION)
		reads = str_eq(rq->route.action->right, "read");
	if (reads) {
		r = open_read(rq, &open);
		if (r < 0 || open)
			return r;
	}
	if (reads && rq->route.kind == ROUTE_COLLECTION)
		return decide_list(rq);
	return arm_may(rq->arm, rq->req->who, rq->action, rq->route.id.text, &rq->err);
}

/* ---- Locks -------------------------------------------------------------------------------- */

/* Locks themselves can always be changed by whoever has the right: else none could be removed. */
int lock_check(struct request *rq)
{
	const char *method = rq->req->method, *scope = NULL;
	bool deletes = str_eq(method, "DELETE");
	auto_grants struct grants *g = NULL;
	enum lock_level level;
	int r;

	if (rq->route.type && str_eq(rq->route.type->name, TYPE_LOCK))
		return 0;
	if (rq->route.kind == ROUTE_ACTION && str_ends(rq->action, "/read"))
		return 0;
	grants_stale(rq->arm); /* a lock that another process made holds at once */
	r = grants_ref(rq->arm, &g, &rq->err);
	if (r < 0)
		return r;
	level = grants_lock(g, rq->route.id.key, deletes, &scope);
	if (level == LOCK_NONE || (level == LOCK_DELETE && !deletes))
		return 0;
	(void) err_set(&rq->err, -EBUSY,
		       "The scope '%.1000s' cannot perform %s operation because following scope(s)"
		       " are locked: '%.1000s'. Please remove the lock and try again.",
		       rq->route.id.text, deletes ? "delete" : "write", *scope ? scope : "/");
	err_arm(&rq->err, "ScopeLocked");
	return -EBUSY;
}

/* ---- Principals as JSON ------------------------------------------------------------------- */

static int put(json_t *j, const char *key, const char *value)
{
	json_t *v = value ? json_text(value, strlen(value)) : json_null();

	return v && json_object_set_new(j, key, v) >= 0 ? 0 : -ENOMEM;
}

static json_t *groups_json(const struct arm_principal *who)
{
	json_t *list = json_array();

	for (const char *const *g = who->groups; list && g && *g; g++)
		if (json_array_append_new(list, json_string(*g)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *principal_json(const struct arm_principal *who)
{
	json_t *j = json_object();

	if (j && put(j, "objectId", who->object_id) >= 0 && put(j, "name", who->name) >= 0 &&
	    put(j, "kind", who->kind) >= 0 && put(j, "tenantId", who->tenant_id) >= 0 &&
	    json_object_set_new(j, "localOwner", json_boolean(who->local_owner)) >= 0 &&
	    json_object_set_new(j, "groups", groups_json(who)) >= 0)
		return j;
	json_decref(j);
	return NULL;
}
