// SPDX-License-Identifier: GPL-2.0-only
/* Random frames by description, and a naive reference over the description. */
#include "tests/common/random_frames.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20

const char *const cell_names[CELLS] = {
	"list", "allow", "default", "malformed", "fragment", "pass"
};

static unsigned int below(unsigned int *seed, unsigned int bound)
{
	return (unsigned int)rand_r(seed) % bound;
}

static __u64 random64(unsigned int *seed)
{
	return (__u64)rand_r(seed) << 42 ^ (__u64)rand_r(seed) << 21 ^ (__u64)rand_r(seed);
}

/* ------------------------------------------------------------------ addresses */

/* Few upper bits vary, so that prefixes and addresses meet often. */
static void address_random(unsigned int *seed, unsigned int family, struct gate25_source *out)
{
	memset(out, 0, sizeof(*out));
	out->family = family;
	if (family == 4) {
		out->lo = 0xc6000000u | (random64(seed) & 0x0003ffff) << (below(seed, 3) * 2);
		return;
	}
	out->hi = 0x20010db800000000ULL | (random64(seed) & 0x0300030003ULL);
	out->lo = below(seed, 2) ? random64(seed) : below(seed, 4);
}

void prefixes_random(unsigned int *seed, struct prefix *out, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned int family = i % 2 ? 6 : 4;

		if (i > 4 && !below(seed, 3))
			out[i].address = out[i - 2].address; /* same family: nested or equal */
		else
			address_random(seed, family, &out[i].address);
		if (family == 4)
			out[i].length = below(seed, 3) ? 18 + below(seed, 15) : 32;
		else
			out[i].length = below(seed, 3) ? 40 + below(seed, 89) : 64;
		prefix_mask(&out[i]);
	}
}

static bool covered(const struct prefix *prefixes, size_t count,
		    const struct gate25_source *address)
{
	for (size_t i = 0; i < count; i++)
		if (prefix_contains(&prefixes[i], address))
			return true;
	return false;
}

/* An address in, or right beside, a prefix: its edges are where mistakes live. */
static void address_near(unsigned int *seed, const struct prefix *prefix, struct gate25_source *out)
{
	unsigned int host = (prefix->address.family == 4 ? 32 : 128) - prefix->length;
	__u64 mask_lo = host >= 64 ? ~0ULL : (1ULL << host) - 1;
	__u64 mask_hi = host <= 64 ? 0 : host == 128 ? ~0ULL : (1ULL << (host - 64)) - 1;
	bool v4 = prefix->address.family == 4;

	*out = prefix->address;
	switch (below(seed, 5)) {
	case 0: /* first */
		break;
	case 1: /* last */
		out->lo |= mask_lo;
		out->hi |= mask_hi;
		break;
	case 2: /* one before */
		out->hi -= !v4 && out->lo == 0;
		out->lo -= 1;
		break;
	case 3: /* one behind */
		out->lo |= mask_lo;
		out->hi |= mask_hi;
		out->lo += 1;
		out->hi += !v4 && out->lo == 0;
		break;
	default:
		out->lo |= random64(seed) & mask_lo;
		out->hi |= random64(seed) & mask_hi;
	}
	if (v4)
		out->lo &= 0xffffffff;
}

/* ------------------------------------------------------------------ description */

static void damage_random(unsigned int *seed, struct frame_spec *spec)
{
	spec->damage = 1 + below(seed, DAMAGES - 1);
	switch (spec->damage) {
	case DAMAGE_SYN_FIN:
		spec->flags = SYN | FIN;
		break;
	case DAMAGE_SYN_RST:
		spec->flags = SYN | RST;
		break;
	case DAMAGE_NULL:
		spec->flags = 0;
		break;
	case DAMAGE_XMAS:
		spec->flags = FIN | PSH | URG;
		break;
	case DAMAGE_SHORT_FIRST:
		spec->first_fragment = true;
		spec->extensions = 0;
		break;
	case DAMAGE_OFFSET_ONE:
		spec->later_fragment = true;
		break;
	default:
		break;
	}
}

static void pass_random(unsigned int *seed, struct frame_spec *spec)
{
	static const __u16 others[] = { 80, 443, 465, 2525, 0x1900 /* 25 swapped */, 24, 26, 0 };

	switch (below(seed, 4)) {
	case 0:
		spec->protocol = IPPROTO_UDP;
		break;
	case 1:
		spec->destination_port = others[below(seed, 8)];
		spec->source_port = RULES_PORT; /* answers to our own mail */
		break;
	case 2: /* no SYN; nobody has a socket here, and the service is not known to be local */
		spec->flags = below(seed, 2) ? ACK | PSH : SYN | ACK;
		break;
	default:
		break;
	}
}

void frame_random(unsigned int *seed, const struct rules *rules, unsigned int family,
		  unsigned int tags, enum cell wish, struct frame_spec *spec)
{
	const struct prefix *from = wish == CELL_ALLOW ? rules->allow : rules->listed;
	size_t count = wish == CELL_ALLOW ? rules->allow_count : rules->listed_count;
	bool own = wish == CELL_DEFAULT || !below(seed, 6);

	memset(spec, 0, sizeof(*spec));
	spec->family = family;
	spec->tags = tags;
	spec->protocol = IPPROTO_TCP;
	spec->source_port = 1024 + below(seed, 60000);
	spec->destination_port = own ? RULES_DEFAULT : RULES_PORT;
	spec->flags = SYN;
	spec->ip_options = family == 4 && !below(seed, 4) ? 4 * (1 + below(seed, 10)) : 0;
	spec->extensions = family == 6 && !below(seed, 4) ? 1 + below(seed, 4) : 0;
	spec->tcp_options = 4 * below(seed, 11);
	if (own && below(seed, 8))
		spec->destination = family == 4 ? rules->own4.address : rules->own6.address;
	else
		address_random(seed, family, &spec->destination);
	do { /* the sets alternate between families */
		const struct prefix *prefix = &from[below(seed, count)];

		if (prefix->address.family == family)
			address_near(seed, prefix, &spec->source);
	} while (spec->source.family != family);
	if (wish == CELL_PASS || (wish != CELL_LIST && wish != CELL_ALLOW && below(seed, 2)))
		address_random(seed, family, &spec->source);
	if (wish == CELL_MALFORMED)
		damage_random(seed, spec);
	if (wish == CELL_FRAGMENT)
		spec->later_fragment = true;
	if (wish == CELL_PASS)
		pass_random(seed, spec);
	if (wish == CELL_LIST && !below(seed, 8))
		spec->first_fragment = true; /* a whole TCP header in it: judged */
}

/* ------------------------------------------------------------------ the reference */

static bool guarded(const struct rules *rules, const struct frame_spec *spec)
{
	if (spec->destination_port == RULES_PORT)
		return true;
	return spec->destination_port == RULES_DEFAULT &&
	       prefix_contains(spec->family == 4 ? &rules->own4 : &rules->own6, &spec->destination);
}

/* True: it is to be dropped. */
bool frame_reference(const struct rules *rules, const struct frame_spec *spec, enum cell *cell)
{
	*cell = CELL_PASS;
	if (spec->protocol != IPPROTO_TCP)
		return false;
	if (spec->damage == DAMAGE_OFFSET_ONE || spec->damage == DAMAGE_SHORT_FIRST) {
		*cell = CELL_MALFORMED; /* no port to look at */
		return true;
	}
	if (spec->later_fragment) {
		*cell = CELL_FRAGMENT;
		return false;
	}
	if (!guarded(rules, spec))
		return false;
	if (spec->damage) {
		*cell = CELL_MALFORMED;
		return true;
	}
	if ((spec->flags & (SYN | ACK)) != SYN)
		return false;
	if (covered(rules->allow, rules->allow_count, &spec->source)) {
		*cell = CELL_ALLOW;
		return false;
	}
	/* block lists hold for the services with port 25 unless they name others */
	if (spec->destination_port == RULES_PORT) {
		if (!covered(rules->listed, rules->listed_count, &spec->source))
			return false;
		*cell = CELL_LIST;
		return true;
	}
	*cell = CELL_DEFAULT;
	return true;
}

/* ------------------------------------------------------------------ bytes */

static size_t put_ethernet(const struct frame_spec *spec, unsigned char *frame)
{
	__be16 protocol = htons(spec->family == 4 ? ETH_P_IP : ETH_P_IPV6);
	__be32 id = htonl(spec->id);
	static const unsigned char source[] = FRAME_SOURCE_MAC;
	size_t at = 12;

	frame[0] = 2;
	frame[1] = 0;
	memcpy(frame + 2, &id, 4);
	memcpy(frame + 6, source, 6);
	for (unsigned int tag = 0; tag < spec->tags; tag++) {
		__be16 outer = htons(spec->tags == 2 && tag == 0 ? ETH_P_8021AD : ETH_P_8021Q);
		__be16 vid = htons(100 + tag);

		memcpy(frame + at, &outer, 2);
		memcpy(frame + at + 2, &vid, 2);
		at += 4;
	}
	memcpy(frame + at, &protocol, 2);
	return at + 2;
}

static size_t put_tcp(const struct frame_spec *spec, unsigned char *out)
{
	struct tcphdr tcp = { .source = htons(spec->source_port),
			      .dest = htons(spec->destination_port),
			      .seq = htonl(spec->id),
			      .window = htons(1024) };
	size_t length = sizeof(tcp) + spec->tcp_options;

	tcp.doff = length / 4;
	if (spec->damage == DAMAGE_DOFF_SMALL)
		tcp.doff = spec->id % 5;
	if (spec->damage == DAMAGE_DOFF_BEYOND) {
		length = sizeof(tcp);
		tcp.doff = 6 + spec->id % 10;
	}
	memcpy(out, &tcp, sizeof(tcp));
	out[13] = spec->flags;
	memset(out + sizeof(tcp), 1, length - sizeof(tcp)); /* NOP */
	return spec->damage == DAMAGE_SHORT_FIRST ? 8 : length;
}

static size_t put_payload(const struct frame_spec *spec, unsigned char *out)
{
	if (spec->protocol == IPPROTO_TCP)
		return put_tcp(spec, out);
	memset(out, 0, 20);
	out[0] = spec->source_port >> 8;
	out[1] = spec->source_port & 0xff;
	out[2] = spec->destination_port >> 8;
	out[3] = spec->destination_port & 0xff;
	out[5] = 20;
	return 20;
}

static __u16 fragment_bits(const struct frame_spec *spec)
{
	if (spec->damage == DAMAGE_OFFSET_ONE)
		return 1;
	if (spec->later_fragment)
		return 2 + spec->id % 8000;
	return 0;
}

static size_t put_ipv4(const struct frame_spec *spec, unsigned char *out)
{
	struct iphdr ip = { .version = 4, .ttl = 64, .protocol = spec->protocol };
	size_t header = sizeof(ip) + spec->ip_options;
	size_t length = header + put_payload(spec, out + header);

	ip.ihl = header / 4;
	ip.tot_len = htons(length);
	ip.frag_off = htons(fragment_bits(spec) | (spec->first_fragment ? 0x2000 : 0));
	address_to_bytes(&spec->source, &ip.saddr);
	address_to_bytes(&spec->destination, &ip.daddr);
	memcpy(out, &ip, sizeof(ip));
	memset(out + sizeof(ip), 1, spec->ip_options);
	for (size_t i = 0, sum = 0; i <= header; i += 2) {
		if (i == header) {
			sum = (sum & 0xffff) + (sum >> 16);
			ip.check = htons(~(sum + (sum >> 16)));
			memcpy(out, &ip, sizeof(ip));
		} else {
			sum += out[i] << 8 | out[i + 1];
		}
	}
	return length;
}

static size_t put_ipv6(const struct frame_spec *spec, unsigned char *out)
{
	static const __u8 kinds[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
				      IPPROTO_DSTOPTS };
	struct ipv6hdr ip = { .version = 6, .hop_limit = 64 };
	bool fragment = spec->later_fragment || spec->first_fragment;
	__u8 *next = &ip.nexthdr;
	size_t at = sizeof(ip);

	for (unsigned int i = 0; i < spec->extensions; i++) {
		*next = kinds[i];
		next = out + at;
		memset(out + at, 0, 16);
		out[at + 1] = i % 2; /* 8 or 16 bytes */
		if (kinds[i] != IPPROTO_ROUTING) {
			out[at + 2] = 1; /* PadN over the rest */
			out[at + 3] = (i % 2 ? 16 : 8) - 4;
		}
		at += i % 2 ? 16 : 8;
	}
	if (fragment) {
		__be16 bits = htons(fragment_bits(spec) << 3 | (spec->first_fragment ? 1 : 0));

		*next = IPPROTO_FRAGMENT;
		next = out + at;
		memset(out + at, 0, 8);
		memcpy(out + at + 2, &bits, 2);
		at += 8;
	}
	*next = spec->protocol;
	at += put_payload(spec, out + at);
	ip.payload_len = htons(at - sizeof(ip));
	address_to_bytes(&spec->source, &ip.saddr);
	address_to_bytes(&spec->destination, &ip.daddr);
	memcpy(out, &ip, sizeof(ip));
	return at;
}

size_t frame_build(const struct frame_spec *spec, unsigned char frame[static FRAME_BYTES])
{
	size_t at = put_ethernet(spec, frame);

	at += spec->family == 4 ? put_ipv4(spec, frame + at) : put_ipv6(spec, frame + at);
	while (at < ETH_ZLEN) /* padding, as on a wire */
		frame[at++] = 0;
	return at;
}
