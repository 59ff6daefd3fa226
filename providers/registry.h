/* SPDX-License-Identifier: Apache-2.0 */
/* Every resource type, one file each. */
#ifndef KILN_PROVIDERS_REGISTRY_H
#define KILN_PROVIDERS_REGISTRY_H

#include "arm/arm.h"

extern const struct arm_type type_vms, type_vm_sizes;
extern const struct arm_type *const provider_types[]; /* NULL-terminated */

extern const struct arm_type type_tenants, type_subscriptions, type_locations;
extern const struct arm_type type_providers, type_tenant_providers;
extern const struct arm_type type_resource_groups;
extern const struct arm_type type_role_definitions, type_role_assignments, type_locks;
extern const struct arm_type type_permissions, type_deny_assignments;
extern const struct arm_type type_provider_operations;
extern const struct arm_type type_operations;
extern const struct arm_type type_tags, type_resources, type_group_resources, type_tag_names;
extern const struct arm_type type_aliases, type_identity_tenants;
extern const struct arm_type type_activity_log, type_tenant_activity_log;
extern const struct arm_type type_galleries, type_gallery_images, type_gallery_versions;
extern const struct arm_type type_soft_deleted, type_gallery_apps, type_gallery_app_versions;
extern const struct arm_type type_shared_galleries, type_shared_images, type_shared_versions;
extern const struct arm_type type_community_galleries, type_community_images;
extern const struct arm_type type_community_versions, type_resource_graph;
extern const struct arm_type type_managed_images, type_disks, type_snapshots;
extern const struct arm_type type_image_templates, type_run_outputs, type_triggers, type_runs;
extern const struct arm_type type_service_principals, type_users, type_user_groups;
extern const struct arm_type type_token_keys;
extern const struct arm_type type_publishers, type_offers, type_skus, type_sku_versions;

#endif
