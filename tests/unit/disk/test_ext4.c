/* SPDX-License-Identifier: Apache-2.0 */
/* Written by us, checked by e2fsck and debugfs, read back by us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/proc.h"
#include "disk/ext4.h"

#define FS_BYTES (64ull << 20)
#define OFFSET   (1ull << 20)
#define TIME     1760000000

static const struct ext4_spec spec = {
	.size_bytes = FS_BYTES,
	.uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	.hash_seed = {16, 15, 14},
	.label = "root",
	.time_s = TIME,
};

/* --- a tar with one of everything --- */

static uint8_t big[1500000];
static char long_name[256], long_target[1001];

static struct archive_entry *entry(const char *path, mode_t mode, size_t n)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, mode);
	archive_entry_set_size(e, (la_int64_t) n);
	archive_entry_set_mtime(e, TIME - 5, 0);
	return e;
}

static void put(struct archive *a, struct archive_entry *e, const void *data, size_t n)
{
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	if (n > 0)
		assert_int_equal(archive_write_data(a, data, n), n);
	archive_entry_free(e);
}

static void put_plain(struct archive *a)
{
	struct archive_entry *e = entry("d/", S_IFDIR | 01770, 0);

	archive_entry_set_uid(e, 100000);
	archive_entry_set_gid(e, 70000);
	put(a, e, NULL, 0);
	put(a, entry("d/empty", S_IFREG | 04755, 0), NULL, 0);
	e = entry("d/new", S_IFREG | 0644, 3);
	archive_entry_set_mtime(e, TIME + 1000, 0);
	put(a, e, "new", 3);
	put(a, entry("d/big", S_IFREG | 0600, sizeof(big)), big, sizeof(big));
	e = entry("hard", S_IFREG | 0600, 0);
	archive_entry_set_hardlink(e, "d/big");
	put(a, e, NULL, 0);
	e = entry("fast", S_IFLNK | 0777, 0);
	archive_entry_set_symlink(e, "d/../d/new");
	put(a, e, NULL, 0);
	e = entry("slow", S_IFLNK | 0777, 0);
	archive_entry_set_symlink(e, long_target);
	put(a, e, NULL, 0);
	put(a, entry(long_name, S_IFREG | 0644, 1), "n", 1);
	put(a, entry("f\xc3\xa9", S_IFREG | 0644, 1), "u", 1);
	put(a, entry("fifo", S_IFIFO | 0600, 0), NULL, 0);
}

static void put_special(struct archive *a)
{
	static const uint8_t capability[20] = {1, 0, 0, 2, 0, 0x20};
	static uint8_t value[3000];
	struct archive_entry *e = entry("null", S_IFCHR | 0666, 0);

	archive_entry_set_rdev(e, makedev(1, 3));
	put(a, e, NULL, 0);
	e = entry("blk", S_IFBLK | 0660, 0);
	archive_entry_set_rdev(e, makedev(259, 70000));
	put(a, e, NULL, 0);
	e = entry("ping", S_IFREG | 0755, 4);
	archive_entry_xattr_add_entry(e, "security.capability", capability, sizeof(capability));
	put(a, e, "ping", 4);
	memset(value, 'v', sizeof(value));
	e = entry("attrs", S_IFREG | 0755, 0);
	archive_entry_xattr_add_entry(e, "user.large", value, sizeof(value));
	archive_entry_xattr_add_entry(e, "user.small", "s", 1);
	put(a, e, NULL, 0);
	e = entry("sparse", S_IFREG | 0644, 9000001);
	archive_entry_sparse_add_entry(e, 4096, 5);
	archive_entry_sparse_add_entry(e, 9000000, 1);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	{
		auto_free char *all = calloc(1, 9000001);

		assert_non_null(all);
		memcpy(all + 4096, "hello", 5);
		all[9000000] = 'z';
		assert_int_equal(archive_write_data(a, all, 9000001), 9000001);
	}
	archive_entry_free(e);
}

static void put_many(struct archive *a, bool backwards)
{
	for (unsigned k = 0; k < 1500; k++) {
		unsigned n = backwards ? 1499 - k : k;
		auto_free char *name = strf("many/a-name-of-some-length-%u", n);
		auto_free char *text = strf("%u\n", n);

		put(a, entry(name, S_IFREG | 0644, strlen(text)), text, strlen(text));
	}
}

static char *make_tar(bool backwards)
{
	char *path = strdup("/tmp/kiln-ext4-XXXXXX");
	struct archive *a = archive_write_new();
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	for (size_t k = 0; k < sizeof(big); k++)
		big[k] = (uint8_t) (k * 2654435761u >> 13);
	memset(long_name, 'L', 255);
	memset(long_target, 't', 1000);
	assert_int_equal(archive_write_set_format_pax(a), ARCHIVE_OK);
	assert_int_equal(archive_write_set_options(a, "hdrcharset=BINARY"), ARCHIVE_OK);
	assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
	if (backwards)
		put_many(a, true);
	put_plain(a);
	put_special(a);
	if (!backwards)
		put_many(a, false);
	assert_int_equal(archive_write_free(a), ARCHIVE_OK);
	(void) close(fd);
	return path;
}

/* --- writing and checking --- */

static char *write_image(const char *tar, const struct ext4_spec *s, uint64_t offset)
{
	char *path = strdup("/tmp/kiln-ext4-XXXXXX");
	auto_fd int fd = mkostemp(path, O_CLOEXEC);
	auto_err struct err err = ERR_INIT;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t) (s->size_bytes + 2 * offset)), 0);
	if (ext4_write_tar(fd, offset, s, tar, NULL, NULL, &err) < 0)
		fail_msg("%s", err_str(&err));
	return path;
}

static int run(const char *const *argv, struct buf *out)
{
	auto_err struct err err = ERR_INIT;
	const struct proc_spec p = {.argv = argv, .out = out, .errout = out};
	struct proc_result res;

	assert_int_equal(proc_run(&p, &res, &err), 0);
	return res.exit_code;
}

static void fsck_clean(const char *path)
{
	const char *const argv[] = {"/usr/sbin/e2fsck", "-fn", path, NULL};
	auto_buf struct buf out = BUF_INIT(1u << 20);
	int status = run(argv, &out);

	if (status)
		print_message("%s\n", buf_str(&out));
	assert_int_equal(status, 0);
}

static int read_fd(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	int r = file_pread_full(*(int *) arg, dst, n, offset);

	return r < 0 ? err_set(err, r, "read at %llu", (unsigned long long) offset) : 0;
}

static struct ext4_fs *open_image(int *fd, uint64_t offset)
{
	const struct ext4_io io = {read_fd, fd, offset, FS_BYTES};
	struct ext4_fs *fs;

	assert_int_equal(ext4_open(&io, &fs, NULL), 0);
	return fs;
}

static void check_stat(struct ext4_fs *fs, const char *path, uint32_t mode, uint32_t uid,
		       uint32_t gid, uint64_t size, int64_t mtime)
{
	struct ext4_stat st;

	assert_int_equal(ext4_lookup(fs, path, &st, NULL), 0);
	assert_int_equal(st.mode, mode);
	assert_int_equal(st.uid, uid);
	assert_int_equal(st.gid, gid);
	assert_true(st.size == size);
	assert_true(st.mtime == mtime);
}

static void check_content(struct ext4_fs *fs, const char *path, const void *data, size_t n)
{
	auto_free char *p = NULL;
	size_t got;

	assert_int_equal(ext4_read_file(fs, path, n, &p, &got, NULL), 0);
	assert_int_equal(got, n);
	assert_memory_equal(p, data, n);
}

static int count_entry(void *arg, const char *name, const struct ext4_stat *st)
{
	unsigned *n = arg;

	assert_int_equal(st->mode & S_IFMT, S_IFREG);
	assert_int_equal(strncmp(name, "a-name-of-some-length-", 22), 0);
	(*n)++;
	return 0;
}

static void round_trip(void **state)
{
	auto_free char *tar = make_tar(false), *img = write_image(tar, &spec, OFFSET);
	auto_fd int fd = open(img, O_RDONLY | O_CLOEXEC);
	struct ext4_fs *fs = open_image(&fd, OFFSET);
	auto_free char *zeros = calloc(1, 9000001), *p = NULL;
	struct ext4_stat a, b;
	unsigned n = 0;
	size_t got;

	check_stat(fs, "/d", S_IFDIR | 01770, 100000, 70000, 4096, TIME - 5);
	check_stat(fs, "/d/empty", S_IFREG | 04755, 0, 0, 0, TIME - 5);
	check_stat(fs, "/d/new", S_IFREG | 0644, 0, 0, 3, TIME);
	check_stat(fs, "/fast", S_IFLNK | 0777, 0, 0, 10, TIME - 5);
	check_stat(fs, "/slow", S_IFLNK | 0777, 0, 0, 1000, TIME - 5);
	check_stat(fs, "/fifo", S_IFIFO | 0600, 0, 0, 0, TIME - 5);
	check_stat(fs, "/lost+found", S_IFDIR | 0700, 0, 0, 16384, TIME);
	check_stat(fs, "/../d/./../d/new", S_IFREG | 0644, 0, 0, 3, TIME);
	assert_int_equal(ext4_lookup(fs, "/d/big", &a, NULL), 0);
	assert_int_equal(ext4_lookup(fs, "/hard", &b, NULL), 0);
	assert_int_equal(a.ino, b.ino);
	assert_int_equal(a.nlink, 2);
	check_content(fs, "/hard", big, sizeof(big));
	check_content(fs, "/fast", "new", 3);
	check_content(fs, "/f\xc3\xa9", "u", 1);
	check_content(fs, "/many/a-name-of-some-length-1499", "1499\n", 5);
	memcpy(zeros + 4096, "hello", 5);
	zeros[9000000] = 'z';
	check_content(fs, "/sparse", zeros, 9000001);
	assert_int_equal(ext4_list(fs, "/many", count_entry, &n, NULL), 0);
	assert_int_equal(n, 1500);

	assert_int_equal(ext4_lookup(fs, "/none", &a, NULL), -ENOENT);
	assert_int_equal(ext4_lookup(fs, "/hard/x", &a, NULL), -ENOENT);
	assert_int_equal(ext4_read_file(fs, "/d", 100, &p, &got, NULL), -EINVAL);
	assert_int_equal(ext4_read_file(fs, "/hard", sizeof(big) - 1, &p, &got, NULL), -EFBIG);
	assert_int_equal(ext4_list(fs, "/hard", count_entry, &n, NULL), -ENOTDIR);
	ext4_close(fs);
	(void) unlink(img);
	(void) unlink(tar);
}

static void other_tools_agree(void **state)
{
	auto_free char *tar = make_tar(false), *img = write_image(tar, &spec, 0);
	static const struct {
		const char *request, *expect;
	} asks[] = {
		{"stat /null", "Device major/minor number: 01:03"},
		{"stat /blk", "Device major/minor number: 259:70000"},
		{"stat /sparse", "Blockcount: 16\n"},
		{"ea_get -x /ping security.capability", "01 00 00 02 00 20"},
		{"ea_get /attrs user.small", "user.small (1) = \"s\""},
		{"ea_get /attrs user.large", "user.large (3000) ="},
		{"stat <8>", "Size: 4194304"},
	};

	fsck_clean(img);
	for (size_t k = 0; k < ARRAY_SIZE(asks); k++) {
		const char *const argv[] = {"/usr/sbin/debugfs", "-R", asks[k].request, img, NULL};
		auto_buf struct buf out = BUF_INIT(1u << 20);

		assert_int_equal(run(argv, &out), 0);
		if (!strstr(buf_str(&out), asks[k].expect))
			fail_msg("%s: %s", asks[k].request, buf_str(&out));
	}
	(void) unlink(img);
	(void) unlink(tar);
}

/* The same files in another order, written at another moment: the same bits. */
static void same_files_same_bits(void **state)
{
	auto_free char *ta = make_tar(false), *tb = make_tar(true);
	auto_free char *a = write_image(ta, &spec, OFFSET), *b = write_image(tb, &spec, OFFSET);
	struct digest x, y;

	assert_int_equal(sha256_file(a, &x, NULL), 0);
	assert_int_equal(sha256_file(b, &y, NULL), 0);
	assert_true(digest_eq(&x, &y));
	(void) unlink(a);
	(void) unlink(b);
	(void) unlink(ta);
	(void) unlink(tb);
}

/* Every supported shape is clean: groups with and without a journal's worth of room. */
static void sizes(void **state)
{
	static const uint64_t mib[] = {16, 17, 127, 129, 1024, 20000};
	struct fstree *t;

	assert_int_equal(fstree_new(&t), 0);
	assert_int_equal(fstree_add_file(t, "a", 0644, "a", 1, NULL), 0);
	for (size_t k = 0; k < ARRAY_SIZE(mib); k++) {
		struct ext4_spec s = spec;
		char path[] = "/tmp/kiln-ext4-XXXXXX";
		auto_fd int fd = mkostemp(path, O_CLOEXEC);
		auto_err struct err err = ERR_INIT;

		s.size_bytes = mib[k] << 20;
		assert_int_equal(ftruncate(fd, (off_t) s.size_bytes), 0);
		if (ext4_write_tree(fd, 0, &s, t, NULL, NULL, &err) < 0)
			fail_msg("%llu MiB: %s", (unsigned long long) mib[k], err_str(&err));
		fsck_clean(path);
		(void) unlink(path);
	}
	fstree_free(t);
}

static void refuses(void **state)
{
	static uint8_t data[20u << 20];
	struct ext4_spec s = spec;
	char path[] = "/tmp/kiln-ext4-XXXXXX";
	auto_fd int fd = mkostemp(path, O_CLOEXEC);
	struct fstree *t;
	struct cancel c;

	memset(data, 1, sizeof(data));
	assert_int_equal(ftruncate(fd, FS_BYTES), 0);
	assert_int_equal(fstree_new(&t), 0);
	assert_int_equal(fstree_add_file(t, "a", 0644, data, sizeof(data), NULL), 0);
	s.size_bytes = EXT4_MIN_BYTES;
	assert_int_equal(ext4_write_tree(fd, 0, &s, t, NULL, NULL, NULL), -ENOSPC);
	s.size_bytes = EXT4_MIN_BYTES - 4096;
	assert_int_equal(ext4_write_tree(fd, 0, &s, t, NULL, NULL, NULL), -EINVAL);
	s.size_bytes = FS_BYTES + 1;
	assert_int_equal(ext4_write_tree(fd, 0, &s, t, NULL, NULL, NULL), -EINVAL);
	s.size_bytes = FS_BYTES;
	s.time_s = 0;
	assert_int_equal(ext4_write_tree(fd, 0, &s, t, NULL, NULL, NULL), -EINVAL);
	s.time_s = EXT4_MAX_TIME;
	assert_int_equal(ext4_write_tree(fd, 0, &s, t, NULL, NULL, NULL), -EINVAL);
	s.time_s = EXT4_MAX_TIME - 1;
	assert_int_equal(ext4_write_tree(fd, 0, &s, t, NULL, NULL, NULL), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd, FS_BYTES), 0);
	assert_int_equal(cancel_init(&c), 0);
	cancel_set(&c, -ECANCELED);
	assert_int_equal(ext4_write_tree(fd, 0, &s, t, &c, NULL, NULL), -ECANCELED);
	cancel_done(&c);
	fstree_free(t);
	(void) unlink(path);
}

static void hostile_links(void **state)
{
	struct fstree *t;
	char path[] = "/tmp/kiln-ext4-XXXXXX", name[16], target[16];
	auto_fd int fd = mkostemp(path, O_CLOEXEC);
	auto_free char *p = NULL;
	struct ext4_fs *fs;
	size_t n;

	assert_int_equal(fstree_new(&t), 0);
	assert_int_equal(fstree_add_symlink(t, "loop", "loop", NULL), 0);
	assert_int_equal(fstree_add_symlink(t, "up", "../../../../etc", NULL), 0);
	assert_int_equal(fstree_add_symlink(t, "abs", "/up/x", NULL), 0);
	assert_int_equal(fstree_add_file(t, "etc/x", 0644, "inside", 6, NULL), 0);
	for (unsigned k = 0; k <= 41; k++) {
		(void) snprintf(name, sizeof(name), "l%u", k);
		(void) snprintf(target, sizeof(target), k < 41 ? "l%u" : "etc/x", k + 1);
		assert_int_equal(fstree_add_symlink(t, name, target, NULL), 0);
	}
	assert_int_equal(ftruncate(fd, FS_BYTES), 0);
	assert_int_equal(ext4_write_tree(fd, 0, &spec, t, NULL, NULL, NULL), 0);
	fs = open_image(&fd, 0);
	check_content(fs, "/abs", "inside", 6);
	check_content(fs, "/up/x", "inside", 6);
	check_content(fs, "/l2", "inside", 6); /* 40 links */
	assert_int_equal(ext4_read_file(fs, "/l1", 10, &p, &n, NULL), -ELOOP);
	assert_int_equal(ext4_read_file(fs, "/loop", 10, &p, &n, NULL), -ELOOP);
	ext4_close(fs);
	fstree_free(t);
	(void) unlink(path);
}

/* What is no ext4, or says that it is larger than its partition, is refused. */
static void damaged(void **state)
{
	auto_free char *tar = make_tar(false), *img = write_image(tar, &spec, 0);
	auto_fd int fd = open(img, O_RDWR | O_CLOEXEC);
	struct ext4_io io = {read_fd, &fd, 0, FS_BYTES};
	struct ext4_fs *fs;
	uint8_t block[1024];

	io.size_bytes = FS_BYTES - 4096;
	assert_true(ext4_open(&io, &fs, NULL) < 0);
	io.size_bytes = 512;
	assert_true(ext4_open(&io, &fs, NULL) < 0);
	io.size_bytes = FS_BYTES;
	assert_int_equal(file_pread_full(fd, block, sizeof(block), 1024), 0);
	for (unsigned at = 0; at < 1024; at += 37) {
		uint8_t saved = block[at];

		block[at] ^= 0x10;
		assert_int_equal(file_pwrite_full(fd, block, sizeof(block), 1024), 0);
		assert_true(ext4_open(&io, &fs, NULL) < 0);
		block[at] = saved;
	}
	assert_int_equal(file_pwrite_full(fd, block, sizeof(block), 1024), 0);
	assert_int_equal(ext4_open(&io, &fs, NULL), 0);
	ext4_close(fs);
	(void) unlink(img);
	(void) unlink(tar);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(other_tools_agree),
		cmocka_unit_test(same_files_same_bits),
		cmocka_unit_test(sizes),
		cmocka_unit_test(refuses),
		cmocka_unit_test(hostile_links),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
