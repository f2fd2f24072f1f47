// SPDX-License-Identifier: GPL-2.0-only
/* What was measured: as a table while it runs, and as JSON at the end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "user/log.h"
#include "user/print.h"

static json_t *results;

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(const double *values, int count)
{
	double sorted[REPETITIONS_MOST];

	if (count == 0)
		return 0;
	memcpy(sorted, values, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), double_compare);
	return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* Of the rates: how much of what the program that only drops can do. Turn by turn, then the median. */
static double ratio(const struct row *measure, const struct row *row)
{
	double ratios[REPETITIONS_MOST];
	int count = row->count < measure->count ? row->count : measure->count;

	for (int i = 0; i < count; i++)
		ratios[i] = measure->ns[i] / row->ns[i];
	return median(ratios, count);
}

void report_add(json_t *result)
{
	if (!results)
		results = json_array();
	json_array_append_new(results, result);
}

const json_t *report_results(void)
{
	return results;
}

static void row_report(const struct group *group, const struct row *row, json_t *table)
{
	double ns = median(row->ns, row->count), least = row->ns[0], most = row->ns[0];
	double of_drop = row->drop_all < 0 ? 0 : ratio(&group->rows[row->drop_all], row);
	char text[3][32];

	for (int i = 1; i < row->count; i++) {
		least = row->ns[i] < least ? row->ns[i] : least;
		most = row->ns[i] > most ? row->ns[i] : most;
	}
	report_add(json_pack("{ss, sf, sf, sf, sf, si, si}", "name", row->name, "ns", ns,
			     "ns_least", least, "ns_most", most, "ratio_drop_all", of_drop,
			     "frames", (int)row->frames, "repetitions", row->count));
	snprintf(text[0], sizeof(text[0]), "%.1f", ns);
	snprintf(text[1], sizeof(text[1]), "%.1f-%.1f", least, most);
	snprintf(text[2], sizeof(text[2]), "%.3f", of_drop);
	json_array_append_new(table, json_pack("{ss, ss, ss, ss}", "name", row->name, "ns", text[0],
					       "range", text[1], "ratio", text[2]));
}

void report_group(const struct group *group)
{
	const struct column columns[] = {
		{ "name", group->title, false },
		{ "ns", "ns", true },
		{ "range", "from-to", true },
		{ "ratio", "of drop-only", true },
	};
	json_t *table = json_array();

	for (int i = 0; i < group->rows_count; i++)
		if (group->rows[i].count)
			row_report(group, &group->rows[i], table);
	print_results(false, table, columns, 4);
	printf("\n");
	fflush(stdout);
}

int report_write(const char *path)
{
	int error = json_dump_file(results, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) ? -EIO :
											     0;

	if (error)
		log_error("cannot write %s", path);
	json_decref(results);
	return error;
}
