/* SPDX-License-Identifier: Apache-2.0 */
/* Image versions: names, order, `latest`, and what an id stands for. */
#ifndef KILN_PROVIDERS_VERSIONS_H
#define KILN_PROVIDERS_VERSIONS_H

#include "providers/app.h"

#define VERSION_PARTS 3

/** version_parse() - "Major.Minor.Patch", each 0..2147483647 without leading zeros. 0 or -EINVAL.
 */
int version_parse(const char *name, int64_t ret[VERSION_PARTS]);
/** version_compare() - numeric order of two parsed names: <0, 0, >0. */
int version_compare(const int64_t a[VERSION_PARTS], const int64_t b[VERSION_PARTS]);

/**
 * version_latest() - the version that `latest` means
 * @region: normalized name: only versions with a completed replica there whose target region is
 *	not excluded count; NULL = any region
 * @ret: id, caller frees
 *
 * Return: 0, -ENOENT (code GalleryImageNotFound; the message says what there is instead).
 */
int version_latest(struct app *a, const char *definition_id, const char *region, char **ret,
		   struct err *err);

/** version_exact() - @id may be a version, ".../versions/latest", or a definition (meaning its
 *  latest). *@ret: the version's id, caller frees. Does not check that an exact version exists. */
int version_exact(struct app *a, const char *id, const char *region, char **ret, struct err *err);

/** version_replica() - state of a version's replica: "Completed", "Replicating", "Failed",
 * "Unknown", or NULL when the region is none of its targets. Borrowed from @doc. */
const char *version_replica(const json_t *doc, const char *region);

/* ---- What can become a version, an image, or the source of a bake ---- */

struct image_source {
	struct disk_ref disk;
	int region;    /* index of a region that holds the disk */
	json_t *facts; /* owned: {"kind","id","osType","osState","hyperVGeneration","architecture",
			  "trusted",...} */
	char *id;      /* owned: exact id, of the version, image, disk, snapshot or run */
	json_t *data;  /* owned: data disks, [{"lun","disk","hostCaching"?}]; NULL = none */
};
void image_source_done(struct image_source *s);
#define auto_image_source __attribute__((cleanup(image_source_done)))

/** image_source_lun() - the source becomes its data disk @lun. 0, -EINVAL. */
int image_source_lun(struct image_source *s, int64_t lun, const char *target, struct err *err);

/**
 * image_source_load() - a disk by id: gallery version (also latest), managed image, disk,
 * snapshot, or run
 * @who: must be allowed to read it
 * @subscription: for which it is wanted; /SharedGalleries/ ids must be shared with it (NULL: with
 *	anyone)
 * @region: normalized; the disk must be whole there (versions: a completed replica); a run's
 *	artefact may lie elsewhere
 * @target: the field that names it, for messages
 *
 * Return: 0, -ENOENT, -EINVAL (no such kind of source, not in the region, not ready), -EACCES.
 */
int image_source_load(struct app *a, const struct arm_principal *who, const char *subscription,
		      const char *id, const char *region, const char *target,
		      struct image_source *ret, struct err *err);

#endif
