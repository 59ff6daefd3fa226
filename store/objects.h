/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of manifests. Private to store/ and its fuzz target. */
#ifndef KILN_STORE_OBJECTS_H
#define KILN_STORE_OBJECTS_H

#include "store/store.h"

/** manifest_parse() - are these the canonical bytes that @d names? -EINVAL, -EBADMSG, -ENOMEM. */
int manifest_parse(const char *text, size_t n, const struct digest *d, json_t **ret,
		   struct err *err);

#endif
