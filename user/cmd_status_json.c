// SPDX-License-Identifier: GPL-2.0-only
/*
 * `gate25 -j status`: struct status as one object.
 */
#include "user/cmd_status.h"

#include "user/cmd_show.h"
#include "user/print.h"

static json_t *counter_json(const struct gate25_counter *counter)
{
	return json_pack("{s:I, s:I}", "connections", (json_int_t)counter->connections, "packets",
			 (json_int_t)counter->packets);
}

static json_t *traffic_json(const struct status_traffic *traffic)
{
	return json_pack("{s:o, s:o, s:o}", "passed", counter_json(&traffic->passed), "observed",
			 counter_json(&traffic->observed), "dropped",
			 counter_json(&traffic->dropped));
}

static json_t *reasons_json(const struct status *status)
{
	json_t *object = json_object();

	for (unsigned int reason = 0; object && reason < GATE25_REASONS; reason++)
		if (status->reasons[reason].packets && reason_label(reason))
			json_object_set_new(object, reason_label(reason),
					    counter_json(&status->reasons[reason]));
	return object;
}

static json_t *interfaces_json(const struct status *status)
{
	json_t *array = json_array();

	for (unsigned int i = 0; array && i < status->attached_count; i++)
		json_array_append_new(
			array, json_pack("{s:s, s:s, s:I}", "name", status->attached[i].iface,
					 "mode", status->attached[i].native ? "native" : "generic",
					 "program", (json_int_t)status->attached[i].prog_id));
	return array;
}

static json_t *generation_json(const struct gate25_generation *generation)
{
	if (!generation)
		return json_null();
	return json_pack("{s:I, s:o, s:s, s:i, s:i}", "number", (json_int_t)generation->number,
			 "created", time_json(generation->created_s), "version",
			 generation->version, "threshold", generation->threshold, "classes",
			 (int)generation->classes);
}

static json_t *ports_json(const struct gate25_generation *generation, int slot)
{
	json_t *ports = json_array();

	for (__u32 i = 0; ports && i < generation->ports_count; i++)
		if (generation->port_services[i] >> slot & 1)
			json_array_append_new(ports, json_integer(generation->ports[i]));
	return ports;
}

static json_t *service_json(const struct status *status, int slot)
{
	const struct gate25_control *control = status->guard->control;

	return json_pack(
		"{s:s, s:o, s:s, s:s, s:b, s:s, s:o}", "name", status->guard->names->services[slot],
		"ports", ports_json(status->generation, slot), "policy",
		service_observes(status, slot) ? "observe" : "enforce", "default",
		verdict_label(status->generation->settings.default_action[slot]), "local",
		control->local_services >> slot & 1, "counted", service_counted(status, slot),
		"counters", traffic_json(&status->services[slot]));
}

static json_t *services_of(const struct status *status)
{
	json_t *array = json_array();

	for (int slot = 0; status->generation && slot < GATE25_SERVICES; slot++)
		if (status->generation->services >> slot & 1)
			json_array_append_new(array, service_json(status, slot));
	return array;
}

static json_t *limit_json(const struct status *status, enum gate25_scope scope)
{
	const struct gate25_limit *limit;

	if (!status->generation || !status->generation->settings.limits[scope].interval_ns)
		return json_null();
	limit = &status->generation->settings.limits[scope];
	return json_pack("{s:f, s:I, s:s, s:s, s:o}", "per_minute", 60e9 / limit->interval_ns,
			 "burst", (json_int_t)(limit->tolerance_ns / limit->interval_ns), "action",
			 verdict_label(limit->action), "policy",
			 limit->observe ? "observe" : "enforce", "services",
			 services_json(status->guard, status->generation, limit->services));
}

static json_t *overlay_json(const struct status *status)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "entries",
			 (json_int_t)status->overlay_keys, "most",
			 (json_int_t)(status->guard ? status->guard->overlay_max : 0), "allow",
			 (json_int_t)status->overlay[GATE25_SLOT_ALLOW], "block",
			 (json_int_t)status->overlay[GATE25_SLOT_BLOCK], "forced",
			 (json_int_t)status->overlay[GATE25_SLOT_FORCED], "bans",
			 (json_int_t)status->overlay[GATE25_SLOT_AUTO]);
}

static json_t *errors_json(const struct status *status)
{
	json_t *object = json_object();

#define ERROR_ADD(number, name, label)                                                             \
	json_object_set_new(object, label, json_integer(status->errors[number]));
	GATE25_ERROR_TABLE(ERROR_ADD)
#undef ERROR_ADD
	return object;
}

static const char *state_word(const struct status *status)
{
	if (!status->guard)
		return "not_loaded";
	if (!status->attached_count)
		return "not_guarding";
	if (status->pause_until_s)
		return "paused";
	if (!status->generation)
		return "unreadable";
	return status->observing ? "observing" : "enforcing";
}

json_t *status_json(const struct status *status, const char *headline)
{
	static const char *const severities[] = { "ok", "warning", "critical" };

	return json_pack(
		"[{s:s, s:s, s:s, s:o, s:o, s:o, s:O, s:I, s:o, s:{s:o, s:o}, s:o, s:o, s:o, "
		"s:I, s:o, s:O?, s:O}]",
		"state", state_word(status), "summary", headline, "severity",
		severities[status->worst], "paused_until", time_json(status->pause_until_s),
		"interfaces", interfaces_json(status), "services", services_of(status), "lists",
		status->lists, "entries", (json_int_t)status->entries, "generation",
		generation_json(status->generation), "limits", "source",
		limit_json(status, GATE25_SCOPE_SOURCE), "network",
		limit_json(status, GATE25_SCOPE_NETWORK), "counters", traffic_json(&status->total),
		"reasons", reasons_json(status), "errors", errors_json(status), "events_suppressed",
		(json_int_t)status->events_suppressed, "overlay", overlay_json(status), "agent",
		status->agent, "warnings", status->doubts);
}
