/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libvirt sees of the machine, where the machine would mislead it; in a mount namespace of
 * this process alone.
 *
 * - libvirt's QEMU driver does not start as root without the account that it was built for, though
 *   kiln names another uid for every guest. That account comes with libvirt's system daemon, which
 *   kiln does not use; so /etc/passwd and /etc/group get a line here.
 * - Files that guests keep are bound to names that their uids reach (guest_files.c).
 * - A /dev/kvm that hangs is hidden, else every look at what QEMU can do takes minutes. The file in
 *   its place must not be readable, else libvirt thinks that KVM came back and looks again.
 */
#include "vm/host.h"

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/uids.h"

#define ACCOUNT     "libvirt-qemu"
#define PASSWD_MAX  (4u << 20)
#define ACCOUNT_UID (GUEST_UID_FIRST - 1)

static int cover(const char *path, const char *original, struct err *err)
{
	if (mount(path, original, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, original, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return err_set(err, -errno, "bind mount on %s: %s", original,
			       strerrordesc_np(errno));
	return 0;
}

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
	return cover(path, original, err);
}

static int hide_kvm(const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "nokvm");
	int r = path ? file_write_atomic(path, "", 0, 0, err) : -ENOMEM;

	return r < 0 ? r : cover(path, "/dev/kvm", err);
}

static int add_account(const char *dir, bool user, bool group, struct err *err)
{
	auto_free char *pw = strf(ACCOUNT ":x:%u:%u::/nonexistent:/usr/sbin/nologin\n", ACCOUNT_UID,
				  ACCOUNT_UID);
	auto_free char *gr = strf(ACCOUNT ":x:%u:\n", ACCOUNT_UID);
	int r = 0;

	if (!pw || !gr)
		return -ENOMEM;
	if (user)
		r = overlay_file(dir, "/etc/passwd", "passwd", pw, err);
	if (r == 0 && group)
		r = overlay_file(dir, "/etc/group", "group", gr, err);
	if (r < 0)
		err_hint(err,
			 "make the account: adduser --system --group --no-create-home " ACCOUNT);
	return r;
}

int host_view(struct host *h, struct err *err)
{
	bool user, group, kvm;
	int r;

	if (!h->privileged)
		return 0;
	user = getpwnam(ACCOUNT) == NULL; /* no thread exists yet */
	group = getgrnam(ACCOUNT) == NULL;
	kvm = !h->kvm && file_exists("/dev/kvm");
	/* As a slave: what the host unmounts goes away here too, so no device stays busy. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_set(err, -errno, "mount namespace: %s", strerrordesc_np(errno));
	r = add_account(h->root, user, group, err);
	if (r == 0 && kvm)
		r = hide_kvm(h->root, err);
	return r;
}
