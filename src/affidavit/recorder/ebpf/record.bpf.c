/* What runs in the kernel: marks the tasks of one sandbox, counts their system calls, hands the rest to the loader. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "record.h"
#include "calls.h"

char LICENSE[] SEC("license") = "GPL";

/* A field of a kernel object: a number, or with POINTER a pointer as a number, which any function takes. Two objects are
 * built of this file. Where the kernel has bpf_rdonly_cast (Linux 6.2), each is a plain load. FOR_OLDER does it by a
 * helper's call for each field, which costs more and loads anywhere. */
#ifdef FOR_OLDER
#define READ(as, type, object, field) \
	({ \
		__u64 of_ = (__u64)(object); \
		as got_ = 0; \
		bpf_core_read(&got_, sizeof(got_), &((struct type *)of_)->field); \
		got_; \
	})
/* The comma takes a field's `const` away: a variable that has it is one that no helper's call writes to. */
#define GET(type, object, field) READ(typeof(((void)0, ((struct type *)0)->field)), type, object, field)
#define POINTER(type, object, field) READ(__u64, type, object, field)
#else
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym;
#define CAST(type, object) ((struct type *)bpf_rdonly_cast((void *)(object), bpf_core_type_id_kernel(struct type)))
#define GET(type, object, field) (CAST(type, object)->field)
/* A struct of the kernel's that begins with a number of 64 bits, laid over the pointer. */
#define POINTER(type, object, field) \
	(CAST(open_how, (void *)(object) + bpf_core_field_offset(struct type, field))->flags)
#endif

/* struct inode of kernels before 6.11, and before 6.6. */
struct inode___6_6 {
	struct timespec64 __i_ctime;
} __attribute__((preserve_access_index));
struct inode___5 {
	struct timespec64 i_ctime;
} __attribute__((preserve_access_index));

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
#define EBADF 9
#define EFAULT 14
#define EINVAL 22
#define ENOSYS 38
#define ENOTSOCK 88
#define EINPROGRESS 115
#define O_EXCL 0200
#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define VM_WRITE 2
#define VM_SHARED 8
#define PR_SET_MM 35
#define X32_BIT 0x40000000
#define DNS_PORT 53
#define DNS_MAX 512
#define PROC_SUPER_MAGIC 0x9fa0
#define MESSAGES_MAX 1024 /* UIO_MAXIOV: sendmmsg takes no more */
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516
#define EPERM 1

#define UNREAD (~0ULL) /* in place of flags that could not be read */
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

/* A message on its way, as memory says. */
struct message {
	__u64 address;     /* 0: none, it goes to the peer */
	__u64 bytes;       /* or, where `parts`, struct iovec */
	__u32 address_length, length;
	__u32 in_parts;
	__u64 unread; /* what of the bytes could not be read, 0: nothing */
};

struct scratch {
	struct record record;
	__u8 data[DATA_MAX];
	__u64 args[8];
	struct message message;
	__u32 length; /* bytes of data in use */
	__u32 taken;  /* bytes that were read last, a NUL too; 0: unreadable */
	__u32 busy;
};

/* What was seen as a system call began, to be compared with what is there as it ends. */
struct entry {
	__u64 name1, name2; /* keyed hashes, 0: unreadable */
	__u64 base1, base2; /* folders that relative names start at; base1 of a call on a socket: the socket */
	__u64 where1, where2;   /* of a message: what of its address and its bytes was unreadable */
	__u64 behind1, behind2; /* what lies behind what was unreadable, see behind() */
	__u64 flags;        /* openat2 */
	__u32 fd;           /* execveat: descriptor + 1 of the file itself, 0: by name */
	__u32 messages;     /* sendmmsg: how many there are, 0 outside of it */
	__u32 gone;         /* sendmmsg: how many the kernel was seen to be done with */
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
__u32 pid_namespace; /* of the sandbox, as its inode is numbered: what runs a program in it is tracked; 0: none is followed */
__u64 root_dentry; /* root of the sandbox */
__u64 root_mount;
__u32 dns_used; /* a socket has a name server as its peer: from then on write(2) is looked at */
__u32 messages_used; /* a task called sendmmsg: from then on it is looked at what each socket sends */
__u32 memory_opened; /* a task may write to the memory of others */
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
		if (entry && entry->owner == tid) {
			entry->messages = 0;
			entry->owner = 0;
		}
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
#ifdef FOR_OLDER
	bpf_probe_read_kernel(r->comm, sizeof(r->comm), (void *)comm);
#else
	((__u64 *)r->comm)[0] = CAST(open_how, comm)->flags;
	((__u64 *)r->comm)[1] = CAST(open_how, comm)->mode;
#endif
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
	/* An interrupted call that the kernel may start again: seen as it looks to a caller that does not. */
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
#ifndef FOR_OLDER
	/* A short name lies in the object itself. */
	if (bpf_core_field_exists(((struct dentry *)0)->d_shortname) && n <= 32 && (__u64)name == dentry + bpf_core_field_offset(struct dentry, d_shortname)) {
		const __u64 *words = (void *)&GET(dentry, dentry, d_shortname);
		__u64 *to = (void *)(s->data + at);
		to[0] = words[0];
		to[1] = words[1];
		to[2] = words[2];
		to[3] = words[3];
	} else
#endif
	{
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

/* A hash with the time of an inode's last change. */
static __always_inline __u64 mix_change_time(__u64 hash, __u64 inode)
{
	if (bpf_core_field_exists(((struct inode *)0)->i_ctime_sec))
		return mix(mix(hash, GET(inode, inode, i_ctime_sec)), GET(inode, inode, i_ctime_nsec));
	if (bpf_core_field_exists(((struct inode___6_6 *)0)->__i_ctime))
		return mix(mix(hash, GET(inode___6_6, inode, __i_ctime.tv_sec)), GET(inode___6_6, inode, __i_ctime.tv_nsec));
	return mix(mix(hash, GET(inode___5, inode, i_ctime.tv_sec)), GET(inode___5, inode, i_ctime.tv_nsec));
}

#define CHANGEABLE 1 /* what lies behind a page: memory that another task may write to */

struct area {
	__u64 flags, file;
};

static long look_at_area(struct task_struct *task, struct vm_area_struct *vma, void *context)
{
	struct area *area = context;
	area->flags = vma->vm_flags;
	area->file = (__u64)vma->vm_file;
	return 0;
}

/* What lies behind `pointer`, on a page that is not there yet, and so may change while the call reads it: CHANGEABLE
 * where that is memory in common with another task, or a file that is open for writing; the state of the file that it
 * is read from, as a hash; 0 where nothing is. The same before and after a call: nothing changed. */
__noinline __u64 behind(__u64 pointer)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct area area = {.flags = VM_SHARED | VM_WRITE};
	bpf_find_vma(task, pointer, look_at_area, &area, 0);
	if ((area.flags & VM_SHARED) || memory_opened)
		return CHANGEABLE;
	if ((area.flags & VM_WRITE) && GET(mm_struct, task->mm, mm_users.counter) > 1)
		return CHANGEABLE;
	if (!area.file)
		return 0;
	__u64 inode = POINTER(file, area.file, f_inode);
	if (GET(inode, inode, i_writecount.counter) > 0)
		return CHANGEABLE;
	__u64 state = mix_change_time(mix(hash_key, inode), inode);
	return state & ~1ULL;
}

/* Whether what was unreadable as the call began may have been something else then than it is now. */
static __always_inline bool changed_behind(__u64 before, __u64 pointer)
{
	return before == CHANGEABLE || behind(pointer) != before;
}

/* Note the name at `pointer` as a call begins, with where it starts. */
static __always_inline void note_name(struct scratch *s, struct entry *entry, __u64 pointer, __s32 dirfd, bool second)
{
	__u64 hash = take_name(pointer);
	__u64 unread = !hash && pointer ? behind(pointer) : 0;
	__u64 start = folder_of(dirfd, is_absolute(s)).dentry;
	if (second) {
		entry->name2 = hash;
		entry->base2 = start;
		entry->behind2 = unread;
	} else {
		entry->name1 = hash;
		entry->base1 = start;
		entry->behind1 = unread;
	}
}

/* A task's or process' number as it counts itself: that of the innermost namespace. */
static __always_inline __u32 own_number(__u64 pid)
{
	__u32 level = GET(pid, pid, level);
	__u64 numbers = pid + bpf_core_field_offset(struct pid, numbers);
	return GET(upid, numbers + level * bpf_core_type_size(struct upid), nr);
}

/* Whether a task that is not tracked is in the sandbox's process namespace: somebody outside let it in. */
static __always_inline bool entered(__u64 task)
{
	if (!pid_namespace)
		return false;
	__u64 pid = POINTER(task_struct, task, thread_pid);
	__u32 level = GET(pid, pid, level);
	__u64 numbers = pid + bpf_core_field_offset(struct pid, numbers);
	__u64 namespace = POINTER(upid, numbers + level * bpf_core_type_size(struct upid), ns);
	return GET(pid_namespace, namespace, ns.inum) == pid_namespace;
}

/* The descriptor in /proc/…/fd/… at the beginning of the name that was taken, AT_FDCWD for /proc/…/cwd, -1 for any other
 * name. Whether it is the caller's own the loader finds out; when it looks, the caller may have ended. */
__noinline int alias(void)
{
	struct scratch *s = scratch();
	__u8 *name = s ? end_of(s) : NULL;
	if (!name || s->taken < 12 || *(__u32 *)name != 0x6f72702f /* "/pro" */ || name[4] != 'c' || name[5] != '/')
		return -1;
	/* All but thread-self is of the process's first thread, which may have descriptors or a folder of its own. */
	__u64 task = bpf_get_current_task();
	__u64 leader = POINTER(task_struct, task, group_leader);
	if (name[6] != 't' && leader != task &&
	    (POINTER(task_struct, leader, files) != POINTER(task_struct, task, files) ||
	     POINTER(task_struct, leader, fs) != POINTER(task_struct, task, fs)))
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
		__u64 behind_before = second ? entry->behind2 : entry->behind1;
		if (hash_before ? hash_before != hash || start_before != start.dentry
				: hash && changed_behind(behind_before, pointer))
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

#define NO_ADDRESS 2 /* in place of the hash of an address, which is odd */
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

/* PATH1 from the address that was taken. */
static __always_inline void keep_address(struct scratch *s)
{
	s->record.len[PATH1] = keep(s, 0);
	s->record.bits |= BIT_ADDRESS;
	struct folder start = folder_of(AT_FDCWD, false);
	s->record.len[BASE1] = walk(start.mnt, start.dentry, 0);
}

/* Whether an address was another one as the call began, by the hash of it now, or its socket was. */
static __always_inline bool address_raced(struct entry *entry, __s32 fd, __u64 hash, __u64 where)
{
	if (!entry)
		return true;
	if (entry->base1 != socket_of(fd))
		return true;
	return entry->name1 ? entry->name1 != hash : hash && changed_behind(entry->behind1, where);
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

/* Append the beginning of the message in hand to the record in hand; the bytes of it. */
__noinline int take_message(void)
{
	struct scratch *s = scratch();
	if (!s)
		return 0;
	struct iovec part = {.iov_base = (void *)s->message.bytes, .iov_len = s->message.length};
	__u32 parts = s->message.in_parts ? s->message.length : 1;
	__u64 taken = 0;
	s->message.unread = 0;
	for (__u32 i = 0; i < PARTS && i < parts; i++) {
#ifdef FOR_OLDER
		barrier_var(i); /* Linux 6.1 refuses a loop that is entered in its middle, which the compiler makes of it without */
#endif
		__u64 pointer = s->message.bytes + i * sizeof(part);
		if (s->message.in_parts && bpf_probe_read_user(&part, sizeof(part), (void *)pointer)) {
			s->message.unread = pointer;
			break;
		}
		__u64 at = s->length, n = part.iov_len;
		if (at > SOCKADDR_MAX + DNS_MAX || taken >= DNS_MAX)
			break;
		if (n > DNS_MAX - taken)
			n = DNS_MAX - taken;
		barrier_var(n); /* the verifier wants its bound by itself */
		if (n > DNS_MAX)
			break;
		if (n && bpf_probe_read_user(s->data + at, n, part.iov_base)) {
			s->message.unread = (__u64)part.iov_base;
			break;
		}
		taken += n;
		s->length = at + n;
	}
	return taken;
}

static long mix_data(__u32 i, struct mixing *m)
{
	struct scratch *s = scratch();
	__u32 at = m->words + i;
	if (!s || at > SOCKADDR_MAX + DNS_MAX)
		return 1;
	m->hash = mix(m->hash, s->data[at]);
	return 0;
}

/* Likewise its keyed hash, 0 where it can't be read. */
__noinline __u64 take_question(void)
{
	struct scratch *s = scratch();
	if (!s)
		return 0;
	struct mixing m = {.hash = hash_key, .words = s->length};
	int n = take_message();
	if (s->message.unread)
		return 0;
	bpf_loop(n, mix_data, &m, 0);
	return m.hash | 1;
}

/* What memory says of a message: from a struct msghdr. 0 where it can't be read. */
__noinline int read_header(__u64 pointer)
{
	struct scratch *s = scratch();
	struct user_msghdr header = {};
	if (!s || bpf_probe_read_user(&header, sizeof(header), (void *)pointer))
		return 0;
	s->message.address_length = header.msg_namelen;
	s->message.address = header.msg_namelen ? (__u64)header.msg_name : 0;
	s->message.bytes = (__u64)header.msg_iov;
	s->message.length = header.msg_iovlen > PARTS ? PARTS : header.msg_iovlen;
	s->message.in_parts = 1;
	return 1;
}

/* Take the address of the message in hand: its hash, 0 where it can't be read. */
static __always_inline __u64 take_address(struct scratch *s)
{
	s->taken = 0;
	return s->message.address ? take_bytes(s->message.address, s->message.address_length) : NO_ADDRESS;
}

/* Whether the message in hand, whose address was taken, goes to a name server by it. A socket of IPv4 takes an address
 * of no family for one of its own. */
static __always_inline bool is_for_names(struct scratch *s)
{
	__u8 *to = end_of(s);
	if (!to || s->taken < 4)
		return false;
	__u16 family = *(__u16 *)to, port = *(__u16 *)(to + 2);
	return (family == AF_UNSPEC || family == AF_INET || family == AF_INET6) && port == __builtin_bswap16(DNS_PORT);
}

/* Note the message in hand as its call begins, or the one before it ended. */
__noinline int note_message(__s32 fd)
{
	struct scratch *s = scratch();
	struct task_struct *task = bpf_get_current_task_btf();
	struct entry *entry = entry_of(task->pid);
	if (!s || !entry)
		return 0;
	s->length = 0;
	entry->name1 = take_address(s);
	entry->where1 = s->message.address;
	entry->behind1 = entry->name1 ? 0 : behind(s->message.address);
	entry->name2 = 0;
	entry->where2 = 0;
	entry->behind2 = 0;
	if (!is_for_names(s) && !asks_names(fd))
		return 0;
	entry->name2 = take_question();
	if (s->message.unread) {
		entry->where2 = s->message.unread;
		/* Where a part is unread, those behind it were not looked at. */
		bool shared = s->message.in_parts && GET(mm_struct, task->mm, mm_users.counter) > 1;
		entry->behind2 = shared ? CHANGEABLE : behind(entry->where2);
	}
	return 0;
}

/* Likewise by the struct msghdr at `pointer`. */
static __always_inline void note_header(struct entry *entry, __s32 fd, __u64 pointer)
{
	if (read_header(pointer)) {
		note_message(fd);
		return;
	}
	/* Nothing is known of what it points to. */
	entry->name1 = entry->name2 = 0;
	entry->where1 = entry->where2 = pointer;
	entry->behind1 = entry->behind2 = CHANGEABLE;
}

/* The message in hand was on its way: a record of it where it says to whom it goes, and one of what it asks where that
 * is a name server. Both are compared with what was noted. */
__noinline int on_message(__s32 fd, __s64 ret)
{
	struct scratch *s = begin(EV_SENDTO, ret);
	if (!s)
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	struct entry *entry = entry_of(task->pid);
	__u64 hash = take_address(s);
	bool raced = address_raced(entry, fd, hash, entry ? entry->where1 : 0);
	/* The kernel read what can be read neither before nor after. */
	if (!hash && ret != -EFAULT && ret != -EBADF && ret != -ENOTSOCK && ret != -EINVAL)
		raced = true;
	bool by_address = is_for_names(s), dns = by_address || asks_names(fd);
	if (s->message.address || raced) {
		put_socket(fd, NEITHER);
		s->record.source = raced ? SOURCE_RACED : SOURCE_MEMORY;
		keep_address(s);
		emit(s);
	} else {
		s->busy = 0;
	}
	if (!dns)
		return 0;
	s = begin(EV_DNS, ret);
	if (!s)
		return 0;
	if (by_address) {
		put_socket(fd, NEITHER);
		take_address(s);
		s->record.len[PATH1] = keep(s, 0);
		s->record.bits |= BIT_ADDRESS;
	} else {
		put_socket(fd, PEER);
	}
	__u32 before = s->length;
	hash = take_question();
	s->record.source = SOURCE_MEMORY;
	if (raced || !entry || (entry->name2 ? entry->name2 != hash : hash && changed_behind(entry->behind2, entry->where2)))
		s->record.source = SOURCE_RACED;
	s->record.len[PATH2] = s->length - before;
	emit(s);
	return 0;
}

/* Likewise by the struct msghdr at `pointer`. */
__noinline int on_header(__s32 fd, __u64 pointer, __s64 ret)
{
	struct scratch *s = scratch();
	if (!s)
		return 0;
	if (!read_header(pointer)) {
		struct task_struct *task = bpf_get_current_task_btf();
		struct entry *entry = entry_of(task->pid);
		if (entry && !entry->name1 && (ret == -EFAULT || ret == -EBADF || ret == -ENOTSOCK))
			return 0; /* the kernel could not read it either */
		s->message.address = pointer; /* unreadable, as what it says is */
		s->message.address_length = 1;
		s->message.bytes = pointer;
		s->message.length = s->message.in_parts = 1;
	}
	return on_message(fd, ret);
}

/* Those of sendmmsg that the kernel was not seen to be done with: it gave them up before they came to the socket. */
struct rest {
	__u64 pointer;
	__s64 ret;
	__s32 fd;
};

static long each_rest(__u32 i, struct rest *r)
{
	on_header(r->fd, r->pointer + i * sizeof(struct mmsghdr), r->ret);
	return 0;
}

/* The end of sendmmsg. Of the failure of a message after others nobody is told: where it never came to the socket, its
 * header could not be used. */
static __always_inline void on_messages(struct entry *entry, __s32 fd, __u64 pointer, __s64 ret)
{
	__u32 messages = entry->messages, gone = entry->gone, sent = ret > 0 ? ret : 0;
	entry->messages = 0;
	if (sent > messages)
		sent = messages;
	struct rest r = {.pointer = pointer + gone * sizeof(struct mmsghdr), .fd = fd};
	if (gone < sent) { /* by another socket, which was put in the place of this one */
		entry->base1 = CHANGEABLE; /* is that of no socket: they count as raced */
		bpf_loop(sent - gone, each_rest, &r, 0);
	} else if (gone == sent && sent < messages) {
		on_header(fd, r.pointer, ret < 0 ? ret : -EFAULT);
	}
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

/* The message in hand from the arguments of sendto and write. */
static __always_inline void plain_message(struct scratch *s, const volatile struct call *c, __u32 id)
{
	bool addressed = c->kind == IS_SENDTO && (__u32)s->args[5];
	s->message.address = addressed ? s->args[4] : 0;
	s->message.address_length = s->args[5];
	s->message.bytes = s->args[1];
	s->message.in_parts = c->kind == IS_WRITE && id != 1;
	__u64 most = s->message.in_parts ? PARTS : DNS_MAX;
	s->message.length = s->args[2] > most ? most : s->args[2];
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
	__s32 fd = s->args[0];
	switch (c->kind) {
	case IS_ADDRESS:
		entry->base1 = socket_of(fd);
		entry->name1 = take_bytes(argument(s, c->name1), argument(s, c->name1 + 1));
		entry->behind1 = entry->name1 ? 0 : behind(argument(s, c->name1));
		return 0;
	case IS_SENDTO:
	case IS_WRITE:
		entry->base1 = socket_of(fd);
		plain_message(s, c, id);
		note_message(fd);
		return 0;
	case IS_MESSAGES:
		messages_used = 1;
		entry->gone = 0;
		entry->messages = (__u32)s->args[2] > MESSAGES_MAX ? MESSAGES_MAX : s->args[2];
		/* fallthrough */
	case IS_MESSAGE:
		entry->base1 = socket_of(fd);
		note_header(entry, fd, s->args[1]);
		return 0;
	}
	entry->fd = 0;
	note_name(s, entry, argument(s, c->name1), argument(s, c->dir1), false);
	if (c->name2 >= 0)
		note_name(s, entry, argument(s, c->name2), argument(s, c->dir2), true);
	if (c->kind == IS_OPEN) {
		entry->flags = 0;
		/* openat2: the flags are in memory too */
		if (id == 437 && bpf_probe_read_user(&entry->flags, sizeof(entry->flags), (void *)s->args[2])) {
			entry->flags = UNREAD;
			entry->behind2 = behind(s->args[2]);
		}
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
	__u8 noted = calls[id & (CALLS - 1)].note;
	if (noted && (noted == NOTED || (dns_used && asks_names(GET(pt_regs, regs, di)))) && arguments(regs))
		note(id);
	return 0;
}

/* The kernel is done with a message, and has not looked at the next one of sendmmsg yet. */
#ifdef FOR_OLDER
SEC("fexit/____sys_sendmsg")
int BPF_PROG(on_send, struct socket *on, void *message, __u32 flags, void *used, __u32 allowed, int ret)
{
	__u64 socket = (__u64)on;
#else
SEC("raw_tp/sock_send_length") /* since Linux 6.3 */
int BPF_PROG(on_send, __u64 sk, int ret)
{
	__u64 socket = POINTER(sock, sk, sk_socket);
#endif
	if (!messages_used)
		return 0;
	__u64 task = bpf_get_current_task();
	__u32 tid = GET(task_struct, task, pid);
	__u8 *state = mark_of(tid);
	if (!state || *state != INSIDE)
		return 0;
	struct entry *entry = entry_of(tid);
	if (!entry || entry->gone >= entry->messages || socket != entry->base1)
		return 0;
	__u64 regs = bpf_task_pt_regs(bpf_get_current_task_btf());
	struct scratch *s = arguments(regs);
	if (!s)
		return 0;
	__s32 fd = s->args[0];
	__u64 pointer = s->args[1] + entry->gone++ * sizeof(struct mmsghdr);
	on_header(fd, pointer, ret < 0 ? ret : 0);
	if (ret >= 0 && entry->gone < entry->messages)
		note_header(entry, fd, pointer + sizeof(struct mmsghdr));
	return 0;
}

/* Whether a file is the memory of a process, as proc(5) has it. */
static __always_inline bool is_memory(__u64 file)
{
	__u64 dentry = POINTER(file, file, f_path.dentry);
	if (GET(dentry, dentry, d_name.len) != 3)
		return false;
	return GET(super_block, POINTER(dentry, dentry, d_sb), s_magic) == PROC_SUPER_MAGIC;
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
		__u64 before = how.flags;
		bool raced = false;
		if (entry && entry->flags == UNREAD) {
			raced = changed_behind(entry->behind2, s->args[2]);
		} else if (entry) {
			before = entry->flags;
			raced = before != how.flags;
		}
		if (raced)
			s->record.source = SOURCE_RACED;
		flags = how.flags | before;
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
		if ((kept & 3) && is_memory(file))
			memory_opened = 1;
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
	bool known = put_socket(fd, side);
	if (c->name1 >= 0) {
		/* What the kernel has is that of the socket which the call began with, unless another was put in its place. */
		__u64 task = bpf_get_current_task();
		struct entry *entry = entry_of(GET(task_struct, task, pid));
		__u64 pointer = argument(s, c->name1);
		__u64 hash = known ? 0 : take_bytes(pointer, argument(s, c->name1 + 1));
		bool raced = known ? !entry || entry->base1 != socket_of(fd) : address_raced(entry, fd, hash, pointer);
		if (!known) {
			s->record.source = SOURCE_MEMORY;
			keep_address(s);
		}
		if (raced)
			s->record.source = SOURCE_RACED;
	} else if (c->op == EV_ACCEPT && ret >= 0 && !socket_of(fd)) {
		s->record.source = SOURCE_RACED; /* closed by another thread before it could be looked at */
	}
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
	if (c->op == EV_PTRACE && ret >= 0)
		memory_opened = 1;
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
	case IS_SENDTO:
		plain_message(s, c, id);
		on_message(fd, ret);
		break;
	case IS_MESSAGE:
		on_header(fd, s->args[1], ret);
		break;
	case IS_MESSAGES: {
		__u64 task = bpf_get_current_task();
		struct entry *entry = entry_of(GET(task_struct, task, pid));
		if (entry)
			on_messages(entry, fd, s->args[1], ret);
		break;
	}
	case IS_WRITE:
		if (dns_used && asks_names(fd)) {
			plain_message(s, c, id);
			on_message(fd, ret);
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
	__u32 pid = GET(task_struct, child, tgid), tid = GET(task_struct, child, pid);
	if (!tracked(parent)) {
		/* What it does is the runtime's doing until it runs a program; by its parent it is known which runtime's. */
		struct scratch *s = tid == pid && entered(child) ? begin(EV_ENTER, 0) : NULL;
		if (s) {
			s->record.pid = s->record.tid = pid;
			s->record.ppid = GET(task_struct, POINTER(task_struct, child, real_parent), tgid);
			emit(s);
		}
		return 0;
	}
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
	struct entry *entry = NULL;
	if (tracked(task))
		entry = entry_of(before);
	else if (entered(task))
		mark(tid, INSIDE); /* its first program, and the end of this call is the first that is seen */
	else
		return 0;
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

/* Run by the loader in its own context: args are the process to track, an open descriptor of its root, the loader's own
 * number, by which it is seen whether it counts processes as the kernel does, and the process namespace to follow. */
SEC("raw_tp")
int seed(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 file = file_of((__s32)ctx->args[1]);
	if (!file || (__u32)GET(task_struct, bpf_get_current_task(), tgid) != ctx->args[2])
		return 1;
	root_dentry = POINTER(file, file, f_path.dentry);
	root_mount = POINTER(file, file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);
	pid_namespace = ctx->args[3];
	seed_pid = ctx->args[0];
	return 0;
}
