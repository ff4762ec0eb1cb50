/* Making, moving and removing names. */
#include "conform.h"

#include <linux/fs.h>
#include <stdio.h>

CASE(mkdir_) { DO(syscall(SYS_mkdir, "made", 0711)); }
CASE(mkdirat_) { DO(syscall(SYS_mkdirat, FOLDER, "made", 0700)); }
CASE(mkdir_fails)
{
	FAILS(syscall(SYS_mkdir, "file", 0700), EEXIST);
	FAILS(syscall(SYS_mkdir, "missing/made", 0700), ENOENT);
	FAILS(syscall(SYS_mkdir, NULL, 0700), EFAULT);
}
CASE(rmdir_)
{
	DO(syscall(SYS_mkdir, "made", 0700));
	DO(syscall(SYS_rmdir, "made"));
	FAILS(syscall(SYS_rmdir, "folder"), ENOTEMPTY);
	FAILS(syscall(SYS_rmdir, "missing"), ENOENT);
}
CASE(unlinkat_folder)
{
	DO(syscall(SYS_mkdirat, FOLDER, "made", 0700));
	DO(syscall(SYS_unlinkat, FOLDER, "made", AT_REMOVEDIR));
	FAILS(syscall(SYS_unlinkat, HERE, "folder", AT_REMOVEDIR), ENOTEMPTY);
}
CASE(unlink_)
{
	DO(syscall(SYS_unlink, "link"));
	DO(syscall(SYS_unlink, "folder/inner"));
	FAILS(syscall(SYS_unlink, "missing"), ENOENT);
	FAILS(syscall(SYS_unlink, "folder"), EISDIR);
}
CASE(unlinkat_)
{
	DO(syscall(SYS_unlinkat, FOLDER, "inner", 0));
	FAILS(syscall(SYS_unlinkat, FOLDER, "inner", 0), ENOENT);
}
CASE(rename_)
{
	DO(syscall(SYS_rename, "file", "moved"));
	DO(syscall(SYS_rename, "moved", "folder/inner"));
	DO(syscall(SYS_rename, "link", "folderlink/link"));
	FAILS(syscall(SYS_rename, "missing", "other"), ENOENT);
}
CASE(rename_folder)
{
	DO(syscall(SYS_rename, "folder", "moved"));
	DO(syscall(SYS_open, "moved/inner", O_RDONLY));
	DO(syscall(SYS_chmod, "moved/inner", 0600));
}
CASE(renameat_)
{
	DO(syscall(SYS_renameat, HERE, "file", HERE, "moved"));
	DO(syscall(SYS_renameat, FOLDER, "inner", FOLDER, "moved"));
}
CASE(renameat_two_folders) { DO(syscall(SYS_renameat, HERE, "file", FOLDER, "moved")); }
CASE(renameat_opened_folder)
{
	int folder = DO(syscall(SYS_open, "folder", O_RDONLY | O_DIRECTORY));
	DO(syscall(SYS_renameat, AT_FDCWD, "file", folder, "moved"));
}
CASE(renameat2_) { DO(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "moved", 0)); }
CASE(renameat2_noreplace)
{
	FAILS(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "folder/inner", RENAME_NOREPLACE), EEXIST);
	DO(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "moved", RENAME_NOREPLACE));
}
static void exchange(const char *one, const char *other)
{
	if (syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE))
		_exit(errno == EINVAL ? ABSENT : 1);
}
CASE(renameat2_exchange)
{
	exchange("file", "folder");
	DO(syscall(SYS_chmod, "file/inner", 0600));
	DO(syscall(SYS_open, "folder", O_RDONLY));
}
CASE(renameat2_exchange_of_symlinks)
{
	exchange("link", "folderlink");
	DO(syscall(SYS_mkdir, "link/made", 0700));
	DO(syscall(SYS_truncate, "folderlink", 0));
}
CASE(link_)
{
	DO(syscall(SYS_link, "file", "hard"));
	FAILS(syscall(SYS_link, "file", "hard"), EEXIST);
	FAILS(syscall(SYS_link, "missing", "hard2"), ENOENT);
}
CASE(linkat_) { DO(syscall(SYS_linkat, HERE, "file", HERE, "hard", 0)); }
CASE(linkat_two_folders) { DO(syscall(SYS_linkat, HERE, "file", FOLDER, "hard", 0)); }
CASE(linkat_follow)
{
	DO(syscall(SYS_linkat, AT_FDCWD, "link", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
	DO(syscall(SYS_linkat, AT_FDCWD, "link", AT_FDCWD, "same", 0));
}
CASE(linkat_proc)
{
	DO(syscall(SYS_linkat, AT_FDCWD, "/proc/self/fd/12", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
}
CASE(symlink_)
{
	DO(syscall(SYS_symlink, "../any text\n", "soft"));
	FAILS(syscall(SYS_symlink, "x", "soft"), EEXIST);
}
CASE(symlinkat_) { DO(syscall(SYS_symlinkat, "/etc/passwd", FOLDER, "soft")); }
CASE(mknod_)
{
	DO(syscall(SYS_mknod, "fifo", S_IFIFO | 0600, 0));
	DO(syscall(SYS_mknod, "plain", S_IFREG | 0640, 0));
	FAILS(syscall(SYS_mknod, "file", S_IFIFO | 0600, 0), EEXIST);
}
CASE(mknodat_) { DO(syscall(SYS_mknodat, FOLDER, "fifo", S_IFIFO | 0640, 0)); }
CASE(mknod_device) { FAILS(syscall(SYS_mknod, "device", S_IFBLK | 0600, 0x800), EPERM); }
