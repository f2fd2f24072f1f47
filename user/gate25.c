// SPDX-License-Identifier: GPL-2.0-only
/*
 * gate25, the command line: reads the global options and dispatches to a subcommand.
 *
 * In: argv. Out: what the subcommand prints, and its exit code.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/command.h"
#include "user/log.h"
#include "user/record.h"
#include "user/worker.h"

static const struct {
	const char *title;
	const struct command *commands;
} groups[] = {
	{ "See what it does", commands_show },
	{ "Put it in force, and take it back", commands_guard },
	{ "Single addresses and networks", commands_entries },
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < GROUPS; i++)
		for (const struct command *command = groups[i].commands; command->name; command++)
			if (!strcmp(command->name, name))
				return command;
	return NULL;
}

static void usage(FILE *to)
{
	fputs("usage: gate25 [-c FILE] [-j] COMMAND [ARGUMENT]…\n", to);
}

static void help(void)
{
	usage(stdout);
	puts("\nGuards the mail ports of this host: who is listed is stopped at the network "
	     "interface.");
	for (size_t i = 0; i < GROUPS; i++) {
		printf("\n%s:\n", groups[i].title);
		for (const struct command *command = groups[i].commands; command->name; command++)
			if (command->summary) /* an alias has none */
				printf("  %-9s %s\n", command->name, command->summary);
	}
	printf("\nOptions:\n"
	       "  -c, --config FILE  the configuration (%s)\n"
	       "  -j, --json         JSON on stdout: {\"schema\": 1, \"results\": […]}\n"
	       "  -h, --help         this text; gate25 COMMAND --help tells more of a command\n"
	       "  -V, --version      the version\n"
	       "\nExit codes: 0 done, 1 failed, 2 usage, 3 an address that was tested is not "
	       "blocked,\n"
	       "4 not loaded, 5 no permission.\n",
	       CONFIG_DEFAULT);
}

static void command_usage(const struct command *command, FILE *to)
{
	fprintf(to, "usage: gate25 %s%s%s\n", command->name, command->arguments[0] ? " " : "",
		command->arguments);
}

static int command_help(const struct command *command)
{
	command_usage(command, stdout);
	if (command->summary)
		printf("\n%c%s.\n", toupper((unsigned char)command->summary[0]),
		       command->summary + 1);
	if (command->help)
		printf("\n%s", command->help);
	return EXIT_DONE;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

static int command_run(struct cli *cli, int argc, char **argv)
{
	int code;

	cli->command = command_find(argv[0]);
	if (!cli->command) {
		cli_note("gate25: there is no command %s; gate25 --help lists them", argv[0]);
		return EXIT_USAGE;
	}
	if (wants_help(argc, argv))
		return command_help(cli->command);
	code = cli->command->run(cli, argc, argv);
	if (cli_misused())
		command_usage(cli->command, stderr);
	if (code == EXIT_PERMISSION && geteuid() != 0)
		cli_fail(cli, code, "run as root");
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "gate25: cannot write to stdout: %s\n", strerror(errno));
		code = code == EXIT_DONE ? EXIT_FAILED : code;
	}
	cli_close(cli);
	return code;
}

/* Up to the command; what stands behind it is the command's. */
static int options_read(struct cli *cli, int argc, char **argv, bool *want_help, bool *want_version)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;

	opterr = 0;
	while ((letter = getopt_long(argc, argv, "+:c:jhV", options, NULL)) != -1) {
		switch (letter) {
		case 'c':
			cli->config_path = optarg;
			break;
		case 'j':
			cli->json = true;
			break;
		case 'h':
			*want_help = true;
			break;
		case 'V':
			*want_version = true;
			break;
		case ':':
			return cli_fail(cli, EXIT_USAGE, "%s wants a value", argv[optind - 1]);
		default:
			return cli_fail(cli, EXIT_USAGE, "unknown option %s", argv[optind - 1]);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct cli cli = {
		.config_path = CONFIG_DEFAULT,
		.lock_fd = -1,
		.lock_wait_s = CLI_LOCK_WAIT_S,
	};
	bool want_help = false, want_version = false;
	static char *const version[] = { "version", NULL };

	if (worker_is_wanted(argc, argv))
		return worker_main();
	setlocale(LC_CTYPE, "");	 /* so that tables know the width of what is not ASCII */
	log_init("gate25", LOG_WARNING); /* what went well, the commands say themselves */
	record_command(argc, argv);
	if (options_read(&cli, argc, argv, &want_help, &want_version)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (want_help || (optind < argc && !strcmp(argv[optind], "help") && optind + 1 == argc)) {
		help();
		return EXIT_DONE;
	}
	if (want_version)
		return command_run(&cli, 1, (char **)version);
	if (optind == argc) {
		usage(stderr);
		fputs("gate25 --help lists the commands\n", stderr);
		return EXIT_USAGE;
	}
	return command_run(&cli, argc - optind, argv + optind);
}
