// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work beside the event loop: a thread a job, an eventfd back.
 *
 * In: a function that takes long. Out: its end, told in the loop. Signals stay the loop's: they were blocked
 * before the first thread was made.
 */
#include "user/agent.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "user/log.h"

static void *job_thread(void *context)
{
	struct job *job = context;
	__u64 one = 1;

	job->run(job->agent);
	if (write(job->fd, &one, sizeof(one)) != sizeof(one))
		log_error("a thread cannot tell its end: %s", strerror(errno));
	return NULL;
}

static int job_ended(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct job *job = context;
	__u64 count;

	(void)source;
	(void)events;
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	pthread_join(job->thread, NULL);
	job->running = false;
	job->done(job->agent);
	agent_jobs_ended(job->agent);
	return 0;
}

int job_init(struct job *job, struct agent *agent, void (*run)(struct agent *agent),
	     void (*done)(struct agent *agent))
{
	job->agent = agent;
	job->run = run;
	job->done = done;
	job->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (job->fd < 0)
		return -errno;
	return sd_event_add_io(agent->event, &job->source, job->fd, POLLIN, job_ended, job);
}

int job_start(struct job *job)
{
	int error = pthread_create(&job->thread, NULL, job_thread, job);

	if (error) {
		log_error("cannot start a thread: %s", strerror(error));
		return -error;
	}
	job->running = true;
	return 0;
}

bool job_wait(struct job *job, unsigned int wait_ms)
{
	struct pollfd end = { .fd = job->fd, .events = POLLIN };

	if (!job->running)
		return true;
	if (poll(&end, 1, wait_ms) != 1)
		return false;
	pthread_join(job->thread, NULL);
	job->running = false;
	return true;
}

void job_release(struct job *job)
{
	sd_event_source_unref(job->source);
	job->source = NULL;
	if (job->fd >= 0)
		close(job->fd);
	job->fd = -1;
}

/* ---------------------------------------------------------------- what jobs may still look at */

void agent_jobs_ended(struct agent *agent)
{
	if (agent->load.job.running || agent->links.job.running || agent->upkeep.job.running)
		return;
	while (agent->retired) {
		struct retired *first = agent->retired;

		agent->retired = first->next;
		first->release(first->object);
		free(first);
	}
}

void agent_retire(struct agent *agent, void *object, void (*release)(void *object))
{
	struct retired *retired;

	if (!object)
		return;
	retired = malloc(sizeof(*retired));
	if (!retired)
		return; /* lost memory is better than a thread that reads what is freed */
	retired->object = object;
	retired->release = release;
	retired->next = agent->retired;
	agent->retired = retired;
	agent_jobs_ended(agent);
}
