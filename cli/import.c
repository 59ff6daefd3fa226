/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/import.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/noun.h"
#include "disk/formats/convert.h"
#include "providers/app.h"

static const char *tmp_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir == '/' ? dir : "/var/tmp";
}

/* What was typed, as a file that a worker can open. */
struct input {
	char *path; /* owned */
	int fd;
	struct journal_entry *entry; /* of a copy of standard input */
};

/* Standard input in the data directory, journalled: workers read it there. */
static int spool(struct cli *cli, struct input *in, struct err *err)
{
	char name[33];
	struct app *a;
	int r = cli_app(cli, &a) < 0 ? -EIO : tmp_name(name);

	if (r < 0)
		return err_set(err, r, "standard input cannot be kept");
	in->path = strf("%s/scratch/import-%s", a->data_dir, name);
	if (!in->path)
		return err_set(err, -ENOMEM, "out of memory");
	r = journal_add(a->journal, "file", json_pack("{s:s}", "path", in->path), &in->entry, err);
	if (r < 0)
		return r;
	in->fd = open(in->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (in->fd < 0)
		return err_set(err, -errno, "%s: %s", in->path, strerror(errno));
	r = file_copy_fd(STDIN_FILENO, in->fd, NULL);
	return r < 0 ? err_set(err, r, "standard input: %s", strerror(-r)) : 0;
}

static char *file_uri(const char *path)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~/";
	struct buf b = BUF_INIT(3 * 4096 + 16);

	(void) buf_addstr(&b, "file://");
	for (; *path; path++)
		(void) (strchr(plain, *path) ? buf_addch(&b, *path)
					     : buf_addf(&b, "%%%02X", (unsigned char) *path));
	return buf_take(&b);
}

/* The image's URI; a file is checked first. */
static int find(struct cli *cli, const char *typed, struct input *in, char **ret, struct err *err)
{
	auto_image_found struct image_found f = {.fd = -1};
	int r;

	if (str_starts(typed, "https://")) {
		*ret = strdup(typed);
		return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	if (strcmp(typed, "-") == 0) {
		r = spool(cli, in, err);
	} else {
		in->path = realpath(typed, NULL);
		r = in->path ? file_open_regular(AT_FDCWD, in->path, &in->fd) : -errno;
		if (r < 0)
			err_set(err, r, "%s",
				r == -EINVAL ? "no regular file" : strerrordesc_np(-r));
	}
	if (r == 0)
		r = image_convert(in->fd, tmp_dir(), IMAGE_TABLES, &cli->cancel, &f, err);
	if (r < 0)
		return err_ctx(err, r, "%s", typed);
	*ret = in->path ? file_uri(in->path) : NULL;
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static const struct cli_option *set_option(const struct cli_command *cmd)
{
	const struct cli_option *o = cmd->options;

	while (o->name && strcmp(o->name, "--set") != 0)
		o++;
	return o;
}

static int create(struct cli *cli, const struct cli_args *args, const char *set)
{
	auto_free struct cli_given *given = calloc((size_t) args->n_given + 1, sizeof(*given));
	struct cli_args own = *args;

	if (!given)
		return EXIT_FAILED;
	if (args->n_given)
		memcpy(given, args->given, (size_t) args->n_given * sizeof(*given));
	given[args->n_given] = (struct cli_given){set_option(args->cmd), set};
	own.given = given;
	own.n_given++;
	own.pos++;
	own.n_pos--;
	return verb_create(cli, &own);
}

int import_file_as(struct cli *cli, const struct cli_args *args, const char *path)
{
	auto_err struct err e = ERR_INIT;
	auto_free char *uri = NULL, *set = NULL;
	struct input in = {.fd = -1};
	int status;

	if (args->n_pos != 2)
		return cli_usage(cli, "%s: an image and a name expected", args->cmd->name);
	if (find(cli, args->pos[0], &in, &uri, &e) < 0) {
		status = cli_fail(cli, &e);
	} else {
		set = strf("%s=%s", path, uri);
		status = set ? create(cli, args, set) : EXIT_FAILED;
	}
	closep(&in.fd);
	free(in.path);
	(void) journal_undo(in.entry, NULL);
	return status;
}
