/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/platform_make.h"

#include "bake/platform.h"
#include "base/file.h"
#include "base/mem.h"

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "platform image: out of memory");
}

int platform_list(struct app *a, unsigned region, json_t **ret, struct err *err)
{
	auto_json json_t *list = json_array();

	if (!list)
		return no_memory(err);
	for (const struct platform_sku *k = platform_skus(); k->publisher; k++) {
		json_t *versions = NULL;
		int r = platform_versions(a->meta, a->regions[region].name, k, &versions, err);

		if (r < 0)
			return r;
		if (json_array_append_new(list,
					  json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "publisher",
						    k->publisher, "offer", k->offer, "sku", k->sku,
						    "hyperVGeneration", k->hyperv_generation,
						    "architecture", k->architecture, "versions",
						    versions)) < 0)
			return no_memory(err);
	}
	*ret = take_ptr(list);
	return 0;
}

static int parse_urn(const char *urn, char **copy, const struct platform_sku **ret_sku,
		     const char **ret_version, struct err *err)
{
	const char *part[4] = {NULL, NULL, NULL, "latest"};
	char *p, *word;
	unsigned n = 0;

	*copy = p = strdup(urn);
	if (!p)
		return no_memory(err);
	while ((word = strsep(&p, ":"))) {
		if (n == 4 || !*word)
			n = 9;
		else
			part[n++] = word;
		if (n == 9)
			break;
	}
	if (n < 3 || n > 4)
		return err_set(err, -EINVAL, "'%s': expected PUBLISHER:OFFER:SKU[:VERSION]", urn);
	*ret_sku = platform_find(part[0], part[1], part[2]);
	*ret_version = part[3];
	if (!*ret_sku) {
		err_set(err, -ENOENT, "there is no platform image '%s'", urn);
		err_hint(err, "`kiln platform list` shows those that can be made.");
		return -ENOENT;
	}
	return 0;
}

int platform_make(struct app *a, unsigned region, const char *urn, struct cancel *cancel,
		  const struct event_sink *events, json_t **ret, struct err *err)
{
	auto_free char *scratch = path_join(a->data_dir, "scratch"), *copy = NULL;
	struct platform_image img = {.facts = NULL};
	const struct platform_sku *sku = NULL;
	const char *version = NULL;
	const struct platform_env env = {
		.store = a->store,
		.region = region,
		.journal = a->journal,
		.scratch = scratch,
		.lock_dir = a->data_dir,
		.sources = json_at(a->config, "platform.sources"),
		.cancel = cancel,
		.events = events,
	};
	bool made = false;
	int r = scratch ? file_mkdir_p(scratch, 0700, err) : no_memory(err);

	if (r >= 0)
		r = parse_urn(urn, &copy, &sku, &version, err);
	if (r >= 0)
		r = platform_ensure(&env, sku, version, &img, &made, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:O, s:O}", "publisher", sku->publisher,
			 "offer", sku->offer, "sku", sku->sku, "version", img.version, "made", made,
			 "disk", disk_ref_to_json(&img.disk), "packages",
			 json_at(img.facts, "packages"), "sources", json_at(img.facts, "sources"));
	platform_image_done(&img);
	return *ret ? 0 : no_memory(err);
}
