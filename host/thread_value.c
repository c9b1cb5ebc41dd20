/*
 * thread_value.c - plain values on their way to another thread.
 *
 * A tag and, in the machine's own order, what it needs. A table that comes up
 * again is a reference to the first time, so that circles and sharing stay. Of
 * metatables only those are known that both sides have: arrays of JSON and
 * error objects.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json.h"
#include "thread.h"

enum { MOST_DEPTH = 200, STACK = 6, FIRST_SIZE = 192, FIRST_SLOTS = 32 };
enum { MOST_PLACE = 120 }; /* of a message, for where the value is */

/* ---- packing ------------------------------------------------------------ */

typedef struct slot {
    const void *table;
    size_t number; /* in the order of their first coming up */
} slot;

typedef struct packer {
    lua_State *L;
    ahost__packed *packed;
    const void *arrays, *errors, *channels; /* metatables */
    slot *slots;                            /* a hash table of the tables */
    size_t slot_count, table_count;
    slot first_slots[FIRST_SLOTS];
    const char *what;
    int number;    /* of the value */
    int elided;    /* the rest of the place is too long for a message */
    char *problem; /* empty as long as there is none */
} packer;

/* Where a value is: its key is at an index of the stack. */
typedef struct place {
    const struct place *outer;
    int key;
    int depth;
} place;

static int grow(packer *p, size_t more) {
    ahost__packed *packed = p->packed;
    size_t capacity = packed->capacity * 2 + more;
    packed = realloc(packed, sizeof(*packed) + capacity);
    if (packed == NULL)
        return 0;
    packed->capacity = capacity;
    p->packed = packed;
    return 1;
}

static int add(packer *p, const void *bytes, size_t size) {
    if (size > p->packed->capacity - p->packed->size && !grow(p, size))
        return 0;
    memcpy(p->packed->bytes + p->packed->size, bytes, size);
    p->packed->size += size;
    return 1;
}

static int add_tag(packer *p, char tag) {
    return add(p, &tag, 1);
}

static int add_tagged(packer *p, char tag, const void *bytes, size_t size) {
    return add_tag(p, tag) && add(p, bytes, size);
}

/* ---- what cannot be packed ---------------------------------------------- */

static void write_text(packer *p, const char *text) {
    size_t used = strlen(p->problem);
    snprintf(p->problem + used, AHOST__PROBLEM - used, "%s", text);
}

static int is_name(const char *text) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t length = strlen(text);
    return length > 0 && length < 60 && strspn(text, letters) == length &&
           (*text < '0' || *text > '9');
}

static void write_key(packer *p, int key, int is_first) {
    char text[80];
    lua_State *L = p->L;
    if (lua_isinteger(L, key))
        snprintf(text, sizeof(text), "[%lld]",
                 (long long)lua_tointeger(L, key));
    else if (lua_type(L, key) != LUA_TSTRING)
        snprintf(text, sizeof(text), "[a %s]", luaL_typename(L, key));
    else if (is_name(lua_tostring(L, key)))
        snprintf(text, sizeof(text), "%s%s", is_first ? "" : ".",
                 lua_tostring(L, key));
    else
        snprintf(text, sizeof(text), "[\"%.40s\"]", lua_tostring(L, key));
    write_text(p, text);
}

/* The outermost keys, as many as there is room for. */
static void write_place(packer *p, const place *at) {
    if (at->outer == NULL)
        return;
    write_place(p, at->outer);
    if (p->elided)
        return;
    write_key(p, at->key, at->outer->outer == NULL);
    p->elided = strlen(p->problem) >= MOST_PLACE;
    if (p->elided)
        write_text(p, "...");
}

/* The name that a metatable gives to its userdata, or NULL. */
static const char *type_name(lua_State *L, int index) {
    const char *name = NULL;
    if (!lua_getmetatable(L, index))
        return NULL;
    lua_pushnil(L);
    while (name == NULL && lua_next(L, -2) != 0) {
        if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING &&
            strcmp(lua_tostring(L, -2), "__name") == 0)
            name = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, name != NULL ? 2 : 1);
    return name;
}

/* -> 0; `what` is there, and why it cannot be packed */
static int refuse(packer *p, const place *at, const char *what,
                  const char *why) {
    char number[32];
    write_text(p, p->what);
    if (strncmp(p->what, "the ", 4) != 0) {
        snprintf(number, sizeof(number), " %d", p->number);
        write_text(p, number);
    }
    if (at->outer != NULL)
        write_text(p, ", field ");
    write_place(p, at);
    write_text(p, ": ");
    write_text(p, what);
    write_text(p, why);
    return 0;
}

static const char not_copied[] = " cannot be copied to another thread";

static int refuse_type(packer *p, int index, const place *at) {
    char text[120];
    const char *name;
    switch (lua_type(p->L, index)) {
    case LUA_TFUNCTION:
        return refuse(p, at, "a function", not_copied);
    case LUA_TTHREAD:
        return refuse(p, at, "a coroutine", not_copied);
    default:
        name = type_name(p->L, index);
        snprintf(text, sizeof(text), "a userdata%s%.80s%s",
                 name != NULL ? " (" : "", name != NULL ? name : "",
                 name != NULL ? ")" : "");
        return refuse(p, at, text, not_copied);
    }
}

/* ---- tables ------------------------------------------------------------- */

static slot *find_slot(slot *slots, size_t count, const void *table) {
    size_t at = ((size_t)table >> 4) * 0x9E3779B97F4A7C15u >> 20;
    for (at &= count - 1; slots[at].table != NULL; at = (at + 1) & (count - 1))
        if (slots[at].table == table)
            break;
    return &slots[at];
}

static void free_slots(packer *p) {
    if (p->slots != p->first_slots)
        free(p->slots);
}

static int grow_slots(packer *p) {
    size_t count = p->slot_count * 4;
    slot *slots = calloc(count, sizeof(*slots));
    if (slots == NULL)
        return 0;
    for (size_t i = 0; i < p->slot_count; i++)
        if (p->slots[i].table != NULL)
            *find_slot(slots, count, p->slots[i].table) = p->slots[i];
    free_slots(p);
    p->slots = slots;
    p->slot_count = count;
    return 1;
}

/* The tag of a table by its metatable; 0: it cannot be packed. */
static char table_tag(packer *p, int index) {
    const void *metatable;
    if (!lua_getmetatable(p->L, index))
        return 't';
    metatable = lua_topointer(p->L, -1);
    lua_pop(p->L, 1);
    return metatable == p->arrays ? 'a' : metatable == p->errors ? 'e' : 0;
}

static int add_value(packer *p, int index, const place *at);

static int add_fields(packer *p, int index, const place *at) {
    int key = lua_gettop(p->L) + 1;
    place inner = {at, key, at->depth + 1};
    lua_pushnil(p->L);
    while (lua_next(p->L, index) != 0) {
        if (!add_value(p, key, &inner) || !add_value(p, key + 1, &inner))
            return 0;
        lua_pop(p->L, 1);
    }
    return add_tag(p, '.');
}

static int add_table(packer *p, int index, const place *at) {
    const void *table = lua_topointer(p->L, index);
    slot *known = find_slot(p->slots, p->slot_count, table);
    uint32_t items = (uint32_t)lua_rawlen(p->L, index);
    char tag = table_tag(p, index);
    if (known->table != NULL) {
        p->packed->shared = 1;
        return add_tagged(p, 'r', &known->number, sizeof(known->number));
    }
    if (tag == 0)
        return refuse(p, at, "a table with a metatable", not_copied);
    if (at->depth >= MOST_DEPTH)
        return refuse(p, at, "a table", ", in too many others (200)");
    if (!lua_checkstack(p->L, STACK))
        return 0;
    *known = (slot){table, ++p->table_count};
    if (p->table_count * 2 > p->slot_count && !grow_slots(p))
        return 0;
    return add_tagged(p, tag, &items, sizeof(items)) &&
           add_fields(p, index, at);
}

/* ---- other values ------------------------------------------------------- */

static int add_number(packer *p, int index) {
    lua_Integer integer = lua_tointeger(p->L, index);
    lua_Number number = lua_tonumber(p->L, index);
    if (lua_isinteger(p->L, index))
        return add_tagged(p, 'i', &integer, sizeof(integer));
    return add_tagged(p, 'f', &number, sizeof(number));
}

static int add_string(packer *p, int index) {
    size_t size;
    const char *text = lua_tolstring(p->L, index, &size);
    return add_tagged(p, 's', &size, sizeof(size)) && add(p, text, size);
}

static int add_channel(packer *p, ahost__channel *channel) {
    ahost__packed *packed = p->packed;
    if (packed->channel_count == packed->channel_capacity) {
        size_t capacity = packed->channel_capacity * 2 + 4;
        ahost__channel **channels =
            realloc(packed->channels, capacity * sizeof(*channels));
        if (channels == NULL)
            return 0;
        packed->channels = channels;
        packed->channel_capacity = capacity;
    }
    ahost__channel_ref(channel);
    packed->channels[packed->channel_count++] = channel;
    return add_tagged(p, 'c', &channel, sizeof(channel));
}

static int is_channel(packer *p, int index) {
    int same;
    if (!lua_getmetatable(p->L, index))
        return 0;
    same = lua_topointer(p->L, -1) == p->channels;
    lua_pop(p->L, 1);
    return same;
}

static int add_value(packer *p, int index, const place *at) {
    switch (lua_type(p->L, index)) {
    case LUA_TNIL:
        return add_tag(p, 'n');
    case LUA_TBOOLEAN:
        return add_tag(p, lua_toboolean(p->L, index) ? 'T' : 'F');
    case LUA_TNUMBER:
        return add_number(p, index);
    case LUA_TSTRING:
        return add_string(p, index);
    case LUA_TTABLE:
        return add_table(p, index, at);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(p->L, index) == NULL) /* null of JSON and YAML */
            return add_tag(p, 'N');
        break;
    case LUA_TUSERDATA:
        if (is_channel(p, index))
            return add_channel(p, ahost__channel_of(p->L, index));
        break;
    default:
        break;
    }
    return refuse_type(p, index, at);
}

/* ---- the whole ---------------------------------------------------------- */

static const void *metatable(lua_State *L, const char *type) {
    const void *known;
    luaL_getmetatable(L, type);
    known = lua_topointer(L, -1);
    lua_pop(L, 1);
    return known;
}

static int add_values(packer *p, int first, int count) {
    static const place top = {NULL, 0, 0};
    for (int i = 0; i < count; i++) {
        p->number = i + 1;
        if (!add_value(p, first + i, &top))
            return 0;
    }
    return 1;
}

ahost__packed *ahost__pack(lua_State *L, int first, int count, const char *what,
                           char problem[AHOST__PROBLEM]) {
    packer p = {.L = L, .slot_count = FIRST_SLOTS, .what = what};
    int top = lua_gettop(L);
    *problem = '\0';
    if (!lua_checkstack(L, STACK))
        return NULL;
    p.problem = problem;
    p.slots = p.first_slots;
    p.arrays = metatable(L, AHOST__JSON_ARRAY);
    p.errors = metatable(L, AHOST__ERROR_TYPE);
    p.channels = metatable(L, AHOST__CHANNEL_TYPE);
    p.packed = malloc(sizeof(*p.packed) + FIRST_SIZE);
    if (p.packed == NULL)
        return NULL;
    *p.packed = (ahost__packed){.count = count, .capacity = FIRST_SIZE};
    if (!add_values(&p, first, count)) {
        ahost__packed_free(p.packed);
        p.packed = NULL;
    }
    free_slots(&p);
    lua_settop(L, top);
    return p.packed;
}

ahost__packed *ahost__pack_checked(lua_State *L, int first, int count,
                                   const char *what) {
    char problem[AHOST__PROBLEM];
    ahost__packed *packed = ahost__pack(L, first, count, what, problem);
    if (packed == NULL)
        luaL_error(L, "%s", *problem != '\0' ? problem : "not enough memory");
    return packed;
}

void ahost__packed_free(ahost__packed *packed) {
    if (packed == NULL)
        return;
    for (size_t i = 0; i < packed->channel_count; i++)
        ahost__channel_unref(packed->channels[i]);
    free(packed->channels);
    free(packed);
}

/* ---- unpacking ---------------------------------------------------------- */

typedef struct unpacker {
    lua_State *L;
    const char *at;
    int tables; /* index of the array of all tables; 0: not needed */
    lua_Integer table_count;
} unpacker;

static void take(unpacker *u, void *value, size_t size) {
    memcpy(value, u->at, size);
    u->at += size;
}

static void push_string(unpacker *u) {
    size_t size;
    take(u, &size, sizeof(size));
    lua_pushlstring(u->L, u->at, size);
    u->at += size;
}

static void push_known(unpacker *u) {
    size_t number;
    take(u, &number, sizeof(number));
    lua_rawgeti(u->L, u->tables, (lua_Integer)number);
}

static void push_value(unpacker *u);

static void push_table(unpacker *u, const char *type) {
    uint32_t items;
    take(u, &items, sizeof(items));
    luaL_checkstack(u->L, STACK, "nested tables");
    lua_createtable(u->L, items < INT32_MAX ? (int)items : 0, 0);
    if (u->tables != 0) {
        lua_pushvalue(u->L, -1);
        lua_rawseti(u->L, u->tables, ++u->table_count);
    }
    while (*u->at != '.') {
        push_value(u);
        push_value(u);
        lua_rawset(u->L, -3);
    }
    u->at++;
    if (type != NULL) {
        luaL_newmetatable(u->L, type);
        lua_setmetatable(u->L, -2);
    }
}

static void push_channel(unpacker *u) {
    ahost__channel *channel;
    take(u, &channel, sizeof(channel));
    ahost__channel_push(u->L, channel);
}

static void push_integer(unpacker *u) {
    lua_Integer value;
    take(u, &value, sizeof(value));
    lua_pushinteger(u->L, value);
}

static void push_float(unpacker *u) {
    lua_Number value;
    take(u, &value, sizeof(value));
    lua_pushnumber(u->L, value);
}

static void push_value(unpacker *u) {
    char tag = *u->at++;
    switch (tag) {
    case 'n':
        lua_pushnil(u->L);
        return;
    case 'N':
        lua_pushlightuserdata(u->L, NULL);
        return;
    case 'i':
        push_integer(u);
        return;
    case 'f':
        push_float(u);
        return;
    case 's':
        push_string(u);
        return;
    case 'c':
        push_channel(u);
        return;
    case 'r':
        push_known(u);
        return;
    case 'T':
    case 'F':
        lua_pushboolean(u->L, tag == 'T');
        return;
    default:
        push_table(u, tag == 'a'   ? AHOST__JSON_ARRAY
                      : tag == 'e' ? AHOST__ERROR_TYPE
                                   : NULL);
    }
}

/* (packed as light userdata) -> values */
static int unpack_all(lua_State *L) {
    const ahost__packed *packed = lua_touserdata(L, 1);
    unpacker u = {.L = L, .at = packed->bytes};
    luaL_checkstack(L, packed->count + STACK, "too many values");
    if (packed->shared) {
        lua_newtable(L);
        u.tables = lua_gettop(L);
    }
    for (int i = 0; i < packed->count; i++)
        push_value(&u);
    return packed->count;
}

int ahost__unpack(lua_State *L, ahost__packed *packed) {
    int count = packed->count, status;
    if (!lua_checkstack(L, 2)) {
        ahost__packed_free(packed);
        luaL_error(L, "not enough memory");
    }
    lua_pushcfunction(L, unpack_all);
    lua_pushlightuserdata(L, packed);
    status = lua_pcall(L, 1, LUA_MULTRET, 0);
    ahost__packed_free(packed);
    if (status != LUA_OK)
        lua_error(L);
    return count;
}
