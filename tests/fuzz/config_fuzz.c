/* SPDX-License-Identifier: Apache-2.0 */
/* kiln.yaml: any bytes give a document of known keys, or an error. */
#include <stdint.h>
#include <stdlib.h>

#include "providers/app.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err e = ERR_INIT;
	json_t *j = NULL;
	int r = config_parse("kiln.yaml", (const char *) data, n, &j, &e);

	if ((r == 0) != (j != NULL) || (r < 0 && !e.msg))
		abort();
	json_decref(j);
	err_done(&e);
	return 0;
}
