/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One line a message, to the journal when it reads our stderr (JOURNAL_STREAM), else to stderr.
 */
#ifndef GATE25_LOG_H
#define GATE25_LOG_H

#include <syslog.h>

/* `name` stands before each line on stderr; `level` is the least urgent that is shown (LOG_INFO). */
void log_init(const char *name, int level);

/* `level` is one of syslog's. No newline in the text; a newline in an argument becomes a space. */
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	 log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 log_line(LOG_DEBUG, __VA_ARGS__)

#endif
