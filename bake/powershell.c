/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/powershell.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"

/* ' and U+2018 to U+201B all end a quoted string. */
static bool is_quote(const unsigned char *p, size_t n)
{
	return (n == 1 && *p == '\'') ||
	       (n == 3 && p[0] == 0xe2 && p[1] == 0x80 && p[2] >= 0x98 && p[2] <= 0x9b);
}

int powershell_quote(struct buf *out, const char *s)
{
	const unsigned char *p = (const unsigned char *) s;
	size_t left = strlen(s);

	buf_addch(out, '\'');
	while (left > 0) {
		size_t n = utf8_seq(p, left);

		if (n == 0)
			return -EINVAL;
		if (is_quote(p, n))
			buf_add(out, p, n);
		buf_add(out, p, n);
		p += n;
		left -= n;
	}
	buf_addch(out, '\'');
	return buf_err(out);
}

static uint32_t code_point(const unsigned char *p, size_t n)
{
	static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = p[0] & mask[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

static void add_unit(struct buf *b, uint32_t unit)
{
	buf_addch(b, (char) (unit & 0xff));
	buf_addch(b, (char) (unit >> 8));
}

char *powershell_encode(const char *utf8, int *ret_err)
{
	const unsigned char *p = (const unsigned char *) utf8;
	auto_buf struct buf wide = BUF_INIT(1 << 20);
	size_t left = strlen(utf8);

	*ret_err = -ENOMEM;
	while (left > 0) {
		size_t n = utf8_seq(p, left);
		uint32_t c;

		if (n == 0) {
			*ret_err = -EINVAL;
			return NULL;
		}
		c = code_point(p, n);
		if (c > 0xffff) {
			add_unit(&wide, 0xd800 + ((c - 0x10000) >> 10));
			c = 0xdc00 + ((c - 0x10000) & 0x3ff);
		}
		add_unit(&wide, c);
		p += n;
		left -= n;
	}
	return buf_err(&wide) < 0 ? NULL : base64_encode(wide.data, wide.len);
}

static int set_variable(struct buf *out, const char *name, const char *value)
{
	int r;

	buf_addf(out, "$env:%s = ", name);
	r = powershell_quote(out, value);
	buf_addstr(out, "\r\n");
	return r < 0 ? r : buf_err(out);
}

int powershell_env(const json_t *environment, const char *proxy, struct buf *out)
{
	auto_free char *url = proxy ? strf("http://%s", proxy) : NULL;
	const char *name;
	json_t *v;
	int r = 0;

	if (proxy && !url)
		return -ENOMEM;
	/* The mark that says UTF-8: without it Windows reads the bytes in its own code page. */
	buf_addstr(out, "\xef\xbb\xbf$ProgressPreference = 'SilentlyContinue'\r\n");
	json_object_foreach((json_t *) environment, name, v)
	{
		if (r == 0)
			r = set_variable(out, name, json_string_value(v));
	}
	if (r == 0 && url)
		r = set_variable(out, "http_proxy", url);
	if (r == 0 && url)
		r = set_variable(out, "https_proxy", url);
	/* Services, Windows Update among them, look here and not into the environment. */
	if (proxy)
		buf_addf(out, "& netsh.exe winhttp set proxy proxy-server=%s | Out-Null\r\n",
			 proxy);
	return r < 0 ? r : buf_err(out);
}

/* The wrapper puts back what the environment script may have set for the whole system. */
static const char windows_command[] =
	"$ProgressPreference = 'SilentlyContinue'; . '" POWERSHELL_DIR POWERSHELL_ENV
	"'; try { & '" POWERSHELL_DIR POWERSHELL_SCRIPT "'; $code = $LASTEXITCODE } "
	"finally { if ($env:http_proxy) { & netsh.exe winhttp reset proxy | Out-Null } }; exit "
	"$code";
static const char linux_command[] = "command -v pwsh >/dev/null || { echo 'PowerShell (pwsh) is "
				    "not in the image: install it in "
				    "an earlier step' >&2; exit 127; }; "
				    "exec pwsh -NoLogo -NoProfile -NonInteractive -File \"$1\"";

char **powershell_argv(const char *path)
{
	int unused;
	auto_free char *encoded = path ? NULL : powershell_encode(windows_command, &unused);
	const char *const windows[] = {POWERSHELL_EXE,
				       "-NoLogo",
				       "-NoProfile",
				       "-NonInteractive",
				       "-ExecutionPolicy",
				       "Bypass",
				       "-EncodedCommand",
				       encoded,
				       NULL};
	const char *const linux_[] = {"/bin/sh", "-c", linux_command, "sh", path, NULL};
	auto_strv char **argv = NULL;

	if (!path && !encoded)
		return NULL;
	for (const char *const *a = path ? linux_ : windows; *a; a++)
		if (strv_push(&argv, *a) < 0)
			return NULL;
	return take_ptr(argv);
}
