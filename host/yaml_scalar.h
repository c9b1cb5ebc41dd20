/*
 * yaml_scalar.h - what plain scalars mean.
 */
#ifndef AHOST_YAML_SCALAR_H
#define AHOST_YAML_SCALAR_H

#include <stdbool.h>
#include <stddef.h>
#include <lua.h>

/* What a plain scalar means in the core schema of YAML 1.2. */
typedef enum ahost__yaml_kind {
    AHOST__YAML_STRING,
    AHOST__YAML_NULL,
    AHOST__YAML_BOOLEAN,
    AHOST__YAML_INTEGER,
    AHOST__YAML_FLOAT
} ahost__yaml_kind;

ahost__yaml_kind ahost__yaml_kind_of(const char *text, size_t length);

/* Pushes the value of a scalar of that kind (a zero byte stands behind the
 * text); false, and nothing pushed, for a number that does not fit. An integer
 * may be taken for a float. */
bool ahost__yaml_push(lua_State *L, ahost__yaml_kind kind, const char *text,
                      size_t length);

#endif
