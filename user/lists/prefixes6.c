// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPv6 segments -> few prefixes that say the same by the longest match.
 *
 * In: segments of the whole address space. Out: prefixes; what none covers has class 0.
 *
 * This is the construction of Draves, King, Venkatachary and Zill (INFOCOM 1999): from the bottom
 * up, a prefix could have the classes that both halves could have, or else those of either; from
 * the top down, a prefix is written only where what it inherits is none of them. So a network
 * with holes is itself and its holes, and not what is left of it. A prefix keeps a few candidates
 * only: which one is taken decides how many prefixes there are, not what they say.
 *
 * Each length that occurs is one more probe of the look-up, so only every fourth is used: what
 * has one class is written as up to eight prefixes of the next length, and elsewhere the choice
 * is left to the levels below. Else a few neighbours among many hosts would bring in /127, /126.
 *
 * The tree is not built: a node is a prefix and the segments in it. Where all borders of a node
 * lie in one small prefix below it, the levels between are a chain, whose other sides have one
 * class each.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "user/lists/layout.h"

#define CANDIDATES 4
#define BITS	   128
#define STRIDE	   4 /* lengths that are multiples of it are used; 64 is one */

struct candidates {
	__u16 classes[CANDIDATES];
	__u8 count;
};

struct making {
	const struct segment6 *segments;
	struct candidates *branches; /* of each branch, in the order of the way down */
	size_t branches_count;
	struct entries6 *out;
};

/* Segments `from` to `to` (both inclusive) within base/length. */
struct node {
	u128 base;
	unsigned int length;
	size_t from, to;
};

/* Where the borders of a node part: the smallest prefix that holds them all, and its halves. */
struct branch {
	u128 base;
	unsigned int length;
	struct node halves[2];
	__u16 before, behind; /* class of what lies in the node on either side of it */
};

static u128 mask6(unsigned int length)
{
	return length ? ~(u128)0 << (BITS - length) : 0;
}

static unsigned int common_length(u128 a, u128 b)
{
	__u64 hi = (a ^ b) >> 64, lo = a ^ b;

	return hi ? __builtin_clzll(hi) : 64 + __builtin_clzll(lo);
}

/* The last segment of [from, to] that begins at `address` or before. */
static size_t segment_find(const struct segment6 *segments, size_t from, size_t to, u128 address)
{
	size_t middle;

	while (from < to) {
		middle = (from + to + 1) / 2;
		if (segments[middle].first <= address)
			from = middle;
		else
			to = middle - 1;
	}
	return from;
}

static struct branch branch_find(const struct segment6 *segments, const struct node *node)
{
	u128 border = segments[node->to].first, middle;
	struct branch branch = {
		.length = common_length(segments[node->from + 1].first - 1, border),
		.before = segments[node->from].class,
		.behind = segments[node->to].class,
	};
	size_t right;

	branch.base = border & mask6(branch.length);
	middle = branch.base | (u128)1 << (BITS - 1 - branch.length);
	right = segment_find(segments, node->from, node->to, middle);
	branch.halves[1] = (struct node){ middle, branch.length + 1, right, node->to };
	if (segments[right].first == middle)
		right--;
	branch.halves[0] = (struct node){ branch.base, branch.length + 1, node->from, right };
	return branch;
}

/* ---------------------------------------------------------------- candidates */

static bool candidates_have(const struct candidates *set, __u16 class)
{
	for (int i = 0; i < set->count; i++) {
		if (set->classes[i] == class)
			return true;
	}
	return false;
}

/* What a prefix could have whose halves could have these. */
static struct candidates candidates_merge(const struct candidates *a, const struct candidates *b)
{
	struct candidates both = {}, either = *a;

	for (int i = 0; i < b->count; i++) {
		if (candidates_have(a, b->classes[i]))
			both.classes[both.count++] = b->classes[i];
		else if (either.count < CANDIDATES)
			either.classes[either.count++] = b->classes[i];
		else
			either.classes[CANDIDATES - 1] = b->classes[i];
	}
	return both.count ? both : either;
}

static struct candidates candidates_one(__u16 class)
{
	return (struct candidates){ .classes = { class }, .count = 1 };
}

/* The class of the chain's other side at a length: of what the way down leaves there. */
static __u16 chain_side(const struct branch *branch, unsigned int length)
{
	return branch->base >> (BITS - length) & 1 ? branch->before : branch->behind;
}

/*
 * From the branch up the chain to the node: steps[i] are the candidates i levels above the
 * branch. With one class on both sides nothing changes after the second step. Returns the number
 * of steps made.
 */
static unsigned int chain_up(const struct branch *branch, unsigned int length,
			     const struct candidates *bottom, struct candidates steps[BITS + 1])
{
	bool alike = branch->before == branch->behind && branch->length - length > 2;
	unsigned int top = alike ? branch->length - 2 : length, made = 0;
	struct candidates side;

	steps[0] = *bottom;
	for (unsigned int level = branch->length; level > top; level--, made++) {
		side = candidates_one(chain_side(branch, level));
		steps[made + 1] = candidates_merge(&steps[made], &side);
	}
	return made;
}

/*
 * The candidates of a chain's top; in a function of its own, so that recursion does not hold the
 * steps.
 */
static __attribute__((noinline)) struct candidates
chain_top(const struct branch *branch, unsigned int length, const struct candidates *bottom)
{
	struct candidates steps[BITS + 1];
	unsigned int made = chain_up(branch, length, bottom, steps);

	return steps[made];
}

/* The way up. A node is at most 128 branches deep. */
static struct candidates node_judge(struct making *making, const struct node *node)
{
	struct candidates left, right, *own;
	struct branch branch;

	if (node->from == node->to)
		return candidates_one(making->segments[node->from].class);
	own = &making->branches[making->branches_count++];
	branch = branch_find(making->segments, node);
	left = node_judge(making, &branch.halves[0]);
	right = node_judge(making, &branch.halves[1]);
	*own = candidates_merge(&left, &right);
	return chain_top(&branch, node->length, own);
}

/* ---------------------------------------------------------------- the way down */

/* A prefix that has one class all over. */
static int entry_add(struct making *making, u128 base, unsigned int length, __u16 class)
{
	struct entries6 *out = making->out;
	unsigned int used = (length + STRIDE - 1) / STRIDE * STRIDE;
	u128 step = used ? (u128)1 << (BITS - used) : 0;

	base &= mask6(length);
	for (unsigned int i = 0; i < 1U << (used - length); i++, base += step) {
		if (array_grow(&out->entries, &out->room, out->count, sizeof(*out->entries)))
			return -ENOMEM;
		out->entries[out->count++] = (struct entry6){
			.hi = base >> 64,
			.lo = base,
			.class = class,
			.length = used,
		};
	}
	return 0;
}

/* A prefix that has several: written where its length is used, unless what it inherits will do. */
static int choice_settle(struct making *making, u128 base, unsigned int length,
			 const struct candidates *set, __u16 *inherited)
{
	if (length % STRIDE || candidates_have(set, *inherited))
		return 0;
	*inherited = set->classes[0];
	return entry_add(making, base, length, *inherited);
}

/* Down the chain from the node to the branch, which is the last to be settled. */
static __attribute__((noinline)) int chain_write(struct making *making, const struct node *node,
						 const struct branch *branch,
						 const struct candidates *bottom, __u16 *inherited)
{
	struct candidates steps[BITS + 1];
	unsigned int made = chain_up(branch, node->length, bottom, steps), above;
	unsigned int length = node->length;
	int error = 0;
	__u16 side;

	for (; length < branch->length && !error; length++) {
		/* one class on both sides: once it is inherited, there is nothing to write */
		if (length + made < branch->length && *inherited == branch->before)
			length = branch->length - made;
		above = branch->length - length;
		error = choice_settle(making, branch->base, length,
				      &steps[above < made ? above : made], inherited);
		side = chain_side(branch, length + 1);
		if (!error && side != *inherited)
			error = entry_add(making, branch->base ^ (u128)1 << (BITS - 1 - length),
					  length + 1, side);
	}
	if (!error)
		error = choice_settle(making, branch->base, branch->length, &steps[0], inherited);
	return error;
}

static int node_write(struct making *making, const struct node *node, __u16 inherited)
{
	__u16 class = making->segments[node->from].class;
	const struct candidates *own;
	struct branch branch;
	int error;

	if (node->from == node->to)
		return class == inherited ? 0 : entry_add(making, node->base, node->length, class);
	branch = branch_find(making->segments, node);
	own = &making->branches[making->branches_count++];
	error = chain_write(making, node, &branch, own, &inherited);
	if (!error)
		error = node_write(making, &branch.halves[0], inherited);
	if (!error)
		error = node_write(making, &branch.halves[1], inherited);
	return error;
}

int prefixes6_make(const struct segment6 *segments, size_t count, struct entries6 *out)
{
	struct making making = { .segments = segments, .out = out };
	struct node root = { .to = count - 1 };
	int error;

	/* a branch has a border in its middle, or some on both sides: fewer than two a segment */
	making.branches = malloc(2 * count * sizeof(*making.branches));
	if (!making.branches)
		return -ENOMEM;
	node_judge(&making, &root);
	making.branches_count = 0;
	error = node_write(&making, &root, 0);
	free(making.branches);
	return error;
}
