/* SPDX-License-Identifier: Apache-2.0 */
/* APT entries: both formats in, deb822 without credentials out. */
#include <dirent.h>
#include <sys/stat.h>

#include "bake/platform_internal.h"
#include "base/file.h"
#include "base/mem.h"

#define TEXT_MAX (1u << 20)

static void source_done(struct apt_source *s)
{
	strv_free(s->uris);
	strv_free(s->suites);
	strv_free(s->components);
	free(s->signed_by);
	*s = (struct apt_source){0};
}

void apt_sources_done(struct apt_sources *s)
{
	for (size_t k = 0; k < s->n; k++)
		source_done(&s->v[k]);
	free(s->v);
	*s = (struct apt_sources){0};
}

/* Moves @s in, also on failure. */
static int sources_push(struct apt_sources *list, struct apt_source *s)
{
	struct apt_source *v = reallocarray(list->v, list->n + 1, sizeof(*v));

	if (!v) {
		source_done(s);
		return -ENOMEM;
	}
	list->v = v;
	v[list->n++] = *s;
	*s = (struct apt_source){0};
	return 0;
}

/* Words of @text (blanks, tabs and newlines between) onto *@v. */
static int push_words(char ***v, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, " \t\n");
		char *w;
		int r;

		if (n == 0) {
			text++;
			continue;
		}
		w = strndup(text, n);
		r = w ? strv_push(v, w) : -ENOMEM;
		free(w);
		if (r < 0)
			return r;
		text += n;
	}
	return 0;
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	while (*text) {
		size_t n = strcspn(text, " \t\n,");

		if (n == len && memcmp(text, word, n) == 0)
			return true;
		text += n ? n : 1;
	}
	return false;
}

static int finish_source(struct apt_sources *list, struct apt_source *s, const char *name,
			 struct err *err)
{
	if (!s->uris || !s->suites) {
		source_done(s);
		return err_set(err, -EINVAL, "%s: an APT entry without %s", name,
			       s->uris ? "suites" : "URIs");
	}
	return sources_push(list, s) < 0 ? err_set(err, -ENOMEM, "%s: out of memory", name) : 0;
}

/* --- deb822 --- */

struct field {
	char *name, *value; /* continuation lines joined by newlines, their first blank cut */
};

static const char *field_get(const struct field *f, size_t n, const char *name)
{
	for (size_t k = 0; k < n; k++)
		if (str_eq_nocase(f[k].name, name))
			return f[k].value;
	return NULL;
}

/* A value as deb822 has it: a line of "." is an empty one. */
static int add_value(struct buf *b, const char *line)
{
	while (*line == ' ' || *line == '\t')
		line++;
	return buf_addf(b, "%s%s", b->len ? "\n" : "", str_eq(line, ".") ? "" : line);
}

static int stanza_source(const struct field *f, size_t n, const char *name, struct apt_sources *ret,
			 struct err *err)
{
	const char *types = field_get(f, n, "Types"), *enabled = field_get(f, n, "Enabled");
	const char *arch = field_get(f, n, "Architectures");
	const char *key = field_get(f, n, "Signed-By");
	struct apt_source s = {0};
	int r;

	if (!types || !has_word(types, "deb") || (enabled && str_eq_nocase(enabled, "no")) ||
	    (arch && !has_word(arch, "amd64") && !has_word(arch, "all")))
		return 0;
	r = field_get(f, n, "URIs") ? push_words(&s.uris, field_get(f, n, "URIs")) : 0;
	if (r == 0 && field_get(f, n, "Suites"))
		r = push_words(&s.suites, field_get(f, n, "Suites"));
	if (r == 0 && field_get(f, n, "Components"))
		r = push_words(&s.components, field_get(f, n, "Components"));
	if (r == 0 && key) {
		s.signed_by = strdup(key);
		r = s.signed_by ? 0 : -ENOMEM;
	}
	if (r < 0) {
		source_done(&s);
		return err_set(err, r, "%s: out of memory", name);
	}
	return finish_source(ret, &s, name, err);
}

#define MAX_FIELDS 64

static void fields_clear(struct field *f, size_t *n)
{
	for (size_t k = 0; k < *n; k++) {
		free(f[k].name);
		free(f[k].value);
	}
	*n = 0;
}

/* One field: its first line, then the indented ones after it. *@p goes past them. */
static int take_field(char **p, struct field *ret, const char *name, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(TEXT_MAX);
	char *line = strsep(p, "\n"), *colon = strchr(line, ':');

	if (!colon || colon == line)
		return err_set(err, -EINVAL, "%s: expected 'Field: value', found '%.60s'", name,
			       line);
	*colon = '\0';
	if (colon[1 + strspn(colon + 1, " \t")])
		(void) add_value(&b, colon + 1);
	while (*p && (**p == ' ' || **p == '\t' || **p == '#')) {
		bool comment = **p == '#';

		line = strsep(p, "\n");
		if (!comment)
			(void) add_value(&b, line);
	}
	ret->value = buf_take(&b);
	return ret->value ? 0 : err_set(err, -ENOMEM, "%s: out of memory", name);
}

static int parse_deb822(char *text, const char *name, struct apt_sources *ret, struct err *err)
{
	struct field f[MAX_FIELDS];
	size_t n = 0;
	char *p = text;
	int r = 0;

	while (r == 0 && p) {
		size_t blank = strspn(p, " \t\r");

		if (*p == '#') {
			(void) strsep(&p, "\n");
		} else if (p[blank] == '\n' || p[blank] == '\0') {
			r = stanza_source(f, n, name, ret, err);
			fields_clear(f, &n);
			(void) strsep(&p, "\n");
		} else if (n == MAX_FIELDS) {
			r = err_set(err, -EINVAL, "%s: more than %d fields", name, MAX_FIELDS);
		} else {
			char *field_name = p;

			f[n] = (struct field){NULL, NULL};
			r = take_field(&p, &f[n], name, err);
			if (r == 0 && !(f[n].name = strdup(field_name)))
				r = err_set(err, -ENOMEM, "%s: out of memory", name);
			if (r == 0)
				n++;
			else
				free(f[n].value);
		}
	}
	if (r == 0 && n > 0)
		r = stanza_source(f, n, name, ret, err);
	fields_clear(f, &n);
	return r;
}

/* --- one line: deb [option=value ...] URI SUITE COMPONENT... --- */

static int parse_line(char *line, const char *name, struct apt_sources *ret, struct err *err)
{
	struct apt_source s = {0};
	char *hash = strchr(line, '#'), *p = line, *options = NULL, *word, *rest;
	bool skip = false;
	int r = 0;

	if (hash)
		*hash = '\0';
	p += strspn(p, " \t");
	if (strncmp(p, "deb", 3) != 0 || !strchr(" \t", p[3]) || !p[3])
		return 0; /* blank, comment or deb-src */
	p += 3;
	p += strspn(p, " \t");
	if (*p == '[') {
		options = p + 1;
		p = strchr(options, ']');
		if (!p)
			return err_set(err, -EINVAL, "%s: '[' without ']'", name);
		*p++ = '\0';
	}
	for (word = options ? strtok_r(options, " \t", &rest) : NULL; word && r == 0;
	     word = strtok_r(NULL, " \t", &rest)) {
		if (str_starts(word, "signed-by=")) {
			free(s.signed_by);
			s.signed_by = strdup(word + 10);
			r = s.signed_by ? 0 : -ENOMEM;
		} else if (str_starts(word, "arch=") && !has_word(word + 5, "amd64")) {
			skip = true;
		}
	}
	for (unsigned k = 0; r == 0 && (word = strsep(&p, " \t"));)
		if (*word) {
			r = strv_push(k == 0 ? &s.uris : k == 1 ? &s.suites : &s.components, word);
			k++;
		}
	if (r < 0 || skip) {
		source_done(&s);
		return r < 0 ? err_set(err, r, "%s: out of memory", name) : 0;
	}
	return finish_source(ret, &s, name, err);
}

static bool is_one_line(const char *text)
{
	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += strspn(p, " \t\n");
		if (*p == '#' || !*p)
			continue;
		return strncmp(p, "deb ", 4) == 0 || strncmp(p, "deb\t", 4) == 0 ||
		       strncmp(p, "deb-src", 7) == 0;
	}
	return true;
}

int apt_sources_parse(const char *text, const char *name, struct apt_sources *ret, struct err *err)
{
	auto_free char *copy = strdup(text);
	char *line, *rest;
	int r = 0;

	if (!copy)
		return err_set(err, -ENOMEM, "%s: out of memory", name);
	if (!is_one_line(text))
		return parse_deb822(copy, name, ret, err);
	for (line = strtok_r(copy, "\n", &rest); line && r == 0; line = strtok_r(NULL, "\n", &rest))
		r = parse_line(line, name, ret, err);
	return r;
}

/* --- which of the host's entries --- */

static bool suite_fits(const char *have, const char *suite)
{
	static const char *const tails[] = {"", "-updates", "-security", "/updates"};
	size_t n = strlen(suite);

	if (strncmp(have, suite, n) != 0)
		return false;
	for (size_t k = 0; k < ARRAY_SIZE(tails); k++)
		if (str_eq(have + n, tails[k]))
			return true;
	return false;
}

/* "//user:password@host/x": where what follows the credentials begins, and the slashes end. */
static const char *after_credentials(const char *uri, size_t *ret_head)
{
	const char *p = strstr(uri, "://"), *at;

	*ret_head = 0;
	if (!p)
		return uri;
	p += 3;
	*ret_head = (size_t) (p - uri);
	at = memchr(p, '@', strcspn(p, "/"));
	while (at) {
		p = at + 1;
		at = memchr(p, '@', strcspn(p, "/"));
	}
	return p;
}

/* APT's name of a kept release file, without _InRelease: '_' is quoted, '/' becomes '_'. */
static char *list_name(const char *uri, const char *suite)
{
	auto_buf struct buf b = BUF_INIT(8192);
	size_t head;
	const char *p = after_credentials(uri, &head);
	const char *parts[] = {p, "dists", suite};

	for (size_t k = 0; k < ARRAY_SIZE(parts); k++) {
		size_t n = strlen(parts[k]);

		while (n > 0 && parts[k][n - 1] == '/')
			n--;
		if (k)
			(void) buf_addch(&b, '_');
		for (size_t i = 0; i < n; i++)
			(void) (parts[k][i] == '_'   ? buf_addstr(&b, "%5f")
				: parts[k][i] == '/' ? buf_addch(&b, '_')
						     : buf_addch(&b, parts[k][i]));
	}
	return buf_take(&b);
}

/* 1: Debian's, 0: another's, -ENOENT: no release file is kept. */
static int kept_origin(const char *lists, const char *uri, const char *suite)
{
	static const char *const tails[] = {"_InRelease", "_Release"};
	auto_free char *base = list_name(uri, suite);

	for (size_t k = 0; base && k < ARRAY_SIZE(tails); k++) {
		auto_buf struct buf b = BUF_INIT(8u << 20);
		auto_err struct err ignored = ERR_INIT;
		auto_free char *path = strf("%s/%s%s", lists, base, tails[k]);

		if (path && file_read_all(path, &b, &ignored) == 0)
			return strstr(buf_str(&b), "\nOrigin: Debian\n") != NULL;
	}
	return -ENOENT;
}

static bool is_debians(const char *lists, const struct apt_source *s, const char *suite)
{
	for (char **u = s->uris; *u; u++) {
		int r = kept_origin(lists, *u, suite);

		if (r == 0)
			return false;
		if (r < 0 && s->signed_by && !strstr(s->signed_by, "debian-archive"))
			return false;
	}
	return true;
}

static int keep_fitting(const struct apt_sources *all, const char *lists, const char *suite,
			struct apt_sources *ret)
{
	for (size_t k = 0; k < all->n; k++) {
		const struct apt_source *a = &all->v[k];
		struct apt_source s = {0};
		int r = 0;

		for (char **v = a->suites; *v && r == 0; v++)
			if (suite_fits(*v, suite) && is_debians(lists, a, *v))
				r = strv_push(&s.suites, *v);
		if (r == 0 && !s.suites)
			continue;
		for (char **v = a->uris; *v && r == 0; v++)
			r = strv_push(&s.uris, *v);
		for (char **v = a->components; v && *v && r == 0; v++)
			r = strv_push(&s.components, *v);
		if (r == 0 && a->signed_by && !(s.signed_by = strdup(a->signed_by)))
			r = -ENOMEM;
		if (r == 0)
			r = sources_push(ret, &s);
		else
			source_done(&s);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_file(const char *path, struct apt_sources *ret, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(TEXT_MAX);
	int r = file_read_all(path, &b, err);

	return r < 0 ? r : apt_sources_parse(buf_str(&b), path, ret, err);
}

static int is_source_file(const struct dirent *e)
{
	return e->d_name[0] != '.' &&
	       (str_ends(e->d_name, ".list") || str_ends(e->d_name, ".sources"));
}

static int parse_dir(const char *dir, struct apt_sources *ret, struct err *err)
{
	struct dirent **v = NULL;
	int n = scandir(dir, &v, is_source_file, alphasort), r = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: cannot read", dir);
	for (int k = 0; k < n; k++) {
		auto_free char *path = path_join(dir, v[k]->d_name);

		if (r == 0)
			r = path ? parse_file(path, ret, err)
				 : err_set(err, -ENOMEM, "out of memory");
		free(v[k]);
	}
	free(v);
	return r;
}

int apt_sources_host(const char *etc_apt, const char *lists, const char *suite,
		     struct apt_sources *ret, struct err *err)
{
	auto_free char *file = path_join(etc_apt, "sources.list");
	auto_free char *dir = path_join(etc_apt, "sources.list.d");
	struct apt_sources all = {0};
	int r = file && dir ? 0 : err_set(err, -ENOMEM, "out of memory");

	if (r == 0 && file_exists(file))
		r = parse_file(file, &all, err);
	if (r == 0)
		r = parse_dir(dir, &all, err);
	if (r == 0 && keep_fitting(&all, lists, suite, ret) < 0)
		r = err_set(err, -ENOMEM, "out of memory");
	apt_sources_done(&all);
	if (r < 0 || ret->n > 0)
		return r;
	r = err_set(err, -ENOENT, "%s has no entry of Debian's archive for %s", etc_apt, suite);
	err_hint(err, "Add one, or name the archive in kiln.yaml: platform.sources.");
	return r;
}

int apt_sources_load(const json_t *configured, const char *suite, struct apt_sources *ret,
		     struct err *err)
{
	size_t k;
	json_t *v;
	int r = 0;

	if (!configured)
		return apt_sources_host("/etc/apt", "/var/lib/apt/lists", suite, ret, err);
	json_array_foreach((json_t *) (uintptr_t) configured, k, v)
	{
		if (r == 0)
			r = json_is_string(v)
				    ? apt_sources_parse(json_string_value(v), "platform.sources",
							ret, err)
				    : err_set(err, -EINVAL,
					      "platform.sources[%zu]: expected a string", k);
	}
	if (r == 0 && ret->n == 0)
		r = err_set(err, -EINVAL, "platform.sources: no 'deb' entry for amd64");
	return r;
}

/* --- out --- */

static void add_words(struct buf *b, const char *name, char **v, bool strip)
{
	(void) buf_addf(b, "%s:", name);
	for (; v && *v; v++) {
		size_t head = 0;
		const char *rest = strip ? after_credentials(*v, &head) : *v;

		(void) buf_addf(b, " %.*s%s", (int) head, *v, rest);
	}
	(void) buf_addch(b, '\n');
}

static void add_key(struct buf *b, const char *key)
{
	const char *p = key;

	if (!strchr(key, '\n')) {
		(void) buf_addf(b, "Signed-By: %s\n", key);
		return;
	}
	(void) buf_addstr(b, "Signed-By:\n");
	while (p) {
		size_t n = strcspn(p, "\n");

		(void) buf_addf(b, " %.*s\n", n ? (int) n : 1, n ? p : ".");
		p = p[n] ? p + n + 1 : NULL;
	}
}

static int add_host(json_t *hosts, const char *uri)
{
	size_t head, n;
	const char *p = after_credentials(uri, &head);
	bool https = str_starts(uri, "https:");
	auto_free char *text = NULL;
	size_t k;
	json_t *v;

	if (!https && !str_starts(uri, "http:"))
		return 0;
	n = strcspn(p, "/");
	if (memchr(p, ':', n) && p[n - 1] != ']')
		text = strndup(p, n);
	else
		text = strf("%.*s:%d", (int) n, p, https ? 443 : 80);
	if (!text)
		return -ENOMEM;
	json_array_foreach(hosts, k, v)
	{
		if (str_eq(json_string_value(v), text))
			return 0;
	}
	return json_array_append_new(hosts, json_string(text)) < 0 ? -ENOMEM : 0;
}

int apt_sources_public(const struct apt_sources *s, json_t **ret, json_t **ret_hosts,
		       struct err *err)
{
	auto_json json_t *texts = json_array(), *hosts = json_array();
	int r = texts && hosts ? 0 : -ENOMEM;

	for (size_t k = 0; r == 0 && k < s->n; k++) {
		auto_buf struct buf b = BUF_INIT(TEXT_MAX);

		(void) buf_addstr(&b, "Types: deb\n");
		add_words(&b, "URIs", s->v[k].uris, true);
		add_words(&b, "Suites", s->v[k].suites, false);
		if (s->v[k].components)
			add_words(&b, "Components", s->v[k].components, false);
		if (s->v[k].signed_by)
			add_key(&b, s->v[k].signed_by);
		r = buf_err(&b);
		if (r == 0 && json_array_append_new(texts, json_string(buf_str(&b))) < 0)
			r = -ENOMEM;
		for (char **u = s->v[k].uris; r == 0 && *u; u++)
			r = add_host(hosts, *u);
	}
	if (r < 0)
		return err_set(err, r, "APT entries: out of memory");
	*ret = take_ptr(texts);
	if (ret_hosts)
		*ret_hosts = take_ptr(hosts);
	return 0;
}

static int key_option(const struct apt_source *s, size_t index, const char *key_dir, char **ret,
		      struct err *err)
{
	auto_free char *path = NULL;
	int r;

	if (!s->signed_by) {
		*ret = strdup("");
		return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	if (!strchr(s->signed_by, '\n')) {
		*ret = strf("[signed-by=%s] ", s->signed_by);
		return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	path = strf("%s/key%zu.asc", key_dir, index);
	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	r = file_write_atomic(path, s->signed_by, strlen(s->signed_by), 0644, err);
	if (r < 0)
		return r;
	*ret = strf("[signed-by=%s] ", path);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int apt_sources_lines(const struct apt_sources *s, const char *key_dir, struct buf *out,
		      struct err *err)
{
	for (size_t k = 0; k < s->n; k++) {
		auto_free char *option = NULL;
		int r = key_option(&s->v[k], k, key_dir, &option, err);

		if (r < 0)
			return r;
		for (char **u = s->v[k].uris; *u; u++)
			for (char **v = s->v[k].suites; *v; v++) {
				(void) buf_addf(out, "deb %s%s %s", option, *u, *v);
				for (char **c = s->v[k].components; c && *c; c++)
					(void) buf_addf(out, " %s", *c);
				(void) buf_addch(out, '\n');
			}
	}
	return buf_err(out) < 0 ? err_set(err, buf_err(out), "APT entries: too long") : 0;
}

int platform_sources(const json_t *configured, const char *suite, json_t **ret, json_t **ret_hosts,
		     struct err *err)
{
	struct apt_sources s = {0};
	int r = apt_sources_load(configured, suite, &s, err);

	if (r == 0)
		r = apt_sources_public(&s, ret, ret_hosts, err);
	apt_sources_done(&s);
	return r;
}
