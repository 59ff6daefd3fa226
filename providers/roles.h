/* SPDX-License-Identifier: Apache-2.0 */
/* Roles of the program that are no commands for people; see bake/roles.h and vm/vm.h. */
#ifndef KILN_PROVIDERS_ROLES_H
#define KILN_PROVIDERS_ROLES_H

/** role_main() - @argv[0] is the role's word: "vmhost", "sandbox", "proxy", "image".
 *  Return: the role's exit status, or -1 when the word names no role. */
int role_main(int argc, char **argv);

#endif
