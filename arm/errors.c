/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/internal.h"

#include "base/mem.h"

struct status_row {
	const char *code;
	int status;
};

/* ARM codes whose status is not what their errno says. Hooks choose a code with err_arm() and need
 * not think of the status. */
static const struct status_row by_code[] = {
	{"InvalidAuthenticationToken", 401},
	{"AuthenticationFailed", 401},
	{"ExpiredAuthenticationToken", 401},
	{"AuthorizationFailed", 403},
	{"LinkedAuthorizationFailed", 403},
	{"ResourceNotFound", 404},
	{"ResourceGroupNotFound", 404},
	{"ParentResourceNotFound", 404},
	{"SubscriptionNotFound", 404},
	{"GalleryImageNotFound", 404},
	{"InvalidResourceType", 404},
	{"InvalidResourceNamespace", 404},
	{"NotFound", 404},
	{"MethodNotAllowed", 405},
	{"Conflict", 409},
	{"PropertyChangeNotAllowed", 409},
	{"InvalidResourceLocation", 409},
	{"OperationNotAllowed", 409},
	{"AnotherOperationInProgress", 409},
	{"CannotDeleteResource", 409},
	{"ResourceGroupBeingDeleted", 409},
	{"ScopeLocked", 409},
	{"ReadOnlyDisabledSubscription", 409},
	{"MissingSubscriptionRegistration", 409},
	{"IdempotencyKeyReused", 409},
	{"PreconditionFailed", 412},
	{"RequestTooLarge", 413},
	{"UnsupportedMediaType", 415},
	{"TooManyRequests", 429},
	{"ServerBusy", 503},
};

struct errno_row {
	int code;
	int status;
	const char *arm;
	bool internal;
};

static const struct errno_row by_errno[] = {
	{-EINVAL, 400, "InvalidParameter", false},
	{-ERANGE, 400, "InvalidParameter", false},
	{-E2BIG, 400, "InvalidParameter", false},
	{-EOPNOTSUPP, 400, "OperationNotSupported", false},
	{-EACCES, 403, "AuthorizationFailed", false},
	{-ENOENT, 404, "ResourceNotFound", false},
	{-EPERM, 409, "OperationNotAllowed", false},
	{-EEXIST, 409, "Conflict", false},
	{-EBUSY, 409, "OperationNotAllowed", false},
	{-ENOTEMPTY, 409, "CannotDeleteResource", false},
	{-ESTALE, 409, "Conflict", false},
	{-ECANCELED, 409, "OperationCanceled", false},
	{-EFBIG, 413, "RequestTooLarge", false},
	{-EAGAIN, 503, "ServerBusy", false},
	{-ETIME, 504, "OperationTimedOut", false},
	{-ETIMEDOUT, 504, "OperationTimedOut", true},
	{-ENOSPC, 507, "InsufficientStorage", true},
	{-ENOMEM, 503, "ServerBusy", true},
	{-EBADMSG, 500, "DataCorrupted", true},
};

struct arm_error error_of(const struct err *err)
{
	struct arm_error e = {500, "InternalServerError", true};

	for (size_t i = 0; i < ARRAY_SIZE(by_errno); i++)
		if (by_errno[i].code == err->code) {
			e.status = by_errno[i].status;
			e.code = by_errno[i].arm;
			e.internal = by_errno[i].internal;
		}
	if (!err->arm)
		return e;
	/* Somebody chose the code, so the message was written for the one who asked. */
	e.code = err->arm;
	e.internal = false;
	for (size_t i = 0; i < ARRAY_SIZE(by_code); i++)
		if (str_eq(by_code[i].code, err->arm))
			e.status = by_code[i].status;
	return e;
}

static int put(json_t *j, const char *key, json_t *value)
{
	return value && json_object_set_new(j, key, value) >= 0 ? 0 : -ENOMEM;
}

static json_t *message_of(const struct err *err, bool hide, const char *request_id)
{
	const char *msg = err_str(err);

	if (hide)
		return json_strf("The service failed to do this. Its log has the cause under "
				 "request %s.",
				 request_id);
	if (err->hint)
		return json_strf("%s%s %s", msg, str_ends(msg, ".") ? "" : ".", err->hint);
	return json_text(msg, strlen(msg));
}

json_t *error_json(const struct err *err, bool open, const char *request_id)
{
	struct arm_error e = error_of(err);
	json_t *j = json_object();
	int r = j ? 0 : -ENOMEM;

	if (r >= 0)
		r = put(j, "code", json_string(e.code));
	if (r >= 0)
		r = put(j, "message", message_of(err, e.internal && !open, request_id));
	if (r >= 0 && err->target)
		r = put(j, "target", json_text(err->target, strlen(err->target)));
	if (r >= 0)
		return j;
	json_decref(j);
	return NULL;
}

int error_from_json(const json_t *error, struct err *err)
{
	const char *code = json_str_at(error, "code"), *msg = json_str_at(error, "message");
	const char *target = json_str_at(error, "target");
	int r = (int) json_int_at(error, "errno", -EIO);

	if (r >= 0)
		r = -EIO;
	(void) err_set(err, r, "%s", msg ? msg : "the operation failed");
	if (target)
		err_target(err, "%s", target);
	if (code)
		err_arm(err, code);
	return r;
}
