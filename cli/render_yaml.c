/* SPDX-License-Identifier: Apache-2.0 */
#include <yaml.h>

#include "base/mem.h"
#include "cli/render.h"

static int emit(yaml_emitter_t *y, int made, yaml_event_t *e)
{
	return made && yaml_emitter_emit(y, e) ? 0 : -EIO;
}

static int emit_scalar(yaml_emitter_t *y, const char *text, bool quoted)
{
	yaml_event_t e;
	yaml_scalar_style_t style =
		quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE;
	int made = yaml_scalar_event_initialize(&e, NULL, NULL, (const yaml_char_t *) text,
						(int) strlen(text), 1, 1, style);

	return emit(y, made, &e);
}

/* Text that YAML would read as something else is quoted. */
static bool looks_like_other(const char *s)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off",
					    "null", "~",     "y",   "n",  "",   NULL};

	for (int i = 0; words[i]; i++)
		if (str_eq_nocase(words[i], s))
			return true;
	return (strchr("0123456789.+-", *s) && strspn(s, "0123456789+-.:_eETZ ") == strlen(s)) ||
	       strncmp(s, "0x", 2) == 0;
}

static int emit_value(yaml_emitter_t *y, const json_t *v);

static int emit_array(yaml_emitter_t *y, const json_t *v)
{
	yaml_event_t e;
	const json_t *item;
	size_t i;
	int made =
		yaml_sequence_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
	int r = emit(y, made, &e);

	json_array_foreach((json_t *) v, i, item) if (r == 0) r = emit_value(y, item);
	return r < 0 ? r : emit(y, yaml_sequence_end_event_initialize(&e), &e);
}

static int emit_object(yaml_emitter_t *y, const json_t *v)
{
	yaml_event_t e;
	const char *key;
	json_t *item;
	int made = yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
	int r = emit(y, made, &e);

	json_object_foreach((json_t *) v, key, item)
	{
		if (r == 0)
			r = emit_scalar(y, key, looks_like_other(key));
		if (r == 0)
			r = emit_value(y, item);
	}
	return r < 0 ? r : emit(y, yaml_mapping_end_event_initialize(&e), &e);
}

/* Depth is bounded by the JSON parser's. */
static int emit_value(yaml_emitter_t *y, const json_t *v)
{
	auto_free char *text = NULL;

	if (json_is_object(v))
		return emit_object(y, v);
	if (json_is_array(v))
		return emit_array(y, v);
	if (json_is_string(v))
		return emit_scalar(y, json_string_value(v), looks_like_other(json_string_value(v)));
	text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	return text ? emit_scalar(y, text, false) : -ENOMEM;
}

int yaml_print(const json_t *doc)
{
	yaml_emitter_t y;
	yaml_event_t e;
	int r;

	if (!yaml_emitter_initialize(&y))
		return -ENOMEM;
	yaml_emitter_set_output_file(&y, stdout);
	yaml_emitter_set_unicode(&y, 1);
	yaml_emitter_set_width(&y, -1);
	r = emit(&y, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING), &e);
	if (r == 0)
		r = emit(&y, yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1), &e);
	if (r == 0)
		r = emit_value(&y, doc);
	if (r == 0)
		r = emit(&y, yaml_document_end_event_initialize(&e, 1), &e);
	if (r == 0)
		r = emit(&y, yaml_stream_end_event_initialize(&e), &e);
	yaml_emitter_delete(&y);
	return r;
}
