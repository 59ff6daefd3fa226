/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/internal.h"

#include "base/mem.h"

/* What a console shows once a stage was reached. A later stage may be seen without the ones before
 * it (a quiet boot loader), never the other way round. @after keeps "Welcome to GRUB!" from being
 * taken for an init system. */
static const struct mark {
	enum vm_stage stage;
	enum vm_stage after;
	const char *text;
} marks[] = {
	{VM_STAGE_BOOTLOADER, VM_STAGE_START, "BdsDxe: starting"},
	{VM_STAGE_BOOTLOADER, VM_STAGE_START, "Booting from Hard Disk"},
	{VM_STAGE_BOOTLOADER, VM_STAGE_START, "GRUB"},
	{VM_STAGE_KERNEL, VM_STAGE_START, "Linux version "},
	{VM_STAGE_KERNEL, VM_STAGE_START, "EFI stub: Loaded initrd"},
	{VM_STAGE_INIT, VM_STAGE_KERNEL, "systemd[1]:"},
	{VM_STAGE_INIT, VM_STAGE_KERNEL, "Welcome to "},
	{VM_STAGE_INIT, VM_STAGE_KERNEL, "INIT: version"},
};

const char *vm_stage_name(enum vm_stage s)
{
	static const char *const names[VM_STAGE_MAX] = {
		[VM_STAGE_START] = "start",
		[VM_STAGE_FIRMWARE] = "firmware",
		[VM_STAGE_BOOTLOADER] = "bootloader",
		[VM_STAGE_KERNEL] = "kernel",
		[VM_STAGE_INIT] = "init",
	};

	return s >= VM_STAGE_START && s < VM_STAGE_MAX ? names[s] : "?";
}

static void look(struct stage_scan *s)
{
	s->line[s->n] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (marks[i].stage > s->stage && marks[i].after <= s->stage &&
		    strstr(s->line, marks[i].text)) {
			s->stage = marks[i].stage;
			s->seen |= 1u << s->stage;
		}
}

void stage_scan(struct stage_scan *s, const void *p, size_t n)
{
	const char *c = p;

	if (n > 0 && s->stage < VM_STAGE_FIRMWARE) {
		s->stage = VM_STAGE_FIRMWARE;
		s->seen |= 1u << s->stage;
	}
	if (s->stage >= VM_STAGE_MAX - 1)
		return;
	for (size_t i = 0; i < n; i++) {
		if (c[i] == '\n') {
			look(s);
			s->n = 0;
		} else if (c[i] != '\0' && s->n < sizeof(s->line) - 1) {
			s->line[s->n++] = c[i];
		}
	}
	look(s);
}
