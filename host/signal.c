/*
 * signal.c - ahost.signal: listeners, and how events reach them.
 *
 * A signal holds its listeners in a table of connections, in order. An emission
 * goes through the table as it was when it began: whoever changes the list
 * meanwhile changes a copy. When the context of a connection ends, Lua cannot
 * be used; so the connection is marked then and taken out by a job.
 */
#include "signals.h"

#include <lauxlib.h>
#include <string.h>
#include <time.h>

#include "host.h"

#define SIGNAL_TYPE "ahost.signal"
#define CONNECTION_TYPE "ahost.connection"

/* User values of a signal: the list of connections, a table of the same by
 * their functions, and the topic. */
enum { SIGNAL_LIST = 1, SIGNAL_BY_FUNCTION, SIGNAL_TOPIC, SIGNAL_VALUES = 3 };

/* User values of a connection. */
enum { CONNECTION_FUNCTION = 1, CONNECTION_SIGNAL, CONNECTION_VALUES = 2 };

typedef struct connection {
    ahost__owned owned;
    ahost__link link;      /* among the ended ones of the signal */
    ahost__signal *signal; /* NULL once disconnected */
    ahost__context *ctx;   /* where the listener runs; counted */
    int slot;              /* in the signal's list */
} connection;

/* Upvalues of the methods: the metatable, the addresses, names of fields. */
enum { UP_META = 1, UP_ADDRESSES, UP_SOURCE, UP_TOPIC, UP_TIME, UPVALUES = 5 };

static const char addresses_key, emit_key;

void ahost__push_addresses(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &addresses_key);
}

ahost__signal *ahost__check_signal(lua_State *L, int arg) {
    return luaL_checkudata(L, arg, SIGNAL_TYPE);
}

/* The same in methods, where the metatable is at hand. */
static ahost__signal *check_self(lua_State *L) {
    ahost__signal *signal = lua_touserdata(L, 1);
    int same;
    if (signal == NULL || !lua_getmetatable(L, 1))
        return ahost__check_signal(L, 1);
    same = lua_rawequal(L, -1, lua_upvalueindex(UP_META));
    lua_pop(L, 1);
    return same ? signal : ahost__check_signal(L, 1);
}

/* ---- the list of listeners ---------------------------------------------- */

/* Replaces the list of the signal at index 1 by a copy without empty slots. */
static void copy_list(lua_State *L, ahost__signal *signal) {
    int slots = 0;
    lua_getiuservalue(L, 1, SIGNAL_LIST);
    lua_createtable(L, signal->live + 1, 0);
    for (int i = 1; i <= signal->slots; i++) {
        connection *c;
        lua_rawgeti(L, -2, i);
        c = lua_touserdata(L, -1);
        if (c == NULL || c->signal == NULL) {
            lua_pop(L, 1);
            continue;
        }
        c->slot = ++slots;
        lua_rawseti(L, -2, slots);
    }
    lua_setiuservalue(L, 1, SIGNAL_LIST);
    lua_pop(L, 1);
    signal->slots = slots;
    signal->version++;
    signal->shared = 0;
}

/* Pushes the list to be changed. */
static void push_own_list(lua_State *L, ahost__signal *signal) {
    enum { FEW = 16 };
    int sparse = signal->slots > FEW && signal->live < signal->slots / 2;
    if (signal->shared || sparse)
        copy_list(L, signal);
    lua_getiuservalue(L, 1, SIGNAL_LIST);
}

void ahost__signal_join(ahost__signal *signal) {
    if (signal->audience++ == 0 && signal->heard_changed != NULL)
        signal->heard_changed(signal->heard_data, 1);
}

void ahost__signal_leave(ahost__signal *signal) {
    if (--signal->audience == 0 && signal->heard_changed != NULL)
        signal->heard_changed(signal->heard_data, 0);
}

int ahost__signal_heard(const ahost__signal *signal) {
    return signal->audience > 0;
}

/* Takes a connection off the signal at index 1. */
static void remove_connection(lua_State *L, connection *c) {
    ahost__signal *signal = c->signal;
    if (signal == NULL)
        return;
    push_own_list(L, signal);
    lua_rawgeti(L, -1, c->slot);
    lua_getiuservalue(L, 1, SIGNAL_BY_FUNCTION);
    lua_getiuservalue(L, -2, CONNECTION_FUNCTION);
    lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 2);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, c->slot);
    lua_pop(L, 1);
    c->signal = NULL;
    signal->live--;
    if (ahost__linked(&c->link)) {
        ahost__list_remove(&c->link); /* its context has ended before */
    } else {
        ahost__disown(&c->owned);
        ahost__signal_leave(signal);
    }
}

/* Takes off the connections whose contexts have ended. */
static void prune(lua_State *L, ahost__signal *signal) {
    while (!ahost__list_empty(&signal->ended))
        remove_connection(
            L, ahost__container_of(signal->ended.next, connection, link));
}

static void run_prune(lua_State *L, ahost__job *job) {
    ahost__signal *signal = ahost__container_of(job, ahost__signal, prune_job);
    ahost__push_addresses(L);
    if (lua_rawgetp(L, -1, job) == LUA_TNIL)
        return;
    lua_insert(L, 1);
    prune(L, signal);
}

static void on_context_end(ahost__owned *owned) {
    connection *c = ahost__container_of(owned, connection, owned);
    ahost__list_append(&c->signal->ended, &c->link);
    ahost__job_post(c->ctx->host, &c->signal->prune_job);
    ahost__signal_leave(c->signal);
}

static const ahost__owned_type owned_connection = {"connection", 0,
                                                   on_context_end};

/* Appends the connection on the top to the list of the signal at index 1. */
static void append(lua_State *L, ahost__signal *signal, connection *c) {
    int top = lua_gettop(L);
    push_own_list(L, signal);
    lua_pushvalue(L, top);
    lua_rawseti(L, -2, signal->slots + 1);
    lua_getiuservalue(L, 1, SIGNAL_BY_FUNCTION);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, top);
    lua_rawset(L, -3);
    lua_settop(L, top);
    c->slot = ++signal->slots;
    c->signal = signal;
    signal->live++;
    ahost__own(c->ctx, &c->owned, &owned_connection);
    ahost__signal_join(signal);
}

/* Pushes the connection of the function at index 2, or nil. */
static int push_connection(lua_State *L) {
    lua_getiuservalue(L, 1, SIGNAL_BY_FUNCTION);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    return !lua_isnil(L, -1);
}

static connection *push_new_connection(lua_State *L, ahost__context *ctx) {
    connection *c = lua_newuserdatauv(L, sizeof(*c), CONNECTION_VALUES);
    memset(c, 0, sizeof(*c));
    c->ctx = ctx;
    ahost__context_ref(ctx);
    luaL_setmetatable(L, CONNECTION_TYPE);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, CONNECTION_FUNCTION);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, CONNECTION_SIGNAL);
    return c;
}

/* sig:connect(fn) -> connection */
static int signal_connect(lua_State *L) {
    ahost__signal *signal = check_self(L);
    ahost__context *ctx = ahost__context_current(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    ahost__context_check_open(L, ctx, "connect");
    lua_settop(L, 2);
    prune(L, signal);
    if (push_connection(L))
        return 1;
    append(L, signal, push_new_connection(L, ctx));
    return 1;
}

/* sig:disconnect(fn or connection) */
static int signal_disconnect(lua_State *L) {
    ahost__signal *signal = check_self(L);
    connection *c = luaL_testudata(L, 2, CONNECTION_TYPE);
    luaL_argexpected(L, c != NULL || lua_isfunction(L, 2), 2,
                     "function or connection");
    lua_settop(L, 2);
    if (c == NULL && push_connection(L))
        c = lua_touserdata(L, -1);
    if (c != NULL && c->signal == signal)
        remove_connection(L, c);
    return 0;
}

/* connection:close() */
static int connection_close(lua_State *L) {
    connection *c = luaL_checkudata(L, 1, CONNECTION_TYPE);
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, CONNECTION_SIGNAL);
    lua_replace(L, 1);
    remove_connection(L, c);
    return 0;
}

static int connection_gc(lua_State *L) {
    connection *c = luaL_checkudata(L, 1, CONNECTION_TYPE);
    ahost__list_remove(&c->link);
    ahost__disown(&c->owned);
    ahost__context_unref(c->ctx);
    c->ctx = NULL;
    return 0;
}

/* ---- emitting ----------------------------------------------------------- */

typedef struct emission {
    ahost__series series;
    int slot, slots;
} emission;

static ahost__context *next_listener(lua_State *L, ahost__series *series,
                                     int at) {
    emission *e = ahost__container_of(series, emission, series);
    while (e->slot < e->slots) {
        if (lua_rawgeti(L, at, ++e->slot) == LUA_TUSERDATA) {
            connection *c = lua_touserdata(L, -1);
            if (c->ctx->state != AHOST__CONTEXT_CLOSED) {
                lua_getiuservalue(L, -1, CONNECTION_FUNCTION);
                lua_replace(L, -2);
                return c->ctx;
            }
        }
        lua_pop(L, 1);
    }
    return NULL;
}

static lua_Number wall_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9;
}

/* Leaves the signal and its event, with its fields, at 1 and 2. */
static void prepare_event(lua_State *L, ahost__signal *signal) {
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_createtable(L, 0, 3);
        lua_replace(L, 2);
    } else {
        luaL_checktype(L, 2, LUA_TTABLE);
    }
    lua_pushvalue(L, lua_upvalueindex(UP_SOURCE));
    lua_rawgetp(L, lua_upvalueindex(UP_ADDRESSES), signal);
    lua_rawset(L, 2);
    lua_pushvalue(L, lua_upvalueindex(UP_TOPIC));
    lua_getiuservalue(L, 1, SIGNAL_TOPIC);
    lua_rawset(L, 2);
    lua_pushvalue(L, lua_upvalueindex(UP_TIME));
    lua_pushnumber(L, wall_time());
    lua_rawset(L, 2);
}

/* Stack at `at`: the list, a table of handles, the event. */
static void keep_handle(lua_State *L, ahost__series *series, int at,
                        ahost__task *task) {
    (void)series;
    ahost__push_task(L, task);
    lua_rawseti(L, at + 1, (lua_Integer)lua_rawlen(L, at + 1) + 1);
}

/* Emits the event at index 2; with `handles`, appends those of the listeners'
 * tasks to the table at index 3. */
static void emit(lua_State *L, ahost__signal *signal, int handles) {
    emission e = {.series = {.values = 2 + handles,
                             .arguments = 1,
                             .logger = SIGNAL_TYPE,
                             .next = next_listener,
                             .started = handles ? keep_handle : NULL},
                  .slots = signal->slots};
    uint32_t version = signal->version;
    uint8_t shared = signal->shared;
    lua_getiuservalue(L, 1, SIGNAL_LIST);
    if (handles)
        lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    signal->shared = 1;
    if (!ahost__list_empty(&signal->watchers))
        ahost__signal_tell_watchers(L, signal, 2);
    if (e.slots > 0)
        ahost__run_series(L, &e.series);
    if (signal->version == version)
        signal->shared = shared;
}

/* sig:emit([event]) */
static int signal_emit(lua_State *L) {
    ahost__signal *signal = check_self(L);
    prepare_event(L, signal);
    emit(L, signal, 0);
    return 0;
}

/* Places on the stack of emit_wait. */
enum { HANDLES = 3, ERRORS, HANDLE };

/* Keeps the error of the joined task, if it has one. Stack: handle, results. */
static void keep_error(lua_State *L) {
    if (ahost__task_handle_state(L, HANDLE) != AHOST__TASK_DONE) {
        if (lua_isnil(L, ERRORS)) {
            lua_createtable(L, 1, 0);
            lua_replace(L, ERRORS);
        }
        lua_rawseti(L, ERRORS, (lua_Integer)lua_rawlen(L, ERRORS) + 1);
    }
    lua_settop(L, ERRORS);
}

/* -> true | nil, err */
static int push_verdict(lua_State *L) {
    int count = lua_isnil(L, ERRORS) ? 0 : (int)lua_rawlen(L, ERRORS);
    if (count == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    ahost__fail_text(L, "FAILED", "emit_wait", "%d listener%s failed", count,
                     count > 1 ? "s" : "");
    lua_pushvalue(L, ERRORS);
    lua_setfield(L, -2, "errors");
    return 2;
}

static int joined(lua_State *L, int status, lua_KContext i);

/* Joins the tasks from number `i` on. */
static int join_on(lua_State *L, lua_KContext i) {
    while (lua_rawgeti(L, HANDLES, (lua_Integer)i) != LUA_TNIL) {
        lua_pushcfunction(L, ahost__task_join);
        lua_pushvalue(L, HANDLE);
        lua_callk(L, 1, LUA_MULTRET, ++i, joined);
        keep_error(L);
    }
    return push_verdict(L);
}

static int joined(lua_State *L, int status, lua_KContext i) {
    (void)status;
    keep_error(L);
    return join_on(L, i);
}

/* sig:emit_wait([event]) -> true | nil, err */
static int signal_emit_wait(lua_State *L) {
    ahost__signal *signal = check_self(L);
    if (ahost__of(L)->current == NULL || !lua_isyieldable(L))
        return luaL_error(L, "emit_wait: waiting is not possible here");
    prepare_event(L, signal);
    lua_newtable(L);
    emit(L, signal, 1);
    lua_settop(L, HANDLES);
    lua_pushnil(L);
    return join_on(L, 1);
}

void ahost__signal_emit(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &emit_key);
    lua_insert(L, -2);
    lua_pushvalue(L, index);
    lua_insert(L, -2);
    lua_call(L, 2, 0);
}

/* ---- ahost.signal ------------------------------------------------------- */

ahost__signal *ahost__push_signal(lua_State *L) {
    ahost__signal *signal =
        lua_newuserdatauv(L, sizeof(*signal), SIGNAL_VALUES);
    memset(signal, 0, sizeof(*signal));
    ahost__list_init(&signal->watchers);
    ahost__list_init(&signal->ended);
    signal->prune_job.run = run_prune;
    luaL_setmetatable(L, SIGNAL_TYPE);
    lua_newtable(L);
    lua_setiuservalue(L, -2, SIGNAL_LIST);
    lua_newtable(L);
    lua_setiuservalue(L, -2, SIGNAL_BY_FUNCTION);
    lua_insert(L, -3);
    ahost__push_addresses(L);
    lua_insert(L, -2);
    lua_rawsetp(L, -2, signal);
    lua_pushvalue(L, -3);
    lua_rawsetp(L, -2, &signal->prune_job);
    lua_pop(L, 1);
    lua_setiuservalue(L, -2, SIGNAL_TOPIC);
    return signal;
}

/* signal.new([topic,] [source]) -> sig */
static int signal_new(lua_State *L) {
    if (lua_gettop(L) == 1 && lua_type(L, 1) != LUA_TSTRING) {
        lua_pushnil(L);
        lua_insert(L, 1);
    }
    lua_settop(L, 2);
    if (!lua_isnil(L, 1))
        luaL_checktype(L, 1, LUA_TSTRING);
    ahost__push_signal(L);
    return 1;
}

static int signal_gc(lua_State *L) {
    ahost__signal *signal = ahost__check_signal(L, 1);
    ahost__signal_drop_watchers(signal);
    ahost__job_drop(&signal->prune_job);
    ahost__push_addresses(L);
    lua_pushnil(L); /* the source may be a value that is never collected */
    lua_rawsetp(L, -2, signal);
    return 0;
}

static int signal_tostring(lua_State *L) {
    ahost__signal *signal = ahost__check_signal(L, 1);
    lua_getiuservalue(L, 1, SIGNAL_TOPIC);
    lua_pushfstring(L, "signal: %s",
                    lua_isnil(L, -1) ? "(no topic)" : lua_tostring(L, -1));
    lua_pushfstring(L, "%s (%d listeners)", lua_tostring(L, -1), signal->live);
    return 1;
}

static const luaL_Reg methods[] = {{"connect", signal_connect},
                                   {"disconnect", signal_disconnect},
                                   {"emit", signal_emit},
                                   {"emit_wait", signal_emit_wait},
                                   {"wait", ahost__signal_wait},
                                   {"events", ahost__signal_events},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__gc", signal_gc}, {"__tostring", signal_tostring}, {NULL, NULL}};

static const luaL_Reg connection_methods[] = {{"close", connection_close},
                                              {NULL, NULL}};

static const luaL_Reg connection_meta[] = {
    {"__gc", connection_gc}, {"__close", connection_close}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"new", signal_new},
                                     {"wait", ahost__signal_wait},
                                     {"events", ahost__signal_events},
                                     {NULL, NULL}};

static void open_addresses(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &addresses_key);
}

/* Stack: the metatable of signals. */
static void open_methods(lua_State *L) {
    luaL_newlibtable(L, methods);
    lua_pushvalue(L, -2);
    ahost__push_addresses(L);
    lua_pushliteral(L, "source");
    lua_pushliteral(L, "topic");
    lua_pushliteral(L, "time");
    luaL_setfuncs(L, methods, UPVALUES);
    lua_getfield(L, -1, "emit");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &emit_key);
    lua_setfield(L, -2, "__index");
}

static void open_types(lua_State *L) {
    luaL_newmetatable(L, SIGNAL_TYPE);
    luaL_setfuncs(L, meta, 0);
    open_methods(L);
    lua_pop(L, 1);
    luaL_newmetatable(L, CONNECTION_TYPE);
    luaL_setfuncs(L, connection_meta, 0);
    luaL_newlib(L, connection_methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    ahost__open_events(L);
}

int ahost__open_signal(lua_State *L) {
    if (luaL_getmetatable(L, SIGNAL_TYPE) == LUA_TNIL) {
        open_addresses(L);
        open_types(L);
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
