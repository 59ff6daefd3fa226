/* SPDX-License-Identifier: Apache-2.0 */
/* Stored nodes: deltas and compressed frames. A delta that applies must be reproduced by encoding
 * the change it made. */
#include <stdlib.h>
#include <string.h>

#include "store/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void try_delta(const uint8_t *p, size_t n)
{
	static struct node base, now, again;
	uint8_t out[DELTA_MAX_BYTES];
	struct digest name;
	unsigned depth;
	size_t len;

	if (delta_head(p, n, &name, &depth) < 0)
		return;
	for (unsigned i = 0; i < TREE_FANOUT; i++)
		memset(base.names[i].b, (int) i, DIGEST_BYTES);
	now = base;
	if (delta_apply(p, n, &now) < 0)
		return;
	len = delta_encode(&now, &base, &name, depth - 1, out);
	if (len == 0)
		return; /* nothing changed, or too much */
	again = base;
	if (delta_apply(out, len, &again) < 0 || memcmp(&again, &now, sizeof(now)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct codec *c = codec_new(1);
	struct node node;

	if (n > 0 && c) {
		try_delta(p + 1, n - 1);
		(void) codec_decode(c, p[0] & 1 ? FRAME_ZSTD : FRAME_PLAIN, p + 1, n - 1, &node,
				    sizeof(node));
	}
	codec_free(c);
	return 0;
}
