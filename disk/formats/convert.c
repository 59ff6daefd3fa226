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
#define CHECK_MS   60000

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
	const char *const argv[] = {proc_self_exe(),           "image", verb, in_text,
				    out < 0 ? NULL : out_text, NULL};
	int fds[2] = {fcntl(in, F_DUPFD_CLOEXEC, 3), out < 0 ? -1 : fcntl(out, F_DUPFD_CLOEXEC, 3)};
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct proc_spec spec = {.argv = argv,
				 .keep_fds = fds,
				 .n_keep_fds = out < 0 ? 1 : 2,
				 .timeout_ms = out < 0 ? CHECK_MS : 0,
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

/* What it is; one layer of compression is taken off, into *@io_fd. */
static int look(int *io_fd, const char *dir, struct cancel *cancel, struct image_found *ret,
		json_t **ret_doc, struct err *err)
{
	auto_json json_t *doc = NULL, *inner = NULL, *done = NULL;
	auto_fd int tmp = -1;
	const char *packed;
	int r = confined("check", *io_fd, -1, cancel, &doc, err);

	packed = json_str_at(doc, "packed");
	if (r < 0 || !packed) {
		*ret_doc = r < 0 ? NULL : json_incref(doc);
		return r;
	}
	(void) snprintf(ret->packed, sizeof(ret->packed), "%s", packed);
	r = tmp_in(dir, &tmp, err);
	if (r == 0)
		r = confined("unpack", *io_fd, tmp, cancel, &done, err);
	if (r == 0)
		r = confined("check", tmp, -1, cancel, &inner, err);
	if (r == 0 && json_str_at(inner, "packed"))
		r = image_refuse(err, "%s inside %s: one layer is taken off",
				 json_str_at(inner, "packed"), ret->packed);
	if (r < 0)
		return err_ctx(err, r, "in the %s data", ret->packed);
	closep(io_fd);
	*io_fd = take_fd(tmp);
	*ret_doc = json_incref(inner);
	return 0;
}

int image_convert(int fd, const char *dir, bool only_check, struct cancel *cancel,
		  struct image_found *ret, struct err *err)
{
	auto_fd int in = fcntl(fd, F_DUPFD_CLOEXEC, 3), out = -1;
	auto_json json_t *doc = NULL, *copied = NULL;
	int r;

	*ret = (struct image_found){.fd = -1};
	if (in < 0)
		return err_set(err, -errno, "descriptor: %s", strerror(errno));
	r = look(&in, dir, cancel, ret, &doc, err);
	if (r < 0)
		return r;
	(void) snprintf(ret->format, sizeof(ret->format), "%s", json_str_at(doc, "format") ?: "");
	ret->disk_bytes = (uint64_t) json_int_at(doc, "diskBytes", 0);
	if (only_check)
		return 0;
	if (json_bool_at(doc, "plain", false)) {
		ret->fd = take_fd(in);
		return 0;
	}
	r = tmp_in(dir, &out, err);
	if (r == 0)
		r = confined("copy", in, out, cancel, &copied, err);
	if (r == 0)
		ret->fd = take_fd(out);
	return r;
}
