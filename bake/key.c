/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/key.h"
#include "base/mem.h"

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

char **key_env(const json_t *environment)
{
	static const char *const fixed[][2] = {
		{"DEBIAN_FRONTEND", "noninteractive"},
		{"HOME", "/root"},
		{"LANG", "C.UTF-8"},
		{"LOGNAME", "root"},
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"SHELL", "/bin/sh"},
		{"USER", "root"},
	};
	char **env = NULL;
	const char *name;
	json_t *v;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fixed) && r == 0; i++) {
		auto_free char *text = strf("%s=%s", fixed[i][0], fixed[i][1]);

		if (json_object_get(environment, fixed[i][0]))
			continue; /* the template's own wins */
		r = text ? strv_push(&env, text) : -ENOMEM;
	}
	json_object_foreach((json_t *) environment, name, v)
	{
		auto_free char *text = strf("%s=%s", name, json_string_value(v));

		if (r == 0)
			r = text ? strv_push(&env, text) : -ENOMEM;
	}
	if (r < 0) {
		strv_free(env);
		return NULL;
	}
	qsort(env, strv_len(env), sizeof(*env), by_text);
	return env;
}

static json_t *env_array(const char *const *envp)
{
	json_t *a = json_array();

	for (; a && envp && *envp; envp++) {
		if (json_array_append_new(a, json_string(*envp)) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

json_t *key_inputs(const struct key_context *c, const json_t *step_inputs, bool network)
{
	char parent[DIGEST_HEX];

	digest_hex(&c->parent->digest, parent);
	return json_pack("{s:i, s:s, s:O, s:o, s:s, s:s, s:I, s:O?, s:O?, s:O?}", "format",
			 KEY_FORMAT, "parent", parent, "step", (json_t *) step_inputs,
			 "environment", env_array(c->envp), "executor", c->executor->name,
			 "executorVersion", c->executor->version, "growToBytes",
			 (json_int_t) c->grow_to_bytes, "network",
			 network ? (json_t *) c->allow : NULL, "archive",
			 network ? (json_t *) c->archive : NULL, "refresh",
			 network ? (json_t *) c->refresh : NULL);
}

int key_of(const json_t *inputs, struct key *ret)
{
	auto_buf struct buf b = BUF_INIT(JSON_MAX_BYTES);

	if (!inputs)
		return -ENOMEM;
	if (json_canonical(inputs, &b) < 0)
		return buf_err(&b);
	sha256(b.data, b.len, &ret->digest);
	digest_hex(&ret->digest, ret->hex);
	return 0;
}
