/*
 * error.c - the error object, and the one place that makes `nil, err`.
 */
#include "error.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <string.h>
#include <uv.h>

#include "ahost.h"

static const struct {
    int code;
    const char *name, *message;
} own_codes[] = {
    {AHOST__TIMEDOUT, "TIMEDOUT", "timed out"},
    {AHOST__CLOSED, "CLOSED", "closed"},
    {AHOST__CANCELLED, "CANCELLED", "cancelled"},
    {AHOST__TOOLONG, "TOOLONG", "too long"},
    {AHOST__NOTFOUND, "NOTFOUND", "not found"},
    {AHOST__CONFLICT, "CONFLICT", "conflict"},
    {AHOST__CONFIG, "CONFIG", "bad configuration"},
    {AHOST__FAILED, "FAILED", "failed"},
    {AHOST__TLS, "TLS", "TLS failed"},
    {AHOST__CERTIFICATE, "CERTIFICATE", "the certificate is refused"},
    {AHOST__TRUNCATED, "TRUNCATED",
     "the connection ended, but the peer has not said so"},
    {AHOST__WRONGTYPE, "WRONGTYPE", "it is of another type"},
};

enum { OWN_CODES = sizeof(own_codes) / sizeof(own_codes[0]) };

/* Known codes only: uv_err_name() leaks memory for the others. */
#define UV_CASE_NAME(name, message)                                            \
    case UV_##name:                                                            \
        return #name;
#define UV_CASE_MESSAGE(name, message)                                         \
    case UV_##name:                                                            \
        return message;

const char *ahost__code_name(int code) {
    for (int i = 0; i < OWN_CODES; i++)
        if (own_codes[i].code == code)
            return own_codes[i].name;
    switch (code) {
        UV_ERRNO_MAP(UV_CASE_NAME)
    default:
        return "UNKNOWN";
    }
}

const char *ahost__code_message(int code) {
    for (int i = 0; i < OWN_CODES; i++)
        if (own_codes[i].code == code)
            return own_codes[i].message;
    switch (code) {
        UV_ERRNO_MAP(UV_CASE_MESSAGE)
    default:
        return "unknown error";
    }
}

/* Sets field `name` of the table on the top to a string, unless it is NULL. */
static void set_text(lua_State *L, const char *name, const char *text) {
    if (text == NULL)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void push_new(lua_State *L, const char *code, const char *op) {
    lua_createtable(L, 0, 3);
    set_text(L, "code", code);
    set_text(L, "op", op);
    luaL_setmetatable(L, AHOST__ERROR_TYPE);
}

/* Formats `op` (may be NULL) on the stack and makes the error of it. */
static void push_formatted(lua_State *L, int code, const char *op,
                           va_list arguments) {
    const char *text =
        op != NULL ? lua_pushvfstring(L, op, arguments) : (lua_pushnil(L), op);
    push_new(L, ahost__code_name(code), text);
    set_text(L, "message", ahost__code_message(code));
    lua_remove(L, -2);
}

void ahost__push_error(lua_State *L, int code, const char *op, ...) {
    va_list arguments;
    va_start(arguments, op);
    push_formatted(L, code, op, arguments);
    va_end(arguments);
}

int ahost__fail(lua_State *L, int code, const char *op, ...) {
    va_list arguments;
    lua_pushnil(L);
    va_start(arguments, op);
    push_formatted(L, code, op, arguments);
    va_end(arguments);
    return 2;
}

int ahost__fail_text(lua_State *L, const char *code, const char *op,
                     const char *message, ...) {
    va_list arguments;
    lua_pushnil(L);
    push_new(L, code, op);
    va_start(arguments, message);
    lua_pushvfstring(L, message, arguments);
    va_end(arguments);
    lua_setfield(L, -2, "message");
    return 2;
}

int ahost__raise(lua_State *L, int code, const char *message, ...) {
    va_list arguments;
    push_new(L, ahost__code_name(code), NULL);
    va_start(arguments, message);
    lua_pushvfstring(L, message, arguments);
    va_end(arguments);
    lua_setfield(L, -2, "message");
    return lua_error(L);
}

/* Whether the value at `index` is an error object, of whatever code. */
static int is_error(lua_State *L, int index) {
    int same;
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return 0;
    luaL_getmetatable(L, AHOST__ERROR_TYPE);
    same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static int has_code(lua_State *L, int index, const char *code) {
    int same;
    lua_getfield(L, index, "code");
    same = lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), code) == 0;
    lua_pop(L, 1);
    return same;
}

int ahost__is_error(lua_State *L, int index, int code) {
    return is_error(L, index) &&
           (code == AHOST__ANY || has_code(L, index, ahost__code_name(code)));
}

void ahost__wrap_error(lua_State *L) {
    if (is_error(L, -1))
        return;
    push_new(L, ahost__code_name(AHOST__FAILED), NULL);
    luaL_tolstring(L, -2, NULL);
    lua_setfield(L, -2, "message");
    lua_insert(L, -2);
    lua_setfield(L, -2, "value");
}

/* tostring(err): "connect 127.0.0.1:1: connection refused (ECONNREFUSED)" */
static int error_tostring(lua_State *L) {
    luaL_Buffer text;
    const char *op, *message, *code;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "op");
    lua_getfield(L, 1, "message");
    lua_getfield(L, 1, "code");
    op = lua_tostring(L, 2);
    message = lua_tostring(L, 3);
    code = lua_tostring(L, 4);
    luaL_buffinit(L, &text);
    if (op != NULL) {
        luaL_addstring(&text, op);
        luaL_addstring(&text, ": ");
    }
    luaL_addstring(&text, message != NULL ? message : "error");
    if (code != NULL && strcmp(code, "FAILED") != 0) {
        luaL_addstring(&text, " (");
        luaL_addstring(&text, code);
        luaL_addstring(&text, ")");
    }
    luaL_pushresult(&text);
    return 1;
}

/* errors.new(code, message, [fields]) -> err */
static int error_new(lua_State *L) {
    const char *code = luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    push_new(L, code, NULL);
    lua_pushvalue(L, 2); /* as it is: it may hold zero bytes */
    lua_setfield(L, -2, "message");
    if (lua_isnoneornil(L, 3))
        return 1;
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, 3) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    return 1;
}

/* errors.is(value, [code]) -> boolean */
static int error_is(lua_State *L) {
    const char *code = luaL_optstring(L, 2, NULL);
    lua_pushboolean(L,
                    is_error(L, 1) && (code == NULL || has_code(L, 1, code)));
    return 1;
}

static const luaL_Reg functions[] = {
    {"new", error_new}, {"is", error_is}, {NULL, NULL}};

int ahost__open_error(lua_State *L) {
    luaL_newmetatable(L, AHOST__ERROR_TYPE);
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
