/*
 * embed_resource.c - C pointers as resources: what Lua code sees of them, and
 * their methods.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "embed.h"
#include "error.h"
#include "host.h"
#include "resource.h"
#include "value.h"

enum { MOST_VALUES = 16 };

/* What Lua has of a thing. */
typedef struct thing {
    void *pointer; /* NULL: it could not be published */
    const ahost_type *type;
} thing;

static const char thing_key; /* a field that only metatables of things have */

/* ---- things ------------------------------------------------------------- */

int ahost__to_pointer(lua_State *L, int index, const ahost_type **type,
                      void **pointer) {
    const thing *t = lua_touserdata(L, index);
    int is_thing;
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_checkstack(L, 2) ||
        !lua_getmetatable(L, index))
        return 0;
    is_thing = lua_rawgetp(L, -1, &thing_key) != LUA_TNIL;
    lua_pop(L, 2);
    if (!is_thing)
        return 0;
    *type = t->type;
    *pointer = t->pointer;
    return 1;
}

/* The thing of a type at `arg`; NULL: it is something else. */
static thing *test_thing(lua_State *L, int arg, const ahost_type *type) {
    const ahost_type *own;
    void *pointer;
    if (!ahost__to_pointer(L, arg, &own, &pointer) || own != type)
        return NULL;
    return lua_touserdata(L, arg);
}

/* What messages call the value at an index. */
static const char *type_of_value(lua_State *L, int index) {
    const ahost_type *type;
    void *pointer;
    if (ahost__to_pointer(L, index, &type, &pointer))
        return type->name;
    return luaL_typename(L, index);
}

static int thing_tostring(lua_State *L) {
    const thing *t = lua_touserdata(L, 1);
    lua_pushfstring(L, "%s: %p", t->type->name, t->pointer);
    return 1;
}

static int thing_gc(lua_State *L) {
    thing *t = lua_touserdata(L, 1);
    void *pointer = t->pointer;
    t->pointer = NULL;
    if (pointer != NULL && t->type->destroy != NULL)
        t->type->destroy(pointer);
    return 0;
}

/* ---- methods ------------------------------------------------------------ */

struct ahost_invocation {
    lua_State *L;
    const char *method;
    int count;     /* of arguments */
    int results;   /* so far */
    int wrong;     /* the call itself: `message` is raised */
    int no_memory; /* was there at one time */
    ahost_value *arguments[MOST_VALUES]; /* that were asked for */
    ahost_value *values[MOST_VALUES];    /* results */
    char code[32], message[512];
};

int ahost_argument_count(const ahost_invocation *call) {
    return call != NULL ? call->count : 0;
}

ahost *ahost_invocation_host(const ahost_invocation *call) {
    return call != NULL ? ahost__of(call->L) : NULL;
}

static const char *const kind_names[] = {
    "nil",  "boolean", "integer",      "number", "string",
    "list", "map",     "a thing of C", "other",  "any"};

/* Says what is wrong with an argument, unless something else was before. */
static void refuse_argument(ahost_invocation *call, int index,
                            const char *expected) {
    const char *got =
        index <= call->count ? type_of_value(call->L, index + 1) : "no value";
    if (call->wrong)
        return;
    call->wrong = 1;
    snprintf(call->message, sizeof(call->message),
             "bad argument #%d to '%s' (%s expected, got %s)", index,
             call->method, expected, got);
}

static int is_of_kind(const ahost_value *value, ahost_kind kind) {
    if (kind == AHOST_ANY || value->kind == kind)
        return 1;
    if (kind == AHOST_NUMBER)
        return value->kind == AHOST_INTEGER;
    /* an empty table may be either */
    if (kind == AHOST_LIST)
        return value->kind == AHOST_MAP && value->as.items.count == 0;
    return kind == AHOST_INTEGER && value->kind == AHOST_NUMBER &&
           ahost_value_integer(value, 0) == ahost_value_integer(value, 1);
}

const ahost_value *ahost_argument(ahost_invocation *call, int index,
                                  ahost_kind kind) {
    ahost_value **value;
    if (call == NULL)
        return NULL;
    if (index < 1 || index > MOST_VALUES || (unsigned)kind > AHOST_ANY) {
        ahost_raise(call, "ahost_argument: there are arguments 1 to 16");
        return NULL;
    }
    value = &call->arguments[index - 1];
    if (*value == NULL)
        *value = ahost__read_value(call->L, index + 1);
    if (*value == NULL) {
        call->no_memory = 1;
        return NULL;
    }
    if (is_of_kind(*value, kind) && (index <= call->count || kind == AHOST_ANY))
        return *value;
    refuse_argument(call, index, kind_names[kind]);
    return NULL;
}

void *ahost_argument_pointer(ahost_invocation *call, int index,
                             const ahost_type *type) {
    const thing *t = NULL;
    if (call == NULL)
        return NULL;
    if (type == NULL) {
        ahost_raise(call, "ahost_argument_pointer: no type");
        return NULL;
    }
    if (index >= 1 && index <= call->count)
        t = test_thing(call->L, index + 1, type);
    if (t == NULL)
        refuse_argument(call, index, type->name);
    return t != NULL ? t->pointer : NULL;
}

int ahost_return(ahost_invocation *call, ahost_value *result) {
    if (call == NULL) {
        ahost_value_free(result);
        return AHOST_MISUSE;
    }
    if (result == NULL || result->broken) {
        ahost_value_free(result);
        call->no_memory = 1;
        return AHOST_NO_MEMORY;
    }
    if (call->results == MOST_VALUES) {
        ahost_value_free(result);
        return ahost_raise(call, "ahost_return: too many results (16 at most)");
    }
    call->values[call->results++] = result;
    return AHOST_OK;
}

int ahost_fail(ahost_invocation *call, const char *code, const char *message) {
    if (call == NULL)
        return AHOST_FAILED;
    snprintf(call->code, sizeof(call->code), "%s",
             code != NULL ? code : "FAILED");
    snprintf(call->message, sizeof(call->message), "%s",
             message != NULL ? message : "it failed");
    return AHOST_FAILED;
}

int ahost_raise(ahost_invocation *call, const char *message) {
    ahost_fail(call, NULL, message);
    if (call != NULL)
        call->wrong = 1;
    return AHOST_FAILED;
}

/* (invocation) -> its results */
static int push_results(lua_State *L) {
    const ahost_invocation *call = lua_touserdata(L, 1);
    for (int i = 0; i < call->results; i++)
        ahost__push_value(L, call->values[i]);
    return call->results;
}

/* -> nil, err */
static int fail(lua_State *L, const ahost_invocation *call, int code) {
    if (call->code[0] != '\0')
        return ahost__fail_text(L, call->code, call->method, "%s",
                                call->message);
    return ahost__fail_text(L, "FAILED", call->method, "%s",
                            ahost_strerror(code));
}

static void free_values(ahost_invocation *call) {
    for (int i = 0; i < MOST_VALUES; i++) {
        ahost_value_free(call->arguments[i]);
        ahost_value_free(call->values[i]);
    }
}

/* Upvalues: the type and the method. The values are freed before anything can
 * be raised. */
static int call_method(lua_State *L) {
    const ahost_type *type = lua_touserdata(L, lua_upvalueindex(1));
    const ahost_method *method = lua_touserdata(L, lua_upvalueindex(2));
    const thing *t = test_thing(L, 1, type);
    ahost_invocation call = {.L = L, .method = method->name};
    int code, status = LUA_OK;
    if (t == NULL)
        return luaL_typeerror(L, 1, type->name);
    if (t->pointer == NULL)
        return luaL_error(L, "this %s could not be published", type->name);
    call.count = lua_gettop(L) - 1;
    luaL_checkstack(L, MOST_VALUES + 4, "results");
    code = method->call(&call, t->pointer);
    if (code == AHOST_OK && !call.wrong && !call.no_memory) {
        lua_pushcfunction(L, push_results);
        lua_pushlightuserdata(L, &call);
        status = lua_pcall(L, 1, LUA_MULTRET, 0);
    }
    free_values(&call);
    if (status != LUA_OK)
        return lua_error(L);
    if (call.wrong) {
        luaL_where(L, 1);
        lua_pushstring(L, call.message);
        lua_concat(L, 2);
        return lua_error(L);
    }
    if (call.no_memory)
        return luaL_error(L, "not enough memory");
    return code == AHOST_OK ? call.results : fail(L, &call, code);
}

static void push_methods(lua_State *L, const ahost_type *type) {
    const ahost_method *method = type->methods;
    lua_newtable(L);
    for (; method != NULL && method->name != NULL; method++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)type);
        lua_pushlightuserdata(L, (void *)(uintptr_t)method);
        lua_pushcclosure(L, call_method, 2);
        lua_setfield(L, -2, method->name);
    }
}

/* Pushes the metatable of a type. */
static void push_metatable(lua_State *L, const ahost_type *type) {
    static const luaL_Reg meta[] = {
        {"__gc", thing_gc}, {"__tostring", thing_tostring}, {NULL, NULL}};
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, type) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    luaL_newlib(L, meta);
    lua_pushstring(L, type->name);
    lua_setfield(L, -2, "__name");
    push_methods(L, type);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0); /* nobody is to give a thing to another's methods */
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, 1);
    lua_rawsetp(L, -2, &thing_key);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, type);
}

/* ---- publishing --------------------------------------------------------- */

typedef struct publication {
    const char *key;
    void *pointer;
    const ahost_type *type;
} publication;

/* (publication) */
static int publish(lua_State *L) {
    const publication *p = lua_touserdata(L, 1);
    thing *t = lua_newuserdatauv(L, sizeof(*t), 0);
    t->pointer = NULL;
    t->type = p->type;
    push_metatable(L, p->type);
    lua_setmetatable(L, -2);
    t->pointer = p->pointer;
    lua_pushcfunction(L, ahost__resource_publish);
    ahost__push_context(L, ahost__context_current(L));
    lua_pushstring(L, p->key);
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 3, 0, 0) == LUA_OK)
        return 0;
    t->pointer = NULL; /* it is the program's as before */
    return lua_error(L);
}

static int check_type(ahost *h, const char *function, const char *key,
                      const ahost_type *type) {
    if (key == NULL || type == NULL)
        return ahost__refuse(h, AHOST_MISUSE, "%s: no %s", function,
                             key == NULL ? "key" : "type");
    if (!ahost__is_key(key, strlen(key)))
        return ahost__refuse(h, AHOST_MISUSE,
                             "%s: '%s' is no resource key (type or type/name)",
                             function, key);
    if (type->size < sizeof(ahost_type) || type->name == NULL)
        return ahost__refuse(h, AHOST_MISUSE,
                             "%s: the type of '%s' has no size, or no name",
                             function, key);
    return AHOST_OK;
}

int ahost_publish(ahost *h, const char *key, void *pointer,
                  const ahost_type *type) {
    publication p = {key, pointer, type};
    int err = ahost__check(h, "ahost_publish", AHOST__GOING_ON);
    if (err == AHOST_OK)
        err = check_type(h, "ahost_publish", key, type);
    if (err != AHOST_OK)
        return err;
    if (pointer == NULL)
        return ahost__refuse(h, AHOST_MISUSE,
                             "ahost_publish: '%s' is NULL, which cannot be "
                             "published",
                             key);
    return ahost__protect(h, publish, &p);
}

/* ---- requests ----------------------------------------------------------- */

ahost__context *ahost__lookup_context(lua_State *L) {
    const ahost *h = ahost__of(L);
    if (h->current == NULL && h->application != NULL)
        return h->application;
    return ahost__context_current(L);
}

void ahost__push_resource(lua_State *L, const char *key) {
    ahost__push_context(L, ahost__lookup_context(L));
    lua_getfield(L, -1, "get");
    lua_insert(L, -2);
    lua_pushstring(L, key);
    lua_call(L, 2, 1);
}

/* (publication) */
static int request(lua_State *L) {
    publication *p = lua_touserdata(L, 1);
    const thing *t;
    ahost__push_resource(L, p->key);
    if (lua_isnil(L, -1))
        return ahost__raise(L, AHOST__NOTFOUND, "there is no resource '%s'",
                            p->key);
    t = test_thing(L, -1, p->type);
    if (t == NULL)
        return ahost__raise(L, AHOST__WRONGTYPE,
                            "resource '%s' is of type %s, not %s", p->key,
                            type_of_value(L, -1), p->type->name);
    p->pointer = t->pointer;
    return 0;
}

void *ahost_request(ahost *h, const char *key, const ahost_type *type) {
    publication p = {key, NULL, type};
    if (ahost__check(h, "ahost_request", AHOST__GOING_ON) != AHOST_OK ||
        check_type(h, "ahost_request", key, type) != AHOST_OK)
        return NULL;
    return ahost__protect(h, request, &p) == AHOST_OK ? p.pointer : NULL;
}
