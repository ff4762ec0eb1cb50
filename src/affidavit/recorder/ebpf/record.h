/* What the BPF programs hand to the loader: one struct record each, followed by its sections. */
#ifndef AFFIDAVIT_RECORD_H
#define AFFIDAVIT_RECORD_H

/* In the order of affidavit.events.OPS (a test holds them together); then what only the loader sees. */
enum op {
	EV_OPEN_READ, EV_OPEN_WRITE, EV_CREATE, EV_UNLINK, EV_RENAME, EV_LINK, EV_SYMLINK, EV_MKDIR, EV_RMDIR, EV_CHMOD,
	EV_CHOWN, EV_TRUNCATE, EV_SETXATTR, EV_UTIME, EV_MOUNT, EV_EXEC, EV_FORK, EV_EXIT, EV_SIGNAL, EV_PTRACE, EV_MEMFD,
	EV_SOCKET, EV_BIND, EV_LISTEN, EV_ACCEPT, EV_CONNECT, EV_SENDTO, EV_DNS, EV_DENIED,
	EVS,
	EV_COUNTS = EVS, /* counts of a process that ended: CALLS numbers follow the record */
	EV_EXE,          /* the executable of a process changed without an exec */
	EV_ARGV,         /* a part of the arguments of the exec that follows, where they are long */
	EV_ENTER,        /* `pid` began in the sandbox's process namespace, made by `ppid` outside of it */
	EVENTS_END,
};

/* How a path was had; in the order of the loader's names for the column `source`. */
enum source { SOURCE_KERNEL, SOURCE_MEMORY, SOURCE_RACED };

/* Sections of a record, in this order; the lengths are in record.len. */
enum section {
	PATH1, /* a name from memory, or folders of the kernel's, leaf first, each followed by a slash */
	BASE1, /* where a relative name in PATH1 starts; likewise leaf first */
	PATH2, /* dns: the message */
	BASE2, /* exec: the arguments, a NUL after each, where they came in no records of their own */
	SECTIONS,
};

/* record.bits */
enum {
	BIT_WALKED = 1,    /* PATH1 was walked (leaf first), it is no name from memory */
	BIT_CUT = 2,       /* a path was longer than fits */
	BIT_FOLLOW = 4,    /* the last component of PATH1 is followed where it is a symlink */
	BIT_LOOSE = 8,     /* PATH1 is the name of a file that hangs in no folder: memfd, pipe, socket */
	BIT_TARGET = 16,   /* PATH2 is the text of a symlink: not to be resolved */
	BIT_SCRIPT = 32,   /* exec: PATH1 is the name of the file asked for, PATH2 the executable, walked */
	BIT_ADDRESS = 64,  /* PATH1 is a struct sockaddr */
	BIT_ALIAS1 = 128,  /* PATH1 is below /proc/…/cwd or /proc/…/fd/…, and BASE1 is where that leads for the caller */
	BIT_ALIAS2 = 256,  /* likewise PATH2 */
	BIT_TARGETED = 512, /* `target` is whom the call is for */
};

#define CALLS 512
#define CALL_UNKNOWN 511 /* counts: numbers past the table */
#define CALL_COMPAT 510  /* counts: 32-bit entry */

#define ARGV_MAX (128 << 10) /* MAX_ARG_STRLEN: the longest argument that the kernel takes */

#define FLAG_COMPAT (1LL << 32) /* denied: in flags, the call came by the 32-bit entry */

struct record {
	__u64 seq;
	__u64 ts_ns;
	__s64 ret;
	__s64 flags;
	__u32 pid;
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	__u32 mode;
	__u32 ns_pid, ns_tid; /* as the process itself counts; where there is a name from memory */
	__u32 target; /* whom a signal is for, as the process itself counts; see BIT_TARGETED */
	__u32 inode;
	__u16 family;
	__u16 type; /* of a socket: SOCK_… */
	__u16 protocol;
	__u16 len[SECTIONS];
	__u16 bits;
	__u8 op;
	__u8 source;
	__u8 file_type; /* S_IFMT of a loose file, shifted right by 12 */
	char comm[16];
} __attribute__((aligned(8)));

struct process {
	struct record record;
	__u64 counts[CALLS];
	__u32 owner; /* the process, 0: a free slot */
	__u32 gone;  /* its end is being told */
};

struct totals {
	__u64 emitted; /* numbers given out: records that should arrive, dropped ones too */
	__u64 dropped; /* the ring buffer was full */
	__u64 unmarked; /* tasks that could not be marked */
	__u64 uncounted; /* system calls that no count was kept of */
	__u64 foreign; /* calls that nothing is made of: by the 32-bit or x32 entry; rings of io_uring */
	__u64 reentered; /* programs that found their scratch space in use */
	__s64 live; /* marked tasks that have not ended */
};

#endif
