/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs that a reader found damaged. Who reads may not be able to repair (the NBD daemon has no
 * rows), so it leaves a note, DIR/heal/REGION.PACK, and serves from elsewhere; whoever writes next
 * mends what the notes name. A note is a hint: the pack is proven before anything is done.
 */
#include <dirent.h>
#include <fcntl.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/internal.h"
#include "store/maintain.h"

#define NOTES_MAX 10000 /* at a time */

/* Was it noted lately? Then a damaged pack costs one file, not one a read. */
static bool known(struct store *s, unsigned region, const struct pack_id *id)
{
	struct heal_note *n = &s->heal_notes[id->b[0] % HEAL_NOTES];
	bool same;

	pthread_mutex_lock(&s->heal_lock);
	same = n->set && n->region == region && memcmp(&n->pack, id, sizeof(*id)) == 0;
	*n = (struct heal_note){*id, region, true};
	pthread_mutex_unlock(&s->heal_lock);
	return same;
}

void heal_note(struct store *s, unsigned region, const struct pack_id *id)
{
	auto_free char *dir = path_join(s->dir, "heal"), *path = NULL;
	char hex[PACK_ID_HEX];
	int fd;

	if (known(s, region, id) || !dir)
		return;
	hex_encode(id->b, sizeof(id->b), hex);
	path = strf("%s/%s.%s", dir, region_name_of(s, region), hex);
	if (!path || (mkdir(dir, 0770) < 0 && errno != EEXIST))
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	log_debug("store.heal.note", "region=%s pack=%s errno=%d", region_name_of(s, region), hex,
		  fd < 0 ? errno : 0);
	if (fd >= 0)
		(void) close(fd);
}

static void forget(struct store *s)
{
	pthread_mutex_lock(&s->heal_lock);
	memset(s->heal_notes, 0, sizeof(s->heal_notes));
	pthread_mutex_unlock(&s->heal_lock);
}

/* "REGION.PACK" */
static int parse(const struct store *s, const char *name, unsigned *ret_region, struct pack_id *ret)
{
	const char *dot = strrchr(name, '.');
	auto_free char *region = dot ? strndup(name, (size_t) (dot - name)) : NULL;
	int at = region ? store_region_index(s, region, NULL) : -ENOENT;

	if (at < 0 || strlen(dot + 1) != PACK_ID_HEX - 1)
		return -EINVAL;
	*ret_region = (unsigned) at;
	return hex_decode(dot + 1, ret->b, sizeof(ret->b));
}

/* 1 = the note is settled. */
static int mend(struct store *s, unsigned region, const struct pack_id *id, struct cancel *cancel,
		struct store_heal_result *ret, struct err *err)
{
	struct store_check_result k = {0};
	struct pack_row row;
	int r = packs_get(s->meta, region_name_of(s, region), id, &row, NULL);

	if (r < 0 || row.state == PACK_DELETING)
		return r < 0 && r != -ENOENT ? r : 1; /* collected, or healed by somebody */
	r = check_heal_pack(s, region, &row, cancel, &k, err);
	if (r < 0)
		return r;
	ret->packs += k.damaged_packs;
	ret->healed += k.healed;
	ret->lost += k.lost;
	return 1;
}

int store_heal_pending(struct store *s, struct cancel *cancel, struct store_heal_result *ret,
		       struct err *err)
{
	auto_free char *dir = path_join(s->dir, "heal"), *lock = path_join(s->dir, "heal.lock");
	auto_dir DIR *dp = NULL;
	auto_fd int fd = -1;
	struct dirent *de;
	int r = 0;

	*ret = (struct store_heal_result){0};
	if (!dir || !lock)
		return err_set(err, -ENOMEM, "out of memory");
	if (s->read_only || !s->meta)
		return err_set(err, -EROFS, "the store was opened read-only");
	dp = opendir(dir);
	if (!dp)
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", dir, strerror(errno));
	r = lock_file(lock, LOCK_EXCLUSIVE | LOCK_NONBLOCK, &fd, err);
	if (r == -EAGAIN) {
		err_done(err);
		return 0; /* somebody is at it */
	}
	for (unsigned n = 0; r >= 0 && n < NOTES_MAX && (de = readdir(dp)); n++) {
		auto_free char *path = path_join(dir, de->d_name);
		unsigned region;
		struct pack_id id;

		if (de->d_name[0] == '.' || parse(s, de->d_name, &region, &id) < 0)
			continue;
		r = cancel_check(cancel);
		if (r < 0)
			return err_set(err, r, "cancelled");
		r = mend(s, region, &id, cancel, ret, err);
		if (r > 0 && path)
			(void) unlink(path);
	}
	forget(s);
	return r < 0 ? err_ctx(err, r, "heal") : 0;
}
