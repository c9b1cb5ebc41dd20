/*
 * plain.c - plain values as bytes and back: what a persistent dictionary keeps.
 *
 * A tag and, little-endian, what it needs: numbers are exact, strings may hold
 * any bytes. Tables are copied with all their keys; of metatables only that of
 * arrays, which tells an empty list from an empty map, is known.
 */
#include "journal.h"

#include <lauxlib.h>
#include <string.h>

#include "json.h"

enum { MOST_DEPTH = 100, STACK = 8 };

/* ---- encoding ----------------------------------------------------------- */

/* The buffer is a userdata at index `at` of the stack. */
typedef struct encoder {
    lua_State *L;
    char *bytes;
    size_t size, capacity;
    int at;
} encoder;

static char *add_space(encoder *e, size_t more) {
    char *bytes;
    size_t size = e->size;
    if (more > e->capacity - size) {
        size_t capacity = e->capacity * 2 + more;
        bytes = lua_newuserdatauv(e->L, capacity, 0);
        memcpy(bytes, e->bytes, size);
        lua_replace(e->L, e->at);
        e->bytes = bytes;
        e->capacity = capacity;
    }
    e->size += more;
    return e->bytes + size;
}

static void add_bytes(encoder *e, const void *bytes, size_t size) {
    memcpy(add_space(e, size), bytes, size);
}

static void add_tag(encoder *e, char tag) {
    *add_space(e, 1) = tag;
}

static void put_number(char *to, uint64_t value, int size) {
    for (int i = 0; i < size; i++)
        to[i] = (char)(value >> (8 * i));
}

static void add_number(encoder *e, uint64_t value, int size) {
    put_number(add_space(e, (size_t)size), value, size);
}

static void add_value(encoder *e, int index, int depth);

/* -> 'a' for an array of JSON or YAML, 't' for a table without a metatable */
static char table_tag(lua_State *L, int index) {
    int is_array;
    if (!lua_getmetatable(L, index))
        return 't';
    luaL_getmetatable(L, AHOST__JSON_ARRAY);
    is_array = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (!is_array)
        luaL_error(L, "a table with a metatable cannot be kept");
    return 'a';
}

static void add_table(encoder *e, int index, int depth) {
    uint32_t count = 0;
    size_t place;
    if (depth >= MOST_DEPTH)
        luaL_error(e->L, "tables are nested too deeply, or in a circle");
    luaL_checkstack(e->L, STACK, "nested tables");
    add_tag(e, table_tag(e->L, index));
    place = e->size;
    add_number(e, 0, 4);
    lua_pushnil(e->L);
    while (lua_next(e->L, index) != 0) {
        add_value(e, lua_gettop(e->L) - 1, depth + 1);
        add_value(e, lua_gettop(e->L), depth + 1);
        lua_pop(e->L, 1);
        count++;
    }
    put_number(e->bytes + place, count, 4);
}

static void add_lua_number(encoder *e, int index) {
    if (lua_isinteger(e->L, index)) {
        add_tag(e, 'i');
        add_number(e, (uint64_t)lua_tointeger(e->L, index), 8);
    } else {
        double value = lua_tonumber(e->L, index);
        uint64_t bits;
        memcpy(&bits, &value, sizeof(bits));
        add_tag(e, 'f');
        add_number(e, bits, 8);
    }
}

static void add_string(encoder *e, int index) {
    size_t size;
    const char *text = lua_tolstring(e->L, index, &size);
    if (size > UINT32_MAX / 2)
        luaL_error(e->L, "a string of %d MiB or more cannot be kept", 2048);
    add_tag(e, 's');
    add_number(e, size, 4);
    add_bytes(e, text, size);
}

static void add_value(encoder *e, int index, int depth) {
    switch (lua_type(e->L, index)) {
    case LUA_TNIL:
        add_tag(e, 'n');
        return;
    case LUA_TBOOLEAN:
        add_tag(e, lua_toboolean(e->L, index) ? 'T' : 'F');
        return;
    case LUA_TNUMBER:
        add_lua_number(e, index);
        return;
    case LUA_TSTRING:
        add_string(e, index);
        return;
    case LUA_TTABLE:
        add_table(e, index, depth);
        return;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(e->L, index) == NULL) { /* null of JSON and YAML */
            add_tag(e, 'N');
            return;
        }
        break;
    default:
        break;
    }
    luaL_error(e->L, "a %s cannot be kept, only plain data",
               luaL_typename(e->L, index));
}

/* encode(value) -> string; raises for what is no plain data */
int ahost__plain_encode(lua_State *L) {
    encoder e = {.L = L, .at = 2, .capacity = 128};
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    e.bytes = lua_newuserdatauv(L, e.capacity, 0);
    add_value(&e, 1, 0);
    lua_pushlstring(L, e.bytes, e.size);
    return 1;
}

/* ---- decoding ----------------------------------------------------------- */

typedef struct decoder {
    lua_State *L;
    const char *at, *end;
} decoder;

static const char *take(decoder *d, size_t size) {
    const char *bytes = d->at;
    if ((size_t)(d->end - d->at) < size)
        luaL_error(d->L, "bytes that are no plain value");
    d->at += size;
    return bytes;
}

static uint64_t take_number(decoder *d, int size) {
    const unsigned char *bytes = (const unsigned char *)take(d, (size_t)size);
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static void push_value(decoder *d, int depth);

static void push_float(decoder *d) {
    uint64_t bits = take_number(d, 8);
    double value;
    memcpy(&value, &bits, sizeof(value));
    lua_pushnumber(d->L, value);
}

static void push_string(decoder *d) {
    size_t size = (size_t)take_number(d, 4);
    lua_pushlstring(d->L, take(d, size), size);
}

static void push_table(decoder *d, int is_array, int depth) {
    uint32_t count = (uint32_t)take_number(d, 4);
    if (depth >= MOST_DEPTH)
        luaL_error(d->L, "bytes that are no plain value");
    luaL_checkstack(d->L, STACK, "nested tables");
    lua_newtable(d->L);
    for (uint32_t i = 0; i < count; i++) {
        push_value(d, depth + 1);
        push_value(d, depth + 1);
        lua_rawset(d->L, -3);
    }
    if (is_array)
        luaL_setmetatable(d->L, AHOST__JSON_ARRAY);
}

static void push_value(decoder *d, int depth) {
    char tag = *take(d, 1);
    switch (tag) {
    case 'n':
        lua_pushnil(d->L);
        return;
    case 'N':
        lua_pushlightuserdata(d->L, NULL);
        return;
    case 'T':
    case 'F':
        lua_pushboolean(d->L, tag == 'T');
        return;
    case 'i':
        lua_pushinteger(d->L, (lua_Integer)take_number(d, 8));
        return;
    case 'f':
        push_float(d);
        return;
    case 's':
        push_string(d);
        return;
    case 'a':
    case 't':
        push_table(d, tag == 'a', depth);
        return;
    default:
        luaL_error(d->L, "bytes that are no plain value");
    }
}

/* decode(string) -> value; raises for what encode has not made */
int ahost__plain_decode(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size);
    decoder d = {.L = L, .at = bytes, .end = bytes + size};
    lua_settop(L, 1);
    push_value(&d, 0);
    return 1;
}
