/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stage for tests of the guard in force: network and mount namespaces of their own, a place for bpffs, veth pairs,
 * a configuration and tables of a few lists. All of it ends with the process.
 */
#ifndef GATE25_TEST_STAGE_H
#define GATE25_TEST_STAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "user/config.h"
#include "user/dataplane.h"
#include "user/lists/compile.h"

struct stage {
	char directory[32]; /* a tmpfs */
	char pin_dir[64];   /* not there yet, and no bpffs above it: guard_create() mounts one */
	char run_dir[64];
	struct config config; /* one interface "mx0", one service "mx" on port 25 */
};

int stage_enter(struct stage *stage);
void stage_leave(struct stage *stage);

/* Runs a command with arguments in them ("ip link del %s"); its exit status. */
int stage_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Makes both ends of a veth pair and sets them up. */
int stage_veth(const char *name, const char *peer);

struct stage_list {
	const char *name;
	__u32 id;
	bool allow, observe;
	const char *const *entries; /* prefixes; ended by NULL */
};

/* A table of some lists, each of weight 1 and threshold 1, for the service in slot 0. */
struct stage_table {
	struct compile_list lists[GATE25_LISTS];
	size_t count;
	struct compiled_table *compiled;
};
int stage_table_make(const struct stage_list *lists, size_t count, struct stage_table *out);
void stage_table_free(struct stage_table *table);

/* Makes a generation of `table`, puts it in force on `iface`, harvests. 0 or -errno. */
int stage_swap(const struct stage *stage, struct guard *guard, const struct stage_table *table,
	       const char *iface, enum attach_mode mode);
/* The same without putting it in force. */
int stage_load(const struct stage *stage, struct guard *guard, const struct stage_table *table,
	       const char *iface, struct instance **out);

#endif
