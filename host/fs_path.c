/*
 * fs_path.c - what is done with the names of files: stat, list, mkdir, rename
 * and the like.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs.h"

static int code_of(int result) {
    return result == 0 ? 0 : -errno;
}

/* ---- stat --------------------------------------------------------------- */

static const char *type_name(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "link";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "char";
    case S_IFBLK:
        return "block";
    default:
        return "unknown";
    }
}

static void set_integer(lua_State *L, const char *name, int64_t value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

int ahost__push_stat(lua_State *L, ahost__request *r) {
    const struct stat *info = &r->info;
    lua_createtable(L, 0, 9);
    lua_pushstring(L, type_name(info->st_mode));
    lua_setfield(L, -2, "type");
    lua_pushnumber(L, (double)info->st_mtim.tv_sec +
                          (double)info->st_mtim.tv_nsec / 1e9);
    lua_setfield(L, -2, "mtime");
    set_integer(L, "size", info->st_size);
    set_integer(L, "mode", info->st_mode & 07777);
    set_integer(L, "uid", info->st_uid);
    set_integer(L, "gid", info->st_gid);
    set_integer(L, "inode", (int64_t)info->st_ino);
    set_integer(L, "device", (int64_t)info->st_dev);
    set_integer(L, "links", (int64_t)info->st_nlink);
    return 1;
}

static int run_stat(ahost__request *r) {
    return code_of(stat(r->path, &r->info));
}

static int run_lstat(ahost__request *r) {
    return code_of(lstat(r->path, &r->info));
}

static const ahost__request_type stat_type = {
    .wait = AHOST__REQUEST("stat"), .run = run_stat, .push = ahost__push_stat};
static const ahost__request_type lstat_type = {.wait = AHOST__REQUEST("lstat"),
                                               .run = run_lstat,
                                               .push = ahost__push_stat};

/* fs.stat(path) -> {type=, size=, ...} | nil, err */
static int fs_stat(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    return ahost__request_await(L, ahost__request_new(L, &stat_type, path, 0));
}

/* fs.lstat(path) -> the same of a link itself */
static int fs_lstat(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    return ahost__request_await(L, ahost__request_new(L, &lstat_type, path, 0));
}

/* What is missing, or below what is no directory, does not exist. */
static int run_exists(ahost__request *r) {
    int err = run_stat(r);
    r->kind = err == 0;
    return err == UV_ENOENT || err == UV_ENOTDIR ? 0 : err;
}

static int push_exists(lua_State *L, ahost__request *r) {
    lua_pushboolean(L, r->kind);
    return 1;
}

static const ahost__request_type exists_type = {
    .wait = AHOST__REQUEST("stat"), .run = run_exists, .push = push_exists};

/* fs.exists(path) -> boolean | nil, err */
static int fs_exists(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    return ahost__request_await(L,
                                ahost__request_new(L, &exists_type, path, 0));
}

/* ---- list --------------------------------------------------------------- */

static int kind_of(DIR *directory, const struct dirent *entry) {
    struct stat info;
    if (entry->d_type != DT_UNKNOWN)
        return DTTOIF(entry->d_type) >> 12;
    if (fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) !=
        0)
        return 0;
    return (int)(info.st_mode & S_IFMT) >> 12;
}

/* An entry is its type, a byte, and its name with a zero. */
static int add_entry(ahost__request *r, DIR *directory,
                     const struct dirent *entry) {
    size_t size = strlen(entry->d_name) + 2;
    char *at;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return 0;
    if (ahost__bytes_reserve(r->fs, &r->data, size) != 0)
        return UV_ENOMEM;
    at = r->data.data + r->data.size;
    at[0] = (char)kind_of(directory, entry);
    memcpy(at + 1, entry->d_name, size - 1);
    r->data.size += size;
    r->count++;
    return 0;
}

static int read_entries(ahost__request *r, DIR *directory) {
    const struct dirent *entry;
    int err = 0;
    for (errno = 0; err == 0; errno = 0) {
        entry = readdir(directory);
        if (entry == NULL)
            return -errno;
        err =
            ahost__given_up(r) ? UV_ECANCELED : add_entry(r, directory, entry);
    }
    return err;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a + 1, *(char *const *)b + 1);
}

/* Puts the entries in order. */
static int sort_entries(ahost__request *r) {
    char **entries = malloc((r->count + 1) * sizeof(*entries));
    ahost__bytes sorted = {0};
    char *at = r->data.data;
    if (entries == NULL ||
        ahost__bytes_reserve(r->fs, &sorted, r->data.size) != 0) {
        free(entries);
        return UV_ENOMEM;
    }
    for (size_t i = 0; i < r->count; i++, at += strlen(at + 1) + 2)
        entries[i] = at;
    qsort(entries, r->count, sizeof(*entries), by_name);
    for (size_t i = 0; i < r->count; i++) {
        size_t size = strlen(entries[i] + 1) + 2;
        memcpy(sorted.data + sorted.size, entries[i], size);
        sorted.size += size;
    }
    free(entries);
    ahost__bytes_free(r->fs, &r->data);
    r->data = sorted;
    return 0;
}

static int run_list(ahost__request *r) {
    DIR *directory = opendir(r->path);
    int err;
    if (directory == NULL)
        return -errno;
    err = read_entries(r, directory);
    closedir(directory);
    return err != 0 || r->count == 0 ? err : sort_entries(r);
}

static int push_list(lua_State *L, ahost__request *r) {
    const char *at = r->data.data;
    lua_createtable(L, (int)r->count, 0);
    for (size_t i = 1; i <= r->count; i++, at += strlen(at + 1) + 2) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L, at + 1);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, type_name((mode_t)at[0] << 12));
        lua_setfield(L, -2, "type");
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    return 1;
}

static const ahost__request_type list_type = {
    .wait = AHOST__REQUEST("list"), .run = run_list, .push = push_list};

/* fs.list(path) -> {{name=, type=}, ...} | nil, err */
static int fs_list(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    return ahost__request_await(L, ahost__request_new(L, &list_type, path, 0));
}

/* ---- making and removing ------------------------------------------------ */

static int run_mkdir(ahost__request *r) {
    return r->flags ? ahost__make_directories(r->path, r->mode)
                    : code_of(mkdir(r->path, r->mode));
}

static const ahost__request_type mkdir_type = {.wait = AHOST__REQUEST("mkdir"),
                                               .run = run_mkdir};

/* fs.mkdir(path, [{parents=, mode=}]) -> true | nil, err */
static int fs_mkdir(lua_State *L) {
    static const char *const names[] = {"parents", "mode", NULL};
    const char *path = ahost__check_path(L, 1);
    ahost__request *r;
    ahost__check_options(L, 2, names);
    r = ahost__request_new(L, &mkdir_type, path, NULL);
    r->flags = ahost__opt_boolean(L, 2, "parents");
    r->mode = ahost__opt_mode(L, 2, "mode", 0777);
    return ahost__request_await(L, r);
}

static int run_remove(ahost__request *r) {
    struct stat info;
    if (lstat(r->path, &info) != 0)
        return -errno;
    if (!S_ISDIR(info.st_mode))
        return code_of(unlink(r->path));
    return r->flags ? ahost__remove_tree(r, r->path) : code_of(rmdir(r->path));
}

static const ahost__request_type remove_type = {
    .wait = AHOST__REQUEST("remove"), .run = run_remove};

/* fs.remove(path, [{recursive=}]) -> true | nil, err */
static int fs_remove(lua_State *L) {
    static const char *const names[] = {"recursive", NULL};
    const char *path = ahost__check_path(L, 1);
    ahost__request *r;
    ahost__check_options(L, 2, names);
    r = ahost__request_new(L, &remove_type, path, NULL);
    r->flags = ahost__opt_boolean(L, 2, "recursive");
    return ahost__request_await(L, r);
}

/* ---- two paths ---------------------------------------------------------- */

static int run_rename(ahost__request *r) {
    return code_of(rename(r->path, r->target));
}

static const ahost__request_type rename_type = {
    .wait = AHOST__REQUEST("rename"), .run = run_rename};

/* fs.rename(from, to) -> true | nil, err */
static int fs_rename(lua_State *L) {
    const char *from = ahost__check_path(L, 1);
    const char *to = ahost__check_path(L, 2);
    return ahost__request_await(L,
                                ahost__request_new(L, &rename_type, from, to));
}

static int run_symlink(ahost__request *r) {
    return code_of(symlink(r->target, r->path));
}

static const ahost__request_type symlink_type = {
    .wait = AHOST__REQUEST("symlink"), .run = run_symlink};

/* fs.symlink(target, path) -> true | nil, err */
static int fs_symlink(lua_State *L) {
    const char *target = ahost__check_path(L, 1);
    const char *path = ahost__check_path(L, 2);
    return ahost__request_await(
        L, ahost__request_new(L, &symlink_type, path, target));
}

static int run_readlink(ahost__request *r) {
    ssize_t size = 0;
    do {
        r->data.size = (size_t)size;
        if (ahost__bytes_reserve(r->fs, &r->data, 256) != 0)
            return UV_ENOMEM;
        size = readlink(r->path, r->data.data, r->data.capacity);
        if (size < 0)
            return -errno;
    } while ((size_t)size == r->data.capacity);
    r->data.size = (size_t)size;
    return 0;
}

static int push_data(lua_State *L, ahost__request *r) {
    lua_pushlstring(L, r->data.data, r->data.size);
    return 1;
}

static const ahost__request_type readlink_type = {
    .wait = AHOST__REQUEST("readlink"), .run = run_readlink, .push = push_data};

/* fs.readlink(path) -> target | nil, err */
static int fs_readlink(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    return ahost__request_await(L,
                                ahost__request_new(L, &readlink_type, path, 0));
}

static int run_chmod(ahost__request *r) {
    return code_of(chmod(r->path, r->mode));
}

static const ahost__request_type chmod_type = {.wait = AHOST__REQUEST("chmod"),
                                               .run = run_chmod};

/* fs.chmod(path, mode) -> true | nil, err */
static int fs_chmod(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    mode_t mode = ahost__check_mode(L, 2);
    ahost__request *r = ahost__request_new(L, &chmod_type, path, NULL);
    r->mode = mode;
    return ahost__request_await(L, r);
}

/* ---- temporary files and directories ------------------------------------ */

static int run_temporary(ahost__request *r) {
    int fd;
    if (r->flags)
        return mkdtemp(r->path) != NULL ? 0 : -errno;
    fd = mkostemp(r->path, O_CLOEXEC);
    return fd < 0 ? -errno : ahost__close_after(fd, 0);
}

static int push_path(lua_State *L, ahost__request *r) {
    lua_pushstring(L, r->path);
    return 1;
}

static void undo_temporary(ahost__request *r) {
    if (r->flags)
        rmdir(r->path);
    else
        unlink(r->path);
}

static const ahost__request_type temporary_type = {
    .wait = AHOST__REQUEST("temporary"),
    .run = run_temporary,
    .push = push_path,
    .undo = undo_temporary};

/* fs.make_temporary(path, is_directory) -> path | nil, err; the last six
 * characters are replaced, XXXXXX */
static int fs_make_temporary(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    int is_directory = lua_toboolean(L, 2);
    ahost__request *r = ahost__request_new(L, &temporary_type, path, NULL);
    r->flags = is_directory;
    return ahost__request_await(L, r);
}

static const luaL_Reg functions[] = {{"stat", fs_stat},
                                     {"lstat", fs_lstat},
                                     {"exists", fs_exists},
                                     {"list", fs_list},
                                     {"mkdir", fs_mkdir},
                                     {"remove", fs_remove},
                                     {"rename", fs_rename},
                                     {"symlink", fs_symlink},
                                     {"readlink", fs_readlink},
                                     {"chmod", fs_chmod},
                                     {"make_temporary", fs_make_temporary},
                                     {NULL, NULL}};

void ahost__open_fs_paths(lua_State *L) {
    luaL_setfuncs(L, functions, 0);
}
