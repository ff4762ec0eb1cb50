// Puts a filter of system calls on itself and becomes a command:
//
//     affidavit-enter FILTER PROGRAM [ARGUMENT...]
//
// FILTER is a classic BPF program as the kernel holds it (struct sock_filter), in hexadecimal digits. gVisor's exec puts
// no filter on what it lets into a sandbox; this program, which the sandbox can read but not change, does it from inside.
// Static, so that nothing of the sandbox is loaded into it. It ends with 127 where there is no PROGRAM and with 126 where
// PROGRAM can't be run or the filter is refused, as a shell does.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOT_RUN = 126, NOT_FOUND = 127, LONGEST = 4096 };

static struct sock_filter filter[LONGEST];
static char path[LONGEST];

static int fail(const char *name, const char *why, int status)
{
	const char *parts[] = { "affidavit: ", name, ": ", why, "\n" };

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0)
			break;
	return status;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The instructions that the digits stand for; 0 where they are none.
static unsigned short read_filter(const char *digits)
{
	size_t bytes = strlen(digits) / 2;
	unsigned char *to = (unsigned char *)filter;

	if (strlen(digits) % 2 || bytes % sizeof(*filter) || bytes > sizeof(filter))
		return 0;
	for (size_t i = 0; i < bytes; i++) {
		int high = digit(digits[2 * i]), low = digit(digits[2 * i + 1]);

		if (high < 0 || low < 0)
			return 0;
		to[i] = (unsigned char)(high << 4 | low);
	}
	return (unsigned short)(bytes / sizeof(*filter));
}

// Become the program, which is looked up on PATH where its name has no slash. Returns where it can't, with errno.
static void become(char **argv)
{
	const char *places = getenv("PATH"), *name = argv[0];
	int seen = ENOENT;

	if (strchr(name, '/')) {
		execv(name, argv);
		return;
	}
	while (places && *places) {
		size_t length = strcspn(places, ":");

		if (length + strlen(name) + 2 <= sizeof(path)) {
			memcpy(path, places, length);
			path[length] = '/';
			strcpy(path + length + 1, name);
			execv(length ? path : path + 1, argv);
			if (errno != ENOENT && errno != ENOTDIR)
				seen = errno;
		}
		places += length + (places[length] == ':');
	}
	errno = seen;
}

int main(int argc, char **argv)
{
	struct sock_fprog program = { .filter = filter };

	if (argc < 3)
		return fail("affidavit-enter", "takes a filter and a command", NOT_RUN);
	program.len = read_filter(argv[1]);
	if (!program.len)
		return fail("affidavit-enter", "this is no filter", NOT_RUN);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return fail("the filter of system calls", strerror(errno), NOT_RUN);
	become(argv + 2);
	return fail(argv[2], strerror(errno), errno == ENOENT ? NOT_FOUND : NOT_RUN);
}
