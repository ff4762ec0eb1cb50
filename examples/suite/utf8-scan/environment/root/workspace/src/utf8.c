#include "utf8.h"

/* To be written. */

enum utf8_result utf8_check(const char *text, size_t length, size_t *fault)
{
    (void)text, (void)length, (void)fault;
    return UTF8_GOOD;
}

size_t utf8_length(const char *text, size_t length)
{
    (void)text, (void)length;
    return (size_t)-1;
}

size_t utf8_repair(const char *text, size_t length, char *out, size_t room)
{
    (void)text, (void)length, (void)out, (void)room;
    return (size_t)-1;
}
