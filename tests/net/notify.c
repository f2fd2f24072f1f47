// SPDX-License-Identifier: GPL-2.0-only
/*
 * systemd's side of the notify protocol, for tests: notify SOCKET prints what it is told, a line a variable,
 * as it comes.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[4096];
	ssize_t length;

	if (argc != 2 || fd < 0) {
		fprintf(stderr, "usage: notify SOCKET\n");
		return 2;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	unlink(argv[1]);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		perror(argv[1]);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((length = recv(fd, text, sizeof(text) - 1, 0)) >= 0) {
		text[length] = '\0';
		printf("%s%s", text, length && text[length - 1] == '\n' ? "" : "\n");
	}
	return 0;
}
