/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a disk: libvirt's embedded driver in a process of its own (role `vmhost`, the sole
 * opener of RUN/libvirt), spoken to over a Unix socket; qemu-guest-agent; KVM only after a real
 * probe guest ran under it. There is one launcher and one agent client: `kiln run`, validators and
 * the vm executor all use these.
 */
#ifndef KILN_VM_VM_H
#define KILN_VM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/event.h"
#include "base/journal.h"
#include "base/proc.h"

struct vm_host; /* a connection to the vmhost process; started when absent */
struct vm;      /* one guest */

/** vm_host_open() - connect to RUN/vmhost.sock, starting `kiln vmhost` when nobody answers. The
 *  process ends by itself when its last client left and no guest runs. */
int vm_host_open(const char *run_dir, struct journal *j, struct vm_host **ret, struct err *err);
void vm_host_close(struct vm_host *h);
/** vm_host_main() - the role itself: `kiln vmhost --run DIR`. Return: exit status. */
int vm_host_main(const char *run_dir);
/** vm_confine_main() - `kiln vmhost --confine PARENT UID PROGRAM [ARG..]`: become UID, die with the
 *  thread of process PARENT that started this, run PROGRAM. Return: exit status of a failure. */
int vm_confine_main(const char *parent, const char *user, char *const argv[]);
/** vm_forward_main() - `kiln vmhost --forward SOCKET`: standard input and output joined to a Unix
 *  socket; QEMU runs it for each connection to the proxy. Return: exit status. */
int vm_forward_main(const char *socket);

/** vm_kvm_usable() - true only when a probe guest ran; cached in @cache_dir per host boot. */
bool vm_kvm_usable(const char *cache_dir);

enum vm_firmware { VM_BIOS, VM_UEFI };

/* A further disk of a guest, over an export of the same server. */
struct vm_disk {
	const char *overlay, *nbd_export;
	unsigned lun; /* 0..63; the guest sees it as serial "lunN" */
};

struct vm_spec {
	const char *name; /* <= 12 characters, unique on the host */
	const char *uuid; /* of the machine, as the guest sees it; NULL = a new one each time */
	enum vm_firmware firmware;
	bool secure_boot;       /* UEFI only: Microsoft's keys enrolled */
	const char *nvram;      /* UEFI only: file that keeps its variables (vm_nvram_create()), or
				   NULL = those of a new machine, thrown away */
	const char *tpm_dir;    /* state of its TPM (vm_tpm_make()), or NULL = none; from then on it
				   belongs to the guest's uid */
	const char *tpm_key;    /* 64 hex digits */
	unsigned cpus;          /* 0 = 1 under emulation, 2 under KVM */
	unsigned memory_mib;    /* 0 = 1024 */
	const char *overlay;    /* qcow2 overlay file that takes the guest's writes */
	bool durable;           /* the overlay outlives the guest: its flushes reach the disk */
	const char *nbd_socket; /* backing: NBD export on this Unix socket... */
	const char *nbd_export; /* ...with this name */
	unsigned reconnect_s;   /* reads wait so long for another server when it ends; 0 = fail */
	const struct vm_disk *data; /* further disks, or NULL */
	size_t n_data;
	const char *seed;        /* read-only second disk (NoCloud), or NULL */
	const char *console_log; /* file for the serial console */
	bool network;            /* user-mode networking; false = no network card */
	bool isolated;           /* network: DHCP and forwards only, nothing outwards; note that an
				    open network also reaches the host's loopback as 10.0.2.2 */
	const char *const *forwards; /* "tcp:127.0.0.1:2222-:22" ..., NULL-terminated, or NULL */
	const char *http_proxy_sock; /* network: nothing outwards but this HTTP proxy (Unix socket),
					which the guest sees at VM_PROXY; or NULL */
	bool windows;                /* how vm_exec() and files speak to the agent */
};

#define VM_PROXY "10.0.2.100:3128"

/** vm_overlay_create() - qcow2 overlay of 64 KiB clusters over the export; @size_bytes 0 = as large
 *  as the export. @nbd_socket NULL = over nothing: for vm_snapshot(), which says what lies below
 * it. @nbd_export NULL = the server's default. Journalled by the caller. */
int vm_overlay_create(const char *path, const char *nbd_socket, const char *nbd_export,
		      uint64_t size_bytes, struct err *err);

/** vm_seed_create() - NoCloud seed disk image (label CIDATA) at @path. @user_data NULL = a minimal
 *  "#cloud-config" that leaves the locale alone; @network_config NULL = none. */
int vm_seed_create(const char *path, const char *instance_id, const char *hostname,
		   const char *user_data, const char *network_config, struct err *err);

/** vm_nvram_create() - UEFI variables of a new machine: with Microsoft's keys enrolled when
 *  @secure_boot, else in setup mode. */
int vm_nvram_create(const char *path, bool secure_boot, struct err *err);

/** vm_start() - define and start; returns once QEMU runs, journalled as a process. The guest lives
 *  as long as @ret: the end of this process, however it comes, ends the guest. Its files belong to
 *  QEMU's uid meanwhile, under names of their own: their directories may be closed to it; the NBD
 *  socket must be reachable by any uid. One thread at a time uses a struct vm. */
int vm_start(struct vm_host *h, const struct vm_spec *spec, struct vm **ret, struct err *err);
/** vm_wait_agent() - until the guest agent answers a ping. -ETIME after @timeout_ms with the last
 *  console lines in @err; -ECHILD when the guest ended. Stages ("firmware", "bootloader", "kernel",
 *  "init", "agent"; what the console shows) with seconds since start are emitted as events
 *  {"type":"vm.stage","vm","stage","seconds"}. */
int vm_wait_agent(struct vm *vm, uint64_t timeout_ms, struct cancel *cancel,
		  const struct event_sink *ev, struct err *err);

struct vm_exec {
	const char *const *argv; /* argv[0] absolute in the guest */
	const char *const *envp; /* NULL = the agent's */
	const char *input;       /* or NULL */
	uint64_t timeout_ms;     /* 0 = 10 minutes; expiry kills the command, not the guest */
	struct cancel *cancel;
	proc_line_fn *line; /* output lines as they are known; or NULL */
	void *line_arg;
	struct buf *out; /* or NULL */
};
/** vm_exec() - run a command through the agent. Output (standard output and error in one, in order)
 *  is streamed by reading a file that the command writes in the guest's /run. On
 *  Windows the agent hands it over at the end, and @argv[0] is a Windows path. Return 0 when it ran
 *  (see @ret), -ETIME, -ECHILD (the guest ended), the cancel reason, or another -errno. */
int vm_exec(struct vm *vm, const struct vm_exec *x, struct proc_result *ret, struct err *err);
/** vm_put_file() / vm_get_file() - through the agent, 1 MiB pieces; about 1 MiB/s under emulation.
 *  @local must not exist for vm_get_file(). */
int vm_put_file(struct vm *vm, const char *local, const char *guest, unsigned mode,
		struct err *err);
int vm_get_file(struct vm *vm, const char *guest, const char *local, struct err *err);
/** vm_put_fd() / vm_get_fd() - the same from and into an open regular file. On Windows there are no
 *  modes. */
int vm_put_fd(struct vm *vm, int fd, const char *guest, unsigned mode, struct err *err);
int vm_get_fd(struct vm *vm, const char *guest, int fd, struct err *err);

/** vm_ended() - did the guest end, as far as is known without asking? */
bool vm_ended(const struct vm *vm);
/** vm_wait_end() - until the guest ends by itself. Return: 0, -ETIME after @timeout_ms (0 = never),
 * or the cancel reason. */
int vm_wait_end(struct vm *vm, uint64_t timeout_ms, struct cancel *cancel, struct err *err);
/** vm_restart() - run @argv, which makes the guest restart, and wait until the agent was gone and
 *  answers again. @argv NULL = the system's own way. Return: 0, -ETIME after @timeout_ms, -ECHILD
 *  (the guest ended instead), the cancel reason, or another -errno. */
int vm_restart(struct vm *vm, const char *const *argv, uint64_t timeout_ms, struct cancel *cancel,
	       struct err *err);
/** vm_snapshot() - trim, freeze the guest's file systems, put @overlay (made for it) on top of the
 *  disk, thaw. The file below has all that was written so far and is written no more. After an
 *  error the state of the disk is not known: stop the guest. */
int vm_snapshot(struct vm *vm, const char *overlay, struct cancel *cancel, struct err *err);

/** vm_stop() - agent shutdown, then power off after @grace_ms (0 = at once); removes everything
 * that vm_start() made; frees @vm in any case. NULL is fine. */
int vm_stop(struct vm *vm, uint64_t grace_ms, struct err *err);

#endif
