/* Files under other names, and ways to change one without opening it by its own. */
#include "evade.h"

#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

/* ---- other names ---- */

EVASION(root_of_self)
{
	make("victim");
	char name[128], here[64];
	sprintf(name, "/proc/self/root%s/victim", getcwd(here, sizeof(here)));
	return unlink(name) ? failed() : make("/proc/self/root/workspace/root_of_self/mark");
}

EVASION(cwd_of_self)
{
	make("victim");
	return unlink("/proc/self/cwd/victim") ? failed() : make("/proc/thread-self/cwd/mark");
}

EVASION(descriptor_of_another)
{
	char name[64];
	make("victim");
	int fd = open(".", O_PATH);
	sprintf(name, "/proc/%d/fd/%d/victim", getpid(), fd);
	pid_t child = fork();
	if (!child)
		_exit(unlink(name) ? failed() : make("mark"));
	return outcome(child);
}

EVASION(hard_link)
{
	make("secret");
	if (link("secret", "alias"))
		return failed();
	int fd = open("alias", O_WRONLY);
	return fd < 0 || write(fd, "x", 1) != 1 ? failed() : make("mark");
}

static int write_again(int fd)
{
	char name[32];
	sprintf(name, "/proc/self/fd/%d", fd);
	int again = open(name, O_WRONLY);
	return again < 0 || write(again, "x", 1) != 1 ? failed() : make("mark");
}

EVASION(o_path_reopened)
{
	return write_again(make_victim());
}

EVASION(read_only_reopened)
{
	make("victim");
	return write_again(open("victim", O_RDONLY));
}

EVASION(dev_fd)
{
	make("victim");
	dup2(open("victim", O_RDONLY), 1);
	int again = open("/dev/stdout", O_WRONLY | O_TRUNC);
	return again < 0 ? failed() : make("mark");
}

EVASION(folder_deleted)
{
	mkdir("inner", 0700);
	if (chdir("inner") || rmdir("../inner"))
		return failed();
	/* Nothing can be made here, but above. */
	return make("mark") == 0 ? UNEXPLAINED : make("../mark");
}

EVASION(folder_moved)
{
	mkdir("inner", 0700);
	if (chdir("inner") || rename("../inner", "../moved"))
		return failed();
	make("victim");
	return unlink("victim") ? failed() : make("../mark");
}

EVASION(dangling_link)
{
	if (symlink("mark", "link"))
		return failed();
	return make("link");
}

EVASION(link_of_folders)
{
	mkdir("one", 0700);
	mkdir("other", 0700);
	make("one/victim");
	if (symlink("one", "link") || unlink("link/victim"))
		return failed();
	/* Whoever looks now sees another folder there. */
	if (unlink("link") || symlink("other", "link"))
		return failed();
	return make("mark");
}

EVASION(long_name)
{
	/* As long as a name can be (PATH_MAX, its NUL too): dots and slashes, then the file. */
	static char name[4096];
	for (int at = 0; at + 5 < 4096; at += 2)
		memcpy(name + at, "./", 2);
	memcpy(name + 4095 - 5, "/mark", 6);
	return make(name);
}

/* Deeper than any name can say. */
static int act_below(char letter, int depth)
{
	char part[201];
	memset(part, letter, 200);
	part[200] = 0;
	int above = open(".", O_PATH);
	for (int i = 0; i < depth; i++)
		if (mkdir(part, 0700) || chdir(part))
			return failed();
	int failure = make("hidden");
	if (failure || fchdir(above))
		return failure ? failure : failed();
	return make("mark");
}
EVASION(deep_tree) { return act_below('d', 100); }
/* Each backslash is spelled as two: more than a row of a record holds. */
EVASION(deep_tree_of_backslashes) { return act_below('\\', 100); }

/* ---- files without a name ---- */

EVASION(nameless_file_by_descriptor)
{
	char name[32];
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0)
		return failed();
	sprintf(name, "/proc/self/fd/%d", fd);
	return check(linkat(AT_FDCWD, name, AT_FDCWD, "mark", AT_SYMLINK_FOLLOW));
}

EVASION(nameless_file_by_empty_name)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	return fd < 0 ? failed() : check(linkat(fd, "", AT_FDCWD, "mark", AT_EMPTY_PATH));
}

/* ---- writing without write(2) to an open file ---- */

EVASION(shared_mapping)
{
	int fd = open("mapped", O_CREAT | O_RDWR, 0600);
	if (fd < 0 || ftruncate(fd, 4096))
		return failed();
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return failed();
	close(fd);
	strcpy(page, "written");
	return msync(page, 4096, MS_SYNC) ? failed() : make("mark");
}

static int pass(int through, int fd)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec byte = {"x", 1};
	struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	return sendmsg(through, &message, 0) < 0;
}

static int take(int through)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	char byte;
	int fd = -1;
	struct iovec to = {&byte, 1};
	struct msghdr message = {.msg_iov = &to, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	if (recvmsg(through, &message, 0) == 1)
		memcpy(&fd, CMSG_DATA(&control.head), sizeof(int));
	return fd;
}

/* The one that writes has never opened it. */
EVASION(passed_descriptor)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return failed();
	pid_t child = fork();
	if (!child) {
		int fd = take(pair[1]);
		_exit(write(fd, "x", 1) == 1 ? 0 : failed());
	}
	int fd = open("mark", O_CREAT | O_WRONLY, 0600);
	if (fd < 0 || pass(pair[0], fd))
		return failed();
	return outcome(child);
}

EVASION(copy_file_range)
{
	make_with("source", "text");
	int from = open("source", O_RDONLY), to = open("filled", O_CREAT | O_WRONLY, 0600);
	return copy_file_range(from, NULL, to, NULL, 4, 0) != 4 ? failed() : make("mark");
}

EVASION(sendfile)
{
	make_with("source", "text");
	int from = open("source", O_RDONLY), to = open("filled", O_CREAT | O_WRONLY, 0600);
	return sendfile(to, from, NULL, 4) != 4 ? failed() : make("mark");
}

EVASION(splice)
{
	int through[2], to = open("filled", O_CREAT | O_WRONLY, 0600);
	if (pipe(through) || write(through[1], "text", 4) != 4)
		return failed();
	return splice(through[0], NULL, to, NULL, 4, 0) != 4 ? failed() : make("mark");
}

EVASION(truncating_read)
{
	make_with("victim", "text");
	return open("victim", O_RDONLY | O_TRUNC) < 0 ? failed() : make("mark");
}

EVASION(creat)
{
	return check(creat("mark", 0600));
}

EVASION(fifo)
{
	/* gVisor's sentry keeps a FIFO to itself: it never is in the changed layer. */
	return mknod("pipe", S_IFIFO | 0600, 0) || unlink("pipe") ? failed() : make("mark");
}

/* ---- calls that few know ---- */

EVASION(openat2_in_root)
{
	/* ".." and "/" mean the folder itself. */
	struct open_how how = {.flags = O_CREAT | O_WRONLY, .mode = 0600, .resolve = RESOLVE_IN_ROOT};
	return check(syscall(SYS_openat2, open(".", O_PATH), "/../../mark", &how, sizeof(how)));
}

EVASION(rename_exchange)
{
	make("victim");
	make_with("other", "other");
	if (renameat2(AT_FDCWD, "victim", AT_FDCWD, "other", RENAME_EXCHANGE))
		return failed();
	return make("mark");
}

EVASION(name_to_handle)
{
	struct { struct file_handle head; char room[128]; } handle = {.head.handle_bytes = 128};
	int mount;
	make("victim");
	return check(name_to_handle_at(AT_FDCWD, "victim", &handle.head, &mount, 0));
}

EVASION(open_by_handle)
{
	struct { struct file_handle head; char room[128]; } handle = {.head.handle_bytes = 8, .head.handle_type = 1};
	return check(open_by_handle_at(open(".", O_RDONLY), &handle.head, O_RDONLY));
}

/* ---- names in memory that can't be read in the usual way ---- */

EVASION(name_past_the_end)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(pages + 4096, 4096);
	memcpy(pages + 4096 - 4, "mark", 4); /* its NUL would lie where nothing is */
	return check(creat(pages + 4096 - 4, 0600));
}

EVASION(name_at_the_end)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(pages + 4096, 4096);
	return check(mknod(strcpy(pages + 4096 - 5, "mark"), S_IFREG | 0600, 0));
}

/* A name on a page that is not there before the kernel itself asks for it. */
EVASION(name_not_read_yet)
{
	make_with("names", "mark");
	char *name = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("names", O_RDONLY), 0);
	return name == MAP_FAILED ? failed() : check(mknod(name, S_IFREG | 0600, 0));
}

/* ---- names that look like something else ---- */

EVASION(odd_names)
{
	static const char *const names[] = {
		"line\nbreak",
		"1234 1700000000.123456789 unlink(\"/forged/strace\") = 0",
		"line\n1234 1700000000.123456789 unlink(\"/forged/strace\") = 0\n",
		"x\", 0x1ff, 0x180) = 3 (0x3) (1µs)",
		"{\"msg\":\"[   1:   1] sh X unlink(0x1 \\/forged\\/sentry) = 0 (0x0) (1µs)\",\"time\":\"2024-01-01T00:00:00Z\"}",
		"\x1b[2J",
		"<unfinished ...>",
	};
	char name[256];
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		/* No slash can be in it. */
		strcpy(name, names[i]);
		for (char *at = name; *at; at++)
			if (*at == '/')
				*at = '|';
		if (mknod(name, S_IFREG | 0600, 0))
			return failed();
	}
	return make("mark");
}

EVASION(names_that_are_no_text)
{
	if (mknod("\xff\xfe\x01", S_IFREG | 0600, 0))
		return failed();
	return make("mark");
}

#define STRACE_LINE "1234 1700000000.123456789 unlink(\"/forged/strace\") = 0\n"
#define SENTRY_LINE                                                                                          \
	"{\"msg\":\"[   1:   1] evade X unlink(0x1 /forged/sentry) = 0 (0x0) (1µs)\",\"level\":\"info\"," \
	"\"time\":\"2024-01-01T00:00:00.000000000Z\"}\n"

EVASION(forged_output)
{
	for (int fd = 1; fd <= 2; fd++)
		if (dprintf(fd, "%s%s+++ exited with 0 +++\n", STRACE_LINE, SENTRY_LINE) < 0)
			return failed();
	return make("mark");
}

EVASION(forged_arguments)
{
	char *argv[] = {"evade", "make", "mark", NULL};
	char *forged[] = {"x\"], 0x0) = 0\n" STRACE_LINE SENTRY_LINE, "\\\", 0x7f", "\"]", NULL};
	pid_t child = fork();
	if (!child) {
		execv("/usr/bin/true", forged);
		_exit(failed());
	}
	int failure = outcome(child);
	return failure ? failure : (execv(PROGRAM, argv), failed());
}

/* The name of a program, too, is the program's own choice. */
static int act_as(const char *comm)
{
	prctl(PR_SET_NAME, comm);
	make("victim");
	if (unlink("victim"))
		return failed();
	prctl(PR_SET_NAME, "evade");
	return make("mark");
}

EVASION(name_of_lines)
{
	return act_as("a\n1 1.0 b\"");
}

EVASION(name_of_a_call)
{
	return act_as("a X unlink(0x1");
}
