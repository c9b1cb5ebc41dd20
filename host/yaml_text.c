/*
 * yaml_text.c - the text that is being encoded.
 */
#include "yaml_text.h"

#include <lauxlib.h>
#include <string.h>

#define TEXT_TYPE "ahost.yaml.text"

enum { FIRST_CAPACITY = 256 };

/* Memory of the Lua state, which may be a worker's, without a host. */
static char *resize(ahost__yaml_text *t, size_t capacity) {
    void *ud;
    lua_Alloc allocate = lua_getallocf(t->L, &ud);
    return allocate(ud, t->data, t->capacity, capacity);
}

static void text_free(ahost__yaml_text *t) {
    resize(t, 0);
    t->data = NULL;
    t->size = t->capacity = 0;
}

static int text_gc(lua_State *L) {
    ahost__yaml_text *t = luaL_checkudata(L, 1, TEXT_TYPE);
    t->L = L;
    text_free(t);
    return 0;
}

void ahost__yaml_text_prepare(lua_State *L) {
    luaL_newmetatable(L, TEXT_TYPE);
    lua_pushcfunction(L, text_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

ahost__yaml_text *ahost__yaml_text_push(lua_State *L) {
    ahost__yaml_text *t = lua_newuserdatauv(L, sizeof(*t), 0);
    memset(t, 0, sizeof(*t));
    t->L = L;
    luaL_setmetatable(L, TEXT_TYPE);
    return t;
}

static void grow(ahost__yaml_text *t, size_t needed) {
    size_t capacity = t->capacity > 0 ? t->capacity : FIRST_CAPACITY;
    char *data;
    while (capacity < needed)
        capacity *= 2;
    data = resize(t, capacity);
    if (data == NULL)
        luaL_error(t->L, "not enough memory");
    t->data = data;
    t->capacity = capacity;
}

void ahost__yaml_add(ahost__yaml_text *t, const char *bytes, size_t size) {
    if (t->capacity - t->size < size)
        grow(t, t->size + size);
    if (size > 0)
        memcpy(t->data + t->size, bytes, size);
    t->size += size;
}

void ahost__yaml_add_string(ahost__yaml_text *t, const char *string) {
    ahost__yaml_add(t, string, strlen(string));
}

void ahost__yaml_add_line(ahost__yaml_text *t, int indent) {
    ahost__yaml_add(t, "\n", 1);
    while (indent-- > 0)
        ahost__yaml_add(t, " ", 1);
}

void ahost__yaml_text_finish(ahost__yaml_text *t) {
    lua_pushlstring(t->L, t->data, t->size);
    text_free(t);
}
