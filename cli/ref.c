/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/ref.h"
#include "cli/target.h"

#define VERSION_TYPE  "Microsoft.Compute/galleries/images/versions"
#define TEMPLATE_TYPE "Microsoft.VirtualMachineImages/imageTemplates"
#define RUN_TYPE      "Kiln.Images/runs"
#define SHORT_PREFIX  "/resourcegroups/"
#define PLACEHOLDER   "{subscription}"

static bool starts_nocase(const char *s, const char *lower_prefix)
{
	for (; *lower_prefix; s++, lower_prefix++) {
		char c = *s >= 'A' && *s <= 'Z' ? (char) (*s - 'A' + 'a') : *s;

		if (c != *lower_prefix)
			return false;
	}
	return true;
}

char *ref_expand(const char *subscription, const char *typed)
{
	const char *hole = strstr(typed, PLACEHOLDER);

	if (starts_nocase(typed, SHORT_PREFIX))
		return strf("/subscriptions/%s%s", subscription, typed);
	if (hole)
		return strf("%.*s%s%s", (int) (hole - typed), typed, subscription,
			    hole + strlen(PLACEHOLDER));
	return strdup(typed);
}

/* ---- Names to ids --------------------------------------------------------------------------- */

/* Looking for the group of a top-level resource by its name. */
struct finder {
	const char *name;
	char **found;
};

static int find_one(void *arg, json_t *item)
{
	struct finder *f = arg;
	const char *name = json_str_at(item, "name"), *id = json_str_at(item, "id");

	return name && id && str_eq_nocase(name, f->name) ? strv_push(&f->found, id) : 0;
}

static size_t type_depth(const char *type)
{
	size_t n = 0;

	for (; *type; type++)
		n += *type == '/';
	return n;
}

/* "Microsoft.Compute/galleries/images" -> length of "Microsoft.Compute/galleries" */
static size_t top_type(const char *type)
{
	size_t n = strcspn(type, "/");

	return n + 1 + strcspn(type + n + 1, "/");
}

/* Id of the top-level resource that the first name names. */
static int find_top(struct cli *cli, const char *type, const char *name, const char *group,
		    char **ret, struct err *err)
{
	int n = (int) top_type(type);
	const char *sub = cli->target->subscription_id;
	auto_free char *list = strf("/subscriptions/%s/providers/%.*s", sub, n, type);
	struct finder f = {.name = name};
	int r;

	if (group) {
		*ret = strf("/subscriptions/%s/resourceGroups/%s/providers/%.*s/%s", sub, group, n,
			    type, name);
		return *ret ? 0 : err_set(err, -ENOMEM, "%s", name);
	}
	r = list ? target_each(cli, list, find_one, &f, err) : -ENOMEM;
	if (r == 0 && !f.found) {
		r = err_set(err, -ENOENT, "'%s': no such resource among the %.*s", name,
			    n - (int) strcspn(type, "/") - 1, type + strcspn(type, "/") + 1);
		err_hint(err, "give the names from the top on, or the full id");
	} else if (r == 0 && strv_len(f.found) > 1) {
		r = err_set(err, -EINVAL, "'%s' is in %zu groups, %s and others", name,
			    strv_len(f.found), f.found[0]);
		err_hint(err, "name one with -g GROUP, or give the full id");
	} else if (r == 0) {
		*ret = strdup(f.found[0]);
		r = *ret ? 0 : err_set(err, -ENOMEM, "%s", name);
	}
	strv_free(f.found);
	return r;
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

/* The last of a definition's versions, in the order of the list, that "latest" may mean. */
static int find_latest(void *arg, json_t *item)
{
	char **best = arg;
	const char *id = json_str_at(item, "id");
	const char *state = json_str_at(item, "properties.provisioningState");

	if (!id || !str_eq(state, "Succeeded") ||
	    json_bool_at(item, "properties.publishingProfile.excludeFromLatest", false))
		return 0;
	free(*best);
	*best = strdup(id);
	return *best ? 0 : -ENOMEM;
}

/* @id ends in "/versions/latest": what it stands for today. */
static int exact_version(struct cli *cli, const char *id, char **ret, struct err *err)
{
	auto_free char *list = strndup(id, strlen(id) - strlen("/latest"));
	auto_free char *best = NULL;
	int r = list ? target_each(cli, list, find_latest, &best, err) : -ENOMEM;

	if (r == 0 && !best)
		return err_set(err, -ENOENT,
			       "%s: there is no latest version: none is ready and "
			       "not excluded from latest",
			       list);
	*ret = take_ptr(best);
	return r;
}

static int from_names(struct cli *cli, const char *type, const char *typed, const char *group,
		      char **ret, struct err *err)
{
	auto_strv char **names = NULL;
	auto_free char *id = NULL;
	const char *word = type + top_type(type);
	int r = split_names(typed, &names);

	if (r < 0)
		return err_set(err, -ENOMEM, "%s", typed);
	if (strv_len(names) != type_depth(type)) {
		err_set(err, -EINVAL, "'%s': %zu names joined by '/' expected, from the top on",
			typed, type_depth(type));
		err_hint(err, "for example %s",
			 type_depth(type) == 3   ? "golden/debian-12/1.0.0"
			 : type_depth(type) == 2 ? "golden/debian-12"
						 : "golden");
		return -EINVAL;
	}
	r = find_top(cli, type, names[0], group, &id, err);
	for (size_t i = 1; r == 0 && names[i]; i++) {
		size_t n = strcspn(word + 1, "/");
		char *longer = strf("%s/%.*s/%s", id, (int) n, word + 1, names[i]);

		word += 1 + n;
		free(id);
		id = longer;
		r = id ? 0 : err_set(err, -ENOMEM, "%s", typed);
	}
	*ret = take_ptr(id);
	return r;
}

int ref_find(struct cli *cli, const char *type, const char *typed, const char *group, char **ret,
	     struct err *err)
{
	static const char latest[] = "/versions/latest";
	auto_free char *id = NULL, *lower = NULL;
	int r = 0;

	if (typed[0] != '/')
		r = from_names(cli, type, typed, group, &id, err);
	else
		id = ref_expand(cli->target->subscription_id, typed);
	if (r < 0)
		return r;
	lower = id ? str_lower(id) : NULL;
	if (!lower)
		return err_set(err, -ENOMEM, "%s", typed);
	if (strcmp(type, VERSION_TYPE) == 0 && strlen(lower) > strlen(latest) &&
	    strcmp(lower + strlen(lower) - strlen(latest), latest) == 0)
		return exact_version(cli, id, ret, err);
	*ret = take_ptr(id);
	return 0;
}

int ref_find_run(struct cli *cli, const char *typed, const char *group, char **ret, struct err *err)
{
	bool uuid = strlen(typed) == 36 && strspn(typed, "0123456789abcdef-") == 36;

	return ref_find(cli, uuid || strstr(typed, "/" RUN_TYPE "/") ? RUN_TYPE : TEMPLATE_TYPE,
			typed, group, ret, err);
}

int ref_find_step(struct cli *cli, const char *typed, const char *group, char **ret,
		  struct err *err)
{
	const char *at = strchr(typed, '@');
	auto_free char *name = at ? strndup(typed, (size_t) (at - typed)) : NULL, *id = NULL;
	int r;

	if (!at)
		return ref_find(cli, VERSION_TYPE, typed, group, ret, err);
	r = name ? ref_find_run(cli, name, group, &id, err) : -ENOMEM;
	if (r < 0)
		return r;
	*ret = strf("%s%s", id, at);
	return *ret ? 0 : err_set(err, -ENOMEM, "%s", typed);
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

int ref_get(struct cli *cli, const char *id, const char *query, json_t **ret, struct err *err)
{
	auto_free char *path = strf("%s%s%s", id, query ? "?" : "", query ? query : "");

	return path ? target_get(cli, path, ret, err) : err_set(err, -ENOMEM, "%s", id);
}

char *ref_versioned(const char *path, const char *version)
{
	const char *q = strchr(path, '?');
	auto_free char *lower = str_lower(q ? q : "");

	if (!lower)
		return NULL;
	if (strstr(lower, "api-version="))
		return strdup(path);
	return strf("%s%capi-version=%s", path, q ? '&' : '?',
		    version ? version : ref_api_version(path));
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
