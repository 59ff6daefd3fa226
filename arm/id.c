/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/id.h"

#include <ctype.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "arm/text.h"

#define SEGMENTS_MAX (2 * ARM_ID_PARTS + 16)
#define USUAL_BYTES  320 /* most ids are shorter */

struct split {
	char *bytes;             /* owned: all segments, decoded, NUL between them */
	char *seg[SEGMENTS_MAX]; /* into @bytes */
	size_t n;
};

static int bad(struct err *err, const char *what, size_t at, const char *seg)
{
	(void) err_set(err, -EINVAL, "segment %zu of the path, \"%.100s\", %s", at + 1, seg, what);
	err_arm(err, "InvalidResourceId");
	return -EINVAL;
}

/* One decoded segment must be plain text that cannot be mistaken for path syntax. */
static int check_segment(const char *seg, size_t at, struct err *err)
{
	size_t n = strlen(seg);

	if (n == 0)
		return bad(err, "is empty", at, seg);
	if (str_eq(seg, ".") || str_eq(seg, ".."))
		return bad(err, "is not a name", at, seg);
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char) seg[i];
		size_t step = utf8_seq((const unsigned char *) seg + i, n - i);

		if (step == 0)
			return bad(err, "is not UTF-8", at, "?");
		if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
			return bad(err, "has a control character or a slash", at, "?");
		i += step;
	}
	return 0;
}

/* Splits before decoding, so that an encoded slash never separates; one slash may end the path. */
static int split_path(const char *path, struct split *s, struct err *err)
{
	size_t n = strlen(path);
	char *p;

	if (path[0] != '/')
		return bad(err, "does not begin with a slash", 0, path);
	if (n > ARM_ID_MAX) {
		(void) err_set(err, -EINVAL, "path of %zu bytes, at most %d are accepted", n,
			       ARM_ID_MAX);
		err_arm(err, "InvalidResourceId");
		return -EINVAL;
	}
	if (path[1] == '/') { /* clients put a slash before an id, which begins with one */
		path++;
		n--;
	}
	s->bytes = strdup(path + 1);
	if (!s->bytes)
		return err_set(err, -ENOMEM, "out of memory");
	if (n > 1 && s->bytes[n - 2] == '/')
		s->bytes[n - 2] = '\0';
	if (!s->bytes[0])
		return bad(err, "is empty", 0, "");
	for (p = s->bytes; p;) {
		char *next = strchr(p, '/');

		if (next)
			*next++ = '\0';
		if (s->n == SEGMENTS_MAX)
			return bad(err, "is one too many", s->n, p);
		if (percent_decode(p, false) < 0)
			return bad(err, "has a bad percent escape, %00 or %2F", s->n, p);
		if (check_segment(p, s->n, err) < 0)
			return -EINVAL;
		s->seg[s->n++] = p;
		p = next;
	}
	return 0;
}

/* Where the parts of an id are while it is read. */
struct walk {
	struct arm_id *id;
	struct buf text, type;
	const char *name;  /* the last; NULL for a collection */
	size_t parent_len; /* of @text: everything before the last type segment (and its namespace)
			    */
};

static int copy(const char *s, char **ret)
{
	free(*ret);
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static void forget_names(struct arm_id *id)
{
	for (size_t i = 0; i < id->n_names; i++) {
		free(id->names[i]);
		id->names[i] = NULL;
	}
	id->n_names = 0;
}

static int start_namespace(struct walk *w, const char *ns)
{
	forget_names(w->id);
	w->name = NULL;
	buf_clear(&w->type);
	(void) buf_addstr(&w->type, ns);
	return copy(ns, &w->id->ns);
}

/* Everything so far is what the namespace that follows is applied to. */
static int set_scope(struct walk *w)
{
	w->id->extension = w->id->scope != NULL;
	return copy(buf_str(&w->text), &w->id->scope);
}

static void add_segment(struct buf *b, const char *s)
{
	(void) buf_addch(b, '/');
	(void) buf_addstr(b, s);
}

/* One "type/name" pair; @name NULL = a collection. @spelling replaces the type segment in the
 * text, so that "resourcegroups" is shown as everybody writes it. */
static int add_pair(struct walk *w, size_t parent_len, const char *type, const char *spelling,
		    const char *name)
{
	struct arm_id *id = w->id;
	int r = 0;

	w->parent_len = parent_len;
	add_segment(&w->type, spelling ? spelling : type);
	add_segment(&w->text, spelling ? spelling : type);
	w->name = name;
	if (name) {
		add_segment(&w->text, name);
		if (id->n_names == ARM_ID_PARTS)
			return -E2BIG;
		r = copy(name, &id->names[id->n_names]);
		if (r < 0)
			return r;
		id->n_names++;
		if (str_eq_nocase(type, "locations"))
			r = copy(name, &id->location);
	}
	return r;
}

/* "/subscriptions/S/resourceGroups/G": @*at moves behind what was read. These two have no
 * namespace in their path; their types are Microsoft.Resources/subscriptions and
 * Microsoft.Resources/resourceGroups. */
static int walk_scope(struct walk *w, const struct split *s, size_t *at)
{
	int r;

	if (!str_eq_nocase(s->seg[0], "subscriptions"))
		return 0;
	r = start_namespace(w, "Microsoft.Resources");
	if (r >= 0)
		r = add_pair(w, 0, "subscriptions", "subscriptions", s->n > 1 ? s->seg[1] : NULL);
	if (r >= 0 && s->n > 1)
		r = copy(s->seg[1], &w->id->subscription);
	*at = s->n > 1 ? 2 : 1;
	if (r < 0 || s->n < 3 || !str_eq_nocase(s->seg[2], "resourceGroups"))
		return r;
	r = start_namespace(w, "Microsoft.Resources");
	if (r >= 0)
		r = add_pair(w, w->text.len, "resourceGroups", "resourceGroups",
			     s->n > 3 ? s->seg[3] : NULL);
	if (r >= 0 && s->n > 3)
		r = copy(s->seg[3], &w->id->group);
	*at = s->n > 3 ? 4 : 3;
	return r;
}

static int walk_rest(struct walk *w, const struct split *s, size_t at)
{
	int r = 0;

	if (at == 0 && !str_eq_nocase(s->seg[0], "providers"))
		r = start_namespace(w, "Microsoft.Resources");
	while (at < s->n && r >= 0) {
		size_t parent_len = w->text.len;
		const char *name = at + 1 < s->n ? s->seg[at + 1] : NULL;

		if (!str_eq_nocase(s->seg[at], "providers")) {
			r = add_pair(w, parent_len, s->seg[at], NULL, name);
			at += 2;
		} else if (at + 2 < s->n) {
			r = start_namespace(w, name);
			if (r >= 0)
				r = set_scope(w);
			(void) buf_addstr(&w->text, "/providers");
			add_segment(&w->text, name);
			if (r >= 0)
				r = add_pair(w, parent_len, s->seg[at + 2], NULL,
					     at + 3 < s->n ? s->seg[at + 3] : NULL);
			at += 4;
		} else {
			/* the provider itself: a resource of type Microsoft.Resources/providers */
			r = start_namespace(w, "Microsoft.Resources");
			if (r >= 0)
				r = add_pair(w, parent_len, "providers", "providers", name);
			at += 2;
		}
	}
	return r;
}

static int take_walk(struct walk *w)
{
	struct arm_id *id = w->id;

	id->parent = strndup(buf_str(&w->text), w->parent_len);
	id->text = buf_take(&w->text);
	id->type = buf_take(&w->type);
	id->key = id->text ? str_lower(id->text) : NULL;
	id->name = w->name ? strdup(w->name) : NULL;
	return id->text && id->type && id->key && id->parent && (id->name || !w->name) ? 0
										       : -ENOMEM;
}

int arm_id_parse(const char *path, struct arm_id *ret, struct err *err)
{
	struct arm_id id = {0};
	struct walk w = {
		.id = &id, .text = BUF_INIT(ARM_ID_MAX + 1), .type = BUF_INIT(ARM_ID_MAX + 64)};
	struct split s = {0};
	size_t at = 0;
	int r = split_path(path, &s, err);

	if (r >= 0) {
		/* Room at once for what most ids are. */
		if (strlen(path) <= USUAL_BYTES)
			(void) buf_reserve(&w.text, USUAL_BYTES);
		(void) buf_reserve(&w.type, 64);
		r = walk_scope(&w, &s, &at);
		if (r >= 0)
			r = walk_rest(&w, &s, at);
		if (r >= 0)
			r = buf_err(&w.text) < 0 ? buf_err(&w.text) : buf_err(&w.type);
		if (r >= 0)
			r = take_walk(&w);
		if (r == -ENOMEM)
			(void) err_set(err, r, "out of memory");
		else if (r < 0)
			r = bad(err, "is one too many", s.n - 1, s.seg[s.n - 1]);
	}
	buf_done(&w.text);
	buf_done(&w.type);
	free(s.bytes);
	if (r < 0) {
		arm_id_done(&id);
		return r;
	}
	*ret = id;
	return 0;
}

void arm_id_done(struct arm_id *id)
{
	forget_names(id);
	free(id->name);
	free(id->text);
	free(id->key);
	free(id->subscription);
	free(id->group);
	free(id->ns);
	free(id->type);
	free(id->parent);
	free(id->scope);
	free(id->location);
	*id = (struct arm_id){0};
}

int arm_id_eq(const char *a, const char *b)
{
	size_t n = strlen(a), k = strlen(b);

	if (n > 1 && a[n - 1] == '/')
		n--;
	if (k > 1 && b[k - 1] == '/')
		k--;
	if (n != k)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return 0;
	return 1;
}

char *location_normalize(const char *name)
{
	char *s = malloc(strlen(name) + 1), *d = s;

	if (!s)
		return NULL;
	for (; *name; name++)
		if (*name != ' ')
			*d++ = ascii_lower(*name);
	*d = '\0';
	return s;
}
