/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of seal_verify_disk() share. Nothing here is used by seal_root(). */
#ifndef KILN_BAKE_SEAL_VERIFY_H
#define KILN_BAKE_SEAL_VERIFY_H

#include "base/json.h"
#include "disk/ext4.h"
#include "disk/gpt.h"
#include "store/store.h"

#define VERIFY_TEXT_MAX (4u << 20)

struct verify {
	struct store_reader *reader;
	struct ext4_fs *fs;
	const struct gpt *gpt;
	uint64_t root_offset; /* of the root partition, bytes */
	char **homes;
	json_t *findings;
	const char *check; /* name of the check that runs */
};

/** verify_found() - record a finding of the running check. Return: 0 or -ENOMEM. */
int verify_found(struct verify *v, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** verify_text() - a text file; *@ret is NULL when there is none. Return: 0 or -errno. */
int verify_text(struct verify *v, const char *path, char **ret, struct err *err);

typedef int verify_file_fn(struct verify *v, const char *path, const struct ext4_stat *st,
			   struct err *err);
/** verify_each() - call @fn for every path that @glob matches ("~/" = every home). */
int verify_each(struct verify *v, const char *glob, verify_file_fn *fn, struct err *err);

typedef int verify_fn(struct verify *v, struct err *err);
enum verify_kind {
	VERIFY_ABSENT, /* nothing matches */
	VERIFY_EMPTY,  /* regular files that match, or lie below a match, hold no byte */
	VERIFY_CALL,
};
struct verify_check {
	const char *name;
	enum verify_kind kind;
	const char *glob; /* NULL for calls; one row per glob, rows of one name are one check */
	verify_fn *call;
};
extern const struct verify_check verify_checks[]; /* ends with name NULL */

/* seal_accounts.c */
verify_fn verify_shadow, verify_passwd, verify_sudoers;
/* seal_texts.c */
verify_fn verify_machine_id, verify_dbus_machine_id, verify_hostname, verify_hosts,
	verify_resolv_conf, verify_policy_rc_d, verify_builder_proxy, verify_apt_credentials,
	verify_netplan_mac, verify_interfaces_mac, verify_cloud_passwords, verify_sshd_config,
	verify_fstab, verify_package_tokens, verify_iscsi_name, verify_host_key_source,
	verify_ifcfg;
/* seal_raw.c */
verify_fn verify_esp_random_seed, verify_superblock;

/** verify_facts() - os-release, kernels, packages; new reference. */
int verify_facts(struct verify *v, json_t **ret, struct err *err);

#endif
