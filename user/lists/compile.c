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

#define SEEDS 16 /* tried before the buckets are given more room */

__u16 table_class(const void *lines, const struct gate25_table_layout *layout,
		  const struct gate25_source *source)
{
	struct table_lines table = { .bytes = lines, .count = layout->lines };

	return table_lookup(&table, layout, source);
}

void compiled_table_free(struct compiled_table *table)
{
	if (!table)
		return;
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

/* Plans both families at a load of buckets, and finds a seed that places all entries. */
static int layout_try(const struct segments *segments, unsigned int load, struct layout4 *plan4,
		      struct layout6 *plan6, __u32 *seed)
{
	int error = layout4_plan(plan4, segments->segments4, segments->count4, load);

	if (!error)
		error = layout6_plan(plan6, segments->segments6, segments->count6, load);
	if (error)
		return error;
	for (*seed = 1; *seed <= SEEDS; ++*seed) {
		error = layout4_place(plan4, *seed);
		if (!error)
			error = layout6_place(plan6, *seed);
		if (error != -EAGAIN)
			break;
	}
	return error;
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

static int layout_make(const struct segments *segments, struct compiled_table *table)
{
	struct layout4 plan4 = {};
	struct layout6 plan6 = {};
	__u32 lines;
	int error = -EAGAIN;

	for (unsigned int load = 100; load >= 25 && error == -EAGAIN; load /= 2) {
		layout4_release(&plan4);
		layout6_release(&plan6);
		error = layout_try(segments, load, &plan4, &plan6, &table->layout.seed);
	}
	if (error == -EAGAIN) /* at an eighth of the slots: not by chance */
		error = -E2BIG;
	if (error)
		goto out;
	lines = layout4_reserve(&plan4, &table->layout, 0);
	lines = layout6_reserve(&plan6, &table->layout, lines);
	table->layout.lines = lines ? lines : 1; /* a map has at least one element */
	error = lines_allocate(table->layout.lines, &table->lines);
	if (error)
		goto out;
	layout4_fill(&plan4, &table->layout, table->lines);
	layout6_fill(&plan6, &table->layout, table->lines);
out:
	layout4_release(&plan4);
	layout6_release(&plan6);
	return error;
}

int table_compile(const struct compile_input *input, struct compiled_table **out)
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
	if (!table)
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
