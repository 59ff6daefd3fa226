/* SPDX-License-Identifier: Apache-2.0 */
/* Checks below the file system, and the facts of an image. */
#include <sys/stat.h>

#include "bake/seal_verify.h"
#include "base/buf.h"
#include "base/mem.h"

#define SECTOR           512u
#define BLOCK            65536u
#define SCAN_MAX         (1ull << 30)
#define INCOMPAT_RECOVER 4u

/* A FAT long-name entry that spells "random-seed": its thirteen characters lie at fixed places. */
static bool is_seed_entry(const uint8_t *e)
{
	static const char name[] = "random-seed";
	static const uint8_t at[] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24};

	if (e[0] != 0x41 || e[11] != 0x0f) /* deleted entries begin with 0xe5 */
		return false;
	for (size_t i = 0; i < sizeof(at); i++)
		if ((e[at[i]] | 0x20) != (uint8_t) (name[i] | 0x20) || e[at[i] + 1] != 0)
			return false;
	return e[28] == 0 && e[29] == 0;
}

static int scan_esp(struct verify *v, uint64_t offset, uint64_t end, struct err *err)
{
	auto_free uint8_t *block = malloc(BLOCK);
	int r = block ? 0 : -ENOMEM;

	while (r == 0 && offset < end) {
		uint64_t n = 0;
		bool zero = false;
		size_t part;

		r = store_reader_hole(v->reader, offset, end - offset, &zero, &n, err);
		if (r < 0 || zero) {
			offset += n;
			continue;
		}
		part = n < BLOCK ? (size_t) n : BLOCK;
		r = store_reader_read(v->reader, block, part, offset, err);
		for (size_t i = 0; r == 0 && i + 32 <= part; i += 32)
			if (is_seed_entry(block + i))
				return verify_found(v, "EFI system partition: loader/random-seed",
						    "every machine would start with the same seed");
		offset += part;
	}
	return r;
}

int verify_esp_random_seed(struct verify *v, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < v->gpt->n; i++) {
		const struct gpt_part *p = &v->gpt->part[i];
		uint64_t size = (p->last_lba - p->first_lba + 1) * SECTOR;

		if (memcmp(p->type, gpt_type_esp, 16) != 0)
			continue;
		r = scan_esp(v, p->first_lba * SECTOR,
			     p->first_lba * SECTOR + (size < SCAN_MAX ? size : SCAN_MAX), err);
	}
	return r;
}

int verify_superblock(struct verify *v, struct err *err)
{
	uint8_t s[1024];
	uint32_t incompat;
	int r = store_reader_read(v->reader, s, sizeof(s), v->root_offset + 1024, err);

	if (r < 0)
		return r;
	incompat = (uint32_t) s[0x60] | (uint32_t) s[0x61] << 8;
	if (incompat & INCOMPAT_RECOVER)
		r = verify_found(v, "/", "the journal still holds changes");
	if (r == 0 && !(s[0x3a] & 1))
		r = verify_found(v, "/", "the file system was not closed cleanly");
	if (r == 0 && (s[0x3a] & 2))
		r = verify_found(v, "/", "the file system has recorded errors");
	/* Where it was mounted last: a directory of the builder. */
	if (r == 0 && s[0x88] && !(s[0x88] == '/' && !s[0x89]))
		r = verify_found(v, "/", "the superblock names the builder's mount point %.60s",
				 (const char *) s + 0x88);
	return r;
}

static int os_release(struct verify *v, json_t *facts, struct err *err)
{
	static const struct {
		const char *key, *name;
	} wanted[] = {{"ID", "id"},
		      {"VERSION_ID", "versionId"},
		      {"PRETTY_NAME", "prettyName"},
		      {"VERSION_CODENAME", "codename"}};
	auto_free char *text = NULL;
	char *save = NULL;
	auto_json json_t *os = json_object();
	int r = verify_text(v, "/etc/os-release", &text, err);

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; r == 0 && l;
	     l = strtok_r(NULL, "\n", &save)) {
		char *eq = strchr(l, '='), *value = eq ? eq + 1 : NULL;

		if (!eq)
			continue;
		*eq = '\0';
		if (*value == '"') {
			value++;
			value[strcspn(value, "\"")] = '\0';
		}
		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
			if (str_eq(l, wanted[i].key))
				(void) json_object_set_new(os, wanted[i].name, json_string(value));
	}
	return r == 0 && json_object_set(facts, "os", os) < 0 ? -ENOMEM : r;
}

static int add_name(void *arg, const char *name, const struct ext4_stat *st)
{
	return S_ISDIR(st->mode) && json_array_append_new(arg, json_string(name)) < 0 ? -ENOMEM : 0;
}

static int kernels(struct verify *v, json_t *facts, struct err *err)
{
	auto_json json_t *list = json_array();
	struct err e = ERR_INIT;
	int r = list ? ext4_list(v->fs, "/usr/lib/modules", add_name, list, &e) : -ENOMEM;

	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		err_move(err, &e);
	err_done(&e);
	return r == 0 && json_object_set(facts, "kernels", list) < 0 ? -ENOMEM : r;
}

static int packages(struct verify *v, json_t *facts, struct err *err)
{
	static const char mark[] = "\nStatus: install ok installed\n";
	auto_free char *text = NULL;
	json_int_t n = 0;
	size_t bytes;
	int r = ext4_read_file(v->fs, "/var/lib/dpkg/status", 64u << 20, &text, &bytes, NULL);

	if (r == -ENOENT)
		return 0; /* another package manager */
	if (r < 0)
		return err_set(err, r, "/var/lib/dpkg/status: cannot be read");
	for (const char *p = text; (p = strstr(p, mark)); p += sizeof(mark) - 2)
		n++;
	return json_object_set_new(facts, "packages", json_integer(n)) < 0 ? -ENOMEM : 0;
}

static int count_checks(json_t *facts)
{
	json_int_t n = 0;
	const char *last = "";

	for (const struct verify_check *c = verify_checks; c->name; c++) {
		n += strcmp(c->name, last) != 0;
		last = c->name;
	}
	return json_object_set_new(facts, "checks", json_integer(n)) < 0 ? -ENOMEM : 0;
}

int verify_facts(struct verify *v, json_t **ret, struct err *err)
{
	auto_json json_t *facts = json_object();
	int r = facts ? os_release(v, facts, err) : -ENOMEM;

	v->check = "facts";
	if (r == 0)
		r = kernels(v, facts, err);
	if (r == 0)
		r = packages(v, facts, err);
	if (r == 0)
		r = count_checks(facts);
	if (r == 0)
		*ret = take_ptr(facts);
	return r;
}
