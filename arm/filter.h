/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "$filter": the part of OData that ARM's lists take.
 *
 *	filter  = term { ("and" | "or") term }		"and" binds closer
 *	term    = "not" term | "(" filter ")" | field op literal | function [ "eq" ("true"|"false")
 *] field   = name { "/" name } op      = "eq" | "ne" | "gt" | "ge" | "lt" | "le" literal = 'text,
 *'' for one quote' | number | true | false | null | 2026-01-31T23:59:59Z function = name "(" [
 *(field | literal) { "," (field | literal) } ] ")"
 *
 * Words are compared without case. What a field means is the list's business. Pure.
 */
#ifndef KILN_ARM_FILTER_H
#define KILN_ARM_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define FILTER_MAX   4096 /* bytes */
#define FILTER_TERMS 32
#define FILTER_DEPTH 16
#define FILTER_ARGS  3

enum filter_op {
	FILTER_EQ,
	FILTER_NE,
	FILTER_GT,
	FILTER_GE,
	FILTER_LT,
	FILTER_LE,
	FILTER_CALL, /* a function */
};

struct filter_term {
	enum filter_op op;
	char *name;              /* owned: of the field or function */
	char *args[FILTER_ARGS]; /* owned: the literal; or a function's arguments */
	size_t n_args;
};

struct filter;
/** filter_parse() - 0, -EINVAL (the message says where; code InvalidFilterInQueryString), -ENOMEM.
 */
int filter_parse(const char *text, struct filter **ret, struct err *err);
void filter_free(struct filter *f); /* NULL is fine */
static inline void filter_freep(struct filter **f)
{
	filter_free(*f);
}
#define auto_filter __attribute__((cleanup(filter_freep)))

size_t filter_n_terms(const struct filter *f);
const struct filter_term *filter_term(const struct filter *f, size_t i);

/* Does it hold? 1, 0 or -errno, which ends the judging. */
typedef int filter_test(void *arg, const struct filter_term *t);
/** filter_match() - of the whole; NULL holds always. 1, 0 or what a test failed with. */
int filter_match(const struct filter *f, filter_test *test, void *arg);
/** filter_needs() - the literal of a term "@name @op literal" (FILTER_CALL: the first argument)
 *  that must hold for the whole to hold; NULL when there is none. */
const char *filter_needs(const struct filter *f, const char *name, enum filter_op op);
/** filter_compare() - a term's literal against text: case counts for nothing. */
bool filter_compare(const struct filter_term *t, const char *value);
/** filter_unsupported() - -EINVAL for a term that a list does not know. */
int filter_unsupported(const struct filter_term *t, struct err *err);

#endif
