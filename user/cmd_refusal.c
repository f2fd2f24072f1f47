// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must not be blocked by mistake: who is allowed, this host, whoever is logged in by ssh, and
 * half the Internet.
 *
 * In: the journal, the table in force, netlink, the environment of our ancestors. Out: a reason in
 * words, or none.
 */
#include "user/cmd_entries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The lines of a mapped table, as bpf/table.h asks for them. */
struct table_lines {
	const char *first;
	size_t count;
};

static const void *table_line(const void *table, size_t index)
{
	const struct table_lines *lines = table;

	return index < lines->count ? lines->first + index * 64 : NULL;
}

#define TABLE_LINE(table, index) table_line(table, index)
#include "bpf/table.h"

#include "user/link.h"
#include "user/log.h"

#define SSH_PORT	22
#define SHORTEST4	16
#define SHORTEST6	32
#define ANCESTORS	32
#define ENVIRONMENT_MAX (256 * 1024)

/* ---------------------------------------------------------------- who is allowed */

struct allowed {
	struct guard *guard; /* NULL: not loaded */
	const struct journal *journal;
	__u64 lengths[2][3]; /* of manual allow entries, by family; bit per length */
	bool in_force;	     /* is there a table? */
	struct view view;
	struct table_lines lines;
};

/* Of several interfaces any will do: they run the same generation but for the moment of a swap. */
static void table_open(struct allowed *allowed)
{
	struct attachment attachments[GATE25_IFACES];
	int count = guard_attachments(allowed->guard, attachments);

	for (int i = 0; i < count && !allowed->in_force; i++)
		allowed->in_force =
			attachments[i].ifindex &&
			!view_open(allowed->guard, attachments[i].prog_id, &allowed->view);
	if (allowed->in_force) {
		allowed->lines.first = allowed->view.table;
		allowed->lines.count = allowed->view.table_bytes / TABLE_LINE_BYTES;
	}
}

int allowed_open(struct guard *guard, const struct journal *journal, struct allowed **out)
{
	struct allowed *allowed = calloc(1, sizeof(*allowed));

	if (!allowed)
		return -ENOMEM;
	allowed->guard = guard;
	allowed->journal = journal;
	for (size_t i = 0; i < journal_count(journal); i++) {
		const struct entry *entry = journal_at(journal, i);
		unsigned int length = entry->prefix.length;

		if (entry->kind == ENTRY_ALLOW)
			allowed->lengths[entry->prefix.address.family == 6][length / 64] |=
				1ULL << (length & 63);
	}
	if (guard)
		table_open(allowed);
	*out = allowed;
	return 0;
}

void allowed_close(struct allowed *allowed)
{
	if (allowed && allowed->in_force)
		view_close(&allowed->view);
	free(allowed);
}

__u8 allowed_mask(const struct allowed *allowed, const char *services)
{
	char copy[ENTRY_SERVICES], *rest = copy, *name;
	__u8 mask = 0;

	if (!services[0] || !allowed->guard)
		return 0xff;
	snprintf(copy, sizeof(copy), "%s", services);
	while ((name = strsep(&rest, ",")) != NULL) {
		int slot = guard_service_slot(allowed->guard, name, false);

		if (slot >= 0)
			mask |= 1 << slot;
	}
	return mask;
}

__u8 allowed_in_use(const struct allowed *allowed)
{
	return allowed->in_force ? allowed->view.generation->services : 0xff;
}

static __u8 manual_services(const struct allowed *allowed, const struct prefix *prefix,
			    char by[static ALLOWED_TEXT])
{
	const __u64 *lengths = allowed->lengths[prefix->address.family == 6];
	char text[PREFIX_TEXT];
	__u8 services = 0;

	for (unsigned int length = 0; length <= prefix->length; length++) {
		struct prefix outer = *prefix;
		const struct entry *entry;

		if (!(lengths[length / 64] >> (length & 63) & 1))
			continue;
		outer.length = length;
		prefix_mask(&outer);
		entry = journal_find(allowed->journal, &outer, ENTRY_ALLOW, NULL);
		if (!entry)
			continue;
		if (!services)
			snprintf(by, ALLOWED_TEXT, "allow entry %s", prefix_format(&outer, text));
		services |= allowed_mask(allowed, entry->services);
	}
	return services;
}

static const struct gate25_class *class_of(const struct allowed *allowed,
					   const struct gate25_source *address)
{
	struct table_lines lines = allowed->lines; /* the header takes no pointer to const */
	__u32 class = table_lookup(&lines, &allowed->view.generation->table, address);

	return &allowed->view.classes[class < allowed->view.generation->classes ? class : 0];
}

static __u8 class_services(const struct gate25_class *class)
{
	__u8 services = 0;

	for (int slot = 0; slot < GATE25_SERVICES; slot++)
		if (class->flags[slot] & GATE25_CLASS_ALLOW)
			services |= 1 << slot;
	return services;
}

/* Stops at the first address that is not allowed, so that it is mostly one look-up. */
static __u8 table_services(const struct allowed *allowed, const struct prefix *prefix)
{
	struct gate25_source address = prefix->address;
	__u8 services = 0xff;
	__u64 last;

	if (prefix->address.family == 4) {
		if (prefix->length < SHORTEST4)
			return 0;
		last = address.lo + (1ULL << (32 - prefix->length)) - 1;
		for (; services && address.lo <= last; address.lo++)
			services &= class_services(class_of(allowed, &address));
		return services;
	}
	services = class_services(class_of(allowed, &address));
	address = prefix_last(prefix);
	return services & class_services(class_of(allowed, &address));
}

static void table_name(const struct allowed *allowed, const struct prefix *prefix,
		       char by[static ALLOWED_TEXT])
{
	const struct gate25_generation *generation = allowed->view.generation;
	__u64 lists = class_of(allowed, &prefix->address)->lists;

	for (__u32 i = 0; i < generation->lists_count; i++)
		if ((lists >> i & 1) && generation->lists[i].allow) {
			snprintf(by, ALLOWED_TEXT, "allow list %.*s", GATE25_NAME,
				 generation->lists[i].name);
			return;
		}
}

__u8 allowed_services(const struct allowed *allowed, const struct prefix *prefix,
		      char by[static ALLOWED_TEXT])
{
	__u8 services = manual_services(allowed, prefix, by), listed;

	if (!allowed->in_force)
		return services;
	listed = table_services(allowed, prefix);
	if (listed && !services)
		table_name(allowed, prefix, by);
	return services | listed;
}

bool allowed_shadows(const struct allowed *allowed, const struct entry *entry,
		     char by[static ALLOWED_TEXT])
{
	enum entry_kind rival = entry->kind == ENTRY_ALLOW ? ENTRY_FORCED : ENTRY_ALLOW;
	__u8 wanted = allowed_mask(allowed, entry->services) & allowed_in_use(allowed);
	const struct entry *other;

	if (entry->kind == ENTRY_BLOCK)
		return wanted && !(wanted & ~allowed_services(allowed, &entry->prefix, by));
	other = journal_find(allowed->journal, &entry->prefix, rival, NULL);
	if (!other || other->sequence < entry->sequence ||
	    (wanted & ~allowed_mask(allowed, other->services)))
		return false;
	snprintf(by, ALLOWED_TEXT, "%s entry that came later",
		 rival == ENTRY_ALLOW ? "an allow" : "a forced block");
	return true;
}

const struct entry *allowed_part(const struct allowed *allowed, const struct prefix *prefix)
{
	for (size_t i = 0; i < journal_count(allowed->journal); i++) {
		const struct entry *entry = journal_at(allowed->journal, i);

		if (entry->kind == ENTRY_ALLOW && entry->prefix.length > prefix->length &&
		    prefix_covers(prefix, &entry->prefix))
			return entry;
	}
	return NULL;
}

/*
 * ---------------------------------------------------------------- this host, and who is logged in
 */

struct spared {
	struct gate25_source address;
	const char *what;
};

struct refusals {
	const struct desk *desk;
	struct allowed *allowed;
	struct spared *at;
	size_t count, room;
	const char *what; /* of those that are being read */
	char text[PREFIX_TEXT + ALLOWED_TEXT + 128];
};

static int protect(const struct gate25_source *address, void *context)
{
	struct refusals *refusals = context;

	if (refusals->count == refusals->room) {
		size_t room = refusals->room ? 2 * refusals->room : 32;
		struct spared *more = realloc(refusals->at, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		refusals->at = more;
		refusals->room = room;
	}
	refusals->at[refusals->count++] = (struct spared){ *address, refusals->what };
	return 0;
}

/*
 * A file of /proc, with a final 0; NULL when it cannot be read (whose process it is may have
 * ended).
 */
static char *proc_read(pid_t pid, const char *name, size_t *bytes)
{
	char path[64], *memory = malloc(ENVIRONMENT_MAX + 1);
	ssize_t got = 0, count = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !memory) {
		free(memory);
		memory = NULL;
	}
	while (memory && count < ENVIRONMENT_MAX &&
	       (got = read(fd, memory + count, ENVIRONMENT_MAX - count)) > 0)
		count += got;
	if (fd >= 0)
		close(fd);
	if (memory)
		memory[count] = '\0';
	*bytes = count;
	return memory;
}

static pid_t parent_of(pid_t pid)
{
	static const char key[] = "\nPPid:";
	size_t bytes;
	char *status = proc_read(pid, "status", &bytes);
	const char *line = status ? strstr(status, key) : NULL;
	pid_t parent = line ? atoi(line + sizeof(key) - 1) : 0;

	free(status);
	return parent;
}

/* "SSH_CONNECTION=<address> <port> <our address> <our port>" of a process; false if it has none. */
static bool ssh_of(pid_t pid, char address[static 64], unsigned short *port)
{
	size_t bytes;
	char *environment = proc_read(pid, "environ", &bytes);
	bool found = false;

	for (char *at = environment; at && at < environment + bytes && !found; at += strlen(at) + 1)
		found = sscanf(at, "SSH_CONNECTION=%63s %*s %*s %hu", address, port) == 2;
	free(environment);
	return found;
}

/*
 * The ssh session that we are run from. sudo takes the variable out of our environment, and the
 * shell above it still has it.
 */
static unsigned short ssh_protect(struct refusals *refusals, int *error)
{
	unsigned short port = SSH_PORT;
	char address[64];
	pid_t pid = getpid();

	for (int i = 0; i < ANCESTORS && pid > 1; i++, pid = parent_of(pid)) {
		struct prefix peer;
		const char *why;

		if (!ssh_of(pid, address, &port))
			continue;
		address[strcspn(address, "%")] = '\0'; /* the zone of a link-local address */
		refusals->what = "your own ssh session comes from it";
		if (!prefix_parse(address, NULL, 0, &peer, &why))
			*error = protect(&peer.address, refusals);
		break;
	}
	return port;
}

static int peers_protect(struct refusals *refusals, unsigned short port)
{
	int error;

	refusals->what = "an ssh session from it is open";
	error = socket_peers(port, protect, refusals);
	if (error && error != -ENOMEM) {
		log_warning("cannot see who is logged in by ssh (port %u): %s; take care not to "
			    "block yourself",
			    port, strerror(-error));
		error = 0;
	}
	return error;
}

static int host_protect(struct refusals *refusals)
{
	int error;

	refusals->what = "it is an address of this host";
	error = link_addresses(protect, refusals);
	if (error && error != -ENOMEM) {
		log_warning("cannot see this host's own addresses: %s; take care not to block them",
			    strerror(-error));
		error = 0;
	}
	return error;
}

int refusals_open(const struct desk *desk, struct refusals **out)
{
	struct refusals *refusals = calloc(1, sizeof(*refusals));
	unsigned short port;
	int error = 0;

	if (!refusals)
		return -ENOMEM;
	refusals->desk = desk;
	port = ssh_protect(refusals, &error);
	if (!error)
		error = allowed_open(desk->guard, desk->journal, &refusals->allowed);
	if (!error)
		error = host_protect(refusals);
	if (!error)
		error = peers_protect(refusals, SSH_PORT);
	if (!error && port != SSH_PORT)
		error = peers_protect(refusals, port);
	if (error)
		refusals_close(refusals);
	else
		*out = refusals;
	return error;
}

void refusals_close(struct refusals *refusals)
{
	if (!refusals)
		return;
	allowed_close(refusals->allowed);
	free(refusals->at);
	free(refusals);
}

/* ---------------------------------------------------------------- the question */

const char *refusal_of(struct refusals *refusals, const struct prefix *prefix, const char *services)
{
	unsigned int shortest = prefix->address.family == 4 ? SHORTEST4 : SHORTEST6;
	__u8 mask = allowed_mask(refusals->allowed, services) & allowed_in_use(refusals->allowed);
	char address[PREFIX_TEXT], by[ALLOWED_TEXT] = "";

	if (prefix->length < shortest) {
		snprintf(refusals->text, sizeof(refusals->text), "it is shorter than /%u",
			 shortest);
		return refusals->text;
	}
	for (size_t i = 0; i < refusals->count; i++) {
		const struct spared *spared = &refusals->at[i];

		if (!prefix_contains(prefix, &spared->address))
			continue;
		if (prefix->length == (prefix->address.family == 4 ? 32 : 128))
			return spared->what;
		snprintf(refusals->text, sizeof(refusals->text), "it holds %s, and %s",
			 address_format(&spared->address, address), spared->what);
		return refusals->text;
	}
	if (allowed_services(refusals->allowed, prefix, by) & mask) {
		snprintf(refusals->text, sizeof(refusals->text), "%s covers it", by);
		return refusals->text;
	}
	return NULL;
}
