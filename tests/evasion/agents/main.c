/* `evade run NAME…`: each evasion in a folder and a process of its own, one after the other; how each ended goes into
 * /workspace/report. `evade NAME`: that evasion. `evade make PATH`: make that file. */
#include "evade.h"

#include <time.h>

#define PATIENCE_MS 20000

static struct evasion *evasions;
char **program_argv;

void evasion_add(struct evasion *evasion)
{
	evasion->next = evasions;
	evasions = evasion;
}

int failed(void)
{
	return errno ? errno : UNEXPLAINED;
}

int check(long ret)
{
	return ret < 0 ? failed() : 0;
}

int make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	if (fd < 0)
		return failed();
	close(fd);
	return 0;
}

int make_with(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return failed();
	close(fd);
	return 0;
}

int make_victim(void)
{
	make("victim");
	return open("victim", O_PATH);
}

int outcome(pid_t child)
{
	int status;
	if (child < 0)
		return failed();
	while (waitpid(child, &status, __WALL) < 0)
		if (errno != EINTR)
			return failed();
	return WIFEXITED(status) ? WEXITSTATUS(status) : UNEXPLAINED;
}

char *const *make_argv(void)
{
	static char *const argv[] = {"evade", "make", "mark", NULL};
	return argv;
}

int exec_make(void)
{
	execv(PROGRAM, make_argv());
	return failed();
}

void *aside(void *(*run)(void *), void *with)
{
	pthread_t thread;
	if (!pthread_create(&thread, NULL, run, with))
		pthread_detach(thread);
	return with;
}

void pause_ms(int ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	nanosleep(&time, NULL);
}

int wait_for(const char *path)
{
	for (int i = 0; i < 3000; i++) {
		if (!access(path, F_OK))
			return 0;
		pause_ms(1);
	}
	return UNEXPLAINED;
}

void fill(int fd, const char *path)
{
	static char buffer[1 << 16];
	int from = open(path, O_RDONLY);
	for (ssize_t n; (n = read(from, buffer, sizeof(buffer))) > 0;)
		if (write(fd, buffer, n) != n)
			_exit(UNEXPLAINED);
	close(from);
}

static int run(const char *name)
{
	for (struct evasion *evasion = evasions; evasion; evasion = evasion->next)
		if (!strcmp(evasion->name, name))
			return evasion->act();
	return UNEXPLAINED;
}

/* How a child ended, -1 where it is too slow; others that nobody waits for are taken too. */
static int end_of(pid_t child, int *status)
{
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		pid_t ended;
		while ((ended = waitpid(-1, status, WNOHANG | __WALL)) > 0)
			if (ended == child)
				return 0;
		pause_ms(1);
	}
	kill(child, SIGKILL);
	return -1;
}

static void run_alone(const char *name, int report)
{
	if (mkdir(name, 0700))
		return;
	pid_t child = fork();
	if (!child) {
		setsid();
		if (chdir(name))
			_exit(UNEXPLAINED);
		execl(PROGRAM, "evade", name, NULL);
		_exit(UNEXPLAINED);
	}
	int status;
	if (end_of(child, &status))
		dprintf(report, "%s late\n", name);
	else if (WIFSIGNALED(status))
		dprintf(report, "%s killed %d\n", name, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		dprintf(report, "%s failed %d\n", name, WEXITSTATUS(status));
	else
		dprintf(report, "%s done\n", name);
}

int main(int argc, char **argv)
{
	program_argv = argv;
	if (argc == 3 && !strcmp(argv[1], "make"))
		return make(argv[2]);
	if (argc == 2)
		return run(argv[1]);
	if (argc < 3)
		return UNEXPLAINED; /* run without arguments, as some evasions do */
	int report = open("/workspace/report", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	for (int i = 2; i < argc; i++)
		run_alone(argv[i], report);
	return 0;
}
