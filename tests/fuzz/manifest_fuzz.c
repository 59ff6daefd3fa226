/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests and the disks they name: what is accepted is canonical, and a disk survives a round
 * trip. */
#include <stdlib.h>
#include <string.h>

#include "store/objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct disk_ref d, again;
	struct digest name;
	json_t *j = NULL, *back;

	sha256(p, n, &name);
	if (manifest_parse((const char *) p, n, &name, &j, NULL) < 0)
		return 0;
	if (disk_ref_from_json(json_object_get(j, "disk"), &d, NULL) == 0) {
		back = disk_ref_to_json(&d);
		if (back && (disk_ref_from_json(back, &again, NULL) < 0 ||
			     !digest_eq(&again.digest, &d.digest)))
			abort();
		json_decref(back);
	}
	json_decref(j);
	return 0;
}
