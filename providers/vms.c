/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/virtualMachines: shape, table, and what requests start. */
#include "base/mem.h"
#include "providers/registry.h"
#include "providers/vms.h"

static const char *const create_options[] = {"FromImage", "Empty",   "Attach",
					     "Copy",      "Restore", NULL};
static const char *const os_types[] = {"Windows", "Linux", NULL};
static const char *const caching[] = {"None", "ReadOnly", "ReadWrite", NULL};
static const char *const delete_options[] = {"Delete", "Detach", NULL};
static const char *const security_types[] = {"TrustedLaunch", "ConfidentialVM", "Standard", NULL};
static const char *const onoff[] = {"Enabled", "Disabled", NULL};
static const char *const protocols[] = {"Tcp", "Udp", NULL};

static const struct arm_field image_fields[] = {
	{"id", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"sharedGalleryImageId", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"communityGalleryImageId", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"publisher", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"offer", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"sku", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"version", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"exactVersion", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const struct arm_field managed_disk[] = {
	{"id", ARM_STRING, ARM_NULLABLE},
	{"storageAccountType", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field os_disk_fields[] = {
	{"name", ARM_STRING, ARM_NULLABLE},
	{"osType", ARM_STRING, ARM_NULLABLE, .values = os_types},
	{"createOption", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = create_options},
	{"caching", ARM_STRING, ARM_NULLABLE, .values = caching},
	{"diskSizeGB", ARM_INT, ARM_IMMUTABLE | ARM_NULLABLE, .min = 1, .max = 32767},
	{"deleteOption", ARM_STRING, ARM_NULLABLE, .values = delete_options},
	{"managedDisk", ARM_OBJECT, ARM_NULLABLE, .fields = managed_disk},
	{NULL},
};
static const struct arm_field data_disk_fields[] = {
	{"lun", ARM_INT, ARM_REQUIRED, .min = 0, .max = 63},
	{"name", ARM_STRING, ARM_NULLABLE},
	{"createOption", ARM_STRING, ARM_NULLABLE, .values = create_options},
	{NULL},
};
static const struct arm_field storage_fields[] = {
	{"imageReference", ARM_OBJECT, ARM_REQUIRED, .fields = image_fields},
	{"osDisk", ARM_OBJECT, ARM_NULLABLE, .fields = os_disk_fields},
	{"dataDisks", ARM_ARRAY, ARM_NULLABLE, .fields = data_disk_fields, .max = 64},
	{NULL},
};
static const struct arm_field key_fields[] = {
	{"path", ARM_STRING, ARM_NULLABLE},
	{"keyData", ARM_STRING, ARM_REQUIRED, .max = 16384},
	{NULL},
};
static const struct arm_field ssh_fields[] = {
	{"publicKeys", ARM_ARRAY, ARM_NULLABLE, .fields = key_fields, .max = 64},
	{NULL},
};
static const struct arm_field linux_fields[] = {
	{"disablePasswordAuthentication", ARM_BOOL, ARM_IMMUTABLE | ARM_NULLABLE},
	{"ssh", ARM_OBJECT, ARM_NULLABLE, .fields = ssh_fields},
	{"provisionVMAgent", ARM_BOOL, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field os_fields[] = {
	{"computerName", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"adminUsername", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"adminPassword", ARM_STRING, ARM_WRITEONLY | ARM_NULLABLE},
	{"customData", ARM_STRING, ARM_WRITEONLY | ARM_NULLABLE, .max = 87380},
	{"linuxConfiguration", ARM_OBJECT, ARM_NULLABLE, .fields = linux_fields},
	{NULL},
};
static const struct arm_field interface_properties[] = {
	{"primary", ARM_BOOL, ARM_NULLABLE},
	{"deleteOption", ARM_STRING, ARM_NULLABLE, .values = delete_options},
	{NULL},
};
static const struct arm_field interface_fields[] = {
	{"id", ARM_STRING, ARM_REQUIRED},
	{"properties", ARM_OBJECT, ARM_NULLABLE, .fields = interface_properties},
	{NULL},
};
static const struct arm_field network_fields[] = {
	{"networkInterfaces", ARM_ARRAY, ARM_NULLABLE, .fields = interface_fields, .max = 1},
	{NULL},
};
static const struct arm_field uefi_fields[] = {
	{"secureBootEnabled", ARM_BOOL, ARM_IMMUTABLE | ARM_NULLABLE},
	{"vTpmEnabled", ARM_BOOL, ARM_IMMUTABLE | ARM_NULLABLE},
	{NULL},
};
static const struct arm_field security_fields[] = {
	{"securityType", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = security_types},
	{"uefiSettings", ARM_OBJECT, ARM_NULLABLE, .fields = uefi_fields},
	{NULL},
};
static const struct arm_field boot_fields[] = {
	{"enabled", ARM_BOOL, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field diagnostics_fields[] = {
	{"bootDiagnostics", ARM_OBJECT, ARM_NULLABLE, .fields = boot_fields},
	{NULL},
};
static const struct arm_field hardware_fields[] = {
	{"vmSize", ARM_STRING, ARM_REQUIRED},
	{NULL},
};
static const struct arm_field forward_fields[] = {
	{"protocol", ARM_STRING, ARM_NULLABLE, .values = protocols},
	{"hostAddress", ARM_STRING, ARM_NULLABLE, .pattern = "^[0-9]{1,3}(\\.[0-9]{1,3}){3}$"},
	{"hostPort", ARM_INT, ARM_REQUIRED, .min = 1, .max = 65535},
	{"guestPort", ARM_INT, ARM_REQUIRED, .min = 1, .max = 65535},
	{NULL},
};
static const struct arm_field kiln_fields[] = {
	{"forwards", ARM_ARRAY, ARM_NULLABLE, .fields = forward_fields, .max = 64},
	{"outboundAccess", ARM_STRING, ARM_NULLABLE, .values = onoff},
	{NULL},
};
static const struct arm_field vm_properties[] = {
	{"hardwareProfile", ARM_OBJECT, ARM_REQUIRED, .fields = hardware_fields},
	{"storageProfile", ARM_OBJECT, ARM_REQUIRED, .fields = storage_fields},
	{"osProfile", ARM_OBJECT, ARM_NULLABLE, .fields = os_fields},
	{"networkProfile", ARM_OBJECT, ARM_NULLABLE, .fields = network_fields},
	{"securityProfile", ARM_OBJECT, ARM_NULLABLE, .fields = security_fields},
	{"diagnosticsProfile", ARM_OBJECT, ARM_NULLABLE, .fields = diagnostics_fields},
	{"userData", ARM_STRING, ARM_WRITEONLY | ARM_NULLABLE, .max = 87380},
	{"vmId", ARM_STRING, ARM_READONLY},
	{"timeCreated", ARM_DATE, ARM_READONLY},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{"instanceView", ARM_ANY, ARM_READONLY},
	{"kiln", ARM_OBJECT, ARM_NULLABLE, .fields = kiln_fields},
	{NULL},
};

static const struct arm_field parameter_fields[] = {
	{"name", ARM_STRING, ARM_REQUIRED, .pattern = "^[A-Za-z_][A-Za-z0-9_]*$"},
	{"value", ARM_STRING, ARM_REQUIRED},
	{NULL},
};
static const struct arm_field command_fields[] = {
	{"commandId", ARM_STRING, ARM_REQUIRED},
	{"script", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING, .max = 4096},
	{"parameters", ARM_ARRAY, ARM_NULLABLE, .fields = parameter_fields, .max = 64},
	{NULL},
};

/* ---- Hooks ---------------------------------------------------------------------------------- */

static int vm_write(struct arm_call *c, struct err *err)
{
	const char *state = json_str_at(c->old, "properties.provisioningState");
	int r = c->old ? vm_rules_update(c, err) : vm_rules_create(c, err);

	if (r < 0)
		return r;
	/* What failed while it was made is tried again. */
	if (!c->old || (state && strcmp(state, "Failed") == 0))
		return arm_call_job(c, "create", NULL, err);
	return 0;
}

static int vm_delete(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "delete", NULL, err);
}

static int vm_start_action(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "start", NULL, err);
}

static int vm_power_off(struct arm_call *c, struct err *err)
{
	const char *skip = arm_query(c, "skipShutdown");

	return arm_call_job(c, "stop",
			    json_pack("{s:s, s:b}", "power", "stopped", "skipShutdown",
				      skip && str_eq_nocase(skip, "true")),
			    err);
}

static int vm_deallocate(struct arm_call *c, struct err *err)
{
	return arm_call_job(
		c, "stop", json_pack("{s:s, s:b}", "power", "deallocated", "skipShutdown", 0), err);
}

static int vm_restart(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "restart", NULL, err);
}

static int vm_reimage(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "reimage", NULL, err);
}

static int vm_command(struct arm_call *c, struct err *err)
{
	const char *id = json_str_at(c->body, "commandId");

	if (!id || !str_eq_nocase(id, "RunShellScript"))
		return refuse(err, -EINVAL, "InvalidParameter", "commandId",
			      "commandId '%s' is not available here; RunShellScript is",
			      id ? id : "");
	if (json_array_size(json_object_get(c->body, "script")) == 0)
		return refuse(err, -EINVAL, "InvalidParameter", "script",
			      "script: the lines to run expected");
	return arm_call_job(c, "command", json_deep_copy(c->body), err);
}

static const struct arm_action vm_actions[] = {
	{"start", "POST", "start/action", vm_start_action},
	{"powerOff", "POST", "powerOff/action", vm_power_off},
	{"deallocate", "POST", "deallocate/action", vm_deallocate},
	{"restart", "POST", "restart/action", vm_restart},
	{"reimage", "POST", "reimage/action", vm_reimage},
	{"runCommand", "POST", "runCommand/action", vm_command, command_fields},
	{"retrieveBootDiagnosticsData", "POST", "retrieveBootDiagnosticsData/action",
	 vm_diagnostics_hook, .secret = true},
	{"instanceView", "GET", "instanceView/read", vm_instance_hook},
	{NULL},
};
static const struct arm_job_kind vm_jobs[] = {
	{"create", vm_create_job, "Creating"},   {"start", vm_start_job, "Updating"},
	{"stop", vm_stop_job, "Updating"},       {"restart", vm_restart_job, "Updating"},
	{"reimage", vm_reimage_job, "Updating"}, {"command", vm_command_job, NULL},
	{"delete", vm_delete_job, "Deleting"},   {NULL},
};

const struct arm_type type_vms = {
	.name = TYPE_VM,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2015-06-15",
	.versions = compute_api_versions,
	.name_pattern = "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$",
	.name_max = 64,
	.operation_path = "providers/Microsoft.Compute/locations/%s/operations",
	.tracked = true,
	.properties = vm_properties,
	.write = vm_write,
	.del = vm_delete,
	.view = vm_view_hook,
	.actions = vm_actions,
	.jobs = vm_jobs,
};
