/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WindowsUpdate: what the search finds and the filters let through is installed, at most
 * updateLimit at a time, with restarts in between, until nothing is left. A script in the guest
 * does one round and says by its exit status how it stands.
 */
#include "bake/powershell.h"
#include "bake/steps.h"
#include "base/mem.h"

#define DEFAULT_CRITERIA "BrowseOnly=0 and IsInstalled=0"
#define DEFAULT_LIMIT    1000
#define MAX_FILTERS      100
#define MAX_TEXT         4096u
#define MAX_ROUNDS       50
#define RESTART_MS       7200000u /* updates are finished while Windows starts */

enum round { ROUND_DONE = 0, ROUND_AGAIN = 100, ROUND_RESTART = 101 };

/* After the assignments of $criteria, $limit and $filters. The first filter that an update matches
 * decides; one that matches none is left out, unless there is no filter at all. */
static const char round_script[] =
	"$ErrorActionPreference = 'Stop'\r\n"
	"$session = New-Object -ComObject Microsoft.Update.Session\r\n"
	"$session.ClientApplicationID = 'kiln'\r\n"
	"$found = $session.CreateUpdateSearcher().Search($criteria).Updates\r\n"
	"$chosen = New-Object -ComObject Microsoft.Update.UpdateColl\r\n"
	"$more = $false\r\n"
	"foreach ($update in @($found)) {\r\n"
	"  $take = $filters.Count -eq 0\r\n"
	"  foreach ($f in $filters) {\r\n"
	"    $action, $text = $f -split ':', 2\r\n"
	"    if ($update | Where-Object ([scriptblock]::Create($text))) {\r\n"
	"      $take = $action -eq 'include'; break\r\n"
	"    }\r\n"
	"  }\r\n"
	"  if (-not $take -or $update.InstallationBehavior.CanRequestUserInput) { continue }\r\n"
	"  if ($chosen.Count -ge $limit) { $more = $true; break }\r\n"
	"  if (-not $update.EulaAccepted) { $update.AcceptEula() }\r\n"
	"  [void]$chosen.Add($update)\r\n"
	"  Write-Output \"update: $($update.Title)\"\r\n"
	"}\r\n"
	"$pending = (New-Object -ComObject Microsoft.Update.SystemInfo).RebootRequired\r\n"
	"if ($chosen.Count -eq 0) {\r\n"
	"  if ($pending) { exit 101 }\r\n"
	"  Write-Output 'no updates are left'; exit 0\r\n"
	"}\r\n"
	"$downloader = $session.CreateUpdateDownloader()\r\n"
	"$downloader.Updates = $chosen\r\n"
	"$got = $downloader.Download()\r\n"
	"if ($got.ResultCode -gt 3) { throw \"download failed: 0x{0:X8}\" -f $got.HResult }\r\n"
	"$installer = $session.CreateUpdateInstaller()\r\n"
	"$installer.Updates = $chosen\r\n"
	"$installer.ForceQuiet = $true\r\n"
	"$done = $installer.Install()\r\n"
	"for ($i = 0; $i -lt $chosen.Count; $i++) {\r\n"
	"  $r = $done.GetUpdateResult($i)\r\n"
	"  Write-Output (\"{0} 0x{1:X8} {2}\" -f $r.ResultCode, $r.HResult, "
	"$chosen.Item($i).Title)\r\n"
	"}\r\n"
	"if ($done.ResultCode -gt 3) { throw \"installation failed: 0x{0:X8}\" -f $done.HResult "
	"}\r\n"
	"if ($done.RebootRequired) { exit 101 }\r\n"
	"exit 100\r\n";

static int check_filters(const json_t *filters, const char *field, struct err *err)
{
	size_t i;
	json_t *v;

	if (!filters || json_is_null(filters))
		return 0;
	if (!json_is_array(filters) || json_array_size(filters) > MAX_FILTERS)
		return template_field_error(err, NULL, field,
					    "expected an array of at most %d filters", MAX_FILTERS);
	json_array_foreach(filters, i, v)
	{
		const char *s = json_string_value(v);

		if (!s || strlen(s) > MAX_TEXT ||
		    !((str_starts(s, "include:") || str_starts(s, "exclude:")) && s[8]))
			return template_field_error(err, NULL, field,
						    "entry %zu: expected \"include:EXPRESSION\" or "
						    "\"exclude:EXPRESSION\"",
						    i);
	}
	return 0;
}

static int update_check(const json_t *def, const char *field, bool validator, struct err *err)
{
	const json_t *search = json_object_get(def, "searchCriteria");
	const json_t *limit = json_object_get(def, "updateLimit");
	char sub[128];

	snprintf(sub, sizeof(sub), "%s.searchCriteria", field);
	if (search && !json_is_null(search) &&
	    (!json_is_string(search) || json_string_length(search) > MAX_TEXT))
		return template_field_error(err, NULL, sub, "expected a text of at most %u bytes",
					    MAX_TEXT);
	snprintf(sub, sizeof(sub), "%s.updateLimit", field);
	if (limit && !json_is_null(limit) &&
	    (!json_is_integer(limit) || json_integer_value(limit) < 0 ||
	     json_integer_value(limit) > DEFAULT_LIMIT))
		return template_field_error(err, NULL, sub, "expected a whole number from 0 to %d",
					    DEFAULT_LIMIT);
	snprintf(sub, sizeof(sub), "%s.filters", field);
	return check_filters(json_object_get(def, "filters"), sub, err);
}

static int write_script(const json_t *def, struct buf *out)
{
	const char *search = json_string_value(json_object_get(def, "searchCriteria"));
	json_int_t limit = json_integer_value(json_object_get(def, "updateLimit"));
	const json_t *filters = json_object_get(def, "filters");
	json_t *v;
	size_t i;
	int r;

	buf_addstr(out, "\xef\xbb\xbf$criteria = ");
	r = powershell_quote(out, search && *search ? search : DEFAULT_CRITERIA);
	buf_addf(out, "\r\n$limit = %d\r\n$filters = @(", limit ? (int) limit : DEFAULT_LIMIT);
	json_array_foreach(filters, i, v)
	{
		buf_addstr(out, i ? ", " : "");
		if (r == 0)
			r = powershell_quote(out, json_string_value(v));
	}
	buf_addstr(out, ")\r\n");
	buf_addstr(out, round_script);
	return r < 0 ? r : buf_err(out);
}

static int update_prepare(struct fetcher *f, struct step_input *in, struct err *err)
{
	auto_buf struct buf script = BUF_INIT(TEMPLATE_MAX_SCRIPT);
	int r = write_script(in->step->def, &script);

	if (r == 0)
		r = script_prepare(f, &script, "WindowsUpdate", in, err);
	if (r == 0) {
		free(in->brief);
		in->brief = strdup("install updates until none is left");
		r = in->brief ? 0 : -ENOMEM;
	}
	return r < 0 ? err_ctx(err, r, "%s", in->step->field) : 0;
}

static int update_run(const struct step_input *in, struct step_target *t, struct proc_result *ret,
		      struct err *err)
{
	for (int i = 0; i < MAX_ROUNDS; i++) {
		int r = t->powershell(t, in->path, ret, err);

		if (r < 0 || ret->signal ||
		    (ret->exit_code != ROUND_AGAIN && ret->exit_code != ROUND_RESTART))
			return r;
		if (ret->exit_code == ROUND_RESTART) {
			r = t->restart(t, NULL, NULL, RESTART_MS, err);
			if (r < 0)
				return r;
		}
	}
	return err_set(err, -ELOOP, "updates are still left after %d rounds", MAX_ROUNDS);
}

const struct step_kind step_update = {
	.name = "WindowsUpdate",
	.flags = STEP_CUSTOMIZER | STEP_NETWORK | STEP_GUEST | STEP_WINDOWS,
	.check = update_check,
	.prepare = update_prepare,
	.run = update_run,
};
