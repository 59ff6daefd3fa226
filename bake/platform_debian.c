/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian's tree, by mmdebstrap: packages are fetched, verified and configured there; its tar and
 * what its hooks leave beside it is all that is used here.
 */
#include <sys/stat.h>

#include "bake/platform_internal.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

/* What a cloud image needs to boot with Secure Boot or a BIOS, be configured, reached and driven.
 */
static const char *const packages[] = {
	"ca-certificates",
	"cloud-guest-utils",
	"cloud-init",
	"dbus",
	"dosfstools",
	"e2fsprogs",
	"grub-efi-amd64-signed",
	"grub-pc-bin",
	"ifupdown",
	"iproute2",
	"isc-dhcp-client",
	"less",
	"libpam-systemd",
	"linux-image-cloud-amd64",
	"locales",
	"netbase",
	"openssh-server",
	"procps",
	"qemu-guest-agent",
	"shim-signed",
	"sudo",
	"systemd-sysv",
	"systemd-timesyncd",
	"tzdata",
	"udev",
	"zstd",
};

/*
 * The initramfs holds the disk drivers of the known hypervisors (NVMe and ext4 are built in), a
 * third of what it would be: quicker to load, and to make again when a kernel is installed.
 * Hooks run by sh with the tree as $1; KILN_OUT is the scratch directory. The core image reads
 * its configuration from the third partition of the disk that it was started from, so it finds
 * its own disk even if another with the same file system is attached.
 */
static const char hook_setup[] =
	"mkdir -p \"$1/etc/initramfs-tools/conf.d\" \"$1/usr/share/initramfs-tools/modules.d\" && "
	"echo MODULES=list > \"$1/etc/initramfs-tools/conf.d/modules\" && "
	"printf '%s\\n' virtio_pci virtio_blk virtio_scsi sd_mod ata_piix ata_generic hv_vmbus "
	"hv_storvsc xen-blkfront vmw_pvscsi > \"$1/usr/share/initramfs-tools/modules.d/disks\"";
static const char hook_grub[] = "chroot \"$1\" dpkg-divert --local --quiet --rename --divert "
				"/usr/sbin/update-grub.distrib --add /usr/sbin/update-grub";
static const char hook_core[] =
	"chroot \"$1\" grub-mkimage -O i386-pc -o /tmp/core.img -p '(,gpt3)/boot/grub' "
	"part_gpt part_msdos biosdisk ext2 fat normal configfile linux linux16 chain search "
	"search_fs_uuid search_label search_fs_file echo test true ls cat minicmd serial terminal "
	"gzio sleep reboot halt regexp loadenv && "
	"cp \"$1/tmp/core.img\" \"$1/usr/lib/grub/i386-pc/boot.img\" \"$KILN_OUT/\"";
static const char hook_packages[] =
	"chroot \"$1\" dpkg-query -W -f '${Package}:${Architecture}=${Version}\\n' "
	"> \"$KILN_OUT/packages\"";
static const char *const hooks[][2] = {
	{"--essential-hook=", hook_setup},
	{"--customize-hook=", hook_grub},
	{"--customize-hook=", hook_core},
	{"--customize-hook=", hook_packages},
};

int debian_recipe(struct buf *out)
{
	(void) buf_addf(out, "debian %s 1\n", DEBIAN_SUITE);
	for (size_t k = 0; k < ARRAY_SIZE(packages); k++)
		(void) buf_addf(out, "package %s\n", packages[k]);
	for (size_t k = 0; k < ARRAY_SIZE(hooks); k++)
		(void) buf_addf(out, "%s%s\n", hooks[k][0], hooks[k][1]);
	(void) buf_addf(out, "disk %llu\n", PLATFORM_DISK_BYTES);
	return platform_files_recipe(out);
}

/* --- running mmdebstrap --- */

struct out {
	const struct event_sink *events;
	struct buf tail; /* what a failure shows */
};

/* Maintainer scripts print what they like: control characters do not get to a terminal. */
static char *plain_line(const char *line, size_t n)
{
	const char *cr = memrchr(line, '\r', n);
	char *text;

	if (cr) {
		n -= (size_t) (cr + 1 - line);
		line = cr + 1;
	}
	text = strndup(line, n);
	for (char *p = text; p && *p; p++)
		if (((unsigned char) *p < 0x20 && *p != '\t') || *p == 0x7f)
			*p = '?';
	return text;
}

static void on_line(void *arg, enum proc_stream stream, const char *line, size_t n)
{
	struct out *o = arg;
	auto_free char *text = plain_line(line, n);

	if (!text || str_starts(text, "I: running --")) /* a hook's whole text */
		return;
	/* json_pack gives no event for what is not UTF-8. */
	event_emit(o->events, json_pack("{s:s, s:s, s:s}", "type", "output", "stream",
					stream == PROC_STDOUT ? "stdout" : "stderr", "line", text));
	if (o->tail.len + strlen(text) + 2 > o->tail.max)
		buf_clear(&o->tail);
	(void) buf_addf(&o->tail, "%s\n", text);
}

static int write_text(const char *dir, const char *name, const struct buf *b, char **ret_path,
		      struct err *err)
{
	char *path = path_join(dir, name);
	int r = path ? file_write_atomic(path, buf_str(b), b->len, 0600, err)
		     : err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		free(path);
	else
		*ret_path = path;
	return r;
}

/* The files that mmdebstrap reads: entries with their credentials, and the host's proxies. */
static int write_inputs(const struct platform_work *w, char **ret_list, char **ret_conf,
			struct err *err)
{
	auto_buf struct buf list = BUF_INIT(1u << 20), conf = BUF_INIT(1u << 20);
	int r = apt_sources_lines(w->sources, w->dir, &list, err);

	if (r == 0)
		r = apt_host_options(w->env->cancel, &conf, err);
	if (r == 0)
		r = write_text(w->dir, "sources.list", &list, ret_list, err);
	if (r == 0)
		r = write_text(w->dir, "apt.conf", &conf, ret_conf, err);
	return r;
}

static int push_f(char ***v, char *s)
{
	int r = s ? strv_push(v, s) : -ENOMEM;

	free(s);
	return r;
}

static int make_argv(const char *program, const char *tar, const char *list, const char *conf,
		     char ***argv)
{
	auto_buf struct buf include = BUF_INIT(1u << 16);
	int r;

	for (size_t k = 0; k < ARRAY_SIZE(packages); k++)
		(void) buf_addf(&include, "%s%s", k ? "," : "", packages[k]);
	r = buf_err(&include);
	if (r == 0)
		r = strv_push(argv, program);
	if (r == 0)
		r = strv_push(argv, "--mode=root");
	if (r == 0)
		r = strv_push(argv, "--variant=minbase");
	if (r == 0)
		r = strv_push(argv, "--format=tar");
	if (r == 0)
		r = strv_push(argv, "--architectures=amd64");
	if (r == 0)
		r = push_f(argv, strf("--include=%s", buf_str(&include)));
	if (r == 0)
		r = push_f(argv, strf("--aptopt=%s", conf));
	for (size_t k = 0; r == 0 && k < ARRAY_SIZE(hooks); k++)
		r = push_f(argv, strf("%s%s", hooks[k][0], hooks[k][1]));
	if (r == 0)
		r = strv_push(argv, DEBIAN_SUITE);
	if (r == 0)
		r = strv_push(argv, tar);
	return r == 0 ? strv_push(argv, list) : r;
}

static int make_envp(const struct platform_work *w, char ***envp)
{
	static const char *const passed[] = {"http_proxy", "https_proxy", "no_proxy"};
	int r = strv_push(envp, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");

	if (r == 0)
		r = strv_push(envp, "LANG=C.UTF-8");
	if (r == 0)
		r = strv_push(envp, "DEBIAN_FRONTEND=noninteractive");
	if (r == 0)
		r = push_f(envp, strf("TMPDIR=%s", w->dir));
	if (r == 0)
		r = push_f(envp, strf("KILN_OUT=%s", w->dir));
	if (r == 0)
		r = push_f(envp, strf("SOURCE_DATE_EPOCH=%lld", (long long) w->date_s));
	for (size_t k = 0; r == 0 && k < ARRAY_SIZE(passed); k++) {
		const char *v = getenv(passed[k]);

		if (v)
			r = push_f(envp, strf("%s=%s", passed[k], v));
	}
	return r;
}

static int run_mmdebstrap(const struct platform_work *w, const char *tar, struct err *err)
{
	auto_free char *program = NULL, *list = NULL, *conf = NULL;
	auto_strv char **argv = NULL, **envp = NULL;
	struct out out = {.events = w->env->events, .tail = BUF_INIT(4096)};
	struct proc_spec spec = {
		.timeout_ms = 60ull * 60 * 1000,
		.cancel = w->env->cancel,
		.line = on_line,
		.line_arg = &out,
	};
	struct proc_result res;
	int r = proc_find("mmdebstrap", "mmdebstrap", &program, err);

	if (r == 0)
		r = write_inputs(w, &list, &conf, err);
	if (r < 0)
		return r;
	r = make_argv(program, tar, list, conf, &argv);
	if (r == 0)
		r = make_envp(w, &envp);
	if (r < 0)
		return err_set(err, r, "mmdebstrap: out of memory");
	spec.argv = (const char *const *) argv;
	spec.envp = (const char *const *) envp;
	r = proc_run(&spec, &res, err);
	if (r < 0)
		(void) err_ctx(err, r, "mmdebstrap");
	else if (res.exit_code != 0) {
		r = err_set(err, -EIO, "mmdebstrap: exit status %d: %s", res.exit_code,
			    buf_str(&out.tail));
		err_hint(err, "Check the APT entries and the network; `apt-get update` shows the "
			      "same errors.");
	}
	buf_done(&out.tail);
	return r;
}

/* --- what it left --- */

static int read_packages(struct platform_work *w, struct err *err)
{
	auto_free char *path = path_join(w->dir, "packages");
	auto_buf struct buf b = BUF_INIT(1u << 20);
	auto_json json_t *ret = json_object();
	char *line, *rest;
	int r = path && ret ? file_read_all(path, &b, err) : err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	for (line = strtok_r(b.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *eq = strchr(line, '='), *colon = strchr(line, ':');

		if (!eq || !colon || colon > eq)
			return err_set(err, -EBADMSG, "packages: unexpected line '%s'", line);
		*eq = *colon = '\0';
		if (json_object_set_new(ret, line, json_string(eq + 1)) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	if (json_object_size(ret) == 0)
		return err_set(err, -EBADMSG, "packages: none were installed");
	w->packages = take_ptr(ret);
	return 0;
}

static int read_blob(const char *dir, const char *name, uint8_t **ret, size_t *ret_n,
		     struct err *err)
{
	auto_free char *path = path_join(dir, name);
	auto_buf struct buf b = BUF_INIT(1u << 20);
	int r = path ? file_read_all(path, &b, err) : err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	*ret_n = b.len;
	*ret = (uint8_t *) buf_take(&b);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int debian_tree(struct platform_work *w, struct err *err)
{
	auto_free char *tar = path_join(w->dir, "tree.tar");
	int r = tar ? run_mmdebstrap(w, tar, err) : err_set(err, -ENOMEM, "out of memory");

	if (r == 0)
		r = read_packages(w, err);
	if (r == 0)
		r = read_blob(w->dir, "boot.img", &w->boot_img, &w->boot_n, err);
	if (r == 0)
		r = read_blob(w->dir, "core.img", &w->core_img, &w->core_n, err);
	if (r == 0)
		r = fstree_new(&w->tree);
	if (r == 0)
		r = fstree_add_tar(w->tree, tar, w->env->cancel, err);
	return r;
}
