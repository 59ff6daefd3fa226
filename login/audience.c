/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which resources tokens are for: this API and its Graph, by the address of any server of the
 * database, and by the names that clients insist on whatever their endpoint is.
 */
#include "base/mem.h"
#include "login/internal.h"

static const char *const well_known[] = {
	"https://management.azure.com",
	"https://management.core.windows.net",
	"https://graph.microsoft.com",
	"https://graph.windows.net",
};
static const char *const suffixes[] = {"", "/", "/msgraph", "/msgraph/"};

static bool is_well_known(const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(well_known); i++) {
		size_t n = strlen(well_known[i]);

		if (strncasecmp(s, well_known[i], n) == 0 && (!s[n] || str_eq(s + n, "/")))
			return true;
	}
	return false;
}

/* What follows the address, when it is one of ours. */
static const char *suffix_of(const char *s, const char *base)
{
	size_t n = strlen(base);

	if (strncasecmp(s, base, n) != 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (str_eq(s + n, suffixes[i]))
			return suffixes[i];
	return NULL;
}

char *audience_of(const struct login *l, const char *base, const char *resource)
{
	const char *end;

	if (is_well_known(resource))
		return strdup(resource);
	end = suffix_of(resource, base);
	if (!end)
		end = suffix_of(resource, l->config.endpoint);
	/* One name for an API that may be reached by several. */
	return end ? strf("%s%s", l->config.endpoint, end) : NULL;
}

int audience_ok(struct login *l, const char *aud, struct err *err)
{
	bool ours = false;

	if (is_well_known(aud))
		return 0;
	for (size_t i = ARRAY_SIZE(suffixes); i-- > 0 && !ours;) {
		size_t n = strlen(aud), k = strlen(suffixes[i]);
		int r;

		if (n < k || !str_eq(aud + n - k, suffixes[i]))
			continue;
		r = keys_issuer(l, aud, n - k, &ours, err);
		if (r < 0)
			return r;
	}
	return ours ? 0 : -EACCES;
}
