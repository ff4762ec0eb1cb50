/* Small programs, one a case. Each runs in a process of its own that was just executed as `conform CASE`, in a folder of
 * its own that holds what main.c's prepare() makes; what it does from then on must be in the record, and no more. */
#ifndef CONFORM_H
#define CONFORM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Descriptors that each case starts with: its folder, the folder `folder` in it, `file` for reading and writing. */
enum { HERE = 10, FOLDER, FILE_ };

/* Where this program lies in the sandbox; in the same folder is `old`, a symlink to /workspace that was there before. */
#define PROGRAM "/opt/conform"

struct program {
	const char *name;
	void (*run)(void);
	void (*before)(void); /* in the same process, before its exec */
	struct program *next;
};

void add(struct program *program);

/* The result of a call that must succeed, or must fail so (0: for whatever reason); where it does not, the case ends with
 * status 1, and with ABSENT where the kernel does not have the call. */
#define ABSENT 77
long done(long result, const char *call);
void failed(long result, int number, const char *call);

#define DO(call) done((call), #call)
#define FAILS(call, number) failed((call), number, #call)
#define REFUSED(call) failed((call), 0, #call)

/* A child that is at work and waits to be killed. */
int waiting_child(void);

/* Run a function in a thread, made with clone(2): a C library's would try clone3(2) first. Returns when it is gone. */
void in_thread(int (*run)(void *), void *with);

#define CASE_AFTER(name, before)                                                                                       \
	static void name(void);                                                                                        \
	__attribute__((constructor)) static void add_##name(void)                                                      \
	{                                                                                                              \
		static struct program program = {#name, name, before, NULL};                                           \
		add(&program);                                                                                         \
	}                                                                                                              \
	static void name(void)
#define CASE(name) CASE_AFTER(name, NULL)

/* Calls that the headers of Debian 12 have no number for. */
#define NR_fchmodat2 452
#define NR_setxattrat 463
#define NR_removexattrat 466
#define NR_file_setattr 469

#endif
