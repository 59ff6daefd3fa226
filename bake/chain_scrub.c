/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed overlay of a disk that was mounted elsewhere (in a guest): what of it holds nothing. */
#include <fcntl.h>

#include "bake/chain_internal.h"
#include "base/log.h"
#include "base/mem.h"

static int read_map(const struct chain_spec *spec, struct fsmap *ret, struct err *err)
{
	struct chain *c = NULL;
	int r = chain_new(spec, &c, err);

	if (r == 0)
		r = chain_daemon_start(c, spec, err);
	if (r == 0) {
		struct err why = ERR_INIT;

		/* No ext4 that is known here: nothing is known to be empty. */
		r = chain_find_root(c, c->size_bytes, &why);
		if (r == 0)
			r = fsmap_read(c->disk_fd, c->part_offset, c->part_bytes, ret, &why);
		if (r < 0)
			log_debug("chain.scrub", "error=\"%s\"", err_str(&why));
		err_done(&why);
		r = r == 0;
	}
	chain_close(c);
	return r;
}

int chain_scrub(const struct chain_spec *spec, const struct store_extent *extents, size_t n,
		bool *ret_done, struct err *err)
{
	struct fsmap map = {0};
	auto_fd int fd = -1;
	int r = read_map(spec, &map, err);

	*ret_done = r > 0;
	if (r <= 0)
		return r;
	fd = open(spec->sealed, O_RDWR | O_CLOEXEC);
	r = fd < 0 ? err_set(err, -errno, "%s: %s", spec->sealed, strerror(errno))
		   : fsmap_scrub(&map, fd, extents, n, NULL, err);
	fsmap_done(&map);
	return r;
}
