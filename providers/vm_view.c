/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a VM is, and its console. Asked in the server's process too, which sees no VM's directory:
 * the state file and the console's log are open to it.
 *
 * URLs of consoles: BASE/serial/SUBSCRIPTION/GROUP/VM?se=SECONDS&sig=HEX, where sig is HMAC-SHA256,
 * by the VM's own key, over its id's key and se.
 */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "arm/query.h"
#include "arm/text.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/vms.h"
#include "vm/keeper.h"

#define URL_SECONDS 7200
#define SIG_HEX     65

/* ---- The instance view ---------------------------------------------------------------------- */

static json_t *status_of(const char *code, const char *display, const char *message,
			 const char *since)
{
	return json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "code", code, "level", "Info",
			 "displayStatus", display, "message", message && *message ? message : NULL,
			 "time", since);
}

static json_t *power_status(const json_t *doc, const json_t *state)
{
	const char *asked = json_str_at(doc, VM_POWER), *is = json_str_at(state, "state");
	const char *reason = json_str_at(state, "reason"), *since = json_str_at(state, "since");

	if (str_eq(is, "running"))
		return status_of("PowerState/running", "VM running", NULL, since);
	if (str_eq(is, "starting"))
		return status_of("PowerState/starting", "VM starting", NULL, since);
	if (str_eq(asked, "deallocated"))
		return status_of("PowerState/deallocated", "VM deallocated", NULL, since);
	return status_of("PowerState/stopped", "VM stopped", reason, since);
}

static json_t *agent_view(const json_t *state)
{
	bool up = json_bool_at(state, "agent", false);
	json_t *status = up ? status_of("ProvisioningState/succeeded", "Ready",
					"Guest Agent is running", NULL)
			    : status_of("ProvisioningState/Unavailable", "Not Ready",
					"The guest agent does not answer", NULL);

	return json_pack("{s:s, s:[o]}", "vmAgentVersion", up ? "qemu-guest-agent" : "Unknown",
			 "statuses", status);
}

static json_t *kiln_view(const json_t *doc, const json_t *state)
{
	json_int_t port = (json_int_t) json_int_at(state, "sshPort", 0);
	bool running = str_eq(json_str_at(state, "state"), "running");
	auto_json json_t *ssh = NULL;

	if (running && port > 0)
		ssh = json_pack("{s:s, s:I, s:s*}", "host", "127.0.0.1", "port", port, "user",
				json_str_at(doc, P_OS ".adminUsername"));
	return json_pack("{s:s, s:s*, s:s*, s:O*, s:O*, s:I}", "state",
			 json_str_at(state, "state") ?: "stopped", "reason",
			 json_str_at(state, "reason"), "since", json_str_at(state, "since"),
			 "stages", json_object_get(state, "stages"), "ssh", ssh, "exportRestarts",
			 (json_int_t) json_int_at(state, "exportRestarts", 0));
}

json_t *vm_instance_view(const struct app *a, const json_t *doc)
{
	const char *id = json_str_at(doc, P_VM_ID);
	const char *provisioning = json_str_at(doc, "properties.provisioningState");
	auto_free char *path = vm_run_path(a, id ? id : "", ".json"), *code = NULL, *word = NULL;
	auto_json json_t *state = path ? vm_state_read(path) : NULL;

	word = str_lower(provisioning ? provisioning : "Succeeded");
	code = word ? strf("ProvisioningState/%s", word) : NULL;
	if (!state || !code)
		return NULL;
	return json_pack("{s:s*, s:s, s:o, s:[o, o], s:o}", "computerName",
			 json_str_at(doc, P_OS ".computerName"), "hyperVGeneration",
			 vm_uefi(doc) ? "V2" : "V1", "vmAgent", agent_view(state), "statuses",
			 status_of(code, provisioning ? provisioning : "Succeeded", NULL, NULL),
			 power_status(doc, state), "kiln", kiln_view(doc, state));
}

int vm_view_hook(struct arm_call *c, struct err *err)
{
	if (expands(c, "instanceView")) {
		json_t *view = vm_instance_view(c->app, c->doc);

		if (!view || json_set_at(c->doc, "properties.instanceView", view) < 0)
			return no_memory(err);
	}
	(void) json_object_del(c->doc, "vm");
	return 0;
}

int vm_instance_hook(struct arm_call *c, struct err *err)
{
	c->result = vm_instance_view(c->app, c->old ? c->old : c->doc);
	return c->result ? 0 : no_memory(err);
}

/* ---- The console ---------------------------------------------------------------------------- */

static int sign(const json_t *doc, const char *key, const char *se, char ret[SIG_HEX])
{
	const char *hex = json_str_at(doc, "vm.console.key");
	auto_free char *text = strf("console\n%s\n%s\n", key, se);
	uint8_t secret[32], mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!text || !hex || hex_decode(hex, secret, sizeof(secret)) < 0)
		return -EINVAL;
	if (!HMAC(EVP_sha256(), secret, sizeof(secret), (const uint8_t *) text, strlen(text), mac,
		  &n) ||
	    n != 32)
		return -ENOMEM;
	OPENSSL_cleanse(secret, sizeof(secret));
	hex_encode(mac, n, ret);
	return 0;
}

int vm_diagnostics_hook(struct arm_call *c, struct err *err)
{
	const char *base = arm_base_url(c);
	auto_buf struct buf url = BUF_INIT(16384);
	const char *const parts[] = {c->id->subscription, c->id->group, c->id->name};
	char se[24], sig[SIG_HEX];
	int r;

	(void) snprintf(se, sizeof(se), "%lld",
			(long long) (time_now_us() / 1000000) + URL_SECONDS);
	r = sign(c->old ? c->old : c->doc, c->id->key, se, sig);
	if (r < 0)
		return err_set(err, r, "signed URL: %s", strerrordesc_np(-r));
	(void) buf_addf(&url, "%.*s/serial", (int) strlen(base) - str_ends(base, "/"), base);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		(void) buf_addch(&url, '/');
		(void) percent_encode(&url, parts[i], "");
	}
	(void) buf_addf(&url, "?se=%s&sig=%s", se, sig);
	if (buf_err(&url) < 0)
		return no_memory(err);
	c->result = json_pack("{s:s}", "serialConsoleLogBlobUri", buf_str(&url));
	return c->result ? 0 : no_memory(err);
}

static int denied(struct err *err)
{
	return refuse(
		err, -EACCES, "AuthenticationFailed", NULL,
		"Server failed to authenticate the request. Make sure the signature is there, "
		"formed correctly and has not ended.");
}

static int id_of_path(const char *path, char **ret)
{
	auto_free char *copy = strdup(path + strlen(VM_CONSOLE_PREFIX));
	char *part[3], *p = copy, *word;
	unsigned n = 0;

	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&p, "/"))) {
		if (n == ARRAY_SIZE(part) || percent_decode(word, false) < 0 || !*word)
			return -EINVAL;
		part[n++] = word;
	}
	if (n != ARRAY_SIZE(part))
		return -EINVAL;
	*ret = strf("/subscriptions/%s/resourceGroups/%s/providers/" TYPE_VM "/%s", part[0],
		    part[1], part[2]);
	return *ret ? 0 : -ENOMEM;
}

/* Absent, forged and expired look alike. */
static int check(struct arm *arm, const struct target *t, json_t **ret, struct err *err)
{
	const char *se = target_query(t, "se"), *sig = target_query(t, "sig");
	auto_free char *id = NULL, *key = NULL;
	auto_json json_t *doc = NULL;
	char want[SIG_HEX];
	char *end = NULL;
	long long until;

	if (!se || !sig || strlen(sig) != SIG_HEX - 1 || id_of_path(t->path, &id) < 0)
		return denied(err);
	until = strtoll(se, &end, 10);
	key = str_lower(id);
	if (!key || *end || until < time_now_us() / 1000000 || arm_load(arm, id, &doc, NULL) < 0 ||
	    sign(doc, key, se, want) < 0 || CRYPTO_memcmp(want, sig, SIG_HEX - 1) != 0)
		return denied(err);
	*ret = json_incref(doc);
	return 0;
}

struct console {
	int fd;
};

static int64_t console_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	const struct console *c = arg;
	ssize_t got = pread(c->fd, dst, n, (off_t) offset);

	if (got > 0)
		return got;
	return err_set(err, got < 0 ? -errno : -EIO, "console: %s",
		       got < 0 ? strerrordesc_np(errno) : "it was begun anew");
}

static void console_done(void *arg)
{
	struct console *c = arg;

	closep(&c->fd);
	free(c);
}

static int open_console(struct app *a, const json_t *doc, struct arm_response *ret, struct err *err)
{
	const char *vm_id = json_str_at(doc, P_VM_ID);
	auto_free char *dir = vm_dir(a, vm_id ? vm_id : ""), *path = NULL;
	struct console *c;
	struct stat st;

	path = dir ? path_join(dir, "console.log") : NULL;
	c = calloc(1, sizeof(*c));
	if (!path || !c) {
		free(c);
		return no_memory(err);
	}
	c->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (c->fd < 0 || fstat(c->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
		int r = c->fd < 0 && errno != ENOENT ? -errno : 0;

		console_done(c);
		return r < 0 ? err_set(err, r, "console: %s", strerrordesc_np(-r))
			     : arm_response_text(ret, "text/plain; charset=utf-8", "", 0);
	}
	ret->stream = (struct arm_stream){.read = console_read,
					  .done = console_done,
					  .arg = c,
					  .bytes = (uint64_t) st.st_size,
					  .content_type = "text/plain; charset=utf-8"};
	return 0;
}

int vm_console_handle(struct arm *arm, const struct arm_request *req, struct arm_response *ret,
		      struct err *err)
{
	auto_json json_t *doc = NULL;
	auto_target struct target t = {0};
	int r;

	if (!str_eq(req->method, "GET") && !str_eq(req->method, "HEAD"))
		return refuse(err, -EINVAL, "UnsupportedHttpVerb", NULL,
			      "The resource doesn't support specified Http Verb.");
	r = target_parse(req->target, &t, err);
	if (r == 0)
		r = check(arm, &t, &doc, err);
	if (r == 0)
		r = open_console(arm_config(arm)->app, doc, ret, err);
	if (r == 0)
		ret->status = 200;
	return r;
}
