/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds a lease: host, boot, pid namespace, pid and start time. Another process of the same
 * boot and namespace can tell at once that the holder is gone; all others wait for the lease's end.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arm/internal.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

static char *read_line(const char *path)
{
	auto_buf struct buf b = BUF_INIT(256);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || file_read_fd(fd, &b) < 0)
		return strdup("");
	if (b.len > 0 && b.data[b.len - 1] == '\n')
		b.data[--b.len] = '\0';
	return buf_take(&b);
}

static json_t *owner_json(void)
{
	auto_free char *host = read_line("/etc/machine-id");
	auto_free char *boot = read_line("/proc/sys/kernel/random/boot_id");
	struct stat ns = {0};

	if (!host || !boot)
		return NULL;
	(void) stat("/proc/self/ns/pid", &ns); /* 0 where there are no namespaces */
	return json_pack("{s:s, s:s, s:I, s:i, s:I}", "host", host, "boot", boot, "ns",
			 (json_int_t) ns.st_ino, "pid", (int) getpid(), "start",
			 (json_int_t) proc_start_ticks(getpid()));
}

char *owner_text(void)
{
	auto_json json_t *j = owner_json();

	return j ? json_compact(j) : NULL;
}

static bool same(const json_t *a, const json_t *b, const char *key)
{
	const json_t *x = json_object_get(a, key);

	return x && json_equal(x, json_object_get(b, key));
}

bool owner_alive(void *arg, const char *owner)
{
	const char *own = arg;
	auto_json json_t *me = NULL, *them = NULL;

	if (json_parse(own, strlen(own), &me, NULL) < 0 ||
	    json_parse(owner, strlen(owner), &them, NULL) < 0)
		return true; /* cannot tell: the lease decides */
	if (!same(me, them, "host"))
		return true;
	/* Copies of one machine have the same id; another boot may be another of them. */
	if (!same(me, them, "boot") || !same(me, them, "ns"))
		return true;
	return proc_alive((pid_t) json_int_at(them, "pid", 0),
			  (uint64_t) json_int_at(them, "start", 0));
}

bool owner_here(void *arg, const char *owner)
{
	const char *own = arg;
	auto_json json_t *me = NULL, *them = NULL;

	return json_parse(own, strlen(own), &me, NULL) >= 0 &&
	       json_parse(owner, strlen(owner), &them, NULL) >= 0 && same(me, them, "host") &&
	       same(me, them, "boot");
}
