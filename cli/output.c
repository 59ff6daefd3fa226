/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <sys/ioctl.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "base/utf8.h"
#include "cli/output.h"

#define COLUMNS_DEFAULT 80
#define COLUMNS_MAX     500

const char *cli_sgr(const struct cli *cli, enum cli_style style)
{
	static const char *const codes[] = {
		[CLI_PLAIN] = "\033[0m", [CLI_BOLD] = "\033[1m",   [CLI_DIM] = "\033[2m",
		[CLI_RED] = "\033[31m",  [CLI_GREEN] = "\033[32m", [CLI_YELLOW] = "\033[33m",
		[CLI_CYAN] = "\033[36m",
	};

	return cli->color ? codes[style] : "";
}

unsigned cli_columns(int fd)
{
	struct winsize w;

	if (ioctl(fd, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
		return COLUMNS_DEFAULT;
	return w.ws_col > COLUMNS_MAX ? COLUMNS_MAX : w.ws_col;
}

/* Wide characters of East Asian scripts and pictures; enough for names and messages. */
static bool is_wide(uint32_t c)
{
	return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
	       (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
	       (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
	       (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
	       (c >= 0x20000 && c <= 0x3fffd);
}

static bool is_combining(uint32_t c)
{
	return (c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0xfe00 && c <= 0xfe0f);
}

static uint32_t utf8_point(const unsigned char *p, size_t n)
{
	static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = p[0] & mask[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

size_t cli_width(const char *text)
{
	const unsigned char *p = (const unsigned char *) text;
	size_t left = strlen(text), width = 0;

	while (left > 0) {
		size_t n = utf8_seq(p, left);

		if (left >= 2 && p[0] == 0x1b && p[1] == '[') {
			n = 2;
			while (n < left && (p[n] < 0x40 || p[n] > 0x7e))
				n++;
			n += n < left;
		} else if (n == 0) {
			n = 1;
			width++;
		} else {
			uint32_t c = utf8_point(p, n);

			width += is_combining(c) ? 0 : is_wide(c) ? 2 : 1;
		}
		p += n;
		left -= n;
	}
	return width;
}

void cli_print_safe(FILE *f, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *) text;

	while (n > 0) {
		size_t k = utf8_seq(p, n);
		uint32_t c = k ? utf8_point(p, k) : 0;

		if (k == 0 || (c < 0x20 && c != '\t') || c == 0x7f || (c >= 0x80 && c < 0xa0)) {
			(void) fprintf(f, "\\x%02x", p[0]);
			for (size_t i = 1; i < k; i++)
				(void) fprintf(f, "\\x%02x", p[i]);
			k = k ? k : 1;
		} else {
			(void) fwrite(p, 1, k, f);
		}
		p += k;
		n -= k;
	}
}

/* ---- Tables --------------------------------------------------------------------------------- */

struct cli_table {
	size_t n_cols;
	size_t *width;
	bool *right;
	char ***rows; /* owned vectors of owned cells; rows[0] are the heads */
	size_t n_rows, room;
	int err;
};

void cli_table_free(struct cli_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_rows; i++)
		strv_free(t->rows[i]);
	free(t->rows);
	free(t->width);
	free(t->right);
	free(t);
}

void cli_table_add(struct cli_table *t, const char *const *cells)
{
	char **row = NULL;

	if (!t || t->err < 0)
		return;
	for (size_t i = 0; i < t->n_cols && t->err == 0; i++) {
		const char *c = cells[i] && *cells[i] ? cells[i] : "-";
		size_t w = cli_width(c);

		t->err = strv_push(&row, c);
		if (w > t->width[i])
			t->width[i] = w;
	}
	if (t->err == 0 && t->n_rows == t->room) {
		size_t room = t->room ? t->room * 2 : 16;
		char ***rows = reallocarray(t->rows, room, sizeof(*rows));

		if (rows) {
			t->rows = rows;
			t->room = room;
		} else {
			t->err = -ENOMEM;
		}
	}
	if (t->err == 0)
		t->rows[t->n_rows++] = row;
	else
		strv_free(row);
}

struct cli_table *cli_table_new(const char *const *heads)
{
	struct cli_table *t = calloc(1, sizeof(*t));
	auto_free const char **names = NULL;

	if (!t)
		return NULL;
	while (t->n_cols == 0 || heads[t->n_cols])
		t->n_cols++;
	t->width = calloc(t->n_cols, sizeof(*t->width));
	t->right = calloc(t->n_cols, sizeof(*t->right));
	names = calloc(t->n_cols, sizeof(*names));
	if (!t->width || !t->right || !names) {
		cli_table_free(t);
		return NULL;
	}
	for (size_t i = 0; i < t->n_cols; i++) {
		t->right[i] = heads[i][0] == '>';
		names[i] = heads[i] + t->right[i];
	}
	cli_table_add(t, names);
	return t;
}

static void table_row(const struct cli_table *t, char *const *cells)
{
	for (size_t i = 0; i < t->n_cols; i++) {
		size_t pad = t->width[i] - cli_width(cells[i]);
		bool last = i + 1 == t->n_cols;

		if (t->right[i])
			(void) printf("%*s", (int) pad, "");
		cli_print_safe(stdout, cells[i], strlen(cells[i]));
		if (!last)
			(void) printf("%*s", (int) (t->right[i] ? 2 : pad + 2), "");
	}
}

int cli_table_print(const struct cli *cli, struct cli_table *t)
{
	bool color = cli->color && isatty(STDOUT_FILENO);
	int r;

	if (!t)
		return -ENOMEM;
	r = t->err;
	for (size_t i = 0; i < t->n_rows && r == 0; i++) {
		if (i == 0 && color)
			(void) printf("%s", cli_sgr(cli, CLI_BOLD));
		table_row(t, t->rows[i]);
		(void) printf("%s\n", i == 0 && color ? cli_sgr(cli, CLI_PLAIN) : "");
	}
	cli_table_free(t);
	return r;
}

/* ---- Progress ------------------------------------------------------------------------------- */

char *cli_bar(char *dst, unsigned width, uint64_t done, uint64_t total, double rate)
{
	char bar[64], a[16], b[16], c[16], eta[16];
	unsigned cells = width < sizeof(bar) - 1 ? width : (unsigned) sizeof(bar) - 1;
	double part;

	size_human(done, a);
	size_human((uint64_t) rate, c);
	if (total == 0) {
		(void) snprintf(dst, CLI_BAR_MAX, rate > 0 ? "%s  %s/s" : "%s", a, c);
		return dst;
	}
	part = done >= total ? 1 : (double) done / (double) total;
	for (unsigned i = 0; i < cells; i++)
		bar[i] = (i + 0.5) / cells < part ? '#' : '.';
	bar[cells] = '\0';
	size_human(total, b);
	if (rate > 0 && done < total) {
		time_human((double) (total - done) / rate, eta);
		(void) snprintf(dst, CLI_BAR_MAX, "[%s] %3d%%  %s/%s  %s/s  %s left", bar,
				(int) (part * 100), a, b, c, eta);
	} else if (rate > 0) {
		(void) snprintf(dst, CLI_BAR_MAX, "[%s] %3.0f%%  %s  %s/s", bar, part * 100, b, c);
	} else {
		(void) snprintf(dst, CLI_BAR_MAX, "[%s] %3d%%  %s/%s", bar, (int) (part * 100), a,
				b);
	}
	return dst;
}

/* ---- Messages ------------------------------------------------------------------------------- */

void cli_note(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	if (cli->json)
		return;
	va_start(ap, fmt);
	(void) vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void) fputc('\n', stderr);
}

json_t *cli_error_json(const struct err *err)
{
	static const struct {
		int code;
		const char *arm;
	} codes[] = {
		{-EINVAL, "BadRequest"},  {-EACCES, "AuthorizationFailed"},
		{-EPERM, "Forbidden"},    {-ENOENT, "NotFound"},
		{-EBUSY, "Conflict"},     {-EEXIST, "Conflict"},
		{-ECANCELED, "Canceled"}, {-ETIME, "Timeout"},
		{-EPROTO, "Refused"},     {-ESTALE, "PreconditionFailed"},
	};
	const char *code = err->arm ? err->arm : "Failed";

	for (size_t i = 0; !err->arm && i < ARRAY_SIZE(codes); i++)
		if (codes[i].code == err->code)
			code = codes[i].arm;
	return json_pack("{s:{s:s, s:s, s:s*, s:s*}}", "error", "code", code, "message",
			 err_str(err), "target", err->target, "hint", err->hint);
}

int cli_status_of(int code)
{
	switch (code) {
	case -ECANCELED:
		return EXIT_CANCELLED;
	case -EINVAL:
	case -EACCES:
	case -EPERM:
	case -EBUSY:
	case -EEXIST:
	case -ESTALE:
	case -EPROTO:
		return EXIT_REFUSED;
	default:
		return EXIT_FAILED;
	}
}

int cli_status_of_http(int status)
{
	if (status >= 200 && status < 300)
		return EXIT_DONE;
	if (status == 400 || status == 403 || status == 409 || status == 412)
		return EXIT_REFUSED;
	return EXIT_FAILED;
}

int cli_print_json(const json_t *j)
{
	auto_free char *text = json_pretty(j);

	if (!text)
		return -ENOMEM;
	return puts(text) < 0 || fflush(stdout) != 0 ? -EIO : 0;
}

int cli_fail(struct cli *cli, const struct err *err)
{
	int status = cli_status_of(err->code);

	if (cli->json) {
		auto_json json_t *j = cli_error_json(err);

		(void) cli_print_json(j);
		return status;
	}
	(void) fprintf(stderr, "%skiln:%s ", cli_sgr(cli, CLI_RED), cli_sgr(cli, CLI_PLAIN));
	cli_print_safe(stderr, err_str(err), strlen(err_str(err)));
	(void) fputc('\n', stderr);
	if (err->hint) {
		(void) fprintf(stderr, "%shint:%s ", cli_sgr(cli, CLI_YELLOW),
			       cli_sgr(cli, CLI_PLAIN));
		cli_print_safe(stderr, err->hint, strlen(err->hint));
		(void) fputc('\n', stderr);
	}
	return status;
}

int cli_usage(struct cli *cli, const char *fmt, ...)
{
	struct err e = ERR_INIT;
	auto_free char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = vstrf(fmt, ap);
	va_end(ap);
	err_set(&e, -EINVAL, "%s", text ? text : "bad command line");
	err_arm(&e, "UsageError");
	(void) cli_fail(cli, &e);
	err_done(&e);
	return EXIT_USAGE;
}
