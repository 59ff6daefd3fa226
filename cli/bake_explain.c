/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bake_explain.h"

#include "base/mem.h"
#include "cli/output.h"

static void print_text(const char *text)
{
	cli_print_safe(stdout, text ? text : "", text ? strlen(text) : 0);
}

static void print_change(const struct cli *cli, const json_t *change)
{
	const char *was = json_str_at(change, "was"), *now = json_str_at(change, "now");

	(void) printf("      %s", cli_sgr(cli, CLI_DIM));
	print_text(json_str_at(change, "input"));
	(void) printf(":%s ", cli_sgr(cli, CLI_PLAIN));
	if (was && now) {
		print_text(was);
		(void) fputs(" -> ", stdout);
		print_text(now);
	} else if (now) {
		(void) fputs("new: ", stdout);
		print_text(now);
	} else {
		(void) fputs("gone: ", stdout);
		print_text(was);
	}
	(void) putchar('\n');
}

void explain_print(const struct cli *cli, const json_t *doc)
{
	const json_t *step, *change;
	size_t i, k, runs = 0, all = json_array_size(json_object_get(doc, "steps"));

	(void) printf("source  %s\n", json_str_at(doc, "source.image"));
	json_array_foreach(json_object_get(doc, "steps"), i, step)
	{
		bool cached = str_eq(json_str_at(step, "state"), "cached");

		runs += !cached;
		(void) printf("%s%-7s%s %zu  ", cli_sgr(cli, cached ? CLI_GREEN : CLI_YELLOW),
			      cached ? "cached" : "runs", cli_sgr(cli, CLI_PLAIN), i + 1);
		print_text(json_str_at(step, "name"));
		if (!cached)
			(void) printf(": %s", json_str_at(step, "why"));
		(void) putchar('\n');
		json_array_foreach(json_object_get(step, "changed"), k, change)
			print_change(cli, change);
	}
	(void) printf("%zu of %zu steps would run\n", runs, all);
}
