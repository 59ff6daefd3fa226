/* SPDX-License-Identifier: Apache-2.0 */
/* beginGetAccess and endGetAccess of disks and snapshots. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/disk.h"
#include "providers/sas.h"

bool disk_access_active(const json_t *doc)
{
	const json_t *access = json_object_get(doc, "access");
	const char *mode = json_str_at(access, "mode");

	if (!mode)
		return false;
	/* An upload is ended by who made it: its bytes become the content then. */
	return strcmp(mode, "Write") == 0 ||
	       json_int_at(access, "expires", 0) * 1000000 > time_now_us();
}

static int refused(struct err *err, const struct arm_call *c, const char *why)
{
	return refuse(err, -EBUSY, "OperationNotAllowed", "access", "'%s': %s", c->id->name, why);
}

static int check_state(const struct arm_call *c, bool write, struct err *err)
{
	const char *state = json_str_at(c->old, D_STATE);
	const char *policy = json_str_at(c->old, "properties.networkAccessPolicy");
	const char *has = disk_access_active(c->old) ? json_str_at(c->old, "access.mode") : NULL;
	bool upload = state &&
		      (strcmp(state, "ReadyToUpload") == 0 || strcmp(state, "ActiveUpload") == 0);

	if (policy && strcmp(policy, "DenyAll") == 0)
		return refused(err, c, "its networkAccessPolicy is DenyAll");
	if (has && strcmp(has, write ? "Write" : "Read") != 0)
		return refused(err, c,
			       "the other kind of access is active: end it first (POST "
			       "endGetAccess)");
	if (write && !upload)
		return refused(err, c,
			       "Write access is for disks with createOption Upload, until "
			       "their upload has ended");
	if (!write && (upload || !json_at(c->old, D_DISK)))
		return refused(err, c, "it has no content yet");
	return 0;
}

/* Asking again while an access is active renews it: the same grant, at least as long. */
static json_t *new_grant(const struct arm_call *c, const char *mode, int64_t expires)
{
	const json_t *old = disk_access_active(c->old) ? json_object_get(c->old, "access") : NULL;
	json_t *grant = old ? json_deep_copy(old) : sas_grant(mode, expires);

	if (old && grant && json_int_at(grant, "expires", 0) < expires &&
	    json_object_set_new(grant, "expires", json_integer(expires)) < 0) {
		json_decref(grant);
		return NULL;
	}
	return grant;
}

int disk_access_begin(struct arm_call *c, struct err *err)
{
	const char *mode = json_str_at(c->body, "access");
	int64_t expires = time_now_us() / 1000000 + json_int_at(c->body, "durationInSeconds", 0);
	bool write = mode && strcmp(mode, "Write") == 0;
	char running[UUID_STR_LEN] = "";
	auto_free char *url = NULL;
	json_t *grant;
	int r;

	if (!mode || strcmp(mode, "None") == 0)
		return refuse(err, -EINVAL, "InvalidParameter", "access",
			      "access: Read or Write expected; POST endGetAccess ends an access");
	if (json_bool_at(c->body, "getSecureVMGuestStateSAS", false))
		return refuse(err, -EINVAL, "InvalidParameter", "getSecureVMGuestStateSAS",
			      "getSecureVMGuestStateSAS: disks here have no guest state");
	if (json_str_at(c->body, "fileFormat") &&
	    !str_eq_nocase(json_str_at(c->body, "fileFormat"), "VHD"))
		return refuse(err, -EINVAL, "InvalidParameter", "fileFormat",
			      "fileFormat: VHD is the only one here");
	r = arm_running(c->arm, c->id->text, running, err);
	if (r == 0)
		r = running[0] ? refused(err, c, "an operation on it has not ended yet")
			       : check_state(c, write, err);
	if (r < 0)
		return r;
	grant = new_grant(c, mode, expires);
	if (!grant || json_object_set_new(c->doc, "access", grant) < 0)
		return no_memory(err);
	r = sas_url(arm_base_url(c), c->id, grant, &url, err);
	if (r == 0)
		r = set_str(c->doc, D_STATE, write ? "ActiveUpload" : "ActiveSAS", err);
	if (r < 0)
		return r;
	if (!write)
		return arm_call_job(c, "export", json_pack("{s:s}", "url", url), err);
	c->result = json_pack("{s:s}", "accessSAS", url);
	return c->result ? 0 : no_memory(err);
}

int disk_access_end(struct arm_call *c, struct err *err)
{
	const char *mode = json_str_at(c->old, "access.mode");
	bool write = mode && strcmp(mode, "Write") == 0;

	if (!mode) {
		c->status = 200; /* nothing to end */
		return 0;
	}
	/* From this commit on no signature is good any more. */
	(void) json_object_del(c->doc, "access");
	if (!write && set_str(c->doc, D_STATE, "Unattached", err) < 0)
		return -ENOMEM;
	return arm_call_job(c, write ? "upload" : "close", NULL, err);
}
