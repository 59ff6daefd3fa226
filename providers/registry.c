/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/registry.h"

#include <stddef.h>

const struct arm_type *const provider_types[] = {
	&type_tenants,          &type_subscriptions,   &type_locations, &type_providers,
	&type_tenant_providers, &type_resource_groups, &type_galleries, &type_gallery_images,
	&type_gallery_versions, &type_managed_images,  &type_disks,     &type_snapshots,
	&type_publishers,       &type_offers,          &type_skus,      &type_sku_versions,
	&type_image_templates,  &type_run_outputs,     &type_runs,      NULL,
};
