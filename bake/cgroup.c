/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define PROC_FILE_MAX (4u << 20)
#define MAX_DIRS      3
#define PARENT_TRIES  5

/* Is @word one of the comma-separated @list? */
static bool in_list(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
	return false;
}

static void copy_text(char *dst, size_t size, const char *src)
{
	if (strlen(src) < size)
		(void) snprintf(dst, size, "%s", src);
}

/* "36 35 0:28 /root /mount/point opts - TYPE source SUPEROPTS" */
static void parse_mount(char *line, struct cgroup_layout *l)
{
	char *tail = strstr(line, " - "), *save = NULL, *point = NULL, *type, *super;
	int field = 0;

	if (!tail)
		return;
	*tail = '\0';
	for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (++field == 5)
			point = w;
	type = strtok_r(tail + 3, " ", &save);
	(void) strtok_r(NULL, " ", &save);
	super = strtok_r(NULL, " ", &save);
	if (!point || !type)
		return;
	if (str_eq(type, "cgroup2") && !*l->v2)
		copy_text(l->v2, sizeof(l->v2), point);
	if (!str_eq(type, "cgroup") || !super)
		return;
	if (in_list(super, "memory") && !*l->memory)
		copy_text(l->memory, sizeof(l->memory), point);
	if (in_list(super, "pids") && !*l->pids)
		copy_text(l->pids, sizeof(l->pids), point);
}

/* "8:pids:/path" */
static void parse_self(char *line, struct cgroup_layout *l)
{
	char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;

	if (!path)
		return;
	*path++ = '\0';
	list++;
	if (in_list(list, "memory"))
		copy_text(l->own_memory, sizeof(l->own_memory), path);
	if (in_list(list, "pids"))
		copy_text(l->own_pids, sizeof(l->own_pids), path);
}

void cgroup_layout_parse(const char *mountinfo, const char *self, struct cgroup_layout *ret)
{
	auto_free char *mounts = strdup(mountinfo), *own = strdup(self);
	char *save = NULL;

	*ret = (struct cgroup_layout){.own_memory = "/", .own_pids = "/"};
	if (!mounts || !own)
		return;
	for (char *w = strtok_r(mounts, "\n", &save); w; w = strtok_r(NULL, "\n", &save))
		parse_mount(w, ret);
	for (char *w = strtok_r(own, "\n", &save); w; w = strtok_r(NULL, "\n", &save))
		parse_self(w, ret);
}

static int read_layout(struct cgroup_layout *ret, struct err *err)
{
	auto_buf struct buf mounts = BUF_INIT(PROC_FILE_MAX), self = BUF_INIT(PROC_FILE_MAX);
	auto_fd int a = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	auto_fd int b = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);

	if (a < 0 || b < 0 || file_read_fd(a, &mounts) < 0 || file_read_fd(b, &self) < 0)
		return err_set(err, -EIO, "read /proc/self: is /proc mounted?");
	cgroup_layout_parse(buf_str(&mounts), buf_str(&self), ret);
	return 0;
}

static bool write_at(const char *dir, const char *name, const char *text)
{
	auto_free char *path = path_join(dir, name);
	auto_fd int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
	ssize_t n = (ssize_t) strlen(text);

	return fd >= 0 && write(fd, text, (size_t) n) == n;
}

static bool write_number(const char *dir, const char *name, uint64_t v)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%llu", (unsigned long long) v);
	return write_at(dir, name, text);
}

struct dirs {
	char *v2_parent, *v2, *memory, *pids;
};

static void dirs_done(struct dirs *d)
{
	free(d->v2_parent);
	free(d->v2);
	free(d->memory);
	free(d->pids);
}

static char *join3(const char *mount, const char *own, const char *name)
{
	auto_free char *mid = path_join(mount, own[0] == '/' ? own + 1 : own);

	return mid ? path_join(mid, name) : NULL;
}

static int name_dirs(const struct cgroup_layout *l, struct dirs *d, struct err *err)
{
	char id[33], name[48];
	int r = tmp_name(id);

	if (r < 0)
		return err_set(err, r, "cgroup name");
	(void) snprintf(name, sizeof(name), "kiln-%.16s", id);
	if (*l->v2) {
		/* A parent of its own, without processes, so that controllers may be lent. */
		d->v2_parent = path_join(l->v2, "kiln");
		d->v2 = d->v2_parent ? path_join(d->v2_parent, name) : NULL;
	}
	if (*l->memory)
		d->memory = join3(l->memory, l->own_memory, name);
	if (*l->pids)
		d->pids = join3(l->pids, l->own_pids, name);
	if ((*l->v2 && !d->v2) || (*l->memory && !d->memory) || (*l->pids && !d->pids))
		return err_set(err, -ENOMEM, "cgroup names");
	return 0;
}

static int register_dirs(struct journal *j, const struct dirs *d, struct cgroup *c, struct err *err)
{
	const char *all[MAX_DIRS] = {d->v2, d->memory, d->pids};
	auto_json json_t *paths = json_array();

	for (int i = 0; i < MAX_DIRS; i++)
		if (all[i] && json_array_append_new(paths, json_string(all[i])) < 0)
			return err_set(err, -ENOMEM, "cgroup");
	return journal_add(j, "cgroup", json_pack("{s:O}", "paths", paths), &c->entry, err);
}

/* Makes one directory and notes its cgroup.procs. False: the host does not lend it. */
static bool make_dir(const char *dir, struct cgroup *c)
{
	auto_free char *procs = NULL;

	if (!dir)
		return false;
	if (mkdir(dir, 0755) < 0) {
		int saved = errno;

		log_debug("cgroup.mkdir", "path=%s errno=%d", dir, saved);
		errno = saved;
		return false;
	}
	procs = path_join(dir, "cgroup.procs");
	return procs && strv_push(&c->procs, procs) == 0;
}

static void make_v2(const struct cgroup_layout *l, const struct dirs *d,
		    const struct cgroup_limits *want, struct cgroup *c)
{
	auto_free char *kill = d->v2 ? path_join(d->v2, "cgroup.kill") : NULL;

	if (!d->v2 || !kill)
		return;
	/* Lending may fail for one controller and work for the other. */
	(void) write_at(l->v2, "cgroup.subtree_control", "+memory");
	(void) write_at(l->v2, "cgroup.subtree_control", "+pids");
	for (int i = 0; i < PARENT_TRIES; i++) {
		/* Its last user may be removing the parent just now. */
		if (mkdir(d->v2_parent, 0755) < 0 && errno != EEXIST)
			return;
		(void) write_at(d->v2_parent, "cgroup.subtree_control", "+memory");
		(void) write_at(d->v2_parent, "cgroup.subtree_control", "+pids");
		if (make_dir(d->v2, c))
			break;
		if (errno != ENOENT || i == PARENT_TRIES - 1)
			return;
	}
	c->parent = strdup(d->v2_parent); /* without it the empty parent stays, no more */
	if (file_exists(kill))
		c->kill = take_ptr(kill);
	if (want->memory_bytes && write_number(d->v2, "memory.max", want->memory_bytes)) {
		c->memory = true;
		(void) write_at(d->v2, "memory.swap.max", "0");
		(void) write_at(d->v2, "memory.oom.group", "1");
	}
	if (want->pids)
		c->pids = write_number(d->v2, "pids.max", want->pids);
}

static void make_v1(const struct dirs *d, const struct cgroup_limits *want, struct cgroup *c)
{
	if (!c->memory && want->memory_bytes && make_dir(d->memory, c))
		c->memory = write_number(d->memory, "memory.limit_in_bytes", want->memory_bytes);
	if (!c->pids && want->pids && make_dir(d->pids, c))
		c->pids = write_number(d->pids, "pids.max", want->pids);
}

int cgroup_new(struct journal *j, const struct cgroup_limits *limits, struct cgroup *ret,
	       struct err *err)
{
	struct cgroup_layout l;
	struct cgroup c = {0};
	struct dirs d = {0};
	int r = read_layout(&l, err);

	if (r == 0)
		r = name_dirs(&l, &d, err);
	if (r == 0)
		r = register_dirs(j, &d, &c, err);
	if (r == 0) {
		make_v2(&l, &d, limits, &c);
		make_v1(&d, limits, &c);
		*ret = c;
	}
	dirs_done(&d);
	return r;
}

int cgroup_free(struct cgroup *c, struct err *err)
{
	int r = c->entry ? journal_undo(c->entry, err) : 0;

	if (c->parent)
		(void) rmdir(c->parent); /* stays while others are in it */
	strv_free(c->procs);
	free(c->kill);
	free(c->parent);
	*c = (struct cgroup){0};
	return r;
}
