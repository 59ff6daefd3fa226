/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages of gallery applications. The package and its default configuration are fetched when the
 * version is made and kept in the store as the version's disks are (disk_set.h: the package where
 * the OS disk is, the configuration as LUN 0), so that a version that succeeded has them. Their
 * exact sizes and SHA-256 are in properties.kiln.package and .configuration.
 */
#ifndef KILN_PROVIDERS_APP_PACKAGE_H
#define KILN_PROVIDERS_APP_PACKAGE_H

#include "arm/arm.h"

/** app_package_check() - an https URL, or a file: one of this host's owner. 0 or -EINVAL. */
int app_package_check(const struct arm_principal *who, const char *uri, const char *field,
		      struct err *err);
int app_package_sync_job(struct arm_job *job, struct err *err);
int app_package_delete_job(struct arm_job *job, struct err *err);

#endif
