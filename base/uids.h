/* SPDX-License-Identifier: Apache-2.0 */
/* User ids without an account that kiln gives out when it runs as root. */
#ifndef KILN_BASE_UIDS_H
#define KILN_BASE_UIDS_H

/* Each guest's QEMU runs under one of these, so that guests are strangers to the host and to each
 * other. They connect to the NBD socket. */
#define GUEST_UID_FIRST 64100u
#define GUEST_UID_COUNT 200u
#define GUEST_UID_LAST  (GUEST_UID_FIRST + GUEST_UID_COUNT - 1)

#endif
