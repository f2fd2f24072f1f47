/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lines of a mail server's log -> who connected, and what became of it. Postfix (smtpd, postscreen, milters) and
 * Exim (main log), in a file of their own or through syslog.
 */
#ifndef GATE25_MAILLOG_H
#define GATE25_MAILLOG_H

#include <stdbool.h>

#include "bpf/gate25.h"

#define MAILLOG_NAME 64

enum maillog_kind {
	MAILLOG_SEEN,	  /* it connected */
	MAILLOG_ACCEPTED, /* a message was taken */
	MAILLOG_DEFERRED, /* 4xx: may come again */
	MAILLOG_REJECTED,
};

struct maillog_event {
	enum maillog_kind kind;
	bool takes_back; /* of a message that was said to be taken before: a milter's word */
	struct gate25_source address;
	char name[MAILLOG_NAME]; /* as the server found it, cut; "" or "unknown" */
};

/*
 * false: the line says nothing of a client that comes to port 25. Who is authenticated, who comes to submission as far as the line
 * tells, and this host itself are left out. `line` ends with 0, without its newline.
 */
bool maillog_read(const char *line, struct maillog_event *out);

#endif
