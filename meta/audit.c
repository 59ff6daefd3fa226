/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/audit.h"

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/row.h"
#include "meta/schema.h"

const char *const schema_audit[] = {
	"CREATE TABLE audit ("
	" seq BIGINT PRIMARY KEY, record TEXT NOT NULL, hash TEXT NOT NULL)",
	"CREATE TABLE audit_head ("
	" one BIGINT PRIMARY KEY, seq BIGINT NOT NULL, hash TEXT NOT NULL)",
	"INSERT INTO audit_head (one, seq, hash) VALUES (1, 0,"
	" '0000000000000000000000000000000000000000000000000000000000000000')",
	NULL,
};

#define RECORD_MAX (64u << 10) /* bytes of a record's canonical text */
#define PAGE       500

/* SHA-256 of "kiln-audit\0", the hash before in binary, and the record's text. The number is in
 * the record. */
static int chain(const struct digest *before, const char *text, struct digest *ret)
{
	static const char domain[] = "kiln-audit";
	struct sha256_ctx *c = sha256_new();

	if (!c)
		return -ENOMEM;
	sha256_add(c, domain, sizeof(domain));
	sha256_add(c, before->b, sizeof(before->b));
	sha256_add(c, text, strlen(text));
	sha256_end(c, ret);
	return 0;
}

static int row_head(void *arg, const struct db_row *row)
{
	struct audit_head *h = arg;
	const char *hash = db_col_text(row, 1);

	h->seq = db_col_int(row, 0);
	return hash && digest_parse(hash, &h->hash) >= 0 ? 1 : -EBADMSG;
}

/* The UPDATE takes the lock that orders concurrent writers. */
static int lock_head(struct meta *m, struct audit_head *ret, struct err *err)
{
	int r = db_query(meta_db(m),
			 "UPDATE audit_head SET seq = seq WHERE one = 1 RETURNING seq, hash", NULL,
			 0, row_head, ret, NULL, err);

	return r == 1 ? 0 : r < 0 ? r : err_set(err, -EBADMSG, "the audit log has lost its head");
}

int audit_head(struct meta *m, struct audit_head *ret, struct err *err)
{
	int r = db_query(meta_db(m), "SELECT seq, hash FROM audit_head WHERE one = 1", NULL, 0,
			 row_head, ret, NULL, err);

	return r == 1 ? 0 : r < 0 ? r : err_set(err, -EBADMSG, "the audit log has lost its head");
}

static int record_text(const json_t *record, int64_t seq, struct buf *out)
{
	auto_json json_t *j = json_copy((json_t *) (uintptr_t) record);
	char iso[ISO_MAX];

	if (!j || json_object_set_new(j, "seq", json_integer(seq)) < 0 ||
	    json_object_set_new(j, "time", json_string(time_iso(time_now_us(), iso))) < 0)
		return -ENOMEM;
	return json_canonical(j, out);
}

static int append(struct meta *m, const json_t *record, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(RECORD_MAX + 1);
	struct audit_head head;
	struct digest hash;
	char hex[DIGEST_HEX];
	int r = lock_head(m, &head, err);

	if (r < 0)
		return r;
	r = record_text(record, head.seq + 1, &text);
	if (r >= 0)
		r = chain(&head.hash, buf_str(&text), &hash);
	if (r < 0)
		return err_set(err, r, "audit record: %s", strerrordesc_np(-r));
	digest_hex(&hash, hex);

	struct db_value p[] = {DBI(head.seq + 1), DBT(buf_str(&text)), DBT(hex)};
	struct db_value q[] = {DBI(head.seq + 1), DBT(hex)};

	r = exec_sql(m, "INSERT INTO audit (seq, record, hash) VALUES (?, ?, ?)", p, ARRAY_SIZE(p),
		     NULL, err);
	if (r >= 0)
		r = exec_sql(m, "UPDATE audit_head SET seq = ?, hash = ? WHERE one = 1", q,
			     ARRAY_SIZE(q), NULL, err);
	return r;
}

int audit_add(struct meta *m, const json_t *record, struct err *err)
{
	int r = meta_begin(m, err);

	return r < 0 ? r : tx_end(m, append(m, record, err), err);
}

struct verify {
	struct audit_head at;
	const struct audit_head *expect;
	size_t n;
	unsigned rows;
	struct err *err;
};

static int check_expected(const struct verify *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->expect[i].seq == v->at.seq && !digest_eq(&v->expect[i].hash, &v->at.hash))
			return err_set(v->err, -EBADMSG,
				       "audit row %lld differs from the head noted earlier",
				       (long long) v->at.seq);
	return 0;
}

static int row_verify(void *arg, const struct db_row *row)
{
	struct verify *v = arg;
	int64_t seq = db_col_int(row, 0);
	const char *text = db_col_text(row, 1), *hex = db_col_text(row, 2);
	auto_json json_t *j = NULL;
	struct digest want, have;
	int r;

	if (seq != v->at.seq + 1)
		return err_set(v->err, -EBADMSG, "audit row %lld is missing",
			       (long long) v->at.seq + 1);
	r = text ? chain(&v->at.hash, text, &want) : -EBADMSG;
	if (r == -ENOMEM)
		return err_set(v->err, r, "out of memory");
	if (r < 0 || !hex || digest_parse(hex, &have) < 0 || !digest_eq(&want, &have))
		return err_set(v->err, -EBADMSG, "audit row %lld was changed", (long long) seq);
	r = row_json(row, 1, &j);
	if (r < 0 || json_int_at(j, "seq", 0) != seq)
		return err_set(v->err, r == -ENOMEM ? r : -EBADMSG,
			       "audit row %lld does not carry its number", (long long) seq);
	v->at = (struct audit_head){seq, have};
	v->rows++;
	return check_expected(v);
}

/* From @v->at to the end. */
static int verify_rest(struct meta *m, struct verify *v, struct err *err)
{
	struct audit_head head;
	int r = 0;

	do {
		struct db_value p[] = {DBI(v->at.seq), DBI(PAGE)};

		v->rows = 0;
		r = db_query(meta_db(m),
			     "SELECT seq, record, hash FROM audit WHERE seq > ? ORDER BY seq"
			     " LIMIT ?",
			     p, ARRAY_SIZE(p), row_verify, v, NULL, err);
	} while (r >= 0 && v->rows == PAGE);
	if (r >= 0)
		r = audit_head(m, &head, err);
	if (r < 0)
		return r;
	if (head.seq != v->at.seq || !digest_eq(&head.hash, &v->at.hash))
		return err_set(err, -EBADMSG, "the audit log ends at row %lld, its head says %lld",
			       (long long) v->at.seq, (long long) head.seq);
	for (size_t i = 0; i < v->n; i++)
		if (v->expect[i].seq > v->at.seq)
			return err_set(err, -EBADMSG, "audit rows up to %lld are gone",
				       (long long) v->expect[i].seq);
	return 0;
}

int audit_verify(struct meta *m, const struct audit_head *expect, size_t n, int64_t *ret_rows,
		 struct err *err)
{
	struct verify v = {.expect = expect, .n = n, .err = err};
	int r = db_begin_read(meta_db(m), err); /* rows and head as of one moment */

	if (r < 0)
		return r;
	r = tx_end(m, verify_rest(m, &v, err), err);
	if (r >= 0 && ret_rows)
		*ret_rows = v.at.seq;
	return r;
}

static int row_hash(void *arg, const struct db_row *row)
{
	struct digest *d = arg;
	const char *hex = db_col_text(row, 0);

	return hex && digest_parse(hex, d) >= 0 ? 1 : -EBADMSG;
}

static int extend(struct meta *m, struct verify *v, struct err *err)
{
	struct db_value p[] = {DBI(v->at.seq)};
	struct digest have = {0};
	int r = v->at.seq == 0 ? 1
			       : db_query(meta_db(m), "SELECT hash FROM audit WHERE seq = ?", p, 1,
					  row_hash, &have, NULL, err);

	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, -EBADMSG, "audit rows up to %lld are gone",
			       (long long) v->at.seq);
	if (!digest_eq(&have, &v->at.hash))
		return err_set(err, -EBADMSG, "audit row %lld differs from the head noted earlier",
			       (long long) v->at.seq);
	return verify_rest(m, v, err);
}

int audit_extend(struct meta *m, const struct audit_head *from, struct audit_head *ret,
		 struct err *err)
{
	struct verify v = {.at = *from, .err = err};
	int r = db_begin_read(meta_db(m), err);

	if (r < 0)
		return r;
	r = tx_end(m, extend(m, &v, err), err);
	if (r >= 0)
		*ret = v.at;
	return r;
}

struct each {
	audit_fn *fn;
	void *arg;
};

static int row_each(void *arg, const struct db_row *row)
{
	struct each *e = arg;
	auto_json json_t *j = NULL;
	int r = row_json(row, 1, &j);

	return r < 0 ? r : e->fn(e->arg, db_col_int(row, 0), j);
}

int audit_each(struct meta *m, int64_t after, unsigned limit, audit_fn *fn, void *arg,
	       struct err *err)
{
	struct each e = {fn, arg};
	struct db_value p[] = {DBI(after), DBI(limit)};

	return db_query(meta_db(m),
			"SELECT seq, record FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", p,
			ARRAY_SIZE(p), row_each, &e, NULL, err);
}

int audit_back(struct meta *m, int64_t before, unsigned limit, audit_fn *fn, void *arg,
	       struct err *err)
{
	struct each e = {fn, arg};
	struct db_value p[] = {DBI(before), DBI(limit)};

	return db_query(meta_db(m),
			"SELECT seq, record FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?", p,
			ARRAY_SIZE(p), row_each, &e, NULL, err);
}
