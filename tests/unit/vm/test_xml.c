/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "vm/internal.h"

static struct vm_domain_config plain(void)
{
	return (struct vm_domain_config){
		.name = "web",
		.uuid = "c0a1f0a2-0000-4000-8000-000000000001",
		.cpus = 1,
		.memory_mib = 512,
		.overlay = "/d/o.qcow2",
		.nbd_socket = "/r/nbd.sock",
		.nbd_export = "00ff",
		.console_socket = "/r/web.con",
	};
}

static void has(const struct buf *b, const char *text)
{
	if (!strstr(buf_str(b), text))
		fail_msg("%s\nlacks: %s", buf_str(b), text);
}

static void has_not(const struct buf *b, const char *text)
{
	if (strstr(buf_str(b), text))
		fail_msg("%s\nholds: %s", buf_str(b), text);
}

static void escapes_markup(void **state)
{
	auto_buf struct buf b = BUF_INIT(1024);

	assert_int_equal(xml_escape(&b, "a<b>&\"c'\xc3\xa9"), 0);
	assert_string_equal(buf_str(&b), "a&lt;b&gt;&amp;&quot;c&apos;\xc3\xa9");
}

static void refuses_what_xml_cannot_hold(void **state)
{
	static const char *const bad[] = {"a\nb", "a\x01", "\x7f", "\xff", "\xc3", "\xed\xa0\x80"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_buf struct buf b = BUF_INIT(1024);

		assert_int_equal(xml_escape(&b, bad[i]), -EINVAL);
	}
}

static void bios_guest(void **state)
{
	auto_buf struct buf b = BUF_INIT(65536);
	struct vm_domain_config c = plain();

	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "<domain type='qemu'");
	has(&b, "<bios useserial='yes'/>");
	has(&b, "&quot;path&quot;:&quot;/r/nbd.sock&quot;");
	has(&b, "&quot;export&quot;:&quot;00ff&quot;");
	has_not(&b, "reconnect-delay");
	has_not(&b, "<disk");
	has(&b, "spawn=deny");
	has_not(&b, "efi");
	has_not(&b, "-netdev");
	has_not(&b, "seclabel");
	has_not(&b, "drive=disk1");
	has_not(&b, "<tpm");
}

static void secure_boot_guest(void **state)
{
	auto_buf struct buf b = BUF_INIT(65536);
	struct vm_domain_config c = plain();

	c.kvm = c.uefi = c.secure_boot = c.labelled = true;
	c.tpm_socket = "/r/web.tpm";
	c.uid = 64100;
	c.gid = 36;
	c.seed = "/d/seed";
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "<domain type='kvm'");
	has(&b, "<os firmware='efi'>");
	has(&b, "<feature enabled='yes' name='secure-boot'/>");
	has(&b, "<feature enabled='yes' name='enrolled-keys'/>");
	has(&b, "<loader secure='yes'/>");
	has(&b, "<smm state='on'/>");
	has(&b, "<label>+64100:+36</label>");
	has(&b, "<tpm model='tpm-crb'><backend type='external'>");
	has(&b, "path='/r/web.tpm'");
	has(&b, "&quot;filename&quot;:&quot;/d/seed&quot;");
	has(&b, "addr=0x11.0x1,multifunction=on,drive=disk1");
	has(&b, "host-passthrough");
}

static void data_disks(void **state)
{
	auto_buf struct buf b = BUF_INIT(65536);
	struct vm_domain_config c = plain();
	const struct vm_disk data[] = {{.overlay = "/d/0", .nbd_export = "aa", .lun = 0},
				       {.overlay = "/d/63", .nbd_export = "bb", .lun = 63}};

	c.data = data;
	c.n_data = ARRAY_SIZE(data);
	c.reconnect_s = 60;
	c.durable = true;
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "&quot;reconnect-delay&quot;:60");
	has(&b, "&quot;export&quot;:&quot;bb&quot;");
	has(&b, "drive=disk0,id=virtio-disk0,bootindex=1");
	has(&b, "addr=0x11.0x3,multifunction=on,drive=disk3,id=virtio-disk3,serial=lun63");
	has(&b, "&quot;no-flush&quot;:false");
	has_not(&b, "drive=disk1,"); /* no seed */
}

static void variables_that_are_kept(void **state)
{
	auto_buf struct buf b = BUF_INIT(65536);
	struct vm_domain_config c = plain();

	c.uefi = c.secure_boot = true;
	c.nvram = "/r/vm/a&b.fd";
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "<os>");
	has(&b, "secure='yes'>/usr/share/OVMF/OVMF_CODE_4M.secboot.fd</loader>");
	has(&b, "<nvram>/r/vm/a&amp;b.fd</nvram>");
	has_not(&b, "<firmware>");
}

static void secure_boot_off(void **state)
{
	auto_buf struct buf b = BUF_INIT(65536);
	struct vm_domain_config c = plain();

	c.uefi = true;
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "<feature enabled='no' name='secure-boot'/>");
	has(&b, "<loader secure='no'/>");
	has_not(&b, "<smm");
}

static void networks(void **state)
{
	auto_json json_t *forwards = json_pack("[s]", "tcp:127.0.0.1:2222-:22");
	auto_buf struct buf b = BUF_INIT(65536);
	struct vm_domain_config c = plain();

	c.network = true;
	c.forwards = forwards;
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "value='user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22'");
	has_not(&b, "restrict");

	buf_clear(&b);
	c.isolated = true;
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "value='user,id=net0,restrict=on,hostfwd=");

	/* A comma in a value must not become another option of QEMU's. */
	buf_clear(&b);
	c.http_forward = "'/opt/a,b' vmhost --forward '/s'";
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "guestfwd=tcp:10.0.2.100:3128-cmd:&apos;/opt/a,,b&apos; vmhost");
	has(&b, "spawn=allow");
}

static void hostile_paths_stay_text(void **state)
{
	auto_buf struct buf b = BUF_INIT(65536);
	auto_err struct err err = ERR_INIT;
	struct vm_domain_config c = plain();

	c.overlay = "/d/'/><evil a='";
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has_not(&b, "<evil");
	buf_clear(&b);
	c.overlay = "/d/\n\"}"; /* in JSON */
	assert_int_equal(vm_domain_xml(&c, &b, NULL), 0);
	has(&b, "/d/\\n\\&quot;}&quot;");
	buf_clear(&b);
	c.nvram = "/d/\n";
	c.uefi = true;
	assert_int_equal(vm_domain_xml(&c, &b, &err), -EINVAL);
	assert_non_null(strstr(err_str(&err), "web"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_markup),
		cmocka_unit_test(refuses_what_xml_cannot_hold),
		cmocka_unit_test(bios_guest),
		cmocka_unit_test(secure_boot_guest),
		cmocka_unit_test(data_disks),
		cmocka_unit_test(variables_that_are_kept),
		cmocka_unit_test(secure_boot_off),
		cmocka_unit_test(networks),
		cmocka_unit_test(hostile_paths_stay_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
