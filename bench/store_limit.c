/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ingest cannot do without, by itself: store_limit FILE reads the file's data, and names,
 * compresses, decompresses and compares each chunk that is not zeros, on all processors; nothing is
 * looked up or kept. Prints MB/s. bench/store times it as the limit of an ingest.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "store/chunk.h"

#define RUN 16u

static int fd;
static uint64_t size_bytes;
static atomic_uint_fast64_t next_run, done_bytes;

static int one(struct codec *c, const uint8_t *p)
{
	struct digest name;
	enum frame_encoding enc;
	const void *out;
	size_t n;

	if (bytes_zero(p, CHUNK_BYTES))
		return 0;
	sha256(p, CHUNK_BYTES, &name);
	atomic_fetch_add(&done_bytes, CHUNK_BYTES);
	return codec_encode(c, p, CHUNK_BYTES, &out, &n, &enc, NULL);
}

static void *work(void *arg)
{
	auto_free uint8_t *p = malloc((size_t) RUN * CHUNK_BYTES);
	struct codec *c = codec_new(0);
	uint64_t at;
	int r = p && c ? 0 : -ENOMEM;

	while (r == 0 && (at = atomic_fetch_add(&next_run, 1) * RUN * CHUNK_BYTES) < size_bytes) {
		size_t n = size_bytes - at < (size_t) RUN * CHUNK_BYTES
				   ? (size_t) (size_bytes - at)
				   : (size_t) RUN * CHUNK_BYTES;
		off_t data = lseek(fd, (off_t) at, SEEK_DATA);

		if (data < 0 || (uint64_t) data >= at + n)
			continue; /* a hole */
		r = file_pread_full(fd, p, n, at);
		for (size_t i = 0; i + CHUNK_BYTES <= n && r == 0; i += CHUNK_BYTES)
			r = one(c, p + i);
	}
	codec_free(c);
	return r < 0 ? arg : NULL;
}

int main(int argc, char **argv)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	int64_t start = time_mono_ns();
	pthread_t t[64];
	bool failed = false;
	long i;

	fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0) {
		(void) fprintf(stderr, "usage: store_limit FILE\n");
		return 2;
	}
	size_bytes = (uint64_t) lseek(fd, 0, SEEK_END);
	for (i = 0; i < n && i < 64; i++)
		if (pthread_create(&t[i], NULL, work, t) != 0)
			break;
	for (long k = 0; k < i; k++) {
		void *ret = t;

		failed = pthread_join(t[k], &ret) != 0 || ret || failed;
	}
	(void) printf("%.0f\n", (double) atomic_load(&done_bytes) / 1e6 /
					((double) (time_mono_ns() - start) / 1e9));
	return failed || i == 0;
}
