/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a qcow2 overlay allocated. The overlay was written through by a guest: the driver is
 * explicit, the backing file is cut off, and a header that could make QEMU open other files is
 * refused before QEMU sees it.
 */
#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "store/internal.h"

#define QCOW2_MAGIC          0x514649fbu
#define QCOW2_HEAD           104
#define QCOW2_INCOMPAT_DIRTY (UINT64_C(1) << 0)
#define QCOW2_INCOMPAT_KNOWN (QCOW2_INCOMPAT_DIRTY | UINT64_C(1) << 3 | UINT64_C(1) << 4)
#define EXTENTS_MAX          (UINT64_C(1) << 26)
#define MAP_OUTPUT_MAX       (UINT64_C(16) << 30)

struct map {
	struct store_extent *e;
	size_t n, cap;
	uint64_t end; /* virtual size so far */
	int failed;
	struct err *err;
};

static int header_check(const char *path, struct err *err)
{
	uint8_t head[QCOW2_HEAD];
	struct cursor c = {head, sizeof(head)};
	uint32_t magic, version, crypt;
	uint64_t features = 0;
	auto_fd int fd = -1;
	int r = file_open_regular(AT_FDCWD, path, &fd);

	if (r >= 0)
		r = file_pread_full(fd, head, sizeof(head), 0);
	if (r < 0)
		return err_set(err, r, "%s: cannot read the header: %s", path, strerror(-r));
	(void) cursor_be32(&c, &magic);
	(void) cursor_be32(&c, &version);
	(void) cursor_skip(&c, 24); /* backing file, cluster bits, size */
	(void) cursor_be32(&c, &crypt);
	(void) cursor_skip(&c, 36); /* tables, snapshots */
	if (version == 3)
		(void) cursor_be64(&c, &features);
	if (magic != QCOW2_MAGIC || version < 2 || version > 3)
		return err_set(err, -EINVAL, "%s: not a qcow2 overlay", path);
	if (crypt != 0 || (features & ~QCOW2_INCOMPAT_KNOWN))
		return err_set(err, -EINVAL,
			       "%s: encrypted, damaged, or with an external data file: refused",
			       path);
	return 0;
}

static int add_extent(struct map *m, const struct store_extent *e)
{
	struct store_extent *last = m->n ? &m->e[m->n - 1] : NULL;

	if (last && last->zero == e->zero && last->offset + last->length == e->offset &&
	    (e->zero || last->file_offset + last->length == e->file_offset)) {
		last->length += e->length;
		return 0;
	}
	if (!m->e || m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 256;
		struct store_extent *p;

		if (cap > EXTENTS_MAX)
			return err_set(m->err, -EFBIG, "too many extents");
		p = reallocarray(m->e, cap, sizeof(*p));
		if (!p)
			return err_set(m->err, -ENOMEM, "out of memory");
		m->e = p;
		m->cap = cap;
	}
	m->e[m->n++] = *e;
	return 0;
}

/* One line of `qemu-img map --output=json` is one element of its array. */
static int map_line(struct map *m, const char *line, size_t n)
{
	auto_json json_t *j = NULL;
	struct store_extent e = {0};
	int64_t start, length, offset;
	bool zero, data, present;
	int r;

	while (n > 0 && (*line == '[' || *line == ' ')) {
		line++;
		n--;
	}
	while (n > 0 && (line[n - 1] == ',' || line[n - 1] == ']' || line[n - 1] == ' '))
		n--;
	if (n == 0)
		return 0;
	r = json_parse(line, n, &j, m->err);
	if (r < 0)
		return r;
	start = json_int_at(j, "start", -1);
	length = json_int_at(j, "length", -1);
	offset = json_int_at(j, "offset", -1);
	zero = json_bool_at(j, "zero", false);
	data = json_bool_at(j, "data", false);
	present = json_bool_at(j, "present", true);
	if (start < 0 || length <= 0 || (uint64_t) start != m->end)
		return err_set(m->err, -EBADMSG, "qemu-img map: unexpected line: %.*s", (int) n,
			       line);
	m->end += (uint64_t) length;
	if (!present)
		return 0; /* the base's */
	e.offset = (uint64_t) start;
	e.length = (uint64_t) length;
	e.zero = zero;
	if (!zero && data && offset < 0)
		return err_set(m->err, -EOPNOTSUPP, "overlay has compressed clusters at byte %lld",
			       (long long) start);
	e.file_offset = zero ? 0 : (uint64_t) offset;
	return zero || data ? add_extent(m, &e) : 0;
}

static void on_line(void *arg, enum proc_stream stream, const char *line, size_t n)
{
	struct map *m = arg;

	if (stream == PROC_STDOUT && m->failed == 0)
		m->failed = map_line(m, line, n);
}

/* A guest's QEMU may hold its sealed overlays open still: nobody writes them. */
static char *image_spec(const char *path)
{
	auto_json json_t *j =
		json_pack("{s:s, s:n, s:{s:s, s:s, s:s}}", "driver", "qcow2", "backing", "file",
			  "driver", "file", "filename", path, "locking", "off");
	auto_free char *text = j ? json_compact(j) : NULL;

	return text ? strf("json:%s", text) : NULL;
}

int store_overlay_extents(const char *overlay, struct cancel *cancel, struct store_extent **ret,
			  size_t *ret_n, uint64_t *ret_virtual_size, struct err *err)
{
	/* Subprocesses start in "/". */
	auto_free char *abs = realpath(overlay, NULL);
	auto_free char *spec = abs ? image_spec(abs) : NULL, *qemu_img = NULL;
	auto_buf struct buf errout = BUF_INIT(4096);
	struct map m = {.err = err};
	struct proc_spec ps = {
		.cancel = cancel,
		.line = on_line,
		.line_arg = &m,
		.errout = &errout,
		.max_output = MAP_OUTPUT_MAX,
	};
	struct proc_result res;
	int r = header_check(overlay, err);

	if (r >= 0 && !spec)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r >= 0)
		r = proc_find("qemu-img", "qemu-utils", &qemu_img, err);
	if (r < 0)
		return r;

	const char *argv[] = {qemu_img, "map", "--output=json", spec, NULL};

	ps.argv = argv;
	r = proc_run(&ps, &res, err);
	if (r >= 0 && m.failed < 0)
		r = m.failed;
	else if (r >= 0 && res.exit_code != 0)
		r = err_set(err, -EIO, "qemu-img map %s: %s", overlay, buf_str(&errout));
	if (r < 0) {
		free(m.e);
		return r;
	}
	*ret = m.e;
	*ret_n = m.n;
	*ret_virtual_size = m.end;
	return 0;
}
