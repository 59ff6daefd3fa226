/* SPDX-License-Identifier: Apache-2.0 */
/* Opening everything in order, closing it in reverse. The directory itself is made in app_dir.c. */
#include <pwd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "meta/audit.h"
#include "providers/bake_budget.h"
#include "providers/app_dir.h"
#include "providers/identity.h"
#include "providers/blob.h"
#include "providers/registry.h"
#include "providers/subscriptions.h"
#include "providers/vms.h"
#include "vm/vm.h"

static int app_meta(struct app *a, struct err *err)
{
	const char *url = json_str_at(a->config, "database");
	int64_t n = json_int_at(a->config, "limits.databaseConnections", 0);
	auto_free char *own = NULL;
	struct audit_head head;
	int r;

	if (!url) {
		own = strf("sqlite:%s/meta.db", a->data_dir);
		if (!own)
			return err_set(err, -ENOMEM, "database");
		url = own;
	}
	r = meta_open(url, &a->meta, err);
	if (r < 0)
		return err_ctx(err, r, "database");
	if (n > 0)
		meta_limit(a->meta, (unsigned) n);
	r = audit_head(a->meta, &head, err);
	a->sealed_seq = r < 0 ? 0 : head.seq;
	return r < 0 ? r : 0;
}

static int app_journal(struct app *a, struct err *err)
{
	auto_free char *dir = path_join(a->data_dir, "journal");
	unsigned undone = 0;
	int r;

	if (!dir)
		return err_set(err, -ENOMEM, "journal");
	r = journal_open(dir, &a->journal, err);
	if (r < 0)
		return err_ctx(err, r, "journal");
	r = journal_recover(a->journal, &undone, err);
	if (undone)
		log_debug("journal.recovered", "count=%u", undone);
	return r < 0 ? err_ctx(err, r, "undo what an earlier kiln left") : 0;
}

static int app_store(struct app *a, struct err *err)
{
	auto_free char *dir = path_join(a->data_dir, "store");
	size_t n = a->n_regions * (1 + a->n_keys);
	auto_free struct store_region_config *rc = calloc(n, sizeof(*rc));
	struct store_config c = {
		.meta = a->meta,
		.journal = a->journal,
		.regions = rc,
		.n_regions = n,
		.zstd_level = (int) json_int_at(a->config, "limits.compressionLevel", 0),
		.threads = (unsigned) json_int_at(a->config, "limits.threads", 0),
	};
	int r;

	c.cache_bytes = (uint64_t) json_int_at(a->config, "limits.cacheMegabytes", 0) << 20;
	if (!dir || !rc)
		return err_set(err, -ENOMEM, "store");
	c.dir = dir;
	for (size_t i = 0; i < n; i++) {
		rc[i].name = a->regions[i].name;
		rc[i].url = a->regions[i].url;
		rc[i].key = a->regions[i].key;
		rc[i].draining = a->regions[i].draining;
	}
	r = store_open(&c, &a->store, err);
	return r < 0 ? err_ctx(err, r, "store") : 0;
}

static const struct arm_port ports[] = {
	{SAS_PREFIX, blob_handle},
	{VM_CONSOLE_PREFIX, vm_console_handle},
	{NULL},
};

static int app_arm(struct app *a, struct err *err)
{
	struct arm_config c = {
		.meta = a->meta,
		.app = a,
		.types = provider_types,
		.tenant_id = json_str_at(a->admin, "tenantId"),
		.subscription_id = json_str_at(a->admin, "subscriptionId"),
		.endpoint = json_str_at(a->admin, "endpoint"),
		.ports = ports,
		.budget = &a->budget,
	};
	int r;

	bake_budget(a->config, a->data_dir, &a->budget);
	a->region_names = calloc(a->n_regions + 1, sizeof(*a->region_names));
	a->region_displays = calloc(a->n_regions + 1, sizeof(*a->region_displays));
	if (!a->region_names || !a->region_displays)
		return err_set(err, -ENOMEM, "regions");
	for (size_t i = 0; i < a->n_regions; i++) {
		a->region_names[i] = a->regions[i].name;
		a->region_displays[i] = a->regions[i].display;
	}
	c.locations = a->region_names;
	c.location_names = a->region_displays;
	r = arm_new(&c, &a->arm, err);
	return r < 0 ? r : identity_seed(a, err);
}

static int app_owner(struct app *a, struct err *err)
{
	struct passwd pw, *found = NULL;
	char text[4096];

	if (getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) == 0 && found)
		a->owner_name = strdup(found->pw_name);
	else
		a->owner_name = strf("uid-%u", (unsigned) geteuid());
	if (!a->owner_name)
		return err_set(err, -ENOMEM, "owner");
	a->owner = (struct arm_principal){
		.object_id = json_str_at(a->admin, "clientId"),
		.name = a->owner_name,
		.kind = "User",
		.local_owner = true,
	};
	return 0;
}

/* Two first commands at the same moment must make one directory: the lock lasts until the
 * directory, its secrets and its database exist. */
/* What a server needs, and nothing of an image's content. */
static int app_fill(struct app *a, struct err *err)
{
	auto_free char *path = path_join(a->data_dir, "init.lock");
	auto_fd int lock = -1;
	int r;

	if (!path)
		return err_set(err, -ENOMEM, "data directory");
	r = lock_file(path, LOCK_EXCLUSIVE, &lock, err);
	if (r < 0)
		return err_ctx(err, r, "data directory %s", a->data_dir);
	r = app_dir_prepare(a, err);
	if (r < 0)
		return r;
	r = app_meta(a, err);
	if (r >= 0)
		r = subscription_home(a, err);
	if (r < 0)
		return err_ctx(err, r, "first subscription");
	r = app_owner(a, err);
	if (r < 0 || a->serving)
		return r;
	r = app_journal(a, err);
	if (r < 0)
		return r;
	r = app_store(a, err);
	return r < 0 ? r : app_arm(a, err);
}

static int open_app(const char *data_dir, bool serving, struct app **ret, struct err *err)
{
	struct app *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(err, -ENOMEM, "data directory");
	a->serving = serving;
	r = pthread_mutex_init(&a->lock, NULL);
	if (r != 0) {
		free(a);
		return err_set(err, -r, "data directory");
	}
	r = app_dir_find(data_dir, &a->data_dir, err);
	if (r == 0)
		r = app_fill(a, err);
	if (r < 0) {
		app_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

int app_open(const char *data_dir, struct app **ret, struct err *err)
{
	return open_app(data_dir, false, ret, err);
}

int app_open_serving(const char *data_dir, struct app **ret, struct err *err)
{
	return open_app(data_dir, true, ret, err);
}

int app_serve(struct app *a, const char *endpoint, struct err *err)
{
	auto_free char *path = path_join(a->data_dir, "admin.json"), *text = NULL, *full = NULL;
	int r = 0;

	if (!path)
		return err_set(err, -ENOMEM, "admin.json");
	if (!str_eq(json_str_at(a->admin, "endpoint"), endpoint)) {
		if (json_object_set_new(a->admin, "endpoint", json_string(endpoint)) == 0)
			text = json_pretty(a->admin);
		full = text ? strf("%s\n", text) : NULL;
		if (!full)
			return err_set(err, -ENOMEM, "admin.json");
		r = file_write_atomic(path, full, strlen(full), 0600, err);
		mem_wipe(text, strlen(text));
		mem_wipe(full, strlen(full));
	}
	return r < 0 ? r : app_arm(a, err);
}

void app_close(struct app *a)
{
	if (!a)
		return;
	vm_host_close(a->vmhost);
	nbd_host_release(a->nbd);
	arm_free(a->arm);
	store_close(a->store);
	journal_close(a->journal);
	meta_close(a->meta);
	for (size_t i = 0; i < a->n_regions * (1 + a->n_keys); i++) {
		free(a->regions[i].name);
		free(a->regions[i].display);
		free(a->regions[i].url);
		free(a->regions[i].key);
	}
	free(a->regions);
	free(a->region_names);
	free(a->region_displays);
	json_decref(a->config);
	json_decref(a->admin);
	free(a->owner_name);
	free(a->run_dir);
	free(a->data_dir);
	(void) pthread_mutex_destroy(&a->lock);
	free(a);
}

int app_nbd(struct app *a, struct nbd_host **ret, struct err *err)
{
	int r = 0;

	(void) pthread_mutex_lock(&a->lock);
	if (!a->nbd)
		r = nbd_host_acquire(a->store, a->run_dir, NULL, &a->nbd, err);
	*ret = a->nbd;
	(void) pthread_mutex_unlock(&a->lock);
	return r;
}

int app_vmhost(struct app *a, struct vm_host **ret, struct err *err)
{
	int r = 0;

	(void) pthread_mutex_lock(&a->lock);
	if (!a->vmhost)
		r = vm_host_open(a->run_dir, a->journal, &a->vmhost, err);
	*ret = a->vmhost;
	(void) pthread_mutex_unlock(&a->lock);
	return r;
}
