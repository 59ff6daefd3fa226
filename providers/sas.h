/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed URLs of disks and snapshots:
 *	BASE/blob/SUBSCRIPTION/GROUP/disks|snapshots/NAME/GRANT.vhd?sv=&sr=b&sp=r|rw&se=&sig=
 * sig is the Base64 of HMAC-SHA256 over sv, sp, se, the resource's key and the grant, each followed
 * by a line end. The key is 32 random bytes of the grant alone, kept in the resource's document
 * ("access"), so that ending a grant ends its URLs at once, on every server of the database.
 */
#ifndef KILN_PROVIDERS_SAS_H
#define KILN_PROVIDERS_SAS_H

#include "arm/query.h"
#include "providers/common.h"

#define SAS_PREFIX  "/blob/"
#define SAS_VERSION "2018-03-28"

struct sas_target {
	char *id;    /* owned: the resource's id */
	json_t *doc; /* owned: its document */
	bool write;  /* what the URL allows beside reading */
};
void sas_done(struct sas_target *t);
#define auto_sas __attribute__((cleanup(sas_done)))

/** sas_grant() - a new grant {"id","mode","expires","key"}; @expires in seconds since 1970; NULL
 *  when memory or randomness ran out. */
json_t *sas_grant(const char *mode, int64_t expires);

/** sas_url() - the URL of a grant; caller frees. @base: "https://host:port". 0 or -errno. */
int sas_url(const char *base, const struct arm_id *id, const json_t *access, char **ret,
	    struct err *err);

/** sas_check() - whom does a signed target belong to, and may it? Absent, forged, ended and expired
 *  look alike: -EACCES. */
int sas_check(struct arm *arm, const char *target, struct sas_target *ret, struct err *err);

/** sas_local() - the same for a whole URL, when it is one of this server: -ENOENT when not. */
int sas_local(struct arm *arm, const char *url, struct sas_target *ret, struct err *err);

#endif
