// SPDX-License-Identifier: GPL-2.0-only
/*
 * The journal's file: records of changes, each with checksums, appended and made last by fsync.
 *
 *   file    "GATE25J1", then (8 bytes) the size up to which the overlay has seen it: a hint, which
 *           the entries never need
 *   record  magic, length of its changes, their CRC-32, CRC-32 of the 12 bytes before
 *   change  struct change, then its origin, reason and services, without a final 0
 *
 * All numbers are little endian. A record's head has a checksum of its own, so that a record which
 * ends beyond the file was surely cut short (a process or a machine that died), and anything else
 * that is wrong is damage.
 */
#include "user/journal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "user/log.h"

#define FILE_MAGIC    "GATE25J1"
#define FILE_FAMILY   7		  /* bytes of the magic that all versions share */
#define RECORD_MAGIC  0x52353247U /* "G25R" */
#define RECORD_MOST   (256U << 20)
#define REWRITE_BYTES (1U << 20) /* a record of a rewritten file */
#define WASTE_BYTES   16384	 /* smaller files are not worth a rewrite */

struct file_head {
	char magic[8];
	__u64 applied_le;
};

struct record_head {
	__u32 magic_le, length_le, payload_crc_le, head_crc_le;
};

enum what { CHANGE_PUT = 1, CHANGE_DEL = 2 };

struct change {
	__u8 what, kind, family, length;
	__u8 origin_bytes, reason_bytes;
	__u16 services_bytes_le;
	__u64 hi_le, lo_le;
	__u64 added_le, expires_le, sequence_le;
};
_Static_assert(sizeof(struct change) == 48, "change");
_Static_assert(ENTRY_ORIGIN <= 256 && ENTRY_REASON <= 256 && ENTRY_SERVICES <= 65536, "lengths");

/* ---------------------------------------------------------------- changes to bytes and back */

size_t change_bytes(const struct entry *entry)
{
	return sizeof(struct change) + strlen(entry->origin) + strlen(entry->reason) +
	       strlen(entry->services);
}

static unsigned char *bytes_grow(struct bytes *bytes, size_t more)
{
	unsigned char *place;

	if (bytes->count + more > bytes->room) {
		size_t room = 2 * bytes->room + more;

		place = realloc(bytes->at, room);
		if (!place)
			return NULL;
		bytes->at = place;
		bytes->room = room;
	}
	place = bytes->at + bytes->count;
	bytes->count += more;
	return place;
}

int change_encode(struct bytes *out, const struct entry *entry, bool put)
{
	size_t origin = strlen(entry->origin), reason = strlen(entry->reason);
	size_t services = strlen(entry->services);
	struct change change = {
		.what = put ? CHANGE_PUT : CHANGE_DEL,
		.kind = entry->kind,
		.family = entry->prefix.address.family,
		.length = entry->prefix.length,
		.origin_bytes = origin,
		.reason_bytes = reason,
		.services_bytes_le = htole16(services),
		.hi_le = htole64(entry->prefix.address.hi),
		.lo_le = htole64(entry->prefix.address.lo),
		.added_le = htole64(entry->added_s),
		.expires_le = htole64(entry->expires_s),
		.sequence_le = htole64(entry->sequence),
	};
	unsigned char *place;

	if (out->count + change_bytes(entry) > RECORD_MOST)
		return -EFBIG;
	place = bytes_grow(out, change_bytes(entry));
	if (!place)
		return -ENOMEM;
	place = mempcpy(place, &change, sizeof(change));
	place = mempcpy(place, entry->origin, origin);
	place = mempcpy(place, entry->reason, reason);
	memcpy(place, entry->services, services);
	return 0;
}

struct decoded {
	bool put;
	struct entry entry;
	char origin[ENTRY_ORIGIN], reason[ENTRY_REASON], services[ENTRY_SERVICES];
};

static bool text_decode(char *text, size_t room, const unsigned char **from, size_t bytes)
{
	if (bytes >= room || memchr(*from, '\0', bytes))
		return false;
	memcpy(text, *from, bytes);
	text[bytes] = '\0';
	*from += bytes;
	return true;
}

static bool decoded_sound(const struct decoded *decoded)
{
	struct prefix masked = decoded->entry.prefix;
	unsigned int family = masked.address.family;

	if (family != 4 && family != 6)
		return false;
	if (masked.length > (family == 4 ? 32 : 128) || decoded->entry.kind >= ENTRY_KINDS)
		return false;
	prefix_mask(&masked);
	return decoded->origin[0] && prefix_equal(&masked, &decoded->entry.prefix);
}

/* Returns how many bytes it took, 0 when they are no change. */
static size_t change_decode(const unsigned char *from, size_t bytes, struct decoded *out)
{
	const unsigned char *at = from + sizeof(struct change);
	struct change change;
	size_t services;

	if (bytes < sizeof(change))
		return 0;
	memcpy(&change, from, sizeof(change));
	services = le16toh(change.services_bytes_le);
	if (bytes - sizeof(change) < change.origin_bytes + change.reason_bytes + services)
		return 0;
	if (change.what != CHANGE_PUT && change.what != CHANGE_DEL)
		return 0;
	if (!text_decode(out->origin, sizeof(out->origin), &at, change.origin_bytes) ||
	    !text_decode(out->reason, sizeof(out->reason), &at, change.reason_bytes) ||
	    !text_decode(out->services, sizeof(out->services), &at, services))
		return 0;
	out->put = change.what == CHANGE_PUT;
	out->entry = (struct entry){
		.prefix = {
			.address = {
				.hi = le64toh(change.hi_le),
				.lo = le64toh(change.lo_le),
				.family = change.family,
			},
			.length = change.length,
		},
		.kind = change.kind,
		.origin = out->origin,
		.reason = out->reason,
		.services = out->services,
		.added_s = le64toh(change.added_le),
		.expires_s = le64toh(change.expires_le),
		.sequence = le64toh(change.sequence_le),
	};
	return decoded_sound(out) ? (size_t)(at - from) : 0;
}

/* A record counts as a whole or not at all, so it is looked through before anything is done. */
static bool payload_sound(const unsigned char *payload, size_t bytes)
{
	struct decoded decoded;
	size_t took;

	for (; bytes; payload += took, bytes -= took) {
		took = change_decode(payload, bytes, &decoded);
		if (!took)
			return false;
	}
	return true;
}

static int payload_replay(struct journal *journal, const unsigned char *payload, size_t bytes)
{
	struct decoded decoded;
	size_t took;
	int error;

	for (; bytes; payload += took, bytes -= took) {
		took = change_decode(payload, bytes, &decoded);
		if (!took)
			return -EBADMSG; /* cannot be: it was looked through */
		if (decoded.put)
			error = journal_set(journal, &decoded.entry);
		else
			error = journal_unset(journal, &decoded.entry.prefix, decoded.entry.kind,
					      decoded.origin);
		if (error && error != -ENOENT)
			return error;
		if (decoded.entry.sequence > journal->sequence)
			journal->sequence = decoded.entry.sequence;
	}
	return 0;
}

/* ---------------------------------------------------------------- records */

static __u32 crc_of(const void *bytes, size_t count)
{
	return crc32(crc32(0, NULL, 0), bytes, count);
}

static struct record_head record_head_make(const unsigned char *payload, size_t bytes)
{
	struct record_head head = {
		.magic_le = htole32(RECORD_MAGIC),
		.length_le = htole32(bytes),
		.payload_crc_le = htole32(crc_of(payload, bytes)),
	};

	head.head_crc_le = htole32(crc_of(&head, offsetof(struct record_head, head_crc_le)));
	return head;
}

enum condition { WHOLE, TORN, DAMAGED };

/*
 * After a loss of power a file may be longer than what was written of it; that part reads as zeros.
 */
static bool only_zeros(const unsigned char *at, size_t bytes)
{
	while (bytes && !*at)
		at++, bytes--;
	return !bytes;
}

/* The record at `at`; *bytes is what is left of the file, and then how much the record takes. */
static enum condition record_check(const unsigned char *at, size_t *bytes)
{
	size_t left = *bytes, length;
	struct record_head head;

	if (left < sizeof(head) || only_zeros(at, left))
		return TORN;
	memcpy(&head, at, sizeof(head));
	if (le32toh(head.magic_le) != RECORD_MAGIC ||
	    le32toh(head.head_crc_le) != crc_of(&head, offsetof(struct record_head, head_crc_le)))
		return DAMAGED;
	length = le32toh(head.length_le);
	left -= sizeof(head);
	if (length > left)
		return TORN;
	at += sizeof(head);
	if (le32toh(head.payload_crc_le) != crc_of(at, length) || !payload_sound(at, length))
		return DAMAGED;
	*bytes = sizeof(head) + length;
	return WHOLE;
}

/* Replays all good records; journal->size is then where the good part of the file ends. */
static int records_replay(struct journal *journal, const unsigned char *file, size_t bytes,
			  enum condition *condition)
{
	struct file_head head;
	size_t took;
	int error;

	journal->size = 0;
	*condition = TORN;
	if (bytes < sizeof(head))
		return 0;
	memcpy(&head, file, sizeof(head));
	*condition = WHOLE;
	if (memcmp(head.magic, FILE_MAGIC, sizeof(head.magic)) != 0) {
		*condition = only_zeros(file, bytes) ? TORN : DAMAGED;
		return memcmp(head.magic, FILE_MAGIC, FILE_FAMILY) == 0 ? -EPROTO : 0;
	}
	for (journal->size = sizeof(head); journal->size < bytes; journal->size += took) {
		took = bytes - journal->size;
		*condition = record_check(file + journal->size, &took);
		if (*condition != WHOLE)
			return 0;
		error = payload_replay(journal, file + journal->size + sizeof(struct record_head),
				       took - sizeof(struct record_head));
		if (error)
			return error;
	}
	return 0;
}

/* ---------------------------------------------------------------- the file */

static int file_failed(const struct journal *journal, const char *what, int error)
{
	const char *remedy = "";

	if (journal->anyway)
		remedy = "; it is in force all the same";
	else if (error == -ENOSPC || error == -EDQUOT)
		remedy = "; nothing was changed: free some space there and try again";
	else if (error == -EFBIG)
		remedy = "; nothing was changed: it is beyond the limit of a file's size";
	else if (error == -EACCES || error == -EPERM)
		remedy = "; run as root";
	else if (error == -EPROTO)
		remedy = "; it was written by another version of gate25: use that version, or move "
			 "the file away";
	log_error("cannot %s %s: %s%s", what, journal->path,
		  error == -EPROTO ? "unknown format" : strerror(-error), remedy);
	return error;
}

static int write_at(int fd, const void *from, size_t bytes, off_t offset)
{
	const unsigned char *at = from;

	while (bytes) {
		ssize_t wrote = pwrite(fd, at, bytes, offset);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote ? -errno : -EIO;
		at += wrote;
		bytes -= wrote;
		offset += wrote;
	}
	return 0;
}

static int record_write(int fd, const struct bytes *payload, size_t *offset)
{
	struct record_head head = record_head_make(payload->at, payload->count);
	int error = write_at(fd, &head, sizeof(head), *offset);

	if (!error)
		error = write_at(fd, payload->at, payload->count, *offset + sizeof(head));
	if (!error)
		*offset += sizeof(head) + payload->count;
	return error;
}

static int directory_sync(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = fsync(fd) ? -errno : 0;
	close(fd);
	return error;
}

struct rewrite {
	int fd, error;
	size_t offset;
	struct bytes payload;
};

static void rewrite_flush(struct rewrite *rewrite)
{
	if (!rewrite->error && rewrite->payload.count)
		rewrite->error = record_write(rewrite->fd, &rewrite->payload, &rewrite->offset);
	rewrite->payload.count = 0;
}

static void rewrite_group(struct group *group, void *context)
{
	struct rewrite *rewrite = context;

	for (struct stored *stored = group->entries; stored; stored = stored->next) {
		if (!rewrite->error)
			rewrite->error = change_encode(&rewrite->payload, &stored->entry, true);
		if (rewrite->payload.count >= REWRITE_BYTES)
			rewrite_flush(rewrite);
	}
}

static int rewrite_fill(const struct journal *journal, struct rewrite *rewrite)
{
	struct file_head head = { .magic = FILE_MAGIC };

	rewrite->offset = sizeof(head);
	rewrite->error = write_at(rewrite->fd, &head, sizeof(head), 0);
	journal_each(journal, rewrite_group, rewrite);
	rewrite_flush(rewrite);
	free(rewrite->payload.at);
	if (!rewrite->error && fsync(rewrite->fd))
		rewrite->error = -errno;
	return rewrite->error;
}

int journal_rewrite(struct journal *journal)
{
	bool applied = journal_applied(journal);
	struct rewrite rewrite = { .fd = -1 };
	char *fresh = NULL;
	int error = 0;

	if (asprintf(&fresh, "%s.new", journal->path) < 0)
		return -ENOMEM;
	if (mkdir(journal->directory, 0755) && errno != EEXIST)
		error = -errno;
	if (!error)
		rewrite.fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (!error && rewrite.fd < 0)
		error = -errno;
	if (!error)
		error = rewrite_fill(journal, &rewrite);
	if (!error && rename(fresh, journal->path))
		error = -errno;
	if (error) {
		file_failed(journal, "write", error);
		if (rewrite.fd >= 0) {
			unlink(fresh);
			close(rewrite.fd);
		}
		free(fresh);
		return error;
	}
	free(fresh);
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = rewrite.fd;
	journal->size = rewrite.offset;
	if (applied)
		journal_set_applied(journal);
	error = directory_sync(journal->directory);
	return error ? file_failed(journal, "write", error) : 0;
}

bool journal_wasteful(const struct journal *journal)
{
	return journal->size > WASTE_BYTES && journal->size > 2 * journal->live_bytes;
}

bool journal_applied(const struct journal *journal)
{
	struct file_head head;

	if (journal->fd < 0)
		return true;
	return pread(journal->fd, &head, sizeof(head), 0) == sizeof(head) &&
	       le64toh(head.applied_le) == journal->size;
}

void journal_set_applied(const struct journal *journal)
{
	__u64 applied_le = htole64(journal->size);

	/* Without it the next one only brings the overlay up to date once more. */
	if (journal->fd >= 0 && write_at(journal->fd, &applied_le, sizeof(applied_le),
					 offsetof(struct file_head, applied_le)))
		log_debug("cannot note in %s what is in force", journal->path);
}

void journal_take_back(struct journal *journal, size_t size)
{
	if (ftruncate(journal->fd, size) || fsync(journal->fd))
		file_failed(journal, "take the last change out of", -errno);
	journal->size = size;
}

int journal_append(struct journal *journal)
{
	size_t before, end;
	int error;

	if (journal->sealed)
		return file_failed(journal, "write", -EROFS);
	if (journal->fd < 0) {
		struct journal empty = *journal;

		/* The file first, with nothing in it: what is staged comes as the record it is. */
		empty.groups = NULL;
		error = journal_rewrite(&empty);
		journal->fd = empty.fd;
		journal->size = empty.size;
		if (error)
			return error;
	}
	before = end = journal->size;
	error = record_write(journal->fd, &journal->staged, &end);
	if (!error && fsync(journal->fd))
		error = -errno;
	if (error) {
		file_failed(journal, "write", error);
		journal_take_back(journal, before);
		return error;
	}
	journal->size = end;
	return 0;
}

/* ---------------------------------------------------------------- reading, and putting right */

static int file_read(int fd, unsigned char **out, size_t *bytes)
{
	unsigned char *memory;
	struct stat state;
	size_t count = 0;

	if (fstat(fd, &state))
		return -errno;
	if (!S_ISREG(state.st_mode))
		return -EINVAL;
	memory = malloc(state.st_size + 1);
	if (!memory)
		return -ENOMEM;
	while (count < (size_t)state.st_size) {
		ssize_t got = pread(fd, memory + count, state.st_size - count, count);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(memory);
			return -errno;
		}
		if (!got)
			break;
		count += got;
	}
	*out = memory;
	*bytes = count;
	return 0;
}

/*
 * The original stays under another name: by a link first, so that there is a journal at every
 * moment.
 */
static int put_aside(struct journal *journal)
{
	char *aside;
	int error = 0;

	if (asprintf(&aside, "%s.damaged", journal->path) < 0)
		return -ENOMEM;
	unlink(aside);
	if (link(journal->path, aside))
		error = -errno;
	if (error)
		log_error("%s is damaged, and cannot be put aside as %s: %s", journal->path, aside,
			  strerror(-error));
	else
		log_error("%s is damaged at byte %zu: the %zu entries before that are kept, the "
			  "original is now %s; add again what is missing (gate25 list, gate25 log)",
			  journal->path, journal->size, journal->count, aside);
	free(aside);
	return error;
}

static int cut_off(struct journal *journal, size_t bytes)
{
	log_warning("%s: its last change was not written whole and was never in force: cut off %zu "
		    "bytes, %zu entries kept",
		    journal->path, bytes - journal->size, journal->count);
	if (ftruncate(journal->fd, journal->size) || fsync(journal->fd))
		return file_failed(journal, "cut", -errno);
	return 0;
}

static int journal_recover(struct journal *journal, enum condition condition, size_t bytes)
{
	int error = 0;

	if (condition == WHOLE)
		return 0;
	if (journal->looking) {
		/* A torn end may be a record that is being written right now. */
		if (condition == DAMAGED)
			log_warning("%s is damaged at byte %zu; the next change will put it right",
				    journal->path, journal->size);
		return 0;
	}
	guard_count_error(journal->guard, GATE25_ERROR_RECOVERED);
	if (condition == TORN && journal->size)
		return cut_off(journal, bytes);
	if (condition == DAMAGED)
		error = put_aside(journal);
	else
		log_warning("%s: nothing was ever written to it; it is made anew", journal->path);
	return error ? error : journal_rewrite(journal);
}

int journal_load(struct journal *journal)
{
	int flags = journal->looking ? O_RDONLY : O_RDWR, error;
	enum condition condition = WHOLE;
	unsigned char *file = NULL;
	size_t bytes = 0;

	journal->fd = open(journal->path, flags | O_CLOEXEC | O_NOFOLLOW);
	if (journal->fd < 0 && errno == EROFS) {
		journal->sealed = true;
		journal->fd = open(journal->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (journal->fd < 0)
		return errno == ENOENT ? 0 : file_failed(journal, "open", -errno);
	error = file_read(journal->fd, &file, &bytes);
	if (!error)
		error = records_replay(journal, file, bytes, &condition);
	free(file);
	if (error)
		return file_failed(journal, "read", error);
	return journal_recover(journal, condition, bytes);
}
