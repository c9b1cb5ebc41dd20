/*
 * yaml_reader.h - the events of a YAML text, and what is wrong with it.
 *
 * libyaml knows the grammar; what a scalar means, anchors, merge keys, tags,
 * limits and all messages are ours.
 */
#ifndef AHOST_YAML_READER_H
#define AHOST_YAML_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <lua.h>
#include <yaml.h>

/* The metatable of what a local tag stands before: {tag = "!env", value = v} */
#define AHOST__YAML_TAGGED "ahost.yaml.tagged"

/* How deep collections may be nested, in both directions. */
enum { AHOST__YAML_DEPTH = 200 };

/* A libyaml parser, freed at the latest by the collector, and what went wrong
 * with it: a message in a Lua string on the top of the stack. */
typedef struct ahost__yaml_reader {
    lua_State *L;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool open, has_event;
    bool no_memory; /* what went wrong has no message */
    const char *text;
    size_t length;
    size_t line, column; /* of what went wrong, from 1 */
} ahost__yaml_reader;

/* Pushes a reader of the text, which must stay on the stack. The reader lies
 * within a userdata of `size` bytes, zeroed, at its beginning. NULL, and
 * nothing pushed, when memory is short. */
void *ahost__yaml_open(lua_State *L, size_t size, const char *text,
                       size_t length);

/* Frees what libyaml holds, before the collector does. */
void ahost__yaml_close(ahost__yaml_reader *r);

/* Reads the next event; false when the text is bad. */
bool ahost__yaml_next(ahost__yaml_reader *r);

/* Reads the events before the only document's first node. `*empty` tells that
 * there is none. */
bool ahost__yaml_begin(ahost__yaml_reader *r, bool *empty);

/* Reads the events behind the document; another one is a fault. */
bool ahost__yaml_end(ahost__yaml_reader *r);

/* Something is wrong at the mark: pushes the message. -> false */
bool ahost__yaml_fault(ahost__yaml_reader *r, yaml_mark_t mark,
                       const char *format, ...);

/* Pushes the beginning of a text, for messages: what of one line is not long.
 */
const char *ahost__yaml_show(lua_State *L, const char *text, size_t length);

/* Makes `nil, err` of the message on the top; returns 2. */
int ahost__yaml_fail(ahost__yaml_reader *r, const char *op, const char *name);

/* Whether the value on the top has the metatable of that type. */
bool ahost__yaml_has_metatable(lua_State *L, const char *type);

/* Makes the metatable of readers. */
void ahost__yaml_prepare(lua_State *L);

#endif
