/*
 * driver.c - a libFuzzer target for each Lua file in this folder: the file,
 * which FUZZ_FILE names, returns a function that is called with the bytes in a
 * host and raises when something is wrong.
 */
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>

#include "host.h"

static void give_up(lua_State *L) {
    lua_writestringerror("%s\n", luaL_tolstring(L, -1, NULL));
    abort();
}

/* -> a state with the function on its stack */
static lua_State *open_state(void) {
    ahost_options options = {.size = sizeof(options)};
    ahost *h;
    if (ahost_open(&h, &options) != AHOST_OK)
        abort();
    if (luaL_dofile(h->L, FUZZ_FILE) != LUA_OK)
        give_up(h->L);
    return h->L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static lua_State *L;
    if (L == NULL)
        L = open_state();
    lua_pushvalue(L, -1);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        give_up(L);
    return 0;
}
