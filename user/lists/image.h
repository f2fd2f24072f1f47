/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A list that was parsed: sorted, disjoint ranges of addresses of both families, in memory and as
 * a versioned, checksummed file (the last good list).
 *
 * Ranges are what the list says, not merged further: an entry inside another one of the same list
 * is dropped, neighbours stay apart, so that a range can be shown as the entry that decided. What
 * an exclusion un-lists is cut out.
 */
#ifndef GATE25_LISTS_IMAGE_H
#define GATE25_LISTS_IMAGE_H

#include <stddef.h>

#include "bpf/gate25.h"

struct range4 {
	__u32 first, last; /* host byte order, both inclusive */
};

struct address6 {
	__u64 hi, lo; /* host byte order */
};

struct range6 {
	struct address6 first, last; /* both inclusive */
};

struct list_image {
	struct range4 *ranges4;
	struct range6 *ranges6;
	size_t count4, count6;
	/*
	 * what the parser saw: lines that are more than blank or a comment, and the bad ones of
	 * them
	 */
	__u64 lines, bad_lines;
	__u64 loaded_s;	     /* when it was read with success, seconds since 1970 */
	__u64 source_digest; /* of the bytes it was parsed from and of the settings that shape it */
};

/* A digest of 64 bits, for telling changes and damage, not for defence; `seed` chains it. */
__u64 list_digest(__u64 seed, const void *bytes, size_t length);

/*
 * Of the entries alone, however and whenever they were read: another one for almost every change. Never 0.
 */
__u32 list_image_digest(const struct list_image *image);

/* Frees it with its arrays; NULL is fine. */
void list_image_free(struct list_image *image);

/*
 * Writes `image` to `path` by way of a temporary file, fsync and rename; reads it back. A file of
 * another version or with a wrong checksum or bound is -EBADMSG and never half read; *out stays
 * as it was.
 */
int list_image_write(const struct list_image *image, const char *path);
int list_image_read(const char *path, struct list_image **out);

/* The same to and from an open file, from where it stands. No image is larger than LIST_IMAGE_BYTES. */
#define LIST_IMAGE_BYTES (256UL << 20)
int list_image_write_fd(const struct list_image *image, int fd);
int list_image_read_fd(int fd, struct list_image **out);

/*
 * The range of the image that holds `address`; first and last as addresses. -ENOENT if none does.
 */
int list_image_find(const struct list_image *image, const struct gate25_source *address,
		    struct gate25_source *first, struct gate25_source *last);

#endif
