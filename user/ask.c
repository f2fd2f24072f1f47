// SPDX-License-Identifier: GPL-2.0-only
/*
 * One address, asked of the maps in force.
 *
 * In: an instance's table and classes, the overlay, the control words, the budgets of sources, the
 * images of lists. Out: struct answer. The steps and their order are those of bpf/ingress.bpf.c,
 * through the same headers.
 */
#include "user/ask.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/source.h"
#include "bpf/verdict.h"
#include "user/entry_text.h"
#include "user/lists/compile.h"
#include "user/lists/image.h"
#include "user/log.h"
#include "user/overlay.h"

struct asker {
	const struct config *config;
	struct guard *guard;
	struct view view;
	bool texts;
	struct {
		bool tried;		  /* read at its first use */
		struct list_image *image; /* NULL: there is none */
	} images[GATE25_LISTS];		  /* by index in the generation's lists */
};

/* ---------------------------------------------------------------- open */

/*
 * Of several interfaces any will do: they run the same generation but for the moment of a swap. One
 * whose device is gone for now still says what will hold when it comes back.
 */
static int view_any(struct guard *guard, bool alive, struct view *out)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached), error = count < 0 ? count : -ENOENT;

	for (int i = 0; error && i < count; i++)
		if (!alive || attached[i].ifindex)
			error = view_open(guard, attached[i].prog_id, out);
	return error;
}

/* A link is there, so a program runs and goes on as it is; what is pinned of it was removed. */
static bool runs_unread(struct guard *guard)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached);
	bool alive = false;

	for (int i = 0; i < count; i++)
		alive |= attached[i].ifindex != 0;
	return alive;
}

static int open_failed(struct guard *guard, int error)
{
	if (error != -ENOENT) {
		log_error("cannot read the generation in force: %s", strerror(-error));
	} else if (runs_unread(guard)) {
		log_error(
			"the program in force goes on, but what it decides by cannot be read: its "
			"pins are gone; make it anew: gate25 reload");
		error = -ENODATA;
	} else {
		log_warning("no interface is guarded; put the guard in force: gate25 load");
	}
	return error;
}

int ask_open(const struct config *paths, struct guard *guard, struct asker **out)
{
	struct asker *asker = calloc(1, sizeof(*asker));
	int error = asker ? -ENOENT : -ENOMEM;

	/* What was swapped out between two steps is not there any more: look again. */
	for (int try = 0; error == -ENOENT && try < 3; try++) {
		error = view_any(guard, true, &asker->view);
		if (error == -ENOENT)
			error = view_any(guard, false, &asker->view);
	}
	if (error) {
		free(asker);
		return open_failed(guard, error);
	}
	asker->config = paths;
	asker->guard = guard;
	*out = asker;
	return 0;
}

void ask_close(struct asker *asker)
{
	if (!asker)
		return;
	for (int i = 0; i < GATE25_LISTS; i++)
		list_image_free(asker->images[i].image);
	view_close(&asker->view);
	free(asker);
}

const struct gate25_generation *ask_generation(const struct asker *asker)
{
	return asker->view.generation;
}

int ask_service(const struct asker *asker)
{
	const struct gate25_generation *generation = asker->view.generation;
	__u32 slots = generation->services;

	for (__u32 i = 0; i < generation->ports_count; i++)
		if (generation->ports[i] == 25)
			slots = generation->port_services[i];
	return slots ? __builtin_ctz(slots) : 0;
}

/* ---------------------------------------------------------------- overlay */

struct overlay_walk {
	const struct guard *guard;
	const struct gate25_source *source;
	struct overlay_findings found;
	__u8 service_bit;
	__u64 now_ns;
};

static int overlay_step(struct overlay_walk *walk, unsigned int length)
{
	struct prefix prefix = { .address = *walk->source, .length = length };
	struct gate25_overlay_entry entry;
	int error;

	prefix_mask(&prefix);
	error = overlay_get(walk->guard, &prefix, &entry);
	if (!error)
		overlay_rank(&walk->found, &entry, length, walk->service_bit, walk->now_ns);
	return error == -ENOENT ? 0 : error;
}

/* From the longest length in use to the shortest, as the kernel does. */
static int overlay_ask(struct overlay_walk *walk)
{
	const struct gate25_control *control = walk->guard->control;
	bool v4 = walk->source->family == 4;
	int error = 0;

	for (int length = v4 ? 32 : 128; !error && length >= 0; length--) {
		__u64 word = v4 ? control->overlay_lengths4 :
				  control->overlay_lengths6[length / 64];

		if (word >> (length & 63) & 1)
			error = overlay_step(walk, length);
	}
	return error;
}

/* Which of the findings to show: what decided or would have; else the first one. */
static void overlay_show(const struct overlay_walk *walk, struct answer *out)
{
	const struct overlay_findings *found = &walk->found;
	unsigned int reason = out->would ? out->would - GATE25_WOULD : out->reason;
	struct answer_overlay *shown = &out->overlay;
	struct gate25_overlay_entry entry;
	unsigned int length;

	if (!found->first && !found->block && !found->ban)
		return;
	if (found->first && reason != GATE25_REASON_BAN) {
		shown->slot = found->first - 1;
		length = found->first_length;
	} else if (found->block && reason != GATE25_REASON_BAN) {
		shown->slot = GATE25_SLOT_BLOCK;
		length = found->block_length;
	} else {
		shown->slot = GATE25_SLOT_AUTO;
		length = found->ban_length;
	}
	shown->found = true;
	shown->prefix = (struct prefix){ .address = *walk->source, .length = length };
	prefix_mask(&shown->prefix);
	shown->expires_ns = GATE25_NEVER;
	if (!overlay_get(walk->guard, &shown->prefix, &entry))
		shown->expires_ns = entry.slots[shown->slot].expires_ns;
}

/* ---------------------------------------------------------------- table */

static const struct gate25_class *class_of(const struct asker *asker,
					   const struct gate25_source *source, __u16 *number)
{
	const struct gate25_generation *generation = asker->view.generation;
	__u32 class = 0;

	if (!generation->settings.table_empty)
		class = table_class(asker->view.table, &generation->table, source);
	*number = class < generation->classes ? class : 0;
	return &asker->view.classes[*number];
}

/* Static entries have no image on disk: they stand in the configuration. */
static void image_read(struct asker *asker, __u32 index)
{
	const struct gate25_list_info *info = &asker->view.generation->lists[index];
	const struct config_list *list = config_list_find(asker->config, info->name);
	struct list_image **image = &asker->images[index].image;
	char path[PATH_MAX];

	asker->images[index].tried = true;
	if (list && !list->file && !list->url) {
		list_from_prefixes(list->entries, list->entries_count, image);
		return;
	}
	if (snprintf(path, sizeof(path), "%s/lists/%s.img", asker->config->state_dir, info->name) <
	    (int)sizeof(path))
		list_image_read(
			path,
			image); /* without it the verdict stands, only the entry is not told */
}

void ask_want_texts(struct asker *asker)
{
	asker->texts = true;
}

/* Without it the answer stands; only what the list says of it is not told. */
static void text_ask(const struct asker *asker, const struct gate25_source *source,
		     struct answer_list *list)
{
	const struct config_list *configured = config_list_find(asker->config, list->info->name);
	struct list_line line;

	if (!asker->texts || !configured || !list->has_entry ||
	    entry_text_find(asker->config, configured, source, &line))
		return;
	memcpy(list->text, line.text, sizeof(list->text));
}

const struct list_image *ask_list_image(struct asker *asker, __u32 index)
{
	if (!asker->images[index].tried)
		image_read(asker, index);
	return asker->images[index].image;
}

const char *ask_list_wide(struct asker *asker, __u32 index, char text[static WIDE_TEXT])
{
	if (!asker->images[index].tried)
		image_read(asker, index);
	return asker->images[index].image ? image_wide(asker->images[index].image, text) : NULL;
}

bool ask_list_kept(struct asker *asker, __u32 index)
{
	const struct gate25_list_info *info = &asker->view.generation->lists[index];
	const struct config_list *list = config_list_find(asker->config, info->name);
	const struct list_image *image;

	/* Static entries stand in the configuration; of a list that is configured no more nothing is wanted. */
	if (!list || (!list->file && !list->url) || !info->digest)
		return true;
	if (!asker->images[index].tried)
		image_read(asker, index);
	image = asker->images[index].image;
	if (!image)
		return !info->entries4 && !info->entries6;
	/* A newer image is on its way into force. */
	return image->loaded_s > info->loaded_s || list_image_digest(image) == info->digest;
}

static void lists_ask(struct asker *asker, __u64 lists, struct answer *out)
{
	const struct gate25_generation *generation = asker->view.generation;

	for (__u32 i = 0; i < generation->lists_count; i++) {
		struct answer_list *list = &out->lists[out->lists_count];

		if (!(lists >> i & 1))
			continue;
		if (!asker->images[i].tried)
			image_read(asker, i);
		*list = (struct answer_list){ .info = &generation->lists[i] };
		list->applies = generation->lists[i].services >> out->service & 1;
		list->has_entry = asker->images[i].image &&
				  !list_image_find(asker->images[i].image, &out->source,
						   &list->first, &list->last);
		text_ask(asker, &out->source, list);
		out->lists_count++;
	}
}

/* ---------------------------------------------------------------- limits */

static struct prefix limit_shared(const struct gate25_limit *limit,
				  const struct gate25_source *source)
{
	struct prefix shared = {
		.address = *source,
		.length = source->family == 4 ? limit->length4 : limit->length6,
	};

	prefix_mask(&shared);
	return shared;
}

static void limit_ask(const struct asker *asker, enum gate25_scope scope, __u64 now_ns,
		      struct answer *out)
{
	const struct gate25_settings *settings = &asker->view.generation->settings;
	const struct gate25_limit *limit = &settings->limits[scope];
	struct answer_limit *answer = &out->limits[scope];
	__u64 words[GATE25_SOURCE_WORDS], hash;
	__u32 line;

	answer->set = limit->interval_ns && (limit->services >> out->service & 1);
	if (!answer->set)
		return;
	answer->shared = limit_shared(limit, &out->source);
	answer->observe = out->observed || limit->observe || limit->action == GATE25_PASS;
	hash = source_hash(asker->guard->secret->siphash, &out->source, limit, scope,
			   answer->observe);
	line = source_line(hash, settings->source_lines);
	if (line >= asker->guard->source_lines)
		return;
	for (int i = 0; i < GATE25_SOURCE_WORDS; i++) /* the kernel writes to them meanwhile */
		words[i] = __atomic_load_n(&asker->guard->sources[line].words[i], __ATOMIC_RELAXED);
	answer->left = source_budget(words, hash, now_ns, limit->interval_ns, limit->tolerance_ns);
	answer->spent = !answer->left;
}

/* As judge_syn() in the kernel: one limit after the other, unless something decided before. */
static void limits_judge(struct asker *asker, __u64 now_ns, struct judgement *judgement,
			 struct answer *out)
{
	static const __u8 reasons[GATE25_SCOPES] = {
		[GATE25_SCOPE_SOURCE] = GATE25_REASON_LIMIT_SOURCE,
		[GATE25_SCOPE_NETWORK] = GATE25_REASON_LIMIT_NETWORK,
	};

	for (int scope = 0; scope < GATE25_SCOPES; scope++) {
		struct answer_limit *answer = &out->limits[scope];

		limit_ask(asker, scope, now_ns, out);
		answer->exempt = judgement->exempt || judgement->action != GATE25_PASS;
		if (answer->spent && !answer->exempt)
			judge_match(judgement, reasons[scope],
				    asker->view.generation->settings.limits[scope].action,
				    answer->observe);
	}
}

/* ---------------------------------------------------------------- the question */

static void facts_fill(const struct asker *asker, const struct gate25_class *class, __u64 now_ns,
		       const struct answer *answer, struct verdict_facts *facts)
{
	const struct gate25_settings *settings = &asker->view.generation->settings;
	unsigned int service = answer->service;

	facts->observe = answer->observed;
	facts->class_flags = class->flags[service];
	facts->class_action = class->action[service];
	facts->default_action = settings->default_action[service];
	facts->default_live = (settings->allow_in_table >> service & 1) ||
			      asker->guard->control->manual_allow_until_ns[service] > now_ns;
}

static void answer_begin(const struct asker *asker, const struct gate25_source *source,
			 int service_slot, __u64 now_ns, struct answer *out)
{
	const struct gate25_control *control = asker->guard->control;

	memset(out, 0, sizeof(*out));
	out->source = *source;
	source_normalise(&out->source, &asker->view.generation->settings);
	out->service = service_slot & (GATE25_SERVICES - 1);
	out->service_name = asker->guard->names->services[out->service];
	out->paused = control->pause_until_ns > now_ns;
	out->observed = out->paused || control->observe ||
			(control->observe_services >> out->service & 1);
	out->threshold = asker->view.generation->threshold;
}

static int ask(struct asker *asker, const struct gate25_source *source, int service_slot,
	       bool details, struct answer *out)
{
	__u64 now_ns = monotonic_ns();
	struct overlay_walk walk = { .guard = asker->guard, .now_ns = now_ns };
	struct verdict_facts facts = { .observe = 0 };
	const struct gate25_class *class;
	struct judgement judgement;
	int error;

	answer_begin(asker, source, service_slot, now_ns, out);
	walk.source = &out->source;
	walk.service_bit = 1 << out->service;
	error = overlay_ask(&walk);
	if (error) {
		log_error("cannot look into the overlay: %s", strerror(-error));
		return error;
	}
	class = class_of(asker, &out->source, &out->class);
	facts_fill(asker, class, now_ns, out, &facts);
	facts.overlay = walk.found;
	judgement = judge(&facts);
	limits_judge(asker, now_ns, &judgement, out);
	out->reason = judgement_reason(&judgement);
	out->verdict = judgement.action;
	out->would = judgement.would;
	out->score = class->score[out->service];
	out->shadow_score = class->shadow_score[out->service];
	out->class_flags = class->flags[out->service];
	if (details) {
		overlay_show(&walk, out);
		lists_ask(asker, class->lists, out);
	}
	return 0;
}

int ask_address(struct asker *asker, const struct gate25_source *source, int service_slot,
		struct answer *out)
{
	return ask(asker, source, service_slot, true, out);
}

int ask_verdict(struct asker *asker, const struct gate25_source *source, int service_slot,
		struct answer *out)
{
	return ask(asker, source, service_slot, false, out);
}
