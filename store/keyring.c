/* SPDX-License-Identifier: Apache-2.0 */
#include "store/keyring.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

#define SOURCE_MAX   8192 /* bytes of text that a source may give */
#define KEY_HEX      64
#define RUN_MS       60000
#define SEAL_MAGIC   "KILNSEAL"
#define SEAL_VERSION 1u

struct keyring {
	unsigned n;
	struct {
		uint8_t id[KEY_ID_BYTES];
		uint8_t key[AEAD_KEY_BYTES];
	} keys[KEYS_MAX];
};

static void key_id_of(const uint8_t key[AEAD_KEY_BYTES], uint8_t dst[KEY_ID_BYTES])
{
	static const char word[] = "kiln-key"; /* with its NUL */
	uint8_t rec[sizeof(word) + AEAD_KEY_BYTES];
	struct digest d;

	memcpy(rec, word, sizeof(word));
	memcpy(rec + sizeof(word), key, AEAD_KEY_BYTES);
	sha256(rec, sizeof(rec), &d);
	memcpy(dst, d.b, KEY_ID_BYTES);
	mem_wipe(rec, sizeof(rec));
}

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	mem_wipe(k, sizeof(*k));
	free(k);
}

static int add_line(struct keyring *k, const char *name, const char *line, size_t n, unsigned no,
		    struct err *err)
{
	char hex[KEY_HEX + 1];
	int r = -EINVAL;

	if (k->n == KEYS_MAX)
		return err_set(err, -EINVAL, "%s: more than %d keys", name, KEYS_MAX);
	if (n == KEY_HEX) {
		memcpy(hex, line, n);
		hex[n] = '\0';
		r = hex_decode(hex, k->keys[k->n].key, AEAD_KEY_BYTES);
		mem_wipe(hex, sizeof(hex));
	}
	if (r < 0) {
		(void) err_set(err, -EINVAL, "%s: line %u is no key: 64 hex digits expected", name,
			       no);
		err_hint(err, "`openssl rand -hex 32` makes one.");
		return -EINVAL;
	}
	key_id_of(k->keys[k->n].key, k->keys[k->n].id);
	k->n++;
	return 0;
}

int keyring_parse(const char *name, const char *text, size_t n, struct keyring **ret,
		  struct err *err)
{
	struct keyring *k = calloc(1, sizeof(*k));
	const char *end = text + n;
	int r = k ? 0 : err_set(err, -ENOMEM, "out of memory");

	for (unsigned no = 1; r >= 0 && text < end; no++) {
		const char *nl = memchr(text, '\n', (size_t) (end - text));
		size_t len = (size_t) ((nl ? nl : end) - text);

		if (len > 0 && text[len - 1] == '\r')
			len--;
		if (len > 0)
			r = add_line(k, name, text, len, no, err);
		text = nl ? nl + 1 : end;
	}
	if (r >= 0 && k->n == 0)
		r = err_set(err, -EINVAL, "%s: no key in it", name);
	if (r < 0) {
		keyring_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

static int run_source(const char *command, struct buf *out, struct err *err)
{
	auto_strv char **argv = NULL;
	auto_free char *copy = strdup(command);
	struct proc_spec ps = {.timeout_ms = RUN_MS, .out = out, .max_output = SOURCE_MAX};
	struct proc_result res = {0};
	char *save = NULL;
	int r = copy ? 0 : -ENOMEM;

	for (char *w = copy ? strtok_r(copy, " \t", &save) : NULL; w && r >= 0;
	     w = strtok_r(NULL, " \t", &save))
		r = strv_push(&argv, w);
	if (r < 0)
		return err_set(err, r, "out of memory");
	if (!argv || argv[0][0] != '/')
		return err_set(err, -EINVAL, "key command: an absolute program path expected");
	ps.argv = (const char *const *) argv;
	r = proc_run(&ps, &res, err);
	if (r >= 0 && (res.exit_code != 0 || res.signal != 0))
		r = err_set(err, -ENOKEY, "%s ended with status %d", argv[0],
			    res.signal ? 128 + res.signal : res.exit_code);
	return r < 0 ? err_ctx(err, -ENOKEY, "key command") : 0;
}

/* Others must not be able to read it. */
static int key_file(const char *path, struct buf *out, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (st.st_mode & 07) {
		(void) err_set(err, -EPERM, "%s: everybody may read it", path);
		err_hint(err, "chmod 600 it.");
		return -EPERM;
	}
	return file_read_all(path, out, err);
}

int keyring_load(const char *source, struct keyring **ret, struct err *err)
{
	struct buf text = BUF_INIT(SOURCE_MAX);
	int r = buf_reserve(&text, SOURCE_MAX - 1); /* at once: growing would leave copies */

	if (r < 0)
		return err_set(err, r, "out of memory");
	if (str_starts(source, "file:/")) {
		r = key_file(source + strlen("file:"), &text, err);
		if (r < 0)
			r = err_ctx(err, r == -ENOMEM ? r : -ENOKEY, "key file");
	} else if (str_starts(source, "command:")) {
		r = run_source(source + strlen("command:"), &text, err);
	} else {
		r = err_set(err, -EINVAL,
			    "a key's source is file:/PATH or command:/PROGRAM ARGUMENT...");
	}
	if (r >= 0)
		r = keyring_parse(str_starts(source, "file:") ? source + strlen("file:")
							      : "key command",
				  buf_str(&text), text.len, ret, err);
	if (text.data)
		mem_wipe(text.data, text.cap);
	buf_done(&text);
	return r;
}

void keyring_id(const struct keyring *k, uint8_t dst[KEY_ID_BYTES])
{
	memcpy(dst, k->keys[0].id, KEY_ID_BYTES);
}

static const uint8_t *find_key(const struct keyring *k, const uint8_t id[KEY_ID_BYTES])
{
	for (unsigned i = 0; i < k->n; i++)
		if (memcmp(k->keys[i].id, id, KEY_ID_BYTES) == 0)
			return k->keys[i].key;
	return NULL;
}

bool keyring_has(const struct keyring *k, const uint8_t id[KEY_ID_BYTES])
{
	return find_key(k, id);
}

static int no_key(const struct keyring *k, const uint8_t id[KEY_ID_BYTES], struct err *err)
{
	char want[KEY_ID_HEX], have[KEY_ID_HEX];

	hex_encode(id, KEY_ID_BYTES, want);
	hex_encode(k->keys[0].id, KEY_ID_BYTES, have);
	(void) err_set(err, -ENOKEY,
		       "encrypted with the key %s, which is not among those given "
		       "(the first of %u is %s)",
		       want, k->n, have);
	err_hint(err, "Add that key as a further line to the key's source.");
	return -ENOKEY;
}

/* What a wrapped data key is bound to: the pack and the key. */
static void wrap_aad(const struct pack_header *h, uint8_t dst[42])
{
	memcpy(dst, "kiln-wrap", 10);
	memcpy(dst + 10, h->id.b, PACK_ID_BYTES);
	memcpy(dst + 26, h->key_id, KEY_ID_BYTES);
}

static int wrap(const struct keyring *k, struct pack_header *h, const uint8_t key[AEAD_KEY_BYTES],
		struct err *err)
{
	uint8_t aad[42];
	int r = random_bytes(h->wrapped_key, AEAD_NONCE_BYTES);

	memcpy(h->key_id, k->keys[0].id, KEY_ID_BYTES);
	wrap_aad(h, aad);
	if (r >= 0)
		r = aead_seal(k->keys[0].key, h->wrapped_key, aad, sizeof(aad), key, AEAD_KEY_BYTES,
			      h->wrapped_key + AEAD_NONCE_BYTES);
	return r < 0 ? err_set(err, r, "cannot wrap a pack's key: %s", strerror(-r)) : 0;
}

int keyring_new_pack(const struct keyring *k, struct pack_header *h, uint8_t ret[AEAD_KEY_BYTES],
		     struct err *err)
{
	int r = random_bytes(ret, AEAD_KEY_BYTES);

	if (r < 0)
		return err_set(err, r, "no random numbers from the kernel");
	h->flags |= PACK_FLAG_ENCRYPTED;
	return wrap(k, h, ret, err);
}

int keyring_unwrap(const struct keyring *k, const struct pack_header *h,
		   uint8_t ret[AEAD_KEY_BYTES], struct err *err)
{
	const uint8_t *key = find_key(k, h->key_id);
	uint8_t aad[42];
	int r;

	if (!key)
		return no_key(k, h->key_id, err);
	wrap_aad(h, aad);
	r = aead_open(key, h->wrapped_key, aad, sizeof(aad), h->wrapped_key + AEAD_NONCE_BYTES,
		      PACK_WRAPPED_BYTES - AEAD_NONCE_BYTES, ret);
	return r < 0 ? err_set(err, r, "the wrapped data key is damaged") : 0;
}

int keyring_rewrap(const struct keyring *k, struct pack_header *h, struct err *err)
{
	uint8_t key[AEAD_KEY_BYTES];
	int r;

	if (memcmp(h->key_id, k->keys[0].id, KEY_ID_BYTES) == 0)
		return 0;
	r = keyring_unwrap(k, h, key, err);
	if (r >= 0)
		r = wrap(k, h, key, err);
	mem_wipe(key, sizeof(key));
	return r < 0 ? r : 1;
}

/* magic, version and key id, then the object's key */
static int seal_aad(const uint8_t *head, const char *key, struct buf *b)
{
	buf_add(b, head, SEAL_HEAD - AEAD_NONCE_BYTES);
	return buf_addstr(b, key);
}

int keyring_seal(const struct keyring *k, const char *key, const void *p, size_t n, struct buf *out,
		 struct err *err)
{
	auto_buf struct buf aad = BUF_INIT(1024);
	uint8_t head[SEAL_HEAD];
	int r;

	memcpy(head, SEAL_MAGIC, 8);
	put_le32(head + 8, SEAL_VERSION);
	memcpy(head + 12, k->keys[0].id, KEY_ID_BYTES);
	r = random_bytes(head + 28, AEAD_NONCE_BYTES);
	if (r >= 0)
		r = buf_reserve(out, n + SEAL_EXTRA);
	if (r >= 0)
		r = seal_aad(head, key, &aad);
	if (r >= 0) {
		uint8_t *dst = (uint8_t *) out->data + out->len;

		memcpy(dst, head, sizeof(head));
		r = aead_seal(k->keys[0].key, head + 28, aad.data, aad.len, p, n, dst + SEAL_HEAD);
	}
	if (r < 0)
		return err_set(err, r, "cannot seal %s: %s", key, strerror(-r));
	out->len += n + SEAL_EXTRA;
	out->data[out->len] = '\0';
	return 0;
}

bool keyring_sealed(const struct keyring *k, const void *p, size_t n, bool *ret_current)
{
	const uint8_t *b = p;

	if (n < SEAL_EXTRA || memcmp(b, SEAL_MAGIC, 8) != 0)
		return false;
	if (ret_current)
		*ret_current = memcmp(b + 12, k->keys[0].id, KEY_ID_BYTES) == 0;
	return true;
}

int keyring_open(const struct keyring *k, const char *key, const void *p, size_t n, struct buf *out,
		 struct err *err)
{
	auto_buf struct buf aad = BUF_INIT(1024);
	const uint8_t *b = p, *secret;
	struct cursor c = {b + 8, 4};
	uint32_t version = 0;
	int r;

	if (!keyring_sealed(k, p, n, NULL))
		return err_set(err, -EBADMSG, "%s: not sealed, or cut short", key);
	(void) cursor_le32(&c, &version);
	if (version != SEAL_VERSION)
		return err_set(err, -EPROTO, "%s: seal version %u, this program knows %u", key,
			       version, SEAL_VERSION);
	secret = find_key(k, b + 12);
	if (!secret) {
		r = no_key(k, b + 12, err);
		return err_ctx(err, r, "%s", key);
	}
	r = buf_reserve(out, n - SEAL_EXTRA);
	if (r >= 0)
		r = seal_aad(b, key, &aad);
	if (r >= 0)
		r = aead_open(secret, b + 28, aad.data, aad.len, b + SEAL_HEAD, n - SEAL_HEAD,
			      out->data + out->len);
	if (r < 0)
		return err_set(err, r, "%s: %s", key,
			       r == -EBADMSG ? "its sealed bytes are damaged" : strerror(-r));
	out->len += n - SEAL_EXTRA;
	out->data[out->len] = '\0';
	return 0;
}

/* Nonce: the frame's number. The data key is of this pack alone, so no nonce comes twice. */
static void frame_bind(const struct pack_id *id, uint32_t index, const struct pack_entry *e,
		       uint8_t nonce[AEAD_NONCE_BYTES], uint8_t aad[52])
{
	memset(nonce, 0, AEAD_NONCE_BYTES);
	put_le32(nonce, index);
	memset(aad, 0, 52);
	memcpy(aad, id->b, PACK_ID_BYTES);
	if (!e)
		return;
	memcpy(aad + 16, e->name.b, DIGEST_BYTES);
	aad[48] = e->kind;
	aad[49] = e->encoding;
	aad[50] = e->level;
}

int pack_seal(const uint8_t key[AEAD_KEY_BYTES], const struct pack_id *id, uint32_t index,
	      const struct pack_entry *e, const void *src, size_t n, void *dst)
{
	uint8_t nonce[AEAD_NONCE_BYTES], aad[52];

	frame_bind(id, index, e, nonce, aad);
	return aead_seal(key, nonce, aad, sizeof(aad), src, n, dst);
}

int pack_open(const uint8_t key[AEAD_KEY_BYTES], const struct pack_id *id, uint32_t index,
	      const struct pack_entry *e, const void *src, size_t n, void *dst)
{
	uint8_t nonce[AEAD_NONCE_BYTES], aad[52];

	frame_bind(id, index, e, nonce, aad);
	return aead_open(key, nonce, aad, sizeof(aad), src, n, dst);
}
