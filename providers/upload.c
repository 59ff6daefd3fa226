/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/upload.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "disk/vhd.h"
#include "providers/disk.h"

#define SUFFIX      ".vhd"
#define SWEEP_AGE_S 600 /* a younger file may belong to an access that began during the sweep */

static char *uploads_dir(const struct app *a)
{
	return path_join(a->data_dir, "uploads");
}

char *upload_path(const struct app *a, const json_t *doc)
{
	const char *id = json_str_at(doc, "properties.uniqueId");

	return strf("%s/uploads/%s" SUFFIX, a->data_dir, id ? id : "none");
}

static int fail(struct err *err, int r, const char *what)
{
	return err_set(err, r, "upload file: %s: %s", what, strerror(-r));
}

/* A file that was removed while we waited for its lock is not the one that others see. */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

int upload_open(const struct app *a, const json_t *doc, bool write, uint64_t bytes, int *ret_fd,
		struct err *err)
{
	auto_free char *path = upload_path(a, doc), *dir = uploads_dir(a);
	auto_fd int fd = -1;
	struct stat st;
	int r;

	if (!path || !dir)
		return no_memory(err);
	if (!write && !file_exists(path))
		return -ENOENT;
	r = file_mkdir_p(dir, 0700, err);
	if (r == 0)
		r = lock_file(path, LOCK_SHARED, &fd, err);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return fail(err, -errno, "size");
	if (write && st.st_size == 0 && sys_get()->ftruncate(fd, (off_t) bytes) < 0)
		return fail(err, -errno, "make");
	if (!same_file(fd, path))
		return -ENOENT;
	*ret_fd = take_fd(fd);
	return 0;
}

int upload_lock(const char *path, int *ret_fd, struct err *err)
{
	if (!file_exists(path))
		return refuse(
			err, -EINVAL, "InvalidVhd", NULL,
			"nothing was uploaded: write the VHD's pages to the access URL first");
	return lock_file(path, LOCK_EXCLUSIVE, ret_fd, err);
}

/* ---- Downloads ------------------------------------------------------------------------------ */

static int write_footer(int fd, const json_t *doc, uint64_t bytes)
{
	uint8_t footer[VHD_FOOTER];
	struct digest d;
	const char *id = json_str_at(doc, "properties.uniqueId");

	sha256(id ? id : "", id ? strlen(id) : 0, &d);
	vhd_footer(bytes, d.b, footer);
	return file_pwrite_full(fd, footer, sizeof(footer), bytes);
}

int upload_export(struct arm_job *job, unsigned region, const struct disk_ref *disk,
		  struct err *err)
{
	const struct app *a = job->app;
	auto_free char *path = upload_path(a, job->doc), *dir = uploads_dir(a);
	struct progress *p;
	auto_fd int fd = -1;
	struct stat st;
	int r;

	if (!path || !dir)
		return no_memory(err);
	r = file_mkdir_p(dir, 0700, err);
	if (r == 0)
		r = lock_file(path, LOCK_EXCLUSIVE, &fd, err);
	if (r < 0)
		return r;
	if (sys_get()->ftruncate(fd, 0) < 0)
		return fail(err, -errno, "empty");
	/* The API process, which sends it, may be somebody else: who owns the directory. */
	if (geteuid() == 0 && stat(dir, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)
		return fail(err, -errno, "give away");
	p = progress_to_events(job->events);
	r = store_restore(a->store, region, disk, fd, NULL, job->cancel, p, err);
	progress_free(p);
	if (r < 0)
		return r;
	if (sys_get()->ftruncate(fd, (off_t) disk->size_bytes) < 0)
		return fail(err, -errno, "grow");
	r = write_footer(fd, job->doc, disk->size_bytes);
	return r < 0 ? fail(err, r, "footer") : 0;
}

int upload_remove(const struct app *a, const json_t *doc, struct err *err)
{
	auto_free char *path = upload_path(a, doc);

	if (!path)
		return no_memory(err);
	if (unlink(path) < 0 && errno != ENOENT)
		return fail(err, -errno, "remove");
	return 0;
}

/* ---- What is left over ---------------------------------------------------------------------- */

struct sweep {
	struct app *a;
	char **keep; /* owned: uniqueIds in use */
};

static int note(void *arg, const char *id, const json_t *doc)
{
	struct sweep *s = arg;
	const char *unique = json_str_at(doc, "properties.uniqueId");
	const char *state = json_str_at(doc, D_STATE);
	bool upload = state &&
		      (strcmp(state, "ReadyToUpload") == 0 || strcmp(state, "ActiveUpload") == 0);

	(void) id;
	return unique && (upload || disk_access_active(doc)) ? strv_push(&s->keep, unique) : 0;
}

static bool kept(const struct sweep *s, const char *name)
{
	size_t n = strlen(name);

	if (!str_ends(name, SUFFIX))
		return true; /* none of ours */
	for (char **k = s->keep; k && *k; k++)
		if (strlen(*k) == n - strlen(SUFFIX) && strncmp(*k, name, n - strlen(SUFFIX)) == 0)
			return true;
	return false;
}

static bool is_old(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_ctime + SWEEP_AGE_S < time_now_us() / 1000000;
}

int upload_sweep(struct app *a, struct err *err)
{
	auto_free char *dir = uploads_dir(a);
	struct sweep s = {.a = a};
	auto_dir DIR *d = NULL;
	struct dirent *e;
	int r;

	if (!dir)
		return no_memory(err);
	d = opendir(dir);
	if (!d)
		return errno == ENOENT ? 0 : fail(err, -errno, "list");
	r = arm_each(a->arm, TYPE_DISK, "", note, &s, err);
	if (r == 0)
		r = arm_each(a->arm, TYPE_SNAPSHOT, "", note, &s, err);
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.' && !kept(&s, e->d_name) && is_old(dirfd(d), e->d_name) &&
		    unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != ENOENT)
			r = fail(err, -errno, "remove");
	strv_free(s.keep);
	return r;
}
