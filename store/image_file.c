/* SPDX-License-Identifier: Apache-2.0 */
#include "store/image_file.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/internal.h"

static int source_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	return store_reader_read(arg, dst, n, offset, err);
}

static int source_run(void *arg, uint64_t offset, uint64_t max, bool *ret_zero, uint64_t *ret_len,
		      struct err *err)
{
	return store_reader_hole(arg, offset, max, ret_zero, ret_len, err);
}

void image_source(struct store_reader *r, const struct disk_ref *disk, struct disk_source *ret)
{
	*ret = (struct disk_source){
		.size_bytes = disk->size_bytes, .read = source_read, .run = source_run, .arg = r};
}

static int write_to(struct store *s, const struct image_file *f, int fd, bool random,
		    struct err *err)
{
	struct format_facts facts = f->facts;
	struct store_reader *r = NULL;
	struct disk_source disk;
	struct format_job job = {.disk = &disk,
				 .facts = &facts,
				 .fd = fd,
				 .random = random,
				 .threads = s->threads,
				 .cancel = f->cancel,
				 .progress = f->progress};
	int e = store_reader_open(s, f->region, f->disk, &r, err);

	if (e < 0)
		return e;
	image_source(r, f->disk, &disk);
	memcpy(facts.id, f->disk->digest.b, sizeof(facts.id));
	facts.id[6] = (uint8_t) ((facts.id[6] & 0x0f) | 0x80); /* a UUID of version 8 */
	facts.id[8] = (uint8_t) ((facts.id[8] & 0x3f) | 0x80);
	e = format_write(f->format, &job, err);
	store_reader_close(r);
	return e;
}

/* By way of a file that has no name, so nothing is left whatever happens. */
static int write_spooled(struct store *s, const struct image_file *f, int fd, struct err *err)
{
	auto_fd int tmp = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int r;

	if (tmp < 0)
		return err_set(err, -errno, "a temporary file in %s: %s", s->dir, strerror(errno));
	r = write_to(s, f, tmp, true, err);
	if (r < 0)
		return r;
	if (lseek(tmp, 0, SEEK_SET) < 0)
		return err_set(err, -errno, "temporary file: %s", strerror(errno));
	r = file_copy_fd(tmp, fd, NULL);
	return r < 0 ? err_set(err, r, "cannot write: %s", strerror(-r)) : 0;
}

int image_file_write(struct store *s, const struct image_file *f, int fd, struct err *err)
{
	struct stat st;
	bool random;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "target: %s", strerror(errno));
	random = S_ISREG(st.st_mode) && st.st_size == 0 && lseek(fd, 0, SEEK_CUR) == 0 &&
		 !(fcntl(fd, F_GETFL) & O_APPEND);
	r = f->format->random && !random ? write_spooled(s, f, fd, err)
					 : write_to(s, f, fd, random, err);
	return r < 0 ? err_ctx(err, r, "export as %s", f->format->name) : 0;
}

static int save_to(struct store *s, const struct image_file *f, const char *tmp, const char *path,
		   uint64_t *ret_bytes, struct err *err)
{
	auto_fd int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	auto_free char *dir = path_dirname(path);
	struct stat st;
	int r;

	if (!dir)
		return err_set(err, -ENOMEM, "out of memory");
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	r = image_file_write(s, f, fd, err);
	if (r < 0)
		return r;
	if (fsync(fd) < 0 || fstat(fd, &st) < 0 || rename(tmp, path) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	*ret_bytes = (uint64_t) st.st_size;
	r = file_fsync_dir(dir);
	return r < 0 ? err_set(err, r, "%s: %s", dir, strerror(-r)) : 0;
}

/* Absolute, for the journal. */
static char *beside(const char *path)
{
	auto_free char *dir = path_dirname(path), *real = dir ? realpath(dir, NULL) : NULL;
	char name[33];

	if (!real || tmp_name(name) < 0)
		return NULL;
	return strf("%s/%s%s", real, FILE_TMP_PREFIX, name);
}

int image_file_save(struct store *s, const struct image_file *f, const char *path,
		    uint64_t *ret_bytes, struct err *err)
{
	auto_free char *tmp = beside(path);
	struct journal_entry *entry = NULL;
	int r = 0;

	if (!tmp)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (s->journal)
		r = journal_add(s->journal, "file", json_pack("{s:s}", "path", tmp), &entry, err);
	if (r == 0)
		r = save_to(s, f, tmp, path, ret_bytes, err);
	if (r < 0)
		(void) unlink(tmp);
	(void) journal_drop(entry);
	return r;
}
