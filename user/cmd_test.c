// SPDX-License-Identifier: GPL-2.0-only
/*
 * test: what would happen to a new connection from these addresses, and why.
 *
 * In: addresses, from the command line or standard input. Out: one line an address, in the order
 * given.
 */
#include "user/cmd_show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/ask.h"
#include "user/print.h"

#define TEXTS_MOST                                                                                 \
	16 /* addresses, for which each list is looked through for what it says of them */

struct question {
	struct cli *cli;
	struct gate25_source *addresses;
	size_t count, room;
	const char *domain; /* instead of addresses; or NULL */
	bool wrong;	    /* something was no address, and was named */
};

/* ---------------------------------------------------------------- addresses */

static bool address_read(const struct config *config, const char *text, struct gate25_source *out,
			 const char **why)
{
	struct prefix prefix;

	if (prefix_parse(text, config->translated, config->translated_count, &prefix, why))
		return false;
	*why = "one address is wanted, not a network";
	*out = prefix.address;
	return prefix.length == (prefix.address.family == 4 ? 32 : 128);
}

static int address_add(struct question *question, const char *text, size_t line)
{
	const char *why = NULL;

	if (question->count == question->room) {
		size_t room = question->room ? 2 * question->room : 64;
		void *more = realloc(question->addresses, room * sizeof(*question->addresses));

		if (!more)
			return -ENOMEM;
		question->addresses = more;
		question->room = room;
	}
	if (address_read(question->cli->config, text, &question->addresses[question->count],
			 &why)) {
		question->count++;
		return 0;
	}
	question->wrong = true;
	if (line)
		cli_note("gate25 test: line %zu: %s: %s", line, text, why);
	else
		cli_fail(question->cli, EXIT_USAGE, "%s: %s", text, why);
	return 0;
}

/* One address a line; '#' begins a comment, blank lines are fine. */
static int stdin_read(struct question *question)
{
	size_t room = 0, number = 0;
	char *line = NULL;
	int error = 0;

	while (!error && getline(&line, &room, stdin) > 0) {
		char *text = line, *end;

		number++;
		text[strcspn(text, "#")] = '\0';
		text += strspn(text, " \t\r\n");
		for (end = text + strlen(text); end > text && strchr(" \t\r\n", end[-1]); end--)
			end[-1] = '\0';
		if (*text)
			error = address_add(question, text, number);
	}
	if (!error && ferror(stdin))
		error = -EIO;
	free(line);
	return error;
}

/* What comes from a log may hold lines that are none: they are named, and the others answered. */
static int addresses_read(struct question *question, int argc, char **argv)
{
	struct cli *cli = question->cli;
	bool piped = argc == 1 && !strcmp(argv[0], "-");
	int error = 0;

	if (!argc)
		return cli_fail(cli, EXIT_USAGE,
				"an address is wanted, or - to read them from standard input");
	if (piped)
		error = stdin_read(question);
	else
		for (int i = 0; !error && i < argc; i++)
			error = address_add(question, argv[i], 0);
	if (error)
		return cli_fail(cli, EXIT_FAILED, "cannot read the addresses: %s",
				strerror(-error));
	return question->wrong && (!piped || !question->count) ? EXIT_USAGE : 0;
}

/* ---------------------------------------------------------------- services */

static int service_choose(const struct cli *cli, const struct asker *asker, const char *name,
			  int *slot)
{
	__u32 slots = ask_generation(asker)->services;
	char known[GATE25_SERVICES * (GATE25_NAME + 2)] = "";
	size_t used = 0;

	if (!name) {
		*slot = ask_service(asker);
		return 0;
	}
	*slot = guard_service_slot(cli->guard, name, false);
	if (*slot >= 0 && (slots >> *slot & 1))
		return 0;
	for (int i = 0; i < GATE25_SERVICES; i++)
		if (slots >> i & 1)
			used += snprintf(known + used, sizeof(known) - used, "%s%s",
					 used ? ", " : "", cli->guard->names->services[i]);
	return cli_fail(cli, EXIT_USAGE, "there is no service %s; there are: %s", name, known);
}

/* Where another service would answer otherwise: "; submission: PASS" */
static int others_say(struct asker *asker, const struct answer *answer, char *text, size_t room)
{
	__u32 slots = ask_generation(asker)->services & ~(1u << answer->service);
	struct answer other;
	size_t used = 0;
	int error;

	text[0] = '\0';
	for (int slot = 0; slot < GATE25_SERVICES; slot++) {
		if (!(slots >> slot & 1))
			continue;
		error = ask_verdict(asker, &answer->source, slot, &other);
		if (error)
			return error;
		if (strcmp(answer_word(answer), answer_word(&other)) != 0)
			used += snprintf(text + used, room - used, "; %s: %s", other.service_name,
					 answer_word(&other));
	}
	return 0;
}

static json_t *others_json(struct asker *asker, const struct answer *answer)
{
	__u32 slots = ask_generation(asker)->services & ~(1u << answer->service);
	json_t *object = json_object();
	struct answer other;

	for (int slot = 0; object && slot < GATE25_SERVICES; slot++)
		if ((slots >> slot & 1) && !ask_verdict(asker, &answer->source, slot, &other))
			json_object_set_new(object, other.service_name,
					    json_string(answer_word(&other)));
	return object;
}

/* ---------------------------------------------------------------- the command */

static int answer_tell(const struct cli *cli, struct asker *asker, const struct answer *answer,
		       bool others, json_t *results)
{
	char line[ANSWER_TEXT], rest[GATE25_SERVICES * (GATE25_NAME + 12)] = "";
	int error = 0;

	if (cli->json) {
		json_t *object = answer_json(answer);

		if (others)
			json_object_set_new(object, "others", others_json(asker, answer));
		return json_array_append_new(results, object) ? -ENOMEM : 0;
	}
	if (others)
		error = others_say(asker, answer, rest, sizeof(rest));
	printf("%s%s\n", answer_line(answer, line), rest);
	return error;
}

static int question_ask(const struct question *question, struct asker *asker, int slot, bool others,
			json_t *results)
{
	bool all_blocked = true;
	int error = 0;

	if (question->count <= TEXTS_MOST)
		ask_want_texts(asker);
	for (size_t i = 0; !error && i < question->count; i++) {
		struct answer answer;

		error = ask_address(asker, &question->addresses[i], slot, &answer);
		if (!error)
			error = answer_tell(question->cli, asker, &answer, others, results);
		if (!error && strcmp(answer_word(&answer), "BLOCKED") != 0)
			all_blocked = false;
	}
	if (error)
		return cli_exit_code(error);
	return all_blocked ? EXIT_DONE : EXIT_NOT_BLOCKED;
}

static int question_answer(const struct question *question, const char *service)
{
	struct cli *cli = question->cli;
	struct asker *asker = NULL;
	json_t *results;
	int code = cli_guard(cli), slot = 0, error;

	if (code)
		return code;
	error = ask_open(cli->config, cli->guard, &asker);
	if (error)
		return error == -ENOENT ? EXIT_NOT_LOADED : cli_exit_code(error);
	code = service_choose(cli, asker, service, &slot);
	if (!code && question->domain) {
		code = test_domain(cli, asker, slot, question->domain);
	} else if (!code) {
		results = json_array();
		code = question_ask(question, asker, slot, !service, results);
		if (question->wrong && (code == EXIT_DONE || code == EXIT_NOT_BLOCKED))
			code = EXIT_USAGE;
		code = cli_results(cli, results, code);
	}
	ask_close(asker);
	return code;
}

int test_run(struct cli *cli, int argc, char **argv)
{
	struct question question = { .cli = cli };
	const char *service = NULL;
	const struct cli_option options[] = { { "service", NULL, &service },
					      { "domain", NULL, &question.domain },
					      { NULL, NULL, NULL } };
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code)
		code = cli_paths(cli);
	if (!code && question.domain && argc)
		code = cli_fail(cli, EXIT_USAGE, "--domain stands alone, without addresses");
	if (!code && !question.domain)
		code = addresses_read(&question, argc, argv);
	if (!code)
		code = question_answer(&question, service);
	free(question.addresses);
	return code;
}
