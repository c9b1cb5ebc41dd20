/*
 * value.h - plain data between C and Lua: what a value is, and its way there
 * and back.
 */
#ifndef AHOST_VALUE_H
#define AHOST_VALUE_H

#include <lua.h>
#include "ahost.h"

/* What is nested more deeply is refused, or cut where it comes from Lua. */
enum { AHOST__VALUE_DEPTH = 100, AHOST__MOST_ITEMS = 200 };

struct ahost_value {
    ahost_kind kind;
    int broken;          /* something could not be put into it */
    ahost_value *parent; /* the list or map that it is in, or NULL */
    union {
        int64_t integer; /* and a boolean */
        double number;
        struct {
            char *bytes; /* of a string; of another value, its type */
            size_t size;
        } text;
        struct {
            ahost_value **values;
            char **names; /* of a map */
            size_t count, capacity;
        } items;
        struct {
            void *address;
            const ahost_type *type;
        } pointer;
    } as;
};

/* Strings, and values of other kinds that have a text. */
ahost_value *ahost__make_text(ahost_kind kind, const void *bytes, size_t size);

ahost_value *ahost__make_pointer(void *pointer, const ahost_type *type);

/* Adds a field whose name is new to the map, and takes it over. */
int ahost__map_add(ahost_value *map, const char *name, ahost_value *field);

/* ---- value_lua.c -------------------------------------------------------- */

/* Pushes a value: nil for NULL or null. Raises when memory is short, or what is
 * wrong with the value. */
void ahost__push_value(lua_State *L, const ahost_value *value);

/* Pushes the items of a list of AHOST__MOST_ITEMS at most, or nothing for NULL,
 * each as above. Returns how many. */
int ahost__push_items(lua_State *L, const ahost_value *list);

/* The value at an index; NULL for want of memory. Never raises. */
ahost_value *ahost__read_value(lua_State *L, int index);

/* Makes what the functions above need. */
void ahost__open_values(lua_State *L);

#endif
