/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite on a file system that fails: every call below it, once, each in the ways it can fail. What
 * was reported as done is there once, what was reported as failed is not, and the next change
 * succeeds. With KILN_LONG=N everything is done N times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "base/mem.h"
#include "meta/audit.h"
#include "meta/db.h"
#include "meta/jobs.h"
#include "meta/operations.h"
#include "meta/resources.h"
#include "support/tmp.h"

/* ---- A file system in front of SQLite's own ------------------------------------------------- */

enum call { CALL_READ, CALL_WRITE, CALL_SYNC, CALL_TRUNCATE, CALL_LOCK, CALL_SIZE, CALL_OPEN };

static const struct {
	enum call call;
	int code;
} faults[] = {
	{CALL_READ, SQLITE_IOERR_READ},    {CALL_WRITE, SQLITE_IOERR_WRITE},
	{CALL_WRITE, SQLITE_FULL},         {CALL_SYNC, SQLITE_IOERR_FSYNC},
	{CALL_LOCK, SQLITE_IOERR_SHMLOCK}, {CALL_TRUNCATE, SQLITE_IOERR_TRUNCATE},
	{CALL_SIZE, SQLITE_IOERR_FSTAT},   {CALL_OPEN, SQLITE_CANTOPEN},
};

struct fault_file {
	sqlite3_file base;
	sqlite3_file *real; /* behind this struct */
};

/* SQLite knows its file systems by address, without a context: one for the program. */
static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *under;
	unsigned fault; /* index of the armed one */
	unsigned left;  /* calls up to the fault; 0 = none */
	bool did;
} fs;

static bool fails(enum call call)
{
	if (fs.left == 0 || faults[fs.fault].call != call || --fs.left > 0)
		return false;
	fs.did = true;
	return true;
}

static sqlite3_file *real(sqlite3_file *f)
{
	return ((struct fault_file *) f)->real;
}

#define REAL(f) real(f)->pMethods

static int f_close(sqlite3_file *f)
{
	return REAL(f)->xClose(real(f));
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return fails(CALL_READ) ? faults[fs.fault].code : REAL(f)->xRead(real(f), p, n, at);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	/* what fails may have written a part */
	if (fails(CALL_WRITE)) {
		(void) REAL(f)->xWrite(real(f), p, n / 2, at);
		return faults[fs.fault].code;
	}
	return REAL(f)->xWrite(real(f), p, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return fails(CALL_TRUNCATE) ? faults[fs.fault].code : REAL(f)->xTruncate(real(f), n);
}

static int f_sync(sqlite3_file *f, int flags)
{
	return fails(CALL_SYNC) ? faults[fs.fault].code : REAL(f)->xSync(real(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return fails(CALL_SIZE) ? faults[fs.fault].code : REAL(f)->xFileSize(real(f), ret);
}

static int f_lock(sqlite3_file *f, int how)
{
	return REAL(f)->xLock(real(f), how);
}

static int f_unlock(sqlite3_file *f, int how)
{
	return REAL(f)->xUnlock(real(f), how);
}

static int f_reserved(sqlite3_file *f, int *ret)
{
	return REAL(f)->xCheckReservedLock(real(f), ret);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
	return REAL(f)->xFileControl(real(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
	return REAL(f)->xSectorSize(real(f));
}

static int f_device(sqlite3_file *f)
{
	return REAL(f)->xDeviceCharacteristics(real(f));
}

static int f_shm_map(sqlite3_file *f, int i, int n, int extend, void volatile **ret)
{
	return REAL(f)->xShmMap(real(f), i, n, extend, ret);
}

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	if (!(flags & SQLITE_SHM_UNLOCK) && fails(CALL_LOCK))
		return faults[fs.fault].code;
	return REAL(f)->xShmLock(real(f), at, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
	REAL(f)->xShmBarrier(real(f));
}

static int f_shm_unmap(sqlite3_file *f, int del)
{
	return REAL(f)->xShmUnmap(real(f), del);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = f_close,
	.xRead = f_read,
	.xWrite = f_write,
	.xTruncate = f_truncate,
	.xSync = f_sync,
	.xFileSize = f_size,
	.xLock = f_lock,
	.xUnlock = f_unlock,
	.xCheckReservedLock = f_reserved,
	.xFileControl = f_control,
	.xSectorSize = f_sector,
	.xDeviceCharacteristics = f_device,
	.xShmMap = f_shm_map,
	.xShmLock = f_shm_lock,
	.xShmBarrier = f_shm_barrier,
	.xShmUnmap = f_shm_unmap,
};

static int fs_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *ret)
{
	struct fault_file *ff = (struct fault_file *) f;
	int r;

	f->pMethods = NULL;
	if (fails(CALL_OPEN))
		return faults[fs.fault].code;
	ff->real = (sqlite3_file *) (ff + 1);
	r = fs.under->xOpen(fs.under, name, ff->real, flags, ret);
	if (r == SQLITE_OK)
		f->pMethods = &methods;
	return r;
}

static void fs_register(void)
{
	fs.under = sqlite3_vfs_find(NULL);
	fs.vfs = *fs.under;
	fs.vfs.zName = "fault";
	fs.vfs.szOsFile += (int) sizeof(struct fault_file);
	fs.vfs.xOpen = fs_open;
	assert_int_equal(sqlite3_vfs_register(&fs.vfs, 1), SQLITE_OK);
}

/* ---- The tests ------------------------------------------------------------------------------ */

static unsigned rounds(void)
{
	const char *s = getenv("KILN_LONG");
	long n = s ? strtol(s, NULL, 10) : 1;

	return n > 0 && n < 100000 ? (unsigned) n : 1;
}

static int change(struct meta *m, const char *key, struct err *err)
{
	/* long, so that it takes several pages */
	auto_free char *filler = malloc(20000);
	auto_json json_t *record = json_pack("{s:s}", "resourceId", key), *doc = NULL;
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	assert_non_null(filler);
	memset(filler, 'x', 19999);
	filler[19999] = '\0';
	doc = json_pack("{s:s}", "filler", filler);
	struct resource res = {.key = (char *) (uintptr_t) key,
			       .id = (char *) (uintptr_t) key,
			       .type = (char *) (uintptr_t) "t",
			       .sort = (char *) (uintptr_t) key,
			       .api_version = (char *) (uintptr_t) "2023-01-01",
			       .doc = doc};
	r = resource_create(m, &res, err);
	if (r >= 0)
		r = audit_add(m, record, err);
	if (r < 0) {
		meta_rollback(m);
		return r;
	}
	return meta_commit(m, err);
}

static bool there(struct meta *m, const char *key)
{
	auto_resource struct resource r = {0};
	auto_err struct err err = ERR_INIT;
	int rc = resource_get(m, key, &r, &err);

	if (rc != 0 && rc != -ENOENT)
		print_error("%s\n", err_str(&err));
	assert_true(rc == 0 || rc == -ENOENT);
	return rc == 0;
}

struct tally {
	unsigned injected;
	int64_t committed;
};

static void sweep(struct meta *m, unsigned fault, unsigned round, struct tally *t)
{
	for (unsigned n = 1;; n++) {
		auto_free char *key = strf("/%u-%u-%u", fault, round, n), *next = strf("%s+", key);
		auto_err struct err err = ERR_INIT;
		bool did;
		int r;

		fs.fault = fault;
		fs.did = false;
		fs.left = n;
		r = change(m, key, &err);
		/* what it did not hit may hit a read */
		if (r == 0 && !fs.did) {
			auto_resource struct resource res = {0};

			(void) resource_get(m, key, &res, NULL);
		}
		did = fs.did;
		fs.left = 0;
		assert_int_equal(r == 0, there(m, key));
		assert_true(r == 0 || r == -EIO || r == -ENOSPC || r == -EBUSY || r == -ECANCELED);
		t->committed += r == 0;
		if (!did)
			return;
		t->injected++;
		assert_int_equal(change(m, next, &err), 0);
		t->committed++;
	}
}

static void assert_sound(struct meta *m, const struct tally *t)
{
	int64_t rows = -1;

	assert_int_equal(audit_verify(m, NULL, 0, &rows, NULL), 0);
	assert_int_equal(rows, t->committed);
}

static void every_call_fails_once(void **state)
{
	auto_free char *url = strf("sqlite:%s/kiln.db", (char *) *state);
	struct tally t = {0};
	struct meta *m;

	for (unsigned round = 0; round < 16 * rounds(); round++) {
		assert_int_equal(meta_open(url, &m, NULL), 0);
		for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
			sweep(m, i, round, &t);
		assert_sound(m, &t);
		meta_close(m);
		/* as the next process finds it */
		assert_int_equal(meta_open(url, &m, NULL), 0);
		assert_sound(m, &t);
		meta_close(m);
	}
	assert_true(t.injected > 1000 * rounds());
}

/* Opening, schema included, fails cleanly and succeeds the next time. */
static void every_call_of_open_fails_once(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		for (unsigned n = 1;; n++) {
			auto_free char *url =
				strf("sqlite:%s/open-%u-%u.db", (char *) *state, i, n);
			struct meta *m = NULL;
			bool did;
			int r;

			fs.fault = i;
			fs.did = false;
			fs.left = n;
			r = meta_open(url, &m, NULL);
			did = fs.did;
			fs.left = 0;
			if (r >= 0)
				meta_close(m);
			assert_int_equal(meta_open(url, &m, NULL), 0);
			assert_int_equal(change(m, "/a", NULL), 0);
			meta_close(m);
			if (!did || n == 60)
				break;
		}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)
	const struct CMUnitTest tests[] = {
		T(every_call_fails_once),
		T(every_call_of_open_fails_once),
	};

	fs_register();
	return cmocka_run_group_tests_name("meta/sqlite_faults", tests, NULL, NULL);
}
