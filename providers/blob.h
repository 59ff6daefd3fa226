/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What signed URLs speak: the part of Azure Storage's page-blob protocol that azcopy and the
 * storage SDKs use for a disk's VHD ("Blob service REST API": Put Blob, Put Page, Get Page Ranges,
 * Get Blob, Get Blob Properties, Set Blob Properties, Set Blob Metadata). Errors are XML with
 * x-ms-error-code.
 */
#ifndef KILN_PROVIDERS_BLOB_H
#define KILN_PROVIDERS_BLOB_H

#include "providers/sas.h"

#define BLOB_PAGE     512
#define BLOB_BODY_MAX (4u << 20) /* of Put Page */
#define BLOB_LIST_MAX 10000      /* ranges of one page list */

/** blob_handle() - the handler of "/blob/" (struct arm_port). Opens no store. */
int blob_handle(struct arm *arm, const struct arm_request *req, struct arm_response *ret,
		struct err *err);

/* ---- Between the files of this protocol ---- */

struct blob {
	struct app *app;
	const struct arm_request *req;
	struct arm_response *res;
	const struct target *target;
	struct sas_target sas;
	uint64_t bytes; /* of the blob */
	int fd;         /* its file, with the shared lock; -1 = none */
};

/** blob_fail() - answer with an error; returns 0 or -ENOMEM. */
int blob_fail(struct blob *b, int status, const char *code, const char *message);
const char *blob_header(const struct blob *b, const char *name);
int blob_set(struct blob *b, const char *name, const char *value);
/** blob_stamp() - ETag and Last-Modified of the file as it is now. */
int blob_stamp(struct blob *b);
/** blob_range() - x-ms-range or Range: "bytes=a-b" or "bytes=a-". 1 = given, 0 = none, -EINVAL.
 *  *@ret_end is the last byte, within the blob. */
int blob_range(const struct blob *b, uint64_t *ret_first, uint64_t *ret_last);

int blob_put_page(struct blob *b);  /* blob_pages.c */
int blob_page_list(struct blob *b); /* blob_pages.c */

/** sum_md5() - Base64 of the MD5 into @ret[25]. sum_crc64() - Base64 of the CRC-64 that Azure
 *  Storage uses (NVMe's polynomial, little-endian bytes) into @ret[13]. 0 or -errno. */
int sum_md5(const void *p, size_t n, char ret[25]);
int sum_crc64(const void *p, size_t n, char ret[13]);

#endif
