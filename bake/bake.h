/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The build engine: an image template's JSON to an artefact, by a table of stages
 * (bake/stages.c): resolve source -> customize -> generalize -> inspect -> validate -> distribute.
 * What it needs of its surroundings (images by id, publishing) comes through struct bake_host, so
 * that bake/ knows nothing of ARM.
 */
#ifndef KILN_BAKE_BAKE_H
#define KILN_BAKE_BAKE_H

#include "bake/executor.h"
#include "bake/platform.h"
#include "store/export.h"
#include "store/store.h"
#include "vm/vm.h"

/* A source that was resolved: a disk in the run's region plus what descends from it. */
struct bake_source {
	struct disk_ref disk;
	unsigned region;
	json_t *facts; /* owned: {"kind","id","exactVersion","osType","osState",
			  "hyperVGeneration","architecture","trusted":bool,"version"} */
};

/* What a bake takes of its host unless properties.kiln.resources says otherwise. A step that needs
 * more memory is ended; processors and disk are counted, so that bakes do not crowd each other. */
#define BAKE_CPUS       1
#define BAKE_MEMORY_MIB 2048
#define BAKE_DISK_GIB   8

struct bake_host {
	void *arg;
	/* SharedImageVersion and ManagedImage; PlatformImage is bake's own. */
	int (*resolve)(void *arg, const json_t *source, struct bake_source *ret, struct err *err);
	/* One distribute target. @artifact: {"disk":disk_ref json, "facts":.., "runId":..,
	 * "templateId":..,"force":bool}. @ret: {"artifactId"} or {"artifactUri"} for the runOutput,
	 * "unchanged":true when the target held this very disk already and nothing was written, and
	 * what the summary shows: "version", "regions":[{"name","state"}]. */
	int (*distribute)(void *arg, const json_t *target, const json_t *artifact, json_t **ret,
			  struct err *err);
	/* Durable checkpoint of the run's record (steps done so far); a crash resumes from the step
	 * snapshots, not from this. */
	int (*record)(void *arg, const json_t *run, struct err *err);
};

struct bake_env {
	struct store *store;
	unsigned region; /* where this run's content is kept */
	unsigned home;   /* where platform images are */
	struct journal *journal;
	const char *data_dir, *run_dir;
	int (*nbd)(void *arg, struct nbd_host **ret, struct err *err); /* opened on first need */
	int (*vmhost)(void *arg, struct vm_host **ret, struct err *err);
	void *arg;
	const json_t *config; /* kiln.yaml as JSON */
	struct cancel *cancel;
	const struct event_sink *events;
};

struct bake_options {
	const char *run_id;      /* UUID */
	const char *template_id; /* for records and messages */
	const char *template_name;
	bool no_cache;         /* run every step again */
	const char *until;     /* stop after this step, or NULL */
	const char *from;      /* run this step and those after it again, or NULL */
	const json_t *refresh; /* names of steps to run again, or NULL */
	bool keep_going;       /* after a failed step go on with the next, as if it was not there;
				  nothing is published */
	bool local_files;      /* file: URIs are allowed (in-process caller) */
	bool force;            /* publish also what is published already (see @distribute) */
};

/**
 * bake_check() - everything that can be wrong with a template before anything runs, beyond what
 * the resource type's shape says (checksums' form, names, versions, URIs, timeouts).
 * @err names the field ("properties.customize[3].sha256Checksum") and carries the Image Builder
 * error code. 0 or -EINVAL.
 */
int bake_check(const json_t *tmpl, const char *api_version, struct err *err);

/**
 * bake_run() - run a template to the end
 * @ret_run: the record {"runId","templateId","state","subState","startTime","endTime","source",
 * "steps":[..],"artifact","outputs":[..],"error"?}; set also on failure, new reference. It is also
 * kept as DATA/runs/RUNID/run.json, beside the log of all output (DATA/runs/RUNID/log).
 *
 * Emits the events of docs/events.md.
 *
 * Return: 0; -ECANCELED; -ETIME (buildTimeoutInMinutes); -EPROTO when a validator failed; -EIO
 * when a step failed; -EREMOTEIO when some distribute targets failed (PartiallySucceeded); or
 * another -errno.
 */
int bake_run(const struct bake_env *env, const struct bake_host *host, const struct bake_options *o,
	     const json_t *tmpl, json_t **ret_run, struct err *err);

/**
 * bake_explain() - what a run of @tmpl would do, without doing it (a platform image that is not
 *kept is made)
 * @ret: {"source": {"image", "disk"}, "steps": [{"name", "kind", "state": "cached" | "runs",
 *	"key"?, "why"?: TEXT, "changed"?: [{"input", "was"?, "now"?}]}]}: for a step that runs, what
 *	differs from the newest time that this template's step of that name was done. New reference.
 */
int bake_explain(const struct bake_env *env, const struct bake_host *host,
		 const struct bake_options *o, const json_t *tmpl, json_t **ret, struct err *err);

/**
 * bake_find_step() - the disk as it was in a recorded run
 * @id: of the template (its newest run) or of a run (".../Kiln.Images/runs/UUID")
 * @step: a step's name or number: the disk after it, or, if it failed, as it was kept at the
 *	failure, else before it; "^" in front: before it; "source": the disk that the run began
 *with; NULL or "": the newest state
 * @ret_run: the run's record, may be NULL; new reference
 *
 * Return: 0, -ENOENT (no run, no such step, or its snapshot is gone).
 */
int bake_find_step(const struct bake_env *env, const char *id, const char *step,
		   struct disk_ref *ret, json_t **ret_run, struct err *err);

/**
 * bake_changes() - what differs between two disks of the same kind, by their root file systems
 * @ret: {"files": [{"path", "change": "added" | "changed" | "removed", "bytes"?}], "counts":
 *	{"added", "changed", "removed"}, "truncated": bool, "packages": [{"name", "was"?, "now"?}]};
 *	directories end in "/"; new reference
 *
 * A file is unchanged when its inode says so (size, owner, mode, times of content and of inode).
 * Return: 0, -EOPNOTSUPP (no ext4 root partition), or another -errno.
 */
int bake_changes(struct store *s, unsigned region_a, const struct disk_ref *a, unsigned region_b,
		 const struct disk_ref *b, struct cancel *cancel, json_t **ret, struct err *err);

/** bake_shell() - open an interactive shell (or run @argv) in a disk; changes are thrown away.
 *  @facts say what it is ("trusted", "osType", "hyperVGeneration"): what has a foreign ancestor, or
 *  holds Windows, is booted, and has commands only. Return: the command's exit status, or -errno.
 */
int bake_shell(const struct bake_env *env, const struct disk_ref *disk, const json_t *facts,
	       char *const argv[], struct err *err);

#endif
