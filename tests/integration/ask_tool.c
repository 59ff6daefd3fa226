/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm_handle() on a line: ask_tool DIR opens the data directory and answers each line of standard
 * input, {"who":{"objectId","tenantId","groups"} or null,"method","target","body"}, with one line,
 * {"status","body"}. Without "who" it is the owner who asks, and operations run to their end.
 * "ask_tool --types" prints the table of types instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "providers/app.h"
#include "providers/registry.h"

#define GROUPS 8

static int see_action(void *arg, const char *name, const char *method,
		      const struct arm_action *action)
{
	json_t *list = arg;

	return json_array_append_new(list, json_pack("{s:s, s:s, s:s?}", "action", name, "method",
						     method, "verb", action ? action->name : NULL));
}

static int print_types(void)
{
	static const char *const scopes[] = {"tenant", "subscription", "group", "any"};
	static const char *const readers[] = {"role", "members", "all"};

	for (const struct arm_type *const *t = provider_types; *t; t++) {
		auto_json json_t *actions = json_array();
		auto_json json_t *j = NULL;
		auto_free char *line = NULL;

		if (!actions || arm_type_actions(*t, see_action, actions) < 0)
			return 1;
		j = json_pack("{s:s, s:s, s:s, s:b, s:b, s:O}", "name", (*t)->name, "scope",
			      scopes[(*t)->scope], "readers", readers[(*t)->readers],
			      "computedList", (*t)->list != NULL, "filtersRows", (*t)->filters_rows,
			      "requests", actions);
		line = j ? json_compact(j) : NULL;
		if (!line || puts(line) < 0)
			return 1;
	}
	return 0;
}

static void take_groups(const json_t *list, const char **groups)
{
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n && i + 1 < GROUPS; i++)
		groups[i] = json_string_value(json_array_get(list, i));
}

static int answer(struct app *app, const json_t *q)
{
	const json_t *who = json_object_get(q, "who"), *body = json_object_get(q, "body");
	const char *groups[GROUPS] = {NULL};
	const struct arm_principal principal = {
		.object_id = json_str_at(who, "objectId"),
		.name = json_str_at(who, "objectId"),
		.kind = "Application",
		.tenant_id = json_str_at(who, "tenantId"),
		.groups = groups,
	};
	auto_free char *text = body && !json_is_null(body) ? json_compact(body) : NULL;
	auto_free char *line = NULL;
	auto_json json_t *out = NULL;
	struct arm_request req = {
		.method = json_str_at(q, "method"),
		.target = json_str_at(q, "target"),
		.body = text,
		.body_bytes = text ? strlen(text) : 0,
		.who = json_is_object(who) ? &principal : &app->owner,
	};
	struct arm_response res = {0};
	int r = 0;

	take_groups(json_object_get(who, "groups"), groups);
	arm_handle(app->arm, &req, &res);
	if (!json_is_object(who) && res.operation_id[0])
		r = arm_work(app->arm, res.operation_id, NULL, NULL, NULL);
	out = json_pack("{s:i, s:i, s:o}", "status", res.status, "work", r, "body",
			res.body ? json_incref(res.body) : json_null());
	line = out ? json_compact(out) : NULL;
	arm_response_done(&res);
	return line && puts(line) >= 0 && fflush(stdout) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct app *app = NULL;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int r = 0;

	if (argc == 2 && strcmp(argv[1], "--types") == 0)
		return print_types();
	if (argc != 2 || app_open(argv[1], &app, &e) < 0) {
		(void) fprintf(stderr, "ask_tool: %s\n", err_str(&e));
		return 1;
	}
	while (r == 0 && (n = getline(&line, &cap, stdin)) > 0) {
		auto_json json_t *q = NULL;

		r = json_parse(line, (size_t) n, &q, &e);
		if (r == 0)
			r = answer(app, q);
	}
	if (r < 0)
		(void) fprintf(stderr, "ask_tool: %s\n", err_str(&e));
	err_done(&e);
	free(line);
	app_close(app);
	return r < 0;
}
