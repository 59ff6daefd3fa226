/* SPDX-License-Identifier: Apache-2.0 */
/* From a row to the text of an answer, by way of what was made before (rendition.h). */
#include "arm/internal.h"
#include "arm/rendition.h"
#include "base/mem.h"

/* Options that choose rows, not what one looks like. */
static bool of_page(const char *option)
{
	static const char *const names[] = {"api-version", "$top", "$skiptoken", "$filter"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(names[i], option))
			return true;
	return false;
}

static void find_variant(struct request *rq)
{
	struct buf *b = &rq->variant;

	*b = BUF_INIT(VARIANT_BYTES_MAX + 1);
	(void) buf_addstr(b, rq->api_version);
	for (size_t i = 0; i < rq->target.n_query; i++) {
		if (of_page(rq->target.query[i].key))
			continue;
		(void) buf_addch(b, '&');
		(void) buf_addstr(b, rq->target.query[i].key);
		(void) buf_addch(b, '=');
		(void) buf_addstr(b, rq->target.query[i].value);
	}
}

/* Is such a text kept? *@ret: under what. */
static bool key_of(struct request *rq, const struct resource_row *row, struct rendition_key *ret)
{
	const struct arm_type *type = rq->route.type;

	if (type->view && !type->view_pure)
		return false;
	if (rq->variant.max == 0)
		find_variant(rq);
	if (buf_err(&rq->variant) < 0)
		return false;
	*ret = (struct rendition_key){
		.key = row->key,
		.key_n = strlen(row->key),
		.variant = rq->variant.data,
		.variant_n = rq->variant.len,
		.revision = row->revision,
		.changes = row->changes,
	};
	return true;
}

int render_json(struct request *rq, const struct resource_row *row, json_t *doc, json_t **ret)
{
	struct resource res = {
		.api_version = (char *) (uintptr_t) row->api_version,
		.revision = row->revision,
		.doc = doc,
	}; /* borrows all but the document */
	int r = doc ? 0 : resource_row_doc(row, &res.doc);

	if (r < 0)
		return err_set(&rq->err, r, "the row \"%.300s\": %s", row->key,
			       strerrordesc_np(-r));
	r = view_doc(rq, &res, ret);
	json_decref(res.doc);
	return r;
}

int render_text(struct request *rq, const struct resource_row *row, json_t *doc,
		struct arm_text **ret)
{
	struct renditions *kept = rq->arm->renditions;
	struct rendition_key key;
	bool keep = key_of(rq, row, &key);
	auto_json json_t *seen = NULL;
	char *text;
	int r;

	*ret = keep ? renditions_get(kept, &key) : NULL;
	if (*ret) {
		json_decref(doc);
		return 0;
	}
	r = render_json(rq, row, doc, &seen);
	if (r < 0)
		return r;
	text = json_compact(seen);
	if (!text)
		return err_set(&rq->err, -ENOMEM, "out of memory");
	if (keep) {
		*ret = renditions_put(kept, &key, text, strlen(text));
		free(text);
	} else {
		*ret = text_take(text, strlen(text));
	}
	return *ret ? 0 : err_set(&rq->err, -ENOMEM, "out of memory");
}
