/*
 * signal.c - ahost.signal: signals, what they hand to listeners, and emitting.
 */
#include "signals.h"

#include <lauxlib.h>
#include <string.h>

#include "host.h"

#define SIGNAL_TYPE "ahost.signal"

/* User values of a signal: those of its listeners, and the topic. */
enum {
    SIGNAL_TOPIC = AHOST__LISTENERS_VALUES + 1,
    SIGNAL_VALUES = SIGNAL_TOPIC
};

/* Upvalues of the methods: the metatable, the addresses, names of fields. */
enum { UP_META = 1, UP_ADDRESSES, UP_SOURCE, UP_TOPIC, UP_TIME, UPVALUES = 5 };

static const char emit_key;

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

/* ---- listeners ---------------------------------------------------------- */

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

static void on_listeners_changed(ahost__listeners *listeners, int by) {
    ahost__signal *signal =
        ahost__container_of(listeners, ahost__signal, listeners);
    if (by > 0)
        ahost__signal_join(signal);
    else
        ahost__signal_leave(signal);
}

static const ahost__listeners_type signal_listeners = {
    .logger = SIGNAL_TYPE, .changed = on_listeners_changed};

/* sig:connect(fn) -> connection */
static int signal_connect(lua_State *L) {
    ahost__signal *signal = check_self(L);
    ahost__context *ctx = ahost__context_current(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    ahost__context_check_open(L, ctx, "connect");
    lua_settop(L, 2);
    ahost__listeners_prune(L, &signal->listeners);
    if (ahost__push_any_listener(L) == NULL)
        ahost__listeners_add(L, &signal->listeners, ctx);
    return 1;
}

/* sig:disconnect(fn or connection) */
static int signal_disconnect(lua_State *L) {
    ahost__signal *signal = check_self(L);
    ahost__listener *one = ahost__test_listener(L, 2);
    luaL_argexpected(L, one != NULL || lua_isfunction(L, 2), 2,
                     "function or connection");
    lua_settop(L, 2);
    if (one == NULL)
        one = ahost__push_any_listener(L);
    if (one != NULL && one->listeners == &signal->listeners)
        ahost__listener_remove(L, one);
    return 0;
}

/* ---- emitting ----------------------------------------------------------- */

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
    lua_pushnumber(L, ahost__wall(ahost__of(L)));
    lua_rawset(L, 2);
}

/* Emits the event at index 2; with `handles`, appends those of the listeners'
 * tasks to the table at index 3. */
static void emit(lua_State *L, ahost__signal *signal, int handles) {
    ahost__delivery d;
    ahost__delivery_begin(L, &d, &signal->listeners);
    if (handles)
        lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    if (!ahost__list_empty(&signal->watchers))
        ahost__signal_tell_watchers(L, signal, 2);
    ahost__delivery_run(L, &d, 1, handles);
}

/* sig:emit([event]) */
static int signal_emit(lua_State *L) {
    ahost__signal *signal = check_self(L);
    prepare_event(L, signal);
    emit(L, signal, 0);
    return 0;
}

/* sig:emit_wait([event]) -> true | nil, err */
static int signal_emit_wait(lua_State *L) {
    ahost__signal *signal = check_self(L);
    ahost__check_waitable(L, "emit_wait");
    prepare_event(L, signal);
    lua_newtable(L);
    emit(L, signal, 1);
    return ahost__listeners_join(L, "emit_wait");
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
    luaL_setmetatable(L, SIGNAL_TYPE);
    ahost__listeners_init(L, &signal->listeners, &signal_listeners);
    lua_insert(L, -3);
    ahost__push_addresses(L);
    lua_insert(L, -2);
    lua_rawsetp(L, -2, signal);
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
    ahost__listeners_free(&signal->listeners);
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
    lua_pushfstring(L, "%s (%d listeners)", lua_tostring(L, -1),
                    signal->listeners.live);
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

static const luaL_Reg functions[] = {{"new", signal_new},
                                     {"wait", ahost__signal_wait},
                                     {"events", ahost__signal_events},
                                     {NULL, NULL}};

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
    ahost__open_events(L);
}

int ahost__open_signal(lua_State *L) {
    if (luaL_getmetatable(L, SIGNAL_TYPE) == LUA_TNIL) {
        ahost__open_listeners(L);
        open_types(L);
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
