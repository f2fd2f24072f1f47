// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lines of a mail server's log.
 *
 * In: a line. Out: a client's address, and what became of it. Much of a line is what the client said; an address is
 * only taken from where the server itself writes it, in front of that.
 */
#include "user/maillog.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "user/addr.h"

/* ---------------------------------------------------------------- addresses */

static bool is_loopback(const struct gate25_source *address)
{
	if (address->family == 4)
		return address->lo >> 24 == 127;
	return !address->hi && address->lo == 1;
}

/* What stands in brackets at `open`. */
static bool address_read(const char *open, struct gate25_source *out)
{
	const char *end = open ? strchr(open, ']') : NULL, *why;
	char text[PREFIX_TEXT];
	struct prefix prefix;

	if (!end || (size_t)(end - open) > sizeof(text))
		return false;
	memcpy(text, open + 1, end - open - 1);
	text[end - open - 1] = '\0';
	if (strchr(text, '/') || prefix_parse(text, NULL, 0, &prefix, &why))
		return false;
	*out = prefix.address;
	return !is_loopback(out);
}

static void name_keep(const char *name, size_t length, char out[static MAILLOG_NAME])
{
	if (length >= MAILLOG_NAME)
		length = MAILLOG_NAME - 1;
	for (size_t i = 0; i < length; i++)
		out[i] = isgraph((unsigned char)name[i]) ? name[i] : '?';
	out[length] = '\0';
}

/* ---------------------------------------------------------------- Postfix */

/* "name[192.0.2.7]:1234", of postscreen without a name. */
static bool client_read(const char *at, struct maillog_event *out)
{
	const char *open = at + strcspn(at, "[ ");

	if (*open != '[' || !address_read(open, &out->address))
		return false;
	name_keep(at, open - at, out->name);
	return true;
}

/* "reject: RCPT from name[192.0.2.7]: 554 5.7.1 …": the first " from " is the server's. */
static bool reject_read(const char *text, struct maillog_event *out)
{
	const char *from = strstr(text, " from "), *code;

	if (!from || !client_read(from + 6, out))
		return false;
	code = strstr(from, "]");
	code = code ? strstr(code, ": ") : NULL;
	out->kind = code && code[2] == '4' ? MAILLOG_DEFERRED : MAILLOG_REJECTED;
	return true;
}

/* Behind "NOQUEUE: " or the message's number. */
static const char *queue_skip(const char *text)
{
	const char *end = text;

	while (isalnum((unsigned char)*end))
		end++;
	return end > text && end[0] == ':' && end[1] == ' ' ? end + 2 : text;
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool smtpd_read(const char *text, struct maillog_event *out)
{
	const char *rest = queue_skip(text);

	if (starts(text, "connect from ")) {
		out->kind = MAILLOG_SEEN;
		return client_read(text + 13, out);
	}
	if (rest != text && starts(rest, "client=")) {
		out->kind = MAILLOG_ACCEPTED;
		return !strstr(rest, ", sasl_method=") && client_read(rest + 7, out);
	}
	if (rest != text && (starts(rest, "reject: ") || starts(rest, "milter-reject: ") ||
			     starts(rest, "proxy-reject: ")))
		return !strstr(rest, " sasl_username=") && reject_read(rest, out);
	return false;
}

static bool postscreen_read(const char *text, struct maillog_event *out)
{
	if (starts(text, "CONNECT from ")) {
		out->kind = MAILLOG_SEEN;
		return client_read(text + 13, out);
	}
	return starts(text, "NOQUEUE: reject: ") && reject_read(text, out);
}

/* A milter speaks when the message was there: smtpd has said "client=" of it already. */
static bool cleanup_read(const char *text, struct maillog_event *out)
{
	const char *rest = queue_skip(text);

	out->takes_back = true;
	return rest != text && starts(rest, "milter-reject: ") && reject_read(rest, out);
}

static const struct daemon {
	const char *mark;
	bool (*read)(const char *text, struct maillog_event *out);
} daemons[] = {
	{ "/smtpd[", smtpd_read },
	{ "/postscreen[", postscreen_read },
	{ "/cleanup[", cleanup_read },
};

/* Block lists hold for port 25: master.cf names the other services so. */
static bool is_submission(const char *line, const char *mark)
{
	const char *begin = mark;
	char name[64];

	while (begin > line && begin[-1] != ' ')
		begin--;
	if ((size_t)(mark - begin) >= sizeof(name))
		return false;
	memcpy(name, begin, mark - begin);
	name[mark - begin] = '\0';
	return strstr(name, "submission") || strstr(name, "smtps");
}

/* Its daemon's name stands in front of all that a client says: the first "]: " ends it. */
static bool postfix_read(const char *line, struct maillog_event *out)
{
	const char *text = strstr(line, "]: ");

	for (size_t i = 0; text && i < sizeof(daemons) / sizeof(daemons[0]); i++) {
		const char *mark = strstr(line, daemons[i].mark);

		if (mark && mark < text)
			return !is_submission(line, mark) && daemons[i].read(text + 3, out);
	}
	return false;
}

/* ---------------------------------------------------------------- Exim */

/* Behind " H=": "name (helo) [192.0.2.7]:1234", "(helo) [192.0.2.7]", "[192.0.2.7]". */
static bool host_read(const char *at, const char **end, struct maillog_event *out)
{
	size_t length = strcspn(at, " ([");

	name_keep(at, length, out->name);
	at += length;
	at += strspn(at, " ");
	if (*at == '(') { /* what it calls itself, an address in brackets maybe */
		at = strstr(at, ") [");
		at = at ? at + 2 : "";
	}
	if (*at != '[' || !address_read(at, &out->address))
		return false;
	*end = strchr(at, ']');
	return true;
}

/* "I=[192.0.2.25]:587" */
static bool came_to_submission(const char *text)
{
	const char *to = strstr(text, " I=["), *port = to ? strstr(to, "]:") : NULL;
	long number = port ? strtol(port + 2, NULL, 10) : 25;

	return number == 587 || number == 465;
}

/* What this host delivers names the other side's address in the same way. */
static bool is_delivery(const char *line, const char *host)
{
	static const char *const marks[] = { " => ", " -> ", " == ", " ** ", " *> ", " >> " };

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const char *mark = strstr(line, marks[i]);

		if (mark && mark < host)
			return true;
	}
	return false;
}

/* A sender may write anything between quotes: behind them. */
static const char *sender_skip(const char *sender)
{
	if (*sender != '"')
		return sender;
	for (sender++; *sender && *sender != '"'; sender++)
		if (*sender == '\\' && sender[1])
			sender++;
	return sender;
}

static bool exim_read(const char *line, struct maillog_event *out)
{
	const char *arrow = strstr(line, " <= "), *host = strstr(line, " H="), *end;

	if (arrow && host && arrow < host)
		host = strstr(sender_skip(arrow + 4), " H=");

	if (!host || is_delivery(line, host) || !host_read(host + 3, &end, out) ||
	    came_to_submission(end))
		return false;
	if (arrow && arrow < host) {
		out->kind = MAILLOG_ACCEPTED;
		return !strstr(end, " A=");
	}
	if (strstr(end, " temporarily rejected "))
		out->kind = MAILLOG_DEFERRED;
	else if (strstr(end, " rejected "))
		out->kind = MAILLOG_REJECTED;
	else
		return false;
	return true;
}

/* With log_selector = +smtp_connection; the address is all that is known then. */
static bool exim_connection(const char *line, struct maillog_event *out)
{
	static const char mark[] = " SMTP connection from [";
	const char *at = strstr(line, mark);

	out->kind = MAILLOG_SEEN;
	out->name[0] = '\0';
	return at && address_read(at + strlen(mark) - 1, &out->address) && !came_to_submission(at);
}

/* "2026-11-24 10:00:00 …", alone or behind "exim[123]: ". */
static bool is_exim(const char *line)
{
	const char *text = strstr(line, "exim");
	const char *date = line;

	if (text && text - line < 120 && (date = strstr(text, "]: ")))
		date += 3;
	else
		date = line;
	return isdigit((unsigned char)date[0]) && strlen(date) > 20 && date[4] == '-' &&
	       date[7] == '-' && date[10] == ' ' && date[13] == ':' && date[16] == ':';
}

/* ---------------------------------------------------------------- a line */

bool maillog_read(const char *line, struct maillog_event *out)
{
	*out = (struct maillog_event){ .kind = MAILLOG_SEEN };
	if (postfix_read(line, out))
		return true;
	*out = (struct maillog_event){ .kind = MAILLOG_SEEN };
	return is_exim(line) && (exim_read(line, out) || exim_connection(line, out));
}
