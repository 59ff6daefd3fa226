/* SPDX-License-Identifier: Apache-2.0 */
/* `kiln region ...`: the places that keep image content, of this host's data directory. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/store_util.h"
#include "cli/verbs.h"
#include "providers/region_admin.h"

static int find_region(const struct app *a, const char *name, unsigned *ret, struct err *err)
{
	int at = app_region_index(a, name);

	if (at < 0)
		return err_set(err, -ENOENT, "region '%s' is not configured", name);
	*ret = (unsigned) at;
	return 0;
}

/* ---- list ---- */

static json_t *region_json(const struct app *a, unsigned i, struct err *err)
{
	const struct app_region *g = &a->regions[i];
	json_t *usage = NULL;

	if (store_usage(a->store, i, &usage, err) < 0)
		return NULL;
	if (json_object_set_new(usage, "displayName", json_string(g->display)) < 0 ||
	    json_object_set_new(usage, "url", json_string(g->url)) < 0 ||
	    json_object_set_new(usage, "state",
				json_string(g->draining ? "Draining" : "Available")) < 0) {
		json_decref(usage);
		(void) err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	return usage;
}

static int run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const heads[] = {"NAME", "STATE", ">PACKS", ">STORED",
					    "KEY",  "URL",   NULL};
	struct cli_table *table = cli_table_new(heads);
	auto_json json_t *out = json_array();
	auto_err struct err e = ERR_INIT;
	struct app *a;
	int r = cli_app(cli, &a) < 0 ? -1 : 0;

	if (r < 0) {
		cli_table_free(table);
		return EXIT_FAILED;
	}
	for (unsigned i = 0; i < a->n_regions && r == 0; i++) {
		json_t *j = region_json(a, i, &e);
		char size[16], packs[24];
		const char *key = json_str_at(j, "keyId");

		if (!j || json_array_append_new(out, j) < 0) {
			r = -1;
			break;
		}
		(void) snprintf(packs, sizeof(packs), "%lld",
				(long long) json_int_at(j, "packs", 0));
		cli_table_add(table,
			      (const char *const[]){
				      a->regions[i].name, json_str_at(j, "state"), packs,
				      size_human((uint64_t) json_int_at(j, "storedBytes", 0), size),
				      key ? key : "-", a->regions[i].url});
	}
	if (r == 0)
		r = cli->json ? cli_print_json(out) : cli_table_print(cli, take_ptr(table));
	cli_table_free(table);
	return r < 0 ? e.code < 0 ? cli_fail(cli, &e) : EXIT_FAILED : EXIT_DONE;
}

const struct cli_command cmd_region_list = {
	.name = "region list",
	.summary = "the regions of the data directory",
	.help = "Examples:\n  kiln region list --json",
	.run = run_list,
};

/* ---- add ---- */

static const struct cli_option add_options[] = {
	{"--url", 0, "URL",
	 "a directory, file:///DIR or azure-blob:///FILE (default: DIR/regions/NAME)"},
	{"--display-name", 0, "NAME",
	 "for people (default: of a well-known region, else the name)"},
	STORE_KEY_OPTIONS,
	{NULL},
};

static int run_add(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *region = NULL;
	auto_free char *key = NULL;
	struct app *a;
	int r;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	r = store_cmd_key(args, "--key-file", "--key-command", &key, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	region = json_pack("{s:s, s:s*, s:s*, s:o*}", "name", args->pos[0], "url",
			   cli_opt(args, "--url"), "displayName", cli_opt(args, "--display-name"),
			   "encryption", key ? json_pack("{s:s}", "key", key) : NULL);
	r = region ? app_region_add(a, region, &e) : err_set(&e, -ENOMEM, "out of memory");
	if (r < 0)
		return cli_fail(cli, &e);
	if (cli->json)
		return cli_print_json(region) < 0 ? EXIT_FAILED : EXIT_DONE;
	cli_note(cli, "added region %s", args->pos[0]);
	return EXIT_DONE;
}

const struct cli_command cmd_region_add = {
	.name = "region add",
	.args = "NAME",
	.summary = "one more region; commands from now on may replicate to it",
	.help = "A running server learns of it when it is started again.\n\n"
		"Examples:\n"
		"  kiln region add northeurope --url /mnt/north\n"
		"  kiln region add vault --url /mnt/vault --key-file /etc/kiln/vault.key\n"
		"  kiln region add cloud --url azure-blob:///etc/kiln/cloud.json\n\n"
		"The file of azure-blob is {\"container\": "
		"\"https://ACCOUNT.blob.core.windows.net/NAME\",\n"
		"\"accountKey\": \"...\"}, or \"sas\" for \"accountKey\"; nobody else may read it.",
	.options = add_options,
	.run = run_add,
};

/* ---- drain ---- */

static const struct cli_option drain_options[] = {
	{"--to", 't', "REGION", "where its only copies go (default: the first other region)"},
	{"--rate", 0, "BYTES", "at most so many bytes a second (k, M, G: powers of 1000)"},
	{"--undo", 0, NULL, "let it take new content again; moves nothing"},
	{NULL},
};

static int drain_target(const struct app *a, const char *name, unsigned from, unsigned *ret,
			struct err *err)
{
	if (name)
		return find_region(a, name, ret, err);
	for (unsigned i = 0; i < a->n_regions; i++) {
		if (i == from || a->regions[i].draining)
			continue;
		*ret = i;
		return 0;
	}
	return err_set(err, -EINVAL, "there is no other region to move content to");
}

static int drain(struct cli *cli, struct app *a, const struct cli_args *args, unsigned from,
		 unsigned to, struct store_drain_result *ret, struct err *err)
{
	struct cli_progress *bar = cli_progress_new(cli);
	struct progress *p = bar ? progress_to_events(cli_progress_sink(bar)) : NULL;
	uint64_t rate = 0;
	int r = cli_parse_rate(cli_opt(args, "--rate"), &rate);

	if (r < 0)
		r = err_set(err, r, "--rate: a number of bytes such as 50M expected");
	if (r == 0)
		r = app_region_drain_mark(a, from, true, err);
	for (unsigned k = 0; k <= a->n_keys && r == 0; k++) {
		unsigned at = k * (unsigned) a->n_regions; /* of that gallery key's places */
		struct store_drain_result one;

		r = store_drain(a->store, at + from, at + to, rate, &cli->cancel, p, &one, err);
		ret->roots += one.roots;
		ret->elsewhere += one.elsewhere;
		ret->moved += one.moved;
		ret->bytes += one.bytes;
		ret->objects += one.objects;
	}
	progress_free(p);
	cli_progress_free(bar);
	return r;
}

static int run_drain(struct cli *cli, const struct cli_args *args)
{
	struct store_drain_result d = {0};
	auto_err struct err e = ERR_INIT;
	unsigned from = 0, to = 0;
	char size[16];
	struct app *a;
	int r;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	r = find_region(a, args->pos[0], &from, &e);
	if (r == 0 && cli_flag(args, "--undo"))
		r = app_region_drain_mark(a, from, false, &e);
	else if (r == 0)
		r = drain_target(a, cli_opt(args, "--to"), from, &to, &e);
	if (r == 0 && !cli_flag(args, "--undo"))
		r = drain(cli, a, args, from, to, &d, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	if (cli->json) {
		auto_json json_t *j =
			json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "region", args->pos[0], "disks",
				  (json_int_t) d.roots, "elsewhere", (json_int_t) d.elsewhere,
				  "moved", (json_int_t) d.moved, "bytes", (json_int_t) d.bytes,
				  "objects", (json_int_t) d.objects);

		return j && cli_print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	if (cli_flag(args, "--undo"))
		cli_note(cli, "region %s takes new content again", args->pos[0]);
	else
		(void) printf("%s: %llu disks, %llu of them elsewhere, %llu moved to %s (%s)\n",
			      args->pos[0], (unsigned long long) d.roots,
			      (unsigned long long) d.elsewhere, (unsigned long long) d.moved,
			      a->regions[to].name, size_human(d.bytes, size));
	return EXIT_DONE;
}

const struct cli_command cmd_region_drain = {
	.name = "region drain",
	.args = "REGION",
	.summary = "nothing new goes to a region; what only it has goes to another one",
	.help = "Safe beside everything; interrupted, it goes on when run again. Reads are still\n"
		"served from it. `kiln region remove` then gives it up.\n\n"
		"Examples:\n"
		"  kiln region drain westeurope --to northeurope --rate 100M",
	.options = drain_options,
	.run = run_drain,
};

/* ---- remove ---- */

static const struct cli_option remove_options[] = {
	{"--delete-data", 0, NULL, "remove its packs, manifests and catalog too"},
	{NULL},
};

static int run_remove(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	unsigned region = 0;
	struct app *a;
	int r;

	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	r = find_region(a, args->pos[0], &region, &e);
	if (r == 0)
		r = app_region_remove(a, region, cli_flag(args, "--delete-data"), &e);
	if (r < 0)
		return cli_fail(cli, &e);
	if (cli->json) {
		auto_json json_t *j = json_pack("{s:s}", "removed", args->pos[0]);

		return j && cli_print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	cli_note(cli, "removed region %s", args->pos[0]);
	return EXIT_DONE;
}

const struct cli_command cmd_region_remove = {
	.name = "region remove",
	.args = "REGION",
	.summary = "give up a region that holds the only copy of nothing",
	.help = "Refused while a resource is located or replicated there, or a disk is nowhere "
		"else.\n"
		"Its bytes stay unless --delete-data is given.\n\n"
		"Examples:\n"
		"  kiln region remove westeurope --delete-data",
	.options = remove_options,
	.run = run_remove,
};
