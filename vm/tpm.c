/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/tpm.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/aead.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/proc.h"

#define SETUP_MS   120000
#define SEALED_MAX 128

static const char seal_aad[] = "kiln vTPM key 1";

static int write_text(const char *dir, const char *name, char *text, struct err *err)
{
	auto_free char *path = path_join(dir, name);
	auto_free char *owned = text;

	if (!path || !owned)
		return err_set(err, -ENOMEM, "out of memory");
	return file_write_atomic(path, owned, strlen(owned), 0600, err);
}

/* The authority's keys are made by swtpm_localca on first use; which tools and where, these say. */
static int ca_prepare(const char *dir, struct err *err)
{
	auto_free char *tool = NULL;
	int r = proc_find("swtpm_localca", "swtpm-tools", &tool, err);

	if (r == 0)
		r = file_mkdir_p(dir, 0700, err);
	if (r == 0)
		r = write_text(dir, "localca.conf",
			       strf("statedir = %s\nsigningkey = %s/signkey.pem\n"
				    "issuercert = %s/issuercert.pem\ncertserial = %s/certserial\n",
				    dir, dir, dir, dir),
			       err);
	if (r == 0)
		r = write_text(dir, "localca.options",
			       strdup("--platform-manufacturer kiln\n--platform-version 1\n"
				      "--platform-model vTPM\n"),
			       err);
	if (r == 0)
		r = write_text(dir, "setup.conf",
			       strf("create_certs_tool = %s\n"
				    "create_certs_tool_config = %s/localca.conf\n"
				    "create_certs_tool_options = %s/localca.options\n"
				    "active_pcr_banks = sha256\n",
				    tool, dir, dir),
			       err);
	return r;
}

int vm_tpm_key_pipe(const char *key, int *ret_fd, struct err *err)
{
	size_t n = strlen(key);
	int ends[2];
	bool whole;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerrordesc_np(errno));
	whole = write(ends[1], key, n) == (ssize_t) n;
	(void) close(ends[1]);
	if (!whole) {
		(void) close(ends[0]);
		return err_set(err, -EIO, "pipe: short write");
	}
	*ret_fd = ends[0];
	return 0;
}

static int run_setup(const char *dir, const char *ca_dir, const char *name, const char *key,
		     struct err *err)
{
	auto_free char *tool = NULL, *config = path_join(ca_dir, "setup.conf");
	auto_fd int fd = -1;
	char number[16];
	int r = proc_find("swtpm_setup", "swtpm-tools", &tool, err);

	if (r == 0)
		r = vm_tpm_key_pipe(key, &fd, err);
	if (r < 0 || !config)
		return r < 0 ? r : err_set(err, -ENOMEM, "out of memory");
	(void) snprintf(number, sizeof(number), "%d", fd);
	/* It runs as who made the directory: at this point nothing of a guest's is involved. */
	const char *const argv[] = {tool,
				    "--tpm2",
				    "--tpmstate",
				    dir,
				    "--config",
				    config,
				    "--create-ek-cert",
				    "--lock-nvram",
				    "--pcr-banks",
				    "sha256",
				    "--keyfile-fd",
				    number,
				    "--cipher",
				    "aes-256-cbc",
				    "--vmid",
				    name,
				    "--write-ek-cert-files",
				    dir,
				    geteuid() == 0 ? "--runas" : NULL,
				    "root",
				    NULL};
	struct proc_spec spec = {.argv = argv,
				 .stdin_fd = -1,
				 .keep_fds = &fd,
				 .n_keep_fds = 1,
				 .timeout_ms = SETUP_MS};

	return proc_check(&spec, err);
}

int vm_tpm_make(const char *dir, const char *ca_dir, const char *name,
		const char key[VM_TPM_KEY_HEX], struct err *err)
{
	auto_free char *lock_path = path_join(ca_dir, "lock");
	auto_fd int lock = -1;
	int r = file_mkdir_p(ca_dir, 0700, err);

	if (r == 0 && !lock_path)
		r = err_set(err, -ENOMEM, "out of memory");
	/* One at a time: the first one makes the authority. */
	if (r == 0)
		r = lock_file(lock_path, LOCK_EXCLUSIVE, &lock, err);
	if (r == 0)
		r = ca_prepare(ca_dir, err);
	if (r == 0)
		r = file_mkdir_p(dir, 0700, err);
	if (r == 0)
		r = run_setup(dir, ca_dir, name, key, err);
	return r < 0 ? err_ctx(err, r, "vTPM of %s", name) : 0;
}

int vm_tpm_random_key(char key[VM_TPM_KEY_HEX])
{
	uint8_t raw[VM_TPM_KEY_BYTES];
	int r = random_bytes(raw, sizeof(raw));

	if (r == 0)
		hex_encode(raw, sizeof(raw), key);
	mem_wipe(raw, sizeof(raw));
	return r;
}

/* 32 bytes in hex. Made once: two who come first agree, as the second finds the first one's. */
static int host_key_get(const char *path, uint8_t key[AEAD_KEY_BYTES], struct err *err)
{
	auto_free char *lock_path = strf("%s.lock", path);
	auto_buf struct buf text = BUF_INIT(256);
	auto_fd int lock = -1;
	char hex[VM_TPM_KEY_HEX];
	int r = lock_path ? lock_file(lock_path, LOCK_EXCLUSIVE, &lock, err)
			  : err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	r = file_read_all(path, &text, NULL);
	if (r == -ENOENT) {
		r = vm_tpm_random_key(hex);
		if (r == 0)
			r = file_write_atomic(path, hex, strlen(hex), 0600, err);
		if (r == 0)
			r = buf_addstr(&text, hex);
		mem_wipe(hex, sizeof(hex));
	}
	if (r < 0)
		return err_set(err, r, "%s: %s", path, strerrordesc_np(-r));
	while (text.len > 0 && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	r = text.len == 2 * AEAD_KEY_BYTES ? hex_decode(text.data, key, AEAD_KEY_BYTES) : -EINVAL;
	mem_wipe(text.data, text.len);
	return r < 0 ? err_set(err, -EINVAL, "%s: expected 64 hex digits", path) : 0;
}

/* FILE = nonce, sealed key. */
static int seal_new(const char *path, const uint8_t host[AEAD_KEY_BYTES],
		    uint8_t raw[VM_TPM_KEY_BYTES], struct err *err)
{
	uint8_t out[AEAD_NONCE_BYTES + VM_TPM_KEY_BYTES + AEAD_TAG_BYTES];
	int r = random_bytes(raw, VM_TPM_KEY_BYTES);

	if (r == 0)
		r = random_bytes(out, AEAD_NONCE_BYTES);
	if (r == 0)
		r = aead_seal(host, out, seal_aad, sizeof(seal_aad), raw, VM_TPM_KEY_BYTES,
			      out + AEAD_NONCE_BYTES);
	if (r < 0)
		return err_set(err, r, "key of a vTPM: %s", strerrordesc_np(-r));
	return file_write_atomic(path, out, sizeof(out), 0600, err);
}

int vm_tpm_key(const char *path, const char *host_key, char key[VM_TPM_KEY_HEX], struct err *err)
{
	uint8_t host[AEAD_KEY_BYTES], raw[VM_TPM_KEY_BYTES + AEAD_TAG_BYTES];
	auto_buf struct buf sealed = BUF_INIT(SEALED_MAX);
	int r = host_key_get(host_key, host, err);

	if (r < 0)
		return r;
	r = file_read_all(path, &sealed, NULL);
	if (r == -ENOENT) {
		r = seal_new(path, host, raw, err);
	} else if (r == 0 && sealed.len != AEAD_NONCE_BYTES + sizeof(raw)) {
		r = err_set(err, -EBADMSG, "%s: not the key of a vTPM", path);
	} else if (r == 0) {
		r = aead_open(host, (const uint8_t *) sealed.data, seal_aad, sizeof(seal_aad),
			      sealed.data + AEAD_NONCE_BYTES, sizeof(raw), raw);
		if (r < 0)
			err_set(err, r, "%s was not sealed under %s, or is damaged", path,
				host_key);
	} else {
		err_set(err, r, "%s: %s", path, strerrordesc_np(-r));
	}
	if (r == 0)
		hex_encode(raw, VM_TPM_KEY_BYTES, key);
	mem_wipe(host, sizeof(host));
	mem_wipe(raw, sizeof(raw));
	return r;
}
