/*
 * yaml_reader.c - libyaml's parser in a userdata, and what is wrong with a text
 * in words that tell what to do.
 */
#include "yaml_reader.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host.h"

#define READER_TYPE "ahost.yaml.reader"

/* How much of a key, a value or a name a message shows. */
enum { SHOWN_LENGTH = 40 };

static int reader_gc(lua_State *L) {
    ahost__yaml_close(luaL_checkudata(L, 1, READER_TYPE));
    return 0;
}

void ahost__yaml_prepare(lua_State *L) {
    luaL_newmetatable(L, READER_TYPE);
    lua_pushcfunction(L, reader_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

enum { BOM_LENGTH = 3 };

static bool has_bom(const ahost__yaml_reader *r) {
    return r->length >= BOM_LENGTH &&
           memcmp(r->text, "\xEF\xBB\xBF", BOM_LENGTH) == 0;
}

/* libyaml would guess other encodings, and count a BOM as a character. */
static void set_input(ahost__yaml_reader *r) {
    size_t skipped = has_bom(r) ? BOM_LENGTH : 0;
    r->text += skipped;
    r->length -= skipped;
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->text,
                                 r->length);
}

void *ahost__yaml_open(lua_State *L, size_t size, const char *text,
                       size_t length) {
    ahost__yaml_reader *r = lua_newuserdatauv(L, size, 0);
    memset(r, 0, size);
    r->L = L;
    r->text = text;
    r->length = length;
    luaL_setmetatable(L, READER_TYPE);
    if (!yaml_parser_initialize(&r->parser)) {
        lua_pop(L, 1);
        return NULL;
    }
    r->open = true;
    set_input(r);
    return r;
}

void ahost__yaml_close(ahost__yaml_reader *r) {
    if (r->has_event)
        yaml_event_delete(&r->event);
    if (r->open)
        yaml_parser_delete(&r->parser);
    r->has_event = r->open = false;
}

/*
 * What is wrong
 */

static bool fault_at(ahost__yaml_reader *r, size_t line, size_t column) {
    r->line = line + 1;
    r->column = column + 1;
    return false;
}

bool ahost__yaml_fault(ahost__yaml_reader *r, yaml_mark_t mark,
                       const char *format, ...) {
    va_list arguments;
    luaL_checkstack(r->L, LUA_MINSTACK, "yaml");
    va_start(arguments, format);
    lua_pushvfstring(r->L, format, arguments);
    va_end(arguments);
    return fault_at(r, mark.line, mark.column);
}

static bool starts_character(char c) {
    return ((unsigned char)c & 0xC0) != 0x80;
}

const char *ahost__yaml_show(lua_State *L, const char *text, size_t length) {
    size_t shown = 0;
    while (shown < length && shown < SHOWN_LENGTH &&
           (unsigned char)text[shown] >= 0x20)
        shown++;
    if (shown == length)
        return lua_pushlstring(L, text, length);
    while (!starts_character(text[shown]))
        shown--;
    lua_pushlstring(L, text, shown);
    lua_pushliteral(L, "...");
    lua_concat(L, 2);
    return lua_tostring(L, -1);
}

/* The place of a byte that libyaml could not read as a character. */
static yaml_mark_t mark_of_byte(const ahost__yaml_reader *r, size_t offset) {
    yaml_mark_t mark = {0, 0, 0};
    for (size_t i = 0; i < offset && i < r->length; i++) {
        if (r->text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (starts_character(r->text[i])) {
            mark.column++;
        }
    }
    return mark;
}

static bool is_utf16(const ahost__yaml_reader *r) {
    return r->length >= 2 && (memcmp(r->text, "\xFF\xFE", 2) == 0 ||
                              memcmp(r->text, "\xFE\xFF", 2) == 0);
}

/* The text is not made of the characters that YAML allows. */
static bool fault_of_characters(ahost__yaml_reader *r) {
    const yaml_parser_t *p = &r->parser;
    yaml_mark_t mark = mark_of_byte(r, p->problem_offset);
    char code[16];
    if (is_utf16(r))
        return ahost__yaml_fault(r, mark, "UTF-16; save the file as UTF-8");
    if (strstr(p->problem, "control") == NULL)
        return ahost__yaml_fault(r, mark, "invalid UTF-8");
    snprintf(code, sizeof(code), "%04X", (unsigned)p->problem_value);
    return ahost__yaml_fault(r, mark,
                             "the control character U+%s; write it as an "
                             "escape in double quotes",
                             code);
}

/* What libyaml says, and what helps more. */
static const struct {
    const char *problem, *message;
} messages[] = {
    {"mapping values are not allowed in this context",
     "a ':' that cannot stand here; check the indentation, and quote a value "
     "that contains ': '"},
    {"mapping keys are not allowed in this context",
     "a '?' that cannot stand here; quote the value"},
    {"block sequence entries are not allowed in this context",
     "a '-' that cannot stand here; put the list on the next line"},
    {"did not find expected key", "expected a key here; check the indentation"},
    {"did not find expected '-' indicator",
     "expected '- ' here; check the indentation"},
    {"did not find expected ',' or ']'",
     "expected ',' or ']' in a list that begins with '['"},
    {"did not find expected ',' or '}'",
     "expected ',' or '}' in a map that begins with '{'"},
    {"did not find expected node content", "expected a value here"},
    {"found unexpected end of stream", "a quote that is never closed"},
    {"found unexpected document indicator", "the document ends within quotes"},
    {"found unknown escape character",
     "an unknown escape in double quotes; write \\\\ for a backslash"},
    {"found undefined tag handle", "a tag with an undeclared handle"},
    {"found a tab character where an indentation space is expected",
     "a tab character; indent with spaces"},
    {"found a tab character that violates indentation",
     "a tab character; indent with spaces"},
    {"did not find expected <document start>",
     "text behind the end of the document; check the indentation"},
};

static const char *explain(const char *problem) {
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        if (strcmp(problem, messages[i].problem) == 0)
            return messages[i].message;
    return problem;
}

/* The byte at a mark that is on its line. */
static char byte_at(const ahost__yaml_reader *r, yaml_mark_t mark) {
    const char *at = r->text, *end = r->text + r->length;
    for (size_t characters = mark.index; at < end; at++)
        if (starts_character(*at) && characters-- == 0)
            return *at;
    return '\0';
}

static bool fault_of_token(ahost__yaml_reader *r, yaml_mark_t mark) {
    char c = byte_at(r, mark);
    if (c == '\t')
        return ahost__yaml_fault(r, mark,
                                 "a tab character; indent with spaces");
    return ahost__yaml_fault(r, mark,
                             "'%c' cannot begin a value; put it in quotes", c);
}

/* Where the problem is; and where what it is part of began, if that is another
 * line. */
static bool fault_of_grammar(ahost__yaml_reader *r) {
    const yaml_parser_t *p = &r->parser;
    const char *message = explain(p->problem);
    if (strcmp(message, "found character that cannot start any token") == 0)
        return fault_of_token(r, p->problem_mark);
    if (strcmp(message, "could not find expected ':'") == 0)
        return ahost__yaml_fault(r, p->context_mark,
                                 "a key without ':', or text that is not "
                                 "indented enough");
    if (p->context == NULL || p->context_mark.line == p->problem_mark.line)
        return ahost__yaml_fault(r, p->problem_mark, "%s", message);
    return ahost__yaml_fault(r, p->problem_mark, "%s (begun on line %d)",
                             message, (int)p->context_mark.line + 1);
}

static bool fault_of_parser(ahost__yaml_reader *r) {
    switch (r->parser.error) {
    case YAML_MEMORY_ERROR:
        lua_pushnil(r->L);
        r->no_memory = true;
        return false;
    case YAML_READER_ERROR:
        return fault_of_characters(r);
    default:
        return fault_of_grammar(r);
    }
}

int ahost__yaml_fail(ahost__yaml_reader *r, const char *op, const char *name) {
    lua_State *L = r->L;
    if (r->no_memory)
        return ahost__fail(L, UV_ENOMEM, op);
    ahost__fail_text(L, "SYNTAX", NULL, "%s:%d:%d: %s", name, (int)r->line,
                     (int)r->column, lua_tostring(L, -1));
    lua_pushinteger(L, (lua_Integer)r->line);
    lua_setfield(L, -2, "line");
    lua_pushinteger(L, (lua_Integer)r->column);
    lua_setfield(L, -2, "column");
    return 2;
}

/*
 * Events
 */

bool ahost__yaml_next(ahost__yaml_reader *r) {
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->parser, &r->event);
    return r->has_event || fault_of_parser(r);
}

bool ahost__yaml_begin(ahost__yaml_reader *r, bool *empty) {
    yaml_mark_t start = {0, 0, 0};
    if (has_bom(r))
        return ahost__yaml_fault(r, start, "a second byte order mark");
    if (!ahost__yaml_next(r) || !ahost__yaml_next(r))
        return false;
    *empty = r->event.type == YAML_STREAM_END_EVENT;
    return *empty || ahost__yaml_next(r);
}

bool ahost__yaml_end(ahost__yaml_reader *r) {
    if (!ahost__yaml_next(r) || !ahost__yaml_next(r))
        return false;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return true;
    return ahost__yaml_fault(r, r->event.start_mark,
                             "a second document; a file holds only one");
}
