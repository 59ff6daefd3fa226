/* SPDX-License-Identifier: Apache-2.0 */
#include "base/timeutil.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define US_PER_S   1000000
#define NS_PER_S   1000000000
#define YEAR_10000 INT64_C(253402300800)
#define HOURS_MAX  99999999.0 /* time_human() has 16 bytes */

int64_t time_now_us(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t time_mono_ns(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void put_digits(char *dst, unsigned n, uint64_t v)
{
	for (; n > 0; v /= 10)
		dst[--n] = (char) ('0' + v % 10);
}

/* Day 0 is 1970-01-01. Years begin in March here, so that the day of a leap year is the last. */
static void put_date(char *dst, int64_t day)
{
	int64_t shifted = day + 719468, era = shifted / 146097;
	uint64_t of_era = (uint64_t) (shifted - era * 146097);
	uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * of_year + 2) / 153;

	put_digits(dst + 8, 2, of_year - (153 * month + 2) / 5 + 1);
	month = month < 10 ? month + 3 : month - 9;
	put_digits(dst, 4, (uint64_t) (era * 400) + year + (month <= 2));
	put_digits(dst + 5, 2, month);
}

/* The years that anybody asks for are written without the C library, which takes a lock. */
static char *iso_of_usual(int64_t s, int64_t frac, char *dst)
{
	uint64_t of_day = (uint64_t) (s % 86400);

	memcpy(dst, "0000-00-00T00:00:00.000000Z", 28);
	put_date(dst, s / 86400);
	put_digits(dst + 11, 2, of_day / 3600);
	put_digits(dst + 14, 2, of_day / 60 % 60);
	put_digits(dst + 17, 2, of_day % 60);
	put_digits(dst + 20, 6, (uint64_t) frac);
	return dst;
}

char *time_iso(int64_t us, char *dst)
{
	int64_t frac = us % US_PER_S;
	time_t s = us / US_PER_S;
	struct tm tm;

	if (frac < 0) {
		frac += US_PER_S;
		s--;
	}
	if (s >= 0 && s < YEAR_10000)
		return iso_of_usual(s, frac, dst);
	(void) gmtime_r(&s, &tm); /* every 64-bit count of microseconds has a year that fits */
	(void) snprintf(dst, ISO_MAX, "%04d-%02u-%02uT%02u:%02u:%02u.%06uZ", tm.tm_year + 1900,
			(unsigned) (tm.tm_mon + 1) % 100, (unsigned) tm.tm_mday % 100,
			(unsigned) tm.tm_hour % 100, (unsigned) tm.tm_min % 100,
			(unsigned) tm.tm_sec % 100, (unsigned) frac % US_PER_S);
	return dst;
}

/* Reads exactly @n digits and moves *@s past them. */
static bool digits(const char **s, size_t n, int *ret)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	*ret = v;
	return true;
}

static bool literal(const char **s, char a, char b)
{
	if (**s != a && **s != b)
		return false;
	(*s)++;
	return true;
}

static int month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* "Z", "+hh:mm", "+hhmm" or "+hh" up to the end of the text. */
static bool parse_zone(const char *s, int *ret_seconds)
{
	int sign, h, m = 0;

	if (literal(&s, 'Z', 'z')) {
		*ret_seconds = 0;
		return !*s;
	}
	sign = *s == '-' ? -1 : 1;
	if (!literal(&s, '+', '-') || !digits(&s, 2, &h))
		return false;
	(void) literal(&s, ':', ':');
	if ((s[0] || s[-1] == ':') && !digits(&s, 2, &m))
		return false;
	*ret_seconds = sign * (h * 3600 + m * 60);
	return !*s && h <= 23 && m <= 59;
}

int time_parse_iso(const char *s, int64_t *ret_us)
{
	int year, month, day, h, m, sec, zone, scale = US_PER_S / 10, frac = 0;
	struct tm tm = {0};

	if (!s || !digits(&s, 4, &year) || !literal(&s, '-', '-') || !digits(&s, 2, &month) ||
	    !literal(&s, '-', '-') || !digits(&s, 2, &day) || !literal(&s, 'T', 't') ||
	    !digits(&s, 2, &h) || !literal(&s, ':', ':') || !digits(&s, 2, &m) ||
	    !literal(&s, ':', ':') || !digits(&s, 2, &sec))
		return -EINVAL;
	/* 60 is a leap second; it counts as the first second of the next minute. */
	if (month < 1 || month > 12 || day < 1 || day > month_days(year, month) || h > 23 ||
	    m > 59 || sec > 60)
		return -EINVAL;
	if (literal(&s, '.', ',')) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9'; s++, scale /= 10)
			frac += (*s - '0') * scale; /* below a microsecond: cut */
	}
	if (!parse_zone(s, &zone))
		return -EINVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	*ret_us = ((int64_t) timegm(&tm) + h * 3600 + m * 60 + sec - zone) * US_PER_S + frac;
	return 0;
}

char *time_human(double seconds, char *dst)
{
	uint64_t s;

	if (!(seconds > 0)) /* also not a number */
		seconds = 0;
	if (seconds > HOURS_MAX * 3600)
		seconds = HOURS_MAX * 3600;
	s = (uint64_t) (seconds + 0.5);
	if (seconds < 59.95)
		(void) snprintf(dst, 16, "%.1fs", seconds);
	else if (s < 3600)
		(void) snprintf(dst, 16, "%um%02us", (unsigned) (s / 60), (unsigned) (s % 60));
	else
		(void) snprintf(dst, 16, "%uh%02um", (unsigned) (s / 3600),
				(unsigned) (s % 3600 / 60));
	return dst;
}

char *size_human(uint64_t bytes, char *dst)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double) bytes / 1000;
	size_t i = 0;

	if (bytes < 1000) {
		(void) snprintf(dst, 16, "%u B", (unsigned) bytes);
		return dst;
	}
	/* 999.95 would print as "1000.0". */
	for (; v >= 999.95 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		v /= 1000;
	(void) snprintf(dst, 16, "%.1f %s", v, units[i]);
	return dst;
}
