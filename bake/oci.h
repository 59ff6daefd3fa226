/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI runtime configuration of one step (runtime-spec 1.0.2). Pure: no I/O. */
#ifndef KILN_BAKE_OCI_H
#define KILN_BAKE_OCI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

struct oci_step {
	const char *const *argv;
	const char *const *envp; /* "NAME=value", NULL-terminated */
	const char *root;        /* directory of the mounted image, as the runtime sees it */
	const char *files;       /* directory shown as /run/kiln, or NULL */
	const char *policy;      /* file shown as /usr/sbin/policy-rc.d, or NULL */
	const char *cwd;
	bool terminal;
	uint64_t nofile; /* RLIMIT_NOFILE */
	uint64_t nproc;  /* RLIMIT_NPROC; 0 = leave */
};

/** oci_config() - new reference; NULL when memory ran out. */
json_t *oci_config(const struct oci_step *s);

#endif
