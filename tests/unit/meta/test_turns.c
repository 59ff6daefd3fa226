/* SPDX-License-Identifier: Apache-2.0 */
/* Heavy jobs: turns of shares, budgets, who waits for what; operations that queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "meta/jobs.h"
#include "meta/operations.h"
#include "support/dbs.h"

static struct meta *open_meta(void **state)
{
	const struct dbs *d = *state;
	struct meta *m;

	assert_int_equal(meta_open(d->url, &m, NULL), 0);
	return m;
}

/* An owner is "HOST-NAME"; those that begin with "dead" are gone. */
static bool alive(void *arg, const char *owner)
{
	return !str_starts(owner, "dead");
}

static bool same_host(void *arg, const char *owner)
{
	return str_starts(owner, arg);
}

static const struct job_budget two = {.cpus = 2};

static struct job_claim claim_of(const char *owner, const char *id)
{
	return (struct job_claim){
		.id = id,
		.owner = owner,
		.lease_us = INT64_C(3600000000),
		.alive = alive,
		.same_host = same_host,
		.alive_arg = (void *) (uintptr_t) "h1",
		.budget = &two,
	};
}

static void add(struct meta *m, const char *id, const char *key, const char *share, int cpus,
		bool queue)
{
	auto_json json_t *who = json_pack("{s:s}", "objectId", "p");
	auto_free char *id_copy = strdup(id), *key_copy = strdup(key), *word = strdup("run");
	const struct operation o = {
		.id = id_copy,
		.key = key_copy,
		.resource = key_copy,
		.type = word,
		.kind = word,
		.method = word,
		.api_version = word,
		.principal = who,
		.queue = queue,
	};
	const struct job_need need = {.share = share, .cpus = cpus};

	assert_int_equal(operation_create(m, &o, NULL), 0);
	assert_int_equal(job_create(m, id, NULL, NULL, share ? &need : NULL, NULL), 0);
}

/* Who is next: "-" when nobody is. */
static void next_is(struct meta *m, const struct job_claim *c, const char *want)
{
	auto_job_row struct job_row j = {0};
	int r = job_lease(m, c, &j, NULL);

	assert_int_equal(r, strcmp(want, "-") == 0 ? -EAGAIN : 0);
	assert_string_equal(j.id ? j.id : "-", want);
}

static void end(struct meta *m, const char *id)
{
	assert_int_equal(operation_end(m, id, OPERATION_SUCCEEDED, NULL, NULL, NULL), 0);
	assert_int_equal(job_remove(m, id, 1, NULL), 0);
}

static void shares_take_turns(void **state)
{
	struct meta *m = open_meta(state);
	const struct job_claim c = claim_of("h1-w", NULL);

	add(m, "a1", "/a1", "a", 1, false);
	add(m, "a2", "/a2", "a", 1, false);
	add(m, "a3", "/a3", "a", 1, false);
	add(m, "b1", "/b1", "b", 1, false);
	next_is(m, &c, "a1");
	next_is(m, &c, "b1"); /* a has one running, b had none */
	next_is(m, &c, "-");  /* two processors are two bakes */
	add(m, "x", "/x", NULL, 0, false);
	next_is(m, &c, "x"); /* a light job never waits */
	end(m, "b1");
	next_is(m, &c, "a2");
	end(m, "a1");
	end(m, "a2");
	next_is(m, &c, "a3");
	meta_close(m);
}

static void budgets_are_of_a_host(void **state)
{
	struct meta *m = open_meta(state);
	const struct job_claim here = claim_of("h1-w", NULL);
	struct job_claim there = claim_of("h2-w", NULL);

	there.alive_arg = (void *) (uintptr_t) "h2";
	add(m, "big", "/big", "a", 9, false);
	add(m, "one", "/one", "a", 1, false);
	add(m, "two", "/two", "b", 2, false);
	next_is(m, &here, "big"); /* more than all: alone */
	next_is(m, &here, "-");
	next_is(m, &there, "two"); /* the other host has room; a runs one already */
	next_is(m, &there, "-");
	end(m, "big");
	next_is(m, &here, "one");
	meta_close(m);
}

static void nothing_overtakes_what_does_not_fit(void **state)
{
	struct meta *m = open_meta(state);
	const struct job_claim c = claim_of("h1-w", NULL);

	add(m, "one", "/one", "a", 1, false);
	next_is(m, &c, "one");
	add(m, "wide", "/wide", "b", 2, false);
	add(m, "slim", "/slim", "b", 1, false);
	next_is(m, &c, "-");
	end(m, "one");
	next_is(m, &c, "wide");
	end(m, "wide");
	next_is(m, &c, "slim");
	meta_close(m);
}

static void a_share_has_its_limit(void **state)
{
	static const struct job_budget budget = {.per_share = 1};
	struct meta *m = open_meta(state);
	struct job_claim c = claim_of("h1-w", NULL), other = claim_of("h2-w", NULL);

	c.budget = other.budget = &budget;
	add(m, "a1", "/a1", "a", 1, false);
	add(m, "a2", "/a2", "a", 1, false);
	add(m, "b1", "/b1", "b", 1, false);
	next_is(m, &c, "a1");
	next_is(m, &other, "b1"); /* on all hosts together */
	next_is(m, &c, "-");
	end(m, "a1");
	next_is(m, &c, "a2");
	meta_close(m);
}

static void whoever_waits_gets_it(void **state)
{
	struct meta *m = open_meta(state);
	const struct job_claim worker = claim_of("h1-w", NULL);
	struct job_claim cli = claim_of("h1-cli", "mine"), late = claim_of("h1-late", "late");
	int64_t ahead = 0;

	cli.ret_ahead = late.ret_ahead = &ahead;
	add(m, "r1", "/r1", "a", 1, false);
	add(m, "r2", "/r2", "b", 1, false);
	next_is(m, &worker, "r1");
	next_is(m, &worker, "r2");
	add(m, "left", "/left", "a", 1, false); /* nobody waits for it */
	add(m, "mine", "/mine", "a", 1, false);
	add(m, "late", "/late", "a", 1, false);
	next_is(m, &cli, "-");
	assert_int_equal(ahead, 0); /* what is left to whoever comes does not hold it up */
	next_is(m, &late, "-");
	assert_int_equal(ahead, 1);
	end(m, "r1");
	next_is(m, &late, "-"); /* not its turn */
	next_is(m, &cli, "mine");
	end(m, "mine");
	next_is(m, &worker, "left");
	end(m, "left");
	next_is(m, &worker, "-"); /* the last one is waited for */
	next_is(m, &late, "late");
	meta_close(m);
}

static void the_dead_hold_nothing(void **state)
{
	struct meta *m = open_meta(state);
	const struct job_claim dead = claim_of("dead-w", NULL), dead_cli = claim_of("dead-c", "b1");
	const struct job_claim c = claim_of("h1-w", NULL);

	add(m, "a1", "/a1", "a", 2, false);
	add(m, "b1", "/b1", "b", 1, false);
	next_is(m, &dead, "a1");
	next_is(m, &c, "a1"); /* taken over */
	next_is(m, &dead_cli, "-");
	assert_int_equal(operation_end(m, "a1", OPERATION_FAILED, NULL, NULL, NULL), 0);
	assert_int_equal(job_remove(m, "a1", 2, NULL), 0);
	next_is(m, &c, "b1"); /* its waiter is gone */
	meta_close(m);
}

static int count(void *arg, const struct operation *o)
{
	char *text = arg;

	(void) snprintf(text + strlen(text), 64 - strlen(text), "%s%d ", o->id, (int) o->queue);
	return 0;
}

static void operations_queue(void **state)
{
	struct meta *m = open_meta(state);
	const struct job_claim c = claim_of("h1-w", NULL);
	auto_operation struct operation o = {0};
	char text[64] = "";

	add(m, "1", "/t", "a", 1, true); /* nothing before it: active */
	add(m, "2", "/t", "a", 1, true);
	add(m, "3", "/t", "a", 1, true);
	assert_int_equal(operation_each(m, "/t", count, text, NULL), 0);
	assert_string_equal(text, "10 21 32 ");
	assert_int_equal(operation_active(m, "/t", &o, NULL), 0);
	assert_string_equal(o.id, "1");
	next_is(m, &c, "1");
	next_is(m, &c, "-"); /* there is room, but it is not its turn */
	assert_int_equal(operation_cancel(m, "3", NULL), 0);
	next_is(m, &c, "3"); /* to be ended: that needs no turn */
	end(m, "3");
	end(m, "1");
	next_is(m, &c, "2");
	text[0] = '\0';
	assert_int_equal(operation_each(m, "/t", count, text, NULL), 0);
	assert_string_equal(text, "20 ");
	end(m, "2");
	add(m, "4", "/t", "a", 1, false);
	next_is(m, &c, "4");
	meta_close(m);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(shares_take_turns),
		DBS_TEST(budgets_are_of_a_host),
		DBS_TEST(nothing_overtakes_what_does_not_fit),
		DBS_TEST(a_share_has_its_limit),
		DBS_TEST(whoever_waits_gets_it),
		DBS_TEST(the_dead_hold_nothing),
		DBS_TEST(operations_queue),
	};

	return dbs_run("meta/turns", tests, ARRAY_SIZE(tests));
}
