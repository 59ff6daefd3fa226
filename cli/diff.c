/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two images: files and packages. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/verbs.h"
#include "providers/step_source.h"

static void print_file(const struct cli *cli, const json_t *f)
{
	static const struct {
		const char *change;
		char mark;
		enum cli_style style;
	} kinds[] = {
		{"added", '+', CLI_GREEN}, {"changed", '~', CLI_YELLOW}, {"removed", '-', CLI_RED}};
	const char *change = json_str_at(f, "change"), *path = json_str_at(f, "path");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!str_eq(change, kinds[i].change))
			continue;
		(void) printf("%s%c%s ", cli_sgr(cli, kinds[i].style), kinds[i].mark,
			      cli_sgr(cli, CLI_PLAIN));
	}
	cli_print_safe(stdout, path, strlen(path));
	(void) putchar('\n');
}

static void print_changes(const struct cli *cli, const json_t *doc)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(doc, "files"), i, item) print_file(cli, item);
	if (json_bool_at(doc, "truncated", false))
		(void) printf("... and more\n");
	json_array_foreach(json_object_get(doc, "packages"), i, item)
	{
		const char *was = json_str_at(item, "was"), *now = json_str_at(item, "now");

		(void) printf("package %s ", json_str_at(item, "name"));
		if (was && now)
			(void) printf("%s -> %s\n", was, now);
		else
			(void) printf("%s %s\n", now ? "added" : "removed", now ? now : was);
	}
	(void) printf("%lld added, %lld changed, %lld removed; %zu packages\n",
		      (long long) json_int_at(doc, "counts.added", 0),
		      (long long) json_int_at(doc, "counts.changed", 0),
		      (long long) json_int_at(doc, "counts.removed", 0),
		      json_array_size(json_object_get(doc, "packages")));
}

/* One "X@STEP" alone means what that step did: from before it to after it. */
static int other_side(const char *typed, char **ret, struct err *err)
{
	const char *at = strchr(typed, '@');

	if (!at || at[1] == '^') {
		err_set(err, -EINVAL, "diff: '%s' needs a second image to compare with", typed);
		err_hint(err, "TEMPLATE@STEP alone shows what the step changed");
		return -EINVAL;
	}
	*ret = strf("%.*s@^%s", (int) (at - typed), typed, at + 1);
	return *ret ? 0 : err_set(err, -ENOMEM, "diff");
}

static int run_diff(struct cli *cli, const struct cli_args *args)
{
	const char *group = cli_opt(args, "--group"), *last = args->pos[args->n_pos - 1];
	auto_free char *before = NULL, *a_id = NULL, *b_id = NULL;
	auto_err struct err e = ERR_INIT;
	auto_json json_t *doc = NULL;
	struct app *app;
	int r = 0;

	if (args->n_pos == 1)
		r = other_side(last, &before, &e);
	if (r == 0 && cli_app(cli, &app) < 0)
		return EXIT_FAILED;
	if (r == 0)
		r = ref_find_step(cli, before ? before : args->pos[0], group, &a_id, &e);
	if (r == 0)
		r = ref_find_step(cli, last, group, &b_id, &e);
	if (r == 0)
		r = image_changes(app, a_id, b_id, &cli->cancel, &doc, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	if (cli->json)
		return cli_print_json(doc) < 0 ? EXIT_FAILED : EXIT_DONE;
	print_changes(cli, doc);
	return EXIT_DONE;
}

static const struct cli_option diff_options[] = {
	{"--group", 'g', "GROUP", "resource group (default: search all)"},
	{NULL},
};

const struct cli_command cmd_diff = {
	.name = "diff",
	.args = "IMAGE [IMAGE]",
	.summary = "files and packages that differ between two images",
	.help = "IMAGE is a version (GALLERY/DEFINITION/X.Y.Z or latest, or an id), or a disk of a "
		"run\n"
		"(TEMPLATE@STEP, RUN@STEP, with \"^\" in front of STEP: before it). One "
		"TEMPLATE@STEP alone\n"
		"shows what that step changed. Nothing is mounted.\n\n"
		"Examples:\n"
		"  kiln diff golden-debian@nginx\n"
		"  kiln diff golden/debian-12/1.0.0 golden/debian-12/latest --json",
	.options = diff_options,
	.run = run_diff,
};
const struct cli_command cmd_version_diff = {
	.name = "version diff",
	.args = "VERSION VERSION",
	.summary = "files and packages that differ between two versions",
	.help = "Example:\n  kiln version diff golden/debian-12/1.0.0 golden/debian-12/latest",
	.options = diff_options,
	.run = run_diff,
};
