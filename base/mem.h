/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound release, moves, checked arithmetic. Destructors accept NULL and preserve errno. */
#ifndef KILN_BASE_MEM_H
#define KILN_BASE_MEM_H

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void freep(void *p)
{
	void *v;
	memcpy(&v, p, sizeof(v));
	free(v);
}

static inline void closep(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		(void) close(*fd); /* Linux: never retry close() on EINTR */
		errno = saved;
	}
}

static inline void fclosep(FILE **f)
{
	if (*f) {
		int saved = errno;
		(void) fclose(*f);
		errno = saved;
	}
}

static inline void closedirp(DIR **d)
{
	if (*d) {
		int saved = errno;
		(void) closedir(*d);
		errno = saved;
	}
}

/* Frees a NULL-terminated vector of owned strings and the vector. */
void strv_free(char **v);
static inline void strv_freep(char ***v)
{
	strv_free(*v);
}

#define auto_free __attribute__((cleanup(freep)))
#define auto_fd   __attribute__((cleanup(closep)))
#define auto_file __attribute__((cleanup(fclosep)))
#define auto_dir  __attribute__((cleanup(closedirp)))
#define auto_strv __attribute__((cleanup(strv_freep)))

#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) v_ = (p);                                                            \
		(p) = NULL;                                                                        \
		v_;                                                                                \
	})
#define take_fd(fd)                                                                                \
	({                                                                                         \
		int v_ = (fd);                                                                     \
		(fd) = -1;                                                                         \
		v_;                                                                                \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/** strv_len() - number of strings before the NULL; 0 for NULL. */
size_t strv_len(char *const *v);
/** strv_push() - append a copy of @s to *@v (NULL = empty). Return: 0 or -ENOMEM. */
int strv_push(char ***v, const char *s);
/** strf() - asprintf that returns the string, or NULL when memory ran out. */
char *strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *vstrf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/** mem_wipe() - overwrite secrets; the compiler may not drop it. */
void mem_wipe(void *p, size_t n);

/** range_ok() - does [off, off+len) lie inside [0, end)? Overflow-safe. */
static inline bool range_ok(uint64_t off, uint64_t len, uint64_t end)
{
	return off <= end && len <= end - off;
}

/** str_eq() - both NULL, or equal. */
static inline bool str_eq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}
bool str_eq_nocase(const char *a, const char *b); /* ASCII */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/** str_lower() - new ASCII-lower-cased copy; NULL when memory ran out. */
char *str_lower(const char *s);

#endif
