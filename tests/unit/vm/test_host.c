/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/*
 * The real thing without an operating system: a vmhost process (this program in its role), libvirt,
 * QEMU, and a guest that is one boot sector. It says on its serial port what a booting Linux says,
 * then waits for a while and powers itself off.
 */
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/lock.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "nbd.h"
#include "vm/internal.h"
#include "vm/tpm.h"

static const uint8_t say_and[] = {
	0xfc,             /* cld */
	0x31, 0xc0,       /* xor ax, ax */
	0x8e, 0xd8,       /* mov ds, ax */
	0xbe, 0x40, 0x7c, /* mov si, 0x7c40 */
	0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
	0xac,             /* lodsb */
	0x84, 0xc0,       /* test al, al */
	0x74, 0x03,       /* jz +3 */
	0xee,             /* out dx, al */
	0xeb, 0xf8,       /* jmp to lodsb */
};
static const uint8_t power_off[] = {
	0xba, 0x04, 0x06, /* mov dx, 0x604: PM1a control of q35 */
	0xb8, 0x00, 0x20, /* mov ax, 0x2000: sleep enable */
	0xef,             /* out dx, ax */
};
static const uint8_t halt[] = {0xf4, 0xeb, 0xfd};

struct place {
	const char *dir;
	char *sock, *overlay, *console;
	struct journal *journal;
	struct nbd nbd;
};

static int watch(pid_t pid)
{
	int fd = pidfd_open(pid, 0);

	assert_true(fd >= 0);
	return fd;
}

/* Until the process of a watch ended; the watch is closed. */
static void await_death(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 30000), 1);
	(void) close(pidfd);
}

static void make_disk(struct place *p, bool off)
{
	static const char text[] = "GRUB loading\r\nLinux version 0.0\r\nsystemd[1]: up\r\n";
	auto_free char *disk = path_join(p->dir, "disk");
	uint8_t *s = calloc(1, 1 << 20);

	assert_non_null(s);
	memcpy(s, say_and, sizeof(say_and));
	if (off)
		memcpy(s + sizeof(say_and), power_off, sizeof(power_off));
	memcpy(s + sizeof(say_and) + (off ? sizeof(power_off) : 0), halt, sizeof(halt));
	memcpy(s + 0x40, text, sizeof(text));
	s[510] = 0x55;
	s[511] = 0xaa;
	assert_int_equal(file_write_atomic(disk, s, 1 << 20, 0644, NULL), 0);
	free(s);
}

static void place_init(struct place *p, const char *dir, bool off)
{
	auto_free char *journal = NULL, *disk = NULL;

	p->dir = dir;
	p->sock = path_join(p->dir, "nbd.sock");
	p->overlay = path_join(p->dir, "o.qcow2");
	p->console = path_join(p->dir, "console");
	journal = path_join(p->dir, "journal");
	assert_int_equal(journal_open(journal, &p->journal, NULL), 0);
	make_disk(p, off);
	disk = path_join(p->dir, "disk");
	nbd_start(&p->nbd, p->dir, p->sock, "file", disk);
	assert_int_equal(chmod(p->sock, 0666), 0);
	assert_int_equal(vm_overlay_create(p->overlay, p->sock, NULL, 0, NULL), 0);
}

static unsigned entries(struct place *p)
{
	unsigned n = 0;

	assert_int_equal(journal_recover(p->journal, &n, NULL), 0);
	return n;
}

/* Gone when its lock can be taken. */
static void await_end_of_host(struct place *p)
{
	auto_free char *path = path_join(p->dir, "vmhost.lock");
	auto_fd int fd = -1;

	assert_int_equal(lock_file(path, LOCK_EXCLUSIVE, &fd, NULL), 0);
}

static void place_done(struct place *p)
{
	static const char *const mine[] = {"disk", "o.qcow2", "console", "nbd.sock", "nbd.pid"};
	auto_free char *sock = path_join(p->dir, "vmhost.sock");

	await_end_of_host(p);
	assert_false(file_exists(sock));
	assert_int_equal(entries(p), 0);
	journal_close(p->journal);
	nbd_stop(&p->nbd);
	/* What a start finds out about this machine is worth keeping for the next test. */
	for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
		auto_free char *path = path_join(p->dir, mine[i]);

		assert_int_equal(file_rm_rf(path, NULL), 0);
	}
	free(p->sock);
	free(p->overlay);
	free(p->console);
}

static struct vm_spec spec_of(const struct place *p)
{
	return (struct vm_spec){.name = "t",
				.memory_mib = 128,
				.overlay = p->overlay,
				.nbd_socket = p->sock,
				.console_log = p->console};
}

static void collect(void *arg, const json_t *event)
{
	buf_addf(arg, "%s ", json_str_at(event, "stage"));
}

static void a_guest_that_ends_is_reported(void **state)
{
	auto_buf struct buf stages = BUF_INIT(4096);
	struct event_sink sink = {.emit = collect, .arg = &stages};
	auto_err struct err err = ERR_INIT;
	struct vm_host *h = NULL;
	struct vm *vm = NULL;
	struct place p;
	struct vm_spec s;

	place_init(&p, *state, true);
	s = spec_of(&p);
	if (vm_host_open(p.dir, p.journal, &h, &err) < 0 || vm_start(h, &s, &vm, &err) < 0)
		fail_msg("%s", err_str(&err));
	assert_int_equal(vm_wait_agent(vm, 50000, NULL, &sink, &err), -ECHILD);
	assert_non_null(strstr(err_str(&err), "it shut down"));
	assert_non_null(strstr(err_str(&err), "systemd[1]: up"));
	assert_string_equal(buf_str(&stages), "firmware bootloader kernel init ");
	assert_int_equal(vm_stop(vm, 1000, NULL), 0);
	vm_host_close(h);
	place_done(&p);
}

static void waiting_can_be_ended(void **state)
{
	auto_err struct err err = ERR_INIT;
	struct vm_host *h = NULL;
	struct vm *vm = NULL;
	struct cancel c;
	struct place p;
	struct vm_spec s;
	int qemu;

	place_init(&p, *state, false);
	s = spec_of(&p);
	assert_int_equal(cancel_init(&c), 0);
	if (vm_host_open(p.dir, p.journal, &h, &err) < 0 || vm_start(h, &s, &vm, &err) < 0)
		fail_msg("%s", err_str(&err));
	qemu = watch(vm->qemu);
	assert_int_equal(vm_wait_agent(vm, 300, NULL, NULL, &err), -ETIME);
	assert_non_null(err.hint);
	cancel_set(&c, -ECANCELED);
	assert_int_equal(vm_wait_agent(vm, 50000, &c, NULL, NULL), -ECANCELED);
	/* A second guest of the same name is refused and does the first no harm. */
	struct vm *other = NULL;
	assert_int_not_equal(vm_start(h, &s, &other, NULL), 0);
	assert_null(other);
	assert_int_equal(kill(vm->qemu, 0), 0);
	assert_int_equal(vm_stop(vm, 0, NULL), 0);
	await_death(qemu);
	vm_host_close(h);
	cancel_done(&c);
	place_done(&p);
}

/* What a killed client leaves is a closed connection. */
static void a_lost_client_takes_its_guest_along(void **state)
{
	struct vm_host *h = NULL;
	struct vm *vm = NULL;
	struct place p;
	struct vm_spec s;
	int qemu;

	place_init(&p, *state, false);
	s = spec_of(&p);
	assert_int_equal(vm_host_open(p.dir, p.journal, &h, NULL), 0);
	assert_int_equal(vm_start(h, &s, &vm, NULL), 0);
	qemu = watch(vm->qemu);
	wire_done(&vm->wire);
	vm_host_close(h);
	await_end_of_host(&p);
	await_death(qemu);
	assert_int_equal(vm_stop(vm, 0, NULL), 0);
	place_done(&p);
}

static void a_killed_vmhost_takes_its_guest_along(void **state)
{
	auto_err struct err err = ERR_INIT;
	struct vm_host *h = NULL;
	struct vm *vm = NULL;
	struct place p;
	struct vm_spec s;
	int qemu;

	place_init(&p, *state, false);
	s = spec_of(&p);
	assert_int_equal(vm_host_open(p.dir, p.journal, &h, NULL), 0);
	assert_int_equal(vm_start(h, &s, &vm, NULL), 0);
	qemu = watch(vm->qemu);
	assert_int_equal(kill(vm_host_pid(h), SIGKILL), 0);
	assert_int_equal(vm_wait_agent(vm, 50000, NULL, NULL, &err), -ECHILD);
	assert_non_null(strstr(err_str(&err), "vmhost"));
	await_death(qemu);
	assert_int_equal(vm_stop(vm, 1000, NULL), 0);
	/* The next guest gets another process, which cleans up what is left. */
	s.name = "u";
	assert_int_equal(vm_start(h, &s, &vm, NULL), 0);
	assert_int_equal(vm_stop(vm, 0, NULL), 0);
	vm_host_close(h);
	place_done(&p);
}

/* A new file on top of the disk while the guest runs, in a directory that its uid cannot reach. */
static void a_disk_takes_a_snapshot(void **state)
{
	auto_err struct err err = ERR_INIT;
	auto_free char *dir = path_join(*state, "closed"), *next = path_join(dir, "next.qcow2");
	struct vm_host *h = NULL;
	struct vm *vm = NULL;
	struct place p;
	struct vm_spec s;

	place_init(&p, *state, false);
	assert_int_equal(file_mkdir_p(dir, 0700, NULL), 0);
	assert_int_equal(vm_overlay_create(next, NULL, NULL, 1 << 20, NULL), 0);
	s = spec_of(&p);
	assert_int_equal(vm_host_open(p.dir, p.journal, &h, NULL), 0);
	if (vm_start(h, &s, &vm, &err) < 0 ||
	    vm_call(vm, "snapshot", json_pack("{s:s}", "path", next), 60000, NULL, NULL, &err) < 0)
		fail_msg("%s", err_str(&err));
	assert_int_equal(kill(vm->qemu, 0), 0);
	assert_int_equal(vm_stop(vm, 0, NULL), 0);
	vm_host_close(h);
	assert_int_equal(file_rm_rf(dir, NULL), 0);
	place_done(&p);
}

/* The process whose arguments hold both texts; 0 = none. */
static pid_t find_process(const char *a, const char *b)
{
	auto_dir DIR *d = opendir("/proc");
	const struct dirent *de;

	assert_non_null(d);
	while ((de = readdir(d))) {
		auto_free char *path = strf("/proc/%.16s/cmdline", de->d_name);
		auto_buf struct buf args = BUF_INIT(65536);
		pid_t pid = (pid_t) strtol(de->d_name, NULL, 10);

		if (pid <= 0 || file_read_all(path, &args, NULL) < 0 || args.len == 0)
			continue;
		for (size_t i = 0; i + 1 < args.len; i++)
			if (args.data[i] == '\0')
				args.data[i] = ' ';
		if (strstr(buf_str(&args), a) && strstr(buf_str(&args), b))
			return pid;
	}
	return 0;
}

static unsigned owner_of(pid_t pid)
{
	auto_free char *path = strf("/proc/%d", (int) pid);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_uid;
}

/* TPM state is encrypted: what a TPM 2.0 state begins with is not in the file. */
static void assert_encrypted(const char *dir)
{
	auto_free char *path = path_join(dir, "tpm2-00.permall");
	auto_buf struct buf b = BUF_INIT(1 << 20);

	assert_int_equal(file_read_all(path, &b, NULL), 0);
	assert_true(b.len > 1000);
	assert_null(memmem(b.data, b.len, "CN=", 3));
	assert_null(memmem(b.data, b.len, "swtpm-localca", 13)); /* issuer of the EK certificate */
}

static void a_guest_ends_with_its_tpm(void **state)
{
	auto_err struct err err = ERR_INIT;
	struct vm_host *h = NULL;
	struct vm *vm = NULL;
	struct place p;
	struct vm_spec s;
	auto_free char *tpm = NULL, *ca = NULL, *nvram = NULL, *crt = NULL, *names = NULL;
	char key[VM_TPM_KEY_HEX];
	pid_t swtpm;
	int qemu;

	place_init(&p, *state, false);
	tpm = path_join(p.dir, "tpm state");
	ca = path_join(p.dir, "tpm-ca");
	nvram = path_join(p.dir, "vars.fd");
	crt = path_join(tpm, "ek-rsa2048.crt");
	names = path_join(p.dir, "libvirt/vm");
	assert_int_equal(vm_tpm_random_key(key), 0);
	if (vm_tpm_make(tpm, ca, "web", key, &err) < 0 || vm_nvram_create(nvram, true, &err) < 0)
		fail_msg("%s", err_str(&err));
	assert_true(file_exists(crt));
	assert_encrypted(tpm);
	/* Closed to others, as a data directory may be: names in RUN lead there. */
	assert_int_equal(chmod(tpm, 0700), 0);
	s = spec_of(&p);
	s.firmware = VM_UEFI;
	s.secure_boot = true;
	s.nvram = nvram;
	s.tpm_dir = tpm;
	s.tpm_key = key;
	assert_int_equal(vm_host_open(p.dir, p.journal, &h, NULL), 0);
	if (vm_start(h, &s, &vm, &err) < 0)
		fail_msg("%s", err_str(&err));
	qemu = watch(vm->qemu);
	swtpm = find_process("swtpm socket", "t.tpm");
	assert_true(swtpm > 0);
	if (geteuid() == 0) {
		assert_int_not_equal(owner_of(swtpm), 0);
		assert_int_equal(owner_of(swtpm), owner_of(vm->qemu));
	}
	assert_int_equal(find_process("swtpm", key), 0);
	assert_int_equal(kill(swtpm, SIGKILL), 0);
	assert_int_equal(vm_wait_agent(vm, 50000, NULL, NULL, &err), -ECHILD);
	assert_non_null(strstr(err_str(&err), "swtpm"));
	await_death(qemu);
	assert_int_equal(vm_stop(vm, 0, NULL), 0);
	/* It starts again with the state it had; stopping it leaves no process. */
	if (vm_start(h, &s, &vm, &err) < 0)
		fail_msg("%s", err_str(&err));
	assert_int_equal(vm_stop(vm, 0, NULL), 0);
	assert_int_equal(find_process("swtpm socket", "t.tpm"), 0);
	vm_host_close(h);
	await_end_of_host(&p);
	assert_false(file_exists(names));
	assert_true(file_exists(crt));
	assert_int_equal(file_rm_rf(tpm, NULL), 0);
	assert_int_equal(file_rm_rf(ca, NULL), 0);
	assert_int_equal(file_rm_rf(nvram, NULL), 0);
	place_done(&p);
}

static void a_tpms_key_is_sealed(void **state)
{
	auto_free char *path = path_join(*state, "tpm.key"), *host = path_join(*state, "host.key");
	auto_free char *other = path_join(*state, "other.key");
	auto_buf struct buf sealed = BUF_INIT(4096);
	char key[VM_TPM_KEY_HEX], again[VM_TPM_KEY_HEX];
	uint8_t raw[VM_TPM_KEY_BYTES];

	assert_int_equal(vm_tpm_key(path, host, key, NULL), 0);
	assert_int_equal(vm_tpm_key(path, host, again, NULL), 0);
	assert_string_equal(key, again);
	assert_int_equal(hex_decode(key, raw, sizeof(raw)), 0);
	assert_int_equal(file_read_all(path, &sealed, NULL), 0);
	assert_null(memmem(sealed.data, sealed.len, raw, sizeof(raw)));
	assert_null(memmem(sealed.data, sealed.len, key, sizeof(raw)));
	assert_int_equal(vm_tpm_key(path, other, again, NULL), -EBADMSG);
	sealed.data[sealed.len - 1] ^= 1;
	assert_int_equal(file_write_atomic(path, sealed.data, sealed.len, 0600, NULL), 0);
	assert_int_equal(vm_tpm_key(path, host, again, NULL), -EBADMSG);
	assert_int_equal(file_write_atomic(path, sealed.data, sealed.len - 1, 0600, NULL), 0);
	assert_int_equal(vm_tpm_key(path, host, again, NULL), -EBADMSG);
	assert_int_equal(file_write_atomic(host, "short\n", 6, 0600, NULL), 0);
	assert_int_equal(vm_tpm_key(path, host, again, NULL), -EINVAL);
	assert_int_equal(unlink(path), 0);
}

static void a_bad_disk_is_an_error(void **state)
{
	auto_err struct err err = ERR_INIT;
	struct vm_host *h = NULL;
	struct vm *vm = NULL;
	struct place p;
	struct vm_spec s;

	place_init(&p, *state, false);
	s = spec_of(&p);
	assert_int_equal(vm_host_open(p.dir, p.journal, &h, NULL), 0);
	s.overlay = "/nonexistent/overlay";
	assert_int_equal(vm_start(h, &s, &vm, &err), -ENOENT);
	assert_non_null(strstr(err_str(&err), "/nonexistent/overlay"));
	s = spec_of(&p);
	s.nbd_export = "nobody";
	nbd_stop(&p.nbd);
	assert_int_not_equal(vm_start(h, &s, &vm, NULL), 0);
	assert_null(vm);
	vm_host_close(h);
	place_done(&p);
}

static void the_probe_is_cached_for_this_boot(void **state)
{
	auto_buf struct buf id = BUF_INIT(256), known = BUF_INIT(256), other = BUF_INIT(256);
	auto_free char *path = path_join(*state, "kvm");
	bool usable;

	/* Of another boot: not believed. */
	assert_int_equal(file_write_atomic(path, "x\nusable\n", 9, 0600, NULL), 0);
	usable = vm_kvm_usable(*state);
	assert_int_equal(file_read_all(path, &known, NULL), 0);
	/* The other answer, of this boot: believed. */
	assert_int_equal(file_read_all("/proc/sys/kernel/random/boot_id", &id, NULL), 0);
	buf_addf(&other, "%s%s\n", buf_str(&id), usable ? "unusable" : "usable");
	assert_string_not_equal(buf_str(&known), buf_str(&other));
	assert_int_equal(file_write_atomic(path, other.data, other.len, 0600, NULL), 0);
	assert_int_equal(vm_kvm_usable(*state), !usable);
	assert_int_equal(file_write_atomic(path, known.data, known.len, 0600, NULL), 0);
	assert_int_equal(vm_kvm_usable(*state), usable);
}

static void *answer_one(void *arg)
{
	auto_fd int fd = accept4(*(int *) arg, NULL, NULL, SOCK_CLOEXEC);
	auto_buf struct buf got = BUF_INIT(1 << 20);

	if (fd < 0 || file_read_fd(fd, &got) < 0)
		return NULL;
	for (int i = 0; i < 3; i++)
		if (send(fd, got.data, got.len, MSG_NOSIGNAL) != (ssize_t) got.len)
			return NULL;
	return arg;
}

/* The server answers only when the client said that it has sent all. */
static void the_forwarder_joins_both_ways(void **state)
{
	auto_free char *path = path_join(*state, "proxy.sock"), *text = malloc(200000);
	const char *const argv[] = {proc_self_exe(), "vmhost", "--forward", path, NULL};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_buf struct buf out = BUF_INIT(1 << 20);
	struct proc_spec spec = {.argv = argv, .input = text, .input_bytes = 200000, .out = &out};
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct proc_result res;
	pthread_t server;
	void *done = NULL;

	assert_non_null(text);
	memset(text, 'k', 200000);
	assert_int_equal(proc_run(&spec, &res, NULL), 0);
	assert_int_equal(res.exit_code, 1); /* nobody listens */
	(void) snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *) &a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(pthread_create(&server, NULL, answer_one, &fd), 0);
	assert_int_equal(proc_run(&spec, &res, NULL), 0);
	assert_int_equal(pthread_join(server, &done), 0);
	assert_non_null(done);
	assert_int_equal(res.exit_code, 0);
	assert_int_equal(out.len, 600000);
	assert_int_equal(strspn(buf_str(&out), "k"), 600000);
}

static int make_dir(void **state)
{
	char *dir = strdup("/tmp/kiln-vm-XXXXXX");

	*state = dir;
	return dir && mkdtemp(dir) && chmod(dir, 0711) == 0 ? 0 : -1;
}

static int drop_dir(void **state)
{
	int r = file_rm_rf(*state, NULL);

	free(*state);
	return r;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_probe_is_cached_for_this_boot),
		cmocka_unit_test(the_forwarder_joins_both_ways),
		cmocka_unit_test(a_guest_that_ends_is_reported),
		cmocka_unit_test(waiting_can_be_ended),
		cmocka_unit_test(a_lost_client_takes_its_guest_along),
		cmocka_unit_test(a_killed_vmhost_takes_its_guest_along),
		cmocka_unit_test(a_disk_takes_a_snapshot),
		cmocka_unit_test(a_guest_ends_with_its_tpm),
		cmocka_unit_test(a_tpms_key_is_sealed),
		cmocka_unit_test(a_bad_disk_is_an_error),
	};

	if (argc >= 6 && strcmp(argv[2], "--confine") == 0)
		return vm_confine_main(argv[3], argv[4], argv + 5);
	if (argc == 4 && strcmp(argv[2], "--forward") == 0)
		return vm_forward_main(argv[3]);
	if (argc == 4 && strcmp(argv[1], "vmhost") == 0)
		return vm_host_main(argv[3]);
	(void) unsetenv("KILN_EXE"); /* this program plays the role itself */
	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
