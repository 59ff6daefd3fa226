/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk image formats that kiln writes. A format is one file disk/formats/NAME.c with one struct
 * format, and its line in table.c.
 *
 * A disk comes as a struct disk_source, so that this code knows nothing of the store. Formats whose
 * file is a function of where the disk has data (raw, VHD, VHDX) are a *layout*: their length is
 * known and any byte of them can be made before anything is written. Those that compress are
 * written from front to back by workers that take turns.
 */
#ifndef KILN_DISK_FORMATS_FORMAT_H
#define KILN_DISK_FORMATS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/event.h"

/* What is written out. Both functions are called from many threads. */
struct disk_source {
	uint64_t size_bytes; /* a multiple of 512 */
	/* All @n bytes at @offset, inside the disk. 0 or -errno. */
	int (*read)(void *arg, void *dst, size_t n, uint64_t offset, struct err *err);
	/* Length of the run at @offset that is wholly zero or not, as store_reader_hole(). */
	int (*run)(void *arg, uint64_t offset, uint64_t max, bool *ret_zero, uint64_t *ret_len,
		   struct err *err);
	void *arg;
};

/* What a disk file says beside the disk. Strings are borrowed; NULL = unknown. */
struct format_facts {
	uint8_t id[16];   /* makes GUIDs and content ids: equal disks give equal files */
	const char *name; /* of the virtual machine in an OVF */
	const char *os;   /* "linux" or "windows" */
	bool uefi;        /* else BIOS */
	bool secure_boot, tpm;
	unsigned cpus, memory_mib; /* of an OVF; 0 = 2 and 2048 */
};

struct format_job {
	const struct disk_source *disk;
	const struct format_facts *facts;
	int fd;           /* written from its position 0; a pipe or socket from where it is */
	bool random;      /* fd is an empty regular file */
	unsigned threads; /* 0 = one per core */
	struct cancel *cancel;
	const struct progress *progress;
};

struct layout;
struct format {
	const char *name;      /* "vhd" */
	const char *extension; /* "vhd" */
	const char *about;     /* one line for people */
	uint64_t max_bytes;    /* largest disk: the documented limit */
	uint64_t unit_bytes;   /* the disk is padded with zeros to a multiple of it */
	bool random;           /* can be written to regular files only */
	/* Either: where what is in the file. */
	int (*layout)(const struct disk_source *disk, const struct format_facts *facts,
		      uint64_t padded_bytes, struct layout *l, struct err *err);
	/* Or: write it. */
	int (*write)(const struct format_job *job, uint64_t padded_bytes, struct err *err);
};

/** formats - every format; ends with a NULL. */
extern const struct format *const formats[];
/** format_find() - by name; NULL with the known ones in @err. */
const struct format *format_find(const char *name, struct err *err);
/** format_padded() - size of the disk inside the file; -EINVAL (code DiskTooLargeForFormat) past
 * the format's limit. */
int format_padded(const struct format *f, uint64_t size_bytes, uint64_t *ret, struct err *err);

/** format_write() - the disk to job->fd. Zero areas cost neither reads nor, in a regular file,
 *  bytes. Return: 0, -EINVAL (too big a disk for it), -ESPIPE (job->fd is no regular file and the
 *  format needs one), the cancel reason, or -errno. */
int format_write(const struct format *f, const struct format_job *job, struct err *err);

/* ---- Layouts: a file that is made on demand ---------------------------------------------- */

/** format_layout() - of formats that have one (-EOPNOTSUPP for others). */
int format_layout(const struct format *f, const struct disk_source *disk,
		  const struct format_facts *facts, struct layout **ret, struct err *err);
uint64_t layout_bytes(const struct layout *l);
/** layout_read() - @n bytes of the file at @offset; thread-safe. -EINVAL past its end. */
int layout_read(const struct layout *l, void *dst, size_t n, uint64_t offset, struct err *err);
void layout_free(struct layout *l); /* NULL is fine */

#endif
