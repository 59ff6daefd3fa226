/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does when it is idle. Without jobs it needs no resources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/worker.h"

struct idler {
	struct cancel end;
	int tell; /* the other end of the wake socket */
	unsigned calls;
	bool low;
};

/* The first call lasts until somebody is told of a job; the second ends the worker. */
static int idle(void *arg, struct cancel *stop)
{
	struct idler *i = arg;
	struct pollfd p = {.fd = stop->event_fd, .events = POLLIN};

	assert_int_equal(cancel_check(stop), 0);
	i->low = getpriority(PRIO_PROCESS, 0) == 19;
	if (++i->calls == 1) {
		assert_int_equal(send(i->tell, "x", 1, 0), 1);
		assert_int_equal(poll(&p, 1, -1), 1);
		assert_true(cancel_check(stop) < 0);
	} else {
		cancel_set(&i->end, -ESHUTDOWN);
	}
	return 0;
}

static void idle_work_yields(void **state)
{
	struct idler i = {.end = {.event_fd = -1}};
	struct worker_config c = {
		.wake_fd = -1, .cancel = &i.end, .idle = idle, .idle_arg = &i, .idle_ms = 0};
	auto_err struct err e = ERR_INIT;
	int fds[2];

	assert_int_equal(cancel_init(&i.end), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	c.wake_fd = fds[0];
	i.tell = fds[1];
	assert_int_equal(worker_run(&c, &e), 0);
	assert_int_equal(i.calls, 2);
	assert_true(i.low);
	(void) close(fds[0]);
	(void) close(fds[1]);
	cancel_done(&i.end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(idle_work_yields)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
