/* SPDX-License-Identifier: Apache-2.0 */
#include "base/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>

#include "base/file.h"
#include "base/journal_internal.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"

#define ENTRY_MAX (64u << 10)
#define BOOT_MAX  64

struct journal {
	char *dir;
	char *write_lock;   /* held shared while an entry is written */
	char *recover_lock; /* held exclusively by the one that recovers */
	char boot[BOOT_MAX];
	pid_t pid;
	uint64_t start; /* of pid, clock ticks since boot */
	pthread_mutex_t lock;
	uint64_t last; /* highest sequence number seen; under lock */
};

struct journal_entry {
	struct journal *j;
	char *path;
	json_t *doc;
};

static int read_boot_id(char *dst)
{
	char text[BOOT_MAX] = "";
	auto_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	memcpy(dst, text, sizeof(text));
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	(void) pthread_mutex_destroy(&j->lock);
	free(j->dir);
	free(j->write_lock);
	free(j->recover_lock);
	free(j);
}

static void journal_closep(struct journal **j)
{
	journal_close(*j);
}

int journal_open(const char *dir, struct journal **ret, struct err *err)
{
	__attribute__((cleanup(journal_closep))) struct journal *j = NULL;
	auto_free char *parent = path_dirname(dir);
	int r;

	j = calloc(1, sizeof(*j));
	if (!j || !parent)
		return err_set(err, -ENOMEM, "open the journal: out of memory");
	(void) pthread_mutex_init(&j->lock, NULL);
	j->dir = strdup(dir);
	j->write_lock = path_join(dir, "write.lock");
	j->recover_lock = path_join(dir, "recover.lock");
	if (!j->dir || !j->write_lock || !j->recover_lock)
		return err_set(err, -ENOMEM, "open the journal: out of memory");
	j->pid = getpid();
	j->start = proc_start_ticks(j->pid);
	r = read_boot_id(j->boot);
	if (r < 0 || j->start == 0)
		return err_set(err, r < 0 ? r : -EIO,
			       "open the journal: /proc does not tell the boot id and start time; "
			       "is it mounted?");
	if (!file_exists(dir)) {
		r = file_mkdir_p(dir, 0700, err);
		if (r < 0)
			return err_ctx(err, r, "open the journal");
		r = file_fsync_dir(parent);
		if (r < 0)
			return err_set(err, r, "open the journal: sync %s: %s", parent,
				       strerrordesc_np(-r));
	}
	*ret = take_ptr(j);
	return 0;
}

/* Entries are named SEQUENCE-RANDOM.json, the sequence as 16 hex digits. */
static bool entry_sequence(const char *name, uint64_t *ret)
{
	char *end;

	if (strspn(name, "0123456789abcdef") != 16 || name[16] != '-' || !str_ends(name, ".json"))
		return false;
	*ret = strtoull(name, &end, 16);
	return true;
}

/* Highest sequence number present. The numbers are for order only: two processes may choose the
 * same one at the same moment, what neither saw the other make does not depend on it. */
static int highest(struct journal *j, uint64_t *ret)
{
	auto_dir DIR *d = opendir(j->dir);
	struct dirent *de;

	if (!d)
		return -errno;
	*ret = 0;
	while ((void) (errno = 0), (de = readdir(d))) {
		uint64_t seq;

		if (entry_sequence(de->d_name, &seq) && seq > *ret)
			*ret = seq;
	}
	return -errno;
}

static int next_sequence(struct journal *j, uint64_t *ret)
{
	uint64_t seen = 0;
	int r = highest(j, &seen);

	if (r < 0)
		return r;
	(void) pthread_mutex_lock(&j->lock);
	if (seen > j->last)
		j->last = seen;
	*ret = ++j->last;
	(void) pthread_mutex_unlock(&j->lock);
	return 0;
}

static int write_entry(struct journal_entry *e, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(ENTRY_MAX);
	auto_fd int lock = -1;
	int r = json_canonical(e->doc, &text);

	if (r < 0)
		return err_set(err, r, "journal %s: %s", e->path, strerrordesc_np(-r));
	/* Recovery removes temporaries only while nobody writes one. */
	r = lock_file(e->j->write_lock, LOCK_SHARED, &lock, err);
	if (r == 0)
		r = file_write_atomic(e->path, text.data, text.len, 0600, err);
	return r < 0 ? err_ctx(err, r, "journal") : 0;
}

static void entry_free(struct journal_entry *e)
{
	if (!e)
		return;
	free(e->path);
	json_decref(e->doc);
	free(e);
}

static void entry_freep(struct journal_entry **e)
{
	entry_free(*e);
}

int journal_add(struct journal *j, const char *kind, json_t *stolen, struct journal_entry **ret,
		struct err *err)
{
	__attribute__((cleanup(entry_freep))) struct journal_entry *e = NULL;
	auto_json json_t *facts = stolen;
	char random[33];
	uint64_t seq;
	int r;

	if (!journal_kind_find(kind))
		return err_set(err, -EINVAL, "journal: unknown kind \"%s\"", kind);
	if (!facts)
		return err_set(err, -ENOMEM, "journal: out of memory");
	if (!json_is_object(facts))
		return err_set(err, -EINVAL, "journal: the facts of a %s are no object", kind);
	e = calloc(1, sizeof(*e));
	if (!e)
		return err_set(err, -ENOMEM, "journal: out of memory");
	r = next_sequence(j, &seq);
	if (r == 0)
		r = tmp_name(random);
	if (r < 0)
		/* cppcheck-suppress memleak ; e has a cleanup */
		return err_set(err, r, "journal %s: %s", j->dir, strerrordesc_np(-r));
	e->j = j;
	e->path = strf("%s/%016" PRIx64 "-%.16s.json", j->dir, seq, random);
	e->doc = json_pack("{s:s, s:O, s:{s:i, s:I, s:s}}", "kind", kind, "facts", facts, "owner",
			   "pid", (int) j->pid, "start", (json_int_t) j->start, "boot", j->boot);
	if (!e->path || !e->doc)
		/* cppcheck-suppress memleak ; e has a cleanup */
		return err_set(err, -ENOMEM, "journal: out of memory");
	r = write_entry(e, err);
	if (r < 0) {
		(void) unlink(e->path); /* there if only the last fsync failed */
		return r;
	}
	*ret = take_ptr(e);
	return 0;
}

int journal_update(struct journal_entry *e, json_t *stolen, struct err *err)
{
	auto_json json_t *more = stolen;

	if (!more)
		return err_set(err, -ENOMEM, "journal: out of memory");
	if (!json_is_object(more))
		return err_set(err, -EINVAL, "journal: the facts added to %s are no object",
			       e->path);
	if (json_object_update(json_object_get(e->doc, "facts"), more) < 0)
		return err_set(err, -ENOMEM, "journal: out of memory");
	return write_entry(e, err);
}

/* Return: 0 (also when it was absent) or -errno. */
static int forget(struct journal *j, const char *path)
{
	const struct sys *sys = sys_get();

	if (sys->unlinkat(AT_FDCWD, path, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	/* An entry that a power cut brings back would undo what has become permanent. */
	return file_fsync_dir(j->dir);
}

int journal_drop(struct journal_entry *e)
{
	int r;

	if (!e)
		return 0;
	r = forget(e->j, e->path);
	entry_free(e);
	return r;
}

static int undo_doc(const json_t *doc, bool same_boot, struct err *err)
{
	const char *kind = json_str_at(doc, "kind");
	journal_undo_fn *undo = kind ? journal_kind_find(kind) : NULL;
	int r;

	if (!undo)
		return err_set(err, -EOPNOTSUPP,
			       "unknown kind \"%s\"; a newer kiln wrote it and can undo it",
			       kind ? kind : "");
	r = undo(json_at(doc, "facts"), same_boot, err);
	return r < 0 ? err_ctx(err, r, "undo the %s", kind) : 0;
}

int journal_undo(struct journal_entry *e, struct err *err)
{
	int r;

	if (!e)
		return 0;
	r = undo_doc(e->doc, true, err);
	if (r < 0) {
		r = err_ctx(err, r, "journal %s", e->path);
	} else {
		r = forget(e->j, e->path);
		if (r < 0)
			(void) err_set(err, r, "journal: remove %s: %s", e->path,
				       strerrordesc_np(-r));
	}
	entry_free(e);
	return r;
}

/* Temporaries of writers that died. With the lock nobody alive has one. */
static int sweep_temporaries(struct journal *j, struct err *err)
{
	auto_fd int lock = -1;
	auto_dir DIR *d = NULL;
	struct dirent *de;
	int r = lock_file(j->write_lock, LOCK_EXCLUSIVE, &lock, err);

	if (r < 0)
		return r;
	d = opendir(j->dir);
	if (!d)
		return err_set(err, -errno, "read %s: %s", j->dir, strerrordesc_np(errno));
	while ((void) (errno = 0), (de = readdir(d)))
		if (str_starts(de->d_name, FILE_TMP_PREFIX) &&
		    unlinkat(dirfd(d), de->d_name, 0) < 0 && errno != ENOENT)
			return err_set(err, -errno, "remove %s/%s: %s", j->dir, de->d_name,
				       strerrordesc_np(errno));
	if (errno != 0)
		return err_set(err, -errno, "read %s: %s", j->dir, strerrordesc_np(errno));
	return 0;
}

static int newest_first(const void *x, const void *y)
{
	return strcmp(*(char *const *) y, *(char *const *) x);
}

static int list_entries(struct journal *j, char ***ret, struct err *err)
{
	auto_strv char **names = NULL;
	auto_dir DIR *d = opendir(j->dir);
	struct dirent *de;
	uint64_t seq;

	if (!d)
		return err_set(err, -errno, "read %s: %s", j->dir, strerrordesc_np(errno));
	while ((void) (errno = 0), (de = readdir(d)))
		if (entry_sequence(de->d_name, &seq) && strv_push(&names, de->d_name) < 0)
			return err_set(err, -ENOMEM, "read %s: out of memory", j->dir);
	if (errno != 0)
		return err_set(err, -errno, "read %s: %s", j->dir, strerrordesc_np(errno));
	if (names)
		qsort(names, strv_len(names), sizeof(*names), newest_first);
	*ret = take_ptr(names);
	return 0;
}

/* Reads an entry and tells whether its owner lives. Return: 0, -ENOENT, -EBADMSG when it does not
 * say so, or another -errno. */
static int read_entry(struct journal *j, const char *path, json_t **ret, bool *ret_same_boot,
		      bool *ret_alive, struct err *err)
{
	auto_json json_t *doc = NULL;
	const char *boot;
	int r = json_read_file(path, &doc, err);

	if (r == -ENOENT)
		return r;
	if (r == -EINVAL)
		r = -EBADMSG;
	boot = json_str_at(doc, "owner.boot");
	if (r == 0 && (!boot || !json_is_integer(json_at(doc, "owner.pid")) ||
		       !json_is_integer(json_at(doc, "owner.start"))))
		r = err_set(err, -EBADMSG, "%s: owner is missing or incomplete", path);
	if (r < 0)
		return r;
	*ret_same_boot = strcmp(boot, j->boot) == 0;
	*ret_alive = *ret_same_boot && proc_alive((pid_t) json_int_at(doc, "owner.pid", 0),
						  (uint64_t) json_int_at(doc, "owner.start", 0));
	*ret = take_ptr(doc);
	return 0;
}

/* An entry was synced whole before it got its name, so one that is torn comes from a disk that lies
 * about syncs, after a power cut; most of what it named went with the boot. It must not stop
 * everything else: it goes aside, where a person may look at it. */
static int set_aside(struct journal *j, const char *path, struct err *why, struct err *err)
{
	auto_free char *to = strf("%s.damaged", path);

	if (!to)
		return err_set(err, -ENOMEM, "out of memory");
	if (sys_get()->renameat2(AT_FDCWD, path, AT_FDCWD, to, 0) < 0)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "rename %s: %s", path,
						 strerrordesc_np(errno));
	log_warn("journal.entry.damaged", "moved=%s error=%s", to, err_str(why));
	return 0;
}

/* Return: 1 undone, 0 nothing to do, or -errno. */
static int recover_entry(struct journal *j, const char *name, struct err *err)
{
	auto_free char *path = path_join(j->dir, name);
	auto_json json_t *seen = NULL, *doc = NULL;
	bool same_boot, alive;
	int r;

	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	r = read_entry(j, path, &seen, &same_boot, &alive, err);
	if (r == 0 && alive)
		return 0;
	/* The owner may have added facts, or dropped the entry, and died after we read. Of a dead
	 * owner nothing changes any more. */
	if (r == 0)
		r = read_entry(j, path, &doc, &same_boot, &alive, err);
	if (r == -ENOENT) {
		err_done(err);
		return 0;
	}
	if (r == -EBADMSG) {
		auto_err struct err why = ERR_INIT;

		err_move(&why, err);
		return set_aside(j, path, &why, err);
	}
	if (r < 0)
		return r;
	r = undo_doc(doc, same_boot, err);
	if (r < 0)
		return err_ctx(err, r, "%s", path);
	r = forget(j, path);
	if (r < 0)
		return err_set(err, r, "remove %s: %s", path, strerrordesc_np(-r));
	return 1;
}

int journal_recover(struct journal *j, unsigned *ret_undone, struct err *err)
{
	auto_strv char **names = NULL;
	auto_fd int lock = -1;
	unsigned undone = 0;
	int first = 0, r;

	r = lock_file(j->recover_lock, LOCK_EXCLUSIVE, &lock, err);
	if (r == 0)
		r = sweep_temporaries(j, err);
	if (r == 0)
		r = list_entries(j, &names, err);
	if (r < 0)
		return err_ctx(err, r, "recover the journal");
	for (size_t i = 0; names && names[i]; i++) {
		auto_err struct err e = ERR_INIT;

		r = recover_entry(j, names[i], &e);
		if (r > 0)
			undone++;
		if (r < 0 && first == 0) {
			first = r;
			if (err)
				err_move(err, &e);
			(void) err_ctx(err, r, "recover the journal");
		}
	}
	if (ret_undone)
		*ret_undone = undone;
	return first;
}
