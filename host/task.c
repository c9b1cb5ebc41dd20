/*
 * task.c - tasks: their coroutines, their start and end.
 *
 * A task body runs on a pooled coroutine under lua_pcallk from task_main, so
 * that `<close>` variables may wait while an error unwinds. The structure of a
 * task stays where it is for the life of the host (only its content is reused)
 * so that a late completion can be told by its sequence number.
 */
#include "task.h"

#include <lauxlib.h>

#include "host.h"

enum { SLAB_TASKS = 32, NESTING = 8, POOL_KEPT = 64 };

typedef struct task_slab {
    ahost__link link;
    ahost__task tasks[SLAB_TASKS];
} task_slab;

/* ---- memory ---------------------------------------------------------------
 */

static void free_task(ahost__task *task) {
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
        free_task(&slab->tasks[i]);
    }
    h->task_ids += SLAB_TASKS;
    return 1;
}

/* A task with its last use wiped, or NULL. */
static ahost__task *new_task(ahost *h) {
    ahost__task *task, blank = {.host = h, .floor = -1};
    if (h->free_tasks == NULL && !add_slab(h))
        return NULL;
    task = h->free_tasks;
    h->free_tasks = task->next_ready;
    blank.id = task->id;
    blank.wait.sequence = task->wait.sequence;
    *task = blank;
    ahost__list_init(&task->joiners);
    return task;
}

/* ---- the pool of coroutines
 * -------------------------------------------------- */

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

/* Makes the coroutine of a slot, anchored in the table of coroutines. */
static lua_State *new_coroutine(lua_State *L, uint32_t slot) {
    lua_State *co;
    lua_rawgeti(L, LUA_REGISTRYINDEX, ahost__of(L)->coroutines);
    co = lua_newthread(L);
    lua_rawseti(L, -2, slot);
    lua_pop(L, 1);
    return co;
}

/* A coroutine to run a task on; raises when memory is short. The pool has room
 * for every slot, so that giving one back cannot fail. */
static ahost__pool_slot take_coroutine(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__pool_slot taken;
    if (h->pool_size > 0) {
        taken = h->pool[h->pool_size - 1];
        if (taken.co == NULL)
            taken.co = new_coroutine(L, taken.slot);
        h->pool_size--;
        return taken;
    }
    if (h->co_slots == h->pool_capacity && !grow_pool(h))
        luaL_error(L, "not enough memory");
    taken.slot = h->co_slots + 1;
    taken.co = new_coroutine(L, taken.slot);
    h->co_slots++;
    return taken;
}

static void give_coroutine(ahost *h, ahost__pool_slot slot) {
    h->pool[h->pool_size++] = slot;
}

/* Each garbage collection lets go of half of the pooled coroutines, those at
 * the bottom, which have been idle the longest. */
static int trim_pool(lua_State *L) {
    ahost *h = ahost__of(L);
    size_t half = h->pool_size > POOL_KEPT ? h->pool_size / 2 : 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->coroutines);
    for (size_t i = 0; lua_istable(L, -1) && i < half; i++) {
        h->pool[i].co = NULL;
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, h->pool[i].slot);
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

/* ---- the Lua side
 * ------------------------------------------------------------- */

typedef struct task_box {
    ahost__task *task;
    int results; /* how many are kept: one as it is, more in a table */
} task_box;

/* User values of a box. */
enum { BOX_RESULTS = 1, BOX_NAME };

#define TASK_TYPE "ahost.task"

static task_box *check_box(lua_State *L, int arg) {
    return luaL_checkudata(L, arg, TASK_TYPE);
}

void ahost__push_task(lua_State *L, ahost__task *task) {
    task_box *box;
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->host->task_boxes);
    if (task->boxed) {
        lua_rawgeti(L, -1, task->id);
        lua_remove(L, -2);
        return;
    }
    box = lua_newuserdatauv(L, sizeof(*box), 2);
    box->task = task;
    box->results = 0;
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, task->id);
    luaL_setmetatable(L, TASK_TYPE);
    task->boxed = 1;
    lua_remove(L, -2);
}

void ahost__task_push_text(lua_State *L, ahost__task *task, int which) {
    if (!task->has_side) {
        lua_pushnil(L);
        return;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->host->task_sides);
    lua_rawgeti(L, -1, task->id);
    lua_rawgeti(L, -1, which);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

void ahost__task_set_text(lua_State *L, ahost__task *task, int which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->host->task_sides);
    if (!task->has_side) {
        lua_createtable(L, 3, 0);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, task->id);
        task->has_side = 1;
    } else {
        lua_rawgeti(L, -1, task->id);
    }
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, which);
    lua_pop(L, 3);
}

const char *ahost__task_push_name(lua_State *L, ahost__task *task) {
    ahost__task_push_text(L, task, AHOST__TASK_NAME);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushfstring(L, "task %d", (int)task->id);
    }
    return lua_tostring(L, -1);
}

/* Makes `which` of a table by id false: nothing is allocated. */
static void forget(lua_State *L, int table, uint32_t id) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, table);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, id);
    lua_pop(L, 1);
}

/* ---- the body
 * ------------------------------------------------------------------- */

/* Keeps what the body returned, above the message handler, for join. */
static void keep_results(lua_State *L, ahost__task *task) {
    task_box *box;
    int results = lua_gettop(L) - 1;
    if (!task->boxed || results == 0)
        return;
    if (results > 1) {
        lua_createtable(L, results, 0);
        lua_insert(L, 2);
        for (int i = results; i > 0; i--)
            lua_rawseti(L, 2, i);
    }
    ahost__push_task(L, task);
    box = lua_touserdata(L, -1);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, BOX_RESULTS);
    box->results = results;
}

/* Keeps the error on the top, as an object, for join. */
static void keep_error(lua_State *L, ahost__task *task) {
    if (!task->boxed)
        return;
    ahost__push_task(L, task);
    lua_pushvalue(L, -2);
    ahost__wrap_error(L);
    lua_setiuservalue(L, -2, BOX_RESULTS);
    lua_pop(L, 1);
}

/* The body has returned or raised: tells those concerned. What this raises is
 * caught by the resume. */
static int task_end(lua_State *L, int status, lua_KContext unused) {
    ahost__task *task = ahost__of(L)->current;
    (void)unused;
    task->floor = 0; /* nothing interrupts from here on */
    if (status == LUA_OK || status == LUA_YIELD) {
        task->state = AHOST__TASK_DONE;
        keep_results(L, task);
        return 0;
    }
    if (task->cancelled && ahost__is_error(L, -1, AHOST__CANCELLED)) {
        task->state = AHOST__TASK_CANCELLED;
        keep_error(L, task);
        return 0;
    }
    task->state = AHOST__TASK_FAILED;
    keep_error(L, task);
    ahost__context_fail(L, task->ctx, task);
    return 0;
}

static int task_main(lua_State *L) {
    int status;
    lua_pushcfunction(L, ahost__on_raise);
    lua_insert(L, 1);
    status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, task_end);
    return task_end(L, status, 0);
}

/* ---- start and end
 * ---------------------------------------------------------------- */

static void link_context(ahost__task *task, ahost__context *ctx) {
    task->ctx = task->current = ctx;
    if (ctx == NULL)
        return;
    ahost__context_ref(ctx);
    ctx->task_count++;
    task->host->task_count++;
    ahost__list_append(&ctx->tasks, &task->link);
}

/* In a context that is closing only its teardown callbacks start tasks: the
 * others end, and what they spawn is not to keep them waiting. */
static int is_too_late(const ahost *h, const ahost__context *ctx) {
    return ctx != NULL && ctx->state == AHOST__CONTEXT_CLOSING &&
           ctx->closer != h->current;
}

static ahost__task *create(lua_State *L, ahost__context *ctx, int nargs) {
    ahost *h = ahost__of(L);
    ahost__pool_slot slot;
    ahost__task *task;
    if (ctx != NULL && ctx->state == AHOST__CONTEXT_CLOSED)
        luaL_error(L, "cannot spawn a task in a closed context");
    slot = take_coroutine(L);
    task = lua_checkstack(slot.co, nargs + 2) ? new_task(h) : NULL;
    if (task == NULL) {
        give_coroutine(h, slot);
        luaL_error(L, "not enough memory");
    }
    task->co = slot.co;
    task->co_slot = slot.slot;
    lua_pushcfunction(task->co, task_main);
    lua_xmove(L, task->co, nargs + 1);
    link_context(task, ctx);
    task->cancelled = is_too_late(h, ctx);
    return task;
}

ahost__task *ahost__spawn(lua_State *L, ahost__context *ctx, int nargs) {
    ahost__task *task = create(L, ctx, nargs);
    ahost__ready_push(task->host, task);
    return task;
}

void ahost__spawn_now(lua_State *L, ahost__context *ctx, int nargs) {
    ahost__task *task = create(L, ctx, nargs);
    ahost *h = task->host;
    if (h->nesting >= NESTING || task->cancelled) {
        ahost__ready_push(h, task);
        return;
    }
    h->nesting++;
    ahost__task_resume(h, task, L);
    h->nesting--;
}

/* The coroutine ended with an error that task_end did not see: memory ran out,
 * or task_end itself failed. Its value is on the top of the coroutine. */
static void report_lost_error(ahost__task *task) {
    const char *text = lua_type(task->co, -1) == LUA_TSTRING
                           ? lua_tostring(task->co, -1)
                           : NULL;
    task->state = AHOST__TASK_FAILED;
    ahost__log(task->host, AHOST_LOG_ERROR, "ahost.task", "task %d: %s",
               (int)task->id, text != NULL ? text : "error");
    ahost__host_failed(task->host);
}

static void release_coroutine(ahost__task *task, int status) {
    ahost__pool_slot slot = {task->co, task->co_slot};
    if (status != LUA_OK)
        lua_resetthread(task->co);
    lua_settop(task->co, 0);
    task->co = NULL;
    give_coroutine(task->host, slot);
}

void ahost__task_leave_context(ahost__task *task) {
    ahost__list_remove(&task->link);
    task->ctx->task_count--;
    task->host->task_count--;
}

void ahost__task_ended(ahost__task *task, int status) {
    ahost *h = task->host;
    ahost__context *ctx = task->ctx;
    int boxed = task->boxed;
    if (!task->started)
        task->state = AHOST__TASK_CANCELLED;
    if (status != LUA_OK)
        report_lost_error(task);
    while (task->frames != NULL)
        ahost__frame_leave(task->frames);
    release_coroutine(task, status);
    if (task->has_side)
        forget(h->L, h->task_sides, task->id);
    if (boxed)
        forget(h->L, h->task_boxes, task->id);
    task->has_side = 0;
    ahost__settle_all(&task->joiners, 0);
    if (ctx != NULL) {
        if (!task->abandoned) {
            ahost__task_leave_context(task);
            ahost__context_task_ended(ctx, task);
        }
        ahost__context_unref(ctx);
    }
    if (!boxed)
        free_task(task);
}

void ahost__task_cancel(ahost__task *task) {
    if (task->state >= AHOST__TASK_DONE || task->state == AHOST__TASK_FREE)
        return;
    task->cancelled = 1;
    ahost__task_interrupt(task);
}

void ahost__tasks_open(lua_State *L) {
    ahost *h = ahost__of(L);
    int *tables[] = {&h->task_boxes, &h->task_sides, &h->coroutines};
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

/* ---- ahost.task
 * ---------------------------------------------------------------------- */

static int finish_nothing(lua_State *L, ahost__wait *w) {
    (void)L;
    (void)w;
    return 0;
}

static const ahost__wait_type sleep_wait = {"sleep", finish_nothing, NULL};
static const ahost__wait_type yield_wait = {"yield", finish_nothing, NULL};

/* task.sleep(seconds) */
static int task_sleep(lua_State *L) {
    double seconds = luaL_checknumber(L, 1);
    ahost__wait *w;
    luaL_argcheck(L, seconds >= 0, 1, "cannot sleep less than 0 seconds");
    w = ahost__wait_begin(L, &sleep_wait, NULL);
    ahost__wait_timeout(w, seconds);
    return ahost__await(L, w);
}

/* task.yield(): lets the other ready tasks run first */
static int task_yield(lua_State *L) {
    ahost__wait *w = ahost__wait_begin(L, &yield_wait, NULL);
    ahost__settle(w, 0);
    return ahost__await(L, w);
}

/* Expects [name,] fn, ... from `arg` on. -> task */
static int spawn_named(lua_State *L, ahost__context *ctx, int arg) {
    int named = lua_type(L, arg) == LUA_TSTRING;
    ahost__task *task;
    luaL_checktype(L, arg + named, LUA_TFUNCTION);
    task = ahost__spawn(L, ctx, lua_gettop(L) - arg - named);
    ahost__push_task(L, task);
    if (!named)
        return 1;
    lua_pushvalue(L, arg);
    lua_setiuservalue(L, -2, BOX_NAME);
    lua_pushvalue(L, arg);
    ahost__task_set_text(L, task, AHOST__TASK_NAME);
    return 1;
}

/* task.spawn([name,] fn, ...) -> task */
static int task_spawn(lua_State *L) {
    return spawn_named(L, ahost__context_current(L), 1);
}

int ahost__context_spawn(lua_State *L) {
    return spawn_named(L, ahost__check_context(L, 1), 2);
}

/* task.current() -> task | nil */
static int task_current(lua_State *L) {
    ahost__task *task = ahost__of(L)->current;
    if (task == NULL)
        return 0;
    ahost__push_task(L, task);
    return 1;
}

/* The outcome of the ended task whose handle is at index 1. */
static int push_outcome(lua_State *L) {
    task_box *box = check_box(L, 1);
    int results = box->results;
    if (box->task->state == AHOST__TASK_DONE) {
        if (results == 0)
            return 0;
        lua_getiuservalue(L, 1, BOX_RESULTS);
        if (results == 1)
            return 1;
        luaL_checkstack(L, results, "too many results to join");
        for (int i = 1; i <= results; i++)
            lua_rawgeti(L, -i, i);
        return results;
    }
    lua_pushnil(L);
    lua_getiuservalue(L, 1, BOX_RESULTS);
    if (lua_isnil(L, -1)) /* cancelled before its first run, or memory failed */
        ahost__push_error(L,
                          box->task->state == AHOST__TASK_CANCELLED
                              ? AHOST__CANCELLED
                              : AHOST__FAILED,
                          "join");
    return 2;
}

static int finish_join(lua_State *L, ahost__wait *w) {
    if (w->status == AHOST__TIMEDOUT)
        return ahost__fail(L, AHOST__TIMEDOUT, "join");
    return push_outcome(L);
}

static const ahost__wait_type join_wait = {"join", finish_join, NULL};

/* task:join([timeout]) -> ... | nil, err */
static int task_join(lua_State *L) {
    ahost__task *task = check_box(L, 1)->task;
    double timeout = ahost__opt_timeout(L, 2);
    ahost__wait *w;
    lua_settop(L, 1);
    if (task->state >= AHOST__TASK_DONE)
        return push_outcome(L);
    if (task == ahost__of(L)->current)
        return luaL_error(L, "a task cannot join itself");
    w = ahost__wait_begin(L, &join_wait, task);
    ahost__wait_timeout(w, timeout);
    ahost__list_append(&task->joiners, &w->link);
    return ahost__await(L, w);
}

/* task:cancel([reason]) */
static int task_cancel(lua_State *L) {
    ahost__task *task = check_box(L, 1)->task;
    if (task->state >= AHOST__TASK_DONE)
        return 0;
    if (!lua_isnoneornil(L, 2)) {
        luaL_checkstring(L, 2);
        lua_settop(L, 2);
        ahost__task_set_text(L, task, AHOST__TASK_REASON);
    }
    ahost__task_cancel(task);
    return 0;
}

/* task:status() -> "running" | "done" | "failed" | "cancelled" */
static int task_status(lua_State *L) {
    ahost__task *task = check_box(L, 1)->task;
    const char *status = "running";
    if (task->state == AHOST__TASK_DONE)
        status = "done";
    else if (task->state == AHOST__TASK_FAILED)
        status = "failed";
    else if (task->state == AHOST__TASK_CANCELLED ||
             (task->cancelled && !task->started))
        status = "cancelled";
    lua_pushstring(L, status);
    return 1;
}

/* Methods, and the one field `name`. */
static int task_index(lua_State *L) {
    check_box(L, 1);
    lua_settop(L, 2);
    if (lua_rawequal(L, 2, lua_upvalueindex(2)))
        lua_getiuservalue(L, 1, BOX_NAME);
    else
        lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static int task_tostring(lua_State *L) {
    ahost__task_push_name(L, check_box(L, 1)->task);
    lua_pushcfunction(L, task_status);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_pushfstring(L, "task: %s (%s)", lua_tostring(L, -2),
                    lua_tostring(L, -1));
    return 1;
}

/* The handle is unreachable: an ended task's structure can be used again. */
static int task_gc(lua_State *L) {
    ahost__task *task = check_box(L, 1)->task;
    task->boxed = 0;
    if (task->state >= AHOST__TASK_DONE)
        free_task(task);
    return 0;
}

static const luaL_Reg methods[] = {{"join", task_join},
                                   {"cancel", task_cancel},
                                   {"status", task_status},
                                   {NULL, NULL}};

static const luaL_Reg functions[] = {{"spawn", task_spawn},
                                     {"sleep", task_sleep},
                                     {"yield", task_yield},
                                     {"current", task_current},
                                     {"timeout", ahost__task_timeout},
                                     {"shield", ahost__task_shield},
                                     {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__tostring", task_tostring}, {"__gc", task_gc}, {NULL, NULL}};

/* -> the functions in C; lua/ahost/task.lua adds the rest */
int ahost__open_task(lua_State *L) {
    if (luaL_newmetatable(L, TASK_TYPE)) {
        luaL_setfuncs(L, meta, 0);
        luaL_newlib(L, methods);
        lua_pushliteral(L, "name");
        lua_pushcclosure(L, task_index, 2);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
