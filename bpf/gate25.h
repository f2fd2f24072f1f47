/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the BPF programs and everything in user space: what the maps hold.
 *
 * Fixed-width types and explicit padding only. Numbers that appear in maps, metrics or JSON are
 * append-only: a number that was once used keeps its meaning. A change of any layout here raises
 * GATE25_LAYOUT, and user space then refuses maps of another layout instead of misreading them.
 *
 * Byte order: addresses are host byte order in `struct gate25_source` and everything keyed by it;
 * fields that are in network byte order end in _be. Times are CLOCK_MONOTONIC nanoseconds.
 */
#ifndef GATE25_H
#define GATE25_H

#include <linux/types.h>

#define GATE25_LAYOUT 3

/* Bounds. Beyond them a new generation is refused and the old one stays in force. */
#define GATE25_LISTS	  64	/* block and allow lists together */
#define GATE25_CLASSES	  65535 /* class 0 is "on no list" */
#define GATE25_SERVICES	  8
#define GATE25_IFACES	  16
#define GATE25_LIST_IDS	  4096 /* stable ids of list names, never used again */
#define GATE25_ADDRESSES  64   /* own addresses over all services */
#define GATE25_TRANSLATED 4    /* /96 prefixes that carry an IPv4 address */
#define GATE25_PORTS	  32   /* ports over all services */
#define GATE25_NAME	  48   /* bytes of a name, with its final 0 */

#define GATE25_NEVER (~0ULL) /* an expiry that never comes */

/* What happens to the frame. Reset, refuse and tarpit come with the answers. */
enum gate25_verdict { GATE25_PASS = 0, GATE25_DROP = 1, GATE25_VERDICTS };

/*
 * Why: the step that decided. (number, name, verdict, label). The label is the metric's label, the
 * JSON value and the name in tests. A drop has its observed twin 16 numbers above: the frame
 * passed, and would have been dropped for that reason.
 */
#define GATE25_WOULD 16
#define GATE25_REASON_TABLE(X)                                                                     \
	X(0, OK, GATE25_PASS, "pass")		      /* judged, and nothing spoke against it */   \
	X(1, ESTABLISHED, GATE25_PASS, "established") /* no SYN, and its source is not blocked */  \
	X(2, ALLOW_MANUAL, GATE25_PASS, "allow_manual") /* `gate25 allow add` */                   \
	X(3, ALLOW, GATE25_PASS, "allow")		/* configured or fetched allow list */     \
	X(4, FRAGMENT, GATE25_PASS, "fragment")		/* later fragment: carries no port */      \
	X(5, HEADERS, GATE25_PASS, "headers")		/* IPv6 header chain beyond the bound */   \
	X(6, OPEN, GATE25_PASS, "open") /* source is blocked, its session was open before */       \
	X(7, FORWARDED, GATE25_PASS, "forwarded") /* blocked source, no SYN, sockets elsewhere */  \
	X(8, ERROR, GATE25_PASS, "error")	  /* our own failure passes mail */                \
	X(9, NO_ALLOW, GATE25_PASS, "no_allow") /* default is drop, but no allow entry is live */  \
	X(16, MANUAL, GATE25_DROP, "manual")                                                       \
	X(17, BAN, GATE25_DROP, "ban")                                                             \
	X(18, LIST, GATE25_DROP, "list")                                                           \
	X(19, DEFAULT, GATE25_DROP, "default")                                                     \
	X(20, LIMIT_SOURCE, GATE25_DROP, "limit_source")                                           \
	X(21, LIMIT_NETWORK, GATE25_DROP, "limit_network")                                         \
	X(22, MALFORMED, GATE25_DROP, "malformed")                                                 \
	X(23, NO_SOCKET, GATE25_DROP, "no_socket") /* blocked source, segment without a session */ \
	X(32, WOULD_MANUAL, GATE25_PASS, "would_manual")                                           \
	X(33, WOULD_BAN, GATE25_PASS, "would_ban")                                                 \
	X(34, WOULD_LIST, GATE25_PASS, "would_list")                                               \
	X(35, WOULD_DEFAULT, GATE25_PASS, "would_default")                                         \
	X(36, WOULD_LIMIT_SOURCE, GATE25_PASS, "would_limit_source")                               \
	X(37, WOULD_LIMIT_NETWORK, GATE25_PASS, "would_limit_network")                             \
	X(38, WOULD_MALFORMED, GATE25_PASS, "would_malformed")                                     \
	X(39, WOULD_NO_SOCKET, GATE25_PASS, "would_no_socket")

enum gate25_reason {
#define GATE25_REASON_ENUM(number, name, verdict, label) GATE25_REASON_##name = number,
	GATE25_REASON_TABLE(GATE25_REASON_ENUM)
#undef GATE25_REASON_ENUM
		GATE25_REASONS = 64 /* slots in the counters */
};

/* Kinds of our own failures, for gate25_errors_total{kind}. (number, name, label) */
#define GATE25_ERROR_TABLE(X)                                                                      \
	X(0, MAP, "map") /* a map entry that must exist was missing in the kernel */               \
	X(1, SOURCES_CONTENDED, "sources_contended") /* compare-and-swap tried in vain */          \
	X(2, OVERLAY_FULL, "overlay_full")                                                         \
	X(3, RING_FULL, "ring_full") /* the agent did not read its events in time */               \
	X(4, CONFIG, "config")	     /* a configuration that was refused */                        \
	X(5, SWAP, "swap")	     /* a generation that could not be put in force */             \
	X(6, ATTACH, "attach")                                                                     \
	X(7, JOURNAL, "journal")     /* entries or records could not be written */                 \
	X(8, RECOVERED, "recovered") /* a torn or damaged file was recovered from */

enum gate25_error {
#define GATE25_ERROR_ENUM(number, name, label) GATE25_ERROR_##name = number,
	GATE25_ERROR_TABLE(GATE25_ERROR_ENUM)
#undef GATE25_ERROR_ENUM
		GATE25_ERRORS = 32
};

/* Kinds of a list's failures, for gate25_list_errors_total{list,kind}. (number, name, label) */
#define GATE25_LIST_ERROR_TABLE(X)                                                                 \
	X(0, FETCH, "fetch") /* unreachable, time-out, HTTP status, cut short */                   \
	X(1, READ, "read")   /* file missing or unreadable */                                      \
	X(2, PARSE, "parse") /* not of its format, too many bad lines, damaged gzip */             \
	X(3, EMPTY, "empty")                                                                       \
	X(4, STORE, "store")	   /* the last good list could not be kept on disk */              \
	X(5, BAD_LINE, "bad_line") /* lines skipped */                                             \
	X(6, WORKER, "worker")	   /* the process that fetched or parsed it died or hung */

enum gate25_list_error {
#define GATE25_LIST_ERROR_ENUM(number, name, label) GATE25_LIST_ERROR_##name = number,
	GATE25_LIST_ERROR_TABLE(GATE25_LIST_ERROR_ENUM)
#undef GATE25_LIST_ERROR_ENUM
		GATE25_LIST_ERRORS = 7
};

/* The address that is judged. IPv4, and IPv6 that only carries an IPv4 address, is family 4. */
struct gate25_source {
	__u64 hi;    /* first 64 bits of an IPv6 address, host byte order; 0 for IPv4 */
	__u64 lo;    /* last 64 bits, or the IPv4 address, host byte order */
	__u8 family; /* 4 or 6 */
	__u8 pad[7];
};
_Static_assert(sizeof(struct gate25_source) == 24, "source");

/* map `overlay` (hash): single entries, as the command line and later bans write them */
struct gate25_overlay_key {
	__u64 hi, lo; /* masked to `length`; as in gate25_source */
	__u8 family;  /* 4 or 6 */
	__u8 length;  /* 0..32 for family 4, 0..128 for family 6 */
	__u8 pad[6];  /* 0 */
};
_Static_assert(sizeof(struct gate25_overlay_key) == 24, "overlay key");

enum gate25_slot {			   /* by what wrote it; not the order of precedence */
		   GATE25_SLOT_ALLOW = 0,  /* manual allow */
		   GATE25_SLOT_BLOCK = 1,  /* manual block, any origin */
		   GATE25_SLOT_FORCED = 2, /* manual block with --force: ranks with manual allow */
		   GATE25_SLOT_AUTO = 3,   /* automatic ban */
		   GATE25_SLOTS
};

struct gate25_overlay_slot {
	__u64 expires_ns; /* a slot whose time is over (0 too) is no match; GATE25_NEVER */
	__u32 sequence;	  /* rises with each write: allow or forced, the later wins */
	__u8 services;	  /* bit per service slot */
	__u8 pad[3];
};

struct gate25_overlay_entry {
	struct gate25_overlay_slot slots[GATE25_SLOTS];
};
_Static_assert(sizeof(struct gate25_overlay_entry) == 64, "overlay entry");

/*
 * map `filter` (mmapable array of 1): a bit for each key of the overlay, by overlay_bit(). It stands
 * before the key is there. Where it is not set there is no such key, and no look-up is needed.
 */
#define GATE25_FILTER_SHIFT 19 /* 64 KiB: one wrong bit in fifty with 10,000 keys */
struct gate25_filter {
	__u64 words[1 << (GATE25_FILTER_SHIFT - 6)];
};

/* map `control` (mmapable array of 1): the words that act at once, agent or not */
struct gate25_control {
	__u64 pause_until_ns; /* 0: not paused; GATE25_NEVER: until resumed */
	/* per service slot: when the last manual allow ends; 0: there is none; for `default: drop` */
	__u64 manual_allow_until_ns[GATE25_SERVICES];
	__u64 overlay_lengths4;	   /* bit l: the overlay holds an IPv4 key of length l */
	__u64 overlay_lengths6[3]; /* bit l of 0..128, likewise */
	__u8 observe;		   /* 1: the whole only observes */
	__u8 observe_services;	   /* bit per service slot: it only observes */
	__u8 local_services;	   /* bit per service slot: its sockets are here (no-SYN rule) */
	__u8 counted_services;	   /* bit per service slot: sessions.bpf.c charges its limits */
	__u32 sessions_prog;	   /* id of the program that counts on these maps; 0: none */
	__u8 sessions_error;	   /* errno of why there is none; 0: none is wanted */
	__u8 pad[15];
};
_Static_assert(sizeof(struct gate25_control) == 128, "control");

/*
 * map `classes` (mmapable array, of the generation): what a set of lists means, per service slot.
 * Sums are made at compile time. Class 0 is all zero.
 */
#define GATE25_CLASS_ALLOW  1 /* an allow list covers it for this service */
#define GATE25_CLASS_BLOCK  2 /* sum of the enforcing lists reaches the threshold */
#define GATE25_CLASS_SHADOW 4 /* sum of all lists reaches the threshold */

struct gate25_class {
	__u64 lists;		      /* bit per list of the generation, allow lists too */
	__u8 flags[GATE25_SERVICES];  /* GATE25_CLASS_* */
	__u8 action[GATE25_SERVICES]; /* enum gate25_verdict where BLOCK is set */
	__u8 spare[GATE25_SERVICES];
	__s16 score[GATE25_SERVICES];	     /* enforced sum, for people */
	__s16 shadow_score[GATE25_SERVICES]; /* sum over all lists */
};
_Static_assert(sizeof(struct gate25_class) == 64, "class");

/*
 * map `class_hits` (mmapable array of __u64, of the program instance): SYNs to a guarded service,
 * repeated ones too, that reached the step "lists" (no overlay entry and no allow list decided them
 * before) and whose source has that class. Index: cpu * stride + class, where stride is the number
 * of classes rounded up to a multiple of 8.
 */

/*
 * map `list_totals` (mmapable array, index: stable id): pinned, survives generations and restarts
 */
struct gate25_list_total {
	__u64 hits; /* harvested from generations that are gone */
	__u64 errors[GATE25_LIST_ERRORS];
};
_Static_assert(sizeof(struct gate25_list_total) == 64, "list total");

/*
 * map `counters` (mmapable array): index ((cpu * GATE25_IFACES + iface) * GATE25_SERVICE_ROWS +
 * row) * GATE25_REASONS + reason; row is the service slot, or GATE25_NO_SERVICE where none was
 * known (later fragments, headers beyond the bound, malformed ones that carry no port).
 */
#define GATE25_NO_SERVICE   GATE25_SERVICES
#define GATE25_SERVICE_ROWS (GATE25_SERVICES + 1)
struct gate25_counter {
	__u64 packets;
	__u64 connections; /* SYNs, a repeated one once (map `repeats`) */
};
_Static_assert(sizeof(struct gate25_counter) == 16, "counter");

/*
 * map `repeats` (mmapable array of 1): fingerprints of recent SYNs (addresses, ports, sequence
 * number), so that a retransmission is not a second connection. What is overwritten by newer SYNs before it
 * is repeated counts again.
 */
#define GATE25_REPEATS 65536
struct gate25_repeats {
	__u32 fingerprints[GATE25_REPEATS];
};

/*
 * map `known` (mmapable array of 1, of the program instance): fingerprints of sources that are on
 * no list, for segments of their sessions
 */
#define GATE25_KNOWN 4096 /* 12 bits of a fingerprint */
struct gate25_known {
	__u64 tags[GATE25_KNOWN];
};

/* map `cpu_state` (mmapable array, index: cpu): what one CPU alone writes */
struct gate25_cpu_state {
	__u64 event_tat_ns; /* GCRA of events */
	__u64 events_suppressed;
	__u64 event_refused_tick;    /* of the kernel's jiffies: none is left for it */
	__u64 errors[GATE25_ERRORS]; /* kernel side */
	__u64 pad[29];
};
_Static_assert(sizeof(struct gate25_cpu_state) == 512, "cpu state");

/* map `agent_errors` (mmapable array of __u64, index enum gate25_error): user side, pinned */

/* map `sources` (mmapable array; half a cache line each): GCRA of the limits; see source.h */
#define GATE25_SOURCE_WORDS 4
struct gate25_source_line {
	__u64 words[GATE25_SOURCE_WORDS];
};

/*
 * map `spent` (mmapable array of 1): until when some budget is spent, of all of them and of those
 * that share a bucket. Who is in no such bucket, or whose bucket's time is over, has his budget: he
 * need not be looked up in `sources`. Written where connections are counted (sessions.bpf.c).
 */
#define GATE25_SPENT_BUCKETS 1024
struct gate25_spent {
	__u64 any_until_ns;
	__u64 pad[7];
	__u64 until_ns[GATE25_SPENT_BUCKETS]; /* by source_bucket() */
};

/* map `secret` (mmapable array of 1): random, made once a boot */
struct gate25_secret {
	__u64 siphash[2];
	__u64 hash; /* for the fingerprints */
	__u64 pad;
};

/* map `names` (mmapable array of 1): who owns which slot, so that counters keep their meaning */
struct gate25_names {
	__u32 layout; /* GATE25_LAYOUT */
	__u32 pad;
	char ifaces[GATE25_IFACES][16]; /* "" is free */
	char services[GATE25_SERVICES][GATE25_NAME];
};

/* ring buffer `events` */
struct gate25_event {
	__u64 time_ns;
	struct gate25_source source;
	__u64 destination_hi, destination_lo; /* like source; family is the frame's */
	__u16 source_port, destination_port;  /* host byte order */
	__u16 class;
	__u8 frame_family; /* 4 or 6: of the frame, where source was translated */
	__u8 iface;	   /* slot */
	__u8 service;	   /* slot */
	__u8 reason;	   /* enum gate25_reason */
	__u8 pad[6];
};
_Static_assert(sizeof(struct gate25_event) == 64, "event");

/* A limit as the program has it; a rate of 0 is no limit. */
struct gate25_limit {
	__u64 interval_ns;  /* 1 / rate; 0: no limit */
	__u64 tolerance_ns; /* burst * interval */
	__u8 action;	    /* enum gate25_verdict */
	__u8 observe;	    /* 1: its own policy is observe */
	__u8 services;	    /* bit per service slot */
	__u8 length4;	    /* prefix length that shares the budget: 32 or 24 */
	__u8 length6;	    /* 64 or 48 */
	__u8 pad[3];
};
enum gate25_scope { GATE25_SCOPE_SOURCE = 0, GATE25_SCOPE_NETWORK = 1, GATE25_SCOPES };

struct gate25_service_address {
	struct gate25_source address; /* masked to length */
	__u8 length;
	__u8 services; /* bit per service slot */
	__u8 pad[6];
};

/* What does not change within a program instance: .rodata `settings`, and in map `generation`. */
struct gate25_settings {
	struct gate25_limit limits[GATE25_SCOPES];
	struct gate25_service_address addresses[GATE25_ADDRESSES];
	__u64 translated[GATE25_TRANSLATED][2]; /* hi, and lo's upper 32 bits; the lower are 0 */
	__u32 addresses_count;
	__u32 translated_count;
	__u32 source_lines;	 /* power of two */
	__u32 class_stride;	 /* of class_hits */
	__u64 event_interval_ns; /* per CPU: 1 / rate */
	__u64 event_tolerance_ns;
	__u64 netns_cookie;		      /* of the namespace whose connections are counted */
	__u8 default_action[GATE25_SERVICES]; /* enum gate25_verdict; PASS: no default step */
	__u8 any_address;    /* bit per service slot: guards every destination address */
	__u8 allow_in_table; /* bit per service slot: an allow list of the table holds for it */
	__u8 table_empty;    /* 1: no list at all, skip the look-up */
	__u8 iface;	     /* slot of the interface of this instance */
	__u8 defaults;	     /* bit per service slot: its default action is another than PASS */
	__u8 pad[3];
};

/* A list of a generation, so that class numbers can be named without configuration or agent. */
struct gate25_list_info {
	char name[GATE25_NAME];
	__u32 id; /* index in list_totals */
	__s16 weight;
	__u8 allow;    /* 1: allow list */
	__u8 observe;  /* 1: its policy is observe */
	__u8 action;   /* enum gate25_verdict */
	__u8 services; /* bit per service slot */
	__u8 pad[2];
	__u32 digest; /* of its entries; 0: not known */
	__u64 entries4, entries6;
	__u64 loaded_s; /* last success, seconds since 1970 */
};
_Static_assert(sizeof(struct gate25_list_info) == 88, "list info");

/*
 * Sections of the compiled table; see table.h. A table is an array of 64-byte lines; offsets are in
 * lines. `*_buckets` is how many of a section the hash chooses from. A section of no lines is never
 * read.
 */
struct gate25_table_layout {
	__u32 lines;	 /* in all */
	__u32 v4_first;	 /* 65,536 u32 */
	__u32 v4_blocks; /* 256 u32 a block */
	__u32 v4_leaves; /* 256 u16 a leaf */
	__u32 v4_hosts;	 /* single addresses, in lanes */
	__u32 v4_hosts_buckets;
	__u32 v6_first; /* 65,536 u16 */
	__u32 v6_groups;
	__u32 v6_nets; /* prefixes up to /64 */
	__u32 v6_nets_buckets;
	__u32 v6_hosts; /* longer ones */
	__u32 v6_hosts_buckets;
	__u32 seed;	      /* of the hash; the compiler may change it */
	__u32 has_v4, has_v6; /* 0: nothing of that family is listed */
	__u32 v4_lane_bits;   /* of a host: 16, 21 or 32 */
	__u32 v6_filter;      /* u32 */
	__u32 v6_filter_mask; /* their number, a power of two, less one */
	__u32 spare[6];
};
_Static_assert(sizeof(struct gate25_table_layout) == 96, "table layout");

/* map `generation` (mmapable array of 1): pinned with each program instance */
struct gate25_generation {
	__u32 layout; /* GATE25_LAYOUT */
	__u32 classes;
	__u64 number;	 /* rises with each generation */
	__u64 created_s; /* seconds since 1970 */
	__u32 harvested; /* 0: class_hits count; 1: harvest_totals do; 2: list_totals have them */
	__u32 lists_count;
	__u32 services; /* bit per service slot in use */
	__s32 threshold;
	struct gate25_table_layout table;
	struct gate25_settings settings;
	struct gate25_list_info lists[GATE25_LISTS];
	__u16 ports[GATE25_PORTS];	  /* host byte order */
	__u8 port_services[GATE25_PORTS]; /* bit per service slot */
	__u32 ports_count;
	__u8 spare[12];
	char version[32]; /* of gate25 that made it */
	/*
	 * written once, after its last CPU: what list_totals become, so that a harvest can be
	 * repeated
	 */
	__u64 harvest_totals[GATE25_LISTS]; /* by index in lists */
};

#endif
