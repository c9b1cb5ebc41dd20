/*
 * listeners.h - functions that are called when something happens, in order,
 * each in the context in which it was added; what signals and buses share.
 *
 * The listeners are embedded in a userdata, the box, which is made with
 * AHOST__LISTENERS_VALUES user values or more. The functions below find the box
 * at index 1.
 */
#ifndef AHOST_LISTENERS_H
#define AHOST_LISTENERS_H

#include <lua.h>
#include <stdint.h>
#include "context.h"
#include "list.h"
#include "task.h"

typedef struct ahost__listeners ahost__listeners;

typedef struct ahost__listeners_type {
    const char *logger; /* hears of failures */
    int skips_removed;  /* who is removed before its turn is not called */
    int labelled;       /* the first argument is a name for log records */
    /* Listeners came or went, maybe where Lua cannot be used; or NULL. */
    void (*changed)(ahost__listeners *listeners, int by);
    /* The last one has been removed; or NULL. */
    void (*emptied)(lua_State *L, ahost__listeners *listeners);
} ahost__listeners_type;

struct ahost__listeners {
    const ahost__listeners_type *type;
    ahost__link ended;    /* those whose context has ended */
    ahost__job prune_job; /* takes them out of the list */
    int slots;            /* of the list, some of them empty */
    int live;             /* slots that are not */
    uint32_t version;     /* of the list: grows when it is copied */
    uint8_t shared;       /* a delivery goes through it: copy, then change */
};

typedef struct ahost__listener {
    ahost__owned owned;
    ahost__link link;            /* among the ended ones */
    ahost__link same;            /* a ring of those of the same function */
    ahost__listeners *listeners; /* NULL once removed */
    ahost__context *ctx;         /* where it runs; counted */
    int slot;                    /* in the list */
    uint8_t counted;             /* as one who hears: it is not staged */
    uint8_t follows;             /* one of the next two is not 0 */
    /* numbers of the commits by which it came to hear, and ceased to, with its
     * generation; 0: none */
    uint64_t since, until;
} ahost__listener;

/* User values of the box: the list, a table of the oldest listener of each
 * function. */
enum {
    AHOST__LISTENERS_LIST = 1,
    AHOST__LISTENERS_BY_FUNCTION,
    AHOST__LISTENERS_VALUES = 2
};

/* Prepares the zeroed listeners of the new box on the top. */
void ahost__listeners_init(lua_State *L, ahost__listeners *listeners,
                           const ahost__listeners_type *type);

/* The box is collected. */
void ahost__listeners_free(ahost__listeners *listeners);

/* Pushes the listener that calls the function at index 2 in `ctx`, or nil, and
 * NULL is returned. */
ahost__listener *ahost__push_listener(lua_State *L, ahost__context *ctx);

/* The same in any context that is staged, or is not, as the current one. */
ahost__listener *ahost__push_any_listener(lua_State *L);

/* Adds the function at index 2 and pushes its listener. */
void ahost__listeners_add(lua_State *L, ahost__listeners *listeners,
                          ahost__context *ctx);

/* Does nothing when it has been removed already. */
void ahost__listener_remove(lua_State *L, ahost__listener *listener);

/* Removes those whose contexts have ended. */
void ahost__listeners_prune(lua_State *L, ahost__listeners *listeners);

/* The listener at `arg`, or NULL. */
ahost__listener *ahost__test_listener(lua_State *L, int arg);

/* One call of all listeners, as they were when it began. */
typedef struct ahost__delivery {
    ahost__series series;
    ahost__listeners *listeners;
    uint64_t commits; /* those before it */
    int slot, slots;
    uint32_t version;
    uint8_t shared;
} ahost__delivery;

/* Begins a delivery and pushes what it needs. The caller pushes a table on that
 * if it wants the handles of the tasks, then the arguments. */
void ahost__delivery_begin(lua_State *L, ahost__delivery *delivery,
                           ahost__listeners *listeners);

/* Calls the listeners, pops everything. With `handles`, those of their tasks
 * are appended to the table below the arguments. */
void ahost__delivery_run(lua_State *L, ahost__delivery *delivery, int arguments,
                         int handles);

/* Waits for all tasks of the table of handles on the top; to be returned by a C
 * function. -> true | nil, err */
int ahost__listeners_join(lua_State *L, const char *op);

/* Raises unless the caller, `op`, may wait. */
void ahost__check_waitable(lua_State *L, const char *op);

/* Pushes the table with weak values that finds Lua values by C addresses. */
void ahost__push_addresses(lua_State *L);

/* Makes what the functions above need, once. */
void ahost__open_listeners(lua_State *L);

#endif
