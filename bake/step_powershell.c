/* SPDX-License-Identifier: Apache-2.0 */
/* PowerShell: inline lines as one script whose exit status is its last program's, or a script as it
 * is; success is what validExitCodes says. */
#include "bake/powershell.h"
#include "bake/steps.h"
#include "base/mem.h"

static int check_codes(const json_t *codes, const char *field, struct err *err)
{
	size_t i;
	json_t *v;

	if (!codes || json_is_null(codes))
		return 0;
	if (!json_is_array(codes) || json_array_size(codes) > 256)
		return template_field_error(err, NULL, field,
					    "expected an array of at most 256 exit codes");
	json_array_foreach(codes, i, v)
	{
		if (!json_is_integer(v) || json_integer_value(v) < INT32_MIN ||
		    json_integer_value(v) > UINT32_MAX)
			return template_field_error(err, NULL, field,
						    "entry %zu is no exit code of 32 bits", i);
	}
	return 0;
}

static int powershell_check(const json_t *def, const char *field, bool validator, struct err *err)
{
	const json_t *elevated = json_object_get(def, "runElevated");
	const json_t *system = json_object_get(def, "runAsSystem");
	char sub[128];
	int r = script_check(def, "PowerShell", field, validator, err);

	if (r < 0)
		return r;
	snprintf(sub, sizeof(sub), "%s.validExitCodes", field);
	r = check_codes(json_object_get(def, "validExitCodes"), sub, err);
	if (r < 0)
		return r;
	snprintf(sub, sizeof(sub), "%s.runElevated", field);
	if (elevated && !json_is_null(elevated) && !json_is_boolean(elevated))
		return template_field_error(err, NULL, sub, "expected true or false");
	snprintf(sub, sizeof(sub), "%s.runAsSystem", field);
	if (system && !json_is_null(system) && !json_is_boolean(system))
		return template_field_error(err, NULL, sub, "expected true or false");
	if (json_is_true(system) && !json_is_true(elevated))
		return template_field_error(err, NULL, sub,
					    "it needs runElevated to be true as well");
	return 0;
}

static int join_inline(const json_t *lines, struct buf *out)
{
	size_t i;
	json_t *v;

	buf_addstr(out, "\xef\xbb\xbf"); /* UTF-8 */
	json_array_foreach(lines, i, v)
	{
		buf_add(out, json_string_value(v), json_string_length(v));
		buf_addstr(out, "\r\n");
	}
	buf_addstr(out, "exit $LASTEXITCODE\r\n");
	return buf_err(out);
}

static int powershell_prepare(struct fetcher *f, struct step_input *in, struct err *err)
{
	const json_t *codes = json_object_get(in->step->def, "validExitCodes");
	auto_buf struct buf script = BUF_INIT(2 * TEMPLATE_MAX_SCRIPT);
	const json_t *lines = json_object_get(in->step->def, "inline");
	int r = json_is_array(lines) ? join_inline(lines, &script) : 0;

	if (r == 0)
		r = script_prepare(f, json_is_array(lines) ? &script : NULL, "PowerShell", in, err);
	/* Which codes are good decides whether there is a result at all. */
	if (r == 0 && json_array_size(codes) > 0 &&
	    json_object_set(in->inputs, "validExitCodes", (json_t *) codes) < 0)
		r = -ENOMEM;
	return r < 0 ? err_ctx(err, r, "%s", in->step->field) : 0;
}

/* Windows has 32 bits without sign; templates say -1 or 4294967295. */
static bool code_valid(const json_t *codes, int code)
{
	size_t i;
	json_t *v;

	if (json_array_size(codes) == 0)
		return code == 0;
	json_array_foreach(codes, i, v)
	{
		if ((uint32_t) json_integer_value(v) == (uint32_t) code)
			return true;
	}
	return false;
}

static int powershell_run(const struct step_input *in, struct step_target *t,
			  struct proc_result *ret, struct err *err)
{
	int r = t->powershell(t, in->path, ret, err);

	if (r == 0 && ret->signal == 0) {
		if (code_valid(json_object_get(in->step->def, "validExitCodes"), ret->exit_code))
			ret->exit_code = 0;
		else if (ret->exit_code == 0)
			return err_set(err, -EIO, "exit code 0 is not among validExitCodes");
	}
	return r;
}

const struct step_kind step_powershell = {
	.name = "PowerShell",
	.flags = STEP_CUSTOMIZER | STEP_VALIDATOR | STEP_NETWORK,
	.check = powershell_check,
	.prepare = powershell_prepare,
	.run = powershell_run,
};
