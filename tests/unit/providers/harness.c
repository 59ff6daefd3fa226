/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "providers/roles.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "base/hash.h"
#include "meta/resources.h"

/* What the app starts of itself (the reader of images) is this program in another role. */
__attribute__((constructor)) static void play_role(int argc, char **argv)
{
	int status = argc > 1 ? role_main(argc - 1, argv + 1) : -1;

	if (status >= 0)
		exit(status);
}

int harness_setup(void **state)
{
	struct harness *h = calloc(1, sizeof(*h));
	struct err e = ERR_INIT;

	assert_non_null(h);
	/* In memory, where it costs nothing to make a write durable. */
	(void) snprintf(h->dir, sizeof(h->dir), "%s/kiln-unit-XXXXXX",
			access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(h->dir));
	if (app_open(h->dir, &h->app, &e) < 0)
		fail_msg("%s", err_str(&e));
	(void) snprintf(h->run_dir, sizeof(h->run_dir), "%s", h->app->run_dir);
	expect_ok(h, "PUT", "~", "2021-04-01", "{'location':'eastus'}");
	*state = h;
	return 0;
}

void harness_reopen(struct harness *h)
{
	struct err e = ERR_INIT;

	app_close(h->app);
	h->app = NULL;
	if (app_open(h->dir, &h->app, &e) < 0)
		fail_msg("%s", err_str(&e));
}

int harness_teardown(void **state)
{
	struct harness *h = *state;

	app_close(h->app);
	assert_int_equal(file_rm_rf(h->run_dir, NULL), 0);
	assert_int_equal(file_rm_rf(h->dir, NULL), 0);
	json_decref(h->body);
	free(h);
	return 0;
}

static char *full_path(const struct harness *h, const char *path, const char *version)
{
	const char *sub = json_str_at(h->app->admin, "subscriptionId");
	const char *ns = path[0] == '@'   ? "/providers/Microsoft.Compute/"
			 : path[0] == '%' ? "/providers/Microsoft.VirtualMachineImages/"
					  : "";
	char sep = strchr(path, '?') ? '&' : '?';

	if (strstr(path, "api-version="))
		return strdup(path); /* what an answer named */
	if (path[0] == '$')
		return strf("/subscriptions/%s%s%capi-version=%s", sub, path + 1, sep, version);
	if (strchr("~@%", path[0]))
		return strf("/subscriptions/%s/resourceGroups/g%s%s%capi-version=%s", sub, ns,
			    path + 1, sep, version);
	return strf("%s%capi-version=%s", path, sep, version);
}

static void take_error(struct harness *h, const json_t *error)
{
	const char *code = json_str_at(error, "code"), *target = json_str_at(error, "target");
	const char *message = json_str_at(error, "message");

	(void) snprintf(h->code, sizeof(h->code), "%s", code ? code : "");
	(void) snprintf(h->target, sizeof(h->target), "%s", target ? target : "");
	(void) snprintf(h->message, sizeof(h->message), "%s", message ? message : "");
}

static void send(struct harness *h, const char *method, const char *path, const char *version,
		 const char *body, struct arm_response *res)
{
	char *target = full_path(h, path, version);
	char *text = body ? strdup(body) : NULL;
	struct arm_request q = {.method = method,
				.target = target,
				.body = text,
				.body_bytes = text ? strlen(text) : 0,
				.who = h->who ? h->who : &h->app->owner};

	assert_non_null(target);
	for (char *p = text; p && *p; p++)
		if (*p == '\'')
			*p = '"';
	arm_handle(h->app->arm, &q, res);
	free(target);
	free(text);
	json_decref(h->body);
	h->body = res->body ? json_incref(res->body) : NULL;
	h->status = res->status;
	(void) snprintf(h->location, sizeof(h->location), "%s",
			res->location ? strchr(res->location + 8, '/') : "");
	h->work = 0;
	take_error(h, json_object_get(h->body, "error"));
}

int start(struct harness *h, const char *method, const char *path, const char *version,
	  const char *body)
{
	struct arm_response res = {0};

	send(h, method, path, version, body, &res);
	arm_response_done(&res);
	return h->status;
}

int call(struct harness *h, const char *method, const char *path, const char *version,
	 const char *body)
{
	struct arm_response res = {0};
	struct err e = ERR_INIT;

	send(h, method, path, version, body, &res);
	if (res.operation_id[0] && res.status < 300) {
		h->work = arm_work(h->app->arm, res.operation_id, NULL, NULL, &e);
		if (h->work < 0) {
			(void) snprintf(h->code, sizeof(h->code), "%s", e.arm ? e.arm : "?");
			(void) snprintf(h->message, sizeof(h->message), "%s", err_str(&e));
		}
		err_done(&e);
	}
	arm_response_done(&res);
	return h->status;
}

void expect_ok(struct harness *h, const char *method, const char *path, const char *version,
	       const char *body)
{
	int status = call(h, method, path, version, body);

	if (status < 200 || status > 299 || h->work < 0)
		fail_msg("%s %s: %d, %d: %s: %s (%s)", method, path, status, h->work, h->code,
			 h->message, h->target);
}

void expect_error(struct harness *h, const char *method, const char *path, const char *version,
		  const char *body, int status, const char *code, const char *target)
{
	int got = call(h, method, path, version, body);

	if (got != status || strcmp(h->code, code) != 0 ||
	    (target && strcmp(h->target, target) != 0))
		fail_msg("%s %s: expected %d %s (%s), got %d %s (%s): %s", method, path, status,
			 code, target ? target : "any", got, h->code, h->target, h->message);
}

const char *text_at(struct harness *h, const char *path)
{
	const char *s = json_str_at(h->body, path);

	if (!s) {
		char *text = h->body ? json_pretty(h->body) : NULL;

		fail_msg("no text at %s of %s", path, text ? text : "nothing");
	}
	return s;
}

void make_gallery(struct harness *h)
{
	expect_ok(h, "PUT", "@galleries/gal", V23, "{'location':'eastus'}");
	expect_ok(h, "PUT", "@galleries/gal/images/def", V23,
		  "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		  "'hyperVGeneration':'V2','identifier':{'publisher':'p','offer':'o','sku':'s'}}}");
}

/* ---- Runs ----------------------------------------------------------------------------------- */

static void ingest(struct harness *h, char fill, const char *run, struct disk_ref *ret)
{
	struct store_session *s = NULL;
	char data[4 * CHUNK_BYTES], path[128];
	int fd;

	memset(data, fill, sizeof(data));
	(void) snprintf(path, sizeof(path), "%s/disk", h->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(file_pwrite_full(fd, data, sizeof(data), 0), 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(store_session_begin(h->app->store, "test", &s, NULL), 0);
	assert_int_equal(store_ingest(s, 0, fd, 0, NULL, NULL, ret, NULL, NULL), 0);
	assert_int_equal(store_root_add(s, 0, "run", run, ret, NULL), 0);
	store_session_end(s);
	(void) close(fd);
	(void) unlink(path);
}

const char *make_run(struct harness *h, char fill)
{
	static char id[256];
	struct resource row = {0};
	struct disk_ref disk;
	char run[UUID_STR];

	assert_int_equal(uuid_random(run), 0);
	ingest(h, fill, run, &disk);
	(void) snprintf(id, sizeof(id),
			"/subscriptions/%s/resourceGroups/g/providers/Kiln.Images/runs/%s",
			json_str_at(h->app->admin, "subscriptionId"), run);
	row.id = strdup(id);
	row.key = str_lower(id);
	row.sort = str_lower(id);
	row.type = strdup("kiln.images/runs");
	row.api_version = strdup("2026-11-01");
	row.doc = json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:{s:o, s:{s:s, s:s, s:s, s:s, "
			    "s:b}}}}",
			    "id", id, "name", run, "type", "Kiln.Images/runs", "location", "eastus",
			    "properties", "state", "Succeeded", "templateId", "/none", "artifact",
			    "disk", disk_ref_to_json(&disk), "facts", "osType", "Linux", "osState",
			    "Generalized", "hyperVGeneration", "V2", "architecture", "x64",
			    "trusted", 1);
	assert_non_null(row.doc);
	assert_int_equal(resource_create(h->app->meta, &row, NULL), 0);
	resource_done(&row);
	return id;
}

void make_version(struct harness *h, const char *name, const char *more_profile)
{
	char *path = strf("@galleries/gal/images/def/versions/%s", name);
	char *body = strf("{'location':'eastus','properties':{'publishingProfile':{%s},"
			  "'storageProfile':{'source':{'id':'%s'}}}}",
			  more_profile ? more_profile : "", make_run(h, name[0]));

	expect_ok(h, "PUT", path, V23, body);
	free(path);
	free(body);
}
