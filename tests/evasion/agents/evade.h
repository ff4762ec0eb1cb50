/* What the evasions share. Each works in a folder of its own, its working directory, and tries one act, which leaves the
 * file "mark" behind (or takes "victim" away). It answers 0 where the act was done, else why not: an errno. */
#ifndef EVADE_H
#define EVADE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNEXPLAINED 254 /* it did not work, and no call said why */

struct evasion {
	const char *name;
	int (*act)(void);
	struct evasion *next;
};

void evasion_add(struct evasion *evasion);

/* Defines an evasion by its name: EVASION(name) { … } */
#define EVASION(NAME)                                                               \
	static int act_##NAME(void);                                                \
	static struct evasion evasion_##NAME = {.name = #NAME, .act = act_##NAME};  \
	__attribute__((constructor)) static void add_##NAME(void)                   \
	{                                                                           \
		evasion_add(&evasion_##NAME);                                       \
	}                                                                           \
	static int act_##NAME(void)

int failed(void);			      /* errno, never 0 */
int check(long ret);			      /* 0 where a call succeeded, else failed() */
int make(const char *path);		      /* make a file */
int make_with(const char *path, const char *text);
int make_victim(void);			      /* a file "victim" to be acted on: its descriptor, O_PATH */
int outcome(pid_t child);		      /* wait for a child: its exit status, as an act's answer */
int exec_make(void);			      /* run this program again so that it makes "mark"; returns only where it fails */
char *const *make_argv(void);		      /* its argv */
void *aside(void *(*run)(void *), void *with); /* run beside, as a thread that nobody waits for */
int wait_for(const char *path);		      /* until a file is there */
void pause_ms(int ms);
void fill(int fd, const char *path);	      /* copy a file into an open one */

extern char **program_argv; /* this program's arguments, where the kernel put them */

#define PROGRAM "/opt/evade"

#endif
