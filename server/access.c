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

#define KEPT             4 /* files that were put aside */
#define LINE_MAX_BYTES   16384
#define LINE_USUAL_BYTES 500
#define TEXT_MAX         2048  /* bytes of one value; longer ones are cut */
#define PENDING_BYTES    32768 /* lines that are kept together at most */
#define PENDING_MS       50    /* and for how long */

struct access_log {
	char *path; /* NULL: standard error */
	bool off;
	uint64_t max_bytes, bytes;
	int fd;
	bool ending;
	pthread_mutex_t mutex; /* guards bytes, fd, pending, n_pending, ending and the files */
	pthread_cond_t some;   /* lines wait, or the end has come */
	struct buf pending;    /* lines that are not written yet */
	unsigned n_pending;
	_Atomic uint64_t lost;
	bool has_thread;
	pthread_t thread;
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

/* Lines leave together: a system call for each would be a good part of what a request costs. */
static void flush(struct access_log *l)
{
	const size_t n = l->pending.len;

	if (n == 0)
		return;
	if (write(l->path ? l->fd : STDERR_FILENO, l->pending.data, n) != (ssize_t) n)
		atomic_fetch_add(&l->lost, l->n_pending);
	l->bytes += n;
	l->n_pending = 0;
	buf_clear(&l->pending);
}

static void *flush_now_and_then(void *arg)
{
	struct access_log *l = arg;

	(void) pthread_mutex_lock(&l->mutex);
	while (!l->ending) {
		struct timespec until;

		if (l->pending.len == 0)
			(void) pthread_cond_wait(&l->some, &l->mutex);
		flush(l);
		(void) clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += PENDING_MS * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		while (!l->ending &&
		       pthread_cond_timedwait(&l->some, &l->mutex, &until) != ETIMEDOUT)
			continue;
	}
	(void) pthread_mutex_unlock(&l->mutex);
	return NULL;
}

static void prepare(struct access_log *l)
{
	pthread_condattr_t attr;

	(void) pthread_mutex_init(&l->mutex, NULL); /* neither fails on Linux */
	(void) pthread_condattr_init(&attr);
	(void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void) pthread_cond_init(&l->some, &attr);
	(void) pthread_condattr_destroy(&attr);
	l->pending = BUF_INIT(PENDING_BYTES + LINE_MAX_BYTES);
}

static int start(struct access_log *l)
{
	int r = l->off ? 0 : pthread_create(&l->thread, NULL, flush_now_and_then, l);

	l->has_thread = !l->off && r == 0;
	return -r;
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
	prepare(l);
	l->fd = -1;
	l->max_bytes = max_bytes;
	l->off = str_eq(path, "off");
	if (!l->off && !str_eq(path, "stderr")) {
		l->path = strdup(path);
		r = l->path ? file_mkdir_p(dir, 0750, err) : -ENOMEM;
		if (r >= 0)
			r = reopen(l);
	}
	if (r >= 0)
		r = start(l);
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
	if (l->has_thread) {
		(void) pthread_mutex_lock(&l->mutex);
		l->ending = true;
		(void) pthread_cond_signal(&l->some);
		(void) pthread_mutex_unlock(&l->mutex);
		(void) pthread_join(l->thread, NULL);
		flush(l);
	}
	closep(&l->fd);
	(void) pthread_cond_destroy(&l->some);
	(void) pthread_mutex_destroy(&l->mutex);
	buf_done(&l->pending);
	free(l->path);
	free(l);
}

uint64_t access_lost(struct access_log *l)
{
	return atomic_load(&l->lost);
}

/* ---- Lines -------------------------------------------------------------------------------- */

static void add_escape(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char code[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
	const char plain[] = {'\\', (char) c};

	if (c == '"' || c == '\\')
		(void) buf_add(b, plain, sizeof(plain));
	else
		(void) buf_add(b, code, sizeof(code));
}

static void add_json(struct buf *b, const char *s, size_t n)
{
	size_t from = 0, i = 0;

	if (n > TEXT_MAX)
		n = TEXT_MAX;
	while (i < n) {
		unsigned char c = (unsigned char) s[i];
		size_t step = c < 0x80 ? 1 : utf8_seq((const unsigned char *) s + i, n - i);

		if (step > 1 || (step == 1 && c >= 0x20 && c < 0x7f && c != '"' && c != '\\')) {
			i += step;
			continue;
		}
		(void) buf_add(b, s + from, i - from);
		add_escape(b, c);
		from = ++i;
	}
	(void) buf_add(b, s + from, i - from);
}

static void add_name(struct buf *b, const char *key)
{
	(void) buf_add(b, ",\"", 2);
	(void) buf_addstr(b, key);
	(void) buf_add(b, "\":", 2);
}

static void add_text(struct buf *b, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	add_name(b, key);
	(void) buf_addch(b, '"');
	add_json(b, value, strlen(value));
	(void) buf_addch(b, '"');
}

static void add_number(struct buf *b, const char *key, uint64_t v)
{
	char text[24];
	size_t at = sizeof(text);

	do
		text[--at] = (char) ('0' + v % 10);
	while (v /= 10);
	add_name(b, key);
	(void) buf_add(b, text + at, sizeof(text) - at);
}

/* Milliseconds with three places. */
static void add_ms(struct buf *b, int64_t ns)
{
	uint64_t us = ns > 0 ? ((uint64_t) ns + 500) / 1000 : 0;
	const char places[] = {'.', (char) ('0' + us / 100 % 10), (char) ('0' + us / 10 % 10),
			       (char) ('0' + us % 10)};

	add_number(b, "ms", us / 1000);
	(void) buf_add(b, places, sizeof(places));
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

	(void) buf_addstr(b, "{\"time\":\"");
	(void) buf_addstr(b, time_iso(time_now_us(), iso));
	(void) buf_addch(b, '"');
	add_text(b, "peer", e->peer);
	add_text(b, "principal", e->principal);
	add_text(b, "method", e->method);
	if (e->target)
		add_target(b, e->target);
	add_number(b, "status", (uint64_t) e->status);
	add_ms(b, e->ns);
	add_number(b, "in", e->bytes_in);
	add_number(b, "out", e->bytes_out);
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

static void keep_line(struct access_log *l, const char *text, size_t n)
{
	(void) pthread_mutex_lock(&l->mutex);
	if (l->path && l->bytes + l->pending.len + n > l->max_bytes &&
	    l->bytes + l->pending.len > 0) {
		flush(l);
		(void) put_aside(l); /* else the file grows on, or what follows is lost */
	}
	if (l->pending.len == 0)
		(void) pthread_cond_signal(&l->some);
	if (buf_add(&l->pending, text, n) < 0) {
		atomic_fetch_add(&l->lost, l->n_pending + 1); /* memory has run out */
		l->n_pending = 0;
		buf_clear(&l->pending);
	} else {
		l->n_pending++;
	}
	if (l->pending.len >= PENDING_BYTES)
		flush(l);
	(void) pthread_mutex_unlock(&l->mutex);
}

void access_write(struct access_log *l, const struct access_entry *e)
{
	auto_buf struct buf b = BUF_INIT(LINE_MAX_BYTES);

	if (l->off)
		return;
	(void) buf_reserve(&b, LINE_USUAL_BYTES);
	format(&b, e);
	if (buf_err(&b) < 0)
		atomic_fetch_add(&l->lost, 1);
	else
		keep_line(l, b.data, b.len);
}
