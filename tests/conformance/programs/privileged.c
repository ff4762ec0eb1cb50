/* What a sandbox refuses; and what it is when nothing does. */
#include "conform.h"

#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* ---- refused by the sandbox's filter ---- */

CASE(refused_mount) { FAILS(syscall(SYS_mount, "none", "folder", "tmpfs", 0, NULL), EPERM); }
CASE(refused_ptrace) { FAILS(syscall(SYS_ptrace, PTRACE_SEIZE, getppid(), 0, 0), EPERM); }
CASE(refused_process_vm_writev) { FAILS(syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0), EPERM); }
CASE(refused_unshare) { FAILS(syscall(SYS_unshare, CLONE_NEWUSER), EPERM); }
CASE(refused_clone) { FAILS(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EPERM); }
CASE(refused_clone3) { (void)!syscall(SYS_clone3, NULL, 0); }
CASE(refused_io_uring) { FAILS(syscall(SYS_io_uring_setup, 8, NULL), EPERM); }
CASE(refused_bpf) { FAILS(syscall(SYS_bpf, 0, NULL, 0), EPERM); }
CASE(refused_open_by_handle) { FAILS(syscall(SYS_open_by_handle_at, HERE, NULL, O_RDONLY), EPERM); }
CASE(refused_socket_family) { REFUSED(syscall(SYS_socket, AF_VSOCK, SOCK_STREAM, 0)); }
CASE(refused_personality) { REFUSED(syscall(SYS_personality, 8)); }
/* mkdir(2) by the 32-bit entry, whose numbers are others: who lives on has no such entry. */
CASE(refused_32_bit)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(39L), "b"(0L), "c"(0L) : "memory", "r8", "r9", "r10", "r11");
	_exit(ABSENT);
}
/* mkdir(2) as x32. */
CASE(refused_x32)
{
	syscall(0x40000000 | SYS_mkdir, "made", 0700);
	_exit(ABSENT);
}

/* ---- not refused ---- */

CASE(mount_)
{
	DO(syscall(SYS_mount, "none", "folder", "tmpfs", MS_NOSUID, NULL));
	DO(syscall(SYS_open, "folder/new", O_WRONLY | O_CREAT, 0600));
	DO(syscall(SYS_umount2, "folder", MNT_DETACH));
	FAILS(syscall(SYS_mount, "none", "missing", "tmpfs", 0, NULL), ENOENT);
}
CASE(mount_bind)
{
	DO(syscall(SYS_mkdir, "bound", 0700));
	DO(syscall(SYS_mount, "folder", "bound", NULL, MS_BIND, NULL));
	DO(syscall(SYS_open, "bound/inner", O_RDONLY));
	DO(syscall(SYS_mkdir, "bound/made", 0700));
	DO(syscall(SYS_umount2, "bound", MNT_DETACH));
	DO(syscall(SYS_rmdir, "folder/made"));
}
CASE(mount_by_descriptors)
{
	int tree = DO(syscall(SYS_open_tree, AT_FDCWD, "folder", 1 /* OPEN_TREE_CLONE */));
	DO(syscall(SYS_mkdir, "bound", 0700));
	DO(syscall(SYS_move_mount, tree, "", AT_FDCWD, "bound", 4 /* MOVE_MOUNT_F_EMPTY_PATH */));
	DO(syscall(SYS_mount_setattr, AT_FDCWD, "bound", 0, (unsigned long[4]){1 /* MOUNT_ATTR_RDONLY */}, 32));
	FAILS(syscall(SYS_open, "bound/new", O_WRONLY | O_CREAT, 0600), EROFS);
	DO(syscall(SYS_umount2, "bound", MNT_DETACH));
}
CASE(mount_by_context)
{
	int context = DO(syscall(SYS_fsopen, "tmpfs", 0));
	DO(syscall(SYS_fsconfig, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0));
	DO(syscall(SYS_fsmount, context, 0, 0));
	FAILS(syscall(SYS_fspick, AT_FDCWD, "missing", 0), ENOENT);
}
CASE(pivot_root_fails) { REFUSED(syscall(SYS_pivot_root, "folder", "folder")); }
CASE(chroot_) { DO(syscall(SYS_chroot, "folder")); }
CASE(ptrace_missing) { FAILS(syscall(SYS_ptrace, PTRACE_ATTACH, 99999, 0, 0), ESRCH); }
CASE(ptrace_child)
{
	int pid = waiting_child();
	long traced = syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0);
	DO(kill(pid, SIGKILL));
	DO(waitpid(pid, NULL, 0));
	DO(traced);
}
CASE(process_vm)
{
	char from = 'x', to;
	struct iovec ours = {&to, 1}, theirs = {&from, 1};
	DO(syscall(SYS_process_vm_readv, getpid(), &ours, 1, &theirs, 1, 0));
	DO(syscall(SYS_process_vm_writev, getpid(), &ours, 1, &theirs, 1, 0));
}
CASE(pidfd_getfd_)
{
	int self = DO(syscall(SYS_pidfd_open, getpid(), 0));
	DO(syscall(SYS_pidfd_getfd, self, FILE_, 0));
}
CASE(mknod_device_made) { (void)!syscall(SYS_mknod, "device", S_IFCHR | 0600, 0x103); }
CASE(linkat_descriptor) { DO(syscall(SYS_linkat, FILE_, "", AT_FDCWD, "hard", AT_EMPTY_PATH)); }
CASE(chown_made) { DO(syscall(SYS_chown, "file", 1000, 1000)); }
