/* SPDX-License-Identifier: Apache-2.0 */
#include "support/pg_proxy.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define LINKS_MAX 64
#define BUF_BYTES 65536

/* One connection through the proxy. */
struct link {
	int client, server; /* -1 = free */
	bool started;       /* the startup message, which has no type byte, is over */
	size_t n;           /* bytes of the client's that make no whole message yet */
	unsigned char buf[BUF_BYTES];
};

struct pg_proxy {
	char server[108];
	int listen_fd, stop_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* guards the three below */
	enum pg_cut how;
	unsigned left; /* messages up to the cut, 0 = no cut */
	bool did;
	struct link links[LINKS_MAX];
};

static int unix_socket(const char *path, bool serve)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -1;
	(void) snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	r = serve ? bind(fd, (struct sockaddr *) &a, sizeof(a))
		  : connect(fd, (struct sockaddr *) &a, sizeof(a));
	if (r < 0 || (serve && listen(fd, 16) < 0)) {
		(void) close(fd);
		return -1;
	}
	return fd;
}

static void drop(struct link *l)
{
	(void) close(l->client);
	(void) close(l->server);
	l->client = l->server = -1;
}

static bool send_all(int fd, const unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return false;
		p += k;
		n -= (size_t) k;
	}
	return true;
}

/* Length of the whole message at the start of the buffer, 0 when there is none yet. */
static size_t message(const struct link *l)
{
	size_t head = l->started ? 5 : 4;
	uint32_t len;

	if (l->n < head)
		return 0;
	len = (uint32_t) l->buf[head - 4] << 24 | (uint32_t) l->buf[head - 3] << 16 |
	      (uint32_t) l->buf[head - 2] << 8 | l->buf[head - 1];
	len += l->started ? 1 : 0;
	return l->n >= len ? len : 0;
}

/* How this message is to be cut, or PG_CUT_MAX. */
static enum pg_cut turn(struct pg_proxy *p)
{
	enum pg_cut how = PG_CUT_MAX;

	(void) pthread_mutex_lock(&p->lock);
	if (p->left > 0 && --p->left == 0) {
		how = p->how;
		p->did = true;
	}
	(void) pthread_mutex_unlock(&p->lock);
	return how;
}

/* Whatever the client sent together goes to the server, which answers at the last of it. */
static void cut(struct link *l, enum pg_cut how, size_t whole)
{
	unsigned char answer[BUF_BYTES];
	ssize_t n;

	if (how == PG_CUT_BEFORE) {
		drop(l);
		return;
	}
	if (how != PG_CUT_AFTER)
		whole = l->n;
	if (send_all(l->server, l->buf, whole) && how != PG_CUT_AFTER) {
		struct pollfd fd = {.fd = l->server, .events = POLLIN};

		/* A message that is no end of a request has no answer. */
		n = poll(&fd, 1, 50) > 0 ? recv(l->server, answer, sizeof(answer), 0) : 0;
		if (how == PG_CUT_HALF && n > 1)
			(void) send_all(l->client, answer, (size_t) n / 2);
	}
	drop(l);
}

static void from_client(struct pg_proxy *p, struct link *l)
{
	ssize_t k = recv(l->client, l->buf + l->n, sizeof(l->buf) - l->n, 0);
	size_t len;

	if (k <= 0) {
		drop(l);
		return;
	}
	l->n += (size_t) k;
	while ((len = message(l)) > 0) {
		enum pg_cut how = turn(p);

		if (how != PG_CUT_MAX) {
			cut(l, how, len);
			return;
		}
		if (!send_all(l->server, l->buf, len)) {
			drop(l);
			return;
		}
		l->started = true;
		l->n -= len;
		memmove(l->buf, l->buf + len, l->n);
	}
}

static void from_server(struct link *l)
{
	unsigned char b[BUF_BYTES];
	ssize_t k = recv(l->server, b, sizeof(b), 0);

	if (k <= 0 || !send_all(l->client, b, (size_t) k))
		drop(l);
}

static void accept_one(struct pg_proxy *p)
{
	int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < LINKS_MAX; i++) {
		struct link *l = &p->links[i];

		if (l->client >= 0)
			continue;
		l->client = fd;
		l->server = unix_socket(p->server, false);
		l->started = false;
		l->n = 0;
		if (l->server < 0)
			drop(l);
		return;
	}
	if (fd >= 0)
		(void) close(fd);
}

static void *relay(void *arg)
{
	struct pg_proxy *p = arg;
	struct pollfd fds[2 + 2 * LINKS_MAX];

	for (;;) {
		fds[0] = (struct pollfd){.fd = p->stop_fd, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = p->listen_fd, .events = POLLIN};
		for (size_t i = 0; i < LINKS_MAX; i++) {
			fds[2 + 2 * i] =
				(struct pollfd){.fd = p->links[i].client, .events = POLLIN};
			fds[3 + 2 * i] =
				(struct pollfd){.fd = p->links[i].server, .events = POLLIN};
		}
		if (poll(fds, 2 + 2 * LINKS_MAX, -1) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		for (size_t i = 0; i < LINKS_MAX; i++) {
			struct link *l = &p->links[i];

			if (l->client >= 0 && fds[3 + 2 * i].revents)
				from_server(l);
			if (l->client >= 0 && fds[2 + 2 * i].revents)
				from_client(p, l);
		}
		if (fds[1].revents)
			accept_one(p);
	}
}

struct pg_proxy *pg_proxy_start(const char *dir, const char *server)
{
	struct pg_proxy *p = calloc(1, sizeof(*p));
	char path[108];

	assert_non_null(p);
	for (size_t i = 0; i < LINKS_MAX; i++)
		p->links[i].client = p->links[i].server = -1;
	(void) snprintf(p->server, sizeof(p->server), "%s", server);
	(void) snprintf(path, sizeof(path), "%s%s", dir, strrchr(server, '/'));
	p->listen_fd = unix_socket(path, true);
	p->stop_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(p->listen_fd >= 0 && p->stop_fd >= 0);
	assert_int_equal(pthread_mutex_init(&p->lock, NULL), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, relay, p), 0);
	return p;
}

void pg_proxy_stop(struct pg_proxy *p)
{
	assert_int_equal(eventfd_write(p->stop_fd, 1), 0);
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (p->links[i].client >= 0)
			drop(&p->links[i]);
	(void) close(p->listen_fd);
	(void) close(p->stop_fd);
	(void) pthread_mutex_destroy(&p->lock);
	free(p);
}

void pg_proxy_cut(struct pg_proxy *p, enum pg_cut how, unsigned n)
{
	(void) pthread_mutex_lock(&p->lock);
	p->how = how;
	p->left = n;
	p->did = false;
	(void) pthread_mutex_unlock(&p->lock);
}

bool pg_proxy_did(struct pg_proxy *p)
{
	bool did;

	(void) pthread_mutex_lock(&p->lock);
	did = p->did;
	(void) pthread_mutex_unlock(&p->lock);
	return did;
}
