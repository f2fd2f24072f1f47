// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lines of Postfix and Exim: whose they are, what they say, and that nobody else's word counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/addr.h"
#include "user/maillog.h"

#define NOTHING -1
#define SMTPD	"Nov 24 10:00:00 mx postfix/smtpd[77]: "
#define SCREEN	"2026-11-24T10:00:00.123456+01:00 mx postfix/postscreen[7]: "
#define EXIM	"2026-11-24 10:00:00 "

static const struct sample {
	const char *name, *line;
	int kind; /* enum maillog_kind, or NOTHING */
	const char *address, *client;
} samples[] = {
	{ "connect", SMTPD "connect from mail.example.net[192.0.2.7]", MAILLOG_SEEN, "192.0.2.7",
	  "mail.example.net" },
	{ "connect, IPv6", SMTPD "connect from unknown[2001:db8::7]", MAILLOG_SEEN, "2001:db8::7",
	  "unknown" },
	{ "taken", SMTPD "4YXk2v0gVhz9: client=mail.example.net[192.0.2.7]", MAILLOG_ACCEPTED,
	  "192.0.2.7", "mail.example.net" },
	{ "taken, with a port", SMTPD "ABC12: client=mail.example.net[192.0.2.7]:4711",
	  MAILLOG_ACCEPTED, "192.0.2.7", "mail.example.net" },
	{ "authenticated",
	  SMTPD "ABC12: client=x[192.0.2.7], sasl_method=PLAIN, sasl_username=a@example.org",
	  NOTHING, NULL, NULL },
	{ "rejected",
	  SMTPD "NOQUEUE: reject: RCPT from unknown[192.0.2.8]: 554 5.7.1 Service unavailable; "
		"from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
	  MAILLOG_REJECTED, "192.0.2.8", "unknown" },
	{ "deferred",
	  SMTPD "NOQUEUE: reject: RCPT from unknown[192.0.2.8]: 450 4.7.1 <x>: Greylisted; to=<y>",
	  MAILLOG_DEFERRED, "192.0.2.8", "unknown" },
	{ "one of several", SMTPD "ABC12: reject: RCPT from h[192.0.2.8]: 550 5.1.1 <n@d>: no",
	  MAILLOG_REJECTED, "192.0.2.8", "h" },
	{ "an address in what the client says",
	  SMTPD
	  "NOQUEUE: reject: RCPT from unknown[192.0.2.8]: 554 5.7.1 <x from y[192.0.2.99]>: no",
	  MAILLOG_REJECTED, "192.0.2.8", "unknown" },
	{ "a daemon in what the client says",
	  "Nov 24 10:00:00 mx other[1]: helo=<postfix/smtpd[77]: connect from a[192.0.2.99]>",
	  NOTHING, NULL, NULL },
	{ "a milter before",
	  SMTPD "NOQUEUE: milter-reject: CONNECT from h[192.0.2.8]: 451 4.7.1 no", MAILLOG_DEFERRED,
	  "192.0.2.8", "h" },
	{ "another instance", "Nov 24 10:00:00 mx postfix-in/smtpd[7]: connect from a[192.0.2.7]",
	  MAILLOG_SEEN, "192.0.2.7", "a" },
	{ "submission", "Nov 24 10:00:00 mx postfix/submission/smtpd[7]: connect from a[192.0.2.7]",
	  NOTHING, NULL, NULL },
	{ "smtps", "Nov 24 10:00:00 mx postfix/smtps/smtpd[7]: AB: client=a[192.0.2.7]", NOTHING,
	  NULL, NULL },
	{ "this host", SMTPD "ABC12: client=localhost[127.0.0.1]", NOTHING, NULL, NULL },
	{ "disconnect", SMTPD "disconnect from a[192.0.2.7] ehlo=1 quit=1", NOTHING, NULL, NULL },
	{ "a warning", SMTPD "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed",
	  NOTHING, NULL, NULL },
	{ "reject_warning", SMTPD "NOQUEUE: reject_warning: RCPT from a[192.0.2.7]: 554 x", NOTHING,
	  NULL, NULL },
	{ "postscreen", SCREEN "CONNECT from [192.0.2.9]:4711 to [192.0.2.25]:25", MAILLOG_SEEN,
	  "192.0.2.9", "" },
	{ "postscreen rejects",
	  SCREEN "NOQUEUE: reject: RCPT from [2001:db8::9]:4711: 550 5.7.1 Service unavailable",
	  MAILLOG_REJECTED, "2001:db8::9", "" },
	{ "postscreen lists", SCREEN "DNSBL rank 3 for [192.0.2.9]:4711", NOTHING, NULL, NULL },
	{ "what Postfix sends",
	  "Nov 24 10:00:00 mx postfix/smtp[7]: AB: to=<a@b>, relay=x[192.0.2.99]:25, status=sent",
	  NOTHING, NULL, NULL },
	{ "Exim takes",
	  EXIM "1tFabc-000001-AB <= a@b H=mail.example.net [192.0.2.7]:4711 P=esmtps S=99 id=x",
	  MAILLOG_ACCEPTED, "192.0.2.7", "mail.example.net" },
	{ "a name of its own in brackets",
	  EXIM "1tFabc-000001-AB <= a@b H=([192.0.2.99]) [192.0.2.7] P=esmtp S=99",
	  MAILLOG_ACCEPTED, "192.0.2.7", "" },
	{ "name and name of its own",
	  EXIM "1tFabc-000001-AB <= a@b H=h.example.net (helo) [2001:db8::7] P=esmtp S=99",
	  MAILLOG_ACCEPTED, "2001:db8::7", "h.example.net" },
	{ "a sender that is quoted",
	  EXIM "1tFabc-000001-AB <= \"x\\\" H=y [192.0.2.99] P=z\"@b H=h [192.0.2.7] P=esmtp S=9",
	  MAILLOG_ACCEPTED, "192.0.2.7", "h" },
	{ "Exim, authenticated",
	  EXIM "1tFabc-000001-AB <= a@b H=h [192.0.2.7] P=esmtpsa A=plain:u S=99", NOTHING, NULL,
	  NULL },
	{ "Exim, from here", EXIM "1tFabc-000001-AB <= a@b U=root P=local S=99", NOTHING, NULL,
	  NULL },
	{ "Exim rejects",
	  EXIM "H=(x) [192.0.2.8] F=<a@b> rejected RCPT <c@d>: listed at zen.example",
	  MAILLOG_REJECTED, "192.0.2.8", "" },
	{ "Exim defers", EXIM "H=h [192.0.2.8] F=<a@b> temporarily rejected RCPT <c@d>: greylisted",
	  MAILLOG_DEFERRED, "192.0.2.8", "h" },
	{ "Exim rejects the data",
	  EXIM "1tFabc-000001-AB H=h [192.0.2.8] F=<a@b> rejected after DATA: spam",
	  MAILLOG_REJECTED, "192.0.2.8", "h" },
	{ "Exim through syslog",
	  "Nov 24 10:00:00 mx exim[77]: 2026-11-24 10:00:00 H=[192.0.2.8] rejected connection in "
	  "\"connect\" ACL: no",
	  MAILLOG_REJECTED, "192.0.2.8", "" },
	{ "Exim counts", EXIM "SMTP connection from [192.0.2.8]:4711 (TCP/IP connection count = 1)",
	  MAILLOG_SEEN, "192.0.2.8", "" },
	{ "all that Exim may log",
	  EXIM "1xVuqZ-0007dr-2F <= a@b H=(x) [2001:db8:f::1]:45389 I=[2001:db8::25]:25 P=esmtp "
	       "S=424 id=1@vm",
	  MAILLOG_ACCEPTED, "2001:db8:f::1", "" },
	{ "Exim, the end of it", EXIM "SMTP connection from (x) [192.0.2.8]:1 closed by QUIT",
	  NOTHING, NULL, NULL },
	{ "Exim on 587, taken",
	  EXIM "1xVuqa-0007eE-0v <= a@b H=(x) [192.0.2.8]:36 I=[192.0.2.25]:587 P=esmtp S=424",
	  NOTHING, NULL, NULL },
	{ "Exim on 587",
	  EXIM "H=h [192.0.2.8]:1 I=[192.0.2.25]:587 F=<a@b> rejected RCPT <c@d>: no", NOTHING,
	  NULL, NULL },
	{ "what Exim sends",
	  EXIM "1tFabc-000001-AB => a@b R=dnslookup T=remote_smtp H=mx [192.0.2.99] C=\"250 ok\"",
	  NOTHING, NULL, NULL },
	{ "what Exim cannot send",
	  EXIM "1tFabc-000001-AB ** a@b R=dnslookup T=remote_smtp H=mx [192.0.2.99]: rejected RCPT",
	  NOTHING, NULL, NULL },
	{ "nothing", "", NOTHING, NULL, NULL },
	{ "no log", "192.0.2.7 - - [24/Nov/2026] \"GET / HTTP/1.1\" H=[192.0.2.7] rejected x",
	  NOTHING, NULL, NULL },
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *sample = &samples[i];
		struct maillog_event event;
		char text[PREFIX_TEXT];
		bool found = maillog_read(sample->line, &event);

		if (found != (sample->kind != NOTHING))
			fail_msg("%s: %s", sample->name, found ? "was taken" : "was not taken");
		if (!found)
			continue;
		if ((int)event.kind != sample->kind)
			fail_msg("%s: kind %d, want %d", sample->name, event.kind, sample->kind);
		assert_string_equal(address_format(&event.address, text), sample->address);
		assert_string_equal(event.name, sample->client);
	}
}

/* A log is cut wherever it is cut: any beginning of a line is read without harm. */
static void test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		for (size_t length = strlen(samples[i].line); length--;) {
			char *line = test_malloc(length + 1);
			struct maillog_event event;

			memcpy(line, samples[i].line, length);
			line[length] = '\0';
			maillog_read(line, &event);
			test_free(line);
		}
}

/* A milter's word comes behind smtpd's. */
static void test_taken_back(void **state)
{
	struct maillog_event event;

	(void)state;
	assert_true(maillog_read("Nov 24 10:00:00 mx postfix/cleanup[7]: AB12: milter-reject: "
				 "END-OF-MESSAGE from h[192.0.2.8]: 5.7.1 Spam; from=<a@b>",
				 &event));
	assert_int_equal(event.kind, MAILLOG_REJECTED);
	assert_true(event.takes_back);
	assert_true(maillog_read(SMTPD "AB12: client=h[192.0.2.8]", &event));
	assert_false(event.takes_back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
