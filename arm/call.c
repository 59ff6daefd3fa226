/* SPDX-License-Identifier: Apache-2.0 */
/* What the methods share: calls of hooks, parents, etags, views, starting jobs. */
#include "arm/internal.h"

#include "base/hash.h"
#include "base/mem.h"

void call_init(struct arm_call *c, struct arm_call_private *p, const struct request *rq,
	       const struct resource *res)
{
	const struct arm_type *type = rq->route.type;

	*p = (struct arm_call_private){.rq = rq};
	*c = (struct arm_call){
		.arm = rq->arm,
		.app = rq->arm->config.app,
		.type = type,
		.id = &rq->route.id,
		.who = rq->req->who,
		.api_version = rq->api_version,
		.method = rq->req->method,
		.created_version = res && res->api_version ? res->api_version : rq->api_version,
		.strict = type->strict_from && !version_before(rq->api_version, type->strict_from),
		.old = res ? res->doc : NULL,
		.priv = p,
	};
}

void call_done(struct arm_call *c)
{
	json_decref(c->doc);
	json_decref(c->result);
	stream_done(&c->stream);
	free(c->priv->job_kind);
	json_decref(c->priv->job_params);
	free(c->priv->share);
	operation_done(&c->priv->join);
	*c->priv = (struct arm_call_private){0};
	*c = (struct arm_call){.priv = c->priv};
}

void call_take(struct arm_call *c, struct arm_response *res)
{
	res->stream = c->stream;
	c->stream = (struct arm_stream){0};
	if (!res->stream.read)
		res->body = take_ptr(c->result);
}

const char *arm_query(const struct arm_call *c, const char *key)
{
	return c->priv->rq ? target_query(&c->priv->rq->target, key) : NULL;
}

const struct arm_job_kind *job_kind_of(const struct arm_type *type, const char *name)
{
	for (const struct arm_job_kind *k = type->jobs; k && k->name; k++)
		if (str_eq(k->name, name))
			return k;
	return NULL;
}

int arm_call_job(struct arm_call *c, const char *kind, json_t *params, struct err *err)
{
	struct arm_call_private *p = c->priv;
	int r = 0;

	if (!job_kind_of(c->type, kind))
		r = err_set(err, -ENOSYS, "%s has no job \"%s\"", c->type->name, kind);
	else if (p->job_kind)
		r = err_set(err, -EALREADY, "one request, one job: \"%s\" was asked for already",
			    p->job_kind);
	if (r >= 0) {
		p->job_kind = strdup(kind);
		r = p->job_kind ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	if (r < 0) {
		json_decref(params);
		return r;
	}
	p->job_params = params;
	return 0;
}

/* ---- Failures with texts that clients know ------------------------------------------------ */

int not_found(struct request *rq)
{
	const struct arm_id *id = &rq->route.id;

	if (str_eq_nocase(rq->route.type->name, "Microsoft.Resources/resourceGroups")) {
		(void) err_set(&rq->err, -ENOENT, "Resource group '%s' could not be found.",
			       id->name);
		err_arm(&rq->err, "ResourceGroupNotFound");
		return -ENOENT;
	}
	(void) err_set(&rq->err, -ENOENT, "The Resource '%s/%s'%s%s%s was not found.",
		       rq->route.type->name, id->name, id->group ? " under resource group '" : "",
		       id->group ? id->group : "", id->group ? "'" : "");
	err_arm(&rq->err, "ResourceNotFound");
	return -ENOENT;
}

int not_allowed(struct request *rq)
{
	(void) err_set(&rq->err, -EINVAL,
		       "The requested resource does not support http method '%.20s'.",
		       rq->req->method);
	err_arm(&rq->err, "MethodNotAllowed");
	return -EINVAL;
}

static int being_deleted(struct request *rq, const char *id, const char *code)
{
	(void) err_set(&rq->err, -EBUSY,
		       "'%.1000s' is being deleted and cannot take this operation.", id);
	err_arm(&rq->err, code);
	return -EBUSY;
}

/* ---- Parents ------------------------------------------------------------------------------ */

static bool deleting(const struct resource *res)
{
	const char *s = json_str_at(res->doc, "properties.provisioningState");

	return s && str_eq(s, "Deleting");
}

/* What brings it back must go through. */
static bool disabled(const struct request *rq, const struct resource *sub)
{
	return str_eq(json_str_at(sub->doc, "state"), "Disabled") &&
	       !str_starts(rq->action, "Microsoft.Subscription/");
}

static int read_only(struct request *rq)
{
	(void) err_set(
		&rq->err, -EBUSY,
		"The subscription '%.100s' is disabled and therefore marked as read only. You"
		" cannot perform any write actions on this subscription until it is"
		" re-enabled.",
		rq->route.id.subscription);
	err_arm(&rq->err, "ReadOnlyDisabledSubscription");
	return -EBUSY;
}

static int check_subscription(struct request *rq, bool writing, char **ret_parent)
{
	const struct arm_id *id = &rq->route.id;
	const struct arm_config *cfg = &rq->arm->config;
	auto_resource struct resource sub = {0};
	auto_free char *key = NULL;
	int r;

	*ret_parent = NULL;
	if (id->subscription && !str_eq_nocase(id->subscription, cfg->subscription_id)) {
		key = strf("/subscriptions/%s", id->subscription);
		for (char *p = key; p && *p; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char) (*p | 0x20) : *p;
		r = key ? resource_get(cfg->meta, key, &sub, &rq->err) : -ENOMEM;
		if (r == -ENOENT) {
			(void) err_set(&rq->err, r, "The subscription '%.100s' could not be found.",
				       id->subscription);
			err_arm(&rq->err, "SubscriptionNotFound");
		}
		if (r < 0)
			return r;
		if (writing && disabled(rq, &sub))
			return read_only(rq);
	}
	*ret_parent = id->subscription ? strf("/subscriptions/%s", id->subscription) : strdup("");
	return *ret_parent ? 0 : err_set(&rq->err, -ENOMEM, "out of memory");
}

static int check_group(struct request *rq, bool writing, char **ret_parent)
{
	const struct arm_id *id = &rq->route.id;
	auto_free char *key = NULL, *text = strf("%s/resourceGroups/%s", *ret_parent, id->group);
	auto_resource struct resource group = {0};
	int r;

	key = text ? str_lower(text) : NULL;
	r = key ? resource_get(rq->arm->config.meta, key, &group, &rq->err) : -ENOMEM;
	if (r == -ENOENT) {
		(void) err_set(&rq->err, r, "Resource group '%.100s' could not be found.",
			       id->group);
		err_arm(&rq->err, "ResourceGroupNotFound");
	}
	if (r < 0)
		return r;
	if (writing && !rq->parent_op && deleting(&group))
		return being_deleted(rq, group.id, "ResourceGroupBeingDeleted");
	free(*ret_parent);
	*ret_parent = take_ptr(group.id);
	return 0;
}

int scope_check(struct request *rq, bool writing, char **ret_parent)
{
	const struct arm_id *id = &rq->route.id;
	int r = check_subscription(rq, writing, ret_parent);
	bool own = str_eq_nocase(rq->route.type->name, "Microsoft.Resources/resourceGroups");

	if (r >= 0 && id->group && !own)
		r = check_group(rq, writing, ret_parent);
	return r;
}

/* A parent of a stored type must exist; one of a computed type (a location) is a matter of the
 * type's own hook. */
static int check_nested(struct request *rq, bool writing, char **ret_parent)
{
	auto_arm_id struct arm_id pid = {0};
	auto_resource struct resource parent = {0};
	const struct arm_type *type;
	int r;

	if (arm_id_eq(rq->route.id.parent, *ret_parent))
		return 0;
	r = arm_id_parse(rq->route.id.parent, &pid, &rq->err);
	if (r < 0)
		return r;
	type = route_type(rq->arm, pid.type);
	if (!type && rq->route.type->scope == ARM_SCOPE_ANY)
		return route_unknown(rq->arm, &pid, &rq->err);
	if (!type || !route_stored(type)) {
		free(*ret_parent);
		*ret_parent = strdup(rq->route.id.parent);
		return *ret_parent ? 0 : -ENOMEM;
	}
	r = resource_get(rq->arm->config.meta, pid.key, &parent, &rq->err);
	if (r == -ENOENT) {
		(void) err_set(&rq->err, r,
			       "Can not perform requested operation on nested resource. Parent"
			       " resource '%.1000s' not found.",
			       pid.text);
		err_arm(&rq->err, "ParentResourceNotFound");
	}
	if (r < 0)
		return r;
	if (writing && !rq->parent_op && deleting(&parent))
		return being_deleted(rq, parent.id, "Conflict");
	free(*ret_parent);
	*ret_parent = take_ptr(parent.id);
	return 0;
}

int parent_check(struct request *rq, bool writing, char **ret_parent)
{
	int r = scope_check(rq, writing, ret_parent);

	if (r >= 0 && *rq->route.id.parent)
		r = check_nested(rq, writing, ret_parent);
	return r;
}

/* ---- Etags -------------------------------------------------------------------------------- */

char *etag_text(int64_t revision)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t v = (uint64_t) revision;
	char text[20], *p = text + sizeof(text);

	*--p = '\0';
	*--p = '"';
	do
		*--p = hex[v & 15];
	while (v >>= 4);
	*--p = '"';
	return strdup(p);
}

bool etag_matches(const char *header, const int64_t *revision)
{
	char want[24];
	int n;

	if (!revision)
		return false;
	n = snprintf(want, sizeof(want), "%llx", (unsigned long long) *revision);
	for (const char *p = header; *p;) {
		p += strspn(p, " \t,");
		if (*p == '*')
			return true;
		if (p[0] == 'W' && p[1] == '/')
			p += 2;
		if (*p == '"')
			p++;
		if (strncmp(p, want, (size_t) n) == 0 && (p[n] == '"' || p[n] == ',' || !p[n]))
			return true;
		p += strcspn(p, ",");
	}
	return false;
}

int etag_check(struct request *rq, const struct resource *res)
{
	const int64_t *revision = res ? &res->revision : NULL;
	const char *what = NULL;

	if (rq->req->if_match && !etag_matches(rq->req->if_match, revision))
		what = res ? "has changed: its etag is not among those of If-Match"
			   : "does not exist, so that If-Match cannot hold";
	if (rq->req->if_none_match && etag_matches(rq->req->if_none_match, revision))
		what = "exists, which If-None-Match rules out";
	if (!what)
		return 0;
	(void) err_set(&rq->err, -ESTALE, "The resource '%.1000s' %s.", rq->route.id.text, what);
	err_arm(&rq->err, "PreconditionFailed");
	return -ESTALE;
}

/* ---- Views -------------------------------------------------------------------------------- */

static int call_view(struct request *rq, const struct resource *res, json_t **doc)
{
	struct arm_call_private p;
	struct arm_call c;
	int r;

	if (!rq->route.type->view)
		return 0;
	call_init(&c, &p, rq, res);
	c.doc = take_ptr(*doc);
	r = rq->route.type->view(&c, &rq->err);
	*doc = take_ptr(c.doc);
	call_done(&c);
	return r;
}

int view_doc(struct request *rq, struct resource *res, json_t **ret)
{
	const struct arm_type *type = rq->route.type;
	auto_json json_t *doc = take_ptr(res->doc);
	int r = call_view(rq, res, &doc);

	if (r >= 0)
		r = shape_view(type->envelope, doc, rq->api_version);
	if (r >= 0)
		r = shape_view(type->properties, json_object_get(doc, "properties"),
			       rq->api_version);
	if (r >= 0 && type->body_etag) {
		auto_free char *etag = etag_text(res->revision);

		r = etag && json_object_set_new(doc, "etag", json_string(etag)) >= 0 ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	*ret = take_ptr(doc);
	return 0;
}

int respond_resource(struct request *rq, struct resource *res, int status)
{
	int r = view_doc(rq, res, &rq->res->body);

	if (r < 0)
		return r;
	free(rq->res->etag);
	rq->res->etag = etag_text(res->revision);
	rq->res->status = status;
	return rq->res->etag ? 0 : err_set(&rq->err, -ENOMEM, "out of memory");
}

/* ---- Jobs --------------------------------------------------------------------------------- */

static int busy(const struct operation *o, struct err *err)
{
	(void) err_set(err, -EBUSY,
		       "Another operation (%s, %s) is in progress on '%.1000s'. Wait for it to end"
		       " or cancel it.",
		       o->kind, o->id, o->resource);
	err_arm(err, "AnotherOperationInProgress");
	return -EBUSY;
}

int key_busy(struct arm *arm, const char *key, struct err *err)
{
	auto_operation struct operation o = {0};
	int r = operation_active(arm->config.meta, key, &o, err);

	if (r == -ENOENT) {
		err_done(err);
		return 0;
	}
	return r < 0 ? r : busy(&o, err);
}

static int create_operation(struct request *rq, const struct arm_call *c,
			    const struct resource *res, struct operation *o)
{
	struct meta *m = rq->arm->config.meta;
	int r = operation_create(m, o, &rq->err);

	if (r == -EEXIST)
		return key_busy(rq->arm, res->key, &rq->err);
	if (r >= 0)
		r = job_create(m, o->id, rq->parent_op, c->priv->job_params,
			       c->priv->share ? &c->priv->need : NULL, &rq->err);
	return r;
}

/* What a client follows the operation with. */
static int announce(struct request *rq, const struct operation *o)
{
	bool put = str_eq(o->method, "PUT");

	rq->res->async_operation = operation_url(rq->arm, o, false);
	if (!put)
		rq->res->location = operation_url(rq->arm, o, true);
	rq->res->retry_after_s = 1;
	if (!rq->res->async_operation || (!put && !rq->res->location))
		return err_set(&rq->err, -ENOMEM, "out of memory");
	return 0;
}

int join_job(struct request *rq, const struct arm_call *c)
{
	const struct operation *o = &c->priv->join;

	(void) snprintf(rq->res->operation_id, sizeof(rq->res->operation_id), "%s", o->id);
	return announce(rq, o);
}

int start_job(struct request *rq, const struct arm_call *c, const struct resource *res)
{
	auto_json json_t *who = principal_json(rq->req->who);
	struct operation o = {
		.id = rq->res->operation_id,
		.key = res->key,
		.resource = res->id,
		.type = res->type,
		.kind = c->priv->job_kind,
		.method = (char *) (uintptr_t) rq->req->method,
		.api_version = (char *) (uintptr_t) rq->api_version,
		.principal = who,
		.queue = c->priv->queues,
	}; /* borrows: never released with operation_done() */
	int r = who ? uuid_random(rq->res->operation_id) : -ENOMEM;

	if (r >= 0)
		r = create_operation(rq, c, res, &o);
	if (r < 0)
		return r;
	rq->changed = true;
	return announce(rq, &o);
}
