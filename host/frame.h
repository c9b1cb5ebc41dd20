/*
 * frame.h - bounded regions of a task: timeouts, scopes and shields.
 *
 * Frames nest like the calls that made them. A frame that has fired (its time
 * is up, or a task of the scope failed) makes every await inside it raise
 * CANCELLED until the region is left. The task's own cancellation is depth 0;
 * `task->floor` masks everything up to a depth: a shield raises it, and so does
 * an error while it unwinds, for the `<close>` variables that wait then.
 */
#ifndef AHOST_FRAME_H
#define AHOST_FRAME_H

#include "task.h"

typedef struct ahost__limit ahost__limit;

struct ahost__frame {
    ahost__frame *outer;
    ahost__task *task;
    lua_State *L;        /* the coroutine that entered it */
    ahost__timer timer;  /* of a timeout */
    ahost__limit *limit; /* in real time, of a test; or NULL */
    int32_t depth;       /* 1 for the outermost */
    int32_t floor;       /* the task's, when the frame was entered */
    uint8_t fired;
    int status;                /* how the body of a scope ended */
    ahost__context *ctx;       /* of a scope */
    ahost__context *outer_ctx; /* the task's current context outside it */
};

/* Enters a frame; raises outside a task or when memory is short. */
ahost__frame *ahost__frame_enter(lua_State *L);

/* Leaves a frame and those inside it, and frees them. Inside there are some
 * only when the code that entered them never came to leave them. */
void ahost__frame_leave(ahost__frame *frame);

/* Makes awaits inside the frame raise CANCELLED from now on. */
void ahost__frame_fire(ahost__frame *frame);

/* Whether somebody outside the frame wants its task to end. */
int ahost__frame_interrupted(const ahost__frame *frame);

/* Whether the task's next await has to raise. */
int ahost__task_interrupted(const ahost__task *task);

/* The message handler of protected calls in tasks: masks cancellation while
 * the error unwinds, remembers the traceback; returns the error unchanged. */
int ahost__on_raise(lua_State *L);

/* Whether a protected call came to its end, with a wait in it (its continuation
 * is given LUA_YIELD then) or without. */
static inline int ahost__returned(int status) {
    return status == LUA_OK || status == LUA_YIELD;
}

/* Replaces pcall, xpcall, coroutine.resume and friends in the globals. */
void ahost__open_protect(lua_State *L);
void ahost__open_coroutine(lua_State *L);

/* task.timeout and task.shield. */
int ahost__task_timeout(lua_State *L);
int ahost__task_shield(lua_State *L);

#endif
