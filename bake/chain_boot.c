/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot programs on the EFI system partition are copies of the image's own packages' files, made
 * when the platform image was. A step that upgrades shim or GRUB changes the packages' files only;
 * here the copies follow.
 */
#include <fcntl.h>

#include "bake/chain_internal.h"
#include "bake/platform_boot.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

#define BOOT_FILE_MAX (16u << 20)
#define TOOL_MS       60000

static int read_root(const struct chain *c, const char *path, struct buf *out, struct err *err)
{
	auto_free char *absolute = strf("/%s", path);
	auto_fd int fd = absolute
				 ? file_open_in_root(c->root_fd, absolute, O_RDONLY | O_NONBLOCK, 0)
				 : -ENOMEM;
	int r = fd < 0 ? fd : file_read_fd(fd, out);

	return r == 0 || r == -ENOENT ? r : err_set(err, r, "%s: %s", absolute, strerror(-r));
}

/* mtools works on the disk through the descriptor that it inherits. */
static int tool(struct chain *c, const char *program, const char *const *args, int more_fd,
		struct proc_spec *p, struct proc_result *res, struct err *err)
{
	static const char *const envp[] = {"MTOOLS_SKIP_CHECK=1", "MTOOLSRC=/dev/null", NULL};
	auto_free char *path = NULL;
	auto_free char *image =
		strf("/proc/self/fd/%d@@%llu", c->disk_fd, (unsigned long long) c->esp_offset);
	const int fds[] = {c->disk_fd, more_fd};
	const char *argv[8] = {NULL, "-i", image};
	size_t n = 3;
	int r = proc_find(program, "mtools", &path, err);

	if (r < 0)
		return r;
	if (!image)
		return err_set(err, -ENOMEM, "boot files");
	argv[0] = path;
	for (; *args; args++)
		argv[n++] = *args;
	p->argv = argv;
	p->envp = envp;
	p->keep_fds = fds;
	p->n_keep_fds = more_fd >= 0 ? 2 : 1;
	p->cancel = c->cancel;
	p->timeout_ms = TOOL_MS;
	return proc_run(p, res, err);
}

/* Is @want what the partition has at @to? Return: 1 yes or not there at all, 0 no. */
static int current(struct chain *c, const char *to, const struct buf *want, struct err *err)
{
	auto_free char *name = strf("::/%s", to);
	const char *const args[] = {name, NULL};
	auto_buf struct buf have = BUF_INIT(BOOT_FILE_MAX);
	struct proc_spec p = {.out = &have, .max_output = BOOT_FILE_MAX};
	struct proc_result res = {0};
	int r = name ? tool(c, "mtype", args, -1, &p, &res, err) : -ENOMEM;

	if (r < 0)
		return r;
	if (res.exit_code != 0)
		return 1; /* not an image that has copies */
	return have.len == want->len && memcmp(have.data, want->data, want->len) == 0;
}

static int replace(struct chain *c, const char *from, const char *to, struct err *err)
{
	auto_free char *absolute = strf("/%s", from), *name = strf("::/%s", to);
	auto_fd int fd = absolute
				 ? file_open_in_root(c->root_fd, absolute, O_RDONLY | O_NONBLOCK, 0)
				 : -ENOMEM;
	auto_free char *source = strf("/proc/self/fd/%d", fd);
	const char *const args[] = {"-o", "-n", source, name, NULL};
	auto_buf struct buf why = BUF_INIT(4096);
	struct proc_spec p = {.errout = &why};
	struct proc_result res = {0};
	int r = fd < 0 ? fd : 0;

	if (r < 0 || !source || !name)
		return err_set(err, r < 0 ? r : -ENOMEM, "%s", from);
	r = tool(c, "mcopy", args, fd, &p, &res, err);
	if (r == 0 && res.exit_code != 0)
		r = err_set(err, -EIO, "EFI system partition: %s: %s", to, buf_str(&why));
	return r;
}

int chain_refresh_boot(struct chain *c, unsigned *ret_changed, struct err *err)
{
	*ret_changed = 0;
	if (c->esp_offset == 0)
		return 0;
	for (const struct platform_boot_file *f = platform_boot_files; f->from; f++) {
		auto_buf struct buf want = BUF_INIT(BOOT_FILE_MAX);
		int r = read_root(c, f->from, &want, err);

		if (r == -ENOENT)
			continue; /* removed, or never there */
		if (r == 0)
			r = current(c, f->to, &want, err);
		if (r == 0) {
			r = replace(c, f->from, f->to, err);
			++*ret_changed;
		}
		if (r < 0)
			return err_ctx(err, r, "boot files");
	}
	return 0;
}
