// SPDX-License-Identifier: GPL-2.0-only
/*
 * status: a verdict in words, then what is not as it should be, then details. --check: one line for
 * Nagios.
 *
 * In: struct status. Out: text or JSON, and with --check an exit code of Nagios' plugins.
 */
#include "user/cmd_status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd_show.h"
#include "user/print.h"

#define CHECK_UNKNOWN 3 /* of Nagios: what is the matter could not be found out */
#define HEADLINE_TEXT 512

/* ---------------------------------------------------------------- the headline */

static void say(char text[static HEADLINE_TEXT], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(char text[static HEADLINE_TEXT], const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + used, HEADLINE_TEXT - used, format, arguments);
	va_end(arguments);
}

static void say_interfaces(const struct status *status, char text[static HEADLINE_TEXT])
{
	for (unsigned int i = 0; i < status->attached_count; i++)
		say(text, "%s%s (%s)", i ? ", " : "", status->attached[i].iface,
		    status->attached[i].native ? "native" : "generic");
}

static void say_lists(const struct status *status, char text[static HEADLINE_TEXT])
{
	char lists[64], entries[64];

	say(text, "%s, %s", count_format(status->generation->lists_count, "list", "lists", lists),
	    count_format(status->entries, "entry", "entries", entries));
}

/* Services that only observe while others enforce. */
static void say_exceptions(const struct status *status, char text[static HEADLINE_TEXT])
{
	unsigned int told = 0;

	for (int slot = 0; slot < GATE25_SERVICES; slot++)
		if ((status->generation->services >> slot & 1) && service_observes(status, slot))
			say(text, "%s%s", told++ ? ", " : " except for ",
			    status->guard->names->services[slot]);
}

static void say_policy(const struct status *status, char text[static HEADLINE_TEXT])
{
	const struct gate25_list_info *unread = generation_unread_allow(status->generation);

	if (unread)
		say(text,
		    ": LISTS ONLY OBSERVE, since allow list %s was never read (gate25 reload)",
		    unread->name);
	else
		say(text, ": enforcing");
	say_exceptions(status, text);
}

static const char *headline(const struct status *status, char text[static HEADLINE_TEXT])
{
	char time[32];

	text[0] = '\0';
	if (!status->guard) {
		say(text, "NOT LOADED: nothing is guarded; put it in force: gate25 load");
	} else if (!status->attached_count) {
		say(text, "NOT GUARDING: no interface is attached, all mail passes");
	} else if (status->pause_until_s) {
		say(text, "PAUSED until %s: everything passes (gate25 resume ends it); ",
		    status->pause_until_s == GATE25_NEVER ?
			    "resumed" :
			    time_format(status->pause_until_s, time));
		say_interfaces(status, text);
	} else if (!status->generation) {
		say(text, "%s",
		    status->observing ? "OBSERVING only: nothing is dropped; " : "guarding ");
		say_interfaces(status, text);
		say(text,
		    ", by what cannot be read: its pins are gone; make it anew: gate25 reload");
	} else if (status->observing) {
		say(text, "OBSERVING only: nothing is dropped; ");
		say_interfaces(status, text);
		say(text, ", ");
		say_lists(status, text);
	} else {
		say(text, "guarding ");
		say_interfaces(status, text);
		say_policy(status, text);
		say(text, ", ");
		say_lists(status, text);
	}
	return text;
}

/* ---------------------------------------------------------------- details */

static void print_generation(const struct status *status)
{
	const struct gate25_generation *generation = status->generation;
	__u64 age = status->now_s - generation->created_s;
	char ago[32];

	printf("generation  %llu, made %s ago, threshold %d\n", generation->number,
	       duration_format(generation->created_s > status->now_s ? 0 : age, ago),
	       generation->threshold);
}

static void print_agent(const struct status *status)
{
	const json_t *pid = json_object_get(status->agent, "pid");

	if (json_is_integer(pid))
		printf("agent       running (process %lld)\n", json_integer_value(pid));
	else
		printf("agent       %s\n", status->agent ? "running" : "not running");
}

static void print_ports(const struct gate25_generation *generation, int slot)
{
	unsigned int told = 0;

	for (__u32 i = 0; i < generation->ports_count; i++)
		if (generation->port_services[i] >> slot & 1)
			printf("%s%u", told++ ? ", " : "", generation->ports[i]);
}

static void print_traffic(const struct status_traffic *traffic)
{
	char passed[32], observed[32], dropped[32];

	printf("%s passed, %s would have been stopped, %s stopped\n",
	       number_format(traffic->passed.connections, passed),
	       number_format(traffic->observed.connections, observed),
	       number_format(traffic->dropped.connections, dropped));
}

static const char *counted_words(const struct status *status, int slot)
{
	switch (service_counted(status, slot)[0]) {
	case 'c':
		return "limits count connections";
	case 's':
		return "limits count SYNs";
	default:
		return "no limit";
	}
}

static void print_services(const struct status *status)
{
	const struct gate25_generation *generation = status->generation;

	for (int slot = 0; slot < GATE25_SERVICES; slot++) {
		if (!(generation->services >> slot & 1))
			continue;
		printf("service     %s (port ", status->guard->names->services[slot]);
		print_ports(generation, slot);
		printf("): %s; default %s; sockets %s; %s\n",
		       service_observes(status, slot) ? "observe" : "enforce",
		       verdict_label(generation->settings.default_action[slot]),
		       status->guard->control->local_services >> slot & 1 ? "here" :
									    "elsewhere or none",
		       counted_words(status, slot));
		printf("            connections: ");
		print_traffic(&status->services[slot]);
	}
}

static void print_list(const json_t *list)
{
	const json_t *hits = json_object_get(list, "hits");
	char entries[64], number[64];
	bool allow = !strcmp(json_text(list, "kind"), "allow");
	json_int_t count;

	printf("list        %s: ", json_text(list, "name"));
	if (!json_is_true(json_object_get(list, "in_force"))) {
		printf("not in force yet\n");
		return;
	}
	if (allow)
		printf("allow");
	else
		printf("weight %lld, %s, %s", json_integer_value(json_object_get(list, "weight")),
		       json_text(list, "action"), json_text(list, "policy"));
	count = json_integer_value(json_object_get(list, "entries4"));
	count += json_integer_value(json_object_get(list, "entries6"));
	printf("; %s", count_format(count, "entry", "entries", entries));
	if (json_is_integer(hits))
		printf(", %s", count_format(json_integer_value(hits), "hit", "hits", number));
	if (json_text(list, "last_success")[0])
		printf(", read %s", json_text(list, "last_success"));
	printf("\n");
}

static void print_limits(const struct status *status)
{
	static const char *const names[GATE25_SCOPES] = { "source", "network" };

	for (int scope = 0; scope < GATE25_SCOPES; scope++) {
		const struct gate25_limit *limit = &status->generation->settings.limits[scope];

		if (!limit->interval_ns)
			continue;
		printf("limit       %s: %.4g/min, burst %llu, %s, %s\n", names[scope],
		       60e9 / limit->interval_ns, limit->tolerance_ns / limit->interval_ns,
		       verdict_label(limit->action), limit->observe ? "observe" : "enforce");
	}
}

static void print_overlay(const struct status *status)
{
	char most[32];

	printf("by hand     %llu allowed, %llu blocked, %llu automatic bans (room for %s)\n",
	       status->overlay[GATE25_SLOT_ALLOW],
	       status->overlay[GATE25_SLOT_BLOCK] + status->overlay[GATE25_SLOT_FORCED],
	       status->overlay[GATE25_SLOT_AUTO], number_format(status->guard->overlay_max, most));
}

/* Since it was loaded: the counters live as long as the pins. */
static void print_reasons(const struct status *status)
{
	char connections[32], packets[32];

	printf("since load  connections: ");
	print_traffic(&status->total);
	for (unsigned int reason = 0; reason < GATE25_REASONS; reason++) {
		const struct gate25_counter *counter = &status->reasons[reason];

		if (counter->packets && reason_label(reason))
			printf("            %-19s %13s connections %15s packets\n",
			       reason_label(reason),
			       number_format(counter->connections, connections),
			       number_format(counter->packets, packets));
	}
}

static void print_details(const struct status *status)
{
	const json_t *object;
	size_t i;

	json_array_foreach(status->doubts, i, object)
		printf("%-11s %s\n", json_text(object, "severity"), json_text(object, "text"));
	if (status->guard && status->generation) {
		print_generation(status);
		print_agent(status);
		print_services(status);
		print_limits(status);
	}
	if (status->guard) {
		if (status->generation || !status->attached_count)
			json_array_foreach(status->lists, i, object)
				print_list(object);
		print_overlay(status);
		print_reasons(status);
	}
}

/* ---------------------------------------------------------------- --check */

static __u64 errors_sum(const struct status *status)
{
	__u64 sum = 0;

	for (int kind = 0; kind < GATE25_ERRORS; kind++)
		sum += status->errors[kind];
	return sum;
}

static void check_print(const struct status *status, const char *line)
{
	static const char *const words[] = { "OK", "WARNING", "CRITICAL" };
	const json_t *object;
	size_t i;

	printf("GATE25 %s - %s", words[status->worst], line);
	json_array_foreach(status->doubts, i, object)
		if (strcmp(json_text(object, "severity"), "note") != 0)
			printf("; %s", json_text(object, "text"));
	printf(" | entries=%llu overlay=%llu;;;0;%u passed=%lluc observed=%lluc dropped=%lluc "
	       "suppressed=%lluc errors=%lluc\n",
	       status->entries, status->overlay_keys,
	       status->guard ? status->guard->overlay_max : 0, status->total.passed.connections,
	       status->total.observed.connections, status->total.dropped.connections,
	       status->events_suppressed, errors_sum(status));
}

/* ---------------------------------------------------------------- the command */

static int status_print(struct cli *cli, const struct status *status, bool check)
{
	char line[HEADLINE_TEXT];
	int code = status->guard ? EXIT_DONE : EXIT_NOT_LOADED;

	headline(status, line);
	if (check)
		code = status->worst;
	if (cli->json)
		return cli_results(cli, status_json(status, line), code);
	if (check) {
		check_print(status, line);
		return code;
	}
	puts(line);
	print_details(status);
	return code;
}

int status_run(struct cli *cli, int argc, char **argv)
{
	bool check = false;
	const struct cli_option options[] = { { "check", &check, NULL }, { NULL, NULL, NULL } };
	struct status status = { .cli = NULL };
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code && argc)
		code = cli_fail(cli, EXIT_USAGE, "%s: no argument is wanted", argv[0]);
	if (code)
		return check ? CHECK_UNKNOWN : code;
	code = status_gather(cli, &status);
	if (!code)
		code = status_print(cli, &status, check);
	else if (check && !cli->json)
		printf("GATE25 UNKNOWN - %s\n", code == EXIT_PERMISSION ?
							"no permission: run as root (sudo)" :
							"what is in force cannot be read");
	if (check && !status.doubts)
		code = CHECK_UNKNOWN;
	status_release(&status);
	return code;
}
