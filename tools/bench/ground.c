// SPDX-License-Identifier: GPL-2.0-only
/* Namespaces, commands and veth pairs: the ground that the bench stands on, gone with the process. */
#include <errno.h>
#include <ifaddrs.h>
#include <libgen.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "user/log.h"

const char *ground_build(void)
{
	static char path[PATH_MAX];
	ssize_t length;

	if (!path[0]) {
		length = readlink("/proc/self/exe", path, sizeof(path) - 1);
		path[length > 0 ? length : 0] = '\0';
		dirname(path);
	}
	return path;
}

double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Two at once would measure each other. A name in the abstract space lasts as long as its socket does. */
static int ground_alone(void)
{
	static const struct sockaddr_un name = { .sun_family = AF_UNIX,
						 .sun_path = "\0gate25-bench" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool told = false;

	if (fd < 0)
		return -errno;
	while (bind(fd, (const struct sockaddr *)&name, sizeof(name))) {
		if (errno != EADDRINUSE) {
			close(fd);
			return -errno;
		}
		if (!told)
			log_info("another bench is running; this one begins when that ends");
		told = true;
		usleep(200000);
	}
	return 0;
}

int ground_enter(void)
{
	int error = ground_alone();

	if (error)
		return error;
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bench", "/run", "tmpfs", 0, "mode=755") ||
	    mount("bench", "/sys/fs/bpf", "bpf", 0, NULL) || mkdir("/run/bench", 0755)) {
		log_error("cannot make namespaces of our own: %s; run it as root", strerror(errno));
		return -errno;
	}
	return command_run("ip link set lo up");
}

/* ---------------------------------------------------------------- commands */

int command_run(const char *format, ...)
{
	char command[1024];
	va_list arguments;
	int status;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	status = system(command);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	log_error("failed: %s", command);
	return -ECHILD;
}

int command_read(char *text, size_t size, const char *format, ...)
{
	char command[1024];
	va_list arguments;
	size_t length;
	FILE *pipe;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	pipe = popen(command, "re");
	if (!pipe)
		return -errno;
	length = fread(text, 1, size - 1, pipe);
	text[length] = '\0';
	return pclose(pipe) ? -ECHILD : 0;
}

/* ---------------------------------------------------------------- devices */

/* GRO brings NAPI, and with it the ring that redirected frames need. A NIC has it on as well. */
static int device_request(int fd, struct device *device)
{
	struct ethtool_value gro = { .cmd = ETHTOOL_SGRO, .data = 1 };
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device->name);
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		return -errno;
	memcpy(device->mac, request.ifr_hwaddr.sa_data, sizeof(device->mac));
	request.ifr_data = (char *)&gro;
	return ioctl(fd, SIOCETHTOOL, &request) ? -errno : 0;
}

int device_make(struct device *device, const char *name)
{
	int error, fd;

	snprintf(device->name, sizeof(device->name), "%s", name);
	snprintf(device->peer, sizeof(device->peer), "%.13s-p", name);
	error = command_run(
		"ip link add %s numrxqueues 1 numtxqueues 1 type veth peer name %s "
		"numrxqueues 1 numtxqueues 1 && ip link set %s arp off addrgenmode none up && "
		"ip link set %s arp off addrgenmode none up",
		device->name, device->peer, device->name, device->peer);
	if (error)
		return error;
	device->ifindex = if_nametoindex(device->name);
	device->peer_ifindex = if_nametoindex(device->peer);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	error = device_request(fd, device);
	close(fd);
	return error;
}

void device_remove(const struct device *device)
{
	if (device->ifindex)
		command_run("ip link del %s", device->name);
}

__u64 device_received(const struct device *device)
{
	struct ifaddrs *all, *at;
	__u64 received = 0;

	if (getifaddrs(&all))
		return 0;
	for (at = all; at; at = at->ifa_next)
		if (at->ifa_addr && at->ifa_addr->sa_family == AF_PACKET && at->ifa_data &&
		    !strcmp(at->ifa_name, device->name))
			received = ((struct rtnl_link_stats *)at->ifa_data)->rx_packets;
	freeifaddrs(all);
	return received;
}
