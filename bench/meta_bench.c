/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata at scale: meta_bench DIR ROWS [fill] fills the database of a new data directory with
 * ROWS image versions and prints what requests on them cost, one "NAME VALUE UNIT" a line.
 * In-process: no TLS and no HTTP are in the figures.
 */
#include <sys/resource.h>
#include <time.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/resources.h"
#include "providers/app.h"
#include "providers/versions.h"

#define PER_DEFINITION 10000
#define BATCH          5000 /* rows a transaction */
#define PROVIDERS      "/providers/Microsoft.Compute/galleries/g"
#define V              "api-version=2023-07-03"

static const char *sub;

static int64_t cpu_ns(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what, const struct err *e)
{
	(void) fprintf(stderr, "%s: %s\n", what, err_str(e));
	exit(1);
}

/* ---- Filling ------------------------------------------------------------------------------ */

static json_t *version_doc(const char *id, const char *name)
{
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:{s:s}, s:{s:s, s:s, s:s, s:s, s:s, s:s},"
		" s:{s:{s:[{s:s, s:i, s:s}, {s:s, s:i, s:s}], s:i, s:b, s:s, s:s, s:s},"
		" s:{s:{s:i, s:s, s:{s:s}}}, s:{s:b, s:b}, s:s}, s:{s:{s:s}, s:{s:s}}}",
		"id", id, "name", name, "type", "Microsoft.Compute/galleries/images/versions",
		"location", "eastus", "tags", "team", "platform", "systemData", "createdBy",
		"bench", "createdByType", "User", "createdAt", "2026-01-01T00:00:00Z",
		"lastModifiedBy", "bench", "lastModifiedByType", "User", "lastModifiedAt",
		"2026-01-01T00:00:00Z", "properties", "publishingProfile", "targetRegions", "name",
		"eastus", "regionalReplicaCount", 1, "storageAccountType", "Standard_LRS", "name",
		"westeurope", "regionalReplicaCount", 1, "storageAccountType", "Standard_LRS",
		"replicaCount", 1, "excludeFromLatest", 0, "publishedDate", "2026-01-01T00:00:00Z",
		"storageAccountType", "Standard_LRS", "replicationMode", "Full", "storageProfile",
		"osDiskImage", "sizeInGB", 30, "hostCaching", "ReadWrite", "source", "id", id,
		"safetyProfile", "allowDeletionOfReplicatedLocations", 1,
		"reportedForPolicyViolation", 0, "provisioningState", "Succeeded", "replication",
		"eastus", "state", "Completed", "westeurope", "state", "Completed");
}

static int add(struct meta *m, const char *type, const char *id, const char *parent, char *sort,
	       json_t *doc, struct err *err)
{
	auto_resource struct resource r = {
		.key = str_lower(id),
		.id = strdup(id),
		.type = str_lower(type),
		.sort = strf("%s/%s", parent, sort),
		.api_version = strdup("2023-07-03"),
		.doc = doc,
	};

	for (char *p = r.sort; p && *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char) (*p | 0x20) : *p;
	return r.key && r.id && r.type && r.sort && r.api_version && doc
		       ? resource_create(m, &r, err)
		       : -ENOMEM;
}

static int add_version(struct app *a, unsigned long i, struct err *err)
{
	auto_free char *def =
		strf("%s/resourceGroups/g" PROVIDERS "/images/d%lu", sub, i / PER_DEFINITION);
	auto_free char *name = strf("1.%lu.%lu", i % PER_DEFINITION / 100, i % 100);
	auto_free char *id = strf("%s/versions/%s", def, name);
	auto_free char *sort = arm_sort_key_version(name);
	int r = 0;

	if (i % PER_DEFINITION == 0) {
		auto_free char *gallery = strf("%s/resourceGroups/g" PROVIDERS, sub);
		auto_free char *d = strf("d%lu", i / PER_DEFINITION);

		r = add(a->meta, "Microsoft.Compute/galleries/images", def, gallery, d,
			json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:{s:s, s:s, s:s}}}",
				  "id", def, "name", d, "type",
				  "Microsoft.Compute/galleries/images", "location", "eastus",
				  "properties", "osType", "Linux", "osState", "Generalized",
				  "provisioningState", "Succeeded", "identifier", "publisher", "p",
				  "offer", d, "sku", "s"),
			err);
	}
	return r < 0 ? r
		     : add(a->meta, "Microsoft.Compute/galleries/images/versions", id, def, sort,
			   version_doc(id, name), err);
}

static void fill(struct app *a, unsigned long rows)
{
	struct err err = ERR_INIT;
	int64_t start = time_mono_ns();

	for (unsigned long i = 0; i < rows;) {
		int r = meta_begin(a->meta, &err);

		for (unsigned long k = 0; k < BATCH && i < rows && r >= 0; k++, i++)
			r = add_version(a, i, &err);
		if (r >= 0)
			r = meta_commit(a->meta, &err);
		if (r < 0)
			die("fill", &err);
	}
	(void) printf("fill %.1f us/row\n",
		      (double) (time_mono_ns() - start) / 1e3 / (double) rows);
}

/* ---- Measuring ---------------------------------------------------------------------------- */

static json_t *ask(struct app *a, const char *method, const char *target, const char *body)
{
	struct arm_response res;
	const struct arm_request req = {.method = method,
					.target = target,
					.body = body,
					.body_bytes = body ? strlen(body) : 0,
					.who = &a->owner};
	json_t *out;

	arm_handle(a->arm, &req, &res);
	if (res.status >= 300) {
		(void) fprintf(stderr, "%s %s: %d\n", method, target, res.status);
		exit(1);
	}
	out = take_ptr(res.body);
	arm_response_done(&res);
	return out;
}

static void report(const char *name, int64_t wall, int64_t cpu, unsigned n)
{
	(void) printf("%s %.1f us %.1f us-cpu\n", name, (double) wall / n / 1e3,
		      (double) cpu / n / 1e3);
}

#define MEASURE(name, n, ...)                                                                      \
	do {                                                                                       \
		int64_t cpu_ = cpu_ns(), wall_ = time_mono_ns();                                   \
		for (unsigned i_ = 0; i_ < (n); i_++) {                                            \
			__VA_ARGS__                                                                \
		}                                                                                  \
		report(name, time_mono_ns() - wall_, cpu_ns() - cpu_, n);                          \
	} while (0)

static void get_one(struct app *a, unsigned long i)
{
	char target[512];

	(void) snprintf(target, sizeof(target),
			"%s/resourceGroups/g" PROVIDERS "/images/d%lu/versions/1.%lu.%lu?" V, sub,
			i / PER_DEFINITION, i % PER_DEFINITION / 100, i % 100);
	json_decref(ask(a, "GET", target, NULL));
}

static void lists(struct app *a, unsigned long rows)
{
	unsigned long defs = (rows + PER_DEFINITION - 1) / PER_DEFINITION, last = rows;
	auto_free char *first = strf("%s/resourceGroups/g" PROVIDERS "/images/d%lu/versions?$top="
				     "100&" V,
				     sub, defs / 2);
	auto_free char *next = NULL;
	const char *link = first;

	MEASURE("list-100-first", 50, json_decref(ask(a, "GET", first, NULL)););
	if (last > PER_DEFINITION)
		last = PER_DEFINITION;
	for (unsigned long i = 0; i + 200 <= last; i += 100) {
		json_t *page = ask(a, "GET", link, NULL);
		char *more = strdup(json_str_at(page, "nextLink"));

		json_decref(page);
		free(next);
		link = next = more;
	}
	MEASURE("list-100-last", 50, json_decref(ask(a, "GET", link, NULL)););
}

static void put_gallery(struct app *a, unsigned i)
{
	char target[256];

	(void) snprintf(target, sizeof(target), "%s/resourceGroups/g" PROVIDERS "%u?" V, sub, i);
	json_decref(ask(a, "PUT", target, "{\"location\":\"eastus\",\"tags\":{\"a\":\"b\"}}"));
}

static void measure(struct app *a, unsigned long rows)
{
	auto_free char *def = strf("%s/resourceGroups/g" PROVIDERS "/images/d0", sub);
	struct err err = ERR_INIT;
	unsigned long at = 1;

	MEASURE("get-warm", 20000, get_one(a, rows / 2););
	MEASURE("get-random", 20000, at = (at * 6364136223846793005u + 1442695040888963407u);
		get_one(a, (at >> 33) % rows););
	lists(a, rows);
	MEASURE("latest", 50, char *id = NULL;
		if (version_latest(a, def, "eastus", &id, &err) < 0) die("latest", &err);
		free(id););
	MEASURE("put-gallery", 50, put_gallery(a, i_););
	if (arm_work(a->arm, NULL, NULL, NULL, &err) < 0)
		die("work", &err);
}

int main(int argc, char **argv)
{
	unsigned long rows = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	struct err err = ERR_INIT;
	struct app *a = NULL;
	struct rusage ru;
	char target[256];

	if (rows == 0) {
		(void) fprintf(stderr, "usage: meta_bench DIR ROWS [fill]\n");
		return 2;
	}
	if (app_open(argv[1], &a, &err) < 0)
		die("open", &err);
	sub = strf("/subscriptions/%s", json_str_at(a->admin, "subscriptionId"));
	(void) snprintf(target, sizeof(target), "%s/resourceGroups/g?api-version=2021-04-01", sub);
	json_decref(ask(a, "PUT", target, "{\"location\":\"eastus\"}"));
	(void) snprintf(target, sizeof(target), "%s/resourceGroups/g" PROVIDERS "?" V, sub);
	json_decref(ask(a, "PUT", target, "{\"location\":\"eastus\"}"));
	if (arm_work(a->arm, NULL, NULL, NULL, &err) < 0)
		die("work", &err);
	fill(a, rows);
	app_close(a);
	if (argc > 3) /* "fill": for somebody else to measure */
		return 0;
	MEASURE("open", 5, if (app_open(argv[1], &a, &err) < 0) die("open", &err);
		if (i_ < 4) app_close(a););
	measure(a, rows);
	app_close(a);
	(void) getrusage(RUSAGE_SELF, &ru);
	(void) printf("peak-memory %.1f MB\n", (double) ru.ru_maxrss / 1024);
	return 0;
}
