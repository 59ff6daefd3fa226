/* SPDX-License-Identifier: Apache-2.0 */
/* A client's thread in the vmhost process: its requests, and its guest's console and events. */
#include "vm/host.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/mem.h"

void client_send(struct client *c, const json_t *msg)
{
	int r;

	pthread_mutex_lock(&c->out);
	r = msg ? wire_send(c->wire.fd, msg, false) : -ENOMEM;
	/* A client that does not read, or a reply that could not be made: give it up. */
	if (r < 0)
		(void) shutdown(c->wire.fd, SHUT_RDWR);
	pthread_mutex_unlock(&c->out);
}

static void send_new(struct client *c, json_t *msg)
{
	client_send(c, msg);
	json_decref(msg);
}

static int op_start(struct client *c, const json_t *req, json_t **ret, struct err *err)
{
	struct guest *g = NULL;
	int r;

	if (c->guest)
		return err_set(err, -EBUSY, "this connection has a guest already");
	r = guest_start(c->host, json_object_get(req, "spec"), &g, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->host->lock);
	c->guest = g;
	pthread_mutex_unlock(&c->host->lock);
	r = agentd_start(c, err);
	if (r == 0)
		r = guest_run(g, err);
	if (r < 0)
		return r; /* the client gives up and its end removes the guest */
	*ret = json_pack("{s:I, s:I, s:I, s:I, s:b}", "pid", (json_int_t) g->pid, "start",
			 (json_int_t) proc_start_ticks(g->pid), "pgid",
			 (json_int_t) getpgid(g->pid), "startNs", (json_int_t) g->start_ns, "kvm",
			 c->host->kvm);
	return 0;
}

/* The guest is gone when the answer is sent. */
static int op_destroy(struct client *c, json_t **ret, struct err *err)
{
	struct guest *g = c->guest;

	if (g && virDomainIsActive(g->dom) == 1 && virDomainDestroy(g->dom) < 0 &&
	    virDomainIsActive(g->dom) == 1)
		return host_virt_err(err, "power off");
	agentd_stop(c);
	pthread_mutex_lock(&c->host->lock);
	c->guest = NULL;
	pthread_mutex_unlock(&c->host->lock);
	guest_free(c->host, g);
	*ret = json_object();
	return 0;
}

static int op_snapshot(struct client *c, const json_t *req, json_t **ret, struct err *err)
{
	const char *path = json_str_at(req, "path");
	int r;

	if (!c->guest || !path || path[0] != '/')
		return err_set(err, -EINVAL, "snapshot: no guest, or no absolute path");
	r = guest_snapshot(c->guest, path, err);
	if (r == 0)
		*ret = json_object();
	return r;
}

/* A client that is about to go asks whether anybody stays. */
static int op_leave(struct client *c, json_t **ret)
{
	unsigned others = 0;

	pthread_mutex_lock(&c->host->lock);
	for (const struct client *o = c->host->clients; o; o = o->next)
		others += o != c && !o->finished;
	pthread_mutex_unlock(&c->host->lock);
	*ret = json_pack("{s:b}", "last", others == 0);
	return 0;
}

static void handle(struct client *c, const json_t *req)
{
	auto_err struct err err = ERR_INIT;
	const char *op = json_str_at(req, "op");
	json_int_t id = json_int_at(req, "id", 0);
	json_t *ret = NULL;
	int r;

	if (str_eq(op, "hello")) {
		ret = json_pack("{s:I}", "pid", (json_int_t) getpid());
		r = 0;
	} else if (str_eq(op, "leave")) {
		r = op_leave(c, &ret);
	} else if (str_eq(op, "start")) {
		r = op_start(c, req, &ret, &err);
	} else if (str_eq(op, "destroy")) {
		r = op_destroy(c, &ret, &err);
	} else if (str_eq(op, "snapshot")) {
		r = op_snapshot(c, req, &ret, &err);
	} else if (str_eq(op, "agent")) {
		r = agentd_add(c, req, &err);
		if (r == 0)
			return; /* answered by the agent's thread */
	} else {
		r = err_set(&err, -EINVAL, "unknown request \"%s\"", op ? op : "");
	}
	if (r < 0 && err.code == 0)
		err_set(&err, r, "%s: %s", op, strerrordesc_np(-r));
	if (r < 0)
		send_new(c, json_pack("{s:I, s:o}", "id", id, "error", wire_error(&err)));
	else
		send_new(c, json_pack("{s:I, s:o}", "id", id, "ok", ret));
}

static void drain_console(struct client *c)
{
	struct guest *g = c->guest;
	unsigned before, seen;
	int r;

	if (!g || g->console_fd < 0)
		return;
	before = g->scan.seen;
	/* One read at a time while it runs, so that a chatty guest cannot keep the thread. */
	r = guest_console(g);
	if (r < 0) {
		closep(&g->console_fd);
		g->console_fd = -1;
	}
	seen = g->scan.seen & ~before;
	for (enum vm_stage s = VM_STAGE_START; s < VM_STAGE_MAX; s++)
		if (seen & 1u << s)
			send_new(c, json_pack("{s:s, s:s, s:f}", "event", "stage", "stage",
					      vm_stage_name(s), "seconds",
					      vm_seconds_since(g->start_ns)));
}

static void send_notes(struct client *c)
{
	bool noted, up;
	unsigned downs;
	const char *ended;
	eventfd_t n;

	(void) eventfd_read(c->note_fd, &n);
	pthread_mutex_lock(&c->host->lock);
	noted = c->agent_noted;
	up = c->agent_up;
	downs = c->agent_downs;
	ended = c->ended;
	c->agent_noted = false;
	pthread_mutex_unlock(&c->host->lock);
	if (noted)
		send_new(c, json_pack("{s:s, s:b, s:i}", "event", "agent", "up", up, "downs",
				      (int) downs));
	if (!ended || c->end_sent || !c->guest)
		return;
	while (c->guest->console_fd >= 0 && c->guest->log_bytes < VM_CONSOLE_MAX) {
		uint64_t before = c->guest->log_bytes;

		drain_console(c);
		if (c->guest->log_bytes == before)
			break;
	}
	c->end_sent = true;
	send_new(c, json_pack("{s:s, s:s}", "event", "end", "reason", ended));
}

/* A guest whose TPM is gone has lost its measurements: it is ended, not left to go on. */
static void tpm_ended(struct client *c)
{
	struct guest *g = c->guest;
	bool failed = g && guest_tpm_failed(g);

	if (!g)
		return;
	(void) proc_stop(g->tpm_pid, g->tpm_pidfd, 0); /* only reaps */
	closep(&g->tpm_pidfd);
	g->tpm_pidfd = -1;
	if (!failed)
		return;
	pthread_mutex_lock(&c->host->lock);
	if (!c->ended)
		c->ended = "its TPM process (swtpm) ended unexpectedly";
	pthread_mutex_unlock(&c->host->lock);
	(void) virDomainDestroy(g->dom);
	(void) eventfd_write(c->note_fd, 1);
}

static int serve_once(struct client *c)
{
	struct pollfd p[4] = {{.fd = c->wire.fd, .events = POLLIN},
			      {.fd = c->note_fd, .events = POLLIN},
			      {.fd = c->guest ? c->guest->console_fd : -1, .events = POLLIN},
			      {.fd = c->guest ? c->guest->tpm_pidfd : -1, .events = POLLIN}};
	int r = poll(p, ARRAY_SIZE(p), -1);

	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[2].revents)
		drain_console(c);
	if (p[3].revents)
		tpm_ended(c);
	if (p[1].revents)
		send_notes(c);
	if (p[0].revents) {
		r = wire_fill(&c->wire);
		if (r < 0)
			return r;
	}
	for (;;) {
		auto_json json_t *req = NULL;

		r = wire_next(&c->wire, &req, NULL);
		if (r <= 0)
			return r;
		handle(c, req);
	}
}

void *client_main(void *arg)
{
	struct client *c = arg;
	struct host *h = c->host;
	json_t *ret = NULL;

	while (serve_once(c) >= 0)
		;
	/* Whatever the reason: a guest does not outlive its client. */
	if (op_destroy(c, &ret, NULL) < 0) {
		agentd_stop(c);
		pthread_mutex_lock(&h->lock);
		struct guest *g = c->guest;
		c->guest = NULL;
		pthread_mutex_unlock(&h->lock);
		guest_free(h, g);
	}
	json_decref(ret);
	pthread_mutex_lock(&h->lock);
	c->finished = true;
	pthread_mutex_unlock(&h->lock);
	(void) eventfd_write(h->wake_fd, 1);
	return NULL;
}
