/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's QEMU driver does not start as root without the account that it was built for, though
 * kiln names another uid for every guest. Where that account is missing (it comes with libvirt's
 * system daemon, which kiln does not use), this process alone sees an /etc/passwd and an
 * /etc/group that have it: bind mounts in a mount namespace of its own.
 */
#include "vm/host.h"

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/file.h"
#include "base/mem.h"

#define ACCOUNT	     "libvirt-qemu"
#define PASSWD_MAX   (4u << 20)
#define ACCOUNT_UID  (VM_UID_FIRST - 1)

static int overlay_file(const char *dir, const char *original, const char *name, const char *line,
			struct err *err)
{
	auto_buf struct buf b = BUF_INIT(PASSWD_MAX);
	auto_free char *path = path_join(dir, name);
	int r;

	if (!path)
		return -ENOMEM;
	r = file_read_all(original, &b, err);
	if (r < 0)
		return r;
	if (b.len > 0 && b.data[b.len - 1] != '\n')
		buf_addch(&b, '\n');
	r = buf_addstr(&b, line);
	if (r == 0)
		r = file_write_atomic(path, b.data, b.len, 0644, err);
	if (r < 0)
		return r;
	if (mount(path, original, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, original, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return err_set(err, -errno, "bind mount on %s: %s", original,
			       strerrordesc_np(errno));
	return 0;
}

static int private_view(const char *dir, bool user, bool group, struct err *err)
{
	auto_free char *pw = strf(ACCOUNT ":x:%u:%u::/nonexistent:/usr/sbin/nologin\n", ACCOUNT_UID,
				  ACCOUNT_UID);
	auto_free char *gr = strf(ACCOUNT ":x:%u:\n", ACCOUNT_UID);
	int r = 0;

	if (!pw || !gr)
		return -ENOMEM;
	/* As a slave: what the host unmounts goes away here too, so no device stays busy. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_set(err, -errno, "mount namespace: %s", strerrordesc_np(errno));
	if (user)
		r = overlay_file(dir, "/etc/passwd", "passwd", pw, err);
	if (r == 0 && group)
		r = overlay_file(dir, "/etc/group", "group", gr, err);
	return r;
}

int host_account(struct host *h, struct err *err)
{
	bool user, group;
	int r;

	if (!h->privileged)
		return 0;
	user = getpwnam(ACCOUNT) == NULL; /* no thread exists yet */
	group = getgrnam(ACCOUNT) == NULL;
	if (!user && !group)
		return 0;
	r = private_view(h->root, user, group, err);
	if (r < 0)
		err_hint(err, "make the account: adduser --system --group --no-create-home " ACCOUNT);
	return r < 0 ? err_ctx(err, r, "account " ACCOUNT) : 0;
}
