/* conform all CASE…: runs each case, one after the other. conform CASE: is one. conform nothing: ends at once. */
#include "conform.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static struct program *programs;

void add(struct program *program)
{
	program->next = programs;
	programs = program;
}

static void give_up(const char *call, int number)
{
	dprintf(2, "%s: %s\n", call, strerror(number));
	_exit(number == ENOSYS || number == EOPNOTSUPP ? ABSENT : 1);
}

long done(long result, const char *call)
{
	if (result == -1)
		give_up(call, errno);
	return result;
}

void failed(long result, int number, const char *call)
{
	if (result != -1)
		give_up(call, 0);
	if (number && errno != number)
		give_up(call, errno);
}

int waiting_child(void)
{
	int ends[2];
	char byte = 'x';
	DO(pipe(ends));
	int pid = DO(fork());
	if (!pid) {
		DO(write(ends[1], &byte, 1));
		for (;;)
			pause();
	}
	DO(read(ends[0], &byte, 1));
	return pid;
}

void in_thread(int (*run)(void *), void *with)
{
	static char stack[1 << 16] __attribute__((aligned(16)));
	static volatile pid_t there;
	there = 1;
	DO(clone(run, stack + sizeof(stack),
		 CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_SYSVSEM | CLONE_THREAD | CLONE_CHILD_CLEARTID, with,
		 NULL, NULL, (void *)&there));
	while (there)
		usleep(1000);
}

static struct program *find(const char *name)
{
	for (struct program *p = programs; p; p = p->next)
		if (!strcmp(p->name, name))
			return p;
	dprintf(2, "%s: no such case\n", name);
	_exit(1);
}

static void put(const char *name, const char *text, int mode)
{
	int fd = DO(open(name, O_CREAT | O_WRONLY, mode));
	DO(write(fd, text, strlen(text)));
	DO(close(fd));
}

static void move(int from, int to)
{
	DO(dup2(from, to));
	DO(close(from));
}

static void prepare(const char *name)
{
	DO(mkdir(name, 0755));
	DO(chdir(name));
	put("file", "x\n", 0644);
	DO(mkdir("folder", 0755));
	put("folder/inner", "x\n", 0644);
	DO(symlink("file", "link"));
	DO(symlink("folder", "folderlink"));
	DO(symlink("nowhere", "dangling"));
	put("script", "#!" PROGRAM " nothing\n", 0755);
	put("text", "x\n", 0755);
	move(DO(open(".", O_RDONLY | O_DIRECTORY)), HERE);
	move(DO(open("folder", O_RDONLY | O_DIRECTORY)), FOLDER);
	move(DO(open("file", O_RDWR)), FILE_);
}

static int play(const char *name)
{
	struct program *program = find(name);
	int status, pid = DO(fork());
	if (!pid) {
		char *argv[] = {"conform", (char *)name, NULL};
		prepare(name);
		if (program->before)
			program->before();
		DO(execv(PROGRAM, argv));
	}
	DO(waitpid(pid, &status, 0));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc == 2) {
		find(argv[1])->run();
		return 0;
	}
	for (int i = 2; i < argc; i++) {
		int status = play(argv[i]);
		dprintf(1, "%s %d\n", argv[i], status);
	}
	return 0;
}
