/*
 * task_pool.c - the memory of tasks: structures in slabs, pooled coroutines.
 *
 * A structure stays where it is for the life of the host, only its content is
 * used again: a late completion can be told by its sequence number. Coroutines
 * are kept for the next task, and given up when they have long been idle.
 */
#include "task_pool.h"

#include <assert.h>
#include <lauxlib.h>

#include "host.h"

enum { SLAB_TASKS = 32, POOL_KEPT = 64 };

typedef struct task_slab {
    ahost__link link;
    ahost__task tasks[SLAB_TASKS];
} task_slab;

/* ---- structures --------------------------------------------------------- */

void ahost__task_free(ahost__task *task) {
    ahost *h = task->host;
    task->state = AHOST__TASK_FREE;
    task->next_ready = h->free_tasks;
    h->free_tasks = task;
}

static int add_slab(ahost *h) {
    task_slab *slab = ahost__alloc(h, sizeof(*slab));
    if (slab == NULL)
        return 0;
    ahost__list_append(&h->task_slabs, &slab->link);
    for (int i = SLAB_TASKS; i-- > 0;) {
        slab->tasks[i].host = h;
        slab->tasks[i].id = h->task_ids + (uint32_t)i + 1;
        ahost__task_free(&slab->tasks[i]);
    }
    h->task_ids += SLAB_TASKS;
    return 1;
}

ahost__task *ahost__task_new(ahost *h) {
    ahost__task *task, blank = {.host = h, .floor = -1};
    if (h->free_tasks == NULL && !add_slab(h))
        return NULL;
    task = h->free_tasks;
    h->free_tasks = task->next_ready;
    blank.id = task->id;
    blank.wait.sequence = task->wait.sequence;
    *task = blank;
    return task;
}

/* ---- the pool of coroutines --------------------------------------------- */

static int grow_pool(ahost *h) {
    size_t size = sizeof(ahost__pool_slot);
    size_t capacity = h->pool_capacity != 0 ? 2 * h->pool_capacity : 64;
    ahost__pool_slot *pool =
        ahost__resize(h, h->pool, h->pool_capacity * size, capacity * size);
    if (pool == NULL)
        return 0;
    h->pool = pool;
    h->pool_capacity = capacity;
    return 1;
}

/* Puts the coroutine on the top of L into the table of coroutines. */
static void anchor(lua_State *L, uint32_t slot) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, ahost__of(L)->coroutines);
#ifdef AHOST_CHECKS
    int held = lua_rawgeti(L, -1, slot);
    assert(held != LUA_TTHREAD); /* it would be collected while it runs */
    lua_pop(L, 1);
#endif
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, slot);
    lua_pop(L, 1);
}

static ahost__pool_slot take_top(ahost *h) {
    ahost__pool_slot taken = h->pool[--h->pool_size];
    if (h->pool_idle > h->pool_size)
        h->pool_idle = h->pool_size;
    if (h->pool_empty > h->pool_size)
        h->pool_empty = h->pool_size;
    return taken;
}

static int has_idle(const ahost *h) {
    return h->pool_size > 0 && h->pool[h->pool_size - 1].co != NULL;
}

/* A slot for the coroutine on the top of L. The pool has room for every slot,
 * so that giving one back cannot fail. */
static ahost__pool_slot new_slot(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__pool_slot slot = {lua_tothread(L, -1), h->co_slots + 1};
    if (h->pool_size > 0) {
        slot.slot = h->pool[h->pool_size - 1].slot;
        anchor(L, slot.slot);
        take_top(h);
        return slot;
    }
    if (h->co_slots == h->pool_capacity && !grow_pool(h))
        luaL_error(L, "not enough memory");
    anchor(L, slot.slot);
    h->co_slots++;
    return slot;
}

/* The coroutine is made first: that may collect garbage, whose finalizers may
 * take coroutines as well. From then on nothing does. */
ahost__pool_slot ahost__coroutine_take(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__pool_slot taken;
    if (has_idle(h))
        return take_top(h);
    lua_newthread(L);
    taken = has_idle(h) ? take_top(h) : new_slot(L);
    lua_pop(L, 1);
    return taken;
}

void ahost__coroutine_give(ahost *h, ahost__pool_slot slot) {
    h->pool[h->pool_size++] = slot;
}

/* Each garbage collection lets go of half of the pooled coroutines that nobody
 * has used since the one before: those at the bottom. */
static int trim_pool(lua_State *L) {
    ahost *h = ahost__of(L);
    size_t idle = h->pool_idle - h->pool_empty;
    size_t end = h->pool_empty + (idle > POOL_KEPT ? idle / 2 : 0);
    h->pool_idle = h->pool_size;
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->coroutines);
    while (lua_istable(L, -1) && h->pool_empty < end) {
        ahost__pool_slot *slot = &h->pool[h->pool_empty++];
        slot->co = NULL;
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, slot->slot);
    }
    lua_pop(L, 1);
    luaL_getmetatable(L, "ahost.trim");
    if (lua_istable(L, -1)) { /* not while the state closes */
        lua_newuserdatauv(L, 0, 0);
        lua_insert(L, -2);
        lua_setmetatable(L, -2);
    }
    return 0;
}

/* ---- the host ----------------------------------------------------------- */

void ahost__tasks_open(lua_State *L) {
    ahost *h = ahost__of(L);
    int *tables[] = {&h->task_handles, &h->task_sides, &h->coroutines};
    for (int i = 0; i < 3; i++) {
        lua_newtable(L);
        *tables[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    luaL_newmetatable(L, "ahost.trim");
    lua_pushcfunction(L, trim_pool);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    trim_pool(L); /* makes the first of its kind */
}

/* Frees what an abandoned task holds that never came to its end. */
static void free_unfinished(ahost__task *task) {
    ahost__frame *frame;
    if (task->co == NULL)
        return;
    while ((frame = task->frames) != NULL) {
        task->frames = frame->outer;
        ahost__free(task->host, frame, sizeof(*frame));
    }
    ahost__context_unref(task->ctx);
}

void ahost__tasks_free(ahost *h) {
    ahost__link *link;
    ahost__free(h, h->pool, h->pool_capacity * sizeof(*h->pool));
    while ((link = ahost__list_shift(&h->task_slabs)) != NULL) {
        task_slab *slab = ahost__container_of(link, task_slab, link);
        for (int i = 0; i < SLAB_TASKS; i++)
            free_unfinished(&slab->tasks[i]);
        ahost__free(h, slab, sizeof(*slab));
    }
}
