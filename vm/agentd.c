/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/host.h"

#include <libvirt/libvirt-qemu.h>

#include "base/mem.h"

#define JOBS_MAX    16
#define TIMEOUT_MAX 600 /* seconds */

static void job_free(struct agent_job *j)
{
	if (j)
		free(j->command);
	free(j);
}

static json_t *run(struct client *c, const struct agent_job *j)
{
	auto_err struct err err = ERR_INIT;
	auto_json json_t *reply = NULL;
	char *text = virDomainQemuAgentCommand(c->guest->dom, j->command, j->timeout_s, 0);
	int r = 0;

	if (!text)
		r = host_virt_err(&err, "guest agent");
	else
		r = json_parse(text, strlen(text), &reply, &err);
	free(text);
	if (r < 0)
		return json_pack("{s:I, s:o}", "id", j->id, "error", wire_error(&err));
	return json_pack("{s:I, s:O}", "id", j->id, "ok", reply);
}

static void *agentd_main(void *arg)
{
	struct client *c = arg;

	for (;;) {
		struct agent_job *j;
		json_t *reply;

		pthread_mutex_lock(&c->jobs_lock);
		while (!c->jobs && !c->jobs_stop)
			pthread_cond_wait(&c->jobs_cond, &c->jobs_lock);
		j = c->jobs_stop ? NULL : c->jobs;
		if (j) {
			c->jobs = j->next;
			c->n_jobs--;
		}
		pthread_mutex_unlock(&c->jobs_lock);
		if (!j)
			return NULL;
		reply = run(c, j);
		client_send(c, reply);
		json_decref(reply);
		job_free(j);
	}
}

int agentd_start(struct client *c, struct err *err)
{
	int r = pthread_create(&c->agent, NULL, agentd_main, c);

	if (r != 0)
		return err_set(err, -r, "thread: %s", strerrordesc_np(r));
	c->agent_run = true;
	return 0;
}

int agentd_add(struct client *c, const json_t *req, struct err *err)
{
	const json_t *command = json_object_get(req, "command");
	int64_t timeout = json_int_at(req, "timeout", 30);
	struct agent_job *j, **end;

	if (!c->agent_run)
		return err_set(err, -EINVAL, "agent: no guest was started");
	if (!json_is_object(command) || timeout < 1 || timeout > TIMEOUT_MAX)
		return err_set(err, -EINVAL, "agent: bad command or timeout");
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->id = json_int_at(req, "id", 0);
	j->timeout_s = (int) timeout;
	j->command = json_compact(command);
	pthread_mutex_lock(&c->jobs_lock);
	if (!j->command || c->n_jobs >= JOBS_MAX) {
		pthread_mutex_unlock(&c->jobs_lock);
		job_free(j);
		return err_set(err, -EBUSY, "agent: too many requests at once");
	}
	for (end = &c->jobs; *end; end = &(*end)->next)
		;
	*end = j;
	c->n_jobs++;
	pthread_cond_signal(&c->jobs_cond);
	pthread_mutex_unlock(&c->jobs_lock);
	return 0;
}

void agentd_stop(struct client *c)
{
	if (c->agent_run) {
		pthread_mutex_lock(&c->jobs_lock);
		c->jobs_stop = true;
		pthread_cond_signal(&c->jobs_cond);
		pthread_mutex_unlock(&c->jobs_lock);
		(void) pthread_join(c->agent, NULL);
		c->agent_run = false;
	}
	while (c->jobs) {
		struct agent_job *j = c->jobs;

		c->jobs = j->next;
		job_free(j);
	}
}
