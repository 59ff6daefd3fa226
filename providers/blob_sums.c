/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums of the storage protocol; they find damage on the way, they prove nothing. */
#include <openssl/evp.h>

#include "providers/blob.h"

int sum_md5(const void *p, size_t n, char ret[25])
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!EVP_Digest(p ? p : "", n, md, &len, EVP_md5(), NULL))
		return -EOPNOTSUPP;
	(void) EVP_EncodeBlock((uint8_t *) ret, md, (int) len);
	return 0;
}

#define POLYNOMIAL UINT64_C(0x9a6c9329ac4bc9b5) /* 0xad93d23594c93659, bits reversed */

int sum_crc64(const void *p, size_t n, char ret[13])
{
	const uint8_t *b = p;
	uint64_t table[256], crc = UINT64_MAX;
	uint8_t le[8];

	for (unsigned i = 0; i < 256; i++) {
		uint64_t v = i;

		for (unsigned k = 0; k < 8; k++)
			v = v & 1 ? v >> 1 ^ POLYNOMIAL : v >> 1;
		table[i] = v;
	}
	for (size_t i = 0; i < n; i++)
		crc = table[(crc ^ b[i]) & 0xff] ^ crc >> 8;
	crc = ~crc;
	for (unsigned i = 0; i < 8; i++)
		le[i] = (uint8_t) (crc >> (8 * i));
	(void) EVP_EncodeBlock((uint8_t *) ret, le, sizeof(le));
	return 0;
}
