/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/registry.h"

#include <stddef.h>

/* clang-format off: one a line, so that additions merge */
const struct arm_type *const provider_types[] = {
	&type_tenants,
	&type_subscriptions,
	&type_locations,
	&type_providers,
	&type_tenant_providers,
	&type_resource_groups,
	&type_role_definitions,
	&type_role_assignments,
	&type_locks,
	&type_permissions,
	&type_deny_assignments,
	&type_operations,
	&type_galleries,
	&type_gallery_images,
	&type_gallery_versions,
	&type_soft_deleted,
	&type_gallery_apps,
	&type_gallery_app_versions,
	&type_shared_galleries,
	&type_shared_images,
	&type_shared_versions,
	&type_community_galleries,
	&type_community_images,
	&type_community_versions,
	&type_resource_graph,
	&type_managed_images,
	&type_disks,
	&type_snapshots,
	&type_publishers,
	&type_offers,
	&type_skus,
	&type_sku_versions,
	&type_image_templates,
	&type_run_outputs,
	&type_runs,
	&type_service_principals,
	&type_users,
	&type_user_groups,
	NULL,
};
/* clang-format on */
