/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bake/run.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"

struct place {
	char dir[64];
	json_t *events;
	struct event_sink sink;
	struct bake_env env;
	struct bake_options options;
	struct bake_host host;
	unsigned saved; /* calls of host.record */
};

static void keep(void *arg, const json_t *event)
{
	struct place *p = arg;

	json_array_append_new(p->events, json_deep_copy(event));
}

static int count(void *arg, const json_t *run, struct err *err)
{
	struct place *p = arg;

	p->saved++;
	assert_string_equal(json_str_at(run, "runId"), p->options.run_id);
	return 0;
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/kiln-record-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	p->events = json_array();
	p->sink = (struct event_sink){keep, p};
	p->env = (struct bake_env){.data_dir = p->dir, .events = &p->sink};
	p->host = (struct bake_host){.arg = p, .record = count};
	p->options = (struct bake_options){.run_id = "11111111-2222-4333-8444-555555555555",
					   .template_id = "/subscriptions/S/T",
					   .template_name = "t"};
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	json_decref(p->events);
	file_rm_rf(p->dir, NULL);
	free(p);
	return 0;
}

static const struct stage stage = {.name = "customize", .sub_state = "Customizing"};

static struct run *begin(struct place *p)
{
	struct run *run = calloc(1, sizeof(*run));

	*run = (struct run){.env = &p->env,
			    .host = &p->host,
			    .o = &p->options,
			    .n_total = 2,
			    .start_ns = time_mono_ns()};
	assert_int_equal(record_open(run, NULL), 0);
	return run;
}

static void end(struct run *run)
{
	run_close(run);
	free(run);
}

static const json_t *event(const struct place *p, size_t from_end)
{
	return json_array_get(p->events, json_array_size(p->events) - 1 - from_end);
}

static void a_run_is_found_again(void **state)
{
	struct place *p = *state;
	struct run *run = begin(p);
	auto_json json_t *record = NULL;
	struct disk_ref disk, got;
	struct digest root = {.b = {7}};
	char id[UUID_STR];

	disk_ref_make(&root, 65536, &disk);
	assert_int_equal(record_step(run, &stage, "one", "Shell", "true", NULL), 0);
	assert_int_equal(record_step_end(run, "done",
					 json_pack("{s:o}", "disk", disk_ref_to_json(&disk)), NULL),
			 0);
	assert_int_equal(record_step(run, &stage, "two", "Shell", "false", NULL), 0);
	record_end(run, -EIO, &(struct err){.code = -EIO, .msg = (char *) "no"});
	assert_string_equal(json_str_at(event(p, 0), "type"), "run.end");
	assert_string_equal(json_str_at(event(p, 0), "state"), "Failed");
	assert_string_equal(json_str_at(event(p, 1), "type"), "step.failed");
	assert_true(p->saved >= 5);
	end(run);

	assert_int_equal(record_latest(p->dir, "/SUBSCRIPTIONS/s/t", id, NULL), 0);
	assert_string_equal(id, p->options.run_id);
	assert_int_equal(record_read(p->dir, id, &record, NULL), 0);
	assert_string_equal(json_str_at(record, "error.message"), "no");
	assert_string_equal(json_str_at(record, "steps.1.state"), "failed");
	assert_int_equal(record_latest(p->dir, "/other", id, NULL), -ENOENT);

	/* After a step that finished; and the state that a failed one began with. */
	assert_int_equal(bake_find_step(&p->env, "/subscriptions/s/t", "ONE", &got, NULL, NULL), 0);
	assert_true(digest_eq(&got.digest, &disk.digest));
	assert_int_equal(bake_find_step(&p->env, "/subscriptions/s/t", "two", &got, NULL, NULL), 0);
	assert_true(digest_eq(&got.digest, &disk.digest));
	assert_int_equal(bake_find_step(&p->env, "/subscriptions/s/t", "six", &got, NULL, NULL),
			 -ENOENT);
}

static const char *line_of(struct place *p, struct run *run, const char *text, size_t n)
{
	record_line(run, PROC_STDOUT, text, n);
	return json_str_at(event(p, 0), "line");
}

static void output_is_cleaned(void **state)
{
	struct place *p = *state;
	struct run *run = begin(p);

	assert_int_equal(record_step(run, &stage, "one", "Shell", NULL, NULL), 0);
	assert_string_equal(line_of(p, run, "plain \xc3\xa4", 8), "plain \xc3\xa4");
	assert_string_equal(line_of(p, run, "a\tb\x07", 4), "a\tb\\x07");
	assert_string_equal(line_of(p, run, "\x1b[31mred\x1b[0m", 12), "red");
	assert_string_equal(line_of(p, run, "10%\r50%\r100%\r", 13), "100%");
	assert_string_equal(line_of(p, run, "\xff\xc2\x9bx", 4), "\xef\xbf\xbd\\x9bx");
	assert_string_equal(line_of(p, run, "\x1b]0;title", 9), "\\x1b]0;title");
	assert_string_equal(line_of(p, run, "\x1b[", 2), "");
	assert_string_equal(line_of(p, run, "", 0), "");
	for (int i = 0; i < RUN_TAIL_LINES + 5; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", i);
		record_line(run, PROC_STDERR, text, strlen(text));
	}
	assert_string_equal(run->tail.line[run->tail.next], "5");
	record_end(run, 0, NULL);
	end(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_run_is_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(output_is_cleaned, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
