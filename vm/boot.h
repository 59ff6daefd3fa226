/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A throw-away boot of an exported disk: overlay, seed, guest, agent, facts, end. `kiln run` and
 * the validators use it.
 *
 *	vm_boot_start -> (vm_exec, vm_put_file on vm_boot_vm)* -> vm_boot_facts -> vm_boot_stop
 */
#ifndef KILN_VM_BOOT_H
#define KILN_VM_BOOT_H

#include "vm/vm.h"

struct vm_boot_spec {
	struct vm_host *host;
	struct journal *journal;
	const char *scratch; /* a directory for the overlay is made in it, and removed */
	const char *nbd_socket, *nbd_export;
	uint64_t size_bytes; /* of the guest's disk; 0 = as the export */
	enum vm_firmware firmware;
	bool secure_boot;
	const char *tpm_ca; /* a TPM with certificates of this authority (vm_tpm_make()); NULL =
			       none */
	unsigned cpus, memory_mib; /* 0 = default */
	const char *hostname;      /* NULL = kiln-XXXXXXXX */
	const char *user_data;     /* for cloud-init, or NULL */
	const char *console_log;   /* kept there, or NULL = thrown away */
	bool network, isolated;    /* as in struct vm_spec */
	const char *const *forwards;
	const char *http_proxy_sock;
	uint64_t agent_timeout_ms; /* 0 = 10 minutes */
	struct cancel *cancel;
	const struct event_sink *events;
};

struct vm_boot;

/** vm_boot_start() - returns once the guest agent answers. Errors as vm_wait_agent(); then nothing
 *  is left behind. */
int vm_boot_start(const struct vm_boot_spec *spec, struct vm_boot **ret, struct err *err);
/** vm_boot_vm() - the guest, for vm_exec() and files; borrowed. */
struct vm *vm_boot_vm(struct vm_boot *b);

/**
 * vm_boot_facts() - wait until the system is up, then look
 * @settle_ms: at most so long for services to come up; 0 = 2 minutes
 *
 * @ret: new reference: {"hostName","osRelease","kernel","machineId","systemState" ("running",
 * "degraded", "starting" when @settle_ms passed, "unknown" without systemd),"failedUnits":[..],
 * "secureBoot":bool,"vTpm":bool,"hostKey":"SHA256:.."|null,"stages":{"firmware":s,..,"system":s},
 * "seconds":s}. "seconds" is from the start to the facts; "system" is when
 * start-up was done; kernel and init are the guest's word when its console was silent about them.
 * What the guest cannot tell is null.
 */
int vm_boot_facts(struct vm_boot *b, uint64_t settle_ms, json_t **ret, struct err *err);
/** vm_boot_parse_facts() - what the guest's answer says, as above without stages and seconds. */
int vm_boot_parse_facts(const char *text, json_t **ret, struct err *err);

/** vm_boot_wait_end() - until the guest ends by itself. Return: 0, or the cancel reason. */
int vm_boot_wait_end(struct vm_boot *b, struct cancel *cancel, struct err *err);
/** vm_boot_stop() - end the guest (as vm_stop()) and remove everything; frees @b. NULL is fine. */
int vm_boot_stop(struct vm_boot *b, uint64_t grace_ms, struct err *err);

#endif
