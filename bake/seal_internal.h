/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of seal_root() share. Nothing of this is used by the verifier. */
#ifndef KILN_BAKE_SEAL_INTERNAL_H
#define KILN_BAKE_SEAL_INTERNAL_H

#include <stdbool.h>

#include "base/err.h"

#define SEAL_PATTERNS 24

struct seal {
	int rootfd;
	char **homes; /* absolute home directories inside the image, "/root" first */
	bool dry;     /* count what is left instead of changing it */
};

enum seal_action {
	SEAL_REMOVE,   /* what matches, trees too */
	SEAL_EMPTY,    /* everything in the matching directories; they stay */
	SEAL_TRUNCATE, /* regular files that match or lie below; directories and owners stay */
	SEAL_CALL,     /* a function */
};

/* Adds to *@changed what it changed, or would change when @s->dry. */
typedef int seal_fn(const struct seal *s, unsigned *changed, struct err *err);

struct seal_op {
	const char *name;
	enum seal_action action;
	/* Absolute; each component is a fnmatch(3) pattern; "~/" stands for every home. */
	const char *pattern[SEAL_PATTERNS];
	seal_fn *call;
};
extern const struct seal_op seal_ops[]; /* ends with name NULL */

/** seal_match() - run @action on everything that @pattern matches; counts in *@changed. */
int seal_match(const struct seal *s, enum seal_action action, const char *pattern,
	       unsigned *changed, struct err *err);

/** seal_dir() - open a directory of the image. Links inside it are followed, but not to where an
 *  operation would do harm ("/var/log" that leads to "/etc"). Return: fd, -ENOENT, or -errno. */
int seal_dir(const struct seal *s, const char *path, struct err *err);

/** seal_names() - entries of a directory, without "." and "..". Return: 0 or -errno. */
int seal_names(int dirfd, char ***ret);

/* seal_edit.c */
seal_fn seal_machine_id, seal_hostname, seal_hosts, seal_resolv_conf, seal_builder_proxy,
	seal_policy_rc_d, seal_hwaddr, seal_backup_files, seal_ssh_keygen_unit, seal_iscsi_name,
	seal_package_tokens;

#endif
