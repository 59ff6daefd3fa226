/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is KVM usable? That /dev/kvm opens proves nothing: guests may hang at their first instruction or
 * QEMU may abort. So a boot sector of ten bytes runs under it and must end QEMU by itself.
 */
#include "vm/internal.h"

#include <sys/mman.h>

#include "base/file.h"
#include "base/mem.h"

#define PROBE_MS     3000
#define PROBE_STATUS 33 /* isa-debug-exit: (0x10 << 1) | 1 */

static const uint8_t boot_code[] = {
	0xba, 0xf4, 0x00, /* mov dx, 0xf4 */
	0xb0, 0x10,       /* mov al, 0x10 */
	0xee,             /* out dx, al */
	0xf4,             /* hlt */
	0xeb, 0xfd,       /* jmp to the hlt */
};

static int run_probe(const char *qemu, int sector_fd, bool *ret, struct err *err)
{
	auto_free char *add_fd = strf("fd=%d,set=1", sector_fd);
	const char *const argv[] = {qemu,
				    "-accel",
				    "kvm",
				    "-M",
				    "pc",
				    "-m",
				    "16",
				    "-display",
				    "none",
				    "-nodefaults",
				    "-no-user-config",
				    "-no-reboot",
				    "-device",
				    "isa-debug-exit,iobase=0xf4,iosize=4",
				    "-add-fd",
				    add_fd,
				    "-drive",
				    "if=ide,format=raw,file=/dev/fdset/1",
				    NULL};
	struct proc_spec spec = {.argv = argv,
				 .stdin_fd = -1,
				 .keep_fds = &sector_fd,
				 .n_keep_fds = 1,
				 .timeout_ms = PROBE_MS,
				 .grace_ms = 500};
	struct proc_result res = {0};
	int r;

	if (!add_fd)
		return -ENOMEM;
	r = proc_run(&spec, &res, err);
	*ret = r == 0 && res.exit_code == PROBE_STATUS;
	return r == -ETIME ? 0 : r;
}

static bool probe(void)
{
	uint8_t sector[512] = {0};
	auto_fd int fd = -1;
	auto_free char *qemu = NULL;
	bool usable = false;

	if (access("/dev/kvm", R_OK | W_OK) < 0 ||
	    proc_find("qemu-system-x86_64", "qemu-system-x86", &qemu, NULL) < 0)
		return false;
	memcpy(sector, boot_code, sizeof(boot_code));
	sector[510] = 0x55;
	sector[511] = 0xaa;
	fd = memfd_create("kiln-kvm-probe", MFD_CLOEXEC);
	if (fd < 0 || file_pwrite_full(fd, sector, sizeof(sector), 0) < 0)
		return false;
	(void) run_probe(qemu, fd, &usable, NULL);
	return usable;
}

static int boot_id(struct buf *out)
{
	return file_read_all("/proc/sys/kernel/random/boot_id", out, NULL);
}

bool vm_kvm_usable(const char *cache_dir)
{
	auto_free char *path = path_join(cache_dir, "kvm");
	auto_buf struct buf id = BUF_INIT(64), known = BUF_INIT(128);
	bool usable;

	if (!path || boot_id(&id) < 0)
		return false;
	if (file_read_all(path, &known, NULL) == 0 && str_starts(buf_str(&known), buf_str(&id)))
		return str_eq(buf_str(&known) + id.len, "usable\n");
	usable = probe();
	buf_addstr(&id, usable ? "usable\n" : "unusable\n");
	if (buf_err(&id) == 0)
		(void) file_write_atomic(path, id.data, id.len, 0600, NULL);
	return usable;
}
