// SPDX-License-Identifier: GPL-2.0-only
/*
 * A list of names, fetched as if it were a url.
 *
 * In: "dns:[@RESOLVER,]spf:example.com,mx:example.org,…". Out: a plain list, with the names and what could not be followed as
 * comments, or why not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/image.h"
#include "user/log.h"
#include "user/names.h"

#define ALL_WITHIN_S 110 /* before who waits for the fetch gives up */

/* All names of a list. */
struct gathering {
	struct fetch *fetch;
	FILE *text;
	unsigned int ttl_s;
	size_t names, given,
		unknown;      /* in all; that stood for something; that could not be told now */
	char why[FETCH_ETAG]; /* of the last that did not */
};

bool names_is_url(const char *url)
{
	return !strncmp(url, NAMES_SCHEME, strlen(NAMES_SCHEME));
}

const char *names_shown(const char *url)
{
	const char *names = url + strlen(NAMES_SCHEME), *comma = strchr(names, ',');

	return *names == '@' && comma ? comma + 1 : names;
}

/* ---------------------------------------------------------------- one name */

static void notes_write(struct gathering *gathering, const char *notes)
{
	for (const char *line = notes; line && *line;) {
		int length = (int)strcspn(line, "\n");

		fprintf(gathering->text, "# note: %.*s\n", length, line);
		line += length + (line[length] == '\n');
	}
}

static void found_write(struct gathering *gathering, const char *name,
			const struct names_found *found)
{
	char text[PREFIX_TEXT];

	fprintf(gathering->text, "# %s\n", name);
	notes_write(gathering, found->notes);
	for (size_t i = 0; i < found->count; i++)
		fprintf(gathering->text, "%s\n", prefix_format(&found->prefixes[i], text));
}

/* "spf:example.com" -> its kind, and the domain; NULL: it is none. */
static const char *name_split(const char *name, enum name_kind *kind)
{
	for (*kind = 0; *kind < NAME_KINDS; ++*kind) {
		const char *word = name_kind_word(*kind);

		if (!strncmp(name, word, strlen(word)) && name[strlen(word)] == ':')
			return name + strlen(word) + 1;
	}
	return NULL;
}

/* 0, or what ends the whole. */
static int name_gather(struct gathering *gathering, struct dns *dns, const char *name)
{
	struct names_found found = { .ttl_s = DNS_TTL_UNKNOWN };
	enum name_kind kind;
	const char *domain = name_split(name, &kind);
	int error = domain ? names_find(dns, kind, domain, &found) : -EINVAL;

	gathering->names++;
	if (!error) {
		gathering->given++;
		found_write(gathering, name, &found);
		if (found.ttl_s < gathering->ttl_s)
			gathering->ttl_s = found.ttl_s;
	} else {
		/* without an address, so that the digest says when it changes */
		snprintf(gathering->why, sizeof(gathering->why), "%.*s",
			 (int)sizeof(gathering->why) - 1,
			 found.why[0] ? found.why : dns_why(error));
		fprintf(gathering->text, "# %s\n# note: %s\n", name, gathering->why);
		notes_write(gathering, found.notes);
		gathering->unknown += error != -ENODATA;
	}
	names_found_release(&found);
	return error == -ECANCELED || error == -ENOMEM ? error : 0;
}

/* ---------------------------------------------------------------- all names */

static int names_gather(struct gathering *gathering, const char *url, const atomic_bool *cancel)
{
	const char *names = url + strlen(NAMES_SCHEME), *shown = names_shown(url);
	char *server = NULL, *list = strdup(shown), *rest = NULL;
	struct dns *dns = NULL;
	int error = list ? 0 : -ENOMEM;

	if (!error && shown != names) {
		server = strndup(names + 1, shown - names - 2);
		error = server ? 0 : -ENOMEM;
	}
	if (!error)
		error = dns_open(server, ALL_WITHIN_S, cancel, &dns);
	if (error)
		snprintf(gathering->why, sizeof(gathering->why), "cannot ask the resolver: %s",
			 strerror(-error));
	for (char *name = list ? strtok_r(list, ",", &rest) : NULL; !error && name;
	     name = strtok_r(NULL, ",", &rest))
		error = name_gather(gathering, dns, name);
	dns_close(dns);
	free(server);
	free(list);
	return error;
}

/* With a last good list all have to be known; without one some are better than none. */
static int gathering_judge(const struct gathering *gathering)
{
	const struct fetch *fetch = gathering->fetch;
	bool first = !fetch->etag || !*fetch->etag;

	if (!gathering->given)
		return gathering->unknown ? -EAGAIN : -ENODATA;
	return gathering->unknown && !first ? -EAGAIN : 0;
}

static unsigned int ttl_clamp(unsigned int ttl_s)
{
	if (ttl_s < NAMES_TTL_LEAST_S)
		return NAMES_TTL_LEAST_S;
	return ttl_s > NAMES_TTL_MOST_S ? NAMES_TTL_MOST_S : ttl_s;
}

#define NOTES_TOLD 20

/* A note is said when something changed, not each quarter of an hour. */
void names_notes_log(const char *text, size_t length)
{
	static const char mark[] = "# note: ";
	const char *end = text + length, *line = text, *stop;

	for (int told = 0; told < NOTES_TOLD && line < end; told++, line = stop) {
		line = memmem(line, end - line, mark, strlen(mark));
		if (!line)
			return;
		line += strlen(mark);
		stop = memchr(line, '\n', end - line);
		stop = stop ? stop : end;
		log_notice("names: %.*s", (int)(stop - line), line);
	}
}

static void names_deliver(struct gathering *gathering, char *text, size_t length)
{
	struct fetch *fetch = gathering->fetch;
	__u64 digest = list_digest(0, text, length);

	/* Of a part of them another one is wanted soon, with or without a change. */
	fetch->new_ttl_s = gathering->unknown ? 60 : ttl_clamp(gathering->ttl_s);
	if (!gathering->unknown)
		snprintf(fetch->new_etag, sizeof(fetch->new_etag), "\"names-%016llx\"", digest);
	fetch->not_modified = fetch->etag && *fetch->etag && !strcmp(fetch->etag, fetch->new_etag);
	if (fetch->not_modified) {
		free(text);
		return;
	}
	fetch->body = text;
	fetch->length = length;
}

void names_fetch(struct fetch *fetch, const atomic_bool *cancel)
{
	struct gathering gathering = { .fetch = fetch, .ttl_s = DNS_TTL_UNKNOWN };
	char *text = NULL;
	size_t length = 0;

	gathering.text = open_memstream(&text, &length);
	fetch->error = gathering.text ? names_gather(&gathering, fetch->url, cancel) : -ENOMEM;
	if (gathering.text && fclose(gathering.text))
		fetch->error = -ENOMEM;
	if (!fetch->error)
		fetch->error = gathering_judge(&gathering);
	if (!fetch->error) {
		names_deliver(&gathering, text, length);
		return;
	}
	free(text);
	snprintf(fetch->why, sizeof(fetch->why), "%s",
		 gathering.why[0] ? gathering.why : strerror(-fetch->error));
}
