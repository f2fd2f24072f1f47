// SPDX-License-Identifier: GPL-2.0-only
/*
 * What no list of others may name.
 *
 * In: the registries of special addresses (RFC 6890), the interfaces and routes of this host, resolv.conf. Out: an
 * image, to be cut out of foreign lists.
 */
#include "user/own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/link.h"
#include "user/lists/parse.h"
#include "user/log.h"

/* Where the stub of systemd-resolved is configured, the second one names those that are really asked. */
static const char *const resolv_files[] = { "/etc/resolv.conf",
					    "/run/systemd/resolve/resolv.conf" };

/* Of IPv6 everything but 2000::/3, from which alone addresses are given out. */
static const char *const special[] = {
	"0.0.0.0/8",	 "10.0.0.0/8",	 "100.64.0.0/10",  "127.0.0.0/8", "169.254.0.0/16",
	"172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
	"::/3",		 "4000::/2",	 "8000::/1",
};

struct owned {
	struct prefix *prefixes;
	size_t count, room;
};

static int owned_add(struct owned *owned, const struct prefix *prefix)
{
	struct prefix *larger;

	if (owned->count == owned->room) {
		owned->room = owned->room ? 2 * owned->room : 32;
		larger = realloc(owned->prefixes, owned->room * sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		owned->prefixes = larger;
	}
	owned->prefixes[owned->count++] = *prefix;
	return 0;
}

static int address_add(const struct gate25_source *address, void *context)
{
	struct prefix prefix = { .address = *address, .length = address->family == 4 ? 32 : 128 };

	return owned_add(context, &prefix);
}

static int text_add(struct owned *owned, const char *text)
{
	struct prefix prefix;
	const char *why;

	if (prefix_parse(text, NULL, 0, &prefix, &why))
		return 0;
	return owned_add(owned, &prefix);
}

/* ---------------------------------------------------------------- resolv.conf */

/* "nameserver fe80::1%eth0" has a zone, which no list knows. */
static int resolver_add(struct owned *owned, const char *line)
{
	char text[PREFIX_TEXT];

	if (strncmp(line, "nameserver", 10) != 0 || !strchr(" \t", line[10]))
		return 0;
	line += 10 + strspn(line + 10, " \t");
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, " \t\r\n%#;"), line);
	return text_add(owned, text);
}

static int resolvers_add(struct owned *owned)
{
	char line[256];
	int error = 0;

	for (size_t i = 0; i < sizeof(resolv_files) / sizeof(resolv_files[0]); i++) {
		FILE *file = fopen(resolv_files[i], "re");

		while (!error && file && fgets(line, sizeof(line), file))
			error = resolver_add(owned, line);
		if (file)
			fclose(file);
	}
	return error;
}

/* ---------------------------------------------------------------- all */

/* What the kernel does not say is not worth to go without lists. */
static int kernel_add(struct owned *owned)
{
	static bool told;
	int error = link_addresses(address_add, owned);

	if (!error)
		error = link_gateways(address_add, owned);
	if (error == -ENOMEM)
		return error;
	if (error && !told)
		log_warning(
			"the addresses of this host cannot be read (%s), so that a list may name "
			"one of them",
			strerror(-error));
	told = error != 0;
	return 0;
}

static int services_add(struct owned *owned, const struct config *config)
{
	int error = 0;

	for (unsigned int i = 0; i < config->services_count; i++)
		for (unsigned int j = 0; !error && j < config->services[i].addresses_count; j++)
			error = owned_add(owned, &config->services[i].addresses[j]);
	return error;
}

int own_addresses(const struct config *config, struct list_image **out)
{
	struct owned owned = { 0 };
	int error = kernel_add(&owned);

	if (!error)
		error = resolvers_add(&owned);
	if (!error)
		error = services_add(&owned, config);
	if (!error)
		error = list_from_prefixes(owned.prefixes, owned.count, out);
	free(owned.prefixes);
	return error;
}

int own_non_global(struct list_image **out)
{
	struct owned owned = { 0 };
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(special) / sizeof(special[0]); i++)
		error = text_add(&owned, special[i]);
	if (!error)
		error = list_from_prefixes(owned.prefixes, owned.count, out);
	free(owned.prefixes);
	return error;
}
