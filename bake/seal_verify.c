/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "bake/seal.h"
#include "bake/seal_verify.h"
#include "base/mem.h"

#define FINDINGS_MAX 500
#define DEPTH_MAX    64
#define GPT_HEAD     17408
#define SECTOR       512u

int verify_found(struct verify *v, const char *path, const char *fmt, ...)
{
	va_list ap;
	char detail[256];

	if (json_array_size(v->findings) >= FINDINGS_MAX)
		return 0;
	va_start(ap, fmt);
	(void) vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	/* "%": a name that is not UTF-8 would make the object NULL. */
	json_t *j = json_pack("{s:s, s:o, s:o}", "check", v->check, "path",
			      json_string(path) ?: json_string("(name is not UTF-8)"), "detail",
			      json_string(detail) ?: json_string("(not UTF-8)"));

	return json_array_append_new(v->findings, j) < 0 ? -ENOMEM : 0;
}

int verify_text(struct verify *v, const char *path, char **ret, struct err *err)
{
	struct err e = ERR_INIT;
	size_t n = 0;
	int r = ext4_read_file(v->fs, path, VERIFY_TEXT_MAX, ret, &n, &e);

	/* No such file, a directory, a dangling link: nothing to read. */
	if (r == -ENOENT || r == -EINVAL || r == -EISDIR || r == -ENOTDIR || r == -ELOOP) {
		*ret = NULL;
		err_done(&e);
		return 0;
	}
	if (r == -EFBIG) {
		*ret = NULL;
		err_done(&e);
		return verify_found(v, path, "too large for a configuration file");
	}
	if (r < 0)
		err_move(err, &e);
	err_done(&e);
	return r;
}

/* One level of names, copied so that the walk may go on in them. */
struct names {
	char **v;
	struct ext4_stat *st;
	size_t n;
	int error;
};

static int collect(void *arg, const char *name, const struct ext4_stat *st)
{
	struct names *l = arg;
	struct ext4_stat *s = reallocarray(l->st, l->n + 1, sizeof(*s));

	if (!s || strv_push(&l->v, name) < 0) {
		l->st = s ? s : l->st;
		return l->error = -ENOMEM;
	}
	l->st = s;
	l->st[l->n++] = *st;
	return 0;
}

static int list(struct verify *v, const char *path, struct names *l, struct err *err)
{
	struct err e = ERR_INIT;
	int r = ext4_list(v->fs, *path ? path : "/", collect, l, &e);

	if (l->error < 0)
		r = l->error;
	if (r == -ENOENT || r == -ENOTDIR || r == -EINVAL || r == -ELOOP) {
		err_done(&e);
		return -ENOENT;
	}
	if (r < 0)
		err_move(err, &e);
	err_done(&e);
	return r;
}

static void names_done(struct names *l)
{
	strv_free(l->v);
	free(l->st);
}

static int walk(struct verify *v, const char *base, const char *rest, verify_file_fn *fn,
		struct err *err)
{
	size_t n = strcspn(rest, "/");
	auto_free char *comp = strndup(rest, n);
	struct names l = {0};
	int r = comp ? 0 : -ENOMEM;

	if (r == 0 && !strpbrk(comp, "*?[")) {
		auto_free char *path = strf("%s/%s", base, comp);
		struct ext4_stat st;

		if (!path)
			return -ENOMEM;
		if (rest[n])
			return walk(v, path, rest + n + 1, fn, err);
		r = ext4_lookup(v->fs, path, &st, NULL);
		if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
			return 0;
		return r < 0 ? err_set(err, r, "%s: cannot be read", path) : fn(v, path, &st, err);
	}
	if (r == 0)
		r = list(v, base, &l, err);
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		auto_free char *path = NULL;

		if (fnmatch(comp, l.v[i], FNM_PERIOD) != 0)
			continue;
		path = strf("%s/%s", base, l.v[i]);
		if (!path)
			r = -ENOMEM;
		else if (!rest[n])
			r = fn(v, path, &l.st[i], err);
		else if (S_ISDIR(l.st[i].mode))
			r = walk(v, path, rest + n + 1, fn, err);
	}
	names_done(&l);
	return r == -ENOENT ? 0 : r;
}

int verify_each(struct verify *v, const char *glob, verify_file_fn *fn, struct err *err)
{
	int r = 0;

	if (strncmp(glob, "~/", 2) != 0)
		return walk(v, "", glob + 1, fn, err);
	for (char **h = v->homes; r == 0 && h && *h; h++)
		r = walk(v, *h, glob + 2, fn, err);
	return r;
}

static int found_path(struct verify *v, const char *path, const struct ext4_stat *st,
		      struct err *err)
{
	return verify_found(v, path, "should not be in a generalized image");
}

static int found_content_at(struct verify *v, const char *path, const struct ext4_stat *st,
			    unsigned depth, struct err *err)
{
	struct names l = {0};
	int r = 0;

	if (S_ISREG(st->mode))
		return st->size ? verify_found(v, path, "still holds %llu bytes",
					       (unsigned long long) st->size)
				: 0;
	if (!S_ISDIR(st->mode) || depth > DEPTH_MAX)
		return 0;
	r = list(v, path, &l, err);
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		auto_free char *sub = strf("%s/%s", path, l.v[i]);

		r = sub ? found_content_at(v, sub, &l.st[i], depth + 1, err) : -ENOMEM;
	}
	names_done(&l);
	return r == -ENOENT ? 0 : r;
}

static int found_content(struct verify *v, const char *path, const struct ext4_stat *st,
			 struct err *err)
{
	return found_content_at(v, path, st, 0, err);
}

static int run_checks(struct verify *v, struct err *err)
{
	int r = 0;

	for (const struct verify_check *c = verify_checks; r == 0 && c->name; c++) {
		v->check = c->name;
		if (c->kind == VERIFY_CALL)
			r = c->call(v, err);
		else
			r = verify_each(v, c->glob,
					c->kind == VERIFY_ABSENT ? found_path : found_content, err);
		if (r < 0)
			r = err_ctx(err, r, "check %s", c->name);
	}
	return r;
}

/* Every home in passwd that could hold a person's files, and everything below /home. */
static int collect_homes(struct verify *v, struct err *err)
{
	auto_free char *text = NULL;
	struct names l = {0};
	char *save = NULL;
	int r = strv_push(&v->homes, "/root");

	v->check = "users";
	if (r == 0)
		r = verify_text(v, "/etc/passwd", &text, err);
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; r == 0 && line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *field[7] = {line};
		int n = 1;

		for (char *p = line; *p && n < 7; p++)
			if (*p == ':') {
				*p = '\0';
				field[n++] = p + 1;
			}
		if (n == 7 && field[5][0] == '/' && strcspn(field[5], "*?[") == strlen(field[5]) &&
		    !str_eq(field[5], "/root") && strlen(field[5]) > 1 &&
		    strncmp(field[5], "/usr/", 5) != 0 && !str_starts(field[5], "/home/"))
			r = strv_push(&v->homes, field[5]);
	}
	if (r == 0)
		r = list(v, "/home", &l, err);
	if (r == -ENOENT)
		r = 0;
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		auto_free char *home = strf("/home/%s", l.v[i]);

		r = home && S_ISDIR(l.st[i].mode) ? strv_push(&v->homes, home) : home ? 0 : -ENOMEM;
	}
	names_done(&l);
	return r;
}

static int io_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	return store_reader_read(arg, dst, n, offset, err);
}

static int find_root(struct verify *v, struct ext4_io *io, struct err *err)
{
	unsigned found = 0;

	for (unsigned i = 0; i < v->gpt->n; i++) {
		const struct gpt_part *p = &v->gpt->part[i];
		uint8_t magic[2];

		if (memcmp(p->type, gpt_type_root_x64, 16) != 0 &&
		    memcmp(p->type, gpt_type_linux, 16) != 0)
			continue;
		if (store_reader_read(v->reader, magic, 2, p->first_lba * SECTOR + 1080, err) < 0)
			return err ? err->code : -EIO;
		if (magic[0] != 0x53 || magic[1] != 0xef)
			continue;
		io->offset = p->first_lba * SECTOR;
		io->size_bytes = (p->last_lba - p->first_lba + 1) * SECTOR;
		found++;
		if (memcmp(p->type, gpt_type_root_x64, 16) == 0)
			break;
	}
	if (found == 0)
		return err_set(err, -EOPNOTSUPP, "no ext4 root partition to verify");
	v->root_offset = io->offset;
	return 0;
}

static int open_disk(struct verify *v, struct gpt *gpt, uint64_t size, struct err *err)
{
	auto_free uint8_t *head = malloc(GPT_HEAD);
	struct ext4_io io = {.read = io_read, .arg = v->reader};
	int r;

	if (!head)
		return err_set(err, -ENOMEM, "partition table");
	r = store_reader_read(v->reader, head, GPT_HEAD, 0, err);
	if (r == 0)
		r = gpt_parse(head, GPT_HEAD, size, gpt, err);
	v->gpt = gpt;
	if (r == 0)
		r = find_root(v, &io, err);
	return r == 0 ? ext4_open(&io, &v->fs, err) : r;
}

int seal_verify_disk(struct store *s, unsigned region, const struct disk_ref *disk,
		     json_t **ret_findings, json_t **ret_facts, struct err *err)
{
	auto_free struct gpt *gpt = calloc(1, sizeof(*gpt));
	auto_json json_t *facts = NULL;
	struct verify v = {.findings = json_array()};
	int r = gpt && v.findings ? 0 : err_set(err, -ENOMEM, "verify");

	if (r == 0)
		r = store_reader_open(s, region, disk, &v.reader, err);
	if (r == 0)
		r = open_disk(&v, gpt, disk->size_bytes, err);
	if (r == 0)
		r = collect_homes(&v, err);
	if (r == 0)
		r = run_checks(&v, err);
	if (r == 0)
		r = verify_facts(&v, &facts, err);
	if (v.fs)
		ext4_close(v.fs);
	if (v.reader)
		store_reader_close(v.reader);
	strv_free(v.homes);
	if (r < 0) {
		json_decref(v.findings);
		return err_ctx(err, r, "verify the generalized disk");
	}
	*ret_findings = v.findings;
	if (ret_facts)
		*ret_facts = take_ptr(facts);
	return 0;
}
