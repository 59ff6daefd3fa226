/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands that write image files share. */
#ifndef KILN_CLI_IMAGE_OPTIONS_H
#define KILN_CLI_IMAGE_OPTIONS_H

#include "cli/cli.h"
#include "store/image_file.h"

#define IMAGE_OPTIONS                                                                              \
	{"--format", 'f', "FORMAT", "of the file (default: raw)"},                                 \
	{                                                                                          \
		"--output", 'o', "FILE", "where to; - is standard output"                          \
	}

struct destination;

struct image_options {
	const struct destination
		*place; /* whose format it is unless another is given; NULL = none */
	const struct format *format;
	const char *path;
	bool to_stdout;
};

/** image_options_parse() - 0, or -EINVAL: a usage error. */
int image_options_parse(struct cli *cli, const struct cli_args *args, struct image_options *ret,
			struct err *err);
/** image_options_write() - to the file or standard output; sets @f->format. */
int image_options_write(struct store *s, const struct image_options *o, struct image_file *f,
			uint64_t *ret_bytes, struct err *err);
/** image_options_say() - what was written. Return: exit status. */
int image_options_say(struct cli *cli, const struct image_options *o, const struct disk_ref *disk,
		      uint64_t file_bytes, int64_t start_ns);

#endif
