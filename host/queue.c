/*
 * queue.c - bounded queues of Lua values between tasks.
 *
 * The items lie in a ring, a table in the user value. Getters wait only while
 * the ring is empty, putters only while it is full; the value of a waiting
 * putter stays on its own stack. Whoever takes an item moves the oldest
 * putter's value into the place, and whoever puts hands the value straight to
 * the oldest getter, so that nobody overtakes those who wait.
 */
#include "host.h"
#include "sync.h"

#define QUEUE_TYPE "ahost.queue"

/* The only user value; places on the stack of every method. */
enum { ITEMS = 1, QUEUE = 1, VALUE = 2 };

typedef struct queue {
    ahost__link getters, putters;
    lua_Integer first; /* place of the oldest item, from 0 */
    lua_Integer count, max;
    int closed;
} queue;

static queue *check_queue(lua_State *L) {
    return ahost__sync_self(L, QUEUE_TYPE);
}

static lua_Integer wrap(const queue *q, lua_Integer place) {
    return place < q->max ? place : place - q->max;
}

/* ---- taking ------------------------------------------------------------- */

/* Fills the place of the oldest item, which has been taken, with the oldest
 * putter's value. Stack: the ring, the item. */
static void refill(lua_State *L, queue *q, ahost__wait *putter) {
    lua_pushvalue(putter->L, VALUE);
    lua_xmove(putter->L, L, 1);
    lua_rawseti(L, -3, q->first + 1);
    q->first = wrap(q, q->first + 1);
    ahost__settle(putter, 0);
}

/* Clears the place. An empty ring starts from the beginning, so that one that
 * never fills stays small. Stack: the ring, the item. */
static void shrink(lua_State *L, queue *q) {
    lua_pushnil(L);
    lua_rawseti(L, -3, q->first + 1);
    q->first = --q->count > 0 ? wrap(q, q->first + 1) : 0;
}

/* Pushes the oldest item of a ring that is not empty. */
static int take(lua_State *L, queue *q) {
    ahost__wait *putter = ahost__wait_first(&q->putters);
    lua_getiuservalue(L, QUEUE, ITEMS);
    lua_rawgeti(L, -1, q->first + 1);
    if (putter != NULL)
        refill(L, q, putter);
    else
        shrink(L, q);
    return 1;
}

static int finish_get(lua_State *L, ahost__wait *w) {
    if (w->status == AHOST__TIMEDOUT)
        return ahost__fail(L, AHOST__TIMEDOUT, "queue:get");
    if (w->status == AHOST__CLOSED)
        lua_pushnil(L);
    return 1; /* the value that a putter has left here */
}

static const ahost__wait_type get_wait = {"queue:get", finish_get, NULL, 1};

/* Stack: queue[, timeout] */
static int get(lua_State *L, ahost__wait *w) {
    queue *q = lua_touserdata(L, QUEUE);
    double timeout;
    if (q->count > 0)
        return take(L, q);
    if (q->closed) {
        lua_pushnil(L);
        return 1;
    }
    timeout = ahost__opt_timeout(L, 2);
    w = ahost__wait_begin(L, &get_wait, q);
    ahost__wait_timeout(w, timeout);
    ahost__list_append(&q->getters, &w->link);
    return ahost__await(L, w);
}

static const ahost__wait_type get_turn = {"queue:get", get, NULL};

static int get_in_turn(lua_State *L) {
    if (ahost__must_yield(L))
        return ahost__sync_turn(L, &get_turn);
    return get(L, NULL);
}

/* queue:get([timeout]) -> value | nil [, err] */
static int queue_get(lua_State *L) {
    check_queue(L);
    ahost__opt_timeout(L, 2);
    lua_settop(L, 2);
    return get_in_turn(L);
}

/* queue:try_get() -> value | nil */
static int queue_try_get(lua_State *L) {
    queue *q = check_queue(L);
    return q->count > 0 ? take(L, q) : 0;
}

/* The iterator of items(): (queue, previous) -> value | nil */
static int next_item(lua_State *L) {
    check_queue(L);
    lua_settop(L, 1);
    return get_in_turn(L);
}

/* queue:items() -> iterator, queue */
static int queue_items(lua_State *L) {
    check_queue(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, next_item, 1);
    lua_pushvalue(L, QUEUE);
    return 2;
}

/* ---- putting ------------------------------------------------------------ */

static int refuse_closed(lua_State *L) {
    return ahost__fail(L, AHOST__CLOSED, "queue:put");
}

/* Gives the value to a waiting getter or keeps it; false when it is full. */
static int offer(lua_State *L, queue *q) {
    ahost__wait *getter = ahost__wait_first(&q->getters);
    lua_pushvalue(L, VALUE);
    if (getter != NULL) {
        if (!ahost__wait_value(L, getter))
            luaL_error(L, "not enough memory");
        ahost__settle(getter, 0);
        return 1;
    }
    if (q->count == q->max)
        return 0;
    lua_getiuservalue(L, QUEUE, ITEMS);
    lua_insert(L, -2);
    lua_rawseti(L, -2, wrap(q, q->first + q->count) + 1);
    q->count++;
    return 1;
}

static int finish_put(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "queue:put");
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type put_wait = {"queue:put", finish_put, NULL, 1};

/* Stack: queue, value, timeout */
static int put(lua_State *L, ahost__wait *w) {
    queue *q = lua_touserdata(L, QUEUE);
    double timeout;
    if (q->closed)
        return refuse_closed(L);
    if (offer(L, q)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    timeout = ahost__opt_timeout(L, 3);
    w = ahost__wait_begin(L, &put_wait, q);
    ahost__wait_timeout(w, timeout);
    ahost__list_append(&q->putters, &w->link);
    return ahost__await(L, w);
}

static const ahost__wait_type put_turn = {"queue:put", put, NULL};

static queue *check_put(lua_State *L) {
    queue *q = check_queue(L);
    if (lua_isnoneornil(L, VALUE))
        luaL_argerror(L, VALUE, "nil cannot be queued");
    return q;
}

/* queue:put(value, [timeout]) -> true | nil, err */
static int queue_put(lua_State *L) {
    check_put(L);
    ahost__opt_timeout(L, 3);
    lua_settop(L, 3);
    if (ahost__must_yield(L))
        return ahost__sync_turn(L, &put_turn);
    return put(L, NULL);
}

/* queue:try_put(value) -> true | false | nil, err */
static int queue_try_put(lua_State *L) {
    queue *q = check_put(L);
    if (q->closed)
        return refuse_closed(L);
    lua_pushboolean(L, offer(L, q));
    return 1;
}

/* ---- the rest ----------------------------------------------------------- */

/* queue:close() */
static int queue_close(lua_State *L) {
    queue *q = check_queue(L);
    q->closed = 1;
    ahost__settle_all(&q->putters, AHOST__CLOSED);
    ahost__settle_all(&q->getters, AHOST__CLOSED);
    return 0;
}

static int queue_len(lua_State *L) {
    lua_pushinteger(L, check_queue(L)->count);
    return 1;
}

/* sync.queue([max]) -> queue */
static int new_queue(lua_State *L) {
    lua_Integer max = luaL_optinteger(L, 1, ahost__of(L)->defaults.items);
    queue *q;
    luaL_argcheck(L, max >= 1, 1, "a queue must hold at least 1 item");
    q = ahost__sync_new(L, sizeof(*q), 1);
    ahost__list_init(&q->getters);
    ahost__list_init(&q->putters);
    q->max = max;
    lua_newtable(L);
    lua_setiuservalue(L, -2, ITEMS);
    return 1;
}

static const luaL_Reg methods[] = {{"put", queue_put},
                                   {"try_put", queue_try_put},
                                   {"get", queue_get},
                                   {"try_get", queue_try_get},
                                   {"items", queue_items},
                                   {"close", queue_close},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__len", queue_len}, {"__close", queue_close}, {NULL, NULL}};

void ahost__open_queue(lua_State *L) {
    ahost__sync_type(L, QUEUE_TYPE, methods, meta);
    ahost__sync_constructor(L, "queue", new_queue);
}
