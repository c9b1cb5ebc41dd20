/*
 * thread_channel_methods.c - channels in Lua: waiting in a task of the host,
 * and blocking in a worker.
 */
#include <lauxlib.h>

#include "thread_channel.h"

enum { SELF = 1, VALUE = 2 }; /* places on the stack of every method */

ahost__channel *ahost__channel_of(lua_State *L, int index) {
    return *(ahost__channel **)lua_touserdata(L, index);
}

void ahost__channel_push(lua_State *L, ahost__channel *channel) {
    ahost__channel **box = lua_newuserdatauv(L, sizeof(ahost__channel *), 0);
    *box = channel;
    ahost__channel_ref(channel);
    luaL_setmetatable(L, AHOST__CHANNEL_TYPE);
}

static ahost__channel *check_channel(lua_State *L) {
    return *(ahost__channel **)luaL_checkudata(L, SELF, AHOST__CHANNEL_TYPE);
}

/* The value at VALUE, packed. */
static ahost__packed *check_value(lua_State *L) {
    ahost__channel *c = check_channel(L);
    ahost__packed *packed;
    luaL_argcheck(L, !lua_isnoneornil(L, VALUE), VALUE,
                  "nil cannot be put into a channel");
    packed = ahost__pack_checked(L, VALUE, 1, "the value");
    for (size_t i = 0; i < packed->channel_count; i++)
        if (packed->channels[i] == c) {
            ahost__packed_free(packed);
            luaL_error(L, "a channel cannot be put into itself");
        }
    return packed;
}

static int push_true(lua_State *L) {
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- in a worker -------------------------------------------------------- */

/* Seconds that are for ever, as far as a thread is concerned. */
static const double most_seconds = 1e8;

/* From here on a cancellation stirs the channel. */
static void enter(ahost__thread_state *state, ahost__channel *c) {
    uv_mutex_lock(&state->mutex);
    state->blocked_in = c;
    uv_mutex_unlock(&state->mutex);
    uv_mutex_lock(&c->mutex);
}

static void leave(ahost__thread_state *state, ahost__channel *c) {
    uv_mutex_unlock(&c->mutex);
    uv_mutex_lock(&state->mutex);
    state->blocked_in = NULL;
    uv_mutex_unlock(&state->mutex);
}

/* Blocks until `change` or the end. */
static void sleep_until(ahost__channel *c, uv_cond_t *change, uint64_t end,
                        uint64_t now) {
    size_t *blocked = &c->threads->blocked;
    __atomic_add_fetch(blocked, 1, __ATOMIC_ACQ_REL);
    if (end == 0)
        uv_cond_wait(change, &c->mutex);
    else
        uv_cond_timedwait(change, &c->mutex, end - now);
    __atomic_sub_fetch(blocked, 1, __ATOMIC_ACQ_REL);
}

/* Blocks until something may have changed; the status of the operation: 0, or
 * why not to go on. `end` is 0 when there is no timeout. */
static int block(ahost__thread_state *state, ahost__channel *c,
                 uv_cond_t *change, uint64_t end) {
    uint64_t now = uv_hrtime();
    if (ahost__thread_cancelled(state))
        return AHOST__CANCELLED;
    if (end != 0 && now >= end)
        return AHOST__TIMEDOUT;
    sleep_until(c, change, end, now);
    return 0;
}

/* Does not take what a signal was for: the next one is to. */
static void pass_on(ahost__channel *c) {
    uv_cond_signal(&c->readable);
    uv_cond_signal(&c->writable);
}

static double check_timeout(lua_State *L, int arg) {
    double seconds;
    if (lua_isnoneornil(L, arg))
        return -1;
    seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0, arg, "a timeout must be >= 0 seconds");
    return seconds;
}

static uint64_t end_of(double seconds) {
    if (seconds < 0)
        return 0;
    if (seconds > most_seconds)
        seconds = most_seconds;
    return uv_hrtime() + (uint64_t)(seconds * 1e9);
}

static int block_to_get(lua_State *L, ahost__channel *c, double timeout) {
    ahost__thread_state *state = ahost__thread_state_of(L);
    uint64_t end = end_of(timeout);
    ahost__packed *packed;
    int status = 0;
    enter(state, c);
    while ((packed = ahost__channel_poll(c, ahost__of(L) != NULL)) == NULL &&
           status == 0)
        status = c->closed ? AHOST__CLOSED : block(state, c, &c->readable, end);
    if (packed == NULL)
        pass_on(c);
    leave(state, c);
    if (packed != NULL)
        return ahost__unpack(L, packed);
    if (status == AHOST__CANCELLED)
        return ahost__thread_raise_cancelled(L, state);
    if (status != AHOST__CLOSED)
        return ahost__fail(L, status, "channel:get");
    lua_pushnil(L);
    return 1;
}

static int block_to_put(lua_State *L, ahost__channel *c, double timeout) {
    ahost__thread_state *state = ahost__thread_state_of(L);
    ahost__packed *packed = check_value(L);
    uint64_t end = end_of(timeout);
    int status, blocked = 0;
    enter(state, c);
    while ((status = ahost__channel_offer(c, packed, ahost__of(L) != NULL)) ==
               1 &&
           blocked == 0)
        blocked = block(state, c, &c->writable, end);
    if (status != 0)
        pass_on(c);
    leave(state, c);
    if (status == 0)
        return push_true(L);
    ahost__packed_free(packed);
    if (status == 1)
        status = blocked;
    if (status == AHOST__CANCELLED)
        return ahost__thread_raise_cancelled(L, state);
    return ahost__fail(L, status, "channel:put");
}

/* ---- in the host -------------------------------------------------------- */

static int wait_to_get(lua_State *L, ahost__wait *w);

static int finish_get(lua_State *L, ahost__wait *w) {
    ahost__packed *packed = ahost__channel_value(w);
    w->value = 0;
    if (packed != NULL)
        return ahost__unpack(L, packed);
    if (w->status == AHOST__TIMEDOUT)
        return ahost__fail(L, AHOST__TIMEDOUT, "channel:get");
    lua_pushnil(L);
    return 1;
}

static const ahost__wait_type get_wait = {"channel:get", finish_get, NULL, 0};
static const ahost__wait_type get_turn = {"channel:get", wait_to_get, NULL, 0};

/* Settles the wait, and lets others run, before type->finish goes on. */
static int take_turn(lua_State *L, const ahost__wait_type *type) {
    ahost__wait *w = ahost__wait_begin(L, type, NULL);
    ahost__settle(w, 0);
    return ahost__await(L, w);
}

/* Stack: channel[, timeout] */
static int wait_to_get(lua_State *L, ahost__wait *w) {
    ahost__channel *c = ahost__channel_of(L, SELF);
    double timeout = ahost__opt_timeout(L, 2);
    ahost__packed *packed;
    int closed;
    uv_mutex_lock(&c->mutex);
    packed = ahost__channel_poll(c, ahost__of(L) != NULL);
    closed = c->closed;
    uv_mutex_unlock(&c->mutex);
    if (packed != NULL)
        return ahost__unpack(L, packed);
    if (closed) {
        lua_pushnil(L);
        return 1;
    }
    w = ahost__wait_begin(L, &get_wait, c);
    ahost__wait_timeout(w, timeout);
    uv_mutex_lock(&c->mutex);
    ahost__list_append(&c->getters, &w->link);
    ahost__channel_serve(c);
    uv_mutex_unlock(&c->mutex);
    return ahost__await(L, w);
}

/* -> true | nil, err */
static int finish_put(lua_State *L, ahost__wait *w) {
    ahost__packed_free(ahost__channel_value(w));
    w->value = 0;
    if (w->status != 0)
        return ahost__fail(L, w->status, "channel:put");
    return push_true(L);
}

/* A cancelled wait does not come to its `finish`. */
static void cancel_put(ahost__wait *w) {
    ahost__packed_free(ahost__channel_value(w));
    w->value = 0;
}

static int wait_to_put(lua_State *L, ahost__wait *w);

static const ahost__wait_type put_wait = {"channel:put", finish_put, cancel_put,
                                          0};
static const ahost__wait_type put_turn = {"channel:put", wait_to_put, NULL, 0};

static int try_in_host(lua_State *L, ahost__channel *c, ahost__packed *packed) {
    int status;
    uv_mutex_lock(&c->mutex);
    status = ahost__channel_offer(c, packed, ahost__of(L) != NULL);
    uv_mutex_unlock(&c->mutex);
    return status;
}

/* Whether ahost__wait_begin would raise. */
static int cannot_wait(lua_State *L) {
    const ahost__task *task = ahost__of(L)->current;
    return task == NULL || !ahost__can_wait(L) || ahost__task_interrupted(task);
}

/* Stack: channel, value, timeout */
static int wait_to_put(lua_State *L, ahost__wait *w) {
    ahost__channel *c = ahost__channel_of(L, SELF);
    double timeout = ahost__opt_timeout(L, 3);
    ahost__packed *packed = check_value(L);
    int status = try_in_host(L, c, packed);
    if (status == 0)
        return push_true(L);
    if (status != 1 || cannot_wait(L))
        ahost__packed_free(packed);
    if (status != 1)
        return ahost__fail(L, status, "channel:put");
    w = ahost__wait_begin(L, &put_wait, c);
    ahost__wait_timeout(w, timeout);
    w->value = (int64_t)(uintptr_t)packed;
    uv_mutex_lock(&c->mutex);
    ahost__list_append(&c->putters, &w->link);
    ahost__channel_serve(c);
    uv_mutex_unlock(&c->mutex);
    return ahost__await(L, w);
}

/* ---- methods ------------------------------------------------------------ */

/* channel:get([timeout]) -> value | nil [, err] */
static int channel_get(lua_State *L) {
    ahost__channel *c = check_channel(L);
    double timeout = check_timeout(L, 2);
    lua_settop(L, 2);
    if (ahost__of(L) == NULL)
        return block_to_get(L, c, timeout);
    if (ahost__must_yield(L))
        return take_turn(L, &get_turn);
    return wait_to_get(L, NULL);
}

/* channel:put(value, [timeout]) -> true | nil, err */
static int channel_put(lua_State *L) {
    ahost__channel *c = check_channel(L);
    double timeout = check_timeout(L, 3);
    lua_settop(L, 3);
    if (ahost__of(L) == NULL)
        return block_to_put(L, c, timeout);
    if (ahost__must_yield(L))
        return take_turn(L, &put_turn);
    return wait_to_put(L, NULL);
}

/* channel:try_get() -> value | nil */
static int channel_try_get(lua_State *L) {
    ahost__channel *c = check_channel(L);
    ahost__packed *packed;
    uv_mutex_lock(&c->mutex);
    packed = ahost__channel_poll(c, ahost__of(L) != NULL);
    uv_mutex_unlock(&c->mutex);
    return packed != NULL ? ahost__unpack(L, packed) : 0;
}

/* channel:try_put(value) -> true | false | nil, err */
static int channel_try_put(lua_State *L) {
    ahost__channel *c = check_channel(L);
    ahost__packed *packed = check_value(L);
    int status = try_in_host(L, c, packed);
    if (status != 0)
        ahost__packed_free(packed);
    if (status == AHOST__CLOSED)
        return ahost__fail(L, status, "channel:put");
    lua_pushboolean(L, status == 0);
    return 1;
}

/* The iterator of items(): (channel, previous) -> value | nil */
static int next_item(lua_State *L) {
    lua_settop(L, 1);
    return channel_get(L);
}

/* channel:items() -> iterator, channel */
static int channel_items(lua_State *L) {
    check_channel(L);
    lua_pushcfunction(L, next_item);
    lua_pushvalue(L, SELF);
    return 2;
}

/* channel:close() */
static int channel_close(lua_State *L) {
    ahost__channel *c = check_channel(L);
    ahost__channel_close(c, 0);
    if (ahost__of(L) != NULL)
        ahost__channel_attend(c);
    return 0;
}

static int channel_len(lua_State *L) {
    ahost__channel *c = check_channel(L);
    uv_mutex_lock(&c->mutex);
    lua_pushinteger(L, c->count);
    uv_mutex_unlock(&c->mutex);
    return 1;
}

/* Each side, and each copy, has a userdata of its own. */
static int channel_eq(lua_State *L) {
    ahost__channel **other = luaL_testudata(L, 2, AHOST__CHANNEL_TYPE);
    ahost__channel **self = luaL_testudata(L, SELF, AHOST__CHANNEL_TYPE);
    lua_pushboolean(L, self != NULL && other != NULL && *self == *other);
    return 1;
}

static int channel_gc(lua_State *L) {
    ahost__channel **box = luaL_checkudata(L, SELF, AHOST__CHANNEL_TYPE);
    if (*box != NULL)
        ahost__channel_unref(*box);
    *box = NULL;
    return 0;
}

static ahost__threads *threads_of(lua_State *L) {
    ahost__threads *threads;
    if (ahost__of(L) != NULL)
        return ahost__threads_get(ahost__of(L));
    threads = ahost__thread_state_of(L)->threads;
    __atomic_add_fetch(&threads->references, 1, __ATOMIC_RELAXED);
    return threads;
}

/* thread.channel([max]) -> channel */
static int new_channel(lua_State *L) {
    lua_Integer max = luaL_optinteger(L, 1, 1000);
    ahost__channel **box;
    ahost__threads *threads;
    luaL_argcheck(L, max >= 1, 1, "a channel must hold at least 1 value");
    box = lua_newuserdatauv(L, sizeof(ahost__channel *), 0);
    *box = NULL;
    luaL_setmetatable(L, AHOST__CHANNEL_TYPE);
    threads = threads_of(L);
    if (threads == NULL)
        return luaL_error(L, "not enough memory");
    *box = ahost__channel_new(threads, max);
    if (*box == NULL) {
        ahost__threads_unref(threads);
        return luaL_error(L, "not enough memory");
    }
    return 1;
}

static const luaL_Reg methods[] = {{"put", channel_put},
                                   {"try_put", channel_try_put},
                                   {"get", channel_get},
                                   {"try_get", channel_try_get},
                                   {"items", channel_items},
                                   {"close", channel_close},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{"__len", channel_len},
                                {"__eq", channel_eq},
                                {"__gc", channel_gc},
                                {"__close", channel_close},
                                {NULL, NULL}};

void ahost__open_channel(lua_State *L) {
    if (luaL_newmetatable(L, AHOST__CHANNEL_TYPE)) {
        luaL_setfuncs(L, meta, 0);
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
    lua_pushcfunction(L, new_channel);
    lua_setfield(L, -2, "channel");
}
