/* SPDX-License-Identifier: Apache-2.0 */
/* One line per event on standard error, key=value; untrusted text is escaped. Library code logs
 * at debug only and returns errors. KILN_LOG=debug|info|warn sets the level (default warn). */
#ifndef KILN_BASE_LOG_H
#define KILN_BASE_LOG_H

#include <stddef.h>

enum log_level { LOG_LVL_DEBUG, LOG_LVL_INFO, LOG_LVL_WARN, LOG_LVL_ERROR };

void log_set_level(enum log_level lvl);
enum log_level log_level_from_env(void);
/** log_event() - @fmt gives the rest of the line, e.g. "id=%s". */
void log_event(enum log_level lvl, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** log_escape() - @n untrusted bytes into @dst[@size], NUL-terminated: control bytes and what is no
 *  UTF-8 as \xNN, backslashes doubled; what does not fit is cut. Return: bytes without the NUL. */
size_t log_escape(const char *src, size_t n, char *dst, size_t size);
#define log_debug(ev, ...) log_event(LOG_LVL_DEBUG, ev, __VA_ARGS__)
#define log_warn(ev, ...)  log_event(LOG_LVL_WARN, ev, __VA_ARGS__)

#endif
