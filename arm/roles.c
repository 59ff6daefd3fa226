/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/roles.h"

#include "base/mem.h"

/* ---- Comparison --------------------------------------------------------------------------- */

/* Without recursion: on a mismatch the last "*" takes one character more. */
bool pattern_matches(const char *p, const char *s)
{
	const char *star = NULL, *from = NULL;

	while (*s) {
		if (*p == '*') {
			star = p++;
			from = s;
		} else if (*p == *s) {
			p++;
			s++;
		} else if (star) {
			p = star + 1;
			s = ++from;
		} else {
			return false;
		}
	}
	while (*p == '*')
		p++;
	return !*p;
}

static bool any_matches(char *const *patterns, const char *action)
{
	for (char *const *p = patterns; p && *p; p++)
		if (pattern_matches(*p, action))
			return true;
	return false;
}

bool permission_allows(const struct permission *p, const char *action, bool data)
{
	return data ? any_matches(p->data_actions, action) &&
			       !any_matches(p->not_data_actions, action)
		    : any_matches(p->actions, action) && !any_matches(p->not_actions, action);
}

static int take(const json_t *from, const char *key, char ***ret)
{
	json_t *list = json_object_get(from, key), *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		const char *text = json_string_value(v);
		auto_free char *lower = text ? str_lower(text) : NULL;

		if (text && (!lower || strv_push(ret, lower) < 0))
			return -ENOMEM;
	}
	return 0;
}

int permission_init(struct permission *p, const json_t *from)
{
	*p = (struct permission){0};
	if (take(from, "actions", &p->actions) >= 0 &&
	    take(from, "notActions", &p->not_actions) >= 0 &&
	    take(from, "dataActions", &p->data_actions) >= 0 &&
	    take(from, "notDataActions", &p->not_data_actions) >= 0)
		return 0;
	permission_done(p);
	return -ENOMEM;
}

void permission_done(struct permission *p)
{
	strv_free(p->actions);
	strv_free(p->not_actions);
	strv_free(p->data_actions);
	strv_free(p->not_data_actions);
	*p = (struct permission){0};
}

/* ---- The built-in roles ------------------------------------------------------------------- */

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Ids, names and permissions are those that Azure publishes, with one addition: Contributor must
 * not reach Kiln.Identity, where a secret for an Owner's principal could be had. */
static const struct role_builtin builtins[] = {
	{ROLE_OWNER, "Owner", "Full access to all resources, and may assign roles.", LIST("*"),
	 NULL, NULL},
	{"b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor",
	 "Full access to all resources, but may neither assign roles nor share galleries.",
	 LIST("*"),
	 LIST("Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write",
	      "Microsoft.Authorization/elevateAccess/Action",
	      "Microsoft.Blueprint/blueprintAssignments/write",
	      "Microsoft.Blueprint/blueprintAssignments/delete",
	      "Microsoft.Compute/galleries/share/action", "Microsoft.Purview/consents/write",
	      "Microsoft.Purview/consents/delete",
	      "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
	      "Microsoft.Subscription/cancel/action", "Microsoft.Subscription/enable/action",
	      "Kiln.Identity/*/write", "Kiln.Identity/*/delete", "Kiln.Identity/*/action"),
	 NULL},
	{"acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader",
	 "May read all resources and change none.", LIST("*/read"), NULL, NULL},
	{"18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User Access Administrator",
	 "May read all resources and manage who has access to them.",
	 LIST("*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"), NULL, NULL},
	{"f58310d9-a9f6-439a-9e8d-f62e7b41a168", "Role Based Access Control Administrator",
	 "May read all resources and assign roles.",
	 LIST("Microsoft.Authorization/roleAssignments/write",
	      "Microsoft.Authorization/roleAssignments/delete", "*/read", "Microsoft.Support/*"),
	 NULL, NULL},
	{"1ef6a3be-d0ac-425d-8c01-acb62866290b", "Compute Gallery Sharing Admin",
	 "May share a gallery with subscriptions, tenants and the public.",
	 LIST("Microsoft.Compute/galleries/share/action"), NULL, NULL},
	{"85a2d0d9-2eba-4c9c-b355-11c2cc0788ab", "Compute Gallery Artifacts Publisher",
	 "May publish what galleries hold.",
	 LIST("Microsoft.Compute/galleries/*", "Microsoft.Compute/locations/capsOperations/read",
	      "Microsoft.Compute/locations/communityGalleries/*",
	      "Microsoft.Compute/locations/sharedGalleries/*", "Microsoft.Compute/images/*",
	      "Microsoft.Compute/virtualMachines/write", "Microsoft.Compute/disks/write",
	      "Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*",
	      "Microsoft.Resources/deployments/*",
	      "Microsoft.Resources/subscriptions/resourceGroups/read"),
	 LIST("Microsoft.Compute/galleries/share/action"), NULL},
	{"cf7c76d2-98a3-4358-a134-615aa78bf44d", "Compute Gallery Image Reader",
	 "May read the images of galleries.",
	 LIST("Microsoft.Compute/galleries/images/read",
	      "Microsoft.Compute/galleries/images/versions/read"),
	 NULL, NULL},
	{"7efff54f-a5b4-42b5-a1c5-5411624893ce", "Disk Snapshot Contributor",
	 "May manage disk snapshots.",
	 LIST("Microsoft.Authorization/*/read",
	      "Microsoft.Resources/subscriptions/resourceGroups/read",
	      "Microsoft.Compute/snapshots/delete", "Microsoft.Compute/snapshots/write",
	      "Microsoft.Compute/snapshots/read",
	      "Microsoft.Compute/snapshots/beginGetAccess/action",
	      "Microsoft.Compute/snapshots/endGetAccess/action",
	      "Microsoft.Compute/disks/beginGetAccess/action",
	      "Microsoft.Storage/storageAccounts/listkeys/action",
	      "Microsoft.Storage/storageAccounts/write", "Microsoft.Storage/storageAccounts/read",
	      "Microsoft.Storage/storageAccounts/delete"),
	 NULL, NULL},
	{"959f8984-c045-4866-89c7-12bf9737be2e", "Data Operator for Managed Disks",
	 "May upload to and download from disks and snapshots by their signed URLs.", NULL, NULL,
	 LIST("Microsoft.Compute/disks/download/action", "Microsoft.Compute/disks/upload/action",
	      "Microsoft.Compute/snapshots/download/action",
	      "Microsoft.Compute/snapshots/upload/action")},
	{"f1a07417-d97a-45cb-824c-7a7467783830", "Managed Identity Operator",
	 "May read and assign user-assigned identities.",
	 LIST("Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
	      "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
	      "Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*",
	      "Microsoft.Resources/subscriptions/resourceGroups/read",
	      "Microsoft.Resources/deployments/*", "Microsoft.Support/*"),
	 NULL, NULL},
	{NULL},
};

const struct role_builtin *role_builtins(void)
{
	return builtins;
}

static json_t *strings(const char *const *list)
{
	json_t *j = json_array();

	for (; j && list && *list; list++)
		if (json_array_append_new(j, json_string(*list)) < 0) {
			json_decref(j);
			return NULL;
		}
	return j;
}

json_t *role_builtin_json(const struct role_builtin *b)
{
	return json_pack("{s:s, s:s, s:s, s:[s], s:[{s:o, s:o, s:o, s:o}]}", "roleName", b->name,
			 "type", "BuiltInRole", "description", b->description, "assignableScopes",
			 "/", "permissions", "actions", strings(b->actions), "notActions",
			 strings(b->not_actions), "dataActions", strings(b->data_actions),
			 "notDataActions", json_array());
}
