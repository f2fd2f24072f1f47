// SPDX-License-Identifier: GPL-2.0-only
/* The groups with sets of random IPv4 hosts, hit and missed at random by SYNs. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bpf/gate25.h"
#include "tools/bench/bench.h"
#include "tools/bench/groups.h"
#include "user/log.h"

#define PASSED                                                                                     \
	(BIT(GATE25_REASON_OK) | BIT(GATE25_REASON_WOULD_LIMIT_SOURCE) |                           \
	 BIT(GATE25_REASON_WOULD_LIMIT_NETWORK))
#define LISTED BIT(GATE25_REASON_LIST)

const char config_shipped[] =
	"limits:\n"
	"  source: {rate: 300/min, burst: 150, action: drop, policy: observe}\n"
	"  network: {rate: 3000/min, burst: 1500, action: drop, policy: observe}\n";

int hosts_write(const char *path, __u32 count)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return -errno;
	for (__u32 i = 0; i < count; i++) {
		__u32 host = mix(i);

		fprintf(file, "%u.%u.%u.%u\n", host >> 24, host >> 16 & 255, host >> 8 & 255,
			host & 255);
	}
	return fclose(file) ? -errno : 0;
}

struct set {
	const char *name;
	__u32 count;
	struct aim hit, miss;
	char file[64];
	struct group group;
	struct guard_run *shipped, *unlimited;
};

static bool set_wanted(const struct set *set)
{
	static const char *const names[] = { "hit gate25", "hit gate25 in the wrapper",
					     "miss gate25", "miss gate25 without limits" };
	bool wanted = group_wants("%s drop-only", set->name) ||
		      group_wants("%s pass-only", set->name);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		wanted |= group_wants("%s %s", set->name, names[i]);
	return wanted;
}

/* With the limits of the shipped configuration (they observe), and without. */
static int guards_add(struct set *set)
{
	struct guard_wish wish = { "g0", set->file, "plain", config_shipped, set->count };
	struct subject *direct, *shipped, *unlimited;
	int error;

	if (!group_wants("%s hit gate25", set->name) && !group_wants("%s miss gate25", set->name) &&
	    !group_wants("%s miss gate25 without limits", set->name))
		return 0;
	error = guard_start(&wish, &set->shipped);
	wish.name = "g1";
	wish.config = "";
	if (!error)
		error = guard_start(&wish, &set->unlimited);
	if (error)
		return error;
	direct = group_subject(&set->group);
	shipped = group_subject(&set->group);
	unlimited = group_subject(&set->group);
	error = subject_guard(direct, set->shipped);
	if (!error)
		error = subject_guard_wrapped(shipped, set->shipped, "w0");
	if (!error)
		error = subject_guard_wrapped(unlimited, set->unlimited, "w1");
	if (error)
		return error;
	group_row(&set->group, direct, &set->hit, LISTED, "%s hit gate25", set->name);
	group_row(&set->group, shipped, &set->hit, LISTED, "%s hit gate25 in the wrapper",
		  set->name);
	group_row(&set->group, shipped, &set->miss, PASSED, "%s miss gate25", set->name);
	group_row(&set->group, unlimited, &set->miss, BIT(GATE25_REASON_OK),
		  "%s miss gate25 without limits", set->name);
	return 0;
}

static int measures_add(struct set *set)
{
	struct subject *drop = group_subject(&set->group), *pass = group_subject(&set->group);
	int error = subject_drop_all(drop, "drop");

	if (!error)
		error = subject_pass_all(pass, "pass");
	if (error)
		return error;
	group_row(&set->group, drop, &set->hit, 0, "%s drop-only", set->name);
	group_row(&set->group, pass, &set->hit, 0, "%s pass-only", set->name);
	return 0;
}

static int set_measure(struct set *set)
{
	int error;

	set->group.title = set->name;
	snprintf(set->file, sizeof(set->file), "/run/bench/hosts-%u.txt", set->count);
	aim_hosts(&set->hit, FRAME_SYN4, 0, set->count);
	aim_hosts(&set->miss, FRAME_SYN4, MISS_BASE, MISS_COUNT);
	error = measures_add(set);
	if (!error)
		error = hosts_write(set->file, set->count);
	if (!error)
		error = guards_add(set);
	if (!error && set->group.rows_count > 1) {
		error = group_measure(&set->group);
		report_group(&set->group);
	}
	group_close(&set->group);
	guard_stop(set->shipped);
	guard_stop(set->unlimited);
	unlink(set->file);
	return error;
}

int sets_measure(void)
{
	static const struct {
		const char *name;
		__u32 count;
	} sizes[] = {
		{ "1k", 1000 },	   { "10k", 10000 },  { "100k", 100000 },
		{ "1M", 1000000 }, { "2M", 2000000 },
	};
	static struct set set;
	int error = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(&set, 0, sizeof(set));
		set.name = sizes[i].name;
		set.count = sizes[i].count;
		if (set_wanted(&set))
			error |= set_measure(&set);
	}
	return error ? -EIO : 0;
}
