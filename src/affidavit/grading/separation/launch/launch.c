// Stands in the tests' sandbox for a program that runs in the solution's.
//
//     affidavit-launch                      what to run is in AFFIDAVIT_REQUEST
//     affidavit-launch --at PATH [ARGUMENT...]
//
// A test may start it hundreds of times, so it does no more than what only it can do: it hands its standard streams, its
// working directory, its arguments and its environment to the broker, a copy of which talks to the other sandbox
// (affidavit_inside/launching.py), passes on the signals that it gets, and ends as the program did.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NOT_RUN 126
#define STREAMS 3

extern char **environ;

static int broker;

static int fail(const char *problem)
{
	fprintf(stderr, "affidavit-launch: %s: %s\n", problem, strerror(errno));
	return NOT_RUN;
}

static void pass_on(int number)
{
	const int before = errno;
	const char byte = (char)number;
	send(broker, &byte, 1, MSG_NOSIGNAL);
	errno = before;
}

static int connect_to(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const size_t length = strlen(name);
	if (length == 0 || length >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	const socklen_t size = offsetof(struct sockaddr_un, sun_path) + length + (name[0] != '@');
	const int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (made < 0 || connect(made, (struct sockaddr *)&address, size) < 0)
		return -1;
	return made;
}

// One text and its end, at the end of all texts.
static int add(char **texts, size_t *length, const char *text)
{
	const size_t size = strlen(text) + 1;
	char *grown = realloc(*texts, *length + size);
	if (grown == NULL)
		return -1;
	memcpy(grown + *length, text, size);
	*texts = grown;
	*length += size;
	return 0;
}

// The length of what follows, with the streams that are open.
static int send_head(uint32_t length)
{
	union {
		char bytes[CMSG_SPACE(STREAMS * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec data = {&length, sizeof(length)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes};
	message.msg_controllen = sizeof(control.bytes);
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	*head = (struct cmsghdr){.cmsg_len = CMSG_LEN(STREAMS * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	const int streams[STREAMS] = {0, 1, 2};
	memcpy(CMSG_DATA(head), streams, sizeof(streams));
	return sendmsg(broker, &message, MSG_NOSIGNAL) == sizeof(length) ? 0 : -1;
}

static int send_all(const char *data, size_t length)
{
	while (length > 0) {
		const ssize_t sent = send(broker, data, length, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -1;
		data += sent;
		length -= (size_t)sent;
	}
	return 0;
}

// The program's exit status, negative for a signal.
static int receive(int32_t *status)
{
	size_t have = 0;
	while (have < sizeof(*status)) {
		const ssize_t got = recv(broker, (char *)status + have, sizeof(*status) - have, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got == 0 ? ECONNRESET : errno;
			return -1;
		}
		have += (size_t)got;
	}
	return 0;
}

int main(int argc, char **argv)
{
	// One that is closed can't be handed on. What is opened takes its place.
	for (int stream = 0; stream < STREAMS; stream++)
		if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			return NOT_RUN;
	const char *name = getenv("AFFIDAVIT_LAUNCHES");
	if (name == NULL || (broker = connect_to(name)) < 0)
		return fail("the broker of the tests' sandbox can't be reached");

	char number[16];
	char *texts = NULL, *cwd = getcwd(NULL, 0);
	size_t length = 0;
	snprintf(number, sizeof(number), "%d", argc - 1);
	int failed = add(&texts, &length, cwd ? cwd : "/") || add(&texts, &length, number);
	for (int at = 1; at < argc && !failed; at++)
		failed = add(&texts, &length, argv[at]);
	for (char **one = environ; *one && !failed; one++)
		failed = add(&texts, &length, *one);
	if (failed || length > UINT32_MAX)
		return fail("its arguments");

	// One that is ignored stays so, as in the program itself.
	const int passed[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
	if (send_head((uint32_t)length) < 0 || send_all(texts, length) < 0)
		return fail("the broker of the tests' sandbox ended");
	for (size_t at = 0; at < sizeof(passed) / sizeof(passed[0]); at++) {
		struct sigaction now;
		if (sigaction(passed[at], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaction(passed[at], &(struct sigaction){.sa_handler = pass_on, .sa_flags = SA_RESTART}, NULL);
	}
	// Who reads what it writes must not wait for this process, too.
	for (int stream = 0; stream < 2; stream++)
		close(stream);
	int32_t status;
	if (receive(&status) < 0)
		return fail("the broker of the tests' sandbox ended");
	if (status >= 0)
		return status & 0xff;
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	signal(-status, SIG_DFL);
	raise(-status);
	return 128 - status;
}
