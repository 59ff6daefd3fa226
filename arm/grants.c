/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/grants.h"

#include <pthread.h>
#include <stdatomic.h>

#include "arm/internal.h"
#include "base/mem.h"

struct role {
	char *id; /* owned: GUID, lower-cased */
	struct permission *permissions;
	size_t n;
};
struct grant {
	char *principal, *scope; /* owned, lower-cased */
	char *role_id;           /* owned, lower-cased */
	const struct role *role;
};
struct lock {
	char *scope; /* owned key */
	enum lock_level level;
};
struct tenancy {
	char *subscription, *tenant; /* owned; subscription: key */
};

struct grants {
	atomic_int refs;
	int64_t stamp;
	const char *home; /* tenant; borrowed from the configuration */
	struct role *roles;
	struct grant *grants;
	struct lock *locks;
	struct tenancy *tenants;
	size_t n_roles, n_grants, n_locks, n_tenants;
};

/* ---- Release ------------------------------------------------------------------------------ */

static void role_done(struct role *r)
{
	for (size_t i = 0; i < r->n; i++)
		permission_done(&r->permissions[i]);
	free(r->permissions);
	free(r->id);
}

static void grants_free(struct grants *g)
{
	for (size_t i = 0; i < g->n_roles; i++)
		role_done(&g->roles[i]);
	for (size_t i = 0; i < g->n_grants; i++) {
		free(g->grants[i].principal);
		free(g->grants[i].scope);
		free(g->grants[i].role_id);
	}
	for (size_t i = 0; i < g->n_locks; i++)
		free(g->locks[i].scope);
	for (size_t i = 0; i < g->n_tenants; i++) {
		free(g->tenants[i].subscription);
		free(g->tenants[i].tenant);
	}
	free(g->roles);
	free(g->grants);
	free(g->locks);
	free(g->tenants);
	free(g);
}

void grants_unref(struct grants *g)
{
	if (g && atomic_fetch_sub(&g->refs, 1) == 1)
		grants_free(g);
}

/* ---- Building ----------------------------------------------------------------------------- */

/* Room for one more of a vector of @n elements that grows by doubling. */
static void *grow(void *v, size_t n, size_t size)
{
	return n & (n - 1) ? v : reallocarray(v, n ? 2 * n : 1, size);
}

/* The scope of "SCOPE/providers/Microsoft.Authorization/TYPE/NAME", as a key. */
static char *scope_of(const char *id, const char *type)
{
	auto_free char *key = str_lower(id), *mark = strf("/providers/%s/", type);
	auto_free char *low = mark ? str_lower(mark) : NULL;
	char *at = NULL, *next;

	if (!key || !low)
		return NULL;
	for (next = strstr(key, low); next; next = strstr(next + 1, low))
		at = next;
	if (at)
		*at = '\0';
	return take_ptr(key);
}

static int add_role(struct grants *g, const char *id, const json_t *permissions)
{
	size_t n = json_array_size(permissions);
	struct role *r, *v = grow(g->roles, g->n_roles, sizeof(*v));

	if (!v)
		return -ENOMEM;
	g->roles = v;
	r = &v[g->n_roles];
	*r = (struct role){.id = str_lower(id),
			   .permissions = calloc(n + 1, sizeof(*r->permissions))};
	g->n_roles++;
	if (!r->id || !r->permissions)
		return -ENOMEM;
	for (; r->n < n; r->n++)
		if (permission_init(&r->permissions[r->n], json_array_get(permissions, r->n)) < 0)
			return -ENOMEM;
	return 0;
}

static int add_builtins(struct grants *g)
{
	for (const struct role_builtin *b = role_builtins(); b->id; b++) {
		auto_json json_t *j = role_builtin_json(b);

		if (!j || add_role(g, b->id, json_object_get(j, "permissions")) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int see_role(void *arg, const char *id, const json_t *doc)
{
	return add_role(arg, strrchr(id, '/') + 1, json_at(doc, "properties.permissions"));
}

static int see_assignment(void *arg, const char *id, const json_t *doc)
{
	struct grants *g = arg;
	const char *who = json_str_at(doc, "properties.principalId");
	const char *role = json_str_at(doc, "properties.roleDefinitionId");
	const char *slash = role ? strrchr(role, '/') : NULL;
	struct grant *v, *a;

	if (!who || !role)
		return 0;
	v = grow(g->grants, g->n_grants, sizeof(*v));
	if (!v)
		return -ENOMEM;
	g->grants = v;
	a = &v[g->n_grants++];
	*a = (struct grant){.principal = str_lower(who),
			    .scope = scope_of(id, TYPE_ROLE_ASSIGNMENT),
			    .role_id = str_lower(slash ? slash + 1 : role)};
	return a->principal && a->scope && a->role_id ? 0 : -ENOMEM;
}

static int see_lock(void *arg, const char *id, const json_t *doc)
{
	struct grants *g = arg;
	const char *level = json_str_at(doc, "properties.level");
	struct lock *v = grow(g->locks, g->n_locks, sizeof(*v));

	if (!v)
		return -ENOMEM;
	g->locks = v;
	v[g->n_locks] =
		(struct lock){.scope = scope_of(id, TYPE_LOCK),
			      .level = str_eq(level, "ReadOnly") ? LOCK_READ_ONLY : LOCK_DELETE};
	return v[g->n_locks++].scope ? 0 : -ENOMEM;
}

static int see_subscription(void *arg, const char *id, const json_t *doc)
{
	struct grants *g = arg;
	const char *tenant = json_str_at(doc, "tenantId");
	struct tenancy *v = grow(g->tenants, g->n_tenants, sizeof(*v));

	if (!v)
		return -ENOMEM;
	g->tenants = v;
	v[g->n_tenants] = (struct tenancy){str_lower(id), strdup(tenant ? tenant : g->home)};
	g->n_tenants++;
	return v[g->n_tenants - 1].subscription && v[g->n_tenants - 1].tenant ? 0 : -ENOMEM;
}

static int by_role(const void *a, const void *b)
{
	const struct role *x = a, *y = b;

	return strcmp(x->id, y->id);
}

static int by_grant(const void *a, const void *b)
{
	const struct grant *x = a, *y = b;
	int r = strcmp(x->principal, y->principal);

	return r ? r : strcmp(x->scope, y->scope);
}

static int by_lock(const void *a, const void *b)
{
	const struct lock *x = a, *y = b;

	return strcmp(x->scope, y->scope);
}

static int by_tenancy(const void *a, const void *b)
{
	const struct tenancy *x = a, *y = b;

	return strcmp(x->subscription, y->subscription);
}

static void sort_all(struct grants *g)
{
	if (g->n_roles > 0)
		qsort(g->roles, g->n_roles, sizeof(*g->roles), by_role);
	for (size_t i = 0; i < g->n_grants; i++) {
		const struct role want = {.id = g->grants[i].role_id};

		/* NULL: the role is gone, and with it what it allowed. */
		g->grants[i].role =
			bsearch(&want, g->roles, g->n_roles, sizeof(*g->roles), by_role);
	}
	if (g->n_grants > 0)
		qsort(g->grants, g->n_grants, sizeof(*g->grants), by_grant);
	if (g->n_locks > 0)
		qsort(g->locks, g->n_locks, sizeof(*g->locks), by_lock);
	if (g->n_tenants > 0)
		qsort(g->tenants, g->n_tenants, sizeof(*g->tenants), by_tenancy);
}

static int build(struct arm *arm, int64_t stamp, struct grants **ret, struct err *err)
{
	static const struct {
		const char *type;
		arm_each_fn *see;
	} rows[] = {
		{TYPE_ROLE_DEFINITION, see_role},
		{TYPE_ROLE_ASSIGNMENT, see_assignment},
		{TYPE_LOCK, see_lock},
		{TYPE_SUBSCRIPTION, see_subscription},
	};
	struct grants *g = calloc(1, sizeof(*g));
	int r = g ? add_builtins(g) : -ENOMEM;

	if (g) {
		atomic_store(&g->refs, 1);
		g->stamp = stamp;
		g->home = arm->config.tenant_id;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows) && r >= 0; i++)
		r = arm_each(arm, rows[i].type, "", rows[i].see, g, err);
	if (r < 0) {
		if (g)
			grants_unref(g);
		return r == -ENOMEM ? err_set(err, r, "out of memory") : r;
	}
	sort_all(g);
	*ret = g;
	return 0;
}

/* ---- The cache ---------------------------------------------------------------------------- */

#define STAMP "authorization"

struct grants_cache {
	pthread_mutex_t lock; /* guards the two below; never held while the database is asked */
	struct grants *now;
	int64_t checked_ns;
	atomic_bool stale;
};

int grants_cache_new(struct grants_cache **ret, struct err *err)
{
	struct grants_cache *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	r = pthread_mutex_init(&c->lock, NULL);
	if (r != 0) {
		free(c);
		return err_set(err, -r, "mutex: %s", strerrordesc_np(r));
	}
	*ret = c;
	return 0;
}

void grants_cache_free(struct grants_cache *c)
{
	if (!c)
		return;
	grants_unref(c->now);
	(void) pthread_mutex_destroy(&c->lock);
	free(c);
}

void grants_stale(struct arm *arm)
{
	atomic_store(&arm->grants->stale, true);
}

void grants_watch(struct arm *arm)
{
	static const char *const types[] = {
		"microsoft.authorization/roleassignments",
		"microsoft.authorization/roledefinitions",
		"microsoft.authorization/locks",
		"microsoft.resources/subscriptions",
		NULL,
	};

	meta_watch(arm->config.meta, types, STAMP);
}

/* The snapshot if it needs no look at the database, else NULL. *@ret_have: its stamp, or -1. */
static struct grants *fresh(struct grants_cache *c, int64_t *ret_have)
{
	struct grants *g = NULL;

	(void) pthread_mutex_lock(&c->lock);
	*ret_have = c->now ? c->now->stamp : -1;
	if (c->now && !atomic_load(&c->stale) && time_mono_ns() - c->checked_ns < ARM_GRANTS_NS) {
		g = c->now;
		atomic_fetch_add(&g->refs, 1);
	}
	(void) pthread_mutex_unlock(&c->lock);
	return g;
}

/* @g NULL: the one that is there was found current at @at. */
static struct grants *keep(struct grants_cache *c, struct grants *g, int64_t at)
{
	struct grants *old = NULL;

	(void) pthread_mutex_lock(&c->lock);
	if (g) {
		old = c->now;
		c->now = g;
	}
	c->checked_ns = at;
	g = c->now;
	atomic_fetch_add(&g->refs, 1);
	(void) pthread_mutex_unlock(&c->lock);
	grants_unref(old);
	return g;
}

int grants_ref(struct arm *arm, struct grants **ret, struct err *err)
{
	struct grants_cache *c = arm->grants;
	struct grants *g;
	int64_t have, stamp, at;
	int r;

	g = fresh(c, &have);
	if (g) {
		*ret = g;
		return 0;
	}
	at = time_mono_ns();
	atomic_store(&c->stale, false); /* before the look: what comes after it sets it again */
	r = counter_get(arm->config.meta, STAMP, &stamp, err);
	if (r >= 0 && stamp != have)
		r = build(arm, stamp, &g, err);
	if (r < 0) {
		atomic_store(&c->stale, true);
		return err_ctx(err, r, "authorization");
	}
	*ret = keep(c, g, at);
	return 0;
}

/* ---- Questions ---------------------------------------------------------------------------- */

/* First grant that does not come before (principal, scope). */
static size_t lower_bound(const struct grants *g, const char *principal, const char *scope)
{
	const struct grant want = {.principal = (char *) (uintptr_t) principal,
				   .scope = (char *) (uintptr_t) scope};
	size_t lo = 0, hi = g->n_grants;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_grant(&g->grants[mid], &want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool role_allows(const struct role *role, const struct grants_query *q)
{
	if (!role)
		return false;
	if (!q->action)
		return true;
	for (size_t i = 0; i < role->n; i++)
		if (permission_allows(&role->permissions[i], q->action, q->data))
			return true;
	return false;
}

typedef bool grant_fn(const struct grant *a, const struct grants_query *q, void *arg);

/* Grants of one principal at @key and at everything above it, nearest last, until @fn says so. */
static bool walk_up(const struct grants *g, const char *principal, const struct grants_query *q,
		    grant_fn *fn, void *arg)
{
	char scope[ARM_ID_MAX + 1];
	size_t n = strlen(q->key);

	if (n > ARM_ID_MAX)
		return false;
	for (size_t len = 0;; len += 1 + strcspn(q->key + len + 1, "/")) {
		memcpy(scope, q->key, len);
		scope[len] = '\0';
		for (size_t i = lower_bound(g, principal, scope);
		     i < g->n_grants && strcmp(g->grants[i].principal, principal) == 0 &&
		     strcmp(g->grants[i].scope, scope) == 0;
		     i++)
			if (fn(&g->grants[i], q, arg))
				return true;
		if (len >= n)
			return false;
	}
}

static bool walk_down(const struct grants *g, const char *principal, const struct grants_query *q)
{
	size_t n = strlen(q->key);

	for (size_t i = lower_bound(g, principal, q->key);
	     i < g->n_grants && strcmp(g->grants[i].principal, principal) == 0 &&
	     strncmp(g->grants[i].scope, q->key, n) == 0;
	     i++)
		if (g->grants[i].scope[n] == '/' && role_allows(g->grants[i].role, q))
			return true;
	return false;
}

/* The principal and then its groups; NULL after the last. Ids are compared in lower case. */
static const char *nth_id(const struct arm_principal *who, size_t i, char lower[UUID_STR_LEN])
{
	const char *id = who->object_id;

	if (i > 0)
		id = who->groups ? who->groups[i - 1] : NULL;
	if (!id)
		return NULL;
	for (i = 0; i + 1 < UUID_STR_LEN && id[i]; i++)
		lower[i] = id[i] >= 'A' && id[i] <= 'Z' ? (char) (id[i] | 0x20) : id[i];
	lower[i] = '\0';
	return lower;
}

static bool same_tenant(const struct grants *g, const struct grants_query *q)
{
	const char *own = q->who->tenant_id ? q->who->tenant_id : g->home;

	return str_eq_nocase(own, grants_tenant(g, q->key));
}

static bool allow_one(const struct grant *a, const struct grants_query *q, void *arg)
{
	(void) arg;
	return role_allows(a->role, q);
}

bool grants_allow(const struct grants *g, const struct grants_query *q)
{
	char id[UUID_STR_LEN];

	if (!same_tenant(g, q))
		return false;
	for (size_t i = 0; nth_id(q->who, i, id); i++)
		if (walk_up(g, id, q, allow_one, NULL))
			return true;
	return false;
}

/* A list above subscriptions goes through all tenants: rows are judged one by one then. */
bool grants_below(const struct grants *g, const struct grants_query *q)
{
	char id[UUID_STR_LEN];

	if (*q->key && !same_tenant(g, q))
		return false;
	for (size_t i = 0; nth_id(q->who, i, id); i++)
		if (walk_down(g, id, q))
			return true;
	return false;
}

static json_t *strings(char *const *list)
{
	json_t *j = json_array();

	for (; j && list && *list; list++)
		if (json_array_append_new(j, json_string(*list)) < 0) {
			json_decref(j);
			return NULL;
		}
	return j;
}

static bool collect(const struct grant *a, const struct grants_query *q, void *arg)
{
	json_t *list = arg;

	(void) q;
	for (size_t i = 0; a->role && i < a->role->n; i++) {
		const struct permission *p = &a->role->permissions[i];

		if (json_array_append_new(
			    list, json_pack("{s:o, s:o, s:o, s:o}", "actions", strings(p->actions),
					    "notActions", strings(p->not_actions), "dataActions",
					    strings(p->data_actions), "notDataActions",
					    strings(p->not_data_actions))) < 0)
			return true;
	}
	return false;
}

json_t *grants_permissions(const struct grants *g, const struct grants_query *q)
{
	char id[UUID_STR_LEN];
	json_t *list = json_array();

	if (!list || !same_tenant(g, q))
		return list;
	for (size_t i = 0; nth_id(q->who, i, id); i++)
		if (walk_up(g, id, q, collect, list)) {
			json_decref(list);
			return NULL;
		}
	return list;
}

struct span {
	const char *p;
	size_t n;
};

static int span_to_tenancy(const void *key, const void *element)
{
	const struct span *s = key;
	const struct tenancy *t = element;
	int r = strncmp(s->p, t->subscription, s->n);

	return r ? r : -(t->subscription[s->n] != '\0');
}

const char *grants_tenant(const struct grants *g, const char *key)
{
	static const char prefix[] = "/subscriptions/";
	const size_t n = sizeof(prefix) - 1;
	const struct tenancy *t = NULL;
	struct span sub = {.p = key};

	if (strncmp(key, prefix, n) != 0)
		return g->home;
	sub.n = n + strcspn(key + n, "/");
	if (g->n_tenants > 0)
		t = bsearch(&sub, g->tenants, g->n_tenants, sizeof(*t), span_to_tenancy);
	return t ? t->tenant : g->home;
}

enum lock_level grants_lock(const struct grants *g, const char *key, bool below,
			    const char **ret_scope)
{
	enum lock_level level = LOCK_NONE;
	size_t n = strlen(key);

	for (size_t i = 0; i < g->n_locks; i++) {
		const char *s = g->locks[i].scope;
		size_t len = strlen(s);
		bool above = strncmp(s, key, len) == 0 && (key[len] == '/' || !key[len]);
		bool under = below && strncmp(s, key, n) == 0 && s[n] == '/';

		if ((above || under) && g->locks[i].level > level) {
			level = g->locks[i].level;
			*ret_scope = s;
		}
	}
	return level;
}
