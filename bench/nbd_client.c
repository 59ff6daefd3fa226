/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of bench/nbd, the same for every server:
 *	nbd_client plan URI SEED COUNT		a list of reads as a booting guest does them:
 *"OFFSET LENGTH" lines, in places that hold data nbd_client latency URI LIST		4 KiB at
 *each line's offset, one at a time: median, us nbd_client replay URI DEPTH LIST	the lines'
 *reads, DEPTH in flight: MB/s
 */
#include <libnbd.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READS_MAX  200000
#define RANGES_MAX 200000
#define LEN_MAX    (256u << 10)
#define DEPTH_MAX  64
#define MAP_STEP   (UINT64_C(1) << 30)

struct range {
	uint64_t at, n;
};

static struct range ranges[RANGES_MAX];
static size_t n_ranges;

static void die(const char *what)
{
	const char *why = nbd_get_error();

	(void) fprintf(stderr, "nbd_client: %s: %s\n", what, why ? why : strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static struct nbd_handle *open_uri(const char *uri)
{
	struct nbd_handle *h = nbd_create();

	if (!h || nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
	    nbd_connect_uri(h, uri) < 0)
		die(uri);
	return h;
}

static int note_extents(void *arg, const char *context, uint64_t at, uint32_t *e, size_t n,
			int *error)
{
	uint64_t *end = arg;

	(void) context;
	(void) error;
	for (size_t i = 0; i + 1 < n; i += 2) {
		if (!(e[i + 1] & LIBNBD_STATE_ZERO) && n_ranges < RANGES_MAX)
			ranges[n_ranges++] = (struct range){at, e[i]};
		at += e[i];
	}
	*end = at;
	return 0;
}

static uint64_t rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

/* Files are read in order from random places on, in requests of 4 to 128 KiB. */
static void plan(struct nbd_handle *h, uint64_t seed, unsigned count)
{
	uint64_t size = (uint64_t) nbd_get_size(h), x = seed * 0x9e3779b97f4a7c15u + 1;

	for (uint64_t at = 0; at < size;) {
		uint64_t n = size - at < MAP_STEP ? size - at : MAP_STEP, end = at;

		if (nbd_block_status(
			    h, n, at,
			    (nbd_extent_callback){.callback = note_extents, .user_data = &end},
			    0) < 0)
			die("block status");
		at = end > at ? end : at + n;
	}
	if (n_ranges == 0)
		die("no data");
	for (unsigned i = 0; i < count;) {
		const struct range *g = &ranges[rnd(&x) % n_ranges];
		uint64_t at = g->at + rnd(&x) % g->n / 4096 * 4096, left = g->at + g->n - at;

		for (unsigned k = 1 + (unsigned) (rnd(&x) % 12); k > 0 && i < count; k--) {
			uint64_t n = 4096u << rnd(&x) % 6;

			n = n < left ? n : left / 512 * 512;
			if (n == 0)
				break;
			(void) printf("%llu %llu\n", (unsigned long long) at,
				      (unsigned long long) n);
			at += n;
			left -= n;
			i++;
		}
	}
}

static size_t load(const char *path, struct range *dst)
{
	char line[64], *end;
	FILE *f = fopen(path, "r");
	size_t k = 0;

	if (!f)
		die(path);
	while (k < READS_MAX && fgets(line, sizeof(line), f)) {
		uint64_t at = strtoull(line, &end, 10), n = strtoull(end, NULL, 10);

		if (n > 0 && n <= LEN_MAX)
			dst[k++] = (struct range){at, n};
	}
	(void) fclose(f);
	return k;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static void latency(struct nbd_handle *h, const struct range *list, size_t n)
{
	double *took = calloc(n + 1, sizeof(*took));
	static uint8_t b[4096];

	if (!took)
		die("memory");
	for (size_t i = 0; i < n; i++) {
		double start = now();

		if (nbd_pread(h, b, sizeof(b), list[i].at / 4096 * 4096, 0) < 0)
			die("read");
		took[i] = now() - start;
	}
	qsort(took, n, sizeof(*took), by_value);
	(void) printf("%.1f\n", took[n / 2] * 1e6);
	free(took);
}

static void replay(struct nbd_handle *h, unsigned depth, const struct range *list, size_t n)
{
	static uint8_t bufs[DEPTH_MAX][LEN_MAX];
	int64_t cookies[DEPTH_MAX];
	size_t next = 0, done = 0;
	uint64_t bytes = 0;
	double start = now();

	for (unsigned i = 0; i < depth; i++)
		cookies[i] = -1;
	while (done < n) {
		bool moved = false;

		for (unsigned i = 0; i < depth; i++) {
			int r = cookies[i] < 0
					? 0
					: nbd_aio_command_completed(h, (uint64_t) cookies[i]);

			if (r < 0)
				die("read");
			if (r > 0) {
				cookies[i] = -1;
				done++;
				moved = true;
			}
			if (cookies[i] >= 0 || next == n)
				continue;
			cookies[i] = nbd_aio_pread(h, bufs[i], list[next].n, list[next].at,
						   NBD_NULL_COMPLETION, 0);
			if (cookies[i] < 0)
				die("read");
			bytes += list[next++].n;
			moved = true;
		}
		if (!moved && nbd_poll(h, -1) < 0)
			die("poll");
	}
	(void) printf("%.1f\n", (double) bytes / 1e6 / (now() - start));
}

int main(int argc, char **argv)
{
	static struct range list[READS_MAX];
	struct nbd_handle *h;
	unsigned long depth;

	if (argc < 4) {
		(void) fprintf(stderr, "usage: nbd_client plan|latency|replay URI ...\n");
		return 2;
	}
	h = open_uri(argv[2]);
	if (strcmp(argv[1], "plan") == 0 && argc == 5) {
		plan(h, strtoull(argv[3], NULL, 10), (unsigned) strtoul(argv[4], NULL, 10));
	} else if (strcmp(argv[1], "latency") == 0) {
		latency(h, list, load(argv[3], list));
	} else if (strcmp(argv[1], "replay") == 0 && argc == 5) {
		depth = strtoul(argv[3], NULL, 10);
		if (depth < 1 || depth > DEPTH_MAX)
			die("depth");
		replay(h, (unsigned) depth, list, load(argv[4], list));
	} else {
		return 2;
	}
	nbd_close(h);
	return 0;
}
