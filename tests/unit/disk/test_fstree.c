/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "disk/fstree.h"

static struct fstree *tree_make(void)
{
	struct fstree *t;

	assert_int_equal(fstree_new(&t), 0);
	return t;
}

static void paths(void **state)
{
	struct fstree *t = tree_make();
	char name[FSTREE_MAX_NAME + 2], deep[FSTREE_MAX_PATH + 8];

	assert_int_equal(fstree_add_file(t, "./a//b/./c", 0600, "hi", 2, NULL), 0);
	assert_non_null(fstree_find(t, "/a/b/c"));
	assert_int_equal(fstree_find(t, "a")->inode->mode, S_IFDIR | 0755);
	assert_int_equal(fstree_add_file(t, "a/../b", 0600, "", 0, NULL), -EINVAL);
	assert_int_equal(fstree_add_file(t, "..", 0600, "", 0, NULL), -EINVAL);
	assert_int_equal(fstree_add_file(t, "/", 0600, "", 0, NULL), -EINVAL);
	assert_int_equal(fstree_add_file(t, "a/b/c/d", 0600, "", 0, NULL), -EINVAL);
	assert_int_equal(fstree_add_dir(t, "/", 0700, NULL), 0);
	assert_int_equal(fstree_root(t)->inode->mode, S_IFDIR | 0700);
	assert_non_null(fstree_find(t, "a/b/c"));

	memset(name, 'n', sizeof(name));
	name[FSTREE_MAX_NAME] = '\0';
	assert_int_equal(fstree_add_file(t, name, 0600, "", 0, NULL), 0);
	name[FSTREE_MAX_NAME] = 'n';
	name[FSTREE_MAX_NAME + 1] = '\0';
	assert_int_equal(fstree_add_file(t, name, 0600, "", 0, NULL), -EFBIG);
	for (unsigned k = 0; k < FSTREE_MAX_DEPTH; k++)
		memcpy(deep + 2 * k, "d/", 3);
	assert_int_equal(fstree_add_dir(t, deep, 0755, NULL), 0);
	memcpy(deep + 2 * FSTREE_MAX_DEPTH, "d", 2);
	assert_int_equal(fstree_add_dir(t, deep, 0755, NULL), -EFBIG);
	memset(deep, '/', FSTREE_MAX_PATH);
	deep[FSTREE_MAX_PATH] = '\0';
	assert_int_equal(fstree_add_dir(t, deep, 0755, NULL), -EFBIG);
	deep[FSTREE_MAX_PATH - 1] = '\0';
	assert_int_equal(fstree_add_dir(t, deep, 0755, NULL), 0);
	fstree_free(t);
}

static void replace_and_remove(void **state)
{
	struct fstree *t = tree_make();
	auto_buf struct buf b = BUF_INIT(100);

	assert_int_equal(fstree_add_file(t, "d/x", 0600, "1", 1, NULL), 0);
	assert_int_equal(fstree_add_file(t, "d/y", 0600, "22", 2, NULL), 0);
	assert_int_equal(fstree_add_file(t, "d/x", 0644, "333", 3, NULL), 0);
	assert_int_equal(fstree_find(t, "d")->n, 2);
	assert_int_equal(fstree_read(t, "d/x", &b, NULL), 0);
	assert_string_equal(buf_str(&b), "333");
	assert_int_equal(fstree_read(t, "d", &b, NULL), -ENOENT);
	assert_int_equal(fstree_read(t, "none", &b, NULL), -ENOENT);
	fstree_remove(t, "d/x");
	fstree_remove(t, "d/none");
	assert_null(fstree_find(t, "d/x"));
	assert_non_null(fstree_find(t, "d/y"));
	fstree_empty(t, "d");
	assert_int_equal(fstree_find(t, "d")->n, 0);
	/* A file in a directory's place takes what it held with it. */
	assert_int_equal(fstree_add_file(t, "d/e/f", 0600, "", 0, NULL), 0);
	assert_int_equal(fstree_add_symlink(t, "d", "elsewhere", NULL), 0);
	assert_null(fstree_find(t, "d/e/f"));
	fstree_free(t);
}

/* Children are sorted by bytes, whatever the order they came in. */
static void sorted(void **state)
{
	static const char *const names[] = {"b", "a", "ab", "B", "a.b", "c", "\xc3\xa9", "aa"};
	struct fstree *t = tree_make();
	struct fstree_node *root = fstree_root(t);

	for (size_t k = 0; k < ARRAY_SIZE(names); k++)
		assert_int_equal(fstree_add_file(t, names[k], 0600, "", 0, NULL), 0);
	assert_int_equal(root->n, ARRAY_SIZE(names));
	for (size_t k = 1; k < root->n; k++)
		assert_true(strcmp(root->child[k - 1]->name, root->child[k]->name) < 0);
	fstree_free(t);
}

struct item {
	const char *path, *hard, *link;
	mode_t mode;
	const char *data;
};

static void write_tar(const char *path, const struct item *v, size_t n)
{
	struct archive *a = archive_write_new();

	assert_int_equal(archive_write_set_format_pax(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (size_t k = 0; k < n; k++) {
		struct archive_entry *e = archive_entry_new();
		size_t len = v[k].data ? strlen(v[k].data) : 0;

		archive_entry_set_pathname(e, v[k].path);
		archive_entry_set_mode(e, v[k].mode);
		archive_entry_set_size(e, (la_int64_t) len);
		if (v[k].hard)
			archive_entry_set_hardlink(e, v[k].hard);
		if (v[k].link)
			archive_entry_set_symlink(e, v[k].link);
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		assert_int_equal(archive_write_data(a, v[k].data ? v[k].data : "", len), len);
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_free(a), ARCHIVE_OK);
}

static char *temp(void)
{
	char *path = strdup("/tmp/kiln-tree-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	(void) close(fd);
	return path;
}

static void tar_entries(void **state)
{
	static const struct item items[] = {
		{"./", NULL, NULL, S_IFDIR | 0711, NULL},
		{"./d/", NULL, NULL, S_IFDIR | 0750, NULL},
		{"./d/f", NULL, NULL, S_IFREG | 0640, "content"},
		{"./d/hard", "./d/f", NULL, S_IFREG | 0640, NULL},
		{"./link", NULL, "d/f", S_IFLNK | 0777, NULL},
	};
	auto_free char *path = temp();
	struct fstree *t = tree_make();
	auto_buf struct buf b = BUF_INIT(100);

	write_tar(path, items, ARRAY_SIZE(items));
	assert_int_equal(fstree_add_tar(t, path, NULL, NULL), 0);
	assert_int_equal(fstree_root(t)->inode->mode, S_IFDIR | 0711);
	assert_int_equal(fstree_find(t, "d")->inode->mode, S_IFDIR | 0750);
	assert_ptr_equal(fstree_find(t, "d/f")->inode, fstree_find(t, "d/hard")->inode);
	assert_int_equal(fstree_find(t, "d/f")->inode->nlink, 2);
	assert_string_equal(fstree_find(t, "link")->inode->target, "d/f");
	/* The content stays reachable by the other name. */
	fstree_remove(t, "d/f");
	assert_int_equal(fstree_read(t, "d/hard", &b, NULL), 0);
	assert_string_equal(buf_str(&b), "content");
	fstree_free(t);
	(void) unlink(path);
}

static void bad_tars(void **state)
{
	static const struct item bad[] = {
		{"../x", NULL, NULL, S_IFREG | 0600, "1"},
		{"a/../../x", NULL, NULL, S_IFREG | 0600, "1"},
		{"x", "nowhere", NULL, S_IFREG | 0600, NULL},
	};
	auto_free char *path = temp();
	FILE *f;

	for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
		struct fstree *t = tree_make();

		write_tar(path, &bad[k], 1);
		assert_int_equal(fstree_add_tar(t, path, NULL, NULL), -EINVAL);
		fstree_free(t);
	}
	f = fopen(path, "w");
	assert_non_null(f);
	for (unsigned k = 0; k < 4096; k++)
		(void) fputc('x', f);
	(void) fclose(f);
	for (unsigned size = 0; size <= 4096; size += 4096) {
		struct fstree *t = tree_make();

		if (size == 0)
			assert_int_equal(fstree_add_tar(t, path, NULL, NULL), -EBADMSG);
		assert_int_equal(truncate(path, 0), 0);
		assert_int_equal(fstree_add_tar(t, path, NULL, NULL), -EBADMSG);
		assert_int_equal(fstree_add_tar(t, "/nonexistent", NULL, NULL), -ENOENT);
		fstree_free(t);
	}
	(void) unlink(path);
}

/* Cut at every block: never accepted as whole unless only the end marker is missing. */
static void cut_tar(void **state)
{
	static const struct item items[] = {
		{"a", NULL, NULL, S_IFREG | 0600, "first"},
		{"b", NULL, NULL, S_IFREG | 0600, "second"},
	};
	auto_free char *path = temp();
	struct stat st;

	write_tar(path, items, ARRAY_SIZE(items));
	assert_int_equal(stat(path, &st), 0);
	for (off_t at = st.st_size - 256; at > 0; at -= 256) {
		struct fstree *t = tree_make();

		assert_int_equal(truncate(path, at), 0);
		if (fstree_add_tar(t, path, NULL, NULL) == 0 && fstree_find(t, "b"))
			assert_int_equal(fstree_find(t, "b")->inode->size, 6);
		fstree_free(t);
	}
	(void) unlink(path);
}

static void cancelled(void **state)
{
	static const struct item items[] = {{"a", NULL, NULL, S_IFREG | 0600, "first"}};
	auto_free char *path = temp();
	struct fstree *t = tree_make();
	struct cancel c;

	write_tar(path, items, 1);
	assert_int_equal(cancel_init(&c), 0);
	cancel_set(&c, -ETIME);
	assert_int_equal(fstree_add_tar(t, path, &c, NULL), -ETIME);
	cancel_done(&c);
	fstree_free(t);
	(void) unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),     cmocka_unit_test(replace_and_remove),
		cmocka_unit_test(sorted),    cmocka_unit_test(tar_entries),
		cmocka_unit_test(bad_tars),  cmocka_unit_test(cut_tar),
		cmocka_unit_test(cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
