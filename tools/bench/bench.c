// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bench: what gate25's data path costs for a frame, beside a program that only drops and beside what an operator
 * would use instead, and what it takes to load a list. docs/benchmarks.md tells the method.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/loading.h"
#include "tools/bench/match.h"
#include "tools/bench/traffic.h"
#include "user/log.h"

static struct options chosen = { .repetitions = 5, .seconds = 0.2, .cpu = 1 };
const struct options *const options = &chosen;

static void usage(FILE *file)
{
	fprintf(file,
		"usage: bench [-n REPETITIONS] [-r REGEX] [-s SECONDS] [-c CPU] [-q] [-o FILE]\n\n"
		"  -n  repetitions of each row (5)\n"
		"  -r  only the rows whose names match, and the program that only drops\n"
		"  -s  length of a repetition (0.2)\n"
		"  -c  the CPU that everything runs on (the last)\n"
		"  -q  quick: gate25 alone, without rivals and without loading\n"
		"  -o  results as JSON (none)\n");
}

static int options_read(int argc, char **argv)
{
	int option;

	chosen.cpu = (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
	while ((option = getopt(argc, argv, "n:r:s:c:qo:h")) != -1) {
		switch (option) {
		case 'n':
			chosen.repetitions = atoi(optarg);
			break;
		case 'r':
			chosen.filter = optarg;
			break;
		case 's':
			chosen.seconds = atof(optarg);
			break;
		case 'c':
			chosen.cpu = atoi(optarg);
			break;
		case 'q':
			chosen.quick = true;
			break;
		case 'o':
			chosen.json = optarg;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	if (optind < argc || chosen.repetitions < 1 || chosen.repetitions > REPETITIONS_MOST ||
	    chosen.seconds < 0.01)
		return -EINVAL;
	return 0;
}

/* Where a mail server listens, a blocked source's segments without a session are dropped. */
static int listener_open(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(25) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 16)) {
		log_error("cannot listen on port 25 of a namespace of our own");
		return -errno;
	}
	return fd;
}

int main(int argc, char **argv)
{
	int error, listener = -1;

	setvbuf(stdout, NULL, _IOLBF, 0); /* nothing is left for a child to write once more */
	log_init("bench", LOG_INFO);
	if (options_read(argc, argv)) {
		usage(stderr);
		return 2;
	}
	error = ground_enter();
	if (!error) {
		listener = listener_open();
		error = listener < 0 ? listener : source_open();
	}
	if (!error) {
		error = matches_random() | matches_real() | match_networks6() | traffic_measure();
		if (!chosen.quick)
			error |= parse_measure() | loading_measure() | swaps_measure();
		bounds_report();
		if (chosen.json && report_write(chosen.json))
			error = -EIO;
		source_close();
	}
	if (listener >= 0)
		close(listener);
	return error ? 1 : 0;
}
