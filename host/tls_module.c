/*
 * tls_module.c - the C part of ahost.tls: settings read from Lua, and the
 * methods of streams that start TLS and tell about it. Which files settings
 * come from, and what is a default, is policy: lua/ahost/tls.lua.
 */
#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "tls.h"

#define SETTINGS_TYPE "ahost.tls.settings"

/* ---- settings ----------------------------------------------------------- */

void ahost__tls_context_unref(ahost__tls_context *context) {
    if (context == NULL || --context->references > 0)
        return;
    context->engine->context_free(context->native);
    ahost__free(context->host, context, sizeof(*context));
}

static ahost__tls_context *check_context(lua_State *L, int arg) {
    ahost__tls_context **box = luaL_checkudata(L, arg, SETTINGS_TYPE);
    luaL_argcheck(L, *box != NULL, arg, "these settings were never made");
    return *box;
}

ahost__tls_context *ahost__opt_tls_context(lua_State *L, int arg,
                                           const char *name) {
    ahost__tls_context *context = NULL;
    if (lua_istable(L, arg) && lua_getfield(L, arg, name) != LUA_TNIL)
        context = check_context(L, -1);
    if (lua_istable(L, arg))
        lua_pop(L, 1);
    return context;
}

/* Field `name` of the table at `index`, which keeps the text; or NULL. */
static const char *get_text(lua_State *L, int index, const char *name,
                            size_t *size) {
    const char *text;
    lua_getfield(L, index, name);
    text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, size) : NULL;
    lua_pop(L, 1);
    return text;
}

static int get_flag(lua_State *L, int index, const char *name) {
    int flag;
    lua_getfield(L, index, name);
    flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

/* Reads the identity on the top. */
static void read_identity(lua_State *L, ahost__tls_identity *identity) {
    int top = lua_gettop(L);
    identity->host = get_text(L, top, "host", NULL);
    identity->certificate = get_text(L, top, "certificate", NULL);
    identity->key = get_text(L, top, "key", NULL);
    identity->password = get_text(L, top, "password", NULL);
    identity->certificate_name = get_text(L, top, "certificate_name", NULL);
    identity->key_name = get_text(L, top, "key_name", NULL);
}

/* Reads the array `identities`; what holds it stays on the stack. */
static void read_identities(lua_State *L, int arg, ahost__tls_settings *to) {
    ahost__tls_identity *identities;
    lua_getfield(L, arg, "identities");
    to->identity_count = lua_rawlen(L, -1);
    identities =
        lua_newuserdatauv(L, (to->identity_count + 1) * sizeof(*identities), 0);
    for (size_t i = 0; i < to->identity_count; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        read_identity(L, &identities[i]);
        lua_pop(L, 1);
    }
    to->identities = identities;
}

static void read_settings(lua_State *L, int arg, ahost__tls_settings *to) {
    *to = (ahost__tls_settings){0};
    to->is_server = get_flag(L, arg, "server");
    to->verify =
        (ahost__tls_verify)ahost__opt_number(L, arg, "verify_level", 0);
    to->authorities = get_text(L, arg, "authorities", NULL);
    to->authorities_name = get_text(L, arg, "authorities_name", NULL);
    to->min_version = (int)ahost__opt_number(L, arg, "min_version", 12);
    to->max_version = (int)ahost__opt_number(L, arg, "max_version", 13);
    to->ciphers = get_text(L, arg, "ciphers", NULL);
    to->protocols = get_text(L, arg, "protocols", &to->protocols_size);
    read_identities(L, arg, to);
}

/* core.settings(engine, settings) -> settings | nil, err */
static int new_settings(lua_State *L) {
    const ahost__tls_engine *engine = lua_touserdata(L, 1);
    ahost__tls_context **box, *context;
    ahost__tls_settings settings;
    ahost__tls_failure failure;
    if (engine == NULL || engine->version != AHOST__TLS_ENGINE_VERSION)
        return luaL_error(L, "tls.so belongs to another version of ahost");
    read_settings(L, 2, &settings);
    box = lua_newuserdatauv(L, sizeof(*box), 0);
    *box = NULL;
    luaL_setmetatable(L, SETTINGS_TYPE);
    context = ahost__alloc(ahost__of(L), sizeof(*context));
    if (context == NULL)
        return luaL_error(L, "not enough memory");
    *context = (ahost__tls_context){.host = ahost__of(L), .engine = engine};
    context->native = engine->context_new(&settings, &failure);
    if (context->native == NULL) {
        ahost__free(context->host, context, sizeof(*context));
        return ahost__fail_text(L, "CONFIG", "tls", "%s", failure.text);
    }
    context->references = 1;
    context->is_server = settings.is_server;
    *box = context;
    context->allow_truncation = get_flag(L, 2, "allow_truncation");
    context->timeout = ahost__opt_number(L, 2, "handshake_timeout", -1);
    return 1;
}

/* core.replace(settings, newer): connections made from now on get the newer;
 * those under way keep what they have. */
static int replace_settings(lua_State *L) {
    ahost__tls_context *context = check_context(L, 1);
    ahost__tls_context *newer = check_context(L, 2);
    void *native = context->native;
    context->native = newer->native;
    newer->native = native;
    context->allow_truncation = newer->allow_truncation;
    context->timeout = newer->timeout;
    return 0;
}

static int settings_gc(lua_State *L) {
    ahost__tls_context **box = lua_touserdata(L, 1), *context = *box;
    *box = NULL;
    ahost__tls_context_unref(context);
    return 0;
}

/* ---- starting ----------------------------------------------------------- */

static int finish_start(lua_State *L, ahost__wait *w) {
    ahost__stream *s = w->op;
    if (w->status == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    s->out_told = 1;
    return ahost__tls_fail(L, s->tls, w->status, "TLS handshake");
}

/* A handshake that is given up leaves nothing to go on with. */
static void cancel_start(ahost__wait *w) {
    ahost__stream_release(w->op, 0);
}

static const ahost__wait_type start_wait = {"TLS handshake", finish_start,
                                            cancel_start};

/* Why TLS cannot be started. The sides disagree about where the plain text
 * ends: what the peer sent behind that could be a third party's. */
static int refuse(lua_State *L, const ahost__stream *s) {
    if (s->closing)
        return ahost__fail(L, AHOST__CLOSED, "starttls");
    if (s->in_size > 0) {
        ahost__fail_text(L, "TLS", "starttls",
                         "%d bytes in plain text have arrived already, which "
                         "must not be taken for encrypted ones",
                         (int)s->in_size);
        lua_pushliteral(L, "plaintext");
        lua_setfield(L, -2, "reason");
        return 2;
    }
    if (s->in_error != 0)
        return ahost__fail(L, s->in_error, "starttls");
    return s->out_error != 0 ? ahost__fail(L, s->out_error, "starttls") : 0;
}

static void check_state(lua_State *L, const ahost__stream *s) {
    if (s->tls != NULL)
        luaL_error(L, "TLS has been started on this stream already");
    if (s->transport != &ahost__uv_transport)
        luaL_error(L, "TLS needs a connection over a socket, not a %s",
                   s->transport->what);
    if (s->reader != NULL)
        luaL_error(L, "another task is reading this stream: TLS cannot start");
    if (s->queued > 0 || s->shut)
        luaL_error(L, "TLS cannot start while another task writes, or after "
                      "shutdown");
}

/* core.start(stream, settings, {hostname=, is_address=, session=, timeout=})
 * -> true | nil, err. What was written is flushed. */
static int start(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    ahost__tls_context *context = check_context(L, 2);
    double timeout = ahost__opt_number(L, 3, "timeout", -1);
    ahost__tls_start how = {0};
    ahost__wait *w;
    int err, refused = refuse(L, s);
    if (refused != 0)
        return refused;
    check_state(L, s);
    how.hostname = get_text(L, 3, "hostname", NULL);
    how.is_address = get_flag(L, 3, "is_address");
    how.session = get_text(L, 3, "session", &how.session_size);
    w = ahost__wait_begin(L, &start_wait, s);
    err = ahost__tls_start_on(s, context, &how, timeout);
    if (err == 0 && ahost__tls_begins(s->tls))
        ahost__list_append(ahost__tls_waiters(s->tls), &w->link);
    else
        ahost__settle(w, err);
    return ahost__await(L, w);
}

/* ---- methods of streams ------------------------------------------------- */

static int results(lua_State *L, int status, lua_KContext unused) {
    (void)status;
    (void)unused;
    return lua_gettop(L);
}

/* stream:starttls([opts]) -> true | nil, err */
static int stream_starttls(lua_State *L) {
    ahost__check_stream(L, 1);
    lua_settop(L, 2);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "ahost.tls");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "start");
    lua_replace(L, -2);
    lua_insert(L, 1);
    lua_callk(L, 2, LUA_MULTRET, 0, results);
    return results(L, LUA_OK, 0);
}

/* -> description | nil, err */
static int push_outcome(lua_State *L, ahost__stream *s, int status) {
    if (status == 0 && s->closing)
        status = AHOST__CLOSED;
    if (status != 0)
        return ahost__tls_fail(L, s->tls, status, "TLS handshake");
    ahost__tls_push_description(L, s->tls);
    return 1;
}

static int finish_tls(lua_State *L, ahost__wait *w) {
    return push_outcome(L, w->op, w->status);
}

static const ahost__wait_type tls_wait = {"TLS handshake", finish_tls, NULL};

/* stream:tls([timeout]) -> description | nil [, err] */
static int stream_tls(lua_State *L) {
    ahost__stream *s = ahost__check_stream(L, 1);
    double timeout =
        lua_isnoneornil(L, 2) ? s->timeout : ahost__opt_timeout(L, 2);
    ahost__wait *w;
    if (s->closing)
        return ahost__fail(L, AHOST__CLOSED, "tls");
    if (s->tls == NULL)
        return 0;
    if (!ahost__tls_begins(s->tls))
        return push_outcome(L, s, ahost__tls_error(s->tls));
    w = ahost__wait_begin(L, &tls_wait, s);
    ahost__list_append(ahost__tls_waiters(s->tls), &w->link);
    ahost__wait_timeout(w, timeout);
    return ahost__await(L, w);
}

static const luaL_Reg methods[] = {
    {"starttls", stream_starttls}, {"tls", stream_tls}, {NULL, NULL}};

void ahost__open_stream_tls(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}

/* ---- the module --------------------------------------------------------- */

static const luaL_Reg functions[] = {{"settings", new_settings},
                                     {"replace", replace_settings},
                                     {"start", start},
                                     {NULL, NULL}};

int ahost__open_tls(lua_State *L) {
    if (luaL_newmetatable(L, SETTINGS_TYPE)) {
        lua_pushcfunction(L, settings_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
