/* SPDX-License-Identifier: Apache-2.0 */
/* A small world to test arm/ in: a real database in a temporary directory and a few types. */
#ifndef KILN_TEST_ARM_SUPPORT_H
#define KILN_TEST_ARM_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdint.h>
#include <cmocka.h>

#include "arm/arm.h"
#include "base/mem.h"
#include "meta/meta.h"
#include "support/dbs.h"

#define SUB   "/subscriptions/11111111-2222-3333-4444-555555555555"
#define GROUP SUB "/resourceGroups/rg"
#define BOXES GROUP "/providers/Test.Kiln/boxes"
#define V     "api-version=2023-01-01"

struct world {
	struct dbs *dbs; /* NULL: of another world */
	char url[PG_URL_MAX];
	struct meta *meta;
	struct arm *arm;
	struct arm_principal owner, guest;
	atomic_int hook_calls, job_calls;
	int streams_open;
	int (*job)(struct arm_job *job, struct err *err); /* what a box's jobs do; NULL = succeed */
};

extern const struct arm_type *const world_types[];

/** world_open() - on the database of another world, by its URL. */
struct world *world_open(const char *url);
void world_close(struct world *w);
/** world_setup() - with the resource group "rg"; for dbs_run_with(). */
int world_setup(void **state);
int world_teardown(void **state);

/** ask() - one request; @body is JSON text or NULL. Release with arm_response_done(). */
struct arm_response ask(struct world *w, const char *method, const char *target, const char *body);
struct arm_response ask_req(struct world *w, struct arm_request *req);
/** expect() - ask, assert the status (and @code of an error when not NULL). New reference to the
 *  body, which may be NULL. */
json_t *expect(struct world *w, const char *method, const char *target, const char *body,
	       int status, const char *code);
void expect_drop(struct world *w, const char *method, const char *target, const char *body,
		 int status, const char *code);
/** finish() - run the operation of a response; asserts that it succeeds. */
void finish(struct world *w, const struct arm_response *res);

#endif
