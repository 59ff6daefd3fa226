/* SPDX-License-Identifier: Apache-2.0 */
/* One line per event on standard error, key=value; untrusted text is escaped. Library code logs
 * at debug only and returns errors. KILN_LOG=debug|info|warn sets the level (default warn). */
#ifndef KILN_BASE_LOG_H
#define KILN_BASE_LOG_H

enum log_level { LOG_LVL_DEBUG, LOG_LVL_INFO, LOG_LVL_WARN, LOG_LVL_ERROR };

void log_set_level(enum log_level lvl);
enum log_level log_level_from_env(void);
/** log_event() - @fmt gives the rest of the line, e.g. log_event(LOG_LVL_INFO, "job.leased", "id=%s", id). */
void log_event(enum log_level lvl, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define log_debug(ev, ...) log_event(LOG_LVL_DEBUG, ev, __VA_ARGS__)
#define log_warn(ev, ...)  log_event(LOG_LVL_WARN, ev, __VA_ARGS__)

#endif
