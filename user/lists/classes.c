// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sets of lists -> classes: what the lists that cover an address together say, per service.
 *
 * In: the set as bits, the lists' weights and policies. Out: struct gate25_class, as the kernel
 * reads it.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/sweep.h"

#define HASH_ENTRIES (1U << 17) /* twice the classes */

/* From the mildest to the harshest: what decides between lists of one weight. */
static int harshness(__u8 action)
{
	static const __u8 order[GATE25_VERDICTS] = { [GATE25_PASS] = 0, [GATE25_DROP] = 4 };

	return action < GATE25_VERDICTS ? order[action] : 0;
}

/* A sum of weights, as it grows list by list. */
struct sum {
	int score;
	bool any, secure; /* some list adds to it; some that cannot be forged does */
	int weight;	  /* the greatest */
	__u8 action;	  /* of that one */
};

static void sum_add(struct sum *sum, const struct compile_list *list)
{
	int weight = list->info.weight;
	__u8 action = list->info.action;

	sum->score += weight;
	if (weight > 0)
		sum->secure |= !list->insecure;
	if (!sum->any || weight > sum->weight ||
	    (weight == sum->weight && harshness(action) < harshness(sum->action))) {
		sum->weight = weight;
		sum->action = action;
	}
	sum->any = true;
}

/* What comes over forgeable transports alone never blocks. */
static int sum_score(const struct sum *sum, int threshold)
{
	if (!sum->secure && sum->score >= threshold)
		return threshold - 1;
	return sum->score;
}

static __s16 clamp(int score)
{
	return score > SHRT_MAX ? SHRT_MAX : score < SHRT_MIN ? SHRT_MIN : score;
}

/* A list that says "pass" or only observes adds to the shadow alone. */
static bool enforces(const struct gate25_list_info *info)
{
	return !info->observe && info->action != GATE25_PASS;
}

static void class_judge(struct gate25_class *class, const struct compile_input *input,
			unsigned int service)
{
	struct sum enforced = {}, shadow = {};

	for (size_t i = 0; i < input->count; i++) {
		const struct gate25_list_info *info = &input->lists[i].info;

		if (!(class->lists >> i & 1) || !(info->services >> service & 1))
			continue;
		if (info->allow) {
			class->flags[service] |= GATE25_CLASS_ALLOW;
			continue;
		}
		sum_add(&shadow, &input->lists[i]);
		if (enforces(info))
			sum_add(&enforced, &input->lists[i]);
	}
	class->score[service] = clamp(sum_score(&enforced, input->threshold));
	class->shadow_score[service] = clamp(sum_score(&shadow, input->threshold));
	if (enforced.any && sum_score(&enforced, input->threshold) >= input->threshold) {
		class->flags[service] |= GATE25_CLASS_BLOCK;
		class->action[service] = enforced.action;
	}
	if (shadow.any && sum_score(&shadow, input->threshold) >= input->threshold)
		class->flags[service] |= GATE25_CLASS_SHADOW;
}

int classes_init(struct classes *classes)
{
	memset(classes, 0, sizeof(*classes));
	classes->hash = calloc(HASH_ENTRIES, sizeof(*classes->hash));
	if (!classes->hash ||
	    array_grow(&classes->classes, &classes->room, 0, sizeof(*classes->classes)))
		return -ENOMEM;
	memset(&classes->classes[0], 0, sizeof(classes->classes[0]));
	classes->count = 1;
	return 0;
}

static int class_add(struct classes *classes, const struct compile_input *input, __u64 lists)
{
	struct gate25_class *class;

	if (classes->count == GATE25_CLASSES)
		return -E2BIG;
	if (array_grow(&classes->classes, &classes->room, classes->count, sizeof(*class)))
		return -ENOMEM;
	class = &classes->classes[classes->count++];
	memset(class, 0, sizeof(*class));
	class->lists = lists;
	for (unsigned int service = 0; service < GATE25_SERVICES; service++)
		class_judge(class, input, service);
	return 0;
}

int classes_find(struct classes *classes, const struct compile_input *input, __u64 lists,
		 __u16 *class)
{
	__u32 at = list_digest(0, &lists, sizeof(lists)) >> 32 & (HASH_ENTRIES - 1);
	int error;

	while (classes->hash[at] && classes->classes[classes->hash[at]].lists != lists)
		at = (at + 1) & (HASH_ENTRIES - 1);
	if (!classes->hash[at]) {
		error = class_add(classes, input, lists);
		if (error)
			return error;
		classes->hash[at] = classes->count - 1;
	}
	*class = classes->hash[at];
	return 0;
}

void classes_release(struct classes *classes)
{
	free(classes->classes);
	free(classes->hash);
	memset(classes, 0, sizeof(*classes));
}
