/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses a fetch or a step's proxy may connect to. Pure. */
#ifndef KILN_BASE_NETADDR_H
#define KILN_BASE_NETADDR_H

#include <stdbool.h>
#include <sys/socket.h>

/** netaddr_public() - a global unicast address: not loopback, private, shared, link-local (and so
 *  no cloud metadata service), multicast, reserved, documentation, unspecified; IPv6 forms that
 *  carry an IPv4 address are judged by that one. */
bool netaddr_public(const struct sockaddr *a);

#endif
