/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/disks and snapshots: shapes and tables. */
#include "providers/disk.h"
#include "providers/registry.h"

const char *disk_root_kind(const char *type)
{
	return strcasecmp(type, TYPE_SNAPSHOT) == 0 ? "snapshot" : "disk";
}

static const char *const os_types[] = {"Windows", "Linux", NULL};
static const char *const generations[] = {"V1", "V2", NULL};
static const char *const architectures[] = {"x64", "Arm64", NULL};
static const char *const options[] = {"Empty",
				      "Attach",
				      "FromImage",
				      "Import",
				      "Copy",
				      "Restore",
				      "Upload",
				      "CopyStart",
				      "ImportSecure",
				      "UploadPreparedSecure",
				      "CopyFromSanSnapshot",
				      NULL};
static const char *const disk_skus[] = {"Standard_LRS",  "Premium_LRS", "StandardSSD_LRS",
					"UltraSSD_LRS",  "Premium_ZRS", "StandardSSD_ZRS",
					"PremiumV2_LRS", NULL};
static const char *const snapshot_skus[] = {"Standard_LRS", "Premium_LRS", "Standard_ZRS", NULL};
static const char *const encryption_types[] = {"EncryptionAtRestWithPlatformKey",
					       "EncryptionAtRestWithCustomerKey",
					       "EncryptionAtRestWithPlatformAndCustomerKeys", NULL};
static const char *const network_policies[] = {"AllowAll", "AllowPrivate", "DenyAll", NULL};
static const char *const public_access[] = {"Enabled", "Disabled", NULL};
static const char *const auth_modes[] = {"AzureActiveDirectory", "None", NULL};
static const char *const security_types[] = {
	"TrustedLaunch",
	"ConfidentialVM_VMGuestStateOnlyEncryptedWithPlatformKey",
	"ConfidentialVM_DiskEncryptedWithPlatformKey",
	"ConfidentialVM_DiskEncryptedWithCustomerKey",
	"ConfidentialVM_NonPersistedTPM",
	NULL};
static const char *const accesses[] = {"None", "Read", "Write", NULL};

static const struct arm_field image_reference_fields[] = {
	{"id", ARM_STRING, ARM_NULLABLE},
	{"sharedGalleryImageId", ARM_STRING, ARM_NULLABLE},
	{"communityGalleryImageId", ARM_STRING, ARM_NULLABLE},
	{"lun", ARM_INT, ARM_NULLABLE, .min = 0, .max = 63},
	{NULL},
};
static const struct arm_field creation_fields[] = {
	{"createOption", ARM_STRING, ARM_REQUIRED, .values = options},
	{"storageAccountId", ARM_STRING, ARM_NULLABLE},
	{"imageReference", ARM_OBJECT, ARM_NULLABLE, .fields = image_reference_fields},
	{"galleryImageReference", ARM_OBJECT, ARM_NULLABLE, .fields = image_reference_fields},
	{"sourceUri", ARM_STRING, ARM_NULLABLE, .max = 8192},
	{"sourceResourceId", ARM_STRING, ARM_NULLABLE},
	{"sourceUniqueId", ARM_STRING, ARM_READONLY},
	{"uploadSizeBytes", ARM_INT, ARM_NULLABLE, .min = 1024, .max = UPLOAD_MAX},
	{"logicalSectorSize", ARM_INT, ARM_NULLABLE},
	{"securityDataUri", ARM_STRING, ARM_NULLABLE},
	{"performancePlus", ARM_BOOL, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field encryption_fields[] = {
	{"diskEncryptionSetId", ARM_STRING, ARM_NULLABLE},
	{"type", ARM_STRING, ARM_NULLABLE, .values = encryption_types},
	{NULL},
};
static const struct arm_field settings_fields[] = {
	{"enabled", ARM_BOOL, ARM_REQUIRED},
	{"encryptionSettings", ARM_ANY, ARM_NULLABLE},
	{"encryptionSettingsVersion", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field capability_fields[] = {
	{"diskControllerTypes", ARM_STRING, ARM_NULLABLE},
	{"acceleratedNetwork", ARM_BOOL, ARM_NULLABLE},
	{"architecture", ARM_STRING, ARM_NULLABLE, .values = architectures},
	{NULL},
};
static const struct arm_field plan_fields[] = {
	{"name", ARM_STRING, ARM_REQUIRED},
	{"publisher", ARM_STRING, ARM_REQUIRED},
	{"product", ARM_STRING, ARM_REQUIRED},
	{"promotionCode", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field security_fields[] = {
	{"securityType", ARM_STRING, ARM_NULLABLE, .values = security_types},
	{"secureVMDiskEncryptionSetId", ARM_STRING, ARM_NULLABLE},
	{NULL},
};

/* What both types have. */
#define COMMON_FIELDS                                                                              \
	{"creationData", ARM_OBJECT, ARM_REQUIRED, .fields = creation_fields},                     \
		{"timeCreated", ARM_DATE, ARM_READONLY},                                           \
		{"osType", ARM_STRING, ARM_NULLABLE, .values = os_types},                          \
		{"hyperVGeneration", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE,                     \
		 .values = generations},                                                           \
		{"purchasePlan", ARM_OBJECT, ARM_NULLABLE, .fields = plan_fields},                 \
		{"supportedCapabilities", ARM_OBJECT, ARM_NULLABLE, .fields = capability_fields},  \
		{"diskSizeGB", ARM_INT, ARM_NULLABLE, .min = 1, .max = DISK_GB_MAX},               \
		{"diskSizeBytes", ARM_INT, ARM_READONLY}, {"diskState", ARM_STRING, ARM_READONLY}, \
		{"uniqueId", ARM_STRING, ARM_READONLY},                                            \
		{"provisioningState", ARM_STRING, ARM_READONLY},                                   \
		{"encryptionSettingsCollection", ARM_OBJECT, ARM_NULLABLE,                         \
		 .fields = settings_fields},                                                       \
		{"encryption", ARM_OBJECT, ARM_NULLABLE, .fields = encryption_fields},             \
		{"networkAccessPolicy", ARM_STRING, ARM_NULLABLE, .values = network_policies},     \
		{"publicNetworkAccess", ARM_STRING, ARM_NULLABLE, .values = public_access},        \
		{"diskAccessId", ARM_STRING, ARM_NULLABLE},                                        \
		{"dataAccessAuthMode", ARM_STRING, ARM_NULLABLE, .values = auth_modes},            \
		{"securityProfile", ARM_OBJECT, ARM_NULLABLE, .fields = security_fields},          \
		{"supportsHibernation", ARM_BOOL, ARM_NULLABLE},                                   \
		{"completionPercent", ARM_NUMBER, ARM_READONLY},                                   \
	{                                                                                          \
		"kiln", ARM_ANY, ARM_READONLY                                                      \
	}

static const struct arm_field disk_properties[] = {
	COMMON_FIELDS,
	{"diskIOPSReadWrite", ARM_INT, ARM_NULLABLE, .min = 1, .max = 1 << 20},
	{"diskMBpsReadWrite", ARM_INT, ARM_NULLABLE, .min = 1, .max = 1 << 20},
	{"diskIOPSReadOnly", ARM_INT, ARM_NULLABLE, .min = 1, .max = 1 << 20},
	{"diskMBpsReadOnly", ARM_INT, ARM_NULLABLE, .min = 1, .max = 1 << 20},
	{"maxShares", ARM_INT, ARM_NULLABLE, .min = 1, .max = 10},
	{"shareInfo", ARM_ANY, ARM_READONLY},
	{"tier", ARM_STRING, ARM_NULLABLE},
	{"burstingEnabled", ARM_BOOL, ARM_NULLABLE},
	{"burstingEnabledTime", ARM_DATE, ARM_READONLY},
	{"propertyUpdatesInProgress", ARM_ANY, ARM_READONLY},
	{"optimizedForFrequentAttach", ARM_BOOL, ARM_NULLABLE},
	{"LastOwnershipUpdateTime", ARM_DATE, ARM_READONLY},
	{NULL},
};
static const struct arm_field snapshot_properties[] = {
	COMMON_FIELDS,
	{"incremental", ARM_BOOL, ARM_IMMUTABLE | ARM_NULLABLE},
	{"incrementalSnapshotFamilyId", ARM_STRING, ARM_READONLY},
	{"copyCompletionError", ARM_ANY, ARM_READONLY},
	{NULL},
};

static const struct arm_field disk_sku_fields[] = {
	{"name", ARM_STRING, ARM_NULLABLE, .values = disk_skus},
	{"tier", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const struct arm_field snapshot_sku_fields[] = {
	{"name", ARM_STRING, ARM_NULLABLE, .values = snapshot_skus},
	{"tier", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const struct arm_field disk_envelope[] = {
	{"sku", ARM_OBJECT, ARM_NULLABLE, .fields = disk_sku_fields},
	{"zones", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING, .max = 3},
	{"extendedLocation", ARM_ANY, ARM_NULLABLE},
	{"managedBy", ARM_STRING, ARM_READONLY},
	{"managedByExtended", ARM_ANY, ARM_READONLY},
	{NULL},
};
static const struct arm_field snapshot_envelope[] = {
	{"sku", ARM_OBJECT, ARM_NULLABLE, .fields = snapshot_sku_fields},
	{"extendedLocation", ARM_ANY, ARM_NULLABLE},
	{"managedBy", ARM_STRING, ARM_READONLY},
	{NULL},
};

static const struct arm_field access_fields[] = {
	{"access", ARM_STRING, ARM_REQUIRED, .values = accesses},
	{"durationInSeconds", ARM_INT, ARM_REQUIRED, .min = 1, .max = DISK_ACCESS_MAX},
	{"getSecureVMGuestStateSAS", ARM_BOOL, ARM_NULLABLE},
	{"fileFormat", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_action access_actions[] = {
	{"beginGetAccess", "POST", "beginGetAccess/action", disk_access_begin, access_fields},
	{"endGetAccess", "POST", "endGetAccess/action", disk_access_end},
	{NULL},
};
static const struct arm_job_kind disk_jobs[] = {
	{"create", disk_content_job, "Creating"},
	{"update", disk_content_job, "Updating"},
	{"delete", disk_delete_job, "Deleting"},
	{"upload", disk_upload_job, NULL},
	{"export", disk_export_job, NULL},
	{"close", disk_close_job, NULL},
	{NULL},
};

#define DISK_TYPE(TYPE, PROPERTIES, ENVELOPE)                                                      \
	{                                                                                          \
		.name = (TYPE), .scope = ARM_SCOPE_GROUP, .first_version = "2016-04-30-preview",   \
		.versions = disk_api_versions,                                                     \
		.name_pattern = "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$", .name_max = 80,     \
		.operation_path = "providers/Microsoft.Compute/locations/%s/DiskOperations",       \
		.tracked = true, .properties = (PROPERTIES), .envelope = (ENVELOPE),               \
		.write = disk_write, .del = disk_delete, .view = disk_view,                        \
		.actions = access_actions, .jobs = disk_jobs,                                      \
	}

const struct arm_type type_disks = DISK_TYPE(TYPE_DISK, disk_properties, disk_envelope);
const struct arm_type type_snapshots =
	DISK_TYPE(TYPE_SNAPSHOT, snapshot_properties, snapshot_envelope);
