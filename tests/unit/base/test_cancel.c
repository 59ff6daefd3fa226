/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "base/cancel.h"
#include "support/tmp.h"

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void set_once(void **state)
{
	struct cancel c;
	unsigned fds = tmp_fds();

	assert_int_equal(cancel_init(&c), 0);
	assert_int_equal(cancel_check(&c), 0);
	assert_false(readable(c.event_fd));
	errno = ERANGE;
	cancel_set(&c, -ETIME);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(cancel_check(&c), -ETIME);
	assert_true(readable(c.event_fd));
	for (unsigned i = 0; i < 10; i++)
		cancel_set(&c, -ECANCELED);
	assert_int_equal(cancel_check(&c), -ETIME); /* the first reason stays */
	assert_true(readable(c.event_fd));
	cancel_done(&c);
	cancel_done(&c);
	cancel_done(NULL);
	assert_int_equal(tmp_fds(), fds);
}

static void odd_reasons(void **state)
{
	struct cancel c;

	assert_int_equal(cancel_check(NULL), 0);
	assert_int_equal(cancel_init(&c), 0);
	cancel_set(&c, 0);
	assert_int_equal(cancel_check(&c), -ECANCELED);
	cancel_done(&c);
	/* Without a descriptor (before init could make one) the flag still works. */
	c = (struct cancel){.event_fd = -1};
	cancel_set(&c, -ETIME);
	assert_int_equal(cancel_check(&c), -ETIME);
}

static struct cancel *of_handler;

static void on_signal(int sig)
{
	cancel_set(of_handler, -ECANCELED);
}

static void from_a_signal_handler(void **state)
{
	struct sigaction act = {.sa_handler = on_signal}, old;
	struct cancel c;

	assert_int_equal(cancel_init(&c), 0);
	of_handler = &c;
	assert_int_equal(sigaction(SIGUSR1, &act, &old), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
	assert_int_equal(cancel_check(&c), -ECANCELED);
	assert_true(readable(c.event_fd));
	cancel_done(&c);
}

static void *set_it(void *arg)
{
	cancel_set(arg, -ETIME);
	return NULL;
}

/* Who waits on the descriptor wakes up and finds the reason. */
static void from_threads(void **state)
{
	pthread_t t[8];
	struct cancel c;
	struct pollfd p = {.events = POLLIN};

	assert_int_equal(cancel_init(&c), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, set_it, &c), 0);
	p.fd = c.event_fd;
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(cancel_check(&c), -ETIME);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	cancel_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_once),
		cmocka_unit_test(odd_reasons),
		cmocka_unit_test(from_a_signal_handler),
		cmocka_unit_test(from_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
