/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/audit_seal.h"

#include <inttypes.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signkey.h"

#define PURPOSE   "kiln-audit-checkpoint"
#define NAME_MAX_ 80
#define MARK_MAX  4096
#define KEEP      16 /* checkpoints of this installation in a region */

/* "audit.KEYID.GENERATION.ROW.json", both numbers in 16 hex digits: names sort as they follow. */
static void name_of(const char *key_id, uint64_t generation, int64_t seq, char dst[NAME_MAX_])
{
	(void) snprintf(dst, NAME_MAX_, "audit.%s.%016" PRIx64 ".%016" PRIx64 ".json", key_id,
			generation, (uint64_t) seq);
}

static int open_key(const struct app *a, bool make, struct signkey **ret, struct err *err)
{
	auto_free char *path = path_join(a->data_dir, "audit.key");

	return path ? signkey_open(path, make, ret, err) : err_set(err, -ENOMEM, "audit.key");
}

/* ---- One checkpoint ------------------------------------------------------------------------- */

static json_t *point_json(const struct seal_point *p, const char *key_id)
{
	char hex[DIGEST_HEX];

	return json_pack("{s:I, s:I, s:s, s:s, s:s}", "generation", (json_int_t) p->generation,
			 "records", (json_int_t) p->head.seq, "hash",
			 digest_hex(&p->head.hash, hex), "time", p->time, "key", key_id);
}

static char *point_text(const struct seal_point *p, const struct signkey *key)
{
	auto_json json_t *j = point_json(p, signkey_id(key));
	auto_buf struct buf b = BUF_INIT(MARK_MAX);
	auto_free char *sig = NULL;
	auto_json json_t *whole = NULL;

	if (!j || json_canonical(j, &b) < 0)
		return NULL;
	sig = signkey_sign(key, PURPOSE, b.data, b.len);
	whole = sig ? json_pack("{s:O, s:s}", "checkpoint", j, "signature", sig) : NULL;
	return whole ? json_compact(whole) : NULL;
}

static int point_parse(const struct buf *text, const struct signkey *key, const char *name,
		       struct seal_point *ret)
{
	auto_json json_t *j = NULL;
	auto_buf struct buf b = BUF_INIT(MARK_MAX);
	const json_t *p;
	char again[NAME_MAX_];
	const char *hash, *time;

	if (json_parse(text->data, text->len, &j, NULL) < 0)
		return -EBADMSG;
	p = json_object_get(j, "checkpoint");
	hash = json_str_at(p, "hash");
	time = json_str_at(p, "time");
	if (!p || json_canonical(p, &b) < 0 || !hash || !time || strlen(time) >= ISO_MAX ||
	    digest_parse(hash, &ret->head.hash) < 0 ||
	    signkey_verify(key, PURPOSE, b.data, b.len, json_str_at(j, "signature")) < 0)
		return -EBADMSG;
	ret->generation = (uint64_t) json_int_at(p, "generation", 0);
	ret->head.seq = json_int_at(p, "records", -1);
	(void) snprintf(ret->time, sizeof(ret->time), "%s", time);
	name_of(signkey_id(key), ret->generation, ret->head.seq, again);
	return ret->head.seq >= 0 && str_eq(again, name) ? 0 : -EBADMSG;
}

/* ---- Those of a region ---------------------------------------------------------------------- */

struct names {
	char prefix[NAME_MAX_];
	char **v;
};

static int take_name(void *arg, const char *name)
{
	struct names *n = arg;

	return str_starts(name, n->prefix) && strlen(name) < NAME_MAX_ ? strv_push(&n->v, name) : 0;
}

static int newest_first(const void *a, const void *b)
{
	return strcmp(*(char *const *) b, *(char *const *) a);
}

static int names_load(struct app *a, unsigned region, const struct signkey *key, struct names *ret,
		      struct err *err)
{
	int r;

	(void) snprintf(ret->prefix, sizeof(ret->prefix), "audit.%s.", signkey_id(key));
	r = store_mark_list(a->store, region, take_name, ret, err);
	if (r >= 0 && ret->v)
		qsort(ret->v, strv_len(ret->v), sizeof(*ret->v), newest_first);
	return r;
}

/* The newest that this installation signed; -ENOENT. A name that is ours with bytes that are not
 * fails when @strict, else it is passed over. */
static int newest(struct app *a, unsigned region, const struct signkey *key, bool strict,
		  struct seal_point *ret, struct err *err)
{
	struct names names = {0};
	int r = names_load(a, region, key, &names, err);

	for (char **n = names.v; r >= 0 && n && *n; n++) {
		auto_buf struct buf text = BUF_INIT(MARK_MAX);

		r = store_mark_get(a->store, region, *n, &text, err);
		if (r == -ENOENT) { /* pruned since */
			err_done(err);
			r = 0;
			continue;
		}
		if (r >= 0 && point_parse(&text, key, *n, ret) == 0)
			goto out;
		if (r >= 0 && strict)
			r = err_set(err, -EBADMSG,
				    "region %s: the checkpoint %s is not what this installation"
				    " signed",
				    a->regions[region].name, *n);
		else if (r >= 0)
			log_warn("audit.checkpoint", "region=%s name=%s error=not-ours",
				 a->regions[region].name, *n);
	}
	if (r >= 0)
		r = -ENOENT;
out:
	ret->region = region;
	strv_free(names.v);
	return r;
}

/* Oldest ones go; the newest speaks for them. */
static void prune(struct app *a, unsigned region, const struct signkey *key)
{
	auto_err struct err e = ERR_INIT;
	struct names names = {0};
	int r = names_load(a, region, key, &names, &e);

	for (size_t i = KEEP; r >= 0 && i < strv_len(names.v); i++)
		r = store_mark_remove(a->store, region, names.v[i], &e);
	if (r < 0)
		log_warn("audit.checkpoint", "region=%s error=%s", a->regions[region].name,
			 err_str(&e));
	strv_free(names.v);
}

static bool later(const struct seal_point *a, const struct seal_point *b)
{
	return a->generation != b->generation ? a->generation > b->generation
					      : a->head.seq > b->head.seq;
}

/* ---- Sealing -------------------------------------------------------------------------------- */

static int put_one(struct app *a, unsigned region, const struct signkey *key, const char *name,
		   const char *text, struct err *err)
{
	int r = store_mark_put(a->store, region, name, text, err);

	if (r == -EEXIST) { /* another process was first */
		err_done(err);
		return 0;
	}
	if (r >= 0)
		prune(a, region, key);
	return r;
}

/* To every region whose newest is an older one. */
static int put_all(struct app *a, const struct signkey *key, const struct seal_point *p,
		   struct err *err)
{
	auto_free char *text = point_text(p, key);
	char name[NAME_MAX_];
	int first = 0;

	if (!text)
		return err_set(err, -ENOMEM, "audit checkpoint");
	name_of(signkey_id(key), p->generation, p->head.seq, name);
	for (unsigned i = 0; i < a->n_regions; i++) {
		auto_err struct err e = ERR_INIT;
		struct seal_point have;
		int r;

		if (a->regions[i].draining)
			continue;
		r = newest(a, i, key, false, &have, &e);
		if (r == -ENOENT || (r >= 0 && later(p, &have)))
			r = put_one(a, i, key, name, text, &e);
		if (r >= 0)
			continue;
		log_warn("audit.checkpoint", "region=%s error=%s", a->regions[i].name, err_str(&e));
		if (first == 0) {
			first = r;
			if (err)
				err_move(err, &e);
		}
	}
	return first;
}

static int newest_of_all(struct app *a, const struct signkey *key, struct seal_point *ret,
			 struct err *err)
{
	bool any = false;

	for (unsigned i = 0; i < a->n_regions; i++) {
		auto_err struct err e = ERR_INIT;
		struct seal_point p;
		int r = newest(a, i, key, false, &p, &e);

		if (r == -ENOMEM)
			return err_set(err, r, "audit checkpoint");
		if (r < 0 && r != -ENOENT) /* a region that cannot be read: the others decide */
			log_warn("audit.checkpoint", "region=%s error=%s", a->regions[i].name,
				 err_str(&e));
		if (r < 0 || (any && !later(&p, ret)))
			continue;
		*ret = p;
		any = true;
	}
	return any ? 0 : -ENOENT;
}

static int seal(struct app *a, const struct signkey *key, struct err *err)
{
	struct seal_point last = {0}, next;
	int r = newest_of_all(a, key, &last, err);

	if (r < 0 && r != -ENOENT)
		return r;
	next = last;
	r = audit_extend(a->meta, &last.head, &next.head, err);
	if (r < 0)
		return err_ctx(err, r, "no checkpoint of the audit log is made after that of %s",
			       last.time);
	if (next.head.seq == 0)
		return 0;
	if (next.head.seq != last.head.seq)
		(void) time_iso(time_now_us(), next.time);
	r = put_all(a, key, &next, err);
	if (r >= 0)
		a->sealed_seq = next.head.seq;
	return r;
}

int audit_seal(struct app *a, struct err *err)
{
	struct signkey *key = NULL;
	int r = open_key(a, true, &key, err);

	if (r >= 0)
		r = seal(a, key, err);
	signkey_free(key);
	return r;
}

int audit_seal_look(struct app *a, struct err *err)
{
	int64_t now = time_mono_ns();
	struct audit_head head;
	int r = audit_head(a->meta, &head, err);

	if (r < 0 || (head.seq - a->sealed_seq < SEAL_ROWS && now < a->seal_due_ns))
		return r;
	a->seal_due_ns = now + SEAL_MS * INT64_C(1000000);
	return audit_seal(a, err);
}

void audit_seal_end(struct app *a)
{
	auto_err struct err e = ERR_INIT;
	struct audit_head head;
	int r = audit_head(a->meta, &head, &e);

	if (r >= 0 && head.seq != a->sealed_seq)
		r = audit_seal(a, &e);
	if (r < 0)
		log_warn("audit.checkpoint", "error=%s", err_str(&e));
}

/* ---- Checking and accepting ----------------------------------------------------------------- */

static int collect(struct app *a, const struct signkey *key, struct seal_point *v, size_t *n,
		   struct err *err)
{
	uint64_t generation = 0;
	size_t kept = 0;

	for (unsigned i = 0; i < a->n_regions; i++) {
		int r = newest(a, i, key, true, &v[*n], err);

		if (r < 0 && r != -ENOENT)
			return r;
		if (r == -ENOENT)
			continue;
		if (v[*n].generation > generation)
			generation = v[*n].generation;
		(*n)++;
	}
	for (size_t i = 0; i < *n; i++)
		if (v[i].generation == generation)
			v[kept++] = v[i];
	*n = kept;
	return 0;
}

int audit_seal_points(struct app *a, struct seal_point **ret, size_t *ret_n, struct err *err)
{
	auto_free struct seal_point *v = calloc(a->n_regions + 1, sizeof(*v));
	struct signkey *key = NULL;
	size_t n = 0;
	int r = v ? open_key(a, false, &key, err) : err_set(err, -ENOMEM, "audit checkpoints");

	if (r == -ENOENT) { /* nothing was ever signed here */
		err_done(err);
		r = 0;
	} else if (r >= 0) {
		r = collect(a, key, v, &n, err);
	}
	signkey_free(key);
	if (r < 0)
		return r;
	*ret = n ? take_ptr(v) : NULL;
	*ret_n = n;
	return 0;
}

static int record_gap(struct app *a, const struct seal_point *last, const char *reason,
		      struct err *err)
{
	char hex[DIGEST_HEX];
	auto_json json_t *j = json_pack(
		"{s:s, s:s*, s:s*, s:s, s:o, s:s, s:s}", "action",
		"Microsoft.Insights/eventtypes/accept/action", "principalId", a->owner.object_id,
		"principalName", a->owner.name, "result", "Success", "lostHead",
		json_strf("%lld:%s", (long long) last->head.seq, digest_hex(&last->head.hash, hex)),
		"lostTime", last->time, "reason", reason);

	return j ? audit_add(a->meta, j, err) : err_set(err, -ENOMEM, "audit record");
}

static int accept_gap(struct app *a, const struct signkey *key, const char *reason, struct err *err)
{
	auto_err struct err why = ERR_INIT;
	struct seal_point last = {0}, next = {0};
	int r = newest_of_all(a, key, &last, err);

	if (r >= 0)
		r = audit_extend(a->meta, &last.head, &next.head, &why);
	if (r == -ENOENT || r >= 0)
		return err_set(err, -EALREADY,
			       "there is nothing to accept: the audit log holds every checkpoint");
	if (r != -EBADMSG)
		return err_set(err, r, "%s", err_str(&why));
	r = audit_verify(a->meta, NULL, 0, NULL, err);
	if (r >= 0)
		r = record_gap(a, &last, reason, err);
	if (r >= 0)
		r = audit_head(a->meta, &next.head, err);
	if (r < 0)
		return r;
	next.generation = last.generation + 1;
	(void) time_iso(time_now_us(), next.time);
	return put_all(a, key, &next, err);
}

int audit_seal_accept(struct app *a, const char *reason, struct err *err)
{
	struct signkey *key = NULL;
	int r = open_key(a, true, &key, err);

	if (r >= 0)
		r = accept_gap(a, key, reason, err);
	signkey_free(key);
	return r;
}
