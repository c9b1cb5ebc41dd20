/*
 * json.c - the numbers and the empty arrays of JSON, around lua-cjson.
 *
 * lua-cjson knows the grammar, but it reads 1 as 1.0, prints 14 digits and
 * takes [] for {}. So it never sees a number that it would spoil:
 *
 * Decoding, scan() replaces each number of the text by its place in a list of
 * the real ones, [7, 0.5] by [1, 2], and [] by [0]; after cjson has built the
 * tables, restore() exchanges places for numbers. Nothing is in the list at
 * 0, so that array becomes empty.
 *
 * Encoding, prepare() checks the value and replaces, in copies of the tables
 * concerned, what cjson cannot print by strings that begin with the byte 0xFF;
 * after cjson has written the text, finish() strips those quotes and marks.
 * Strings must be UTF-8 on both sides, where this byte cannot occur: a mark is
 * never mistaken.
 */

#include "json.h"
#include "number.h"
#include "utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#define MARK 0xFF
#define MARK_TEXT "\xFF"

/* Integers below 10^14 are those that cjson prints as they are. */
#define PLAIN_INTEGER INT64_C(100000000000000)

/* A number of so many digits fits into 64 bits without looking. */
#define SAFE_DIGITS 18

/* How much of a path an error shows. */
#define PATH_KEYS 16
#define PATH_KEY_LENGTH 40

/*
 * Decoding: scan
 */

struct scan {
    lua_State *L;
    luaL_Buffer out;    /* the text for cjson, up to `copied` */
    const char *at;     /* what is looked at */
    const char *end;    /* of the text; a zero byte stands there */
    const char *copied; /* what of the text is in `out` already */
    const char *fault;  /* what is wrong at `at` */
    lua_Integer count;  /* of the numbers in the list */
    int list;           /* its stack index */
    bool arrays;        /* whether there are any */
};

static bool fail(struct scan *s, const char *at, const char *fault) {
    s->at = at;
    s->fault = fault;
    return false;
}

/* Writes `with` instead of the text from `from` to `to`. */
static void replace(struct scan *s, const char *from, const char *to,
                    const char *with) {
    luaL_addlstring(&s->out, s->copied, (size_t)(from - s->copied));
    luaL_addstring(&s->out, with);
    s->copied = to;
}

/* The length of the backslash at p, with what would be mistaken after it. */
static size_t escape_length(const char *p) {
    return p[1] == '"' || p[1] == '\\' ? 2 : 1;
}

/* A string that does not end is left to cjson. */
static bool skip_string(struct scan *s) {
    const char *p = s->at + 1;
    while (p < s->end && *p != '"') {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20) {
            return fail(s, p, "a control character in a string");
        }
        size_t n = c == '\\'  ? escape_length(p)
                   : c < 0x80 ? 1
                              : ahost__utf8_length(p, s->end);
        if (n == 0) {
            return fail(s, p, "invalid UTF-8");
        }
        p += n;
    }
    s->at = p < s->end ? p + 1 : p;
    return true;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static const char *skip_digits(const char *p) {
    while (is_digit(*p)) {
        p++;
    }
    return p;
}

/* The end of the number at p by the grammar of JSON, or NULL. */
static const char *number_end(const char *p, bool *integer) {
    const char *digits = *p == '-' ? p + 1 : p;
    const char *at = *digits == '0' ? digits + 1 : skip_digits(digits);
    if (at == digits) {
        return NULL;
    }
    *integer = *at != '.' && *at != 'e' && *at != 'E';
    if (*at == '.') {
        digits = at + 1;
        at = skip_digits(digits);
        if (at == digits) {
            return NULL;
        }
    }
    if (*at == 'e' || *at == 'E') {
        digits = at[1] == '+' || at[1] == '-' ? at + 2 : at + 1;
        at = skip_digits(digits);
        if (at == digits) {
            return NULL;
        }
    }
    return at;
}

/* Whether c would make the number before it a longer, bad one. */
static bool continues_number(char c) {
    return is_digit(c) || is_letter(c) || c == '.' || c == '+' || c == '-';
}

static lua_Integer read_short_integer(const char *p, const char *end) {
    bool negative = *p == '-';
    lua_Integer value = 0;
    for (p += negative; p < end; p++) {
        value = value * 10 + (*p - '0');
    }
    return negative ? -value : value;
}

/* Pushes the number from p to end; false if it is beyond the doubles. Lua reads
 * integers beyond 64 bits as floats, and knows about locales. */
static bool push_number(lua_State *L, const char *p, const char *end,
                        bool integer) {
    if (integer && end - p <= SAFE_DIGITS) {
        lua_pushinteger(L, read_short_integer(p, end));
        return true;
    }
    lua_stringtonumber(L, lua_pushlstring(L, p, (size_t)(end - p)));
    lua_remove(L, -2);
    return isfinite(lua_tonumber(L, -1));
}

static bool take_number(struct scan *s) {
    bool integer = false;
    const char *end = number_end(s->at, &integer);
    if (end == NULL || continues_number(*end)) {
        return fail(s, s->at, "an invalid number");
    }
    char place[32];
    snprintf(place, sizeof place, " %lld ", (long long)++s->count);
    replace(s, s->at, end, place);
    lua_State *L = s->L;
    if (!push_number(L, s->at, end, integer)) {
        return fail(s, s->at, "a number too large");
    }
    lua_rawseti(L, s->list, s->count);
    s->at = end;
    return true;
}

static void take_array(struct scan *s) {
    const char *begin = s->at + 1;
    const char *at = begin + strspn(begin, " \t\r\n");
    s->arrays = true;
    if (*at == ']') {
        replace(s, begin, at, "0");
    }
    s->at = at;
}

static bool take_token(struct scan *s) {
    switch (*s->at) {
    case '"':
        return skip_string(s);
    case '[':
        take_array(s);
        return true;
    case '\0':
        return fail(s, s->at, "a zero byte");
    default:
        if (*s->at == '-' || is_digit(*s->at)) {
            return take_number(s);
        }
        s->at++;
        return true;
    }
}

static bool take_tokens(struct scan *s) {
    while (s->at < s->end) {
        if (!take_token(s)) {
            return false;
        }
    }
    return true;
}

/* scan(text) -> text for cjson, list for restore() or nil if nothing is to be
 * restored | nil, what is wrong, where (a byte position) */
static int scan(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    struct scan s = {.L = L, .at = text, .end = text + length};
    s.copied = text;
    lua_settop(L, 1);
    lua_newtable(L);
    s.list = lua_gettop(L);
    luaL_buffinit(L, &s.out);
    if (!take_tokens(&s)) {
        luaL_pushfail(L);
        lua_pushstring(L, s.fault);
        lua_pushinteger(L, s.at - text + 1);
        return 3;
    }
    if (s.copied == text) {
        lua_pushvalue(L, 1);
    } else {
        luaL_addlstring(&s.out, s.copied, (size_t)(s.end - s.copied));
        luaL_pushresult(&s.out);
    }
    if (s.count == 0 && !s.arrays) {
        return 1;
    }
    lua_pushvalue(L, s.list);
    return 2;
}

/*
 * Decoding: restore
 */

#define RESTORE_LIST 2 /* the stack indices of its arguments */
#define RESTORE_ARRAY 3

static void restore_table(lua_State *L);

/* Restores the value on the top; whether it is another one then. */
static bool restore_value(lua_State *L) {
    if (lua_istable(L, -1)) {
        restore_table(L);
        return false;
    }
    if (lua_type(L, -1) != LUA_TNUMBER) {
        return false;
    }
    lua_Integer place = (lua_Integer)lua_tonumber(L, -1);
    lua_pop(L, 1);
    lua_rawgeti(L, RESTORE_LIST, place);
    return true;
}

static void restore_array(lua_State *L, lua_Integer length) {
    for (lua_Integer i = 1; i <= length; i++) {
        lua_rawgeti(L, -1, i);
        if (restore_value(L)) {
            lua_rawseti(L, -2, i);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pushvalue(L, RESTORE_ARRAY);
    lua_setmetatable(L, -2);
}

static void restore_object(lua_State *L) {
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (restore_value(L)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -4);
        } else {
            lua_pop(L, 1);
        }
    }
}

static void restore_table(lua_State *L) {
    luaL_checkstack(L, 5, "json");
    lua_Integer length = (lua_Integer)lua_rawlen(L, -1);
    if (length > 0) {
        restore_array(L, length);
    } else {
        restore_object(L);
    }
}

/* restore(value, list) -> value, its arrays marked as such */
static int restore(lua_State *L) {
    luaL_checkany(L, 1);
    luaL_checktype(L, RESTORE_LIST, LUA_TTABLE);
    lua_settop(L, RESTORE_LIST);
    luaL_getmetatable(L, AHOST__JSON_ARRAY);
    lua_pushvalue(L, 1);
    restore_value(L);
    return 1;
}

/*
 * Encoding: prepare
 */

enum outcome {
    KEPT,     /* the value on the top is fit for cjson */
    REPLACED, /* another one, which is, took its place */
    REFUSED   /* on the top is the message that says why */
};

/* A table that is being prepared. On the stack are, from `table` on, the
 * table, its copy (or nil), a key and its value. */
struct frame {
    const struct frame *up;
    const void *identity;
    int table;
    int depth;
};

/* What the keys of a table are. */
struct shape {
    lua_Integer strings;
    lua_Integer integers;
    lua_Integer greatest;
};

#define COPY(frame) ((frame)->table + 1)
#define KEY(frame) ((frame)->table + 2)

static bool is_name(const char *s) {
    if (!is_letter(*s)) {
        return false;
    }
    while (is_letter(*s) || is_digit(*s)) {
        s++;
    }
    return *s == '\0';
}

static void add_key(lua_State *L, luaL_Buffer *B, int key) {
    if (lua_isinteger(L, key)) {
        lua_pushfstring(L, "[%I]", (LUAI_UACINT)lua_tointeger(L, key));
        luaL_addvalue(B);
        return;
    }
    size_t length;
    const char *name = lua_tolstring(L, key, &length);
    bool whole = length <= PATH_KEY_LENGTH;
    bool plain = whole && is_name(name);
    luaL_addstring(B, plain ? "." : "[\"");
    luaL_addlstring(B, name, whole ? length : PATH_KEY_LENGTH);
    luaL_addstring(B, plain ? "" : whole ? "\"]" : "...\"]");
}

static void add_path(lua_State *L, luaL_Buffer *B, const struct frame *at) {
    if (at->up != NULL) {
        add_path(L, B, at->up);
    }
    if (at->depth <= PATH_KEYS) {
        add_key(L, B, KEY(at));
    } else if (at->depth == PATH_KEYS + 1) {
        luaL_addstring(B, "...");
    }
}

/* Pushes "cannot encode X at .a.b[3]": the path leads through the tables of
 * `at`, the value itself when that is NULL. -> REFUSED */
static enum outcome refuse(lua_State *L, const struct frame *at,
                           const char *fmt, ...) {
    luaL_checkstack(L, LUA_MINSTACK, "json");
    va_list args;
    va_start(args, fmt);
    const char *what = lua_pushvfstring(L, fmt, args);
    va_end(args);
    luaL_Buffer B;
    luaL_buffinit(L, &B);
    luaL_addstring(&B, "cannot encode ");
    luaL_addstring(&B, what);
    if (at != NULL) {
        luaL_addstring(&B, " at ");
        add_path(L, &B, at);
    }
    luaL_pushresult(&B);
    return REFUSED;
}

static enum outcome prepare_string(lua_State *L, const struct frame *at,
                                   int index, const char *what) {
    size_t length;
    const char *s = lua_tolstring(L, index, &length);
    const char *fault = ahost__utf8_fault(s, length);
    if (fault == NULL) {
        return KEPT;
    }
    return refuse(L, at, "%s with invalid UTF-8 (byte %I)", what,
                  (LUAI_UACINT)(fault - s + 1));
}

static enum outcome prepare_number(lua_State *L, const struct frame *at) {
    char text[48] = MARK_TEXT;
    if (lua_isinteger(L, -1)) {
        lua_Integer n = lua_tointeger(L, -1);
        if (n > -PLAIN_INTEGER && n < PLAIN_INTEGER) {
            return KEPT;
        }
        snprintf(text + 1, sizeof text - 1, "%lld", (long long)n);
    } else {
        lua_Number x = lua_tonumber(L, -1);
        if (!isfinite(x)) {
            const char *name = isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
            return refuse(L, at, "the number %s", name);
        }
        ahost__print_float(x, text + 1, sizeof text - 1);
    }
    lua_pop(L, 1);
    lua_pushstring(L, text);
    return REPLACED;
}

/* Takes the key of the frame's table into account. */
static enum outcome add_to_shape(lua_State *L, const struct frame *f,
                                 struct shape *shape) {
    int type = lua_type(L, KEY(f));
    if (type == LUA_TSTRING) {
        shape->strings++;
        return prepare_string(L, f->up, KEY(f), "a key");
    }
    if (!lua_isinteger(L, KEY(f))) {
        const char *name =
            type == LUA_TNUMBER ? "float" : lua_typename(L, type);
        return refuse(L, f->up, "a table with a %s key", name);
    }
    lua_Integer n = lua_tointeger(L, KEY(f));
    if (n < 1) {
        return refuse(L, f->up, "a table with the key %I", (LUAI_UACINT)n);
    }
    shape->integers++;
    shape->greatest = n > shape->greatest ? n : shape->greatest;
    return KEPT;
}

static bool is_array(lua_State *L, int index) {
    if (!lua_getmetatable(L, index)) {
        return false;
    }
    luaL_getmetatable(L, AHOST__JSON_ARRAY);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* The first place of an array where nothing is. */
static lua_Integer first_hole(lua_State *L, int table) {
    lua_Integer i = 1;
    while (lua_rawgeti(L, table, i) != LUA_TNIL) {
        lua_pop(L, 1);
        i++;
    }
    lua_pop(L, 1);
    return i;
}

static enum outcome check_shape(lua_State *L, const struct frame *f,
                                const struct shape *shape) {
    if (shape->strings > 0 && shape->integers > 0) {
        return refuse(L, f->up, "a table with both string and integer keys");
    }
    if (shape->integers < shape->greatest) {
        return refuse(L, f->up, "a sparse array (nothing at [%I])",
                      (LUAI_UACINT)first_hole(L, f->table));
    }
    if (shape->strings > 0 && is_array(L, f->table)) {
        return refuse(L, f->up, "an array with string keys");
    }
    return KEPT;
}

static bool is_inside_itself(const struct frame *f) {
    for (const struct frame *up = f->up; up != NULL; up = up->up) {
        if (up->identity == f->identity) {
            return true;
        }
    }
    return false;
}

static enum outcome enter(lua_State *L, const struct frame *f, int max_depth) {
    if (is_inside_itself(f)) {
        return refuse(L, f->up, "a table inside itself");
    }
    if (f->depth > max_depth) {
        return refuse(L, f->up, "tables nested more than %d deep", max_depth);
    }
    luaL_checkstack(L, LUA_MINSTACK, "json");
    return KEPT;
}

/* Makes the copy of the frame's table, unless it has been made. */
static void copy_table(lua_State *L, const struct frame *f) {
    if (lua_istable(L, COPY(f))) {
        return;
    }
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, f->table)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_replace(L, COPY(f));
}

static enum outcome prepare_value(lua_State *L, const struct frame *at,
                                  int max_depth);

/* Prepares the pair on the top of the stack and leaves its key there. */
static enum outcome prepare_pair(lua_State *L, const struct frame *f,
                                 struct shape *shape, int max_depth) {
    if (add_to_shape(L, f, shape) == REFUSED) {
        return REFUSED;
    }
    enum outcome outcome = prepare_value(L, f, max_depth);
    if (outcome == REPLACED) {
        copy_table(L, f);
        lua_pushvalue(L, KEY(f));
        lua_insert(L, -2);
        lua_rawset(L, COPY(f));
    } else if (outcome == KEPT) {
        lua_pop(L, 1);
    }
    return outcome;
}

static enum outcome prepare_table(lua_State *L, const struct frame *at,
                                  int max_depth) {
    struct frame f = {at, lua_topointer(L, -1), lua_gettop(L),
                      at == NULL ? 1 : at->depth + 1};
    struct shape shape = {0, 0, 0};
    if (enter(L, &f, max_depth) == REFUSED) {
        return REFUSED;
    }
    lua_pushnil(L);
    lua_pushnil(L);
    while (lua_next(L, f.table)) {
        if (prepare_pair(L, &f, &shape, max_depth) == REFUSED) {
            return REFUSED;
        }
    }
    if (check_shape(L, &f, &shape) == REFUSED) {
        return REFUSED;
    }
    if (shape.strings + shape.integers == 0 && is_array(L, f.table)) {
        lua_pushstring(L, MARK_TEXT "[]");
        lua_replace(L, COPY(&f));
    }
    bool replaced = !lua_isnil(L, COPY(&f));
    lua_settop(L, replaced ? COPY(&f) : f.table);
    if (replaced) {
        lua_replace(L, f.table);
    }
    return replaced ? REPLACED : KEPT;
}

/* Prepares the value on the top of the stack, which is in the table `at`. */
static enum outcome prepare_value(lua_State *L, const struct frame *at,
                                  int max_depth) {
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        return KEPT;
    case LUA_TNUMBER:
        return prepare_number(L, at);
    case LUA_TSTRING:
        return prepare_string(L, at, -1, "a string");
    case LUA_TTABLE:
        return prepare_table(L, at, max_depth);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, -1) == NULL) {
            return KEPT;
        }
        return refuse(L, at, "a userdata");
    case LUA_TNIL:
        return refuse(L, at, "nil");
    default:
        return refuse(L, at, "a %s", luaL_typename(L, -1));
    }
}

/* prepare(value, max_depth) -> value for cjson | nil, what is wrong with it */
static int prepare(lua_State *L) {
    int max_depth = (int)luaL_checkinteger(L, 2);
    lua_settop(L, 1);
    if (prepare_value(L, NULL, max_depth) == REFUSED) {
        luaL_pushfail(L);
        lua_insert(L, -2);
        return 2;
    }
    return 1;
}

/*
 * Encoding: finish
 */

/* Adds the text up to the marked string whose mark is at p, and what that
 * stands for, without its quotes. -> where the text goes on */
static const char *add_marked(luaL_Buffer *B, const char *text, const char *p) {
    const char *begin = p + 1;
    const char *end = begin + strcspn(begin, "\"");
    luaL_addlstring(B, text, (size_t)(p - 1 - text));
    luaL_addlstring(B, begin, (size_t)(end - begin));
    return *end == '"' ? end + 1 : end;
}

/* finish(text of cjson) -> text, without marks and without cjson's needless
 * escapes of slashes */
static int finish(lua_State *L) {
    const char *copied = luaL_checkstring(L, 1);
    const char *p = copied;
    luaL_Buffer B;
    luaL_buffinit(L, &B);
    while (*(p += strcspn(p, "\\" MARK_TEXT)) != '\0') {
        if ((unsigned char)*p == MARK && p > copied) {
            copied = p = add_marked(&B, copied, p);
        } else if (p[1] == '/') {
            luaL_addlstring(&B, copied, (size_t)(p - copied));
            copied = p + 1;
            p += 2;
        } else {
            p += p[1] == '\0' ? 1 : 2;
        }
    }
    luaL_addlstring(&B, copied, (size_t)(p - copied));
    luaL_pushresult(&B);
    return 1;
}

int ahost__open_json_numbers(lua_State *L) {
    static const luaL_Reg functions[] = {{"scan", scan},
                                         {"restore", restore},
                                         {"prepare", prepare},
                                         {"finish", finish},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    luaL_newmetatable(L, AHOST__JSON_ARRAY);
    lua_setfield(L, -2, "array");
    return 1;
}
