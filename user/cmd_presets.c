// SPDX-License-Identifier: GPL-2.0-only
/*
 * lists presets, lists enable: known lists, with where they come from and on what terms.
 */
#include "user/cmd_show.h"

int lists_presets_run(struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return cli_fail(cli, EXIT_FAILED, "no preset is installed");
}

int lists_enable_run(struct cli *cli, int argc, char **argv)
{
	(void)argc;
	return cli_fail(cli, EXIT_FAILED, "%s: no preset of that name is installed",
			argv[argc - 1]);
}
