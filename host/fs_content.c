/*
 * fs_content.c - whole files in one go: read, write, copy.
 *
 * What replaces a file is written beside it under another name, made durable,
 * and put in its place by a rename: others see the old contents or the new
 * ones, and nothing is left behind when it does not come to that.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fs_io.h"

static const lua_Integer default_limit = 64 * 1024 * 1024; /* bytes */
static const size_t copy_step = (size_t)4 * 1024 * 1024;

/* ---- read --------------------------------------------------------------- */

/* Room for what comes next: a byte more than the file seems to have, which
 * tells its end, and within the limit. */
static int reserve(ahost__request *r, off_t size) {
    size_t want = 65536;
    if (size >= (off_t)r->data.size && r->data.size == 0)
        want = (size_t)size + 1;
    if (want > r->limit + 1 - r->data.size)
        want = r->limit + 1 - r->data.size;
    if (r->data.capacity > r->data.size)
        return 0;
    return ahost__bytes_reserve(r->fs, &r->data, want);
}

static int read_to_end(ahost__request *r, int fd) {
    int err = S_ISREG(r->info.st_mode) && (size_t)r->info.st_size > r->limit
                  ? AHOST__TOOLONG
                  : 0;
    while (err == 0) {
        ssize_t size;
        err = reserve(r, r->info.st_size);
        if (err != 0)
            break;
        size = ahost__read_some(r, fd, &r->info, r->data.data + r->data.size,
                                r->data.capacity - r->data.size);
        if (size <= 0)
            return (int)size;
        r->data.size += (size_t)size;
        if (r->data.size > r->limit)
            err = AHOST__TOOLONG;
    }
    return err;
}

static int run_read(ahost__request *r) {
    int fd = ahost__open_for(r, r->path, O_RDONLY, 0);
    int err;
    if (fd < 0)
        return fd;
    err = read_to_end(r, fd);
    close(fd);
    return err;
}

static int push_data(lua_State *L, ahost__request *r) {
    lua_pushlstring(L, r->data.data, r->data.size);
    return 1;
}

static int fail_read(lua_State *L, ahost__request *r) {
    const char *op = lua_pushfstring(L, "read %s", r->path);
    if (r->status != AHOST__TOOLONG)
        return ahost__fail(L, r->status, "%s", op);
    return ahost__fail_text(L, "TOOLONG", op,
                            "the file has more than %I bytes (the limit)",
                            (LUAI_UACINT)r->limit);
}

static const ahost__request_type read_type = {.wait = AHOST__REQUEST("read"),
                                              .run = run_read,
                                              .push = push_data,
                                              .fail = fail_read};

/* fs.read(path, [limit]) -> data | nil, err */
static int fs_read(lua_State *L) {
    const char *path = ahost__check_path(L, 1);
    lua_Integer limit = luaL_optinteger(L, 2, default_limit);
    ahost__request *r;
    luaL_argcheck(L, limit >= 0 && limit < LUA_MAXINTEGER / 4, 2,
                  "a limit is a number of bytes, 0 or more");
    r = ahost__request_new(L, &read_type, path, NULL);
    r->limit = (size_t)limit;
    return ahost__request_await(L, r);
}

/* ---- replacing a file --------------------------------------------------- */

enum { MOST_LINKS = 40, RANDOM = 8, NAME_KEPT = 200 };

typedef struct replacement {
    char path[PATH_MAX]; /* of the file, no link */
    char temporary[PATH_MAX];
    int fd;
    struct stat old; /* st_mode is 0 when there is none */
} replacement;

/* The part of a path up to the last slash, with it. */
static size_t directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/* Puts what the link `path` leads to in its place: a code. */
static int follow_link(char *path) {
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof(target));
    size_t kept;
    if (size < 0)
        return -errno;
    kept = size > 0 && target[0] == '/' ? 0 : directory_length(path);
    if (kept + (size_t)size >= PATH_MAX)
        return UV_ENAMETOOLONG;
    memcpy(path + kept, target, (size_t)size);
    path[kept + (size_t)size] = '\0';
    return 0;
}

/* What is replaced: a file, perhaps one that is not there yet. A device or a
 * pipe is not to be replaced by a file. */
static int find_old(replacement *p, const char *path) {
    if (strlen(path) >= PATH_MAX)
        return UV_ENAMETOOLONG;
    strcpy(p->path, path);
    for (int i = 0; i < MOST_LINKS; i++) {
        int err;
        if (lstat(p->path, &p->old) != 0) {
            p->old.st_mode = 0;
            return errno == ENOENT ? 0 : -errno;
        }
        if (!S_ISLNK(p->old.st_mode))
            return S_ISREG(p->old.st_mode)   ? 0
                   : S_ISDIR(p->old.st_mode) ? UV_EISDIR
                                             : UV_EINVAL;
        err = follow_link(p->path);
        if (err != 0)
            return err;
    }
    return UV_ELOOP;
}

/* ".NAME.RANDOM" in the same directory. */
static int name_temporary(replacement *p) {
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    size_t kept = directory_length(p->path);
    unsigned char random[RANDOM];
    char ending[RANDOM + 1] = "";
    int size;
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return UV_EAGAIN;
    for (int i = 0; i < RANDOM; i++)
        ending[i] = digits[random[i] % 32];
    size = snprintf(p->temporary, PATH_MAX, "%.*s.%.*s.%s", (int)kept, p->path,
                    (int)NAME_KEPT, p->path + kept, ending);
    return size >= PATH_MAX ? UV_ENAMETOOLONG : 0;
}

/* The owner is kept where that is allowed; to change it takes bits off the
 * mode. */
static int take_over(const replacement *p, mode_t mode) {
    const struct stat *old = &p->old;
    if (old->st_mode != 0 &&
        (old->st_uid != geteuid() || old->st_gid != getegid()) &&
        fchown(p->fd, old->st_uid, old->st_gid) != 0 && errno != EPERM)
        return -errno;
    return fchmod(p->fd, mode) != 0 ? -errno : 0;
}

/* Opens the new file. `mode` is ALL_BITS for that of the old one, or the usual.
 */
enum { ALL_BITS = 0177777 };

static int begin_replacement(replacement *p, const char *path, mode_t mode) {
    int err = find_old(p, path);
    int usual = mode == ALL_BITS && p->old.st_mode == 0;
    p->fd = -1;
    if (mode == ALL_BITS)
        mode = usual ? 0666 : p->old.st_mode & 07777;
    while (err == 0 && p->fd < 0) {
        err = name_temporary(p);
        if (err != 0)
            return err;
        p->fd = open(p->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                     mode & 0777);
        err = p->fd < 0 && errno != EEXIST ? -errno : 0;
    }
    if (err != 0 || usual)
        return err;
    err = take_over(p, mode);
    if (err == 0)
        return 0;
    unlink(p->temporary);
    return ahost__close_after(p->fd, err);
}

static int sync_directory(const char *path) {
    char directory[PATH_MAX];
    size_t length = directory_length(path);
    int fd;
    memcpy(directory, path, length);
    strcpy(directory + length, ".");
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) /* one that may be written to, but not read */
        return errno == EACCES ? 0 : -errno;
    /* Some file systems have no such thing for directories. */
    return ahost__close_after(fd,
                              fsync(fd) != 0 && errno != EINVAL ? -errno : 0);
}

/* Ends what came to `err`: the new file takes the place of the old, or goes. */
static int end_replacement(replacement *p, const ahost__request *r, int err) {
    if (err == 0 && fsync(p->fd) != 0)
        err = -errno;
    err = ahost__close_after(p->fd, err);
    if (err == 0 && ahost__given_up(r))
        err = UV_ECANCELED;
    if (err == 0 && rename(p->temporary, p->path) != 0)
        err = -errno;
    if (err != 0) {
        unlink(p->temporary);
        return err;
    }
    return sync_directory(p->path);
}

/* ---- write -------------------------------------------------------------- */

enum { PLAIN, APPEND, ATOMIC };

static int write_atomic(ahost__request *r) {
    replacement p;
    int err = begin_replacement(&p, r->path, r->mode);
    if (err != 0)
        return err;
    err = ahost__write_all(r, p.fd, r->data.data, r->data.size);
    return end_replacement(&p, r, err);
}

static int run_write(ahost__request *r) {
    int flags = O_WRONLY | O_CREAT | (r->kind == APPEND ? O_APPEND : O_TRUNC);
    int fd;
    if (r->kind == ATOMIC)
        return write_atomic(r);
    fd = ahost__open_for(r, r->path, flags,
                         r->mode == ALL_BITS ? 0666 : r->mode);
    if (fd < 0)
        return fd;
    return ahost__close_after(
        fd, ahost__write_all(r, fd, r->data.data, r->data.size));
}

static const ahost__request_type write_type = {.wait = AHOST__REQUEST("write"),
                                               .run = run_write};

/* fs.write(path, data, [{atomic=, append=, mode=}]) -> true | nil, err */
static int fs_write(lua_State *L) {
    static const char *const names[] = {"atomic", "append", "mode", NULL};
    const char *path = ahost__check_path(L, 1);
    int atomic, append;
    ahost__request *r;
    ahost__check_options(L, 3, names);
    atomic = ahost__opt_boolean(L, 3, "atomic");
    append = ahost__opt_boolean(L, 3, "append");
    luaL_argcheck(L, !atomic || !append, 3,
                  "a file is replaced (atomic) or appended to (append)");
    r = ahost__request_new(L, &write_type, path, NULL);
    r->kind = atomic ? ATOMIC : append ? APPEND : PLAIN;
    r->mode = ahost__opt_mode(L, 3, "mode", ALL_BITS);
    ahost__collect_data(L, r, 2, 2);
    return ahost__request_await(L, r);
}

/* ---- copy --------------------------------------------------------------- */

/* Between file systems, and from what only looks like a file. */
static int copy_by_reading(ahost__request *r, int from, int to) {
    int err = ahost__bytes_reserve(r->fs, &r->data, 65536);
    while (err == 0) {
        ssize_t size =
            ahost__read_some(r, from, &r->info, r->data.data, r->data.capacity);
        if (size <= 0)
            return (int)size;
        err = ahost__write_all(r, to, r->data.data, (size_t)size);
    }
    return err;
}

static int must_copy_otherwise(int err) {
    return err == EXDEV || err == EINVAL || err == ENOSYS ||
           err == EOPNOTSUPP || err == EPERM;
}

static int copy_contents(ahost__request *r, int from, int to) {
    off_t copied = 0;
    while (!ahost__given_up(r)) {
        ssize_t size = copy_file_range(from, NULL, to, NULL, copy_step, 0);
        if (size > 0)
            copied += size;
        else if (copied == 0 && (size == 0 || must_copy_otherwise(errno)))
            return copy_by_reading(r, from, to);
        else if (size == 0)
            return 0;
        else if (errno != EINTR)
            return -errno;
    }
    return UV_ECANCELED;
}

/* Where there is no file yet. */
static int copy_to_new(ahost__request *r, int from, mode_t mode) {
    int to =
        open(r->target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
    int err;
    if (to < 0)
        return -errno;
    err = copy_contents(r, from, to);
    if (err == 0 && fchmod(to, mode) != 0)
        err = -errno;
    err = ahost__close_after(to, err);
    if (err != 0)
        unlink(r->target);
    return err;
}

static int copy_over(ahost__request *r, int from, mode_t mode) {
    replacement p;
    int err = begin_replacement(&p, r->target, mode);
    if (err != 0)
        return err;
    if (p.old.st_mode != 0 && p.old.st_dev == r->info.st_dev &&
        p.old.st_ino == r->info.st_ino)
        err = UV_EINVAL; /* onto itself */
    else
        err = copy_contents(r, from, p.fd);
    return end_replacement(&p, r, err);
}

static int run_copy(ahost__request *r) {
    int from = ahost__open_for(r, r->path, O_RDONLY, 0);
    mode_t mode;
    int err;
    if (from < 0)
        return from;
    mode = r->mode == ALL_BITS ? r->info.st_mode & 07777 : r->mode;
    err = r->flags ? copy_over(r, from, mode) : copy_to_new(r, from, mode);
    close(from);
    return err;
}

static const ahost__request_type copy_type = {.wait = AHOST__REQUEST("copy"),
                                              .run = run_copy};

/* fs.copy(from, to, [{overwrite=, mode=}]) -> true | nil, err */
static int fs_copy(lua_State *L) {
    static const char *const names[] = {"overwrite", "mode", NULL};
    const char *from = ahost__check_path(L, 1);
    const char *to = ahost__check_path(L, 2);
    ahost__request *r;
    ahost__check_options(L, 3, names);
    r = ahost__request_new(L, &copy_type, from, to);
    r->flags = ahost__opt_boolean(L, 3, "overwrite");
    r->mode = ahost__opt_mode(L, 3, "mode", ALL_BITS);
    return ahost__request_await(L, r);
}

static const luaL_Reg functions[] = {
    {"read", fs_read}, {"write", fs_write}, {"copy", fs_copy}, {NULL, NULL}};

void ahost__open_fs_contents(lua_State *L) {
    luaL_setfuncs(L, functions, 0);
}
