/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/platform.h"

#include <fcntl.h>
#include <time.h>

#include "bake/platform_internal.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define FRESH_S        86400 /* a kept image this old is used without asking the archive */
#define CONTENT_OF_KEY (1u << 20)

static const struct platform_sku skus[] = {
	{"Debian", "debian-12", "12-gen2", "Linux", "V2", "x64"},
	{"Debian", "debian-12", "12", "Linux", "V1", "x64"},
	{NULL, NULL, NULL, NULL, NULL, NULL},
};
static const struct platform_distro distros[] = {
	{"Debian", "debian-12", DEBIAN_SUITE, 12, debian_recipe, debian_tree},
};

const struct platform_sku *platform_skus(void)
{
	return skus;
}

const struct platform_sku *platform_find(const char *publisher, const char *offer, const char *sku)
{
	for (const struct platform_sku *k = skus; k->publisher; k++)
		if (str_eq_nocase(k->publisher, publisher) && str_eq_nocase(k->offer, offer) &&
		    str_eq_nocase(k->sku, sku))
			return k;
	return NULL;
}

static const struct platform_distro *distro_of(const struct platform_sku *k)
{
	for (size_t i = 0; i < ARRAY_SIZE(distros); i++)
		if (str_eq(distros[i].publisher, k->publisher) &&
		    str_eq(distros[i].offer, k->offer))
			return &distros[i];
	return NULL;
}

void platform_image_done(struct platform_image *p)
{
	json_decref(p->facts);
	*p = (struct platform_image){.facts = NULL};
}

void platform_work_done(struct platform_work *w)
{
	fstree_free(w->tree);
	json_decref(w->packages);
	free(w->boot_img);
	free(w->core_img);
	w->tree = NULL;
	w->packages = NULL;
	w->boot_img = w->core_img = NULL;
}

/* One run of platform_ensure(). */
struct ensure {
	const struct platform_env *env;
	const struct platform_sku *sku;
	const struct platform_distro *distro;
	struct apt_sources sources;
	json_t *public_sources, *releases, *kept;
	struct digest recipe; /* of all inputs but the packages */
	char *dir;
	struct journal_entry *entry;
	struct err *err;
};

static void ensure_done(struct ensure *e)
{
	auto_err struct err ignored = ERR_INIT; /* what stays is journalled: recovery removes it */

	apt_sources_done(&e->sources);
	json_decref(e->public_sources);
	json_decref(e->releases);
	json_decref(e->kept);
	if (e->entry && journal_undo(e->entry, &ignored) == 0)
		e->entry = NULL;
	free(e->dir);
}

/* --- inputs --- */

/* A keyring of the host that the image has to have too: its content is an input. */
static int add_keys(const struct ensure *e, struct buf *b)
{
	for (size_t k = 0; k < e->sources.n; k++) {
		auto_buf struct buf key = BUF_INIT(CONTENT_OF_KEY);
		const char *path = e->sources.v[k].signed_by;
		int r;

		if (!path || *path != '/' || strchr(path, '\n'))
			continue;
		r = file_read_all(path, &key, e->err);
		if (r < 0)
			return err_ctx(e->err, r, "keyring of an APT entry");
		if (buf_add(b, key.data, key.len) < 0)
			return err_set(e->err, buf_err(b), "keyrings: too large");
	}
	return 0;
}

static int read_inputs(struct ensure *e)
{
	auto_buf struct buf b = BUF_INIT(16u << 20);
	int r = apt_sources_load(e->env->sources, e->distro->suite, &e->sources, e->err);

	if (r == 0)
		r = apt_sources_public(&e->sources, &e->public_sources, NULL, e->err);
	if (r == 0)
		r = add_keys(e, &b);
	if (r < 0)
		return r;
	r = e->distro->recipe(&b);
	if (r == 0)
		r = json_canonical(e->public_sources, &b);
	if (r < 0)
		return err_set(e->err, r, "platform image: recipe");
	sha256(b.data, b.len, &e->recipe);
	return 0;
}

static int inputs_digest(const struct ensure *e, const json_t *packages, struct digest *ret)
{
	auto_buf struct buf b = BUF_INIT(16u << 20);
	int r = buf_add(&b, e->recipe.b, DIGEST_BYTES);

	if (r == 0)
		r = json_canonical(packages, &b);
	if (r == 0)
		sha256(b.data, b.len, ret);
	return r;
}

/* --- kept images --- */

static bool digest_is(const json_t *record, const char *path, const struct digest *d)
{
	const char *s = json_str_at(record, path);
	struct digest have;

	return s && digest_parse(s, &have) == 0 && digest_eq(&have, d);
}

/* The newest whose @path in the record is @d; borrowed. */
static json_t *kept_with(const json_t *kept, const char *path, const struct digest *d)
{
	for (size_t k = json_array_size(kept); k-- > 0;) {
		json_t *v = json_array_get(kept, k);

		if (digest_is(v, path, d))
			return v;
	}
	return NULL;
}

static int64_t now_s(void)
{
	return time_now_us() / 1000000;
}

/* Writes that a kept image was found current now, in every sku that shares it. */
static int touch(struct ensure *e, const json_t *record, const json_t *releases)
{
	struct disk_ref disk;
	const char *version = json_str_at(record, "version");
	auto_json json_t *facts = json_deep_copy(json_at(record, "facts"));
	int r = disk_ref_from_json(json_at(record, "disk"), &disk, e->err);

	if (r < 0)
		return r;
	if (!facts || json_object_set(facts, "releases", (json_t *) (uintptr_t) releases) < 0)
		return err_set(e->err, -ENOMEM, "platform image: out of memory");
	return platform_keep(NULL, e->env->store, e->env->region, e->sku, version, &disk, facts,
			     now_s(), (uint64_t) json_int_at(record, "revision", 0) + 1, e->err);
}

static void notice(const struct ensure *e, const char *text)
{
	event_emit(e->env->events, json_pack("{s:s, s:s}", "type", "notice", "message", text));
}

static int make_dir(struct ensure *e)
{
	char name[33];
	int r = tmp_name(name);

	if (r < 0)
		return err_set(e->err, r, "scratch directory: no random name");
	e->dir = strf("%s/platform-%s", e->env->scratch, name);
	if (!e->dir)
		return err_set(e->err, -ENOMEM, "out of memory");
	r = journal_add(e->env->journal, "tree", json_pack("{s:s}", "path", e->dir), &e->entry,
			e->err);
	return r == 0 ? file_mkdir_p(e->dir, 0755, e->err) : r;
}

static int fetch_releases(struct ensure *e)
{
	auto_free char *dir = path_join(e->dir, "releases");
	int r = dir ? file_mkdir_p(dir, 0755, e->err) : err_set(e->err, -ENOMEM, "out of memory");

	return r == 0 ? apt_releases(e->env, &e->sources, dir, &e->releases, e->err) : r;
}

/*
 * The kept image to use, or NULL to make one. Younger than a day: used as it is. Older: used if
 * the archive's release files are the same, or cannot be fetched at all; a signature that is not
 * accepted is an error.
 */
static int choose_kept(struct ensure *e, json_t **ret)
{
	json_t *v = kept_with(e->kept, "facts.recipe", &e->recipe);
	int r;

	*ret = NULL;
	if (v && now_s() - json_int_at(v, "checkedAt", 0) < FRESH_S) {
		*ret = v;
		return 0;
	}
	r = make_dir(e);
	if (r == 0)
		r = fetch_releases(e);
	if (r == -ENETUNREACH && v) {
		notice(e, err_str(e->err));
		notice(e, "the kept platform image is used, which may be out of date");
		err_done(e->err);
		*ret = v;
		return 0;
	}
	if (r < 0 || !v || !json_equal(e->releases, json_at(v, "facts.releases")))
		return r;
	*ret = v;
	return touch(e, v, e->releases);
}

/* --- making --- */

static void stage_done(const struct ensure *e, const char *stage, int64_t *since)
{
	int64_t now = time_mono_ns();

	event_emit(e->env->events, json_pack("{s:s, s:s, s:f}", "type", "platform.stage", "stage",
					     stage, "seconds", (double) (now - *since) / 1e9));
	*since = now;
}

/* Keyrings outside the packages, so that the image's APT accepts the same archives. */
static int copy_keys(const struct ensure *e, struct platform_work *w)
{
	for (size_t k = 0; k < e->sources.n; k++) {
		auto_buf struct buf key = BUF_INIT(CONTENT_OF_KEY);
		const char *path = e->sources.v[k].signed_by;
		int r;

		if (!path || *path != '/' || strchr(path, '\n') || fstree_find(w->tree, path))
			continue;
		r = file_read_all(path, &key, e->err);
		if (r == 0)
			r = fstree_add_file(w->tree, path, 0644, key.data, key.len, e->err);
		if (r < 0)
			return err_ctx(e->err, r, "keyring of an APT entry");
	}
	return 0;
}

static int write_disk(struct ensure *e, struct platform_work *w, int fd, int64_t *since)
{
	struct progress *p = progress_to_events(e->env->events);
	struct platform_ids ids;
	int r;

	platform_ids_make(&w->inputs, &ids);
	platform_files_clean(w->tree);
	r = copy_keys(e, w);
	if (r == 0)
		r = platform_files_add(w->tree, &ids, w->public_sources, e->err);
	if (r == 0)
		r = platform_disk_boot(fd, w, &ids, e->err);
	if (r == 0) {
		stage_done(e, "boot", since);
		r = platform_disk_root(fd, w, &ids, p, e->err);
	}
	if (r == 0)
		stage_done(e, "filesystem", since);
	progress_free(p);
	return r;
}

static json_t *make_facts(const struct ensure *e, const struct platform_work *w)
{
	char inputs[DIGEST_HEX], recipe[DIGEST_HEX];

	return json_pack("{s:O, s:O, s:O, s:o, s:o, s:I, s:{s:b, s:b, s:b}}", "packages",
			 w->packages, "sources", e->public_sources, "releases", e->releases,
			 "inputs", json_strf("sha256:%s", digest_hex(&w->inputs, inputs)), "recipe",
			 json_strf("sha256:%s", digest_hex(&e->recipe, recipe)), "date",
			 (json_int_t) w->date_s, "firmware", "uefi", 1, "bios", 1, "secureBoot", 1);
}

/* MAJOR.YYYYMMDD.N, where N counts other images of that day. */
static int choose_version(const struct ensure *e, int64_t date_s, char ret[32])
{
	time_t t = (time_t) date_s;
	unsigned long date, n = 0;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return err_set(e->err, -EINVAL, "platform image: date %lld", (long long) date_s);
	date = ((unsigned long) tm.tm_year + 1900) * 10000 + ((unsigned long) tm.tm_mon + 1) * 100 +
	       (unsigned long) tm.tm_mday;
	for (size_t k = 0; k < json_array_size(e->kept); k++) {
		const char *s = json_str_at(json_array_get(e->kept, k), "version");
		struct platform_version v;

		if (s && platform_version_parse(s, &v) && v.date == date && v.n >= n)
			n = v.n + 1;
	}
	(void) snprintf(ret, 32, "%u.%08lu.%lu", e->distro->major, date, n);
	return 0;
}

/* The disk is one for all skus of the distribution: each gets a root and a record. */
static int keep_all(struct ensure *e, struct store_session *ss, const struct platform_work *w,
		    struct platform_image *p)
{
	auto_json json_t *facts = make_facts(e, w);
	int r = facts ? choose_version(e, w->date_s, p->version)
		      : err_set(e->err, -ENOMEM, "platform image: out of memory");

	for (const struct platform_sku *k = skus; r == 0 && k->publisher; k++)
		if (distro_of(k) == e->distro)
			r = platform_keep(ss, e->env->store, e->env->region, k, p->version,
					  &p->disk, facts, now_s(), 1, e->err);
	if (r == 0)
		p->facts = json_incref(facts);
	return r;
}

static int ingest(struct ensure *e, const struct platform_work *w, int fd, int64_t *since,
		  struct platform_image *ret)
{
	struct progress *p = progress_to_events(e->env->events);
	struct platform_image img = {.facts = NULL};
	struct store_session *ss = NULL;
	struct store_stats stats;
	int r = store_session_begin(e->env->store, "platform image", &ss, e->err);

	if (r == 0)
		r = store_ingest(ss, e->env->region, fd, PLATFORM_DISK_BYTES, e->env->cancel, p,
				 &img.disk, &stats, e->err);
	if (r == 0)
		r = keep_all(e, ss, w, &img);
	store_session_end(ss);
	progress_free(p);
	if (r < 0) {
		platform_image_done(&img);
		return r;
	}
	stage_done(e, "ingest", since);
	*ret = img;
	return 0;
}

/* The same packages as a kept image: the archive changed elsewhere only. */
static int reuse_equal(struct ensure *e, const struct platform_work *w, struct platform_image *ret,
		       bool *ret_done)
{
	json_t *v = kept_with(e->kept, "facts.inputs", &w->inputs);
	int r;

	*ret_done = v != NULL;
	if (!v)
		return 0;
	r = touch(e, v, e->releases);
	return r == 0 ? platform_image_from(v, ret, e->err) : r;
}

static int make_in(struct ensure *e, struct platform_work *w, struct platform_image *ret,
		   bool *ret_made)
{
	auto_free char *raw = path_join(e->dir, "disk.raw");
	int64_t since = time_mono_ns();
	auto_fd int fd = -1;
	bool done = false;
	int r = raw ? e->distro->tree(w, e->err) : err_set(e->err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	if (inputs_digest(e, w->packages, &w->inputs) < 0)
		return err_set(e->err, -ENOMEM, "platform image: out of memory");
	stage_done(e, "packages", &since);
	r = reuse_equal(e, w, ret, &done);
	if (r < 0 || done)
		return r;
	fd = open(raw, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e->err, -errno, "%s: cannot make", raw);
	r = write_disk(e, w, fd, &since);
	if (r == 0)
		r = ingest(e, w, fd, &since, ret);
	if (r == 0)
		*ret_made = true;
	return r;
}

static int make(struct ensure *e, struct platform_image *ret, bool *ret_made)
{
	struct platform_work w = {
		.env = e->env,
		.sources = &e->sources,
		.public_sources = e->public_sources,
		.dir = e->dir,
		.date_s = apt_releases_date(e->releases),
	};
	int r = make_in(e, &w, ret, ret_made);

	platform_work_done(&w);
	return r < 0 ? err_ctx(e->err, r, "platform image %s:%s:%s", e->sku->publisher,
			       e->sku->offer, e->sku->sku)
		     : 0;
}

static int ensure_latest(struct ensure *e, struct platform_image *ret, bool *ret_made)
{
	json_t *v = NULL;
	int r = read_inputs(e);

	if (r == 0)
		r = choose_kept(e, &v);
	if (r < 0)
		return err_ctx(e->err, r, "platform image");
	return v ? platform_image_from(v, ret, e->err) : make(e, ret, ret_made);
}

static int ensure_exact(struct ensure *e, const char *version, struct platform_image *ret)
{
	for (size_t k = 0; k < json_array_size(e->kept); k++) {
		json_t *v = json_array_get(e->kept, k);

		if (str_eq(json_str_at(v, "version"), version))
			return platform_image_from(v, ret, e->err);
	}
	err_set(e->err, -ENOENT, "%s:%s:%s has no version '%s'", e->sku->publisher, e->sku->offer,
		e->sku->sku, version);
	err_hint(e->err, "Use 'latest', or one that `kiln platform list` shows.");
	return -ENOENT;
}

/* Two processes that need the same image make it once: the second waits and finds it kept. */
int platform_ensure(const struct platform_env *env, const struct platform_sku *sku,
		    const char *version, struct platform_image *ret, bool *ret_made,
		    struct err *err)
{
	auto_err struct err mine = ERR_INIT; /* never NULL: fallbacks read and clear it */
	auto_free char *lock_path =
		path_join(env->lock_dir ? env->lock_dir : env->scratch, "platform.lock");
	struct ensure e = {.env = env, .sku = sku, .distro = distro_of(sku), .err = &mine};
	auto_fd int lock = -1;
	bool made = false;
	int r = 0;

	if (!lock_path || !e.distro)
		return err_set(err, lock_path ? -ENOENT : -ENOMEM, "%s: no such distribution",
			       sku->offer);
	if (str_eq_nocase(version, "latest"))
		r = lock_file(lock_path, LOCK_EXCLUSIVE, &lock, &mine);
	if (r == 0)
		r = platform_kept(env->store, env->region, sku, &e.kept, &mine);
	if (r == 0)
		r = str_eq_nocase(version, "latest") ? ensure_latest(&e, ret, &made)
						     : ensure_exact(&e, version, ret);
	ensure_done(&e);
	if (r < 0 && err)
		err_move(err, &mine);
	if (r == 0 && ret_made)
		*ret_made = made;
	return r;
}
