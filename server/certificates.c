/* SPDX-License-Identifier: Apache-2.0 */
#include "server/certificates.h"

#include <gnutls/x509.h>
#include <stdatomic.h>

#include "base/mem.h"

#define CHAIN_MAX 8

struct certificate {
	struct certificate *older;
	struct tls *tls;
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned n;
	gnutls_privkey_t key;
};

struct certificates {
	struct certificate *_Atomic now; /* never NULL once the server answers */
};

int certificates_new(struct certificates **ret, struct err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static void certificate_free(struct certificate *c)
{
	for (unsigned i = 0; i < c->n; i++)
		gnutls_pcert_deinit(&c->chain[i]);
	if (c->key)
		gnutls_privkey_deinit(c->key);
	tls_free(c->tls);
	free(c);
}

void certificates_free(struct certificates *cs)
{
	struct certificate *c = cs ? atomic_load(&cs->now) : NULL;

	while (c) {
		struct certificate *older = c->older;

		certificate_free(c);
		c = older;
	}
	free(cs);
}

static gnutls_datum_t datum(const char *text)
{
	return (gnutls_datum_t){(unsigned char *) (uintptr_t) text, (unsigned) strlen(text)};
}

static int load_chain(struct certificate *c)
{
	gnutls_datum_t pem = datum(tls_cert_pem(c->tls));
	gnutls_x509_crt_t x[CHAIN_MAX];
	unsigned n = CHAIN_MAX;
	int r = gnutls_x509_crt_list_import(x, &n, &pem, GNUTLS_X509_FMT_PEM,
					    GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);

	if (r < 0)
		return r;
	n = (unsigned) r;
	for (unsigned i = 0; i < n; i++) {
		if (r >= 0)
			r = gnutls_pcert_import_x509(&c->chain[i], x[i], 0);
		c->n += r >= 0;
		gnutls_x509_crt_deinit(x[i]);
	}
	return r;
}

static int load(struct certificate *c)
{
	gnutls_datum_t pem = datum(tls_key_pem(c->tls));
	int r = load_chain(c);

	if (r >= 0)
		r = gnutls_privkey_init(&c->key);
	return r < 0 ? r
		     : gnutls_privkey_import_x509_raw(c->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
}

int certificates_add(struct certificates *cs, struct tls *tls, struct err *err)
{
	struct certificate *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		tls_free(tls);
		return err_set(err, -ENOMEM, "out of memory");
	}
	c->tls = tls;
	r = load(c);
	if (r < 0) {
		certificate_free(c);
		return err_set(err, -EINVAL, "certificate: %s", gnutls_strerror(r));
	}
	c->older = atomic_load(&cs->now);
	while (!atomic_compare_exchange_weak(&cs->now, &c->older, c))
		;
	return 0;
}

bool certificates_cover(struct certificates *cs, const char *host)
{
	return tls_covers(atomic_load(&cs->now)->tls, host);
}

void certificates_present(struct certificates *cs, gnutls_pcert_st **ret, unsigned *ret_n,
			  gnutls_privkey_t *ret_key)
{
	struct certificate *c = atomic_load(&cs->now);

	*ret = c->chain;
	*ret_n = c->n;
	*ret_key = c->key;
}
