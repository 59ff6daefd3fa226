/* SPDX-License-Identifier: Apache-2.0 */
#include "server/conn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define BUCKETS    1024
#define TICK_MS    1000
#define SECOND_NS  INT64_C(1000000000)
#define PRESSURE_S 5 /* what an idle connection gets once three quarters of all are taken */
#define ADDRESS_V6 8 /* bytes of an IPv6 address that tell hosts apart: one site has a /64 */

struct counter {
	struct counter *next;
	uint8_t address[16];
	unsigned n;
};

struct conns {
	struct conn_limits limits;
	struct certificates *certs;
	pthread_mutex_t mutex;
	pthread_cond_t calm; /* something stopped working */
	struct conn *first;
	unsigned n;
	struct counter *buckets[BUCKETS];
	uint64_t seed; /* nobody outside can choose addresses that share a bucket */
	_Atomic uint64_t refused, late;
	_Atomic bool quiet;
	int stop_fd;
	pthread_t thread;
};

/* ---- Addresses ---------------------------------------------------------------------------- */

static void address_of(const struct sockaddr *addr, uint8_t ret[16])
{
	memset(ret, 0, 16);
	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *a = (const struct sockaddr_in *) (const void *) addr;

		ret[10] = ret[11] = 0xff;
		memcpy(ret + 12, &a->sin_addr, 4);
	} else if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const struct sockaddr_in6 *) (const void *) addr;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&a->sin6_addr);

		memcpy(ret, &a->sin6_addr, mapped ? 16 : ADDRESS_V6);
	}
}

static struct counter **slot_of(struct conns *cs, const uint8_t address[16])
{
	uint64_t h = cs->seed;
	struct counter **p;

	for (unsigned i = 0; i < 16; i++)
		h = (h ^ address[i]) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	for (p = &cs->buckets[h % BUCKETS]; *p; p = &(*p)->next)
		if (memcmp((*p)->address, address, 16) == 0)
			break;
	return p;
}

static int count_up(struct conns *cs, const uint8_t address[16])
{
	struct counter **p = slot_of(cs, address);

	if (!*p) {
		*p = calloc(1, sizeof(**p));
		if (!*p)
			return -ENOMEM;
		memcpy((*p)->address, address, 16);
	}
	(*p)->n++;
	return 0;
}

static void count_down(struct conns *cs, const uint8_t address[16])
{
	struct counter **p = slot_of(cs, address), *c = *p;

	if (!c || --c->n > 0)
		return;
	*p = c->next;
	free(c);
}

/* ---- The look-out ------------------------------------------------------------------------- */

static int64_t deadline_of(const struct conns *cs, struct conn *c, bool pressed)
{
	int64_t d = atomic_load(&c->deadline_ns);
	int phase = atomic_load(&c->phase);

	if (phase != CONN_IDLE && phase != CONN_NEW)
		return d;
	if (atomic_load(&cs->quiet))
		return phase == CONN_IDLE ? 1 : d;
	if (!pressed)
		return d;
	d -= (int64_t) (phase == CONN_IDLE ? cs->limits.idle_s : cs->limits.new_s) * SECOND_NS;
	return d + PRESSURE_S * SECOND_NS;
}

static void sweep(struct conns *cs)
{
	int64_t now = time_mono_ns();
	bool pressed;

	(void) pthread_mutex_lock(&cs->mutex);
	pressed = cs->n > cs->limits.total - cs->limits.total / 4;
	for (struct conn *c = cs->first; c; c = c->next) {
		int64_t d = deadline_of(cs, c, pressed);

		if (d == 0 || now < d)
			continue;
		/* The descriptor is open: libmicrohttpd tells before it closes (conn_notify()). */
		(void) shutdown(c->fd, SHUT_RDWR);
		atomic_store(&c->deadline_ns, INT64_MAX);
		atomic_fetch_add(&cs->late, 1);
	}
	(void) pthread_mutex_unlock(&cs->mutex);
}

static void *look_out(void *arg)
{
	struct conns *cs = arg;
	struct pollfd fd = {.fd = cs->stop_fd, .events = POLLIN};

	while (poll(&fd, 1, TICK_MS) <= 0)
		sweep(cs);
	return NULL;
}

int conns_new(const struct conn_limits *l, struct certificates *certs, struct conns **ret,
	      struct err *err)
{
	struct conns *cs = calloc(1, sizeof(*cs));
	pthread_condattr_t attr;
	int r;

	if (!cs)
		return err_set(err, -ENOMEM, "connections");
	cs->limits = *l;
	cs->certs = certs;
	(void) pthread_mutex_init(&cs->mutex, NULL); /* neither fails on Linux */
	(void) pthread_condattr_init(&attr);
	(void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void) pthread_cond_init(&cs->calm, &attr);
	(void) pthread_condattr_destroy(&attr);
	r = random_bytes(&cs->seed, sizeof(cs->seed));
	cs->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (r >= 0 && cs->stop_fd < 0)
		r = err_errno();
	if (r >= 0)
		r = -pthread_create(&cs->thread, NULL, look_out, cs);
	if (r < 0) {
		closep(&cs->stop_fd);
		free(cs);
		return err_set(err, r, "connections");
	}
	*ret = cs;
	return 0;
}

void conns_free(struct conns *cs)
{
	const uint64_t one = 1;

	if (!cs)
		return;
	(void) !write(cs->stop_fd, &one, sizeof(one)); /* an eventfd takes 1 */
	(void) pthread_join(cs->thread, NULL);
	closep(&cs->stop_fd);
	for (unsigned i = 0; i < BUCKETS; i++)
		while (cs->buckets[i]) {
			struct counter *c = cs->buckets[i];

			cs->buckets[i] = c->next;
			free(c);
		}
	(void) pthread_cond_destroy(&cs->calm);
	(void) pthread_mutex_destroy(&cs->mutex);
	free(cs);
}

unsigned conns_count(struct conns *cs)
{
	unsigned n;

	(void) pthread_mutex_lock(&cs->mutex);
	n = cs->n;
	(void) pthread_mutex_unlock(&cs->mutex);
	return n;
}

uint64_t conns_refused(struct conns *cs)
{
	return atomic_load(&cs->refused);
}

uint64_t conns_late(struct conns *cs)
{
	return atomic_load(&cs->late);
}

void conns_quiet(struct conns *cs)
{
	atomic_store(&cs->quiet, true);
	sweep(cs);
}

static bool busy(struct conns *cs)
{
	for (struct conn *c = cs->first; c; c = c->next) {
		int phase = atomic_load(&c->phase);

		if (phase == CONN_BODY || phase == CONN_WORK || phase == CONN_SEND)
			return true;
	}
	return false;
}

bool conns_wait(struct conns *cs, unsigned timeout_ms)
{
	struct timespec until;
	int r = 0;
	bool calm;

	(void) clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long) (timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void) pthread_mutex_lock(&cs->mutex);
	while (busy(cs) && r == 0)
		r = pthread_cond_timedwait(&cs->calm, &cs->mutex, &until);
	calm = !busy(cs);
	(void) pthread_mutex_unlock(&cs->mutex);
	return calm;
}

/* ---- Callbacks ---------------------------------------------------------------------------- */

enum MHD_Result conn_accept(void *cls, const struct sockaddr *addr, socklen_t n)
{
	struct conns *cs = cls;
	struct counter **p;
	uint8_t address[16];
	bool ok;

	if (!addr || n == 0 || addr->sa_family == AF_UNIX)
		return MHD_YES;
	address_of(addr, address);
	(void) pthread_mutex_lock(&cs->mutex);
	p = slot_of(cs, address);
	ok = cs->n < cs->limits.total && (!*p || (*p)->n < cs->limits.per_address);
	(void) pthread_mutex_unlock(&cs->mutex);
	if (!ok)
		atomic_fetch_add(&cs->refused, 1);
	return ok ? MHD_YES : MHD_NO;
}

static void fill_peer(struct conn *c, const struct sockaddr *addr)
{
	struct ucred cred = {.uid = (uid_t) -1};
	socklen_t n = sizeof(cred);

	if (addr && addr->sa_family != AF_UNIX) {
		uint8_t a[16];

		address_of(addr, c->address);
		memcpy(a, c->address, sizeof(a));
		if (addr->sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED((struct in6_addr *) a))
			memcpy(a, &((const struct sockaddr_in6 *) (const void *) addr)->sin6_addr,
			       16);
		if (a[10] == 0xff && a[11] == 0xff && !a[0] && !a[1])
			(void) inet_ntop(AF_INET, a + 12, c->peer, sizeof(c->peer));
		else
			(void) inet_ntop(AF_INET6, a, c->peer, sizeof(c->peer));
		return;
	}
	c->local = true;
	(void) getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n); /* else: nobody */
	c->uid = cred.uid;
	(void) snprintf(c->peer, sizeof(c->peer), "unix:%u", (unsigned) c->uid);
}

static void opened(struct conns *cs, struct MHD_Connection *m, void **ctx)
{
	const union MHD_ConnectionInfo *fd, *addr;
	struct conn *c = calloc(1, sizeof(*c));

	*ctx = c; /* without memory every request of the connection is refused */
	fd = MHD_get_connection_info(m, MHD_CONNECTION_INFO_CONNECTION_FD);
	addr = MHD_get_connection_info(m, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (!c || !fd)
		return;
	c->owner = cs;
	c->certs = cs->certs;
	c->fd = fd->connect_fd;
	guard_init(&c->guard);
	fill_peer(c, addr ? addr->client_addr : NULL);
	conn_phase(c, CONN_NEW, 0);
	(void) pthread_mutex_lock(&cs->mutex);
	c->counted = !c->local && count_up(cs, c->address) == 0;
	c->next = cs->first;
	if (cs->first)
		cs->first->prev = c;
	cs->first = c;
	cs->n++;
	(void) pthread_mutex_unlock(&cs->mutex);
}

static void closed(struct conns *cs, struct conn *c)
{
	if (!c || !c->owner) {
		free(c);
		return;
	}
	(void) pthread_mutex_lock(&cs->mutex);
	if (c->counted)
		count_down(cs, c->address);
	if (c->prev)
		c->prev->next = c->next;
	else
		cs->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	cs->n--;
	(void) pthread_cond_broadcast(&cs->calm);
	(void) pthread_mutex_unlock(&cs->mutex);
	free(c->host);
	free(c->base_url);
	free(c->packet);
	free(c);
}

void conn_notify(void *cls, struct MHD_Connection *m, void **ctx,
		 enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		opened(cls, m, ctx);
	} else {
		closed(cls, *ctx);
		*ctx = NULL;
	}
}

struct conn *conn_of_mhd(struct MHD_Connection *m)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(m, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct conn *c = i ? i->socket_context : NULL;

	return c && c->owner ? c : NULL;
}

/* ---- Phases ------------------------------------------------------------------------------- */

void conn_phase(struct conn *c, enum conn_phase phase, uint64_t bytes)
{
	const struct conn_limits *l = &c->owner->limits;
	const unsigned seconds[] = {
		[CONN_NEW] = l->new_s, [CONN_HEAD] = l->head_s, [CONN_BODY] = l->body_s,
		[CONN_WORK] = 0,       [CONN_SEND] = l->send_s, [CONN_IDLE] = l->idle_s,
	};
	int before = atomic_exchange(&c->phase, (int) phase);

	c->phase_ns = time_mono_ns();
	atomic_store(&c->deadline_ns,
		     phase == CONN_WORK
			     ? 0
			     : c->phase_ns + (int64_t) (seconds[phase] + bytes / l->bytes_per_s) *
						     SECOND_NS);
	if (atomic_load(&c->owner->quiet) && before != (int) phase && phase == CONN_IDLE) {
		(void) pthread_mutex_lock(&c->owner->mutex);
		(void) pthread_cond_broadcast(&c->owner->calm);
		(void) pthread_mutex_unlock(&c->owner->mutex);
	}
}

void conn_progress(struct conn *c, uint64_t bytes)
{
	int64_t d = atomic_load(&c->deadline_ns);

	if (d != 0 && d != INT64_MAX)
		atomic_store(&c->deadline_ns, d + (int64_t) (bytes * (uint64_t) SECOND_NS /
							     c->owner->limits.bytes_per_s));
}

size_t conn_read(struct conn *c, char *p, size_t n, size_t size)
{
	int phase = atomic_load(&c->phase);

	if (c->owner && (phase == CONN_NEW || phase == CONN_IDLE))
		conn_phase(c, CONN_HEAD, 0);
	return guard_filter(&c->guard, p, n, size);
}

/* ---- Sending ------------------------------------------------------------------------------ */

#define HEAD_MAX   8192
#define RECORD_MAX 16384 /* bytes of a TLS record */

void conn_cork(struct conn *c, size_t body_n)
{
	c->corked = body_n > 0;
	c->body_n = body_n;
}

static void uncork(struct conn *c)
{
	free(c->packet);
	c->packet = NULL;
	c->head_n = c->packet_n = c->sent_n = 0;
	c->corked = false;
}

/* The head is said to be sent; the body then is what carries it. */
static bool keep_head(struct conn *c, const void *head, size_t n)
{
	size_t room = RECORD_MAX - n;

	c->packet = n <= HEAD_MAX ? malloc(n + (c->body_n < room ? c->body_n : room)) : NULL;
	if (!c->packet)
		return false;
	memcpy(c->packet, head, n);
	c->head_n = n;
	return true;
}

ssize_t conn_send(struct conn *c, conn_send_fn *send, void *session, const void *data, size_t n)
{
	size_t room;
	ssize_t r;

	if (!c->corked)
		return send(session, data, n);
	if (!c->packet) {
		if (keep_head(c, data, n))
			return (ssize_t) n;
		uncork(c);
		return send(session, data, n);
	}
	if (c->packet_n == 0) { /* else this is another try */
		room = RECORD_MAX - c->head_n;
		room = c->body_n < room ? c->body_n : room;
		c->packet_n = c->head_n + (n < room ? n : room);
		memcpy(c->packet + c->head_n, data, c->packet_n - c->head_n);
	}
	/* A client may have asked for records that are smaller than the head. */
	while (c->sent_n <= c->head_n) {
		r = send(session, c->packet + c->sent_n, c->packet_n - c->sent_n);
		if (r <= 0)
			return r;
		c->sent_n += (size_t) r;
	}
	r = (ssize_t) (c->sent_n - c->head_n);
	uncork(c);
	return r;
}
