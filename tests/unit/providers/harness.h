/* SPDX-License-Identifier: Apache-2.0 */
/* An app in a directory of its own, and requests to it. */
#ifndef KILN_TESTS_PROVIDERS_HARNESS_H
#define KILN_TESTS_PROVIDERS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "providers/app.h"

struct harness {
	struct app *app;
	char dir[64], run_dir[64];
	const struct arm_principal *who; /* who asks; NULL = the owner */
	/* The last answer. */
	int status;
	json_t *body;  /* owned */
	char code[96]; /* ARM error code of the answer or of the operation it started; "" = none */
	char target[160];
	char message[1024];
	char location[512]; /* of its operation's result; "" = none */
	int work;           /* what the operation ended with */
};

/** harness_setup() / harness_teardown() - cmocka fixtures; a fresh app with group "g". */
int harness_setup(void **state);
int harness_teardown(void **state);
/** harness_reopen() - close the app and open it again. */
void harness_reopen(struct harness *h);

/**
 * call() - one request, and its operation run to the end
 * @path: "/..." below the group "g"'s id when it begins with "~" ("~/providers/..."), below the
 *	Microsoft.Compute provider of it when it begins with "@" ("@galleries/x"), below Image
 *	Builder's when it begins with "%", below the subscription when with "$"; otherwise as it is
 * @body: JSON text with ' for ", or NULL
 * Return: the status of the answer.
 */
int call(struct harness *h, const char *method, const char *path, const char *version,
	 const char *body);
/** start() - the same without running the operation. */
int start(struct harness *h, const char *method, const char *path, const char *version,
	  const char *body);
/** expect_ok() - call() that must be answered 2xx and end well. */
void expect_ok(struct harness *h, const char *method, const char *path, const char *version,
	       const char *body);
/** expect_error() - call() that must be answered @status with @code; @target may be NULL. */
void expect_error(struct harness *h, const char *method, const char *path, const char *version,
		  const char *body, int status, const char *code, const char *target);
/** text_at() - string of the last body; fails the test when it is none. */
const char *text_at(struct harness *h, const char *path);

/** make_gallery() - gallery "gal" and definition "def" (Linux, Generalized, V2, x64) in eastus. */
void make_gallery(struct harness *h);
/** make_run() - a run with an artefact of @fill bytes in eastus, as a bake leaves it; its id, valid
 *  until the next call. */
const char *make_run(struct harness *h, char fill);
/** make_version() - a version of gal/def from a new run. */
void make_version(struct harness *h, const char *name, const char *more_profile);

#define V23 "2023-07-03"
#define V25 "2025-12-03"

#endif
