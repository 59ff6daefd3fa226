/* SPDX-License-Identifier: Apache-2.0 */
/*
 * External snapshots of a running guest's disk, in the vmhost process. Spoken to QEMU directly:
 * the new file is handed over as a descriptor, which libvirt's own snapshots cannot do, so QEMU's
 * uid still needs no way to it. libvirt does not hear of the new node and need not: the guest is
 * thrown away as a whole.
 */
#include <fcntl.h>
#include <libvirt/libvirt-qemu.h>

#include "base/mem.h"
#include "vm/host.h"

#define FDSET_FIRST 1000 /* above those that libvirt gives out */

/* One QMP command; @args is stolen; @fd -1 = none. */
static int qmp(struct guest *g, const char *command, json_t *args, int fd, json_t **ret,
	       struct err *err)
{
	auto_json json_t *cmd = json_pack("{s:s, s:o*}", "execute", command, "arguments", args);
	auto_free char *text = cmd ? json_compact(cmd) : NULL;
	auto_json json_t *reply = NULL;
	unsigned n_out = 0;
	int *out = NULL;
	char *answer = NULL;
	const char *why;
	int r;

	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	if (virDomainQemuMonitorCommandWithFiles(g->dom, text, fd >= 0 ? 1 : 0, &fd, &n_out, &out,
						 &answer, 0) < 0)
		return host_virt_err(err, "%s", command);
	for (unsigned i = 0; i < n_out; i++)
		(void) close(out[i]);
	free(out);
	r = json_parse(answer, strlen(answer), &reply, err);
	free(answer);
	if (r < 0)
		return r;
	why = json_str_at(reply, "error.desc");
	if (why || !json_object_get(reply, "return"))
		return err_set(err, -EIO, "%s: %s", command, why ? why : "no answer");
	if (ret)
		*ret = json_incref(json_object_get(reply, "return"));
	return 0;
}

/* The node that the guest's disk writes to now. */
static int top_node(struct guest *g, char **ret, struct err *err)
{
	auto_json json_t *list = NULL;
	json_t *b;
	size_t i;
	int r = qmp(g, "query-block", NULL, -1, &list, err);

	if (r < 0)
		return r;
	json_array_foreach(list, i, b)
	{
		const char *dev = json_str_at(b, "qdev"),
			   *node = json_str_at(b, "inserted.node-name");

		if (!dev || !node || !strstr(dev, "/virtio-disk0/"))
			continue;
		*ret = strdup(node);
		return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	return err_set(err, -EIO, "the guest has no first disk");
}

static int add_fd(struct guest *g, const char *path, int flags, int set, struct err *err)
{
	auto_fd int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "open %s: %s", path, strerrordesc_np(errno));
	return qmp(g, "add-fd", json_pack("{s:i}", "fdset-id", set), fd, NULL, err);
}

/* Same options as the disk has from its beginning; who backs it is said by the snapshot, never by
 * the file. */
static json_t *node_args(const char *node, int set)
{
	return json_pack("{s:s, s:s, s:n, s:s, s:s, s:{s:b}, s:{s:s, s:o, s:s, s:{s:b}}}", "driver",
			 "qcow2", "node-name", node, "backing", "discard", "unmap", "detect-zeroes",
			 "unmap", "cache", "no-flush", true, "file", "driver", "file", "filename",
			 json_strf("/dev/fdset/%d", set), "discard", "unmap", "cache", "no-flush",
			 true);
}

int guest_snapshot(struct guest *g, const char *path, struct err *err)
{
	int set = FDSET_FIRST + (int) g->n_snapshots++;
	auto_free char *node = strf("kiln-%d", set), *top = NULL;
	int r = node ? top_node(g, &top, err) : err_set(err, -ENOMEM, "out of memory");

	if (r == 0)
		r = add_fd(g, path, O_RDWR, set, err);
	if (r == 0)
		r = add_fd(g, path, O_RDONLY, set, err);
	if (r == 0)
		r = qmp(g, "blockdev-add", node_args(node, set), -1, NULL, err);
	if (r == 0)
		r = qmp(g, "blockdev-snapshot",
			json_pack("{s:s, s:s}", "node", top, "overlay", node), -1, NULL, err);
	return r < 0 ? err_ctx(err, r, "snapshot of guest %s", g->name) : 0;
}
