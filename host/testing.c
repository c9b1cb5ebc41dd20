/*
 * testing.c - ahost.testing.core: the C side of ahost.testing.
 */
#include "testing.h"

#include <errno.h>
#include <ftw.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host.h"
#include "modules.h"
#include "virtual_clock.h"

/* core.temporary_directory() -> path | nil, err */
static int temporary_directory(lua_State *L) {
    const char *parent = getenv("TMPDIR");
    char *path;
    lua_pushfstring(L, "%s/ahost-XXXXXX",
                    parent != NULL && *parent != '\0' ? parent : "/tmp");
    path = lua_newuserdatauv(L, lua_rawlen(L, -1) + 1, 0);
    strcpy(path, lua_tostring(L, -2));
    if (mkdtemp(path) == NULL)
        return ahost__fail(L, -errno, "mkdtemp %s", path);
    lua_pushstring(L, path);
    return 1;
}

/* core.make_directory(path) -> true | nil, err; true too when it exists */
static int make_directory(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return ahost__fail(L, -errno, "mkdir %s", path);
    lua_pushboolean(L, 1);
    return 1;
}

static int remove_one(const char *path, const struct stat *info, int type,
                      struct FTW *place) {
    (void)info, (void)type, (void)place;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* core.remove_tree(path) -> true | nil, err */
static int remove_tree(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 &&
        errno != ENOENT)
        return ahost__fail(L, -errno, "remove %s", path);
    lua_pushboolean(L, 1);
    return 1;
}

static const luaL_Reg functions[] = {
    {"capture", ahost__testing_capture},
    {"clock", ahost__testing_clock},
    {"limit", ahost__testing_limit},
    {"make_directory", make_directory},
    {"program", ahost__testing_program},
    {"remove_tree", remove_tree},
    {"temporary_directory", temporary_directory},
    {NULL, NULL}};

int ahost__open_testing(lua_State *L) {
    ahost__open_clock(L);
    luaL_newlib(L, functions);
    return 1;
}
