/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/context.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

#define SECRET_MAX_BYTES 65536

char *context_file(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (xdg && *xdg == '/')
		return strf("%s/kiln/contexts.json", xdg);
	return strf("%s/.config/kiln/contexts.json", home && *home == '/' ? home : "/root");
}

int context_load(json_t **ret, struct err *err)
{
	auto_free char *path = context_file();
	auto_json json_t *all = NULL;
	struct stat st;
	int r;

	if (!path)
		return err_set(err, -ENOMEM, "contexts");
	if (stat(path, &st) < 0 && errno == ENOENT) {
		*ret = json_pack("{s:{}}", "contexts");
		return *ret ? 0 : err_set(err, -ENOMEM, "contexts");
	}
	if (st.st_mode & 077) {
		err_set(err, -EPERM, "%s holds credentials and can be read by others", path);
		err_hint(err, "chmod 600 %s", path);
		return -EPERM;
	}
	r = json_read_file(path, &all, err);
	if (r < 0)
		return r;
	if (!json_is_object(json_object_get(all, "contexts")))
		return err_set(err, -EINVAL, "%s: contexts: an object is expected", path);
	*ret = take_ptr(all);
	return 0;
}

int context_save(const json_t *all, struct err *err)
{
	auto_free char *path = context_file();
	auto_free char *dir = path ? path_dirname(path) : NULL;
	auto_free char *text = json_pretty(all);
	int r;

	if (!dir || !text)
		return err_set(err, -ENOMEM, "contexts");
	r = file_mkdir_p(dir, 0700, err);
	if (r == 0)
		r = file_write_atomic(path, text, strlen(text), 0600, err);
	explicit_bzero(text, strlen(text));
	return r;
}

static int unknown(const json_t *contexts, const char *name, struct err *err)
{
	auto_buf struct buf names = BUF_INIT(65536);
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) contexts, key, value)
		buf_addf(&names, "%s%s", names.len ? ", " : "", key);
	err_set(err, -ENOENT, "no context '%s'", name);
	if (names.len)
		err_hint(err, "there are: %s", buf_str(&names));
	else
		err_hint(err, "make one with 'kiln login ENDPOINT'");
	return -ENOENT;
}

int context_find(const char *name, json_t **ret, struct err *err)
{
	auto_json json_t *all = NULL;
	const json_t *contexts, *found;
	int r = context_load(&all, err);

	*ret = NULL;
	if (r < 0)
		return r;
	if (!name)
		name = json_str_at(all, "current");
	if (!name)
		return 0;
	contexts = json_object_get(all, "contexts");
	found = json_object_get(contexts, name);
	if (!found)
		return unknown(contexts, name, err);
	*ret = json_deep_copy(found);
	if (!*ret || json_object_set_new(*ret, "name", json_string(name)) < 0)
		return err_set(err, -ENOMEM, "contexts");
	return 0;
}

int context_keep(const json_t *context, struct err *err)
{
	const char *name = json_str_at(context, "name");
	auto_json json_t *all = NULL, *copy = NULL;
	int r = name ? context_load(&all, err) : 0;

	if (!name || r < 0)
		return r;
	copy = json_deep_copy(context);
	if (!copy)
		return err_set(err, -ENOMEM, "contexts");
	(void) json_object_del(copy, "name");
	if (json_object_set(json_object_get(all, "contexts"), name, copy) < 0)
		return err_set(err, -ENOMEM, "contexts");
	return context_save(all, err);
}

int context_read_secret(const char *file, char **ret, struct err *err)
{
	bool standard = strcmp(file, "-") == 0;
	auto_buf struct buf text = BUF_INIT(SECRET_MAX_BYTES);
	auto_fd int fd = standard ? -1 : open(file, O_RDONLY | O_CLOEXEC);
	int r;

	if (!standard && fd < 0)
		return err_set(err, -errno, "%s: %s", file, strerror(errno));
	r = file_read_fd(standard ? STDIN_FILENO : fd, &text);
	if (r < 0)
		return err_set(err, r, "%s: %s", standard ? "standard input" : file, strerror(-r));
	*ret = strndup(buf_str(&text), strcspn(buf_str(&text), "\r\n"));
	if (text.data)
		explicit_bzero(text.data, text.len);
	if (*ret && **ret)
		return 0;
	free(*ret);
	*ret = NULL;
	return err_set(err, -EINVAL, "%s is empty", standard ? "standard input" : file);
}
