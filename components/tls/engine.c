/*
 * engine.c - the module that hands the engine to the host. It is the only place
 * that sees Lua.
 */
#include <lua.h>
#include <openssl/crypto.h>

#include "openssl.h"

static const ahost__tls_engine engine = {AHOST__TLS_ENGINE_VERSION,
                                         OPENSSL_VERSION_TEXT,
                                         tls_context_new,
                                         tls_context_free,
                                         tls_connection_new,
                                         tls_connection_free,
                                         tls_handshake,
                                         tls_read,
                                         tls_write,
                                         tls_end,
                                         tls_describe,
                                         tls_session};

__attribute__((visibility("default"))) int luaopen_ahost_tls(lua_State *L);

/* -> the engine */
int luaopen_ahost_tls(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&engine);
    return 1;
}
