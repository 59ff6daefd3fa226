/* SPDX-License-Identifier: Apache-2.0 */
/* What a request for a VM must say, and what it means. */
#include <crypt.h>

#include "bake/platform.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/disk.h"
#include "providers/versions.h"
#include "providers/vms.h"

#define NAME_MAX_LINUX 64

bool vm_uefi(const json_t *doc)
{
	const char *g = json_str_at(doc, VM_IMAGE ".facts.hyperVGeneration");

	return !g || strcmp(g, "V1") != 0;
}

static bool trusted_launch(const json_t *doc)
{
	return str_eq(json_str_at(doc, P_SECURITY ".securityType"), "TrustedLaunch");
}

/* Trusted Launch without uefiSettings has both. */
bool vm_secure_boot(const json_t *doc)
{
	return trusted_launch(doc) &&
	       json_bool_at(doc, P_SECURITY ".uefiSettings.secureBootEnabled", true);
}

bool vm_has_tpm(const json_t *doc)
{
	return trusted_launch(doc) &&
	       json_bool_at(doc, P_SECURITY ".uefiSettings.vTpmEnabled", true);
}

static int check_size(struct arm_call *c, struct err *err)
{
	const char *name = json_str_at(c->doc, P_VM_SIZE);
	struct vm_size size;

	if (!name)
		return refuse(err, -EINVAL, "InvalidParameter", P_VM_SIZE, P_VM_SIZE " is missing");
	if (vm_size_find(name, &size) == 0)
		return 0;
	return refuse(
		err, -EINVAL, "InvalidParameter", P_VM_SIZE,
		"The value %s provided for the VM size is not valid. The sizes that there are "
		"are listed by GET .../providers/Microsoft.Compute/locations/LOCATION/vmSizes",
		name);
}

/* ---- The image ------------------------------------------------------------------------------ */

static int take_platform(struct arm_call *c, struct err *err)
{
	const json_t *ref = json_at(c->doc, P_IMAGE);
	const char *publisher = json_str_at(ref, "publisher"), *offer = json_str_at(ref, "offer");
	const char *sku = json_str_at(ref, "sku"), *version = json_str_at(ref, "version");
	const struct platform_sku *s;

	if (!publisher || !offer || !sku)
		return refuse(err, -EINVAL, "InvalidParameter", P_IMAGE,
			      P_IMAGE ": one of id, sharedGalleryImageId, communityGalleryImageId, "
				      "or publisher, offer and sku expected");
	s = platform_find(publisher, offer, sku);
	if (!s)
		return refuse(err, -ENOENT, "PlatformImageNotFound", P_IMAGE,
			      "The platform image '%s:%s:%s' is not available", publisher, offer,
			      sku);
	if (json_set_at(c->doc, VM_IMAGE,
			json_pack("{s:o, s:{s:s, s:s, s:s, s:s}}", "urn",
				  json_strf("%s:%s:%s:%s", publisher, offer, sku,
					    version ? version : "latest"),
				  "facts", "kind", "PlatformImage", "hyperVGeneration",
				  s->hyperv_generation, "osType", "Linux", "osState",
				  "Generalized")) < 0)
		return no_memory(err);
	return 0;
}

static int take_image(struct arm_call *c, const char *id, const char *target, struct err *err)
{
	const char *location = json_str_at(c->doc, "location"), *arch;
	auto_image_source struct image_source s = {.region = -1};
	const struct app *a = c->app;
	const char *slash;
	int r = image_source_load(c->app, c->who, c->id->subscription, id, location ? location : "",
				  target, &s, err);

	if (r < 0)
		return r;
	arch = json_str_at(s.facts, "architecture");
	if (arch && strcmp(arch, "x64") != 0)
		return refuse(err, -EINVAL, "InvalidParameter", target,
			      "%s: the image is for %s; VMs here are x64", target, arch);
	if (json_set_at(c->doc, VM_IMAGE,
			json_pack("{s:s, s:s, s:o, s:O}", "id", s.id, "region",
				  a->regions[s.region].name, "disk", disk_ref_to_json(&s.disk),
				  "facts", s.facts)) < 0 ||
	    (s.data && json_set_at(c->doc, VM_IMAGE ".dataDisks", json_incref(s.data)) < 0))
		return no_memory(err);
	slash = is_type(s.id, TYPE_VERSION) ? strrchr(s.id, '/') : NULL;
	return slash ? set_str(c->doc, P_IMAGE ".exactVersion", slash + 1, err) : 0;
}

static int check_image(struct arm_call *c, struct err *err)
{
	static const char *const ids[] = {P_IMAGE ".id", P_IMAGE ".sharedGalleryImageId",
					  P_IMAGE ".communityGalleryImageId"};
	const char *option = json_str_at(c->doc, P_OS_DISK ".createOption");
	size_t n = 0, which = 0;

	if (option && strcmp(option, "FromImage") != 0)
		return refuse(err, -EINVAL, "InvalidParameter", P_OS_DISK ".createOption",
			      P_OS_DISK ".createOption: VMs are made FromImage; make an image or a "
					"version of the disk first");
	if (json_array_size(json_at(c->doc, "properties.storageProfile.dataDisks")) > 0)
		return refuse(
			err, -EINVAL, "InvalidParameter", "properties.storageProfile.dataDisks",
			"properties.storageProfile.dataDisks: data disks come with the image");
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		if (!json_str_at(c->doc, ids[i]))
			continue;
		n++;
		which = i;
	}
	if (n > 1)
		return refuse(err, -EINVAL, "InvalidParameter", P_IMAGE,
			      P_IMAGE ": more than one image is named");
	return n == 1 ? take_image(c, json_str_at(c->doc, ids[which]), ids[which], err)
		      : take_platform(c, err);
}

/* The value of a definition's feature, or NULL. */
static const char *feature(const json_t *definition, const char *name)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_at(definition, "properties.features"), i, f)
	{
		if (str_eq_nocase(json_str_at(f, "name"), name))
			return json_str_at(f, "value");
	}
	return NULL;
}

static int check_definition(struct arm_call *c, const char *version, struct err *err)
{
	const char *cut = strcasestr(version, "/versions/"), *type;
	auto_free char *id = cut ? strndup(version, (size_t) (cut - version)) : NULL;
	auto_json json_t *definition = NULL;
	bool only;
	int r = id ? arm_load(c->arm, id, &definition, err) : no_memory(err);

	if (r < 0)
		return r;
	type = feature(definition, "SecurityType");
	only = type && (str_eq_nocase(type, "TrustedLaunch") ||
			str_eq_nocase(type, "TrustedLaunchAndConfidentialVm"));
	if (trusted_launch(c->doc) && (!type || !strcasestr(type, "TrustedLaunch")))
		return refuse(
			err, -EINVAL, "BadRequest", P_SECURITY ".securityType",
			"Use of TrustedLaunch setting is not supported for the provided image: "
			"its definition says SecurityType '%s'",
			type ? type : "Standard");
	if (only && !trusted_launch(c->doc))
		return refuse(err, -EINVAL, "BadRequest", P_SECURITY ".securityType",
			      "The image's definition demands SecurityType '%s': set " P_SECURITY
			      ".securityType to TrustedLaunch",
			      type);
	return 0;
}

static int check_security(struct arm_call *c, struct err *err)
{
	const char *id = json_str_at(c->doc, VM_IMAGE ".id");
	const char *type = json_str_at(c->doc, P_SECURITY ".securityType");

	if (type && !trusted_launch(c->doc) && strcmp(type, "Standard") != 0)
		return refuse(err, -EINVAL, "InvalidParameter", P_SECURITY ".securityType",
			      P_SECURITY ".securityType '%s' is not available here; TrustedLaunch "
					 "and Standard are",
			      type);
	if (trusted_launch(c->doc) && !vm_uefi(c->doc))
		return refuse(err, -EINVAL, "BadRequest", P_SECURITY ".securityType",
			      "TrustedLaunch needs an image of generation 2; this one is of "
			      "generation 1");
	return id && is_type(id, TYPE_VERSION) ? check_definition(c, id, err) : 0;
}

/* ---- osProfile ------------------------------------------------------------------------------ */

static int check_name(const char *name, const char *target, const char *more, struct err *err)
{
	size_t n = strlen(name);
	bool ok = n > 0 && n <= NAME_MAX_LINUX && name[0] != '-' && name[n - 1] != '-';

	for (size_t i = 0; ok && i < n; i++)
		ok = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
		     (name[i] >= '0' && name[i] <= '9') || strchr(more, name[i]);
	if (ok)
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", target,
		      "%s '%s': 1 to %d letters, digits and '%s' expected", target, name,
		      NAME_MAX_LINUX, more);
}

/* A hash that the guest's own crypt(3) knows; the password itself is kept nowhere. */
static int hash_password(const char *password, char **ret, struct err *err)
{
	auto_free struct crypt_data *data = calloc(1, sizeof(*data));
	uint8_t random[16];
	char setting[128];
	const char *hash = NULL;

	if (!data || random_bytes(random, sizeof(random)) < 0)
		return no_memory(err);
	if (crypt_gensalt_rn("$6$", 0, (const char *) random, sizeof(random), setting,
			     sizeof(setting)))
		hash = crypt_r(password, setting, data);
	if (!hash || hash[0] == '*')
		return err_set(err, -EIO, "the password cannot be hashed");
	*ret = strdup(hash);
	mem_wipe(data, sizeof(*data));
	return *ret ? 0 : no_memory(err);
}

static int take_password(struct arm_call *c, struct err *err)
{
	const char *password = json_str_at(c->body, P_OS ".adminPassword");
	auto_free char *hash = NULL;
	size_t n = password ? strlen(password) : 0;
	int r;

	if (!password)
		return 0;
	if (n < 6 || n > 72)
		return refuse(err, -EINVAL, "InvalidParameter", P_OS ".adminPassword",
			      P_OS ".adminPassword: 6 to 72 characters expected");
	r = hash_password(password, &hash, err);
	return r < 0 ? r : set_str(c->doc, VM_SECRETS ".passwordHash", hash, err);
}

static int take_data(struct arm_call *c, const char *path, const char *keep, struct err *err)
{
	const char *text = json_str_at(c->body, path);
	auto_free void *plain = NULL;
	size_t n = 0;

	if (!text)
		return 0;
	plain = base64_decode(text, &n);
	if (!plain || memchr(plain, '\0', n))
		return refuse(err, -EINVAL, "InvalidParameter", path,
			      "%s: Base64 of a text expected", path);
	return set_str(c->doc, keep, text, err);
}

static int check_keys(struct arm_call *c, struct err *err)
{
	const json_t *keys = json_at(c->doc, P_OS ".linuxConfiguration.ssh.publicKeys"), *k;
	size_t i;

	json_array_foreach(keys, i, k)
	{
		const char *data = json_str_at(k, "keyData");

		if (!data || strpbrk(data, "\r\n") || !strchr(data, ' '))
			return refuse(err, -EINVAL, "InvalidParameter",
				      P_OS ".linuxConfiguration.ssh.publicKeys",
				      P_OS ".linuxConfiguration.ssh.publicKeys[%zu].keyData: one "
					   "line as in authorized_keys expected",
				      i);
	}
	return 0;
}

static int check_os(struct arm_call *c, struct err *err)
{
	const char *state = json_str_at(c->doc, VM_IMAGE ".facts.osState");
	const char *name = json_str_at(c->doc, P_OS ".computerName");
	const char *user = json_str_at(c->doc, P_OS ".adminUsername");
	const json_t *keys = json_at(c->doc, P_OS ".linuxConfiguration.ssh.publicKeys");
	int r;

	if (state && strcmp(state, "Specialized") == 0)
		return json_at(c->doc, P_OS)
			       ? refuse(err, -EINVAL, "InvalidParameter", P_OS,
					"Parameter 'osProfile' is not allowed: the image is "
					"specialized and brings its own accounts")
			       : 0;
	if (!json_at(c->doc, P_OS))
		return 0; /* reached by its guest agent and its console alone */
	r = name ? check_name(name, P_OS ".computerName", "-.", err)
		 : set_str(c->doc, P_OS ".computerName", c->id->name, err);
	if (r < 0)
		return r;
	if (!user)
		return refuse(err, -EINVAL, "InvalidParameter", P_OS ".adminUsername",
			      P_OS ".adminUsername is missing");
	r = check_name(user, P_OS ".adminUsername", "-_", err);
	if (r == 0 && strcmp(user, "root") == 0)
		r = refuse(err, -EINVAL, "InvalidParameter", P_OS ".adminUsername",
			   "The Admin Username specified is not allowed.");
	if (r == 0)
		r = check_keys(c, err);
	if (r == 0 && json_array_size(keys) == 0 && !json_str_at(c->body, P_OS ".adminPassword"))
		r = refuse(err, -EINVAL, "InvalidParameter", P_OS,
			   "Authentication using either SSH or by user name and password must be "
			   "enabled: " P_OS ".linuxConfiguration.ssh.publicKeys or adminPassword");
	if (r == 0)
		r = take_password(c, err);
	return r < 0 ? r : take_data(c, P_OS ".customData", VM_SECRETS ".customData", err);
}

/* ---- All of it ------------------------------------------------------------------------------ */

static int set_facts(struct arm_call *c, struct err *err)
{
	char id[UUID_STR], key[2 * 32 + 1], now[ISO_MAX];
	uint8_t random[32];
	int64_t bytes = json_int_at(c->doc, VM_IMAGE ".disk.sizeBytes", 0);
	int64_t gb = json_int_at(c->doc, P_OS_DISK ".diskSizeGB", 0);
	int r = uuid_random(id);

	if (r == 0)
		r = random_bytes(random, sizeof(random));
	if (r < 0)
		return err_set(err, r, "no randomness");
	hex_encode(random, sizeof(random), key);
	if (bytes > 0 && gb > 0 && gb < GB_OF(bytes))
		return refuse(err, -EINVAL, "InvalidParameter", P_OS_DISK ".diskSizeGB",
			      P_OS_DISK ".diskSizeGB: %lld GB are less than the image's %lld",
			      (long long) gb, (long long) GB_OF(bytes));
	if (json_set_at(c->doc, "vm.console.key", json_string(key)) < 0 ||
	    json_set_at(c->doc, VM_POWER, json_string("running")) < 0 ||
	    json_set_at(c->doc, P_VM_ID, json_string(id)) < 0 ||
	    json_set_at(c->doc, "properties.timeCreated",
			json_string(time_iso(time_now_us(), now))) < 0)
		return no_memory(err);
	r = set_default(c->doc, P_OS_DISK ".createOption", "FromImage", err);
	if (r == 0)
		r = set_default(c->doc, P_OS_DISK ".osType", "Linux", err);
	return r;
}

int vm_rules_create(struct arm_call *c, struct err *err)
{
	int r = check_size(c, err);

	if (r == 0)
		r = check_image(c, err);
	if (r == 0)
		r = check_security(c, err);
	if (r == 0)
		r = check_os(c, err);
	if (r == 0)
		r = take_data(c, "properties.userData", VM_SECRETS ".userData", err);
	return r < 0 ? r : set_facts(c, err);
}

/* What is new counts from the next start on. */
int vm_rules_update(struct arm_call *c, struct err *err)
{
	static const char *const kept[] = {
		"vm", P_VM_ID,   "properties.timeCreated", "properties.storageProfile",
		P_OS, P_SECURITY};
	int r = check_size(c, err);

	for (size_t i = 0; i < ARRAY_SIZE(kept) && r == 0; i++)
		r = keep_old(c, kept[i], err);
	return r;
}
