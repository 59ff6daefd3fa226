/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's TPM process, and the files that it and QEMU work on. QEMU and
 * swtpm have a uid that may not pass through the data directory, so what they have there (disks,
 * UEFI variables, TPM state) is bound to names in RUN/libvirt/vm, in the vmhost process's own mount
 * namespace, and belongs to that uid while the guest runs.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "vm/host.h"
#include "vm/tpm.h"

#define TPM_STOP_MS 2000

/* ---- Names ---------------------------------------------------------------------------------- */

static int bind_over(const char *from, const char *to, struct err *err)
{
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		return err_set(err, -errno, "bind %s to %s: %s", from, to, strerrordesc_np(errno));
	return 0;
}

int guest_expose(struct host *h, struct guest *g, const char *path, const char *suffix,
		 enum exposed_kind kind, unsigned uid, const char **ret, struct err *err)
{
	struct exposed *x = &g->exposed[g->n_exposed];
	auto_free char *to =
		h->privileged ? strf("%s/vm/%s.%s", h->root, g->name, suffix) : strdup(path);
	int r = 0;

	if (!to)
		return err_set(err, -ENOMEM, "out of memory");
	if (g->n_exposed == ARRAY_SIZE(g->exposed))
		return err_set(err, -E2BIG, "more than %zu files", ARRAY_SIZE(g->exposed));
	if (h->privileged && kind == EXPOSED_DIR)
		r = file_mkdir_p(to, 0700, err);
	else if (h->privileged)
		r = file_write_atomic(to, "", 0, 0600, err);
	if (r == 0 && h->privileged)
		r = bind_over(path, to, err);
	if (r < 0)
		return r;
	*x = (struct exposed){.name = take_ptr(to), .kind = kind};
	g->n_exposed++;
	*ret = x->name;
	if (h->privileged && kind == EXPOSED_FILE && chown(x->name, uid, uid) < 0)
		return err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	return 0;
}

static void hide(const struct host *h, struct exposed *x)
{
	bool directory = x->kind == EXPOSED_DIR;

	if (h->privileged && x->kind == EXPOSED_FILE && chown(x->name, 0, 0) < 0)
		log_warn("vmhost.unbind", "name=%s error=%s", x->name, strerrordesc_np(errno));
	/* Whatever holds the mount, its name is not removed then: what is below it is not ours. */
	if (h->privileged && (umount2(x->name, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ||
			      (directory ? rmdir(x->name) : unlink(x->name)) < 0))
		log_warn("vmhost.unbind", "name=%s error=%s", x->name, strerrordesc_np(errno));
	free(x->name);
}

/* ---- The TPM -------------------------------------------------------------------------------- */

static int give_away(const char *dir, unsigned uid, struct err *err)
{
	auto_dir DIR *d = opendir(dir);
	const struct dirent *de;

	if (!d)
		return err_set(err, -errno, "%s: %s", dir, strerrordesc_np(errno));
	while ((void) (errno = 0), (de = readdir(d)))
		if (strcmp(de->d_name, "..") != 0 &&
		    fchownat(dirfd(d), de->d_name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
			return err_set(err, -errno, "%s/%s: %s", dir, de->d_name,
				       strerrordesc_np(errno));
	return errno ? err_set(err, -errno, "%s: %s", dir, strerrordesc_np(errno)) : 0;
}

/* A socket that is listening before swtpm starts: QEMU need not wait for it. */
static int tpm_listen(struct host *h, struct guest *g, unsigned uid, int *ret_fd, struct err *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = 0;

	g->tpm_socket = strf("%s/%s.tpm", h->root, g->name);
	if (!g->tpm_socket || strlen(g->tpm_socket) >= sizeof(a.sun_path))
		return err_set(err, g->tpm_socket ? -ENAMETOOLONG : -ENOMEM, "TPM socket");
	memcpy(a.sun_path, g->tpm_socket, strlen(g->tpm_socket));
	(void) unlink(g->tpm_socket);
	if (fd < 0 || bind(fd, (const struct sockaddr *) &a, sizeof(a)) < 0 ||
	    chmod(g->tpm_socket, 0600) < 0 ||
	    (h->privileged && chown(g->tpm_socket, uid, uid) < 0) || listen(fd, 1) < 0)
		r = err_set(err, -errno, "%s: %s", g->tpm_socket, strerrordesc_np(errno));
	if (r == 0)
		*ret_fd = take_fd(fd);
	return r;
}

/* kiln's own role first: it becomes the guest's uid, dies with us, and then is swtpm. */
static int tpm_spawn(struct host *h, struct guest *g, unsigned uid, const int fds[2],
		     struct err *err)
{
	auto_free char *tool = NULL, *state = strf("dir=%s,mode=0600", g->tpm_dir);
	char parent[16], user[16], ctrl[48], key[64];
	int r = proc_find("swtpm", "swtpm", &tool, err);
	const char *const argv[] = {
		proc_self_exe(), "vmhost", "--confine",   parent, user,     tool,
		"socket",        "--tpm2", "--tpmstate",  state,  "--ctrl", ctrl,
		"--key",         key,      "--terminate", NULL};
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1, .keep_fds = fds, .n_keep_fds = 2};

	if (r < 0 || !state)
		return r < 0 ? r : err_set(err, -ENOMEM, "out of memory");
	(void) snprintf(parent, sizeof(parent), "%d", (int) getpid());
	(void) snprintf(user, sizeof(user), "%u", h->privileged ? uid : (unsigned) geteuid());
	(void) snprintf(ctrl, sizeof(ctrl), "type=unixio,fd=%d", fds[0]);
	(void) snprintf(key, sizeof(key), "fd=%d,mode=aes-256-cbc,format=hex", fds[1]);
	/* What it has to say about a failed start goes to RUN/vmhost.log. */
	return proc_spawn(&spec, STDERR_FILENO, &g->tpm_pid, &g->tpm_pidfd, err);
}

int guest_tpm_start(struct host *h, struct guest *g, const char *dir, const char *key, unsigned uid,
		    struct err *err)
{
	auto_fd int listen_fd = -1, key_fd = -1;
	int r = h->privileged ? give_away(dir, uid, err) : 0;

	if (r == 0)
		r = guest_expose(h, g, dir, "tpm", EXPOSED_DIR, uid, &g->tpm_dir, err);
	if (r == 0)
		r = tpm_listen(h, g, uid, &listen_fd, err);
	if (r == 0)
		r = vm_tpm_key_pipe(key, &key_fd, err);
	if (r == 0) {
		const int fds[2] = {listen_fd, key_fd};

		r = tpm_spawn(h, g, uid, fds, err);
	}
	return r < 0 ? err_ctx(err, r, "vTPM") : 0;
}

bool guest_tpm_failed(struct guest *g)
{
	siginfo_t si = {0};

	/* It ends by itself, with status 0, when QEMU has gone. */
	return waitid(P_PIDFD, (id_t) g->tpm_pidfd, &si, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       si.si_pid != 0 && (si.si_code != CLD_EXITED || si.si_status != 0);
}

void guest_files_free(struct host *h, struct guest *g)
{
	if (g->tpm_pidfd >= 0) {
		(void) proc_stop(g->tpm_pid, g->tpm_pidfd, TPM_STOP_MS);
		closep(&g->tpm_pidfd);
		g->tpm_pidfd = -1;
	}
	if (g->tpm_socket)
		(void) unlink(g->tpm_socket);
	free(g->tpm_socket);
	g->tpm_socket = NULL;
	while (g->n_exposed > 0)
		hide(h, &g->exposed[--g->n_exposed]);
}

/* ---- The role ------------------------------------------------------------------------------- */

static int number(const char *s, unsigned *ret)
{
	char *end = NULL;
	unsigned long n;

	errno = 0;
	n = strtoul(s, &end, 10);
	if (errno || end == s || *end || n > INT32_MAX)
		return -EINVAL;
	*ret = (unsigned) n;
	return 0;
}

int vm_confine_main(const char *parent, const char *user, char *const argv[])
{
	static char *const env[] = {(char *) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				    (char *) "LANG=C.UTF-8", NULL};
	unsigned pid, uid;

	if (number(parent, &pid) < 0 || number(user, &uid) < 0 || !argv[0] || argv[0][0] != '/')
		return 2;
	if (geteuid() == 0 && uid != 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
	     setresuid(uid, uid, uid) < 0)) {
		(void) fprintf(stderr, "kiln: become user %u: %s\n", uid, strerrordesc_np(errno));
		return 1;
	}
	/* After the uid changed, which would forget it. The thread that started us is the guest's:
	 * it ends with the guest. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return 1;
	if (getppid() != (pid_t) pid)
		return 1;
	(void) umask(077);
	(void) execve(argv[0], argv, env);
	(void) fprintf(stderr, "kiln: %s: %s\n", argv[0], strerrordesc_np(errno));
	return 1;
}
