/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bake/cgroup.h"
#include "bake/container.h"
#include "bake/oci.h"
#include "base/mem.h"

static void v2_host(void **state)
{
	struct cgroup_layout l;

	cgroup_layout_parse(
		"24 1 0:22 / /proc rw - proc proc rw\n"
		"30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
		"0::/user.slice/session-1.scope\n", &l);
	assert_string_equal(l.v2, "/sys/fs/cgroup");
	assert_string_equal(l.memory, "");
	assert_string_equal(l.own_pids, "/");
}

static void hybrid_host(void **state)
{
	struct cgroup_layout l;

	cgroup_layout_parse(
		"41 40 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
		"42 40 0:33 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
		"43 40 0:34 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
		"44 40 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		"8:pids:/a/b\n4:memory:/m\n1:cpu,cpuacct:/c\n0::/\n", &l);
	assert_string_equal(l.v2, "/sys/fs/cgroup/unified");
	assert_string_equal(l.memory, "/sys/fs/cgroup/memory");
	assert_string_equal(l.pids, "/sys/fs/cgroup/pids");
	assert_string_equal(l.own_memory, "/m");
	assert_string_equal(l.own_pids, "/a/b");
}

static void odd_tables(void **state)
{
	struct cgroup_layout l;

	cgroup_layout_parse("", "", &l);
	assert_string_equal(l.v2, "");
	cgroup_layout_parse(
		"garbage\n1 2 3\n - cgroup2\n1 2 3:4 / /x rw - cgroup c rw,memoryx,xpids\n",
		"nonsense\n1:memory\n", &l);
	assert_string_equal(l.v2, "");
	assert_string_equal(l.memory, "");
	assert_string_equal(l.pids, "");
	assert_string_equal(l.own_memory, "/");
}

static void environment(void **state)
{
	static const char *const given[] = {"LANG=de_DE.UTF-8", "MINE=1", "http_proxy=x", NULL};
	auto_strv char **plain = container_env(NULL, NULL),
		       **net = container_env(given, "127.0.0.1:3128");
	size_t langs = 0, mine = 0, proxies = 0;

	assert_non_null(plain);
	assert_non_null(net);
	for (char **e = plain; *e; e++)
		assert_null(strstr(*e, "proxy"));
	for (char **e = net; *e; e++) {
		langs += str_starts(*e, "LANG=");
		mine += str_eq(*e, "MINE=1");
		proxies += str_starts(*e, "http_proxy=");
		if (str_starts(*e, "LANG="))
			assert_string_equal(*e, "LANG=de_DE.UTF-8");
	}
	assert_int_equal(langs, 1);
	assert_int_equal(mine, 1);
	assert_int_equal(proxies, 1);
}

static bool has_string(const json_t *array, const char *s)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item) if (str_eq(json_string_value(item), s)) return true;
	return false;
}

static const json_t *rule_for(const json_t *config, const char *call)
{
	const json_t *rules = json_at(config, "linux.seccomp.syscalls"), *rule;
	size_t i;

	json_array_foreach(rules, i,
			   rule) if (has_string(json_object_get(rule, "names"), call)) return rule;
	return NULL;
}

static void configuration(void **state)
{
	static const char *const argv[] = {"/bin/true", NULL}, *const envp[] = {"A=1", NULL};
	static const char *const denied[] = {
		"mount",         "setns",           "unshare",
		"bpf",           "ptrace",          "keyctl",
		"kexec_load",    "io_uring_setup",  "open_by_handle_at",
		"clock_settime", "perf_event_open", "init_module"};
	static const char *const no_caps[] = {"CAP_SYS_ADMIN",  "CAP_NET_RAW",
					      "CAP_NET_ADMIN",  "CAP_MKNOD",
					      "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"};
	struct oci_step s = {.argv = argv, .envp = envp, .root = "/r", .cwd = "/", .nofile = 1024};
	auto_json json_t *c = oci_config(&s);
	const json_t *ns, *item;
	size_t i, n = 0;

	assert_non_null(c);
	assert_true(json_bool_at(c, "process.noNewPrivileges", false));
	assert_string_equal(json_str_at(c, "root.path"), "/r");
	for (i = 0; i < ARRAY_SIZE(denied); i++)
		assert_string_equal(json_str_at(rule_for(c, denied[i]), "action"),
				    "SCMP_ACT_ERRNO");
	assert_int_equal(json_int_at(rule_for(c, "clone3"), "errnoRet", 0), 38);
	assert_non_null(rule_for(c, "clone"));
	for (i = 0; i < ARRAY_SIZE(no_caps); i++)
		assert_false(has_string(json_at(c, "process.capabilities.bounding"), no_caps[i]));
	ns = json_at(c, "linux.namespaces");
	json_array_foreach(ns, i, item)
	{
		/* It would be a fresh one, without the loopback that was brought up. */
		assert_false(str_eq(json_str_at(item, "type"), "network"));
		n++;
	}
	assert_int_equal(n, 6);
	assert_int_equal(json_int_at(c, "linux.uidMappings.0.hostID", 0), 1000000);
	json_array_foreach(json_at(c, "mounts"), i, item)
		assert_false(str_eq(json_str_at(item, "destination"), "/run/kiln"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v2_host),       cmocka_unit_test(hybrid_host),
		cmocka_unit_test(odd_tables),    cmocka_unit_test(environment),
		cmocka_unit_test(configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
