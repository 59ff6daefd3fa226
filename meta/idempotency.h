/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency keys: the response of a change, recorded in the change's transaction. */
#ifndef KILN_META_IDEMPOTENCY_H
#define KILN_META_IDEMPOTENCY_H

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "meta/meta.h"

/** idempotency_get() - 0 with the response as recorded (new reference), -ENOENT, or -EEXIST: the
 *  key was used for another request (@digest differs). */
int idempotency_get(struct meta *m, const char *principal, const char *key, const char *digest,
		    json_t **ret, struct err *err);
/** idempotency_put() - record; -EEXIST when the key is taken. */
int idempotency_put(struct meta *m, const char *principal, const char *key, const char *digest,
		    const json_t *response, struct err *err);
/** idempotency_expire() - forget those recorded before @before_us, at most @limit. */
int idempotency_expire(struct meta *m, int64_t before_us, unsigned limit, struct err *err);

#endif
