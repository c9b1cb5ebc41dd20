/*
 * yaml_style.c - how strings are written: plain, in single or double quotes, or
 * as a literal block.
 *
 * A string is plain only if every reader takes it for that string: those of
 * YAML 1.1 too, to which `yes` is a boolean and 12:30 an integer.
 */
#include "yaml_text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "utf8.h"
#include "yaml_scalar.h"

/*
 * What YAML 1.1 takes for something else
 */

static bool is_old_word(const char *s) {
    static const char *const words[] = {"yes",   "no",   "on", "off", "true",
                                        "false", "null", "=",  "<<"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

static size_t count(const char *s, char c) {
    size_t n = 0;
    while ((s = strchr(s, c)) != NULL) {
        n++;
        s++;
    }
    return n;
}

/* Integers with underscores, in base 2 and 60; floats in base 60. */
static bool is_old_number(const char *s) {
    s += *s == '-' || *s == '+';
    if (s[0] == '0' && (s[1] == 'b' || s[1] == 'x'))
        return strspn(s + 2, "0123456789abcdefABCDEF_") == strlen(s + 2);
    if (strpbrk(s, "_:") == NULL || strspn(s, "0123456789") == 0)
        return false;
    return strspn(s, "0123456789_:.eE+-") == strlen(s) && count(s, '.') <= 1;
}

static bool is_date(const char *s) {
    return strspn(s, "0123456789") == 4 && s[4] == '-' &&
           strspn(s + 5, "0123456789") > 0;
}

static bool is_something_else(const char *s, size_t length) {
    return ahost__yaml_kind_of(s, length) != AHOST__YAML_STRING ||
           is_old_word(s) || is_old_number(s) || is_date(s);
}

/*
 * Characters
 */

/* The code point at *s, which is valid UTF-8; *s is behind it then. */
static uint32_t next_character(const char **s, const char *end) {
    const unsigned char *u = (const unsigned char *)*s;
    size_t length = *u < 0x80 ? 1 : ahost__utf8_length(*s, end);
    uint32_t c = length == 1 ? *u : *u & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        c = c << 6 | (u[i] & 0x3F);
    *s += length;
    return c;
}

/* Whether it can stand in a text as it is, and breaks no line. */
static bool is_printable(uint32_t c) {
    return (c >= 0x20 && c <= 0x7E) || (c >= 0xA0 && c <= 0x2027) ||
           (c >= 0x202A && c <= 0xFEFE) || (c >= 0xFF00 && c <= 0xFFFD) ||
           c >= 0x10000;
}

static bool is_printed(const char *s, size_t length, const char *also) {
    const char *end = s + length;
    while (s < end) {
        uint32_t c = next_character(&s, end);
        if (!is_printable(c) && (c == 0 || c > 0x7F || !strchr(also, (int)c)))
            return false;
    }
    return true;
}

/*
 * Plain and in quotes
 */

/* Characters that begin no plain scalar; '-' does, before most others. */
static bool can_begin(const char *s) {
    if (*s == '-')
        return s[1] != '\0' && strchr(" ,[]{}", s[1]) == NULL &&
               strncmp(s, "---", 3) != 0;
    return strchr("?:,[]{}#&*!|>'\"%@` ", *s) == NULL &&
           strncmp(s, "...", 3) != 0;
}

/* Of a printable string. */
static bool is_plain(const char *s, size_t length, bool flow) {
    return length > 0 && can_begin(s) && s[length - 1] != ' ' &&
           s[length - 1] != ':' && strstr(s, ": ") == NULL &&
           strstr(s, " #") == NULL &&
           (!flow ||
            (strpbrk(s, ",[]{}") == NULL && strstr(s, ":?") == NULL)) &&
           !is_something_else(s, length);
}

static void add_single(ahost__yaml_text *t, const char *s) {
    ahost__yaml_add(t, "'", 1);
    for (const char *quote; (quote = strchr(s, '\'')) != NULL; s = quote + 1) {
        ahost__yaml_add(t, s, (size_t)(quote - s + 1));
        ahost__yaml_add(t, "'", 1);
    }
    ahost__yaml_add_string(t, s);
    ahost__yaml_add(t, "'", 1);
}

static void add_escape(ahost__yaml_text *t, uint32_t c) {
    static const char from[] = "\"\\\n\t\r\b\f\a\v\x1b", to[] = "\"\\ntrbfave";
    const char *at = c != 0 && c < 0x80 ? strchr(from, (int)c) : NULL;
    char escape[16];
    if (at != NULL)
        snprintf(escape, sizeof(escape), "\\%c", to[at - from]);
    else
        snprintf(escape, sizeof(escape), c < 0x100 ? "\\x%02x" : "\\u%04x",
                 (unsigned)c);
    ahost__yaml_add_string(t, escape);
}

static void add_double(ahost__yaml_text *t, const char *s, size_t length) {
    const char *end = s + length;
    ahost__yaml_add(t, "\"", 1);
    while (s < end) {
        const char *at = s;
        uint32_t c = next_character(&s, end);
        if (is_printable(c) && c != '"' && c != '\\')
            ahost__yaml_add(t, at, (size_t)(s - at));
        else
            add_escape(t, c);
    }
    ahost__yaml_add(t, "\"", 1);
}

void ahost__yaml_add_quoted(ahost__yaml_text *t, const char *s, size_t length,
                            bool flow) {
    if (!is_printed(s, length, ""))
        add_double(t, s, length);
    else if (is_plain(s, length, flow))
        ahost__yaml_add(t, s, length);
    else if (strchr(s, '\'') != NULL && strpbrk(s, "\"\\") == NULL)
        add_double(t, s, length);
    else
        add_single(t, s);
}

/*
 * Literal blocks
 */

bool ahost__yaml_is_literal(const char *s, size_t length) {
    return memchr(s, '\n', length) != NULL && is_printed(s, length, "\n\t") &&
           strchr(" \t\n", *s) == NULL && strstr(s, "\n\t") == NULL &&
           strstr(s, " \n") == NULL && s[length - 1] != ' ';
}

/* How the line ends behind the text are meant: one, none, or all. */
static const char *header_of(const char *s, size_t length) {
    if (s[length - 1] != '\n')
        return "|-";
    return length > 1 && s[length - 2] == '\n' ? "|+" : "|";
}

void ahost__yaml_add_literal(ahost__yaml_text *t, const char *s, size_t length,
                             int indent) {
    const char *end = s + length;
    ahost__yaml_add_string(t, header_of(s, length));
    if (s[length - 1] == '\n')
        end--; /* whatever comes next begins a line */
    for (const char *line = s, *next; line <= end; line = next + 1) {
        next = memchr(line, '\n', (size_t)(end - line));
        if (next == NULL)
            next = end;
        ahost__yaml_add_line(t, next > line ? indent : 0);
        ahost__yaml_add(t, line, (size_t)(next - line));
    }
}
