/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a source may do: rates by GCRA in lines of four words, and the key that finds the line.
 * No maps, no helpers: a line and a time in, an answer out.
 *
 * A word of a line is 28 bits of tag (0: empty) and 36 bits of theoretical arrival time in units of
 * 1,024 ns. One compare-and-swap claims a word and charges it, so there is no race between the two.
 * Times wrap after 19.5 hours and are compared by distance; source_sweep() empties what is long
 * over before it comes round.
 */
#ifndef GATE25_SOURCE_H
#define GATE25_SOURCE_H

#include "gate25.h"
#include "inline.h"

#define SOURCE_UNIT_SHIFT 10
#define SOURCE_TIME_BITS  36
#define SOURCE_TIME_MASK  ((1ULL << SOURCE_TIME_BITS) - 1)
#define SOURCE_TRIES	  8

/* The furthest a word may be ahead of the clock: no limit's tolerance may be longer. */
#define SOURCE_AHEAD_NS (8ULL * 3600 * 1000000000)
#define SOURCE_AHEAD	(SOURCE_AHEAD_NS >> SOURCE_UNIT_SHIFT)

/*
 * The clocks of CPUs differ: a word that is further ahead than its limit allows, by more than this,
 * is a stale one.
 */
#define SOURCE_SLACK (4ULL * 1000000000 >> SOURCE_UNIT_SHIFT)

/* The coarse clock stands still for a tick; without this a small burst would lose most of it. */
#define SOURCE_TICK (4ULL * 1000000 >> SOURCE_UNIT_SHIFT)

enum source_answer { SOURCE_ADMITTED, SOURCE_REFUSED, SOURCE_CONTENDED };

static inline __u64 source_rotate(__u64 value, int bits)
{
	return value << bits | value >> (64 - bits);
}

struct siphash {
	__u64 v0, v1, v2, v3;
};

static inline void siphash_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v1 = source_rotate(s->v1, 13) ^ s->v0;
	s->v0 = source_rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = source_rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = source_rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = source_rotate(s->v1, 17) ^ s->v2;
	s->v2 = source_rotate(s->v2, 32);
}

/* SipHash-1-3 (Aumasson, Bernstein) over 8 bytes and up to 7 more in `tail`. */
static inline __u64 source_siphash(const __u64 key[2], __u64 word, __u64 tail)
{
	struct siphash s = {
		.v0 = key[0] ^ 0x736f6d6570736575ULL,
		.v1 = key[1] ^ 0x646f72616e646f6dULL,
		.v2 = key[0] ^ 0x6c7967656e657261ULL,
		.v3 = key[1] ^ 0x7465646279746573ULL,
	};

	tail = (tail & 0x00ffffffffffffffULL) | 15ULL << 56;
	s.v3 ^= word;
	siphash_round(&s);
	s.v0 ^= word;
	s.v3 ^= tail;
	siphash_round(&s);
	s.v0 ^= tail;
	s.v2 ^= 0xff;
	siphash_round(&s);
	siphash_round(&s);
	siphash_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/*
 * The hash of whom a limit counts together. An observed limit has a ledger of its own: what it
 * charged is no debt once the limit is enforced.
 */
static inline __u64 source_hash(const __u64 key[2], const struct gate25_source *source,
				const volatile struct gate25_limit *limit, __u32 scope,
				__u32 observe)
{
	__u64 word, length;

	if (source->family == 4) {
		length = limit->length4;
		word = length ? source->lo & (0xffffffffULL << (32 - length)) : 0;
	} else {
		length = limit->length6;
		word = length ? source->hi & (~0ULL << (64 - length)) : 0;
	}
	return source_siphash(key, word, source->family | scope << 8 | observe << 16);
}

/* 0 if it is 0, else 1; no branch. */
static inline __u64 source_differs(__u64 bits)
{
	bits = (bits | -bits) >> 63;
	OPAQUE(bits);
	return bits;
}

/* A source that carries an IPv4 address in an IPv6 one is that IPv4 address. */
static inline void source_normalise(struct gate25_source *source,
				    const volatile struct gate25_settings *settings)
{
	__u64 upper, plain;

	if (source->family != 6)
		return;
	upper = source->lo & ~0xffffffffULL;
	plain = source_differs(source->hi | (upper ^ 0xffffULL << 32)); /* ::ffff:0:0/96 */
	for (__u32 i = 0; i < GATE25_TRANSLATED; i++) {
		if (i >= settings->translated_count)
			break;
		plain &= source_differs((source->hi ^ settings->translated[i][0]) |
					(upper ^ settings->translated[i][1]));
	}
	if (plain)
		return;
	source->hi = 0;
	source->lo &= 0xffffffff;
	source->family = 4;
}

static inline __u64 source_tag(__u64 hash)
{
	__u64 tag = hash >> SOURCE_TIME_BITS;

	return tag | !tag;
}

static inline __u32 source_line(__u64 hash, __u32 lines)
{
	return hash & (lines - 1);
}

/* Where `spent` has it. */
static inline __u32 source_bucket(__u64 hash)
{
	return hash >> 54 & (GATE25_SPENT_BUCKETS - 1);
}

static inline __u64 source_units(__u64 ns)
{
	return (ns + (1 << (SOURCE_UNIT_SHIFT - 1))) >> SOURCE_UNIT_SHIFT;
}

/*
 * How old a word is, so that the least is the one to give way: times that are further ahead than
 * any limit allows are the oldest of all (they came round), then the past, then the near future.
 */
static inline __u64 source_rank(__u64 word, __u64 now)
{
	return (word - now - SOURCE_AHEAD - 1) & SOURCE_TIME_MASK;
}

/* Units that a word is ahead of the clock; 0 when it is not. */
static inline __u64 source_ahead(__u64 word, __u64 now, __u64 tolerance)
{
	__u64 ahead = (word - now) & SOURCE_TIME_MASK;

	return ahead > tolerance + SOURCE_SLACK ? 0 : ahead;
}

/* The word of a tag (rank 0), or else the one to give way: (rank, index) in one number. */
static inline __u64 source_choose(const __u64 *words, __u64 tag, __u64 now)
{
	__u64 least = ~0ULL >> 2;

#pragma GCC unroll 1
	for (int i = 0; i < GATE25_SOURCE_WORDS; i++) {
		__u64 word = ((const volatile __u64 *)words)[i];
		__u64 found = word >> SOURCE_TIME_BITS;
		__u64 empty = (found - 1) >> 63, other = ((found ^ tag) + SOURCE_TIME_MASK) >> 36;
		__u64 rank, less;

		OPAQUE(empty);
		OPAQUE(other); /* 0 for the same tag, else 1 */
		rank = (other * (1 + source_rank(word, now) * (1 - empty))) << 3 | i;
		less = (rank - least) >> 63;
		OPAQUE(less);
		least -= (least - rank) * less;
	}
	return least;
}

/* What a limit makes of a new connection, before anything is written. */
struct source_charge {
	__u64 *word;
	__u64 before, after; /* of the word */
	__u64 refused;
};

ALWAYS_INLINE struct source_charge source_charge(__u64 *words, __u64 hash, __u64 now_ns,
						 __u64 interval_ns, __u64 tolerance_ns)
{
	__u64 tag = source_tag(hash), now = now_ns >> SOURCE_UNIT_SHIFT, ahead = 0;
	__u64 interval = source_units(interval_ns), tolerance = source_units(tolerance_ns);
	__u64 *word = &words[source_choose(words, tag, now) & (GATE25_SOURCE_WORDS - 1)];
	__u64 before = *(volatile __u64 *)word;

	if (before >> SOURCE_TIME_BITS == tag)
		ahead = source_ahead(before, now, tolerance);
	return (struct source_charge){
		.word = word,
		.before = before,
		.after = tag << SOURCE_TIME_BITS | ((now + ahead + interval) & SOURCE_TIME_MASK),
		.refused = ahead + interval > tolerance + SOURCE_TICK,
	};
}

/* 1: charged. 0: somebody else wrote the word meanwhile. */
static inline int source_commit(const struct source_charge *charge)
{
	return __sync_val_compare_and_swap(charge->word, charge->before, charge->after) ==
	       charge->before;
}

/* Asks a limit and charges it. The tolerance is burst x interval: so many pass at once. */
ALWAYS_INLINE enum source_answer source_admit(__u64 *words, __u64 hash, __u64 now_ns,
					      __u64 interval_ns, __u64 tolerance_ns)
{
#pragma GCC unroll 1
	for (int try = 0; try < SOURCE_TRIES; try++) {
		struct source_charge charge =
			source_charge(words, hash, now_ns, interval_ns, tolerance_ns);

		if (charge.refused)
			return SOURCE_REFUSED;
		if (source_commit(&charge))
			return SOURCE_ADMITTED;
	}
	return SOURCE_CONTENDED;
}

/* In how many units the next one is admitted; 0: now. Charges nothing. */
ALWAYS_INLINE __u64 source_wait(const __u64 *words, __u64 hash, __u64 now_ns, __u64 interval_ns,
				__u64 tolerance_ns)
{
	__u64 tag = source_tag(hash), now = now_ns >> SOURCE_UNIT_SHIFT, ahead = 0;
	__u64 interval = source_units(interval_ns), tolerance = source_units(tolerance_ns);

#pragma GCC unroll 1
	for (int i = 0; i < GATE25_SOURCE_WORDS; i++) {
		__u64 word = ((const volatile __u64 *)words)[i];

		if (word >> SOURCE_TIME_BITS == tag)
			ahead = source_ahead(word, now, tolerance);
	}
	ahead += interval;
	tolerance += SOURCE_TICK;
	return ahead > tolerance ? ahead - tolerance : 0;
}

/* How many more would be admitted right now; charges nothing. */
static inline __u64 source_budget(const __u64 *words, __u64 hash, __u64 now_ns, __u64 interval_ns,
				  __u64 tolerance_ns)
{
	__u64 tag = source_tag(hash), now = now_ns >> SOURCE_UNIT_SHIFT, ahead = 0;
	__u64 interval = source_units(interval_ns), tolerance = source_units(tolerance_ns);

	for (int i = 0; i < GATE25_SOURCE_WORDS; i++)
		if (words[i] >> SOURCE_TIME_BITS == tag)
			ahead = source_ahead(words[i], now, tolerance);
	if (!interval || ahead + interval > tolerance + SOURCE_TICK)
		return 0;
	return (tolerance + SOURCE_TICK - ahead) / interval;
}

/* Empties the words of a line whose time is over. Each line wants it at least every 8 hours. */
static inline void source_sweep(__u64 *words, __u64 now_ns)
{
	__u64 now = now_ns >> SOURCE_UNIT_SHIFT;

	for (int i = 0; i < GATE25_SOURCE_WORDS; i++) {
		__u64 word = *(volatile __u64 *)&words[i];

		if (word && ((word - now) & SOURCE_TIME_MASK) > SOURCE_AHEAD)
			__sync_val_compare_and_swap(&words[i], word, 0);
	}
}

#endif
