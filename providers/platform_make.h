/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_PROVIDERS_PLATFORM_MAKE_H
#define KILN_PROVIDERS_PLATFORM_MAKE_H

#include "base/cancel.h"
#include "base/event.h"
#include "providers/app.h"

/**
 * platform_list() - every sku with its kept versions
 *
 * *@ret: new reference, [{"publisher","offer","sku","hyperVGeneration","architecture",
 * "versions":["12.20261122.0", ...]}] in table order.
 */
int platform_list(struct app *a, unsigned region, json_t **ret, struct err *err);

/**
 * platform_make() - a platform image, kept or made now
 * @urn: "Debian:debian-12:12-gen2", optionally with ":VERSION" (default latest)
 *
 * *@ret: new reference, {"publisher","offer","sku","version","made","disk","packages","sources"}.
 * Return: 0, -EINVAL (bad urn), -ENOENT (no such image or version), the cancel reason, or -errno.
 */
int platform_make(struct app *a, unsigned region, const char *urn, struct cancel *cancel,
		  const struct event_sink *events, json_t **ret, struct err *err);

#endif
