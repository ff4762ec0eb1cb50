/* What runs out, and what is too much. */
#include "evade.h"

#include <sys/inotify.h>
#include <sys/resource.h>

/* The act itself: once the rest has run out. */
static int act(void)
{
	symlink("nowhere", "victim");
	return unlink("victim") ? failed() : make("mark");
}

EVASION(no_pids_left)
{
	pid_t children[1000];
	int n = 0;
	while (n < 1000 && (children[n] = fork()) >= 0) {
		if (!children[n])
			for (;;)
				pause();
		n++;
	}
	if (n == 1000)
		return UNEXPLAINED;
	int failure = act();
	while (n--) {
		kill(children[n], SIGKILL);
		outcome(children[n]);
	}
	return failure;
}

EVASION(no_descriptors_left)
{
	struct rlimit limit = {64, 64};
	setrlimit(RLIMIT_NOFILE, &limit);
	int last = 0;
	for (int fd; (fd = dup(0)) >= 0;)
		last = fd;
	symlink("nowhere", "victim");
	if (unlink("victim"))
		return failed();
	close(last);
	return make("mark");
}

EVASION(no_memory_left)
{
	pid_t child = fork();
	if (!child)
		for (;;)
			memset(malloc(1 << 20), 1, 1 << 20);
	if (outcome(child) != UNEXPLAINED)
		return UNEXPLAINED;
	return act();
}

EVASION(no_watches_left)
{
	while (inotify_init() >= 0)
		;
	/* A watch of all that happens here, too, changes nothing of what others see. */
	return act();
}

EVASION(watched)
{
	int fd = inotify_init();
	if (inotify_add_watch(fd, ".", IN_ALL_EVENTS) < 0)
		return failed();
	return act();
}

#define FLOODERS 4
#define CALLS 2500

EVASION(flood_of_calls)
{
	pid_t children[FLOODERS];
	char name[128];
	for (int i = 0; i < FLOODERS; i++) {
		children[i] = fork();
		if (children[i])
			continue;
		for (int j = 0; j < CALLS; j++) {
			sprintf(name, "%0100d", i * CALLS + j);
			if (j == CALLS / 2)
				sprintf(name, "victim%d", i), symlink("nowhere", name);
			unlink(name);
		}
		_exit(0);
	}
	for (int i = 0; i < FLOODERS; i++)
		outcome(children[i]);
	return make("mark");
}

EVASION(flood_of_processes)
{
	for (int i = 0; i < 200; i++) {
		pid_t child = fork();
		if (!child)
			_exit(7);
		outcome(child);
	}
	return make("mark");
}

EVASION(flood_of_output)
{
	static char much[1 << 16];
	memset(much, '\n', sizeof(much));
	for (int i = 0; i < 128; i++)
		if (write(1, much, sizeof(much)) < 0)
			return failed();
	return act();
}
