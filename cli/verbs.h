/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that cli/commands.c lists. */
#ifndef KILN_CLI_VERBS_H
#define KILN_CLI_VERBS_H

#include "cli/cli.h"

extern const struct cli_command cmd_init, cmd_rest, cmd_completion, cmd_help_man;
extern const struct cli_command cmd_serve, cmd_worker;
extern const struct cli_command cmd_bake, cmd_shell, cmd_run;
extern const struct cli_command cmd_platform_list, cmd_platform_make;
extern const struct cli_command cmd_store_import, cmd_store_export, cmd_store_commit;
extern const struct cli_command cmd_store_diff, cmd_store_replicate, cmd_store_list;
extern const struct cli_command cmd_store_remove, cmd_store_serve, cmd_store_check;
extern const struct cli_command cmd_store_gc, cmd_store_stats, cmd_store_rebuild;
extern const struct cli_command cmd_store_catalog, cmd_store_rekey;
extern const struct cli_command cmd_region_list, cmd_region_add, cmd_region_drain,
	cmd_region_remove, cmd_cache_list, cmd_cache_gc, cmd_cache_remove;
extern const struct cli_command cmd_store_catalog, cmd_store_rekey, cmd_store_recompress;

extern const struct cli_command cmd_group_list, cmd_group_show, cmd_group_create, cmd_group_update,
	cmd_group_delete;
extern const struct cli_command cmd_resource_list;
extern const struct cli_command cmd_version_list, cmd_version_show, cmd_version_create,
	cmd_version_update, cmd_version_delete;
extern const struct cli_command cmd_definition_list, cmd_definition_show, cmd_definition_create,
	cmd_definition_update, cmd_definition_delete;
extern const struct cli_command cmd_gallery_list, cmd_gallery_show, cmd_gallery_create,
	cmd_gallery_update, cmd_gallery_delete;
extern const struct cli_command cmd_template_list, cmd_template_show, cmd_template_create,
	cmd_template_run, cmd_template_cancel, cmd_template_delete, cmd_template_outputs;
extern const struct cli_command cmd_image_list, cmd_image_show, cmd_image_delete;
extern const struct cli_command cmd_audit_list, cmd_audit_verify, cmd_audit_accept;
extern const struct cli_command cmd_login;
extern const struct cli_command cmd_context_list, cmd_context_use;
extern const struct cli_command cmd_logout;
extern const struct cli_command cmd_operation_list, cmd_operation_show, cmd_operation_cancel;
extern const struct cli_command cmd_disk_list, cmd_disk_show, cmd_disk_create, cmd_disk_grant,
	cmd_disk_revoke, cmd_disk_delete;
extern const struct cli_command cmd_snapshot_list, cmd_snapshot_show, cmd_snapshot_create,
	cmd_snapshot_delete;
extern const struct cli_command cmd_vm_list, cmd_vm_show, cmd_vm_create, cmd_vm_start, cmd_vm_stop,
	cmd_vm_deallocate, cmd_vm_restart, cmd_vm_reimage, cmd_vm_exec, cmd_vm_delete;
extern const struct cli_command cmd_ssh, cmd_console;
extern const struct cli_command cmd_log;
extern const struct cli_command cmd_runs_list, cmd_runs_show, cmd_runs_steps, cmd_runs_delete;
extern const struct cli_command cmd_subscription_list;
extern const struct cli_command cmd_location_list;
extern const struct cli_command cmd_principal_list, cmd_principal_show, cmd_principal_create,
	cmd_principal_update, cmd_principal_add_secret, cmd_principal_remove_secret,
	cmd_principal_add_key, cmd_principal_remove_key, cmd_principal_delete;
extern const struct cli_command cmd_user_list, cmd_user_show, cmd_user_create, cmd_user_update,
	cmd_user_password, cmd_user_delete;
extern const struct cli_command cmd_team_list, cmd_team_show, cmd_team_create, cmd_team_add,
	cmd_team_remove, cmd_team_delete;
extern const struct cli_command cmd_role_list, cmd_role_show, cmd_role_create, cmd_role_delete,
	cmd_role_assignments, cmd_role_assign, cmd_role_unassign;
extern const struct cli_command cmd_lock_list, cmd_lock_create, cmd_lock_delete;
extern const struct cli_command cmd_application_list, cmd_application_show, cmd_application_create,
	cmd_application_delete, cmd_application_versions, cmd_application_publish,
	cmd_application_retire;
extern const struct cli_command cmd_diff, cmd_version_diff, cmd_version_export;
extern const struct cli_command cmd_inspect, cmd_version_import;

#endif
