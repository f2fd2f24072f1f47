// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unpacks a gzipped list: bounded, whole or not at all.
 *
 * In: all members of a gzip file, as gzip(1) reads them. Out: their bytes, one behind the other.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "user/lists/reading.h"

#define GZIP_WINDOW (16 + MAX_WBITS) /* zlib: gzip and nothing else */
#define FIRST_BYTES 65536UL

struct unpacking {
	z_stream stream;
	char *bytes;
	size_t room, length;
	size_t most; /* bytes */
};

static int make_room(struct unpacking *unpacking)
{
	size_t more = unpacking->room ? 2 * unpacking->room : FIRST_BYTES;
	char *bytes;

	if (unpacking->length < unpacking->room)
		return 0;
	if (more > unpacking->most)
		more = unpacking->most + 1; /* room to see that there is more */
	bytes = realloc(unpacking->bytes, more);
	if (!bytes)
		return -ENOMEM;
	unpacking->bytes = bytes;
	unpacking->room = more;
	return 0;
}

/* Zeros behind the last member are padding (tape blocks); anything else is damage. */
static bool only_padding(const z_stream *stream)
{
	for (unsigned int i = 0; i < stream->avail_in; i++) {
		if (stream->next_in[i])
			return false;
	}
	return true;
}

/* One call of inflate(); sets *done at the end of the last member. */
static int unpack_some(struct unpacking *unpacking, bool *done, const char **why)
{
	z_stream *stream = &unpacking->stream;
	size_t room = unpacking->room - unpacking->length;
	int result;

	stream->next_out = (unsigned char *)unpacking->bytes + unpacking->length;
	stream->avail_out = room;
	result = inflate(stream, Z_NO_FLUSH);
	unpacking->length += room - stream->avail_out;
	if (unpacking->length > unpacking->most) {
		*why = "larger than a list may be (256 MiB), once unpacked";
		return -EFBIG;
	}
	switch (result) {
	case Z_OK:
		return 0;
	case Z_STREAM_END:
		*done = only_padding(stream);
		if (!*done && inflateReset(stream) != Z_OK)
			return -ENOMEM;
		return 0;
	case Z_MEM_ERROR:
		return -ENOMEM;
	case Z_BUF_ERROR:
		*why = "damaged gzip: it is cut off";
		return -EBADMSG;
	default:
		*why = "damaged gzip";
		return -EBADMSG;
	}
}

int gzip_unpack(const void *packed, size_t length, size_t most, char **out, size_t *out_length,
		const char **why)
{
	struct unpacking unpacking = { .most = most };
	bool done = false;
	int error = 0;

	_Static_assert(GATE25_LIST_BYTES < UINT_MAX, "zlib counts in unsigned int");
	unpacking.stream.next_in = (unsigned char *)packed;
	unpacking.stream.avail_in = length;
	if (inflateInit2(&unpacking.stream, GZIP_WINDOW) != Z_OK)
		return -ENOMEM;
	while (!error && !done) {
		error = make_room(&unpacking);
		if (!error)
			error = unpack_some(&unpacking, &done, why);
	}
	inflateEnd(&unpacking.stream);
	if (error) {
		free(unpacking.bytes);
		return error;
	}
	*out = unpacking.bytes;
	*out_length = unpacking.length;
	return 0;
}
