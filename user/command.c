// SPDX-License-Identifier: GPL-2.0-only
/*
 * The context of a subcommand: configuration, guard and lock at first use, options, messages.
 *
 * In: -c FILE, argv. Out: 0 or an exit code, with the message printed.
 */
#include "user/command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/print.h"

/* ---------------------------------------------------------------- messages */

static bool misused;

/* What somebody else wrote may be in it. */
static void tame_print(const char *format, va_list arguments)
{
	char *text;

	if (vasprintf(&text, format, arguments) < 0)
		return;
	fprintf(stderr, "%s\n", text_tame(text, false));
	free(text);
}

static void complain(const struct cli *cli, const char *format, va_list arguments)
{
	fflush(stdout); /* on a terminal the two stand in their order */
	if (cli && cli->command)
		fprintf(stderr, "gate25 %s: ", cli->command->name);
	else
		fprintf(stderr, "gate25: ");
	tame_print(format, arguments);
}

int cli_fail(const struct cli *cli, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(cli, format, arguments);
	va_end(arguments);
	misused |= code == EXIT_USAGE;
	return code;
}

bool cli_misused(void)
{
	return misused;
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	va_start(arguments, format);
	tame_print(format, arguments);
	va_end(arguments);
}

void cli_say(const struct cli *cli, const char *format, ...)
{
	va_list arguments;

	if (cli->json)
		return;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

int cli_exit_code(int error)
{
	if (!error)
		return EXIT_DONE;
	if (error == -EPERM || (error == -EACCES && geteuid() != 0))
		return EXIT_PERMISSION;
	return EXIT_FAILED;
}

int cli_results(const struct cli *cli, json_t *results, int code)
{
	if (!cli->json) {
		json_decref(results);
		return code;
	}
	if (print_json(results) && code == EXIT_DONE)
		return cli_fail(cli, EXIT_FAILED, "cannot print the results");
	return code;
}

/* ---------------------------------------------------------------- context */

/*
 * Only what keeps the file from being used is shown: doubts are for `check`, `load` and `reload`.
 */
static int config_try(struct cli *cli, struct config **out, char **said)
{
	size_t bytes;
	FILE *messages = open_memstream(said, &bytes);
	int error;

	if (!messages)
		return -ENOMEM;
	error = config_read(cli->config_path, messages, out);
	fclose(messages);
	return error;
}

int cli_config(struct cli *cli)
{
	struct config *config = NULL;
	char *said = NULL;
	int error;

	if (cli->config_whole)
		return 0;
	error = config_try(cli, &config, &said);
	if (error) {
		fflush(stdout);
		fputs(said ? text_tame(said, true) : "gate25: out of memory\n", stderr);
	} else {
		cli->former = cli->config;
		cli->config = config;
		cli->config_whole = true;
	}
	free(said);
	return cli_exit_code(error);
}

int cli_paths(struct cli *cli)
{
	struct config *config = NULL;
	char *said = NULL;
	int error;

	if (cli->config)
		return 0;
	error = config_try(cli, &config, &said);
	free(said);
	cli->config_whole = !error;
	if (error) {
		if (config_read_paths(cli->config_path, NULL, &config))
			return cli_fail(cli, EXIT_FAILED, "out of memory");
		cli_note(
			"warning: %s cannot be used (gate25 check says why); going on with pin_dir "
			"%s and state_dir %s",
			cli->config_path, config->pin_dir, config->state_dir);
	}
	cli->config = config;
	return 0;
}

bool cli_pinned(const struct cli *cli)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/names", cli->config->pin_dir);
	return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

int cli_may_change(struct cli *cli)
{
	int code = cli_paths(cli);

	if (code || !faccessat(AT_FDCWD, cli->config->pin_dir, W_OK | X_OK, AT_EACCESS))
		return code;
	return errno == EACCES || errno == EPERM ? EXIT_PERMISSION : 0;
}

int cli_guard(struct cli *cli)
{
	int code = cli_paths(cli), error;

	if (code || cli->guard)
		return code;
	if (!cli_pinned(cli))
		return cli_fail(cli, EXIT_NOT_LOADED,
				"not loaded: nothing is pinned in %s; put it in force: gate25 load",
				cli->config->pin_dir);
	/* A part that is missing is no "not loaded": the program may go on dropping. */
	error = guard_open(cli->config->pin_dir, &cli->guard);
	return cli_exit_code(error);
}

int cli_lock(struct cli *cli)
{
	int code = cli_paths(cli), fd;

	if (code || cli->lock_fd >= 0)
		return code;
	fd = guard_lock(cli->config->run_dir, cli->lock_wait_s);
	if (fd < 0)
		return cli_exit_code(fd);
	cli->lock_fd = fd;
	return 0;
}

void cli_unlock(struct cli *cli)
{
	if (cli->lock_fd >= 0)
		close(cli->lock_fd);
	cli->lock_fd = -1;
}

void cli_close(struct cli *cli)
{
	guard_close(cli->guard);
	cli_unlock(cli);
	config_free(cli->config);
	config_free(cli->former);
	cli->guard = NULL;
	cli->config = cli->former = NULL;
}

/* ---------------------------------------------------------------- options */

static void options_list(const struct cli_option *options, struct option out[CLI_OPTIONS + 2])
{
	int count = 0;

	for (; count < CLI_OPTIONS && options[count].name; count++)
		out[count] = (struct option){
			.name = options[count].name,
			.has_arg = options[count].value ? required_argument : no_argument,
			.val = 256 + count,
		};
	out[count++] = (struct option){ .name = "json", .val = 'j' };
	out[count] = (struct option){ .name = NULL };
}

int cli_options(struct cli *cli, int argc, char **argv, const struct cli_option *options,
		int *operands_count, char ***operands)
{
	struct option list[CLI_OPTIONS + 2];
	int letter;

	options_list(options, list);
	optind = 0; /* glibc: from the start, whatever main() has read before */
	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":j", list, NULL)) != -1) {
		const struct cli_option *option = letter >= 256 ? &options[letter - 256] : NULL;

		if (letter == ':')
			return cli_fail(cli, EXIT_USAGE, "%s wants a value", argv[optind - 1]);
		if (letter == '?')
			return cli_fail(cli, EXIT_USAGE, "unknown option %s", argv[optind - 1]);
		if (!option)
			cli->json = true;
		else if (option->value)
			*option->value = optarg;
		else
			*option->flag = true;
	}
	*operands_count = argc - optind;
	*operands = argv + optind;
	return 0;
}
