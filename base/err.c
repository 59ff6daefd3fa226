/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>

#include "base/mem.h"

#undef err_set
#undef err_ctx

static const char *code_text(int code)
{
	const char *s = strerrordesc_np(-code);

	return s ? s : "Unknown error";
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	char *msg;

	if (!e)
		return code;
	/* Format first: an argument may point into the old message. */
	va_start(ap, fmt);
	msg = vstrf(fmt, ap);
	va_end(ap);
	err_done(e);
	e->code = code;
	e->msg = msg;
	return code;
}

int err_ctx(struct err *e, int code, const char *fmt, ...)
{
	auto_free char *ctx = NULL;
	va_list ap;
	char *msg;

	if (!e)
		return code;
	va_start(ap, fmt);
	ctx = vstrf(fmt, ap);
	va_end(ap);
	if (e->code == 0)
		e->code = code;
	if (!ctx)
		return code;
	msg = strf("%s: %s", ctx, e->msg ? e->msg : code_text(e->code));
	if (!msg)
		return code; /* the message without its context is better than none */
	free(e->msg);
	e->msg = msg;
	return code;
}

void err_target(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e || e->target)
		return;
	va_start(ap, fmt);
	e->target = vstrf(fmt, ap);
	va_end(ap);
}

void err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e || e->hint)
		return;
	va_start(ap, fmt);
	e->hint = vstrf(fmt, ap);
	va_end(ap);
}

void err_arm(struct err *e, const char *code)
{
	char *copy;

	if (!e)
		return;
	copy = strdup(code);
	if (!copy)
		return; /* the derived code is still right, only less specific */
	free(e->arm);
	e->arm = copy;
}

const char *err_str(const struct err *e)
{
	if (!e)
		return "Unknown error";
	return e->msg ? e->msg : code_text(e->code);
}

void err_move(struct err *to, struct err *from)
{
	if (to == from)
		return;
	if (to) {
		err_done(to);
		*to = *from;
		*from = ERR_INIT;
	} else {
		err_done(from);
	}
}

void err_done(struct err *e)
{
	int saved = errno;

	if (!e)
		return;
	free(e->msg);
	free(e->target);
	free(e->hint);
	free(e->arm);
	*e = ERR_INIT;
	errno = saved;
}
