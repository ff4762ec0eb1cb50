/* Names that go through a descriptor's number, /proc/self/fd/5/made, and ways to have the number mean another folder than
 * it seems. Where not said otherwise, the folder of "made" is the one that was used. */
#include "evade.h"

#include <stdatomic.h>
#include <sys/socket.h>

#define TURNS 300

static int folder(const char *path)
{
	mkdir(path, 0700);
	return open(path, O_RDONLY | O_DIRECTORY);
}

static int make_in(const char *descriptors, int fd, const char *name)
{
	char path[128];
	sprintf(path, "%s/%d/%s", descriptors, fd, name);
	return check(mkdir(path, 0700));
}

static int use(int fd)
{
	return make_in("/proc/self/fd", fd, "made");
}

EVASION(folder_by_number)
{
	return use(folder("one"));
}

EVASION(folder_by_number_of_task)
{
	int fd = folder("one");
	char task[64];
	sprintf(task, "/proc/self/task/%d/fd", getpid());
	int failure = make_in(task, fd, "made");
	return failure ? failure : make_in("/proc/thread-self/fd", fd, "too");
}

EVASION(folder_by_dev_fd)
{
	return make_in("/dev/fd", folder("one"), "made");
}

/* ---- a number that comes to mean something else ---- */

EVASION(number_replaced)
{
	int fd = folder("one");
	dup2(folder("other"), fd);
	return use(fd);
}

EVASION(number_used_again)
{
	int fd = folder("one");
	close(fd);
	return folder("other") == fd ? use(fd) : UNEXPLAINED;
}

EVASION(number_closed_in_a_range)
{
	int fd = folder("one");
	if (syscall(436 /* close_range */, fd, fd + 8, 0))
		return failed();
	return folder("other") == fd ? use(fd) : UNEXPLAINED;
}

EVASION(number_copied_by_fcntl)
{
	int fd = folder("one"), other = folder("other");
	close(fd);
	return fcntl(other, F_DUPFD, fd) == fd ? use(fd) : UNEXPLAINED;
}

static int number;

static int replace_it(void *unused)
{
	(void)unused;
	close(number);
	return folder("other") == number ? 0 : UNEXPLAINED;
}

EVASION(number_in_a_shared_table)
{
	char *stack = malloc(1 << 16);
	number = folder("one");
	int failure = outcome(clone(replace_it, stack + (1 << 16), CLONE_FILES | SIGCHLD, NULL));
	return failure ? failure : use(number);
}

EVASION(number_after_fork)
{
	int fd = folder("one");
	pid_t child = fork();
	if (!child) {
		dup2(folder("other"), fd);
		_exit(use(fd));
	}
	int failure = outcome(child);
	return failure ? failure : use(fd);
}

/* Run this program again, which finds the number in its environment. */
static int again(int fd)
{
	char text[16];
	sprintf(text, "%d", fd);
	setenv("NUMBER", text, 1);
	execv(PROGRAM, program_argv);
	return failed();
}

EVASION(number_closed_by_exec)
{
	const char *text = getenv("NUMBER");
	if (!text)
		return again(fcntl(folder("one"), F_SETFD, FD_CLOEXEC) ? -1 : 3);
	int fd = folder("other");
	return fd == atoi(text) ? use(fd) : UNEXPLAINED;
}

EVASION(number_kept_by_exec)
{
	const char *text = getenv("NUMBER");
	return text ? use(atoi(text)) : again(folder("one"));
}

static int received(int through)
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

EVASION(number_received)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec byte = {"x", 1};
	struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int pair[2], fd = folder("one"), other = folder("other");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return failed();
	control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &other, sizeof(int));
	if (sendmsg(pair[0], &message, 0) < 0)
		return failed();
	close(fd);
	return received(pair[1]) == fd ? use(fd) : UNEXPLAINED;
}

/* ---- a number in another table ---- */

EVASION(number_of_a_child)
{
	int fd = folder("one");
	char descriptors[64];
	pid_t child = fork();
	if (!child) {
		dup2(folder("other"), fd);
		make("ready");
		pause();
	}
	sprintf(descriptors, "/proc/%d/fd", child);
	int failure = wait_for("ready");
	failure = failure ? failure : make_in(descriptors, fd, "made");
	kill(child, SIGKILL);
	outcome(child);
	return failure;
}

/* A thread with descriptors of its own: "self" is the first thread's, "thread-self" its own. */
static atomic_int ended = -1;

static int use_both(void *unused)
{
	(void)unused;
	dup2(folder("other"), number);
	int failure = use(number);
	ended = failure ? failure : make_in("/proc/thread-self/fd", number, "too");
	syscall(SYS_exit, 0);
	return 0;
}

EVASION(number_of_a_thread)
{
	char *stack = malloc(1 << 16);
	number = folder("one");
	if (clone(use_both, stack + (1 << 16), CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FS, NULL) < 0)
		return failed();
	while (ended < 0)
		pause_ms(1);
	return ended;
}

EVASION(number_after_unshare)
{
	char *stack = malloc(1 << 16);
	number = folder("one");
	if (unshare(CLONE_FILES))
		return failed();
	int failure = outcome(clone(replace_it, stack + (1 << 16), CLONE_FILES | SIGCHLD, NULL));
	return failure ? failure : use(number);
}

/* The folder of the parent's descriptors is the child's working directory. */
EVASION(descriptors_as_folder)
{
	char path[32];
	int fd = folder("one"), other = folder("other");
	sprintf(path, "%d/made", fd);
	if (chdir("/proc/self/fd"))
		return failed();
	pid_t child = fork();
	if (!child) {
		dup2(other, fd);
		_exit(check(mkdir(path, 0700)));
	}
	return outcome(child);
}

/* ---- a folder that goes elsewhere ---- */

EVASION(number_of_a_moved_folder)
{
	int fd = folder("one");
	if (rename("one", "other") || mkdir("one", 0700))
		return failed();
	return use(fd);
}

/* One of the same name is made after it, and moved: ".." is still the folder that it was in. */
static int replace_removed(void)
{
	return check(rmdir("in/one") || mkdir("in/one", 0700) || mkdir("other", 0700) || rename("in/one", "other/one"));
}

EVASION(number_of_a_removed_folder)
{
	mkdir("in", 0700);
	int fd = folder("in/one"), failure = replace_removed();
	return failure ? failure : make_in("/proc/self/fd", fd, "../made");
}

EVASION(removed_folder_as_cwd)
{
	mkdir("in", 0700);
	int above = open(".", O_PATH), fd = folder("in/one");
	pid_t child = fork();
	if (!child)
		_exit(fchdir(above) ? failed() : (pause_ms(0), replace_removed()));
	if (fchdir(fd))
		return failed();
	int failure = outcome(child);
	return failure ? failure : check(mkdir("../made", 0700));
}

/* ---- second folders ---- */

EVASION(second_folder_replaced)
{
	int fd = folder("one");
	make("victim");
	dup2(folder("other"), fd);
	return check(renameat(AT_FDCWD, "victim", fd, "moved"));
}

EVASION(second_folder_copied_by_fcntl)
{
	int fd = folder("one"), other = folder("other");
	make("victim");
	close(fd);
	if (fcntl(other, F_DUPFD, fd) != fd)
		return UNEXPLAINED;
	return check(renameat(AT_FDCWD, "victim", fd, "moved"));
}

/* ---- numbers spelled otherwise ---- */

EVASION(number_with_zeros)
{
	char path[64];
	sprintf(path, "/proc/self/fd/%020d/made", folder("one"));
	return check(mkdir(path, 0700));
}

EVASION(number_with_a_sign)
{
	char path[64];
	sprintf(path, "/proc/self/fd/+%d/made", folder("one"));
	return check(mkdir(path, 0700));
}

EVASION(process_with_zeros)
{
	char path[64];
	sprintf(path, "/proc/%020d/cwd/made", getpid());
	return check(mkdir(path, 0700));
}

/* ---- a race; the file "truth" has what was read ---- */

static int one, other;
static atomic_int over;

static void *replace_all_the_time(void *unused)
{
	(void)unused;
	while (!over) {
		dup2(one, number);
		dup2(other, number);
	}
	return NULL;
}

static int letter_of(int fd)
{
	char letter = 0;
	ssize_t length = read(fd, &letter, 1);
	close(fd);
	return length == 1 ? letter : 0;
}

EVASION(number_replaced_meanwhile)
{
	char path[64];
	one = folder("one");
	other = folder("other");
	make_with("one/which", "1");
	make_with("other/which", "2");
	number = dup(one);
	sprintf(path, "/proc/self/fd/%d/which", number);
	FILE *truth = fopen("truth", "w");
	aside(replace_all_the_time, NULL);
	for (int i = 0; i < TURNS; i++) {
		int fd = open(path, O_RDONLY);
		if (fd >= 0)
			fprintf(truth, "%s/which\n", letter_of(fd) == '1' ? "one" : "other");
	}
	over = 1;
	fclose(truth);
	return 0;
}
