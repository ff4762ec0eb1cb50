/* What runs in the kernel: marks the tasks of one sandbox, counts their system calls, hands the rest to the loader. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "record.h"
#include "calls.h"

char LICENSE[] SEC("license") = "GPL";

/* A field of a kernel object: a number, or with POINTER a pointer as a number, which any function takes. A plain load by
 * way of bpf_rdonly_cast (Linux 6.2): a helper's call for each field would cost several times as much. */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym;
#define CAST(type, object) ((struct type *)bpf_rdonly_cast((void *)(object), bpf_core_type_id_kernel(struct type)))
#define GET(type, object, field) (CAST(type, object)->field)
/* A struct of the kernel's that begins with a number of 64 bits, laid over the pointer. */
#define POINTER(type, object, field) \
	(CAST(open_how, (void *)(object) + bpf_core_field_offset(struct type, field))->flags)

#define TS_COMPAT 0x0002
#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define AT_SYMLINK_FOLLOW 0x400
#define AT_EMPTY_PATH 0x1000
#define O_WRONLY 1
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_NOFOLLOW 0400000
#define O_TMPFILE_BIT 020000000
#define FMODE_CREATED 0x100000
#define SIGNAL_GROUP_EXIT 4
#define S_IFSOCK 0140000
#define S_IFMT 0170000
#define EINTR 4
#define ENOSYS 38
#define EINPROGRESS 115
#define O_EXCL 0200
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define VM_WRITE 2
#define VM_SHARED 8
#define PR_SET_MM 35
#define X32_BIT 0x40000000
#define DNS_PORT 53
#define DNS_MAX 512
#define MESSAGES_MAX 1024 /* UIO_MAXIOV: sendmmsg takes no more */
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516
#define EPERM 1

#define NAME_MAX_BYTES 4096 /* PATH_MAX, its NUL too */
#define WALK_MAX 8192       /* longest walked path; longer ones are cut at the root's end */
#define ARGV_SHORT 8192
#define ARGV_PART 16384
#define DATA_MAX (28 * 1024)
#define SOCKADDR_MAX 128

/* Slots for processes and tasks, found by number: it has this many places where its slot can be. */
#define PROCESSES 2048
#define TASKS 4096
#define PLACES 8
#define PLACE(number, i, slots) (((number) + (i) * 257) & ((slots) - 1))

enum mark { UNTRACKED, OUTSIDE, INSIDE }; /* a tracked task: outside of system calls, inside one that was seen to begin */

struct scratch {
	struct record record;
	__u8 data[DATA_MAX];
	__u64 args[8];
	__u32 length; /* bytes of data in use */
	__u32 taken;  /* bytes that were read last, a NUL too; 0: unreadable */
	__u32 busy;
};

/* What was seen as a system call began, to be compared with what is there as it ends. */
struct entry {
	__u64 name1, name2; /* keyed hashes, 0: unreadable */
	__u64 base1, base2; /* folders that relative names start at */
	__u64 flags;        /* openat2 */
	__u32 fd;           /* execveat: descriptor + 1 of the file itself, 0: by name */
	__u32 changeable;   /* a name that was unreadable lies where another task may write */
	__u32 owner;        /* task, 0: a free slot */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} ring SEC(".maps");

/* One byte for each task number, eight in an element: marking a task can't fail for want of memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} marks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TASKS);
	__type(key, __u32);
	__type(value, struct entry);
} entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROCESSES);
	__type(key, __u32);
	__type(value, struct process);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct totals totals;
__u32 seed_pid;    /* every task of this process is tracked from its next system call on */
__u64 root_dentry; /* root of the sandbox */
__u64 root_mount;
__u32 dns_used; /* a socket has a name server as its peer: from then on write(2) is looked at */
const volatile __u64 hash_key = 0x9e3779b97f4a7c15;
static const volatile __u64 zeros[CALLS];

static __always_inline struct scratch *scratch(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratches, &zero);
}

static __always_inline __u8 *mark_of(__u32 tid)
{
	__u32 key = tid >> 3;
	__u8 *eight = bpf_map_lookup_elem(&marks, &key);
	return eight ? eight + (tid & 7) : NULL;
}

static __always_inline void mark(__u32 tid, __u8 value)
{
	__u8 *at = mark_of(tid);
	if (!at) {
		__sync_fetch_and_add(&totals.unmarked, 1);
		return;
	}
	if (!*at)
		__sync_fetch_and_add(&totals.live, 1);
	*at = value;
}

/* Number of the slot of a task, taken for it where it has none; negative where all its places are taken. */
__noinline int find_entry(__u32 tid)
{
	for (__u32 i = 0; i < PLACES; i++) {
		__u32 key = PLACE(tid, i, TASKS);
		struct entry *entry = bpf_map_lookup_elem(&entries, &key);
		if (entry && entry->owner == tid)
			return key;
	}
	for (__u32 i = 0; i < PLACES; i++) {
		__u32 key = PLACE(tid, i, TASKS);
		struct entry *entry = bpf_map_lookup_elem(&entries, &key);
		if (entry && !__sync_val_compare_and_swap(&entry->owner, 0, tid))
			return key;
	}
	__sync_fetch_and_add(&totals.unmarked, 1);
	return -1;
}

static __always_inline struct entry *entry_of(__u32 tid)
{
	__u32 key = PLACE(tid, 0, TASKS);
	struct entry *entry = bpf_map_lookup_elem(&entries, &key);
	if (entry && entry->owner == tid)
		return entry;
	key = find_entry(tid);
	return bpf_map_lookup_elem(&entries, &key);
}

static __always_inline void free_entry(__u32 tid)
{
	for (__u32 i = 0; i < PLACES; i++) {
		__u32 key = PLACE(tid, i, TASKS);
		struct entry *entry = bpf_map_lookup_elem(&entries, &key);
		if (entry && entry->owner == tid)
			entry->owner = 0;
	}
}

/* Likewise of a process. Two threads may come here at once and take two: both are read at the end. */
__noinline int find_process(__u32 pid)
{
	for (__u32 i = 0; i < PLACES; i++) {
		__u32 key = PLACE(pid, i, PROCESSES);
		struct process *process = bpf_map_lookup_elem(&processes, &key);
		if (process && process->owner == pid)
			return key;
	}
	for (__u32 i = 0; i < PLACES; i++) {
		__u32 key = PLACE(pid, i, PROCESSES);
		struct process *process = bpf_map_lookup_elem(&processes, &key);
		if (process && !__sync_val_compare_and_swap(&process->owner, 0, pid))
			return key;
	}
	return -1;
}

static __always_inline struct process *process_of(__u32 pid)
{
	__u32 key = PLACE(pid, 0, PROCESSES);
	struct process *process = bpf_map_lookup_elem(&processes, &key);
	if (process && process->owner == pid)
		return process;
	key = find_process(pid);
	return bpf_map_lookup_elem(&processes, &key);
}

/* ---- records ---- */

static __always_inline void put_comm(struct record *r, __u64 task)
{
	__u64 comm = task + bpf_core_field_offset(struct task_struct, comm);
	((__u64 *)r->comm)[0] = CAST(open_how, comm)->flags;
	((__u64 *)r->comm)[1] = CAST(open_how, comm)->mode;
}

/* Scratch space for a new record, NULL where it is in use (nothing here may interrupt itself, so that is a loss). */
static __always_inline struct scratch *begin(__u8 op, __s64 ret)
{
	struct scratch *s = scratch();
	if (!s)
		return NULL;
	if (s->busy) {
		__sync_fetch_and_add(&totals.reentered, 1);
		return NULL;
	}
	s->busy = 1;
	__u64 task = bpf_get_current_task();
	struct record *r = &s->record;
	r->ts_ns = bpf_ktime_get_ns();
	/* An interrupted call that the kernel may begin anew: seen as it looks to a caller that does not. */
	r->ret = ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK ? -EINTR : ret;
	r->flags = 0;
	r->pid = GET(task_struct, task, tgid);
	r->tid = GET(task_struct, task, pid);
	r->ppid = GET(task_struct, POINTER(task_struct, task, real_parent), tgid);
	__u64 cred = POINTER(task_struct, task, cred);
	r->uid = GET(cred, cred, euid.val);
	r->gid = GET(cred, cred, egid.val);
	r->mode = 0;
	r->ns_pid = r->ns_tid = 0;
	r->target = 0;
	r->inode = 0;
	r->family = r->type = r->protocol = 0;
	r->len[PATH1] = r->len[BASE1] = r->len[PATH2] = r->len[BASE2] = 0;
	r->op = op;
	r->source = SOURCE_KERNEL;
	r->bits = 0;
	r->file_type = 0;
	put_comm(r, task);
	s->length = 0;
	return s;
}

static __always_inline void emit(struct scratch *s)
{
	__u64 size = s->length;
	if (size > DATA_MAX)
		size = DATA_MAX;
	s->record.seq = __sync_fetch_and_add(&totals.emitted, 1);
	/* No wake-up: the loader polls, so that what is recorded does not pay for it. */
	if (bpf_ringbuf_output(&ring, &s->record, sizeof(s->record) + size, BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&totals.dropped, 1);
	s->busy = 0;
}

/* ---- names from memory ---- */

/* Where the next bytes of the record in hand go; there is room for a name and a word more. */
static __always_inline __u8 *end_of(struct scratch *s)
{
	__u64 at = s->length;
	if (at > DATA_MAX - NAME_MAX_BYTES - 8)
		return NULL;
	barrier_var(at); /* the verifier wants the sum after the comparison */
	return s->data + at;
}

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
	return hash ^ hash >> 32;
}

#define SHORT_WORDS 12

struct mixing {
	__u64 hash;
	__u32 words;
};

static long mix_one(__u32 i, struct mixing *m)
{
	struct scratch *s = scratch();
	__u8 *to = s ? end_of(s) : NULL;
	i += SHORT_WORDS;
	if (!to || i >= NAME_MAX_BYTES / 8)
		return 1;
	m->hash = mix(m->hash, *(__u64 *)(to + i * 8));
	return 0;
}

/* Read a name of the caller's to the end of the data, which does not grow by it; its keyed hash, 0 where it can't be
 * read. */
__noinline __u64 take_name(__u64 pointer)
{
	struct scratch *s = scratch();
	__u8 *to = s ? end_of(s) : NULL;
	if (!to)
		return 0;
	s->taken = 0;
	long n = bpf_probe_read_user_str(to, NAME_MAX_BYTES, (void *)pointer);
	if (n <= 0 || n > NAME_MAX_BYTES)
		return 0;
	s->taken = n;
	*(__u64 *)(to + (n & 0x1fff)) = 0;
	struct mixing m = {.hash = hash_key, .words = ((__u32)n + 7) / 8};
	for (__u32 i = 0; i < SHORT_WORDS; i++) {
		if (i >= m.words)
			break;
		m.hash = mix(m.hash, *(__u64 *)(to + i * 8));
	}
	if (m.words > SHORT_WORDS)
		bpf_loop(m.words - SHORT_WORDS, mix_one, &m, 0);
	return m.hash | 1;
}

/* Likewise an address of `length` bytes. */
__noinline __u64 take_bytes(__u64 pointer, __u32 length)
{
	struct scratch *s = scratch();
	__u8 *to = s ? end_of(s) : NULL;
	if (!to)
		return 0;
	if (length > SOCKADDR_MAX)
		length = SOCKADDR_MAX;
	s->taken = 0;
	if (!length || bpf_probe_read_user(to, length, (void *)pointer))
		return 0;
	s->taken = length;
	*(__u64 *)(to + (length & 0xff)) = 0;
	__u64 hash = hash_key;
	for (int i = 0; i < SOCKADDR_MAX / 8; i++) {
		if ((__u32)i * 8 >= length)
			break;
		hash = mix(hash, *(__u64 *)(to + i * 8));
	}
	return hash | 1;
}

/* Keep what was taken, `cut` bytes less, in the data; its length. */
static __always_inline __u32 keep(struct scratch *s, __u32 cut)
{
	__u32 n = s->taken > cut ? s->taken - cut : 0;
	s->length += n;
	return n;
}

static __always_inline bool is_absolute(struct scratch *s)
{
	__u8 *name = end_of(s);
	return name && s->taken && name[0] == '/';
}

/* ---- paths from the kernel's objects ---- */

struct walk {
	__u64 dentry, mount, mount_root;
	__u32 at, end, cut, loose;
};

/* Go one folder up; 1 at the end. */
static __always_inline long up(struct scratch *s, struct walk *w)
{
	__u64 dentry = w->dentry;
	/* The sandbox's root may be a folder within a mount (chroot). */
	if (dentry == root_dentry && w->mount == root_mount)
		return 1;
	if (dentry == w->mount_root) {
		__u64 parent = POINTER(mount, w->mount, mnt_parent);
		if (parent == w->mount)
			return 1;
		w->dentry = POINTER(mount, w->mount, mnt_mountpoint);
		w->mount = parent;
		w->mount_root = POINTER(mount, parent, mnt.mnt_root);
		return 0;
	}
	__u32 at = w->at, n = GET(dentry, dentry, d_name.len);
	if (at > w->end - 257 || at > DATA_MAX - 257) {
		w->cut = 1;
		return 1;
	}
	if (n > 255)
		n = 255;
	const void *name = (void *)POINTER(dentry, dentry, d_name.name);
	/* A short name lies in the object itself. */
	if (bpf_core_field_exists(((struct dentry *)0)->d_shortname) && n <= 32 && (__u64)name == dentry + bpf_core_field_offset(struct dentry, d_shortname)) {
		const __u64 *words = (void *)&GET(dentry, dentry, d_shortname);
		__u64 *to = (void *)(s->data + at);
		to[0] = words[0];
		to[1] = words[1];
		to[2] = words[2];
		to[3] = words[3];
	} else {
		bpf_probe_read_kernel(s->data + at, n, name);
	}
	at += n;
	if (at > DATA_MAX - 1)
		return 1;
	s->data[at] = '/';
	w->at = at + 1;
	w->dentry = POINTER(dentry, dentry, d_parent);
	if (w->dentry == dentry) {
		w->loose = 1;
		return 1;
	}
	return 0;
}

static long step(__u32 i, struct walk *w)
{
	struct scratch *s = scratch();
	return !s || up(s, w);
}

/* Append the names from a dentry up to the root of the sandbox, leaf first; their length. `is_path`: this is what the
 * record tells of, not where a name starts, so that BIT_LOOSE tells of it. */
__noinline int walk(__u64 mnt, __u64 dentry, __u32 is_path)
{
	struct scratch *s = scratch();
	if (!s || !mnt)
		return 0;
	struct walk w = {.dentry = dentry};
	w.at = s->length;
	if (w.at > DATA_MAX - WALK_MAX)
		return 0;
	w.end = w.at + WALK_MAX;
	w.mount = mnt - bpf_core_field_offset(struct mount, mnt);
	w.mount_root = POINTER(mount, w.mount, mnt.mnt_root);
	bpf_loop(WALK_MAX, step, &w, 0);
	__u32 at = s->length;
	s->length = w.at;
	if (w.cut)
		s->record.bits |= BIT_CUT;
	if (w.loose && is_path)
		s->record.bits |= BIT_LOOSE;
	return w.at - at;
}

static __always_inline __u64 file_of(__s32 fd)
{
	__u64 task = bpf_get_current_task();
	__u64 files = POINTER(task_struct, task, files);
	if (!files || fd < 0)
		return 0;
	__u64 table = POINTER(files_struct, files, fdt);
	if ((__u32)fd >= GET(fdtable, table, max_fds))
		return 0;
	/* A pointer to pointers: read as what begins with one. */
	__u64 slots = POINTER(fdtable, table, fd);
	return POINTER(hlist_head, slots + fd * 8, first);
}

static __always_inline int walk_file(__u64 file)
{
	return walk(POINTER(file, file, f_path.mnt), POINTER(file, file, f_path.dentry), 1);
}

/* PATH1 of the record in hand from an open file. */
static __always_inline void put_file(struct scratch *s, __u64 file)
{
	s->record.bits |= BIT_WALKED;
	s->record.len[PATH1] = walk_file(file);
	if (s->record.bits & BIT_LOOSE) {
		__u64 inode = POINTER(file, file, f_inode);
		s->record.inode = GET(inode, inode, i_ino);
		s->record.file_type = GET(inode, inode, i_mode) >> 12;
	}
}

struct folder {
	__u64 mnt, dentry;
};

/* The folder that a name starts at: an absolute one at the root of the caller. No dentry where there is none. */
static __always_inline struct folder folder_of(__s32 dirfd, bool absolute)
{
	__u64 task = bpf_get_current_task();
	struct folder folder = {};
	__u64 fs = POINTER(task_struct, task, fs);
	if (absolute) {
		folder.mnt = POINTER(fs_struct, fs, root.mnt);
		folder.dentry = POINTER(fs_struct, fs, root.dentry);
	} else if (dirfd == AT_FDCWD) {
		folder.mnt = POINTER(fs_struct, fs, pwd.mnt);
		folder.dentry = POINTER(fs_struct, fs, pwd.dentry);
	} else {
		__u64 file = file_of(dirfd);
		if (file) {
			folder.mnt = POINTER(file, file, f_path.mnt);
			folder.dentry = POINTER(file, file, f_path.dentry);
		}
	}
	return folder;
}

static long look_at_area(struct task_struct *task, struct vm_area_struct *area, void *context)
{
	*(__u64 *)context = area->vm_flags;
	return 0;
}

/* Whether what lies at `pointer`, on a page that is not there yet, may change while the call reads it: it lies in
 * shared memory, or is writable and another task has the same memory. */
static __always_inline __u32 changeable(__u64 pointer)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 flags = VM_SHARED | VM_WRITE;
	bpf_find_vma(task, pointer, look_at_area, &flags, 0);
	if (flags & VM_SHARED)
		return 1;
	return (flags & VM_WRITE) && GET(mm_struct, task->mm, mm_users.counter) > 1;
}

/* Note the name at `pointer` as a call begins, with where it starts. */
static __always_inline void note_name(struct scratch *s, struct entry *entry, __u64 pointer, __s32 dirfd, bool second)
{
	__u64 hash = take_name(pointer);
	if (!hash && pointer)
		entry->changeable |= changeable(pointer);
	__u64 start = folder_of(dirfd, is_absolute(s)).dentry;
	if (second) {
		entry->name2 = hash;
		entry->base2 = start;
	} else {
		entry->name1 = hash;
		entry->base1 = start;
	}
}

/* A task's or process' number as it counts itself: that of the innermost namespace. */
static __always_inline __u32 own_number(__u64 pid)
{
	__u32 level = GET(pid, pid, level);
	__u64 numbers = pid + bpf_core_field_offset(struct pid, numbers);
	return GET(upid, numbers + level * bpf_core_type_size(struct upid), nr);
}

/* The descriptor in /proc/…/fd/… at the beginning of the name that was taken, AT_FDCWD for /proc/…/cwd, -1 for any other
 * name. Whether it is the caller's own the loader finds out; when it looks, the caller may have ended. */
__noinline int alias(void)
{
	struct scratch *s = scratch();
	__u8 *name = s ? end_of(s) : NULL;
	if (!name || s->taken < 12 || *(__u32 *)name != 0x6f72702f /* "/pro" */ || name[4] != 'c' || name[5] != '/')
		return -1;
	__u32 i;
	for (i = 6; i < 24; i++)
		if (name[i] == '/')
			break;
	if (name[i + 1] == 'c' && name[i + 2] == 'w' && name[i + 3] == 'd')
		return AT_FDCWD;
	if (name[i + 1] != 'f' || name[i + 2] != 'd' || name[i + 3] != '/')
		return -1;
	int fd = 0;
	for (__u32 j = 4; j < 11; j++) {
		if (name[i + j] < '0' || name[i + j] > '9')
			break;
		fd = fd * 10 + name[i + j] - '0';
	}
	return fd;
}

/* PATH1 (or PATH2) of the record in hand from a name in memory, with where it starts, compared with how it was at
 * entry. The bytes of it, its NUL too; 0 where it can't be read. */
__noinline int put_name(__u64 pointer, __s32 dirfd, __u32 second)
{
	struct scratch *s = scratch();
	__u64 task = bpf_get_current_task();
	if (!s)
		return 0;
	struct entry *entry = entry_of(GET(task_struct, task, pid));
	__u64 hash = take_name(pointer);
	bool absolute = is_absolute(s);
	struct folder start = folder_of(dirfd, absolute);
	__u8 source = SOURCE_MEMORY;
	if (entry) {
		__u64 hash_before = second ? entry->name2 : entry->name1;
		__u64 start_before = second ? entry->base2 : entry->base1;
		if (hash_before ? hash_before != hash || start_before != start.dentry : hash && entry->changeable)
			source = SOURCE_RACED;
	}
	if (s->record.source < source)
		s->record.source = source;
	s->record.ns_tid = own_number(POINTER(task_struct, task, thread_pid));
	s->record.ns_pid = own_number(POINTER(signal_struct, POINTER(task_struct, task, signal), pids[PIDTYPE_TGID]));
	int aliased = absolute ? alias() : -1;
	if (aliased != -1) {
		struct folder leads_to = folder_of(aliased, false);
		if (leads_to.dentry) {
			start = leads_to;
			absolute = false;
			s->record.bits |= second ? BIT_ALIAS2 : BIT_ALIAS1;
		}
	}
	__u16 length = keep(s, 1), base_length = 0;
	bool at_root = start.dentry == root_dentry && start.mnt - bpf_core_field_offset(struct mount, mnt) == root_mount;
	if (s->taken && start.dentry && !(absolute && at_root))
		base_length = walk(start.mnt, start.dentry, 0);
	if (!absolute && !start.dentry) { /* no such descriptor: the name stands for nothing */
		s->length -= length;
		length = 0;
	}
	if (second) {
		s->record.len[PATH2] = length;
		s->record.len[BASE2] = base_length;
	} else {
		s->record.len[PATH1] = length;
		s->record.len[BASE1] = base_length;
	}
	return s->taken;
}

/* ---- sockets ---- */

enum side { NEITHER, OWN, PEER };

#define COMPARE (1U << 31)
#define IN_PARTS (1U << 30)
#define PARTS 8 /* a C library that asks over TCP writes the length and the question apart */

/* A descriptor's struct socket, 0 where it is none. */
static __always_inline __u64 socket_of(__s32 fd)
{
	__u64 file = file_of(fd);
	if (!file)
		return 0;
	__u64 inode = POINTER(file, file, f_inode);
	if ((GET(inode, inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	return POINTER(file, file, private_data);
}

/* Family, type and protocol of a descriptor's socket into the record in hand, and as PATH1, before anything else, one
 * of its addresses as the kernel has it. 1 where there is one. */
__noinline int put_socket(__s32 fd, __u32 side)
{
	struct scratch *s = scratch();
	__u64 socket = socket_of(fd);
	if (!s || !socket)
		return 0;
	__u64 sk = POINTER(socket, socket, sk);
	__u16 family = GET(sock, sk, __sk_common.skc_family);
	s->record.family = family;
	s->record.type = GET(socket, socket, type);
	s->record.protocol = GET(sock, sk, sk_protocol);
	if (side == NEITHER || s->length)
		return 0;
	if (family == AF_UNIX) {
		__u64 own = side == PEER ? POINTER(unix_sock, sk, peer) : sk;
		if (!own)
			return 0;
		__u64 dentry = POINTER(unix_sock, own, path.dentry);
		if (dentry) {
			s->record.len[PATH1] = walk(POINTER(unix_sock, own, path.mnt), dentry, 1);
			s->record.bits |= BIT_WALKED;
			return 1;
		}
		__u64 address = POINTER(unix_sock, own, addr);
		__u32 n = address ? GET(unix_address, address, len) : 0;
		if (!n || n > SOCKADDR_MAX)
			return 0;
		bpf_probe_read_kernel(s->data, n, (void *)address + bpf_core_field_offset(struct unix_address, name));
		s->length = s->record.len[PATH1] = n;
		s->record.bits |= BIT_ADDRESS;
		return 1;
	}
	if (family != AF_INET && family != AF_INET6)
		return 0;
	__u16 port = side == PEER ? GET(sock, sk, __sk_common.skc_dport)
				  : __builtin_bswap16(GET(sock, sk, __sk_common.skc_num));
	if (side == PEER && !port)
		return 0;
	struct sockaddr_in6 *address = (void *)s->data;
	address->sin6_family = family;
	address->sin6_port = port;
	if (family == AF_INET) {
		((struct sockaddr_in *)address)->sin_addr.s_addr =
			side == PEER ? GET(sock, sk, __sk_common.skc_daddr) : GET(sock, sk, __sk_common.skc_rcv_saddr);
		s->length = sizeof(struct sockaddr_in);
	} else {
		struct sock *v6 = (void *)sk;
		if (side == PEER)
			bpf_core_read(&address->sin6_addr, 16, &v6->__sk_common.skc_v6_daddr);
		else
			bpf_core_read(&address->sin6_addr, 16, &v6->__sk_common.skc_v6_rcv_saddr);
		s->length = sizeof(struct sockaddr_in6);
	}
	s->record.len[PATH1] = s->length;
	s->record.bits |= BIT_ADDRESS;
	return 1;
}

/* PATH1 from a socket address in memory, compared with how it was at entry where `compare`. */
static __always_inline void put_address(struct scratch *s, __u64 pointer, __u32 length, bool compare)
{
	__u64 task = bpf_get_current_task();
	struct entry *entry = entry_of(GET(task_struct, task, pid));
	__u64 hash = take_bytes(pointer, length);
	s->record.source = SOURCE_MEMORY;
	if (compare && entry && entry->name1 && entry->name1 != hash)
		s->record.source = SOURCE_RACED;
	s->record.len[PATH1] = keep(s, 0);
	s->record.bits |= BIT_ADDRESS;
	struct folder start = folder_of(AT_FDCWD, false);
	s->record.len[BASE1] = walk(start.mnt, start.dentry, 0);
}

/* Whether a descriptor is an Internet socket whose peer, if it has one, listens where name servers do. */
static __always_inline bool asks_names(__s32 fd)
{
	__u64 socket = socket_of(fd);
	if (!socket)
		return false;
	__u64 sk = POINTER(socket, socket, sk);
	__u16 family = GET(sock, sk, __sk_common.skc_family);
	return (family == AF_INET || family == AF_INET6) &&
	       GET(sock, sk, __sk_common.skc_dport) == __builtin_bswap16(DNS_PORT);
}

/* Append the beginning of a message to the record in hand; the bytes of it. */
__noinline int take_message(__u64 bytes, __u32 lengths)
{
	struct scratch *s = scratch();
	if (!s)
		return 0;
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = lengths & 0xffff};
	__u32 parts = 1;
	if (lengths & IN_PARTS) {
		parts = part.iov_len;
		part.iov_len = 0;
	}
	__u64 taken = 0;
	for (__u32 i = 0; i < PARTS && i < parts; i++) {
		if ((lengths & IN_PARTS) && bpf_probe_read_user(&part, sizeof(part), (void *)(bytes + i * sizeof(part))))
			break;
		__u64 at = s->length, n = part.iov_len;
		if (at > SOCKADDR_MAX + DNS_MAX || taken >= DNS_MAX)
			break;
		if (n > DNS_MAX - taken)
			n = DNS_MAX - taken;
		barrier_var(n); /* the verifier wants its bound by itself */
		if (n > DNS_MAX)
			break;
		if (n && bpf_probe_read_user(s->data + at, n, part.iov_base))
			break;
		taken += n;
		s->length = at + n;
	}
	return taken;
}

/* One message on its way: a record of it where it says to whom it goes, and one of what it asks where that is a name
 * server. `lengths`: of the bytes, or how many parts there are and IN_PARTS; of the address shifted left by 16; COMPARE
 * where the address was noted. */
__noinline int on_message(__s32 fd, __u64 address, __u64 bytes, __s64 ret, __u32 lengths)
{
	__u32 address_length = lengths >> 16 & 0xff;
	bool compare = lengths & COMPARE;
	bool dns = false;
	if (address) {
		struct scratch *s = begin(EV_SENDTO, ret);
		if (!s)
			return 0;
		put_socket(fd, NEITHER);
		put_address(s, address, address_length, compare);
		__u16 family = *(__u16 *)s->data, port = *(__u16 *)(s->data + 2);
		dns = s->taken >= 4 && (family == AF_INET || family == AF_INET6) && port == __builtin_bswap16(DNS_PORT);
		emit(s);
	} else {
		dns = asks_names(fd);
	}
	if (!dns)
		return 0;
	struct scratch *s = begin(EV_DNS, ret);
	if (!s)
		return 0;
	if (address) {
		put_socket(fd, NEITHER);
		take_bytes(address, address_length);
		s->record.len[PATH1] = keep(s, 0);
		s->record.bits |= BIT_ADDRESS;
	} else {
		put_socket(fd, PEER);
	}
	s->record.source = SOURCE_MEMORY;
	s->record.len[PATH2] = take_message(bytes, lengths);
	emit(s);
	return 0;
}

/* Likewise by a struct msghdr in memory. */
__noinline int on_message_header(__s32 fd, __u64 pointer, __s64 ret, __u32 compare)
{
	struct user_msghdr message = {};
	if (bpf_probe_read_user(&message, sizeof(message), (void *)pointer))
		return 0;
	__u32 parts = message.msg_iovlen > PARTS ? PARTS : message.msg_iovlen;
	__u32 name_length = (__u32)message.msg_namelen > SOCKADDR_MAX ? SOCKADDR_MAX : message.msg_namelen;
	return on_message(fd, (__u64)message.msg_name, (__u64)message.msg_iov, ret,
			  name_length << 16 | parts | IN_PARTS | (compare ? COMPARE : 0));
}

struct several {
	__u64 pointer;
	__s64 ret;
	__s32 fd;
};

static long each_message(__u32 i, struct several *m)
{
	on_message_header(m->fd, m->pointer + i * sizeof(struct mmsghdr), m->ret < 0 ? m->ret : 0, i == 0);
	return 0;
}

/* ---- system calls ---- */

static __always_inline void count(__u32 pid, __u32 call)
{
	struct process *process = process_of(pid);
	if (process)
		__sync_fetch_and_add(&process->counts[call & (CALLS - 1)], 1);
	else
		__sync_fetch_and_add(&totals.uncounted, 1);
}

/* The arguments of a system call, where they can be had by position. */
static __always_inline struct scratch *arguments(__u64 regs)
{
	struct scratch *s = scratch();
	if (!s)
		return NULL;
	s->args[0] = GET(pt_regs, regs, di);
	s->args[1] = GET(pt_regs, regs, si);
	s->args[2] = GET(pt_regs, regs, dx);
	s->args[3] = GET(pt_regs, regs, r10);
	s->args[4] = GET(pt_regs, regs, r8);
	s->args[5] = GET(pt_regs, regs, r9);
	s->args[CWD & 7] = AT_FDCWD;
	s->args[NONE & 7] = 0;
	return s;
}

static __always_inline __u64 argument(struct scratch *s, __s8 at)
{
	return s->args[at & 7];
}

static __always_inline bool compat(__u64 task)
{
	return GET(task_struct, task, thread_info.status) & TS_COMPAT;
}

/* The mark of a task of the sandbox, NULL for others; marks the tasks of the process it starts with. */
static __always_inline __u8 *tracked(__u64 task)
{
	__u32 tid = GET(task_struct, task, pid);
	__u8 *at = mark_of(tid);
	if (at && *at)
		return at;
	if (!seed_pid || (__u32)GET(task_struct, task, tgid) != seed_pid)
		return NULL;
	mark(tid, OUTSIDE);
	return at;
}

/* What a call names, as it begins: its hash is kept until it ends. */
__noinline int note(__u32 id)
{
	struct scratch *s = scratch();
	__u64 task = bpf_get_current_task();
	struct entry *entry = entry_of(GET(task_struct, task, pid));
	if (!s || !entry)
		return 0;
	const volatile struct call *c = &calls[id & (CALLS - 1)];
	entry->fd = 0;
	entry->changeable = 0;
	if (c->kind == IS_ADDRESS || c->kind == IS_SENDTO) {
		entry->name1 = take_bytes(argument(s, c->name1), argument(s, c->name1 + 1));
		return 0;
	}
	if (c->kind == IS_MESSAGE || c->kind == IS_MESSAGES) {
		struct user_msghdr message = {};
		bpf_probe_read_user(&message, sizeof(message), (void *)s->args[1]);
		entry->name1 = message.msg_name ? take_bytes((__u64)message.msg_name, message.msg_namelen) : 0;
		return 0;
	}
	note_name(s, entry, argument(s, c->name1), argument(s, c->dir1), false);
	if (c->name2 >= 0)
		note_name(s, entry, argument(s, c->name2), argument(s, c->dir2), true);
	if (c->kind == IS_OPEN) {
		entry->flags = 0;
		if (id == 437) /* openat2: the flags are in memory too */
			bpf_probe_read_user(&entry->flags, sizeof(entry->flags), (void *)s->args[2]);
	}
	if (id == 322 && (s->args[4] & AT_EMPTY_PATH))
		entry->fd = (__u32)s->args[0] + 1;
	return 0;
}

SEC("raw_tp/sys_enter")
int BPF_PROG(on_enter, __u64 regs, long id)
{
	__u64 task = bpf_get_current_task();
	__u8 *state = tracked(task);
	if (!state)
		return 0;
	*state = INSIDE;
	if (compat(task)) {
		__sync_fetch_and_add(&totals.foreign, 1);
		count(GET(task_struct, task, tgid), CALL_COMPAT);
		return 0;
	}
	if (id < 0 || id >= CALL_COMPAT) {
		count(GET(task_struct, task, tgid), CALL_UNKNOWN);
		return 0;
	}
	count(GET(task_struct, task, tgid), id);
	if (calls[id & (CALLS - 1)].note && arguments(regs))
		note(id);
	return 0;
}

static __always_inline void on_open(const volatile struct call *c, long ret, __u32 id)
{
	struct scratch *s = begin(c->op, ret);
	if (!s)
		return;
	__u64 flags = argument(s, c->flags);
	__u32 mode = argument(s, c->mode);
	if (id == 85)
		flags = O_CREAT | O_WRONLY | O_TRUNC;
	if (id == 437) {
		__u64 task = bpf_get_current_task();
		struct open_how how = {};
		bpf_probe_read_user(&how, sizeof(how), (void *)s->args[2]);
		struct entry *entry = entry_of(GET(task_struct, task, pid));
		flags = how.flags | (entry ? entry->flags : 0);
		mode = how.mode;
	}
	__u64 file = ret >= 0 ? file_of(ret) : 0;
	bool created = flags & O_TMPFILE_BIT;
	if (file) {
		__u32 kept = GET(file, file, f_flags);
		if (c->op == EV_OPEN_READ && id != 437 && (kept & 3) != (flags & 3))
			s->record.source = SOURCE_RACED; /* not what was opened: another thread put it there */
		if (c->op == EV_OPEN_READ)
			flags = (flags & ~3ULL) | (kept & 3);
		if (GET(file, file, f_mode) & FMODE_CREATED)
			created = true;
		put_file(s, file);
	} else {
		if (flags & O_CREAT)
			created = true;
		if (c->name1 >= 0) {
			put_name(argument(s, c->name1), argument(s, c->dir1), 0);
			if (!(flags & O_NOFOLLOW) && (~flags & (O_CREAT | O_EXCL)))
				s->record.bits |= BIT_FOLLOW;
		}
		if (ret >= 0) /* closed by another thread before it could be looked at */
			s->record.source = SOURCE_RACED;
	}
	if (c->op == EV_OPEN_READ) {
		if (created)
			s->record.op = EV_CREATE;
		else if ((flags & 3) || (flags & O_TRUNC))
			s->record.op = EV_OPEN_WRITE;
		s->record.mode = flags & (O_CREAT | O_TMPFILE_BIT) ? mode & 07777 : 0;
	}
	s->record.flags = flags & 0xffffffff;
	emit(s);
}

/* PATH1 of a call that takes a name and a folder's descriptor: without a name, or with an empty one where the call
 * takes it, the file of the descriptor itself. */
static __always_inline void put_named(struct scratch *s, const volatile struct call *c, bool empty_too)
{
	__u64 pointer = argument(s, c->name1);
	__s32 fd = argument(s, c->dir1);
	int taken = pointer ? put_name(pointer, fd, 0) : 0;
	if (c->dir1 >= 0 && (!pointer || (taken == 1 && empty_too))) {
		__u64 file = file_of(fd);
		s->length = 0;
		s->record.len[PATH1] = s->record.len[BASE1] = 0;
		s->record.source = SOURCE_KERNEL;
		if (file)
			put_file(s, file);
	}
}

static __always_inline void on_name(const volatile struct call *c, long ret, __u32 id)
{
	struct scratch *s = begin(c->op, ret);
	if (!s)
		return;
	__u32 at_flags = argument(s, c->at_flags);
	s->record.flags = (__u32)argument(s, c->flags);
	s->record.mode = argument(s, c->mode) & 07777;
	bool follow = c->follow && !(at_flags & AT_SYMLINK_NOFOLLOW);
	if (c->op == EV_LINK && (at_flags & AT_SYMLINK_FOLLOW))
		follow = true;
	if (follow)
		s->record.bits |= BIT_FOLLOW;
	if (id == 263 && (s->args[2] & AT_REMOVEDIR))
		s->record.op = EV_RMDIR;
	put_named(s, c, at_flags & AT_EMPTY_PATH);
	if (c->name2 >= 0) {
		if (c->dir2 == NONE)
			s->record.bits |= BIT_TARGET;
		put_name(argument(s, c->name2), argument(s, c->dir2), 1);
	}
	emit(s);
}

static __always_inline void on_address(const volatile struct call *c, long ret)
{
	struct scratch *s = begin(c->op, ret);
	if (!s)
		return;
	__s32 fd = s->args[0];
	__u32 side = OWN;
	if (c->op == EV_CONNECT) {
		side = ret == 0 || ret == -EINPROGRESS ? PEER : NEITHER;
	} else if (c->op == EV_ACCEPT) {
		side = ret >= 0 ? PEER : NEITHER;
		if (ret >= 0)
			fd = ret;
	} else if (c->op == EV_BIND && ret < 0) {
		side = NEITHER;
	}
	if (!put_socket(fd, side) && c->name1 >= 0)
		put_address(s, argument(s, c->name1), argument(s, c->name1 + 1), true);
	if (c->op == EV_CONNECT && asks_names(fd))
		dns_used = 1;
	emit(s);
}

static __always_inline void on_plain(const volatile struct call *c, long ret, __u32 id)
{
	struct scratch *s = begin(c->op, ret);
	if (!s)
		return;
	s->record.flags = (__s32)argument(s, c->flags);
	s->record.target = argument(s, c->mode);
	if (c->mode >= 0)
		s->record.bits |= BIT_TARGETED;
	if (c->op == EV_PTRACE && c->flags == NONE)
		s->record.flags = id;
	if (c->kind == IS_SOCKET) {
		s->record.family = s->args[0];
		s->record.type = s->args[1] & 15;
		s->record.protocol = s->args[2];
	}
	emit(s);
}

/* The end of a call that makes an event. */
__noinline int finish(__u32 id, __s64 ret)
{
	const volatile struct call *c = &calls[id & (CALLS - 1)];
	struct scratch *s = scratch();
	if (!s)
		return 0;
	__s32 fd = s->args[0];
	switch (c->kind) {
	case IS_OPEN:
		on_open(c, ret, id);
		break;
	case IS_NAME:
		on_name(c, ret, id);
		break;
	case IS_FD:
		if ((s = begin(c->op, ret))) {
			__u64 file = file_of(fd);
			s->record.mode = argument(s, c->mode) & 07777;
			if (file)
				put_file(s, file);
			emit(s);
		}
		break;
	case IS_EXEC:
		if (ret < 0 && (s = begin(c->op, ret))) {
			s->record.bits |= BIT_FOLLOW;
			put_named(s, c, true);
			emit(s);
		}
		break;
	case IS_FORK:
		if (ret < 0 && (s = begin(c->op, ret)))
			emit(s);
		break;
	case IS_ADDRESS:
		on_address(c, ret);
		break;
	case IS_SENDTO: {
		__u32 length = s->args[2] > DNS_MAX ? DNS_MAX : s->args[2];
		__u32 name_length = s->args[5] > SOCKADDR_MAX ? SOCKADDR_MAX : s->args[5];
		on_message(fd, s->args[4], s->args[1], ret, name_length << 16 | length | COMPARE);
		break;
	}
	case IS_MESSAGE:
		on_message_header(fd, s->args[1], ret, 1);
		break;
	case IS_MESSAGES: {
		/* Those that were sent; where none was, the first, which is why. */
		struct several m = {.pointer = s->args[1], .ret = ret, .fd = fd};
		bpf_loop(ret <= 0 ? 1 : ret > MESSAGES_MAX ? MESSAGES_MAX : ret, each_message, &m, 0);
		break;
	}
	case IS_WRITE:
		if (dns_used && asks_names(fd)) {
			__u32 length = s->args[2] > DNS_MAX ? DNS_MAX : s->args[2];
			on_message(fd, 0, s->args[1], ret, length | (id == 20 /* writev */ ? IN_PARTS : 0));
		}
		break;
	case IS_SOCKET:
	case IS_PLAIN:
		on_plain(c, ret, id);
		break;
	case IS_RING:
		if (ret >= 0)
			__sync_fetch_and_add(&totals.foreign, 1);
		break;
	case IS_EXE:
		if (ret == 0 && fd == PR_SET_MM && (s = begin(EV_EXE, 0))) {
			__u64 task = bpf_get_current_task();
			put_file(s, POINTER(mm_struct, POINTER(task_struct, task, mm), exe_file));
			emit(s);
		}
		break;
	}
	return 0;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(on_exit, __u64 regs, long ret)
{
	__u64 task = bpf_get_current_task();
	__u8 *state = mark_of(GET(task_struct, task, pid));
	if (!state || !*state) {
		/* It was inside a call as recording began: that call is not recorded. */
		tracked(task);
		return 0;
	}
	bool entered = *state == INSIDE;
	*state = OUTSIDE;
	long id = (__s32)GET(pt_regs, regs, orig_ax);
	bool is_compat = compat(task);
	if (!entered) {
		/* seccomp turned it away before it began. */
		struct scratch *s = id >= 0 ? begin(EV_DENIED, ret < 0 ? ret : -EPERM) : NULL;
		if (s) {
			s->record.flags = (__u32)id | (is_compat ? FLAG_COMPAT : 0);
			emit(s);
		}
		return 0;
	}
	if (id < 0 || is_compat)
		return 0;
	if (id >= CALL_COMPAT) {
		if ((id & X32_BIT) && ret != -ENOSYS)
			__sync_fetch_and_add(&totals.foreign, 1);
		return 0;
	}
	__u8 kind = calls[id & (CALLS - 1)].kind;
	if (kind && (kind != IS_WRITE || dns_used) && arguments(regs))
		finish(id, ret);
	return 0;
}

/* ---- processes ---- */

SEC("raw_tp/sched_process_fork")
int BPF_PROG(on_fork, __u64 parent, __u64 child)
{
	if (!tracked(parent))
		return 0;
	__u32 pid = GET(task_struct, child, tgid), tid = GET(task_struct, child, pid);
	/* Its first return from a system call is that of the fork. */
	mark(tid, INSIDE);
	if (tid != pid)
		return 0;
	struct scratch *s = begin(EV_FORK, pid);
	if (!s)
		return 0;
	s->record.flags = pid;
	emit(s);
	return 0;
}

struct words {
	__u64 start, left;
};

/* Hand over the next part of long arguments; 1 after the last. */
static long put_words(__u32 i, struct words *w)
{
	struct scratch *s = begin(EV_ARGV, 0);
	if (!s)
		return 1;
	__u64 n = w->left < ARGV_PART ? w->left : ARGV_PART;
	if (bpf_probe_read_user(s->data, n, (void *)w->start)) {
		s->busy = 0;
		return 1;
	}
	s->length = s->record.len[BASE2] = n;
	emit(s);
	w->start += n;
	w->left -= n;
	return !w->left;
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(on_exec, __u64 task, pid_t old_tid, __u64 bprm)
{
	__u32 tid = GET(task_struct, task, pid), before = old_tid;
	/* A thread that is not the first takes the number of the first, which ended and lost its mark. */
	if (tid != before) {
		__u8 *mine = mark_of(before);
		if (mine && *mine) {
			mark(tid, *mine);
			*mine = UNTRACKED;
			__sync_fetch_and_add(&totals.live, -1);
		}
	}
	if (!tracked(task))
		return 0;
	struct entry *entry = entry_of(before);
	__u32 own_fd = entry ? entry->fd : 0;
	if (tid != before)
		free_entry(before);
	/* The arguments as the kernel laid them on the new stack, which no other task has seen yet. */
	__u64 mm = POINTER(task_struct, task, mm);
	__u64 start = GET(mm_struct, mm, arg_start), n = GET(mm_struct, mm, arg_end) - start;
	bool cut = n > ARGV_MAX;
	if (n > ARGV_SHORT) {
		struct words words = {start, cut ? ARGV_MAX : n};
		bpf_loop(ARGV_MAX / ARGV_PART, put_words, &words, 0);
		cut |= words.left != 0;
		n = 0;
	}
	struct scratch *s = begin(EV_EXEC, 0);
	if (!s)
		return 0;
	s->record.flags = cut;
	__u64 exe = POINTER(mm_struct, mm, exe_file);
	__u64 filename = POINTER(linux_binprm, bprm, filename);
	if (POINTER(linux_binprm, bprm, interp) == filename) {
		put_file(s, exe);
	} else {
		/* A script: the kernel's own copy of the name, and what interprets it. */
		s->record.bits |= BIT_SCRIPT | BIT_FOLLOW;
		__u64 file = own_fd ? file_of(own_fd - 1) : 0;
		if (file) {
			put_file(s, file);
		} else {
			long n = bpf_probe_read_kernel_str(s->data, NAME_MAX_BYTES, (void *)filename);
			s->taken = n > 0 ? n : 0;
			struct folder start = folder_of(AT_FDCWD, s->data[0] == '/');
			s->record.ns_tid = own_number(POINTER(task_struct, task, thread_pid));
			s->record.ns_pid = own_number(POINTER(signal_struct, POINTER(task_struct, task, signal), pids[PIDTYPE_TGID]));
			s->record.len[PATH1] = keep(s, 1);
			s->record.len[BASE1] = walk(start.mnt, start.dentry, 0);
		}
		s->record.len[PATH2] = walk_file(exe);
	}
	__u32 at = s->length;
	if (n && at <= DATA_MAX - ARGV_SHORT && !bpf_probe_read_user(s->data + at, n, (void *)start)) {
		s->record.len[BASE2] = n;
		s->length = at + n;
	} else if (n) {
		s->record.flags = 1;
	}
	emit(s);
	return 0;
}

/* Hand over what was counted of a process in one of its places, and the slot to the next. */
__noinline int end_counts(__u32 key, __u32 pid)
{
	struct process *process = bpf_map_lookup_elem(&processes, &key);
	if (!process || process->owner != pid)
		return 0;
	struct scratch *s = begin(EV_COUNTS, 0);
	if (s) {
		process->record = s->record;
		process->record.seq = __sync_fetch_and_add(&totals.emitted, 1);
		if (bpf_ringbuf_output(&ring, process, offsetof(struct process, owner), BPF_RB_NO_WAKEUP))
			__sync_fetch_and_add(&totals.dropped, 1);
		s->busy = 0;
	}
	bpf_probe_read_kernel(process->counts, sizeof(process->counts), (void *)zeros);
	process->gone = 0;
	process->owner = 0;
	return 0;
}

SEC("raw_tp/sched_process_exit")
int BPF_PROG(on_end, __u64 task)
{
	__u32 tid = GET(task_struct, task, pid), pid = GET(task_struct, task, tgid);
	__u64 signal = POINTER(task_struct, task, signal);
	__u8 *state = tracked(task);
	if (!state)
		return 0;
	*state = UNTRACKED;
	free_entry(tid);
	struct process *process = process_of(pid);
	/* Two last threads may come here side by side. */
	if (GET(signal_struct, signal, live.counter) == 0 && (!process || !__sync_lock_test_and_set(&process->gone, 1))) {
		int code = GET(signal_struct, signal, flags) & SIGNAL_GROUP_EXIT
				   ? GET(signal_struct, signal, group_exit_code)
				   : GET(task_struct, POINTER(task_struct, task, group_leader), exit_code);
		struct scratch *s = begin(EV_EXIT, (code >> 8) & 0xff);
		if (s) {
			s->record.flags = code & 0x7f;
			s->record.tid = pid;
			emit(s);
		}
		for (__u32 i = 0; i < PLACES; i++)
			end_counts(PLACE(pid, i, PROCESSES), pid);
		if (pid == seed_pid)
			seed_pid = 0; /* the number may be used again */
	}
	__sync_fetch_and_add(&totals.live, -1);
	return 0;
}

/* ---- begin ---- */

/* Run by the loader in its own context: args are the process to track, an open descriptor of its root, and the loader's
 * own number, by which it is seen whether it counts processes as the kernel does. */
SEC("raw_tp")
int seed(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 file = file_of((__s32)ctx->args[1]);
	if (!file || (__u32)GET(task_struct, bpf_get_current_task(), tgid) != ctx->args[2])
		return 1;
	root_dentry = POINTER(file, file, f_path.dentry);
	root_mount = POINTER(file, file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);
	seed_pid = ctx->args[0];
	return 0;
}
