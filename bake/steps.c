/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/steps.h"
#include "base/mem.h"

static const struct step_kind *const kinds[] = {
	&step_shell, &step_file, &step_powershell, &step_restart, &step_update,
};

const struct step_kind *step_kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (str_eq(kinds[i]->name, name))
			return kinds[i];
	}
	return NULL;
}

const char *step_kind_names(unsigned flag, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int n;

		if (!(kinds[i]->flags & flag) || at >= size)
			continue;
		n = snprintf(dst + at, size - at, "%s%s", at ? ", " : "", kinds[i]->name);
		at += n > 0 ? (size_t) n : 0;
	}
	return dst;
}

void step_input_done(struct step_input *in)
{
	json_decref(in->inputs);
	free(in->path);
	free(in->brief);
	*in = (struct step_input){0};
}
