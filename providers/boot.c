/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/boot.h"

#include "bake/platform.h"
#include "base/file.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/platform_make.h"
#include "providers/step_source.h"
#include "vm/boot.h"

#define SHUTDOWN_MS 60000

struct boot {
	struct app *app;
	struct image_source source;
	struct nbd_export *export;
	struct vm_boot *vm;
};

/* "Debian:debian-12:12-gen2[:VERSION]": a platform image, made when there is none yet. */
static int load_platform(struct app *a, const char *urn, const struct boot_options *o,
			 struct image_source *ret, struct err *err)
{
	int region = o->region ? app_region_index(a, o->region) : 0;
	const struct platform_sku *sku;
	auto_json json_t *made = NULL;
	int r;

	if (region < 0)
		return refuse(err, -EINVAL, "InvalidParameter", "region",
			      "region '%s' is not configured", o->region);
	r = platform_make(a, (unsigned) region, urn, o->cancel, o->events, &made, err);
	if (r < 0)
		return r;
	sku = platform_find(json_str_at(made, "publisher"), json_str_at(made, "offer"),
			    json_str_at(made, "sku"));
	if (!sku)
		return refuse(err, -ENOENT, "PlatformImageNotFound", "version",
			      "there is no platform image '%s'", urn);
	*ret = (struct image_source){
		.region = region,
		.id = strf("%s:%s:%s:%s", sku->publisher, sku->offer, sku->sku,
			   json_str_at(made, "version")),
		.facts = json_pack("{s:s, s:s, s:s}", "kind", "PlatformImage", "hyperVGeneration",
				   sku->hyperv_generation, "architecture", sku->architecture),
	};
	if (!ret->id || !ret->facts)
		return no_memory(err);
	return disk_ref_from_json(json_at(made, "disk"), &ret->disk, err);
}

static bool uefi(const struct image_source *s)
{
	const char *generation = json_str_at(s->facts, "hyperVGeneration");

	return !generation || strcmp(generation, "V1") != 0;
}

static int check_architecture(const struct image_source *s, struct err *err)
{
	const char *arch = json_str_at(s->facts, "architecture");

	if (!arch || strcmp(arch, "x64") == 0)
		return 0;
	return refuse(err, -EINVAL, "OperationNotAllowed", "version",
		      "%s is of architecture %s; this machine runs x64", s->id, arch);
}

/* The first boot of a disk records what it reads; later ones fetch that ahead. */
static unsigned profile_flags(const struct boot *b)
{
	auto_json json_t *runs = NULL;
	bool known = store_profile_get(b->app->store, (unsigned) b->source.region, &b->source.disk,
				       &runs, NULL) == 0;

	return known ? NBD_EXPORT_PLAY : NBD_EXPORT_RECORD;
}

static int start(struct boot *b, const struct boot_options *o, struct err *err)
{
	struct app *a = b->app;
	auto_free char *scratch = path_join(a->data_dir, "scratch");
	auto_free char *ca = path_join(a->data_dir, "tpm-ca");
	struct nbd_host *nbd = NULL;
	struct vm_boot_spec s = {
		.journal = a->journal,
		.scratch = scratch,
		.size_bytes = b->source.disk.size_bytes,
		.firmware = uefi(&b->source) ? VM_UEFI : VM_BIOS,
		.secure_boot = uefi(&b->source) && !o->no_secure_boot,
		.tpm_ca = uefi(&b->source) && !o->no_vtpm ? ca : NULL,
		.cpus = o->cpus,
		.memory_mib = o->memory_mib,
		.console_log = o->console_log,
		.network = true,
		.isolated = !o->open_network,
		.forwards = o->forwards,
		.agent_timeout_ms = o->timeout_ms,
		.cancel = o->cancel,
		.events = o->events,
	};
	int r = scratch && ca ? file_mkdir_p(scratch, 0700, err) : no_memory(err);

	if (r == 0)
		r = app_nbd(a, &nbd, err);
	if (r == 0)
		r = app_vmhost(a, &s.host, err);
	if (r == 0)
		r = nbd_export_new_with(nbd, (unsigned) b->source.region, &b->source.disk,
					profile_flags(b), &b->export, err);
	if (r < 0)
		return r;
	s.nbd_socket = nbd_host_socket(nbd);
	s.nbd_export = nbd_export_name(b->export);
	return vm_boot_start(&s, &b->vm, err);
}

int boot_open(struct app *a, const char *id, const struct boot_options *o, struct boot **ret,
	      struct err *err)
{
	struct boot *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return no_memory(err);
	b->app = a;
	r = id[0] != '/' && strchr(id, ':') ? load_platform(a, id, o, &b->source, err)
					    : step_source_load(a, id, o->region, &b->source, err);
	if (r == 0)
		r = check_architecture(&b->source, err);
	if (r == 0)
		r = start(b, o, err);
	if (r < 0) {
		(void) boot_close(b, NULL);
		return r;
	}
	*ret = b;
	return 0;
}

/* Nothing that the guest measured is compared yet with what it should be. */
static json_t *attestation(const json_t *facts)
{
	return json_pack("{s:s, s:[s]}", "verdict", "Unknown", "reasons",
			 json_bool_at(facts, "vTpm", false)
				 ? "no golden measurements of this disk are recorded"
				 : "the guest has no TPM");
}

int boot_facts(struct boot *b, json_t **ret, struct err *err)
{
	auto_json json_t *facts = NULL;
	int r = vm_boot_facts(b->vm, 0, &facts, err);

	if (r < 0)
		return r;
	if (json_object_set_new(facts, "bytesFetched",
				json_integer((json_int_t) nbd_export_bytes(b->export))) < 0 ||
	    json_object_set_new(facts, "attestation", attestation(facts)) < 0 ||
	    json_object_set_new(facts, "version", json_string(b->source.id)) < 0 ||
	    json_object_set_new(facts, "region",
				json_string(b->app->regions[b->source.region].name)) < 0)
		return no_memory(err);
	*ret = json_incref(facts);
	return 0;
}

int boot_wait(struct boot *b, struct cancel *cancel, struct err *err)
{
	return vm_boot_wait_end(b->vm, cancel, err);
}

int boot_close(struct boot *b, struct err *err)
{
	int r;

	if (!b)
		return 0;
	r = vm_boot_stop(b->vm, SHUTDOWN_MS, err);
	nbd_export_free(b->export);
	image_source_done(&b->source);
	free(b);
	return r;
}
