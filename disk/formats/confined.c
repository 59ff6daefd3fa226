/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kiln imagereader`: reads hostile bytes with as few rights as the kernel can leave it.
 * Single-threaded.
 */
#include <fcntl.h>
#include <grp.h>
#include <lzma.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "disk/formats/convert.h"

#define NOBODY      65534u
#define ZSTD_WINDOW 23 /* log2: 8 MiB */
#define XZ_MEMORY   (80u << 20)
#define BUF_BYTES   (1u << 20)
#define RATIO_MAX   256u          /* bytes that are not zero, for each of the file */
#define RATIO_FREE  (64ull << 20) /* before the ratio counts */

struct work {
	int in, out;
	uint64_t in_bytes;
	uint64_t written; /* bytes that were packed and are not zero */
	uint64_t pieces, plain_bytes;
	bool plain; /* one plain piece from 0 to the disk's end */
	uint8_t *buf, *unit;
	ZSTD_DStream *zstd;
	z_stream z;
};

/* ---- Rights -------------------------------------------------------------------------------- */

static int limit(int what, uint64_t n)
{
	struct rlimit l;

	/* Never over what the caller is held to: that takes the right that was given up. */
	if (getrlimit(what, &l) < 0)
		return -errno;
	if (n < l.rlim_max)
		l.rlim_max = n;
	l.rlim_cur = l.rlim_max;
	return setrlimit(what, &l) < 0 ? -errno : 0;
}

static int only_calls(void)
{
	static const int calls[] = {
		SCMP_SYS(read),          SCMP_SYS(pread64),
		SCMP_SYS(write),         SCMP_SYS(pwrite64),
		SCMP_SYS(lseek),         SCMP_SYS(ftruncate),
		SCMP_SYS(fstat),         SCMP_SYS(mmap),
		SCMP_SYS(munmap),        SCMP_SYS(mremap),
		SCMP_SYS(brk),           SCMP_SYS(madvise),
		SCMP_SYS(exit),          SCMP_SYS(exit_group),
		SCMP_SYS(rt_sigreturn),  SCMP_SYS(copy_file_range),
		SCMP_SYS(clock_gettime), SCMP_SYS(getrandom),
	};
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = c ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls); i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, calls[i], 0);
	if (r == 0)
		r = seccomp_load(c);
	if (c)
		seccomp_release(c);
	return r;
}

static int give_up(int in, int out, bool quick)
{
	int r = 0;

	for (int fd = 3; fd < 64; fd++)
		if (fd != in && fd != out)
			(void) close(fd);
	if (close_range(64, ~0u, 0) < 0)
		return -errno;
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return -errno;
	r = limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = limit(RLIMIT_NPROC, 0);
	if (r == 0)
		r = limit(RLIMIT_DATA, IMAGE_MEMORY_MAX);
	if (r == 0)
		r = limit(RLIMIT_CPU, quick ? 30 : 86400);
	if (r == 0 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	     prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0))
		r = -errno;
	return r < 0 ? r : only_calls();
}

/* ---- Output -------------------------------------------------------------------------------- */

/* Zeros stay holes. What was packed and is not zero counts against the file's size; plain bytes are
 * in the file only once. */
static int put(struct work *w, const uint8_t *p, size_t n, uint64_t at, bool packed,
	       struct err *err)
{
	int r;

	if (all_zero(p, n))
		return 0;
	w->written += packed ? n : 0;
	if (w->written > RATIO_FREE && w->written / RATIO_MAX > w->in_bytes)
		return image_refuse(err, "it becomes more than %u times its size", RATIO_MAX);
	r = w->out < 0 ? 0 : file_pwrite_full(w->out, p, n, at);
	return r < 0 ? err_set(err, r, "cannot write: %s", strerror(-r)) : 0;
}

static int in_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	const struct work *w = arg;
	int r = file_pread_full(w->in, dst, n, offset);

	return r < 0 ? err_set(err, r, "cannot read: %s", strerror(-r)) : 0;
}

static int copy_plain(struct work *w, const struct image_piece *p, struct err *err)
{
	for (uint64_t done = 0; done < p->length;) {
		size_t n = p->length - done < BUF_BYTES ? (size_t) (p->length - done) : BUF_BYTES;
		int r = in_read(w, w->buf, n, p->file + done, err);

		for (size_t i = 0, k; i < n && r == 0; i += k) {
			k = n - i < 65536 ? n - i : 65536;
			r = put(w, w->buf + i, k, p->disk + done + i, false, err);
		}
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

static int inflate_unit(struct work *w, const struct image_piece *p, struct err *err)
{
	int r;

	w->z.next_in = w->buf;
	w->z.avail_in = (uInt) p->stored;
	w->z.next_out = w->unit;
	w->z.avail_out = (uInt) p->length;
	r = inflateReset2(&w->z, p->kind == PIECE_ZLIB ? MAX_WBITS : -MAX_WBITS);
	if (r == Z_OK)
		r = inflate(&w->z, Z_FINISH);
	/* A qcow2 says in sectors how much there is to read: what follows the stream is no matter.
	 */
	if (w->z.avail_out != 0 ||
	    (r != Z_STREAM_END && (r != Z_BUF_ERROR || p->kind == PIECE_ZLIB)))
		return image_refuse(err, "compressed data at byte %llu is damaged",
				    (unsigned long long) p->file);
	return 0;
}

static int zstd_unit(struct work *w, const struct image_piece *p, struct err *err)
{
	ZSTD_inBuffer in = {w->buf, p->stored, 0};
	ZSTD_outBuffer out = {w->unit, p->length, 0};

	(void) ZSTD_DCtx_reset(w->zstd, ZSTD_reset_session_only);
	while (out.pos < out.size) {
		size_t was = in.pos + out.pos;

		if (ZSTD_isError(ZSTD_decompressStream(w->zstd, &out, &in)) ||
		    in.pos + out.pos == was)
			return image_refuse(err, "compressed data at byte %llu is damaged",
					    (unsigned long long) p->file);
	}
	return 0;
}

static int copy_packed(struct work *w, const struct image_piece *p, uint64_t disk_bytes,
		       struct err *err)
{
	size_t n = p->length < disk_bytes - p->disk ? (size_t) p->length
						    : (size_t) (disk_bytes - p->disk);
	int r;

	if (p->length > READ_UNIT_MAX || p->stored > 2 * READ_UNIT_MAX)
		return image_refuse(err, "a piece of %llu bytes", (unsigned long long) p->length);
	r = in_read(w, w->buf, p->stored, p->file, err);
	if (r == 0)
		r = p->kind == PIECE_ZSTD ? zstd_unit(w, p, err) : inflate_unit(w, p, err);
	return r < 0 ? r : put(w, w->unit, n, p->disk, true, err);
}

struct job {
	struct work *w;
	const struct image_info *info;
};

static int on_piece(void *arg, const struct image_piece *p, struct err *err)
{
	const struct job *j = arg;
	struct work *w = j->w;

	w->plain = w->pieces++ == 0 && p->kind == PIECE_PLAIN && p->disk == 0 && p->file == 0 &&
		   p->length == j->info->disk_bytes;
	if (p->kind != PIECE_PLAIN)
		return copy_packed(w, p, j->info->disk_bytes, err);
	/* A disk that lies in the file as it is needs no copy. */
	return w->out < 0 || w->plain ? 0 : copy_plain(w, p, err);
}

/* ---- Streams ------------------------------------------------------------------------------- */

/* A source of unpacked bytes: 0 at its end. */
struct unpack {
	struct work *w;
	uint64_t in_at, out_at;
	size_t have, used; /* of w->buf */
	bool ended;        /* a whole stream was read, none is begun */
	lzma_stream xz;
	const char *kind;
};

static int refill(struct unpack *u, struct err *err)
{
	uint64_t left = u->w->in_bytes - u->in_at;
	int r;

	if (u->used < u->have || left == 0)
		return 0;
	u->have = left < BUF_BYTES ? (size_t) left : BUF_BYTES;
	u->used = 0;
	r = in_read(u->w, u->w->buf, u->have, u->in_at, err);
	u->in_at += u->have;
	return r;
}

/* Into @dst; *@ret_n = 0 where nothing came out yet. */
static bool step_gzip(struct unpack *u, uint8_t *dst, size_t max, size_t *ret_n)
{
	z_stream *z = &u->w->z;
	int r;

	if (u->ended && inflateReset2(z, MAX_WBITS + 16) != Z_OK)
		return false;
	u->ended = false;
	z->next_in = u->w->buf + u->used;
	z->avail_in = (uInt) (u->have - u->used);
	z->next_out = dst;
	z->avail_out = (uInt) max;
	r = inflate(z, Z_NO_FLUSH);
	u->used = u->have - z->avail_in;
	*ret_n = max - z->avail_out;
	u->ended = r == Z_STREAM_END;
	return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR;
}

static bool step_zstd(struct unpack *u, uint8_t *dst, size_t max, size_t *ret_n)
{
	ZSTD_inBuffer in = {u->w->buf, u->have, u->used};
	ZSTD_outBuffer out = {dst, max, 0};
	size_t r = ZSTD_decompressStream(u->w->zstd, &out, &in);

	u->used = in.pos;
	*ret_n = out.pos;
	u->ended = r == 0;
	return !ZSTD_isError(r);
}

static bool step_xz(struct unpack *u, uint8_t *dst, size_t max, size_t *ret_n)
{
	lzma_ret r;

	u->xz.next_in = u->w->buf + u->used;
	u->xz.avail_in = u->have - u->used;
	u->xz.next_out = dst;
	u->xz.avail_out = max;
	r = lzma_code(&u->xz, u->in_at == u->w->in_bytes ? LZMA_FINISH : LZMA_RUN);
	u->used = u->have - u->xz.avail_in;
	*ret_n = max - u->xz.avail_out;
	u->ended = r == LZMA_STREAM_END;
	return r == LZMA_OK || r == LZMA_STREAM_END || r == LZMA_BUF_ERROR;
}

static int unpack_all(struct unpack *u, bool (*step)(struct unpack *, uint8_t *, size_t, size_t *),
		      struct err *err)
{
	struct work *w = u->w;
	unsigned idle = 0;

	for (;;) {
		size_t n = 0;
		int r = refill(u, err);

		if (r < 0)
			return r;
		if (u->used == u->have && u->ended)
			break;
		if (!step(u, w->unit, 65536, &n))
			return image_refuse(err, "%s data is damaged before byte %llu", u->kind,
					    (unsigned long long) u->in_at);
		idle = n || u->used < u->have ? 0 : idle + 1;
		if (idle > 2 && u->in_at == w->in_bytes && !u->ended)
			return image_refuse(err, "%s data is cut off", u->kind);
		r = put(w, w->unit, n, u->out_at, true, err);
		if (r < 0)
			return r;
		u->out_at += n;
		if (u->out_at > READ_DISK_MAX)
			return image_refuse(err, "%s data of more than 64 TiB", u->kind);
	}
	return ftruncate(w->out, (off_t) u->out_at) < 0
		       ? err_set(err, -errno, "cannot set the size: %s", strerror(errno))
		       : 0;
}

static int unpack(struct work *w, struct err *err)
{
	struct unpack u = {.w = w, .xz = LZMA_STREAM_INIT};
	uint8_t magic[4] = {0};
	int r = w->in_bytes < 4 ? image_refuse(err, "the file is cut off")
				: in_read(w, magic, sizeof(magic), 0, err);

	if (r < 0)
		return r;
	if (magic[0] == 0x1f) {
		u.kind = "gzip";
		if (inflateReset2(&w->z, MAX_WBITS + 16) != Z_OK)
			return err_set(err, -ENOMEM, "gzip");
		return unpack_all(&u, step_gzip, err);
	}
	if (magic[0] == 0x28) {
		u.kind = "zstd";
		return unpack_all(&u, step_zstd, err);
	}
	u.kind = "xz";
	if (lzma_stream_decoder(&u.xz, XZ_MEMORY, LZMA_CONCATENATED) != LZMA_OK)
		return err_set(err, -ENOMEM, "xz");
	r = unpack_all(&u, step_xz, err);
	lzma_end(&u.xz);
	return r;
}

/* ---- The role ------------------------------------------------------------------------------ */

static int work_init(struct work *w, struct err *err)
{
	w->buf = malloc((size_t) 2 * READ_UNIT_MAX);
	w->unit = malloc(READ_UNIT_MAX);
	w->zstd = ZSTD_createDStream();
	if (!w->buf || !w->unit || !w->zstd || inflateInit2(&w->z, MAX_WBITS) != Z_OK)
		return err_set(err, -ENOMEM, "out of memory");
	(void) ZSTD_DCtx_setParameter(w->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW);
	return 0;
}

static int run(struct work *w, const char *verb, json_t **ret, struct err *err)
{
	struct image_view v = {.bytes = w->in_bytes, .read = in_read, .arg = w};
	struct image_info info;
	struct job j = {w, &info};
	int r;

	if (strcmp(verb, "unpack") == 0) {
		r = unpack(w, err);
		*ret = json_object();
		return r;
	}
	r = image_read(&v, &info, strcmp(verb, "tables") == 0 ? NULL : on_piece, &j, err);
	if (r == 0 && w->out >= 0 && !w->plain && !info.packed &&
	    ftruncate(w->out, (off_t) info.disk_bytes) < 0)
		r = err_set(err, -errno, "cannot set the size: %s", strerror(errno));
	if (r < 0)
		return r;
	*ret = info.packed ? json_pack("{s:s, s:s}", "format", info.format, "packed", info.packed)
			   : json_pack("{s:s, s:I, s:b}", "format", info.format, "diskBytes",
				       (json_int_t) info.disk_bytes, "plain", w->plain);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int image_main(int argc, char **argv)
{
	struct work w = {.in = -1, .out = -1};
	auto_err struct err e = ERR_INIT;
	json_t *answer = NULL;
	struct stat st;
	char *text;
	int r = 0;

	if (argc < 3 || argc > 4) {
		(void) fprintf(stderr, "image: a helper role of kiln itself, not for the command "
				       "line\n");
		return 2;
	}
	w.in = (int) strtol(argv[2], NULL, 10);
	w.out = argc == 4 ? (int) strtol(argv[3], NULL, 10) : -1;
	if (fstat(w.in, &st) < 0 || !S_ISREG(st.st_mode))
		r = err_set(&e, -EINVAL, "a regular file expected");
	w.in_bytes = r == 0 ? (uint64_t) st.st_size : 0;
	json_object_seed(0); /* opens a file of random bytes, once */
	if (r == 0)
		r = give_up(w.in, w.out, strcmp(argv[1], "tables") == 0);
	if (r < 0 && e.code == 0)
		err_set(&e, r, "cannot give up rights: %s", strerror(-r));
	if (r == 0)
		r = work_init(&w, &e);
	if (r == 0)
		r = run(&w, argv[1], &answer, &e);
	if (r < 0)
		answer = json_pack("{s:s}", "error", err_str(&e));
	text = answer ? json_compact(answer) : NULL;
	if (text)
		(void) !write(STDOUT_FILENO, text, strlen(text));
	_exit(r == 0 ? 0 : str_eq(e.arm, "ImageRefused") ? 3 : 1);
}
