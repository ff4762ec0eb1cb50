/* Changing what a file is, by its name and by a descriptor. */
#include "conform.h"

#include <sys/time.h>
#include <utime.h>

CASE(chmod_)
{
	DO(syscall(SYS_chmod, "file", 0600));
	DO(syscall(SYS_chmod, "link", 0604));
	FAILS(syscall(SYS_chmod, "missing", 0600), ENOENT);
}
CASE(fchmod_)
{
	DO(syscall(SYS_fchmod, FILE_, 0600));
	FAILS(syscall(SYS_fchmod, 99, 0600), EBADF);
}
CASE(fchmodat_)
{
	DO(syscall(SYS_fchmodat, FOLDER, "inner", 0600));
	DO(syscall(SYS_fchmodat, HERE, "link", 0600));
}
CASE(fchmodat2_)
{
	DO(syscall(NR_fchmodat2, HERE, "link", 0601, 0));
	DO(syscall(NR_fchmodat2, FOLDER, "inner", 0602, AT_SYMLINK_NOFOLLOW));
	DO(syscall(NR_fchmodat2, FILE_, "", 0603, AT_EMPTY_PATH));
	FAILS(syscall(NR_fchmodat2, HERE, "link", 0604, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
}
CASE(chown_)
{
	DO(syscall(SYS_chown, "link", -1, -1));
	FAILS(syscall(SYS_chown, "missing", -1, -1), ENOENT);
}
CASE(chown_refused) { FAILS(syscall(SYS_chown, "file", 0, 0), EPERM); }
CASE(lchown_) { DO(syscall(SYS_lchown, "link", -1, -1)); }
CASE(fchown_) { DO(syscall(SYS_fchown, FILE_, -1, -1)); }
CASE(fchownat_)
{
	DO(syscall(SYS_fchownat, HERE, "link", -1, -1, 0));
	DO(syscall(SYS_fchownat, HERE, "link", -1, -1, AT_SYMLINK_NOFOLLOW));
	DO(syscall(SYS_fchownat, FILE_, "", -1, -1, AT_EMPTY_PATH));
}
CASE(truncate_)
{
	DO(syscall(SYS_truncate, "link", 1));
	FAILS(syscall(SYS_truncate, "folder", 0), EISDIR);
}
CASE(ftruncate_)
{
	DO(syscall(SYS_ftruncate, FILE_, 10));
	FAILS(syscall(SYS_ftruncate, HERE, 10), EINVAL);
}

/* Whether the file system takes them is not what is asked here. */
CASE(setxattr_) { syscall(SYS_setxattr, "link", "user.a", "b", 1, 0); }
CASE(lsetxattr_) { syscall(SYS_lsetxattr, "link", "user.a", "b", 1, 0); }
CASE(fsetxattr_) { syscall(SYS_fsetxattr, FILE_, "user.a", "b", 1, 0); }
CASE(removexattr_) { syscall(SYS_removexattr, "link", "user.a"); }
CASE(lremovexattr_) { syscall(SYS_lremovexattr, "link", "user.a"); }
CASE(fremovexattr_) { syscall(SYS_fremovexattr, FILE_, "user.a"); }
struct xattr_args {
	unsigned long value;
	unsigned size, flags;
};
CASE(setxattrat_)
{
	struct xattr_args args = {(unsigned long)"b", 1, 0};
	DO(syscall(NR_setxattrat, HERE, "link", 0, "user.a", &args, sizeof(args)));
	DO(syscall(NR_setxattrat, FILE_, "", AT_EMPTY_PATH, "user.a", &args, sizeof(args)));
	FAILS(syscall(NR_setxattrat, HERE, "missing", 0, "user.a", &args, sizeof(args)), ENOENT);
}
CASE(removexattrat_)
{
	FAILS(syscall(NR_removexattrat, HERE, "link", 0, "user.a"), ENODATA);
	FAILS(syscall(NR_removexattrat, FILE_, "", AT_EMPTY_PATH, "user.a"), ENODATA);
}
CASE(file_setattr_)
{
	unsigned long attributes[8] = {0};
	FAILS(syscall(NR_file_setattr, HERE, "missing", attributes, 24, 0), ENOENT);
}

CASE(utime_)
{
	struct utimbuf times = {1, 1};
	DO(syscall(SYS_utime, "link", &times));
	FAILS(syscall(SYS_utime, "missing", NULL), ENOENT);
}
CASE(utimes_) { DO(syscall(SYS_utimes, "link", NULL)); }
CASE(futimesat_)
{
	DO(syscall(SYS_futimesat, FOLDER, "inner", NULL));
	DO(syscall(SYS_futimesat, FILE_, NULL, NULL));
}
CASE(utimensat_)
{
	DO(syscall(SYS_utimensat, HERE, "link", NULL, 0));
	DO(syscall(SYS_utimensat, HERE, "link", NULL, AT_SYMLINK_NOFOLLOW));
	DO(syscall(SYS_utimensat, FILE_, NULL, NULL, 0));
}
