/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vmhost process: one per RUN directory, started by the first client and gone after the last.
 * The lock on RUN/vmhost.lock is held for the process's whole life; the client that starts it
 * takes the lock first and hands it over, so two can never open RUN/libvirt at once.
 */
#include "vm/host.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"

#define FIRST_CLIENT_MS 30000 /* nobody came: end */
#define SEND_LIMIT_S    10    /* a client that reads nothing for so long is given up */
#define END_LIMIT_S     60    /* tearing down may not hang for ever */

static int env_fd(const char *name)
{
	const char *s = getenv(name);
	char *end = NULL;
	long n;

	if (!s || !*s)
		return -1;
	n = strtol(s, &end, 10);
	if (*end || n < 3 || n > 1000000 || fcntl((int) n, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	return (int) n;
}

static int listen_on(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_fd int fd = -1;
	size_t n = strlen(path);
	mode_t old;
	int r;

	if (n > VM_SOCKET_MAX)
		return err_set(err, -ENAMETOOLONG, "%s is longer than %d bytes", path,
			       VM_SOCKET_MAX);
	memcpy(a.sun_path, path, n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket: %s", strerrordesc_np(errno));
	(void) unlink(path); /* of a killed process: the lock is ours */
	old = umask(0177);
	r = bind(fd, (const struct sockaddr *) &a, sizeof(a)) < 0 || listen(fd, 64) < 0 ? -errno
											: 0;
	(void) umask(old);
	if (r < 0)
		return err_set(err, r, "listen on %s: %s", path, strerrordesc_np(-r));
	*ret_fd = take_fd(fd);
	return 0;
}

static bool peer_allowed(int fd)
{
	struct ucred u;
	socklen_t n = sizeof(u);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &n) == 0 &&
	       (u.uid == 0 || u.uid == geteuid());
}

static void client_free(struct client *c)
{
	wire_done(&c->wire);
	closep(&c->note_fd);
	(void) pthread_mutex_destroy(&c->out);
	(void) pthread_mutex_destroy(&c->jobs_lock);
	(void) pthread_cond_destroy(&c->jobs_cond);
	free(c);
}

static int client_add(struct host *h, int fd)
{
	struct timeval limit = {.tv_sec = SEND_LIMIT_S};
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		(void) close(fd);
		return -ENOMEM;
	}
	c->host = h;
	wire_init(&c->wire, fd);
	(void) pthread_mutex_init(&c->out, NULL);
	(void) pthread_mutex_init(&c->jobs_lock, NULL);
	(void) pthread_cond_init(&c->jobs_cond, NULL);
	(void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	c->note_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->note_fd < 0) {
		r = -errno;
		client_free(c);
		return r;
	}
	pthread_mutex_lock(&h->lock);
	c->next = h->clients;
	h->clients = c;
	r = -pthread_create(&c->thread, NULL, client_main, c);
	if (r < 0)
		h->clients = c->next;
	pthread_mutex_unlock(&h->lock);
	if (r < 0)
		client_free(c);
	return r;
}

static void accept_one(struct host *h)
{
	int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	int r;

	if (fd < 0)
		return;
	if (!peer_allowed(fd)) {
		(void) close(fd);
		return;
	}
	r = client_add(h, fd);
	if (r < 0)
		log_warn("vmhost.client", "error=%s", strerrordesc_np(-r));
}

/* Join the threads that ended. Return: number of clients left. */
static unsigned reap(struct host *h)
{
	struct client **at, *c, *dead = NULL;
	unsigned left = 0;

	pthread_mutex_lock(&h->lock);
	for (at = &h->clients; (c = *at);) {
		if (c->finished) {
			*at = c->next;
			c->next = dead;
			dead = c;
		} else {
			left++;
			at = &c->next;
		}
	}
	pthread_mutex_unlock(&h->lock);
	while (dead) {
		c = dead;
		dead = c->next;
		(void) pthread_join(c->thread, NULL);
		client_free(c);
	}
	return left;
}

static void serve(struct host *h, int signal_fd)
{
	int wait_ms = FIRST_CLIENT_MS;

	for (;;) {
		struct pollfd p[3] = {{.fd = h->listen_fd, .events = POLLIN},
				      {.fd = h->wake_fd, .events = POLLIN},
				      {.fd = signal_fd, .events = POLLIN}};
		int r = poll(p, 3, wait_ms);
		eventfd_t n;

		if (r == 0 || (r < 0 && errno != EINTR) || p[2].revents)
			return;
		if (p[1].revents)
			(void) eventfd_read(h->wake_fd, &n);
		if (p[0].revents) {
			accept_one(h);
			wait_ms = -1;
		}
		if (p[1].revents && reap(h) == 0)
			return;
	}
}

/* Every client's end removes its guest. */
static void drop_clients(struct host *h)
{
	pthread_mutex_lock(&h->lock);
	for (struct client *c = h->clients; c; c = c->next)
		if (!c->finished)
			(void) shutdown(c->wire.fd, SHUT_RDWR);
	pthread_mutex_unlock(&h->lock);
	while (reap(h) > 0) {
		struct pollfd p = {.fd = h->wake_fd, .events = POLLIN};
		eventfd_t n;

		(void) poll(&p, 1, -1);
		(void) eventfd_read(h->wake_fd, &n);
	}
}

static void ready(int fd, const struct err *err)
{
	auto_json json_t *j = err ? json_pack("{s:o}", "error", wire_error(err))
				  : json_pack("{s:I}", "pid", (json_int_t) getpid());
	auto_free char *line = j ? json_compact(j) : NULL;

	if (fd < 0) {
		if (err)
			(void) fprintf(stderr, "kiln vmhost: %s\n", err_str(err));
		return;
	}
	if (line && write(fd, line, strlen(line)) < 0)
		log_warn("vmhost.ready", "error=%s", strerrordesc_np(errno));
	(void) close(fd);
}

/* What libvirt keeps on disk is worth nothing without the process, but its record of what QEMU can
 * do saves the next start a second. */
static void remove_root(struct host *h)
{
	static const char *const parts[] = {"etc", "lib", "log", "run", "passwd", "group", "nokvm"};
	auto_free char *names = path_join(h->root, "vm");

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		auto_free char *path = path_join(h->root, parts[i]);

		if (path)
			(void) file_rm_rf(path, NULL);
	}
	/* Empty by now; if not, something is still bound there, which is not ours to remove. */
	if (names)
		(void) rmdir(names);
}

/* Names that a killed process left; what was bound to them was so in its namespace, not here. */
static int prepare_names(struct host *h, struct err *err)
{
	auto_free char *names = path_join(h->root, "vm");
	int r = names ? file_rm_rf(names, err) : err_set(err, -ENOMEM, "out of memory");

	return r < 0 ? r : file_mkdir_p(names, 0711, err);
}

static int host_open(struct host *h, int *ret_signal_fd, struct err *err)
{
	auto_free char *sock = path_join(h->run_dir, "vmhost.sock");
	sigset_t set;
	int r;

	h->root = path_join(h->run_dir, "libvirt");
	if (!sock || !h->root)
		return err_set(err, -ENOMEM, "out of memory");
	h->privileged = geteuid() == 0;
	(void) signal(SIGPIPE, SIG_IGN);
	(void) sigemptyset(&set);
	(void) sigaddset(&set, SIGTERM);
	(void) sigaddset(&set, SIGINT);
	(void) sigaddset(&set, SIGHUP);
	(void) pthread_sigmask(SIG_BLOCK, &set, NULL); /* inherited by every thread */
	*ret_signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*ret_signal_fd < 0 || h->wake_fd < 0)
		return err_set(err, -errno, "eventfd: %s", strerrordesc_np(errno));
	/* Guests' uids pass through, to sockets and logs of their own. */
	r = file_mkdir_p(h->root, 0711, err);
	if (r < 0)
		return r;
	h->kvm = vm_kvm_usable(h->run_dir);
	r = host_view(h, err);
	if (r == 0)
		r = prepare_names(h, err);
	if (r < 0)
		return r;
	r = host_libvirt_open(h, err);
	if (r < 0)
		return r;
	return listen_on(sock, &h->listen_fd, err);
}

static void host_close(struct host *h)
{
	auto_free char *sock = path_join(h->run_dir, "vmhost.sock");

	/* Whoever connects from here on is turned away and waits for the lock. */
	if (sock && h->listen_fd >= 0)
		(void) unlink(sock);
	closep(&h->listen_fd);
	(void) alarm(END_LIMIT_S);
	drop_clients(h);
	host_libvirt_close(h);
	remove_root(h);
	closep(&h->wake_fd);
	(void) pthread_mutex_destroy(&h->lock);
	free(h->root);
	free(h->run_dir);
}

int vm_host_main(const char *run_dir)
{
	struct host h = {.listen_fd = -1, .wake_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	auto_err struct err err = ERR_INIT;
	auto_fd int lock = env_fd(VM_ENV_LOCK);
	auto_fd int signal_fd = -1;
	int ready_fd = env_fd(VM_ENV_READY);
	int r = 0;

	h.run_dir = strdup(run_dir);
	if (!h.run_dir)
		r = err_set(&err, -ENOMEM, "out of memory");
	if (r == 0 && ready_fd >= 0)
		r = proc_detach();
	if (r == 0 && lock < 0) {
		auto_free char *path = path_join(run_dir, "vmhost.lock");

		r = path ? lock_file(path, LOCK_EXCLUSIVE | LOCK_NONBLOCK, &lock, &err) : -ENOMEM;
		if (r == -EAGAIN)
			err_set(&err, r, "another vmhost serves %s", run_dir);
	}
	if (r == 0)
		r = host_open(&h, &signal_fd, &err);
	if (r < 0 && err.code == 0)
		err_set(&err, r, "%s", strerrordesc_np(-r));
	ready(ready_fd, r < 0 ? &err : NULL);
	if (r == 0)
		serve(&h, signal_fd);
	host_close(&h);
	return r < 0 ? 1 : 0;
}
