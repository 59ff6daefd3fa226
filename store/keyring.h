/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of an encrypted region. A key comes from a file or a program; it wraps the random data
 * key of each pack and seals small objects. docs/store-format.md, "Encryption", is the
 * specification. Keys are wiped when they are dropped, and are in no message.
 */
#ifndef KILN_STORE_KEYRING_H
#define KILN_STORE_KEYRING_H

#include "base/aead.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/pack_format.h"

#define KEY_ID_BYTES 16
#define KEY_ID_HEX   33
#define KEYS_MAX     16 /* in one source */
#define SEAL_HEAD    40 /* magic 8, version 4, key id 16, nonce 12 */
#define SEAL_EXTRA   (SEAL_HEAD + AEAD_TAG_BYTES)

struct keyring;

/**
 * keyring_load() - the keys that a source gives, one a line in 64 hex digits
 * @source: "file:/path", or "command:/program argument ..." (no shell; blanks separate)
 *
 * The first key seals what is new, the others open what is older. Return: 0; -ENOKEY (no such file,
 * the program failed); -EINVAL (neither form, or no keys in it).
 */
int keyring_load(const char *source, struct keyring **ret, struct err *err);
/** keyring_parse() - the same from text. @name is for messages. */
int keyring_parse(const char *name, const char *text, size_t n, struct keyring **ret,
		  struct err *err);
void keyring_free(struct keyring *k); /* NULL is fine */

/** keyring_id() - the id of the first key, @dst[KEY_ID_BYTES]. */
void keyring_id(const struct keyring *k, uint8_t dst[KEY_ID_BYTES]);
/** keyring_has() - is a key of this id among them? */
bool keyring_has(const struct keyring *k, const uint8_t id[KEY_ID_BYTES]);

/** keyring_new_pack() - a data key for @h->id: wrapped into @h, plain into @ret. */
int keyring_new_pack(const struct keyring *k, struct pack_header *h, uint8_t ret[AEAD_KEY_BYTES],
		     struct err *err);
/** keyring_unwrap() - -ENOKEY: none of our keys wrapped it (the message names the key's id);
 *  -EBADMSG: the wrapped key is damaged. */
int keyring_unwrap(const struct keyring *k, const struct pack_header *h,
		   uint8_t ret[AEAD_KEY_BYTES], struct err *err);
/** keyring_rewrap() - put the pack's data key under the first key. 1 = changed, 0 = it was. */
int keyring_rewrap(const struct keyring *k, struct pack_header *h, struct err *err);

/** keyring_seal() - a small object that belongs under @key (a region's key). */
int keyring_seal(const struct keyring *k, const char *key, const void *p, size_t n, struct buf *out,
		 struct err *err);
/** keyring_open() - the plain bytes, appended to @out. -EBADMSG, -ENOKEY. */
int keyring_open(const struct keyring *k, const char *key, const void *p, size_t n, struct buf *out,
		 struct err *err);
/** keyring_sealed() - does it begin as a sealed object does? *@ret_current: by the first key. */
bool keyring_sealed(const struct keyring *k, const void *p, size_t n, bool *ret_current);

/* Frame @index of a pack, or its entries (@index = PACK_INDEX_FRAME, @e = NULL), under its data
 * key. @n: bytes without the tag to seal, with it to open; in place. 0, -EBADMSG, -ENOMEM. */
#define PACK_INDEX_FRAME UINT32_MAX
int pack_seal(const uint8_t key[AEAD_KEY_BYTES], const struct pack_id *id, uint32_t index,
	      const struct pack_entry *e, const void *src, size_t n, void *dst);
int pack_open(const uint8_t key[AEAD_KEY_BYTES], const struct pack_id *id, uint32_t index,
	      const struct pack_entry *e, const void *src, size_t n, void *dst);

#endif
