/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/import.h"

#include <fcntl.h>
#include <inttypes.h>

#include "bake/fetch.h"
#include "base/file.h"
#include "base/mem.h"
#include "disk/formats/convert.h"
#include "disk/vhd.h"
#include "providers/common.h"
#include "providers/sas.h"

#define IMPORT_MAX (((uint64_t) 8 << 40) + VHD_FOOTER)

int import_check_uri(const struct arm_principal *who, const char *uri, const char *field,
		     struct err *err)
{
	if (strncasecmp(uri, "https://", 8) == 0 && strlen(uri) > 8)
		return 0;
	if (strncmp(uri, "file:///", 8) == 0 && who && who->local_owner)
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", field,
		      "%s: an https URL of a disk image expected%s", field,
		      strncmp(uri, "file:", 5) == 0 ? " (file: is for this host's owner)" : "");
}

/* ---- Files ---------------------------------------------------------------------------------- */

static int check_file(int fd, const char *name, uint64_t *ret_bytes, struct err *err)
{
	uint8_t head[VHD_HEAD], footer[VHD_FOOTER];
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %s", name, strerror(errno));
	if (st.st_size < 2 * VHD_FOOTER) {
		err_set(err, -EINVAL, "%s: %" PRIu64 " bytes cannot be a fixed VHD", name,
			(uint64_t) st.st_size);
		err_arm(err, "InvalidVhd");
		return -EINVAL;
	}
	r = file_pread_full(fd, head, sizeof(head), 0);
	if (r == 0)
		r = file_pread_full(fd, footer, sizeof(footer), (uint64_t) st.st_size - VHD_FOOTER);
	if (r < 0)
		return err_set(err, r, "%s: %s", name, strerror(-r));
	r = vhd_check(head, sizeof(head), footer, (uint64_t) st.st_size, ret_bytes, err);
	if (r < 0)
		err_arm(err, "InvalidVhd");
	return r;
}

int import_file(struct arm_job *job, struct store_session *session, unsigned region,
		const char *path, struct disk_ref *ret, struct err *err)
{
	struct progress *p = NULL;
	struct store_stats stats;
	auto_fd int fd = -1;
	uint64_t bytes = 0;
	int r = file_open_regular(AT_FDCWD, path, &fd);

	if (r < 0)
		return err_set(err, r, "uploaded VHD: %s", strerror(-r));
	r = check_file(fd, "VHD", &bytes, err);
	if (r < 0)
		return r;
	p = progress_to_events(job->events);
	r = store_ingest(session, region, fd, bytes, job->cancel, p, ret, &stats, err);
	progress_free(p);
	return r;
}

int import_image(struct arm_job *job, struct store_session *session, unsigned region,
		 const char *path, struct disk_ref *ret, struct err *err)
{
	const struct app *a = job->app;
	auto_free char *dir = strf("%s/scratch", a->data_dir);
	auto_image_found struct image_found found = {.fd = -1};
	struct progress *p;
	struct store_stats stats;
	auto_fd int fd = -1;
	int r = dir ? file_open_regular(AT_FDCWD, path, &fd) : -ENOMEM;

	if (r < 0)
		return err_set(err, r, "image: %s", strerror(-r));
	r = file_mkdir_p(dir, 0700, err);
	if (r == 0)
		r = image_convert(fd, dir, IMAGE_COPY, job->cancel, &found, err);
	if (r < 0)
		return r;
	if (found.disk_bytes == 0)
		return refuse(err, -EINVAL, "ImageRefused", NULL, "the disk is empty");
	p = progress_to_events(job->events);
	r = store_ingest(session, region, found.fd, found.disk_bytes, job->cancel, p, ret, &stats,
			 err);
	progress_free(p);
	return r;
}

/* ---- URLs ----------------------------------------------------------------------------------- */

/* The same URL may be fetched by two jobs at once: each has its own copy. */
static char *job_dir(const struct arm_job *job)
{
	const struct app *a = job->app;

	return strf("%s/cache/imports/%s", a->data_dir, job->operation_id);
}

int import_fetch(struct arm_job *job, const char *uri, uint64_t max_bytes, struct fetched *ret,
		 struct err *err)
{
	struct app *a = job->app;
	auto_free char *dir = job_dir(job);
	auto_json json_t *config = json_deep_copy(a->config);
	struct fetcher f = {
		.dir = dir,
		.journal = a->journal,
		.config = config,
		.local_files = job->who && job->who->local_owner,
		.cancel = job->cancel,
		.events = job->events,
	};

	if (!dir || !config ||
	    (max_bytes &&
	     json_set_at(config, "fetch.maxBytes", json_integer((json_int_t) max_bytes)) < 0))
		return no_memory(err);
	return fetch_uri(&f, uri, NULL, ret, err);
}

void import_fetched(struct arm_job *job, struct fetched *got)
{
	auto_free char *dir = job_dir(job);

	/* What cannot be removed now goes with the cache. */
	if (dir)
		(void) file_rm_rf(dir, NULL);
	fetched_done(got);
}

static int import_foreign(struct arm_job *job, struct store_session *session, unsigned region,
			  const char *uri, struct disk_ref *ret, struct err *err)
{
	struct fetched got = {.path = NULL};
	auto_free char *path = NULL;
	int r;

	/* The owner's own file is read where it is: what is hashed is what was read. */
	if (str_starts(uri, "file:///") && job->who && job->who->local_owner) {
		path = fetch_path(uri);
		return path ? import_image(job, session, region, path, ret, err)
			    : refuse(err, -EINVAL, "InvalidParameter", NULL, "%s: bad escape", uri);
	}
	r = import_fetch(job, uri, IMPORT_MAX, &got, err);

	if (r == 0)
		r = import_image(job, session, region, got.path, ret, err);
	import_fetched(job, &got);
	return r;
}

int import_uri(struct arm_job *job, struct store_session *session, unsigned region, const char *uri,
	       struct disk_ref *ret, struct err *err)
{
	struct app *a = job->app;
	struct store_stats stats;
	auto_sas struct sas_target t = {0};
	int from, r = sas_local(job->arm, uri, &t, err);

	if (r == -ENOENT)
		return import_foreign(job, session, region, uri, ret, err);
	if (r < 0)
		return r;
	if (json_at(t.doc, "properties.kiln.disk") == NULL)
		return refuse(err, -EINVAL, "InvalidParameter", NULL,
			      "%s holds no finished content yet", t.id);
	r = disk_ref_from_json(json_at(t.doc, "properties.kiln.disk"), ret, err);
	from = app_region_index(a, json_str_at(t.doc, "location"));
	if (r < 0 || from < 0)
		return r < 0 ? r : err_set(err, from, "region of %s", t.id);
	if ((unsigned) from == region)
		return 0;
	return store_replicate(session, (unsigned) from, region, ret, 0, job->cancel, NULL, &stats,
			       err);
}
