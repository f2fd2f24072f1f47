// SPDX-License-Identifier: GPL-2.0-only
/*
 * lists try: of the clients that a mail server's log shows, which would this list have stopped?
 *
 * In: a list of the configuration or a file, and logs, plain or gzip. Out: how many of those that were taken and of
 * those that were turned away it names, and the foremost of them.
 */

#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "user/ask.h"
#include "user/cmd_show.h"
#include "user/feed_file.h"
#include "user/maillog.h"
#include "user/print.h"

#define LINE_BYTES  16384 /* what is longer is cut */
#define EXAMPLES    10
#define CLIENTS_MAX 4000000

struct client {
	struct gate25_source address;
	unsigned long long accepted, deferred, rejected;
	char name[MAILLOG_NAME];
};

struct client_ref {
	struct client *client;
};

/* What became of a client in all: the best of it. */
enum fate { FATE_ACCEPTED, FATE_DEFERRED, FATE_REJECTED, FATE_NEITHER, FATES };

static const struct {
	const char *key, *title;
} fates[FATES] = {
	{ "accepted", "a message accepted" },
	{ "deferred", "only deferred (4xx)" },
	{ "rejected", "only rejected" },
	{ "neither", "neither" },
};

struct tally {
	unsigned long long clients, messages; /* messages, or rejects */
};

struct trial {
	struct cli *cli;
	const char *name;
	const struct config_list *list; /* NULL: a file */
	struct list_image *image;
	struct {
		const char *name;
		struct list_image *image;
	} allow[GATE25_LISTS];
	size_t allow_count;
	void *tree; /* of clients, by address */
	struct client_ref *clients;
	size_t clients_count, clients_room;
	unsigned long long lines, known;
	struct tally named[FATES], rescued[FATES], others[FATES];
	json_t *examples;
};

/* ---------------------------------------------------------------- the list */

static int image_of_file(struct trial *trial, const char *path,
			 const struct parse_settings *settings, struct list_image **out)
{
	struct feed_identity identity;
	const char *why = "not a list";
	char *text = NULL;
	size_t length;
	int error;

	error = feed_file_read(path, &text, &length, &identity);
	if (error)
		return cli_fail(trial->cli, cli_exit_code(error), "%s: %s", path,
				feed_file_why(error));
	error = list_parse(text, length, settings, out, &why);
	free(text);
	return error ? cli_fail(trial->cli, EXIT_FAILED, "%s: %s", path, why) : 0;
}

static int image_of_operand(struct trial *trial, const char *format)
{
	const struct config *config = trial->cli->config;
	int number = format ? list_format_from_name(format) : LIST_AUTO;
	const struct parse_settings settings = {
		.format = number,
		.translated = config->translated,
		.translated_count = config->translated_count,
	};

	if (number < 0)
		return cli_fail(trial->cli, EXIT_USAGE, "--format %s: there is no such format",
				format);
	return image_of_file(trial, trial->name, &settings, &trial->image);
}

static int list_find(struct trial *trial, const char *format)
{
	struct parse_settings settings;
	struct cli *cli = trial->cli;
	int error;

	trial->list = config_list_find(cli->config, trial->name);
	if (!trial->list) {
		if (access(trial->name, F_OK))
			return cli_fail(cli, EXIT_FAILED,
					"there is no list %s in %s, and no file of that name",
					trial->name, cli->config_path);
		return image_of_operand(trial, format);
	}
	if (trial->list->allow)
		return cli_fail(cli, EXIT_USAGE, "%s is an allow list: it stops nobody",
				trial->name);
	error = list_image_open(cli->config, trial->list, &trial->image);
	if (error == -ENOENT && trial->list->file) {
		settings = config_list_settings(cli->config, trial->list);
		return image_of_file(trial, trial->list->file, &settings, &trial->image);
	}
	if (error == -ENOENT || error == -EBADMSG)
		return cli_fail(cli, EXIT_FAILED, "list %s was never read; read it: gate25 reload",
				trial->name);
	return error ? cli_fail(cli, cli_exit_code(error), "cannot read list %s: %s", trial->name,
				strerror(-error)) :
		       0;
}

/* One that was never read cannot help, here as in the guard. */
static void allow_find(struct trial *trial)
{
	const struct config *config = trial->cli->config;

	for (size_t i = 0; trial->cli->config_whole && i < config->lists_count; i++) {
		struct list_image *image = NULL;

		if (!config->lists[i].allow || list_image_open(config, &config->lists[i], &image))
			continue;
		trial->allow[trial->allow_count].name = config->lists[i].name;
		trial->allow[trial->allow_count++].image = image;
	}
}

/* ---------------------------------------------------------------- logs */

static int client_compare(const void *a, const void *b)
{
	const struct client *left = a, *right = b;

	if (left->address.family != right->address.family)
		return left->address.family < right->address.family ? -1 : 1;
	if (left->address.hi != right->address.hi)
		return left->address.hi < right->address.hi ? -1 : 1;
	return left->address.lo < right->address.lo ? -1 : left->address.lo > right->address.lo;
}

/* NULL: out of memory. */
static struct client *client_of(struct trial *trial, const struct gate25_source *address)
{
	struct client *client, **found, key = { .address = *address };

	found = tfind(&key, &trial->tree, client_compare);
	if (found)
		return *found;
	if (trial->clients_count == CLIENTS_MAX)
		return NULL;
	if (trial->clients_count == trial->clients_room) {
		size_t room = trial->clients_room ? 2 * trial->clients_room : 1024;
		void *more = realloc(trial->clients, room * sizeof(*trial->clients));

		if (!more)
			return NULL;
		trial->clients = more;
		trial->clients_room = room;
	}
	client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->address = *address;
	trial->clients[trial->clients_count++].client = client;
	return tsearch(client, &trial->tree, client_compare) ? client : NULL;
}

static int line_take(struct trial *trial, char *line)
{
	struct maillog_event event;
	struct client *client;

	line[strcspn(line, "\r\n")] = '\0';
	trial->lines++;
	if (!maillog_read(line, &event))
		return 0;
	trial->known++;
	address_normalise(&event.address, trial->cli->config->translated,
			  trial->cli->config->translated_count);
	client = client_of(trial, &event.address);
	if (!client)
		return -ENOMEM;
	client->accepted += event.kind == MAILLOG_ACCEPTED;
	client->deferred += event.kind == MAILLOG_DEFERRED;
	client->rejected += event.kind == MAILLOG_REJECTED;
	if (event.takes_back && client->accepted)
		client->accepted--;
	if (event.name[0] && strcmp(event.name, "unknown") != 0)
		memcpy(client->name, event.name, sizeof(client->name));
	return 0;
}

/* Behind a line that is too long the rest of it is none. */
static void line_finish(gzFile file, const char *line)
{
	int byte = 0;

	if (strchr(line, '\n') || strlen(line) < LINE_BYTES - 1)
		return;
	while (byte != '\n' && byte != -1)
		byte = gzgetc(file);
}

static int lines_take(struct trial *trial, gzFile file, char *line)
{
	while (gzgets(file, line, LINE_BYTES)) {
		line_finish(file, line);
		if (line_take(trial, line))
			return cli_fail(trial->cli, EXIT_FAILED,
					"more clients than there is memory for; take one log at a "
					"time");
	}
	return 0;
}

static int log_read(struct trial *trial, const char *path)
{
	char *line = malloc(LINE_BYTES);
	int code = 0, status = Z_OK;
	gzFile file;

	if (!line)
		return cli_fail(trial->cli, EXIT_FAILED, "out of memory");
	errno = ENOMEM; /* zlib says no more of that */
	file = strcmp(path, "-") ? gzopen(path, "re") : gzdopen(dup(STDIN_FILENO), "r");
	if (!file) {
		code = cli_fail(trial->cli, cli_exit_code(-errno), "cannot read %s: %s", path,
				strerror(errno));
		goto out;
	}
	code = lines_take(trial, file, line);
	if (!code)
		gzerror(file, &status);
	if (status != Z_OK && status != Z_STREAM_END)
		cli_note("warning: %s cannot be read to its end (damaged, or still being written)",
			 path);
	gzclose(file);
out:
	free(line);
	return code;
}

/* ---------------------------------------------------------------- judging */

static enum fate client_fate(const struct client *client)
{
	if (client->accepted)
		return FATE_ACCEPTED;
	if (client->deferred)
		return FATE_DEFERRED;
	return client->rejected ? FATE_REJECTED : FATE_NEITHER;
}

static unsigned long long client_messages(const struct client *client)
{
	if (client->accepted)
		return client->accepted;
	return client->deferred + client->rejected;
}

/* The allow list that would let it in all the same, or NULL. */
static const char *client_rescuer(const struct trial *trial, const struct client *client)
{
	struct gate25_source first, last;

	for (size_t i = 0; i < trial->allow_count; i++)
		if (!list_image_find(trial->allow[i].image, &client->address, &first, &last))
			return trial->allow[i].name;
	return NULL;
}

static void example_add(struct trial *trial, const struct client *client,
			const struct gate25_source *first, const struct gate25_source *last,
			const char *rescuer)
{
	char address[PREFIX_TEXT], entry[ENTRY_TEXT];

	json_array_append_new(trial->examples,
			      json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s?}", "address",
					address_format(&client->address, address), "name",
					client->name, "fate", fates[client_fate(client)].key,
					"messages", (json_int_t)client->accepted, "rejects",
					(json_int_t)(client->deferred + client->rejected), "entry",
					entry_format(first, last, entry), "allowed_by", rescuer));
}

static void client_judge(struct trial *trial, const struct client *client, size_t shown[FATES])
{
	enum fate fate = client_fate(client);
	struct gate25_source first, last;
	struct tally *tally = &trial->others[fate];
	const char *rescuer;

	if (!list_image_find(trial->image, &client->address, &first, &last)) {
		rescuer = client_rescuer(trial, client);
		tally = rescuer ? &trial->rescued[fate] : &trial->named[fate];
		if (shown[fate]++ < EXAMPLES)
			example_add(trial, client, &first, &last, rescuer);
	}
	tally->clients++;
	tally->messages += client_messages(client);
}

/* Who sent most of what was taken comes first. */
static int weight_compare(const void *a, const void *b)
{
	const struct client *left = ((const struct client_ref *)a)->client;
	const struct client *right = ((const struct client_ref *)b)->client;

	if (client_fate(left) != client_fate(right))
		return client_fate(left) < client_fate(right) ? -1 : 1;
	if (client_messages(left) != client_messages(right))
		return client_messages(left) > client_messages(right) ? -1 : 1;
	return client_compare(left, right);
}

static void clients_judge(struct trial *trial)
{
	size_t shown[FATES] = { 0 };

	if (trial->clients_count)
		qsort(trial->clients, trial->clients_count, sizeof(*trial->clients),
		      weight_compare);
	for (size_t i = 0; i < trial->clients_count; i++)
		client_judge(trial, trial->clients[i].client, shown);
}

/* ---------------------------------------------------------------- saying */

static json_t *tally_json(const struct tally *tally)
{
	return json_pack("{s:I, s:I}", "clients", (json_int_t)tally->clients, "messages",
			 (json_int_t)tally->messages);
}

static json_t *trial_json(const struct trial *trial, json_t *logs)
{
	json_t *object = json_pack(
		"{s:s, s:I, s:I, s:o, s:I, s:I, s:I}", "list", trial->name, "entries4",
		(json_int_t)trial->image->count4, "entries6", (json_int_t)trial->image->count6,
		"logs", logs, "lines", (json_int_t)trial->lines, "lines_known",
		(json_int_t)trial->known, "clients", (json_int_t)trial->clients_count);

	for (int fate = 0; object && fate < FATES; fate++)
		json_object_set_new(object, fates[fate].key,
				    json_pack("{s:o, s:o, s:o}", "named",
					      tally_json(&trial->named[fate]), "named_but_allowed",
					      tally_json(&trial->rescued[fate]), "not_named",
					      tally_json(&trial->others[fate])));
	if (object)
		json_object_set(object, "examples", trial->examples);
	return object;
}

static void tallies_say(const struct trial *trial)
{
	static const struct column columns[] = {
		{ "what", "OF CLIENTS WITH", false }, { "named", "WOULD STOP", true },
		{ "messages", "MESSAGES", true },     { "rescued", "ALLOWED ALL THE SAME", true },
		{ "others", "NOT NAMED", true },
	};
	json_t *rows = json_array();

	for (int fate = 0; fate < FATES; fate++)
		json_array_append_new(
			rows, json_pack("{s:s, s:I, s:I, s:I, s:I}", "what", fates[fate].title,
					"named", (json_int_t)trial->named[fate].clients, "messages",
					(json_int_t)trial->named[fate].messages, "rescued",
					(json_int_t)trial->rescued[fate].clients, "others",
					(json_int_t)trial->others[fate].clients));
	print_results(false, rows, columns, sizeof(columns) / sizeof(columns[0]));
}

static void examples_say(const struct trial *trial)
{
	static const struct column columns[] = {
		{ "fate", "SO FAR", false },	  { "address", "CLIENT", false },
		{ "messages", "MESSAGES", true }, { "rejects", "REJECTS", true },
		{ "entry", "ENTRY", false },	  { "allowed_by", "ALLOWED BY", false },
		{ "name", "NAME", false },
	};

	if (!json_array_size(trial->examples))
		return;
	printf("\nThe foremost of those that it names:\n");
	print_results(false, json_incref(trial->examples), columns,
		      sizeof(columns) / sizeof(columns[0]));
}

static void weight_say(const struct trial *trial)
{
	const struct cli *cli = trial->cli;

	if (trial->list && trial->list->weight < cli->config->threshold)
		cli_note("note: alone it stops nobody: its weight is %d, the threshold %d; counted "
			 "is "
			 "whom it names",
			 trial->list->weight, cli->config->threshold);
	if (!trial->known)
		cli_note("warning: no line is of Postfix or Exim and speaks of a client; is it the "
			 "right log?");
}

static void trial_say(const struct trial *trial)
{
	char entries[64], clients[64], lines[64];

	printf("%s: %s; %s in %s\n\n", trial->name,
	       count_format(trial->image->count4 + trial->image->count6, "entry", "entries",
			    entries),
	       count_format(trial->clients_count, "client", "clients", clients),
	       count_format(trial->lines, "line", "lines", lines));
	tallies_say(trial);
	examples_say(trial);
}

/* ---------------------------------------------------------------- the command */

static void client_free(void *client)
{
	free(client);
}

static void trial_release(struct trial *trial)
{
	tdestroy(trial->tree, client_free);
	free(trial->clients);
	list_image_free(trial->image);
	for (size_t i = 0; i < trial->allow_count; i++)
		list_image_free(trial->allow[i].image);
	json_decref(trial->examples);
}

static int trial_run(struct trial *trial, const char *format, const char *log, int more_count,
		     char **more)
{
	json_t *logs = json_pack("[s]", log);
	int code = list_find(trial, format);

	if (!code)
		allow_find(trial);
	if (!code)
		code = log_read(trial, log);
	for (int i = 0; !code && i < more_count; i++) {
		json_array_append_new(logs, json_string(more[i]));
		code = log_read(trial, more[i]);
	}
	if (code) {
		json_decref(logs);
		return code;
	}
	clients_judge(trial);
	if (!trial->cli->json)
		trial_say(trial);
	weight_say(trial);
	return cli_results(trial->cli, json_pack("[o]", trial_json(trial, logs)), EXIT_DONE);
}

int lists_try_run(struct cli *cli, int argc, char **argv)
{
	const char *log = NULL, *format = NULL;
	const struct cli_option options[] = {
		{ "log", NULL, &log },
		{ "format", NULL, &format },
		{ NULL, NULL, NULL },
	};
	struct trial trial = { .cli = cli };
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code && (!argc || !log))
		code = cli_fail(cli, EXIT_USAGE,
				"a list and a log are wanted: gate25 lists try NAME|FILE --log "
				"/var/log/mail.log");
	if (!code)
		code = cli_paths(cli);
	if (code)
		return code;
	trial.name = argv[0];
	trial.examples = json_array();
	code = trial_run(&trial, format, log, argc - 1, argv + 1);
	trial_release(&trial);
	return code;
}
