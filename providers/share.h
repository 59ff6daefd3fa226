/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing of galleries. properties.sharingProfile holds "permissions" (Private, Groups, Community),
 * "groups" [{"type": "Subscriptions"|"AADTenants", "ids": []}] and "communityGalleryInfo".
 *
 * A gallery that is shared with groups has the name SUBSCRIPTION-GALLERY, a public one the names in
 * communityGalleryInfo.publicNames. Ids of what is in them:
 *	/SharedGalleries/NAME[/Images/I[/Versions/V]]
 *	/CommunityGalleries/NAME[/Images/I[/Versions/V]]
 */
#ifndef KILN_PROVIDERS_SHARE_H
#define KILN_PROVIDERS_SHARE_H

#include "providers/common.h"

#define P_SHARING   "properties.sharingProfile"
#define P_COMMUNITY P_SHARING ".communityGalleryInfo"

#define SHARE_SUBSCRIPTIONS_MAX 30
#define SHARE_TENANTS_MAX       5

/** share_check() - rules of a gallery's sharing profile in PUT and PATCH; makes the public name. */
int share_check(struct arm_call *c, struct err *err);
/** share_action() - POST .../share. */
int share_action(struct arm_call *c, struct err *err);
/** share_show() - groups only when asked for, and the sharing status. */
int share_show(struct arm_call *c, struct err *err);
/** share_is_public() - is it a community gallery that is enabled? */
bool share_is_public(const json_t *gallery);
extern const struct arm_field share_fields[];

enum share_way { SHARE_SUBSCRIPTION = 1, SHARE_TENANT = 2 };
/** share_ways() - enum share_way flags: how is a gallery shared with a subscription? */
int share_ways(struct arm *arm, const json_t *gallery, const char *subscription, unsigned *ret,
	       struct err *err);

/** share_names() - what galleries are found by: arm_type.names. */
int share_names(const char *id, const json_t *doc, char ***ret);
/** share_named() - galleries with the shared or public name. */
int share_named(struct arm *arm, bool community, const char *name, arm_each_fn *fn, void *arg,
		struct err *err);
/** share_with_name() - the name (arm_named()) of galleries that are shared with a subscription, or
 *  with its @tenant; caller frees. */
int share_with_name(struct arm *arm, const char *subscription, bool tenant, char **ret,
		    struct err *err);
/** SHARE_PUBLIC - the name of those that have a public name. */
#define SHARE_PUBLIC "public"
/** share_find() - the gallery of a shared or public name that @subscription may see. *@ret: its
 *  document, new reference. 0 or -ENOENT (no error set). */
int share_find(struct arm *arm, bool community, const char *name, const char *subscription,
	       json_t **ret, struct err *err);

/** share_is_id() - "/SharedGalleries/..." or "/CommunityGalleries/...", without case. */
bool share_is_id(const char *id);
/** share_resolve() - the resource id of what such an id names, when it is shared with
 *  @subscription (NULL: with anyone); caller frees. Return: 0, -EINVAL (not of that form), -ENOENT
 *  (also when it is not shared). */
int share_resolve(struct arm *arm, const char *subscription, const char *id, const char *target,
		  char **ret, struct err *err);

#endif
