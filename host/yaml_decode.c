/*
 * yaml_decode.c - YAML to Lua values: a walk over libyaml's events.
 *
 * Every node ends as one value on the top of the Lua stack. Below it, while it
 * is being read, stand what belongs to it; the fixed tables of the whole walk
 * are at the stack indices of `enum place`.
 */
#include "yaml_decode.h"

#include <lauxlib.h>
#include <string.h>
#include <uv.h>

#include "error.h"

#define STANDARD_TAG "tag:yaml.org,2002:"

/*
 * Tags
 */

/* The name behind the `!!` of a tag of the core schema, or NULL. */
static const char *standard_name(const char *tag) {
    size_t length = strlen(STANDARD_TAG);
    return strncmp(tag, STANDARD_TAG, length) == 0 ? tag + length : NULL;
}

/* Whether the caller lets this local tag through. */
static bool is_let_through(ahost__yaml_walk *w, const char *tag) {
    bool known;
    if (lua_isboolean(w->L, AHOST__YAML_TAGS))
        return *tag == '!';
    lua_getfield(w->L, AHOST__YAML_TAGS, tag);
    known = lua_toboolean(w->L, -1);
    lua_pop(w->L, 1);
    return known;
}

static bool fault_of_tag(ahost__yaml_walk *w, const char *tag) {
    const char *name = standard_name(tag);
    const char *shown = name != NULL ? name : tag;
    luaL_checkstack(w->L, LUA_MINSTACK, "yaml");
    shown = ahost__yaml_show(w->L, shown, strlen(shown));
    return ahost__yaml_fault(&w->reader, w->reader.event.start_mark,
                             "unknown tag %s%s; quote a value that begins "
                             "with '!'",
                             name != NULL ? "!!" : "", shown);
}

/* The value on the top stands behind a local tag. */
static void wrap_tagged(lua_State *L, const char *tag) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, tag);
    lua_setfield(L, -2, "tag");
    lua_insert(L, -2);
    lua_setfield(L, -2, "value");
    luaL_setmetatable(L, AHOST__YAML_TAGGED);
}

/*
 * Scalars
 */

static const char *push_shown(ahost__yaml_walk *w) {
    return ahost__yaml_show(w->L,
                            (const char *)w->reader.event.data.scalar.value,
                            w->reader.event.data.scalar.length);
}

/* -> false */
static bool fault_of_scalar(ahost__yaml_walk *w, const char *format,
                            const char *detail) {
    yaml_mark_t mark = w->reader.event.start_mark;
    const char *shown = push_shown(w);
    return ahost__yaml_fault(&w->reader, mark, format, shown, detail);
}

/* What `!!NAME` says about a scalar that would be of `kind`; -1 for a tag that
 * does not fit. */
static int kind_by_tag(const char *name, ahost__yaml_kind kind) {
    static const char *const names[] = {"str", "null", "bool", "int", "float"};
    if (strcmp(name, names[AHOST__YAML_STRING]) == 0)
        return AHOST__YAML_STRING;
    if (strcmp(name, names[AHOST__YAML_FLOAT]) == 0 &&
        kind == AHOST__YAML_INTEGER)
        return AHOST__YAML_FLOAT;
    return strcmp(name, names[kind]) == 0 && kind != AHOST__YAML_STRING
               ? (int)kind
               : -1;
}

/* Whether the core schema has the tag; to others we say that they are unknown.
 */
static bool is_core_tag(const char *name) {
    static const char *const names[] = {"str",   "null", "bool", "int",
                                        "float", "map",  "seq"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool push_scalar(ahost__yaml_walk *w, ahost__yaml_kind kind) {
    const yaml_event_t *e = &w->reader.event;
    if (ahost__yaml_push(w->L, kind, (const char *)e->data.scalar.value,
                         e->data.scalar.length))
        return true;
    return fault_of_scalar(w,
                           kind == AHOST__YAML_INTEGER
                               ? "the integer %s does not fit into 64 bits; "
                                 "quote it if it is a string"
                               : "the number %s is too large",
                           "");
}

static ahost__yaml_kind kind_of_event(const yaml_event_t *e) {
    return ahost__yaml_kind_of((const char *)e->data.scalar.value,
                               e->data.scalar.length);
}

static bool take_tagged_scalar(ahost__yaml_walk *w, const char *tag) {
    const char *name = standard_name(tag);
    int kind;
    if (name == NULL && is_let_through(w, tag)) {
        push_scalar(w, AHOST__YAML_STRING);
        wrap_tagged(w->L, tag);
        return true;
    }
    if (name == NULL || !is_core_tag(name))
        return fault_of_tag(w, tag);
    kind = kind_by_tag(name, kind_of_event(&w->reader.event));
    if (kind < 0)
        return fault_of_scalar(w, "'%s' is no !!%s", name);
    return push_scalar(w, (ahost__yaml_kind)kind);
}

/* Pushes the value of the current event, a scalar. */
static bool take_scalar(ahost__yaml_walk *w) {
    const yaml_event_t *e = &w->reader.event;
    const char *tag = (const char *)e->data.scalar.tag;
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (tag != NULL
            ? !take_tagged_scalar(w, tag)
            : !push_scalar(w, plain ? kind_of_event(e) : AHOST__YAML_STRING))
        return false;
    ahost__yaml_anchor(w, (const char *)e->data.scalar.anchor);
    return true;
}

/*
 * Collections
 *
 * On the stack, from `base` on: the anchor or nil, the tag to wrap the value in
 * or nil, the table, the places of its values or nil.
 */

enum { ANCHOR, TAG, TABLE, PLACES, COLLECTION_SLOTS };

static void push_optional(lua_State *L, const char *text) {
    if (text != NULL)
        lua_pushstring(L, text);
    else
        lua_pushnil(L);
}

/* Pushes the tag if the caller wants to see it, else nil. */
static bool take_tag(ahost__yaml_walk *w, const char *tag, const char *own) {
    const char *name = tag != NULL ? standard_name(tag) : NULL;
    bool local = tag != NULL && name == NULL && is_let_through(w, tag);
    push_optional(w->L, local ? tag : NULL);
    if (tag == NULL || local)
        return true;
    if (name != NULL && strcmp(name, own) == 0)
        return true;
    if (name != NULL && is_core_tag(name))
        return ahost__yaml_fault(&w->reader, w->reader.event.start_mark,
                                 "this is a !!%s, and cannot be a !!%s", own,
                                 name);
    return fault_of_tag(w, tag);
}

static void push_places(ahost__yaml_walk *w, int table) {
    if (!w->positions) {
        lua_pushnil(w->L);
        return;
    }
    lua_newtable(w->L);
    lua_pushvalue(w->L, table);
    lua_pushvalue(w->L, -2);
    lua_rawset(w->L, AHOST__YAML_POSITIONS);
}

/* Pushes the slots of the current event's collection. */
static bool begin_collection(ahost__yaml_walk *w, const char *anchor,
                             const char *tag, const char *own) {
    lua_State *L = w->L;
    luaL_checkstack(L, LUA_MINSTACK, "yaml");
    if (++w->depth > AHOST__YAML_DEPTH)
        return ahost__yaml_fault(&w->reader, w->reader.event.start_mark,
                                 "nested more than %d levels deep",
                                 (int)AHOST__YAML_DEPTH);
    push_optional(L, anchor);
    if (!take_tag(w, tag, own))
        return false;
    if (anchor != NULL)
        ahost__yaml_anchor_open(w, anchor);
    lua_newtable(L);
    push_places(w, lua_gettop(L));
    return true;
}

/* Leaves the finished value of the collection alone on the stack. */
static void end_collection(ahost__yaml_walk *w, int base) {
    lua_State *L = w->L;
    w->depth--;
    lua_settop(L, base + TABLE);
    if (!lua_isnil(L, base + TAG))
        wrap_tagged(L, lua_tostring(L, base + TAG));
    ahost__yaml_anchor(w, lua_tostring(L, base + ANCHOR));
    lua_replace(L, base);
    lua_settop(L, base);
}

/* Notes where the value with the key on the top was written. -> the same stack
 */
static void set_place(ahost__yaml_walk *w, int base, lua_Integer place) {
    if (!w->positions)
        return;
    lua_pushvalue(w->L, -1);
    lua_pushinteger(w->L, place);
    lua_rawset(w->L, base + PLACES);
}

static bool take_node(ahost__yaml_walk *w);

static bool take_items(ahost__yaml_walk *w, int base) {
    lua_State *L = w->L;
    for (lua_Integer i = 1; ahost__yaml_next(&w->reader); i++) {
        if (w->reader.event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        lua_pushinteger(L, i);
        set_place(w, base, ahost__yaml_place(w->reader.event.start_mark));
        lua_pop(L, 1);
        if (!take_node(w))
            return false;
        lua_rawseti(L, base + TABLE, i);
    }
    return false;
}

static bool take_sequence(ahost__yaml_walk *w) {
    const yaml_event_t *e = &w->reader.event;
    int base = lua_gettop(w->L) + 1;
    if (!begin_collection(w, (const char *)e->data.sequence_start.anchor,
                          (const char *)e->data.sequence_start.tag, "seq"))
        return false;
    luaL_getmetatable(w->L, AHOST__JSON_ARRAY);
    lua_setmetatable(w->L, base + TABLE);
    if (!take_items(w, base))
        return false;
    end_collection(w, base);
    return true;
}

/*
 * Mappings
 */

static bool is_merge(const yaml_event_t *e) {
    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           e->data.scalar.tag == NULL && e->data.scalar.length == 2 &&
           memcmp(e->data.scalar.value, "<<", 2) == 0;
}

/* -> false */
static bool fault_of_key_tag(ahost__yaml_walk *w, const char *tag,
                             const char *name) {
    const char *shown = name != NULL ? name : tag;
    shown = ahost__yaml_show(w->L, shown, strlen(shown));
    return ahost__yaml_fault(&w->reader, w->reader.event.start_mark,
                             "a key with the tag %s%s; keys are strings, or "
                             "integers with !!int",
                             name != NULL ? "!!" : "", shown);
}

/* Pushes the key of the current event: the string as it is written, or the
 * integer behind an explicit !!int. */
static bool push_key(ahost__yaml_walk *w) {
    const yaml_event_t *e = &w->reader.event;
    const char *tag = (const char *)e->data.scalar.tag;
    const char *name = tag != NULL ? standard_name(tag) : NULL;
    if (tag == NULL && e->data.scalar.length == 0 &&
        e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return ahost__yaml_fault(&w->reader, e->start_mark,
                                 "an empty key; write \"\" if it is meant");
    if (tag == NULL || (name != NULL && strcmp(name, "str") == 0))
        return push_scalar(w, AHOST__YAML_STRING);
    if (name == NULL || strcmp(name, "int") != 0)
        return fault_of_key_tag(w, tag, name);
    return take_tagged_scalar(w, tag);
}

static bool take_key(ahost__yaml_walk *w) {
    const yaml_event_t *e = &w->reader.event;
    if (e->type != YAML_SCALAR_EVENT)
        return ahost__yaml_fault(&w->reader, e->start_mark,
                                 e->type == YAML_ALIAS_EVENT
                                     ? "an alias as a key; write the key itself"
                                     : "a key that is a list or a map; keys "
                                       "are strings");
    if (!push_key(w))
        return false;
    if (e->data.scalar.anchor != NULL) {
        lua_pushvalue(w->L, -1);
        ahost__yaml_anchor(w, (const char *)e->data.scalar.anchor);
        lua_pop(w->L, 1);
    }
    return true;
}

/* The key on the top was there before. Where, is known if positions are kept:
 * else the whole walk is made again with them. */
static bool fault_of_duplicate(ahost__yaml_walk *w, int base) {
    lua_Integer place;
    const char *shown;
    if (!w->positions) {
        w->again = true;
        lua_pushnil(w->L);
        return false;
    }
    lua_rawget(w->L, base + PLACES);
    place = lua_tointeger(w->L, -1);
    shown = push_shown(w);
    return ahost__yaml_fault(&w->reader, w->reader.event.start_mark,
                             "the key '%s' again, it stands at %d:%d already",
                             shown, (int)ahost__yaml_place_line(place),
                             (int)ahost__yaml_place_column(place));
}

static bool is_taken(lua_State *L, int table) {
    bool taken;
    lua_pushvalue(L, -1);
    taken = lua_rawget(L, table) != LUA_TNIL;
    lua_pop(L, 1);
    return taken;
}

static bool take_pair(ahost__yaml_walk *w, int base) {
    if (!take_key(w))
        return false;
    if (is_taken(w->L, base + TABLE))
        return fault_of_duplicate(w, base);
    set_place(w, base, ahost__yaml_place(w->reader.event.start_mark));
    if (!ahost__yaml_next(&w->reader) || !take_node(w))
        return false;
    lua_rawset(w->L, base + TABLE);
    return true;
}

/* Reads what is to be merged, on the top then; the mapping's own keys are not
 * all known yet. */
static bool take_merge(ahost__yaml_walk *w, int base) {
    yaml_mark_t mark = w->reader.event.start_mark;
    if (lua_gettop(w->L) > base + PLACES)
        return ahost__yaml_fault(&w->reader, mark,
                                 "a second '<<'; merge a list of maps");
    if (!ahost__yaml_next(&w->reader) || !take_node(w))
        return false;
    return ahost__yaml_can_merge(w, mark);
}

static bool take_pairs(ahost__yaml_walk *w, int base) {
    while (ahost__yaml_next(&w->reader)) {
        const yaml_event_t *e = &w->reader.event;
        if (e->type == YAML_MAPPING_END_EVENT)
            return true;
        if (e->type == YAML_SCALAR_EVENT && is_merge(e) ? !take_merge(w, base)
                                                        : !take_pair(w, base))
            return false;
    }
    return false;
}

static bool take_mapping(ahost__yaml_walk *w) {
    const yaml_event_t *e = &w->reader.event;
    int base = lua_gettop(w->L) + 1;
    if (!begin_collection(w, (const char *)e->data.mapping_start.anchor,
                          (const char *)e->data.mapping_start.tag, "map") ||
        !take_pairs(w, base))
        return false;
    if (lua_gettop(w->L) > base + PLACES)
        ahost__yaml_merge(w, base + TABLE);
    end_collection(w, base);
    return true;
}

/* Pushes the value of the node that begins with the current event. */
static bool take_node(ahost__yaml_walk *w) {
    switch (w->reader.event.type) {
    case YAML_ALIAS_EVENT:
        return ahost__yaml_alias(w);
    case YAML_SCALAR_EVENT:
        return take_scalar(w);
    case YAML_SEQUENCE_START_EVENT:
        return take_sequence(w);
    default:
        return take_mapping(w);
    }
}

/*
 * The whole text
 */

/* -> value | what ahost__yaml_fail needs */
static bool take_document(ahost__yaml_walk *w, lua_Integer *place) {
    bool empty;
    if (!ahost__yaml_begin(&w->reader, &empty))
        return false;
    *place = ahost__yaml_place(w->reader.event.start_mark);
    if (empty) {
        lua_pushlightuserdata(w->L, NULL);
        return true;
    }
    return take_node(w) && ahost__yaml_end(&w->reader);
}

/* Pushes the set of the tags in the list on the top; of all tags, true. */
static void push_tags(lua_State *L) {
    if (lua_isboolean(L, -1) && lua_toboolean(L, -1)) {
        lua_pushboolean(L, 1);
        return;
    }
    lua_newtable(L);
    if (lua_isnil(L, -2))
        return;
    luaL_argcheck(L, lua_istable(L, -2), 2, "tags must be a list of strings");
    for (lua_Integer i = 1; lua_rawgeti(L, -2, i) != LUA_TNIL; i++) {
        luaL_argcheck(
            L, lua_type(L, -1) == LUA_TSTRING && *lua_tostring(L, -1) == '!', 2,
            "a tag must be a string that begins with '!'");
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
}

/* Makes the stack that `enum place` describes. */
static void take_options(lua_State *L) {
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "name");
    luaL_argcheck(L, lua_isnil(L, -1) || lua_type(L, -1) == LUA_TSTRING, 2,
                  "name must be a string");
    lua_getfield(L, 2, "tags");
    push_tags(L);
    lua_remove(L, -2);
    lua_newtable(L);
    lua_newtable(L);
}

/* The walk with its reader on the stack, or NULL. */
static ahost__yaml_walk *open_walk(lua_State *L, bool positions) {
    size_t length;
    const char *text = lua_tolstring(L, 1, &length);
    ahost__yaml_walk *w =
        ahost__yaml_open(L, sizeof(ahost__yaml_walk), text, length);
    if (w == NULL)
        return NULL;
    w->L = L;
    w->positions = positions;
    return w;
}

/* Walks over the text; 0 if that has to be done again with positions. */
static int decode(lua_State *L, bool positions, bool wanted) {
    lua_Integer place;
    const char *name = lua_tostring(L, AHOST__YAML_NAME);
    ahost__yaml_walk *w = open_walk(L, positions);
    bool ok;
    if (w == NULL)
        return ahost__fail(L, UV_ENOMEM, "yaml.decode");
    ok = take_document(w, &place);
    ahost__yaml_close(&w->reader);
    if (!ok && w->again)
        return 0;
    if (!ok)
        return ahost__yaml_fail(&w->reader, "yaml.decode",
                                name != NULL ? name : "yaml");
    if (!wanted)
        return 1;
    lua_pushvalue(L, AHOST__YAML_POSITIONS);
    lua_pushinteger(L, place);
    return 3;
}

/* yaml.decode(text, [opts]) -> value, [positions, place] | nil, err */
int ahost__yaml_decode(lua_State *L) {
    bool wanted;
    int results;
    take_options(L);
    lua_getfield(L, 2, "positions");
    wanted = lua_toboolean(L, -1);
    lua_pop(L, 1);
    results = decode(L, wanted, wanted);
    if (results > 0)
        return results;
    lua_settop(L, AHOST__YAML_POSITIONS - 2);
    lua_newtable(L);
    lua_newtable(L);
    return decode(L, true, wanted);
}

/* yaml.unpack_position(place) -> line, column */
int ahost__yaml_unpack_position(lua_State *L) {
    lua_Integer place = luaL_checkinteger(L, 1);
    lua_pushinteger(L, ahost__yaml_place_line(place));
    lua_pushinteger(L, ahost__yaml_place_column(place));
    return 2;
}
