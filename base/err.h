/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a negative errno decides control flow, a message tells people.
 * The first failure calls err_set(), each caller may prefix the one fact it alone knows with
 * err_ctx(); only main() or the request handler prints. `err` belongs to the caller and every
 * function that takes one accepts NULL.
 */
#ifndef KILN_BASE_ERR_H
#define KILN_BASE_ERR_H

#include <errno.h>
#include <stddef.h>

struct err {
	int code;     /* negative errno, 0 while nothing failed */
	char *msg;    /* owned; NULL when formatting ran out of memory */
	char *target; /* owned; field or file at fault, e.g. "properties.source.type"; or NULL */
	char *hint;   /* owned; what to do next, one sentence; or NULL */
	char *arm;    /* owned; ARM error code that overrides arm/'s table, e.g. "BadSourceType" */
};

#define ERR_INIT ((struct err){0})

/**
 * err_set() - record a first failure
 * @code: a negative errno
 *
 * Replaces what @e held. Return: @code, also when memory ran out.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** err_ctx() - prefix "CONTEXT: " to the message; sets @code when nothing was set yet.
 *  Return: @code. */
int err_ctx(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__ /* tell it that the code comes back */
#define err_set(e, code, ...)                                                                      \
	({                                                                                         \
		int set_code_ = (code);                                                            \
		(void) err_set((e), set_code_, __VA_ARGS__);                                       \
		set_code_;                                                                         \
	})
#define err_ctx(e, code, ...)                                                                      \
	({                                                                                         \
		int ctx_code_ = (code);                                                            \
		(void) err_ctx((e), ctx_code_, __VA_ARGS__);                                       \
		ctx_code_;                                                                         \
	})
#endif

/** err_errno() - -errno; -EIO where a failed call left it 0. Never 0. */
static inline int err_errno(void)
{
	int r = -errno;

	return r < 0 ? r : -EIO;
}

/** err_target() - name the field or file at fault; copies @target. The first one given stays. */
void err_target(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** err_hint() - say what to do next; copies. The first one given stays. */
void err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** err_arm() - choose the ARM error code instead of the one that arm/ derives from @e->code. */
void err_arm(struct err *e, const char *code);

/** err_str() - the message, or the errno's text; never NULL; valid until @e changes. */
const char *err_str(const struct err *e);

/** err_move() - move @from into @to (which is released first); @from becomes ERR_INIT. */
void err_move(struct err *to, struct err *from);

/** err_done() - release; safe on ERR_INIT and twice. Preserves errno. */
void err_done(struct err *e);

#define auto_err __attribute__((cleanup(err_done)))

#endif
