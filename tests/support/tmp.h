/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary directories and what a test must find unchanged. Failures end the test. */
#ifndef KILN_TESTS_SUPPORT_TMP_H
#define KILN_TESTS_SUPPORT_TMP_H

#include <stddef.h>
#include <stdbool.h>

#define TMP_DIR_MAX 64

/** tmp_dir_setup(), tmp_dir_teardown() - cmocka fixture: *@state is the path of a new directory,
 *  removed with all in it. */
int tmp_dir_setup(void **state);
int tmp_dir_teardown(void **state);

/** tmp_path() - "DIR/NAME"; stays valid to the end of the program. For one thread only. */
const char *tmp_path(const char *dir, const char *name);
/** tmp_file() - make a file that holds @text; returns its path as tmp_path() does. */
const char *tmp_file(const char *dir, const char *name, const char *text);
/** tmp_holds() - does the file hold exactly @text? */
bool tmp_holds(const char *path, const char *text);
/** tmp_names() - number of names in a directory, "." and ".." aside. */
unsigned tmp_names(const char *dir);
/** tmp_fds() - number of open descriptors of this process. */
unsigned tmp_fds(void);
/** tmp_skip() - say why a test cannot run here, then skip it. */
void tmp_skip(const char *why) __attribute__((noreturn));

#endif
