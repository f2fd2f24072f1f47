// SPDX-License-Identifier: GPL-2.0-only
/* Lists of entries: random ones, real ones, and the addresses to try them with. */
#include "tools/bench/entries.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "user/log.h"

#define PROVIDERS 4096

/* The same numbers in each run. */
static __u64 random_state = 0x853c49e6748fea9bULL;

static __u32 random32(void)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return mix(random_state >> 32);
}

static int entries_room(struct entries *entries, int family, __u32 count)
{
	entries->family = family;
	entries->count = 0;
	entries->items = calloc(count, sizeof(*entries->items));
	return entries->items ? 0 : -ENOMEM;
}

void entries_free(struct entries *entries)
{
	free(entries->items);
	entries->items = NULL;
}

int entries_hosts(struct entries *entries, __u32 count)
{
	int error = entries_room(entries, 4, count);

	entries->hosts = true;
	for (; !error && entries->count < count; entries->count++) {
		entries->items[entries->count].be[0] = htonl(mix(entries->count));
		entries->items[entries->count].length = 32;
	}
	return error;
}

/* ---------------------------------------------------------------- IPv6 */

static void entry_mask(struct entry *entry)
{
	for (__u32 i = 0; i < 4; i++) {
		__u32 bits = entry->length > 32 * i ? entry->length - 32 * i : 0;

		if (bits < 32)
			entry->be[i] &= htonl(bits ? ~0U << (32 - bits) : 0);
	}
}

static __u32 length6_draw(void)
{
	static const struct {
		__u32 percent, length;
	} mix6[] = { { 40, 64 }, { 20, 128 }, { 20, 48 }, { 10, 56 }, { 4, 32 },
		     { 2, 40 },	 { 2, 44 },   { 1, 36 },  { 1, 29 } };
	__u32 drawn = random32() % 100, sum = 0, i;

	for (i = 0; i < sizeof(mix6) / sizeof(mix6[0]) - 1; i++) {
		sum += mix6[i].percent;
		if (drawn < sum)
			break;
	}
	return mix6[i].length;
}

static int entry_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct entry));
}

/* Wider than a provider's /32 are networks of their own. */
static void network6_draw(struct entry *entry, const __u32 *providers)
{
	static const __u32 registries[] = { 0x20010000, 0x24000000, 0x26000000,
					    0x28000000, 0x2a000000, 0x2c000000 };
	__u32 own = registries[random32() % 6] | (random32() & 0x000fffff);

	entry->length = length6_draw();
	entry->be[0] = htonl(entry->length > 32 ? providers[random32() % PROVIDERS] : own);
	entry->be[1] = htonl(random32() & 0x0fffffff);
	entry->be[2] = htonl(random32());
	entry->be[3] = htonl(random32());
	entry_mask(entry);
}

int entries_networks6(struct entries *entries, __u32 count)
{
	static __u32 providers[PROVIDERS];
	struct entry probe;
	int error = entries_room(entries, 6, count);
	__u32 kept = 0;

	if (error)
		return error;
	for (int i = 0; i < PROVIDERS; i++) {
		do
			network6_draw(&probe, providers);
		while (probe.length > 32);
		providers[i] = ntohl(probe.be[0]);
	}
	while (kept < count) {
		for (__u32 i = kept; i < count; i++)
			network6_draw(&entries->items[i], providers);
		qsort(entries->items, count, sizeof(*entries->items), entry_compare);
		kept = 0;
		for (__u32 i = 0; i < count; i++)
			if (!kept || entry_compare(&entries->items[i], &entries->items[kept - 1]))
				entries->items[kept++] = entries->items[i];
	}
	entries->count = count;
	return 0;
}

/* ---------------------------------------------------------------- files */

static int file_parse(const char *path, enum list_format format, struct list_image **image)
{
	struct parse_settings settings = { .format = format };
	const char *why = "";
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;
	void *text;

	if (fd < 0)
		return -errno;
	error = fstat(fd, &status) ? -errno : 0;
	text = error ? MAP_FAILED : mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (text == MAP_FAILED)
		return -EIO;
	error = list_parse(text, status.st_size, &settings, image, &why);
	if (error)
		log_error("%s: %s", path, why);
	munmap(text, status.st_size);
	return error;
}

/* The widest network that begins where the range does and lies in it. */
static __u64 network4_cut(const struct range4 *range, __u64 first, struct entry *entry)
{
	__u32 length = 32;

	while (length > 0) {
		__u64 size = 1ULL << (33 - length);

		if (first % size || first + size - 1 > range->last)
			break;
		length--;
	}
	entry->be[0] = htonl((__u32)first);
	entry->length = length;
	return first + (1ULL << (32 - length));
}

int entries_read(struct entries *entries, const char *path, enum list_format format)
{
	struct list_image *image = NULL;
	int error = file_parse(path, format, &image);

	if (error || !image)
		return error;
	entries->hosts = true;
	error = entries_room(entries, 4, image->count4 * 62);
	for (size_t i = 0; !error && i < image->count4; i++) {
		__u64 next = image->ranges4[i].first;

		while (next <= image->ranges4[i].last) {
			struct entry *entry = &entries->items[entries->count++];

			next = network4_cut(&image->ranges4[i], next, entry);
			entries->hosts &= entry->length == 32;
		}
	}
	list_image_free(image);
	return error;
}

const char *entry_format(const struct entries *entries, const struct entry *entry,
			 char text[static 64])
{
	__u32 most = entries->family == 4 ? 32 : 128;
	size_t length;

	inet_ntop(entries->family == 4 ? AF_INET : AF_INET6, entry->be, text, 64);
	length = strlen(text);
	if (entry->length < most)
		snprintf(text + length, 64 - length, "/%u", entry->length);
	return text;
}

int entries_write(const struct entries *entries, const char *path)
{
	FILE *file = fopen(path, "we");
	char text[64];

	if (!file)
		return -errno;
	for (__u32 i = 0; i < entries->count; i++)
		fprintf(file, "%s\n", entry_format(entries, &entries->items[i], text));
	return fclose(file) ? -errno : 0;
}

/* ---------------------------------------------------------------- the pool */

/* An address in the entry, or, `beside`, one that is near it: its last bits are others. */
static void address_draw(const struct entries *entries, bool beside, __u32 out[4])
{
	const struct entry *entry = &entries->items[random32() % entries->count];
	__u32 most = entries->family == 4 ? 32 : 128, length = entry->length;
	struct entry mask = { .be = { ~0U, ~0U, ~0U, ~0U } };

	if (beside)
		length = length >= most - 16 ? most - 16 : length - 8;
	mask.length = length;
	entry_mask(&mask);
	for (int i = 0; i < 4; i++)
		out[i] = (entry->be[i] & mask.be[i]) | (random32() & ~mask.be[i]);
	for (__u32 i = most / 32; i < 4; i++)
		out[i] = 0;
}

static void source_from(const struct entries *entries, const __u32 be[4], struct gate25_source *out)
{
	memset(out, 0, sizeof(*out));
	out->family = entries->family;
	if (entries->family == 4) {
		out->lo = ntohl(be[0]);
		return;
	}
	out->hi = (__u64)ntohl(be[0]) << 32 | ntohl(be[1]);
	out->lo = (__u64)ntohl(be[2]) << 32 | ntohl(be[3]);
}

static int image_make(const struct entries *entries, struct list_image **out)
{
	struct prefix *prefixes = calloc(entries->count, sizeof(*prefixes));
	int error;

	if (!prefixes)
		return -ENOMEM;
	for (__u32 i = 0; i < entries->count; i++) {
		source_from(entries, entries->items[i].be, &prefixes[i].address);
		prefixes[i].length = entries->items[i].length;
	}
	error = list_from_prefixes(prefixes, entries->count, out);
	free(prefixes);
	return error;
}

int entries_pool(const struct entries *entries)
{
	static __u32 addresses[POOL_HALF][4];
	struct list_image *image = NULL;
	struct gate25_source source, first, last;
	int error = image_make(entries, &image);

	if (error)
		return error;
	for (int i = 0; i < POOL_HALF; i++)
		address_draw(entries, false, addresses[i]);
	error = source_pool(0, (const __u32(*)[4])addresses, POOL_HALF);
	for (int i = 0; i < POOL_HALF; i++) {
		do {
			address_draw(entries, true, addresses[i]);
			source_from(entries, addresses[i], &source);
		} while (list_image_find(image, &source, &first, &last) == 0);
	}
	if (!error)
		error = source_pool(POOL_HALF, (const __u32(*)[4])addresses, POOL_HALF);
	list_image_free(image);
	return error;
}
