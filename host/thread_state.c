/*
 * thread_state.c - the Lua states of workers: their memory, the hook by which
 * they are asked to end, and how they are used again.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "thread.h"

/* Instructions between two looks at whether the code is to end. */
enum { HOOK_COUNT = 1000 };

/* Bytes above which an idle state is not left without a collection. */
enum { MUCH = 16 << 20 };

/* For code that calls thread.cancelled() to find out by itself. */
static const uint64_t grace = 1000000000;

/* ---- memory ------------------------------------------------------------- */

static void *allocate(void *ud, void *block, size_t old_size, size_t new_size) {
    ahost__thread_state *state = ud;
    void *moved;
    if (block == NULL)
        old_size = 0; /* it held the type of the new object */
    if (new_size == 0) {
        free(block);
        state->memory -= old_size;
        return NULL;
    }
    if (state->limit != 0 && new_size > old_size &&
        (new_size - old_size > state->limit ||
         state->memory > state->limit - (new_size - old_size))) {
        state->exhausted = 1;
        return NULL;
    }
    moved = realloc(block, new_size);
    if (moved != NULL)
        state->memory += new_size - old_size;
    return moved;
}

ahost__thread_state *ahost__thread_state_of(lua_State *L) {
    void *state;
    lua_getallocf(L, &state);
    return state;
}

/* ---- being asked to end ------------------------------------------------- */

int ahost__thread_raise_cancelled(lua_State *L, ahost__thread_state *state) {
    state->raised++;
    return ahost__raise(L, AHOST__CANCELLED, "cancelled");
}

static int has_time(ahost__thread_state *state) {
    uint64_t now = uv_hrtime();
    if (state->told == 0)
        state->told = now;
    return state->polls && now - state->told < grace;
}

/* The first time is an error that the code may clean up after; code that goes
 * on is told so at every instruction from the second time on. */
static void on_count(lua_State *L, lua_Debug *ar) {
    ahost__thread_state *state = ahost__thread_state_of(L);
    (void)ar;
    if (!ahost__thread_cancelled(state) || has_time(state))
        return;
    if (state->raised > 0)
        lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    ahost__thread_raise_cancelled(L, state);
}

void ahost__thread_state_cancel(ahost__thread_state *state) {
    uv_mutex_lock(&state->mutex);
    __atomic_store_n(&state->cancelled, 1, __ATOMIC_RELEASE);
    if (state->blocked_in != NULL)
        ahost__channel_stir(state->blocked_in);
    uv_mutex_unlock(&state->mutex);
}

/* ---- one state ---------------------------------------------------------- */

static int open_state(lua_State *L) {
    luaL_openlibs(L);
    ahost__thread_open_modules(L);
    return 0;
}

static void free_state(ahost__thread_state *state) {
    if (state->L != NULL)
        lua_close(state->L);
    uv_mutex_destroy(&state->mutex);
    ahost__threads_unref(state->threads);
    free(state);
}

static ahost__thread_state *make_state(const ahost__thread_states *states) {
    ahost__thread_state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return NULL;
    state->threads = states->threads;
    __atomic_add_fetch(&state->threads->references, 1, __ATOMIC_RELAXED);
    uv_mutex_init(&state->mutex);
    state->limit = states->limit;
    state->interruptible = states->interruptible;
    state->L = lua_newstate(allocate, state);
    if (state->L == NULL) {
        free_state(state);
        return NULL;
    }
    *(ahost **)lua_getextraspace(state->L) = NULL;
    lua_pushcfunction(state->L, open_state);
    if (lua_pcall(state->L, 0, 0, 0) != LUA_OK) {
        free_state(state);
        return NULL;
    }
    return state;
}

/* ("path" or "cpath", text) as light userdata */
static int set_path(lua_State *L) {
    lua_getglobal(L, "package");
    lua_pushstring(L, lua_touserdata(L, 1));
    lua_setfield(L, -2, "path");
    lua_pushstring(L, lua_touserdata(L, 2));
    lua_setfield(L, -2, "cpath");
    return 0;
}

/* With the states locked. */
static int update_path(const ahost__thread_states *states,
                       ahost__thread_state *state) {
    if (state->path_version == states->path_version)
        return 1;
    lua_pushcfunction(state->L, set_path);
    lua_pushlightuserdata(state->L, states->path);
    lua_pushlightuserdata(state->L, states->cpath);
    if (lua_pcall(state->L, 2, 0, 0) != LUA_OK)
        return 0;
    state->path_version = states->path_version;
    return 1;
}

/* ---- the states of a pool ----------------------------------------------- */

ahost__thread_states *ahost__thread_states_new(ahost__threads *threads,
                                               size_t limit,
                                               int interruptible) {
    ahost__thread_states *states = calloc(1, sizeof(*states));
    if (states == NULL) {
        ahost__threads_unref(threads);
        return NULL;
    }
    uv_mutex_init(&states->mutex);
    states->threads = threads;
    states->limit = limit;
    states->interruptible = interruptible;
    states->references = 1;
    return states;
}

static void free_idle(ahost__thread_state *state) {
    while (state != NULL) {
        ahost__thread_state *next = state->next;
        free_state(state);
        state = next;
    }
}

void ahost__thread_states_unref(ahost__thread_states *states) {
    if (__atomic_sub_fetch(&states->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free_idle(states->idle);
    uv_mutex_destroy(&states->mutex);
    ahost__threads_unref(states->threads);
    free(states->path);
    free(states->cpath);
    free(states);
}

void ahost__thread_states_close(ahost__thread_states *states) {
    ahost__thread_state *idle;
    uv_mutex_lock(&states->mutex);
    states->closed = 1;
    idle = states->idle;
    states->idle = NULL;
    uv_mutex_unlock(&states->mutex);
    free_idle(idle);
}

static int is_path(const ahost__thread_states *states, const char *path,
                   const char *cpath) {
    return states->path != NULL && strcmp(states->path, path) == 0 &&
           strcmp(states->cpath, cpath) == 0;
}

int ahost__thread_states_set_path(ahost__thread_states *states,
                                  const char *path, const char *cpath) {
    char *new_path, *new_cpath;
    if (is_path(states, path, cpath)) /* which this thread alone changes */
        return 0;
    new_path = strdup(path);
    new_cpath = strdup(cpath);
    if (new_path == NULL || new_cpath == NULL) {
        free(new_path);
        free(new_cpath);
        return UV_ENOMEM;
    }
    uv_mutex_lock(&states->mutex);
    free(states->path);
    free(states->cpath);
    states->path = new_path;
    states->cpath = new_cpath;
    states->path_version++;
    uv_mutex_unlock(&states->mutex);
    return 0;
}

ahost__thread_state *ahost__thread_state_take(ahost__thread_states *states) {
    ahost__thread_state *state;
    uv_mutex_lock(&states->mutex);
    state = states->idle;
    if (state != NULL)
        states->idle = state->next;
    uv_mutex_unlock(&states->mutex);
    if (state == NULL && (state = make_state(states)) == NULL)
        return NULL;
    uv_mutex_lock(&states->mutex);
    if (!update_path(states, state)) {
        uv_mutex_unlock(&states->mutex);
        free_state(state);
        return NULL;
    }
    uv_mutex_unlock(&states->mutex);
    state->polls = 0;
    if (state->interruptible)
        lua_sethook(state->L, on_count, LUA_MASKCOUNT, HOOK_COUNT);
    return state;
}

/* What a call leaves behind is to keep neither memory nor the collector from
 * their work. */
static void tidy(ahost__thread_state *state) {
    lua_settop(state->L, 0);
    lua_gc(state->L, LUA_GCRESTART);
    if (state->memory > MUCH)
        lua_gc(state->L, LUA_GCCOLLECT);
}

/* One that was told to end may have been left in the middle of anything. */
static int is_fit(const ahost__thread_state *state) {
    return !state->exhausted && !ahost__thread_cancelled(state);
}

void ahost__thread_state_give(ahost__thread_states *states,
                              ahost__thread_state *state) {
    int kept = 0;
    if (is_fit(state))
        tidy(state);
    uv_mutex_lock(&states->mutex);
    if (!states->closed && is_fit(state)) {
        state->next = states->idle;
        states->idle = state;
        kept = 1;
    }
    uv_mutex_unlock(&states->mutex);
    if (!kept)
        free_state(state);
}
