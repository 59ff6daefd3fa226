/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microsoft.Insights/eventtypes/management/values: the audit log as Azure's activity log, newest
 * first. A subscription's list has what happened in it; the tenant's has the rest.
 */
#include <ctype.h>
#include <strings.h>

#include "arm/filter.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/audit.h"
#include "providers/common.h"
#include "providers/registry.h"

#define PAGE     100   /* events of a page */
#define SCAN     20000 /* records that one page looks at */
#define BATCH    200
#define DAYS_US  (90 * INT64_C(86400) * 1000000) /* how far back one may ask */
#define EVENT_ID "/events/%s/ticks/%lld"

struct log {
	struct arm_call *c;
	struct filter *filter;
	int64_t from_us, to_us; /* asked for */
	json_t *value;
	int64_t next; /* number of the record to go on before; 0 = the end */
	int64_t seen;
	size_t top;
	const json_t *event; /* the one that is judged */
	struct err *err;
};

/* ---- One event ---------------------------------------------------------------------------- */

static json_t *pair(const char *value)
{
	return json_pack("{s:s, s:s}", "value", value, "localizedValue", value);
}

static const char *text(const json_t *record, const char *key)
{
	const char *s = json_str_at(record, key);

	return s ? s : "";
}

static const char *status_of(const json_t *record)
{
	const char *result = text(record, "result");

	if (str_eq(result, "Success"))
		return "Succeeded";
	if (str_eq(result, "Accepted"))
		return "Accepted";
	return "Failed";
}

static json_t *sub_status(const json_t *record)
{
	static const struct {
		int status;
		const char *name;
	} names[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "NoContent"},
		{400, "BadRequest"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "NotFound"},
		{405, "MethodNotAllowed"},
		{409, "Conflict"},
		{412, "PreconditionFailed"},
		{413, "RequestEntityTooLarge"},
		{429, "TooManyRequests"},
		{500, "InternalServerError"},
		{503, "ServiceUnavailable"},
	};
	int status = (int) json_int_at(record, "status", 0);
	const char *name = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].status == status)
			name = names[i].name;
	return json_pack("{s:s, s:o}", "value", name, "localizedValue",
			 *name ? json_strf("%s (HTTP Status Code: %d)", name, status)
			       : json_string(""));
}

static int put(json_t *j, const char *key, json_t *value)
{
	return value && json_object_set_new(j, key, value) >= 0 ? 0 : -ENOMEM;
}

/* Text each: clients take them for a map of strings. */
static json_t *properties_of(const json_t *record)
{
	auto_json json_t *sub = sub_status(record);
	auto_json json_t *j = json_pack(
		"{s:s, s:s, s:s, s:s, s:s}", "eventCategory", "Administrative", "entity",
		text(record, "resourceId"), "message", text(record, "action"), "statusCode",
		text(sub, "value"), "serviceRequestId", text(record, "requestId"));
	const char *code = text(record, "code"), *proof = text(record, "credentialId");
	int64_t omitted = json_int_at(record, "omitted", 0);
	int r = sub && j ? 0 : -ENOMEM;

	if (r >= 0 && *code)
		r = put(j, "statusMessage", json_strf("{\"error\":{\"code\":\"%s\"}}", code));
	if (r >= 0 && *proof)
		r = put(j, "credentialId", json_string(proof));
	if (r >= 0 && omitted > 0)
		r = put(j, "omittedEvents", json_strf("%lld", (long long) omitted));
	return r < 0 ? NULL : take_ptr(j);
}

static int fill_who(json_t *j, const json_t *record, const struct arm_config *config)
{
	const char *tenant = text(record, "tenantId");
	int r = put(j, "caller", json_string(text(record, "principalName")));

	if (r >= 0)
		r = put(j, "claims",
			json_pack("{s:s, s:s}",
				  "http://schemas.microsoft.com/identity/claims/objectidentifier",
				  text(record, "principalId"), "idtyp",
				  text(record, "principalType")));
	if (r >= 0)
		r = put(j, "authorization",
			json_pack("{s:s, s:s}", "action", text(record, "action"), "scope",
				  text(record, "resourceId")));
	if (r >= 0)
		r = put(j, "tenantId", json_string(*tenant ? tenant : config->tenant_id));
	return r;
}

static int fill_what(json_t *j, const json_t *record)
{
	const char *id = text(record, "resourceId");
	auto_arm_id struct arm_id a = {0};
	bool known = arm_id_parse(*id ? id : "/", &a, NULL) == 0;
	auto_free char *ns = known ? strndup(a.type, strcspn(a.type, "/")) : NULL;
	int r = put(j, "resourceId", json_string(id));

	if (r >= 0)
		r = put(j, "resourceGroupName", json_string(known && a.group ? a.group : ""));
	if (r >= 0)
		r = put(j, "subscriptionId",
			json_string(known && a.subscription ? a.subscription : ""));
	if (r >= 0)
		r = put(j, "resourceProviderName", pair(ns ? ns : ""));
	if (r >= 0)
		r = put(j, "resourceType", pair(known ? a.type : ""));
	if (r >= 0)
		r = put(j, "operationName", pair(text(record, "action")));
	if (r >= 0)
		r = put(j, "httpRequest",
			json_pack("{s:s, s:s, s:s}", "clientRequestId", text(record, "requestId"),
				  "clientIpAddress", text(record, "peer"), "method",
				  text(record, "method")));
	return r;
}

static json_t *ids(const json_t *record, int64_t seq, const char *key)
{
	const char *request = text(record, "requestId"), *more = text(record, key);

	if (*more)
		return json_string(more);
	return *request ? json_string(request) : json_strf("audit-%lld", (long long) seq);
}

static json_t *event_of(const struct arm_call *c, int64_t seq, const json_t *record)
{
	const char *time = text(record, "time");
	int64_t us = 0;
	auto_json json_t *j = json_pack(
		"{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:s}", "channels", "Operation",
		"description", "", "level",
		str_eq(status_of(record), "Failed") ? "Error" : "Informational", "eventName",
		pair(str_eq(text(record, "result"), "Accepted") ? "BeginRequest" : "EndRequest"),
		"category", pair("Administrative"), "status", pair(status_of(record)), "subStatus",
		sub_status(record), "eventTimestamp", time, "submissionTimestamp", time,
		"operationId", text(record, "operationId"));

	(void) time_parse_iso(time, &us);
	if (!j || fill_who(j, record, arm_config(c->arm)) < 0 || fill_what(j, record) < 0 ||
	    put(j, "properties", properties_of(record)) < 0 ||
	    put(j, "correlationId", ids(record, seq, "correlationId")) < 0 ||
	    put(j, "eventDataId",
		json_strf("%s-%lld", text(record, "requestId"), (long long) seq)) < 0 ||
	    put(j, "id",
		json_strf("%s" EVENT_ID, text(record, "resourceId"), text(record, "requestId"),
			  (long long) us * 10)) < 0)
		return NULL;
	return take_ptr(j);
}

/* ---- $filter ------------------------------------------------------------------------------ */

static const struct {
	const char *name, *path;
} fields[] = {
	{"resourceGroupName", "resourceGroupName"},
	{"resourceUri", "resourceId"},
	{"resourceId", "resourceId"},
	{"resourceProvider", "resourceProviderName.value"},
	{"resourceType", "resourceType.value"},
	{"correlationId", "correlationId"},
	{"caller", "caller"},
	{"operationName", "operationName.value"},
	{"status", "status.value"},
	{"levels", "level"},
	{"eventTimestamp", "eventTimestamp"},
};

static int test(void *arg, const struct filter_term *t)
{
	struct log *l = arg;

	/* Times were seen to already: they are compared as times. */
	if (str_eq_nocase(t->name, "eventTimestamp"))
		return 1;
	if (str_eq_nocase(t->name, "eventChannels")) /* there is one */
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (str_eq_nocase(fields[i].name, t->name) && t->op != FILTER_CALL)
			return filter_compare(t, json_str_at(l->event, fields[i].path));
	return filter_unsupported(t, l->err);
}

static int check_terms(struct log *l)
{
	for (size_t i = 0; i < filter_n_terms(l->filter); i++) {
		const struct filter_term *t = filter_term(l->filter, i);
		bool known = str_eq_nocase(t->name, "eventChannels");

		for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
			known = known || str_eq_nocase(fields[k].name, t->name);
		if (!known || t->op == FILTER_CALL)
			return filter_unsupported(t, l->err);
	}
	return 0;
}

/* "2026-01-31", "2026-01-31T12:00:00.1234567Z" and, as az sends it, without a zone. */
static int time_of(struct log *l, enum filter_op op, int64_t *ret)
{
	const char *s = filter_needs(l->filter, "eventTimestamp", op);
	const char *rest = s && strlen(s) == 10 ? "T00:00:00Z" : "Z";
	auto_free char *whole = s ? strf("%s%s", s, rest) : NULL;

	if (!s)
		return -ENOENT;
	if (time_parse_iso(s, ret) == 0 || (whole && time_parse_iso(whole, ret) == 0))
		return 0;
	return refuse(l->err, -EINVAL, "BadRequest", "$filter",
		      "$filter: eventTimestamp '%s' is not a time such as 2026-01-31T12:00:00Z", s);
}

static int take_filter(struct log *l)
{
	const char *given = arm_query(l->c, "$filter");
	int r = given && *given ? filter_parse(given, &l->filter, l->err) : 0;

	if (r >= 0)
		r = check_terms(l);
	if (r < 0)
		return r;
	l->to_us = INT64_MAX;
	r = time_of(l, FILTER_GE, &l->from_us);
	if (r == -ENOENT)
		return refuse(l->err, -EINVAL, "BadRequest", "$filter",
			      "$filter: the start of the time range is missing: eventTimestamp ge"
			      " '2026-01-31T00:00:00Z' (and, if wanted, eventTimestamp le '...')");
	if (r >= 0)
		r = time_of(l, FILTER_LE, &l->to_us);
	if (r == -ENOENT)
		r = 0;
	if (r >= 0 && l->from_us < time_now_us() - DAYS_US)
		l->from_us = time_now_us() - DAYS_US;
	return r;
}

/* ---- $select ------------------------------------------------------------------------------ */

static int select_fields(const char *list, json_t *event)
{
	void *next;

	for (void *it = json_object_iter(event); it; it = next) {
		const char *key = json_object_iter_key(it), *at = list;
		size_t n = strlen(key);
		bool kept = false;

		next = json_object_iter_next(event, it);
		while (*at && !kept) {
			at += strspn(at, ", ");
			kept = strncasecmp(at, key, n) == 0 && (!at[n] || strchr(", ", at[n]));
			at += strcspn(at, ",");
		}
		if (!kept && json_object_del(event, key) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- The list ----------------------------------------------------------------------------- */

static bool in_scope(const struct arm_call *c, const json_t *event)
{
	const char *sub = text(event, "subscriptionId");

	return c->id->subscription ? str_eq_nocase(sub, c->id->subscription) : !*sub;
}

static int add(struct log *l, int64_t seq, const json_t *record)
{
	const char *wanted = arm_query(l->c, "$select");
	auto_json json_t *event = event_of(l->c, seq, record);
	int r;

	if (!event)
		return no_memory(l->err);
	l->event = event;
	r = in_scope(l->c, event) ? filter_match(l->filter, test, l) : 0;
	if (r <= 0)
		return r;
	if (wanted && *wanted && select_fields(wanted, event) < 0)
		return no_memory(l->err);
	return json_array_append(l->value, event) < 0 ? no_memory(l->err) : 0;
}

/* Ends the walk with 1 when the page is full or the range is left. */
static int see(void *arg, int64_t seq, const json_t *record)
{
	struct log *l = arg;
	int64_t us = 0;
	int r;

	l->seen++;
	l->next = seq;
	(void) time_parse_iso(text(record, "time"), &us);
	if (us < l->from_us) {
		l->next = 0;
		return 1;
	}
	r = us <= l->to_us ? add(l, seq, record) : 0;
	if (r < 0)
		return r;
	return json_array_size(l->value) >= l->top || l->seen >= SCAN;
}

/* Where to go on: before the record of this number. */
static int place(struct arm_call *c, int64_t *ret, struct err *err)
{
	auto_free char *s = NULL;
	char *end = NULL;
	int r = arm_call_token(c, &s, err);

	*ret = INT64_MAX;
	if (r < 0 || !s)
		return r;
	errno = 0;
	*ret = strtoll(s, &end, 10);
	if (errno == 0 && *ret > 0 && !*end && isdigit((unsigned char) *s))
		return 0;
	return refuse(err, -EINVAL, "BadRequest", "$skiptoken",
		      "\"$skiptoken\" is not one that this list gave out");
}

static int walk(struct log *l)
{
	const struct app *a = l->c->app;
	int64_t before;
	int r = place(l->c, &before, l->err);

	if (r < 0)
		return r;
	do {
		int64_t had = l->seen;

		r = audit_back(a->meta, before, BATCH, see, l, l->err);
		before = l->next;
		if (r == 0 && l->seen - had < BATCH)
			l->next = 0; /* the first record was reached */
	} while (r == 0 && l->next > 1);
	return r < 0 ? r : 0;
}

static int log_list(struct arm_call *c, struct err *err)
{
	auto_json json_t *value = json_array();
	struct log l = {.c = c, .value = value, .top = PAGE, .err = err};
	char next[24];
	int r = value ? take_filter(&l) : no_memory(err);

	if (r >= 0)
		r = walk(&l);
	filter_free(l.filter);
	if (r < 0)
		return r;
	c->result = json_pack("{s:O}", "value", value);
	if (!c->result)
		return no_memory(err);
	(void) snprintf(next, sizeof(next), "%lld", (long long) l.next);
	return l.next > 1 ? arm_call_next(c, next, err) : 0;
}

#define LOG                                                                                        \
	.name = "Microsoft.Insights/eventtypes/values", .first_version = "2014-04-01",             \
	.versions = log_versions, .list = log_list
static const char *const log_versions[] = {"2015-04-01", "2014-04-01", NULL};

const struct arm_type type_activity_log = {.scope = ARM_SCOPE_SUBSCRIPTION, LOG};
const struct arm_type type_tenant_activity_log = {.scope = ARM_SCOPE_TENANT, LOG};
