/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live NBD client while things break underneath: regions that vanish or rot, a daemon that is
 * killed; and boot profiles, recorded from one client and played to the next.
 */
#include <libnbd.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "util.h"

#include "base/proc.h"
#include "meta/meta.h"
#include "store/export.h"
#include "store/maintain.h"

#define MIB  (1024u * 1024u)
#define SIZE (24u * MIB)

struct fixture {
	char *dir, *run, *regions[2];
	struct meta *meta;
	struct store *s;
	struct nbd_host *h;
	struct disk_ref disk;
	int fd;
};

static void publish(struct fixture *f, struct err *e)
{
	struct store_session *ss = NULL;

	assert_ok(store_session_begin(f->s, "test", &ss, e), *e);
	assert_ok(store_ingest(ss, 0, f->fd, 0, NULL, NULL, &f->disk, NULL, e), *e);
	assert_ok(store_root_add(ss, 0, "name", "a", &f->disk, e), *e);
	assert_ok(store_replicate(ss, 0, 1, &f->disk, 0, NULL, NULL, NULL, e), *e);
	assert_ok(store_root_add(ss, 1, "name", "a", &f->disk, e), *e);
	store_session_end(ss);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_region_config rc[2] = {{.name = "one"}, {.name = "two"}};
	struct store_config c = {.regions = rc, .n_regions = 2, .cache_bytes = 2 * MIB};
	auto_err struct err e = ERR_INIT;
	auto_free char *url = NULL, *sdir = NULL;

	assert_non_null(f);
	f->dir = scratch_new();
	f->run = path_join(f->dir, "run");
	sdir = path_join(f->dir, "store");
	url = strf("sqlite:%s/meta.db", f->dir);
	assert_ok(meta_open(url, &f->meta, &e), e);
	for (unsigned i = 0; i < 2; i++) {
		f->regions[i] = path_join(f->dir, rc[i].name);
		rc[i].url = f->regions[i];
	}
	c.dir = sdir;
	c.meta = f->meta;
	assert_ok(store_open(&c, &f->s, &e), e);
	f->fd = disk_file(f->dir, "disk", SIZE, 1, 4);
	publish(f, &e);
	assert_ok(nbd_host_acquire(f->s, f->run, NULL, &f->h, &e), e);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	nbd_host_release(f->h);
	store_close(f->s);
	meta_close(f->meta);
	(void) close(f->fd);
	scratch_free(f->dir);
	free(f->run);
	free(f->regions[0]);
	free(f->regions[1]);
	free(f);
	return 0;
}

static struct nbd_handle *client(const struct fixture *f, const struct nbd_export *x)
{
	struct nbd_handle *n = nbd_create();

	assert_non_null(n);
	assert_int_equal(nbd_set_export_name(n, nbd_export_name(x)), 0);
	assert_int_equal(nbd_connect_unix(n, nbd_host_socket(f->h)), 0);
	return n;
}

/* 0 = right bytes, 1 = an error; wrong bytes end the test. */
static int read_at(const struct fixture *f, struct nbd_handle *n, uint64_t at, size_t len)
{
	static uint8_t got[MIB], want[MIB];

	if (nbd_pread(n, got, len, at, 0) < 0)
		return 1;
	assert_int_equal(file_pread_full(f->fd, want, len, at), 0);
	assert_memory_equal(got, want, len);
	return 0;
}

static unsigned failures(const struct fixture *f, struct nbd_handle *n, uint64_t from, uint64_t to)
{
	unsigned bad = 0;

	for (uint64_t at = from; at < to; at += MIB)
		bad += (unsigned) read_at(f, n, at, MIB);
	return bad;
}

static void vanish(const char *region)
{
	auto_free char *gone = strf("%s.gone", region), *packs = path_join(region, "packs");

	assert_int_equal(rename(packs, gone), 0);
	assert_int_equal(mkdir(packs, 0700), 0);
}

/* Every 4 KiB of every pack gets a wrong byte. */
static void rot(const char *region)
{
	const char *argv[] = {"/usr/bin/find", region, "-name", "*.pack", NULL};
	auto_buf struct buf out = BUF_INIT(MIB);
	struct proc_spec ps = {.argv = argv, .out = &out};
	char *save = NULL;

	assert_int_equal(proc_check(&ps, NULL), 0);
	for (char *p = strtok_r(out.data, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		auto_fd int fd = open(p, O_RDWR | O_CLOEXEC);
		struct stat st;
		uint8_t b;

		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		for (off_t at = 200; at < st.st_size; at += 4096) {
			assert_int_equal(pread(fd, &b, 1, at), 1);
			b ^= 0x55;
			assert_int_equal(pwrite(fd, &b, 1, at), 1);
		}
	}
}

static struct nbd_export *export(struct fixture *f, unsigned region, unsigned flags)
{
	auto_err struct err e = ERR_INIT;
	struct nbd_export *x = NULL;

	assert_ok(nbd_export_new_with(f->h, region, &f->disk, flags, &x, &e), e);
	return x;
}

static void any_region_can_be_the_first(void **state)
{
	struct fixture *f = *state;
	struct nbd_export *x;
	struct nbd_handle *n;

	vanish(f->regions[0]);
	x = export(f, 1, 0);
	n = client(f, x);
	assert_int_equal(failures(f, n, 0, SIZE), 0);
	nbd_close(n);
	nbd_export_free(x);
}

static void a_region_vanishes(void **state)
{
	struct fixture *f = *state;
	struct nbd_export *x = export(f, 0, 0);
	struct nbd_handle *n = client(f, x);

	assert_int_equal(failures(f, n, 0, SIZE / 2), 0);
	vanish(f->regions[0]);
	assert_int_equal(failures(f, n, 0, SIZE), 0);
	nbd_close(n);
	nbd_export_free(x);
}

static void a_region_rots(void **state)
{
	struct fixture *f = *state;
	struct nbd_export *x = export(f, 0, 0);
	struct nbd_handle *n = client(f, x);

	assert_int_equal(failures(f, n, 0, SIZE / 2), 0);
	rot(f->regions[0]);
	assert_int_equal(failures(f, n, 0, SIZE), 0);
	nbd_close(n);
	nbd_export_free(x);
}

/* What the daemon found is mended by who may write, without a look at the rest. */
static void what_was_found_is_mended(void **state)
{
	struct fixture *f = *state;
	struct nbd_export *x = export(f, 0, 0);
	struct nbd_handle *n = client(f, x);
	auto_err struct err e = ERR_INIT;
	struct store_heal_result h;
	struct store_check_result k;
	auto_free char *notes = path_join(f->dir, "store/heal");
	auto_dir DIR *dp = NULL;
	struct dirent *de;

	assert_ok(store_heal_pending(f->s, NULL, &h, &e), e);
	assert_int_equal(h.packs, 0);
	rot(f->regions[0]);
	assert_int_equal(failures(f, n, 0, SIZE), 0);
	nbd_close(n);
	nbd_export_free(x);
	assert_ok(store_check(f->s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, NULL, NULL, &k, &e),
		  e);
	assert_true(k.damaged_packs > 0);
	assert_ok(store_heal_pending(f->s, NULL, &h, &e), e);
	assert_true(h.packs > 0);
	assert_true(h.healed > 0);
	assert_int_equal(h.lost, 0);
	assert_ok(store_check(f->s, 0, STORE_CHECK_READ_DATA, NULL, 0, NULL, NULL, NULL, &k, &e),
		  e);
	assert_int_equal(k.damaged_packs + k.missing, 0);
	dp = opendir(notes);
	assert_non_null(dp);
	while ((de = readdir(dp)))
		assert_int_equal(de->d_name[0], '.');
	/* Now the first region is enough. */
	vanish(f->regions[1]);
	x = export(f, 0, 0);
	n = client(f, x);
	assert_int_equal(failures(f, n, 0, SIZE), 0);
	nbd_close(n);
	nbd_export_free(x);
}

/* A whole region is lost: it comes back from the other, then it can stand alone. */
static void a_lost_region_is_rebuilt(void **state)
{
	struct fixture *f = *state;
	auto_err struct err e = ERR_INIT;
	struct store_check_result k;
	struct store_gc_result g;
	struct store_reader *r = NULL;
	uint8_t got[4096], want[4096];

	vanish(f->regions[0]);
	assert_ok(store_check(f->s, 0, STORE_CHECK_HEAL | STORE_CHECK_READ_DATA, NULL, 0, NULL,
			      NULL, NULL, &k, &e),
		  e);
	assert_int_equal(k.lost, 0);
	assert_ok(store_gc(f->s, 0, false, NULL, &g, &e), e);
	assert_ok(store_gc(f->s, 0, false, NULL, &g, &e), e);
	vanish(f->regions[1]);
	assert_ok(store_reader_open(f->s, 0, &f->disk, &r, &e), e);
	for (uint64_t at = 0; at < SIZE; at += 61440) {
		assert_ok(store_reader_read(r, got, sizeof(got), at, &e), e);
		assert_int_equal(file_pread_full(f->fd, want, sizeof(want), at), 0);
		assert_memory_equal(got, want, sizeof(got));
	}
	store_reader_close(r);
}

static void nothing_is_left(void **state)
{
	struct fixture *f = *state;
	struct nbd_export *x = export(f, 0, 0);
	struct nbd_handle *n = client(f, x);
	auto_free char *log = path_join(f->run, "nbd.log"), *stats = path_join(f->run, "nbd.stats");
	auto_buf struct buf text = BUF_INIT(4 * MIB);
	auto_json json_t *j = NULL;

	assert_int_equal(failures(f, n, 0, MIB), 0);
	rot(f->regions[0]);
	rot(f->regions[1]);
	assert_true(failures(f, n, 0, SIZE) > 0); /* and no wrong byte: read_at() looks */
	assert_int_equal(nbd_get_errno(), EIO);
	nbd_close(n);
	nbd_export_free(x);
	nbd_host_release(f->h);
	f->h = NULL;
	assert_int_equal(file_read_all(log, &text, NULL), 0);
	assert_non_null(strstr(buf_str(&text), "damaged"));
	assert_int_equal(json_read_file(stats, &j, NULL), 0);
	assert_true(json_int_at(j, "failedReads", 0) > 0);
}

/* ---- A client that outlives the daemon: QEMU's, which connects anew ------------------------- */

struct qemu_io {
	pid_t pid;
	int in, out;
};

static void qemu_start(struct qemu_io *q, const struct fixture *f, const struct nbd_export *x)
{
	auto_free char *image = strf("driver=nbd,server.type=unix,server.path=%s,export=%s,"
				     "reconnect-delay=60",
				     nbd_host_socket(f->h), nbd_export_name(x));
	int in[2], out[2];

	assert_non_null(image);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	q->pid = fork();
	assert_true(q->pid >= 0);
	if (q->pid == 0) {
		(void) dup2(in[0], STDIN_FILENO);
		(void) dup2(out[1], STDOUT_FILENO);
		(void) execlp("qemu-io", "qemu-io", "-r", "--image-opts", image, (char *) NULL);
		_exit(127);
	}
	(void) close(in[0]);
	(void) close(out[1]);
	q->in = in[1];
	q->out = out[0];
}

/* Sends one command and reads until its answer has @word; false at the end or after a minute. */
static bool qemu_says(struct qemu_io *q, const char *command, const char *word)
{
	auto_buf struct buf b = BUF_INIT(MIB);
	struct pollfd p = {.fd = q->out, .events = POLLIN};
	char text[4096];
	ssize_t n;

	assert_int_equal(write(q->in, command, strlen(command)), (ssize_t) strlen(command));
	while (poll(&p, 1, 60000) > 0 && (n = read(q->out, text, sizeof(text))) > 0) {
		assert_int_equal(buf_add(&b, text, (size_t) n), 0);
		if (strstr(buf_str(&b), word))
			return true;
		if (strstr(buf_str(&b), "error") || strstr(buf_str(&b), "failed"))
			break;
	}
	print_error("%s: %s\n", command, buf_str(&b));
	return false;
}

/* Who holds the host starts another, on the same socket, with the same exports. */
static void the_daemon_is_killed(void **state)
{
	struct fixture *f = *state;
	struct nbd_export *x = export(f, 0, 0);
	auto_free char *pidfile = path_join(f->run, "nbd.pid");
	struct qemu_io q;

	qemu_start(&q, f, x);
	assert_true(qemu_says(&q, "read 0 64k\n", "read 65536/65536 bytes"));
	for (unsigned i = 1; i <= 3; i++) {
		auto_free char *command = strf("read %uM 64k\n", 4 * i);
		auto_buf struct buf b = BUF_INIT(64);
		struct pollfd p = {.events = POLLIN};
		pid_t pid;

		assert_int_equal(file_read_all(pidfile, &b, NULL), 0);
		pid = (pid_t) strtol(buf_str(&b), NULL, 10);
		p.fd = (int) syscall(SYS_pidfd_open, pid, 0);
		assert_true(p.fd >= 0);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(poll(&p, 1, 60000), 1);
		(void) close(p.fd);
		assert_true(qemu_says(&q, command, "read 65536/65536 bytes"));
		p.fd = nbd_host_fd(f->h);
		assert_int_equal(poll(&p, 1, 60000), 1);
		assert_int_equal(nbd_host_revived(f->h), 1);
	}
	(void) close(q.in);
	(void) close(q.out);
	assert_int_equal(waitpid(q.pid, NULL, 0), q.pid);
	nbd_export_free(x);
}

/* One guest's end is not the others': its server answers somebody who is no longer there. */
static void clients_go_with_reads_in_flight(void **state)
{
	struct fixture *f = *state;
	struct nbd_export *x = export(f, 0, 0);
	struct nbd_handle *other = client(f, x);
	auto_free char *log = path_join(f->run, "nbd.log");
	auto_buf struct buf text = BUF_INIT(4 * MIB);
	auto_free uint8_t *to = malloc(MIB);

	assert_non_null(to);
	for (unsigned i = 0; i < 40; i++) {
		struct nbd_handle *n = client(f, x);

		for (uint64_t k = 0; k < 48; k++)
			assert_true(nbd_aio_pread(n, to, MIB / 4, (i * 7 + k * 11) % 80 * (MIB / 4),
						  NBD_NULL_COMPLETION, 0) >= 0);
		while (nbd_aio_peek_command_completed(n) <= 0)
			assert_true(nbd_poll(n, -1) >= 0);
		nbd_close(n);
		assert_int_equal(read_at(f, other, i * CHUNK_BYTES, 4096), 0);
	}
	nbd_close(other);
	nbd_export_free(x);
	assert_int_equal(file_read_all(log, &text, NULL), 0);
	assert_null(strstr(buf_str(&text), "Assertion"));
}

/* ---- Boot profiles -------------------------------------------------------------------------- */

static void a_profile_is_recorded_and_played(void **state)
{
	struct fixture *f = *state;
	static const uint64_t order[] = {160, 16, 18, 19, 20, 300, 7, 6, 160, 18};
	struct nbd_export *x = export(f, 0, NBD_EXPORT_RECORD);
	struct nbd_handle *a = client(f, x), *b = client(f, x);
	auto_err struct err e = ERR_INIT;
	auto_json json_t *runs = NULL, *want = NULL, *j = NULL, *there = NULL;
	auto_free char *stats = path_join(f->run, "nbd.stats");
	struct store_session *ss = NULL;

	assert_int_equal(store_profile_get(f->s, 0, &f->disk, &runs, &e), -ENOENT);
	/* Chunk k is zeros when (4 + k) % 3 == 2: those are not worth a line. */
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_int_equal(read_at(f, i % 2 ? a : b, order[i] * CHUNK_BYTES + 512, 4096), 0);
	nbd_close(a);
	nbd_close(b);
	nbd_export_free(x);
	assert_ok(store_profile_get(f->s, 0, &f->disk, &runs, &e), e);
	want = json_pack("[i,i,i,i,i,i,i,i]", 18, 1, 20, 1, 300, 1, 6, 1);
	assert_true(json_equal(runs, want));
	/* The other region has it too, after replication; the newest counts. */
	assert_ok(store_session_begin(f->s, "test", &ss, &e), e);
	assert_ok(store_replicate(ss, 0, 1, &f->disk, 0, NULL, NULL, NULL, &e), e);
	store_session_end(ss);
	assert_ok(store_profile_get(f->s, 1, &f->disk, &there, &e), e);
	assert_true(json_equal(runs, there));

	x = export(f, 1, NBD_EXPORT_PLAY);
	a = client(f, x);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_int_equal(read_at(f, a, order[i] * CHUNK_BYTES + 512, 4096), 0);
	nbd_close(a);
	nbd_export_free(x);
	nbd_host_release(f->h);
	f->h = NULL;
	assert_int_equal(json_read_file(stats, &j, NULL), 0);
	assert_true(json_int_at(j, "playedChunks", 0) > 0);
}

static void a_profile_is_bounded_and_checked(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"[1]",    "[0,0]",     "[384,1]", "[0,385]",
					  "[-1,1]", "[\"a\",1]", "{}",      "[0,65537]"};
	auto_err struct err e = ERR_INIT;
	auto_json json_t *runs = json_pack("[i,i]", 0, 384), *got = NULL, *other = NULL;
	struct store_player *p = NULL;
	struct store_reader *r = NULL;
	struct store_gc_result g;
	uint8_t b[512];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_json json_t *j = NULL;

		assert_int_equal(json_parse(bad[i], strlen(bad[i]), &j, NULL), 0);
		assert_int_equal(store_profile_put(f->s, 0, &f->disk, j, &e), -EBADMSG);
	}
	assert_ok(store_profile_put(f->s, 0, &f->disk, runs, &e), e);
	/* The whole disk, through a cache that holds an eighth of it. */
	assert_ok(store_player_new(f->s, 0, &f->disk, runs, &p, &e), e);
	assert_ok(store_reader_open(f->s, 0, &f->disk, &r, &e), e);
	store_reader_attach(r, NULL, p);
	for (uint64_t at = 0; at < SIZE; at += CHUNK_BYTES)
		assert_ok(store_reader_read(r, b, sizeof(b), at, &e), e);
	store_reader_close(r);
	store_player_free(p);
	/* It lives as long as its disk does. */
	assert_ok(store_gc(f->s, 0, false, NULL, &g, &e), e);
	assert_ok(store_profile_get(f->s, 0, &f->disk, &got, &e), e);
	assert_ok(store_root_remove(f->s, -1, "name", "a", &e), e);
	assert_ok(store_gc(f->s, 0, false, NULL, &g, &e), e);
	assert_int_equal(store_profile_get(f->s, 0, &f->disk, &other, &e), -ENOENT);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(any_region_can_be_the_first),
		T(a_region_vanishes),
		T(a_region_rots),
		T(what_was_found_is_mended),
		T(a_lost_region_is_rebuilt),
		T(nothing_is_left),
		T(the_daemon_is_killed),
		T(clients_go_with_reads_in_flight),
		T(a_profile_is_recorded_and_played),
		T(a_profile_is_bounded_and_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
