/* SPDX-License-Identifier: Apache-2.0 */
#include "support/tmp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

int tmp_dir_setup(void **state)
{
	char *dir = malloc(TMP_DIR_MAX);

	if (!dir)
		return -1;
	/* In memory, where it costs nothing to make a write durable. */
	(void) snprintf(dir, TMP_DIR_MAX, "%s/kiln-test-XXXXXX",
			access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir)) {
		free(dir);
		return -1;
	}
	*state = dir;
	return 0;
}

int tmp_dir_teardown(void **state)
{
	auto_err struct err err = ERR_INIT;
	int r = file_rm_rf(*state, &err);

	if (r < 0)
		print_error("%s\n", err_str(&err));
	free(*state);
	return r;
}

const char *tmp_path(const char *dir, const char *name)
{
	static struct known {
		struct known *next;
		char path[];
	} * all;
	size_t n = strlen(dir) + strlen(name) + 2;
	struct known *k = all;
	char *path = malloc(n);

	assert_non_null(path);
	(void) snprintf(path, n, "%s/%s", dir, name);
	while (k && strcmp(k->path, path) != 0)
		k = k->next;
	if (!k) {
		k = malloc(sizeof(*k) + n);
		assert_non_null(k);
		memcpy(k->path, path, n);
		k->next = all;
		all = k;
	}
	free(path);
	return k->path;
}

const char *tmp_file(const char *dir, const char *name, const char *text)
{
	const char *path = tmp_path(dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	return path;
}

bool tmp_holds(const char *path, const char *text)
{
	auto_buf struct buf b = BUF_INIT(1u << 20);

	return file_read_all(path, &b, NULL) == 0 && b.len == strlen(text) &&
	       memcmp(buf_str(&b), text, b.len) == 0;
}

unsigned tmp_names(const char *dir)
{
	auto_dir DIR *d = opendir(dir);
	const struct dirent *de;
	unsigned n = 0;

	assert_non_null(d);
	while ((de = readdir(d)))
		n += strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
	return n;
}

unsigned tmp_fds(void)
{
	return tmp_names("/proc/self/fd") - 1; /* without the one that lists them */
}

void tmp_skip(const char *why)
{
	print_message("skipped: %s\n", why);
	skip();
	abort();
}
