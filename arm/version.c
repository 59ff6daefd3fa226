/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/internal.h"

#include <ctype.h>

#include "base/mem.h"

/* "2022-03-03" or "2020-04-01-preview". */
static bool well_formed(const char *v)
{
	static const char shape[] = "dddd-dd-dd";
	int month, day;

	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == 'd' ? !isdigit((unsigned char) v[i]) : v[i] != shape[i])
			return false;
	month = (v[5] - '0') * 10 + v[6] - '0';
	day = (v[8] - '0') * 10 + v[9] - '0';
	if (month < 1 || month > 12 || day < 1 || day > 31)
		return false;
	if (v[10] == '\0')
		return true;
	if (v[10] != '-' || v[11] == '\0' || strlen(v) > 32)
		return false;
	for (const char *p = v + 11; *p; p++)
		if (!isalnum((unsigned char) *p))
			return false;
	return true;
}

/* Clients scrape this list from messages. */
static char *supported(const struct arm_type *type)
{
	struct buf b = BUF_INIT(4096);

	for (size_t i = 0; type->versions && type->versions[i]; i++)
		(void) buf_addf(&b, "%s%s", i > 0 ? ", " : "", type->versions[i]);
	if (b.len == 0)
		(void) buf_addstr(&b, type->first_version);
	return buf_take(&b);
}

static int too_old(const struct route *r, const char *v, struct err *err)
{
	auto_free char *list = supported(r->type);
	const char *slash = strchr(r->type->name, '/');
	int ns = (int) (slash - r->type->name);

	if (!list)
		return err_set(err, -ENOMEM, "out of memory");
	if (r->type->tracked) {
		(void) err_set(err, -EINVAL,
			       "No registered resource provider found for API version '%s' for type"
			       " '%s' of namespace '%.*s'. The supported api-versions are '%s', and"
			       " every later one.",
			       v, slash + 1, ns, r->type->name, list);
		err_arm(err, "NoRegisteredProviderFound");
		return -EINVAL;
	}
	(void) err_set(err, -ENOENT,
		       "The resource type '%s' could not be found in the namespace '%.*s' for api"
		       " version '%s'. The supported api-versions are '%s', and every later one.",
		       slash + 1, ns, r->type->name, v, list);
	err_arm(err, "InvalidResourceType");
	return -ENOENT;
}

int version_check(const struct route *r, const char *v, struct err *err)
{
	auto_free char *list = NULL;

	if (!v || !*v) {
		(void) err_set(err, -EINVAL,
			       "The api-version query parameter (?api-version=) is required for all"
			       " requests.");
		err_arm(err, "MissingApiVersionParameter");
		return -EINVAL;
	}
	if (!well_formed(v)) {
		list = r->type ? supported(r->type) : strdup("2020-01-01");
		(void) err_set(err, -EINVAL,
			       "The api-version '%.64s' is invalid. The supported versions are"
			       " '%s', and every later one.",
			       v, list ? list : "");
		err_arm(err, "InvalidApiVersionParameter");
		return -EINVAL;
	}
	if (r->type && version_before(v, r->type->first_version))
		return too_old(r, v, err);
	return 0;
}
