/* Names and descriptors that another thread changes while a call is at work on them. Where there is a choice of files, the
 * file "truth" says which of them it was, a line for each call. */
#include "evade.h"

#include <stdatomic.h>

#define TRIES 200
#define OPENS 1000
#define PROGRAMS 40
#define SWAPS 100

static char *name;		/* what the call is given: "a0" or "b0", "a1" … */
static atomic_int_fast32_t over, turn;

/* ---- a letter that changes all the time ---- */

static void *swap(void *unused)
{
	(void)unused;
	unsigned long pace = 0;
	while (!over) {
		*(volatile char *)name ^= 'a' ^ 'b';
		/* Fast, slow and in between: a call lasts some microseconds. */
		for (volatile unsigned long spin = 0; spin < (pace & 0x3ff); spin++)
			;
		pace = pace * 5 + 1;
	}
	return NULL;
}

/* Do `act` for each number while the letter changes; `found` tells the letter that the kernel saw. */
static int try_all(long (*act)(int), char (*found)(int, long))
{
	FILE *truth = fopen("truth", "w");
	char made[16];
	name = calloc(1, 64);
	*name = 'a';
	for (int i = 0; i < TRIES; i++)
		for (char letter = 'a'; letter <= 'b'; letter++) {
			sprintf(made, "%c%d", letter, i);
			make_with(made, made);
		}
	aside(swap, NULL);
	for (int i = 0; i < TRIES; i++) {
		sprintf(name + 1, "%d", i);
		long ret = act(i);
		if (ret < 0) {
			over = 1;
			return failed();
		}
		fprintf(truth, "%c%d\n", found(i, ret), i);
	}
	over = 1;
	fclose(truth);
	return make("mark");
}

static int is_there(char letter, int i)
{
	char path[16];
	sprintf(path, "%c%d", letter, i);
	return !access(path, F_OK);
}

static char gone(int i, long ret)
{
	(void)ret;
	return is_there('a', i) ? 'b' : 'a';
}

static long try_unlink(int i)
{
	(void)i;
	return syscall(SYS_unlink, name);
}

EVASION(unlink_of_a_changing_name)
{
	return try_all(try_unlink, gone);
}

static long try_rename(int i)
{
	char to[16];
	sprintf(to, "to%d", i);
	return syscall(SYS_rename, name, to);
}

EVASION(rename_of_a_changing_name)
{
	return try_all(try_rename, gone);
}

static long try_open(int i)
{
	(void)i;
	return syscall(SYS_open, name, O_RDONLY);
}

static char opened(int i, long fd)
{
	char letter = 0;
	(void)i;
	if (read(fd, &letter, 1) != 1)
		letter = '?';
	close(fd);
	return letter;
}

EVASION(open_of_a_changing_name)
{
	return try_all(try_open, opened);
}

/* ---- a program ---- */

static void *swap_fast(void *unused)
{
	(void)unused;
	while (!over)
		*(volatile char *)name ^= 'a' ^ 'b';
	return NULL;
}

/* Which of two programs runs; the one makes "mark". */
EVASION(exec_of_a_changing_name)
{
	FILE *truth = fopen("truth", "w");
	char *argv[] = {"program", NULL};
	name = calloc(1, 64);
	strcpy(name, "a");
	if (symlink("/opt/bare", "a") || symlink("/usr/bin/true", "b"))
		return failed();
	aside(swap_fast, NULL);
	for (int i = 0; i < PROGRAMS; i++) {
		pid_t child = vfork();
		if (!child) {
			execv(name, argv);
			_exit(failed());
		}
		int failure = outcome(child);
		if (failure)
			return failure;
		fprintf(truth, "%s\n", unlink("mark") ? "/usr/bin/true" : "/opt/bare");
	}
	over = 1;
	fclose(truth);
	return make("mark");
}

/* ---- a folder that is another one every moment ---- */

static void *exchange(void *unused)
{
	(void)unused;
	while (!over)
		renameat2(AT_FDCWD, "here", AT_FDCWD, "there", RENAME_EXCHANGE);
	return NULL;
}

EVASION(folder_exchanged_meanwhile)
{
	char path[32];
	mkdir("one", 0700);
	mkdir("other", 0700);
	if (symlink("one", "here") || symlink("other", "there"))
		return failed();
	for (int i = 0; i < SWAPS; i++)
		for (int folder = 0; folder < 2; folder++) {
			sprintf(path, "%s/%d", folder ? "one" : "other", i);
			make(path);
		}
	aside(exchange, NULL);
	for (int i = 0; i < SWAPS; i++) {
		sprintf(path, "here/%d", i);
		if (unlink(path) && errno != ENOENT)
			return failed();
	}
	over = 1;
	pause_ms(5);
	return make("mark");
}

/* ---- a descriptor that another thread puts something else in the place of ---- */

#define PLACE 20

static void *take_place(void *with)
{
	int decoy = open("decoy", O_RDONLY);
	for (long seen = 0, now; !over; seen = now) {
		while ((now = turn) == seen)
			if (over)
				return NULL;
		for (volatile long spin = 0; spin < now % 200 * 8; spin++)
			;
		if (with)
			dup2(decoy, PLACE);
		else
			close(PLACE);
	}
	return NULL;
}

static int open_beside(void *with)
{
	FILE *truth = fopen("truth", "w");
	char path[16];
	make("decoy");
	make("secret");
	while (dup(0) < PLACE - 1)
		;
	aside(take_place, with);
	pause_ms(5);
	for (int i = 1; i <= OPENS; i++) {
		close(PLACE);
		sprintf(path, "s%d", i);
		link("secret", path);
		turn = i;
		int fd = syscall(SYS_open, path, O_RDONLY);
		if (fd >= 0)
			fprintf(truth, "%s\n", path);
		if (fd > PLACE)
			close(fd);
		unlink(path);
	}
	over = 1;
	fclose(truth);
	return make("mark");
}

EVASION(descriptor_closed_at_once)
{
	return open_beside(NULL);
}

EVASION(descriptor_replaced_at_once)
{
	return open_beside((void *)1);
}

/* ---- a call that is held up: truncate(2) waits for the end of a lease ---- */

#define PAGE 4096

static int lease;
static void (*meanwhile)(void);

static void *hold_up(void *unused)
{
	(void)unused;
	while (fcntl(lease, F_GETLEASE) == F_RDLCK)
		pause_ms(1);
	meanwhile();
	fcntl(lease, F_SETLEASE, F_UNLCK);
	return NULL;
}

static int truncate_meanwhile(void (*change)(void))
{
	struct stat status;
	make_with("victim", "text");
	make_with("decoy", "text");
	lease = open("victim", O_RDONLY);
	/* Nobody is told by a signal, which would make the call begin anew, under a tracer. */
	if (fcntl(lease, F_SETLEASE, F_RDLCK) || fcntl(lease, F_SETOWN, 0))
		return failed();
	meanwhile = change;
	aside(hold_up, NULL);
	if (truncate(name, 0))
		return failed();
	return stat("victim", &status) || status.st_size ? UNEXPLAINED : make("mark");
}

static void change_memory(void)
{
	strcpy(name, "decoy");
}

static void hide_memory(void)
{
	mprotect(name, PAGE, PROT_NONE);
}

static void change_file(void)
{
	int fd = open("names", O_WRONLY);
	if (pwrite(fd, "decoy\0", 6, 0) < 0)
		_exit(UNEXPLAINED);
	close(fd);
}

static void name_in_memory(int flags)
{
	name = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	strcpy(name, "victim");
}

static void name_in_file(void)
{
	make_with("names", "victim");
	name = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open("names", O_RDONLY), 0);
}

EVASION(name_changed_meanwhile)
{
	name_in_memory(MAP_PRIVATE);
	return truncate_meanwhile(change_memory);
}

EVASION(name_hidden_meanwhile)
{
	name_in_memory(MAP_PRIVATE);
	return truncate_meanwhile(hide_memory);
}

/* Before the call the page is not there, so that nothing can be compared. */
EVASION(unread_name_changed_meanwhile)
{
	name_in_file();
	return truncate_meanwhile(change_file);
}

EVASION(unread_name_hidden_meanwhile)
{
	name_in_file();
	return truncate_meanwhile(hide_memory);
}

/* By another process, which has the memory in common. */
static void change_by_another(void)
{
	pid_t child = fork();
	if (!child) {
		strcpy(name, "decoy");
		_exit(0);
	}
	outcome(child);
}

EVASION(shared_name_changed_meanwhile)
{
	name_in_memory(MAP_SHARED);
	return truncate_meanwhile(change_by_another);
}
