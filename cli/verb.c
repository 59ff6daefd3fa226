/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/context.h"
#include "cli/noun.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/target.h"

const struct cli_option verb_list_options[] = {
	{"--group", 'g', "GROUP", "only those of this resource group"},
	CLI_RENDER_OPTIONS,
	{NULL},
};
const struct cli_option verb_show_options[] = {
	NOUN_GROUP_OPTION,
	CLI_RENDER_OPTIONS,
	{NULL},
};
const struct cli_option verb_update_options[] = {
	NOUN_GROUP_OPTION,
	NOUN_WRITE_OPTIONS,
	{NULL},
};
const struct cli_option verb_delete_options[] = {
	NOUN_GROUP_OPTION,
	NOUN_DELETE_OPTIONS,
	{NULL},
};

/* ---- Ids ------------------------------------------------------------------------------------ */

int noun_scope(struct cli *cli, const struct cli_args *args, char **ret, struct err *err)
{
	const char *scope = cli_opt(args, "--scope"), *sub = cli->target->subscription_id;
	size_t n;

	*ret = scope ? ref_expand(sub, scope) : strf("/subscriptions/%s", sub);
	if (!*ret)
		return err_set(err, -ENOMEM, "--scope");
	n = strlen(*ret);
	if ((*ret)[0] != '/')
		return err_set(err, -EINVAL, "--scope: '%s' is no id ('/...')", scope);
	if ((*ret)[n - 1] == '/')
		(*ret)[n - 1] = '\0';
	return 0;
}

int noun_id(struct cli *cli, const struct cli_noun *n, const struct cli_args *args,
	    const char *typed, char **ret, struct err *err)
{
	const char *sub = cli->target->subscription_id;
	auto_free char *scope = NULL;

	if (n->scope == NOUN_ANY && typed[0] != '/') {
		int r = noun_scope(cli, args, &scope, err);

		if (r < 0)
			return r;
		*ret = strf("%s/%s/%s", scope, n->path, typed);
		return *ret ? 0 : err_set(err, -ENOMEM, "%s", typed);
	}
	if (n->scope == NOUN_GROUP)
		return ref_find(cli, n->type, typed, cli_opt(args, "--group"), ret, err);
	if (typed[0] == '/')
		*ret = ref_expand(sub, typed);
	else if (n->scope == NOUN_SUBSCRIPTION)
		*ret = strf("/subscriptions/%s/%s/%s", sub, n->path, typed);
	else
		*ret = strf("/%s/%s", n->path, typed);
	return *ret ? 0 : err_set(err, -ENOMEM, "%s", typed);
}

/* How many names a command takes for @typed, "golden/debian-12" or an id. */
static size_t names_in(const char *typed)
{
	const char *types = typed ? strstr(typed, "/providers/") : NULL;
	size_t slashes = 0;

	if (!typed)
		return 0;
	for (const char *p = types ? types + strlen("/providers/") : typed; *p; p++)
		slashes += *p == '/';
	return types ? slashes / 2 : slashes + 1;
}

/* "A/b/c/d" up to its type number @depth: "A/b" for 1. Caller frees. */
static char *type_until(const char *type, size_t depth)
{
	const char *end = strchr(type, '/');

	for (size_t i = 0; end && i < depth; i++)
		end = strchr(end + 1, '/');
	return end ? strndup(type, (size_t) (end - type)) : strdup(type);
}

/* Where the resources of @type in (or under) @in are listed; @in NULL = wherever they are. */
static int list_path(struct cli *cli, const struct cli_noun *n, const struct cli_args *args,
		     const char *type, const char *in, char **ret, struct err *err)
{
	const char *sub = cli->target->subscription_id, *group = cli_opt(args, "--group");
	const char *last = type ? strrchr(type, '/') + 1 : NULL;
	auto_free char *parent_type = NULL, *parent = NULL;
	int r = 0;

	if (n->scope == NOUN_ANY) {
		r = noun_scope(cli, args, &parent, err);
		*ret = r == 0 ? strf("%s/%s", parent, n->path) : NULL;
	} else if (n->scope == NOUN_TENANT)
		*ret = strf("/%s", n->path);
	else if (n->scope == NOUN_SUBSCRIPTION)
		*ret = strf("/subscriptions/%s/%s", sub, n->path);
	else if (in && last) {
		parent_type = strndup(type, (size_t) (last - 1 - type));
		r = parent_type ? ref_find(cli, parent_type, in, group, &parent, err) : -ENOMEM;
		*ret = r == 0 ? strf("%s/%s", parent, last) : NULL;
	} else if (group)
		*ret = strf("/subscriptions/%s/resourceGroups/%s/providers/%s", sub, group, type);
	else
		*ret = strf("/subscriptions/%s/providers/%s", sub, type);
	return *ret ? 0 : r < 0 ? r : err_set(err, -ENOMEM, "list");
}

/* ---- Reads ---------------------------------------------------------------------------------- */

struct lister {
	struct cli *cli;
	const struct cli_noun *noun;
	json_t *list;
	struct err *err;
};

static int list_item(void *arg, json_t *item)
{
	struct lister *l = arg;
	const char *id = json_str_at(item, "id");
	auto_json json_t *whole = NULL;
	int r = 0;

	if (l->noun->query_each && id)
		r = ref_get(l->cli, id, l->noun->query, &whole, l->err);
	if (r == -ENOENT) { /* gone meanwhile */
		err_done(l->err);
		return 0;
	}
	return r < 0 ? r : json_array_append(l->list, whole ? whole : item) < 0 ? -ENOMEM : 0;
}

/* Lists of one level after the other, down to those of the noun itself. */
struct level {
	struct lister *l;
	const char *below; /* what of the type follows: "images/versions", or "" at the bottom */
};

static int level_item(void *arg, json_t *item)
{
	const struct level *here = arg;
	const char *id = json_str_at(item, "id");
	size_t n = strcspn(here->below, "/");
	struct level next = {here->l, here->below[n] ? here->below + n + 1 : ""};
	auto_free char *path = NULL;
	int r;

	if (!*here->below || !id)
		return list_item(here->l, item);
	path = strf("%s/%.*s", id, (int) n, here->below);
	r = path ? target_each(here->l->cli, path, level_item, &next, here->l->err) : -ENOMEM;
	if (r != -ENOENT)
		return r;
	err_done(here->l->err); /* gone meanwhile */
	return 0;
}

struct by_time {
	const char *time;
	json_t *doc;
};

static int later_first(const void *a, const void *b)
{
	const char *x = ((const struct by_time *) a)->time;
	const char *y = ((const struct by_time *) b)->time;

	return strcmp(y ? y : "", x ? x : "");
}

/* ISO 8601 in UTC sorts as text does. */
static int sort_newest(json_t **list, const char *path)
{
	size_t n = json_array_size(*list), i;
	auto_free struct by_time *order = calloc(n + 1, sizeof(*order));
	json_t *sorted = json_array(), *doc;
	int r = order && sorted ? 0 : -ENOMEM;

	json_array_foreach(*list, i, doc) if (r == 0) order[i] =
		(struct by_time){json_str_at(doc, path), doc};
	if (r == 0)
		qsort(order, n, sizeof(*order), later_first);
	for (i = 0; i < n && r == 0; i++)
		r = json_array_append(sorted, order[i].doc) < 0 ? -ENOMEM : 0;
	if (r < 0) {
		json_decref(sorted);
		return r;
	}
	json_decref(*list);
	*list = sorted;
	return 0;
}

int verb_list(struct cli *cli, const struct cli_args *args)
{
	const struct cli_noun *n = args->cmd->noun;
	const char *in = args->n_pos ? args->pos[0] : NULL;
	auto_err struct err e = ERR_INIT;
	auto_json json_t *list = json_array();
	struct lister l = {cli, n, list, &e};
	auto_free char *path = NULL, *type = NULL;
	struct level top = {&l, ""};
	struct target *t;
	int r = cli_render_check(cli, args);

	if (r != EXIT_DONE)
		return r;
	if (!list || cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	if (n->type) {
		type = type_until(n->type, names_in(in) + 1);
		top.below = n->type + (type ? strlen(type) : 0);
		top.below += *top.below == '/';
	}
	r = n->type && !type ? -ENOMEM : list_path(cli, n, args, type, in, &path, &e);
	if (r == 0)
		r = target_each(cli, path, level_item, &top, &e);
	if (r == 0 && n->newest)
		r = sort_newest(&list, n->newest);
	return r < 0 ? cli_fail(cli, &e) : cli_render(cli, args, list, n->columns);
}

int verb_show(struct cli *cli, const struct cli_args *args)
{
	const struct cli_noun *n = args->cmd->noun;
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL;
	auto_json json_t *doc = NULL;
	struct target *t;
	int r = cli_render_check(cli, args);

	if (r != EXIT_DONE)
		return r;
	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = noun_id(cli, n, args, args->pos[0], &id, &e);
	if (r == 0)
		r = ref_get(cli, id, n->query, &doc, &e);
	return r < 0 ? cli_fail(cli, &e)
		     : cli_render(cli, args, n->part ? json_at(doc, n->part) : doc, n->columns);
}

/* ---- Changes -------------------------------------------------------------------------------- */

/* The parent's location, as az does it. */
static int default_location(struct cli *cli, const char *id, json_t *body, struct err *err)
{
	auto_json json_t *parent = NULL;
	auto_free char *up = NULL;
	const char *providers = strstr(id, "/providers/");
	size_t cut = strlen(id);
	int r;

	if (json_object_get(body, "location") || !providers)
		return 0;
	for (int i = 0; i < 2; i++)
		while (cut > 0 && id[--cut] != '/')
			;
	/* below the first type/name pair the parent is a resource, else the group */
	if (id + cut <= providers + strlen("/providers/") + strcspn(providers + 11, "/"))
		cut = (size_t) (providers - id);
	up = strndup(id, cut);
	r = up ? ref_get(cli, up, NULL, &parent, err) : err_set(err, -ENOMEM, "location");
	if (r < 0)
		return r;
	return json_object_set(body, "location", json_object_get(parent, "location")) < 0
		       ? err_set(err, -ENOMEM, "location")
		       : 0;
}

static int start_body(const struct cli_noun *n, const struct cli_args *args, json_t **ret,
		      struct err *err)
{
	const char *file = cli_opt(args, "--body");
	auto_buf struct buf text = BUF_INIT(JSON_MAX_BYTES);
	int r;

	if (file && strcmp(file, "-") == 0) {
		r = file_read_fd(STDIN_FILENO, &text);
		r = r < 0 ? err_set(err, r, "standard input: %s", strerror(-r))
			  : json_parse(buf_str(&text), text.len, ret, err);
		return r < 0 ? err_ctx(err, r, "standard input") : 0;
	}
	if (file)
		return json_read_file(file, ret, err);
	if (n->body)
		return json_parse(n->body, strlen(n->body), ret, err);
	*ret = json_object();
	return *ret ? 0 : err_set(err, -ENOMEM, "request");
}

static int required(struct cli *cli, const struct cli_args *args)
{
	if (cli_opt(args, "--body"))
		return EXIT_DONE;
	for (const struct cli_option *o = args->cmd->options; o->name; o++)
		if (o->required && !cli_opt(args, o->name))
			return cli_usage(cli, "%s: %s %s is missing", args->cmd->name, o->name,
					 o->arg);
	return EXIT_DONE;
}

int verb_create(struct cli *cli, const struct cli_args *args)
{
	const struct cli_noun *n = args->cmd->noun;
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL;
	auto_json json_t *body = NULL, *doc = NULL;
	struct target *t;
	int r = cli_render_check(cli, args);

	r = r == EXIT_DONE ? required(cli, args) : r;
	if (r != EXIT_DONE)
		return r;
	if (n->type && !strchr(strchr(n->type, '/') + 1, '/') && args->pos[0][0] != '/' &&
	    !cli_opt(args, "--group"))
		return cli_usage(cli, "%s: --group GROUP is missing", args->cmd->name);
	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = noun_id(cli, n, args, args->pos[0], &id, &e);
	if (r == 0)
		r = start_body(n, args, &body, &e);
	if (r == 0)
		r = noun_body(cli, args, body, &e);
	if (r == 0 && n->located)
		r = default_location(cli, id, body, &e);
	if (r == 0)
		r = target_call(cli, "PUT", id, body, !cli_flag(args, "--no-wait"), &doc, &e);
	return r < 0 ? cli_fail(cli, &e) : cli_render(cli, args, doc, n->columns);
}

int verb_update(struct cli *cli, const struct cli_args *args)
{
	const struct cli_noun *n = args->cmd->noun;
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL;
	auto_json json_t *body = json_object(), *doc = NULL;
	struct target *t;
	int r = cli_render_check(cli, args);

	if (r != EXIT_DONE)
		return r;
	if (!body || cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = noun_body(cli, args, body, &e);
	if (r == 0 && json_object_size(body) == 0)
		return cli_usage(cli,
				 "%s: nothing to change: give --set PATH=VALUE or another "
				 "option",
				 args->cmd->name);
	if (r == 0)
		r = noun_id(cli, n, args, args->pos[0], &id, &e);
	if (r == 0)
		r = target_call(cli, "PATCH", id, body, !cli_flag(args, "--no-wait"), &doc, &e);
	return r < 0 ? cli_fail(cli, &e) : cli_render(cli, args, doc, n->columns);
}

int verb_action(struct cli *cli, const struct cli_args *args)
{
	const struct cli_noun *n = args->cmd->noun;
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL, *path = NULL;
	auto_json json_t *body = json_object(), *doc = NULL;
	struct target *t;
	int r = cli_render_check(cli, args);

	r = r == EXIT_DONE ? required(cli, args) : r;
	if (r != EXIT_DONE)
		return r;
	if (!body || cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = noun_body(cli, args, body, &e);
	if (r == 0)
		r = noun_id(cli, n, args, args->pos[0], &id, &e);
	path = r == 0 ? strf("%s/%s", id, args->cmd->action) : NULL;
	if (path)
		r = target_call(cli, "POST", path, json_object_size(body) ? body : NULL,
				!cli_flag(args, "--no-wait"), &doc, &e);
	return r < 0 ? cli_fail(cli, &e) : cli_render(cli, args, doc, n->columns);
}

/* ---- Deletion ------------------------------------------------------------------------------- */

struct deletion {
	struct cli *cli;
	const struct cli_noun *below;
	struct err *err;
	size_t count;
	bool print;
};

static int count_below(struct deletion *d, const struct cli_noun *n, const char *id);

static int count_item(void *arg, json_t *item)
{
	struct deletion *d = arg;
	const char *id = json_str_at(item, "id");
	const struct cli_noun *n = d->below;
	int r;

	d->count++;
	if (d->print && id)
		(void) printf("%s\n", id);
	r = n && id ? count_below(d, n->below, id) : 0;
	d->below = n;
	return r;
}

static int count_below(struct deletion *d, const struct cli_noun *n, const char *id)
{
	auto_free char *path = NULL;

	if (!n)
		return 0;
	path = n->type ? strf("%s/%s", id, strrchr(n->type, '/') + 1) : strf("%s/%s", id, n->path);
	d->below = n;
	return path ? target_each(d->cli, path, count_item, d, d->err) : -ENOMEM;
}

/* People are asked; programs must say --yes. EXIT_DONE = go on. */
static int confirm(struct cli *cli, const struct cli_args *args, const char *id, size_t below)
{
	char answer[8] = "";

	if (cli_flag(args, "--yes"))
		return EXIT_DONE;
	if (!isatty(STDIN_FILENO) || cli->json)
		return cli_usage(cli, "%s: --yes is missing (or --dry-run to see what would go)",
				 args->cmd->name);
	(void) fprintf(stderr, "Delete %s", id);
	if (below)
		(void) fprintf(stderr, " and %zu below it", below);
	(void) fprintf(stderr, "? [y/N] ");
	if (fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y'))
		return EXIT_DONE;
	return EXIT_CANCELLED;
}

int verb_delete(struct cli *cli, const struct cli_args *args)
{
	const struct cli_noun *n = args->cmd->noun;
	bool dry = cli_flag(args, "--dry-run");
	auto_err struct err e = ERR_INIT;
	struct deletion d = {.cli = cli, .err = &e, .print = dry};
	auto_json json_t *doc = NULL;
	auto_free char *id = NULL;
	struct target *t;
	int r;

	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = noun_id(cli, n, args, args->pos[0], &id, &e);
	if (r == 0 && (dry || !cli_flag(args, "--yes"))) {
		r = ref_get(cli, id, NULL, &doc, &e);
		if (r == 0)
			r = count_below(&d, n->below, id);
		if (r == 0 && dry)
			(void) printf("%s\n", id);
	}
	if (r < 0)
		return cli_fail(cli, &e);
	if (dry)
		return EXIT_DONE;
	r = confirm(cli, args, id, d.count);
	if (r != EXIT_DONE)
		return r;
	r = target_call(cli, "DELETE", id, NULL, !cli_flag(args, "--no-wait"), NULL, &e);
	return r < 0 ? cli_fail(cli, &e) : EXIT_DONE;
}
