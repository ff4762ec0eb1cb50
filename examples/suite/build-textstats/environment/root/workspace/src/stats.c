#include "stats.h"

struct stats stats_of(const char *text, int length)
{
    struct stats stats = {0};
    size_t line = 0;
    int in_word = 0;

    for (int i = 0; i < length; i++) {
        char c = text[i];

        if (c == '\n') {
            stats.lines++;
            if (line > stats.longest)
                stats.longest = line;
            line = 0;
        }
        line++;
        if (isspace(c)) {
            if (in_word)
                stats.words++;
            in_word = 0;
        } else {
            in_word = 1;
        }
    }
    stats.bytes = length;
    return stats;
}

double stats_words_per_line(struct stats *stats)
{
    return stats->words / stats->lines;
}
