/*
 * subprocess_spawn.c - core.spawn: the start of a child process, and what its
 * standard descriptors are.
 *
 * Pipes are pipes: a child whose standard streams are sockets cannot open
 * /dev/stdout, and shells take it for one of a remote login.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <lauxlib.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_stream.h"
#include "process.h"
#include "subprocess.h"

/* Arguments of core.spawn, and what it puts above them. */
enum {
    WORDS = 1,
    ENVIRONMENT,
    CWD,
    GROUP,
    UID,
    GID,
    STOP_TIMEOUT,
    STDIN,
    STDOUT,
    STDERR,
    FIELDS
};

/* One of the child's standard descriptors. */
typedef struct end {
    int fd;                /* what it will be; -1: /dev/null */
    uint8_t opened;        /* for it: to be closed */
    uint8_t joined;        /* it is that of stdout */
    ahost__stream *stream; /* on our end of a pipe, or NULL */
    ahost__stream **box;   /* that is for it, or NULL */
    ahost__stream *given;  /* a stream that is the child's from then on */
} end;

/* ---- streams and files of ours ------------------------------------------ */

/* The descriptor of a stream that can be given away, or -1 with what is wrong
 * with it. */
static int stream_descriptor(ahost__stream *s, const char **problem) {
    uv_os_fd_t fd = ahost__standard_number(s);
    if (s->closing || s->releasing)
        *problem = "the stream is closed";
    else if (fd >= 0)
        return fd;
    else if (s->in_size > 0)
        *problem = "the stream has been read from, and bytes that nobody has "
                   "taken would be lost";
    else if (s->reader != NULL)
        *problem = "a task reads from the stream";
    else if (s->queued > 0)
        *problem = "not everything written to the stream has been sent; "
                   "flush() it first";
    else if (s->transport == &ahost__file_transport)
        return ahost__container_of(s, ahost__file_stream, stream)->fd;
    else if ((s->transport == &ahost__uv_transport ||
              s->transport == &ahost__pipe_transport) &&
             uv_fileno(&s->uv.handle, &fd) == 0)
        return fd;
    else
        *problem = "the stream is not on a descriptor of its own";
    return -1;
}

static ahost__stream *test_stream(lua_State *L, int arg) {
    const void *meta;
    if (!lua_getmetatable(L, arg))
        return NULL;
    meta = lua_topointer(L, -1);
    lua_pop(L, 1);
    if (meta != ahost__of(L)->stream_meta &&
        meta != ahost__of(L)->timed_stream_meta)
        return NULL;
    return ahost__check_stream(L, arg);
}

/* What has been written to a file of Lua goes first. */
static int file_descriptor(const luaL_Stream *file, const char **problem) {
    if (file->closef == NULL) {
        *problem = "the file is closed";
        return -1;
    }
    fflush(file->f);
    return fileno(file->f);
}

static int descriptor_of(lua_State *L, int arg, ahost__stream **given,
                         const char **problem) {
    const luaL_Stream *file = luaL_testudata(L, arg, LUA_FILEHANDLE);
    *given = file == NULL ? test_stream(L, arg) : NULL;
    if (file != NULL)
        return file_descriptor(file, problem);
    if (*given != NULL)
        return stream_descriptor(*given, problem);
    *problem = "a stream or a file expected";
    return -1;
}

int ahost__process_descriptor(lua_State *L) {
    const char *problem = NULL;
    ahost__stream *given;
    int fd = descriptor_of(L, 1, &given, &problem);
    if (fd >= 0) {
        lua_pushinteger(L, fd);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, problem);
    return 2;
}

/* ---- users and groups --------------------------------------------------- */

int ahost__process_user(lua_State *L) {
    const struct passwd *entry = lua_type(L, 1) == LUA_TNUMBER
                                     ? getpwuid((uid_t)luaL_checkinteger(L, 1))
                                     : getpwnam(luaL_checkstring(L, 1));
    if (entry == NULL)
        return 0;
    lua_pushinteger(L, entry->pw_uid);
    lua_pushinteger(L, entry->pw_gid);
    return 2;
}

int ahost__process_group(lua_State *L) {
    const struct group *entry = getgrnam(luaL_checkstring(L, 1));
    if (entry == NULL)
        return 0;
    lua_pushinteger(L, entry->gr_gid);
    return 1;
}

/* ---- standard descriptors ----------------------------------------------- */

/* What the argument stands for; pushes the box of a pipe's stream into the
 * fields. May raise: nothing is opened yet. */
static void read_end(lua_State *L, int arg, end *e, end *ends) {
    static const char *const fields[] = {"stdin", "stdout", "stderr"};
    static const char *const choices[] = {"pipe", "inherit", "null", "stdout",
                                          NULL};
    const char *problem = NULL;
    *e = (end){.fd = -1};
    if (lua_type(L, arg) != LUA_TSTRING) {
        e->fd = descriptor_of(L, arg, &e->given, &problem);
        if (e->fd < 0)
            luaL_argerror(L, arg, problem);
        return;
    }
    switch (luaL_checkoption(L, arg, NULL, choices)) {
    case 0:
        e->box = ahost__stream_push_box(L);
        lua_setfield(L, FIELDS, fields[e - ends]);
        break;
    case 1:
        e->fd = (int)(e - ends);
        break;
    case 3:
        luaL_argcheck(L, arg == STDERR, arg, "only stderr can go to stdout");
        e->joined = 1;
        break;
    default:
        break;
    }
}

/* A pipe for the child and for us: 0 or a code. */
static int open_pipe(ahost *h, end *e, int is_input) {
    int fds[2], err;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    e->fd = fds[!is_input];
    e->opened = 1;
    e->stream = ahost__uv_stream_open(h, UV_NAMED_PIPE, fds[is_input], &err);
    if (e->stream == NULL)
        return err;
    e->stream->transport = &ahost__pipe_transport;
    return 0;
}

static int open_ends(ahost *h, end *ends) {
    int err = 0;
    for (int i = 0; i < 3 && err == 0; i++)
        if (ends[i].box != NULL)
            err = open_pipe(h, &ends[i], i == 0);
    if (ends[2].joined)
        ends[2].fd = ends[1].fd;
    return err;
}

static void close_child_ends(end *ends) {
    for (int i = 0; i < 3; i++)
        if (ends[i].opened)
            close(ends[i].fd);
}

/* The child has not been started: nothing of it remains. It may have made what
 * it was given blocking, which is shared. */
static void drop_ends(end *ends) {
    for (int i = 0; i < 3; i++) {
        const end *e = &ends[i];
        if (e->stream != NULL)
            ahost__stream_release(e->stream, 0);
        if (e->given != NULL && ahost__standard_number(e->given) < 0)
            fcntl(e->fd, F_SETFL, fcntl(e->fd, F_GETFL) | O_NONBLOCK);
    }
}

/* The child runs: the pipes are the script's, what was given is not ours any
 * more. */
static void keep_ends(end *ends, ahost__context *ctx) {
    for (int i = 0; i < 3; i++) {
        const end *e = &ends[i];
        if (e->stream != NULL) {
            ahost__stream_set_box(e->box, e->stream);
            ahost__stream_own(e->stream, ctx);
        }
        if (e->given != NULL && ahost__standard_number(e->given) < 0)
            ahost__stream_release(e->given, 0);
    }
}

/* ---- core.spawn --------------------------------------------------------- */

/* Pushes the strings of the array at `index` as execve() takes them; NULL for
 * nil. They stay in the array. */
static char **push_strings(lua_State *L, int index) {
    lua_Integer count;
    char **strings;
    if (lua_isnil(L, index))
        return NULL;
    luaL_checktype(L, index, LUA_TTABLE);
    count = luaL_len(L, index);
    strings = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof(char *), 0);
    for (lua_Integer i = 1; i <= count; i++) {
        luaL_argcheck(L, lua_rawgeti(L, index, i) == LUA_TSTRING, index,
                      "an array of strings expected");
        strings[i - 1] = (char *)(uintptr_t)lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    strings[count] = NULL;
    return strings;
}

static int has_directory(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) &&
           access(path, X_OK) == 0;
}

/* -> nil, err. The code alone does not tell what is missing or refused. */
static int fail(lua_State *L, int err) {
    const char *cwd = lua_tostring(L, CWD), *program;
    lua_rawgeti(L, WORDS, 1);
    program = lua_tostring(L, -1);
    if (cwd != NULL && !has_directory(cwd))
        return ahost__fail(L, err, "spawn %s in directory %s", program, cwd);
    if (err == UV_EPERM && !lua_isnil(L, UID))
        return ahost__fail(L, err, "spawn %s as user %d", program,
                           (int)lua_tointeger(L, UID));
    if (err == UV_EPERM && !lua_isnil(L, GID))
        return ahost__fail(L, err, "spawn %s in group %d", program,
                           (int)lua_tointeger(L, GID));
    return ahost__fail(L, err, "spawn %s", program);
}

static void read_identity(lua_State *L, uv_process_options_t *options) {
    if (!lua_isnil(L, UID)) {
        options->flags |= UV_PROCESS_SETUID;
        options->uid = (uv_uid_t)luaL_checkinteger(L, UID);
    }
    if (!lua_isnil(L, GID)) {
        options->flags |= UV_PROCESS_SETGID;
        options->gid = (uv_gid_t)luaL_checkinteger(L, GID);
    }
}

/* Opens what the child needs and starts it: 0 or a code. Does not raise. */
static int start(ahost__child *c, ahost__context *ctx, end *ends,
                 uv_process_options_t *options) {
    uv_stdio_container_t stdio[3];
    ahost__hidden hidden;
    int err = open_ends(c->host, ends);
    for (int i = 0; i < 3; i++) {
        stdio[i].flags = ends[i].fd >= 0 ? UV_INHERIT_FD : UV_IGNORE;
        stdio[i].data.fd = ends[i].fd;
    }
    options->stdio = stdio;
    options->stdio_count = 3;
    if (err == 0)
        err = ahost__hide_descriptors(c->host, &hidden);
    if (err == 0) {
        err = ahost__child_start(c, ctx, options);
        ahost__unhide_descriptors(c->host, &hidden);
    }
    close_child_ends(ends);
    return err;
}

/* core.spawn(words, env, cwd, group, uid, gid, stop_timeout, in, out, err)
 * -> child | nil, err */
int ahost__process_spawn(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    uv_process_options_t options = {0};
    end ends[3];
    ahost__child *c;
    int err;
    ahost__context_check_open(L, ctx, "process.spawn");
    luaL_checktype(L, WORDS, LUA_TTABLE);
    lua_settop(L, STDERR);
    lua_createtable(L, 0, 3);
    for (int i = 0; i < 3; i++)
        read_end(L, STDIN + i, &ends[i], ends);
    options.args = push_strings(L, WORDS);
    options.file = options.args[0];
    luaL_argcheck(L, options.file != NULL, WORDS, "a program expected");
    options.env = push_strings(L, ENVIRONMENT);
    options.cwd = lua_tostring(L, CWD);
    options.flags = lua_toboolean(L, GROUP) ? UV_PROCESS_DETACHED : 0;
    read_identity(L, &options);
    c = ahost__child_push(L, FIELDS);
    c->group = (uint8_t)lua_toboolean(L, GROUP);
    c->stop_timeout = luaL_optnumber(L, STOP_TIMEOUT, -1);
    err = start(c, ctx, ends, &options);
    if (err == 0) {
        keep_ends(ends, ctx);
        return 1;
    }
    drop_ends(ends);
    ahost__child_give_up(c);
    return fail(L, err);
}
