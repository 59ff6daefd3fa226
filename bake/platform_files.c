/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a platform image has beyond its packages' own. Every text here is part of the
 * recipe: change one, and the image gets new inputs and a new version.
 */
#include <sys/stat.h>

#include "bake/platform_internal.h"
#include "base/mem.h"

/*
 * One text for the file in the image and for the script that writes it again: root device,
 * arguments and time-out are filled in here, or are the script's variables there. It loads the
 * kernel by the links that Debian's kernel packages keep, so an upgrade needs no new file.
 */
#define GRUB_CFG                                                                                   \
	"# Written by update-grub from /etc/default/grub: edit that, then run update-grub.\n"      \
	"set default=0\n"                                                                          \
	"set timeout=%s\n"                                                                         \
	"if serial --unit=0 --speed=115200; then\n"                                                \
	"\tterminal_input --append serial\n"                                                       \
	"\tterminal_output --append serial\n"                                                      \
	"fi\n"                                                                                     \
	"menuentry 'Debian GNU/Linux' --class debian {\n"                                          \
	"\tlinux /vmlinuz root=%s ro %s\n"                                                         \
	"\tinitrd /initrd.img\n"                                                                   \
	"}\n"                                                                                      \
	"if [ -e /vmlinuz.old ]; then\n"                                                           \
	"menuentry 'Debian GNU/Linux, previous kernel' --class debian {\n"                         \
	"\tlinux /vmlinuz.old root=%s ro %s\n"                                                     \
	"\tinitrd /initrd.img.old\n"                                                               \
	"}\n"                                                                                      \
	"fi\n"                                                                                     \
	"menuentry 'Debian GNU/Linux, single user' --class debian {\n"                             \
	"\tlinux /vmlinuz root=%s ro %s single\n"                                                  \
	"\tinitrd /initrd.img\n"                                                                   \
	"}\n"

#define KERNEL_ARGS  "console=tty0 console=ttyS0,115200 quiet"
#define GRUB_TIMEOUT "0"

static const char update_grub_head[] =
	"#!/bin/sh\n"
	"# Writes /boot/grub/grub.cfg from /etc/default/grub and /etc/fstab. Unlike grub-mkconfig "
	"it\n"
	"# asks no device, so it works in a container too. The distribution's own program is\n"
	"# /usr/sbin/update-grub.distrib.\n"
	"set -e\n"
	"out=/boot/grub/grub.cfg\n"
	"[ \"$1\" != -o ] || out=$2\n"
	"GRUB_TIMEOUT= GRUB_CMDLINE_LINUX= GRUB_CMDLINE_LINUX_DEFAULT=\n"
	"for f in /etc/default/grub /etc/default/grub.d/*.cfg; do\n"
	"\tif [ -r \"$f\" ]; then . \"$f\"; fi\n"
	"done\n"
	"timeout=${GRUB_TIMEOUT:-" GRUB_TIMEOUT "}\n"
	"args=\"$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT\"\n"
	"root=$(awk '$1 !~ /^#/ && $2 == \"/\" { print $1; exit }' /etc/fstab)\n"
	"if [ -z \"$root\" ]; then\n"
	"\techo 'update-grub: /etc/fstab names no root file system' >&2\n"
	"\texit 1\n"
	"fi\n"
	"mkdir -p \"${out%/*}\"\n"
	"cat >\"$out.new\" <<END\n";
static const char update_grub_tail[] = "END\n"
				       "mv \"$out.new\" \"$out\"\n";

static const char default_grub[] = "# After a change run update-grub.\n"
				   "GRUB_TIMEOUT=" GRUB_TIMEOUT "\n"
				   "GRUB_CMDLINE_LINUX=\"\"\n"
				   "GRUB_CMDLINE_LINUX_DEFAULT=\"" KERNEL_ARGS "\"\n";

static const char hosts[] = "127.0.0.1\tlocalhost\n"
			    "::1\t\tlocalhost ip6-localhost ip6-loopback\n"
			    "ff02::1\t\tip6-allnodes\n"
			    "ff02::2\t\tip6-allrouters\n";

static const char interfaces[] =
	"# interfaces(5) file used by ifup(8) and ifdown(8)\n"
	"source /etc/network/interfaces.d/*\n"
	"# DHCP for what nothing above configures: see /usr/local/lib/network-fallback\n"
	"source /run/network/interfaces.d/*\n"
	"auto lo\n"
	"iface lo inet loopback\n";

static const char network_fallback[] =
	"#!/bin/sh\n"
	"# Gives every Ethernet device that no file configures an entry with DHCP, so that a "
	"machine\n"
	"# without any cloud-init data source has a network too.\n"
	"# Drivers load while the system starts: wait for those that are on their way.\n"
	"udevadm settle --timeout=60\n"
	"mkdir -p /run/network/interfaces.d\n"
	"for dev in /sys/class/net/e*; do\n"
	"\tname=${dev##*/}\n"
	"\t[ -e \"$dev\" ] || continue\n"
	"\tgrep -qsw \"$name\" /etc/network/interfaces /etc/network/interfaces.d/* && continue\n"
	"\tprintf 'auto %s\\niface %s inet dhcp\\n' \"$name\" \"$name\" \\\n"
	"\t\t>\"/run/network/interfaces.d/$name\"\n"
	"done\n"
	"exit 0\n";

static const char network_fallback_unit[] =
	"[Unit]\n"
	"Description=DHCP on Ethernet devices without a configuration\n"
	"DefaultDependencies=no\n"
	"After=local-fs.target ifupdown-pre.service cloud-init-local.service\n"
	"Before=networking.service\n"
	"ConditionPathExists=/usr/local/lib/network-fallback\n"
	"\n"
	"[Service]\n"
	"Type=oneshot\n"
	"RemainAfterExit=yes\n"
	"ExecStart=/usr/local/lib/network-fallback\n"
	"\n"
	"[Install]\n"
	"WantedBy=networking.service\n";

/* No RSA key: every client of the last ten years knows these, and RSA takes an emulated machine the
 * better part of a minute. */
static const char ssh_hostkeys_unit[] =
	"[Unit]\n"
	"Description=Make the SSH host keys that are missing\n"
	"Before=ssh.service\n"
	"After=local-fs.target systemd-random-seed.service cloud-init.service\n"
	"ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key\n"
	"\n"
	"[Service]\n"
	"Type=oneshot\n"
	"RemainAfterExit=yes\n"
	"ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key\n"
	"ExecStart=/usr/bin/ssh-keygen -q -t ecdsa -N '' -f /etc/ssh/ssh_host_ecdsa_key\n"
	"\n"
	"[Install]\n"
	"WantedBy=ssh.service\n";

static const char datasources[] =
	"# Short, so that the search is quick. With none found cloud-init stays off.\n"
	"datasource_list: [ NoCloud, ConfigDrive, Azure, OpenStack, Ec2, GCE, None ]\n"
	"# The archives that the image was made with stay in force.\n"
	"apt:\n"
	"  preserve_sources_list: true\n"
	"# The locale that is always there; its packaged default would have to be generated.\n"
	"locale: C.UTF-8\n"
	"ssh_genkeytypes: [ ed25519, ecdsa ]\n";

/* An emulated machine on a busy host may take minutes to find its console. */
static const char device_timeout[] = "[Manager]\n"
				     "DefaultDeviceTimeoutSec=300\n";

struct text_file {
	const char *path;
	uint32_t mode;
	const char *text;
};
static const struct text_file texts[] = {
	{"etc/default/grub", 0644, default_grub},
	{"etc/default/locale", 0644, "LANG=C.UTF-8\n"},
	{"etc/hostname", 0644, "localhost\n"},
	{"etc/hosts", 0644, hosts},
	{"etc/machine-id", 0444, ""},
	{"etc/resolv.conf", 0644, ""},
	{"etc/network/interfaces", 0644, interfaces},
	{"usr/local/lib/network-fallback", 0755, network_fallback},
	{"etc/systemd/system.conf.d/device-timeout.conf", 0644, device_timeout},
	{"etc/systemd/system/network-fallback.service", 0644, network_fallback_unit},
	{"etc/systemd/system/ssh-hostkeys.service", 0644, ssh_hostkeys_unit},
	{"etc/cloud/cloud.cfg.d/90_datasources.cfg", 0644, datasources},
};
static const struct {
	const char *path, *target;
} links[] = {
	{"etc/systemd/system/networking.service.wants/network-fallback.service",
	 "/etc/systemd/system/network-fallback.service"},
	{"etc/systemd/system/ssh.service.wants/ssh-hostkeys.service",
	 "/etc/systemd/system/ssh-hostkeys.service"},
	{"var/lib/dbus/machine-id", "/etc/machine-id"},
};

/* --- what the build leaves behind --- */

static const char *const emptied[] = {
	/* mmdebstrap writes the entries there, with their credentials. */
	"etc/apt/sources.list.d", "dev",       "run",      "tmp", "var/tmp",
	"var/lib/apt/lists",      "root/.ssh", "boot/efi",
};
static const char *const removed[] = {
	"etc/.pwd.lock",
	/* File system scrubbing on LVM snapshots, which the image has none of. */
	"etc/systemd/system/multi-user.target.wants/e2scrub_reap.service",
	"etc/systemd/system/timers.target.wants/e2scrub_all.timer",
	"etc/apt/apt.conf.d/99mmdebstrap",
	"etc/apt/sources.list",
	"etc/dpkg/dpkg.cfg.d/99mmdebstrap",
	"etc/group-",
	"etc/gshadow-",
	"etc/passwd-",
	"etc/shadow-",
	"etc/subgid-",
	"etc/subuid-",
	"etc/ssh/ssh_host_dsa_key",
	"etc/ssh/ssh_host_dsa_key.pub",
	"etc/ssh/ssh_host_ecdsa_key",
	"etc/ssh/ssh_host_ecdsa_key.pub",
	"etc/ssh/ssh_host_ed25519_key",
	"etc/ssh/ssh_host_ed25519_key.pub",
	"etc/ssh/ssh_host_rsa_key",
	"etc/ssh/ssh_host_rsa_key.pub",
	/* Owned by _apt or root, as the build could drop privileges or not; APT makes it anew. */
	"var/cache/apt/archives/partial",
	"var/cache/apt/pkgcache.bin",
	"var/cache/apt/srcpkgcache.bin",
	"var/cache/debconf/config.dat-old",
	"var/cache/debconf/passwords.dat-old",
	"var/cache/debconf/templates.dat-old",
	"var/cache/ldconfig/aux-cache",
	"var/lib/dpkg/available-old",
	"var/lib/dpkg/diversions-old",
	"var/lib/dpkg/status-old",
	"var/lib/dpkg/statoverride-old",
	"var/lib/systemd/random-seed",
	"var/lib/systemd/credential.secret",
};

/* Log files go, log directories keep their owners and modes. */
static void remove_files(struct fstree *t, struct fstree_node *d, char path[FSTREE_MAX_PATH])
{
	size_t n = strlen(path);

	for (size_t k = d->n; k-- > 0;) {
		struct fstree_node *c = d->child[k];

		if (n + strlen(c->name) + 2 > FSTREE_MAX_PATH)
			continue;
		(void) snprintf(path + n, FSTREE_MAX_PATH - n, "/%s", c->name);
		if (S_ISDIR(c->inode->mode))
			remove_files(t, c, path);
		else if (S_ISREG(c->inode->mode))
			fstree_remove(t, path);
		path[n] = '\0';
	}
}

void platform_files_clean(struct fstree *t)
{
	static const char *const logs[] = {"var/log", "var/cache/apt/archives"};
	char path[FSTREE_MAX_PATH];

	for (size_t k = 0; k < ARRAY_SIZE(emptied); k++)
		fstree_empty(t, emptied[k]);
	for (size_t k = 0; k < ARRAY_SIZE(removed); k++)
		fstree_remove(t, removed[k]);
	for (size_t k = 0; k < ARRAY_SIZE(logs); k++) {
		struct fstree_node *d = fstree_find(t, logs[k]);

		(void) snprintf(path, sizeof(path), "%s", logs[k]);
		if (d)
			remove_files(t, d, path);
	}
}

/* --- identifiers --- */

static void id_make(const struct digest *inputs, const char *what, char ret[UUID_STR])
{
	char text[DIGEST_HEX + 32];
	struct digest d;
	int n;

	(void) digest_hex(inputs, text);
	n = snprintf(text + DIGEST_HEX - 1, sizeof(text) - DIGEST_HEX + 1, " %s", what);
	sha256(text, (size_t) (DIGEST_HEX - 1 + n), &d);
	uuid_from_digest(&d, ret);
}

void platform_ids_make(const struct digest *inputs, struct platform_ids *ret)
{
	id_make(inputs, "disk", ret->disk_uuid);
	id_make(inputs, "root", ret->root_uuid);
	id_make(inputs, "hash seed", ret->hash_seed);
	id_make(inputs, "partition 1", ret->part_uuid[0]);
	id_make(inputs, "partition 2", ret->part_uuid[1]);
	id_make(inputs, "partition 3", ret->part_uuid[2]);
	ret->esp_id = (uint32_t) inputs->b[0] << 24 | (uint32_t) inputs->b[1] << 16 |
		      (uint32_t) inputs->b[2] << 8 | inputs->b[3];
}

/* --- texts with identifiers --- */

static char *grub_cfg(const char *root, const char *args, const char *timeout)
{
	return strf(GRUB_CFG, timeout, root, args, root, args, root, args);
}

static char *update_grub(void)
{
	auto_free char *body = grub_cfg("$root", "$args", "$timeout");

	return body ? strf("%s%s%s", update_grub_head, body, update_grub_tail) : NULL;
}

static char *fstab(const struct platform_ids *ids)
{
	return strf("UUID=%s / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1\n"
		    "UUID=%04X-%04X /boot/efi vfat umask=0077,noauto,x-systemd.automount,"
		    "x-systemd.idle-timeout=60 0 0\n",
		    ids->root_uuid, ids->esp_id >> 16, ids->esp_id & 0xffff);
}

/* GRUB finds its own disk's partition by number where it can; Secure Boot's signed image knows
 * only the ESP it was started from, so it searches. */
char *platform_esp_grub_cfg(const struct platform_ids *ids)
{
	return strf("search.fs_uuid %s root\n"
		    "set prefix=($root)/boot/grub\n"
		    "configfile $prefix/grub.cfg\n",
		    ids->root_uuid);
}

static int add_owned(struct fstree *t, const char *path, uint32_t mode, char *text, struct err *err)
{
	int r = text ? fstree_add_file(t, path, mode, text, strlen(text), err)
		     : err_set(err, -ENOMEM, "%s: out of memory", path);

	free(text);
	return r;
}

static int add_sources(struct fstree *t, const json_t *sources, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(1u << 20);
	size_t k;
	json_t *v;

	json_array_foreach(sources, k, v)
	{
		(void) buf_addf(&b, "%s%s", k ? "\n" : "", json_string_value(v));
	}
	if (buf_err(&b) < 0)
		return err_set(err, buf_err(&b), "APT entries: too long");
	return fstree_add_file(t, "etc/apt/sources.list.d/debian.sources", 0644, buf_str(&b), b.len,
			       err);
}

int platform_files_add(struct fstree *t, const struct platform_ids *ids, const json_t *sources,
		       struct err *err)
{
	auto_free char *root = strf("UUID=%s", ids->root_uuid);
	int r = 0;

	if (!root)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t k = 0; r == 0 && k < ARRAY_SIZE(texts); k++)
		r = fstree_add_file(t, texts[k].path, texts[k].mode, texts[k].text,
				    strlen(texts[k].text), err);
	for (size_t k = 0; r == 0 && k < ARRAY_SIZE(links); k++)
		r = fstree_add_symlink(t, links[k].path, links[k].target, err);
	if (r == 0)
		r = fstree_add_dir(t, "boot/efi", 0755, err);
	if (r == 0)
		r = add_owned(t, "etc/fstab", 0644, fstab(ids), err);
	if (r == 0)
		r = add_owned(t, "usr/sbin/update-grub", 0755, update_grub(), err);
	if (r == 0)
		r = add_owned(t, "boot/grub/grub.cfg", 0644,
			      grub_cfg(root, " " KERNEL_ARGS, GRUB_TIMEOUT), err);
	return r == 0 ? add_sources(t, sources, err) : r;
}

int platform_files_recipe(struct buf *out)
{
	static const struct platform_ids none;
	char *made[] = {fstab(&none), update_grub(), platform_esp_grub_cfg(&none),
			grub_cfg("", KERNEL_ARGS, GRUB_TIMEOUT)};
	int r = 0;

	for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
		(void) buf_addf(out, "file %s %o %s\n", texts[k].path, texts[k].mode,
				texts[k].text);
	for (size_t k = 0; k < ARRAY_SIZE(links); k++)
		(void) buf_addf(out, "link %s %s\n", links[k].path, links[k].target);
	for (size_t k = 0; k < ARRAY_SIZE(emptied); k++)
		(void) buf_addf(out, "empty %s\n", emptied[k]);
	for (size_t k = 0; k < ARRAY_SIZE(removed); k++)
		(void) buf_addf(out, "remove %s\n", removed[k]);
	for (size_t k = 0; k < ARRAY_SIZE(made); k++) {
		r = made[k] ? buf_addf(out, "made %s\n", made[k]) : -ENOMEM;
		free(made[k]);
		made[k] = NULL;
		if (r < 0)
			break;
	}
	return r < 0 ? r : buf_err(out);
}
