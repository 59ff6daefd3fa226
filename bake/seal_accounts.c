/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of accounts: who could log in to every machine made from this image. */
#include <crypt.h>
#include <stdbool.h>

#include "bake/seal_verify.h"
#include "base/mem.h"

/* Passwords that images have been shipped with. The user's own name is tried too. */
static const char *const known_passwords[] = {
	"",         "password", "Password1", "passw0rd", "admin",   "root",    "toor",
	"changeme", "123456",   "12345678",  "debian",   "ubuntu",  "vagrant", "packer",
	"cloud",    "default",  "test",      "secret",   "letmein", "qwerty",
};

static const char *const build_users[] = {"kiln",    "packer", "vagrant",
					  "builder", "build",  "buildd"};

/* Splits "a:b:c" in place. */
static int split(char *line, char **field, int max)
{
	int n = 1;

	field[0] = line;
	for (char *p = line; *p && n < max; p++)
		if (*p == ':') {
			*p = '\0';
			field[n++] = p + 1;
		}
	return n;
}

static bool hash_is(const char *hash, const char *word)
{
	struct crypt_data *d = calloc(1, sizeof(*d));
	const char *out = d ? crypt_r(word, hash, d) : NULL;
	bool same = out && *out != '*' && strcmp(out, hash) == 0;

	free(d);
	return same;
}

static int check_hash(struct verify *v, const char *user, const char *hash)
{
	if (*hash == '\0')
		return verify_found(v, "/etc/shadow", "user %s has no password at all", user);
	if (*hash == '!' || *hash == '*')
		return 0;
	if (str_eq(user, "root"))
		return verify_found(v, "/etc/shadow", "root can log in with a password");
	if (hash_is(hash, user))
		return verify_found(v, "/etc/shadow", "user %s has its own name as password", user);
	for (size_t i = 0; i < ARRAY_SIZE(known_passwords); i++)
		if (hash_is(hash, known_passwords[i]))
			return verify_found(v, "/etc/shadow", "user %s has a well-known password",
					    user);
	return 0;
}

int verify_shadow(struct verify *v, struct err *err)
{
	auto_free char *text = NULL;
	char *save = NULL, *field[3];
	int r = verify_text(v, "/etc/shadow", &text, err);

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; r == 0 && l;
	     l = strtok_r(NULL, "\n", &save))
		if (split(l, field, 3) >= 2)
			r = check_hash(v, field[0], field[1]);
	return r;
}

static bool can_log_in(const char *shell)
{
	return !str_ends(shell, "/nologin") && !str_ends(shell, "/false") &&
	       !str_ends(shell, "/sync");
}

static int check_account(struct verify *v, char **f)
{
	int r = 0;

	if (f[1][0] == '\0')
		r = verify_found(v, "/etc/passwd", "user %s has no password at all", f[0]);
	else if (!str_eq(f[1], "x") && f[1][0] != '*' && f[1][0] != '!')
		r = verify_found(v, "/etc/passwd", "the password of %s is not in /etc/shadow",
				 f[0]);
	if (r == 0 && strtol(f[2], NULL, 10) == 0 && !str_eq(f[0], "root"))
		r = verify_found(v, "/etc/passwd", "user %s has user id 0", f[0]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(build_users); i++)
		if (str_eq(f[0], build_users[i]) && can_log_in(f[6]))
			r = verify_found(v, "/etc/passwd", "a build user is left: %s", f[0]);
	return r;
}

int verify_passwd(struct verify *v, struct err *err)
{
	auto_free char *text = NULL;
	char *save = NULL, *field[7];
	int r = verify_text(v, "/etc/passwd", &text, err);

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; r == 0 && l;
	     l = strtok_r(NULL, "\n", &save))
		if (split(l, field, 7) == 7)
			r = check_account(v, field);
	return r;
}

static int check_sudoers(struct verify *v, const char *path, const struct ext4_stat *st,
			 struct err *err)
{
	auto_free char *text = NULL;
	char *save = NULL;
	int r;

	/* cloud-init writes this one for the user that the deployment names. */
	if (str_ends(path, "/90-cloud-init-users"))
		return 0;
	r = verify_text(v, path, &text, err);
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; r == 0 && l;
	     l = strtok_r(NULL, "\n", &save)) {
		l += strspn(l, " \t");
		if (*l != '#' && (strstr(l, "NOPASSWD") || strstr(l, "!authenticate")))
			r = verify_found(v, path, "sudo without a password: %.120s", l);
	}
	return r;
}

int verify_sudoers(struct verify *v, struct err *err)
{
	int r = verify_each(v, "/etc/sudoers", check_sudoers, err);

	return r == 0 ? verify_each(v, "/etc/sudoers.d/*", check_sudoers, err) : r;
}
