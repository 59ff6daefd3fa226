/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a disk out. Workers claim runs of differing chunks, read and verify them, and write
 * them: anywhere in a file or device, in turn on a pipe.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "store/internal.h"

#define PROGRESS_NS 100000000

enum sink { SINK_FILE, SINK_DEVICE, SINK_PIPE };

struct restore {
	struct store *s;
	unsigned region;
	const struct disk_ref *disk;
	int fd;
	enum sink sink;
	struct cancel *cancel;
	const struct progress *progress;

	pthread_mutex_t lock; /* guards what follows, and the walk */
	pthread_cond_t turn;
	struct tree_diff *walk;
	bool ended;
	bool have_next; /* a chunk was taken from the walk but did not fit the run */
	uint64_t next_chunk;
	struct digest next_name;
	uint64_t claimed; /* runs handed out */
	uint64_t written; /* runs finished, in order (pipes) */
	uint64_t pipe_at; /* bytes that the pipe got */
	int failed;
	uint64_t done_bytes;
	int64_t progress_ns;
};

struct restore_run {
	uint64_t number;
	unsigned n;
	uint64_t chunk[RUN_CHUNKS];
	struct digest name[RUN_CHUNKS];
};

/* With the lock held. 1 = a run of chunks, 0 = the end. */
static int claim_locked(struct restore *w, struct restore_run *run, struct err *err)
{
	int r = cancel_check(w->cancel);
	int64_t now = time_mono_ns();

	if (r < 0)
		return err_set(err, r, "cancelled");
	if (w->failed < 0)
		return 0;
	run->n = 0;
	while (run->n < RUN_CHUNKS && !w->ended) {
		struct digest old;

		if (!w->have_next) {
			r = tree_diff_next(w->walk, &w->next_chunk, &old, &w->next_name, err);
			if (r < 0)
				return r;
			if (r == 0) {
				w->ended = true;
				break;
			}
		}
		/* A run is contiguous, so that it is one write. */
		w->have_next = run->n > 0 && w->next_chunk != run->chunk[run->n - 1] + 1;
		if (w->have_next)
			break;
		run->chunk[run->n] = w->next_chunk;
		run->name[run->n++] = w->next_name;
	}
	if (run->n == 0)
		return 0;
	run->number = w->claimed++;
	if (now - w->progress_ns >= PROGRESS_NS) {
		w->progress_ns = now;
		progress_update(w->progress, "restore", run->chunk[0] * CHUNK_BYTES,
				w->disk->size_bytes);
	}
	return 1;
}

static int write_zeros(struct restore *w, uint64_t offset, uint64_t n, struct err *err)
{
	uint64_t range[2] = {offset, n};
	static const uint8_t zeros[CHUNK_BYTES];
	int r = 0;

	if (n == 0)
		return 0;
	if (w->sink == SINK_FILE && fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					      (off_t) offset, (off_t) n) == 0)
		return 0;
	if (w->sink == SINK_DEVICE && ioctl(w->fd, BLKZEROOUT, range) == 0)
		return 0;
	for (uint64_t done = 0; done < n && r >= 0;) {
		size_t k = n - done < sizeof(zeros) ? (size_t) (n - done) : sizeof(zeros);

		r = file_pwrite_full(w->fd, zeros, k, offset + done);
		done += k;
	}
	return r < 0 ? err_set(err, r, "cannot write zeros at byte %llu: %s",
			       (unsigned long long) offset, strerror(-r))
		     : 0;
}

static int stream_out(struct restore *w, const uint8_t *p, uint64_t n, struct err *err)
{
	while (n > 0) {
		ssize_t k = write(w->fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_set(err, -errno, "cannot write to the pipe: %s",
				       strerror(errno));
		p += k;
		n -= (uint64_t) k;
		w->pipe_at += (uint64_t) k;
	}
	return 0;
}

static int stream_zeros_to(struct restore *w, uint64_t offset, struct err *err)
{
	static const uint8_t zeros[CHUNK_BYTES];
	int r = 0;

	while (r >= 0 && w->pipe_at < offset) {
		uint64_t n = offset - w->pipe_at;

		r = cancel_check(w->cancel);
		if (r < 0)
			return err_set(err, r, "cancelled");
		r = stream_out(w, zeros, n < sizeof(zeros) ? n : sizeof(zeros), err);
	}
	return r;
}

static uint64_t run_bytes(const struct restore *w, const struct restore_run *run, unsigned i,
			  unsigned n)
{
	uint64_t at = run->chunk[i] * CHUNK_BYTES, len = (uint64_t) n * CHUNK_BYTES;

	return len > w->disk->size_bytes - at ? w->disk->size_bytes - at : len;
}

/* Waits for the runs before this one, then writes it; the order of a pipe is the disk's. */
static int put_stream(struct restore *w, const struct restore_run *run, const uint8_t *data,
		      struct err *err)
{
	int r = 0;

	pthread_mutex_lock(&w->lock);
	while (w->written != run->number && w->failed == 0)
		pthread_cond_wait(&w->turn, &w->lock);
	if (w->failed < 0)
		r = w->failed;
	pthread_mutex_unlock(&w->lock);
	if (r < 0)
		return err_set(err, r, "another part of the disk failed");
	r = stream_zeros_to(w, run->chunk[0] * CHUNK_BYTES, err);
	if (r >= 0)
		r = stream_out(w, data, run_bytes(w, run, 0, run->n), err);
	pthread_mutex_lock(&w->lock);
	if (r >= 0)
		w->written++;
	pthread_cond_broadcast(&w->turn);
	pthread_mutex_unlock(&w->lock);
	return r;
}

/* Stretches of data and of zeros, each one call. */
static int put_random(struct restore *w, const struct restore_run *run, const uint8_t *data,
		      struct err *err)
{
	int r = 0;

	for (unsigned i = 0, k; i < run->n && r >= 0; i = k) {
		bool zero = digest_is_zero(&run->name[i]);
		uint64_t at = run->chunk[i] * CHUNK_BYTES, n;

		for (k = i + 1; k < run->n && digest_is_zero(&run->name[k]) == zero; k++)
			;
		n = run_bytes(w, run, i, k - i);
		if (zero) {
			r = write_zeros(w, at, n, err);
			continue;
		}
		r = file_pwrite_full(w->fd, data + (size_t) i * CHUNK_BYTES, n, at);
		if (r < 0)
			r = err_set(err, r, "cannot write at byte %llu: %s",
				    (unsigned long long) at, strerror(-r));
	}
	return r;
}

static int do_run(struct restore *w, struct codec *c, const struct restore_run *run, uint8_t *data,
		  struct err *err)
{
	for (unsigned i = 0; i < run->n; i++) {
		uint8_t *p = data + (size_t) i * CHUNK_BYTES;
		int r = 0;

		if (!digest_is_zero(&run->name[i]))
			r = fetch_chunk(w->s, w->region, c, &run->name[i], p, err);
		else if (w->sink == SINK_PIPE)
			memset(p, 0, CHUNK_BYTES);
		if (r < 0)
			return r;
	}
	return w->sink == SINK_PIPE ? put_stream(w, run, data, err) : put_random(w, run, data, err);
}

static int worker(void *arg, unsigned thread, struct err *err)
{
	struct restore *w = arg;
	auto_free uint8_t *data = malloc((size_t) RUN_CHUNKS * CHUNK_BYTES);
	struct codec *c = store_codec_take(w->s);
	int r = data && c ? 1 : err_set(err, -ENOMEM, "out of memory");

	while (r > 0) {
		struct restore_run run;

		pthread_mutex_lock(&w->lock);
		r = claim_locked(w, &run, err);
		pthread_mutex_unlock(&w->lock);
		if (r <= 0)
			break;
		r = do_run(w, c, &run, data, err);
		r = r < 0 ? r : 1;
	}
	if (r < 0) {
		pthread_mutex_lock(&w->lock);
		w->failed = r;
		pthread_cond_broadcast(&w->turn);
		pthread_mutex_unlock(&w->lock);
	}
	if (c)
		store_codec_give(w->s, c);
	return r;
}

/* What kind of thing is written to, and is it big enough? */
static int sink_open(struct restore *w, bool fresh, struct err *err)
{
	uint64_t have;
	struct stat st;

	if (fstat(w->fd, &st) < 0)
		return err_set(err, -errno, "target: %s", strerror(errno));
	if (S_ISREG(st.st_mode)) {
		w->sink = SINK_FILE;
		if ((fresh && ftruncate(w->fd, 0) < 0) ||
		    ftruncate(w->fd, (off_t) w->disk->size_bytes) < 0)
			return err_set(err, -errno, "target: cannot set its size: %s",
				       strerror(errno));
		return 0;
	}
	if (!S_ISBLK(st.st_mode)) {
		w->sink = SINK_PIPE;
		return fresh ? 0
			     : err_set(err, -ESPIPE,
				       "target: a pipe cannot be updated in "
				       "place");
	}
	w->sink = SINK_DEVICE;
	if (ioctl(w->fd, BLKGETSIZE64, &have) < 0)
		return err_set(err, -errno, "target: size of the device: %s", strerror(errno));
	if (have < w->disk->size_bytes)
		return err_set(err, -ENOSPC, "target: device has %llu bytes, the disk needs %llu",
			       (unsigned long long) have, (unsigned long long) w->disk->size_bytes);
	/* What a device held before is unknown: make it zeros, then write the rest. */
	return fresh ? write_zeros(w, 0, w->disk->size_bytes, err) : 0;
}

int store_restore(struct store *s, unsigned region, const struct disk_ref *disk, int fd,
		  const struct disk_ref *have, struct cancel *cancel, const struct progress *p,
		  struct err *err)
{
	struct restore w = {
		.s = s, .region = region, .disk = disk, .fd = fd, .cancel = cancel, .progress = p};
	struct disk_ref nothing;
	struct digest zero = {0};
	int r = store_region_check(s, region, err);

	disk_ref_make(&zero, disk->size_bytes, &nothing);
	if (r >= 0)
		r = sink_open(&w, !have, err);
	if (r >= 0)
		r = tree_diff_new(s, region, have ? have : &nothing, disk, &w.walk, err);
	if (r < 0)
		return err_ctx(err, r, "restore");
	(void) pthread_mutex_init(&w.lock, NULL);
	(void) pthread_cond_init(&w.turn, NULL);
	r = parallel_run(s->threads, worker, &w, err);
	if (r >= 0 && w.sink == SINK_PIPE)
		r = stream_zeros_to(&w, disk->size_bytes, err);
	if (r >= 0)
		progress_update(p, "restore", disk->size_bytes, disk->size_bytes);
	(void) pthread_cond_destroy(&w.turn);
	(void) pthread_mutex_destroy(&w.lock);
	tree_diff_free(w.walk);
	return r < 0 ? err_ctx(err, r, "restore") : 0;
}
