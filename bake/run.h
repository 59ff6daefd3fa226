/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the engine: one run of a template. */
#ifndef KILN_BAKE_RUN_H
#define KILN_BAKE_RUN_H

#include <stdio.h>

#include "bake/bake.h"
#include "bake/fetch.h"
#include "bake/key.h"
#include "bake/steps.h"
#include "bake/template.h"

#define RUN_TAIL_LINES 20

/* The last lines of the step that runs, for its error. */
struct tail {
	char *line[RUN_TAIL_LINES]; /* owned, cleaned of control characters; a ring */
	size_t next;
};

struct run {
	const struct bake_env *env;
	const struct bake_host *host;
	const struct bake_options *o;
	struct template t;
	struct fetcher fetcher;
	struct step_input *inputs; /* one per customizer */
	struct step_input *checks; /* one per validator */
	char **envp;
	json_t *archive;         /* owned: what the package archives offer, or NULL: no input */
	char **allow, **trusted; /* expanded network policy, NULL-terminated */
	struct executor_net net;
	struct store_session *session;
	const struct executor_ops *executor_ops; /* of customizers; set once the source is known */
	const char *executor_why;                /* a constant, for people */
	struct executor_env executor_env;        /* outlives the executor */
	struct executor *executor;               /* NULL until a step has to run */
	struct bake_source source;               /* facts NULL until resolved */
	struct disk_ref disk;                    /* as it is after the steps so far */
	char *scratch;
	struct journal_entry *scratch_entry;

	/* The record, and the step of it that runs. */
	json_t *record;
	json_t *step; /* borrowed from the record's steps, NULL between steps */
	size_t n_total;
	int64_t start_ns, step_ns;
	char *dir; /* DATA/runs/RUNID */
	FILE *log;
	struct tail tail;

	bool stopped;         /* --until */
	struct buf failures;  /* --keep-going: what failed so far, a line each */
	struct err check_err; /* a validator failed and distribution goes on */
	size_t ran;           /* steps that really ran */
	json_t *times, *left; /* owned: seconds of all steps, and of those to come; estimate.c */
};

/* One stage: a row of the table in stages.c. */
struct stage {
	const char *name;                       /* "customize" */
	const char *sub_state;                  /* lastRunStatus.runSubState while it runs */
	size_t (*count)(const struct run *run); /* steps that it shows; 0 = skipped */
	int (*run)(struct run *run, struct err *err);
};
extern const struct stage bake_stages[]; /* ends with name NULL */

/* run_setup.c */
/** run_open() - everything that a run needs and that needs no source yet: the parsed template,
 *  its files, scratch space. */
int run_open(struct run *run, const struct bake_env *env, const struct bake_host *host,
	     const struct bake_options *o, const json_t *tmpl, struct err *err);
void run_close(struct run *run);
/** run_prepare() - fetch and hash what the steps read: a bad checksum in the last step shows
 *  before the first one runs. */
int run_prepare(struct run *run, struct err *err);
int run_resolve(struct run *run, struct err *err);
/** run_need_scratch() - the run's own directory, journalled. */
int run_need_scratch(struct run *run, struct err *err);

/* record.c */
int record_open(struct run *run, struct err *err);
/** record_step() - a step begins: event, log, record. @brief may be NULL. */
int record_step(struct run *run, const struct stage *stage, const char *name, const char *kind,
		const char *brief, struct err *err);
/** record_step_end() - @state: "done", "cached", "failed", "skipped"; @facts (stolen, may be
 *  NULL) are added to it. Durable. */
int record_step_end(struct run *run, const char *state, json_t *facts, struct err *err);
int record_save(struct run *run, struct err *err);
/** record_end() - state, error, end time; the last event. Steals nothing. */
void record_end(struct run *run, int code, const struct err *err);
/** record_inputs() - what went into the key of a step that is done, kept for explanations as the
 *  newest of the template's step of that name. */
int record_inputs(struct run *run, const char *name, const json_t *inputs, struct err *err);
/** record_inputs_read() - {step name: inputs} of a template; {} when none is kept. */
int record_inputs_read(const char *data_dir, const char *template_id, json_t **ret,
		       struct err *err);
/** record_times_path() - where the template's times are kept; caller frees; NULL on ENOMEM. */
char *record_times_path(const struct run *run);
/** record_line() - a proc_line_fn with the run as its argument. */
void record_line(void *run, enum proc_stream stream, const char *line, size_t n);
/** record_read() - the record of a finished or running run. */
int record_read(const char *data_dir, const char *run_id, json_t **ret, struct err *err);
/** record_latest() - id of the newest run of a template. 0 or -ENOENT. */
int record_latest(const char *data_dir, const char *template_id, char ret[UUID_STR],
		  struct err *err);

/* estimate.c */
/** estimate_begins() - a step begins that is not taken from the cache: event "estimate", and
 *  "secondsLeft" of the record. Nothing when nothing is known. */
int estimate_begins(struct run *run, struct err *err);
/** estimate_ended() - the present step ended well; @ran: its time is worth remembering. */
int estimate_ended(struct run *run, bool ran, double seconds, struct err *err);

/* customize.c */
/** step_key() - key of customizer @i, or of the generalize step when @i is n_steps, on the
 *  run's present disk. @ret_inputs may be NULL. */
int step_key(struct run *run, size_t i, struct key *ret, json_t **ret_inputs, struct err *err);
/** step_reused() - may step @i (n_steps: generalize) be taken from the cache, as the options say?
 */
bool step_reused(const struct run *run, size_t i);
/** step_cached() - the disk of a key. 0, -ENOENT. */
int step_cached(struct run *run, const struct key *key, struct disk_ref *ret, struct err *err);
/* run_executor.c */
/** run_choose_executor() - which one the customizers run in: the template's word, else by trust and
 * by what the steps need. */
int run_choose_executor(struct run *run, struct err *err);
/** run_need_executor() - the chosen executor, started on the run's disk. */
int run_need_executor(struct run *run, struct err *err);
/** run_need_offline() - an executor that gives the disk's root directory; commands run in it only
 *  when the disk has no foreign ancestor. */
int run_need_offline(struct run *run, struct err *err);
/** run_stop_executor() - what was not snapshotted is gone. Safe when none runs. */
void run_stop_executor(struct run *run);
/** run_windows() - does the source hold Windows? run_uefi() - does it boot by UEFI? */
bool run_windows(const struct run *run);
bool run_uefi(const struct run *run);
int customize_run(struct run *run, struct err *err);
int generalize_run(struct run *run, struct err *err);
/** step_failed() - error of a command that ended with another status than 0; closes the step. */
int step_failed(struct run *run, const char *what, const struct proc_result *res, int code,
		struct err *err);

/* generalize_windows.c */
#define SYSPREP_VERSION 1 /* raise it when the same disk may come out another */
/** generalize_windows() - sysprep, and power off; the executor stays for a snapshot. */
int generalize_windows(struct run *run, json_t **ret_report, struct err *err);

/* validate.c */
int validate_run(struct run *run, struct err *err);
/** boot_and_stop() - boot the finished disk on a throw-away overlay until its services are up; what
 *  it reads is recorded as the disk's boot profile. */
int boot_and_stop(struct run *run, const struct stage *stage, struct err *err);

/* optimize.c: optimize.vmBoot */
int optimize_run(struct run *run, struct err *err);

/* target.c: step_targets */
struct executor_target {
	struct step_target base;
	struct run *run;
	struct executor *executor;
	const struct executor_net *net; /* NULL = none */
};
void executor_target_init(struct executor_target *t, struct run *run, struct executor *x,
			  const struct executor_net *net);
struct guest_target {
	struct step_target base;
	struct run *run;
	struct vm *vm;
	unsigned serial; /* of the next script's name */
};
void guest_target_init(struct guest_target *t, struct run *run, struct vm *vm);

/* watchdog.c: sets the run's cancel with -ETIME when the time is over. */
struct watchdog;
int watchdog_start(uint64_t timeout_s, struct cancel *cancel, struct watchdog **ret,
		   struct err *err);
void watchdog_stop(struct watchdog *w); /* NULL is fine */

#endif
