/* SPDX-License-Identifier: Apache-2.0 */
/* The disks a guest boots with: an overlay over an export, and a cloud-init seed. */
#include "vm/internal.h"

#include <ctype.h>
#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"

#define NVRAM_MAX      (4u << 20)
#define SEED_MIN_BYTES (1u << 20)
#define SEED_TEXT_MAX  (1u << 20) /* of one document */
/* The locale stays the image's: else cloud-init makes one of its own, and fails where it cannot. */
#define DEFAULT_USER_DATA "#cloud-config\nlocale: false\n"
#define HOSTNAME_MAX      253

/* Percent-encoding of everything but what may stand anywhere in a URI. */
static void uri_escape(struct buf *b, const char *s)
{
	for (; *s; s++)
		if (isalnum((unsigned char) *s) || strchr("-._~/", *s))
			buf_addch(b, *s);
		else
			buf_addf(b, "%%%02X", (unsigned char) *s);
}

int vm_overlay_create(const char *path, const char *nbd_socket, const char *nbd_export,
		      uint64_t size_bytes, struct err *err)
{
	auto_buf struct buf uri = BUF_INIT(65536);
	auto_free char *tool = NULL, *size = NULL;
	const char *argv[14];
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1, .timeout_ms = 60000};
	size_t n = 0;
	int r = proc_find("qemu-img", "qemu-utils", &tool, err);

	if (r < 0)
		return r;
	if (size_bytes % 512 != 0)
		return err_set(err, -EINVAL, "overlay %s: size is no multiple of 512", path);
	buf_addstr(&uri, "nbd+unix:///");
	uri_escape(&uri, nbd_export ? nbd_export : "");
	buf_addstr(&uri, "?socket=");
	uri_escape(&uri, nbd_socket ? nbd_socket : "");
	size = strf("%llu", (unsigned long long) size_bytes);
	if (buf_err(&uri) < 0 || !size)
		return err_set(err, -ENOMEM, "out of memory");
	argv[n++] = tool;
	argv[n++] = "create";
	argv[n++] = "-q";
	argv[n++] = "-f";
	argv[n++] = "qcow2";
	argv[n++] = "-o";
	argv[n++] = "cluster_size=64k";
	if (nbd_socket) {
		argv[n++] = "-F";
		argv[n++] = "raw";
		argv[n++] = "-b";
		argv[n++] = buf_str(&uri);
	}
	argv[n++] = path;
	if (size_bytes)
		argv[n++] = size;
	argv[n] = NULL;
	r = proc_check(&spec, err);
	if (r == 0 && chmod(path, 0600) < 0)
		r = err_set(err, -errno, "chmod: %s", strerrordesc_np(errno));
	return r < 0 ? err_ctx(err, r, "overlay %s", path) : 0;
}

int vm_nvram_create(const char *path, bool secure_boot, struct err *err)
{
	const char *from = secure_boot ? VM_NVRAM_SECURE : VM_NVRAM;
	auto_buf struct buf b = BUF_INIT(NVRAM_MAX);
	int r = file_read_all(from, &b, err);

	if (r == -ENOENT)
		err_hint(err, "install ovmf");
	if (r == 0)
		r = file_write_atomic(path, b.data, b.len, 0600, err);
	return r < 0 ? err_ctx(err, r, "UEFI variables") : 0;
}

static int check_hostname(const char *name, struct err *err)
{
	size_t n = strlen(name);

	if (n == 0 || n > HOSTNAME_MAX)
		return err_set(err, -EINVAL, "host name: expected 1 to %d characters",
			       HOSTNAME_MAX);
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char) name[i]) && !(i > 0 && strchr("-.", name[i])))
			return err_set(err, -EINVAL,
				       "host name \"%s\": letters, digits, hyphens, dots only",
				       name);
	return 0;
}

static int make_file(const char *path, uint64_t bytes, struct err *err)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t) bytes) < 0)
		return err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	return 0;
}

static int format(const char *path, struct err *err)
{
	auto_free char *tool = NULL;
	int r = proc_find("mkfs.vfat", "dosfstools", &tool, err);
	const char *const argv[] = {tool, "-n", "CIDATA", "--", path, NULL};
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1, .timeout_ms = 60000};

	return r < 0 ? r : proc_check(&spec, err);
}

static int add(const char *path, const char *name, const char *text, struct err *err)
{
	auto_free char *tool = NULL, *dest = strf("::/%s", name);
	int r = proc_find("mcopy", "mtools", &tool, err);
	const char *const argv[] = {tool, "-i", path, "-", dest, NULL};
	const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
				    "MTOOLS_SKIP_CHECK=1", "MTOOLSRC=/dev/null", NULL};
	struct proc_spec spec = {.argv = argv,
				 .envp = envp,
				 .stdin_fd = -1,
				 .input = text,
				 .input_bytes = strlen(text),
				 .timeout_ms = 60000};

	if (r < 0)
		return r;
	return dest ? proc_check(&spec, err) : -ENOMEM;
}

int vm_seed_create(const char *path, const char *instance_id, const char *hostname,
		   const char *user_data, const char *network_config, struct err *err)
{
	auto_json json_t *meta =
		json_pack("{s:s, s:s}", "instance-id", instance_id, "local-hostname", hostname);
	auto_free char *meta_text = meta ? json_compact(meta) : NULL; /* JSON is YAML */
	const char *const docs[][2] = {{"meta-data", meta_text},
				       {"user-data", user_data ? user_data : DEFAULT_USER_DATA},
				       {"network-config", network_config}};
	uint64_t bytes = SEED_MIN_BYTES;
	int r = check_hostname(hostname, err);

	if (r < 0)
		return r;
	if (!meta_text)
		return err_set(err, -EINVAL, "seed: the instance id is not UTF-8");
	for (size_t i = 0; i < ARRAY_SIZE(docs); i++) {
		size_t n = docs[i][1] ? strlen(docs[i][1]) : 0;

		if (n > SEED_TEXT_MAX)
			return err_set(err, -EFBIG, "seed: %s is longer than %u bytes", docs[i][0],
				       SEED_TEXT_MAX);
		bytes += (n + 65535) / 65536 * 65536;
	}
	r = make_file(path, bytes, err);
	if (r == 0)
		r = format(path, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(docs); i++)
		if (docs[i][1])
			r = add(path, docs[i][0], docs[i][1], err);
	if (r < 0) {
		(void) unlink(path);
		return err_ctx(err, r, "seed %s", path);
	}
	return 0;
}
