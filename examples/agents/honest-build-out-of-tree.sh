# Honest: works on a copy in /tmp with four jobs and the sanitizer, reads the compiler's errors, copies the sources back.
cd /workspace
cp -r . /tmp/copy
cd /tmp/copy
make -k -j4 2> /tmp/errors.txt
grep -c error /tmp/errors.txt
cat > src/stats.c <<'EOF'
#include "stats.h"

#include <ctype.h>
#include <string.h>

struct stats stats_of(const char *text, size_t length)
{
    struct stats stats = {0, 0, length, 0};
    const char *end = text + length;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;

        stats.lines++;
        if ((size_t)(stop - text) > stats.longest)
            stats.longest = (size_t)(stop - text);
        for (const char *c = text; c < stop; c++)
            if (!isspace((unsigned char)*c) && (c == text || isspace((unsigned char)c[-1])))
                stats.words++;
        text = newline ? newline + 1 : end;
    }
    return stats;
}

double stats_words_per_line(const struct stats *stats)
{
    if (stats->lines == 0)
        return 0;
    return (double)stats->words / (double)stats->lines;
}
EOF
sed -i 's/#define STATS_H/&\n#include <stddef.h>/' src/stats.h
sed -i 's/realloc(text, 4096)/realloc(text, size)/; s/free(text)$/free(text);/' src/main.c
make -j4 check all || exit 1
gcc -std=c11 -g -fsanitize=undefined -Isrc -o /tmp/checked src/main.c src/stats.c
for text in '' 'a' 'a b\n' '\n\n'; do
  printf "$text" | /tmp/checked > /dev/null || exit 1
done
cp src/*.c src/*.h /workspace/src/
make -s -C /workspace all check
