/* SPDX-License-Identifier: Apache-2.0 */
/* `kiln run`: a throw-away boot of what a version, an image or a run holds. */
#ifndef KILN_PROVIDERS_BOOT_H
#define KILN_PROVIDERS_BOOT_H

#include "base/cancel.h"
#include "base/event.h"
#include "providers/app.h"

struct boot_options {
	const char *region; /* normalized; NULL = the first that has the disk whole */
	bool no_secure_boot, no_vtpm;
	bool open_network;           /* the guest may reach out; else forwards only */
	const char *const *forwards; /* as in vm/vm.h; may be NULL */
	unsigned cpus, memory_mib;   /* 0 = default */
	uint64_t timeout_ms;         /* for the guest agent; 0 = default */
	const char *console_log;     /* NULL = thrown away */
	struct cancel *cancel;
	const struct event_sink *events; /* vm.stage */
};

struct boot;

/** boot_open() - boot an overlay of @id (as step_source_load(), or a platform image's
 *  "PUBLISHER:OFFER:SKU[:VERSION]", made when absent) until its guest agent answers.
 *  Generation 2 boots by UEFI, with Secure Boot and a TPM unless told otherwise; generation 1 by
 *  BIOS. On an
 *  error nothing is left. */
int boot_open(struct app *a, const char *id, const struct boot_options *o, struct boot **ret,
	      struct err *err);
/** boot_facts() - vm_boot_facts() and {"version":
 * id,"region","bytesFetched","attestation":{"verdict", "reasons":[]}}; new reference. */
int boot_facts(struct boot *b, json_t **ret, struct err *err);
/** boot_wait() - until the guest ends by itself, or the cancel reason. */
int boot_wait(struct boot *b, struct cancel *cancel, struct err *err);
/** boot_close() - shut the guest down and remove everything; NULL is fine. */
int boot_close(struct boot *b, struct err *err);

#endif
