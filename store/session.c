/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: the rows that keep what a writer relies on from being collected, and its packs. The
 * owner's text is "PLACE PID START", so that a crashed owner on this host is known at once.
 */
#include <fcntl.h>
#include <limits.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/timeutil.h"
#include "store/internal.h"

/* Packs that are known to be pinned: open addressing per region. */
struct pin_set {
	struct pack_id *ids; /* zero id = free */
	size_t cap, n;
};

static const struct pack_id no_pack;

static size_t pin_slot(const struct pin_set *p, const struct pack_id *id)
{
	size_t h;

	memcpy(&h, id->b, sizeof(h));
	h &= p->cap - 1;
	while (memcmp(&p->ids[h], &no_pack, sizeof(no_pack)) != 0 &&
	       memcmp(&p->ids[h], id, sizeof(*id)) != 0)
		h = (h + 1) & (p->cap - 1);
	return h;
}

static bool pin_has(const struct pin_set *p, const struct pack_id *id)
{
	return p->cap > 0 && memcmp(&p->ids[pin_slot(p, id)], id, sizeof(*id)) == 0;
}

static int pin_add(struct pin_set *p, const struct pack_id *id)
{
	if (p->n + 1 > p->cap / 2) {
		struct pin_set big = {.cap = p->cap ? p->cap * 2 : 64};

		big.ids = calloc(big.cap, sizeof(*big.ids));
		if (!big.ids)
			return -ENOMEM;
		for (size_t i = 0; i < p->cap; i++) {
			if (memcmp(&p->ids[i], &no_pack, sizeof(no_pack)) == 0)
				continue;
			big.ids[pin_slot(&big, &p->ids[i])] = p->ids[i];
			big.n++;
		}
		free(p->ids);
		*p = big;
	}
	if (!pin_has(p, id)) {
		p->ids[pin_slot(p, id)] = *id;
		p->n++;
	}
	return 0;
}

static int read_place(char dst[SESSION_PLACE_MAX])
{
	auto_buf struct buf b = BUF_INIT(UUID_STR + 8);
	struct stat ns = {0};
	auto_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = file_read_fd(fd, &b);
	if (r < 0)
		return r;
	if (b.len < UUID_STR - 1)
		return -EIO;
	(void) stat("/proc/self/ns/pid", &ns); /* 0 where there are no namespaces */
	(void) snprintf(dst, SESSION_PLACE_MAX, "%.*s/%llu", UUID_STR - 1, buf_str(&b),
			(unsigned long long) ns.st_ino);
	return 0;
}

bool session_owner_alive(void *arg, const char *owner, bool lease_over)
{
	const char *place = arg;
	size_t n = strlen(place);
	unsigned long long start;
	char *end;
	long pid;

	/* Another host or container, or an earlier boot of this one: only the lease can tell. */
	if (strncmp(owner, place, n) != 0 || owner[n] != ' ')
		return !lease_over;
	errno = 0;
	pid = strtol(owner + n + 1, &end, 10);
	if (pid <= 0 || pid > INT_MAX || *end != ' ')
		return !lease_over;
	start = strtoull(end + 1, &end, 10);
	if (*end || errno)
		return !lease_over;
	return proc_alive((pid_t) pid, start);
}

int session_place(char dst[SESSION_PLACE_MAX], struct err *err)
{
	int r = read_place(dst);

	return r < 0 ? err_set(err, r, "cannot read the boot id: %s", strerror(-r)) : 0;
}

int store_session_begin(struct store *s, const char *purpose, struct store_session **ret,
			struct err *err)
{
	struct store_session *ss;
	auto_free char *owner = NULL;
	char place[SESSION_PLACE_MAX];
	int r;

	*ret = NULL;
	if (s->read_only)
		return err_set(err, -EROFS, "the store was opened read-only");
	r = session_place(place, err);
	if (r < 0)
		return r;
	owner = strf("%s %d %llu", place, (int) getpid(),
		     (unsigned long long) proc_start_ticks(getpid()));
	ss = calloc(1, sizeof(*ss));
	if (!ss || !owner) {
		free(ss);
		return err_set(err, -ENOMEM, "out of memory");
	}
	ss->store = s;
	ss->renewed_ns = time_mono_ns();
	(void) pthread_mutex_init(&ss->lock, NULL);
	ss->writers = calloc(s->n_regions, sizeof(struct writer *));
	ss->pins = calloc(s->n_regions, sizeof(*ss->pins));
	r = ss->writers && ss->pins ? 0 : err_set(err, -ENOMEM, "out of memory");
	if (r >= 0)
		r = packs_session_begin(s->meta, purpose, owner, SESSION_LEASE_S, &ss->key, err);
	for (unsigned i = 0; i < s->n_regions && r >= 0; i++)
		r = region_catch_up(s, i, err);
	if (r < 0) {
		store_session_end(ss);
		return err_ctx(err, r, "store session");
	}
	*ret = ss;
	return 0;
}

void store_session_end(struct store_session *ss)
{
	if (!ss)
		return;
	for (unsigned i = 0; ss->writers && i < ss->store->n_regions; i++)
		writer_free(ss->writers[i]);
	for (unsigned i = 0; ss->pins && i < ss->store->n_regions; i++)
		free(ss->pins[i].ids);
	/* When this fails the rows end with this process, as for any dead owner. */
	if (ss->key.token > 0)
		(void) packs_session_end(ss->store->meta, ss->key.id, NULL);
	(void) pthread_mutex_destroy(&ss->lock);
	free(ss->writers);
	free(ss->pins);
	free(ss->products);
	free(ss);
}

int session_alone(struct store *s, unsigned region, const char *purpose, struct store_session **ret,
		  unsigned *ret_ended, struct err *err)
{
	struct store_session *ss = NULL;
	char place[SESSION_PLACE_MAX];
	int r = session_place(place, err);

	if (r >= 0)
		r = packs_session_expire(s->meta, session_owner_alive, place, ret_ended, err);
	if (r >= 0)
		r = store_session_begin(s, purpose, &ss, err);
	if (r >= 0)
		r = packs_gc_claim(s->meta, &ss->key, region_name_of(s, region), err);
	if (r < 0) {
		store_session_end(ss);
		return r;
	}
	*ret = ss;
	return 0;
}

int session_writer(struct store_session *ss, unsigned region, struct writer **ret, struct err *err)
{
	bool first;
	int r = 0;

	pthread_mutex_lock(&ss->lock);
	first = !ss->writers[region];
	pthread_mutex_unlock(&ss->lock);
	if (first && !ss->mends)
		r = incarnation_vouch(ss->store, region, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&ss->lock);
	if (!ss->writers[region])
		r = writer_new(ss, region, &ss->writers[region], err);
	*ret = ss->writers[region];
	pthread_mutex_unlock(&ss->lock);
	return r;
}

int session_pin(struct store_session *ss, unsigned region, const struct pack_id *packs, size_t n,
		bool *io_ok, struct err *err)
{
	struct pack_id want[RUN_CHUNKS * 2];
	bool ok[RUN_CHUNKS * 2];
	size_t n_want = 0;
	int r;

	pthread_mutex_lock(&ss->lock);
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		if (!io_ok[i] || pin_has(&ss->pins[region], &packs[i]))
			continue;
		while (k < n_want && memcmp(&want[k], &packs[i], sizeof(want[k])) != 0)
			k++;
		if (k == n_want && n_want < ARRAY_SIZE(want))
			want[n_want++] = packs[i];
	}
	pthread_mutex_unlock(&ss->lock);
	if (n_want == 0)
		return 0;
	r = packs_pin(ss->store->meta, &ss->key, region_name_of(ss->store, region), want, n_want,
		      ok, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&ss->lock);
	for (size_t k = 0; k < n_want && r >= 0; k++)
		if (ok[k])
			r = pin_add(&ss->pins[region], &want[k]);
	for (size_t i = 0; i < n; i++)
		io_ok[i] = io_ok[i] && pin_has(&ss->pins[region], &packs[i]);
	pthread_mutex_unlock(&ss->lock);
	return r < 0 ? err_set(err, r, "out of memory") : 0;
}

int session_pinned(struct store_session *ss, unsigned region, const struct pack_id *id)
{
	int r;

	pthread_mutex_lock(&ss->lock);
	r = pin_add(&ss->pins[region], id);
	pthread_mutex_unlock(&ss->lock);
	return r;
}

int session_renew(struct store_session *ss, struct err *err)
{
	int64_t now = time_mono_ns();
	bool due;

	pthread_mutex_lock(&ss->lock);
	due = now - ss->renewed_ns > (int64_t) SESSION_LEASE_S * 1000000000 / 3;
	if (due)
		ss->renewed_ns = now;
	pthread_mutex_unlock(&ss->lock);
	return due ? packs_session_renew(ss->store->meta, &ss->key, SESSION_LEASE_S, err) : 0;
}

int session_product(struct store_session *ss, unsigned region, const struct disk_ref *disk,
		    struct err *err)
{
	struct product *p;

	pthread_mutex_lock(&ss->lock);
	p = reallocarray(ss->products, ss->n_products + 1, sizeof(*p));
	if (p) {
		p[ss->n_products++] = (struct product){region, disk->digest};
		ss->products = p;
	}
	pthread_mutex_unlock(&ss->lock);
	return p ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int session_hold(struct store_session *ss, unsigned region, const struct disk_ref *disk,
		 struct err *err)
{
	auto_free char *id = NULL;
	char hex[DIGEST_HEX];
	bool known = digest_is_zero(&disk->root);
	struct root_row row = {
		.region = region_name_of(ss->store, region),
		.kind = "session",
		.root = disk->root,
		.digest = disk->digest,
		.size_bytes = disk->size_bytes,
	};
	int r;

	pthread_mutex_lock(&ss->lock);
	for (size_t i = 0; i < ss->n_products && !known; i++)
		known = ss->products[i].region == region &&
			digest_eq(&ss->products[i].digest, &disk->digest);
	pthread_mutex_unlock(&ss->lock);
	if (known)
		return 0;
	id = strf("%s/%s", ss->key.id, digest_hex(&disk->digest, hex));
	if (!id)
		return err_set(err, -ENOMEM, "out of memory");
	row.id = id;
	r = packs_root_hold(ss->store->meta, &ss->key, &row, err);
	if (r == -ENOENT)
		err_hint(err, "Replicate it there first, or add a root.");
	return r;
}
