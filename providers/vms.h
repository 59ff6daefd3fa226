/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual machines. A VM's document keeps, hidden from clients, under "vm":
 *	power		"running" | "stopped" | "deallocated": what was asked for last
 *	image		{"id","region","disk","dataDisks","facts"}; {"urn"} of a platform image
 *until its job resolved it
 *	secrets		{"passwordHash","customData","userData"} until they are in its directory
 *	console		{"key"}: signs URLs of its console
 *	generation	counts reimages: the instance id that cloud-init sees
 *
 * What it has on disk is DIR/vms/VMID (vm_files.c); while it runs it belongs to a keeper process
 * (vm_keeper.c, vm/keeper.h), and RUN/vm/VMID.json says how it is. In the store its disks are roots
 * of kind "vm" under its key, data disks under KEY#LUN: content stays as long as the VM does,
 * whatever becomes of the image.
 */
#ifndef KILN_PROVIDERS_VMS_H
#define KILN_PROVIDERS_VMS_H

#include "providers/common.h"

#define TYPE_VM "Microsoft.Compute/virtualMachines"
#define VM_ROOT "vm"

#define P_VM_SIZE  "properties.hardwareProfile.vmSize"
#define P_VM_ID    "properties.vmId"
#define P_IMAGE    "properties.storageProfile.imageReference"
#define P_OS_DISK  "properties.storageProfile.osDisk"
#define P_OS       "properties.osProfile"
#define P_SECURITY "properties.securityProfile"
#define VM_IMAGE   "vm.image"
#define VM_POWER   "vm.power"
#define VM_SECRETS "vm.secrets"

/* ---- vm_sizes.c ---- */
struct vm_size {
	unsigned cpus, memory_mib;
};
/** vm_size_find() - "Standard_B1ms". 0 or -ENOENT. */
int vm_size_find(const char *name, struct vm_size *ret);

/* ---- vm_rules.c: what a request must say ---- */
int vm_rules_create(struct arm_call *c, struct err *err);
int vm_rules_update(struct arm_call *c, struct err *err);
bool vm_uefi(const json_t *doc);
bool vm_secure_boot(const json_t *doc);
bool vm_has_tpm(const json_t *doc);

/* ---- vm_files.c: DIR/vms/VMID ---- */
/** vm_dir() - caller frees; NULL on ENOMEM. */
char *vm_dir(const struct app *a, const char *vm_id);
/** vm_run_path() - RUN/vm/VMID + @suffix (".json": its state, ".sock": its keeper). */
char *vm_run_path(const struct app *a, const char *vm_id, const char *suffix);
/** vm_files_write() - the directory, what cloud-init is told, and vm.json, which the keeper reads:
 *  from the document. May run again. */
int vm_files_write(struct app *a, const json_t *doc, struct err *err);
/** vm_files_reimage() - forget disks, UEFI variables and the TPM. */
int vm_files_reimage(struct app *a, const char *vm_id, struct err *err);
/** vm_files_remove() - everything that a VM has on disk; its keeper has ended. */
int vm_files_remove(struct app *a, const char *vm_id, struct err *err);
/** vm_sweep() - a chore: directories of VMs that no resource has any more. */
int vm_sweep(struct app *a, struct err *err);

/* ---- vm_keeper.c ---- */
/** vm_keeper_start() - returns when the guest runs, or one does already. */
int vm_keeper_start(struct app *a, const char *vm_id, struct cancel *cancel, struct err *err);
/** vm_keeper_stop() - the guest is shut down within @grace_ms, else powered off; 0 when none runs.
 */
int vm_keeper_stop(struct app *a, const char *vm_id, uint64_t grace_ms, struct err *err);
/** vm_keeper_main() - the role: `kiln vmkeeper DATA VMID`. */
int vm_keeper_main(const char *data_dir, const char *vm_id);

/* ---- vm_job.c ---- */
arm_job_fn vm_create_job, vm_start_job, vm_stop_job, vm_restart_job, vm_reimage_job, vm_delete_job,
	vm_command_job;

/* ---- vm_view.c ---- */
/** vm_instance_view() - new reference, or NULL on ENOMEM. */
json_t *vm_instance_view(const struct app *a, const json_t *doc);
arm_hook vm_view_hook, vm_instance_hook, vm_diagnostics_hook;
/** vm_console_handle() - the handler of signed URLs of consoles (struct arm_port). */
#define VM_CONSOLE_PREFIX "/serial/"
int vm_console_handle(struct arm *arm, const struct arm_request *req, struct arm_response *ret,
		      struct err *err);

#endif
