/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image template's JSON as a list of steps. Pure: no I/O, no clock. Whatever can be wrong with
 * a template by its text alone is found here, with the field's path in the error's target and
 * Image Builder's error code. What a template may say: docs/templates.md.
 */
#ifndef KILN_BAKE_TEMPLATE_H
#define KILN_BAKE_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define TEMPLATE_MAX_STEPS   1000u      /* customizers; validators; distribute targets */
#define TEMPLATE_MAX_SCRIPT  (1u << 20) /* bytes of one inline script */
#define TEMPLATE_MAX_NAME    64u        /* characters of a step's or run output's name */
#define TEMPLATE_MAX_URI     2048u
#define TEMPLATE_MAX_TIMEOUT 960 /* minutes */
#define TEMPLATE_TIMEOUT     240 /* minutes when the template says 0 or nothing */
#define TEMPLATE_MAX_DISK_GB 4095
#define TEMPLATE_MAX_ENV     100u

struct step_kind;

/* One customizer or validator. */
struct template_step {
	char *name; /* as given, else "shell-1": the kind and its position; unique */
	const struct step_kind *kind; /* bake/steps.h */
	const json_t *def;            /* borrowed from the template's document */
	char *field;                  /* "properties.customize[0]" */
	bool network;                 /* may use what properties.kiln.network allows */
};

struct template
{
	json_t *doc; /* owned reference; everything borrowed lives in it */
	const json_t *source;
	const json_t *distribute;  /* array */
	const json_t *allow;       /* properties.kiln.network.allow, or NULL */
	bool follow_archive;       /* some step may reach "apt", and network.archive is "follow" */
	const json_t *refresh;     /* properties.kiln.refresh, or NULL */
	const json_t *environment; /* properties.kiln.environment, or NULL */
	const char *executor;      /* "auto", "container" or "vm" */
	struct template_step *steps;
	size_t n_steps;
	struct template_step *checks; /* inVMValidations */
	size_t n_checks;
	bool has_validate;
	bool continue_distribute; /* validate.continueDistributeOnFailure */
	bool source_only;         /* validate.sourceValidationOnly */
	bool optimize_boot;       /* optimize.vmBoot is Enabled */
	bool check_in_container;  /* properties.kiln.validateIn */
	bool keep_failed_step;    /* errorHandling.onCustomizerError is abort */
	bool keep_failed_check;   /* errorHandling.onValidationError is abort */
	uint64_t timeout_s;
	uint64_t memory_bytes; /* that a step may use */
	uint64_t disk_bytes;   /* vmProfile.osDiskSizeGB; 0 = the source's */
};

/** template_parse() - check @doc (a whole image template resource) and take its steps
 *  Return: 0, -EINVAL, -ENOMEM. @ret is set only on success. */
int template_parse(const json_t *doc, struct template *ret, struct err *err);
void template_done(struct template *t); /* safe on zeroes and twice */
#define auto_template __attribute__((cleanup(template_done)))

/** template_find_step() - position of a customizer by name (without case) or by its number from 1;
 *  -ENOENT, and the error lists the names. */
int template_find_step(const struct template *t, const char *name, size_t *ret, struct err *err);

/** template_field_error() - -EINVAL that names @field and carries @code (NULL = the default). */
int template_field_error(struct err *err, const char *code, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Checks that several files share (bake/check.c). @field is the path of the value itself. */
/** check_label() - one line of 1 to 64 bytes: the name of a step. */
int check_label(const json_t *v, const char *field, struct err *err);
/** check_name() - letters, digits and "-_." up to 64. */
int check_name(const json_t *v, const char *field, struct err *err);
/** check_sha256() - absent, "", or 64 lower-case hex digits. */
int check_sha256(const json_t *v, const char *field, struct err *err);
/** check_uri() - an absolute file: or https: URI without user or fragment. */
int check_uri(const json_t *v, const char *field, struct err *err);
/** check_source() / check_distribute() / check_kiln() - properties.X. */
int check_source(const json_t *source, struct err *err);
int check_distribute(const json_t *distribute, struct err *err);
int check_kiln(const json_t *kiln, struct err *err);
/** check_versions() - rules between fields that depend on the request's api-version. */
int check_versions(const struct template *t, const char *api_version, struct err *err);
/** check_known() - every member of @obj is in @names (NULL-terminated). */
int check_known(const json_t *obj, const char *const *names, const char *field, struct err *err);

#endif
