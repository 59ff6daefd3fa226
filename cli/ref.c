/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/ref.h"
#include "providers/app.h"
#include "providers/versions.h"

#define VERSION_TYPE   "Microsoft.Compute/galleries/images/versions"
#define REF_CANDIDATES 8 /* ids that an ambiguity names */
#define SHORT_PREFIX   "/resourcegroups/"
#define PLACEHOLDER    "{subscription}"

static bool starts_nocase(const char *s, const char *lower_prefix)
{
	for (; *lower_prefix; s++, lower_prefix++) {
		char c = *s >= 'A' && *s <= 'Z' ? (char) (*s - 'A' + 'a') : *s;

		if (c != *lower_prefix)
			return false;
	}
	return true;
}

char *ref_expand(const struct app *a, const char *typed)
{
	const char *sub = json_str_at(a->admin, "subscriptionId");
	const char *hole = strstr(typed, PLACEHOLDER);

	if (starts_nocase(typed, SHORT_PREFIX))
		return strf("/subscriptions/%s%s", sub, typed);
	if (hole)
		return strf("%.*s%s%s", (int) (hole - typed), typed, sub,
			    hole + strlen(PLACEHOLDER));
	return strdup(typed);
}

/* ---- Names to ids --------------------------------------------------------------------------- */

struct finder {
	char *const *names;
	size_t n_names;
	const char *group;
	bool latest; /* the last name was "latest" and is not compared */
	char **found;
};

static int find_one(void *arg, const char *id, const json_t *doc)
{
	struct finder *f = arg;
	auto_arm_id struct arm_id a = {0};
	size_t n = f->n_names;
	int r = arm_id_parse(id, &a, NULL);

	(void) doc;
	if (r < 0)
		return r;
	if (a.n_names != n || (f->group && !(a.group && str_eq_nocase(a.group, f->group))))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!str_eq_nocase(a.names[i], f->names[i]))
			return 0;
	return strv_push(&f->found, id);
}

static size_t type_depth(const char *type)
{
	size_t n = 0;

	for (; *type; type++)
		n += *type == '/';
	return n;
}

static const char *type_word(const char *type)
{
	return strrchr(type, '/') + 1;
}

static int find_names(struct app *a, const char *type, struct finder *f, const char *typed,
		      char **ret, struct err *err)
{
	int r = arm_each(a->arm, type, "", find_one, f, err);

	if (r < 0)
		return r;
	if (strv_len(f->found) == 1) {
		*ret = strdup(f->found[0]);
		return *ret ? 0 : err_set(err, -ENOMEM, "%s", typed);
	}
	if (!f->found) {
		err_set(err, -ENOENT, "'%s': no such resource among the %s%s%s", typed,
			type_word(type), f->group ? " of group " : "", f->group ? f->group : "");
		err_hint(err, "give the names from the top on, or the full id");
		return -ENOENT;
	}
	err_set(err, -EINVAL, "'%s' is in %zu groups, %s and others", typed, strv_len(f->found),
		f->found[0]);
	err_hint(err, "name one with -g GROUP, or give the full id");
	return -EINVAL;
}

static int split_names(const char *typed, char ***ret)
{
	const char *p = typed;
	int r = 0;

	while (r == 0) {
		size_t n = strcspn(p, "/");
		auto_free char *part = strndup(p, n);

		r = part ? strv_push(ret, part) : -ENOMEM;
		if (!p[n])
			break;
		p += n + 1;
	}
	return r;
}

static int find_latest(struct app *a, struct finder *f, const char *typed, char **ret,
		       struct err *err)
{
	auto_free char *definition = NULL;
	int r;

	f->n_names--;
	r = find_names(a, "Microsoft.Compute/galleries/images", f, typed, &definition, err);
	return r < 0 ? r : version_latest(a, definition, NULL, ret, err);
}

int ref_find(struct app *a, const char *type, const char *typed, const char *group, char **ret,
	     struct err *err)
{
	auto_strv char **names = NULL;
	struct finder f = {.group = group};
	int r;

	if (typed[0] == '/') {
		auto_free char *id = ref_expand(a, typed);

		if (!id)
			return err_set(err, -ENOMEM, "%s", typed);
		if (strcmp(type, VERSION_TYPE) == 0)
			return version_exact(a, id, NULL, ret, err);
		*ret = take_ptr(id);
		return 0;
	}
	if (split_names(typed, &names) < 0)
		return err_set(err, -ENOMEM, "%s", typed);
	f.names = names;
	f.n_names = strv_len(names);
	if (f.n_names != type_depth(type)) {
		err_set(err, -EINVAL, "'%s': %zu names joined by '/' expected, from the top on",
			typed, type_depth(type));
		err_hint(err, "for example %s",
			 type_depth(type) == 3   ? "golden/debian-12/1.0.0"
			 : type_depth(type) == 2 ? "golden/debian-12"
						 : "golden");
		return -EINVAL;
	}
	if (strcmp(type, VERSION_TYPE) == 0 && str_eq_nocase(names[2], "latest"))
		r = find_latest(a, &f, typed, ret, err);
	else
		r = find_names(a, type, &f, typed, ret, err);
	strv_free(f.found);
	return r;
}

/* ---- Requests ------------------------------------------------------------------------------- */

int ref_error(int status, const json_t *body, struct err *err)
{
	static const struct {
		int status, code;
	} codes[] = {{400, -EINVAL}, {401, -EIO},    {403, -EACCES}, {404, -ENOENT},
		     {409, -EBUSY},  {412, -ESTALE}, {429, -EAGAIN}};
	const char *code = json_str_at(body, "error.code");
	const char *message = json_str_at(body, "error.message");
	const char *target = json_str_at(body, "error.target");
	int r = -EIO;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].status == status)
			r = codes[i].code;
	if (message)
		err_set(err, r, "%s%s%s", code ? code : "", code ? ": " : "", message);
	else
		err_set(err, r, "HTTP status %d", status);
	if (code)
		err_arm(err, code);
	if (target)
		err_target(err, "%s", target);
	return r;
}

int ref_get(struct app *a, const char *id, const char *api_version, const char *query, json_t **ret,
	    struct err *err)
{
	auto_free char *target =
		strf("%s?api-version=%s%s%s", id, api_version ? api_version : ref_api_version(id),
		     query ? "&" : "", query ? query : "");
	struct arm_request q = {.method = "GET", .target = target, .who = &a->owner};
	struct arm_response res = {0};
	int r = 0;

	if (!target)
		return err_set(err, -ENOMEM, "%s", id);
	arm_handle(a->arm, &q, &res);
	if (res.status == 200 && res.body)
		*ret = json_incref(res.body);
	else
		r = ref_error(res.status, res.body, err);
	arm_response_done(&res);
	return r;
}

const char *ref_api_version(const char *path)
{
	/* The longest matching part of the lower-cased path wins, so children come first. */
	static const char *const newest[][2] = {
		{"/microsoft.compute/galleries", "2025-12-03"},
		{"/locations/", "2025-12-03"},
		{"/microsoft.compute/", "2026-04-01"},
		{"/microsoft.virtualmachineimages", "2025-10-01"},
		{"/microsoft.authorization", "2022-04-01"},
		{"/kiln.", "2026-11-01"},
	};
	auto_free char *lower = str_lower(path);

	for (size_t i = 0; lower && i < sizeof(newest) / sizeof(newest[0]); i++)
		if (strstr(lower, newest[i][0]))
			return newest[i][1];
	return "2025-04-01";
}
