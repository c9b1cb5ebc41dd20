/*
 * signal_events.c - waiting for the events of signals, once or in a loop.
 *
 * Both are a watcher: a bounded queue of events that sits in the lists of the
 * signals that it watches. A wait is a watcher for one event. A filter is
 * applied when the event is emitted, so that what it turns down takes no room;
 * what it raises goes to the one who waits.
 */
#include "signals.h"

#include <lauxlib.h>
#include <string.h>

#include "host.h"
#include "mailbox.h"

#define WATCHER_TYPE "ahost.events"

enum { MAX_SIGNALS = 10000 };

/* User values: that of the mailbox, the filter, its error, and the watched
 * signals. */
enum { WATCHER_FILTER = 2, WATCHER_ERROR, WATCHER_SIGNALS, WATCHER_VALUES = 4 };

typedef struct watcher watcher;

typedef struct watch {
    ahost__link link;
    ahost__signal *signal;
    watcher *watcher;
} watch;

struct watcher {
    ahost__owned owned;
    ahost__mailbox mailbox; /* of events */
    uint8_t once;           /* stops after the first event */
    uint8_t filtered;       /* has a filter */
    uint8_t listens;
    uint8_t counted; /* among those who hear the signals: it is not staged */
    uint8_t failed;  /* the filter raised; told to the next who asks */
    int signals;
    watch watches[];
};

static watcher *check_watcher(lua_State *L, int arg) {
    return luaL_checkudata(L, arg, WATCHER_TYPE);
}

/* ---- listening ---------------------------------------------------------- */

/* Takes the watcher out of its signals. */
static void stop(watcher *w) {
    for (int i = 0; i < w->signals; i++) {
        watch *seen = &w->watches[i];
        if (ahost__linked(&seen->link)) {
            ahost__list_remove(&seen->link);
            if (w->counted)
                ahost__signal_leave(seen->signal);
        }
    }
    w->listens = w->counted = 0;
    ahost__disown(&w->owned);
}

static void on_context_end(ahost__owned *owned) {
    watcher *w = ahost__container_of(owned, watcher, owned);
    stop(w);
    ahost__settle_all(&w->mailbox.waiters, AHOST__CLOSED);
}

/* Its generation is the current one: it hears the signals from now on. */
static void count(watcher *w) {
    if (!w->listens || w->counted)
        return;
    w->counted = 1;
    for (int i = 0; i < w->signals; i++)
        if (ahost__linked(&w->watches[i].link))
            ahost__signal_join(w->watches[i].signal);
}

static void activate(ahost__owned *owned) {
    count(ahost__container_of(owned, watcher, owned));
}

static const ahost__owned_type owned_watcher = {"events", 0, on_context_end,
                                                .retire = on_context_end,
                                                .activate = activate};

static int watches(const watcher *w, const ahost__signal *signal) {
    for (int i = 0; i < w->signals; i++)
        if (w->watches[i].signal == signal)
            return 1;
    return 0;
}

static void start(watcher *w, const ahost__context *ctx) {
    for (int i = 0; i < w->signals; i++) {
        watch *seen = &w->watches[i];
        ahost__list_append(&seen->signal->watchers, &seen->link);
    }
    w->listens = 1;
    if (!ctx->staged)
        count(w);
}

/* Pushes a table of the signals: the one at index 1, or those in the table
 * there. Returns their number. */
static int push_signals(lua_State *L) {
    lua_Integer n = 1;
    if (!lua_istable(L, 1)) {
        ahost__check_signal(L, 1);
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, 1);
        lua_rawseti(L, -2, 1);
        return 1;
    }
    n = luaL_len(L, 1);
    luaL_argcheck(L, n > 0 && n <= MAX_SIGNALS, 1, "no or too many signals");
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_geti(L, 1, i) != LUA_TUSERDATA ||
            luaL_testudata(L, -1, "ahost.signal") == NULL)
            return luaL_error(L, "item %d is no signal but a %s", (int)i,
                              luaL_typename(L, -1));
        lua_rawseti(L, -2, i);
    }
    return (int)n;
}

/* Moves a table of n signals from the top into the watcher below it. */
static void set_signals(lua_State *L, watcher *w, int n) {
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        if (!watches(w, lua_touserdata(L, -1))) {
            w->watches[w->signals].watcher = w;
            w->watches[w->signals++].signal = lua_touserdata(L, -1);
        }
        lua_pop(L, 1);
    }
    lua_setiuservalue(L, -2, WATCHER_SIGNALS);
}

/* Pushes a watcher of the signals at index 1 that does not listen yet. */
static watcher *push_watcher(lua_State *L, lua_Integer max) {
    int n = push_signals(L);
    size_t size = sizeof(watcher) + (size_t)n * sizeof(watch);
    watcher *w = lua_newuserdatauv(L, size, WATCHER_VALUES);
    memset(w, 0, size);
    ahost__mailbox_init(L, &w->mailbox, max);
    luaL_setmetatable(L, WATCHER_TYPE);
    lua_insert(L, -2);
    set_signals(L, w, n);
    ahost__push_addresses(L);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, w);
    lua_pop(L, 1);
    return w;
}

/* ---- events ------------------------------------------------------------- */

/* Whether the filter lets the event pass. When it raises, the watcher stops
 * and the next who asks is told. */
static int passes(lua_State *L, watcher *w, int box, int event) {
    int status, yes;
    if (!w->filtered)
        return 1;
    lua_getiuservalue(L, box, WATCHER_FILTER);
    lua_pushvalue(L, event);
    status = lua_pcall(L, 1, 1, 0);
    yes = status == LUA_OK && lua_toboolean(L, -1);
    if (status == LUA_OK || !w->listens) {
        lua_pop(L, 1);
        return yes && w->listens;
    }
    lua_setiuservalue(L, box, WATCHER_ERROR);
    w->failed = 1;
    stop(w);
    ahost__settle_all(&w->mailbox.waiters, 0);
    return 0;
}

static void tell(lua_State *L, int box, int event) {
    watcher *w = lua_touserdata(L, box);
    if (w == NULL || !w->counted || !passes(L, w, box, event))
        return;
    ahost__mailbox_deliver(L, &w->mailbox, box, event);
    if (w->once)
        stop(w);
}

/* The watchers are put on the stack first: a filter may do anything. */
void ahost__signal_tell_watchers(lua_State *L, ahost__signal *signal,
                                 int event) {
    int top = lua_gettop(L), last;
    ahost__link *link;
    ahost__push_addresses(L);
    for (link = signal->watchers.next; link != &signal->watchers;
         link = link->next) {
        luaL_checkstack(L, LUA_MINSTACK, "too many waits for a signal");
        lua_rawgetp(L, top + 1,
                    ahost__container_of(link, watch, link)->watcher);
    }
    last = lua_gettop(L);
    for (int box = top + 2; box <= last; box++)
        tell(L, box, event);
    lua_settop(L, top);
}

void ahost__signal_drop_watchers(ahost__signal *signal) {
    while (ahost__list_shift(&signal->watchers) != NULL)
        continue;
}

/* ---- waiting ------------------------------------------------------------ */

/* What there is without waiting: an event, the filter's error, or the end.
 * Returns the number of results, or -1 when there is reason to wait. */
static int take_now(lua_State *L, watcher *w, int box) {
    if (w->mailbox.count > 0) {
        ahost__mailbox_take(L, &w->mailbox, box);
        return 1;
    }
    if (w->failed) {
        w->failed = 0;
        lua_getiuservalue(L, box, WATCHER_ERROR);
        return lua_error(L);
    }
    return w->listens ? -1 : 0;
}

static int finish_next(lua_State *L, ahost__wait *w) {
    int results;
    if (w->value)
        return 1;
    results = take_now(L, w->op, 1);
    return results > 0 ? results : 0;
}

static const ahost__wait_type next_wait = {"the next event", finish_next, NULL};

/* events(): the next event, or nil when closed */
static int events_next(lua_State *L) {
    watcher *w = check_watcher(L, 1);
    ahost__wait *wait;
    int results = take_now(L, w, 1);
    if (results == 0 || (results > 0 && !ahost__must_yield(L)))
        return results;
    wait = ahost__wait_begin(L, &next_wait, w);
    if (results > 0) {
        wait->value = 1;
        ahost__settle(wait, 0);
    } else {
        ahost__list_append(&w->mailbox.waiters, &wait->link);
    }
    return ahost__await(L, wait);
}

static int finish_wait(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "waiting for a signal");
    return w->value ? 1 : take_now(L, w->op, (int)lua_gettop(L));
}

static void stop_waiting(ahost__wait *w) {
    stop(w->op);
}

static void activate_wait(ahost__wait *w) {
    count(w->op);
}

static const ahost__wait_type once_wait = {
    "a signal", finish_wait, stop_waiting, .activate = activate_wait};

/* The context whose tasks the activation goes through: not that of a scope. */
static const ahost__context *waiting_in(ahost__wait *wait) {
    const ahost__task *task = ahost__wait_task(wait);
    return task->ctx != NULL ? task->ctx : task->current;
}

/* sig:wait([filter,] [timeout]) and signal.wait({sig, ...}, ...)
 * -> event | nil, err */
int ahost__signal_wait(lua_State *L) {
    int filtered = lua_isfunction(L, 2);
    double timeout;
    watcher *w;
    ahost__wait *wait;
    if (lua_isnil(L, 2) && lua_gettop(L) > 2)
        lua_remove(L, 2);
    timeout = ahost__opt_timeout(L, 2 + filtered);
    w = push_watcher(L, 1);
    w->once = 1;
    w->filtered = (uint8_t)filtered;
    if (filtered) {
        lua_pushvalue(L, 2);
        lua_setiuservalue(L, -2, WATCHER_FILTER);
    }
    wait = ahost__wait_begin(L, &once_wait, w);
    start(w, waiting_in(wait));
    ahost__wait_timeout(wait, timeout);
    ahost__list_append(&w->mailbox.waiters, &wait->link);
    return ahost__await(L, wait);
}

/* ---- iterators ---------------------------------------------------------- */

/* Pushes opts[name] of the table at index 2, or nil. */
static void push_option(lua_State *L, const char *name) {
    if (lua_isnoneornil(L, 2))
        lua_pushnil(L);
    else
        lua_getfield(L, 2, name);
}

/* sig:events{filter=, max=} and signal.events({sig, ...}, {...}) -> iterator,
 * nil, nil, and the iterator again as what a loop closes */
int ahost__signal_events(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    lua_Integer max = ahost__mailbox_opt_max(L, 2);
    watcher *w;
    ahost__context_check_open(L, ctx, "events");
    w = push_watcher(L, max);
    push_option(L, "filter");
    w->filtered = !lua_isnil(L, -1);
    if (w->filtered)
        luaL_argcheck(L, lua_isfunction(L, -1), 2, "filter must be a function");
    lua_setiuservalue(L, -2, WATCHER_FILTER);
    start(w, ctx);
    ahost__own(ctx, &w->owned, &owned_watcher);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, -3);
    return 4;
}

/* events:close() */
static int events_close(lua_State *L) {
    watcher *w = check_watcher(L, 1);
    stop(w);
    w->failed = 0;
    ahost__mailbox_clear(L, &w->mailbox, 1);
    ahost__settle_all(&w->mailbox.waiters, AHOST__CLOSED);
    return 0;
}

static int events_gc(lua_State *L) {
    stop(check_watcher(L, 1));
    return 0;
}

/* Methods, and the one field `dropped`. */
static int events_index(lua_State *L) {
    watcher *w = check_watcher(L, 1);
    if (lua_type(L, 2) == LUA_TSTRING &&
        strcmp(lua_tostring(L, 2), "dropped") == 0) {
        lua_pushinteger(L, w->mailbox.dropped);
        return 1;
    }
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static const luaL_Reg methods[] = {{"close", events_close}, {NULL, NULL}};

static const luaL_Reg meta[] = {{"__call", events_next},
                                {"__close", events_close},
                                {"__gc", events_gc},
                                {NULL, NULL}};

void ahost__open_events(lua_State *L) {
    luaL_newmetatable(L, WATCHER_TYPE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, events_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
