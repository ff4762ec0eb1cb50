/* The system calls of x86-64 that make events, and where their arguments are. */
#ifndef AFFIDAVIT_CALLS_H
#define AFFIDAVIT_CALLS_H

enum kind {
	COUNT_ONLY,
	IS_OPEN,     /* answers a file descriptor */
	IS_NAME,     /* works on names */
	IS_FD,       /* works on the file of descriptor 0 */
	IS_EXEC,     /* only where it fails: success has a tracepoint of its own */
	IS_FORK,     /* likewise */
	IS_ADDRESS,  /* socket 0; address and length at `name1` and after it */
	IS_SENDTO,
	IS_MESSAGE,  /* sendmsg */
	IS_MESSAGES, /* sendmmsg */
	IS_WRITE,    /* may carry a question to a name server */
	IS_SOCKET,   /* socket(2) */
	IS_PLAIN,    /* `flags` and the process at `mode` are all there is to say */
	IS_RING,     /* io_uring: what it does is not seen */
	IS_EXE,      /* prctl: may change the executable */
};

enum note { UNNOTED, NOTED, NOTED_TO_NAMES /* where it goes to a name server */ };

/* As positions of arguments they stand for 0 and AT_FDCWD. */
#define NONE (-1)
#define CWD (-2) /* relative names start at the working directory */

struct call {
	__u8 kind;
	__u8 op;
	__s8 dir1, name1; /* position of the folder's descriptor and of the name; NONE or CWD */
	__s8 dir2, name2;
	__s8 flags, mode;
	__s8 at_flags; /* position of AT_…, NONE */
	__u8 follow;   /* a symlink as last component is followed */
	__u8 note;     /* what it names is looked at as it begins too */
};

#define C(kind, op, dir1, name1, dir2, name2, flags, mode, at, follow) \
	{kind, op, dir1, name1, dir2, name2, flags, mode, at, follow, \
	 kind == IS_WRITE ? NOTED_TO_NAMES : (name1) >= 0 || kind == IS_MESSAGE || kind == IS_MESSAGES}
#define ONE(op, dir, name, flags, mode, at, follow) C(IS_NAME, op, dir, name, NONE, NONE, flags, mode, at, follow)
#define TWO(op, dir1, name1, dir2, name2, flags, at) C(IS_NAME, op, dir1, name1, dir2, name2, flags, NONE, at, 0)
#define ON_FD(op, mode) C(IS_FD, op, 0, NONE, NONE, NONE, NONE, mode, NONE, 0)
#define ON_ADDRESS(op, at) C(IS_ADDRESS, op, 0, at, NONE, NONE, NONE, NONE, NONE, 0)
#define JUST(op, flags, mode) C(IS_PLAIN, op, NONE, NONE, NONE, NONE, flags, mode, NONE, 0)

static const volatile struct call calls[CALLS] = {
	[2] = C(IS_OPEN, EV_OPEN_READ, CWD, 0, NONE, NONE, 1, 2, NONE, 1),     /* open */
	[85] = C(IS_OPEN, EV_OPEN_READ, CWD, 0, NONE, NONE, NONE, 1, NONE, 1), /* creat */
	[257] = C(IS_OPEN, EV_OPEN_READ, 0, 1, NONE, NONE, 2, 3, NONE, 1),     /* openat */
	[304] = C(IS_OPEN, EV_OPEN_READ, NONE, NONE, NONE, NONE, 2, NONE, NONE, 1), /* open_by_handle_at */
	[437] = C(IS_OPEN, EV_OPEN_READ, 0, 1, NONE, NONE, NONE, NONE, NONE, 1),    /* openat2 */

	[84] = ONE(EV_RMDIR, CWD, 0, NONE, NONE, NONE, 0),
	[87] = ONE(EV_UNLINK, CWD, 0, NONE, NONE, NONE, 0),
	[263] = ONE(EV_UNLINK, 0, 1, 2, NONE, NONE, 0), /* unlinkat; rmdir with AT_REMOVEDIR */
	[82] = TWO(EV_RENAME, CWD, 0, CWD, 1, NONE, NONE),
	[264] = TWO(EV_RENAME, 0, 1, 2, 3, NONE, NONE),
	[316] = TWO(EV_RENAME, 0, 1, 2, 3, 4, NONE),
	[86] = TWO(EV_LINK, CWD, 0, CWD, 1, NONE, NONE),
	[265] = TWO(EV_LINK, 0, 1, 2, 3, NONE, 4),
	[88] = TWO(EV_SYMLINK, CWD, 1, NONE, 0, NONE, NONE),
	[266] = TWO(EV_SYMLINK, 1, 2, NONE, 0, NONE, NONE),
	[83] = ONE(EV_MKDIR, CWD, 0, NONE, 1, NONE, 0),
	[258] = ONE(EV_MKDIR, 0, 1, NONE, 2, NONE, 0),
	[133] = ONE(EV_CREATE, CWD, 0, NONE, 1, NONE, 0), /* mknod */
	[259] = ONE(EV_CREATE, 0, 1, NONE, 2, NONE, 0),

	[90] = ONE(EV_CHMOD, CWD, 0, NONE, 1, NONE, 1),
	[91] = ON_FD(EV_CHMOD, 1),
	[268] = ONE(EV_CHMOD, 0, 1, NONE, 2, NONE, 1),
	[452] = ONE(EV_CHMOD, 0, 1, NONE, 2, 3, 1), /* fchmodat2 */
	[92] = ONE(EV_CHOWN, CWD, 0, NONE, NONE, NONE, 1),
	[93] = ON_FD(EV_CHOWN, NONE),
	[94] = ONE(EV_CHOWN, CWD, 0, NONE, NONE, NONE, 0),
	[260] = ONE(EV_CHOWN, 0, 1, NONE, NONE, 4, 1),
	[76] = ONE(EV_TRUNCATE, CWD, 0, NONE, NONE, NONE, 1),
	[77] = ON_FD(EV_TRUNCATE, NONE),
	[188] = ONE(EV_SETXATTR, CWD, 0, NONE, NONE, NONE, 1),
	[189] = ONE(EV_SETXATTR, CWD, 0, NONE, NONE, NONE, 0),
	[190] = ON_FD(EV_SETXATTR, NONE),
	[197] = ONE(EV_SETXATTR, CWD, 0, NONE, NONE, NONE, 1), /* removexattr */
	[198] = ONE(EV_SETXATTR, CWD, 0, NONE, NONE, NONE, 0),
	[199] = ON_FD(EV_SETXATTR, NONE),
	[463] = ONE(EV_SETXATTR, 0, 1, NONE, NONE, 2, 1), /* setxattrat */
	[466] = ONE(EV_SETXATTR, 0, 1, NONE, NONE, 2, 1), /* removexattrat */
	[469] = ONE(EV_SETXATTR, 0, 1, NONE, NONE, 4, 1), /* file_setattr */
	[132] = ONE(EV_UTIME, CWD, 0, NONE, NONE, NONE, 1),
	[235] = ONE(EV_UTIME, CWD, 0, NONE, NONE, NONE, 1),
	[261] = ONE(EV_UTIME, 0, 1, NONE, NONE, NONE, 1),
	[280] = ONE(EV_UTIME, 0, 1, NONE, NONE, 3, 1), /* utimensat */

	[155] = TWO(EV_MOUNT, CWD, 0, CWD, 1, NONE, NONE),     /* pivot_root */
	[161] = ONE(EV_MOUNT, CWD, 0, NONE, NONE, NONE, 1),    /* chroot */
	[165] = C(IS_NAME, EV_MOUNT, CWD, 1, NONE, 0, 3, NONE, NONE, 1), /* mount */
	[166] = ONE(EV_MOUNT, CWD, 0, 1, NONE, NONE, 1),       /* umount2 */
	[428] = ONE(EV_MOUNT, 0, 1, 2, NONE, NONE, 1),         /* open_tree */
	[429] = TWO(EV_MOUNT, 2, 3, 0, 1, 4, NONE),            /* move_mount: where to, then what */
	[430] = JUST(EV_MOUNT, 1, NONE),                       /* fsopen */
	[432] = JUST(EV_MOUNT, 1, NONE),                       /* fsmount */
	[433] = ONE(EV_MOUNT, 0, 1, 2, NONE, NONE, 1),         /* fspick */
	[442] = ONE(EV_MOUNT, 0, 1, 2, NONE, NONE, 1),         /* mount_setattr */
	[467] = ONE(EV_MOUNT, 0, 1, 2, NONE, NONE, 1),         /* open_tree_attr */

	[59] = C(IS_EXEC, EV_EXEC, CWD, 0, NONE, NONE, NONE, NONE, NONE, 1),
	[322] = C(IS_EXEC, EV_EXEC, 0, 1, NONE, NONE, NONE, NONE, 4, 1),
	[56] = C(IS_FORK, EV_FORK, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0),
	[57] = C(IS_FORK, EV_FORK, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0),
	[58] = C(IS_FORK, EV_FORK, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0),
	[435] = C(IS_FORK, EV_FORK, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0),
	[425] = C(IS_RING, EV_OPEN_READ, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0), /* io_uring_setup */
	[157] = C(IS_EXE, EV_EXE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0), /* prctl */

	[62] = JUST(EV_SIGNAL, 1, 0),   /* kill */
	[129] = JUST(EV_SIGNAL, 1, 0),  /* rt_sigqueueinfo */
	[200] = JUST(EV_SIGNAL, 1, 0),  /* tkill */
	[234] = JUST(EV_SIGNAL, 2, 0),  /* tgkill */
	[297] = JUST(EV_SIGNAL, 2, 0),  /* rt_tgsigqueueinfo */
	[424] = JUST(EV_SIGNAL, 1, NONE), /* pidfd_send_signal */
	[101] = JUST(EV_PTRACE, 0, 1),
	[310] = JUST(EV_PTRACE, NONE, 0), /* process_vm_readv */
	[311] = JUST(EV_PTRACE, NONE, 0), /* process_vm_writev */
	[438] = JUST(EV_PTRACE, NONE, NONE), /* pidfd_getfd */
	[319] = C(IS_OPEN, EV_MEMFD, NONE, NONE, NONE, NONE, 1, NONE, NONE, 0),
	[447] = C(IS_OPEN, EV_MEMFD, NONE, NONE, NONE, NONE, 0, NONE, NONE, 0), /* memfd_secret */

	[1] = C(IS_WRITE, EV_DNS, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0),
	[20] = C(IS_WRITE, EV_DNS, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0), /* writev */
	[328] = C(IS_WRITE, EV_DNS, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0), /* pwritev2, which takes sockets */
	[41] = C(IS_SOCKET, EV_SOCKET, NONE, NONE, NONE, NONE, 0, NONE, NONE, 0),
	[42] = ON_ADDRESS(EV_CONNECT, 1),
	[43] = ON_ADDRESS(EV_ACCEPT, NONE),
	[44] = C(IS_SENDTO, EV_SENDTO, 0, 4, NONE, NONE, NONE, NONE, NONE, 0),
	[46] = C(IS_MESSAGE, EV_SENDTO, 0, NONE, NONE, NONE, NONE, NONE, NONE, 0),
	[49] = ON_ADDRESS(EV_BIND, 1),
	[50] = ON_ADDRESS(EV_LISTEN, NONE),
	[288] = ON_ADDRESS(EV_ACCEPT, NONE),
	[307] = C(IS_MESSAGES, EV_SENDTO, 0, NONE, NONE, NONE, NONE, NONE, NONE, 0),
};

#endif
