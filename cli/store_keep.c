/* SPDX-License-Identifier: Apache-2.0 */
/* `kiln store check|gc|stats|rebuild-index|serve`: keeping a store well, and looking into it. */
#include <poll.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/store_util.h"
#include "cli/verbs.h"
#include "store/export.h"
#include "store/maintain.h"

#define STORE_OPTION                                                                               \
	{                                                                                          \
		"--store", 0, "DIR", "a store's directory (default: the data directory's regions)" \
	}
#define HEALERS_MAX 16

#define BUSY_MS      30000
#define BUSY_STEP_MS 500

static const struct cli_option store_option[] = {STORE_OPTION, STORE_KEY_OPTIONS, {NULL}};
static const struct cli_option gc_options[] = {
	STORE_OPTION,
	STORE_KEY_OPTIONS,
	{"--dry-run", 'n', NULL, "only say what would be marked and removed"},
	{NULL},
};
static const struct cli_option check_options[] = {
	STORE_OPTION,
	STORE_KEY_OPTIONS,
	{"--read-data", 0, NULL, "read and prove every chunk, not only trailers and trees"},
	{"--heal", 0, NULL, "repair from other regions and from --from"},
	{"--from", 0, "DIR", "another store to heal from; may be repeated"},
	{NULL},
};
static const struct cli_option rekey_options[] = {
	STORE_OPTION,
	STORE_KEY_OPTIONS,
	{"--region", 0, "REGION", "only this one (default: every encrypted one)"},
	{NULL},
};
static const struct cli_option serve_options[] = {
	STORE_OPTION,
	STORE_KEY_OPTIONS,
	{"--unix", 'U', "SOCKET", "path of the socket to serve on"},
	{"--record", 0, NULL, "keep what is read first as the disk's boot profile"},
	{"--profile", 0, NULL, "fetch ahead by the disk's boot profile"},
	{NULL},
};

static json_t *gc_json(const char *region, const struct store_gc_result *g)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "region", region, "epoch", (json_int_t) g->epoch, "roots",
			 (json_int_t) g->roots, "packs", (json_int_t) g->packs, "liveFrames",
			 (json_int_t) g->live_frames, "liveBytes", (json_int_t) g->live_bytes,
			 "condemnedPacks", (json_int_t) g->condemned, "condemnedBytes",
			 (json_int_t) g->condemned_bytes, "rewrittenPacks",
			 (json_int_t) g->rewritten, "removedPacks", (json_int_t) g->removed,
			 "removedBytes", (json_int_t) g->removed_bytes, "adoptedPacks",
			 (json_int_t) g->adopted, "sessionsEnded", (json_int_t) g->sessions_ended);
}

static void gc_text(const char *region, bool dry, const struct store_gc_result *g)
{
	char live[16], cond[16], rem[16];

	(void) printf("%s: %llu roots, %llu packs, %s alive; %s %llu packs (%s) for the next "
		      "rounds, %s %llu (%s)",
		      region, (unsigned long long) g->roots, (unsigned long long) g->packs,
		      size_human(g->live_bytes, live), dry ? "would mark" : "marked",
		      (unsigned long long) g->condemned, size_human(g->condemned_bytes, cond),
		      dry ? "would remove" : "removed", (unsigned long long) g->removed,
		      size_human(g->removed_bytes, rem));
	if (g->rewritten)
		(void) printf(", moved %llu together", (unsigned long long) g->rewritten);
	if (g->adopted)
		(void) printf(", adopted %llu", (unsigned long long) g->adopted);
	if (g->sessions_ended)
		(void) printf(", ended %llu dead sessions", (unsigned long long) g->sessions_ended);
	(void) printf("\n");
}

/* The idle worker collects and recompresses in slices of seconds: it is waited for. */
static int collect(struct cli *cli, struct store_cmd *c, unsigned region, bool dry,
		   struct store_gc_result *ret)
{
	struct pollfd p = {.fd = cli->cancel.event_fd, .events = POLLIN};
	int r = store_gc(c->store, region, dry, &cli->cancel, ret, &c->err);

	for (int ms = 0; r == -EBUSY && ms < BUSY_MS && !cancel_check(&cli->cancel);
	     ms += BUSY_STEP_MS) {
		(void) poll(&p, 1, BUSY_STEP_MS);
		err_done(&c->err);
		r = store_gc(c->store, region, dry, &cli->cancel, ret, &c->err);
	}
	return r;
}

static int run_gc(struct cli *cli, const struct cli_args *args)
{
	bool dry = cli_flag(args, "--dry-run");
	struct store_cmd c = STORE_CMD_INIT;
	auto_json json_t *out = json_array();
	const char *name;
	int r;

	if (args->n_pos != 0)
		return cli_usage(cli, "store gc: no argument expected");
	r = store_cmd_open(&c, cli, args);
	for (unsigned i = 0; r >= 0 && (name = store_region_name(c.store, i)); i++) {
		struct store_gc_result g;

		r = collect(cli, &c, i, dry, &g);
		if (r < 0)
			(void) err_ctx(&c.err, r, "region %s", name);
		else if (!cli->json)
			gc_text(name, dry, &g);
		else if (json_array_append_new(out, gc_json(name, &g)) < 0)
			r = err_set(&c.err, -ENOMEM, "out of memory");
	}
	if (r >= 0 && cli->json)
		r = cli_print_json(out);
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_gc = {
	.name = "store gc",
	.summary = "one round of garbage collection",
	.help = "Marks packs in which nothing is alive and removes those marked two epochs ago, "
		"so\n"
		"what dies now is gone after the second round. Safe beside everything else.\n\n"
		"Examples:\n"
		"  kiln store gc --dry-run\n"
		"  kiln store gc --store /srv/store",
	.options = gc_options,
	.run = run_gc,
};

static void print_finding(void *arg, const char *text)
{
	(void) fprintf(stderr, "%s\n", text);
}

static json_t *check_json(const char *region, const struct store_check_result *k, bool whole)
{
	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "region",
			 region, "whole", whole, "packs", (json_int_t) k->packs, "bytes",
			 (json_int_t) k->bytes, "framesProven", (json_int_t) k->frames, "roots",
			 (json_int_t) k->roots, "damagedPacks", (json_int_t) k->damaged_packs,
			 "damagedFrames", (json_int_t) k->damaged_frames, "strays",
			 (json_int_t) k->strays, "missing", (json_int_t) k->missing, "healed",
			 (json_int_t) k->healed, "lost", (json_int_t) k->lost);
}

static void check_text(const char *region, const struct store_check_result *k, bool whole)
{
	char size[16];

	(void) printf("%s: %s; %llu packs (%s), %llu roots, %llu frames proven", region,
		      whole ? "whole" : "NOT WHOLE", (unsigned long long) k->packs,
		      size_human(k->bytes, size), (unsigned long long) k->roots,
		      (unsigned long long) k->frames);
	if (k->damaged_packs || k->missing || k->strays)
		(void) printf("; %llu damaged packs, %llu missing, %llu healed, %llu lost, %llu "
			      "without a row",
			      (unsigned long long) k->damaged_packs,
			      (unsigned long long) k->missing, (unsigned long long) k->healed,
			      (unsigned long long) k->lost, (unsigned long long) k->strays);
	(void) printf("\n");
}

struct healers {
	struct store *v[HEALERS_MAX];
	size_t n;
};

static int open_healers(struct healers *h, const struct cli_args *args, struct err *err)
{
	const char *dir;
	int i = 0;

	while ((dir = cli_opt_next(args, "--from", &i))) {
		int r;

		if (h->n == HEALERS_MAX)
			return err_set(err, -EINVAL, "--from: at most %d", HEALERS_MAX);
		r = store_open_dir(dir, true, &h->v[h->n], err);
		if (r < 0)
			return r;
		h->n++;
	}
	return 0;
}

static int check_region(struct store_cmd *c, struct cli *cli, const struct healers *h,
			unsigned region, unsigned flags, bool *io_whole, json_t *out)
{
	const char *name = store_region_name(c->store, region);
	struct store_check_result k;
	bool whole;
	int r = store_check(c->store, region, flags, h->v, h->n, &cli->cancel,
			    cli->json ? NULL : print_finding, NULL, &k, &c->err);

	if (r < 0)
		return err_ctx(&c->err, r, "region %s", name);
	/* What was healed is whole again; what is lost is not. */
	whole = flags & STORE_CHECK_HEAL ? k.lost == 0 : k.damaged_packs + k.missing == 0;
	*io_whole = *io_whole && whole;
	if (!cli->json) {
		check_text(name, &k, whole);
		return 0;
	}
	return json_array_append_new(out, check_json(name, &k, whole)) < 0
		       ? err_set(&c->err, -ENOMEM, "out of memory")
		       : 0;
}

static int run_check(struct cli *cli, const struct cli_args *args)
{
	unsigned flags = (cli_flag(args, "--read-data") ? STORE_CHECK_READ_DATA : 0) |
			 (cli_flag(args, "--heal") ? STORE_CHECK_HEAL : 0);
	struct store_cmd c = STORE_CMD_INIT;
	struct healers h = {.n = 0};
	auto_json json_t *out = json_array();
	bool whole = true;
	int r, x;

	if (args->n_pos != 0)
		return cli_usage(cli, "store check: no argument expected");
	if (cli_opt(args, "--from") && !(flags & STORE_CHECK_HEAL))
		return cli_usage(cli, "store check: --from needs --heal");
	r = store_cmd_open(&c, cli, args);
	if (r >= 0)
		r = open_healers(&h, args, &c.err);
	for (unsigned i = 0; r >= 0 && store_region_name(c.store, i); i++)
		r = check_region(&c, cli, &h, i, flags, &whole, out);
	if (r >= 0 && cli->json)
		r = cli_print_json(out);
	for (size_t i = 0; i < h.n; i++)
		store_close(h.v[i]);
	x = store_cmd_close(&c, cli, r);
	return x != EXIT_DONE ? x : whole ? EXIT_DONE : EXIT_FAILED;
}

const struct cli_command cmd_store_check = {
	.name = "store check",
	.summary = "prove that a store is whole; repair it with --heal",
	.help = "Checks every pack's trailer and every live tree, with --read-data every chunk's\n"
		"content. --heal writes what a damaged pack still holds anew, fetches the rest "
		"from\n"
		"other regions (or --from DIR) and moves damaged packs to quarantine; it never\n"
		"deletes. Exit status 1 when something is damaged, missing or lost.\n\n"
		"Examples:\n"
		"  kiln store check --read-data\n"
		"  kiln store check --store /srv/store --heal --from /mnt/backup",
	.options = check_options,
	.run = run_check,
};

static int run_rebuild(struct cli *cli, const struct cli_args *args)
{
	struct store_cmd c = STORE_CMD_INIT;
	auto_json json_t *out = json_array();
	const char *name;
	int r;

	if (args->n_pos != 0)
		return cli_usage(cli, "store rebuild-index: no argument expected");
	r = store_cmd_open(&c, cli, args);
	for (unsigned i = 0; r >= 0 && (name = store_region_name(c.store, i)); i++) {
		uint64_t n;

		r = store_rebuild_index(c.store, i, &n, &c.err);
		if (r >= 0 && !cli->json)
			(void) printf("%s: %llu packs\n", name, (unsigned long long) n);
		else if (r >= 0 &&
			 json_array_append_new(out, json_pack("{s:s, s:I}", "region", name, "packs",
							      (json_int_t) n)) < 0)
			r = err_set(&c.err, -ENOMEM, "out of memory");
	}
	if (r >= 0 && cli->json)
		r = cli_print_json(out);
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_rebuild = {
	.name = "store rebuild-index",
	.summary = "make the lookup of chunks anew from the packs",
	.help = "The lookup is only a hint: nothing is lost with it.\n\n"
		"Examples:\n  kiln store rebuild-index --store /srv/store",
	.options = store_option,
	.run = run_rebuild,
};

static void stats_rows(struct cli_table *t, const char *region, const json_t *roots)
{
	const json_t *x;
	size_t i;

	json_array_foreach((json_t *) roots, i, x)
	{
		uint64_t stored = (uint64_t) json_int_at(x, "storedBytes", 0);
		char size[16], total[16], unique[16], shared[16], ratio[16], when[11] = "-";
		const char *created = json_str_at(x, "createdTime");
		const char *cells[] = {
			region,
			json_str_at(x, "kind"),
			json_str_at(x, "id"),
			size_human((uint64_t) json_int_at(x, "sizeBytes", 0), size),
			size_human(stored, total),
			size_human((uint64_t) json_int_at(x, "uniqueBytes", 0), unique),
			size_human((uint64_t) json_int_at(x, "sharedBytes", 0), shared),
			ratio,
			when,
			json_bool_at(x, "bootProfile", false) ? "yes" : "-",
		};

		(void) snprintf(ratio, sizeof(ratio), "%.2f",
				stored ? (double) json_int_at(x, "plainBytes", 0) / (double) stored
				       : 0.0);
		if (created)
			(void) snprintf(when, sizeof(when), "%.10s", created);
		cli_table_add(t, cells);
	}
}

/* One line a region: how much, and which domain its content is deduplicated in. */
static void stats_sum(struct buf *b, const char *region, const json_t *usage)
{
	const char *key = json_str_at(usage, "keyId");
	char size[16];

	(void) buf_addf(b, "%s: %lld packs, %s, deduplication domain %s%s%s\n", region,
			(long long) json_int_at(usage, "packs", 0),
			size_human((uint64_t) json_int_at(usage, "storedBytes", 0), size),
			json_str_at(usage, "deduplicationDomain"),
			key ? ", encrypted with key " : "", key ? key : "");
}

static int run_stats(struct cli *cli, const struct cli_args *args)
{
	static const char *const heads[] = {"REGION",  "KIND",    "NAME",    ">SIZE",
					    ">STORED", ">UNIQUE", ">SHARED", ">RATIO",
					    "CREATED", "PROFILE", NULL};
	struct store_cmd c = STORE_CMD_INIT;
	struct cli_table *table = cli_table_new(heads);
	auto_json json_t *out = json_array();
	auto_buf struct buf sums = BUF_INIT(1u << 16);
	const char *name;
	int r;

	if (args->n_pos != 0) {
		cli_table_free(table);
		return cli_usage(cli, "store stats: no argument expected");
	}
	r = store_cmd_open_there(&c, cli, args, true);
	for (unsigned i = 0; r >= 0 && (name = store_region_name(c.store, i)); i++) {
		json_t *usage = NULL, *roots = NULL;

		r = store_usage(c.store, i, &usage, &c.err);
		if (r >= 0)
			r = store_root_stats(c.store, i, &cli->cancel, &roots, &c.err);
		if (r >= 0) {
			stats_rows(table, name, roots);
			stats_sum(&sums, name, usage);
			(void) json_object_set(usage, "roots", roots);
			(void) json_array_append(out, usage);
		}
		json_decref(usage);
		json_decref(roots);
	}
	if (r >= 0 && cli->json) {
		r = cli_print_json(out);
	} else if (r >= 0) {
		r = cli_table_print(cli, take_ptr(table));
		(void) fputs(buf_str(&sums), stdout);
	}
	cli_table_free(table);
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_stats = {
	.name = "store stats",
	.summary = "what each disk takes, alone and shared with others, from its tree",
	.help = "STORED is what a disk needs with all its metadata, UNIQUE what it alone needs "
		"and\n"
		"would give back, RATIO how far its chunks were compressed. Each region,\n"
		"and in it the place of each gallery key (REGION-KEY), is a deduplication domain:\n"
		"content is shared within, never across. Makes nothing.\n\n"
		"Examples:\n  kiln store stats --store /srv/store",
	.options = store_option,
	.run = run_stats,
};

static int rekey_region(struct store_cmd *c, struct cli *cli, unsigned region, json_t *out)
{
	const char *name = store_region_name(c->store, region);
	struct store_rekey_result k;
	int r = store_rekey(c->store, region, &cli->cancel, &k, &c->err);

	if (r < 0)
		return err_ctx(&c->err, r, "region %s", name);
	if (!cli->json) {
		(void) printf("%s: %llu packs and %llu objects under the first key, %llu packs "
			      "were; %llu damaged ones were left\n",
			      name, (unsigned long long) k.packs, (unsigned long long) k.objects,
			      (unsigned long long) k.packs_kept, (unsigned long long) k.damaged);
		return 0;
	}
	return json_array_append_new(out, json_pack("{s:s, s:I, s:I, s:I, s:I}", "region", name,
						    "packs", (json_int_t) k.packs, "packsKept",
						    (json_int_t) k.packs_kept, "objects",
						    (json_int_t) k.objects, "damaged",
						    (json_int_t) k.damaged)) < 0
		       ? err_set(&c->err, -ENOMEM, "out of memory")
		       : 0;
}

static int run_rekey(struct cli *cli, const struct cli_args *args)
{
	const char *only = cli_opt(args, "--region");
	struct store_cmd c = STORE_CMD_INIT;
	auto_json json_t *out = json_array();
	const char *name;
	unsigned done = 0;
	int r;

	if (args->n_pos != 0)
		return cli_usage(cli, "store rekey: no argument expected");
	r = store_cmd_open_there(&c, cli, args, true);
	for (unsigned i = 0; r >= 0 && (name = store_region_name(c.store, i)); i++) {
		if (only ? strcmp(only, name) != 0 : !store_region_encrypted(c.store, i, NULL))
			continue;
		r = rekey_region(&c, cli, i, out);
		done++;
	}
	if (r >= 0 && done == 0)
		r = err_set(&c.err, -EINVAL, only ? "no region \"%s\"" : "no region is encrypted",
			    only ? only : "");
	if (r >= 0 && cli->json)
		r = cli_print_json(out);
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_rekey = {
	.name = "store rekey",
	.summary = "put everything of an encrypted store under the first of its keys",
	.help = "To change a key: write the new one as the first line of the key file (or of what\n"
		"the command prints), keep the old one below, run this, remove the old one. Each\n"
		"pack is written once more with its data key wrapped anew; interrupted, it goes "
		"on\n"
		"when run again. What lies in quarantine keeps its old key.\n\n"
		"Examples:\n"
		"  kiln store rekey --store /srv/store\n"
		"  kiln store rekey --region eastus",
	.options = rekey_options,
	.run = run_rekey,
};

/* Serves until the command is interrupted. */
static int serve(struct cli *cli, struct store_cmd *c, const struct cli_args *args,
		 const char *socket, const char *run)
{
	auto_free char *dflt = strf("%s/exports/default", run), *own = NULL;
	struct nbd_host *h = NULL;
	struct nbd_export *x = NULL;
	struct pollfd p = {.fd = cli->cancel.event_fd, .events = POLLIN};
	struct disk_ref d;
	int r = store_root_get(c->store, 0, "name", args->pos[0], &d, &c->err);

	if (r >= 0)
		r = nbd_host_acquire(c->store, run, NULL, &h, &c->err);
	if (r >= 0)
		r = nbd_export_new_with(h, 0, &d,
					(cli_flag(args, "--record") ? NBD_EXPORT_RECORD : 0) |
						(cli_flag(args, "--profile") ? NBD_EXPORT_PLAY : 0),
					&x, &c->err);
	if (r >= 0) {
		own = strf("%s/exports/%s", run, nbd_export_name(x));
		if (!dflt || !own || link(own, dflt) < 0 || symlink(nbd_host_socket(h), socket) < 0)
			r = err_set(&c->err, -errno, "%s: %s", socket, strerror(errno));
	}
	if (r >= 0) {
		(void) printf(cli->json ? "{\"uri\":\"nbd+unix:///?socket=%s\"}\n"
					: "nbd+unix:///?socket=%s\n",
			      socket);
		(void) fflush(stdout);
		while (cancel_check(&cli->cancel) == 0)
			(void) poll(&p, 1, -1);
		(void) unlink(socket);
	}
	nbd_export_free(x);
	if (dflt)
		(void) unlink(dflt);
	nbd_host_release(h);
	return r;
}

static int run_serve(struct cli *cli, const struct cli_args *args)
{
	const char *socket = cli_opt(args, "--unix");
	struct store_cmd c = STORE_CMD_INIT;
	char run[] = "/tmp/kiln-serve-XXXXXX";
	bool made = false;
	int r;

	if (args->n_pos != 1 || !socket)
		return cli_usage(cli, "store serve: NAME and --unix SOCKET expected");
	r = store_cmd_open(&c, cli, args);
	if (r >= 0) {
		made = mkdtemp(run);
		r = made ? serve(cli, &c, args, socket, run)
			 : err_set(&c.err, -errno, "%s: %s", run, strerror(errno));
	}
	if (made)
		(void) file_rm_rf(run, NULL);
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_serve = {
	.name = "store serve",
	.args = "NAME",
	.summary = "a named disk as a read-only NBD device on a Unix socket, until interrupted",
	.help = "Reads are lazy, verified and cached. Prints the URI when ready. With --record, "
		"what a\n"
		"guest reads first is kept as the disk's boot profile when the command ends; with\n"
		"--profile, the next guest finds it fetched ahead.\n\n"
		"Examples:\n"
		"  kiln store serve --store /srv/store base --unix /run/base.sock &\n"
		"  qemu-img create -f qcow2 -b 'nbd+unix:///?socket=/run/base.sock' -F raw "
		"ov.qcow2",
	.options = serve_options,
	.run = run_serve,
};
