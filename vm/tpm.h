/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual TPMs (swtpm). A TPM is a directory with its encrypted state, made once; its key is kept
 * elsewhere and reaches swtpm by a descriptor only. EK certificates come from a certificate
 * authority of this host.
 */
#ifndef KILN_VM_TPM_H
#define KILN_VM_TPM_H

#include <stdint.h>

#include "base/err.h"

#define VM_TPM_KEY_BYTES 32
#define VM_TPM_KEY_HEX   65

/**
 * vm_tpm_make() - manufacture a TPM 2.0: endorsement keys (RSA and ECC), their certificates, the
 * SHA-256 bank alone
 * @dir: made (mode 0700); afterwards holds the state and ek-rsa2048.crt, ek-secp384r1.crt (DER)
 * @ca_dir: the certificate authority; made on first use
 * @name: in the certificates' subject
 * @key: 64 hex digits
 *
 * The caller has journalled @dir. Return: 0, -ENOENT (swtpm-tools are not installed), -EIO (with
 * what swtpm_setup said).
 */
int vm_tpm_make(const char *dir, const char *ca_dir, const char *name,
		const char key[VM_TPM_KEY_HEX], struct err *err);

/** vm_tpm_random_key() - a new key in hex. 0 or -errno. */
int vm_tpm_random_key(char key[VM_TPM_KEY_HEX]);

/** vm_tpm_key() - the key that file @path holds, sealed under the host's key in file @host_key (64
 *  hex digits); both are made when absent. Return: 0, -EBADMSG (sealed under another key), or
 *  -errno. */
int vm_tpm_key(const char *path, const char *host_key, char key[VM_TPM_KEY_HEX], struct err *err);

/** vm_tpm_key_pipe() - a pipe that holds a key, for a program that reads it once: never in a file
 * or an argument. The caller closes *@ret_fd. */
int vm_tpm_key_pipe(const char *key, int *ret_fd, struct err *err);

#endif
