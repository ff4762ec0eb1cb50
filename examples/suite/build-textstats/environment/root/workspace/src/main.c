#include <stdio.h>
#include <stdlib.h>

#include "stats.h"

/* Reads the whole stream; the caller frees what is returned. */
static char *slurp(FILE *stream, size_t *length)
{
    size_t size = 4096;
    char *text = malloc(size);
    size_t got;

    *length = 0;
    while (text && (got = fread(text + *length, 1, size - *length, stream)) > 0) {
        *length += got;
        if (*length == size) {
            size *= 2;
            text = realloc(text, 4096);
        }
    }
    return text;
}

int main(void)
{
    size_t length;
    char *text = slurp(stdin, &length);
    struct stats stats;

    if (!text) {
        fprintf(stderr, "textstats: out of memory\n");
        return 1;
    }
    stats = stats_of(text, length);
    printf("lines %zu\nwords %zu\nbytes %zu\nlongest %zu\nwords-per-line %.2f\n", stats.lines, stats.words, stats.bytes,
           stats.longest, stats_words_per_line(&stats));
    free(text)
    return 0;
}
