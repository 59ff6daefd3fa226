/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the container executor for tests/integration/executor.sh, without the engine: a raw
 * disk served by nbdkit's file plugin, one store in WORK/store. It also plays the helper roles.
 *
 *	bake-executor-tool BASE.raw WORK OPERATION...
 *
 * run CMD | net CMD | timeout MS | cancel MS | grow (first) BYTES | put FILE DEST MODE UID |
 * get PATH FILE | file NAME FILE (for the next command) | snapshot | restore FILE | seal | verify
 *
 * Prints one line per result. The environment's KILN_ALLOW and KILN_TRUSTED (space-separated) are
 * the network lists.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "bake/container.h"
#include "bake/roles.h"
#include "bake/seal.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "disk/gpt.h"
#include "store/store.h"

#define LIST_MAX 32

struct tool {
	const char *work, *base_path;
	char *dir, *sock;
	struct journal *journal;
	struct cancel cancel;
	struct chain *chain;
	struct container c;
	struct store *store;
	struct store_session *session;
	struct disk_ref disk;
	pid_t nbd;
	int nbd_fd, nbd_life; /* the server ends when nbd_life closes */
	struct executor_file file;
	uint64_t timeout_ms, cancel_ms, grow;
	unsigned long lines;
};

static void print_line(void *arg, enum proc_stream stream, const char *line, size_t n)
{
	struct tool *t = arg;

	if (++t->lines <= 2000)
		printf("%s %.*s\n", stream == PROC_STDOUT ? "out" : "err", (int) n, line);
	(void) fflush(stdout);
}

static void print_event(void *arg, const json_t *event)
{
	auto_free char *text = json_compact(event);

	printf("event %s\n", text ? text : "");
}

static int failed(struct err *err, const char *what)
{
	printf("error %s: %s%s%s\n", what, err_str(err), err->hint ? " -- " : "",
	       err->hint ? err->hint : "");
	err_done(err);
	return 1;
}

static bool answers(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void) snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return fd >= 0 && connect(fd, (struct sockaddr *) &a, sizeof(a)) == 0;
}

static int start_server(struct tool *t, struct err *err)
{
	auto_free char *nbdkit = NULL;
	char number[12];
	int life[2];
	int r = proc_find("nbdkit", "nbdkit", &nbdkit, err);

	if (r < 0)
		return r;
	if (pipe2(life, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe");
	(void) snprintf(number, sizeof(number), "%d", life[0]);
	/* Guarded: it ends with this process however that ends. */
	const char *argv[] = {proc_self_exe(), "sandbox", "guard", "--life-fd", number,  "--",
			      nbdkit,          "-f",      "-r",    "-U",        t->sock, "file",
			      t->base_path,    NULL};
	struct proc_spec p = {.argv = argv, .keep_fds = life, .n_keep_fds = 1};

	t->nbd_life = life[1];
	(void) unlink(t->sock); /* of an earlier run that was killed */
	r = proc_spawn(&p, -1, &t->nbd, &t->nbd_fd, err);
	(void) close(life[0]);
	for (int i = 0; r == 0 && i < 500 && !answers(t->sock); i++)
		(void) poll(NULL, 0, 10); /* nbdkit in the foreground has no sign of readiness */
	return r;
}

static int open_store(struct tool *t, struct err *err)
{
	auto_free char *dir = path_join(t->work, "store");
	auto_fd int fd = open(t->base_path, O_RDONLY | O_CLOEXEC);
	struct store_stats stats;
	int r;

	if (t->store)
		return 0;
	if (fd < 0 || !dir)
		return err_set(err, -errno, "%s", t->base_path);
	r = store_open_dir(dir, false, &t->store, err);
	if (r == 0)
		r = store_session_begin(t->store, "executor test", &t->session, err);
	if (r == 0)
		r = store_ingest(t->session, 0, fd, 0, NULL, NULL, &t->disk, &stats, err);
	return r;
}

static int open_chain(struct tool *t, struct err *err)
{
	struct stat st;
	int64_t start = time_mono_ns();

	if (t->chain)
		return 0;
	if (stat(t->base_path, &st) < 0)
		return err_set(err, -errno, "%s", t->base_path);
	struct chain_spec spec = {.socket = t->sock,
				  .base_bytes = (uint64_t) st.st_size,
				  .grow_to_bytes = t->grow,
				  .scratch = t->dir,
				  .journal = t->journal,
				  .cancel = &t->cancel};
	int r = chain_open(&spec, &t->chain, err);

	t->c.chain = t->chain;
	if (r == 0)
		printf("attached %.3f\n", (double) (time_mono_ns() - start) / 1e9);
	return r;
}

static void split_list(const char *name, char *copy, size_t size, const char **list)
{
	const char *env = getenv(name);
	char *save = NULL;
	size_t n = 0;

	(void) snprintf(copy, size, "%s", env ? env : "");
	for (char *w = strtok_r(copy, " ", &save); w && n < LIST_MAX - 1;
	     w = strtok_r(NULL, " ", &save))
		list[n++] = w;
	list[n] = NULL;
}

static void *cancel_later(void *arg)
{
	struct tool *t = arg;

	(void) poll(NULL, 0, (int) t->cancel_ms);
	cancel_set(&t->cancel, -ECANCELED);
	return NULL;
}

static int op_run(struct tool *t, const char *text, bool net, struct err *err)
{
	char allow_text[1024], trusted_text[1024];
	const char *allow[LIST_MAX], *trusted[LIST_MAX];
	const char *argv[] = {"/bin/sh", "-c", text, NULL};
	struct executor_net n = {.enabled = true, .allow = allow, .trusted = trusted};
	struct executor_cmd cmd = {.argv = argv,
				   .net = net ? &n : NULL,
				   .files = t->file.name ? &t->file : NULL,
				   .n_files = t->file.name ? 1 : 0,
				   .timeout_ms = t->timeout_ms,
				   .line = print_line,
				   .line_arg = t};
	struct proc_result res = {0};
	int64_t start = time_mono_ns();
	pthread_t thread;
	int r;

	t->lines = 0;
	split_list("KILN_ALLOW", allow_text, sizeof(allow_text), allow);
	split_list("KILN_TRUSTED", trusted_text, sizeof(trusted_text), trusted);
	if (t->cancel_ms && pthread_create(&thread, NULL, cancel_later, t) != 0)
		return 1;
	r = container_run(&t->c, &cmd, &res, err);
	if (t->cancel_ms)
		(void) pthread_join(thread, NULL);
	printf("run %s exit=%d signal=%d timeout=%d dropped=%llu seconds=%.3f%s%s\n",
	       r == 0 ? "ok" : "failed", res.exit_code, res.signal, res.timed_out,
	       (unsigned long long) res.dropped, (double) (time_mono_ns() - start) / 1e9,
	       r < 0 ? " error=" : "", r < 0 ? err_str(err) : "");
	err_done(err);
	if (t->cancel_ms) {
		cancel_done(&t->cancel);
		(void) cancel_init(&t->cancel);
	}
	t->timeout_ms = t->cancel_ms = 0;
	if (t->file.name)
		(void) close(t->file.fd);
	t->file.name = NULL;
	return 0;
}

static int op_snapshot(struct tool *t, struct err *err)
{
	struct chain_sealed s = {0};
	struct store_stats stats = {0};
	struct disk_ref disk;
	char hex[DIGEST_HEX];
	int64_t start = time_mono_ns(), sealed;
	int r = open_store(t, err);

	if (r == 0)
		r = chain_seal(t->chain, &s, err);
	sealed = time_mono_ns();
	if (r == 0)
		r = chain_commit(t->chain, &s, t->session, 0, &t->disk, &disk, &stats, err);
	chain_sealed_done(&s);
	if (r < 0)
		return failed(err, "snapshot");
	t->disk = disk;
	printf("snapshot %s seal=%.3f commit=%.3f read=%llu new=%llu\n",
	       digest_hex(&disk.digest, hex), (double) (sealed - start) / 1e9,
	       (double) (time_mono_ns() - sealed) / 1e9, (unsigned long long) stats.bytes_read,
	       (unsigned long long) stats.new_bytes);
	return 0;
}

static int op_restore(struct tool *t, const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t) t->disk.size_bytes) < 0 ||
	    store_restore(t->store, 0, &t->disk, fd, NULL, NULL, NULL, err) < 0)
		return failed(err, "restore");
	return 0;
}

static int op_seal(struct tool *t, struct err *err)
{
	auto_json json_t *report = NULL;
	auto_free char *text = NULL;

	if (seal_root(chain_rootfd(t->chain), &report, err) < 0)
		return failed(err, "seal");
	text = json_compact(report);
	printf("sealed %zu %s\n", json_array_size(report), text ? text : "");
	return 0;
}

static int op_verify(struct tool *t, struct err *err)
{
	auto_json json_t *findings = NULL, *facts = NULL;
	auto_free char *facts_text = NULL;
	json_t *f;
	size_t i;

	if (open_store(t, err) < 0 ||
	    seal_verify_disk(t->store, 0, &t->disk, &findings, &facts, err) < 0)
		return failed(err, "verify");
	json_array_foreach(findings, i, f) printf("finding %s %s %s\n", json_str_at(f, "check"),
						  json_str_at(f, "path"), json_str_at(f, "detail"));
	facts_text = json_compact(facts);
	printf("verified %zu %s\n", json_array_size(findings), facts_text ? facts_text : "");
	return 0;
}

static int op_put(struct tool *t, char **a, struct err *err)
{
	auto_fd int fd = open(a[0], O_RDONLY | O_CLOEXEC);

	if (fd < 0 ||
	    container_put(chain_rootfd(t->chain), fd, a[1], (unsigned) strtoul(a[2], NULL, 8),
			  (unsigned) strtoul(a[3], NULL, 10), (unsigned) strtoul(a[3], NULL, 10),
			  err) < 0)
		return failed(err, "put");
	printf("put ok\n");
	return 0;
}

static int op_get(struct tool *t, char **a, struct err *err)
{
	auto_fd int fd = open(a[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || container_get(chain_rootfd(t->chain), a[0], fd, err) < 0)
		return failed(err, "get");
	printf("get ok\n");
	return 0;
}

/* Runs the operation at @a. Return: arguments used, or -1. */
static int operate(struct tool *t, char **a, int left, struct err *err)
{
	const char *op = a[0];
	int need = str_eq(op, "put")                                                      ? 5
		   : str_eq(op, "get") || str_eq(op, "file")                              ? 3
		   : str_eq(op, "snapshot") || str_eq(op, "seal") || str_eq(op, "verify") ? 1
											  : 2;

	if (left < need)
		return -1;
	if (str_eq(op, "grow"))
		t->grow = strtoull(a[1], NULL, 10);
	else if (str_eq(op, "timeout"))
		t->timeout_ms = strtoull(a[1], NULL, 10);
	else if (str_eq(op, "cancel"))
		t->cancel_ms = strtoull(a[1], NULL, 10);
	else if (str_eq(op, "verify") && op_verify(t, err))
		return -1;
	if (str_eq(op, "grow") || str_eq(op, "timeout") || str_eq(op, "cancel") ||
	    str_eq(op, "verify"))
		return need;
	if (open_chain(t, err) < 0)
		return failed(err, "attach"), -1;
	if (str_eq(op, "file")) {
		t->file = (struct executor_file){
			.name = a[1], .fd = open(a[2], O_RDONLY | O_CLOEXEC), .mode = 0555};
		return t->file.fd < 0 ? -1 : need;
	}
	int r = str_eq(op, "run")        ? op_run(t, a[1], false, err)
		: str_eq(op, "net")      ? op_run(t, a[1], true, err)
		: str_eq(op, "snapshot") ? op_snapshot(t, err)
		: str_eq(op, "restore")  ? op_restore(t, a[1], err)
		: str_eq(op, "seal")     ? op_seal(t, err)
		: str_eq(op, "put")      ? op_put(t, a + 1, err)
		: str_eq(op, "get")      ? op_get(t, a + 1, err)
					 : 1;
	return r == 0 ? need : -1;
}

int main(int argc, char **argv)
{
	struct event_sink events = {.emit = print_event};
	struct tool t = {0};
	struct err err = ERR_INIT;
	int r;

	if (argc > 1 && str_eq(argv[1], "sandbox"))
		return sandbox_main(argc - 1, argv + 1);
	if (argc > 1 && str_eq(argv[1], "proxy"))
		return proxy_main(argc - 1, argv + 1);
	if (argc < 4)
		return 2;
	t.base_path = argv[1];
	t.work = argv[2];
	t.dir = path_join(t.work, "scratch");
	t.sock = path_join(t.work, "nbd.sock");
	auto_free char *journal = path_join(t.work, "journal");

	if (!t.dir || !t.sock || !journal || cancel_init(&t.cancel) < 0 ||
	    file_mkdir_p(t.dir, 0700, &err) < 0 || journal_open(journal, &t.journal, &err) < 0)
		return failed(&err, "start");
	r = journal_recover(t.journal, NULL, &err);
	if (r < 0)
		return failed(&err, "recover");
	if (start_server(&t, &err) < 0)
		return failed(&err, "nbdkit");
	t.c = (struct container){.journal = t.journal, .cancel = &t.cancel, .events = &events};
	r = 0;
	for (int i = 3; i < argc;) {
		int n = operate(&t, argv + i, argc - i, &err);

		if (n < 0) {
			r = 1;
			break;
		}
		i += n;
	}
	chain_close(t.chain);
	(void) proc_stop(t.nbd, t.nbd_fd, 1000);
	(void) unlink(t.sock);
	store_session_end(t.session);
	store_close(t.store);
	journal_close(t.journal);
	cancel_done(&t.cancel);
	free(t.dir);
	free(t.sock);
	return r;
}
