// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sends SYNs as frames, at a steady rate and without waiting for anybody, and prints how many went out:
 *
 *   frames -i INTERFACE -s SOURCE -d DESTINATION [-m MAC] [-p PORT] [-n COUNT] [-r PER_SECOND]
 *
 * IPv4. Every frame is another connection (port and sequence number). Without a MAC they go to everybody on the
 * link, and get no further than a guard. SIGTERM ends it early, with the count.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct frame {
	struct ether_header ether;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

struct options {
	const char *interface;
	struct in_addr source, destination;
	struct ether_addr mac;
	unsigned int port, count, rate;
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint32_t sum(const void *bytes, size_t length, uint32_t start)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i + 1 < length; i += 2)
		start += at[i] << 8 | at[i + 1];
	return start;
}

static uint16_t fold(uint32_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return htons(~value);
}

static void frame_make(struct frame *frame, const struct options *options)
{
	static const uint8_t from[ETH_ALEN] = { 2, 0, 0, 0, 0, 1 };

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->ether.ether_dhost, &options->mac, ETH_ALEN);
	memcpy(frame->ether.ether_shost, from, ETH_ALEN);
	frame->ether.ether_type = htons(ETHERTYPE_IP);
	frame->ip.version = 4;
	frame->ip.ihl = 5;
	frame->ip.tot_len = htons(sizeof(frame->ip) + sizeof(frame->tcp));
	frame->ip.ttl = 64;
	frame->ip.protocol = IPPROTO_TCP;
	frame->ip.saddr = options->source.s_addr;
	frame->ip.daddr = options->destination.s_addr;
	frame->ip.check = fold(sum(&frame->ip, sizeof(frame->ip), 0));
	frame->tcp.dest = htons(options->port);
	frame->tcp.doff = 5;
	frame->tcp.syn = 1;
	frame->tcp.window = htons(64240);
}

static void frame_number(struct frame *frame, uint32_t number)
{
	uint32_t pseudo = sum(&frame->ip.saddr, 8, IPPROTO_TCP + sizeof(frame->tcp));

	frame->tcp.source = htons(1024 + number % 60000);
	frame->tcp.seq = htonl(number * 2654435761u);
	frame->tcp.check = 0;
	frame->tcp.check = fold(sum(&frame->tcp, sizeof(frame->tcp), pseudo));
}

static int interface_open(const char *interface)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_ifindex = if_nametoindex(interface),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (fd < 0 || !address.sll_ifindex ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		perror(interface);
		return -1;
	}
	return fd;
}

static unsigned int send_all(int fd, const struct options *options)
{
	struct timespec next;
	unsigned int sent = 0;
	struct frame frame;

	frame_make(&frame, options);
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!stopped && sent < options->count) {
		frame_number(&frame, sent);
		if (send(fd, &frame, sizeof(frame), 0) == sizeof(frame))
			sent++;
		else if (errno != ENOBUFS && errno != EINTR)
			break;
		next.tv_nsec += 1000000000 / options->rate;
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return sent;
}

static int options_parse(int argc, char **argv, struct options *options)
{
	int option;

	while ((option = getopt(argc, argv, "i:s:d:m:p:n:r:")) != -1) {
		if (option == 'i')
			options->interface = optarg;
		else if (option == 's' && inet_pton(AF_INET, optarg, &options->source) == 1)
			continue;
		else if (option == 'd' && inet_pton(AF_INET, optarg, &options->destination) == 1)
			continue;
		else if (option == 'm' && ether_aton_r(optarg, &options->mac))
			continue;
		else if (option == 'p')
			options->port = strtoul(optarg, NULL, 10);
		else if (option == 'n')
			options->count = strtoul(optarg, NULL, 10);
		else if (option == 'r')
			options->rate = strtoul(optarg, NULL, 10);
		else
			return -1;
	}
	return options->interface && options->source.s_addr && options->rate ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct options options = { .port = 25, .count = 1, .rate = 1000 };
	struct sigaction action = { .sa_handler = stop };
	int fd;

	memset(&options.mac, 0xff, sizeof(options.mac));
	if (options_parse(argc, argv, &options)) {
		fprintf(stderr, "usage: frames -i INTERFACE -s SOURCE -d DESTINATION [-m MAC] "
				"[-p PORT] [-n COUNT] [-r PER_SECOND]\n");
		return 2;
	}
	fd = interface_open(options.interface);
	if (fd < 0)
		return 1;
	sigaction(SIGTERM, &action, NULL);
	printf("%u\n", send_all(fd, &options));
	return 0;
}
