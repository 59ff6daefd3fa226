/* SPDX-License-Identifier: Apache-2.0 */
/* `kiln store recompress`. */
#include "base/timeutil.h"
#include "base/mem.h"
#include "cli/output.h"
#include "cli/store_util.h"
#include "cli/verbs.h"
#include "store/maintain.h"

#define LEVEL_DEFAULT 15

static const struct cli_option options[] = {
	{"--store", 0, "DIR", "a store's directory (default: the data directory's regions)"},
	STORE_KEY_OPTIONS,
	{"--level", 0, "N", "zstd's level, 1 to 19 (default: 15)"},
	{"--rate", 0, "BYTES", "read at most so many bytes a second (k, M, G: powers of 1000)"},
	{NULL},
};

static int one_region(struct store_cmd *c, struct cli *cli, unsigned region, int level,
		      uint64_t rate, json_t *out)
{
	const char *name = store_region_name(c->store, region);
	struct store_recompress_result k;
	char before[16], after[16];
	const struct store_budget budget = {.max_bytes_per_s = rate};
	int r = store_recompress(c->store, region, level, &budget, &cli->cancel, c->progress, &k,
				 &c->err);

	if (r < 0)
		return err_ctx(&c->err, r, "region %s", name);
	if (!cli->json) {
		(void) printf("%s: %llu packs written anew, %s before, %s now; %llu had been tried "
			      "with level %d; %llu damaged ones were left\n",
			      name, (unsigned long long) k.packs,
			      size_human(k.bytes_before, before), size_human(k.bytes_after, after),
			      (unsigned long long) k.kept, level, (unsigned long long) k.damaged);
		return 0;
	}
	return json_array_append_new(
		       out, json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I}", "region", name,
				      "level", level, "packs", (json_int_t) k.packs, "packsKept",
				      (json_int_t) k.kept, "damaged", (json_int_t) k.damaged,
				      "bytesBefore", (json_int_t) k.bytes_before, "bytesAfter",
				      (json_int_t) k.bytes_after)) < 0
		       ? err_set(&c->err, -ENOMEM, "out of memory")
		       : 0;
}

static int run_recompress(struct cli *cli, const struct cli_args *args)
{
	const char *text = cli_opt(args, "--level");
	struct store_cmd c = STORE_CMD_INIT;
	auto_json json_t *out = json_array();
	long level = LEVEL_DEFAULT;
	uint64_t rate;
	char *end;
	int r;

	if (args->n_pos != 0)
		return cli_usage(cli, "store recompress: no argument expected");
	if (text) {
		level = strtol(text, &end, 10);
		if (end == text || *end || level < 1 || level > 19)
			return cli_usage(cli, "store recompress: --level %s: 1 to 19 expected",
					 text);
	}
	if (cli_parse_rate(cli_opt(args, "--rate"), &rate) < 0)
		return cli_usage(cli,
				 "store recompress: --rate %s: a number of bytes such as 50M "
				 "expected",
				 cli_opt(args, "--rate"));
	r = store_cmd_open_there(&c, cli, args, true);
	for (unsigned i = 0; r >= 0 && store_region_name(c.store, i); i++)
		r = one_region(&c, cli, i, (int) level, rate, out);
	if (r >= 0 && cli->json)
		r = cli_print_json(out);
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_recompress = {
	.name = "store recompress",
	.summary = "write cold packs anew with more compression",
	.help = "Every frame is proven first; a pack that was tried with this level is left alone, "
		"so\nwhat was interrupted goes on when run again. Safe beside everything else; two "
		"rounds of\n`store gc` give the space back.\n\n"
		"Examples:\n"
		"  kiln store recompress --store /srv/store\n"
		"  kiln store recompress --level 12 --rate 50M",
	.options = options,
	.run = run_recompress,
};
