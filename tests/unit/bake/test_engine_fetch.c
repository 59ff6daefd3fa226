/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/stat.h>

#include "bake/fetch.h"
#include "base/netaddr.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

struct place {
	char dir[64];
	struct journal *journal;
	char *cache;
	/* an HTTPS server that answers with the files of DIR/www as they are */
	pid_t pid;
	int pidfd;
	unsigned port;
};

static void run(const char *const *argv)
{
	struct err err = ERR_INIT;

	if (proc_check(&(struct proc_spec){.argv = argv}, &err) < 0)
		fail_msg("%s: %s", argv[0], err_str(&err));
}

static void write_text(const struct place *p, const char *name, const char *text, mode_t mode)
{
	auto_free char *path = path_join(p->dir, name);

	assert_int_equal(file_write_atomic(path, text, strlen(text), mode, NULL), 0);
}

static unsigned free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);
	auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *) &a, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &a, &n), 0);
	return ntohs(a.sin_port);
}

static void start_server(struct place *p)
{
	auto_free char *key = path_join(p->dir, "key.pem"), *crt = path_join(p->dir, "crt.pem");
	auto_free char *www = path_join(p->dir, "www"), *at = NULL;
	auto_buf struct buf said = BUF_INIT(65536);
	int pipes[2];

	run((const char *const[]){"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
				  "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt,
				  "-days", "2", "-subj", "/CN=localhost", "-addext",
				  "subjectAltName=DNS:localhost", NULL});
	assert_int_equal(mkdir(www, 0700), 0);
	p->port = free_port();
	at = strf("127.0.0.1:%u", p->port);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(
		proc_spawn(
			&(struct proc_spec){.argv = (const char *const[]){"/usr/bin/openssl",
									  "s_server", "-HTTP",
									  "-accept", at, "-key",
									  key, "-cert", crt, NULL},
					    .cwd = www},
			pipes[1], &p->pid, &p->pidfd, NULL),
		0);
	close(pipes[1]);
	while (!strstr(buf_str(&said), "ACCEPT")) {
		char c;

		assert_int_equal(read(pipes[0], &c, 1), 1);
		buf_addch(&said, c);
	}
	close(pipes[0]);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	auto_free char *journal = NULL;

	snprintf(p->dir, sizeof(p->dir), "/tmp/kiln-fetch-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	journal = path_join(p->dir, "journal");
	p->cache = path_join(p->dir, "cache");
	assert_int_equal(journal_open(journal, &p->journal, NULL), 0);
	start_server(p);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	proc_stop(p->pid, p->pidfd, 100);
	close(p->pidfd);
	journal_close(p->journal);
	assert_int_equal(file_rm_rf(p->dir, NULL), 0);
	free(p->cache);
	free(p);
	return 0;
}

static struct fetcher fetcher(const struct place *p, json_t *config)
{
	return (struct fetcher){
		.dir = p->cache, .journal = p->journal, .config = config, .local_files = true};
}

/* Only whole files named after their content may be left in the cache. */
static void cache_is_tidy(const struct place *p)
{
	auto_dir DIR *d = opendir(p->cache);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		auto_free char *path = path_join(p->cache, e->d_name);
		struct digest have;
		char hex[DIGEST_HEX];

		if (e->d_name[0] == '.' && strlen(e->d_name) < 3)
			continue;
		assert_int_equal(sha256_file(path, &have, NULL), 0);
		assert_string_equal(digest_hex(&have, hex), e->d_name);
	}
}

static void local_files(void **state)
{
	struct place *p = *state;
	struct fetcher f = fetcher(p, NULL);
	struct fetched got = {0};
	auto_free char *uri = strf("file://%s/my%%20script", p->dir);
	char hex[DIGEST_HEX], zeros[65];

	write_text(p, "my script", "hello", 0755);
	assert_int_equal(fetch_uri(&f, uri, NULL, &got, NULL), 0);
	assert_true(got.executable);
	assert_int_equal(got.bytes, 5);
	assert_string_equal(digest_hex(&got.digest, hex),
			    "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	assert_true(str_ends(got.path, hex));
	fetched_done(&got);
	assert_int_equal(fetch_uri(&f, uri, hex, &got, NULL), 0);
	fetched_done(&got);
	memset(zeros, '0', 64);
	zeros[64] = '\0';
	assert_int_equal(fetch_uri(&f, uri, zeros, &got, NULL), -EBADMSG);
	f.local_files = false;
	assert_int_equal(fetch_uri(&f, uri, NULL, &got, NULL), -EACCES);
	f.local_files = true;
	assert_int_equal(fetch_uri(&f, "file:///nowhere/at/all", NULL, &got, NULL), -ENOENT);
	assert_int_equal(fetch_uri(&f, "file:///tmp", NULL, &got, NULL), -EINVAL);
	assert_int_equal(fetch_uri(&f, "file:///a%00b", NULL, &got, NULL), -EINVAL);
	cache_is_tidy(p);
}

static void a_damaged_copy_is_not_used(void **state)
{
	struct place *p = *state;
	struct fetcher f = fetcher(p, NULL);
	struct fetched got = {0};
	struct buf text = BUF_INIT(64);

	assert_int_equal(fetch_bytes(&f, "content", 7, &got, NULL), 0);
	assert_int_equal(file_write_atomic(got.path, "CONTENT", 7, 0600, NULL), 0);
	fetched_done(&got);
	assert_int_equal(fetch_bytes(&f, "content", 7, &got, NULL), 0);
	assert_int_equal(file_read_all(got.path, &text, NULL), 0);
	assert_string_equal(buf_str(&text), "content");
	buf_done(&text);
	fetched_done(&got);
	cache_is_tidy(p);
}

static json_t *private_config(const struct place *p)
{
	return json_pack("{s:{s:b, s:o, s:i}}", "fetch", "allowPrivate", 1, "caFile",
			 json_strf("%s/crt.pem", p->dir), "maxBytes", 1000);
}

static void https(void **state)
{
	struct place *p = *state;
	auto_json json_t *config = private_config(p);
	struct fetcher f = fetcher(p, config);
	struct fetched got = {0};
	struct err err = ERR_INIT;
	auto_free char *good = strf("https://localhost:%u/good", p->port);
	auto_free char *moved = strf("https://localhost:%u/moved", p->port);
	auto_free char *down = strf("https://localhost:%u/down", p->port);
	auto_free char *gone = strf("https://localhost:%u/gone", p->port);
	auto_free char *big = strf("https://localhost:%u/big", p->port);
	auto_free char *wrong = strf("https://127.0.0.1:%u/good", p->port);
	auto_free char *to = strf("HTTP/1.0 302 Found\r\nLocation: %s\r\n\r\n", good);
	char many[1200] = "HTTP/1.0 200 OK\r\n\r\n";

	memset(many + strlen(many), 'x', sizeof(many) - strlen(many) - 1);
	many[sizeof(many) - 1] = '\0';
	write_text(p, "www/good", "HTTP/1.0 200 OK\r\n\r\nhello", 0644);
	write_text(p, "www/moved", to, 0644);
	write_text(p, "www/down", "HTTP/1.0 302 Found\r\nLocation: http://localhost/x\r\n\r\n",
		   0644);
	write_text(p, "www/gone", "HTTP/1.0 404 Not Found\r\n\r\n", 0644);
	write_text(p, "www/big", many, 0644);

	if (fetch_uri(&f, good, NULL, &got, &err) < 0)
		fail_msg("%s", err_str(&err));
	assert_int_equal(got.bytes, 5);
	assert_false(got.executable);
	fetched_done(&got);
	assert_int_equal(fetch_uri(&f, moved, NULL, &got, NULL), 0);
	assert_int_equal(got.bytes, 5);
	fetched_done(&got);
	assert_int_equal(fetch_uri(&f, down, NULL, &got, NULL), -EACCES);
	assert_int_equal(fetch_uri(&f, gone, NULL, &got, NULL), -ENOENT);
	assert_int_equal(fetch_uri(&f, big, NULL, &got, NULL), -EFBIG);
	assert_int_equal(fetch_uri(&f, wrong, NULL, &got, NULL), -EIO); /* name not certified */
	assert_int_equal(fetch_uri(&f, "http://localhost/x", NULL, &got, NULL), -EACCES);
	cache_is_tidy(p);
}

static void private_addresses_are_refused(void **state)
{
	struct place *p = *state;
	auto_json json_t *config = private_config(p);
	struct fetcher f = fetcher(p, config);
	struct fetched got = {0};
	struct err err = ERR_INIT;
	auto_free char *good = strf("https://localhost:%u/good", p->port);

	json_set_at(config, "fetch.allowPrivate", json_false());
	assert_int_equal(fetch_uri(&f, good, NULL, &got, &err), -EACCES);
	assert_non_null(strstr(err.hint, "allowPrivate"));
	err_done(&err);
}

static bool is_public(const char *text)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};

	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
		return netaddr_public((struct sockaddr *) &six);
	}
	assert_int_equal(inet_pton(AF_INET, text, &four.sin_addr), 1);
	return netaddr_public((struct sockaddr *) &four);
}

static void public_addresses(void **state)
{
	static const char *const yes[] = {"1.1.1.1",        "172.32.0.1",      "100.128.0.1",
					  "169.255.0.1",    "2606:4700::1111", "64:ff9b::101:101",
					  "::ffff:1.1.1.1", "2002:101:101::1"};
	static const char *const no[] = {"0.0.0.0",
					 "10.1.2.3",
					 "100.64.0.1",
					 "127.0.0.1",
					 "127.255.1.1",
					 "169.254.169.254",
					 "168.63.129.16",
					 "172.16.0.1",
					 "172.31.255.255",
					 "192.168.0.1",
					 "198.18.0.1",
					 "224.0.0.1",
					 "255.255.255.255",
					 "::",
					 "::1",
					 "fe80::1",
					 "fd00::1",
					 "ff02::1",
					 "::ffff:10.0.0.1",
					 "64:ff9b::7f00:1",
					 "2002:a9fe:a9fe::1",
					 "2001::1",
					 "2001:db8::1"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (!is_public(yes[i]))
			fail_msg("%s is public", yes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (is_public(no[i]))
			fail_msg("%s is not public", no[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(local_files),
		cmocka_unit_test(a_damaged_copy_is_not_used),
		cmocka_unit_test(https),
		cmocka_unit_test(private_addresses_are_refused),
		cmocka_unit_test(public_addresses),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
