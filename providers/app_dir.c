/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "providers/app_dir.h"
#include "providers/region_admin.h"

#define SOCKET_PATH_MAX 107 /* bytes that a Unix socket's path may have */
#define RUN_DIR_MAX     60  /* leaves room for what is made beneath it */

int app_dir_find(const char *given, char **ret, struct err *err)
{
	const char *home = getenv("HOME");
	auto_free char *dir = NULL;
	char real[PATH_MAX];
	int r;

	if (!given || !*given)
		given = getenv("KILN_DATA");
	if (given && *given)
		dir = strdup(given);
	else if (geteuid() == 0)
		dir = strdup("/var/lib/kiln");
	else if (home && *home)
		dir = path_join(home, ".local/share/kiln");
	else
		return err_set(err, -EINVAL, "no data directory: give --data DIR or set HOME");
	if (!dir)
		return err_set(err, -ENOMEM, "data directory");
	r = file_mkdir_p(dir, 0755, err);
	if (r < 0)
		return err_ctx(err, r, "data directory");
	if (!realpath(dir, real))
		return err_set(err, -errno, "data directory %s", dir);
	*ret = strdup(real);
	return *ret ? 0 : err_set(err, -ENOMEM, "data directory");
}

/* A newer program's directory is refused before anything else in it is read. */
static int dir_format_check(struct app *a, const char *path, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(64);
	char *end = NULL;
	unsigned long v;
	int r;

	a->created = !file_exists(path);
	if (a->created)
		return 0;
	r = file_read_all(path, &text, err);
	if (r < 0)
		return r;
	errno = 0;
	v = strtoul(buf_str(&text), &end, 10);
	if (errno != 0 || end == buf_str(&text) || strcmp(end, "\n") != 0 || v == 0)
		return err_set(err, -EPROTO, "%s: not a format number", path);
	if (v > APP_FORMAT) {
		err_set(err, -EPROTO, "%s: format %lu is newer than this program's %d", a->data_dir,
			v, APP_FORMAT);
		err_hint(err, "use the newer kiln, or another directory with --data");
		return -EPROTO;
	}
	return 0; /* there is no older format to migrate from */
}

static int dir_format_make(struct app *a, const char *path, struct err *err)
{
	char text[16];

	if (!a->created)
		return 0;
	(void) snprintf(text, sizeof(text), "%d\n", APP_FORMAT);
	return file_write_atomic(path, text, strlen(text), 0644, err);
}

/* ---- admin.json ----------------------------------------------------------------------------- */

static int admin_new(struct app *a, const char *path, struct err *err)
{
	char tenant[UUID_STR], sub[UUID_STR], client[UUID_STR], secret[65];
	const char *listen = json_str_at(a->config, "listen");
	auto_free char *text = NULL, *full = NULL;
	uint8_t key[32];
	int r;

	if (uuid_random(tenant) < 0 || uuid_random(sub) < 0 || uuid_random(client) < 0 ||
	    random_bytes(key, sizeof(key)) < 0)
		return err_set(err, -EIO, "no random numbers from the kernel");
	hex_encode(key, sizeof(key), secret);
	a->admin =
		json_pack("{s:o, s:s, s:s, s:s, s:s, s:o}", "endpoint",
			  json_strf("https://%s", listen ? listen : "127.0.0.1:8443"), "tenantId",
			  tenant, "subscriptionId", sub, "clientId", client, "clientSecret", secret,
			  "caFile", json_strf("%s/tls/ca.pem", a->data_dir));
	mem_wipe(key, sizeof(key));
	mem_wipe(secret, sizeof(secret));
	text = a->admin ? json_pretty(a->admin) : NULL;
	full = text ? strf("%s\n", text) : NULL;
	if (!full)
		return err_set(err, -ENOMEM, "admin.json");
	r = file_write_atomic(path, full, strlen(full), 0600, err);
	mem_wipe(text, strlen(text));
	mem_wipe(full, strlen(full));
	return r;
}

static int dir_admin(struct app *a, struct err *err)
{
	static const char *const keys[] = {"endpoint", "tenantId",     "subscriptionId",
					   "clientId", "clientSecret", "caFile"};
	auto_free char *path = path_join(a->data_dir, "admin.json");
	int r;

	if (!path)
		return err_set(err, -ENOMEM, "admin.json");
	if (!file_exists(path))
		return admin_new(a, path, err);
	r = json_read_file(path, &a->admin, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *v = json_str_at(a->admin, keys[i]);

		if (v && *v)
			continue;
		err_set(err, -EINVAL, "%s: \"%s\" is missing or not a text", path, keys[i]);
		err_hint(err, "restore the file from a backup; a new one means a new subscription");
		return -EINVAL;
	}
	return 0;
}

#define PLACES_MAX 256 /* what a store may have */

/* ---- Regions -------------------------------------------------------------------------------- */

static int region_fill(struct app *a, struct app_region *g, const char *name, const json_t *conf,
		       struct err *err)
{
	const char *display = json_str_at(conf, "displayName"), *url = json_str_at(conf, "url");
	const char *key = json_str_at(conf, "encryption.key");
	size_t n;

	g->name = location_normalize(name);
	if (!g->name)
		return err_set(err, -ENOMEM, "regions");
	n = strlen(g->name);
	if (n == 0 || n > 40 || strspn(g->name, "abcdefghijklmnopqrstuvwxyz0123456789") != n)
		return err_set(err, -EINVAL,
			       "kiln.yaml: region name '%s': letters and digits, 1 to 40, expected",
			       name);
	for (struct app_region *o = a->regions; o < g; o++)
		if (strcmp(o->name, g->name) == 0)
			return err_set(err, -EINVAL, "kiln.yaml: region '%s' is given twice", name);
	g->display = strdup(display ? display : region_display(g->name));
	g->url = url ? strdup(url) : strf("%s/regions/%s", a->data_dir, g->name);
	g->key = key ? strdup(key) : NULL;
	g->draining = json_bool_at(conf, "draining", false);
	return g->display && g->url && !g->key == !key ? 0 : err_set(err, -ENOMEM, "regions");
}

/* The place of a gallery's key in a region. */
static int place_fill(struct app_region *g, const struct app_region *of, const json_t *key,
		      struct err *err)
{
	const char *name = json_str_at(key, "name");

	g->name = strf("%s-%s", of->name, name);
	g->display = strf("%s (%s)", of->display, name);
	g->url = strf("%s/domains/%s", of->url, name);
	g->key = strdup(json_str_at(key, "key"));
	g->draining = of->draining;
	return g->name && g->display && g->url && g->key ? 0 : err_set(err, -ENOMEM, "regions");
}

static int key_check(const json_t *list, size_t i, struct err *err)
{
	const char *name = json_str_at(json_array_get(list, i), "name");
	size_t n = name ? strlen(name) : 0;

	if (n == 0 || n > 20 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") != n)
		return err_set(err, -EINVAL,
			       "kiln.yaml: galleryKeys[%zu].name '%s': 1 to 20 of a-z and 0-9 "
			       "expected",
			       i, name ? name : "");
	for (size_t k = 0; k < i; k++)
		if (str_eq(json_str_at(json_array_get(list, k), "name"), name))
			return err_set(err, -EINVAL, "kiln.yaml: galleryKeys: '%s' is given twice",
				       name);
	return 0;
}

static int dir_places(struct app *a, struct err *err)
{
	const json_t *keys = json_object_get(a->config, "galleryKeys");
	int r = 0;

	for (size_t k = 0; k < a->n_keys && r == 0; k++) {
		r = key_check(keys, k, err);
		for (size_t i = 0; i < a->n_regions && r == 0; i++)
			r = place_fill(&a->regions[a->n_regions * (1 + k) + i], &a->regions[i],
				       json_array_get(keys, k), err);
	}
	return r;
}

static int dir_regions(struct app *a, struct err *err)
{
	auto_json json_t *list = NULL;
	int r = regions_effective(a->data_dir, a->config, &list, err);
	size_t n = json_array_size(list), keys;

	if (r < 0)
		return r;
	if (n == 0 || n > 64)
		return err_set(err, -EINVAL, "kiln.yaml: regions: 1 to 64 expected");
	keys = json_array_size(json_object_get(a->config, "galleryKeys"));
	if (keys > PLACES_MAX / n - 1)
		return err_set(err, -EINVAL,
			       "kiln.yaml: galleryKeys: with %zu regions at most %zu expected", n,
			       PLACES_MAX / n - 1);
	a->regions = calloc(n * (1 + keys), sizeof(*a->regions));
	if (!a->regions)
		return err_set(err, -ENOMEM, "regions");
	a->n_regions = n;
	a->n_keys = keys;
	for (size_t i = 0; i < n && r == 0; i++) {
		const json_t *j = json_array_get(list, i);
		const char *name = json_str_at(j, "name");

		r = region_fill(a, &a->regions[i], name ? name : "", j, err);
	}
	return r < 0 ? r : dir_places(a, err);
}

/* ---- Run directory -------------------------------------------------------------------------- */

/* A directory that others may have made in a shared place is used only when it is ours alone. */
static int run_check(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_set(err, -errno, "%s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)) {
		err_set(err, -EPERM, "%s: must be a directory that only its owner may write to",
			path);
		err_hint(err, "remove it, or set XDG_RUNTIME_DIR");
		return -EPERM;
	}
	return 0;
}

char *app_dir_run(const char *data_dir)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	auto_free char *base = NULL;
	char hex[DIGEST_HEX];
	struct digest d;

	sha256(data_dir, strlen(data_dir), &d);
	digest_hex(&d, hex);
	hex[8] = '\0';
	if (geteuid() == 0)
		base = strdup("/run/kiln");
	else if (xdg && *xdg)
		base = path_join(xdg, "kiln");
	else
		base = strf("/tmp/kiln-%u", (unsigned) geteuid());
	return base ? path_join(base, hex) : NULL;
}

static int dir_run(struct app *a, struct err *err)
{
	mode_t mode = geteuid() == 0 ? 0755 : 0700;
	auto_free char *base = NULL;
	int r;

	a->run_dir = app_dir_run(a->data_dir);
	base = a->run_dir ? path_dirname(a->run_dir) : NULL;
	if (!base)
		return err_set(err, -ENOMEM, "run directory");
	if (strlen(a->run_dir) > RUN_DIR_MAX) {
		err_set(err, -ENAMETOOLONG,
			"run directory %s: sockets beneath it would be too long", a->run_dir);
		err_hint(err, "set XDG_RUNTIME_DIR to a shorter directory (socket paths end at %d)",
			 SOCKET_PATH_MAX);
		return -ENAMETOOLONG;
	}
	r = file_mkdir_p(a->run_dir, mode, err);
	if (r == 0)
		r = run_check(base, err);
	return r < 0 ? err_ctx(err, r, "run directory") : 0;
}

int app_dir_prepare(struct app *a, struct err *err)
{
	auto_free char *format = path_join(a->data_dir, "format");
	auto_free char *conf = path_join(a->data_dir, "kiln.yaml");
	auto_free char *regions = path_join(a->data_dir, "regions");
	auto_free char *runs = path_join(a->data_dir, "runs");
	int r;

	if (!format || !conf || !regions || !runs)
		return err_set(err, -ENOMEM, "data directory");
	r = dir_format_check(a, format, err);
	if (r == 0)
		r = config_load(conf, &a->config, err);
	if (r == 0)
		r = dir_regions(a, err); /* a bad configuration leaves nothing behind */
	if (r == 0)
		r = dir_admin(a, err);
	if (r == 0)
		r = file_mkdir_p(regions, 0755, err);
	if (r == 0)
		r = file_mkdir_p(runs, 0755, err);
	if (r == 0)
		r = dir_run(a, err);
	return r < 0 ? r : dir_format_make(a, format, err);
}
