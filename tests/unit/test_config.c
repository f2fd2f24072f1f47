// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration: what is read from it, and what is said of what is wrong. Tables of name, YAML, want.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <math.h>

#include "user/config.h"

static char folder[] = "/tmp/config.XXXXXX";

static void file_write(const char *name, const char *text, size_t length)
{
	char path[128], *slash;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	slash = strrchr(path, '/');
	*slash = 0;
	mkdir(path, 0755);
	*slash = '/';
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

/* Reads "main.yaml"; *said is what was written about it (to be freed). NULL: refused. */
static struct config *config_of(char **said)
{
	struct config *config = NULL;
	char path[128];
	size_t size;
	FILE *errors = open_memstream(said, &size);
	int error;

	snprintf(path, sizeof(path), "%s/main.yaml", folder);
	assert_non_null(errors);
	error = config_read(path, errors, &config);
	fclose(errors);
	assert_int_equal(!error, config != NULL);
	if (error && !**said)
		fail_msg("refused (%d), and nothing was said", error);
	return config;
}

/* ---------------------------------------------------------------- refused */

#define WHO "interfaces: [eth0]\n"

/* `want` stands in what is said, behind the file and ":"; all of it refuses the file. */
static const struct refusal {
	const char *name, *yaml, *want;
} refusals[] = {
	{ "unknown key", WHO "polici: observe\n",
	  "2: unknown key 'polici'; did you mean 'policy'?" },
	{ "far from any key", WHO "zebra: 1\n", "2: unknown key 'zebra'; allowed: " },
	{ "unknown key of a list", "lists:\n  - {name: a, file: /a, wieght: 2}\n",
	  "2: unknown key 'wieght' of a list; did you mean 'weight'?" },
	{ "bad policy", "policy: enfroce\n",
	  "1: policy: 'enfroce' is not known; write enforce or observe" },
	{ "key twice", "threshold: 1\nthreshold: 2\n", "2: " },
	{ "threshold 0", "threshold: 0\n", "1: threshold: '0' is not a number from 1 to 1000" },
	{ "port 0", "ports: [0]\n", "1: ports: '0' is not a number from 1 to 65535" },
	{ "no number", "ports: [smtp]\n", "1: ports: 'smtp'" },
	{ "no port", WHO "ports: []\n",
	  "2: ports: is empty, so nothing would be guarded; name a port, as in ports: [25], or "
	  "leave "
	  "the key out" },
	{ "service with no port", WHO "services: [{name: a, ports: []}]\n",
	  "2: ports: is empty, so nothing would be guarded; name a port, as in ports: [25]\n" },
	{ "no service", WHO "services: []\n",
	  "2: services: is empty, so nothing would be guarded; name a service, as in services: "
	  "[{name: mx, ports: [25]}], or leave the key out" },
	{ "no value of services", WHO "services:\n", "2: services: is empty, so nothing" },
	{ "an empty file", "", ": is empty: there is no key in it; " },
	{ "comments alone", "# interfaces: [eth0]\n\n", ": is empty: there is no key in it; " },
	{ "an empty document", "---\n", ": is empty: there is no key in it; " },
	{ "an empty mapping", "{}\n", ": is empty: there is no key in it; " },
	{ "ports and services", "ports: [25]\nservices: [{name: a, ports: [465]}]\n",
	  "1: ports: and services: exclude each other" },
	{ "same port twice", "services:\n  - {name: a, ports: [25]}\n  - {name: b, ports: [25]}\n",
	  "3: services 'a' and 'b' both guard port 25" },
	{ "service without ports", "services: [{name: a}]\n", "1: services: an item has no ports" },
	{ "service without name", "services: [{ports: [25]}]\n",
	  "1: services: an item has no name" },
	{ "service named none", "services: [{name: none, ports: [25]}]\n",
	  "1: name: 'none' stands for" },
	{ "name with a slash", "lists: [{name: a/b, file: /a}]\n",
	  "1: name: 'a/b' is not allowed" },
	{ "any and another", "services: [{name: a, ports: [25], addresses: [any, 192.0.2.1]}]\n",
	  "1: addresses: 'any' stands alone" },
	{ "host bits", "allow: [{name: a, entries: [192.0.2.1/24]}]\n",
	  "1: entries: '192.0.2.1/24': " },
	{ "leading zero", "allow: [{name: a, entries: [010.0.0.1]}]\n",
	  "1: entries: '010.0.0.1': " },
	{ "IPv6 without quotes", "allow: [{name: a, entries: [{2001: 1}]}]\n",
	  "put an IPv6 address in quotes" },
	{ "no source", "lists: [{name: a}]\n",
	  "needs one of file:, url:, rsync: or entries:, not 0" },
	{ "two sources", "lists: [{name: a, file: /a, url: \"https://h/a\"}]\n", "not 2 of them" },
	{ "list twice", "lists:\n  - {name: a, file: /a}\n  - {name: a, file: /b}\n",
	  "3: lists: 'a' is there twice" },
	{ "block and allow", "allow: [{name: a, file: /a}]\nlists: [{name: a, file: /b}]\n",
	  "list 'a' is there as block and as allow list" },
	{ "plain http", "lists: [{name: a, url: \"http://h/a\"}]\n", "say insecure: true" },
	{ "rsync as url", "lists: [{name: a, url: \"rsync://h/a\"}]\n",
	  "write rsync: HOST::MODULE/FILE" },
	{ "rsync without a file", "lists: [{name: a, rsync: \"h::module/\", insecure: true}]\n",
	  "no file of an rsync server" },
	{ "rsync with an option", "lists: [{name: a, rsync: \"-e::m/f\", insecure: true}]\n",
	  "no file of an rsync server" },
	{ "rsync that nobody vouches for", "lists: [{name: a, rsync: \"h::m/f\"}]\n",
	  "insecure: true" },
	{ "a credential without a name", "lists: [{name: a, url: \"https://h/${cred:}\"}]\n",
	  "${cred:NAME}" },
	{ "a header that is none", "lists: [{name: a, url: \"https://h/\", headers: [x]}]\n",
	  "Name: value" },
	{ "an authority for http",
	  "lists: [{name: a, url: \"http://h/\", insecure: true, ca: /x}]\n", "https url" },
	{ "a certificate without its key", "lists: [{name: a, url: \"https://h/\", cert: /x}]\n",
	  "belong together" },
	{ "asked too often",
	  "lists: [{name: a, url: \"https://www.spamhaus.org/x\", refresh: 5m}]\n",
	  "shorter than this source permits" },
	{ "a share without %", "lists: [{name: a, file: /a, bounds: {covered: 1}}]\n",
	  "covered: '1' is no share; write 1% or 0.1%" },
	{ "a share of nothing", "lists: [{name: a, file: /a, bounds: {growth: 0%}}]\n",
	  "growth: '0%' is no share" },
	{ "more than all", "lists: [{name: a, file: /a, bounds: {shrink: 101%}}]\n", "up to 100%" },
	{ "a prefix of no length", "lists: [{name: a, file: /a, bounds: {prefix4: 0}}]\n",
	  "prefix4: '0' is not a number from 1 to 32" },
	{ "a bound that is none", "lists: [{name: a, file: /a, bounds: {cover: 1%}}]\n",
	  "did you mean 'covered'" },
	{ "an age of seconds", "lists: [{name: a, file: /a, max_age: 9s}]\n", "out of range" },
	{ "an age from nowhere", "lists: [{name: a, file: /a, max_age_from: file}]\n",
	  "write check or data" },
	{ "addresses to throw away", "lists: [{name: a, file: /a, non_global: drop}]\n",
	  "write skip or keep" },
	{ "a user who is not there", "user: nobody-of-that-name\n", "there is no user" },
	{ "ftp", "lists: [{name: a, url: \"ftp://h/a\"}]\n", "is not https or http" },
	{ "weight 0", "lists: [{name: a, file: /a, weight: 0}]\n", "weight: 0 says nothing" },
	{ "weight of an allow list", "allow: [{name: a, file: /a, weight: 1}]\n",
	  "key 'weight' is not there yet; an allow list outweighs" },
	{ "later action", "lists: [{name: a, file: /a, action: refuse}]\n",
	  "action 'refuse' is not there yet; use drop" },
	{ "CSV without a column", "lists: [{name: a, file: /a, format: csv}]\n",
	  "format: csv needs column:" },
	{ "codes of no zone", "lists: [{name: a, file: /a, format: plain, codes: 127.0.0.2}]\n",
	  "codes: goes only with a source of a zone" },
	{ "codes of entries", "lists: [{name: a, entries: [192.0.2.1], codes: 127.0.0.2}]\n",
	  "codes: goes only with" },
	{ "codes that are none", "lists: [{name: a, file: /a, codes: 127.0.0}]\n",
	  "codes: '127.0.0': a filter of codes looks like" },
	{ "no codes", "lists: [{name: a, file: /a, codes: []}]\n", "codes: is empty" },
	{ "member of no JSON", "lists: [{name: a, file: /a, format: drop, member: x}]\n",
	  "member: goes only with" },
	{ "later limit", "limits: {open: {source: 50}}\n", "key 'open' is not there yet" },
	{ "spf", "allow: [{name: a, spf: [\"example.com/24\"]}]\n",
	  "spf: 'example.com/24' is no domain; write spf: [example.com]" },
	{ "no name", "allow: [{name: a, mx: []}]\n", "mx: names no domain" },
	{ "names and a file", "allow: [{name: a, host: h.example.com, file: /a}]\n",
	  "not 2 of them" },
	{ "resolver", "resolver: dns.example.com\n", "is no address; write 127.0.0.1" },
	{ "no such service", "lists: [{name: a, file: /a, services: [mx2]}]\n",
	  "there is no service 'mx2'" },
	{ "no service at all", "lists: [{name: a, file: /a, services: []}]\n",
	  "services: is empty" },
	{ "limit without rate", "limits: {source: {burst: 5}}\n", "source: needs a rate" },
	{ "bad rate", "limits: {source: {rate: 300}}\n",
	  "'300' is not a rate; write 10/s, 300/min or 5000/h" },
	{ "rate too much", "limits: {source: {rate: 10001/s}}\n", "10000/s is the most" },
	{ "burst out of reach", "limits: {source: {rate: 1/h, burst: 20}}\n", "more than 8 hours" },
	{ "count", "limits: {count: packets}\n", "count: 'packets' is not" },
	{ "count where it was not meant", "limits: {source: {rate: 1/s, count: syns}}\n",
	  "unknown key 'count' of a limit" },
	{ "memory", "limits: {memory: 3M}\n", "1: memory: " },
	{ "listen", "metrics: {listen: 9925}\n", "1: listen: '9925' is not allowed" },
	{ "relative folder", "state_dir: var\n", "1: state_dir: 'var' is not the absolute path" },
	{ "translated", "translated: [\"64:ff9b::/64\"]\n", "must be an IPv6 prefix of length 96" },
	{ "interface name", "interfaces: [a/b]\n", "is no name of an interface" },
	{ "mode", "interfaces: [{name: eth0, mode: fast}]\n", "write auto, native or generic" },
	{ "tab", "policy:\tobserve\n\tx: 1\n", "main.yaml:" },
	{ "anchor", "policy: &a observe\n", "1: " },
	{ "tag", "policy: !!str observe\n", "1: " },
	{ "second document", "policy: observe\n---\npolicy: enforce\n", "main.yaml:" },
	{ "a list at the top", "- 1\n", "1: " },
	{ "a dead list", "lists: [{name: a, url: \"https://www.dnsbl.sorbs.net/z\"}]\n",
	  "1: list 'a': sorbs.net is a dead list (SORBS, shut down in June 2024); remove it" },
	{ "a copy of a dead list", "lists: [{name: a, file: /var/edrop.txt}]\n",
	  "use spamhaus-drop, which holds it" },
	{ "missing include", "include: other.yaml\n", "include: other.yaml is not there" },
	{ "include itself", "include: main.yaml\n", "a circle" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		char *said = NULL;

		file_write("main.yaml", refusals[i].yaml, strlen(refusals[i].yaml));
		if (config_of(&said))
			fail_msg("%s: was taken", refusals[i].name);
		if (!strstr(said, refusals[i].want) || !strstr(said, "/main.yaml"))
			fail_msg("%s: said %s want %s", refusals[i].name, said, refusals[i].want);
		free(said);
	}
}

static void test_all_problems_are_said(void **state)
{
	static const char yaml[] = "policy: x\nthreshold: y\nports: [z]\n";
	char *said = NULL;

	(void)state;
	file_write("main.yaml", yaml, strlen(yaml));
	assert_null(config_of(&said));
	assert_non_null(strstr(said, "main.yaml:1: "));
	assert_non_null(strstr(said, "main.yaml:2: "));
	assert_non_null(strstr(said, "main.yaml:3: "));
	free(said);
}

/* ---------------------------------------------------------------- read */

static const char whole[] =
	"interfaces: [eth0, {name: eth1, mode: generic}]\n"
	"services:\n"
	"  - {name: mx, ports: [25], addresses: [any], default: pass, policy: observe}\n"
	"  - {name: submission, ports: [465, 587], default: drop, forwarded: yes}\n"
	"policy: observe\nthreshold: 3\n"
	"translated: [\"2001:db8:64::/96\"]\n"
	"allow:\n  - {name: own, entries: [192.0.2.0/24, \"2001:db8:64::c633:6407\"]}\n"
	"lists:\n"
	"  - {name: a, file: a.txt, weight: 2, format: ip4set, refresh: 2h, codes: "
	"\"127.0.0.[2;5..7]\"}\n"
	"  - {name: b, url: \"http://h/b\", insecure: true, weight: -1, policy: observe,\n"
	"     services: [submission]}\n"
	"limits:\n  source: {rate: 300/min, burst: 150, policy: observe}\n"
	"  network: {rate: 10/s, services: [mx]}\n  memory: 8M\n  count: syns\n"
	"overlay: {max_entries: 1000}\nevents: {rate: 5/s}\n"
	"metrics: {listen: off}\n"
	"state_dir: /s\nrun_dir: /r/\npin_dir: /p\n";

static void check_services(const struct config *config)
{
	assert_int_equal(config->services_count, 2);
	assert_string_equal(config->services[0].name, "mx");
	assert_int_equal(config->services[0].addresses_count, 0);
	assert_true(config->services[0].observe);
	assert_int_equal(config->services[0].forwarded, FORWARDED_AUTO);
	assert_int_equal(config->services[1].ports[1], 587);
	assert_int_equal(config->services[1].default_action, GATE25_DROP);
	assert_int_equal(config->services[1].forwarded, FORWARDED_YES);
	assert_int_equal(config_service_find(config, "submission"), 1);
	assert_int_equal(config_service_find(config, "x"), -1);
}

static void check_lists(const struct config *config)
{
	const struct config_list *own = config_list_find(config, "own");
	const struct config_list *a = config_list_find(config, "a");
	const struct config_list *b = config_list_find(config, "b");

	assert_int_equal(config->lists_count, 3);
	assert_true(own->allow && own->services == 3 && own->entries_count == 2);
	/* it only carries an IPv4 address */
	assert_int_equal(own->entries[1].address.family, 4);
	assert_int_equal(own->entries[1].address.lo, 0xc6336407);
	assert_int_equal(a->weight, 2);
	assert_int_equal(a->format, LIST_RBLDNSD);
	assert_true(codes_match(&a->codes, 0x7f000006) && !codes_match(&a->codes, 0x7f000004));
	assert_int_equal(a->services, 1); /* where port 25 is */
	assert_int_equal(a->refresh_s, 7200);
	assert_int_equal(a->action, GATE25_DROP);
	assert_true(a->file[0] == '/' && strstr(a->file, "/a.txt"));
	assert_int_equal(b->weight, -1);
	assert_true(b->observe && b->insecure && b->services == 2 && b->refresh_s == 3600);
	assert_true(strstr(b->config_file, "main.yaml") && b->config_line == 12);
}

/* What was said, else the defaults of a file, of a url, and of a url that may be forged. */
static void test_list_bounds(void **state)
{
	static const char yaml[] = "lists:\n"
				   "  - {name: said, url: \"https://h/a\", max_age: off, "
				   "non_global: keep, max_age_from: data,\n"
				   "     bounds: {bad_lines: 1%, covered: 0.1%, growth: off, "
				   "shrink: 30%, prefix4: 16}}\n"
				   "  - {name: file, file: /a}\n"
				   "  - {name: url, url: \"https://h/a\"}\n"
				   "  - {name: forged, url: \"http://h/a\", insecure: true}\n";
	const struct config_list *said, *file, *url, *forged;
	struct config *config;
	char *text = NULL;

	(void)state;
	file_write("main.yaml", yaml, strlen(yaml));
	config = config_of(&text);
	assert_non_null(config);
	said = config_list_find(config, "said");
	file = config_list_find(config, "file");
	url = config_list_find(config, "url");
	forged = config_list_find(config, "forged");
	assert_true(!said->max_age_s && said->non_global && said->data_time);
	assert_true(said->bounds.bad_lines == 0.01 && said->bounds.covered == 0.001);
	assert_true(isinf(said->bounds.growth) && said->bounds.shrink == 0.3);
	assert_true(said->bounds.prefix4 == 16 && said->bounds.prefix6 == 19);
	assert_true(!file->max_age_s && file->non_global && isinf(file->bounds.covered));
	assert_true(isinf(file->bounds.growth) && isinf(file->bounds.shrink));
	assert_true(file->bounds.bad_lines == 0.05 && !file->bounds.prefix4);
	assert_true(url->max_age_s == 72 * 3600 && !url->non_global && !url->data_time);
	assert_true(url->bounds.covered == 0.01 && url->bounds.growth == 1);
	assert_true(url->bounds.shrink == 0.5 && url->bounds.prefix4 == 8);
	assert_true(forged->bounds.covered == 0.005 && forged->bounds.growth == 0.5);
	assert_true(forged->bounds.shrink == 0.25 && forged->bounds.prefix4 == 9);
	config_free(config);
	free(text);
}

static void test_whole(void **state)
{
	char *said = NULL;
	struct config *config;

	(void)state;
	file_write("main.yaml", whole, strlen(whole));
	config = config_of(&said);
	if (!config)
		fail_msg("refused: %s", said);
	check_services(config);
	check_lists(config);
	assert_int_equal(config->interfaces[1].mode, ATTACH_GENERIC);
	assert_true(config->observe && config->policy_set && config->threshold == 3);
	assert_int_equal(config->limits[GATE25_SCOPE_SOURCE].burst, 150);
	assert_true(config->limits[GATE25_SCOPE_SOURCE].rate_per_s == 5);
	assert_true(config->limits[GATE25_SCOPE_SOURCE].observe);
	assert_int_equal(config->limits[GATE25_SCOPE_SOURCE].services, 3);
	assert_int_equal(config->limits[GATE25_SCOPE_NETWORK].burst, 600); /* a minute's worth */
	assert_int_equal(config->limits[GATE25_SCOPE_NETWORK].services, 1);
	assert_int_equal(config->count, COUNT_SYNS);
	assert_int_equal(config_limited(config), 3);
	assert_int_equal(config->sources_mb, 8);
	assert_int_equal(config->overlay_entries, 1000);
	assert_true(config->events_per_s == 5);
	assert_string_equal(config->metrics_listen, "off");
	assert_string_equal(config->run_dir, "/r");
	config_free(config);
	free(said);
}

static void test_defaults(void **state)
{
	static const char yaml[] = "threshold: 1\n";
	char *said = NULL;
	struct config *config;

	(void)state;
	file_write("main.yaml", yaml, strlen(yaml));
	config = config_of(&said);
	assert_non_null(config);
	assert_non_null(strstr(said, "warning: no interface is guarded"));
	assert_true(!config->observe && !config->policy_set && config->threshold == 1);
	assert_int_equal(config->services_count, 1);
	assert_string_equal(config->services[0].name, "mx");
	assert_int_equal(config->services[0].ports[0], 25);
	assert_false(config->limits[GATE25_SCOPE_SOURCE].set);
	assert_int_equal(config->count, COUNT_AUTO);
	assert_int_equal(config_limited(config), 0);
	assert_true(config->translated_count == 1 &&
		    config->translated[0][0] == 0x0064ff9b00000000ULL && !config->translated[0][1]);
	assert_string_equal(config->metrics_listen, "127.0.0.1:9925");
	config_free(config);
	free(said);
}

static const struct doubt {
	const char *name, *yaml, *want;
} doubts[] = {
	{ "no list can block", WHO "threshold: 3\nlists: [{name: a, file: /a}]\n",
	  "no list can block" },
	{ "insecure alone", WHO "lists: [{name: a, url: \"http://h/a\", insecure: true}]\n",
	  "capped below the threshold" },
	{ "default drop", WHO "services: [{name: a, ports: [25], default: drop}]\n",
	  "it passes everything until" },
	{ "a wide entry", WHO "lists: [{name: a, entries: [192.0.2.1, 0.0.0.0/1]}]\n",
	  "list 'a': 0.0.0.0/1 is wider than a /8; is that meant?" },
	{ "all allowed", WHO "allow: [{name: a, entries: [\"::/0\"]}]\n",
	  "list 'a': ::/0 covers everything; is that meant?" },
	{ "a list that costs mail",
	  WHO "lists: [{name: a, url: \"https://h/dnsbl-3.uceprotect.net.gz\"}]\n",
	  "stops much good mail: it names whole providers" },
	{ "holds nowhere", WHO "ports: [465]\nlists: [{name: a, file: /a}]\n", "holds nowhere" },
};

static void test_doubts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(doubts) / sizeof(doubts[0]); i++) {
		struct config *config;
		char *said = NULL;

		file_write("main.yaml", doubts[i].yaml, strlen(doubts[i].yaml));
		config = config_of(&said);
		if (!config || !strstr(said, "warning: ") || !strstr(said, doubts[i].want))
			fail_msg("%s: said %s", doubts[i].name, said);
		config_free(config);
		free(said);
	}
}

/* What an operator wrote may look like our own words: it is told apart all the same. */
static void test_apart(void **state)
{
	static const char yaml[] = "policy: \"warning: enforce\"\nports: [25]\n";
	char *wrong = NULL, *doubtful = NULL, path[128];
	struct config *config = NULL;
	size_t size;
	FILE *errors = open_memstream(&wrong, &size);
	FILE *warnings = open_memstream(&doubtful, &size);

	(void)state;
	file_write("main.yaml", yaml, strlen(yaml));
	snprintf(path, sizeof(path), "%s/main.yaml", folder);
	assert_int_not_equal(config_read_apart(path, errors, warnings, &config), 0);
	fclose(errors);
	fclose(warnings);
	assert_non_null(strstr(wrong, "1: policy: 'warning: enforce' is not known"));
	assert_null(strstr(wrong, "no interface"));
	assert_non_null(strstr(doubtful, "no interface is guarded"));
	assert_null(strstr(doubtful, "warning"));
	free(wrong);
	free(doubtful);
}

/* ---------------------------------------------------------------- several files */

static void include(const char *first, const char *second, const char *third, const char *want)
{
	char *said = NULL;
	struct config *config;

	file_write("main.yaml", first, strlen(first));
	file_write("conf.d/1.yaml", second, strlen(second));
	file_write("conf.d/2.yaml", third, strlen(third));
	config = config_of(&said);
	if (want ? !strstr(said, want) || config : !config)
		fail_msg("said %s want %s", said, want ? want : "nothing");
	if (config)
		assert_int_equal(config->files_count, 3);
	config_free(config);
	free(said);
}

#define INCLUDE WHO "include: conf.d/*.yaml\n"

static void test_includes(void **state)
{
	char *said = NULL;
	struct config *config;

	(void)state;
	include(INCLUDE, "lists: [{name: a, file: /a}]\n", "lists: [{name: a, weight: 2}]\n", NULL);
	config = config_of(&said);
	assert_true(config->lists_count == 1 && config->lists[0].weight == 2);
	assert_string_equal(config->lists[0].file, "/a");
	config_free(config);
	free(said);
	include(INCLUDE, "threshold: 2\n", "threshold: 3\n",
		"conf.d/2.yaml:1: key 'threshold' is set here and in ");
	include(INCLUDE, "threshold: 2\n", "threshold: 3\n", "conf.d/1.yaml:1");
	include(INCLUDE, "lists: [{name: a, file: /a}]\n", "lists: [{name: a, file: /b}]\n",
		"key 'file' is set here and in ");
	include(INCLUDE, "# nothing yet\n", "",
		NULL); /* of several files, only the first must hold something */
	include("include: conf.d/*.yaml\n", WHO "services: [{name: a, ports: [25]}]\n",
		"services: []\n", NULL);
	include(INCLUDE, "policy: x\n", "", "conf.d/1.yaml:1: policy: 'x'");
}

/* The paths of a broken file are still of use to whoever wants to unload or pause. */
static void test_paths_of_a_broken_file(void **state)
{
	static const char yaml[] = "state_dir: /s\npolicy: x\nrun_dir: /r\n";
	struct config *config = NULL;
	bool faults = false;
	char path[128];

	(void)state;
	file_write("main.yaml", yaml, strlen(yaml));
	snprintf(path, sizeof(path), "%s/main.yaml", folder);
	assert_int_equal(config_read_paths(path, &faults, &config), 0);
	assert_true(faults);
	assert_string_equal(config->state_dir, "/s");
	assert_string_equal(config->run_dir, "/r");
	assert_string_equal(config->pin_dir, CONFIG_PIN_DIR);
	config_free(config);
	assert_int_equal(config_read_paths("/nonexistent/x", &faults, &config), 0);
	assert_string_equal(config->state_dir, CONFIG_STATE_DIR);
	config_free(config);
}

/* Whatever the file says: a configuration, or a message; no crash and no leak (see `make asan`). */
static void test_mutations(void **state)
{
	unsigned int seed = 25, taken = 0;
	char text[sizeof(whole)];

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t length = strlen(whole);
		struct config *config;
		char *said = NULL;

		memcpy(text, whole, sizeof(whole));
		for (int i = rand_r(&seed) % 2; i >= 0; i--)
			text[rand_r(&seed) % length] =
				(char)(round % 8 ? 32 + rand_r(&seed) % 95 : rand_r(&seed));
		if (round % 3 == 0)
			length = rand_r(&seed) % length;
		file_write("main.yaml", text, length);
		config = config_of(&said);
		taken += config != NULL;
		config_free(config);
		free(said);
	}
	print_message("%u of 3000 taken\n", taken);
	assert_true(taken > 20 && taken < 2900);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_all_problems_are_said),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_list_bounds),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_doubts),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_includes),
		cmocka_unit_test(test_paths_of_a_broken_file),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests_name("config", tests, setup, teardown);
}
