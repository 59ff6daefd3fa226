/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign images in a process of their own. `kiln imagereader` gets one file, and for a copy a
 * second one, as descriptors; before it looks at a byte it gives up root, every further descriptor,
 * and by seccomp every system call but reading, writing and memory. So what a hostile image may
 * reach is those two files and one line of output.
 */
#ifndef KILN_DISK_FORMATS_CONVERT_H
#define KILN_DISK_FORMATS_CONVERT_H

#include "base/cancel.h"
#include "disk/formats/read.h"

#define IMAGE_MEMORY_MAX (192u << 20) /* private memory of that process */

/** image_main() - the role; argv[0] is "imagereader", a word of no command:
 *	image tables IN		what is it, and are its tables good?
 *	image check IN		also: is what is compressed in it whole?
 *	image copy IN OUT	and its disk into OUT, an empty file, holes kept; a disk that lies
 *in IN as it is ("plain") is not copied image unpack IN OUT	what a gzip, xz or zstd stream
 *holds, the same way IN and OUT are descriptors. One JSON document on standard output. */
int image_main(int argc, char **argv);

enum image_depth {
	IMAGE_TABLES, /* what it is; around what is compressed as a whole nothing is known */
	IMAGE_CHECK,  /* all that a copy would find */
	IMAGE_COPY,   /* and the disk */
};
struct image_found {
	char format[16];
	char packed[8]; /* "gzip": around the format; "" = not */
	uint64_t disk_bytes;
	int fd; /* owned: holds the disk from its start, maybe more; -1 = check */
};
void image_found_done(struct image_found *f);
#define auto_image_found __attribute__((cleanup(image_found_done)))

/**
 * image_convert() - check the image in @fd and find its disk
 * @fd: a regular file that nobody else writes
 * @dir: where unnamed temporary files are made
 *
 * A raw disk or a fixed VHD is not copied: @ret->fd is then a duplicate of @fd.
 * Return: 0, -EINVAL (refused, code "ImageRefused"), the cancel reason, or -errno.
 */
int image_convert(int fd, const char *dir, enum image_depth depth, struct cancel *cancel,
		  struct image_found *ret, struct err *err);

#endif
