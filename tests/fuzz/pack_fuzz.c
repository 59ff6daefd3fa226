/* SPDX-License-Identifier: Apache-2.0 */
/* Packs: header, trailer, entries. The checksum would keep a fuzzer out, so an input whose footer
 * fits is tried again with the checksum made right; what is accepted lies inside the pack. */
#include <stdlib.h>
#include <string.h>

#include "store/pack_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int inside(void *arg, uint32_t index, const struct pack_entry *e)
{
	if (e->offset < PACK_HEADER_BYTES || e->length == 0 ||
	    e->offset + e->length > *(size_t *) arg)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct pack_header h = {0};
	uint8_t *copy;
	uint64_t at;
	uint32_t count;

	(void) pack_parse(p, n, &h, inside, &n, NULL);
	if (n < PACK_HEADER_BYTES + PACK_FOOTER_BYTES || pack_header_parse(p, &h, NULL) < 0 ||
	    pack_footer_parse(p + n - PACK_FOOTER_BYTES, n, h.flags, &count, &at, NULL) < 0)
		return 0;
	copy = malloc(n);
	if (!copy)
		return 0;
	memcpy(copy, p, n);
	pack_footer_encode(copy, copy + at, count, at, copy + n - PACK_FOOTER_BYTES);
	(void) pack_parse(copy, n, &h, inside, &n, NULL);
	free(copy);
	return 0;
}
