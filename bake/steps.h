/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of steps: one file per kind (step_shell.c, step_file.c), one row in steps.c. The same kind
 * serves customizers (in an executor) and validators (in a booted guest or an executor): where it
 * runs is a step_target.
 */
#ifndef KILN_BAKE_STEPS_H
#define KILN_BAKE_STEPS_H

#include "bake/fetch.h"
#include "bake/template.h"
#include "base/hash.h"
#include "base/proc.h"

/* What a step is made of, with everything from outside at hand and hashed. */
struct step_input {
	const struct template_step *step;
	json_t *inputs; /* owned: the step's own part of its key */
	char *path;     /* owned: local copy of its script or file */
	unsigned mode;  /* of the file in the image */
	char *brief;    /* owned: one line for people: the script's first command, the URI */
};
void step_input_done(struct step_input *in);

/* Where a step runs. Lines go to @line. */
struct step_target {
	/* Copy a local file to an absolute path; its parent must exist. */
	int (*put)(struct step_target *t, const char *local, const char *dest, unsigned mode,
		   struct err *err);
	/* Run a script; 0 when it ran, see @ret. */
	int (*script)(struct step_target *t, const char *local, struct proc_result *ret,
		      struct err *err);
	/* Run a PowerShell script; 0 when it ran. */
	int (*powershell)(struct step_target *t, const char *local, struct proc_result *ret,
			  struct err *err);
	/* Restart the system by @command (NULL = its own way) and wait until @check succeeds (NULL:
	 * until it answers). -EOPNOTSUPP where no system runs. */
	int (*restart)(struct step_target *t, const char *command, const char *check,
		       uint64_t timeout_ms, struct err *err);
};

enum step_flags {
	STEP_CUSTOMIZER = 1 << 0,
	STEP_VALIDATOR = 1 << 1,
	STEP_NETWORK = 1 << 2, /* runs commands, which may need the network */
	STEP_NO_ENV = 1 << 3,  /* runs nothing: the environment is no input */
	STEP_GUEST = 1 << 4,   /* needs a running system */
	STEP_WINDOWS = 1 << 5, /* needs Windows */
};

struct step_kind {
	const char *name; /* "Shell" */
	unsigned flags;
	/* The definition's fields; pure. @validator tells which code a missing script carries. */
	int (*check)(const json_t *def, const char *field, bool validator, struct err *err);
	/* Fetch and hash everything that the step reads. Fills inputs, path, mode, brief. */
	int (*prepare)(struct fetcher *f, struct step_input *in, struct err *err);
	/* Do it. A command that ended with another status than 0 returns 0 with it in @ret. */
	int (*run)(const struct step_input *in, struct step_target *t, struct proc_result *ret,
		   struct err *err);
};

/** step_kind_find() - by the template's "type"; NULL when there is none. */
const struct step_kind *step_kind_find(const char *name);
/** step_kind_names() - names of kinds with @flag, comma separated, into @dst. */
const char *step_kind_names(unsigned flag, char *dst, size_t size);

/* What kinds with a script share (step_shell.c). */
/** script_check() - either inline or scriptUri, and the checksum's form; @kind for messages. */
int script_check(const json_t *def, const char *kind, const char *field, bool validator,
		 struct err *err);
/** script_prepare() - fills path, mode, brief and inputs from @text, or when it is NULL from
 *  scriptUri. */
int script_prepare(struct fetcher *f, const struct buf *text, const char *kind,
		   struct step_input *in, struct err *err);

extern const struct step_kind step_shell, step_file, step_powershell, step_restart, step_update;

#endif
