/* SPDX-License-Identifier: Apache-2.0 */
/* Shell: inline lines as one script that stops at the first failure, or a script as it is. */
#include "bake/steps.h"
#include "base/file.h"
#include "base/mem.h"

static const char *no_script(bool validator)
{
	return validator ? "NoValidatorScript" : "NoCustomizerScript";
}

static int check_inline(const json_t *lines, const char *field, const char *code, struct err *err)
{
	size_t i, bytes = 0;
	json_t *v;

	if (!json_is_array(lines) || json_array_size(lines) == 0)
		return template_field_error(err, code, field, "expected at least one line");
	json_array_foreach(lines, i, v)
	{
		char sub[160];

		snprintf(sub, sizeof(sub), "%s[%zu]", field, i);
		if (!json_is_string(v))
			return template_field_error(err, NULL, sub, "expected a text");
		bytes += json_string_length(v) + 1;
		if (bytes > TEMPLATE_MAX_SCRIPT)
			return template_field_error(err, NULL, sub,
						    "the script is over %u bytes; use scriptUri",
						    TEMPLATE_MAX_SCRIPT);
	}
	return 0;
}

int script_check(const json_t *def, const char *kind, const char *field, bool validator,
		 struct err *err)
{
	const json_t *lines = json_object_get(def, "inline");
	const json_t *uri = json_object_get(def, "scriptUri");
	char sub[128];
	int r;

	if (json_is_null(lines))
		lines = NULL;
	if (json_is_null(uri) || (uri && json_is_string(uri) && !*json_string_value(uri)))
		uri = NULL;
	if (!lines == !uri)
		return template_field_error(err, no_script(validator), field,
					    "a %s step has either inline or scriptUri", kind);
	snprintf(sub, sizeof(sub), "%s.%s", field, lines ? "inline" : "scriptUri");
	r = lines ? check_inline(lines, sub, no_script(validator), err) : check_uri(uri, sub, err);
	if (r < 0)
		return r;
	snprintf(sub, sizeof(sub), "%s.sha256Checksum", field);
	return check_sha256(json_object_get(def, "sha256Checksum"), sub, err);
}

static int shell_check(const json_t *def, const char *field, bool validator, struct err *err)
{
	return script_check(def, "Shell", field, validator, err);
}

/* The first line that does something, for people. */
static char *brief_of(const char *script)
{
	if (str_starts(script, "\xef\xbb\xbf"))
		script += 3;
	while (*script) {
		size_t n = strcspn(script, "\r\n");

		if (n > 0 && *script != '#' && strncmp(script, "set ", 4) != 0) {
			bool more = script[n + strspn(script + n, "\r\n")];

			return strf("%.*s%s", (int) (n > 100 ? 100 : n), script,
				    n > 100 || more ? " …" : "");
		}
		script += n + strspn(script + n, "\r\n");
	}
	return strf("(empty script)");
}

static int join_inline(const json_t *lines, struct buf *out)
{
	size_t i;
	json_t *v;

	buf_addstr(out, "#!/bin/sh -e\n");
	json_array_foreach(lines, i, v)
	{
		buf_add(out, json_string_value(v), json_string_length(v));
		buf_addch(out, '\n');
	}
	return buf_err(out);
}

int script_prepare(struct fetcher *f, const struct buf *text, const char *kind,
		   struct step_input *in, struct err *err)
{
	const json_t *def = in->step->def;
	const char *sum = json_string_value(json_object_get(def, "sha256Checksum"));
	const char *uri = json_string_value(json_object_get(def, "scriptUri"));
	struct fetched got = {0};
	char hex[DIGEST_HEX];
	int r;

	if (text) {
		r = fetch_bytes(f, text->data, text->len, &got, err);
		in->brief = brief_of(buf_str(text));
	} else {
		r = fetch_uri(f, uri, sum && *sum ? sum : NULL, &got, err);
		in->brief = strf("%s", fetch_name(uri));
	}
	if (r == 0 && !in->brief)
		r = -ENOMEM;
	if (r == 0) {
		in->path = take_ptr(got.path);
		in->mode = 0755;
		in->inputs = json_pack("{s:s, s:s}", "kind", kind, "script",
				       digest_hex(&got.digest, hex));
		r = in->inputs ? 0 : -ENOMEM;
	}
	fetched_done(&got);
	return r;
}

static int shell_prepare(struct fetcher *f, struct step_input *in, struct err *err)
{
	const json_t *lines = json_object_get(in->step->def, "inline");
	auto_buf struct buf script = BUF_INIT(TEMPLATE_MAX_SCRIPT + 64);
	int r = json_is_array(lines) ? join_inline(lines, &script) : 0;

	if (r == 0)
		r = script_prepare(f, json_is_array(lines) ? &script : NULL, "Shell", in, err);
	return r < 0 ? err_ctx(err, r, "%s", in->step->field) : 0;
}

static int shell_run(const struct step_input *in, struct step_target *t, struct proc_result *ret,
		     struct err *err)
{
	return t->script(t, in->path, ret, err);
}

const struct step_kind step_shell = {
	.name = "Shell",
	.flags = STEP_CUSTOMIZER | STEP_VALIDATOR | STEP_NETWORK,
	.check = shell_check,
	.prepare = shell_prepare,
	.run = shell_run,
};
