/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /providers/Microsoft.ResourceGraph/resources: not a query language, but the one question
 *that clients have no other way to ask, which public galleries there are: communitygalleryresources
 *| where FIELD == 'VALUE' ... with type, location and name as fields (also =~, and double quotes).
 */
#include <ctype.h>

#include "base/mem.h"
#include "providers/registry.h"
#include "providers/share.h"

#define GRAPH_TYPE  "microsoft.compute/locations/communitygalleries"
#define GRAPH_MAX   1000
#define GRAPH_WORDS 256 /* bytes of a word */

struct graph {
	struct arm_call *c;
	char type[GRAPH_WORDS], location[GRAPH_WORDS], name[GRAPH_WORDS]; /* "" = any */
	json_t *rows;                                                     /* owned */
};

static int bad_query(struct err *err, const char *at)
{
	return refuse(err, -EINVAL, "InvalidQuery", "query",
		      "query: only \"communitygalleryresources | where FIELD == 'VALUE'\" with the "
		      "fields type, location and name can be answered here (not understood at "
		      "'%.40s')",
		      at);
}

static const char *skip(const char *p)
{
	while (isspace((unsigned char) *p))
		p++;
	return p;
}

static bool word(const char **p, const char *want)
{
	const char *s = skip(*p);
	size_t n = strlen(want);

	if (strncasecmp(s, want, n) != 0 || isalnum((unsigned char) s[n]))
		return false;
	*p = s + n;
	return true;
}

/* '...' or "...", without escapes. */
static bool quoted(const char **p, char ret[GRAPH_WORDS])
{
	const char *s = skip(*p), *end;

	if (*s != '\'' && *s != '"')
		return false;
	end = strchr(s + 1, *s);
	if (!end || end - s > GRAPH_WORDS - 1)
		return false;
	memcpy(ret, s + 1, (size_t) (end - s - 1));
	ret[end - s - 1] = '\0';
	*p = end + 1;
	return true;
}

static int parse(struct graph *g, const char *text, struct err *err)
{
	const char *p = text;

	if (!word(&p, "communitygalleryresources"))
		return bad_query(err, skip(p));
	for (p = skip(p); *p; p = skip(p)) {
		char *field;

		if (*p++ != '|' || !word(&p, "where"))
			return bad_query(err, p);
		field = word(&p, "type")       ? g->type
			: word(&p, "location") ? g->location
			: word(&p, "name")     ? g->name
					       : NULL;
		p = skip(p);
		if (!field || p[0] != '=' || (p[1] != '=' && p[1] != '~'))
			return bad_query(err, p);
		p += 2;
		if (!quoted(&p, field))
			return bad_query(err, p);
	}
	return 0;
}

static bool fits(const char *want, const char *is)
{
	return !*want || (is && str_eq_nocase(want, is));
}

static json_t *row(const struct graph *g, const json_t *gallery, const char *location)
{
	const json_t *info = json_at(gallery, P_COMMUNITY);
	const char *name = json_str_at(info, "publicNames.0");

	return json_pack("{s:o, s:s, s:s, s:s, s:{s:{s:s*, s:s*, s:s*, s:O*}, s:{s:o}}}", "id",
			 json_strf("/Locations/%s/CommunityGalleries/%s", location, name), "name",
			 name, "type", GRAPH_TYPE, "location", location, "properties",
			 "communityMetadata", "publisherUri", json_str_at(info, "publisherUri"),
			 "publisherContact", json_str_at(info, "publisherContact"), "eula",
			 json_str_at(info, "eula"), "publicNames",
			 json_object_get(info, "publicNames"), "identifier", "uniqueId",
			 json_strf("/CommunityGalleries/%s", name));
}

static int add(void *arg, const char *id, const json_t *doc)
{
	struct graph *g = arg;
	const char *location = json_str_at(doc, "location");

	(void) id;
	if (!location || !share_is_public(doc) || !fits(g->type, GRAPH_TYPE) ||
	    !fits(g->location, location) ||
	    !fits(g->name, json_str_at(doc, P_COMMUNITY ".publicNames.0")))
		return 0;
	return json_array_append_new(g->rows, row(g, doc, location)) < 0 ? -ENOMEM : 0;
}

/* Pages: $top and $skip rows, or $skipToken, which is the next $skip. */
static int answer(struct graph *g, struct err *err)
{
	const json_t *options = json_object_get(g->c->body, "options");
	const char *token = json_str_at(options, "$skipToken");
	size_t top = (size_t) json_int_at(options, "$top", GRAPH_MAX), n = json_array_size(g->rows);
	size_t skip_rows = (size_t) json_int_at(options, "$skip", 0);
	json_t *page = json_array();

	if (token)
		skip_rows = strtoul(token, NULL, 10);
	for (size_t i = skip_rows; i < n && i - skip_rows < top; i++)
		if (json_array_append(page, json_array_get(g->rows, i)) < 0) {
			json_decref(page);
			return no_memory(err);
		}
	g->c->result = json_pack("{s:I, s:I, s:s, s:o, s:[]}", "totalRecords", (json_int_t) n,
				 "count", (json_int_t) json_array_size(page), "resultTruncated",
				 "false", "data", page, "facets");
	if (!g->c->result)
		return no_memory(err);
	if (skip_rows + json_array_size(page) < n && json_array_size(page) > 0 &&
	    json_object_set_new(g->c->result, "$skipToken",
				json_strf("%zu", skip_rows + json_array_size(page))) < 0)
		return no_memory(err);
	return 0;
}

static int graph_query(struct arm_call *c, struct err *err)
{
	struct graph g = {.c = c};
	int r = parse(&g, json_str_at(c->body, "query"), err);

	if (r == 0) {
		g.rows = json_array();
		r = g.rows ? arm_named(c->arm, TYPE_GALLERY, SHARE_PUBLIC, add, &g, err)
			   : no_memory(err);
	}
	if (r == 0)
		r = answer(&g, err);
	json_decref(g.rows);
	return r;
}

static const struct arm_field option_fields[] = {
	{"$top", ARM_INT, ARM_NULLABLE, .min = 1, .max = GRAPH_MAX},
	{"$skip", ARM_INT, ARM_NULLABLE, .min = 0, .max = 1 << 30},
	{"$skipToken", ARM_STRING, ARM_NULLABLE},
	{"resultFormat", ARM_STRING, ARM_NULLABLE},
	{"allowPartialScopes", ARM_BOOL, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field query_fields[] = {
	{"query", ARM_STRING, ARM_REQUIRED, .max = 8192},
	{"subscriptions", ARM_ANY, ARM_NULLABLE},
	{"managementGroups", ARM_ANY, ARM_NULLABLE},
	{"options", ARM_OBJECT, ARM_NULLABLE, .fields = option_fields},
	{NULL},
};
static const struct arm_action graph_actions[] = {
	{"", "POST", "read", graph_query, query_fields},
	{NULL},
};

const struct arm_type type_resource_graph = {
	.name = "Microsoft.ResourceGraph/resources",
	.scope = ARM_SCOPE_TENANT,
	.readers = ARM_READERS_ALL, /* public galleries are for everybody */
	.first_version = "2019-04-01",
	.actions = graph_actions,
};
