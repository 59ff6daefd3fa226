/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of server/ share. */
#ifndef KILN_SERVER_INTERNAL_H
#define KILN_SERVER_INTERNAL_H

#include <sys/un.h>

#include "base/buf.h"
#include "server/access.h"
#include "server/conn.h"
#include "server/metrics.h"
#include "server/pool.h"
#include "server/quota.h"
#include "server/server.h"

struct certificates; /* certificates.c */

struct server {
	struct server_config config;
	const struct server_settings *settings;
	struct MHD_Daemon *tls, *local;
	struct certificates *certs;
	struct conns *conns;
	struct pool *pool;
	struct quota *quota;
	struct metrics *metrics;
	struct access_log *log;
	_Atomic uint64_t body_bytes; /* of all bodies that are being received or handled */
	_Atomic bool stopping;
	int wake_fd; /* datagrams to the worker, or -1 */
	struct sockaddr_un wake;
};

/* Who answers a request. */
enum exchange_kind {
	EXCHANGE_ARM,
	EXCHANGE_PORT,
	EXCHANGE_LOGIN,
	EXCHANGE_HEALTH,
	EXCHANGE_METRICS,
	EXCHANGE_REFUSED, /* decided by what came before */
};

/* One request and its answer. Belongs to the connection's thread, or while it is suspended to one
 * of the pool. */
struct exchange {
	struct server *server;
	struct MHD_Connection *mhd;
	struct conn *conn;    /* NULL once the connection could not be told */
	char *raw;            /* owned: the target as it came */
	const char *target;   /* within @raw: path and query */
	const char *method;   /* libmicrohttpd's, as long as the request */
	const char *host;     /* the same; may be NULL */
	const char *base_url; /* of links in the answer, or NULL; the connection's */
	enum exchange_kind kind;
	bool begun, done, reads;
	struct buf body;
	uint64_t reserved; /* of the budget for bodies */
	int64_t start_ns;
	struct login_identity identity;
	bool has_identity;
	const struct arm_principal *who; /* or NULL */
	int64_t quota_left;              /* -1: not counted */
	const char *type;                /* for metrics */
	/* the answer */
	struct arm_response res;
	struct login_response login;
	const char *code; /* of a refusal, or NULL */
	struct buf text;  /* body of a refusal or of metrics */
	const char *text_type;
	char request_id[UUID_STR_LEN];
	char *challenge; /* owned: WWW-Authenticate */
	unsigned retry_after_s;
	bool close;   /* the connection ends with this answer */
	bool streams; /* the body is made while it is sent */
	int status;
	uint64_t bytes_out;
};

/* ---- exchange.c: callbacks for libmicrohttpd ----------------------------------------------- */

void *exchange_begin(void *cls, const char *uri, struct MHD_Connection *c);
enum MHD_Result exchange_handle(void *cls, struct MHD_Connection *c, const char *url,
				const char *method, const char *version, const char *data,
				size_t *data_bytes, void **ctx);
void exchange_end(void *cls, struct MHD_Connection *c, void **ctx,
		  enum MHD_RequestTerminationCode why);
/** exchange_header() - by name without case; those that name who asks are never found. */
const char *exchange_header(void *arg, const char *name);
/** exchange_known() - the same for names of this server's own choice, which are none of those. */
const char *exchange_known(const struct exchange *e, const char *name);

/* ---- check.c: before the body is read ------------------------------------------------------ */

/** check_request() - framing, limits, who asks, quota. Refusals are noted in @e. */
void check_request(struct exchange *e);
/** exchange_refuse() - answer with an ARM error; @close: and end the connection. Texts are static.
 */
void exchange_refuse(struct exchange *e, int status, const char *code, const char *message,
		     bool close);

/* ---- answer.c ------------------------------------------------------------------------------ */

/** answer_make() - do what is asked; may wait. Fills the answer's fields. */
void answer_make(struct exchange *e);

/* ---- respond.c ----------------------------------------------------------------------------- */

/** respond() - queue the answer. */
enum MHD_Result respond(struct exchange *e);

#endif
