/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, types and spellings of an image template's fields. What the fields mean, and every rule
 * between them, is bake_check()'s: it also serves templates that never become resources.
 */
#include "providers/template_shape.h"

static const char *const identity_types[] = {"None", "UserAssigned", NULL};
static const char *const on_off[] = {"Enabled", "Disabled", NULL};
static const char *const on_error[] = {"cleanup", "abort", NULL};
static const char *const schemes[] = {"Latest", "Source", NULL};
static const char *const modes[] = {"Full", "Shallow", NULL};

static const struct arm_field identity_fields[] = {
	{"type", ARM_STRING, ARM_REQUIRED, .values = identity_types},
	{"userAssignedIdentities", ARM_OBJECT, ARM_NULLABLE},
	{"principalId", ARM_STRING, ARM_READONLY},
	{"tenantId", ARM_STRING, ARM_READONLY},
	{NULL},
};
const struct arm_field template_envelope[] = {
	{"identity", ARM_OBJECT, ARM_NULLABLE, .fields = identity_fields},
	{NULL},
};

/* ---- Source --------------------------------------------------------------------------------- */

static const struct arm_field plan_fields[] = {
	{"planName", ARM_STRING, ARM_REQUIRED},
	{"planProduct", ARM_STRING, ARM_REQUIRED},
	{"planPublisher", ARM_STRING, ARM_REQUIRED},
	{NULL},
};
static const struct arm_field platform_fields[] = {
	{"publisher", ARM_STRING, ARM_NULLABLE},
	{"offer", ARM_STRING, ARM_NULLABLE},
	{"sku", ARM_STRING, ARM_NULLABLE},
	{"version", ARM_STRING, ARM_NULLABLE},
	{"exactVersion", ARM_STRING, ARM_READONLY},
	{"planInfo", ARM_OBJECT, ARM_NULLABLE, .fields = plan_fields},
	{NULL},
};
static const struct arm_field managed_fields[] = {
	{"imageId", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field shared_fields[] = {
	{"imageVersionId", ARM_STRING, ARM_NULLABLE},
	{"exactVersion", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const struct arm_case source_cases[] = {
	{"PlatformImage", platform_fields},
	{"ManagedImage", managed_fields},
	{"SharedImageVersion", shared_fields},
	{NULL},
};

/* ---- Customizers and validators ------------------------------------------------------------- */

static const struct arm_field step_common[] = {
	{"name", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field shell_fields[] = {
	{"scriptUri", ARM_STRING, ARM_NULLABLE},
	{"sha256Checksum", ARM_STRING, ARM_NULLABLE},
	{"inline", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING},
	{NULL},
};
static const struct arm_field powershell_fields[] = {
	{"scriptUri", ARM_STRING, ARM_NULLABLE},
	{"sha256Checksum", ARM_STRING, ARM_NULLABLE},
	{"inline", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING},
	{"runElevated", ARM_BOOL, ARM_NULLABLE},
	{"runAsSystem", ARM_BOOL, ARM_NULLABLE},
	{"validExitCodes", ARM_ARRAY, ARM_NULLABLE, .item = ARM_INT},
	{NULL},
};
static const struct arm_field file_fields[] = {
	{"sourceUri", ARM_STRING, ARM_NULLABLE},
	{"sha256Checksum", ARM_STRING, ARM_NULLABLE},
	{"destination", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field restart_fields[] = {
	{"restartCommand", ARM_STRING, ARM_NULLABLE},
	{"restartCheckCommand", ARM_STRING, ARM_NULLABLE},
	{"restartTimeout", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field update_fields[] = {
	{"searchCriteria", ARM_STRING, ARM_NULLABLE},
	{"filters", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING},
	{"updateLimit", ARM_INT, ARM_NULLABLE},
	{NULL},
};
static const struct arm_case customize_cases[] = {
	{"Shell", shell_fields},
	{"PowerShell", powershell_fields},
	{"File", file_fields},
	{"WindowsRestart", restart_fields},
	{"WindowsUpdate", update_fields},
	{NULL},
};
static const struct arm_case validate_cases[] = {
	{"Shell", shell_fields},
	{"PowerShell", powershell_fields},
	{"File", file_fields},
	{NULL},
};
static const struct arm_field validate_fields[] = {
	{"continueDistributeOnFailure", ARM_BOOL, ARM_NULLABLE},
	{"sourceValidationOnly", ARM_BOOL, ARM_NULLABLE},
	{"inVMValidations", ARM_ARRAY, ARM_NULLABLE, .fields = step_common, .tag = "type",
	 .cases = validate_cases, .bad_case_code = "BadValidatorType"},
	{NULL},
};

/* ---- Distribution --------------------------------------------------------------------------- */

static const struct arm_field distribute_common[] = {
	{"runOutputName", ARM_STRING, ARM_NULLABLE},
	{"artifactTags", ARM_MAP, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field managed_target[] = {
	{"imageId", ARM_STRING, ARM_NULLABLE},
	{"location", ARM_STRING, ARM_NULLABLE | ARM_LOCATION},
	{NULL},
};
static const struct arm_field region_fields[] = {
	{"name", ARM_STRING, ARM_REQUIRED | ARM_LOCATION},
	{"replicaCount", ARM_INT, ARM_NULLABLE, .min = 1, .max = 100},
	{"storageAccountType", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field versioning_fields[] = {
	{"scheme", ARM_STRING, ARM_REQUIRED, .values = schemes},
	{"major", ARM_INT, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field shared_target[] = {
	{"galleryImageId", ARM_STRING, ARM_NULLABLE},
	{"targetRegions", ARM_ARRAY, ARM_NULLABLE, .fields = region_fields, .max = 100},
	{"replicationRegions", ARM_ARRAY, ARM_NULLABLE | ARM_LOCATION, .item = ARM_STRING,
	 .max = 100},
	{"storageAccountType", ARM_STRING, ARM_NULLABLE},
	{"excludeFromLatest", ARM_BOOL, ARM_NULLABLE},
	{"versioning", ARM_OBJECT, ARM_NULLABLE, .fields = versioning_fields,
	 .since = "2022-07-01"},
	{"replicationMode", ARM_STRING, ARM_NULLABLE, .values = modes, .since = "2025-10-01"},
	{NULL},
};
static const struct arm_field vhd_target[] = {
	{"uri", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_case distribute_cases[] = {
	{"ManagedImage", managed_target},
	{"SharedImage", shared_target},
	{"VHD", vhd_target},
	{NULL},
};

/* ---- The rest ------------------------------------------------------------------------------- */

static const struct arm_field vm_boot_fields[] = {
	{"state", ARM_STRING, ARM_NULLABLE, .values = on_off},
	{NULL},
};
static const struct arm_field workload_fields[] = {
	{"state", ARM_STRING, ARM_NULLABLE, .values = on_off},
	{"scriptUri", ARM_STRING, ARM_NULLABLE},
	{"sha256Checksum", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field optimize_fields[] = {
	{"vmBoot", ARM_OBJECT, ARM_NULLABLE, .fields = vm_boot_fields},
	{"workload", ARM_OBJECT, ARM_NULLABLE, .fields = workload_fields, .since = "2025-10-01"},
	{NULL},
};
static const struct arm_field error_fields[] = {
	{"onCustomizerError", ARM_STRING, ARM_NULLABLE, .values = on_error},
	{"onValidationError", ARM_STRING, ARM_NULLABLE, .values = on_error},
	{NULL},
};
static const struct arm_field vnet_fields[] = {
	{"subnetId", ARM_STRING, ARM_NULLABLE | ARM_ID},
	{"proxyVmSize", ARM_STRING, ARM_NULLABLE},
	{"containerInstanceSubnetId", ARM_STRING, ARM_NULLABLE | ARM_ID},
	{NULL},
};
static const struct arm_field data_disk_fields[] = {
	{"sizeGB", ARM_INT, ARM_NULLABLE, .min = 1, .max = 32767},
	{NULL},
};
static const struct arm_field vm_profile_fields[] = {
	{"vmSize", ARM_STRING, ARM_NULLABLE},
	{"osDiskSizeGB", ARM_INT, ARM_NULLABLE, .min = 0, .max = 32767},
	{"userAssignedIdentities", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING},
	{"vnetConfig", ARM_OBJECT, ARM_NULLABLE, .fields = vnet_fields},
	{"additionalDataDisks", ARM_ARRAY, ARM_NULLABLE, .fields = data_disk_fields,
	 .since = "2025-10-01"},
	{NULL},
};
static const struct arm_field auto_run_fields[] = {
	{"state", ARM_STRING, ARM_NULLABLE, .values = on_off},
	{NULL},
};

const struct arm_field template_properties[] = {
	{"source", ARM_OBJECT, ARM_REQUIRED, .tag = "type", .cases = source_cases,
	 .bad_case_code = "BadSourceType"},
	{"customize", ARM_ARRAY, ARM_NULLABLE, .fields = step_common, .tag = "type",
	 .cases = customize_cases, .bad_case_code = "BadCustomizerType"},
	{"optimize", ARM_OBJECT, ARM_NULLABLE, .fields = optimize_fields, .since = "2022-07-01"},
	{"validate", ARM_OBJECT, ARM_NULLABLE, .fields = validate_fields},
	{"distribute", ARM_ARRAY, ARM_REQUIRED, .fields = distribute_common, .tag = "type",
	 .cases = distribute_cases, .bad_case_code = "BadDistributeType", .min = 1},
	{"errorHandling", ARM_OBJECT, ARM_NULLABLE, .fields = error_fields, .since = "2023-07-01"},
	{"buildTimeoutInMinutes", ARM_INT, ARM_NULLABLE, .min = 0, .max = 960},
	{"vmProfile", ARM_OBJECT, ARM_NULLABLE, .fields = vm_profile_fields},
	{"stagingResourceGroup", ARM_STRING, ARM_NULLABLE, .max = 2048, .since = "2022-02-14"},
	{"managedResourceTags", ARM_MAP, ARM_NULLABLE, .since = "2024-02-01"},
	{"autoRun", ARM_OBJECT, ARM_NULLABLE, .fields = auto_run_fields, .since = "2024-02-01"},
	{"kiln", ARM_OBJECT, ARM_NULLABLE},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{"provisioningError", ARM_ANY, ARM_READONLY},
	{"lastRunStatus", ARM_ANY, ARM_READONLY},
	{"exactStagingResourceGroup", ARM_STRING, ARM_READONLY},
	{NULL},
};
