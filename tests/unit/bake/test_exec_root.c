/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "bake/container.h"
#include "bake/qmp.h"
#include "bake/seal.h"
#include "base/file.h"
#include "base/mem.h"

struct root {
	char path[32];
	int fd;
};

static int setup(void **state)
{
	struct root *r = calloc(1, sizeof(*r));
	static const char *const dirs[] = {"etc",         "usr/sbin", "root", "home/ann/.ssh",
					   "var/log/app", "var/tmp",  "tmp"};

	if (!r)
		return -1;
	*state = r;
	r->fd = -1;
	(void) snprintf(r->path, sizeof(r->path), "/tmp/kiln-root.XXXXXX");
	if (!mkdtemp(r->path))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		auto_free char *p = path_join(r->path, dirs[i]);

		if (file_mkdir_p(p, 0755, NULL) < 0)
			return -1;
	}
	r->fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return r->fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct root *r = *state;
	int e = file_rm_rf(r->path, NULL);

	(void) close(r->fd);
	free(r);
	return e;
}

static void put_text(struct root *r, const char *name, const char *text)
{
	auto_free char *p = path_join(r->path, name);

	assert_int_equal(file_write_atomic(p, text, strlen(text), 0644, NULL), 0);
}

static bool there(struct root *r, const char *name)
{
	auto_free char *p = path_join(r->path, name);

	return file_exists(p);
}

static int source(const char *text)
{
	int fd = memfd_create("source", MFD_CLOEXEC);

	assert_int_equal(file_pwrite_full(fd, text, strlen(text), 0), 0);
	return fd;
}

static void put_and_get(void **state)
{
	struct root *r = *state;
	auto_fd int in = source("content"), out = memfd_create("out", MFD_CLOEXEC);
	char text[16] = "";
	struct stat st;

	assert_int_equal(container_put(r->fd, in, "/etc/f", 0751, getuid(), getgid(), NULL), 0);
	assert_int_equal(container_put(r->fd, in, "/etc/f", 0751, getuid(), getgid(), NULL), 0);
	assert_int_equal(fstatat(r->fd, "etc/f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0751);
	assert_int_equal(container_get(r->fd, "/etc/f", out, NULL), 0);
	assert_int_equal(pread(out, text, sizeof(text), 0), 7);
	assert_string_equal(text, "content");
	assert_int_equal(container_put(r->fd, in, "etc/f", 0644, 0, 0, NULL), -EINVAL);
	assert_int_equal(container_put(r->fd, in, "/etc/", 0644, 0, 0, NULL), -EINVAL);
	assert_int_equal(container_put(r->fd, in, "/etc/..", 0644, 0, 0, NULL), -EINVAL);
	assert_int_equal(container_put(r->fd, in, "/etc", 0644, 0, 0, NULL), -EISDIR);
	assert_int_equal(container_put(r->fd, in, "/none/f", 0644, 0, 0, NULL), -ENOENT);
	assert_int_equal(container_get(r->fd, "/etc", out, NULL), -EINVAL);
	assert_int_equal(container_get(r->fd, "/none", out, NULL), -ENOENT);
}

/* Links in an image lead to places in the image. */
static void put_follows_links_inside(void **state)
{
	struct root *r = *state;
	auto_fd int in = source("x");

	assert_int_equal(symlinkat("/etc", r->fd, "abs"), 0);
	assert_int_equal(symlinkat("../../../../../../../..", r->fd, "home/up"), 0);
	assert_int_equal(symlinkat("/etc/target", r->fd, "etc/link"), 0);
	assert_int_equal(container_put(r->fd, in, "/abs/one", 0644, getuid(), getgid(), NULL), 0);
	assert_true(there(r, "etc/one"));
	assert_int_equal(
		container_put(r->fd, in, "/home/up/etc/two", 0644, getuid(), getgid(), NULL), 0);
	assert_true(there(r, "etc/two"));
	assert_int_equal(container_put(r->fd, in, "/etc/link", 0644, getuid(), getgid(), NULL), 0);
	assert_false(there(r, "etc/target")); /* the link itself was replaced */
}

static void policy_file(void **state)
{
	struct root *r = *state;
	struct policy p;

	assert_int_equal(policy_place(r->fd, &p, NULL), 0);
	assert_true(p.placed && !p.shown && there(r, "usr/sbin/policy-rc.d"));
	assert_int_equal(policy_remove(r->fd, &p, NULL), 0);
	assert_false(there(r, "usr/sbin/policy-rc.d"));
	/* A step wrote its own over it. */
	assert_int_equal(policy_place(r->fd, &p, NULL), 0);
	put_text(r, "usr/sbin/policy-rc.d", "mine");
	assert_int_equal(policy_remove(r->fd, &p, NULL), 0);
	assert_true(there(r, "usr/sbin/policy-rc.d"));
	/* The image has its own: untouched. */
	assert_int_equal(policy_place(r->fd, &p, NULL), 0);
	assert_true(p.shown && !p.placed);
	assert_int_equal(policy_remove(r->fd, &p, NULL), 0);
	assert_true(there(r, "usr/sbin/policy-rc.d"));
}

static void seal_removes(void **state)
{
	struct root *r = *state;
	auto_json json_t *report = NULL;
	auto_buf struct buf id = BUF_INIT(64);
	auto_free char *id_path = path_join(r->path, "etc/machine-id");
	struct stat st;

	put_text(r, "etc/passwd", "ann:x:1:1::/home/ann:/bin/sh\nbad line\n");
	put_text(r, "etc/machine-id", "0123");
	put_text(r, "etc/environment", "A=1\nhttp_proxy=http://127.0.0.1:3128\nB=2");
	put_text(r, "home/ann/.ssh/authorized_keys", "k");
	put_text(r, "home/ann/.bash_history", "h");
	put_text(r, "root/.npmrc", "registry=x\n//x/:_authToken=t\n");
	put_text(r, "var/log/app/log", "line");
	put_text(r, "tmp/.hidden", "x");
	put_text(r, "var/log/unattended-upgrades", "keep the name");
	assert_int_equal(seal_root(r->fd, &report, NULL), 0);
	assert_true(json_array_size(report) >= 75);
	assert_int_equal(file_read_all(id_path, &id, NULL), 0);
	assert_int_equal(id.len, 0);
	assert_false(there(r, "home/ann/.ssh/authorized_keys"));
	assert_true(there(r, "home/ann/.ssh"));
	assert_false(there(r, "home/ann/.bash_history"));
	assert_false(there(r, "tmp/.hidden"));
	assert_true(there(r, "tmp"));
	assert_true(there(r, "var/log/unattended-upgrades"));
	assert_int_equal(fstatat(r->fd, "var/log/app/log", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(fstatat(r->fd, "etc/environment", &st, 0), 0);
	assert_int_equal(st.st_size, 7); /* "A=1\nB=2" */
	assert_int_equal(fstatat(r->fd, "root/.npmrc", &st, 0), 0);
	assert_int_equal(st.st_size, 11);
	json_decref(report);
	report = NULL;
	assert_int_equal(seal_root(r->fd, &report, NULL), 0); /* again: nothing to do */
	for (size_t i = 0; i < json_array_size(report); i++)
		assert_int_equal(json_int_at(json_array_get(report, i), "changed", -1), 0);
}

static void seal_stays_inside(void **state)
{
	struct root *r = *state;
	char host[] = "/tmp/kiln-host.XXXXXX";
	auto_free char *file = NULL;
	auto_json json_t *report = NULL;
	struct err err = ERR_INIT;

	assert_non_null(mkdtemp(host));
	file = path_join(host, "precious");
	assert_int_equal(file_write_atomic(file, "x", 1, 0644, NULL), 0);
	assert_int_equal(unlinkat(r->fd, "var/tmp", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat(host, r->fd, "var/tmp"), 0);
	assert_int_equal(symlinkat(host, r->fd, "tmp/link"), 0);
	assert_int_equal(symlinkat(host, r->fd, "home/ann/.aws"), 0);
	assert_int_equal(seal_root(r->fd, &report, NULL), 0);
	assert_true(file_exists(file));
	assert_false(there(r, "home/ann/.aws")); /* the link is a trace, too */
	assert_int_equal(file_rm_rf(host, NULL), 0);
	json_decref(report);
	report = NULL;
	/* A way around to the system itself is refused, loudly. */
	assert_int_equal(unlinkat(r->fd, "var/tmp", 0), 0);
	assert_int_equal(symlinkat("/etc", r->fd, "var/tmp"), 0);
	put_text(r, "etc/keep", "x");
	assert_int_equal(seal_root(r->fd, &report, &err), -ELOOP);
	assert_non_null(strstr(err_str(&err), "system directory"));
	assert_true(there(r, "etc/keep"));
	err_done(&err);
}

static struct qmp *qmp_with(const char *answers, int *peer, int *ret)
{
	struct qmp *q = NULL;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(write(pair[1], answers, strlen(answers)), (ssize_t) strlen(answers));
	(void) shutdown(pair[1], SHUT_WR);
	*peer = pair[1];
	*ret = qmp_open(pair[0], 2000, NULL, &q, NULL);
	return q;
}

static void qmp_answers(void **state)
{
	static const char ok[] = "{\"QMP\": {}}\r\n{\"return\": {}}\r\n{\"event\": \"X\"}\r\n"
				 "{\"return\": {\"a\": 1}}\r\n{\"error\": {\"desc\": \"no\"}}\r\n";
	auto_json json_t *value = NULL;
	struct err err = ERR_INIT;
	int r, peer;
	struct qmp *q = qmp_with(ok, &peer, &r);

	assert_int_equal(r, 0);
	assert_int_equal(qmp_call(q, "x", NULL, 2000, NULL, &value, NULL), 0);
	assert_int_equal(json_int_at(value, "a", 0), 1);
	assert_int_equal(qmp_call(q, "y", NULL, 2000, NULL, NULL, &err), -EIO);
	assert_string_equal(err_str(&err), "y: no");
	err_done(&err);
	assert_int_equal(qmp_call(q, "z", NULL, 2000, NULL, NULL, NULL), -EPIPE);
	qmp_close(q);
	(void) close(peer);
	assert_null(qmp_with("{\"other\": 1}\n", &peer, &r));
	assert_int_equal(r, -EPROTO);
	(void) close(peer);
	assert_null(qmp_with("not json\n", &peer, &r));
	assert_int_equal(r, -EINVAL);
	(void) close(peer);
	assert_null(qmp_with("", &peer, &r));
	assert_int_equal(r, -EPIPE);
	(void) close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(put_and_get, setup, teardown),
		cmocka_unit_test_setup_teardown(put_follows_links_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(policy_file, setup, teardown),
		cmocka_unit_test_setup_teardown(seal_removes, setup, teardown),
		cmocka_unit_test_setup_teardown(seal_stays_inside, setup, teardown),
		cmocka_unit_test(qmp_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
