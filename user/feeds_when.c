// SPDX-License-Identifier: GPL-2.0-only
/*
 * When something is to be done for a list. In: what is known of its source. Out: times, seconds since 1970.
 */
#include "user/feeds.h"

#include <sys/random.h>
#include <time.h>

#define SPREAD_S 60 /* over which urls that are due at a start are asked */

__u64 feed_may_ask_s(const struct config_list *list, const struct feed_state *state)
{
	__u64 now = time(NULL);

	if (!list->url || !list->refresh_min_s || !state->last_attempt_s ||
	    state->last_attempt_s > now)
		return 0;
	return state->last_attempt_s + list->refresh_min_s;
}

void feeds_spread(const struct config *config, const struct feed_states *states)
{
	__u64 now = time(NULL);
	__u32 random;

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];
		struct feed_state *state = feeds_find(states, list->name);
		__u32 most = list->refresh_s / 10 < SPREAD_S ? list->refresh_s / 10 : SPREAD_S;

		if (!list->url || !state || !state->last_success_s || !state->next_refresh_s ||
		    state->next_refresh_s > now)
			continue;
		if (getrandom(&random, sizeof(random), 0) == sizeof(random))
			state->next_refresh_s = now + random % (most + 1);
	}
}

/* Data that says it is of the future, or a success that a clock put there, confirms no longer than any other. */
static __u64 confirmed_s(const struct config_list *list, const struct feed_state *state)
{
	bool by_data = list->data_time && state->data_s && state->data_s < state->last_success_s;

	return by_data ? state->data_s : state->last_success_s;
}

bool feed_expired(const struct config_list *list, const struct feed_state *state, __u64 now_s)
{
	__u64 since_s = confirmed_s(list, state);

	return list->max_age_s && since_s && now_s > since_s && now_s - since_s > list->max_age_s;
}

/* When something is to be done for a list. */
static __u64 list_next(const struct config_list *list, const struct feed_state *state)
{
	__u64 when, ends;

	if (!state || !state->next_refresh_s)
		return 1;
	when = state->next_refresh_s;
	ends = confirmed_s(list, state) + list->max_age_s + 1;
	if (list->max_age_s && confirmed_s(list, state) && !state->expired && ends < when)
		when = ends;
	return when;
}

__u64 feeds_next_refresh(const struct config *config, const struct feed_states *states)
{
	__u64 next = 0;

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];
		const struct feed_state *state = feeds_find(states, list->name);
		__u64 when = list_next(list, state);

		if ((list->file || list->url) && (!next || when < next))
			next = when;
	}
	return next;
}
