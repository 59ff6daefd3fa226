/* SPDX-License-Identifier: Apache-2.0 */
/* `kiln version export`: an image version as a file for other places. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/image_options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/ref.h"
#include "cli/verbs.h"
#include "providers/app.h"
#include "providers/destination.h"
#include "providers/step_source.h"

#include <fcntl.h>

int image_options_parse(struct cli *cli, const struct cli_args *args, struct image_options *ret,
			struct err *err)
{
	const char *name = cli_opt(args, "--format");

	ret->path = cli_opt(args, "--output");
	if (!ret->path)
		return err_set(err, -EINVAL, "--output FILE (or -) expected");
	ret->to_stdout = strcmp(ret->path, "-") == 0;
	if (ret->to_stdout && cli->json)
		return err_set(err, -EINVAL,
			       "--json and a disk on standard output exclude each other");
	if (!name)
		name = ret->place ? ret->place->format : "raw";
	ret->format = format_find(name, err);
	return ret->format ? 0 : -EINVAL;
}

int image_options_write(struct store *s, const struct image_options *o, struct image_file *f,
			uint64_t *ret_bytes, struct err *err)
{
	auto_fd int fd = -1;

	f->format = o->format;
	*ret_bytes = 0;
	if (!o->to_stdout)
		return image_file_save(s, f, o->path, ret_bytes, err);
	fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? err_set(err, -errno, "standard output: %s", strerror(errno))
		      : image_file_write(s, f, fd, err);
}

int image_options_say(struct cli *cli, const struct image_options *o, const struct disk_ref *disk,
		      uint64_t file_bytes, int64_t start_ns)
{
	double s = (double) (time_mono_ns() - start_ns) / 1e9;
	uint64_t padded = disk->size_bytes;
	char size[16], took[16], rate[16];

	(void) format_padded(o->format, disk->size_bytes, &padded, NULL);
	if (cli->json) {
		auto_json json_t *j =
			json_pack("{s:s, s:s, s:o, s:I, s:I, s:f}", "file", o->path, "format",
				  o->format->name, "disk", disk_ref_to_json(disk), "fileBytes",
				  (json_int_t) file_bytes, "paddedBytes",
				  (json_int_t) (padded - disk->size_bytes), "seconds", s);

		return j && cli_print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	if (!o->to_stdout)
		cli_note(
			cli, "wrote %s as %s, %s in %s, %s/s of disk", o->path, o->format->name,
			size_human(file_bytes, size), time_human(s, took),
			size_human((uint64_t) ((double) disk->size_bytes / (s > 0.001 ? s : 0.001)),
				   rate));
	if (padded != disk->size_bytes)
		cli_note(cli,
			 "the disk in it ends with %llu more zero bytes: %s holds multiples of "
			 "%llu",
			 (unsigned long long) (padded - disk->size_bytes), o->format->name,
			 (unsigned long long) o->format->unit_bytes);
	return EXIT_DONE;
}

static void facts_of(const struct image_source *s, const char *name, struct format_facts *ret)
{
	const char *generation = json_str_at(s->facts, "hyperVGeneration");
	const char *os = json_str_at(s->facts, "osType");

	*ret = (struct format_facts){.name = name};
	ret->os = os && strcasecmp(os, "Windows") == 0 ? "windows" : "linux";
	ret->uefi = generation && strcmp(generation, "V2") == 0;
	ret->secure_boot = ret->uefi;
	ret->tpm = ret->uefi;
}

/* What a place lacks: said, and refused when nothing could run there. */
static int check_place(struct cli *cli, struct app *app, const struct destination *place,
		       const struct image_source *src, bool anyway, struct err *err)
{
	const char *generation = json_str_at(src->facts, "hyperVGeneration");
	auto_json json_t *found = NULL;
	const json_t *one, *bad = NULL;
	size_t i;
	int r = destination_check(app->store, (unsigned) src->region, &src->disk, place,
				  generation ? generation : "V1", &found, err);

	if (r < 0)
		return r;
	json_array_foreach(found, i, one)
	{
		if (json_bool_at(one, "fatal", false) && !bad)
			bad = one;
		else
			cli_note(cli, "%s: %s: %s", place->name, json_str_at(one, "check"),
				 json_str_at(one, "text"));
	}
	if (!bad || anyway)
		return 0;
	err_set(err, -EINVAL, "not for %s: %s: %s", place->name, json_str_at(bad, "check"),
		json_str_at(bad, "text"));
	err_hint(err, "--anyway writes it nevertheless");
	return -EINVAL;
}

/* "debian-12-1.0.0" of a version, the last name of anything else. */
static char *name_of(const char *id)
{
	const char *version = id ? strrchr(id, '/') : NULL;
	const char *images = id ? strstr(id, "/images/") : NULL;

	if (!version)
		return strdup(id ? id : "image");
	if (images && strstr(images, "/versions/"))
		return strf("%.*s-%s", (int) strcspn(images + 8, "/"), images + 8, version + 1);
	return strdup(version + 1);
}

static int export_version(struct cli *cli, const struct cli_args *args, struct app *app,
			  const struct image_options *o, struct disk_ref *ret_disk,
			  uint64_t *ret_bytes, struct err *err)
{
	auto_image_source struct image_source src = {0};
	struct cli_progress *bar = NULL;
	struct progress *progress = NULL;
	auto_free char *id = NULL, *name = NULL;
	int r = ref_find_step(cli, args->pos[0], cli_opt(args, "--group"), &id, err);

	if (r == 0)
		r = step_source_load(app, id, cli_opt(args, "--region"), &src, err);
	if (r == 0 && o->place)
		r = check_place(cli, app, o->place, &src, cli_flag(args, "--anyway"), err);
	if (r < 0)
		return r;
	name = name_of(src.id);
	bar = cli_progress_new(cli);
	progress = bar ? progress_to_events(cli_progress_sink(bar)) : NULL;
	if (name) {
		struct image_file f = {.disk = &src.disk,
				       .region = (unsigned) src.region,
				       .cancel = &cli->cancel,
				       .progress = progress};

		facts_of(&src, name, &f.facts);
		r = image_options_write(app->store, o, &f, ret_bytes, err);
	} else {
		r = err_set(err, -ENOMEM, "out of memory");
	}
	progress_free(progress);
	cli_progress_free(bar);
	*ret_disk = src.disk;
	return r;
}

static int run_version_export(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	int64_t start = time_mono_ns();
	struct image_options o = {0};
	const char *where = cli_opt(args, "--for");
	struct disk_ref disk;
	struct app *app;
	uint64_t bytes = 0;

	o.place = where ? destination_find(where, &e) : NULL;
	if ((where && !o.place) || image_options_parse(cli, args, &o, &e) < 0)
		return cli_usage(cli, "version export: %s", err_str(&e));
	if (cli_app(cli, &app) < 0)
		return EXIT_FAILED;
	if (export_version(cli, args, app, &o, &disk, &bytes, &e) < 0)
		return cli_fail(cli, &e);
	return image_options_say(cli, &o, &disk, bytes, start);
}

static const struct cli_option export_options[] = {
	IMAGE_OPTIONS,
	{"--for", 0, "PLACE", "azure, azurestack, hyperv, vmware or kvm: its format, and checks"},
	{"--anyway", 0, NULL, "also where the place could not boot it"},
	{"--group", 'g', "GROUP", "resource group of the gallery (default: search all)"},
	{"--region", 0, "REGION", "read the disk from this region"},
	{NULL},
};

const struct cli_command cmd_version_export = {
	.name = "version export",
	.args = "VERSION",
	.summary = "write a version as a disk file for a hypervisor or a cloud",
	.help = "VERSION is GALLERY/DEFINITION/X.Y.Z, GALLERY/DEFINITION/latest, a resource id, or "
		"a disk\n"
		"of a run (TEMPLATE@STEP). Every byte is verified as it is read; zero areas cost "
		"nothing.\n"
		"FILE appears when it is whole; what was there before stays until then.\n\n"
		"Formats: raw, raw.zst, raw.gz, qcow2 (zstd), qcow2-zlib, vhd (fixed, whole MiB), "
		"vhd-dynamic,\n"
		"vhdx, vmdk (streamOptimized), ova. docs/formats.md tells more.\n\n"
		"--for checks the image for a place: generation, size, agent, serial console, "
		"driver.\n\n"
		"Examples:\n"
		"  kiln version export golden/debian-12/latest --for azure -o debian.vhd\n"
		"  kiln version export golden/debian-12/latest --format vhdx -o debian.vhdx\n"
		"  kiln version export golden/debian-12/1.0.0 --format vmdk -o - | ssh host 'cat > "
		"d.vmdk'",
	.options = export_options,
	.run = run_version_export,
};
