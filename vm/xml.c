/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's domain XML for a throw-away guest. */
#include "vm/internal.h"

#include "base/mem.h"
#include "base/utf8.h"

#define DISK_SLOT 0x11

int xml_escape(struct buf *out, const char *s)
{
	const unsigned char *p = (const unsigned char *) s;
	size_t left = strlen(s);

	while (left > 0) {
		size_t n = utf8_seq(p, left);

		if (n == 0 || *p < 0x20 || *p == 0x7f)
			return -EINVAL;
		if (*p == '&')
			buf_addstr(out, "&amp;");
		else if (*p == '<')
			buf_addstr(out, "&lt;");
		else if (*p == '>')
			buf_addstr(out, "&gt;");
		else if (*p == '"')
			buf_addstr(out, "&quot;");
		else if (*p == '\'')
			buf_addstr(out, "&apos;");
		else
			buf_add(out, p, n);
		p += n;
		left -= n;
	}
	return buf_err(out);
}

/* A piece of text with one escaped value: BEFORE value AFTER. */
static int put(struct buf *b, const char *before, const char *value, const char *after)
{
	int r;

	buf_addstr(b, before);
	r = xml_escape(b, value);
	if (r < 0)
		return r;
	return buf_addstr(b, after);
}

static int put_os(const struct vm_domain_config *c, struct buf *b)
{
	int r = 0;

	buf_addstr(b, c->uefi && !c->nvram ? " <os firmware='efi'>\n" : " <os>\n");
	buf_addstr(b, "  <type arch='x86_64' machine='q35'>hvm</type>\n");
	if (c->uefi && c->nvram) {
		buf_addf(b, "  <loader readonly='yes' type='pflash' secure='%s'>%s</loader>\n",
			 c->secure_boot ? "yes" : "no",
			 c->secure_boot ? VM_FIRMWARE_SECURE : VM_FIRMWARE);
		r = put(b, "  <nvram>", c->nvram, "</nvram>\n");
	} else if (c->uefi) {
		const char *yes = c->secure_boot ? "yes" : "no";

		buf_addf(b,
			 "  <firmware><feature enabled='%s' name='secure-boot'/>"
			 "<feature enabled='%s' name='enrolled-keys'/></firmware>\n"
			 "  <loader secure='%s'/>\n",
			 yes, yes, yes);
	} else {
		buf_addstr(b, "  <bios useserial='yes'/>\n");
	}
	buf_addstr(b, " </os>\n <features><acpi/><apic/>");
	if (c->secure_boot)
		buf_addstr(b, "<smm state='on'/>");
	buf_addstr(b, "<vmport state='off'/></features>\n");
	return r;
}

static int put_devices(const struct vm_domain_config *c, struct buf *b)
{
	int r;

	buf_addstr(b, " <devices>\n  <emulator>/usr/bin/qemu-system-x86_64</emulator>\n");
	buf_addstr(b, "  <controller type='usb' model='none'/>\n");
	r = put(b, "  <serial type='unix'><source mode='bind' path='", c->console_socket,
		"'/><target port='0'/></serial>\n");
	if (r < 0)
		return r;
	buf_addstr(b, "  <channel type='unix'><target type='virtio'"
		      " name='org.qemu.guest_agent.0'/></channel>\n"
		      "  <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>\n"
		      "  <memballoon model='none'/>\n");
	if (c->tpm_socket) {
		r = put(b,
			"  <tpm model='tpm-crb'><backend type='external'><source type='unix'"
			" mode='connect' path='",
			c->tpm_socket, "'/></backend></tpm>\n");
		if (r < 0)
			return r;
	}
	return buf_addstr(b, " </devices>\n");
}

/* ---- Disks: on QEMU's command line, as libvirt does not know all that an NBD client can do ----
 */

/* One argument of QEMU's. */
static int put_arg(struct buf *b, const char *value)
{
	return put(b, "  <qemu:arg value='", value, "'/>\n");
}

static int put_node(struct buf *b, json_t *node)
{
	auto_json json_t *mine = node; /* stolen */
	auto_free char *text = mine ? json_compact(mine) : NULL;
	int r = text ? put_arg(b, "-blockdev") : -ENOMEM;

	return r < 0 ? r : put_arg(b, text);
}

/* Eight to a slot, in the order of the guest's names for them; the slots lie above those that
 * libvirt gives out. */
static int put_device(struct buf *b, unsigned index, const char *more)
{
	auto_free char *text = strf("virtio-blk-pci,bus=pcie.0,addr=0x%x.0x%x,multifunction=on,"
				    "drive=disk%u,id=virtio-disk%u%s",
				    DISK_SLOT + index / 8, index % 8, index, index, more);
	int r = text ? put_arg(b, "-device") : -ENOMEM;

	return r < 0 ? r : put_arg(b, text);
}

static json_t *cache_json(const struct vm_domain_config *c)
{
	return json_pack("{s:b, s:b}", "direct", 0, "no-flush", !c->durable);
}

/* The backing node is named here, so what the overlay's own header says about it is not looked at.
 */
static int put_overlay(const struct vm_domain_config *c, unsigned index, const char *overlay,
		       const char *nbd_export, const char *more, struct buf *b)
{
	auto_json json_t *base =
		json_pack("{s:s, s:{s:s, s:s}, s:s, s:o, s:b}", "driver", "nbd", "server", "type",
			  "unix", "path", c->nbd_socket, "export", nbd_export ? nbd_export : "",
			  "node-name", json_strf("base%u", index), "read-only", 1);
	int r = base ? 0 : -ENOMEM;

	if (r == 0 && c->reconnect_s &&
	    json_object_set_new(base, "reconnect-delay", json_integer(c->reconnect_s)) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = put_node(b, json_incref(base));
	if (r == 0)
		r = put_node(b, json_pack("{s:s, s:s, s:o, s:o, s:s}", "driver", "file", "filename",
					  overlay, "node-name", json_strf("file%u", index), "cache",
					  cache_json(c), "discard", "unmap"));
	if (r == 0)
		r = put_node(b, json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:s}", "driver", "qcow2",
					  "node-name", json_strf("disk%u", index), "file",
					  json_strf("file%u", index), "backing",
					  json_strf("base%u", index), "cache", cache_json(c),
					  "discard", "unmap", "detect-zeroes", "unmap"));
	return r < 0 ? r : put_device(b, index, more);
}

static int put_seed(const struct vm_domain_config *c, unsigned index, struct buf *b)
{
	int r = put_node(b, json_pack("{s:s, s:s, s:o, s:b}", "driver", "file", "filename", c->seed,
				      "node-name", json_strf("file%u", index), "read-only", 1));

	if (r == 0)
		r = put_node(b, json_pack("{s:s, s:o, s:o, s:b}", "driver", "raw", "node-name",
					  json_strf("disk%u", index), "file",
					  json_strf("file%u", index), "read-only", 1));
	return r < 0 ? r : put_device(b, index, "");
}

static int put_disks(const struct vm_domain_config *c, struct buf *b)
{
	int r = put_overlay(c, 0, c->overlay, c->nbd_export, ",bootindex=1", b);

	if (r == 0 && c->seed)
		r = put_seed(c, 1, b);
	for (size_t i = 0; r == 0 && i < c->n_data; i++) {
		const struct vm_disk *d = &c->data[i];
		char serial[32];

		(void) snprintf(serial, sizeof(serial), ",serial=lun%u", d->lun);
		r = put_overlay(c, (unsigned) i + 2, d->overlay, d->nbd_export, serial, b);
	}
	return r;
}

/* ---- The rest of the command line ----------------------------------------------------------- */

/* QEMU splits option values at commas; a doubled comma stands for one. */
static int add_qemu_value(struct buf *b, const char *s)
{
	for (; *s; s++)
		if (*s == ',')
			buf_addstr(b, ",,");
		else
			buf_addch(b, *s);
	return buf_err(b);
}

/* The sandbox is asked for here and not in qemu.conf, because the one network that needs it lets
 * QEMU start the program that leads to the proxy. That program begins a session of its own,
 * which the sandbox counts as elevating. A filter that was loaded lets nobody gain privileges by
 * what he starts either way. */
static int put_commandline(const struct vm_domain_config *c, struct buf *b)
{
	auto_buf struct buf net = BUF_INIT(65536);
	const char *start = c->http_forward ? "allow" : "deny";
	const json_t *f;
	size_t i;
	int r = 0;

	buf_addf(b,
		 " <qemu:commandline>\n  <qemu:arg value='-sandbox'/>\n"
		 "  <qemu:arg value='on,obsolete=deny,elevateprivileges=%s,spawn=%s,"
		 "resourcecontrol=deny'/>\n",
		 start, start);
	r = put_disks(c, b);
	if (r < 0)
		return r;
	if (c->network) {
		buf_addstr(&net, "user,id=net0");
		if (c->isolated || c->http_forward)
			buf_addstr(&net, ",restrict=on");
		if (c->http_forward) {
			buf_addstr(&net, ",guestfwd=tcp:10.0.2.100:3128-cmd:");
			add_qemu_value(&net, c->http_forward);
		}
		json_array_foreach((json_t *) c->forwards, i, f)
		{
			buf_addstr(&net, ",hostfwd=");
			add_qemu_value(&net, json_string_value(f));
		}
		if (buf_err(&net) < 0)
			return buf_err(&net);
		r = put(b, "  <qemu:arg value='-netdev'/>\n  <qemu:arg value='", buf_str(&net),
			"'/>\n");
		if (r < 0)
			return r;
		/* No option ROM: network boot is not wanted and would be measured. The slot lies
		 * above those that libvirt gives out. */
		buf_addstr(b, "  <qemu:arg value='-device'/>\n  <qemu:arg value='virtio-net-pci,"
			      "netdev=net0,romfile=,bus=pcie.0,addr=0x10'/>\n");
	}
	return buf_addstr(b, " </qemu:commandline>\n");
}

int vm_domain_xml(const struct vm_domain_config *c, struct buf *out, struct err *err)
{
	int r;

	buf_addf(out,
		 "<domain type='%s' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n",
		 c->kvm ? "kvm" : "qemu");
	r = put(out, " <name>", c->name, "</name>\n");
	if (r == 0)
		r = put(out, " <uuid>", c->uuid, "</uuid>\n");
	if (r < 0)
		return err_set(err, r, "domain %s: bad name", c->name);
	buf_addf(out, " <memory unit='MiB'>%u</memory>\n <vcpu>%u</vcpu>\n", c->memory_mib,
		 c->cpus);
	r = put_os(c, out);
	if (r < 0)
		return err_set(err, r, "domain %s: a path cannot be written in XML", c->name);
	buf_addf(out, " <cpu mode='%s'/>\n <clock offset='utc'/>\n",
		 c->kvm ? "host-passthrough" : "maximum");
	buf_addstr(out,
		   " <on_poweroff>destroy</on_poweroff>\n <on_reboot>restart</on_reboot>\n"
		   " <on_crash>destroy</on_crash>\n"
		   " <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>\n");
	r = put_devices(c, out);
	if (r < 0)
		return err_set(err, r, "domain %s: a path cannot be written in XML", c->name);
	if (c->labelled)
		buf_addf(out,
			 " <seclabel type='static' model='dac' relabel='yes'>"
			 "<label>+%u:+%u</label></seclabel>\n",
			 c->uid, c->gid);
	r = put_commandline(c, out);
	if (r < 0)
		return err_set(err, r, "domain %s: its disks or network cannot be written in XML",
			       c->name);
	r = buf_addstr(out, "</domain>\n");
	if (r < 0)
		return err_set(err, r, "domain %s: description", c->name);
	return 0;
}
