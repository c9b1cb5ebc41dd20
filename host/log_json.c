/*
 * log_json.c - the structured data of a record as JSON.
 *
 * Unlike json.encode it takes everything: what JSON has no word for is written
 * as the text that it has in other formats.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "log_format.h"

enum { DEPTH = 8, ITEMS = 1000 };

static void add_value(lua_State *L, ahost__log_text *text, int depth);

static void add_string(ahost__log_text *text, const char *string) {
    ahost__log_add_char(text, '"');
    ahost__log_add_json(text, string);
    ahost__log_add_char(text, '"');
}

static int to_text(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* Replaces the value on the top by its text, whatever its __tostring does. */
static const char *make_text(lua_State *L) {
    const char *type = luaL_typename(L, -1);
    lua_pushcfunction(L, to_text);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        lua_pop(L, 1);
        lua_pushfstring(L, "(%s without text)", type);
    }
    return lua_tostring(L, -1);
}

static void add_number(lua_State *L, ahost__log_text *text) {
    char digits[40];
    double number = lua_tonumber(L, -1);
    if (lua_isinteger(L, -1))
        ahost__log_add_number(text, lua_tointeger(L, -1));
    else if (isfinite(number)) {
        snprintf(digits, sizeof(digits), "%.17g", number);
        ahost__log_add_string(text, digits);
    } else
        ahost__log_add_string(text, "null");
}

static void add_items(lua_State *L, ahost__log_text *text, int depth) {
    lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
    ahost__log_add_char(text, '[');
    for (lua_Integer i = 1; i <= count && i <= ITEMS; i++) {
        if (i > 1)
            ahost__log_add_char(text, ',');
        lua_rawgeti(L, -1, i);
        add_value(L, text, depth + 1);
    }
    ahost__log_add_char(text, ']');
}

static void add_members(lua_State *L, ahost__log_text *text, int depth) {
    int count = 0;
    ahost__log_add_char(text, '{');
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (count++ > 0)
            ahost__log_add_char(text, ',');
        lua_pushvalue(L, -2);
        add_string(text, make_text(L));
        lua_pop(L, 1);
        ahost__log_add_char(text, ':');
        add_value(L, text, depth + 1);
        if (count == ITEMS) {
            lua_pop(L, 1);
            break;
        }
    }
    ahost__log_add_char(text, '}');
}

/* An object that has a text of its own is one value. */
static int is_plain_table(lua_State *L) {
    if (!lua_istable(L, -1))
        return 0;
    if (luaL_getmetafield(L, -1, "__tostring") == LUA_TNIL)
        return 1;
    lua_pop(L, 1);
    return 0;
}

/* Adds the value on the top and pops it. */
static void add_value(lua_State *L, ahost__log_text *text, int depth) {
    luaL_checkstack(L, LUA_MINSTACK, "data nested too deeply");
    if (lua_type(L, -1) == LUA_TNUMBER)
        add_number(L, text);
    else if (lua_isboolean(L, -1))
        ahost__log_add_string(text, lua_toboolean(L, -1) ? "true" : "false");
    else if (lua_islightuserdata(L, -1) && lua_touserdata(L, -1) == NULL)
        ahost__log_add_string(text, "null");
    else if (!is_plain_table(L) || depth > DEPTH)
        add_string(text, make_text(L));
    else if (depth > 0 && lua_rawlen(L, -1) > 0)
        add_items(L, text, depth);
    else
        add_members(L, text, depth);
    lua_pop(L, 1);
}

/* Stack: the place of a text, a table. -> JSON. The text is freed outside, so
 * that no error loses it. */
static int make_json(lua_State *L) {
    ahost__log_text *text = lua_touserdata(L, 1);
    lua_settop(L, 2);
    add_value(L, text, 0);
    if (text->failed)
        lua_pushliteral(L, "{}");
    else
        lua_pushlstring(L, text->line->bytes, text->line->size);
    return 1;
}

void ahost__log_push_json(lua_State *L) {
    ahost__log_text text = {0};
    int status;
    lua_pushcfunction(L, make_json);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, &text);
    lua_insert(L, -2);
    status = lua_pcall(L, 2, 1, 0);
    free(text.line);
    if (status != LUA_OK)
        lua_error(L);
}
