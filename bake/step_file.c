/* SPDX-License-Identifier: Apache-2.0 */
/* File: one file from outside to an absolute path; root's, 0644, or 0755 when a file: source is
 * executable. */
#include <ctype.h>

#include "bake/steps.h"
#include "base/mem.h"

/* "C:\\dir\\file", as templates for Windows have it. */
static bool windows_path(const char *s)
{
	return isalpha((unsigned char) s[0]) && s[1] == ':' && s[2] == '\\' && s[3] &&
	       !strpbrk(s + 2, "/:*?\"<>|") && !strstr(s, "\\..\\") && !str_ends(s, "\\..") &&
	       !str_ends(s, "\\");
}

static int check_destination(const json_t *v, const char *field, struct err *err)
{
	const char *s = json_string_value(v);
	size_t n = s ? strlen(s) : 0;

	if (n > 3 && n < 260 && windows_path(s)) {
		for (; *s; s++)
			if ((unsigned char) *s < 0x20)
				return template_field_error(err, NULL, field,
							    "a path has no control characters");
		return 0;
	}
	if (n < 2 || *s != '/' || n > 4095)
		return template_field_error(err, NULL, field,
					    "expected the file's absolute path in the image");
	if (s[n - 1] == '/')
		return template_field_error(err, NULL, field,
					    "expected a file's path, not a directory's");
	for (const char *p = s; *p;) {
		size_t part = strcspn(++p, "/");

		if (part > 255 || (part == 2 && p[0] == '.' && p[1] == '.') ||
		    (part == 1 && p[0] == '.'))
			return template_field_error(err, NULL, field,
						    "\"%.32s\" cannot be part of the path", p);
		p += part;
	}
	for (; *s; s++) {
		if ((unsigned char) *s < 0x20 || *s == 0x7f)
			return template_field_error(err, NULL, field,
						    "a path has no control characters");
	}
	return 0;
}

static int file_check(const json_t *def, const char *field, bool validator, struct err *err)
{
	char sub[128];
	int r;

	snprintf(sub, sizeof(sub), "%s.sourceUri", field);
	r = check_uri(json_object_get(def, "sourceUri"), sub, err);
	if (r < 0)
		return r;
	snprintf(sub, sizeof(sub), "%s.destination", field);
	r = check_destination(json_object_get(def, "destination"), sub, err);
	if (r < 0)
		return r;
	snprintf(sub, sizeof(sub), "%s.sha256Checksum", field);
	return check_sha256(json_object_get(def, "sha256Checksum"), sub, err);
}

static int file_prepare(struct fetcher *f, struct step_input *in, struct err *err)
{
	const json_t *def = in->step->def;
	const char *sum = json_string_value(json_object_get(def, "sha256Checksum"));
	const char *uri = json_string_value(json_object_get(def, "sourceUri"));
	const char *dest = json_string_value(json_object_get(def, "destination"));
	struct fetched got = {0};
	char hex[DIGEST_HEX];
	int r = fetch_uri(f, uri, sum && *sum ? sum : NULL, &got, err);

	if (r == 0) {
		in->path = take_ptr(got.path);
		in->mode = got.executable ? 0755 : 0644;
		in->brief = strf("%s -> %s", fetch_name(uri), dest);
		in->inputs = json_pack("{s:s, s:s, s:s, s:i}", "kind", "File", "content",
				       digest_hex(&got.digest, hex), "destination", dest, "mode",
				       (int) in->mode);
		r = in->inputs && in->brief ? 0 : -ENOMEM;
	}
	fetched_done(&got);
	return r < 0 ? err_ctx(err, r, "%s", in->step->field) : 0;
}

static int file_run(const struct step_input *in, struct step_target *t, struct proc_result *ret,
		    struct err *err)
{
	*ret = (struct proc_result){0};
	return t->put(t, in->path, json_string_value(json_object_get(in->step->def, "destination")),
		      in->mode, err);
}

const struct step_kind step_file = {
	.name = "File",
	.flags = STEP_CUSTOMIZER | STEP_VALIDATOR | STEP_NO_ENV,
	.check = file_check,
	.prepare = file_prepare,
	.run = file_run,
};
