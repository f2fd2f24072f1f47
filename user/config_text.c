// SPDX-License-Identifier: GPL-2.0-only
/*
 * Values of the configuration that name something: prefixes, names, files, URLs, where to listen.
 *
 * In: a node. Out: a prefix, or text that other modules may put into paths and maps without a further look.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/config_value.h"
#include "user/secret.h"

/* Names that stand for addresses: keys of their own, not entries. */
static bool prefix_is_name(const char *text)
{
	static const char *const schemes[] = { "spf:", "mx:", "host:" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (!strncmp(text, schemes[i], strlen(schemes[i])))
			return true;
	}
	return false;
}

/* YAML makes a mapping of `spf: example.org` and, within brackets, of an IPv6 address that ends in a colon. */
static void prefix_is_mapping(struct reading *reading, const struct node *node)
{
	char first[READING_TEXT + 2] = "";

	if (node->count)
		snprintf(first, sizeof(first), "%s:", node->items[0]->key);
	if (prefix_is_name(first))
		reading_error(
			reading, node->place,
			"%s: holds addresses; write '%s' as a key of its own beside it, as in "
			"{name: big, spf: [example.com]}",
			node->key, first);
	else
		reading_error(
			reading, node->place,
			"%s: must be an address, not a mapping; put an IPv6 address in quotes",
			node->key);
}

bool value_prefix(struct reading *reading, const struct node *node, const __u64 (*translated)[2],
		  unsigned int count, struct prefix *out)
{
	const char *why = "not an address", *text;

	if (node->kind == NODE_MAPPING) {
		prefix_is_mapping(reading, node);
		return false;
	}
	text = value_text(reading, node);
	if (!text)
		return false;
	if (prefix_is_name(text)) {
		reading_error(reading, node->place,
			      "%s: '%s' is a name; write it as a key of its own, as in {name: big, "
			      "spf: [example.com]}",
			      node->key, text);
		return false;
	}
	if (!prefix_parse(text, translated, count, out, &why))
		return true;
	reading_error(reading, node->place,
		      "%s: '%s': %s; write 192.0.2.7, 192.0.2.0/24 or \"2001:db8::/32\"", node->key,
		      text, why);
	return false;
}

bool value_name(struct reading *reading, const struct node *node, char out[GATE25_NAME])
{
	const char *text = value_text(reading, node);
	bool good;

	if (!text)
		return false;
	good = isalnum((unsigned char)*text) && strlen(text) < GATE25_NAME;
	for (const char *c = text; *c && good; c++)
		good = isalnum((unsigned char)*c) || strchr("._-", *c);
	if (!good) {
		reading_error(
			reading, node->place,
			"%s: '%s' is not allowed; write letters, digits, . _ - (first a letter or "
			"digit, %d at most)",
			node->key, text, GATE25_NAME - 1);
		return false;
	}
	memcpy(out, text, strlen(text) + 1);
	return true;
}

bool value_interface(struct reading *reading, const struct node *node, char out[16])
{
	const char *text = value_text(reading, node);
	bool good;

	if (!text)
		return false;
	good = strlen(text) < 16 && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
	for (const char *c = text; *c && good; c++)
		good = isgraph((unsigned char)*c) && !strchr("/:", *c);
	if (!good) {
		reading_error(reading, node->place,
			      "%s: '%s' is no name of an interface; `ip -br link` shows them "
			      "(15 characters at most)",
			      node->key, text);
		return false;
	}
	memcpy(out, text, strlen(text) + 1);
	return true;
}

/* ---------------------------------------------------------------- paths */

static bool text_keep(struct reading *reading, const char *text, char **out)
{
	char *copy = strdup(text);

	if (!copy) {
		reading->failure = -ENOMEM;
		return false;
	}
	free(*out);
	*out = copy;
	return true;
}

bool value_folder(struct reading *reading, const struct node *node, size_t most, char **out)
{
	const char *text = value_text(reading, node);
	char folder[READING_TEXT + 1]; /* no value is longer */
	size_t length;

	if (!text)
		return false;
	snprintf(folder, sizeof(folder), "%s", text);
	length = strlen(folder);
	while (length > 1 && folder[length - 1] == '/')
		folder[--length] = 0;
	if (*folder != '/' || length == 1) {
		reading_error(reading, node->place,
			      "%s: '%s' is not the absolute path of a folder; write one as %s",
			      node->key, text, *out);
		return false;
	}
	if (length > most) {
		reading_error(reading, node->place,
			      "%s: longer than %zu bytes; sockets and pins lie in it", node->key,
			      most);
		return false;
	}
	return text_keep(reading, folder, out);
}

bool value_file(struct reading *reading, const struct node *node, char **out)
{
	const char *text = value_text(reading, node), *from, *end;
	char *folder = NULL, *path = NULL;
	bool kept = false;

	if (!text)
		return false;
	if (*text == '/')
		return text_keep(reading, text, out);
	from = reading->files[node->place.file].name;
	end = strrchr(from, '/');
	path = end ? strndup(from, end - from + 1) : strdup(".");
	/* absolute, since the agent does not stay where it was started */
	folder = path ? realpath(path, NULL) : NULL;
	free(path);
	path = NULL;
	if (folder && asprintf(&path, "%s/%s", strcmp(folder, "/") ? folder : "", text) >= 0)
		kept = text_keep(reading, path, out);
	else
		reading_error(reading, node->place, "%s: the folder of %s is gone: %s", node->key,
			      from, strerror(errno));
	free(folder);
	free(path);
	return kept;
}

/* ---------------------------------------------------------------- network */

static const char *url_fault(const char *text)
{
	CURLU *url = curl_url();
	char *scheme = NULL, *host = NULL;
	const char *fault = NULL;

	if (!url)
		return "no memory to look at it";
	if (strpbrk(text, " \"<>\\^`{|}"))
		fault = "has a character that no URL has; write it as %XX";
	else if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) ||
		 curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
		 curl_url_get(url, CURLUPART_HOST, &host, 0) || !*host)
		fault = "is no URL; write https://HOST/PATH";
	else if (!strcmp(scheme, "rsync"))
		fault = "is of rsync; write rsync: HOST::MODULE/FILE instead of url:";
	else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		fault = "is not https or http; for a file on this host write `file:`";
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(url);
	return fault;
}

/* A credential may stand where a name may; what it will be, nobody knows here. */
static const char *url_fault_with(const char *text)
{
	char plain[READING_TEXT + 1];
	const char *fault = secret_fault(text), *end;
	size_t length = 0;

	if (fault)
		return fault;
	while (*text && length < sizeof(plain) - 1) {
		end = !strncmp(text, "${", 2) ? strchr(text, '}') : NULL;
		plain[length++] = end ? 'x' : *text;
		text = end ? end + 1 : text + 1;
	}
	plain[length] = '\0';
	return url_fault(plain);
}

bool value_rsync(struct reading *reading, const struct node *node, char **out)
{
	const char *text = value_text(reading, node), *module, *fault;
	char whole[READING_TEXT + 16];

	if (!text)
		return false;
	module = strncmp(text, "rsync://", 8) ? strstr(text, "::") : NULL;
	if (module)
		snprintf(whole, sizeof(whole), "rsync://%.*s/%s", (int)(module - text), text,
			 module + 2);
	else
		snprintf(whole, sizeof(whole), "%s", text);
	fault = secret_fault(whole);
	module = strlen(whole) > 8 ? strchr(whole + 8, '/') : NULL;
	if (!fault && (strncmp(whole, "rsync://", 8) != 0 || whole[8] == '-' || whole[8] == '/' ||
		       !module || !strchr(module + 1, '/') || whole[strlen(whole) - 1] == '/' ||
		       strpbrk(whole, " *?[]\\\"'")))
		fault = "is no file of an rsync server; write HOST::MODULE/FILE";
	if (fault) {
		reading_error(reading, node->place, "%s: '%s': %s", node->key, text, fault);
		return false;
	}
	return text_keep(reading, whole, out);
}

bool value_url(struct reading *reading, const struct node *node, char **out)
{
	const char *text = value_text(reading, node), *fault;

	if (!text)
		return false;
	fault = url_fault_with(text);
	if (fault) {
		reading_error(reading, node->place, "%s: '%s': %s", node->key, text, fault);
		return false;
	}
	return text_keep(reading, text, out);
}

/* "ADDRESS:PORT", "[ADDRESS]:PORT": is it one of this host's ways to be reached? */
static bool listen_is_good(const char *text)
{
	const char *colon = strrchr(text, ':'), *why;
	bool bracket = *text == '[';
	struct prefix address;
	char host[64];
	long port;
	char *end;

	if (!colon || !isdigit((unsigned char)colon[1]) || colon - text >= (long)sizeof(host))
		return false;
	port = strtol(colon + 1, &end, 10);
	if (*end || port < 1 || port > 65535 || (bracket && colon[-1] != ']'))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text) - 2 * bracket, text + bracket);
	return !strchr(host, '/') && !prefix_parse(host, NULL, 0, &address, &why) &&
	       bracket == !!strchr(host, ':');
}

bool value_listen(struct reading *reading, const struct node *node, char **out)
{
	const char *text = value_text(reading, node);

	if (!text)
		return false;
	if (strcmp(text, "off") != 0 && !listen_is_good(text)) {
		reading_error(
			reading, node->place,
			"%s: '%s' is not allowed; write \"127.0.0.1:9925\", \"[::1]:9925\" or off",
			node->key, text);
		return false;
	}
	return text_keep(reading, text, out);
}
