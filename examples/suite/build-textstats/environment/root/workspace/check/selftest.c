#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "stats.h"

static int failures;

static void expect(const char *text, size_t lines, size_t words, size_t longest)
{
    struct stats stats = stats_of(text, strlen(text));

    if (stats.lines != lines || stats.words != words || stats.longest != longest) {
        fprintf(stderr, "wrong for \"%s\": %zu lines, %zu words, longest %zu\n", text, stats.lines, stats.words,
                stats.longest);
        failures++;
    }
}

int main(void)
{
    expect("", 0, 0, 0);
    expect("one\n", 1, 1, 3);
    expect("one two", 1, 2, 7);
    expect("a\n\nlonger line\n", 3, 3, 11);
    return failures != 0;
}
