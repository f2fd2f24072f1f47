// SPDX-License-Identifier: GPL-2.0-only
/* Bounds on results, one a line: what is compared, with what, and which way. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/bench/loading.h"
#include "user/print.h"

#define MIB (1024.0 * 1024)

enum relation {
	ALONE,
	OVER,
	LESS
}; /* the first; divided by the second; the second taken from it */
enum side { AT_LEAST, AT_MOST };

static const struct bound {
	const char *text;
	const char *row, *key;
	enum relation relation;
	const char *other_row, *other_key;
	enum side side;
	double bound, aim; /* aim: NAN if there is none beyond the bound */
	double unit;
} bounds[] = {
	{ "1M hosts, hits: rate of drop-only", "1M hit gate25", "ratio_drop_all", ALONE, NULL, NULL,
	  AT_LEAST, 0.28, 0.5, 1 },
	{ "1M hosts, misses: rate of drop-only", "1M miss gate25", "ratio_drop_all", ALONE, NULL,
	  NULL, AT_LEAST, 0.33, 0.5, 1 },
	{ "1M hosts, hits: times nftables", "1M hit nftables", "ns", OVER, "1M hit gate25", "ns",
	  AT_LEAST, 6, NAN, 1 },
	{ "1M hosts, misses: times nftables", "1M miss nftables", "ns", OVER, "1M miss gate25",
	  "ns", AT_LEAST, 6, NAN, 1 },
	{ "1M hosts, hits: times nftables with intervals", "1M hit nftables intervals", "ns", OVER,
	  "1M hit gate25", "ns", AT_LEAST, 6, NAN, 1 },
	{ "1M hosts, misses: times nftables with intervals", "1M miss nftables intervals", "ns",
	  OVER, "1M miss gate25", "ns", AT_LEAST, 6, NAN, 1 },
	{ "1M hosts, hits: times ipset", "1M hit ipset", "ns", OVER, "1M hit gate25", "ns",
	  AT_LEAST, 5, NAN, 1 },
	{ "1M hosts, misses: times ipset", "1M miss ipset", "ns", OVER, "1M miss gate25", "ns",
	  AT_LEAST, 5, NAN, 1 },
	{ "10k hosts, hits: rate of drop-only", "10k hit gate25", "ratio_drop_all", ALONE, NULL,
	  NULL, AT_LEAST, 0.65, NAN, 1 },
	{ "10k hosts, misses: rate of drop-only", "10k miss gate25", "ratio_drop_all", ALONE, NULL,
	  NULL, AT_LEAST, 0.65, NAN, 1 },
	{ "UCEPROTECT, hits: rate of drop-only", "UCEPROTECT hit gate25", "ratio_drop_all", ALONE,
	  NULL, NULL, AT_LEAST, 0.7, NAN, 1 },
	{ "UCEPROTECT, misses: rate of drop-only", "UCEPROTECT miss gate25", "ratio_drop_all",
	  ALONE, NULL, NULL, AT_LEAST, 0.7, NAN, 1 },
	{ "100k IPv6 prefixes, hits: rate of drop-only", "IPv6 100k hit gate25", "ratio_drop_all",
	  ALONE, NULL, NULL, AT_LEAST, 0.4, NAN, 1 },
	{ "100k IPv6 prefixes, misses: rate of drop-only", "IPv6 100k miss gate25",
	  "ratio_drop_all", ALONE, NULL, NULL, AT_LEAST, 0.4, NAN, 1 },
	{ "UDP: ns over pass-only", "UDP gate25", "ns", LESS, "UDP pass-only", "ns", AT_MOST, 8,
	  NAN, 1 },
	{ "TCP/443: ns over pass-only", "TCP/443 gate25", "ns", LESS, "TCP/443 pass-only", "ns",
	  AT_MOST, 8, NAN, 1 },
	{ "established, good sender: ns over pass-only", "established good gate25", "ns", LESS,
	  "established good pass-only", "ns", AT_MOST, 15, NAN, 1 },
	{ "plain text, M lines a second", "parse plain", "lines_per_s", ALONE, NULL, NULL, AT_LEAST,
	  2, NAN, 1e6 },
	{ "ip4set zones, M lines a second", "parse rbldnsd", "lines_per_s", ALONE, NULL, NULL,
	  AT_LEAST, 2, NAN, 1e6 },
	{ "ip4set zones with values, M lines a second", "parse rbldnsd values", "lines_per_s",
	  ALONE, NULL, NULL, AT_LEAST, 2, NAN, 1e6 },
	{ "1M lines: of ipset restore's time", "1M load gate25 reload", "seconds", OVER,
	  "1M load ipset restore", "seconds", AT_MOST, 0.25, 0.125, 1 },
	{ "5M lines: times 1M lines", "5M load gate25 reload", "seconds", OVER,
	  "1M load gate25 reload", "seconds", AT_MOST, 6, NAN, 1 },
	{ "1M hosts: kernel memory, MiB", "1M load gate25 reload", "kernel_bytes", ALONE, NULL,
	  NULL, AT_MOST, 24, NAN, MIB },
	{ "5M hosts: kernel memory, MiB", "5M load gate25 reload", "kernel_bytes", ALONE, NULL,
	  NULL, AT_MOST, 120, NAN, MIB },
	{ "5M lines: agent's memory after, over before, MiB", "5M load gate25 reload",
	  "after_bytes", LESS, "5M load gate25 reload", "before_bytes", AT_MOST, 4, NAN, MIB },
	{ "1M swapped 50 times: listed frames let through", "1M swaps", "listed_through", ALONE,
	  NULL, NULL, AT_MOST, 0, NAN, 1 },
	{ "1M swapped 50 times: seen behind it beyond the good", "1M swaps", "passed", LESS,
	  "1M swaps", "good", AT_MOST, 0, NAN, 1 },
	{ "1M swapped 50 times: good frames dropped", "1M swaps", "good_dropped", ALONE, NULL, NULL,
	  AT_MOST, 0, NAN, 1 },
};
#define BOUNDS (sizeof(bounds) / sizeof(bounds[0]))

/* NAN: that row was not measured. */
static double result_find(const char *row, const char *key)
{
	size_t index;
	json_t *result;

	json_array_foreach(report_results(), index, result)
		if (!strcmp(json_text(result, "name"), row))
			return json_number_value(json_object_get(result, key));
	return NAN;
}

static double bound_value(const struct bound *bound)
{
	double value = result_find(bound->row, bound->key);

	if (bound->relation == OVER)
		value /= result_find(bound->other_row, bound->other_key);
	if (bound->relation == LESS)
		value -= result_find(bound->other_row, bound->other_key);
	return value / bound->unit;
}

static const char *bound_say(const struct bound *bound, double value)
{
	bool most = bound->side == AT_MOST;

	if (isnan(value))
		return "not measured";
	if (most ? value > bound->bound : value < bound->bound)
		return "NOT HELD";
	if (isnan(bound->aim))
		return "held";
	return (most ? value <= bound->aim : value >= bound->aim) ? "held, and the aim" : "held";
}

void bounds_report(void)
{
	const struct column columns[] = {
		{ "text", "bound", false },
		{ "value", "measured", true },
		{ "bound", "wanted", true },
		{ "said", "", false },
	};
	json_t *table = json_array();
	bool any = false;

	for (size_t i = 0; i < BOUNDS; i++) {
		const struct bound *bound = &bounds[i];
		double value = bound_value(bound);
		char text[2][64] = { "" };

		if (isnan(value) && options->filter)
			continue;
		any |= !isnan(value);
		if (!isnan(value))
			snprintf(text[0], sizeof(text[0]), "%.3g", value);
		snprintf(text[1], sizeof(text[1]), "%s %.3g",
			 bound->side == AT_MOST ? "at most" : "at least", bound->bound);
		json_array_append_new(table, json_pack("{ss, ss, ss, ss}", "text", bound->text,
						       "value", text[0], "bound", text[1], "said",
						       bound_say(bound, value)));
	}
	if (any)
		print_results(false, table, columns, sizeof(columns) / sizeof(columns[0]));
	else
		json_decref(table);
}
