/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microsoft.Authorization/providerOperations, and the one table of every operation that a role can
 * allow. A request whose operation is not in it, or a row that no request asks for, fails a test.
 */
#include <strings.h>

#include "base/mem.h"
#include "providers/common.h"
#include "providers/provider_operations.h"
#include "providers/registry.h"
#include "providers/roles_common.h"

/* Where Azure has the operation, its name is Azure's. */
const char *const provider_operations[] = {
	"Kiln.Identity/groups/addMembers/action",
	"Kiln.Identity/groups/delete",
	"Kiln.Identity/groups/read",
	"Kiln.Identity/groups/removeMembers/action",
	"Kiln.Identity/groups/write",
	"Kiln.Identity/servicePrincipals/addKey/action",
	"Kiln.Identity/servicePrincipals/addPassword/action",
	"Kiln.Identity/servicePrincipals/delete",
	"Kiln.Identity/servicePrincipals/read",
	"Kiln.Identity/servicePrincipals/removeKey/action",
	"Kiln.Identity/servicePrincipals/removePassword/action",
	"Kiln.Identity/servicePrincipals/write",
	"Kiln.Identity/tenants/delete",
	"Kiln.Identity/tenants/read",
	"Kiln.Identity/tenants/write",
	"Kiln.Identity/tokenKeys/read",
	"Kiln.Identity/tokenKeys/revoke/action",
	"Kiln.Identity/users/delete",
	"Kiln.Identity/users/read",
	"Kiln.Identity/users/removePassword/action",
	"Kiln.Identity/users/setPassword/action",
	"Kiln.Identity/users/write",
	"Kiln.Images/runs/delete",
	"Kiln.Images/runs/read",
	"Kiln.Images/runs/write",
	"Kiln.Resources/operations/cancel/action",
	"Kiln.Resources/operations/read",
	"Microsoft.Authorization/denyAssignments/read",
	"Microsoft.Authorization/locks/delete",
	"Microsoft.Authorization/locks/read",
	"Microsoft.Authorization/locks/write",
	"Microsoft.Authorization/permissions/read",
	"Microsoft.Authorization/providerOperations/read",
	"Microsoft.Authorization/roleAssignments/delete",
	"Microsoft.Authorization/roleAssignments/read",
	"Microsoft.Authorization/roleAssignments/write",
	"Microsoft.Authorization/roleDefinitions/delete",
	"Microsoft.Authorization/roleDefinitions/read",
	"Microsoft.Authorization/roleDefinitions/write",
	"Microsoft.Compute/disks/beginGetAccess/action",
	"Microsoft.Compute/disks/delete",
	"Microsoft.Compute/disks/endGetAccess/action",
	"Microsoft.Compute/disks/read",
	"Microsoft.Compute/disks/write",
	"Microsoft.Compute/galleries/applications/delete",
	"Microsoft.Compute/galleries/applications/read",
	"Microsoft.Compute/galleries/applications/versions/delete",
	"Microsoft.Compute/galleries/applications/versions/read",
	"Microsoft.Compute/galleries/applications/versions/write",
	"Microsoft.Compute/galleries/applications/write",
	"Microsoft.Compute/galleries/delete",
	"Microsoft.Compute/galleries/images/delete",
	"Microsoft.Compute/galleries/images/read",
	"Microsoft.Compute/galleries/images/versions/delete",
	"Microsoft.Compute/galleries/images/versions/read",
	"Microsoft.Compute/galleries/images/versions/write",
	"Microsoft.Compute/galleries/images/write",
	"Microsoft.Compute/galleries/read",
	"Microsoft.Compute/galleries/share/action",
	"Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions/delete",
	"Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions/read",
	"Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions/write",
	"Microsoft.Compute/galleries/write",
	"Microsoft.Compute/images/delete",
	"Microsoft.Compute/images/read",
	"Microsoft.Compute/images/write",
	"Microsoft.Compute/locations/communityGalleries/images/read",
	"Microsoft.Compute/locations/communityGalleries/images/versions/read",
	"Microsoft.Compute/locations/communityGalleries/read",
	"Microsoft.Compute/locations/publishers/artifacttypes/offers/read",
	"Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/read",
	"Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read",
	"Microsoft.Compute/locations/publishers/read",
	"Microsoft.Compute/locations/sharedGalleries/images/read",
	"Microsoft.Compute/locations/sharedGalleries/images/versions/read",
	"Microsoft.Compute/locations/sharedGalleries/read",
	"Microsoft.Compute/locations/vmSizes/read",
	"Microsoft.Compute/snapshots/beginGetAccess/action",
	"Microsoft.Compute/snapshots/delete",
	"Microsoft.Compute/snapshots/endGetAccess/action",
	"Microsoft.Compute/snapshots/read",
	"Microsoft.Compute/snapshots/write",
	"Microsoft.Compute/virtualMachines/deallocate/action",
	"Microsoft.Compute/virtualMachines/delete",
	"Microsoft.Compute/virtualMachines/instanceView/read",
	"Microsoft.Compute/virtualMachines/powerOff/action",
	"Microsoft.Compute/virtualMachines/read",
	"Microsoft.Compute/virtualMachines/reimage/action",
	"Microsoft.Compute/virtualMachines/restart/action",
	"Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action",
	"Microsoft.Compute/virtualMachines/runCommand/action",
	"Microsoft.Compute/virtualMachines/start/action",
	"Microsoft.Compute/virtualMachines/write",
	"Microsoft.Insights/eventtypes/values/read",
	"Microsoft.ResourceGraph/resources/read",
	"Microsoft.Resources/providers/read",
	"Microsoft.Resources/subscriptions/locations/read",
	"Microsoft.Resources/subscriptions/providers/read",
	"Microsoft.Resources/subscriptions/read",
	"Microsoft.Resources/subscriptions/resourceGroups/delete",
	"Microsoft.Resources/subscriptions/resourceGroups/read",
	"Microsoft.Resources/subscriptions/resourceGroups/resources/read",
	"Microsoft.Resources/subscriptions/resourceGroups/write",
	"Microsoft.Resources/subscriptions/resources/read",
	"Microsoft.Resources/subscriptions/tagNames/read",
	"Microsoft.Resources/tags/delete",
	"Microsoft.Resources/tags/read",
	"Microsoft.Resources/tags/write",
	"Microsoft.Resources/tenants/read",
	"Microsoft.Subscription/aliases/delete",
	"Microsoft.Subscription/aliases/read",
	"Microsoft.Subscription/aliases/write",
	"Microsoft.Subscription/cancel/action",
	"Microsoft.Subscription/enable/action",
	"Microsoft.Subscription/rename/action",
	"Microsoft.VirtualMachineImages/imageTemplates/cancel/action",
	"Microsoft.VirtualMachineImages/imageTemplates/delete",
	"Microsoft.VirtualMachineImages/imageTemplates/read",
	"Microsoft.VirtualMachineImages/imageTemplates/run/action",
	"Microsoft.VirtualMachineImages/imageTemplates/runOutputs/delete",
	"Microsoft.VirtualMachineImages/imageTemplates/runOutputs/read",
	"Microsoft.VirtualMachineImages/imageTemplates/runOutputs/write",
	"Microsoft.VirtualMachineImages/imageTemplates/triggers/delete",
	"Microsoft.VirtualMachineImages/imageTemplates/triggers/read",
	"Microsoft.VirtualMachineImages/imageTemplates/triggers/write",
	"Microsoft.VirtualMachineImages/imageTemplates/write",
	/* of every namespace */
	"{name}/register/action",
	"{name}/unregister/action",
	/* data: of signed URLs */
	"Microsoft.Compute/disks/download/action",
	"Microsoft.Compute/disks/upload/action",
	"Microsoft.Compute/snapshots/download/action",
	"Microsoft.Compute/snapshots/upload/action",
	NULL,
};

bool provider_operation_is_data(const char *name)
{
	return str_ends(name, "/download/action") || str_ends(name, "/upload/action");
}

/* ---- The answer --------------------------------------------------------------------------- */

/* "Microsoft.Compute/galleries/share/action": the type is what is before "share/action". */
static char *type_part(const char *name, const char **ret_verb)
{
	const char *slash = strrchr(name, '/'), *verb = slash;

	if (str_eq(slash, "/action"))
		for (verb = slash - 1; verb > name && *verb != '/'; verb--)
			;
	*ret_verb = verb + 1;
	return verb > strchr(name, '/') ? strndup(name, (size_t) (verb - name)) : strdup("");
}

static json_t *operation_json(const char *name, const char *type, const char *verb)
{
	static const char *const words[][2] = {
		{"read", "Read"}, {"write", "Create or Update"}, {"delete", "Delete"}};
	const char *noun = *type ? strrchr(type, '/') + 1 : "provider";
	const char *word = verb;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (str_eq(words[i][0], verb))
			word = words[i][1];
	return json_pack("{s:s, s:o, s:o, s:b}", "name", name, "displayName",
			 json_strf("%s %s", word, noun), "description",
			 json_strf("%s of %s", word, noun), "isDataAction",
			 provider_operation_is_data(name));
}

static json_t *type_entry(json_t *types, const char *type)
{
	const char *name = strchr(type, '/') + 1;
	json_t *t;
	size_t i;

	json_array_foreach(types, i, t)
	{
		if (str_eq_nocase(json_str_at(t, "name"), name))
			return t;
	}
	t = json_pack("{s:s, s:s, s:[]}", "name", name, "displayName", name, "operations");
	return json_array_append_new(types, t) < 0 ? NULL : t;
}

static int add(const char *ns, const char *row, json_t *types, json_t *own)
{
	static const char any[] = "{name}/";
	bool every = str_starts(row, any);
	auto_free char *name = every ? strf("%s/%s", ns, row + sizeof(any) - 1) : strdup(row);
	auto_free char *type = NULL;
	const char *verb;
	json_t *into = own, *entry;
	size_t n = strlen(ns);

	if (!name)
		return -ENOMEM;
	if (strncasecmp(name, ns, n) != 0 || name[n] != '/')
		return 0;
	type = type_part(name, &verb);
	if (!type)
		return -ENOMEM;
	if (*type) {
		entry = type_entry(types, type);
		into = json_object_get(entry, "operations");
	}
	return into && json_array_append_new(into, operation_json(name, type, verb)) >= 0 ? 0
											  : -ENOMEM;
}

static json_t *provider_json(const char *ns)
{
	auto_json json_t *types = json_array(), *own = json_array();

	for (const char *const *o = provider_operations; types && own && *o; o++)
		if (add(ns, *o, types, own) < 0)
			return NULL;
	return json_pack("{s:o, s:s, s:s, s:s, s:O, s:O}", "id",
			 json_strf("/providers/Microsoft.Authorization/providerOperations/%s", ns),
			 "name", ns, "type", "Microsoft.Authorization/providerOperations",
			 "displayName", ns, "resourceTypes", types, "operations", own);
}

/* The namespaces of the table, each once. */
static int namespaces(char ***ret)
{
	for (const char *const *o = provider_operations; *o; o++) {
		auto_free char *ns = strndup(*o, strcspn(*o, "/"));
		bool known = !ns || *ns == '{';

		for (char **k = *ret; k && *k && !known; k++)
			known = strcmp(*k, ns) == 0;
		if (!ns || (!known && strv_push(ret, ns) < 0))
			return -ENOMEM;
	}
	return 0;
}

static int operations_get(struct arm_call *c, struct err *err)
{
	auto_strv char **names = NULL;

	if (namespaces(&names) < 0)
		return no_memory(err);
	for (char **n = names; n && *n; n++) {
		if (!str_eq_nocase(*n, c->id->name))
			continue;
		c->result = provider_json(*n);
		return c->result ? 0 : no_memory(err);
	}
	return refuse(err, -ENOENT, "ProviderNotFound", NULL, "Provider not found: '%s'.",
		      c->id->name);
}

static int operations_list(struct arm_call *c, struct err *err)
{
	auto_strv char **names = NULL;
	auto_json json_t *list = json_array();

	if (!list || namespaces(&names) < 0)
		return no_memory(err);
	for (char **n = names; n && *n; n++)
		if (json_array_append_new(list, provider_json(*n)) < 0)
			return no_memory(err);
	c->result = json_pack("{s:O}", "value", list);
	return c->result ? 0 : no_memory(err);
}

const struct arm_type type_provider_operations = {
	.name = "Microsoft.Authorization/providerOperations",
	.scope = ARM_SCOPE_TENANT,
	.readers = ARM_READERS_ALL,
	.first_version = "2015-07-01",
	.versions = authorization_versions,
	.get = operations_get,
	.list = operations_list,
};
