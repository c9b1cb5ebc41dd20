/*
 * utf8.c - what is valid UTF-8.
 */
#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool is_continuation(unsigned char c) {
    return (c & 0xC0) == 0x80;
}

/* The least and the greatest second byte that may follow a first one: what
 * keeps out overlong forms, surrogates and all above U+10FFFF. */
static bool is_second(unsigned char first, unsigned char c) {
    switch (first) {
    case 0xE0:
        return c >= 0xA0 && c <= 0xBF;
    case 0xED:
        return c >= 0x80 && c <= 0x9F;
    case 0xF0:
        return c >= 0x90 && c <= 0xBF;
    case 0xF4:
        return c >= 0x80 && c <= 0x8F;
    default:
        return is_continuation(c);
    }
}

size_t ahost__utf8_length(const char *p, const char *end) {
    const unsigned char *u = (const unsigned char *)p;
    size_t length = *u < 0xC2   ? 0
                    : *u < 0xE0 ? 2
                    : *u < 0xF0 ? 3
                    : *u < 0xF5 ? 4
                                : 0;
    if (length == 0 || (size_t)(end - p) < length || !is_second(u[0], u[1])) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (!is_continuation(u[i])) {
            return 0;
        }
    }
    return length;
}

/* Skips ASCII by words, as far as that goes. */
static const char *skip_ascii(const char *s, const char *end) {
    uint64_t word;
    while ((size_t)(end - s) >= sizeof word) {
        memcpy(&word, s, sizeof word);
        if (word & UINT64_C(0x8080808080808080)) {
            break;
        }
        s += sizeof word;
    }
    return s;
}

const char *ahost__utf8_fault(const char *s, size_t length) {
    const char *end = s + length;
    while ((s = skip_ascii(s, end)) < end) {
        size_t n = (unsigned char)*s < 0x80 ? 1 : ahost__utf8_length(s, end);
        if (n == 0) {
            return s;
        }
        s += n;
    }
    return NULL;
}
