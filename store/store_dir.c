/* SPDX-License-Identifier: Apache-2.0 */
/* A store in one directory: its own rows, journal, options, and one region. */
#include "base/file.h"
#include "base/mem.h"
#include "store/internal.h"

#define LOCAL_REGION "local"

/* The plumbing store's own rows and journal. */
static int own_state(const char *dir, struct meta **ret_meta, struct journal **ret_journal,
		     struct err *err)
{
	auto_free char *url = strf("sqlite:%s/store.db", dir);
	auto_free char *jdir = path_join(dir, "journal");
	int r;

	if (!url || !jdir)
		return err_set(err, -ENOMEM, "out of memory");
	r = file_mkdir_p(dir, 0750, err);
	if (r >= 0)
		r = journal_open(jdir, ret_journal, err);
	if (r >= 0)
		r = journal_recover(*ret_journal, NULL, err);
	if (r >= 0)
		r = meta_open(url, ret_meta, err);
	return r;
}

/* DIR/options.json: {"key":"file:/path"}. Where the key is, never the key. */
static int options_read(const char *dir, char **ret_key, struct err *err)
{
	auto_free char *path = path_join(dir, "options.json");
	auto_json json_t *j = NULL;
	const char *key;
	int r;

	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	if (!file_exists(path))
		return 0;
	r = json_read_file(path, &j, err);
	if (r < 0)
		return r;
	key = json_str_at(j, "key");
	if (!key)
		return err_set(err, -EBADMSG, "%s: no \"key\" in it", path);
	*ret_key = strdup(key);
	return *ret_key ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int options_write(const char *dir, const char *key, struct err *err)
{
	auto_free char *path = path_join(dir, "options.json");
	auto_json json_t *j = json_pack("{s:s}", "key", key);
	auto_free char *text = j ? json_pretty(j) : NULL;

	if (!path || !text)
		return err_set(err, -ENOMEM, "out of memory");
	return file_write_atomic(path, text, strlen(text), 0640, err);
}

/* The key that was given; else the one that is remembered. *@ret_new: to be remembered. */
static int choose_key(const char *dir, const char *given, char **ret, bool *ret_new,
		      struct err *err)
{
	int r = options_read(dir, ret, err);

	*ret_new = given && (r < 0 || !*ret || strcmp(*ret, given) != 0);
	if (!given)
		return r;
	err_done(err); /* a damaged memory does not matter now */
	free(*ret);
	*ret = strdup(given);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int find_dir(const char *dir, const struct store_dir_options *o, char **ret, struct err *err)
{
	auto_free char *db = path_join(dir, "store.db");
	int r = 0;

	if (!db)
		return err_set(err, -ENOMEM, "out of memory");
	if (o->must_exist && !file_exists(db))
		return err_set(err, -ENOENT, "%s: no store is there", dir);
	if (!o->read_only && !o->must_exist)
		r = file_mkdir_p(dir, 0750, err);
	if (r < 0)
		return r;
	*ret = realpath(dir, NULL);
	return *ret ? 0 : err_set(err, -errno, "%s: %s", dir, strerror(errno));
}

int store_open_dir_with(const char *dir, const struct store_dir_options *o, struct store **ret,
			struct err *err)
{
	auto_free char *abs = NULL, *path = NULL, *key = NULL;
	struct meta *meta = NULL;
	struct journal *journal = NULL;
	struct store_region_config region = {.name = LOCAL_REGION};
	struct store_config c = {.regions = &region, .n_regions = 1, .read_only = o->read_only};
	bool new_key = false;
	int r = find_dir(dir, o, &abs, err);

	if (r >= 0)
		r = choose_key(abs, o->key, &key, &new_key, err);
	if (r < 0)
		return r;
	path = strf("%s/regions/" LOCAL_REGION, abs);
	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	r = own_state(abs, &meta, &journal, err);
	region.url = path;
	region.key = key;
	c.dir = abs;
	c.meta = meta;
	c.journal = journal;
	if (r >= 0)
		r = store_open(&c, ret, err);
	if (r < 0) {
		meta_close(meta);
		journal_close(journal);
		return r;
	}
	(*ret)->own_meta = meta;
	(*ret)->own_journal = journal;
	if (new_key && !o->read_only)
		r = options_write(abs, key, err);
	if (r < 0)
		store_close(take_ptr(*ret));
	return r;
}

int store_open_dir(const char *dir, bool read_only, struct store **ret, struct err *err)
{
	const struct store_dir_options o = {.read_only = read_only};

	return store_open_dir_with(dir, &o, ret, err);
}
