/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/sas.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "arm/text.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/disk.h"

#define KEY_BYTES  32
#define SIG_TEXT   45 /* Base64 of 32 bytes, with the NUL */
#define PATH_PARTS 5  /* subscription, group, type, name, grant */

void sas_done(struct sas_target *t)
{
	free(t->id);
	json_decref(t->doc);
	*t = (struct sas_target){0};
}

json_t *sas_grant(const char *mode, int64_t expires)
{
	uint8_t key[KEY_BYTES];
	char id[UUID_STR], hex[2 * KEY_BYTES + 1];

	if (random_bytes(key, sizeof(key)) < 0 || uuid_random(id) < 0)
		return NULL;
	hex_encode(key, sizeof(key), hex);
	return json_pack("{s:s, s:s, s:I, s:s}", "id", id, "mode", mode, "expires",
			 (json_int_t) expires, "key", hex);
}

static int sign(const json_t *access, const char *key, const char *sp, const char *se,
		char ret[SIG_TEXT])
{
	const char *hex = json_str_at(access, "key"), *id = json_str_at(access, "id");
	auto_free char *text = strf("%s\n%s\n%s\n%s\n%s\n", SAS_VERSION, sp, se, key, id);
	uint8_t secret[KEY_BYTES], mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!text || !hex || !id || hex_decode(hex, secret, sizeof(secret)) < 0)
		return -EINVAL;
	if (!HMAC(EVP_sha256(), secret, sizeof(secret), (const uint8_t *) text, strlen(text), mac,
		  &n))
		return -ENOMEM;
	OPENSSL_cleanse(secret, sizeof(secret));
	(void) EVP_EncodeBlock((uint8_t *) ret, mac, (int) n);
	return 0;
}

static void expiry_text(int64_t s, char ret[ISO_MAX])
{
	time_iso(s * 1000000, ret);
	(void) snprintf(ret + 19, 2, "Z"); /* whole seconds */
}

/* ---- Making --------------------------------------------------------------------------------- */

int sas_url(const char *base, const struct arm_id *id, const json_t *access, char **ret,
	    struct err *err)
{
	const char *mode = json_str_at(access, "mode");
	const char *sp = mode && strcmp(mode, "Write") == 0 ? "rw" : "r";
	const char *const parts[] = {id->subscription, id->group,
				     str_eq_nocase(id->type, TYPE_SNAPSHOT) ? "snapshots" : "disks",
				     id->name, json_str_at(access, "id")};
	struct buf b = BUF_INIT(16384);
	char se[ISO_MAX], sig[SIG_TEXT];
	int r;

	expiry_text(json_int_at(access, "expires", 0), se);
	r = sign(access, id->key, sp, se, sig);
	if (r < 0)
		return err_set(err, r, "signed URL: %s", strerror(-r));
	(void) buf_addf(&b, "%.*s/blob", (int) strlen(base) - str_ends(base, "/"), base);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		(void) buf_addf(&b, "/");
		(void) percent_encode(&b, parts[i], "");
	}
	(void) buf_addf(&b, ".vhd?sv=" SAS_VERSION "&sr=b&sp=%s&se=", sp);
	(void) percent_encode(&b, se, "");
	(void) buf_addf(&b, "&sig=");
	(void) percent_encode(&b, sig, "");
	if (b.err < 0) {
		r = b.err;
		buf_done(&b);
		return err_set(err, r, "signed URL: %s", strerror(-r));
	}
	*ret = b.data;
	return 0;
}

/* ---- Checking ------------------------------------------------------------------------------- */

static int denied(struct err *err)
{
	err_set(err, -EACCES,
		"Server failed to authenticate the request. Make sure the signature is there, "
		"formed correctly and has not ended.");
	err_arm(err, "AuthenticationFailed");
	return -EACCES;
}

/* The resource's id and the grant out of a path. */
static int parse_path(const char *path, char **ret_id, char **ret_grant)
{
	auto_free char *copy = strdup(path + strlen(SAS_PREFIX));
	char *part[PATH_PARTS], *p = copy, *word, *dot;
	unsigned n = 0;

	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&p, "/"))) {
		if (n == PATH_PARTS || percent_decode(word, false) < 0 || !*word)
			return -EINVAL;
		part[n++] = word;
	}
	if (n != PATH_PARTS || (strcmp(part[2], "disks") != 0 && strcmp(part[2], "snapshots") != 0))
		return -EINVAL;
	dot = strrchr(part[4], '.');
	if (!dot || strcmp(dot, ".vhd") != 0)
		return -EINVAL;
	*ret_grant = strndup(part[4], (size_t) (dot - part[4]));
	*ret_id = strf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Compute/%s/%s",
		       part[0], part[1], part[2], part[3]);
	return *ret_grant && *ret_id ? 0 : -ENOMEM;
}

static bool signature_ok(const struct target *t, const char *id, const char *grant,
			 const json_t *access)
{
	const char *sp = target_query(t, "sp"), *se = target_query(t, "se");
	const char *sig = target_query(t, "sig"), *mode = json_str_at(access, "mode");
	const char *own = json_str_at(access, "id");
	auto_free char *key = str_lower(id);
	char want[SIG_TEXT];
	int64_t until, now = time_now_us();

	if (!str_eq(target_query(t, "sv"), SAS_VERSION) || !str_eq(target_query(t, "sr"), "b"))
		return false;
	if (!sp || !se || !sig || !mode || !own || !key || strcmp(own, grant) != 0)
		return false;
	if (sign(access, key, sp, se, want) < 0 || strlen(sig) != strlen(want) ||
	    CRYPTO_memcmp(sig, want, strlen(want)) != 0)
		return false;
	return time_parse_iso(se, &until) == 0 && until > now &&
	       json_int_at(access, "expires", 0) * 1000000 > now;
}

static int check(struct arm *arm, const struct target *t, struct sas_target *s, struct err *err)
{
	auto_free char *grant = NULL;
	const json_t *access;
	const char *mode;
	int r = parse_path(t->path, &s->id, &grant);

	if (r == -ENOMEM)
		return no_memory(err);
	if (r == 0)
		r = arm_load(arm, s->id, &s->doc, NULL);
	if (r < 0)
		return r == -ENOENT || r == -EINVAL ? denied(err) : err_set(err, r, "signed URL");
	access = json_object_get(s->doc, "access");
	if (!access || !signature_ok(t, s->id, grant, access))
		return denied(err);
	mode = json_str_at(access, "mode");
	s->write = mode && strcmp(mode, "Write") == 0;
	return 0;
}

int sas_check(struct arm *arm, const char *target, struct sas_target *ret, struct err *err)
{
	struct sas_target s = {0};
	auto_target struct target t = {0};
	int r = target_parse(target, &t, err);

	if (r == 0)
		r = strncmp(t.path, SAS_PREFIX, strlen(SAS_PREFIX)) == 0 ? check(arm, &t, &s, err)
									 : denied(err);
	if (r < 0) {
		sas_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

int sas_local(struct arm *arm, const char *url, struct sas_target *ret, struct err *err)
{
	const char *base = arm_config(arm)->endpoint, *path;
	size_t n = base ? strlen(base) : 0;
	bool own = n > 0 && strncasecmp(url, base, n) == 0;
	int r;

	if (strncasecmp(url, "https://", 8) != 0)
		return -ENOENT;
	path = url + 8 + strcspn(url + 8, "/");
	if (strncmp(path, SAS_PREFIX, strlen(SAS_PREFIX)) != 0)
		return -ENOENT;
	/* A server has several names; the signature proves that the URL is ours. */
	r = sas_check(arm, path, ret, own ? err : NULL);
	return r == -EACCES && !own ? -ENOENT : r;
}
