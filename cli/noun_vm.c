/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual machines: their resource commands, and the ways into one. */
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/context.h"
#include "cli/noun.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/target.h"
#include "cli/verbs.h"

static const struct cli_column vm_columns[] = {
	{"VM", "name"},
	{"GROUP", "id", CELL_GROUP},
	{"LOCATION", "location"},
	{"SIZE", "properties.hardwareProfile.vmSize"},
	{"STATE", "properties.instanceView.kiln.state"},
	{"REASON", "properties.instanceView.kiln.reason"},
	{"SECURITY", "properties.securityProfile.securityType", .wide = true},
	{"IMAGE", "properties.storageProfile.imageReference.id", .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_vm = {
	.type = "Microsoft.Compute/virtualMachines",
	.one = "virtual machine",
	.query = "$expand=instanceView",
	.query_each = true,
	.located = true,
	.body = "{\"properties\":{\"hardwareProfile\":{\"vmSize\":\"Standard_B1s\"},"
		"\"securityProfile\":{\"securityType\":\"TrustedLaunch\"}}}",
	.columns = vm_columns,
};

static const struct cli_option vm_create[] = {
	NOUN_GROUP_OPTION,
	{"--image", 'i', "IMAGE",
	 "a version, a definition (its latest), a platform image, or an id",
	 .path = "properties.storageProfile.imageReference", .put = PUT_IMAGE, .required = true},
	{"--size", 0, "SIZE", "CPUs and memory (default: Standard_B1s)",
	 .path = "properties.hardwareProfile.vmSize", .put = PUT_TEXT},
	{"--security", 0, "TYPE", "TrustedLaunch (default) or Standard",
	 .path = "properties.securityProfile.securityType", .put = PUT_TEXT},
	{"--user", 'u', "NAME", "the account that is made",
	 .path = "properties.osProfile.adminUsername", .put = PUT_TEXT},
	{"--ssh-key", 0, "FILE", "a public key of that account; repeatable",
	 .path = "properties.osProfile.linuxConfiguration.ssh.publicKeys", .put = PUT_SSH_KEY},
	{"--password-file", 0, "FILE", "its password; - for standard input",
	 .path = "properties.osProfile.adminPassword", .put = PUT_SECRET},
	{"--custom-data", 0, "FILE", "what cloud-init gets besides",
	 .path = "properties.osProfile.customData", .put = PUT_BASE64},
	{"--publish", 'p', "[ADDR:]PORT:GUESTPORT", "forward a TCP port; repeatable",
	 .path = "properties.kiln.forwards", .put = PUT_FORWARD},
	{"--outbound", 0, "WHETHER", "Enabled: the guest reaches out (also to the host's loopback)",
	 .path = "properties.kiln.outboundAccess", .put = PUT_TEXT},
	{"--disk-gb", 0, "N", "size of its disk (default: the image's)",
	 .path = "properties.storageProfile.osDisk.diskSizeGB", .put = PUT_INT},
	NOUN_CREATE_OPTIONS,
	{NULL},
};
static const struct cli_option vm_action[] = {
	NOUN_GROUP_OPTION,
	{"--no-wait", 0, NULL, "do not wait for the operation's end"},
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option vm_reach[] = {
	NOUN_GROUP_OPTION,
	{NULL},
};

const struct cli_command cmd_vm_list = {
	.name = "vm list",
	.summary = "list virtual machines and how they are",
	.help = "Example:\n  kiln vm list",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_vm,
};
const struct cli_command cmd_vm_show = {
	.name = "vm show",
	.args = "VM",
	.summary = "show one virtual machine",
	.help = "Example:\n  kiln vm show web --jq .properties.instanceView",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_vm,
};
const struct cli_command cmd_vm_create = {
	.name = "vm create",
	.args = "VM",
	.summary = "make a virtual machine from an image and start it",
	.help = "It runs until it is stopped, whoever made it. docs/vms.md tells more.\n\n"
		"Examples:\n"
		"  kiln vm create web -g images -i golden/debian-12 -u ada --ssh-key "
		"~/.ssh/id_ed25519.pub\n"
		"  kiln vm create old -g images -i Debian:debian-12:12 --security Standard",
	.options = vm_create,
	.run = verb_create,
	.noun = &noun_vm,
};
#define VM_ACTION(VAR, NAME, ACTION, SUMMARY)                                                      \
	const struct cli_command VAR = {                                                           \
		.name = "vm " NAME,                                                                \
		.args = "VM",                                                                      \
		.summary = (SUMMARY),                                                              \
		.help = "Example:\n  kiln vm " NAME " web",                                        \
		.options = vm_action,                                                              \
		.run = verb_action,                                                                \
		.noun = &noun_vm,                                                                  \
		.action = (ACTION),                                                                \
	}
VM_ACTION(cmd_vm_start, "start", "start", "start a virtual machine");
VM_ACTION(cmd_vm_stop, "stop", "powerOff", "shut a virtual machine down");
VM_ACTION(cmd_vm_deallocate, "deallocate", "deallocate",
	  "shut a virtual machine down and give up what it holds");
VM_ACTION(cmd_vm_restart, "restart", "restart", "shut a virtual machine down and start it");
VM_ACTION(cmd_vm_reimage, "reimage", "reimage", "give a virtual machine its image's disk again");

const struct cli_command cmd_vm_delete = {
	.name = "vm delete",
	.args = "VM",
	.summary = "delete a virtual machine and what it wrote",
	.help = "Example:\n  kiln vm delete web --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_vm,
};

/* ---- Ways in -------------------------------------------------------------------------------- */

/* Arguments of a shell command line, each in single quotes. */
static char *command_line(char *const *argv)
{
	auto_buf struct buf b = BUF_INIT(1u << 20);

	for (; *argv; argv++) {
		(void) buf_addstr(&b, "'");
		for (const char *p = *argv; *p; p++)
			if (*p == '\'')
				(void) buf_addstr(&b, "'\\''");
			else
				(void) buf_addch(&b, *p);
		(void) buf_addstr(&b, argv[1] ? "' " : "'");
	}
	return buf_err(&b) < 0 ? NULL : strdup(buf_str(&b));
}

static int run_vm_exec(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL, *path = NULL, *line = NULL;
	auto_json json_t *body = NULL, *ret = NULL;
	const char *message;
	struct target *t;
	int r;

	if (args->n_pos < 2)
		return cli_usage(cli, "vm exec: a command is missing");
	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	line = args->n_pos == 2 ? strdup(args->pos[1]) : command_line(args->pos + 1);
	body = line ? json_pack("{s:s, s:[s]}", "commandId", "RunShellScript", "script", line)
		    : NULL;
	r = body ? noun_id(cli, &noun_vm, args, args->pos[0], &id, &e)
		 : err_set(&e, -ENOMEM, "the command is no UTF-8, or too long");
	path = r == 0 ? strf("%s/runCommand", id) : NULL;
	if (path)
		r = target_call(cli, "POST", path, body, true, &ret, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	if (cli->json)
		return cli_print_json(ret);
	message = json_str_at(json_array_get(json_object_get(ret, "value"), 0), "message");
	(void) printf("%s\n", message ? message : "");
	return json_int_at(ret, "exitCode", 0) == 0 ? EXIT_DONE : EXIT_FAILED;
}

const struct cli_command cmd_vm_exec = {
	.name = "vm exec",
	.args = "VM COMMAND...",
	.summary = "run a command in a virtual machine, by its guest agent",
	.help = "One argument is a shell script; several are a command and its arguments. It runs "
		"as\n"
		"root, without a network. The exit status is 1 when the command's is not 0.\n\n"
		"Examples:\n"
		"  kiln vm exec web 'systemctl --failed; journalctl -n 20'\n"
		"  kiln vm exec web -- dpkg -l nginx",
	.options = vm_reach,
	.run = run_vm_exec,
};

static int find_ssh(struct cli *cli, const struct cli_args *args, json_t **ret, struct err *err)
{
	auto_free char *id = NULL;
	auto_json json_t *doc = NULL;
	const json_t *ssh;
	struct target *t;
	int r = cli_target(cli, &t);

	if (r < 0)
		return r;
	r = noun_id(cli, &noun_vm, args, args->pos[0], &id, err);
	if (r == 0)
		r = ref_get(cli, id, noun_vm.query, &doc, err);
	if (r < 0)
		return r;
	ssh = json_at(doc, "properties.instanceView.kiln.ssh");
	if (!ssh) {
		err_set(err, -ENOTCONN, "%s does not run", args->pos[0]);
		err_hint(err, "kiln vm start %s", args->pos[0]);
		return -ENOTCONN;
	}
	*ret = json_incref((json_t *) ssh);
	return json_object_set(*ret, "vmId", json_at(doc, "properties.vmId")) < 0
		       ? err_set(err, -ENOMEM, "out of memory")
		       : 0;
}

/* A VM's host key is its own, whatever port it has today: noted by its id when it is first seen. */
static int host_key_options(const json_t *ssh, char **ret_alias, char **ret_file)
{
	auto_free char *contexts = context_file();
	auto_free char *dir = contexts ? path_dirname(contexts) : NULL;

	*ret_alias = strf("HostKeyAlias=kiln-%s", json_str_at(ssh, "vmId"));
	*ret_file = dir ? strf("UserKnownHostsFile=%s/known_hosts", dir) : NULL;
	if (!*ret_alias || !*ret_file)
		return -ENOMEM;
	return file_mkdir_p(dir, 0700, NULL);
}

static int run_ssh(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *ssh = NULL;
	auto_free char *port = NULL, *who = NULL, *alias = NULL, *known = NULL;
	auto_free char **argv = calloc((size_t) args->n_pos + 14, sizeof(*argv));
	const char *user;
	size_t n = 0;
	int r = find_ssh(cli, args, &ssh, &e);

	if (r < 0)
		return e.code ? cli_fail(cli, &e) : EXIT_FAILED;
	user = cli_opt(args, "--user") ? cli_opt(args, "--user") : json_str_at(ssh, "user");
	port = strf("%lld", (long long) json_int_at(ssh, "port", 22));
	who = user ? strf("%s@%s", user, json_str_at(ssh, "host"))
		   : strdup(json_str_at(ssh, "host"));
	if (!argv || !port || !who || host_key_options(ssh, &alias, &known) < 0)
		return EXIT_FAILED;
	argv[n++] = (char *) "ssh";
	argv[n++] = (char *) "-p";
	argv[n++] = port;
	argv[n++] = (char *) "-o";
	argv[n++] = alias;
	argv[n++] = (char *) "-o";
	argv[n++] = known;
	argv[n++] = (char *) "-o";
	argv[n++] = (char *) "StrictHostKeyChecking=accept-new";
	if (cli_opt(args, "--identity")) {
		argv[n++] = (char *) "-i";
		argv[n++] = (char *) cli_opt(args, "--identity");
	}
	argv[n++] = who;
	for (int i = 1; i < args->n_pos; i++)
		argv[n++] = args->pos[i];
	/* This process becomes ssh: it has the terminal and the exit status. */
	(void) execv("/usr/bin/ssh", argv);
	err_set(&e, -errno, "/usr/bin/ssh: %s", strerrordesc_np(errno));
	err_hint(&e, "install openssh-client");
	return cli_fail(cli, &e);
}

static const struct cli_option ssh_options[] = {
	NOUN_GROUP_OPTION,
	{"--user", 'u', "NAME", "log in as (default: the VM's administrator)"},
	{"--identity", 'i', "FILE", "private key"},
	{NULL},
};
const struct cli_command cmd_ssh = {
	.name = "ssh",
	.args = "VM [COMMAND...]",
	.summary = "log in to a virtual machine of this host",
	.help = "Example:\n  kiln ssh web -- uptime",
	.options = ssh_options,
	.run = run_ssh,
};

/* ---- The console ---------------------------------------------------------------------------- */

static int pump(struct arm_response *res, struct err *err)
{
	char piece[65536];

	for (uint64_t at = 0; res->stream.read && at < res->stream.bytes;) {
		uint64_t left = res->stream.bytes - at;
		int64_t n = res->stream.read(res->stream.arg, piece,
					     left < sizeof(piece) ? left : sizeof(piece), at, err);

		if (n < 0)
			return (int) n;
		if (fwrite(piece, 1, (size_t) n, stdout) != (size_t) n)
			return err_set(err, -EIO, "standard output cannot be written");
		at += (uint64_t) n;
	}
	return 0;
}

static int run_console(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL, *path = NULL;
	auto_json json_t *uris = NULL;
	struct arm_response res = {0};
	struct arm_request req = {.method = "GET"};
	struct target *t;
	int r;

	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = noun_id(cli, &noun_vm, args, args->pos[0], &id, &e);
	path = r == 0 ? strf("%s/retrieveBootDiagnosticsData", id) : NULL;
	if (path)
		r = target_call(cli, "POST", path, NULL, true, &uris, &e);
	req.target = json_str_at(uris, "serialConsoleLogBlobUri");
	if (r == 0 && !req.target)
		r = err_set(&e, -EPROTO, "the answer names no console");
	if (r == 0) /* the path; the target knows the host */
		req.target = strchr(req.target + strlen("https://"), '/');
	if (r == 0)
		r = target_send(t, &req, &res, &e);
	if (r == 0 && res.status >= 300)
		r = ref_error(res.status, res.body, &e);
	if (r == 0)
		r = pump(&res, &e);
	arm_response_done(&res);
	return r < 0 ? cli_fail(cli, &e) : EXIT_DONE;
}

const struct cli_command cmd_console = {
	.name = "console",
	.args = "VM",
	.summary = "print what a virtual machine said on its serial console",
	.help = "Since its last start.\n\nExample:\n  kiln console web | tail",
	.options = vm_reach,
	.run = run_console,
};
