/* SPDX-License-Identifier: Apache-2.0 */
#include "store/azure_storage.h"

#include <openssl/hmac.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/https.h"
#include "base/mem.h"

#define API_VERSION "2020-10-02"
#define IDLE_MAX    16 /* connections that are kept */
#define ATTEMPTS    5
#define FIRST_WAIT  100 /* ms; doubles */
#define PAGE_SIZE   5000
#define TEXT_BYTES  4096
#define KEY_MAX     128

struct azure_container {
	char *url;     /* without a '/' at its end */
	char *path;    /* of the URL, percent-encoded */
	char *account; /* whose key it is */
	char *sas;     /* a query, or NULL */
	uint8_t key[KEY_MAX];
	size_t key_bytes;
	unsigned page_size, attempts;
	pthread_mutex_t lock;
	struct https *idle[IDLE_MAX];
	unsigned n_idle;
};

/* ---- The file ------------------------------------------------------------------------------- */

static int check_mode(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (st.st_mode & S_IRWXO) {
		(void) err_set(err, -EACCES, "%s: everybody may read this secret", path);
		err_hint(err, "chmod o= %s", path);
		return -EACCES;
	}
	return 0;
}

static bool loopback(const char *host)
{
	return str_starts(host, "127.") || strcmp(host, "localhost") == 0 ||
	       strcmp(host, "[::1]") == 0;
}

/* The URL's path, and the account that its host names. */
static int take_url(struct azure_container *a, const char *file, const char *url, struct err *err)
{
	CURLU *u = curl_url();
	char *host = NULL, *scheme = NULL, *path = NULL, *query = NULL;
	int r = 0;

	if (!u || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PATH, &path, 0) != CURLUE_OK || strlen(path) < 2 ||
	    curl_url_get(u, CURLUPART_QUERY, &query, 0) == CURLUE_OK)
		r = err_set(err, -EINVAL,
			    "%s: container: https://ACCOUNT.blob.core.windows.net/NAME expected",
			    file);
	else if (strcmp(scheme, "https") != 0 && !(strcmp(scheme, "http") == 0 && loopback(host)))
		r = err_set(err, -EINVAL, "%s: container: only https is spoken with %s", file,
			    host);
	if (r == 0) {
		a->url = strdup(url);
		a->path = strdup(path);
		if (!a->account)
			a->account = strndup(host, strcspn(host, "."));
		r = a->url && a->path && a->account ? 0 : -ENOMEM;
	}
	for (size_t n = r == 0 ? strlen(a->url) : 0; n > 0 && a->url[n - 1] == '/'; n--)
		a->url[n - 1] = '\0';
	for (size_t n = r == 0 ? strlen(a->path) : 0; n > 0 && a->path[n - 1] == '/'; n--)
		a->path[n - 1] = '\0';
	curl_free(host);
	curl_free(scheme);
	curl_free(path);
	curl_free(query);
	curl_url_cleanup(u);
	return r == -ENOMEM ? err_set(err, r, "out of memory") : r;
}

static int take_secret(struct azure_container *a, const char *file, const json_t *j,
		       struct err *err)
{
	const char *key = json_str_at(j, "accountKey"), *sas = json_str_at(j, "sas");
	size_t n = 0;
	void *plain;

	if (!key == !sas)
		return err_set(err, -EINVAL, "%s: one of accountKey and sas is expected", file);
	if (sas) {
		a->sas = strdup(sas + (*sas == '?'));
		return a->sas ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	plain = base64_decode(key, &n);
	if (!plain || n == 0 || n > sizeof(a->key)) {
		free(plain);
		return err_set(err, -EINVAL, "%s: accountKey: base64 expected", file);
	}
	memcpy(a->key, plain, n);
	a->key_bytes = n;
	mem_wipe(plain, n);
	free(plain);
	return 0;
}

static int take_number(const char *file, const json_t *j, const char *name, unsigned dflt,
		       unsigned max, unsigned *ret, struct err *err)
{
	int64_t v = json_int_at(j, name, dflt);

	if (v < 1 || v > max)
		return err_set(err, -EINVAL, "%s: %s: 1 to %u expected", file, name, max);
	*ret = (unsigned) v;
	return 0;
}

static int read_config(struct azure_container *a, const char *path, struct err *err)
{
	auto_json json_t *j = NULL;
	const char *url, *account;
	int r = check_mode(path, err);

	if (r == 0)
		r = json_read_file(path, &j, err);
	if (r < 0)
		return r;
	url = json_str_at(j, "container");
	account = json_str_at(j, "account");
	if (!url)
		return err_set(err, -EINVAL, "%s: container is missing", path);
	a->account = account ? strdup(account) : NULL;
	r = take_url(a, path, url, err);
	if (r == 0)
		r = take_secret(a, path, j, err);
	if (r == 0)
		r = take_number(path, j, "pageSize", PAGE_SIZE, PAGE_SIZE, &a->page_size, err);
	if (r == 0)
		r = take_number(path, j, "attempts", ATTEMPTS, 10, &a->attempts, err);
	return r;
}

int azure_open(const char *path, struct azure_container **ret, struct err *err)
{
	struct azure_container *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(err, -ENOMEM, "out of memory");
	(void) pthread_mutex_init(&a->lock, NULL);
	r = read_config(a, path, err);
	if (r < 0) {
		azure_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

void azure_close(struct azure_container *a)
{
	if (!a)
		return;
	for (unsigned i = 0; i < a->n_idle; i++) {
		https_end(a->idle[i]);
		free(a->idle[i]);
	}
	(void) pthread_mutex_destroy(&a->lock);
	mem_wipe(a->key, sizeof(a->key));
	if (a->sas)
		mem_wipe(a->sas, strlen(a->sas));
	free(a->sas);
	free(a->account);
	free(a->path);
	free(a->url);
	free(a);
}

unsigned azure_page_size(const struct azure_container *a)
{
	return a->page_size;
}

const char *azure_url(const struct azure_container *a)
{
	return a->url;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

static void encode(struct buf *out, const char *text, bool path)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (; *text; text++)
		if (strchr(plain, *text) || (path && *text == '/'))
			buf_addch(out, *text);
		else
			buf_addf(out, "%%%02X", (unsigned char) *text);
}

static void add_target(struct buf *out, const char *base, const char *blob)
{
	buf_addstr(out, base);
	if (blob) {
		buf_addch(out, '/');
		encode(out, blob, true);
	}
}

char *azure_url_of(const struct azure_container *a, const char *blob)
{
	auto_buf struct buf out = BUF_INIT(TEXT_BYTES);

	add_target(&out, a->url, blob);
	if (a->sas)
		buf_addf(&out, "?%s", a->sas);
	return buf_take(&out);
}

static char *request_url(const struct azure_container *a, const struct azure_call *c)
{
	auto_buf struct buf out = BUF_INIT(TEXT_BYTES);
	char sign = '?';

	add_target(&out, a->url, c->blob);
	for (const struct azure_param *p = c->params; p && p->name; p++, sign = '&') {
		buf_addf(&out, "%c%s=", sign, p->name);
		encode(&out, p->value, false);
	}
	if (a->sas)
		buf_addf(&out, "%c%s", sign, a->sas);
	return buf_take(&out);
}

static void http_date(char *dst, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;

	(void) gmtime_r(&now, &tm);
	(void) strftime(dst, size, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

/* The x-ms- headers in the order of their names, each line ended by @end. */
static void add_ms_headers(struct buf *out, const struct azure_call *c, const char *date)
{
	if (c->blob_type)
		buf_addf(out, "x-ms-blob-type:%s\n", c->blob_type);
	if (c->copy_source)
		buf_addf(out, "x-ms-copy-source:%s\n", c->copy_source);
	buf_addf(out, "x-ms-date:%s\n", date);
	if (c->range)
		buf_addf(out, "x-ms-range:%s\n", c->range);
	buf_addf(out, "x-ms-version:" API_VERSION "\n");
}

/* "Shared Key" of the protocol: base64 of HMAC-SHA256 over what is asked for. Caller frees. */
static char *signature(const struct azure_container *a, const struct azure_call *c,
		       const char *ms_headers)
{
	auto_buf struct buf text = BUF_INIT(2 * TEXT_BYTES);
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	buf_addf(&text, "%s\n\n\n", c->method); /* no encoding, no language */
	if (c->body_bytes)
		buf_addf(&text, "%llu", (unsigned long long) c->body_bytes);
	buf_addf(&text, "\n%s\n", c->md5 ? c->md5 : "");
	buf_addstr(&text, "\n\n\n"); /* type, date, if-modified-since */
	buf_addf(&text, "%s\n%s\n\n\n", c->if_match ? c->if_match : "",
		 c->if_none_match ? c->if_none_match : "");
	buf_addf(&text, "%s/%s", ms_headers, a->account);
	add_target(&text, a->path, c->blob);
	for (const struct azure_param *p = c->params; p && p->name; p++)
		buf_addf(&text, "\n%s:%s", p->name, p->value);
	if (buf_err(&text) < 0 || !HMAC(EVP_sha256(), a->key, (int) a->key_bytes,
					(const uint8_t *) text.data, text.len, mac, &n))
		return NULL;
	return base64_encode(mac, n);
}

static int make_headers(const struct azure_container *a, const struct azure_call *c,
			struct curl_slist **ret)
{
	auto_buf struct buf ms = BUF_INIT(TEXT_BYTES);
	auto_free char *sig = NULL, *auth = NULL, *lines = NULL;
	char date[64], *save = NULL;
	int r = 0;

	http_date(date, sizeof(date));
	add_ms_headers(&ms, c, date);
	if (!a->sas) {
		sig = buf_err(&ms) < 0 ? NULL : signature(a, c, buf_str(&ms));
		auth = sig ? strf("SharedKey %s:%s", a->account, sig) : NULL;
		r = auth ? https_header(ret, "Authorization", auth) : -ENOMEM;
	}
	lines = buf_take(&ms);
	for (char *l = lines ? strtok_r(lines, "\n", &save) : NULL; l && r == 0;
	     l = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(l, ':');

		*colon = '\0';
		r = https_header(ret, l, colon + 1);
	}
	if (r == 0)
		r = https_header(ret, "Content-MD5", c->md5);
	if (r == 0)
		r = https_header(ret, "If-Match", c->if_match);
	if (r == 0)
		r = https_header(ret, "If-None-Match", c->if_none_match);
	/* Neither a type nor a question whether the body may be sent. */
	for (size_t i = 0; r == 0 && i < 2; i++) {
		struct curl_slist *longer =
			curl_slist_append(*ret, i ? "Expect:" : "Content-Type:");

		r = longer ? 0 : -ENOMEM;
		*ret = longer ? longer : *ret;
	}
	return lines ? r : -ENOMEM;
}

/* ---- One attempt ---------------------------------------------------------------------------- */

struct transfer {
	const struct azure_call *call;
	struct azure_answer *answer;
	CURL *curl;
	uint64_t sent;
	int failed; /* why a callback ended it */
};

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	long status = 0;

	n *= size;
	(void) curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status / 100 != 2)
		return n; /* the error's code is in a header */
	if (t->call->text) {
		t->failed = buf_add(t->call->text, p, n);
	} else if (n > t->call->dst_bytes - t->answer->got) {
		t->failed = -EPROTO; /* more than was asked for */
	} else {
		memcpy((char *) t->call->dst + t->answer->got, p, n);
		t->answer->got += n;
	}
	return t->failed < 0 ? CURL_WRITEFUNC_ERROR : n;
}

static size_t on_upload(char *dst, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	uint64_t left = t->call->body_bytes - t->sent;

	n *= size;
	n = n < left ? n : (size_t) left;
	t->failed = n ? file_pread_full(t->call->body_fd, dst, n, t->sent) : 0;
	t->sent += n;
	return t->failed < 0 ? CURL_READFUNC_ABORT : n;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct azure_answer *a = arg;
	const struct {
		const char *name;
		char *dst;
	} wanted[] = {
		{"x-ms-error-code:", a->code},
		{"etag:", a->etag},
		{"content-md5:", a->md5},
		{"x-ms-copy-status:", a->copy_status},
	};
	char line[256];

	n *= size;
	(void) snprintf(line, sizeof(line), "%.*s", (int) n, p);
	line[strcspn(line, "\r\n")] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		size_t k = strlen(wanted[i].name);

		if (strncasecmp(line, wanted[i].name, k) == 0)
			(void) snprintf(wanted[i].dst, AZURE_TEXT_MAX, "%s",
					line + k + strspn(line + k, " "));
	}
	return n;
}

static int set_options(struct https *h, struct transfer *t, const char *url,
		       struct curl_slist *headers)
{
	const struct azure_call *c = t->call;
	CURL *curl = h->curl;
	bool bad = false;

#define SET(option, value) (bad |= curl_easy_setopt(curl, option, value) != CURLE_OK)
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https"); /* azure_open() has looked at it */
	SET(CURLOPT_FAILONERROR, 0L);
	SET(CURLOPT_CONNECTTIMEOUT, 30L);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, 60L);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t->answer);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_NOBODY, strcmp(c->method, "HEAD") == 0 ? 1L : 0L);
	SET(CURLOPT_UPLOAD, strcmp(c->method, "PUT") == 0 ? 1L : 0L);
	SET(CURLOPT_CUSTOMREQUEST, strcmp(c->method, "DELETE") == 0 ? "DELETE" : NULL);
	SET(CURLOPT_READFUNCTION, on_upload);
	SET(CURLOPT_READDATA, t);
	SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t) c->body_bytes);
#undef SET
	return bad ? -EINVAL : 0;
}

/* A connection from the idle ones, or a new one. */
static int handle_take(struct azure_container *a, struct https **ret, struct err *err)
{
	struct https *h = NULL;
	int r;

	(void) pthread_mutex_lock(&a->lock);
	if (a->n_idle > 0)
		h = a->idle[--a->n_idle];
	(void) pthread_mutex_unlock(&a->lock);
	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return err_set(err, -ENOMEM, "out of memory");
		r = https_begin(h, NULL, a->url, on_body, NULL, err);
		if (r < 0) {
			free(h);
			return r;
		}
		h->allow_private = true; /* the operator's own choice of a place */
	}
	*ret = h;
	return 0;
}

static void handle_give(struct azure_container *a, struct https *h)
{
	(void) pthread_mutex_lock(&a->lock);
	if (a->n_idle < IDLE_MAX) {
		a->idle[a->n_idle++] = h;
		h = NULL;
	}
	(void) pthread_mutex_unlock(&a->lock);
	if (h) {
		https_end(h);
		free(h);
	}
}

static int one_attempt(struct azure_container *a, const struct azure_call *c,
		       struct azure_answer *ret, struct err *err)
{
	auto_free char *url = request_url(a, c);
	struct curl_slist *headers = NULL;
	struct transfer t = {.call = c, .answer = ret};
	struct https *h = NULL;
	curl_off_t bytes = 0;
	long status = 0;
	int r = url ? make_headers(a, c, &headers) : -ENOMEM;

	if (r < 0)
		(void) err_set(err, r, "out of memory");
	if (r == 0)
		r = handle_take(a, &h, err);
	if (r == 0) {
		t.curl = h->curl;
		r = set_options(h, &t, url, headers);
		if (r == 0)
			r = https_perform(h, err);
		else
			(void) err_set(err, r, "libcurl could not be set up");
		(void) curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
		(void) curl_easy_getinfo(h->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &bytes);
		(void) curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
		handle_give(a, h);
	}
	curl_slist_free_all(headers);
	ret->status = (int) status;
	ret->bytes = bytes > 0 ? (uint64_t) bytes : 0;
	return t.failed < 0 ? t.failed : r;
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static bool again(int r, int status)
{
	return r == -EIO || status == 408 || status == 429 || status == 500 || status >= 502;
}

static int judge(const struct azure_call *c, const struct azure_answer *a, struct err *err)
{
	static const struct {
		int status, r;
	} known[] = {{404, -ENOENT},  {409, -EEXIST}, {412, -EEXIST},
		     {416, -ENODATA}, {401, -EACCES}, {403, -EACCES}};
	int r = -EIO;

	if (a->status / 100 == 2)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].status == a->status)
			r = known[i].r;
	return err_set(err, r, "%s: the service answered %d%s%s", c->method, a->status,
		       *a->code ? " " : "", a->code);
}

int azure_call(struct azure_container *a, const struct azure_call *c, struct azure_answer *ret,
	       struct err *err)
{
	struct azure_answer own = {0};
	long wait = FIRST_WAIT;
	int r = 0;

	ret = ret ? ret : &own;
	for (unsigned i = 1; i <= a->attempts; i++, wait *= 2) {
		const struct timespec pause = {wait / 1000, wait % 1000 * 1000000};

		if (i > 1 && err)
			err_done(err);
		*ret = (struct azure_answer){.attempts = i};
		if (c->text)
			buf_clear(c->text);
		r = one_attempt(a, c, ret, err);
		if (r == 0)
			r = judge(c, ret, err);
		if (r == 0 || !again(ret->status ? 0 : r, ret->status) || i == a->attempts)
			break;
		(void) nanosleep(&pause, NULL);
	}
	return r;
}
