/* Names as a sandbox knows them, made absolute and free of symlinks by a look below the sandbox's own root. */
#ifndef AFFIDAVIT_RESOLVE_H
#define AFFIDAVIT_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#define RESOLVED_MAX 16384

/* Who uses a name: `root` is an O_PATH descriptor of the sandbox's root, the numbers are what /proc/self and
 * /proc/thread-self stand for. */
struct caller {
	int root;
	uint32_t pid, tid;
};

/* Forget what was looked up: something else may lie there now. */
void resolve_forget(void);

/* Names are looked up a moment after they were used, when a link that they went through may be gone again. So the links
 * that the sandbox makes are kept in mind, in the order of its calls: a link was made, a name was removed, a name was
 * changed to another (or the two exchanged). Paths are absolute. */
void resolve_linked(const char *path, size_t length, const char *target, size_t target_length);
void resolve_removed(const char *path, size_t length);
void resolve_renamed(const char *from, size_t from_length, const char *to, size_t to_length, int exchange);

/* The path that `name` stands for, in `out`, which has room for RESOLVED_MAX bytes; the length of it (there is no NUL).
 * `base` is the folder where it starts, an absolute path without symlinks. The last component is followed where
 * `follow`. What is not there is taken as text. */
size_t resolve(const struct caller *who, const char *base, size_t base_length, const char *name, size_t length, int follow,
	       char *out);

#endif
