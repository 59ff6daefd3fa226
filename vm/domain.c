/* SPDX-License-Identifier: Apache-2.0 */
/* One guest: from its spec to a running domain, its console, and back to nothing. */
#include "vm/host.h"

#include <fcntl.h>
#include <libvirt/libvirt-qemu.h>
#include <pwd.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/uids.h"

#define UID_DIR "/run/kiln/vm-uids"

/* A uid that no other guest of this machine has and that no account uses. */
static int take_uid(unsigned *ret_uid, int *ret_lock, struct err *err)
{
	int r = file_mkdir_p("/run/kiln", 0755, err);

	if (r == 0)
		r = file_mkdir_p(UID_DIR, 0700, err);
	if (r < 0)
		return r;
	for (unsigned uid = GUEST_UID_FIRST; uid < GUEST_UID_FIRST + GUEST_UID_COUNT; uid++) {
		auto_free char *path = strf(UID_DIR "/%u", uid);
		char text[1024];
		struct passwd pw, *found = NULL;

		if (!path)
			return -ENOMEM;
		if (getpwuid_r(uid, &pw, text, sizeof(text), &found) == 0 && found)
			continue;
		r = lock_file(path, LOCK_EXCLUSIVE | LOCK_NONBLOCK, ret_lock, NULL);
		if (r == 0) {
			*ret_uid = uid;
			return 0;
		}
		if (r != -EAGAIN)
			return err_set(err, r, "lock %s: %s", path, strerrordesc_np(-r));
	}
	return err_set(err, -EAGAIN, "%u guests run on this machine already", GUEST_UID_COUNT);
}

static void spec_of(const json_t *j, const char **forwards, struct vm_spec *s)
{
	const char *fw = json_str_at(j, "firmware");

	*s = (struct vm_spec){
		.name = json_str_at(j, "name"),
		.uuid = json_str_at(j, "uuid"),
		.firmware = str_eq(fw, "uefi") ? VM_UEFI : VM_BIOS,
		.secure_boot = json_bool_at(j, "secureBoot", false),
		.nvram = json_str_at(j, "nvram"),
		.tpm_dir = json_str_at(j, "tpmDir"),
		.tpm_key = json_str_at(j, "tpmKey"),
		.cpus = (unsigned) json_int_at(j, "cpus", 0),
		.memory_mib = (unsigned) json_int_at(j, "memoryMiB", 0),
		.overlay = json_str_at(j, "overlay"),
		.nbd_socket = json_str_at(j, "nbdSocket"),
		.nbd_export = json_str_at(j, "nbdExport"),
		.seed = json_str_at(j, "seed"),
		.reconnect_s = (unsigned) json_int_at(j, "reconnect", 0),
		.durable = json_bool_at(j, "durable", false),
		.console_log = json_str_at(j, "consoleLog"),
		.network = json_bool_at(j, "network", false),
		.isolated = json_bool_at(j, "isolated", false),
		.forwards = forwards,
		.http_proxy_sock = json_str_at(j, "httpProxy"),
	};
}

/* Caller frees. */
static struct vm_disk *data_of(const json_t *list, struct vm_spec *s)
{
	size_t n = json_array_size(list);
	struct vm_disk *d = calloc(n + 1, sizeof(*d));

	for (size_t i = 0; d && i < n; i++) {
		const json_t *j = json_array_get(list, i);

		d[i] = (struct vm_disk){.overlay = json_str_at(j, "overlay"),
					.nbd_export = json_str_at(j, "export"),
					.lun = (unsigned) json_int_at(j, "lun", 0)};
	}
	s->data = d;
	s->n_data = d ? n : 0;
	return d;
}

/* Text for g_shell_parse_argv(): in single quotes, which the value may not hold. */
static char *http_forward(const char *sock)
{
	if (strpbrk(sock, "'\n") || strchr(proc_self_exe(), '\''))
		return NULL;
	return strf("'%s' vmhost --forward '%s'", proc_self_exe(), sock);
}

/* Every file under the name by which the guest's uid reaches it. */
static int expose_files(struct host *h, struct guest *g, const struct vm_spec *s,
			struct vm_domain_config *c, struct vm_disk *data, struct err *err)
{
	int r = guest_expose(h, g, s->overlay, "qcow2", EXPOSED_FILE, c->uid, &c->overlay, err);

	if (r == 0 && s->seed)
		r = guest_expose(h, g, s->seed, "seed", EXPOSED_FILE, c->uid, &c->seed, err);
	for (size_t i = 0; r == 0 && i < s->n_data; i++) {
		char suffix[16];

		(void) snprintf(suffix, sizeof(suffix), "%u.qcow2", s->data[i].lun);
		data[i] = s->data[i];
		r = guest_expose(h, g, s->data[i].overlay, suffix, EXPOSED_FILE, c->uid,
				 &data[i].overlay, err);
	}
	if (r == 0 && s->nvram)
		r = guest_expose(h, g, s->nvram, "fd", EXPOSED_BY_LIBVIRT, c->uid, &g->nvram, err);
	c->nvram = g->nvram;
	return r;
}

static int define(struct host *h, struct guest *g, const json_t *spec, const struct vm_spec *s,
		  struct err *err)
{
	auto_buf struct buf xml = BUF_INIT(1u << 18);
	auto_free char *forward = NULL;
	auto_free struct vm_disk *data = calloc(s->n_data + 1, sizeof(*data));
	struct vm_domain_config c = {
		.name = g->name,
		.uuid = g->uuid,
		.kvm = h->kvm,
		.uefi = s->firmware == VM_UEFI,
		.secure_boot = s->secure_boot,
		.cpus = s->cpus  ? s->cpus
			: h->kvm ? 2
				 : 1,
		.memory_mib = s->memory_mib ? s->memory_mib : 1024,
		.nbd_socket = s->nbd_socket,
		.nbd_export = s->nbd_export,
		.data = data,
		.n_data = s->n_data,
		.reconnect_s = s->reconnect_s,
		.durable = s->durable,
		.console_socket = g->console_socket,
		.network = s->network,
		.isolated = s->isolated,
		.forwards = json_at(spec, "forwards"),
		.labelled = h->privileged,
	};
	int r;

	if (!data)
		return -ENOMEM;
	if (s->http_proxy_sock) {
		c.http_forward = forward = http_forward(s->http_proxy_sock);
		if (!forward)
			return err_set(err, -EINVAL, "proxy socket %s: quote in its name",
				       s->http_proxy_sock);
	}
	if (h->privileged) {
		struct stat st;

		r = take_uid(&c.uid, &g->uid_lock, err);
		if (r < 0)
			return r;
		/* /dev/kvm is open to its group only. */
		c.gid = h->kvm && stat("/dev/kvm", &st) == 0 ? st.st_gid : c.uid;
	}
	r = expose_files(h, g, s, &c, data, err);
	if (r == 0 && s->tpm_dir)
		r = guest_tpm_start(h, g, s->tpm_dir, s->tpm_key, c.uid, err);
	if (r < 0)
		return r;
	c.tpm_socket = g->tpm_socket;
	r = vm_domain_xml(&c, &xml, err);
	if (r < 0)
		return r;
	g->dom = virDomainDefineXMLFlags(h->conn, buf_str(&xml), 0);
	if (!g->dom)
		return host_virt_err(err, "define");
	return 0;
}

static int read_pid(struct host *h, struct guest *g, struct err *err)
{
	auto_free char *path = strf("%s/run/qemu/%s.pid", h->root, g->name);
	auto_buf struct buf b = BUF_INIT(64);
	int r = path ? file_read_all(path, &b, err) : -ENOMEM;

	if (r < 0)
		return r;
	g->pid = (pid_t) strtol(buf_str(&b), NULL, 10);
	return g->pid > 1 ? 0 : err_set(err, -EIO, "%s holds no process id", path);
}

static int start(struct host *h, struct guest *g, const json_t *spec, struct err *err)
{
	struct vm_spec s;
	auto_free const char **forwards = NULL;
	auto_free struct vm_disk *data = NULL;
	const json_t *list = json_at(spec, "forwards"), *f;
	size_t i;
	int r;

	forwards = calloc(json_array_size(list) + 1, sizeof(*forwards));
	if (!forwards)
		return -ENOMEM;
	json_array_foreach((json_t *) list, i, f)
	{
		forwards[i] = json_string_value(f);
		if (!forwards[i])
			return err_set(err, -EINVAL, "forwards: expected strings");
	}
	spec_of(spec, forwards, &s);
	data = data_of(json_at(spec, "data"), &s);
	if (!data)
		return -ENOMEM;
	r = vm_spec_check(&s, err);
	if (r < 0)
		return r;
	(void) snprintf(g->name, sizeof(g->name), "%s", s.name);
	g->console_socket = strf("%s/%s.con", h->root, g->name);
	if (!g->console_socket)
		return -ENOMEM;
	if (s.console_log) {
		g->log_fd = open(s.console_log,
				 O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (g->log_fd < 0)
			return err_set(err, -errno, "%s: %s", s.console_log,
				       strerrordesc_np(errno));
	}
	r = define(h, g, spec, &s, err);
	if (r < 0)
		return r;
	/* Paused, so that not one byte of the console is lost. */
	if (virDomainCreateWithFlags(g->dom, VIR_DOMAIN_START_PAUSED) < 0)
		return host_virt_err(err, "start");
	r = wire_connect(g->console_socket, &g->console_fd);
	if (r < 0)
		return err_set(err, r, "console %s: %s", g->console_socket, strerrordesc_np(-r));
	return read_pid(h, g, err);
}

int guest_start(struct host *h, const json_t *spec, struct guest **ret, struct err *err)
{
	struct guest *g = calloc(1, sizeof(*g));
	const char *uuid;
	int r;

	if (!g)
		return err_set(err, -ENOMEM, "out of memory");
	g->uid_lock = g->console_fd = g->log_fd = g->tpm_pidfd = -1;
	uuid = json_str_at(spec, "uuid");
	r = 0;
	if (uuid && strlen(uuid) == sizeof(g->uuid) - 1)
		memcpy(g->uuid, uuid, sizeof(g->uuid));
	else
		r = uuid_random(g->uuid);
	if (r == 0)
		r = start(h, g, spec, err);
	if (r < 0) {
		guest_free(h, g);
		return err_ctx(err, r, "guest");
	}
	*ret = g;
	return 0;
}

int guest_run(struct guest *g, struct err *err)
{
	g->start_ns = time_mono_ns();
	if (virDomainResume(g->dom) < 0)
		return host_virt_err(err, "guest %s: run", g->name);
	return 0;
}

void guest_free(struct host *h, struct guest *g)
{
	if (!g)
		return;
	if (g->dom) {
		if (virDomainIsActive(g->dom) == 1)
			(void) virDomainDestroy(g->dom);
		if (virDomainUndefineFlags(g->dom, g->nvram ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
							    : VIR_DOMAIN_UNDEFINE_NVRAM) < 0)
			log_warn("vmhost.undefine", "name=%s", g->name);
		(void) virDomainFree(g->dom);
	}
	guest_files_free(h, g);
	closep(&g->console_fd);
	closep(&g->log_fd);
	if (g->console_socket)
		(void) unlink(g->console_socket);
	free(g->console_socket);
	closep(&g->uid_lock);
	free(g);
}

static void keep(struct guest *g, const char *p, size_t n)
{
	while (g->log_fd >= 0 && n > 0 && g->log_bytes < VM_CONSOLE_MAX) {
		ssize_t w = write(g->log_fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0) {
			log_warn("vmhost.console", "name=%s error=%s", g->name,
				 strerrordesc_np(errno));
			return;
		}
		p += w;
		n -= (size_t) w;
		g->log_bytes += (uint64_t) w;
	}
}

int guest_console(struct guest *g)
{
	char text[16384];
	ssize_t n;

	do
		n = recv(g->console_fd, text, sizeof(text), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	keep(g, text, (size_t) n);
	stage_scan(&g->scan, text, (size_t) n);
	return 1;
}
