/*
 * yaml_outline.c - where the nodes of a text are: for changes in place.
 *
 * The module ahost.yaml.core, which only ahost.yaml.edit uses.
 */
#include "modules.h"

#include <lauxlib.h>
#include <uv.h>

#include "error.h"
#include "yaml_reader.h"

typedef struct outline {
    ahost__yaml_reader reader;
    lua_State *L;
    int depth;
} outline;

static void set_integer(lua_State *L, const char *name, size_t n) {
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const void *s) {
    if (s == NULL)
        return;
    lua_pushstring(L, s);
    lua_setfield(L, -2, name);
}

/* Pushes a node that begins where the event does. */
static void push_node(outline *o, const char *kind) {
    const yaml_event_t *e = &o->reader.event;
    lua_createtable(o->L, 4, 6);
    set_string(o->L, "kind", kind);
    set_integer(o->L, "first", e->start_mark.index);
    set_integer(o->L, "last", e->end_mark.index);
    set_integer(o->L, "column", e->start_mark.column);
}

static void set_flag(lua_State *L, const char *name, bool flag) {
    lua_pushboolean(L, flag);
    lua_setfield(L, -2, name);
}

static void push_scalar(outline *o) {
    const yaml_event_t *e = &o->reader.event;
    yaml_scalar_style_t style = e->data.scalar.style;
    push_node(o, "scalar");
    lua_pushlstring(o->L, (const char *)e->data.scalar.value,
                    e->data.scalar.length);
    lua_setfield(o->L, -2, "value");
    set_string(o->L, "anchor", e->data.scalar.anchor);
    set_string(o->L, "tag", e->data.scalar.tag);
    set_flag(o->L, "plain", style == YAML_PLAIN_SCALAR_STYLE);
    if (style == YAML_SINGLE_QUOTED_SCALAR_STYLE ||
        style == YAML_DOUBLE_QUOTED_SCALAR_STYLE)
        set_string(o->L, "quote",
                   style == YAML_SINGLE_QUOTED_SCALAR_STYLE ? "'" : "\"");
    set_flag(o->L, "block",
             style == YAML_LITERAL_SCALAR_STYLE ||
                 style == YAML_FOLDED_SCALAR_STYLE);
}

static bool push_any(outline *o);

/* Adds the nodes up to the event that ends the collection on the top. */
static bool add_nodes(outline *o, yaml_event_type_t end) {
    int node = lua_gettop(o->L);
    luaL_checkstack(o->L, LUA_MINSTACK, "yaml");
    if (++o->depth > AHOST__YAML_DEPTH)
        return ahost__yaml_fault(&o->reader, o->reader.event.start_mark,
                                 "nested more than %d levels deep",
                                 (int)AHOST__YAML_DEPTH);
    for (lua_Integer i = 1; ahost__yaml_next(&o->reader); i++) {
        if (o->reader.event.type == end) {
            o->depth--;
            set_integer(o->L, "last", o->reader.event.end_mark.index);
            return true;
        }
        if (!push_any(o))
            return false;
        lua_rawseti(o->L, node, i);
    }
    return false;
}

static bool push_sequence(outline *o) {
    const yaml_event_t *e = &o->reader.event;
    push_node(o, "sequence");
    set_string(o->L, "anchor", e->data.sequence_start.anchor);
    set_string(o->L, "tag", e->data.sequence_start.tag);
    set_flag(o->L, "flow",
             e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
    return add_nodes(o, YAML_SEQUENCE_END_EVENT);
}

static bool push_mapping(outline *o) {
    const yaml_event_t *e = &o->reader.event;
    push_node(o, "mapping");
    set_string(o->L, "anchor", e->data.mapping_start.anchor);
    set_string(o->L, "tag", e->data.mapping_start.tag);
    set_flag(o->L, "flow",
             e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
    return add_nodes(o, YAML_MAPPING_END_EVENT);
}

static bool push_any(outline *o) {
    switch (o->reader.event.type) {
    case YAML_ALIAS_EVENT:
        push_node(o, "alias");
        return true;
    case YAML_SCALAR_EVENT:
        push_scalar(o);
        return true;
    case YAML_SEQUENCE_START_EVENT:
        return push_sequence(o);
    default:
        return push_mapping(o);
    }
}

static bool push_document(outline *o) {
    bool empty;
    if (!ahost__yaml_begin(&o->reader, &empty))
        return false;
    if (empty) {
        lua_pushnil(o->L);
        return true;
    }
    return push_any(o) && ahost__yaml_end(&o->reader);
}

/* core.outline(text) -> the root node, or nil if there is none | nil, err
 *
 * A node has `kind` ("scalar", "sequence", "mapping", "alias"), `first` and
 * `last` (the characters before it and before what is behind it; of no meaning
 * for the end of a block), `column` (from 0), `tag`, `anchor`; a scalar has
 * `value`, `plain`, `block`, `quote`; a collection has `flow`, and its nodes at
 * 1, 2, 3...
 */
static int core_outline(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    outline *o = ahost__yaml_open(L, sizeof(*o), text, length);
    bool ok;
    if (o == NULL)
        return ahost__fail(L, UV_ENOMEM, "yaml.edit");
    o->L = L;
    ok = push_document(o);
    ahost__yaml_close(&o->reader);
    return ok ? 1 : ahost__yaml_fail(&o->reader, "yaml.edit", "yaml");
}

static const luaL_Reg functions[] = {{"outline", core_outline}, {NULL, NULL}};

int ahost__open_yaml_core(lua_State *L) {
    ahost__yaml_prepare(L);
    luaL_newlib(L, functions);
    return 1;
}
