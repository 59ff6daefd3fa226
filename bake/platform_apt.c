/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching with APT: the host's proxies, and the signed release files of some entries. */
#include <dirent.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "bake/platform_internal.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

#define RELEASE_MAX (8u << 20)

/* --- the host's settings --- */

static bool wanted_option(const char *line)
{
	return str_starts(line, "Acquire::http::") || str_starts(line, "Acquire::https::") ||
	       str_starts(line, "Acquire::Retries ") || str_starts(line, "Acquire::ForceIPv");
}

int apt_host_options(struct cancel *cancel, struct buf *out, struct err *err)
{
	static const char *const argv[] = {"/usr/bin/apt-config", "dump", NULL};
	auto_buf struct buf b = BUF_INIT(1u << 20);
	const struct proc_spec spec = {
		.argv = argv, .timeout_ms = 60000, .cancel = cancel, .out = &b};
	char *line, *rest;
	int r = proc_check(&spec, err);

	if (r < 0)
		return err_ctx(err, r, "apt-config");
	for (line = b.data ? strtok_r(b.data, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		if (wanted_option(line))
			(void) buf_addf(out, "%s\n", line);
	(void) buf_addstr(out, "Dir::Etc::netrc \"/etc/apt/auth.conf\";\n"
			       "Dir::Etc::netrcparts \"/etc/apt/auth.conf.d\";\n");
	return buf_err(out) < 0 ? err_set(err, buf_err(out), "apt-config: too long") : 0;
}

/* --- release files --- */

/* "Date: Sat, 22 Nov 2026 08:14:31 UTC" of a Release file. */
static int64_t release_date(const char *text)
{
	const char *p = strstr(text, "\nDate: ");
	struct tm tm = {0};

	if (!p || !strptime(p + 7, "%a, %d %b %Y %H:%M:%S", &tm))
		return 0;
	return (int64_t) timegm(&tm);
}

static int add_release(const char *dir, const char *name, json_t *ret, struct err *err)
{
	auto_free char *path = path_join(dir, name);
	auto_buf struct buf b = BUF_INIT(RELEASE_MAX);
	char hex[DIGEST_HEX];
	struct digest d;
	int64_t date;
	int r = path ? file_read_all(path, &b, err) : err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	date = release_date(buf_str(&b));
	if (date <= 0)
		return err_set(err, -EBADMSG, "%s: no Date field", name);
	sha256(b.data, b.len, &d);
	return json_object_set_new(ret, name,
				   json_pack("{s:s, s:I}", "sha256", digest_hex(&d, hex), "date",
					     (json_int_t) date)) < 0
		       ? err_set(err, -ENOMEM, "out of memory")
		       : 0;
}

static int read_lists(const char *lists, json_t **ret, struct err *err)
{
	auto_dir DIR *d = opendir(lists);
	auto_json json_t *o = json_object();
	struct dirent *e;
	int r = 0;

	if (!d || !o)
		return err_set(err, d ? -ENOMEM : -errno, "%s: cannot read", lists);
	while (r == 0 && (e = readdir(d)))
		if (str_ends(e->d_name, "_InRelease") || str_ends(e->d_name, "_Release"))
			r = add_release(lists, e->d_name, o, err);
	if (r < 0)
		return r;
	if (json_object_size(o) == 0)
		return err_set(err, -ENETUNREACH, "no release file was fetched");
	*ret = take_ptr(o);
	return 0;
}

/* What apt-get says of a signature, date or hash that it does not accept. */
static bool is_refusal(const char *text)
{
	static const char *const signs[] = {
		"GPG error",
		"is not signed",
		"NO_PUBKEY",
		"EXPKEYSIG",
		"BADSIG",
		"REVKEYSIG",
		"not valid yet",
		"is expired",
		"Hash Sum mismatch",
		"does not have a Release file",
		"no longer signed",
		"weak security information",
		"changed its",
	};

	for (size_t k = 0; k < ARRAY_SIZE(signs); k++)
		if (strstr(text, signs[k]))
			return true;
	return false;
}

/* apt-get's lines as one message. */
static int report_update(struct buf *lines, struct err *err)
{
	bool refused = is_refusal(buf_str(lines));

	while (lines->len > 0 && lines->data[lines->len - 1] == '\n')
		lines->data[--lines->len] = '\0';
	for (size_t k = 0; k < lines->len; k++)
		if (lines->data[k] == '\n')
			lines->data[k] = ' ';
	if (refused) {
		err_set(err, -EACCES, "the archive is not accepted: %s", buf_str(lines));
		err_hint(err,
			 "Check the keyring that the APT entry names, and the machine's clock.");
		err_arm(err, "ArchiveNotAccepted");
		return -EACCES;
	}
	err_set(err, -ENETUNREACH, "the archive cannot be reached: %s", buf_str(lines));
	err_hint(err, "Check the network and the APT entries; `apt-get update` shows the same "
		      "errors.");
	return -ENETUNREACH;
}

static int run_update(const struct platform_env *env, const char *conf, struct err *err)
{
	auto_free char *config = strf("APT_CONFIG=%s", conf);
	const char *envp[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", config, NULL, NULL, NULL};
	static const char *const argv[] = {"/usr/bin/apt-get", "update", "--error-on=any", "-q",
					   NULL};
	auto_free char *http = NULL, *https = NULL;
	auto_buf struct buf b = BUF_INIT(1u << 20), e = BUF_INIT(1u << 20);
	const struct proc_spec spec = {.argv = argv,
				       .envp = envp,
				       .timeout_ms = 300000,
				       .cancel = env->cancel,
				       .out = &b,
				       .errout = &e};
	struct proc_result res;
	size_t n = 3;
	int r;

	if (getenv("http_proxy"))
		http = strf("http_proxy=%s", getenv("http_proxy"));
	if (getenv("https_proxy"))
		https = strf("https_proxy=%s", getenv("https_proxy"));
	if (!config || (getenv("http_proxy") && !http) || (getenv("https_proxy") && !https))
		return err_set(err, -ENOMEM, "out of memory");
	if (http)
		envp[n++] = http;
	if (https)
		envp[n++] = https;
	r = proc_run(&spec, &res, err);
	if (r < 0)
		return err_ctx(err, r, "apt-get update");
	if (res.exit_code == 0)
		return 0;
	return report_update(&e, err);
}

/* A private APT: own lists and cache, no index but the release files, the host's proxies. */
static int write_config(const char *dir, struct cancel *cancel, struct err *err)
{
	static const char *const subdirs[] = {"lists",          "lists/partial",          "cache",
					      "cache/archives", "cache/archives/partial", "parts"};
	static const char *const targets[] = {"Packages",
					      "Translations",
					      "DEP-11",
					      "DEP-11-icons",
					      "DEP-11-icons-small",
					      "DEP-11-icons-large",
					      "DEP-11-icons-hidpi",
					      "DEP-11-icons-large-hidpi",
					      "Contents-deb",
					      "CNF"};
	auto_buf struct buf b = BUF_INIT(1u << 20);
	auto_free char *path = path_join(dir, "apt.conf");
	int r = path ? apt_host_options(cancel, &b, err) : err_set(err, -ENOMEM, "out of memory");

	for (size_t k = 0; r == 0 && k < ARRAY_SIZE(subdirs); k++) {
		auto_free char *sub = path_join(dir, subdirs[k]);

		r = sub ? file_mkdir_p(sub, 0755, err) : err_set(err, -ENOMEM, "out of memory");
	}
	if (r < 0)
		return r;
	(void) buf_addf(
		&b,
		"Dir::State::lists \"%s/lists\";\nDir::Cache \"%s/cache\";\n"
		"Dir::Etc::sourcelist \"%s/sources.list\";\nDir::Etc::sourceparts \"%s/parts\";\n"
		"Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"%s/parts\";\n"
		"Dir::State::status \"/dev/null\";\nAPT::Sandbox::User \"root\";\n"
		"APT::Architecture \"amd64\";\nAPT::Architectures {\"amd64\";};\n"
		"Acquire::Languages \"none\";\n",
		dir, dir, dir, dir, dir);
	for (size_t k = 0; k < ARRAY_SIZE(targets); k++)
		(void) buf_addf(&b, "Acquire::IndexTargets::deb::%s::DefaultEnabled \"false\";\n",
				targets[k]);
	if (buf_err(&b) < 0)
		return err_set(err, buf_err(&b), "out of memory");
	return file_write_atomic(path, buf_str(&b), b.len, 0600, err);
}

int apt_releases(const struct platform_env *env, const struct apt_sources *s, const char *dir,
		 json_t **ret, struct err *err)
{
	auto_buf struct buf list = BUF_INIT(1u << 20);
	auto_free char *list_path = path_join(dir, "sources.list");
	auto_free char *conf = path_join(dir, "apt.conf"), *lists = path_join(dir, "lists");
	int r;

	if (!list_path || !conf || !lists)
		return err_set(err, -ENOMEM, "out of memory");
	r = write_config(dir, env->cancel, err);
	if (r == 0)
		r = apt_sources_lines(s, dir, &list, err);
	if (r == 0)
		r = file_write_atomic(list_path, buf_str(&list), list.len, 0600, err);
	if (r == 0)
		r = run_update(env, conf, err);
	return r == 0 ? read_lists(lists, ret, err) : r;
}

int64_t apt_releases_date(const json_t *releases)
{
	int64_t newest = 0;
	const char *name;
	json_t *v;

	json_object_foreach((json_t *) (uintptr_t) releases, name, v)
	{
		int64_t d = json_int_at(v, "date", 0);

		if (d > newest)
			newest = d;
	}
	return newest;
}
