/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>

#include "base/event.h"
#include "base/mem.h"
#include "support/fault.h"

#define MAX_SEEN 1000

struct seen {
	pthread_mutex_t lock;
	unsigned n;
	char stage[MAX_SEEN][16];
	int64_t done[MAX_SEEN], total[MAX_SEEN];
};

static void note(void *arg, const json_t *event)
{
	struct seen *s = arg;

	(void) pthread_mutex_lock(&s->lock);
	if (s->n < MAX_SEEN && str_eq(json_str_at(event, "type"), "progress")) {
		(void) snprintf(s->stage[s->n], sizeof(s->stage[0]), "%s",
				json_str_at(event, "stage"));
		s->done[s->n] = json_int_at(event, "done", -1);
		s->total[s->n++] = json_int_at(event, "total", -1);
	}
	(void) pthread_mutex_unlock(&s->lock);
}

static struct seen *seen_new(void)
{
	struct seen *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	assert_int_equal(pthread_mutex_init(&s->lock, NULL), 0);
	return s;
}

static void emitted(void **state)
{
	auto_free struct seen *s = seen_new();
	const struct event_sink sink = {note, s}, deaf = {NULL, NULL};

	event_emit(&sink, json_pack("{s:s, s:s, s:i, s:i}", "type", "progress", "stage", "a",
				    "done", 1, "total", 2));
	assert_int_equal(s->n, 1);
	event_emit(&sink, NULL);
	event_emit(NULL, json_object());
	event_emit(&deaf, json_object());
	event_emit(NULL, NULL);
	assert_int_equal(s->n, 1);
}

static void nobody_listens(void **state)
{
	const struct progress silent = {NULL, NULL};

	assert_null(progress_to_events(NULL));
	progress_update(NULL, "a", 1, 2);
	progress_update(&silent, "a", 1, 2);
	progress_free(NULL);
}

/* However fast the reports come: the first and the last are there, in between they are few. */
static void first_and_final(void **state)
{
	auto_free struct seen *s = seen_new();
	const struct event_sink sink = {note, s};
	struct progress *p = progress_to_events(&sink);

	for (uint64_t i = 1; i <= 100000; i++)
		progress_update(p, "copy", i, 100000);
	assert_true(s->n >= 2 && s->n < 1000);
	assert_int_equal(s->done[0], 1);
	assert_int_equal(s->done[s->n - 1], 100000);
	assert_int_equal(s->total[s->n - 1], 100000);
	for (unsigned i = 1; i < s->n; i++)
		assert_true(s->done[i] > s->done[i - 1]);
	{
		unsigned before = s->n;

		progress_update(p, "copy", 100000, 100000); /* said already */
		assert_int_equal(s->n, before);
		progress_update(p, "copy", 5, 100000); /* a new round */
		progress_free(p);
		assert_int_equal(s->n, before + 1);
	}
	assert_int_equal(s->done[s->n - 1], 5);
}

static void held_back_numbers_come_at_the_end(void **state)
{
	auto_free struct seen *s = seen_new();
	struct event_sink sink = {note, s};
	struct progress *p = progress_to_events(&sink);

	sink.emit = NULL; /* it was copied */
	for (uint64_t i = 1; i <= 1000; i++)
		progress_update(p, "unknown", i, 0);
	progress_update(p, "other", 1, 0);
	progress_free(p);
	{
		int64_t last = 0;
		unsigned others = 0;

		for (unsigned i = 0; i < s->n; i++) {
			if (strcmp(s->stage[i], "other") == 0)
				others++;
			else
				last = s->done[i];
		}
		assert_int_equal(last, 1000);
		assert_int_equal(others, 1); /* stages do not hold each other back */
	}
}

static void never_back(void **state)
{
	auto_free struct seen *s = seen_new();
	const struct event_sink sink = {note, s};
	struct progress *p = progress_to_events(&sink);

	progress_update(p, "a", 50, 100);
	progress_update(p, "a", 40, 100);
	progress_free(p);
	assert_int_equal(s->n, 1);
	assert_int_equal(s->done[0], 50);
}

struct worker {
	struct progress *p;
	_Atomic uint64_t *done;
};

#define PER_THREAD 5000

static void *work(void *arg)
{
	const struct worker *w = arg;

	for (unsigned i = 0; i < PER_THREAD; i++)
		progress_update(w->p, "all", ++*w->done, 4 * PER_THREAD);
	return NULL;
}

static void many_threads(void **state)
{
	auto_free struct seen *s = seen_new();
	const struct event_sink sink = {note, s};
	_Atomic uint64_t done = 0;
	struct worker w = {progress_to_events(&sink), &done};
	bool final = false;
	pthread_t t[4];

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, work, &w), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	progress_free(w.p);
	for (unsigned i = 0; i < s->n; i++) {
		final |= s->done[i] == s->total[i];
		assert_true(i == 0 || s->done[i] > s->done[i - 1] ||
			    s->done[i - 1] == s->total[i - 1]);
	}
	assert_true(final);
}

static void without_memory(void **state)
{
	auto_free struct seen *s = seen_new();
	const struct event_sink sink = {note, s};

	for (unsigned n = 1;; n++) {
		struct progress *p;
		bool armed = true;

		s->n = 0;
		fault_alloc_nth(n, &armed);
		p = progress_to_events(&sink);
		progress_update(p, "a", 10, 10);
		progress_free(p);
		fault_alloc_off();
		assert_true(s->n <= 1);
		if (armed) {
			assert_int_equal(s->n, 1);
			assert_true(n > 3);
			return;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(emitted),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(first_and_final),
		cmocka_unit_test(held_back_numbers_come_at_the_end),
		cmocka_unit_test(never_back),
		cmocka_unit_test(many_threads),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
