/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "bake/roles.h"
#include "disk/formats/convert.h"
#include "providers/roles.h"
#include "providers/vms.h"
#include "vm/vm.h"

static int role_vmhost(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--forward") == 0)
		return vm_forward_main(argv[2]);
	if (argc >= 5 && strcmp(argv[1], "--confine") == 0)
		return vm_confine_main(argv[2], argv[3], argv + 4);
	if (argc != 3 || strcmp(argv[1], "--run") != 0) {
		(void) fprintf(stderr, "usage: kiln vmhost --run DIR | --forward SOCKET\n");
		return 2;
	}
	return vm_host_main(argv[2]);
}

static int role_vmkeeper(int argc, char **argv)
{
	if (argc != 3) {
		(void) fprintf(stderr, "usage: kiln vmkeeper DATA VMID\n");
		return 2;
	}
	return vm_keeper_main(argv[1], argv[2]);
}

int role_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*main)(int argc, char **argv);
	} roles[] = {
		{"vmhost", role_vmhost},     {"sandbox", sandbox_main},   {"proxy", proxy_main},
		{"imagereader", image_main}, {"vmkeeper", role_vmkeeper},
	};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(roles[i].name, argv[0]) == 0)
			return roles[i].main(argc, argv);
	return -1;
}
