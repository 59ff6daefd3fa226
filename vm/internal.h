/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of vm/ share. Client and vmhost speak lines of JSON over RUN/vmhost.sock:
 *
 *	{"id":7,"op":"agent","command":{..},"timeout":20}  ->  {"id":7,"ok":{..}}
 *							       {"id":7,"error":{"code":-5,"message":".."}}
 *	{"event":"stage","stage":"kernel","seconds":9.6}   (at any time, host to client)
 *
 * One connection owns at most one guest; when it closes, the guest is destroyed.
 */
#ifndef KILN_VM_INTERNAL_H
#define KILN_VM_INTERNAL_H

#include <pthread.h>

#include "base/json.h"
#include "base/timeutil.h"
#include "vm/vm.h"

#define VM_NAME_MAX    12
#define VM_SOCKET_MAX  107            /* bytes of a Unix socket's path, without the NUL */
#define VM_WIRE_MAX    JSON_MAX_BYTES /* one line */
#define VM_CONSOLE_MAX (16u << 20)    /* bytes of a guest's console that are kept */
/* OVMF, for guests whose variables are kept; others get what libvirt picks, which is the same. */
#define VM_FIRMWARE        "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define VM_FIRMWARE_SECURE "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
#define VM_NVRAM           "/usr/share/OVMF/OVMF_VARS_4M.fd"
#define VM_NVRAM_SECURE    "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
#define VM_DISKS_MAX       64 /* besides the first */
#define VM_TAIL_LINES      12 /* console lines in an error */

/* Environment of a vmhost process: descriptors it inherits from the client that starts it. */
#define VM_ENV_LOCK  "KILN_VMHOST_LOCK"  /* the held lock on RUN/vmhost.lock */
#define VM_ENV_READY "KILN_VMHOST_READY" /* pipe: one line {"pid":N} or {"error":{..}} */

static inline int64_t vm_deadline(uint64_t timeout_ms)
{
	return time_mono_ns() + (int64_t) timeout_ms * 1000000;
}

/** vm_seconds_since() - to the millisecond: nobody reads more digits. */
static inline double vm_seconds_since(int64_t start_ns)
{
	return (double) ((time_mono_ns() - start_ns + 500000) / 1000000) / 1000;
}

/* wire.c: one end of a connection. Sending is locked by the caller. */
struct wire {
	int fd; /* -1 = closed */
	struct buf in;
	size_t scanned; /* bytes of @in known to hold no newline */
};
void wire_init(struct wire *w, int fd);
void wire_done(struct wire *w);
/** wire_send() - one message; @now: do not wait for room, -EAGAIN then (the line may be cut: give
 *  the connection up). Return: 0 or -errno. */
int wire_send(int fd, const json_t *msg, bool now);
/** wire_next() - a whole message that was already read. Return: 1, 0 (none yet) or -errno. */
int wire_next(struct wire *w, json_t **ret, struct err *err);
/** wire_fill() - read what is there. Return: 1, 0 when nothing is, -ECONNRESET at the end. */
int wire_fill(struct wire *w);
/** wire_recv() - the next message. Return: 0, -ETIME at @deadline_ns (monotonic; 0 = none), the
 *  cancel reason, -ECONNRESET, or another -errno. */
int wire_recv(struct wire *w, int64_t deadline_ns, struct cancel *cancel, json_t **ret,
	      struct err *err);
int wire_connect(const char *path, int *ret_fd);
/** wire_error() - {"code","message"[,"hint"]}; wire_to_err() - the reverse; returns the code. */
json_t *wire_error(const struct err *err);
int wire_to_err(const json_t *error, struct err *err);

/* xml.c */
struct vm_domain_config {
	const char *name, *uuid;
	bool kvm;
	bool uefi, secure_boot;
	const char *nvram;      /* or NULL */
	const char *tpm_socket; /* or NULL */
	unsigned cpus, memory_mib;
	const char *overlay, *nbd_socket, *nbd_export, *seed; /* seed may be NULL */
	const struct vm_disk *data;
	size_t n_data;
	unsigned reconnect_s;
	bool durable;
	const char *console_socket;
	bool network, isolated;
	const json_t *forwards;   /* array of strings, or NULL */
	const char *http_forward; /* command that connects its standard input and output to the
				     allowed proxy, or NULL */
	bool labelled;            /* run QEMU as @uid, @gid */
	unsigned uid, gid;
};
/** xml_escape() - append @s as attribute or element text. Return: 0, -EINVAL for bytes that XML
 *  cannot hold (controls, malformed UTF-8), or the buffer's error. */
int xml_escape(struct buf *out, const char *s);
int vm_domain_xml(const struct vm_domain_config *c, struct buf *out, struct err *err);

/* spec.c: vm_spec as it travels, and its checks. */
json_t *vm_spec_to_json(const struct vm_spec *s);
int vm_spec_check(const struct vm_spec *s, struct err *err);
int vm_forward_check(const char *forward, struct err *err);

/* stage.c: what a console says about how far a boot came. Pure; fed piece by piece. */
enum vm_stage {
	VM_STAGE_START,
	VM_STAGE_FIRMWARE,
	VM_STAGE_BOOTLOADER,
	VM_STAGE_KERNEL,
	VM_STAGE_INIT,
	VM_STAGE_MAX
};
const char *vm_stage_name(enum vm_stage s);
struct stage_scan {
	enum vm_stage stage; /* the furthest */
	unsigned seen;       /* bit 1 << stage: its own mark was there */
	char line[512];      /* the unfinished line, cut */
	size_t n;
};
void stage_scan(struct stage_scan *s, const void *p, size_t n);

/* tail.c: the last lines of a console log for people: control sequences removed. */
void vm_console_tail(const char *path, unsigned lines, struct buf *out);

/* client.c */
struct vm_host {
	char *run_dir;
	char *socket;
	struct journal *journal;
	pthread_mutex_t lock; /* guards the two below */
	struct wire hold;     /* keeps the process alive */
	pid_t pid;            /* of the process */
};
struct vm {
	struct wire wire;
	char *name;
	char *console_log;             /* or NULL */
	struct journal_entry *process; /* QEMU */
	pid_t qemu;                    /* 0 = not known */
	json_int_t next_id;
	int64_t start_ns; /* this process's clock when the guest began to run */
	bool windows;
	bool agent_up, ended, lost; /* lost: the vmhost process is gone */
	json_int_t agent_downs;     /* how often the agent went away */
	char *end_reason;
	char *exec_dir; /* in the guest; made by the first vm_exec() */
	unsigned exec_n;
	double stages[VM_STAGE_MAX]; /* seconds; < 0 = not seen */
	bool reported[VM_STAGE_MAX];
	double agent_seconds; /* < 0 = not yet */
};
pid_t vm_host_pid(const struct vm_host *h);
/** vm_call() - one request; steals @params. Events that arrive meanwhile are noted in @vm.
 *  Return: 0; -ECHILD when the guest or vmhost is gone; -ETIME; the cancel reason; or the host's
 *  error. */
int vm_call(struct vm *vm, const char *op, json_t *params, uint64_t timeout_ms,
	    struct cancel *cancel, json_t **ret, struct err *err);
/** vm_pump() - wait for events only. Return: 0 after one was noted, else as vm_call(). */
int vm_pump(struct vm *vm, int64_t deadline_ns, struct cancel *cancel, struct err *err);
/** vm_agent() - one guest agent command; @args is stolen (NULL = none); @ret = its "return". */
int vm_agent(struct vm *vm, const char *command, json_t *args, uint64_t timeout_ms,
	     struct cancel *cancel, json_t **ret, struct err *err);
/** vm_gone() - -ECHILD with why the guest ended and its last console lines. */
int vm_gone(struct vm *vm, struct err *err);
/** vm_stages() - {"firmware":6.1,..,"agent":31.0}: seconds since the start; NULL on ENOMEM. */
json_t *vm_stages(const struct vm *vm);

#endif
