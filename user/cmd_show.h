/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the commands that only look share.
 *
 *   cmd_show.c (log, version, the table)  cmd_test.c (test)  cmd_lists.c (lists)
 *   cmd_status.c (status)  status.h and the files behind it
 */
#ifndef GATE25_CMD_SHOW_H
#define GATE25_CMD_SHOW_H

#include <jansson.h>

#include "user/command.h"

int status_run(struct cli *cli, int argc, char **argv);
int test_run(struct cli *cli, int argc, char **argv);
int lists_run(struct cli *cli, int argc, char **argv);

/* test --domain (cmd_domain.c), of the service in that slot. An exit code. */
struct asker;
int test_domain(struct cli *cli, struct asker *asker, int slot, const char *domain);

/* gate25 lists VERB (cmd_presets.c, cmd_try.c, cmd_refresh.c, cmd_gates.c, cmd_list_show.c). argv[0] is the verb. */
int lists_show_run(struct cli *cli, int argc, char **argv);
int lists_diff_run(struct cli *cli, int argc, char **argv);
int lists_accept_run(struct cli *cli, int argc, char **argv);
int lists_presets_run(struct cli *cli, int argc, char **argv);
int lists_enable_run(struct cli *cli, int argc, char **argv);
int lists_try_run(struct cli *cli, int argc, char **argv);
int lists_refresh_run(struct cli *cli, int argc, char **argv);

/* The list that is the one argument of a verb. 0, or the exit code with the message printed. */
int list_argument(struct cli *cli, int argc, char **argv, const char *verb,
		  const struct config_list **out);
/* What was last read of a list with success, or its entries. -ENOENT: nothing was. */
int list_image_open(const struct config *config, const struct config_list *list,
		    struct list_image **out);

/*
 * One object a list, of the configuration and of the generation in force (NULL: none), in that
 * order: name, kind, weight, action, policy, services, entries4, entries6, hits, last_success,
 * next_refresh, error, held (the gate that does, or null), expired, changed, left_out, in_force,
 * configured. NULL: out of memory. `guard` may be NULL too.
 */
json_t *lists_describe(const struct config *config, bool config_whole, struct guard *guard,
		       const struct gate25_generation *generation);

/* Names of services by slot, as an array; all of them is ["all"]. */
json_t *services_json(const struct guard *guard, const struct gate25_generation *generation,
		      __u8 slots);

#endif
