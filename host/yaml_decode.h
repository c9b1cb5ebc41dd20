/*
 * yaml_decode.h - the walk that decodes a text: what its parts share.
 */
#ifndef AHOST_YAML_DECODE_H
#define AHOST_YAML_DECODE_H

#include "json.h"
#include "yaml_reader.h"
#include "yaml_scalar.h"

/* The stack of yaml.decode: its arguments, and the tables of the walk. */
enum {
    AHOST__YAML_NAME = 3, /* of the text, or nil */
    AHOST__YAML_TAGS,     /* a set of local tags, or true: all */
    AHOST__YAML_ANCHORS,  /* name -> value, or false while it is being read */
    AHOST__YAML_POSITIONS /* table -> key -> place */
};

typedef struct ahost__yaml_walk {
    ahost__yaml_reader reader;
    lua_State *L;
    int depth;
    int copied; /* nodes, through aliases */
    bool positions;
    bool again; /* with positions, for a message */
} ahost__yaml_walk;

/* A line and a column, from 1, in one integer. */
enum { AHOST__YAML_COLUMN_BITS = 20 };

static inline lua_Integer ahost__yaml_place(yaml_mark_t mark) {
    size_t most = ((size_t)1 << AHOST__YAML_COLUMN_BITS) - 1;
    size_t column = mark.column < most ? mark.column + 1 : most;
    return (lua_Integer)((mark.line + 1) << AHOST__YAML_COLUMN_BITS | column);
}

static inline lua_Integer ahost__yaml_place_line(lua_Integer place) {
    return place >> AHOST__YAML_COLUMN_BITS;
}

static inline lua_Integer ahost__yaml_place_column(lua_Integer place) {
    return place & (((lua_Integer)1 << AHOST__YAML_COLUMN_BITS) - 1);
}

/* yaml.decode and yaml.unpack_position */
int ahost__yaml_decode(lua_State *L);
int ahost__yaml_unpack_position(lua_State *L);

/* The value on the top is what the anchor (may be NULL) names. */
void ahost__yaml_anchor(ahost__yaml_walk *w, const char *name);

/* A collection begins which the anchor names. */
void ahost__yaml_anchor_open(ahost__yaml_walk *w, const char *name);

/* Pushes a copy of what the current event, an alias, refers to. */
bool ahost__yaml_alias(ahost__yaml_walk *w);

/* Whether the value on the top, of the `<<` at the mark, can be merged. */
bool ahost__yaml_can_merge(ahost__yaml_walk *w, yaml_mark_t mark);

/* Merges the value on the top, a map or a list of maps, into the table. */
void ahost__yaml_merge(ahost__yaml_walk *w, int table);

#endif
