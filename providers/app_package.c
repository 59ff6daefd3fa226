/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/app_package.h"

#include <fcntl.h>

#include "bake/fetch.h"
#include "base/file.h"
#include "base/mem.h"
#include "providers/disk_set.h"
#include "providers/import.h"
#include "providers/version_job.h"

#define ROOT "application"

int app_package_check(const struct arm_principal *who, const char *uri, const char *field,
		      struct err *err)
{
	if (strncasecmp(uri, "https://", 8) == 0 && uri[8])
		return 0;
	if (strncmp(uri, "file:///", 8) == 0 && who && who->local_owner)
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", field, "%s: an https URL expected", field);
}

static int fetch(struct arm_job *job, const char *uri, struct fetched *ret, struct err *err)
{
	int r = import_fetch(job, uri, 0, ret, err);

	if (r < 0 || ret->bytes > 0)
		return r;
	return refuse(err, -EINVAL, "InvalidParameter", NULL, "%.*s is empty",
		      (int) strcspn(uri, "?"), uri);
}

static int keep(struct arm_job *job, struct store_session *session, unsigned region,
		const struct fetched *got, struct disk_ref *ret, struct err *err)
{
	struct progress *p = progress_to_events(job->events);
	struct store_stats stats;
	auto_fd int fd = -1;
	int r = file_open_regular(AT_FDCWD, got->path, &fd);

	if (r < 0)
		err_set(err, r, "%s: %s", got->path, strerror(-r));
	else
		r = store_ingest(session, region, fd, 0, job->cancel, p, ret, &stats, err);
	progress_free(p);
	return r;
}

/* What clients see of it: size and digest as it was fetched. */
static int note(json_t *doc, const json_t *want, const struct fetched *got,
		const struct disk_ref *disk, struct err *err)
{
	bool package = json_int_at(want, "lun", -1) < 0;
	char hex[DIGEST_HEX];
	json_t *facts = json_pack("{s:I, s:s}", "sizeBytes", (json_int_t) got->bytes, "sha256",
				  digest_hex(&got->digest, hex));

	if (json_set_at(doc, package ? "properties.kiln.package" : "properties.kiln.configuration",
			facts) < 0)
		return no_memory(err);
	if (package)
		return json_set_at(doc, S_DISK, disk_ref_to_json(disk)) < 0 ? no_memory(err) : 0;
	return json_set_at(doc, S_DATA,
			   json_pack("[{s:i, s:o}]", "lun", 0, "disk", disk_ref_to_json(disk))) < 0
		       ? no_memory(err)
		       : 0;
}

static int take_one(struct arm_job *job, struct store_session *session, unsigned region,
		    const json_t *want, json_t *doc, struct err *err)
{
	const char *uri = json_str_at(want, "uri");
	struct fetched got = {.path = NULL};
	struct disk_ref disk;
	int r = fetch(job, uri ? uri : "", &got, err);

	if (r == 0)
		r = keep(job, session, region, &got, &disk, err);
	if (r == 0)
		r = note(doc, want, &got, &disk, err);
	import_fetched(job, &got);
	return r;
}

/* The session pins what was fetched until its roots are added: a crash before that fetches again.
 */
static int take_packages(struct arm_job *job, struct store_session *session, json_t *doc,
			 struct err *err)
{
	json_t *imports = json_object_get(doc, S_IMPORTS), *want, *patch;
	const char *location = json_str_at(doc, "location");
	struct disk_set set = {0};
	int region, r = 0;
	size_t i;

	if (json_array_size(imports) == 0)
		return 0;
	region = doc_place(job->app, doc, location, err);
	if (region < 0)
		return region;
	json_array_foreach(imports, i, want)
	{
		if (r == 0)
			r = take_one(job, session, (unsigned) region, want, doc, err);
	}
	if (r == 0)
		r = disk_set_load(job->app, doc, ROOT, job->id->key, &set, err);
	if (r == 0)
		r = disk_set_place(job->app, session, &set, -1, (unsigned) region, job->cancel,
				   NULL, err);
	disk_set_done(&set);
	if (r < 0)
		return r;
	(void) json_object_del(doc, S_IMPORTS);
	patch = json_pack("{s:n, s:{s:O}}", S_IMPORTS, "properties", "kiln",
			  json_at(doc, "properties.kiln"));
	return patch ? arm_job_patch(job, patch, false, err) : no_memory(err);
}

int app_package_sync_job(struct arm_job *job, struct err *err)
{
	static const struct sync_kind kind = {ROOT, take_packages, false};

	return version_sync(job, &kind, err);
}

int app_package_delete_job(struct arm_job *job, struct err *err)
{
	int r = catalog_record(job, true, err);

	return r < 0 ? r : disk_set_drop_doc(job->app, job->doc, ROOT, job->id->key, err);
}
