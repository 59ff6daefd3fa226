/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tls.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

#define PEM_MAX   (1u << 20)
#define NAMES_MAX 64

struct tls {
	struct buf cert, key;
	X509 *x;
};

static int ssl_fail(struct err *err, const char *what)
{
	return err_set(err, -EIO, "TLS: %s", what);
}

/* ---- Reading ------------------------------------------------------------------------------ */

static void x509_freep(X509 **x)
{
	X509_free(*x);
}

static void pkey_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
#define auto_x509 __attribute__((cleanup(x509_freep)))
#define auto_pkey __attribute__((cleanup(pkey_freep)))

static X509 *x509_of(const struct buf *pem)
{
	BIO *b = BIO_new_mem_buf(pem->data, (int) pem->len);
	X509 *x = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;

	BIO_free(b);
	return x;
}

/* No passphrase is ever asked for: a key that needs one is refused. */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void) buf, (void) size, (void) rw, (void) arg;
	return -1;
}

static EVP_PKEY *pkey_of(const struct buf *pem)
{
	BIO *b = BIO_new_mem_buf(pem->data, (int) pem->len);
	EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;

	BIO_free(b);
	return k;
}

static int read_pair(const char *cert_path, const char *key_path, struct tls *t, struct err *err)
{
	int r = file_read_all(cert_path, &t->cert, err);

	if (r >= 0)
		r = file_read_all(key_path, &t->key, err);
	return r;
}

int tls_load(const char *cert_path, const char *key_path, struct tls **ret, struct err *err)
{
	struct tls *t = calloc(1, sizeof(*t));
	auto_pkey EVP_PKEY *key = NULL;
	int r;

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->cert = t->key = BUF_INIT(PEM_MAX);
	r = read_pair(cert_path, key_path, t, err);
	if (r >= 0) {
		t->x = x509_of(&t->cert);
		key = pkey_of(&t->key);
		if (!t->x)
			r = err_set(err, -EINVAL, "%s: no certificate in PEM form", cert_path);
		else if (!key)
			r = err_set(err, -EINVAL,
				    "%s: no private key in PEM form without passphrase", key_path);
		else if (X509_check_private_key(t->x, key) != 1)
			r = err_set(err, -EINVAL, "%s is not the key of %s", key_path, cert_path);
		else if (X509_cmp_current_time(X509_get0_notAfter(t->x)) <= 0)
			r = err_set(err, -EINVAL, "%s: the certificate has expired", cert_path);
	}
	if (r < 0) {
		tls_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	X509_free(t->x);
	if (t->key.data)
		mem_wipe(t->key.data, t->key.len);
	buf_done(&t->cert);
	buf_done(&t->key);
	free(t);
}

const char *tls_cert_pem(const struct tls *t)
{
	return buf_str(&t->cert);
}

const char *tls_key_pem(const struct tls *t)
{
	return buf_str(&t->key);
}

static bool covers(X509 *x, const char *host)
{
	size_t n = strlen(host);
	char bare[64];

	if (n > 2 && n < sizeof(bare) && host[0] == '[' && host[n - 1] == ']') {
		memcpy(bare, host + 1, n - 2);
		bare[n - 2] = '\0';
		host = bare;
	}
	return X509_check_ip_asc(x, host, 0) == 1 || X509_check_host(x, host, 0, 0, NULL) == 1;
}

bool tls_covers(const struct tls *t, const char *host)
{
	return covers(t->x, host);
}

/* ---- Making ------------------------------------------------------------------------------- */

struct maker {
	const char *dir;
	const char *names[NAMES_MAX + 1];
	char host[256];
	X509 *ca;
	EVP_PKEY *ca_key;
	struct err *err;
};

static int save(struct maker *m, const char *name, BIO *b, mode_t mode)
{
	auto_free char *path = path_join(m->dir, name);
	char *data = NULL;
	long n = BIO_get_mem_data(b, &data);

	if (!path || n <= 0)
		return err_set(m->err, -ENOMEM, "out of memory");
	return file_write_atomic(path, data, (size_t) n, mode, m->err);
}

static int save_cert(struct maker *m, const char *name, X509 *x)
{
	BIO *b = BIO_new(BIO_s_mem());
	int r = b && PEM_write_bio_X509(b, x) == 1 ? save(m, name, b, 0644)
						   : ssl_fail(m->err, "cannot write a certificate");

	BIO_free(b);
	return r;
}

static int save_key(struct maker *m, const char *name, EVP_PKEY *k)
{
	BIO *b = BIO_new(BIO_s_secmem());
	int r = b && PEM_write_bio_PKCS8PrivateKey(b, k, NULL, NULL, 0, NULL, NULL) == 1
			? save(m, name, b, 0600)
			: ssl_fail(m->err, "cannot write a key");

	BIO_free(b);
	return r;
}

static int extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	int ok;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok ? 0 : -EIO;
}

static int set_serial(X509 *x)
{
	unsigned char bytes[16];
	BIGNUM *n;
	int ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -EIO;
	bytes[0] &= 0x7f;
	bytes[0] |= 0x40;
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return ok ? 0 : -EIO;
}

static X509 *blank(const char *common_name, X509 *issuer, EVP_PKEY *key, int days)
{
	X509 *x = X509_new();
	X509_NAME *name = x ? X509_get_subject_name(x) : NULL;

	/* A clock that is a little behind must not make it "not yet valid". */
	if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) == 0 &&
	    X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
	    X509_time_adj_ex(X509_getm_notAfter(x), days, 0, NULL) &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
				       (const unsigned char *) common_name, -1, -1, 0) == 1 &&
	    X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name) == 1 &&
	    X509_set_pubkey(x, key) == 1)
		return x;
	X509_free(x);
	return NULL;
}

static int make_ca(struct maker *m)
{
	auto_pkey EVP_PKEY *key = EVP_EC_gen("P-256");
	auto_x509 X509 *x = NULL;
	char name[320];
	int r;

	(void) snprintf(name, sizeof(name), "kiln CA of %.60s", m->host);
	x = key ? blank(name, NULL, key, TLS_CA_DAYS) : NULL;
	if (!x || extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") < 0 ||
	    extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") < 0 ||
	    extend(x, x, NID_subject_key_identifier, "hash") < 0 ||
	    X509_sign(x, key, EVP_sha256()) == 0)
		return ssl_fail(m->err, "cannot make a certificate authority");
	r = save_key(m, "ca.key", key);
	if (r >= 0)
		r = save_cert(m, "ca.pem", x);
	if (r < 0)
		return r;
	m->ca = take_ptr(x);
	m->ca_key = take_ptr(key);
	return 0;
}

static bool is_address(const char *s)
{
	struct in6_addr a;

	return inet_pton(AF_INET, s, &a) == 1 || inet_pton(AF_INET6, s, &a) == 1;
}

static char *alternatives(const struct maker *m)
{
	auto_buf struct buf b = BUF_INIT(16384);

	for (size_t i = 0; m->names[i]; i++)
		(void) buf_addf(&b, "%s%s:%s", i ? "," : "", is_address(m->names[i]) ? "IP" : "DNS",
				m->names[i]);
	return buf_take(&b);
}

static int make_server(struct maker *m)
{
	auto_pkey EVP_PKEY *key = EVP_EC_gen("P-256");
	auto_x509 X509 *x = key ? blank("kiln", m->ca, key, TLS_SERVER_DAYS) : NULL;
	auto_free char *alt = alternatives(m);
	int r;

	if (!x || !alt || extend(x, m->ca, NID_basic_constraints, "critical,CA:FALSE") < 0 ||
	    extend(x, m->ca, NID_key_usage, "critical,digitalSignature") < 0 ||
	    extend(x, m->ca, NID_ext_key_usage, "serverAuth") < 0 ||
	    extend(x, m->ca, NID_subject_alt_name, alt) < 0 ||
	    extend(x, m->ca, NID_subject_key_identifier, "hash") < 0 ||
	    extend(x, m->ca, NID_authority_key_identifier, "keyid:always") < 0 ||
	    X509_sign(x, m->ca_key, EVP_sha256()) == 0)
		return ssl_fail(m->err, "cannot make a server certificate");
	/* The key first: between the two writes tls_load() sees a pair that does not match, and a
	 * restart makes both anew. */
	r = save_key(m, "server.key", key);
	return r < 0 ? r : save_cert(m, "server.pem", x);
}

static bool lasts(X509 *x, int days)
{
	time_t t = time(NULL) + (time_t) days * 86400;

	return X509_cmp_time(X509_get0_notAfter(x), &t) > 0;
}

static struct tls *load(struct maker *m, const char *cert, const char *key)
{
	auto_free char *c = path_join(m->dir, cert), *k = path_join(m->dir, key);
	struct tls *t = NULL;

	if (c && k)
		(void) tls_load(c, k, &t, NULL);
	return t;
}

static int load_ca(struct maker *m)
{
	struct tls *t = load(m, "ca.pem", "ca.key");

	if (t && lasts(t->x, TLS_RENEW_DAYS)) {
		m->ca = take_ptr(t->x);
		m->ca_key = pkey_of(&t->key);
	}
	tls_free(t);
	return m->ca_key ? 0 : make_ca(m);
}

static bool server_good(struct maker *m)
{
	struct tls *t = load(m, "server.pem", "server.key");
	auto_pkey EVP_PKEY *ca = X509_get_pubkey(m->ca);
	bool ok = t && ca && lasts(t->x, TLS_RENEW_DAYS) && X509_verify(t->x, ca) == 1;

	for (size_t i = 0; ok && m->names[i]; i++)
		ok = covers(t->x, m->names[i]);
	tls_free(t);
	return ok;
}

/* What may stand in a certificate's list of names without quoting. */
static int check_name(const char *s, struct err *err)
{
	size_t n = strlen(s);

	if (n > 0 && n < 254 &&
	    (is_address(s) || strspn(s, "abcdefghijklmnopqrstuvwxyz"
					"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789-.*") == n))
		return 0;
	return err_set(err, -EINVAL, "'%.100s' is neither a host name nor an address", s);
}

static int collect(struct maker *m, const char *const *names)
{
	size_t n = 0;

	m->names[n++] = "127.0.0.1";
	m->names[n++] = "::1";
	m->names[n++] = "localhost";
	if (gethostname(m->host, sizeof(m->host) - 1) == 0 && check_name(m->host, NULL) == 0 &&
	    !str_eq(m->host, "localhost"))
		m->names[n++] = m->host;
	for (; names && *names; names++) {
		int r = check_name(*names, m->err);

		if (r < 0)
			return r;
		if (n == NAMES_MAX)
			return err_set(m->err, -EINVAL, "more than %d names", NAMES_MAX);
		m->names[n++] = *names;
	}
	return 0;
}

int tls_ensure(const char *dir, const char *const *names, struct err *err)
{
	struct maker m = {.dir = dir, .err = err};
	int r = collect(&m, names);

	if (r >= 0)
		r = file_mkdir_p(dir, 0755, err);
	if (r >= 0)
		r = load_ca(&m);
	if (r >= 0 && !server_good(&m))
		r = make_server(&m);
	X509_free(m.ca);
	EVP_PKEY_free(m.ca_key);
	return r < 0 ? err_ctx(err, r, "certificates in %s", dir) : 0;
}
