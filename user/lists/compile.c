// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists -> the table and the classes of a generation.
 *
 * In: images with weights and policies. Out: classes, and the lines that the kernel's look-up
 * reads.
 */
#include "user/lists/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/lists/layout.h"
#include "user/lists/sweep.h"

#define SEEDS	   4 /* tried before the hosts of a family are given twice the room */
#define LOAD_LEAST 3 /* percent of the usual one */

struct table_plan {
	struct layout4 layout4;
	struct layout6 layout6;
};

__u16 table_class(const void *lines, const struct gate25_table_layout *layout,
		  const struct gate25_source *source)
{
	struct table_lines table = { .bytes = lines, .count = layout->lines };

	return table_lookup(&table, layout, source);
}

static void plan_free(struct table_plan *plan)
{
	if (!plan)
		return;
	layout4_release(&plan->layout4);
	layout6_release(&plan->layout6);
	free(plan);
}

void compiled_table_free(struct compiled_table *table)
{
	if (!table)
		return;
	plan_free(table->plan);
	free(table->lines);
	free(table->classes);
	free(table);
}

static __u8 allow_services(const struct compile_input *input)
{
	__u8 services = 0;

	for (size_t i = 0; i < input->count; i++) {
		const struct compile_list *list = &input->lists[i];

		if (list->info.allow && list->image && list->image->count4 + list->image->count6)
			services |= list->info.services;
	}
	return services;
}

/* How full the lines of each family may be, in percent of the usual. */
struct loads {
	unsigned int load4, load6;
};

/*
 * Plans both families, and finds a seed that places all entries. When none does, the family that
 * did not fit gets more room for the next time: -EAGAIN.
 */
static int layout_try(const struct segments *segments, struct table_plan *plan, struct loads *loads,
		      __u32 *seed)
{
	int error4, error6 = 0;
	int error =
		layout4_plan(&plan->layout4, segments->segments4, segments->count4, loads->load4);

	if (!error)
		error = layout6_plan(&plan->layout6, segments->segments6, segments->count6,
				     loads->load6);
	if (error)
		return error;
	for (*seed = 1; *seed <= SEEDS; ++*seed) {
		error4 = layout4_place(&plan->layout4, *seed);
		error6 = error4 ? 0 : layout6_place(&plan->layout6, *seed);
		error = error4 ? error4 : error6;
		if (error != -EAGAIN)
			break;
	}
	if (error != -EAGAIN && error != -ENOSPC)
		return error;
	if (error6)
		loads->load6 /= 2;
	else
		loads->load4 /= 2;
	return -EAGAIN;
}

static int layout_make(const struct segments *segments, struct compiled_table *table)
{
	struct table_plan *plan = table->plan;
	struct loads loads = { 100, 100 };
	int error = -EAGAIN;
	__u32 lines;

	while (error == -EAGAIN && loads.load4 >= LOAD_LEAST && loads.load6 >= LOAD_LEAST) {
		layout4_release(&plan->layout4);
		layout6_release(&plan->layout6);
		error = layout_try(segments, plan, &loads, &table->layout.seed);
	}
	if (error == -EAGAIN) /* with hardly two of them in a line: not by chance */
		error = -E2BIG;
	if (error)
		return error;
	lines = layout4_reserve(&plan->layout4, &table->layout, 0);
	lines = layout6_reserve(&plan->layout6, &table->layout, lines);
	table->layout.lines = lines ? lines : 1; /* a map has at least one element */
	return 0;
}

int table_plan(const struct compile_input *input, struct compiled_table **out)
{
	struct compiled_table *table = NULL;
	struct segments segments = {};
	struct classes classes = {};
	int error;

	if (input->count > GATE25_LISTS)
		return -E2BIG;
	error = classes_init(&classes);
	if (!error)
		error = sweep(input, &classes, &segments);
	if (error)
		goto out;
	error = -ENOMEM;
	table = calloc(1, sizeof(*table));
	if (table)
		table->plan = calloc(1, sizeof(*table->plan));
	if (!table || !table->plan)
		goto out;
	error = layout_make(&segments, table);
	if (error)
		goto out;
	table->classes = classes.classes;
	table->classes_count = classes.count;
	table->allow_services = allow_services(input);
	classes.classes = NULL;
	*out = table;
out:
	if (error)
		compiled_table_free(table);
	segments_release(&segments);
	classes_release(&classes);
	return error;
}

void table_write(const struct compiled_table *table, void *lines)
{
	if (table->lines) {
		memcpy(lines, table->lines, (size_t)table->layout.lines * TABLE_LINE_BYTES);
		return;
	}
	layout4_fill(&table->plan->layout4, &table->layout, lines);
	layout6_fill(&table->plan->layout6, &table->layout, lines);
}

static int lines_allocate(__u32 count, void **lines)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t bytes = ((size_t)count * TABLE_LINE_BYTES + page - 1) & ~(page - 1);

	*lines = aligned_alloc(page, bytes);
	if (!*lines)
		return -ENOMEM;
	memset(*lines, 0, bytes);
	return 0;
}

int table_compile(const struct compile_input *input, struct compiled_table **out)
{
	struct compiled_table *table = NULL;
	void *lines = NULL;
	int error = table_plan(input, &table);

	if (!error)
		error = lines_allocate(table->layout.lines, &lines);
	if (error) {
		compiled_table_free(table);
		return error;
	}
	table_write(table, lines);
	table->lines = lines;
	plan_free(table->plan);
	table->plan = NULL;
	*out = table;
	return 0;
}
