/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/query.h"

#include "arm/text.h"
#include "base/mem.h"
#include "base/utf8.h"

static int bad(struct err *err, const char *what)
{
	(void) err_set(err, -EINVAL, "the request target %s", what);
	err_arm(err, "InvalidRequestUri");
	return -EINVAL;
}

static int check_text(const char *s, struct err *err)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n;) {
		size_t step = utf8_seq((const unsigned char *) s + i, n - i);

		if (step == 0 || (unsigned char) s[i] < 0x20 || s[i] == 0x7f)
			return bad(err, "has a query option that is no plain UTF-8 text");
		i += step;
	}
	return 0;
}

static int add_option(struct target *t, const char *text, size_t n, struct err *err)
{
	auto_free char *key = strndup(text, n), *value = NULL;
	char *eq;
	int r;

	if (!key)
		return err_set(err, -ENOMEM, "out of memory");
	eq = strchr(key, '=');
	value = strdup(eq ? eq + 1 : "");
	if (!value)
		return err_set(err, -ENOMEM, "out of memory");
	if (eq)
		*eq = '\0';
	if (percent_decode(key, true) < 0 || percent_decode(value, true) < 0)
		return bad(err, "has a bad percent escape in its query");
	r = check_text(key, err);
	if (r >= 0)
		r = check_text(value, err);
	if (r < 0)
		return r;
	for (char *p = key; *p; p++)
		*p = ascii_lower(*p);
	for (size_t i = 0; i < t->n_query; i++)
		if (str_eq(t->query[i].key, key))
			return bad(err, "has a query option twice");
	if (t->n_query == QUERY_MAX)
		return bad(err, "has too many query options");
	t->query[t->n_query].key = take_ptr(key);
	t->query[t->n_query].value = take_ptr(value);
	t->n_query++;
	return 0;
}

static int parse(const char *text, struct target *t, struct err *err)
{
	const char *scheme = strstr(text, "://"), *q;
	int r = 0;

	if (strlen(text) > TARGET_MAX)
		return bad(err, "is too long");
	if (strchr(text, '#'))
		return bad(err, "has a fragment");
	if (text[0] != '/' && scheme) {
		text = strchr(scheme + 3, '/');
		if (!text)
			return bad(err, "has no path");
	}
	q = strchr(text, '?');
	t->path = q ? strndup(text, (size_t) (q - text)) : strdup(text);
	if (!t->path)
		return err_set(err, -ENOMEM, "out of memory");
	while (q && r >= 0) {
		size_t n = strcspn(++q, "&");

		if (n > 0)
			r = add_option(t, q, n, err);
		q = q[n] ? q + n : NULL;
	}
	return r;
}

int target_parse(const char *text, struct target *ret, struct err *err)
{
	struct target t = {0};
	int r = parse(text, &t, err);

	if (r < 0) {
		target_done(&t);
		return r;
	}
	*ret = t;
	return 0;
}

void target_done(struct target *t)
{
	free(t->path);
	for (size_t i = 0; i < t->n_query; i++) {
		free(t->query[i].key);
		free(t->query[i].value);
	}
	*t = (struct target){0};
}

const char *target_query(const struct target *t, const char *key)
{
	for (size_t i = 0; i < t->n_query; i++)
		if (str_eq_nocase(t->query[i].key, key))
			return t->query[i].value;
	return NULL;
}
