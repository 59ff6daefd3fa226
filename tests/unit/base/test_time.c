/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include "base/mem.h"
#include "base/timeutil.h"

static int64_t parsed(const char *s)
{
	int64_t us = -1;

	if (time_parse_iso(s, &us) < 0)
		fail_msg("refused: %s", s);
	return us;
}

static void printed(void **state)
{
	char s[ISO_MAX];

	assert_string_equal(time_iso(0, s), "1970-01-01T00:00:00.000000Z");
	assert_string_equal(time_iso(-1, s), "1969-12-31T23:59:59.999999Z");
	assert_string_equal(time_iso(-1000000, s), "1969-12-31T23:59:59.000000Z");
	assert_string_equal(time_iso(1582979696123456, s), "2020-02-29T12:34:56.123456Z");
	assert_string_equal(time_iso(INT64_MAX, s), "294247-01-10T04:00:54.775807Z");
	assert_true(strlen(time_iso(INT64_MIN, s)) < ISO_MAX);
}

static void accepted(void **state)
{
	const int64_t t = 1582979696000000;

	assert_true(parsed("2020-02-29T12:34:56Z") == t);
	assert_true(parsed("2020-02-29t12:34:56z") == t);
	assert_true(parsed("2020-02-29T14:34:56+02:00") == t);
	assert_true(parsed("2020-02-29T14:34:56+0200") == t);
	assert_true(parsed("2020-02-29T14:34:56+02") == t);
	assert_true(parsed("2020-02-29T07:04:56-05:30") == t);
	assert_true(parsed("2020-02-29T12:34:56.5Z") == t + 500000);
	assert_true(parsed("2020-02-29T12:34:56,123456Z") == t + 123456);
	assert_true(parsed("2020-02-29T12:34:56.1234569999Z") == t + 123456);
	assert_true(parsed("2016-12-31T23:59:60Z") == parsed("2017-01-01T00:00:00Z"));
	assert_true(parsed("1969-12-31T23:59:59.25Z") == -750000);
	assert_true(parsed("2000-02-29T00:00:00Z") > 0);
	assert_true(parsed("0001-01-01T00:00:00Z") < 0);
	assert_true(parsed("9999-12-31T23:59:59Z") == 253402300799000000);
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"",
		"now",
		"2020-02-29",
		"2020-02-29T12:34:56",
		"2020-02-29 12:34:56Z",
		"2020-02-30T12:34:56Z",
		"2019-02-29T12:34:56Z",
		"1900-02-29T12:34:56Z",
		"2020-13-01T00:00:00Z",
		"2020-00-01T00:00:00Z",
		"2020-01-00T00:00:00Z",
		"2020-04-31T00:00:00Z",
		"2020-01-01T24:00:00Z",
		"2020-01-01T00:60:00Z",
		"2020-01-01T00:00:61Z",
		"2020-01-01T00:00:00.Z",
		"2020-01-01T00:00:00Zx",
		"2020-01-01T00:00:00+24:00",
		"2020-01-01T00:00:00+01:60",
		"2020-01-01T00:00:00+01:",
		"2020-01-01T00:00:00+1",
		"2020-01-01T00:00:00+01:0",
		"2020-01-01T00:00:00+010",
		"2020-1-01T00:00:00Z",
		"+2020-01-01T00:00:00Z",
		"20200101T000000Z",
	};
	int64_t us = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (time_parse_iso(bad[i], &us) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(time_parse_iso(NULL, &us), -EINVAL);
	assert_int_equal(us, 7);
}

/* Every day from 1890 to 2110 comes back as it went. */
static void there_and_back(void **state)
{
	const int64_t day = 86400000000;

	for (int64_t us = -80 * 365 * day; us < 140 * 365 * day; us += day + 1000001) {
		char s[ISO_MAX];

		if (parsed(time_iso(us, s)) != us)
			fail_msg("%s", s);
	}
}

static void durations(void **state)
{
	char s[16];

	assert_string_equal(time_human(0, s), "0.0s");
	assert_string_equal(time_human(-3, s), "0.0s");
	assert_string_equal(time_human(0.0 / 0.0, s), "0.0s");
	assert_string_equal(time_human(0.44, s), "0.4s");
	assert_string_equal(time_human(12.34, s), "12.3s");
	assert_string_equal(time_human(59.94, s), "59.9s");
	assert_string_equal(time_human(59.96, s), "1m00s");
	assert_string_equal(time_human(245, s), "4m05s");
	assert_string_equal(time_human(3599.4, s), "59m59s");
	assert_string_equal(time_human(3599.6, s), "1h00m");
	assert_string_equal(time_human(3720, s), "1h02m");
	assert_true(strlen(time_human(1e300, s)) < 16);
	assert_true(strlen(time_human(1.0 / 0.0, s)) < 16);
}

static void sizes(void **state)
{
	char s[16];

	assert_string_equal(size_human(0, s), "0 B");
	assert_string_equal(size_human(999, s), "999 B");
	assert_string_equal(size_human(1000, s), "1.0 kB");
	assert_string_equal(size_human(999949, s), "999.9 kB");
	assert_string_equal(size_human(999950, s), "1.0 MB");
	assert_string_equal(size_human(25100000, s), "25.1 MB");
	assert_string_equal(size_human(UINT64_MAX, s), "18.4 EB");
}

static void clocks(void **state)
{
	int64_t a = time_mono_ns();

	assert_true(time_mono_ns() >= a);
	assert_true(time_now_us() > parsed("2024-01-01T00:00:00Z"));
}

/* Every day of some centuries, and the seconds around its ends, as the C library has them. */
static void iso_dates(void **state)
{
	(void) state;
	for (int64_t day = -800; day < 2932898; day += day < 60000 || day > 2932000 ? 1 : 97) {
		const int64_t seconds[] = {day * 86400, day * 86400 + 86399, day * 86400 + 43261};

		for (size_t i = 0; i < 3; i++) {
			char got[ISO_MAX], want[64];
			time_t t = seconds[i];
			struct tm tm;

			assert_non_null(gmtime_r(&t, &tm));
			assert_int_not_equal(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm),
					     0);
			(void) time_iso(seconds[i] * 1000000 + 70809, got);
			assert_memory_equal(got, want, strlen(want));
			assert_string_equal(got + strlen(want), ".070809Z");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(printed),   cmocka_unit_test(accepted),
		cmocka_unit_test(refused),   cmocka_unit_test(there_and_back),
		cmocka_unit_test(durations), cmocka_unit_test(sizes),
		cmocka_unit_test(clocks),    cmocka_unit_test(iso_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
