// SPDX-License-Identifier: GPL-2.0-only
/*
 * What operators say by the command line while the agent runs: pause, resume, policy.
 *
 * In: the control map, looked at when its copy on disk changes, and now and then. Out: a line in the log for each
 * word that is another one. The kernel had it before, so nothing else is to be done.
 */
#include "user/agent.h"

#include "user/log.h"
#include "user/overlay.h"
#include "user/print.h"

static struct words words_now(const struct agent *agent)
{
	const struct gate25_control *control = agent->guard->control;
	struct words now = {
		.known = true,
		.observe = control->observe,
		.observe_services = control->observe_services,
		.pause_until_ns = control->pause_until_ns,
	};

	now.paused = now.pause_until_ns > monotonic_ns();
	return now;
}

static void pause_tell(const struct words *old, const struct words *now)
{
	char until[32];

	if (!now->paused) {
		if (old->paused)
			log_notice("the pause is over");
	} else if (!old->paused || old->pause_until_ns != now->pause_until_ns) {
		log_notice("paused until %s: everything passes, and is counted as observed",
			   now->pause_until_ns == GATE25_NEVER ?
				   "resumed" :
				   time_format(overlay_time_s(now->pause_until_ns), until));
	}
}

static void services_tell(const struct agent *agent, const struct words *old,
			  const struct words *now)
{
	__u8 changed = old->observe_services ^ now->observe_services;

	for (int slot = 0; slot < GATE25_SERVICES; slot++)
		if (changed >> slot & 1 && agent->guard->names->services[slot][0])
			log_notice("policy of service %s: %s", agent->guard->names->services[slot],
				   now->observe_services >> slot & 1 ? "observe" : "enforce");
}

void words_follow(struct agent *agent, bool loaded)
{
	struct words now = words_now(agent), old = agent->words;

	agent->words = now;
	if (!old.known)
		return;
	pause_tell(&old, &now);
	if (!loaded && old.observe != now.observe)
		log_notice("policy: %s", now.observe ? "observe" : "enforce");
	services_tell(agent, &old, &now);
}
