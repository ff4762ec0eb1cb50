#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>

enum utf8_result { UTF8_GOOD = 0, UTF8_BAD = 1 };

/* Whether `length` bytes at `text` are well-formed UTF-8. If not, `*fault` is the offset of the first byte of the first sequence
 * that is not; else it is left alone. */
enum utf8_result utf8_check(const char *text, size_t length, size_t *fault);

/* The number of characters of well-formed text; (size_t)-1 for text that is not. */
size_t utf8_length(const char *text, size_t length);

/* Writes the text to `out` with each byte that is part of no well-formed sequence replaced by U+FFFD (three bytes). At most `room`
 * bytes are written; a character that does not fit whole is left out, with all that follows. Returns how many bytes the whole would take. */
size_t utf8_repair(const char *text, size_t length, char *out, size_t room);

#endif
