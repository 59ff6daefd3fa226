/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/jobs.h"

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/jobs_internal.h"
#include "meta/row.h"

void job_row_done(struct job_row *j)
{
	free(j->id);
	free(j->parent);
	json_decref(j->params);
	json_decref(j->checkpoint);
	*j = (struct job_row){0};
}

int job_create(struct meta *m, const char *id, const char *parent, const json_t *params,
	       const struct job_need *need, struct err *err)
{
	static const struct job_need none = {.share = NULL};
	const struct job_need *n = need ? need : &none;
	auto_free char *text = NULL;
	int64_t seq;
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	r = json_column(params, &text);
	if (r >= 0)
		r = counter_next(m, "job", &seq, err);
	if (r >= 0) {
		struct db_value p[] = {
			DBT(id),       DBI(seq),     DBT(parent),          DBT(text),
			DBT(n->share), DBI(n->cpus), DBI(n->memory_bytes), DBI(n->disk_bytes)};

		r = exec_sql(m,
			     "INSERT INTO job (id, seq, parent, params, token, lease_us, share,"
			     " cpus, memory_bytes, disk_bytes)"
			     " VALUES (?, ?, ?, ?, 0, 0, ?, ?, ?, ?)",
			     p, ARRAY_SIZE(p), NULL, err);
	}
	return tx_end(m, r, err);
}

static int row_params(void *arg, const struct db_row *row)
{
	return row_json(row, 0, arg);
}

int job_params(struct meta *m, const char *id, json_t **ret, struct err *err)
{
	struct db_value p[] = {DBT(id)};

	*ret = NULL;
	return db_query(meta_db(m), "SELECT params FROM job WHERE id = ?", p, 1, row_params, ret,
			NULL, err);
}

static int row_counts(void *arg, const struct db_row *row)
{
	int64_t *n = arg;

	n[0] = db_col_int(row, 0);
	n[1] = db_col_int(row, 1);
	return 0;
}

int job_counts(struct meta *m, uint64_t *ret_queued, uint64_t *ret_running, struct err *err)
{
	struct db_value p[] = {DBI(time_now_us())};
	int64_t n[2] = {0};
	int r = db_query(meta_db(m),
			 "SELECT count(*), count(CASE WHEN lease_us > ? THEN 1 END) FROM job", p, 1,
			 row_counts, n, NULL, err);

	if (r < 0)
		return r;
	*ret_queued = (uint64_t) (n[0] - n[1]);
	*ret_running = (uint64_t) n[1];
	return 0;
}

/* Columns: id, owner, lease_us, token. */
static int row_pick(void *arg, const struct db_row *row)
{
	struct pick *p = arg;
	const char *owner = db_col_text(row, 1);
	int r;

	if (owner && db_col_int(row, 2) > p->now_us && p->c->alive(p->c->alive_arg, owner))
		return 0;
	p->token = db_col_int(row, 3);
	r = row_str(row, 0, &p->id);
	return r < 0 ? r : 1;
}

#define PICK "SELECT id, owner, lease_us, token FROM job WHERE share IS NULL AND "
/* A job with a parent belongs to the parent's worker, which asks for it by id; it is anybody's once
 * the parent has ended without finishing it. */
#define ANYBODYS                                                                                   \
	" AND (parent IS NULL OR NOT EXISTS (SELECT 1 FROM operation"                              \
	" WHERE operation.id = job.parent AND operation.state = 0)) ORDER BY seq"

/* First those whose holder has died, of whom there are no more than workers; then the oldest one
 * that nobody holds and that no other claim is looking at. */
static int pick_any(struct meta *m, struct pick *k, struct err *err)
{
	auto_free char *due =
		strf(PICK "lease_us <= ?" ANYBODYS " LIMIT 1%s", db_lock(meta_db(m), DB_LOCK_SKIP));
	struct db_value p[] = {DBI(k->now_us)};
	int r;

	if (!due)
		return err_set(err, -ENOMEM, "out of memory");
	r = db_query(meta_db(m), PICK "lease_us > ?" ANYBODYS, p, 1, row_pick, k, NULL, err);
	return r != 0 ? r : db_query(meta_db(m), due, p, 1, row_pick, k, NULL, err);
}

/* Light jobs first: they are short, and nobody should wait for them long. */
static int pick(struct meta *m, struct pick *k, struct err *err)
{
	struct db_value p[] = {DBT(k->c->id)};
	int r = k->c->id ? db_query(meta_db(m), PICK "id = ?", p, 1, row_pick, k, NULL, err)
			 : pick_any(m, k, err);

	k->ahead = -1;
	if (r >= 0 && !k->id)
		r = pick_heavy(m, k, err);
	return r < 0 ? r : k->id ? 0 : -EAGAIN;
}

static int row_claimed(void *arg, const struct db_row *row)
{
	struct job_row *j = arg;
	int r = row_str(row, 0, &j->id);

	if (r >= 0)
		r = row_str(row, 1, &j->parent);
	if (r >= 0)
		r = row_json(row, 2, &j->params);
	if (r >= 0)
		r = row_json(row, 3, &j->checkpoint);
	j->token = db_col_int(row, 4);
	return r;
}

/* @heavy: what the look before found, and what this transaction is therefore good for. */
static int claim(struct meta *m, const struct job_claim *c, bool heavy, struct job_row *ret,
		 struct err *err)
{
	struct pick k = {.c = c, .now_us = time_now_us()};
	int r = pick(m, &k, err);
	auto_free char *id = k.id;

	if (r >= 0 && k.heavy != heavy)
		r = -EAGAIN;
	if (r < 0)
		return r;

	struct db_value p[] = {DBT(c->owner), DBI(k.now_us + c->lease_us), DBT(id), DBI(k.token)};
	struct db_value q[] = {DBI(k.now_us), DBT(id)};

	/* The token is that of the row that was looked at: another claim may have been quicker. */
	r = db_query(meta_db(m),
		     "UPDATE job SET token = token + 1, owner = ?, lease_us = ?, waiter = NULL"
		     " WHERE id = ? AND token = ? RETURNING id, parent, params, checkpoint, token",
		     p, ARRAY_SIZE(p), row_claimed, ret, NULL, err);
	if (r >= 0 && !ret->id)
		return -EAGAIN;
	if (r >= 0)
		r = exec_sql(m,
			     "UPDATE operation SET started_us = ? WHERE id = ? AND started_us = 0",
			     q, ARRAY_SIZE(q), NULL, err);
	return r;
}

/* Others see by it that the job is waited for. */
static int note_waiter(struct meta *m, const struct pick *k, struct err *err)
{
	struct db_value p[] = {DBT(k->c->owner), DBT(k->c->id)};
	int r = db_begin_rows(meta_db(m), err);

	if (r < 0)
		return r;
	r = exec_sql(m, "UPDATE job SET waiter = ? WHERE id = ?", p, ARRAY_SIZE(p), NULL, err);
	r = tx_end(m, r, err);
	return r < 0 ? r : -EAGAIN;
}

/* Heavy jobs are weighed against all others: that takes the transaction that excludes writers. */
int job_lease(struct meta *m, const struct job_claim *c, struct job_row *ret, struct err *err)
{
	struct pick k = {.c = c, .now_us = time_now_us()};
	struct job_row j = {0};
	int r = pick(m, &k, err); /* workers that find nothing to do take nobody's turn to write */

	free(k.id);
	if (c->ret_ahead)
		*c->ret_ahead = k.ahead;
	if (r == -EAGAIN && k.waits && !k.noted)
		return note_waiter(m, &k, err);
	if (r >= 0)
		r = k.heavy ? db_begin(meta_db(m), err) : db_begin_rows(meta_db(m), err);
	if (r < 0)
		return r;
	r = tx_end(m, claim(m, c, k.heavy, &j, err), err);
	if (r < 0) {
		job_row_done(&j);
		return r;
	}
	*ret = j;
	return 0;
}

static int stale(const char *id, struct err *err)
{
	return err_set(err, -ESTALE, "another worker has taken over operation \"%.100s\"", id);
}

static int row_there(void *arg, const struct db_row *row)
{
	return 1;
}

/* The row stays locked, so that a claim waits for the end of what is fenced. */
int job_fence(struct meta *m, const char *id, int64_t token, struct err *err)
{
	auto_free char *sql = strf("SELECT token FROM job WHERE id = ? AND token = ?%s",
				   db_lock(meta_db(m), DB_LOCK_WAIT));
	struct db_value p[] = {DBT(id), DBI(token)};
	int r = sql ? db_query(meta_db(m), sql, p, ARRAY_SIZE(p), row_there, NULL, NULL, err)
		    : err_set(err, -ENOMEM, "out of memory");

	return r < 0 ? r : r > 0 ? 0 : stale(id, err);
}

int job_is_child(struct meta *m, const char *id, const char *parent, bool *ret, struct err *err)
{
	struct db_value p[] = {DBT(id), DBT(parent)};
	int64_t n = 0;
	int r = db_query(meta_db(m), "SELECT COUNT(*) FROM job WHERE id = ? AND parent = ?", p,
			 ARRAY_SIZE(p), row_int, &n, NULL, err);

	*ret = n > 0;
	return r;
}

int job_renew(struct meta *m, const char *id, int64_t token, int64_t lease_us, int64_t percent,
	      bool *ret_cancel, struct err *err)
{
	struct db_value p[] = {DBI(time_now_us() + lease_us), DBT(id), DBI(token)};
	struct db_value q[] = {DBI(percent), DBT(id)};
	int64_t n = 0, cancel = 0;
	int r = db_begin_rows(meta_db(m), err);

	if (r < 0)
		return r;
	r = exec_sql(m, "UPDATE job SET lease_us = ? WHERE id = ? AND token = ?", p, ARRAY_SIZE(p),
		     &n, err);
	if (r >= 0 && n == 0)
		r = stale(id, err);
	if (r >= 0)
		r = db_query(meta_db(m),
			     "UPDATE operation SET percent = ? WHERE id = ? RETURNING cancel", q,
			     ARRAY_SIZE(q), row_int, &cancel, NULL, err);
	r = tx_end(m, r, err);
	if (r >= 0)
		*ret_cancel = cancel != 0;
	return r;
}

/* An UPDATE or DELETE that ends in "id = ? AND token = ?". */
static int fenced(struct meta *m, const char *sql, const struct db_value *p, size_t n,
		  const char *id, struct err *err)
{
	int64_t changes = 0;
	int r = db_begin_rows(meta_db(m), err);

	if (r < 0)
		return r;
	r = exec_sql(m, sql, p, n, &changes, err);
	if (r >= 0 && changes == 0)
		r = stale(id, err);
	return tx_end(m, r, err);
}

int job_checkpoint(struct meta *m, const char *id, int64_t token, const json_t *state,
		   struct err *err)
{
	auto_free char *text = NULL;

	if (json_column(state, &text) < 0)
		return err_set(err, -ENOMEM, "out of memory");

	struct db_value p[] = {DBT(text), DBT(id), DBI(token)};

	return fenced(m, "UPDATE job SET checkpoint = ? WHERE id = ? AND token = ?", p,
		      ARRAY_SIZE(p), id, err);
}

int job_release(struct meta *m, const char *id, int64_t token, struct err *err)
{
	struct db_value p[] = {DBT(id), DBI(token)};

	return fenced(m, "UPDATE job SET owner = NULL, lease_us = 0 WHERE id = ? AND token = ?", p,
		      ARRAY_SIZE(p), id, err);
}

int job_remove(struct meta *m, const char *id, int64_t token, struct err *err)
{
	struct db_value p[] = {DBT(id), DBI(token)};

	return fenced(m, "DELETE FROM job WHERE id = ? AND token = ?", p, ARRAY_SIZE(p), id, err);
}
