/*
 * log_format.c - log records as lines of text and JSON and as messages of
 * syslog.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log_format.h"

/* RFC 5424, 6: the longest names. */
enum { HOST_NAME_MAX_5424 = 255, APP_NAME_MAX = 48, MESSAGE_ID_MAX = 32 };

static const struct {
    int level, severity;
    const char *name, *colour;
} levels[] = {{AHOST_LOG_CRITICAL, 2, "CRITICAL", "\033[1;31m"},
              {AHOST_LOG_ERROR, 3, "ERROR", "\033[31m"},
              {AHOST_LOG_WARNING, 4, "WARNING", "\033[33m"},
              {AHOST_LOG_NOTICE, 5, "NOTICE", "\033[36m"},
              {AHOST_LOG_INFO, 6, "INFO", "\033[32m"},
              {0, 7, "DEBUG", "\033[2m"}};

static int index_of(int level) {
    int i = 0;
    while (level < levels[i].level)
        i++;
    return i;
}

static const char *message_of(const ahost__log_record *record) {
    return record->text + record->data_size;
}

/* Adds the structured data, with what is to follow it, under the name that the
 * format gives it. */
static void add_data(ahost__log_text *text, const ahost__log_format *format,
                     const ahost__log_record *record, size_t size) {
    static const size_t own = sizeof("[sd") - 1;
    if (size == 0)
        return;
    ahost__log_add_char(text, '[');
    ahost__log_add_string(text, format->sd_id != NULL ? format->sd_id : "sd");
    ahost__log_add_utf8(text, record->text + own, size - own);
}

/* ---- text --------------------------------------------------------------- */

static void add_asctime(ahost__log_text *text, const ahost__log_format *format,
                        const ahost__log_record *record) {
    ahost__log_add_time(
        text, format->datefmt != NULL ? format->datefmt : AHOST__LOG_DATEFMT,
        record->time, format->utc);
}

static void add_name(ahost__log_text *text, const ahost__log_format *format,
                     const ahost__log_record *record) {
    (void)format;
    ahost__log_add_readable(text, record->logger, strlen(record->logger));
}

static void add_level(ahost__log_text *text, const ahost__log_format *format,
                      const ahost__log_record *record) {
    (void)format;
    ahost__log_add_string(text, levels[index_of(record->level)].name);
}

static void add_level_number(ahost__log_text *text,
                             const ahost__log_format *format,
                             const ahost__log_record *record) {
    (void)format;
    ahost__log_add_number(text, record->level);
}

static void add_struct_data(ahost__log_text *text,
                            const ahost__log_format *format,
                            const ahost__log_record *record) {
    ahost__log_text data = {0};
    add_data(&data, format, record, record->data_size);
    if (data.line != NULL)
        ahost__log_add_readable(text, data.line->bytes, data.line->size);
    text->failed |= data.failed;
    free(data.line);
}

static void add_message(ahost__log_text *text, const ahost__log_format *format,
                        const ahost__log_record *record) {
    const char *message = message_of(record);
    (void)format;
    ahost__log_add_readable(text, message, strlen(message));
}

static void add_process(ahost__log_text *text, const ahost__log_format *format,
                        const ahost__log_record *record) {
    (void)format;
    (void)record;
    ahost__log_add_number(text, getpid());
}

static void add_host_name(ahost__log_text *text,
                          const ahost__log_format *format,
                          const ahost__log_record *record) {
    (void)record;
    ahost__log_add_string(text,
                          format->host_name != NULL ? format->host_name : "-");
}

static void add_app_name(ahost__log_text *text, const ahost__log_format *format,
                         const ahost__log_record *record) {
    (void)record;
    ahost__log_add_string(text, format->app_name != NULL ? format->app_name
                                                         : "ahost");
}

typedef void add_function(ahost__log_text *text,
                          const ahost__log_format *format,
                          const ahost__log_record *record);

static const struct {
    const char *name;
    add_function *add;
} fields[] = {{"asctime", add_asctime},
              {"levelname", add_level},
              {"levelno", add_level_number},
              {"name", add_name},
              {"struct_data", add_struct_data},
              {"message", add_message},
              {"process", add_process},
              {"hostname", add_host_name},
              {"app", add_app_name}};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]), WIDTH_MAX = 200 };

/* One place of a pattern: "%(name)-8s". */
typedef struct place {
    int field, width, left;
    const char *end;
} place;

static int field_named(const char *name, size_t size) {
    for (int i = 0; i < FIELDS; i++)
        if (strlen(fields[i].name) == size &&
            memcmp(fields[i].name, name, size) == 0)
            return i;
    return -1;
}

/* Reads the place that begins at `at`, a '%'. False when it is none. */
static int read_place(const char *at, place *p) {
    const char *name = at + 2, *close;
    if (at[1] != '(' || (close = strchr(name, ')')) == NULL)
        return 0;
    p->field = field_named(name, (size_t)(close - name));
    at = close + 1;
    p->left = *at == '-';
    at += p->left;
    for (p->width = 0; *at >= '0' && *at <= '9' && p->width <= WIDTH_MAX; at++)
        p->width = p->width * 10 + (*at - '0');
    p->end = at + 1;
    return p->field >= 0 && p->width <= WIDTH_MAX && (*at == 's' || *at == 'd');
}

const char *ahost__log_pattern_fault(const char *pattern) {
    place p;
    while ((pattern = strchr(pattern, '%')) != NULL) {
        if (pattern[1] == '%')
            pattern += 2;
        else if (read_place(pattern, &p))
            pattern = p.end;
        else
            return pattern;
    }
    return NULL;
}

static void pad(ahost__log_text *text, size_t from, const place *p) {
    size_t size = text->line != NULL ? text->line->size - from : 0, missing;
    if (size >= (size_t)p->width)
        return;
    missing = (size_t)p->width - size;
    for (size_t i = 0; i < missing; i++)
        ahost__log_add_char(text, ' ');
    if (!p->left && !text->failed) {
        char *start = text->line->bytes + from;
        memmove(start + missing, start, size);
        memset(start, ' ', missing);
    }
}

static void add_place(ahost__log_text *text, const ahost__log_format *format,
                      const ahost__log_record *record, const place *p) {
    int coloured = format->colours && fields[p->field].add == add_level;
    size_t from;
    if (coloured)
        ahost__log_add_string(text, levels[index_of(record->level)].colour);
    from = text->line != NULL ? text->line->size : 0;
    fields[p->field].add(text, format, record);
    pad(text, from, p);
    if (coloured)
        ahost__log_add_string(text, "\033[0m");
}

static void add_text(ahost__log_text *text, const ahost__log_format *format,
                     const ahost__log_record *record) {
    const char *at =
        format->pattern != NULL ? format->pattern : AHOST__LOG_PATTERN;
    place p;
    while (*at != '\0') {
        size_t plain = strcspn(at, "%");
        ahost__log_add(text, at, plain);
        at += plain;
        if (*at == '%' && at[1] != '%' && read_place(at, &p)) {
            add_place(text, format, record, &p);
            at = p.end;
        } else if (*at == '%') {
            ahost__log_add_char(text, '%');
            at += at[1] == '%' ? 2 : 1;
        }
    }
    ahost__log_add_char(text, '\n');
}

/* ---- JSON --------------------------------------------------------------- */

static void add_member(ahost__log_text *text, const char *name,
                       const char *value) {
    ahost__log_add_string(text, ",\"");
    ahost__log_add_string(text, name);
    ahost__log_add_string(text, "\":\"");
    ahost__log_add_json(text, value);
    ahost__log_add_char(text, '"');
}

static void add_json(ahost__log_text *text, const ahost__log_record *record) {
    ahost__log_add_string(text, "{\"time\":\"");
    ahost__log_add_iso(text, record->time);
    ahost__log_add_char(text, '"');
    add_member(text, "level", ahost__log_level_name(record->level));
    add_member(text, "logger", record->logger);
    add_member(text, "message", message_of(record));
    if (record->json != NULL) {
        ahost__log_add_string(text, ",\"data\":");
        ahost__log_add_string(text, record->json);
    }
    ahost__log_add_string(text, ",\"process\":");
    ahost__log_add_number(text, getpid());
    ahost__log_add_string(text, "}\n");
}

/* ---- syslog ------------------------------------------------------------- */

static void add_priority(ahost__log_text *text, const ahost__log_format *format,
                         const ahost__log_record *record) {
    ahost__log_add_char(text, '<');
    ahost__log_add_number(text, format->facility * 8 +
                                    levels[index_of(record->level)].severity);
    ahost__log_add_char(text, '>');
}

static const char *app_name_of(const ahost__log_format *format) {
    return format->app_name != NULL ? format->app_name : "ahost";
}

/* The id of a message is its logger; one that is too long is in the data. */
static void add_own_data(ahost__log_text *text,
                         const ahost__log_record *record) {
    ahost__log_add_string(text, " [log l=\"");
    ahost__log_add_string(text, levels[index_of(record->level)].name);
    if (strlen(record->logger) > MESSAGE_ID_MAX) {
        ahost__log_add_string(text, "\" logger=\"");
        ahost__log_add_word(text, record->logger, strlen(record->logger));
    }
    ahost__log_add_string(text, "\"]");
}

/* Adds the data without the space behind it, or nothing when it does not fit:
 * cut data would make the whole message invalid. */
static void add_data_within(ahost__log_text *text,
                            const ahost__log_format *format,
                            const ahost__log_record *record) {
    size_t before = text->line != NULL ? text->line->size : 0;
    if (record->data_size == 0)
        return;
    add_data(text, format, record, record->data_size - 1);
    if (!text->failed && format->limit > 0 && text->line->size > format->limit)
        ahost__log_shorten(text, before);
}

static void add_rfc5424(ahost__log_text *text, const ahost__log_format *format,
                        const ahost__log_record *record) {
    const char *host = format->host_name != NULL ? format->host_name : "";
    add_priority(text, format, record);
    ahost__log_add_string(text, "1 ");
    ahost__log_add_iso(text, record->time);
    ahost__log_add_char(text, ' ');
    ahost__log_add_word(text, host, HOST_NAME_MAX_5424);
    ahost__log_add_char(text, ' ');
    ahost__log_add_word(text, app_name_of(format), APP_NAME_MAX);
    ahost__log_add_char(text, ' ');
    ahost__log_add_number(text, getpid());
    ahost__log_add_char(text, ' ');
    ahost__log_add_word(text, record->logger, MESSAGE_ID_MAX);
    add_own_data(text, record);
    add_data_within(text, format, record);
    ahost__log_add_char(text, ' ');
    ahost__log_add_utf8(text, message_of(record), strlen(message_of(record)));
}

static void add_rfc3164(ahost__log_text *text, const ahost__log_format *format,
                        const ahost__log_record *record) {
    add_priority(text, format, record);
    ahost__log_add_bsd_time(text, record->time);
    ahost__log_add_char(text, ' ');
    if (format->host_name != NULL) {
        ahost__log_add_word(text, format->host_name, HOST_NAME_MAX_5424);
        ahost__log_add_char(text, ' ');
    }
    ahost__log_add_word(text, app_name_of(format), APP_NAME_MAX);
    ahost__log_add_char(text, '[');
    ahost__log_add_number(text, getpid());
    ahost__log_add_string(text, "]: ");
    add_level(text, format, record);
    ahost__log_add_char(text, ' ');
    add_name(text, format, record);
    ahost__log_add_char(text, ' ');
    add_data(text, format, record, record->data_size);
    ahost__log_add_utf8(text, message_of(record), strlen(message_of(record)));
}

/* Cuts a message of syslog, between characters. */
static void cut(ahost__log_text *text, size_t limit) {
    size_t end = limit;
    if (text->failed || limit == 0 || text->line->size <= limit)
        return;
    while (end > 0 && ((unsigned char)text->line->bytes[end] & 0xc0) == 0x80)
        end--;
    ahost__log_shorten(text, end);
}

/* ---- the whole ---------------------------------------------------------- */

ahost__log_line *ahost__log_format_line(const ahost__log_format *format,
                                        const ahost__log_record *record) {
    ahost__log_text text = {0};
    if (format->kind == AHOST__LOG_JSON)
        add_json(&text, record);
    else if (format->kind == AHOST__LOG_RFC5424)
        add_rfc5424(&text, format, record);
    else if (format->kind == AHOST__LOG_RFC3164)
        add_rfc3164(&text, format, record);
    else
        add_text(&text, format, record);
    cut(&text, format->limit);
    if (!text.failed)
        return text.line;
    free(text.line);
    return NULL;
}

void ahost__log_format_free(ahost__log_format *format) {
    free(format->pattern);
    free(format->datefmt);
    free(format->sd_id);
    free(format->app_name);
    free(format->host_name);
}
