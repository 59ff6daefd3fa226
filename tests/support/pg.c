/* SPDX-License-Identifier: Apache-2.0 */
#include "support/pg.h"

#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"

#define ARGS_MAX 32
#define PORT     "5432"

struct pg {
	char dir[64];
	char bin[128]; /* folder of its programs */
	char data[96];
	char socket[96];
	uid_t uid; /* of the server: it refuses to be root */
	gid_t gid;
	pid_t pid;
};

static bool find_bin(char *dst, size_t size)
{
	glob_t g = {0};
	bool ok = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &g) == 0 && g.gl_pathc > 0;

	if (ok) {
		const char *path = g.gl_pathv[g.gl_pathc - 1];

		(void) snprintf(dst, size, "%.*s", (int) (strrchr(path, '/') - path), path);
	}
	globfree(&g);
	return ok;
}

/* The child ends with this program, however that ends. */
static pid_t spawn(struct pg *pg, const char *const argv[], bool lasts)
{
	char path[160];
	const char *full[ARGS_MAX];
	pid_t parent = getpid(), pid;
	size_t n = 0;
	int null;

	/* By its whole name: these programs look for each other where they were started from. */
	(void) snprintf(path, sizeof(path), "%s/%s", pg->bin, argv[0]);
	do
		full[n] = n ? argv[n] : path;
	while (full[n] && ++n < ARGS_MAX);
	assert_true(n < ARGS_MAX);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	if (setpgid(0, 0) < 0 || (geteuid() == 0 && (setgid(pg->gid) < 0 || setuid(pg->uid) < 0)))
		_exit(126);
	if (lasts && (prctl(PR_SET_PDEATHSIG, SIGQUIT) < 0 || getppid() != parent))
		_exit(126);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || chdir(pg->dir) < 0)
		_exit(126);
	null = open("server.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (null >= 0)
		(void) dup2(null, 2);
	(void) execv(path, (char *const *) (uintptr_t) full);
	_exit(127);
}

static void init_cluster(struct pg *pg)
{
	/* Its own order of text is not that of bytes. */
	const char *const argv[] = {"initdb",
				    "-D",
				    pg->data,
				    "-U",
				    "kiln",
				    "-A",
				    "trust",
				    "--no-sync",
				    "--encoding=UTF8",
				    "--no-instructions",
				    "--locale=C.UTF-8",
				    "--locale-provider=icu",
				    "--icu-locale=en",
				    NULL};
	int status = -1;

	assert_int_equal(waitpid(spawn(pg, argv, false), &status, 0) > 0, 1);
	assert_int_equal(status, 0);
}

static PGconn *dial(const struct pg *pg)
{
	char info[256];

	(void) snprintf(info, sizeof(info), "host=%s port=" PORT " user=kiln dbname=postgres",
			pg->dir);
	return PQconnectdb(info);
}

static void serve(struct pg *pg)
{
	const char *const argv[] = {
		"postgres", "-D", pg->data, "-k", pg->dir, "-p", PORT, "-h", "",
		/* Of no use to a cluster that lives for seconds; kill -9 loses nothing by it. */
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "autovacuum=off", "-c",
		"max_connections=200", "-c", "shared_buffers=32MB", "-c", "restart_after_crash=on",
		"-c", "dynamic_shared_memory_type=mmap", NULL};

	pg->pid = spawn(pg, argv, true);
	for (unsigned tries = 0;; tries++) {
		PGconn *h = dial(pg);
		bool up = PQstatus(h) == CONNECTION_OK;

		PQfinish(h);
		if (up)
			return;
		(void) poll(NULL, 0, 10);
		if (waitpid(pg->pid, NULL, WNOHANG) == 0)
			continue;
		/* It gives up while processes of a killed one still hold the shared memory. */
		assert_true(tries < 3000); /* see server.log */
		pg->pid = spawn(pg, argv, true);
	}
}

bool pg_installed(void)
{
	char bin[128];

	return find_bin(bin, sizeof(bin));
}

struct pg *pg_start(void)
{
	struct pg *pg = calloc(1, sizeof(*pg));
	const struct passwd *pw;

	assert_non_null(pg);
	assert_true(find_bin(pg->bin, sizeof(pg->bin)));
	pw = getpwnam("postgres");
	if (!pw)
		pw = getpwnam("nobody");
	assert_non_null(pw);
	pg->uid = pw->pw_uid;
	pg->gid = pw->pw_gid;
	(void) snprintf(pg->dir, sizeof(pg->dir), "%s/kiln-test-pg-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(pg->dir));
	if (geteuid() == 0)
		assert_int_equal(chown(pg->dir, pg->uid, pg->gid), 0);
	assert_int_equal(chmod(pg->dir, 0755), 0);
	(void) snprintf(pg->data, sizeof(pg->data), "%s/data", pg->dir);
	(void) snprintf(pg->socket, sizeof(pg->socket), "%s/.s.PGSQL." PORT, pg->dir);
	init_cluster(pg);
	serve(pg);
	return pg;
}

/* Each of its processes has a session of its own. Stopped, it can start no more of them. */
void pg_kill(struct pg *pg)
{
	auto_buf struct buf children = BUF_INIT(1 << 16);
	char path[64], *p, *end;

	(void) kill(pg->pid, SIGSTOP);
	(void) snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int) pg->pid,
			(int) pg->pid);
	assert_int_equal(file_read_all(path, &children, NULL), 0);
	p = children.len ? children.data : (char *) (uintptr_t) "";
	for (long pid = strtol(p, &end, 10); end > p; pid = strtol(p, &end, 10)) {
		(void) kill((pid_t) pid, SIGKILL);
		p = end;
	}
	(void) kill(pg->pid, SIGKILL);
	assert_int_equal(waitpid(pg->pid, NULL, 0), pg->pid);
}

void pg_again(struct pg *pg)
{
	serve(pg);
}

void pg_stop(struct pg *pg)
{
	if (!pg)
		return;
	/* At once, but not so that its shared memory stays. */
	(void) kill(pg->pid, SIGQUIT);
	assert_int_equal(waitpid(pg->pid, NULL, 0), pg->pid);
	(void) file_rm_rf(pg->dir, NULL);
	free(pg);
}

void pg_sql_run(struct pg *pg, const char *sql, char *value, size_t size)
{
	PGconn *h = dial(pg);
	PGresult *res = PQexec(h, sql);
	ExecStatusType st = PQresultStatus(res);

	if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK)
		print_error("%s: %s\n", sql, PQerrorMessage(h));
	assert_true(st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK);
	if (value)
		(void) snprintf(value, size, "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(h);
}

void pg_url(struct pg *pg, const char *dir, const char *schema, char url[PG_URL_MAX])
{
	char sql[160];

	(void) snprintf(sql, sizeof(sql), "CREATE SCHEMA %s", schema);
	pg_sql_run(pg, sql, NULL, 0);
	(void) snprintf(url, PG_URL_MAX,
			"postgres://kiln@/postgres?host=%s&port=" PORT
			"&options=-csearch_path%%3D%s",
			dir ? dir : pg->dir, schema);
}

const char *pg_socket(const struct pg *pg)
{
	return pg->socket;
}
