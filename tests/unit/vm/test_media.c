/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "nbd.h"
#include "vm/internal.h"

static int make_dir(void **state)
{
	char *dir = strdup("/tmp/kiln-media-XXXXXX");

	*state = dir;
	return dir && mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	int r = file_rm_rf(*state, NULL);

	free(*state);
	return r;
}

static void read_back(const char *image, const char *name, struct buf *out)
{
	auto_free char *tool = NULL, *from = strf("::/%s", name);

	assert_int_equal(proc_find("mtype", "mtools", &tool, NULL), 0);
	const char *const argv[] = {tool, "-i", image, from, NULL};
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1, .out = out};

	assert_int_equal(proc_check(&spec, NULL), 0);
}

static void a_seed_says_what_it_was_given(void **state)
{
	auto_free char *path = path_join(*state, "seed");
	auto_buf struct buf out = BUF_INIT(1 << 20), long_text = BUF_INIT(1 << 20);
	auto_json json_t *meta = NULL;

	buf_addstr(&long_text, "#cloud-config\n");
	for (int i = 0; i < 40000; i++)
		buf_addf(&long_text, "# line %d\n", i);
	assert_int_equal(vm_seed_create(path, "i-\"1\"", "web.example.org", buf_str(&long_text),
					"version: 2\n", NULL),
			 0);
	read_back(path, "meta-data", &out);
	assert_int_equal(json_parse(out.data, out.len, &meta, NULL), 0);
	assert_string_equal(json_str_at(meta, "instance-id"), "i-\"1\"");
	assert_string_equal(json_str_at(meta, "local-hostname"), "web.example.org");
	buf_clear(&out);
	read_back(path, "user-data", &out);
	assert_string_equal(buf_str(&out), buf_str(&long_text));
	buf_clear(&out);
	read_back(path, "network-config", &out);
	assert_string_equal(buf_str(&out), "version: 2\n");
}

static void a_seed_of_defaults(void **state)
{
	auto_free char *path = path_join(*state, "plain");
	auto_buf struct buf out = BUF_INIT(65536), raw = BUF_INIT(4 << 20);

	assert_int_equal(vm_seed_create(path, "i-1", "web", NULL, NULL, NULL), 0);
	read_back(path, "user-data", &out);
	assert_true(str_starts(buf_str(&out), "#cloud-config\n"));
	assert_int_equal(file_read_all(path, &raw, NULL), 0);
	assert_non_null(memmem(raw.data, raw.len, "CIDATA     ", 11));
}

static void bad_seeds_leave_no_file(void **state)
{
	static const char *const names[] = {"", "a b", "-a", "a\nuser-data: x"};
	auto_free char *path = path_join(*state, "bad");
	auto_buf struct buf huge = BUF_INIT(2 << 20);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(vm_seed_create(path, "i", names[i], NULL, NULL, NULL), -EINVAL);
		assert_false(file_exists(path));
	}
	while (huge.len <= 1 << 20)
		buf_addstr(&huge, "0123456789abcdef");
	assert_int_equal(vm_seed_create(path, "i", "web", buf_str(&huge), NULL, NULL), -EFBIG);
	assert_int_equal(vm_seed_create(path, "\xff", "web", NULL, NULL, NULL), -EINVAL);
	assert_false(file_exists(path));
}

static void a_seed_replaces_nothing(void **state)
{
	auto_free char *path = path_join(*state, "mine");

	assert_int_equal(file_write_atomic(path, "x", 1, 0600, NULL), 0);
	assert_int_equal(vm_seed_create(path, "i", "web", NULL, NULL, NULL), -EEXIST);
}

/* Over a real server, with a name and a socket path that a URI must escape. */
static void an_overlay_over_an_export(void **state)
{
	auto_free char *sock = path_join(*state, "a b&c.sock"),
		       *path = path_join(*state, "o.qcow2");
	auto_free char *tool = NULL;
	auto_json json_t *info = NULL;
	auto_buf struct buf out = BUF_INIT(65536);
	auto_err struct err err = ERR_INIT;
	struct nbd nbd;

	assert_int_equal(proc_find("qemu-img", "qemu-utils", &tool, NULL), 0);
	nbd_start(&nbd, *state, sock, "memory", "8M");
	if (vm_overlay_create(path, sock, "00ff", 16 << 20, &err) < 0)
		fail_msg("%s", err_str(&err));
	const char *const look[] = {tool, "info", "-U", "--output=json", path, NULL};
	struct proc_spec q = {.argv = look, .stdin_fd = -1, .out = &out};

	assert_int_equal(proc_check(&q, NULL), 0);
	assert_int_equal(json_parse(out.data, out.len, &info, NULL), 0);
	assert_string_equal(json_str_at(info, "format"), "qcow2");
	assert_int_equal(json_int_at(info, "virtual-size", 0), 16 << 20);
	assert_int_equal(json_int_at(info, "cluster-size", 0), 65536);
	assert_string_equal(json_str_at(info, "backing-filename-format"), "raw");
	assert_int_equal(vm_overlay_create(path, sock, "", 1000, NULL), -EINVAL);
	nbd_stop(&nbd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_says_what_it_was_given),
		cmocka_unit_test(a_seed_of_defaults),
		cmocka_unit_test(bad_seeds_leave_no_file),
		cmocka_unit_test(a_seed_replaces_nothing),
		cmocka_unit_test(an_overlay_over_an_export),
	};

	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
