/* SPDX-License-Identifier: Apache-2.0 */
/* With an argument this program is a journal's owner that the tests end, see owner(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/pidfd.h>

#include "base/file.h"
#include "base/journal.h"
#include "base/mem.h"
#include "base/proc.h"
#include "support/fault.h"
#include "support/tmp.h"

#define WAIT_MS 30000 /* only passes when something is broken */

static char self[512];

static json_t *path_facts(const char *path)
{
	return json_pack("{s:s}", "path", path);
}

/* Registers DIR/owned-1..3 and makes them, tells so, and waits to be killed. */
static int own_files(const char *dir)
{
	struct journal *j = NULL;

	if (journal_open(tmp_path(dir, "journal"), &j, NULL) < 0)
		return 1;
	for (int i = 1; i <= 3; i++) {
		struct journal_entry *e = NULL;
		char name[16];

		(void) snprintf(name, sizeof(name), "owned-%d", i);
		if (journal_add(j, "file", path_facts(tmp_path(dir, name)), &e, NULL) < 0)
			return 1;
		(void) tmp_file(dir, name, "x");
	}
	(void) puts("ready");
	(void) fflush(stdout);
	for (;;)
		(void) pause();
}

/* Registers a process it did not start yet; starts it when told to, tells its pid, waits. */
static int own_process(const char *dir)
{
	static const char *const argv[] = {"/bin/sleep", "1000", NULL};
	const struct proc_spec spec = {.argv = argv};
	struct journal_entry *e = NULL;
	struct journal *j = NULL;
	pid_t pid;
	int fd;

	if (journal_open(tmp_path(dir, "journal"), &j, NULL) < 0 ||
	    journal_add(j, "process", json_pack("{s:s}", "name", "sleep"), &e, NULL) < 0)
		return 1;
	(void) puts("ready");
	(void) fflush(stdout);
	if (getchar() == EOF || proc_spawn(&spec, -1, &pid, &fd, NULL) < 0 ||
	    journal_update(e,
			   json_pack("{s:i, s:I}", "pid", (int) pid, "start",
				     (json_int_t) proc_start_ticks(pid)),
			   NULL) < 0)
		return 1;
	(void) printf("pid %d\n", pid);
	(void) fflush(stdout);
	for (;;)
		(void) pause();
}

struct owner {
	int to, from; /* our ends of its standard input and output */
	int pidfd;
	pid_t pid;
};

static void wait_for(int fd, const char *word, char *said, size_t size)
{
	size_t n = 0;

	said[0] = '\0';
	while (!strstr(said, word) || !str_ends(said, "\n")) {
		assert_true(n + 1 < size);
		assert_int_equal(read(fd, said + n, 1), 1);
		said[++n] = '\0';
	}
}

static void owner_start(struct owner *o, const char *mode, const char *dir)
{
	struct proc_spec spec = {.argv = (const char *const[]){self, mode, dir, NULL}};
	int in[2], out[2];
	char said[100];

	assert_int_equal(pipe2(in, O_CLOEXEC) + pipe2(out, O_CLOEXEC), 0);
	spec.stdin_fd = in[0];
	assert_int_equal(proc_spawn(&spec, out[1], &o->pid, &o->pidfd, NULL), 0);
	assert_int_equal(close(in[0]) + close(out[1]), 0);
	o->to = in[1];
	o->from = out[0];
	wait_for(o->from, "ready", said, sizeof(said));
}

static void owner_kill(struct owner *o)
{
	assert_int_equal(pidfd_send_signal(o->pidfd, SIGKILL, NULL, 0), 0);
	assert_int_equal(proc_stop(o->pid, o->pidfd, WAIT_MS), 0);
	assert_int_equal(close(o->pidfd) + close(o->to) + close(o->from), 0);
}

struct fixture {
	char *dir, *journal;
	struct journal *j;
	unsigned fds;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *dir = NULL;

	if (!f || tmp_dir_setup(&dir) < 0)
		return -1;
	f->dir = dir;
	f->journal = path_join(dir, "journal");
	f->fds = tmp_fds();
	*state = f;
	return journal_open(f->journal, &f->j, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;
	int leaked = (int) tmp_fds() - (int) f->fds;

	sys_use(NULL);
	journal_close(f->j);
	free(f->journal);
	free(f);
	return tmp_dir_teardown(&dir) < 0 || leaked != 0 ? -1 : 0;
}

/* Entries and what else is there but the two lock files. */
static unsigned entries(const struct fixture *f)
{
	return tmp_names(f->journal) - (unsigned) file_exists(tmp_path(f->journal, "write.lock")) -
	       (unsigned) file_exists(tmp_path(f->journal, "recover.lock"));
}

static const char *boot_id(void)
{
	static char id[64];
	auto_buf struct buf b = BUF_INIT(sizeof(id));
	auto_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	assert_int_equal(file_read_fd(fd, &b), 0);
	(void) snprintf(id, sizeof(id), "%.36s", buf_str(&b));
	return id;
}

/* An entry as a process left it that had our pid but started before us. */
static const char *forge(const struct fixture *f, unsigned seq, const char *kind, json_t *facts,
			 const char *boot)
{
	auto_json json_t *doc =
		json_pack("{s:s, s:o, s:{s:i, s:i, s:s}}", "kind", kind, "facts", facts, "owner",
			  "pid", getpid(), "start", 1, "boot", boot);
	auto_free char *text = json_compact(doc);
	char name[64];

	(void) snprintf(name, sizeof(name), "%016x-0123456789abcdef.json", seq);
	return tmp_file(f->journal, name, text);
}

static unsigned recover(const struct fixture *f)
{
	auto_err struct err e = ERR_INIT;
	unsigned n = 99;

	if (journal_recover(f->j, &n, &e) != 0)
		fail_msg("%s", err_str(&e));
	return n;
}

static void life_of_an_entry(void **state)
{
	const struct fixture *f = *state;
	const char *path = tmp_path(f->dir, "thing");
	struct journal_entry *e = NULL;

	assert_int_equal(journal_add(f->j, "file", path_facts(path), &e, NULL), 0);
	assert_int_equal(entries(f), 1);
	(void) tmp_file(f->dir, "thing", "x");
	assert_int_equal(journal_update(e, json_pack("{s:i}", "size", 1), NULL), 0);
	assert_int_equal(entries(f), 1);
	assert_int_equal(journal_drop(e), 0);
	assert_int_equal(entries(f), 0);
	assert_true(file_exists(path));
	assert_int_equal(journal_add(f->j, "file", path_facts(path), &e, NULL), 0);
	assert_int_equal(journal_undo(e, NULL), 0);
	assert_int_equal(entries(f), 0);
	assert_false(file_exists(path));
	assert_int_equal(journal_drop(NULL), 0);
	assert_int_equal(journal_undo(NULL, NULL), 0);
	journal_close(NULL);
}

static void what_cannot_be_added(void **state)
{
	const struct fixture *f = *state;
	struct journal_entry *e = NULL;
	auto_err struct err err = ERR_INIT;

	assert_int_equal(journal_add(f->j, "unicorn", json_object(), &e, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "unicorn"));
	assert_int_equal(journal_add(f->j, "file", json_array(), &e, NULL), -EINVAL);
	assert_int_equal(journal_add(f->j, "file", NULL, &e, NULL), -ENOMEM);
	assert_null(e);
	assert_int_equal(entries(f), 0);
	assert_int_equal(journal_add(f->j, "file", path_facts("/x"), &e, NULL), 0);
	assert_int_equal(journal_update(e, json_array(), NULL), -EINVAL);
	assert_int_equal(journal_update(e, NULL, NULL), -ENOMEM);
	assert_int_equal(journal_drop(e), 0);
}

static void opened_where(void **state)
{
	const struct fixture *f = *state;
	struct journal *j = NULL;
	struct stat st;

	assert_int_equal(stat(f->journal, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(journal_open(tmp_path(f->dir, "deep/er/journal"), &j, NULL), 0);
	journal_close(j);
	(void) tmp_file(f->dir, "file", "");
	assert_int_equal(journal_open(tmp_path(f->dir, "file/journal"), &j, NULL), -ENOTDIR);
}

static void undo_that_fails_keeps_the_entry(void **state)
{
	const struct fixture *f = *state;
	const char *path = tmp_path(f->dir, "d");
	auto_err struct err err = ERR_INIT;
	struct journal_entry *e = NULL;

	assert_int_equal(mkdir(path, 0700), 0); /* no file */
	assert_int_equal(journal_add(f->j, "file", path_facts(path), &e, NULL), 0);
	assert_int_equal(journal_undo(e, &err), -EISDIR);
	assert_non_null(strstr(err.msg, "undo the file"));
	assert_int_equal(entries(f), 1);
	assert_int_equal(recover(f), 0); /* its owner, this process, lives */
	assert_int_equal(entries(f), 1);
}

static void killed_owner(void **state)
{
	const struct fixture *f = *state;
	const char *mine = tmp_path(f->dir, "mine"), *other = tmp_file(f->dir, "other", "x");
	struct journal_entry *e = NULL;
	struct owner dead, alive;
	void *second = NULL;

	assert_int_equal(tmp_dir_setup(&second), 0);
	/* The living owner's entries are in the same journal by a link. */
	assert_int_equal(symlink(f->journal, tmp_path(second, "journal")), 0);
	assert_int_equal(journal_add(f->j, "file", path_facts(mine), &e, NULL), 0);
	(void) tmp_file(f->dir, "mine", "x");
	owner_start(&alive, "files", second);
	owner_start(&dead, "files", f->dir);
	assert_int_equal(entries(f), 7);
	assert_int_equal(recover(f), 0);
	assert_int_equal(entries(f), 7);
	owner_kill(&dead);
	assert_int_equal(recover(f), 3);
	assert_int_equal(entries(f), 4);
	for (int i = 1; i <= 3; i++) {
		char name[16];

		(void) snprintf(name, sizeof(name), "owned-%d", i);
		assert_false(file_exists(tmp_path(f->dir, name)));
		assert_true(file_exists(tmp_path(second, name)));
	}
	assert_true(file_exists(mine));
	assert_true(file_exists(other));
	owner_kill(&alive);
	assert_int_equal(recover(f), 3);
	assert_int_equal(journal_undo(e, NULL), 0);
	assert_false(file_exists(mine));
	assert_int_equal(tmp_names(second), 1);
	assert_int_equal(tmp_dir_teardown(&second), 0);
}

static struct owner racer;
static pid_t racer_child;

/* While recovery reads the entry for the first time, its owner learns more, and dies. */
static ssize_t pread_in_a_race(int fd, void *p, size_t n, off_t at)
{
	ssize_t k = sys_real.pread(fd, p, n, at);
	char said[100];

	if (racer_child == 0) {
		racer_child = -1;
		assert_int_equal(write(racer.to, "x", 1), 1);
		wait_for(racer.from, "pid ", said, sizeof(said));
		racer_child = (pid_t) strtol(said + 4, NULL, 10);
		owner_kill(&racer);
	}
	return k;
}

static void owner_dies_while_we_look(void **state)
{
	const struct fixture *f = *state;
	struct sys table = sys_real;
	struct pollfd p = {.events = POLLIN};
	auto_fd int fd = -1;

	owner_start(&racer, "process", f->dir);
	table.pread = pread_in_a_race;
	sys_use(&table);
	assert_int_equal(recover(f), 1);
	sys_use(NULL);
	assert_int_equal(entries(f), 0);
	fd = pidfd_open(racer_child, 0);
	p.fd = fd;
	if (fd >= 0) /* else reaped already */
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

static char order[100];

static int unlinkat_noted(int dirfd, const char *name, int flags)
{
	if (strstr(name, "/owned-"))
		memcpy(order + strlen(order), name + strlen(name) - 1, 1);
	return sys_real.unlinkat(dirfd, name, flags);
}

static void newest_first(void **state)
{
	const struct fixture *f = *state;
	struct sys table = sys_real;
	struct owner o;

	owner_start(&o, "files", f->dir);
	owner_kill(&o);
	table.unlinkat = unlinkat_noted;
	order[0] = '\0';
	sys_use(&table);
	assert_int_equal(recover(f), 3);
	sys_use(NULL);
	assert_string_equal(order, "321");
}

/* Numbers go on from what others left, so a later entry is undone before theirs. */
static void sequence_goes_on(void **state)
{
	const struct fixture *f = *state;
	struct journal_entry *e = NULL;
	const char *old = forge(f, 0x1234, "file", path_facts("/nonexistent/x"), "other");

	assert_int_equal(journal_add(f->j, "file", path_facts("/nonexistent/y"), &e, NULL), 0);
	assert_int_equal(unlink(old), 0);
	assert_int_equal(entries(f), 1);
	old = forge(f, 0x1235, "file", path_facts("/nonexistent/x"), "other");
	assert_int_equal(entries(f), 2);
	assert_int_equal(unlink(old), 0);
	{
		auto_dir DIR *d = opendir(f->journal);
		const struct dirent *de;
		bool found = false;

		assert_non_null(d);
		while ((de = readdir(d)))
			found |= str_starts(de->d_name, "0000000000001235-");
		assert_true(found);
	}
	assert_int_equal(journal_drop(e), 0);
}

static void entries_of_another_boot(void **state)
{
	const struct fixture *f = *state;
	const char *file = tmp_file(f->dir, "file", "x");

	(void) forge(f, 1, "file", path_facts(file), "00000000-0000-0000-0000-000000000000");
	/* Of that boot no process is left; ours has the same number by chance. */
	(void) forge(f, 2, "process",
		     json_pack("{s:i, s:I}", "pid", getpid(), "start",
			       (json_int_t) proc_start_ticks(getpid())),
		     "00000000-0000-0000-0000-000000000000");
	(void) forge(f, 3, "mount", path_facts("/proc"), "00000000-0000-0000-0000-000000000000");
	assert_int_equal(recover(f), 3);
	assert_false(file_exists(file));
	assert_true(file_exists("/proc/self"));
	assert_int_equal(entries(f), 0);
}

static void entries_that_nobody_understands(void **state)
{
	const struct fixture *f = *state;
	const char *file = tmp_file(f->dir, "file", "x");
	const char *bad = tmp_file(f->journal, "0000000000000009-00.json", "{\"kind\":");
	const char *odd = tmp_file(f->journal, "notes.txt", "x");
	auto_free char *aside = NULL;
	auto_err struct err e = ERR_INIT;
	unsigned n = 99;

	(void) forge(f, 1, "file", path_facts(file), boot_id());
	assert_int_equal(journal_recover(f->j, &n, &e), 0);
	assert_int_equal(n, 1); /* the others were undone */
	assert_false(file_exists(file));
	assert_false(file_exists(bad)); /* torn: kept aside */
	assert_true(file_exists(odd));
	aside = strf("%s.damaged", bad);
	assert_non_null(aside);
	assert_true(file_exists(aside));

	bad = tmp_file(f->journal, "0000000000000009-00.json", "{\"kind\":\"file\",\"facts\":{}}");
	assert_int_equal(journal_recover(f->j, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_false(file_exists(bad));
	bad = forge(f, 2, "unicorn", json_object(), boot_id());
	assert_int_equal(journal_recover(f->j, &n, &e), -EOPNOTSUPP);
	assert_true(file_exists(bad));
	bad = forge(f, 2, "file", json_object(), boot_id());
	assert_int_equal(journal_recover(f->j, NULL, NULL), -EINVAL);
	assert_true(file_exists(bad));
}

static void temporaries_are_swept(void **state)
{
	const struct fixture *f = *state;

	(void) tmp_file(f->journal, FILE_TMP_PREFIX "0123", "half an ent");
	assert_int_equal(recover(f), 0);
	assert_int_equal(entries(f), 0);
}

static void *add_many(void *arg)
{
	const struct fixture *f = arg;

	for (unsigned i = 0; i < 10; i++) {
		struct journal_entry *e = NULL;

		if (journal_add(f->j, "file", path_facts("/nonexistent/x"), &e, NULL) < 0 ||
		    journal_drop(e) < 0)
			return NULL;
	}
	return arg;
}

static void *recover_some(void *arg)
{
	const struct fixture *f = arg;
	unsigned n = 0;

	return journal_recover(f->j, &n, NULL) == 0 ? (void *) (uintptr_t) (n + 1) : NULL;
}

static void many_threads(void **state)
{
	struct fixture *f = *state;
	pthread_t adders[3], recoverers[3];
	uintptr_t undone = 0;
	void *ret;

	for (unsigned i = 0; i < 20; i++)
		(void) forge(f, i, "file", path_facts("/nonexistent/x"), boot_id());
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&adders[i], NULL, add_many, f), 0);
		assert_int_equal(pthread_create(&recoverers[i], NULL, recover_some, f), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(adders[i], &ret), 0);
		assert_ptr_equal(ret, f);
		assert_int_equal(pthread_join(recoverers[i], &ret), 0);
		assert_non_null(ret);
		undone += (uintptr_t) ret - 1;
	}
	assert_int_equal(undone, 20); /* each once */
	assert_int_equal(entries(f), 0);
}

typedef void arm_fn(unsigned n, bool *armed);

static void arm_sys(unsigned n, bool *armed)
{
	sys_use(fault_nth(n, EIO, armed));
}

static void disarm(void)
{
	sys_use(NULL);
	fault_alloc_off();
}

/* Fails each call of adding, updating, and dropping or undoing in turn. */
static void sweep_life(const struct fixture *f, arm_fn *arm, bool undo)
{
	for (unsigned n = 1;; n++) {
		const char *path = tmp_file(f->dir, "thing", "x");
		json_t *facts = path_facts(path), *more = json_pack("{s:i}", "size", 1);
		struct journal_entry *e = NULL;
		auto_err struct err err = ERR_INIT;
		bool armed = true;
		int added, updated = 0, ended = 0;

		arm(n, &armed);
		added = journal_add(f->j, "file", facts, &e, &err);
		if (added == 0)
			updated = journal_update(e, more, &err);
		else
			json_decref(more);
		if (added == 0)
			ended = undo ? journal_undo(e, &err) : journal_drop(e);
		disarm();
		assert_true(armed == (added == 0 && updated == 0 && ended == 0));
		if (added < 0) {
			assert_null(e);
			assert_int_equal(entries(f), 0);
		}
		assert_true(armed || err.code < 0 || (!undo && ended < 0));
		if (ended < 0) { /* then, and only then, it may still be there */
			assert_true(entries(f) <= 1);
			assert_int_equal(recover(f), 0);
		} else {
			assert_int_equal(entries(f), 0);
			assert_true(added < 0 || file_exists(path) == !undo);
		}
		assert_int_equal(file_rm_rf(f->journal, NULL), 0);
		assert_int_equal(mkdir(f->journal, 0700), 0);
		assert_int_equal(tmp_fds(), f->fds);
		if (armed) {
			assert_true(n > 15);
			return;
		}
	}
}

static void life_with_faults(void **state)
{
	sweep_life(*state, arm_sys, false);
	sweep_life(*state, arm_sys, true);
	sweep_life(*state, fault_alloc_nth, false);
	sweep_life(*state, fault_alloc_nth, true);
}

/* Whatever fails in a recovery, the next one ends it. */
static void sweep_recovery(const struct fixture *f, arm_fn *arm)
{
	for (unsigned n = 1;; n++) {
		const char *one = tmp_file(f->dir, "one", "x"), *two = tmp_file(f->dir, "two", "x");
		auto_err struct err err = ERR_INIT;
		bool armed = true;
		int r;

		(void) forge(f, 1, "file", path_facts(one), boot_id());
		(void) forge(f, 2, "file", path_facts(two), boot_id());
		(void) tmp_file(f->journal, FILE_TMP_PREFIX "0123", "half");
		arm(n, &armed);
		r = journal_recover(f->j, NULL, &err);
		disarm();
		assert_true(armed ? r == 0 : r < 0);
		assert_int_equal(err.code, r);
		assert_int_equal(tmp_fds(), f->fds);
		(void) recover(f);
		assert_int_equal(entries(f), 0);
		assert_false(file_exists(one) || file_exists(two));
		if (armed) {
			assert_true(n > 10);
			return;
		}
	}
}

static void recovery_with_faults(void **state)
{
	sweep_recovery(*state, arm_sys);
	sweep_recovery(*state, fault_alloc_nth);
}

static void opening_with_faults(void **state)
{
	const struct fixture *f = *state;
	const char *dir = tmp_path(f->dir, "new/journal");

	for (int kind = 0; kind < 2; kind++) {
		for (unsigned n = 1;; n++) {
			struct journal *j = NULL;
			bool armed = true;
			int r;

			(kind ? fault_alloc_nth : arm_sys)(n, &armed);
			r = journal_open(dir, &j, NULL);
			disarm();
			assert_int_equal(r, armed ? 0 : kind ? -ENOMEM : -EIO);
			assert_int_equal(j != NULL, armed);
			journal_close(j);
			assert_int_equal(tmp_fds(), f->fds);
			assert_int_equal(file_rm_rf(tmp_path(f->dir, "new"), NULL), 0);
			if (armed) {
				assert_true(n > 4);
				break;
			}
		}
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(life_of_an_entry),
		TEST(what_cannot_be_added),
		TEST(opened_where),
		TEST(undo_that_fails_keeps_the_entry),
		TEST(killed_owner),
		TEST(owner_dies_while_we_look),
		TEST(newest_first),
		TEST(sequence_goes_on),
		TEST(entries_of_another_boot),
		TEST(entries_that_nobody_understands),
		TEST(temporaries_are_swept),
		TEST(many_threads),
		TEST(life_with_faults),
		TEST(recovery_with_faults),
		TEST(opening_with_faults),
	};
	ssize_t n;

	if (argc == 3)
		return strcmp(argv[1], "files") == 0 ? own_files(argv[2]) : own_process(argv[2]);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return 1;
	self[n] = '\0';
	return cmocka_run_group_tests(tests, NULL, NULL);
}
