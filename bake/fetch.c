/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>

#include "bake/fetch_internal.h"
#include "base/file.h"
#include "base/mem.h"

void fetched_done(struct fetched *f)
{
	free(f->path);
	*f = (struct fetched){0};
}

const char *fetch_name(const char *uri)
{
	return str_starts(uri, "file://") ? strrchr(uri, '/') + 1 : uri;
}

uint64_t fetch_limit(const struct fetcher *f)
{
	int64_t n = json_int_at(f->config, "fetch.maxBytes", 0);

	return n > 0 ? (uint64_t) n : FETCH_MAX_BYTES;
}

/* A cached copy that still has the content it is named after. Anything else is removed: the cache
 * is only ever a saving. */
static bool cached(struct fetcher *f, const struct digest *want, struct fetched *ret)
{
	char hex[DIGEST_HEX];
	auto_free char *path = path_join(f->dir, digest_hex(want, hex));
	struct digest have;
	uint64_t bytes;

	if (!path || sha256_file(path, &have, &bytes) < 0)
		return false;
	if (!digest_eq(&have, want)) {
		(void) unlink(path);
		return false;
	}
	free(ret->path);
	ret->path = take_ptr(path);
	ret->digest = have;
	ret->bytes = bytes;
	return true;
}

int fetch_tmp_open(struct fetcher *f, struct fetch_tmp *ret, struct err *err)
{
	char name[40];
	int r = file_mkdir_p(f->dir, 0700, err);

	*ret = (struct fetch_tmp){.fd = -1};
	if (r == 0)
		r = tmp_name(name);
	if (r < 0)
		return err_ctx(err, r, "cache of files");
	ret->path = strf("%s/" FILE_TMP_PREFIX "%s", f->dir, name);
	ret->hash = sha256_new();
	if (!ret->path || !ret->hash)
		return -ENOMEM;
	r = journal_add(f->journal, "file", json_pack("{s:s}", "path", ret->path), &ret->entry,
			err);
	if (r < 0)
		return r;
	ret->fd = open(ret->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (ret->fd < 0)
		return err_set(err, -errno, "%s: %s", ret->path, strerror(errno));
	return 0;
}

int fetch_tmp_write(struct fetch_tmp *t, const void *p, size_t n)
{
	int r = file_pwrite_full(t->fd, p, n, t->bytes);

	if (r == 0) {
		sha256_add(t->hash, p, n);
		t->bytes += n;
	}
	return r;
}

void fetch_tmp_done(struct fetch_tmp *t)
{
	struct err ignored = ERR_INIT;

	closep(&t->fd);
	t->fd = -1;
	if (t->entry)
		(void) journal_undo(t->entry, &ignored);
	err_done(&ignored);
	sha256_free(t->hash);
	free(t->path);
	*t = (struct fetch_tmp){.fd = -1};
}

int fetch_tmp_keep(struct fetcher *f, struct fetch_tmp *t, const char *uri, const char *sha256,
		   struct fetched *ret, struct err *err)
{
	char hex[DIGEST_HEX];
	auto_free char *path = NULL;

	sha256_end(take_ptr(t->hash), &ret->digest);
	digest_hex(&ret->digest, hex);
	if (sha256 && strcmp(sha256, hex) != 0) {
		err_set(err, -EBADMSG, "%s: its SHA-256 is %s, but sha256Checksum says %s", uri,
			hex, sha256);
		err_hint(err,
			 "check where the file comes from; if the change is wanted, put the new "
			 "checksum into the template");
		return -EBADMSG;
	}
	ret->bytes = t->bytes;
	path = path_join(f->dir, hex);
	if (!path)
		return -ENOMEM;
	if (rename(t->path, path) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	journal_drop(take_ptr(t->entry));
	free(ret->path);
	ret->path = take_ptr(path);
	return 0;
}

int fetch_bytes(struct fetcher *f, const void *data, size_t n, struct fetched *ret, struct err *err)
{
	struct fetch_tmp t = {.fd = -1};
	struct fetched got = {0};
	struct digest d;
	int r;

	sha256(data, n, &d);
	if (cached(f, &d, ret))
		return 0;
	r = fetch_tmp_open(f, &t, err);
	if (r == 0)
		r = fetch_tmp_write(&t, data, n);
	if (r == 0)
		r = fetch_tmp_keep(f, &t, "script", NULL, &got, err);
	fetch_tmp_done(&t);
	if (r < 0)
		return err_ctx(err, r, "cache of files");
	*ret = got;
	return 0;
}

/* "/a%20b" -> "/a b"; NULL for a bad or NUL escape. */
static char *percent_decode(const char *s)
{
	char *out = malloc(strlen(s) + 1), *w = out;

	while (out && *s) {
		char byte = *s;

		if (*s == '%') {
			char two[3] = {s[1], s[1] ? s[2] : '\0', '\0'};

			if (hex_decode(two, &byte, 1) < 0 || !byte) {
				free(out);
				return NULL;
			}
			s += 2;
		}
		*w++ = byte;
		s++;
	}
	if (out)
		*w = '\0';
	return out;
}

char *fetch_path(const char *uri)
{
	return percent_decode(uri + strlen("file://"));
}

static int copy_local(struct fetcher *f, const char *path, struct fetch_tmp *t, bool *ret_exec,
		      struct err *err)
{
	uint8_t block[65536];
	auto_fd int fd = -1;
	struct stat st;
	int r = file_open_regular(AT_FDCWD, path, &fd);

	if (r < 0)
		return err_set(err, r, "%s: %s", path,
			       r == -EINVAL ? "not a regular file" : strerror(-r));
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	*ret_exec = st.st_mode & S_IXUSR;
	if ((uint64_t) st.st_size > fetch_limit(f))
		return err_set(err, -EFBIG, "%s: %" PRIu64 " bytes; at most %" PRIu64, path,
			       (uint64_t) st.st_size, fetch_limit(f));
	for (;;) {
		ssize_t n = read(fd, block, sizeof(block));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
		if (n == 0)
			return 0;
		r = fetch_tmp_write(t, block, (size_t) n);
		if (r < 0)
			return err_set(err, r, "%s: %s", t->path, strerror(-r));
	}
}

static int fetch_local(struct fetcher *f, const char *uri, const char *sha256, struct fetched *ret,
		       struct err *err)
{
	auto_free char *path = fetch_path(uri);
	struct fetch_tmp t = {.fd = -1};
	int r;

	if (!f->local_files) {
		err_set(err, -EACCES,
			"%s: file: URIs work only in a bake that runs on this machine without a "
			"server",
			uri);
		err_hint(err, "put the file where the server can reach it by https:");
		return -EACCES;
	}
	if (!path)
		return err_set(err, -EINVAL, "%s: bad %%-escape", uri);
	r = fetch_tmp_open(f, &t, err);
	if (r == 0)
		r = copy_local(f, path, &t, &ret->executable, err);
	if (r == 0)
		r = fetch_tmp_keep(f, &t, uri, sha256, ret, err);
	fetch_tmp_done(&t);
	return r;
}

int fetch_uri(struct fetcher *f, const char *uri, const char *sha256, struct fetched *ret,
	      struct err *err)
{
	struct fetched got = {0};
	struct digest want;
	int r = cancel_check(f->cancel);

	if (r < 0)
		return err_set(err, r, "cancelled");
	if (str_starts(uri, "file://")) {
		r = fetch_local(f, uri, sha256, &got, err);
	} else if (str_starts(uri, "https://")) {
		if (!sha256 || digest_parse(sha256, &want) < 0 || !cached(f, &want, &got))
			r = fetch_https(f, uri, sha256, &got, err);
	} else {
		r = err_set(err, -EACCES, "%s: expected a file: or https: URI", uri);
	}
	if (r < 0) {
		fetched_done(&got);
		return r;
	}
	*ret = got;
	return 0;
}
