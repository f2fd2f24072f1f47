// SPDX-License-Identifier: GPL-2.0-only
/* Frames that are not guarded, segments of sessions, SYNs, and each with gate25's features on and off. */
#include "tools/bench/traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/gate25.h"
#include "tools/bench/bench.h"
#include "tools/bench/match.h"
#include "user/log.h"

#define LIST	  "/run/bench/list"
#define HOSTS	  100000
#define SENDERS	  64	/* of segments: those of a busy minute */
#define PEER_PORT 40000 /* of all segments */
#define OWN4	  "192.0.2.25"

/* One connection, and the budget is spent for an hour. */
static const char config_tight[] = "limits: {source: {rate: 1/h, burst: 1, policy: observe}}\n";

enum variant { SHIPPED, UNLIMITED, OVERLAID, OBSERVED, COUNTING, SPENT, VARIANTS };

static const struct {
	const char *suffix; /* of the rows' names */
	const char *folder, *device;
	const char *config;  /* its limits */
	const char *command; /* of gate25, once it runs */
	bool syns;	     /* only they are of interest */
} variants[VARIANTS] = {
	[SHIPPED] = { "", "g0", "w0", config_shipped, NULL, false },
	[UNLIMITED] = { " without limits", "g1", "w1", "", NULL, false },
	[OVERLAID] = { " with manual entries", "g2", "w2", config_shipped, "add -", false },
	[OBSERVED] = { " observed", "g3", "w3", config_shipped, "policy observe", false },
	[COUNTING] = { " counting SYNs", "g4", "w4", config_counting, NULL, true },
	[SPENT] = { " with a spent budget", "g5", "w5", config_tight, NULL, true },
};

/* A kind of frames, and the reason under which each variant counts them; 0: under none. */
struct kind {
	const char *name;
	enum frame_kind frame;
	__u32 base, count;
	__u64 reasons, observed;
	bool every_variant;
};

#define REASON(name) BIT(GATE25_REASON_##name)
#define GOOD	     (REASON(OK) | REASON(WOULD_LIMIT_SOURCE) | REASON(WOULD_LIMIT_NETWORK))
#define ANYWHERE     REASON(MANUAL) /* among random hosts is one that a manual entry covers */

static const struct kind kinds[] = {
	{ "UDP", FRAME_UDP4, MISS_BASE, SENDERS, 0, 0, false },
	{ "TCP/443", FRAME_WEB4, MISS_BASE, SENDERS, 0, 0, false },
	{ "established good", FRAME_ACK4, MISS_BASE, SENDERS, REASON(ESTABLISHED),
	  REASON(ESTABLISHED), true },
	{ "established listed", FRAME_ACK4, 0, SENDERS, REASON(OPEN), REASON(OPEN), true },
	{ "no session listed", FRAME_ACK4, HOSTS / 2, SENDERS, REASON(NO_SOCKET),
	  REASON(WOULD_NO_SOCKET), true },
	{ "SYN good", FRAME_SYN4, MISS_BASE, MISS_COUNT, GOOD | ANYWHERE, GOOD, true },
	{ "SYN listed", FRAME_SYN4, 0, HOSTS, REASON(LIST) | ANYWHERE, REASON(WOULD_LIST), true },
};
#define SESSIONS 3 /* the kind whose sources have one */
#define KINDS	 (sizeof(kinds) / sizeof(kinds[0]))

struct traffic {
	struct group group;
	struct guard_run *guards[VARIANTS];
	struct subject *drop, *pass, *subjects[VARIANTS];
	int sockets[SENDERS];
};

static bool row_wanted(const struct kind *kind, enum variant variant)
{
	return (kind->every_variant || variant == SHIPPED) &&
	       (!variants[variant].syns || kind->frame == FRAME_SYN4) &&
	       group_wants("%s gate25%s", kind->name, variants[variant].suffix);
}

static bool variant_wanted(enum variant variant)
{
	bool any = false;

	for (size_t i = 0; i < KINDS; i++)
		any |= row_wanted(&kinds[i], variant);
	return any;
}

/* ---------------------------------------------------------------- sessions */

/*
 * An open session of a listed source. Nobody has to answer: a socket under repair is connected as soon as it says so.
 * It may share its port with the listener.
 */
static int session_open(__u32 host)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(25) };
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(PEER_PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, error;

	if (fd < 0)
		return -errno;
	inet_pton(AF_INET, OWN4, &own.sin_addr);
	peer.sin_addr.s_addr = htonl(mix(host));
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&own, sizeof(own)) ||
	    connect(fd, (struct sockaddr *)&peer, sizeof(peer))) {
		error = -errno;
		log_error("cannot make a session: %s", strerror(errno));
		close(fd);
		return error;
	}
	return fd;
}

/* Hosts of the list that can be routed to, as the first addresses of the pool. */
static int sessions_open(struct traffic *traffic)
{
	__u32 addresses[SENDERS][4] = { 0 }, host = 0;
	int error = command_run("ip address add " OWN4 "/32 dev lo && "
				"ip route add default dev %s",
				traffic->pass->device.name);

	for (int i = 0; !error && i < SENDERS; host++) {
		__u32 net = mix(host) >> 24;

		if (net == 0 || net == 10 || net == 127 || net >= 224)
			continue;
		addresses[i][0] = htonl(mix(host));
		traffic->sockets[i] = session_open(host);
		error = traffic->sockets[i] < 0 ? traffic->sockets[i] : 0;
		i++;
	}
	return error ? error : source_pool(0, (const __u32(*)[4])addresses, SENDERS);
}

/* ---------------------------------------------------------------- the group */

/* A thousand entries of four lengths and both families. */
static int entries_write_manual(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return -errno;
	for (int i = 0; i < 250; i++)
		fprintf(file, "198.51.100.%d\n203.0.%d.0/24\n192.0.%d.16/28\n2001:db8:%x::/64\n", i,
			i, i, i);
	return fclose(file) ? -errno : 0;
}

/* Somebody else completes a handshake: with the listener, over the loopback. */
static int budget_spend(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(25),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		error = -errno;
		log_error("cannot connect to our own listener: %s", strerror(errno));
	}
	close(fd);
	return error;
}

static int variant_start(struct traffic *traffic, enum variant variant)
{
	struct guard_wish wish = { .name = variants[variant].folder,
				   .file = LIST,
				   .format = "plain",
				   .config = variants[variant].config,
				   .entries = HOSTS };
	const char *input = variant == OVERLAID ? "/run/bench/manual" : "/dev/null";
	int error = guard_start(&wish, &traffic->guards[variant]);

	if (!error && variant == OVERLAID)
		error = entries_write_manual(input);
	if (!error && variants[variant].command)
		error = command_run("%s/gate25 -c %s %s < %s > /dev/null", ground_build(),
				    guard_config(traffic->guards[variant]),
				    variants[variant].command, input);
	if (!error && variant == SPENT)
		error = budget_spend();
	if (error)
		return error;
	traffic->subjects[variant] = group_subject(&traffic->group);
	return subject_guard_wrapped(traffic->subjects[variant], traffic->guards[variant],
				     variants[variant].device);
}

static int subjects_make(struct traffic *traffic)
{
	int error;

	traffic->drop = group_subject(&traffic->group);
	traffic->pass = group_subject(&traffic->group);
	error = subject_drop_all(traffic->drop, "drop");
	if (!error)
		error = subject_pass_all(traffic->pass, "pass");
	for (int i = 0; i < VARIANTS && !error; i++)
		if (variant_wanted(i))
			error = variant_start(traffic, i);
	return error ? error : sessions_open(traffic);
}

static void kind_rows(struct traffic *traffic, const struct kind *kind)
{
	struct group *group = &traffic->group;
	struct aim aim;
	bool any = false;

	for (int i = 0; i < VARIANTS; i++)
		any |= row_wanted(kind, i);
	if (!any)
		return;
	if (kind == &kinds[SESSIONS])
		aim_pool(&aim, kind->frame, 0, SENDERS);
	else
		aim_hosts(&aim, kind->frame, kind->base, kind->count);
	group_row(group, traffic->drop, &aim, 0, "%s drop-only", kind->name);
	group_row(group, traffic->pass, &aim, 0, "%s pass-only", kind->name);
	for (int i = 0; i < VARIANTS; i++)
		if (row_wanted(kind, i))
			group_row(group, traffic->subjects[i], &aim,
				  i == OBSERVED ? kind->observed : kind->reasons, "%s gate25%s",
				  kind->name, variants[i].suffix);
}

static int group_make(struct traffic *traffic)
{
	struct entries entries = { 0 };
	int error = entries_hosts(&entries, HOSTS);

	if (!error)
		error = entries_write(&entries, LIST);
	entries_free(&entries);
	if (!error)
		error = subjects_make(traffic);
	for (size_t i = 0; i < KINDS && !error; i++)
		kind_rows(traffic, &kinds[i]);
	return error;
}

int traffic_measure(void)
{
	struct traffic *traffic;
	bool any = false;
	int error;

	for (int i = 0; i < VARIANTS; i++)
		any |= variant_wanted(i);
	if (!any)
		return 0;
	traffic = calloc(1, sizeof(*traffic));
	if (!traffic)
		return -ENOMEM;
	traffic->group.title = "gate25 alone, 100k";
	memset(traffic->sockets, -1, sizeof(traffic->sockets));
	error = group_make(traffic);
	if (!error) {
		error = group_measure(&traffic->group);
		report_group(&traffic->group);
	}
	for (int i = 0; i < SENDERS; i++)
		if (traffic->sockets[i] >= 0)
			close(traffic->sockets[i]);
	group_close(&traffic->group);
	for (int i = 0; i < VARIANTS; i++)
		guard_stop(traffic->guards[i]);
	command_run("ip address flush dev lo && ip address add 127.0.0.1/8 dev lo");
	unlink(LIST);
	free(traffic);
	return error;
}
