/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OVA: a tar of an OVF 2 descriptor (DSP0243 2.1), the manifest of SHA-256 sums, and the disk as a
 * streamOptimized VMDK. Descriptor and manifest come first but speak of the disk's size and sum, so
 * room is left for them and the file must be a regular one.
 */
#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "disk/formats/internal.h"

#define TAR       512u
#define OVF_BYTES 16384u /* the text is filled up with line ends */
#define MF_BYTES  512u
#define MF_AT     (TAR + OVF_BYTES)
#define VMDK_AT   (MF_AT + TAR + MF_BYTES)
#define DISK_AT   (VMDK_AT + TAR)
#define TAR_OCTAL ((uint64_t) 1 << 33) /* sizes below fit 11 octal digits */
#define MAX_NAME  64u
#define CIM       "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"

static void tar_header(uint8_t h[TAR], const char *name, uint64_t size)
{
	unsigned sum = 0;

	memset(h, 0, TAR);
	(void) snprintf((char *) h, 100, "%s", name);
	memcpy(h + 100, "0000644\0000000000\0000000000", 24);
	if (size < TAR_OCTAL) {
		(void) snprintf((char *) h + 124, 12, "%011" PRIo64, size);
	} else { /* base 256, as GNU and POSIX readers take it */
		h[124] = 0x80;
		put_be64(h + 128, size);
	}
	memcpy(h + 136, "00000000000", 12);
	h[156] = '0';
	memcpy(h + 257, "ustar\00000", 8);
	memset(h + 148, ' ', 8);
	for (unsigned i = 0; i < TAR; i++)
		sum += h[i];
	(void) snprintf((char *) h + 148, 8, "%06o", sum);
}

/* A name that is good in file names and XML. */
static void safe_name(const char *name, char ret[MAX_NAME])
{
	size_t n = 0;

	for (const char *p = name ? name : ""; *p && n < MAX_NAME - 1; p++) {
		bool good = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
			    (*p >= 'A' && *p <= 'Z') || *p == '.' || *p == '-' || *p == '_';

		ret[n++] = good ? *p : '-';
	}
	ret[n] = '\0';
	if (n == 0)
		memcpy(ret, "image", 6);
}

/* One item of virtual hardware: the properties of a class come in the order of their names. */
static void add_item(struct buf *b, const char *element, const char *ns, const char *props)
{
	const char *p = props, *end;

	(void) buf_addf(b, "      <%s>\n", element);
	for (; *p; p = *end ? end + 1 : end) {
		const char *eq = strchr(p, '=');

		end = strchrnul(p, '\n');
		if (!eq || eq > end)
			continue;
		(void) buf_addf(b, "        <%s:%.*s>%.*s</%s:%.*s>\n", ns, (int) (eq - p), p,
				(int) (end - eq - 1), eq + 1, ns, (int) (eq - p), p);
	}
	(void) buf_addf(b, "      </%s>\n", element);
}

static void add_hardware(struct buf *b, const struct format_facts *f)
{
	unsigned cpus = f->cpus ? f->cpus : 2, mib = f->memory_mib ? f->memory_mib : 2048;
	char text[512];

	(void) snprintf(text, sizeof(text),
			"AllocationUnits=hertz * 10^6\nElementName=%u virtual CPUs\n"
			"InstanceID=1\nResourceType=3\nVirtualQuantity=%u",
			cpus, cpus);
	add_item(b, "Item", "rasd", text);
	(void) snprintf(text, sizeof(text),
			"AllocationUnits=byte * 2^20\nElementName=%u MiB of memory\n"
			"InstanceID=2\nResourceType=4\nVirtualQuantity=%u",
			mib, mib);
	add_item(b, "Item", "rasd", text);
	add_item(b, "Item", "rasd",
		 "Address=0\nElementName=SCSI controller\nInstanceID=3\n"
		 "ResourceSubType=lsilogic\nResourceType=6");
	add_item(b, "StorageItem", "sasd",
		 "AddressOnParent=0\nElementName=System disk\nHostResource=ovf:/disk/disk1\n"
		 "InstanceID=4\nParent=3\nResourceType=17");
	add_item(b, "EthernetPortItem", "epasd",
		 "AutomaticAllocation=true\nConnection=network\nElementName=Network card\n"
		 "InstanceID=5\nResourceSubType=VmxNet3\nResourceType=10");
	if (f->tpm)
		add_item(b, "Item ovf:required=\"false\"", "rasd",
			 "AutomaticAllocation=false\nElementName=Virtual TPM\nInstanceID=6\n"
			 "ResourceSubType=vmware.vtpm\nResourceType=1");
	(void) buf_addf(b,
			"      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" "
			"vmw:value=\"%s\"/>\n",
			f->uefi ? "efi" : "bios");
	if (f->uefi)
		(void) buf_addf(b,
				"      <vmw:Config ovf:required=\"false\" "
				"vmw:key=\"bootOptions.efiSecureBootEnabled\" vmw:value=\"%s\"/>\n",
				f->secure_boot ? "true" : "false");
}

static int ovf_text(struct buf *b, const struct format_facts *f, const char *name,
		    uint64_t disk_bytes, uint64_t file_bytes)
{
	bool windows = f->os && strcmp(f->os, "windows") == 0;

	(void) buf_addf(
		b,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/2\" "
		"xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/2\" xmlns:rasd=\"" CIM
		"CIM_ResourceAllocationSettingData.xsd\" xmlns:sasd=\"" CIM
		"CIM_StorageAllocationSettingData.xsd\" xmlns:epasd=\"" CIM
		"CIM_EthernetPortAllocationSettingData.xsd\" xmlns:vssd=\"" CIM
		"CIM_VirtualSystemSettingData.xsd\" "
		"xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n"
		"  <References>\n"
		"    <File ovf:id=\"file1\" ovf:href=\"%s-disk1.vmdk\" ovf:size=\"%" PRIu64 "\"/>\n"
		"  </References>\n"
		"  <DiskSection>\n"
		"    <Info>Virtual disks</Info>\n"
		"    <Disk ovf:diskId=\"disk1\" ovf:fileRef=\"file1\" ovf:capacity=\"%" PRIu64
		"\" ovf:capacityAllocationUnits=\"byte\" "
		"ovf:format=\"http://www.vmware.com/interfaces/specifications/"
		"vmdk.html#streamOptimized\"/>\n"
		"  </DiskSection>\n"
		"  <NetworkSection>\n"
		"    <Info>Networks</Info>\n"
		"    <Network ovf:name=\"network\">\n"
		"      <Description>The network that the machine is on</Description>\n"
		"    </Network>\n"
		"  </NetworkSection>\n",
		name, file_bytes, disk_bytes);
	/* Numbers of CIM_OperatingSystem.OSType. */
	(void) buf_addf(b,
			"  <VirtualSystem ovf:id=\"%s\">\n"
			"    <Info>One machine</Info>\n"
			"    <Name>%s</Name>\n"
			"    <OperatingSystemSection ovf:id=\"%d\" vmw:osType=\"%s\">\n"
			"      <Info>What is installed</Info>\n"
			"    </OperatingSystemSection>\n"
			"    <VirtualHardwareSection>\n"
			"      <Info>Virtual hardware</Info>\n"
			"      <System>\n"
			"        <vssd:ElementName>Virtual hardware</vssd:ElementName>\n"
			"        <vssd:InstanceID>0</vssd:InstanceID>\n"
			"        <vssd:VirtualSystemIdentifier>%s</vssd:VirtualSystemIdentifier>\n"
			"        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>\n"
			"      </System>\n",
			name, name, windows ? 116 : 101,
			windows ? "windows2019srv_64Guest" : "otherLinux64Guest", name);
	add_hardware(b, f);
	return buf_addstr(b, "    </VirtualHardwareSection>\n"
			     "  </VirtualSystem>\n"
			     "</Envelope>\n");
}

static int put_member(const struct sink *s, uint64_t at, const char *name, const void *p, size_t n,
		      struct err *err)
{
	uint8_t h[TAR];
	int r;

	tar_header(h, name, n);
	r = sink_patch(s, at, h, sizeof(h), err);
	return r < 0 ? r : sink_patch(s, at + TAR, p, n, err);
}

static int put_texts(const struct sink *s, const struct format_job *job, uint64_t disk_bytes,
		     uint64_t file_bytes, const struct digest *disk_sum, struct err *err)
{
	struct buf ovf = BUF_INIT(OVF_BYTES + 1), mf = BUF_INIT(MF_BYTES);
	char name[MAX_NAME], file[MAX_NAME + 16], hex[2][DIGEST_HEX];
	struct digest sum;
	int r;

	safe_name(job->facts->name, name);
	r = ovf_text(&ovf, job->facts, name, disk_bytes, file_bytes);
	while (r == 0 && ovf.len < OVF_BYTES)
		r = buf_addch(&ovf, '\n');
	if (r == 0) {
		sha256(ovf.data, ovf.len, &sum);
		r = buf_addf(&mf, "SHA256(%s.ovf)= %s\nSHA256(%s-disk1.vmdk)= %s\n", name,
			     digest_hex(&sum, hex[0]), name, digest_hex(disk_sum, hex[1]));
	}
	if (r < 0)
		err_set(err, r, "OVF: %s", strerror(-r));
	(void) snprintf(file, sizeof(file), "%s.ovf", name);
	if (r == 0)
		r = put_member(s, 0, file, ovf.data, ovf.len, err);
	(void) snprintf(file, sizeof(file), "%s.mf", name);
	if (r == 0)
		r = put_member(s, MF_AT, file, mf.data, mf.len, err);
	(void) snprintf(file, sizeof(file), "%s-disk1.vmdk", name);
	if (r == 0) {
		uint8_t h[TAR];

		tar_header(h, file, file_bytes);
		r = sink_patch(s, VMDK_AT, h, sizeof(h), err);
	}
	buf_done(&ovf);
	buf_done(&mf);
	return r;
}

static int ova_write(const struct format_job *job, uint64_t padded_bytes, struct err *err)
{
	struct sink disk = {.fd = job->fd, .random = true, .base = DISK_AT, .sum = sha256_new()};
	struct sink all = {.fd = job->fd, .random = true};
	struct digest sum;
	int r;

	if (!disk.sum)
		return err_set(err, -ENOMEM, "out of memory");
	r = vmdk_write(job, padded_bytes, &disk, err);
	sha256_end(disk.sum, &sum);
	if (r == 0)
		r = put_texts(&all, job, padded_bytes, disk.at, &sum, err);
	/* A tar ends with two empty records, at a multiple of 10 KiB. */
	if (r == 0 &&
	    ftruncate(job->fd,
		      (off_t) round_up(DISK_AT + round_up(disk.at, TAR) + 2 * TAR, 20 * TAR)) < 0)
		r = err_set(err, -errno, "cannot set the file's size: %s", strerror(errno));
	return r;
}

const struct format format_ova = {
	.name = "ova",
	.extension = "ova",
	.about = "OVA: an OVF 2 machine with a VMDK",
	.max_bytes = 62 * TIB,
	.unit_bytes = 1 << 20,
	.random = true,
	.write = ova_write,
};
