/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an image template: refused with a field's name, or parsed into steps that hold what
 * template.h promises. */
#include <assert.h>
#include <stdint.h>

#include "bake/bake.h"
#include "bake/steps.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge_steps(const struct template_step *s, size_t n, unsigned flag)
{
	assert(n <= TEMPLATE_MAX_STEPS);
	for (size_t i = 0; i < n; i++) {
		assert(s[i].kind->flags & flag);
		assert(s[i].name && strlen(s[i].name) <= TEMPLATE_MAX_NAME);
		assert(!s[i].network || (s[i].kind->flags & STEP_NETWORK));
	}
}

static void judge(const json_t *doc)
{
	struct err err = ERR_INIT;
	struct template t = {0};
	size_t at;
	int r = template_parse(doc, &t, &err);

	assert(r == bake_check(doc, NULL, NULL));
	if (r < 0) {
		assert(r == -EINVAL && err.msg && err.target && err.arm);
		assert(strncmp(err.target, "properties", 10) == 0);
		assert(!t.doc && t.n_steps == 0 && t.n_checks == 0);
	} else {
		judge_steps(t.steps, t.n_steps, STEP_CUSTOMIZER);
		judge_steps(t.checks, t.n_checks, STEP_VALIDATOR);
		assert(json_array_size(t.distribute) > 0 && json_is_object(t.source));
		assert(t.timeout_s >= 60 && t.timeout_s <= TEMPLATE_MAX_TIMEOUT * 60);
		for (size_t i = 0; i < t.n_steps; i++)
			assert(template_find_step(&t, t.steps[i].name, &at, NULL) == 0 && at == i);
	}
	err_done(&err);
	template_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *doc = NULL;

	if (json_parse((const char *) data, size, &doc, NULL) == 0)
		judge(doc);
	json_decref(doc);
	return 0;
}
