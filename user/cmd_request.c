// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arguments of the commands over manual entries: options, and addresses from the command line or
 * standard input.
 *
 * In: argv, stdin. Out: a struct request, or messages that say what is wrong, all lines of stdin at
 * once. Standard input is read before any lock is taken: who writes to it may take his time.
 */
#include "user/cmd_entries.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/until.h"

#define COMPLAINTS 10	      /* lines of stdin that are named */
#define LINE_BYTES 1024	      /* no address with a comment needs more */
#define LINES_MOST (16 << 20) /* of stdin: whoever writes without end is told so */

static const struct option options[] = {
	{ "for", required_argument, NULL, 'f' },     { "until", required_argument, NULL, 'u' },
	{ "reason", required_argument, NULL, 'r' },  { "origin", required_argument, NULL, 'o' },
	{ "service", required_argument, NULL, 's' }, { "force", no_argument, NULL, 'F' },
	{ "strict", no_argument, NULL, 'S' },	     { "limit", required_argument, NULL, 'l' },
	{ "json", no_argument, NULL, 'j' },	     { NULL, 0, NULL, 0 },
};

static unsigned int option_bits(int letter)
{
	switch (letter) {
	case 'f':
		return TAKES_TIME | TAKES_FOR;
	case 'u':
		return TAKES_TIME;
	case 'r':
		return TAKES_REASON;
	case 'o':
		return TAKES_ORIGIN;
	case 's':
		return TAKES_SERVICE;
	case 'F':
		return TAKES_FORCE;
	case 'S':
		return TAKES_STRICT;
	case 'l':
		return TAKES_LIMIT;
	default:
		return ~0U;
	}
}

/* ---------------------------------------------------------------- values of options */

static int for_read(struct cli *cli, const char *text, struct request *out)
{
	const char *why = NULL;
	__u64 now_s = time(NULL);

	if (for_parse(text, now_s, &out->expires_s, &why))
		return cli_fail(cli, EXIT_USAGE, "--for %s: %s", text, why);
	out->for_s = out->expires_s - now_s;
	return 0;
}

static int until_read(struct cli *cli, const char *text, struct request *out)
{
	const char *why = NULL;

	if (until_parse(text, time(NULL), &out->expires_s, &why))
		return cli_fail(cli, EXIT_USAGE, "--until %s: %s", text, why);
	return 0;
}

static int reason_read(struct cli *cli, const char *text, struct request *out)
{
	json_t *string = json_string(text); /* NULL for what is not UTF-8 */
	bool control = false;

	json_decref(string);
	for (const char *at = text; *at; at++)
		control |= (unsigned char)*at < ' ' || *at == 0x7f;
	if (!string || control)
		return cli_fail(cli, EXIT_USAGE, "--reason: one line of UTF-8 text is wanted");
	if (strlen(text) >= ENTRY_REASON)
		return cli_fail(cli, EXIT_USAGE, "--reason: more than %d bytes", ENTRY_REASON - 1);
	out->reason = text;
	return 0;
}

static int origin_read(struct cli *cli, const char *text, struct request *out)
{
	size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._-");

	if (!length || text[length] || length >= ENTRY_ORIGIN)
		return cli_fail(cli, EXIT_USAGE,
				"--origin %s: a name of letters, digits, '.', '_' and '-' is "
				"wanted, of at most %d",
				text, ENTRY_ORIGIN - 1);
	out->origin = text;
	return 0;
}

/* "--service mx --service submission" is "--service mx,submission". */
static int service_read(struct cli *cli, const char *text, struct request *out)
{
	char *joined;

	if (!*text ||
	    strlen(text) + (out->services ? strlen(out->services) : 0) + 2 > ENTRY_SERVICES)
		return cli_fail(cli, EXIT_USAGE, "--service %s: the name of a service is wanted",
				text);
	if (asprintf(&joined, "%s%s%s", out->services ? out->services : "",
		     out->services ? "," : "", text) < 0)
		return cli_fail(cli, EXIT_FAILED, "out of memory");
	free(out->services);
	out->services = joined;
	return 0;
}

static int limit_read(struct cli *cli, const char *text, struct request *out)
{
	char *end;

	errno = 0;
	out->limit = strtoul(text, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*text) || !out->limit)
		return cli_fail(cli, EXIT_USAGE, "--limit %s: a number of at least 1 is wanted",
				text);
	return 0;
}

static int option_read(struct cli *cli, int letter, struct request *out)
{
	switch (letter) {
	case 'f':
		return for_read(cli, optarg, out);
	case 'u':
		return until_read(cli, optarg, out);
	case 'r':
		return reason_read(cli, optarg, out);
	case 'o':
		return origin_read(cli, optarg, out);
	case 's':
		return service_read(cli, optarg, out);
	case 'F':
		out->force = true;
		return 0;
	case 'S':
		out->strict = true;
		return 0;
	case 'l':
		return limit_read(cli, optarg, out);
	default:
		cli->json = true;
		return 0;
	}
}

static int options_read(struct cli *cli, unsigned int takes, int argc, char **argv,
			struct request *out)
{
	bool timed[2] = { false };
	int letter, index = 0, code = 0;

	optind = 0; /* glibc: from the start, whatever main() has read before */
	opterr = 0;
	while (!code && (letter = getopt_long(argc, argv, ":j", options, &index)) != -1) {
		if (letter == ':')
			return cli_fail(cli, EXIT_USAGE, "%s wants a value", argv[optind - 1]);
		if (letter == '?')
			return cli_fail(cli, EXIT_USAGE, "unknown option %s", argv[optind - 1]);
		if (!(takes & option_bits(letter)))
			return cli_fail(cli, EXIT_USAGE, "there is no --%s here",
					options[index].name);
		timed[0] |= letter == 'f';
		timed[1] |= letter == 'u';
		code = option_read(cli, letter, out);
	}
	if (!code && timed[0] && timed[1])
		code = cli_fail(cli, EXIT_USAGE, "--for and --until exclude each other");
	return code;
}

/* ---------------------------------------------------------------- addresses */

const char *target_format(const struct target *target, char text[static TARGET_TEXT])
{
	char prefix[PREFIX_TEXT];

	prefix_format(&target->prefix, prefix);
	if (target->line)
		snprintf(text, TARGET_TEXT, "%s (line %zu)", prefix, target->line);
	else
		snprintf(text, TARGET_TEXT, "%s", prefix);
	return text;
}

/* What is being read, from either place. */
struct intake {
	struct cli *cli;
	struct request *request;
	size_t room, complaints;
	size_t most; /* different addresses and networks */
	size_t line; /* 0: arguments */
};

static void complain(struct intake *intake, const char *text, const char *why)
{
	if (++intake->complaints > COMPLAINTS)
		return;
	if (intake->line)
		cli_fail(intake->cli, EXIT_USAGE, "line %zu: %s: %s", intake->line, text, why);
	else
		cli_fail(intake->cli, EXIT_USAGE, "%s: %s", text, why);
}

/*
 * The prefix that "192.0.2.7/24" may have been meant for: true if nothing but host bits is wrong.
 */
static bool prefix_meant(const struct config *config, const char *text, struct prefix *out)
{
	const char *slash = strchr(text, '/'), *why = NULL;
	char address[PREFIX_TEXT], *end;
	unsigned long length;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return false;
	memcpy(address, text, slash - text);
	address[slash - text] = '\0';
	length = strtoul(slash + 1, &end, 10);
	if (*end || !isdigit((unsigned char)slash[1]) ||
	    prefix_parse(address, config->translated, config->translated_count, out, &why) ||
	    length > out->length)
		return false;
	out->length = length;
	prefix_mask(out);
	return true;
}

static int target_compare(const void *a, const void *b)
{
	const struct target *p = a, *q = b;
	int order = prefix_compare(&p->prefix, &q->prefix);

	return order ? order : (p->line > q->line) - (p->line < q->line);
}

static void targets_sort(struct request *request)
{
	size_t kept = 0;

	if (!request->count)
		return;
	qsort(request->targets, request->count, sizeof(*request->targets), target_compare);
	for (size_t i = 1; i < request->count; i++)
		if (!prefix_equal(&request->targets[kept].prefix, &request->targets[i].prefix))
			request->targets[++kept] = request->targets[i];
	request->count = kept + 1;
}

/* Doubles make no room necessary. -E2BIG: there are more than the overlay could hold. */
static int room_make(struct intake *intake)
{
	struct request *request = intake->request;
	struct target *more;
	size_t room;

	if (request->count < intake->room)
		return 0;
	targets_sort(request);
	if (request->count >= intake->most)
		return -E2BIG;
	if (intake->room && request->count <= intake->room / 2)
		return 0;
	room = intake->room ? 2 * intake->room : 64;
	more = realloc(request->targets, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	request->targets = more;
	intake->room = room;
	return 0;
}

static int target_add(struct intake *intake, const char *text)
{
	const struct config *config = intake->cli->config;
	struct request *request = intake->request;
	char why_text[PREFIX_TEXT + 64], network[PREFIX_TEXT];
	struct prefix prefix, meant;
	const char *why = NULL;
	int error;

	if (prefix_parse(text, config->translated, config->translated_count, &prefix, &why)) {
		if (prefix_meant(config, text, &meant)) {
			snprintf(why_text, sizeof(why_text), "host bits are set; the network is %s",
				 prefix_format(&meant, network));
			why = why_text;
		}
		complain(intake, text, why);
		return 0;
	}
	error = room_make(intake);
	if (error)
		return error;
	request->targets[request->count++] =
		(struct target){ .prefix = prefix, .line = intake->line };
	return 0;
}

/* One address a line; '#' begins a comment, blank lines are fine. */
static int line_read(struct intake *intake, char *line, size_t length)
{
	char *end;

	if (strlen(line) != length) {
		complain(intake, line, "a NUL byte");
		return 0;
	}
	line[strcspn(line, "#")] = '\0';
	line += strspn(line, " \t\r\n");
	end = line + strcspn(line, " \t\r\n");
	if (*end && end[strspn(end, " \t\r\n")]) {
		complain(intake, line, "one address a line is wanted; '#' begins a comment");
		return 0;
	}
	*end = '\0';
	return *line ? target_add(intake, line) : 0;
}

/* A line without its end, or -1: there is none. Longer ones stop at LINE_BYTES. */
static ssize_t line_take(char line[static LINE_BYTES + 1])
{
	ssize_t length = 0;
	int c = EOF;

	while (length < LINE_BYTES && (c = getc_unlocked(stdin)) != EOF && c != '\n')
		line[length++] = (char)c;
	line[length] = '\0';
	return length || c != EOF ? length : -1;
}

static int stdin_read(struct intake *intake)
{
	char line[LINE_BYTES + 1];
	ssize_t length;
	int error = 0;

	while (!error && (length = line_take(line)) >= 0) {
		if (++intake->line > LINES_MOST)
			return -EFBIG;
		if (length == LINE_BYTES)
			return -EMSGSIZE;
		error = line_read(intake, line, length);
	}
	return !error && ferror(stdin) ? -EIO : error;
}

static bool is_host(const struct prefix *prefix)
{
	return prefix->length == (prefix->address.family == 4 ? 32 : 128);
}

/* What makes entries cannot make more than there is room for; what removes them may name others, too. */
static size_t targets_most(const struct cli *cli, unsigned int takes)
{
	return (takes & TAKES_TIME) && cli->config_whole ? cli->config->overlay_entries :
							   CONFIG_OVERLAY_MOST;
}

static int intake_stopped(const struct intake *intake, int error)
{
	switch (error) {
	case -E2BIG:
		return cli_fail(intake->cli, EXIT_FAILED,
				"more than %zu different addresses and networks: the overlay holds "
				"no more (overlay.max_entries); so many belong into a list: "
				"`lists:`. Nothing was changed",
				intake->most);
	case -EFBIG:
		return cli_fail(
			intake->cli, EXIT_FAILED,
			"more than %d lines: this seems to have no end. Nothing was changed",
			LINES_MOST);
	case -EMSGSIZE:
		return cli_fail(intake->cli, EXIT_USAGE,
				"line %zu: longer than %d bytes: one address a line is wanted. "
				"Nothing was changed",
				intake->line, LINE_BYTES - 1);
	default:
		return cli_fail(intake->cli, EXIT_FAILED, "cannot read the addresses: %s",
				strerror(-error));
	}
}

static int targets_read(struct cli *cli, unsigned int takes, int argc, char **argv,
			struct request *out)
{
	struct intake intake = { .cli = cli, .request = out, .most = targets_most(cli, takes) };
	int error = 0;

	out->from_stdin = argc == 1 && !strcmp(argv[0], "-") && !(takes & TAKES_ADDRESS);
	if (out->from_stdin)
		error = stdin_read(&intake);
	for (int i = 0; !error && !out->from_stdin && i < argc; i++)
		error = target_add(&intake, argv[i]);
	if (!error) {
		targets_sort(out);
		error = out->count > intake.most ? -E2BIG : 0;
	}
	if (error)
		return intake_stopped(&intake, error);
	if (intake.complaints > COMPLAINTS)
		cli_fail(cli, EXIT_USAGE, "and %zu more like these",
			 intake.complaints - COMPLAINTS);
	if (intake.complaints && out->from_stdin)
		return cli_fail(cli, EXIT_USAGE, "nothing was changed");
	if (intake.complaints)
		return EXIT_USAGE;
	if ((takes & TAKES_ADDRESS) && !is_host(&out->targets[0].prefix))
		return cli_fail(cli, EXIT_USAGE, "%s: one address is wanted, not a network",
				argv[0]);
	return 0;
}

int request_read(struct cli *cli, unsigned int takes, int argc, char **argv, struct request *out)
{
	int code;

	*out = (struct request){ .expires_s = GATE25_NEVER };
	code = options_read(cli, takes, argc, argv, out);
	if (code)
		return code;
	argc -= optind;
	argv += optind;
	if (!(takes & (TAKES_ADDRESSES | TAKES_ADDRESS)) && argc)
		return cli_fail(cli, EXIT_USAGE, "%s: no address is wanted here", argv[0]);
	if ((takes & TAKES_ADDRESS) && argc != 1)
		return cli_fail(cli, EXIT_USAGE, "one address is wanted");
	if ((takes & TAKES_ADDRESSES) && !argc)
		return cli_fail(cli, EXIT_USAGE,
				"an address is wanted, or - to read them from standard input");
	code = cli_paths(cli);
	return code ? code : targets_read(cli, takes, argc, argv, out);
}

void request_free(struct request *request)
{
	free(request->services);
	free(request->targets);
}
