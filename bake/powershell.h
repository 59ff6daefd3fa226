/* SPDX-License-Identifier: Apache-2.0 */
/* PowerShell texts: quoting, and the form in which a guest's powershell.exe takes a command. */
#ifndef KILN_BAKE_POWERSHELL_H
#define KILN_BAKE_POWERSHELL_H

#include "base/buf.h"
#include "base/json.h"

#define POWERSHELL_EXE    "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"
#define POWERSHELL_DIR    "C:\\Windows\\Temp\\kiln-" /* before a file's name */
#define POWERSHELL_SCRIPT "script.ps1" /* names of a step's files; see struct executor_file */
#define POWERSHELL_ENV    "env.ps1"

/** powershell_quote() - append @s as a literal string: in quotes, every kind of quote that
 *  PowerShell knows doubled. Return: 0, -EINVAL (no UTF-8), or the buffer's error. */
int powershell_quote(struct buf *out, const char *s);

/** powershell_encode() - base64 of the UTF-16LE form, for -EncodedCommand. New text; NULL with
 *  errno -EINVAL in *@ret_err for what is no UTF-8, else out of memory. */
char *powershell_encode(const char *utf8, int *ret_err);

/** powershell_env() - a script that sets @environment (texts by name, may be NULL) and, with
 *  @proxy ("HOST:PORT"), where the network is. Return: 0, -EINVAL, or the buffer's error. */
int powershell_env(const json_t *environment, const char *proxy, struct buf *out);

/** powershell_argv() - the command that runs a step's script
 *  @path: of the script in a Linux image; NULL on Windows, where it is POWERSHELL_SCRIPT, after
 *  POWERSHELL_ENV, in POWERSHELL_DIR. New vector; NULL = out of memory. */
char **powershell_argv(const char *path);

#endif
