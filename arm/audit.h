/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes a record of the audit log. Changes are recorded in their own transaction and always;
 * what anybody can repeat at will (failures, logins) is recorded up to a rate, see arm/flood.h.
 */
#ifndef KILN_ARM_AUDIT_H
#define KILN_ARM_AUDIT_H

#include "arm/arm.h"
#include "base/err.h"

enum audit_class {
	AUDIT_CHANGE,       /* always recorded */
	AUDIT_FAILURE,      /* denials and failed changes of somebody authenticated */
	AUDIT_LOGIN_FAILED, /* of nobody in particular */
	AUDIT_LOGIN,
	AUDIT_CLASSES
};

struct audit_event {
	enum audit_class class;
	const char *source; /* whose rate it counts against; NULL = the principal's */
	const struct arm_principal *who;
	const char *action; /* RBAC action */
	const char *id;     /* resource */
	const char *method;
	const char *result; /* "Success", "Denied", "Accepted", "Failed", ... */
	const char *request_id, *correlation_id, *operation_id;
	const char *code;       /* ARM or OAuth error code, or NULL */
	const char *peer;       /* the client's address, where it is known */
	const char *credential; /* what a login was proven with: an id, never a secret */
	int status;             /* HTTP; 0 = not of an answer */
};

/** audit_event() - one record, in the caller's transaction or its own. Strings are cut to bounded
 *  lengths. Success too when the rate leaves it out: then it is counted, and the number is in the
 *  next record of the class, or in one of its own when @arm ends. */
int audit_event(struct arm *arm, const struct audit_event *e, struct err *err);

#endif
