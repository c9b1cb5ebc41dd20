/*
 * log_line.c - lines of logs while they are being made, and what has to be
 * escaped in them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log_format.h"
#include "utf8.h"

enum { FIRST_CAPACITY = 256 };

static int reserve(ahost__log_text *text, size_t more) {
    size_t size = text->line != NULL ? text->line->size : 0;
    size_t capacity = text->capacity;
    ahost__log_line *line;
    if (text->failed)
        return 0;
    if (text->line != NULL && size + more <= capacity)
        return 1;
    if (capacity == 0)
        capacity = FIRST_CAPACITY;
    while (capacity < size + more)
        capacity *= 2;
    line = realloc(text->line, sizeof(*line) + capacity);
    if (line == NULL) {
        text->failed = 1;
        return 0;
    }
    line->size = size;
    line->next = NULL;
    text->line = line;
    text->capacity = capacity;
    return 1;
}

void ahost__log_add(ahost__log_text *text, const char *bytes, size_t size) {
    if (!reserve(text, size))
        return;
    memcpy(text->line->bytes + text->line->size, bytes, size);
    text->line->size += size;
}

void ahost__log_add_string(ahost__log_text *text, const char *string) {
    ahost__log_add(text, string, strlen(string));
}

void ahost__log_add_char(ahost__log_text *text, char c) {
    ahost__log_add(text, &c, 1);
}

void ahost__log_add_number(ahost__log_text *text, long long number) {
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%lld", number);
    ahost__log_add(text, digits, (size_t)size);
}

void ahost__log_shorten(ahost__log_text *text, size_t size) {
    if (text->line != NULL && text->line->size > size)
        text->line->size = size;
}

void ahost__log_add_utf8(ahost__log_text *text, const char *bytes,
                         size_t size) {
    while (size > 0) {
        const char *fault = ahost__utf8_fault(bytes, size);
        size_t valid = fault != NULL ? (size_t)(fault - bytes) : size;
        ahost__log_add(text, bytes, valid);
        bytes += valid;
        size -= valid;
        if (size > 0) {
            ahost__log_add_string(text, "\xEF\xBF\xBD");
            bytes++;
            size--;
        }
    }
}

static void add_json_escape(ahost__log_text *text, char c) {
    char escape[8];
    const char *at = strchr("\"\"\\\\\nn\rr\tt", c);
    if (at != NULL)
        snprintf(escape, sizeof(escape), "\\%c", at[1]);
    else
        snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)c);
    ahost__log_add_string(text, escape);
}

static int is_json_plain(char c) {
    return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

void ahost__log_add_json(ahost__log_text *text, const char *string) {
    while (*string != '\0') {
        const char *end = string;
        while (is_json_plain(*end))
            end++;
        ahost__log_add_utf8(text, string, (size_t)(end - string));
        if (*end != '\0')
            add_json_escape(text, *end++);
        string = end;
    }
}

static int is_control(char c) {
    return (unsigned char)c < 0x20 || c == 0x7f;
}

void ahost__log_add_readable(ahost__log_text *text, const char *bytes,
                             size_t size) {
    const char *end = bytes + size;
    while (bytes < end) {
        const char *from = bytes;
        char escape[8];
        while (bytes < end && (!is_control(*bytes) || *bytes == '\t'))
            bytes++;
        ahost__log_add(text, from, (size_t)(bytes - from));
        if (bytes == end)
            break;
        if (*bytes == '\n') {
            ahost__log_add_string(text, bytes[1] == '\t' ? "\n" : "\n\t");
        } else {
            snprintf(escape, sizeof(escape), "\\x%02x", (unsigned char)*bytes);
            ahost__log_add_string(text, escape);
        }
        bytes++;
    }
}

void ahost__log_add_word(ahost__log_text *text, const char *string,
                         size_t limit) {
    if (*string == '\0')
        ahost__log_add_char(text, '-');
    for (size_t i = 0; string[i] != '\0' && i < limit; i++)
        ahost__log_add_char(text, string[i] > ' ' && string[i] < 127 ? string[i]
                                                                     : '_');
}
