/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/archive.h"

#include <dirent.h>

#include "bake/platform_internal.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define RELEASE_MAX (8u << 20)

/* ---- Release files -------------------------------------------------------------------------- */

/* A mirror renews these without any change of what it offers. */
static bool is_renewed(const char *line, size_t n)
{
	static const char *const fields[] = {"Date:", "Valid-Until:"};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (n >= strlen(fields[i]) && memcmp(line, fields[i], strlen(fields[i])) == 0)
			return true;
	return false;
}

int archive_release_digest(const char *text, size_t n, struct digest *ret)
{
	static const char signature[] = "-----BEGIN PGP SIGNATURE-----";
	struct sha256_ctx *ctx = sha256_new();
	const char *end = text + n;

	if (!ctx)
		return -ENOMEM;
	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t) (end - text));
		size_t len = (size_t) ((eol ? eol + 1 : end) - text);

		if (len >= strlen(signature) && memcmp(text, signature, strlen(signature)) == 0)
			break;
		if (!is_renewed(text, len))
			sha256_add(ctx, text, len);
		text += len;
	}
	sha256_end(ctx, ret);
	return 0;
}

static int add_release(const char *lists, const char *name, json_t *all, struct err *err)
{
	auto_free char *path = path_join(lists, name);
	auto_buf struct buf b = BUF_INIT(RELEASE_MAX);
	char hex[DIGEST_HEX];
	struct digest d;
	int r = path ? file_read_all(path, &b, err) : -ENOMEM;

	if (r == 0)
		r = archive_release_digest(buf_str(&b), b.len, &d);
	if (r == 0 && json_object_set_new(all, name, json_string(digest_hex(&d, hex))) < 0)
		r = -ENOMEM;
	return r < 0 ? err_ctx(err, r, "release file") : 0;
}

static int read_releases(const char *lists, json_t **ret, struct err *err)
{
	auto_dir DIR *d = opendir(lists);
	auto_json json_t *all = json_object();
	struct dirent *e;
	int r = 0;

	if (!d || !all)
		return err_set(err, d ? -ENOMEM : -errno, "%s: cannot read", lists);
	while (r == 0 && (e = readdir(d)))
		if (str_ends(e->d_name, "_InRelease") || str_ends(e->d_name, "_Release"))
			r = add_release(lists, e->d_name, all, err);
	if (r == 0)
		*ret = take_ptr(all);
	return r;
}

/* ---- The kept answer ------------------------------------------------------------------------ */

/* DIR/state.json: {"sources": HEX, "asked": SECONDS, "releases": {..} | null} */
struct asking {
	const struct archive_env *env;
	struct apt_sources sources;
	char sources_hex[DIGEST_HEX];
	json_t *kept; /* owned: the last answer for these sources, or NULL */
	char *path;   /* owned: of state.json */
};

static void asking_done(struct asking *a)
{
	apt_sources_done(&a->sources);
	json_decref(a->kept);
	free(a->path);
}

static int read_sources(struct asking *a, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(1u << 20);
	auto_json json_t *texts = NULL;
	struct digest d;
	int r = apt_sources_load(a->env->sources, a->env->suite, &a->sources, err);

	if (r == 0)
		r = apt_sources_public(&a->sources, &texts, NULL, err);
	if (r < 0)
		return r;
	if (json_canonical(texts, &b) < 0)
		return err_set(err, -ENOMEM, "package archives");
	sha256(b.data, b.len, &d);
	digest_hex(&d, a->sources_hex);
	return 0;
}

static void read_kept(struct asking *a)
{
	/* absent or not readable: it is asked for anew */
	if (json_read_file(a->path, &a->kept, NULL) == 0 &&
	    str_eq(json_str_at(a->kept, "sources"), a->sources_hex))
		return;
	json_decref(a->kept);
	a->kept = NULL;
}

static bool is_fresh(const json_t *kept)
{
	int64_t age = time_now_us() / 1000000 - json_int_at(kept, "asked", 0);

	return kept && age >= 0 && age < ARCHIVE_FRESH_S;
}

static int keep(struct asking *a, const json_t *releases, struct err *err)
{
	auto_json json_t *doc = json_pack("{s:s, s:I, s:O?}", "sources", a->sources_hex, "asked",
					  (json_int_t) (time_now_us() / 1000000), "releases",
					  (json_t *) (uintptr_t) releases);
	auto_free char *text = doc ? json_compact(doc) : NULL;

	return text ? file_write_atomic(a->path, text, strlen(text), 0600, err)
		    : err_set(err, -ENOMEM, "package archives");
}

static void notice(const struct asking *a, const char *text)
{
	event_emit(a->env->events, json_pack("{s:s, s:s}", "type", "notice", "message", text));
}

/* The files stay between two askings: a mirror then says only that nothing changed. */
static int ask(struct asking *a, json_t **ret, struct err *err)
{
	auto_free char *apt = path_join(a->env->dir, "apt");
	auto_free char *lists = apt ? path_join(apt, "lists") : NULL;
	const struct platform_env env = {.cancel = a->env->cancel, .events = a->env->events};
	auto_json json_t *whole = NULL;
	int r = lists ? file_mkdir_p(apt, 0700, err) : err_set(err, -ENOMEM, "package archives");

	if (r == 0)
		r = apt_releases(&env, &a->sources, apt, &whole, err);
	if (r == 0)
		r = read_releases(lists, ret, err);
	if (r != -ENETUNREACH)
		return r;
	notice(a, err_str(err));
	notice(a, a->kept ? "what the archives offered when they last answered counts"
			  : "it is not known what the archives offer");
	err_done(err);
	*ret = json_incref(json_object_get(a->kept, "releases"));
	if (!*ret)
		*ret = json_null();
	return 0;
}

static int answer(struct asking *a, json_t **ret, struct err *err)
{
	auto_json json_t *releases = NULL;
	int r = read_sources(a, err);

	if (r < 0)
		return r;
	read_kept(a);
	if (is_fresh(a->kept)) {
		*ret = json_incref(json_object_get(a->kept, "releases"));
		return 0;
	}
	r = ask(a, &releases, err);
	if (r == 0)
		r = keep(a, releases, err);
	if (r == 0)
		*ret = take_ptr(releases);
	return r;
}

int archive_state(const struct archive_env *env, json_t **ret, struct err *err)
{
	struct asking a = {.env = env, .path = path_join(env->dir, "state.json")};
	auto_free char *lock = path_join(env->dir, "lock");
	auto_fd int fd = -1;
	int r = a.path && lock ? file_mkdir_p(env->dir, 0700, err) : -ENOMEM;

	if (r == 0)
		r = lock_file(lock, LOCK_EXCLUSIVE, &fd, err);
	if (r == 0)
		r = answer(&a, ret, err);
	asking_done(&a);
	return r < 0 ? err_ctx(err, r, "package archives") : 0;
}
