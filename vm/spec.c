/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/internal.h"

#include <ctype.h>

#include "base/mem.h"

#define MEMORY_MIN_MIB 128
#define MEMORY_MAX_MIB (1u << 20)
#define CPUS_MAX       64

static int set(json_t *j, const char *key, json_t *value)
{
	return json_object_set_new(j, key, value) < 0 ? -ENOMEM : 0;
}

static int set_str(json_t *j, const char *key, const char *value)
{
	return value ? set(j, key, json_string(value)) : 0;
}

json_t *vm_spec_to_json(const struct vm_spec *s)
{
	auto_json json_t *j = json_object();
	auto_json json_t *fwd = json_array(), *data = json_array();
	int r = 0;

	if (!j || !fwd || !data)
		return NULL;
	for (size_t i = 0; s->forwards && s->forwards[i]; i++)
		r |= json_array_append_new(fwd, json_string(s->forwards[i]));
	r |= set_str(j, "name", s->name);
	r |= set_str(j, "uuid", s->uuid);
	r |= set_str(j, "firmware", s->firmware == VM_UEFI ? "uefi" : "bios");
	r |= set(j, "secureBoot", json_boolean(s->secure_boot));
	r |= set_str(j, "nvram", s->nvram);
	r |= set_str(j, "tpmDir", s->tpm_dir);
	r |= set_str(j, "tpmKey", s->tpm_key);
	r |= set(j, "cpus", json_integer(s->cpus));
	r |= set(j, "memoryMiB", json_integer(s->memory_mib));
	r |= set_str(j, "overlay", s->overlay);
	r |= set_str(j, "nbdSocket", s->nbd_socket);
	r |= set_str(j, "nbdExport", s->nbd_export);
	r |= set_str(j, "seed", s->seed);
	r |= set(j, "reconnect", json_integer(s->reconnect_s));
	r |= set(j, "durable", json_boolean(s->durable));
	for (size_t i = 0; i < s->n_data; i++)
		r |= json_array_append_new(
			data, json_pack("{s:s, s:s, s:i}", "overlay", s->data[i].overlay, "export",
					s->data[i].nbd_export, "lun", (int) s->data[i].lun));
	r |= set(j, "data", json_incref(data));
	r |= set_str(j, "consoleLog", s->console_log);
	r |= set(j, "network", json_boolean(s->network));
	r |= set(j, "isolated", json_boolean(s->isolated));
	r |= set(j, "forwards", json_incref(fwd));
	r |= set_str(j, "httpProxy", s->http_proxy_sock);
	return r == 0 ? json_incref(j) : NULL;
}

static int check_name(const char *name, struct err *err)
{
	size_t n = name ? strlen(name) : 0;

	if (n == 0 || n > VM_NAME_MAX)
		return err_set(err, -EINVAL, "VM name: expected 1 to %d characters, got %zu",
			       VM_NAME_MAX, n);
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char) name[i]) && (i == 0 || name[i] != '-'))
			return err_set(err, -EINVAL,
				       "VM name \"%s\": letters, digits and inner hyphens only",
				       name);
	return 0;
}

static int check_path(const char *what, const char *path, size_t max, struct err *err)
{
	if (!path || path[0] != '/')
		return err_set(err, -EINVAL, "%s: expected an absolute path", what);
	if (strlen(path) > max)
		return err_set(err, -ENAMETOOLONG, "%s: %s is longer than %zu bytes", what, path,
			       max);
	return 0;
}

/* tcp|udp:[HOST]:PORT-[GUEST]:PORT */
int vm_forward_check(const char *forward, struct err *err)
{
	const char *p = forward;
	unsigned dashes = 0;

	if (!str_starts(p, "tcp:") && !str_starts(p, "udp:"))
		goto bad;
	for (p += 4; *p; p++) {
		if (*p == '-')
			dashes++;
		else if (!isdigit((unsigned char) *p) && *p != '.' && *p != ':')
			goto bad;
	}
	if (dashes == 1 && isdigit((unsigned char) p[-1]))
		return 0;
bad:
	err_set(err, -EINVAL, "port forward \"%s\" is malformed", forward);
	err_hint(err, "write it as tcp:127.0.0.1:2222-:22");
	return -EINVAL;
}

static int check_network(const struct vm_spec *s, struct err *err)
{
	int r = 0;

	if (!s->network && (s->http_proxy_sock || (s->forwards && s->forwards[0])))
		return err_set(err, -EINVAL, "VM %s: port forwards and a proxy need a network",
			       s->name);
	for (size_t i = 0; r == 0 && s->forwards && s->forwards[i]; i++)
		r = vm_forward_check(s->forwards[i], err);
	if (r == 0 && s->http_proxy_sock)
		r = check_path("proxy socket", s->http_proxy_sock, VM_SOCKET_MAX, err);
	return r;
}

int vm_spec_check(const struct vm_spec *s, struct err *err)
{
	int r = check_name(s->name, err);

	if (r < 0)
		return r;
	if (s->secure_boot && s->firmware != VM_UEFI)
		return err_set(err, -EINVAL, "VM %s: Secure Boot needs UEFI firmware", s->name);
	if (s->cpus > CPUS_MAX)
		return err_set(err, -EINVAL, "VM %s: %u CPUs, at most %d", s->name, s->cpus,
			       CPUS_MAX);
	if (s->memory_mib && (s->memory_mib < MEMORY_MIN_MIB || s->memory_mib > MEMORY_MAX_MIB))
		return err_set(err, -EINVAL, "VM %s: %u MiB of memory, expected %d to %u", s->name,
			       s->memory_mib, MEMORY_MIN_MIB, MEMORY_MAX_MIB);
	r = check_path("overlay", s->overlay, 4095, err);
	if (r == 0)
		r = check_path("NBD socket", s->nbd_socket, VM_SOCKET_MAX, err);
	if (r == 0 && s->n_data > VM_DISKS_MAX)
		r = err_set(err, -EINVAL, "VM %s: %zu data disks, at most %d", s->name, s->n_data,
			    VM_DISKS_MAX);
	for (size_t i = 0; r == 0 && i < s->n_data; i++) {
		r = check_path("data disk", s->data[i].overlay, 4095, err);
		if (r == 0 && s->data[i].lun >= VM_DISKS_MAX)
			r = err_set(err, -EINVAL, "VM %s: LUN %u, at most %d", s->name,
				    s->data[i].lun, VM_DISKS_MAX - 1);
	}
	if (r == 0 && s->nvram)
		r = check_path("UEFI variables", s->nvram, 4095, err);
	if (r == 0 && s->tpm_dir)
		r = check_path("TPM state", s->tpm_dir, 4095, err);
	if (r == 0 && s->tpm_dir && (!s->tpm_key || strlen(s->tpm_key) != 64))
		r = err_set(err, -EINVAL, "VM %s: TPM key: expected 64 hex digits", s->name);
	if (r == 0 && s->seed)
		r = check_path("seed", s->seed, 4095, err);
	if (r == 0 && s->console_log)
		r = check_path("console log", s->console_log, 4095, err);
	if (r == 0)
		r = check_network(s, err);
	return r;
}
