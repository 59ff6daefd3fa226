/* SPDX-License-Identifier: Apache-2.0 */
/* `kiln store rebuild-catalog`: the database was lost, the regions were not. */
#include "base/mem.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "providers/catalog_rebuild.h"

static const struct cli_option options[] = {
	{"--from-region", 0, "REGION", "whose records count: the galleries' home region"},
	{NULL},
};

static void print_note(void *arg, const char *text)
{
	(void) arg;
	(void) fprintf(stderr, "%s\n", text);
}

static json_t *as_json(const struct catalog_rebuilt *k)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I}", "records", (int) k->records,
			 "restored", (int) k->restored, "kept", (int) k->kept, "tombstones",
			 (int) k->tombstones, "refused", (int) k->refused, "incompleteVersions",
			 (int) k->incomplete, "roots", (int) k->roots, "packs",
			 (json_int_t) k->packs);
}

static int print(struct cli *cli, const struct catalog_rebuilt *k)
{
	auto_json json_t *j = NULL;

	if (cli->json) {
		j = as_json(k);
		return j ? cli_print_json(j) : -ENOMEM;
	}
	(void) printf("%u records: %u restored, %u kept, %u deleted ones stay deleted, %u refused\n"
		      "%u roots, %llu packs; %u versions are not whole\n",
		      k->records, k->restored, k->kept, k->tombstones, k->refused, k->roots,
		      (unsigned long long) k->packs, k->incomplete);
	return 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	const char *region = cli_opt(args, "--from-region");
	auto_err struct err e = ERR_INIT;
	struct catalog_rebuilt k;
	struct app *app;
	int r;

	if (args->n_pos != 0 || !region)
		return cli_usage(cli, "store rebuild-catalog: --from-region REGION expected");
	if (cli_app(cli, &app) < 0)
		return EXIT_FAILED;
	r = catalog_rebuild(app, region, &cli->cancel, cli->json ? NULL : print_note, NULL, &k, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	if (print(cli, &k) < 0)
		return EXIT_FAILED;
	return k.refused + k.incomplete > 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct cli_command cmd_store_catalog = {
	.name = "store rebuild-catalog",
	.summary = "galleries and what is in them anew from a region's records",
	.help = "For a lost database, or one that comes from an older copy. The newest record of\n"
		"each resource decides; what was deleted stays deleted. A version lives again in\n"
		"each region that holds all of it; where a part is missing it is Failed, and a "
		"PUT\n"
		"of it finishes what can be had. Platform images of that region come back too.\n"
		"Templates, runs and managed images are in no catalog: collection removes the\n"
		"disks that only those held. Exit status 1 when a record was refused or a version\n"
		"is not whole.\n\n"
		"Examples:\n"
		"  kiln store rebuild-catalog --from-region eastus",
	.options = options,
	.run = run,
};
