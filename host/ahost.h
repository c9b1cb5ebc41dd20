/*
 * ahost.h - an application host: an event loop and Lua 5.4 in a library.
 *
 *     #include <ahost.h>
 *
 *     int main(void) {
 *         ahost_options options = {.size = sizeof(options)};
 *         ahost *host;
 *         int status = 1;
 *         if (ahost_open(&host, &options) == AHOST_OK) {
 *             if (ahost_load_file(host, "app.lua") == AHOST_OK)
 *                 status = ahost_run(host);
 *             else
 *                 fprintf(stderr, "%s\n", ahost_errmsg(host));
 *             ahost_close(host);
 *         }
 *         return status;
 *     }
 *
 * Threads. A host belongs to the thread that opened it, and so does every
 * function that takes one, but for these, which any thread may call until
 * ahost_close: ahost_post, ahost_stop, ahost_interrupt, ahost_signal,
 * ahost_log_flush. Called elsewhere the others do nothing and return
 * AHOST_MISUSE. A program may have any number of hosts, in one thread or in
 * many: they share nothing. A value (ahost_value) belongs to no host, and to
 * one thread at a time. Calls and instances belong to their host's thread.
 *
 * Results. Functions that return int return AHOST_OK or a negative code, and
 * ahost_errmsg says in words what was wrong, unless they say otherwise (in
 * other threads, and for values, the code has to do). NULL for a host or for
 * what must not be NULL is AHOST_MISUSE; functions that return a pointer return
 * NULL then. Any function that needs memory may return AHOST_NO_MEMORY, and any
 * that has something done may return AHOST_ENDED, once the host has ended.
 *
 * Callbacks. The host calls the program from inside ahost_load_*, ahost_run,
 * ahost_step, ahost_call and ahost_close only (on a loop of the program's: from
 * that). In there all functions may be called but ahost_run, ahost_step,
 * ahost_call, ahost_adopt and ahost_close, which are misuse. Log functions and
 * destructors must call none.
 *
 * Memory. Strings that go in are copied unless it says otherwise. What is
 * handed to a callback is valid until that returns.
 *
 * The library never exits, prints, forks, or touches process signals,
 * environment, standard streams or global allocators: those are the program's,
 * and its scripts' if these ask for them (require "ahost.process",
 * "ahost.log").
 */
#ifndef AHOST_H
#define AHOST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define AHOST_API __attribute__((visibility("default")))
#else
#define AHOST_API
#endif

#define AHOST_VERSION "0.1.0"

/* The version of the library itself; that of the header is AHOST_VERSION. */
AHOST_API const char *ahost_version(void);

/* A host. */
typedef struct ahost ahost;

/* Results of the functions below. */
enum {
    AHOST_OK = 0,
    AHOST_NOT_FOUND = -1, /* there is no such file, resource, function... */
    AHOST_SYNTAX = -2,    /* the code does not compile */
    AHOST_NO_MEMORY = -3,
    AHOST_MISUSE = -4,   /* NULL or the like, or a call at the wrong place */
    AHOST_FAILED = -5,   /* Lua code raised an error, or a C callback failed */
    AHOST_CONFIG = -6,   /* something is wrong with the configuration */
    AHOST_ENDED = -7,    /* the host has ended, or did before this could */
    AHOST_CONFLICT = -8, /* the name is taken */
    AHOST_FULL = -9,     /* so much is waiting that no more is taken */
    AHOST_WRONG_TYPE = -10, /* there is something else of that name */
    AHOST_NOT_SUPPORTED = -11,
    AHOST_TIMED_OUT = -9001
};

/* What a code stands for, in a few words. Any thread. */
AHOST_API const char *ahost_strerror(int code);

/* ---- options ------------------------------------------------------------ */

/* Severity of a log record. */
enum {
    AHOST_LOG_DEBUG = 10,
    AHOST_LOG_INFO = 20,
    AHOST_LOG_NOTICE = 25,
    AHOST_LOG_WARNING = 30,
    AHOST_LOG_ERROR = 40,
    AHOST_LOG_CRITICAL = 50
};

/* One log record. Fields are only ever added at the end. */
typedef struct ahost_record {
    int level;
    const char *logger; /* a dotted name: "ahost.context", "web.sessions" */
    const char *text;   /* may have several lines: a traceback */
    const char *json;   /* its structured data as a JSON object, or NULL */
} ahost_record;

/* Receives one log record, in the host's thread. Must not call the host. */
typedef void ahost_log_function(void *data, const ahost_record *record);

/*
 * Has ahost_interrupted(host) called on the host's thread soon, as by
 * pthread_kill with a process signal whose handler does that. Called in other
 * threads: a watchdog's, or whichever calls ahost_interrupt.
 */
typedef void ahost_interrupt_function(void *data);

/*
 * Is told, once, of code that keeps the loop from turning inside a C function,
 * where no traceback can be had of it: for how many seconds so far, and the
 * number of the task (0: not known). Called in the watchdog's thread while it
 * lasts. When it is over, a record is logged in any case.
 */
typedef void ahost_blocked_function(void *data, double seconds, unsigned task);

/*
 * What a host is opened with. Set `size` to sizeof(ahost_options) and leave
 * the rest zero for the defaults; fields are only ever added at the end. A
 * library that is newer than the program's header takes defaults for what that
 * does not have. One that is older refuses (AHOST_NOT_SUPPORTED) what is set in
 * fields that it does not know.
 */
typedef struct ahost_options {
    size_t size;
    /* Hears of records until the script sends them elsewhere. NULL: they are
     * dropped */
    ahost_log_function *log;
    void *log_data;
    size_t memory_limit; /* bytes that Lua and the buffers may take; 0: none */
    double stop_timeout; /* seconds that a stop waits for tasks; 0 means 10 */
    int argc;            /* the script's arguments: `...` and host.args */
    char **argv;         /* not copied: must outlive the host */
    /* Process signals that the program handles itself and passes on with
     * ahost_signal, ended by 0; read by ahost_open. Their handlers are left
     * alone when the script listens to them. NULL: none */
    const int *signals;
    /* Records below this level are dropped, AHOST_LOG_DEBUG lets all pass; the
     * script may say otherwise (require "ahost.log"). 0: AHOST_LOG_NOTICE */
    int log_level;
    /* Lua code that keeps the loop for this many seconds is logged, with its
     * traceback, while it still does (logger "ahost.watchdog"); a thread looks
     * after it, from the first load to ahost_close. 0: none does */
    double stall;
    /* ... and for this many: an error is raised in it, with code FAILED. Code
     * that catches it and goes on as long again gets one at each instruction
     * until its task waits or has ended. 0: never */
    double stall_kill;
    double lag; /* a turn of the loop that takes longer is logged; 0: none is */
    /* How the host's thread is reached by ahost_interrupt and the watchdog. See
     * `interrupt_every` for another way. NULL: none */
    ahost_interrupt_function *interrupt;
    void *interrupt_data;
    ahost_blocked_function *blocked; /* NULL: nobody is told */
    void *blocked_data;
    /* The host goes on when its script has ended and nothing is left to do, as
     * the program has things for it to do: until ahost_stop. 0: it ends then */
    int stay;
    /* Lua code looks after so many instructions of its own whether it is to
     * stop: without threads' signals, and for some percent of its speed (at
     * 10,000). Code that neither this nor `interrupt` reaches is stopped when
     * it allocates memory in Lua, which is soon but for pure calculations. 0:
     * it does not look */
    int interrupt_every;
    const char *path;  /* package.path of the script. NULL: Lua's default */
    const char *cpath; /* package.cpath; "" for none. NULL: the same */
    /* What holds where a script does not say how much; 0: the default */
    unsigned max_connections; /* of one server at once; none */
    unsigned max_line;        /* bytes of a line of a stream; 65,536 */
    unsigned max_events;      /* that wait for an iterator; 100 */
    unsigned max_items;       /* in a queue; 1,000 */
    unsigned max_posts;       /* of ahost_post that wait; 65,536 */
} ahost_options;

/* ---- a host's life ------------------------------------------------------ */

/*
 * Opens a host with an event loop of its own; the calling thread is its thread.
 * On success *host is set and is to be given to ahost_close. `options` may be
 * NULL, and may go afterwards. On failure *host is NULL, and the code has to do
 * (ahost_strerror).
 */
AHOST_API int ahost_open(ahost **host, const ahost_options *options);

/*
 * Loads a Lua file and runs it, as a task of the host, up to its first await:
 * what it does from there on happens in ahost_run or ahost_step. A component
 * that it returns becomes the application. May be called several times.
 *
 * AHOST_NOT_FOUND, AHOST_SYNTAX and AHOST_NO_MEMORY: nothing has run, and the
 * host is as before. AHOST_FAILED: it raised an error before its first await.
 * This ends the host as a later one would: it is logged, and ahost_run will
 * return 1. ahost_errmsg has it, with its traceback. Called in a callback, it
 * does not run the code but leaves that to be run soon.
 */
AHOST_API int ahost_load_file(ahost *host, const char *path);

/* The same for Lua source; `name` stands for it in messages. It is the source
 * itself, or "@FILE", or "=any text". */
AHOST_API int ahost_load_string(ahost *host, const char *source,
                                const char *name);

/*
 * Loads the application that configuration files (YAML, or Lua) describe, as
 * `ahost run` does, and runs it up to its first await. `files` and `sets`, of
 * "key.of.it=value", are ended by NULL; `sets` may be NULL. Records go to
 * options.log unless the configuration has a key `logging`; daemon, workers,
 * control and the like, which are the command's, are checked only.
 *
 * AHOST_CONFIG: ahost_errmsg has all that is wrong, a line each, and the host
 * is as before. What is found only later is logged, and the host ends with
 * status 2.
 */
AHOST_API int ahost_load_config(ahost *host, const char *const *files,
                                const char *const *sets);

/*
 * Runs until everything that was loaded and what it has spawned have ended and
 * no listener is open, or until ahost_stop; then tears everything down in
 * order. Returns the exit status: 0, 1 when something failed, or what the
 * script chose with host.stop(status): 0 to 127. AHOST_MISUSE when it cannot
 * run; when it has ended already it returns the status again.
 */
AHOST_API int ahost_run(ahost *host);

/*
 * One turn of the loop, for programs that have a loop of their own: waits for
 * something to happen, for so many milliseconds at most (0: not at all; less:
 * for ever), and does what is to be done then. Returns 1 as long as the host
 * goes on, 0 when it has ended, or AHOST_MISUSE. Everything that ahost_run does
 * is done by steps, too.
 */
AHOST_API int ahost_step(ahost *host, int milliseconds);

/*
 * For main loops that wait for descriptors (poll(2), GLib...): wait until
 * ahost_fd can be read, for ahost_timeout at most, then call ahost_step(host,
 * 0). The descriptor is the host's and stays the same. The timeout is in
 * milliseconds, -1 is for ever; ask for it before each wait, after all other
 * calls. On failure ahost_fd returns AHOST_MISUSE, ahost_timeout 0.
 */
AHOST_API int ahost_fd(ahost *host);
AHOST_API int ahost_timeout(ahost *host);

/* Whether the host has ended: 1 (for NULL, too) or 0. It is to be closed then.
 */
AHOST_API int ahost_has_ended(const ahost *host);

/* The status that the host would end with now, or has ended with. */
AHOST_API int ahost_exit_status(const ahost *host);

/*
 * Asks the host to stop: an application stops in its order, else tasks are
 * cancelled at once; then comes the teardown, within the loop; then ahost_run
 * returns. The second call logs what is still being waited for. Any thread, and
 * signal handlers.
 */
AHOST_API void ahost_stop(ahost *host);

/*
 * Ends the host if it has not (which may take stop_timeout, and runs its loop)
 * and frees everything that is its own. Posted calls that did not run are
 * dropped, destructors of what was published are called. No other thread may
 * use the host any more, or be in a function of it. `host` may be NULL.
 */
AHOST_API int ahost_close(ahost *host);

/* The calling thread is the host's from now on. The former one must not be in
 * a function of the host, and whatever hands the host over between threads must
 * be a barrier, such as a mutex or the creation of a thread. */
AHOST_API int ahost_adopt(ahost *host);

/*
 * What the latest call that failed had to say, in words: what, where, and what
 * to do; for an error of Lua code with its traceback. Never NULL; valid until
 * the next call. What fails in tasks is logged and not kept here.
 */
AHOST_API const char *ahost_errmsg(const ahost *host);

/* ---- from other threads and signal handlers ----------------------------- */

/* Runs in the host's thread, outside tasks. */
typedef void ahost_post_function(ahost *host, void *data);
typedef void ahost_drop_function(void *data);

/*
 * Has `fn` called in the host's thread, in a turn of its loop. Calls that one
 * thread posts come in their order. When the host ends before, `dropped` is
 * called instead, in the host's thread; it may be NULL. Of both exactly one is
 * called, if AHOST_OK is returned, else none. AHOST_ENDED, AHOST_NO_MEMORY, or
 * AHOST_FULL: options.max_posts are waiting. A host without `stay` runs what is
 * posted before it ends by itself. Any thread, but no signal handlers.
 */
AHOST_API int ahost_post(ahost *host, ahost_post_function *fn, void *data,
                         ahost_drop_function *dropped);

/*
 * Passes on one of options.signals that has arrived. When the script listens
 * to it (process.signal), it is told and decides; else, and when the host
 * stops already, this is ahost_stop. Arrivals that nobody has taken yet count
 * as one. Returns 1 when the script listens now, else 0. Any thread, and signal
 * handlers.
 */
AHOST_API int ahost_signal(ahost *host, int number);

/*
 * Waits until the records that the script sends to files and servers (require
 * "ahost.log".configure) are written, for so many milliseconds at most: for
 * programs that are about to end without ahost_close, which does this itself.
 * Any thread, and signal handlers.
 */
AHOST_API void ahost_log_flush(ahost *host, int milliseconds);

/*
 * Stops the Lua code that runs now: an error with code FAILED and message
 * "interrupted" is raised in its task at its next instruction (see
 * options.interrupt and interrupt_every); a C function that it is in ends
 * first. Does nothing to tasks that wait. Returns 1 when code runs that is to
 * be stopped, else 0. Any thread, and signal handlers if options.interrupt may
 * be called there.
 */
AHOST_API int ahost_interrupt(ahost *host);

/* What options.interrupt asks for: to be called on the host's thread, in a
 * signal handler. Does nothing when nothing is wanted. */
AHOST_API void ahost_interrupted(ahost *host);

/* ---- values ------------------------------------------------------------- */

/*
 * Plain data on its way between C and Lua: null, boolean, integer, number,
 * string, list, map. In Lua a null is nil, or json.null inside lists and maps;
 * a list is an array of ahost.json; a map is a table with strings as keys.
 *
 * What you make is yours to free, unless you put it into a list or a map, which
 * takes it over at once, also when that fails. When memory is short the
 * functions that make values return NULL, and a list or map that something
 * could not be put into stays marked: whatever it is given to afterwards
 * returns AHOST_NO_MEMORY. So a value can be built without looking in between.
 */
typedef struct ahost_value ahost_value;

typedef enum ahost_kind {
    AHOST_NULL,
    AHOST_BOOLEAN,
    AHOST_INTEGER,
    AHOST_NUMBER,
    AHOST_STRING,
    AHOST_LIST,
    AHOST_MAP,
    AHOST_POINTER, /* from Lua only: what C has published */
    AHOST_OTHER,   /* from Lua only: a function, a stream... */
    AHOST_ANY      /* for ahost_argument: any kind */
} ahost_kind;

AHOST_API ahost_value *ahost_make_null(void);
AHOST_API ahost_value *ahost_make_boolean(int value);
AHOST_API ahost_value *ahost_make_integer(int64_t value);
AHOST_API ahost_value *ahost_make_number(double value);
AHOST_API ahost_value *ahost_make_string(const char *text);
AHOST_API ahost_value *ahost_make_bytes(const void *bytes, size_t size);
AHOST_API ahost_value *ahost_make_list(void);
AHOST_API ahost_value *ahost_make_map(void);

/* A copy of all of it, yours to free. NULL for NULL, for want of memory, and of
 * what is nested in more than 100 levels. */
AHOST_API ahost_value *ahost_value_copy(const ahost_value *value);

/* Frees it with all that is in it. NULL is fine. */
AHOST_API void ahost_value_free(ahost_value *value);

/* Puts an item at the end of a list; a field into a map, in the place of one of
 * the same name. AHOST_MISUSE: it is no list, or no map; or the item is in one
 * already or would contain itself, and stays as it is. AHOST_NO_MEMORY: what
 * you give, or what you put it into, is NULL. */
AHOST_API int ahost_list_add(ahost_value *list, ahost_value *item);
AHOST_API int ahost_map_set(ahost_value *map, const char *name,
                            ahost_value *field);

/* The kind of a value; AHOST_NULL for NULL. */
AHOST_API ahost_kind ahost_value_kind(const ahost_value *value);

/* What a value is, or the fallback when it is of another kind. An integer is a
 * number, too, and a number without fraction an integer. */
AHOST_API int ahost_value_boolean(const ahost_value *value, int fallback);
AHOST_API int64_t ahost_value_integer(const ahost_value *value,
                                      int64_t fallback);
AHOST_API double ahost_value_number(const ahost_value *value, double fallback);

/* The bytes of a string, with a 0 behind them; NULL for other kinds, but for
 * AHOST_OTHER: its type in Lua. `size` may be NULL. */
AHOST_API const char *ahost_value_string(const ahost_value *value,
                                         size_t *size);

/* The number of items or fields; 0 for other kinds. */
AHOST_API size_t ahost_value_count(const ahost_value *value);

/* The item at an index from 0, or the value of a field; NULL: there is none. */
AHOST_API const ahost_value *ahost_list_item(const ahost_value *list,
                                             size_t index);
AHOST_API const ahost_value *ahost_map_get(const ahost_value *map,
                                           const char *name);

/* The name, and in *field the value, of the field at an index from 0, in no
 * particular order for what comes from Lua; NULL: there is none. */
AHOST_API const char *ahost_map_entry(const ahost_value *map, size_t index,
                                      const ahost_value **field);

/* ---- resources ---------------------------------------------------------- */

/* A call of a method of yours by Lua code. */
typedef struct ahost_invocation ahost_invocation;

/*
 * A method: `pointer` is what was published. Returns AHOST_OK, and Lua gets
 * what ahost_return was given; or a negative code, and Lua gets `nil, err`. For
 * misuse it calls ahost_raise.
 */
typedef int ahost_method_function(ahost_invocation *call, void *pointer);

typedef struct ahost_method {
    const char *name;
    ahost_method_function *call;
} ahost_method;

/*
 * A type of things that C shows to Lua; static, not copied. Two types are the
 * same when they have the same address. tostring() shows the name.
 */
typedef struct ahost_type {
    size_t size;                 /* sizeof(ahost_type) */
    const char *name;            /* "sensor", "game.player" */
    const ahost_method *methods; /* ended by one without a name, or NULL */
    /* Called once nobody in Lua has the thing any more, at the latest by
     * ahost_close; in the host's thread. NULL: nothing is to be done */
    void (*destroy)(void *pointer);
} ahost_type;

/* The number of arguments behind the thing itself. */
AHOST_API int ahost_argument_count(const ahost_invocation *call);

/*
 * An argument, from 1 to 16; of the call, valid until the method returns. NULL
 * when it is missing or of another kind than asked for: the method is to return
 * then, whatever, and an error that says so is raised. With AHOST_ANY a missing
 * one is null.
 */
AHOST_API const ahost_value *ahost_argument(ahost_invocation *call, int index,
                                            ahost_kind kind);

/* The thing, of that type, which is an argument; NULL as above. */
AHOST_API void *ahost_argument_pointer(ahost_invocation *call, int index,
                                       const ahost_type *type);

/* Adds a result, which is taken over in any case; NULL is a want of memory,
 * which is raised. At most 16. */
AHOST_API int ahost_return(ahost_invocation *call, ahost_value *result);

/* Says what an error is about; returns AHOST_FAILED, for `return`. `code` is
 * that of Lua's `err.code`, "ENOENT" or a word of the program's own; NULL:
 * "FAILED". */
AHOST_API int ahost_fail(ahost_invocation *call, const char *code,
                         const char *message);

/* The same for a call that is wrong in itself: an error is raised in Lua. */
AHOST_API int ahost_raise(ahost_invocation *call, const char *message);

/* The host whose Lua code calls. */
AHOST_API ahost *ahost_invocation_host(const ahost_invocation *call);

/*
 * Publishes a pointer as a resource: Lua code finds it with ctx:require(key)
 * and calls its methods. A key is "type" or "type/name". In a function of a
 * component (ahost_component), or one that Lua code has called, it is published
 * where that is: by the component, and withdrawn with it. Elsewhere it is there
 * for the whole host, until that ends. The pointer must be valid until
 * type->destroy is called, which is not done when this fails. AHOST_CONFLICT:
 * the key is taken. AHOST_MISUSE: it is no key, or the type has no size.
 */
AHOST_API int ahost_publish(ahost *host, const char *key, void *pointer,
                            const ahost_type *type);

/*
 * The pointer that was published under a key, by a component as well, or NULL:
 * there is none now, or it is of another type (ahost_errmsg says which). Valid
 * as long as the publisher says; it should be asked for again rather than kept.
 */
AHOST_API void *ahost_request(ahost *host, const char *key,
                              const ahost_type *type);

/* ---- signals and the bus ------------------------------------------------ */

/*
 * Hears an event of a signal: `name` is its key, `value` the event, a map; or a
 * message of the bus: `name` is the message, `value` the list of what goes with
 * it.
 */
typedef void ahost_event_function(ahost *host, void *data, const char *name,
                                  const ahost_value *value);

/* What ends a connection to a signal or the bus. */
typedef struct ahost_connection ahost_connection;

/* Emits a signal that was published under a key. `event` is a map, or NULL.
 * Listeners have run up to their first await when it returns; in callbacks they
 * may run soon. What they raise is not told here. AHOST_NOT_FOUND: there is
 * nothing of that key. AHOST_WRONG_TYPE: it is no signal. */
AHOST_API int ahost_emit(ahost *host, const char *key,
                         const ahost_value *event);

/*
 * Has `fn` called for each event of a signal that is published under a key,
 * until ahost_disconnect or until the signal's context ends. *connection, which
 * may be NULL, is set; ahost_close frees it. AHOST_NOT_FOUND and
 * AHOST_WRONG_TYPE as above.
 */
AHOST_API int ahost_connect(ahost *host, const char *key,
                            ahost_event_function *fn, void *data,
                            ahost_connection **connection);

/* Publishes a message by the bus of the application, with a list of what goes
 * with it, or NULL. AHOST_NOT_FOUND: no application runs. */
AHOST_API int ahost_bus_publish(ahost *host, const char *message,
                                const ahost_value *list);

/* Has `fn` called for each such message, from whatever application runs in the
 * host: it may be called before that is loaded, to hear "app.init". */
AHOST_API int ahost_bus_subscribe(ahost *host, const char *message,
                                  ahost_event_function *fn, void *data,
                                  ahost_connection **connection);

/* Ends a connection and frees it: `fn` is not called any more. May be called in
 * `fn` itself. NULL is fine. */
AHOST_API int ahost_disconnect(ahost *host, ahost_connection *connection);

/* ---- calling Lua code --------------------------------------------------- */

/* Hears how a call has ended: AHOST_OK and its first result, or a code and what
 * was wrong, a string (with a traceback for AHOST_FAILED). */
typedef void ahost_done_function(ahost *host, void *data, int code,
                                 const ahost_value *result);

/*
 * Calls a function in a task of its own and waits for it, for `seconds` at most
 * unless that is negative: it may wait, and meanwhile the host goes on as in
 * ahost_run. With `component`, the path of one ("web.sessions", "" for the
 * root), `name` is a method of it. Without (NULL) it is "module:function", or a
 * global function, "game.update". `arguments` is a list of at most 200, or
 * NULL, and stays yours. The first result goes to *result, if that is not NULL,
 * and is yours to free; it is NULL on failure.
 *
 * AHOST_NOT_FOUND: there is no such thing to call. AHOST_FAILED: it raised an
 * error, or nothing is left that could wake it. AHOST_TIMED_OUT: its time was
 * up, and it has been cancelled; AHOST_ENDED: by the host's end. AHOST_MISUSE:
 * `seconds` is not a number; or it was called in a callback, or on a loop of
 * the program's: see ahost_call_later.
 */
AHOST_API int ahost_call(ahost *host, const char *component, const char *name,
                         const ahost_value *arguments, double seconds,
                         ahost_value **result);

/* The same without waiting: the function runs up to its first await, in
 * callbacks soon. `done`, which may be NULL, is called exactly once, perhaps
 * before this returns, if that is AHOST_OK. With NULL failures are logged. */
AHOST_API int ahost_call_later(ahost *host, const char *component,
                               const char *name, const ahost_value *arguments,
                               ahost_done_function *done, void *data);

/*
 * Reloads a component by its path, or all that has changed (NULL), as
 * host.reload does in Lua. `done`, which may be NULL, gets the report, a map:
 * {ok=, components={[path]={ok=, err=, ms=}}}. AHOST_NOT_SUPPORTED: nothing can
 * be reloaded here. AHOST_NOT_FOUND: no application runs.
 */
AHOST_API int ahost_reload(ahost *host, const char *component,
                           ahost_done_function *done, void *data);

/* ---- components --------------------------------------------------------- */

/* One component of an application, made by a type of yours. */
typedef struct ahost_instance ahost_instance;

/*
 * A type of components written in C, for `type: NAME` in configurations.
 * Static, not copied. The functions get the instance, return AHOST_OK or fail
 * (ahost_instance_fail), must not wait, and may be NULL. What they publish,
 * connect and subscribe ends with the component, newest first.
 */
typedef struct ahost_component {
    size_t size;      /* sizeof(ahost_component) */
    const char *name; /* of the type */
    /* What it can be configured with, in YAML or JSON, as the `options` of a
     * component in Lua: "port: {type: integer, default: 80}". NULL: anything
     * goes */
    const char *options;
    int (*prepare)(ahost_instance *self); /* before its children start */
    int (*start)(ahost_instance *self);   /* after; when it returns it is up */
    /* When everything has started: for the component that is the root. Returns
     * the status that the application ends with */
    int (*run)(ahost_instance *self);
    /* The component ends; called when `prepare` or `start` was, even if they
     * failed, once */
    void (*close)(ahost_instance *self);
} ahost_component;

/* Makes a type known to the configurations that are loaded afterwards. It comes
 * before a module or a bundled component of the same name. AHOST_CONFLICT:
 * there is one of that name. AHOST_CONFIG: the options cannot be read. */
AHOST_API int ahost_register(ahost *host, const ahost_component *type);

AHOST_API ahost *ahost_instance_host(const ahost_instance *self);

/* Its place among the components, "web.sessions"; "" for the root. */
AHOST_API const char *ahost_instance_path(const ahost_instance *self);

/* Its configuration, checked and with defaults: a map. Until `close` is over.
 */
AHOST_API const ahost_value *ahost_instance_config(const ahost_instance *self);

/* The program's own of the instance, NULL at first. */
AHOST_API void *ahost_instance_data(const ahost_instance *self);
AHOST_API void ahost_instance_set_data(ahost_instance *self, void *data);

/* Says why a function fails; returns AHOST_FAILED, for `return`. */
AHOST_API int ahost_instance_fail(ahost_instance *self, const char *message);

#ifdef __cplusplus
}
#endif

#endif
