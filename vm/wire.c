/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/internal.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/mem.h"

void wire_init(struct wire *w, int fd)
{
	*w = (struct wire){.fd = fd, .in = BUF_INIT(VM_WIRE_MAX)};
}

void wire_done(struct wire *w)
{
	closep(&w->fd);
	w->fd = -1;
	buf_done(&w->in);
}

int wire_send(int fd, const json_t *msg, bool now)
{
	auto_free char *line = json_compact(msg);
	size_t n, done = 0;

	if (!line)
		return -ENOMEM;
	n = strlen(line);
	line[n++] = '\n'; /* in place of the NUL: the bytes are counted from here on */
	while (done < n) {
		ssize_t r =
			send(fd, line + done, n - done, MSG_NOSIGNAL | (now ? MSG_DONTWAIT : 0));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t) r;
	}
	return 0;
}

int wire_next(struct wire *w, json_t **ret, struct err *err)
{
	const char *nl = NULL;
	size_t n;
	int r;

	if (w->in.len > w->scanned)
		nl = memchr(w->in.data + w->scanned, '\n', w->in.len - w->scanned);
	if (!nl) {
		w->scanned = w->in.len;
		return 0;
	}
	n = (size_t) (nl - w->in.data);
	r = json_parse(w->in.data, n, ret, err);
	w->in.len -= n + 1;
	memmove(w->in.data, w->in.data + n + 1, w->in.len);
	w->scanned = 0;
	return r < 0 ? r : 1;
}

int wire_fill(struct wire *w)
{
	ssize_t n;
	int r = buf_reserve(&w->in, 65536);

	if (r < 0)
		return r;
	do
		n = recv(w->fd, w->in.data + w->in.len, 65536, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	w->in.len += (size_t) n;
	return 1;
}

/* Milliseconds for poll(2), rounded up; -1 = no end. */
static int poll_ms(int64_t deadline_ns)
{
	int64_t left;

	if (deadline_ns == 0)
		return -1;
	left = deadline_ns - time_mono_ns();
	if (left <= 0)
		return 0;
	left = (left + 999999) / 1000000;
	return left > 1000000 ? 1000000 : (int) left;
}

int wire_recv(struct wire *w, int64_t deadline_ns, struct cancel *cancel, json_t **ret,
	      struct err *err)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = w->fd, .events = POLLIN},
				      {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
		int r = wire_next(w, ret, err);

		if (r != 0)
			return r < 0 ? r : 0;
		r = cancel_check(cancel);
		if (r < 0)
			return err_set(err, r, "cancelled");
		r = poll(p, 2, poll_ms(deadline_ns));
		if (r < 0 && errno != EINTR)
			return err_set(err, -errno, "poll: %s", strerrordesc_np(errno));
		if (r == 0 && deadline_ns != 0 && time_mono_ns() >= deadline_ns)
			return err_set(err, -ETIME, "no answer in time");
		if (r > 0 && p[0].revents) {
			r = wire_fill(w);
			if (r < 0)
				return err_set(err, r, "connection lost: %s", strerrordesc_np(-r));
		}
	}
}

int wire_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_fd int fd = -1;
	size_t n = strlen(path);

	if (n > VM_SOCKET_MAX)
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *) &a, sizeof(a)) < 0)
		return -errno;
	*ret_fd = take_fd(fd);
	return 0;
}

json_t *wire_error(const struct err *err)
{
	json_t *j = json_pack("{s:i, s:s}", "code", err->code < 0 ? err->code : -EIO, "message",
			      err_str(err));

	if (j && err->hint)
		(void) json_object_set_new(j, "hint", json_string(err->hint));
	return j;
}

int wire_to_err(const json_t *error, struct err *err)
{
	int64_t code = json_int_at(error, "code", -EIO);
	const char *msg = json_str_at(error, "message"), *hint = json_str_at(error, "hint");

	if (code >= 0 || code < -4095)
		code = -EIO;
	err_set(err, (int) code, "%s", msg ? msg : "failed without a message");
	if (hint)
		err_hint(err, "%s", hint);
	return (int) code;
}
