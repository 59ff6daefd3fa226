/* SPDX-License-Identifier: Apache-2.0 */
/* `kiln inspect`: what a disk image from elsewhere is, and whether it would be taken. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "disk/formats/convert.h"

static int run_inspect(struct cli *cli, const struct cli_args *args)
{
	auto_image_found struct image_found f = {.fd = -1};
	auto_err struct err e = ERR_INIT;
	const char *tmp = getenv("TMPDIR"), *path = args->pos[0];
	auto_fd int fd = -1;
	struct stat st;
	char size[16];
	int r = file_open_regular(AT_FDCWD, path, &fd);

	if (r < 0 || fstat(fd, &st) < 0) {
		err_set(&e, r < 0 ? r : -errno, "%s: %s", path, strerror(r < 0 ? -r : errno));
		return r == -EINVAL ? cli_usage(cli, "inspect: %s is no regular file", path)
				    : cli_fail(cli, &e);
	}
	r = image_convert(fd, tmp && *tmp == '/' ? tmp : "/var/tmp", IMAGE_CHECK, &cli->cancel, &f,
			  &e);
	if (r < 0) {
		err_ctx(&e, r, "%s", path);
		return cli_fail(cli, &e);
	}
	if (cli->json) {
		auto_json json_t *j =
			json_pack("{s:s, s:s, s:s?, s:I, s:I}", "file", path, "format", f.format,
				  "packed", f.packed[0] ? f.packed : NULL, "diskBytes",
				  (json_int_t) f.disk_bytes, "fileBytes", (json_int_t) st.st_size);

		return j && cli_print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	(void) printf("format  %s%s%s\n", f.format, f.packed[0] ? " in " : "", f.packed);
	(void) printf("disk    %s (%llu bytes)\n", size_human(f.disk_bytes, size),
		      (unsigned long long) f.disk_bytes);
	return EXIT_DONE;
}

static const struct cli_option inspect_options[] = {{NULL}};

const struct cli_command cmd_inspect = {
	.name = "inspect",
	.args = "FILE",
	.summary = "what a disk image is, and whether an import would take it",
	.help = "Reads the file in a confined process: header, tables, sums; nothing is mounted, "
		"and no\n"
		"other file that it names is opened. Exit status 3 and the reason where an import "
		"refuses.\n\n"
		"Example:\n  kiln inspect vendor.qcow2 --json",
	.options = inspect_options,
	.run = run_inspect,
};
