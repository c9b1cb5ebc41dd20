/*
 * embed_component.c - components written in C: a table in Lua for each type,
 * whose functions call the program's.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "component.h"
#include "embed.h"
#include "error.h"
#include "host.h"
#include "value.h"

#define INSTANCE_TYPE "ahost.instance"

static const char types_key; /* in the registry: component tables by name */

struct ahost_instance {
    ahost *host;
    const ahost_component *type;
    ahost_value *config;
    void *data;
    const char *path; /* a string that the instance's table has */
    char message[512];
};

ahost *ahost_instance_host(const ahost_instance *self) {
    return self != NULL ? self->host : NULL;
}

const char *ahost_instance_path(const ahost_instance *self) {
    return self != NULL ? self->path : "";
}

const ahost_value *ahost_instance_config(const ahost_instance *self) {
    return self != NULL ? self->config : NULL;
}

void *ahost_instance_data(const ahost_instance *self) {
    return self != NULL ? self->data : NULL;
}

void ahost_instance_set_data(ahost_instance *self, void *data) {
    if (self != NULL)
        self->data = data;
}

int ahost_instance_fail(ahost_instance *self, const char *message) {
    if (self != NULL)
        snprintf(self->message, sizeof(self->message), "%s",
                 message != NULL ? message : "it failed");
    return AHOST_FAILED;
}

/* ---- instances ---------------------------------------------------------- */

static int instance_gc(lua_State *L) {
    ahost_instance *self = lua_touserdata(L, 1);
    ahost_value_free(self->config);
    self->config = NULL;
    return 0;
}

/* Upvalue: the instance. Runs when the component's context ends. */
static int close_instance(lua_State *L) {
    ahost_instance *self = lua_touserdata(L, lua_upvalueindex(1));
    if (self->type->close != NULL)
        self->type->close(self);
    return 0;
}

/* ctx:on_close(close_instance) */
static void close_with_context(lua_State *L, int ctx, int instance) {
    lua_getfield(L, ctx, "on_close");
    lua_pushvalue(L, ctx);
    lua_pushvalue(L, instance);
    lua_pushcclosure(L, close_instance, 1);
    lua_call(L, 2, 0);
}

/* The instance of the component's table at 1, whose context is at 2; made for
 * the first function that is called. */
static ahost_instance *check_instance(lua_State *L,
                                      const ahost_component *type) {
    ahost_instance *self;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    lua_pushlightuserdata(L, (void *)(uintptr_t)type);
    if (lua_rawget(L, 1) != LUA_TNIL)
        return lua_touserdata(L, -1);
    self = lua_newuserdatauv(L, sizeof(*self), 1);
    memset(self, 0, sizeof(*self));
    self->host = ahost__of(L);
    self->type = type;
    luaL_setmetatable(L, INSTANCE_TYPE);
    lua_getfield(L, 1, "path");
    self->path = lua_tostring(L, -1);
    lua_setiuservalue(L, 4, 1);
    lua_getfield(L, 1, "config");
    self->config = ahost__read_value(L, -1);
    if (self->config == NULL || self->path == NULL)
        luaL_error(L, "not enough memory");
    close_with_context(L, 2, 4);
    lua_pushlightuserdata(L, (void *)(uintptr_t)type);
    lua_pushvalue(L, 4);
    lua_rawset(L, 1);
    lua_settop(L, 4);
    return self;
}

/* ---- the functions ------------------------------------------------------ */

static const ahost_component *type_of(lua_State *L) {
    return lua_touserdata(L, lua_upvalueindex(1));
}

static int fail(lua_State *L, const ahost_instance *self, int code) {
    return ahost__raise(L, AHOST__FAILED, "%s",
                        self->message[0] != '\0' ? self->message
                                                 : ahost_strerror(code));
}

/* (self, ctx) */
static int prepare(lua_State *L) {
    const ahost_component *type = type_of(L);
    ahost_instance *self = check_instance(L, type);
    int code = type->prepare(self);
    return code == AHOST_OK ? 0 : fail(L, self, code);
}

/* (self, ctx) */
static int start(lua_State *L) {
    const ahost_component *type = type_of(L);
    ahost_instance *self = check_instance(L, type);
    int code = type->start != NULL ? type->start(self) : AHOST_OK;
    return code == AHOST_OK ? 0 : fail(L, self, code);
}

/* (self, ctx) -> status */
static int run(lua_State *L) {
    const ahost_component *type = type_of(L);
    ahost_instance *self = check_instance(L, type);
    int status = type->run(self);
    if (status < 0)
        return fail(L, self, status);
    lua_pushinteger(L, status);
    return 1;
}

static void set_function(lua_State *L, const ahost_component *type,
                         const char *name, lua_CFunction fn) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)type);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, name);
}

/* ---- types -------------------------------------------------------------- */

/* Pushes the options, decoded and looked through. */
static void push_options(lua_State *L, const ahost_component *type) {
    ahost__push_embedding(L, "options");
    lua_pushstring(L, type->name);
    lua_pushstring(L, type->options);
    lua_call(L, 2, 1);
}

/* (type) */
static int add_type(lua_State *L) {
    const ahost_component *type = lua_touserdata(L, 1);
    if (luaL_newmetatable(L, INSTANCE_TYPE)) {
        lua_pushcfunction(L, instance_gc);
        lua_setfield(L, -2, "__gc");
    }
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &types_key) == LUA_TNIL) {
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &types_key);
        lua_replace(L, -2);
    }
    if (lua_getfield(L, -1, type->name) != LUA_TNIL)
        return ahost__raise(L, AHOST__CONFLICT,
                            "there is a component type '%s' already",
                            type->name);
    lua_pop(L, 1);
    lua_newtable(L);
    if (type->prepare != NULL)
        set_function(L, type, "prepare", prepare);
    set_function(L, type, "start", start); /* where `close` is prepared, too */
    if (type->run != NULL)
        set_function(L, type, "run", run);
    if (type->options != NULL) {
        push_options(L, type);
        lua_setfield(L, -2, "options");
    }
    lua_setfield(L, -2, type->name);
    return 0;
}

int ahost_register(ahost *h, const ahost_component *type) {
    int err = ahost__check(h, "ahost_register", AHOST__GOING_ON);
    if (err != AHOST_OK)
        return err;
    if (type == NULL || type->size < sizeof(*type) || type->name == NULL ||
        type->name[0] == '\0')
        return ahost__refuse(h, AHOST_MISUSE,
                             "ahost_register: no type, or one without its size "
                             "or a name");
    return ahost__protect(h, add_type, (void *)(uintptr_t)type);
}

int ahost__component_registered(lua_State *L) {
    luaL_checkstring(L, 1);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &types_key) == LUA_TNIL)
        return 1;
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    return 1;
}
