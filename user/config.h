/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration: /etc/gate25/gate25.yaml and what it includes -> struct config.
 *
 * Strict: an unknown key, a bad value or a contradiction is an error with file, line and what is
 * allowed, and no config at all. Nothing here touches the kernel.
 */
#ifndef GATE25_CONFIG_H
#define GATE25_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "bpf/gate25.h"
#include "user/addr.h"
#include "user/fetch.h"
#include "user/lists/parse.h"

#define CONFIG_DEFAULT	    "/etc/gate25/gate25.yaml"
#define CONFIG_STATE_DIR    "/var/lib/gate25"
#define CONFIG_RUN_DIR	    "/run/gate25"
#define CONFIG_PIN_DIR	    "/sys/fs/bpf/gate25"
#define CONFIG_LISTEN	    "127.0.0.1:9925"
#define CONFIG_RATE_MOST    10000 /* a second: of limits and events */
#define CONFIG_OVERLAY_MOST 4194304

enum attach_mode { ATTACH_AUTO, ATTACH_NATIVE, ATTACH_GENERIC };

struct config_interface {
	char name[16];
	enum attach_mode mode;
	unsigned int file, line; /* where it is named; file: index in config.files */
};

struct config_service {
	char name[GATE25_NAME];
	__u16 ports[GATE25_PORTS]; /* host byte order */
	unsigned int ports_count;
	struct prefix addresses[GATE25_ADDRESSES]; /* none: any */
	unsigned int addresses_count;
	__u8 default_action; /* enum gate25_verdict */
	bool observe;
	enum { FORWARDED_AUTO, FORWARDED_YES, FORWARDED_NO } forwarded;
};

/* What a list may become before it is held back (gates.h). Shares; INFINITY: no bound. */
struct config_bounds {
	double bad_lines;	       /* of its lines */
	double covered;		       /* of all addresses of a family */
	double growth, shrink;	       /* against the last good one */
	unsigned int prefix4, prefix6; /* shorter ones are bad lines; 0: none is */
};

/* A block list or an allow list. Services are bits by index in config.services. */
struct config_list {
	char name[GATE25_NAME];
	char *file, *url; /* one of them, or entries; names are a url too (names.h) */
	unsigned int names_count;
	bool by_ttl; /* names without `refresh`: asked again when what DNS said is over */
	struct prefix *entries;
	size_t entries_count;
	enum list_format format;
	struct list_codes codes; /* of a zone; none: all of its entries */
	char *column, *member;	 /* of CSV, of JSON; NULL: not set */
	int weight;		 /* -100..100, not 0 */
	__u8 action;		 /* enum gate25_verdict */
	bool allow, observe, insecure;
	struct fetch_options options; /* of a url; its texts are malloc'ed */
	__u8 services;
	unsigned int refresh_s; /* url: 3600 when not set; file: 60 (only its state is looked at) */
	unsigned int
		refresh_min_s; /* a url is never asked again sooner, whoever wants it; 0: no matter */
	unsigned int max_age_s; /* not confirmed for so long: a block list leaves force. 0: never */
	bool data_time;		/* its age counts from the time stamp in the data */
	bool non_global;	/* addresses that are not of the Internet are kept */
	struct config_bounds bounds;
	const char *config_file; /* where it was defined */
	unsigned int config_line;
};

struct config_limit {
	bool set;
	double rate_per_s;
	unsigned int burst;
	__u8 action;
	bool observe;
	__u8 services;
};

/* What a limit counts. AUTO: connections where the sockets are here, else SYNs. */
enum limit_count { COUNT_AUTO, COUNT_CONNECTIONS, COUNT_SYNS };

struct config {
	struct config_interface interfaces[GATE25_IFACES];
	unsigned int interfaces_count;
	struct config_service services[GATE25_SERVICES];
	unsigned int services_count;
	bool observe;
	bool policy_set; /* no `policy:` in the file enforces, and the log says so */
	int threshold;
	struct config_list *lists; /* allow lists too */
	size_t lists_count;
	struct config_limit limits[GATE25_SCOPES];
	enum limit_count count;
	unsigned int sources_mb; /* memory of the sources table, MiB, a power of two; default 4 */
	unsigned int overlay_entries; /* the most entries the overlay holds; default 65536 */
	double events_per_s;	      /* most events a second and CPU; default 100 */
	__u64 translated[GATE25_TRANSLATED][2];
	unsigned int translated_count;
	char *resolver;	      /* that is asked for names; NULL: those of the system */
	char *metrics_listen; /* "127.0.0.1:9925", "[::1]:9925", or "off" */
	char *state_dir, *run_dir, *pin_dir;
	char *user;   /* whom lists are fetched and parsed as; NULL: as worker_configure() says */
	char **files; /* what was read: the file itself, then what it includes */
	size_t files_count;
};

/*
 * Reads `path`. Each problem is one line "FILE:LINE: what; what is allowed" on `errors` (all problems
 * of a file, not only the first); each doubt likewise with "warning: ". 0, or -EINVAL, -ENOENT, -EACCES,
 * … with a message written. *out is left alone on failure.
 */
int config_read(const char *path, FILE *errors, struct config **out);
/* Likewise, with the doubts on a stream of their own and without that word. */
int config_read_apart(const char *path, FILE *errors, FILE *warnings, struct config **out);
void config_free(struct config *config); /* NULL is fine */

/* Services that some limit holds for: bit by index in config.services. */
__u8 config_limited(const struct config *config);

/*
 * For whoever only needs state_dir, run_dir and pin_dir of a file that may be broken elsewhere: these where
 * they could be read, else the defaults, and nothing is written. *faults (may be NULL) says whether
 * config_read() would have failed. 0 or -ENOMEM: a file that is not there is no failure.
 */
int config_read_paths(const char *path, bool *faults, struct config **out);

/* How the text of a list's source is to be read; borrows from both. */
struct parse_settings config_list_settings(const struct config *config,
					   const struct config_list *list);

/* A name in the folder of the file that the configuration was read from. false: it is too long. */
bool config_beside(const struct config *config, const char *name, char path[static PATH_MAX]);

/* Is it foreign data, brought from elsewhere? Files and entries are the operator's own word. */
static inline bool config_list_fetched(const struct config_list *list)
{
	return list->url != NULL;
}

/* The list of that name, or NULL. The service's index, or -1. */
const struct config_list *config_list_find(const struct config *config, const char *name);
int config_service_find(const struct config *config, const char *name);

/* "300/min", "10/s", "5000/h" -> per second; "90", "30s", "5m", "24h", "7d", "2w" -> seconds. -EINVAL. */
int config_parse_rate(const char *text, double *per_s);
int config_parse_duration(const char *text, unsigned long *seconds);

#endif
