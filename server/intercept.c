/* SPDX-License-Identifier: Apache-2.0 */
#include "server/intercept.h"

#include <dlfcn.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <string.h>

#include "server/certificates.h"
#include "server/conn.h"

typedef ssize_t recv_fn(gnutls_session_t session, void *data, size_t n);
typedef ssize_t send_fn(gnutls_session_t session, const void *data, size_t n);

/* POSIX has dlsym() give functions as data pointers. */
static recv_fn *function_of(void *symbol)
{
	recv_fn *f = NULL;

	memcpy(&f, &symbol, sizeof(f));
	return f;
}

static send_fn *sender_of(void *symbol)
{
	send_fn *f = NULL;

	memcpy(&f, &symbol, sizeof(f));
	return f;
}

/* libmicrohttpd 0.9.75 sets the session's pointer to its connection before the handshake; the
 * socket's context is ours from then on (conn_notify()). */
static struct conn *conn_of(gnutls_session_t session)
{
	struct MHD_Connection *c = gnutls_session_get_ptr(session);
	const union MHD_ConnectionInfo *i =
		c ? MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT) : NULL;

	return i ? i->socket_context : NULL;
}

int intercept_certificate(gnutls_session_t session, const gnutls_datum_t *issuers, int n_issuers,
			  const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
			  gnutls_pcert_st **ret, unsigned *ret_n, gnutls_privkey_t *ret_key)
{
	struct conn *c = conn_of(session);

	(void) issuers, (void) n_issuers, (void) algorithms, (void) n_algorithms;
	if (!c || !c->certs)
		return -1;
	certificates_present(c->certs, ret, ret_n, ret_key);
	return 0;
}

__attribute__((visibility("default"))) ssize_t gnutls_record_recv(gnutls_session_t session,
								  void *data, size_t n)
{
	static recv_fn *_Atomic real;
	recv_fn *f = real;
	struct conn *c;
	ssize_t got;
	size_t pass;

	if (!f) {
		f = function_of(dlsym(RTLD_NEXT, "gnutls_record_recv"));
		real = f;
	}
	if (!f)
		return GNUTLS_E_INTERNAL_ERROR;
	got = f(session, data, n);
	if (got <= 0)
		return got;
	c = conn_of(session);
	if (!c) /* cannot be; then nothing may pass unseen */
		return GNUTLS_E_INTERNAL_ERROR;
	pass = conn_read(c, data, (size_t) got, n);
	return pass > 0 ? (ssize_t) pass : GNUTLS_E_AGAIN;
}

/* What libmicrohttpd 0.9.75 sends by: an answer's head by itself, then its body. */
static send_fn *real_send(void)
{
	static send_fn *_Atomic real;
	send_fn *f = real;

	if (!f) {
		f = sender_of(dlsym(RTLD_NEXT, "gnutls_record_send"));
		real = f;
	}
	return f;
}

static ssize_t send_now(void *session, const void *data, size_t n)
{
	return real_send()(session, data, n);
}

__attribute__((visibility("default"))) ssize_t gnutls_record_send(gnutls_session_t session,
								  const void *data, size_t n)
{
	struct conn *c = real_send() ? conn_of(session) : NULL;

	if (!real_send())
		return GNUTLS_E_INTERNAL_ERROR;
	return c ? conn_send(c, send_now, session, data, n) : real_send()(session, data, n);
}

int intercept_check(struct err *err)
{
	recv_fn *first = function_of(dlsym(RTLD_DEFAULT, "gnutls_record_recv"));

	if (first == gnutls_record_recv && dlsym(RTLD_NEXT, "gnutls_record_recv"))
		return 0;
	return err_set(err, -ENOSYS,
		       "TLS reads cannot be checked: gnutls_record_recv is another program's");
}
