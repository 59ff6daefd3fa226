/* SPDX-License-Identifier: Apache-2.0 */
#include "server/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/mem.h"

#define BACKLOG  1024
#define FIRST_FD 3 /* sd_listen_fds(3) */
#define MAX_FDS  16

/* ---- TCP ---------------------------------------------------------------------------------- */

static int bad_where(const char *where, struct err *err)
{
	return err_set(err, -EINVAL, "'%.100s' is not ADDRESS:PORT", where);
}

static int resolve(const char *where, struct addrinfo **ret, struct err *err)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
				       .ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	const char *colon = strrchr(where, ':');
	auto_free char *host = colon ? strndup(where, (size_t) (colon - where)) : NULL;
	size_t n = host ? strlen(host) : 0;
	const char *name = host;
	int r;

	if (!colon || !host || !colon[1] || strlen(colon + 1) > 5 ||
	    colon[1 + strspn(colon + 1, "0123456789")] || strtoul(colon + 1, NULL, 10) > UINT16_MAX)
		return bad_where(where, err);
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		name = host + 1;
	} else if (strchr(host, ':') || n == 0) {
		return bad_where(where, err);
	}
	r = getaddrinfo(name, colon + 1, &hints, ret);
	return r != 0 ? err_set(err, -EINVAL, "%s: %s", where, gai_strerror(r)) : 0;
}

char *listen_name(int fd)
{
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof(a);
	char host[INET6_ADDRSTRLEN];

	if (getsockname(fd, (struct sockaddr *) &a, &n) < 0)
		return NULL;
	if (a.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *) &a;

		if (!inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host)))
			return NULL;
		return strf("%s:%u", host, (unsigned) ntohs(v4->sin_port));
	}
	if (a.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &a;

		if (!inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host)))
			return NULL;
		return strf("[%s]:%u", host, (unsigned) ntohs(v6->sin6_port));
	}
	return NULL;
}

static int bind_one(const struct addrinfo *a, int *ret)
{
	auto_fd int fd =
		socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
	const int one = 1;

	if (fd < 0)
		return err_errno();
	/* Answers leave in one piece each; waiting for more would only delay them. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno();
	*ret = take_fd(fd);
	return 0;
}

int listen_tcp(const char *where, int *ret_fd, char **ret_where, struct err *err)
{
	struct addrinfo *list = NULL;
	auto_fd int fd = -1;
	int r = resolve(where, &list, err);

	if (r < 0)
		return r;
	r = bind_one(list, &fd);
	freeaddrinfo(list);
	if (r < 0)
		return err_set(err, r, "cannot listen on %s: %s", where, strerrordesc_np(-r));
	*ret_where = listen_name(fd);
	if (!*ret_where)
		return err_set(err, -ENOMEM, "out of memory");
	*ret_fd = take_fd(fd);
	return 0;
}

/* ---- Unix --------------------------------------------------------------------------------- */

static bool answers(const struct sockaddr_un *a, int type)
{
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *) a, sizeof(*a)) == 0;
}

int listen_unix(const char *path, bool datagram, mode_t mode, int *ret_fd, struct err *err)
{
	const int type = datagram ? SOCK_DGRAM : SOCK_STREAM;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s", path);
	memcpy(a.sun_path, path, strlen(path));
	if (fd < 0)
		return err_set(err, err_errno(), "socket");
	if (answers(&a, type))
		return err_set(err, -EADDRINUSE, "%s: another process answers there", path);
	(void) unlink(path); /* left by one that was killed */
	if (bind(fd, (const struct sockaddr *) &a, sizeof(a)) < 0 || chmod(path, mode) < 0 ||
	    (!datagram && listen(fd, BACKLOG) < 0))
		return err_set(err, err_errno(), "%s: %s", path, strerrordesc_np(errno));
	*ret_fd = take_fd(fd);
	return 0;
}

/* ---- Inherited ---------------------------------------------------------------------------- */

static long number_of(const char *name)
{
	const char *s = getenv(name);
	char *end = NULL;
	long n;

	if (!s || !*s)
		return -1;
	errno = 0;
	n = strtol(s, &end, 10);
	return errno || *end || n < 0 ? -1 : n;
}

static int take_one(int fd, int *ret_tcp, int *ret_unix)
{
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof(a);
	int *to;

	if (getsockname(fd, (struct sockaddr *) &a, &n) < 0)
		return err_errno();
	to = a.ss_family == AF_UNIX ? ret_unix : ret_tcp;
	if (*to >= 0)
		return -EEXIST;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno();
	*to = fd;
	return 0;
}

int listen_inherited(int *ret_tcp, int *ret_unix, struct err *err)
{
	long pid = number_of("LISTEN_PID"), n = number_of("LISTEN_FDS");
	int r = 0;

	*ret_tcp = *ret_unix = -1;
	(void) unsetenv("LISTEN_PID"); /* our children are not meant */
	(void) unsetenv("LISTEN_FDS");
	(void) unsetenv("LISTEN_FDNAMES");
	if (n <= 0 || (pid != (long) getpid() && pid != 0))
		return 0;
	if (n > MAX_FDS)
		return err_set(err, -EINVAL, "LISTEN_FDS: %ld sockets, at most %d", n, MAX_FDS);
	for (int fd = FIRST_FD; fd < FIRST_FD + n && r >= 0; fd++)
		r = take_one(fd, ret_tcp, ret_unix);
	if (r == -EEXIST)
		return err_set(err, -EINVAL,
			       "LISTEN_FDS: one TCP and one Unix socket at most are served");
	return r < 0 ? err_set(err, r, "LISTEN_FDS: a descriptor is no socket") : 0;
}

/* ---- sd_notify(3), without its library ----------------------------------------------------- */

void notify_systemd(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	auto_fd int fd = -1;

	if (n < 2 || n >= sizeof(a.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(a.sun_path, path, n);
	if (path[0] == '@')
		a.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) /* whoever does not listen is not told */
		(void) sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *) &a,
			      (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n));
}
