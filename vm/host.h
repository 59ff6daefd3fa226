/* SPDX-License-Identifier: Apache-2.0 */
/* The vmhost process's own state: host.c (process), client threads (guest.c), libvirt (libvirt.c).
 */
#ifndef KILN_VM_HOST_H
#define KILN_VM_HOST_H

#include <libvirt/libvirt.h>
#include <pthread.h>
#include <stdatomic.h>

#include "vm/internal.h"

struct host {
	char *run_dir;
	char *root; /* RUN/libvirt */
	virConnectPtr conn;
	bool privileged;        /* root: each QEMU gets a uid of its own */
	bool kvm;               /* a probe guest ran */
	int listen_fd, wake_fd; /* wake_fd: a client thread finished */
	pthread_t events;       /* runs libvirt's event loop */
	bool events_run;
	atomic_bool stop_events;
	pthread_mutex_t lock; /* guards the list and what notes_*() set in its members */
	struct client *clients;
};

/* A file that is the guest's while it runs, one that libvirt gives it, a directory that stays its.
 */
enum exposed_kind { EXPOSED_FILE, EXPOSED_BY_LIBVIRT, EXPOSED_DIR };

/* A guest: owned by one client thread. */
struct guest {
	virDomainPtr dom;
	char uuid[37];
	char name[VM_NAME_MAX + 1];
	char *console_socket;
	int uid_lock; /* holds the uid's slot; -1 = none */
	int console_fd, log_fd;
	uint64_t log_bytes;
	unsigned n_snapshots;
	struct stage_scan scan;
	int64_t start_ns;
	pid_t pid;
	/* guest_files.c */
	struct exposed {
		char *name; /* that the guest's uid reaches */
		enum exposed_kind kind;
	} exposed[VM_DISKS_MAX + 4];
	size_t n_exposed;
	const char *nvram, *tpm_dir; /* of these */
	char *tpm_socket;
	pid_t tpm_pid;
	int tpm_pidfd; /* -1 = no TPM */
};

/* A request waiting for, or running in, the agent thread. */
struct agent_job {
	struct agent_job *next;
	json_int_t id;
	char *command; /* JSON text */
	int timeout_s;
};

struct client {
	struct client *next;
	struct host *host;
	pthread_t thread;
	bool finished; /* host->lock */
	struct wire wire;
	pthread_mutex_t out; /* one sender at a time */
	struct guest *guest; /* set once by the client thread; the list lookup holds host->lock */
	int note_fd;         /* eventfd: something below changed */
	bool agent_up, agent_noted; /* host->lock */
	unsigned agent_downs;       /* host->lock */
	const char *ended;          /* host->lock; why, a constant */
	bool end_sent;
	pthread_t agent;
	bool agent_run;
	pthread_mutex_t jobs_lock;
	pthread_cond_t jobs_cond;
	struct agent_job *jobs; /* jobs_lock */
	unsigned n_jobs;
	bool jobs_stop;
};

/* view.c */
/** host_view() - a mount namespace in which libvirt starts; before any thread. */
int host_view(struct host *h, struct err *err);

/* libvirt.c */
int host_libvirt_open(struct host *h, struct err *err);
void host_libvirt_close(struct host *h);
int host_virt_err(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* client thread: guest.c */
void *client_main(void *arg);
void client_send(struct client *c, const json_t *msg);

/* guest_files.c */
/** guest_expose() - let the guest's uid reach a file or directory. @ret: by which name; borrowed.
 */
int guest_expose(struct host *h, struct guest *g, const char *path, const char *suffix,
		 enum exposed_kind kind, unsigned uid, const char **ret, struct err *err);
/** guest_tpm_start() - start swtpm as @uid on state in @dir; QEMU finds it at @g->tpm_socket. It
 *  ends with QEMU, and with the thread that called this. */
int guest_tpm_start(struct host *h, struct guest *g, const char *dir, const char *key, unsigned uid,
		    struct err *err);
/** guest_tpm_failed() - has swtpm ended otherwise than with its guest? */
bool guest_tpm_failed(struct guest *g);
/** guest_files_free() - after QEMU's end; also of a guest that has none of it. */
void guest_files_free(struct host *h, struct guest *g);

/* agentd.c: the thread of a client that runs guest agent commands one after the other */
int agentd_start(struct client *c, struct err *err);
int agentd_add(struct client *c, const json_t *req, struct err *err);
void agentd_stop(struct client *c);

/* domain.c */
int guest_start(struct host *h, const json_t *spec, struct guest **ret, struct err *err);
int guest_run(struct guest *g, struct err *err);
/** guest_free() - power off, undefine, remove what it left; NULL is fine. */
void guest_free(struct host *h, struct guest *g);
/** guest_console() - move console output to the log. Return: 1 something came, 0 nothing, or
 *  -errno at the end. */
int guest_console(struct guest *g);

/* snapshot.c */
/** guest_snapshot() - an external snapshot: the qcow2 file @path takes the writes from now on. */
int guest_snapshot(struct guest *g, const char *path, struct err *err);

#endif
