/*
 * log_format.h - how log records look outside: lines of text, JSON, and the
 * messages of both generations of syslog.
 *
 * Nothing here knows the host: records are formatted in its thread, and the few
 * that a writer makes itself in the writer's.
 */
#ifndef AHOST_LOG_FORMAT_H
#define AHOST_LOG_FORMAT_H

#include <stddef.h>
#include "log.h"

/* Bytes that are to be written together: a record as it looks outside. */
typedef struct ahost__log_line {
    struct ahost__log_line *next;
    size_t size;
    char bytes[];
} ahost__log_line;

typedef enum ahost__log_format_kind {
    AHOST__LOG_TEXT,    /* by `pattern` */
    AHOST__LOG_JSON,    /* an object a line */
    AHOST__LOG_RFC5424, /* syslog; without a delimiter */
    AHOST__LOG_RFC3164
} ahost__log_format_kind;

/* The strings are malloc'ed; NULL: the default. */
typedef struct ahost__log_format {
    ahost__log_format_kind kind;
    char *pattern;   /* "%(levelname)s ..." */
    char *datefmt;   /* of strftime, and %f */
    char *sd_id;     /* "sd" */
    char *app_name;  /* "ahost" */
    char *host_name; /* NULL: none is shown */
    int utc;      /* in place of local time; RFC 5424 and JSON always have it */
    int colours;  /* of level names */
    int facility; /* 0 to 23 */
    size_t limit; /* bytes of a message of syslog; 0: none */
} ahost__log_format;

#define AHOST__LOG_PATTERN                                                     \
    "%(asctime)s %(levelname)s %(name)s %(struct_data)s%(message)s"
#define AHOST__LOG_DATEFMT "%d-%b-%Y %H:%M:%S.%f"

/* What is wrong with a pattern, as the place of it; NULL when nothing is. */
const char *ahost__log_pattern_fault(const char *pattern);

/* A new line, to be freed with free(); NULL when memory is short. */
ahost__log_line *ahost__log_format_line(const ahost__log_format *format,
                                        const ahost__log_record *record);

void ahost__log_format_free(ahost__log_format *format);

/* ---- texts that grow: log_line.c ---------------------------------------- */

/* A line that is being made. What is added when memory is short is lost, and
 * so is the line. */
typedef struct ahost__log_text {
    ahost__log_line *line;
    size_t capacity;
    int failed;
} ahost__log_text;

void ahost__log_add(ahost__log_text *text, const char *bytes, size_t size);
void ahost__log_add_string(ahost__log_text *text, const char *string);
void ahost__log_add_char(ahost__log_text *text, char c);
void ahost__log_add_number(ahost__log_text *text, long long number);

/* The line without its last bytes. */
void ahost__log_shorten(ahost__log_text *text, size_t size);

/* `size` bytes of any kind as valid UTF-8. */
void ahost__log_add_utf8(ahost__log_text *text, const char *bytes, size_t size);

/* The inside of a JSON string. */
void ahost__log_add_json(ahost__log_text *text, const char *string);

/* What may stand in a line for people: what follows a newline begins with a
 * tab, other control characters are written as \x1b. */
void ahost__log_add_readable(ahost__log_text *text, const char *bytes,
                             size_t size);

/* Printable ASCII without spaces, at most `limit`; "-" for nothing. */
void ahost__log_add_word(ahost__log_text *text, const char *string,
                         size_t limit);

/* ---- time: log_time.c --------------------------------------------------- */

/* "2026-11-21T00:50:27.123456Z" */
void ahost__log_add_iso(ahost__log_text *text, double time);

/* As strftime() does, %f being microseconds. */
void ahost__log_add_time(ahost__log_text *text, const char *datefmt,
                         double time, int utc);

/* "Nov  1 00:50:27", local time, as RFC 3164 has it. */
void ahost__log_add_bsd_time(ahost__log_text *text, double time);

#endif
