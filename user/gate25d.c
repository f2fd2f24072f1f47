// SPDX-License-Identifier: GPL-2.0-only
/*
 * gate25d, the agent: keeps the guard in the kernel fed and tells what it does.
 *
 * In: the configuration, signals, requests, link events, events of the kernel. Out: generations in force, a log,
 * metrics. The guard lives in the kernel: when the agent stops, is killed or fails, it goes on as it is, and an agent
 * that starts takes it over.
 */
#include "user/agent.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "user/fetcher.h"
#include "user/log.h"
#include "user/print.h"
#include "user/record.h"
#include "user/state.h"
#include "user/worker.h"

#define STOP_WAIT_MS 5000

/* ---------------------------------------------------------------- systemd */

void agent_reloading(struct agent *agent)
{
	struct timespec now;

	if (!agent->ready)
		return;
	agent->ready = false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void agent_ready(struct agent *agent)
{
	if (agent->ready)
		return;
	agent->ready = true;
	sd_notify(0, "READY=1");
}

/* "eth0 (native), eth1 (not there)" */
static void interfaces_text(const struct agent *agent, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < agent->config->interfaces_count && length < size; i++) {
		const char *name = agent->config->interfaces[i].name, *how = "not guarded";

		for (int j = 0; j < agent->views.attached_count; j++) {
			const struct attachment *attached = &agent->views.attached[j];

			if (!strcmp(attached->iface, name) && attached->ifindex)
				how = attached->native ? "native" : "generic";
		}
		length += snprintf(text + length, size - length, "%s%s (%s)", length ? ", " : "",
				   name, how);
	}
}

void agent_status(struct agent *agent)
{
	const struct view *view = views_first(agent);
	char interfaces[GATE25_IFACES * 40], entries[64];
	bool observe = agent->guard->control->observe;
	const char *policy = observe ? "only observing" : "enforcing";
	__u64 sum = 0;

	for (unsigned int i = 0; view && i < view->generation->lists_count; i++)
		sum += view->generation->lists[i].entries4 + view->generation->lists[i].entries6;
	interfaces_text(agent, interfaces, sizeof(interfaces));
	if (view && !observe && generation_unread_allow(view->generation))
		policy = "lists only observe: an allow list was never read";
	sd_notifyf(0, "STATUS=%s%s; %s; %s",
		   agent->guard->control->pause_until_ns > monotonic_ns() ? "PAUSED; " : "",
		   interfaces, count_format(sum, "entry", "entries", entries), policy);
}

void agent_report(const struct apply_report *report)
{
	const json_t *fact;
	size_t i;

	json_array_foreach(report->errors, i, fact)
		log_error("%s", json_string_value(fact));
	json_array_foreach(report->warnings, i, fact)
		log_warning("%s", json_string_value(fact));
	json_array_foreach(report->changes, i, fact)
		log_notice("%s", json_string_value(fact));
}

/* ---------------------------------------------------------------- signals */

static int signal_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct agent *agent = context;

	(void)source;
	log_notice("stopping (signal %u); the guard stays in force", info->ssi_signo);
	agent->stopping = true;
	sd_notify(0, "STOPPING=1");
	return sd_event_exit(agent->event, EXIT_SUCCESS);
}

static int signal_reload(sd_event_source *source, const struct signalfd_siginfo *info,
			 void *context)
{
	struct agent *agent = context;

	(void)source;
	(void)info;
	agent->load.signalled = true;
	load_want(agent, LOAD_RELOAD);
	return 0;
}

static int signals_init(struct agent *agent)
{
	int error = sd_event_add_signal(agent->event, NULL, SIGTERM, signal_stop, agent);

	if (error >= 0)
		error = sd_event_add_signal(agent->event, NULL, SIGINT, signal_stop, agent);
	if (error >= 0)
		error = sd_event_add_signal(agent->event, NULL, SIGHUP, signal_reload, agent);
	if (error >= 0)
		error = sd_event_set_watchdog(agent->event, true);
	return error < 0 ? error : 0;
}

/* Before the first thread: none of them takes a signal that is the loop's. */
static void signals_block(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

/* ---------------------------------------------------------------- start and end */

static int directory_ensure(const char *path, mode_t mode)
{
	int error;

	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	error = -errno;
	log_error("cannot make the directory %s: %s", path, strerror(-error));
	return error;
}

/* What is pinned stays in force as it is, until our first generation replaces it. */
static int guard_take(struct agent *agent)
{
	int lock = guard_lock(agent->config->run_dir, AGENT_LOCK_WAIT_S), error;

	if (lock < 0)
		return lock;
	error = guard_create(agent->config, &agent->guard);
	if (!error)
		error = guard_harvest(agent->guard);
	close(lock);
	return error;
}

static int agent_init(struct agent *agent)
{
	int error = directory_ensure(agent->config->run_dir, 0755);

	if (!error)
		error = directory_ensure(agent->config->state_dir, 0700);
	if (!error)
		error = sd_event_default(&agent->event) < 0 ? -ENOMEM : 0;
	if (!error)
		error = server_open(agent, &agent->server);
	if (!error)
		error = guard_take(agent);
	if (!error)
		error = signals_init(agent);
	if (!error)
		error = views_events_open(agent);
	if (!error)
		error = load_init(agent);
	if (!error)
		error = files_init(agent);
	if (!error)
		error = links_init(agent);
	if (!error)
		error = upkeep_init(agent);
	if (!error)
		error = feeds_read(agent->config, &agent->feeds);
	return error;
}

static void agent_begin(struct agent *agent)
{
	agent->list_ids = calloc(agent->config->lists_count + 1, sizeof(*agent->list_ids));
	for (size_t i = 0; agent->list_ids && i < agent->config->lists_count; i++)
		agent->list_ids[i] =
			state_list_id(agent->config->state_dir, agent->config->lists[i].name);
	http_follow(agent);
	views_refresh(agent);
	if (agent->views.attached_count > 0) {
		log_notice("took over the guard that is in force");
		agent_ready(agent);
		agent_status(agent);
	}
	load_want(agent, LOAD_START);
}

/* false: a thread does not end; then nothing that it may use can be freed. */
static bool agent_end(struct agent *agent)
{
	bool ended;

	agent->stopping = true;
	ended = job_wait(&agent->load.job, STOP_WAIT_MS) &&
		job_wait(&agent->links.job, STOP_WAIT_MS) &&
		job_wait(&agent->upkeep.job, STOP_WAIT_MS);
	http_release(agent);
	server_close(agent->server);
	return ended;
}

static void agent_free(struct agent *agent)
{
	if (agent->load.report.errors)
		apply_report_free(&agent->load.report);
	prepared_free(agent->load.prepared);
	state_free(agent->load.state);
	config_free(agent->load.config);
	guard_close(agent->load.guard);
	free(agent->load.feeds.array);
	sd_event_source_unref(agent->load.timer);
	sd_event_source_unref(agent->load.late);
	fetcher_free(agent->fetcher);
	job_release(&agent->load.job);
	files_release(agent);
	links_release(agent);
	sd_event_source_unref(agent->upkeep.timer);
	sd_event_source_unref(agent->upkeep.tick);
	sd_event_source_unref(agent->upkeep.watch);
	job_release(&agent->upkeep.job);
	views_close(agent);
	sd_event_source_unref(agent->events_source);
	events_close(agent->events);
	agent_jobs_ended(agent);
	prepared_free(agent->in_force);
	free(agent->feeds.array);
	free(agent->list_ids);
	guard_close(agent->guard);
	config_free(agent->config);
	sd_event_unref(agent->event);
}

static int agent_run(struct agent *agent)
{
	int status = EXIT_FAILURE;

	if (agent_init(agent) == 0) {
		agent_begin(agent);
		status = sd_event_loop(agent->event);
	}
	if (agent->server && !agent_end(agent))
		_exit(status);
	agent_free(agent);
	return status < 0 ? EXIT_FAILURE : status;
}

/* ---------------------------------------------------------------- command line */

static void usage(FILE *out)
{
	fputs("usage: gate25d [-c FILE] [--check] [-v]\n"
	      "\n"
	      "The agent of gate25: puts the guard in force, keeps its lists fresh, logs, and "
	      "serves metrics.\n"
	      "Stopping it leaves the guard in force; `gate25 unload` takes it off.\n"
	      "\n"
	      "  -c, --config FILE  configuration (" CONFIG_DEFAULT ")\n"
	      "      --check        only check the configuration\n"
	      "  -v, --verbose      log more\n"
	      "      --version      print the version\n"
	      "  -h, --help         print this\n"
	      "\n"
	      "SIGHUP reloads, as `gate25 reload` does; SIGTERM stops.\n",
	      out);
}

struct options {
	const char *config_path;
	bool check, verbose;
};

/* -1: go on; else the exit code. */
static int options_parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
		{ "verbose", no_argument, NULL, 'v' },	    { "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },	    { NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:vh", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config_path = optarg;
			break;
		case 'k':
			options->check = true;
			break;
		case 'v':
			options->verbose = true;
			break;
		case 'V':
			puts("gate25d " GATE25_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	usage(stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct options options = { .config_path = CONFIG_DEFAULT };
	static struct agent agent;
	int status;

	if (worker_is_wanted(argc, argv))
		return worker_main();
	status = options_parse(argc, argv, &options);
	if (status >= 0)
		return status;
	log_init("gate25d", options.verbose ? LOG_DEBUG : LOG_INFO);
	record_command(argc, argv);
	if (config_read(options.config_path, stderr, &agent.config)) {
		if (!options.check)
			log_error("the configuration is refused; what is in force stays in force");
		return EXIT_FAILURE;
	}
	if (options.check) {
		printf("%s: good\n", options.config_path);
		config_free(agent.config);
		return EXIT_SUCCESS;
	}
	signals_block();
	agent.config_path = options.config_path;
	agent.load.lock = agent.links.lock = -1;
	agent.files.fd = agent.load.job.fd = agent.links.job.fd = agent.upkeep.job.fd = -1;
	log_notice("gate25d %s starts", GATE25_VERSION);
	if (!agent.config->policy_set)
		log_notice("no `policy:` in %s: it enforces", options.config_path);
	return agent_run(&agent);
}
