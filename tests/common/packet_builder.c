// SPDX-License-Identifier: GPL-2.0-only
/* Frames by description, from the outside to the inside; lengths and checksums come last. */
#include "tests/common/packet_builder.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>

static bool has_colon(const char *text)
{
	return text && strchr(text, ':');
}

unsigned int packet_family(const struct packet_spec *spec)
{
	if (spec->family)
		return spec->family;
	return has_colon(spec->from) || has_colon(spec->to) ? 6 : 4;
}

static void address_put(int family, const char *text, const char *otherwise, void *out)
{
	if (inet_pton(family, text ? text : otherwise, out) != 1)
		abort(); /* a slip in a test's table */
}

static __u32 sum_bytes(const unsigned char *bytes, size_t length, __u32 sum)
{
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : bytes[i] << 8;
	return sum;
}

static __be16 sum_fold(__u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

static size_t ethernet_put(const struct packet_spec *spec, unsigned char *out)
{
	__u16 type = packet_family(spec) == 4 ? ETH_P_IP : ETH_P_IPV6;
	size_t at = 2 * ETH_ALEN;

	memset(out, 0xff, ETH_ALEN);
	memset(out + ETH_ALEN, 0x52, ETH_ALEN); /* local, unicast */
	for (int i = 0; i < 4 && spec->tags[i]; i++) {
		__be16 words[2] = { htons(spec->tags[i]), htons(100 + i) };

		memcpy(out + at, words, 4);
		at += 4;
	}
	type = htons(spec->ethertype ? spec->ethertype : type);
	memcpy(out + at, &type, 2);
	return at + 2;
}

/* `pseudo` is the sum of what the checksum covers besides: addresses, protocol. */
static size_t tcp_put(const struct packet_spec *spec, __u32 pseudo, unsigned char *out)
{
	struct tcphdr tcp = { .source = htons(spec->from_port ? spec->from_port : 40000),
			      .dest = htons(spec->to_port ? spec->to_port : 25),
			      .seq = htonl(spec->sequence),
			      .ack_seq = htonl(spec->acknowledged),
			      .window = htons(64240) };
	size_t header = sizeof(tcp) + spec->tcp_options, length = header + spec->payload;

	tcp.doff = header / 4 + spec->doff_delta;
	memcpy(out, &tcp, sizeof(tcp));
	out[13] = spec->flags ? spec->flags & 0xff : SYN;
	memset(out + sizeof(tcp), 1, spec->tcp_options); /* no operation */
	memset(out + header, 'x', spec->payload);
	tcp.check = sum_fold(sum_bytes(out, length, pseudo + length));
	memcpy(out + offsetof(struct tcphdr, check), &tcp.check, 2);
	return spec->end_tcp ? spec->end_tcp : length;
}

static size_t payload_put(const struct packet_spec *spec, __u32 pseudo, unsigned char *out)
{
	size_t length = tcp_put(spec, pseudo + IPPROTO_TCP, out);

	if (spec->protocol) /* as UDP would begin */
		memcpy(out + 4, (__be16[]){ htons(length), 0 }, 4);
	return length;
}

static size_t ipv4_put(const struct packet_spec *spec, unsigned char *out)
{
	struct iphdr ip = { .ttl = 64, .protocol = spec->protocol ? spec->protocol : IPPROTO_TCP };
	size_t header = sizeof(ip) + spec->ip_options, length;

	address_put(AF_INET, spec->from, "192.0.2.7", &ip.saddr);
	address_put(AF_INET, spec->to, "198.51.100.25", &ip.daddr);
	length = header + payload_put(spec, sum_bytes((void *)&ip.saddr, 8, 0), out + header);
	ip.version = 4 + spec->version_delta;
	ip.ihl = header / 4 + spec->ihl_delta;
	ip.tot_len = htons(length + spec->length_delta);
	ip.frag_off = htons(spec->fragment_offset | (spec->more_fragments ? 0x2000 : 0) |
			    spec->fragment_flags);
	ip.id = htons(1);
	memcpy(out, &ip, sizeof(ip));
	memset(out + sizeof(ip), 1, spec->ip_options); /* no operation */
	ip.check = sum_fold(sum_bytes(out, header, 0));
	memcpy(out + offsetof(struct iphdr, check), &ip.check, 2);
	return length;
}

static size_t extension_put(const struct packet_spec *spec,
			    const struct packet_extension *extension, __u8 next, unsigned char *out)
{
	memset(out, 0, extension->bytes);
	out[0] = next;
	if (extension->type == IPPROTO_FRAGMENT) {
		__be16 bits = htons(spec->fragment_offset << 3 | spec->fragment_flags |
				    spec->more_fragments);

		memcpy(out + 2, &bits, 2);
		out[7] = 1; /* identification */
	} else if (extension->type == IPPROTO_AH) {
		out[1] = extension->bytes / 4 - 2;
	} else {
		out[1] = extension->bytes / 8 - 1;
		/* one option PadN each, of up to 257 bytes; a longer header ends in Pad1 */
		out[2] = 1;
		out[3] = extension->bytes - 4 < 256 ? extension->bytes - 4 : 255;
	}
	return extension->bytes;
}

static size_t ipv6_put(const struct packet_spec *spec, unsigned char *out)
{
	struct ipv6hdr ip = { .hop_limit = 64 };
	__u8 protocol = spec->protocol ? spec->protocol : IPPROTO_TCP;
	const struct packet_extension *chain = spec->extensions;
	size_t at = sizeof(ip);

	address_put(AF_INET6, spec->from, "2001:db8::7", &ip.saddr);
	address_put(AF_INET6, spec->to, "2001:db8:ffff::25", &ip.daddr);
	ip.nexthdr = chain->bytes ? chain->type : protocol;
	for (; chain->bytes; chain++)
		at += extension_put(spec, chain, chain[1].bytes ? chain[1].type : protocol,
				    out + at);
	at += payload_put(spec, sum_bytes((void *)&ip.saddr, 32, 0), out + at);
	ip.version = 6 + spec->version_delta;
	ip.payload_len = htons(at - sizeof(ip) + spec->length_delta);
	memcpy(out, &ip, sizeof(ip));
	return at;
}

size_t packet_build(const struct packet_spec *spec, unsigned char out[PACKET_BYTES])
{
	size_t length = ethernet_put(spec, out);

	if (packet_family(spec) == 4)
		length += ipv4_put(spec, out + length);
	else
		length += ipv6_put(spec, out + length);
	memset(out + length, 0, spec->padding);
	return length + spec->padding - spec->cut;
}
