/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application: everything that providers need, opened once per process from the data
 * directory. `kiln init` is app_open() on first use.
 */
#ifndef KILN_PROVIDERS_APP_H
#define KILN_PROVIDERS_APP_H

#include "arm/arm.h"
#include "base/journal.h"
#include "meta/meta.h"
#include "store/export.h"
#include "store/store.h"
#include "vm/vm.h"

struct app_region {
	char *name;    /* "eastus" */
	char *display; /* "East US" */
	char *url;
};

struct app {
	char *data_dir;	 /* absolute */
	char *run_dir;	 /* /run/kiln/XXXXXXXX or $XDG_RUNTIME_DIR/kiln/XXXXXXXX */
	json_t *config;	 /* kiln.yaml as JSON, {} when absent */
	json_t *admin;	 /* admin.json */
	struct app_region *regions;
	size_t n_regions;
	struct meta *meta;
	struct journal *journal;
	struct store *store;
	struct arm *arm;
	struct arm_principal owner; /* the in-process caller */
};

/** app_open() - @data_dir NULL = $KILN_DATA, else /var/lib/kiln (root) or ~/.local/share/kiln.
 *  Makes and checks DIR/format, admin.json (mode 0600), regions, database; recovers the journal of
 *  dead owners. */
int app_open(const char *data_dir, struct app **ret, struct err *err);
void app_close(struct app *a);
/** app_nbd() / app_vmhost() - opened on first need, released by app_close(). Thread-safe. */
int app_nbd(struct app *a, struct nbd_host **ret, struct err *err);
int app_vmhost(struct app *a, struct vm_host **ret, struct err *err);

#endif
