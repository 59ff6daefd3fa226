/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a request target: refused, or an id whose text means the same id again. */
#include <assert.h>
#include <stdint.h>

#include "arm/id.h"
#include "arm/query.h"
#include "arm/text.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct arm_id *id)
{
	auto_buf struct buf again = BUF_INIT(4 * ARM_ID_MAX);
	struct arm_id twin = {0};
	int r;

	assert(id->text[0] == '/' && id->key && id->type && id->parent);
	assert(id->n_names <= ARM_ID_PARTS && strlen(id->text) <= ARM_ID_MAX);
	assert(!strstr(id->text, "//") && strlen(id->parent) < strlen(id->text));
	assert(!id->name || (id->n_names > 0 && strcmp(id->names[id->n_names - 1], id->name) == 0));
	assert(strncmp(id->text, id->parent, strlen(id->parent)) == 0);
	assert(percent_encode(&again, id->text, "/") == 0);
	r = arm_id_parse(buf_str(&again), &twin, NULL);
	/* only the length limit can come between: escapes are longer than what they stand for */
	assert(r == 0 || again.len > ARM_ID_MAX);
	if (r == 0) {
		assert(strcmp(twin.key, id->key) == 0 && strcmp(twin.text, id->text) == 0);
		assert(arm_id_eq(twin.text, id->key));
		assert(strcmp(twin.type, id->type) == 0 && strcmp(twin.parent, id->parent) == 0);
	}
	arm_id_done(&twin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = calloc(1, size + 1);
	auto_free char *location = NULL;
	struct target t = {0};
	struct arm_id id = {0};
	struct err err = ERR_INIT;
	int r;

	if (!text)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	location = location_normalize(text);
	if (!location)
		return 0;
	assert(strlen(location) <= strlen(text) && !strchr(location, ' '));
	r = target_parse(text, &t, &err);
	assert(r == 0 || (r == -EINVAL && err.msg && err.arm));
	if (r == 0) {
		assert(t.n_query <= QUERY_MAX);
		err_done(&err);
		r = arm_id_parse(t.path, &id, &err);
		assert(r == 0 || (r == -EINVAL && err.msg && err.arm && !id.text));
		if (r == 0)
			judge(&id);
	}
	err_done(&err);
	arm_id_done(&id);
	target_done(&t);
	return 0;
}
