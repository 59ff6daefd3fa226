/* SPDX-License-Identifier: Apache-2.0 */
/* `kiln cache ...`: the step cache of this data directory. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "providers/step_cache.h"

static const char *short_key(const char *key, char dst[16])
{
	(void) snprintf(dst, 16, "%.12s", key);
	return dst;
}

static int print_list(struct cli *cli, const json_t *list)
{
	static const char *const heads[] = {"KEY",      ">STORED", "LAST USED", "STEP",
					    "TEMPLATE", "HELD",    NULL};
	struct cli_table *t = cli_table_new(heads);
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		char size[16], key[16];
		const char *const cells[] = {
			short_key(json_str_at(v, "key"), key),
			size_human((uint64_t) json_int_at(v, "storedBytes", 0), size),
			json_str_at(v, "lastUsed"),
			json_str_at(v, "step"),
			json_str_at(v, "template"),
			json_bool_at(v, "held", false) ? "by a run" : "no",
		};

		cli_table_add(t, cells);
	}
	return cli_table_print(cli, t);
}

static int run_list(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *list = NULL;
	struct app *a;
	int r;

	(void) args;
	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	r = step_cache_list(a, &list, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	r = cli->json ? cli_print_json(list) : print_list(cli, list);
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct cli_command cmd_cache_list = {
	.name = "cache list",
	.args = "",
	.summary = "what the step cache holds, the least recently used first",
	.help = "STORED is what making the step added to the store. Held is what a recorded run\n"
		"refers to: `kiln shell RUN@STEP` opens it, and `kiln cache gc` leaves it.\n\n"
		"Example:\n"
		"  kiln cache list",
	.options = NULL,
	.run = run_list,
};

static const struct cli_option gc_options[] = {
	{"--dry-run", 0, NULL, "only say what would go"},
	{NULL},
};

static int print_sweep(struct cli *cli, const struct step_cache_sweep *s)
{
	char all[16], held[16], gone[16];

	if (cli->json) {
		auto_json json_t *j = json_pack(
			"{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "dryRun", s->dry, "entries",
			(json_int_t) s->entries, "bytes", (json_int_t) s->bytes, "held",
			(json_int_t) s->held, "heldBytes", (json_int_t) s->held_bytes, "removed",
			(json_int_t) s->removed, "removedBytes", (json_int_t) s->removed_bytes);

		return j && cli_print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	(void) printf("%llu entries (%s), %llu held by runs (%s); %s %llu (%s)\n",
		      (unsigned long long) s->entries, size_human(s->bytes, all),
		      (unsigned long long) s->held, size_human(s->held_bytes, held),
		      s->dry ? "would remove" : "removed", (unsigned long long) s->removed,
		      size_human(s->removed_bytes, gone));
	return EXIT_DONE;
}

static int run_gc(struct cli *cli, const struct cli_args *args)
{
	struct step_cache_sweep s = {.dry = cli_flag(args, "--dry-run")};
	auto_err struct err e = ERR_INIT;
	struct app *a;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	return step_cache_sweep(a, &s, &e) < 0 ? cli_fail(cli, &e) : print_sweep(cli, &s);
}

const struct cli_command cmd_cache_gc = {
	.name = "cache gc",
	.args = "",
	.summary = "remove step snapshots that \"cache\" in kiln.yaml does not let stay",
	.help = "Never what a recorded run refers to, nor what was used within the last hour. A\n"
		"worker does it every hour. The bytes are freed by `kiln store gc`.\n\n"
		"Example:\n"
		"  kiln cache gc --dry-run",
	.options = gc_options,
	.run = run_gc,
};

static int run_remove(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	struct app *a;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	if (step_cache_remove(a, args->pos[0], &e) < 0)
		return cli_fail(cli, &e);
	if (cli->json) {
		auto_json json_t *j = json_pack("{s:s}", "removed", args->pos[0]);

		return j && cli_print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	cli_note(cli, "removed %s", args->pos[0]);
	return EXIT_DONE;
}

const struct cli_command cmd_cache_remove = {
	.name = "cache remove",
	.args = "KEY",
	.summary = "remove one step snapshot, also one that a run refers to",
	.help = "KEY is whole, as `kiln cache list --json` prints it. The step runs again the "
		"next\n"
		"time; `kiln shell RUN@STEP` cannot open it any more.\n\n"
		"Example:\n"
		"  kiln cache remove "
		"5221b6d16e1ee00061c2d7299f4224a398766be43b7db8cebf489a59c3efe4a1",
	.options = NULL,
	.run = run_remove,
};
