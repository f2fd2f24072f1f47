/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a source may do. In: a visit. Out: whether a limit decides, and the budgets in `sources`.
 *
 * Where the sockets of a service are here, sessions.bpf.c charges each connection whose handshake was
 * completed, and who knocks is only read (limits_read): no forged packet changes a budget. Where the
 * host only forwards, or nothing is attached to count, each SYN is charged (limits_charge).
 */
#ifndef GATE25_LIMITS_H
#define GATE25_LIMITS_H

#include "source.h"
#include "verdict.h"
#include "visit.h"

/* A limit that holds for a visit, and where its budget is kept. */
struct limit_account {
	struct gate25_source_line *line; /* NULL: none */
	__u64 hash;
	struct source_charge charge;
	__u32 observe;
};

static __always_inline int limit_holds(const struct visit *visit, __u32 scope)
{
	const volatile struct gate25_limit *limit = &settings.limits[scope];

	return limit->interval_ns && (limit->services >> (visit->service & 7) & 1);
}

/* Whose budget it is. */
static __always_inline void limit_name(const struct visit *visit, __u32 scope,
				       struct limit_account *account)
{
	const volatile struct gate25_limit *limit = &settings.limits[scope];

	account->observe = visit->observe | !!limit->observe | (limit->action == GATE25_PASS);
	account->hash = source_hash(secret.siphash, &visit->source, limit, scope, account->observe);
}

/* 1: there is its line. */
static __always_inline int limit_line(struct visit *visit, struct limit_account *account)
{
	__u32 index = source_line(account->hash, settings.source_lines);

	account->line = bpf_map_lookup_elem(&sources, &index);
	if (account->line)
		return 1;
	count_error(GATE25_ERROR_MAP);
	visit->failed = 1;
	return 0;
}

/* 1: the limit holds, and has its line. */
static __always_inline int limit_open(struct visit *visit, __u32 scope,
				      struct limit_account *account)
{
	if (!limit_holds(visit, scope))
		return 0;
	limit_name(visit, scope, account);
	return limit_line(visit, account);
}

/* In how many units the limit would admit another one. */
static __always_inline __u64 limit_wait(const struct limit_account *account, __u32 scope,
					__u64 now_ns)
{
	return source_wait(account->line->words, account->hash, now_ns,
			   settings.limits[scope].interval_ns, settings.limits[scope].tolerance_ns);
}

static __always_inline void limit_ask(struct limit_account *account, __u32 scope, __u64 now_ns)
{
	account->charge = source_charge(account->line->words, account->hash, now_ns,
					settings.limits[scope].interval_ns,
					settings.limits[scope].tolerance_ns);
}

/* Charges the limit. 1: it is exceeded, and that decides. */
static __always_inline int limit_decides(const struct limit_account *account, __u32 scope,
					 __u64 now_ns, struct judgement *judgement, __u8 reason)
{
	const volatile struct gate25_limit *limit = &settings.limits[scope];
	__u32 answer = account->charge.refused ? SOURCE_REFUSED : SOURCE_ADMITTED;

	if (!account->charge.refused && !source_commit(&account->charge))
		answer = source_admit(account->line->words, account->hash, now_ns,
				      limit->interval_ns, limit->tolerance_ns);
	if (answer == SOURCE_REFUSED)
		return judge_match(judgement, reason, limit->action, account->observe);
	if (answer == SOURCE_CONTENDED)
		count_error(GATE25_ERROR_SOURCES_CONTENDED);
	return 0;
}

/*
 * Asks the limits, and charges them one after the other until one decides. Both lines are read
 * before the first is written: a compare-and-swap waits for all that came before it, and the lines
 * are seldom in the cache.
 */
__noinline int limits_charge(struct visit *visit, struct judgement *judgement)
{
	struct limit_account source = {}, network = {};
	int by_source, by_network;

	if (!visit || !judgement)
		return 0;
	visit_time(visit);
	by_source = limit_open(visit, GATE25_SCOPE_SOURCE, &source);
	by_network = limit_open(visit, GATE25_SCOPE_NETWORK, &network);
	if (by_source)
		limit_ask(&source, GATE25_SCOPE_SOURCE, visit->now_ns);
	if (by_network)
		limit_ask(&network, GATE25_SCOPE_NETWORK, visit->now_ns);
	if (by_source && limit_decides(&source, GATE25_SCOPE_SOURCE, visit->now_ns, judgement,
				       GATE25_REASON_LIMIT_SOURCE))
		return 1;
	return by_network && limit_decides(&network, GATE25_SCOPE_NETWORK, visit->now_ns, judgement,
					   GATE25_REASON_LIMIT_NETWORK);
}

/* Reads one limit. 1: its budget is spent, and that decides. */
static __always_inline int limit_spent(struct visit *visit, __u32 scope,
				       struct judgement *judgement, __u8 reason)
{
	struct limit_account account = {};

	if (!limit_holds(visit, scope))
		return 0;
	limit_name(visit, scope, &account);
	if (spent.until_ns[source_bucket(account.hash)] <= visit->now_ns ||
	    !limit_line(visit, &account) || !limit_wait(&account, scope, visit->now_ns))
		return 0;
	return judge_match(judgement, reason, settings.limits[scope].action, account.observe);
}

__noinline int limits_read(struct visit *visit, struct judgement *judgement)
{
	if (!visit || !judgement)
		return 0;
	return limit_spent(visit, GATE25_SCOPE_SOURCE, judgement, GATE25_REASON_LIMIT_SOURCE) ||
	       limit_spent(visit, GATE25_SCOPE_NETWORK, judgement, GATE25_REASON_LIMIT_NETWORK);
}

/* A SYN: 1: a limit decides. */
static __always_inline int limits_judge(struct visit *visit, struct judgement *judgement)
{
	if (!(control.counted_services >> (visit->service & 7) & 1))
		return limits_charge(visit, judgement);
	return spent.any_until_ns && spent.any_until_ns > visit_time(visit) ?
		       limits_read(visit, judgement) :
		       0;
}

#endif
