/* SPDX-License-Identifier: Apache-2.0 */
#include "server/internal.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/certificates.h"
#include "server/intercept.h"

/* A head of SERVER_HEAD_MAX, what libmicrohttpd keeps of each header, and the answer's head. */
#define CONNECTION_MEMORY (64u << 10)

/* TLS 1.2 and 1.3; no CBC, no SHA-1. libmicrohttpd closes when a client wants to renegotiate. */
#define PRIORITIES                                                                                 \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:"        \
	"+CHACHA20-POLY1305:-MAC-ALL:+AEAD:-RSA:%SERVER_PRECEDENCE"

/* libmicrohttpd would decode targets, and with them "%2F". */
static size_t no_decoding(void *cls, struct MHD_Connection *c, char *s)
{
	(void) cls, (void) c;
	return strlen(s);
}

static void log_mhd(void *cls, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void log_mhd(void *cls, const char *fmt, va_list ap)
{
	auto_free char *text = vstrf(fmt, ap);

	(void) cls;
	log_debug("server.http", "%s", text ? text : fmt);
}

static struct MHD_Daemon *start(struct server *s, int fd, bool tls)
{
	/* GnuTLS's callbacks are functions, and options are pointers to objects. */
	gnutls_certificate_retrieve_function2 *callback = intercept_certificate;
	void *present;
	memcpy(&present, &callback, sizeof(present));

	struct MHD_OptionItem with_tls[] = {
		{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, present},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) (uintptr_t) PRIORITIES},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned threads = tls ? s->settings->threads : 1;

	/* conn_accept() counts to the limit; libmicrohttpd stops accepting at its own, which it
	 * shares out among its threads. */
	return MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
			(tls ? MHD_USE_TLS : 0),
		0, conn_accept, s->conns, exchange_handle, s, MHD_OPTION_EXTERNAL_LOGGER, log_mhd,
		NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		s->settings->limits.total + threads, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t) CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, exchange_begin, s,
		MHD_OPTION_UNESCAPE_CALLBACK, no_decoding, NULL, MHD_OPTION_NOTIFY_COMPLETED,
		exchange_end, s, MHD_OPTION_NOTIFY_CONNECTION, conn_notify, s->conns,
		MHD_OPTION_THREAD_POOL_SIZE, threads > 1 ? threads : 0u, MHD_OPTION_ARRAY,
		tls ? with_tls : none, MHD_OPTION_END);
}

/* Sent to by name each time: a worker that starts anew makes its socket anew. */
static int find_worker(struct server *s, const char *path, struct err *err)
{
	if (strlen(path) >= sizeof(s->wake.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s", path);
	s->wake.sun_family = AF_UNIX;
	memcpy(s->wake.sun_path, path, strlen(path));
	s->wake_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return s->wake_fd < 0 ? err_set(err, err_errno(), "socket") : 0;
}

static int prepare(struct server *s, struct err *err)
{
	const struct server_settings *set = s->settings;
	int r = intercept_check(err);

	if (r >= 0)
		r = certificates_new(&s->certs, err);
	if (r >= 0 && s->config.tls)
		r = certificates_add(s->certs, take_ptr(s->config.tls), err);
	if (r >= 0)
		r = conns_new(&set->limits, s->certs, &s->conns, err);
	if (r >= 0)
		r = pool_new(set->pool, &s->pool, err);
	if (r >= 0)
		r = quota_new(set->reads, set->writes, &s->quota, err);
	if (r >= 0)
		r = metrics_new(s->config.arm, &s->metrics, err);
	if (r >= 0)
		r = access_open(set->access_log ? set->access_log : "off", set->access_log_bytes,
				&s->log, err);
	if (r >= 0 && s->config.wake_path)
		r = find_worker(s, s->config.wake_path, err);
	return r;
}

int server_start(const struct server_config *c, struct server **ret, struct err *err)
{
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->config = *c;
	s->settings = c->settings;
	s->wake_fd = -1;
	r = prepare(s, err);
	if (r >= 0 && c->tcp_fd >= 0) {
		s->tls = start(s, c->tcp_fd, true);
		r = s->tls ? 0 : err_set(err, -EIO, "the HTTPS server cannot start");
	}
	if (r >= 0 && c->unix_fd >= 0) {
		s->local = start(s, c->unix_fd, false);
		r = s->local ? 0 : err_set(err, -EIO, "the local server cannot start");
	}
	if (r < 0) {
		server_stop(s, 0);
		return r;
	}
	*ret = s;
	return 0;
}

int server_certificate(struct server *s, struct tls *tls, struct err *err)
{
	return certificates_add(s->certs, tls, err);
}

void server_stop(struct server *s, unsigned grace_ms)
{
	int fds[2];

	if (!s)
		return;
	fds[0] = s->tls ? MHD_quiesce_daemon(s->tls) : s->config.tcp_fd;
	fds[1] = s->local ? MHD_quiesce_daemon(s->local) : s->config.unix_fd;
	atomic_store(&s->stopping, true);
	if (s->conns) {
		conns_quiet(s->conns);
		(void) conns_wait(s->conns, grace_ms);
	}
	pool_stop(s->pool); /* resumes what it had suspended, which libmicrohttpd demands */
	if (s->tls)
		MHD_stop_daemon(s->tls);
	if (s->local)
		MHD_stop_daemon(s->local);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		closep(&fds[i]);
	certificates_free(s->certs);
	tls_free(s->config.tls);
	conns_free(s->conns);
	pool_free(s->pool);
	quota_free(s->quota);
	metrics_free(s->metrics);
	access_close(s->log);
	closep(&s->wake_fd);
	free(s);
}
