/* SPDX-License-Identifier: Apache-2.0 */
/* Every format, and what is common to writing one. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "disk/formats/internal.h"

/* clang-format off: one a line, so that additions merge */
const struct format *const formats[] = {
	&format_raw, &format_raw_zst,     &format_raw_gz, &format_qcow2, &format_qcow2_zlib,
	&format_vhd, &format_vhd_dynamic, &format_vhdx,   &format_vmdk,  &format_ova,
	NULL,
};
/* clang-format on */

const struct format *format_find(const char *name, struct err *err)
{
	auto_buf struct buf known = BUF_INIT(1024);

	for (size_t i = 0; formats[i]; i++) {
		if (strcmp(formats[i]->name, name) == 0)
			return formats[i];
		(void) buf_addf(&known, "%s%s", i ? ", " : "", formats[i]->name);
	}
	err_set(err, -EINVAL, "format '%.40s': one of %s expected", name, buf_str(&known));
	err_target(err, "format");
	return NULL;
}

int format_padded(const struct format *f, uint64_t size_bytes, uint64_t *ret, struct err *err)
{
	if (size_bytes > f->max_bytes) {
		err_set(err, -EINVAL,
			"a disk of %" PRIu64 " bytes is too big for %s: at most %" PRIu64 " bytes",
			size_bytes, f->name, f->max_bytes);
		err_hint(err, "vhdx holds 64 TiB, qcow2 and raw more");
		err_arm(err, "DiskTooLargeForFormat");
		return -EINVAL;
	}
	*ret = round_up(size_bytes, f->unit_bytes);
	return 0;
}

int format_write(const struct format *f, const struct format_job *job, struct err *err)
{
	struct layout *l = NULL;
	uint64_t padded;
	int r = format_padded(f, job->disk->size_bytes, &padded, err);

	if (r < 0)
		return r;
	if (f->random && !job->random)
		return err_set(err, -ESPIPE, "%s can be written to a regular file only", f->name);
	if (f->write)
		return f->write(job, padded, err);
	r = format_layout(f, job->disk, job->facts, &l, err);
	if (r == 0)
		r = layout_write(l, job, err);
	layout_free(l);
	return r;
}
