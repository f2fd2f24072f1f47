/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lists, asked for a source: the compiled table and the meaning of its classes, and what holds where
 * nothing is listed. In: a visit. Out: facts for verdict.h.
 */
#ifndef GATE25_LISTS_H
#define GATE25_LISTS_H

#include "visit.h"

#define TABLE_LINE(table, index) bpf_map_lookup_elem(table, &(__u32){ index })
#include "table.h"
#include "verdict.h"

static __always_inline void ask_table(struct visit *visit, struct verdict_facts *facts)
{
	__u32 index, service = visit->service & (GATE25_SERVICES - 1);
	struct gate25_class *class;

	if (settings.table_empty)
		return;
	index = table_lookup(&table, &layout, &visit->source);
	if (!index)
		return;
	class = bpf_map_lookup_elem(&classes, &index);
	if (!class) {
		count_error(GATE25_ERROR_MAP);
		visit->failed = 1;
		return;
	}
	visit->class = index;
	facts->class_flags = class->flags[service];
	facts->class_action = class->action[service];
}

static __always_inline int has_default(const struct visit *visit)
{
	return settings.defaults >> (visit->service & (GATE25_SERVICES - 1)) & 1;
}

static __always_inline void ask_default(struct visit *visit, struct verdict_facts *facts)
{
	__u32 service = visit->service & (GATE25_SERVICES - 1);

	if (!has_default(visit))
		return;
	facts->default_action = settings.default_action[service];
	facts->default_live = (settings.allow_in_table >> service & 1) ||
			      control.manual_allow_until_ns[service] > visit_time(visit);
}

#endif
