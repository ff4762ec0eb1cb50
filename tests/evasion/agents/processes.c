/* Children that slip away, programs that are run in odd ways, and hands laid on other processes. */
#include "evade.h"

#include <dirent.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* ---- children ---- */

EVASION(double_fork)
{
	if (!fork()) {
		setsid();
		if (fork())
			_exit(0);
		while (getppid() != 1)
			pause_ms(1);
		_exit(make("mark"));
	}
	return wait_for("mark");
}

EVASION(clone3_into_namespaces)
{
	struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID, .exit_signal = SIGCHLD};
	long child = syscall(SYS_clone3, &args, sizeof(args));
	if (!child)
		_exit(make("mark"));
	return outcome(child);
}

EVASION(clone_into_namespaces)
{
	long child = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, 0);
	if (!child)
		_exit(make("mark"));
	return outcome(child);
}

/* A child that no tracer is given. */
EVASION(clone_untraced)
{
	long child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, NULL, NULL, NULL, 0);
	if (!child)
		_exit(make("mark"));
	return outcome(child);
}

EVASION(unshare)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return failed();
	return make("mark");
}

EVASION(setns)
{
	return check(setns(open("/proc/self/ns/user", O_RDONLY), 0));
}

EVASION(vfork)
{
	pid_t child = vfork();
	if (!child)
		_exit(syscall(SYS_creat, "mark", 0600) < 0);
	return outcome(child);
}

EVASION(clone_parent)
{
	/* A sibling, not a child: this process never hears of its end. */
	if (!syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0))
		_exit(make("mark"));
	return wait_for("mark");
}

static int change_folder(void *unused)
{
	(void)unused;
	return chdir("inner") ? failed() : 0;
}

/* Another process changes the folder that this one's names start at. */
EVASION(chdir_by_another)
{
	char *stack = malloc(1 << 16);
	mkdir("inner", 0700);
	int failure = outcome(clone(change_folder, stack + (1 << 16), CLONE_FS | CLONE_VM | SIGCHLD, NULL));
	return failure ? failure : make("mark") ? failed() : check(symlink("inner/mark", "../mark"));
}

static void *change_folder_aside(void *unused)
{
	(void)unused;
	_exit(chdir("inner") ? failed() : make("mark") ? failed() : check(symlink("inner/mark", "../mark")));
}

EVASION(chdir_by_thread)
{
	mkdir("inner", 0700);
	aside(change_folder_aside, NULL);
	pause();
	return UNEXPLAINED;
}

/* ---- programs ---- */

EVASION(exec_of_memory)
{
	int memory = memfd_create("code", 0);
	fill(memory, PROGRAM);
	syscall(SYS_execveat, memory, "", make_argv(), environ, AT_EMPTY_PATH);
	return failed();
}

EVASION(exec_of_memory_by_name)
{
	int memory = memfd_create("code", 0);
	char name[32];
	fill(memory, PROGRAM);
	sprintf(name, "/proc/self/fd/%d", memory);
	execv(name, make_argv());
	return failed();
}

EVASION(exec_of_script_in_memory)
{
	int memory = memfd_create("script", 0);
	if (write(memory, "#!/bin/sh\n: >mark\n", 18) != 18)
		return failed();
	syscall(SYS_execveat, memory, "", (char *[]){"script", NULL}, environ, AT_EMPTY_PATH);
	return failed();
}

EVASION(exec_of_unlinked)
{
	int file = open("program", O_CREAT | O_WRONLY, 0700);
	fill(file, PROGRAM);
	close(file);
	file = open("program", O_PATH);
	if (unlink("program"))
		return failed();
	syscall(SYS_execveat, file, "", make_argv(), environ, AT_EMPTY_PATH);
	return failed();
}

static void *exec_aside(void *unused)
{
	(void)unused;
	_exit(exec_make());
}

EVASION(exec_by_thread)
{
	aside(exec_aside, NULL);
	pause();
	return UNEXPLAINED;
}

EVASION(exec_without_arguments)
{
	execve("/opt/bare", NULL, NULL);
	return failed();
}

EVASION(exec_with_unmapped_arguments)
{
	execve(PROGRAM, (char **)0x1000, NULL);
	return failed();
}

/* A program that its owner, root, lent its power. */
EVASION(setuid_program)
{
	pid_t child = fork();
	if (!child) {
		execl("/opt/rooted", "rooted", NULL);
		_exit(failed());
	}
	return outcome(child);
}

EVASION(preloaded_library)
{
	pid_t child = fork();
	if (!child) {
		setenv("LD_PRELOAD", "/opt/preload.so", 1);
		execl("/usr/bin/true", "true", NULL);
		_exit(failed());
	}
	return outcome(child);
}

/* ---- ends ---- */

static void *leave(void *unused)
{
	(void)unused;
	syscall(SYS_exit_group, 0);
	return NULL;
}

/* Each child ends its whole process while another of its threads is making a file. */
EVASION(act_while_ending)
{
	int made = 0;
	for (int i = 0; i < 60; i++) {
		char name[32];
		sprintf(name, "made%d", i);
		pid_t child = fork();
		if (!child) {
			aside(leave, NULL);
			for (volatile int spin = 0; spin < i * 400; spin++)
				;
			syscall(SYS_mkdir, name, 0700);
			_exit(0);
		}
		outcome(child);
		made += !access(name, F_OK);
	}
	return made ? 0 : UNEXPLAINED;
}

static void *replace(void *unused)
{
	(void)unused;
	execl("/opt/bare", "bare", NULL);
	return NULL;
}

/* Likewise, while another thread runs another program. */
EVASION(act_while_replaced)
{
	int made = 0;
	for (int i = 0; i < 60; i++) {
		char name[32];
		sprintf(name, "made%d", i);
		pid_t child = fork();
		if (!child) {
			aside(replace, NULL);
			for (volatile int spin = 0; spin < i * 1000; spin++)
				;
			syscall(SYS_mkdir, name, 0700);
			pause();
		}
		outcome(child);
		made += !access(name, F_OK);
	}
	return made ? 0 : UNEXPLAINED;
}

/* ---- other processes ---- */

static volatile int touched;

/* A child that makes "mark" once its memory was changed. */
static pid_t neighbour(void)
{
	pid_t child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int ms = 0; ms < 300; ms++) {
			if (touched)
				_exit(make("mark"));
			pause_ms(1);
		}
		_exit(UNEXPLAINED);
	}
	return child;
}

/* What came of a hand laid on a neighbour. */
static int result(pid_t child, long ret)
{
	if (ret >= 0)
		return outcome(child);
	int failure = failed();
	kill(child, SIGKILL);
	outcome(child);
	return failure;
}

EVASION(process_vm_writev)
{
	int one = 1;
	struct iovec from = {&one, sizeof(one)}, to = {(void *)&touched, sizeof(touched)};
	pid_t child = neighbour();
	return result(child, process_vm_writev(child, &from, 1, &to, 1, 0));
}

EVASION(ptrace)
{
	pid_t child = neighbour();
	long ret = ptrace(PTRACE_ATTACH, child, 0, 0);
	if (ret >= 0) {
		waitpid(child, NULL, __WALL);
		ret = ptrace(PTRACE_POKEDATA, child, &touched, 1L);
		ptrace(PTRACE_DETACH, child, 0, 0);
	}
	return result(child, ret);
}

EVASION(ptrace_traceme)
{
	return check(ptrace(PTRACE_TRACEME, 0, 0, 0));
}

EVASION(memory_of_another)
{
	char name[32];
	int one = 1;
	pid_t child = neighbour();
	sprintf(name, "/proc/%d/mem", child);
	int fd = open(name, O_RDWR);
	return result(child, fd < 0 ? -1 : pwrite(fd, &one, sizeof(one), (off_t)&touched));
}

EVASION(pidfd_getfd)
{
	pid_t child = neighbour();
	int process = syscall(SYS_pidfd_open, child, 0);
	return result(child, syscall(SYS_pidfd_getfd, process, 0, 0));
}

/* Whatever is neither this process nor the first one, nor below either, is the recorder's. */
EVASION(kill_helpers)
{
	DIR *processes = opendir("/proc");
	int found = 0;
	for (struct dirent *entry; (entry = readdir(processes));) {
		pid_t pid = atoi(entry->d_name);
		if (pid > 1 && pid != getpid() && !kill(pid, SIGSTOP))
			found++;
	}
	/* And what it can't see. */
	for (pid_t pid = 2; pid < 300; pid++)
		if (pid != getpid() && (!kill(pid, SIGKILL) || errno != ESRCH))
			found++;
	return found ? make("mark") : ESRCH;
}

EVASION(kill_everything)
{
	kill(-1, SIGKILL);
	return make("mark");
}

/* ---- hiding from who looks ---- */

EVASION(not_dumpable)
{
	if (prctl(PR_SET_DUMPABLE, 0))
		return failed();
	symlink("nowhere", "victim");
	return unlink("victim") ? failed() : make("mark");
}

#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))

/* Let a filter of one's own answer a call: the listener's descriptor, where there is one. */
static int answer(int number, unsigned action, unsigned flags)
{
	struct sock_filter filter[] = {
		NUMBER,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		ALLOW,
	};
	struct sock_fprog program = {.len = 4, .filter = filter};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* A call that does nothing seems to work, and another one does it. */
EVASION(filter_that_lies)
{
	make("victim");
	pid_t child = fork();
	if (!child) {
		if (answer(SYS_mkdir, SECCOMP_RET_ERRNO, 0) < 0)
			_exit(failed());
		if (mkdir("never", 0700))
			_exit(failed());
		_exit(unlink("victim") ? failed() : make("mark"));
	}
	return outcome(child);
}

/* A tracer is asked about the call, if there is one. */
EVASION(filter_that_asks_a_tracer)
{
	if (answer(SYS_creat, SECCOMP_RET_TRACE, 0) < 0)
		return failed();
	return check(syscall(SYS_creat, "mark", 0600));
}

static void *go_on(void *listener)
{
	struct seccomp_notif asked = {0};
	if (!ioctl(*(int *)listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) {
		struct seccomp_notif_resp so = {.id = asked.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
		ioctl(*(int *)listener, SECCOMP_IOCTL_NOTIF_SEND, &so);
	}
	return NULL;
}

/* A listener of one's own lets the call go on, and goes before any tracer's filter. */
EVASION(filter_that_asks_a_listener)
{
	static int listener;
	listener = answer(SYS_creat, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (listener < 0)
		return failed();
	aside(go_on, &listener);
	return check(syscall(SYS_creat, "mark", 0600));
}

