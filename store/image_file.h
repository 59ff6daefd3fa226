/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of the store as image files of any format (disk/formats/format.h). */
#ifndef KILN_STORE_IMAGE_FILE_H
#define KILN_STORE_IMAGE_FILE_H

#include "disk/formats/format.h"
#include "store/store.h"

struct image_file {
	const struct format *format;
	const struct disk_ref *disk;
	unsigned region;           /* read from first */
	struct format_facts facts; /* its id is made from the disk's digest */
	struct cancel *cancel;
	const struct progress *progress;
};

/** image_source() - a reader as what formats are written from; @r stays the caller's. */
void image_source(struct store_reader *r, const struct disk_ref *disk, struct disk_source *ret);

/**
 * image_file_write() - to a descriptor; every byte of the disk is verified
 *
 * A regular file must be empty. What a format cannot write to a pipe is made in an unnamed file of
 * the store's directory first. Return: 0, -EINVAL (past the format's limit), the cancel reason, or
 * -errno.
 */
int image_file_write(struct store *s, const struct image_file *f, int fd, struct err *err);

/** image_file_save() - to @path: whole and durable, or as it was. *@ret_bytes: length of the file.
 *  The temporary beside it is journalled where the store has a journal. */
int image_file_save(struct store *s, const struct image_file *f, const char *path,
		    uint64_t *ret_bytes, struct err *err);

#endif
