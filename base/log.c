/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "base/utf8.h"

#define LOG_LINE_MAX 4096 /* bytes of a line, newline included; at most PIPE_BUF, so one piece */

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static atomic_int log_level = LOG_LVL_WARN;

void log_set_level(enum log_level lvl)
{
	atomic_store(&log_level, (int) lvl);
}

enum log_level log_level_from_env(void)
{
	const char *s = getenv("KILN_LOG");

	for (size_t i = 0; s && i < ARRAY_SIZE(level_names); i++)
		if (strcmp(s, level_names[i]) == 0)
			return (enum log_level) i;
	return LOG_LVL_WARN;
}

/* Control bytes (terminals obey them, readers of logs split at them), the C1 controls and what is
 * no UTF-8 become \xNN, the backslash is doubled: the escaped text is unambiguous. */
size_t log_escape(const char *src, size_t n, char *dst, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < n;) {
		const unsigned char *p = (const unsigned char *) src + i;
		size_t seq = utf8_seq(p, n - i);
		bool plain = seq > 0 && *p >= 0x20 && *p != 0x7f && *p != '\\' &&
			     !(*p == 0xc2 && p[1] < 0xa0);

		if (plain && len + seq < size) {
			memcpy(dst + len, p, seq);
			len += seq;
			i += seq;
		} else if (!plain && *p == '\\' && len + 2 < size) {
			memcpy(dst + len, "\\\\", 2);
			len += 2;
			i++;
		} else if (!plain && *p != '\\' && len + 4 < size) {
			(void) snprintf(dst + len, 5, "\\x%02x", *p);
			len += 4;
			i++;
		} else {
			break;
		}
	}
	if (size > 0)
		dst[len] = '\0';
	return len;
}

void log_event(enum log_level lvl, const char *event, const char *fmt, ...)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX], when[ISO_MAX];
	int saved = errno, n;
	size_t len, raw;
	va_list ap;

	if ((int) lvl < atomic_load(&log_level))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	raw = n < 0 ? 0 : strlen(text);
	len = (size_t) snprintf(line, 256, "time=%s level=%s event=%.128s ",
				time_iso(time_now_us(), when), level_names[lvl], event);
	len += log_escape(text, raw, line + len, sizeof(line) - len);
	if (line[len - 1] == ' ')
		len--;
	line[len++] = '\n';
	/* One write, so that lines of several processes do not mix. When standard error cannot be
	 * written there is nobody left to tell. */
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
	errno = saved;
}
