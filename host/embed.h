/*
 * embed.h - what the functions of ahost.h share: checks, messages, and the way
 * into Lua from a program's C code.
 */
#ifndef AHOST_EMBED_H
#define AHOST_EMBED_H

#include <lua.h>
#include <uv.h>
#include "ahost.h"
#include "context.h"
#include "list.h"
#include "task.h"

/* ---- the way in: embed.c ------------------------------------------------ */

/* What a function needs besides a host and its thread. */
enum {
    AHOST__OUTSIDE = 1,  /* no code of the host is under way */
    AHOST__GOING_ON = 2, /* the host has not ended */
    AHOST__TAKES = 4     /* nor begun to: it takes new work */
};

/* AHOST_OK, or why the function cannot be called now, with its message kept. */
int ahost__check(ahost *h, const char *function, int needs);

/* AHOST_OK, or why these cannot be arguments; NULL are none. */
int ahost__check_list(ahost *h, const char *function, const ahost_value *list);

/* Whether this is the host's thread; `h` may be NULL. */
int ahost__is_own_thread(const ahost *h);

/* Keeps a message (printf formats), returns the code. */
int ahost__refuse(ahost *h, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Keeps a message for ahost_errmsg; NULL: there was no memory for one. */
void ahost__keep_errmsg(ahost *h, const char *text);

/* Calls fn with the data as a light userdata at index 1, where Lua can be used,
 * like a job. AHOST_OK, or the code of the error that it raised, kept. */
int ahost__protect(ahost *h, lua_CFunction fn, void *data);

/* The code of ahost.h for the error at an index. */
int ahost__code_of_error(lua_State *L, int index);

/* Pushes a function of the module ahost.embedding. */
void ahost__push_embedding(lua_State *L, const char *name);

/* ---- opening and loading ------------------------------------------------ */

/* Copies what a program gives, with defaults for the rest; AHOST_OK or a code.
 */
int ahost__take_options(const ahost_options *given, ahost_options *options);
void ahost__read_options(ahost *h, const ahost_options *options);

/* The main task that runs has failed before its first await. `text` may be NULL
 * for want of memory. */
void ahost__load_failed(ahost *h, int code, const char *text);

/* Lua code looks whether it is to stop after so many instructions. */
void ahost__interrupt_every(ahost *h, int instructions);

/* Leaves the program's loop. */
void ahost__guest_leave(ahost *h);

/* ---- running: running.c ------------------------------------------------- */

/* One turn of the host's own loop, waiting for so many milliseconds at most
 * (less than 0: for ever). Whether the host goes on. */
int ahost__turn(ahost *h, int milliseconds);

/* The same for a program that waits for a call: false, too, when nothing could
 * end it. */
int ahost__turn_to_wait(ahost *h, int milliseconds);

/* The same for programs: ends the host when nothing is left to do, and tells of
 * it. */
int ahost__step(ahost *h, int milliseconds);

/* Runs until the host has ended. */
void ahost__run_to_the_end(ahost *h);

/* What waits for the end hears of it: calls, posted functions. */
void ahost__tell_ended(ahost *h);

/* The watchdog looks after what runs from now on. */
void ahost__watch_runs(ahost *h);

/* ---- posted functions: post.c ------------------------------------------- */

typedef struct ahost__post ahost__post;

typedef struct ahost__posts {
    uv_mutex_t mutex; /* of the fields in this group */
    ahost__post *first, **last;
    unsigned count;
    int closed;

    unsigned max;
    uv_async_t arrival;
    ahost__job job;
} ahost__posts;

/* Both return 0 or a negative code of libuv. Between them nothing is taken. */
int ahost__posts_init(ahost *h);
int ahost__posts_open(ahost *h, unsigned max);

/* Nothing is posted any more; drops what waits. Does nothing twice. */
void ahost__posts_close(ahost *h);
void ahost__posts_free(ahost *h);

/* Whether posted functions wait. They are made ready to run. */
int ahost__posts_wait(ahost *h);

/* ---- the application: embed_application.c ------------------------------- */

/* The context where a program's own code looks for resources: of the code that
 * calls it, of the application, or the root. */
ahost__context *ahost__lookup_context(lua_State *L);

/* ahost.embedding.host */
int ahost__open_embedding(lua_State *L);

/* ---- resources, events, calls ------------------------------------------- */

/* Whether the value is what C has published. Never raises. */
int ahost__to_pointer(lua_State *L, int index, const ahost_type **type,
                      void **pointer);

/* Pushes the resource of the key, or nil. */
void ahost__push_resource(lua_State *L, const char *key);

/* Subscribes what waits for an application's bus, the value at `bus`. */
void ahost__attach_connections(lua_State *L, int bus);

/* The Lua state is gone. */
void ahost__connections_free(ahost *h);

/* Ends the calls that are under way with AHOST_ENDED. */
void ahost__calls_end(ahost *h);

/* runtime.registered(name) -> component written in C, or nothing */
int ahost__component_registered(lua_State *L);

#endif
