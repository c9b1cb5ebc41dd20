/*
 * yaml_encode.c - Lua values to YAML: blocks, sorted keys.
 *
 * What is written ends without its line end: whatever comes next begins a line.
 */
#include "yaml_encode.h"

#include <lauxlib.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "number.h"
#include "utf8.h"
#include "yaml_reader.h"
#include "yaml_text.h"

/* A longer key is written behind a `?`: readers look only 1024 characters ahead
 * for the colon, and each byte may need an escape of four. */
enum { KEY_LIMIT = 250 };

/* How much of a path an error shows. */
enum { PATH_KEYS = 16, PATH_KEY_LENGTH = 40 };

enum { LEAST_STEP = 2, GREATEST_STEP = 9 };

/* What stands before a value on its line. */
typedef enum before { NOTHING, A_KEY, A_DASH } before;

/* A table that is being written; its current key is on the stack. */
typedef struct frame {
    const struct frame *up;
    const void *identity;
    int table, key; /* stack indices */
    int depth;
} frame;

typedef struct encoder {
    lua_State *L;
    ahost__yaml_text *out;
    int step;
    bool flow;
} encoder;

/*
 * What cannot be encoded
 */

static bool is_name(const char *s, size_t length) {
    static const char others[] = "abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return length > 0 && strspn(s, others) == length &&
           !(*s >= '0' && *s <= '9');
}

static void add_path_key(lua_State *L, luaL_Buffer *B, int key) {
    size_t length;
    const char *name;
    bool whole;
    if (lua_type(L, key) == LUA_TNUMBER) {
        lua_pushfstring(L, "[%I]", (LUAI_UACINT)lua_tointeger(L, key));
        luaL_addvalue(B);
        return;
    }
    name = lua_tolstring(L, key, &length);
    if (is_name(name, length) && length <= PATH_KEY_LENGTH) {
        luaL_addchar(B, '.');
        luaL_addlstring(B, name, length);
        return;
    }
    whole = length <= PATH_KEY_LENGTH;
    luaL_addstring(B, "[\"");
    luaL_addlstring(B, name, whole ? length : PATH_KEY_LENGTH);
    luaL_addstring(B, whole ? "\"]" : "...\"]");
}

static void add_path(lua_State *L, luaL_Buffer *B, const frame *at) {
    if (at->up != NULL)
        add_path(L, B, at->up);
    if (at->depth <= PATH_KEYS)
        add_path_key(L, B, at->key);
    else if (at->depth == PATH_KEYS + 1)
        luaL_addstring(B, "...");
}

/* Raises "cannot encode X at .a.b[3]"; the path leads through the tables of
 * `at`, the value itself when that is NULL. */
static void refuse(encoder *e, const frame *at, const char *format, ...) {
    va_list arguments;
    luaL_Buffer B;
    luaL_checkstack(e->L, LUA_MINSTACK, "yaml");
    luaL_where(e->L, 1);
    va_start(arguments, format);
    lua_pushvfstring(e->L, format, arguments);
    va_end(arguments);
    luaL_buffinit(e->L, &B);
    luaL_addstring(&B, at != NULL ? " at " : "");
    if (at != NULL)
        add_path(e->L, &B, at);
    luaL_pushresult(&B);
    lua_pushfstring(e->L, "%syaml.encode: cannot encode %s%s",
                    lua_tostring(e->L, -3), lua_tostring(e->L, -2),
                    lua_tostring(e->L, -1));
    lua_error(e->L);
}

static void check_string(encoder *e, const frame *at, int index,
                         const char *what) {
    size_t length;
    const char *s = lua_tolstring(e->L, index, &length);
    const char *fault = ahost__utf8_fault(s, length);
    if (fault != NULL)
        refuse(e, at, "%s with invalid UTF-8 (byte %I)", what,
               (LUAI_UACINT)(fault - s + 1));
}

static void check_nesting(encoder *e, const frame *at) {
    const void *identity = lua_topointer(e->L, -1);
    for (const frame *outer = at; outer != NULL; outer = outer->up)
        if (outer->identity == identity)
            refuse(e, at, "a table inside itself");
    if (at != NULL && at->depth >= AHOST__YAML_DEPTH)
        refuse(e, at, "more than %d nested tables", (int)AHOST__YAML_DEPTH);
}

/*
 * Scalars
 */

static void add_number(encoder *e) {
    char text[AHOST__FLOAT_SIZE];
    lua_Number x = lua_tonumber(e->L, -1);
    if (lua_isinteger(e->L, -1))
        snprintf(text, sizeof(text), "%lld",
                 (long long)lua_tointeger(e->L, -1));
    else if (isnan(x))
        strcpy(text, ".nan");
    else if (isinf(x))
        strcpy(text, x > 0 ? ".inf" : "-.inf");
    else
        ahost__print_float(x, text, sizeof(text));
    ahost__yaml_add_string(e->out, text);
}

static void add_text(encoder *e, const frame *at, int indent) {
    size_t length;
    const char *s = lua_tolstring(e->L, -1, &length);
    check_string(e, at, -1, "a string");
    if (!e->flow && ahost__yaml_is_literal(s, length))
        ahost__yaml_add_literal(e->out, s, length, indent);
    else
        ahost__yaml_add_quoted(e->out, s, length, e->flow);
}

/* Null, as JSON has it. */
static bool is_null(lua_State *L) {
    return lua_islightuserdata(L, -1) && lua_touserdata(L, -1) == NULL;
}

/* `indent` is that of the lines of a literal block. */
static void add_scalar(encoder *e, const frame *at, int indent) {
    int type = lua_type(e->L, -1);
    if (type == LUA_TSTRING)
        add_text(e, at, indent);
    else if (type == LUA_TNUMBER)
        add_number(e);
    else if (type == LUA_TBOOLEAN)
        ahost__yaml_add_string(e->out,
                               lua_toboolean(e->L, -1) ? "true" : "false");
    else if (is_null(e->L))
        ahost__yaml_add_string(e->out, "null");
    else
        refuse(e, at, "a %s", luaL_typename(e->L, -1));
}

/*
 * Keys
 */

/* Integers before strings, these by their bytes. */
typedef struct key {
    const char *name; /* NULL: the integer */
    size_t length;
    lua_Integer number;
} key;

static int compare_keys(const void *first, const void *second) {
    const key *a = first, *b = second;
    size_t common = a->length < b->length ? a->length : b->length;
    int order;
    if (a->name == NULL || b->name == NULL)
        return a->name == NULL && b->name == NULL
                   ? (a->number > b->number) - (a->number < b->number)
                   : (a->name != NULL) - (b->name != NULL);
    order = memcmp(a->name, b->name, common);
    return order != 0 ? order
                      : (a->length > b->length) - (a->length < b->length);
}

/* The key on the top of the stack, whose table holds it. */
static key check_key(encoder *e, const frame *at) {
    key k = {NULL, 0, 0};
    if (lua_type(e->L, -1) == LUA_TSTRING) {
        check_string(e, at->up, -1, "a key");
        k.name = lua_tolstring(e->L, -1, &k.length);
    } else if (lua_isinteger(e->L, -1)) {
        k.number = lua_tointeger(e->L, -1);
    } else {
        refuse(e, at->up, "a key of type %s",
               lua_type(e->L, -1) == LUA_TNUMBER ? "float"
                                                 : luaL_typename(e->L, -1));
    }
    return k;
}

static size_t count_keys(lua_State *L, int table) {
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1))
        count++;
    return count;
}

/* Pushes a userdata with the keys of the table in order. */
static key *push_keys(encoder *e, const frame *at, size_t count) {
    key *keys = lua_newuserdatauv(e->L, count * sizeof(*keys), 0);
    size_t i = 0;
    for (lua_pushnil(e->L); lua_next(e->L, at->table) != 0; i++) {
        lua_pop(e->L, 1);
        keys[i] = check_key(e, at);
    }
    qsort(keys, count, sizeof(*keys), compare_keys);
    return keys;
}

static void push_key(lua_State *L, const key *k) {
    if (k->name != NULL)
        lua_pushlstring(L, k->name, k->length);
    else
        lua_pushinteger(L, k->number);
}

/* Writes the key and its colon in a map with that indentation. */
static void add_key(encoder *e, const key *k, int indent) {
    char number[40];
    if (k->name == NULL) {
        snprintf(number, sizeof(number), "!!int %lld", (long long)k->number);
        ahost__yaml_add_string(e->out, number);
    } else if (k->length <= KEY_LIMIT) {
        ahost__yaml_add_quoted(e->out, k->name, k->length, true);
    } else {
        ahost__yaml_add_string(e->out, "? ");
        ahost__yaml_add_quoted(e->out, k->name, k->length, true);
        if (e->flow)
            ahost__yaml_add(e->out, " ", 1);
        else
            ahost__yaml_add_line(e->out, indent);
    }
    ahost__yaml_add(e->out, ":", 1);
}

/*
 * Collections
 */

/* Whether the `count` keys of the table are 1 to `count`. */
static bool is_sequence(lua_State *L, int table, size_t count) {
    for (size_t i = 1; i <= count; i++) {
        bool missing = lua_rawgeti(L, table, (lua_Integer)i) == LUA_TNIL;
        lua_pop(L, 1);
        if (missing)
            return false;
    }
    return true;
}

/* Whether the table of `at` with so many keys is a list, not a map. */
static bool is_list(encoder *e, const frame *at, size_t count) {
    bool marked = ahost__yaml_has_metatable(e->L, AHOST__JSON_ARRAY);
    if ((marked || count > 0) && is_sequence(e->L, at->table, count))
        return true;
    if (marked)
        refuse(e, at->up, "an array with holes or other keys");
    return false;
}

static void add_value(encoder *e, const frame *at, int indent, before lead);

static void add_flow_list(encoder *e, frame *at, size_t count) {
    ahost__yaml_add(e->out, "[", 1);
    for (size_t i = 1; i <= count; i++) {
        lua_pushinteger(e->L, (lua_Integer)i);
        lua_rawgeti(e->L, at->table, (lua_Integer)i);
        add_value(e, at, 0, i > 1 ? A_DASH : NOTHING);
        ahost__yaml_add(e->out, ",", i < count);
        lua_pop(e->L, 2);
    }
    ahost__yaml_add(e->out, "]", 1);
}

static void add_list(encoder *e, frame *at, size_t count, int indent) {
    for (size_t i = 1; i <= count; i++) {
        if (i > 1)
            ahost__yaml_add_line(e->out, indent);
        ahost__yaml_add(e->out, "-", 1);
        lua_pushinteger(e->L, (lua_Integer)i);
        lua_rawgeti(e->L, at->table, (lua_Integer)i);
        add_value(e, at, indent, A_DASH);
        lua_pop(e->L, 2);
    }
}

static void add_pair(encoder *e, frame *at, const key *k, int indent) {
    add_key(e, k, indent);
    push_key(e->L, k);
    lua_pushvalue(e->L, -1);
    lua_rawget(e->L, at->table);
    add_value(e, at, indent, A_KEY);
    lua_pop(e->L, 2);
}

static void add_flow_map(encoder *e, frame *at, const key *keys, size_t count) {
    ahost__yaml_add(e->out, "{", 1);
    for (size_t i = 0; i < count; i++) {
        add_pair(e, at, &keys[i], 0);
        ahost__yaml_add(e->out, ", ", i + 1 < count ? 2 : 0);
    }
    ahost__yaml_add(e->out, "}", 1);
}

static void add_map(encoder *e, frame *at, const key *keys, size_t count,
                    int indent) {
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            ahost__yaml_add_line(e->out, indent);
        add_pair(e, at, &keys[i], indent);
    }
}

/* The table on the top, whose lines are indented so. */
static void add_table(encoder *e, const frame *up, int indent) {
    frame at = {.up = up, .identity = lua_topointer(e->L, -1)};
    size_t count;
    luaL_checkstack(e->L, LUA_MINSTACK, "yaml");
    at.table = lua_gettop(e->L);
    at.key = at.table + 2; /* behind the keys */
    at.depth = up != NULL ? up->depth + 1 : 1;
    count = count_keys(e->L, at.table);
    if (is_list(e, &at, count)) {
        lua_pushnil(e->L); /* no keys */
        if (e->flow || count == 0)
            add_flow_list(e, &at, count);
        else
            add_list(e, &at, count, indent);
    } else {
        const key *keys = push_keys(e, &at, count);
        if (e->flow || count == 0)
            add_flow_map(e, &at, keys, count);
        else
            add_map(e, &at, keys, count, indent);
    }
    lua_settop(e->L, at.table);
}

/* Replaces the tagged value on the top by what stands behind the tag, and
 * writes that. */
static void take_tagged(encoder *e, const frame *at) {
    static const char others[] = "abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:";
    const char *tag;
    lua_pushliteral(e->L, "tag");
    lua_rawget(e->L, -2);
    tag = lua_type(e->L, -1) == LUA_TSTRING ? lua_tostring(e->L, -1) : "";
    if (*tag != '!' || tag[1] == '\0' ||
        strspn(tag + 1, others) != lua_rawlen(e->L, -1) - 1)
        refuse(e, at, "a value with a bad tag");
    ahost__yaml_add_string(e->out, tag);
    lua_pop(e->L, 1);
    lua_pushliteral(e->L, "value");
    lua_rawget(e->L, -2);
    lua_replace(e->L, -2);
    if (lua_type(e->L, -1) != LUA_TSTRING && !lua_istable(e->L, -1))
        refuse(e, at, "a tagged %s", luaL_typename(e->L, -1));
    if (ahost__yaml_has_metatable(e->L, AHOST__YAML_TAGGED))
        refuse(e, at, "a tagged value with two tags");
}

static bool is_block(encoder *e) {
    bool empty;
    if (e->flow || !lua_istable(e->L, -1))
        return false;
    lua_pushnil(e->L);
    empty = lua_next(e->L, -2) == 0;
    if (!empty)
        lua_pop(e->L, 2);
    return !empty;
}

/* The indentation of what is in a value, on the next line. */
static int inner_indent(const encoder *e, int indent, before lead) {
    return indent + (lead == A_DASH ? LEAST_STEP : e->step);
}

/* Writes the block on the top behind what is on its line. */
static void add_block(encoder *e, const frame *at, int indent, before lead,
                      bool tagged) {
    int inner = lead == NOTHING ? indent : inner_indent(e, indent, lead);
    if (lead == A_DASH && !tagged)
        ahost__yaml_add(e->out, " ", 1);
    else if (lead != NOTHING || tagged)
        ahost__yaml_add_line(e->out, inner);
    add_table(e, at, inner);
}

/* Writes the value on the top, of a line with that indentation; in front of it
 * goes the space that it needs. */
static void add_value(encoder *e, const frame *at, int indent, before lead) {
    bool tagged;
    luaL_checkstack(e->L, LUA_MINSTACK, "yaml");
    tagged = ahost__yaml_has_metatable(e->L, AHOST__YAML_TAGGED);
    if (tagged) {
        ahost__yaml_add(e->out, " ", lead != NOTHING);
        lua_pushvalue(e->L, -1);
        take_tagged(e, at);
    } else {
        lua_pushvalue(e->L, -1);
    }
    if (lua_istable(e->L, -1))
        check_nesting(e, at);
    if (is_block(e)) {
        add_block(e, at, indent, lead, tagged);
    } else {
        ahost__yaml_add(e->out, " ", lead != NOTHING || tagged);
        if (lua_istable(e->L, -1))
            add_table(e, at, indent);
        else
            add_scalar(e, at, inner_indent(e, indent, lead));
    }
    lua_pop(e->L, 1);
}

/* yaml.encode(value, [opts]) -> text */
int ahost__yaml_encode(lua_State *L) {
    encoder e = {.L = L, .step = LEAST_STEP};
    luaL_checkany(L, 1);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        lua_getfield(L, 2, "flow");
        e.flow = lua_toboolean(L, -1);
        lua_getfield(L, 2, "indent");
        e.step = (int)luaL_optinteger(L, -1, LEAST_STEP);
        luaL_argcheck(L, e.step >= LEAST_STEP && e.step <= GREATEST_STEP, 2,
                      "indent must be an integer from 2 to 9");
    }
    e.out = ahost__yaml_text_push(L);
    lua_pushvalue(L, 1);
    add_value(&e, NULL, 0, NOTHING);
    ahost__yaml_add(e.out, "\n", !e.flow);
    ahost__yaml_text_finish(e.out);
    return 1;
}
