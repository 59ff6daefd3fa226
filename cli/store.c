/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kiln store ...`: the image store for scripts and people who want no more than that. With
 * --store DIR a command needs no server, database or configuration.
 */
#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/image_options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/store_util.h"
#include "cli/verbs.h"
#include "store/maintain.h"
#include "store/store.h"

#define STORE_OPTION                                                                               \
	{                                                                                          \
		"--store", 0, "DIR", "the store's directory; made on first use"                    \
	}

static const struct cli_option store_option[] = {STORE_OPTION, STORE_KEY_OPTIONS, {NULL}};
static const struct cli_option commit_options[] = {
	STORE_OPTION,
	STORE_KEY_OPTIONS,
	{"--parent", 'p', "NAME", "what the overlay was made on"},
	{NULL},
};
static const struct cli_option replicate_options[] = {
	STORE_OPTION,
	STORE_KEY_OPTIONS,
	{"--to", 't', "DIR", "the other store; made on first use"},
	{"--to-key-file", 0, "FILE", "the other store's encryption keys"},
	{"--to-key-command", 0, "COMMAND", "a program that prints them"},
	{"--rate", 0, "BYTES", "at most so many bytes a second (k, M, G: powers of 1000)"},
	{NULL},
};

/* Opens the source or target of a disk; "-" is the standard stream. */
static int open_end(const char *path, bool out, int *ret, struct err *err)
{
	int fd = strcmp(path, "-") == 0
			 ? fcntl(out ? STDOUT_FILENO : STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
			 : open(path, (out ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	*ret = fd;
	return 0;
}

static json_t *stats_json(const struct store_stats *st)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "bytesRead", (json_int_t) st->bytes_read,
		"zeroBytes", (json_int_t) st->zero_bytes, "chunks", (json_int_t) st->chunks,
		"newChunks", (json_int_t) st->new_chunks, "newBytes", (json_int_t) st->new_bytes,
		"storedBytes", (json_int_t) st->stored_bytes, "packs", (json_int_t) st->transfers);
}

/* What a command that made or moved a disk says. */
static int say_disk(struct cli *cli, const char *verb, const char *name, const struct disk_ref *d,
		    const struct store_stats *st, int64_t start_ns)
{
	char size[16], added[16], took[16], hex[DIGEST_HEX];
	double s = (double) (time_mono_ns() - start_ns) / 1e9;

	if (cli->json) {
		auto_json json_t *j =
			json_pack("{s:s, s:o, s:o, s:f}", "name", name, "disk", disk_ref_to_json(d),
				  "stats", stats_json(st), "seconds", s);

		return j && cli_print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	digest_hex(&d->digest, hex);
	(void) printf("%s %s  sha256:%.16s...  %s, added %s in %s\n", verb, name, hex,
		      size_human(d->size_bytes, size), size_human(st->stored_bytes, added),
		      time_human(s, took));
	return EXIT_DONE;
}

static int run_import(struct cli *cli, const struct cli_args *args)
{
	struct store_cmd c = STORE_CMD_INIT;
	struct store_stats st;
	struct disk_ref d;
	auto_fd int fd = -1;
	int64_t start = time_mono_ns();
	int r, x;

	if (args->n_pos != 2)
		return cli_usage(cli, "store import: FILE and NAME expected");
	r = store_cmd_open(&c, cli, args);
	if (r >= 0)
		r = open_end(args->pos[0], false, &fd, &c.err);
	if (r >= 0)
		r = store_session_begin(c.store, "import", &c.session, &c.err);
	if (r >= 0)
		r = store_ingest(c.session, 0, fd, 0, &cli->cancel, c.progress, &d, &st, &c.err);
	if (r >= 0)
		r = store_root_add(c.session, 0, "name", args->pos[1], &d, &c.err);
	x = store_cmd_close(&c, cli, r);
	return r < 0 ? x : say_disk(cli, "imported", args->pos[1], &d, &st, start);
}

const struct cli_command cmd_store_import = {
	.name = "store import",
	.args = "FILE NAME",
	.summary = "keep a raw disk (file, block device, or - for a pipe) under a name",
	.help = "Cuts the disk into chunks of 64 KiB, keeps those that the store lacks, "
		"compressed\n"
		"and verified, and names the result. A name that exists is replaced.\n\n"
		"Examples:\n"
		"  kiln store import --store /srv/store disk.raw base\n"
		"  qemu-img convert -O raw disk.qcow2 /dev/stdout | kiln store import --store S - "
		"base",
	.options = store_option,
	.run = run_import,
};

/* As a device or in place of a file's content: what is there is kept and becomes the disk. */
static int export_plain(struct store_cmd *c, struct cli *cli, const struct disk_ref *d,
			const char *path)
{
	auto_fd int fd = -1;
	int r = open_end(path, true, &fd, &c->err);

	return r < 0 ? r
		     : store_restore(c->store, 0, d, fd, NULL, &cli->cancel, c->progress, &c->err);
}

static int export_format(struct store_cmd *c, struct cli *cli, const struct cli_args *args,
			 const char *name, const struct disk_ref *d)
{
	struct image_options o = {.path = args->pos[1],
				  .to_stdout = strcmp(args->pos[1], "-") == 0,
				  .format = format_find(name, &c->err)};
	struct image_file f = {.disk = d,
			       .facts = {.name = args->pos[0], .uefi = true},
			       .cancel = &cli->cancel,
			       .progress = c->progress};
	uint64_t bytes;

	return o.format ? image_options_write(c->store, &o, &f, &bytes, &c->err) : -EINVAL;
}

static int run_export(struct cli *cli, const struct cli_args *args)
{
	const char *format = cli_opt(args, "--format");
	struct store_cmd c = STORE_CMD_INIT;
	struct disk_ref d;
	int r;

	if (args->n_pos != 2)
		return cli_usage(cli, "store export: NAME and FILE expected");
	if (cli->json && strcmp(args->pos[1], "-") == 0)
		return cli_usage(cli, "store export: --json and a disk on standard output exclude "
				      "each other");
	r = store_cmd_open(&c, cli, args);
	if (r >= 0)
		r = store_root_get(c.store, 0, "name", args->pos[0], &d, &c.err);
	if (r >= 0)
		r = format ? export_format(&c, cli, args, format, &d)
			   : export_plain(&c, cli, &d, args->pos[1]);
	if (r >= 0 && cli->json) {
		auto_json json_t *j = disk_ref_to_json(&d);

		r = j ? cli_print_json(j) : -ENOMEM;
	}
	return store_cmd_close(&c, cli, r);
}

static const struct cli_option export_options[] = {
	STORE_OPTION,
	STORE_KEY_OPTIONS,
	{"--format", 'f', "FORMAT", "an image file of this format: docs/formats.md"},
	{NULL},
};

const struct cli_command cmd_store_export = {
	.name = "store export",
	.args = "NAME FILE",
	.summary = "write a disk, every byte verified, to a sparse file, device or - (a pipe)",
	.help = "With --format the file appears under its name when it is whole.\n\n"
		"Examples:\n"
		"  kiln store export --store /srv/store base disk.raw\n"
		"  kiln store export --store /srv/store base disk.vhdx --format vhdx\n"
		"  kiln store export --store /srv/store base - | ssh host dd of=/dev/vdb",
	.options = export_options,
	.run = run_export,
};

static int commit_overlay(struct store_cmd *c, struct cli *cli, const struct cli_args *args,
			  const char *parent, struct disk_ref *ret, struct store_stats *st)
{
	struct store_extent *x = NULL;
	struct disk_ref p;
	uint64_t size = 0;
	size_t n = 0;
	auto_fd int fd = -1;
	int r = store_root_get(c->store, 0, "name", parent, &p, &c->err);

	if (r >= 0)
		r = store_overlay_extents(args->pos[0], &cli->cancel, &x, &n, &size, &c->err);
	if (r >= 0)
		r = open_end(args->pos[0], false, &fd, &c->err);
	if (r >= 0)
		r = store_session_begin(c->store, "commit", &c->session, &c->err);
	if (r >= 0)
		r = store_commit(c->session, 0, &p, fd, x, n, size, &cli->cancel, c->progress, ret,
				 st, &c->err);
	if (r >= 0)
		r = store_root_add(c->session, 0, "name", args->pos[1], ret, &c->err);
	free(x);
	return r;
}

static int run_commit(struct cli *cli, const struct cli_args *args)
{
	const char *parent = cli_opt(args, "--parent");
	struct store_cmd c = STORE_CMD_INIT;
	struct store_stats st;
	struct disk_ref d;
	int64_t start = time_mono_ns();
	int r, x;

	if (args->n_pos != 2 || !parent)
		return cli_usage(cli, "store commit: --parent NAME, OVERLAY.qcow2 and NAME "
				      "expected");
	r = store_cmd_open(&c, cli, args);
	if (r >= 0)
		r = commit_overlay(&c, cli, args, parent, &d, &st);
	x = store_cmd_close(&c, cli, r);
	return r < 0 ? x : say_disk(cli, "committed", args->pos[1], &d, &st, start);
}

const struct cli_command cmd_store_commit = {
	.name = "store commit",
	.args = "OVERLAY.qcow2 NAME",
	.summary = "a new disk from a parent and a qcow2 overlay; costs what the overlay changed",
	.help = "Reads only what the overlay allocated. Its header's file names are ignored.\n\n"
		"Examples:\n"
		"  kiln store commit --store /srv/store --parent base overlay.qcow2 v2",
	.options = commit_options,
	.run = run_commit,
};

struct diff_out {
	struct cli *cli;
	uint64_t bytes, ranges;
	json_t *list;
};

static int diff_range(void *arg, uint64_t offset, uint64_t length)
{
	struct diff_out *o = arg;

	o->bytes += length;
	o->ranges++;
	if (!o->cli->json) {
		(void) printf("%llu %llu\n", (unsigned long long) offset,
			      (unsigned long long) length);
		return 0;
	}
	return json_array_append_new(o->list, json_pack("{s:I, s:I}", "offset", (json_int_t) offset,
							"length", (json_int_t) length)) < 0
		       ? -ENOMEM
		       : 0;
}

static int run_diff(struct cli *cli, const struct cli_args *args)
{
	struct store_cmd c = STORE_CMD_INIT;
	struct diff_out o = {.cli = cli, .list = json_array()};
	struct disk_ref a, b;
	char size[16];
	int r;

	if (args->n_pos != 2) {
		json_decref(o.list);
		return cli_usage(cli, "store diff: two names expected");
	}
	r = store_cmd_open(&c, cli, args);
	if (r >= 0)
		r = store_root_get(c.store, 0, "name", args->pos[0], &a, &c.err);
	if (r >= 0)
		r = store_root_get(c.store, 0, "name", args->pos[1], &b, &c.err);
	if (r >= 0)
		r = store_diff(c.store, 0, &a, &b, diff_range, &o, &c.err);
	if (r >= 0 && cli->json) {
		auto_json json_t *j =
			json_pack("{s:O, s:I}", "ranges", o.list, "bytes", (json_int_t) o.bytes);

		r = j ? cli_print_json(j) : -ENOMEM;
	} else if (r >= 0) {
		cli_note(cli, "%llu ranges, %s", (unsigned long long) o.ranges,
			 size_human(o.bytes, size));
	}
	json_decref(o.list);
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_diff = {
	.name = "store diff",
	.args = "A B",
	.summary = "ranges in which two disks differ, one \"OFFSET LENGTH\" a line, in bytes",
	.help = "Costs what differs, not what the disks hold.\n\n"
		"Examples:\n"
		"  kiln store diff --store /srv/store base v2",
	.options = store_option,
	.run = run_diff,
};

static int run_replicate(struct cli *cli, const struct cli_args *args)
{
	const char *to = cli_opt(args, "--to");
	struct store_cmd c = STORE_CMD_INIT;
	struct store_dir_options o = {.key = NULL};
	auto_free char *key = NULL;
	struct store *there = NULL;
	struct store_stats st;
	struct disk_ref d;
	int64_t start = time_mono_ns();
	uint64_t rate;
	int r, x;

	if (args->n_pos != 1 || !to)
		return cli_usage(cli, "store replicate: NAME and --to DIR expected");
	if (cli_parse_rate(cli_opt(args, "--rate"), &rate) < 0)
		return cli_usage(cli,
				 "store replicate: --rate %s: a number of bytes such as 50M "
				 "expected",
				 cli_opt(args, "--rate"));
	r = store_cmd_open(&c, cli, args);
	if (r >= 0)
		r = store_root_get(c.store, 0, "name", args->pos[0], &d, &c.err);
	if (r >= 0)
		r = store_cmd_key(args, "--to-key-file", "--to-key-command", &key, &c.err);
	o.key = key;
	if (r >= 0)
		r = store_open_dir_with(to, &o, &there, &c.err);
	if (r >= 0)
		r = store_session_begin(there, "replicate", &c.session, &c.err);
	if (r >= 0)
		r = store_replicate_from(c.store, 0, c.session, 0, &d, rate, &cli->cancel,
					 c.progress, &st, &c.err);
	if (r >= 0)
		r = store_root_add(c.session, 0, "name", args->pos[0], &d, &c.err);
	store_session_end(take_ptr(c.session));
	store_close(there);
	x = store_cmd_close(&c, cli, r);
	return r < 0 ? x : say_disk(cli, "replicated", args->pos[0], &d, &st, start);
}

const struct cli_command cmd_store_replicate = {
	.name = "store replicate",
	.args = "NAME",
	.summary = "send to another store what it lacks of a disk, verified on arrival",
	.help = "An interrupted transfer goes on where it was when run again.\n\n"
		"Examples:\n"
		"  kiln store replicate --store /srv/store v2 --to /mnt/backup --rate 50M",
	.options = replicate_options,
	.run = run_replicate,
};

struct list_out {
	struct cli *cli;
	struct cli_table *table;
	json_t *list;
};

static int list_root(void *arg, unsigned region, const char *kind, const char *id,
		     const struct disk_ref *d)
{
	struct list_out *o = arg;
	char size[16], hex[DIGEST_HEX];
	auto_free char *digest = strf("sha256:%.16s...", digest_hex(&d->digest, hex));
	const char *cells[] = {id, size_human(d->size_bytes, size), digest};

	if (!o->cli->json) {
		cli_table_add(o->table, cells);
		return 0;
	}
	return json_array_append_new(o->list, json_pack("{s:s, s:o}", "name", id, "disk",
							disk_ref_to_json(d))) < 0
		       ? -ENOMEM
		       : 0;
}

static int run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const heads[] = {"NAME", ">SIZE", "DIGEST", NULL};
	struct store_cmd c = STORE_CMD_INIT;
	struct list_out o = {cli, cli_table_new(heads), json_array()};
	int r = store_cmd_open(&c, cli, args);

	if (r >= 0)
		r = store_root_list(c.store, "name", list_root, &o, &c.err);
	if (r >= 0)
		r = cli->json ? cli_print_json(o.list) : cli_table_print(cli, take_ptr(o.table));
	cli_table_free(o.table);
	json_decref(o.list);
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_list = {
	.name = "store list",
	.summary = "the named disks of a store",
	.help = "Examples:\n  kiln store list --store /srv/store --json",
	.options = store_option,
	.run = run_list,
};

static int run_remove(struct cli *cli, const struct cli_args *args)
{
	struct store_cmd c = STORE_CMD_INIT;
	struct disk_ref d;
	int r;

	if (args->n_pos != 1)
		return cli_usage(cli, "store remove: NAME expected");
	r = store_cmd_open(&c, cli, args);
	if (r >= 0)
		r = store_root_get(c.store, 0, "name", args->pos[0], &d, &c.err);
	if (r >= 0)
		r = store_root_remove(c.store, 0, "name", args->pos[0], &c.err);
	if (r >= 0 && cli->json) {
		auto_json json_t *j = json_pack("{s:s}", "removed", args->pos[0]);

		r = j ? cli_print_json(j) : -ENOMEM;
	} else if (r >= 0) {
		cli_note(cli, "removed %s; `kiln store gc` gives its space back", args->pos[0]);
	}
	return store_cmd_close(&c, cli, r);
}

const struct cli_command cmd_store_remove = {
	.name = "store remove",
	.args = "NAME",
	.summary = "forget a named disk; its space comes back with two rounds of `store gc`",
	.help = "Examples:\n  kiln store remove --store /srv/store v1",
	.options = store_option,
	.run = run_remove,
};
