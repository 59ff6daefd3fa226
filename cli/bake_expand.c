/* SPDX-License-Identifier: Apache-2.0 */
/* The two functions of ARM's expression language that image templates use. */
#include <ctype.h>

#include "base/mem.h"
#include "cli/bake_input.h"

#define EXPAND_DEPTH 16

struct expander {
	const char *p; /* what is left of the expression */
	const json_t *values;
	const char *field;
	struct err *err;
	unsigned depth;
};

static int bad(struct expander *x, const char *what)
{
	err_set(x->err, -EINVAL, "%s: expression: %s at \"%.40s\"", x->field, what, x->p);
	err_target(x->err, "%s", x->field);
	err_hint(x->err, "kiln bake knows [parameters('NAME')] and [concat(…)]; a text that "
			 "really begins with [NAME( is written [[NAME(");
	return -EINVAL;
}

static void skip_space(struct expander *x)
{
	x->p += strspn(x->p, " \t");
}

static bool eat(struct expander *x, char c)
{
	skip_space(x);
	if (*x->p != c)
		return false;
	x->p++;
	return true;
}

/* 'text' with '' for a quote. */
static int literal(struct expander *x, struct buf *out)
{
	if (!eat(x, '\''))
		return bad(x, "expected a text in single quotes");
	for (; *x->p; x->p++) {
		if (*x->p != '\'') {
			buf_addch(out, *x->p);
		} else if (x->p[1] == '\'') {
			buf_addch(out, *x->p++);
		} else {
			x->p++;
			return buf_err(out);
		}
	}
	return bad(x, "unfinished text");
}

static int value(struct expander *x, json_t **ret);

static int parameters(struct expander *x, json_t **ret)
{
	auto_buf struct buf name = BUF_INIT(1024);
	json_t *v;
	int r;

	r = literal(x, &name);
	if (r < 0)
		return r;
	v = json_get_nocase(x->values, buf_str(&name));
	if (!v) {
		err_set(x->err, -EINVAL, "%s: parameter \"%s\" has no value", x->field,
			buf_str(&name));
		err_target(x->err, "%s", x->field);
		err_hint(x->err,
			 "give --param %s=VALUE, or a defaultValue under \"parameters\" in "
			 "the file",
			 buf_str(&name));
		return -EINVAL;
	}
	*ret = json_deep_copy(v);
	return *ret ? 0 : -ENOMEM;
}

static int concat(struct expander *x, json_t **ret)
{
	auto_buf struct buf out = BUF_INIT(1 << 20);

	do {
		auto_json json_t *part = NULL;
		int r = value(x, &part);

		if (r < 0)
			return r;
		if (json_is_string(part))
			buf_add(&out, json_string_value(part), json_string_length(part));
		else if (json_is_integer(part))
			buf_addf(&out, "%lld", (long long) json_integer_value(part));
		else if (json_is_boolean(part))
			buf_addstr(&out, json_is_true(part) ? "True" : "False");
		else
			return bad(x, "concat() joins texts, numbers and booleans");
	} while (eat(x, ','));
	if (buf_err(&out) < 0)
		return buf_err(&out);
	*ret = json_stringn(buf_str(&out), out.len);
	return *ret ? 0 : -ENOMEM;
}

static int value(struct expander *x, json_t **ret)
{
	size_t n;
	int r;

	skip_space(x);
	if (x->depth++ >= EXPAND_DEPTH)
		return bad(x, "nested too deeply");
	if (*x->p == '\'') {
		auto_buf struct buf text = BUF_INIT(1 << 20);

		r = literal(x, &text);
		if (r == 0)
			*ret = json_stringn(buf_str(&text), text.len);
		x->depth--;
		return r < 0 ? r : *ret ? 0 : -ENOMEM;
	}
	n = strspn(x->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	if (n != 10 && n != 6)
		return bad(x, "unknown function");
	if (n == 10 && strncasecmp(x->p, "parameters", n) == 0) {
		x->p += n;
		r = eat(x, '(') ? parameters(x, ret) : bad(x, "expected (");
	} else if (n == 6 && strncasecmp(x->p, "concat", n) == 0) {
		x->p += n;
		r = eat(x, '(') ? concat(x, ret) : bad(x, "expected (");
	} else {
		r = bad(x, "unknown function");
	}
	if (r == 0 && !eat(x, ')')) {
		json_decref(*ret);
		*ret = NULL;
		r = bad(x, "expected )");
	}
	x->depth--;
	return r;
}

/* "[name(…)]": anything else that begins with a bracket (a shell's test) is a plain text. */
static bool is_expression(const char *s)
{
	size_t n;

	if (*s++ != '[')
		return false;
	n = 0;
	while (isalpha((unsigned char) s[n]))
		n++;
	return n > 0 && s[n] == '(' && s[strlen(s) - 1] == ']';
}

static int expand_text(json_t **v, const json_t *values, const char *field, struct err *err)
{
	const char *s = json_string_value(*v);
	struct expander x = {.p = s + 1, .values = values, .field = field, .err = err};
	json_t *result = NULL;
	int r;

	if (s[0] == '[' && is_expression(s + 1)) {
		result = json_string(s + 1); /* [[ is an escaped bracket */
		r = result ? 0 : -ENOMEM;
	} else if (!is_expression(s)) {
		return 0;
	} else {
		r = value(&x, &result);
		if (r == 0 && strcmp(x.p, "]") != 0) {
			json_decref(result);
			return bad(&x, "expected the closing ]");
		}
	}
	if (r < 0)
		return r;
	*v = result;
	return 1; /* the caller owns it */
}

static int expand_at(json_t *doc, const json_t *values, const char *field, struct err *err)
{
	const char *key;
	json_t *v;
	size_t i;
	void *tmp;
	int r = 0;

	json_object_foreach_safe(doc, tmp, key, v)
	{
		auto_free char *sub = strf("%s%s%s", field, *field ? "." : "", key);

		if (!sub)
			return -ENOMEM;
		r = json_is_string(v) ? expand_text(&v, values, sub, err)
				      : expand_at(v, values, sub, err);
		if (r == 1 && json_object_set_new(doc, key, v) < 0)
			r = -ENOMEM;
		if (r < 0)
			return r;
	}
	for (i = 0; json_is_array(doc) && i < json_array_size(doc); i++) {
		auto_free char *sub = strf("%s[%zu]", field, i);

		v = json_array_get(doc, i);
		if (!sub)
			return -ENOMEM;
		r = json_is_string(v) ? expand_text(&v, values, sub, err)
				      : expand_at(v, values, sub, err);
		if (r == 1 && json_array_set_new(doc, i, v) < 0)
			r = -ENOMEM;
		if (r < 0)
			return r;
	}
	return 0;
}

int bake_expand(json_t *doc, const json_t *values, struct err *err)
{
	return expand_at(doc, values, "", err);
}
