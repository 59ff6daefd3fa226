/* SPDX-License-Identifier: Apache-2.0 */
#include "base/signkey.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/mem.h"

#define PEM_MAX       16384
#define PUBLIC_BYTES  32
#define ED25519_BYTES 64

int pkey_read(const char *path, EVP_PKEY **ret, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(PEM_MAX);
	struct stat st;
	BIO *bio;
	int r;

	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
		return err_set(err, -EACCES,
			       "%s: a private key must be a file that only its owner"
			       " may read (mode 0600)",
			       path);
	r = file_read_all(path, &text, err);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(text.data, (int) text.len);
	*ret = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	ERR_clear_error();
	mem_wipe(text.data, text.len);
	return *ret ? 0 : err_set(err, -EBADMSG, "%s: not a private key", path);
}

int pkey_write(const char *path, EVP_PKEY *key, struct err *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text = NULL;
	long n;
	int r = -ENOMEM;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
		n = BIO_get_mem_data(bio, &text);
		r = file_write_atomic(path, text, (size_t) n, 0600, err);
	} else {
		(void) err_set(err, r, "%s: out of memory", path);
	}
	BIO_free(bio);
	return r;
}

/* ---- Ed25519 -------------------------------------------------------------------------------- */

struct signkey {
	EVP_PKEY *key;
	char id[SIGNKEY_ID];
};

static int identify(struct signkey *k, const char *path, struct err *err)
{
	uint8_t public[PUBLIC_BYTES];
	size_t n = sizeof(public);
	struct digest d;

	if (EVP_PKEY_get_base_id(k->key) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(k->key, public, &n) != 1 || n != sizeof(public)) {
		ERR_clear_error();
		return err_set(err, -EBADMSG, "%s: an Ed25519 key is expected", path);
	}
	sha256(public, n, &d);
	hex_encode(d.b, (SIGNKEY_ID - 1) / 2, k->id);
	return 0;
}

/* Under a lock, so that what another process just made is found and not replaced. */
static int make_key(const char *path, EVP_PKEY **ret, struct err *err)
{
	auto_free char *lock_path = strf("%s.lock", path);
	auto_fd int lock = -1;
	int r = lock_path ? lock_file(lock_path, LOCK_EXCLUSIVE, &lock, err) : -ENOMEM;

	if (r < 0)
		return r;
	r = pkey_read(path, ret, err);
	if (r != -ENOENT)
		return r;
	*ret = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!*ret) {
		ERR_clear_error();
		return err_set(err, -ENOMEM, "%s: cannot make a key", path);
	}
	return pkey_write(path, *ret, err);
}

int signkey_open(const char *path, bool make, struct signkey **ret, struct err *err)
{
	struct signkey *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return err_set(err, -ENOMEM, "out of memory");
	r = pkey_read(path, &k->key, err);
	if (r == -ENOENT && make)
		r = make_key(path, &k->key, err);
	else if (r == -ENOENT)
		(void) err_set(err, r, "%s: there is no key", path);
	if (r >= 0)
		r = identify(k, path, err);
	if (r < 0) {
		signkey_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void signkey_free(struct signkey *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}

const char *signkey_id(const struct signkey *k)
{
	return k->id;
}

/* The purpose with its NUL, then the bytes. */
static char *message(const char *purpose, const void *p, size_t n, size_t *ret_n)
{
	size_t head = strlen(purpose) + 1;
	char *m = malloc(head + n);

	if (!m)
		return NULL;
	memcpy(m, purpose, head);
	memcpy(m + head, p, n);
	*ret_n = head + n;
	return m;
}

char *signkey_sign(const struct signkey *k, const char *purpose, const void *p, size_t n)
{
	uint8_t sig[ED25519_BYTES];
	size_t sig_n = sizeof(sig), m_n = 0;
	auto_free char *m = message(purpose, p, n, &m_n);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = m && c && EVP_DigestSignInit(c, NULL, NULL, NULL, k->key) == 1 &&
		  EVP_DigestSign(c, sig, &sig_n, (const uint8_t *) m, m_n) == 1;

	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok ? base64_encode(sig, sig_n) : NULL;
}

int signkey_verify(const struct signkey *k, const char *purpose, const void *p, size_t n,
		   const char *signature)
{
	size_t sig_n = 0, m_n = 0;
	auto_free uint8_t *sig = signature ? base64_decode(signature, &sig_n) : NULL;
	auto_free char *m = message(purpose, p, n, &m_n);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = sig && m && c && sig_n == ED25519_BYTES &&
		  EVP_DigestVerifyInit(c, NULL, NULL, NULL, k->key) == 1 &&
		  EVP_DigestVerify(c, sig, sig_n, (const uint8_t *) m, m_n) == 1;

	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok ? 0 : -EBADMSG;
}
