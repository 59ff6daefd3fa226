/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions are rows; the first one is made with the data directory. */
#ifndef KILN_PROVIDERS_SUBSCRIPTIONS_H
#define KILN_PROVIDERS_SUBSCRIPTIONS_H

#include "providers/app.h"

#define TYPE_TENANT "Kiln.Identity/tenants"

/** subscription_doc() - a new one's row; NULL on ENOMEM. */
json_t *subscription_doc(const char *id, const char *name, const char *tenant);
/** subscription_home() - the row of admin.json's subscription, unless it is there. */
int subscription_home(struct app *a, struct err *err);

/** subscription_action() - hooks of POST .../providers/Microsoft.Subscription/rename, cancel and
 *  enable. */
int subscription_rename(struct arm_call *c, struct err *err);
int subscription_cancel(struct arm_call *c, struct err *err);
int subscription_enable(struct arm_call *c, struct err *err);
extern const struct arm_field subscription_rename_shape[];

#endif
