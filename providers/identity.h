/* SPDX-License-Identifier: Apache-2.0 */
/* What the types of Kiln.Identity share: ids, credentials, who may give them. */
#ifndef KILN_PROVIDERS_IDENTITY_H
#define KILN_PROVIDERS_IDENTITY_H

#include "providers/common.h"
#include "providers/roles_common.h"

#define API_IDENTITY "2026-11-01"

#define TYPE_PRINCIPAL "Kiln.Identity/servicePrincipals"
#define TYPE_USER      "Kiln.Identity/users"
#define TYPE_USERGROUP "Kiln.Identity/groups"

/**
 * identity_allowed() - may the caller give somebody the means to act as this principal?
 *
 * Who can add a secret to a principal, or a member to a group, can do what that principal or group
 * may do. So besides the right of the type itself it takes the right to assign roles there.
 */
int identity_allowed(struct arm_call *c, struct err *err);

/** identity_fill() - ids, tenant and display name of a principal that is written; a new one is
 *  entered as "KIND:" and the text at @login_path. */
int identity_fill(struct arm_call *c, const char *kind, const char *login_path, struct err *err);
/** identity_del() - hook: the principal leaves its groups, its secrets and tokens end. */
int identity_del(struct arm_call *c, struct err *err);
/** identity_changed() - caches of identities look again. */
int identity_changed(struct arm_call *c, struct err *err);

/**
 * identity_add_secret() - hash @secret and add it to properties.passwordCredentials
 * @hint: its first characters are shown
 * @ret: the new element, without the secret; borrowed from @c->doc
 */
int identity_add_secret(struct arm_call *c, const char *secret, bool hint, json_t **ret,
			struct err *err);
/** identity_set_dates() - startDateTime, and endDateTime from the body or @days from now (0 = no
 *  end). */
int identity_set_dates(const struct arm_call *c, json_t *cred, unsigned days, struct err *err);
/** identity_remove_key() - take the element whose keyId the body names out of @path. */
int identity_remove_key(struct arm_call *c, const char *path, struct err *err);

extern const struct arm_field identity_passwords[]; /* of passwordCredentials */
extern const struct arm_field identity_key_id[];    /* body of remove actions */

/** identity_seed() - the service principal of admin.json, once for each client id. */
int identity_seed(struct app *a, struct err *err);

#endif
