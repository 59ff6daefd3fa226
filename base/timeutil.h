/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_BASE_TIMEUTIL_H
#define KILN_BASE_TIMEUTIL_H

#include <stdint.h>

#define ISO_MAX 40 /* bytes that time_iso() needs */

/** time_now_us() - wall clock, microseconds since 1970 UTC. Never decides order. */
int64_t time_now_us(void);
/** time_mono_ns() - monotonic clock, nanoseconds. */
int64_t time_mono_ns(void);
/** time_iso() - "2026-11-22T10:30:00.123456Z" into @dst[ISO_MAX]; returns @dst. */
char *time_iso(int64_t us, char *dst);
/** time_parse_iso() - ISO 8601 with Z or offset, fraction optional. Return 0 or -EINVAL. */
int time_parse_iso(const char *s, int64_t *ret_us);
/** time_human() - "0.4s", "12.3s", "4m05s", "1h02m" into @dst[16]; returns @dst. */
char *time_human(double seconds, char *dst);
/** size_human() - "25.1 MB" (powers of 1000) into @dst[16]; returns @dst. */
char *size_human(uint64_t bytes, char *dst);

#endif
