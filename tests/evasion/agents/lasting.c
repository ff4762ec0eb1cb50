/* What could last beyond the sandbox or go past its files: memory that has a name, keys, terminals, dumps, clocks. */
#include "evade.h"

#include <linux/aio_abi.h>
#include <linux/fanotify.h>
#include <linux/fs.h>
#include <mqueue.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>

#define KEY 0x5eed

/* ---- left in one sandbox and looked for in the next ---- */

EVASION(memory_left)
{
	int id = shmget(KEY, 4096, IPC_CREAT | 0666);
	char *memory = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
	if (memory == (void *)-1)
		return failed();
	strcpy(memory, "left");
	return make("mark");
}

EVASION(memory_found)
{
	return shmget(KEY, 4096, 0) < 0 ? failed() : make("mark");
}

EVASION(queue_left)
{
	mqd_t queue = mq_open("/left", O_CREAT | O_WRONLY, 0600, NULL);
	return queue < 0 || mq_send(queue, "left", 4, 0) ? failed() : make("mark");
}

EVASION(queue_found)
{
	return mq_open("/left", O_RDONLY) < 0 ? failed() : make("mark");
}

EVASION(shared_file_left)
{
	return make("/dev/shm/left") ? failed() : make("mark");
}

EVASION(shared_file_found)
{
	return open("/dev/shm/left", O_RDONLY) < 0 ? failed() : make("mark");
}

EVASION(key_left)
{
	return check(syscall(SYS_add_key, "user", "left", "x", 1L, -4L /* of the user */));
}

/* ---- files that the kernel writes for someone ---- */

EVASION(core_dump)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	if (setrlimit(RLIMIT_CORE, &limit)) {
		int failure = failed();
		pid_t child = fork();
		if (!child)
			abort();
		outcome(child);
		return access("core", F_OK) ? failure : 0;
	}
	return make("mark");
}

EVASION(accounting)
{
	make("book");
	return check(syscall(SYS_acct, "book"));
}

EVASION(asynchronous_write)
{
	aio_context_t context = 0;
	struct io_event event;
	int fd = open("filled", O_CREAT | O_WRONLY, 0600);
	struct iocb block = {.aio_fildes = fd, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (__u64) "text", .aio_nbytes = 4};
	struct iocb *blocks[] = {&block};
	if (syscall(SYS_io_setup, 1, &context) || syscall(SYS_io_submit, context, 1, blocks) != 1)
		return failed();
	if (syscall(SYS_io_getevents, context, 1, 1, &event, NULL) != 1 || event.res != 4)
		return UNEXPLAINED;
	return make("mark");
}

EVASION(cloned_blocks)
{
	make_with("source", "text");
	int from = open("source", O_RDONLY), to = open("filled", O_CREAT | O_WRONLY, 0600);
	return ioctl(to, FICLONE, from) ? failed() : make("mark");
}

/* ---- words put into another's mouth ---- */

EVASION(terminal_injection)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) || unlockpt(master))
		return failed();
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	pid_t child = fork();
	if (!child) {
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		for (const char *typed = ": >mark\nexit\n"; *typed; typed++)
			if (ioctl(slave, TIOCSTI, typed))
				_exit(failed());
		dup2(slave, 0);
		execl("/bin/sh", "sh", NULL);
		_exit(failed());
	}
	return outcome(child);
}

/* Whoever is told what to do by a FIFO does it. */
EVASION(fifo_channel)
{
	char path[16] = "";
	if (mkfifo("channel", 0600))
		return failed();
	pid_t child = fork();
	if (!child) {
		int fd = open("channel", O_RDONLY);
		if (read(fd, path, sizeof(path) - 1) <= 0)
			_exit(UNEXPLAINED);
		_exit(make(path));
	}
	int fd = open("channel", O_WRONLY);
	if (write(fd, "mark", 5) != 5)
		return failed();
	int failure = outcome(child);
	return failure ? failure : check(unlink("channel"));
}

EVASION(socket_channel)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "channel"};
	char path[16] = "";
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(server, (void *)&name, sizeof(name)) || listen(server, 1))
		return failed();
	pid_t child = fork();
	if (!child) {
		int fd = accept(server, NULL, NULL);
		if (read(fd, path, sizeof(path) - 1) <= 0)
			_exit(UNEXPLAINED);
		_exit(make(path));
	}
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(fd, (void *)&name, sizeof(name)) || write(fd, "mark", 5) != 5)
		return failed();
	int failure = outcome(child);
	return failure ? failure : check(unlink("channel"));
}

/* ---- clocks and mounts ---- */

EVASION(time_namespace)
{
	return check(syscall(SYS_unshare, 0x80 /* CLONE_NEWTIME */));
}

EVASION(clock_set)
{
	struct timespec past = {1, 0};
	return check(syscall(SYS_clock_settime, CLOCK_REALTIME, &past));
}

EVASION(clock_adjusted)
{
	struct timex change = {.modes = ADJ_OFFSET, .offset = 1000};
	return check(syscall(SYS_adjtimex, &change));
}

EVASION(mount_propagation)
{
	return check(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL));
}

EVASION(masked_file_uncovered)
{
	return check(umount2("/proc/kcore", MNT_DETACH));
}

EVASION(fanotify)
{
	return check(syscall(SYS_fanotify_init, FAN_CLASS_NOTIF, O_RDONLY));
}
