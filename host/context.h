/*
 * context.h - contexts: lifetimes that own tasks, handles, teardown callbacks
 * and resources, and end them together.
 */
#ifndef AHOST_CONTEXT_H
#define AHOST_CONTEXT_H

#include <lua.h>
#include "list.h"
#include "task.h"

typedef struct ahost__owned ahost__owned;

typedef struct ahost__owned_type {
    const char *what;  /* for messages and ahost.host.stats(): "listener" */
    int keeps_running; /* true for what keeps a script alive: listeners... */
    /* The context ends: release the thing. Must not wait or use Lua. */
    void (*close)(ahost__owned *owned);
    int acts; /* true for what calls the context's code later: timers */
    /* Adds fields that tell of the thing to the table on the top. NULL: there
     * is nothing to tell. Must not call Lua code. */
    void (*describe)(lua_State *L, ahost__owned *owned);
    /* The component has been replaced by a newer generation: what heard or
     * accepted for it does so no more. NULL: it stays until its context ends.
     * Must not wait, fail or use Lua. */
    void (*retire)(ahost__owned *owned);
    /* The generation is the current one from now on: what was paused begins.
     * NULL: nothing was. The same holds. */
    void (*activate)(ahost__owned *owned);
    /* Its end takes time: the context asks for it when everything else in it
     * has ended, and waits until the thing has disowned itself, for
     * stop_timeout and a second at most; then it calls `close`. NULL: `close`
     * is all. Must not wait, fail or use Lua. */
    void (*end)(ahost__owned *owned);
} ahost__owned_type;

/* Something that a context closes when it ends; embedded in the thing. */
struct ahost__owned {
    ahost__link link;
    ahost__context *ctx; /* NULL while nobody owns it */
    const ahost__owned_type *type;
    uint8_t serving; /* a task of a connection has opened it */
};

typedef enum ahost__context_state {
    AHOST__CONTEXT_OPEN,
    AHOST__CONTEXT_CLOSING,
    AHOST__CONTEXT_CLOSED
} ahost__context_state;

typedef enum ahost__on_error {
    AHOST__ON_ERROR_FAIL, /* a failure ends the context and goes to its owner */
    AHOST__ON_ERROR_LOG,  /* a failure is logged and ends only its task */
    AHOST__ON_ERROR_PEER  /* the same; the world's errors at level debug */
} ahost__on_error;

/* What a context is to the application that it belongs to. */
typedef enum ahost__context_kind {
    AHOST__CONTEXT_PLAIN,
    AHOST__CONTEXT_COMPONENT, /* its publications appear in its parent */
    AHOST__CONTEXT_ISOLATED,  /* a component's that keeps them to itself */
    AHOST__CONTEXT_STAGE      /* see stage.h */
} ahost__context_kind;

/* Who wants to know that a child of a context has ended; embedded. */
typedef struct ahost__child_watch {
    void (*ended)(struct ahost__child_watch *watch);
} ahost__child_watch;

/* Where the first failure in a context is: in the Lua side, or nowhere for want
 * of memory. */
enum { AHOST__FAILURE_LOST = 1, AHOST__FAILURE_KEPT };

struct ahost__context {
    ahost *host;
    ahost__context *parent; /* counted; NULL for the root */
    ahost__link link;       /* among the parent's children */
    ahost__link children, tasks, owned;
    ahost__link waiters; /* of those who wait for its end or its tasks' */
    ahost__task *closer; /* the task that closes it */
    ahost__frame *scope; /* when it is a scope: the frame of its owner */
    ahost__job close_job;
    ahost__child_watch *watch; /* of its children, or NULL */
    uint32_t slot;             /* index of its Lua side; 0 while it has none */
    uint32_t references;       /* tasks, children, Lua, owned things */
    uint32_t task_count;
    uint32_t lasting; /* owned things whose end takes time */
    uint32_t serving; /* of those tasks, that belong to a connection */
    uint8_t state, on_error;
    uint8_t unwinding; /* while it closes: its own tasks have been cancelled */
    uint8_t failed;    /* AHOST__FAILURE_LOST or AHOST__FAILURE_KEPT, or 0 */
    uint8_t has_callbacks, has_attributes, has_resources;
    uint8_t ending;       /* those have been asked to end */
    uint8_t overdue;      /* and have not done so in time */
    uint8_t cancels_tree; /* closing cancels all tasks below at once */
    uint8_t kind;         /* ahost__context_kind */
    uint8_t marked;       /* one of those that are looked for */
    uint8_t failed_late;  /* of an application: a component failed at its end */
    uint8_t staged;       /* of a generation that is not the current one yet */
    uint8_t replaced; /* of a component that another generation is to follow */
    uint8_t retired;  /* of a generation that another has followed */
};

/* ---- lifetime ----------------------------------------------------------- */

/* A child of `parent` (NULL: the root), with one reference for the caller, or
 * NULL for want of memory. */
ahost__context *ahost__context_new(ahost *h, ahost__context *parent);
void ahost__context_ref(ahost__context *ctx);
void ahost__context_unref(ahost__context *ctx);

/* Where the running code spawns, opens and publishes: the running task's
 * current context, or the root outside tasks. Never NULL in an open host. */
ahost__context *ahost__context_current(lua_State *L);

/* The component that the context belongs to: itself or the next above that is
 * not plain; NULL without one. */
ahost__context *ahost__context_component(ahost__context *ctx);

/* Raises unless the context is open (`what` says what was tried). */
void ahost__context_check_open(lua_State *L, ahost__context *ctx,
                               const char *what);

/* Whose components the context belongs to; NULL: nobody's. */
ahost__context *ahost__context_application(ahost__context *ctx);

/* Whether a newer generation of the component that the context belongs to is to
 * follow. */
int ahost__context_is_replaced(ahost__context *ctx);

/* Whether the running task belongs to a connection of the same component as the
 * context: what it opens and starts there does so, too. */
int ahost__context_serving(ahost__context *ctx);

/* Gives a thing to a context, to be closed with it. */
void ahost__own(ahost__context *ctx, ahost__owned *owned,
                const ahost__owned_type *type);

/* The thing has ended by itself; harmless when nobody owns it. */
void ahost__disown(ahost__owned *owned);

/* Starts to close a context without waiting for it: at once when nothing in it
 * has to be waited for, else in a task of the host's own. May be called in a
 * libuv callback. */
void ahost__context_close(ahost__context *ctx);

/* Closes what the context owns, newest first, and makes it closed: the last
 * step of closing, without waiting. */
void ahost__context_end(ahost__context *ctx);

/* Asks the context's own tasks to end. */
void ahost__context_cancel_tasks(const ahost__context *ctx);

/* The task of `ctx` failed: the error is on the top of L, popped. */
void ahost__context_fail(lua_State *L, ahost__context *ctx, ahost__task *task);

/* Logs the error on the top of L with the task's name, `what` and the task's
 * traceback; the error stays. */
void ahost__log_failure(lua_State *L, int level, const char *logger,
                        ahost__task *task, const char *what);

/* The same when there is no error to keep, for want of memory; allocates
 * nothing. */
void ahost__context_fail_lost(ahost__context *ctx);

/* A task of the context has ended and left it. */
void ahost__context_task_ended(ahost__context *ctx, ahost__task *task);

/* Pushes the context's userdata, always the same one while Lua holds it. */
void ahost__push_context(lua_State *L, ahost__context *ctx);

/* The context at `arg`, or an argument error. */
ahost__context *ahost__check_context(lua_State *L, int arg);

/* ---- the Lua side ------------------------------------------------------- */

/* Pushes the table of the context's Lua side; its fields are the ones below.
 * When there is none, makes it if `create` is set, else pushes nothing and
 * returns false. */
int ahost__context_push_side(lua_State *L, ahost__context *ctx, int create);

/* Pushes one field of the Lua side, or nil. */
void ahost__context_push_field(lua_State *L, ahost__context *ctx, int field);

/* Pops the value on the top into a field of the Lua side. */
void ahost__context_set_field(lua_State *L, ahost__context *ctx, int field);

enum {
    AHOST__SIDE_BOX = 1,    /* the userdata */
    AHOST__SIDE_CALLBACKS,  /* array of on_close functions, oldest first */
    AHOST__SIDE_FAILURE,    /* the first failure, an error of any type */
    AHOST__SIDE_TRACEBACK,  /* and where it was raised */
    AHOST__SIDE_ATTRIBUTES, /* data attributes */
    AHOST__SIDE_VALUES,     /* resources: key, all spellings -> value */
    AHOST__SIDE_ENTRIES,    /* resources: key -> description */
    AHOST__SIDE_MADE,       /* description of a lazy resource -> value */
    AHOST__SIDE_MAKING,     /* the same -> who is at making it */
    AHOST__SIDE_SIGNAL,     /* ctx.published */
    AHOST__SIDE_PATH,       /* of a component: its path */
    AHOST__SIDE_NAME,       /* the name of what it publishes as "default" */
    AHOST__SIDE_PUBLISHED,  /* array of what it has published in its home */
    AHOST__SIDE_HELD,       /* set of the keys that it has looked up */
    AHOST__SIDE_REFERRED,   /* set of the keys that it has references to */
    AHOST__SIDE_CODE        /* of a component: what it has loaded */
};

/* Lets go of the Lua side; what it held is collected in time. */
void ahost__context_drop_side(ahost__context *ctx);

/* Pops a value and, below it, a name: a data attribute. */
void ahost__context_set_attribute(lua_State *L, ahost__context *ctx);

/* Whether the name at `index` cannot be given to a new attribute. */
int ahost__context_has_attribute(lua_State *L, ahost__context *ctx, int index);

/* opts.on_error of the table at `arg`, if there is one. */
int ahost__opt_on_error(lua_State *L, int arg);

/* ctx:spawn, which task.c implements. */
int ahost__context_spawn(lua_State *L);

/* context.scope, ctx:close and its like for `<close>`. */
int ahost__context_scope(lua_State *L);
int ahost__context_close_method(lua_State *L);
int ahost__context_close_metamethod(lua_State *L);

/* The body of a task of the host's own that closes the context at index 1, and
 * begins again when memory is short. */
int ahost__context_close_surely(lua_State *L);

/* Pushes a new child context; raises when the parent is closed. */
int ahost__push_child_context(lua_State *L, ahost__context *parent,
                              int on_error);

int ahost__open_context(lua_State *L);

#endif
