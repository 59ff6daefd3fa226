/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to one container of Azure's Blob service, or of what speaks its REST protocol (Azure
 * Stack Hub, an emulator): signed by an account key or a shared access signature, tried again when
 * the network or the service fails. The protocol, its string to sign and its error codes are
 * Microsoft's "Blob service REST API", version 2020-10-02.
 */
#ifndef KILN_STORE_AZURE_STORAGE_H
#define KILN_STORE_AZURE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define AZURE_TEXT_MAX 96

struct azure_container; /* safe from many threads */

/**
 * azure_open() - a container from a file of JSON; asks nothing of the service yet
 * @path: {"container": "https://ACCOUNT.blob.core.windows.net/NAME", and "accountKey": base64 or
 *	"sas": "sv=...&sig=..."}; also "account" where the host does not begin with it, "pageSize"
 *	(names in one page of a listing, 5000), "attempts" (5). Plain http is for loopback only. The
 *	file holds a secret: nobody but its owner and group may read it.
 *
 * Return: 0, -EINVAL (names the field), -EACCES (the file's mode), -ENOENT, -ENOMEM.
 */
int azure_open(const char *path, struct azure_container **ret, struct err *err);
void azure_close(struct azure_container *a); /* NULL is fine */
/** azure_page_size(), azure_url() - what the file says. */
unsigned azure_page_size(const struct azure_container *a);
const char *azure_url(const struct azure_container *a);
/** azure_url_of() - of a blob, with the right to read it, for a copy. Caller frees. */
char *azure_url_of(const struct azure_container *a, const char *blob);

struct azure_param {
	const char *name, *value; /* plain; encoded when sent */
};

struct azure_call {
	const char *method;               /* GET, HEAD, PUT, DELETE */
	const char *blob;                 /* NULL = the container itself */
	const struct azure_param *params; /* sorted by name, ended by a NULL name; or NULL */
	const char *range;                /* "bytes=0-65535" */
	const char *if_match, *if_none_match;
	const char *blob_type;   /* "BlockBlob", "PageBlob" */
	const char *copy_source; /* a URL */
	const char *md5;         /* of the body, base64 */
	int body_fd;             /* the body's bytes are read from here, from offset 0 */
	uint64_t body_bytes;     /* 0 = no body; @body_fd is not looked at */
	void *dst;               /* exactly @dst_bytes of an answer of 2xx go here */
	size_t dst_bytes;
	struct buf *text; /* or all of it here */
};

struct azure_answer {
	int status;
	unsigned attempts;         /* more than one: an earlier one may have had its effect */
	uint64_t bytes;            /* Content-Length */
	size_t got;                /* bytes that came into @dst */
	char code[AZURE_TEXT_MAX]; /* x-ms-error-code */
	char etag[AZURE_TEXT_MAX], md5[AZURE_TEXT_MAX], copy_status[AZURE_TEXT_MAX];
};

/**
 * azure_call() - send a request and wait for its answer
 *
 * Return: 0 (2xx); -ENOENT (404); -EEXIST (409, 412: a condition does not hold); -ENODATA (416);
 * -EACCES (401, 403); -EIO (the rest, and no answer). @ret is filled in as far as is known.
 */
int azure_call(struct azure_container *a, const struct azure_call *c, struct azure_answer *ret,
	       struct err *err);

#endif
