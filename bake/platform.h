/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Platform images: made on demand from a distribution's signed archive (one table row and file per
 * distribution), versioned by date, kept under roots of kind "platform" and reused.
 */
#ifndef KILN_BAKE_PLATFORM_H
#define KILN_BAKE_PLATFORM_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/event.h"
#include "base/journal.h"
#include "base/json.h"
#include "store/store.h"

struct meta;
struct platform_sku {
	const char *publisher, *offer, *sku; /* "Debian", "debian-12", "12-gen2" */
	const char *os_type;                 /* "Linux" */
	const char *hyperv_generation;       /* "V1" or "V2" */
	const char *architecture;            /* "x64" */
};
/** platform_skus() - the table; ends with publisher NULL. */
const struct platform_sku *platform_skus(void);
const struct platform_sku *platform_find(const char *publisher, const char *offer, const char *sku);

struct platform_env {
	struct store *store;
	unsigned region;
	struct journal *journal;
	const char *scratch;   /* directory for temporary trees; journalled inside */
	const char *lock_dir;  /* one for all runs on a data directory, so that two of them make an
				 image once; NULL = scratch */
	const json_t *sources; /* platform.sources of kiln.yaml (array of deb822 or one-line
				  texts), or NULL = the host's APT sources */
	struct cancel *cancel;
	const struct event_sink *events;
};

/* One made image. */
struct platform_image {
	char version[32]; /* "12.20261122.0": YYYYMMDD from the package set's newest date */
	struct disk_ref disk;
	json_t *facts; /* owned: {"packages":{name:version}, "sources":[..], "inputs":"sha256:..",
			  "firmware":{"uefi":true,"bios":true}} */
};
void platform_image_done(struct platform_image *p);

/** platform_sources() - the APT entries that an image of this host gets: one-line or deb822 texts,
 *  without credentials and proxies. New reference to an array of strings. @ret_hosts (may be
 *  NULL): array of "host:port" that they name. */
int platform_sources(const json_t *configured, const char *suite, json_t **ret, json_t **ret_hosts,
		     struct err *err);

/**
 * platform_ensure() - a disk of @sku: the newest kept version, or made now
 * @version: "latest" or an exact version (which must exist)
 *
 * A kept version is reused while its inputs (package recipe, sources, their signed release
 * files' digests) are unchanged or less than a day old. Return: 0, -ENOENT (unknown version).
 */
int platform_ensure(const struct platform_env *env, const struct platform_sku *sku,
		    const char *version, struct platform_image *ret, bool *ret_made,
		    struct err *err);
/** platform_versions() - kept versions of @sku, ascending: array of strings; new reference. Needs
 * no store. */
int platform_versions(struct meta *m, const char *region, const struct platform_sku *sku,
		      json_t **ret, struct err *err);

#endif
