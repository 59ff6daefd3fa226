/* SPDX-License-Identifier: Apache-2.0 */
/* Where an image goes: the format that the place takes, and what it needs inside the image. */
#ifndef KILN_PROVIDERS_DESTINATION_H
#define KILN_PROVIDERS_DESTINATION_H

#include "base/json.h"
#include "store/store.h"

struct destination {
	const char *name;          /* "azure" */
	const char *format;        /* disk/formats/format.h */
	uint64_t max_bytes;        /* of a system disk */
	const char *generation;    /* "V1": only that one; NULL = both */
	const char *const *agents; /* one of these files; NULL-terminated; NULL = none needed */
	const char *agent_hint;
	const char *driver; /* of the kernel's configuration: what the system disk hangs on */
	bool console;       /* it shows the serial console */
};

/** destination_find() - by name; NULL with the known ones in @err. */
const struct destination *destination_find(const char *name, struct err *err);

/**
 * destination_check() - what @disk lacks for a place
 * @generation: "V1" or "V2"
 * @ret: [{"check","fatal","text"}], new reference; empty when nothing is missing
 *
 * Reads the partition table and the root file system through the store; nothing is mounted. An
 * image whose root is not ext4 is not looked into: one finding says so.
 */
int destination_check(struct store *s, unsigned region, const struct disk_ref *disk,
		      const struct destination *place, const char *generation, json_t **ret,
		      struct err *err);

#endif
