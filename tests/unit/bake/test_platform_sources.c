/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bake/platform_internal.h"
#include "base/file.h"
#include "base/mem.h"

#define DEB822                                                                                     \
	"# a comment\n"                                                                            \
	"Types: deb deb-src\n"                                                                     \
	"URIs: https://user:secret@mirror.example/debian/\n"                                       \
	"Suites: bookworm bookworm-updates\n"                                                      \
	"# inside\n"                                                                               \
	"Components: main\n"                                                                       \
	" contrib\n"                                                                               \
	"Signed-By:\n"                                                                             \
	" -----BEGIN PGP PUBLIC KEY BLOCK-----\n"                                                  \
	" .\n"                                                                                     \
	" abc\n"                                                                                   \
	"\n"                                                                                       \
	"Types: deb\n"                                                                             \
	"Enabled: no\n"                                                                            \
	"URIs: http://off.example/debian\n"                                                        \
	"Suites: bookworm\n"                                                                       \
	"\n"                                                                                       \
	"Types: deb\n"                                                                             \
	"URIs: http://arm.example/debian\n"                                                        \
	"Suites: bookworm\n"                                                                       \
	"Architectures: arm64\n"

static void deb822(void **state)
{
	struct apt_sources s = {0};
	auto_json json_t *texts = NULL, *hosts = NULL;
	auto_buf struct buf lines = BUF_INIT(4096);

	assert_int_equal(apt_sources_parse(DEB822, "test", &s, NULL), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(strv_len(s.v[0].suites), 2);
	assert_int_equal(strv_len(s.v[0].components), 2);
	assert_string_equal(s.v[0].signed_by, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc");
	assert_int_equal(apt_sources_public(&s, &texts, &hosts, NULL), 0);
	assert_string_equal(json_string_value(json_array_get(texts, 0)),
			    "Types: deb\n"
			    "URIs: https://mirror.example/debian/\n"
			    "Suites: bookworm bookworm-updates\n"
			    "Components: main contrib\n"
			    "Signed-By:\n"
			    " -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
			    " .\n"
			    " abc\n");
	assert_int_equal(json_array_size(hosts), 1);
	assert_string_equal(json_string_value(json_array_get(hosts, 0)), "mirror.example:443");
	/* For fetching the credentials stay. */
	assert_int_equal(apt_sources_lines(&s, "/tmp", &lines, NULL), 0);
	assert_string_equal(
		buf_str(&lines),
		"deb [signed-by=/tmp/key0.asc] https://user:secret@mirror.example/debian/ "
		"bookworm main contrib\n"
		"deb [signed-by=/tmp/key0.asc] https://user:secret@mirror.example/debian/ "
		"bookworm-updates main contrib\n");
	assert_int_equal(unlink("/tmp/key0.asc"), 0);
	apt_sources_done(&s);
}

/* What is public parses to the same entries again. */
static void round_trip(void **state)
{
	struct apt_sources a = {0}, b = {0};
	auto_json json_t *first = NULL, *second = NULL;

	assert_int_equal(apt_sources_parse(DEB822, "test", &a, NULL), 0);
	assert_int_equal(apt_sources_public(&a, &first, NULL, NULL), 0);
	assert_int_equal(
		apt_sources_parse(json_string_value(json_array_get(first, 0)), "test", &b, NULL),
		0);
	assert_int_equal(apt_sources_public(&b, &second, NULL, NULL), 0);
	assert_true(json_equal(first, second));
	apt_sources_done(&a);
	apt_sources_done(&b);
}

static void one_line(void **state)
{
	struct apt_sources s = {0};
	auto_json json_t *texts = NULL, *hosts = NULL;
	const char *text = "# comment\n"
			   "deb-src http://a.example/debian bookworm main\n"
			   "deb\t[ arch=amd64 signed-by=/usr/share/keyrings/x.gpg trusted=yes ] "
			   "http://a.example:8080/debian bookworm main contrib # tail\n"
			   "deb [arch=arm64] http://b.example/debian bookworm main\n"
			   "deb http://[2001:db8::1]/debian bookworm main\n";

	assert_int_equal(apt_sources_parse(text, "test", &s, NULL), 0);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.v[0].signed_by, "/usr/share/keyrings/x.gpg");
	assert_int_equal(apt_sources_public(&s, &texts, &hosts, NULL), 0);
	/* An entry that APT would trust without a signature is not one here. */
	assert_null(strstr(json_string_value(json_array_get(texts, 0)), "rusted"));
	assert_string_equal(json_string_value(json_array_get(hosts, 0)), "a.example:8080");
	assert_string_equal(json_string_value(json_array_get(hosts, 1)), "[2001:db8::1]:80");
	apt_sources_done(&s);
}

static void bad(void **state)
{
	static const char *const texts[] = {
		"deb\n",
		"deb http://a.example/debian\n",
		"deb [arch=amd64 http://a bookworm main\n",
		"Types: deb\nURIs: http://a\n",
		"Types: deb\nSuites: bookworm\n",
		"Types: deb\nno colon here\n",
		": x\n",
	};

	for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
		struct apt_sources s = {0};
		auto_err struct err err = ERR_INIT;
		int r = apt_sources_parse(texts[k], "test", &s, &err);

		if (k == 0) { /* "deb" alone is no entry and no field */
			assert_true(r == 0 || r == -EINVAL);
		} else {
			assert_int_equal(r, -EINVAL);
			assert_non_null(strstr(err_str(&err), "test"));
		}
		assert_int_equal(s.n, 0);
		apt_sources_done(&s);
	}
}

static void put(const char *dir, const char *name, const char *text)
{
	auto_free char *path = path_join(dir, name);

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0644, NULL), 0);
}

static void the_hosts_entries(void **state)
{
	char dir[] = "/tmp/kiln-apt-XXXXXX";
	auto_free char *parts = NULL, *lists = NULL;
	struct apt_sources s = {0};

	assert_non_null(mkdtemp(dir));
	parts = path_join(dir, "sources.list.d");
	lists = path_join(dir, "lists");
	assert_int_equal(file_mkdir_p(parts, 0755, NULL), 0);
	assert_int_equal(file_mkdir_p(lists, 0755, NULL), 0);
	assert_int_equal(apt_sources_host(dir, lists, "bookworm", &s, NULL), -ENOENT);

	put(dir, "sources.list",
	    "deb http://a.example/debian bookworm main\n"
	    "deb http://a.example/debian bullseye main\n"
	    "deb http://a.example/debian bookworm-backports main\n"
	    "deb http://third_party.example/apt bookworm main\n"
	    "deb [signed-by=/usr/share/keyrings/other.gpg] http://c.example/apt bookworm main\n"
	    "deb [signed-by=/usr/share/keyrings/other.gpg] http://d.example/apt bookworm main\n");
	put(parts, "security.sources",
	    "Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security sid\n"
	    "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n");
	put(parts, "off.list.disabled", "deb http://e.example/debian bookworm main\n");
	/* What the kept release files say: one vendor's own, one mirror of Debian with its own key.
	 */
	put(lists, "third%5fparty.example_apt_dists_bookworm_InRelease",
	    "Hash: x\nOrigin: Vendor\n");
	put(lists, "d.example_apt_dists_bookworm_Release", "x\nOrigin: Debian\nLabel: Debian\n");

	assert_int_equal(apt_sources_host(dir, lists, "bookworm", &s, NULL), 0);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.v[0].uris[0], "http://a.example/debian");
	assert_string_equal(s.v[1].uris[0], "http://d.example/apt");
	assert_string_equal(s.v[2].uris[0], "http://s.example/debian-security");
	assert_int_equal(strv_len(s.v[2].suites), 1);
	apt_sources_done(&s);
	assert_int_equal(file_rm_rf(dir, NULL), 0);
}

static void configured(void **state)
{
	auto_json json_t *conf =
		json_pack("[s, s]", "deb http://a.example/debian bookworm main",
			  "Types: deb\nURIs: http://b.example/x\nSuites: bookworm\n"
			  "Components: main\n");
	auto_json json_t *wrong = json_pack("[i]", 1), *empty = json_array();
	auto_json json_t *texts = NULL, *hosts = NULL;

	assert_int_equal(platform_sources(conf, "bookworm", &texts, &hosts, NULL), 0);
	assert_int_equal(json_array_size(texts), 2);
	assert_string_equal(json_string_value(json_array_get(hosts, 1)), "b.example:80");
	assert_int_equal(platform_sources(wrong, "bookworm", &texts, NULL, NULL), -EINVAL);
	assert_int_equal(platform_sources(empty, "bookworm", &texts, NULL, NULL), -EINVAL);
}

static void versions(void **state)
{
	static const char *const wrong[] = {"",      "12",       "12.1",
					    "12.1.", "12.1.0.0", "a.1.0",
					    "12..0", "-1.2.3",   "12.1.99999999999999999999",
					    "+1.2.3"};
	struct platform_version v;

	assert_true(platform_version_parse("12.20261122.10", &v));
	assert_int_equal(v.major, 12);
	assert_int_equal(v.date, 20261122);
	assert_int_equal(v.n, 10);
	for (size_t k = 0; k < ARRAY_SIZE(wrong); k++)
		assert_false(platform_version_parse(wrong[k], &v));
	assert_non_null(platform_find("debian", "DEBIAN-12", "12-Gen2"));
	assert_null(platform_find("debian", "debian-12", "13"));
}

/* Identifiers differ among themselves and with the inputs, and never by chance. */
static void identifiers(void **state)
{
	struct digest a = {{1}}, b = {{2}};
	struct platform_ids x, y, z;

	platform_ids_make(&a, &x);
	platform_ids_make(&a, &y);
	platform_ids_make(&b, &z);
	assert_memory_equal(&x, &y, sizeof(x));
	assert_string_not_equal(x.root_uuid, z.root_uuid);
	assert_string_not_equal(x.root_uuid, x.disk_uuid);
	assert_string_not_equal(x.part_uuid[0], x.part_uuid[2]);
}

/* The text that the script in the image writes, with its variables filled in, is the very file
 * that the image is made with. */
static void update_grub_has_the_same_text(void **state)
{
	static const struct digest d = {{7}};
	static const char *const vars[] = {"$timeout", "$root", "$args"};
	auto_json json_t *sources = json_pack("[s]", "Types: deb\n");
	auto_buf struct buf script = BUF_INIT(1u << 16), cfg = BUF_INIT(1u << 16);
	auto_buf struct buf filled = BUF_INIT(1u << 16);
	struct platform_ids ids;
	struct fstree *t;
	const char *p, *end;

	platform_ids_make(&d, &ids);
	assert_int_equal(fstree_new(&t), 0);
	assert_int_equal(platform_files_add(t, &ids, sources, NULL), 0);
	assert_int_equal(fstree_read(t, "boot/grub/grub.cfg", &cfg, NULL), 0);
	assert_int_equal(fstree_read(t, "usr/sbin/update-grub", &script, NULL), 0);
	fstree_free(t);
	p = strstr(buf_str(&script), "<<END\n");
	assert_non_null(p);
	p += 6;
	end = strstr(p, "END\n");
	assert_non_null(end);
	while (p < end) {
		size_t k = 0;

		while (k < ARRAY_SIZE(vars) && !str_starts(p, vars[k]))
			k++;
		if (k == ARRAY_SIZE(vars)) {
			(void) buf_addch(&filled, *p++);
			continue;
		}
		p += strlen(vars[k]);
		if (k == 1)
			(void) buf_addf(&filled, "UUID=%s", ids.root_uuid);
		else
			(void) buf_addstr(
				&filled, k == 0 ? "0" : " console=tty0 console=ttyS0,115200 quiet");
	}
	assert_string_equal(buf_str(&filled), buf_str(&cfg));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deb822),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(one_line),
		cmocka_unit_test(bad),
		cmocka_unit_test(the_hosts_entries),
		cmocka_unit_test(configured),
		cmocka_unit_test(versions),
		cmocka_unit_test(identifiers),
		cmocka_unit_test(update_grub_has_the_same_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
