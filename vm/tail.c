/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/internal.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"

#define TAIL_BYTES 16384

/* Length of the control sequence at @p (which starts with ESC). */
static size_t escape_len(const char *p, size_t n)
{
	size_t i = 2;

	if (n < 2)
		return n;
	if (p[1] != '[')
		return 2;
	while (i < n && (unsigned char) p[i] >= 0x20 && (unsigned char) p[i] < 0x40)
		i++;
	return i < n ? i + 1 : n;
}

/* Keep printable ASCII and line ends only: the text is a guest's and ends on a terminal. */
static size_t clean(char *p, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\033') {
			i += escape_len(p + i, n - i) - 1;
			continue;
		}
		if (p[i] == '\n') {
			while (out > 0 && p[out - 1] == ' ')
				out--;
			if (out > 0 && p[out - 1] == '\n')
				continue;
		} else if (p[i] == '\t') {
			p[i] = ' ';
		} else if (p[i] < 0x20 || p[i] > 0x7e) {
			continue;
		}
		p[out++] = p[i];
	}
	while (out > 0 && (p[out - 1] == '\n' || p[out - 1] == ' '))
		out--;
	return out;
}

void vm_console_tail(const char *path, unsigned lines, struct buf *out)
{
	char text[TAIL_BYTES];
	auto_fd int fd = -1;
	struct stat st;
	size_t n, from;
	off_t at;

	if (!path || file_open_regular(AT_FDCWD, path, &fd) < 0 || fstat(fd, &st) < 0)
		return;
	at = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
	n = (size_t) (st.st_size - at);
	if (file_pread_full(fd, text, n, (uint64_t) at) < 0)
		return;
	n = clean(text, n);
	for (from = n; from > 0; from--)
		if (text[from - 1] == '\n' && --lines == 0)
			break;
	(void) buf_add(out, text + from, n - from);
}
