/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/store_util.h"

#include "base/mem.h"
#include "providers/app.h"

int store_cmd_key(const struct cli_args *args, const char *file_option, const char *command_option,
		  char **ret, struct err *err)
{
	const char *file = cli_opt(args, file_option), *command = cli_opt(args, command_option);
	auto_free char *abs = NULL;

	*ret = NULL;
	if (file && command)
		return err_set(err, -EINVAL, "%s and %s exclude each other", file_option,
			       command_option);
	if (!file && !command)
		return 0;
	abs = file ? realpath(file, NULL) : NULL;
	if (file && !abs)
		return err_set(err, -errno, "key file %s: %s", file, strerror(errno));
	*ret = file ? strf("file:%s", abs) : strf("command:%s", command);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int store_cmd_open(struct store_cmd *c, struct cli *cli, const struct cli_args *args)
{
	return store_cmd_open_there(c, cli, args, false);
}

int store_cmd_open_there(struct store_cmd *c, struct cli *cli, const struct cli_args *args,
			 bool there)
{
	struct store_dir_options o = {.must_exist = there};
	auto_free char *key = NULL;
	const char *dir = cli_opt(args, "--store");
	struct app *app;
	int r;

	if (!dir) {
		r = cli_app(cli, &app);
		if (r < 0)
			return r; /* reported already */
		c->store = app->store;
		c->borrowed = true;
	} else {
		r = store_cmd_key(args, "--key-file", "--key-command", &key, &c->err);
		o.key = key;
		if (r >= 0)
			r = store_open_dir_with(dir, &o, &c->store, &c->err);
		if (r < 0)
			return r;
	}
	c->bar = cli_progress_new(cli);
	c->progress = c->bar ? progress_to_events(cli_progress_sink(c->bar)) : NULL;
	return 0;
}

int store_cmd_close(struct store_cmd *c, struct cli *cli, int r)
{
	bool opened = c->store;
	int x = EXIT_DONE;

	progress_free(c->progress);
	cli_progress_free(c->bar);
	if (r < 0 && opened && c->err.code >= 0)
		err_set(&c->err, r, "standard output: %s", strerror(-r));
	if (c->err.code < 0)
		x = cli_fail(cli, &c->err);
	else if (!opened)
		x = EXIT_FAILED;
	store_session_end(c->session);
	if (!c->borrowed)
		store_close(c->store);
	err_done(&c->err);
	return x;
}

int cli_parse_rate(const char *text, uint64_t *ret)
{
	unsigned long long v;
	uint64_t unit = 1;
	char *end;

	*ret = 0;
	if (!text)
		return 0;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *text == '-')
		return -EINVAL;
	if (*end == 'k' || *end == 'K')
		unit = 1000;
	else if (*end == 'M')
		unit = 1000000;
	else if (*end == 'G')
		unit = 1000000000;
	if (*end && (unit == 1 || end[1]))
		return -EINVAL;
	return v == 0 || __builtin_mul_overflow(v, unit, ret) ? -EINVAL : 0;
}
