/*
 * embed_call.c - Lua functions called from C, each in a task of its own.
 */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "embed.h"
#include "error.h"
#include "frame.h"
#include "host.h"
#include "value.h"

typedef struct call {
    ahost__link link; /* among the host's */
    ahost *host;
    ahost__task *task;
    int32_t floor; /* of the task, before the function is called */
    /* what is called: a function of ahost.embedding, and its arguments */
    const char *function, *component, *name;
    const ahost_value *arguments;
    ahost_done_function *done; /* NULL: nobody wants to know */
    void *data;
    int waited_for; /* failures are no news to the log */
} call;

/* ---- the end of a call -------------------------------------------------- */

/* Tells of the end, once. `result` may be NULL: no memory for it. */
static void end_call(call *c, int code, const ahost_value *result) {
    ahost__list_remove(&c->link);
    if (c->done != NULL)
        c->done(c->host, c->data, code, result);
    free(c);
}

/* (error, traceback or nil) -> text */
static int describe(lua_State *L) {
    const char *text = luaL_tolstring(L, 1, NULL);
    int world = ahost__is_error(L, 1, AHOST__ANY) &&
                !ahost__is_error(L, 1, AHOST__FAILED);
    if (!world && lua_isstring(L, 2))
        lua_pushfstring(L, "%s\n%s", text, lua_tostring(L, 2));
    return 1;
}

/* Pushes the text of the error on the top, or nil for want of memory. */
static void push_description(lua_State *L, ahost__task *task) {
    lua_pushcfunction(L, describe);
    lua_pushvalue(L, -2);
    ahost__task_push_text(L, task, AHOST__TASK_TRACEBACK);
    if (lua_pcall(L, 2, 1, 0) == LUA_OK)
        return;
    lua_pop(L, 1);
    lua_pushnil(L);
}

/* The error is on the top. */
static void call_failed(lua_State *L, call *c, int status) {
    int cancelled = ahost__is_error(L, -1, AHOST__CANCELLED);
    int code = status == LUA_ERRMEM ? AHOST_NO_MEMORY
               : cancelled          ? AHOST_ENDED
                                    : ahost__code_of_error(L, -1);
    const char *text;
    ahost_value *description;
    push_description(L, c->task);
    text = lua_tostring(L, -1);
    if (c->done == NULL && !c->waited_for && !cancelled)
        ahost__log(c->host, AHOST_LOG_ERROR, "ahost.embedding", "%s: %s",
                   c->function, text != NULL ? text : "not enough memory");
    description = ahost_make_string(text);
    end_call(c, code, description);
    ahost_value_free(description);
}

/* Stack: handler, result or error. */
static int call_ended(lua_State *L, int status, lua_KContext context) {
    call *c = (call *)context;
    ahost_value *result;
    c->task->floor = c->floor;
    if (!ahost__returned(status)) {
        call_failed(L, c, status);
        return 0;
    }
    result = ahost__read_value(L, -1);
    end_call(c, result != NULL ? AHOST_OK : AHOST_NO_MEMORY, result);
    ahost_value_free(result);
    return 0;
}

/* The body of the task. Stack: call, function, arguments. */
static int run_call(lua_State *L) {
    call *c = lua_touserdata(L, 1);
    int status;
    c->host->begun = 1;
    c->floor = c->task->floor;
    lua_pushcfunction(L, ahost__on_raise);
    lua_replace(L, 1);
    status =
        lua_pcallk(L, lua_gettop(L) - 2, 1, 1, (lua_KContext)c, call_ended);
    return call_ended(L, status, (lua_KContext)c);
}

void ahost__calls_end(ahost *h) {
    h->inside++;
    while (!ahost__list_empty(&h->calls)) {
        ahost_value *text = ahost_make_string("the host has ended");
        end_call(ahost__container_of(h->calls.next, call, link), AHOST_ENDED,
                 text);
        ahost_value_free(text);
    }
    h->inside--;
}

/* ---- the start of a call ------------------------------------------------ */

static void push_text(lua_State *L, const char *text) {
    if (text != NULL)
        lua_pushstring(L, text);
    else
        lua_pushnil(L);
}

/* (call) */
static int start(lua_State *L) {
    call *c = lua_touserdata(L, 1);
    lua_pushcfunction(L, run_call);
    lua_insert(L, 1);
    ahost__push_embedding(L, c->function);
    push_text(L, c->component);
    push_text(L, c->name);
    ahost__push_items(L, c->arguments);
    c->task = ahost__spawn(L, c->host->root, lua_gettop(L) - 1);
    return 0;
}

/* Starts a call like the given one. AHOST_OK: its `done` will be called. */
static int start_call(ahost *h, const call *given, call **started) {
    call *c = malloc(sizeof(*c));
    int err;
    if (c == NULL)
        return ahost__refuse(h, AHOST_NO_MEMORY, "not enough memory");
    *c = *given;
    c->host = h;
    err = ahost__protect(h, start, c);
    if (err != AHOST_OK) {
        free(c);
        return err;
    }
    ahost__list_append(&h->calls, &c->link);
    if (started != NULL)
        *started = c;
    return AHOST_OK;
}

static int check_call(ahost *h, const char *function, const call *c,
                      int needs) {
    int err = ahost__check(h, function, needs | AHOST__TAKES);
    if (err == AHOST_OK && c->name == NULL)
        err = ahost__refuse(h, AHOST_MISUSE, "%s: no name of a function",
                            function);
    return err == AHOST_OK ? ahost__check_list(h, function, c->arguments) : err;
}

int ahost_call_later(ahost *h, const char *component, const char *name,
                     const ahost_value *arguments, ahost_done_function *done,
                     void *data) {
    call c = {.function = "call",
              .component = component,
              .name = name,
              .arguments = arguments,
              .done = done,
              .data = data};
    int err = check_call(h, "ahost_call_later", &c, 0);
    if (err == AHOST_OK)
        err = start_call(h, &c, NULL);
    if (err == AHOST_OK)
        ahost__ready_begin(h);
    return err;
}

/* ---- waiting for it ----------------------------------------------------- */

typedef struct outcome {
    int ended, code;
    ahost_value *result;
} outcome;

static void on_done(ahost *h, void *data, int code, const ahost_value *result) {
    outcome *o = data;
    const char *text = ahost_value_string(result, NULL);
    o->ended = 1;
    o->code = code;
    if (code != AHOST_OK) {
        ahost__keep_errmsg(h, text);
        return;
    }
    o->result = ahost_value_copy(result);
    if (o->result == NULL)
        o->code = ahost__refuse(h, AHOST_NO_MEMORY, "not enough memory");
}

/* Nobody waits for it any more. */
static void give_up(call *c) {
    c->done = NULL;
    c->waited_for = 1;
    ahost__task_cancel(c->task);
}

/* Milliseconds until then, at least 1; less than 0: for ever. */
static int milliseconds_left(uint64_t until) {
    uint64_t now = uv_hrtime();
    if (until == 0)
        return -1;
    return until > now + 1000000 ? (int)((until - now) / 1000000) : 1;
}

/* Turns the loop until the call has ended or its time is up. */
static void wait_for(ahost *h, call *c, outcome *o, double seconds) {
    uint64_t until = 0;
    if (seconds >= 0)
        until =
            uv_hrtime() + (uint64_t)((seconds < 1e6 ? seconds : 1e6) * 1e9) + 1;
    while (!o->ended) {
        if (until != 0 && uv_hrtime() >= until) {
            give_up(c);
            o->code = ahost__refuse(h, AHOST_TIMED_OUT, "timed out after %g s",
                                    seconds);
            break;
        }
        if (!ahost__turn_to_wait(h, milliseconds_left(until)) && !o->ended) {
            give_up(c);
            o->code =
                ahost__refuse(h, AHOST_FAILED,
                              "nothing is left that could wake the function");
            break;
        }
    }
}

int ahost_call(ahost *h, const char *component, const char *name,
               const ahost_value *arguments, double seconds,
               ahost_value **result) {
    outcome o = {0};
    call given = {.function = "call",
                  .component = component,
                  .name = name,
                  .arguments = arguments,
                  .done = on_done,
                  .data = &o};
    call *c;
    int err = check_call(h, "ahost_call", &given, AHOST__OUTSIDE);
    if (result != NULL)
        *result = NULL;
    if (err == AHOST_OK && isnan(seconds))
        err = ahost__refuse(h, AHOST_MISUSE,
                            "ahost_call: the seconds are not a number");
    if (err == AHOST_OK && h->guest != NULL)
        err = ahost__refuse(h, AHOST_MISUSE,
                            "ahost_call: this host runs on the program's own "
                            "loop: see ahost_call_later");
    if (err == AHOST_OK)
        err = start_call(h, &given, &c);
    if (err != AHOST_OK)
        return err;
    ahost__ready_begin(h);
    if (!o.ended)
        wait_for(h, c, &o, seconds);
    if (result != NULL)
        *result = o.result;
    else
        ahost_value_free(o.result);
    return o.code;
}

/* ---- reloading ---------------------------------------------------------- */

/* Whether there is something to be reloaded; raises otherwise. */
static int check_reload(lua_State *L) {
    int *supported = lua_touserdata(L, 1);
    ahost__push_embedding(L, "can_reload");
    lua_call(L, 0, 1);
    *supported = lua_toboolean(L, -1);
    return 0;
}

int ahost_reload(ahost *h, const char *component, ahost_done_function *done,
                 void *data) {
    call c = {.function = "reload",
              .component = component,
              .done = done,
              .data = data};
    int supported = 0;
    int err = ahost__check(h, "ahost_reload", AHOST__TAKES);
    if (err == AHOST_OK)
        err = ahost__protect(h, check_reload, &supported);
    if (err == AHOST_OK && !supported)
        err = ahost__refuse(h, AHOST_NOT_SUPPORTED,
                            "ahost_reload: nothing can be reloaded here");
    if (err == AHOST_OK)
        err = start_call(h, &c, NULL);
    if (err == AHOST_OK)
        ahost__ready_begin(h);
    return err;
}
