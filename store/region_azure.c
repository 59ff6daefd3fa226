/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region in a container of Azure's Blob service, or of what speaks its protocol. An object is a
 * block blob that one conditional Put Blob makes, with its MD5, so it is there whole or not at all.
 * Until then its bytes are in a nameless local file, which the proof before the commit reads.
 * Whether a request that was sent twice had its effect the first time is told by MD5 and ETag.
 */
#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/azure_storage.h"
#include "store/region.h"

#define SCRATCH    "/var/tmp"
#define PAGE_MAX   (16u << 20) /* bytes of one page of a listing */
#define COPY_TRIES 100
#define MD5_BASE64 25

struct region_azure {
	struct region base;
	struct azure_container *at;
	bool read_only;
};

struct azure_put {
	struct region_put base;
	int fd;
	uint64_t bytes;
	EVP_MD_CTX *md5;
};

static struct region_azure *azure_of(struct region *g)
{
	return (struct region_azure *) g;
}

static int writable(const struct region_azure *a, const char *key, struct err *err)
{
	if (a->read_only)
		return err_set(err, -EROFS, "opened read-only");
	return key ? region_key_check(key, err) : 0;
}

/* ---- Reads ---------------------------------------------------------------------------------- */

static int azure_stat(struct region *g, const char *key, uint64_t *ret_bytes, struct err *err)
{
	const struct azure_call c = {.method = "HEAD", .blob = key};
	struct azure_answer a;
	int r = region_key_check(key, err);

	if (r == 0)
		r = azure_call(azure_of(g)->at, &c, &a, err);
	if (r == 0)
		*ret_bytes = a.bytes;
	return r;
}

static int azure_get(struct region *g, const char *key, uint64_t offset, void *dst, size_t n,
		     struct err *err)
{
	char range[64];
	const struct azure_call c = {
		.method = "GET", .blob = key, .range = range, .dst = dst, .dst_bytes = n};
	struct azure_answer a;
	uint64_t bytes;
	int r = region_key_check(key, err);

	if (r < 0)
		return r;
	if (n == 0) { /* there is no empty range */
		r = azure_stat(g, key, &bytes, err);
		if (r == 0 && offset > bytes)
			r = err_set(err, -ENODATA, "object is too short");
		return r;
	}
	(void) snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long) offset,
			(unsigned long long) (offset + n - 1));
	r = azure_call(azure_of(g)->at, &c, &a, err);
	if (r == 0 && a.got < n)
		r = err_set(err, -ENODATA, "%zu bytes at %llu: object is too short", n,
			    (unsigned long long) offset);
	return r;
}

/* ---- Listing -------------------------------------------------------------------------------- */

static const xmlNode *child(const xmlNode *of, const char *name)
{
	for (const xmlNode *x = of ? of->children : NULL; x; x = x->next)
		if (x->type == XML_ELEMENT_NODE && strcmp((const char *) x->name, name) == 0)
			return x;
	return NULL;
}

/* The text of an element; owned, "" for none. */
static char *text_of(const xmlNode *x)
{
	xmlChar *text = x ? xmlNodeGetContent(x) : NULL;
	char *copy = strdup(text ? (const char *) text : "");

	xmlFree(text);
	return copy;
}

static int one_blob(const xmlNode *x, region_list_fn *fn, void *arg, struct err *err)
{
	auto_free char *name = text_of(child(x, "Name"));
	auto_free char *size = text_of(child(child(x, "Properties"), "Content-Length"));
	char *end = NULL;
	unsigned long long bytes;

	if (!name || !size)
		return err_set(err, -ENOMEM, "out of memory");
	bytes = strtoull(size, &end, 10);
	if (!*size || *end)
		return err_set(err, -EBADMSG, "a listing without sizes");
	if (region_key_check(name, NULL) < 0)
		return 0; /* no name of ours */
	return fn(arg, name, bytes);
}

/* Calls @fn for a page; the mark of the next one into *@ret_marker, "" after the last. */
static int one_page(const struct buf *page, region_list_fn *fn, void *arg, char **ret_marker,
		    struct err *err)
{
	xmlDoc *doc = xmlReadMemory(page->data, (int) page->len, NULL, NULL,
				    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	const xmlNode *blobs = child(root, "Blobs");
	int r = 0;

	if (!blobs)
		r = err_set(err, -EBADMSG, "a listing that is none");
	for (const xmlNode *x = blobs ? blobs->children : NULL; x && r >= 0; x = x->next)
		if (x->type == XML_ELEMENT_NODE && strcmp((const char *) x->name, "Blob") == 0)
			r = one_blob(x, fn, arg, err);
	if (r >= 0) {
		*ret_marker = text_of(child(root, "NextMarker"));
		r = *ret_marker ? r : err_set(err, -ENOMEM, "out of memory");
	}
	xmlFreeDoc(doc);
	return r;
}

static int azure_list(struct region *g, const char *prefix, region_list_fn *fn, void *arg,
		      struct err *err)
{
	struct region_azure *a = azure_of(g);
	auto_free char *dir = NULL, *marker = strdup("");
	char most[16];
	size_t n = strlen(prefix);
	int r = region_key_check(prefix, err);

	if (r < 0)
		return r;
	dir = strf("%s%s", prefix, prefix[n - 1] == '/' ? "" : "/");
	(void) snprintf(most, sizeof(most), "%u", azure_page_size(a->at));
	if (!dir || !marker)
		return err_set(err, -ENOMEM, "out of memory");
	do {
		const struct azure_param params[] = {
			{"comp", "list"}, {"marker", marker},       {"maxresults", most},
			{"prefix", dir},  {"restype", "container"}, {NULL},
		};
		auto_buf struct buf page = BUF_INIT(PAGE_MAX);
		const struct azure_call c = {.method = "GET", .params = params, .text = &page};
		char *next = NULL;

		r = azure_call(a->at, &c, NULL, err);
		if (r == 0)
			r = one_page(&page, fn, arg, &next, err);
		free(marker);
		marker = next;
	} while (r >= 0 && marker && *marker);
	return r;
}

/* ---- Changes -------------------------------------------------------------------------------- */

static int azure_remove(struct region *g, const char *key, struct err *err)
{
	const struct azure_call c = {.method = "DELETE", .blob = key};
	int r = writable(azure_of(g), key, err);

	if (r == 0)
		r = azure_call(azure_of(g)->at, &c, NULL, err);
	if (r == -ENOENT) {
		err_done(err);
		return 0;
	}
	return r;
}

/* A copy within an account is made at once, as a rule. */
static int await_copy(struct region_azure *a, const char *to, struct azure_answer *state,
		      struct err *err)
{
	const struct azure_call c = {.method = "HEAD", .blob = to};
	const struct timespec pause = {.tv_nsec = 100000000};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < COPY_TRIES; i++) {
		if (!*state->copy_status || str_eq(state->copy_status, "success"))
			return 0;
		if (!str_eq(state->copy_status, "pending"))
			return err_set(err, -EIO, "copying ended: %s", state->copy_status);
		(void) nanosleep(&pause, NULL);
		r = azure_call(a->at, &c, state, err);
	}
	return r < 0 ? r : err_set(err, -ETIME, "copying takes too long");
}

/* The copy's name holds the ETag, which no two objects share: done twice, it is made once. */
static int azure_quarantine(struct region *g, const char *key, struct err *err)
{
	struct region_azure *a = azure_of(g);
	const struct azure_call look = {.method = "HEAD", .blob = key};
	const char *slash = strrchr(key, '/');
	auto_free char *source = NULL, *to = NULL;
	struct azure_answer was = {0}, state = {0};
	char tag[AZURE_TEXT_MAX];
	size_t n = 0;
	int r = writable(a, key, err);

	if (r == 0)
		r = azure_call(a->at, &look, &was, err);
	if (r == -ENOENT) {
		err_done(err);
		return 0;
	}
	if (r < 0)
		return r;
	for (const char *p = was.etag; *p; p++)
		if ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
		    (*p >= 'A' && *p <= 'Z'))
			tag[n++] = *p;
	tag[n] = '\0';
	source = azure_url_of(a->at, key);
	to = strf("quarantine/%.80s.%s", slash ? slash + 1 : key, tag);
	if (!source || !to)
		return err_set(err, -ENOMEM, "out of memory");
	r = azure_call(
		a->at,
		&(struct azure_call){
			.method = "PUT", .blob = to, .if_none_match = "*", .copy_source = source},
		&state, err);
	if (r == -EEXIST) {
		err_done(err);
		r = 0;
	} else if (r == 0) {
		r = await_copy(a, to, &state, err);
	}
	if (r == 0)
		r = azure_call(
			a->at,
			&(struct azure_call){.method = "DELETE", .blob = key, .if_match = was.etag},
			NULL, err);
	if (r == -ENOENT) {
		err_done(err);
		r = 0;
	}
	return r;
}

/* ---- Puts ----------------------------------------------------------------------------------- */

static void azure_put_abort(struct region_put *rp)
{
	struct azure_put *p = (struct azure_put *) rp;

	if (p->fd >= 0)
		(void) close(p->fd);
	EVP_MD_CTX_free(p->md5);
	free(p);
}

static int azure_put_begin(struct region *g, struct region_put **ret, struct err *err)
{
	struct azure_put *p;
	int r = writable(azure_of(g), NULL, err);

	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->base.region = g;
	p->fd = open(SCRATCH, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (p->fd < 0)
		r = err_set(err, -errno, "cannot make a temporary in " SCRATCH ": %s",
			    strerror(errno));
	p->md5 = r < 0 ? NULL : EVP_MD_CTX_new();
	if (r == 0 && (!p->md5 || !EVP_DigestInit_ex(p->md5, EVP_md5(), NULL)))
		r = err_set(err, -ENOMEM, "no MD5");
	if (r < 0) {
		azure_put_abort(&p->base);
		return r;
	}
	*ret = &p->base;
	return 0;
}

static int azure_put_add(struct region_put *rp, const void *src, size_t n, struct err *err)
{
	struct azure_put *p = (struct azure_put *) rp;
	int r = file_pwrite_full(p->fd, src, n, p->bytes);

	if (r < 0)
		return err_set(err, r, "cannot write: %s", strerror(-r));
	if (!EVP_DigestUpdate(p->md5, src, n))
		return err_set(err, -EIO, "no MD5");
	p->bytes += n;
	return 0;
}

static int azure_put_read(struct region_put *rp, uint64_t offset, void *dst, size_t n,
			  struct err *err)
{
	struct azure_put *p = (struct azure_put *) rp;
	int r = file_pread_full(p->fd, dst, n, offset);

	return r < 0 ? err_set(err, r, "cannot read back: %s", strerror(-r)) : 0;
}

/* The key was taken when the request came a second time: is it by the first? */
static int ours_after_all(struct region_azure *a, const char *key, const struct azure_put *p,
			  const char *md5, struct err *err)
{
	const struct azure_call c = {.method = "HEAD", .blob = key};
	struct azure_answer there;
	auto_err struct err own = ERR_INIT;

	if (azure_call(a->at, &c, &there, &own) == 0 && there.bytes == p->bytes &&
	    str_eq(there.md5, md5)) {
		err_done(err);
		return 0;
	}
	return -EEXIST;
}

static int azure_put_commit(struct region_put *rp, const char *key, bool replace, struct err *err)
{
	struct azure_put *p = (struct azure_put *) rp;
	struct region_azure *a = azure_of(rp->region);
	uint8_t sum[EVP_MAX_MD_SIZE];
	auto_free char *md5 = NULL;
	struct azure_answer answer;
	unsigned n = 0;
	int r = writable(a, key, err);

	if (r == 0 && !EVP_DigestFinal_ex(p->md5, sum, &n))
		r = err_set(err, -EIO, "no MD5");
	md5 = r == 0 ? base64_encode(sum, n) : NULL;
	if (r == 0 && !md5)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r == 0) {
		const struct azure_call c = {
			.method = "PUT",
			.blob = key,
			.blob_type = "BlockBlob",
			.if_none_match = replace ? NULL : "*",
			.md5 = md5,
			.body_fd = p->fd,
			.body_bytes = p->bytes,
		};

		r = azure_call(a->at, &c, &answer, err);
		if (r == -EEXIST && answer.attempts > 1)
			r = ours_after_all(a, key, p, md5, err);
	}
	azure_put_abort(rp);
	return r;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static void azure_free(struct region *g)
{
	azure_close(azure_of(g)->at);
	free(azure_of(g));
}

static const struct region_ops azure_ops = {
	.name = "Azure Blob container",
	.get = azure_get,
	.stat = azure_stat,
	.list = azure_list,
	.remove = azure_remove,
	.quarantine = azure_quarantine,
	.put_begin = azure_put_begin,
	.put_add = azure_put_add,
	.put_read = azure_put_read,
	.put_commit = azure_put_commit,
	.put_abort = azure_put_abort,
	.free = azure_free,
};

static int make_container(struct region_azure *a, struct err *err)
{
	const struct azure_param params[] = {{"restype", "container"}, {NULL}};
	const struct azure_call c = {.method = "PUT", .params = params};
	int r = azure_call(a->at, &c, NULL, err);

	/* It is there, or a signature for what is in it only may not make it. */
	if (r == -EEXIST || r == -EACCES) {
		err_done(err);
		r = 0;
	}
	return r;
}

static int format_check(struct region_azure *a, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(REGION_FORMAT_MAX);
	const struct azure_call c = {.method = "GET", .blob = "format", .text = &text};
	const char *mine = region_format_text();
	struct region_put *p = NULL;
	int r = azure_call(a->at, &c, NULL, err);

	if (r == 0)
		return region_format_check(azure_url(a->at), buf_str(&text), err);
	if (r != -ENOENT)
		return r;
	if (a->read_only)
		return err_set(err, -ENOENT, "%s is not a region (no format object)",
			       azure_url(a->at));
	err_done(err);
	r = make_container(a, err);
	if (r < 0)
		return r;
	r = azure_put_begin(&a->base, &p, err);
	if (r == 0) {
		r = azure_put_add(p, mine, strlen(mine), err);
		if (r == 0)
			r = azure_put_commit(p, "format", false, err);
		else
			azure_put_abort(p);
	}
	if (r == -EEXIST) { /* another host was quicker */
		err_done(err);
		r = 0;
	}
	return r;
}

int region_azure_open(const char *path, const struct region_options *o, struct region **ret,
		      struct err *err)
{
	struct region_azure *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(err, -ENOMEM, "out of memory");
	a->base.ops = &azure_ops;
	a->read_only = o->read_only;
	r = azure_open(path, &a->at, err);
	if (r == 0)
		r = format_check(a, err);
	if (r < 0) {
		azure_free(&a->base);
		return r;
	}
	*ret = &a->base;
	return 0;
}
