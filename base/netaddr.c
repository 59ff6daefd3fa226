/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "base/netaddr.h"

/* IPv4 ranges that are not globally reachable (IANA special-purpose registry). */
static const struct {
	uint32_t net;
	unsigned bits;
} special4[] = {
	{0x00000000, 8},  /* this network */
	{0x0a000000, 8},  /* private */
	{0x64400000, 10}, /* shared (carrier NAT) */
	{0x7f000000, 8},  /* loopback */
	{0xa9fe0000, 16}, /* link-local, metadata services */
	{0xa83f8110, 32}, /* 168.63.129.16: Azure's wire server */
	{0xac100000, 12}, /* private */
	{0xc0000000, 24}, /* protocol assignments */
	{0xc0000200, 24}, /* documentation */
	{0xc0586300, 24}, /* 6to4 relays */
	{0xc0a80000, 16}, /* private */
	{0xc6120000, 15}, /* benchmarks */
	{0xc6336400, 24}, /* documentation */
	{0xcb007100, 24}, /* documentation */
	{0xe0000000, 4},  /* multicast */
	{0xf0000000, 4},  /* reserved, broadcast */
};

static bool public4(uint32_t a)
{
	for (size_t i = 0; i < sizeof(special4) / sizeof(special4[0]); i++) {
		uint32_t mask = 0xffffffffu << (32 - special4[i].bits);

		if ((a & mask) == special4[i].net)
			return false;
	}
	return true;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static bool public6(const uint8_t *p)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};

	if (memcmp(p, mapped, 12) == 0 || memcmp(p, nat64, 12) == 0)
		return public4(be32(p + 12));
	if (p[0] == 0x20 && p[1] == 0x02) /* 6to4 */
		return public4(be32(p + 2));
	if ((p[0] & 0xe0) != 0x20) /* global unicast is 2000::/3 */
		return false;
	if (p[0] == 0x20 && p[1] == 0x01 && (p[2] & 0xfe) == 0) /* 2001::/23: Teredo and others */
		return false;
	if (p[0] == 0x20 && p[1] == 0x01 && p[2] == 0x0d && p[3] == 0xb8) /* documentation */
		return false;
	return !(p[0] == 0x3f && p[1] == 0xff && p[2] < 0x10); /* documentation */
}

bool netaddr_public(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, a, sizeof(in));
		return public4(ntohl(in.sin_addr.s_addr));
	}
	if (a->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, a, sizeof(in6));
		return public6(in6.sin6_addr.s6_addr);
	}
	return false;
}
