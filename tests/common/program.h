/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shipped program with maps of its own, run frame by frame without pins or NIC.
 */
#ifndef GATE25_TEST_PROGRAM_H
#define GATE25_TEST_PROGRAM_H

#include <stddef.h>

#include "bpf/gate25.h"
#include "user/lists/compile.h"

struct program_port {
	__u16 port;
	__u8 services; /* bit per service slot */
};

struct program_setup {
	const char *object; /* another object file with the same maps; NULL: the shipped one */
	struct gate25_settings settings;
	struct program_port ports[8];
	const struct compiled_table *table; /* NULL: settings.table_empty is set */
};

struct program {
	struct bpf_object *object;
	int fd;
};

/* 0 or -errno; what libbpf says of a failure goes to stderr. */
int program_load(struct program *program, const struct program_setup *setup);
int program_map(const struct program *program, const char *name); /* an fd, or -errno */
/* The program's return code (XDP_*). */
unsigned int program_run(const struct program *program, const void *frame, size_t length);
void program_free(struct program *program);

#endif
