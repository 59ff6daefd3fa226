/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of platform images share. */
#ifndef KILN_BAKE_PLATFORM_INTERNAL_H
#define KILN_BAKE_PLATFORM_INTERNAL_H

#include "bake/platform.h"
#include "disk/fstree.h"

/* --- APT entries (platform_sources.c) --- */

/* One deb822 stanza or one-line entry, split. */
struct apt_source {
	char **uris, **suites, **components;
	char *signed_by; /* path of a keyring, an embedded key, or NULL */
};
struct apt_sources {
	struct apt_source *v;
	size_t n;
};
void apt_sources_done(struct apt_sources *s);
/** apt_sources_parse() - append the entries of one text (either format). "deb" only; disabled
 *  entries are left out. @name is for messages. 0, -EINVAL, -ENOMEM. */
int apt_sources_parse(const char *text, const char *name, struct apt_sources *ret, struct err *err);
/** apt_sources_host() - those of /etc/apt that offer @suite, @suite-updates or @suite-security
 *  (and are Debian's, as far as their kept release file tells). -ENOENT when none does. */
int apt_sources_host(const char *etc_apt, const char *lists, const char *suite,
		     struct apt_sources *ret, struct err *err);
/** apt_sources_public() - deb822 texts without credentials: array of strings. */
int apt_sources_public(const struct apt_sources *s, json_t **ret, json_t **ret_hosts,
		       struct err *err);
/** apt_sources_lines() - one-line entries with credentials kept, for fetching. An embedded key
 *  is written to @key_dir/keyN.asc, which must be a directory. */
int apt_sources_lines(const struct apt_sources *s, const char *key_dir, struct buf *out,
		      struct err *err);
/** apt_sources_load() - @configured, or the host's when NULL. */
int apt_sources_load(const json_t *configured, const char *suite, struct apt_sources *ret,
		     struct err *err);

/* --- fetching (platform_apt.c) --- */

/** apt_host_options() - the host's proxy and TLS settings as an apt.conf text. */
int apt_host_options(struct cancel *cancel, struct buf *out, struct err *err);
/** apt_releases() - fetch and verify only the signed release files of @s into @dir (made by the
 *  caller). *@ret: {"NAME": {"sha256": HEX, "date": SECONDS}} sorted by name. 0, -EACCES (a
 *  signature or date is not accepted), -ENETUNREACH (not fetched), or another -errno. */
int apt_releases(const struct platform_env *env, const struct apt_sources *s, const char *dir,
		 json_t **ret, struct err *err);
/** apt_releases_date() - the newest date, seconds. */
int64_t apt_releases_date(const json_t *releases);

/* --- what one distribution does (platform_debian.c) --- */

struct platform_work {
	const struct platform_env *env;
	const struct apt_sources *sources;
	const json_t *public_sources;
	const char *dir; /* scratch, journalled */
	int64_t date_s;  /* of the release files: every time in the image */
	struct fstree *tree;
	json_t *packages; /* {name: version} */
	struct digest inputs;
	uint8_t *boot_img, *core_img;
	size_t boot_n, core_n;
};
void platform_work_done(struct platform_work *w);

/* A distribution: which skus, and how its tree is made. Skus of one row share their disk. */
struct platform_distro {
	const char *publisher, *offer, *suite;
	unsigned major; /* of its versions */
	int (*recipe)(struct buf *out);
	int (*tree)(struct platform_work *w, struct err *err);
};

/** debian_recipe() - text that changes whenever the same packages would give another image. */
int debian_recipe(struct buf *out);
/** debian_tree() - fills tree, packages, boot_img and core_img of @w. */
int debian_tree(struct platform_work *w, struct err *err);
#define DEBIAN_SUITE "bookworm"

/* --- the tree's own files (platform_files.c) --- */

struct platform_ids {
	char root_uuid[UUID_STR], disk_uuid[UUID_STR], hash_seed[UUID_STR];
	char part_uuid[3][UUID_STR];
	uint32_t esp_id;
};
/** platform_ids_make() - every identifier from one digest. */
void platform_ids_make(const struct digest *inputs, struct platform_ids *ret);
/** platform_files_recipe() - appends all texts that platform_files_add() writes. */
int platform_files_recipe(struct buf *out);
int platform_files_add(struct fstree *t, const struct platform_ids *ids, const json_t *sources,
		       struct err *err);
/** platform_files_clean() - remove what identifies the build or differs between two. */
void platform_files_clean(struct fstree *t);
/** platform_esp_grub_cfg() - text of the ESP's grub.cfg; caller frees; NULL on ENOMEM. */
char *platform_esp_grub_cfg(const struct platform_ids *ids);

/* --- the disk (platform_disk.c) --- */

#define PLATFORM_DISK_BYTES (4ull << 30)
/** platform_disk_boot() - size, partition tables, boot code and ESP into the empty file @fd. */
int platform_disk_boot(int fd, const struct platform_work *w, const struct platform_ids *ids,
		       struct err *err);
/** platform_disk_root() - the root file system into the same file. */
int platform_disk_root(int fd, const struct platform_work *w, const struct platform_ids *ids,
		       const struct progress *p, struct err *err);

/* --- kept images (platform_catalog.c) --- */

/* "12.20261122.0" */
struct platform_version {
	unsigned long major, date, n;
};
/** platform_version_parse() - exactly three numbers. */
bool platform_version_parse(const char *s, struct platform_version *ret);
/** platform_kept() - records of @sku, oldest first: array of {"version", "disk", "facts",
 *  "checkedAt" (seconds), "revision"}; new reference. */
int platform_kept(struct store *s, unsigned region, const struct platform_sku *sku, json_t **ret,
		  struct err *err);
/** platform_keep() - the root and the record of one version; durable. @revision starts at 1. */
int platform_keep(struct store_session *ss, struct store *s, unsigned region,
		  const struct platform_sku *sku, const char *version, const struct disk_ref *disk,
		  const json_t *facts, int64_t checked_at_s, uint64_t revision, struct err *err);
/** platform_image_from() - an image from a record of platform_kept(). */
int platform_image_from(const json_t *record, struct platform_image *ret, struct err *err);

#endif
