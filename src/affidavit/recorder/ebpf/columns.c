#include "columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *buffer_add(struct buffer *b, const void *bytes, size_t length)
{
	if (b->length + length > b->room) {
		b->room = (b->length + length) * 2 + 256;
		b->bytes = realloc(b->bytes, b->room);
		if (!b->bytes)
			abort(); /* the record ends here, and is seen to */
	}
	void *at = b->bytes + b->length;
	if (bytes)
		memcpy(at, bytes, length);
	else
		memset(at, 0, length);
	b->length += length;
	return at;
}

void buffer_free(struct buffer *b)
{
	free(b->bytes);
	*b = (struct buffer){0};
}

static uint64_t hash(const char *text, size_t length)
{
	uint64_t h = 0x9e3779b97f4a7c15ULL ^ length, word;
	for (; length >= 8; text += 8, length -= 8) {
		memcpy(&word, text, 8);
		h = (h ^ word) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, text, length);
	h = (h ^ word) * 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 29);
}

static const char *string_at(const struct dictionary *d, uint32_t index, size_t *length)
{
	const int32_t *offsets = (const int32_t *)d->offsets.bytes;
	*length = offsets[index + 1] - offsets[index];
	return (const char *)d->bytes.bytes + offsets[index];
}

static void enlarge(struct dictionary *d)
{
	free(d->slots);
	d->size = d->size ? d->size * 2 : 256;
	d->slots = calloc(d->size, sizeof(*d->slots));
	if (!d->slots)
		abort();
	for (uint32_t i = 0; i < d->count; i++) {
		size_t length;
		const char *text = string_at(d, i, &length);
		uint32_t at = hash(text, length) & (d->size - 1);
		while (d->slots[at])
			at = (at + 1) & (d->size - 1);
		d->slots[at] = i + 1;
	}
}

int32_t dictionary_index(struct dictionary *d, const char *text, size_t length)
{
	if (!d->offsets.length)
		buffer_add(&d->offsets, NULL, sizeof(int32_t));
	if (d->count * 2 >= d->size)
		enlarge(d);
	uint32_t at = hash(text, length) & (d->size - 1);
	for (; d->slots[at]; at = (at + 1) & (d->size - 1)) {
		size_t have;
		const char *other = string_at(d, d->slots[at] - 1, &have);
		if (have == length && !memcmp(other, text, length))
			return d->slots[at] - 1;
	}
	d->slots[at] = ++d->count;
	buffer_add(&d->bytes, text, length);
	int32_t end = d->bytes.length;
	buffer_add(&d->offsets, &end, sizeof(end));
	return d->count - 1;
}

void dictionary_clear(struct dictionary *d)
{
	d->offsets.length = d->bytes.length = d->count = 0;
	if (d->slots)
		memset(d->slots, 0, d->size * sizeof(*d->slots));
}

void column_add(struct column *c, int32_t value, int valid)
{
	buffer_add(&c->values, &value, sizeof(value));
	if (c->rows % 8 == 0)
		buffer_add(&c->valid, NULL, 1);
	if (valid)
		c->valid.bytes[c->rows / 8] |= 1 << c->rows % 8;
	c->rows++;
}

void column_clear(struct column *c)
{
	c->values.length = c->valid.length = 0;
	c->rows = 0;
}

/* Length of the valid UTF-8 sequence at `s`, 0 where there is none (RFC 3629: no overlong form, no surrogate). */
static size_t sequence(const unsigned char *s, size_t left)
{
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

size_t spell(const char *raw, size_t length, char *out)
{
	static const char hex[] = "0123456789abcdef";
	char *to = out;
	for (size_t i = 0; i < length;) {
		unsigned char byte = raw[i];
		if (byte < 0x80 && byte != '\\') {
			*to++ = byte;
			i++;
			continue;
		}
		size_t n = byte == '\\' ? 0 : sequence((const unsigned char *)raw + i, length - i);
		if (byte == '\\') {
			*to++ = '\\';
			*to++ = '\\';
			i++;
		} else if (n) {
			memcpy(to, raw + i, n);
			to += n;
			i += n;
		} else {
			*to++ = '\\';
			*to++ = 'x';
			*to++ = hex[byte >> 4];
			*to++ = hex[byte & 15];
			i++;
		}
	}
	return to - out;
}
