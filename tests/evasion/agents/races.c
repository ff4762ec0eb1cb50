/* Names and descriptors that another thread changes while a call is at work on them. Where there is a choice of files, the
 * file "truth" says which of them it was, a line for each call. */
#include "evade.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

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
	/* Nobody is told by a signal, which would make the call start again, under a tracer. */
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

/* ---- a message that is held up: its receiver has no room until another thread has changed what it says ---- */

static int receiver;
static struct mailbox {
	struct sockaddr_un to[3];
	struct mmsghdr messages[3];
	struct iovec data;
} *box;

static struct sockaddr_un abstract(const char *letter)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	address.sun_path[1] = *letter;
	return address;
}

#define ABSTRACT_LENGTH (offsetof(struct sockaddr_un, sun_path) + 2)

static void *make_room(void *unused)
{
	char byte;
	(void)unused;
	pause_ms(50);
	meanwhile();
	while (recv(receiver, &byte, 1, MSG_DONTWAIT) > 0)
		;
	return NULL;
}

/* A sender to @r, which is full, with messages for @r, @t and @r. */
static int full_sender(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), third = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct sockaddr_un r = abstract("r"), t = abstract("t");
	receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (bind(receiver, (void *)&r, ABSTRACT_LENGTH) || bind(third, (void *)&t, ABSTRACT_LENGTH))
		return -1;
	int sent = 0;
	while (sent < 1000 && sendto(fd, "x", 1, MSG_DONTWAIT, (void *)&r, ABSTRACT_LENGTH) == 1)
		sent++;
	if (sent == 1000) { /* it takes too many to hold a sender up */
		errno = ENOTSUP;
		return -1;
	}
	box = mmap(NULL, sizeof(*box), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	box->data = (struct iovec){"x", 1};
	for (int i = 0; i < 3; i++) {
		box->to[i] = i == 1 ? t : r;
		box->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &box->to[i], .msg_namelen = ABSTRACT_LENGTH, .msg_iov = &box->data, .msg_iovlen = 1};
	}
	return fd;
}

static int send_meanwhile(void (*change)(void))
{
	int fd = full_sender();
	if (fd < 0)
		return failed();
	meanwhile = change;
	aside(make_room, NULL);
	make_with("truth", "@r\n");
	return sendmsg(fd, &box->messages[0].msg_hdr, 0) == 1 ? make("mark") : failed();
}

static void change_address(void)
{
	box->to[0].sun_path[1] = 'd';
}

EVASION(address_changed_meanwhile)
{
	return send_meanwhile(change_address);
}

static void take_address_away(void)
{
	box->messages[0].msg_hdr.msg_name = NULL;
}

EVASION(address_taken_away_meanwhile)
{
	return send_meanwhile(take_address_away);
}

static void hide_message(void)
{
	munmap(box, sizeof(*box));
}

EVASION(message_unmapped_meanwhile)
{
	return send_meanwhile(hide_message);
}

/* The second message of several is another one while the first is held up, and is put back as the third is: before the
 * call and after it all is the same. */
static void *put_back(void *unused)
{
	char byte;
	(void)unused;
	pause_ms(50);
	box->to[1] = abstract("d");
	recv(receiver, &byte, 1, 0);
	pause_ms(50);
	box->to[1] = abstract("t");
	while (recv(receiver, &byte, 1, MSG_DONTWAIT) > 0)
		;
	return NULL;
}

EVASION(second_address_changed_and_back)
{
	int fd = full_sender(), other = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct sockaddr_un d = abstract("d");
	if (fd < 0 || bind(other, (void *)&d, ABSTRACT_LENGTH))
		return failed();
	aside(put_back, NULL);
	make_with("truth", "@r\n@d\n");
	if (sendmmsg(fd, box->messages, 3, 0) != 3)
		return failed();
	char byte;
	return recv(other, &byte, 1, MSG_DONTWAIT) == 1 ? make("mark") : UNEXPLAINED;
}

/* The header is on a page that the call reads first, and another process puts another one there meanwhile. */
EVASION(unread_message_changed_meanwhile)
{
	int fd = full_sender();
	if (fd < 0)
		return failed();
	int file = open("messages", O_RDWR | O_CREAT, 0600);
	if (write(file, box, sizeof(*box)) < 0)
		return failed();
	struct mailbox *copy = mmap(NULL, sizeof(*copy), PROT_READ, MAP_PRIVATE, file, 0);
	meanwhile = change_address;
	aside(make_room, NULL);
	make_with("truth", "@r\n");
	return sendmsg(fd, &copy->messages[0].msg_hdr, 0) == 1 ? make("mark") : failed();
}

/* A socket is another one by the end of the call. */
static void change_socket(void)
{
	dup2(receiver, PLACE);
}

EVASION(socket_replaced_meanwhile)
{
	int fd = full_sender();
	if (fd < 0 || dup2(fd, PLACE) < 0)
		return failed();
	meanwhile = change_socket;
	aside(make_room, NULL);
	make_with("truth", "@r\n");
	return sendto(PLACE, "x", 1, 0, (void *)&box->to[0], ABSTRACT_LENGTH) == 1 ? make("mark") : failed();
}
