/* SPDX-License-Identifier: Apache-2.0 */
/* Reads OVAs: a plain tar whose first member is the descriptor, with one disk, a VMDK. */
#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "disk/formats/read.h"

#define TAR         512u
#define MEMBERS_MAX 64u
#define NAME_BYTES  101u

struct member {
	char name[NAME_BYTES];
	uint64_t at, n;
};
struct ova {
	const struct reading *r;
	struct member v[MEMBERS_MAX];
	unsigned n;
};

static bool ova_probe(const uint8_t *head, const uint8_t *tail, uint64_t file_bytes)
{
	return memcmp(head + 257, "ustar", 5) == 0;
}

static int number(const uint8_t *p, unsigned n, uint64_t *ret)
{
	uint64_t v = 0;
	unsigned i = 0;

	if (p[0] == 0x80) { /* base 256 */
		if (!all_zero(p + 1, n - 9))
			return -EINVAL;
		*ret = get_be(p + n - 8, 8);
		return 0;
	}
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v * 8 + (p[i] - '0');
	for (unsigned k = i; k < n; k++)
		if (p[k] != 0 && p[k] != ' ')
			return -EINVAL;
	*ret = v;
	return i ? 0 : -EINVAL;
}

static int take_member(struct ova *o, const uint8_t *h, uint64_t at, struct err *err)
{
	struct member *m = &o->v[o->n];
	uint64_t want = 0, sum = 0;

	for (unsigned i = 0; i < TAR; i++)
		sum += i >= 148 && i < 156 ? ' ' : h[i];
	if (number(h + 148, 8, &want) < 0 || want != sum)
		return image_refuse(err, "tar: wrong checksum at byte %" PRIu64, at);
	memcpy(m->name, h, 100);
	m->name[100] = '\0';
	if (h[156] != '0' && h[156] != 0)
		return image_refuse(err, "tar: member '%.100s' is no plain file", m->name);
	if (h[345] != 0 || !m->name[0] || strchr(m->name, '/') || m->name[0] == '.')
		return image_refuse(err, "tar: name '%.100s'", m->name);
	for (unsigned i = 0; i < o->n; i++)
		if (strcmp(o->v[i].name, m->name) == 0)
			return image_refuse(err, "tar: member '%.100s' twice", m->name);
	if (number(h + 124, 12, &m->n) < 0 || !range_ok(at + TAR, m->n, o->r->view.bytes))
		return image_refuse(err, "tar: member '%.100s' is not whole", m->name);
	m->at = at + TAR;
	o->n++;
	return 0;
}

static int read_members(struct ova *o, struct err *err)
{
	uint64_t at = 0;
	uint8_t h[TAR];

	while (at + TAR <= o->r->view.bytes) {
		int r = view_read(&o->r->view, h, sizeof(h), at, err);

		if (r < 0)
			return r;
		if (all_zero(h, sizeof(h)))
			return 0;
		if (memcmp(h + 257, "ustar", 5) != 0)
			return image_refuse(err, "tar: no member at byte %" PRIu64, at);
		if (o->n == MEMBERS_MAX)
			return image_refuse(err, "tar: more than %u members", MEMBERS_MAX);
		r = take_member(o, h, at, err);
		if (r < 0)
			return r;
		at = o->v[o->n - 1].at + (o->v[o->n - 1].n + TAR - 1) / TAR * TAR;
	}
	return image_refuse(err, "tar: it does not end");
}

/* ---- The manifest -------------------------------------------------------------------------- */

static int sum_of(const struct ova *o, const struct member *m, char hex[DIGEST_HEX],
		  struct err *err)
{
	auto_free uint8_t *buf = malloc(1 << 20);
	struct sha256_ctx *c = buf ? sha256_new() : NULL;
	struct digest d;
	int r = 0;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint64_t done = 0; done < m->n && r == 0;) {
		size_t k = m->n - done < 1 << 20 ? (size_t) (m->n - done) : 1 << 20;

		r = view_read(&o->r->view, buf, k, m->at + done, err);
		sha256_add(c, buf, k);
		done += k;
	}
	sha256_end(c, &d);
	digest_hex(&d, hex);
	return r;
}

/* "SHA256(NAME)= HEX", one a line; older sums say too little to refuse by. */
static int check_line(const struct ova *o, const char *line, struct err *err)
{
	char name[NAME_BYTES], want[DIGEST_HEX], is[DIGEST_HEX];

	if (sscanf(line, "SHA256(%100[^)])= %64[0-9a-fA-F]", name, want) != 2)
		return 0;
	for (unsigned i = 0; i < o->n; i++) {
		int r;

		if (strcmp(o->v[i].name, name) != 0)
			continue;
		r = sum_of(o, &o->v[i], is, err);
		if (r < 0)
			return r;
		return strcasecmp(is, want) == 0
			       ? 0
			       : image_refuse(err, "%.100s has another sum than the manifest says",
					      name);
	}
	return image_refuse(err, "the manifest names '%.100s', which is not there", name);
}

static int check_manifest(const struct ova *o, const struct member *m, struct err *err)
{
	auto_free uint8_t *text = NULL;
	char line[300];
	int r;

	if (m->n > READ_TEXT_MAX)
		return image_refuse(err, "manifest of %" PRIu64 " bytes", m->n);
	r = view_table(&o->r->view, m->at, m->n, "manifest", &text, err);
	for (size_t i = 0, k; r == 0 && i < m->n; i += k + 1) {
		for (k = 0; i + k < m->n && text[i + k] != '\n';)
			k++;
		(void) snprintf(line, sizeof(line), "%.*s", (int) (k < 299 ? k : 299),
				(const char *) text + i);
		r = check_line(o, line, err);
	}
	return r;
}

static int ova_read(const struct reading *rd, struct err *err)
{
	struct ova o = {.r = rd};
	const struct member *disk = NULL;
	struct reading inner = *rd;
	int r = read_members(&o, err);

	if (r == 0 && (o.n == 0 || !str_ends(o.v[0].name, ".ovf")))
		r = image_refuse(err, "its first member is no OVF descriptor");
	for (unsigned i = 1; i < o.n && r == 0; i++) {
		const struct member *m = &o.v[i];

		if (str_ends(m->name, ".mf"))
			r = check_manifest(&o, m, err);
		else if (str_ends(m->name, ".vmdk") && !disk)
			disk = m;
		else if (!str_ends(m->name, ".cert") && !str_ends(m->name, ".nvram"))
			r = image_refuse(err, "member '%.100s': one disk (.vmdk) expected",
					 m->name);
	}
	if (r == 0 && !disk)
		r = image_refuse(err, "it has no disk (.vmdk)");
	if (r < 0 || !disk)
		return r;
	inner.view.base += disk->at;
	inner.view.bytes = disk->n;
	r = vmdk_read(&inner, err);
	return r < 0 ? err_ctx(err, r, "%s", disk->name) : 0;
}

extern const struct image_reader read_ova;
const struct image_reader read_ova = {"ova", "a tar (OVA)", ova_probe, ova_read, NULL};
