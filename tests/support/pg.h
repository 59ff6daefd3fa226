/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PostgreSQL server of the test's own: Debian's programs, a new cluster in a temporary directory,
 * a Unix socket and nothing else. It dies with the test program. Failures end the test.
 */
#ifndef KILN_TESTS_SUPPORT_PG_H
#define KILN_TESTS_SUPPORT_PG_H

#include <stdbool.h>
#include <stddef.h>

#define PG_URL_MAX 256

struct pg;

bool pg_installed(void);
struct pg *pg_start(void);
void pg_stop(struct pg *pg); /* NULL is fine; removes the cluster */
/** pg_kill() - kill -9 of the server and all its processes. pg_again() - start it anew; blocks
 *  until it accepts connections. */
void pg_kill(struct pg *pg);
void pg_again(struct pg *pg);
/** pg_url() - for a new, empty schema named @schema: nothing of other tests is in it. @dir NULL =
 *  the server's own socket directory, else one where something stands in front of it. */
void pg_url(struct pg *pg, const char *dir, const char *schema, char url[PG_URL_MAX]);
/** pg_socket() - path of the server's socket. */
const char *pg_socket(const struct pg *pg);
/** pg_sql_run() - one statement by a connection of its own; the first column of the first row
 *  into @value[@size] unless NULL. */
void pg_sql_run(struct pg *pg, const char *sql, char *value, size_t size);

#endif
