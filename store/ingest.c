/* SPDX-License-Identifier: Apache-2.0 */
/* A whole disk from a file, a block device or a pipe. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/internal.h"

#define RUN_BYTES ((size_t) RUN_CHUNKS * CHUNK_BYTES)

struct ingest {
	int fd;
	bool seekable;
	bool holes;          /* SEEK_DATA works here */
	bool open_end;       /* pipe without a stated size */
	uint64_t size_bytes; /* rounded up to 512 */
	uint64_t file_bytes; /* what the file has; the rest up to size_bytes is padding */
	uint64_t next;       /* first chunk not yet claimed */
	uint64_t data_end;   /* chunks before this are data (SEEK_HOLE) */
};

static uint64_t round_512(uint64_t n)
{
	return (n + 511) / 512 * 512;
}

/* Moves @next over a hole. 0 at the end of the data. Holes are a hint: any failure means data. */
static bool skip_hole(struct ingest *in)
{
	off_t data, hole;
	uint64_t at = in->next * CHUNK_BYTES;

	if (!in->holes || in->next < in->data_end)
		return at < in->size_bytes;
	data = lseek(in->fd, (off_t) at, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return false;
	if (data < 0) {
		in->holes = false;
		return at < in->size_bytes;
	}
	hole = lseek(in->fd, data, SEEK_HOLE);
	if (hole < 0)
		hole = (off_t) in->size_bytes;
	in->next = (uint64_t) data / CHUNK_BYTES;
	in->data_end = disk_chunks((uint64_t) hole);
	return in->next * CHUNK_BYTES < in->size_bytes;
}

static int claim_file(struct ingest *in, struct build_run *run)
{
	uint64_t end;

	if (!skip_hole(in))
		return 0;
	end = disk_chunks(in->size_bytes);
	if (in->holes && in->data_end < end)
		end = in->data_end;
	run->first = in->next;
	run->n = RUN_CHUNKS - (unsigned) (in->next % RUN_CHUNKS);
	if (run->n > end - run->first)
		run->n = (unsigned) (end - run->first);
	run->dirty = (1u << run->n) - 1;
	in->next += run->n;
	return 1;
}

/* Reads until @n bytes or the end. */
static int read_stream(int fd, uint8_t *dst, size_t n, size_t *ret_n)
{
	*ret_n = 0;
	while (*ret_n < n) {
		ssize_t k = read(fd, dst + *ret_n, n - *ret_n);

		if (k == 0)
			return 0;
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		*ret_n += (size_t) k;
	}
	return 0;
}

static int claim_stream(struct ingest *in, struct build_run *run, struct err *err)
{
	uint64_t at = in->next * CHUNK_BYTES;
	size_t want = RUN_BYTES, got;
	int r;

	if (!in->open_end && in->size_bytes - at < want)
		want = (size_t) (in->size_bytes - at);
	if (want == 0)
		return 0;
	r = read_stream(in->fd, run->data, want, &got);
	if (r < 0)
		return err_set(err, r, "cannot read the source at byte %llu: %s",
			       (unsigned long long) at, strerror(-r));
	if (in->open_end)
		in->size_bytes = round_512(at + got);
	else if (got < want)
		return err_set(err, -ENODATA, "the source ended at byte %llu of %llu",
			       (unsigned long long) (at + got),
			       (unsigned long long) in->size_bytes);
	if (got == 0)
		return 0;
	memset(run->data + got, 0, RUN_BYTES - got);
	run->first = in->next;
	run->n = (unsigned) disk_chunks(got);
	run->dirty = (1u << run->n) - 1;
	in->next += run->n;
	if (got < RUN_BYTES) { /* the end: claim nothing more */
		in->open_end = false;
		in->size_bytes = round_512(at + got);
		in->next = disk_chunks(in->size_bytes);
	}
	return 1;
}

static int ingest_claim(void *arg, struct build_run *run, struct err *err)
{
	struct ingest *in = arg;

	if (in->seekable)
		return claim_file(in, run);
	if (!in->open_end && in->next * CHUNK_BYTES >= in->size_bytes)
		return 0;
	return claim_stream(in, run, err);
}

static int ingest_load(void *arg, struct build_run *run, struct err *err)
{
	const struct ingest *in = arg;
	uint64_t at = run->first * CHUNK_BYTES;
	size_t n = (size_t) run->n * CHUNK_BYTES, have;
	int r;

	if (!in->seekable)
		return 0; /* read when claimed */
	have = at >= in->file_bytes      ? 0
	       : in->file_bytes - at < n ? (size_t) (in->file_bytes - at)
					 : n;
	memset(run->data + have, 0, n - have);
	r = file_pread_full(in->fd, run->data, have, at);
	if (r < 0)
		return err_set(err, r, "cannot read the source at byte %llu: %s",
			       (unsigned long long) at,
			       r == -ENODATA ? "it became shorter meanwhile" : strerror(-r));
	return 0;
}

static int source_open(struct ingest *in, int fd, uint64_t size_bytes, struct err *err)
{
	struct stat st;

	in->fd = fd;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "source: %s", strerror(errno));
	if (S_ISREG(st.st_mode)) {
		in->file_bytes = (uint64_t) st.st_size;
	} else if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, &in->file_bytes) < 0)
			return err_set(err, -errno, "source: size of the device: %s",
				       strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		return err_set(err, -EISDIR, "source: is a directory");
	} else {
		in->open_end = size_bytes == 0;
		in->size_bytes = round_512(size_bytes);
		return 0;
	}
	in->seekable = in->holes = true;
	if (size_bytes > in->file_bytes)
		return err_set(err, -ENODATA, "source: has %llu bytes, %llu were announced",
			       (unsigned long long) in->file_bytes,
			       (unsigned long long) size_bytes);
	if (size_bytes > 0)
		in->file_bytes = size_bytes;
	in->size_bytes = round_512(in->file_bytes);
	(void) posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

int store_ingest(struct store_session *ss, unsigned region, int fd, uint64_t size_bytes,
		 struct cancel *cancel, const struct progress *p, struct disk_ref *ret,
		 struct store_stats *ret_stats, struct err *err)
{
	struct ingest in = {0};
	struct build_source src = {ingest_claim, ingest_load, &in};
	struct build_spec spec = {
		.ss = ss,
		.region = region,
		.source = &src,
		.size_bytes = &in.size_bytes,
		.stage = "ingest",
		.cancel = cancel,
		.progress = p,
	};
	int r = store_region_check(ss->store, region, err);

	if (r >= 0 && size_bytes > DISK_MAX_BYTES)
		r = err_set(err, -EFBIG, "a disk of %llu bytes is too big",
			    (unsigned long long) size_bytes);
	if (r >= 0)
		r = source_open(&in, fd, size_bytes, err);
	if (r < 0)
		return r;
	spec.total_bytes = in.size_bytes;
	spec.by_position = true;
	r = build_disk(&spec, ret, ret_stats, err);
	if (r >= 0 && ret_stats)
		ret_stats->zero_bytes = disk_chunks(ret->size_bytes) * CHUNK_BYTES -
					ret_stats->chunks * CHUNK_BYTES;
	return r;
}
