/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about processes and programs. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/proc_internal.h"

/* State and start time of /proc/PID/stat. */
static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_start)
{
	char path[48], text[1024], *p;
	auto_fd int fd = -1;
	ssize_t n;

	if (pid <= 0)
		return -EINVAL;
	(void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno();
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? err_errno() : -ESRCH;
	text[n] = '\0';
	p = strrchr(text, ')'); /* the name before may hold anything, also ") " */
	if (!p || p[1] != ' ')
		return -EBADMSG;
	*ret_state = p[2];
	p += 2; /* field 3 */
	for (int field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return -EBADMSG;
		p++;
	}
	*ret_start = strtoull(p, NULL, 10);
	return 0;
}

uint64_t proc_start_ticks(pid_t pid)
{
	uint64_t start;
	char state;

	return read_stat(pid, &state, &start) < 0 ? 0 : start;
}

bool proc_alive(pid_t pid, uint64_t start_ticks)
{
	uint64_t start;
	char state;

	if (read_stat(pid, &state, &start) < 0 || start != start_ticks)
		return false;
	return state != 'Z' && state != 'X';
}

static char self_exe[PATH_MAX];
static pthread_once_t self_once = PTHREAD_ONCE_INIT;

static void find_self(void)
{
	const char *given = secure_getenv("KILN_EXE");
	ssize_t n = -1;

	if (given && *given == '/' && strlen(given) < sizeof(self_exe))
		n = snprintf(self_exe, sizeof(self_exe), "%s", given);
	if (n < 0)
		n = readlink("/proc/self/exe", self_exe, sizeof(self_exe) - 1);
	self_exe[n > 0 ? n : 0] = '\0';
}

const char *proc_self_exe(void)
{
	(void) pthread_once(&self_once, find_self);
	return self_exe;
}

static bool runnable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

int proc_find(const char *name, const char *package, char **ret, struct err *err)
{
	static const char *const dirs[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	if (!*name || strchr(name, '/'))
		return err_set(err, -EINVAL, "\"%s\" is no program name", name);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		auto_free char *path = strf("%s/%s", dirs[i], name);

		if (!path)
			return err_set(err, -ENOMEM, "look for %s: out of memory", name);
		if (runnable(path)) {
			*ret = take_ptr(path);
			return 0;
		}
	}
	(void) err_set(err, -ENOENT, "program %s not found in %s", name, PROC_PATH);
	err_target(err, "%s", name);
	err_hint(err, "install the Debian package %s", package ? package : name);
	return -ENOENT;
}
