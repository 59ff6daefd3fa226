/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generalize for Windows: sysprep in the guest, which then powers itself off. Windows keeps its own
 * word on whether it is generalized; without that word the step fails.
 */
#include "bake/powershell.h"
#include "bake/run.h"
#include "base/file.h"
#include "base/mem.h"

#define SYSPREP_MS 3600000u
#define OFF_MS     600000u

static const char script[] =
	"\xef\xbb\xbf$ErrorActionPreference = 'Stop'\r\n"
	"$panther = \"$env:SystemRoot\\System32\\Sysprep\\Panther\"\r\n"
	"$state = 'HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State'\r\n"
	"Remove-Item \"$env:SystemRoot\\Panther\\unattend.xml\" -Force -ErrorAction "
	"SilentlyContinue\r\n"
	"$p = Start-Process \"$env:SystemRoot\\System32\\Sysprep\\sysprep.exe\" -Wait -PassThru "
	"-ArgumentList '/generalize', '/oobe', '/mode:vm', '/quiet', '/quit'\r\n"
	"$end = (Get-Date).AddMinutes(30)\r\n"
	"do {\r\n"
	"  $now = (Get-ItemProperty $state).ImageState\r\n"
	"  if ($now -eq 'IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE') {\r\n"
	"    Write-Output $now\r\n"
	"    & shutdown.exe /s /t 5\r\n"
	"    exit 0\r\n"
	"  }\r\n"
	"  Start-Sleep 5\r\n"
	"} while ($p.ExitCode -eq 0 -and (Get-Date) -lt $end)\r\n"
	"Write-Output \"sysprep ended with $($p.ExitCode); the image state is $now\"\r\n"
	"Get-Content \"$panther\\setuperr.log\" -Tail 15 -ErrorAction SilentlyContinue\r\n"
	"exit 1\r\n";

static int sysprep(struct run *run, struct proc_result *ret, struct err *err)
{
	struct executor_target target;
	struct fetched file = {0};
	int r = fetch_bytes(&run->fetcher, script, sizeof(script) - 1, &file, err);

	if (r < 0)
		return r;
	executor_target_init(&target, run, run->executor, NULL);
	r = target.base.powershell(&target.base, file.path, ret, err);
	fetched_done(&file);
	if (r == -ECHILD) { /* it powered off before its end was seen */
		err_done(err);
		*ret = (struct proc_result){0};
		return 0;
	}
	return r;
}

int generalize_windows(struct run *run, json_t **ret_report, struct err *err)
{
	struct proc_result res = {0};
	int r = run_need_executor(run, err);

	if (r == 0)
		r = sysprep(run, &res, err);
	if (r < 0)
		return err_ctx(err, r, "generalize");
	if (res.exit_code != 0 || res.signal != 0) {
		r = step_failed(run, "generalize", &res, -EIO, err);
		err_arm(err, "CustomizerFailed");
		return r;
	}
	r = run->executor->ops->wait_off(run->executor, OFF_MS, err);
	if (r < 0)
		return err_ctx(err, r, "generalize: power off after sysprep");
	*ret_report = json_pack("[{s:s, s:i}]", "operation", "sysprep", "changed", 1);
	return *ret_report ? 0 : -ENOMEM;
}
