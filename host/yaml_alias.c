/*
 * yaml_alias.c - anchors, aliases and merge keys.
 *
 * An alias gives a copy: nobody who changes one value spoils another. What all
 * aliases of a text copy is bounded, or a few lines could fill the memory.
 */
#include "yaml_decode.h"

#include <lauxlib.h>
#include <string.h>

enum { COPIED_LIMIT = 100000 };

void ahost__yaml_anchor(ahost__yaml_walk *w, const char *name) {
    if (name == NULL)
        return;
    lua_pushvalue(w->L, -1);
    lua_setfield(w->L, AHOST__YAML_ANCHORS, name);
}

void ahost__yaml_anchor_open(ahost__yaml_walk *w, const char *name) {
    lua_pushboolean(w->L, 0);
    lua_setfield(w->L, AHOST__YAML_ANCHORS, name);
}

/* Copies the places of the values of one table to another. */
static void copy_places(lua_State *L, int from, int to) {
    lua_pushvalue(L, from);
    if (lua_rawget(L, AHOST__YAML_POSITIONS) == LUA_TNIL) {
        lua_pop(L, 1);
        return; /* of a tagged value, or nobody wants them */
    }
    lua_pushvalue(L, to);
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, -4) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_rawset(L, AHOST__YAML_POSITIONS);
    lua_pop(L, 1);
}

static bool copy_value(ahost__yaml_walk *w, int depth);

/* The table on the top, its copy behind it then. */
static bool copy_table(ahost__yaml_walk *w, int depth) {
    lua_State *L = w->L;
    int from = lua_gettop(L), to = from + 1;
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, from) != 0) {
        if (!copy_value(w, depth + 1))
            return false;
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
    if (lua_getmetatable(L, from))
        lua_setmetatable(L, to);
    copy_places(L, from, to);
    return true;
}

/* Replaces the value on the top by a copy. */
static bool copy_value(ahost__yaml_walk *w, int depth) {
    yaml_mark_t mark = w->reader.event.start_mark;
    luaL_checkstack(w->L, LUA_MINSTACK, "yaml");
    if (++w->copied > COPIED_LIMIT)
        return ahost__yaml_fault(&w->reader, mark,
                                 "aliases stand for more than %d values",
                                 (int)COPIED_LIMIT);
    if (!lua_istable(w->L, -1))
        return true;
    if (depth >= AHOST__YAML_DEPTH)
        return ahost__yaml_fault(&w->reader, mark,
                                 "nested more than %d levels deep",
                                 (int)AHOST__YAML_DEPTH);
    if (!copy_table(w, depth))
        return false;
    lua_remove(w->L, -2);
    return true;
}

static const char *show(ahost__yaml_walk *w, const char *name) {
    return ahost__yaml_show(w->L, name, strlen(name));
}

bool ahost__yaml_alias(ahost__yaml_walk *w) {
    const yaml_event_t *e = &w->reader.event;
    const char *name = (const char *)e->data.alias.anchor;
    luaL_checkstack(w->L, LUA_MINSTACK, "yaml");
    switch (lua_getfield(w->L, AHOST__YAML_ANCHORS, name)) {
    case LUA_TNIL:
        return ahost__yaml_fault(&w->reader, e->start_mark,
                                 "the alias *%s of no anchor before it",
                                 show(w, name));
    case LUA_TBOOLEAN:
        if (!lua_toboolean(w->L, -1))
            return ahost__yaml_fault(&w->reader, e->start_mark,
                                     "the alias *%s within what it stands for",
                                     show(w, name));
        break;
    }
    return copy_value(w, w->depth);
}

/*
 * Merge keys
 */

static bool is_map(lua_State *L) {
    return lua_istable(L, -1) &&
           !ahost__yaml_has_metatable(L, AHOST__JSON_ARRAY) &&
           !ahost__yaml_has_metatable(L, AHOST__YAML_TAGGED);
}

static bool is_list_of_maps(lua_State *L) {
    bool good =
        lua_istable(L, -1) && ahost__yaml_has_metatable(L, AHOST__JSON_ARRAY);
    lua_Integer count = good ? (lua_Integer)lua_rawlen(L, -1) : 0;
    for (lua_Integer i = 1; good && i <= count; i++) {
        lua_rawgeti(L, -1, i);
        good = is_map(L);
        lua_pop(L, 1);
    }
    return good;
}

bool ahost__yaml_can_merge(ahost__yaml_walk *w, yaml_mark_t mark) {
    return is_map(w->L) || is_list_of_maps(w->L) ||
           ahost__yaml_fault(&w->reader, mark,
                             "'<<' takes a map or a list of maps; quote it if "
                             "it is a key");
}

/* Copies the place of the value whose key is on the top. */
static void merge_place(ahost__yaml_walk *w, int from, int table) {
    lua_State *L = w->L;
    lua_pushvalue(L, table);
    lua_rawget(L, AHOST__YAML_POSITIONS);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, from);
    lua_rawget(L, AHOST__YAML_POSITIONS);
    lua_pushvalue(L, -2);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* Moves the values of the map on the top whose keys the table has not. */
static void merge_map(ahost__yaml_walk *w, int table) {
    lua_State *L = w->L;
    int from = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, from) != 0) {
        lua_pushvalue(L, -2);
        if (lua_rawget(L, table) == LUA_TNIL) {
            lua_pushvalue(L, -3);
            lua_pushvalue(L, -3);
            lua_rawset(L, table);
            lua_pop(L, 2);
            if (w->positions)
                merge_place(w, from, table);
        } else {
            lua_pop(L, 2);
        }
    }
}

void ahost__yaml_merge(ahost__yaml_walk *w, int table) {
    lua_Integer count;
    luaL_checkstack(w->L, LUA_MINSTACK, "yaml");
    if (is_map(w->L)) {
        merge_map(w, table);
        return;
    }
    count = (lua_Integer)lua_rawlen(w->L, -1);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(w->L, -1, i);
        merge_map(w, table);
        lua_pop(w->L, 1);
    }
}
