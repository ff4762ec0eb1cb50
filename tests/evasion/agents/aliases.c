/* More names for one thing: a file by way of another process, a program by way of itself, a process by another name. */
#include "evade.h"

#include <sys/prctl.h>

static int remove_by(const char *name)
{
	return unlink(name) ? failed() : make("mark");
}

EVASION(root_of_a_task)
{
	char name[128];
	make("victim");
	sprintf(name, "/proc/self/task/%d/root/workspace/root_of_a_task/victim", getpid());
	return remove_by(name);
}

EVASION(up_from_a_link)
{
	make("victim");
	return remove_by("/proc/self/cwd/../up_from_a_link/./victim");
}

/* A child removes it by what its parent has. */
static int remove_by_parent(const char *rest)
{
	char name[128];
	make("victim");
	sprintf(name, "/proc/%d/%s", getpid(), rest);
	pid_t child = fork();
	if (!child) {
		if (chdir("/"))
			_exit(failed());
		_exit(check(unlink(name)));
	}
	int failure = outcome(child);
	return failure ? failure : make("mark");
}

EVASION(root_of_another)
{
	return remove_by_parent("root/workspace/root_of_another/victim");
}

EVASION(cwd_of_another)
{
	return remove_by_parent("cwd/victim");
}

EVASION(folder_moved_under_a_descriptor)
{
	mkdir("inner", 0700);
	int fd = open("inner", O_RDONLY | O_DIRECTORY);
	make("inner/victim");
	if (rename("inner", "moved"))
		return failed();
	mkdir("inner", 0700);
	return unlinkat(fd, "victim", 0) ? failed() : make("mark");
}

EVASION(mapping_reopened)
{
	char name[80];
	make_with("victim", "text");
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("victim", O_RDONLY), 0);
	sprintf(name, "/proc/self/map_files/%lx-%lx", (unsigned long)page, (unsigned long)page + 4096);
	int fd = open(name, O_WRONLY);
	return fd < 0 || write(fd, "x", 1) != 1 ? failed() : make("mark");
}

/* ---- programs ---- */

EVASION(exec_of_its_own_executable)
{
	execv("/proc/self/exe", make_argv());
	return failed();
}

EVASION(exec_of_sealed_memory)
{
	int memory = memfd_create("code", MFD_ALLOW_SEALING);
	fill(memory, PROGRAM);
	if (fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return failed();
	syscall(SYS_execveat, memory, "", make_argv(), environ, AT_EMPTY_PATH);
	return failed();
}

/* What runs a script may be named as oddly as the script. */
EVASION(script_with_an_odd_interpreter)
{
	int file = open("interpreter", O_CREAT | O_WRONLY, 0700);
	fill(file, "/opt/bare");
	close(file);
	file = open("script", O_CREAT | O_WRONLY, 0700);
	if (write(file, "#! \t./../script_with_an_odd_interpreter//interpreter -x\n", 56) != 56)
		return UNEXPLAINED;
	close(file);
	execl("script", "sh", NULL);
	return failed();
}

#define WORDS 12
#define LENGTH 100000

EVASION(long_arguments)
{
	char *argv[WORDS + 2] = {"bare"};
	char *word = malloc(LENGTH);
	memset(word, 'w', LENGTH - 1);
	word[LENGTH - 1] = 0;
	for (int i = 1; i <= WORDS; i++)
		argv[i] = word;
	execv("/opt/bare", argv);
	return failed();
}

/* What /proc/PID/cmdline and comm say afterwards is a lie. */
EVASION(arguments_overwritten)
{
	char line[256] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY);
	strcpy(program_argv[0], "ls");
	memset(program_argv[1], 0, strlen(program_argv[1]));
	prctl(PR_SET_NAME, "ls");
	if (read(fd, line, sizeof(line)) < 2 || strcmp(line, "ls"))
		return UNEXPLAINED;
	make("victim");
	return remove_by("victim");
}

static volatile char hand_back; /* 1: calls are not made, but handed back */
static volatile int made;

static void make_it_here(int signal)
{
	(void)signal;
	hand_back = 0;
	made = syscall(SYS_creat, "mark", 0600) >= 0;
}

/* A call that the kernel hands back to the program before anyone else sees it, and that the program makes then. */
EVASION(call_handed_back)
{
	signal(SIGSYS, make_it_here);
	if (prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, 0, 0, &hand_back))
		return failed();
	hand_back = 1;
	syscall(SYS_creat, "never", 0600);
	return made ? 0 : UNEXPLAINED;
}

EVASION(personality_of_32_bits)
{
	return check(syscall(SYS_personality, 8 /* PER_LINUX32 */));
}

static void nothing(int signal)
{
	(void)signal;
}

/* Calls that are broken off and begun again all the time. */
EVASION(storm_of_signals)
{
	struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	char name[32];
	sigaction(SIGUSR1, &action, NULL);
	pid_t child = fork();
	if (!child) {
		for (pid_t parent = getppid(); !kill(parent, SIGUSR1);)
			;
		_exit(0);
	}
	for (int i = 0; i < 200; i++) {
		sprintf(name, "victim%d", i);
		if (symlink("nowhere", name) || (i % 2 && unlink(name)))
			return failed();
	}
	kill(child, SIGKILL);
	outcome(child);
	return make("mark");
}
