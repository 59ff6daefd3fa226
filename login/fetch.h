/* SPDX-License-Identifier: Apache-2.0 */
/* Small JSON documents by https. */
#ifndef KILN_LOGIN_FETCH_H
#define KILN_LOGIN_FETCH_H

#include "base/err.h"
#include "base/json.h"

#define FETCH_BYTES_MAX (256u << 10)
#define FETCH_TIME_S    8 /* the whole transfer */

/**
 * fetch_json() - GET @url and parse the body
 * @config: kiln.yaml: fetch.{allowPrivate,caFile,proxy}; NULL = none
 *
 * https only, no redirects, certificates are checked, and every address connected to must be public
 * unless fetch.allowPrivate is true. Return: 0, -EACCES (address or scheme refused), -EFBIG,
 * -EINVAL (not JSON), -EIO.
 */
int fetch_json(const json_t *config, const char *url, json_t **ret, struct err *err);

#endif
