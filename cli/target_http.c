/* SPDX-License-Identifier: Apache-2.0 */
/* Requests over HTTPS to a context's server, or over the socket of the server that holds this
 * host's data directory. */
#include <poll.h>
#include <time.h>

#include "base/buf.h"
#include "base/https.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/context.h"
#include "cli/ref.h"
#include "cli/target.h"

#define ANSWER_MAX_BYTES (64u << 20)
#define CONNECT_SECONDS  20L
#define QUIET_SECONDS    300L /* without a byte: the server is gone */

struct http_target {
	struct target t;
	CURL *curl;
	json_t *context; /* owned; {} for the socket */
	char *socket;
	char *base; /* "https://host:port", without a slash at the end */
};

struct answer {
	struct buf body;
	struct arm_response *res;
	int failed;
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;

	buf_add(&a->body, data, size * n);
	return buf_err(&a->body) < 0 ? 0 : size * n;
}

static void take_header(char **field, const char *value, size_t n)
{
	free(*field);
	*field = strndup(value, n);
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	size_t left = size * n;
	const char *colon = memchr(data, ':', left);
	auto_free char *name = NULL;
	const char *v;

	if (!colon)
		return left;
	name = strndup(data, (size_t) (colon - data));
	v = colon + 1;
	n = left - (size_t) (v - data);
	while (n > 0 && (*v == ' ' || *v == '\t'))
		v++, n--;
	while (n > 0 && (v[n - 1] == '\r' || v[n - 1] == '\n' || v[n - 1] == ' '))
		n--;
	if (!name)
		a->failed = -ENOMEM;
	else if (str_eq_nocase(name, "etag"))
		take_header(&a->res->etag, v, n);
	else if (str_eq_nocase(name, "location"))
		take_header(&a->res->location, v, n);
	else if (str_eq_nocase(name, "azure-asyncoperation"))
		take_header(&a->res->async_operation, v, n);
	else if (str_eq_nocase(name, "retry-after"))
		a->res->retry_after_s = n == 1 && *v > '0' && *v <= '9' ? *v - '0' : 1;
	return left;
}

/* The transport that every request of this target uses. */
static void http_transport(struct http_target *h)
{
	const char *ca = json_str_at(h->context, "caFile");

	curl_easy_reset(h->curl);
	(void) curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, h->socket ? "http" : "https");
	(void) curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
	(void) curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	(void) curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void) curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, QUIET_SECONDS);
	(void) curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "kiln/" KILN_VERSION);
	if (h->socket) {
		(void) curl_easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, h->socket);
		(void) curl_easy_setopt(h->curl, CURLOPT_PROXY, "");
	}
	if (ca)
		(void) curl_easy_setopt(h->curl, CURLOPT_CAINFO, ca);
}

static void http_method(CURL *c, const char *method, const char *body, size_t n)
{
	(void) curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	if (strcmp(method, "HEAD") == 0)
		(void) curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
		(void) curl_easy_setopt(c, CURLOPT_POST, 1L);
		(void) curl_easy_setopt(c, CURLOPT_POSTFIELDS, body ? body : "");
		(void) curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) n);
	}
}

/* One exchange; the answer's body is in @a. */
static int http_perform(struct http_target *h, const char *url, struct curl_slist *headers,
			struct answer *a, struct err *err)
{
	char text[CURL_ERROR_SIZE] = "";
	CURLcode code;
	long status = 0;

	(void) curl_easy_setopt(h->curl, CURLOPT_URL, url);
	(void) curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
	(void) curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
	(void) curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, a);
	(void) curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
	(void) curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, a);
	(void) curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, text);
	code = curl_easy_perform(h->curl);
	(void) curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, NULL);
	if (code != CURLE_OK) {
		err_set(err, -EIO, "%s: %s", h->t.name, *text ? text : curl_easy_strerror(code));
		if (code == CURLE_PEER_FAILED_VERIFICATION)
			err_hint(err, "give the server's CA certificate to 'kiln login --ca-file'");
		return -EIO;
	}
	(void) curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	a->res->status = (int) status;
	if (a->failed < 0)
		return err_set(err, a->failed, "%s", h->t.name);
	return 0;
}

/* ---- Tokens --------------------------------------------------------------------------------- */

static char *form(CURL *c, const char *const pairs[][2], size_t n)
{
	auto_buf struct buf out = BUF_INIT(1u << 20);

	for (size_t i = 0; i < n; i++) {
		char *v = pairs[i][1] ? curl_easy_escape(c, pairs[i][1], 0) : NULL;

		if (v)
			buf_addf(&out, "%s%s=%s", out.len ? "&" : "", pairs[i][0], v);
		curl_free(v);
	}
	return buf_take(&out);
}

static int token_answer(struct http_target *h, int status, const struct buf *body, struct err *err)
{
	auto_json json_t *j = NULL;
	const char *token, *text;
	int64_t seconds;

	if (json_parse(body->data ? body->data : "", body->len, &j, NULL) < 0)
		return err_set(err, -EIO, "%s: the token endpoint answered %d with no JSON",
			       h->t.name, status);
	token = json_str_at(j, "access_token");
	if (status != 200 || !token) {
		text = json_str_at(j, "error_description");
		err_set(err, -EACCES, "%s: login refused: %s", h->t.name,
			text ? text : "no reason given");
		err_hint(err, "log in again: kiln login");
		return -EACCES;
	}
	seconds = json_int_at(j, "expires_in", 300);
	if (json_set_at(h->context, "token.value", json_string(token)) < 0 ||
	    json_set_at(h->context, "token.expires",
			json_integer((json_int_t) time(NULL) + seconds - 60)) < 0)
		return err_set(err, -ENOMEM, "token");
	return context_keep(h->context, err);
}

static int token_fetch(struct http_target *h, struct err *err)
{
	const char *tenant = json_str_at(h->context, "tenantId");
	const char *secret = json_str_at(h->context, "clientSecret");
	const char *file = json_str_at(h->context, "federatedTokenFile");
	auto_free char *assertion = NULL, *scope = strf("%s/.default", h->base);
	auto_free char *url = strf("%s/%s/oauth2/v2.0/token", h->base, tenant ? tenant : "adfs");
	auto_free char *fields = NULL;
	struct arm_response res = {0};
	struct answer a = {.body = BUF_INIT(1u << 20), .res = &res};
	int r = file ? context_read_secret(file, &assertion, err) : 0;

	if (r < 0)
		return r;
	fields = form(
		h->curl,
		(const char *const[][2]){
			{"grant_type", "client_credentials"},
			{"client_id", json_str_at(h->context, "clientId")},
			{"scope", scope},
			{"client_secret", file ? NULL : secret},
			{"client_assertion_type",
			 file ? "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" : NULL},
			{"client_assertion", assertion},
		},
		6);
	if (!scope || !url || !fields)
		return err_set(err, -ENOMEM, "token");
	http_transport(h);
	http_method(h->curl, "POST", fields, strlen(fields));
	r = http_perform(h, url, NULL, &a, err);
	if (r == 0)
		r = token_answer(h, res.status, &a.body, err);
	explicit_bzero(fields, strlen(fields));
	buf_done(&a.body);
	arm_response_done(&res);
	return r;
}

static int bearer(struct http_target *h, bool fresh, struct curl_slist **list, struct err *err)
{
	auto_free char *value = NULL;
	int r = 0;

	if (h->socket)
		return 0;
	if (fresh || json_int_at(h->context, "token.expires", 0) <= (int64_t) time(NULL))
		r = token_fetch(h, err);
	if (r < 0)
		return r;
	value = strf("Bearer %s", json_str_at(h->context, "token.value"));
	return value && https_header(list, "Authorization", value) == 0
		       ? 0
		       : err_set(err, -ENOMEM, "token");
}

/* ---- Requests ------------------------------------------------------------------------------- */

static int http_once(struct http_target *h, const struct arm_request *req, bool fresh,
		     struct arm_response *ret, struct err *err)
{
	const char *host = req->target[0] == '/' ? NULL : strstr(req->target, "://");
	const char *path = host ? strchr(host + 3, '/') : req->target;
	/* the server of the socket answers for its endpoint's URLs */
	auto_free char *url =
		host && !h->socket ? strdup(req->target) : strf("%s%s", h->base, path ? path : "/");
	struct answer a = {.body = BUF_INIT(ANSWER_MAX_BYTES), .res = ret};
	struct curl_slist *headers = NULL;
	int r;

	if (!url)
		return err_set(err, -ENOMEM, "request");
	/* a token goes to nobody else */
	if (strncmp(url, h->base, strlen(h->base)) != 0 || !strchr("/?", url[strlen(h->base)]))
		return err_set(err, -EINVAL, "'%s' is not on %s", req->target, h->base);
	r = bearer(h, fresh, &headers, err);
	if (r == 0 &&
	    (https_header(&headers, "Content-Type", req->body ? "application/json" : NULL) ||
	     https_header(&headers, "Expect", "") ||
	     https_header(&headers, "If-Match", req->if_match) ||
	     https_header(&headers, "If-None-Match", req->if_none_match)))
		r = err_set(err, -ENOMEM, "request");
	if (r == 0) {
		http_transport(h);
		http_method(h->curl, req->method, req->body, req->body_bytes);
		r = http_perform(h, url, headers, &a, err);
	}
	if (r == 0 && a.body.len > 0 && json_parse(a.body.data, a.body.len, &ret->body, NULL) < 0)
		r = ret->status == 200 && str_starts(path ? path : "", "/serial/")
			    ? arm_response_text(ret, "text/plain", a.body.data, a.body.len)
			    : err_set(err, -EIO, "%s answered %d with no JSON", h->t.name,
				      ret->status);
	curl_slist_free_all(headers);
	buf_done(&a.body);
	return r;
}

static int http_send(struct target *t, const struct arm_request *req, struct arm_response *ret,
		     struct err *err)
{
	struct http_target *h = (struct http_target *) t;
	const char *last;
	int r = http_once(h, req, false, ret, err);

	if (r == 0 && ret->status == 401 && !h->socket) { /* revoked, or another key: once more */
		arm_response_done(ret);
		*ret = (struct arm_response){0};
		r = http_once(h, req, true, ret, err);
	}
	last = ret->async_operation ? ret->async_operation : ret->location;
	if (r == 0 && last) {
		auto_free char *path = strndup(last, strcspn(last, "?"));
		const char *name = path ? strrchr(path, '/') : NULL;

		(void) snprintf(ret->operation_id, sizeof(ret->operation_id), "%s",
				name ? name + 1 : "");
	}
	return r;
}

static void show_percent(const struct event_sink *events, const json_t *status)
{
	double percent = json_number_value(json_object_get(status, "percentComplete"));

	event_emit(events, json_pack("{s:s, s:s, s:i, s:i}", "type", "progress", "stage",
				     "operation", "done", (int) percent, "total", 100));
}

/* What the operation says: 1 while it runs. */
static int operation_state(struct http_target *h, const char *url, int *ret_wait_s,
			   const struct event_sink *events, struct err *err)
{
	struct arm_request q = {.method = "GET", .target = url};
	struct arm_response res = {0};
	const char *state;
	int r = http_send(&h->t, &q, &res, err);

	if (r < 0)
		return r;
	*ret_wait_s = res.retry_after_s > 0 ? res.retry_after_s : 1;
	state = json_str_at(res.body, "status");
	if (res.status == 202 || (state && str_eq(state, "InProgress"))) {
		show_percent(events, res.body);
		r = 1;
	} else if (res.status >= 300 || (state && !str_eq(state, "Succeeded"))) {
		r = ref_error(res.status < 300 ? 409 : res.status, res.body, err);
		if (state && str_eq(state, "Canceled"))
			r = err_set(err, -ECANCELED, "the operation was cancelled");
	}
	arm_response_done(&res);
	return r;
}

static int http_finish(struct target *t, const struct arm_response *res,
		       const struct event_sink *events, struct cancel *cancel, struct err *err)
{
	struct http_target *h = (struct http_target *) t;
	auto_free char *url = strdup(res->async_operation ? res->async_operation
				     : res->location      ? res->location
							  : "");
	int wait_s = 1, r;

	if (!url)
		return err_set(err, -ENOMEM, "operation");
	if (!*url)
		return 0;
	while ((r = operation_state(h, url, &wait_s, events, err)) == 1) {
		struct pollfd p = {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN};

		if (poll(&p, 1, wait_s * 1000) > 0 || cancel_check(cancel) < 0) {
			err_set(err, -ECANCELED, "no longer waiting");
			err_hint(err,
				 "the operation goes on at %s; 'kiln operation cancel %s' "
				 "stops it",
				 t->name, res->operation_id);
			return -ECANCELED;
		}
	}
	return r;
}

static void http_free(struct target *t)
{
	struct http_target *h = (struct http_target *) t;

	if (h->curl)
		curl_easy_cleanup(h->curl);
	json_decref(h->context);
	free(h->socket);
	free(h->base);
}

/* The subscription of a context is the one it names, else the first that its principal sees. */
static int http_subscription(struct http_target *h, struct err *err)
{
	const char *given = json_str_at(h->context, "subscriptionId");
	struct arm_request q = {.method = "GET", .target = "/subscriptions?api-version=2021-01-01"};
	struct arm_response res = {0};
	const char *found;
	int r = 0;

	if (!given)
		r = http_send(&h->t, &q, &res, err);
	found = given ? given : json_str_at(res.body, "value.0.subscriptionId");
	if (r == 0 && res.status >= 300)
		r = ref_error(res.status, res.body, err);
	h->t.subscription_id = r == 0 ? strdup(found ? found : "") : NULL;
	arm_response_done(&res);
	return r == 0 && !h->t.subscription_id ? -ENOMEM : r;
}

int target_open_http(const json_t *context, const char *socket, struct target **ret,
		     struct err *err)
{
	static const struct target_ops ops = {http_send, http_finish, http_free};
	struct http_target *h = calloc(1, sizeof(*h));
	const char *endpoint = socket ? "http://localhost" : json_str_at(context, "endpoint");
	size_t n = endpoint ? strlen(endpoint) : 0;
	int r;

	if (!h || !endpoint) {
		free(h);
		return err_set(err, h ? -EINVAL : -ENOMEM, "a context needs an endpoint");
	}
	while (n > 0 && endpoint[n - 1] == '/')
		n--;
	h->t.ops = &ops;
	h->t.remote = true;
	h->base = strndup(endpoint, n);
	h->t.name = strdup(socket ? socket : endpoint);
	h->socket = socket ? strdup(socket) : NULL;
	h->context = context ? json_deep_copy(context) : json_object();
	h->curl = curl_easy_init();
	if (!h->base || !h->t.name || (socket && !h->socket) || !h->context || !h->curl)
		r = err_set(err, -ENOMEM, "connection");
	else
		r = http_subscription(h, err);
	if (r < 0)
		target_free(&h->t);
	else
		*ret = &h->t;
	return r;
}
