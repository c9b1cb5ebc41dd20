/*
 * config_files.c - what configuration needs of the file system: globs, the one
 * name of a file, and files that are replaced as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "modules.h"

#define GLOB_TYPE "ahost.config.glob"

/* A path, which holds no zero byte. */
static const char *check_path(lua_State *L, int arg) {
    size_t size;
    const char *path = luaL_checklstring(L, arg, &size);
    luaL_argcheck(L, strlen(path) == size, arg, "a path without zero bytes");
    return path;
}

/* ---- globs -------------------------------------------------------------- */

static int glob_gc(lua_State *L) {
    globfree(luaL_checkudata(L, 1, GLOB_TYPE));
    return 0;
}

/* A directory that is not there has no files; one that cannot be read is an
 * error, as files would be missed in silence. */
static int is_fatal(const char *directory, int err) {
    (void)directory;
    return err != ENOENT && err != ENOTDIR;
}

/* Collected with the userdata, should an allocation fail. -> its glob_t */
static glob_t *push_glob(lua_State *L) {
    glob_t *found = lua_newuserdatauv(L, sizeof(*found), 0);
    memset(found, 0, sizeof(*found));
    if (luaL_newmetatable(L, GLOB_TYPE)) {
        lua_pushcfunction(L, glob_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return found;
}

static int glob_error(int result) {
    if (result == GLOB_NOSPACE)
        return -ENOMEM;
    return errno != 0 ? -errno : -EIO;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* glob(pattern) -> list of paths in the order of their bytes | nil, err */
static int files_glob(lua_State *L) {
    const char *pattern = check_path(L, 1);
    glob_t *found = push_glob(L);
    int result;
    errno = 0;
    result = glob(pattern, GLOB_NOSORT, is_fatal, found);
    if (result != 0 && result != GLOB_NOMATCH)
        return ahost__fail(L, glob_error(result), "%s", pattern);
    /* Not by glob itself, which would ask the locale. */
    if (found->gl_pathc > 0)
        qsort(found->gl_pathv, found->gl_pathc, sizeof(char *), compare_paths);
    lua_createtable(L, (int)found->gl_pathc, 0);
    for (size_t i = 0; i < found->gl_pathc; i++) {
        lua_pushstring(L, found->gl_pathv[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* ---- paths -------------------------------------------------------------- */

/* realpath(path) -> absolute path without links | nil, err */
static int files_realpath(lua_State *L) {
    const char *path = check_path(L, 1);
    char real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return ahost__fail(L, -errno, "%s", path);
    lua_pushstring(L, real);
    return 1;
}

/* ---- replacing a file --------------------------------------------------- */

static int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

/* Gives the new file what the old one had. To keep the owner is not always
 * allowed; whoever may write the directory has to do with that. */
static int copy_mode(int fd, const char *old) {
    struct stat status;
    if (stat(old, &status) != 0)
        return -errno;
    if (fchown(fd, status.st_uid, status.st_gid) != 0 && errno != EPERM)
        return -errno;
    return fchmod(fd, status.st_mode & 07777) != 0 ? -errno : 0;
}

/* Fills the open file and puts it in the place of the old one. */
static int replace(int fd, const char *temporary, const char *path,
                   const char *data, size_t size) {
    int err = copy_mode(fd, path);
    if (err == 0)
        err = write_all(fd, data, size);
    if (err == 0 && fsync(fd) != 0)
        err = -errno;
    if (close(fd) != 0 && err == 0)
        err = -errno;
    if (err == 0 && rename(temporary, path) != 0)
        err = -errno;
    return err;
}

/* replace(path, data) -> true | nil, err: an existing file, links followed, at
 * once as a whole, with the same mode */
static int files_replace(lua_State *L) {
    const char *path = check_path(L, 1);
    size_t size;
    const char *data = luaL_checklstring(L, 2, &size);
    char real[PATH_MAX], temporary[PATH_MAX + 8];
    int fd, err;
    if (realpath(path, real) == NULL)
        return ahost__fail(L, -errno, "%s", path);
    snprintf(temporary, sizeof(temporary), "%s.XXXXXX", real);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return ahost__fail(L, -errno, "%s", path);
    err = replace(fd, temporary, real, data, size);
    if (err != 0) {
        unlink(temporary);
        return ahost__fail(L, err, "%s", path);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static const luaL_Reg functions[] = {{"glob", files_glob},
                                     {"realpath", files_realpath},
                                     {"replace", files_replace},
                                     {NULL, NULL}};

int ahost__open_config_files(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
