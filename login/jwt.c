/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as text and claims. The cryptography is in jws.c, keys are in jwk.c. */
#include "login/jwt.h"

#include <math.h>

#include "base/mem.h"

static const char *const alg_names[] = {
	[JWT_RS256] = "RS256",
	[JWT_PS256] = "PS256",
	[JWT_ES256] = "ES256",
};

const char *jwt_alg_name(enum jwt_alg alg)
{
	return alg < JWT_ALG_MAX ? alg_names[alg] : "?";
}

enum jwt_alg jwt_alg_find(const char *name)
{
	unsigned i = 0;

	while (i < JWT_ALG_MAX && !str_eq(alg_names[i], name))
		i++;
	return (enum jwt_alg) i;
}

void jwt_done(struct jwt *j)
{
	json_decref(j->header);
	json_decref(j->claims);
	free(j->signature);
	*j = (struct jwt){0};
}

/* ---- Parsing -------------------------------------------------------------------------------- */

static int parse_part(const char *s, size_t n, const char *what, json_t **ret, struct err *err)
{
	auto_free uint8_t *text = NULL;
	size_t len = 0;
	int r = b64url_decode(s, n, &text, &len);

	if (r == -EINVAL)
		return err_set(err, r, "the token's %s is not unpadded base64url", what);
	if (r >= 0)
		r = json_parse((const char *) text, len, ret, err);
	if (r < 0)
		return err_ctx(err, r, "the token's %s", what);
	if (!json_is_object(*ret))
		return err_set(err, -EINVAL, "the token's %s is no JSON object", what);
	return 0;
}

static int check_header(struct jwt *j, struct err *err)
{
	static const char *const types[] = {"JWT", "at+jwt", "application/at+jwt",
					    "rt+jwt" /* kiln's refresh tokens */, NULL};
	const json_t *typ = json_object_get(j->header, "typ");
	const json_t *kid = json_object_get(j->header, "kid");
	const char *alg = json_str_at(j->header, "alg");
	bool known = !typ;

	j->alg = alg ? jwt_alg_find(alg) : JWT_ALG_MAX;
	if (j->alg == JWT_ALG_MAX)
		return err_set(err, -EINVAL,
			       "the token's algorithm '%.20s' is not one of RS256, PS256, ES256",
			       alg ? alg : "(none)");
	if (json_object_get(j->header, "crit"))
		return err_set(err, -EINVAL,
			       "the token's header has \"crit\": no extension is"
			       " understood here");
	for (size_t i = 0; types[i] && !known; i++)
		known = str_eq_nocase(json_string_value(typ), types[i]);
	if (!known)
		return err_set(err, -EINVAL, "the token's \"typ\" is not JWT");
	if (kid && (!json_is_string(kid) || json_string_length(kid) > JWT_KID_MAX))
		return err_set(err, -EINVAL, "the token's \"kid\" is no text of at most %d bytes",
			       JWT_KID_MAX);
	j->kid = json_string_value(kid);
	return 0;
}

static int parse(const char *text, size_t n, struct jwt *j, struct err *err)
{
	const char *dot1 = memchr(text, '.', n), *dot2, *end = text + n;
	int r;

	dot2 = dot1 ? memchr(dot1 + 1, '.', (size_t) (end - dot1 - 1)) : NULL;
	if (!dot2 || memchr(dot2 + 1, '.', (size_t) (end - dot2 - 1)))
		return err_set(err, -EINVAL, "the token does not have three parts");
	r = parse_part(text, (size_t) (dot1 - text), "header", &j->header, err);
	if (r >= 0)
		r = check_header(j, err);
	if (r >= 0)
		r = parse_part(dot1 + 1, (size_t) (dot2 - dot1 - 1), "claims", &j->claims, err);
	if (r < 0)
		return r;
	if (dot2 + 1 == end)
		return err_set(err, -EINVAL, "the token is not signed");
	r = b64url_decode(dot2 + 1, (size_t) (end - dot2 - 1), &j->signature, &j->signature_bytes);
	if (r == -EINVAL)
		return err_set(err, r, "the token's signature is not unpadded base64url");
	j->signed_text = text;
	j->signed_bytes = (size_t) (dot2 - text);
	return r < 0 ? err_set(err, r, "out of memory") : 0;
}

int jwt_parse(const char *text, size_t n, struct jwt *ret, struct err *err)
{
	struct jwt j = {0};
	int r;

	if (n > JWT_BYTES_MAX)
		return err_set(err, -EFBIG, "the token has %zu bytes, at most %u are looked at", n,
			       JWT_BYTES_MAX);
	r = parse(text, n, &j, err);
	if (r < 0) {
		jwt_done(&j);
		return r;
	}
	*ret = j;
	return 0;
}

/* ---- Claims --------------------------------------------------------------------------------- */

/* 0 with the time, -ENOENT when absent, -EINVAL when it is no sensible number of seconds. */
static int time_claim(const struct jwt *j, const char *name, int64_t *ret)
{
	const json_t *v = json_object_get(j->claims, name);
	double d;

	if (!v)
		return -ENOENT;
	if (!json_is_number(v))
		return -EINVAL;
	d = json_number_value(v);
	if (!isfinite(d) || d < 0 || d > 1e12)
		return -EINVAL;
	*ret = (int64_t) d;
	return 0;
}

int jwt_times(const struct jwt *j, int64_t now_s, struct err *err)
{
	static const char *const begins[] = {"nbf", "iat"};
	int64_t t = 0;

	if (time_claim(j, "exp", &t) < 0)
		return err_set(err, -EINVAL, "the token has no \"exp\" that is a time");
	if (t + JWT_SKEW_S <= now_s)
		return err_set(err, -ETIME, "the token has expired");
	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		int r = time_claim(j, begins[i], &t);

		if (r == -EINVAL)
			return err_set(err, r, "the token's \"%s\" is no time", begins[i]);
		if (r == 0 && t - JWT_SKEW_S > now_s)
			return err_set(err, -EINVAL, "the token is not valid yet (\"%s\")",
				       begins[i]);
	}
	return 0;
}

bool jwt_audience(const struct jwt *j, const char *aud)
{
	const json_t *v = json_object_get(j->claims, "aud");

	if (json_is_string(v))
		return str_eq(json_string_value(v), aud);
	for (size_t i = 0; i < json_array_size(v); i++)
		if (str_eq(json_string_value(json_array_get(v, i)), aud))
			return true;
	return false;
}
