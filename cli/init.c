/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "providers/app.h"

static json_t *init_summary(const struct app *a)
{
	json_t *regions = json_array();

	for (size_t i = 0; regions && i < a->n_regions; i++)
		(void) json_array_append_new(regions, json_pack("{s:s, s:s, s:s}", "name",
								a->regions[i].name, "displayName",
								a->regions[i].display, "url",
								a->regions[i].url));
	return json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:b, s:o}", "dataDirectory", a->data_dir,
			 "adminFile", json_strf("%s/admin.json", a->data_dir), "runDirectory",
			 a->run_dir, "endpoint", json_str_at(a->admin, "endpoint"), "tenantId",
			 json_str_at(a->admin, "tenantId"), "subscriptionId",
			 json_str_at(a->admin, "subscriptionId"), "created", a->created, "regions",
			 regions);
}

static int run_init(struct cli *cli, const struct cli_args *args)
{
	struct app *a;

	(void) args;
	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	if (cli->json) {
		auto_json json_t *j = init_summary(a);

		return j && cli_print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	(void) printf("%s %s\n", a->created ? "made" : "kept", a->data_dir);
	(void) printf("subscription  %s\n", json_str_at(a->admin, "subscriptionId"));
	for (size_t i = 0; i < a->n_regions; i++)
		(void) printf("%s  %s (%s) at %s\n", i ? "             " : "regions      ",
			      a->regions[i].name, a->regions[i].display, a->regions[i].url);
	(void) printf("credentials   %s/admin.json\n", a->data_dir);
	return EXIT_DONE;
}

const struct cli_command cmd_init = {
	.name = "init",
	.summary = "make the data directory (any command does it on first use)",
	.help = "Makes the data directory with its database, regions and administrator's\n"
		"credentials (admin.json, mode 0600), or says what is there. Regions, database "
		"and\n"
		"limits can be set beforehand in DIR/kiln.yaml.\n\n"
		"Examples:\n"
		"  kiln init\n"
		"  kiln init --data /srv/images --json",
	.run = run_init,
};
