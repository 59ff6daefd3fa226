/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"

int lock_file(const char *path, unsigned flags, int *ret_fd, struct err *err)
{
	struct flock fl = {
		.l_type = flags & LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
	};
	auto_fd int fd = sys_get()->openat(
		AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	int r;

	if (fd < 0)
		return err_set(err, -errno, "open the lock file %s: %s", path,
			       strerrordesc_np(errno));
	do
		r = fcntl(fd, flags & LOCK_NONBLOCK ? F_OFD_SETLK : F_OFD_SETLKW, &fl);
	while (r < 0 && errno == EINTR);
	if (r < 0 && (errno == EAGAIN || errno == EACCES))
		return err_set(err, -EAGAIN, "%s is locked by another process", path);
	if (r < 0)
		return err_set(err, -errno, "lock %s: %s", path, strerrordesc_np(errno));
	*ret_fd = take_fd(fd);
	return 0;
}
