/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/filter.h"

#include <ctype.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

enum node_kind { NODE_TERM, NODE_AND, NODE_OR, NODE_NOT };
struct node {
	enum node_kind kind;
	size_t a, b; /* terms and nodes by index */
};

#define NODES_MAX (4 * FILTER_TERMS)

struct filter {
	struct filter_term terms[FILTER_TERMS];
	struct node nodes[NODES_MAX];
	size_t n_terms, n_nodes, root;
};

struct parse {
	struct filter *f;
	const char *text, *p;
	unsigned depth;
	struct err *err;
};

static const char *const op_names[] = {"eq", "ne", "gt", "ge", "lt", "le"};

static int bad(struct parse *s, const char *what)
{
	(void) err_set(s->err, -EINVAL, "\"$filter\": %s at character %zu of \"%.200s\"", what,
		       (size_t) (s->p - s->text) + 1, s->text);
	err_target(s->err, "$filter");
	err_arm(s->err, "InvalidFilterInQueryString");
	return -EINVAL;
}

static int no_memory(struct parse *s)
{
	return err_set(s->err, -ENOMEM, "out of memory");
}

static void skip(struct parse *s)
{
	while (*s->p == ' ' || *s->p == '\t')
		s->p++;
}

static bool is_name(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '-' || c == '.' || c == ':';
}

static bool take_char(struct parse *s, char c)
{
	skip(s);
	if (*s->p != c)
		return false;
	s->p++;
	return true;
}

static bool take_word(struct parse *s, const char *word)
{
	size_t n = strlen(word);

	skip(s);
	if (strncasecmp(s->p, word, n) != 0 || is_name(s->p[n]) || s->p[n] == '/')
		return false;
	s->p += n;
	return true;
}

/* ---- Literals and names ------------------------------------------------------------------- */

static int take_quoted(struct parse *s, char **ret)
{
	struct buf b = BUF_INIT(FILTER_MAX + 1);

	s->p++;
	for (; *s->p; s->p++) {
		if (*s->p == '\'' && s->p[1] != '\'')
			break;
		if (*s->p == '\'')
			s->p++;
		(void) buf_addch(&b, *s->p);
	}
	if (*s->p != '\'') {
		buf_done(&b);
		return bad(s, "a quote that is not closed");
	}
	s->p++;
	*ret = b.len > 0 ? buf_take(&b) : strdup("");
	buf_done(&b);
	return *ret ? 0 : no_memory(s);
}

/* A name, a number, a date or a path of names. */
static int take_bare(struct parse *s, char **ret)
{
	const char *from = s->p;

	while (is_name(*s->p) || (s->p > from && *s->p == '/') || (s->p > from && *s->p == '+'))
		s->p++;
	if (s->p == from)
		return bad(s, "a name or a value is expected");
	*ret = strndup(from, (size_t) (s->p - from));
	return *ret ? 0 : no_memory(s);
}

static int take_value(struct parse *s, char **ret)
{
	static const char datetime[] = "datetime'";

	skip(s);
	if (strncasecmp(s->p, datetime, sizeof(datetime) - 1) == 0)
		s->p += sizeof(datetime) - 2;
	return *s->p == '\'' ? take_quoted(s, ret) : take_bare(s, ret);
}

/* ---- Grammar ------------------------------------------------------------------------------ */

static int add_node(struct parse *s, enum node_kind kind, size_t a, size_t b, size_t *ret)
{
	if (s->f->n_nodes == NODES_MAX)
		return bad(s, "too many terms");
	s->f->nodes[s->f->n_nodes] = (struct node){kind, a, b};
	*ret = s->f->n_nodes++;
	return 0;
}

static int take_args(struct parse *s, struct filter_term *t)
{
	int r = 0;

	t->op = FILTER_CALL;
	if (take_char(s, ')'))
		return 0;
	do {
		if (t->n_args == FILTER_ARGS)
			return bad(s, "too many arguments");
		r = take_value(s, &t->args[t->n_args]);
		if (r < 0)
			return r;
		t->n_args++;
	} while (take_char(s, ','));
	return take_char(s, ')') ? 0 : bad(s, "')' is expected");
}

static int take_comparison(struct parse *s, struct filter_term *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(op_names); i++) {
		int r;

		if (!take_word(s, op_names[i]))
			continue;
		t->op = (enum filter_op) i;
		r = take_value(s, &t->args[0]);
		t->n_args = r < 0 ? 0 : 1;
		return r;
	}
	return bad(s, "one of eq, ne, gt, ge, lt, le is expected");
}

static int take_term(struct parse *s, size_t *ret)
{
	struct filter_term *t;
	int r;

	if (s->f->n_terms == FILTER_TERMS)
		return bad(s, "too many terms");
	t = &s->f->terms[s->f->n_terms++];
	skip(s);
	r = take_bare(s, &t->name);
	if (r < 0)
		return r;
	r = take_char(s, '(') ? take_args(s, t) : take_comparison(s, t);
	if (r >= 0)
		r = add_node(s, NODE_TERM, s->f->n_terms - 1, 0, ret);
	/* "function() eq true" says what "function()" says */
	if (r < 0 || t->op != FILTER_CALL || !take_word(s, "eq"))
		return r;
	if (take_word(s, "true"))
		return 0;
	if (take_word(s, "false"))
		return add_node(s, NODE_NOT, *ret, 0, ret);
	return bad(s, "true or false is expected");
}

static int take_or(struct parse *s, size_t *ret);

static int take_unary(struct parse *s, size_t *ret)
{
	int r;

	if (s->depth == FILTER_DEPTH)
		return bad(s, "too deep");
	s->depth++;
	if (take_word(s, "not")) {
		r = take_unary(s, ret);
		if (r >= 0)
			r = add_node(s, NODE_NOT, *ret, 0, ret);
	} else if (take_char(s, '(')) {
		r = take_or(s, ret);
		if (r >= 0 && !take_char(s, ')'))
			r = bad(s, "')' is expected");
	} else {
		r = take_term(s, ret);
	}
	s->depth--;
	return r;
}

static int take_and(struct parse *s, size_t *ret)
{
	int r = take_unary(s, ret);

	while (r >= 0 && take_word(s, "and")) {
		size_t right = 0;

		r = take_unary(s, &right);
		if (r >= 0)
			r = add_node(s, NODE_AND, *ret, right, ret);
	}
	return r;
}

static int take_or(struct parse *s, size_t *ret)
{
	int r = take_and(s, ret);

	while (r >= 0 && take_word(s, "or")) {
		size_t right = 0;

		r = take_and(s, &right);
		if (r >= 0)
			r = add_node(s, NODE_OR, *ret, right, ret);
	}
	return r;
}

int filter_parse(const char *text, struct filter **ret, struct err *err)
{
	struct parse s = {.text = text, .p = text, .err = err};
	int r;

	s.f = calloc(1, sizeof(*s.f));
	if (!s.f)
		return no_memory(&s);
	if (strlen(text) > FILTER_MAX) {
		r = bad(&s, "too long a text");
	} else {
		r = take_or(&s, &s.f->root);
		skip(&s);
		if (r >= 0 && *s.p)
			r = bad(&s, "\"and\", \"or\" or the end is expected");
	}
	if (r < 0) {
		filter_free(s.f);
		return r;
	}
	*ret = s.f;
	return 0;
}

void filter_free(struct filter *f)
{
	for (size_t i = 0; f && i < f->n_terms; i++) {
		free(f->terms[i].name);
		for (size_t k = 0; k < FILTER_ARGS; k++)
			free(f->terms[i].args[k]);
	}
	free(f);
}

/* ---- Use ---------------------------------------------------------------------------------- */

size_t filter_n_terms(const struct filter *f)
{
	return f ? f->n_terms : 0;
}

const struct filter_term *filter_term(const struct filter *f, size_t i)
{
	return &f->terms[i];
}

static int match(const struct filter *f, size_t at, filter_test *test, void *arg)
{
	const struct node *n = &f->nodes[at];
	int r;

	if (n->kind == NODE_TERM)
		return test(arg, &f->terms[n->a]);
	r = match(f, n->a, test, arg);
	if (r < 0)
		return r;
	if (n->kind == NODE_NOT)
		return !r;
	if (n->kind == NODE_AND ? !r : r)
		return r;
	return match(f, n->b, test, arg);
}

int filter_match(const struct filter *f, filter_test *test, void *arg)
{
	return f ? match(f, f->root, test, arg) : 1;
}

static const char *needs(const struct filter *f, size_t at, const char *name, enum filter_op op)
{
	const struct node *n = &f->nodes[at];
	const struct filter_term *t = &f->terms[n->a];
	const char *found;

	if (n->kind == NODE_TERM)
		return t->op == op && t->n_args > 0 && str_eq_nocase(t->name, name) ? t->args[0]
										    : NULL;
	if (n->kind != NODE_AND)
		return NULL;
	found = needs(f, n->a, name, op);
	return found ? found : needs(f, n->b, name, op);
}

const char *filter_needs(const struct filter *f, const char *name, enum filter_op op)
{
	return f ? needs(f, f->root, name, op) : NULL;
}

bool filter_compare(const struct filter_term *t, const char *value)
{
	const char *literal = t->args[0];
	int order;

	if (!value) {
		bool null = str_eq(literal, "null");

		return t->op == FILTER_EQ ? null : t->op == FILTER_NE && !null;
	}
	order = strcasecmp(value, literal);
	switch (t->op) {
	case FILTER_EQ:
		return order == 0;
	case FILTER_NE:
		return order != 0;
	case FILTER_GT:
		return order > 0;
	case FILTER_GE:
		return order >= 0;
	case FILTER_LT:
		return order < 0;
	case FILTER_LE:
		return order <= 0;
	case FILTER_CALL:
		break;
	}
	return false;
}

int filter_unsupported(const struct filter_term *t, struct err *err)
{
	(void) err_set(err, -EINVAL,
		       "\"$filter\": \"%.100s%s\" is not something that this list can"
		       " be filtered by%s%s",
		       t->name, t->op == FILTER_CALL ? "()" : "",
		       t->op == FILTER_CALL ? "" : " with ",
		       t->op == FILTER_CALL ? "" : op_names[t->op]);
	err_target(err, "$filter");
	err_arm(err, "InvalidFilterInQueryString");
	return -EINVAL;
}
