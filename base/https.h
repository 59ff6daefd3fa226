/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One https transfer under kiln's rules: TLS 1.2 or later with the certificate checked, no netrc,
 * no proxy of the environment, redirects to https only, and every address connected to judged after
 * libcurl's own look-up, so that no second look-up could answer differently.
 */
#ifndef KILN_BASE_HTTPS_H
#define KILN_BASE_HTTPS_H

#include <curl/curl.h>

#include "base/err.h"
#include "base/json.h"

struct https {
	CURL *curl;      /* options of the caller's own go here, after https_begin() */
	const char *url; /* borrowed */
	bool allow_private;
	bool private_refused; /* an address was refused */
	char message[CURL_ERROR_SIZE];
};

/**
 * https_begin() - make @h ready for one transfer of @url
 * @config: kiln.yaml: fetch.{allowPrivate,caFile,proxy}; NULL = none. Where a proxy is set, the
 *	    proxy judges addresses.
 * @on_data: gets the body, with @arg
 *
 * @h must not move until https_end(), which is due in any case. Return: 0, -ENOMEM, -EIO.
 */
int https_begin(struct https *h, const json_t *config, const char *url, curl_write_callback on_data,
		void *arg, struct err *err);

/**
 * https_perform() - do the transfer
 *
 * Return: 0; -EACCES (an address without permission, a scheme other than https), -ENOENT
 * (404, 410), -EIO (any other). Errors name the URL; a caller whose callback ended the transfer
 * says why itself.
 */
int https_perform(struct https *h, struct err *err);

void https_end(struct https *h);

/** https_header() - append "@name: @value" to a list of headers; a NULL value appends nothing.
 *  Return: 0, -ENOMEM (the list is as it was). */
int https_header(struct curl_slist **list, const char *name, const char *value);

#endif
