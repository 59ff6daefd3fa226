/* SPDX-License-Identifier: Apache-2.0 */
/* Opening libvirt's embedded driver, its event loop, and what its events tell the clients. */
#include "vm/host.h"

#include <libvirt/virterror.h>
#include <sys/eventfd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/uids.h"

int host_virt_err(struct err *err, const char *fmt, ...)
{
	virErrorPtr e = virGetLastError();
	auto_free char *what = NULL;
	int code = -EIO;
	va_list ap;

	va_start(ap, fmt);
	what = vstrf(fmt, ap);
	va_end(ap);
	if (e && e->code == VIR_ERR_NO_DOMAIN)
		code = -ECHILD;
	else if (e && e->code == VIR_ERR_AGENT_UNRESPONSIVE)
		code = -EAGAIN;
	else if (e && e->code == VIR_ERR_OPERATION_TIMEOUT)
		code = -ETIME;
	return err_set(err, code, "%s: %s", what ? what : "libvirt",
		       e && e->message ? e->message : "no reason given");
}

/* Errors travel in struct err; nothing is printed. */
static void ignore_error(void *arg, virErrorPtr e)
{
}

static struct client *find_client(struct host *h, virDomainPtr dom)
{
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct client *c;

	if (virDomainGetUUIDString(dom, uuid) < 0)
		return NULL;
	for (c = h->clients; c; c = c->next)
		if (c->guest && strcmp(c->guest->uuid, uuid) == 0)
			return c;
	return NULL;
}

static void note(struct client *c)
{
	(void) eventfd_write(c->note_fd, 1);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr dom, int event, int detail, void *arg)
{
	static const char *const why[] = {
		[VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN] = "it shut down",
		[VIR_DOMAIN_EVENT_STOPPED_DESTROYED] = "it was powered off",
		[VIR_DOMAIN_EVENT_STOPPED_CRASHED] = "it crashed",
		[VIR_DOMAIN_EVENT_STOPPED_FAILED] = "QEMU ended unexpectedly",
	};
	struct host *h = arg;
	struct client *c;

	if (event != VIR_DOMAIN_EVENT_STOPPED)
		return 0;
	pthread_mutex_lock(&h->lock);
	c = find_client(h, dom);
	if (c && !c->ended) {
		c->ended = "it stopped";
		if (detail >= 0 && (size_t) detail < ARRAY_SIZE(why) && why[detail])
			c->ended = why[detail];
		note(c);
	}
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static void on_agent(virConnectPtr conn, virDomainPtr dom, int state, int reason, void *arg)
{
	struct host *h = arg;
	struct client *c;

	pthread_mutex_lock(&h->lock);
	c = find_client(h, dom);
	if (c) {
		c->agent_up = state == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED;
		c->agent_downs += !c->agent_up;
		c->agent_noted = true;
		note(c);
	}
	pthread_mutex_unlock(&h->lock);
}

static void *events_main(void *arg)
{
	struct host *h = arg;

	while (!atomic_load(&h->stop_events))
		if (virEventRunDefaultImpl() < 0)
			log_warn("vmhost.events", "libvirt's event loop failed");
	return NULL;
}

static void wake_up(int timer, void *arg)
{
}

static int write_conf(struct host *h, struct err *err)
{
	auto_free char *etc = path_join(h->root, "etc");
	auto_free char *conf = path_join(h->root, "etc/qemu.conf");
	auto_buf struct buf b = BUF_INIT(4096);
	int r;

	if (!etc || !conf)
		return -ENOMEM;
	r = file_mkdir_p(etc, 0755, err);
	if (r < 0)
		return r;
	/* Without a log daemon libvirt must let QEMU write its own log. The cgroup tree and mount
	 * namespaces are the host's own affair: QEMU is confined by its uid and its sandbox. */
	buf_addstr(&b, "stdio_handler = \"file\"\nsecurity_driver = \"none\"\n"
		       "security_default_confined = 0\nremember_owner = 0\n"
		       "namespaces = []\ncgroup_controllers = []\nseccomp_sandbox = 0\n");
	if (h->privileged)
		buf_addf(&b, "user = \"+%u\"\ngroup = \"+%u\"\n", GUEST_UID_FIRST - 1,
			 GUEST_UID_FIRST - 1);
	if (buf_err(&b) < 0)
		return buf_err(&b);
	return file_write_atomic(conf, b.data, b.len, 0644, err);
}

/* Guests of a vmhost that was killed: libvirt found them again by its own records. */
static void destroy_leftovers(struct host *h)
{
	virDomainPtr *all = NULL;
	int n = virConnectListAllDomains(h->conn, &all, 0);

	for (int i = 0; i < n; i++) {
		(void) virDomainDestroy(all[i]);
		(void) virDomainUndefineFlags(all[i], VIR_DOMAIN_UNDEFINE_NVRAM |
							      VIR_DOMAIN_UNDEFINE_MANAGED_SAVE);
		(void) virDomainFree(all[i]);
	}
	free(all);
}

static int listen_events(struct host *h, struct err *err)
{
	if (virConnectDomainEventRegisterAny(h->conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
					     VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), h,
					     NULL) < 0 ||
	    virConnectDomainEventRegisterAny(h->conn, NULL, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
					     VIR_DOMAIN_EVENT_CALLBACK(on_agent), h, NULL) < 0)
		return host_virt_err(err, "events");
	return 0;
}

int host_libvirt_open(struct host *h, struct err *err)
{
	auto_free char *uri = strf("qemu:///embed?root=%s", h->root);
	int r;

	if (!uri)
		return -ENOMEM;
	r = write_conf(h, err);
	if (r < 0)
		return r;
	virSetErrorFunc(NULL, ignore_error);
	if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
		return host_virt_err(err, "libvirt");
	r = pthread_create(&h->events, NULL, events_main, h);
	if (r != 0)
		return err_set(err, -r, "thread: %s", strerrordesc_np(r));
	h->events_run = true;
	h->conn = virConnectOpen(uri);
	if (!h->conn) {
		r = host_virt_err(err, "cannot open %s", uri);
		err_hint(err, "install libvirt-daemon-driver-qemu and qemu-system-x86");
		return r;
	}
	destroy_leftovers(h);
	return listen_events(h, err);
}

void host_libvirt_close(struct host *h)
{
	if (h->conn)
		(void) virConnectClose(h->conn);
	h->conn = NULL;
	if (!h->events_run)
		return;
	atomic_store(&h->stop_events, true);
	/* The loop waits until something happens; let something happen. */
	(void) virEventAddTimeout(0, wake_up, NULL, NULL);
	(void) pthread_join(h->events, NULL);
	h->events_run = false;
}
