/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/verbs.h"
#include "providers/app.h"

#define VERSION_TYPE    "Microsoft.Compute/galleries/images/versions"
#define DEFINITION_TYPE "Microsoft.Compute/galleries/images"
#define EXPAND          "$expand=ReplicationStatus"

static const struct cli_option group_option[] = {
	{"--group", 'g', "GROUP", "resource group of the gallery (default: search all)"},
	{NULL},
};

/* "eastus Completed, westeurope 40%" */
static char *replicas_text(const json_t *doc)
{
	const json_t *list = json_at(doc, "properties.replicationStatus.summary");
	auto_buf struct buf out = BUF_INIT(4096);
	const json_t *s;
	size_t i;

	json_array_foreach((json_t *) list, i, s)
	{
		const char *region = json_str_at(s, "region"), *state = json_str_at(s, "state");

		if (!region || !state)
			continue;
		buf_addf(&out, "%s%s", out.len ? ", " : "", region);
		if (strcmp(state, "Replicating") == 0)
			buf_addf(&out, " %d%%", (int) json_int_at(s, "progress", 0));
		else if (strcmp(state, "Completed") != 0)
			buf_addf(&out, " %s", state);
	}
	return buf_take(&out);
}

struct version_rows {
	struct app *app;
	struct cli_table *table;
	json_t *list;
	struct err *err;
};

static int list_row(struct version_rows *v, const char *id)
{
	auto_json json_t *doc = NULL;
	auto_free char *replicas = NULL;
	const char *published;
	char size[16] = "";
	int64_t bytes;
	int r = ref_get(v->app, id, NULL, EXPAND, &doc, v->err);

	if (r < 0)
		return r;
	if (v->list)
		return json_array_append(v->list, doc) < 0 ? -ENOMEM : 0;
	bytes = json_int_at(doc, "properties.kiln.disk.sizeBytes", 0);
	if (bytes > 0)
		size_human((uint64_t) bytes, size);
	published = json_str_at(doc, "properties.publishingProfile.publishedDate");
	replicas = replicas_text(doc);
	cli_table_add(
		v->table,
		(const char *const[]){
			json_str_at(doc, "name"),
			json_str_at(doc, "properties.provisioningState"),
			published,
			size,
			replicas,
			json_bool_at(doc, "properties.publishingProfile.excludeFromLatest", false)
				? "excluded"
				: "",
		});
	return 0;
}

static int list_all(struct version_rows *v, const char *definition)
{
	auto_free char *collection = strf("%s/versions", definition);
	auto_json json_t *page = NULL;
	const json_t *items, *item;
	size_t i;
	int r;

	if (!collection)
		return err_set(v->err, -ENOMEM, "versions");
	r = ref_get(v->app, collection, NULL, NULL, &page, v->err);
	items = json_object_get(page, "value");
	json_array_foreach((json_t *) items, i, item)
	{
		const char *id = json_str_at(item, "id");

		if (r == 0 && id)
			r = list_row(v, id);
	}
	return r;
}

static int run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const heads[] = {"VERSION",  "STATE",  "PUBLISHED", ">SIZE",
					    "REPLICAS", "LATEST", NULL};
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL;
	auto_json json_t *list = NULL;
	struct version_rows v = {.err = &e};
	int r;

	if (cli_app(cli, &v.app) < 0)
		return EXIT_FAILED;
	if (cli->json)
		v.list = list = json_array();
	r = ref_find(v.app, DEFINITION_TYPE, args->pos[0], cli_opt(args, "--group"), &id, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	v.table = cli_table_new(heads);
	r = v.table && (!cli->json || list) ? list_all(&v, id) : err_set(&e, -ENOMEM, "versions");
	if (r == 0 && list)
		r = cli_print_json(list);
	if (r < 0 || list) {
		cli_table_free(v.table);
		return r < 0 ? cli_fail(cli, &e) : EXIT_DONE;
	}
	return cli_table_print(cli, v.table) < 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct cli_command cmd_version_list = {
	.name = "version list",
	.args = "GALLERY/DEFINITION",
	.summary = "list the versions of an image definition",
	.help = "Versions in ascending order with their state, size and replicas.\n\n"
		"Examples:\n"
		"  kiln version list golden/debian-12\n"
		"  kiln version list golden/debian-12 -g images --json",
	.options = group_option,
	.run = run_list,
};

static void show_line(const struct cli *cli, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	(void) printf("%s%-14s%s", cli_sgr(cli, CLI_DIM), name, cli_sgr(cli, CLI_PLAIN));
	cli_print_safe(stdout, value, strlen(value));
	(void) putchar('\n');
}

static void show_version(const struct cli *cli, const json_t *doc)
{
	int64_t bytes = json_int_at(doc, "properties.kiln.disk.sizeBytes", 0);
	auto_free char *replicas = replicas_text(doc);
	char size[16] = "";

	if (bytes > 0)
		size_human((uint64_t) bytes, size);
	show_line(cli, "version", json_str_at(doc, "name"));
	show_line(cli, "state", json_str_at(doc, "properties.provisioningState"));
	show_line(cli, "published", json_str_at(doc, "properties.publishingProfile.publishedDate"));
	show_line(cli, "end of life",
		  json_str_at(doc, "properties.publishingProfile.endOfLifeDate"));
	show_line(cli, "disk size", size);
	show_line(cli, "disk digest", json_str_at(doc, "properties.kiln.disk.digest"));
	show_line(cli, "manifest", json_str_at(doc, "properties.kiln.manifest"));
	show_line(cli, "source", json_str_at(doc, "properties.storageProfile.source.id"));
	show_line(cli, "replicas", replicas);
	show_line(cli, "id", json_str_at(doc, "id"));
}

static int run_show(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL;
	auto_json json_t *doc = NULL;
	struct app *a;
	int r;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	r = ref_find(a, VERSION_TYPE, args->pos[0], cli_opt(args, "--group"), &id, &e);
	if (r == 0)
		r = ref_get(a, id, NULL, EXPAND, &doc, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	if (cli->json)
		return cli_print_json(doc) < 0 ? EXIT_FAILED : EXIT_DONE;
	show_version(cli, doc);
	return EXIT_DONE;
}

const struct cli_command cmd_version_show = {
	.name = "version show",
	.args = "VERSION",
	.summary = "show one image version",
	.help = "VERSION is GALLERY/DEFINITION/X.Y.Z, GALLERY/DEFINITION/latest, or a resource "
		"id.\n\n"
		"Examples:\n"
		"  kiln version show golden/debian-12/1.0.0\n"
		"  kiln version show golden/debian-12/latest --json",
	.options = group_option,
	.run = run_show,
};
