#!/bin/bash
set -euo pipefail

cat > /workspace/src/utf8.c <<'C'
#include "utf8.h"

#include <string.h>

/* How many bytes the well-formed sequence at `text` has; 0 where none begins there. */
static size_t sequence(const unsigned char *text, size_t length)
{
    unsigned char first = text[0];
    unsigned char least = 0x80, most = 0xbf;
    size_t size;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first == 0xe0)
        least = 0xa0;
    else if (first == 0xed)
        most = 0x9f;
    else if (first == 0xf0)
        least = 0x90;
    else if (first == 0xf4)
        most = 0x8f;
    if (length < size || text[1] < least || text[1] > most)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

enum utf8_result utf8_check(const char *text, size_t length, size_t *fault)
{
    for (size_t at = 0; at < length;) {
        size_t size = sequence((const unsigned char *)text + at, length - at);

        if (size == 0) {
            *fault = at;
            return UTF8_BAD;
        }
        at += size;
    }
    return UTF8_GOOD;
}

size_t utf8_length(const char *text, size_t length)
{
    size_t count = 0;

    for (size_t at = 0; at < length; count++) {
        size_t size = sequence((const unsigned char *)text + at, length - at);

        if (size == 0)
            return (size_t)-1;
        at += size;
    }
    return count;
}

size_t utf8_repair(const char *text, size_t length, char *out, size_t room)
{
    size_t needed = 0;

    for (size_t at = 0; at < length;) {
        size_t size = sequence((const unsigned char *)text + at, length - at);
        const char *from = size ? text + at : "\xef\xbf\xbd";
        size_t bytes = size ? size : 3;

        if (needed + bytes <= room)
            memcpy(out + needed, from, bytes);
        else
            room = 0;
        needed += bytes;
        at += size ? size : 1;
    }
    return needed;
}
C

gcc -std=c11 -Wall -Wextra -Werror -c -o /tmp/utf8.o /workspace/src/utf8.c
