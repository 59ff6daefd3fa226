/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIR/vms/VMID: what a VM keeps from start to start.
 *	vm.json		how to run it (vm_keeper.c)
 *	user-data	what cloud-init is told
 *	disk.qcow2, data-LUN.qcow2	what it wrote
 *	vars.fd		its UEFI variables
 *	tpm/, tpm.key	its TPM, and the sealed key of that
 *	seed.img	NoCloud, made anew at each start
 *	console.log, keeper.log
 */
#include <dirent.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "providers/vms.h"

#define USER_DATA_MAX (1u << 20)

char *vm_dir(const struct app *a, const char *vm_id)
{
	return strf("%s/vms/%s", a->data_dir, vm_id);
}

char *vm_run_path(const struct app *a, const char *vm_id, const char *suffix)
{
	return strf("%s/vm/%s%s", a->run_dir, vm_id, suffix);
}

/* ---- cloud-init ----------------------------------------------------------------------------- */

static int add_user(const json_t *doc, struct buf *b)
{
	const json_t *keys = json_at(doc, P_OS ".linuxConfiguration.ssh.publicKeys"), *k;
	const char *hash = json_str_at(doc, VM_SECRETS ".passwordHash");
	bool no_password = json_bool_at(
		doc, P_OS ".linuxConfiguration.disablePasswordAuthentication", hash == NULL);
	auto_json json_t *list = json_array(), *user = NULL, *config = NULL;
	auto_free char *text = NULL;
	size_t i;

	json_array_foreach(keys, i, k)
	{
		if (json_array_append(list, json_object_get(k, "keyData")) < 0)
			return -ENOMEM;
	}
	user = json_pack("{s:s, s:s, s:s, s:s, s:b, s:O}", "name",
			 json_str_at(doc, P_OS ".adminUsername"), "shell", "/bin/bash", "groups",
			 "adm, sudo", "sudo", "ALL=(ALL) NOPASSWD:ALL", "lock_passwd", hash == NULL,
			 "ssh_authorized_keys", list);
	if (!user || (hash && json_object_set_new(user, "passwd", json_string(hash)) < 0))
		return -ENOMEM;
	config = json_pack("{s:[O], s:b, s:b}", "users", user, "locale", 0, "ssh_pwauth",
			   hash && !no_password);
	text = config ? json_compact(config) : NULL; /* JSON is YAML */
	if (!text)
		return -ENOMEM;
	return buf_addf(b, "#cloud-config\n%s\n", text);
}

/* cloud-init looks at what a plain part begins with. */
static int add_part(struct buf *b, const char *mark, const char *type, const char *text)
{
	return buf_addf(b, "--%s\nContent-Type: %s; charset=\"utf-8\"\nMIME-Version: 1.0\n\n%s\n",
			mark, type, text);
}

static int add_base64_part(const json_t *doc, const char *path, struct buf *b, const char *mark)
{
	const char *b64 = json_str_at(doc, path);
	auto_free char *plain = NULL, *text = NULL;
	size_t n = 0;

	if (!b64)
		return 0;
	plain = base64_decode(b64, &n);
	text = plain ? strndup(plain, n) : NULL;
	return text ? add_part(b, mark, "text/plain", text) : -ENOMEM;
}

/* @ret: the whole user data; nothing in it comes from anywhere but the request. */
static int user_data(const json_t *doc, struct buf *ret, struct err *err)
{
	auto_buf struct buf user = BUF_INIT(USER_DATA_MAX);
	char mark[UUID_STR];
	int r = uuid_random(mark);

	if (r == 0 && json_str_at(doc, P_OS ".adminUsername"))
		r = add_user(doc, &user);
	else if (r == 0)
		r = buf_addstr(&user, "#cloud-config\nlocale: false\n");
	if (r == 0)
		r = buf_addf(
			ret,
			"Content-Type: multipart/mixed; boundary=\"%s\"\nMIME-Version: 1.0\n\n",
			mark);
	if (r == 0)
		r = add_part(ret, mark, "text/cloud-config", buf_str(&user));
	if (r == 0)
		r = add_base64_part(doc, VM_SECRETS ".customData", ret, mark);
	if (r == 0)
		r = buf_addf(ret, "--%s--\n", mark);
	return r < 0 ? err_set(err, r, "user data: %s", strerrordesc_np(-r)) : 0;
}

/* ---- vm.json -------------------------------------------------------------------------------- */

static json_t *forwards(const json_t *doc)
{
	const json_t *list = json_at(doc, "properties.kiln.forwards"), *f;
	auto_json json_t *ret = json_array();
	size_t i;

	json_array_foreach(list, i, f)
	{
		const char *protocol = json_str_at(f, "protocol");
		const char *host = json_str_at(f, "hostAddress");

		if (json_array_append_new(
			    ret, json_strf("%s:%s:%lld-:%lld",
					   protocol && strcmp(protocol, "Udp") == 0 ? "udp" : "tcp",
					   host ? host : "127.0.0.1",
					   (long long) json_int_at(f, "hostPort", 0),
					   (long long) json_int_at(f, "guestPort", 0))) < 0)
			return NULL;
	}
	return json_incref(ret);
}

static int write_spec(const json_t *doc, const char *dir, struct err *err)
{
	const char *os_state = json_str_at(doc, VM_IMAGE ".facts.osState");
	const char *name = json_str_at(doc, P_OS ".computerName");
	const char *outbound = json_str_at(doc, "properties.kiln.outboundAccess");
	const json_t *data = json_at(doc, VM_IMAGE ".dataDisks");
	auto_free char *path = path_join(dir, "vm.json"), *text = NULL;
	auto_json json_t *spec = NULL;
	struct vm_size size;

	if (vm_size_find(json_str_at(doc, P_VM_SIZE), &size) < 0)
		return err_set(err, -EINVAL, "the VM's size is unknown");
	spec = json_pack("{s:s, s:s, s:O, s:O*, s:i, s:i, s:b, s:b, s:b, s:b, s:b, s:I, s:I, s:o}",
			 "hostName", name ? name : json_str_at(doc, "name"), "region",
			 json_str_at(doc, VM_IMAGE ".region"), "disk",
			 json_at(doc, VM_IMAGE ".disk"), "dataDisks", data, "cpus", (int) size.cpus,
			 "memoryMiB", (int) size.memory_mib, "uefi", vm_uefi(doc), "secureBoot",
			 vm_secure_boot(doc), "vTpm", vm_has_tpm(doc), "seed",
			 !str_eq(os_state, "Specialized"), "outbound", str_eq(outbound, "Enabled"),
			 "generation", (json_int_t) json_int_at(doc, "vm.generation", 0),
			 "diskSizeGB", (json_int_t) json_int_at(doc, P_OS_DISK ".diskSizeGB", 0),
			 "forwards", forwards(doc));
	text = spec ? json_compact(spec) : NULL;
	if (!text || !path)
		return no_memory(err);
	return file_write_atomic(path, text, strlen(text), 0600, err);
}

/* Secrets are there the first time only; afterwards the file has them. */
static int write_user_data(const json_t *doc, const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "user-data");
	auto_buf struct buf b = BUF_INIT(USER_DATA_MAX);
	int r;

	if (!path)
		return no_memory(err);
	if (!json_at(doc, VM_SECRETS) && file_exists(path))
		return 0;
	r = user_data(doc, &b, err);
	if (r == 0)
		r = file_write_atomic(path, b.data, b.len, 0600, err);
	if (b.data)
		mem_wipe(b.data, b.len);
	return r;
}

int vm_files_write(struct app *a, const json_t *doc, struct err *err)
{
	auto_free char *dir = vm_dir(a, json_str_at(doc, P_VM_ID));
	auto_free char *parent = dir ? path_dirname(dir) : NULL;
	int r = parent ? file_mkdir_p(parent, 0711, err) : no_memory(err);

	/* Passed through by the server, for the console's log alone. */
	if (r == 0)
		r = file_mkdir_p(dir, 0711, err);
	if (r == 0)
		r = write_user_data(doc, dir, err);
	return r < 0 ? r : write_spec(doc, dir, err);
}

/* ---- Removing ------------------------------------------------------------------------------- */

int vm_files_reimage(struct app *a, const char *vm_id, struct err *err)
{
	auto_free char *dir = vm_dir(a, vm_id);
	auto_dir DIR *d = dir ? opendir(dir) : NULL;
	const struct dirent *de;
	int r = 0;

	if (!d)
		return err_set(err, dir ? -errno : -ENOMEM, "%s", dir ? dir : "out of memory");
	while (r == 0 && (de = readdir(d))) {
		auto_free char *path = path_join(dir, de->d_name);

		if (de->d_name[0] == '.' || strcmp(de->d_name, "user-data") == 0 ||
		    strcmp(de->d_name, "vm.json") == 0)
			continue;
		r = path ? file_rm_rf(path, err) : no_memory(err);
	}
	return r;
}

int vm_files_remove(struct app *a, const char *vm_id, struct err *err)
{
	static const char *const run[] = {".json", ".json.lock", ".sock"};
	auto_free char *dir = vm_dir(a, vm_id);
	int r = dir ? file_rm_rf(dir, err) : no_memory(err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(run); i++) {
		auto_free char *path = vm_run_path(a, vm_id, run[i]);

		r = path ? file_rm_rf(path, err) : no_memory(err);
	}
	return r;
}

struct sweep {
	const char *vm_id;
	bool found;
};

static int see_vm(void *arg, const char *id, const json_t *doc)
{
	struct sweep *s = arg;

	(void) id;
	s->found = s->found || str_eq(json_str_at(doc, P_VM_ID), s->vm_id);
	return 0;
}

/* A resource that went otherwise than by its job, with its group's rows for example. */
int vm_sweep(struct app *a, struct err *err)
{
	auto_free char *path = path_join(a->data_dir, "vms");
	auto_dir DIR *d = path ? opendir(path) : NULL;
	const struct dirent *de;
	int r = 0;

	while (d && r == 0 && (de = readdir(d))) {
		struct sweep s = {.vm_id = de->d_name};

		if (strlen(de->d_name) != UUID_STR - 1)
			continue;
		r = arm_each(a->arm, TYPE_VM, "", see_vm, &s, err);
		if (r < 0 || s.found)
			continue;
		log_warn("vm.sweep", "vm=%s", de->d_name);
		r = vm_keeper_stop(a, de->d_name, 0, err);
		if (r == 0)
			r = vm_files_remove(a, de->d_name, err);
	}
	return r;
}
