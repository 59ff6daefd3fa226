/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/boot.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "vm/internal.h"
#include "vm/tpm.h"

#define AGENT_TIMEOUT_MS  600000
#define SETTLE_TIMEOUT_MS 120000
#define FACTS_TIMEOUT_MS  60000
#define FACTS_BYTES       65536
#define FAILED_UNITS_MAX  256

struct vm_boot {
	struct vm *vm;
	char *dir, *overlay, *seed, *console, *tpm;
	char tpm_key[VM_TPM_KEY_HEX]; /* kept nowhere: the state ends with the guest */
	struct journal_entry *entry;  /* @dir */
	struct cancel *cancel;
};

/* One round trip for everything: each line is KEY TAB VALUE. */
static const char facts_script[] =
	"say() { [ -z \"$2\" ] || printf '%s\\t%s\\n' \"$1\" \"$2\"; }\n"
	"say hostName \"$(uname -n)\"\n"
	"say kernel \"$(uname -r)\"\n"
	"say osRelease \"$(. /etc/os-release 2>/dev/null && printf %s \"$PRETTY_NAME\")\"\n"
	"say machineId \"$(cat /etc/machine-id 2>/dev/null)\"\n"
	"say clock \"$(cut -d' ' -f1 /proc/uptime) $(systemctl show --value "
	"-p UserspaceTimestampMonotonic 2>/dev/null) $(systemctl show --value "
	"-p FinishTimestampMonotonic 2>/dev/null)\"\n"
	"say systemState \"$(systemctl is-system-running 2>/dev/null)\"\n"
	"say secureBoot \"$(od -An -tu1 -j4 -N1 "
	"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c "
	"2>/dev/null | tr -d ' ')\"\n"
	"[ ! -e /sys/class/tpm/tpm0 ] || say vTpm 1\n"
	"for k in ed25519 ecdsa rsa; do f=/etc/ssh/ssh_host_${k}_key.pub\n"
	"[ ! -r $f ] || { say hostKey \"$(ssh-keygen -lf $f 2>/dev/null | cut -d' ' -f2)\"; "
	"break; }; done\n"
	"systemctl list-units --failed --plain --no-legend --no-pager 2>/dev/null |\n"
	"while read -r unit rest; do say failedUnit \"$unit\"; done\n"
	"exit 0\n";

static int make_names(struct vm_boot *b, const struct vm_boot_spec *s, const char *id,
		      struct err *err)
{
	b->dir = strf("%s/boot-%s", s->scratch, id);
	b->overlay = b->dir ? path_join(b->dir, "disk.qcow2") : NULL;
	b->seed = b->dir ? path_join(b->dir, "seed.img") : NULL;
	if (s->console_log)
		b->console = strdup(s->console_log);
	else
		b->console = b->dir ? path_join(b->dir, "console.log") : NULL;
	b->tpm = b->dir ? path_join(b->dir, "tpm") : NULL;
	if (!b->tpm || !b->overlay || !b->seed || !b->console)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int make_media(struct vm_boot *b, const struct vm_boot_spec *s, const char *id,
		      struct err *err)
{
	auto_free char *instance = strf("i-%s", id), *hostname = strf("kiln-%.8s", id);
	int r;

	if (!instance || !hostname)
		return err_set(err, -ENOMEM, "out of memory");
	r = journal_add(s->journal, "tree", json_pack("{s:s}", "path", b->dir), &b->entry, err);
	if (r == 0)
		r = file_mkdir_p(b->dir, 0700, err);
	if (r == 0)
		r = vm_overlay_create(b->overlay, s->nbd_socket, s->nbd_export, s->size_bytes, err);
	if (r == 0)
		r = vm_seed_create(b->seed, instance, s->hostname ? s->hostname : hostname,
				   s->user_data, NULL, err);
	if (r == 0 && s->tpm_ca) {
		r = vm_tpm_random_key(b->tpm_key);
		if (r == 0)
			r = vm_tpm_make(b->tpm, s->tpm_ca, hostname, b->tpm_key, err);
	}
	return r;
}

static int start(struct vm_boot *b, const struct vm_boot_spec *s, const char *id, struct err *err)
{
	auto_free char *name = strf("v%.11s", id);
	struct vm_spec v = {
		.name = name,
		.firmware = s->firmware,
		.secure_boot = s->secure_boot,
		.tpm_dir = s->tpm_ca ? b->tpm : NULL,
		.tpm_key = b->tpm_key,
		.cpus = s->cpus,
		.memory_mib = s->memory_mib,
		.overlay = b->overlay,
		.nbd_socket = s->nbd_socket,
		.nbd_export = s->nbd_export,
		.seed = b->seed,
		.console_log = b->console,
		.network = s->network,
		.isolated = s->isolated,
		.forwards = s->forwards,
		.http_proxy_sock = s->http_proxy_sock,
	};
	int r;

	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	r = vm_start(s->host, &v, &b->vm, err);
	if (r < 0)
		return r;
	return vm_wait_agent(b->vm, s->agent_timeout_ms ? s->agent_timeout_ms : AGENT_TIMEOUT_MS,
			     s->cancel, s->events, err);
}

int vm_boot_start(const struct vm_boot_spec *spec, struct vm_boot **ret, struct err *err)
{
	struct vm_boot *b = calloc(1, sizeof(*b));
	char id[33];
	int r;

	if (!b)
		return err_set(err, -ENOMEM, "out of memory");
	b->cancel = spec->cancel;
	r = tmp_name(id);
	if (r < 0)
		err_set(err, r, "random name: %s", strerrordesc_np(-r));
	if (r == 0)
		r = make_names(b, spec, id, err);
	if (r == 0)
		r = make_media(b, spec, id, err);
	if (r == 0)
		r = start(b, spec, id, err);
	if (r < 0) {
		(void) vm_boot_stop(b, 0, NULL);
		return r;
	}
	*ret = b;
	return 0;
}

struct vm *vm_boot_vm(struct vm_boot *b)
{
	return b->vm;
}

/* Until start-up is over. That it does not end in time is a fact, not a failure. */
static int settle(struct vm_boot *b, uint64_t settle_ms, struct err *err)
{
	static const char *const argv[] = {"/bin/sh", "-c",
					   "command -v systemctl >/dev/null || exit 0; exec "
					   "systemctl is-system-running --wait",
					   NULL};
	auto_err struct err e = ERR_INIT;
	struct vm_exec x = {.argv = argv,
			    .timeout_ms = settle_ms ? settle_ms : SETTLE_TIMEOUT_MS,
			    .cancel = b->cancel};
	struct proc_result res;
	int r = vm_exec(b->vm, &x, &res, &e);

	if (r == 0 || (r == -ETIME && cancel_check(b->cancel) == 0))
		return 0;
	if (err)
		err_move(err, &e);
	return r;
}

static int put_fact(json_t *facts, const char *key, const char *value)
{
	json_t *known = json_object_get(facts, key);

	if (strcmp(key, "failedUnit") == 0) {
		json_t *units = json_object_get(facts, "failedUnits");

		if (json_array_size(units) >= FAILED_UNITS_MAX)
			return 0;
		return json_array_append_new(units, json_string(value));
	}
	if (json_is_boolean(known))
		return json_object_set_new(facts, key, json_boolean(strcmp(value, "1") == 0));
	if (!json_is_null(known) && !json_is_string(known))
		return 0; /* a guest says what it likes; only what was asked counts */
	return json_object_set_new(facts, key, json_string(value));
}

int vm_boot_parse_facts(const char *text, json_t **ret, struct err *err)
{
	auto_json json_t *facts =
		json_pack("{s:n, s:n, s:n, s:n, s:s, s:[], s:b, s:b, s:n}", "hostName", "osRelease",
			  "kernel", "machineId", "systemState", "unknown", "failedUnits",
			  "secureBoot", 0, "vTpm", 0, "hostKey");
	auto_free char *copy = strdup(text);
	char *rest = copy, *line;

	if (!facts || !copy)
		return err_set(err, -ENOMEM, "out of memory");
	while ((line = strsep(&rest, "\n"))) {
		char *tab = strchr(line, '\t');

		if (!tab)
			continue;
		*tab = '\0';
		if (put_fact(facts, line, tab + 1) < 0)
			return err_set(err, -EPROTO, "the guest's %s is not UTF-8", line);
	}
	*ret = json_incref(facts);
	return 0;
}

static void add_stage(json_t *stages, const char *name, double seconds)
{
	if (!json_object_get(stages, name))
		(void) json_object_set_new(
			stages, name, json_real((double) (int64_t) (seconds * 1000 + 0.5) / 1000));
}

/* Stages that a quiet image does not show on its console, by the guest's own clock: seconds since
 * its kernel began, then systemd's microseconds. @now: seconds since the start. What cannot be is
 * left out; it is a guest's word. */
static void add_guest_stages(json_t *stages, const char *clock, double now)
{
	double uptime, init_us, finish_us, kernel;
	char *rest;

	if (!clock)
		return;
	/* A number that is missing is 0. */
	uptime = strtod(clock, &rest);
	init_us = strtod(rest, &rest);
	finish_us = strtod(rest, &rest);
	kernel = now - uptime;
	if (!(uptime > 0 && kernel >= 0))
		return;
	add_stage(stages, "kernel", kernel);
	if (init_us > 0 && init_us / 1e6 <= uptime)
		add_stage(stages, "init", kernel + init_us / 1e6);
	if (finish_us >= init_us && finish_us > 0 && finish_us / 1e6 <= uptime)
		add_stage(stages, "system", kernel + finish_us / 1e6);
}

int vm_boot_facts(struct vm_boot *b, uint64_t settle_ms, json_t **ret, struct err *err)
{
	static const char *const argv[] = {"/bin/sh", "-c", facts_script, NULL};
	auto_buf struct buf text = BUF_INIT(FACTS_BYTES);
	auto_json json_t *facts = NULL;
	json_t *stages;
	struct vm_exec x = {
		.argv = argv, .timeout_ms = FACTS_TIMEOUT_MS, .cancel = b->cancel, .out = &text};
	struct proc_result res;
	int r = settle(b, settle_ms, err);

	if (r == 0)
		r = vm_exec(b->vm, &x, &res, err);
	if (r == 0 && res.exit_code != 0)
		r = err_set(err, -EIO, "the shell ended with status %d", res.exit_code);
	if (r == 0)
		r = vm_boot_parse_facts(buf_str(&text), &facts, err);
	if (r < 0)
		return err_ctx(err, r, "facts of the guest");
	stages = vm_stages(b->vm);
	add_guest_stages(stages, json_str_at(facts, "clock"), vm_seconds_since(b->vm->start_ns));
	(void) json_object_del(facts, "clock");
	if (json_object_set_new(facts, "stages", stages) < 0 ||
	    json_object_set_new(facts, "seconds", json_real(vm_seconds_since(b->vm->start_ns))) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	*ret = json_incref(facts);
	return 0;
}

int vm_boot_wait_end(struct vm_boot *b, struct cancel *cancel, struct err *err)
{
	while (!b->vm->ended) {
		int r = vm_pump(b->vm, 0, cancel, err);

		if (r < 0 && r != -ECHILD)
			return r;
	}
	return 0;
}

int vm_boot_stop(struct vm_boot *b, uint64_t grace_ms, struct err *err)
{
	int r, r2 = 0;

	if (!b)
		return 0;
	r = vm_stop(b->vm, grace_ms, err);
	if (b->entry)
		r2 = journal_undo(b->entry, r == 0 ? err : NULL);
	mem_wipe(b->tpm_key, sizeof(b->tpm_key));
	free(b->tpm);
	free(b->dir);
	free(b->overlay);
	free(b->seed);
	free(b->console);
	free(b);
	return r < 0 ? r : r2;
}
