/*
 * semaphore.c - semaphores and locks: a number of slots, held through permits.
 *
 * A permit is a userdata made before its owner waits, so that handing a slot
 * over takes no memory: the slot is the permit's from the moment it is handed
 * over. It goes back when the permit is closed, with the context of the task
 * that acquired it, or when the permit is collected: whatever becomes of the
 * task, no slot is lost. A free slot means that nobody waits.
 */
#include "host.h"
#include "sync.h"

#define LOCK_TYPE "ahost.lock"
#define SEMAPHORE_TYPE "ahost.semaphore"
#define PERMIT_TYPE "ahost.permit"

typedef struct semaphore {
    ahost__link waiters;
    lua_Integer free; /* slots */
} semaphore;

typedef struct permit {
    semaphore *of;      /* kept alive by the user value */
    ahost__owned owned; /* by the context, while held */
    int held;
} permit;

/* ---- permits ------------------------------------------------------------ */

/* Gives the slot to the oldest waiter, or back. */
static void release(permit *p) {
    ahost__wait *w = ahost__wait_first(&p->of->waiters);
    if (!p->held)
        return;
    p->held = 0;
    ahost__disown(&p->owned);
    if (w == NULL) {
        p->of->free++;
        return;
    }
    ((permit *)w->op)->held = 1;
    ahost__settle(w, 0);
}

static void close_owned(ahost__owned *owned) {
    release(ahost__container_of(owned, permit, owned));
}

static const ahost__owned_type owned_permit = {"permit", 0, close_owned};

/* permit:close() */
static int permit_close(lua_State *L) {
    release(ahost__sync_self(L, PERMIT_TYPE));
    return 0;
}

/* Pushes a permit of the semaphore at index 1 that holds nothing yet. The
 * second upvalue is the metatable. */
static permit *new_permit(lua_State *L, semaphore *s) {
    permit *p = lua_newuserdatauv(L, sizeof(*p), 1);
    *p = (permit){.of = s};
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_setmetatable(L, -2);
    return p;
}

/* ---- acquiring ---------------------------------------------------------- */

/* The permit on the top holds its slot: it becomes its context's. The context
 * of an abandoned task may be closed already. */
static int keep(lua_State *L, permit *p) {
    ahost__context *ctx = ahost__context_current(L);
    if (ctx->state != AHOST__CONTEXT_CLOSED)
        ahost__own(ctx, &p->owned, &owned_permit);
    return 1;
}

static int finish_acquire(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "acquire");
    return keep(L, w->op);
}

static const ahost__wait_type acquire_wait = {"acquire", finish_acquire, NULL,
                                              1};

/* Stack: semaphore, timeout, new permit */
static int acquire(lua_State *L, semaphore *s, double timeout) {
    permit *p = new_permit(L, s);
    ahost__wait *w;
    if (s->free > 0 && !ahost__must_yield(L)) {
        s->free--;
        p->held = 1;
        return keep(L, p);
    }
    w = ahost__wait_begin(L, &acquire_wait, p);
    if (s->free > 0) {
        s->free--;
        p->held = 1;
        ahost__settle(w, 0);
    } else {
        ahost__wait_timeout(w, timeout);
        ahost__list_append(&s->waiters, &w->link);
    }
    return ahost__await(L, w);
}

static int acquire_from(lua_State *L, const char *type) {
    semaphore *s = ahost__sync_self(L, type);
    double timeout = ahost__opt_timeout(L, 2);
    lua_settop(L, 2);
    return acquire(L, s, timeout);
}

/* lock:acquire([timeout]) -> permit | nil, err */
static int lock_acquire(lua_State *L) {
    return acquire_from(L, LOCK_TYPE);
}

/* semaphore:acquire([timeout]) -> permit | nil, err */
static int semaphore_acquire(lua_State *L) {
    return acquire_from(L, SEMAPHORE_TYPE);
}

/* ---- types -------------------------------------------------------------- */

static int push_semaphore(lua_State *L, lua_Integer slots) {
    semaphore *s = ahost__sync_new(L, sizeof(*s), 0);
    ahost__list_init(&s->waiters);
    s->free = slots;
    return 1;
}

/* sync.lock() -> lock */
static int new_lock(lua_State *L) {
    return push_semaphore(L, 1);
}

/* sync.semaphore(n) -> semaphore */
static int new_semaphore(lua_State *L) {
    lua_Integer slots = luaL_checkinteger(L, 1);
    luaL_argcheck(L, slots >= 1, 1, "a semaphore must have at least 1 slot");
    return push_semaphore(L, slots);
}

static const luaL_Reg none[] = {{NULL, NULL}};

static const luaL_Reg permit_methods[] = {{"close", permit_close},
                                          {NULL, NULL}};

static const luaL_Reg permit_meta[] = {
    {"__close", permit_close}, {"__gc", permit_close}, {NULL, NULL}};

/* Pushes the metatable of a lock or semaphore, whose one method needs that of
 * the permits as well. */
static void push_type(lua_State *L, const char *type, lua_CFunction method) {
    ahost__sync_type(L, type, none, none);
    lua_getfield(L, -1, "__index");
    lua_pushvalue(L, -2);
    ahost__sync_type(L, PERMIT_TYPE, permit_methods, permit_meta);
    lua_pushcclosure(L, method, 2);
    lua_setfield(L, -2, "acquire");
    lua_pop(L, 1);
}

void ahost__open_semaphore(lua_State *L) {
    push_type(L, LOCK_TYPE, lock_acquire);
    ahost__sync_constructor(L, "lock", new_lock);
    push_type(L, SEMAPHORE_TYPE, semaphore_acquire);
    ahost__sync_constructor(L, "semaphore", new_semaphore);
}
