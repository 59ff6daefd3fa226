/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>

void strv_free(char **v)
{
	int saved = errno;

	if (!v)
		return;
	for (size_t i = 0; v[i]; i++)
		free(v[i]);
	free(v);
	errno = saved;
}

size_t strv_len(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

int strv_push(char ***v, const char *s)
{
	size_t n = strv_len(*v);
	auto_free char *copy = strdup(s);
	char **grown;

	if (!copy)
		return -ENOMEM;
	grown = reallocarray(*v, n + 2, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[n] = take_ptr(copy);
	grown[n + 1] = NULL;
	*v = grown;
	return 0;
}

char *vstrf(const char *fmt, va_list ap)
{
	va_list again;
	char *s = NULL;
	int n;

	/* Not vasprintf(): the memory then comes from our own call of malloc(), which the tests
	 * can make fail. */
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0)
		s = malloc((size_t) n + 1);
	if (s)
		(void) vsnprintf(s, (size_t) n + 1, fmt, again);
	va_end(again);
	return s;
}

char *strf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = vstrf(fmt, ap);
	va_end(ap);
	return s;
}

void mem_wipe(void *p, size_t n)
{
	if (p && n > 0)
		explicit_bzero(p, n);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

bool str_eq_nocase(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	for (; lower(*a) == lower(*b); a++, b++)
		if (!*a)
			return true;
	return false;
}

bool str_starts(const char *s, const char *prefix)
{
	return s && prefix && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n, m;

	if (!s || !suffix)
		return false;
	n = strlen(s);
	m = strlen(suffix);
	return m <= n && memcmp(s + n - m, suffix, m) == 0;
}

char *str_lower(const char *s)
{
	char *copy = strdup(s);

	for (char *p = copy; p && *p; p++)
		*p = lower(*p);
	return copy;
}
