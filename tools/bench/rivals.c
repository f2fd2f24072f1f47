// SPDX-License-Identifier: GPL-2.0-only
/* nftables, ipset, maps of the kernel and xdp-filter as subjects of the bench. */
#include "tools/bench/rivals.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/rivals.skel.h"
#include "user/log.h"

static int device_tally(const struct subject *subject, __u64 other, __u64 tallies[TALLIES])
{
	tallies[TALLY_OTHER] = other;
	tallies[TALLY_LISTED] = device_received(&subject->device) - other;
	return 0;
}

/* ---------------------------------------------------------------- nftables */

static int nft_table_write(const struct entries *entries, const char *path, const char *table,
			   const char *device, bool interval)
{
	FILE *file = fopen(path, "we");
	char text[64];

	if (!file)
		return -errno;
	fprintf(file,
		"table netdev %s {\n\tcounter other {}\n\tset listed {\n\t\ttype %s\n%s"
		"\t\telements = {\n",
		table, entries->family == 4 ? "ipv4_addr" : "ipv6_addr",
		!interval ? "" : "\t\tflags interval\n\t\tauto-merge\n");
	for (__u32 i = 0; i < entries->count; i++)
		fprintf(file, "%s,\n", entry_format(entries, &entries->items[i], text));
	fprintf(file,
		"}\n\t}\n\tchain in {\n\t\ttype filter hook ingress device %s priority 0\n"
		"\t\t%s saddr @listed drop\n\t\tcounter name other drop\n\t}\n}\n",
		device, entries->family == 4 ? "ip" : "ip6");
	return fclose(file) ? -errno : 0;
}

int nft_write(const struct entries *entries, const char *path, const char *device)
{
	return nft_table_write(entries, path, "bench", device, !entries->hosts);
}

/* Reset, since to list a counter nft first reads the whole set. */
static int nft_tally(struct subject *subject, __u64 tallies[TALLIES])
{
	char text[1024];
	const char *at;
	int error = command_read(text, sizeof(text), "nft reset counter netdev %s other",
				 (const char *)subject->own);

	at = strstr(text, "packets ");
	if (error || !at)
		return -EIO;
	subject->other += strtoull(at + strlen("packets "), NULL, 10);
	return device_tally(subject, subject->other, tallies);
}

static void nft_close(struct subject *subject)
{
	command_run("nft delete table netdev %s", (const char *)subject->own);
	device_remove(&subject->device);
}

static int nft_table_make(struct subject *subject, const struct entries *entries, char *table,
			  bool interval)
{
	int error = device_make(&subject->device, table);

	if (!error)
		error = nft_table_write(entries, "/run/bench/nft", table, subject->device.name,
					interval);
	if (!error)
		error = command_run("nft -f /run/bench/nft");
	unlink("/run/bench/nft");
	subject->own = table;
	subject->tally = nft_tally;
	if (!error)
		subject->close = nft_close;
	return error;
}

static int nft_make(struct subject *subject, const struct entries *entries)
{
	static char table[] = "nft";

	return nft_table_make(subject, entries, table, !entries->hosts);
}

/* The kind of set that a list with networks needs, and most lists have some. */
static int nft_interval_make(struct subject *subject, const struct entries *entries)
{
	static char table[] = "ranges";

	return nft_table_make(subject, entries, table, true);
}

#define INTERVALS_MOST 1000000

static const char *nft_interval_refuses(const struct entries *entries)
{
	if (!entries->hosts)
		return "it is what the row nftables has here";
	return entries->count > INTERVALS_MOST ? "more than 1 M take it half a minute to load" :
						 NULL;
}

/* ---------------------------------------------------------------- ipset */

int ipset_write(const struct entries *entries, const char *path)
{
	FILE *file = fopen(path, "we");
	char text[64];

	if (!file)
		return -errno;
	fprintf(file, "create listed hash:%s family %s maxelem %u\n", entries->hosts ? "ip" : "net",
		entries->family == 4 ? "inet" : "inet6",
		entries->count > 65536 ? entries->count : 65536);
	for (__u32 i = 0; i < entries->count; i++)
		fprintf(file, "add listed %s\n", entry_format(entries, &entries->items[i], text));
	return fclose(file) ? -errno : 0;
}

static const char *iptables(const struct subject *subject)
{
	return subject->own;
}

/* The counter of the rule after the set's. */
static int ipset_tally(struct subject *subject, __u64 tallies[TALLIES])
{
	char text[64];
	int error = command_read(text, sizeof(text),
				 "%s -t raw -nvxL PREROUTING | awk 'NR == 4 { print $1 }'",
				 iptables(subject));

	return error ? error : device_tally(subject, strtoull(text, NULL, 10), tallies);
}

static void ipset_close(struct subject *subject)
{
	command_run("%s -t raw -F PREROUTING; ipset destroy listed", iptables(subject));
	device_remove(&subject->device);
}

static int ipset_make(struct subject *subject, const struct entries *entries)
{
	int error = device_make(&subject->device, "ipset");
	const char *device = subject->device.name;

	subject->own = entries->family == 4 ? "iptables" : "ip6tables";
	if (!error)
		error = ipset_write(entries, "/run/bench/ipset");
	if (!error)
		error = command_run("ipset restore -f /run/bench/ipset");
	unlink("/run/bench/ipset");
	subject->tally = ipset_tally;
	if (error)
		return error;
	subject->close = ipset_close;
	error = command_run("%s -t raw -A PREROUTING -i %s -m set --match-set listed src -j DROP",
			    iptables(subject), device);
	if (!error)
		error = command_run("%s -t raw -A PREROUTING -i %s -j DROP", iptables(subject),
				    device);
	return error;
}

/* ---------------------------------------------------------------- maps of the kernel */

#define BATCH 65536

/* An LPM trie's key is the length and then the address, a hash's the address alone. */
static int map_fill(struct bpf_map *map, const struct entries *entries)
{
	LIBBPF_OPTS(bpf_map_batch_opts, batch);
	__u32 size = bpf_map__key_size(map), skip = bpf_map__type(map) == BPF_MAP_TYPE_HASH;
	char *keys = malloc((size_t)BATCH * size);
	__u32 *values = calloc(BATCH, sizeof(*values));
	int error = keys && values ? 0 : -ENOMEM;

	for (__u32 done = 0, count; !error && done < entries->count; done += count) {
		count = entries->count - done < BATCH ? entries->count - done : BATCH;
		for (__u32 i = 0; i < count; i++) {
			const struct entry *entry = &entries->items[done + i];
			__u32 key[5] = { entry->length };

			memcpy(key + 1, entry->be, sizeof(entry->be));
			memcpy(keys + (size_t)i * size, key + skip, size);
		}
		if (bpf_map_update_batch(bpf_map__fd(map), keys, values, &count, &batch))
			error = -errno;
	}
	free(values);
	free(keys);
	return error;
}

static int map_tally(struct subject *subject, __u64 tallies[TALLIES])
{
	const struct rivals_bpf *skeleton = subject->own;

	tallies[TALLY_OTHER] = skeleton->bss->seen[0];
	tallies[TALLY_LISTED] = skeleton->bss->seen[1];
	return 0;
}

static void map_close(struct subject *subject)
{
	device_remove(&subject->device);
	rivals_bpf__destroy(subject->own);
}

static int map_make(struct subject *subject, const struct entries *entries, const char *device,
		    const char *map_name, const char *program_name)
{
	struct rivals_bpf *skeleton = rivals_bpf__open();
	struct bpf_program *program;
	struct bpf_map *map;
	int error;

	if (!skeleton)
		return -errno;
	subject->own = skeleton;
	subject->tally = map_tally;
	subject->close = map_close;
	map = bpf_object__find_map_by_name(skeleton->obj, map_name);
	program = bpf_object__find_program_by_name(skeleton->obj, program_name);
	error = bpf_map__set_max_entries(map, entries->count);
	if (!error)
		error = rivals_bpf__load(skeleton);
	if (!error)
		error = map_fill(map, entries);
	if (!error)
		error = device_make(&subject->device, device);
	if (!error)
		error = bpf_xdp_attach(subject->device.ifindex, bpf_program__fd(program),
				       XDP_FLAGS_DRV_MODE, NULL);
	return error;
}

static int trie_make(struct subject *subject, const struct entries *entries)
{
	bool four = entries->family == 4;

	return map_make(subject, entries, "trie", four ? "trie4" : "trie6",
			four ? "by_trie4" : "by_trie6");
}

static const char *hash_refuses(const struct entries *entries)
{
	return entries->hosts && entries->family == 4 ? NULL : "it holds single addresses only";
}

static int hash_make(struct subject *subject, const struct entries *entries)
{
	return map_make(subject, entries, "hash", "hash4", "by_hash4");
}

/* ---------------------------------------------------------------- xdp-filter */

#define FILTER_MOST   10000
#define FILTER_MAP    "/sys/fs/bpf/xdp-filter/filter_ipv4"
#define FILTER_STATS  "/sys/fs/bpf/xdp-filter/xdp_stats_map"
#define FILTER_SOURCE 1 /* what `xdp-filter ip -m src` writes */

static const char *filter_refuses(const struct entries *entries)
{
	if (!entries->hosts)
		return "it holds single addresses only";
	return entries->count > FILTER_MOST ? "its maps hold 10,000 addresses" : NULL;
}

/* What was dropped, and what passed: its own statistics. */
static int filter_tally(struct subject *subject __attribute__((unused)), __u64 tallies[TALLIES])
{
	struct {
		__u64 packets, bytes;
	} stats[256];
	int cpus = libbpf_num_possible_cpus(), fd = bpf_obj_get(FILTER_STATS), error = 0;

	if (fd < 0 || cpus > 256)
		return -EIO;
	for (__u32 action = XDP_DROP; action <= XDP_PASS; action++) {
		error |= bpf_map_lookup_elem(fd, &action, stats);
		for (int i = 0; !error && i < cpus; i++)
			tallies[action == XDP_DROP ? TALLY_LISTED : TALLY_OTHER] +=
				stats[i].packets;
	}
	close(fd);
	return error;
}

static void filter_close(struct subject *subject)
{
	command_run("xdp-filter unload %s", subject->device.name);
	device_remove(&subject->device);
}

/* Straight into its map: a process for each of 10,000 addresses would take a minute. */
static int filter_fill(const struct entries *entries)
{
	__u64 values[256];
	int fd = bpf_obj_get(FILTER_MAP), error = 0;

	if (fd < 0)
		return -errno;
	for (int i = 0; i < 256; i++)
		values[i] = FILTER_SOURCE;
	for (__u32 i = 0; !error && i < entries->count; i++)
		if (bpf_map_update_elem(fd, entries->items[i].be, values, BPF_ANY))
			error = -errno;
	close(fd);
	return error;
}

static int filter_make(struct subject *subject, const struct entries *entries)
{
	int error = device_make(&subject->device, "filter");

	if (!error)
		error = command_run("xdp-filter load -m native -f ipv4 -p allow %s",
				    subject->device.name);
	if (error)
		return error;
	subject->tally = filter_tally;
	subject->close = filter_close;
	return filter_fill(entries);
}

/* ---------------------------------------------------------------- all of them */

const struct rival rivals[] = {
	{ "nftables", NULL, nft_make, false },
	{ "nftables intervals", nft_interval_refuses, nft_interval_make, false },
	{ "ipset", NULL, ipset_make, false },
	{ "LPM trie", NULL, trie_make, false },
	{ "hash map", hash_refuses, hash_make, false },
	{ "xdp-filter", filter_refuses, filter_make, true },
};
const int rivals_count = sizeof(rivals) / sizeof(rivals[0]);
