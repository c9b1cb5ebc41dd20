/*
 * bus_subscriber.c - messages of buses in a bounded queue, for tasks that take
 * them one after the other.
 *
 * A subscriber sits in each of its channels with a tap. Channels do not keep it
 * alive: one that the program has forgotten is collected and hears no more.
 */
#include <lauxlib.h>
#include <string.h>

#include "bus.h"
#include "host.h"
#include "mailbox.h"

#define SUBSCRIBER_TYPE "ahost.subscriber"

/* User values: that of the mailbox; the taps by channels. */
enum { SUBSCRIBER_TAPS = 2, SUBSCRIBER_VALUES = 2 };

typedef struct subscriber {
    ahost *host;
    ahost__owned owned;
    ahost__link taps;
    ahost__mailbox mailbox; /* of packed messages */
    uint8_t listens;
} subscriber;

typedef struct tap {
    ahost__link link;     /* among the taps of the channel */
    ahost__link own_link; /* among those of the subscriber */
    ahost__channel *channel;
    subscriber *owner;
} tap;

static subscriber *check_subscriber(lua_State *L) {
    return luaL_checkudata(L, 1, SUBSCRIBER_TYPE);
}

/* ---- listening ---------------------------------------------------------- */

/* A channel that may be empty now is looked at by the job that takes ended
 * listeners off. */
static void close_tap(tap *t) {
    ahost__channel *channel = t->channel;
    ahost__list_remove(&t->link);
    ahost__list_remove(&t->own_link);
    if (ahost__list_empty(&channel->taps) && !channel->collected)
        ahost__job_post(t->owner->host, &channel->listeners.prune_job);
}

static void stop(subscriber *s) {
    while (!ahost__list_empty(&s->taps))
        close_tap(ahost__container_of(s->taps.next, tap, own_link));
    s->listens = 0;
    ahost__disown(&s->owned);
}

static void on_context_end(ahost__owned *owned) {
    subscriber *s = ahost__container_of(owned, subscriber, owned);
    stop(s);
    ahost__settle_all(&s->mailbox.waiters, AHOST__CLOSED);
}

static const ahost__owned_type owned_subscriber = {
    "subscriber", 0, on_context_end, .retire = on_context_end};

static int hears(const subscriber *s) {
    return s->listens && s->owned.ctx != NULL && !s->owned.ctx->staged;
}

/* Has the subscriber at index `box` hear the message at `message` of the bus at
 * `bus`. */
static void add_tap(lua_State *L, int box, int bus, int message) {
    subscriber *s = lua_touserdata(L, box);
    ahost__channel *channel;
    tap *t;
    lua_getiuservalue(L, box, SUBSCRIBER_TAPS);
    channel = ahost__push_channel(L, bus, message);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
        lua_pop(L, 1);
        t = lua_newuserdatauv(L, sizeof(*t), 0);
        memset(t, 0, sizeof(*t));
        lua_rawset(L, -3);
        t->channel = channel;
        t->owner = s;
        ahost__list_append(&channel->taps, &t->link);
        ahost__list_append(&s->taps, &t->own_link);
        lua_pop(L, 1);
        return;
    }
    lua_pop(L, 3);
}

/* ---- messages ----------------------------------------------------------- */

/* The subscribers are put on the stack first: a finalizer may end others. */
void ahost__channel_tell(lua_State *L, ahost__channel *channel, int last) {
    int top = lua_gettop(L), item = top + 1, end;
    ahost__link *link;
    ahost__pack_message(L, 2, last);
    ahost__push_addresses(L);
    for (link = channel->taps.next; link != &channel->taps; link = link->next) {
        luaL_checkstack(L, LUA_MINSTACK, "too many subscribers");
        lua_rawgetp(L, item + 1, ahost__container_of(link, tap, link)->owner);
    }
    end = lua_gettop(L);
    for (int box = item + 2; box <= end; box++) {
        subscriber *s = lua_touserdata(L, box);
        if (s != NULL && hears(s))
            ahost__mailbox_deliver(L, &s->mailbox, box, item);
    }
    lua_settop(L, top);
}

/* ---- waiting ------------------------------------------------------------ */

/* -> message, ... | nil, err */
static int finish_message(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "subscriber:message");
    return ahost__unpack_message(L, -1);
}

static const ahost__wait_type message_wait = {"subscriber:message",
                                              finish_message, NULL};

/* -> message, ... | nil */
static int finish_next(lua_State *L, ahost__wait *w) {
    return w->status == 0 ? ahost__unpack_message(L, -1) : 0;
}

static const ahost__wait_type next_wait = {"the next message", finish_next,
                                           NULL};

/* Takes a message of the subscriber at index 1, or waits for one. */
static int receive(lua_State *L, subscriber *s, const ahost__wait_type *type,
                   double timeout) {
    int there = s->mailbox.count > 0;
    ahost__wait *w;
    if (there && !ahost__must_yield(L)) {
        ahost__mailbox_take(L, &s->mailbox, 1);
        return ahost__unpack_message(L, -1);
    }
    w = ahost__wait_begin(L, type, s);
    if (there) {
        ahost__mailbox_take(L, &s->mailbox, 1);
        ahost__settle(w, 0);
    } else {
        ahost__wait_timeout(w, timeout);
        ahost__list_append(&s->mailbox.waiters, &w->link);
    }
    return ahost__await(L, w);
}

/* sub:message([timeout]) -> message, ... | nil, err */
static int subscriber_message(lua_State *L) {
    subscriber *s = check_subscriber(L);
    double timeout = ahost__opt_timeout(L, 2);
    if (s->mailbox.count == 0 && !s->listens)
        return ahost__fail(L, AHOST__CLOSED, "subscriber:message");
    return receive(L, s, &message_wait, timeout);
}

/* sub(): the next message and its arguments, or nil when closed */
static int subscriber_next(lua_State *L) {
    subscriber *s = check_subscriber(L);
    if (s->mailbox.count == 0 && !s->listens)
        return 0;
    return receive(L, s, &next_wait, -1);
}

/* sub:messages() -> sub as iterator, nil, nil, sub as what a loop closes */
static int subscriber_messages(lua_State *L) {
    check_subscriber(L);
    lua_settop(L, 1);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, 1);
    return 4;
}

/* ---- subscribers -------------------------------------------------------- */

/* Raises unless the arguments from `first` to `last` are messages. */
static void check_messages(lua_State *L, int first, int last) {
    luaL_checktype(L, first, LUA_TSTRING);
    for (int i = first; i <= last; i++)
        luaL_checktype(L, i, LUA_TSTRING);
}

static subscriber *push_subscriber(lua_State *L, lua_Integer max) {
    subscriber *s = lua_newuserdatauv(L, sizeof(*s), SUBSCRIBER_VALUES);
    memset(s, 0, sizeof(*s));
    s->host = ahost__of(L);
    ahost__list_init(&s->taps);
    ahost__mailbox_init(L, &s->mailbox, max);
    s->listens = 1;
    luaL_setmetatable(L, SUBSCRIBER_TYPE);
    lua_newtable(L);
    lua_setiuservalue(L, -2, SUBSCRIBER_TAPS);
    ahost__push_addresses(L);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, s);
    lua_pop(L, 1);
    return s;
}

/* bus:subscriber(message, ..., [{max=}]) -> sub */
int ahost__bus_subscriber(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    int last = lua_gettop(L);
    int options = last > 2 && lua_istable(L, last);
    lua_Integer max;
    subscriber *s;
    ahost__check_bus(L, 1);
    max = ahost__mailbox_opt_max(L, options ? last : last + 1);
    last -= options;
    check_messages(L, 2, last);
    ahost__context_check_open(L, ctx, "subscriber");
    luaL_checkstack(L, LUA_MINSTACK, "too many messages");
    s = push_subscriber(L, max);
    ahost__own(ctx, &s->owned, &owned_subscriber);
    for (int i = 2, box = lua_gettop(L); i <= last; i++)
        add_tap(L, box, 1, i);
    return 1;
}

/* sub:subscribe(bus, message, ...) */
static int subscriber_subscribe(lua_State *L) {
    subscriber *s = check_subscriber(L);
    int last = lua_gettop(L);
    ahost__check_bus(L, 2);
    check_messages(L, 3, last);
    if (!s->listens)
        return luaL_error(L, "subscribe: the subscriber is closed");
    luaL_checkstack(L, LUA_MINSTACK, "too many messages");
    for (int i = 3; i <= last; i++)
        add_tap(L, 1, 2, i);
    return 0;
}

/* sub:close() */
static int subscriber_close(lua_State *L) {
    subscriber *s = check_subscriber(L);
    stop(s);
    ahost__settle_all(&s->mailbox.waiters, AHOST__CLOSED);
    ahost__mailbox_clear(L, &s->mailbox, 1);
    lua_newtable(L);
    lua_setiuservalue(L, 1, SUBSCRIBER_TAPS);
    return 0;
}

static int subscriber_gc(lua_State *L) {
    stop(check_subscriber(L));
    return 0;
}

/* Methods, and the one field `dropped`. */
static int subscriber_index(lua_State *L) {
    subscriber *s = check_subscriber(L);
    if (lua_type(L, 2) == LUA_TSTRING &&
        strcmp(lua_tostring(L, 2), "dropped") == 0) {
        lua_pushinteger(L, s->mailbox.dropped);
        return 1;
    }
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static const luaL_Reg methods[] = {{"message", subscriber_message},
                                   {"messages", subscriber_messages},
                                   {"subscribe", subscriber_subscribe},
                                   {"close", subscriber_close},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{"__call", subscriber_next},
                                {"__close", subscriber_close},
                                {"__gc", subscriber_gc},
                                {NULL, NULL}};

void ahost__open_subscriber(lua_State *L) {
    luaL_newmetatable(L, SUBSCRIBER_TYPE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, subscriber_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
