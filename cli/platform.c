/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/bake_view.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "providers/app.h"
#include "providers/platform_make.h"

static const struct cli_option region_option[] = {
	{"--region", 0, "REGION", "where the images are kept (default: the first region)"},
	{NULL},
};

static int find_region(struct cli *cli, const struct app *app, const struct cli_args *args,
		       unsigned *ret, struct err *err)
{
	const char *name = cli_opt(args, "--region");
	int region = name ? app_region_index(app, name) : 0;

	if (region < 0)
		return err_set(err, region, "region '%s' is not configured", name);
	*ret = (unsigned) region;
	return 0;
}

/* --- list --- */

static void list_rows(struct cli_table *t, const json_t *list)
{
	const json_t *sku;
	size_t i;

	json_array_foreach((json_t *) list, i, sku)
	{
		const json_t *versions = json_at(sku, "versions");
		auto_free char *urn = strf("%s:%s:%s", json_str_at(sku, "publisher"),
					   json_str_at(sku, "offer"), json_str_at(sku, "sku"));
		size_t n = json_array_size(versions);

		if (n == 0)
			cli_table_add(t, (const char *const[]){urn, NULL,
							       json_str_at(sku, "hyperVGeneration"),
							       "made when first used"});
		while (n-- > 0)
			cli_table_add(t,
				      (const char *const[]){
					      urn, json_string_value(json_array_get(versions, n)),
					      json_str_at(sku, "hyperVGeneration"), "kept"});
	}
}

static int run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const heads[] = {"IMAGE", "VERSION", "GENERATION", "STATE", NULL};
	auto_err struct err e = ERR_INIT;
	auto_json json_t *list = NULL;
	struct cli_table *t;
	struct app *app;
	unsigned region = 0;
	int r;

	if (cli_app(cli, &app) < 0)
		return EXIT_FAILED;
	r = find_region(cli, app, args, &region, &e);
	if (r == 0)
		r = platform_list(app, region, &list, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	if (cli->json)
		return cli_print_json(list) < 0 ? EXIT_FAILED : EXIT_DONE;
	t = cli_table_new(heads);
	if (!t)
		return EXIT_FAILED;
	list_rows(t, list);
	return cli_table_print(cli, t) < 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct cli_command cmd_platform_list = {
	.name = "platform list",
	.args = "",
	.summary = "platform images and their kept versions",
	.help = "The images that kiln makes itself from a distribution's signed archive. An image "
		"is "
		"made when a template first names it, or by `kiln platform make`.\n"
		"\n"
		"Example:\n"
		"  kiln platform list",
	.options = region_option,
	.run = run_list,
};

/* --- make --- */

static void show_made(const json_t *doc)
{
	char size[16];

	(void) printf("%s:%s:%s:%s\n", json_str_at(doc, "publisher"), json_str_at(doc, "offer"),
		      json_str_at(doc, "sku"), json_str_at(doc, "version"));
	(void) printf("  %s, %zu packages, %s\n",
		      json_bool_at(doc, "made", false) ? "made now" : "kept",
		      json_object_size(json_at(doc, "packages")),
		      size_human((uint64_t) json_int_at(doc, "disk.sizeBytes", 0), size));
	(void) printf("  %s\n", json_str_at(doc, "disk.digest"));
}

static int run_make(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *doc = NULL;
	struct bake_view *view;
	struct app *app;
	unsigned region = 0;
	int r;

	if (args->n_pos != 1)
		return cli_usage(cli, "platform make: expected one PUBLISHER:OFFER:SKU[:VERSION]");
	if (cli_app(cli, &app) < 0)
		return EXIT_FAILED;
	/* With --json standard output is the one document, so events are not shown. */
	view = cli->json ? NULL : bake_view_new(cli);
	r = find_region(cli, app, args, &region, &e);
	if (r == 0)
		r = platform_make(app, region, args->pos[0], &cli->cancel,
				  view ? bake_view_sink(view) : NULL, &doc, &e);
	if (view)
		bake_view_stop(view);
	bake_view_free(view);
	if (r < 0)
		return cli_fail(cli, &e);
	if (cli->json)
		return cli_print_json(doc) < 0 ? EXIT_FAILED : EXIT_DONE;
	show_made(doc);
	return EXIT_DONE;
}

const struct cli_command cmd_platform_make = {
	.name = "platform make",
	.args = "PUBLISHER:OFFER:SKU[:VERSION]",
	.summary = "make a platform image, or find it kept",
	.help = "Makes the newest version from the archive now, unless the kept one is current: "
		"less "
		"than a day old, or the archive has not changed since. Both generations of a "
		"release share one disk. See docs/platform-images.md.\n"
		"\n"
		"Example:\n"
		"  kiln platform make Debian:debian-12:12-gen2",
	.options = region_option,
	.run = run_make,
};
