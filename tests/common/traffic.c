// SPDX-License-Identifier: GPL-2.0-only
/* Runs frames.bpf.c: the sender by BPF_PROG_TEST_RUN with live frames, the witness on tc ingress. */
#include "tests/common/traffic.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bpf/frames.skel.h"

struct traffic {
	struct frames_bpf *skeleton;
	const __u64 *passed;
	size_t passed_bytes;
};

/* A locally administered address that no device has: what passes is not for this host's stack. */
static const __u8 nobody[6] = { 0x02, 0x25, 0x25, 0x25, 0x25, 0x25 };

static void settings_fill(struct frames_settings *settings, unsigned int ifindex, size_t count,
			  __u16 port)
{
	settings->ifindex = ifindex;
	settings->sources = count;
	settings->port = port;
	inet_pton(AF_INET, "192.0.2.25", &settings->destination4_be);
	inet_pton(AF_INET6, "2001:db8::25", settings->destination6_be);
	memcpy(settings->destination_mac, nobody, sizeof(nobody));
	memcpy(settings->source_mac, nobody, sizeof(nobody));
}

static int sources_write(struct traffic *traffic, const struct frame_source *sources, size_t count)
{
	int fd = bpf_map__fd(traffic->skeleton->maps.frame_sources);

	for (__u32 i = 0; i < count; i++)
		if (bpf_map_update_elem(fd, &i, &sources[i], BPF_ANY))
			return -errno;
	return 0;
}

static int witness_attach(struct traffic *traffic, const char *to)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex(to),
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options,
		    .prog_fd = bpf_program__fd(traffic->skeleton->progs.witness), .handle = 1,
		    .priority = 1, .flags = BPF_TC_F_REPLACE); /* that of an earlier traffic */
	int error = bpf_tc_hook_create(&hook);

	return error && error != -EEXIST ? error : bpf_tc_attach(&hook, &options);
}

static int passed_map(struct traffic *traffic, __u64 words)
{
	long page = sysconf(_SC_PAGESIZE);
	void *memory;

	traffic->passed_bytes = (words * 8 + page - 1) & ~(page - 1);
	memory = mmap(NULL, traffic->passed_bytes, PROT_READ, MAP_SHARED,
		      bpf_map__fd(traffic->skeleton->maps.passed), 0);
	if (memory == MAP_FAILED)
		return -errno;
	traffic->passed = memory;
	return 0;
}

int traffic_open(const char *from, const char *to, const struct frame_source *sources, size_t count,
		 __u16 port, __u64 frames_max, struct traffic **out)
{
	struct traffic *traffic = calloc(1, sizeof(*traffic));
	__u64 words = frames_max / 64 + 1;
	int error = -ENOMEM;

	if (!traffic)
		return error;
	traffic->skeleton = frames_bpf__open();
	if (!traffic->skeleton)
		goto out;
	settings_fill(&traffic->skeleton->rodata->settings, if_nametoindex(from), count, port);
	error = bpf_map__set_max_entries(traffic->skeleton->maps.frame_sources, count);
	if (!error)
		error = bpf_map__set_max_entries(traffic->skeleton->maps.passed, words);
	if (!error)
		error = frames_bpf__load(traffic->skeleton);
	if (!error)
		error = sources_write(traffic, sources, count);
	if (!error)
		error = passed_map(traffic, words);
	if (!error)
		error = witness_attach(traffic, to);
out:
	if (error)
		traffic_close(traffic);
	else
		*out = traffic;
	return error;
}

int traffic_send(struct traffic *traffic, unsigned int frames)
{
	static const char blank[FRAMES_BYTES];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = blank, .data_size_in = sizeof(blank),
		    .repeat = frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);

	return bpf_prog_test_run_opts(bpf_program__fd(traffic->skeleton->progs.frames), &run) ?
		       -errno :
		       0;
}

__u64 traffic_sent(const struct traffic *traffic)
{
	return __atomic_load_n(&traffic->skeleton->bss->next_number, __ATOMIC_RELAXED);
}

bool traffic_passed(const struct traffic *traffic, __u64 number)
{
	return __atomic_load_n(&traffic->passed[number / 64], __ATOMIC_RELAXED) >> number % 64 & 1;
}

void traffic_close(struct traffic *traffic)
{
	if (!traffic)
		return;
	if (traffic->passed)
		munmap((void *)traffic->passed, traffic->passed_bytes);
	frames_bpf__destroy(traffic->skeleton);
	free(traffic);
}
