#ifndef STATS_H
#define STATS_H

/* What is known of a text. A last line without a newline is a line too. */
struct stats {
    size_t lines;
    size_t words;   /* runs of characters that are not white space */
    size_t bytes;
    size_t longest; /* bytes of the longest line, without its newline */
};

struct stats stats_of(const char *text, size_t length);

/* Mean number of words a line; 0 for a text without lines. */
double stats_words_per_line(const struct stats *stats);

#endif
