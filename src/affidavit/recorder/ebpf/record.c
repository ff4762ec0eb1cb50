/* affidavit-record: records one sandbox. Loads the BPF programs, turns what they hand over into columns.
 *
 * Standard input is a stream socket. It reads orders of two uint32: {'P', milliseconds} attach the programs, a sandbox is
 * being made whose batches are to be so old at most, {'T', pid} track this process from now on, {'S', 0} the sandbox has
 * no process left. Attached programs cost every system call of the machine a little, so they are not before they are
 * needed. It writes frames: two uint32 {kind, length}, then `length` bytes:
 *   'R' loaded: two uint32, after how many milliseconds and which programs (enum programs); 'P' attached; 'A' tracking; 'E' text of an error, the end;
 *   'N' a process entered the sandbox: two uint32, itself and who made it;
 *   'B' a batch; 'F' totals and counts, the end.
 * 'B' and 'F' begin with a uint32 number of rows, a uint32 number of buffers and for each a uint64 offset (from the
 * start of the payload, a multiple of 8) and a uint64 length. See send_batch and send_end for the order of the buffers. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "columns.h"
#include "record.h"
#include "resolve.h"
#include "record.skel.h"

#define POLL_MS 20
#define BATCH_ROWS 16384
#define BATCH_BYTES (16 << 20)
#define QUEUE_BYTES (64 << 20) /* unread by the other side; then the ring buffer is left to fill */
#define END_WAIT_MS 2000        /* for the last tasks to end, after the sandbox is said to have none */
#define COUNT_ROWS (8 << 20)
#define PIDS (4 << 20) /* PID_MAX_LIMIT */
#define PENDING 256 /* tasks that run execve at the same moment: no more than there are processors */

/* The programs in the kernel: fields are read by loads, or one by one by a helper; without one at the end of a send. */
enum programs { BY_LOADS, BY_HELPER, BY_HELPER_WITHOUT_SENDS };

struct exe {
	uint32_t users, length;
	char text[];
};

/* The same programs for kernels that are older, of another translation unit, since its skeleton has the same names. */
struct record_bpf *open_older(void);

static struct record_bpf *skeleton;
static struct buffer queue;
static size_t sent;
static int root_fd = -1;
static struct exe **exes; /* by pid */
static uint32_t runtime_pid; /* the process to be recorded, until it has become something else */
static uint64_t received, malformed, uncounted, cut;
static char problem[1024];

static struct {
	uint32_t rows;
	struct buffer ts, pid, tid, ppid, op, flags, mode, ret, uid, gid, source, comm;
	struct column path, path2, addr, port, proto, exe;
	struct buffer argv_ends, argv_valid, argv_offsets, argv_bytes;
	uint32_t argv_count;
	struct dictionary paths, paths2, addrs, protos, exe_names, comms;
} batch;

static struct {
	struct buffer pid, call, count;
	struct column exe;
	struct dictionary exe_names;
} counts;

/* ---- output ---- */

static void flush(void)
{
	while (sent < queue.length) {
		ssize_t n = send(0, queue.bytes + sent, queue.length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (sent > queue.length / 2) {
				memmove(queue.bytes, queue.bytes + sent, queue.length - sent);
				queue.length -= sent;
				sent = 0;
			}
			return;
		}
		if (n < 0)
			_exit(1); /* nobody listens any more */
		sent += n;
	}
	queue.length = sent = 0;
}

static void frame(uint32_t kind, const void *bytes, uint32_t length)
{
	uint32_t head[2] = {kind, length};
	buffer_add(&queue, head, sizeof(head));
	if (length)
		buffer_add(&queue, bytes, length);
}

static void block(void)
{
	while (flush(), queue.length) {
		struct pollfd p = {.fd = 0, .events = POLLOUT};
		poll(&p, 1, -1);
	}
}

static void fail(const char *format, ...)
{
	char text[2048];
	va_list list;
	va_start(list, format);
	int n = vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	frame('E', text, n < (int)sizeof(text) ? n : (int)sizeof(text) - 1);
	block();
	_exit(1);
}

static void put_frame(uint32_t kind, uint32_t rows, const struct buffer *const *buffers, uint32_t count)
{
	uint64_t directory[64][2], at = 8 + (uint64_t)count * 16;
	for (uint32_t i = 0; i < count; i++) {
		directory[i][0] = at;
		directory[i][1] = buffers[i]->length;
		at += (buffers[i]->length + 7) & ~7ULL;
	}
	uint32_t head[4] = {kind, at, rows, count};
	buffer_add(&queue, head, sizeof(head));
	buffer_add(&queue, directory, (size_t)count * 16);
	for (uint32_t i = 0; i < count; i++) {
		buffer_add(&queue, buffers[i]->bytes ? (void *)buffers[i]->bytes : "", buffers[i]->length);
		buffer_add(&queue, NULL, -buffers[i]->length & 7);
	}
}

static void send_batch(void)
{
	if (!batch.rows)
		return;
	struct dictionary *dictionaries[] = {&batch.paths, &batch.paths2, &batch.addrs, &batch.protos, &batch.exe_names,
					     &batch.comms};
	const struct buffer *all[] = {
		&batch.ts, &batch.pid, &batch.tid, &batch.ppid, &batch.op, &batch.flags, &batch.mode, &batch.ret,
		&batch.uid, &batch.gid, &batch.source, &batch.comm,
		&batch.path.values, &batch.path.valid, &batch.path2.values, &batch.path2.valid,
		&batch.addr.values, &batch.addr.valid, &batch.port.values, &batch.port.valid,
		&batch.proto.values, &batch.proto.valid, &batch.exe.values, &batch.exe.valid,
		&batch.argv_ends, &batch.argv_valid, &batch.argv_offsets, &batch.argv_bytes,
		&batch.paths.offsets, &batch.paths.bytes, &batch.paths2.offsets, &batch.paths2.bytes,
		&batch.addrs.offsets, &batch.addrs.bytes, &batch.protos.offsets, &batch.protos.bytes,
		&batch.exe_names.offsets, &batch.exe_names.bytes, &batch.comms.offsets, &batch.comms.bytes,
	};
	uint32_t count = sizeof(all) / sizeof(*all);
	put_frame('B', batch.rows, all, count);
	for (uint32_t i = 0; i < count; i++)
		((struct buffer *)all[i])->length = 0;
	for (size_t i = 0; i < sizeof(dictionaries) / sizeof(*dictionaries); i++)
		dictionary_clear(dictionaries[i]);
	struct column *columns[] = {&batch.path, &batch.path2, &batch.addr, &batch.port, &batch.proto, &batch.exe};
	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
		column_clear(columns[i]);
	batch.argv_count = batch.rows = 0;
	flush();
}

/* ---- executables by process ---- */

static void set_exe(uint32_t pid, const char *text, size_t length)
{
	struct exe *exe = malloc(sizeof(*exe) + length);
	if (!exe)
		abort();
	exe->users = 1;
	exe->length = length;
	memcpy(exe->text, text, length);
	struct exe *before = exes[pid % PIDS];
	exes[pid % PIDS] = exe;
	if (before && !--before->users)
		free(before);
}

static void inherit_exe(uint32_t child, uint32_t parent)
{
	struct exe *before = exes[child % PIDS], *exe = exes[parent % PIDS];
	if (exe)
		exe->users++;
	exes[child % PIDS] = exe;
	if (before && !--before->users)
		free(before);
}

/* ---- rows ---- */

/* What a record says, in the words of the schema; no bytes: null. */
struct row {
	uint8_t op;
	int64_t flags;
	size_t path_length, path2_length, addr_length;
	int port; /* -1: null */
	const char *argv;
	size_t argv_length;
	char path[RESOLVED_MAX], path2[RESOLVED_MAX], addr[256];
};

/* The text of a loose file: it hangs in no folder, so its name is no path. */
static size_t loose(const struct record *r, const char *name, size_t length, char *out)
{
	if (r->file_type == S_IFIFO >> 12)
		return sprintf(out, "pipe:[%u]", r->inode);
	if (r->file_type == S_IFSOCK >> 12)
		return sprintf(out, "socket:[%u]", r->inode);
	if (length && name[0] == '[')
		return sprintf(out, "anon_inode:%.*s", (int)length, name);
	out[0] = '/'; /* as the kernel shows it */
	memcpy(out + 1, name, length);
	return length + 1;
}

/* Turn names that stand leaf first, each before a slash, into an absolute path. */
static size_t unwind(const char *names, size_t length, char *out)
{
	char *to = out;
	while (length) {
		size_t start = length - 1; /* the slash */
		while (start && names[start - 1] != '/')
			start--;
		*to++ = '/';
		memcpy(to, names + start, length - 1 - start);
		to += length - 1 - start;
		length = start;
	}
	if (to == out)
		*to++ = '/';
	return to - out;
}

static size_t walked(const struct record *r, const char *names, size_t length, char *out)
{
	return r->bits & BIT_LOOSE ? loose(r, names, length ? length - 1 : 0, out) : unwind(names, length, out);
}

/* The length of the beginning of a name that the caller's own /proc/…/cwd or /proc/…/fd/… is, 0 where it is none. */
static size_t alias(const struct record *r, const char *name, size_t length)
{
	char text[64];
	uint32_t number = 0;
	int used = 0;
	size_t n = length < sizeof(text) - 1 ? length : sizeof(text) - 1;
	memcpy(text, name, n);
	text[n] = 0;
	if (!strncmp(text, "/proc/self/", 11))
		used = 11;
	else if (!strncmp(text, "/proc/thread-self/", 18))
		used = 18;
	else if (sscanf(text, "/proc/%u/%n", &number, &used) != 1 || (number != r->ns_pid && number != r->ns_tid))
		return 0;
	size_t end = used;
	if (!strncmp(text + end, "cwd", 3))
		end += 3;
	else if (!strncmp(text + end, "fd/", 3))
		end += 3 + strspn(text + end + 3, "0123456789");
	else
		return 0;
	return end > (size_t)used && (end == n || text[end] == '/') ? end : 0;
}

/* The path that a name stands for. `aliased`: the base is where the beginning of the name leads. */
static size_t named(const struct record *r, const char *name, size_t length, const char *base, size_t base_length,
		    int aliased, int follow, char *out)
{
	char folder[RESOLVED_MAX];
	struct caller who = {.root = root_fd, .pid = r->ns_pid, .tid = r->ns_tid};
	size_t folder_length = unwind(base, base_length, folder);
	if (!length)
		return 0;
	if (aliased) {
		size_t skip = alias(r, name, length);
		if (skip < length) {
			name += skip;
			length -= skip;
		} else if (follow) {
			memcpy(out, folder, folder_length);
			return folder_length;
		} else {
			skip = 0;
		}
		if (!skip)
			folder_length = 1; /* the root */
	}
	return resolve(&who, folder, folder_length, name, length, follow, out);
}

static void put_text(struct column *c, struct dictionary *d, const char *raw, size_t length)
{
	char text[RESOLVED_MAX * 4];
	if (!length) {
		column_add(c, 0, 0);
		return;
	}
	column_add(c, dictionary_index(d, text, spell(raw, length, text)), 1);
}

/* As affidavit.recorder.sockets.protocol names them. */
static const char *protocol_name(const struct record *r, char *number)
{
	switch (r->family) {
	case AF_UNSPEC:
		return "";
	case AF_UNIX:
		return "unix";
	case AF_NETLINK:
		return "netlink";
	case AF_PACKET:
		return "packet";
	case AF_INET:
	case AF_INET6:
		if (r->protocol == IPPROTO_ICMP || r->protocol == IPPROTO_ICMPV6)
			return "icmp";
		if (r->type == SOCK_STREAM)
			return "tcp";
		if (r->type == SOCK_DGRAM)
			return "udp";
		if (r->type == SOCK_RAW)
			return "raw";
		sprintf(number, "type-%u", r->type);
		return number;
	}
	sprintf(number, "family-%u", r->family);
	return number;
}

/* addr and port, or the path of a Unix socket; the flags are its family. */
static void read_address(const struct record *r, const char *bytes, size_t length, const char *base, size_t base_length,
			 struct row *row)
{
	struct sockaddr_storage a = {0};
	memcpy(&a, bytes, length < sizeof(a) ? length : sizeof(a));
	if (length < 2)
		return;
	/* A message from a socket of IPv4 goes to an address of no family as to one of its own. */
	if (a.ss_family == AF_UNSPEC && r->family == AF_INET && (r->op == EV_SENDTO || r->op == EV_DNS))
		a.ss_family = AF_INET;
	if (a.ss_family == AF_INET && length >= 8) {
		const struct sockaddr_in *in = (void *)&a;
		inet_ntop(AF_INET, &in->sin_addr, row->addr, sizeof(row->addr));
		row->port = ntohs(in->sin_port);
	} else if (a.ss_family == AF_INET6 && length >= 24) {
		const struct sockaddr_in6 *in = (void *)&a;
		if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
			inet_ntop(AF_INET, in->sin6_addr.s6_addr + 12, row->addr, sizeof(row->addr));
		else
			inet_ntop(AF_INET6, &in->sin6_addr, row->addr, sizeof(row->addr));
		row->port = ntohs(in->sin6_port);
	} else if (a.ss_family == AF_UNIX && length > 2) {
		const char *name = bytes + 2;
		if (name[0]) {
			row->path_length = named(r, name, strnlen(name, length - 2), base, name[0] == '/' ? 0 : base_length, 0,
						 r->op != EV_BIND, row->path);
		} else { /* abstract: with @ for the NUL, as everyone shows it */
			row->addr[0] = '@';
			row->addr_length = length - 2 < sizeof(row->addr) ? length - 2 : sizeof(row->addr);
			memcpy(row->addr + 1, name + 1, row->addr_length - 1);
		}
	}
	row->flags = a.ss_family;
	if (row->port >= 0)
		row->addr_length = strlen(row->addr);
}

/* Arguments that came before their exec. */
static struct {
	uint32_t pid;
	struct buffer bytes;
} pending[PENDING];

/* Those of a process, NULL where there are none and `pid` is not to be given a place. */
static struct buffer *pending_of(uint32_t pid, int make)
{
	int place = -1;
	for (int i = 0; i < PENDING; i++) {
		if (pending[i].pid == pid)
			return &pending[i].bytes;
		if (!pending[i].pid)
			place = i;
	}
	if (!make)
		return NULL;
	if (place < 0) { /* their execs were lost, which the totals say */
		place = 0;
		buffer_free(&pending[0].bytes);
	}
	pending[place].pid = pid;
	return &pending[place].bytes;
}

static void forget_pending(uint32_t pid)
{
	for (int i = 0; i < PENDING; i++)
		if (pending[i].pid == pid) {
			pending[i].pid = 0;
			buffer_free(&pending[i].bytes);
		}
}

static void put_argv(const struct row *row)
{
	static char text[4 * ARGV_MAX];
	const char *bytes = row->argv;
	size_t length = row->argv_length;
	if (batch.rows % 8 == 0)
		buffer_add(&batch.argv_valid, NULL, 1);
	if (!batch.argv_ends.length) {
		buffer_add(&batch.argv_ends, NULL, 4);
		buffer_add(&batch.argv_offsets, NULL, 4);
	}
	if (bytes)
		batch.argv_valid.bytes[batch.rows / 8] |= 1 << batch.rows % 8;
	while (length) {
		size_t n = strnlen(bytes, length);
		buffer_add(&batch.argv_bytes, text, spell(bytes, n, text));
		int32_t end = batch.argv_bytes.length;
		buffer_add(&batch.argv_offsets, &end, 4);
		batch.argv_count++;
		n += n < length; /* its NUL */
		bytes += n;
		length -= n;
	}
	buffer_add(&batch.argv_ends, &batch.argv_count, 4);
}

static void add(struct buffer *b, int64_t value, size_t size)
{
	buffer_add(b, &value, size);
}

static void put_row(const struct record *r, const struct row *row)
{
	put_text(&batch.path, &batch.paths, row->path, row->path_length);
	put_text(&batch.path2, &batch.paths2, row->path2, row->path2_length);
	put_text(&batch.addr, &batch.addrs, row->addr, row->addr_length);
	column_add(&batch.port, row->port, row->port >= 0);
	char number[24];
	const char *protocol = protocol_name(r, number);
	put_text(&batch.proto, &batch.protos, protocol, strlen(protocol));
	const struct exe *exe = exes[r->pid % PIDS];
	put_text(&batch.exe, &batch.exe_names, exe ? exe->text : "", exe ? exe->length : 0);
	put_argv(row);
	char comm[64];
	add(&batch.comm, dictionary_index(&batch.comms, comm, spell(r->comm, strnlen(r->comm, sizeof(r->comm)), comm)), 4);
	add(&batch.ts, r->ts_ns, 8);
	add(&batch.pid, r->pid, 4);
	add(&batch.tid, r->tid, 4);
	add(&batch.ppid, r->ppid, 4);
	add(&batch.op, row->op, 4);
	add(&batch.flags, row->flags, 8);
	add(&batch.mode, r->mode, 4);
	add(&batch.ret, r->ret, 8);
	add(&batch.uid, r->uid, 8);
	add(&batch.gid, r->gid, 8);
	add(&batch.source, r->source, 4);
	batch.rows++;
	size_t bytes = batch.paths.bytes.length + batch.paths2.bytes.length + batch.argv_bytes.length;
	if (batch.rows >= BATCH_ROWS || bytes > BATCH_BYTES)
		send_batch();
}

/* A row for each name that a message to a name server asks for (RFC 1035, 4.1); what is no question is none. */
static void put_questions(const struct record *r, const unsigned char *message, size_t length, struct row *row)
{
	if (r->type == SOCK_STREAM && length >= 2) { /* its length stands before it (4.2.2) */
		message += 2;
		length -= 2;
	}
	if (length < 12 || (message[2] & 0xf8))
		return;
	uint32_t questions = message[4] << 8 | message[5];
	size_t at = 12;
	for (uint32_t i = 0; i < questions && i < 16; i++) {
		size_t n = 0;
		while (at < length && message[at] && message[at] <= 63 && at + 1 + message[at] <= length &&
		       n + message[at] + 1 < 256) {
			if (n)
				row->path2[n++] = '.';
			memcpy(row->path2 + n, message + at + 1, message[at]);
			n += message[at];
			at += 1 + message[at];
		}
		if (at + 5 > length || message[at])
			return;
		if (!n)
			row->path2[n++] = '.';
		at += 5;
		row->path2_length = n;
		put_row(r, row);
	}
}

static void put_counts(const struct record *r, const __u64 *numbers)
{
	const struct exe *exe = exes[r->pid % PIDS];
	for (uint32_t call = 0; call < CALLS; call++) {
		if (!numbers[call])
			continue;
		if (counts.exe.rows >= COUNT_ROWS) {
			uncounted += numbers[call];
			continue;
		}
		buffer_add(&counts.pid, &r->pid, 4);
		buffer_add(&counts.call, &call, 4);
		buffer_add(&counts.count, &numbers[call], 8);
		put_text(&counts.exe, &counts.exe_names, exe ? exe->text : "", exe ? exe->length : 0);
	}
}

/* For a script the kernel puts the interpreter, what else is on the script's first line and the script's name in place
 * of the first argument: leave the name. */
static void skip_interpreter(const char *name, size_t length, struct row *row)
{
	const char *at = row->argv, *end = row->argv + row->argv_length;
	while (at < end) {
		size_t n = strnlen(at, end - at);
		if (n == length && !memcmp(at, name, n)) {
			row->argv = at;
			row->argv_length = end - at;
			return;
		}
		at += n + 1;
	}
}

/* What the sections of a record say. */
static void read_sections(const struct record *r, const char *const *section, struct row *row)
{
	const uint16_t *len = r->len;
	if (r->op == EV_EXEC && r->ret == 0) {
		const struct buffer *before = len[BASE2] ? NULL : pending_of(r->pid, 0);
		row->argv = before ? (const char *)before->bytes : section[BASE2];
		row->argv_length = before ? before->length : len[BASE2];
		row->path_length = r->bits & BIT_WALKED ? walked(r, section[PATH1], len[PATH1], row->path)
							: named(r, section[PATH1], len[PATH1], section[BASE1], len[BASE1], 0,
								1, row->path);
		if (r->bits & BIT_SCRIPT && !(r->bits & BIT_WALKED))
			skip_interpreter(section[PATH1], len[PATH1], row);
		if (r->bits & BIT_SCRIPT)
			set_exe(r->pid, row->path2, unwind(section[PATH2], len[PATH2], row->path2));
		else
			set_exe(r->pid, row->path, row->path_length);
		return;
	}
	if (r->bits & BIT_ADDRESS)
		read_address(r, section[PATH1], len[PATH1], section[BASE1], len[BASE1], row);
	else if (r->bits & BIT_WALKED)
		row->path_length = walked(r, section[PATH1], len[PATH1], row->path);
	else
		row->path_length = named(r, section[PATH1], len[PATH1], section[BASE1], len[BASE1], r->bits & BIT_ALIAS1,
					 (r->bits & BIT_FOLLOW) && r->ret != -ENOENT, row->path);
	if (r->op == EV_DNS)
		return;
	if (r->bits & BIT_TARGET) {
		row->path2_length = len[PATH2];
		memcpy(row->path2, section[PATH2], len[PATH2]);
	} else {
		row->path2_length = named(r, section[PATH2], len[PATH2], section[BASE2], len[BASE2], r->bits & BIT_ALIAS2, 0,
					  row->path2);
	}
}

/* What a call that succeeded changes for the names that come after it. */
static void learn(const struct record *r, const struct row *row)
{
	switch (r->op) {
	case EV_SYMLINK:
		resolve_linked(row->path, row->path_length, row->path2, row->path2_length);
		break;
	case EV_UNLINK:
		resolve_removed(row->path, row->path_length);
		break;
	case EV_RENAME:
		resolve_renamed(row->path, row->path_length, row->path2, row->path2_length, r->flags & RENAME_EXCHANGE);
		break;
	case EV_LINK:
	case EV_MOUNT:
		resolve_forget();
	}
}

static int on_record(void *context, void *data, size_t size)
{
	(void)context;
	const struct record *r = data;
	const char *section[SECTIONS], *at = (const char *)data + sizeof(*r);
	static struct row row;
	received++;
	size_t left = size - sizeof(*r);
	if (size < sizeof(*r) || r->op >= EVENTS_END) {
		malformed++;
		return 0;
	}
	if (r->op == EV_ENTER) {
		uint32_t who[2] = {r->pid, r->ppid};
		frame('N', who, sizeof(who));
		return 0;
	}
	if (r->op == EV_COUNTS) {
		if (left >= CALLS * sizeof(__u64))
			put_counts(r, (const __u64 *)at);
		inherit_exe(r->pid, 0);
		forget_pending(r->pid);
		return 0;
	}
	for (int i = 0; i < SECTIONS; i++) {
		if (r->len[i] > left) {
			malformed++;
			return 0;
		}
		section[i] = at;
		at += r->len[i];
		left -= r->len[i];
	}
	if (r->op == EV_ARGV) {
		buffer_add(pending_of(r->pid, 1), section[BASE2], r->len[BASE2]);
		return 0;
	}
	if (r->op == EV_EXE) {
		set_exe(r->pid, row.path, walked(r, section[PATH1], r->len[PATH1], row.path));
		return 0;
	}
	cut += (r->bits & BIT_CUT) != 0;
	/* What the runtime does before it becomes the sandbox's command is not the sandbox's doing. */
	if (r->pid == runtime_pid && r->op != EV_EXEC)
		return 0;
	if (r->pid == runtime_pid && r->ret == 0)
		runtime_pid = 0;
	row.op = r->op;
	row.flags = r->op >= EV_SOCKET && r->op <= EV_DNS ? r->family : r->flags;
	row.path_length = row.path2_length = row.addr_length = row.argv_length = 0;
	row.port = -1;
	row.argv = NULL;
	if (r->op == EV_FORK && r->ret > 0)
		inherit_exe(r->ret, r->pid);
	else if (r->bits & BIT_TARGETED)
		row.addr_length = sprintf(row.addr, "pid:%d", (int)r->target);
	else
		read_sections(r, section, &row);
	if (r->ret >= 0)
		learn(r, &row);
	if (r->op == EV_DNS)
		put_questions(r, (const unsigned char *)section[PATH2], r->len[PATH2], &row);
	else
		put_row(r, &row);
	if (r->op == EV_EXEC)
		forget_pending(r->pid);
	return queue.length - sent > QUEUE_BYTES ? -1 : 0;
}

/* ---- begin and end ---- */

/* A busy sandbox must not starve the record. One that waits for its sandbox leaves the processor to others before. */
static void hurry(void)
{
	struct sched_param priority = {.sched_priority = 1};
	if (sched_setscheduler(0, SCHED_RR, &priority))
		setpriority(PRIO_PROCESS, 0, -19);
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void attach(void)
{
	static int attached;
	if (attached)
		return;
	hurry();
	int error = record_bpf__attach(skeleton);
	if (error)
		fail("can't attach the BPF programs: %s: %s", strerror(-error), problem);
	attached = 1;
}

/* Number of a process' PID namespace, 0 where it is this process' own: then every process of the machine would be in it. */
static uint64_t namespace_of(uint32_t pid)
{
	struct stat own, its;
	char path[64];
	snprintf(path, sizeof(path), "/proc/%u/ns/pid", pid);
	if (stat("/proc/self/ns/pid", &own) || stat(path, &its))
		fail("can't look at the PID namespace of process %u: %s", pid, strerror(errno));
	return its.st_ino == own.st_ino ? 0 : its.st_ino;
}

static void track(uint32_t pid)
{
	attach();
	char path[64], exe[RESOLVED_MAX];
	snprintf(path, sizeof(path), "/proc/%u/root", pid);
	root_fd = open(path, O_PATH | O_CLOEXEC);
	if (root_fd < 0)
		fail("the sandbox's process %u is gone: %s", pid, strerror(errno));
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	ssize_t n = readlink(path, exe, sizeof(exe));
	if (n > 0)
		set_exe(pid, exe, n);
	__u64 args[4] = {pid, root_fd, getpid(), namespace_of(pid)};
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = args, .ctx_size_in = sizeof(args));
	if (bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.seed), &options))
		fail("the programs in the kernel did not take process %u: %s", pid, strerror(errno));
	if (options.retval)
		fail("this is a process namespace of its own, whose numbers the kernel does not know: run it outside of containers");
	runtime_pid = pid;
	frame('A', NULL, 0);
}

/* Links that were there from the start, but are no part of the root file system: path and target, each with its NUL. */
static void take_links(uint32_t length)
{
	char *links = malloc(length + 1);
	if (!links || recv(0, links, length, MSG_WAITALL) != length)
		_exit(1);
	links[length] = 0;
	for (char *path = links; path < links + length;) {
		size_t path_length = strlen(path);
		char *target = path + path_length + 1;
		if (target >= links + length)
			break;
		size_t target_length = strlen(target);
		resolve_linked(path, path_length, target, target_length);
		path = target + target_length + 1;
	}
	free(links);
}

/* Totals as uint64: those of struct totals; received, malformed, cut, misses of the programs; then the columns of counts. */
static void send_end(void)
{
	int map = bpf_map__fd(skeleton->maps.processes);
	uint32_t slots = bpf_map__max_entries(skeleton->maps.processes);
	static struct process process;
	for (uint32_t i = 0; skeleton->bss->totals.live > 0 && i < slots; i++) /* those that did not end */
		if (!bpf_map_lookup_elem(map, &i, &process) && process.owner) {
			process.record.pid = process.owner;
			put_counts(&process.record, process.counts);
		}
	struct buffer totals = {0};
	skeleton->bss->totals.uncounted += uncounted;
	if (skeleton->bss->totals.live <= 0 && skeleton->bss->seed_pid)
		skeleton->bss->totals.live = 1; /* its first process, which has made no call yet */
	buffer_add(&totals, &skeleton->bss->totals, sizeof(skeleton->bss->totals));
	uint64_t misses = 0;
	struct bpf_program *program;
	bpf_object__for_each_program(program, skeleton->obj) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);
		if (!bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			misses += info.recursion_misses;
	}
	uint64_t own[] = {received, malformed, cut, misses};
	buffer_add(&totals, own, sizeof(own));
	const struct buffer *all[] = {&totals, &counts.pid, &counts.call, &counts.count, &counts.exe.values,
				      &counts.exe.valid, &counts.exe_names.offsets, &counts.exe_names.bytes};
	put_frame('F', counts.exe.rows, all, sizeof(all) / sizeof(*all));
	block();
	shutdown(0, SHUT_RDWR);
	_exit(0); /* detaching goes on after the other side has its end */
}

static int on_print(enum libbpf_print_level level, const char *format, va_list list)
{
	if (level == LIBBPF_WARN && !problem[0]) /* the first is the cause */
		vsnprintf(problem, sizeof(problem), format, list);
	return 0;
}

/* Load the programs that are open; an error number, negative. */
static int load_open(uint32_t ring_bytes)
{
	if (!skeleton)
		fail("can't open the BPF object: %s %s", strerror(errno), problem);
	bpf_map__set_max_entries(skeleton->maps.ring, ring_bytes);
	bpf_map__set_max_entries(skeleton->maps.marks, PIDS / 8);
	if (getrandom((void *)&skeleton->rodata->hash_key, 8, 0) != 8)
		fail("no random bytes: %s", strerror(errno));
	return record_bpf__load(skeleton);
}

/* Loads the first programs that this kernel takes, or the older ones alone; which they are. */
static uint32_t load(uint32_t ring_bytes, bool older)
{
	libbpf_set_print(on_print);
	if (!older) {
		skeleton = record_bpf__open();
		if (!load_open(ring_bytes))
			return BY_LOADS;
		record_bpf__destroy(skeleton);
	}
	problem[0] = 0;
	skeleton = open_older();
	if (!load_open(ring_bytes))
		return BY_HELPER;
	record_bpf__destroy(skeleton);
	problem[0] = 0;
	skeleton = open_older();
	if (skeleton)
		bpf_program__set_autoload(skeleton->progs.on_send, false);
	int error = load_open(ring_bytes);
	if (error)
		fail("can't load the BPF programs: %s: %s", strerror(-error), problem);
	return BY_HELPER_WITHOUT_SENDS;
}

int main(int argc, char **argv)
{
	int64_t began = now_ms();
	uint32_t ring_bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 64 << 20;
	int64_t within_ms = POLL_MS, sent_at = 0;
	signal(SIGPIPE, SIG_IGN);
	bool older = false, waits = false;
	for (int i = 2; i < argc; i++) {
		older |= !strcmp(argv[i], "older");
		waits |= !strcmp(argv[i], "waits");
	}
	if (!waits)
		hurry();
	int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom >= 0) {
		if (write(oom, "-1000", 5) < 0)
			oom = -1;
		close(oom);
	}
	exes = mmap(NULL, PIDS * sizeof(*exes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (exes == MAP_FAILED)
		fail("no memory: %s", strerror(errno));
	uint32_t programs = load(ring_bytes, older);
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(skeleton->maps.ring), on_record, NULL, NULL);
	if (!ring)
		fail("can't map the ring buffer: %s", strerror(errno));
	uint32_t took = now_ms() - began;
	uint32_t loaded[] = {took, programs};
	frame('R', loaded, sizeof(loaded));
	flush();

	int64_t stopping = 0;
	for (;;) {
		struct pollfd p = {.fd = 0, .events = POLLIN | (queue.length ? POLLOUT : 0)};
		if (poll(&p, 1, root_fd < 0 ? -1 : stopping ? 1 : POLL_MS) < 0 && errno != EINTR)
			fail("poll: %s", strerror(errno));
		if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
			uint32_t order[2];
			ssize_t n = recv(0, order, sizeof(order), MSG_WAITALL);
			if (n != sizeof(order))
				_exit(1); /* nobody listens any more */
			if (order[0] == 'P') {
				within_ms = order[1];
				attach();
				frame('P', NULL, 0);
			} else if (order[0] == 'L') {
				take_links(order[1]);
			} else if (order[0] == 'T') {
				track(order[1]);
			} else if (order[0] == 'S') {
				stopping = now_ms();
			}
		}
		uint64_t before = received;
		if (queue.length - sent <= QUEUE_BYTES)
			ring_buffer__consume(ring);
		/* Each batch costs its reader most of a millisecond, however few rows it has. */
		if (stopping || now_ms() - sent_at >= within_ms - POLL_MS / 2) {
			sent_at = now_ms();
			send_batch();
		}
		flush();
		if (!stopping)
			continue;
		const volatile struct totals *t = &skeleton->bss->totals;
		int all = received == t->emitted - t->dropped, ended = t->live <= 0 && !skeleton->bss->seed_pid;
		/* What is missing or still runs when the time is up is said in the totals. */
		if ((all && ended) || (received == before && queue.length == sent && now_ms() - stopping > END_WAIT_MS))
			send_end();
	}
}
