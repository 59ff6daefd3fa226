/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "store/internal.h"

int store_diff(struct store *s, unsigned region, const struct disk_ref *a, const struct disk_ref *b,
	       store_diff_fn *fn, void *arg, struct err *err)
{
	uint64_t size = a->size_bytes > b->size_bytes ? a->size_bytes : b->size_bytes;
	uint64_t start = 0, end = 0, chunk;
	struct tree_diff *t = NULL;
	struct digest da, db;
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = tree_diff_new(s, region, a, b, &t, err);
	if (r < 0)
		return err_ctx(err, r, "diff");
	while ((r = tree_diff_next(t, &chunk, &da, &db, err)) > 0) {
		if (chunk * CHUNK_BYTES != end) {
			r = end > start ? fn(arg, start, end - start) : 0;
			start = chunk * CHUNK_BYTES;
		}
		end = (chunk + 1) * CHUNK_BYTES;
		if (end > size)
			end = size;
		if (r < 0)
			break;
	}
	if (r >= 0 && end > start)
		r = fn(arg, start, end - start);
	tree_diff_free(t);
	return r < 0 ? r : 0;
}
