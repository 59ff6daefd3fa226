/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/step_source.h"

#include "bake/bake.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/template_run.h"

/* The template of a run, or @id itself. Caller frees. */
static int template_of(struct app *a, const char *id, char **ret, char **ret_location,
		       struct err *err)
{
	auto_json json_t *doc = NULL;
	const char *of;
	int r = arm_load(a->arm, id, &doc, err);

	if (r < 0)
		return r;
	of = json_str_at(doc, "properties.templateId");
	*ret = strdup(of ? of : id);
	*ret_location = location_normalize(json_str_at(doc, "location") ?: "");
	return *ret && *ret_location ? 0 : no_memory(err);
}

/* Where a run or a template's runs keep their content. */
static int place_of(struct app *a, const char *id, struct bake_env *env, struct err *err)
{
	auto_json json_t *doc = NULL;
	int r = arm_load(a->arm, id, &doc, err);

	if (r < 0)
		return r;
	if (!json_str_at(doc, "properties.templateId"))
		return template_place(a, doc, env, err);
	r = doc_place(a, doc, a->regions[env->home].name, err);
	if (r >= 0)
		env->region = (unsigned) r;
	return r < 0 ? r : 0;
}

static int load_step(struct app *a, const char *id, const char *step, struct image_source *ret,
		     struct err *err)
{
	auto_free char *template = NULL, *location = NULL;
	auto_json json_t *record = NULL;
	const json_t *source;
	struct bake_env env = {0};
	int r = template_of(a, id, &template, &location, err);

	if (r == 0)
		r = arm_may(a->arm, &a->owner, TYPE_TEMPLATE "/run/action", template, err);
	if (r == 0)
		r = template_env(a, location, &env, err);
	if (r == 0)
		r = place_of(a, id, &env, err);
	if (r == 0)
		r = bake_find_step(&env, id, step, &ret->disk, &record, err);
	if (r < 0)
		return r;
	source = json_object_get(record, "source");
	ret->region = (int) env.region;
	ret->facts = source ? json_copy((json_t *) source) : json_object();
	ret->id = strf("%s@%s", id, step);
	return ret->facts && ret->id ? 0 : no_memory(err);
}

/* The first region that has it; the error is that of the first one tried. */
static int load_image(struct app *a, const char *id, struct image_source *ret, struct err *err)
{
	auto_err struct err first = ERR_INIT;
	int r = -ENOENT;

	for (size_t i = 0; i < a->n_regions; i++) {
		auto_err struct err e = ERR_INIT;

		r = image_source_load(a, &a->owner, NULL, id, a->regions[i].name, "version", ret,
				      &e);
		if (r == 0)
			return 0;
		if (i == 0)
			err_move(&first, &e);
	}
	r = first.code < 0 ? first.code : r;
	if (err)
		err_move(err, &first);
	return r;
}

int step_source_load(struct app *a, const char *id, const char *region, struct image_source *ret,
		     struct err *err)
{
	const char *at = strchr(id, '@');
	auto_free char *head = at ? strndup(id, (size_t) (at - id)) : NULL;

	*ret = (struct image_source){.region = -1};
	if (at)
		return head ? load_step(a, head, at + 1, ret, err) : no_memory(err);
	if (region)
		return image_source_load(a, &a->owner, NULL, id, region, "version", ret, err);
	return load_image(a, id, ret, err);
}

int image_changes(struct app *a, const char *id_a, const char *id_b, struct cancel *cancel,
		  json_t **ret, struct err *err)
{
	auto_image_source struct image_source x = {0}, y = {0};
	int r = step_source_load(a, id_a, NULL, &x, err);

	if (r == 0)
		r = step_source_load(a, id_b, NULL, &y, err);
	if (r == 0)
		r = bake_changes(a->store, (unsigned) x.region, &x.disk, (unsigned) y.region,
				 &y.disk, cancel, ret, err);
	return r;
}
