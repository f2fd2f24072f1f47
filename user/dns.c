// SPDX-License-Identifier: GPL-2.0-only
/*
 * Questions to a DNS resolver.
 *
 * In: a name and a type. Out: records with the least time to live of the answer. c-ares brings the message, libc's
 * reader of messages takes it apart; both ends are foreign and bounded.
 */
#include "user/dns.h"

#include <ares.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/addr.h"
#include "user/dataplane.h"

#define TRY_MS	   2000 /* for an answer; doubles with each of … */
#define TRIES	   2
#define POLL_MS	   100 /* how soon a cancel is seen */
#define EDNS_BYTES 1232

struct dns {
	ares_channel channel;
	const atomic_bool *cancel;
	__u64 deadline_ms;
};

/* One message on its way. */
struct question {
	struct dns_answer *answer;
	int type, error;
	bool done;
};

static pthread_once_t ares_once = PTHREAD_ONCE_INIT;

static void ares_start(void)
{
	ares_library_init(ARES_LIB_INIT_ALL);
}

/* ---------------------------------------------------------------- records */

static struct dns_record *record_new(struct dns_answer *answer)
{
	if (!answer->records)
		answer->records = calloc(DNS_RECORDS, sizeof(*answer->records));
	if (!answer->records || answer->count == DNS_RECORDS)
		return NULL;
	return &answer->records[answer->count];
}

/* Strings of up to 255 bytes, each behind its length. */
static int txt_take(const ns_rr *rr, struct dns_record *record)
{
	const unsigned char *at = ns_rr_rdata(*rr), *end = at + ns_rr_rdlen(*rr);
	size_t used = 0;

	record->text = malloc(ns_rr_rdlen(*rr) + 1);
	if (!record->text)
		return -ENOMEM;
	while (at < end && at + 1 + *at <= end) {
		memcpy(record->text + used, at + 1, *at);
		used += *at;
		at += 1 + *at;
	}
	record->text[used] = '\0';
	return 0;
}

static int mx_take(const ns_msg *message, const ns_rr *rr, struct dns_record *record)
{
	char host[NS_MAXDNAME];

	if (ns_rr_rdlen(*rr) < 3 ||
	    ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), ns_rr_rdata(*rr) + 2,
			       host, sizeof(host)) < 0)
		return -EBADMSG;
	record->preference = ns_get16(ns_rr_rdata(*rr));
	record->text = strdup(!strcmp(host, ".") ? "" : host); /* RFC 7505: takes no mail */
	return record->text ? 0 : -ENOMEM;
}

static int address_take(const ns_rr *rr, struct dns_record *record)
{
	bool v4 = ns_rr_type(*rr) == ns_t_a;

	if (ns_rr_rdlen(*rr) != (v4 ? 4 : 16))
		return -EBADMSG;
	address_from_bytes(&record->address, v4 ? 4 : 6, ns_rr_rdata(*rr));
	return 0;
}

static int record_take(const ns_msg *message, const ns_rr *rr, struct dns_answer *answer)
{
	struct dns_record *record = record_new(answer);
	int error;

	if (!record)
		return answer->records ? 0 : -ENOMEM;
	*record = (struct dns_record){ .text = NULL };
	if (ns_rr_type(*rr) == ns_t_txt)
		error = txt_take(rr, record);
	else if (ns_rr_type(*rr) == ns_t_mx)
		error = mx_take(message, rr, record);
	else
		error = address_take(rr, record);
	if (!error)
		answer->count++;
	return error;
}

/* Aliases on the way count for the time to live, not as records. */
static int message_take(const unsigned char *bytes, int length, int type, struct dns_answer *answer)
{
	ns_msg message;
	ns_rr rr;
	int error = 0;

	if (ns_initparse(bytes, length, &message))
		return -EBADMSG;
	for (int i = 0; !error && i < ns_msg_count(message, ns_s_an); i++) {
		if (ns_parserr(&message, ns_s_an, i, &rr))
			return -EBADMSG;
		if (ns_rr_class(rr) != ns_c_in)
			continue;
		if (ns_rr_ttl(rr) < answer->ttl_s)
			answer->ttl_s = ns_rr_ttl(rr);
		if (ns_rr_type(rr) == (ns_type)type)
			error = record_take(&message, &rr, answer);
	}
	return error;
}

void dns_answer_release(struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		free(answer->records[i].text);
	free(answer->records);
	*answer = (struct dns_answer){ .ttl_s = DNS_TTL_UNKNOWN };
}

/* ---------------------------------------------------------------- questions */

static int status_error(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return -ENODATA;
	case ARES_EBADNAME:
		return -EINVAL;
	case ARES_ENOMEM:
		return -ENOMEM;
	case ARES_ETIMEOUT:
		return -ETIMEDOUT;
	case ARES_ECANCELLED:
	case ARES_EDESTRUCTION:
		return -ECANCELED;
	case ARES_EBADRESP:
		return -EBADMSG;
	default:
		return -EAGAIN;
	}
}

static void question_end(void *context, int status, int timeouts, unsigned char *bytes, int length)
{
	struct question *question = context;

	(void)timeouts;
	question->done = true;
	question->error = status_error(status);
	if (!question->error)
		question->error = message_take(bytes, length, question->type, question->answer);
}

static int wait_ms(ares_channel channel, __u64 left_ms)
{
	struct timeval most = { .tv_usec = POLL_MS * 1000L }, next, *until;
	__u64 ms;

	until = ares_timeout(channel, &most, &next);
	ms = until->tv_sec * 1000ULL + until->tv_usec / 1000 + 1;
	return ms < left_ms ? ms : left_ms;
}

/* One turn: waits for what comes next, and lets c-ares see it. */
static void channel_turn(struct dns *dns, __u64 left_ms)
{
	ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
	struct pollfd polled[ARES_GETSOCK_MAXNUM];
	/* unsigned: c-ares' own macros shift a one into the sign */
	unsigned int bits = ares_getsock(dns->channel, sockets, ARES_GETSOCK_MAXNUM);
	int count = 0;

	for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		short events = (bits >> i & 1 ? POLLIN : 0) |
			       (bits >> (i + ARES_GETSOCK_MAXNUM) & 1 ? POLLOUT : 0);

		if (events)
			polled[count++] = (struct pollfd){ .fd = sockets[i], .events = events };
	}
	poll(polled, count, wait_ms(dns->channel, left_ms));
	for (int i = 0; i < count; i++)
		if (polled[i].revents)
			ares_process_fd(
				dns->channel,
				polled[i].revents & ~POLLOUT ? polled[i].fd : ARES_SOCKET_BAD,
				polled[i].revents & POLLOUT ? polled[i].fd : ARES_SOCKET_BAD);
	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static int questions_wait(struct dns *dns, const struct question *questions, int count)
{
	for (;;) {
		__u64 now = monotonic_ms();
		bool all = true;

		for (int i = 0; i < count; i++)
			all &= questions[i].done;
		if (all)
			return 0;
		if (now >= dns->deadline_ms || (dns->cancel && atomic_load(dns->cancel))) {
			ares_cancel(dns->channel); /* each question ends by it */
			return now >= dns->deadline_ms ? -ETIMEDOUT : -ECANCELED;
		}
		channel_turn(dns, dns->deadline_ms - now);
	}
}

/* Of two families one may be absent; but one that nothing is known of says nothing of the whole. */
static int questions_judge(const struct question *questions, int count)
{
	int absent = 0;

	for (int i = 0; i < count; i++) {
		if (questions[i].error && questions[i].error != -ENODATA)
			return questions[i].error;
		absent += questions[i].error != 0;
	}
	return absent == count ? -ENODATA : 0;
}

static bool name_good(const char *name)
{
	size_t length = strlen(name), label = 0;

	for (size_t i = 0; i < length; i++) {
		label = name[i] == '.' ? 0 : label + 1;
		if ((name[i] == '.' && i && name[i - 1] == '.') || label > 63 || name[i] <= ' ' ||
		    name[i] > '~' || strchr("\\\"()@;$", name[i]))
			return false;
	}
	return length && length < 254 && *name != '.';
}

int dns_ask(struct dns *dns, const char *name, int type, struct dns_answer *out)
{
	struct question questions[2] = {
		{ .answer = out, .type = type ? type : ns_t_a },
		{ .answer = out, .type = ns_t_aaaa },
	};
	int count = type ? 1 : 2, error;

	*out = (struct dns_answer){ .ttl_s = DNS_TTL_UNKNOWN };
	if (!name_good(name))
		return -EINVAL;
	for (int i = 0; i < count; i++)
		ares_query(dns->channel, name, ns_c_in, questions[i].type, question_end,
			   &questions[i]);
	error = questions_wait(dns, questions, count);
	if (!error)
		error = questions_judge(questions, count);
	if (!error && !out->count)
		error = -ENODATA;
	if (error)
		dns_answer_release(out);
	return error;
}

/* ---------------------------------------------------------------- resolver */

int dns_open(const char *server, unsigned int deadline_s, const atomic_bool *cancel,
	     struct dns **out)
{
	struct ares_options options = {
		.flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.ednspsz = EDNS_BYTES,
		.timeout = TRY_MS,
		.tries = TRIES,
	};
	const int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
	struct dns *dns = calloc(1, sizeof(*dns));
	int status;

	if (!dns)
		return -ENOMEM;
	pthread_once(&ares_once, ares_start);
	dns->cancel = cancel;
	dns->deadline_ms = monotonic_ms() + deadline_s * 1000ULL;
	status = ares_init_options(&dns->channel, &options, mask);
	if (status != ARES_SUCCESS) {
		free(dns);
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	if (server && ares_set_servers_ports_csv(dns->channel, server) != ARES_SUCCESS) {
		dns_close(dns);
		return -EINVAL;
	}
	*out = dns;
	return 0;
}

void dns_close(struct dns *dns)
{
	if (!dns)
		return;
	ares_destroy(dns->channel);
	free(dns);
}

const char *dns_why(int error)
{
	switch (error) {
	case -ENODATA:
		return "there is no such name or record";
	case -EINVAL:
		return "is no name that DNS knows";
	case -ETIMEDOUT:
		return "the resolver does not answer";
	case -EAGAIN:
		return "the resolver cannot tell now (out of reach, SERVFAIL or REFUSED)";
	case -EBADMSG:
		return "the answer is damaged";
	default:
		return strerror(-error);
	}
}
