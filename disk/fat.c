/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/fat.h"

#include <time.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#define SECTOR        512u
#define RESERVED      32u
#define N_FATS        2u
#define ENTRY         32u
#define ROOT_CLUSTER  2u
#define END_OF_CHAIN  0x0fffffffu
#define ATTR_DIR      0x10
#define ATTR_ARCHIVE  0x20
#define ATTR_VOLUME   0x08
#define CASE_LOW_BASE 0x08
#define CASE_LOW_EXT  0x10

/* A file or directory; the tree is small, so siblings are a list sorted by name. */
struct node {
	uint8_t name[11]; /* as on disk: space padded, upper case */
	uint8_t lower;    /* CASE_ bits */
	bool dir;
	const struct fat_file *file;
	struct node *parent, *child, *next;
	uint32_t cluster, n_clusters;
};
struct volume {
	int fd;
	uint64_t offset;
	const struct fat_spec *spec;
	uint32_t sectors, fat_sectors, cluster_sectors, n_clusters;
	uint32_t next; /* first free cluster */
	uint32_t *fat; /* of n_clusters + 2 */
	uint16_t date, time;
	struct node *root;
	struct err *err;
};

static void node_free(struct node *n)
{
	while (n) {
		struct node *next = n->next;

		node_free(n->child); /* depth is bounded by FAT_MAX_DEPTH */
		free(n);
		n = next;
	}
}

/* --- names --- */

static bool name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '~';
}

static bool half_encode(const char *s, size_t n, size_t max, uint8_t *dst, bool *ret_lower)
{
	bool lower = false, upper = false;

	if (n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c >= 'a' && c <= 'z') {
			lower = true;
			c = (char) (c - 'a' + 'A');
		} else if (c >= 'A' && c <= 'Z') {
			upper = true;
		}
		if (!name_char(c))
			return false;
		dst[i] = (uint8_t) c;
	}
	*ret_lower = lower;
	return !(lower && upper);
}

static bool name_encode(const char *s, size_t n, uint8_t name[11], uint8_t *ret_lower)
{
	const char *dot = memchr(s, '.', n);
	size_t base = dot ? (size_t) (dot - s) : n;
	bool low_base = false, low_ext = false;

	memset(name, ' ', 11);
	if (base == 0 || !half_encode(s, base, 8, name, &low_base))
		return false;
	if (dot && (base + 1 == n || !half_encode(dot + 1, n - base - 1, 3, name + 8, &low_ext)))
		return false;
	*ret_lower = (uint8_t) ((low_base ? CASE_LOW_BASE : 0) | (low_ext ? CASE_LOW_EXT : 0));
	return true;
}

/* --- the tree --- */

#define FAT_MAX_DEPTH 16

static struct node *child_get(struct node *dir, const uint8_t name[11], uint8_t lower)
{
	struct node **at = &dir->child, *n;

	while (*at && memcmp((*at)->name, name, 11) < 0)
		at = &(*at)->next;
	if (*at && memcmp((*at)->name, name, 11) == 0)
		return *at;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	memcpy(n->name, name, 11);
	n->lower = lower;
	n->parent = dir;
	n->next = *at;
	*at = n;
	return n;
}

static int add_file(struct volume *v, const struct fat_file *f)
{
	struct node *d = v->root;
	const char *p = f->path;
	unsigned depth = 0;

	for (;;) {
		size_t len = strcspn(p, "/");
		uint8_t name[11], lower;
		struct node *c;

		if (!name_encode(p, len, name, &lower) || ++depth > FAT_MAX_DEPTH)
			return err_set(v->err, -EINVAL,
				       "FAT: '%s': expected 8.3 names of one case per half",
				       f->path);
		c = child_get(d, name, lower);
		if (!c)
			return err_set(v->err, -ENOMEM, "FAT: out of memory");
		if (c->file || (c->dir && !p[len]))
			return err_set(v->err, -EINVAL, "FAT: '%s': a name is used twice", f->path);
		if (!p[len]) {
			c->file = f;
			return 0;
		}
		c->dir = true;
		d = c;
		p += len + 1;
	}
}

/* --- layout --- */

static void set_geometry(struct volume *v)
{
	/* 512-byte clusters up to 256 MiB keep the count in FAT32's range at every size. */
	uint64_t mib = v->spec->size_bytes >> 20;
	uint32_t data;

	v->cluster_sectors = mib <= 256 ? 1 : mib <= 8192 ? 8 : 16;
	v->sectors = (uint32_t) (v->spec->size_bytes / SECTOR);
	/* One entry of 4 bytes a cluster; counting the FATs' own space too errs on the safe side.
	 */
	data = (v->sectors - RESERVED) / v->cluster_sectors + 2;
	v->fat_sectors = (uint32_t) (((uint64_t) data * 4 + SECTOR - 1) / SECTOR);
	v->n_clusters = (v->sectors - RESERVED - N_FATS * v->fat_sectors) / v->cluster_sectors;
}

static void set_time(struct volume *v)
{
	time_t t = (time_t) v->spec->time_s;
	struct tm tm;

	v->date = 1 << 5 | 1;
	v->time = 0;
	if (v->spec->time_s < 315532800 || !gmtime_r(&t, &tm) || tm.tm_year > 207)
		return;
	v->date = (uint16_t) ((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday);
	v->time = (uint16_t) (tm.tm_hour << 11 | tm.tm_min << 5 | tm.tm_sec / 2);
}

static uint64_t cluster_bytes(const struct volume *v)
{
	return (uint64_t) v->cluster_sectors * SECTOR;
}

static uint64_t cluster_at(const struct volume *v, uint32_t cluster)
{
	uint64_t sector = RESERVED + (uint64_t) N_FATS * v->fat_sectors +
			  (uint64_t) (cluster - 2) * v->cluster_sectors;

	return v->offset + sector * SECTOR;
}

static int chain(struct volume *v, struct node *n, uint64_t bytes)
{
	uint64_t count = (bytes + cluster_bytes(v) - 1) / cluster_bytes(v);

	if (count == 0)
		return 0;
	if (count > (uint64_t) v->n_clusters + 2 - v->next)
		return err_set(v->err, -ENOSPC, "FAT: the files do not fit in %llu bytes",
			       (unsigned long long) v->spec->size_bytes);
	n->cluster = v->next;
	n->n_clusters = (uint32_t) count;
	for (uint32_t k = 0; k < count; k++)
		v->fat[v->next + k] = k + 1 < count ? v->next + k + 1 : END_OF_CHAIN;
	v->next += (uint32_t) count;
	return 0;
}

static int place(struct volume *v, struct node *d)
{
	uint64_t entries = d == v->root ? 1 : 2;
	int r;

	for (struct node *c = d->child; c; c = c->next)
		entries++;
	r = chain(v, d, entries * ENTRY);
	for (struct node *c = d->child; r == 0 && c; c = c->next)
		r = c->dir ? place(v, c) : chain(v, c, c->file->n);
	return r;
}

/* --- writing --- */

static int put(struct volume *v, const void *p, size_t n, uint64_t at)
{
	int r = n ? file_pwrite_full(v->fd, p, n, at) : 0;

	return r < 0 ? err_set(v->err, r, "FAT: write") : 0;
}

static void entry(const struct volume *v, uint8_t *e, const uint8_t name[11], uint8_t attr,
		  uint32_t cluster, uint32_t size)
{
	memcpy(e, name, 11);
	e[11] = attr;
	put_le16(e + 14, v->time);
	put_le16(e + 16, v->date);
	put_le16(e + 18, v->date);
	put_le16(e + 20, (uint16_t) (cluster >> 16));
	put_le16(e + 22, v->time);
	put_le16(e + 24, v->date);
	put_le16(e + 26, (uint16_t) cluster);
	put_le32(e + 28, size);
}

static void label_bytes(const struct volume *v, uint8_t dst[11])
{
	const char *label = v->spec->label ? v->spec->label : "NO NAME";

	memset(dst, ' ', 11);
	memcpy(dst, label, strnlen(label, 11));
}

static int write_dir(struct volume *v, struct node *d)
{
	static const uint8_t dot[11] = ".          ", dotdot[11] = "..         ";
	auto_free uint8_t *p = calloc(d->n_clusters, (size_t) cluster_bytes(v));
	uint8_t *e = p, label[11];
	int r;

	if (!p)
		return err_set(v->err, -ENOMEM, "FAT: out of memory");
	if (d == v->root) {
		label_bytes(v, label);
		if (v->spec->label) {
			entry(v, e, label, ATTR_VOLUME, 0, 0);
			e += ENTRY;
		}
	} else {
		/* The root is named by cluster 0 in "..". */
		uint32_t up = d->parent == v->root ? 0 : d->parent->cluster;

		entry(v, e, dot, ATTR_DIR, d->cluster, 0);
		entry(v, e + ENTRY, dotdot, ATTR_DIR, up, 0);
		e += 2 * ENTRY;
	}
	for (struct node *c = d->child; c; c = c->next, e += ENTRY) {
		entry(v, e, c->name, c->dir ? ATTR_DIR : ATTR_ARCHIVE, c->cluster,
		      c->dir ? 0 : (uint32_t) c->file->n);
		e[12] = c->lower;
	}
	r = put(v, p, d->n_clusters * (size_t) cluster_bytes(v), cluster_at(v, d->cluster));
	for (struct node *c = d->child; r == 0 && c; c = c->next)
		r = c->dir ? write_dir(v, c)
			   : put(v, c->file->data, c->file->n, cluster_at(v, c->cluster));
	return r;
}

static int write_boot_sector(struct volume *v)
{
	uint8_t b[SECTOR] = {0xeb, 0x58, 0x90, 'k', 'i', 'l', 'n', ' ', ' ', ' ', ' '};
	uint8_t info[SECTOR] = {'R', 'R', 'a', 'A'};
	int r;

	put_le16(b + 11, SECTOR);
	b[13] = (uint8_t) v->cluster_sectors;
	put_le16(b + 14, RESERVED);
	b[16] = N_FATS;
	b[21] = 0xf8;
	put_le16(b + 24, 63);
	put_le16(b + 26, 255);
	put_le32(b + 28, v->spec->hidden_sectors);
	put_le32(b + 32, v->sectors);
	put_le32(b + 36, v->fat_sectors);
	put_le32(b + 44, ROOT_CLUSTER);
	put_le16(b + 48, 1); /* information sector */
	put_le16(b + 50, 6); /* copy of this one */
	b[64] = 0x80;
	b[66] = 0x29;
	put_le32(b + 67, v->spec->volume_id);
	label_bytes(v, b + 71);
	memcpy(b + 82, "FAT32   ", 8);
	b[90] = 0xf4; /* hlt; jmp: a BIOS that boots this stops */
	b[91] = 0xeb;
	b[92] = 0xfd;
	put_le16(b + 510, 0xaa55);

	put_le32(info + 484, 0x61417272);
	put_le32(info + 488, v->n_clusters + 2 - v->next);
	put_le32(info + 492, v->next);
	put_le32(info + 508, 0xaa550000);
	for (unsigned copy = 0; copy < 2; copy++) {
		uint64_t at = v->offset + (uint64_t) copy * 6 * SECTOR;

		r = put(v, b, sizeof(b), at);
		if (r == 0)
			r = put(v, info, sizeof(info), at + SECTOR);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Only the used head of each table: the rest is zero already. */
static int write_fats(struct volume *v)
{
	size_t n = (size_t) v->next * 4;
	auto_free uint8_t *p = malloc(n);

	if (!p)
		return err_set(v->err, -ENOMEM, "FAT: out of memory");
	v->fat[0] = 0x0ffffff8;
	v->fat[1] = END_OF_CHAIN;
	for (uint32_t k = 0; k < v->next; k++)
		put_le32(p + 4 * (size_t) k, v->fat[k]);
	for (unsigned copy = 0; copy < N_FATS; copy++) {
		uint64_t sector = RESERVED + (uint64_t) copy * v->fat_sectors;
		int r = put(v, p, n, v->offset + sector * SECTOR);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_spec(const struct fat_spec *s, size_t n, struct err *err)
{
	if (s->size_bytes < FAT32_MIN_BYTES || s->size_bytes > FAT32_MAX_BYTES ||
	    s->size_bytes % (1u << 20))
		return err_set(err, -EINVAL, "FAT: size %llu, expected whole MiB from %llu to %llu",
			       (unsigned long long) s->size_bytes, FAT32_MIN_BYTES,
			       FAT32_MAX_BYTES);
	if (n > FAT_MAX_FILES)
		return err_set(err, -EINVAL, "FAT: %zu files, at most %u", n, FAT_MAX_FILES);
	if (s->label && (strlen(s->label) > 11 || !*s->label))
		return err_set(err, -EINVAL, "FAT: label '%s': expected 1 to 11 bytes", s->label);
	for (const char *p = s->label; p && *p; p++)
		if (!name_char(*p) && *p != ' ')
			return err_set(err, -EINVAL,
				       "FAT: label '%s': expected A-Z, 0-9, '_', '-', space",
				       s->label);
	return 0;
}

static int write_volume(struct volume *v)
{
	int r = place(v, v->root);

	if (r == 0)
		r = write_boot_sector(v);
	if (r == 0)
		r = write_fats(v);
	return r == 0 ? write_dir(v, v->root) : r;
}

int fat32_write(int fd, uint64_t offset, const struct fat_spec *spec, const struct fat_file *files,
		size_t n, struct err *err)
{
	struct node root = {.dir = true};
	struct volume v = {.fd = fd,
			   .offset = offset,
			   .spec = spec,
			   .next = ROOT_CLUSTER,
			   .root = &root,
			   .err = err};
	int r = check_spec(spec, n, err);

	if (r < 0)
		return r;
	set_geometry(&v);
	set_time(&v);
	v.fat = calloc((size_t) v.n_clusters + 2, sizeof(*v.fat));
	if (!v.fat)
		return err_set(err, -ENOMEM, "FAT: out of memory");
	for (size_t k = 0; r == 0 && k < n; k++)
		r = files[k].n > UINT32_MAX
			    ? err_set(err, -EINVAL, "FAT: '%s' is over 4 GiB", files[k].path)
			    : add_file(&v, &files[k]);
	if (r == 0)
		r = write_volume(&v);
	node_free(root.child);
	free(v.fat);
	return r;
}
