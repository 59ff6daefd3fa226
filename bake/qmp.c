/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/qmp.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define LINE_MAX_BYTES (1u << 20)

struct qmp {
	int fd;
	struct buf in; /* bytes received and not yet consumed */
};

/* Wait for @events on the socket; the cancel descriptor and the deadline end it early. */
static int wait_fd(struct qmp *q, short events, int64_t deadline_ns, struct cancel *cancel)
{
	struct pollfd p[2] = {{.fd = q->fd, .events = events},
			      {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};

	for (;;) {
		int64_t left = (deadline_ns - time_mono_ns()) / 1000000;
		int r = cancel_check(cancel);

		if (r < 0)
			return r;
		if (left <= 0)
			return -ETIMEDOUT;
		r = poll(p, 2, left > 60000 ? 60000 : (int) left);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0 && p[0].revents)
			return 0;
	}
}

static int send_all(struct qmp *q, const char *s, size_t n, int64_t deadline_ns,
		    struct cancel *cancel)
{
	while (n > 0) {
		ssize_t w = send(q->fd, s, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (w > 0) {
			s += w;
			n -= (size_t) w;
			continue;
		}
		if (w < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		int r = wait_fd(q, POLLOUT, deadline_ns, cancel);

		if (r < 0)
			return r;
	}
	return 0;
}

/* One line, parsed. */
static int read_message(struct qmp *q, int64_t deadline_ns, struct cancel *cancel, json_t **ret,
			struct err *err)
{
	for (;;) {
		char *nl = q->in.len ? memchr(q->in.data, '\n', q->in.len) : NULL;
		int r;

		if (nl) {
			size_t n = (size_t) (nl - q->in.data);

			r = json_parse(q->in.data, n, ret, err);
			memmove(q->in.data, nl + 1, q->in.len - n - 1);
			q->in.len -= n + 1;
			return r < 0 ? err_ctx(err, r, "QMP answer") : 0;
		}
		r = wait_fd(q, POLLIN, deadline_ns, cancel);
		if (r < 0)
			return err_set(err, r, "waiting for the storage daemon: %s", strerror(-r));
		r = buf_reserve(&q->in, 4096);
		if (r < 0)
			return err_set(err, r, "QMP answer over %u bytes", LINE_MAX_BYTES);
		ssize_t got = recv(q->fd, q->in.data + q->in.len, 4096, 0);

		if (got < 0 && errno != EINTR)
			return err_set(err, -errno, "QMP socket: %s", strerror(errno));
		if (got == 0)
			return err_set(err, -EPIPE, "the storage daemon ended unexpectedly");
		if (got > 0)
			q->in.len += (size_t) got;
	}
}

int qmp_call(struct qmp *q, const char *command, json_t *args, int timeout_ms,
	     struct cancel *cancel, json_t **ret, struct err *err)
{
	int64_t deadline = time_mono_ns() + (int64_t) timeout_ms * 1000000;
	auto_json json_t *msg = json_object();
	auto_free char *text = NULL;
	int r;

	if (!msg || json_object_set_new(msg, "execute", json_string(command)) < 0) {
		json_decref(args);
		return err_set(err, -ENOMEM, "QMP command");
	}
	if (args && json_object_set_new(msg, "arguments", args) < 0)
		return err_set(err, -ENOMEM, "QMP command");
	text = json_compact(msg);
	if (!text)
		return err_set(err, -ENOMEM, "QMP command");
	r = send_all(q, text, strlen(text), deadline, cancel);
	if (r == 0)
		r = send_all(q, "\n", 1, deadline, cancel);
	if (r < 0)
		return err_set(err, r, "%s: the storage daemon does not listen: %s", command,
			       strerror(-r));
	for (;;) {
		auto_json json_t *answer = NULL;
		json_t *value;

		r = read_message(q, deadline, cancel, &answer, err);
		if (r < 0)
			return err_ctx(err, r, "%s", command);
		if (json_object_get(answer, "error")) {
			const char *desc = json_str_at(answer, "error.desc");

			return err_set(err, -EIO, "%s: %s", command, desc ? desc : "failed");
		}
		value = json_object_get(answer, "return");
		if (value) {
			if (ret)
				*ret = json_incref(value);
			return 0;
		}
	}
}

int qmp_open(int fd, int timeout_ms, struct cancel *cancel, struct qmp **ret, struct err *err)
{
	auto_json json_t *greeting = NULL;
	struct qmp *q = calloc(1, sizeof(*q));
	int r;

	if (!q) {
		(void) close(fd);
		return err_set(err, -ENOMEM, "QMP client");
	}
	q->fd = fd;
	q->in = BUF_INIT(LINE_MAX_BYTES);
	r = read_message(q, time_mono_ns() + (int64_t) timeout_ms * 1000000, cancel, &greeting,
			 err);
	if (r == 0 && !json_object_get(greeting, "QMP"))
		r = err_set(err, -EPROTO, "the storage daemon's greeting is not QMP");
	if (r == 0)
		r = qmp_call(q, "qmp_capabilities", NULL, timeout_ms, cancel, NULL, err);
	if (r < 0) {
		qmp_close(q);
		return r;
	}
	*ret = q;
	return 0;
}

void qmp_close(struct qmp *q)
{
	if (!q)
		return;
	(void) close(q->fd);
	buf_done(&q->in);
	free(q);
}
