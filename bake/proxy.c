/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The role process `kiln proxy`. A fixed set of threads accepts on one socket, one connection
 * each, with blocking calls under deadlines; the main thread only waits for the end of its caller.
 */
#include "bake/proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "bake/roles.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define HEAD_MS    30000
#define CONNECT_MS 20000
#define IDLE_MS    300000
#define STACK      (256u << 10)
#define NOBODY     65534
#define BLOCK      32768

struct proxy {
	char **allow, **trusted;
	int listen_fd, report_fd;
};

static const char *const *list(char **v)
{
	return (const char *const *) v;
}

static void report(const struct proxy *p, const struct proxy_request *r, const char *reason)
{
	auto_json json_t *j = json_pack("{s:s, s:i, s:s}", "host", r->host, "port", (int) r->port,
					"reason", reason);
	auto_free char *text = j ? json_compact(j) : NULL;

	/* One write of less than PIPE_BUF: lines of several threads do not mix. */
	if (text && p->report_fd >= 0)
		dprintf(p->report_fd, "%s\n", text);
}

static int wait_fd(int fd, short events, int ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int r;

	do
		r = poll(&p, 1, ms);
	while (r < 0 && errno == EINTR);
	return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : -errno;
}

static int send_all(int fd, const char *s, size_t n)
{
	while (n > 0) {
		ssize_t w = send(fd, s, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (w > 0) {
			s += w;
			n -= (size_t) w;
		} else if (w < 0 && errno != EAGAIN && errno != EINTR) {
			return -errno;
		} else if (wait_fd(fd, POLLOUT, IDLE_MS) < 0) {
			return -ETIMEDOUT;
		}
	}
	return 0;
}

static void answer(int fd, const char *status, const char *text)
{
	auto_free char *s =
		strf("HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\n\r\n%s\n",
		     status, strlen(text) + 1, text);
	char drain[1024];

	if (!s || send_all(fd, s, strlen(s)) < 0)
		return;
	/* Closing with unread bytes would reset the connection and lose the answer. */
	(void) shutdown(fd, SHUT_WR);
	while (wait_fd(fd, POLLIN, 1000) == 0 && recv(fd, drain, sizeof(drain), 0) > 0)
		;
}

/* Reads to the end of the head; @ret_n bytes in all, @ret_head of them the head. */
static int read_head(int fd, char *buf, size_t size, size_t *ret_n, size_t *ret_head)
{
	int64_t end = time_mono_ns() + HEAD_MS * 1000000ll;
	size_t n = 0;

	for (;;) {
		int64_t left = (end - time_mono_ns()) / 1000000;
		const char *eoh;
		ssize_t got;

		if (n >= size)
			return -EFBIG;
		if (left <= 0 || wait_fd(fd, POLLIN, (int) left) < 0)
			return -ETIMEDOUT;
		got = recv(fd, buf + n, size - n, 0);
		if (got <= 0)
			return -ECONNRESET;
		n += (size_t) got;
		eoh = memmem(buf, n, "\r\n\r\n", 4);
		if (eoh) {
			*ret_n = n;
			*ret_head = (size_t) (eoh + 4 - buf);
			return 0;
		}
	}
}

static int connect_to(const struct addrinfo *ai)
{
	auto_fd int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int e = 0;
	socklen_t len = sizeof(e);

	if (fd < 0)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		if (wait_fd(fd, POLLOUT, CONNECT_MS) < 0)
			return -ETIMEDOUT;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e)
			return -(e ? e : errno);
	}
	return take_fd(fd);
}

/* Resolves once, connects to an address that was checked. -EACCES: only forbidden ones. */
static int open_upstream(const struct proxy *p, const struct proxy_request *r)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	enum proxy_trust trust = proxy_trusted(list(p->trusted), r->host, r->port);
	struct addrinfo *all = NULL;
	int fd = -EACCES;
	char port[8];

	(void) snprintf(port, sizeof(port), "%u", r->port);
	if (getaddrinfo(r->host, port, &hints, &all) != 0)
		return -EHOSTUNREACH;
	for (const struct addrinfo *ai = all; ai && fd < 0; ai = ai->ai_next)
		if (proxy_address_ok(ai->ai_addr, trust))
			fd = connect_to(ai);
	freeaddrinfo(all);
	return fd;
}

/* One direction's readable bytes. Return: bytes, 0 at the end, -errno. */
static ssize_t move(int from, int to, char *block, size_t max)
{
	ssize_t n = recv(from, block, max < BLOCK ? max : BLOCK, 0);

	if (n <= 0)
		return n < 0 ? -errno : 0;
	return send_all(to, block, (size_t) n) < 0 ? -EPIPE : n;
}

/* @client_left: bytes that the client may still send; for tunnels no limit. */
static void relay(int client, int server, uint64_t client_left)
{
	auto_free char *block = malloc(BLOCK);
	bool client_open = client_left > 0;

	while (block) {
		struct pollfd p[2] = {{.fd = server, .events = POLLIN},
				      {.fd = client_open ? client : -1, .events = POLLIN}};
		ssize_t n;

		if (poll(p, 2, IDLE_MS) <= 0)
			return;
		if (p[0].revents && move(server, client, block, BLOCK) <= 0)
			return;
		if (!p[1].revents)
			continue;
		n = move(client, server, block, client_left < BLOCK ? (size_t) client_left : BLOCK);
		if (n < 0)
			return;
		if (n == 0) {
			client_open = false;
			(void) shutdown(server, SHUT_WR);
		}
		client_left -= client_left == UINT64_MAX ? 0 : (uint64_t) n;
		if (client_left == 0)
			client_open = false;
	}
}

static void refuse(const struct proxy *p, int fd, const struct proxy_request *r, const char *why)
{
	auto_free char *text = strf("kiln: %s:%u is blocked: %s. To allow it, add \"%s:%u\" to "
				    "properties.kiln.network.allow of the template.",
				    r->host, r->port, why, r->host, r->port);

	report(p, r, why);
	answer(fd, "403 Forbidden", text ? text : "kiln: blocked");
}

static void forward(const struct proxy *p, int fd, const struct proxy_request *r, const char *rest,
		    size_t n_rest)
{
	static const char tunnel[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	auto_fd int up = open_upstream(p, r);

	if (up == -EACCES) {
		refuse(p, fd, r, "its address is private, local or reserved");
		return;
	}
	if (up < 0) {
		auto_free char *text =
			strf("kiln: cannot reach %s:%u: %s", r->host, r->port,
			     up == -EHOSTUNREACH ? "the name does not resolve" : strerror(-up));
		answer(fd, "502 Bad Gateway", text ? text : "kiln: cannot reach the host");
		return;
	}
	if (r->connect) {
		if (send_all(fd, tunnel, sizeof(tunnel) - 1) == 0 &&
		    send_all(up, rest, n_rest) == 0)
			relay(fd, up, UINT64_MAX);
		return;
	}
	/* Nothing behind the body: a second request could name another host. */
	if (n_rest > r->body_bytes)
		n_rest = (size_t) r->body_bytes;
	if (send_all(up, r->forward, r->forward_bytes) == 0 && send_all(up, rest, n_rest) == 0)
		relay(fd, up, r->body_bytes - n_rest);
}

static void serve(const struct proxy *p, int fd)
{
	auto_free char *head = malloc(PROXY_HEAD_MAX);
	struct proxy_request r = {0};
	auto_err struct err err = ERR_INIT;
	size_t n = 0, n_head = 0;

	if (!head || read_head(fd, head, PROXY_HEAD_MAX, &n, &n_head) < 0)
		return;
	if (proxy_parse(head, n_head, &r, &err) < 0)
		answer(fd, "400 Bad Request", err_str(&err));
	else if (!r.connect && r.chunked)
		answer(fd, "411 Length Required", "kiln: chunked requests are not forwarded");
	else if (!proxy_allowed(list(p->allow), r.host, r.port))
		refuse(p, fd, &r, "it is not in the allow list");
	else
		forward(p, fd, &r, head + n_head, n - n_head);
	proxy_request_done(&r);
}

static void *accept_loop(void *arg)
{
	const struct proxy *p = arg;

	for (;;) {
		auto_fd int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			serve(p, fd);
		else if (errno != EINTR && errno != ECONNABORTED && errno != EMFILE)
			return NULL;
	}
}

static int receive_fd(int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static int drop_rights(int uid)
{
	struct rlimit none = {0, 0}, files = {512, 512};

	if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid((gid_t) uid, (gid_t) uid, (gid_t) uid) < 0 ||
	     setresuid((uid_t) uid, (uid_t) uid, (uid_t) uid) < 0))
		return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int run(struct proxy *p, int life_fd)
{
	pthread_attr_t attr;
	pthread_t t;
	struct pollfd hup = {.fd = life_fd};
	int r = pthread_attr_init(&attr);

	if (r == 0)
		r = pthread_attr_setstacksize(&attr, STACK);
	for (unsigned i = 0; r == 0 && i < PROXY_CONNECTIONS; i++)
		r = pthread_create(&t, &attr, accept_loop, p);
	if (r != 0)
		return 1;
	/* The threads end with the process. */
	while (poll(&hup, 1, -1) < 0 && errno == EINTR)
		;
	return 0;
}

static int fd_number(const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	return *s && !*end && v > 2 && v < 1 << 20 ? (int) v : -1;
}

int proxy_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"recv-fd", required_argument, NULL, 'r'},
		{"listen-fd", required_argument, NULL, 'l'},
		{"report-fd", required_argument, NULL, 'o'},
		{"uid", required_argument, NULL, 'u'},
		{"allow", required_argument, NULL, 'a'},
		{"trusted", required_argument, NULL, 't'},
		{NULL, 0, NULL, 0},
	};
	struct proxy p = {.listen_fd = -1, .report_fd = -1};
	int recv_fd = -1, uid = NOBODY, c, r = 0;

	optind = 1;
	while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'a')
			r = strv_push(&p.allow, optarg);
		else if (c == 't')
			r = strv_push(&p.trusted, optarg);
		else if (c == 'u')
			uid = fd_number(optarg);
		else if (c == 'r' || c == 'l' || c == 'o')
			*(c == 'r'   ? &recv_fd
			  : c == 'l' ? &p.listen_fd
				     : &p.report_fd) = fd_number(optarg);
		else
			r = -EINVAL;
	}
	(void) signal(SIGPIPE, SIG_IGN);
	if (r < 0 || uid < 0 || (recv_fd < 0) == (p.listen_fd < 0) || drop_rights(uid) < 0) {
		fprintf(stderr, "proxy: a helper role of kiln itself, not for the command line\n");
		return 2;
	}
	if (recv_fd >= 0)
		p.listen_fd = receive_fd(recv_fd);
	if (p.listen_fd < 0)
		return 0; /* the step ended before it began */
	return run(&p, recv_fd);
}
