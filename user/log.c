// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages to the journal or to stderr.
 *
 * In: a level and a text. Out: one line, with the level where somebody reads it.
 */
#include "user/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define LOG_TEXT 2048

static const char *log_name = "gate25";
static int log_level = LOG_INFO;
static bool log_to_journal;

/* systemd says in JOURNAL_STREAM which device and inode our stderr is, if the journal reads it. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &status) && status.st_dev == device && status.st_ino == inode;
}

void log_init(const char *name, int level)
{
	log_name = name;
	log_level = level;
	log_to_journal = stderr_is_journal();
}

void log_line(int level, const char *format, ...)
{
	char text[LOG_TEXT];
	va_list arguments;

	if (level > log_level)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (char *c = text; *c; c++) { /* what came from outside must not make a second line */
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	if (log_to_journal && sd_journal_send("MESSAGE=%s", text, "PRIORITY=%i", level,
					      "SYSLOG_IDENTIFIER=%s", log_name, NULL) >= 0)
		return;
	fprintf(stderr, "%s: %s%s\n", log_name, level == LOG_WARNING ? "warning: " : "", text);
}
