/* Rows as packed columns: the buffers of Arrow arrays, so that the reader only wraps them. */
#ifndef AFFIDAVIT_COLUMNS_H
#define AFFIDAVIT_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *bytes;
	size_t length, room;
};

void *buffer_add(struct buffer *b, const void *bytes, size_t length);
void buffer_free(struct buffer *b);

/* Distinct strings: offsets (int32, one more than strings) and UTF-8 bytes of an Arrow array. */
struct dictionary {
	struct buffer offsets, bytes;
	uint32_t *slots; /* index + 1 by hash, 0: empty */
	uint32_t size, count;
};

/* Index of a string, added where it is new. */
int32_t dictionary_index(struct dictionary *d, const char *text, size_t length);
void dictionary_clear(struct dictionary *d);

/* A nullable column of indexes or numbers. */
struct column {
	struct buffer values, valid;
	uint32_t rows;
};

void column_add(struct column *c, int32_t value, int valid);
void column_clear(struct column *c);

/* Spell `raw` as affidavit.events.encode_name does; `out` has room for four times its length. The length of it. */
size_t spell(const char *raw, size_t length, char *out);

#endif
