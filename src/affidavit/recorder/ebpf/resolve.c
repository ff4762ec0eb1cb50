#define _GNU_SOURCE
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_BYTES 4096 /* PATH_MAX */
#define LINKS 40        /* MAXSYMLINKS */
#define STEPS 256       /* components looked at one by one; a name with more is hostile, and is taken as text from there */

/* Folders looked up before: a build opens names in the same ones again and again. Only the sandbox changes its files, so
 * what was found holds until one of its calls may have changed where a name leads. */
#define REMEMBERED 1024
static struct remembered {
	size_t length, resolved_length;
	char path[256], resolved[256];
} remembered[REMEMBERED];

void resolve_forget(void)
{
	for (int i = 0; i < REMEMBERED; i++)
		remembered[i].length = 0;
}

/* An O_PATH descriptor of a name below the root, -1 where nothing is there. */
static int below(int root, const char *path, size_t length, int flags)
{
	char name[NAME_BYTES];
	if (length >= sizeof(name))
		return -1;
	memcpy(name, path, length);
	name[length] = 0;
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | flags, .resolve = RESOLVE_IN_ROOT};
	return syscall(SYS_openat2, root, length ? name : "/", &how, sizeof(how));
}

/* Whether a path leads to what `fd` is of. */
static int is_there(int root, const char *path, size_t length, int fd)
{
	struct stat here, there;
	int other = below(root, path, length, O_NOFOLLOW);
	int same = other >= 0 && !fstat(fd, &here) && !fstat(other, &there) && here.st_dev == there.st_dev &&
		   here.st_ino == there.st_ino;
	if (other >= 0)
		close(other);
	return same;
}

/* Where a name leads: the length of it in `out`, 0 where nothing is there. */
static size_t look_up(int root, const char *path, size_t length, char *out)
{
	int fd = below(root, path, length, 0);
	if (fd < 0)
		return 0;
	char link[32];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, out, RESOLVED_MAX);
	int found = n > 0 && n < RESOLVED_MAX && out[0] == '/';
	/* A mount that is gone by now, as all are once the sandbox has ended, is told without the folder it hung in. */
	if (found && ((size_t)n != length || memcmp(out, path, length)))
		found = is_there(root, out, n, fd);
	close(fd);
	return found ? (size_t)n : 0;
}

/* Go from the path in `out` (no bytes: the root) by one component. */
static size_t go(char *out, size_t n, const char *part, size_t length)
{
	if (!length || (length == 1 && part[0] == '.'))
		return n;
	if (length == 2 && part[0] == '.' && part[1] == '.') {
		while (n && out[--n] != '/')
			;
		return n;
	}
	if (n + length + 1 > RESOLVED_MAX)
		return n;
	out[n++] = '/';
	memcpy(out + n, part, length);
	return n + length;
}

/* ---- links that the sandbox made ---- */

#define BUCKETS 4096
#define LINKS_KEPT 65536 /* more are looked up as they are */

struct made {
	struct made *next;
	size_t length, target_length;
	char text[]; /* path, then target */
};

static struct made *made[BUCKETS];
static size_t made_count;

static struct made **place_of(const char *path, size_t length)
{
	uint32_t h = 5381;
	for (size_t i = 0; i < length; i++)
		h = h * 33 ^ (unsigned char)path[i];
	struct made **at = &made[h % BUCKETS];
	while (*at && !((*at)->length == length && !memcmp((*at)->text, path, length)))
		at = &(*at)->next;
	return at;
}

static void forget_made(struct made **at)
{
	struct made *old = *at;
	*at = old->next;
	free(old);
	made_count--;
}

void resolve_linked(const char *path, size_t length, const char *target, size_t target_length)
{
	resolve_forget();
	resolve_removed(path, length);
	if (made_count >= LINKS_KEPT)
		return;
	struct made *link = malloc(sizeof(*link) + length + target_length);
	if (!link)
		abort(); /* the record ends here, and is seen to */
	link->length = length;
	link->target_length = target_length;
	memcpy(link->text, path, length);
	memcpy(link->text + length, target, target_length);
	struct made **at = place_of(path, length);
	link->next = *at;
	*at = link;
	made_count++;
}

void resolve_removed(const char *path, size_t length)
{
	resolve_forget();
	struct made **at = made_count ? place_of(path, length) : NULL;
	if (at && *at)
		forget_made(at);
}

/* Take every link at `from` or below it out, and chain it to `list` under its name at `to`. */
static struct made *move(const char *from, size_t from_length, const char *to, size_t to_length, struct made *list)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct made **at = &made[i]; *at;) {
			struct made *old = *at;
			if (old->length < from_length || memcmp(old->text, from, from_length) ||
			    (old->length > from_length && old->text[from_length] != '/')) {
				at = &old->next;
				continue;
			}
			size_t rest = old->length - from_length + old->target_length;
			struct made *link = malloc(sizeof(*link) + to_length + rest);
			if (!link)
				abort();
			link->length = old->length - from_length + to_length;
			link->target_length = old->target_length;
			memcpy(link->text, to, to_length);
			memcpy(link->text + to_length, old->text + from_length, rest);
			link->next = list;
			list = link;
			forget_made(at);
		}
	}
	return list;
}

void resolve_renamed(const char *from, size_t from_length, const char *to, size_t to_length, int exchange)
{
	resolve_forget();
	if (!made_count)
		return;
	struct made *list = move(from, from_length, to, to_length, NULL);
	if (exchange)
		list = move(to, to_length, from, from_length, list);
	else
		resolve_removed(to, to_length);
	while (list) {
		struct made *next = list->next;
		resolve_linked(list->text, list->length, list->text + list->length, list->target_length);
		free(list);
		list = next;
	}
}

/* ---- looking up ---- */

/* Whether a path is /proc/self or /proc/thread-self. */
static int is_self_link(const char *path, size_t n)
{
	return (n == 10 && !memcmp(path, "/proc/self", n)) || (n == 17 && !memcmp(path, "/proc/thread-self", n));
}

/* Where a symlink leads, in `text`; -1 where it leads nowhere. /proc/self is the caller's, not ours, and needs no look
 * (`fd` is -1 then); its links to files are followed by the text that the kernel gives them. */
static ssize_t read_link(const struct caller *who, int fd, const char *name, size_t length, char *text, size_t size)
{
	struct statfs fs;
	int self = length == 4 && !memcmp(name, "self", 4), thread = length == 11 && !memcmp(name, "thread-self", 11);
	if ((self || thread) && (fd < 0 || (!fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC)))
		return self ? snprintf(text, size, "%u", who->pid) : snprintf(text, size, "%u/task/%u", who->pid, who->tid);
	return readlinkat(fd, "", text, size);
}

/* Whether a path is that of the root of a process, which may have ended since. */
static int is_root_link(const char *path, size_t n)
{
	int used = 0;
	char text[64];
	if (n >= sizeof(text))
		return 0;
	memcpy(text, path, n);
	text[n] = 0;
	return sscanf(text, "/proc/%*u/root%n", &used) == 0 && used == (int)n;
}

/* Whether a path is below our own /proc/self, which is not what the caller's leads to. */
static int ours(const char *path, size_t n)
{
	static char own[32];
	static size_t length;
	if (!length)
		length = snprintf(own, sizeof(own), "/proc/%d", getpid());
	return n >= length && !memcmp(path, own, length) && (n == length || path[length] == '/');
}

/* Resolve one component after the other, as far as they are there. */
static size_t walk(const struct caller *who, const char *path, size_t length, int follow, char *out)
{
	char rest[RESOLVED_MAX], link[NAME_BYTES];
	size_t n = 0, at = RESOLVED_MAX - length;
	memcpy(rest + at, path, length);
	int links = 0, steps = 0, gone = 0;
	while (at < RESOLVED_MAX) {
		size_t start = at;
		while (at < RESOLVED_MAX && rest[at] != '/')
			at++;
		const char *part = rest + start;
		size_t part_length = at - start, before = n;
		while (at < RESOLVED_MAX && rest[at] == '/')
			at++;
		n = go(out, n, part, part_length);
		if (gone && is_root_link(out, n))
			n = gone = 0;
		if (gone || n <= before || ++steps > STEPS)
			continue;
		int fd = below(who->root, out, n, O_NOFOLLOW);
		struct stat st;
		/* A sandbox that has ended took its /proc along. */
		int self = fd < 0 && is_self_link(out, n);
		if (!self && (fd < 0 || fstat(fd, &st))) {
			gone = !is_root_link(out, n);
			n = gone ? n : 0;
		} else if ((self || S_ISLNK(st.st_mode)) && (follow || at < RESOLVED_MAX) && ++links <= LINKS) {
			ssize_t more = read_link(who, fd, part, part_length, link, sizeof(link));
			if (more < 0 && is_root_link(out, n)) {
				n = 0;
			} else if (more > 0 && (size_t)more + 1 <= at) {
				n = link[0] == '/' ? 0 : before;
				if (at < RESOLVED_MAX)
					rest[--at] = '/';
				at -= more;
				memcpy(rest + at, link, more);
				while (at < RESOLVED_MAX && rest[at] == '/')
					at++;
			}
		}
		if (fd >= 0)
			close(fd);
	}
	return n;
}

/* Replace the links on a path that the sandbox made by where they lead. The length of it; 0 where there is none. */
static size_t expand(const char *path, size_t length, int follow, char *out)
{
	char rest[RESOLVED_MAX];
	size_t n = 0, at = RESOLVED_MAX - length;
	memcpy(rest + at, path, length);
	int links = 0;
	while (at < RESOLVED_MAX) {
		size_t start = at;
		while (at < RESOLVED_MAX && rest[at] != '/')
			at++;
		size_t before = n, part = at - start;
		while (at < RESOLVED_MAX && rest[at] == '/')
			at++;
		n = go(out, n, rest + start, part);
		if (n <= before || (!follow && at == RESOLVED_MAX))
			continue;
		struct made *link = *place_of(out, n);
		if (!link || link->target_length + 1 > at || ++links > LINKS)
			continue;
		const char *target = link->text + link->length;
		n = target[0] == '/' ? 0 : before;
		if (at < RESOLVED_MAX)
			rest[--at] = '/';
		at -= link->target_length;
		memcpy(rest + at, target, link->target_length);
	}
	return links ? n : 0;
}

/* Where the name of a folder leads. */
static size_t folder(const struct caller *who, const char *path, size_t length, char *out)
{
	uint32_t h = 5381;
	for (size_t i = 0; i < length; i++)
		h = h * 33 ^ (unsigned char)path[i];
	struct remembered *r = &remembered[h % REMEMBERED];
	if (r->length == length && !memcmp(r->path, path, length)) {
		memcpy(out, r->resolved, r->resolved_length);
		return r->resolved_length;
	}
	size_t n = look_up(who->root, path, length, out);
	if (!n || ours(out, n))
		n = walk(who, path, length, 1, out);
	/* What is in /proc changes by itself. */
	int lasting = (length < 6 || memcmp(path, "/proc/", 6)) && (n < 6 || memcmp(out, "/proc/", 6));
	if (lasting && n && n <= sizeof(r->resolved) && length <= sizeof(r->path)) {
		r->length = length;
		memcpy(r->path, path, length);
		r->resolved_length = n;
		memcpy(r->resolved, out, n);
	}
	return n;
}

size_t resolve(const struct caller *who, const char *base, size_t base_length, const char *name, size_t length, int follow,
	       char *out)
{
	char path[RESOLVED_MAX];
	while (length > 1 && name[length - 1] == '/')
		length--;
	if (base_length == 1)
		base_length = 0; /* "/" */
	if (base_length + length + 1 > sizeof(path))
		length = sizeof(path) - base_length - 1;
	memcpy(path, base, base_length);
	path[base_length] = '/';
	memcpy(path + base_length + 1, name, length);
	length += base_length + 1;
	if (made_count) {
		char expanded[RESOLVED_MAX];
		size_t n = expand(path, length, follow, expanded);
		if (n) {
			memcpy(path, expanded, n);
			length = n;
			base_length = RESOLVED_MAX; /* is no longer a part of it */
		}
	}
	size_t last = length;
	while (last && path[last - 1] != '/')
		last--;
	size_t part = length - last, n;
	int dots = !part || (part == 1 && path[last] == '.') || (part == 2 && path[last] == '.' && path[last + 1] == '.');
	if (!dots && !follow && last == base_length + 1) {
		/* A name in the folder itself, which the kernel told: nothing to look up. */
		memcpy(out, path, base_length);
		n = go(out, base_length, path + last, part);
	} else if ((follow || dots) && (n = look_up(who->root, path, length, out)) && !ours(out, n)) {
		return n;
	} else if (!dots && !follow) {
		n = folder(who, path, last, out);
		n = go(out, n == 1 ? 0 : n, path + last, part);
	} else {
		n = walk(who, path, length, follow, out);
	}
	if (!n)
		out[n++] = '/';
	return n;
}
