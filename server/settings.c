/* SPDX-License-Identifier: Apache-2.0 */
#include "server/settings.h"

#include <sys/resource.h>

#include "base/mem.h"

#define WORKERS_MORE 2 /* than cores: bakes leave room for what is short */

#define SPARE_FDS 256 /* for everything that is no connection */

static unsigned number(const json_t *config, const char *path, unsigned dflt)
{
	return (unsigned) json_int_at(config, path, dflt);
}

static unsigned cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 64 ? 64 : (unsigned) n;
}

/* A connection needs a descriptor; more than this process may have cannot be. */
static unsigned fit_descriptors(unsigned want)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return want;
	if (l.rlim_cur < l.rlim_max && l.rlim_cur < (rlim_t) want + SPARE_FDS) {
		l.rlim_cur = l.rlim_max < (rlim_t) want + SPARE_FDS ? l.rlim_max
								    : (rlim_t) want + SPARE_FDS;
		(void) setrlimit(RLIMIT_NOFILE, &l); /* what is in force is read below */
		(void) getrlimit(RLIMIT_NOFILE, &l);
	}
	if (l.rlim_cur >= (rlim_t) want + SPARE_FDS)
		return want;
	return l.rlim_cur > 2 * SPARE_FDS ? (unsigned) l.rlim_cur - SPARE_FDS : SPARE_FDS;
}

static int read_names(const json_t *config, struct server_settings *s, struct err *err)
{
	const json_t *list = json_at(config, "server.names");
	size_t n = json_array_size(list);

	s->names = calloc(n + 1, sizeof(*s->names));
	if (!s->names)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		s->names[i] = json_string_value(json_array_get(list, i));
	return 0;
}

static int read_metrics(const json_t *config, struct server_settings *s, struct err *err)
{
	static const char *const words[] = {"local", "public", "off"};
	const char *word = json_str_at(config, "server.metrics");

	for (unsigned i = 0; word && i < ARRAY_SIZE(words); i++)
		if (str_eq(word, words[i])) {
			s->metrics = (enum server_metrics) i;
			return 0;
		}
	return word ? err_set(err, -EINVAL,
			      "kiln.yaml: server.metrics: '%.40s' is not local, public or off",
			      word)
		    : 0;
}

int settings_read(const json_t *config, struct server_settings *ret, struct err *err)
{
	struct server_settings s = {
		.certificate = json_str_at(config, "server.certificate"),
		.key = json_str_at(config, "server.key"),
		.access_log = json_str_at(config, "server.accessLog"),
		.access_log_bytes = (uint64_t) number(config, "server.accessLogMegabytes", 64)
				    << 20,
		.threads = number(config, "server.threads", 2),
		.pool = number(config, "server.pool", 8),
		.body_budget = (uint64_t) number(config, "server.bodyMegabytes", 256) << 20,
		.reads = (uint64_t) json_int_at(config, "server.readsPerFiveMinutes", 20000000),
		.writes = (uint64_t) json_int_at(config, "server.writesPerFiveMinutes", 2000000),
		.workers = number(config, "workers", cores() + WORKERS_MORE),
	};
	unsigned per_address = number(config, "server.connectionsPerAddress", 0);
	int r;

	s.limits = (struct conn_limits){
		.total = fit_descriptors(number(config, "server.connections", 10000)),
		.new_s = number(config, "server.idleSeconds", 60),
		.idle_s = number(config, "server.idleSeconds", 60),
		.head_s = number(config, "server.headSeconds", 15),
		.body_s = number(config, "server.bodySeconds", 30),
		.send_s = number(config, "server.bodySeconds", 30),
		.bytes_per_s = 16 << 10,
	};
	/* Nobody alone can take what others need. */
	s.limits.per_address = s.limits.total - s.limits.total / 4;
	if (per_address && per_address < s.limits.per_address)
		s.limits.per_address = per_address;
	if (!s.certificate != !s.key)
		return err_set(err, -EINVAL,
			       "kiln.yaml: server.certificate and server.key come together");
	r = read_metrics(config, &s, err);
	if (r >= 0)
		r = read_names(config, &s, err);
	if (r < 0)
		return r;
	*ret = s;
	return 0;
}

void settings_done(struct server_settings *s)
{
	free(s->names);
	s->names = NULL;
}
