// SPDX-License-Identifier: GPL-2.0-only
/* Loads the program with services and lists of a small world, and maps its maps. */
#include "tests/common/world.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/verdict.h"
#include "user/addr.h"
#include "user/lists/parse.h"

#define BIT(slot) (1 << (slot))
#define PORT_25	  (BIT(MX) | BIT(OWN))

static const struct {
	const char *name;
	__u8 services;
	bool allow, observe;
	const char *entries[6];
} lists[WORLD_LISTS] = {
	[BLOCKED] = { "blocked",
		      PORT_25,
		      false,
		      false,
		      { "203.0.113.0/24", "192.0.2.66", "2001:db8:bad::/48", "2001:db8::66" } },
	[SHADOW] = { "shadow",
		     PORT_25,
		     false,
		     true,
		     { "198.18.0.0/15", "203.0.113.0/25", "2001:db8:5ad::/48" } },
	[FRIENDS] = { "friends",
		      0xff & ~BIT(CLOSED),
		      true,
		      false,
		      { "203.0.113.10", "192.0.2.128/25", "2001:db8:bad:1::/64" } },
};

static const struct program_port ports[] = {
	{ 25, PORT_25 },       { 465, BIT(SUBMISSION) }, { 587, BIT(SUBMISSION) },
	{ 2525, BIT(CLOSED) }, { 2526, BIT(PARTNERS) },
};

static const char *const own_addresses[] = { "198.51.100.99", "198.51.100.128/25",
					     "2001:db8:ffff::99" };

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;
	const char *why = "";

	if (prefix_parse(text, NULL, 0, &prefix, &why)) {
		fprintf(stderr, "%s: %s\n", text, why); /* a slip in a test's table */
		abort();
	}
	return prefix;
}

/* ------------------------------------------------------------------ making */

static int list_make(enum world_list list, struct compile_list *out)
{
	struct prefix prefixes[6];
	struct list_image *image;
	size_t count = 0;
	int error;

	for (; lists[list].entries[count]; count++)
		prefixes[count] = prefix_of(lists[list].entries[count]);
	error = list_from_prefixes(prefixes, count, &image);
	if (error)
		return error;
	snprintf(out->info.name, sizeof(out->info.name), "%s", lists[list].name);
	out->info.weight = 1;
	out->info.allow = lists[list].allow;
	out->info.observe = lists[list].observe;
	out->info.action = GATE25_DROP;
	out->info.services = lists[list].services;
	out->image = image;
	return 0;
}

static int table_make(struct compiled_table **out)
{
	struct compile_list compiled[WORLD_LISTS] = { 0 };
	struct compile_input input = { .lists = compiled, .count = WORLD_LISTS, .threshold = 1 };
	int error = 0;

	for (int list = 0; !error && list < WORLD_LISTS; list++)
		error = list_make(list, &compiled[list]);
	if (!error)
		error = table_compile(&input, out);
	for (int list = 0; list < WORLD_LISTS; list++)
		list_image_free((struct list_image *)compiled[list].image);
	return error;
}

static void settings_fill(struct gate25_settings *settings)
{
	settings->iface = WORLD_IFACE;
	settings->any_address = 0xff & ~BIT(OWN);
	settings->allow_in_table = lists[FRIENDS].services;
	settings->default_action[CLOSED] = GATE25_DROP;
	settings->default_action[PARTNERS] = GATE25_DROP;
	settings->defaults = 1 << CLOSED | 1 << PARTNERS;
	settings->translated[0][0] = 0x0064ff9b00000000;
	settings->translated_count = 1;
	settings->addresses_count = sizeof(own_addresses) / sizeof(own_addresses[0]);
	for (__u32 i = 0; i < settings->addresses_count; i++) {
		struct prefix prefix = prefix_of(own_addresses[i]);

		settings->addresses[i].address = prefix.address;
		settings->addresses[i].length = prefix.length;
		settings->addresses[i].services = BIT(OWN);
	}
}

static size_t map_bytes(const struct bpf_map *map)
{
	size_t value = (bpf_map__value_size(map) + 7) & ~7UL;

	return (value * bpf_map__max_entries(map) + 4095) & ~4095UL;
}

static void *map_open(const struct world *world, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(world->program.object, name);
	void *memory =
		mmap(NULL, map_bytes(map), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (memory == MAP_FAILED) {
		perror(name);
		abort();
	}
	return memory;
}

const __u64 world_secret[2] = { 0x2525252525252525, 0x5252525252525252 };

static void maps_open(struct world *world)
{
	struct gate25_secret *secret = map_open(world, ".data.secret");

	memcpy(secret->siphash, world_secret, sizeof(world_secret));
	secret->hash = 0x0123456789abcdef;
	munmap(secret, 4096);
	world->control = map_open(world, ".data.control");
	world->filter = map_open(world, ".data.filter");
	world->counters = map_open(world, "counters");
	world->cpu_state = map_open(world, "cpu_state");
	world->sources = map_open(world, "sources");
	world->spent = map_open(world, ".data.spent");
	world->repeats = map_open(world, ".data.repeats");
	world->classes = map_open(world, "classes");
	world->class_hits = map_open(world, "class_hits");
	world->overlay_fd = program_map(&world->program, "overlay");
	world->events_fd = program_map(&world->program, "events");
}

int world_open(struct world *world, const struct world_setup *wanted)
{
	struct program_setup setup = { .settings = wanted->settings };
	struct compiled_table *table = NULL;
	int error = table_make(&table);

	memset(world, 0, sizeof(*world));
	if (error)
		return error;
	settings_fill(&setup.settings);
	memcpy(setup.ports, ports, sizeof(ports));
	setup.table = table;
	if (wanted->without_classes)
		table->classes_count = 1;
	error = program_load(&world->program, &setup);
	world->cpus = libbpf_num_possible_cpus();
	world->classes_count = table->classes_count;
	world->stride = (table->classes_count + 7) & ~7UL;
	compiled_table_free(table);
	if (!error)
		maps_open(world);
	return error;
}

int world_need_root(void **state)
{
	(void)state;
	if (geteuid())
		fprintf(stderr, "loading BPF programs needs root\n");
	return geteuid() ? -1 : 0;
}

static void map_close(const struct world *world, const char *name, void *memory)
{
	struct bpf_map *map = bpf_object__find_map_by_name(world->program.object, name);

	munmap(memory, map_bytes(map));
}

void world_close(struct world *world)
{
	if (!world->program.object)
		return;
	map_close(world, ".data.control", world->control);
	map_close(world, ".data.filter", world->filter);
	map_close(world, "counters", world->counters);
	map_close(world, "cpu_state", world->cpu_state);
	map_close(world, "sources", world->sources);
	map_close(world, ".data.spent", world->spent);
	map_close(world, ".data.repeats", world->repeats);
	map_close(world, "classes", world->classes);
	map_close(world, "class_hits", world->class_hits);
	program_free(&world->program);
}

/* ------------------------------------------------------------------ state */

static void map_zero(const struct world *world, const char *name, void *memory)
{
	memset(memory, 0, map_bytes(bpf_object__find_map_by_name(world->program.object, name)));
}

void world_clear(struct world *world)
{
	struct gate25_overlay_key key;

	map_zero(world, ".data.control", world->control);
	map_zero(world, ".data.filter", world->filter);
	map_zero(world, "counters", world->counters);
	map_zero(world, "cpu_state", world->cpu_state);
	map_zero(world, "sources", world->sources);
	map_zero(world, ".data.spent", world->spent);
	map_zero(world, ".data.repeats", world->repeats);
	map_zero(world, "class_hits", world->class_hits);
	while (bpf_map_get_next_key(world->overlay_fd, NULL, &key) == 0)
		bpf_map_delete_elem(world->overlay_fd, &key);
}

void world_entry(struct world *world, const char *prefix, enum gate25_slot slot, __u64 expires_ns,
		 __u8 services)
{
	static __u32 sequence;
	struct prefix masked = prefix_of(prefix);
	struct gate25_overlay_key key = { .hi = masked.address.hi,
					  .lo = masked.address.lo,
					  .family = masked.address.family,
					  .length = masked.length };
	struct gate25_overlay_entry entry = { 0 };
	__u32 bit;

	bpf_map_lookup_elem(world->overlay_fd, &key, &entry);
	entry.slots[slot] = (struct gate25_overlay_slot){ .expires_ns = expires_ns,
							  .sequence = ++sequence,
							  .services = services };
	if (bpf_map_update_elem(world->overlay_fd, &key, &entry, BPF_ANY))
		abort();
	bit = overlay_bit(&key);
	world->filter->words[bit / 64] |= 1ULL << bit % 64;
	if (key.family == 4)
		world->control->overlay_lengths4 |= 1ULL << key.length;
	else
		world->control->overlay_lengths6[key.length / 64] |= 1ULL << (key.length & 63);
}

unsigned int world_run(struct world *world, const struct packet_spec *spec)
{
	static unsigned char frame[PACKET_BYTES];

	return program_run(&world->program, frame, packet_build(spec, frame));
}

/* ------------------------------------------------------------------ counters */

struct gate25_counter world_count(const struct world *world, unsigned int row, unsigned int reason)
{
	struct gate25_counter sum = { 0 };

	for (unsigned int cpu = 0; cpu < world->cpus; cpu++) {
		size_t block = (cpu * GATE25_IFACES + WORLD_IFACE) * GATE25_SERVICE_ROWS + row;
		const struct gate25_counter *one =
			&world->counters[block * GATE25_REASONS + reason];

		sum.packets += one->packets;
		sum.connections += one->connections;
	}
	return sum;
}

__u64 world_packets(const struct world *world)
{
	size_t count = (size_t)world->cpus * GATE25_IFACES * GATE25_SERVICE_ROWS * GATE25_REASONS;
	__u64 sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += world->counters[i].packets;
	return sum;
}

__u64 world_errors(const struct world *world, enum gate25_error kind)
{
	__u64 sum = 0;

	for (unsigned int cpu = 0; cpu < world->cpus; cpu++)
		sum += world->cpu_state[cpu].errors[kind];
	return sum;
}

__u64 world_suppressed(const struct world *world)
{
	__u64 sum = 0;

	for (unsigned int cpu = 0; cpu < world->cpus; cpu++)
		sum += world->cpu_state[cpu].events_suppressed;
	return sum;
}

__u64 world_hits(const struct world *world, enum world_list list)
{
	__u64 sum = 0;

	for (__u32 class = 1; class < world->classes_count; class ++)
		for (unsigned int cpu = 0; cpu < world->cpus; cpu++)
			if (world->classes[class].lists >> list & 1)
				sum += world->class_hits[cpu * world->stride + class];
	return sum;
}

enum gate25_verdict world_verdict(unsigned int reason)
{
	switch (reason) {
#define VERDICT_CASE(number, name, verdict, label)                                                 \
	case number:                                                                               \
		return verdict;
		GATE25_REASON_TABLE(VERDICT_CASE)
	default:
		return GATE25_PASS;
	}
}
