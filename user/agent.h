/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of gate25d share: gate25d.c (main, signals, systemd), agent_job.c (threads), agent_load.c
 * (configuration and lists into force), agent_files.c (files of lists that are replaced), agent_links.c (interfaces that
 * come back), agent_upkeep.c (expiry, clocks,
 * counts of entries), agent_words.c (what operators say), agent_views.c (names for events and metrics), agent_http.c,
 * agent_socket.c.
 *
 * One thread, the event loop, owns struct agent. A job runs beside it on what it was given, and hands its
 * result over in the loop. What a running job may still look at is not freed but retired.
 */
#ifndef GATE25_AGENT_H
#define GATE25_AGENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "user/apply.h"
#include "user/config.h"
#include "user/dataplane.h"
#include "user/events.h"
#include "user/feeds.h"
#include "user/link.h"
#include "user/metrics.h"

#define AGENT_LOCK_WAIT_S 30

struct agent;

/* ---- agent_job.c: work beside the loop */

struct job {
	void (*run)(struct agent *agent);  /* in a thread of its own */
	void (*done)(struct agent *agent); /* then in the loop */
	struct agent *agent;
	bool running;
	pthread_t thread;
	int fd; /* eventfd: the thread is at its end */
	sd_event_source *source;
};
int job_init(struct job *job, struct agent *agent, void (*run)(struct agent *agent),
	     void (*done)(struct agent *agent));
int job_start(struct job *job); /* not while it runs */
/* Waits for its end without calling done(). false: it did not end in time. */
bool job_wait(struct job *job, unsigned int wait_ms);
void job_release(struct job *job);

/* Frees `object` as soon as no job runs any more. */
struct retired {
	void *object;
	void (*release)(void *object);
	struct retired *next;
};
void agent_retire(struct agent *agent, void *object, void (*release)(void *object));
void agent_jobs_ended(struct agent *agent); /* some job ended: frees what may be freed */

/* ---- agent_load.c */

/* In order of what includes what: a reload also refreshes and applies. Bits of `wanted`. */
enum load_kind {
	LOAD_REFRESH = 1, /* sources that are due; nothing else happens when none changed */
	LOAD_APPLY = 2,	  /* configuration and state; last good images */
	LOAD_RELOAD = 4,  /* configuration, state, all sources that changed */
	LOAD_START = 8,	  /* as soon as possible: last good images */
};

struct load {
	struct job job;
	unsigned int wanted; /* kinds that are still to be run */
	enum load_kind kind; /* of what runs */
	bool started;	     /* LOAD_START succeeded */
	bool signalled;	     /* a reload is wanted by SIGHUP: nobody but us records it */
	bool records;	     /* so does the one that runs */
	/* lists whose source somebody wants to be asked, due or not, by the next refresh */
	char asked[GATE25_LISTS][GATE25_NAME];
	size_t asked_count;
	/* times in a row that what was read could not be put in force, and when that is tried again */
	unsigned int behind;
	__u64 again_s;
	sd_event_source *timer, *late;
	/* given to the thread, and by it */
	bool takeover;	       /* something was in force before: leave it unless ours is whole */
	struct config *config; /* NULL: the one in force */
	struct state *state;
	struct guard *guard; /* NULL: the one in use */
	struct prepared *prepared;
	struct feed_states feeds;
	struct apply_report report;
	__u32 overlay_max;
	int error, lock;
};
int load_init(struct agent *agent);
void load_want(struct agent *agent, enum load_kind kind);

/*
 * Asks the source of that list, or of all (NULL), as soon as may be. -ENOENT: there is no such list; -EAGAIN: its source
 * may not be asked again before *when_s.
 */
int load_want_list(struct agent *agent, const char *name, __u64 *when_s);

/* ---- agent_files.c */

struct files {
	int fd; /* inotify */
	sd_event_source *source, *timer;
	struct files_watch *watches;
	size_t count;
};
int files_init(struct agent *agent);
void files_release(struct agent *agent);
void files_follow(struct agent *agent); /* watches the files that the configuration names */

/* ---- agent_links.c */

struct link_try { /* when an interface of the configuration is tried again */
	char iface[16];
	unsigned int ifindex, failures;
	__u64 next_ns;
};

struct links {
	struct job job;
	struct link_monitor *monitor;
	sd_event_source *source;
	struct link_try tries[GATE25_IFACES];
	/* given to the thread, and by it */
	char ifaces[GATE25_IFACES][16];
	int errors[GATE25_IFACES];
	unsigned int count;
	bool sessions; /* what counts connections is to be attached again */
	struct prepared *prepared;
	struct guard *guard;
	char run_dir[108];
	int lock;
};
int links_init(struct agent *agent);
void links_release(struct agent *agent);
void links_check(struct agent *agent); /* attaches what is there and is not guarded */
void links_tried(struct agent *agent); /* a load just tried them all */

/* ---- agent_upkeep.c */

struct upkeep {
	struct job job;
	sd_event_source *timer, *tick, *watch;
	bool again; /* wanted while it runs */
	__u64 last_ns;
	__s64 drift_ns; /* boot time minus monotonic time, as the overlay was last synced */
	/* given to the thread, and by it */
	struct guard *guard;
	struct config *config;
	bool resync, resync_next;
	int error;
	struct metrics_origin origins[METRICS_ORIGINS + 2];
	size_t origins_count;
};
int upkeep_init(struct agent *agent);
void upkeep_want(struct agent *agent, bool resync);

/* ---- agent_words.c */

/* What the control map last said, as the log has it. */
struct words {
	bool known, paused, observe;
	__u64 pause_until_ns;
	__u8 observe_services;
};
/* Logs what an operator changed since. `loaded`: a load has put it right, and has said the policy of the whole. */
void words_follow(struct agent *agent, bool loaded);

/* ---- agent_views.c */

struct views {
	struct attachment attached[GATE25_IFACES];
	int attached_count;
	struct view views[GATE25_IFACES]; /* prog_id 0: none */
	__u64 looked_ns;
};
void views_refresh(struct agent *agent); /* looks what is in force */
/* The view of an interface by slot; NULL: none. Any that there is. */
const struct view *views_of(struct agent *agent, unsigned int iface_slot);
const struct view *views_first(struct agent *agent);
void views_close(struct agent *agent);
/* Reads the events of the guard in use. */
int views_events_open(struct agent *agent);

/* ---- agent_http.c */

struct http {
	struct MHD_Daemon *daemon;
	char listen[64]; /* where it listens, or tried to */
	sd_event_source *source, *timer;
	bool complained;
};
void http_follow(struct agent *agent); /* listens where the configuration says */
void http_release(struct agent *agent);

/* ---- agent_socket.c */

struct server;
int server_open(struct agent *agent, struct server **out); /* -EADDRINUSE: another agent runs */
void server_close(struct server *server);
/* A load of that kind begins: it serves who is waiting for it. And it came to its end. */
void server_load_begins(struct server *server, enum load_kind kind);
void server_load_ends(struct server *server, const struct apply_report *report);

/* ---- gate25d.c */

struct agent {
	const char *config_path;
	sd_event *event;
	struct config *config;
	struct guard *guard;
	struct prepared *in_force; /* NULL: only what was taken over */
	struct feed_states feeds;
	struct fetcher *fetcher; /* what is fetched beside all jobs */
	int *list_ids;		 /* by index in config->lists */
	struct events *events;
	sd_event_source *events_source;
	struct load load;
	struct files files;
	struct links links;
	struct upkeep upkeep;
	struct words words;
	struct views views;
	struct http http;
	struct server *server;
	struct metrics_origin origins[METRICS_ORIGINS + 2];
	size_t origins_count;
	struct retired *retired;
	atomic_bool stopping;
	bool ready; /* systemd knows that we are */
};

void agent_reloading(struct agent *agent); /* tells systemd, until agent_ready() */
void agent_ready(struct agent *agent);
void agent_status(struct agent *agent);		      /* what `systemctl status` shows */
void agent_report(const struct apply_report *report); /* a line a fact in the log */

#endif
