/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/verbs.h"
#include "providers/boot.h"

struct run {
	struct cli *cli;
	const struct cli_args *args;
	struct app *app;
	struct boot_options opts;
	char **forwards; /* owned */
	struct event_sink sink;
};

static void show_stage(void *arg, const json_t *event)
{
	const struct run *r = arg;
	const char *type = json_str_at(event, "type"), *stage = json_str_at(event, "stage");

	if (r->cli->json || !str_eq(type, "vm.stage") || !stage)
		return;
	(void) fprintf(stderr, "%s%7.1fs%s  %s\n", cli_sgr(r->cli, CLI_DIM),
		       json_number_value(json_object_get(event, "seconds")),
		       cli_sgr(r->cli, CLI_PLAIN), stage);
}

static int parse_number(const char *text, unsigned max, unsigned *ret)
{
	char *end = NULL;
	unsigned long n;

	if (!text)
		return 0;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || n == 0 || n > max)
		return -EINVAL;
	*ret = (unsigned) n;
	return 0;
}

/* "2222:22" or "192.0.2.1:2222:22" to QEMU's words. */
static int add_port(struct run *r, const char *text)
{
	const char *last = strrchr(text, ':'), *host = text;
	auto_free char *front = last ? strndup(text, (size_t) (last - text)) : NULL;
	auto_free char *forward = NULL;
	const char *colon;
	unsigned host_port = 0, guest_port = 0;

	if (!last || !front)
		return last ? -ENOMEM : -EINVAL;
	colon = strrchr(front, ':');
	host = colon ? colon + 1 : front;
	if (parse_number(host, 65535, &host_port) < 0 ||
	    parse_number(last + 1, 65535, &guest_port) < 0)
		return -EINVAL;
	if (colon)
		forward = strf("tcp:%.*s:%u-:%u", (int) (colon - front), front, host_port,
			       guest_port);
	else
		forward = strf("tcp:127.0.0.1:%u-:%u", host_port, guest_port);
	return forward ? strv_push(&r->forwards, forward) : -ENOMEM;
}

static int parse(struct run *r)
{
	const struct cli_args *a = r->args;
	unsigned seconds = 0;
	const char *p;
	int i = 0;

	while ((p = cli_opt_next(a, "--publish", &i))) {
		if (add_port(r, p) < 0)
			return cli_usage(r->cli, "run: --publish '%s' is not [ADDR:]PORT:GUESTPORT",
					 p);
	}
	if (parse_number(cli_opt(a, "--cpus"), 64, &r->opts.cpus) < 0)
		return cli_usage(r->cli, "run: --cpus must be 1 to 64");
	if (parse_number(cli_opt(a, "--memory"), 1u << 20, &r->opts.memory_mib) < 0)
		return cli_usage(r->cli, "run: --memory must be a number of MiB");
	if (parse_number(cli_opt(a, "--timeout"), 86400, &seconds) < 0)
		return cli_usage(r->cli, "run: --timeout must be 1 to 86400 seconds");
	r->opts.timeout_ms = (uint64_t) seconds * 1000;
	r->opts.region = cli_opt(a, "--region");
	r->opts.console_log = cli_opt(a, "--console");
	r->opts.no_secure_boot = cli_flag(a, "--no-secure-boot");
	r->opts.no_vtpm = cli_flag(a, "--no-vtpm");
	r->opts.open_network = cli_flag(a, "--network");
	r->opts.forwards = (const char *const *) r->forwards;
	r->opts.cancel = &r->cli->cancel;
	r->sink = (struct event_sink){.emit = show_stage, .arg = r};
	r->opts.events = &r->sink;
	if (r->opts.console_log && r->opts.console_log[0] != '/')
		return cli_usage(r->cli, "run: --console needs an absolute path");
	return EXIT_DONE;
}

static void show_line(const struct cli *cli, const char *name, const char *value)
{
	(void) printf("%s%-14s%s", cli_sgr(cli, CLI_DIM), name, cli_sgr(cli, CLI_PLAIN));
	if (!value || !*value)
		value = "-";
	cli_print_safe(stdout, value, strlen(value));
	(void) putchar('\n');
}

static void show_units(const struct cli *cli, const json_t *facts)
{
	const json_t *units = json_object_get(facts, "failedUnits"), *u;
	size_t i;

	if (json_array_size(units) == 0) {
		show_line(cli, "failed units", "none");
		return;
	}
	json_array_foreach((json_t *) units, i, u)
		show_line(cli, i == 0 ? "failed units" : "", json_string_value(u));
}

static void show_stages(const struct cli *cli, const json_t *stages)
{
	static const char *const names[] = {"firmware", "bootloader", "kernel",
					    "init",     "agent",      "system"};
	char time[16];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const json_t *s = json_object_get(stages, names[i]);

		if (s)
			show_line(cli, names[i], time_human(json_number_value(s), time));
	}
}

static void show_attestation(const struct cli *cli, const json_t *a)
{
	const json_t *reasons = json_object_get(a, "reasons"), *reason;
	size_t i;

	show_line(cli, "attestation", json_str_at(a, "verdict"));
	json_array_foreach((json_t *) reasons, i, reason)
		show_line(cli, "", json_string_value(reason));
}

static void show_fetched(const struct cli *cli, const json_t *facts)
{
	char text[16];

	show_line(cli, "read of disk",
		  size_human((uint64_t) json_int_at(facts, "bytesFetched", 0), text));
}

static void show_facts(const struct cli *cli, const json_t *facts)
{
	char time[16];

	show_line(cli, "version", json_str_at(facts, "version"));
	show_line(cli, "host name", json_str_at(facts, "hostName"));
	show_line(cli, "os-release", json_str_at(facts, "osRelease"));
	show_line(cli, "kernel", json_str_at(facts, "kernel"));
	show_line(cli, "Secure Boot",
		  json_bool_at(facts, "secureBoot", false) ? "enabled" : "disabled");
	show_line(cli, "TPM 2.0", json_bool_at(facts, "vTpm", false) ? "present" : "absent");
	show_attestation(cli, json_object_get(facts, "attestation"));
	show_line(cli, "system", json_str_at(facts, "systemState"));
	show_units(cli, facts);
	show_line(cli, "SSH host key", json_str_at(facts, "hostKey"));
	show_stages(cli, json_object_get(facts, "stages"));
	show_fetched(cli, facts);
	show_line(cli, "looked at",
		  time_human(json_number_value(json_object_get(facts, "seconds")), time));
	(void) fflush(stdout);
}

static int report(struct run *r, struct boot *b, struct err *err)
{
	auto_json json_t *facts = NULL;
	int rc = boot_facts(b, &facts, err);

	if (rc < 0)
		return rc;
	if (r->cli->json)
		return cli_print_json(facts);
	show_facts(r->cli, facts);
	return 0;
}

/* A platform image goes by its name; everything else is a resource. */
static int find(struct run *r, char **ret, struct err *err)
{
	const char *typed = r->args->pos[0];

	if (typed[0] == '/' || !strchr(typed, ':'))
		return ref_find_step(r->cli, typed, cli_opt(r->args, "--group"), ret, err);
	*ret = strdup(typed);
	return *ret ? 0 : err_set(err, -ENOMEM, "%s", typed);
}

static int work(struct run *r, struct err *err)
{
	auto_free char *id = NULL;
	struct boot *b = NULL;
	int rc, r2;

	rc = find(r, &id, err);
	if (rc < 0)
		return rc;
	cli_note(r->cli, "booting %s", id);
	rc = boot_open(r->app, id, &r->opts, &b, err);
	if (rc < 0)
		return rc;
	rc = report(r, b, err);
	if (rc == 0 && !cli_flag(r->args, "--wait")) {
		cli_note(r->cli, "running; Ctrl-C shuts it down");
		rc = boot_wait(b, &r->cli->cancel, err);
	}
	r2 = boot_close(b, rc < 0 ? NULL : err);
	return rc < 0 ? rc : r2;
}

static int run_run(struct cli *cli, const struct cli_args *args)
{
	struct run r = {.cli = cli, .args = args};
	auto_err struct err e = ERR_INIT;
	int status = parse(&r);

	if (status == EXIT_DONE && cli_app(cli, &r.app) < 0)
		status = EXIT_FAILED;
	else if (status == EXIT_DONE && work(&r, &e) < 0)
		status = cli_fail(cli, &e);
	strv_free(r.forwards);
	return status;
}

static const struct cli_option run_options[] = {
	{"--wait", 'w', NULL, "stop the guest once it is up and was looked at"},
	{"--group", 'g', "GROUP", "resource group of the gallery (default: search all)"},
	{"--region", 0, "REGION", "read the disk from this region"},
	{"--publish", 'p', "[ADDR:]PORT:GUESTPORT", "forward a TCP port; repeatable"},
	{"--network", 0, NULL, "let the guest reach out (also to the host's loopback, 10.0.2.2)"},
	{"--no-secure-boot", 0, NULL, "boot generation 2 without Secure Boot"},
	{"--no-vtpm", 0, NULL, "boot generation 2 without a TPM"},
	{"--cpus", 0, "N", "virtual CPUs (default: 2, emulated 1)"},
	{"--memory", 'm', "MIB", "memory (default: 1024)"},
	{"--timeout", 0, "SECONDS", "wait so long for the guest agent (default: 600)"},
	{"--console", 0, "FILE", "keep the serial console's output there"},
	{NULL},
};

const struct cli_command cmd_run = {
	.name = "run",
	.args = "VERSION",
	.summary = "boot an image version on a throw-away disk",
	.help = "VERSION is GALLERY/DEFINITION/X.Y.Z, GALLERY/DEFINITION/latest, a resource id, or "
		"a\n"
		"platform image (Debian:debian-12:12-gen2), or a disk of a run "
		"(TEMPLATE@STEP).\n"
		"It starts at once, whatever its size, "
		"and\n"
		"what the guest writes is thrown away.\n\n"
		"Without --wait the guest runs until it shuts down or Ctrl-C is pressed.\n"
		"docs/running.md tells more.\n\n"
		"Examples:\n"
		"  kiln run golden/debian-12/latest --wait\n"
		"  kiln run golden/debian-12/1.0.0 -p 8080:80\n"
		"  kiln run golden/debian-12/1.0.0 --wait --json",
	.options = run_options,
	.run = run_run,
};
