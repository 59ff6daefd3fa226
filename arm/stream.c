/* SPDX-License-Identifier: Apache-2.0 */
/* What passes through a request that is not JSON: headers, streams, signed URLs. */
#include "arm/internal.h"

#include "base/mem.h"

/* ---- Headers ------------------------------------------------------------------------------ */

const char *arm_header(const struct arm_call *c, const char *name)
{
	const struct arm_request *req = c->priv->rq ? c->priv->rq->req : NULL;

	return req && req->header ? req->header(req->header_arg, name) : NULL;
}

const char *arm_base_url(const struct arm_call *c)
{
	const struct arm_request *req = c->priv->rq ? c->priv->rq->req : NULL;

	return req && req->base_url ? req->base_url : c->arm->config.endpoint;
}

/* A line end in a value would begin a header of the attacker's choice. */
static bool header_ok(const char *name, const char *value)
{
	static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-_";

	if (!*name || name[strspn(name, token)])
		return false;
	for (const char *p = value; *p; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			return false;
	return true;
}

int arm_response_header(struct arm_response *r, const char *name, const char *value)
{
	struct arm_header h, *list;

	if (!header_ok(name, value))
		return -EINVAL;
	list = reallocarray(r->headers, r->n_headers + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	r->headers = list;
	h = (struct arm_header){strdup(name), strdup(value)};
	if (!h.name || !h.value) {
		free(h.name);
		free(h.value);
		return -ENOMEM;
	}
	list[r->n_headers++] = h;
	return 0;
}

int arm_call_header(struct arm_call *c, const char *name, const char *value, struct err *err)
{
	int r = c->priv->rq ? arm_response_header(c->priv->rq->res, name, value) : 0;

	return r < 0 ? err_set(err, r, "response header %.60s: %s", name, strerrordesc_np(-r)) : 0;
}

/* ---- Streams ------------------------------------------------------------------------------ */

struct memory {
	size_t n;
	char bytes[];
};

static int64_t memory_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	const struct memory *m = arg;

	if (offset >= m->n)
		return err_set(err, -ERANGE, "read past the end of a response");
	if (n > m->n - offset)
		n = m->n - offset;
	memcpy(dst, m->bytes + offset, n);
	return (int64_t) n;
}

int arm_response_text(struct arm_response *r, const char *content_type, const void *text, size_t n)
{
	struct memory *m = n < SIZE_MAX / 2 ? malloc(sizeof(*m) + n) : NULL;

	if (!m)
		return -ENOMEM;
	m->n = n;
	if (n > 0)
		memcpy(m->bytes, text, n);
	stream_done(&r->stream);
	r->stream = (struct arm_stream){
		.read = memory_read,
		.done = free,
		.arg = m,
		.bytes = n,
		.content_type = content_type,
	};
	return 0;
}

void stream_done(struct arm_stream *s)
{
	if (s->done)
		s->done(s->arg);
	*s = (struct arm_stream){0};
}

/* ---- Ports -------------------------------------------------------------------------------- */

const struct arm_port *arm_port(const struct arm *arm, const char *target)
{
	for (const struct arm_port *p = arm->config.ports; p && p->prefix; p++)
		if (str_starts(target, p->prefix))
			return p;
	return NULL;
}
