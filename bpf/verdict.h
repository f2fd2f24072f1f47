/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The order of precedence, once, for the kernel and for `gate25 test`.
 *
 * In: what overlay and table say about a source, and who enforces. Out: the step that decided.
 * No maps, no helpers. Limits are asked by the caller, after judge() has left the question open.
 *
 * Order: manual allow or forced block (the longer prefix; at a tie the later written), configured
 * and fetched allow, manual block, automatic ban, lists, default; then limits. A match that is only
 * observed is remembered and the evaluation goes on: it can neither un-block nor shield.
 */
#ifndef GATE25_VERDICT_H
#define GATE25_VERDICT_H

#include "gate25.h"

/* Which bit of `filter` stands for a key. */
static inline __u32 overlay_bit(const struct gate25_overlay_key *key)
{
	__u64 which = (__u64)key->family << 8 | key->length;
	__u64 hash = (key->hi + which) * 0x9e3779b97f4a7c15ULL;

	hash = (hash ^ hash >> 32 ^ key->lo) * 0xd6e8feb86659fd93ULL;
	return hash >> (64 - GATE25_FILTER_SHIFT);
}

/* What the overlay says: filled by overlay_rank(), from the longest length to the shortest. */
struct overlay_findings {
	__u8 first; /* of allow and forced: enum gate25_slot + 1; 0: neither */
	__u8 first_length;
	__u8 block, ban;	       /* 1: there is a live one at any length */
	__u8 block_length, ban_length; /* the longest */
	__u8 pad[2];
};

static inline __u8 overlay_live(const struct gate25_overlay_slot *slot, __u8 service_bit,
				__u64 now_ns)
{
	return slot->expires_ns > now_ns && (slot->services & service_bit);
}

static inline void overlay_rank(struct overlay_findings *found,
				const struct gate25_overlay_entry *entry, __u8 length,
				__u8 service_bit, __u64 now_ns)
{
	const struct gate25_overlay_slot *slots = entry->slots;
	__u8 allow = overlay_live(&slots[GATE25_SLOT_ALLOW], service_bit, now_ns);
	__u8 forced = overlay_live(&slots[GATE25_SLOT_FORCED], service_bit, now_ns);

	if (!found->first && (allow || forced)) {
		if (allow && forced) /* sequences wrap after 2^32 writes: compare the distance */
			allow = (__s32)(slots[GATE25_SLOT_ALLOW].sequence -
					slots[GATE25_SLOT_FORCED].sequence) > 0;
		found->first = 1 + (allow ? GATE25_SLOT_ALLOW : GATE25_SLOT_FORCED);
		found->first_length = length;
	}
	if (!found->block && overlay_live(&slots[GATE25_SLOT_BLOCK], service_bit, now_ns)) {
		found->block = 1;
		found->block_length = length;
	}
	if (!found->ban && overlay_live(&slots[GATE25_SLOT_AUTO], service_bit, now_ns)) {
		found->ban = 1;
		found->ban_length = length;
	}
}

struct verdict_facts {
	struct overlay_findings overlay;
	__u8 observe;	     /* paused, or the whole or the service only observes */
	__u8 class_flags;    /* GATE25_CLASS_* of the source's class for the service */
	__u8 class_action;   /* enum gate25_verdict */
	__u8 default_action; /* enum gate25_verdict */
	__u8 default_live;   /* 1: an allow entry of any kind is live for the service */
};

struct judgement {
	__u8 reason; /* enum gate25_reason: what decided, or OK / NO_ALLOW */
	__u8 action; /* enum gate25_verdict */
	__u8 would;  /* 0, or the WOULD_ reason of the first match that was only observed */
	__u8 exempt; /* 1: allowed, limits do not apply */
};

/* 1: this step decides. A step that only observes leaves its mark and does not. */
static inline __u8 judge_match(struct judgement *out, __u8 reason, __u8 action, __u8 observe)
{
	if (observe || action == GATE25_PASS) {
		if (!out->would)
			out->would = reason + GATE25_WOULD;
		return 0;
	}
	out->reason = reason;
	out->action = action;
	return 1;
}

static inline struct judgement judge(const struct verdict_facts *facts)
{
	struct judgement out = { .reason = GATE25_REASON_OK, .action = GATE25_PASS };
	const struct overlay_findings *overlay = &facts->overlay;

	if (overlay->first == 1 + GATE25_SLOT_ALLOW) {
		out.reason = GATE25_REASON_ALLOW_MANUAL;
		out.exempt = 1;
		return out;
	}
	if (overlay->first && judge_match(&out, GATE25_REASON_MANUAL, GATE25_DROP, facts->observe))
		return out;
	if (facts->class_flags & GATE25_CLASS_ALLOW) {
		out.reason = GATE25_REASON_ALLOW;
		out.exempt = 1;
		return out;
	}
	if (overlay->block && judge_match(&out, GATE25_REASON_MANUAL, GATE25_DROP, facts->observe))
		return out;
	if (overlay->ban && judge_match(&out, GATE25_REASON_BAN, GATE25_DROP, facts->observe))
		return out;
	if (facts->class_flags & GATE25_CLASS_BLOCK) {
		if (judge_match(&out, GATE25_REASON_LIST, facts->class_action, facts->observe))
			return out;
	} else if (facts->class_flags & GATE25_CLASS_SHADOW) {
		judge_match(&out, GATE25_REASON_LIST, GATE25_DROP, 1);
	}
	if (facts->default_action != GATE25_PASS) {
		if (!facts->default_live)
			out.reason = GATE25_REASON_NO_ALLOW;
		else if (judge_match(&out, GATE25_REASON_DEFAULT, facts->default_action,
				     facts->observe))
			return out;
	}
	return out;
}

/* The reason to count once nothing decided against it. */
static inline __u8 judgement_reason(const struct judgement *judgement)
{
	return judgement->action == GATE25_PASS && judgement->would ? judgement->would :
								      judgement->reason;
}

#endif
