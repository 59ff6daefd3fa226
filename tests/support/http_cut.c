/* SPDX-License-Identifier: Apache-2.0 */
#include "support/http_cut.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define LINKS_MAX 64

struct link {
	int client, server; /* -1 = free */
	bool answered;      /* what the client sends next is a new request */
	bool mute;          /* the answer is to be cut */
};

struct http_cut {
	unsigned port;
	int listen_fd, stop_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* guards the three below */
	enum http_cut_how how;
	unsigned left; /* requests up to the cut, 0 = no cut */
	bool did;
	struct link links[LINKS_MAX];
};

static void drop(struct link *l)
{
	(void) close(l->client);
	(void) close(l->server);
	l->client = l->server = -1;
}

static bool relay_once(int from, int to)
{
	unsigned char b[65536];
	ssize_t n = recv(from, b, sizeof(b), 0);

	for (ssize_t at = 0; at < n;) {
		ssize_t k = send(to, b + at, (size_t) (n - at), MSG_NOSIGNAL);

		if (k <= 0)
			return false;
		at += k;
	}
	return n > 0;
}

/* A new request: is it to be cut, and how? */
static bool turn(struct http_cut *h, enum http_cut_how *how)
{
	bool now = false;

	(void) pthread_mutex_lock(&h->lock);
	*how = h->how;
	if (h->left > 0 && --h->left == 0)
		now = h->did = true;
	if (h->did && h->how == HTTP_CUT_REQUEST)
		now = true;
	(void) pthread_mutex_unlock(&h->lock);
	return now;
}

static void from_client(struct http_cut *h, struct link *l)
{
	enum http_cut_how how;
	char first;

	if (l->answered && recv(l->client, &first, 1, MSG_PEEK) == 1) {
		l->answered = false;
		if (turn(h, &how)) {
			if (how == HTTP_CUT_REQUEST) {
				drop(l);
				return;
			}
			l->mute = true;
		}
	}
	if (!relay_once(l->client, l->server))
		drop(l);
}

static void from_server(struct link *l)
{
	l->answered = true;
	if (l->mute || !relay_once(l->server, l->client))
		drop(l);
}

static void accept_one(struct http_cut *h)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t) h->port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < LINKS_MAX; i++) {
		struct link *l = &h->links[i];

		if (l->client >= 0)
			continue;
		*l = (struct link){fd, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), true, false};
		if (connect(l->server, (struct sockaddr *) &a, sizeof(a)) < 0)
			drop(l);
		return;
	}
	if (fd >= 0)
		(void) close(fd);
}

static void *relay(void *arg)
{
	struct http_cut *h = arg;
	struct pollfd fds[2 + 2 * LINKS_MAX];

	for (;;) {
		fds[0] = (struct pollfd){.fd = h->stop_fd, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = h->listen_fd, .events = POLLIN};
		for (size_t i = 0; i < LINKS_MAX; i++) {
			fds[2 + 2 * i] =
				(struct pollfd){.fd = h->links[i].client, .events = POLLIN};
			fds[3 + 2 * i] =
				(struct pollfd){.fd = h->links[i].server, .events = POLLIN};
		}
		if (poll(fds, 2 + 2 * LINKS_MAX, -1) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		for (size_t i = 0; i < LINKS_MAX; i++) {
			struct link *l = &h->links[i];

			if (l->client >= 0 && fds[3 + 2 * i].revents)
				from_server(l);
			if (l->client >= 0 && fds[2 + 2 * i].revents)
				from_client(h, l);
		}
		if (fds[1].revents)
			accept_one(h);
	}
}

struct http_cut *http_cut_start(unsigned port, unsigned *ret_port)
{
	struct http_cut *h = calloc(1, sizeof(*h));
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	assert_non_null(h);
	for (size_t i = 0; i < LINKS_MAX; i++)
		h->links[i].client = h->links[i].server = -1;
	h->port = port;
	h->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	h->stop_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(h->listen_fd >= 0 && h->stop_fd >= 0);
	assert_int_equal(bind(h->listen_fd, (struct sockaddr *) &a, sizeof(a)), 0);
	assert_int_equal(listen(h->listen_fd, 16), 0);
	assert_int_equal(getsockname(h->listen_fd, (struct sockaddr *) &a, &n), 0);
	*ret_port = ntohs(a.sin_port);
	assert_int_equal(pthread_mutex_init(&h->lock, NULL), 0);
	assert_int_equal(pthread_create(&h->thread, NULL, relay, h), 0);
	return h;
}

void http_cut_stop(struct http_cut *h)
{
	assert_int_equal(eventfd_write(h->stop_fd, 1), 0);
	assert_int_equal(pthread_join(h->thread, NULL), 0);
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (h->links[i].client >= 0)
			drop(&h->links[i]);
	(void) close(h->listen_fd);
	(void) close(h->stop_fd);
	(void) pthread_mutex_destroy(&h->lock);
	free(h);
}

void http_cut_at(struct http_cut *h, enum http_cut_how how, unsigned n)
{
	(void) pthread_mutex_lock(&h->lock);
	h->how = how;
	h->left = n;
	h->did = false;
	(void) pthread_mutex_unlock(&h->lock);
}

bool http_cut_did(struct http_cut *h)
{
	bool did;

	(void) pthread_mutex_lock(&h->lock);
	did = h->did;
	(void) pthread_mutex_unlock(&h->lock);
	return did;
}
