/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics.h"

#include <stdatomic.h>

#include "base/mem.h"

static const char *const methods[] = {"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "other"};
static const char *const own_types[] = {"other", "login", "blob", "metrics", "healthz"};
/* Upper bounds in microseconds. */
static const int64_t bounds[] = {100,   250,    500,    1000,   2500,    5000,    10000,   25000,
				 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};

#define N_METHODS ARRAY_SIZE(methods)
#define N_CLASSES 5 /* 1xx to 5xx */
#define N_OWN     ARRAY_SIZE(own_types)
#define N_BOUNDS  ARRAY_SIZE(bounds)

struct histogram {
	_Atomic uint64_t below[N_BOUNDS + 1], sum_us;
};

struct metrics {
	const char **types; /* own_types, then those of arm/ */
	size_t n_types;
	_Atomic uint64_t *requests; /* [type][method][class] */
	struct histogram latency[N_METHODS];
	_Atomic uint64_t bytes_in, bytes_out, operations;
};

int metrics_new(const struct arm *arm, struct metrics **ret, struct err *err)
{
	const struct arm_type *const *types = arm_config(arm)->types;
	struct metrics *m = calloc(1, sizeof(*m));
	size_t n = 0;

	while (types[n])
		n++;
	if (m) {
		m->types = calloc(N_OWN + n, sizeof(*m->types));
		m->requests = calloc((N_OWN + n) * N_METHODS * N_CLASSES, sizeof(*m->requests));
	}
	if (!m || !m->types || !m->requests) {
		metrics_free(m);
		return err_set(err, -ENOMEM, "metrics");
	}
	for (size_t i = 0; i < N_OWN; i++)
		m->types[m->n_types++] = own_types[i];
	for (size_t i = 0; i < n; i++) {
		bool known = false; /* one type may be listed for several scopes */

		for (size_t k = 0; k < m->n_types; k++)
			known = known || str_eq(m->types[k], types[i]->name);
		if (!known)
			m->types[m->n_types++] = types[i]->name;
	}
	*ret = m;
	return 0;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	free(m->types);
	free(m->requests);
	free(m);
}

static size_t method_index(const char *method)
{
	size_t i = 0;

	while (i < N_METHODS - 1 && !str_eq(methods[i], method))
		i++;
	return i;
}

/* Names are nearly always the ones of the table themselves. */
static size_t type_index(const struct metrics *m, const char *type)
{
	for (size_t i = 0; type && i < m->n_types; i++)
		if (m->types[i] == type)
			return i;
	for (size_t i = 0; type && i < m->n_types; i++)
		if (str_eq(m->types[i], type))
			return i;
	return 0;
}

void metrics_count(struct metrics *m, const char *method, int status, const char *type, int64_t ns,
		   uint64_t bytes_in, uint64_t bytes_out)
{
	size_t t = type_index(m, type), k = method_index(method), b = 0;
	size_t class = status >= 100 && status < 600 ? (size_t) status / 100 - 1 : N_CLASSES - 1;

	atomic_fetch_add_explicit(&m->requests[(t * N_METHODS + k) * N_CLASSES + class], 1,
				  memory_order_relaxed);
	while (b < N_BOUNDS && ns > bounds[b] * 1000)
		b++;
	atomic_fetch_add_explicit(&m->latency[k].below[b], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->latency[k].sum_us, (uint64_t) ns / 1000,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&m->bytes_in, bytes_in, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->bytes_out, bytes_out, memory_order_relaxed);
}

void metrics_operation(struct metrics *m)
{
	atomic_fetch_add_explicit(&m->operations, 1, memory_order_relaxed);
}

void metrics_value(struct buf *out, const char *name, const char *type, const char *help,
		   uint64_t value)
{
	(void) buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
			(unsigned long long) value);
}

static void requests_text(struct metrics *m, struct buf *out)
{
	(void) buf_addstr(out, "# HELP kiln_requests_total Requests answered.\n"
			       "# TYPE kiln_requests_total counter\n");
	for (size_t t = 0; t < m->n_types; t++)
		for (size_t k = 0; k < N_METHODS; k++)
			for (size_t c = 0; c < N_CLASSES; c++) {
				uint64_t n = atomic_load(
					&m->requests[(t * N_METHODS + k) * N_CLASSES + c]);

				if (n > 0)
					(void) buf_addf(out,
							"kiln_requests_total{method=\"%s\","
							"status=\"%zuxx\",type=\"%s\"} %llu\n",
							methods[k], c + 1, m->types[t],
							(unsigned long long) n);
			}
}

static void latency_text(struct metrics *m, struct buf *out)
{
	(void) buf_addstr(out, "# HELP kiln_request_seconds Time from the head of a request to the "
			       "end of its answer.\n# TYPE kiln_request_seconds histogram\n");
	for (size_t k = 0; k < N_METHODS; k++) {
		struct histogram *h = &m->latency[k];
		unsigned long long n = 0;

		for (size_t b = 0; b <= N_BOUNDS; b++) {
			n += atomic_load(&h->below[b]);
			(void) buf_addf(out, "kiln_request_seconds_bucket{method=\"%s\",le=\"",
					methods[k]);
			if (b < N_BOUNDS)
				(void) buf_addf(out, "%g", (double) bounds[b] / 1e6);
			else
				(void) buf_addstr(out, "+Inf");
			(void) buf_addf(out, "\"} %llu\n", n);
		}
		(void) buf_addf(out,
				"kiln_request_seconds_sum{method=\"%s\"} %.6f\n"
				"kiln_request_seconds_count{method=\"%s\"} %llu\n",
				methods[k], (double) atomic_load(&h->sum_us) / 1e6, methods[k], n);
	}
}

void metrics_text(struct metrics *m, struct buf *out)
{
	requests_text(m, out);
	latency_text(m, out);
	metrics_value(out, "kiln_received_bytes_total", "counter", "Bytes of request bodies.",
		      atomic_load(&m->bytes_in));
	metrics_value(out, "kiln_sent_bytes_total", "counter", "Bytes of response bodies.",
		      atomic_load(&m->bytes_out));
	metrics_value(out, "kiln_operations_started_total", "counter",
		      "Operations that requests to this process started.",
		      atomic_load(&m->operations));
}
