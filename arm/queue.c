/* SPDX-License-Identifier: Apache-2.0 */
/* Heavy jobs, and actions that may be asked for while they run: the second request joins what it
 * is equal to, or queues. */
#include "arm/internal.h"
#include "base/mem.h"

int arm_call_heavy(struct arm_call *c, const struct job_need *need, struct err *err)
{
	struct arm_call_private *p = c->priv;
	char *share = strdup(need->share);

	if (!share)
		return err_set(err, -ENOMEM, "out of memory");
	free(p->share);
	p->share = share;
	p->need = *need;
	p->need.share = share;
	return 0;
}

struct queue {
	struct arm_call *c;
	const char *kind;
	const json_t *params;
	bool join_begun;
	unsigned length;
	struct operation *same; /* the last that the request is equal to; owned */
	struct err *err;
};

static int is_same(const struct queue *q, const struct operation *o, bool *ret)
{
	auto_json json_t *params = NULL;
	int r;

	*ret = false;
	if (!str_eq(o->kind, q->kind) || o->cancel || (o->started_us && !q->join_begun))
		return 0;
	r = job_params(q->c->arm->config.meta, o->id, &params, q->err);
	*ret = r >= 0 && json_equal(params, q->params);
	return r;
}

static int look(void *arg, const struct operation *o)
{
	struct queue *q = arg;
	bool same;
	int r = is_same(q, o, &same);

	if (r < 0)
		return r;
	q->length++;
	if (same) {
		operation_done(q->same);
		return operation_get(q->c->arm->config.meta, o->id, q->same, q->err);
	}
	return 0;
}

int arm_call_queue(struct arm_call *c, const char *kind, json_t *params, bool join_begun,
		   struct err *err)
{
	struct operation same = {0};
	struct queue q = {c, kind, params, join_begun, 0, &same, err};
	int r = operation_each(c->arm->config.meta, c->priv->rq->route.id.key, look, &q, err);

	if (r >= 0 && same.id) {
		json_decref(params);
		c->priv->join = same;
		return 0;
	}
	operation_done(&same);
	if (r >= 0 && q.length >= ARM_QUEUE_MAX) {
		r = err_set(err, -EBUSY, "%u requests wait for '%.1000s' already", q.length,
			    c->id->text);
		err_arm(err, "AnotherOperationInProgress");
	}
	if (r < 0) {
		json_decref(params);
		return r;
	}
	c->priv->queues = true;
	return arm_call_job(c, kind, params, err);
}
