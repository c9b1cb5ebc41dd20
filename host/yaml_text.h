/*
 * yaml_text.h - the text that is being encoded, and how scalars are written.
 */
#ifndef AHOST_YAML_TEXT_H
#define AHOST_YAML_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <lua.h>

/* A growing text in a userdata. */
typedef struct ahost__yaml_text {
    lua_State *L;
    char *data;
    size_t size, capacity;
} ahost__yaml_text;

/* Pushes an empty text. */
ahost__yaml_text *ahost__yaml_text_push(lua_State *L);

/* Append; raise when memory is short. */
void ahost__yaml_add(ahost__yaml_text *t, const char *bytes, size_t size);
void ahost__yaml_add_string(ahost__yaml_text *t, const char *string);

/* Begins a line with so many spaces. */
void ahost__yaml_add_line(ahost__yaml_text *t, int indent);

/* Pushes the text as a string and frees it. */
void ahost__yaml_text_finish(ahost__yaml_text *t);

/* How a string is written: as it is, or in quotes, where a reader would take it
 * for something else; within `{}`, `[]` and as a key on one line. */
void ahost__yaml_add_quoted(ahost__yaml_text *t, const char *s, size_t length,
                            bool flow);

/* Whether the string is best written as a literal block. */
bool ahost__yaml_is_literal(const char *s, size_t length);

/* Writes it so, its lines with so many spaces. */
void ahost__yaml_add_literal(ahost__yaml_text *t, const char *s, size_t length,
                             int indent);

/* Makes the metatable of texts. */
void ahost__yaml_text_prepare(lua_State *L);

#endif
