/*
 * subprocess.h - child processes.
 */
#ifndef AHOST_SUBPROCESS_H
#define AHOST_SUBPROCESS_H

#include <signal.h>
#include <uv.h>

#include "host.h"

/*
 * Three parties hold a child: its context until it has ended, libuv until its
 * handles are closed, Lua. While it runs the registry keeps the userdata, and
 * with it the streams: what a script does not hold behaves all the same.
 */
typedef struct ahost__child {
    ahost__owned owned;
    ahost__link waiters; /* for its end */
    ahost *host;
    uv_process_t process;
    uv_timer_t patience; /* real time: it looks after what has to end */
    uint64_t deadline; /* of uv_now(), when what was asked to end is made to */
    double stop_timeout; /* seconds until then; negative: the host's */
    int64_t status;
    int signal;      /* that it died of, or 0 */
    unsigned pause;  /* milliseconds between looks at what is left */
    uint8_t group;   /* leads a process group */
    uint8_t ended;   /* and has been reaped */
    uint8_t ending;  /* has been asked to end */
    uint8_t killed;  /* and then been made to */
    uint8_t over;    /* nothing is left of it or its group */
    uint8_t handles; /* not closed yet */
    uint8_t boxed;   /* Lua holds it */
    uint8_t lingers; /* counted in host->lingering */
} ahost__child;

/* What a host keeps about its children: the disposition of SIGCHLD that libuv
 * has replaced, and will not restore. */
struct ahost__children {
    struct sigaction before; /* what libuv's handler has replaced */
    int restores;            /* `before` is to return */
};

/* ---- the life of a child: subprocess.c ---------------------------------- */

/* Pushes a child that has not been started; its fields but for `pid` are in the
 * table at index `table`. Raises when memory is short. */
ahost__child *ahost__child_push(lua_State *L, int table);

/* Starts it, for the context: 0 or a code. */
int ahost__child_start(ahost__child *c, ahost__context *ctx,
                       uv_process_options_t *options);

/* It has not been started, or that failed. */
void ahost__child_give_up(ahost__child *c);

/* Adds the type, and what is kept about children. */
void ahost__open_child(lua_State *L);

/* ---- descriptors: subprocess_files.c ------------------------------------ */

/* Descriptors above the standard ones that a new program would inherit, which
 * were made not to be: the C library's, Lua's files, those of other code in
 * this process. */
typedef struct ahost__hidden {
    int *fds;
    size_t count, capacity;
} ahost__hidden;

/* 0 or a code, with nothing changed. */
int ahost__hide_descriptors(ahost *h, ahost__hidden *hidden);
void ahost__unhide_descriptors(ahost *h, ahost__hidden *hidden);

/* ---- what a child leaves behind: process_group.c ------------------------- */

/* Whether the group has members that have not ended. */
int ahost__is_group_running(pid_t group);

/* ---- starting: subprocess_spawn.c --------------------------------------- */

/* core.spawn(words, env, cwd, group, uid, gid, stop_timeout, in, out, err) */
int ahost__process_spawn(lua_State *L);

/* core.descriptor(stream or file) -> number | nil, text: what is wrong with it
 */
int ahost__process_descriptor(lua_State *L);

/* core.user(name) -> uid, gid | nil;  core.group(name) -> gid | nil */
int ahost__process_user(lua_State *L);
int ahost__process_group(lua_State *L);

#endif
