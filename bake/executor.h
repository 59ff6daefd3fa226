/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executors: where a step runs. One vtable, one conformance suite. `container` runs steps with
 * crun on the image's root, mounted from an overlay chain; `vm` boots the image.
 *
 *	executor_start -> (executor_put / executor_run)* -> executor_snapshot -> ...
 *	-> executor_stop
 */
#ifndef KILN_BAKE_EXECUTOR_H
#define KILN_BAKE_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/event.h"
#include "base/journal.h"
#include "base/proc.h"
#include "store/export.h"
#include "store/store.h"
#include "vm/vm.h"

struct executor;

struct executor_env {
	struct store *store;
	unsigned region; /* where snapshots go */
	struct store_session *session;
	struct nbd_host *nbd;
	struct journal *journal;
	const char *scratch; /* directory of overlays and mounts; the caller's, journalled */
	const char *run_dir; /* short, for sockets */
	struct cancel *cancel;
	const struct event_sink *events;
	uint64_t memory_bytes; /* that a step may use; 0 = three quarters of the host's */
	bool interactive;      /* a person's terminal (kiln shell) */
	int (*vmhost)(void *arg, struct vm_host **ret, struct err *err); /* for `vm`, on need */
	void *arg;
	/* What the disk is. */
	bool untrusted; /* it descends from a foreign image: no kernel of this host mounts it */
	bool uefi, windows;
	bool network; /* some step has one; a guest's network card is there from the start */
	const char *console_log; /* of a guest: a file that is added to; or NULL */
};

/* What a step may reach. */
struct executor_net {
	bool enabled;               /* false = loopback only */
	const char *const *allow;   /* "host:port", "*.host:port"; NULL-terminated */
	const char *const *trusted; /* hosts whose resolved addresses may be private: the
				       operator's own APT mirrors; NULL-terminated */
};

/* A file of one step: shown read-only as /run/kiln/NAME while the command runs. Never part of the
 * image. @name has no slash and does not begin with a dot; @fd is a regular file, borrowed; @mode
 * is what the step sees (0555 for a script, 0444 for data; owner root). */
struct executor_file {
	const char *name;
	int fd;
	unsigned mode;
};

struct executor_cmd {
	const char *const *argv;           /* argv[0] absolute inside the image */
	const char *const *envp;           /* NULL = a fixed minimal environment */
	const struct executor_net *net;    /* NULL = none */
	const struct executor_file *files; /* shown under /run/kiln/; may be NULL */
	size_t n_files;
	uint64_t timeout_ms; /* 0 = none */
	proc_line_fn *line;
	void *line_arg;
	bool terminal; /* hand over stdin/stdout/stderr as they are */
};

struct executor_ops {
	const char *name; /* "container" */
	/* Text that changes whenever the same step could give another result; part of step keys. */
	const char *version;
	int (*start)(const struct executor_env *env, const struct disk_ref *base,
		     uint64_t grow_to_bytes, struct executor **ret, struct err *err);
	/* 0 when the command ran: see @ret. */
	int (*run)(struct executor *x, const struct executor_cmd *cmd, struct proc_result *ret,
		   struct err *err);
	/* Copy a host file to an absolute path in the image; parents must exist; never follows
	 * links out of the root. */
	int (*put)(struct executor *x, int fd, const char *dest, unsigned mode, unsigned uid,
		   unsigned gid, struct err *err);
	int (*get)(struct executor *x, const char *src, int fd, struct err *err);
	/* Make the image's present state durable as a disk (sync, trim, freeze, external snapshot,
	 * thaw, commit of the sealed overlay). Blocks until durable. */
	int (*snapshot)(struct executor *x, struct disk_ref *ret, struct store_stats *stats,
			struct err *err);
	/* Restart the system and wait until commands can be run again: @argv makes it restart (NULL
	 * = its own way). -EOPNOTSUPP where there is no running system. */
	int (*restart)(struct executor *x, const char *const *argv, uint64_t timeout_ms,
		       struct err *err);
	/* After a command that powers the system off: wait for that; only snapshot and stop are
	 * left then. -EOPNOTSUPP where there is no running system. */
	int (*wait_off)(struct executor *x, uint64_t timeout_ms, struct err *err);
	/* Root directory descriptor of the mounted image for offline work (seal); -EOPNOTSUPP when
	 * there is none. Borrowed. */
	int (*rootfd)(struct executor *x, int *ret_fd, struct err *err);
	/* Bring copies of the root's boot programs, on the EFI system partition, up to date. For
	 * executors with a rootfd(). */
	int (*refresh_boot)(struct executor *x, unsigned *ret_changed, struct err *err);
	void (*stop)(struct executor *x); /* everything is gone on return; NULL is fine */
};
struct executor {
	const struct executor_ops *ops;
};

extern const struct executor_ops executor_container, executor_vm;

/** executor_find() - by name; NULL when unknown. The table is in executor.c. */
const struct executor_ops *executor_find(const char *name);

#endif
