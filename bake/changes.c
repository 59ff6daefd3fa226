/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two disks: files of their root file systems, packages. Reads through the
 * store; nothing is mounted. */
#include <sys/stat.h>

#include "bake/bake.h"
#include "base/mem.h"
#include "disk/ext4.h"
#include "disk/gpt.h"

#define SECTOR       512u
#define HEAD_BYTES   (1u << 20)
#define LIST_MAX     10000u      /* files named; more are only counted */
#define DIRS_MAX     1000000u    /* directories of one disk: an end for looping ones */
#define PACKAGES_MAX (64u << 20) /* bytes of dpkg's status file */

/* ---- One side ------------------------------------------------------------------------------- */

struct side {
	struct store_reader *reader;
	struct ext4_fs *fs;
};

static int io_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	return store_reader_read(arg, dst, n, offset, err);
}

/* The partition of the root file system: the one that says so, else the first with ext4. */
static int find_root(struct side *s, const struct gpt *gpt, struct ext4_io *io, struct err *err)
{
	bool found = false;

	for (unsigned i = 0; i < gpt->n; i++) {
		const struct gpt_part *p = &gpt->part[i];
		bool root = memcmp(p->type, gpt_type_root_x64, 16) == 0;
		uint8_t magic[2];
		int r;

		if ((!root && memcmp(p->type, gpt_type_linux, 16) != 0) || (found && !root))
			continue;
		r = store_reader_read(s->reader, magic, 2, p->first_lba * SECTOR + 1080, err);
		if (r < 0)
			return r;
		if (magic[0] != 0x53 || magic[1] != 0xef)
			continue;
		io->offset = p->first_lba * SECTOR;
		io->size_bytes = (p->last_lba - p->first_lba + 1) * SECTOR;
		found = true;
		if (root)
			break;
	}
	return found ? 0 : err_set(err, -EOPNOTSUPP, "no ext4 root partition");
}

static int side_open(struct store *store, unsigned region, const struct disk_ref *disk,
		     struct side *s, struct err *err)
{
	auto_free struct gpt *gpt = calloc(1, sizeof(*gpt));
	auto_free uint8_t *head = malloc(HEAD_BYTES);
	struct ext4_io io = {.read = io_read};
	int r = gpt && head ? 0 : err_set(err, -ENOMEM, "partition table");

	if (r == 0 && disk->size_bytes < HEAD_BYTES)
		r = err_set(err, -EOPNOTSUPP, "the disk is too small for a partition table");
	if (r == 0)
		r = store_reader_open(store, region, disk, &s->reader, err);
	if (r == 0)
		r = store_reader_read(s->reader, head, HEAD_BYTES, 0, err);
	if (r == 0)
		r = gpt_parse(head, HEAD_BYTES, disk->size_bytes, gpt, err);
	if (r == 0)
		r = find_root(s, gpt, &io, err);
	io.arg = s->reader;
	return r == 0 ? ext4_open(&io, &s->fs, err) : r;
}

static void side_close(struct side *s)
{
	if (s->fs)
		ext4_close(s->fs);
	if (s->reader)
		store_reader_close(s->reader);
}

/* ---- Directories ---------------------------------------------------------------------------- */

struct entry {
	char *name; /* owned */
	struct ext4_stat st;
};
struct entries {
	struct entry *v;
	size_t n, room;
};

static void entries_done(struct entries *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->v[i].name);
	free(e->v);
	*e = (struct entries){0};
}

static int collect(void *arg, const char *name, const struct ext4_stat *st)
{
	struct entries *e = arg;

	if (e->n == e->room) {
		size_t room = e->room ? e->room * 2 : 64;
		struct entry *v = reallocarray(e->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		e->v = v;
		e->room = room;
	}
	e->v[e->n] = (struct entry){strdup(name), *st};
	return e->v[e->n].name ? (e->n++, 0) : -ENOMEM;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *) a)->name, ((const struct entry *) b)->name);
}

/* @path absent on this side: no entries. */
static int read_dir(struct side *s, const char *path, struct entries *ret, struct err *err)
{
	int r = ext4_list(s->fs, path, collect, ret, err);

	if (r == -ENOENT) {
		err_done(err);
		r = 0;
	}
	qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
	return r;
}

/* ---- The walk ------------------------------------------------------------------------------- */

enum { ADDED, CHANGED, REMOVED };

struct walk {
	struct side a, b;
	char **todo; /* directories, NULL-terminated; taken from the end */
	size_t dirs;
	json_t *files; /* owned by the answer */
	uint64_t counts[3];
	struct cancel *cancel;
};

static int tell(struct walk *w, int change, const char *dir, const struct entry *e)
{
	static const char *const words[] = {"added", "changed", "removed"};
	bool is_dir = S_ISDIR(e->st.mode);
	json_t *j;

	w->counts[change]++;
	if (json_array_size(w->files) >= LIST_MAX)
		return 0;
	j = json_pack(
		"{s:o, s:s}", "path",
		json_strf("%s/%s%s", strcmp(dir, "/") == 0 ? "" : dir, e->name, is_dir ? "/" : ""),
		"change", words[change]);
	if (j && S_ISREG(e->st.mode) && change != REMOVED)
		(void) json_object_set_new(j, "bytes", json_integer((json_int_t) e->st.size));
	return json_array_append_new(w->files, j) < 0 ? -ENOMEM : 0;
}

static int later(struct walk *w, const char *dir, const char *name)
{
	auto_free char *path = strf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);

	if (++w->dirs > DIRS_MAX)
		return -ELOOP;
	return path ? strv_push(&w->todo, path) : -ENOMEM;
}

static bool same_inode(const struct ext4_stat *a, const struct ext4_stat *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->size == b->size &&
	       a->mtime == b->mtime && a->ctime == b->ctime;
}

static int one_side(struct walk *w, int change, const char *dir, const struct entry *e)
{
	int r = tell(w, change, dir, e);

	return r == 0 && S_ISDIR(e->st.mode) ? later(w, dir, e->name) : r;
}

/* A directory counts as changed by its owner and mode only: what is in it speaks for itself. */
static int both_sides(struct walk *w, const char *dir, const struct entry *a, const struct entry *b)
{
	bool dirs = S_ISDIR(a->st.mode) && S_ISDIR(b->st.mode);
	bool same =
		dirs ? a->st.mode == b->st.mode && a->st.uid == b->st.uid && a->st.gid == b->st.gid
		     : same_inode(&a->st, &b->st);
	int r = same ? 0 : tell(w, CHANGED, dir, b);

	if (r == 0 && (S_ISDIR(a->st.mode) || S_ISDIR(b->st.mode)))
		r = later(w, dir, b->name);
	return r;
}

static int merge(struct walk *w, const char *dir, const struct entries *a, const struct entries *b)
{
	size_t i = 0, k = 0;
	int r = 0;

	while (r == 0 && (i < a->n || k < b->n)) {
		int c = i == a->n ? 1 : k == b->n ? -1 : strcmp(a->v[i].name, b->v[k].name);

		if (c < 0)
			r = one_side(w, REMOVED, dir, &a->v[i++]);
		else if (c > 0)
			r = one_side(w, ADDED, dir, &b->v[k++]);
		else
			r = both_sides(w, dir, &a->v[i++], &b->v[k++]);
	}
	return r;
}

static int walk_dir(struct walk *w, const char *dir, struct err *err)
{
	struct entries a = {0}, b = {0};
	int r = read_dir(&w->a, dir, &a, err);

	if (r == 0)
		r = read_dir(&w->b, dir, &b, err);
	if (r == 0)
		r = merge(w, dir, &a, &b);
	entries_done(&a);
	entries_done(&b);
	return r;
}

static int walk_all(struct walk *w, struct err *err)
{
	int r = strv_push(&w->todo, "/");

	while (r == 0 && w->todo && w->todo[0]) {
		size_t last = strv_len(w->todo) - 1;
		auto_free char *dir = take_ptr(w->todo[last]);

		r = cancel_check(w->cancel);
		if (r == 0)
			r = walk_dir(w, dir, err);
	}
	if (r < 0 && (!err || !err->code))
		err_set(err, r, "comparing the disks: %s", strerror(-r));
	return r;
}

/* ---- Packages ------------------------------------------------------------------------------- */

/* Value of a field of a stanza of dpkg's status, or NULL. */
static const char *field(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncmp(line, name, n) == 0 ? line + n : NULL;
}

/* {name: version} of what is installed; {} where there is no dpkg. */
static json_t *packages(struct side *s)
{
	json_t *out = json_object();
	auto_free char *text = NULL, *name = NULL;
	bool installed = false;
	char *line, *next;
	size_t n;

	if (ext4_read_file(s->fs, "/var/lib/dpkg/status", PACKAGES_MAX, &text, &n, NULL) < 0)
		return out;
	for (line = text; out && line && *line; line = next) {
		const char *v;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if ((v = field(line, "Package: "))) {
			free(name);
			name = strdup(v);
		} else if ((v = field(line, "Status: "))) {
			installed = strcmp(v, "install ok installed") == 0;
		} else if ((v = field(line, "Version: ")) && installed && name) {
			(void) json_object_set_new(out, name, json_text(v, strlen(v)));
		}
	}
	return out;
}

static json_t *package_changes(struct walk *w)
{
	auto_json json_t *a = packages(&w->a), *b = packages(&w->b);
	json_t *list = json_array(), *v;
	const char *name;

	json_object_foreach(a, name, v) if (!json_equal(v, json_object_get(b, name)))(void)
		json_array_append_new(list, json_pack("{s:s, s:O, s:O*}", "name", name, "was", v,
						      "now", json_object_get(b, name)));
	json_object_foreach(b, name, v) if (!json_object_get(a, name))(void)
		json_array_append_new(list, json_pack("{s:s, s:O}", "name", name, "now", v));
	return list;
}

int bake_changes(struct store *s, unsigned region_a, const struct disk_ref *a, unsigned region_b,
		 const struct disk_ref *b, struct cancel *cancel, json_t **ret, struct err *err)
{
	struct walk w = {.files = json_array(), .cancel = cancel};
	int r = w.files ? side_open(s, region_a, a, &w.a, err) : err_set(err, -ENOMEM, "changes");

	if (r == 0)
		r = side_open(s, region_b, b, &w.b, err);
	if (r == 0 && !digest_eq(&a->digest, &b->digest))
		r = walk_all(&w, err);
	if (r == 0) {
		*ret = json_pack("{s:O, s:{s:I, s:I, s:I}, s:b, s:o}", "files", w.files, "counts",
				 "added", (json_int_t) w.counts[ADDED], "changed",
				 (json_int_t) w.counts[CHANGED], "removed",
				 (json_int_t) w.counts[REMOVED], "truncated",
				 (int) (w.counts[0] + w.counts[1] + w.counts[2] > LIST_MAX),
				 "packages", package_changes(&w));
		r = *ret ? 0 : err_set(err, -ENOMEM, "changes");
	}
	side_close(&w.a);
	side_close(&w.b);
	strv_free(w.todo);
	json_decref(w.files);
	return r;
}
