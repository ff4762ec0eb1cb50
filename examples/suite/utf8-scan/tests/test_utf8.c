#include <stdio.h>
#include <string.h>

#include "utf8.h"

#define TEXT(bytes) bytes, sizeof bytes - 1

static int number;

static void report(int right, const char *name)
{
    printf("%sok %d - %s\n", right ? "" : "not ", ++number, name);
    fflush(stdout);
}

static long fault(const char *text, size_t length)
{
    size_t at = 99;

    return utf8_check(text, length, &at) == UTF8_GOOD ? -1 : (long)at;
}

static int repairs(const char *text, size_t length, const char *wanted, size_t size)
{
    char out[64] = {0};

    return utf8_repair(text, length, out, sizeof out) == size && memcmp(out, wanted, size) == 0;
}

int main(void)
{
    size_t at = 7;
    char out[8];

    printf("1..8\n");
    report(utf8_length(TEXT("plain")) == 5 && utf8_length(TEXT("")) == 0 && utf8_length(TEXT("a\0b")) == 3, "ascii");
    report(utf8_length(TEXT("a\xc3\xa9\xe2\x82\xac" "\xf0\x9f\xa6\x8a")) == 4 && fault(TEXT("\xf4\x8f\xbf\xbf")) == -1, "longer sequences");
    report(utf8_check(TEXT("ab\xff"), &at) == UTF8_BAD && at == 2 && utf8_length(TEXT("\x80")) == (size_t)-1, "first fault");
    report(fault(TEXT("\xc0\xaf")) == 0 && fault(TEXT("\xe0\x9f\xbf")) == 0 && fault(TEXT("\xf0\x8f\xbf\xbf")) == 0, "overlong forms");
    report(fault(TEXT("\xed\xa0\x80")) == 0 && fault(TEXT("\xf4\x90\x80\x80")) == 0 && fault(TEXT("\xed\x9f\xbf")) == -1, "surrogates and beyond");
    report(fault(TEXT("x\xe2\x82")) == 1 && fault(TEXT("\xc3")) == 0 && fault(TEXT("\xf0\x9f\xa6" "a")) == 0, "cut off");
    report(repairs(TEXT("a\xe2\x82" "b"), TEXT("a\xef\xbf\xbd\xef\xbf\xbd" "b")) && repairs(TEXT("\xc3\xa9"), TEXT("\xc3\xa9")), "replacement");
    memset(out, '.', sizeof out);
    report(utf8_repair(TEXT("\xff\xff"), out, 5) == 6 && memcmp(out, "\xef\xbf\xbd.....", 8) == 0, "bounds");
    return 0;
}
