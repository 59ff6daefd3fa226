/* SPDX-License-Identifier: Apache-2.0 */
#include <jq.h>
#include <jv.h>

#include "base/mem.h"
#include "cli/render.h"

static void on_error(void *arg, jv message)
{
	struct err *err = arg;
	jv text = jq_format_error(message);

	if (!err->code) /* the first says what is wrong, the next ones count */
		err_set(err, -EINVAL, "--jq: %s",
			jv_get_kind(text) == JV_KIND_STRING ? jv_string_value(text) : "bad filter");
	jv_free(text);
}

static int print_result(jv v)
{
	int r;

	if (jv_get_kind(v) == JV_KIND_STRING) {
		r = puts(jv_string_value(v)) < 0 ? -EIO : 0;
		jv_free(v);
		return r;
	}
	jv_dump(v, 0);
	return putchar('\n') < 0 ? -EIO : 0;
}

/* The message of a result that is an error, or nothing at the end of the results. */
static int last_result(jv v, struct err *err)
{
	jv message;
	int r = 0;

	if (jv_invalid_has_msg(jv_copy(v))) {
		message = jv_invalid_get_msg(jv_copy(v));
		if (jv_get_kind(message) != JV_KIND_STRING)
			message = jv_dump_string(message, 0);
		r = err_set(err, -EINVAL, "--jq: %s", jv_string_value(message));
		jv_free(message);
	}
	jv_free(v);
	return r;
}

int jq_print(const json_t *doc, const char *filter, struct err *err)
{
	auto_free char *text = json_compact(doc);
	jq_state *jq = text ? jq_init() : NULL;
	int r = 0;
	jv v;

	if (!jq)
		return err_set(err, -ENOMEM, "--jq");
	jq_set_error_cb(jq, on_error, err);
	if (!jq_compile(jq, filter)) {
		r = err->code ? err->code : err_set(err, -EINVAL, "--jq: bad filter");
	} else {
		jq_start(jq, jv_parse(text), 0);
		while (jv_is_valid(v = jq_next(jq)) && r == 0)
			r = print_result(v);
		r = r < 0 ? r : last_result(v, err);
	}
	jq_teardown(&jq);
	return r;
}
