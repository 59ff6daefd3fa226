/* SPDX-License-Identifier: Apache-2.0 */
/* Forced into every compilation (-include): using one of these breaks the build. */
#ifndef KILN_BASE_BANNED_H
#define KILN_BASE_BANNED_H
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <time.h>
#include <alloca.h>
#undef strcpy
#define strcpy(...) kiln_banned_strcpy
#undef strcat
#define strcat(...) kiln_banned_strcat
#undef strncpy
#define strncpy(...) kiln_banned_strncpy
#undef strncat
#define strncat(...) kiln_banned_strncat
#undef sprintf
#define sprintf(...) kiln_banned_sprintf
#undef vsprintf
#define vsprintf(...) kiln_banned_vsprintf
#undef strtok
#define strtok(...) kiln_banned_strtok
#undef atoi
#define atoi(...) kiln_banned_atoi
#undef atol
#define atol(...) kiln_banned_atol
#undef atoll
#define atoll(...) kiln_banned_atoll
#undef gmtime
#define gmtime(...) kiln_banned_gmtime
#undef localtime
#define localtime(...) kiln_banned_localtime
#undef system
#define system(...) kiln_banned_system
#undef popen
#define popen(...) kiln_banned_popen
#undef alloca
#define alloca(...) kiln_banned_alloca
#endif
