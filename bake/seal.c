/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/seal.h"

#include <fcntl.h>

#include "bake/seal_internal.h"
#include "base/file.h"
#include "base/mem.h"

#define PASSWD_MAX (1u << 20)
#define HOMES_MAX  4096

static bool known(char **v, const char *s)
{
	for (; v && *v; v++)
		if (str_eq(*v, s))
			return true;
	return false;
}

/* A home that belongs to a person: below /home or /root, or anything that is no system directory.
 */
static bool home_ok(const char *home)
{
	static const char *const not [] = {"/",    "/bin",  "/sbin", "/dev",         "/usr",
					   "/etc", "/proc", "/run",  "/nonexistent", "/var/run"};

	if (home[0] != '/' || strstr(home, "/../") || str_ends(home, "/..") || strlen(home) > 512)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(not ); i++)
		if (str_eq(home, not [i]) ||
		    (i > 0 && strncmp(home, not [i], strlen(not [i])) == 0 &&
		     home[strlen(not [i])] == '/'))
			return false;
	return strpbrk(home, "*?[") == NULL;
}

static int add_home(char ***homes, const char *home)
{
	auto_free char *copy = strdup(home);

	if (!copy)
		return -ENOMEM;
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	return home_ok(copy) && !known(*homes, copy) ? strv_push(homes, copy) : 0;
}

/* Homes of passwd, and every directory below /home: users of a directory service have no line. */
static int find_homes(struct seal *s, struct err *err)
{
	auto_fd int fd = file_open_in_root(s->rootfd, "/etc/passwd", O_RDONLY | O_NONBLOCK, 0);
	auto_fd int home = file_open_in_root(s->rootfd, "/home", O_RDONLY | O_DIRECTORY, 0);
	auto_buf struct buf text = BUF_INIT(PASSWD_MAX);
	auto_strv char **names = NULL;
	int r = strv_push(&s->homes, "/root");

	if (r == 0)
		r = strv_push(&s->homes, "/etc/skel");
	if (r == 0 && fd >= 0)
		r = file_read_fd(fd, &text);
	for (char *line = text.data, *next; r == 0 && line && *line; line = next) {
		char *p = line;

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		for (int i = 0; i < 5 && p; i++) {
			p = strchr(p, ':');
			p = p ? p + 1 : NULL;
		}
		if (!p || strv_len(s->homes) > HOMES_MAX)
			continue;
		p[strcspn(p, ":")] = '\0';
		r = add_home(&s->homes, p);
	}
	if (r == 0 && home >= 0)
		r = seal_names(home, &names);
	for (char **n = names; r == 0 && n && *n; n++) {
		auto_free char *path = path_join("/home", *n);

		r = path ? add_home(&s->homes, path) : -ENOMEM;
	}
	return r < 0 ? err_set(err, r, "homes of the image's users: %s", strerror(-r)) : 0;
}

static int run_op(const struct seal *s, const struct seal_op *op, unsigned *changed,
		  struct err *err)
{
	int r = 0;

	if (op->action == SEAL_CALL)
		return op->call(s, changed, err);
	for (size_t i = 0; r == 0 && i < SEAL_PATTERNS && op->pattern[i]; i++)
		r = seal_match(s, op->action, op->pattern[i], changed, err);
	return r;
}

int seal_root(int rootfd, json_t **ret_report, struct err *err)
{
	struct seal s = {.rootfd = rootfd};
	auto_json json_t *report = json_array();
	int r = report ? find_homes(&s, err) : err_set(err, -ENOMEM, "generalize");

	for (const struct seal_op *op = seal_ops; r == 0 && op->name; op++) {
		unsigned changed = 0;

		s.dry = false;
		r = run_op(&s, op, &changed, err);
		if (r < 0)
			r = err_ctx(err, r, "generalize: %s", op->name);
		else if (json_array_append_new(report,
					       json_pack("{s:s, s:i}", "operation", op->name,
							 "changed", (int) changed)) < 0)
			r = err_set(err, -ENOMEM, "generalize");
	}
	/* A second look at everything, after the last operation. */
	for (const struct seal_op *op = seal_ops; r == 0 && op->name; op++) {
		unsigned left = 0;

		s.dry = true;
		r = run_op(&s, op, &left, err);
		if (r == 0 && left > 0)
			r = err_set(err, -EIO, "%u things are still there after removal", left);
		if (r < 0)
			r = err_ctx(err, r, "generalize: %s", op->name);
	}
	strv_free(s.homes);
	if (r == 0)
		*ret_report = take_ptr(report);
	return r;
}
