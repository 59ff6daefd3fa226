/* SPDX-License-Identifier: Apache-2.0 */
#include "server/access.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "base/utf8.h"

#define KEPT           4 /* files that were put aside */
#define LINE_MAX_BYTES 16384
#define TEXT_MAX       2048 /* bytes of one value; longer ones are cut */

struct access_log {
	char *path; /* NULL: standard error */
	bool off;
	uint64_t max_bytes, bytes;
	int fd;
	pthread_mutex_t mutex; /* guards bytes, fd and the files */
	_Atomic uint64_t lost;
};

static int reopen(struct access_log *l)
{
	struct stat st;

	closep(&l->fd);
	l->fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return err_errno();
	l->bytes = (uint64_t) st.st_size;
	return 0;
}

int access_open(const char *path, uint64_t max_bytes, struct access_log **ret, struct err *err)
{
	struct access_log *l = calloc(1, sizeof(*l));
	auto_free char *dir = path_dirname(path);
	int r = 0;

	if (!l || !dir) {
		free(l);
		return err_set(err, -ENOMEM, "access log");
	}
	l->fd = -1;
	l->max_bytes = max_bytes;
	(void) pthread_mutex_init(&l->mutex, NULL);
	l->off = str_eq(path, "off");
	if (!l->off && !str_eq(path, "stderr")) {
		l->path = strdup(path);
		r = l->path ? file_mkdir_p(dir, 0750, err) : -ENOMEM;
		if (r >= 0)
			r = reopen(l);
	}
	if (r < 0) {
		access_close(l);
		return err_set(err, r, "access log %s: %s", path, strerrordesc_np(-r));
	}
	*ret = l;
	return 0;
}

void access_close(struct access_log *l)
{
	if (!l)
		return;
	closep(&l->fd);
	(void) pthread_mutex_destroy(&l->mutex);
	free(l->path);
	free(l);
}

uint64_t access_lost(struct access_log *l)
{
	return atomic_load(&l->lost);
}

/* ---- Lines -------------------------------------------------------------------------------- */

static void add_json(struct buf *b, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	if (n > TEXT_MAX)
		n = TEXT_MAX;
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char) s[i];
		size_t step = utf8_seq((const unsigned char *) s + i, n - i);

		if (step > 1) {
			(void) buf_add(b, s + i, step);
			i += step;
			continue;
		}
		if (c == '"' || c == '\\') {
			(void) buf_addch(b, '\\');
			(void) buf_addch(b, (char) c);
		} else if (c < 0x20 || c >= 0x7f) {
			(void) buf_addstr(b, "\\u00");
			(void) buf_addch(b, hex[c >> 4]);
			(void) buf_addch(b, hex[c & 15]);
		} else {
			(void) buf_addch(b, (char) c);
		}
		i++;
	}
}

static void add_text(struct buf *b, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	(void) buf_addf(b, ",\"%s\":\"", key);
	add_json(b, value, strlen(value));
	(void) buf_addch(b, '"');
}

/* "/a/b?sig=...&se=..." is logged as path "/a/b" and options "sig,se". */
static void add_target(struct buf *b, const char *target)
{
	size_t n = strcspn(target, "?");
	const char *q = target + n;

	(void) buf_addstr(b, ",\"path\":\"");
	add_json(b, target, n);
	(void) buf_addch(b, '"');
	if (!*q || !q[1])
		return;
	(void) buf_addstr(b, ",\"query\":\"");
	while (*q) {
		q++; /* the question mark, or an ampersand */
		add_json(b, q, strcspn(q, "=&"));
		q += strcspn(q, "&");
		if (*q)
			(void) buf_addch(b, ',');
	}
	(void) buf_addch(b, '"');
}

static void format(struct buf *b, const struct access_entry *e)
{
	char iso[ISO_MAX];

	(void) buf_addf(b, "{\"time\":\"%s\"", time_iso(time_now_us(), iso));
	add_text(b, "peer", e->peer);
	add_text(b, "principal", e->principal);
	add_text(b, "method", e->method);
	if (e->target)
		add_target(b, e->target);
	(void) buf_addf(b, ",\"status\":%d,\"ms\":%.3f,\"in\":%llu,\"out\":%llu", e->status,
			(double) e->ns / 1e6, (unsigned long long) e->bytes_in,
			(unsigned long long) e->bytes_out);
	add_text(b, "requestId", e->request_id);
	add_text(b, "correlationId", e->correlation_id);
	add_text(b, "operationId", e->operation_id);
	add_text(b, "detail", e->detail);
	(void) buf_addstr(b, "}\n");
}

/* ---- Files -------------------------------------------------------------------------------- */

static int put_aside(struct access_log *l)
{
	for (unsigned i = KEPT; i > 0; i--) {
		auto_free char *to = strf("%s.%u", l->path, i);
		auto_free char *from = i > 1 ? strf("%s.%u", l->path, i - 1) : strdup(l->path);

		if (!to || !from)
			return -ENOMEM;
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return reopen(l);
}

static void write_line(struct access_log *l, const char *text, size_t n)
{
	bool ok;

	(void) pthread_mutex_lock(&l->mutex);
	if (l->path && l->bytes + n > l->max_bytes && l->bytes > 0)
		(void) put_aside(l); /* else the file grows on, or what follows is lost */
	ok = write(l->path ? l->fd : STDERR_FILENO, text, n) == (ssize_t) n;
	l->bytes += n;
	(void) pthread_mutex_unlock(&l->mutex);
	if (!ok)
		atomic_fetch_add(&l->lost, 1);
}

void access_write(struct access_log *l, const struct access_entry *e)
{
	auto_buf struct buf b = BUF_INIT(LINE_MAX_BYTES);

	if (l->off)
		return;
	(void) buf_reserve(&b, 512);
	format(&b, e);
	if (buf_err(&b) < 0)
		atomic_fetch_add(&l->lost, 1);
	else
		write_line(l, b.data, b.len);
}
