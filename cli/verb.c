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

/* Where the nouns in (or under) @in are listed: "" = all that the subscription has. */
static int list_path(struct cli *cli, const struct cli_noun *n, const struct cli_args *args,
		     const char *in, char **ret, struct err *err)
{
	const char *sub = cli->target->subscription_id, *group = cli_opt(args, "--group");
	const char *last = n->type ? strrchr(n->type, '/') + 1 : NULL;
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
		parent_type = strndup(n->type, (size_t) (last - 1 - n->type));
		r = parent_type ? ref_find(cli, parent_type, in, group, &parent, err) : -ENOMEM;
		*ret = r == 0 ? strf("%s/%s", parent, last) : NULL;
	} else if (group)
		*ret = strf("/subscriptions/%s/resourceGroups/%s/providers/%s", sub, group,
			    n->type);
	else
		*ret = strf("/subscriptions/%s/providers/%s", sub, n->type);
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
	if (r == -ENOENT) /* gone meanwhile */
		return 0;
	return r < 0 ? r : json_array_append(l->list, whole ? whole : item) < 0 ? -ENOMEM : 0;
}

int verb_list(struct cli *cli, const struct cli_args *args)
{
	const struct cli_noun *n = args->cmd->noun;
	auto_err struct err e = ERR_INIT;
	auto_json json_t *list = json_array();
	struct lister l = {cli, n, list, &e};
	auto_free char *path = NULL;
	struct target *t;
	int r = cli_render_check(cli, args);

	if (r != EXIT_DONE)
		return r;
	if (!list || cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = list_path(cli, n, args, args->n_pos ? args->pos[0] : NULL, &path, &e);
	if (r == 0)
		r = target_each(cli, path, list_item, &l, &e);
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
