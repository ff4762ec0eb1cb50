/* Programs, processes, their ends, and signals. */
#include "conform.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char *const NONE[] = {NULL};
static char *const NOTHING[] = {"again", "nothing", NULL};

/* ---- exec ---- */

CASE(execve_) { DO(syscall(SYS_execve, PROGRAM, NOTHING, NONE)); }
CASE(execve_relative)
{
	DO(chdir("/opt"));
	DO(syscall(SYS_execve, "./conform", NOTHING, NONE));
}
CASE(execve_symlink)
{
	DO(syscall(SYS_symlink, PROGRAM, "program"));
	DO(syscall(SYS_execve, "program", NOTHING, NONE));
}
CASE(execve_script)
{
	char *const argv[] = {"ignored", "two words", "new\nline", NULL};
	DO(syscall(SYS_execve, "./script", argv, NONE));
}
CASE(execve_own_executable) { DO(syscall(SYS_execve, "/proc/self/exe", NOTHING, NONE)); }
CASE(execve_fails)
{
	FAILS(syscall(SYS_execve, "missing", NOTHING, NONE), ENOENT);
	FAILS(syscall(SYS_execve, "file", NOTHING, NONE), EACCES);
	FAILS(syscall(SYS_execve, "text", NOTHING, NONE), ENOEXEC);
	FAILS(syscall(SYS_execve, "folder", NOTHING, NONE), EACCES);
}
CASE(execve_words)
{
	char *const argv[] = {"again", "nothing", "", "two words", "new\nline", "\xff\xfe", "\"quoted\\", NULL};
	DO(syscall(SYS_execve, PROGRAM, argv, NONE));
}
CASE(execve_long_word)
{
	static char word[6001];
	char *const argv[] = {"again", "nothing", word, NULL};
	memset(word, 'w', 6000);
	DO(syscall(SYS_execve, PROGRAM, argv, NONE));
}
static void exec_words(int number)
{
	static char *argv[20003];
	argv[0] = "again";
	argv[1] = "nothing";
	for (int i = 2; i < number + 2; i++)
		argv[i] = "0123456789";
	DO(syscall(SYS_execve, PROGRAM, argv, NONE));
}
CASE(execve_many_words) { exec_words(5000); }
CASE(execve_very_many_words) { exec_words(20000); }
CASE(execveat_)
{
	int folder = DO(syscall(SYS_open, "/opt", O_PATH));
	DO(syscall(SYS_execveat, folder, "conform", NOTHING, NONE, 0));
}
CASE(execveat_fails)
{
	FAILS(syscall(SYS_execveat, FOLDER, "missing", NOTHING, NONE, 0), ENOENT);
	FAILS(syscall(SYS_execveat, FILE_, "", NOTHING, NONE, AT_EMPTY_PATH), EACCES);
}
CASE(fexecve_)
{
	int fd = DO(syscall(SYS_open, PROGRAM, O_RDONLY));
	DO(syscall(SYS_execveat, fd, "", NOTHING, NONE, AT_EMPTY_PATH));
}
CASE(exec_of_memfd)
{
	int memory = DO(syscall(SYS_memfd_create, "code", 0)), program = DO(syscall(SYS_open, PROGRAM, O_RDONLY));
	char bytes[65536];
	for (ssize_t n; (n = DO(read(program, bytes, sizeof(bytes)))) > 0;)
		DO(write(memory, bytes, n));
	DO(syscall(SYS_execveat, memory, "", NOTHING, NONE, AT_EMPTY_PATH));
}
static int exec_in_thread(void *program) { return DO(syscall(SYS_execve, program, NOTHING, NONE)); }
CASE(execve_by_a_thread) { in_thread(exec_in_thread, PROGRAM); }

/* A program of another language, whose own start makes many more rows. */
CASE(python)
{
	char *const argv[] = {"python3", "-ISB", "/opt/standard_library.py", NULL};
	DO(syscall(SYS_execve, "/usr/bin/python3", argv, NONE));
}

/* ---- processes and their ends ---- */

static void end(int pid)
{
	if (!pid)
		syscall(SYS_exit_group, 7);
	DO(waitpid(pid, NULL, 0));
}
CASE(fork_) { end(DO(syscall(SYS_fork))); }
CASE(vfork_)
{
	int pid = DO(vfork());
	if (!pid)
		_exit(7);
	DO(waitpid(pid, NULL, 0));
}
CASE(clone_) { end(DO(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))); }
CASE(clone3_)
{
	struct clone_args {
		unsigned long flags, pidfd, child, parent, exit_signal, rest[6];
	} args = {.exit_signal = SIGCHLD};
	end(DO(syscall(SYS_clone3, &args, sizeof(args))));
}
static int make_folder(void *name) { return DO(syscall(SYS_mkdir, name, 0700)); }
CASE(thread_) { in_thread(make_folder, "made"); }
static int change_folder(void *name) { return DO(syscall(SYS_chdir, name)); }
CASE(thread_chdir)
{
	in_thread(change_folder, "folder");
	DO(syscall(SYS_mkdir, "made", 0700));
}
static int fork_in_thread(void *none)
{
	(void)none;
	end(DO(syscall(SYS_fork)));
	return 0;
}
CASE(fork_by_a_thread) { in_thread(fork_in_thread, NULL); }
CASE(fork_fails)
{
	struct rlimit none = {0, 0};
	DO(setrlimit(RLIMIT_NPROC, &none));
	FAILS(syscall(SYS_fork), EAGAIN);
}
CASE(fork_twice_with_setsid)
{
	int ends[2];
	char byte;
	DO(pipe(ends));
	int pid = DO(fork());
	if (!pid) {
		DO(setsid());
		if (!DO(fork())) {
			DO(syscall(SYS_mkdir, "late", 0700));
			_exit(0);
		}
		_exit(0);
	}
	DO(waitpid(pid, NULL, 0));
	/* Until the grandchild has ended too. */
	DO(close(ends[1]));
	DO(read(ends[0], &byte, 1));
}
CASE(exit_) { syscall(SYS_exit, 5); }
CASE(exit_group_) { syscall(SYS_exit_group, 258); }
static int exit_all(void *none)
{
	(void)none;
	return syscall(SYS_exit_group, 9);
}
CASE(exit_group_by_a_thread) { in_thread(exit_all, NULL); }
CASE(exit_by_signal) { abort(); }
CASE(exit_by_fault)
{
	struct rlimit none = {0, 0};
	DO(setrlimit(RLIMIT_CORE, &none));
	*(volatile char *)8 = 0;
}

/* ---- signals ---- */

CASE(kill_)
{
	int pid = waiting_child();
	DO(syscall(SYS_kill, pid, SIGKILL));
	DO(waitpid(pid, NULL, 0));
}
CASE(kill_self) { syscall(SYS_kill, getpid(), SIGKILL); }
CASE(kill_group) { DO(syscall(SYS_kill, 0, 0)); }
CASE(kill_missing) { FAILS(syscall(SYS_kill, 99999, SIGTERM), ESRCH); }
CASE(tkill_) { DO(syscall(SYS_tkill, gettid(), 0)); }
CASE(tgkill_) { DO(syscall(SYS_tgkill, getpid(), gettid(), 0)); }
static siginfo_t information(void)
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
	DO(signal(SIGUSR1, SIG_IGN) == SIG_ERR ? -1 : 0);
	info.si_pid = getpid();
	info.si_uid = getuid();
	return info;
}
CASE(rt_sigqueueinfo_)
{
	siginfo_t info = information();
	DO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
}
CASE(rt_tgsigqueueinfo_)
{
	siginfo_t info = information();
	DO(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
}
CASE(pidfd_send_signal_)
{
	/* There is no pidfd_open here; a folder of /proc does as well. */
	int self = DO(open("/proc/self", O_RDONLY | O_DIRECTORY));
	DO(syscall(SYS_pidfd_send_signal, self, 0, NULL, 0));
}

/* ---- memory that is executed or shared ---- */

CASE(memfd_create_) { DO(syscall(SYS_memfd_create, "a name", MFD_CLOEXEC)); }
CASE(memfd_secret_) { DO(syscall(SYS_memfd_secret, 0)); }
