// SPDX-License-Identifier: GPL-2.0-only
/*
 * Credentials by name.
 *
 * In: text with ${cred:NAME}. Out: the same with values, which the caller wipes; messages never hold one.
 */
#include "user/secret.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPENING	    "${cred:"
#define OPENING_LEN (sizeof(OPENING) - 1)
#define NAME_BYTES  64

/* The length of a name that ends with }; 0: it is none. */
static size_t name_length(const char *name)
{
	size_t length = 0;

	while (isalnum((unsigned char)name[length]) ||
	       (name[length] && strchr("._-", name[length])))
		length++;
	return name[length] == '}' && name[0] != '.' && length < NAME_BYTES ? length : 0;
}

const char *secret_fault(const char *text)
{
	for (const char *at = text; (at = strstr(at, "${")); at += 2)
		if (strncmp(at, OPENING, OPENING_LEN) != 0 || !name_length(at + OPENING_LEN))
			return "a credential is named as ${cred:NAME}, NAME of letters, digits, "
			       "'.', '_' and '-'";
	return NULL;
}

int secret_file(const char *path, bool alone, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = 0;
	struct stat status;
	ssize_t got = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status))
		error = -errno;
	else if (!S_ISREG(status.st_mode))
		error = -EINVAL;
	else if (alone && status.st_mode & 077)
		error = -EACCES;
	if (!error) {
		got = read(fd, out, size);
		error = got < 0 ? -errno : !got ? -ENODATA : (size_t)got == size ? -E2BIG : 0;
	}
	close(fd);
	return error ? error : (int)got;
}

/* One line: a newline at its end is an editor's, one inside would be a second header. */
static int value_check(char *value, int length)
{
	while (length && (value[length - 1] == '\n' || value[length - 1] == '\r'))
		length--;
	for (int i = 0; i < length; i++)
		if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
			return -EINVAL;
	value[length] = '\0';
	return length ? 0 : -ENODATA;
}

/* What systemd hands over is for us alone already, whatever its mode. */
static int value_find(const char *directory, const char *name, char value[static SECRET_BYTES],
		      char path[static PATH_MAX])
{
	const char *systemd = getenv("CREDENTIALS_DIRECTORY");
	int length = -ENOENT;

	if (systemd) {
		snprintf(path, PATH_MAX, "%s/%s", systemd, name);
		length = secret_file(path, false, value, SECRET_BYTES);
	}
	if (length == -ENOENT && directory) {
		snprintf(path, PATH_MAX, "%s/%s", directory, name);
		length = secret_file(path, true, value, SECRET_BYTES);
	}
	return length < 0 ? length : value_check(value, length);
}

static void value_why(int error, const char *name, const char *path, char why[static SECRET_WHY])
{
	static const char *const hints[] = {
		[ENOENT] = "there is no such file, and systemd handed over none (LoadCredential=)",
		[EACCES] = "it must be readable, and for its owner alone: chmod 600",
		[EINVAL] = "it has to be a regular file of one line",
		[ENODATA] = "it is empty",
		[E2BIG] = "it is longer than a credential may be",
	};
	bool known = error < (int)(sizeof(hints) / sizeof(hints[0])) && hints[error];

	snprintf(why, SECRET_WHY, "credential %.64s (%.150s): %s", name, path,
		 known ? hints[error] : strerror(error));
}

static int value_add(const char *directory, const char *name, struct secrets *secrets, char *value,
		     char why[static SECRET_WHY])
{
	char path[PATH_MAX] = "no directory";
	int error = secrets->count == SECRETS ? -E2BIG : value_find(directory, name, value, path);

	if (error) {
		value_why(-error, name, path, why);
		return error;
	}
	memcpy(secrets->values[secrets->count++], value, SECRET_BYTES);
	return 0;
}

int secret_expand(const char *directory, const char *text, char *out, size_t size,
		  struct secrets *secrets, char why[static SECRET_WHY])
{
	char value[SECRET_BYTES] = "", name[NAME_BYTES];
	size_t used = 0, length;
	int error = 0;

	for (; !error && *text; used += length) {
		const char *piece = text;

		length = 1;
		if (!strncmp(text, OPENING, OPENING_LEN) && name_length(text + OPENING_LEN)) {
			snprintf(name, sizeof(name), "%.*s", (int)name_length(text + OPENING_LEN),
				 text + OPENING_LEN);
			error = value_add(directory, name, secrets, value, why);
			if (error)
				break;
			piece = value;
			length = strlen(value);
			text += OPENING_LEN + strlen(name);
		}
		text++;
		if (used + length >= size) {
			snprintf(why, SECRET_WHY,
				 "with its credentials it is longer than %zu bytes", size - 1);
			error = -E2BIG;
			break;
		}
		memcpy(out + used, piece, length);
	}
	explicit_bzero(value, sizeof(value));
	out[error ? 0 : used] = '\0';
	return error;
}

bool secrets_are_in(const struct secrets *secrets, const void *bytes, size_t length)
{
	for (size_t i = 0; i < secrets->count; i++)
		if (memmem(bytes, length, secrets->values[i], strlen(secrets->values[i])))
			return true;
	return false;
}

void secrets_hide(const struct secrets *secrets, char *text, size_t size)
{
	size_t length;

	for (size_t i = 0; i < secrets->count; i++) {
		char *at = text;
		size_t mark;

		length = strlen(secrets->values[i]);
		mark = length < 3 ? length : 3;
		/* On behind the mark, which may look like the next one. */
		while ((at = memmem(at, strnlen(at, text + size - at), secrets->values[i],
				    length))) {
			memmove(at + mark, at + length, strlen(at + length) + 1);
			memset(at, '*', mark);
			at += mark;
		}
	}
	/* What was longer before stands behind the end of the text. */
	length = strnlen(text, size);
	memset(text + length, 0, size - length);
}

void secrets_forget(struct secrets *secrets)
{
	explicit_bzero(secrets, sizeof(*secrets));
}
