/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application: everything that providers need, opened once per process from the data
 * directory. `kiln init` is app_open() on first use.
 */
#ifndef KILN_PROVIDERS_APP_H
#define KILN_PROVIDERS_APP_H

#include <pthread.h>

#include "arm/arm.h"
#include "meta/jobs.h"
#include "base/journal.h"
#include "meta/meta.h"
#include "store/export.h"
#include "store/store.h"

#define APP_FORMAT 1 /* DIR/format: the layout of the data directory that this program writes */

struct vm_host; /* vm/vm.h */

struct app_region {
	char *name;    /* "eastus" */
	char *display; /* "East US" */
	char *url;
	char *key;     /* where its encryption keys are; NULL = plain */
	bool draining; /* takes nothing new */
};

struct app {
	char *data_dir;             /* absolute */
	char *run_dir;              /* /run/kiln/XXXXXXXX or $XDG_RUNTIME_DIR/kiln/XXXXXXXX */
	json_t *config;             /* kiln.yaml as JSON, {} when absent */
	json_t *admin;              /* admin.json */
	struct app_region *regions; /* n_regions, then for each gallery key as many again */
	size_t n_regions;
	size_t n_keys; /* of galleries */
	struct meta *meta;
	struct journal *journal;
	struct store *store;
	struct arm *arm;
	struct arm_principal owner; /* the in-process caller */
	struct job_budget budget;   /* of bakes on this host */

	int64_t sealed_seq;  /* audit records that have a checkpoint; audit_seal.h */
	int64_t seal_due_ns; /* of the monotonic clock: the next one, if there are more */
	unsigned ticks;      /* chores.h; of the one thread that does them */

	int64_t cache_swept_us; /* when step_cache_chore() last swept; of the chores' thread */
	struct {
		unsigned place;    /* that is being compressed harder */
		bool condemned;    /* something was replaced there */
	} idle;                    /* of app_idle() */
	bool serving;              /* app_open_serving(): no store, no journal */
	bool created;              /* this call made the data directory */
	char *owner_name;          /* what @owner.name points to */
	const char **region_names; /* NULL-terminated views of @regions for arm/ */
	const char **region_displays;
	pthread_mutex_t lock; /* guards the two below */
	struct nbd_host *nbd;
	struct vm_host *vmhost;
};

/** app_open() - @data_dir NULL = $KILN_DATA, else /var/lib/kiln (root) or ~/.local/share/kiln.
 *  Makes and checks DIR/format, admin.json (mode 0600), regions, database; recovers the journal of
 *  dead owners. Return: 0, -EPROTO (a newer program's directory), -EINVAL (a bad kiln.yaml or
 *  admin.json; the message names file and line), or another -errno. */
int app_open(const char *data_dir, struct app **ret, struct err *err);
/** app_open_serving() - for the API process: the directory and the database, no journal, no store,
 * no
 *  @arm yet. Hooks of requests must do without; jobs run elsewhere. */
int app_open_serving(const char *data_dir, struct app **ret, struct err *err);
/** app_serve() - then @arm, with this endpoint, which is written to admin.json (atomically, when it
 *  is another than before). 0 or -errno. */
int app_serve(struct app *a, const char *endpoint, struct err *err);
void app_close(struct app *a); /* NULL is fine */
/** app_nbd() / app_vmhost() - opened on first need, released by app_close(). Thread-safe. */
int app_nbd(struct app *a, struct nbd_host **ret, struct err *err);
int app_vmhost(struct app *a, struct vm_host **ret, struct err *err);

/*
 * A gallery with a key of its own keeps its content apart: in each region such a key has a *place*,
 * which the store sees as a further region "REGION-KEY" below the region's own. Positions of places
 * are valid wherever the store wants a region.
 */

/** app_region_index() - position of a region by normalized or display name, or of a place by its
 *  name, or -ENOENT. */
int app_region_index(const struct app *a, const char *name);
/** app_place() - where content of a region that is under gallery key @key (NULL = none) is.
 *  -ENOENT: no such region; -ENOKEY: no such key. */
int app_place(const struct app *a, const char *region, const char *key);
/** app_key_known() - is there a gallery key of this name? */
bool app_key_known(const struct app *a, const char *key);
/** app_key_of() - the gallery key of a place; NULL for a region itself. */
const char *app_key_of(const struct app *a, unsigned place);
/** app_region_of() - the region in which a place is. */
unsigned app_region_of(const struct app *a, unsigned place);

/** config_load() - a kiln.yaml as JSON, {} when the file is absent. Only keys of docs/config.md are
 *  accepted. New reference. Return: 0, -EINVAL (the message names file, line and key). */
int config_load(const char *path, json_t **ret, struct err *err);
/** config_parse() - the same from memory; @name is for messages. */
int config_parse(const char *name, const char *text, size_t n, json_t **ret, struct err *err);

/** region_display() - "East US" for the name of a well-known region, else @name itself. */
const char *region_display(const char *name);

#endif
