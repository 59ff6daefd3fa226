/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/mem.h"
#include "server/listen.h"
#include "support/tmp.h"

static void tcp(void **state)
{
	static const char *const bad[] = {
		"", ":1", "1.2.3.4", "1.2.3.4:", "1.2.3.4:x", "::1:80", "1.2.3.4:99999999"};
	auto_free char *where = NULL, *again = NULL;
	auto_fd int fd = -1;
	int other = -1;

	(void) state;
	assert_int_equal(listen_tcp("127.0.0.1:0", &fd, &where, NULL), 0);
	assert_true(str_starts(where, "127.0.0.1:") && strcmp(where, "127.0.0.1:0") != 0);
	again = listen_name(fd);
	assert_string_equal(again, where);
	assert_int_equal(listen_tcp(where, &other, &again, NULL), -EADDRINUSE);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(listen_tcp(bad[i], &other, &again, NULL), -EINVAL);
}

/* What was left by a process that is gone is replaced; what one answers on is not. */
static void local(void **state)
{
	auto_free char *path = path_join(*state, "api.sock");
	int one = -1, two = -1;
	struct stat st;

	assert_int_equal(listen_unix(path, false, 0600, &one, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(listen_unix(path, false, 0600, &two, NULL), -EADDRINUSE);
	closep(&one);
	assert_int_equal(listen_unix(path, false, 0600, &two, NULL), 0);
	closep(&two);
}

static void systemd(void **state)
{
	auto_free char *path = path_join(*state, "notify");
	int fd = -1, tcp_fd, unix_fd;
	char text[16] = "";

	assert_int_equal(listen_unix(path, true, 0600, &fd, NULL), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	notify_systemd("READY=1");
	assert_int_equal(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), 7);
	assert_string_equal(text, "READY=1");
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	notify_systemd("READY=1");
	closep(&fd);

	/* meant for another process */
	assert_int_equal(setenv("LISTEN_FDS", "1", 1), 0);
	assert_int_equal(setenv("LISTEN_PID", "1", 1), 0);
	assert_int_equal(listen_inherited(&tcp_fd, &unix_fd, NULL), 0);
	assert_int_equal(tcp_fd, -1);
	assert_int_equal(unix_fd, -1);
	assert_null(getenv("LISTEN_FDS"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)
	const struct CMUnitTest tests[] = {T(tcp), T(local), T(systemd)};

	return cmocka_run_group_tests_name("server/listen", tests, NULL, NULL);
}
