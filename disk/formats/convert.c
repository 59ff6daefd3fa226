/* SPDX-License-Identifier: Apache-2.0 */
/* The side of image_main() that is trusted. */
#include "disk/formats/convert.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"

#define ANSWER_MAX 65536
#define TABLES_MS  60000

void image_found_done(struct image_found *f)
{
	closep(&f->fd);
	f->fd = -1;
}

static int take_answer(const struct buf *out, const struct proc_result *res, json_t **ret,
		       struct err *err)
{
	auto_json json_t *j = NULL;
	const char *text;

	if (res->timed_out)
		return image_refuse(err, "it takes too long to read");
	if (res->signal || json_parse(buf_str(out), out->len, &j, NULL) < 0)
		return image_refuse(err, "its reader ended (%s %d)",
				    res->signal ? "signal" : "status",
				    res->signal ? res->signal : res->exit_code);
	text = json_str_at(j, "error");
	if (text && res->exit_code == 3)
		return image_refuse(err, "%s", text);
	if (text || res->exit_code != 0)
		return err_set(err, -EIO, "%s", text ? text : "image reader");
	*ret = json_incref(j);
	return 0;
}

/* One run of the confined reader. */
static int confined(const char *verb, int in, int out, struct cancel *cancel, json_t **ret,
		    struct err *err)
{
	char in_text[12], out_text[12];
	const char *const argv[] = {proc_self_exe(),           "imagereader", verb, in_text,
				    out < 0 ? NULL : out_text, NULL};
	int fds[2] = {fcntl(in, F_DUPFD_CLOEXEC, 3), out < 0 ? -1 : fcntl(out, F_DUPFD_CLOEXEC, 3)};
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct proc_spec spec = {.argv = argv,
				 .keep_fds = fds,
				 .n_keep_fds = out < 0 ? 1 : 2,
				 .timeout_ms = strcmp(verb, "tables") == 0 ? TABLES_MS : 0,
				 .cancel = cancel,
				 .out = &text};
	struct proc_result res = {0};
	int r;

	(void) snprintf(in_text, sizeof(in_text), "%d", fds[0]);
	(void) snprintf(out_text, sizeof(out_text), "%d", fds[1]);
	r = fds[0] < 0 || (out >= 0 && fds[1] < 0) ? err_set(err, -errno, "descriptor")
						   : proc_run(&spec, &res, err);
	if (r == -ETIME)
		res.timed_out = true;
	if (r == 0 || r == -ETIME)
		r = take_answer(&text, &res, ret, err);
	closep(&fds[0]);
	closep(&fds[1]);
	buf_done(&text);
	return r;
}

static int tmp_in(const char *dir, int *ret, struct err *err)
{
	*ret = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return *ret < 0 ? err_set(err, -errno, "a temporary file in %s: %s", dir, strerror(errno))
			: 0;
}

/* One run at the depth asked for; the copy of a disk that is not plain goes to *@ret_out. */
static int look(int in, const char *dir, enum image_depth depth, struct cancel *cancel,
		json_t **ret, int *ret_out, struct err *err)
{
	static const char *const verbs[] = {"tables", "check", "copy"};
	auto_fd int out = -1;
	int r = depth == IMAGE_COPY ? tmp_in(dir, &out, err) : 0;

	if (r == 0)
		r = confined(verbs[depth], in, out, cancel, ret, err);
	if (r == 0)
		*ret_out = take_fd(out);
	return r;
}

/* Takes one layer of compression off, into *@io_fd, and looks at what is inside. */
static int unpack(int *io_fd, const char *dir, enum image_depth depth, const char *packed,
		  struct cancel *cancel, json_t **ret, int *ret_out, struct err *err)
{
	auto_json json_t *done = NULL;
	auto_fd int tmp = -1;
	int r = tmp_in(dir, &tmp, err);

	if (r == 0)
		r = confined("unpack", *io_fd, tmp, cancel, &done, err);
	closep(ret_out);
	*ret_out = -1;
	if (r == 0)
		r = look(tmp, dir, depth, cancel, ret, ret_out, err);
	if (r == 0 && json_str_at(*ret, "packed"))
		r = image_refuse(err, "%s inside %s: one layer is taken off",
				 json_str_at(*ret, "packed"), packed);
	if (r < 0)
		return err_ctx(err, r, "in the %s data", packed);
	closep(io_fd);
	*io_fd = take_fd(tmp);
	return 0;
}

int image_convert(int fd, const char *dir, enum image_depth depth, struct cancel *cancel,
		  struct image_found *ret, struct err *err)
{
	auto_fd int in = fcntl(fd, F_DUPFD_CLOEXEC, 3), out = -1;
	auto_json json_t *doc = NULL, *inner = NULL;
	const json_t *is;
	int r;

	*ret = (struct image_found){.fd = -1};
	if (in < 0)
		return err_set(err, -errno, "descriptor: %s", strerror(errno));
	r = look(in, dir, depth, cancel, &doc, &out, err);
	if (r < 0)
		return r;
	(void) snprintf(ret->packed, sizeof(ret->packed), "%s", json_str_at(doc, "packed") ?: "");
	if (ret->packed[0] && depth != IMAGE_TABLES)
		r = unpack(&in, dir, depth, ret->packed, cancel, &inner, &out, err);
	if (r < 0)
		return r;
	is = inner ? inner : doc;
	(void) snprintf(ret->format, sizeof(ret->format), "%s", json_str_at(is, "format") ?: "");
	ret->disk_bytes = (uint64_t) json_int_at(is, "diskBytes", 0);
	if (depth == IMAGE_COPY)
		ret->fd = json_bool_at(is, "plain", false) ? take_fd(in) : take_fd(out);
	return 0;
}
