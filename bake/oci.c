/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/oci.h"

#include <stddef.h>

#include "bake/sandbox.h"
#include "base/mem.h"

#if defined(__x86_64__)
#define NATIVE_ARCH "SCMP_ARCH_X86_64"
#elif defined(__aarch64__)
#define NATIVE_ARCH "SCMP_ARCH_AARCH64"
#else
#error "name this architecture as libseccomp does"
#endif

#define EPERM_NR  1
#define ENOSYS_NR 38
/* CLONE_NEWTIME and every other CLONE_NEW* flag of clone(2). */
#define CLONE_NEW_MASK 0x7e020080u
#define AF_NETLINK_NR  16
#define TIOCSTI_NR     0x5412u
#define TIOCLINUX_NR   0x541cu
#define TIOCSETD_NR    0x5423u

/* What installing and configuring software needs; nothing that reaches beyond the root. */
static const char *const capabilities[] = {
	"CAP_CHOWN",      "CAP_DAC_OVERRIDE", "CAP_FOWNER",           "CAP_FSETID",
	"CAP_KILL",       "CAP_SETUID",       "CAP_SETGID",           "CAP_SETFCAP",
	"CAP_SYS_CHROOT", "CAP_AUDIT_WRITE",  "CAP_NET_BIND_SERVICE",
};

static const char *const denied[] = {
	"mount",
	"umount",
	"umount2",
	"pivot_root",
	"open_tree",
	"move_mount",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"mount_setattr",
	"setns",
	"unshare",
	"init_module",
	"finit_module",
	"delete_module",
	"create_module",
	"kexec_load",
	"kexec_file_load",
	"bpf",
	"perf_event_open",
	"keyctl",
	"add_key",
	"request_key",
	"open_by_handle_at",
	"name_to_handle_at",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"clock_settime",
	"clock_settime64",
	"settimeofday",
	"stime",
	"adjtimex",
	"clock_adjtime",
	"clock_adjtime64",
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"process_madvise",
	"pidfd_getfd",
	"kcmp",
	"reboot",
	"swapon",
	"swapoff",
	"acct",
	"quotactl",
	"quotactl_fd",
	"nfsservctl",
	"lookup_dcookie",
	"userfaultfd",
	"iopl",
	"ioperm",
	"syslog",
	"vhangup",
	"fanotify_init",
	"vmsplice",
	"modify_ldt",
	"uselib",
	"ustat",
	"sysfs",
	"_sysctl",
	"get_kernel_syms",
	"query_module",
	"bdflush",
	"vm86",
	"vm86old",
	"move_pages",
	"migrate_pages",
	"mbind",
	"set_mempolicy",
	"set_mempolicy_home_node",
	"get_mempolicy",
	"sethostname",
	"setdomainname",
};

static const char *const masked[] = {
	"/proc/kcore",         "/proc/sysrq-trigger", "/proc/keys",        "/proc/key-users",
	"/proc/latency_stats", "/proc/timer_list",    "/proc/sched_debug", "/proc/scsi",
	"/proc/kmsg",          "/proc/acpi",          "/proc/config.gz",   "/proc/kallsyms",
	"/proc/modules",
};

static const char *const read_only[] = {"/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs",
					"/proc/mtrr"};

static json_t *strings(const char *const *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < n; i++)
		if (json_array_append_new(a, json_string(v[i])) < 0) {
			json_decref(a);
			a = NULL;
		}
	return a;
}

static json_t *vector(const char *const *v)
{
	return strings(v, strv_len((char *const *) (uintptr_t) v));
}

/* A rule on one argument of one call. */
static int add_arg_rule(json_t *rules, const char *call, unsigned index, const char *op,
			uint64_t value, uint64_t value_two, unsigned error)
{
	return json_array_append_new(
		rules, json_pack("{s:[s], s:s, s:i, s:[{s:i, s:I, s:I, s:s}]}", "names", call,
				 "action", "SCMP_ACT_ERRNO", "errnoRet", (int) error, "args",
				 "index", (int) index, "value", (json_int_t) value, "valueTwo",
				 (json_int_t) value_two, "op", op));
}

/* Sockets: Unix, IPv4, IPv6 and netlink; nothing rarer. */
static int add_socket_rules(json_t *rules)
{
	static const unsigned rare[] = {3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15};
	int r = add_arg_rule(rules, "socket", 0, "SCMP_CMP_GT", AF_NETLINK_NR, 0, EPERM_NR);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rare); i++)
		r = add_arg_rule(rules, "socket", 0, "SCMP_CMP_EQ", rare[i], 0, EPERM_NR);
	return r;
}

static json_t *seccomp(void)
{
	static const unsigned ioctls[] = {TIOCSTI_NR, TIOCLINUX_NR, TIOCSETD_NR};
	json_t *rules = json_array();
	int r;

	if (!rules)
		return NULL;
	r = json_array_append_new(rules, json_pack("{s:o, s:s, s:i}", "names",
						   strings(denied, ARRAY_SIZE(denied)), "action",
						   "SCMP_ACT_ERRNO", "errnoRet", EPERM_NR));
	/* ENOSYS makes libc fall back to clone(2), whose flags can be looked at. */
	if (r == 0)
		r = json_array_append_new(rules, json_pack("{s:[s], s:s, s:i}", "names", "clone3",
							   "action", "SCMP_ACT_ERRNO", "errnoRet",
							   ENOSYS_NR));
	for (unsigned bit = 7; r == 0 && bit < 31; bit++)
		if (CLONE_NEW_MASK & (1u << bit))
			r = add_arg_rule(rules, "clone", 0, "SCMP_CMP_MASKED_EQ", 1u << bit,
					 1u << bit, EPERM_NR);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ioctls); i++)
		r = add_arg_rule(rules, "ioctl", 1, "SCMP_CMP_MASKED_EQ", 0xffffffffu, ioctls[i],
				 EPERM_NR);
	if (r == 0)
		r = add_socket_rules(rules);
	if (r < 0) {
		json_decref(rules);
		return NULL;
	}
	return json_pack("{s:s, s:[s], s:o}", "defaultAction", "SCMP_ACT_ALLOW", "architectures",
			 NATIVE_ARCH, "syscalls", rules);
}

static json_t *mount_of(const char *dest, const char *type, const char *source, const char *options)
{
	auto_json json_t *list = json_array();
	auto_free char *copy = strdup(options);
	char *save = NULL;

	if (!list || !copy)
		return NULL;
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save))
		if (json_array_append_new(list, json_string(w)) < 0)
			return NULL;
	return json_pack("{s:s, s:s, s:s, s:O}", "destination", dest, "type", type, "source",
			 source, "options", list);
}

static json_t *mounts(const struct oci_step *s)
{
	static const char *const fixed[][4] = {
		{"/proc", "proc", "proc", "nosuid,noexec,nodev"},
		{"/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"},
		{"/dev/pts", "devpts", "devpts",
		 "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620"},
		{"/dev/shm", "tmpfs", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=262144k"},
		/* No sysfs: it would show the host's devices. */
		{"/sys", "tmpfs", "tmpfs", "nosuid,noexec,nodev,ro,mode=555,size=0k"},
		{"/run", "tmpfs", "tmpfs", "nosuid,nodev,mode=755"},
		/* /tmp is the image's: templates put a file there in one step and use it in the
		 * next. Generalize empties it. */
	};
	json_t *a = json_array();
	int r = a ? 0 : -1;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fixed); i++)
		r = json_array_append_new(
			a, mount_of(fixed[i][0], fixed[i][1], fixed[i][2], fixed[i][3]));
	if (r == 0 && s->files)
		r = json_array_append_new(
			a, mount_of("/run/kiln", "bind", s->files, "bind,ro,nosuid,nodev"));
	if (r == 0 && s->policy)
		r = json_array_append_new(a, mount_of("/usr/sbin/policy-rc.d", "bind", s->policy,
						      "bind,ro,nosuid,nodev"));
	if (r < 0) {
		json_decref(a);
		return NULL;
	}
	return a;
}

static json_t *rlimit(const char *name, uint64_t v)
{
	return json_pack("{s:s, s:I, s:I}", "type", name, "soft", (json_int_t) v, "hard",
			 (json_int_t) v);
}

static json_t *process(const struct oci_step *s)
{
	size_t n = ARRAY_SIZE(capabilities);
	auto_json json_t *caps = strings(capabilities, n);
	json_t *p, *limits;

	if (!caps)
		return NULL;
	p = json_pack("{s:b, s:{s:i, s:i, s:i}, s:o, s:o, s:s, s:b, s:{s:O, s:O, s:O, s:O, s:[]}}",
		      "terminal", s->terminal, "user", "uid", 0, "gid", 0, "umask", 022, "args",
		      vector(s->argv), "env", vector(s->envp), "cwd", s->cwd, "noNewPrivileges",
		      true, "capabilities", "bounding", caps, "effective", caps, "permitted", caps,
		      "inheritable", caps, "ambient");
	limits = p ? json_pack("[o, o]", rlimit("RLIMIT_NOFILE", s->nofile),
			       rlimit("RLIMIT_CORE", 0))
		   : NULL;
	if (limits && s->nproc &&
	    json_array_append_new(limits, rlimit("RLIMIT_NPROC", s->nproc)) < 0) {
		json_decref(limits);
		limits = NULL;
	}
	if (!limits || json_object_set_new(p, "rlimits", limits) < 0) {
		json_decref(p);
		return NULL;
	}
	return p;
}

static json_t *id_map(void)
{
	return json_pack("[{s:i, s:I, s:I}]", "containerID", 0, "hostID",
			 (json_int_t) SANDBOX_FIRST_ID, "size", (json_int_t) SANDBOX_IDS);
}

json_t *oci_config(const struct oci_step *s)
{
	json_t *linux_part;

	/* No network namespace here: the runtime inherits the one that was made for the step. */
	linux_part = json_pack("{s:[{s:s},{s:s},{s:s},{s:s},{s:s},{s:s}], s:o, s:o, s:o, s:o, s:o}",
			       "namespaces", "type", "pid", "type", "mount", "type", "ipc", "type",
			       "uts", "type", "cgroup", "type", "user", "uidMappings", id_map(),
			       "gidMappings", id_map(), "maskedPaths",
			       strings(masked, ARRAY_SIZE(masked)), "readonlyPaths",
			       strings(read_only, ARRAY_SIZE(read_only)), "seccomp", seccomp());
	if (!linux_part)
		return NULL;
	return json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2",
			 "process", process(s), "root", "path", s->root, "readonly", false,
			 "hostname", "localhost", "mounts", mounts(s), "linux", linux_part);
}
