/* SPDX-License-Identifier: Apache-2.0 */
/* WindowsRestart: the guest restarts, by a command of the template's or its own way, and is up
 * again when a check command succeeds. */
#include <ctype.h>

#include "bake/steps.h"
#include "base/mem.h"

#define TIMEOUT_MS  300000u
#define COMMAND_MAX 8191u /* what cmd.exe takes */

/* "5m", "2h", "90s", "1h30m": whole numbers with a unit each. 0 = malformed or over a day. */
static uint64_t parse_timeout(const char *s)
{
	uint64_t sum = 0;

	while (isdigit((unsigned char) *s)) {
		uint64_t n = 0, unit;

		for (; isdigit((unsigned char) *s); s++) {
			n = n * 10 + (uint64_t) (*s - '0');
			if (n > 86400)
				return 0;
		}
		unit = *s == 'h' ? 3600 : *s == 'm' ? 60 : *s == 's' ? 1 : 0;
		if (unit == 0)
			return 0;
		s++;
		sum += n * unit;
		if (!*s)
			return sum <= 86400 ? sum * 1000 : 0;
	}
	return 0;
}

static int check_command(const json_t *v, const char *field, struct err *err)
{
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v) || json_string_length(v) > COMMAND_MAX)
		return template_field_error(err, NULL, field,
					    "expected a command of at most %u bytes", COMMAND_MAX);
	return 0;
}

static int restart_check(const json_t *def, const char *field, bool validator, struct err *err)
{
	static const char *const commands[] = {"restartCommand", "restartCheckCommand"};
	const json_t *timeout = json_object_get(def, "restartTimeout");
	const char *s = json_string_value(timeout);
	char sub[128];

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		int r;

		snprintf(sub, sizeof(sub), "%s.%s", field, commands[i]);
		r = check_command(json_object_get(def, commands[i]), sub, err);
		if (r < 0)
			return r;
	}
	if (!timeout || json_is_null(timeout) || (s && !*s))
		return 0;
	snprintf(sub, sizeof(sub), "%s.restartTimeout", field);
	if (!s || parse_timeout(s) == 0)
		return template_field_error(err, NULL, sub,
					    "expected a number and a unit, such as 5m or 2h, at "
					    "most a day");
	return 0;
}

/* An empty text is as if it was not there. */
static const char *text_of(const json_t *def, const char *key)
{
	const char *s = json_string_value(json_object_get(def, key));

	return s && *s ? s : NULL;
}

static int restart_prepare(struct fetcher *f, struct step_input *in, struct err *err)
{
	const char *command = text_of(in->step->def, "restartCommand");
	const char *check = text_of(in->step->def, "restartCheckCommand");

	in->brief = strf("%.100s", command ? command : "restart");
	in->inputs = json_pack("{s:s, s:s*, s:s*}", "kind", "WindowsRestart", "command", command,
			       "check", check);
	return in->brief && in->inputs ? 0 : err_set(err, -ENOMEM, "%s", in->step->field);
}

static int restart_run(const struct step_input *in, struct step_target *t, struct proc_result *ret,
		       struct err *err)
{
	const char *timeout = text_of(in->step->def, "restartTimeout");

	*ret = (struct proc_result){0};
	return t->restart(t, text_of(in->step->def, "restartCommand"),
			  text_of(in->step->def, "restartCheckCommand"),
			  timeout ? parse_timeout(timeout) : TIMEOUT_MS, err);
}

const struct step_kind step_restart = {
	.name = "WindowsRestart",
	.flags = STEP_CUSTOMIZER | STEP_GUEST,
	.check = restart_check,
	.prepare = restart_prepare,
	.run = restart_run,
};
