/* SPDX-License-Identifier: Apache-2.0 */
/* Reaching a PostgreSQL server, understanding its failures, and finding out what became of a
 * transaction whose connection was lost. */
#include <poll.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/pg.h"

#define PAUSE_MIN_MS    20
#define PAUSE_MAX_MS    500
#define REFUSED_MAX     3
#define RESOLVE_MS      60000
#define RESOLVE_DIAL_MS 10000
#define OLDEST_SERVER   130000 /* has pg_current_xact_id() */

/* Later keywords win over the URL's, earlier ones are defaults. */
static PGconn *dial_once(const char *url)
{
	static const char *const keys[] = {
		"connect_timeout",
		"tcp_user_timeout",
		"keepalives_idle",
		"keepalives_interval",
		"target_session_attrs",
		"application_name",
		"dbname",
		"client_encoding",
		NULL,
	};
	const char *const values[] = {"10",   "30000", "30",   "10", "read-write",
				      "kiln", url,     "UTF8", NULL};

	return PQconnectdbParams(keys, values, 1);
}

static void quiet(void *arg, const char *message)
{
}

/* libpq's text ends in newlines and may have several lines. */
static void first_line(const char *text, char *dst, size_t size)
{
	(void) log_escape(text, strcspn(text, "\n"), dst, size);
}

static int64_t now_ms(void)
{
	return time_mono_ns() / 1000000;
}

/* A server that refuses for good (password, no such database) still answers a ping; one that has
 * come up in between does too. */
static bool may_come_up(const char *url)
{
	static const char *const keys[] = {"connect_timeout", "dbname", NULL};
	const char *const values[] = {"10", url, NULL};
	PGPing p = PQpingParams(keys, values, 1);

	return p == PQPING_REJECT || p == PQPING_NO_RESPONSE;
}

static int check_server(PGconn *h, struct err *err)
{
	if (PQserverVersion(h) >= OLDEST_SERVER)
		return 0;
	return err_set(err, -EPROTO, "database: PostgreSQL %d is too old, 13 or newer is needed",
		       PQserverVersion(h) / 10000);
}

int pg_dial(const char *url, int64_t wait_ms, PGconn **ret, struct err *err)
{
	int64_t end = now_ms() + wait_ms;
	int pause = PAUSE_MIN_MS, r;
	unsigned refused = 0;
	char text[512];

	for (;;) {
		PGconn *h = dial_once(url);

		if (!h)
			return err_set(err, -ENOMEM, "out of memory");
		if (PQstatus(h) == CONNECTION_OK) {
			(void) PQsetNoticeProcessor(h, quiet, NULL);
			r = check_server(h, err);
			if (r < 0)
				PQfinish(h);
			else
				*ret = h;
			return r;
		}
		first_line(PQerrorMessage(h), text, sizeof(text));
		PQfinish(h);
		if (!may_come_up(url) && ++refused == REFUSED_MAX)
			return err_set(err, -EIO, "database: %s", text);
		if (now_ms() + pause > end)
			break;
		(void) poll(NULL, 0, pause);
		pause = pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause * 2;
	}
	log_debug("db.unreachable", "cause=\"%s\"", text);
	(void) err_set(err, -EBUSY, "The database cannot be reached.");
	err_arm(err, "ServerBusy");
	return -EBUSY;
}

int pg_url_check(const char *url, struct err *err)
{
	PQconninfoOption *o = PQconninfoParse(url, NULL);
	const char *authority = strstr(url, "://") + 3;
	const char *at = memchr(authority, '@', strcspn(authority, "/?"));
	/* Not only as libpq reads it: a password with an unescaped '/' or '@' ends up elsewhere. */
	bool secret = at && memchr(authority, ':', (size_t) (at - authority));

	for (PQconninfoOption *p = o; p && p->keyword; p++)
		if (str_eq(p->keyword, "password") || str_eq(p->keyword, "sslpassword"))
			secret = secret || (p->val && *p->val);
	PQconninfoFree(o);
	if (secret) {
		(void) err_set(err, -EINVAL, "database URL: it holds a password");
		err_hint(err,
			 "Put the password into a file that only its user may read, one line "
			 "HOST:PORT:DATABASE:USER:PASSWORD, and add passfile=FILE to the URL.");
		return -EINVAL;
	}
	/* libpq's own message would quote the URL. */
	return o ? 0 : err_set(err, -EINVAL, "database URL: not a URL that PostgreSQL knows");
}

/* ---- Failures ----------------------------------------------------------------------------- */

static const struct {
	const char *state; /* SQLSTATE or the start of one */
	int code;
	bool lost;
} states[] = {
	{"23505", -EEXIST, false}, /* unique_violation */
	{"40", -EBUSY, false},     /* serialization failure, deadlock */
	{"55P03", -EBUSY, false},  /* lock_timeout */
	{"57014", -EBUSY, false},  /* statement_timeout */
	{"53100", -ENOSPC, false}, /* disk_full */
	{"53200", -ENOMEM, false}, /* out_of_memory */
	{"53", -EBUSY, false},     /* too many of something */
	{"25006", -EBUSY, true},   /* a standby took this server's place */
	{"25P03", -EBUSY, true},   /* idle_in_transaction_session_timeout */
	{"57P", -EBUSY, true},     /* the server is shutting down */
	{"08", -EBUSY, true},      /* connection exceptions */
	{"22", -EINVAL, false},    /* a value that the database cannot hold */
};

int pg_fail(struct db_conn *c, PGconn *h, const PGresult *res, const char *what, struct err *err)
{
	const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	bool lost = PQstatus(h) != CONNECTION_OK;
	int code = lost ? -EBUSY : -EIO;
	char text[512];

	for (size_t i = 0; state && i < ARRAY_SIZE(states); i++)
		if (str_starts(state, states[i].state)) {
			code = states[i].code;
			lost = lost || states[i].lost;
			break;
		}
	c->doomed = true;
	c->broken = c->broken || lost;
	if (code != -EBUSY) {
		first_line(PQerrorMessage(h), text, sizeof(text));
		return err_set(err, code, "database: %s: %s", what, text);
	}
	(void) err_set(err, code, "The database %s (%s, %s).",
		       lost ? "went away" : "is busy with what excludes this", what,
		       state ? state : "no answer");
	err_arm(err, "ServerBusy"); /* no fault of the one who asks */
	return code;
}

/* ---- The fate of a transaction ------------------------------------------------------------ */

enum fate { FATE_UNKNOWN, FATE_RUNNING, FATE_COMMITTED, FATE_ABORTED };

static enum fate ask_fate(PGconn *h, const char *xid)
{
	const char *const p[] = {xid};
	PGresult *res =
		PQexecParams(h, "SELECT pg_xact_status($1::xid8)", 1, NULL, p, NULL, NULL, 0);
	const char *s = PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1
				? PQgetvalue(res, 0, 0)
				: "";
	enum fate f = str_eq(s, "committed")     ? FATE_COMMITTED
		      : str_eq(s, "aborted")     ? FATE_ABORTED
		      : str_eq(s, "in progress") ? FATE_RUNNING
						 : FATE_UNKNOWN;

	PQclear(res);
	return f;
}

/* The server may not have noticed that the connection is gone; until it has, the transaction and
 * its locks stay. A backend that is in the middle of its COMMIT finishes that. */
static void end_backend(PGconn *h, const char *xid)
{
	const char *const p[] = {xid};

	PQclear(PQexecParams(h,
			     "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
			     " WHERE backend_xid = $1::xid8::xid AND usename = current_user",
			     1, NULL, p, NULL, NULL, 0));
}

int pg_resolve(const char *url, const char *xid, struct err *err)
{
	int64_t end = now_ms() + RESOLVE_MS;
	enum fate f = FATE_UNKNOWN;

	while (f != FATE_COMMITTED && f != FATE_ABORTED && now_ms() < end) {
		PGconn *h = NULL;

		if (pg_dial(url, RESOLVE_DIAL_MS, &h, NULL) >= 0) {
			f = ask_fate(h, xid);
			if (f == FATE_RUNNING)
				end_backend(h, xid);
			PQfinish(h);
		}
		if (f != FATE_COMMITTED && f != FATE_ABORTED)
			(void) poll(NULL, 0, PAUSE_MIN_MS);
	}
	if (f == FATE_COMMITTED)
		return 0;
	if (f == FATE_ABORTED) {
		(void) err_set(err, -EBUSY, "The database went away and undid the change.");
		err_arm(err, "ServerBusy");
		return -EBUSY;
	}
	return err_set(err, -ETIMEDOUT,
		       "the database went away during a commit; whether the change was made is not"
		       " known");
}
