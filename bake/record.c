/* SPDX-License-Identifier: Apache-2.0 */
/* What a run leaves in DATA/runs: RUNID/run.json, RUNID/log, and latest/TEMPLATE, which names the
 * newest run of a template. */
#include <fcntl.h>

#include "bake/run.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "base/utf8.h"

static double seconds_since(int64_t ns)
{
	return (double) (time_mono_ns() - ns) / 1e9;
}

static char *latest_path(const char *data_dir, const char *template_id)
{
	auto_free char *low = str_lower(template_id);
	struct digest d;
	char name[UUID_STR];

	if (!low)
		return NULL;
	sha256(low, strlen(low), &d);
	uuid_from_digest(&d, name);
	return strf("%s/runs/latest/%s", data_dir, name);
}

int record_latest(const char *data_dir, const char *template_id, char ret[UUID_STR],
		  struct err *err)
{
	auto_free char *path = latest_path(data_dir, template_id);
	auto_buf struct buf b = BUF_INIT(256);
	int r;

	if (!path)
		return -ENOMEM;
	r = file_read_all(path, &b, NULL);
	if (r == 0 && b.len != UUID_STR - 1)
		r = -ENOENT;
	if (r < 0)
		return err_set(err, r, "no run of this template is recorded");
	memcpy(ret, b.data, UUID_STR);
	return 0;
}

int record_read(const char *data_dir, const char *run_id, json_t **ret, struct err *err)
{
	auto_free char *path = strf("%s/runs/%s/run.json", data_dir, run_id);

	return path ? json_read_file(path, ret, err) : -ENOMEM;
}

int record_save(struct run *run, struct err *err)
{
	auto_free char *path = strf("%s/run.json", run->dir);
	auto_free char *text = json_compact(run->record);
	int r;

	if (!path || !text)
		return -ENOMEM;
	r = file_write_atomic(path, text, strlen(text), 0640, err);
	if (r == 0 && run->host->record)
		r = run->host->record(run->host->arg, run->record, err);
	return r < 0 ? err_ctx(err, r, "record of the run") : 0;
}

static char *inputs_path(const char *data_dir, const char *template_id)
{
	auto_free char *latest = latest_path(data_dir, template_id);

	return latest ? strf("%s.inputs", latest) : NULL;
}

char *record_times_path(const struct run *run)
{
	auto_free char *latest = latest_path(run->env->data_dir, run->o->template_id);

	return latest ? strf("%s.times", latest) : NULL;
}

int record_inputs_read(const char *data_dir, const char *template_id, json_t **ret, struct err *err)
{
	auto_free char *path = inputs_path(data_dir, template_id);
	int r;

	if (!path)
		return -ENOMEM;
	r = json_read_file(path, ret, NULL);
	if (r == 0 && json_is_object(*ret))
		return 0;
	/* absent or not readable: it only explains */
	json_decref(r == 0 ? *ret : NULL);
	*ret = json_object();
	return *ret ? 0 : err_set(err, -ENOMEM, "inputs of steps");
}

int record_inputs(struct run *run, const char *name, const json_t *inputs, struct err *err)
{
	auto_free char *path = inputs_path(run->env->data_dir, run->o->template_id);
	auto_json json_t *all = NULL;
	auto_free char *text = NULL;
	int r = path ? record_inputs_read(run->env->data_dir, run->o->template_id, &all, err)
		     : -ENOMEM;

	if (r < 0 || json_equal(json_object_get(all, name), inputs))
		return r;
	if (json_object_set(all, name, (json_t *) inputs) < 0)
		return -ENOMEM;
	text = json_compact(all);
	return text ? file_write_atomic(path, text, strlen(text), 0640, err) : -ENOMEM;
}

static int name_latest(struct run *run, struct err *err)
{
	auto_free char *path = latest_path(run->env->data_dir, run->o->template_id);
	auto_free char *dir = path ? path_dirname(path) : NULL;
	int r;

	if (!dir)
		return -ENOMEM;
	r = file_mkdir_p(dir, 0750, err);
	if (r == 0)
		r = file_write_atomic(path, run->o->run_id, strlen(run->o->run_id), 0640, err);
	return r;
}

int record_open(struct run *run, struct err *err)
{
	auto_free char *log = NULL;
	char now[ISO_MAX];
	int fd, r;

	run->dir = strf("%s/runs/%s", run->env->data_dir, run->o->run_id);
	log = run->dir ? strf("%s/log", run->dir) : NULL;
	if (!log)
		return -ENOMEM;
	r = file_mkdir_p(run->dir, 0750, err);
	if (r < 0)
		return r;
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	run->log = fd < 0 ? NULL : fdopen(fd, "a");
	if (!run->log)
		return err_set(err, -errno, "%s: %s", log, strerror(errno));
	run->record = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[], s:[]}", "runId",
				run->o->run_id, "templateId", run->o->template_id, "template",
				run->o->template_name, "state", "Running", "subState", "Queued",
				"startTime", time_iso(time_now_us(), now), "steps", "outputs");
	if (!run->record)
		return -ENOMEM;
	r = record_save(run, err);
	return r < 0 ? r : name_latest(run, err);
}

/* Of these stages only a step that is not in the cache takes time; they tell it themselves. */
static bool stage_is_cached(const struct stage *stage)
{
	return strcmp(stage->name, "customize") == 0 || strcmp(stage->name, "generalize") == 0;
}

int record_step(struct run *run, const struct stage *stage, const char *name, const char *kind,
		const char *brief, struct err *err)
{
	json_t *steps = json_object_get(run->record, "steps");
	size_t index = json_array_size(steps) + 1;
	json_t *step = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s*}", "index", (json_int_t) index,
				 "name", name, "kind", kind, "stage", stage->name, "state",
				 "running", "brief", brief);

	if (!step || json_array_append_new(steps, step) < 0)
		return -ENOMEM;
	run->step = step;
	run->step_ns = time_mono_ns();
	for (size_t i = 0; i < RUN_TAIL_LINES; i++)
		free(take_ptr(run->tail.line[i]));
	run->tail.next = 0;
	if (json_object_set_new(run->record, "subState", json_string(stage->sub_state)) < 0)
		return -ENOMEM;
	fprintf(run->log, "[%8.1f] step %zu/%zu %s (%s): %s\n", seconds_since(run->start_ns), index,
		run->n_total, name, kind, brief ? brief : "");
	event_emit(run->env->events,
		   json_pack("{s:s, s:I, s:I, s:s, s:s, s:s, s:s*}", "type", "step.start", "step",
			     (json_int_t) index, "total", (json_int_t) run->n_total, "name", name,
			     "kind", kind, "stage", stage->name, "brief", brief));
	if (!stage_is_cached(stage) && estimate_begins(run, err) < 0)
		return -ENOMEM;
	return record_save(run, err);
}

int record_step_end(struct run *run, const char *state, json_t *facts, struct err *err)
{
	auto_json json_t *more = facts;
	json_t *step = run->step, *event;
	double seconds = seconds_since(run->step_ns);
	bool cached = str_eq(state, "cached");
	const char *type = cached || str_eq(state, "done") ? "step.done" : "step.failed";

	if (!step)
		return 0;
	if (json_object_set_new(step, "state", json_string(state)) < 0 ||
	    json_object_set_new(step, "seconds", json_real(seconds)) < 0 ||
	    (more && json_object_update(step, more) < 0))
		return -ENOMEM;
	fprintf(run->log, "[%8.1f] %s: %s after %.1f s\n", seconds_since(run->start_ns),
		json_string_value(json_object_get(step, "name")), state, seconds);
	(void) fflush(run->log);
	if (str_eq(type, "step.done") && estimate_ended(run, !cached, seconds, err) < 0)
		return err_ctx(err, -EIO, "times of steps");
	run->step = NULL;
	event = json_copy(step);
	if (event) {
		(void) json_object_set_new(event, "type", json_string(type));
		(void) json_object_set_new(event, "cached", json_boolean(cached));
		(void) json_object_set(event, "step", json_object_get(step, "index"));
		(void) json_object_set_new(event, "total", json_integer((json_int_t) run->n_total));
		(void) json_object_del(event, "index");
	}
	event_emit(run->env->events, event);
	return record_save(run, err);
}

/* Printable UTF-8 of what a script wrote: no control characters but tabs, U+FFFD for what is no
 * UTF-8. A carriage return begins the line anew, as on a terminal. */
static char *clean_line(const char *s, size_t n)
{
	auto_buf struct buf b = BUF_INIT(PROC_LINE_MAX * 3 + 16);

	while (n > 0 && s[n - 1] == '\r')
		n--;
	while (n > 0) {
		size_t seq = utf8_seq((const unsigned char *) s, n);

		if (*s == '\r')
			buf_clear(&b);
		else if (*s == 0x1b && n > 1 && s[1] == '[') {
			size_t skip = 2; /* a colour or cursor sequence */

			while (skip < n && ((unsigned char) s[skip] < 0x40))
				skip++;
			s += skip < n ? skip : n - 1;
			n -= skip < n ? skip : n - 1;
		} else if (seq == 1 && *s != '\t' && ((unsigned char) *s < 0x20 || *s == 0x7f))
			buf_addf(&b, "\\x%02x", (unsigned char) *s);
		else if (seq == 2 && (unsigned char) *s == 0xc2 && (unsigned char) s[1] < 0xa0)
			buf_addf(&b, "\\x%02x", (unsigned char) s[1]); /* C1 controls */
		else if (seq > 0)
			buf_add(&b, s, seq);
		else
			buf_addstr(&b, "\xef\xbf\xbd");
		s += seq ? seq : 1;
		n -= seq ? seq : 1;
	}
	return buf_take(&b);
}

void record_line(void *arg, enum proc_stream stream, const char *line, size_t n)
{
	struct run *run = arg;
	char *text = clean_line(line, n);
	struct tail *t = &run->tail;

	if (!text)
		return;
	fprintf(run->log, "[%8.1f]   %s\n", seconds_since(run->start_ns), text);
	event_emit(run->env->events,
		   json_pack("{s:s, s:O?, s:O?, s:s, s:s}", "type", "output", "step",
			     json_object_get(run->step, "index"), "name",
			     json_object_get(run->step, "name"), "stream",
			     stream == PROC_STDERR ? "stderr" : "stdout", "line", text));
	free(t->line[t->next]);
	t->line[t->next] = text;
	t->next = (t->next + 1) % RUN_TAIL_LINES;
}

static const char *state_of(const struct run *run, int code)
{
	if (code == 0)
		return run->check_err.code ? "Failed" : "Succeeded";
	if (code == -ECANCELED)
		return "Canceled";
	return code == -EREMOTEIO ? "PartiallySucceeded" : "Failed";
}

void record_end(struct run *run, int code, const struct err *err)
{
	char now[ISO_MAX];
	json_t *j = run->record, *event;
	struct err ignored = ERR_INIT;
	auto_json json_t *error = NULL;

	if (!j)
		return;
	if (run->step)
		(void) record_step_end(run, code == -ECANCELED ? "cancelled" : "failed", NULL,
				       &ignored);
	if (code < 0 && err)
		error = json_pack("{s:s, s:s*, s:s*, s:s*}", "message", err_str(err), "code",
				  err->arm, "target", err->target, "hint", err->hint);
	(void) json_object_del(j, "secondsLeft");
	(void) json_object_set_new(j, "state", json_string(state_of(run, code)));
	(void) json_object_set_new(j, "endTime", json_string(time_iso(time_now_us(), now)));
	(void) json_object_set_new(j, "seconds", json_real(seconds_since(run->start_ns)));
	(void) json_object_set_new(j, "ran", json_integer((json_int_t) run->ran));
	if (error)
		(void) json_object_set(j, "error", error);
	if (run->log)
		fprintf(run->log, "[%8.1f] %s%s%s\n", seconds_since(run->start_ns),
			state_of(run, code), error ? ": " : "", error ? err_str(err) : "");
	if (run->dir)
		(void) record_save(run, &ignored);
	event = json_copy(j);
	if (event)
		(void) json_object_set_new(event, "type", json_string("run.end"));
	event_emit(run->env->events, event);
	err_done(&ignored);
}
