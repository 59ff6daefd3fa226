/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input and output joined to a Unix socket, until either side is done. */
#include "vm/internal.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/mem.h"

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t) w;
	}
	return 0;
}

/* Return: 1 moved something, 0 at the end of @from, or -errno. */
static int move(int from, int to)
{
	char piece[65536];
	ssize_t n;
	int r;

	do
		n = read(from, piece, sizeof(piece));
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	r = write_all(to, piece, (size_t) n);
	return r < 0 ? r : 1;
}

int vm_forward_main(const char *socket)
{
	auto_fd int fd = -1;
	bool in_open = true;
	int r = wire_connect(socket, &fd);

	if (r < 0)
		return 1; /* not a word: standard error leads to the guest too */
	for (;;) {
		struct pollfd p[2] = {{.fd = in_open ? STDIN_FILENO : -1, .events = POLLIN},
				      {.fd = fd, .events = POLLIN}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (p[0].revents) {
			r = move(STDIN_FILENO, fd);
			if (r < 0)
				return 1;
			if (r == 0) { /* the guest has sent all; the answer may still come */
				in_open = false;
				(void) shutdown(fd, SHUT_WR);
			}
		}
		if (p[1].revents) {
			r = move(fd, STDOUT_FILENO);
			if (r <= 0)
				return r < 0 ? 1 : 0;
		}
	}
}
