/* Ways into the kernel beside the one that everyone takes, and calls that need a privilege. */
#include "evade.h"

#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <asm/ldt.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#define X32 0x40000000

EVASION(io_uring)
{
	struct io_uring_params params = {0};
	int ring = syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0)
		return failed();
	char *sq = mmap(NULL, params.sq_off.array + 4 * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqes = mmap(NULL, 4 * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || sqes == MAP_FAILED)
		return failed();
	*sqes = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (__u64) "mark", .len = 0600,
				      .open_flags = O_CREAT | O_WRONLY};
	*(unsigned *)(sq + params.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	return check(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0));
}

/* creat(2) by the 32-bit entry, of a 64-bit program. */
EVASION(int80)
{
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long ret;
	strcpy(low, "mark");
	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(8), "b"(low), "c"(0600) : "memory");
	return ret < 0 && ret > -4096 ? -ret : access("mark", F_OK) ? UNEXPLAINED : 0;
}

EVASION(x32)
{
	return check(syscall(X32 | SYS_creat, "mark", 0600));
}

/* A whole program for the 32-bit entry. */
EVASION(program_of_32_bits)
{
	execl("/opt/bare32", "bare32", NULL);
	return failed();
}

/* No C library to hook. */
EVASION(program_without_a_library)
{
	execl("/opt/bare", "bare", NULL);
	return failed();
}

/* The system-call instruction that is left of time(2) in the page of virtual system calls. */
EVASION(vsyscall)
{
	long ret;
	register long mode __asm__("rsi") = 0600;
	__asm__ volatile("call *%[entry]"
			 : "=a"(ret)
			 : "a"(SYS_creat), "D"("mark"), "r"(mode), [entry] "r"(0xffffffffff600407UL)
			 : "rcx", "r11", "memory");
	return ret < 0 ? UNEXPLAINED : 0;
}

EVASION(userfaultfd)
{
	return check(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY));
}

EVASION(keyctl)
{
	return check(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1));
}

EVASION(bpf)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
	return check(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

EVASION(perf_event_open)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK};
	attr.exclude_kernel = 1;
	return check(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

EVASION(modify_ldt)
{
	struct user_desc segment = {.entry_number = 0, .limit = 1, .seg_32bit = 1};
	return check(syscall(SYS_modify_ldt, 1, &segment, sizeof(segment)));
}

/* Another name for the program that runs. */
EVASION(set_mm)
{
	int fd = open("/usr/bin/true", O_RDONLY);
	return check(prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, fd, 0, 0));
}

EVASION(bind_mount)
{
	mkdir("alias", 0700);
	if (mount("/workspace", "alias", NULL, MS_BIND, NULL))
		return failed();
	return make("alias/bind_mount/mark");
}

EVASION(open_tree)
{
	return check(syscall(SYS_open_tree, AT_FDCWD, ".", 1 /* OPEN_TREE_CLONE */));
}

EVASION(chroot)
{
	return check(chroot("."));
}
