// SPDX-License-Identifier: GPL-2.0-only
/*
 * lists presets, lists enable: known lists, and one of them as a file in conf.d.
 *
 * In: the presets that are installed. Out: a table or JSON; conf.d/NAME.yaml beside the configuration, which is
 * never written over.
 */
#include "user/cmd_show.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/presets.h"
#include "user/print.h"
#include "user/record.h"

/* What a file of another version of a preset, or of the operator's hand, may hold at most. */
#define ENABLED_BYTES 65536

struct wish {
	struct cli *cli;
	const char *from, *asn;
	bool accept_terms;
	char path[PATH_MAX]; /* of the file in conf.d */
	struct preset *preset;
};

/* ---------------------------------------------------------------- presets */

/* conf.d/NAME.yaml beside the configuration; of a preset of one network conf.d/as64496.yaml */
static const char *enabled_path(const struct cli *cli, const struct preset *preset, const char *asn,
				char path[static PATH_MAX])
{
	const char *slash = strrchr(cli->config_path, '/');

	snprintf(path, PATH_MAX, "%.*sconf.d/%s%s.yaml",
		 slash ? (int)(slash - cli->config_path) + 1 : 0, cli->config_path,
		 preset->numbered ? "as" : preset->name, preset->numbered ? asn : "");
	return path;
}

/* Of a preset of one network any may be there. */
static bool preset_enabled(const struct cli *cli, const struct preset *preset)
{
	char path[PATH_MAX];

	return !preset->numbered && !access(enabled_path(cli, preset, NULL, path), F_OK);
}

static json_t *preset_json(const struct cli *cli, const struct preset *preset)
{
	json_t *lists = json_array();

	for (size_t i = 0; i < preset->lists_count; i++)
		json_array_append_new(lists,
				      json_pack("{s:s, s:s, s:s}", "name", preset->lists[i].name,
						"source", preset->lists[i].source, "refresh",
						preset->lists[i].refresh));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:b, s:o}", "name",
			 preset->name, "kind", preset->allow ? "allow" : "block", "about",
			 preset->about, "ship", preset->ship, "source", preset->source, "terms",
			 preset->terms, "terms_url", preset->terms_url, "accept_terms",
			 preset->accept_terms, "last_checked", preset->last_checked, "enabled",
			 preset_enabled(cli, preset), "lists", lists);
}

static int dir_fail(const struct cli *cli, const char *dir, int error)
{
	return cli_fail(cli, cli_exit_code(error),
			"the presets in %s cannot be read: %s; `make install` puts them there, "
			"--from DIR names another folder",
			dir, strerror(-error));
}

static int presets_table(struct cli *cli, const char *from)
{
	static const struct column columns[] = {
		{ "name", "NAME", false },
		{ "kind", "KIND", false },
		{ "ship", "ADVICE", false },
		{ "enabled", "ENABLED", false },
		{ "last_checked", "CHECKED", false },
		{ "terms", "TERMS", false },
		{ "about", "ABOUT", false },
	};
	json_t *results = json_array(), *object;
	char **names = NULL;
	size_t count = 0;
	int error = presets_names(from, &names, &count);

	for (size_t i = 0; i < count; i++) {
		struct preset *preset = NULL;

		if (!error && !preset_read(from, names[i], NULL, stderr, &preset)) {
			object = preset_json(cli, preset);
			if (!cli->json)
				json_object_set_new(
					object, "enabled",
					json_string(preset_enabled(cli, preset) ? "yes" : "no"));
			json_array_append_new(results, object);
		}
		preset_free(preset);
		free(names[i]);
	}
	free(names);
	if (error) {
		json_decref(results);
		return dir_fail(cli, from, error);
	}
	error = print_results(cli->json, results, columns, sizeof(columns) / sizeof(columns[0]));
	return cli_exit_code(error);
}

static void preset_say(const struct cli *cli, const struct preset *preset)
{
	cli_say(cli, "%s: %s", preset->name, preset->about);
	cli_say(cli, "  source   %s", preset->source);
	cli_say(cli, "  terms    %s (%s)", preset->terms, preset->terms_url);
	for (size_t i = 0; i < preset->lists_count; i++)
		cli_say(cli, "  list     %s: %s, every %s", preset->lists[i].name,
			preset->lists[i].source,
			*preset->lists[i].refresh ? preset->lists[i].refresh : "hour");
	cli_say(cli, "  checked  %s%s", preset->last_checked,
		strcmp(preset->last_checked, "never") != 0 ?
			"" :
			": look at source and terms yourself before you rely on them");
}

/* 0, or the exit code with the message printed. */
static int preset_get(struct cli *cli, const char *from, const char *name, const char *asn,
		      struct preset **out)
{
	int error = preset_read(from, name, asn, stderr, out);

	if (!error)
		return 0;
	if (error == -ENOENT && !access(from, X_OK))
		return cli_fail(cli, EXIT_FAILED,
				"there is no preset %s; gate25 lists presets shows them", name);
	if (error == -EINVAL)
		return cli_fail(cli, EXIT_FAILED, "the preset %s in %s is broken", name, from);
	return dir_fail(cli, from, error);
}

int lists_presets_run(struct cli *cli, int argc, char **argv)
{
	const char *from = GATE25_PRESETS;
	const struct cli_option options[] = { { "from", NULL, &from }, { NULL, NULL, NULL } };
	struct preset *preset = NULL;
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code && argc > 1)
		code = cli_fail(cli, EXIT_USAGE, "one name is wanted, or none for all");
	if (code || !argc)
		return code ? code : presets_table(cli, from);
	code = preset_get(cli, from, argv[0], NULL, &preset);
	if (code)
		return code;
	preset_say(cli, preset);
	cli_say(cli, "\n%s", preset->text);
	code = cli_results(cli, json_pack("[o]", preset_json(cli, preset)), EXIT_DONE);
	preset_free(preset);
	return code;
}

/* ---------------------------------------------------------------- enable */

/* What is there already: 0 there is nothing, 1 the same, -1 something else, or -errno below that. */
static int enabled_look(const struct wish *wish)
{
	FILE *file = fopen(wish->path, "re");
	char *text;
	size_t length;
	int found;

	if (!file)
		return errno == ENOENT ? 0 : -errno;
	text = malloc(ENABLED_BYTES);
	length = text ? fread(text, 1, ENABLED_BYTES - 1, file) : 0;
	fclose(file);
	if (!text)
		return -ENOMEM;
	text[length] = '\0';
	found = preset_text_same(text, wish->preset->text) ? 1 : -1;
	free(text);
	return found;
}

static void enabled_text(const struct wish *wish, FILE *to)
{
	const struct preset *preset = wish->preset;

	fprintf(to,
		"# %s: %s.\n"
		"# Source: %s\n"
		"# Terms: %s (%s)%s\n"
		"# Source and terms last checked: %s\n"
		"# Written by `gate25 lists enable`, which never writes over it: change what you "
		"like.\n"
		"%s",
		preset->name, preset->about, preset->source, preset->terms, preset->terms_url,
		wish->accept_terms ? ", accepted" : "", preset->last_checked, preset->text);
}

/* Whole or not at all, and only where there is nothing: an agent may read the folder at any moment. */
static int enabled_write(const struct wish *wish)
{
	char part[PATH_MAX + 8];
	FILE *file;
	int fd, error = 0;

	snprintf(part, sizeof(part), "%s.part", wish->path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		unlink(part);
		return -ENOMEM;
	}
	enabled_text(wish, file);
	if (fflush(file) || fsync(fd))
		error = -errno;
	if (fclose(file) && !error)
		error = -errno;
	if (!error && renameat2(AT_FDCWD, part, AT_FDCWD, wish->path, RENAME_NOREPLACE))
		error = -errno;
	if (error)
		unlink(part);
	return error;
}

/* An item of that name elsewhere would be merged with this one, key by key. */
static int lists_free(const struct wish *wish)
{
	struct cli *cli = wish->cli;

	for (size_t i = 0; cli->config_whole && i < wish->preset->lists_count; i++) {
		const struct config_list *list =
			config_list_find(cli->config, wish->preset->lists[i].name);

		if (list)
			return cli_fail(cli, EXIT_FAILED,
					"list %s is configured already, in %s line %u; nothing was "
					"written",
					list->name, list->config_file, list->config_line);
	}
	return 0;
}

/* Can the whole still be used, and is the file part of it? What harms it goes away again. */
static int enabled_verify(const struct wish *wish)
{
	struct cli *cli = wish->cli;
	bool was_whole = cli->config_whole;
	struct config *config = NULL;
	char *said = NULL;
	size_t bytes;
	FILE *messages = open_memstream(&said, &bytes);
	int error = messages ? config_read(cli->config_path, messages, &config) : -ENOMEM;
	int code = 0;

	if (messages)
		fclose(messages);
	if (error && was_whole) {
		unlink(wish->path);
		code = cli_fail(cli, EXIT_FAILED,
				"with it the configuration could not be used, so it was not "
				"kept:\n%s",
				said ? said : "out of memory");
	} else if (error) {
		cli_note("warning: %s cannot be used (gate25 check says why)", cli->config_path);
	} else if (!config_list_find(config, wish->preset->lists[0].name)) {
		cli_note("warning: %s does not read it; add there: include: conf.d/*.yaml",
			 cli->config_path);
	}
	config_free(config);
	free(said);
	return code;
}

static int enabled_make(const struct wish *wish)
{
	struct cli *cli = wish->cli;
	json_t *targets;
	int code = lists_free(wish), error;

	if (code)
		return code;
	error = enabled_write(wish);
	if (error)
		return cli_fail(cli, cli_exit_code(error), "cannot write %s: %s%s", wish->path,
				strerror(-error),
				error == -ENOENT ? "; make the folder conf.d beside the "
						   "configuration" :
						   "");
	code = enabled_verify(wish);
	if (code)
		return code;
	targets = json_pack("[s]", wish->preset->name);
	record_change(cli->config->state_dir, "enable", targets, NULL, NULL);
	json_decref(targets);
	cli_say(cli, "wrote %s; in force after: gate25 reload", wish->path);
	return 0;
}

static int wish_fulfil(const struct wish *wish)
{
	struct cli *cli = wish->cli;
	const struct preset *preset = wish->preset;
	int found = enabled_look(wish), code = 0;
	json_t *object;

	preset_say(cli, preset);
	if (preset->accept_terms && !wish->accept_terms && found != 1)
		return cli_fail(cli, EXIT_FAILED,
				"its terms want to be accepted: %s (%s); if you do, repeat with "
				"--accept-terms",
				preset->terms, preset->terms_url);
	if (found == 1)
		cli_say(cli, "%s is there already", wish->path);
	else if (found == -1)
		return cli_fail(cli, EXIT_FAILED,
				"%s is there and says something else: it was changed, or is of "
				"another version. It stays; gate25 lists presets %s shows what "
				"would be written without it",
				wish->path, preset->name);
	else if (found < 0)
		return cli_fail(cli, cli_exit_code(found), "cannot read %s: %s", wish->path,
				strerror(-found));
	else
		code = enabled_make(wish);
	if (code)
		return code;
	object = preset_json(cli, preset);
	json_object_set_new(object, "file", json_string(wish->path));
	json_object_set_new(object, "written", json_boolean(!found));
	return cli_results(cli, json_pack("[o]", object), EXIT_DONE);
}

static bool asn_good(const char *asn)
{
	size_t length = strspn(asn, "0123456789");

	return length && length <= 10 && !asn[length] && *asn != '0';
}

int lists_enable_run(struct cli *cli, int argc, char **argv)
{
	struct wish wish = { .cli = cli, .from = GATE25_PRESETS };
	const struct cli_option options[] = {
		{ "accept-terms", &wish.accept_terms, NULL },
		{ "asn", NULL, &wish.asn },
		{ "from", NULL, &wish.from },
		{ NULL, NULL, NULL },
	};
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code && argc != 1)
		code = cli_fail(cli, EXIT_USAGE,
				"one name is wanted; gate25 lists presets shows "
				"them");
	if (!code && wish.asn && !asn_good(wish.asn))
		code = cli_fail(cli, EXIT_USAGE, "--asn %s: a number is wanted, as in --asn 64496",
				wish.asn);
	if (!code)
		code = cli_paths(cli);
	if (!code)
		code = preset_get(cli, wish.from, argv[0], wish.asn, &wish.preset);
	if (code)
		return code;
	if (wish.preset->numbered != (wish.asn != NULL))
		code = cli_fail(cli, EXIT_USAGE,
				wish.asn ? "%s: --asn has no meaning for it" :
					   "%s: say of which autonomous system, as in --asn 64496",
				argv[0]);
	if (!code) {
		enabled_path(cli, wish.preset, wish.asn, wish.path);
		code = wish_fulfil(&wish);
	}
	preset_free(wish.preset);
	return code;
}
