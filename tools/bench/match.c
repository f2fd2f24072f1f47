// SPDX-License-Identifier: GPL-2.0-only
/* One list, many ways to hold it; the rows of each. */
#include "tools/bench/match.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/gate25.h"
#include "tools/bench/rivals.h"
#include "user/log.h"

/* A source that is not listed may have been here too often: then the limits say so, and only observe. */
#define PASSED                                                                                     \
	(BIT(GATE25_REASON_OK) | BIT(GATE25_REASON_WOULD_LIMIT_SOURCE) |                           \
	 BIT(GATE25_REASON_WOULD_LIMIT_NETWORK))
#define LISTED BIT(GATE25_REASON_LIST)

#define LIMITS                                                                                     \
	"limits:\n"                                                                                \
	"  source: {rate: 300/min, burst: 150, action: drop, policy: observe}\n"                   \
	"  network: {rate: 3000/min, burst: 1500, action: drop, policy: observe}\n"
const char config_shipped[] = LIMITS, config_counting[] = LIMITS "  count: syns\n";

struct match_run {
	const struct match *match;
	struct group group;
	struct guard_run *shipped, *unlimited, *counting;
};

static bool wanted(const struct match *match, const char *what, const char *who)
{
	return group_wants("%s %s %s", match->name, what, who);
}

static bool rival_wanted(const struct match *match, const char *who)
{
	return wanted(match, "hit", who) || wanted(match, "miss", who);
}

static bool guard_wanted(const struct match *match)
{
	return rival_wanted(match, "gate25") || rival_wanted(match, "gate25 in the wrapper") ||
	       rival_wanted(match, "gate25 without limits") ||
	       rival_wanted(match, "gate25 counting SYNs");
}

static bool match_wanted(const struct match *match)
{
	bool any = guard_wanted(match) || group_wants("%s pass-only", match->name) ||
		   group_wants("%s drop-only", match->name);

	for (int i = 0; i < rivals_count && !options->quick; i++)
		any |= rival_wanted(match, rivals[i].name);
	return any;
}

/* With the limits of the shipped configuration (they observe), without, and as where mail is only forwarded. */
static int guards_start(struct match_run *run)
{
	const struct match *match = run->match;
	struct guard_wish wish = { .name = "g0",
				   .file = match->file,
				   .format = match->format,
				   .config = config_shipped,
				   .entries = 1 };
	int error = guard_start(&wish, &run->shipped);

	wish.name = "g1";
	wish.config = "";
	if (!error)
		error = guard_start(&wish, &run->unlimited);
	wish.name = "g2";
	wish.config = config_counting;
	return error ? error : guard_start(&wish, &run->counting);
}

static int guards_add(struct match_run *run)
{
	const struct match *match = run->match;
	struct group *group = &run->group;
	struct subject *direct, *shipped, *unlimited, *counting;
	int error = guards_start(run);

	if (error)
		return error;
	direct = group_subject(group);
	shipped = group_subject(group);
	unlimited = group_subject(group);
	counting = group_subject(group);
	error = subject_guard(direct, run->shipped);
	if (!error)
		error = subject_guard_wrapped(shipped, run->shipped, "w0");
	if (!error)
		error = subject_guard_wrapped(unlimited, run->unlimited, "w1");
	if (!error)
		error = subject_guard_wrapped(counting, run->counting, "w2");
	if (error)
		return error;
	group_row(group, direct, &match->hit, LISTED, "%s hit gate25", match->name);
	group_row(group, shipped, &match->hit, LISTED, "%s hit gate25 in the wrapper", match->name);
	group_row(group, shipped, &match->miss, PASSED, "%s miss gate25", match->name);
	group_row(group, unlimited, &match->miss, BIT(GATE25_REASON_OK),
		  "%s miss gate25 without limits", match->name);
	group_row(group, counting, &match->miss, PASSED, "%s miss gate25 counting SYNs",
		  match->name);
	return 0;
}

static int measures_add(struct match_run *run)
{
	struct group *group = &run->group;
	struct subject *drop = group_subject(group), *pass = group_subject(group);
	int error = subject_drop_all(drop, "drop");

	if (!error)
		error = subject_pass_all(pass, "pass");
	if (error)
		return error;
	group_row(group, drop, &run->match->hit, 0, "%s drop-only", run->match->name);
	group_row(group, pass, &run->match->hit, 0, "%s pass-only", run->match->name);
	return 0;
}

static int rival_add(struct match_run *run, const struct rival *rival)
{
	const struct match *match = run->match;
	const char *why = rival->refuses ? rival->refuses(match->entries) : NULL;
	struct subject *subject;
	double began;
	int error;

	if (!rival_wanted(match, rival->name))
		return 0;
	if (why) {
		printf("%s, %s: left out, %s\n", match->name, rival->name, why);
		return 0;
	}
	subject = group_subject(&run->group);
	subject->name = rival->name;
	began = seconds_now();
	error = rival->make(subject, match->entries);
	if (seconds_now() - began > 5)
		log_info("%s, %s: %.0f s to load", match->name, rival->name, seconds_now() - began);
	if (error) {
		log_error("%s, %s: left out, it could not be set up", match->name, rival->name);
		if (!subject->close)
			device_remove(&subject->device);
		return error;
	}
	group_row(&run->group, subject, &match->hit, BIT(TALLY_LISTED), "%s hit %s", match->name,
		  rival->name);
	if (!rival->passes)
		group_row(&run->group, subject, &match->miss, BIT(TALLY_OTHER), "%s miss %s",
			  match->name, rival->name);
	return 0;
}

int match_measure(const struct match *match)
{
	struct match_run *run;
	int error, failed = 0;

	if (!match_wanted(match))
		return 0;
	run = calloc(1, sizeof(*run));
	if (!run)
		return -ENOMEM;
	run->match = match;
	run->group.title = match->name;
	error = measures_add(run);
	if (!error && guard_wanted(match))
		error = guards_add(run);
	for (int i = 0; i < rivals_count && !error && !options->quick; i++)
		failed |= rival_add(run, &rivals[i]);
	if (!error) {
		error = group_measure(&run->group);
		report_group(&run->group);
	}
	group_close(&run->group);
	guard_stop(run->shipped);
	guard_stop(run->unlimited);
	guard_stop(run->counting);
	free(run);
	return error ? error : failed;
}

/* ---------------------------------------------------------------- lists */

#define LIST_FILE "/run/bench/list"

static int match_entries(struct match *match, struct entries *entries)
{
	int error = entries_write(entries, LIST_FILE);

	match->entries = entries;
	match->file = LIST_FILE;
	match->format = "plain";
	if (!error)
		error = match_measure(match);
	unlink(LIST_FILE);
	return error;
}

int matches_random(void)
{
	static const struct {
		const char *name;
		__u32 count;
	} sizes[] = {
		{ "1k", 1000 },	   { "10k", 10000 },  { "100k", 100000 },
		{ "1M", 1000000 }, { "2M", 2000000 },
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct match match = { .name = sizes[i].name };
		struct entries entries = { 0 };
		int error = 0;

		if (!match_wanted(&match))
			continue;
		aim_hosts(&match.hit, FRAME_SYN4, 0, sizes[i].count);
		aim_hosts(&match.miss, FRAME_SYN4, MISS_BASE, MISS_COUNT);
		error = entries_hosts(&entries, sizes[i].count);
		if (!error)
			error = match_entries(&match, &entries);
		entries_free(&entries);
		failed |= error;
	}
	return failed ? -EIO : 0;
}

#define FEEDS "../shared/feeds"

static int match_real(const char *name, const char *file, enum list_format format)
{
	struct match match = { .name = name, .format = list_format_name(format) };
	char path[PATH_MAX];
	struct entries entries = { 0 };
	int error;

	if (!match_wanted(&match))
		return 0;
	if (access(file, R_OK)) {
		printf("%s: skipped, there is no %s\n", name, file);
		return 0;
	}
	error = entries_read(&entries, file, format);
	match.file = realpath(file, path);
	match.entries = &entries;
	aim_pool(&match.hit, FRAME_SYN4, 0, POOL_HALF);
	aim_pool(&match.miss, FRAME_SYN4, POOL_HALF, POOL_HALF);
	if (!error)
		error = entries_pool(&entries);
	if (!error)
		error = match_measure(&match);
	entries_free(&entries);
	return error;
}

int matches_real(void)
{
	int failed = match_real("UCEPROTECT", FEEDS "/dnsbl-1.uceprotect.net", LIST_RBLDNSD);

	failed |= match_real("ipsum", FEEDS "/ipsum-level-2.txt", LIST_PLAIN);
	return failed ? -EIO : 0;
}

int match_networks6(void)
{
	struct match match = { .name = "IPv6 100k" };
	struct entries entries = { 0 };
	int error;

	if (!match_wanted(&match))
		return 0;
	aim_pool(&match.hit, FRAME_SYN6, 0, POOL_HALF);
	aim_pool(&match.miss, FRAME_SYN6, POOL_HALF, POOL_HALF);
	error = entries_networks6(&entries, 100000);
	if (!error)
		error = entries_pool(&entries);
	if (!error)
		error = match_entries(&match, &entries);
	entries_free(&entries);
	return error;
}
