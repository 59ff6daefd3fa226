/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bake/powershell.h"
#include "base/hash.h"
#include "base/mem.h"

static void quotes(const char *text, const char *want)
{
	auto_buf struct buf b = BUF_INIT(4096);

	assert_int_equal(powershell_quote(&b, text), 0);
	assert_string_equal(buf_str(&b), want);
}

static void quoting(void **state)
{
	auto_buf struct buf b = BUF_INIT(4096);

	quotes("", "''");
	quotes("a b", "'a b'");
	quotes("$x `n \"", "'$x `n \"'");
	quotes("it's", "'it''s'");
	quotes("'; evil; '", "'''; evil; '''");
	/* The curly ones end a string too. */
	quotes("\xe2\x80\x98\xe2\x80\x99\xe2\x80\x9a\xe2\x80\x9b",
	       "'\xe2\x80\x98\xe2\x80\x98\xe2\x80\x99\xe2\x80\x99\xe2\x80\x9a\xe2\x80\x9a"
	       "\xe2\x80\x9b\xe2\x80\x9b'");
	quotes("\xe2\x80\x9c", "'\xe2\x80\x9c'");
	assert_int_equal(powershell_quote(&b, "\xff"), -EINVAL);
}

static void encodes(const char *text, const char *want)
{
	int r;
	auto_free char *got = powershell_encode(text, &r);

	assert_non_null(got);
	assert_string_equal(got, want);
}

static void encoding(void **state)
{
	int r;

	encodes("", "");
	encodes("dir", "ZABpAHIA");
	encodes("\xc3\xa9", "6QA=");
	encodes("\xf0\x9f\x98\x80", "PdgA3g=="); /* a pair of surrogates */
	assert_null(powershell_encode("a\xc3", &r));
	assert_int_equal(r, -EINVAL);
}

static void environment(void **state)
{
	auto_json json_t *env = json_pack("{s:s}", "GREETING", "it's\nme");
	auto_buf struct buf plain = BUF_INIT(4096), net = BUF_INIT(4096);

	assert_int_equal(powershell_env(env, NULL, &plain), 0);
	assert_non_null(strstr(buf_str(&plain), "\r\n$env:GREETING = 'it''s\nme'\r\n"));
	assert_null(strstr(buf_str(&plain), "proxy"));
	assert_int_equal(powershell_env(NULL, "10.0.2.100:3128", &net), 0);
	assert_non_null(strstr(buf_str(&net), "$env:https_proxy = 'http://10.0.2.100:3128'"));
	assert_non_null(strstr(buf_str(&net), "winhttp set proxy proxy-server=10.0.2.100:3128 |"));
}

static void arguments(void **state)
{
	auto_strv char **windows = powershell_argv(NULL), **other = powershell_argv("/run/x.ps1");
	size_t n = strv_len(windows), bytes;
	auto_free char *wide = NULL;
	char text[1024];

	assert_string_equal(windows[0], POWERSHELL_EXE);
	assert_string_equal(windows[n - 2], "-EncodedCommand");
	wide = base64_decode(windows[n - 1], &bytes);
	assert_non_null(wide);
	assert_true(bytes / 2 < sizeof(text));
	for (size_t i = 0; i < bytes; i += 2) {
		assert_int_equal(wide[i + 1], 0);
		text[i / 2] = wide[i];
	}
	text[bytes / 2] = '\0';
	assert_non_null(strstr(text,
			       ". 'C:\\Windows\\Temp\\kiln-env.ps1'; try { & "
			       "'C:\\Windows\\Temp\\kiln-script.ps1'; $code = $LASTEXITCODE }"));
	assert_string_equal(other[0], "/bin/sh");
	assert_string_equal(other[strv_len(other) - 1], "/run/x.ps1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quoting),
		cmocka_unit_test(encoding),
		cmocka_unit_test(environment),
		cmocka_unit_test(arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
