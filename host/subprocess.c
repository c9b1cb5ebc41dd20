/*
 * subprocess.c - the life of a child process, from its start to its end.
 *
 * libuv reaps a child when SIGCHLD tells of it, as long as its handle is open;
 * so the handle is never closed before that, whoever has let go of the child.
 *
 * A child that leads a process group may leave others in it when it ends. They
 * are nobody's children, so nothing tells of their end: a timer looks whether
 * the group is still there. Once it has been seen to be gone it never gets a
 * signal again, since its number may come to stand for another.
 */
#include "subprocess.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <string.h>

#include "process.h"

#define CHILD_TYPE "ahost.process.child"

enum {
    SHORT_PAUSE = 10,   /* milliseconds: while a group is to end */
    ENDING_PAUSE = 200, /* the longest of those */
    LONG_PAUSE = 10000, /* while nobody asks */
    LAST_GRACE = 1000   /* after SIGKILL, for the end of the host */
};

enum { LONGEST_GRACE = 30 * 24 * 3600 }; /* seconds from TERM to KILL */

/* ---- SIGCHLD ------------------------------------------------------------ */

static int same_disposition(const struct sigaction *a,
                            const struct sigaction *b) {
    return a->sa_handler == b->sa_handler && a->sa_sigaction == b->sa_sigaction;
}

/* libuv may have installed its handler since `before`. */
static void keep_disposition(ahost *h, const struct sigaction *before) {
    struct sigaction now;
    sigaction(SIGCHLD, NULL, &now);
    if (same_disposition(&now, before))
        return;
    h->children->before = *before;
    h->children->restores = 1;
}

/* With its last child libuv leaves the default disposition behind, whatever the
 * program had. */
static void restore_disposition(ahost *h) {
    struct sigaction now;
    if (!h->children->restores)
        return;
    sigaction(SIGCHLD, NULL, &now);
    if (now.sa_handler != SIG_DFL)
        return;
    sigaction(SIGCHLD, &h->children->before, NULL);
    h->children->restores = 0;
}

/* ---- signals ------------------------------------------------------------ */

/* 0 or a code; UV_ESRCH when nothing is left. */
static int send_signal(ahost__child *c, int number) {
    pid_t pid = c->process.pid;
    if (c->over || (c->ended && !c->group))
        return UV_ESRCH;
    if (kill(c->group ? -pid : pid, number) == 0)
        return 0;
    return -errno;
}

/* ---- the end ------------------------------------------------------------ */

static void free_when_unused(ahost__child *c) {
    if (c->handles == 0 && !c->boxed)
        ahost__free(c->host, c, sizeof(*c));
}

static void on_closed(uv_handle_t *handle) {
    ahost__child *c = handle->data;
    c->handles--;
    free_when_unused(c);
}

static void linger(ahost__child *c, int lingers) {
    c->host->lingering += (size_t)lingers - c->lingers;
    c->lingers = (uint8_t)lingers;
}

static void close_process(ahost__child *c) {
    uv_close((uv_handle_t *)&c->process, on_closed);
    restore_disposition(c->host);
}

/* Neither the child nor anything in its group is left, or is to be looked
 * after. */
static void finish(ahost__child *c) {
    c->over = 1;
    linger(c, 0);
    ahost__disown(&c->owned);
    uv_close((uv_handle_t *)&c->patience, on_closed);
}

static void on_patience(uv_timer_t *timer);

static void look_again(ahost__child *c, unsigned milliseconds) {
    uv_timer_start(&c->patience, on_patience, milliseconds, 0);
}

/* The longer nothing changes, the more seldom. */
static void look_later(ahost__child *c, unsigned longest) {
    look_again(c, c->pause < longest ? c->pause : longest);
    c->pause = c->pause < longest ? c->pause * 2 : longest;
}

/* What has been asked to end: makes it, when its time is up. */
static void insist(ahost__child *c) {
    uint64_t now = uv_now(c->host->loop);
    if (!c->killed && now >= c->deadline) {
        c->killed = 1;
        send_signal(c, SIGKILL);
    }
    if (c->ended)
        look_later(c, ENDING_PAUSE);
    else if (!c->killed)
        look_again(c, (unsigned)(c->deadline - now));
}

/* Its context has ended without it, the kernel does not let it go. */
static void give_up(ahost__child *c) {
    linger(c, 0);
    if (c->ended)
        finish(c);
    else
        uv_unref((uv_handle_t *)&c->process);
}

static void on_patience(uv_timer_t *timer) {
    ahost__child *c = timer->data;
    ahost *h = c->host;
    if (c->ended && !ahost__is_group_running(c->process.pid)) {
        finish(c);
    } else if (c->lingers) {
        give_up(c);
    } else if (c->ending) {
        insist(c);
    } else {
        look_later(c, LONG_PAUSE);
    }
    ahost__ready_run(h);
}

/* What is left of its group is looked after now and then. */
static void watch_group(ahost__child *c) {
    c->pause = SHORT_PAUSE;
    if (!c->lingers)
        look_later(c, LONG_PAUSE);
}

/* The userdata may be collected from now on. */
static void forget_box(ahost__child *c) {
    lua_State *L = c->host->L;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, c);
}

static void on_exit(uv_process_t *process, int64_t status, int number) {
    ahost__child *c = process->data;
    ahost *h = c->host;
    c->ended = 1;
    c->status = number != 0 ? 128 + number : status;
    c->signal = number;
    close_process(c);
    if (c->boxed)
        forget_box(c);
    ahost__settle_all(&c->waiters, 0);
    if (!c->group || !ahost__is_group_running(c->process.pid))
        finish(c);
    else
        watch_group(c);
    ahost__ready_run(h);
}

/* Milliseconds; a month is as good as any more. */
static unsigned grace(const ahost__child *c) {
    double seconds = c->host->stop_timeout;
    if (c->stop_timeout >= 0 && c->stop_timeout < seconds)
        seconds = c->stop_timeout;
    return (unsigned)((seconds < LONGEST_GRACE ? seconds : LONGEST_GRACE) *
                      1e3);
}

/* Asks it to end: TERM now, KILL later. */
static void ask_to_end(ahost__child *c) {
    unsigned milliseconds = grace(c);
    if (c->over || c->ending)
        return;
    c->ending = 1;
    uv_update_time(c->host->loop);
    c->deadline = uv_now(c->host->loop) + milliseconds;
    send_signal(c, SIGTERM);
    send_signal(c, SIGCONT); /* what is stopped would not notice */
    uv_ref((uv_handle_t *)&c->patience);
    c->pause = SHORT_PAUSE;
    look_again(c, c->ended && milliseconds > SHORT_PAUSE ? SHORT_PAUSE
                                                         : milliseconds);
}

static void end_owned(ahost__owned *owned) {
    ask_to_end(ahost__container_of(owned, ahost__child, owned));
}

/* It has had its time. */
static void close_owned(ahost__owned *owned) {
    ahost__child *c = ahost__container_of(owned, ahost__child, owned);
    ask_to_end(c);
    send_signal(c, SIGKILL);
    linger(c, 1);
    look_again(c, LAST_GRACE);
}

static void describe(lua_State *L, ahost__owned *owned) {
    const ahost__child *c =
        ahost__container_of(owned, const ahost__child, owned);
    lua_pushinteger(L, c->process.pid);
    lua_setfield(L, -2, "pid");
}

static const ahost__owned_type owned_child = {
    "process", 0, close_owned, 0, describe, NULL, NULL, end_owned};

/* ---- the start ---------------------------------------------------------- */

ahost__child *ahost__child_push(lua_State *L, int table) {
    ahost__child **box = lua_newuserdatauv(L, sizeof(*box), 1), *c;
    *box = NULL;
    luaL_setmetatable(L, CHILD_TYPE);
    lua_pushvalue(L, table);
    lua_setiuservalue(L, -2, 1);
    c = *box = ahost__alloc(ahost__of(L), sizeof(*c));
    if (c == NULL)
        luaL_error(L, "not enough memory");
    c->boxed = 1;
    c->host = ahost__of(L);
    c->stop_timeout = -1;
    ahost__list_init(&c->waiters);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, c);
    return c;
}

void ahost__child_give_up(ahost__child *c) {
    c->ended = c->over = 1;
    forget_box(c);
    if (c->handles == 0)
        return;
    close_process(c);
    uv_close((uv_handle_t *)&c->patience, on_closed);
}

int ahost__child_start(ahost__child *c, ahost__context *ctx,
                       uv_process_options_t *options) {
    ahost *h = c->host;
    struct sigaction before;
    int err;
    options->exit_cb = on_exit;
    c->handles = 2;
    uv_timer_init(h->loop, &c->patience);
    uv_unref((uv_handle_t *)&c->patience);
    sigaction(SIGCHLD, NULL, &before);
    err = uv_spawn(h->loop, &c->process, options);
    c->process.data = c->patience.data = c;
    keep_disposition(h, &before);
    if (err == 0)
        ahost__own(ctx, &c->owned, &owned_child);
    return err;
}

/* ---- methods ------------------------------------------------------------ */

static ahost__child *check_child(lua_State *L) {
    ahost__child **box = luaL_checkudata(L, 1, CHILD_TYPE);
    luaL_argcheck(L, *box != NULL, 1, "a process that was started expected");
    return *box;
}

/* -> {status=, signal=} */
static int push_end(lua_State *L, const ahost__child *c) {
    const char *name = ahost__signal_name(c->signal);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, c->status);
    lua_setfield(L, -2, "status");
    if (c->signal == 0)
        return 1;
    if (name != NULL)
        lua_pushstring(L, name);
    else
        lua_pushfstring(L, "%d", c->signal);
    lua_setfield(L, -2, "signal");
    return 1;
}

static int finish_wait(lua_State *L, ahost__wait *w) {
    const ahost__child *c = w->op;
    if (w->status != 0)
        return ahost__fail(L, w->status, "wait for process %d", c->process.pid);
    return push_end(L, c);
}

static const ahost__wait_type end_wait = {"wait for a process", finish_wait,
                                          NULL};

static int wait_for_end(lua_State *L, ahost__child *c, double timeout) {
    ahost__wait *w;
    if (c->ended)
        return push_end(L, c);
    w = ahost__wait_begin(L, &end_wait, c);
    ahost__wait_timeout(w, timeout);
    ahost__list_append(&c->waiters, &w->link);
    return ahost__await(L, w);
}

/* child:wait([timeout]) -> {status=, signal=} | nil, err */
static int child_wait(lua_State *L) {
    ahost__child *c = check_child(L);
    return wait_for_end(L, c, ahost__opt_timeout(L, 2));
}

/* child:kill([signal]) -> true | nil, err */
static int child_kill(lua_State *L) {
    ahost__child *c = check_child(L);
    int number =
        lua_isnoneornil(L, 2) ? SIGTERM : ahost__check_signal_number(L, 2);
    int err = send_signal(c, number);
    if (err != 0)
        return ahost__fail(L, err, "kill process %d", c->process.pid);
    lua_pushboolean(L, 1);
    return 1;
}

/* child:close() -> {status=, signal=} */
static int child_close(lua_State *L) {
    ahost__child *c = check_child(L);
    ask_to_end(c);
    return wait_for_end(L, c, -1);
}

/* Upvalue: the methods. */
static int child_index(lua_State *L) {
    luaL_checkudata(L, 1, CHILD_TYPE);
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    if (lua_type(L, 2) == LUA_TSTRING &&
        strcmp(lua_tostring(L, 2), "pid") == 0) {
        lua_pushinteger(L, check_child(L)->process.pid);
        return 1;
    }
    lua_getiuservalue(L, 1, 1);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

static int child_tostring(lua_State *L) {
    const ahost__child *c = check_child(L);
    lua_pushfstring(L, "process %d (%s)", c->process.pid,
                    c->ended ? "ended" : "running");
    return 1;
}

/* While it runs the registry holds it, but for the end of the host. */
static int child_gc(lua_State *L) {
    ahost__child **box = lua_touserdata(L, 1);
    ahost__child *c = *box;
    if (c == NULL)
        return 0;
    *box = NULL;
    c->boxed = 0;
    free_when_unused(c);
    return 0;
}

static const luaL_Reg methods[] = {{"wait", child_wait},
                                   {"kill", child_kill},
                                   {"close", child_close},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{"__gc", child_gc},
                                {"__close", child_close},
                                {"__tostring", child_tostring},
                                {NULL, NULL}};

void ahost__open_child(lua_State *L) {
    ahost *h = ahost__of(L);
    if (!luaL_newmetatable(L, CHILD_TYPE)) {
        lua_pop(L, 1);
        return;
    }
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, child_index, 1);
    lua_setfield(L, -2, "__index");
    h->children = lua_newuserdatauv(L, sizeof(*h->children), 0);
    memset(h->children, 0, sizeof(*h->children));
    lua_setfield(L, -2, "children"); /* keeps it */
    lua_pop(L, 1);
}
