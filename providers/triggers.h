/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.VirtualMachineImages/imageTemplates/triggers: runs that start by themselves. */
#ifndef KILN_PROVIDERS_TRIGGERS_H
#define KILN_PROVIDERS_TRIGGERS_H

#include "providers/app.h"

/** triggers_look() - start a run of every template whose source has become newer since. A chore of
 *  workers; several may look at once. */
int triggers_look(struct app *a, struct err *err);

#endif
