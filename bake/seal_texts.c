/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of configuration files by their content. */
#include <ctype.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/stat.h>

#include "bake/seal_verify.h"
#include "base/mem.h"

static bool blank(const char *s)
{
	return s[strspn(s, " \t\r\n")] == '\0';
}

int verify_machine_id(struct verify *v, struct err *err)
{
	auto_free char *text = NULL;
	int r = verify_text(v, "/etc/machine-id", &text, err);

	if (r < 0)
		return r;
	if (!text)
		return verify_found(v, "/etc/machine-id",
				    "missing: a read-only first boot could not make one");
	if (blank(text) || strncmp(text, "uninitialized", 13) == 0)
		return 0;
	return verify_found(v, "/etc/machine-id", "holds an id that every machine would share");
}

static int check_dbus_id(struct verify *v, const char *path, const struct ext4_stat *st,
			 struct err *err)
{
	return S_ISREG(st->mode) ? verify_found(v, path, "a copy of the machine id") : 0;
}

int verify_dbus_machine_id(struct verify *v, struct err *err)
{
	return verify_each(v, "/var/lib/dbus/machine-id", check_dbus_id, err);
}

int verify_hostname(struct verify *v, struct err *err)
{
	auto_free char *text = NULL;
	int r = verify_text(v, "/etc/hostname", &text, err);

	if (r < 0 || !text || blank(text) || strncmp(text, "localhost", 9) == 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	return verify_found(v, "/etc/hostname", "a host's own name: %.60s", text);
}

/* Calls verify_found() for every line (comments left out) that holds @word. */
/* @word where no longer word ends in it: "passwd:" is not part of "lock_passwd:". */
static bool has_word(const char *line, const char *word)
{
	for (const char *p = line; (p = strcasestr(p, word)); p++)
		if (p == line || !(isalnum((unsigned char) p[-1]) || p[-1] == '_'))
			return true;
	return false;
}

static int lines_with(struct verify *v, const char *path, const char *word, const char *why,
		      struct err *err)
{
	auto_free char *text = NULL;
	char *save = NULL;
	int r = verify_text(v, path, &text, err);

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; r == 0 && l;
	     l = strtok_r(NULL, "\n", &save)) {
		l += strspn(l, " \t");
		if (*l != '#' && has_word(l, word))
			r = verify_found(v, path, "%s", why);
	}
	return r;
}

int verify_hosts(struct verify *v, struct err *err)
{
	return lines_with(v, "/etc/hosts", "127.0.1.1", "names the host it was built on", err);
}

static int check_resolv(struct verify *v, const char *path, const struct ext4_stat *st,
			struct err *err)
{
	return S_ISREG(st->mode) && st->size > 0
		       ? verify_found(v, path, "name servers of the builder")
		       : 0;
}

int verify_resolv_conf(struct verify *v, struct err *err)
{
	return verify_each(v, "/etc/resolv.conf", check_resolv, err);
}

int verify_policy_rc_d(struct verify *v, struct err *err)
{
	auto_free char *text = NULL;
	int r = verify_text(v, "/usr/sbin/policy-rc.d", &text, err);

	return r == 0 && text && str_eq(text, "#!/bin/sh\nexit 101\n")
		       ? verify_found(v, "/usr/sbin/policy-rc.d", "no service could be started")
		       : r;
}

static int check_proxy(struct verify *v, const char *path, const struct ext4_stat *st,
		       struct err *err)
{
	return lines_with(v, path, "127.0.0.1:3128", "points at the builder's proxy", err);
}

int verify_builder_proxy(struct verify *v, struct err *err)
{
	static const char *const globs[] = {"/etc/apt/apt.conf",
					    "/etc/apt/apt.conf.d/*",
					    "/etc/environment",
					    "/etc/environment.d/*",
					    "/etc/profile",
					    "/etc/profile.d/*",
					    "/etc/wgetrc",
					    "/etc/pip.conf",
					    "/etc/systemd/system.conf.d/*",
					    "~/.bashrc",
					    "~/.profile",
					    "~/.npmrc",
					    "~/.gitconfig",
					    "~/.curlrc"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(globs); i++)
		r = verify_each(v, globs[i], check_proxy, err);
	return r;
}

/* "://user:word@" anywhere in a line. */
static bool has_userinfo(const char *line)
{
	for (const char *p = strstr(line, "://"); p; p = strstr(p + 3, "://")) {
		size_t n = strcspn(p + 3, "/ \t\";");
		const char *at = memchr(p + 3, '@', n);

		if (at && memchr(p + 3, ':', (size_t) (at - p - 3)))
			return true;
	}
	return false;
}

static int check_userinfo(struct verify *v, const char *path, const struct ext4_stat *st,
			  struct err *err)
{
	auto_free char *text = NULL;
	char *save = NULL;
	int r = verify_text(v, path, &text, err);

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; r == 0 && l;
	     l = strtok_r(NULL, "\n", &save))
		if (has_userinfo(l))
			r = verify_found(v, path, "a password inside a URL");
	return r;
}

int verify_apt_credentials(struct verify *v, struct err *err)
{
	static const char *const globs[] = {"/etc/apt/apt.conf",     "/etc/apt/apt.conf.d/*",
					    "/etc/apt/sources.list", "/etc/apt/sources.list.d/*",
					    "/etc/environment",      "/etc/yum.repos.d/*",
					    "/etc/pip.conf",         "~/.config/pip/pip.conf",
					    "~/.pip/pip.conf",       "~/.gitconfig"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(globs); i++)
		r = verify_each(v, globs[i], check_userinfo, err);
	return r;
}

static int check_netplan(struct verify *v, const char *path, const struct ext4_stat *st,
			 struct err *err)
{
	return lines_with(v, path, "macaddress:", "bound to one network card", err);
}

int verify_netplan_mac(struct verify *v, struct err *err)
{
	return verify_each(v, "/etc/netplan/*.yaml", check_netplan, err);
}

static int check_hwaddress(struct verify *v, const char *path, const struct ext4_stat *st,
			   struct err *err)
{
	int r = lines_with(v, path, "hwaddr", "bound to one network card", err);

	return r == 0 ? lines_with(v, path, "MACAddress=", "bound to one network card", err) : r;
}

int verify_interfaces_mac(struct verify *v, struct err *err)
{
	static const char *const globs[] = {
		"/etc/network/interfaces", "/etc/network/interfaces.d/*", "/etc/systemd/network/*"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(globs); i++)
		r = verify_each(v, globs[i], check_hwaddress, err);
	return r;
}

int verify_ifcfg(struct verify *v, struct err *err)
{
	return verify_each(v, "/etc/sysconfig/network-scripts/ifcfg-*", check_hwaddress, err);
}

static int check_cloud(struct verify *v, const char *path, const struct ext4_stat *st,
		       struct err *err)
{
	static const char *const words[] = {
		"plain_text_passwd:", "hashed_passwd:", "passwd: ", "chpasswd:", "password: "};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++)
		r = lines_with(v, path, words[i], "a password for every machine", err);
	return r;
}

int verify_cloud_passwords(struct verify *v, struct err *err)
{
	int r = verify_each(v, "/etc/cloud/cloud.cfg.d/*.cfg", check_cloud, err);

	return r == 0 ? verify_each(v, "/etc/cloud/cloud.cfg", check_cloud, err) : r;
}

static int check_sshd(struct verify *v, const char *path, const struct ext4_stat *st,
		      struct err *err)
{
	auto_free char *text = NULL;
	char *save = NULL;
	int r = verify_text(v, path, &text, err);

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; r == 0 && l;
	     l = strtok_r(NULL, "\n", &save)) {
		const char *value;

		l += strspn(l, " \t");
		if (strncasecmp(l, "PermitEmptyPasswords", 20) != 0)
			continue;
		value = l + 20 + strspn(l + 20, " \t=");
		if (strncasecmp(value, "yes", 3) == 0)
			r = verify_found(v, path, "empty passwords may log in");
	}
	return r;
}

int verify_sshd_config(struct verify *v, struct err *err)
{
	int r = verify_each(v, "/etc/ssh/sshd_config", check_sshd, err);

	return r == 0 ? verify_each(v, "/etc/ssh/sshd_config.d/*.conf", check_sshd, err) : r;
}

int verify_fstab(struct verify *v, struct err *err)
{
	int r = lines_with(v, "/etc/fstab", "/dev/loop", "names a device of the builder", err);

	return r == 0 ? lines_with(v, "/etc/fstab", "/dev/nbd", "names a device of the builder",
				   err)
		      : r;
}

static int check_tokens(struct verify *v, const char *path, const struct ext4_stat *st,
			struct err *err)
{
	static const char *const words[] = {"_authToken", "_password", "_auth=", "npmAuthToken",
					    "npmAuthIdent"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++)
		r = lines_with(v, path, words[i], "a registry token", err);
	return r;
}

int verify_package_tokens(struct verify *v, struct err *err)
{
	int r = verify_each(v, "~/.npmrc", check_tokens, err);

	if (r == 0)
		r = verify_each(v, "~/.yarnrc.yml", check_tokens, err);
	return r == 0 ? verify_each(v, "/etc/npmrc", check_tokens, err) : r;
}

int verify_iscsi_name(struct verify *v, struct err *err)
{
	return lines_with(v, "/etc/iscsi/initiatorname.iscsi", "InitiatorName=iqn",
			  "an initiator name that every machine would share", err);
}

static bool there(struct verify *v, const char *path)
{
	struct ext4_stat st;

	return ext4_lookup(v->fs, path, &st, NULL) == 0;
}

int verify_host_key_source(struct verify *v, struct err *err)
{
	if (!there(v, "/usr/sbin/sshd") || !there(v, "/lib/systemd/systemd") ||
	    there(v, "/usr/bin/cloud-init") ||
	    there(v, "/etc/systemd/system/multi-user.target.wants/ssh-host-keys.service"))
		return 0;
	return verify_found(v, "/usr/sbin/sshd", "nothing makes host keys at the first boot");
}
