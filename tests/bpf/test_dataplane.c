// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard in the kernel, as user space handles it: pins, slots, generations, links, harvests. On real devices
 * in a network namespace of its own, with a bpffs of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bpf/frames.h"
#include "tests/bpf/frames.skel.h"
#include "tests/common/stage.h"
#include "user/dataplane_internal.h"
#include "user/log.h"

enum { ID_ONE = 7, ID_TWO = 9 };

static const char *const entries_one[] = { "192.0.2.0/24", "2001:db8::/32", NULL };
static const char *const entries_two[] = { "192.0.2.7", "203.0.113.0/24", NULL };
static const struct stage_list lists[] = {
	{ "one", ID_ONE, false, false, entries_one },
	{ "two", ID_TWO, false, true, entries_two },
};

static struct stage stage;
static struct config config_before; /* as every test finds it */
static struct stage_table table;

/* ---------------------------------------------------------------- the stage */

static int group_setup(void **state)
{
	(void)state;
	log_init("test_dataplane", getenv("VERBOSE") ? LOG_INFO : LOG_EMERG);
	if (stage_enter(&stage))
		return -1;
	config_before = stage.config;
	return stage_table_make(lists, 2, &table);
}

static int group_teardown(void **state)
{
	(void)state;
	stage_table_free(&table);
	stage_leave(&stage);
	return 0;
}

static int test_setup(void **state)
{
	(void)state;
	return stage_veth("mx0", "peer0");
}

static int test_teardown(void **state)
{
	(void)state;
	guard_purge(stage.pin_dir);
	stage.config = config_before;
	return stage_run("for device in /proc/sys/net/ipv4/conf/*; do device=${device##*/}; "
			 "case $device in all|default|lo) ;; *) ip link del $device 2>/dev/null;; "
			 "esac; done; true");
}

static struct guard *created(void)
{
	struct guard *guard = NULL;

	assert_int_equal(guard_create(&stage.config, &guard), 0);
	return guard;
}

static void swapped(struct guard *guard, const char *iface, enum attach_mode mode)
{
	assert_int_equal(stage_swap(&stage, guard, &table, iface, mode), 0);
}

/* The one attachment that there is. */
static struct attachment attached(struct guard *guard)
{
	struct attachment out[GATE25_IFACES];

	assert_int_equal(guard_attachments(guard, out), 1);
	return out[0];
}

static __u32 running(const char *iface, bool *native)
{
	__u32 prog_id = 0;
	bool ignored;

	assert_int_equal(xdp_query(if_nametoindex(iface), &prog_id, native ? native : &ignored), 0);
	return prog_id;
}

static bool pinned(const char *name)
{
	char path[PATH_MAX];
	struct stat info;

	snprintf(path, sizeof(path), "%s/%s", stage.pin_dir, name);
	return stat(path, &info) == 0;
}

/* As if so many SYNs of a class had arrived on a CPU. */
static void hits_put(__u32 prog_id, unsigned int cpu, __u32 class, __u64 hits)
{
	struct mapping class_hits = { 0 }, generation = { 0 };
	__u32 stride;

	assert_int_equal(instance_map(stage.pin_dir, prog_id, &shape_class_hits,
				      PROT_READ | PROT_WRITE, &class_hits),
			 0);
	assert_int_equal(
		instance_map(stage.pin_dir, prog_id, &shape_generation, PROT_READ, &generation), 0);
	stride = ((struct gate25_generation *)generation.memory)->settings.class_stride;
	((__u64 *)class_hits.memory)[cpu * stride + class] += hits;
	mapping_release(&class_hits);
	mapping_release(&generation);
}

static __u16 class_of(__u32 address)
{
	struct gate25_source source = { .lo = address, .family = 4 };

	return table_class(table.compiled->lines, &table.compiled->layout, &source);
}

static __u64 hits_of(const struct guard *guard, __u32 id)
{
	static __u64 hits[GATE25_LIST_IDS];

	assert_int_equal(guard_list_hits(guard, hits), 0);
	return hits[id];
}

/* What a child says by its exit status: 0 is well. */
static int child_wait(pid_t child)
{
	int status = 0;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---------------------------------------------------------------- maps of state */

static void test_create_and_open(void **state)
{
	struct guard *guard = NULL, *again = NULL;

	(void)state;
	assert_int_equal(guard_open(stage.pin_dir, &guard), -ENOENT);
	assert_null(guard);
	guard = created();
	assert_int_equal(guard->names->layout, GATE25_LAYOUT);
	assert_int_equal(guard->source_lines, 1024 * 1024 / sizeof(struct gate25_source_line));
	assert_int_equal(guard->overlay_max, 1024);
	assert_true(guard->secret->siphash[0] && guard->secret->siphash[1] && guard->secret->hash);
	guard->control->observe = 1;
	guard_count_error(guard, GATE25_ERROR_SWAP);
	guard_count_error(NULL, GATE25_ERROR_SWAP);

	assert_int_equal(guard_open(stage.pin_dir, &again), 0);
	assert_int_equal(again->control->observe, 1);
	assert_int_equal(again->agent_errors[GATE25_ERROR_SWAP], 1);
	assert_memory_equal(again->secret, guard->secret, sizeof(*guard->secret));
	assert_true(guard_current(guard) && guard_current(again));
	guard_close(again);

	again = created(); /* what is there stays */
	assert_int_equal(again->control->observe, 1);
	assert_memory_equal(again->secret, guard->secret, sizeof(*guard->secret));
	guard_close(again);
	guard_close(guard);
}

/* A pin that somebody removed: opening says so, creating makes it again. */
static void test_missing_pin(void **state)
{
	struct guard *guard = created(), *again = NULL;
	char path[PATH_MAX];

	(void)state;
	snprintf(path, sizeof(path), "%s/repeats", stage.pin_dir);
	assert_int_equal(unlink(path), 0);
	assert_false(guard_current(guard));
	assert_int_equal(guard_open(stage.pin_dir, &again), -ENOENT);
	again = created();
	assert_true(pinned("repeats") && guard_current(again));
	guard_close(again);
	guard_close(guard);
}

static void test_other_layout(void **state)
{
	struct guard *guard = created(), *other = NULL;

	(void)state;
	swapped(guard, "mx0", ATTACH_AUTO);
	guard->names->layout = GATE25_LAYOUT + 1;
	guard_close(guard);
	assert_int_equal(guard_open(stage.pin_dir, &other), -EPROTO);
	assert_int_equal(guard_create(&stage.config, &other), -EPROTO);
	assert_null(other);
	assert_true(running("mx0", NULL)); /* it goes on guarding */
	assert_int_equal(guard_purge(stage.pin_dir), 0);
	assert_false(running("mx0", NULL));
	assert_int_equal(guard_open(stage.pin_dir, &other), -ENOENT);
	guard_close(created());
}

static void test_lock(void **state)
{
	int ready[2], fd;
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		byte = guard_lock(stage.run_dir, 0) < 0;
		(void)!write(ready[1], &byte, 1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(guard_lock(stage.run_dir, 0), -EAGAIN);
	kill(child, SIGKILL);
	assert_int_equal(child_wait(child), -SIGKILL);
	fd = guard_lock(stage.run_dir, 1);
	assert_true(fd >= 0);
	close(fd);
	close(ready[0]);
	close(ready[1]);
}

/* ---------------------------------------------------------------- slots */

static void count_put(struct guard *guard, int iface, int row, __u64 packets)
{
	size_t block = (size_t)iface * GATE25_SERVICE_ROWS + row;

	guard->counters[block * GATE25_REASONS + GATE25_REASON_LIST].packets = packets;
}

static __u64 count_of(const struct guard *guard, int iface, int row)
{
	return guard_counter(guard, iface, row, GATE25_REASON_LIST).packets;
}

static void services_set(struct config *config, const char *names)
{
	config->services_count = strlen(names);
	for (size_t i = 0; names[i]; i++) {
		memset(&config->services[i], 0, sizeof(config->services[i]));
		config->services[i].name[0] = names[i];
		config->services[i].ports[0] = 25 + i;
		config->services[i].ports_count = 1;
	}
}

static void test_service_slots(void **state)
{
	/* each on top of the one before; what is put in force is harvested, which frees slots */
	static const struct {
		const char *name, *services;
		bool in_force;
		const char *owners; /* of slots 0.., '-' free */
	} steps[] = {
		{ "first", "ab", true, "ab------" },
		{ "other order", "ba", true, "ab------" },
		{ "one more, not in force yet", "bca", false, "abc-----" },
		{ "all", "abcdefgh", true, "abcdefgh" },
		{ "a full house, one is new", "xbcdefgh", false, "xbcdefgh" },
		{ "in force", "xbcdefgh", true, "xbcdefgh" },
		{ "most are gone, not in force yet", "xh", false, "xbcdefgh" },
		{ "and now", "xh", true, "x------h" },
		{ "free ones first", "yh", false, "xy-----h" },
	};
	struct guard *guard = created();

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		char owners[GATE25_SERVICES + 1] = "";
		__u8 slots[GATE25_SERVICES];

		services_set(&stage.config, steps[i].services);
		assert_int_equal(guard_assign_services(guard, &stage.config, slots), 0);
		for (size_t s = 0; steps[i].services[s]; s++)
			assert_int_equal(guard->names->services[slots[s]][0], steps[i].services[s]);
		if (steps[i].in_force)
			swapped(guard, "mx0", ATTACH_AUTO);
		for (int s = 0; s < GATE25_SERVICES; s++)
			owners[s] = guard->names->services[s][0] ? guard->names->services[s][0] :
								   '-';
		if (strcmp(owners, steps[i].owners) != 0)
			fail_msg("%s: %s, not %s", steps[i].name, owners, steps[i].owners);
	}
	guard_close(guard);
}

static void test_slots_start_from_zero(void **state)
{
	struct guard *guard = created();
	int mx0 = guard_iface_slot(guard, "mx0", true),
	    other = guard_iface_slot(guard, "mx1", true);
	int mx = guard_service_slot(guard, "mx", true);

	(void)state;
	assert_int_equal(mx0, 0);
	assert_int_equal(other, 1);
	assert_int_equal(mx, 0);
	count_put(guard, mx0, mx, 5);
	count_put(guard, mx0, 3, 6);
	count_put(guard, 2, mx, 7);
	assert_int_equal(guard_iface_slot(guard, "mx0", true), mx0); /* found, not taken */
	assert_int_equal(guard_iface_slot(guard, "mx2", false), -ENOENT);
	assert_int_equal(guard_iface_slot(guard, "", false), -ENOENT);
	assert_int_equal(count_of(guard, mx0, mx), 5);
	assert_int_equal(guard_iface_slot(guard, "mx2", true), 2);
	assert_int_equal(count_of(guard, 2, mx), 0);
	assert_int_equal(count_of(guard, mx0, mx), 5);
	guard->control->manual_allow_until_ns[1] = GATE25_NEVER;
	count_put(guard, mx0, 1, 8);
	assert_int_equal(guard_service_slot(guard, "submission", true), 1);
	assert_int_equal(count_of(guard, mx0, 1), 0);
	assert_int_equal(count_of(guard, mx0, mx), 5);
	assert_int_equal(guard->control->manual_allow_until_ns[1], 0);
	guard_close(guard);
}

/* mx0 is configured, x1 is attached; the others are neither, and give way once all 16 are taken. */
static void test_interface_slots_run_out(void **state)
{
	struct guard *guard = created();
	char name[16];

	(void)state;
	assert_int_equal(stage_veth("x1", "peer1"), 0);
	assert_int_equal(guard_iface_slot(guard, "mx0", true), 0);
	swapped(guard, "x1", ATTACH_AUTO);
	for (int i = 2; i < GATE25_IFACES; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		assert_int_equal(guard_iface_slot(guard, name, true), i);
	}
	count_put(guard, 2, 0, 5);
	assert_int_equal(guard_iface_slot(guard, "new", true), 2);
	assert_int_equal(count_of(guard, 2, 0), 0);
	assert_int_equal(guard_iface_slot(guard, "x2", false), -ENOENT);
	assert_int_equal(guard_iface_slot(guard, "mx0", false), 0);
	assert_int_equal(guard_iface_slot(guard, "x1", false), 1);
	guard_close(guard);
}

/* ---------------------------------------------------------------- attach */

static void test_modes(void **state)
{
	static const struct {
		const char *name, *make, *device;
		enum attach_mode mode;
		int error;
		bool native;
	} cases[] = {
		{ "veth, auto", "", "mx0", ATTACH_AUTO, 0, true },
		{ "veth, native", "", "mx0", ATTACH_NATIVE, 0, true },
		{ "veth, generic", "", "mx0", ATTACH_GENERIC, 0, false },
		{ "jumbo frames", "ip link set mx0 mtu 9000 && ip link set peer0 mtu 9000", "mx0",
		  ATTACH_NATIVE, 0, true },
		{ "no driver for it, auto", "ip link add br0 type bridge", "br0", ATTACH_AUTO, 0,
		  false },
		{ "no driver for it, native", "ip link add br1 type bridge", "br1", ATTACH_NATIVE,
		  -EOPNOTSUPP, false },
		{ "no such device", "", "mx9", ATTACH_AUTO, -ENODEV, false },
		{ "no Ethernet: lo", "", "lo", ATTACH_AUTO, -EMEDIUMTYPE, false },
		{ "no Ethernet: tun", "ip tuntap add tun0 mode tun", "tun0", ATTACH_AUTO,
		  -EMEDIUMTYPE, false },
	};
	struct guard *guard = created();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool native = false;
		int error;

		assert_int_equal(stage_run("%s", cases[i].make), 0);
		error = stage_swap(&stage, guard, &table, cases[i].device, cases[i].mode);
		if (error != cases[i].error)
			fail_msg("%s: %s", cases[i].name, strerror(-error));
		if (error) {
			__u32 ids[INSTANCES_MAX];

			assert_int_equal(guard_detach(guard, cases[i].device), -ENOENT);
			assert_int_equal(instances_pinned(stage.pin_dir, ids), 0);
			continue;
		}
		assert_int_equal(running(cases[i].device, &native), attached(guard).prog_id);
		assert_int_equal(native, cases[i].native);
		assert_int_equal(attached(guard).native, cases[i].native);
		assert_int_equal(guard_detach(guard, cases[i].device), 0);
		assert_int_equal(running(cases[i].device, NULL), 0);
	}
	guard_close(guard);
}

static void test_swap_keeps_link(void **state)
{
	struct guard *guard = created();
	struct attachment first, second;
	struct view view;
	char path[64];

	(void)state;
	swapped(guard, "mx0", ATTACH_GENERIC);
	first = attached(guard);
	assert_int_equal(view_open(guard, first.prog_id, &view), 0);
	assert_int_equal(view.generation->number, 1);
	assert_int_equal(view.generation->settings.iface, 0);
	view_close(&view);
	swapped(guard, "mx0", ATTACH_AUTO);
	second = attached(guard);
	assert_false(second.native); /* auto leaves the link as it is */
	assert_int_not_equal(first.prog_id, second.prog_id);
	assert_int_equal(running("mx0", NULL), second.prog_id);
	assert_int_equal(view_open(guard, first.prog_id, &view), -ENOENT);
	assert_int_equal(view_open(guard, second.prog_id, &view), 0);
	assert_int_equal(view.generation->number, 2);
	assert_memory_equal(view.table, table.compiled->lines, table.compiled->layout.lines * 64);
	assert_memory_equal(view.classes, table.compiled->classes,
			    table.compiled->classes_count * sizeof(struct gate25_class));
	view_close(&view);
	snprintf(path, sizeof(path), "gen/%u", first.prog_id);
	assert_false(pinned(path));
	swapped(guard, "mx0", ATTACH_NATIVE); /* another mode needs another link */
	assert_true(attached(guard).native);
	swapped(guard, "mx0", ATTACH_GENERIC);
	assert_false(attached(guard).native);
	assert_int_equal(running("mx0", NULL), attached(guard).prog_id);
	guard_close(guard);
}

/* A bridge has no native mode: asked to change to it, the guard stays in force in the other. */
static void test_mode_refused_on_swap(void **state)
{
	struct guard *guard = created();
	__u32 first;

	(void)state;
	assert_int_equal(stage_run("ip link add br0 type bridge"), 0);
	swapped(guard, "br0", ATTACH_AUTO);
	first = attached(guard).prog_id;
	swapped(guard, "br0", ATTACH_NATIVE);
	assert_int_not_equal(attached(guard).prog_id, first);
	assert_int_equal(running("br0", NULL), attached(guard).prog_id);
	assert_false(attached(guard).native);
	guard_close(guard);
}

static void test_pins_outlive_processes(void **state)
{
	struct guard *guard;
	pid_t child = fork();

	(void)state;
	if (child == 0) { /* makes it and is gone */
		guard = NULL;
		_exit(guard_create(&stage.config, &guard) ||
		      stage_swap(&stage, guard, &table, "mx0", ATTACH_AUTO));
	}
	assert_int_equal(child_wait(child), 0);
	assert_int_equal(guard_open(stage.pin_dir, &guard), 0);
	assert_int_equal(attached(guard).ifindex, if_nametoindex("mx0"));
	assert_int_equal(running("mx0", NULL), attached(guard).prog_id);
	child = fork();
	if (child == 0) { /* takes it over, swaps, takes it off */
		struct guard *other = NULL;

		_exit(guard_open(stage.pin_dir, &other) ||
		      stage_swap(&stage, other, &table, "mx0", ATTACH_AUTO) ||
		      guard_detach(other, "mx0"));
	}
	assert_int_equal(child_wait(child), 0);
	assert_int_equal(running("mx0", NULL), 0);
	assert_int_equal(guard_remove(guard), 0);
	guard_close(guard);
}

static void test_remove(void **state)
{
	struct guard *guard = created();

	(void)state;
	swapped(guard, "mx0", ATTACH_AUTO);
	assert_int_equal(guard_remove(guard), -EBUSY);
	assert_int_equal(guard_detach(guard, "mx0"), 0);
	assert_int_equal(guard_detach(guard, "mx0"), -ENOENT);
	assert_true(guard_current(guard));
	assert_int_equal(guard_remove(guard), 0);
	assert_false(pinned(""));
	assert_false(guard_current(guard));
	guard_close(guard);
}

static void test_device_comes_back(void **state)
{
	struct guard *guard = created();
	struct instance *instance = NULL;
	__u32 prog_id;

	(void)state;
	swapped(guard, "mx0", ATTACH_AUTO);
	prog_id = attached(guard).prog_id;
	hits_put(prog_id, 0, class_of(0xc0000201), 3);
	assert_int_equal(stage_run("ip link del mx0"), 0);
	assert_int_equal(attached(guard).ifindex, 0);
	assert_int_equal(guard_harvest(guard), 0); /* still named by its link */
	assert_int_equal(stage_load(&stage, guard, &table, "mx0", &instance), 0);
	assert_int_equal(instance_attach(guard, instance, ATTACH_AUTO), -ENODEV);
	assert_int_equal(stage_veth("mx0", "peer0"), 0);
	assert_int_equal(instance_attach(guard, instance, ATTACH_AUTO), 0);
	assert_int_equal(attached(guard).ifindex, if_nametoindex("mx0"));
	assert_int_equal(running("mx0", NULL), attached(guard).prog_id);
	assert_int_equal(guard_harvest(guard), 0);
	assert_int_equal(guard->totals[ID_ONE].hits, 3);
	/* Gone and back once more: the same instance serves, until it was harvested. */
	assert_int_equal(stage_run("ip link del mx0"), 0);
	assert_int_equal(stage_veth("mx0", "peer0"), 0);
	assert_int_equal(instance_attach(guard, instance, ATTACH_AUTO), 0);
	assert_int_equal(running("mx0", NULL), attached(guard).prog_id);
	assert_int_equal(guard_detach(guard, "mx0"), 0);
	assert_int_equal(instance_attach(guard, instance, ATTACH_AUTO), -ESTALE);
	instance_free(instance);
	guard_close(guard);
}

/* The link follows its device; the name is somebody else's now. */
static void test_device_renamed(void **state)
{
	struct guard *guard = created();

	(void)state;
	swapped(guard, "mx0", ATTACH_AUTO);
	assert_int_equal(stage_run("ip link set mx0 down && ip link set mx0 name old0"), 0);
	assert_int_equal(stage_veth("mx0", "peer1"), 0);
	swapped(guard, "mx0", ATTACH_AUTO);
	assert_int_equal(attached(guard).ifindex, if_nametoindex("mx0"));
	assert_int_equal(running("mx0", NULL), attached(guard).prog_id);
	assert_int_equal(running("old0", NULL), 0);
	guard_close(guard);
}

static void test_names(void **state)
{
	static const char *const names[][2] = {
		{ "mx0.100", "mx0%2E100" }, { "eth0", "eth0" }, { "a%b", "a%25b" },
		{ "...", "%2E%2E%2E" },	    { "%2E", "%252E" },
	};
	static const char *const wrong[] = { "", "eth0%new", "%", "%4", "%41", "0123456789abcdef" };
	struct guard *guard = created();
	char name[48], iface[16];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		iface_encode(names[i][0], name);
		assert_string_equal(name, names[i][1]);
		assert_int_equal(iface_decode(name, iface), 0);
		assert_string_equal(iface, names[i][0]);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(iface_decode(wrong[i], iface), -EINVAL);

	assert_int_equal(stage_veth("mx0.100", "peer1"), 0);
	swapped(guard, "mx0.100", ATTACH_AUTO);
	assert_string_equal(attached(guard).iface, "mx0.100");
	assert_true(pinned("links/mx0%2E100"));
	swapped(guard, "mx0.100", ATTACH_AUTO);
	assert_int_equal(running("mx0.100", NULL), attached(guard).prog_id);
	assert_int_equal(guard_detach(guard, "mx0.100"), 0);
	assert_int_equal(running("mx0.100", NULL), 0);
	guard_close(guard);
}

static void test_foreign_program(void **state)
{
	static const enum attach_mode modes[] = { ATTACH_AUTO, ATTACH_NATIVE, ATTACH_GENERIC };
	static const __u32 flags[] = { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE };
	struct frames_bpf *foreign = frames_bpf__open_and_load();
	struct guard *guard = created();
	int fd = bpf_program__fd(foreign->progs.frames), ifindex = if_nametoindex("mx0");

	(void)state;
	for (int f = 0; f < 2; f++) {
		__u32 prog_id;

		assert_int_equal(bpf_xdp_attach(ifindex, fd, flags[f], NULL), 0);
		prog_id = running("mx0", NULL);
		for (int m = 0; m < 3; m++)
			assert_int_equal(stage_swap(&stage, guard, &table, "mx0", modes[m]),
					 -EBUSY);
		assert_int_equal(running("mx0", NULL), prog_id);
		assert_int_equal(bpf_xdp_detach(ifindex, flags[f], NULL), 0);
	}
	swapped(guard, "mx0", ATTACH_AUTO);
	frames_bpf__destroy(foreign);
	guard_close(guard);
}

static void test_two_interfaces(void **state)
{
	struct attachment out[GATE25_IFACES];
	struct guard *guard = created();

	(void)state;
	assert_int_equal(stage_veth("mx1", "peer1"), 0);
	swapped(guard, "mx0", ATTACH_AUTO);
	swapped(guard, "mx1", ATTACH_GENERIC);
	assert_int_equal(guard_attachments(guard, out), 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(running(out[i].iface, NULL), out[i].prog_id);
	assert_int_equal(guard_detach(guard, "mx0"), 0);
	assert_string_equal(attached(guard).iface, "mx1");
	assert_int_equal(guard_remove(guard), -EBUSY);
	guard_close(guard);
}

/* A service that only the other interface still guards keeps its slot until that one has followed. */
static void test_two_interfaces_two_services(void **state)
{
	struct guard *guard = created();

	(void)state;
	assert_int_equal(stage_veth("mx1", "peer1"), 0);
	services_set(&stage.config, "ab");
	swapped(guard, "mx0", ATTACH_AUTO);
	services_set(&stage.config, "ac");
	swapped(guard, "mx1", ATTACH_AUTO);
	assert_int_equal(guard_service_slot(guard, "b", false), 1);
	assert_int_equal(guard_service_slot(guard, "c", false), 2);
	swapped(guard, "mx0", ATTACH_AUTO);
	assert_int_equal(guard_service_slot(guard, "b", false), -ENOENT);
	assert_int_equal(guard_service_slot(guard, "c", false), 2);
	guard_close(guard);
}

/* What was loaded for a guard that others unloaded meanwhile must not be put in force. */
static void test_stale_instance(void **state)
{
	struct guard *guard = created(), *fresh;
	struct instance *instance = NULL;

	(void)state;
	assert_int_equal(stage_load(&stage, guard, &table, "mx0", &instance), 0);
	assert_int_equal(guard_purge(stage.pin_dir), 0);
	assert_int_equal(instance_attach(guard, instance, ATTACH_AUTO), -ESTALE);
	fresh = created();
	assert_int_equal(instance_attach(guard, instance, ATTACH_AUTO), -ESTALE);
	assert_int_equal(running("mx0", NULL), 0);
	swapped(fresh, "mx0", ATTACH_AUTO);
	instance_free(instance);
	guard_close(fresh);
	guard_close(guard);
}

/* ---------------------------------------------------------------- without CAP_SYS_ADMIN */

static int everything(void)
{
	struct attachment out[GATE25_IFACES];
	__u64 hits[GATE25_LIST_IDS];
	struct guard *guard = NULL;
	struct view view;
	int error;

	error = guard_create(&stage.config, &guard);
	if (!error)
		error = stage_swap(&stage, guard, &table, "mx0", ATTACH_AUTO);
	if (!error)
		error = stage_swap(&stage, guard, &table, "mx0", ATTACH_AUTO);
	if (!error)
		error = guard_attachments(guard, out) == 1 ? 0 : -ENOENT;
	if (!error)
		error = view_open(guard, out[0].prog_id, &view);
	if (!error)
		error = guard_list_hits(guard, hits);
	if (!error)
		error = guard_detach(guard, "mx0");
	return error;
}

static void test_few_capabilities(void **state)
{
	pid_t child;

	(void)state;
	guard_close(created()); /* systemd, or whoever was before us, has mounted bpffs */
	child = fork();
	if (child == 0) {
		capng_clear(CAPNG_SELECT_BOTH);
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_BPF, CAP_NET_ADMIN,
			      CAP_PERFMON, -1);
		if (capng_apply(CAPNG_SELECT_BOTH))
			_exit(99);
		_exit(-everything());
	}
	assert_int_equal(child_wait(child), 0);
}

/* ---------------------------------------------------------------- what a generation says */

static void test_generation_describes(void **state)
{
	struct config *config = &stage.config;
	struct guard *guard = created();
	const struct gate25_generation *info;
	struct view view;

	(void)state;
	strcpy(config->services[1].name, "submission");
	config->services[1].ports[0] = 465;
	config->services[1].ports[1] = 25; /* on its own address */
	config->services[1].ports_count = 2;
	config->services[1].addresses[0].address =
		(struct gate25_source){ .lo = 0xc0000219, .family = 4 };
	config->services[1].addresses[0].length = 32;
	config->services[1].addresses_count = 1;
	config->services[1].default_action = GATE25_DROP;
	config->services_count = 2;
	config->threshold = 3;
	config->limits[GATE25_SCOPE_SOURCE] = (struct config_limit){
		.set = true, .rate_per_s = 5, .burst = 150, .action = GATE25_DROP, .services = 3
	};
	swapped(guard, "mx0", ATTACH_AUTO);
	assert_int_equal(view_open(guard, attached(guard).prog_id, &view), 0);
	info = view.generation;
	assert_int_equal(info->layout, GATE25_LAYOUT);
	assert_int_equal(info->threshold, 3);
	assert_int_equal(info->services, 3);
	assert_int_equal(info->lists_count, 2);
	assert_string_equal(info->lists[0].name, "one");
	assert_int_equal(info->lists[0].id, ID_ONE);
	assert_int_equal(info->lists[1].observe, 1);
	assert_int_equal(info->classes, table.compiled->classes_count);
	assert_int_equal(info->ports_count, 2);
	assert_int_equal(info->ports[0], 25);
	assert_int_equal(info->port_services[0], 3);
	assert_int_equal(info->ports[1], 465);
	assert_int_equal(info->port_services[1], 2);
	assert_int_equal(info->settings.any_address, 1);
	assert_int_equal(info->settings.addresses_count, 1);
	assert_int_equal(info->settings.addresses[0].services, 2);
	assert_int_equal(info->settings.default_action[1], GATE25_DROP);
	assert_int_equal(info->settings.defaults, 1 << 1);
	assert_int_equal(info->settings.limits[0].interval_ns, 200000000);
	assert_int_equal(info->settings.limits[0].tolerance_ns, 30000000000);
	assert_int_equal(info->settings.limits[0].services, 3);
	assert_int_equal(info->settings.limits[1].interval_ns, 0);
	assert_int_equal(info->settings.source_lines, guard->source_lines);
	assert_int_equal(info->settings.table_empty, 0);
	assert_string_equal(info->version, GATE25_VERSION);
	view_close(&view);
	guard_close(guard);
}

/* ---------------------------------------------------------------- other sizes */

static void entry_put(const struct guard *guard, __u64 address, __u64 expires_ns)
{
	struct gate25_overlay_key key = { .lo = address, .family = 4, .length = 32 };
	struct gate25_overlay_entry entry = { 0 };

	entry.slots[GATE25_SLOT_AUTO].expires_ns = expires_ns;
	assert_int_equal(bpf_map_update_elem(guard->overlay_fd, &key, &entry, BPF_ANY), 0);
}

static bool entry_there(const struct guard *guard, __u64 address)
{
	struct gate25_overlay_key key = { .lo = address, .family = 4, .length = 32 };
	struct gate25_overlay_entry entry;

	return bpf_map_lookup_elem(guard->overlay_fd, &key, &entry) == 0;
}

static void test_sizes_change(void **state)
{
	struct guard *guard = created(), *other = NULL;
	__u32 prog_id;

	(void)state;
	swapped(guard, "mx0", ATTACH_AUTO);
	for (__u64 i = 0; i < 100; i++)
		entry_put(guard, i, GATE25_NEVER);
	entry_put(guard, 100, 1); /* long over */
	count_put(guard, 0, 0, 5);
	assert_int_equal(guard_open(stage.pin_dir, &other), 0);

	stage.config.overlay_entries = 50; /* not enough: all stays as it is */
	prog_id = attached(guard).prog_id;
	assert_int_equal(stage_swap(&stage, guard, &table, "mx0", ATTACH_AUTO), -E2BIG);
	assert_int_equal(attached(guard).prog_id, prog_id);
	assert_true(guard_current(guard) && guard_current(other));
	assert_int_equal(guard->overlay_max, 1024);

	stage.config.overlay_entries = 100;
	stage.config.sources_mb = 2;
	swapped(guard, "mx0", ATTACH_AUTO);
	assert_true(guard_current(guard));
	assert_false(guard_current(other)); /* another process: it has to open again */
	assert_int_equal(guard->overlay_max, 100);
	assert_int_equal(guard->source_lines, 2 * 1024 * 1024 / sizeof(struct gate25_source_line));
	for (__u64 i = 0; i < 100; i++)
		assert_true(entry_there(guard, i));
	assert_false(entry_there(guard, 100));
	assert_int_equal(count_of(guard, 0, 0), 5);
	guard_close(other);
	assert_int_equal(guard_open(stage.pin_dir, &other), 0);
	assert_int_equal(other->overlay_max, 100);
	assert_true(entry_there(other, 99));
	guard_close(other);
	guard_close(guard);
}

/* The second interface of a generation goes on with the map that the first one brought. */
static void test_sizes_change_on_two(void **state)
{
	struct guard *guard = created();
	struct instance *instances[2] = { NULL };
	struct generation *generation = NULL;
	__u8 slots[GATE25_SERVICES] = { 0 };
	struct generation_plan plan = { &stage.config, slots, table.compiled, table.lists, 2 };

	(void)state;
	assert_int_equal(stage_veth("mx1", "peer1"), 0);
	stage.config.overlay_entries = 64;
	assert_int_equal(guard_assign_services(guard, &stage.config, slots), 0);
	assert_int_equal(generation_create(guard, &plan, &generation), 0);
	assert_int_equal(instance_load(guard, generation, "mx0", &instances[0]), 0);
	assert_int_equal(instance_load(guard, generation, "mx1", &instances[1]), 0);
	generation_free(generation);
	assert_int_equal(instance_attach(guard, instances[0], ATTACH_AUTO), 0);
	entry_put(guard, 1, GATE25_NEVER);
	assert_int_equal(instance_attach(guard, instances[1], ATTACH_AUTO), 0);
	assert_true(entry_there(guard, 1));
	assert_int_equal(guard->overlay_max, 64);
	instance_free(instances[0]);
	instance_free(instances[1]);
	guard_close(guard);
}

/* ---------------------------------------------------------------- harvest */

static void test_hits_add_up(void **state)
{
	struct guard *guard = created();
	__u32 first;

	(void)state;
	swapped(guard, "mx0", ATTACH_AUTO);
	first = attached(guard).prog_id;
	hits_put(first, 0, class_of(0xc0000201), 3);		   /* on `one` */
	hits_put(first, guard->cpus - 1, class_of(0xc0000207), 4); /* on both */
	hits_put(first, 0, 0, 100);				   /* on none */
	assert_int_equal(hits_of(guard, ID_ONE), 7);
	assert_int_equal(hits_of(guard, ID_TWO), 4);
	assert_int_equal(guard->totals[ID_ONE].hits, 0);
	swapped(guard, "mx0", ATTACH_AUTO);
	assert_int_equal(guard->totals[ID_ONE].hits, 7);
	assert_int_equal(hits_of(guard, ID_ONE), 7);
	hits_put(attached(guard).prog_id, 0, class_of(0xcb007101), 5);
	assert_int_equal(hits_of(guard, ID_TWO), 9);
	assert_int_equal(guard_harvest(guard), 0); /* it is in force: nothing to fold */
	assert_int_equal(guard->totals[ID_TWO].hits, 4);
	assert_int_equal(guard_detach(guard, "mx0"), 0);
	assert_int_equal(guard->totals[ID_TWO].hits, 9);
	assert_int_equal(hits_of(guard, ID_TWO), 9);
	guard_close(guard);
}

/* A process that is killed after each step of a harvest, and what the next one makes of it. */
static void test_harvest_cut_short(void **state)
{
	static const char *const steps[] = { "swapped only", "noted", "one total written",
					     "applied" };

	(void)state;
	for (int step = 0; step < 4; step++) {
		struct guard *guard = created();
		struct mapping generation = { 0 };
		struct instance *instance = NULL;
		struct view view;
		__u32 old;

		swapped(guard, "mx0", ATTACH_AUTO);
		old = attached(guard).prog_id;
		hits_put(old, 0, class_of(0xc0000207), 10);
		guard->totals[ID_ONE].hits = 1000;
		assert_int_equal(stage_load(&stage, guard, &table, "mx0", &instance), 0);
		assert_int_equal(instance_attach(guard, instance, ATTACH_AUTO), 0);
		instance_free(instance);
		hits_put(attached(guard).prog_id, 0, class_of(0xc0000207), 1);
		assert_int_equal(view_open(guard, old, &view), 0);
		assert_int_equal(instance_map(stage.pin_dir, old, &shape_generation,
					      PROT_READ | PROT_WRITE, &generation),
				 0);
		if (step >= 1)
			harvest_note(guard, generation.memory, view.class_hits, view.classes);
		if (step == 2)
			guard->totals[ID_ONE].hits = 1010;
		if (step == 3)
			harvest_apply(guard, generation.memory);
		view_close(&view);
		mapping_release(&generation);
		for (int again = 0; again < 3; again++) {
			if (hits_of(guard, ID_ONE) != 1011 || hits_of(guard, ID_TWO) != 11)
				fail_msg("%s, %d: %llu and %llu", steps[step], again,
					 hits_of(guard, ID_ONE), hits_of(guard, ID_TWO));
			assert_int_equal(guard_harvest(guard), 0);
		}
		assert_int_equal(guard->totals[ID_ONE].hits, 1010);
		assert_int_equal(guard->totals[ID_TWO].hits, 10);
		guard_close(guard);
		assert_int_equal(guard_purge(stage.pin_dir), 0);
	}
}

/* Killed at any moment of swap and harvest: nothing is lost, nothing counted twice, it goes on guarding. */
static void test_killed_at_random(void **state)
{
	struct guard *guard = created();
	unsigned int swaps = 0, instances = 0;
	__u64 want = 0;

	(void)state;
	srand(25);
	swapped(guard, "mx0", ATTACH_AUTO);
	for (int round = 0; round < 60; round++) {
		__u32 before = attached(guard).prog_id, ids[INSTANCES_MAX];
		pid_t child;

		hits_put(before, 0, class_of(0xc0000207), round + 1);
		want += round + 1;
		child = fork();
		if (child == 0)
			for (;;)
				if (stage_swap(&stage, guard, &table, "mx0", ATTACH_AUTO))
					_exit(1);
		usleep(5000 + rand() % 40000);
		kill(child, SIGKILL);
		assert_int_equal(child_wait(child), -SIGKILL);
		assert_int_equal(running("mx0", NULL), attached(guard).prog_id);
		assert_int_equal(hits_of(guard, ID_ONE), want);
		swaps += attached(guard).prog_id != before;
		instances += instances_pinned(stage.pin_dir, ids) > 1;
		assert_int_equal(guard_harvest(guard), 0);
		assert_int_equal(hits_of(guard, ID_ONE), want);
		assert_int_equal(hits_of(guard, ID_TWO), want);
		assert_int_equal(instances_pinned(stage.pin_dir, ids), 1);
	}
	printf("# 60 times killed: %u had swapped, %u left an old instance to be harvested\n",
	       swaps, instances);
	assert_true(swaps > 0);
	guard_close(guard);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, test_setup, test_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_create_and_open),
		TEST(test_missing_pin),
		TEST(test_other_layout),
		TEST(test_lock),
		TEST(test_service_slots),
		TEST(test_slots_start_from_zero),
		TEST(test_interface_slots_run_out),
		TEST(test_modes),
		TEST(test_swap_keeps_link),
		TEST(test_mode_refused_on_swap),
		TEST(test_pins_outlive_processes),
		TEST(test_remove),
		TEST(test_device_comes_back),
		TEST(test_device_renamed),
		TEST(test_names),
		TEST(test_foreign_program),
		TEST(test_two_interfaces),
		TEST(test_two_interfaces_two_services),
		TEST(test_stale_instance),
		TEST(test_few_capabilities),
		TEST(test_generation_describes),
		TEST(test_sizes_change),
		TEST(test_sizes_change_on_two),
		TEST(test_hits_add_up),
		TEST(test_harvest_cut_short),
		TEST(test_killed_at_random),
	};

	return cmocka_run_group_tests_name("dataplane", tests, group_setup, group_teardown);
}
