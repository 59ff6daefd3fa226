/* SPDX-License-Identifier: Apache-2.0 */
/* The data directory's own files: format number, admin.json, kiln.yaml, regions, run directory. */
#ifndef KILN_PROVIDERS_APP_DIR_H
#define KILN_PROVIDERS_APP_DIR_H

#include "providers/app.h"

/** app_dir_find() - choose and make the directory; absolute path, caller frees. */
int app_dir_find(const char *given, char **ret, struct err *err);
/** app_dir_run() - where the sockets of a data directory (absolute path) are; caller frees, NULL
 *  when memory ran out. */
char *app_dir_run(const char *data_dir);
/** app_dir_prepare() - fill format, config, admin, regions and run_dir of @a; makes what is absent.
 *  The caller holds DIR/init.lock. */
int app_dir_prepare(struct app *a, struct err *err);

#endif
