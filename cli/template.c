/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/verbs.h"
#include "providers/app.h"

#define TEMPLATE_TYPE "Microsoft.VirtualMachineImages/imageTemplates"

static const struct cli_option group_option[] = {
	{"--group", 'g', "GROUP", "resource group of the template (default: search all)"},
	{NULL},
};

static int template_row(void *arg, const char *id, const json_t *doc)
{
	const char *state = json_str_at(doc, "properties.lastRunStatus.runState");
	auto_arm_id struct arm_id a = {0};
	int r = arm_id_parse(id, &a, NULL);

	if (r < 0)
		return r;
	cli_table_add(arg,
		      (const char *const[]){a.name, a.group, json_str_at(doc, "location"),
					    json_str_at(doc, "properties.source.type"), state,
					    json_str_at(doc, "properties.lastRunStatus.endTime")});
	return 0;
}

static int run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const heads[] = {"TEMPLATE", "GROUP", "LOCATION", "SOURCE",
					    "LAST RUN", "ENDED", NULL};
	auto_err struct err e = ERR_INIT;
	const char *group = cli_opt(args, "--group");
	const char *sub;
	auto_free char *parent = NULL;
	struct cli_table *t;
	struct app *a;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	sub = json_str_at(a->admin, "subscriptionId");
	parent = group ? strf("/subscriptions/%s/resourceGroups/%s", sub, group)
		       : strf("/subscriptions/%s", sub);
	if (!parent)
		return EXIT_FAILED;
	if (cli->json) {
		auto_free char *path = strf("%s/providers/" TEMPLATE_TYPE, parent);
		auto_json json_t *page = NULL;

		if (!path || ref_get(a, path, NULL, NULL, &page, &e) < 0)
			return cli_fail(cli, &e);
		return cli_print_json(json_object_get(page, "value")) < 0 ? EXIT_FAILED : EXIT_DONE;
	}
	t = cli_table_new(heads);
	if (!t)
		return EXIT_FAILED;
	if (arm_each(a->arm, TEMPLATE_TYPE, parent, template_row, t, &e) < 0) {
		cli_table_free(t);
		return cli_fail(cli, &e);
	}
	return cli_table_print(cli, t) < 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct cli_command cmd_template_list = {
	.name = "template list",
	.summary = "list image templates and how their last runs ended",
	.help = "Examples:\n"
		"  kiln template list\n"
		"  kiln template list -g images --json",
	.options = group_option,
	.run = run_list,
};

static int run_show(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL;
	auto_json json_t *doc = NULL;
	struct app *a;
	int r;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	r = ref_find(a, TEMPLATE_TYPE, args->pos[0], cli_opt(args, "--group"), &id, &e);
	if (r == 0)
		r = ref_get(a, id, NULL, NULL, &doc, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	return cli_print_json(doc) < 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct cli_command cmd_template_show = {
	.name = "template show",
	.args = "TEMPLATE",
	.summary = "print one image template",
	.help = "TEMPLATE is a name or a resource id. The document is the one that an edited copy "
		"of\n"
		"can be baked from.\n\n"
		"Examples:\n"
		"  kiln template show golden-debian > template.json",
	.options = group_option,
	.run = run_show,
};
