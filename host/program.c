/*
 * program.c - a program that a spec runs to its end, with files for its
 * standard streams.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "host.h"
#include "testing.h"

/* Stack of the waiting function: the arrays of words and of files, cwd. */
enum { WORDS = 1, FILES, CWD };

typedef struct program {
    uv_process_t process;
    ahost *host;
    ahost__wait *wait;
} program;

static void on_closed(uv_handle_t *handle) {
    program *p = ahost__container_of((uv_process_t *)handle, program, process);
    ahost__free(p->host, p, sizeof(*p));
}

static void on_end(uv_process_t *process, int64_t status, int number) {
    program *p = ahost__container_of(process, program, process);
    ahost *h = p->host;
    p->wait->value = number != 0 ? 128 + number : status;
    ahost__settle(p->wait, 0);
    uv_close((uv_handle_t *)process, on_closed);
    ahost__ready_run(h);
}

/* Nobody waits for it any more. It ends at once, and leaves no zombie. */
static void cancel_program(ahost__wait *w) {
    program *p = w->op;
    pid_t pid = p->process.pid;
    kill(pid, SIGKILL);
    uv_close((uv_handle_t *)&p->process, on_closed);
    while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
        continue;
}

static int fail(lua_State *L, int err) {
    lua_rawgeti(L, WORDS, 1);
    return ahost__fail(L, err, "run %s", lua_tostring(L, -1));
}

/* -> status, above 128 for who was killed | nil, err */
static int finish_program(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return fail(L, w->status);
    lua_pushinteger(L, w->value);
    return 1;
}

static const ahost__wait_type program_wait = {"run a program", finish_program,
                                              cancel_program};

/* Pushes the strings of the array at `index` as execve() takes them. They stay
 * in the array. */
static char **push_strings(lua_State *L, int index) {
    lua_Integer count = luaL_len(L, index);
    char **strings =
        lua_newuserdatauv(L, ((size_t)count + 1) * sizeof(char *), 0);
    for (lua_Integer i = 1; i <= count; i++) {
        luaL_argcheck(L, lua_rawgeti(L, index, i) == LUA_TSTRING, index,
                      "an array of strings expected");
        strings[i - 1] = (char *)(uintptr_t)lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    strings[count] = NULL;
    return strings;
}

/* Closes the first `count` descriptors. */
static void close_files(const uv_stdio_container_t *files, int count) {
    for (int i = 0; i < count; i++)
        close(files[i].data.fd);
}

/* Input, output, errors: 0 or a code. */
static int open_files(char **paths, uv_stdio_container_t *files) {
    for (int i = 0; i < 3; i++) {
        int flags = i == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
        int fd = open(paths[i], flags | O_CLOEXEC, 0600), err = -errno;
        if (fd == -1) {
            close_files(files, i);
            return err;
        }
        files[i].flags = UV_INHERIT_FD;
        files[i].data.fd = fd;
    }
    return 0;
}

static int spawn(program *p, char **words, const char *cwd,
                 uv_stdio_container_t *files) {
    uv_process_options_t options = {.exit_cb = on_end,
                                    .file = words[0],
                                    .args = words,
                                    .cwd = cwd,
                                    .stdio = files,
                                    .stdio_count = 3};
    int err = uv_spawn(p->host->loop, &p->process, &options);
    close_files(files, 3);
    return err;
}

/* core.program(words, {input, output, errors}, [cwd]) -> status | nil, err */
int ahost__testing_program(lua_State *L) {
    const char *cwd = luaL_optstring(L, CWD, NULL);
    uv_stdio_container_t files[3];
    char **words, **paths;
    ahost__wait *w;
    program *p;
    int err;
    luaL_checktype(L, WORDS, LUA_TTABLE);
    luaL_checktype(L, FILES, LUA_TTABLE);
    luaL_argcheck(L, luaL_len(L, FILES) == 3, FILES, "3 paths expected");
    lua_settop(L, CWD);
    words = push_strings(L, WORDS);
    paths = push_strings(L, FILES);
    luaL_argcheck(L, words[0] != NULL, WORDS, "a program expected");
    w = ahost__wait_begin(L, &program_wait, NULL);
    p = ahost__alloc(ahost__of(L), sizeof(*p));
    err = p != NULL ? open_files(paths, files) : UV_ENOMEM;
    if (err != 0) {
        ahost__free(ahost__of(L), p, sizeof(*p));
        ahost__settle(w, err);
        return ahost__await(L, w);
    }
    p->host = ahost__of(L);
    p->wait = w;
    w->op = p;
    err = spawn(p, words, cwd, files);
    if (err != 0) {
        ahost__settle(w, err);
        uv_close((uv_handle_t *)&p->process, on_closed);
    }
    return ahost__await(L, w);
}
