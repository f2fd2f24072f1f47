// SPDX-License-Identifier: GPL-2.0-only
/*
 * Groups of rows: each row is tried once, so that its length fits and its frames are seen to meet what the row claims;
 * then all rows are measured in turn, some times over.
 */
#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "user/log.h"

#define FRAMES_TRIED 200000
#define FRAMES_LEAST 400000
#define FRAMES_MOST  8000000

struct subject *group_subject(struct group *group)
{
	struct subject *subject = &group->subjects[group->subjects_count++];

	memset(subject, 0, sizeof(*subject));
	return subject;
}

static bool name_wanted(const char *name)
{
	regex_t regex;
	bool wanted;

	if (!options->filter)
		return true;
	if (regcomp(&regex, options->filter, REG_EXTENDED | REG_NOSUB))
		return false;
	wanted = regexec(&regex, name, 0, NULL, 0) == 0;
	regfree(&regex);
	return wanted;
}

bool group_wants(const char *format, ...)
{
	char name[80];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(name, sizeof(name), format, arguments);
	va_end(arguments);
	return name_wanted(name);
}

static bool row_is(const struct row *row, const char *name)
{
	return strcmp(row->subject->name, name) == 0;
}

/* What the others are measured by is always there. */
void group_row(struct group *group, struct subject *subject, const struct aim *aim, __u64 expect,
	       const char *format, ...)
{
	struct row *row = &group->rows[group->rows_count];
	va_list arguments;

	memset(row, 0, sizeof(*row));
	va_start(arguments, format);
	vsnprintf(row->name, sizeof(row->name), format, arguments);
	va_end(arguments);
	row->subject = subject;
	row->aim = *aim;
	row->expect = expect;
	row->drop_all = -1;
	if (!row_is(row, "drop-only") && !row_is(row, "pass-only") && !name_wanted(row->name))
		return;
	for (int i = 0; i <= group->rows_count; i++)
		if (row_is(&group->rows[i], "drop-only"))
			row->drop_all = i;
	group->rows_count++;
}

/* ---------------------------------------------------------------- measure */

static int tallies_take(struct subject *subject, __u64 tallies[TALLIES])
{
	memset(tallies, 0, TALLIES * sizeof(*tallies));
	return subject->tally ? subject->tally(subject, tallies) : 0;
}

/* A row whose frames do not meet what it claims is an error, not a number. */
static int row_check(const struct row *row, const __u64 before[TALLIES], const __u64 after[TALLIES],
		     __u64 received)
{
	__u64 met = 0, all = 0, want = row->expect ? row->frames : 0;

	if (received < row->frames) {
		log_error("%s: %u frames were sent, %llu arrived", row->name, row->frames,
			  received);
		return -EIO;
	}
	for (int i = 0; i < TALLIES; i++) {
		all += after[i] - before[i];
		met += row->expect & BIT(i) ? after[i] - before[i] : 0;
	}
	if (!row->subject->tally || (met == want && all == want))
		return 0;
	log_error("%s: %u frames, of which %llu should be counted, %llu were as they should:",
		  row->name, row->frames, want, met);
	for (int i = 0; i < TALLIES; i++)
		if (after[i] != before[i])
			log_error("  number %d: %llu", i, after[i] - before[i]);
	return -EIO;
}

static int row_run(struct row *row, double *ns)
{
	__u64 before[TALLIES], after[TALLIES];
	__u64 received = device_received(&row->subject->device);
	int error = tallies_take(row->subject, before);

	if (!error)
		error = source_run(&row->aim, &row->subject->device, row->frames, ns);
	if (!error)
		error = tallies_take(row->subject, after);
	if (!error)
		error = row_check(row, before, after,
				  device_received(&row->subject->device) - received);
	row->failed |= error != 0;
	return error;
}

static int row_try(struct row *row)
{
	double ns, frames;
	int error;

	row->frames = FRAMES_TRIED;
	error = row_run(row, &ns);
	if (error)
		return error;
	frames = options->seconds * 1e9 / ns;
	row->frames = frames < FRAMES_LEAST ? FRAMES_LEAST :
		      frames > FRAMES_MOST  ? FRAMES_MOST :
					      (__u32)frames;
	return 0;
}

int group_measure(struct group *group)
{
	int error = 0;

	for (int i = 0; i < group->rows_count; i++)
		error |= row_try(&group->rows[i]);
	for (int turn = 0; turn < options->repetitions; turn++) {
		for (int i = 0; i < group->rows_count; i++) {
			struct row *row = &group->rows[i];

			if (row->failed)
				continue;
			if (row_run(row, &row->ns[row->count]) == 0)
				row->count++;
			else
				error = -EIO;
		}
	}
	return error ? -EIO : 0;
}

void group_close(struct group *group)
{
	for (int i = 0; i < group->subjects_count; i++)
		if (group->subjects[i].close)
			group->subjects[i].close(&group->subjects[i]);
}
