/*
 * bus.c - ahost.bus: publish and subscribe by the names of messages.
 *
 * A bus has a channel for each message that somebody has subscribed to. When
 * the last one has gone, so does the channel: names may be made up on the fly.
 */
#include "bus.h"

#include <lauxlib.h>
#include <string.h>

#include "host.h"

#define BUS_TYPE "ahost.bus"
#define CHANNEL_TYPE "ahost.bus.channel"

/* User values of a bus: channels by their messages, the packed messages that
 * are to be published on the next turn of the loop, and the function that sends
 * what is broadcast, if there is one. */
enum { BUS_CHANNELS = 1, BUS_LATER, BUS_SEND, BUS_VALUES = 3 };

/* User values of a channel, after those of its listeners. */
enum {
    CHANNEL_BUS = AHOST__LISTENERS_VALUES + 1,
    CHANNEL_MESSAGE,
    CHANNEL_VALUES = CHANNEL_MESSAGE
};

typedef struct bus {
    ahost__owned pending; /* by the root context, while messages wait */
    ahost__job job;       /* publishes them */
    lua_Integer first, last;
} bus;

static const char publish_key;

/* ---- channels ----------------------------------------------------------- */

/* The channel at index 1 has no listeners any more. */
static void on_emptied(lua_State *L, ahost__listeners *listeners) {
    ahost__channel *channel =
        ahost__container_of(listeners, ahost__channel, listeners);
    if (!ahost__list_empty(&channel->taps))
        return;
    lua_getiuservalue(L, 1, CHANNEL_BUS);
    lua_getiuservalue(L, -1, BUS_CHANNELS);
    lua_getiuservalue(L, 1, CHANNEL_MESSAGE);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) != LUA_TNIL && lua_touserdata(L, -1) == channel) {
        lua_pop(L, 1);
        lua_pushnil(L);
        lua_rawset(L, -3);
        lua_pop(L, 2);
    } else {
        lua_pop(L, 4);
    }
}

static const ahost__listeners_type bus_listeners = {.logger = BUS_TYPE,
                                                    .skips_removed = 1,
                                                    .labelled = 1,
                                                    .emptied = on_emptied};

/* Pushes a new channel. */
static void push_new_channel(lua_State *L, int bus_index, int message) {
    ahost__channel *channel =
        lua_newuserdatauv(L, sizeof(*channel), CHANNEL_VALUES);
    memset(channel, 0, sizeof(*channel));
    ahost__list_init(&channel->taps);
    ahost__listeners_init(L, &channel->listeners, &bus_listeners);
    luaL_setmetatable(L, CHANNEL_TYPE);
    lua_pushvalue(L, bus_index);
    lua_setiuservalue(L, -2, CHANNEL_BUS);
    lua_pushvalue(L, message);
    lua_setiuservalue(L, -2, CHANNEL_MESSAGE);
}

/* Pushes the channel of a message, or nil and returns NULL. */
static ahost__channel *find_channel(lua_State *L, int bus_index, int message) {
    lua_getiuservalue(L, bus_index, BUS_CHANNELS);
    lua_pushvalue(L, message);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    return lua_touserdata(L, -1);
}

ahost__channel *ahost__push_channel(lua_State *L, int bus_index, int message) {
    if (find_channel(L, bus_index, message) != NULL)
        return lua_touserdata(L, -1);
    lua_pop(L, 1);
    push_new_channel(L, bus_index, message);
    lua_getiuservalue(L, bus_index, BUS_CHANNELS);
    lua_pushvalue(L, message);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    return lua_touserdata(L, -1);
}

static int channel_gc(lua_State *L) {
    ahost__channel *channel = luaL_checkudata(L, 1, CHANNEL_TYPE);
    ahost__listeners_free(&channel->listeners);
    channel->collected = 1;
    return 0;
}

/* ---- subscribing -------------------------------------------------------- */

void ahost__check_bus(lua_State *L, int arg) {
    luaL_checkudata(L, arg, BUS_TYPE);
}

/* The bus at index 1, in methods, where the metatable is an upvalue. */
static bus *check_self(lua_State *L) {
    bus *b = lua_touserdata(L, 1);
    int same;
    if (b == NULL || !lua_getmetatable(L, 1))
        return luaL_checkudata(L, 1, BUS_TYPE);
    same = lua_rawequal(L, -1, lua_upvalueindex(1));
    lua_pop(L, 1);
    return same ? b : luaL_checkudata(L, 1, BUS_TYPE);
}

/* Takes the subscriptions of a channel off whose contexts have ended. */
static void prune(lua_State *L) {
    ahost__channel *channel = find_channel(L, 1, 2);
    if (channel != NULL && !ahost__list_empty(&channel->listeners.ended)) {
        lua_insert(L, 1);
        ahost__listeners_prune(L, &channel->listeners);
        lua_remove(L, 1);
        return;
    }
    lua_pop(L, 1);
}

/* bus:subscribe(message, fn) */
static int bus_subscribe(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    ahost__channel *channel;
    check_self(L);
    luaL_checktype(L, 2, LUA_TSTRING);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    ahost__context_check_open(L, ctx, "subscribe");
    lua_settop(L, 3);
    prune(L);
    channel = ahost__push_channel(L, 1, 2);
    lua_replace(L, 1);
    lua_replace(L, 2);
    if (ahost__push_listener(L, ctx) == NULL)
        ahost__listeners_add(L, &channel->listeners, ctx);
    return 0;
}

/* bus:unsubscribe(message, fn) -> boolean */
static int bus_unsubscribe(lua_State *L) {
    ahost__listener *one;
    check_self(L);
    luaL_checktype(L, 2, LUA_TSTRING);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_settop(L, 3);
    prune(L);
    if (find_channel(L, 1, 2) == NULL) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_replace(L, 1);
    lua_replace(L, 2);
    one = ahost__push_listener(L, ahost__context_current(L));
    if (one == NULL)
        one = ahost__push_any_listener(L);
    if (one != NULL)
        ahost__listener_remove(L, one);
    lua_pushboolean(L, one != NULL);
    return 1;
}

/* ---- publishing --------------------------------------------------------- */

void ahost__pack_message(lua_State *L, int first, int last) {
    int n = last - first + 1;
    lua_createtable(L, n + 1, 0);
    lua_pushinteger(L, n);
    lua_rawseti(L, -2, 1);
    for (int i = 0; i < n; i++) {
        lua_pushvalue(L, first + i);
        lua_rawseti(L, -2, i + 2);
    }
}

int ahost__unpack_message(lua_State *L, int index) {
    int n;
    index = lua_absindex(L, index);
    lua_rawgeti(L, index, 1);
    n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    luaL_checkstack(L, n + LUA_MINSTACK, "too many arguments");
    for (int i = 0; i < n; i++)
        lua_rawgeti(L, index, i + 2);
    return n;
}

/* Replaces the bus at index 1 by the channel of the message at 2. NULL, with
 * nothing changed, when nobody wants it. */
static ahost__channel *find_audience(lua_State *L) {
    luaL_checktype(L, 2, LUA_TSTRING);
    if (find_channel(L, 1, 2) == NULL) {
        lua_pop(L, 1);
        return NULL;
    }
    lua_replace(L, 1);
    return lua_touserdata(L, 1);
}

/* Gives the message to all. Stack: channel, message, arguments; with `handles`
 * then a table to which those of the tasks are appended. */
static void deliver(lua_State *L, ahost__channel *channel, int handles) {
    int last = lua_gettop(L) - handles;
    ahost__delivery d;
    if (!ahost__list_empty(&channel->taps))
        ahost__channel_tell(L, channel, last);
    if (channel->listeners.slots == 0)
        return;
    luaL_checkstack(L, last + LUA_MINSTACK, "too many arguments");
    ahost__delivery_begin(L, &d, &channel->listeners);
    if (handles)
        lua_pushvalue(L, last + 1);
    for (int i = 2; i <= last; i++)
        lua_pushvalue(L, i);
    ahost__delivery_run(L, &d, last - 1, handles);
}

/* bus:publish(message, ...) */
static int bus_publish(lua_State *L) {
    ahost__channel *channel;
    check_self(L);
    channel = find_audience(L);
    if (channel != NULL)
        deliver(L, channel, 0);
    return 0;
}

/* bus:publish_wait(message, ...) -> true | nil, err */
static int bus_publish_wait(lua_State *L) {
    ahost__channel *channel;
    int handles;
    check_self(L);
    ahost__check_waitable(L, "publish_wait");
    channel = find_audience(L);
    lua_newtable(L);
    handles = lua_gettop(L);
    if (channel != NULL)
        deliver(L, channel, 1);
    lua_settop(L, handles);
    return ahost__listeners_join(L, "publish_wait");
}

void ahost__bus_publish(lua_State *L, int index, int arguments) {
    index = lua_absindex(L, index);
    luaL_checkstack(L, 2, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &publish_key);
    lua_pushvalue(L, index);
    lua_rotate(L, -arguments - 2, 2);
    lua_call(L, arguments + 1, 0);
}

/* ---- publishing later --------------------------------------------------- */

/* No messages wait any more. */
static void let_go(lua_State *L, bus *b) {
    ahost__disown(&b->pending);
    b->first = b->last = 0;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, b);
}

/* Takes the oldest message that waits off the list of the bus at index 1 and
 * publishes it. */
static int publish_oldest(lua_State *L) {
    bus *b = lua_touserdata(L, 1);
    int arguments;
    lua_getiuservalue(L, 1, BUS_LATER);
    lua_rawgeti(L, -1, ++b->first);
    lua_pushnil(L);
    lua_rawseti(L, -3, b->first);
    arguments = ahost__unpack_message(L, -1);
    ahost__bus_publish(L, 1, arguments);
    return 0;
}

/* What is published later by those who hear of it waits for another turn. */
static void publish_waiting(lua_State *L, ahost__job *job) {
    bus *b = ahost__container_of(job, bus, job);
    lua_Integer last = b->last;
    lua_rawgetp(L, LUA_REGISTRYINDEX, b);
    while (b->first < last && b->pending.ctx != NULL) {
        lua_pushcfunction(L, publish_oldest);
        lua_pushvalue(L, 1);
        if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
            ahost__log(ahost__of(L), AHOST_LOG_ERROR, BUS_TYPE,
                       "publish_later: %s", lua_tostring(L, -1));
            lua_pop(L, 1);
        }
    }
    if (b->first < b->last && b->pending.ctx != NULL)
        ahost__job_post_next(ahost__of(L), &b->job);
    else
        let_go(L, b);
}

/* The host ends: what waits is never published. */
static void on_root_end(ahost__owned *owned) {
    bus *b = ahost__container_of(owned, bus, pending);
    ahost__job_drop(&b->job);
}

static const ahost__owned_type owned_pending = {"message", 1, on_root_end};

/* bus:publish_later(message, ...) */
static int bus_publish_later(lua_State *L) {
    ahost *h = ahost__of(L);
    int last = lua_gettop(L);
    bus *b = check_self(L);
    luaL_checktype(L, 2, LUA_TSTRING);
    if (h->root->state == AHOST__CONTEXT_CLOSED)
        return 0;
    lua_getiuservalue(L, 1, BUS_LATER);
    ahost__pack_message(L, 2, last);
    lua_pushvalue(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, b);
    lua_rawseti(L, -2, b->last + 1);
    b->last++;
    if (b->pending.ctx == NULL)
        ahost__own(h->root, &b->pending, &owned_pending);
    ahost__job_post_next(h, &b->job);
    return 0;
}

/* ---- broadcasting ------------------------------------------------------- */

/* bus:broadcast(message, ...) -> whether it will be published */
static int bus_broadcast(lua_State *L) {
    int last = lua_gettop(L);
    check_self(L);
    luaL_checktype(L, 2, LUA_TSTRING);
    if (lua_getiuservalue(L, 1, BUS_SEND) == LUA_TNIL) {
        lua_pop(L, 1);
        bus_publish_later(L);
        lua_pushboolean(L, ahost__of(L)->root->state != AHOST__CONTEXT_CLOSED);
        return 1;
    }
    lua_replace(L, 1);
    lua_call(L, last - 1, 1);
    return 1;
}

/* ---- ahost.bus ---------------------------------------------------------- */

void ahost__push_bus(lua_State *L) {
    bus *b = lua_newuserdatauv(L, sizeof(*b), BUS_VALUES);
    memset(b, 0, sizeof(*b));
    b->job.run = publish_waiting;
    luaL_setmetatable(L, BUS_TYPE);
    lua_newtable(L);
    lua_setiuservalue(L, -2, BUS_CHANNELS);
    lua_newtable(L);
    lua_setiuservalue(L, -2, BUS_LATER);
}

/* bus.new([send]) -> bus; send(message, ...) -> boolean is not to wait */
static int bus_new(lua_State *L) {
    if (!lua_isnoneornil(L, 1))
        luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    ahost__push_bus(L);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, BUS_SEND);
    return 1;
}

static int bus_gc(lua_State *L) {
    bus *b = luaL_checkudata(L, 1, BUS_TYPE);
    ahost__job_drop(&b->job);
    ahost__disown(&b->pending);
    return 0;
}

static const luaL_Reg methods[] = {{"subscribe", bus_subscribe},
                                   {"unsubscribe", bus_unsubscribe},
                                   {"publish", bus_publish},
                                   {"publish_wait", bus_publish_wait},
                                   {"publish_later", bus_publish_later},
                                   {"broadcast", bus_broadcast},
                                   {"subscriber", ahost__bus_subscriber},
                                   {NULL, NULL}};

static const luaL_Reg functions[] = {{"new", bus_new}, {NULL, NULL}};

static void open_types(lua_State *L) {
    ahost__open_listeners(L);
    luaL_newmetatable(L, CHANNEL_TYPE);
    lua_pushcfunction(L, channel_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, BUS_TYPE);
    lua_pushcfunction(L, bus_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlibtable(L, methods);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, methods, 1);
    lua_getfield(L, -1, "publish");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &publish_key);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
    ahost__open_subscriber(L);
}

int ahost__open_bus(lua_State *L) {
    if (luaL_getmetatable(L, BUS_TYPE) == LUA_TNIL)
        open_types(L);
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
