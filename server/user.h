/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API process needs no privileges. Started by root, it becomes the system user "kiln" when
 * there is one, after it has opened what only root may: the listening sockets, admin.json,
 * kiln.yaml and the server's key. docs/server.md lists what the user can reach.
 */
#ifndef KILN_SERVER_USER_H
#define KILN_SERVER_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define SERVER_USER "kiln"

struct server_user {
	bool drop; /* root now, and the user exists */
	uid_t uid;
	gid_t gid;
};

/** user_find() - who to become. 0 or -errno. */
int user_find(struct server_user *ret, struct err *err);

/**
 * user_prepare() - let the user work in a data directory that root owns
 * @data_dir: becomes root:kiln 1775: the user may make files, and remove only its own
 * @database: path of the SQLite database or NULL; it and what belongs to it become the user's
 * @dirs: names of directories beneath @data_dir that are the user's, made when they are missing;
 *        ends with NULL
 *
 * Links are not followed. Nothing happens without @u->drop, except that @dirs are made.
 */
int user_prepare(const struct server_user *u, const char *data_dir, const char *database,
		 const char *const *dirs, struct err *err);

/** user_drop() - become the user, for ever: no group, capability or way back is kept. 0, or -errno
 *  (then the process must end). */
int user_drop(const struct server_user *u, struct err *err);

/** user_certificates() - tls_ensure(), and the server's user may read the server's key, so that it
 *  can take a renewed one without privileges. */
int user_certificates(const struct server_user *u, const char *dir, const char *const *names,
		      struct err *err);

#endif
