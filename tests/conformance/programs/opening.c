/* Opening files, and the ways to name one. */
#include "conform.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CASE(open_new) { DO(syscall(SYS_open, "new", O_WRONLY | O_CREAT, 0640)); }
CASE(open_read) { DO(syscall(SYS_open, "file", O_RDONLY)); }
CASE(open_write) { DO(syscall(SYS_open, "file", O_RDWR | O_APPEND)); }
CASE(open_truncating)
{
	DO(syscall(SYS_open, "file", O_WRONLY | O_TRUNC));
	DO(syscall(SYS_open, "file", O_RDONLY | O_TRUNC));
}
CASE(open_existing_with_creat)
{
	DO(syscall(SYS_open, "file", O_RDWR | O_CREAT, 0600));
	DO(syscall(SYS_open, "file", O_RDONLY | O_CREAT, 0600));
}
CASE(open_exclusive)
{
	FAILS(syscall(SYS_open, "file", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	FAILS(syscall(SYS_open, "dangling", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
}
CASE(open_missing)
{
	FAILS(syscall(SYS_open, "missing", O_RDONLY), ENOENT);
	FAILS(syscall(SYS_open, "missing", O_RDWR), ENOENT);
	FAILS(syscall(SYS_open, "missing/new", O_WRONLY | O_CREAT, 0600), ENOENT);
}
static void close_to_all(void) { DO(chmod("file", 0)); }
CASE_AFTER(open_refused, close_to_all) { FAILS(syscall(SYS_open, "file", O_RDWR), EACCES); }
CASE(open_folder)
{
	DO(syscall(SYS_open, "folder", O_RDONLY | O_DIRECTORY));
	FAILS(syscall(SYS_open, "file", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(syscall(SYS_open, "folder", O_WRONLY), EISDIR);
}
CASE(open_nofollow)
{
	FAILS(syscall(SYS_open, "link", O_RDONLY | O_NOFOLLOW), ELOOP);
	DO(syscall(SYS_open, "link", O_PATH | O_NOFOLLOW));
}
CASE(open_path_and_again)
{
	char name[64];
	sprintf(name, "/proc/self/fd/%d", (int)DO(syscall(SYS_open, "file", O_PATH)));
	DO(syscall(SYS_open, name, O_RDWR));
}
CASE(open_tmpfile) { DO(syscall(SYS_open, ".", O_TMPFILE | O_RDWR, 0600)); }
CASE(open_no_name) { FAILS(syscall(SYS_open, NULL, O_RDONLY), EFAULT); }
CASE(creat_new) { DO(syscall(SYS_creat, "new", 0604)); }
CASE(creat_existing) { DO(syscall(SYS_creat, "file", 0604)); }
CASE(openat_cwd) { DO(syscall(SYS_openat, AT_FDCWD, "new", O_WRONLY | O_CREAT | O_EXCL, 0600)); }
CASE(openat_folder)
{
	DO(syscall(SYS_openat, FOLDER, "inner", O_RDWR));
	DO(syscall(SYS_openat, FOLDER, "../new", O_WRONLY | O_CREAT, 0600));
	FAILS(syscall(SYS_openat, FOLDER, "missing", O_RDONLY), ENOENT);
}
CASE(openat_absolute) { DO(syscall(SYS_openat, FOLDER, "/workspace/openat_absolute/file", O_RDONLY)); }
CASE(openat_bad_folder)
{
	FAILS(syscall(SYS_openat, 99, "inner", O_RDONLY), EBADF);
	FAILS(syscall(SYS_openat, FILE_, "inner", O_RDONLY), ENOTDIR);
}
CASE(openat2)
{
	struct open_how how = {.flags = O_CREAT | O_WRONLY, .mode = 0444};
	DO(syscall(SYS_openat2, FOLDER, "new", &how, sizeof(how)));
	how = (struct open_how){.flags = O_RDWR};
	DO(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof(how)));
	how = (struct open_how){.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
	FAILS(syscall(SYS_openat2, FOLDER, "../file", &how, sizeof(how)), EXDEV);
}

/* A handle is had before the case begins, and handed on as text. */
union handle {
	struct file_handle head;
	unsigned char bytes[128];
};
static void take_handle(void)
{
	union handle h = {.head.handle_bytes = sizeof(h) - sizeof(h.head)};
	char text[2 * sizeof(h) + 1] = "";
	int mount;
	DO(name_to_handle_at(AT_FDCWD, "file", &h.head, &mount, 0));
	for (size_t i = 0; i < sizeof(h); i++)
		sprintf(text + 2 * i, "%02x", h.bytes[i]);
	DO(setenv("HANDLE", text, 1));
}
CASE_AFTER(open_by_handle, take_handle)
{
	union handle h;
	const char *text = getenv("HANDLE");
	for (size_t i = 0; i < sizeof(h); i++)
		sscanf(text + 2 * i, "%2hhx", &h.bytes[i]);
	DO(syscall(SYS_open_by_handle_at, HERE, &h, O_RDWR));
	DO(syscall(SYS_open_by_handle_at, HERE, &h, O_RDONLY));
}

/* ---- ways to name a file ---- */

CASE(path_dots)
{
	DO(syscall(SYS_open, "folder/../file", O_RDONLY));
	DO(syscall(SYS_open, ".//./folder/./inner", O_RDONLY));
	DO(syscall(SYS_mkdir, "../path_dots/../path_dots/made", 0700));
	FAILS(syscall(SYS_open, "folder/../../../../../none", O_RDONLY), ENOENT);
}
CASE(path_chdir)
{
	DO(syscall(SYS_chdir, "folder"));
	DO(syscall(SYS_open, "inner", O_RDONLY));
	DO(syscall(SYS_mkdir, "made", 0700));
	DO(syscall(SYS_chdir, "../folderlink"));
	DO(syscall(SYS_rmdir, "made"));
	DO(syscall(SYS_chdir, ".."));
	DO(syscall(SYS_unlink, "file"));
}
CASE(path_fchdir)
{
	DO(syscall(SYS_fchdir, FOLDER));
	DO(syscall(SYS_open, "inner", O_RDONLY));
	DO(syscall(SYS_mkdir, "made", 0700));
}
CASE(path_moved_folder)
{
	DO(syscall(SYS_chdir, "folder"));
	DO(syscall(SYS_rename, "../folder", "../moved"));
	DO(syscall(SYS_mkdir, "made", 0700));
	DO(syscall(SYS_openat, FOLDER, "inner", O_RDONLY));
	DO(syscall(SYS_unlinkat, FOLDER, "inner", 0));
}
CASE(path_symlinks)
{
	DO(syscall(SYS_open, "link", O_RDONLY));
	DO(syscall(SYS_open, "folderlink/inner", O_RDONLY));
	DO(syscall(SYS_mkdir, "folderlink/made", 0700));
	DO(syscall(SYS_mkdir, "folderlink/../beside", 0700));
	DO(syscall(SYS_open, "dangling", O_WRONLY | O_CREAT, 0600));
	DO(syscall(SYS_truncate, "dangling", 0));
	DO(syscall(SYS_unlink, "link"));
}
CASE(path_symlink_gone_at_once)
{
	DO(syscall(SYS_symlink, "folder", "brief"));
	DO(syscall(SYS_mkdir, "brief/made", 0700));
	DO(syscall(SYS_unlink, "brief"));
}
CASE(path_symlink_from_before)
{
	DO(syscall(SYS_open, "/opt/old/path_symlink_from_before/file", O_RDONLY));
	DO(syscall(SYS_mkdir, "/opt/old/path_symlink_from_before/made", 0700));
}
CASE(path_symlink_loop)
{
	DO(syscall(SYS_symlink, "loop", "loop"));
	FAILS(syscall(SYS_open, "loop/inner", O_RDONLY), ELOOP);
}
CASE(path_proc_aliases)
{
	DO(syscall(SYS_open, "/proc/self/root/workspace/path_proc_aliases/file", O_RDONLY));
	DO(syscall(SYS_mkdir, "/proc/self/cwd/one", 0700));
	DO(syscall(SYS_mkdir, "/proc/self/fd/11/two", 0700));
	DO(syscall(SYS_mkdir, "/proc/thread-self/cwd/three", 0700));
	DO(syscall(SYS_chmod, "/proc/self/fd/12", 0600));
	DO(syscall(SYS_open, "/proc/self/fd/12", O_RDWR));
}
CASE(path_trailing_slash)
{
	DO(syscall(SYS_mkdir, "made/", 0700));
	DO(syscall(SYS_rmdir, "made//"));
	FAILS(syscall(SYS_open, "file/", O_RDONLY), ENOTDIR);
}
CASE(path_other_mount)
{
	DO(syscall(SYS_open, "/dev/shm/made", O_WRONLY | O_CREAT, 0600));
	DO(syscall(SYS_rename, "/dev/shm/made", "/dev/shm/../shm/moved"));
	DO(syscall(SYS_unlink, "/dev/shm/moved"));
	FAILS(syscall(SYS_rename, "file", "/dev/shm/file"), EXDEV);
}

/* Folders of 200 letters, one in the other, with the innermost as working directory. */
static void go_down(int levels)
{
	char name[201] = "";
	memset(name, 'd', 200);
	while (levels--) {
		DO(mkdir(name, 0755));
		DO(chdir(name));
	}
}
static void go_down_19(void) { go_down(19); }
static void go_down_30(void) { go_down(30); }

CASE_AFTER(path_of_4095_bytes, go_down_19)
{
	static char name[8192] = "/workspace/path_of_4095_bytes";
	char *end = name + strlen(name);
	for (int i = 0; i < 19; i++) {
		*end++ = '/';
		end = memset(end, 'd', 200) + 200;
	}
	*end++ = '/';
	memset(end, 'f', name + 4095 - end);
	DO(syscall(SYS_open, name, O_WRONLY | O_CREAT, 0600));
	DO(syscall(SYS_chmod, name, 0644));
	FAILS(syscall(SYS_mkdir, name, 0700), EEXIST);
	DO(syscall(SYS_unlink, name));
}
CASE(path_of_4096_bytes)
{
	static char name[8192];
	memset(name, '/', 4092);
	strcpy(name + 4092, "none");
	FAILS(syscall(SYS_open, name, O_RDONLY), ENAMETOOLONG);
	FAILS(syscall(SYS_mkdir, name, 0700), ENAMETOOLONG);
}
CASE_AFTER(path_deeper_than_a_name, go_down_30)
{
	DO(syscall(SYS_open, "new", O_WRONLY | O_CREAT, 0600));
	DO(syscall(SYS_rename, "new", "moved"));
	DO(syscall(SYS_mkdir, "made", 0700));
}

static void three(const char *name)
{
	DO(syscall(SYS_open, name, O_WRONLY | O_CREAT, 0600));
	DO(syscall(SYS_rename, name, "moved"));
	DO(syscall(SYS_rename, "moved", name));
	DO(syscall(SYS_unlink, name));
}
CASE(name_with_newline) { three("new\nline\n"); }
CASE(name_not_utf8) { three("\xff\xfe(\xc0\xaf)"); }
CASE(name_of_letters) { three("\xc3\xa9\xe6\x97\xa5\xf0\x9f\x8e\x89"); }
CASE(name_with_backslash) { three("back\\slash\\n"); }
CASE(name_like_a_trace) { three("quote\" ) = 0 (0x0), <4<etc>>"); }
CASE(name_of_255_bytes)
{
	char name[256] = "";
	memset(name, 'n', 255);
	three(name);
}
