// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory and messages of one reading of the configuration.
 *
 * In: problems, in the order in which the steps find them. Out: lines "FILE:LINE: text", in the order
 * in which the operator finds them in his files.
 */
#include "user/config_reading.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384

struct reading_block {
	struct reading_block *next;
	size_t used, size;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct problem {
	struct place place;
	unsigned int order; /* keeps the sort stable */
	bool warning;
	char *text; /* malloc'ed */
};

void reading_begin(struct reading *reading)
{
	memset(reading, 0, sizeof(*reading));
}

void reading_end(struct reading *reading)
{
	for (unsigned int i = 0; i < reading->files_count; i++)
		free(reading->files[i].name);
	for (size_t i = 0; i < reading->problems_count; i++)
		free(reading->problems[i].text);
	free(reading->problems);
	while (reading->blocks) {
		struct reading_block *block = reading->blocks;

		reading->blocks = block->next;
		free(block);
	}
	reading_begin(reading);
}

void *reading_alloc(struct reading *reading, size_t size)
{
	struct reading_block *block = reading->blocks;

	size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (!block || block->size - block->used < size) {
		size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;

		block = calloc(1, sizeof(*block) + room);
		if (!block) {
			reading->failure = -ENOMEM;
			return NULL;
		}
		block->size = room;
		block->next = reading->blocks;
		reading->blocks = block;
	}
	block->used += size;
	return block->bytes + block->used - size;
}

char *reading_text(struct reading *reading, const char *text, size_t length)
{
	char *copy = reading_alloc(reading, length + 1);

	if (copy)
		memcpy(copy, text, length);
	return copy;
}

static void problem_add(struct reading *reading, struct place place, bool warning,
			const char *format, va_list arguments)
{
	struct problem *problem;

	if (!warning)
		reading->errors++;
	if (reading->problems_count == READING_PROBLEMS) {
		reading->problems_hidden++;
		return;
	}
	if (!reading->problems)
		reading->problems = calloc(READING_PROBLEMS, sizeof(*problem));
	if (!reading->problems) {
		reading->failure = -ENOMEM;
		return;
	}
	problem = &reading->problems[reading->problems_count];
	problem->place = place;
	problem->order = reading->problems_count;
	problem->warning = warning;
	if (vasprintf(&problem->text, format, arguments) < 0) {
		problem->text = NULL;
		reading->failure = -ENOMEM;
		return;
	}
	reading->problems_count++;
}

void reading_error(struct reading *reading, struct place place, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	problem_add(reading, place, false, format, arguments);
	va_end(arguments);
}

void reading_warning(struct reading *reading, struct place place, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	problem_add(reading, place, true, format, arguments);
	va_end(arguments);
}

const char *reading_where(const struct reading *reading, struct place place)
{
	static _Thread_local char text[1200];

	snprintf(text, sizeof(text), "%s:%u", reading->files[place.file].name, place.line);
	return text;
}

static int problem_compare(const void *left, const void *right)
{
	const struct problem *a = left, *b = right;

	if (a->place.file != b->place.file)
		return a->place.file < b->place.file ? -1 : 1;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

void reading_report(struct reading *reading, FILE *errors, FILE *warnings)
{
	if (reading->problems_count)
		qsort(reading->problems, reading->problems_count, sizeof(*reading->problems),
		      problem_compare);
	for (size_t i = 0; i < reading->problems_count; i++) {
		const struct problem *problem = &reading->problems[i];
		FILE *out = problem->warning && warnings ? warnings : errors;

		fputs(reading->files[problem->place.file].name, out);
		if (problem->place.line)
			fprintf(out, ":%u", problem->place.line);
		fprintf(out, ": %s%s\n", problem->warning && !warnings ? "warning: " : "",
			problem->text);
	}
	if (reading->problems_hidden)
		fprintf(errors, "%s: %zu further problems are not shown\n", reading->files[0].name,
			reading->problems_hidden);
}
