/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's first sectors. The first byte chooses whether the checksums are made right, so that
 * the fuzzer gets behind them; what is accepted must survive being built and parsed again. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "disk/gpt.h"

#define HEAD 17408u
#define TAIL 16896u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint32_t crc(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
	}
	return ~c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t head[HEAD], again[HEAD], tail[TAIL];
	static struct gpt g, back;
	uint64_t disk = 64ull << 20;

	if (n < 1)
		return 0;
	memset(head, 0, sizeof(head));
	memcpy(head, data + 1, n - 1 < HEAD ? n - 1 : HEAD);
	if (data[0] & 1) {
		uint32_t count = (uint32_t) (head[592] | head[593] << 8);

		put_le32(head + 512 + 88, crc(head + 1024, (count <= 128 ? count : 128) * 128));
		put_le32(head + 512 + 16, 0);
		put_le32(head + 512 + 16, crc(head + 512, 92));
	}
	if (gpt_parse(head, HEAD, disk, &g, NULL) < 0)
		return 0;
	for (unsigned k = 0; k < g.n; k++)
		if (g.part[k].first_lba > g.part[k].last_lba || g.part[k].last_lba >= disk / 512)
			abort();
	/* A table whose header leaves less room at its end than ours may not be buildable. */
	if (gpt_build(&g, again, tail, NULL) == 0 &&
	    (gpt_parse(again, HEAD, disk, &back, NULL) < 0 || back.n != g.n ||
	     memcmp(&back.part, &g.part, g.n * sizeof(g.part[0])) != 0))
		abort();
	return 0;
}
